//! A log: all records that one node wrote to one circle in one epoch, numbered from 1 and hash-chained.

use bincode::{Decode, Encode};

use crate::id::{self, CircleId, LogId, MeshId, NodeKey, RecordId};

/// What names a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct LogKey {
    /// The mesh.
    pub mesh: MeshId,
    /// The node that writes it.
    pub author: NodeKey,
    /// The circle it is addressed to.
    pub circle: CircleId,
    /// The millisecond at which the author opened it.
    pub epoch: u64,
}

impl LogKey {
    /// The log's id: SHA-256 of a tag, mesh, author, circle and epoch.
    #[must_use]
    pub fn id(&self) -> LogId {
        LogId(id::hash(id::LOG, &[&self.mesh.0, &self.author.0, &self.circle.0, &self.epoch.to_be_bytes()]))
    }
}

/// The end of a log, or of what is known of it: what the next header must follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Tip {
    /// Number of the last record, 0 before the first.
    pub seq: u64,
    /// Its id, zero before the first.
    pub id: RecordId,
    /// Its time in ms.
    pub time: u64,
}
