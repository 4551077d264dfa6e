//! The writing side: one thread stages changes, and one `commit` makes them durable and visible together.
//!
//! ```text
//! append, set_body, judge, erase, put_meta ...   stage; the caller sees its own changes, readers do not
//! commit                                         one batch, one flush; then readers see it, and only then may it leave
//! ```
//!
//! A write that fails poisons the store: every later call fails (I10).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bincode::{Decode, Encode};
use bytes::Bytes;
use tocsin_record::body::report::Subject;
use tocsin_record::body::{self, Body};
use tocsin_record::run::{Entry, Part, Verified, body_fits};
use tocsin_record::{CircleId, Header, LogKey, NodeKey, OrgId, RecordId, Run, Tip, codec, page};

use crate::error::StoreError;
use crate::keys::{Keys, Kind};
use crate::kv::{Batch, Fault, Kv};
use crate::outcome::{BodyState, LOGS_MAX, LogNo, Outcome, RecordRef, SEQ_MAX, Stamped};
use crate::pages::{self, Cache, Opened};
use crate::reader::Reader;
use crate::slots::Slots;
use crate::state::{LogState, PageRef, Standing, State, Withdrawal};
use crate::vault::{self, Form, Vault};

/// A run at least this long before compression is a page of its own; a shorter one joins the tail.
pub(crate) const PAGE_MIN: usize = 96 << 10;
/// A tail becomes pages of about this many bytes before compression: 62 KB stored, the best rate measured.
pub(crate) const PAGE_TARGET: usize = 192 << 10;
/// A single record shorter than this is not compressed in the tail.
const RAW_MAX: usize = 2 << 10;
/// Longest name of a meta value, in bytes.
pub const META_NAME_MAX: usize = 200;

/// What readers and the writer share.
#[derive(Debug)]
pub(crate) struct Shared<K, S> {
    pub kv: Arc<K>,
    pub slots: Arc<S>,
    pub keys: Keys,
    pub state: RwLock<State>,
    pub cache: Cache,
}

impl<K: Kv, S: Slots> Shared<K, S> {
    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A log as it rests in the sorted map.
#[derive(Encode, Decode)]
pub(crate) struct LogRow {
    pub author: NodeKey,
    pub circle: CircleId,
    pub epoch: u64,
    pub org: OrgId,
    pub base: Tip,
    pub standing: Standing,
}

/// What is staged and not committed.
#[derive(Default)]
pub(crate) struct Staged {
    pub batch: Batch,
    /// Outcomes of records that were there before, or were changed after they were appended.
    pub changes: BTreeMap<RecordRef, Stamped>,
    /// Pages whose bodies are to be settled with their outcomes.
    pub rewrite: BTreeSet<(LogNo, u64)>,
    /// Pages whose judgements are to be written.
    pub notes: BTreeSet<(LogNo, u64)>,
    /// Logs whose tail is to be packed, whatever its size.
    pub pack: BTreeSet<LogNo>,
    pub drops: BTreeMap<LogNo, u64>,
    pub touched: BTreeSet<LogNo>,
    pub erased: Vec<RecordRef>,
    /// Keys are to be destroyed before the commit returns.
    pub destroy: bool,
}

/// What a commit made durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The new ends of logs that grew.
    pub tips: Vec<(LogNo, Tip)>,
    /// Records whose bodies are gone: whoever indexed them forgets them now.
    pub erased: Vec<RecordRef>,
}

/// What an append staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The log's new tip.
    pub tip: Tip,
    /// Number of the first change; the records' numbers follow by one.
    pub arrival: u64,
    /// Reports among them that were taken back before they came: their bodies are not kept.
    pub withdrawn: u32,
}

/// The store, owned by one thread. See the module's documentation.
pub struct Store<K, S> {
    pub(crate) shared: Arc<Shared<K, S>>,
    pub(crate) vault: Vault<S>,
    pub(crate) staged: Staged,
    pub(crate) next_arrival: u64,
    pub(crate) wanted: BTreeSet<RecordRef>,
    pub(crate) expiry: BTreeSet<(u64, RecordRef)>,
    pub(crate) poisoned: bool,
}

impl<K: Kv, S: Slots> Store<K, S> {
    /// A handle for readers on any thread.
    #[must_use]
    pub fn reader(&self) -> Reader<K, S> {
        Reader::new(Arc::clone(&self.shared))
    }

