//! A report: what an agency knows, as indicators with their context, under one marking.

use bincode::{Decode, Encode};

use super::Salt;
use crate::codec::{self, InflateError};
use crate::id::{OrgId, RecordId};
use crate::marking::{Code, Marking};
use crate::observable::Observable;

/// Most indicators in one report, new and withdrawn each: a reader holds them all at
/// once, in some 3 MB. What writes a longer list splits it.
pub const INDICATORS_MAX: usize = 20_000;
/// Longest title, name or comment, in bytes: a paragraph, of what people read as a line.
pub const LINE_MAX: usize = 1024;
/// Longest description, and longest rule, in bytes: a report of some thirty pages.
pub const TEXT_MAX: usize = 64 << 10;
/// Most originals of a report: a source's own objects are one array of STIX, or one event of MISP, for each format.
pub const ORIGINALS_MAX: usize = 64;
/// All originals of a report after decompression, in bytes together.
pub const ORIGINAL_MAX: usize = 16 << 20;
/// Most bytes after decompression for one before: who judges a report reads its originals. Exports of MISP and STIX come
/// to 30.
pub const ORIGINAL_RATIO_MAX: usize = 64;

/// The stable id of a report through its versions: a STIX or MISP uuid, a name-based one, or fresh.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Subject(pub [u8; 16]);

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        uuid::Uuid::from_bytes(self.0).fmt(f)
    }
}

impl std::fmt::Debug for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Subject({self})")
    }
}

impl std::str::FromStr for Subject {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        uuid::Uuid::parse_str(text).map(|id| Self(id.into_bytes()))
    }
}

/// One version of a report.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Report {
    /// 16 random bytes, new for each version and each circle, so that no body can be guessed by its hash.
    pub salt: Salt,
    /// Which report.
    pub subject: Subject,
    /// The id of the version before, in this circle, by any node of the same org.
    pub supersedes: Option<RecordId>,
    /// Whether the indicators are all there are, or what changed since the version before.
    pub extent: Extent,
    /// Who observed it first.
    pub origin: Origin,
    /// How it may be handled; `None` for what was imported unmarked, which never leaves the org's own circle.
    pub marking: Option<Marking>,
    /// One line for people.
    pub title: String,
    /// What happened, for people.
    pub description: String,
    /// When the source first wrote it, in ms, 0 if unknown.
    pub created: u64,
    /// When the source last changed it, in ms, 0 if unknown.
    pub modified: u64,
    /// Labels and tags, as the source wrote them; sorted, none twice.
    pub labels: Vec<String>,
    /// What to look for.
    pub indicators: Vec<Indicator>,
    /// What no longer counts since the version before; only in changes.
    pub withdrawn: Vec<Observable>,
    /// The source's own objects, kept losslessly.
    pub originals: Vec<Original>,
    /// What newer nodes add.
    pub extension: Vec<u8>,
}

/// What a version's indicators are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Extent {
    /// All of the report.
    Whole,
    /// Added and changed ones; the report is held while the version before is missing.
    Changes,
}

/// Who observed it first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Origin {
    /// `None`: the author's own observation. Otherwise it is derived from this source.
    pub source: Option<Source>,
}

/// Where derived data came from.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Source {
    /// Name of the feed, platform or org.
    pub name: String,
    /// The org, if it is one of the mesh.
    pub org: Option<OrgId>,
    /// The source's own id of the report.
    pub id: String,
    /// The record, if it came over a mesh.
    pub record: Option<RecordId>,
}

/// One thing to look for, with its context.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Indicator {
    /// The observable; from [`PATTERN_FIRST`] on the text of a rule in one of [`PATTERNS`].
    pub what: Observable,
    /// What it indicates, from [`INDICATOR_KINDS`]; kind 0 if not said.
    pub kind: Code,
    /// 0 to 100, if the source said so.
    pub confidence: Option<u8>,
    /// From when, in ms, 0 if not said.
    pub valid_from: u64,
    /// Until when, in ms, 0 if not said.
    pub valid_until: u64,
    /// The source's own id of it, if it has one.
    pub id: Option<[u8; 16]>,
    /// One line for people.
    pub comment: String,
}

/// The first number of a rule language among the types of [`Indicator::what`].
pub const PATTERN_FIRST: u16 = 0x4000;

/// Rule languages: number and name. Kept and exported, not matched as values.
pub static PATTERNS: &[(u16, &str)] = &[
    (0x4000, "stix"),
    (0x4001, "yara"),
    (0x4002, "sigma"),
    (0x4003, "snort"),
    (0x4004, "suricata"),
    (0x4005, "pcre"),
];

/// The kind of a value that was seen somewhere, and of which nobody says that it is bad: context.
pub const OBSERVED: u16 = 12;
/// The kind of a value of which somebody says that nothing is wrong with it.
pub const BENIGN: u16 = 4;

/// What an indicator indicates: number and name (STIX 2.1 `indicator-type-ov` and what MISP adds).
pub static INDICATOR_KINDS: &[(u16, &str)] = &[
    (0, "unknown"),
    (1, "malicious-activity"),
    (2, "anomalous-activity"),
    (3, "anonymization"),
    (BENIGN, "benign"),
    (5, "compromised"),
    (6, "attribution"),
    (7, "phishing"),
    (8, "command-and-control"),
    (9, "malware"),
    (10, "scanner"),
    (11, "fraud"),
    (OBSERVED, "observed"),
];

/// An object of the source, compressed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Original {
    /// 1 STIX 2.1 object, 2 MISP event without its attributes, 3 MISP attribute or object, 4 line of a list.
    pub format: u16,
    /// Length after decompression, in bytes.
    pub full: u32,
    /// zstd.
    pub data: Vec<u8>,
}

impl Original {
    /// Compresses an object.
    ///
    /// # Errors
    /// When it is over [`ORIGINAL_MAX`], or shrinks by more than [`ORIGINAL_RATIO_MAX`].
    pub fn pack(format: u16, bytes: &[u8]) -> Result<Self, InflateError> {
        let too_long = |most| InflateError::TooLong { stated: bytes.len(), most };
        if bytes.len() > ORIGINAL_MAX {
            return Err(too_long(ORIGINAL_MAX));
        }
        let full = u32::try_from(bytes.len()).map_err(|_| too_long(ORIGINAL_MAX))?;
        let data = codec::deflate(bytes);
        if bytes.len() > data.len() * ORIGINAL_RATIO_MAX {
            return Err(too_long(data.len() * ORIGINAL_RATIO_MAX));
        }
        Ok(Self { format, full, data })
    }

    /// Decompresses it.
    ///
    /// # Errors
    /// When it is damaged or longer than stated.
    pub fn unpack(&self) -> Result<Vec<u8>, InflateError> {
        codec::inflate(&self.data, self.full as usize, ORIGINAL_MAX)
    }
}

impl Indicator {
    /// Whether `what` is the text of a rule rather than a value.
    #[must_use]
    pub fn is_pattern(&self) -> bool {
        self.what.kind >= PATTERN_FIRST
    }
}

impl Report {
    /// The header's expiry for this report: when its marking says it must be gone, 0 for never.
    #[must_use]
    pub fn expires(&self) -> u64 {
        self.marking.as_ref().and_then(|marking| marking.retain_until).unwrap_or(0)
    }
}
