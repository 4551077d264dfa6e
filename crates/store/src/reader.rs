//! The reading side: a handle for any thread, bounded by what is committed, that never waits for the writer's disk.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use tocsin_record::header::body_hash;
use tocsin_record::run::{Entry, Part};
use tocsin_record::{BodyHash, CircleId, LogKey, MeshId, NodeKey, OrgId, RecordId, Run, Tip};

use crate::error::StoreError;
use crate::keys::Kind;
use crate::kv::Kv;
use crate::outcome::{BodyState, LogNo, Outcome, RecordRef, Stamped, Verdict};
use crate::pages::{self, Known, Nonce, Opened};
use crate::sealed::{self, KeyRecords, WRAP, Wrap};
use crate::slots::{SLOT_LEN, Slots};
use crate::state::{Counts, LogState, PageRef, Standing};
use crate::store::{Shared, missing};
use crate::vault;

/// How often a read is begun again because the page was replaced under it.
pub(crate) const TRIES: usize = 100;

/// A handle for reading. Cheap to clone.
#[derive(Debug)]
pub struct Reader<K, S> {
    pub(crate) shared: Arc<Shared<K, S>>,
}

impl<K, S> Clone for Reader<K, S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

/// A log as readers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogInfo {
    /// Its number in this store.
    pub no: LogNo,
    /// Circle, author and epoch, which name it between nodes.
    pub key: LogKey,
    /// The org of its author.
    pub org: OrgId,
    /// The record before the first that is kept.
    pub base: Tip,
    /// The last committed record.
    pub tip: Tip,
    /// Whether it goes on.
    pub standing: Standing,
    /// How many records of each sort it has, staged ones included.
    pub counts: Counts,
}

/// A record as readers see it.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Where it is.
    pub place: RecordRef,
    /// The org that wrote it.
    pub org: OrgId,
    /// Header, id and body; the body is here exactly if the outcome says so, and opened if it can be.
    pub entry: Entry,
    /// What became of it, and its number in the order of changes.
    pub stamped: Stamped,
    /// Whether it stands at or behind the place where its log forked.
    pub disputed: bool,
}

/// What became of one org's records here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Accepted records.
    pub accepted: u64,
    /// Held ones.
    pub held: u64,
    /// Refused ones.
    pub refused: u64,
    /// Reports that it took back, in each circle.
    pub withdrawn: u64,
    /// Logs in which it said two different things.
    pub forks: u64,
}

/// Neighbours in a log that came within a second of each other, with the same outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbours {
    /// The first of them.
    pub first: RecordRef,
    /// How many they are with the first, at least 1.
    pub count: u64,
    /// What became of the first; the others have the same outcome.
    pub stamped: Stamped,
}

impl<K: Kv, S: Slots> Reader<K, S> {
    pub(crate) fn new(shared: Arc<Shared<K, S>>) -> Self {
        Self { shared }
    }

    // ---- logs

    /// All logs, in order of their numbers.
    #[must_use]
    pub fn logs(&self) -> Vec<LogInfo> {
        let state = self.shared.state();
        (0..).zip(&state.logs).map(|(no, log)| info(LogNo(no), log)).collect()
    }

    /// The logs that one node wrote to one circle, in order of their epochs.
    #[must_use]
    pub fn logs_of(&self, mesh: MeshId, author: NodeKey, circle: CircleId) -> Vec<LogInfo> {
        let state = self.shared.state();
        let key = |epoch| LogKey { mesh, author, circle, epoch };
        let logs = state.by_key.range(key(0)..=key(u64::MAX));
        logs.filter_map(|(_, no)| state.log(*no).map(|log| info(*no, log))).collect()
    }

    /// How many logs there are.
    #[must_use]
    pub fn log_count(&self) -> usize {
        self.shared.state().logs.len()
    }

    /// One log.
    #[must_use]
    pub fn log(&self, no: LogNo) -> Option<LogInfo> {
        self.shared.state().log(no).map(|log| info(no, log))
    }

    /// The number of a log.
    #[must_use]
    pub fn log_no(&self, key: &LogKey) -> Option<LogNo> {
        self.shared.state().by_key.get(key).copied()
    }

