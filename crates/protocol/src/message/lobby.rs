//! The lobby: what two nodes must agree on before anything else is read.

use bincode::{Decode, Encode};
use tocsin_record::document::Signed;
use tocsin_record::{DocHash, MeshId};

/// The highest protocol version that this code speaks. A message that is added raises it by one.
pub const PROTOCOL: u16 = 2;
/// The lowest that a peer may speak: links to older ones are refused.
pub const OLDEST_PROTOCOL: u16 = 1;

/// First frame each way, at most 8 KiB.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Lobby {
    /// Highest protocol version spoken; on the link the lower of the two is.
    pub protocol: u16,
    /// The mesh.
    pub mesh: MeshId,
    /// The sender's certificate; its transport key is the key that opened the link.
    pub certificate: Signed,
    /// The charter in force.
    pub charter: Behind,
    /// The revocations in force; version 0 if there are none.
    pub revocations: Behind,
    /// What newer nodes add.
    pub extension: Vec<u8>,
}

/// Which version of a chain of documents is in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Behind {
    /// Its version.
    pub version: u32,
    /// Its hash.
    pub hash: DocHash,
}
