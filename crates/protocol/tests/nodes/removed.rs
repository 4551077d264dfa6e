//! Orgs that a charter takes out of the mesh: what becomes of their links, of what they wrote, and of the circles that they
//! were in.

use crate::world::{OPEN, World, report};
use tocsin_protocol::message::Change;
use tocsin_protocol::{CircleRequest, Input};
use tocsin_record::document::{Carry, Charter, OrgEntry, Signed};
use tocsin_record::{CircleId, OrgId};

const MINUTE_MS: u64 = 60_000;

fn org(world: &World, node: usize) -> OrgId {
    world.nodes[node].mesh.org()
}

/// Node 0 brings the next charter, which its root signs alone.
fn next_charter(world: &mut World, edit: impl FnOnce(&mut Vec<OrgEntry>)) {
    let directory = world.nodes[0].mesh.directory();
    let mut next = directory.charter().clone();
    next.version += 1;
    next.prev = directory.charter_behind().hash;
    next.time = world.now.wall;
    edit(&mut next.orgs);
    next.orgs.sort_by_key(|entry| entry.root);
    let documents = vec![Signed::sign::<Charter>(&next, &[&world.root_secret(0)])];
    world.request(0, |ticket| Input::Documents { ticket, documents }).unwrap();
    world.settle();
}

fn ask(world: &mut World, node: usize, request: CircleRequest) {
    world.request(node, |ticket| Input::Circle { ticket, request }).unwrap();
    world.settle();
}

/// The people of a node agree to all that waits for them.
fn accept(world: &mut World, node: usize) {
    let own = org(world, node);
    let directory = world.nodes[node].mesh.directory();
    let waits: Vec<CircleRequest> = directory
        .proposals()
        .filter(|(key, open)| directory.awaited(key, open).contains(&own))
        .map(|(key, open)| CircleRequest::Accept { key: *key, roster: open.proposal.roster.hash() })
        .collect();
    assert!(!waits.is_empty(), "nothing waits for node {node}");
    for request in waits {
        ask(world, node, request);
    }
}

/// A circle that the first three nodes are stewards of.
fn of_stewards(world: &mut World) -> CircleId {
    let changes = [1, 2].map(|node| Change::Steward(org(world, node))).to_vec();
    ask(
        world,
        0,
        CircleRequest::Create { nonce: [7; 32], name: "ops".into(), carry: Carry::Members, changes },
    );
    accept(world, 1);
    accept(world, 2);
    // Who came in first is asked for the second.
    let circle = world.nodes[0].mesh.directory().circles().next().unwrap().0;
    if world.nodes[0].mesh.directory().roster(circle).unwrap().stewards.len() < 3 {
        accept(world, 1);
    }
    assert_eq!(world.nodes[0].mesh.directory().roster(circle).unwrap().stewards.len(), 3);
    circle
}

fn publish(world: &mut World, node: usize, circle: CircleId, n: u32) -> String {
    let address = format!("192.0.2.{n}");
    let bodies = vec![report(n, 1, &address)];
    world.request(node, |ticket| Input::Publish { ticket, circle, bodies }).unwrap();
    world.settle();
    address
}

fn members(world: &World, node: usize, circle: CircleId) -> Vec<OrgId> {
    world.nodes[node].mesh.directory().membership(circle).members().collect()
}

#[test]
fn a_circle_goes_on_without_a_steward_that_was_taken_out_of_the_mesh() {
    let mut world = World::new(3, OPEN);
    world.connect_all();
    let circle = of_stewards(&mut world);
    let mesh = CircleId::mesh(world.mesh());
    let before = [publish(&mut world, 2, circle, 1), publish(&mut world, 2, mesh, 2)];
    let out = org(&world, 2);
    world.pass(MINUTE_MS);
    let mut entry = None;
    next_charter(&mut world, |orgs| {
        let at = orgs.iter().position(|entry| entry.root == out).unwrap();
        entry = Some(orgs.remove(at));
    });
    for node in [0, 1] {
        let directory = world.nodes[node].mesh.directory();
        assert_eq!(
            directory.former().map(|(org, former)| (org, former.charter)).collect::<Vec<_>>(),
            [(out, 2)]
        );
        assert!(directory.name_of(out).ends_with(" (removed)"), "{}", directory.name_of(out));
        assert!(!members(&world, node, circle).contains(&out) && !members(&world, node, mesh).contains(&out));
        let peers = world.nodes[node].mesh.status().peers;
        assert!(peers.iter().all(|peer| peer.org != Some(out)), "a link stayed");
    }
    // Neither of the two is enough alone; both are, though the key of the third stands among the stewards.
    let removed = CircleRequest::Change { circle, changes: vec![Change::Remove(out)] };
    ask(&mut world, 0, removed);
    accept(&mut world, 1);
    world.pass(2 * MINUTE_MS);
    for node in [0, 1] {
        let roster = world.nodes[node].mesh.directory().roster(circle).unwrap();
        assert!(!roster.has(out));
        assert_eq!((roster.stewards.len(), roster.cuts.len()), (2, 1), "at {node}");
        // What it wrote while it was in stands.
        assert_eq!(before.iter().map(|address| world.lookup(node, address)).sum::<usize>(), 2, "at {node}");
    }
    world.restart(1);
    world.pass(MINUTE_MS);
    assert_eq!(before.iter().map(|address| world.lookup(1, address)).sum::<usize>(), 2, "after a restart");
    assert_eq!(world.nodes[1].mesh.directory().former().count(), 1);

    // Who comes back is in the mesh, and in no circle.
    next_charter(&mut world, |orgs| orgs.extend(entry));
    assert!(members(&world, 0, mesh).contains(&out) && !members(&world, 0, circle).contains(&out));
}

