//! Single bodies behind known headers, and single headers.

use bincode::{Decode, Encode};
use tocsin_record::RecordId;

use super::LinkNo;

/// Most references in one message.
pub const REFS_MAX: usize = 1000;

/// One record of a log, by the sender's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct RecordAt {
    /// The sender's number for the log.
    pub log: LinkNo,
    /// The record.
    pub seq: u64,
}

/// A body that was wanted.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct BodyData {
    /// As the asker named it: its number, its record.
    pub what: RecordAt,
    /// The body, or why not.
    pub status: BodyStatus,
}

/// A body, or why not.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum BodyStatus {
    /// The body.
    Here(Vec<u8>),
    /// Policy keeps it from the asker.
    Withheld,
    /// Not held, or not taken.
    NotHeld,
    /// Erased, with a reason code.
    Gone(u8),
}

/// Which record stands at a place of a log.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AtAnswer {
    /// As the asker named it.
    pub log: LinkNo,
    /// The number of the record in the log, from 1.
    pub seq: u64,
    /// The record's id; `None` if nothing is held there.
    pub id: Option<RecordId>,
}
