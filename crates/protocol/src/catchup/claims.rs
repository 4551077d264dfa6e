//! Records that nodes say they wrote and do not give.
//!
//! A height that a node claims of its own log makes this node's answers incomplete: there is something that it does not
//! know. One that is claimed and on a live link never given is its fault, and named after ten minutes, so that people can
//! see whose word it is that is missing, and stop counting it. What nodes claim of each other's logs says nothing at all.

use std::collections::BTreeMap;

use tocsin_record::NodeKey;

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

    /// Looks at what all nodes claim: how many records of each are missing, whether it is linked, and how many of its records
    /// are held. Gives back the nodes whose time just ended, with what they did not give.
    pub fn watch(
        &mut self,
        missing: &BTreeMap<NodeKey, u64>,
        mono: u64,
        linked: impl Fn(NodeKey) -> bool,
        held: impl Fn(NodeKey) -> u64,
    ) -> Vec<(NodeKey, u64)> {
        self.nodes.retain(|node, _| missing.contains_key(node));
        let ended = |(node, missing): (&NodeKey, &u64)| {
            self.look(*node, mono, linked(*node), *missing, held(*node)).then_some((*node, *missing))
        };
        missing.iter().filter_map(ended).collect()
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

    #[test]
    fn who_claims_nothing_any_more_is_forgotten() {
        let mut claims = Claims::default();
        let missing = BTreeMap::from([(NODE, 7)]);
        let mut watch = |missing: &BTreeMap<NodeKey, u64>, minutes: u64| {
            claims.watch(missing, minutes * 60_000, |node| node == NODE, |_| 0)
        };
        assert!(watch(&missing, 0).is_empty());
        assert!(watch(&BTreeMap::new(), 5).is_empty());
        assert!(watch(&missing, 10).is_empty(), "its time began anew");
        assert_eq!(watch(&missing, 20), [(NODE, 7)]);
        assert!(watch(&missing, 40).is_empty(), "it is named once");
    }
}
