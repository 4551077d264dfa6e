//! What must hold after each file, by what the files say.

pub mod marking;
pub mod newest;

use std::fmt;

use tocsin_api::types::Lookup;
use tocsin_cli::importer::Summary;
use tocsin_record::body::report::Report;

use crate::story::{File, Story};
use crate::truth::Truth;

/// A promise that was broken.
#[derive(Debug)]
pub struct Violation {
    /// By which oracle it was noticed.
    pub oracle: &'static str,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.oracle, self.what)
    }
}

/// A value of a story, and what nodes know of it.
pub struct Seen<'s> {
    /// The object that says it.
    pub object: usize,
    /// The value.
    pub value: &'s str,
    /// What is known.
    pub known: Lookup,
}

/// What is looked at after a file.
pub struct After<'a, 's> {
    /// The story.
    pub story: &'s Story,
    /// The file that was imported last.
    pub file: &'s File,
    /// What must be true before it.
    pub before: &'a Truth<'s>,
    /// What must be true since.
    pub truth: &'a Truth<'s>,
    /// What the importer said of it.
    pub summary: &'a Summary,
    /// What was published for it outside of the own circle.
    pub published: &'a [Report],
    /// What the importing node knows.
    pub own: &'a [Seen<'s>],
}
