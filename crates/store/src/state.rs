//! What is random lives in memory: logs, page directory, ids, reports, retractions, order. Rebuilt at open.
//!
//! The writer adds to it while it stages, under a short lock; readers see nothing above a log's published height.
//! Everything here is proportional to the records that are stored.

use std::collections::BTreeMap;

use bincode::{Decode, Encode};
use siphasher::sip::SipHasher13;
use tocsin_postings::{Batch, Table};
use tocsin_record::body::report::Subject;
use tocsin_record::body::retraction::Retraction;
use tocsin_record::{CircleId, LogKey, NodeKey, OrgId, RecordId, Tip};

use crate::order::Order;
use crate::outcome::{BodyState, LogNo, Outcome, RecordRef, Spans, Stamped, Verdict};
use crate::pages::Nonce;

/// Whether a log goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub enum Standing {
    /// The next header is taken.
    #[default]
    Open,
    /// Two headers have this number: nothing is taken from there on, what was is disputed.
    Forked {
        /// Number of the lowest two headers that differ.
        at: u64,
    },
    /// The author's org was removed with this as its last record.
    Cut {
        /// Number of the last record that counts.
        at: u64,
        /// The id of that record: with another at its place the log is none of the org's.
        id: RecordId,
    },
}

/// A page in the directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageRef {
    /// Number of its last record.
    pub last: u64,
    /// The slot that its key rests in.
    pub slot: u32,
    /// Names its content.
    pub nonce: Nonce,
    /// Bytes before compression; of a page that was found when the store was opened about so many.
    pub raw: u32,
    /// Whether it shares the tail's slot and will be joined with its neighbours.
    pub tail: bool,
    /// Whether judgements changed since it was written, and rest under a key of their own.
    pub noted: bool,
}

/// One log.
#[derive(Debug)]
pub(crate) struct LogState {
    pub key: LogKey,
    pub org: OrgId,
    /// The record before the first that is kept; seq 0 if all are.
    pub base: Tip,
    pub tip: Tip,
    /// Readers see records up to here.
    pub published: Tip,
    pub standing: Standing,
    pub spans: Spans,
    /// How many records of each sort are in `spans`.
    pub counts: Counts,
    /// By number of the first record.
    pub pages: BTreeMap<u64, PageRef>,
    /// Bodies that came later than their headers, with the slot of each.
    pub bodies: BTreeMap<u64, u32>,
    /// The slot that pages of the tail share.
    pub tail_slot: Option<u32>,
    /// No page before this one is of the tail.
    pub tail_first: u64,
    /// Bytes of the tail before compression.
    pub tail_raw: usize,
    /// The tail was found when the store was opened: its key may open what was written in a past that a crash or a restored
    /// disk took back, bodies that this store never had among it.
    pub tail_found: bool,
}

impl LogState {
    pub fn new(key: LogKey, org: OrgId) -> Self {
        Self {
            key,
            org,
            base: Tip::default(),
            tip: Tip::default(),
            published: Tip::default(),
            standing: Standing::Open,
            spans: Spans::default(),
            counts: Counts::default(),
            pages: BTreeMap::new(),
            bodies: BTreeMap::new(),
            tail_slot: None,
            tail_first: 0,
            tail_raw: 0,
            tail_found: false,
        }
    }

    /// The pages of the tail, with the numbers of their first records.
    pub fn tail(&self) -> impl Iterator<Item = (u64, &PageRef)> {
        let all = self.pages.range(self.tail_first..).map(|(first, page)| (*first, page));
        all.filter(|(_, page)| page.tail)
    }

    /// The page that holds a record: number of its first record, and where it is.
    pub fn page_of(&self, seq: u64) -> Option<(u64, PageRef)> {
        let (&first, page) = self.pages.range(..=seq).next_back()?;
        (seq <= page.last).then_some((first, *page))
    }
}

/// A retraction that is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// Its record.
    pub record: RecordRef,
    /// The reason, as a body that is gone states it.
    pub reason: u8,
}

