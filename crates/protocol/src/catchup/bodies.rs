//! Bodies behind known headers: who announced them, who was asked, and what becomes available late.
//!
//! A body is asked for singly and only from a peer that announced it. `Withheld`, `NotHeld` and `Gone` clear that. What
//! was never announced, or whose announcement was lost, is found by `Holes`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use rand_chacha::rand_core::Rng as _;
use tocsin_record::run::body_fits;
use tocsin_record::{Class, NodeKey, OrgId, Part, Run, planted};
use tocsin_store::{BodyState, Kv, LogNo, RecordRef, Slots, StoreError, Verdict};

use crate::catchup::early::Early;
use crate::catchup::sources::{Candidate, draw};
use crate::io::{LinkId, Output};
use crate::links::budget::cost;
use crate::mesh::Mesh;
use crate::message::body::REFS_MAX;
use crate::message::tree::PUSH_BODY_MAX;
use crate::message::{BodyData, BodyRef, BodyStatus, Message};
use crate::spread::GRAFT_MAX;

/// Most bodies whose announcers are remembered; the others are found by `Holes` later.
const SOURCES_MAX: usize = 100_000;
/// Most of them by one link, and by all links of one org: what it announces and never gives leaves room for the others.
const SOURCES_OF_LINK_MAX: usize = 8192;
const SOURCES_OF_ORG_MAX: usize = 16_384;
/// Most announcers remembered for one body, and of them of one org.
const LINKS_MAX: usize = 8;
const LINKS_OF_ORG_MAX: usize = 2;
/// Records so near to each other are taken to be in one page.
const NEIGHBOURS: u64 = 64;
/// Most bodies asked of one peer at once.
const ASKED_MAX: usize = 256;
/// An answer is waited for so long, beside four round trips and what the body takes at a slow link's speed, before another
/// announcer is asked, in ms: commits and flushes of a slow disk. What comes later is taken all the same.
const PATIENCE_MS: u64 = 1_500;
/// Bytes a millisecond of a slow link.
const SLOW: u64 = 64;
/// Each further round over all announcers waits twice as long, so often.
const ROUNDS_MAX: u32 = 4;
/// A peer at this round trip is asked half as often as one beside it, in ms.
const NEAR_MS: u64 = 100;
/// Bytes of bodies in one live frame.
const LIVE_BYTES: usize = 64 << 10;

/// What is asked for first: by class, then the newest.
type Order = (Class, Reverse<u64>);

#[derive(Debug)]
struct Source {
    order: Order,
    links: Vec<(LinkId, OrgId)>,
    withheld: bool,
    /// Length of the body, in bytes.
    len: u32,
    /// Announcers that did not answer in this round, and how many rounds there were.
    silent: Vec<LinkId>,
    rounds: u32,
}

impl Source {
    /// How long an answer is waited for beside the round trips, in ms.
    fn patience(&self) -> u64 {
        (PATIENCE_MS + u64::from(self.len) / SLOW) << self.rounds
    }

    /// Begins the next round where all that are left were silent.
    fn go_round(&mut self) {
        if !self.silent.is_empty() && self.links.iter().all(|(link, _)| self.silent.contains(link)) {
            self.silent.clear();
            self.rounds = (self.rounds + 1).min(ROUNDS_MAX);
        }
    }
}

/// Wanted bodies that someone announced.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    sources: BTreeMap<RecordRef, Source>,
    /// The same in the order in which they are asked for.
    turns: BTreeSet<(Order, RecordRef)>,
    /// How many bodies each link is remembered to have announced.
    by_link: BTreeMap<LinkId, usize>,
    /// And how many the links of each org.
    by_org: BTreeMap<OrgId, usize>,
    asked: BTreeMap<RecordRef, (LinkId, u64)>,
    changed: bool,
    /// Wanted bodies that an announcer did not give: the others are asked whether they may.
    sought: BTreeSet<RecordRef>,
    /// Those announced before their headers came.
    pub early: Early,
    /// How often bodies became available late at this node; stated in its heads.
    pub releases: u64,
}

