//! A sighting: where and when something known was met, or that it was not what it was said to be.

use bincode::{Decode, Encode};

use super::report::{LINE_MAX, Subject};
use super::{Salt, is_known};
use crate::marking::{Code, Marking};
use crate::observable::Observable;

/// One statement about an observable or a report.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Sighting {
    /// 16 random bytes: without them, who holds a header could guess its body and see by the hash that it guessed
    /// right.
    pub salt: Salt,
    /// What was met, if it was a value.
    pub what: Option<Observable>,
    /// The report that it is about, if known.
    pub subject: Option<Subject>,
    /// 0 seen, 1 false positive, 2 expired (the numbers of MISP).
    pub kind: Code,
    /// How often, at least 1.
    pub count: u32,
    /// When, in ms.
    pub time: u64,
    /// The time is meant to within so many ms.
    pub precision: u64,
    /// What it talked to, if said.
    pub destination: Option<Observable>,
    /// From which port, 0 if not said.
    pub source_port: u16,
    /// How it may be handled.
    pub marking: Marking,
    /// What newer nodes add.
    pub extension: Vec<u8>,
}

impl Sighting {
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let canonical = |what: &Option<Observable>| {
            what.as_ref()
                .is_none_or(|what| what.value.len() <= 4096 && (!is_known(what.kind) || what.is_canonical()))
        };
        let ok = |ok: bool, field| if ok { Ok(()) } else { Err(field) };
        ok(self.what.is_some() || self.subject.is_some(), "what")?;
        ok(canonical(&self.what), "what")?;
        ok(canonical(&self.destination), "destination")?;
        ok(self.kind.value.len() <= LINE_MAX, "kind")?;
        ok(self.count >= 1, "count")
    }

    pub(super) fn is_newer(&self) -> bool {
        let unknown = |what: &Option<Observable>| what.as_ref().is_some_and(|what| !is_known(what.kind));
        !self.extension.is_empty()
            || self.marking.is_newer()
            || self.kind.kind > 2
            || unknown(&self.what)
            || unknown(&self.destination)
    }
}
