//! Since when held records wait for a person, and what becomes of them where nobody decides.
//!
//! No time stands beside a verdict, but each change of one has a number that rises. So once a day it is kept which number comes
//! next: a record waits since the day that its number falls in, or, if it came on that day, since then. Nothing is decided by
//! default while the clock is in doubt.

use tocsin_record::codec;
use tocsin_store::{Kv, Reader, RecordRef, Slots, Stamped, StoreError, Verdict};

use crate::admission::{Admission, by_hand, meta};
use crate::io::Now;

/// One day, in ms.
const DAY_MS: u64 = 86_400_000;
/// Days that are kept; what waits since before them counts as waiting since the first.
const DAYS_MAX: usize = 1_024;
/// What reading them may take in memory, in bytes.
const LIMIT: usize = 64 << 10;
/// How often it is looked for what waited long enough, in ms: all records are looked over for that.
const LOOK_MS: u64 = 3_600_000;
/// Most records that are decided about together.
const SLICE: usize = 256;

/// What becomes of a held record where nobody decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HoldDefault {
    /// It waits.
    #[default]
    Keep,
    /// It is accepted.
    Accept {
        /// After so many days, at least 1.
        days: u32,
    },
    /// It is refused, and its body erased here.
    Refuse {
        /// After so many days, at least 1.
        days: u32,
    },
}

impl HoldDefault {
    /// Whether it accepts, and after how many days; `None` if everything waits.
    #[must_use]
    pub fn decides(self) -> Option<(bool, u32)> {
        match self {
            Self::Keep => None,
            Self::Accept { days } => Some((true, days)),
            Self::Refuse { days } => Some((false, days)),
        }
    }
}

/// On which days which changes were made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// The number that the next change was to have, and the time then, in ms; both rising.
    days: Vec<(u64, u64)>,
}

impl Waiting {
    /// As it is kept in a store.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn of<K: Kv, S: Slots>(reader: &Reader<K, S>) -> Result<Self, StoreError> {
        let kept = reader.get_meta(meta::DAYS)?;
        let days = kept.and_then(|bytes| codec::decode::<_, LIMIT>(&bytes).ok()).unwrap_or_default();
        Ok(Self { days })
    }

    /// Since when a record is as it is, in ms: as it came, if it came on the day of its last change, else no later than the end
    /// of that.
    #[must_use]
    pub fn since(&self, stamped: &Stamped) -> u64 {
        let received = stamped.outcome.received;
        let next = self.days.partition_point(|(number, _)| *number <= stamped.arrival);
        let began = next.checked_sub(1).map(|at| self.days[at].1);
        match (began, self.days.get(next)) {
            (Some(began), _) if received >= began => received,
            (_, Some((_, ended))) => *ended,
            (Some(began), None) => began.saturating_add(DAY_MS),
            (None, None) => received,
        }
    }

    /// When a record that is held is decided about by default, in ms.
    #[must_use]
    pub fn due(&self, stamped: &Stamped, days: u32) -> u64 {
        self.since(stamped).saturating_add(u64::from(days) * DAY_MS)
    }

    /// A day begins. False if it has not.
    fn begin(&mut self, number: u64, time: u64) -> bool {
        // Also where nothing changed: so all changes of a day stand between two that are kept.
        let is_new = self.days.last().is_none_or(|(_, at)| time >= at.saturating_add(DAY_MS));
        if is_new {
            self.days.push((number, time));
            let over = self.days.len().saturating_sub(DAYS_MAX);
            self.days.drain(..over);
        }
        is_new
    }
}

/// What waits here.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    waiting: Waiting,
    default: HoldDefault,
    /// When it is looked for what waited long enough, by the monotonic clock.
    next_look: u64,
}

impl Waits {
    pub fn open<K: Kv, S: Slots>(
        reader: &Reader<K, S>,
        default: HoldDefault,
        now: Now,
    ) -> Result<Self, StoreError> {
        Ok(Self { waiting: Waiting::of(reader)?, default, next_look: now.mono })
    }
}

