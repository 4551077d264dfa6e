//! Whom a node asks for what it lacks: liars who claim everything and give nothing slow it, they never stop it.

use crate::world::{OPEN, World, report};
use tocsin_protocol::Input;
use tocsin_protocol::message::{
    self, BodyData, BodyStatus, Entries, EntryOf, LogState, Message, Push, RecordAt,
};
use tocsin_record::body::Body;
use tocsin_record::run::{Draft, Part};
use tocsin_record::{CircleId, LogKey, RecordId, Run, Tip, page};
use tocsin_store::BodyState;

/// Nodes 2 to 9 are hostile, 1 and 10 are not.
const LIARS: std::ops::RangeInclusive<u8> = 2..=9;
const NODES: u8 = 11;

/// Lets time pass with liars who say again and again what they said, until something is so. How many seconds that took.
fn lied_to(world: &mut World, says: &[(u64, Vec<Message>)], done: impl Fn(&World) -> bool) -> u64 {
    for second in 0..600 {
        for (link, messages) in says {
            world.receive(0, *link, message::encode(messages));
        }
        world.pass(1_000);
        if done(world) {
            return second;
        }
    }
    panic!("not within ten minutes");
}

#[test]
fn eight_of_ten_that_claim_all_and_give_nothing_do_not_stop_a_catch_up() {
    let mut slowest = 0;
    for seed in 0..6 {
        let mut world = World::with_seed(NODES, OPEN, seed * 7);
        world.connect(1, 10);
        world.settle();
        // More than one page, so that a source must be found more than once.
        let circle = CircleId::mesh(world.mesh());
        for _ in 0..20 {
            let bodies = (0..64).map(|n| report(n, 1, "192.0.2.1")).collect();
            world.request(1, |ticket| Input::Publish { ticket, circle, bodies }).unwrap();
            world.pass(100);
        }
        world.settle();
        let info = world.nodes[1].mesh.reader().logs().into_iter().find(|info| info.tip.seq > 0).unwrap();
        // The liars come first: theirs are the lowest links.
        let says: Vec<(u64, Vec<Message>)> = LIARS
            .map(|liar| {
                let link = world.strange_link(0, liar);
                let (log, height) = (info.key.into(), info.tip.seq + 1000);
                let (base, id, state) = (1, RecordId([9; 32]), LogState::Open);
                (link, vec![Message::Entries(Entries(vec![EntryOf { no: 0, log, base, height, id, state }]))])
            })
            .collect();
        for (link, messages) in &says {
            world.receive(0, *link, message::encode(messages));
        }
        world.connect(0, 1);
        world.connect(0, 10);
        let has_all = |world: &World| {
            world.nodes[0]
                .mesh
                .reader()
                .logs()
                .iter()
                .any(|log| log.key == info.key && log.tip.seq == info.tip.seq)
        };
        slowest = slowest.max(lied_to(&mut world, &says, has_all));
    }
    assert!(slowest <= 120, "{slowest} s");
}

#[test]
fn eight_that_announce_a_body_and_do_not_give_it_do_not_keep_it_away() {
    for answers in [false, true] {
        let mut world = World::new(NODES, OPEN);
        let author = world.nodes[10].mesh.node();
        let circle = CircleId::mesh(world.mesh());
        let log = LogKey { mesh: world.mesh(), author, circle, epoch: world.now.wall };
        let Body::Report(mut body) = report(1, 1, "192.0.2.1") else { unreachable!() };
        body.description = "x".repeat(40_000);
        let body = Body::Report(body).encode();
        let time = world.now.wall;
        let draft = Draft {
            kind: 32,
            tlp: 1,
            flags: 0,
            time,
            expires: 0,
            roster: 1,
            extension: vec![],
            body: body.into(),
        };
        let run = Run::sign(&world.record_secret(10), log, Tip::default(), vec![draft]).unwrap();
        let link = world.strange_link(1, 10);
        world.push_from(1, link, &log, &run);
        let mut bare = run.clone();
        bare.bodies_mut().for_each(|(_, part)| *part = Part::Ask);
        let push = Push { log: 0, reply: false, page: page::encode(&bare) };
        let first = vec![Message::Name(0, log.into()), Message::Push(push)];
        let what = RecordAt { log: 0, seq: 1 };
        let says: Vec<(u64, Vec<Message>)> = LIARS
            .map(|liar| {
                let link = world.strange_link(0, liar);
                let mut again = vec![Message::Name(0, log.into()), Message::HaveBodies(vec![what])];
                if answers {
                    // Its own number for the log is the one that it was asked by, or near it.
                    let data = |log| BodyData { what: RecordAt { log, seq: 1 }, status: BodyStatus::NotHeld };
                    again.insert(0, Message::Bodies((0..4).map(data).collect()));
                }
                (link, again)
            })
            .collect();
        for (link, _) in &says {
            world.receive(0, *link, message::encode(&first));
        }
        world.connect(0, 1);
        let id = run.tip().id;
        let has_it = |world: &World| {
            world.stored(0, &id).is_some_and(|stored| stored.stamped.outcome.body == BodyState::Here)
        };
        let took = lied_to(&mut world, &says, has_it);
        assert!(took <= 120, "{took} s, answering: {answers}");
    }
}
