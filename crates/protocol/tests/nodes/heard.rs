//! Who counts as heard, and as of when nothing is missing: an idle partner whose link is up is no silent one.

use crate::world::{OPEN, World, report};
use tocsin_protocol::message::{self, Have, LogName, Message};
use tocsin_protocol::{OrgStatus, WantedBodies};
use tocsin_record::CircleId;

/// Quiet links compare frontiers every minute.
const MINUTE_MS: u64 = 60_000;

fn org(world: &World, node: usize, name: &str) -> OrgStatus {
    world.nodes[node].mesh.status().orgs.into_iter().find(|org| org.name == name).unwrap()
}

#[test]
fn an_idle_partner_is_heard_by_its_link() {
    let mut world = World::new(3, OPEN);
    world.connect(0, 1);
    world.connect(1, 2);
    world.settle();
    world.publish(1, report(1, 1, "192.0.2.7"));
    world.settle();
    // Nobody says a head for four minutes; frames between the two still pass.
    world.pass(4 * MINUTE_MS);
    let near = org(&world, 0, "org1");
    let age = world.now.wall - near.heard.unwrap();
    assert!(age <= MINUTE_MS + 1_000, "the partner at the other end was heard {age} ms ago");
    assert_eq!(near.heard, near.complete_as_of);
    assert!(near.silent_ms.unwrap() <= MINUTE_MS + 1_000);
    // Of one that no link leads to, its signed word is all there is.
    let far = org(&world, 0, "org2");
    assert!(world.now.wall - far.heard.unwrap() > 3 * MINUTE_MS, "{far:?}");
    assert_eq!(far.heard, far.complete_as_of);
}

#[test]
fn a_partner_whose_link_is_down_grows_silent() {
    let mut world = World::new(2, OPEN);
    world.connect(0, 1);
    world.settle();
    world.disconnect(0, 1);
    let gone = world.now.wall;
    world.pass(4 * MINUTE_MS);
    let heard = org(&world, 0, "org1").heard.unwrap();
    assert!(heard <= gone, "it was heard {} ms after it was gone", heard.saturating_sub(gone));
}

#[test]
fn what_an_author_announced_is_missing_until_it_is_here() {
    let mut world = World::new(2, OPEN);
    world.connect(0, 1);
    world.publish(1, report(1, 1, "192.0.2.7"));
    world.settle();
    assert_eq!(org(&world, 0, "org1").missing_headers, 0);
    // Its author announces more on its own link, and the records do not come; no head speaks of them yet.
    let told = |world: &World, more: u32| {
        let log = world.nodes[0].mesh.reader().logs()[0].key;
        let have = Have { log: 77, from: 2, more, age: 0, except: vec![] };
        message::encode(&vec![Message::Name(77, log.into()), Message::Have(vec![have])])
    };
    let (link, _) = world.wire(0, 1);
    let frame = told(&world, 4);
    world.receive(0, link, frame);
    let behind = org(&world, 0, "org1");
    assert_eq!((behind.missing_headers, behind.complete_as_of), (5, None));

    // The word of another member is none.
    let mut world = World::new(3, OPEN);
    world.connect(0, 1);
    world.publish(1, report(1, 1, "192.0.2.7"));
    world.settle();
    let liar = world.strange_link(0, 2);
    let frame = told(&world, 4);
    world.receive(0, liar, frame);
    assert_eq!(org(&world, 0, "org1").missing_headers, 0, "anybody could make every answer incomplete");
}

