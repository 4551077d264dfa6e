//! The order of changes: each record stands in it once, at the number of its last change.
//!
//! Neighbours in a log that changed one after the other are one range. A number that a later change of the record made void
//! leaves at once, so that there are never more ranges than records, however often they are judged anew.

use std::collections::BTreeMap;

use crate::outcome::RecordRef;

/// Records by the numbers of their last changes, as ranges by the number of the first.
#[derive(Debug, Default)]
pub(crate) struct Order(BTreeMap<u64, Range>);

#[derive(Clone, Copy, Debug)]
struct Range {
    first: RecordRef,
    count: u64,
}

impl Range {
    fn at(&self, offset: u64) -> RecordRef {
        RecordRef { seq: self.first.seq + offset, ..self.first }
    }
}

impl Order {
    /// `count` records from `first` on changed, with numbers that nothing has yet, rising by one.
    pub fn add(&mut self, number: u64, first: RecordRef, count: u64) {
        if let Some((&begin, before)) = self.0.range_mut(..number).next_back()
            && begin + before.count == number
            && before.at(before.count) == first
        {
            before.count += count;
        } else {
            self.0.insert(number, Range { first, count });
        }
    }

    /// So many numbers are no record's any more.
    pub fn remove(&mut self, number: u64, count: u64) {
        let end = number + count;
        while let Some((&begin, &range)) = self.0.range(..end).next_back()
            && begin + range.count > number
        {
            self.0.remove(&begin);
            if begin + range.count > end {
                let rest = Range { first: range.at(end - begin), count: begin + range.count - end };
                self.0.insert(end, rest);
            }
            if begin < number {
                self.0.insert(begin, Range { count: number - begin, ..range });
            }
        }
    }

    /// Records in order, from a number on.
    pub fn since(&self, from: u64) -> impl Iterator<Item = (u64, RecordRef)> {
        let begun = self.0.range(..from).next_back().filter(|(begin, range)| *begin + range.count > from);
        begun.into_iter().chain(self.0.range(from..)).flat_map(move |(begin, range)| {
            (from.saturating_sub(*begin)..range.count).map(move |offset| (begin + offset, range.at(offset)))
        })
    }

    /// How many ranges there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::LogNo;

    /// Against a list of all changes, of which the last of each record counts.
    #[test]
    fn behaves_like_a_list_of_last_changes() {
        for seed in 1..=50u64 {
            let mut dice = seed;
            let mut roll = |bound: u64| {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (dice >> 33) % bound
            };
            let mut order = Order::default();
            let mut last: BTreeMap<RecordRef, u64> = BTreeMap::new();
            let mut number = 1;
            for _ in 0..300 {
                let (log, seq, count) = (LogNo(roll(2) as u32), roll(60), 1 + roll(20));
                for seq in seq..seq + count {
                    if let Some(old) = last.insert(RecordRef { log, seq }, number + seq) {
                        order.remove(old, 1);
                    }
                }
                order.add(number + seq, RecordRef { log, seq }, count);
                number += 100;
                if roll(5) == 0 {
                    // A few at once, whosever they are.
                    let (from, count) = (roll(number), 1 + roll(150));
                    order.remove(from, count);
                    last.retain(|_, number| !(from..from + count).contains(number));
                }
                assert!(order.len() <= last.len(), "seed {seed}");
            }
            let mut expected: Vec<(u64, RecordRef)> =
                last.into_iter().map(|(place, at)| (at, place)).collect();
            expected.sort_unstable();
            for from in [0, 1, number / 3, number / 2, number] {
                let expected = expected.iter().filter(|(at, _)| *at >= from).copied();
                assert!(order.since(from).eq(expected), "seed {seed}, from {from}");
            }
        }
    }

    #[test]
    fn what_goes_on_is_one_range() {
        let mut order = Order::default();
        let place = |seq| RecordRef { log: LogNo(1), seq };
        (0..1_000).for_each(|n| order.add(10 + n, place(1 + n), 1));
        assert_eq!(order.len(), 1);
        // The same records again, one by one.
        for n in 0..1_000 {
            order.remove(10 + n, 1);
            order.add(2_000 + n, place(1 + n), 1);
            assert!(order.len() <= 2);
        }
        assert_eq!((order.len(), order.since(0).count()), (1, 1_000));
    }
}
