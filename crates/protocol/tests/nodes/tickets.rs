//! What one ticket asks for is written whole or not at all, however many circles and runs it takes.

use crate::world::{OPEN, World, report};
use tocsin_protocol::{Event, Input, RequestError, Write};
use tocsin_record::body::{Body, report};
use tocsin_record::header::BODY_MAX;
use tocsin_record::{CircleId, body};

fn publish(world: &mut World, circle: CircleId, bodies: Vec<Body>) -> Result<usize, RequestError> {
    world.request(0, |ticket| Input::Publish { ticket, circle, bodies }).map(|done| done.written.len())
}

/// How many records a node holds.
fn records(world: &World) -> u64 {
    world.nodes[0].mesh.reader().logs().iter().map(|info| info.tip.seq).sum()
}

#[test]
fn one_circle_that_is_refused_leaves_nothing_in_the_other() {
    // Circles are gone through in order of their ids: each is the refused one once.
    for refused_is_mesh in [true, false] {
        let mut world = World::new(1, OPEN);
        let mesh = CircleId::mesh(world.mesh());
        let own = CircleId::own(world.mesh(), world.nodes[0].mesh.org());
        for circle in [mesh, own] {
            publish(&mut world, circle, vec![report(1, 1, "192.0.2.1")]).unwrap();
        }
        let refused = if refused_is_mesh { mesh } else { own };
        // Each start of the machine takes a log, until none is left for a day.
        for _ in 0..40 {
            world.restart(0);
            world.pass(1_000);
            if publish(&mut world, refused, vec![report(2, 1, "192.0.2.2")]).is_err() {
                break;
            }
        }
        let before = records(&world);
        let retract = |world: &mut World| {
            let subject = report::Subject([1; 16]);
            world.request(0, |ticket| Input::Retract { ticket, subject, reason: 1 })
        };
        assert!(
            matches!(retract(&mut world), Err(RequestError::Epochs(_))),
            "mesh refused: {refused_is_mesh}"
        );
        assert_eq!(records(&world), before, "mesh refused: {refused_is_mesh}");
        let withdrawn = |event: &&Event| matches!(event, Event::Judged { kind: body::RETRACTION, .. });
        assert_eq!(world.events(0).iter().filter(withdrawn).count(), 0);
        // A day later it is done, in both.
        world.pass_off(24 * 3_600_000);
        world.pass(1_000);
        assert_eq!(retract(&mut world).unwrap().written.len(), 2);
        assert_eq!(records(&world), before + 2);
    }
}

#[test]
fn a_ticket_of_many_runs_is_written_whole_or_not_at_all() {
    let mut world = World::new(1, OPEN);
    let mesh = CircleId::mesh(world.mesh());
    let mut many: Vec<Body> = (0..200).map(|n| report(n, 1, "192.0.2.1")).collect();
    assert_eq!(publish(&mut world, mesh, many.clone()).unwrap(), 200);
    assert_eq!(records(&world), 200);
    let Body::Report(mut long) = report(201, 1, "192.0.2.1") else { unreachable!() };
    long.description = "x".repeat(BODY_MAX);
    many.insert(150, Body::Report(long));
    assert!(matches!(publish(&mut world, mesh, many), Err(RequestError::Draft(_))));
    assert_eq!(records(&world), 200);
}

#[test]
fn what_goes_to_several_circles_is_written_in_all_or_in_none() {
    let mut world = World::new(2, OPEN);
    let mesh = CircleId::mesh(world.mesh());
    let own = CircleId::own(world.mesh(), world.nodes[0].mesh.org());
    let write = |world: &mut World, writes: Vec<Write>| {
        world.request(0, |ticket| Input::Write { ticket, writes }).map(|done| done.written)
    };
    let both = |n, circles: [CircleId; 2]| {
        circles.map(|circle| Write::Bodies { circle, bodies: vec![report(n, 1, "192.0.2.1")] }).into()
    };
    let written = write(&mut world, both(1, [own, mesh])).unwrap();
    assert_eq!(written.len(), 2);
    assert!([own, mesh].iter().all(|circle| written.iter().any(|one| one.circle == *circle)));
    // One that is no circle of this org, whichever comes first.
    let elsewhere = CircleId([9; 32]);
    for circles in [[mesh, elsewhere], [elsewhere, mesh]] {
        assert_eq!(write(&mut world, both(2, circles)), Err(RequestError::NotMember(elsewhere)));
    }
    assert_eq!(records(&world), 2);
    // Moved: out of one and into the other, or neither.
    let back = |circle| Write::TakeBack { circle, subject: report::Subject([1; 16]), reason: 1 };
    let moved = |circle| vec![Write::Bodies { circle, bodies: vec![report(3, 1, "192.0.2.3")] }, back(mesh)];
    assert_eq!(write(&mut world, moved(elsewhere)), Err(RequestError::NotMember(elsewhere)));
    assert_eq!(records(&world), 2);
    assert_eq!(write(&mut world, moved(own)).unwrap().len(), 2);
    assert!(
        matches!(write(&mut world, moved(own)), Err(RequestError::NoReport(_))),
        "it is taken back there"
    );
    assert_eq!(records(&world), 4);
}
