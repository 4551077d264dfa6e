//! Changes to records that are here: late bodies, new judgements, erasure.

use bytes::Bytes;
use tocsin_record::run::{Entry, Part, body_fits};
use tocsin_record::{Header, OrgId};

use crate::error::StoreError;
use crate::keys::Kind;
use crate::kv::Kv;
use crate::outcome::{BodyState, LogNo, Outcome, RecordRef, Stamped};
use crate::slots::Slots;
use crate::state::PageRef;
use crate::store::{Left, Store, subject_in};
use crate::vault::Form;

impl<K: Kv, S: Slots> Store<K, S> {
    /// Stages a body that came later than its header. `outcome` is the record's outcome from now on.
    ///
    /// Returns false if it is not kept: its report was taken back.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] if the record is unknown, its body here or erased, or the bytes are not the body
    /// that its header names; else a disk fault.
    pub fn set_body(
        &mut self,
        place: RecordRef,
        bytes: &Bytes,
        outcome: Outcome,
    ) -> Result<bool, StoreError> {
        self.alive()?;
        let set = self.try_set_body(place, bytes, outcome);
        self.watch(set)
    }

    fn try_set_body(
        &mut self,
        place: RecordRef,
        bytes: &Bytes,
        outcome: Outcome,
    ) -> Result<bool, StoreError> {
        let old = self.outcome(place).ok_or(StoreError::Misuse("no such record"))?;
        if matches!(old.outcome.body, BodyState::Here | BodyState::Gone(_)) || outcome.body != BodyState::Here
        {
            return Err(StoreError::Misuse("a body is set once, and not after it was erased"));
        }
        let (run, offset) = self.page_with(place)?.ok_or(StoreError::Misuse("no such record"))?;
        let header = &run.entries()[offset].header;
        if !body_fits(header.body_len, &header.body_hash, bytes) {
            return Err(StoreError::Misuse("the body is not the one that the header names"));
        }
        let plain = self.open_body(place.log, header, bytes)?;
        let entry = Entry { body: Part::Here(bytes.clone()), plain, ..run.entries()[offset].clone() };
        let org = self.shared.state().log(place.log).map_or(OrgId::ZERO, |log| log.org);
        if let Some(reason) = self.was_withdrawn(org, &entry)? {
            self.change(place, Outcome { body: BodyState::Gone(reason), ..outcome });
            self.settle_page(place);
            self.leave_keys(place.log);
            return Ok(false);
        }
        let key = self.shared.keys.at(Kind::Body, place.log, place.seq);
        let (slot, _) = self.seal_new(key, Form::Body, &[], bytes)?;
        if let Some(log) = self.shared.state_mut().log_mut(place.log) {
            log.bodies.insert(place.seq, slot);
        }
        self.change(place, outcome);
        self.index_body(org, place, &entry);
        self.withdraw_what_it_names(org, place, &entry)?;
        Ok(true)
    }

    /// Changes what became of a record: a new judgement, or a body that turned out to be withheld. A body that is here
    /// and is not to be is dropped; one that is not here cannot become so but by [`Self::set_body`].
    ///
    /// # Errors
    /// [`StoreError::Misuse`] if the record is unknown, or the body would appear or be erased; else a disk fault.
    pub fn set_outcome(&mut self, place: RecordRef, outcome: Outcome) -> Result<(), StoreError> {
        self.alive()?;
        let old = self.outcome(place).ok_or(StoreError::Misuse("no such record"))?.outcome;
        if old == outcome {
            return Ok(());
        }
        if old.body != outcome.body {
            if outcome.body == BodyState::Here || matches!(old.body, BodyState::Gone(_)) {
                return Err(StoreError::Misuse("a body does not appear by judgement"));
            }
            if matches!(outcome.body, BodyState::Gone(_)) {
                return Err(StoreError::Misuse("bodies are erased by `erase`"));
            }
            if old.body == BodyState::Here {
                let dropped = self.drop_body(place);
                self.watch(dropped)?;
            }
        }
        self.change(place, outcome);
        Ok(())
    }

    /// Stages the erasure of a body: at the end of the commit nothing on the disk can bring it back. The header stays.
    /// Returns false if there was nothing to erase. A body that is not here is marked as gone too.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] for an unknown record; else a disk fault.
    pub fn erase(&mut self, place: RecordRef, reason: u8) -> Result<bool, StoreError> {
        self.alive()?;
        let erased = self.try_erase(place, reason);
        self.watch(erased)
    }

    pub(crate) fn try_erase(&mut self, place: RecordRef, reason: u8) -> Result<bool, StoreError> {
        let old = self.outcome(place).ok_or(StoreError::Misuse("no such record"))?.outcome;
        if matches!(old.body, BodyState::Gone(_)) {
            return Ok(false);
        }
        if old.body == BodyState::Here {
            self.drop_body(place)?;
        }
        self.mark_gone(place, old, reason);
        Ok(true)
    }

