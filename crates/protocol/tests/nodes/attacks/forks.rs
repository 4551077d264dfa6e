//! Forks: of several of one log the lowest counts, for everybody.

use tocsin_protocol::message::{self, Message, Push};
use tocsin_record::{LogKey, Run, Tip, page};
use tocsin_store::Standing;

use super::{FOE, OPEN, draft, log_of};
use crate::world::{World, report};

/// Records of the hostile member's log behind a tip, each signed.
fn records(world: &World, log: LogKey, tip: Tip, address: &str, count: u32) -> Vec<Run> {
    let mut tip = tip;
    (0..count)
        .map(|n| {
            let draft = draft(&report(n, 1, address), world.now.wall);
            let run = Run::sign(&world.record_secret(FOE), log, tip, vec![draft]).unwrap();
            tip = run.tip();
            run
        })
        .collect()
}

#[test]
fn who_missed_a_lower_fork_hears_of_it_when_it_is_back() {
    let mut world = World::new(3, OPEN);
    let log = log_of(&world, FOE.into(), world.now.wall);
    let all = records(&world, log, Tip::default(), "192.0.2.1", 10);
    world.connect(0, 1);
    let link = world.strange_link(0, FOE);
    for run in &all {
        world.push_from(0, link, &log, run);
    }
    world.settle();
    let fork = |world: &World, at: usize| {
        let rival = records(world, log, all[at - 2].tip(), "192.0.2.66", 1).remove(0);
        let push = |run: &Run| Push { log: 0, reply: true, page: page::encode(run) };
        message::encode(&vec![
            Message::Name(0, log.into()),
            Message::Fork(Box::new([push(&all[at - 1]), push(&rival)])),
        ])
    };
    let standing = |world: &World, node: usize| {
        let reader = world.nodes[node].mesh.reader();
        reader.log(reader.log_no(&log).unwrap()).unwrap().standing
    };
    let frame = fork(&world, 9);
    world.receive(0, link, frame);
    world.settle();
    assert_eq!([0, 1].map(|node| standing(&world, node)), [Standing::Forked { at: 9 }; 2]);
    world.disconnect(0, 1);
    let frame = fork(&world, 4);
    world.receive(0, link, frame);
    assert_eq!(standing(&world, 0), Standing::Forked { at: 4 });
    world.connect(0, 1);
    world.settle();
    assert_eq!(standing(&world, 1), Standing::Forked { at: 4 }, "it goes on believing what is disputed");
}
