//! How circles change while a run lasts: the next version of a roster, by the plan, is brought to one node as a file, and spreads
//! from there. And which version each node goes by, for the oracles.

use std::collections::BTreeMap;

use tocsin_protocol::{Input, Ticket};
use tocsin_record::document::{Cut, Roster, Signed};

use crate::cast::CircleKind;
use crate::node::{Asked, Item};
use crate::world::{Event, Micros, World};

/// When it is tried again where no node can be brought the change now, in microseconds.
const AGAIN_US: Micros = 1_000_000;
/// Frames may leave a node by the version before for so long after it took another: they wait for their flush, 8 ms at most, and
/// for what was to be flushed before.
const UNDER_WAY_US: Micros = 50_000;

/// A roster that was brought to a node and is in force nowhere yet. There is one of a circle at a time, since two of one version
/// are rivals.
#[derive(Debug)]
pub(crate) struct Brought {
    node: usize,
    life: u32,
    ticket: Ticket,
    signed: Signed,
    /// It was in force at one node alone, whose disk was lost.
    lost: bool,
}

/// By which version of a circle's roster each node goes.
#[derive(Debug, Default)]
pub struct Versions(BTreeMap<(usize, usize), Known>);

#[derive(Clone, Copy, Debug)]
struct Known {
    version: usize,
    /// The one before, and when the node left it.
    before: Option<(usize, Micros)>,
}

impl Versions {
    /// True if the node went by another one.
    fn note(&mut self, node: usize, circle: usize, version: usize, now: Micros) -> bool {
        let known = self.0.entry((node, circle)).or_insert(Known { version, before: None });
        let other = known.version != version;
        if other {
            *known = Known { version, before: Some((known.version, now)) };
        }
        other
    }

    /// The versions, counted from 1, by which what leaves a node now may have been written: one, or two for a moment. Of a circle
    /// without a roster it is the first.
    pub fn of(&self, node: usize, circle: usize, now: Micros) -> impl Iterator<Item = usize> + use<> {
        let known = self.0.get(&(node, circle)).copied().unwrap_or(Known { version: 1, before: None });
        let before = known.before.filter(|(_, left)| now <= left + UNDER_WAY_US).map(|(version, _)| version);
        [known.version].into_iter().chain(before)
    }
}

impl World {
    /// People bring the next version of a circle's roster to one of its nodes.
    pub(crate) fn change_circle(&mut self, circle: usize) {
        let known = &self.cast.circles[circle];
        if self.healed || known.version() == known.plan.len() {
            return;
        }
        if self.is_under_way(circle) || !self.bring_roster(circle) {
            self.schedule(self.now + AGAIN_US, Event::Change(circle));
        }
    }

    /// Whether it cannot be known yet what became of the roster that was brought last: the node has not answered, or is down.
    fn is_under_way(&self, circle: usize) -> bool {
        self.brought.get(&circle).is_some_and(|brought| {
            let node = &self.nodes[brought.node];
            // Frames that tell of what was lost may be under way still.
            brought.lost
                || node.mesh.is_none()
                || (node.life == brought.life && node.asked.contains_key(&brought.ticket))
        })
    }

    fn bring_roster(&mut self, circle: usize) -> bool {
        let known = &self.cast.circles[circle];
        let (now, next) = (known.members(), &known.plan[known.version()]);
        // Somebody who stays, and is not behind: it would make another one of the same version.
        let may = |node: &usize| {
            let goes_by = || self.versions.of(*node, circle, Micros::MAX).next() == Some(known.version());
            !self.cast.nodes[*node].liar && self.nodes[*node].mesh.is_some() && goes_by()
        };
        let stay: Vec<usize> = now.nodes.intersection(&next.nodes).copied().filter(may).collect();
        if stay.is_empty() {
            return false;
        }
        let node = *self.dice.pick(&stay);
        let cuts = self.cuts(node, circle);
        let Some(signed) = self.cast.next_roster(circle, cuts) else { return false };
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let life = self.nodes[node].life;
        self.nodes[node].asked.insert(ticket, Asked::Documents);
        self.give(node, Item::Input(Input::Documents { ticket, documents: vec![signed.clone()] }));
        self.brought.insert(circle, Brought { node, life, ticket, signed, lost: false });
        true
    }

    /// Where the logs end of those who are out by the next version: at their newest record that a node has.
    fn cuts(&self, node: usize, circle: usize) -> Vec<Cut> {
        let known = &self.cast.circles[circle];
        let (now, next) = (&known.members().orgs, &known.plan[known.version()].orgs);
        let before = known.rosters.last().and_then(|signed| signed.read::<Roster>().ok());
        let mut cuts = before.map_or_else(Vec::new, |roster| roster.cuts);
        for log in self.nodes[node].sight.iter().flat_map(|sight| sight.logs()) {
            let org = self.cast.node_of.get(&log.key.author).map(|author| self.cast.nodes[*author].org);
            let Some(org) = org.filter(|_| log.key.circle == known.id) else { continue };
            if next.contains(&org) {
                cuts.retain(|cut| cut.log != log.key.id());
            } else if now.contains(&org) && log.tip.seq > 0 {
                cuts.push(Cut { log: log.key.id(), seq: log.tip.seq, id: log.tip.id });
            }
        }
        cuts
    }

    /// An old disk is put back: a version that was in force at this node alone is in force nowhere then.
    pub(crate) fn lose_versions(&mut self, node: usize) {
        for (at, circle) in
            self.cast.circles.iter_mut().enumerate().filter(|(_, circle)| circle.version() > 1)
        {
            let goes_by = |node| self.versions.of(node, at, Micros::MAX).next() == Some(circle.version());
            if goes_by(node)
                && !(0..self.nodes.len()).any(|other| other != node && goes_by(other))
                && let Some(signed) = circle.fall_back()
            {
                self.brought.insert(at, Brought { node, life: 0, ticket: 0, signed, lost: true });
            }
        }
    }

    /// Notes by which version of each circle a node goes after a commit; the first that goes by a new one puts it in force.
    pub(crate) fn note_versions(&mut self, node: usize) {
        let Some(mesh) = &self.nodes[node].mesh else { return };
        for (at, circle) in self.cast.circles.iter_mut().enumerate() {
            if circle.kind != CircleKind::Force {
                continue;
            }
            let version = mesh.directory().membership(circle.id).version() as usize;
            if version > circle.version()
                && let Some(brought) = self.brought.remove(&at)
            {
                circle.follow(brought.signed);
                *self.counts.entry("circles changed".into()).or_default() += 1;
            }
            if self.versions.note(node, at, version, self.now) {
                // What was written before an org came in it may ask for when it is in.
                self.judges.refused.forget(node);
            }
        }
    }
}