/// What it keeps for itself is judged by its own org: a node that hears that it is out, by whatever hand, or that it is in
/// again, must not take itself for a stranger.
#[test]
fn who_is_taken_out_keeps_what_it_has() {
    let mut world = World::new(3, OPEN);
    world.connect_all();
    let (out, mesh) = (org(&world, 2), CircleId::mesh(world.mesh()));
    let own = CircleId::own(world.mesh(), out);
    let kept = |world: &mut World, n: u32| {
        let address = format!("192.0.2.{n}");
        let bodies = vec![report(n, 3, &address)];
        world.request(2, |ticket| Input::Publish { ticket, circle: own, bodies }).unwrap();
        world.settle();
        address
    };
    let private = kept(&mut world, 5);
    let shared = publish(&mut world, 0, mesh, 6);
    let mut entry = None;
    next_charter(&mut world, |orgs| {
        let at = orgs.iter().position(|entry| entry.root == out).unwrap();
        entry = Some(orgs.remove(at));
    });
    let has = |world: &World| [&private, &shared].map(|address| world.lookup(2, address));
    // Somebody hands it the charter without it.
    let documents = world.nodes[0].mesh.directory().charters().to_vec();
    world.request(2, |ticket| Input::Documents { ticket, documents }).unwrap();
    world.pass(2 * MINUTE_MS);
    assert_eq!(has(&world), [1, 1], "while it is out");
    world.policy(2, OPEN);
    world.pass(MINUTE_MS);
    assert_eq!(has(&world), [1, 1], "under another policy");
    world.restart(2);
    world.pass(MINUTE_MS);
    assert_eq!(has(&world), [1, 1], "after a restart");
    next_charter(&mut world, |orgs| orgs.extend(entry));
    // By hand, before any partner gives it its own certificate back.
    let documents = world.nodes[0].mesh.directory().charters().to_vec();
    world.request(2, |ticket| Input::Documents { ticket, documents }).unwrap();
    let mesh_of = &world.nodes[2].mesh;
    assert_eq!(mesh_of.directory().org_of(mesh_of.node()), Some(out), "it knows itself again");
    for node in [0, 1] {
        world.disconnect(node, 2);
        world.connect(node, 2);
    }
    world.pass(2 * MINUTE_MS);
    assert_eq!(has(&world), [1, 1], "when it is back");
    let again = kept(&mut world, 7);
    assert_eq!(world.lookup(2, &again), 1);
}

#[test]
fn who_comes_back_is_in_no_circle_that_it_was_in_before() {
    let mut world = World::new(3, OPEN);
    world.connect_all();
    let circle = of_stewards(&mut world);
    let out = org(&world, 2);
    world.pass(MINUTE_MS);
    let mut entry = None;
    next_charter(&mut world, |orgs| {
        let at = orgs.iter().position(|entry| entry.root == out).unwrap();
        entry = Some(orgs.remove(at));
    });
    let meanwhile = publish(&mut world, 0, circle, 3);
    world.pass(MINUTE_MS);
    next_charter(&mut world, |orgs| orgs.extend(entry));
    for node in [0, 1] {
        world.disconnect(node, 2);
        world.connect(node, 2);
    }
    world.pass(2 * MINUTE_MS);
    let peers = world.nodes[0].mesh.status().peers;
    assert!(peers.iter().any(|peer| peer.org == Some(out)), "it is linked again");
    for node in [0, 1] {
        assert!(!members(&world, node, circle).contains(&out), "at {node}");
    }
    assert_eq!((world.lookup(1, &meanwhile), world.lookup(2, &meanwhile)), (1, 0));
}
