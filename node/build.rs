//! Links the command `tocsin` with the C library in it, where this machine has that as an archive.
//!
//! An analyst's script starts the command a thousand times, and to find, map and relocate three shared libraries is a
//! quarter of what each start takes. So its file is one position-independent whole (static-pie): it is still put at another address each time,
//! and its tables are read-only after the start. The node program stays as it is: it runs for months, and takes the system's
//! library with its repairs at its next start.
//!
//! Cargo cannot ask this for one program of two by a name: `crt-static` is for all of a build. What it can give to one
//! program is arguments of the linker. rustc asks for the libraries by name, so a folder comes first in which these names are archives.

use std::env;
use std::error::Error;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the standard library is linked to on Linux with glibc, and the archive that has it.
const LIBRARIES: [(&str, &str); 7] = [
    ("libgcc_s.a", "libgcc_eh.a"),
    ("libutil.a", "libutil.a"),
    ("librt.a", "librt.a"),
    ("libpthread.a", "libpthread.a"),
    ("libm.a", "libm.a"),
    ("libdl.a", "libdl.a"),
    ("libc.a", "libc.a"),
];
/// What a program that relocates itself begins with.
const START: &str = "rcrt1.o";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    let folder = PathBuf::from(env::var("OUT_DIR")?).join("archives");
    let Some(archives) = linker().and_then(|linker| archives(&linker)) else { return Ok(()) };
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => fs::create_dir_all(&folder)?,
    }
    for (name, archive) in archives {
        symlink(archive, folder.join(name))?;
    }
    // The last three again: the C library and the compiler's ask for each other, and some linkers look back at nothing.
    let words = ["-static-pie", &format!("-L{}", folder.display()), "-lgcc_eh", "-lgcc", "-lc"];
    for word in words {
        println!("cargo::rustc-link-arg-bin=tocsin={word}");
    }
    // For the test that holds it.
    println!("cargo::rustc-env=TOCSIN_COMMAND_LINKS=archives");
    Ok(())
}

/// The compiler by which rustc links for a target that this is meant for.
fn linker() -> Option<PathBuf> {
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|is| is == value);
    let meant = is("CARGO_CFG_TARGET_OS", "linux")
        && is("CARGO_CFG_TARGET_ENV", "gnu")
        && (is("CARGO_CFG_TARGET_ARCH", "x86_64") || is("CARGO_CFG_TARGET_ARCH", "aarch64"));
    // Then rustc does it by itself.
    let asked =
        env::var("CARGO_CFG_TARGET_FEATURE").is_ok_and(|all| all.split(',').any(|one| one == "crt-static"));
    match env::var_os("RUSTC_LINKER") {
        _ if !meant || asked => None,
        Some(linker) => Some(linker.into()),
        None => (env::var_os("HOST") == env::var_os("TARGET")).then(|| "cc".into()),
    }
}

/// Where each of the archives is; `None` unless all are there.
fn archives(linker: &Path) -> Option<Vec<(&'static str, PathBuf)>> {
    find(linker, START)?;
    LIBRARIES.into_iter().map(|(name, archive)| Some((name, find(linker, archive)?))).collect()
}

/// Where a compiler has a file that it links; it says the bare name again where it has none.
fn find(linker: &Path, name: &str) -> Option<PathBuf> {
    let said = Command::new(linker).arg(format!("-print-file-name={name}")).output().ok()?;
    let path = PathBuf::from(str::from_utf8(&said.stdout).ok()?.trim());
    (path.is_absolute() && path.exists()).then_some(path)
}
