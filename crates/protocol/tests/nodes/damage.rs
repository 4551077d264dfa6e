//! A node whose disk lost the end of its own log: it writes in a new one, and the lost comes back from its partners.

use crate::world::{OPEN, World, report};

#[test]
fn a_log_that_was_cut_short_does_not_go_on() {
    for restarts in 1..=2 {
        let mut world = World::new(2, OPEN);
        world.connect_all();
        // A minute passes for the sign of life.
        world.pass(61_000);
        let ids: Vec<_> =
            (1..=3).map(|n| world.publish(0, report(n, 1, &format!("198.51.100.{n}")))).collect();
        world.settle();
        let key = |world: &World, id| {
            let header = world.stored(1, id).unwrap().entry.header;
            (header.epoch, header.seq)
        };
        let (epoch, seq) = key(&world, &ids[2]);
        assert_eq!(seq, 3);
        world.disconnect(0, 1);
        world.go_on(0);
        let sound = world.publish(0, report(4, 1, "198.51.100.4"));
        assert_eq!(world.stored(0, &sound).unwrap().entry.header.seq, 4, "a sound log goes on");
        world.rot(0);
        // The second restart finds no damage any more: what the first one learnt must have lasted.
        for _ in 0..restarts {
            world.go_on(0);
            world.pass(1_000);
        }
        assert!(world.stored(0, &sound).is_none() && world.stored(0, &ids[2]).is_some());
        let new = world.publish(0, report(5, 1, "198.51.100.5"));
        let header = world.stored(0, &new).unwrap().entry.header;
        assert!(header.epoch > epoch && header.seq == 1, "{restarts}: {} of {}", header.seq, header.epoch);
        world.connect(0, 1);
        world.pass(10_000);
        assert!(world.stored(1, &new).is_some());
    }
}
