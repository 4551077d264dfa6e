//! What a person decides about a record that the policy holds: it stands, whatever policy comes later, until somebody here takes it
//! back. And what the configuration decides after so many days, where nobody did: that stands alike.

use bincode::{Decode, Encode};
use tocsin_record::body::BodyRef;
use tocsin_record::{Entry, codec};
use tocsin_store::{BodyState, Kv, Outcome, Reader, RecordRef, Slots, StoreError, Verdict};

use crate::admission::Admission;
use crate::admission::admit::{Decided, rule};
use crate::io::{Now, RequestError};

/// Longest reason that is kept, in bytes.
pub const REASON_MAX: usize = 4096;
/// What reading a decision may take in memory, in bytes.
const KEPT_MAX: usize = 64 << 10;

/// Who decides about a held record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decider {
    /// A person of this node.
    Person {
        /// Who, by name.
        name: String,
        /// Why, in words; may be empty. At most [`REASON_MAX`] bytes are kept.
        reason: String,
    },
    /// The configuration, since nobody did for so many days.
    Default {
        /// How many.
        days: u32,
    },
}

/// A decision about a record that was held here, as it is kept. Rests in stores: fields are not changed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Decision {
    /// When, in ms.
    pub time: u64,
    /// Who, by name; empty if it was by default.
    pub name: String,
    /// Why, in words; may be empty.
    pub reason: String,
    /// The rule that held it.
    pub held_by: String,
    /// After how many days, if it was by default.
    pub after_days: Option<u32>,
}

impl Decision {
    /// What was decided about a record last. `None` if that is not known any more, or nothing was.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn of<K: Kv, S: Slots>(reader: &Reader<K, S>, place: RecordRef) -> Result<Option<Self>, StoreError> {
        let kept = reader.remark(place)?;
        Ok(kept.and_then(|bytes| codec::decode::<Self, KEPT_MAX>(&bytes).ok()))
    }
}

/// Whether a rule is the name of what a person here, or the configuration, decided.
#[must_use]
pub fn is_decided_here(name: &str) -> bool {
    name == rule::BY_HAND || name.starts_with(rule::BY_DEFAULT)
}

/// Whether a rule holds what a person may decide about.
#[must_use]
pub fn is_for_people(name: &str) -> bool {
    !name.starts_with("guardrail:")
}

impl<K: Kv, S: Slots> Admission<K, S> {
    /// Whether a person decided, or the configuration.
    pub(crate) fn is_by_hand(&self, rule: u16) -> bool {
        self.by_hand.contains(&rule)
    }

    /// Accepts or refuses a record that a rule of the policy holds, or that was accepted so before. What a guardrail holds
    /// nobody can release: it waits for something else, such as its time or a newer program.
    ///
    /// # Errors
    /// Of the store; within it, why the record is none of these.
    pub(crate) fn decide_by_hand<'a>(
        &mut self,
        now: Now,
        place: RecordRef,
        entry: &'a Entry,
        old: &Outcome,
        accept: bool,
        decider: Decider,
    ) -> Result<Result<Decided<'a>, RequestError>, StoreError> {
        let is_held = old.verdict == Verdict::Held
            || (self.is_by_hand(old.rule) && old.verdict == Verdict::Accepted && !accept);
        let Some(read) = BodyRef::again(entry).filter(|_| is_held) else {
            return Ok(Err(RequestError::NotHeld));
        };
        let mut held_by = self.reader.rule(old.rule).unwrap_or_default();
        if !is_for_people(&held_by) {
            return Ok(Err(RequestError::HeldByGuardrail(held_by)));
        }
        if let Some(before) = Decision::of(&self.reader, place)?.filter(|_| self.is_by_hand(old.rule)) {
            held_by = before.held_by;
        }
        let (name, mut reason, after_days) = match decider {
            Decider::Person { name, reason } => (name, reason, None),
            Decider::Default { days } => (String::new(), String::new(), Some(days)),
        };
        while reason.len() > REASON_MAX {
            reason.pop();
        }
        let by = after_days
            .map_or_else(|| rule::BY_HAND.to_owned(), |days| format!("{}{days}-days", rule::BY_DEFAULT));
        let decision = Decision { time: self.clock.time(now), name, reason, held_by, after_days };
        self.store.put_remark(place, &codec::encode(&decision))?;
        let number = self.store.intern_rule(&by)?;
        self.by_hand.insert(number);
        let (verdict, body) = if accept {
            (Verdict::Accepted, BodyState::Here)
        } else {
            (Verdict::Refused, BodyState::Refused)
        };
        Ok(Ok(Decided { verdict, body, rule: number, read: Some(read) }))
    }

    /// What was decided here about a record is no more: it is to be judged by the policy.
    ///
    /// # Errors
    /// Of the store; within it, that nothing was.
    pub(crate) fn take_back_decision(
        &mut self,
        place: RecordRef,
        old: &Outcome,
    ) -> Result<Result<(), RequestError>, StoreError> {
        if !self.is_by_hand(old.rule) {
            return Ok(Err(RequestError::NotDecided));
        }
        if matches!(old.body, BodyState::Gone(_)) {
            return Ok(Err(RequestError::DecidedAndGone));
        }
        self.store.remove_remark(place)?;
        Ok(Ok(()))
    }
}
