//! A node that says it wrote more than it gives: named after ten minutes on a live link, and told apart.

use crate::world::{OPEN, World};
use tocsin_protocol::message::head::head_hash;
use tocsin_protocol::message::{self, Head, LogName, Message};
use tocsin_protocol::{Event, OrgStatus};
use tocsin_record::{CircleId, RecordId};

const LIAR: u8 = 2;

/// What a node says of its own newest record, signed.
fn head(world: &World, seq: u64) -> Vec<Message> {
    let (node, circle) = (world.nodes[LIAR as usize].mesh.node(), CircleId::mesh(world.mesh()));
    let (epoch, time, id) = (1_799_999_000_000, world.now.wall, RecordId([9; 32]));
    let hash = head_hash(&world.mesh(), &node, &circle, epoch, seq, &id, 0, time);
    let signature = world.record_secret(LIAR).sign(&hash);
    let name = Message::Name(0, LogName { author: node, circle, epoch });
    vec![name, Message::Heads(vec![Head { log: 0, seq, id, releases: 0, time, signature }])]
}

fn org(world: &World, name: &str) -> OrgStatus {
    world.nodes[0].mesh.status().orgs.into_iter().find(|org| org.name == name).unwrap()
}

fn named(world: &World) -> Vec<u64> {
    let records =
        |event: &Event| if let Event::NotGiven { records, .. } = event { Some(*records) } else { None };
    world.events(0).iter().filter_map(records).collect()
}

#[test]
fn what_is_claimed_and_never_given_is_named_after_ten_minutes() {
    let mut world = World::new(3, OPEN);
    world.connect(0, 1);
    world.settle();
    let link = world.strange_link(0, LIAR);
    for minute in 0..12 {
        let says = message::encode(&head(&world, 1000));
        world.receive(0, link, says);
        world.pass(60_000);
        let fault = !org(&world, "org2").not_given.is_empty();
        assert_eq!(fault, minute >= 10, "after {} minutes", minute + 1);
        assert_eq!(org(&world, "org2").missing_headers, 1000);
        let honest = org(&world, "org1");
        assert!(honest.missing_headers == 0 && honest.not_given.is_empty());
    }
    assert_eq!(named(&world), [1000], "once");
}

#[test]
fn who_is_away_is_not_at_fault() {
    let mut world = World::new(3, OPEN);
    let link = world.strange_link(0, LIAR);
    let says = message::encode(&head(&world, 1000));
    world.receive(0, link, says);
    world.feed(0, tocsin_protocol::Input::LinkDown { link });
    world.pass(20 * 60_000);
    assert_eq!(org(&world, "org2").missing_headers, 1000);
    assert!(org(&world, "org2").not_given.is_empty() && named(&world).is_empty());
}
