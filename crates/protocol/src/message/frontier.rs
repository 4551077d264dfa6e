//! Comparing what two nodes hold: one root, then 256 buckets, then the logs of those that differ.

use bincode::{Decode, Encode};
use tocsin_record::RecordId;

use super::{LinkNo, LogName};

/// Most entries in one message.
pub const ENTRIES_MAX: usize = 500;

/// Root over (log id, height, id at height, state) of the circles that the other is in or carries, and one over the
/// documents in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// Over the logs.
    pub logs: [u8; 32],
    /// Over the documents.
    pub documents: [u8; 32],
}

/// The root's 256 parts, by the first byte of the log id, each the first half of its hash.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Buckets(pub Vec<[u8; 16]>);

/// Logs of buckets that differ, at most 500 a message.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Entries(pub Vec<EntryOf>);

/// How far one log is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct EntryOf {
    /// The sender's number for it.
    pub no: LinkNo,
    /// Which log.
    pub log: LogName,
    /// First record held with its header, 1 unless the log is held from a later base.
    pub base: u64,
    /// Last verified header.
    pub height: u64,
    /// The id of the record at `height`, so that two nodes see whether they hold the same log.
    pub id: RecordId,
    /// Whether more is taken.
    pub state: LogState,
}

/// Whether more of a log is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[repr(u8)]
pub enum LogState {
    /// More is taken.
    Open = 0,
    /// Its author said two things; it ends before the fork.
    Forked = 1,
    /// Its author was removed; it ends at the cut.
    Cut = 2,
}