impl Bodies {
    pub fn forget(&mut self, link: LinkId) {
        self.early.forget(link);
        self.asked.retain(|_, (asked, _)| *asked != link);
        let mut fewer = Vec::new();
        for source in self.sources.values_mut() {
            fewer.extend(source.links.extract_if(.., |(announcer, _)| *announcer == link));
            source.go_round();
        }
        let turns = &mut self.turns;
        self.sources.retain(|place, source| {
            let stays = !source.links.is_empty();
            if !stays {
                turns.remove(&(source.order, *place));
            }
            stays
        });
        for announcer in fewer {
            self.count_less(announcer);
        }
        self.changed = true;
    }

    pub fn settled(&mut self, place: RecordRef) {
        if let Some(source) = self.sources.remove(&place) {
            self.turns.remove(&(source.order, place));
            for announcer in source.links {
                self.count_less(announcer);
            }
        }
        self.asked.remove(&place);
    }

    fn count_less(&mut self, (link, org): (LinkId, OrgId)) {
        less(&mut self.by_link, link);
        less(&mut self.by_org, org);
    }

    /// Whether one more body may be remembered of a link.
    fn has_room(&self, link: LinkId, org: OrgId) -> bool {
        self.sources.len() < SOURCES_MAX
            && self.by_link.get(&link).is_none_or(|count| *count < SOURCES_OF_LINK_MAX)
            && self.by_org.get(&org).is_none_or(|count| *count < SOURCES_OF_ORG_MAX)
    }

    /// A link no longer gives a body. Returns whether nobody is left who would, and whether somebody withheld it.
    fn drop_source(&mut self, place: RecordRef, link: LinkId, withheld: bool) -> (bool, bool) {
        let Some(source) = self.sources.get_mut(&place) else {
            return (true, withheld);
        };
        let at = source.links.iter().position(|(announcer, _)| *announcer == link);
        let fewer = at.map(|at| source.links.remove(at));
        source.withheld |= withheld;
        source.go_round();
        let withheld = source.withheld;
        let nobody = source.links.is_empty();
        if nobody {
            self.turns.remove(&(source.order, place));
            self.sources.remove(&place);
        }
        if let Some(announcer) = fewer {
            self.count_less(announcer);
        }
        (nobody, withheld)
    }

    /// A body that is to be asked for, of whoever announces it.
    fn enter(&mut self, place: RecordRef, order: Order, len: u32) -> &mut Source {
        let source = Source { order, links: Vec::new(), withheld: false, len, silent: Vec::new(), rounds: 0 };
        self.turns.insert((order, place));
        self.sources.entry(place).or_insert(source)
    }

    /// How many bodies the links may be asked for by now that they have not been asked for, all together, at most: as many
    /// as they announced, and as one link may owe.
    fn room(&self, busy: &BTreeMap<LinkId, usize>, most: impl Fn(LinkId) -> usize) -> usize {
        let of_link = |(link, announced): (&LinkId, &usize)| {
            let busy = busy.get(link).copied().unwrap_or(0);
            (*announced).min(most(*link)).saturating_sub(busy)
        };
        self.by_link.iter().map(of_link).sum()
    }

    /// An announcer did not answer: it is asked again when the others were.
    fn is_late(&mut self, place: RecordRef, link: LinkId) {
        self.asked.remove(&place);
        self.changed = true;
        if let Some(source) = self.sources.get_mut(&place) {
            source.silent.push(link);
            source.go_round();
            self.seek(place);
        }
    }

    fn seek(&mut self, place: RecordRef) {
        if self.sought.len() < REFS_MAX {
            self.sought.insert(place);
        }
    }

    /// Wanted bodies that have not come and that a peer announced of whom `is_believed`.
    pub fn announced(&self, is_believed: impl Fn(LinkId) -> bool) -> impl Iterator<Item = RecordRef> {
        let believed = move |source: &Source| source.links.iter().any(|(link, _)| is_believed(*link));
        self.sources.iter().filter(move |(_, source)| believed(source)).map(|(place, _)| *place)
    }
}

