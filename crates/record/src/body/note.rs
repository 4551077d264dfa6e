//! A note: an agency's words about a report, its own or another's.

use bincode::{Decode, Encode};

use super::Salt;
use super::report::{Subject, TEXT_MAX};
use crate::id::OrgId;
use crate::marking::Marking;

/// Words about a report.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Note {
    /// 16 random bytes, so that no body can be guessed by its hash.
    pub salt: Salt,
    /// Whose report.
    pub org: OrgId,
    /// Which report.
    pub subject: Subject,
    /// The words, at most 64 KiB.
    pub text: String,
    /// How it may be handled.
    pub marking: Marking,
    /// What newer nodes add.
    pub extension: Vec<u8>,
}

impl Note {
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.text.len() <= TEXT_MAX { Ok(()) } else { Err("text") }
    }

    pub(super) fn is_newer(&self) -> bool {
        !self.extension.is_empty() || self.marking.is_newer()
    }
}
