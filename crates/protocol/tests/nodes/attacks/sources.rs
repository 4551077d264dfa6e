//! Sources of catch-up and of bodies: one that gives little keeps nobody from the others.

use tocsin_protocol::message::{
    self, Entries, EntryOf, Have, LogState, Message, Page, Range, RecordAt, Want,
};
use tocsin_protocol::{Effect, Input};
use tocsin_record::body::Body;
use tocsin_record::{LogKey, RecordId, Tip, page};

use super::{FOE, OPEN, answered, draft, foe_run, further_link, log_of, with_large_report};
use crate::world::{World, report};

#[test]
fn a_peer_that_gives_nothing_does_not_keep_a_log() {
    let mut world = World::new(3, OPEN);
    for n in 0..300u32 {
        world.publish(1, report(n, 1, &format!("192.0.2.{}", n % 250)));
    }
    let foe = world.strange_link(0, FOE);
    let log = world.nodes[1].mesh.reader().logs()[0].key;
    let told = |no: u32| EntryOf {
        no,
        log: log.into(),
        base: 1,
        height: 5000,
        id: RecordId([9; 32]),
        state: LogState::Open,
    };
    let first = message::encode(&vec![Message::Entries(Entries(vec![told(1)]))]);
    world.receive(0, foe, first.clone());
    world.connect(0, 1);
    for want in 1..60 {
        world.pass(1_000);
        // It is asked, and answers with nothing, in time, for ever.
        for id in 1..want + 8 {
            let page = Page { want: id, log: log.into(), last: false, packed: vec![] };
            world.receive(0, foe, message::encode(&vec![Message::Page(page)]));
        }
        world.receive(0, foe, first.clone());
    }
    let height = world.nodes[0].mesh.reader().logs().iter().find(|info| info.key == log).unwrap().tip.seq;
    assert_eq!(height, 300, "a third party was not heard any more");
}

#[test]
fn a_want_that_had_to_wait_is_served_in_the_end() {
    let mut world = World::new(3, OPEN);
    let link = world.strange_link(0, FOE);
    let log = with_large_report(&mut world, link);
    let all = Range { log: 0, from: 1, to: u64::MAX, bodies: true };
    let mut messages = vec![Message::Name(0, log.into())];
    messages.extend((0..4000).map(|_| Message::WantBodies(vec![RecordAt { log: 0, seq: 1 }; 10])));
    messages.push(Message::Want(Want { id: 7, ranges: vec![all], credit: 2 << 20 }));
    answered(&mut world, 0, link, &messages);
    let mut pages = 0;
    for _ in 0..400 {
        world.now.mono += 50;
        world.now.wall += 50;
        for effect in world.feed(0, Input::Tick) {
            if let Effect::Send { frame, .. } = effect {
                let said = message::decode(world.mesh(), &frame).unwrap();
                pages += said
                    .messages
                    .iter()
                    .filter(|m| matches!(m, Message::Page(page) if page.want == 7))
                    .count();
            }
        }
    }
    assert!(pages >= 1);
}

/// The wants that a node sends for one frame of a peer.
fn wants(world: &mut World, node: usize, link: u64, messages: &Vec<Message>) -> Vec<Want> {
    let frame = world.hear(node, link, &message::encode(messages)).unwrap();
    let mut wants = Vec::new();
    for effect in world.feed(node, Input::Received { link, frame }) {
        if let Effect::Send { frame, .. } = effect {
            for message in message::decode(world.mesh(), &frame).unwrap().messages {
                if let Message::Want(want) = message {
                    wants.push(want);
                }
            }
        }
    }
    wants
}

#[test]
fn a_want_that_does_not_end_keeps_no_other_log_waiting() {
    let mut world = World::new(3, OPEN);
    let foe = world.strange_link(0, FOE);
    let honest = world.strange_link(0, 1);
    let told = |log: LogKey| EntryOf {
        no: 0,
        log: log.into(),
        base: 1,
        height: 1,
        id: RecordId([9; 32]),
        state: LogState::Open,
    };
    let (log, run) = foe_run(&world, Tip::default(), vec![draft(&report(1, 1, "192.0.2.1"), world.now.wall)]);
    let claim = vec![Message::Entries(Entries(vec![told(log)]))];
    let want = wants(&mut world, 0, foe, &claim).remove(0).id;
    // All that was asked for, and no word that this is the end.
    let packed = page::pack(&page::encode(&run));
    let page = Message::Page(Page { want, log: log.into(), last: false, packed });
    world.receive(0, foe, message::encode(&vec![page]));
    assert!(world.stored(0, &run.tip().id).is_some());
    let claim = vec![Message::Entries(Entries(vec![told(log_of(&world, 1, world.now.wall))]))];
    assert_eq!(wants(&mut world, 0, honest, &claim).len(), 1);
}

#[test]
fn an_org_of_many_nodes_does_not_keep_bodies_away() {
    let mut world = World::new(3, OPEN);
    let Body::Report(mut large) = report(1, 1, "192.0.2.1") else { unreachable!() };
    large.extension = vec![7; 40_000];
    let id = world.publish(1, Body::Report(large));
    let info = world.nodes[1].mesh.reader().logs()[0];
    let wire =
        world.nodes[1].mesh.reader().runs(info.no, 1, 1, &mut tocsin_store::Bodies::None).unwrap().remove(0);
    let run = page::decode(info.key, &page::unpack(&wire.packed).unwrap()).unwrap();
    let links: Vec<u64> = (0..12).map(|n| further_link(&mut world, n)).collect();
    world.push_from(0, links[0], &info.key, &run);
    assert!(world.stored(0, &id).unwrap().entry.body().is_none());
    let have = Have { log: 0, from: 1, more: 0, age: 0, except: vec![] };
    let say = vec![Message::Name(0, info.key.into()), Message::Have(vec![have])];
    let say = message::encode(&say);
    for link in &links {
        world.receive(0, *link, say.clone());
    }
    world.connect(0, 1);
    for _ in 0..90 {
        world.pass(1_000);
        for link in &links {
            world.receive(0, *link, say.clone());
        }
    }
    assert!(world.stored(0, &id).unwrap().entry.body().is_some(), "its author was never asked");
}
