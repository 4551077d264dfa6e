//! `tocsin verify`: check a file of evidence, without a node.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde::Serialize;
use tocsin_clock as clock;
use tocsin_evidence::{Circle, Evidence, FILE_MAX, Findings, Proven};
use tocsin_home::files;
use tocsin_record::body::{Body, name_of};
use tocsin_record::id::{MeshId, fingerprint};
use tocsin_text as text;

use super::{Context, done};
use crate::term::{self, Style};

/// Most values told of a report.
const VALUES_SHOWN: usize = 100;

/// Check a file that `tocsin evidence` wrote: who signed what, and when.
///
/// Needs no node, no home and no network: all that is checked is in the file, from the record's signature up to the founding
/// of the mesh. What the file cannot show is that the mesh is the one that you think of, for anybody can found one: compare its
/// fingerprint with somebody who is in it, or give it as it came by another path. Ends with 0 if all holds, with 1 if
/// something does not, with 2 if it is no such file or cannot be read.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin verify case-12.evidence
  tocsin verify case-12.evidence --mesh 1f0c-22ab-90de-4411-7c3e-0a9b-55d0-e1f2
  tocsin --json verify case-12.evidence")]
pub struct Args {
    /// The file
    file: PathBuf,
    /// The mesh's id or fingerprint, as it came by another path
    #[arg(long, value_name = "ID", value_parser = parse_mesh)]
    mesh: Option<Mesh>,
}

/// A mesh, as people name it to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mesh {
    Id(MeshId),
    Fingerprint(String),
}

fn parse_mesh(word: &str) -> Result<Mesh, String> {
    if let Ok(id) = word.parse() {
        return Ok(Mesh::Id(id));
    }
    let digits: Vec<&str> = word.split('-').collect();
    let is_group = |group: &&str| group.len() == 4 && group.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits.len() == 8 && digits.iter().all(is_group) {
        return Ok(Mesh::Fingerprint(word.to_ascii_lowercase()));
    }
    Err("it is neither a mesh's id (64 hexadecimal digits) nor a fingerprint (eight groups of four)"
        .to_owned())
}

impl Mesh {
    fn is(&self, mesh: MeshId) -> bool {
        match self {
            Self::Id(id) => *id == mesh,
            Self::Fingerprint(text) => *text == fingerprint(&mesh.0),
        }
    }
}

/// What the file shows.
#[derive(Debug, Default, Serialize)]
struct Verified {
    holds: bool,
    /// What does not hold.
    faults: Vec<String>,
    marking: String,
    record: String,
    kind: String,
    title: Option<String>,
    values: Vec<String>,
    value_count: usize,
    org: Option<String>,
    country: Option<String>,
    root: Option<String>,
    root_fingerprint: Option<String>,
    node: Option<String>,
    node_key: String,
    time: String,
    expires: Option<String>,
    circle: String,
    circle_orgs: Option<usize>,
    epoch: u64,
    seq: u64,
    /// How it is known what the record says: signed, opened, told.
    proven: String,
    /// When the node was taken out of the mesh, if it was since.
    revoked: Option<String>,
    mesh: String,
    mesh_name: String,
    mesh_fingerprint: String,
    charter: u32,
    /// Whether the mesh is the one that was given.
    mesh_compared: bool,
}

/// Checks the file and prints what it shows.
///
/// # Errors
/// When it is no file of evidence, or cannot be read.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let shown = args.file.display();
    let bytes = files::read(&args.file, FILE_MAX as u64).with_context(|| format!("{shown} was not read"))?;
    let evidence = Evidence::decode(&bytes).with_context(|| format!("{shown} was refused"))?;
    // Of a fingerprint the id is known once the file's own has it.
    let found = MeshId(evidence.charters.first().map_or([0; 32], |first| first.hash().0));
    let wanted = args.mesh.as_ref().map(|mesh| match mesh {
        Mesh::Id(id) => *id,
        of_fingerprint if of_fingerprint.is(found) => found,
        Mesh::Fingerprint(_) => MeshId::ZERO,
    });
    let findings = evidence.check(wanted);
    let verified = told(&evidence, &findings, wanted.is_some());
    context.print(&verified, || lines(&verified))?;
    if findings.holds() { done() } else { Ok(ExitCode::from(1)) }
}

