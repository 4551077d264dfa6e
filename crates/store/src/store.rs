//! The writing side: one thread stages changes, and one `commit` makes them durable and visible together.
//!
//! ```text
//! append, set_body, judge, erase, put_meta ...   stage; the caller sees its own changes, readers do not
//! commit                                         one batch, one flush; then readers see it, and only then may it leave
//! ```
//!
//! A write that fails poisons the store: every later call fails (I10).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use tocsin_record::body::report::Subject;
use tocsin_record::body::{self, Body};
use tocsin_record::run::{Entry, Part};
use tocsin_record::{CircleId, Header, LogKey, NodeKey, OrgId, RecordId, Run, Tip};
use tocsin_seal::Opener;

use crate::aside::DamagedLog;
use crate::error::StoreError;
use crate::expiry::Expiry;
use crate::keys::{Keys, Kind};
use crate::kv::{Batch, Fault, Kv};
use crate::outcome::{BodyState, LogNo, RecordRef, Stamped};
use crate::pages::{self, Cache, Known, Nonce, Opened};
use crate::reader::Reader;
use crate::slots::Slots;
use crate::state::{Load, PageRef, State, Withdrawal};
use crate::vault::{self, Form, Vault};

/// A tail becomes pages of about this many bytes before compression: 62 KB stored, the best rate measured.
pub(crate) const PAGE_TARGET: usize = 192 << 10;
/// Longest name of a meta value, in bytes.
pub const META_NAME_MAX: usize = 200;

/// What readers and the writer share.
#[derive(Debug)]
pub(crate) struct Shared<K, S> {
    pub kv: Arc<K>,
    pub slots: Arc<S>,
    pub keys: Keys,
    pub state: RwLock<State>,
    /// Held by a writer that waits for the state, and by nobody else for longer than a moment.
    pub turn: Mutex<()>,
    pub cache: Cache,
    pub opener: Opener,
}

impl<K: Kv, S: Slots> Shared<K, S> {
    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a writer in that waits, before a walk that let go of the state takes it again: the lock alone is unfair, and who is awake
    /// has it again before who sleeps wakes up.
    pub fn let_writer_in(&self) {
        drop(self.turn.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
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
    pub left: Vec<Left>,
    /// Names the content of pages that are replaced or removed: no cache keeps it.
    pub replaced: Vec<Nonce>,
    /// Keys are to be destroyed before the commit returns.
    pub destroy: bool,
}

/// What a commit made durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The new ends of logs that grew.
    pub tips: Vec<(LogNo, Tip)>,
    /// Records whose bodies are gone.
    pub erased: Vec<RecordRef>,
    /// What was here and is not any more, erased or dropped: whoever indexed it forgets it now.
    pub left: Vec<Left>,
}

/// A body that left the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Its record.
    pub place: RecordRef,
    /// The header of that.
    pub header: Header,
    /// The body's kind, and the body as it was read here, in memory for the last time. `None` of a sealed one that did not
    /// open.
    pub body: Option<(u16, Bytes)>,
}

/// The store, owned by one thread. See the module's documentation.
pub struct Store<K, S> {
    pub(crate) shared: Arc<Shared<K, S>>,
    pub(crate) vault: Vault<S>,
    pub(crate) staged: Staged,
    pub(crate) next_arrival: u64,
    pub(crate) wanted: BTreeSet<RecordRef>,
    pub(crate) expiry: Expiry,
    /// Empty but while a run is entered.
    pub(crate) load: Load,
    pub(crate) damaged: Vec<DamagedLog>,
    pub(crate) poisoned: bool,
}

impl<K: Kv, S: Slots> Store<K, S> {
    /// A handle for readers on any thread.
    #[must_use]
    pub fn reader(&self) -> Reader<K, S> {
        Reader::new(Arc::clone(&self.shared))
    }

    pub(crate) fn alive(&self) -> Result<(), StoreError> {
        if self.poisoned { Err(StoreError::Poisoned) } else { Ok(()) }
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

    /// Seals a value under a new slot and stages it. Returns the slot and the nonce.
    pub(crate) fn seal_new(
        &mut self,
        key: Vec<u8>,
        form: Form,
        notes: &[u8],
        plain: &[u8],
    ) -> Result<(u32, Nonce), StoreError> {
        let slot = self.vault.take()?;
        let nonce = self.vault.nonce();
        let value = vault::seal(&key, slot.number, &slot.key, form, nonce, notes, plain);
        self.staged.batch.put(key, value);
        Ok((slot.number, nonce))
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

    /// A record, staged changes included: its body is here exactly if its outcome says so, and opened if it can be.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn entry(&self, place: RecordRef) -> Result<Option<Entry>, StoreError> {
        let Some(mut entry) = self.sealed_entry(place)? else { return Ok(None) };
        if let Part::Here(body) = &entry.body {
            entry.plain = self.open_body(place.log, &entry.header, body)?;
        }
        Ok(Some(entry))
    }

    /// A record as [`Self::entry`] has it, not opened.
    pub(crate) fn sealed_entry(&self, place: RecordRef) -> Result<Option<Entry>, StoreError> {
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
            state.log(place.log).and_then(|log| Some((log.key, log.page_of(place.seq)?)))
        };
        let Some((log_key, (first, page))) = found else {
            return Ok(None);
        };
        let run = self.load_page(log_key, place.log, first, &page)?;
        let offset = usize::try_from(place.seq - first).unwrap_or(usize::MAX);
        Ok((offset < run.entries().len()).then_some((run, offset)))
    }

