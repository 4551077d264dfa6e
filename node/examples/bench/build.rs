//! How long a clean build of the program takes: what a newcomer waits for.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::Bench;
use crate::table::Table;

/// Measures the row, in a folder of its own, with what cargo has fetched already.
pub fn rows(bench: &Bench, table: &mut Table) -> Result<()> {
    if !table.wants("clean_build_s") {
        return Ok(());
    }
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let begin = Instant::now();
    let built = Command::new("cargo")
        .args(["build", "--locked", "--release", "--quiet", "--manifest-path"])
        .arg(manifest)
        .env("CARGO_TARGET_DIR", bench.folder.join("build"))
        .stdin(Stdio::null())
        .status()
        .context("starting cargo")?;
    if !built.success() {
        bail!("`cargo build --release` ended with {built}");
    }
    table.put("clean_build_s", begin.elapsed().as_secs_f64());
    Ok(())
}
