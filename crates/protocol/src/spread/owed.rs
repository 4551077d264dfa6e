//! Of which records of a log its author is still to be told what became of them: ranges, told newest and oldest in turn, so
//! that neither what is live waits behind a catch-up nor the other way about.

use std::collections::BTreeMap;

use crate::message::head::FATES_NEW;

/// Most ranges of one log: beyond them neighbours are told together, with what stands between.
const RANGES_MAX: usize = 64;

/// What a receipt is owed for.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    /// First to last, apart from each other.
    ranges: BTreeMap<u64, u64>,
    /// When something changed last that was not told, in ms.
    changed: Option<u64>,
    oldest_next: bool,
}

impl Owed {
    /// Something became of these records at a time in ms.
    pub fn add(&mut self, first: u64, last: u64, time: u64) {
        self.changed = Some(time);
        let (mut first, mut last) = (first, last.max(first));
        // Those that overlap or touch, from the last that begins before its end on.
        while let Some((&from, &to)) = self.ranges.range(..=last.saturating_add(1)).next_back() {
            if to.saturating_add(1) < first {
                break;
            }
            self.ranges.remove(&from);
            (first, last) = (first.min(from), last.max(to));
        }
        self.ranges.insert(first, last);
        if self.ranges.len() > RANGES_MAX
            && let Some((from, _)) = self.ranges.pop_first()
            && let Some((_, to)) = self.ranges.pop_first()
        {
            self.ranges.insert(from, to);
        }
    }

    /// The newest and the oldest record of which the next receipt is to tell, and when something changed last.
    pub fn next(&self) -> Option<(u64, u64, Option<u64>)> {
        let mut ranges = self.ranges.iter();
        let (first, last) = if self.oldest_next { ranges.next() } else { ranges.next_back() }?;
        Some((*last, (*first).max(last.saturating_sub(FATES_NEW - 1)), self.changed))
    }

    /// Its author is told of these records. True if that was all.
    pub fn told(&mut self, first: u64, last: u64) -> bool {
        self.changed = None;
        self.oldest_next = !self.oldest_next;
        while let Some((&from, &to)) = self.ranges.range(..=last).next_back() {
            if to < first {
                break;
            }
            self.ranges.remove(&from);
            if to > last {
                self.ranges.insert(last + 1, to);
            }
            if from < first {
                self.ranges.insert(from, first - 1);
                break;
            }
        }
        self.ranges.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_join_and_are_told_from_both_ends() {
        let mut owed = Owed::default();
        owed.add(10, 12, 5);
        owed.add(14, 20, 6);
        owed.add(13, 13, 7);
        owed.add(1, 2, 8);
        assert_eq!(owed.ranges, BTreeMap::from([(1, 2), (10, 20)]));
        assert_eq!(owed.next(), Some((20, 10, Some(8))));
        assert!(!owed.told(15, 20));
        assert_eq!(owed.next(), Some((2, 1, None)), "the oldest in turn");
        assert!(!owed.told(1, 2));
        assert_eq!(owed.next(), Some((14, 10, None)));
        assert!(!owed.told(12, 12), "{owed:?}");
        assert_eq!(owed.ranges, BTreeMap::from([(10, 11), (13, 14)]));
        assert!(owed.told(0, 100));
        assert_eq!(owed.next(), None);
    }

    #[test]
    fn one_receipt_tells_of_so_many_and_a_log_owes_so_much() {
        let mut owed = Owed::default();
        owed.add(1, 10_000, 5);
        let mut receipts = 0;
        while let Some((last, first, _)) = owed.next() {
            assert!(last - first < FATES_NEW);
            owed.told(first, last);
            receipts += 1;
        }
        assert_eq!(receipts, 10_000u64.div_ceil(FATES_NEW));
        for n in 0..1_000 {
            owed.add(10 * n, 10 * n, 5);
        }
        assert_eq!(owed.ranges.len(), RANGES_MAX);
        assert!(
            (0..1_000).all(|n| owed.ranges.range(..=10 * n).next_back().is_some_and(|(_, to)| *to >= 10 * n))
        );
    }
}
