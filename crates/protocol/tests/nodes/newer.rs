//! A node with one kind of body and one observable type less than its peers still carries what they write, byte for
//! byte, live and in catch-up, and holds it as newer than itself.
//!
//! The test plays the newer author: its pages are written by hand (`testing::page_of_one`), since the nodes of this version
//! cannot.

use crate::world::{OPEN, World, report};
use tocsin_protocol::message::{self, Message, Push};
use tocsin_protocol::{RequestError, Why};
use tocsin_record::body::{self, Body};
use tocsin_record::header::body_hash;
use tocsin_record::observable::{Observable, TYPES};
use tocsin_record::testing::page_of_one;
use tocsin_record::{CircleId, Class, Header, LogKey, RecordId};
use tocsin_store::{BodyState, Verdict};

/// A kind and an observable type that no version of this project has given out.
const UNKNOWN: u16 = 0x3ffe;
/// Whom the test plays.
const AUTHOR: u8 = 0;

/// Writes records of one log, one page each.
struct Author {
    log: LogKey,
    seq: u64,
    prev: RecordId,
}

impl Author {
    /// A page of one GREEN record that ends in its author's signature, and the record's id.
    fn write(&mut self, world: &World, kind: u16, bytes: &[u8]) -> (Vec<u8>, RecordId) {
        let LogKey { mesh, author, circle, epoch } = self.log;
        let header = Header {
            suite: 0,
            class: Class::Content,
            kind,
            tlp: 2,
            flags: 0,
            mesh,
            author,
            circle,
            epoch,
            seq: self.seq,
            prev: self.prev,
            time: world.now.wall,
            expires: 0,
            roster: 1,
            extension: vec![],
            body_len: u32::try_from(bytes.len()).unwrap(),
            body_hash: body_hash(bytes),
        };
        let id = header.id();
        let page = page_of_one(&header, bytes, &world.record_secret(AUTHOR));
        self.seq += 1;
        self.prev = id;
        (page, id)
    }
}

/// A report with an observable of a type that nobody here knows, beside one that all know.
fn newer_report() -> Vec<u8> {
    assert!(TYPES.iter().all(|row| row.id != UNKNOWN));
    let Body::Report(mut written) = report(1, 2, "192.0.2.7") else { unreachable!("a report is a report") };
    let mut newer = written.indicators[0].clone();
    newer.what = Observable { kind: UNKNOWN, value: b"what a newer node lists".to_vec() };
    written.indicators.push(newer);
    written.indicators.sort_by(|a, b| a.what.cmp(&b.what));
    Body::Report(written).encode()
}

#[test]
fn what_is_newer_is_carried_and_held() {
    assert!(body::class_of(UNKNOWN).is_none());
    // 1 is linked to the author that the test plays, 2 to 1 only, and 3 to 2 only, after all was said.
    let mut world = World::new(4, OPEN);
    world.connect(1, 2);
    world.settle();
    let log = LogKey {
        mesh: world.mesh(),
        author: world.nodes[usize::from(AUTHOR)].mesh.node(),
        circle: CircleId::mesh(world.mesh()),
        epoch: world.now.wall,
    };
    let mut author = Author { log, seq: 1, prev: RecordId::ZERO };
    let link = world.strange_link(1, AUTHOR);
    let bodies =
        [(UNKNOWN, b"salt salt salt s, and what a newer node says".to_vec()), (body::REPORT, newer_report())];
    let mut ids = Vec::new();
    for (kind, bytes) in &bodies {
        let (page, id) = author.write(&world, *kind, bytes);
        let push = Push { log: 0, reply: false, page };
        world.receive(1, link, message::encode(&vec![Message::Name(0, log.into()), Message::Push(push)]));
        world.settle();
        ids.push(id);
    }
    assert!(!world.closed(1, link), "what is newer is no fault");
    // Judging anew changes nothing, and what is held is carried after it, too.
    world.policy(1, OPEN);
    world.policy(2, OPEN);
    world.settle();
    world.connect(2, 3);
    world.settle();
    for node in 1..4 {
        for ((kind, bytes), id) in bodies.iter().zip(&ids) {
            let stored = world.stored(node, id).unwrap_or_else(|| panic!("{kind} did not reach node {node}"));
            let outcome = stored.stamped.outcome;
            assert_eq!((outcome.verdict, outcome.body), (Verdict::Held, BodyState::Here), "{kind} at {node}");
            let rule = world.nodes[node].mesh.reader().rule(outcome.rule);
            assert_eq!(rule.as_deref(), Some("guardrail:newer"), "{kind} at {node}");
            assert_eq!(stored.entry.body().unwrap(), bytes, "what is passed on is what came");
        }
        assert_eq!(world.lookup(node, "192.0.2.7"), 0, "what is held is not matched");
    }
    // No person can release what the node does not understand.
    for id in &ids {
        let place = world.stored(2, id).unwrap().place;
        let said = world.decide(2, place, true);
        assert_eq!(said, Err(RequestError::HeldByGuardrail("guardrail:newer".to_owned())));
    }
    // And the log goes on above it.
    let bytes = report(3, 2, "192.0.2.9");
    let (page, id) = author.write(&world, body::REPORT, &bytes.encode());
    let push = Push { log: 0, reply: false, page };
    world.receive(1, link, message::encode(&vec![Message::Push(push)]));
    world.settle();
    for node in 1..4 {
        assert_eq!(
            world.stored(node, &id).unwrap().stamped.outcome.verdict,
            Verdict::Accepted,
            "node {node}"
        );
    }
    // Asked why, the carrier says that it passes on what it holds.
    let carrier = &world.nodes[2].mesh;
    let reader = carrier.reader();
    let place = reader.find(&ids[0]).unwrap().unwrap();
    let (directory, decisions) = (carrier.directory(), carrier.decisions());
    let why = Why::of(&reader, directory, decisions, carrier.org(), world.now.wall, place).unwrap().unwrap();
    assert!(why.forward.iter().any(|(_, said)| said.rule == "forward-all"), "{:?}", why.forward);
}