    pub(crate) fn load_page(
        &self,
        log_key: LogKey,
        log: LogNo,
        first: u64,
        page: &PageRef,
    ) -> Result<Arc<Run>, StoreError> {
        let shared = &self.shared;
        if let Some(run) = shared.cache.get(&page.nonce).and_then(Known::into_run) {
            return Ok(run);
        }
        let key = shared.keys.at(Kind::Page, log, first);
        let value = self.staged_get(&key)?.ok_or_else(|| missing(log, first))?;
        match pages::load(shared.slots.as_ref(), log_key, (log, first), &key, &value)? {
            Opened::Is(loaded) => {
                let run = Arc::new(loaded.page);
                shared.cache.put(loaded.head.nonce, Known::Run(Arc::clone(&run)));
                Ok(run)
            }
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

    /// Whether a record stands in a log of an org in a circle. Nothing is read.
    fn is_of(&self, place: RecordRef, org: OrgId, circle: CircleId) -> bool {
        let state = self.shared.state();
        state.log(place.log).is_some_and(|log| log.org == org && log.key.circle == circle)
    }

    pub(crate) fn versions_in(
        &self,
        org: OrgId,
        circle: CircleId,
        subject: Subject,
    ) -> Result<Vec<RecordRef>, StoreError> {
        let mut places = self.shared.state().find_report(org, subject);
        // Whoever retracts in one circle reads nothing of what it wrote to others.
        places.retain(|place| self.is_of(*place, org, circle));
        let mut versions = Vec::new();
        for place in places {
            let Some(entry) = self.entry(place)? else { continue };
            if report_subject(&entry) == Some(subject) {
                versions.push(place);
            }
        }
        Ok(versions)
    }

    /// Whether a report was taken back in this circle, for ever. Sees staged retractions.
    #[must_use]
    pub fn withdrawn(&self, org: OrgId, circle: CircleId, subject: Subject) -> Option<Withdrawal> {
        self.shared.state().retractions.get(&(org, circle, subject)).copied()
    }

    /// Places of retractions that name a version, by its id; almost always exactly those (64-bit keyed hash). Anybody may
    /// name it. Sees staged ones.
    #[must_use]
    pub fn naming(&self, id: &RecordId) -> Vec<RecordRef> {
        self.shared.state().find_named(id)
    }

    /// The reason for which a retraction of the author's org, in the same circle, names this version. Sees staged ones.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn taken_back(&self, org: OrgId, entry: &Entry) -> Result<Option<u8>, StoreError> {
        let mut places = self.shared.state().find_named(&entry.id);
        places.retain(|place| self.is_of(*place, org, entry.header.circle));
        for place in places {
            let Some(said) = self.entry(place)? else { continue };
            if let Some(Ok(Body::Retraction(retraction))) = Body::of(&said)
                && retraction.versions.iter().any(|version| version.id == entry.id)
            {
                return Ok(Some(Withdrawal::by(place, &retraction).reason));
            }
        }
        Ok(None)
    }

    /// The number that the next change will have. Sees staged changes.
    #[must_use]
    pub fn next_arrival(&self) -> u64 {
        self.next_arrival
    }

    /// Up to `limit` records whose body is wanted and not here, those that peers withhold included, from `from` on in
    /// order of log and number. Sees staged changes.
    #[must_use]
    pub fn wanted(&self, from: RecordRef, limit: usize) -> Vec<RecordRef> {
        self.wanted.range(from..).take(limit).copied().collect()
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
        self.staged
            .batch
            .put(self.shared.keys.interned(Kind::Rule, number), Bytes::from(name.clone().into_bytes()));
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
        self.staged.batch.put(self.shared.keys.interned(Kind::Peer, number), Bytes::copy_from_slice(&peer.0));
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

    /// A named value, staged changes included.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn get_meta(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        self.staged_get(&self.shared.keys.meta(name))
    }

    /// Committed named values whose names begin so, with their names, in order of name.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn named(&self, begin: &str) -> Result<Vec<(Vec<u8>, Bytes)>, StoreError> {
        let from = self.shared.keys.meta(begin);
        // No name holds such a byte.
        let to = [&from[..], &[0xff]].concat();
        let mut found = Vec::new();
        let mut result = Ok(());
        self.shared.kv.range(&from, &to, &mut |key, value| match value {
            Ok(value) => {
                found.push((Keys::rest(key).to_vec(), value));
                ControlFlow::Continue(())
            }
            Err(error) => {
                result = Err(error);
                ControlFlow::Break(())
            }
        })?;
        result?;
        Ok(found)
    }
}

/// The subject of a report, which stands behind the salt at the start of its body. `None` of what is not here, or does not
/// open.
#[must_use]
pub fn report_subject(entry: &Entry) -> Option<Subject> {
    entry.readable().and_then(|(kind, body)| subject_in(kind, body))
}

/// As [`report_subject`], of a body of a kind.
pub(crate) fn subject_in(kind: u16, body: &[u8]) -> Option<Subject> {
    let (_salt, rest) = body.split_first_chunk::<16>()?;
    let subject = rest.first_chunk::<16>()?;
    (kind == body::REPORT).then_some(Subject(*subject))
}

pub(crate) fn missing(log: LogNo, seq: u64) -> StoreError {
    Fault::Damaged(format!("log {} at {seq}: the page or body is missing or does not open", log.0)).into()
}