impl Withdrawal {
    pub(crate) fn by(record: RecordRef, retraction: &Retraction) -> Self {
        // A newer reason that does not fit the byte of a page reads as a newer reason there too.
        Self { record, reason: u8::try_from(retraction.reason).unwrap_or(u8::MAX - 16) }
    }
}

/// How many records there are of each sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All records whose header is here.
    pub records: u64,
    /// Judged: accepted.
    pub accepted: u64,
    /// Judged: held.
    pub held: u64,
    /// Judged: refused.
    pub refused: u64,
    /// Bodies that are here.
    pub bodies: u64,
    /// Bodies that are wanted.
    pub wanted: u64,
    /// Bodies that every asked peer withholds.
    pub withheld: u64,
    /// Bodies that were erased.
    pub gone: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, outcome: &Outcome, count: u64) {
        self.change(outcome, |n| *n += count);
    }

    pub(crate) fn remove(&mut self, outcome: &Outcome, count: u64) {
        self.change(outcome, |n| *n -= count);
    }

    fn change(&mut self, outcome: &Outcome, mut by: impl FnMut(&mut u64)) {
        by(&mut self.records);
        match outcome.verdict {
            Verdict::Accepted => by(&mut self.accepted),
            Verdict::Held => by(&mut self.held),
            Verdict::Refused => by(&mut self.refused),
            Verdict::Unjudged => {}
        }
        match outcome.body {
            BodyState::Here => by(&mut self.bodies),
            BodyState::Wanted => by(&mut self.wanted),
            BodyState::Withheld => by(&mut self.withheld),
            BodyState::Gone(_) => by(&mut self.gone),
            BodyState::NotHeld | BodyState::Refused => {}
        }
    }
}

fn places(table: &Table, key: u64) -> Vec<RecordRef> {
    table.get(key).into_iter().map(RecordRef::unpack).collect()
}

/// Places that are added together.
#[derive(Default)]
pub(crate) struct Load {
    ids: Batch,
    reports: Batch,
}

impl Load {
    pub fn is_full(&self) -> bool {
        self.ids.is_full()
    }
}

/// Everything that readers share with the writer.
#[derive(Debug)]
pub(crate) struct State {
    /// Key of every keyed hash here: nobody outside can aim at a bucket.
    secret: (u64, u64),
    pub logs: Vec<LogState>,
    pub by_key: BTreeMap<LogKey, LogNo>,
    /// Several places may share a key: a hit is verified on read.
    ids: Table,
    reports: Table,
    pub retractions: BTreeMap<(OrgId, CircleId, Subject), Withdrawal>,
    /// The retractions that may name a version, by its id.
    named: Table,
    pub order: Order,
    /// Changes below this number are committed.
    pub published: u64,
    pub counts: Counts,
    pub rules: Vec<String>,
    pub peers: Vec<NodeKey>,
}

impl State {
    pub fn new(secret: (u64, u64)) -> Self {
        Self {
            secret,
            logs: Vec::new(),
            by_key: BTreeMap::new(),
            ids: Table::default(),
            reports: Table::default(),
            retractions: BTreeMap::new(),
            named: Table::default(),
            order: Order::default(),
            published: 1,
            counts: Counts::default(),
            rules: vec![String::new()],
            peers: vec![NodeKey::ZERO],
        }
    }

    fn hash(&self, bytes: &[u8]) -> u64 {
        SipHasher13::new_with_keys(self.secret.0, self.secret.1).hash(bytes)
    }

    fn hash_id(&self, id: &RecordId) -> u64 {
        self.hash(&id.short().to_be_bytes())
    }

    /// Of the whole id: whoever names a version may write what it likes behind the beginning of another's.
    fn hash_named(&self, id: &RecordId) -> u64 {
        self.hash(&id.0)
    }

    fn hash_report(&self, org: OrgId, subject: Subject) -> u64 {
        let mut both = [0; 48];
        both[..32].copy_from_slice(&org.0);
        both[32..].copy_from_slice(&subject.0);
        self.hash(&both)
    }