fn told(evidence: &Evidence, findings: &Findings, compared: bool) -> Verified {
    let entry = evidence.entry();
    let header = &entry.header;
    let (circle, circle_orgs) = match &findings.circle {
        Circle::Mesh => ("the whole mesh".to_owned(), None),
        Circle::Own => ("its own nodes".to_owned(), None),
        Circle::Roster { name, orgs } => (name.clone(), Some(*orgs)),
        Circle::Unknown => ("unknown".to_owned(), None),
    };
    let mut verified = Verified {
        holds: findings.holds(),
        faults: findings.faults.iter().map(ToString::to_string).collect(),
        marking: evidence.label().to_owned(),
        record: entry.id.to_string(),
        kind: name_of(findings.body.as_ref().and_then(Body::kind).unwrap_or(header.kind)).to_owned(),
        org: findings.org.as_ref().map(|org| org.name.clone()),
        country: findings.org.as_ref().map(|org| org.country_code().to_owned()),
        root: findings.certificate.as_ref().map(|certificate| certificate.org.to_string()),
        root_fingerprint: findings.certificate.as_ref().map(|certificate| fingerprint(&certificate.org.0)),
        node: findings.certificate.as_ref().map(|certificate| certificate.node.clone()),
        node_key: findings.author.to_string(),
        time: clock::rfc3339(header.time),
        expires: (header.expires != 0).then(|| clock::rfc3339(header.expires)),
        circle,
        circle_orgs,
        epoch: header.epoch,
        seq: header.seq,
        proven: match findings.proven {
            Proven::Signed => "signed",
            Proven::Opened => "opened",
            Proven::Told => "told",
        }
        .to_owned(),
        revoked: findings.revoked.map(clock::rfc3339),
        mesh: findings.mesh.to_string(),
        mesh_name: findings.mesh_name.clone(),
        mesh_fingerprint: fingerprint(&findings.mesh.0),
        charter: findings.charter,
        mesh_compared: compared && findings.holds(),
        ..Verified::default()
    };
    match &findings.body {
        Some(Body::Report(report)) => {
            verified.title = Some(report.title.clone());
            verified.value_count = report.indicators.len();
            let values = report.indicators.iter().take(VALUES_SHOWN);
            verified.values = values.map(|indicator| indicator.what.show()).collect();
        }
        Some(Body::Note(note)) => verified.title = Some(note.text.clone()),
        Some(Body::Sighting(sighting)) => {
            verified.values = sighting.what.iter().map(|what| what.show()).collect();
            verified.value_count = verified.values.len();
        }
        _ => {}
    }
    verified
}

fn lines(verified: &Verified) -> String {
    let e = |text: &str| text::escape(text).into_owned();
    let or_unknown = |text: &Option<String>| text.as_deref().map_or_else(|| "unknown".to_owned(), e);
    let mut out = vec![if verified.holds {
        term::paint(Style::Good, "It holds: all signatures, hashes and certificates in the file.")
    } else {
        term::paint(Style::Bad, "It does not hold: believe nothing of what follows.")
    }];
    out.extend(verified.faults.iter().map(|fault| format!("  - {}", e(fault))));
    let mut row = |name: &str, text: String| out.push(format!("  {name:<11} {text}"));
    row("marking", term::paint(Style::Bold, &e(&verified.marking)));
    row("signed by", format!("{} ({})", or_unknown(&verified.org), or_unknown(&verified.country)));
    row("by node", format!("{}, key {}", or_unknown(&verified.node), verified.node_key));
    row("at", format!("{} by the clock of that node", verified.time));
    let orgs = verified
        .circle_orgs
        .map_or_else(String::new, |orgs| format!(" ({})", text::count(orgs as u64, "org")));
    row("for", format!("{}{orgs}", e(&verified.circle)));
    row("record", format!("{} (number {} of log {})", verified.record, verified.seq, verified.epoch));
    if let Some(expires) = &verified.expires {
        row("ends", expires.clone());
    }
    if let Some(revoked) = &verified.revoked {
        row("but", format!("its node was taken out of the mesh at {revoked}; this record still counts"));
    }
    let how = match verified.proven.as_str() {
        "signed" => "signed as it stands",
        "opened" => "what was signed is sealed and opens to it, by the key in the file",
        _ => "NOT PROVEN: what was signed is sealed, and that it says this is the word of who made the file",
    };
    row("what it says", how.to_owned());
    if let Some(title) = &verified.title {
        row("", format!("{}: {}", verified.kind, e(title)));
    }
    for value in &verified.values {
        row("", e(value));
    }
    if verified.value_count > verified.values.len() {
        row("", format!("and {} more", verified.value_count - verified.values.len()));
    }
    row("mesh", format!("{}, id {}", e(&verified.mesh_name), verified.mesh));
    row("fingerprint", verified.mesh_fingerprint.clone());
    row("org's root", or_unknown(&verified.root_fingerprint));
    out.push(if verified.mesh_compared {
        "The mesh is the one that was given.".to_owned()
    } else {
        "Compare the mesh's fingerprint by another path, with somebody who is in it: anybody can found a mesh.".to_owned()
    });
    out.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mesh_is_named_by_id_or_fingerprint() {
        let mesh = MeshId([7; 32]);
        for word in [mesh.to_string(), fingerprint(&mesh.0), fingerprint(&mesh.0).to_uppercase()] {
            let named = parse_mesh(&word).unwrap();
            assert!(named.is(mesh) && !named.is(MeshId([8; 32])), "{word}");
        }
        for word in
            ["", "1f0c", "1f0c-22ab-90de-4411-7c3e-0a9b-55d0", "1f0c-22ab-90de-4411-7c3e-0a9b-55d0-e1fg"]
        {
            assert!(parse_mesh(word).is_err(), "{word}");
        }
    }
}