pub(crate) fn less<N: Ord>(counts: &mut BTreeMap<N, usize>, of: N) {
    if let Some(count) = counts.get_mut(&of) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(&of);
        }
    }
}

impl<K: Kv, S: Slots> Mesh<K, S> {
    fn is_missing(&self, place: RecordRef) -> bool {
        self.store.outcome(place).is_some_and(|stamped| stamped.outcome.body.is_missing())
    }

    /// A peer may give this body.
    pub(crate) fn announced_body(&mut self, link: LinkId, place: RecordRef) -> Result<(), StoreError> {
        let Some(peer) = self.links.get(&link).and_then(|link| link.peer()) else {
            return Ok(());
        };
        if !self.bodies.has_room(link, peer.org) || !self.is_missing(place) {
            return Ok(());
        }
        if !self.bodies.sources.contains_key(&place) {
            let Some(entry) = self.store.entry(place)? else {
                return Ok(());
            };
            let order = (entry.header.class, Reverse(entry.header.time));
            self.bodies.enter(place, order, entry.header.body_len);
        }
        self.make_room(place, peer.node);
        if let Some(source) = self.bodies.sources.get_mut(&place)
            && source.links.len() < LINKS_MAX
            && source.links.iter().filter(|(_, org)| *org == peer.org).count() < LINKS_OF_ORG_MAX
            && !source.links.iter().any(|(announcer, _)| *announcer == link)
        {
            source.links.push((link, peer.org));
            self.bodies.changed = true;
            *self.bodies.by_link.entry(link).or_default() += 1;
            *self.bodies.by_org.entry(peer.org).or_default() += 1;
        }
        Ok(())
    }

    /// Where as many announce a body as are remembered, the one whose claims failed most gives way to one of whom better is
    /// known.
    fn make_room(&mut self, place: RecordRef, newcomer: NodeKey) {
        let Some(source) =
            self.bodies.sources.get_mut(&place).filter(|source| source.links.len() >= LINKS_MAX)
        else {
            return;
        };
        let weight = |link: &LinkId| {
            let peer = self.links.get(link).and_then(|link| link.peer());
            peer.map_or(0, |peer| self.sources.weight(peer.node))
        };
        let least = source.links.iter().enumerate().min_by_key(|(_, (link, _))| weight(link));
        if let Some((at, (link, _))) = least
            && weight(link) < self.sources.weight(newcomer)
        {
            let announcer = source.links.remove(at);
            self.bodies.count_less(announcer);
        }
    }

    /// A peer announced some of a log. Where its headers are not here they may come by another, who may not give the bodies.
    pub(crate) fn announced_range(
        &mut self,
        link: LinkId,
        log: LogNo,
        from: u64,
        to: u64,
        except: &BTreeSet<u64>,
    ) -> Result<(), StoreError> {
        let height = self.height(log);
        for seq in from.max(height + 1)..=to.min(height + GRAFT_MAX) {
            if !except.contains(&seq) {
                self.did(cost::THING);
                self.announced_early(link, RecordRef { log, seq });
            }
        }
        let to = to.min(self.height(log));
        if from > to || !self.pays(cost::THING) {
            return Ok(());
        }
        let most = usize::try_from(to - from).map_or(REFS_MAX, |more| REFS_MAX.min(more.saturating_add(1)));
        let missing = self.store.wanted(RecordRef { log, seq: from }, most);
        self.did(cost::walk(missing.len()));
        let mut before = None;
        for place in missing.into_iter().take_while(|place| place.log == log && place.seq <= to) {
            if !except.contains(&place.seq) && !self.announced_by(link, place, &mut before)? {
                break;
            }
        }
        Ok(())
    }

