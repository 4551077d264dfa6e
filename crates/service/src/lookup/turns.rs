//! In which order the places are looked at that list a value: of each org one in turn, its nearest match and the end of a
//! log first.
//!
//! A value may be listed by a million records, and the index is locked while its postings are read. So they come by
//! pages, as far as they are needed: first in which logs there are any, by a jump from each to the next, then of
//! each log as much as its org's turns come to.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use tocsin_matcher::Posting;
use tocsin_record::OrgId;
use tocsin_store::{LogNo, RecordRef};

/// Most postings that are read at once: some microseconds, for which whoever changes the index waits.
const PAGE: usize = 256;

/// Where a value is listed, in turns: the number of a hit, and a place. `P` gives a page of a hit's postings: up to so
/// many, none above a place, falling.
pub(crate) struct Turns<P> {
    page: P,
    /// What is read of a log at once.
    chunk: usize,
    orgs: BTreeMap<Option<OrgId>, VecDeque<Source>>,
    /// What is left of the turn that each org has now.
    turn: VecDeque<(usize, RecordRef)>,
}

/// What one log has of one hit.
struct Source {
    hit: usize,
    log: LogNo,
    read: VecDeque<RecordRef>,
    /// From where on it is to be read further.
    next: Option<Posting>,
}

impl<P: FnMut(usize, Posting, usize) -> Vec<Posting>> Turns<P> {
    /// Of so many hits, of which `most` places will be looked at.
    pub fn new(hits: usize, most: usize, mut page: P, org_of: impl Fn(LogNo) -> Option<OrgId>) -> Self {
        let mut orgs: BTreeMap<Option<OrgId>, VecDeque<Source>> = BTreeMap::new();
        for hit in 0..hits {
            for source in sources(hit, &mut page) {
                orgs.entry(org_of(source.log)).or_default().push_back(source);
            }
        }
        let chunk = most.div_ceil(orgs.len().max(1)).clamp(1, PAGE);
        Self { page, chunk, orgs, turn: VecDeque::new() }
    }

    /// Gives each org its next turn.
    fn take_turn(&mut self) {
        let Self { page, chunk, orgs, turn } = self;
        orgs.retain(|_, sources| {
            while let Some(source) = sources.front_mut() {
                if let Some(place) = source.take(*chunk, page) {
                    turn.push_back((source.hit, place));
                    return true;
                }
                sources.pop_front();
            }
            false
        });
        turn.make_contiguous().sort_unstable_by_key(|(hit, place)| (*hit, Reverse(*place)));
    }
}

impl<P: FnMut(usize, Posting, usize) -> Vec<Posting>> Iterator for Turns<P> {
    type Item = (usize, RecordRef);

    fn next(&mut self) -> Option<Self::Item> {
        if self.turn.is_empty() {
            self.take_turn();
        }
        self.turn.pop_front()
    }
}

impl Source {
    fn take(
        &mut self,
        chunk: usize,
        page: &mut impl FnMut(usize, Posting, usize) -> Vec<Posting>,
    ) -> Option<RecordRef> {
        if self.read.is_empty()
            && let Some(last) = self.next.take()
        {
            let postings = page(self.hit, last, chunk);
            self.next =
                postings.last().filter(|_| postings.len() == chunk).and_then(|least| least.checked_sub(1));
            self.read.extend(postings.into_iter().map(RecordRef::unpack));
            // What comes behind is another log's, which is read by itself.
            if self.read.back().is_some_and(|place| place.log != self.log) {
                self.read.retain(|place| place.log == self.log);
                self.next = None;
            }
        }
        self.read.pop_front()
    }
}

