//! What is written to a circle with a roster is sealed to its members: they read it, carriers pass it on, nobody else reads anything.

use crate::world::{OPEN, World, node_certificate, report, secret};
use tocsin_protocol::Input;
use tocsin_record::body::report::Subject;
use tocsin_record::body::{self, Body};
use tocsin_record::document::{Carry, Roster, Signed};
use tocsin_record::keys::Secret;
use tocsin_record::{CircleId, DocHash, OrgId, RecordId};
use tocsin_store::{BodyState, RecordRef, Verdict};

const AMBER: u8 = 3;
/// Words of a report that no frame may show.
const TITLE: &str = "harbour pilots are phished";

/// A report with words in it that are found wherever it is not sealed.
fn told(number: u32, tlp: u8, address: &str) -> Body {
    let Body::Report(mut body) = report(number, tlp, address) else { unreachable!() };
    body.title = TITLE.into();
    Body::Report(body)
}

fn orgs(world: &World, nodes: &[usize]) -> Vec<OrgId> {
    let mut orgs: Vec<OrgId> = nodes.iter().map(|node| world.nodes[*node].mesh.org()).collect();
    orgs.sort_unstable();
    orgs
}

fn signed(roster: &Roster, nodes: &[u8]) -> Signed {
    let secrets: Vec<Secret> = nodes.iter().map(|node| secret(1, *node, 0)).collect();
    Signed::sign(roster, &secrets.iter().collect::<Vec<_>>())
}

fn bring(world: &mut World, node: usize, document: &Signed) {
    let documents = vec![document.clone()];
    world.request(node, |ticket| Input::Documents { ticket, documents }).unwrap();
}

/// A circle that node 0 founds, of these nodes' orgs, which node `carrier` carries for.
fn circle(world: &mut World, nodes: &[u8], carrier: Option<usize>) -> (CircleId, Roster, Signed) {
    let members: Vec<usize> = nodes.iter().map(|node| usize::from(*node)).collect();
    let roster = Roster {
        mesh: world.mesh(),
        version: 1,
        prev: DocHash::ZERO,
        nonce: [77; 32],
        name: "ops".into(),
        time: 0,
        expires: 0,
        carry: if carrier.is_some() { Carry::Named } else { Carry::Members },
        orgs: orgs(world, &members),
        carriers: carrier.map_or_else(Vec::new, |node| orgs(world, &[node])),
        stewards: vec![secret(1, 0, 0).public()],
        cuts: vec![],
        extension: vec![],
    };
    let mut signers = nodes.to_vec();
    signers.extend(carrier.map(|node| u8::try_from(node).unwrap()));
    let first = signed(&roster, &signers);
    bring(world, 0, &first);
    world.settle();
    (CircleId(first.hash().0), roster, first)
}

fn publish(world: &mut World, node: usize, circle: CircleId, bodies: Vec<Body>) -> Vec<RecordId> {
    let done = world.request(node, |ticket| Input::Publish { ticket, circle, bodies }).unwrap();
    world.settle();
    done.written.iter().map(|written| written.id).collect()
}

fn hears(world: &World, node: usize, what: &[u8]) -> bool {
    let frames = world.heard.get(&node).into_iter().flatten();
    frames.into_iter().any(|frame| frame.windows(what.len()).any(|part| part == what))
}

/// How many key records of the circle a node has of its first log there.
fn keys(world: &World, node: usize, circle: CircleId) -> usize {
    let reader = world.nodes[node].mesh.reader();
    let log = reader.logs().into_iter().find(|log| log.key.circle == circle).unwrap();
    let records = (1..=log.tip.seq).map(|seq| reader.record(RecordRef { log: log.no, seq }).unwrap());
    records.flatten().filter(|stored| stored.entry.header.kind == body::KEY).count()
}

fn verdict(world: &World, node: usize, id: &RecordId) -> Option<(Verdict, BodyState)> {
    world.stored(node, id).map(|stored| (stored.stamped.outcome.verdict, stored.stamped.outcome.body))
}

#[test]
fn members_read_what_is_sealed_to_them_and_its_header_shows_neither_kind_nor_marking() {
    let mut world = World::new(4, OPEN);
    let (circle, _, _) = circle(&mut world, &[0, 1, 2], None);
    world.connect_all();
    let ids = publish(&mut world, 0, circle, vec![told(1, AMBER, "192.0.2.1"), told(2, 2, "192.0.2.2")]);
    world.pass(5_000);
    for node in [0, 1, 2] {
        assert_eq!((world.lookup(node, "192.0.2.1"), world.lookup(node, "192.0.2.2")), (1, 1), "node {node}");
        let stored = world.stored(node, &ids[0]).unwrap();
        let header = &stored.entry.header;
        assert_eq!((header.suite, header.kind, header.tlp, header.flags), (1, 0, 0, 0));
        assert!(matches!(Body::of(&stored.entry), Some(Ok(Body::Report(report))) if report.title == TITLE));
    }
    assert_eq!(world.stored(3, &ids[0]).map(drop), None, "who is not in it has not even the header");
    for node in 1..4 {
        assert!(!hears(&world, node, TITLE.as_bytes()), "node {node} is told in clear");
    }
}

