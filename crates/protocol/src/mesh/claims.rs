//! What each node says it wrote and is not here, by its heads and by what it announced itself.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_record::{LogKey, NodeKey};
use tocsin_store::{Kv, LogNo, Slots};

use crate::io::{Effect, Event, Output};
use crate::mesh::Mesh;

impl<K: Kv, S: Slots> Mesh<K, S> {
    /// Headers that each other node says it wrote, by its signed heads and on links of its own, and that are not here.
    pub(crate) fn claimed(&self) -> BTreeMap<NodeKey, u64> {
        let mut announced: BTreeMap<LogNo, u64> = self.announced_heights();
        let mut claimed: BTreeMap<NodeKey, u64> = BTreeMap::new();
        let mut add = |node: NodeKey, missing: u64| {
            if node != self.admission.node && missing > 0 {
                let sum = claimed.entry(node).or_default();
                *sum = sum.saturating_add(missing);
            }
        };
        for ((node, circle), head) in self.heads.heads() {
            let key = LogKey { mesh: self.mesh(), author: *node, circle: *circle, epoch: head.epoch };
            let log = self.admission.store().log_no(&key);
            let held = log.map_or(0, |log| self.height(log));
            let told = log.and_then(|log| announced.remove(&log)).unwrap_or(0);
            let said = head.seq.max(told).min(self.claims_up_to(&key));
            add(*node, said.saturating_sub(held));
        }
        // Logs that a newer one of the same node has followed, or that no head speaks of yet.
        for (log, height) in announced {
            if let Some(key) = self.admission.store().key(log) {
                let height = height.min(self.claims_up_to(&key));
                add(key.author, height.saturating_sub(self.height(log)));
            }
        }
        claimed
    }

    /// How far a log concerns this node: in a circle that it is not in any more nothing is missing, nor of who was taken out behind
    /// its cut.
    fn claims_up_to(&self, log: &LogKey) -> u64 {
        let members = self.directory.membership(log.circle);
        let org = self.directory.org_of(log.author).filter(|_| members.carries(self.admission.identity.org));
        org.map_or(0, |org| members.counts_up_to(org, log))
    }

    /// Watches what is claimed and not given, and says so once of each node.
    pub(crate) fn watch_claims(&mut self, out: &mut Output) {
        let claimed = self.claimed();
        let linked: BTreeSet<NodeKey> = self.links.peers().map(|(_, peer)| peer.node).collect();
        let mut held: BTreeMap<NodeKey, u64> = BTreeMap::new();
        if !claimed.is_empty() {
            for info in self.admission.reader.logs() {
                *held.entry(info.key.author).or_default() += info.tip.seq;
            }
        }
        let held = |node| held.get(&node).copied().unwrap_or(0);
        for (node, records) in
            self.catchup.claims.watch(&claimed, self.now.mono, |node| linked.contains(&node), held)
        {
            out.push(Effect::Event(Event::NotGiven { node, records }));
        }
    }
}