    /// Enters a retraction: the first of a report stands.
    pub fn add_retraction(
        &mut self,
        org: OrgId,
        circle: CircleId,
        place: RecordRef,
        retraction: &Retraction,
    ) {
        let withdrawal = Withdrawal::by(place, retraction);
        self.retractions.entry((org, circle, retraction.subject)).or_insert(withdrawal);
        for version in &retraction.versions {
            let key = self.hash_named(&version.id);
            self.named.insert(key, place.pack());
        }
    }

    /// Places of retractions that may name a version: to be verified.
    pub fn find_named(&self, id: &RecordId) -> Vec<RecordRef> {
        if self.named.is_empty() { Vec::new() } else { places(&self.named, self.hash_named(id)) }
    }

    pub fn log(&self, log: LogNo) -> Option<&LogState> {
        self.logs.get(log.0 as usize)
    }

    pub fn log_mut(&mut self, log: LogNo) -> Option<&mut LogState> {
        self.logs.get_mut(log.0 as usize)
    }

    pub fn remove_id(&mut self, id: &RecordId, place: RecordRef) {
        let key = self.hash_id(id);
        self.ids.remove(key, place.pack());
    }

    /// Places that may hold the record: to be verified.
    pub fn find_id(&self, id: &RecordId) -> Vec<RecordRef> {
        places(&self.ids, self.hash_id(id))
    }

    pub fn add_report(&mut self, org: OrgId, subject: Subject, place: RecordRef) {
        let key = self.hash_report(org, subject);
        self.reports.insert(key, place.pack());
    }

    pub fn remove_report(&mut self, org: OrgId, subject: Subject, place: RecordRef) {
        let key = self.hash_report(org, subject);
        self.reports.remove(key, place.pack());
    }

    /// Places that may hold versions of a report, in any circle: to be verified.
    pub fn find_report(&self, org: OrgId, subject: Subject) -> Vec<RecordRef> {
        places(&self.reports, self.hash_report(org, subject))
    }

    /// As [`Self::find_report`], but at most so many of them, falling from the packed place `last` on.
    pub fn find_report_up_to(&self, org: OrgId, subject: Subject, last: u64, limit: usize) -> Vec<RecordRef> {
        let slice = self.reports.up_to(self.hash_report(org, subject), last, limit);
        slice.into_iter().map(RecordRef::unpack).collect()
    }

    /// Whether any of the places that [`Self::find_report`] gives is as wanted. Looks at none after the first that is.
    pub fn any_of_report(
        &self,
        org: OrgId,
        subject: Subject,
        mut wanted: impl FnMut(RecordRef) -> bool,
    ) -> bool {
        self.reports.any(self.hash_report(org, subject), |place| wanted(RecordRef::unpack(place)))
    }

    /// The record lies there, from the next [`Self::take`] on.
    pub fn load_id(&self, batch: &mut Load, id: &RecordId, place: RecordRef) {
        batch.ids.push(self.hash_id(id), place.pack());
    }

    /// As [`Self::add_report`], with the next [`Self::take`].
    pub fn load_report(&self, batch: &mut Load, org: OrgId, subject: Subject, place: RecordRef) {
        batch.reports.push(self.hash_report(org, subject), place.pack());
    }

    /// Adds what was gathered.
    pub fn take(&mut self, load: &mut Load) {
        self.ids.take(&mut load.ids);
        self.reports.take(&mut load.reports);
    }

    /// Sets an outcome for `count` records, and counts them.
    pub fn set(&mut self, first: RecordRef, count: u64, stamped: Stamped) {
        let Some(LogState { spans, counts, .. }) = self.logs.get_mut(first.log.0 as usize) else {
            return;
        };
        for (_, count, old) in spans.within(first.seq, first.seq + count - 1) {
            self.counts.remove(&old.outcome, count);
            counts.remove(&old.outcome, count);
            self.order.remove(old.arrival, count);
        }
        spans.set(first.seq, count, stamped);
        self.counts.add(&stamped.outcome, count);
        counts.add(&stamped.outcome, count);
        self.order.add(stamped.arrival, first, count);
    }
}
