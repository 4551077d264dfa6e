//! Whom to ask for what is missing: peers are drawn by chance, weighted by what they gave, and each claim that fails costs
//! its node more.
//!
//! Whoever asks the nearest, or the first, or goes round in turn, can be kept from ever catching up by a few that claim to
//! hold everything and give nothing. By chance each liar costs some seconds, less and less often, and what one org's nodes
//! claim together weighs no more than one node of another. It is kept by node, so that a new link is no new start.

use std::collections::BTreeMap;

use tocsin_record::{NodeKey, OrgId};

use crate::io::LinkId;

/// After its first failure a node is not asked for pages for so long, in ms; twice as long after each further one.
const PENALTY_MS: u64 = 2_000;
/// Failures that count: the longest penalty is 64 s, of which a silent node then has a few seconds each to keep others waiting.
const FAILS_MAX: u32 = 6;
/// What a node announces counts as on its way until so many claims of it failed.
const BELIEVED: u32 = 4;
/// Bytes that take one failure back and make a node one step likelier.
const PORTION: u64 = 64 << 10;
/// Steps that count.
const STEPS_MAX: u64 = 15;
/// Chance of a node of which nothing is known; a failure leaves a fourth of it.
const BEGIN: u64 = 64;

/// What is known of one node as a source.
#[derive(Clone, Copy, Debug, Default)]
struct Source {
    steps: u64,
    fails: u32,
    /// Not asked for pages before, by the monotonic clock.
    until: u64,
    /// Bytes towards the next step.
    bytes: u64,
}

/// What is known of the nodes as sources: of certified ones only, so of as many as the charter bounds.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    nodes: BTreeMap<NodeKey, Source>,
}

impl Sources {
    /// A node gave so many bytes that were missing.
    pub fn gave(&mut self, node: NodeKey, bytes: usize) {
        let source = self.nodes.entry(node).or_default();
        source.bytes = source.bytes.saturating_add(bytes as u64);
        while source.bytes >= PORTION {
            source.bytes -= PORTION;
            source.better();
        }
    }

    /// A node gave all that it had claimed.
    pub fn kept_word(&mut self, node: NodeKey) {
        self.nodes.entry(node).or_default().better();
    }

    /// A node did not give what it had claimed.
    pub fn failed(&mut self, node: NodeKey, mono: u64) {
        let source = self.nodes.entry(node).or_default();
        source.until = mono.saturating_add(PENALTY_MS << source.fails.min(FAILS_MAX - 1));
        source.fails = (source.fails + 1).min(FAILS_MAX);
        source.steps /= 2;
    }

    /// How likely a node is to be asked. Never 0.
    pub fn weight(&self, node: NodeKey) -> u64 {
        let Source { steps, fails, .. } = self.nodes.get(&node).copied().unwrap_or_default();
        ((BEGIN * (1 + steps)) >> (2 * fails)).max(1)
    }

    /// Whether a node may be asked for pages now.
    pub fn is_free(&self, node: NodeKey, mono: u64) -> bool {
        self.nodes.get(&node).is_none_or(|source| source.until <= mono)
    }

    /// Of how many a node may keep others waiting at once, out of `most`: what failed is tried with less.
    pub fn share(&self, node: NodeKey, most: usize) -> usize {
        let fails = self.nodes.get(&node).map_or(0, |source| source.fails);
        (most >> (2 * fails)).max(1)
    }

    /// Whether what a node announces is taken for more than words.
    pub fn is_believed(&self, node: NodeKey) -> bool {
        self.nodes.get(&node).is_none_or(|source| source.fails < BELIEVED)
    }

    /// Forgets nodes that are certified no more.
    pub fn retain(&mut self, is_certified: impl Fn(NodeKey) -> bool) {
        self.nodes.retain(|node, _| is_certified(*node));
    }
}

impl Source {
    fn better(&mut self) {
        self.steps = (self.steps + 1).min(STEPS_MAX);
        self.fails = self.fails.saturating_sub(1);
    }
}

/// A peer that could be asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub link: LinkId,
    pub org: OrgId,
    pub weight: u64,
}

/// Draws one, where links of one org share the weight of one. `roll` gives a number below its argument.
pub(crate) fn draw(candidates: &[Candidate], mut roll: impl FnMut(u64) -> u64) -> Option<LinkId> {
    let weight = |one: &Candidate| {
        let links = candidates.iter().filter(|other| other.org == one.org).count().max(1) as u64;
        // Fine enough that a share of a small weight is not nothing.
        (one.weight.saturating_mul(1 << 10) / links).max(1)
    };
    let sum = candidates.iter().map(weight).fold(0, u64::saturating_add);
    if sum == 0 {
        return None;
    }
    let mut at = roll(sum);
    for candidate in candidates {
        let weight = weight(candidate);
        if at < weight {
            return Some(candidate.link);
        }
        at -= weight;
    }
    candidates.last().map(|candidate| candidate.link)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(seed: u8) -> NodeKey {
        NodeKey([seed; 32])
    }

    #[test]
    fn each_failure_costs_more_and_giving_takes_it_back() {
        let mut sources = Sources::default();
        assert!(sources.is_free(node(1), 0) && sources.weight(node(1)) == BEGIN);
        let mut penalties = Vec::new();
        for _ in 0..10 {
            sources.failed(node(1), 0);
            let until = (0..).map(|n| n * 1000).find(|mono| sources.is_free(node(1), *mono)).unwrap();
            penalties.push(until / 1000);
        }
        assert_eq!(penalties, [2, 4, 8, 16, 32, 64, 64, 64, 64, 64]);
        assert!(
            sources.weight(node(1)) == 1 && !sources.is_believed(node(1)) && sources.share(node(1), 64) == 1
        );
        sources.gave(node(1), 10 * PORTION as usize);
        assert!(sources.is_believed(node(1)) && sources.weight(node(1)) > BEGIN);
        sources.gave(node(2), usize::MAX >> 20);
        assert_eq!(sources.weight(node(2)), BEGIN * (1 + STEPS_MAX));
        sources.retain(|known| known == node(1));
        assert_eq!(sources.weight(node(2)), BEGIN);
    }

    #[test]
    fn many_links_of_one_org_weigh_as_one() {
        let one = |link: u64, org: u8, weight| Candidate { link, org: OrgId([org; 32]), weight };
        let mut all: Vec<Candidate> = (0..9).map(|link| one(link, 1, BEGIN)).collect();
        all.push(one(9, 2, BEGIN));
        let mut next = 0;
        let mut drawn = 0;
        for _ in 0..1000 {
            let link = draw(&all, |sum| {
                next = (next + 7919 * 131) % sum;
                next
            });
            drawn += u32::from(link == Some(9));
        }
        assert!((300..700).contains(&drawn), "{drawn} of 1000");
        assert!(draw(&[], |_| 0).is_none());
    }
}
