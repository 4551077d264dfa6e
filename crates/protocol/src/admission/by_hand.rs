//! What a person decides about a record that the policy holds: for good, whatever policy comes later.

use tocsin_record::Entry;
use tocsin_record::body::BodyRef;
use tocsin_store::{BodyState, Kv, Outcome, Slots, StoreError, Verdict};

use crate::admission::Admission;
use crate::admission::admit::{Decided, rule};
use crate::io::RequestError;

impl<K: Kv, S: Slots> Admission<K, S> {
    /// Whether a person decided.
    pub(crate) fn is_by_hand(&self, rule: u16) -> bool {
        self.by_hand == Some(rule)
    }

    /// Accepts or refuses a record that a rule of the policy holds, or that a person accepted before. What a guardrail holds
    /// nobody can release: it waits for something else, such as its time or a newer program.
    ///
    /// # Errors
    /// Of the store; within it, why the record is none of these.
    pub(crate) fn decide_by_hand<'a>(
        &mut self,
        entry: &'a Entry,
        old: &Outcome,
        accept: bool,
    ) -> Result<Result<Decided<'a>, RequestError>, StoreError> {
        let is_held = old.verdict == Verdict::Held || (self.is_by_hand(old.rule) && !accept);
        let Some(read) = BodyRef::again(entry).filter(|_| is_held) else {
            return Ok(Err(RequestError::NotHeld));
        };
        let by = self.reader.rule(old.rule).unwrap_or_default();
        if by.starts_with("guardrail:") {
            return Ok(Err(RequestError::HeldByGuardrail(by)));
        }
        let number = self.store.intern_rule(rule::BY_HAND)?;
        self.by_hand = Some(number);
        let (verdict, body) = if accept {
            (Verdict::Accepted, BodyState::Here)
        } else {
            (Verdict::Refused, BodyState::Refused)
        };
        Ok(Ok(Decided { verdict, body, rule: number, read: Some(read) }))
    }
}
