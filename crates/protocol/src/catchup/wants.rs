//! Catch-up: what is known to exist and is not held, fetched as pages from the peers that have it.
//!
//! One shared queue of logs; each peer serves one want at a time, as far as the credit it was given goes. A log is asked
//! of one peer at a time, because a chain is admitted in order; different logs come from different peers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand_chacha::rand_core::Rng;
use tocsin_store::LogNo;

use crate::catchup::CatchUp;
use crate::catchup::sources::{Candidate, draw};
use crate::held::{Around, Held};
use crate::io::LinkId;
use crate::links::link::Link;
use crate::message::want::{CREDIT_MAX, RANGES_MAX};
use crate::message::{Message, Range, Want};

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

/// What a peer is to be sent next.
#[derive(Debug)]
pub(crate) struct Due {
    pub want: u32,
    /// `None` if nothing of the want is left.
    pub range: Option<(LogNo, Range)>,
    /// Bytes that may be sent.
    pub credit: u32,
}

/// What is wanted, from whom, and what others want of us.
#[derive(Debug, Default)]
pub(crate) struct Wants {
    /// For each log that is behind: how far each link is.
    ahead: BTreeMap<LogNo, BTreeMap<LinkId, u64>>,
    asked: BTreeMap<LinkId, Asked>,
    /// Logs that are asked of someone.
    under_way: BTreeSet<LogNo>,
    serving: BTreeMap<LinkId, Serving>,
    next_id: u32,
}

