//! The clock of a node that is wrong: nothing is erased, lapses, is signed or called complete by it, and all goes on when
//! it is right again or confirmed.

use crate::world::{OPEN, World, report};
use tocsin_protocol::message::{self, Message};
use tocsin_protocol::{Event, Input, Reading, RequestError};
use tocsin_record::body::Body;
use tocsin_record::{CircleId, RecordId};
use tocsin_store::{BodyState, Verdict};

const DAY: u64 = 86_400_000;

/// A report that may be kept for so many days.
fn kept_for(world: &World, number: u32, days: u64) -> Body {
    let Body::Report(mut body) = report(number, 2, &format!("192.0.2.{number}")) else { unreachable!() };
    body.marking.as_mut().unwrap().retain_until = Some(world.now.wall + days * DAY);
    Body::Report(body)
}

fn is_here(world: &World, node: usize, id: &RecordId) -> bool {
    world.stored(node, id).unwrap().stamped.outcome.body == BodyState::Here
}

fn publish(world: &mut World, node: usize, number: u32) -> Result<RecordId, RequestError> {
    let circle = CircleId::mesh(world.mesh());
    let bodies = vec![report(number, 1, "192.0.2.99")];
    world.request(node, |ticket| Input::Publish { ticket, circle, bodies }).map(|done| done.written[0].id)
}

fn confirm(world: &mut World, node: usize, against_peers: bool) -> Result<(), RequestError> {
    world.request(node, |ticket| Input::ConfirmClock { ticket, against_peers }).map(drop)
}

fn reading(world: &World, node: usize) -> Reading {
    world.nodes[node].mesh.status().clock
}

/// What watchers of a node were told of its clock.
fn told(world: &World, node: usize) -> Vec<Reading> {
    let clock = |event: &Event| if let Event::Clock { reading } = event { Some(*reading) } else { None };
    world.events(node).iter().filter_map(clock).collect()
}

#[test]
fn a_tick_with_a_clock_that_is_ahead_erases_nothing() {
    for days in [60, 2 * 365] {
        let mut world = World::new(3, OPEN);
        world.connect_all();
        let body = kept_for(&world, 1, 30);
        let theirs = world.publish(1, body);
        let body = kept_for(&world, 2, 30);
        let own = world.publish(0, body);
        world.pass(60_000);
        world.jump(0, days * DAY);
        world.pass(4_000);
        assert!(is_here(&world, 0, &theirs) && is_here(&world, 0, &own), "{days} days");
        assert!(matches!(reading(&world, 0), Reading::Ahead { .. }));
        assert!(matches!(told(&world, 0)[..], [Reading::Ahead { .. }]), "it is said at once, and once");
        assert!(matches!(publish(&mut world, 0, 3), Err(RequestError::Clock(Reading::Ahead { .. }))));
        world.jump_back(0);
        world.pass(4_000);
        assert!(reading(&world, 0).is_trusted() && told(&world, 0).len() == 2);
        publish(&mut world, 0, 4).unwrap();
        world.pass(70_000);
        assert!(is_here(&world, 0, &theirs) && is_here(&world, 0, &own));
    }
}

#[test]
fn what_would_end_before_the_last_time_of_its_log_is_not_written() {
    let mut world = World::new(2, OPEN);
    world.connect_all();
    publish(&mut world, 0, 1).unwrap();
    world.pass(1_000);
    // The clock is set back by less than counts as wrong, and a record is to end between the two times.
    world.jump_behind(0, 8_000);
    let Body::Report(mut ends) = report(2, 2, "192.0.2.2") else { unreachable!() };
    ends.marking.as_mut().unwrap().retain_until = Some(world.now.wall - 4_000);
    let circle = CircleId::mesh(world.mesh());
    let bodies = vec![Body::Report(ends)];
    let refused = world.request(0, |ticket| Input::Publish { ticket, circle, bodies });
    assert!(matches!(&refused, Err(RequestError::Draft(why)) if why.contains("kept until")), "{refused:?}");
    // What stays longer goes on, and reads at the partner.
    let body = kept_for(&world, 3, 1);
    let id = world.publish(0, body);
    world.pass(1_000);
    assert!(is_here(&world, 1, &id));
}

