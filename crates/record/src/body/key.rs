//! The body of a key record: the key of a period, wrapped for each node that may read what its author seals.
//!
//! Only the form stands here; `tocsin-seal` makes and opens it.

use bincode::{Decode, Encode};

use super::Salt;
use crate::codec::{self, CodecError};
use crate::header::BODY_MAX;
use crate::id::DocHash;

/// What decoding one may take in memory, in bytes: the wraps, which are nearly all of it, are taken once.
const LIMIT: usize = 2 * BODY_MAX;

/// The wraps of one period's key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct WrappedKey {
    /// 16 random bytes, as in every body.
    pub salt: Salt,
    /// How it is wrapped and what it seals: 1 is X-Wing and AES-256-GCM, 2 kept free. Bodies under the key name it in their headers.
    pub suite: u8,
    /// The roster whose nodes it is wrapped for, whose version the header names.
    pub roster: DocHash,
    /// What no other key commits to, so that no two members are given different ones.
    pub commitment: [u8; 32],
    /// One after the other, each of the length that the suite gives it, in the order of the nodes' record keys, then those
    /// for nobody.
    pub wraps: Vec<u8>,
    /// What newer nodes add.
    pub extension: Vec<u8>,
}

impl WrappedKey {
    /// Reads the body of a key record.
    ///
    /// # Errors
    /// When the bytes are not its one form: the author's fault.
    pub fn read(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode::<Self, LIMIT>(bytes)
    }

    /// The exact bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }
}
