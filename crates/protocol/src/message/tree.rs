//! Live spreading: one tree a log, runs pushed along its links, ranges announced along a few others.

use bincode::{Decode, Encode};

use super::LinkNo;

/// Most ranges in one Have.
pub const HAVES_MAX: usize = 1024;
/// Bodies up to this many bytes are pushed; larger ones are asked for.
pub const PUSH_BODY_MAX: usize = 16 << 10;

/// One run of a log.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Push {
    /// The sender's number for the log.
    pub log: LinkNo,
    /// An answer to a graft or want, which is never pruned for.
    pub reply: bool,
    /// The run as [`tocsin_record::page`] writes it, not compressed.
    pub page: Vec<u8>,
}

/// A range of a log that the sender holds.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Have {
    /// The sender's number for the log.
    pub log: LinkNo,
    /// First record of the range.
    pub from: u64,
    /// How many follow it.
    pub more: u32,
    /// Milliseconds since the last of them was admitted at the sender.
    pub age: u32,
    /// Records of the range, counted from `from`, whose bodies the sender will not or cannot give.
    pub except: Vec<u32>,
}
