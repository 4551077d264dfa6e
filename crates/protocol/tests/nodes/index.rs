//! What is listed of records is there as long as their bodies are, and no longer: nothing in memory tells of what was
//! erased.

use crate::world::{HOLD, OPEN, World, report};
use tocsin_protocol::{Input, read, subject_key};
use tocsin_record::body::report::Subject;
use tocsin_record::body::{Body, Note, Sighting};
use tocsin_record::marking::{Code, Marking, Tlp};
use tocsin_record::observable::Observable;
use tocsin_store::{BodyState, Verdict};

const MINUTE: u64 = 60_000;

const REFUSE: &str = r#"
@id("fetch-all") permit(principal, action == Action::"fetch", resource);
@id("forward-all") permit(principal, action == Action::"forward", resource);
"#;

/// How many postings a node has in memory, of accepted and of held records.
fn listed(world: &World, node: usize) -> (usize, usize) {
    let index = world.nodes[node].mesh.index();
    let index = read(&index);
    (index.accepted.len(), index.held.len())
}

/// Three reports of one value each: one that ends in a minute, one to be taken back, one that stays.
fn published(world: &mut World) {
    let Body::Report(mut ends) = report(1, 1, "192.0.2.1") else { unreachable!() };
    ends.marking.as_mut().unwrap().retain_until = Some(world.now.wall + MINUTE);
    world.publish(0, Body::Report(ends));
    world.publish(0, report(2, 1, "192.0.2.2"));
    world.publish(0, report(3, 1, "192.0.2.3"));
    world.settle();
}

#[test]
fn what_is_erased_is_listed_no_longer() {
    // At node 1 accepted, at node 2 held.
    let mut world = World::new(3, OPEN);
    world.policy(2, HOLD);
    world.connect_all();
    published(&mut world);
    assert_eq!((listed(&world, 1), listed(&world, 2)), ((3, 0), (0, 3)));
    world.request(0, |ticket| Input::Retract { ticket, subject: Subject([2; 16]), reason: 2 }).unwrap();
    world.settle();
    // Of a retraction nothing is listed.
    assert_eq!((listed(&world, 0), listed(&world, 1), listed(&world, 2)), ((2, 0), (2, 0), (0, 2)));
    world.pass(MINUTE + 1_000);
    assert_eq!((listed(&world, 0), listed(&world, 1), listed(&world, 2)), ((1, 0), (1, 0), (0, 1)));
    assert_eq!((world.lookup(1, "192.0.2.1"), world.lookup(1, "192.0.2.3")), (0, 1));
    // And as much is found when the store is opened again.
    for node in [1, 2] {
        let before = listed(&world, node);
        world.restart(node);
        assert_eq!(listed(&world, node), before, "node {node}");
    }
}

#[test]
fn what_is_judged_anew_is_listed_as_it_is_now() {
    let mut world = World::new(2, OPEN);
    world.connect(0, 1);
    published(&mut world);
    for (policy, expected) in [(HOLD, (0, 3)), (OPEN, (3, 0)), (HOLD, (0, 3))] {
        world.policy(1, policy);
        world.settle();
        assert_eq!(listed(&world, 1), expected);
    }
    // The bodies of what was held are dropped with the refusal, and come again for another policy.
    world.policy(1, REFUSE);
    world.settle();
    let reader = world.nodes[1].mesh.reader();
    assert_eq!(
        reader.newest(|outcome| outcome.body == BodyState::Here && outcome.verdict != Verdict::Accepted),
        []
    );
    assert_eq!(listed(&world, 1), (0, 0));
    world.policy(1, OPEN);
    world.settle();
    for _ in 0..10 {
        world.pass(1_000);
    }
    assert_eq!(listed(&world, 1), (3, 0));
}

#[test]
fn what_is_said_of_values_and_reports_is_found_by_them_and_lists_nothing() {
    let mut world = World::new(2, OPEN);
    world.connect(0, 1);
    let (subject, other) = (Subject([7; 16]), Subject([8; 16]));
    let value = Observable::parse("ipv4", "192.0.2.7").unwrap();
    let mut marking = Marking::new(Tlp::Green);
    let note = Note {
        salt: [1; 16],
        org: world.nodes[0].mesh.org(),
        subject,
        text: "seen before".into(),
        marking: marking.clone(),
        extension: Vec::new(),
    };
    marking.retain_until = Some(world.now.wall + MINUTE);
    let sighting = Sighting {
        salt: [2; 16],
        what: Some(value.clone()),
        subject: Some(subject),
        kind: Code { kind: 0, value: Vec::new() },
        count: 2,
        time: world.now.wall,
        precision: 0,
        destination: None,
        source_port: 0,
        marking,
        extension: Vec::new(),
    };
    world.publish(0, Body::Note(note));
    world.publish(0, Body::Sighting(sighting));
    world.settle();
    // By the value, by the report, by another one.
    let said = |world: &World, node: usize| {
        let index = world.nodes[node].mesh.index();
        let index = read(&index);
        [value.borrowed(), subject_key(&subject), subject_key(&other)]
            .map(|about| index.said.postings(about, u64::MAX, 10).len())
    };
    for node in [0, 1] {
        assert_eq!((said(&world, node), listed(&world, node)), ([1, 2, 0], (0, 0)), "node {node}");
    }
    assert_eq!(world.lookup(1, "192.0.2.7"), 0, "who saw it does not say that it is bad");
    world.restart(1);
    assert_eq!(said(&world, 1), [1, 2, 0]);
    world.connect(0, 1);
    world.pass(MINUTE + 1_000);
    assert_eq!((said(&world, 0), said(&world, 1)), ([0, 1, 0], [0, 1, 0]), "the sighting ended");
    for (policy, expected) in [(HOLD, [0, 0, 0]), (OPEN, [0, 1, 0])] {
        world.policy(1, policy);
        world.settle();
        assert_eq!(said(&world, 1), expected);
    }
}
