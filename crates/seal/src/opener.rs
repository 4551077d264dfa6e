//! What a node opens sealed bodies with: its sealing keys, and the period keys that came of them, as many as are in use.
//!
//! Nothing of it rests: a period key is unwrapped from its record again when it is needed again. Who takes a node's sealing key and
//! kept what passed on the wire could do the same, so that keeping them would keep nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashlink::LruCache;
use hpke::rand_core::CryptoRng;
use tocsin_record::body::WrappedKey;
use tocsin_record::{Bytes, Header, NodeKey, Plain};
use zeroize::Zeroizing;

use crate::body::{Cover, OpenError, SealError};
use crate::node::{SealingKey, SealingPublic};
use crate::period::{KeyId, PeriodKey};
use crate::wrap::{AgainError, KeyPlace, UnwrapError, unwrap, unwrap_one, wrap_again};

/// Period keys that are kept at hand, some 200 bytes each: those used last.
const PERIODS_MAX: usize = 4096;

/// Opens what is sealed to one node.
pub struct Opener {
    node: NodeKey,
    /// The one that is certified now, and those before it.
    secrets: Vec<SealingKey>,
    periods: Mutex<LruCache<KeyId, PeriodKey>>,
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opener of {}", self.node)
    }
}

impl Opener {
    /// With the sealing keys of a node, named by its record key.
    #[must_use]
    pub fn new(node: NodeKey, secrets: Vec<SealingKey>) -> Self {
        Self { node, secrets, periods: Mutex::new(LruCache::new(PERIODS_MAX)) }
    }

    /// One that opens nothing: of who holds no sealing key.
    #[must_use]
    pub fn none() -> Self {
        Self::new(NodeKey::ZERO, Vec::new())
    }

    fn periods(&self) -> MutexGuard<'_, LruCache<KeyId, PeriodKey>> {
        // A key is whole or not in it, whoever panicked.
        self.periods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Unwraps the key of a key record and keeps it at hand. Tells which wrap was this node's, so that the next time that one
    /// alone is tried; `near` and `tries` are those of [`unwrap`].
    ///
    /// # Errors
    /// [`UnwrapError`].
    pub fn learn(
        &self,
        header: &Header,
        body: &WrappedKey,
        near: usize,
        tries: usize,
    ) -> Result<usize, UnwrapError> {
        let place = KeyPlace::of(header, body);
        let (key, at) = self.first_of(|secret| unwrap(&place, body, &self.node, secret, near, tries))?;
        self.keep(key);
        Ok(at)
    }

    /// Keeps a key at hand: its author's own, which was made a moment ago.
    pub fn keep(&self, key: PeriodKey) {
        self.periods().insert(key.id(), key);
    }

    /// Opens one wrap of a key record that is known to be this node's, and keeps the key at hand.
    ///
    /// # Errors
    /// [`UnwrapError`].
    pub fn learn_by(&self, header: &Header, body: &WrappedKey, wrap: &[u8]) -> Result<(), UnwrapError> {
        let place = KeyPlace::of(header, body);
        self.keep(self.first_of(|secret| unwrap_one(&place, body, &self.node, secret, wrap))?);
        Ok(())
    }

    /// Wraps the key of a key record once more, for other nodes, by a wrap of this node.
    ///
    /// # Errors
    /// [`AgainError`].
    pub fn wrap_again(
        &self,
        header: &Header,
        body: &WrappedKey,
        wrap: &[u8],
        nodes: &BTreeMap<NodeKey, SealingPublic>,
        random: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, AgainError> {
        let place = KeyPlace::of(header, body);
        self.first_of(|secret| wrap_again(&place, body, (&self.node, secret, wrap), nodes, random))
    }

    /// What comes of the first sealing key that does, else why the last does not.
    fn first_of<T, E: From<UnwrapError>>(
        &self,
        mut with: impl FnMut(&SealingKey) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut refused = UnwrapError::Closed.into();
        for secret in &self.secrets {
            match with(secret) {
                Ok(done) => return Ok(done),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Opens the body of a record by a key that is at hand. Header and body belong together.
    ///
    /// # Errors
    /// [`OpenError`]; with [`OpenError::NoKey`] [`Self::learn`] may help.
    pub fn open(&self, header: &Header, body: &[u8]) -> Result<Plain, OpenError> {
        let cover = Cover::of(header)?;
        let id = KeyId { log: header.log().id(), seq: cover.key };
        let mut periods = self.periods();
        let key = periods.get_mut(&id).ok_or(OpenError::NoKey(id))?;
        key.open(header, &cover, body)
    }

    /// The key that opens the body of a record and what its author sealed to the circle on the same day, and nothing else: to
    /// show what the body says to who holds no keys. `None` if the period's key is not at hand.
    #[must_use]
    pub fn body_key(&self, header: &Header) -> Option<Zeroizing<[u8; 32]>> {
        let cover = Cover::of(header).ok()?;
        let id = KeyId { log: header.log().id(), seq: cover.key };
        self.periods().get_mut(&id)?.body_key(cover.day)
    }

    /// Seals a body by a key that is at hand: see [`PeriodKey::seal`].
    ///
    /// # Errors
    /// [`SealError`]; also when the key is not at hand.
    pub fn seal(
        &self,
        by: &KeyId,
        header: &mut Header,
        body: &[u8],
        random: &mut impl CryptoRng,
    ) -> Result<Bytes, SealError> {
        self.periods().get_mut(by).ok_or(SealError::Destroyed)?.seal(header, body, random)
    }
}
