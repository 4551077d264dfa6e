//! A report read in place: what every record that comes in needs of its body, with nothing copied.
//!
//! The twins here have the fields, order and encoding of those in [`super::report`], and the checks of both stand here,
//! so that a body is judged alike whichever way it is read.

use bincode::{BorrowDecode, Encode};

use super::report::{
    Extent, INDICATOR_KINDS, INDICATORS_MAX, Indicator, LINE_MAX, ORIGINAL_MAX, ORIGINAL_RATIO_MAX,
    ORIGINALS_MAX, Origin, PATTERN_FIRST, PATTERNS, Report, Source, Subject, TEXT_MAX,
};
use super::{Body, BodyError, REPORT, Salt, agree, is_known};
use crate::codec::{self, CodecError};
use crate::header::{Class, Header};
use crate::id::{OrgId, RecordId};
use crate::marking::{Code, Marking, Tlp, words};
use crate::observable::ObservableRef;
use crate::run::Entry;

/// The borrowed twin of [`Report`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, BorrowDecode)]
#[expect(missing_docs, reason = "each field is that of the same name in `Report`")]
pub struct ReportRef<'a> {
    pub salt: Salt,
    pub subject: Subject,
    pub supersedes: Option<RecordId>,
    pub extent: Extent,
    pub origin: Option<SourceRef<'a>>,
    pub marking: Option<Marking>,
    pub title: &'a str,
    pub description: &'a str,
    pub created: u64,
    pub modified: u64,
    pub labels: Vec<&'a str>,
    pub indicators: Vec<IndicatorRef<'a>>,
    pub withdrawn: Vec<ObservableRef<'a>>,
    pub originals: Vec<OriginalRef<'a>>,
    pub extension: &'a [u8],
}

/// The borrowed twin of [`super::report::Source`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, BorrowDecode)]
#[expect(missing_docs, reason = "each field is that of the same name in `Source`")]
pub struct SourceRef<'a> {
    pub name: &'a str,
    pub org: Option<OrgId>,
    pub id: &'a str,
    pub record: Option<RecordId>,
}

/// The borrowed twin of [`Indicator`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, BorrowDecode)]
#[expect(missing_docs, reason = "each field is that of the same name in `Indicator`")]
pub struct IndicatorRef<'a> {
    pub what: ObservableRef<'a>,
    pub kind: CodeRef<'a>,
    pub confidence: Option<u8>,
    pub valid_from: u64,
    pub valid_until: u64,
    pub id: Option<[u8; 16]>,
    pub comment: &'a str,
}

/// The borrowed twin of [`crate::marking::Code`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, BorrowDecode)]
#[expect(missing_docs, reason = "each field is that of the same name in `Code`")]
pub struct CodeRef<'a> {
    pub kind: u16,
    pub value: &'a [u8],
}

/// The borrowed twin of [`super::report::Original`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, BorrowDecode)]
#[expect(missing_docs, reason = "each field is that of the same name in `Original`")]
pub struct OriginalRef<'a> {
    pub format: u16,
    pub full: u32,
    pub data: &'a [u8],
}

/// A body, read in place where that pays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyRef<'a> {
    /// A report.
    Report(ReportRef<'a>),
    /// Any other kind.
    Other(Body),
}

impl<'a> BodyRef<'a> {
    /// As [`Body::of`].
    #[must_use]
    pub fn of(entry: &'a Entry) -> Option<Result<Self, BodyError>> {
        let (kind, bytes) = entry.readable()?;
        Some(Self::read_as(&entry.header, kind, bytes))
    }

    /// As [`Self::of`], of a body that was read before it was stored, and is as it was: nothing is checked again.
    #[must_use]
    pub fn again(entry: &'a Entry) -> Option<Self> {
        let (kind, bytes) = entry.readable()?;
        Self::again_as(&entry.header, kind, bytes).ok()
    }

    /// As [`Body::read`].
    ///
    /// # Errors
    /// [`BodyError`]: the author signed it, so the author is at fault.
    pub fn read(header: &Header, bytes: &'a [u8]) -> Result<Self, BodyError> {
        if header.suite != 0 {
            return Ok(Self::Other(Body::Newer));
        }
        Self::read_as(header, header.kind, bytes)
    }

