//! A policy that takes force between two records.

use std::sync::Arc;

use crate::world::{OPEN, REFUSE, World, report};
use tocsin_policy::Policy;
use tocsin_protocol::Input;
use tocsin_store::Verdict;

#[test]
fn what_came_in_the_same_commit_before_a_policy_is_judged_by_it() {
    let mut world = World::new(2, OPEN);
    world.connect_all();
    let before = world.publish(0, report(1, 1, "192.0.2.1"));
    world.settle();
    let id = world.publish(0, report(2, 1, "192.0.2.2"));
    // The record, the policy and the walk that judges anew come before one commit.
    let policy = Arc::new(Policy::load(REFUSE).unwrap());
    world.feed_at_once(1, [Input::Policy { policy }, Input::Tick]);
    world.pass(10_000);
    for id in [before, id] {
        assert_eq!(world.stored(1, &id).unwrap().stamped.outcome.verdict, Verdict::Refused);
    }
}