impl<K: Kv, S: Slots> Admission<K, S> {
    /// Keeps what the day is, once a day.
    pub(crate) fn note_day(&mut self, now: Now) -> Result<(), StoreError> {
        let (true, Some(time)) = (self.clock.reading().is_trusted(), self.clock.erases_up_to(now)) else {
            return Ok(());
        };
        if self.waits.waiting.begin(self.store.next_arrival(), time) {
            self.store.put_meta(meta::DAYS, codec::encode(&self.waits.waiting.days).into())?;
        }
        Ok(())
    }

    /// Records that waited long enough, whether they are to be accepted, and after how many days. Empty while the clock is in
    /// doubt, and where everything waits.
    pub(crate) fn due_by_default(&mut self, now: Now) -> (Vec<RecordRef>, bool, u32) {
        let nothing = (Vec::new(), false, 0);
        let (Some((accept, days)), Some(time)) = (self.waits.default.decides(), self.clock.erases_up_to(now))
        else {
            return nothing;
        };
        if !self.clock.reading().is_trusted() || now.mono < self.waits.next_look {
            return nothing;
        }
        let mut due = Vec::new();
        for range in self.reader.newest(|outcome| outcome.verdict == Verdict::Held).iter().rev() {
            let by = self.reader.rule(range.stamped.outcome.rule).unwrap_or_default();
            if !by_hand::is_for_people(&by) {
                continue;
            }
            let is_due = |at: &u64| {
                let stamped = Stamped { arrival: range.stamped.arrival + at, ..range.stamped };
                self.waits.waiting.due(&stamped, days) <= time
            };
            let places = (0..range.count).filter(is_due);
            due.extend(places.map(|at| RecordRef { seq: range.first.seq + at, ..range.first }).take(SLICE));
            if due.len() >= SLICE {
                // The others follow with the next minute.
                due.truncate(SLICE);
                return (due, accept, days);
            }
        }
        self.waits.next_look = now.mono + LOOK_MS;
        (due, accept, days)
    }
}

#[cfg(test)]
mod tests {
    use tocsin_store::{BodyState, Outcome};

    use super::*;

    fn stamped(arrival: u64, received: u64) -> Stamped {
        let (verdict, body) = (Verdict::Held, BodyState::Here);
        Stamped { arrival, outcome: Outcome { verdict, body, rule: 1, from: 1, received } }
    }

    #[test]
    fn a_record_waits_since_it_came_or_since_the_day_of_its_change() {
        let mut waiting = Waiting::default();
        assert_eq!(waiting.since(&stamped(5, 70)), 70, "nothing is known of any day");
        let day = |n: u64| 1_000 + n * DAY_MS;
        assert!(waiting.begin(10, day(0)) && waiting.begin(20, day(1)));
        assert!(!waiting.begin(25, day(2) - 1), "the day is not over");
        assert!(waiting.begin(30, day(3)), "the machine was off for a day");
        for (arrival, received, since) in [
            // Changed before anything was known: no earlier than that.
            (9, 70, day(0)),
            // Came on the day of its change.
            (10, day(0) + 5, day(0) + 5),
            (19, day(0) + 5, day(0) + 5),
            // Came before it.
            (20, day(0) + 5, day(3)),
            (30, day(0) + 5, day(4)),
            (31, day(3) + 7, day(3) + 7),
        ] {
            assert_eq!(waiting.since(&stamped(arrival, received)), since, "{arrival} {received}");
        }
        assert_eq!(waiting.due(&stamped(31, day(3)), 30), day(33));
    }

    #[test]
    fn so_many_days_are_kept_and_no_more() {
        let mut waiting = Waiting::default();
        for n in 0..2 * DAYS_MAX as u64 {
            assert!(waiting.begin(n + 1, n * DAY_MS));
        }
        assert_eq!(waiting.days.len(), DAYS_MAX);
        let bytes = codec::encode(&waiting.days);
        assert_eq!(codec::decode::<Vec<(u64, u64)>, LIMIT>(&bytes).unwrap(), waiting.days);
        assert_eq!(waiting.since(&stamped(1, 0)), DAYS_MAX as u64 * DAY_MS, "the first day that is kept");
    }
}
