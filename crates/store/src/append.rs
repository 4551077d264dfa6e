//! Taking a verified run in: encode or keep it as it came, seal it, index it.

use std::borrow::Cow;

use tocsin_record::body::{self, Body};
use tocsin_record::run::{Entry, Part, Verified};
use tocsin_record::{LogKey, OrgId, Run, Tip, page};

use crate::error::StoreError;
use crate::keys::Kind;
use crate::kv::Kv;
use crate::outcome::{BodyState, LogNo, Outcome, RecordRef, SEQ_MAX, Spans, Stamped, Verdict};
use crate::pages;
use crate::slots::Slots;
use crate::state::{PageRef, Withdrawal};
use crate::store::{Store, report_subject};
use crate::vault::{self, Form};

/// A run at least this long before compression is a page of its own; a shorter one joins the tail.
const PAGE_MIN: usize = 96 << 10;
/// A page of the tail shorter than this is not compressed: one record hardly shrinks.
const RAW_MAX: usize = 2 << 10;

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

impl<K: Kv, S: Slots> Store<K, S> {
    /// Stages a verified run behind its log's tip, with one outcome for each record.
    ///
    /// `packed` is the run as it came, compressed, if it came so and was not shortened since: it is stored and passed
    /// on as it is where the outcomes allow. A body whose outcome is not [`BodyState::Here`] is not kept. A
    /// report that its org took back before is not kept either; a retraction erases what it takes back.
    /// What is sealed in the run was opened, if it opens here.
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
        let org = self.check_append(log, run, outcomes)?;
        let (outcomes, withdrawn) = self.without_withdrawn(org, run, outcomes)?;
        let arrival = self.next_arrival;
        self.next_arrival += outcomes.len() as u64;
        let spans = spans_of(run.first_seq(), arrival, &outcomes);
        let page = self.stage_page(log, run, packed, &outcomes, &spans)?;
        if outcomes.iter().any(|outcome| matches!(outcome.body, BodyState::Gone(_))) {
            self.leave_keys(log);
        }
        self.index_run(log, org, run, &outcomes, &spans, page);
        for ((entry, outcome), seq) in run.entries().iter().zip(outcomes.iter()).zip(run.first_seq()..) {
            let place = RecordRef { log, seq };
            match (&entry.body, outcome.body) {
                (Part::Here(_), BodyState::Here) => self.withdraw_what_it_names(org, place, entry)?,
                (_, state) if state.is_missing() => drop(self.wanted.insert(place)),
                _ => {}
            }
        }
        Ok(Appended { tip: run.tip(), arrival, withdrawn })
    }

    /// Whether the run follows the log's tip and the outcomes fit it. Returns the author's org.
    fn check_append(&self, log: LogNo, run: &Run, outcomes: &[Outcome]) -> Result<OrgId, StoreError> {
        let state = self.shared.state();
        let state = state.log(log).ok_or(StoreError::Misuse("no such log"))?;
        if state.key != *run.log() {
            return Err(StoreError::Misuse("the run is of another log"));
        }
        let (tip, entries) = (state.tip, run.entries());
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
        Ok(state.org)
    }

    /// Outcomes with the bodies of reports that were taken back before they came marked as gone.
    fn without_withdrawn<'a>(
        &self,
        org: OrgId,
        run: &Run,
        outcomes: &'a [Outcome],
    ) -> Result<(Cow<'a, [Outcome]>, u32), StoreError> {
        let mut outcomes = Cow::Borrowed(outcomes);
        let mut withdrawn = 0;
        if self.shared.state().retractions.is_empty() {
            return Ok((outcomes, 0));
        }
        for (index, entry) in run.entries().iter().enumerate() {
            if let Some(reason) = self.was_withdrawn(org, entry)? {
                outcomes.to_mut()[index].body = BodyState::Gone(reason);
                withdrawn += 1;
            }
        }
        Ok((outcomes, withdrawn))
    }

    /// Seals the run and stages it, as a page of its own or of the tail.
    fn stage_page(
        &mut self,
        log: LogNo,
        run: &Run,
        packed: Option<&[u8]>,
        outcomes: &[Outcome],
        spans: &Spans,
    ) -> Result<PageRef, StoreError> {
        let page = Page::of(run, packed, outcomes);
        let (raw, last) = (page.raw_len(), run.tip().seq);
        let notes = spans.encode(run.first_seq(), last);
        let key = self.shared.keys.at(Kind::Page, log, run.first_seq());
        let tail = raw < PAGE_MIN;
        let tail_slot = self.shared.state().log(log).and_then(|log| log.tail_slot);
        let (slot, nonce) = if tail {
            let slot = match tail_slot {
                Some(slot) => vault::Slot { number: slot, key: self.vault.key(slot)? },
                None => self.vault.take()?,
            };
            let (form, plain) = match &page {
                Page::Raw(raw) if raw.len() < RAW_MAX => (Form::TailRaw, Cow::Borrowed(raw.as_slice())),
                other => (Form::TailPacked, other.packed()),
            };
            let nonce = self.vault.nonce();
            let value = vault::seal(&key, slot.number, &slot.key, form, nonce, &notes, &plain);
            self.staged.batch.put(key, value);
            (slot.number, nonce)
        } else {
            // The tail ends here: its pages are joined at the next commit.
            if tail_slot.is_some() {
                self.staged.pack.insert(log);
            }
            self.seal_new(key, Form::Page, &notes, &pages::at_rest(run, &page.packed()))?
        };
        // A page is at most 8 MiB.
        Ok(PageRef { last, slot, nonce, raw: raw as u32, tail, noted: false })
    }

    /// Enters the run into everything in memory, under one lock.
    fn index_run(
        &mut self,
        log: LogNo,
        org: OrgId,
        run: &Run,
        outcomes: &[Outcome],
        spans: &Spans,
        page: PageRef,
    ) {
        let first = run.first_seq();
        let mut state = self.shared.state_mut();
        for ((entry, outcome), seq) in run.entries().iter().zip(outcomes).zip(first..) {
            let place = RecordRef { log, seq };
            state.load_id(&mut self.load, &entry.id, place);
            if outcome.body == BodyState::Here && entry.body().is_some() {
                self.expiry.insert(org, entry.header.expires, place);
                if let Some(subject) = report_subject(entry) {
                    state.load_report(&mut self.load, org, subject, place);
                }
            }
        }
        state.take(&mut self.load);
        for (from, count, stamped) in spans.within(first, page.last) {
            state.set(RecordRef { log, seq: from }, count, stamped);
        }
        if let Some(state) = state.log_mut(log) {
            state.pages.insert(first, page);
            state.tip = run.tip();
            if page.tail {
                if state.tail_slot.is_none() {
                    state.tail_first = first;
                }
                state.tail_slot = Some(page.slot);
                state.tail_raw += page.raw as usize;
            }
        }
        self.staged.touched.insert(log);
    }

    /// Indexes a body that is here from now on.
    pub(crate) fn index_body(&mut self, org: OrgId, place: RecordRef, entry: &Entry) {
        self.expiry.insert(org, entry.header.expires, place);
        if let Some(subject) = report_subject(entry) {
            self.shared.state_mut().add_report(org, subject, place);
        }
    }

    /// Why a report that is about to be kept is not: its org took it back before. Of one that does not open here that is known by
    /// its id, if the retraction names it.
    pub(crate) fn was_withdrawn(&self, org: OrgId, entry: &Entry) -> Result<Option<u8>, StoreError> {
        if let Some(subject) = report_subject(entry) {
            let found = self.withdrawn(org, entry.header.circle, subject);
            return Ok(found.map(|found| found.reason));
        }
        if is_shut(entry) { self.taken_back(org, entry) } else { Ok(None) }
    }

    /// A retraction erases what it takes back, and a report that a record of the same run took back goes too.
    pub(crate) fn withdraw_what_it_names(
        &mut self,
        org: OrgId,
        place: RecordRef,
        entry: &Entry,
    ) -> Result<(), StoreError> {
        let header = &entry.header;
        if header.kind == body::RETRACTION {
            let Some(Ok(Body::Retraction(retraction))) = Body::of(entry) else {
                return Ok(());
            };
            let Withdrawal { reason, .. } = Withdrawal::by(place, &retraction);
            // What was taken back before is gone, and what came of it since too: nothing is looked for again.
            let is_first = self.withdrawn(org, header.circle, retraction.subject).is_none();
            self.shared.state_mut().add_retraction(org, header.circle, place, &retraction);
            if is_first {
                for version in self.versions_in(org, header.circle, retraction.subject)? {
                    self.try_erase(version, reason)?;
                }
            }
            // What is not here need not be waited for any more.
            for version in &retraction.versions {
                let log = LogKey { author: version.author, epoch: version.epoch, ..header.log() };
                let Some(log) = self.log_no(&log) else { continue };
                let place = RecordRef { log, seq: version.seq };
                let own = self.shared.state().log(log).is_some_and(|log| log.org == org);
                let is_absent = |body| !matches!(body, BodyState::Here | BodyState::Gone(_));
                let absent = self.outcome(place).is_some_and(|old| is_absent(old.outcome.body));
                // By memory alone: each version that is named may be in another page.
                // What is here and does not open is known by its id alone. No such is anything but held.
                let is_unread = |stamped: &Stamped| {
                    let Outcome { verdict, body, .. } = stamped.outcome;
                    (verdict, body) == (Verdict::Held, BodyState::Here)
                };
                if own && self.outcome(place).is_some_and(|stamped| is_unread(&stamped)) {
                    let entry = self.entry(place)?.filter(|entry| entry.id == version.id && is_shut(entry));
                    if entry.is_some() {
                        self.try_erase(place, reason)?;
                    }
                }
                if own && absent && self.shared.state().find_id(&version.id).contains(&place) {
                    self.try_erase(place, reason)?;
                }
            }
        } else if let Some(subject) = report_subject(entry)
            && let Some(found) = self.withdrawn(org, header.circle, subject)
        {
            self.try_erase(place, found.reason)?;
        }
        Ok(())
    }
}

