//! A retraction: takes a report back in one circle, for ever, even if it arrives before the report.
//!
//! It holds ids and a reason code only, so that it may go to every member whatever the report was marked.

use bincode::{Decode, Encode};

use super::Salt;
use super::report::Subject;
use crate::id::{NodeKey, RecordId};

/// Most versions that one retraction names, of up to 82 bytes each; a report with more is taken back by several.
pub const VERSIONS_MAX: usize = 4096;

/// Takes back all versions of one report of the author's org in the circle it is written to.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Retraction {
    /// 16 random bytes, so that no body can be guessed by its hash.
    pub salt: Salt,
    /// Which report of the author's org.
    pub subject: Subject,
    /// The versions that the author knew in this circle.
    pub versions: Vec<Version>,
    /// Why: a number of [`REASONS`].
    pub reason: u16,
    /// What newer nodes add.
    pub extension: Vec<u8>,
}

/// One version of the report that is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Version {
    /// The node that wrote it.
    pub author: NodeKey,
    /// Its log's epoch.
    pub epoch: u64,
    /// Its place in the log.
    pub seq: u64,
    /// The hash of its header: what holds it for another is no version of the subject.
    pub id: RecordId,
}

/// Whoever observed it marked it more strictly, or asked for it to be taken back.
pub const REQUEST_OF_SOURCE: u16 = 6;

/// It is for fewer than it was shared with, who have it in another circle.
pub const NARROWED: u16 = 10;

/// Why a body is gone: number and name. They fit in a byte, for a page's part column.
pub static REASONS: &[(u16, &str)] = &[
    (0, "expired"),
    (1, "wrong"),
    (2, "false-positive"),
    (3, "duplicate"),
    (4, "shared-by-mistake"),
    (5, "legal"),
    (REQUEST_OF_SOURCE, "request-of-source"),
    (7, "other"),
    (8, "superseded"),
    (9, "leaked"),
    (NARROWED, "narrowed"),
    (11, "legal-order"),
];

/// The name of a reason code.
#[must_use]
pub fn reason_name(code: u16) -> &'static str {
    REASONS.iter().find(|row| row.0 == code).map_or("newer reason", |row| row.1)
}

impl Retraction {
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.versions.len() <= VERSIONS_MAX { Ok(()) } else { Err("versions") }
    }
}
