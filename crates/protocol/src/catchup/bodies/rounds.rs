//! Rounds: each missing body is asked of one announcer at a time, and of the next when that is silent.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::rand_core::Rng;
use tocsin_store::RecordRef;

use super::{ASKED_MAX, Source};
use crate::catchup::CatchUp;
use crate::catchup::sources::{Candidate, draw};
use crate::held::{Around, Held};
use crate::io::LinkId;
use crate::message::body::REFS_MAX;
use crate::message::{Message, RecordAt};

/// A peer at this round trip is asked half as often as one beside it, in ms.
const NEAR_MS: u64 = 100;

impl CatchUp {
    /// Asks announcers for what is missing: control first, then the newest.
    pub fn want_bodies(&mut self, around: &mut Around<'_, impl Held>, random: &mut impl Rng) {
        if !std::mem::take(&mut self.bodies.changed) {
            return;
        }
        let mut busy: BTreeMap<LinkId, usize> = BTreeMap::new();
        for (link, _) in self.bodies.asked.values() {
            *busy.entry(*link).or_default() += 1;
        }
        let mut asks: BTreeMap<LinkId, Vec<(RecordRef, u64)>> = BTreeMap::new();
        let mono = around.mono;
        // What did not give what it announced keeps fewer waiting.
        let most = |link: LinkId| {
            let peer = around.links.peer(link);
            peer.map_or(0, |peer| self.sources.share(peer.node, ASKED_MAX))
        };
        let mut room = self.bodies.room(&busy, most);
        let mut unwanted = Vec::new();
        for (_, place) in &self.bodies.turns {
            // There may be 100,000, and this is looked at with every commit: no further than somebody can be asked.
            if room == 0 {
                break;
            }
            if self.bodies.asked.contains_key(place) {
                continue;
            }
            // It was refused or taken back since somebody announced it.
            if !around.held.is_missing(*place) {
                unwanted.push(*place);
                continue;
            }
            let Some(source) = self.bodies.sources.get(place) else {
                continue;
            };
            let free = |link: &LinkId| busy.get(link).copied().unwrap_or(0) < most(*link);
            // The nearer, the likelier, as far as it gave what it announced.
            let candidate = |id: &LinkId| {
                let link = around.links.get(*id)?;
                let peer = link.peer()?;
                let weight = self.sources.weight(peer.node).saturating_mul(NEAR_MS) / (NEAR_MS + link.rtt_ms);
                let is_free = self.sources.is_free(peer.node, mono);
                Some((Candidate { link: *id, org: peer.org, weight }, is_free))
            };
            let announcers = source.links.iter().map(|(link, _)| link);
            let announcers = announcers.filter(|link| !source.silent.contains(link) && free(link));
            let mut candidates: Vec<(Candidate, bool)> = announcers.filter_map(candidate).collect();
            // Who failed of late is asked where there is nobody else.
            if candidates.iter().any(|(_, is_free)| *is_free) {
                candidates.retain(|(_, is_free)| *is_free);
            }
            let candidates: Vec<Candidate> = candidates.into_iter().map(|(candidate, _)| candidate).collect();
            if let Some(link) = draw(&candidates, |below| random.next_u64() % below) {
                *busy.entry(link).or_default() += 1;
                asks.entry(link).or_default().push((*place, source.patience()));
                room -= 1;
            }
        }
        for place in unwanted {
            self.bodies.settled(place);
        }
        for (link, places) in asks {
            let rtt_ms = around.links.get(link).map_or(0, |link| link.rtt_ms);
            let mut refs = Vec::new();
            for (place, patience) in places {
                if let Some(log) = around.number(link, place.log) {
                    refs.push(RecordAt { log, seq: place.seq });
                    self.bodies.asked.insert(place, (link, mono + 4 * rtt_ms + patience));
                }
            }
            for some in refs.chunks(REFS_MAX) {
                around.links.tell(link, Message::WantBodies(some.to_vec()));
            }
        }
    }

    /// Gives up on answers that are late, and looks for others who would give.
    pub fn bodies_timeouts(&mut self, around: &mut Around<'_, impl Held>) {
        let mono = around.mono;
        let late: Vec<(RecordRef, LinkId)> = self
            .bodies
            .asked
            .iter()
            .filter(|(_, (_, due))| *due < mono)
            .map(|(place, (link, _))| (*place, *link))
            .collect();
        let failed: BTreeSet<LinkId> = late.iter().map(|(_, link)| *link).collect();
        for link in failed {
            self.did_not_give(around, link);
        }
        for (place, link) in late {
            self.bodies.is_late(place, link);
        }
        self.say_sought(around);
    }

    /// Asks all others whether they may give what an announcer did not give.
    fn say_sought(&mut self, around: &mut Around<'_, impl Held>) {
        let sought = std::mem::take(&mut self.bodies.sought);
        if sought.is_empty() {
            return;
        }
        let links: Vec<LinkId> =
            around.links.iter().filter(|(_, link)| !link.behind).map(|(id, _)| id).collect();
        for link in links {
            let Some(peer) = around.links.peer(link) else { continue };
            let mut refs = Vec::new();
            for place in sought.iter().take(REFS_MAX) {
                let knows = |source: &Source| source.links.iter().any(|(announcer, _)| *announcer == link);
                if around.held.shares(peer.org, place.log)
                    && around.held.is_missing(*place)
                    && !self.bodies.sources.get(place).is_some_and(knows)
                    && let Some(log) = around.number(link, place.log)
                {
                    refs.push(RecordAt { log, seq: place.seq });
                }
            }
            if !refs.is_empty() {
                around.links.tell(link, Message::Holes(refs));
            }
        }
    }

    /// A peer announced bodies that it then did not give.
    pub fn did_not_give(&mut self, around: &Around<'_, impl Held>, link: LinkId) {
        if let Some(peer) = around.links.peer(link) {
            self.sources.failed(peer.node, around.mono);
        }
    }
}
