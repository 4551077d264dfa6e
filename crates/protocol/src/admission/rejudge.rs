//! Judging anew: after a change of policy or membership, when a clock catches up, when an ancestor arrives.
//!
//! In slices, so that nothing waits for it. What is accepted now answers and is announced; what no longer is leaves the
//! index; a body that is wanted now is asked for.

use std::collections::BTreeSet;

use tocsin_record::body::BodyRef;
use tocsin_record::document::Roster;
use tocsin_record::{CircleId, Class, Entry, RecordId, id};
use tocsin_seal::KeyId;
use tocsin_store::{BodyState, Kv, LogNo, Outcome, RecordRef, Slots, Stamped, StoreError, Verdict};

use crate::admission::admit::Decided;
use crate::admission::judge::LogFacts;
use crate::admission::late::is_rewrap;
use crate::admission::{Admission, By, meta};
use crate::directory::Directory;
use crate::io::Now;

/// What is to be judged anew, and how far that is.
#[derive(Debug, Default)]
pub(crate) struct Rejudge {
    /// The next record of a walk over all.
    cursor: Option<RecordRef>,
    /// The walk looks at held records only, and at what was accepted and is ahead by the clock as it is now.
    held_only: bool,
    /// Another walk is to follow, over held records only or over all: what partners send never turns one back that is under
    /// way, so that each comes to its end.
    next: Option<bool>,
    /// Held records are walked when these have come: clocks that were ahead.
    times: BTreeSet<u64>,
    /// What refusals depend on now, and the store's number of the first change since it is so: what was refused since then
    /// for its body is not asked for again, however often everything is judged anew.
    under: [u8; 32],
    since: u64,
    /// Ids that held records wait for.
    ancestors: BTreeSet<RecordId>,
    /// Keys that held records wait for.
    keys: BTreeSet<KeyId>,
}

/// Most ids and most keys that are waited for; more are found by the next walk.
const ANCESTORS_MAX: usize = 65_536;

impl Rejudge {
    pub fn is_busy(&self) -> bool {
        self.cursor.is_some()
    }

    /// Where the walk that is under way stands.
    pub fn cursor(&self) -> Option<RecordRef> {
        self.cursor
    }

    /// Whether that walk looks at held records only.
    pub fn is_held_only(&self) -> bool {
        self.held_only
    }

    /// The walk came so far.
    pub fn walked_to(&mut self, next: RecordRef) {
        self.cursor = Some(next);
    }

    /// Begins a walk over held records if a time came that one of them states.
    pub fn look_at_times(&mut self, has_come: impl Fn(u64) -> bool) {
        if self.times.first().is_some_and(|time| has_come(*time)) {
            self.times.retain(|time| !has_come(*time));
            self.walk_held();
        }
    }

    /// A walk came to its end. True if all was looked at, and is not to be once more.
    pub fn end(&mut self) -> bool {
        let was_all = !self.held_only;
        self.cursor = None;
        let next = self.next.take();
        if let Some(held_only) = next {
            self.begin(held_only);
        }
        // Where all is to be judged once more, that walk says so at its end.
        was_all && next != Some(false)
    }

    /// Whether a walk passes a record over: one that is not held where only those are looked at (and what was accepted of a
    /// log whose end is ahead, by clocks that were so too), or one that was refused for its body since what refusals depend
    /// on is so.
    pub fn passes_over(&self, outcome: &Outcome, arrival: u64, end_is_ahead: impl FnOnce() -> bool) -> bool {
        let is_looked_at = match outcome.verdict {
            Verdict::Held => true,
            Verdict::Accepted => !self.held_only || end_is_ahead(),
            Verdict::Unjudged | Verdict::Refused => !self.held_only,
        };
        !is_looked_at || (outcome.body == BodyState::Refused && arrival >= self.since)
    }

    /// A record states a time that has not come: it is looked at again when it has.
    pub fn at(&mut self, time: u64) {
        if self.times.len() < ANCESTORS_MAX {
            self.times.insert(time);
        }
    }

    pub fn waits_for(&mut self, id: RecordId) {
        if self.ancestors.len() < ANCESTORS_MAX {
            self.ancestors.insert(id);
        }
    }

    pub fn arrived(&mut self, id: &RecordId) {
        if !self.ancestors.is_empty() && self.ancestors.remove(id) {
            self.walk_held();
        }
    }

    /// A held record is sealed by a key that is not here.
    pub fn waits_for_key(&mut self, key: KeyId) {
        if self.keys.len() < ANCESTORS_MAX {
            self.keys.insert(key);
        }
    }

