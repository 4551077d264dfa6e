//! Sealed bodies that rest here: as they came, and opened on the way to whoever reads them.
//!
//! What a body opens to rests nowhere, nor does the key that opens it: that is unwrapped when it is needed, by the wrap that was
//! found to be this node's when the key record came, or that came later in another record.

use std::collections::BTreeMap;

use bytes::Bytes;
use tocsin_record::body::{Body, Rewrap, WrappedKey};
use tocsin_record::{Entry, Header, NodeKey, Plain};
use tocsin_seal::rand_core::CryptoRng;
use tocsin_seal::{AgainError, OpenError, Opener, SealingPublic, UnwrapError, WRAP_LEN};
use zeroize::Zeroizing;

use crate::error::StoreError;
use crate::kv::Kv;
use crate::outcome::{LogNo, RecordRef};
use crate::reader::Reader;
use crate::slots::Slots;
use crate::store::{Store, report_subject};

/// What the names of values begin with that hold this node's wraps of key records.
pub(crate) const WRAP: &str = "wrap ";

/// A wrap that is this node's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wrap {
    /// One of those in the key record.
    At(u16),
    /// One that another record held: it is kept itself.
    Alone(Bytes),
}

impl Wrap {
    /// What a named value holds.
    pub fn read(value: &[u8]) -> Option<Self> {
        match value.try_into() {
            Ok(at) => Some(Self::At(u16::from_be_bytes(at))),
            Err(_) => (value.len() == WRAP_LEN).then(|| Self::Alone(Bytes::copy_from_slice(value))),
        }
    }

    fn encode(&self) -> Bytes {
        match self {
            Self::At(at) => Bytes::copy_from_slice(&at.to_be_bytes()),
            Self::Alone(wrap) => wrap.clone(),
        }
    }

    /// The wrap itself, of a key record.
    pub fn of<'a>(&'a self, key: &'a WrappedKey) -> &'a [u8] {
        match self {
            Self::At(at) => key.wraps.chunks(WRAP_LEN).nth(usize::from(*at)).unwrap_or_default(),
            Self::Alone(wrap) => wrap,
        }
    }
}

/// Where a key is looked for that is not at hand.
pub(crate) trait KeyRecords {
    /// This node's wrap of a key record's key, if there is one.
    fn wrap(&self, place: RecordRef) -> Result<Option<Wrap>, StoreError>;
    /// The key record, with its body.
    fn key_record(&self, place: RecordRef) -> Result<Option<Entry>, StoreError>;
}

/// What a body opens to; `None` if its record is not sealed, or it does not open here.
pub(crate) fn open(
    opener: &Opener,
    records: &impl KeyRecords,
    log: LogNo,
    header: &Header,
    body: &[u8],
) -> Result<Option<Plain>, StoreError> {
    if header.suite == 0 {
        return Ok(None);
    }
    let id = match opener.open(header, body) {
        Ok(plain) => return Ok(Some(plain)),
        Err(OpenError::NoKey(id)) => id,
        Err(_) => return Ok(None),
    };
    let place = RecordRef { log, seq: id.seq };
    let Some(wrap) = records.wrap(place)? else { return Ok(None) };
    let Some(record) = records.key_record(place)? else { return Ok(None) };
    let Some(Ok(Body::Key(key))) = Body::of(&record) else { return Ok(None) };
    if opener.learn_by(&record.header, &key, wrap.of(&key)).is_err() {
        return Ok(None);
    }
    Ok(opener.open(header, body).ok())
}

impl<K: Kv, S: Slots> KeyRecords for Store<K, S> {
    fn wrap(&self, place: RecordRef) -> Result<Option<Wrap>, StoreError> {
        Ok(self.get_meta(&place.name(WRAP))?.and_then(|value| Wrap::read(&value)))
    }

    fn key_record(&self, place: RecordRef) -> Result<Option<Entry>, StoreError> {
        self.sealed_entry(place)
    }
}

impl<K: Kv, S: Slots> Reader<K, S> {
    /// The key that opens the body of a sealed record, as [`Opener::body_key`] has it. The record was read a moment ago, so that
    /// its period's key is at hand if it is this node's at all.
    #[must_use]
    pub fn body_key(&self, header: &Header) -> Option<Zeroizing<[u8; 32]>> {
        self.shared.opener.body_key(header)
    }
}

impl<K: Kv, S: Slots> Store<K, S> {
    /// What opens the bodies here.
    #[must_use]
    pub fn opener(&self) -> &Opener {
        &self.shared.opener
    }

