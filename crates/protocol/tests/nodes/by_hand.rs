//! What a person decides about held records: it stands, whatever policy comes, over restarts, and passes on like what a rule accepts.

use crate::world::{HOLD, OPEN, REFUSE, World, report};
use tocsin_protocol::{BY_HAND, Input, RequestError, read};
use tocsin_record::RecordId;
use tocsin_store::{BodyState, Verdict};

fn stands(world: &World, node: usize, id: &RecordId) -> (Verdict, BodyState, String) {
    let stored = world.stored(node, id).unwrap();
    let outcome = stored.stamped.outcome;
    (outcome.verdict, outcome.body, world.nodes[node].mesh.reader().rule(outcome.rule).unwrap())
}

fn decide(world: &mut World, node: usize, id: &RecordId, accept: bool) -> Result<(), RequestError> {
    let place = world.stored(node, id).unwrap().place;
    world.request(node, |ticket| Input::DecideHeld { ticket, place, accept }).map(|_| ())
}

/// How many postings a node has in memory, of accepted and of held records.
fn listed(world: &World, node: usize) -> (usize, usize) {
    let index = world.nodes[node].mesh.index();
    let index = read(&index);
    (index.accepted.len(), index.held.len())
}

#[test]
fn what_a_person_accepts_counts_and_goes_on() {
    // Node 2 is behind node 1, which holds everything.
    let mut world = World::new(3, OPEN);
    world.policy(1, HOLD);
    world.connect(0, 1);
    world.connect(1, 2);
    let (first, second) =
        (world.publish(0, report(1, 1, "192.0.2.1")), world.publish(0, report(2, 1, "192.0.2.2")));
    world.settle();
    assert_eq!(listed(&world, 1), (0, 2));
    assert_ne!(world.stored(2, &first).unwrap().stamped.outcome.body, BodyState::Here);

    decide(&mut world, 1, &first, true).unwrap();
    decide(&mut world, 1, &second, false).unwrap();
    world.settle();
    let by_hand = || BY_HAND.to_owned();
    assert_eq!(stands(&world, 1, &first), (Verdict::Accepted, BodyState::Here, by_hand()));
    assert_eq!(stands(&world, 1, &second), (Verdict::Refused, BodyState::Refused, by_hand()));
    assert_eq!(listed(&world, 1), (1, 0));
    assert_eq!((world.lookup(1, "192.0.2.1"), world.lookup(1, "192.0.2.2")), (1, 0));
    world.pass(2 * 60_000);
    world.settle();
    assert_eq!(
        world.stored(2, &first).unwrap().stamped.outcome.verdict,
        Verdict::Accepted,
        "it was passed on"
    );

    // For good: by whatever policy, and after a restart. What comes now is judged by the policy.
    for policy in [REFUSE, HOLD, OPEN] {
        world.policy(1, policy);
        world.pass(60_000);
        world.settle();
        assert_eq!(stands(&world, 1, &first), (Verdict::Accepted, BodyState::Here, by_hand()), "{policy}");
        assert_eq!(stands(&world, 1, &second), (Verdict::Refused, BodyState::Refused, by_hand()), "{policy}");
    }
    world.policy(1, HOLD);
    world.restart(1);
    world.policy(1, REFUSE);
    world.pass(60_000);
    world.settle();
    assert_eq!(stands(&world, 1, &first), (Verdict::Accepted, BodyState::Here, by_hand()));

    // A person may think better of it, once: what was refused is erased here.
    decide(&mut world, 1, &first, false).unwrap();
    assert_eq!(stands(&world, 1, &first), (Verdict::Refused, BodyState::Refused, by_hand()));
    assert_eq!(listed(&world, 1), (0, 0));
    assert_eq!(decide(&mut world, 1, &first, true), Err(RequestError::NotHeld));
}

#[test]
fn what_is_not_held_by_the_policy_is_for_nobody_to_decide() {
    let mut world = World::new(2, OPEN);
    world.connect_all();
    let accepted = world.publish(0, report(1, 1, "192.0.2.1"));
    world.settle();
    for accept in [true, false] {
        assert_eq!(decide(&mut world, 1, &accepted, accept), Err(RequestError::NotHeld));
    }
}
