//! Catch-up: what is known to exist and is not held, fetched as pages from the peers that have it.
//!
//! One shared queue of logs; each peer serves one want at a time, as far as the credit it was given goes. A log is asked
//! of one peer at a time, because a chain is admitted in order; different logs come from different peers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rand_chacha::rand_core::Rng as _;
use tocsin_record::{Entry, Verified};
use tocsin_store::{Kv, LogNo, RecordRef, Slots, StoreError, WireRun};

use crate::catchup::sources::{Candidate, draw};
use crate::io::{LinkId, Output};
use crate::links::budget::cost;
use crate::mesh::Mesh;
use crate::message::want::{CREDIT_MAX, PAGE_WIRE_MAX, RANGES_MAX};
use crate::message::{LinkNo, Message, Page, Range, Want};

/// Credit given with a want, in bytes: what one commit takes, and what is sent while it does. Below a link's outbox.
const CREDIT: u32 = 3 << 20;
/// Credit is given back in portions of this many bytes.
const CREDIT_PORTION: u32 = 256 << 10;
/// A want that brings nothing for so long is given to another peer, in ms.
const PATIENCE_MS: u64 = 3_000;
/// A log that others have as well is not left to one peer for longer, in ms: it may give as little as it can.
const TURN_MS: u64 = 60_000;
/// Nor for longer than this if it gives less than so many bytes meanwhile.
const SLOW_MS: u64 = 10_000;
const SLOW_BYTES: usize = 64 << 10;

#[derive(Debug)]
struct Asked {
    id: u32,
    /// Logs of the want that have not ended.
    logs: BTreeSet<LogNo>,
    since: u64,
    /// When it last brought something.
    heard: u64,
    /// Bytes that it brought, and whether one of its logs ended below what was claimed.
    gained: usize,
    short: bool,
    taken: u32,
}

/// What a peer wants of us.
#[derive(Debug)]
struct Serving {
    id: u32,
    ranges: VecDeque<(LogNo, Range)>,
    /// Bytes that may still be sent. Below zero where a page was longer than what was left, so that what is under way
    /// does not grow from page to page.
    credit: i64,
}

/// What is wanted, from whom, and what others want of us.
#[derive(Debug, Default)]
pub(crate) struct CatchUp {
    /// For each log that is behind: how far each link is.
    ahead: BTreeMap<LogNo, BTreeMap<LinkId, u64>>,
    asked: BTreeMap<LinkId, Asked>,
    /// Logs that are asked of someone.
    under_way: BTreeSet<LogNo>,
    serving: BTreeMap<LinkId, Serving>,
    next_id: u32,
}

impl CatchUp {
    pub fn ahead(&mut self, log: LogNo, link: LinkId, height: u64) {
        let known = self.ahead.entry(log).or_default().entry(link).or_default();
        *known = height.max(*known);
    }

    /// Whether a peer waits for pages that it gave credit for.
    pub fn is_serving(&self) -> bool {
        self.serving.values().any(|serving| serving.credit > 0)
    }

    /// Logs of which some peer holds more.
    pub fn logs(&self) -> impl Iterator<Item = LogNo> {
        self.ahead.keys().copied()
    }

    /// How far each link is that has more of a log.
    pub fn heights(&self, log: LogNo) -> impl Iterator<Item = (LinkId, u64)> {
        self.ahead.get(&log).into_iter().flatten().map(|(link, height)| (*link, *height))
    }

    pub fn is_ahead(&self, log: LogNo) -> bool {
        self.ahead.contains_key(&log)
    }

    /// How many logs are behind.
    pub fn behind(&self) -> usize {
        self.ahead.len()
    }

    pub fn forget(&mut self, link: LinkId) {
        self.ahead.retain(|_, links| {
            links.remove(&link);
            !links.is_empty()
        });
        if let Some(asked) = self.asked.remove(&link) {
            self.under_way.retain(|log| !asked.logs.contains(log));
        }
        self.serving.remove(&link);
    }

    /// The log's number is another's from now on: nothing is wanted or served by it.
    pub fn forget_log(&mut self, log: LogNo) {
        self.ahead.remove(&log);
        self.under_way.remove(&log);
        self.asked.retain(|_, asked| !asked.logs.remove(&log) || !asked.logs.is_empty());
        for serving in self.serving.values_mut() {
            serving.ranges.retain(|(of, _)| *of != log);
        }
    }