    /// As [`Self::announced_body`], by a peer that pays for what must be read. `before` is the place that was read last:
    /// its neighbours are in the same page. Returns whether the peer could pay; what it could not is found by `Holes`.
    fn announced_by(
        &mut self,
        link: LinkId,
        place: RecordRef,
        before: &mut Option<RecordRef>,
    ) -> Result<bool, StoreError> {
        let room = self.links.get(&link).and_then(|link| link.peer());
        let room = room.is_some_and(|peer| self.bodies.has_room(link, peer.org));
        if !room || self.bodies.sources.contains_key(&place) || !self.is_missing(place) {
            // Nothing is read.
            let pays = self.pays(cost::THING);
            self.announced_body(link, place)?;
            return Ok(pays);
        }
        let near = before
            .is_some_and(|before| before.log == place.log && before.seq.abs_diff(place.seq) < NEIGHBOURS);
        let price = if near { cost::RECORD } else { self.reading(place.log, place.seq) };
        *before = Some(place);
        let pays = self.pays(price);
        if pays {
            self.announced_body(link, place)?;
        }
        Ok(pays)
    }

    /// What a run says of bodies that are still missing here.
    pub(crate) fn note_parts(
        &mut self,
        link: LinkId,
        log: LogNo,
        run: &Run,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        for entry in run.entries() {
            let place = RecordRef { log, seq: entry.header.seq };
            if !self.is_missing(place) {
                continue;
            }
            match &entry.body {
                // The run's ids were compared, so this is the body that the held header names.
                Part::Here(body) => self.take_body(place, body.clone(), link, out)?,
                Part::Ask => self.announced_body(link, place)?,
                Part::Withheld => self.refused(link, place, true)?,
                Part::NotHeld | Part::Gone(_) => {}
            }
        }
        Ok(())
    }

    /// A peer will not give a body. When nobody is left who would, it counts as withheld if somebody said so.
    fn refused(&mut self, link: LinkId, place: RecordRef, withheld: bool) -> Result<(), StoreError> {
        let (nobody, was_withheld) = self.bodies.drop_source(place, link, withheld);
        if self.bodies.asked.get(&place).is_some_and(|(asked, _)| *asked == link) {
            self.bodies.asked.remove(&place);
        }
        self.bodies.changed = true;
        if nobody
            && was_withheld
            && let Some(stamped) = self.store.outcome(place)
            && stamped.outcome.body == BodyState::Wanted
        {
            let outcome = tocsin_store::Outcome { body: BodyState::Withheld, ..stamped.outcome };
            self.store.set_outcome(place, outcome)?;
        }
        Ok(())
    }

