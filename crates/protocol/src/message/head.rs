//! Heads and receipts: signed statements of how far an author is and of who holds what.

use bincode::{Decode, Encode};
use tocsin_record::id::{self, CircleId, MeshId, NodeKey, RecordId};
use tocsin_record::keys::Signature;

use super::LinkNo;

/// Most heads or receipts in one message.
pub const STATEMENTS_MAX: usize = 512;

/// A node's own newest record in a circle, by its own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Head {
    /// The sender's number for the author's newest log in the circle. A node that never wrote there names the log of
    /// epoch 0.
    pub log: LinkNo,
    /// Its last record, 0 for none.
    pub seq: u64,
    /// That record's id.
    pub id: RecordId,
    /// How often bodies became available late at that node.
    pub releases: u64,
    /// When it was said, in ms.
    pub time: u64,
    /// By the node's record key over [`head_hash`].
    pub signature: Signature,
}

/// What a node holds of one author's log in a circle, by its own word, to that author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Receipt {
    /// The sender's number for the log.
    pub log: LinkNo,
    /// The sender's number for the epoch-0 log of the node that says it: names the node.
    pub holder: LinkNo,
    /// Last verified header held.
    pub height: u64,
    /// When that header came, in ms by the holder's clock.
    pub time: u64,
    /// By the holder's record key over [`receipt_hash`].
    pub signature: Signature,
}

/// What a head's signature is over.
#[must_use]
#[expect(clippy::too_many_arguments, reason = "they are the fields of one signed form")]
pub fn head_hash(
    mesh: &MeshId,
    node: &NodeKey,
    circle: &CircleId,
    epoch: u64,
    seq: u64,
    id: &RecordId,
    releases: u64,
    time: u64,
) -> [u8; 32] {
    let numbers = [epoch, seq, releases, time].map(u64::to_be_bytes).concat();
    id::hash(id::HEAD, &[&mesh.0, &node.0, &circle.0, &id.0, &numbers])
}

/// What a receipt's signature is over: holder, the log's id (so author, circle and epoch), height and time.
#[must_use]
pub fn receipt_hash(holder: &NodeKey, log: &tocsin_record::LogId, height: u64, time: u64) -> [u8; 32] {
    let numbers = [height, time].map(u64::to_be_bytes).concat();
    id::hash(id::RECEIPT, &[&holder.0, &log.0, &numbers])
}
