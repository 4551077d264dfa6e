//! A node that knows one kind of body and one observable type less than its peers still relays what they write, byte
//! for byte, and holds it as newer than itself.
//!
//! The page is written by hand (`testing::page_of_one`), from the form as it is described, since an older node could not
//! write it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use tocsin_record::body::{self, Body, Carried, Note, Report, Retraction, Sighting, report};
use tocsin_record::document::{Form, Signed};
use tocsin_record::header::body_hash;
use tocsin_record::id::{OrgId, RecordId};
use tocsin_record::marking::{Code, Marking, Tlp};
use tocsin_record::observable::{Observable, TYPES};
use tocsin_record::run::{Draft, DraftError};
use tocsin_record::testing::{START_MS, log, page_of_one, report, secret};
use tocsin_record::{Bytes, Class, Header, Run, Tip, page};

/// A kind, an observable type and a code that no version of this project has given out.
const UNKNOWN: u16 = 0x3ffe;

/// A page of one record that ends in its author's signature.
fn page_of(suite: u8, class: Class, kind: u16, tlp: u8, flags: u16, extension: &[u8], bytes: &[u8]) -> Bytes {
    let header = Header {
        suite,
        class,
        kind,
        tlp,
        flags,
        mesh: log(&secret(3)).mesh,
        author: log(&secret(3)).author,
        circle: log(&secret(3)).circle,
        epoch: log(&secret(3)).epoch,
        seq: 1,
        prev: RecordId::ZERO,
        time: START_MS,
        expires: 0,
        roster: 1,
        extension: extension.to_vec(),
        body_len: u32::try_from(bytes.len()).unwrap(),
        body_hash: body_hash(bytes),
    };
    page_of_one(&header, bytes, &secret(3)).into()
}

/// Takes the page as a relay does: read, verify, read the body, write it again.
fn relay(page: &Bytes) -> Body {
    let run = page::decode(log(&secret(3)), page).unwrap().verify().unwrap();
    let entry = &run.entries()[0];
    let body = Body::read(&entry.header, entry.body().unwrap()).unwrap();
    assert_eq!(page::encode(&run), **page, "what is passed on is what came");
    body
}

fn held(name: &str, class: Class, kind: u16, tlp: u8, bytes: &[u8]) {
    let body = relay(&page_of(0, class, kind, tlp, 0, &[], bytes));
    assert!(body.is_newer(), "{name} is newer than this node, and was taken as {body:?}");
}

#[test]
fn an_unknown_kind_of_any_class_is_carried_and_held() {
    for class in [Class::Control, Class::Withdrawal, Class::Content] {
        let page = page_of(0, class, UNKNOWN, 3, 0xffc0, &[7; 256], b"what a newer node says");
        assert_eq!(relay(&page), Body::Newer);
    }
}

#[test]
fn an_unknown_suite_is_carried_and_held() {
    let page = page_of(9, Class::Content, body::REPORT, 0, 0, &[], b"sealed");
    assert_eq!(relay(&page), Body::Newer);
}

#[test]
fn a_header_extension_is_kept_and_changes_nothing_else() {
    let bytes = Body::Report(report(5)).encode();
    let page = page_of(0, Class::Content, body::REPORT, 2, 0, b"later", &bytes);
    assert_eq!(relay(&page), Body::Report(report(5)));
}

#[test]
fn what_a_report_says_in_newer_words_is_held() {
    let hold = |name: &str, change: &dyn Fn(&mut Report)| {
        let mut report = report(5);
        assert!(!Body::Report(report.clone()).is_newer());
        change(&mut report);
        let bytes = Body::Report(report.clone()).encode();
        held(name, Class::Content, body::REPORT, 2, &bytes);
    };
    assert!(TYPES.iter().all(|row| row.id != UNKNOWN));
    hold("an observable type", &|r| r.indicators[0].what = unknown());
    hold("a withdrawn observable's type", &|r| {
        r.extent = report::Extent::Changes;
        r.supersedes = Some(RecordId([9; 32]));
        r.withdrawn = vec![unknown()];
    });
    hold("a rule language", &|r| r.indicators[0].what.kind = 0x7fff);
    hold("an indicator kind", &|r| r.indicators[0].kind = code());
    hold("a purpose", &|r| marking_of(r).purposes = vec![code()]);
    hold("a marking code", &|r| marking_of(r).codes = vec![code()]);
    hold("an extension", &|r| r.extension = vec![1]);
}