    /// The log reached a height: links that have no more of it are no longer ahead.
    pub fn reached(&mut self, log: LogNo, height: u64) {
        if let Some(links) = self.ahead.get_mut(&log) {
            links.retain(|_, ahead| *ahead > height);
            if links.is_empty() {
                self.ahead.remove(&log);
            }
        }
    }

    /// Whether a link was asked and brought nothing yet.
    pub fn owes(&self, link: LinkId) -> bool {
        self.asked.get(&link).is_some_and(|asked| asked.gained == 0)
    }

    /// A log of a want ended, below what was claimed or not. Gives back the want if that was its last.
    fn end(&mut self, link: LinkId, log: LogNo, short: bool) -> Option<Asked> {
        self.under_way.remove(&log);
        let asked = self.asked.get_mut(&link)?;
        asked.logs.remove(&log);
        asked.short |= short;
        if asked.logs.is_empty() { self.asked.remove(&link) } else { None }
    }
}

impl<K: Kv, S: Slots> Mesh<K, S> {
    /// Gives idle links that are ahead wants: for each log one of them is drawn.
    pub(crate) fn schedule_wants(&mut self) {
        let mono = self.now.mono;
        let mut free: BTreeMap<LinkId, Vec<(LogNo, u64)>> = BTreeMap::new();
        let random = &mut self.random;
        for (log, links) in &self.catchup.ahead {
            if self.catchup.under_way.contains(log) {
                continue;
            }
            let candidate = |id: &LinkId| {
                let peer = self.links.get(id)?.peer()?;
                let has = free.get(id).map_or(0, Vec::len);
                let idle = !self.catchup.asked.contains_key(id)
                    && has < self.sources.share(peer.node, RANGES_MAX)
                    && self.sources.is_free(peer.node, mono);
                // The less it has to do, the likelier.
                let weight = self.sources.weight(peer.node) / (1 + has as u64);
                idle.then_some(Candidate { link: *id, org: peer.org, weight })
            };
            let candidates: Vec<Candidate> = links.keys().filter_map(candidate).collect();
            if let Some(id) = draw(&candidates, |below| random.next_u64() % below)
                && let Some(to) = links.get(&id)
            {
                free.entry(id).or_default().push((*log, *to));
            }
        }
        for (link, logs) in free {
            self.want(link, &logs);
        }
    }

    fn want(&mut self, link: LinkId, logs: &[(LogNo, u64)]) {
        let mut ranges = Vec::new();
        let mut asked = BTreeSet::new();
        for &(log, to) in logs {
            let from = self.height(log) + 1;
            let to = to.min(self.takes_up_to(log));
            if from > to {
                self.catchup.ahead.remove(&log);
                continue;
            }
            let Some(no) = self.number(link, log) else {
                continue;
            };
            ranges.push(Range { log: no, from, to, bodies: true });
            asked.insert(log);
        }
        if ranges.is_empty() {
            return;
        }
        self.catchup.next_id += 1;
        let id = self.catchup.next_id;
        self.catchup.under_way.extend(asked.iter().copied());
        let now = self.now.mono;
        let asked = Asked { id, logs: asked, since: now, heard: now, gained: 0, short: false, taken: 0 };
        self.catchup.asked.insert(link, asked);
        self.tell(link, Message::Want(Want { id, ranges, credit: CREDIT }));
    }

    pub(crate) fn catchup_timeouts(&mut self) {
        let mono = self.now.mono;
        let patience =
            |link: Option<&crate::links::link::Link>| PATIENCE_MS + link.map_or(0, |link| 4 * link.rtt_ms);
        let late: Vec<LinkId> = self
            .catchup
            .asked
            .iter()
            .filter(|(id, asked)| {
                let others = |log| self.catchup.ahead.get(log).is_some_and(|links| links.len() > 1);
                let took = mono.saturating_sub(asked.since);
                let long = took > TURN_MS || (took > SLOW_MS && asked.gained < SLOW_BYTES);
                asked.heard + patience(self.links.get(id)) < mono || (long && asked.logs.iter().any(others))
            })
            .map(|(id, _)| *id)
            .collect();
        for link in late {
            let Some(asked) = self.catchup.asked.remove(&link) else { continue };
            self.catchup.under_way.retain(|log| !asked.logs.contains(log));
            if asked.gained < SLOW_BYTES
                && let Some(peer) = self.links.get(&link).and_then(|link| link.peer())
            {
                self.sources.failed(peer.node, mono);
            }
        }
    }

