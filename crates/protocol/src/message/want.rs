//! Catch-up: ranges of logs, answered with pages as far as credit goes.

use bincode::{Decode, Encode};

use super::{LinkNo, LogName};

/// Most ranges in one Want.
pub const RANGES_MAX: usize = 1024;
/// Longest page on the wire, compressed, in bytes.
pub const PAGE_WIRE_MAX: usize = 1 << 20;
/// Most credit that a sender keeps for a link, in bytes.
pub const CREDIT_MAX: u32 = 4 << 20;

/// Everything that is wanted of one peer from now on: it replaces what was wanted before.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Want {
    /// Rising; pages name it, so that those of a replaced want are known.
    pub id: u32,
    /// In the order in which they are wanted.
    pub ranges: Vec<Range>,
    /// Bytes of pages that may be sent before more credit is given.
    pub credit: u32,
}

/// Consecutive records of one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Range {
    /// The sender's number for the log.
    pub log: LinkNo,
    /// First record.
    pub from: u64,
    /// Last record, or the last there is.
    pub to: u64,
    /// Whether bodies are wanted as well.
    pub bodies: bool,
}

/// One run, compressed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Page {
    /// The want that it answers.
    pub want: u32,
    /// The log, in full: a page is decoded before the state of the link is at hand.
    pub log: LogName,
    /// Nothing of this range follows: its end is reached, or what the sender has of it.
    pub last: bool,
    /// A packed page (see [`tocsin_record::page::pack`]); empty if the sender has nothing of the range.
    pub packed: Vec<u8>,
}
