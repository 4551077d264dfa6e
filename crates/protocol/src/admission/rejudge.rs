//! Judging anew: after a change of policy or membership, when a clock catches up, when an ancestor arrives.
//!
//! In slices, so that nothing waits for it. What is accepted now answers and is announced; what no longer is leaves the
//! index; a body that is wanted now is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tocsin_policy::RuleId;
use tocsin_record::body::BodyRef;
use tocsin_record::document::Roster;
use tocsin_record::{CircleId, Class, Part, RecordId, id};
use tocsin_store::{BodyState, Kv, LogNo, Outcome, RecordRef, Slots, StoreError, Verdict};

use crate::admission::judge::LogFacts;
use crate::io::Output;
use crate::mesh::{Mesh, meta};

/// Records judged anew in one tick.
const SLICE: usize = 512;

/// What is to be judged anew, and how far that is.
#[derive(Debug, Default)]
pub(crate) struct Rejudge {
    /// The next record of a walk over all.
    cursor: Option<RecordRef>,
    /// The walk looks at held records only.
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
    /// The store's numbers of the policy's rules.
    pub numbers: BTreeMap<RuleId, u16>,
    /// The number of the rule that holds what is newer than this node.
    pub newer: Option<u16>,
}

/// Most ids that are waited for; more are found by the next walk.
const ANCESTORS_MAX: usize = 65_536;

impl Rejudge {
    pub fn is_busy(&self) -> bool {
        self.cursor.is_some()
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

    pub fn walk_held(&mut self) {
        self.begin(true);
    }

    fn begin(&mut self, held_only: bool) {
        if self.cursor.is_some() && (held_only || !self.held_only) {
            self.next = Some(held_only && self.next.unwrap_or(true));
            return;
        }
        self.held_only = held_only;
        self.cursor = Some(RecordRef { log: LogNo(0), seq: 0 });
    }
}

impl<K: Kv, S: Slots> Mesh<K, S> {
    /// Everything is judged anew by other rules, or by another clock: what was refused as well.
    pub(crate) fn rejudge_all(&mut self) {
        self.rejudge.under = self.refused_under();
        self.rejudge.since = self.store.next_arrival();
        self.rejudge.begin(false);
        self.rejudge.numbers.clear();
    }

    /// Documents came into force. A certificate changes nothing of what was refused.
    pub(crate) fn rejudge_for_documents(&mut self) {
        if self.refused_under() == self.rejudge.under {
            self.rejudge.begin(false);
        } else {
            self.rejudge_all();
        }
    }

    /// After a start: everything is judged anew if policy or documents are others than when that was last finished (the
    /// file was edited while the node was down, or it stopped on the way), else only what is held.
    pub(crate) fn resume_judging(&mut self) -> Result<(), StoreError> {
        let judged = self.store.get_meta(meta::JUDGED)?;
        self.rejudge.under = self.refused_under();
        if judged.as_deref() == Some(self.judged_under().as_slice()) {
            self.rejudge.walk_held();
        } else {
            self.rejudge_all();
        }
        Ok(())
    }

    /// What a refusal depends on beside the record and the clock: its author was certified when its header was taken.
    fn refused_under(&self) -> [u8; 32] {
        let charter = self.directory.charter_behind().hash;
        let revocations = self.directory.revocations_behind().hash;
        let (policy, trust) = (self.decisions.policy().digest(), self.directory.trust_digest());
        let version = |(circle, roster): (CircleId, &Roster)| (circle.0, roster.version.to_be_bytes());
        let rosters: Vec<_> = self.directory.circles().map(version).collect();
        let rosters: Vec<u8> =
            rosters.iter().flat_map(|(circle, version)| circle.iter().chain(version)).copied().collect();
        id::hash(id::DOCUMENT, &[b"refused", &policy, &charter.0, &revocations.0, &trust, &rosters])
    }

    /// What judgements depend on beside the record and the clock.
    fn judged_under(&self) -> [u8; 32] {
        let charter = self.directory.charter_behind().hash;
        let revocations = self.directory.revocations_behind().hash;
        let policy = self.decisions.policy().digest();
        let (root, trust) = (self.directory.root(), self.directory.trust_digest());
        id::hash(id::DOCUMENT, &[b"judged", &policy, &charter.0, &revocations.0, &root, &trust])
    }

