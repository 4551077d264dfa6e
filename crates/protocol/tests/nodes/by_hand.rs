//! What a person decides about held records: it stands, whatever policy comes, over restarts, and passes on like what a rule accepts.

use crate::world::{HOLD, OPEN, REFUSE, World, report};
use tocsin_protocol::{BY_HAND, Decision, Event, HoldDefault, Input, RequestError, read};
use tocsin_record::RecordId;
use tocsin_record::body::report::Subject;
use tocsin_store::{BodyState, Verdict};

fn stands(world: &World, node: usize, id: &RecordId) -> (Verdict, BodyState, String) {
    let stored = world.stored(node, id).unwrap();
    let outcome = stored.stamped.outcome;
    (outcome.verdict, outcome.body, world.nodes[node].mesh.reader().rule(outcome.rule).unwrap())
}

fn decide(world: &mut World, node: usize, id: &RecordId, accept: bool) -> Result<(), RequestError> {
    let place = world.stored(node, id).unwrap().place;
    world.decide(node, place, accept).map(|_| ())
}

fn undo(world: &mut World, node: usize, id: &RecordId) -> Result<(), RequestError> {
    let place = world.stored(node, id).unwrap().place;
    world.request(node, |ticket| Input::UndoHeld { ticket, place }).map(|_| ())
}