    pub(crate) fn alive(&self) -> Result<(), StoreError> {
        if self.poisoned {
            Err(StoreError::Poisoned)
        } else {
            Ok(())
        }
    }

    /// Remembers that a write failed.
    pub(crate) fn watch<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result
            && !matches!(error, StoreError::Misuse(_))
        {
            self.poisoned = true;
        }
        result
    }

    // ---- logs

    /// The log's number, if it is known. Sees staged logs.
    #[must_use]
    pub fn log_no(&self, key: &LogKey) -> Option<LogNo> {
        self.shared.state().by_key.get(key).copied()
    }

    /// The log's number, given now if it is new. `org` is the org that certified the author.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] when there are too many logs.
    pub fn open_log(&mut self, key: &LogKey, org: OrgId) -> Result<LogNo, StoreError> {
        self.alive()?;
        if let Some(no) = self.log_no(key) {
            return Ok(no);
        }
        let no = {
            let mut state = self.shared.state_mut();
            let no = u32::try_from(state.logs.len()).ok().filter(|&no| no < LOGS_MAX);
            let no = LogNo(no.ok_or(StoreError::Misuse("there are too many logs"))?);
            state.logs.push(LogState::new(*key, org));
            state.by_key.insert(*key, no);
            no
        };
        self.stage_log(no);
        Ok(no)
    }

    /// Begins an empty log above its first record: what is before `base` is not kept by this node.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] if the log holds anything.
    pub fn start_at(&mut self, log: LogNo, base: Tip) -> Result<(), StoreError> {
        self.alive()?;
        {
            let mut state = self.shared.state_mut();
            let state = state.log_mut(log).ok_or(StoreError::Misuse("no such log"))?;
            if !state.pages.is_empty() || base.seq >= SEQ_MAX {
                return Err(StoreError::Misuse("only an empty log can be given another base"));
            }
            state.base = base;
            state.tip = base;
        }
        self.stage_log(log);
        Ok(())
    }

    /// Says that a log is forked or cut, or open again.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] for an unknown log.
    pub fn set_standing(&mut self, log: LogNo, standing: Standing) -> Result<(), StoreError> {
        self.alive()?;
        self.shared
            .state_mut()
            .log_mut(log)
            .ok_or(StoreError::Misuse("no such log"))?
            .standing = standing;
        self.stage_log(log);
        Ok(())
    }

    /// Keeps the proof that a log forked, and its standing.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] for an unknown log.
    pub fn put_fork_proof(&mut self, log: LogNo, at: u64, proof: Bytes) -> Result<(), StoreError> {
        self.set_standing(log, Standing::Forked { at })?;
        let key = self.shared.keys.log(Kind::Fork, log);
        self.staged.batch.put(key, proof);
        Ok(())
    }

    /// The proof that a log forked.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn fork_proof(&self, log: LogNo) -> Result<Option<Bytes>, StoreError> {
        self.staged_get(&self.shared.keys.log(Kind::Fork, log))
    }

    pub(crate) fn stage_log(&mut self, log: LogNo) {
        let row = {
            let state = self.shared.state();
            let Some(state) = state.log(log) else { return };
            LogRow {
                author: state.key.author,
                circle: state.key.circle,
                epoch: state.key.epoch,
                org: state.org,
                base: state.base,
                standing: state.standing,
            }
        };
        let key = self.shared.keys.log(Kind::Log, log);
        self.staged.batch.put(key, codec::encode(&row).into());
        self.staged.touched.insert(log);
    }

    /// The log's end, staged records included.
    #[must_use]
    pub fn tip(&self, log: LogNo) -> Option<Tip> {
        self.shared.state().log(log).map(|log| log.tip)
    }

    /// Whether the log goes on, staged changes included.
    #[must_use]
    pub fn standing(&self, log: LogNo) -> Option<Standing> {
        self.shared.state().log(log).map(|log| log.standing)
    }

    // ---- records

    /// Stages a verified run behind its log's tip, with one outcome for each record.
    ///
    /// `packed` is the run as it came, compressed, if it came so and was not shortened since: it is stored and passed
    /// on as it is where the outcomes allow. A body whose outcome is not [`BodyState::Here`] is not kept. A
    /// report that its org took back before is not kept either; a retraction erases what it takes back.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] if the run does not follow the tip, or the outcomes do not fit it; else a disk fault.
    pub fn append(
        &mut self,
        log: LogNo,
        run: &Verified,
        packed: Option<&[u8]>,
        outcomes: &[Outcome],
    ) -> Result<Appended, StoreError> {
        self.alive()?;
        let appended = self.try_append(log, run, packed, outcomes);
        self.watch(appended)
    }

    fn try_append(
        &mut self,
        log: LogNo,
        run: &Verified,
        packed: Option<&[u8]>,
        outcomes: &[Outcome],
    ) -> Result<Appended, StoreError> {
        let (org, tip, tail_slot) = {
            let state = self.shared.state();
            let state = state.log(log).ok_or(StoreError::Misuse("no such log"))?;
            if state.key != *run.log() {
                return Err(StoreError::Misuse("the run is of another log"));
            }
            (state.org, state.tip, state.tail_slot)
        };
        let entries = run.entries();
        if run.first_seq() != tip.seq + 1 || run.prev() != tip.id || entries[0].header.time < tip.time {
            return Err(StoreError::Misuse("the run does not follow the log's tip"));
        }
        if run.tip().seq > SEQ_MAX {
            return Err(StoreError::Misuse("the log is longer than this store can number"));
        }
        if outcomes.len() != entries.len() {
            return Err(StoreError::Misuse("every record needs one outcome"));
        }
        let here =
            |(entry, outcome): (&Entry, &Outcome)| outcome.body != BodyState::Here || entry.body().is_some();
        if !entries.iter().zip(outcomes).all(here) {
            return Err(StoreError::Misuse("a body that is not in the run cannot be here"));
        }
        let (outcomes, withdrawn) = self.without_withdrawn(org, run, outcomes);

        // What the page says of bodies follows from the outcomes.
        let settled = entries
            .iter()
            .zip(&outcomes)
            .all(|(e, o)| pages::part_of(o.body, &e.body).is_none());
        let page = match packed {
            Some(packed) if settled && packed.len() > 4 => Page::Packed(packed),
            _ if settled => Page::Raw(page::encode(run)),
            _ => {
                let mut run = Run::clone(run);
                for ((_, part), outcome) in run.bodies_mut().zip(&outcomes) {
                    if let Some(new) = pages::part_of(outcome.body, part) {
                        *part = new;
                    }
                }
                Page::Raw(page::encode(&run))
            }
        };
        let raw = page.raw_len();
        let first = RecordRef {
            log,
            seq: run.first_seq(),
        };
        let arrival = self.next_arrival;
        self.next_arrival += entries.len() as u64;
        let spans = spans_of(first.seq, arrival, &outcomes);
        let notes = spans.encode(first.seq, run.tip().seq);
        let key = self.shared.keys.at(Kind::Page, log, first.seq);
        let tail = raw < PAGE_MIN;
        let slot = if tail {
            let slot = match tail_slot {
                Some(slot) => vault::Slot {
                    number: slot,
                    key: self.vault.key(slot)?,
                },
                None => self.vault.take()?,
            };
            let (form, plain) = match &page {
                Page::Packed(packed) => (Form::TailPacked, std::borrow::Cow::Borrowed(*packed)),
                Page::Raw(raw) if raw.len() < RAW_MAX => (Form::TailRaw, raw.as_slice().into()),
                Page::Raw(raw) => (Form::TailPacked, page::pack(raw).into()),
            };
            let nonce = self.vault.nonce();
            let value = vault::seal(&key, slot.number, &slot.key, form, nonce, &notes, &plain);
            self.staged.batch.put(key, value);
            slot.number
        } else {
            let plain = match &page {
                Page::Packed(packed) => std::borrow::Cow::Borrowed(*packed),
                Page::Raw(raw) => page::pack(raw).into(),
            };
            // The tail ends here: its pages are joined at the next commit.
            if tail_slot.is_some() {
                self.staged.pack.insert(log);
            }
            self.seal_new(key, Form::Page, &notes, &plain)?
        };
        {
            let mut state = self.shared.state_mut();
            for (entry, seq) in entries.iter().zip(first.seq..) {
                state.add_id(&entry.id, RecordRef { log, seq });
            }
            for (from, count, stamped) in spans.within(first.seq, run.tip().seq) {
                state.set(RecordRef { log, seq: from }, count, stamped);
            }
            if let Some(state) = state.log_mut(log) {
                let page = PageRef {
                    last: run.tip().seq,
                    slot,
                    raw: raw as u32,
                    tail,
                    noted: false,
                };
                state.pages.insert(first.seq, page);
                state.tip = run.tip();
                if tail {
                    if state.tail_slot.is_none() {
                        state.tail_first = first.seq;
                    }
                    state.tail_slot = Some(slot);
                    state.tail_raw += raw;
                }
            }
        }
        self.staged.touched.insert(log);
        for ((entry, outcome), seq) in entries.iter().zip(&outcomes).zip(first.seq..) {
            let place = RecordRef { log, seq };
            match (&entry.body, outcome.body) {
                (Part::Here(body), BodyState::Here) => self.noticed(org, place, &entry.header, body)?,
                (_, BodyState::Wanted) => drop(self.wanted.insert(place)),
                _ => {}
            }
        }
        Ok(Appended {
            tip: run.tip(),
            arrival,
            withdrawn,
        })
    }

    /// Outcomes with the bodies of reports that were taken back before they came marked as gone.
    fn without_withdrawn(&self, org: OrgId, run: &Run, outcomes: &[Outcome]) -> (Vec<Outcome>, u32) {
        let mut outcomes = outcomes.to_vec();
        let mut withdrawn = 0;
        let state = self.shared.state();
        if state.retractions.is_empty() {
            return (outcomes, 0);
        }
        for (entry, outcome) in run.entries().iter().zip(&mut outcomes) {
            if let Some(body) = entry.body()
                && let Some(subject) = report_subject(&entry.header, body)
                && let Some(found) = state.retractions.get(&(org, entry.header.circle, subject))
            {
                outcome.body = BodyState::Gone(found.reason);
                withdrawn += 1;
            }
        }
        (outcomes, withdrawn)
    }

    /// Indexes a body that is here from now on, and does what it asks for.
    fn noticed(
        &mut self,
        org: OrgId,
        place: RecordRef,
        header: &Header,
        body: &Bytes,
    ) -> Result<(), StoreError> {
        if header.expires != 0 {
            self.expiry.insert((header.expires, place));
        }
        if let Some(subject) = report_subject(header, body) {
            self.shared.state_mut().add_report(org, subject, place);
            // Taken back by a record of the same run.
            if let Some(found) = self.withdrawn(org, header.circle, subject) {
                self.try_erase(place, found.reason)?;
            }
        } else if header.kind == body::RETRACTION
            && let Ok(Body::Retraction(retraction)) = Body::read(header, body)
        {
            let reason = u8::try_from(retraction.reason).unwrap_or(u8::MAX - 16);
            let withdrawal = Withdrawal {
                record: place,
                reason,
            };
            let id = (org, header.circle, retraction.subject);
            // The first stands: a report is taken back once.
            self.shared
                .state_mut()
                .retractions
                .entry(id)
                .or_insert(withdrawal);
            for version in self.versions_in(org, header.circle, retraction.subject)? {
                self.try_erase(version, reason)?;
            }
        }
        Ok(())
    }

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
            return Err(StoreError::Misuse(
                "a body is set once, and not after it was erased",
            ));
        }
        let (run, offset) = self
            .page_with(place)?
            .ok_or(StoreError::Misuse("no such record"))?;
        let header = &run.entries()[offset].header;
        if !body_fits(header.body_len, &header.body_hash, bytes) {
            return Err(StoreError::Misuse(
                "the body is not the one that the header names",
            ));
        }
        let (org, withdrawn) = {
            let state = self.shared.state();
            let org = state.log(place.log).map_or(OrgId::ZERO, |log| log.org);
            let subject = report_subject(header, bytes);
            let found = subject.and_then(|subject| state.retractions.get(&(org, header.circle, subject)));
            (org, found.map(|found| found.reason))
        };
        if let Some(reason) = withdrawn {
            self.change(
                place,
                Outcome {
                    body: BodyState::Gone(reason),
                    ..outcome
                },
            );
            self.settle_page(place);
            return Ok(false);
        }
        let key = self.shared.keys.at(Kind::Body, place.log, place.seq);
        let slot = self.seal_new(key, Form::Body, &[], bytes)?;
        if let Some(log) = self.shared.state_mut().log_mut(place.log) {
            log.bodies.insert(place.seq, slot);
        }
        self.change(place, outcome);
        self.noticed(org, place, header, bytes)?;
        Ok(true)
    }

    /// Changes what became of a record: a new judgement, or a body that turned out to be withheld. A body that is here
    /// and is not to be is dropped; one that is not here cannot become so but by [`Self::set_body`].
    ///
    /// # Errors
    /// [`StoreError::Misuse`] if the record is unknown, or the body would appear or be erased; else a disk fault.
    pub fn set_outcome(&mut self, place: RecordRef, outcome: Outcome) -> Result<(), StoreError> {
        self.alive()?;
        let old = self
            .outcome(place)
            .ok_or(StoreError::Misuse("no such record"))?
            .outcome;
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

    fn try_erase(&mut self, place: RecordRef, reason: u8) -> Result<bool, StoreError> {
        let old = self
            .outcome(place)
            .ok_or(StoreError::Misuse("no such record"))?
            .outcome;
        if matches!(old.body, BodyState::Gone(_)) {
            return Ok(false);
        }
        if old.body == BodyState::Here {
            self.drop_body(place)?;
            self.staged.destroy = true;
        }
        self.change(
            place,
            Outcome {
                body: BodyState::Gone(reason),
                ..old
            },
        );
        self.settle_page(place);
        self.staged.erased.push(place);
        Ok(true)
    }

    /// Erases up to `limit` bodies whose records have ended at `now` (ms). Returns how many.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn expire(&mut self, now: u64, limit: usize) -> Result<usize, StoreError> {
        self.alive()?;
        let mut count = 0;
        while count < limit {
            let Some(&(at, place)) = self.expiry.first() else {
                break;
            };
            if at > now {
                break;
            }
            self.expiry.pop_first();
            let here = self
                .outcome(place)
                .is_some_and(|old| old.outcome.body == BodyState::Here);
            if here && self.erase(place, 0)? {
                count += 1;
            }
        }
        Ok(count)
    }

    /// When the next record ends, in ms.
    #[must_use]
    pub fn next_expiry(&self) -> Option<u64> {
        self.expiry.first().map(|entry| entry.0)
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
        if let Some((org, header, body)) = self.org_and_body(place)?
            && let Some(subject) = report_subject(&header, &body)
        {
            self.shared.state_mut().remove_report(org, subject, place);
        }
        let slot = {
            let mut state = self.shared.state_mut();
            state
                .log_mut(place.log)
                .and_then(|log| log.bodies.remove(&place.seq))
        };
        if let Some(slot) = slot {
            self.staged
                .batch
                .remove(self.shared.keys.at(Kind::Body, place.log, place.seq));
            self.vault.leave(slot);
        }
        self.settle_page(place);
        Ok(())
    }

    fn org_and_body(&self, place: RecordRef) -> Result<Option<(OrgId, Header, Bytes)>, StoreError> {
        let Some((run, offset)) = self.page_with(place)? else {
            return Ok(None);
        };
        let entry = &run.entries()[offset];
        let body = match entry.body() {
            Some(body) => Some(body.clone()),
            None => self.late_body(place)?,
        };
        let org = self
            .shared
            .state()
            .log(place.log)
            .map_or(OrgId::ZERO, |log| log.org);
        Ok(body.map(|body| (org, entry.header.clone(), body)))
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
        if outcome.body == BodyState::Wanted {
            self.wanted.insert(place);
        } else {
            self.wanted.remove(&place);
        }
        self.staged.changes.insert(place, Stamped { arrival, outcome });
        if let Some((first, _)) = self.page_ref(place) {
            self.staged.notes.insert((place.log, first));
        }
    }

    /// Seals a value under a new slot and stages it. Returns the slot.
    pub(crate) fn seal_new(
        &mut self,
        key: Vec<u8>,
        form: Form,
        notes: &[u8],
        plain: &[u8],
    ) -> Result<u32, StoreError> {
        let slot = self.vault.take()?;
        let nonce = self.vault.nonce();
        let value = vault::seal(&key, slot.number, &slot.key, form, nonce, notes, plain);
        self.staged.batch.put(key, value);
        Ok(slot.number)
    }

    // ---- reading what is staged

    pub(crate) fn staged_get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        match self.staged.batch.staged(key) {
            Some(staged) => Ok(staged.clone()),
            None => Ok(self.shared.kv.get(key)?),
        }
    }

    /// What became of a record, staged changes included.
    #[must_use]
    pub fn outcome(&self, place: RecordRef) -> Option<Stamped> {
        if let Some(stamped) = self.staged.changes.get(&place) {
            return Some(*stamped);
        }
        self.shared.state().log(place.log)?.spans.get(place.seq)
    }

    /// The record with this id, staged ones included.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn find(&self, id: &RecordId) -> Result<Option<RecordRef>, StoreError> {
        let places = self.shared.state().find_id(id);
        for place in places {
            if self.entry(place)?.is_some_and(|entry| entry.id == *id) {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// A record, staged changes included: its body is here exactly if its outcome says so.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn entry(&self, place: RecordRef) -> Result<Option<Entry>, StoreError> {
        let Some((run, offset)) = self.page_with(place)? else {
            return Ok(None);
        };
        let mut entry = run.entries()[offset].clone();
        match self.outcome(place).map(|stamped| stamped.outcome.body) {
            Some(BodyState::Here) => {
                if entry.body().is_none()
                    && let Some(body) = self.late_body(place)?
                {
                    entry.body = Part::Here(body);
                }
            }
            Some(BodyState::Gone(reason)) => entry.body = Part::Gone(reason),
            _ => entry.body = Part::NotHeld,
        }
        Ok(Some(entry))
    }

    /// The page that holds a record, and the record's place in it.
    pub(crate) fn page_with(&self, place: RecordRef) -> Result<Option<(Arc<Run>, usize)>, StoreError> {
        let found = {
            let state = self.shared.state();
            state
                .log(place.log)
                .and_then(|log| Some((log.key, log.page_of(place.seq)?.0)))
        };
        let Some((log_key, first)) = found else {
            return Ok(None);
        };
        let loaded = self.load_page(log_key, place.log, first)?;
        let offset = usize::try_from(place.seq - first).unwrap_or(usize::MAX);
        Ok((offset < loaded.run.entries().len()).then_some((loaded.run, offset)))
    }

    pub(crate) fn load_page(
        &self,
        log_key: LogKey,
        log: LogNo,
        first: u64,
    ) -> Result<pages::Loaded, StoreError> {
        let key = self.shared.keys.at(Kind::Page, log, first);
        let value = self.staged_get(&key)?.ok_or_else(|| missing(log, first))?;
        let shared = &self.shared;
        match pages::load(
            shared.slots.as_ref(),
            Some(&shared.cache),
            log_key,
            (log, first),
            &key,
            &value,
        )? {
            Opened::Is(loaded) => Ok(loaded),
            Opened::Locked => Err(missing(log, first)),
        }
    }

    /// A body that rests apart from its page.
    pub(crate) fn late_body(&self, place: RecordRef) -> Result<Option<Bytes>, StoreError> {
        let key = self.shared.keys.at(Kind::Body, place.log, place.seq);
        let Some(value) = self.staged_get(&key)? else {
            return Ok(None);
        };
        let opened = vault::unseal(self.shared.slots.as_ref(), &key, &vault::parse(&value)?)?;
        Ok(Some(opened.ok_or_else(|| missing(place.log, place.seq))?.into()))
    }

    fn versions_in(
        &self,
        org: OrgId,
        circle: CircleId,
        subject: Subject,
    ) -> Result<Vec<RecordRef>, StoreError> {
        let places = self.shared.state().find_report(org, subject);
        let mut versions = Vec::new();
        for place in places {
            let Some(entry) = self.entry(place)? else { continue };
            let names = |body: &Bytes| report_subject(&entry.header, body) == Some(subject);
            if entry.header.circle == circle && entry.body().is_some_and(names) {
                versions.push(place);
            }
        }
        Ok(versions)
    }

    /// Whether a report was taken back in this circle, for ever. Sees staged retractions.
    #[must_use]
    pub fn withdrawn(&self, org: OrgId, circle: CircleId, subject: Subject) -> Option<Withdrawal> {
        self.shared
            .state()
            .retractions
            .get(&(org, circle, subject))
            .copied()
    }

    /// Up to `limit` records whose body is wanted, from `from` on in order of log and number. Sees staged changes.
    #[must_use]
    pub fn wanted(&self, from: RecordRef, limit: usize) -> Vec<RecordRef> {
        self.wanted.range(from..).take(limit).copied().collect()
    }

    /// How many bodies are wanted.
    #[must_use]
    pub fn wanted_count(&self) -> usize {
        self.wanted.len()
    }

    // ---- names and named values

    /// A small number for a rule's name, 0 once 65,535 names were given.
    ///
    /// # Errors
    /// After a failed write.
    pub fn intern_rule(&mut self, name: &str) -> Result<u16, StoreError> {
        self.alive()?;
        let mut state = self.shared.state_mut();
        if let Some(found) = state.rules.iter().position(|known| known == name) {
            return Ok(found as u16);
        }
        let Ok(number) = u16::try_from(state.rules.len()) else {
            return Ok(0);
        };
        let name: String = name.chars().take(META_NAME_MAX).collect();
        self.staged.batch.put(
            self.shared.keys.interned(Kind::Rule, number),
            Bytes::from(name.clone().into_bytes()),
        );
        state.rules.push(name);
        Ok(number)
    }

    /// A small number for a peer, 0 for this node (the zero key) and once 65,535 were given.
    ///
    /// # Errors
    /// After a failed write.
    pub fn intern_peer(&mut self, peer: &NodeKey) -> Result<u16, StoreError> {
        self.alive()?;
        let mut state = self.shared.state_mut();
        if let Some(found) = state.peers.iter().position(|known| known == peer) {
            return Ok(found as u16);
        }
        let Ok(number) = u16::try_from(state.peers.len()) else {
            return Ok(0);
        };
        self.staged.batch.put(
            self.shared.keys.interned(Kind::Peer, number),
            Bytes::copy_from_slice(&peer.0),
        );
        state.peers.push(*peer);
        Ok(number)
    }

    /// Stages a named value: documents, the alive stamp, the state of other parts of the node. In clear on the disk.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] if the name is too long.
    pub fn put_meta(&mut self, name: &str, value: Bytes) -> Result<(), StoreError> {
        self.alive()?;
        if name.len() > META_NAME_MAX || value.len() > crate::kv::MAX_VALUE {
            return Err(StoreError::Misuse("a named value is too long"));
        }
        self.staged.batch.put(self.shared.keys.meta(name), value);
        Ok(())
    }

    /// Stages the removal of a named value.
    ///
    /// # Errors
    /// After a failed write.
    pub fn remove_meta(&mut self, name: &str) -> Result<(), StoreError> {
        self.alive()?;
        self.staged.batch.remove(self.shared.keys.meta(name));
        Ok(())
    }

    /// A named value, staged changes included.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn get_meta(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        self.staged_get(&self.shared.keys.meta(name))
    }
}

