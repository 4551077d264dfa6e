//! Who acknowledged what and when: kept as it was said first, whatever is said later, what becomes of the record, and over a
//! restart; and what became of it since.

use crate::world::{OPEN, World, report};
use tocsin_protocol::Input;
use tocsin_record::body::report::Subject;
use tocsin_record::{CircleId, RecordId};
use tocsin_store::{Acknowledgement, Fate, RecordRef};

const HOLD: &str = r#"
@id("hold-all") permit(principal, action == Action::"hold", resource);
@id("fetch-all") permit(principal, action == Action::"fetch", resource);
@id("forward-all") permit(principal, action == Action::"forward", resource);
"#;

/// What a node said of a record of node 0.
fn said(world: &World, holder: usize, place: RecordRef) -> Option<Acknowledgement> {
    let all = world.nodes[0].mesh.reader().acknowledged(place).unwrap();
    let node = world.nodes[holder].mesh.node();
    all.into_iter().find(|(known, _)| *known == node).map(|(_, said)| said)
}

fn place(world: &World, id: &RecordId) -> RecordRef {
    world.stored(0, id).unwrap().place
}

fn retract(world: &mut World, subject: u8) -> RecordRef {
    let subject = Subject([subject; 16]);
    let done = world.request(0, |ticket| Input::Retract { ticket, subject, reason: 2 }).unwrap();
    done.written[0].place
}

/// Nodes in a row, so that what the last one says comes by the one between.
fn row(policies: [&str; 3]) -> World {
    let mut world = World::new(3, OPEN);
    for (node, policy) in policies.into_iter().enumerate() {
        world.policy(node, policy);
    }
    world.connect(0, 1);
    world.connect(1, 2);
    world
}

#[test]
fn what_was_said_first_outlives_later_receipts_a_retraction_and_a_restart() {
    let mut world = row([OPEN; 3]);
    let first = world.publish(0, report(1, 1, "192.0.2.1"));
    let first = place(&world, &first);
    world.settle();
    let before = [1, 2].map(|node| said(&world, node, first).unwrap());
    for known in before {
        assert_eq!(
            (known.accepted, known.was, known.is),
            (Some(known.first), Fate::Accepted, Fate::Accepted)
        );
    }
    world.pass(60_000);
    let second = world.publish(0, report(2, 1, "192.0.2.2"));
    world.settle();
    assert_eq!([1, 2].map(|node| said(&world, node, first).unwrap()), before);
    let later = said(&world, 2, place(&world, &second)).unwrap();
    assert!(later.first >= before[1].first + 60_000, "{later:?}");

    world.pass(60_000);
    let retraction = retract(&mut world, 1);
    world.settle();
    let gone = |world: &World| {
        for node in [1, 2] {
            let (was, now) = (before[node - 1], said(world, node, first).unwrap());
            assert_eq!((now.first, now.accepted, now.was), (was.first, was.accepted, Fate::Accepted));
            assert_eq!(now.is, Fate::Gone, "node {node}");
            let taken = said(world, node, retraction).unwrap();
            assert!(taken.accepted.is_some_and(|at| at > was.first) && now.since >= taken.first, "{taken:?}");
        }
    };
    gone(&world);
    world.restart(0);
    gone(&world);
    world.connect(0, 1);
    world.publish(0, report(3, 1, "192.0.2.3"));
    world.settle();
    gone(&world);
    let status = world.nodes[0].mesh.status();
    let far = status.orgs.iter().find(|org| org.name == "org2").unwrap();
    assert_eq!(far.delays_ms.len(), 1, "what it took was measured before the restart, but for the last");
}

#[test]
fn what_is_held_is_kept_back_until_a_person_accepts_it() {
    let mut world = row([OPEN, OPEN, HOLD]);
    let ids = [1, 2, 3].map(|n| world.publish(0, report(n, 1, "192.0.2.1")));
    let places = ids.map(|id| place(&world, &id));
    world.settle();
    let held = places.map(|place| said(&world, 2, place).unwrap());
    assert!(held.iter().all(|said| (said.is, said.accepted) == (Fate::KeptBack, None)), "{held:?}");
    world.pass(60_000);
    for (id, accept) in [(ids[0], true), (ids[1], false)] {
        let place = world.stored(2, &id).unwrap().place;
        world.decide(2, place, accept).unwrap();
    }
    world.settle();
    let now = places.map(|place| said(&world, 2, place).unwrap());
    assert_eq!((now[0].first, now[0].was, now[0].is), (held[0].first, Fate::KeptBack, Fate::Accepted));
    assert!(now[0].accepted.is_some_and(|at| at >= held[0].first + 60_000));
    assert_eq!(now[1..], held[1..], "what is refused is told no otherwise than what waits");
}

#[test]
fn a_body_that_comes_late_is_told() {
    let kept = format!(
        "{OPEN}@id(\"not-to-org1\") forbid(principal, action == Action::\"forward\", resource)\n\
         when {{ principal.name == \"org1\" }};"
    );
    let mut world = World::new(2, OPEN);
    world.policy(0, &kept);
    world.connect(0, 1);
    let id = world.publish(0, report(1, 1, "192.0.2.1"));
    let place = place(&world, &id);
    world.settle();
    let header = said(&world, 1, place).unwrap();
    assert_eq!((header.is, header.accepted), (Fate::HeaderOnly, None));
    world.policy(0, OPEN);
    // It asks after what it lacks when it is linked anew.
    world.disconnect(0, 1);
    world.pass(60_000);
    world.connect(0, 1);
    world.settle();
    let now = said(&world, 1, place).unwrap();
    assert_eq!((now.first, now.was, now.is), (header.first, Fate::HeaderOnly, Fate::Accepted));
    assert!(now.accepted.is_some_and(|at| at >= header.first + 60_000));
}

#[test]
fn what_a_lost_receipt_told_the_next_tells_again() {
    let mut world = World::new(2, OPEN);
    world.connect(0, 1);
    world.publish(0, report(1, 1, "192.0.2.1"));
    world.settle();
    let lost = world.publish(0, report(2, 1, "192.0.2.2"));
    let lost = place(&world, &lost);
    // The record arrives; the receipt, within the next second, does not.
    let (near, far) = world.wire(0, 1);
    let pushed = world.flying_to(1);
    assert!(!pushed.is_empty());
    world.lose(0, 1);
    for (link, frame) in pushed {
        world.receive(1, link, frame);
    }
    world.pass(3_000);
    world.feed(0, Input::LinkDown { link: near });
    world.feed(1, Input::LinkDown { link: far });
    world.connect(0, 1);
    world.settle();
    assert_eq!(said(&world, 1, lost), None);
    world.publish(0, report(3, 1, "192.0.2.3"));
    world.settle();
    assert_eq!(said(&world, 1, lost).unwrap().is, Fate::Accepted);
}

#[test]
fn a_catch_up_is_told_as_a_whole() {
    let mut world = World::new(2, OPEN);
    let circle = CircleId::mesh(world.mesh());
    let mut places = Vec::new();
    for some in 0..10u32 {
        let bodies = (0..60).map(|n| report(60 * some + n, 1, "192.0.2.1")).collect();
        let done = world.request(0, |ticket| Input::Publish { ticket, circle, bodies }).unwrap();
        places.extend(done.written.iter().map(|written| written.place));
    }
    world.connect(0, 1);
    world.settle();
    for place in places {
        assert_eq!(said(&world, 1, place).map(|said| said.is), Some(Fate::Accepted), "{place:?}");
    }
}
