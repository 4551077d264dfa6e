//! How indicators come in: STIX, MISP, CSV and plain lists, as drafts of reports.
//!
//! Pure: bytes in, drafts out. No paths, no clock, no randomness; what a draft needs of these (salt, time, marking
//! of the last resort) the caller gives when it makes a report of it.
//!
//! ```text
//! Content --FORMATS: sniff--> parse --> Draft --gather: merge, split, hash--> Imported --whole / version--> Report
//!   by pieces                 |                                                ^
//!                             '--> Skipped (line or object, and why)           '-- marking::resolve
//! ```
//!
//! Memory is bounded: CSV files and lists of up to [`FILE_MAX`] bytes are read by pieces of a MiB, and their values wait
//! packed (`packed`), in at most 384 MiB, mostly less than their lines take; JSON is read whole, up to [`JSON_MAX`]. Reports
//! are handed over one by one as they are made.
//!
//! Held here: one bad object or line never loses the rest; the same bytes give the same subjects and content
//! hashes; a marking is never looser than what the object says. To add a format: a file here, a row of [`FORMATS`], and
//! a target in `crates/fuzz`, whose tests ask for it.

mod blocklist;
mod changes;
pub mod csv;
mod dataset;
mod fault;
mod gather;
mod json;
pub mod list;
pub mod marking;
pub mod misp;
mod names;
mod packed;
pub mod personal;
mod pieces;
pub mod profile;
mod split;
pub mod stix;
mod types;
mod unmatched;
mod utf16;
pub mod versions;
mod when;

use std::collections::BTreeMap;
use std::io::{self, Cursor};
use std::ops::{ControlFlow, Deref, DerefMut};

use tocsin_record::OrgId;
use tocsin_record::body::report::{Indicator, Original, Source, Subject};

pub use changes::{Changes, changes};
pub use gather::{
    BUCKET_DIGITS_MAX, ListPlace, bucket_names, by_hand_subject, fingerprint, list_of, list_place,
    list_subject, part_subject, split_subject,
};
pub use marking::{PartialMarking, floor_of, group_names};
pub use pieces::Content;
pub use profile::Profile;
pub use unmatched::{well_known, why_unmatched};
pub use versions::Gone;

use fault::Fault;
use pieces::Pieces;

/// Largest file that is imported, in bytes.
pub const FILE_MAX: u64 = 256 << 20;
/// Largest file of a format that is read in one piece, in bytes: STIX and MISP. The largest bundle in public use (ATT&CK
/// for enterprises) has about 45 MB.
pub const JSON_MAX: usize = 64 << 20;
/// How many of what was left out, and of what was taken otherwise than it says, are told one by one; the rest is counted.
pub const SKIPPED_MAX: usize = 1_000;

/// What is known of a file beside its content.
#[derive(Clone, Copy, Debug)]
pub struct FileInfo<'a> {
    /// The file's name. With `source` it identifies a list that has no ids of its own, so it must be the same the
    /// next time: a name, not a path of this machine. It is the title of such a list.
    pub name: &'a str,
    /// Name of the source: the profile's, else the folder's or whatever the operator called it. What goes out as the
    /// origin is the profile's `name`, else this.
    pub source: &'a str,
    /// The importing org: the namespace of made-up subjects.
    pub org: OrgId,
    /// What is known of the source beforehand; `Profile::default()` for nothing.
    pub profile: &'a Profile,
}