    /// What the body of a record in a log opens to; `None` if it is not sealed, or does not open here. Sees staged keys.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn open_body(&self, log: LogNo, header: &Header, body: &[u8]) -> Result<Option<Plain>, StoreError> {
        open(&self.shared.opener, self, log, header, body)
    }

    /// A body that rests here and did not open until now, and does: it is entered among the reports. False if its report was taken
    /// back meanwhile; then it is erased.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn enter_opened(&mut self, place: RecordRef, entry: &Entry) -> Result<bool, StoreError> {
        self.alive()?;
        let Some(subject) = report_subject(entry) else { return Ok(true) };
        let Some(org) = self.shared.state().log(place.log).map(|log| log.org) else { return Ok(true) };
        self.shared.state_mut().add_report(org, subject, place);
        match self.withdrawn(org, entry.header.circle, subject) {
            Some(found) => {
                self.erase(place, found.reason)?;
                Ok(false)
            }
            None => Ok(true),
        }
    }

    /// Looks for this node's wrap in a key record that stands at a place, or is about to: the `tries` nearest to `near` are
    /// tried. What opens by it does from now on.
    ///
    /// # Errors
    /// [`UnwrapError`] within, if none is this node's; else after a failed write.
    pub fn learn_key(
        &mut self,
        place: RecordRef,
        header: &Header,
        key: &WrappedKey,
        near: usize,
        tries: usize,
    ) -> Result<Result<(), UnwrapError>, StoreError> {
        let wrap = match self.shared.opener.learn(header, key, near, tries) {
            Ok(wrap) => wrap,
            Err(error) => return Ok(Err(error)),
        };
        // A key record has 256 wraps at most.
        let wrap = Wrap::At(u16::try_from(wrap).unwrap_or(u16::MAX));
        self.put_meta(&place.name(WRAP), wrap.encode())?;
        Ok(Ok(()))
    }

    /// As [`Self::learn_key`], of a key record that stands here, by wraps that another record holds. False if none is this
    /// node's, or it opens that key already.
    ///
    /// # Errors
    /// After a failed write.
    pub fn learn_again(
        &mut self,
        place: RecordRef,
        again: Rewrap,
        near: usize,
        tries: usize,
    ) -> Result<bool, StoreError> {
        if self.wrap(place)?.is_some() {
            return Ok(false);
        }
        let Some(record) = self.key_record(place)? else { return Ok(false) };
        let Some(Ok(Body::Key(key))) = Body::of(&record) else { return Ok(false) };
        let key = again.in_place_of(&key);
        let Ok(at) = self.shared.opener.learn(&record.header, &key, near, tries) else { return Ok(false) };
        let Some(wrap) = key.wraps.chunks(WRAP_LEN).nth(at) else { return Ok(false) };
        let wrap = Wrap::Alone(Bytes::copy_from_slice(wrap));
        self.put_meta(&place.name(WRAP), wrap.encode())?;
        Ok(true)
    }

    /// The committed key records that open here.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn opening(&self) -> Result<Vec<RecordRef>, StoreError> {
        let rows = self.named(WRAP)?;
        Ok(rows.iter().filter_map(|(name, _)| RecordRef::of_name(name, WRAP)).collect())
    }

    /// Whether this node opens what is sealed by the key of a key record.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn opens_by(&self, place: RecordRef) -> Result<bool, StoreError> {
        Ok(self.wrap(place)?.is_some())
    }

    /// The key of a key record, wrapped once more, for these nodes; `None` if it does not open here.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn wrap_again(
        &self,
        place: RecordRef,
        nodes: &BTreeMap<NodeKey, SealingPublic>,
        random: &mut impl CryptoRng,
    ) -> Result<Option<Result<Rewrap, AgainError>>, StoreError> {
        let Some(wrap) = self.wrap(place)? else { return Ok(None) };
        let Some(record) = self.key_record(place)? else { return Ok(None) };
        let Some(Ok(Body::Key(key))) = Body::of(&record) else { return Ok(None) };
        let mut salt = [0; 16];
        random.fill_bytes(&mut salt);
        let wraps = self.shared.opener.wrap_again(&record.header, &key, wrap.of(&key), nodes, random);
        let rewrap = |wraps| Rewrap { salt, suite: key.suite, key: record.id, wraps, extension: vec![] };
        Ok(Some(wraps.map(rewrap)))
    }
}
