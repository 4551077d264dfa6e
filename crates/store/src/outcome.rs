//! What became of a record: the judgement, where its body is, and through whom it came.

use std::collections::BTreeMap;

use bincode::{Decode, Encode};
use tocsin_record::codec;

use crate::kv::Fault;

/// A log's number in this store, given when it is first seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct LogNo(pub u32);

/// Most logs in one store: what [`RecordRef::pack`] has room for.
pub const LOGS_MAX: u32 = 1 << 24;
/// Greatest sequence number taken.
pub const SEQ_MAX: u64 = (1 << 40) - 1;

/// A record's place in this store. Orders by log, then by sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordRef {
    /// The log.
    pub log: LogNo,
    /// The place in it.
    pub seq: u64,
}

impl RecordRef {
    /// The name of a value that is kept of this record, behind what all such names begin with.
    #[must_use]
    pub fn name(self, begin: &str) -> String {
        format!("{begin}{} {}", self.log.0, self.seq)
    }

    /// The record that such a name is of.
    #[must_use]
    pub fn of_name(name: &[u8], begin: &str) -> Option<Self> {
        let name = std::str::from_utf8(name).ok()?.strip_prefix(begin)?;
        let (log, seq) = name.split_once(' ')?;
        Some(Self { log: LogNo(log.parse().ok()?), seq: seq.parse().ok()? })
    }

    /// One number for indices: 24 bits log, 40 bits sequence number. Orders as the record does.
    #[must_use]
    pub fn pack(self) -> u64 {
        u64::from(self.log.0) << 40 | self.seq
    }

    /// Undoes [`Self::pack`].
    #[must_use]
    pub fn unpack(packed: u64) -> Self {
        Self { log: LogNo((packed >> 40) as u32), seq: packed & SEQ_MAX }
    }
}

/// What policy decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Verdict {
    /// Not judged yet: only the header is here.
    Unjudged,
    /// Answers, matches and is passed on.
    Accepted,
    /// Kept, does not answer, is not passed on.
    Held,
    /// Its body is not kept.
    Refused,
}

/// Where a record's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum BodyState {
    /// In this store.
    Here,
    /// Not here, and asked for.
    Wanted,
    /// Not here: every peer that was asked keeps it from us.
    Withheld,
    /// Not here, and nobody announced it.
    NotHeld,
    /// Not kept, by this node's policy.
    Refused,
    /// Erased, with the reason (0 expired, else as in a retraction).
    Gone(u8),
}

impl BodyState {
    /// Whether the body is wanted and not here, whoever withholds it.
    #[must_use]
    pub fn is_missing(self) -> bool {
        matches!(self, Self::Wanted | Self::Withheld)
    }
}

/// What became of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Outcome {
    /// What policy decided.
    pub verdict: Verdict,
    /// Where the body is.
    pub body: BodyState,
    /// The rule that decided, as interned by [`crate::Store::intern_rule`].
    pub rule: u16,
    /// The peer it came from, as interned by [`crate::Store::intern_peer`]; 0 for this node.
    pub from: u16,
    /// When it came, in ms. Neighbours in a log that came within a second of each other may share one time.
    pub received: u64,
}

/// Records that came within this many ms with the same outcome share one span.
const SHARED_MS: u64 = 1000;

/// An outcome with its place in the order of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamped {
    /// Number of the last change to this record: rises over the whole store, never given twice.
    pub arrival: u64,
    /// What became of it.
    pub outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    count: u64,
    /// Of the first record; the others follow by one.
    first: Stamped,
}

impl Span {
    fn at(&self, offset: u64) -> Stamped {
        Stamped { arrival: self.first.arrival + offset, outcome: self.first.outcome }
    }
}

/// The outcomes of one log, as ranges.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spans(BTreeMap<u64, Span>);

#[derive(Encode, Decode)]
struct Stored {
    count: u64,
    /// To the arrival that would follow the span before, as a zigzag difference.
    arrival: i64,
    /// To the time of the span before.
    received: i64,
    verdict: Verdict,
    body: BodyState,
    rule: u16,
    from: u16,
}