    /// How many records there are of each sort, staged ones included.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.state().counts
    }

    /// What became of each org's records, in all its logs. Looks at every run of equal outcomes.
    #[must_use]
    pub fn evidence(&self) -> BTreeMap<OrgId, Evidence> {
        let state = self.shared.state();
        let mut all: BTreeMap<OrgId, Evidence> = BTreeMap::new();
        for log in &state.logs {
            let of_org = all.entry(log.org).or_default();
            of_org.forks += u64::from(matches!(log.standing, Standing::Forked { .. }));
            for (_, count, stamped) in log.spans.within(1, log.published.seq) {
                match stamped.outcome.verdict {
                    Verdict::Accepted => of_org.accepted += count,
                    Verdict::Held => of_org.held += count,
                    Verdict::Refused => of_org.refused += count,
                    Verdict::Unjudged => {}
                }
            }
        }
        for (org, _, _) in state.retractions.keys() {
            all.entry(*org).or_default().withdrawn += 1;
        }
        all
    }

    /// Bytes on the disk.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn disk_size(&self) -> Result<u64, StoreError> {
        Ok(self.shared.kv.disk_size()? + u64::from(self.shared.slots.count()?) * SLOT_LEN as u64)
    }

    // ---- records

    /// What became of a record.
    #[must_use]
    pub fn outcome(&self, place: RecordRef) -> Option<Stamped> {
        let state = self.shared.state();
        let log = state.log(place.log).filter(|log| place.seq <= log.published.seq)?;
        log.spans.get(place.seq)
    }

    /// Where the record with this id is.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn find(&self, id: &RecordId) -> Result<Option<RecordRef>, StoreError> {
        let places = self.shared.state().find_id(id);
        for place in places {
            if self.record(place)?.is_some_and(|stored| stored.entry.id == *id) {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// A record with its outcome.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn record(&self, place: RecordRef) -> Result<Option<Stored>, StoreError> {
        let Some((page, _)) = self.outline(place)? else {
            return Ok(None);
        };
        let Some(stamped) = self.outcome(place) else {
            return Ok(None);
        };
        let (org, disputed) = {
            let state = self.shared.state();
            let Some(log) = state.log(place.log) else {
                return Ok(None);
            };
            (log.org, matches!(log.standing, Standing::Forked { at } if place.seq >= at))
        };
        let damaged = |source| StoreError::Page { log: place.log.0, seq: place.seq, source };
        let Some(mut entry) = page.entry(place.seq).map_err(damaged)? else {
            return Ok(None);
        };
        if entry.header.body_hash == BodyHash::ZERO
            && let Some(body) = entry.body()
        {
            entry.header.body_hash = body_hash(body);
        }
        match stamped.outcome.body {
            BodyState::Here => {
                if entry.body().is_none() {
                    // Absent if it was erased between the two looks.
                    entry.body = self.late_body(place)?.map_or(Part::NotHeld, Part::Here);
                }
            }
            BodyState::Gone(reason) => entry.body = Part::Gone(reason),
            _ => entry.body = Part::NotHeld,
        }
        if let Part::Here(body) = &entry.body {
            entry.plain = sealed::open(&self.shared.opener, self, place.log, &entry.header, body)?;
        }
        Ok(Some(Stored { place, org, entry, stamped, disputed }))
    }

    /// The ids of records, in order of log and number, each page read once. What is not here is left out.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn ids(&self, mut places: Vec<RecordRef>) -> Result<Vec<(RecordRef, RecordId)>, StoreError> {
        places.sort_unstable();
        places.dedup();
        let mut ids = Vec::with_capacity(places.len());
        let mut left = places.as_slice();
        while let Some((place, behind)) = left.split_first() {
            left = behind;
            let Some((page, found)) = self.outline(*place)? else { continue };
            let (in_page, behind) = behind
                .split_at(behind.partition_point(|next| next.log == place.log && next.seq <= found.last));
            left = behind;
            let mut asked = std::iter::once(place).chain(in_page).peekable();
            page.each(|entry| {
                let at = RecordRef { seq: entry.header.seq, ..*place };
                if asked.next_if(|next| **next == at).is_some() {
                    ids.push((at, entry.id));
                }
                if asked.peek().is_some() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            })
            .map_err(|source| StoreError::Page { log: place.log.0, seq: place.seq, source })?;
        }
        Ok(ids)
    }

    /// A record's body, whatever the verdict.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn body(&self, place: RecordRef) -> Result<Option<Bytes>, StoreError> {
        Ok(self.record(place)?.and_then(|stored| stored.entry.body().cloned()))
    }

    /// Up to `limit` changes from number `from` on: each record once, at the number of its last change. To go on, ask
    /// from the last number plus one.
    #[must_use]
    pub fn since(&self, from: u64, limit: usize) -> Vec<(u64, RecordRef)> {
        let state = self.shared.state();
        let committed = state.order.since(from).take_while(|(number, _)| *number < state.published);
        committed.take(limit).collect()
    }

    /// The number that the next change will have.
    #[must_use]
    pub fn next_arrival(&self) -> u64 {
        self.shared.state().published
    }

    /// The name of a rule.
    #[must_use]
    pub fn rule(&self, number: u16) -> Option<String> {
        self.shared.state().rules.get(usize::from(number)).cloned()
    }

    /// The key of a peer.
    #[must_use]
    pub fn peer(&self, number: u16) -> Option<NodeKey> {
        self.shared.state().peers.get(usize::from(number)).copied()
    }

    /// A named value, as last committed.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn get_meta(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(self.shared.kv.get(&self.shared.keys.meta(name))?)
    }

    /// Committed records whose outcome is asked for, those that came last first.
    #[must_use]
    pub fn newest(&self, fits: impl Fn(&Outcome) -> bool) -> Vec<Neighbours> {
        let mut found = Vec::new();
        let state = self.shared.state();
        for (no, log) in (0..).zip(&state.logs) {
            let spans = log.spans.within(log.base.seq + 1, log.published.seq);
            found.extend(spans.filter(|(_, _, stamped)| fits(&stamped.outcome)).map(
                |(seq, count, stamped)| Neighbours {
                    first: RecordRef { log: LogNo(no), seq },
                    count,
                    stamped,
                },
            ));
        }
        drop(state);
        found.sort_unstable_by_key(|range| {
            Reverse((range.stamped.outcome.received, range.stamped.arrival, range.first))
        });
        found
    }

    // ---- pages

    pub(crate) fn page_ref(&self, place: RecordRef) -> Option<(u64, PageRef)> {
        let state = self.shared.state();
        let log = state.log(place.log).filter(|log| place.seq <= log.published.seq)?;
        log.page_of(place.seq).filter(|(_, page)| page.last <= log.published.seq || page.tail)
    }

    /// Reads the page that holds a record.
    pub(crate) fn page(&self, place: RecordRef) -> Result<Option<(Arc<Run>, PageRef)>, StoreError> {
        self.read_page(place, Known::into_run, |slots, log_key, place, key, value| {
            Ok(pages::load(slots, log_key, place, key, value)?.map(|loaded| {
                let run = Arc::new(loaded.page);
                (loaded.head.nonce, Known::Run(Arc::clone(&run)), run)
            }))
        })
    }

    /// Reads the page that holds a record, with nothing hashed.
    fn outline(&self, place: RecordRef) -> Result<Option<(Known, PageRef)>, StoreError> {
        self.read_page(place, Some, |slots, log_key, place, key, value| {
            let outline = pages::outline(slots, log_key, place, key, value)?;
            Ok(outline.map(|outline| (outline.head.nonce, outline.page.clone(), outline.page)))
        })
    }

    /// Finds a page, from the cache if what is there will do, else from the disk with `load`: for the cache, and the caller.
    fn read_page<T>(
        &self,
        place: RecordRef,
        will_do: impl Fn(Known) -> Option<T>,
        load: impl Fn(&S, LogKey, (LogNo, u64), &[u8], &[u8]) -> Result<Opened<(Nonce, Known, T)>, StoreError>,
    ) -> Result<Option<(T, PageRef)>, StoreError> {
        for _ in 0..TRIES {
            let found = {
                let state = self.shared.state();
                let log = state.log(place.log).filter(|log| place.seq <= log.published.seq);
                log.and_then(|log| Some((log.key, log.page_of(place.seq)?)))
            };
            let Some((log_key, (first, page))) = found else {
                return Ok(None);
            };
            let shared = &self.shared;
            if let Some(known) = shared.cache.get(&page.nonce).and_then(&will_do) {
                return Ok(Some((known, page)));
            }
            let key = shared.keys.at(Kind::Page, place.log, first);
            if let Some(value) = shared.kv.get(&key)?
                && let Opened::Is((nonce, known, loaded)) =
                    load(shared.slots.as_ref(), log_key, (place.log, first), &key, &value)?
            {
                shared.cache.put(nonce, known);
                // A page that was replaced meanwhile may hold what was erased, and nobody would look for it again.
                if self.page_ref(place).is_none_or(|(_, now)| now.nonce != nonce) {
                    shared.cache.remove(&nonce);
                }
                return Ok(Some((loaded, page)));
            }
            // Replaced between the look into the directory and the read.
            std::thread::yield_now();
        }
        Err(missing(place.log, place.seq))
    }

    pub(crate) fn late_body(&self, place: RecordRef) -> Result<Option<Bytes>, StoreError> {
        let key = self.shared.keys.at(Kind::Body, place.log, place.seq);
        let Some(value) = self.shared.kv.get(&key)? else {
            return Ok(None);
        };
        let opened = vault::unseal(self.shared.slots.as_ref(), &key, &vault::parse(&value)?)?;
        Ok(opened.map(Bytes::from))
    }
}

impl<K: Kv, S: Slots> KeyRecords for Reader<K, S> {
    fn wrap(&self, place: RecordRef) -> Result<Option<Wrap>, StoreError> {
        Ok(self.get_meta(&place.name(WRAP))?.and_then(|value| Wrap::read(&value)))
    }

    fn key_record(&self, place: RecordRef) -> Result<Option<Entry>, StoreError> {
        // It is not sealed itself, so that nothing is looked for to open it.
        Ok(self.record(place)?.filter(|stored| stored.entry.header.suite == 0).map(|stored| stored.entry))
    }
}

fn info(no: LogNo, log: &LogState) -> LogInfo {
    LogInfo {
        no,
        key: log.key,
        org: log.org,
        base: log.base,
        tip: log.published,
        standing: log.standing,
        counts: log.counts,
    }
}