#[test]
fn other_bodies_in_newer_words_are_held() {
    let marking = Marking::new(Tlp::Green);
    let newer_marking = Marking { codes: vec![code()], ..marking.clone() };
    let sighting = Sighting {
        salt: [1; 16],
        what: Some(Observable::parse("ipv4", "192.0.2.1").unwrap()),
        subject: None,
        kind: Code { kind: 0, value: vec![] },
        count: 1,
        time: START_MS,
        precision: 0,
        destination: None,
        source_port: 0,
        marking: marking.clone(),
        extension: vec![],
    };
    let sightings = [
        Sighting { what: Some(unknown()), ..sighting.clone() },
        Sighting { destination: Some(unknown()), ..sighting.clone() },
        Sighting { kind: code(), ..sighting.clone() },
        Sighting { marking: newer_marking.clone(), ..sighting.clone() },
        Sighting { extension: vec![1], ..sighting.clone() },
    ];
    assert!(!Body::Sighting(sighting).is_newer());
    for sighting in sightings {
        let bytes = Body::Sighting(sighting).encode();
        held("a sighting", Class::Content, body::SIGHTING, 2, &bytes);
    }

    let note = Note {
        salt: [1; 16],
        org: OrgId([2; 32]),
        subject: report::Subject([3; 16]),
        text: "words".to_owned(),
        marking: newer_marking,
        extension: vec![],
    };
    held("a note's marking", Class::Content, body::NOTE, 2, &Body::Note(note.clone()).encode());
    let note = Note { marking, extension: vec![1], ..note };
    held("a note", Class::Content, body::NOTE, 2, &Body::Note(note).encode());

    let retraction = Retraction {
        salt: [1; 16],
        subject: report::Subject([3; 16]),
        versions: vec![],
        reason: 999,
        extension: vec![1],
    };
    let bytes = Body::Retraction(retraction).encode();
    held("a retraction", Class::Withdrawal, body::RETRACTION, 0, &bytes);

    let carried = Carried {
        salt: [1; 16],
        document: Signed { form: Form::Roster, bytes: vec![], signatures: vec![] },
        extension: vec![1],
    };
    let bytes = Body::Roster(carried.clone()).encode();
    held("a carried roster", Class::Control, body::ROSTER, 0, &bytes);
    let bytes = Body::Certificate(carried).encode();
    held("a carried certificate", Class::Control, body::CERTIFICATE, 0, &bytes);
}

#[test]
fn newer_words_are_no_licence_for_broken_ones() {
    let mut report = report(5);
    report.extension = vec![1];
    report.indicators[0].confidence = Some(101);
    let bytes = Body::Report(report).encode();
    let page = page_of(0, Class::Content, body::REPORT, 2, 0, &[], &bytes);
    let run = page::decode(log(&secret(3)), &page).unwrap();
    let entry = &run.entries()[0];
    let refused = Body::read(&entry.header, entry.body().unwrap()).unwrap_err();
    assert!(refused.to_string().contains("confidence"), "{refused}");
}

#[test]
fn a_node_does_not_write_a_kind_that_it_does_not_know() {
    let draft = Draft {
        kind: UNKNOWN,
        tlp: 0,
        flags: 0,
        time: START_MS,
        expires: 0,
        roster: 1,
        extension: vec![],
        body: Bytes::from_static(b"body"),
    };
    let refused = Run::sign(&secret(3), log(&secret(3)), Tip::default(), vec![draft]).unwrap_err();
    assert_eq!(refused, DraftError::Kind(UNKNOWN));
}

fn code() -> Code {
    Code { kind: UNKNOWN, value: b"later".to_vec() }
}

fn unknown() -> Observable {
    Observable { kind: UNKNOWN, value: b"a value of a newer type".to_vec() }
}

fn marking_of(report: &mut Report) -> &mut Marking {
    report.marking.as_mut().unwrap()
}