    /// As [`Body::read_as`].
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_as(header: &Header, kind: u16, bytes: &'a [u8]) -> Result<Self, BodyError> {
        if kind != REPORT {
            return Body::read_as(header, kind, bytes).map(Self::Other);
        }
        let name = super::name_of(REPORT);
        let report: Result<ReportRef<'a>, CodecError> = codec::decode::<_, { super::LIMIT }>(bytes);
        let report = report.map_err(|error| BodyError::Codec(name, error))?;
        report.check().map_err(|field| BodyError::Field(name, field))?;
        agree(header, Class::Content, name, report.marking.as_ref())?;
        Ok(Self::Report(report))
    }

    /// As [`Body::read_as`], of a body that was read before it was stored, and is as it was: nothing is checked again.
    ///
    /// # Errors
    /// [`BodyError`], if it is no such body all the same.
    pub fn again_as(header: &Header, kind: u16, bytes: &'a [u8]) -> Result<Self, BodyError> {
        if kind != REPORT {
            return Body::read_as(header, kind, bytes).map(Self::Other);
        }
        let report = codec::decode_again::<_, { super::LIMIT }>(bytes);
        report.map(Self::Report).map_err(|error| BodyError::Codec(super::name_of(REPORT), error))
    }

    /// As [`Body::marking`].
    #[must_use]
    pub fn marking(&self) -> Option<&Marking> {
        match self {
            Self::Report(report) => report.marking.as_ref(),
            Self::Other(body) => body.marking(),
        }
    }

    /// As [`Body::kind`].
    #[must_use]
    pub fn kind(&self) -> Option<u16> {
        match self {
            Self::Report(_) => Some(REPORT),
            Self::Other(body) => body.kind(),
        }
    }

    /// As [`Body::is_newer`].
    #[must_use]
    pub fn is_newer(&self) -> bool {
        match self {
            Self::Report(report) => report.is_newer(),
            Self::Other(body) => body.is_newer(),
        }
    }

    /// The report, if it is one.
    #[must_use]
    pub fn into_report(self) -> Option<ReportRef<'a>> {
        if let Self::Report(report) = self { Some(report) } else { None }
    }

    /// The observables of a report that are values, not rules.
    pub fn observables(&self) -> impl Iterator<Item = ObservableRef<'a>> {
        let indicators = if let Self::Report(report) = self { report.indicators.as_slice() } else { &[] };
        indicators.iter().filter(|indicator| !indicator.is_pattern()).map(|indicator| indicator.what)
    }
}

impl SourceRef<'_> {
    fn to_owned(&self) -> Source {
        Source { name: self.name.to_owned(), org: self.org, id: self.id.to_owned(), record: self.record }
    }
}

impl IndicatorRef<'_> {
    /// As [`Indicator::is_pattern`].
    #[must_use]
    pub fn is_pattern(&self) -> bool {
        self.what.kind >= PATTERN_FIRST
    }

    /// The owned twin.
    #[must_use]
    pub fn to_owned(&self) -> Indicator {
        Indicator {
            what: self.what.to_owned(),
            kind: Code { kind: self.kind.kind, value: self.kind.value.to_vec() },
            confidence: self.confidence,
            valid_from: self.valid_from,
            valid_until: self.valid_until,
            id: self.id,
            comment: self.comment.to_owned(),
        }
    }

    fn is_newer(&self) -> bool {
        let known_what = if self.is_pattern() {
            PATTERNS.iter().any(|row| row.0 == self.what.kind)
        } else {
            is_known(self.what.kind)
        };
        !known_what || !INDICATOR_KINDS.iter().any(|row| row.0 == self.kind.kind)
    }

    fn check(&self) -> Result<(), &'static str> {
        let ok = |ok: bool, field| if ok { Ok(()) } else { Err(field) };
        ok(self.confidence.is_none_or(|confidence| confidence <= 100), "confidence")?;
        ok(self.comment.len() <= LINE_MAX, "comment")?;
        ok(self.kind.value.len() <= LINE_MAX, "indicator kind")?;
        ok(self.what.value.len() <= if self.is_pattern() { TEXT_MAX } else { 4096 }, "observable")?;
        // A known type in another form than its canonical one would never match: refused, not guessed at.
        ok(self.is_pattern() || !is_known(self.what.kind) || self.what.is_canonical(), "observable")
    }
}

