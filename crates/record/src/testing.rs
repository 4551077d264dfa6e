//! What the tests of this crate and of others are made of: keys, logs, reports, records and documents of a mesh that
//! does not exist, and a place where what they log is kept. Only with the feature `testing`, which nothing that is shipped
//! asks for.
//!
//! Each is the plainest that holds; a test writes out the fields that it is about, and takes the rest from here:
//! `Report { title: "x".to_owned(), ..testing::report(1) }`. Golden bytes rest on these values: they never change.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use bincode::Encode;

use crate::LogKey;
use crate::body::report::{Extent, Indicator, Origin, Report, Subject};
use crate::body::{self, Body};
use crate::codec;
use crate::document::{
    Carry, Certificate, CertifiedKey, Charter, Constituency, Contact, OrgEntry, OrgKind, Purpose, Roster,
};
use crate::header::{Class, Header, body_hash};
use crate::id::{BodyHash, CircleId, DocHash, MeshId, NodeKey, OrgId, RecordId};
use crate::keys::{Secret, Signature};
use crate::marking::{Code, Marking, Tlp};
use crate::observable::Observable;
use crate::run::Draft;

/// When everything here begins, in ms: 14 November 2023.
pub const START_MS: u64 = 1_700_000_000_000;

/// The mesh of all logs and rosters here.
pub const MESH: MeshId = MeshId([1; 32]);

/// Lower-case hexadecimal, as golden files have it.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// A key for each number.
#[must_use]
pub fn secret(number: u8) -> Secret {
    Secret::from_seed(&[number; 32])
}

/// The log of an author in circle 2.
#[must_use]
pub fn log(author: &Secret) -> LogKey {
    LogKey { mesh: MESH, author: NodeKey(author.public()), circle: CircleId([2; 32]), epoch: START_MS }
}

/// A value of a type, of which nothing else is said.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn indicator(type_name: &str, value: &str) -> Indicator {
    Indicator {
        what: Observable::parse(type_name, value).unwrap_or_else(|error| panic!("{error}")),
        kind: Code { kind: 0, value: vec![] },
        confidence: None,
        valid_from: 0,
        valid_until: 0,
        id: None,
        comment: String::new(),
    }
}

/// A report, marked TLP:GREEN, of one malicious address of 192.0.2.0/24.
#[must_use]
pub fn report(number: u8) -> Report {
    Report {
        salt: [number; 16],
        subject: Subject([number; 16]),
        supersedes: None,
        extent: Extent::Whole,
        origin: Origin::default(),
        marking: Some(Marking::new(Tlp::Green)),
        title: format!("report {number}"),
        description: String::new(),
        created: 0,
        modified: 0,
        labels: vec![],
        indicators: vec![Indicator {
            kind: Code { kind: 1, value: vec![] },
            confidence: Some(80),
            ..indicator("ipv4", &format!("192.0.2.{number}"))
        }],
        withdrawn: vec![],
        originals: vec![],
        extension: vec![],
    }
}

/// What an author signs of a body, marked as the body is.
///
/// # Panics
/// For a body of a kind that is newer than this code.
#[must_use]
pub fn draft(body: &Body, time: u64) -> Draft {
    Draft {
        kind: body.kind().expect("a body that was made here has a kind"),
        tlp: body.marking().map_or(0, |marking| marking.tlp.code()),
        flags: body.marking().map_or(0, |marking| marking.flags().word()),
        time,
        expires: 0,
        roster: 1,
        extension: vec![],
        body: body.encode().into(),
    }
}

/// The header of the first record of a log that nobody signed, marked as its body is.
///
/// # Panics
/// For a body of a kind that is newer than this code.
#[must_use]
pub fn header(body: &Body, bytes: &[u8]) -> Header {
    let kind = body.kind().expect("a body that was made here has a kind");
    Header {
        suite: 0,
        class: body::class_of(kind).expect("its kind is of the table"),
        kind,
        tlp: body.marking().map_or(0, |marking| marking.tlp.code()),
        flags: body.marking().map_or(0, |marking| marking.flags().word()),
        mesh: MESH,
        author: NodeKey([2; 32]),
        circle: CircleId([3; 32]),
        epoch: 1,
        seq: 1,
        prev: RecordId::ZERO,
        time: 1,
        expires: body.marking().and_then(|marking| marking.retain_until).unwrap_or(0),
        roster: 1,
        extension: vec![],
        body_len: u32::try_from(bytes.len()).expect("no test has a body of 4 GiB"),
        body_hash: body_hash(bytes),
    }
}