/// The logs that a hit is listed in, the last first. Few postings come with it at once; of many only one of each log.
fn sources(hit: usize, page: &mut impl FnMut(usize, Posting, usize) -> Vec<Posting>) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    let (mut from, mut limit) = (Some(Posting::MAX), PAGE);
    while let Some(last) = from {
        let postings = page(hit, last, limit);
        let more = postings.len() == limit;
        for place in postings.into_iter().map(RecordRef::unpack) {
            match sources.last_mut() {
                Some(source) if source.log == place.log => source.read.push_back(place),
                _ => sources.push(Source { hit, log: place.log, read: [place].into(), next: None }),
            }
        }
        let (Some(source), true) = (sources.last_mut(), more) else { break };
        source.next = source.read.back().and_then(|least| least.pack().checked_sub(1));
        from = RecordRef { log: source.log, seq: 0 }.pack().checked_sub(1);
        limit = 1;
    }
    sources
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::*;

    fn place(log: u32, seq: u64) -> RecordRef {
        RecordRef { log: LogNo(log), seq }
    }

    /// Log 1 is org 1's, the others org 0's.
    fn org_of(log: LogNo) -> Option<OrgId> {
        Some(OrgId([u8::from(log.0 == 1); 32]))
    }

    /// The first `most` places in turns, and how many postings were read at once.
    fn in_turns(
        hits: &[BTreeSet<u64>],
        most: usize,
        org_of: impl Fn(LogNo) -> Option<OrgId>,
    ) -> (Vec<(usize, RecordRef)>, Vec<usize>) {
        let read = RefCell::new(Vec::new());
        let page = |hit: usize, last, limit| -> Vec<u64> {
            let page: Vec<u64> = hits[hit].range(..=last).rev().take(limit).copied().collect();
            read.borrow_mut().push(page.len());
            page
        };
        let turns = Turns::new(hits.len(), most, page, org_of).take(most).collect();
        (turns, read.into_inner())
    }

    fn packed(places: impl IntoIterator<Item = RecordRef>) -> BTreeSet<u64> {
        places.into_iter().map(RecordRef::pack).collect()
    }

    #[test]
    fn who_says_much_does_not_crowd_the_others_out() {
        // Logs 0 and 2 are of one org, which lists a value in a thousand records; log 1 is another's, with two.
        let many = (1..=500).flat_map(|seq| [place(0, seq), place(2, seq)]);
        let hits = [packed(many.chain([place(1, 7), place(1, 9)]))];
        let (turns, _) = in_turns(&hits, 1_000, org_of);
        let places: Vec<RecordRef> = turns.iter().map(|(_, place)| *place).collect();
        assert_eq!(places.len(), 1_000);
        assert_eq!(places[..5], [place(2, 500), place(1, 9), place(2, 499), place(1, 7), place(2, 498)]);
        assert_eq!(places[999], place(0, 3), "the other log of the first, down to where the bound is");
    }

    #[test]
    fn what_lists_the_very_value_is_looked_at_before_what_lists_its_domain() {
        // One org lists the value once and its domain five hundred times, another only the domain.
        let exact = packed([place(0, 1)]);
        let domain = packed((1..=500).map(|seq| place(2, seq)).chain([place(1, 5)]));
        let (turns, _) = in_turns(&[exact, domain], 10, org_of);
        assert_eq!(turns[..3], [(0, place(0, 1)), (1, place(1, 5)), (1, place(2, 500))]);
        assert_eq!(turns.len(), 10);
    }

    /// Against all of them at once, in whatever logs and orgs they are.
    #[test]
    fn pages_come_to_what_all_at_once_would() {
        for seed in 1..=40u64 {
            let mut dice = seed;
            let mut roll = |bound: u64| {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (dice >> 33) % bound
            };
            let (logs, orgs) = (1 + roll(12), 1 + roll(5));
            let mut hits = Vec::new();
            for _ in 0..1 + roll(3) {
                let count = [3, 300, 2_000][roll(3) as usize];
                hits.push(packed((0..count).map(|_| place(roll(logs) as u32, 1 + roll(3_000)))));
            }
            let org_of = |log: LogNo| Some(OrgId([(u64::from(log.0) % orgs) as u8; 32]));
            let mut turns: BTreeMap<Option<OrgId>, usize> = BTreeMap::new();
            let mut expected = Vec::new();
            for (hit, postings) in hits.iter().enumerate() {
                for place in postings.iter().rev().copied().map(RecordRef::unpack) {
                    let turn = turns.entry(org_of(place.log)).or_default();
                    *turn += 1;
                    expected.push((*turn, hit, place));
                }
            }
            expected.sort_by_key(|(turn, hit, place)| (*turn, *hit, Reverse(*place)));
            let expected: Vec<_> = expected.into_iter().map(|(_, hit, place)| (hit, place)).collect();
            assert_eq!(in_turns(&hits, usize::MAX, org_of).0, expected, "seed {seed}");
        }
    }

    #[test]
    fn of_a_million_postings_no_more_are_read_than_are_looked_at() {
        // In one log, and in two thousand of two hundred orgs.
        for logs in [1, 2_000u32] {
            let each = 1_000_000 / u64::from(logs);
            let hits = [packed((0..logs).flat_map(|log| (1..=each).map(move |seq| place(log, seq))))];
            let org_of = |log: LogNo| Some(OrgId([(log.0 % 200) as u8; 32]));
            for most in [20, 10_000] {
                let (turns, read) = in_turns(&hits, most, org_of);
                assert_eq!(turns.len(), most);
                let all: usize = read.iter().sum();
                assert!(
                    read.iter().all(|page| *page <= PAGE),
                    "{logs} logs: a page of {:?}",
                    read.iter().max()
                );
                assert!(all <= logs as usize + 2 * (PAGE + most), "{logs} logs: {all} were read for {most}");
            }
        }
    }
}