/// What is kept of the decision about a record.
fn decision(world: &World, node: usize, id: &RecordId) -> Option<Decision> {
    let place = world.stored(node, id).unwrap().place;
    Decision::of(&world.nodes[node].mesh.reader(), place).unwrap()
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

#[test]
fn what_was_decided_is_taken_back_and_the_policy_decides_again() {
    let mut world = World::new(2, OPEN);
    world.policy(1, HOLD);
    world.connect(0, 1);
    let (first, second) =
        (world.publish(0, report(1, 1, "192.0.2.1")), world.publish(0, report(2, 1, "192.0.2.2")));
    world.settle();
    assert_eq!(undo(&mut world, 1, &first), Err(RequestError::NotDecided));
    decide(&mut world, 1, &first, true).unwrap();
    decide(&mut world, 1, &second, false).unwrap();
    for id in [&first, &second] {
        let kept = decision(&world, 1, id).unwrap();
        assert_eq!((kept.name.as_str(), kept.reason.as_str()), ("analyst", "seen here"));
        assert_eq!((kept.held_by.as_str(), kept.after_days), ("hold-all", None));
        assert_eq!(kept.time, world.now.wall);
    }
    // Refused after all, it is known by which rule it was held at first.
    decide(&mut world, 1, &first, false).unwrap();
    assert_eq!(decision(&world, 1, &first).unwrap().held_by, "hold-all");
    let text = "seen here";
    assert!(!world.disk_holds(1, text), "what a person said rests encrypted");
    world.disconnect(0, 1);
    world.restart(1);
    world.policy(1, HOLD);
    assert_eq!(decision(&world, 1, &second).unwrap().reason, text, "it is kept over restarts");

    // Nobody is linked who would give the bodies again: they are missing, and said to be.
    for id in [&first, &second] {
        undo(&mut world, 1, id).unwrap();
        assert_eq!(decision(&world, 1, id), None);
        let (verdict, body, _) = stands(&world, 1, id);
        assert_eq!((verdict, body), (Verdict::Unjudged, BodyState::Wanted));
    }
    world.connect(0, 1);
    world.settle();
    world.pass(5_000);
    let held = (Verdict::Held, BodyState::Here, "hold-all".to_owned());
    for id in [&first, &second] {
        assert_eq!(stands(&world, 1, id), held, "it came back, and the policy decided");
    }
    assert_eq!(listed(&world, 1), (0, 2));

    // While a partner is linked it comes at once. What was accepted stays here, and waits again.
    decide(&mut world, 1, &first, false).unwrap();
    decide(&mut world, 1, &second, true).unwrap();
    assert_eq!(listed(&world, 1), (1, 0));
    undo(&mut world, 1, &first).unwrap();
    undo(&mut world, 1, &second).unwrap();
    assert_eq!(stands(&world, 1, &second), held);
    world.pass(5_000);
    assert_eq!((stands(&world, 1, &first), listed(&world, 1)), (held, (0, 2)));
    world.policy(1, OPEN);
    world.pass(1_000);
    assert_eq!(listed(&world, 1), (2, 0), "they are the policy's again");

    // What its author took back nobody brings back by undoing.
    world.policy(1, HOLD);
    world.pass(1_000);
    decide(&mut world, 1, &first, true).unwrap();
    world.request(0, |ticket| Input::Retract { ticket, subject: Subject([1; 16]), reason: 2 }).unwrap();
    world.settle();
    assert_eq!(undo(&mut world, 1, &first), Err(RequestError::DecidedAndGone));
}

const DAY: u64 = 86_400_000;

/// Node 1 of two, which holds everything, and decides by default.
fn deciding(hold: HoldDefault) -> World {
    let mut world = World::new(2, OPEN);
    world.hold = hold;
    world.restart(1);
    world.policy(1, HOLD);
    world.connect(0, 1);
    world.pass(1_000);
    world
}

/// So many days pass, and two minutes more.
fn days(world: &mut World, days: u64) {
    world.disconnect(0, 1);
    world.pass_off(days * DAY);
    world.connect(0, 1);
    world.pass(120_000);
}

#[test]
fn what_waits_for_long_is_decided_by_default() {
    for (hold, verdict, body) in [
        (HoldDefault::Accept { days: 30 }, Verdict::Accepted, BodyState::Here),
        (HoldDefault::Refuse { days: 30 }, Verdict::Refused, BodyState::Refused),
        (HoldDefault::Keep, Verdict::Held, BodyState::Here),
    ] {
        let mut world = deciding(hold);
        let id = world.publish(0, report(1, 1, "192.0.2.1"));
        world.settle();
        days(&mut world, 29);
        assert_eq!(stands(&world, 1, &id).0, Verdict::Held, "29 days are not 30");
        let later = world.publish(0, report(2, 1, "192.0.2.2"));
        world.settle();
        days(&mut world, 1);
        let rule = if hold == HoldDefault::Keep { "hold-all" } else { "by-default-after-30-days" };
        assert_eq!(stands(&world, 1, &id), (verdict, body, rule.to_owned()), "{hold:?}");
        assert_eq!(stands(&world, 1, &later).0, Verdict::Held, "{hold:?}: that one waits since a day");
        let said = |event: &Event| matches!(event, Event::DecidedByDefault { days: 30, .. });
        assert_eq!(
            world.events(1).iter().filter(|event| said(event)).count(),
            usize::from(hold != HoldDefault::Keep)
        );
        if hold == HoldDefault::Keep {
            continue;
        }
        let kept = decision(&world, 1, &id).unwrap();
        assert_eq!((kept.held_by.as_str(), kept.after_days, kept.name.as_str()), ("hold-all", Some(30), ""));
        // It stands whatever policy comes, and waits as long as at first where it is taken back.
        world.policy(1, if verdict == Verdict::Accepted { REFUSE } else { OPEN });
        world.pass(1_000);
        assert_eq!(stands(&world, 1, &id), (verdict, body, rule.to_owned()));
        world.policy(1, HOLD);
        world.pass(1_000);
        undo(&mut world, 1, &id).unwrap();
        days(&mut world, 28);
        assert_eq!(stands(&world, 1, &id), (Verdict::Held, BodyState::Here, "hold-all".to_owned()));
        assert_eq!(stands(&world, 1, &later).0, Verdict::Held);
    }
}

#[test]
fn nothing_is_decided_by_default_while_the_clock_is_in_doubt() {
    let mut world = deciding(HoldDefault::Refuse { days: 30 });
    let id = world.publish(0, report(1, 1, "192.0.2.1"));
    world.settle();
    world.pass(60_000);
    world.jump(1, 40 * DAY);
    world.pass(2 * 3_600_000);
    assert_eq!(
        stands(&world, 1, &id).0,
        Verdict::Held,
        "its clock says that 40 days passed, and the others' do not"
    );
    world.jump_back(1);
    world.pass(2 * 3_600_000);
    assert_eq!(stands(&world, 1, &id).0, Verdict::Held);
}

#[test]
fn what_a_rule_holds_that_came_later_waits_since_then() {
    let mut world = deciding(HoldDefault::Accept { days: 30 });
    world.policy(1, OPEN);
    let id = world.publish(0, report(1, 1, "192.0.2.1"));
    world.settle();
    days(&mut world, 40);
    assert_eq!(stands(&world, 1, &id).0, Verdict::Accepted);
    world.policy(1, HOLD);
    world.pass(120_000);
    assert_eq!(stands(&world, 1, &id), (Verdict::Held, BodyState::Here, "hold-all".to_owned()));
    days(&mut world, 1);
    days(&mut world, 28);
    assert_eq!(stands(&world, 1, &id).0, Verdict::Held, "it came long ago, and is held for 29 days");
    days(&mut world, 2);
    assert_eq!(stands(&world, 1, &id).0, Verdict::Accepted);
}