    pub(crate) fn rejudge_some(&mut self, out: &mut Output) -> Result<(), StoreError> {
        let has_come = |time: &u64| !self.clock.is_ahead(self.now, *time);
        if self.rejudge.times.first().is_some_and(has_come) {
            self.rejudge.times.retain(|time| !has_come(time));
            self.rejudge.walk_held();
        }
        let Some(cursor) = self.rejudge.cursor else {
            return Ok(());
        };
        let mut next = cursor;
        for _ in 0..SLICE {
            let Some(place) = self.next_place(next) else {
                return self.walked();
            };
            next = RecordRef { seq: place.seq + 1, ..place };
            let held_only = self.rejudge.held_only;
            self.judge_anew(place, out)?;
            if held_only && !self.rejudge.held_only {
                // A document that was held took force: everything is judged anew, from the beginning.
                return Ok(());
            }
        }
        self.rejudge.cursor = Some(next);
        Ok(())
    }

    /// A walk came to its end.
    fn walked(&mut self) -> Result<(), StoreError> {
        let was_all = !self.rejudge.held_only;
        self.rejudge.cursor = None;
        let next = self.rejudge.next.take();
        if let Some(held_only) = next {
            self.rejudge.begin(held_only);
        }
        // Where all is to be judged once more, that walk says so at its end.
        if was_all && next != Some(false) {
            // What is wanted now and was not before was announced to nobody's notice: peers are asked which of it they give.
            for (_, link) in self.links.iter_mut() {
                link.holes_due = true;
                link.holes_from = None;
            }
            let under = self.judged_under();
            self.store.put_meta(meta::JUDGED, under.to_vec().into())?;
        }
        Ok(())
    }

    /// The first committed record at or after a place.
    fn next_place(&self, from: RecordRef) -> Option<RecordRef> {
        let mut place = RecordRef { seq: from.seq.max(1), ..from };
        loop {
            let info = self.reader.log(place.log)?;
            let seq = place.seq.max(info.base.seq + 1);
            if seq <= info.tip.seq {
                return Some(RecordRef { seq, ..place });
            }
            place = RecordRef { log: LogNo(place.log.0 + 1), seq: 1 };
        }
    }

    fn judge_anew(&mut self, place: RecordRef, out: &mut Output) -> Result<(), StoreError> {
        let Some(stamped) = self.store.outcome(place) else {
            return Ok(());
        };
        let old = stamped.outcome;
        if self.rejudge.held_only && old.verdict != Verdict::Held {
            return Ok(());
        }
        if matches!(old.body, BodyState::Gone(_)) || place.seq > self.takes_up_to(place.log) {
            return Ok(());
        }
        if old.body == BodyState::Refused && stamped.arrival >= self.rejudge.since {
            return Ok(());
        }
        let Some(entry) = self.store.entry(place)? else {
            return Ok(());
        };
        if entry.header.class != Class::Content && old.verdict == Verdict::Accepted {
            return Ok(());
        }
        let directory = Arc::clone(&self.directory);
        let facts = LogFacts::of(&directory, entry.header.author, entry.header.circle);
        let decided = self.decide(&facts, &entry)?;
        if let BodyState::Gone(reason) = decided.body {
            self.store.erase(place, reason)?;
            return Ok(());
        }
        // A body that is still missing stays so, with what was learned of who withholds it.
        let body = match (old.body, decided.body) {
            (BodyState::Withheld, BodyState::Wanted) => BodyState::Withheld,
            (_, body) => body,
        };
        let new = Outcome { verdict: decided.verdict, body, rule: decided.rule, ..old };
        if new == old {
            return Ok(());
        }
        if new.verdict != old.verdict
            && let Part::Here(bytes) = &entry.body
            && let Ok(body) = BodyRef::read_again(&entry.header, bytes)
        {
            self.index.unlist(place, &body, old.verdict);
        }
        self.store.set_outcome(place, new)?;
        let released = new.verdict == Verdict::Accepted && old.verdict != Verdict::Accepted;
        let verdict_changed = new.verdict != old.verdict;
        if verdict_changed {
            self.settle(place, &entry, &decided, old.verdict != Verdict::Unjudged, out)?;
        }
        if released && body == BodyState::Here { self.released(place, None) } else { Ok(()) }
    }
}
