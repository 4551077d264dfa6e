//! The bodies of key records: the key of a period, wrapped for each node that may read what its author seals, and one that is
//! wrapped once more, for nodes that came later.
//!
//! Only the forms stand here; `tocsin-seal` makes and opens them.

use bincode::{Decode, Encode};

use super::Salt;
use crate::codec::{self, CodecError};
use crate::header::BODY_MAX;
use crate::id::{DocHash, RecordId};

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

/// Wraps of a key that its own record does not hold: a member that reads by it lets nodes read that were certified later, or whose
/// org came later.
///
/// Whose wraps they are is not said, as in the key record. What comes of them is held against the commitment there, so that
/// whoever writes this can give that key and no other.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Rewrap {
    /// 16 random bytes, as in every body.
    pub salt: Salt,
    /// How it is wrapped, as in [`WrappedKey`].
    pub suite: u8,
    /// Id of the key record, which stands in the same circle.
    pub key: RecordId,
    /// As in [`WrappedKey`]; bound to the place of the key record.
    pub wraps: Vec<u8>,
    /// What newer nodes add.
    pub extension: Vec<u8>,
}

impl Rewrap {
    /// Reads the body of such a record.
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

    /// The body of the key record with these wraps in the place of its own.
    #[must_use]
    pub fn in_place_of(self, key: &WrappedKey) -> WrappedKey {
        let WrappedKey { salt, roster, commitment, .. } = *key;
        WrappedKey {
            salt,
            suite: self.suite,
            roster,
            commitment,
            wraps: self.wraps,
            extension: self.extension,
        }
    }
}
