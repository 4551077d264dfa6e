//! Every form that is signed or sent, as bytes: a change of one breaks every mesh that exists.
//!
//! `golden/forms.txt` has one line a form: its name and what it must be. A form that is added gets a line; a line
//! that stands never changes. Types of observables have their own in `src/observable/tests/golden.rs`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use tocsin_record::body::{
    self, Body, Carried, Note, Report, Retraction, Rewrap, Sighting, report, retraction,
};
use tocsin_record::document::{
    Branch, Carry, Certificate, CertifiedKey, Charter, Contact, Cut, Document, OrgEntry, OrgKind, Purpose,
    Revocations, Revoked, Roster, Signed, encode_all,
};
use tocsin_record::header::body_hash;
use tocsin_record::id::{self, CircleId, DocHash, LogId, MeshId, NodeKey, OrgId, RecordId};
use tocsin_record::marking::{Code, Countries, CountryCode, Marking, Pap, Personal, Police, Reference, Tlp};
use tocsin_record::observable::Observable;
use tocsin_record::testing::{self, hex, key, secret, steward};
use tocsin_record::{Class, Header, codec};

#[test]
fn every_form_is_pinned() {
    let mut lines = Vec::new();
    headers(&mut lines);
    markings(&mut lines);
    bodies(&mut lines);
    documents(&mut lines);
    ids(&mut lines);
    tables(&mut lines);
    let pinned: Vec<&str> = include_str!("golden/forms.txt").lines().collect();
    for (line, pinned) in lines.iter().zip(&pinned) {
        assert_eq!(line, pinned, "a signed or sent form has changed");
    }
    assert_eq!(
        lines.len(),
        pinned.len(),
        "forms without a pinned line, or lines without a form:\n{}",
        lines[pinned.len().min(lines.len())..].join("\n")
    );
}

fn code(kind: u16, value: &[u8]) -> Code {
    Code { kind, value: value.to_vec() }
}

fn headers(lines: &mut Vec<String>) {
    let plain = Header {
        suite: 0,
        class: Class::Withdrawal,
        kind: body::RETRACTION,
        tlp: 0,
        flags: 0,
        mesh: MeshId([1; 32]),
        author: NodeKey([2; 32]),
        circle: CircleId([3; 32]),
        epoch: 1_700_000_000_000,
        seq: 1,
        prev: RecordId::ZERO,
        time: 1_700_000_000_001,
        expires: 0,
        roster: 4,
        extension: vec![],
        body_len: 5,
        body_hash: body_hash(b"five!"),
    };
    let newer = Header {
        suite: 7,
        class: Class::Content,
        kind: 0xfffe,
        tlp: 5,
        flags: 0xffff,
        seq: 0x0102_0304_0506_0708,
        prev: RecordId([9; 32]),
        expires: u64::MAX,
        extension: vec![0xee; 256],
        ..plain.clone()
    };
    for (name, header) in [("header first", plain), ("header newer", newer)] {
        assert_eq!(Header::decode(&header.encode()), Ok(header.clone()), "{name}");
        lines.push(format!("{name}: {}", hex(&header.encode())));
        lines.push(format!("{name} id: {}", header.id()));
    }
}

/// Every field that a marking has, each at a value of its own.
fn full_marking() -> Marking {
    let country = |text: &str| text.parse::<CountryCode>().unwrap();
    Marking {
        tlp: Tlp::AmberStrict,
        pap: Some(Pap::Amber),
        personal: Personal::Possible,
        purposes: vec![
            Code::purpose("network-defence").unwrap(),
            Code::purpose("criminal-investigation").unwrap(),
        ],
        legal_basis: Some("Example Act 1".to_owned()),
        retain_until: Some(1_800_000_000_000),
        countries: Countries::except([country("XA"), country("XB")]),
        police: Some("B2 H1 H3".parse::<Police>().unwrap()),
        references: vec![Reference::new("siena", "1234-1").unwrap()],
        exercise: true,
        codes: vec![code(0x1234, b"later")],
    }
    .tidy()
}

fn markings(lines: &mut Vec<String>) {
    let green = Marking::new(Tlp::Green);
    let mut variants = vec![("full".to_owned(), full_marking())];
    for tlp in Tlp::ALL {
        variants.push((tlp.label().to_owned(), Marking::new(tlp)));
    }
    for pap in Pap::ALL {
        let pap_only = Marking { pap: Some(pap), ..green.clone() };
        variants.push((pap.label().to_owned(), pap_only));
    }
    for personal in Personal::ALL {
        let personal_only = Marking { personal, ..green.clone() };
        variants.push((format!("personal {personal}"), personal_only));
    }
    let only = Countries::only(["XA", "XB"].map(|text| text.parse().unwrap()));
    let limited = Marking { countries: only, ..green.clone() };
    variants.push(("countries only".to_owned(), limited));
    for police in ["A1", "C3", "X4", "H0 H2"] {
        let coded = Marking { police: Some(police.parse().unwrap()), ..green.clone() };
        variants.push((format!("police {police}"), coded));
    }
    for (name, marking) in variants {
        marking.check().unwrap();
        let bytes = codec::encode(&marking);
        assert_eq!(codec::decode::<Marking, 65_536>(&bytes).unwrap(), marking, "{name}");
        lines.push(format!("marking {name}: {} flags {:#06x}", hex(&bytes), marking.flags().word()));
    }
}

