//! Files that an operator imports: STIX, MISP, CSV, plain lists, and the profiles of their sources.

use tocsin_exchange::marking::{Terms, resolve_marking};
use tocsin_exchange::{FileInfo, Profile, SKIPPED_MAX, import};
use tocsin_record::body::{Body, report::INDICATORS_MAX};
use tocsin_record::header::BODY_MAX;
use tocsin_record::id::{OrgId, RecordId};
use tocsin_record::marking::Tlp;
use tocsin_record::testing;

/// What patterns and bundles are made of.
pub(crate) const STIX_WORDS: &[&str] = &[
    "\"type\"",
    "\"indicator\"",
    "\"pattern\"",
    "\"objects\"",
    "\"object_refs\"",
    "\"object_marking_refs\"",
    "\"valid_from\"",
    "[ipv4-addr:value = '192.0.2.1']",
    " OR ",
    " AND ",
    " FOLLOWEDBY ",
    "MATCHES",
    "IN (",
    "'",
    "\\'",
    "\\u0000",
    "file:hashes.sha256",
    "file:hashes.'SHA-256'",
    "null",
    "1e999",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\n",
    "\u{feff}",
    "--",
];
/// What events are made of.
pub(crate) const MISP_WORDS: &[&str] = &[
    "\"Event\"",
    "\"Attribute\"",
    "\"Object\"",
    "\"response\"",
    "\"Tag\"",
    "\"name\"",
    "\"tlp:red\"",
    "\"value\"",
    "|",
    "\"to_ids\"",
    "\"deleted\"",
    "\"distribution\"",
    "\"timestamp\"",
    "\"uuid\"",
    "filename|sha256",
    "ip-dst|port",
    "null",
    "99999999999999999999",
    "-1",
    "true",
    "{",
    "}",
    "[",
    "]",
    ",",
    "\\ud800",
    "\u{202e}",
];
/// What tables and lists are made of.
pub(crate) const TEXT_WORDS: &[&str] = &[
    ",",
    ";",
    "\t",
    "\"",
    "\"\"",
    "\n",
    "\r\n",
    "\r",
    "# TLP:RED",
    "#",
    "type",
    "value",
    "192.0.2.1",
    "c2[.]example",
    "\0",
    "\u{feff}",
    "\u{1b}[2J",
    "||",
    "^",
    "0.0.0.0 ",
    "//",
    " ",
];

/// A bundle, or lines of objects.
pub fn stix(data: &[u8]) {
    file(data, Some("stix"));
}

/// An event, or several.
pub fn misp(data: &[u8]) {
    file(data, Some("misp"));
}

/// A table.
pub fn csv(data: &[u8]) {
    file(data, Some("csv"));
}

/// A plain list; and the same bytes as whatever they look like.
pub fn list(data: &[u8]) {
    file(data, Some("list"));
    file(data, None);
}

/// A source's profile.
pub fn profile(data: &[u8]) {
    if let Ok(text) = str::from_utf8(data)
        && let Err(error) = Profile::parse(text)
    {
        // A parser of TOML shows the line it stopped at, so the message may have several.
        assert!(!error.to_string().is_empty());
    }
}

fn file(data: &[u8], format: Option<&str>) {
    let profile = Profile { format: format.map(str::to_owned), ..Profile::default() };
    let file = FileInfo { name: "file", source: "fuzz", org: OrgId([5; 32]), profile: &profile };
    let found = match import(data, &file) {
        Ok(found) => found,
        Err(error) => {
            shown(&error.to_string());
            return;
        }
    };
    assert!(found.skipped.len() <= SKIPPED_MAX);
    for skipped in &found.skipped {
        shown(&skipped.path);
        shown(&skipped.why);
    }
    for report in &found.reports {
        assert!(report.indicators.len() <= INDICATORS_MAX);
        let terms = Terms { tlp: Some(Tlp::Green), ..Terms::default() };
        let marking = resolve_marking(
            &report.marking,
            &found.marking,
            &profile,
            &terms,
            tocsin_exchange::personal::of(&report.indicators, &report.originals),
            1,
        );
        let marking = marking.filter(|marking| marking.check().is_ok());
        assert!(marking.is_some(), "with a flag there is always a marking in bounds");
        for marking in [None, marking] {
            written(Body::Report(report.whole([0; 16], marking.clone())));
            let version = report.version([0; 16], marking, RecordId([1; 32]), &report.indicators);
            assert!(version.indicators.is_empty() && version.withdrawn.is_empty(), "nothing changed");
        }
    }
    if data.len() < 4096 {
        let again = import(data, &file).ok();
        assert!(again.as_ref() == Some(&found), "the same file was read in two ways");
    }
}

/// What was imported can be written as a record, and is read by others as it was meant.
fn written(body: Body) {
    let bytes = body.encode();
    assert!(bytes.len() <= BODY_MAX, "a report of {} bytes fits in no record", bytes.len());
    let header = testing::header(&body, &bytes);
    match Body::read(&header, &bytes) {
        Ok(read) => {
            assert_eq!(read, body);
            assert!(!read.is_newer(), "an import wrote what this node does not understand: {read:?}");
        }
        Err(error) => panic!("an import wrote a body that is refused for good: {error}"),
    }
}

fn shown(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?} would reach a terminal");
}
