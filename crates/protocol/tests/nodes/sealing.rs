//! What is written to a circle with a roster is sealed to its members: they read it, carriers pass it on, nobody else reads anything.

use crate::world::{OPEN, World, node_certificate, report, sealing, secret};
use tocsin_protocol::{CircleRequest, Input};
use tocsin_record::body::report::Subject;
use tocsin_record::body::{self, Body};
use tocsin_record::document::{Carry, Roster, Signed};
use tocsin_record::keys::Secret;
use tocsin_record::{CircleId, DocHash, NodeKey, OrgId, Part, RecordId};
use tocsin_seal::Opener;
use tocsin_store::{BodyState, RecordRef, Verdict};

const AMBER: u8 = 3;
const RED: u8 = 5;
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
    let carry = if carrier.is_some() { Carry::Named } else { Carry::Members };
    carried(world, nodes, carry, carrier)
}

fn carried(
    world: &mut World,
    nodes: &[u8],
    carry: Carry,
    carrier: Option<usize>,
) -> (CircleId, Roster, Signed) {
    let members: Vec<usize> = nodes.iter().map(|node| usize::from(*node)).collect();
    let roster = Roster {
        mesh: world.mesh(),
        version: 1,
        prev: DocHash::ZERO,
        nonce: [77; 32],
        name: "ops".into(),
        time: 0,
        expires: 0,
        carry,
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

/// The certificate of one more node of an org.
fn certified(org: u8, node: u8) -> Signed {
    let (root, record, transport) = (secret(0, org, 0), secret(1, node, 0), secret(2, node, 0));
    Signed::sign(&node_certificate(&root, &record, &transport), &[&root, &record, &transport])
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
    // What it cannot read it gives up all the same when it is taken back, by its id.
    let Body::Report(body) = told(1, AMBER, "192.0.2.1") else { unreachable!() };
    world.request(0, |ticket| Input::Retract { ticket, subject: body.subject, reason: 1 }).unwrap();
    world.pass(5_000);
    for node in [0, 1, 2] {
        assert!(matches!(verdict(&world, node, &id), Some((_, BodyState::Gone(_)))), "node {node}");
    }
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

#[test]
fn a_node_that_its_author_knows_of_only_later_is_given_the_keys_that_its_org_had() {
    let mut world = World::new(3, OPEN);
    world.connect_all();
    let (circle, _, _) = circle(&mut world, &[0, 1], None);
    publish(&mut world, 0, circle, vec![told(1, AMBER, "192.0.2.1"), told(2, AMBER, "192.0.2.2")]);
    let entry = |world: &World, seq: u64| {
        let reader = world.nodes[0].mesh.reader();
        let log = reader.logs().into_iter().find(|log| log.key.circle == circle).unwrap();
        reader.record(RecordRef { log: log.no, seq }).unwrap().map(|stored| stored.entry)
    };
    bring(&mut world, 0, &certified(2, 20));
    world.pass(5_000);
    assert_eq!(entry(&world, 4).map(drop), None, "of an org that is not in it");
    bring(&mut world, 0, &certified(1, 21));
    world.pass(5_000);

    let record = secret(1, 21, 0);
    let opener = Opener::new(NodeKey(record.public()), vec![sealing(&record)]);
    let (key, report) = (entry(&world, 1).unwrap(), entry(&world, 2).unwrap());
    let (Some(Ok(Body::Key(wrapped))), Part::Here(sealed)) = (Body::of(&key), &report.body) else {
        panic!("a key and what is sealed by it")
    };
    assert!(opener.learn(&key.header, &wrapped, 0, 16).is_err(), "it was not known then");
    let Some(Ok(Body::Rewrap(again))) = Body::of(&entry(&world, 4).unwrap()) else {
        panic!("the key once more")
    };
    assert_eq!(again.key, key.id);
    opener.learn(&key.header, &again.clone().in_place_of(&wrapped), 0, 16).unwrap();
    let plain = opener.open(&report.header, sealed).unwrap();
    assert!(plain.bytes.windows(TITLE.len()).any(|part| part == TITLE.as_bytes()));
    // To nobody else.
    let other = secret(1, 20, 0);
    let stranger = Opener::new(NodeKey(other.public()), vec![sealing(&other)]);
    assert!(stranger.learn(&key.header, &again.in_place_of(&wrapped), 0, 16).is_err());
    // And once: it is remembered whom it was given to.
    world.restart(0);
    world.connect_all();
    world.pass(5_000);
    assert_eq!(entry(&world, 5).map(drop), None);
}

#[test]
fn what_was_sealed_before_an_org_came_in_is_not_asked_for_until_a_member_opens_it() {
    let mut world = World::new(4, OPEN);
    world.connect_all();
    let (circle, roster, first) = circle(&mut world, &[0, 1], None);
    let before = publish(&mut world, 0, circle, vec![told(1, AMBER, "192.0.2.1")])[0];
    world.pass(2_000);
    let more = Roster { version: 2, prev: first.hash(), orgs: orgs(&world, &[0, 1, 2]), ..roster };
    bring(&mut world, 0, &signed(&more, &[0, 2]));
    publish(&mut world, 0, circle, vec![told(2, AMBER, "192.0.2.2")]);
    world.pass(10_000);
    assert_eq!([0, 1, 2].map(|node| world.lookup(node, "192.0.2.2")), [1, 1, 1]);
    assert_eq!([0, 1, 2].map(|node| world.lookup(node, "192.0.2.1")), [1, 1, 0]);
    assert_eq!(verdict(&world, 2, &before), Some((Verdict::Refused, BodyState::Refused)));
    let rule = world.stored(2, &before).unwrap().stamped.outcome.rule;
    let rule = world.nodes[2].mesh.reader().rule(rule);
    assert_eq!(rule.as_deref(), Some("guardrail:before-joining"));

    let to = |node: usize| world.nodes[node].mesh.org();
    let (joined, stranger) = (to(2), to(3));
    let mut open = |node, org, since| {
        let request = CircleRequest::OpenHistory { circle, org, since };
        let done = world.request(node, |ticket| Input::Circle { ticket, request });
        world.pass(10_000);
        let read = (0..4).map(|node| world.lookup(node, "192.0.2.1")).collect::<Vec<_>>();
        (done.map(|done| done.written.len()).map_err(|error| error.to_string()), read)
    };
    let (refused, read) = open(1, stranger, 0);
    assert!(refused.unwrap_err().contains("not in the circle"));
    assert_eq!(read, [1, 1, 0, 0]);
    let (refused, _) = open(3, joined, 0);
    assert!(refused.is_err(), "who is not in it opens nothing");
    let (refused, _) = open(2, joined, 0);
    assert!(refused.is_err(), "nor who does not read it itself");
    // Not the author: another member that reads it.
    let (done, read) = open(1, joined, 0);
    assert_eq!((done.unwrap(), read), (1, vec![1, 1, 1, 0]));
    world.restart(2);
    assert_eq!(world.lookup(2, "192.0.2.1"), 1);
}

/// The body of a record as it was sent, which no frame to another node may hold.
fn sealed_body(world: &World, node: usize, id: &RecordId) -> Vec<u8> {
    world.stored(node, id).unwrap().entry.body().unwrap().to_vec()
}

#[test]
fn where_the_author_carries_members_get_it_from_the_author_alone() {
    let mut world = World::new(4, OPEN);
    let (circle, _, _) = carried(&mut world, &[0, 1, 2], Carry::Author, None);
    // Node 2 is linked with another member, and node 1 with who is not in it.
    world.connect(0, 1);
    world.connect(1, 2);
    world.connect(1, 3);
    world.pass(5_000);
    let ids = publish(&mut world, 0, circle, vec![told(1, RED, "192.0.2.1"), told(2, AMBER, "192.0.2.2")]);
    world.pass(30_000);
    let bodies: Vec<Vec<u8>> = ids.iter().map(|id| sealed_body(&world, 1, id)).collect();
    let read = |world: &World, node| (world.lookup(node, "192.0.2.1"), world.lookup(node, "192.0.2.2"));
    assert_eq!([0, 1].map(|node| read(&world, node)), [(1, 1); 2]);
    for body in &bodies {
        assert!(hears(&world, 1, body), "it came from its author");
    }
    let nothing = |world: &World, why: &str| {
        assert_eq!(read(world, 2), (0, 0), "{why}");
        for (id, body) in ids.iter().zip(&bodies) {
            assert_ne!(verdict(world, 2, id).map(|(_, body)| body), Some(BodyState::Here), "{why}");
            assert!(!hears(world, 2, body) && !hears(world, 3, body), "{why}");
        }
    };
    nothing(&world, "live");
    // Nor by catching up: with an empty disk, or by asking for what is missing.
    world.disconnect(1, 2);
    world.restart_empty(2);
    world.connect(1, 2);
    world.pass(150_000);
    nothing(&world, "by catching up");
    assert_eq!(world.stored(3, &ids[0]).map(drop), None);

    // What takes it back goes by members as well; the rest comes when the author is linked.
    let subject = Subject([2; 16]);
    world.request(0, |ticket| Input::Retract { ticket, subject, reason: 1 }).unwrap();
    world.pass(5_000);
    assert!(matches!(verdict(&world, 2, &ids[1]), Some((_, BodyState::Gone(_)))));
    world.connect(0, 2);
    world.pass(65_000);
    assert_eq!(read(&world, 2), (1, 0));
    assert!(hears(&world, 2, &bodies[0]) && !hears(&world, 3, &bodies[0]));
}

#[test]
fn red_is_written_and_kept_only_where_the_author_carries() {
    let mut world = World::new(3, OPEN);
    world.connect_all();
    let bodies = || vec![told(1, RED, "192.0.2.1")];
    let mesh = CircleId::mesh(world.mesh());
    let (members, _, _) = circle(&mut world, &[0, 1], None);
    for circle in [mesh, members] {
        let refused = world.request(0, |ticket| Input::Publish { ticket, circle, bodies: bodies() });
        assert!(refused.unwrap_err().to_string().contains("tlp-direction"));
    }

    let mut world = World::new(3, OPEN);
    world.connect_all();
    let (named, _, _) = circle(&mut world, &[0, 1], Some(2));
    let refused = world.request(0, |ticket| Input::Publish { ticket, circle: named, bodies: bodies() });
    assert!(refused.unwrap_err().to_string().contains("tlp-direction"));

    // Where members carry from then on, they refuse it, and nothing of it stays.
    let mut world = World::new(2, OPEN);
    world.connect_all();
    let (circle, roster, first) = carried(&mut world, &[0, 1], Carry::Author, None);
    let id = publish(&mut world, 0, circle, bodies())[0];
    world.pass(2_000);
    assert_eq!(verdict(&world, 1, &id), Some((Verdict::Accepted, BodyState::Here)));
    let looser = Roster { version: 2, prev: first.hash(), carry: Carry::Members, ..roster };
    bring(&mut world, 0, &signed(&looser, &[0]));
    world.pass(10_000);
    assert_eq!(verdict(&world, 1, &id), Some((Verdict::Refused, BodyState::Refused)));
    assert_eq!(world.lookup(1, "192.0.2.1"), 0);
}
