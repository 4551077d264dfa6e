//! `tocsin evidence`: one record as a file that shows to anybody who signed it.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use tocsin_api::route;
use tocsin_evidence::{Evidence, FILE_MAX};
use tocsin_home::files;
use tocsin_record::id::fingerprint;
use tocsin_text as text;

use super::{Context, Purpose, done};
use crate::term;

/// Write a record to a file that shows to anybody who signed it.
///
/// The file holds the record as it was signed, and all that leads from its signature to the founding of the mesh. It is checked
/// with `tocsin verify`, on a machine without a node, and carries its marking at its head: whoever gets it has the record, and
/// is bound by that. For a circle with members of its own it names them as well.
///
/// What is sealed is shown as it was signed, which is sealed, with what it says beside it, by your word. With --with-key the file
/// proves that too: that key opens whatever the same agency sealed to the same circle on that day.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin evidence 3f9a12c4 --out case-12.evidence
  tocsin evidence 3f9a12c4 --purpose criminal-investigation --ref case-12
  head -2 case-12.evidence")]
pub struct Args {
    /// Record or subject
    id: String,
    /// Where to write it; nothing is replaced (default: the first digits of the record's id, and .evidence)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Of a sealed record, put in the key that opens it
    #[arg(long)]
    with_key: bool,
    #[command(flatten)]
    asked: Purpose,
}

/// What was written.
#[derive(Serialize)]
struct Written {
    file: String,
    record: String,
    marking: String,
    bytes: usize,
    mesh: String,
    fingerprint: String,
}

/// Has the node make the file, checks it, and writes it.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    if let Some(out) = args.out.as_ref().filter(|out| out.exists()) {
        bail!("{} exists already: move it away first, nothing was changed", out.display());
    }
    let asked = args.asked.query_with(args.with_key.then_some("with_key=true"));
    let target = route::EVIDENCE.of(super::path_word(&args.id)?).with(&asked);
    let file = context.client().get_bytes(target, FILE_MAX)?;
    let evidence = Evidence::decode(&file).context("what the node made cannot be read")?;
    let findings = evidence.check(None);
    if let Some(fault) = findings.faults.first() {
        bail!("what this node has of the record does not prove it: {fault}. Nothing was written");
    }
    let record = evidence.entry().id.to_string();
    let out = args.out.unwrap_or_else(|| PathBuf::from(format!("{}.evidence", &record[..12])));
    files::write_new(&out, &file)?;
    let written = Written {
        file: out.display().to_string(),
        record,
        marking: evidence.label().to_owned(),
        bytes: file.len(),
        mesh: findings.mesh.to_string(),
        fingerprint: fingerprint(&findings.mesh.0),
    };
    context.print(&written, || {
        format!(
            "{} ({} bytes)\n  marking      {}\n  record       {}\n  mesh         {}\n  fingerprint  {}\nWho gets it checks it \
             with `tocsin verify {}`, and compares the fingerprint by another path.",
            text::escape(&written.file),
            written.bytes,
            term::paint(term::Style::Bold, &text::escape(&written.marking)),
            written.record,
            written.mesh,
            written.fingerprint,
            text::escape(&written.file),
        )
    })?;
    done()
}