/// A page as it will be stored.
enum Page<'a> {
    Packed(&'a [u8]),
    Raw(Vec<u8>),
}

impl Page<'_> {
    /// Bytes before compression: a packed page states them first.
    fn raw_len(&self) -> usize {
        match self {
            Self::Packed(packed) => packed
                .first_chunk()
                .map_or(0, |len| u32::from_be_bytes(*len) as usize),
            Self::Raw(raw) => raw.len(),
        }
    }
}

/// The spans of a run: neighbours with one outcome are set at once.
fn spans_of(first: u64, arrival: u64, outcomes: &[Outcome]) -> crate::outcome::Spans {
    let mut spans = crate::outcome::Spans::default();
    let mut offset = 0;
    for group in outcomes.chunk_by(|a, b| a == b) {
        let stamped = Stamped {
            arrival: arrival + offset,
            outcome: group[0],
        };
        spans.set(first + offset, group.len() as u64, stamped);
        offset += group.len() as u64;
    }
    spans
}

/// The subject of a report, which stands behind the salt at the start of its body.
pub(crate) fn report_subject(header: &Header, body: &[u8]) -> Option<Subject> {
    let (_salt, rest) = body.split_first_chunk::<16>()?;
    let subject = rest.first_chunk::<16>()?;
    (header.kind == body::REPORT && header.suite == 0).then_some(Subject(*subject))
}

pub(crate) fn missing(log: LogNo, seq: u64) -> StoreError {
    Fault::Damaged(format!(
        "log {} at {seq}: the page or body is missing or does not open",
        log.0
    ))
    .into()
}