/// The form of a page, as it is described: written apart from [`crate::page`], which cannot write what is newer than itself.
#[derive(Encode)]
struct PageForm<'a> {
    seq: u64,
    prev: RecordId,
    shapes: Vec<Shape<'a>>,
    times: Vec<u64>,
    ends: Vec<u64>,
    lengths: Vec<u32>,
    parts: Vec<(u32, u8)>,
    hashes: Vec<BodyHash>,
    signature: Signature,
    bodies: &'a [u8],
}

#[derive(Encode)]
struct Shape<'a> {
    count: u32,
    version: u8,
    suite: u8,
    class: Class,
    kind: u16,
    tlp: u8,
    flags: u16,
    roster: u32,
    extension: &'a [u8],
}

/// A page of one record that never ends, with its body and its author's signature, whatever its header says.
#[must_use]
pub fn page_of_one(header: &Header, body: &[u8], author: &Secret) -> Vec<u8> {
    codec::encode(&PageForm {
        seq: header.seq,
        prev: header.prev,
        shapes: vec![Shape {
            count: 1,
            version: 1,
            suite: header.suite,
            class: header.class,
            kind: header.kind,
            tlp: header.tlp,
            flags: header.flags,
            roster: header.roster,
            extension: &header.extension,
        }],
        times: vec![header.time],
        ends: vec![0],
        lengths: vec![header.body_len],
        parts: vec![(1, 0)],
        hashes: vec![],
        signature: author.sign(&header.id().0),
        bodies: body,
    })
}

/// An org in a charter, by its root key, of which little is said.
#[must_use]
pub fn org(root: &Secret, name: &str) -> OrgEntry {
    OrgEntry {
        root: OrgId(root.public()),
        name: name.to_owned(),
        kind: OrgKind::Csirt.code(),
        country: *b"XA",
        regimes: vec![],
        constituency: Constituency::default(),
        contact: Contact::default(),
        addresses: vec![],
        quota: 0,
        roles: vec![],
    }
}

/// As [`org`], with something in all fields but its contact.
#[must_use]
pub fn steward(root: &Secret, name: &str) -> OrgEntry {
    OrgEntry {
        regimes: vec!["gdpr".to_owned()],
        constituency: Constituency {
            networks: vec!["192.0.2.0/24".to_owned()],
            asns: vec![64_496],
            suffixes: vec!["example".to_owned()],
        },
        addresses: vec!["/ip4/192.0.2.1/tcp/443".to_owned()],
        quota: 600,
        roles: vec!["steward".to_owned()],
        ..org(root, name)
    }
}

/// The first charter of a mesh of these orgs, which are sorted by root key.
#[must_use]
pub fn charter(orgs: Vec<OrgEntry>) -> Charter {
    Charter {
        version: 1,
        prev: DocHash::ZERO,
        nonce: [7; 32],
        name: "Example mesh".to_owned(),
        time: START_MS,
        expires: 0,
        history: 0,
        orgs,
        extension: vec![],
    }
}

/// The first roster of a circle of these orgs, sorted, with keys that may change it, sorted.
#[must_use]
pub fn roster(orgs: Vec<OrgId>, stewards: Vec<[u8; 32]>) -> Roster {
    Roster {
        mesh: MESH,
        version: 1,
        prev: DocHash::ZERO,
        nonce: [8; 32],
        name: "Task force".to_owned(),
        time: START_MS,
        expires: 0,
        carry: Carry::Members,
        orgs,
        carriers: vec![],
        stewards,
        cuts: vec![],
        extension: vec![],
    }
}

/// A key of a node for a purpose, from the start on.
#[must_use]
pub fn key(purpose: Purpose, bytes: &[u8]) -> CertifiedKey {
    CertifiedKey { purpose: purpose as u16, suite: 0, bytes: bytes.to_vec(), from: START_MS, until: 0 }
}

/// The first certificate of an org for a node with these keys.
#[must_use]
pub fn certificate(root: &Secret, keys: Vec<CertifiedKey>) -> Certificate {
    Certificate {
        org: OrgId(root.public()),
        node: "node-1".to_owned(),
        version: 1,
        time: START_MS,
        keys,
        branches: vec![],
        extension: vec![],
    }
}

/// What is written, kept: a log as text, for instance.
#[derive(Clone, Debug, Default)]
pub struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// All of it so far.
    ///
    /// # Panics
    /// When it is no text.
    #[must_use]
    pub fn text(&self) -> String {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        String::from_utf8(bytes).expect("what is logged is text")
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
