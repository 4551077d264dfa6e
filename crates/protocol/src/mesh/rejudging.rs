//! The walk of judging anew, a slice with each tick: what is accepted now is announced, what is wanted now is asked after.

use std::sync::Arc;

use tocsin_record::body::BodyRef;
use tocsin_record::{Class, Entry, Part};
use tocsin_store::{BodyState, Kv, Outcome, RecordRef, Slots, StoreError, Verdict};

use crate::admission::admit::Decided;
use crate::admission::judge::LogFacts;
use crate::admission::{Admission, By};
use crate::io::{Done, Output, RequestError};
use crate::mesh::Mesh;

/// Records judged anew in one tick.
const SLICE: usize = 512;

impl<K: Kv, S: Slots> Mesh<K, S> {
    pub(crate) fn rejudge_some(&mut self, out: &mut Output) -> Result<(), StoreError> {
        let Admission { rejudge, clock, .. } = &mut self.admission;
        rejudge.look_at_times(|time| !clock.is_ahead(self.now, time));
        let Some(mut next) = rejudge.cursor() else {
            return Ok(());
        };
        for _ in 0..SLICE {
            let Some(place) = self.admission.next_place(next) else {
                return self.walked();
            };
            next = RecordRef { seq: place.seq + 1, ..place };
            let held_only = self.admission.rejudge.is_held_only();
            self.judge_anew(place, out)?;
            if held_only && !self.admission.rejudge.is_held_only() {
                // A document that was held took force: everything is judged anew, from the beginning.
                return Ok(());
            }
        }
        self.admission.rejudge.walked_to(next);
        Ok(())
    }

    /// A walk came to its end.
    fn walked(&mut self) -> Result<(), StoreError> {
        if self.admission.rejudge.end() {
            // What is wanted now and was not before was announced to nobody's notice: peers are asked which of it they give.
            for (_, link) in self.links.iter_mut() {
                link.holes_due = true;
                link.holes_from = None;
            }
            self.admission.all_judged(&self.directory)?;
        }
        Ok(())
    }

    /// Everything is judged anew by other rules, or by another clock.
    pub(crate) fn rejudge_all(&mut self) {
        self.admission.rejudge_all(&self.directory);
    }

    fn judge_anew(&mut self, place: RecordRef, out: &mut Output) -> Result<(), StoreError> {
        let Some(stamped) = self.admission.store.outcome(place) else {
            return Ok(());
        };
        let old = stamped.outcome;
        // Times do not fall in a log: where its last has come, all have.
        let end_is_ahead = || {
            let end = self.admission.reader.log(place.log).map(|log| log.tip.time);
            end.is_some_and(|time| self.admission.clock.is_ahead(self.now, time))
        };
        // For good, whatever policy comes.
        if self.admission.is_by_hand(old.rule) {
            return Ok(());
        }
        if self.admission.rejudge.passes_over(&old, stamped.arrival, end_is_ahead) {
            return Ok(());
        }
        if matches!(old.body, BodyState::Gone(_)) || place.seq > self.takes_up_to(place.log) {
            return Ok(());
        }
        let Some(entry) = self.admission.store.entry(place)? else {
            return Ok(());
        };
        if entry.header.class != Class::Content && old.verdict == Verdict::Accepted {
            return Ok(());
        }
        let directory = Arc::clone(&self.directory);
        let by = By { directory: &directory, now: self.now };
        let facts = LogFacts::of(&directory, entry.header.author, entry.header.circle);
        let decided = self.admission.decide(&by, &facts, &entry)?;
        if let BodyState::Gone(reason) = decided.body {
            self.admission.store.erase(place, reason)?;
            self.catchup.settled(place);
            return Ok(());
        }
        // A body that is still missing stays so, with what was learned of who withholds it.
        let body = match (old.body, decided.body) {
            (BodyState::Withheld, BodyState::Wanted) => BodyState::Withheld,
            (_, body) => body,
        };
        self.decided_anew(place, &entry, &old, body, &decided, out)
    }

    /// A person decides about a record that the policy holds.
    pub(crate) fn decide_held(
        &mut self,
        place: RecordRef,
        accept: bool,
        out: &mut Output,
    ) -> Result<Result<Done, RequestError>, StoreError> {
        let (Some(stamped), Some(entry)) =
            (self.admission.store.outcome(place), self.admission.store.entry(place)?)
        else {
            return Ok(Err(RequestError::NotHeld));
        };
        let decided = match self.admission.decide_by_hand(&entry, &stamped.outcome, accept)? {
            Ok(decided) => decided,
            Err(why) => return Ok(Err(why)),
        };
        self.decided_anew(place, &entry, &stamped.outcome, decided.body, &decided, out)?;
        Ok(Ok(Done::default()))
    }

    /// Stages what was decided anew about a record, and what follows from it.
    fn decided_anew(
        &mut self,
        place: RecordRef,
        entry: &Entry,
        old: &Outcome,
        body: BodyState,
        decided: &Decided<'_>,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let new = Outcome { verdict: decided.verdict, body, rule: decided.rule, ..*old };
        if new == *old {
            return Ok(());
        }
        if new.verdict != old.verdict
            && let Part::Here(bytes) = &entry.body
            && let Ok(body) = BodyRef::read_again(&entry.header, bytes)
        {
            self.admission.index.unlist(place, &body, old.verdict);
        }
        self.admission.store.set_outcome(place, new)?;
        if !body.is_missing() {
            self.catchup.settled(place);
        }
        let released = new.verdict == Verdict::Accepted && old.verdict != Verdict::Accepted;
        let verdict_changed = new.verdict != old.verdict;
        if verdict_changed {
            self.settle(place, entry, decided, old.verdict != Verdict::Unjudged, out)?;
        }
        if released && body == BodyState::Here { self.released(place, None) } else { Ok(()) }
    }
}