#[test]
fn amber_leaves_the_own_circle_sealed_or_not_at_all() {
    let mut world = World::new(2, OPEN);
    let mesh = CircleId::mesh(world.mesh());
    let bodies = vec![told(1, AMBER, "192.0.2.1")];
    let refused = world.request(0, |ticket| Input::Publish { ticket, circle: mesh, bodies });
    assert!(refused.unwrap_err().to_string().contains("tlp"));
    let (circle, _, _) = circle(&mut world, &[0, 1], None);
    let red = vec![told(2, 5, "192.0.2.2")];
    assert!(world.request(0, |ticket| Input::Publish { ticket, circle, bodies: red }).is_err());
    publish(&mut world, 0, circle, vec![told(1, AMBER, "192.0.2.1")]);
}

#[test]
fn a_carrier_passes_on_what_it_cannot_read() {
    let mut world = World::new(3, OPEN);
    world.connect(0, 2);
    world.connect(2, 1);
    let (circle, _, _) = circle(&mut world, &[0, 1], Some(2));
    world.pass(2_000);
    let id = publish(&mut world, 0, circle, vec![told(1, AMBER, "192.0.2.1")])[0];
    world.pass(10_000);
    assert_eq!(
        verdict(&world, 2, &id),
        Some((Verdict::Held, BodyState::Here)),
        "the carrier keeps ciphertext"
    );
    assert!(world.stored(2, &id).unwrap().entry.readable().is_none());
    assert_eq!([0, 1, 2].map(|node| world.lookup(node, "192.0.2.1")), [1, 1, 0]);
    assert!(!hears(&world, 2, TITLE.as_bytes()));
}

#[test]
fn who_is_taken_out_reads_nothing_from_the_next_record_on() {
    let mut world = World::new(3, OPEN);
    world.connect_all();
    let (circle, roster, first) = circle(&mut world, &[0, 1, 2], None);
    publish(&mut world, 0, circle, vec![told(1, AMBER, "192.0.2.1")]);
    world.pass(2_000);
    assert_eq!(world.lookup(2, "192.0.2.1"), 1);
    let fewer = Roster { version: 2, prev: first.hash(), orgs: orgs(&world, &[0, 1]), ..roster };
    bring(&mut world, 0, &signed(&fewer, &[0]));
    let id = publish(&mut world, 0, circle, vec![told(2, AMBER, "192.0.2.2")])[0];
    world.pass(10_000);
    assert_eq!([0, 1, 2].map(|node| world.lookup(node, "192.0.2.2")), [1, 1, 0]);
    assert_eq!(verdict(&world, 2, &id), None, "not even its header");
    let keys = [0, 1, 2].map(|node| keys(&world, node, circle));
    assert_eq!(keys, [2, 2, 1], "a new key at the change of the roster");
}

#[test]
fn a_node_that_a_member_certifies_makes_a_new_key_and_other_documents_make_none() {
    let mut world = World::new(3, OPEN);
    world.connect_all();
    let (circle, _, _) = circle(&mut world, &[0, 1], None);
    let publish_one = |world: &mut World, number: u32| {
        publish(world, 0, circle, vec![told(number, AMBER, "192.0.2.1")]);
        keys(world, 0, circle)
    };
    assert_eq!(publish_one(&mut world, 1), 1);
    let certified = |org: u8, node: u8| {
        let (root, record, transport) = (secret(0, org, 0), secret(1, node, 0), secret(2, node, 0));
        Signed::sign(&node_certificate(&root, &record, &transport), &[&root, &record, &transport])
    };
    bring(&mut world, 0, &certified(2, 20));
    assert_eq!(publish_one(&mut world, 2), 1, "of an org that is not in it");
    bring(&mut world, 0, &certified(1, 21));
    assert_eq!([publish_one(&mut world, 3), publish_one(&mut world, 4)], [2, 2]);
}

#[test]
fn one_key_serves_many_records_and_what_was_sealed_opens_after_a_restart() {
    let mut world = World::new(2, OPEN);
    world.connect_all();
    let (circle, _, _) = circle(&mut world, &[0, 1], None);
    for number in 1..=5 {
        publish(&mut world, 0, circle, vec![told(number, AMBER, &format!("192.0.2.{number}"))]);
    }
    world.pass(2_000);
    let reader = world.nodes[1].mesh.reader();
    let log = reader.logs().into_iter().find(|log| log.key.circle == circle).unwrap();
    assert_eq!(log.tip.seq, 6, "one key record, five reports");
    world.restart(1);
    for number in 1..=5 {
        assert_eq!(world.lookup(1, &format!("192.0.2.{number}")), 1);
    }
    // The author goes on after a restart, under a key that opens for the others.
    world.restart(0);
    world.connect_all();
    publish(&mut world, 0, circle, vec![told(6, AMBER, "192.0.2.6")]);
    world.pass(5_000);
    assert_eq!([0, 1].map(|node| world.lookup(node, "192.0.2.6")), [1, 1]);
}

#[test]
fn what_is_sealed_is_taken_back_everywhere() {
    let mut world = World::new(3, OPEN);
    world.connect_all();
    let (circle, _, _) = circle(&mut world, &[0, 1], None);
    let id = publish(&mut world, 0, circle, vec![told(1, AMBER, "192.0.2.1")])[0];
    world.pass(2_000);
    assert_eq!(world.lookup(1, "192.0.2.1"), 1);
    let Body::Report(body) = told(1, AMBER, "192.0.2.1") else { unreachable!() };
    let subject: Subject = body.subject;
    world.request(0, |ticket| Input::Retract { ticket, subject, reason: 1 }).unwrap();
    world.pass(2_000);
    for node in [0, 1] {
        assert_eq!(world.lookup(node, "192.0.2.1"), 0, "node {node}");
        assert!(matches!(verdict(&world, node, &id), Some((_, BodyState::Gone(_)))));
    }
}
