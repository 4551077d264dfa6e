use tocsin_record::body::report::{Indicator, Origin as Source, Report};
use tocsin_record::body::{self, Body};
use tocsin_record::document::Carry;
use tocsin_record::document::OrgKind;
use tocsin_record::header::{Class, Header};
use tocsin_record::id::OrgId;
use tocsin_record::marking::{MarkingError, Tlp};

use tocsin_record::testing;

use super::facts::*;
use crate::*;

fn indicator(type_name: &str, value: &str, confidence: Option<u8>) -> Indicator {
    Indicator { confidence, ..testing::indicator(type_name, value) }
}

fn report(indicators: Vec<Indicator>) -> Body {
    let source = body::report::Source { name: "feed".into(), org: None, id: String::new(), record: None };
    Body::Report(Report { origin: Source { source: Some(source) }, indicators, ..testing::report(0) })
}

#[test]
fn a_report_is_counted_and_bounded() {
    let mut yara = indicator("ipv4", "192.0.2.9", None);
    yara.what.kind = 0x4001;
    let body = report(vec![
        indicator("ipv4", "192.0.2.1", Some(70)),
        indicator("domain", "evil.example", None),
        indicator("ipv4", "192.0.2.2", Some(20)),
        yara,
    ]);
    let view = BodyView::of(&body, Some(Tlp::Clear));
    let facts = view.facts();
    assert_eq!(facts.types, ["domain", "ipv4", "yara"]);
    assert_eq!((facts.confidence, facts.indicators), (Some((20, 70)), 4));
    assert!(matches!(facts.origin, Origin::Derived { source: "feed" }));
    assert_eq!((facts.marking.unwrap().tlp, facts.strictest_inside), (Tlp::Green, Some(Tlp::Clear)));
    assert!(!facts.newer);
    assert!(BodyView::of(&Body::Newer, None).facts().newer);
}

fn header(tlp: u8, flags: u16) -> Header {
    Header { tlp, flags, time: NOW_MS - DAY_MS, ..testing::header(&report(vec![]), b"") }
}

#[test]
fn a_header_off_its_scales_is_refused() {
    let author = org(2, "author");
    let circle = Circle { name: "mesh", kind: CircleKind::Mesh, carry: Carry::Members };
    let of = |tlp, flags| HeaderFacts::of(&header(tlp, flags), &author, circle, NOW_MS);
    assert_eq!(of(2, 0).unwrap().tlp, Some(Tlp::Green));
    assert_eq!(of(0, 1).unwrap().tlp, None);
    assert!(of(0, 1).unwrap().flags.exercise);
    assert_eq!(of(6, 0).unwrap_err(), MarkingError::UnknownTlp("6".into()));
    assert_eq!(of(2, 0b110).unwrap_err(), MarkingError::Flags(0b110));
    let facts = of(2, 0).unwrap();
    assert!(decisions(PERMIT_ALL).fetch(&facts).allow);
    assert_eq!((facts.class, facts.cover), (Class::Content, Cover::Unsealed));
}

/// A closed set of the schema that lacks a name would make a rule about it a load error.
#[test]
fn closed_sets_of_the_schema_hold_the_names_of_the_tables() {
    for (_, name) in OrgKind::ALL {
        assert!(SCHEMA.contains(&format!("\"{name}\"")), "{name}");
    }
    for kind in body::KINDS.iter().filter(|kind| kind.class == Class::Content) {
        assert!(SCHEMA.contains(&format!("\"{}\"", kind.name)), "{}", kind.name);
    }
    assert!(SCHEMA.contains(&format!("\"{}\"", body::name_of(60_000))));
    assert_eq!(HOME.org, OrgId([1; 32]));
}