#[test]
fn alone_a_jump_erases_nothing_until_a_person_confirms_it() {
    let mut world = World::new(1, OPEN);
    let body = kept_for(&world, 1, 30);
    let id = world.publish(0, body);
    world.pass(60_000);
    world.jump(0, 60 * DAY);
    world.pass(600_000);
    assert!(is_here(&world, 0, &id));
    assert!(matches!(publish(&mut world, 0, 2), Err(RequestError::Clock(Reading::Unknown { .. }))));
    confirm(&mut world, 0, false).unwrap();
    publish(&mut world, 0, 3).unwrap();
    world.pass(2_000);
    assert!(!is_here(&world, 0, &id), "what is due is erased");
}

#[test]
fn a_retraction_waits_for_the_clock_and_comes_through_from_others() {
    let mut world = World::new(2, OPEN);
    world.connect_all();
    let body = kept_for(&world, 1, 365);
    let id = world.publish(1, body);
    world.pass(2_000);
    world.jump(0, 60 * DAY);
    let Body::Report(body) = report(1, 2, "192.0.2.1") else { unreachable!() };
    world.request(1, |ticket| Input::Retract { ticket, subject: body.subject, reason: 1 }).unwrap();
    world.pass(2_000);
    assert!(!is_here(&world, 0, &id), "by command it is erased");
}

#[test]
fn a_node_that_was_off_for_three_months_waits_for_its_partners() {
    for others in [1, 2] {
        let mut world = World::new(3, OPEN);
        world.connect_all();
        let body = kept_for(&world, 1, 30);
        let id = world.publish(1, body);
        world.pass(61_000);
        for (a, b) in [(0, 1), (0, 2), (1, 2)] {
            world.disconnect(a, b);
        }
        world.pass_off(90 * DAY);
        world.restart(0);
        world.pass(120_000);
        assert!(
            matches!(told(&world, 0)[..], [Reading::Unknown { .. }]),
            "said at the start: {:?}",
            reading(&world, 0)
        );
        assert!(is_here(&world, 0, &id) && publish(&mut world, 0, 2).is_err());
        for node in 1..=others {
            world.connect(0, node);
        }
        world.pass(2_000);
        assert!(reading(&world, 0).is_trusted(), "{:?}", reading(&world, 0));
        publish(&mut world, 0, 3).unwrap();
        assert!(is_here(&world, 0, &id), "that {others} others agree erases nothing at once");
        world.pass(601_000);
        world.pass(2_000);
        assert!(!is_here(&world, 0, &id));
    }
}

#[test]
fn a_node_that_starts_with_a_wrong_clock_erases_nothing() {
    for days in [60, 2 * 365] {
        let mut world = World::new(3, OPEN);
        world.connect_all();
        let body = kept_for(&world, 1, 30);
        let id = world.publish(1, body);
        world.pass(61_000);
        for node in [1, 2] {
            world.disconnect(0, node);
        }
        world.jump(0, days * DAY);
        world.restart(0);
        world.pass(61_000);
        assert!(matches!(reading(&world, 0), Reading::Unknown { .. }));
        // It was written meanwhile, and is opened once more: that is no evidence.
        world.restart(0);
        world.pass(2_000);
        assert!(matches!(reading(&world, 0), Reading::Unknown { .. }) && is_here(&world, 0, &id));
        world.connect_all();
        world.pass(2_000);
        assert!(matches!(reading(&world, 0), Reading::Ahead { .. }) && is_here(&world, 0, &id));
        world.jump_back(0);
        world.pass(2_000);
        publish(&mut world, 0, 2).unwrap();
        assert!(reading(&world, 0).is_trusted() && is_here(&world, 0, &id));
    }
}