/// A format: how its files are recognised and read.
pub struct Format {
    /// For people, profiles and JSON.
    pub name: &'static str,
    /// Whether the bytes look like it; cheap, and asked in the order of the table. What is meant to be JSON is nothing
    /// else: a format that is none refuses it, so that an unknown object is told as such and not read line by line.
    pub sniff: fn(&[u8]) -> bool,
    parse: fn(&mut Pieces<'_>, &FileInfo<'_>, &mut Reading<'_>) -> Result<(), ImportError>,
}

/// All formats. The last takes any text that is no JSON.
pub static FORMATS: &[Format] = &[stix::FORMAT, misp::FORMAT, csv::FORMAT, list::FORMAT];

/// What a file held.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Name of the format that it was read as.
    pub format: &'static str,
    /// What the file says of all that is in it, such as a comment `# TLP:GREEN` at its top.
    pub marking: PartialMarking,
    /// The reports to be made; none of those that [`read`] handed over.
    pub reports: Vec<Imported>,
    /// What was left out, in order, at most [`SKIPPED_MAX`]; `counts.skipped` has them all.
    pub skipped: Vec<Skipped>,
    /// What was taken otherwise than it is written, or was taken back by its source, in order, at most [`SKIPPED_MAX`];
    /// `counts.noted` has them all.
    pub noted: Vec<Skipped>,
    /// What its source took back, which is for ever.
    pub gone: Vec<Gone>,
    /// What is kept in an original and is no indicator, by type: free texts, links, ports. How many of each.
    pub context: BTreeMap<String, u64>,
    /// How much of each there is, without a bound.
    pub counts: Counts,
}

/// Totals of one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Objects, attributes, rows or lines that were looked at; comments and blank lines are none.
    pub seen: u64,
    /// Reports that were made.
    pub reports: u64,
    /// Indicators in all reports, after duplicates were merged.
    pub indicators: u64,
    /// Values that stood more than once in a report and were merged.
    pub duplicates: u64,
    /// Objects that their source took back: revoked or deleted.
    pub withdrawn: u64,
    /// Objects or lines left out because something is wrong with them.
    pub skipped: u64,
    /// What was taken otherwise than it is written, or was taken back by its source.
    pub noted: u64,
    /// Reports whose original objects were too large to be kept beside their indicators.
    pub originals_dropped: u64,
    /// Objects with a marking-definition that is not in the file and that no standard defines.
    pub unknown_markings: u64,
}

impl Counts {
    /// Whether more was left out than was read.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        self.skipped > self.seen.saturating_sub(self.skipped)
    }
}

/// Something that was left out, or taken otherwise than it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its line, from 1, where the format has lines.
    pub line: Option<u64>,
    /// Which object and field; may be empty where the line says it. Fit for a terminal.
    pub path: String,
    /// The beginning of the value that is wrong; empty where the place says it. Fit for a terminal.
    pub value: String,
    /// What is wrong and how to mend it, without the value: the same for all with this fault. Fit for a terminal.
    pub why: String,
}

/// A report to be made: everything but salt and final marking.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The same for the same report of the same source, whenever it is imported.
    pub subject: Subject,
    /// One line for people.
    pub title: String,
    /// What happened, for people.
    pub description: String,
    /// When the source first wrote it, in ms, 0 if unknown.
    pub created: u64,
    /// When the source last changed it, in ms, 0 if unknown.
    pub modified: u64,
    /// Labels and tags, sorted, none twice; handling tags became `marking`.
    pub labels: Vec<String>,
    /// What the objects say about handling.
    pub marking: PartialMarking,
    /// What to look for, sorted by observable, none twice.
    pub indicators: Vec<Indicator>,
    /// The source's own objects.
    pub originals: Vec<Original>,
    /// Where it came from.
    pub origin: Source,
    /// Digest of all that matters above: equal if and only if nothing has to be published.
    pub content_hash: [u8; 32],
    /// More of its file was left out than was read, as where a page of words stands in the place of a list.
    pub doubtful: bool,
}

