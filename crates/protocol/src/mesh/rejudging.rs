//! The walk of judging anew, a slice with each tick: what is accepted now is announced, what is wanted now is asked after.

use std::sync::Arc;

use tocsin_record::Entry;
use tocsin_store::{BodyState, Kv, Outcome, RecordRef, Slots, StoreError, Verdict};

use crate::admission::admit::Decided;
use crate::admission::by_hand::Decider;
use crate::admission::{Admission, By};
use crate::io::{Done, Effect, Event, Output, RequestError};
use crate::mesh::Mesh;

/// Records judged anew in one tick.
const SLICE: usize = 512;

impl<K: Kv, S: Slots> Mesh<K, S> {
    pub(crate) fn rejudge_some(&mut self, out: &mut Output) -> Result<(), StoreError> {
        let Admission { rejudge, clock, .. } = &mut self.admission;
        rejudge.look_at_times(|time| !clock.is_ahead(self.now, time));
        if !self.is_member() {
            return Ok(());
        }
        let rejudge = &mut self.admission.rejudge;
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
            // What is wanted now and was not before was announced to nobody's notice.
            self.ask_for_holes();
            self.admission.all_judged(&self.directory)?;
        }
        Ok(())
    }

    /// All peers are asked which of the bodies that are wanted they give.
    fn ask_for_holes(&mut self) {
        for (_, link) in self.links.iter_mut() {
            link.holes_due = true;
            link.holes_from = None;
        }
    }

    /// Everything is judged anew by other rules, or by another clock.
    pub(crate) fn rejudge_all(&mut self) {
        self.admission.rejudge_all(&self.directory);
    }

    fn judge_anew(&mut self, place: RecordRef, out: &mut Output) -> Result<(), StoreError> {
        let Some((entry, old)) = self.admission.to_judge_anew(self.now, place)? else {
            return Ok(());
        };
        let directory = Arc::clone(&self.directory);
        let by = By { directory: &directory, now: self.now };
        match self.admission.decide_anew(&by, place, &entry, &old)? {
            Some(decided) => self.decided_anew(place, &entry, &old, &decided, out),
            None => {
                self.catchup.settled(place);
                Ok(())
            }
        }
    }

    /// A person decides about a record that the policy holds, or the configuration by default.
    pub(crate) fn decide_held(
        &mut self,
        place: RecordRef,
        accept: bool,
        decider: Decider,
        out: &mut Output,
    ) -> Result<Result<Done, RequestError>, StoreError> {
        let (Some(stamped), Some(entry)) =
            (self.admission.store().outcome(place), self.admission.store().entry(place)?)
        else {
            return Ok(Err(RequestError::NotHeld));
        };
        let (now, outcome) = (self.now, &stamped.outcome);
        let decided = match self.admission.decide_by_hand(now, place, &entry, outcome, accept, decider)? {
            Ok(decided) => decided,
            Err(why) => return Ok(Err(why)),
        };
        self.decided_anew(place, &entry, &stamped.outcome, &decided, out)?;
        Ok(Ok(Done::default()))
    }

    /// What was decided here about a record is taken back: the policy decides. A body that was erased for it is asked for
    /// again, of whoever gives it.
    pub(crate) fn undo_held(
        &mut self,
        place: RecordRef,
        out: &mut Output,
    ) -> Result<Result<Done, RequestError>, StoreError> {
        let (Some(stamped), Some(entry)) =
            (self.admission.store().outcome(place), self.admission.store().entry(place)?)
        else {
            return Ok(Err(RequestError::NotDecided));
        };
        let old = stamped.outcome;
        if let Err(why) = self.admission.take_back_decision(place, &old)? {
            return Ok(Err(why));
        }
        let directory = Arc::clone(&self.directory);
        let by = By { directory: &directory, now: self.now };
        match self.admission.decide_anew(&by, place, &entry, &old)? {
            Some(decided) => {
                self.decided_anew(place, &entry, &old, &decided, out)?;
                if decided.body.is_missing() {
                    self.ask_for_holes();
                }
            }
            None => self.catchup.settled(place),
        }
        Ok(Ok(Done::default()))
    }

    /// Decides about what waited long enough for a person, as the configuration says.
    pub(crate) fn decide_by_default(&mut self, out: &mut Output) -> Result<(), StoreError> {
        self.admission.note_day(self.now)?;
        let (due, accept, days) = self.admission.due_by_default(self.now);
        for place in due {
            let named = self.admission.store().entry(place)?.map(|entry| (entry.id, entry.header.author));
            let decided = self.decide_held(place, accept, Decider::Default { days }, out)?;
            if let (Ok(_), Some((id, author))) = (decided, named) {
                out.push(Effect::Event(Event::DecidedByDefault { id, author, accept, days }));
            }
        }
        Ok(())
    }

    /// Stages what was decided anew about a record, and what follows from it.
    fn decided_anew(
        &mut self,
        place: RecordRef,
        entry: &Entry,
        old: &Outcome,
        decided: &Decided<'_>,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        if !self.admission.replace(place, entry, old, decided)? {
            return Ok(());
        }
        self.owe_fate(place, Some(old));
        if !decided.body.is_missing() {
            self.catchup.settled(place);
        }
        let released = decided.verdict == Verdict::Accepted && old.verdict != Verdict::Accepted;
        // What is read for the first time is listed, whatever it was before.
        let was_unread = self.admission.was_unread(old) && decided.read.is_some();
        if decided.verdict != old.verdict || was_unread {
            self.settle(place, entry, decided, old.verdict != Verdict::Unjudged, out)?;
        }
        if released && decided.body == BodyState::Here { self.released(place, None) } else { Ok(()) }
    }
}
