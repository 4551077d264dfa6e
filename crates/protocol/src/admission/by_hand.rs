//! What a person decides about a record that the policy holds: for good, whatever policy comes later.

use tocsin_record::Entry;
use tocsin_record::Part;
use tocsin_record::body::BodyRef;
use tocsin_store::{BodyState, Kv, Outcome, Reader, Slots, StoreError, Verdict};

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
        let read = match &entry.body {
            Part::Here(bytes) if is_held => BodyRef::read_again(&entry.header, bytes).ok(),
            _ => None,
        };
        let Some(read) = read else { return Ok(Err(RequestError::NotHeld)) };
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

/// The store's number for what people decided, if they ever did.
pub(super) fn number<K: Kv, S: Slots>(reader: &Reader<K, S>) -> Option<u16> {
    let mut names = (0..=u16::MAX).map_while(|number| Some((number, reader.rule(number)?)));
    names.find(|(_, name)| name == rule::BY_HAND).map(|(number, _)| number)
}