/// Whether a body is here that is sealed and does not open.
fn is_shut(entry: &Entry) -> bool {
    entry.header.suite != 0 && entry.readable().is_none() && matches!(entry.body, Part::Here(_))
}

/// A page as it will be stored.
enum Page<'a> {
    Packed(&'a [u8]),
    Raw(Vec<u8>),
}

impl<'a> Page<'a> {
    /// The run as it came, if it says of its bodies what the outcomes do; else written anew.
    fn of(run: &Run, packed: Option<&'a [u8]>, outcomes: &[Outcome]) -> Self {
        let differs =
            |(entry, outcome): (&Entry, &Outcome)| pages::part_of(outcome.body, &entry.body).is_some();
        if !run.entries().iter().zip(outcomes).any(differs) {
            return match packed {
                Some(packed) if is_tight(packed) => Self::Packed(packed),
                _ => Self::Raw(page::encode(run)),
            };
        }
        let mut run = run.clone();
        for ((_, part), outcome) in run.bodies_mut().zip(outcomes) {
            if let Some(new) = pages::part_of(outcome.body, part) {
                *part = new;
            }
        }
        Self::Raw(page::encode(&run))
    }

    /// Bytes before compression: a packed page states them first.
    fn raw_len(&self) -> usize {
        match self {
            Self::Packed(packed) => packed.first_chunk().map_or(0, |len| u32::from_be_bytes(*len) as usize),
            Self::Raw(raw) => raw.len(),
        }
    }

    fn packed(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Packed(packed) => Cow::Borrowed(packed),
            Self::Raw(raw) => Cow::Owned(page::pack(raw)),
        }
    }
}

/// Whether a packed page is no longer than packing could make it: one that was stretched on the way is packed anew, so that
/// nobody fills the disks of others under an author's name.
fn is_tight(packed: &[u8]) -> bool {
    let full = packed.first_chunk().map_or(0, |full| u32::from_be_bytes(*full) as usize);
    (5..=full + full / 64 + RAW_MAX).contains(&packed.len())
}

/// The spans of a run: neighbours with one outcome are set at once.
fn spans_of(first: u64, arrival: u64, outcomes: &[Outcome]) -> Spans {
    let mut spans = Spans::default();
    let mut offset = 0;
    for group in outcomes.chunk_by(|a, b| a == b) {
        let stamped = Stamped { arrival: arrival + offset, outcome: group[0] };
        spans.set(first + offset, group.len() as u64, stamped);
        offset += group.len() as u64;
    }
    spans
}