    pub(crate) fn heard_page(
        &mut self,
        link: LinkId,
        page: Page,
        run: Option<Verified>,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let Some(peer) = self.links.get(&link).and_then(|link| link.peer()) else {
            return Ok(());
        };
        let since = self.budgets.free();
        // Reading a page costs more than sending one: what brings nothing is paid for, whoever asked for it.
        let weight = run.as_ref().map_or(0, |run| run.body_bytes() + 256 * run.entries().len());
        let told = run.as_ref().is_some_and(|run| {
            let known = self.store.log_no(run.log()).map_or(0, |log| self.height(log));
            run.tip().seq <= known
        });
        let asked = self.catchup.asked.get(&link).is_some_and(|asked| asked.id == page.want);
        if weight > 0 && (told || !asked) {
            self.did(cost::decoded(weight, 0));
        }
        let Some(asked) = self.catchup.asked.get_mut(&link) else {
            return Ok(());
        };
        if asked.id != page.want {
            return Ok(());
        }
        asked.taken += u32::try_from(page.packed.len()).unwrap_or(u32::MAX);
        if asked.taken >= CREDIT_PORTION {
            let taken = std::mem::take(&mut asked.taken);
            self.tell(link, Message::Credit(taken));
        }
        if !self.shares(peer.org, page.log.circle) {
            return Ok(());
        }
        let Some(log) = self.log_for(peer.node, page.log)? else {
            return Ok(());
        };
        if let Some(run) = run {
            let before = self.height(log);
            self.take_verified(link, log, run, Some(&page.packed), out)?;
            let height = self.height(log);
            if height > before {
                let spoke = self.trees.spoke(log, link, crate::spread::tree::Begin::Lazy);
                spoke.has = spoke.has.max(height);
                self.catchup.reached(log, height);
                if let Some(asked) = self.catchup.asked.get_mut(&link) {
                    asked.heard = self.now.mono;
                    asked.gained += page.packed.len();
                }
                self.sources.gave(peer.node, page.packed.len());
                self.take_orphans(log, out)?;
                self.budgets.paid_again(since);
            }
        }
        if page.last && self.catchup.asked.get(&link).is_some_and(|asked| asked.logs.contains(&log)) {
            let height = self.height(log);
            let claimed =
                self.catchup.ahead.get(&log).and_then(|links| links.get(&link)).copied().unwrap_or(0);
            let short = height < claimed.min(self.takes_up_to(log));
            if let Some(asked) = self.catchup.asked.get_mut(&link) {
                asked.heard = self.now.mono;
            }
            match self.catchup.end(link, log, short) {
                Some(asked) if !asked.short => self.sources.kept_word(peer.node),
                Some(asked) if asked.gained == 0 => self.sources.failed(peer.node, self.now.mono),
                _ => {}
            }
            // It had said that it holds more than it gave: it may be right, but not now.
            if let Some(links) = self.catchup.ahead.get_mut(&log) {
                links.remove(&link);
                if links.is_empty() {
                    self.catchup.ahead.remove(&log);
                }
            }
            self.catchup.reached(log, height);
        }
        Ok(())
    }

    pub(crate) fn heard_want(&mut self, link: LinkId, want: Want) -> Result<(), StoreError> {
        let mut ranges = VecDeque::new();
        for range in want.ranges.into_iter().take(RANGES_MAX) {
            if let Some(log) = self.log_meant(link, range.log)? {
                ranges.push_back((log, range));
            }
        }
        let credit = want.credit.min(CREDIT_MAX);
        self.catchup.serving.insert(link, Serving { id: want.id, ranges, credit: credit.into() });
        Ok(())
    }

    pub(crate) fn heard_credit(&mut self, link: LinkId, bytes: u32) {
        if let Some(serving) = self.catchup.serving.get_mut(&link) {
            serving.credit = serving.credit.saturating_add(bytes.into()).min(CREDIT_MAX.into());
        }
    }

