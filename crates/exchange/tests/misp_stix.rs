//! One event as MISP writes it and as misp-stix does: what is known of it does not depend on which of the two came in.
//!
//! `pair/event.misp.json` is an event of our own making, of documentation values, with the usual types of attributes and objects,
//! each with and without `to_ids` where that is usual. `pair/event.stix.json` was made of it once, with misp-stix 2026.10.12 of
//! PyPI, and is written an object a line:
//!
//! ```python
//! from misp_stix_converter import MISPtoSTIX21Parser
//! parser = MISPtoSTIX21Parser()
//! parser.parse_misp_event(json.load(open("event.misp.json")))
//! bundle = json.loads(parser.bundle.serialize())
//! ```

use std::collections::{BTreeMap, BTreeSet};

use tocsin_exchange::{FileInfo, Found, Profile, import, personal};
use tocsin_record::OrgId;
use tocsin_record::body::report::INDICATOR_KINDS;
use tocsin_record::marking::{Pap, Personal, Tlp};

const MISP: &[u8] = include_bytes!("pair/event.misp.json");
const STIX: &[u8] = include_bytes!("pair/event.stix.json");

/// What misp-stix does not say: that these attributes are to be looked for, which it keeps in objects of its own without that
/// word.
const WITHOUT_TO_IDS: &[&str] = &["1BoatSLRHtKNngkdXEeobR76b53LETtpyT", "DE89370400440532013000"];

/// The language of patterns of STIX.
const STIX_PATTERN: u16 = 0x4000;

/// How something may be handled.
type Marked = (Option<Tlp>, Option<Pap>);

fn read(bytes: &[u8]) -> Found {
    let file =
        FileInfo { name: "event", source: "partner", org: OrgId([7; 32]), profile: &Profile::default() };
    import(bytes, &file).unwrap_or_else(|error| panic!("{error}"))
}

fn marked(report: &tocsin_exchange::Imported) -> Marked {
    (report.marking.tlp.max(report.marking.floor), report.marking.pap)
}

/// Each value with what it indicates, its marking and its comment. A pattern of STIX that names no value is none: MISP has the same
/// in its event, as the attribute that it is.
fn values(found: &Found) -> BTreeMap<String, (String, Marked, String)> {
    let all = found.reports.iter().flat_map(|report| report.indicators.iter().map(move |one| (report, one)));
    let told = all.filter(|(_, one)| one.what.kind != STIX_PATTERN).map(|(report, one)| {
        let (name, value) = if one.is_pattern() {
            ("rule", String::from_utf8_lossy(&one.what.value).trim_matches(['[', ']', '\n']).to_owned())
        } else {
            (one.what.type_name(), one.what.show())
        };
        let kind = INDICATOR_KINDS.iter().find(|row| row.0 == one.kind.kind).map_or("?", |row| row.1);
        (format!("{name} {value}"), (kind.to_owned(), marked(report), one.comment.clone()))
    });
    told.collect()
}

fn personal_by_marking(found: &Found) -> BTreeMap<Marked, Personal> {
    let mut all = BTreeMap::new();
    for report in &found.reports {
        let of = personal::of(&report.indicators, &report.originals);
        let known: &mut Personal = all.entry(marked(report)).or_default();
        *known = of.max(*known);
    }
    all
}

#[test]
fn an_event_and_its_stix_answer_alike() {
    let (misp, stix) = (read(MISP), read(STIX));
    let (of_misp, mut of_stix) = (values(&misp), values(&stix));
    for (value, told) in &mut of_stix {
        if WITHOUT_TO_IDS.iter().any(|one| value.ends_with(one)) {
            assert_eq!(told.0, "observed", "{value}");
            "malicious-activity".clone_into(&mut told.0);
        }
    }
    let names = |of: &BTreeMap<String, _>| of.keys().cloned().collect::<BTreeSet<String>>();
    let (left, right) = (names(&of_misp), names(&of_stix));
    let only = |one: &BTreeSet<String>, other: &BTreeSet<String>| -> Vec<String> {
        one.difference(other).cloned().collect()
    };
    assert_eq!((only(&left, &right), only(&right, &left)), (Vec::new(), Vec::new()));
    let differ: Vec<_> = of_misp
        .iter()
        .map(|(value, told)| (value, told, &of_stix[value]))
        .filter(|(_, one, other)| one != other)
        .collect();
    assert!(differ.is_empty(), "{differ:#?}");
    assert!(of_misp.len() > 80, "{}", of_misp.len());
    // Some of each, so that nothing is alike for being nothing.
    for kind in ["malicious-activity", "observed", "unknown"] {
        assert!(of_misp.values().any(|told| told.0 == kind), "{kind}");
    }
    let tlps: BTreeSet<_> = of_misp.values().map(|told| told.1).collect();
    assert_eq!(
        tlps,
        BTreeSet::from([(Some(Tlp::Green), Some(Pap::Amber)), (Some(Tlp::Amber), Some(Pap::Amber))])
    );
}

#[test]
fn its_reports_are_called_labelled_and_as_personal_alike() {
    let (misp, stix) = (read(MISP), read(STIX));
    let head = |found: &Found| {
        let report = found.reports.iter().find(|report| report.marking.tlp == Some(Tlp::Green));
        let report = report.expect("the event itself");
        (report.title.clone(), report.origin.name.clone(), report.labels.clone(), report.modified)
    };
    assert_eq!(head(&misp), head(&stix));
    assert_eq!(head(&misp).2, ["type:OSINT"]);
    assert_eq!(personal_by_marking(&misp), personal_by_marking(&stix));
    assert_eq!(personal_by_marking(&misp)[&(Some(Tlp::Green), Some(Pap::Amber))], Personal::Yes);
}