/// Why nothing of a file could be read.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Nothing in it.
    #[error("the file is empty")]
    Empty,
    /// Reading failed.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    /// Over [`FILE_MAX`].
    #[error("the file has {0} bytes; at most {FILE_MAX} are imported at once: split it")]
    TooLarge(u64),
    /// Over [`JSON_MAX`].
    #[error(
        "a STIX or MISP file is read in one piece, of at most {JSON_MAX} bytes, and this one is longer: have its source \
         export it in several, such as one for each event or month"
    )]
    TooLargeWhole,
    /// In UTF-16, and over what is read of that.
    #[error(
        "the file is UTF-16 and has {0} bytes; at most {most} of that are read: convert it to UTF-8, or split it",
        most = utf16::UTF16_MAX
    )]
    TooLargeUtf16(u64),
    /// Its values take more than 384 MiB.
    #[error("it holds more values and comments than are imported at once: split it")]
    TooMany,
    /// A page of the web where a list was expected.
    #[error(
        "the file is a web page, such as one that says that the list is not there: its values are not read"
    )]
    WebPage,
    /// Most of its lines are of no type that tells itself, as of names of processes.
    #[error(
        "{} of {lines} lines are of no type that tells itself, such as `{first}`: it is no list of what the other {read} \
         look{} like, and nothing was taken from it; say of what type all of them are, as `type = 'process'` in the \
         source's profile (--source NAME)",
        lines - read,
        if *read == 1 { "s" } else { "" }
    )]
    NoList {
        /// Lines of one word each, and those that were read.
        lines: u64,
        /// Those that were read.
        read: u64,
        /// The first that was not, cut.
        first: String,
    },
    /// Not text.
    #[error("the file is {0}; convert it to UTF-8 text first")]
    Encoding(&'static str),
    /// Broken JSON.
    #[error("the file is no whole JSON, such as one cut off on its way: line {line}, column {column}: {why}")]
    Json {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What the parser says, cut: its own words quote what it read, whole.
        why: String,
    },
    /// JSON of another shape.
    #[error("the file is JSON but holds {0}; tocsin reads {names}", names = format_names())]
    Shape(&'static str),
    /// No such format.
    #[error("there is no format `{0}`; use {names}", names = format_names())]
    UnknownFormat(String),
    /// A column mapping that does not fit the file.
    #[error("the profile's column `{0}` is not in the file's header")]
    Column(String),
}

/// Reads bytes as [`read`] does, and keeps the reports.
///
/// # Errors
/// As [`read`].
pub fn import(bytes: &[u8], file: &FileInfo<'_>) -> Result<Found, ImportError> {
    let mut reports = Vec::new();
    let mut take = |report, _: &PartialMarking| {
        reports.push(report);
        ControlFlow::Continue(())
    };
    let found = read(&mut Cursor::new(bytes), file, &mut take)?;
    Ok(Found { reports, ..found })
}

/// Reads a file in the format that its profile names, else the one that it looks like. Each report is handed over with
/// what the whole file says of its marking, until one is answered with a break; what was found by then is returned.
///
/// # Errors
/// When nothing can be read at all; what is wrong with parts of it is in [`Found::skipped`].
pub fn read(
    content: &mut dyn Content,
    file: &FileInfo<'_>,
    take: &mut dyn FnMut(Imported, &PartialMarking) -> ControlFlow<()>,
) -> Result<Found, ImportError> {
    let mut decoded = utf16::decoded(content)?;
    let content: &mut dyn Content = match &mut decoded {
        Some(text) => text,
        None => content,
    };
    let mut pieces = Pieces::of(content)?;
    let head = pieces.ahead()?;
    // What begins with as many blanks as are read ahead is a list, and has no values.
    if head.iter().all(u8::is_ascii_whitespace) && head.len() < pieces::AHEAD {
        return Err(ImportError::Empty);
    }
    let start = &head[..head.len().min(4096)];
    if start.contains(&0) || start.starts_with(b"\x1f\x8b") {
        return Err(ImportError::Encoding("not text (packed or binary)"));
    }
    if is_web_page(start) {
        return Err(ImportError::WebPage);
    }
    let format = match &file.profile.format {
        Some(name) => FORMATS
            .iter()
            .find(|format| format.name == name)
            .ok_or_else(|| ImportError::UnknownFormat(name.clone()))?,
        None => recognise(head)?,
    };
    let mut found = Found { format: format.name, ..Found::default() };
    let mut of_name = PartialMarking::default();
    of_name.take_text(file.name, (None, "the file's name"), file, &mut found);
    found.marking = of_name;
    let mut reading = Reading { found, take, stopped: false };
    (format.parse)(&mut pieces, file, &mut reading)?;
    Ok(reading.found)
}

/// Whether a file begins as HTML or XML does.
fn is_web_page(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let begins = |tag: &[u8]| head.get(..tag.len()).is_some_and(|head| head.eq_ignore_ascii_case(tag));
    [&b"<!doctype"[..], b"<html", b"<head", b"<body", b"<?xml", b"<!--", b"<meta", b"<title", b"<script"]
        .iter()
        .any(|tag| begins(tag))
}

/// What was found in a file so far, and who takes its reports.
pub(crate) struct Reading<'t> {
    found: Found,
    take: &'t mut dyn FnMut(Imported, &PartialMarking) -> ControlFlow<()>,
    stopped: bool,
}