    pub fn key_came(&mut self, key: &KeyId) {
        if self.keys.remove(key) {
            self.walk_held();
        }
    }

    pub fn walk_held(&mut self) {
        self.begin(true);
    }

    pub fn begin(&mut self, held_only: bool) {
        if self.cursor.is_some() && (held_only || !self.held_only) {
            self.next = Some(held_only && self.next.unwrap_or(true));
            return;
        }
        self.held_only = held_only;
        self.cursor = Some(RecordRef { log: LogNo(0), seq: 0 });
    }
}

impl<K: Kv, S: Slots> Admission<K, S> {
    /// Everything is judged anew by other rules, or by another clock: what was refused as well.
    pub(crate) fn rejudge_all(&mut self, directory: &Directory) {
        self.rejudge.under = self.refused_under(directory);
        self.rejudge.since = self.store.next_arrival();
        self.rejudge.begin(false);
        self.numbers.clear();
    }

    /// A record that a walk comes to, with what it is so far; `None` where that stays as it is, whatever is decided now.
    pub(crate) fn to_judge_anew(
        &self,
        now: Now,
        place: RecordRef,
    ) -> Result<Option<(Entry, Outcome)>, StoreError> {
        let Some(Stamped { outcome: old, arrival, .. }) = self.store.outcome(place) else { return Ok(None) };
        // Times do not fall in a log: where its last has come, all have.
        let end_is_ahead = || {
            let end = self.reader.log(place.log).map(|log| log.tip.time);
            end.is_some_and(|time| self.clock.is_ahead(now, time))
        };
        // What a person decided is for good, whatever policy comes.
        if self.is_by_hand(old.rule)
            || self.rejudge.passes_over(&old, arrival, end_is_ahead)
            || matches!(old.body, BodyState::Gone(_))
            || place.seq > self.takes_up_to(place.log)
        {
            return Ok(None);
        }
        let entry = self.store.entry(place)?;
        let stays = |Entry { header, .. }: &Entry| {
            let is_control = header.class != Class::Content && old.verdict == Verdict::Accepted;
            // What has ended is erased in its turn, as what is gone, and not refused for it.
            is_control || (header.expires != 0 && header.expires <= self.clock.passed(now))
        };
        Ok(entry.filter(|entry| !stays(entry)).map(|entry| (entry, old)))
    }