    /// Asks announcers for what is missing: control first, then the newest.
    pub(crate) fn want_bodies(&mut self) {
        if !std::mem::take(&mut self.bodies.changed) {
            return;
        }
        let mut busy: BTreeMap<LinkId, usize> = BTreeMap::new();
        for (link, _) in self.bodies.asked.values() {
            *busy.entry(*link).or_default() += 1;
        }
        let mut asks: BTreeMap<LinkId, Vec<(RecordRef, u64)>> = BTreeMap::new();
        let mono = self.now.mono;
        let random = &mut self.random;
        // What did not give what it announced keeps fewer waiting.
        let most = |link: LinkId| {
            let peer = self.links.get(&link).and_then(|link| link.peer());
            peer.map_or(0, |peer| self.sources.share(peer.node, ASKED_MAX))
        };
        let mut room = self.bodies.room(&busy, most);
        for (_, place) in &self.bodies.turns {
            // There may be 100,000, and this is looked at with every commit: no further than somebody can be asked.
            if room == 0 {
                break;
            }
            if self.bodies.asked.contains_key(place) {
                continue;
            }
            let Some(source) = self.bodies.sources.get(place) else {
                continue;
            };
            let free = |link: &LinkId| busy.get(link).copied().unwrap_or(0) < most(*link);
            // The nearer, the likelier, as far as it gave what it announced.
            let candidate = |id: &LinkId| {
                let link = self.links.get(id)?;
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
        for (link, places) in asks {
            let rtt_ms = self.links.get(&link).map_or(0, |link| link.rtt_ms);
            let mut refs = Vec::new();
            for (place, patience) in places {
                if let Some(log) = self.number(link, place.log) {
                    refs.push(BodyRef { log, seq: place.seq });
                    self.bodies.asked.insert(place, (link, mono + 4 * rtt_ms + patience));
                }
            }
            for some in refs.chunks(REFS_MAX) {
                self.tell(link, Message::WantBodies(some.to_vec()));
            }
        }
    }

    pub(crate) fn bodies_timeouts(&mut self) {
        let mono = self.now.mono;
        let late: Vec<(RecordRef, LinkId)> = self
            .bodies
            .asked
            .iter()
            .filter(|(_, (_, due))| *due < mono)
            .map(|(place, (link, _))| (*place, *link))
            .collect();
        let failed: BTreeSet<LinkId> = late.iter().map(|(_, link)| *link).collect();
        for link in failed {
            self.did_not_give(link);
        }
        for (place, link) in late {
            self.bodies.is_late(place, link);
        }
        self.say_sought();
    }

    /// Asks all others whether they may give what an announcer did not give.
    fn say_sought(&mut self) {
        let sought = std::mem::take(&mut self.bodies.sought);
        if sought.is_empty() {
            return;
        }
        let links: Vec<LinkId> =
            self.links.iter().filter(|(_, link)| !link.behind).map(|(id, _)| *id).collect();
        for link in links {
            let Some(peer) = self.links.get(&link).and_then(|link| link.peer()) else { continue };
            let mut refs = Vec::new();
            for place in sought.iter().take(REFS_MAX) {
                let knows = |source: &Source| source.links.iter().any(|(announcer, _)| *announcer == link);
                let shared = self.circle_of(place.log).is_some_and(|circle| self.shares(peer.org, circle));
                if shared
                    && self.is_missing(*place)
                    && !self.bodies.sources.get(place).is_some_and(knows)
                    && let Some(log) = self.number(link, place.log)
                {
                    refs.push(BodyRef { log, seq: place.seq });
                }
            }
            if !refs.is_empty() {
                self.tell(link, Message::Holes(refs));
            }
        }
    }

    pub(crate) fn heard_want_bodies(&mut self, link: LinkId, refs: &[BodyRef]) -> Result<(), StoreError> {
        let Some(peer) = self.links.get(&link).and_then(|link| link.peer()) else {
            return Ok(());
        };
        let mut live = Vec::new();
        let mut live_bytes = 0;
        for what in refs.iter().take(REFS_MAX) {
            // The rest is asked for again, when the asker's patience ends.
            if !self.pays(cost::RECORD) {
                break;
            }
            let status = self.status_of_body(link, *what, peer.org)?;
            let len = if let BodyStatus::Here(body) = &status { body.len() } else { 0 };
            let data = BodyData { what: *what, status };
            if len > PUSH_BODY_MAX {
                self.tell_bulk(link, Message::Bodies(vec![data]));
                continue;
            }
            if live_bytes + len > LIVE_BYTES {
                self.tell(link, Message::Bodies(std::mem::take(&mut live)));
                live_bytes = 0;
            }
            live_bytes += len;
            live.push(data);
        }
        if !live.is_empty() {
            self.tell(link, Message::Bodies(live));
        }
        Ok(())
    }

    fn status_of_body(&mut self, link: LinkId, what: BodyRef, org: OrgId) -> Result<BodyStatus, StoreError> {
        let Some(log) = self.log_meant(link, what.log)? else {
            return Ok(BodyStatus::NotHeld);
        };
        let place = RecordRef { log, seq: what.seq };
        // Only what is committed leaves.
        let Some(stored) = self.reader.record(place)? else {
            return Ok(BodyStatus::NotHeld);
        };
        if let BodyState::Gone(reason) = stored.stamped.outcome.body {
            return Ok(BodyStatus::Gone(reason));
        }
        let Some(body) = stored.entry.body() else {
            return Ok(BodyStatus::NotHeld);
        };
        if stored.stamped.outcome.verdict != Verdict::Accepted
            && !self.is_newer_hold(stored.stamped.outcome.rule)
        {
            return Ok(BodyStatus::NotHeld);
        }
        let unasked = planted::is(planted::Bug::ForwardUnasked);
        let directory = Arc::clone(&self.directory);
        let way = self.way(&directory, log, org);
        let may = way.is_some_and(|way| self.may_send(&way, place, &stored.entry));
        Ok(if unasked || may { BodyStatus::Here(body.to_vec()) } else { BodyStatus::Withheld })
    }

    pub(crate) fn heard_bodies(
        &mut self,
        link: LinkId,
        bodies: Vec<BodyData>,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let mut not_held = false;
        for data in bodies {
            let Some(log) = self.log_mine(link, data.what.log) else {
                continue;
            };
            let place = RecordRef { log, seq: data.what.seq };
            self.did(cost::THING);
            if self.bodies.asked.get(&place).is_none_or(|(asked, _)| *asked != link) {
                // It comes late, or nobody asked for it: that it was read at all is paid for.
                let BodyStatus::Here(bytes) = &data.status else { continue };
                self.did(cost::decoded(bytes.len(), 1));
                if !self.is_missing(place) || !self.pays(self.reading(log, place.seq)) {
                    continue;
                }
            } else {
                self.bodies.asked.remove(&place);
            }
            self.bodies.changed = true;
            match data.status {
                BodyStatus::Here(bytes) => {
                    let Some(entry) = self.store.entry(place)? else {
                        continue;
                    };
                    if !body_fits(entry.header.body_len, &entry.header.body_hash, &bytes) {
                        self.close(link, "it sent another body than the header names", out);
                        return Ok(());
                    }
                    if self.is_missing(place) {
                        let node = self.node_of(link);
                        self.sources.gave(node, bytes.len());
                        self.take_body(place, Bytes::from(bytes), link, out)?;
                    }
                }
                BodyStatus::Withheld => self.refused(link, place, true)?,
                BodyStatus::NotHeld => {
                    not_held = true;
                    self.refused(link, place, false)?;
                    self.bodies.seek(place);
                }
                BodyStatus::Gone(_) => self.refused(link, place, false)?,
            }
        }
        if not_held {
            self.did_not_give(link);
        }
        Ok(())
    }

    /// A peer announced bodies that it then did not give.
    fn did_not_give(&mut self, link: LinkId) {
        if let Some(peer) = self.links.get(&link).and_then(|link| link.peer()) {
            self.sources.failed(peer.node, self.now.mono);
        }
    }

    /// A body is available that was not when its header was told: every permitted link that may lack it hears of it.
    pub(crate) fn released(&mut self, place: RecordRef, from: Option<LinkId>) -> Result<(), StoreError> {
        self.bodies.releases += 1;
        let Some(entry) = self.store.entry(place)? else {
            return Ok(());
        };
        let directory = Arc::clone(&self.directory);
        for link in self.links_of(place.log) {
            let Some(peer) = self.links.get(&link).and_then(|link| link.peer()) else {
                continue;
            };
            let Some(way) = self.way(&directory, place.log, peer.org) else {
                continue;
            };
            if Some(link) == from || !self.may_send(&way, place, &entry) {
                continue;
            }
            if let Some(log) = self.number(link, place.log) {
                self.tell(link, Message::HaveBodies(vec![BodyRef { log, seq: place.seq }]));
            }
        }
        Ok(())
    }

    pub(crate) fn heard_have_bodies(&mut self, link: LinkId, refs: &[BodyRef]) -> Result<(), StoreError> {
        let mut before = None;
        for what in refs.iter().take(REFS_MAX) {
            let Some(log) = self.log_meant(link, what.log)? else { continue };
            let place = RecordRef { log, seq: what.seq };
            self.announced_early(link, place);
            if !self.announced_by(link, place, &mut before)? {
                break;
            }
        }
        Ok(())
    }

    /// Asks which of the missing bodies a peer may give: at most 1,000, in turn.
    pub(crate) fn say_holes(&mut self, link: LinkId) {
        let Some(known) = self.links.get_mut(&link) else {
            return;
        };
        known.holes_due = false;
        let Some(peer) = known.peer() else { return };
        let start = known.holes_from.unwrap_or(RecordRef { log: LogNo(0), seq: 0 });
        let missing = self.store.wanted(start, REFS_MAX);
        let next = if missing.len() < REFS_MAX { None } else { missing.last().copied() };
        let mut refs = Vec::new();
        for place in missing {
            let shared = self.circle_of(place.log).is_some_and(|circle| self.shares(peer.org, circle));
            if shared && let Some(log) = self.number(link, place.log) {
                refs.push(BodyRef { log, seq: place.seq });
            }
        }
        if let Some(known) = self.links.get_mut(&link) {
            known.holes_from = next.map(|place| RecordRef { seq: place.seq + 1, ..place });
            // More than one message holds: the rest goes with the next turn.
            known.holes_due = next.is_some();
        }
        if !refs.is_empty() {
            self.tell(link, Message::Holes(refs));
        }
    }

    pub(crate) fn say_due_holes(&mut self) {
        let due: Vec<LinkId> = self
            .links
            .iter()
            .filter(|(_, link)| link.holes_due && link.peer().is_some() && !link.behind)
            .map(|(id, _)| *id)
            .collect();
        for link in due {
            self.say_holes(link);
        }
    }

    pub(crate) fn heard_holes(&mut self, link: LinkId, refs: &[BodyRef]) -> Result<(), StoreError> {
        let Some(peer) = self.links.get(&link).and_then(|link| link.peer()) else {
            return Ok(());
        };
        if planted::is(planted::Bug::NoHoles) {
            return Ok(());
        }
        let directory = Arc::clone(&self.directory);
        let mut have = Vec::new();
        for what in refs.iter().take(REFS_MAX) {
            if !self.pays(cost::RECORD) {
                break;
            }
            let Some(log) = self.log_meant(link, what.log)? else {
                continue;
            };
            let place = RecordRef { log, seq: what.seq };
            let here =
                self.store.outcome(place).is_some_and(|stamped| stamped.outcome.body == BodyState::Here);
            if here
                && let Some(entry) = self.store.entry(place)?
                && let Some(way) = self.way(&directory, log, peer.org)
                && self.may_send(&way, place, &entry)
                && let Some(log) = self.number(link, log)
            {
                have.push(BodyRef { log, seq: what.seq });
            }
        }
        if !have.is_empty() {
            self.tell(link, Message::HaveBodies(have));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_links_of_one_org_leave_room_for_others() {
        let mut bodies = Bodies::default();
        let [one, other] = [1, 2].map(|seed| OrgId([seed; 32]));
        let links = SOURCES_OF_ORG_MAX / SOURCES_OF_LINK_MAX;
        for link in 0..links as LinkId {
            assert!(bodies.has_room(link, one));
            for seq in 0..SOURCES_OF_LINK_MAX as u64 {
                let place = RecordRef { log: LogNo(0), seq };
                let order = (Class::Content, Reverse(0));
                bodies.enter(place, order, 1).links.push((link, one));
                *bodies.by_link.entry(link).or_default() += 1;
                *bodies.by_org.entry(one).or_default() += 1;
            }
            assert!(!bodies.has_room(link, one));
        }
        assert!(!bodies.has_room(99, one) && bodies.has_room(99, other));
        bodies.settled(RecordRef { log: LogNo(0), seq: 1 });
        assert!(bodies.has_room(99, one));
        assert_eq!(bodies.turns.len(), bodies.sources.len());
        // Who owes all that may be asked of it leaves nothing to look for.
        let owes = |count: usize| (0..links as LinkId).map(|link| (link, count)).collect();
        assert_eq!(bodies.room(&owes(0), |_| ASKED_MAX), links * ASKED_MAX);
        assert_eq!(bodies.room(&owes(ASKED_MAX - 1), |_| ASKED_MAX), links);
        assert_eq!(bodies.room(&owes(ASKED_MAX), |_| ASKED_MAX), 0);
        bodies.forget(0);
        bodies.forget(1);
        assert!(bodies.sources.is_empty() && bodies.by_link.is_empty() && bodies.by_org.is_empty());
        assert!(bodies.turns.is_empty());
    }
}
