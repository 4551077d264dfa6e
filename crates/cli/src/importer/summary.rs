//! What came of an import, over all files and file by file.

use std::collections::BTreeMap;

use serde::Serialize;
use tocsin_api::types::{Advice, Imported, Recipient, Recipients};

/// Most reports named of what an org would get by one rule.
const RECIPIENT_EXAMPLES: usize = 3;
/// Most values named of one reason.
const EXAMPLES: usize = 5;

/// What came of an import.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    /// Over all files.
    pub total: Imported,
    /// Whether what is marked was to be shared.
    #[serde(skip)]
    pub share_wanted: bool,
    /// File by file.
    pub files: Vec<FileSummary>,
    /// The source that was named, where it has no profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_profile: Option<String>,
}

impl Summary {
    /// How it went, over all files.
    #[must_use]
    pub fn went(&self) -> Went {
        let unread = self.files.iter().filter(|file| file.error.is_some()).count();
        let partly = unread > 0
            || self.files.iter().any(|file| file.skipped > 0)
            || !self.total.skipped.is_empty()
            || (self.share_wanted && self.total.unmarked > 0);
        match () {
            () if unread == self.files.len() => Went::Nothing,
            () if partly => Went::Partly,
            () => Went::Well,
        }
    }
}

/// How an import went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Went {
    /// All was read, and shared where that was wanted.
    Well,
    /// Something was left out, not read or not shared.
    Partly,
    /// No file could be read.
    Nothing,
}

/// Something that was left out or taken otherwise, and why.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Reason {
    /// Which line or object, and which field of it.
    pub what: String,
    /// The beginning of the value; empty where the place says it.
    pub value: String,
    /// Why, and what would help.
    pub why: String,
}

/// What was found in one file.
#[derive(Debug, Default, Serialize)]
pub struct FileSummary {
    /// Its path, as it was named or found in a folder.
    pub file: String,
    /// As what it was read.
    pub format: String,
    /// Objects, rows or lines in it.
    pub seen: u64,
    /// Reports made of it.
    pub reports: u64,
    /// Indicators in them.
    pub indicators: u64,
    /// Values that stood more than once.
    pub duplicates: u64,
    /// What was left out.
    pub skipped: u64,
    /// Why, for the first of them.
    pub reasons: Vec<Reason>,
    /// What was taken otherwise than it is written, or was taken back by its source.
    pub noted: u64,
    /// The first of them.
    pub notes: Vec<Reason>,
    /// What became an indicator: how many of each type.
    pub types: BTreeMap<String, u64>,
    /// How many indicators go under each marking.
    pub markings: BTreeMap<String, u64>,
    /// What is kept beside the indicators and is none: how many of each type.
    pub context: BTreeMap<String, u64>,
    /// What is kept and about persons: how many parts of objects, or values of a list, of each type.
    pub personal: BTreeMap<String, u64>,
    /// What was left out for that, as was asked for.
    pub without: BTreeMap<String, u64>,
    /// Why nothing of it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What the reader of a file said of a place in it.
pub(super) fn reason(skipped: &tocsin_exchange::Skipped) -> Reason {
    Reason {
        what: match (skipped.line, skipped.path.as_str()) {
            (Some(line), "") => format!("line {line}"),
            (Some(line), path) => format!("line {line}, {path}"),
            (None, path) => path.to_owned(),
        },
        value: skipped.value.clone(),
        why: skipped.why.clone(),
    }
}

/// One reason stands once, whatever batch it came from.
pub(super) fn add_advice(all: &mut Vec<Advice>, more: Vec<Advice>) {
    for new in more {
        match all.iter_mut().find(|known| known.why == new.why) {
            Some(known) => {
                known.count += new.count;
                let room = EXAMPLES.saturating_sub(known.values.len());
                known.values.extend(new.values.into_iter().take(room));
            }
            None => all.push(new),
        }
    }
}

/// Adds what a further part of reports came to: what is said of an org by one rule is said once.
pub(crate) fn add_recipients(all: &mut Recipients, more: Recipients) {
    all.reports += more.reports;
    all.skipped.extend(more.skipped);
    for one in more.recipients {
        let is_same = |known: &&mut Recipient| {
            (&known.circle, &known.org, known.carries, known.gets, &known.rule)
                == (&one.circle, &one.org, one.carries, one.gets, &one.rule)
        };
        match all.recipients.iter_mut().find(is_same) {
            Some(known) => {
                known.reports += one.reports;
                let room = RECIPIENT_EXAMPLES.saturating_sub(known.examples.len());
                known.examples.extend(one.examples.into_iter().take(room));
            }
            None => all.recipients.push(one),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_it_went_is_the_exit_code() {
        let file = |skipped, error: Option<&str>| FileSummary {
            skipped,
            error: error.map(str::to_owned),
            ..FileSummary::default()
        };
        let went = |files| Summary { files, ..Summary::default() }.went();
        assert_eq!(went(vec![file(0, None)]), Went::Well);
        assert_eq!(went(vec![file(1, None)]), Went::Partly);
        assert_eq!(went(vec![file(0, None), file(0, Some("no"))]), Went::Partly);
        assert_eq!(went(vec![file(0, Some("no"))]), Went::Nothing);
        let total = Imported { unmarked: 1, ..Imported::default() };
        let shared = |share_wanted| Summary {
            total: total.clone(),
            files: vec![file(0, None)],
            share_wanted,
            ..Summary::default()
        };
        assert_eq!((shared(false).went(), shared(true).went()), (Went::Well, Went::Partly));
    }
}