#[test]
fn a_fresh_node_with_a_wrong_clock_recovers_what_it_judged() {
    let mut world = World::new(4, OPEN);
    world.jump(0, 60 * DAY);
    world.restart_empty(0);
    let body = kept_for(&world, 1, 30);
    let id = world.publish(1, body);
    world.connect_all();
    world.pass(5_000);
    assert!(matches!(reading(&world, 0), Reading::Ahead { .. }));
    world.pass(10_000);
    assert!(is_here(&world, 0, &id) && world.lookup(0, "192.0.2.1") == 1, "{:?}", world.stored(0, &id));
    for node in 1..4 {
        assert!(reading(&world, node).is_trusted(), "one wrong clock of four");
    }
}

#[test]
fn records_from_a_clock_that_is_ahead_wait_and_come() {
    let mut world = World::new(4, OPEN);
    world.connect_all();
    world.pass(1_000);
    // All of the others are right and this one is behind: their records are not held for it.
    world.jump_behind(0, 3 * DAY);
    world.pass(1_000);
    let id = world.publish(1, report(1, 1, "192.0.2.1"));
    world.pass(3_000);
    assert!(matches!(reading(&world, 0), Reading::Behind { .. }));
    assert!(matches!(publish(&mut world, 0, 9), Err(RequestError::Clock(Reading::Behind { .. }))));
    assert_eq!(world.stored(0, &id).unwrap().stamped.outcome.verdict, Verdict::Accepted);
    world.jump_back(0);
    world.pass(2_000);
    publish(&mut world, 0, 2).unwrap();
}

#[test]
fn a_jump_ahead_releases_nothing_that_is_held_for_its_time() {
    let mut world = World::new(4, OPEN);
    world.connect_all();
    world.pass(1_000);
    // Node 3 and its person are a day ahead and sure of it.
    world.jump(3, DAY);
    world.pass(1_000);
    confirm(&mut world, 3, false).unwrap_err();
    confirm(&mut world, 3, true).unwrap();
    let id = publish(&mut world, 3, 1).unwrap();
    world.pass(2_000);
    // Its log has an epoch that has not come: nothing of it is taken yet.
    assert!(world.stored(0, &id).is_none());
    world.jump(0, 2 * DAY);
    world.pass(2_000);
    assert!(world.stored(0, &id).is_none_or(|stored| stored.stamped.outcome.verdict == Verdict::Held));
}

#[test]
fn one_partner_of_two_nodes_cannot_stop_the_other() {
    let mut world = World::new(2, OPEN);
    world.connect_all();
    world.pass(2_000);
    world.jump(1, 60 * DAY);
    world.disconnect(0, 1);
    world.connect(0, 1);
    world.pass(400_000);
    assert!(reading(&world, 0).is_trusted(), "{:?}", reading(&world, 0));
    publish(&mut world, 0, 1).unwrap();
    assert!(matches!(reading(&world, 1), Reading::Ahead { .. }), "{:?}", reading(&world, 1));
    publish(&mut world, 1, 2).unwrap_err();
}

#[test]
fn a_confirmation_against_partners_erases_and_ends_with_the_next_jump() {
    let mut world = World::new(4, OPEN);
    world.connect_all();
    let body = kept_for(&world, 1, 30);
    let id = world.publish(0, body);
    world.pass(61_000);
    world.jump(0, 60 * DAY);
    world.pass(1_000);
    assert!(matches!(confirm(&mut world, 0, false), Err(RequestError::Contradicted(_))));
    world.pass(1_000);
    assert!(is_here(&world, 0, &id));
    confirm(&mut world, 0, true).unwrap();
    world.pass(2_000);
    assert!(!is_here(&world, 0, &id));
    world.jump(0, DAY);
    world.pass(1_000);
    assert!(matches!(reading(&world, 0), Reading::Ahead { .. }));
}

