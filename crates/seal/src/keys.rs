//! The period keys that a node holds, and opening bodies by them.

use std::collections::BTreeMap;
use std::fmt;

use tocsin_record::Header;

use crate::body::{Cover, OpenError, Opened};
use crate::period::{KeyId, PeriodKey};

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key of record {} in log {}", self.seq, self.log)
    }
}

/// Period keys by their names. It holds what it is given and is bounded by whoever gives: an author makes a key with a
/// record of its own, which counts for its quota.
#[derive(Default)]
pub struct Keys(BTreeMap<KeyId, PeriodKey>);

impl Keys {
    /// Takes a key in, in the place of one of the same name.
    pub fn insert(&mut self, key: PeriodKey) {
        self.0.insert(key.id(), key);
    }

    /// The key of that name: for its author, who seals by it, and to forget days of it.
    pub fn get_mut(&mut self, id: &KeyId) -> Option<&mut PeriodKey> {
        self.0.get_mut(id)
    }

    /// Takes a key out.
    pub fn remove(&mut self, id: &KeyId) -> Option<PeriodKey> {
        self.0.remove(id)
    }

    /// Opens the body of a record, of which header and body belong together, as [`tocsin_record::run::body_fits`] tells.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(&mut self, header: &Header, body: &[u8]) -> Result<Opened, OpenError> {
        let cover = Cover::of(header)?;
        let id = KeyId { log: header.log().id(), seq: cover.key };
        let key = self.0.get_mut(&id).ok_or(OpenError::NoKey(id))?;
        key.open(header, &cover, body)
    }
}