    /// Decides anew about a record. `None` if its body is gone for everybody, and was erased.
    pub(crate) fn decide_anew<'a>(
        &mut self,
        by: &By<'_>,
        place: RecordRef,
        entry: &'a Entry,
        old: &Outcome,
    ) -> Result<Option<Decided<'a>>, StoreError> {
        let facts = LogFacts::of(by.directory, entry.header.author, entry.header.circle);
        if is_rewrap(&entry.header) {
            // The record of its key may have come.
            self.open_entry(by, place.log, entry)?;
        }
        let mut decided = self.decide(by, &facts, entry)?;
        if let BodyState::Gone(reason) = decided.body {
            self.store.erase(place, reason)?;
            return Ok(None);
        }
        // Its key came.
        if self.was_unread(old) && entry.readable().is_some() && !self.store.enter_opened(place, entry)? {
            return Ok(None);
        }
        // A body that is still missing stays so, with what was learned of who withholds it.
        if (old.body, decided.body) == (BodyState::Withheld, BodyState::Wanted) {
            decided.body = BodyState::Withheld;
        }
        Ok(Some(decided))
    }

    /// Whether a record was held since what opens its body was not here.
    pub(crate) fn was_unread(&self, old: &Outcome) -> bool {
        self.no_key == Some(old.rule) || self.carried == Some(old.rule)
    }

    /// Stages what was decided in the place of what was. False if that is the same.
    pub(crate) fn replace(
        &mut self,
        place: RecordRef,
        entry: &Entry,
        old: &Outcome,
        decided: &Decided<'_>,
    ) -> Result<bool, StoreError> {
        let new = Outcome { verdict: decided.verdict, body: decided.body, rule: decided.rule, ..*old };
        if new == *old {
            return Ok(false);
        }
        if new.verdict != old.verdict
            && let Some(body) = BodyRef::again(entry)
        {
            self.index.unlist(place, &body, old.verdict);
        }
        self.store.set_outcome(place, new)?;
        Ok(true)
    }

    /// Documents came into force. A certificate changes nothing of what was refused.
    pub(crate) fn rejudge_for_documents(&mut self, directory: &Directory) {
        if self.refused_under(directory) == self.rejudge.under {
            self.rejudge.begin(false);
        } else {
            self.rejudge_all(directory);
        }
    }

    /// After a start: everything is judged anew if policy or documents are others than when that was last finished (the
    /// file was edited while the node was down, or it stopped on the way), else only what is held.
    pub(crate) fn resume_judging(&mut self, directory: &Directory) -> Result<(), StoreError> {
        let judged = self.store.get_meta(meta::JUDGED)?;
        self.rejudge.under = self.refused_under(directory);
        if judged.as_deref() == Some(self.judged_under(directory).as_slice()) {
            self.rejudge.walk_held();
        } else {
            self.rejudge_all(directory);
        }
        Ok(())
    }

    /// What a refusal depends on beside the record and the clock: its author was certified when its header was taken.
    fn refused_under(&self, directory: &Directory) -> [u8; 32] {
        let charter = directory.charter_behind().hash;
        let revocations = directory.revocations_behind().hash;
        let (policy, trust) = (self.decisions.policy().digest(), directory.trust_digest());
        let version = |(circle, roster): (CircleId, &Roster)| (circle.0, roster.version.to_be_bytes());
        let rosters: Vec<_> = directory.circles().map(version).collect();
        let rosters: Vec<u8> =
            rosters.iter().flat_map(|(circle, version)| circle.iter().chain(version)).copied().collect();
        id::hash(id::DOCUMENT, &[b"refused", &policy, &charter.0, &revocations.0, &trust, &rosters])
    }

    /// What judgements depend on beside the record and the clock.
    fn judged_under(&self, directory: &Directory) -> [u8; 32] {
        let charter = directory.charter_behind().hash;
        let revocations = directory.revocations_behind().hash;
        let policy = self.decisions.policy().digest();
        let (root, trust) = (directory.root(), directory.trust_digest());
        id::hash(id::DOCUMENT, &[b"judged", &policy, &charter.0, &revocations.0, &root, &trust])
    }

    /// All was judged: what that was under is kept for the next start.
    pub(crate) fn all_judged(&mut self, directory: &Directory) -> Result<(), StoreError> {
        let under = self.judged_under(directory);
        self.store.put_meta(meta::JUDGED, under.to_vec().into())
    }

    /// The first committed record at or after a place.
    pub(crate) fn next_place(&self, from: RecordRef) -> Option<RecordRef> {
        let mut place = RecordRef { seq: from.seq.max(1), ..from };
        loop {
            let info = self.reader.log(place.log)?;
            let seq = place.seq.max(info.base.seq + 1);
            // What is only staged was judged by the old rules as well.
            if seq <= self.height(place.log) {
                return Some(RecordRef { seq, ..place });
            }
            place = RecordRef { log: LogNo(place.log.0 + 1), seq: 1 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(rejudge: &Rejudge) -> Option<bool> {
        rejudge.cursor().map(|_| rejudge.is_held_only())
    }

    #[test]
    fn a_walk_comes_to_its_end_whatever_is_asked_meanwhile() {
        let mut rejudge = Rejudge::default();
        rejudge.walk_held();
        assert_eq!(first(&rejudge), Some(true));
        rejudge.begin(false);
        assert_eq!(first(&rejudge), Some(false), "all is more than what is held");
        rejudge.walked_to(RecordRef { log: LogNo(0), seq: 9 });
        rejudge.walk_held();
        assert_eq!(rejudge.cursor(), Some(RecordRef { log: LogNo(0), seq: 9 }), "none is turned back");
        assert!(rejudge.end());
        assert_eq!(first(&rejudge), Some(true), "what was asked for meanwhile follows");
        assert!(!rejudge.end() && !rejudge.is_busy());
    }

    #[test]
    fn what_waits_for_a_record_or_a_time_is_walked_when_that_comes() {
        let mut rejudge = Rejudge::default();
        let id = RecordId([1; 32]);
        rejudge.waits_for(id);
        rejudge.arrived(&RecordId([2; 32]));
        assert!(!rejudge.is_busy());
        rejudge.arrived(&id);
        assert!(rejudge.is_busy());
        rejudge.end();
        rejudge.at(50);
        rejudge.look_at_times(|time| time < 50);
        assert!(!rejudge.is_busy());
        rejudge.look_at_times(|time| time <= 50);
        assert!(rejudge.is_busy());
    }
}