impl Wants {
    pub fn ahead(&mut self, log: LogNo, link: LinkId, height: u64) {
        let known = self.ahead.entry(log).or_default().entry(link).or_default();
        *known = height.max(*known);
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

impl CatchUp {
    /// Gives idle links that are ahead wants: for each log one of them is drawn.
    pub fn schedule_wants(&mut self, around: &mut Around<'_, impl Held>, random: &mut impl Rng) {
        let mono = around.mono;
        let mut free: BTreeMap<LinkId, Vec<(LogNo, u64)>> = BTreeMap::new();
        for (log, links) in &self.wants.ahead {
            if self.wants.under_way.contains(log) {
                continue;
            }
            let candidate = |id: &LinkId| {
                let peer = around.links.peer(*id)?;
                let has = free.get(id).map_or(0, Vec::len);
                let idle = !self.wants.asked.contains_key(id)
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
            self.want(around, link, &logs);
        }
    }

    fn want(&mut self, around: &mut Around<'_, impl Held>, link: LinkId, logs: &[(LogNo, u64)]) {
        let mut ranges = Vec::new();
        let mut asked = BTreeSet::new();
        for &(log, to) in logs {
            let from = around.held.height(log) + 1;
            let to = to.min(around.held.takes_up_to(log));
            if from > to {
                self.wants.ahead.remove(&log);
                continue;
            }
            let Some(no) = around.number(link, log) else {
                continue;
            };
            ranges.push(Range { log: no, from, to, bodies: true });
            asked.insert(log);
        }
        if ranges.is_empty() {
            return;
        }
        self.wants.next_id += 1;
        let id = self.wants.next_id;
        self.wants.under_way.extend(asked.iter().copied());
        let now = around.mono;
        let asked = Asked { id, logs: asked, since: now, heard: now, gained: 0, short: false, taken: 0 };
        self.wants.asked.insert(link, asked);
        around.links.tell(link, Message::Want(Want { id, ranges, credit: CREDIT }));
    }

    /// Gives up on wants that bring nothing, or too little where others have as much.
    pub fn wants_timeouts(&mut self, around: &Around<'_, impl Held>) {
        let mono = around.mono;
        let patience = |link: Option<&Link>| PATIENCE_MS + link.map_or(0, |link| 4 * link.rtt_ms);
        let late: Vec<LinkId> = self
            .wants
            .asked
            .iter()
            .filter(|(id, asked)| {
                let others = |log| self.wants.ahead.get(log).is_some_and(|links| links.len() > 1);
                let took = mono.saturating_sub(asked.since);
                let long = took > TURN_MS || (took > SLOW_MS && asked.gained < SLOW_BYTES);
                asked.heard + patience(around.links.get(**id)) < mono
                    || (long && asked.logs.iter().any(others))
            })
            .map(|(id, _)| *id)
            .collect();
        for link in late {
            let Some(asked) = self.wants.asked.remove(&link) else { continue };
            self.wants.under_way.retain(|log| !asked.logs.contains(log));
            if asked.gained < SLOW_BYTES
                && let Some(peer) = around.links.peer(link)
            {
                self.sources.failed(peer.node, mono);
            }
        }
    }

    /// A link has more of a log, up to a height.
    pub fn ahead(&mut self, log: LogNo, link: LinkId, height: u64) {
        self.wants.ahead(log, link, height);
    }

    /// The log reached a height: links that have no more of it are no longer ahead.
    pub fn reached(&mut self, log: LogNo, height: u64) {
        self.wants.reached(log, height);
    }

    /// Whether some link has more of a log.
    pub fn is_behind(&self, log: LogNo) -> bool {
        self.wants.ahead.contains_key(&log)
    }

    /// Logs of which some peer holds more.
    pub fn logs_behind(&self) -> impl ExactSizeIterator<Item = LogNo> {
        self.wants.ahead.keys().copied()
    }

    /// How far each link is that has more of a log.
    pub fn heights(&self, log: LogNo) -> impl Iterator<Item = (LinkId, u64)> {
        self.wants.ahead.get(&log).into_iter().flatten().map(|(link, height)| (*link, *height))
    }

    /// Whether a link was asked by this want, and has not ended it.
    pub fn is_asked(&self, link: LinkId, want: u32) -> bool {
        self.wants.asked.get(&link).is_some_and(|asked| asked.id == want)
    }

    /// So many bytes of a want came: the credit to give back by now, if it is a portion.
    pub fn took(&mut self, link: LinkId, bytes: usize) -> Option<u32> {
        let asked = self.wants.asked.get_mut(&link)?;
        asked.taken += u32::try_from(bytes).unwrap_or(u32::MAX);
        (asked.taken >= CREDIT_PORTION).then(|| std::mem::take(&mut asked.taken))
    }

    /// A page of so many bytes brought a log up to a height.
    pub fn gained(&mut self, around: &Around<'_, impl Held>, link: LinkId, log: LogNo, bytes: usize) {
        self.wants.reached(log, around.held.height(log));
        if let Some(asked) = self.wants.asked.get_mut(&link) {
            asked.heard = around.mono;
            asked.gained += bytes;
        }
        if let Some(peer) = around.links.peer(link) {
            self.sources.gave(peer.node, bytes);
        }
    }

    /// A peer sent the last that it has of a log that it was asked for.
    pub fn ended(&mut self, around: &Around<'_, impl Held>, link: LinkId, log: LogNo) {
        let Some(asked) = self.wants.asked.get_mut(&link).filter(|asked| asked.logs.contains(&log)) else {
            return;
        };
        asked.heard = around.mono;
        let height = around.held.height(log);
        let claimed = self.wants.ahead.get(&log).and_then(|links| links.get(&link)).copied().unwrap_or(0);
        let short = height < claimed.min(around.held.takes_up_to(log));
        let ended = self.wants.end(link, log, short);
        if let (Some(asked), Some(peer)) = (ended, around.links.peer(link)) {
            if !asked.short {
                self.sources.kept_word(peer.node);
            } else if asked.gained == 0 {
                self.sources.failed(peer.node, around.mono);
            }
        }
        // It had said that it holds more than it gave: it may be right, but not now.
        if let Some(links) = self.wants.ahead.get_mut(&log) {
            links.remove(&link);
            if links.is_empty() {
                self.wants.ahead.remove(&log);
            }
        }
        self.wants.reached(log, height);
    }

    /// A peer wants ranges of logs, and gives credit for so many bytes.
    pub fn heard_want(&mut self, link: LinkId, id: u32, ranges: VecDeque<(LogNo, Range)>, credit: u32) {
        let credit = credit.min(CREDIT_MAX);
        self.wants.serving.insert(link, Serving { id, ranges, credit: credit.into() });
    }

    /// A peer gives more credit.
    pub fn heard_credit(&mut self, link: LinkId, bytes: u32) {
        if let Some(serving) = self.wants.serving.get_mut(&link) {
            serving.credit = serving.credit.saturating_add(bytes.into()).min(CREDIT_MAX.into());
        }
    }

    /// Whether a peer waits for pages that it gave credit for.
    pub fn is_serving(&self) -> bool {
        self.wants.serving.values().any(|serving| serving.credit > 0)
    }

    /// The links of such peers.
    pub fn served(&self) -> Vec<LinkId> {
        let waiting = self.wants.serving.iter().filter(|(_, serving)| serving.credit > 0);
        waiting.map(|(link, _)| *link).collect()
    }

    /// What is to be sent to a peer next, as far as its credit goes.
    pub fn next_served(&mut self, link: LinkId) -> Option<Due> {
        let serving = self.wants.serving.get(&link)?;
        let credit = u32::try_from(serving.credit).ok().filter(|credit| *credit > 0)?;
        Some(Due { want: serving.id, range: serving.ranges.front().copied(), credit })
    }

    /// All that a peer wanted was sent.
    pub fn all_served(&mut self, link: LinkId) {
        self.wants.serving.remove(&link);
    }

    /// So many bytes of the range were sent that is due, up to a record; `None` if it has ended here.
    pub fn served_some(&mut self, link: LinkId, bytes: u32, last: Option<u64>) {
        let Some(serving) = self.wants.serving.get_mut(&link) else { return };
        serving.credit -= i64::from(bytes);
        match (serving.ranges.front_mut(), last) {
            (Some((_, range)), Some(last)) if last < range.to => range.from = last + 1,
            _ => drop(serving.ranges.pop_front()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng as _;

    use super::*;
    use crate::held::testing::Shelf;
    use crate::links::Links;
    use crate::links::testing::{links, told};

    const LOG: LogNo = LogNo(3);

    /// What is wanted of each link.
    fn wanted(links: &mut Links, count: u64) -> Vec<(LinkId, Want)> {
        let of_link = |link| told(links, link).into_iter().map(move |message| (link, message));
        let want = |(link, message)| match message {
            Message::Want(want) => (link, want),
            other => panic!("{other:?}"),
        };
        (1..=count).flat_map(of_link).map(want).collect()
    }

    #[test]
    fn a_log_is_wanted_of_one_peer_at_a_time_and_of_the_next_when_that_is_silent() {
        let shelf = Shelf { heights: BTreeMap::from([(LOG, 10)]), ..Shelf::default() };
        let mut links = links(2);
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut catchup = CatchUp::default();
        let mut around = Around { held: &shelf, links: &mut links, mono: 0 };
        catchup.ahead(LOG, 1, 20);
        catchup.ahead(LOG, 2, 30);
        let mut asked = BTreeSet::new();
        for _ in 0..2 {
            catchup.schedule_wants(&mut around, &mut random);
            catchup.schedule_wants(&mut around, &mut random);
            let said = wanted(around.links, 2);
            let [(link, want)] = &said[..] else { panic!("{said:?}") };
            let to = if *link == 1 { 20 } else { 30 };
            assert_eq!(want.ranges, [Range { log: 0, from: 11, to, bodies: true }]);
            asked.insert(*link);
            around.mono += PATIENCE_MS + 1000;
            catchup.wants_timeouts(&around);
        }
        assert_eq!(asked, BTreeSet::from([1, 2]));
    }

    #[test]
    fn who_gives_less_than_it_claimed_is_asked_no_more() {
        let shelf = Shelf { heights: BTreeMap::from([(LOG, 10)]), ..Shelf::default() };
        let mut links = links(1);
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut catchup = CatchUp::default();
        let mut around = Around { held: &shelf, links: &mut links, mono: 0 };
        catchup.ahead(LOG, 1, 20);
        catchup.schedule_wants(&mut around, &mut random);
        let said = wanted(around.links, 1);
        assert!(catchup.is_asked(1, said[0].1.id) && catchup.is_behind(LOG));
        catchup.ended(&around, 1, LOG);
        assert!(!catchup.is_asked(1, said[0].1.id) && !catchup.is_behind(LOG));
        catchup.ahead(LOG, 1, 20);
        catchup.schedule_wants(&mut around, &mut random);
        assert!(wanted(around.links, 1).is_empty(), "it pays for its claim");
    }

    #[test]
    fn pages_are_sent_as_far_as_credit_goes() {
        let mut catchup = CatchUp::default();
        let range = |from| Range { log: 0, from, to: 9, bodies: true };
        catchup.heard_want(1, 5, VecDeque::from([(LOG, range(1)), (LogNo(4), range(1))]), 100);
        let due = |catchup: &mut CatchUp| catchup.next_served(1).map(|due| (due.credit, due.range));
        assert_eq!(due(&mut catchup), Some((100, Some((LOG, range(1))))));
        catchup.served_some(1, 120, Some(4));
        assert_eq!((due(&mut catchup), catchup.is_serving()), (None, false));
        catchup.heard_credit(1, 30);
        assert_eq!(due(&mut catchup), Some((10, Some((LOG, range(5))))), "what was too much is taken off");
        catchup.served_some(1, 1, Some(9));
        catchup.served_some(1, 1, None);
        assert_eq!(due(&mut catchup), Some((8, None)));
        catchup.all_served(1);
        assert!(!catchup.is_serving());
    }
}