impl Reading<'_> {
    /// Hands a report over. After a break nothing is.
    pub(crate) fn give(&mut self, mut report: Imported) -> ControlFlow<()> {
        if self.stopped {
            return ControlFlow::Break(());
        }
        self.found.counts.reports += 1;
        report.doubtful = self.found.counts.is_doubtful();
        self.found.counts.indicators += report.indicators.len() as u64;
        let taken = (self.take)(report, &self.found.marking);
        self.stopped = taken.is_break();
        taken
    }
}

impl Deref for Reading<'_> {
    type Target = Found;

    fn deref(&self) -> &Found {
        &self.found
    }
}

impl DerefMut for Reading<'_> {
    fn deref_mut(&mut self) -> &mut Found {
        &mut self.found
    }
}

/// The format that the beginning of a file looks like, of which 64 KiB are enough.
///
/// # Errors
/// For JSON that is of no format here.
pub fn recognise(bytes: &[u8]) -> Result<&'static Format, ImportError> {
    FORMATS.iter().find(|format| (format.sniff)(bytes)).ok_or(ImportError::Shape("nothing that is imported"))
}

/// The names of all formats, for a message: `stix, misp or list`.
pub(crate) fn format_names() -> String {
    let names: Vec<&str> = FORMATS.iter().map(|format| format.name).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

impl Found {
    /// Takes note that a source took an object back, of an event if it is of one.
    pub(crate) fn take_back(&mut self, name: &str, within: Option<[u8; 16]>) {
        if let Some(id) = versions::own_id(name) {
            self.gone.push(Gone { id, within, name: names::one_line(name, 120) });
        }
    }

    /// Leaves something out, and says why.
    pub(crate) fn skip(&mut self, line: Option<u64>, path: &str, why: impl Into<Fault>) {
        self.counts.skipped += 1;
        if self.skipped.len() < SKIPPED_MAX {
            self.skipped.push(told(line, path, why.into()));
        }
    }

    /// Takes something otherwise than it is written, or not at all because its source took it back, and says so.
    pub(crate) fn note(&mut self, line: Option<u64>, path: &str, why: impl Into<Fault>) {
        self.counts.noted += 1;
        if self.noted.len() < SKIPPED_MAX {
            self.noted.push(told(line, path, why.into()));
        }
    }

    /// Notes something that stays in the original only.
    pub(crate) fn keep_as_context(&mut self, what: &str) {
        // The types come from outside: a bound keeps a hostile file from growing the map.
        // MISP has some 190 types of attributes.
        const TYPES_MAX: usize = 200;
        let what = if self.context.len() < TYPES_MAX || self.context.contains_key(what) {
            names::one_line(what, 60)
        } else {
            "other types".to_owned()
        };
        *self.context.entry(what).or_default() += 1;
    }
}

fn told(line: Option<u64>, path: &str, fault: Fault) -> Skipped {
    Skipped { line, path: names::one_line(path, 120), value: fault.value, why: fault.why }
}

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Format").field("name", &self.name).finish_non_exhaustive()
    }
}