fn bodies(lines: &mut Vec<String>) {
    let address = Observable::parse("ipv4", "192.0.2.1").unwrap();
    let subject = report::Subject([0x51; 16]);
    let indicator = report::Indicator {
        what: address.clone(),
        kind: code(8, b""),
        confidence: Some(75),
        valid_from: 1_700_000_000_000,
        valid_until: 1_700_086_400_000,
        id: Some([0x1d; 16]),
        comment: "beacon".to_owned(),
    };
    let rule = report::Indicator {
        what: Observable { kind: report::PATTERN_FIRST, value: b"[ipv4-addr:value = '192.0.2.1']".to_vec() },
        kind: code(0, b""),
        confidence: None,
        valid_from: 0,
        valid_until: 0,
        id: None,
        comment: String::new(),
    };
    let whole = Report {
        salt: [0xaa; 16],
        subject,
        supersedes: None,
        extent: report::Extent::Whole,
        origin: report::Origin {
            source: Some(report::Source {
                name: "example-feed".to_owned(),
                org: Some(OrgId([4; 32])),
                id: "event-1".to_owned(),
                record: Some(RecordId([5; 32])),
            }),
        },
        marking: Some(full_marking()),
        title: "Title".to_owned(),
        description: "Text".to_owned(),
        created: 1,
        modified: 2,
        labels: vec!["a".to_owned(), "b".to_owned()],
        indicators: vec![indicator, rule],
        withdrawn: vec![],
        // Pinned as given: compressing it here would pin zstd instead.
        originals: vec![report::Original { format: 1, full: 2, data: vec![1, 2, 3] }],
        extension: vec![0xee],
    };
    let changes = Report {
        supersedes: Some(RecordId([6; 32])),
        extent: report::Extent::Changes,
        origin: report::Origin::default(),
        marking: None,
        withdrawn: vec![address.clone()],
        originals: vec![],
        extension: vec![],
        ..whole.clone()
    };
    let sighting = Sighting {
        salt: [0xbb; 16],
        what: Some(address.clone()),
        subject: Some(subject),
        kind: code(1, b""),
        count: 3,
        time: 1_700_000_000_000,
        precision: 60_000,
        destination: Some(Observable::parse("domain", "c2.example").unwrap()),
        source_port: 443,
        marking: full_marking(),
        extension: vec![],
    };
    let note = Note {
        salt: [0xcc; 16],
        org: OrgId([4; 32]),
        subject,
        text: "Words".to_owned(),
        marking: full_marking(),
        extension: vec![],
    };
    let taken_back = Retraction {
        salt: [0xdd; 16],
        subject,
        versions: vec![retraction::Version {
            author: NodeKey([2; 32]),
            epoch: 1_700_000_000_000,
            seq: 9,
            id: RecordId([8; 32]),
        }],
        reason: 2,
        extension: vec![],
    };
    let carried = |document: Signed| Carried { salt: [0x0c; 16], document, extension: vec![] };
    let bodies = [
        ("report", Body::Report(whole)),
        ("report of changes", Body::Report(changes)),
        ("sighting", Body::Sighting(sighting)),
        ("note", Body::Note(note)),
        ("retraction", Body::Retraction(taken_back)),
        ("roster", Body::Roster(carried(Signed::sign(&roster(), &[&secret(1)])))),
        ("certificate", Body::Certificate(carried(Signed::sign(&certificate(), &[&secret(1)])))),
        (
            "rewrap",
            Body::Rewrap(Rewrap {
                salt: [0xee; 16],
                suite: 1,
                key: RecordId([8; 32]),
                wraps: b"wraps".to_vec(),
                extension: vec![],
            }),
        ),
    ];
    for (name, body) in bodies {
        let bytes = body.encode();
        let header = testing::header(&body, &bytes);
        assert_eq!(Body::read(&header, &bytes).unwrap(), body, "{name}");
        lines.push(format!("body {name}: {}", hex(&bytes)));
        lines.push(format!("body {name} hash: {}", body_hash(&bytes)));
    }
}

fn charter() -> Charter {
    let contact = Contact {
        desk: "Desk".to_owned(),
        phone: "+15550100".to_owned(),
        email: "desk@cert-a.example".to_owned(),
        notes: "24/7".to_owned(),
    };
    Charter {
        nonce: [0x77; 32],
        expires: 1_800_000_000_000,
        history: 86_400_000,
        ..testing::charter(vec![OrgEntry { contact, ..steward(&secret(1), "cert-a.example") }])
    }
}

