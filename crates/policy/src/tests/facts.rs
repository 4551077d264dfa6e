//! Facts to start a test from.

use std::sync::Arc;

use tocsin_record::body;
use tocsin_record::document::Carry;
use tocsin_record::id::OrgId;
use tocsin_record::marking::{Code, Flags, Marking, Pap, Tlp};

use crate::*;

pub const DAY_MS: u64 = 86_400_000;
pub const NOW_MS: u64 = 1_800_000_000_000;
pub const HOME: Home = Home { org: OrgId([1; 32]), country: *b"AA" };

pub fn org(id: u8, name: &'static str) -> Org<'static> {
    Org { id: OrgId([id; 32]), name, kind: "csirt", country: *b"BB", regimes: &[], roles: &[], trust: None }
}

pub fn person() -> Person<'static> {
    Person { name: "analyst", roles: &[], purposes: &[], purpose: None, includes_red: false }
}

pub fn consumer() -> Consumer<'static> {
    Consumer { name: "ids", format: "suricata", ceiling: Tlp::Green, action: Pap::Red, exercise: false }
}

pub fn marking(tlp: Tlp) -> Marking {
    Marking::new(tlp)
}

pub fn purpose(name: &str) -> Code {
    Code::purpose(name).unwrap()
}

/// A report in the mesh circle with one indicator, marked as given, in order.
pub fn record<'a>(author: &'a Org<'a>, marking: &'a Marking) -> RecordFacts<'a> {
    RecordFacts {
        header: HeaderFacts {
            author,
            circle: Circle { name: "mesh", kind: CircleKind::Mesh, carry: Carry::Members },
            class: Class::Content,
            kind: body::REPORT,
            tlp: Some(marking.tlp),
            flags: marking.flags(),
            cover: Cover::Unsealed,
            time_ms: NOW_MS - 3 * DAY_MS,
            expires_ms: 0,
            now_ms: NOW_MS,
        },
        body: Some(BodyFacts {
            marking: Some(marking),
            strictest_inside: Some(marking.tlp),
            origin: Origin::Own,
            confidence: Some((60, 80)),
            indicators: 1,
            types: &["ipv4"],
            newer: false,
        }),
        disputed: false,
    }
}

pub fn decisions(text: &str) -> Decisions {
    let policy = Policy::load(text).unwrap_or_else(|error| panic!("{error}"));
    Decisions::new(Arc::new(policy), HOME)
}

pub fn no_flags() -> Flags {
    Flags::default()
}

/// Permits every action, so that only guardrails deny.
pub const PERMIT_ALL: &str = "@id(\"all\") permit (principal, action in [Action::\"fetch\", \
    Action::\"accept\", Action::\"forward\", Action::\"query\", Action::\"export\"], resource);";
