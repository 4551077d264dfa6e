//! Bodies that nobody gives: what looking for them takes, of whom.

use tocsin_protocol::message::{self, Message, Push};
use tocsin_record::run::Part;
use tocsin_record::{Run, Tip, page};

use super::{FOE, OPEN, draft, log_of};
use crate::world::{World, report};

#[test]
fn bodies_that_are_never_given_do_not_use_up_what_partners_do_for_each_other() {
    let mut world = World::new(4, OPEN);
    world.connect(0, 1);
    world.connect(0, 3);
    world.connect(1, 3);
    world.settle();
    let link = world.strange_link(0, FOE);
    let log = log_of(&world, FOE.into(), world.now.wall);
    let mut tip = Tip::default();
    world.receive(0, link, message::encode(&vec![Message::Name(0, log.into())]));
    for _ in 0..20_000 / 64 {
        let drafts = (0..64).map(|n| draft(&report(n, 1, "192.0.2.9"), world.now.wall)).collect();
        let mut run = Run::sign(&world.record_secret(FOE), log, tip, drafts).unwrap();
        tip = run.tip();
        for (_, part) in run.bodies_mut() {
            *part = Part::NotHeld;
        }
        let push = Push { log: 0, reply: true, page: page::encode(&run) };
        world.receive(0, link, message::encode(&vec![Message::Push(push)]));
    }
    let node = |world: &World, n: usize| world.nodes[n].mesh.node();
    // What it wrote goes round, with copies that cost something.
    world.pass(5_000);
    let mut least = i64::MAX;
    for _ in 0..60 * 20 {
        world.pass(50);
        for (at, of) in [(0, 1), (1, 0), (0, 3), (3, 0), (1, 3), (3, 1)] {
            least = least.min(world.nodes[at].mesh.left_to(&node(&world, of)).unwrap());
        }
    }
    // Of 300 ms that a node has.
    assert!(least > 200_000, "partners had {least} us left of each other");
}