impl ReportRef<'_> {
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let ok = |ok: bool, field| if ok { Ok(()) } else { Err(field) };
        ok(self.title.len() <= LINE_MAX, "title")?;
        ok(self.description.len() <= TEXT_MAX, "description")?;
        ok(self.labels.len() <= 256, "labels")?;
        ok(self.labels.iter().all(|label| label.len() <= LINE_MAX), "labels")?;
        ok(self.labels.is_sorted_by(|a, b| a < b), "labels")?;
        ok(self.indicators.len() <= INDICATORS_MAX, "indicators")?;
        ok(self.withdrawn.len() <= INDICATORS_MAX, "withdrawn")?;
        ok(self.extent == Extent::Changes || self.withdrawn.is_empty(), "withdrawn")?;
        ok(self.extent == Extent::Whole || self.supersedes.is_some(), "supersedes")?;
        let full = |original: &OriginalRef<'_>| original.full as usize;
        let swollen = |original: &OriginalRef<'_>| full(original) > original.data.len() * ORIGINAL_RATIO_MAX;
        ok(self.originals.len() <= ORIGINALS_MAX && !self.originals.iter().any(swollen), "originals")?;
        ok(self.originals.iter().map(full).sum::<usize>() <= ORIGINAL_MAX, "originals")?;
        if let Some(source) = &self.origin {
            ok(source.name.len() <= LINE_MAX && source.id.len() <= LINE_MAX, "origin")?;
        }
        self.indicators.iter().try_for_each(IndicatorRef::check)
    }

    pub(super) fn is_newer(&self) -> bool {
        !self.extension.is_empty()
            || self.marking.as_ref().is_some_and(Marking::is_newer)
            || self.indicators.iter().any(IndicatorRef::is_newer)
            || self.withdrawn.iter().any(|what| what.kind < PATTERN_FIRST && !is_known(what.kind))
    }

    /// What is said of the report as a whole: the owned twin, without indicators, withdrawn ones and originals.
    #[must_use]
    pub fn head(&self) -> Report {
        Report {
            salt: self.salt,
            subject: self.subject,
            supersedes: self.supersedes,
            extent: self.extent,
            origin: Origin { source: self.origin.as_ref().map(SourceRef::to_owned) },
            marking: self.marking.clone(),
            title: self.title.to_owned(),
            description: self.description.to_owned(),
            created: self.created,
            modified: self.modified,
            labels: self.labels.iter().map(|label| (*label).to_owned()).collect(),
            indicators: Vec::new(),
            withdrawn: Vec::new(),
            originals: Vec::new(),
            extension: self.extension.to_vec(),
        }
    }

    /// The strictest TLP that the kept originals name anywhere, if they name one: an import may raise it, never lower it.
    /// An original that does not decompress counts as RED, because nothing better is known of it.
    #[must_use]
    pub fn strictest_original(&self) -> Option<Tlp> {
        let of_one = |original: &OriginalRef<'_>| {
            codec::inflate(original.data, original.full as usize, ORIGINAL_MAX)
                .map_or(Some(Tlp::Red), |bytes| words::strictest_in(&bytes))
        };
        self.originals.iter().filter_map(of_one).max()
    }
}

impl Report {
    /// The borrowed twin.
    #[must_use]
    pub fn borrowed(&self) -> ReportRef<'_> {
        ReportRef {
            salt: self.salt,
            subject: self.subject,
            supersedes: self.supersedes,
            extent: self.extent,
            origin: self.origin.source.as_ref().map(|source| SourceRef {
                name: &source.name,
                org: source.org,
                id: &source.id,
                record: source.record,
            }),
            marking: self.marking.clone(),
            title: &self.title,
            description: &self.description,
            created: self.created,
            modified: self.modified,
            labels: self.labels.iter().map(String::as_str).collect(),
            indicators: self.indicators.iter().map(Indicator::borrowed).collect(),
            withdrawn: self.withdrawn.iter().map(|what| what.borrowed()).collect(),
            originals: self
                .originals
                .iter()
                .map(|original| OriginalRef {
                    format: original.format,
                    full: original.full,
                    data: &original.data,
                })
                .collect(),
            extension: &self.extension,
        }
    }
}

impl Indicator {
    fn borrowed(&self) -> IndicatorRef<'_> {
        IndicatorRef {
            what: self.what.borrowed(),
            kind: CodeRef { kind: self.kind.kind, value: &self.kind.value },
            confidence: self.confidence,
            valid_from: self.valid_from,
            valid_until: self.valid_until,
            id: self.id,
            comment: &self.comment,
        }
    }
}