    /// Goes on with what peers want as pages, with each commit: on an account of its own, which what they say does not use up.
    pub(crate) fn serve_all(&mut self) -> Result<(), StoreError> {
        let waiting = self.catchup.serving.iter().filter(|(_, serving)| serving.credit > 0);
        let waiting: Vec<LinkId> = waiting.map(|(link, _)| *link).collect();
        for link in waiting {
            self.on_pages_account(link, |mesh| mesh.serve(link))?;
        }
        Ok(())
    }

    /// Sends pages as far as credit goes, and as there is room and effort left; a slow peer's outbox empties first.
    fn serve(&mut self, link: LinkId) -> Result<(), StoreError> {
        while let Some(serving) = self.catchup.serving.get(&link) {
            let slow = self.links.get(&link).is_none_or(|link| link.behind);
            let (id, range) = (serving.id, serving.ranges.front().copied());
            let Some(credit) = u32::try_from(serving.credit).ok().filter(|credit| *credit > 0) else {
                return Ok(());
            };
            if slow || !self.pays(cost::ANSWER) {
                return Ok(());
            }
            let Some(range) = range else {
                self.catchup.serving.remove(&link);
                return Ok(());
            };
            let (log, range) = range;
            let (sent, last) = self.serve_range(link, id, log, range, credit)?;
            if let Some(serving) = self.catchup.serving.get_mut(&link) {
                serving.credit -= i64::from(sent);
                match last {
                    Some(last) if last < range.to => serving.ranges[0].1.from = last + 1,
                    _ => drop(serving.ranges.pop_front()),
                }
            }
        }
        Ok(())
    }

    /// Sends some of a range. Returns the bytes sent and the last record, `None` if the range has ended here.
    fn serve_range(
        &mut self,
        link: LinkId,
        want: u32,
        log: LogNo,
        range: Range,
        credit: u32,
    ) -> Result<(u32, Option<u64>), StoreError> {
        let Some(key) = self.reader.log(log).map(|info| info.key) else {
            return Ok((0, None));
        };
        let most = (credit as usize).min(PAGE_WIRE_MAX);
        let runs = self.runs_for(link, log, range.from, range.bodies, most)?;
        let height = self.reader.log(log).map_or(0, |info| info.tip.seq);
        let mut sent = 0;
        let mut reached = None;
        for run in runs {
            let records = usize::try_from(run.last.saturating_sub(run.first)).unwrap_or(usize::MAX);
            self.did(cost::walk(records / 8));
            let last = run.last >= range.to || run.last >= height;
            let len = u32::try_from(run.packed.len()).unwrap_or(u32::MAX);
            sent += len;
            reached = Some(run.last);
            self.tell_bulk(
                link,
                Message::Page(Page { want, log: key.into(), last, packed: run.packed.to_vec() }),
            );
            if last {
                return Ok((sent, None));
            }
        }
        if reached.is_none() {
            self.tell_bulk(
                link,
                Message::Page(Page { want, log: key.into(), last: true, packed: Vec::new() }),
            );
        }
        // Something is always charged, so that empty ranges cannot be asked for without end.
        Ok((sent.max(64), reached))
    }

    /// Committed runs as a peer may have them.
    pub(crate) fn runs_for(
        &mut self,
        link: LinkId,
        log: LogNo,
        from: u64,
        bodies: bool,
        max_bytes: usize,
    ) -> Result<Vec<WireRun>, StoreError> {
        let Some(peer) = self.links.get(&link).and_then(|link| link.peer()) else {
            return Ok(Vec::new());
        };
        let from = from.max(self.base(log) + 1);
        let reader = self.reader.clone();
        if !bodies {
            return reader.runs(log, from, max_bytes, &mut tocsin_store::Bodies::None);
        }
        let directory = Arc::clone(&self.directory);
        let Some(way) = self.way(&directory, log, peer.org) else {
            return Ok(Vec::new());
        };
        let mut allowed = |place: RecordRef, entry: &Entry| self.may_send(&way, place, entry);
        reader.runs(log, from, max_bytes, &mut tocsin_store::Bodies::Where(&mut allowed))
    }

    /// The log behind this side's own number, echoed by a peer.
    pub(crate) fn log_mine(&mut self, link: LinkId, no: LinkNo) -> Option<LogNo> {
        let name = self.links.get(&link)?.mine(no)?;
        self.store.log_no(&name.key(self.directory.mesh()))
    }
}