impl Spans {
    /// What is known of one record.
    pub fn get(&self, seq: u64) -> Option<Stamped> {
        let (&first, span) = self.0.range(..=seq).next_back()?;
        (seq - first < span.count).then(|| span.at(seq - first))
    }

    /// Sets `count` records from `first` on; their arrivals rise by one.
    pub fn set(&mut self, first: u64, count: u64, stamped: Stamped) {
        self.clear(first, count);
        if let Some((&before, span)) = self.0.range_mut(..first).next_back()
            && before + span.count == first
            && span.first.arrival + span.count == stamped.arrival
            && same(&span.first.outcome, &stamped.outcome)
        {
            span.count += count;
            return;
        }
        self.0.insert(first, Span { count, first: stamped });
    }

    /// Forgets `count` records from `first` on.
    pub fn clear(&mut self, first: u64, count: u64) {
        let end = first + count;
        if let Some((&start, span)) = self.0.range_mut(..first).next_back()
            && start + span.count > first
        {
            let old = *span;
            span.count = first - start;
            if start + old.count > end {
                let rest = Span { count: start + old.count - end, first: old.at(end - start) };
                self.0.insert(end, rest);
            }
        }
        while let Some((&start, &span)) = self.0.range(first..end).next() {
            self.0.remove(&start);
            if start + span.count > end {
                let rest = Span { count: start + span.count - end, first: span.at(end - start) };
                self.0.insert(end, rest);
            }
        }
    }

    /// Ranges within `first..=last`, in order: (first, count, outcome of the first); none if that is nothing.
    pub fn within(&self, first: u64, last: u64) -> impl Iterator<Item = (u64, u64, Stamped)> {
        let start = self.0.range(..=first).next_back().map_or(first, |(&start, _)| start).min(last);
        self.0.range(start..=last).filter_map(move |(&start, span)| {
            let from = start.max(first);
            let to = (start + span.count).min(last + 1);
            (from < to).then(|| (from, to - from, span.at(from - start)))
        })
    }

    /// The ranges of a page, for its value.
    pub fn encode(&self, first: u64, last: u64) -> Vec<u8> {
        let (mut arrival, mut received) = (0u64, 0u64);
        let stored: Vec<Stored> = self
            .within(first, last)
            .map(|(_, count, stamped)| {
                let outcome = stamped.outcome;
                let row = Stored {
                    count,
                    arrival: stamped.arrival.wrapping_sub(arrival) as i64,
                    received: outcome.received.wrapping_sub(received) as i64,
                    verdict: outcome.verdict,
                    body: outcome.body,
                    rule: outcome.rule,
                    from: outcome.from,
                };
                arrival = stamped.arrival + count;
                received = outcome.received;
                row
            })
            .collect();
        codec::encode(&stored)
    }

    /// Adds the ranges that `encode` wrote for a page that begins at `first`.
    pub fn decode_into(&mut self, first: u64, bytes: &[u8]) -> Result<u64, Fault> {
        const LIMIT: usize = 4 << 20;
        let stored: Vec<Stored> =
            codec::decode::<_, LIMIT>(bytes).map_err(|e| Fault::Damaged(format!("judgements: {e}")))?;
        let (mut seq, mut arrival, mut received) = (first, 0u64, 0u64);
        for row in stored {
            arrival = arrival.wrapping_add(row.arrival as u64);
            received = received.wrapping_add(row.received as u64);
            if row.count == 0 || row.count > SEQ_MAX || seq > SEQ_MAX || arrival > u64::MAX / 2 {
                return Err(Fault::Damaged("judgements: out of bounds".into()));
            }
            let outcome =
                Outcome { verdict: row.verdict, body: row.body, rule: row.rule, from: row.from, received };
            self.set(seq, row.count, Stamped { arrival, outcome });
            seq += row.count;
            arrival += row.count;
        }
        Ok(seq - first)
    }
}