    /// Erases a body that is here, of a record that rests in its page as `entry`.
    pub(crate) fn erase_here(
        &mut self,
        place: RecordRef,
        entry: &Entry,
        old: Outcome,
        reason: u8,
    ) -> Result<(), StoreError> {
        self.leave_indices(place, entry)?;
        self.leave_disk(place);
        self.mark_gone(place, old, reason);
        Ok(())
    }

    fn mark_gone(&mut self, place: RecordRef, old: Outcome, reason: u8) {
        // A page that held no body of it stays as it is: a retraction may name versions in as many pages as it likes.
        self.change(place, Outcome { body: BodyState::Gone(reason), ..old });
        self.leave_keys(place.log);
        self.staged.erased.push(place);
    }

    /// A body of the log is gone from now on, and so are all keys that may have held it with the commit: those that were left
    /// and are not overwritten yet (it may have been dropped before), and that of the tail that was found when the store was
    /// opened. An earlier life may have held it there, and this one know no more of that: the tail goes on under another key.
    pub(crate) fn leave_keys(&mut self, log: LogNo) {
        self.staged.destroy = true;
        if self.shared.state().log(log).is_some_and(|log| log.tail_found) {
            self.staged.pack.insert(log);
        }
    }

    /// Stages the removal of whole pages below `seq`: headers, bodies and all. Whether that may be is the caller's
    /// decision. The tail always stays.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] for an unknown log.
    pub fn drop_below(&mut self, log: LogNo, seq: u64) -> Result<(), StoreError> {
        self.alive()?;
        self.tip(log).ok_or(StoreError::Misuse("no such log"))?;
        self.staged.drops.insert(log, seq);
        Ok(())
    }

    /// The body leaves the indices and, at the commit, the disk.
    fn drop_body(&mut self, place: RecordRef) -> Result<(), StoreError> {
        if let Some((run, offset)) = self.page_with(place)? {
            self.leave_indices(place, &run.entries()[offset])?;
        }
        self.leave_disk(place);
        Ok(())
    }

    /// A body that is here, of a record that rests in its page as `entry`, leaves the indices.
    fn leave_indices(&mut self, place: RecordRef, entry: &Entry) -> Result<(), StoreError> {
        let org = self.shared.state().log(place.log).map_or(OrgId::ZERO, |log| log.org);
        self.expiry.remove(org, entry.header.expires, place);
        let late = if entry.body().is_none() { self.late_body(place)? } else { None };
        if let Some(body) = entry.body().or(late.as_ref()) {
            self.left(org, place, &entry.header, body)?;
        }
        Ok(())
    }

    /// A body of an org's record is here no longer once the commit is done.
    pub(crate) fn left(
        &mut self,
        org: OrgId,
        place: RecordRef,
        header: &Header,
        body: &Bytes,
    ) -> Result<(), StoreError> {
        let body = match self.open_body(place.log, header, body)? {
            Some(plain) => Some((plain.kind, plain.bytes)),
            // A copy, so that one body does not keep its whole page in memory.
            None => (header.suite == 0).then(|| (header.kind, Bytes::copy_from_slice(body))),
        };
        if let Some(subject) = body.as_ref().and_then(|(kind, body)| subject_in(*kind, body)) {
            self.shared.state_mut().remove_report(org, subject, place);
        }
        self.staged.left.push(Left { place, header: header.clone(), body });
        Ok(())
    }

    /// A body that is here leaves the disk, at the commit.
    fn leave_disk(&mut self, place: RecordRef) {
        let slot = {
            let mut state = self.shared.state_mut();
            state.log_mut(place.log).and_then(|log| log.bodies.remove(&place.seq))
        };
        if let Some(slot) = slot {
            self.staged.batch.remove(self.shared.keys.at(Kind::Body, place.log, place.seq));
            self.vault.leave(slot);
        }
        self.settle_page(place);
    }

    fn settle_page(&mut self, place: RecordRef) {
        if let Some((first, _)) = self.page_ref(place) {
            self.staged.rewrite.insert((place.log, first));
        }
    }

    pub(crate) fn page_ref(&self, place: RecordRef) -> Option<(u64, PageRef)> {
        self.shared.state().log(place.log)?.page_of(place.seq)
    }

    /// Stages an outcome under a new number of change.
    fn change(&mut self, place: RecordRef, outcome: Outcome) {
        let arrival = self.next_arrival;
        self.next_arrival += 1;
        if outcome.body.is_missing() {
            self.wanted.insert(place);
        } else {
            self.wanted.remove(&place);
        }
        self.staged.changes.insert(place, Stamped { arrival, outcome });
        if let Some((first, _)) = self.page_ref(place) {
            self.staged.notes.insert((place.log, first));
        }
    }
}