fn roster() -> Roster {
    Roster {
        nonce: [0x78; 32],
        carry: Carry::Named,
        carriers: vec![OrgId([3; 32])],
        cuts: vec![Cut { log: LogId([4; 32]), seq: 5, id: RecordId([6; 32]) }],
        ..testing::roster(vec![OrgId(secret(1).public())], vec![secret(1).public()])
    }
}

fn certificate() -> Certificate {
    let keys = vec![
        key(Purpose::Record, &secret(2).public()),
        key(Purpose::Transport, &secret(3).public()),
        CertifiedKey { suite: 1, ..key(Purpose::Sealing, &[0x5e; 40]) },
        key(Purpose::Steward, &secret(4).public()),
    ];
    Certificate {
        version: 2,
        branches: vec![Branch { log: LogId([4; 32]), seq: 5, id: RecordId([6; 32]), epoch: 7 }],
        ..testing::certificate(&secret(1), keys)
    }
}

fn revocations() -> Revocations {
    Revocations {
        mesh: MeshId([1; 32]),
        version: 1,
        prev: DocHash::ZERO,
        time: 1_700_000_000_000,
        entries: vec![Revoked {
            org: OrgId(secret(1).public()),
            node: Some(NodeKey([2; 32])),
            time: 1_700_000_000_000,
            reason: 3,
            cuts: vec![Cut { log: LogId([4; 32]), seq: 5, id: RecordId([6; 32]) }],
        }],
        extension: vec![],
    }
}

fn documents(lines: &mut Vec<String>) {
    let mut all = Vec::new();
    pin(lines, &mut all, "charter", &charter());
    pin(lines, &mut all, "roster", &roster());
    pin(lines, &mut all, "certificate", &certificate());
    pin(lines, &mut all, "revocations", &revocations());
    lines.push(format!("documents: {}", hex(&encode_all(&all))));
    let (mesh, _) = Charter::open(&all[0]).unwrap();
    lines.push(format!("mesh id: {mesh}"));
    lines.push(format!("mesh circle: {}", CircleId::mesh(mesh)));
    let (circle, _) = Roster::open(MeshId([1; 32]), &all[1]).unwrap();
    lines.push(format!("circle id: {circle}"));
}

fn pin<D: Document + PartialEq + std::fmt::Debug>(
    lines: &mut Vec<String>,
    all: &mut Vec<Signed>,
    name: &str,
    document: &D,
) {
    let signed = Signed::sign(document, &[&secret(1)]);
    assert_eq!(&signed.read::<D>().unwrap(), document, "{name}");
    lines.push(format!("document {name}: {}", hex(&signed.bytes)));
    lines.push(format!("document {name} hash: {}", signed.hash()));
    lines.push(format!("document {name} signature: {}", hex(&signed.signatures[0].1.0)));
    all.push(signed);
}

fn ids(lines: &mut Vec<String>) {
    for (name, tag) in [
        ("record", id::RECORD),
        ("body", id::BODY),
        ("log", id::LOG),
        ("own circle", id::OWN_CIRCLE),
        ("document", id::DOCUMENT),
        ("head", id::HEAD),
        ("receipt", id::RECEIPT),
        ("proposal", id::PROPOSAL),
        ("frontier", id::FRONTIER),
    ] {
        lines.push(format!("tag {name}: {}", hex(&id::hash(tag, &[b"x"]))));
    }
    let own = CircleId::own(MeshId([1; 32]), OrgId([2; 32]));
    lines.push(format!("own circle: {own}"));
    lines.push(format!("fingerprint: {}", id::fingerprint(&[1; 32])));
}

fn tables(lines: &mut Vec<String>) {
    for row in body::KINDS {
        lines.push(format!("kind {} {} class {}", row.id, row.name, row.class as u8));
    }
    for (number, name) in retraction::REASONS {
        lines.push(format!("reason {number} {name}"));
    }
    for (number, name) in report::PATTERNS {
        lines.push(format!("pattern {number:#06x} {name}"));
    }
    for (number, name) in report::INDICATOR_KINDS {
        lines.push(format!("indicator kind {number} {name}"));
    }
    for name in [
        "none",
        "network-defence",
        "incident-response",
        "criminal-investigation",
        "crime-prevention",
        "border-security",
        "victim-notification",
        "national-security",
        "prosecution",
        "research",
        "statistics",
        "of-another-table",
    ] {
        let purpose = Code::purpose(name).unwrap();
        lines.push(format!("purpose {} {name} {}", purpose.kind, hex(&purpose.value)));
    }
    for name in ["siena", "i-24/7", "misp", "case", "ticket", "url", "stix", "another"] {
        let system = Code::system(name).unwrap();
        lines.push(format!("system {} {name} {}", system.kind, hex(&system.value)));
    }
    for (kind, name) in OrgKind::ALL {
        lines.push(format!("org kind {} {name}", kind as u16));
    }
}