/// Whether two outcomes may share a span.
fn same(a: &Outcome, b: &Outcome) -> bool {
    let near = a.received <= b.received && b.received - a.received < SHARED_MS;
    near && (a.verdict, a.body, a.rule, a.from) == (b.verdict, b.body, b.rule, b.from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(rule: u16, received: u64) -> Outcome {
        Outcome { verdict: Verdict::Accepted, body: BodyState::Here, rule, from: 1, received }
    }

    #[test]
    fn references_pack_in_order() {
        let a = RecordRef { log: LogNo(LOGS_MAX - 1), seq: SEQ_MAX };
        assert_eq!(RecordRef::unpack(a.pack()), a);
        let b = RecordRef { log: LogNo(3), seq: SEQ_MAX };
        let c = RecordRef { log: LogNo(4), seq: 1 };
        assert!(b < c && b.pack() < c.pack());
    }

    #[test]
    fn neighbours_share_a_span() {
        let mut spans = Spans::default();
        for seq in 1..=100 {
            spans.set(seq, 1, Stamped { arrival: seq + 7, outcome: outcome(1, 5_000 + seq) });
        }
        assert_eq!(spans.0.len(), 1);
        spans.set(101, 1, Stamped { arrival: 200, outcome: outcome(1, 5_050) });
        spans.set(102, 1, Stamped { arrival: 201, outcome: outcome(1, 9_000) });
        assert_eq!(spans.0.len(), 3);
        assert_eq!(spans.get(100).unwrap().arrival, 107);
        assert_eq!(spans.get(103), None);
    }

    /// Against a plain map, with ranges set and cleared at random.
    #[test]
    fn behaves_like_a_map() {
        for seed in 1..=50u64 {
            let mut dice = seed;
            let mut roll = |bound: u64| {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (dice >> 33) % bound
            };
            let mut spans = Spans::default();
            let mut plain: BTreeMap<u64, Stamped> = BTreeMap::new();
            let mut arrival = 1;
            for _ in 0..200 {
                let (first, count) = (roll(60), 1 + roll(20));
                if roll(4) == 0 {
                    spans.clear(first, count);
                    (first..first + count).for_each(|seq| {
                        let _ = plain.remove(&seq);
                    });
                    continue;
                }
                let outcome = outcome(u16::try_from(roll(2)).unwrap(), 10_000);
                spans.set(first, count, Stamped { arrival, outcome });
                for offset in 0..count {
                    plain.insert(first + offset, Stamped { arrival: arrival + offset, outcome });
                }
                arrival += count;
            }
            for seq in 0..100 {
                assert_eq!(spans.get(seq), plain.get(&seq).copied(), "seed {seed}, seq {seq}");
            }
            let listed: Vec<_> = spans
                .within(10, 50)
                .flat_map(|(first, count, s)| {
                    (0..count).map(move |o| (first + o, Stamped { arrival: s.arrival + o, ..s }))
                })
                .collect();
            assert_eq!(
                listed,
                plain.range(10..=50).map(|(k, v)| (*k, *v)).collect::<Vec<_>>(),
                "seed {seed}"
            );
        }
    }

    #[test]
    fn nothing_is_within_nothing() {
        let mut spans = Spans::default();
        assert_eq!(spans.within(1, 0).count(), 0);
        spans.set(1, 3, Stamped { arrival: 1, outcome: outcome(1, 5_000) });
        assert_eq!(spans.within(1, 0).count() + spans.within(4, 3).count() + spans.within(9, 2).count(), 0);
    }

    #[test]
    fn stored_ranges_read_back() {
        let mut spans = Spans::default();
        spans.set(5, 3, Stamped { arrival: 100, outcome: outcome(1, 50) });
        spans.set(
            8,
            2,
            Stamped { arrival: 40, outcome: Outcome { body: BodyState::Gone(4), ..outcome(2, 20) } },
        );
        spans.set(10, 9, Stamped { arrival: 1_000, outcome: outcome(3, 70_000) });
        let bytes = spans.encode(6, 12);
        let mut again = Spans::default();
        assert_eq!(again.decode_into(6, &bytes).unwrap(), 7);
        for seq in 6..=12 {
            assert_eq!(again.get(seq), spans.get(seq));
        }
        assert!(again.decode_into(6, &bytes[..bytes.len() - 1]).is_err());
    }
}
