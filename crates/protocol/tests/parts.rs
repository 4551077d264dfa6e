//! The parts of the protocol and the arrows between them, read from the source: what each may name of the rest of the crate.
//! Only the mesh names all of them, and none of those cut out names the mesh, so that each is tested without the others.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each part with what it may name of the crate beside itself.
const ARROWS: &[(&str, &[&str])] = &[
    ("admission", &["clock", "directory", "index", "io"]),
    ("clock", &["io"]),
    ("directory", &["message"]),
    ("index", &[]),
    ("links", &["bounds", "io", "message", "session"]),
    ("held", &["io", "links", "message"]),
    ("catchup", &["bounds", "held", "io", "links", "message"]),
    ("spread", &["bounds", "held", "io", "links", "message"]),
    ("session", &["bounds", "message"]),
];

/// The files of a part: `NAME.rs` and all in the folder `NAME`.
fn files(part: &str) -> Vec<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files: Vec<PathBuf> =
        [source.join(part).with_extension("rs")].into_iter().filter(|file| file.exists()).collect();
    let mut folders = vec![source.join(part)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    assert!(!files.is_empty(), "there is no part {part}: take its row away");
    files
}

/// What the code of a file names of the crate, comments left out.
fn named(text: &str) -> BTreeSet<&str> {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let after = code.flat_map(|line| line.split("crate::").skip(1));
    after.map(|path| path.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap()).collect()
}

#[test]
fn parts_name_only_what_they_may() {
    for (part, allowed) in ARROWS {
        for file in files(part) {
            let text = std::fs::read_to_string(&file).unwrap();
            for name in named(&text) {
                let may = name == *part || allowed.contains(&name);
                assert!(may, "{} may not name `crate::{name}`", file.display());
            }
        }
    }
}

#[test]
fn names_are_found_wherever_they_stand() {
    let text =
        "use crate::mesh::Mesh;\nfn f(a: &crate::links::Link) -> crate::io::Now {} // crate::admission\n";
    assert_eq!(named(text), BTreeSet::from(["io", "links", "mesh"]));
    assert!(files("catchup").len() > 5);
}
