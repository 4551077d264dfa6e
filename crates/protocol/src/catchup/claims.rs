//! Records that nodes say they wrote and do not give.
//!
//! A height that a node claims of its own log makes this node's answers incomplete: there is something that it does not
//! know. One that is claimed and on a live link never given is its fault, and named after ten minutes, so that people can
//! see whose word it is that is missing, and stop counting it. What nodes claim of each other's logs says nothing at all.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_record::{LogKey, NodeKey};
use tocsin_store::{Kv, LogNo, Slots};

use crate::io::{Effect, Event, Output};
use crate::links::link::Link;
use crate::mesh::Mesh;

/// How long a node may take on a live link for what it claims, in ms.
const FAULT_MS: u64 = 600_000;
/// And the least part of it that it gives meanwhile: a catch-up over the slowest link gives more, a record now and then does
/// not help.
const LEAST_PART: u64 = 50;

/// What one node claims and does not give.
#[derive(Clone, Copy, Debug)]
struct Claim {
    /// When it was looked last, by the monotonic clock; what was missing then, and what was held.
    since: u64,
    missing: u64,
    held: u64,
    /// It did not give it in its time.
    fault: bool,
}

/// What is claimed and not given, by node: of certified ones, so of as many as the charter bounds.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    nodes: BTreeMap<NodeKey, Claim>,
}

impl Claims {
    /// Whether a node does not give what it claims.
    pub fn is_fault(&self, node: NodeKey) -> bool {
        self.nodes.get(&node).is_some_and(|claim| claim.fault)
    }

    /// Looks at what a node claims. True when its time just ended.
    fn look(&mut self, node: NodeKey, mono: u64, linked: bool, missing: u64, held: u64) -> bool {
        let begin = Claim { since: mono, missing, held, fault: false };
        let claim = self.nodes.entry(node).or_insert(begin);
        let fault = claim.fault;
        if !linked {
            *claim = Claim { fault, ..begin };
            return false;
        }
        if mono.saturating_sub(claim.since) < FAULT_MS {
            return false;
        }
        let gave = held.saturating_sub(claim.held);
        *claim = Claim { fault: gave.saturating_mul(LEAST_PART) < claim.missing, ..begin };
        claim.fault && !fault
    }
}

impl<K: Kv, S: Slots> Mesh<K, S> {
    /// Headers that each other node says it wrote, by its signed heads and on links of its own, and that are not here.
    pub(crate) fn claimed(&self) -> BTreeMap<NodeKey, u64> {
        let mut announced: BTreeMap<LogNo, u64> = self.announced_heights();
        let mut claimed: BTreeMap<NodeKey, u64> = BTreeMap::new();
        let mut add = |node: NodeKey, missing: u64| {
            if node != self.node && missing > 0 {
                let sum = claimed.entry(node).or_default();
                *sum = sum.saturating_add(missing);
            }
        };
        for ((node, circle), head) in &self.heads.heads {
            let key = LogKey { mesh: self.mesh(), author: *node, circle: *circle, epoch: head.epoch };
            let log = self.store.log_no(&key);
            let held = log.map_or(0, |log| self.height(log));
            let told = log.and_then(|log| announced.remove(&log)).unwrap_or(0);
            add(*node, head.seq.max(told).saturating_sub(held));
        }
        // Logs that a newer one of the same node has followed, or that no head speaks of yet.
        for (log, height) in announced {
            if let Some(key) = self.store.key(log) {
                add(key.author, height.saturating_sub(self.height(log)));
            }
        }
        claimed
    }

    /// Watches what is claimed and not given, and says so once of each node.
    pub(crate) fn watch_claims(&mut self, out: &mut Output) {
        let claimed = self.claimed();
        self.claims.nodes.retain(|node, _| claimed.contains_key(node));
        if claimed.is_empty() {
            return;
        }
        let linked: BTreeSet<NodeKey> =
            self.links.values().filter_map(Link::peer).map(|peer| peer.node).collect();
        let mut held: BTreeMap<NodeKey, u64> = BTreeMap::new();
        for info in self.reader.logs() {
            *held.entry(info.key.author).or_default() += info.tip.seq;
        }
        for (node, records) in claimed {
            let held = held.get(&node).copied().unwrap_or(0);
            if self.claims.look(node, self.now.mono, linked.contains(&node), records, held) {
                out.push(Effect::Event(Event::NotGiven { node, records }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeKey = NodeKey([1; 32]);

    #[test]
    fn only_a_live_link_counts_and_only_what_is_not_given() {
        let mut claims = Claims::default();
        let mut look = |minutes: u64, linked, missing, held| {
            let named = claims.look(NODE, minutes * 60_000, linked, missing, held);
            (named, claims.is_fault(NODE))
        };
        assert_eq!(look(0, true, 1000, 0), (false, false));
        assert_eq!(look(9, true, 1000, 0), (false, false));
        // Away for a moment: its time begins anew.
        assert_eq!(look(10, false, 1000, 0), (false, false));
        assert_eq!(look(19, true, 1000, 0), (false, false));
        assert_eq!(look(20, true, 1000, 0), (true, true));
        assert_eq!(look(31, true, 2000, 5), (false, true), "named once; a record now and then does not help");
        assert_eq!(look(35, false, 2000, 5), (false, true), "to go away does not help");
        // It catches up, however slowly.
        assert_eq!(look(45, true, 1900, 100), (false, false));
        assert_eq!(look(56, true, 1800, 200), (false, false));
    }
}