#[test]
fn what_clocks_that_were_ahead_accepted_is_held_again_when_they_are_right() {
    let mut world = World::new(4, OPEN);
    world.connect_all();
    world.pass(1_000);
    for node in 1..4 {
        world.jump(node, DAY);
    }
    // They say so within five minutes, and the one that is right believes them.
    world.pass(330_000);
    assert!((1..4).all(|node| reading(&world, node).is_trusted()));
    assert!(matches!(reading(&world, 0), Reading::Behind { .. }), "{:?}", reading(&world, 0));
    let id = publish(&mut world, 1, 1).unwrap();
    world.pass(2_000);
    let verdict = |world: &World| world.stored(0, &id).unwrap().stamped.outcome.verdict;
    assert_eq!(verdict(&world), Verdict::Accepted);
    assert_eq!(world.lookup(0, "192.0.2.99"), 1);
    for node in 1..4 {
        world.jump_back(node);
    }
    world.pass(330_000);
    assert!(reading(&world, 0).is_trusted());
    assert_eq!(verdict(&world), Verdict::Held);
    assert_eq!(world.lookup(0, "192.0.2.99"), 0, "it is not answered before its time");
    world.restart(0);
    world.pass(2_000);
    assert_eq!(verdict(&world), Verdict::Held);
    // Its time comes.
    world.pass_off(DAY);
    world.pass(2_000);
    assert_eq!(verdict(&world), Verdict::Accepted);
}

/// Records that a node wrote, as another holds them.
fn written(world: &World, node: u8, at: usize) -> u64 {
    let author = tocsin_record::NodeKey(world.record_secret(node).public());
    let logs = world.nodes[at].mesh.reader().logs();
    logs.iter().filter(|log| log.key.author == author).map(|log| log.tip.seq).sum()
}

#[test]
fn what_a_clock_far_ahead_took_back_is_taken_back_again_when_it_is_right() {
    let mut world = World::new(3, OPEN);
    world.connect_all();
    let id = world.publish(1, report(1, 2, "192.0.2.1"));
    world.pass(61_000);
    // Its person is sure of the wrong time, and nobody else takes what is signed then.
    world.jump(1, 60 * DAY);
    world.pass(1_000);
    confirm(&mut world, 1, true).unwrap();
    let Body::Report(body) = report(1, 2, "192.0.2.1") else { unreachable!() };
    world.request(1, |ticket| Input::Retract { ticket, subject: body.subject, reason: 1 }).unwrap();
    world.pass(61_000);
    assert!(!is_here(&world, 1, &id) && is_here(&world, 0, &id));
    world.jump_back(1);
    world.pass(62_000);
    assert!(reading(&world, 1).is_trusted());
    assert!((0..3).all(|node| !is_here(&world, node, &id)), "it is taken back everywhere");
    // Once, also after a start.
    assert_eq!([written(&world, 1, 1), written(&world, 1, 0)], [3, 2]);
    world.restart(1);
    world.pass(122_000);
    assert_eq!(written(&world, 1, 1), 3);
}

#[test]
fn a_clock_is_heard_on_links_that_are_pruned_for_its_log() {
    let mut world = World::new(4, OPEN);
    world.connect_all();
    for node in 1..4 {
        let id = publish(&mut world, node, u32::try_from(node).unwrap()).unwrap();
        world.pass(1_000);
        let header = world.stored(0, &id).unwrap().entry.header;
        let prune = vec![Message::Name(99, header.log().into()), Message::Prune(99)];
        let (_, link) = world.wire(0, node);
        world.receive(node, link, message::encode(&prune));
    }
    world.pass(31_000);
    for node in 1..4 {
        world.jump(node, DAY);
    }
    world.pass(330_000);
    assert!(matches!(reading(&world, 0), Reading::Behind { .. }), "{:?}", reading(&world, 0));
}
