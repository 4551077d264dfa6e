//! Who is linked to whom: who listens, and that every circle hangs together.

use std::collections::{BTreeMap, BTreeSet};

use super::{Cast, CircleKind, DIALLED};
use crate::config::Config;
use crate::dice::Dice;

impl Cast {
    /// Half of the nodes only dial out, but every circle that has an honest pair has an honest listener.
    pub(super) fn choose_listeners(&mut self, config: &Config, dice: &mut Dice) {
        for node in &mut self.nodes {
            // A liar that is to be linked to everybody can be dialled.
            node.listens = !dice.percent(config.dial_out) || (config.calm && node.liar);
        }
        for members in self.circles.iter().flat_map(|circle| &circle.plan) {
            let honest: Vec<usize> =
                members.nodes.iter().copied().filter(|at| !self.nodes[*at].liar).collect();
            if honest.len() > 1 && !honest.iter().any(|at| self.nodes[*at].listens) {
                let chosen = *dice.pick(&honest);
                self.nodes[chosen].listens = true;
            }
        }
    }

    /// Whether two nodes can be linked: one of them can be dialled.
    #[must_use]
    pub fn can_link(&self, a: usize, b: usize) -> bool {
        a != b && (self.nodes[a].listens || self.nodes[b].listens)
    }

    /// Every node dials three members of each of its circles, and each circle's honest nodes hang together.
    pub(super) fn choose_pairs(&mut self, config: &Config, dice: &mut Dice) {
        let mut pairs: BTreeSet<(usize, usize)> = BTreeSet::new();
        let add = |pairs: &mut BTreeSet<_>, a: usize, b: usize| pairs.insert((a.min(b), a.max(b)));
        let each = self.circles.iter().flat_map(|circle| std::iter::repeat(circle.kind).zip(&circle.plan));
        for (kind, members) in each {
            let members: Vec<usize> = members.nodes.iter().copied().collect();
            for &node in &members {
                let mut others: Vec<usize> =
                    members.iter().copied().filter(|other| self.can_link(node, *other)).collect();
                dice.shuffle(&mut others);
                let extra = if kind == CircleKind::Mesh { dice.index(config.extra_links + 1) } else { 0 };
                for other in others.into_iter().take(DIALLED + extra) {
                    add(&mut pairs, node, other);
                }
            }
            let honest: Vec<usize> = members.iter().copied().filter(|at| !self.nodes[*at].liar).collect();
            let parts = parts_of(&honest, &pairs);
            // A part that stands apart is joined through a listener, which every circle has.
            for part in parts.iter().skip(1) {
                let link = part
                    .iter()
                    .flat_map(|a| parts[0].iter().map(move |b| (*a, *b)))
                    .find(|(a, b)| self.can_link(*a, *b));
                if let Some((a, b)) = link {
                    add(&mut pairs, a, b);
                }
            }
            // Two parts that only dial out are both joined to the listener's part, wherever that came in the list.
            if let Some(&hub) = honest.iter().find(|at| self.nodes[**at].listens) {
                for part in parts_of(&honest, &pairs) {
                    if !part.contains(&hub) {
                        add(&mut pairs, hub, part[0]);
                    }
                }
            }
        }
        if config.calm {
            let all = 0..self.nodes.len();
            for liar in all.clone().filter(|at| self.nodes[*at].liar) {
                all.clone().filter(|at| self.can_link(liar, *at)).for_each(|at| {
                    add(&mut pairs, liar, at);
                });
            }
        }
        self.pairs = pairs.into_iter().collect();
    }
}

/// Connected parts of a set of nodes.
pub(super) fn parts_of(nodes: &[usize], pairs: &BTreeSet<(usize, usize)>) -> Vec<Vec<usize>> {
    let mut left: BTreeSet<usize> = nodes.iter().copied().collect();
    let mut near: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for &(a, b) in pairs {
        near.entry(a).or_default().push(b);
        near.entry(b).or_default().push(a);
    }
    let mut parts = Vec::new();
    while let Some(first) = left.pop_first() {
        let mut part = vec![first];
        let mut at = 0;
        while at < part.len() {
            for next in near.get(&part[at]).into_iter().flatten() {
                if left.remove(next) {
                    part.push(*next);
                }
            }
            at += 1;
        }
        parts.push(part);
    }
    parts
}