#[test]
fn what_nobody_announced_is_told_apart() {
    let kept = OPEN.to_owned()
        + r#"@id("to-nobody") forbid(principal, action == Action::"forward", resource) when { resource.tlp == 2 };"#;
    let mut world = World::new(3, OPEN);
    world.policy(1, &kept);
    world.connect(1, 0);
    world.connect(0, 2);
    world.settle();
    for n in 1..=2 {
        world.publish(1, report(n, 2, &format!("192.0.2.{n}")));
    }
    world.publish(1, report(3, 1, "192.0.2.3"));
    world.settle();
    // The first was told so by the author; the second is linked to the first alone, which has nothing to announce.
    for node in [0, 2] {
        let author = org(&world, node, "org1");
        assert_eq!(
            (author.withheld, author.missing_bodies, author.missing_headers),
            (2, 0, 0),
            "node {node}"
        );
        assert!(author.complete_as_of.is_some());
        let logs = world.nodes[node].mesh.status().logs;
        assert_eq!(logs[0].bodies, WantedBodies { announced: 0, withheld: 2 });
    }
    // Announced is missing, until it comes.
    let (link, _) = world.wire(2, 0);
    let log = world.nodes[2].mesh.reader().logs()[0].key;
    let have = Have { log: 78, from: 1, more: 0, age: 0, except: vec![] };
    let frame = message::encode(&vec![Message::Name(78, log.into()), Message::Have(vec![have])]);
    world.receive(2, link, frame);
    let author = org(&world, 2, "org1");
    assert_eq!((author.withheld, author.missing_bodies, author.complete_as_of), (1, 1, None));
    world.settle();
    assert_eq!(org(&world, 2, "org1").withheld, 2, "it was a false word");
    world.policy(1, OPEN);
    world.pass(10 * MINUTE_MS);
    let author = org(&world, 2, "org1");
    assert_eq!((author.withheld, author.missing_bodies), (0, 0));
    assert_eq!(world.lookup(2, "192.0.2.1"), 1);
}

#[test]
fn agreement_counts_on_a_quiet_link_only() {
    let mut world = World::new(2, OPEN);
    world.connect(0, 1);
    world.settle();
    let (link, _) = world.wire(0, 1);
    let log = LogName { author: world.nodes[1].mesh.node(), circle: CircleId::mesh(world.mesh()), epoch: 7 };
    world.pass(10_000);
    let before = org(&world, 0, "org1").heard.unwrap();
    // For four minutes another frame is always just ahead of a Hello that agrees: it may have waited behind more.
    for _ in 0..480 {
        let have = Have { log: 77, from: 1, more: 0, age: 0, except: vec![] };
        world.receive(0, link, message::encode(&vec![Message::Name(77, log), Message::Have(vec![have])]));
        world.pass(500);
    }
    let after = org(&world, 0, "org1").heard.unwrap();
    assert!(after - before < 5_000, "agreement on a busy link was believed {} ms later", after - before);
    world.pass(2 * MINUTE_MS);
    assert!(org(&world, 0, "org1").heard.unwrap() - before > 4 * MINUTE_MS);
}

#[test]
fn a_body_that_is_kept_back_leaves_a_link_quiet() {
    let kept = OPEN.to_owned()
        + r#"@id("to-nobody") forbid(principal, action == Action::"forward", resource) when { resource.tlp == 2 };"#;
    // The author says its Hello half a second before its partner, or half a second after: what is asked after one of them
    // comes just ahead of the other.
    for late in [0, 1] {
        let mut sent = Vec::new();
        for tlp in [1, 2] {
            let mut world = World::new(2, OPEN);
            world.pass(500);
            world.restart(late);
            world.policy(0, &kept);
            world.connect(0, 1);
            world.settle();
            world.publish(0, report(1, tlp, "192.0.2.7"));
            world.settle();
            assert_eq!(org(&world, 1, "org0").withheld, u64::from(tlp == 2));
            world.sent = (0, 0);
            world.pass(4 * MINUTE_MS);
            sent.push(world.sent);
            for (node, other) in [(0, "org1"), (1, "org0")] {
                let age = world.now.wall - org(&world, node, other).complete_as_of.unwrap();
                assert!(age <= MINUTE_MS + 1_000, "node {node} is complete as of {age} ms ago");
            }
        }
        // Asked after once a minute, in a few bytes, and nothing else comes of it.
        let [(frames, bytes), (with_it, bytes_with_it)] = sent[..] else { panic!("{sent:?}") };
        assert!(with_it <= frames + 4 && bytes_with_it <= bytes + 4 * 8, "{sent:?}");
    }
}
