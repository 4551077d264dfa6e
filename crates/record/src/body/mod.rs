//! What records carry: one append-only set, one file a kind.
//!
//! Every body begins with 16 random bytes, so that the hash left in the chain tells nothing of a body that was
//! withheld or erased, and ends in a length-prefixed extension, where newer nodes write what this one keeps unread.
//! To add a kind: a file here, a variant of [`Body`] and a row of [`KINDS`], each appended.

pub mod borrowed;
pub mod key;
pub mod note;
pub mod report;
pub mod retraction;
pub mod sighting;

use bincode::{BorrowDecode, Encode};

use crate::codec::{self, CodecError};
use crate::document::Signed;
use crate::header::{BODY_MAX, Class, Header};
use crate::marking::{Marking, MarkingError};
use crate::observable;
use crate::run::Entry;

pub use borrowed::{BodyRef, ReportRef};
pub use key::{Rewrap, WrappedKey};
pub use note::Note;
pub use report::Report;
pub use retraction::Retraction;
pub use sighting::Sighting;

/// What decoding one body may take in memory, in bytes: structures are wider in memory than on
/// the wire, an indicator of 10 bytes there takes some 130 here.
const LIMIT: usize = 24 * BODY_MAX;

/// Salt of a body: random, erased with it.
pub type Salt = [u8; 16];

/// One kind of body.
#[derive(Debug)]
pub struct Kind {
    /// As the header says it. Never reused.
    pub id: u16,
    /// The class it must stand in.
    pub class: Class,
    /// For people and policies.
    pub name: &'static str,
    decode: fn(&[u8]) -> Result<Body, CodecError>,
}

/// Kind of a roster or charter that travels as a record.
pub const ROSTER: u16 = 1;
/// Kind of a certificate that travels as a record.
pub const CERTIFICATE: u16 = 2;
/// Kind of wrapped period keys, [`WrappedKey`].
pub const KEY: u16 = 3;
/// Kind of further wraps of such a key, [`Rewrap`].
pub const REWRAP: u16 = 4;
/// Kind of a retraction.
pub const RETRACTION: u16 = 16;
/// Kind of a report.
pub const REPORT: u16 = 32;
/// Kind of a sighting.
pub const SIGHTING: u16 = 33;
/// Kind of a note.
pub const NOTE: u16 = 34;

/// All kinds that this node reads.
pub static KINDS: &[Kind] = &[
    Kind { id: ROSTER, class: Class::Control, name: "roster", decode: |b| read(b).map(Body::Roster) },
    Kind {
        id: CERTIFICATE,
        class: Class::Control,
        name: "certificate",
        decode: |b| read(b).map(Body::Certificate),
    },
    Kind {
        id: RETRACTION,
        class: Class::Withdrawal,
        name: "retraction",
        decode: |b| read(b).map(Body::Retraction),
    },
    Kind { id: REPORT, class: Class::Content, name: "report", decode: |b| read(b).map(Body::Report) },
    Kind { id: SIGHTING, class: Class::Content, name: "sighting", decode: |b| read(b).map(Body::Sighting) },
    Kind { id: NOTE, class: Class::Content, name: "note", decode: |b| read(b).map(Body::Note) },
    Kind { id: KEY, class: Class::Control, name: "key", decode: |b| WrappedKey::read(b).map(Body::Key) },
    Kind { id: REWRAP, class: Class::Control, name: "rewrap", decode: |b| Rewrap::read(b).map(Body::Rewrap) },
];

/// The class of a known kind, `None` for a kind that is newer than this node.
#[must_use]
pub fn class_of(kind: u16) -> Option<Class> {
    find(kind).map(|row| row.class)
}

/// The name of a kind, "newer" for one that this node does not know.
#[must_use]
pub fn name_of(kind: u16) -> &'static str {
    find(kind).map_or("newer", |row| row.name)
}

impl Kind {
    fn read(&self, bytes: &[u8]) -> Result<Body, BodyError> {
        let body = (self.decode)(bytes).map_err(|error| BodyError::Codec(self.name, error))?;
        body.check().map_err(|field| BodyError::Field(self.name, field))?;
        Ok(body)
    }
}

fn find(kind: u16) -> Option<&'static Kind> {
    KINDS.iter().find(|row| row.id == kind)
}

fn read<'a, T: BorrowDecode<'a, ()> + Encode>(bytes: &'a [u8]) -> Result<T, CodecError> {
    codec::decode::<T, LIMIT>(bytes)
}

/// A document as the body of a control record.
#[derive(Clone, Debug, PartialEq, Eq, Encode, bincode::Decode)]
pub struct Carried {
    /// 16 random bytes, so that no body can be guessed by its hash.
    pub salt: Salt,
    /// The document with its own signatures, valid from any hand.
    pub document: Signed,
    /// What newer nodes add.
    pub extension: Vec<u8>,
}

/// A body, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A roster or charter.
    Roster(Carried),
    /// A certificate.
    Certificate(Carried),
    /// The key of a period, wrapped for those who may read what its author seals by it.
    Key(WrappedKey),
    /// Such a key, wrapped once more.
    Rewrap(Rewrap),
    /// Takes a report back, for ever.
    Retraction(Retraction),
    /// What an agency knows.
    Report(Report),
    /// Where something known was met.
    Sighting(Sighting),
    /// Words about a report.
    Note(Note),
    /// Of a kind or suite that this node does not read: kept, carried and held.
    Newer,
}

/// Why a body that hashes right is refused for good: its author's fault.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It does not parse, or not in its one form.
    #[error("the {0} {1}")]
    Codec(&'static str, #[source] CodecError),
    /// Its marking is out of bounds.
    #[error("the marking of the {0}: {1}")]
    Marking(&'static str, #[source] MarkingError),
    /// A bound of the kind is not kept.
    #[error("the {0}: field `{1}` is out of bounds")]
    Field(&'static str, &'static str),
    /// Header and body say different things.
    #[error("header and body disagree about `{0}`")]
    Disagree(&'static str),
}

impl Body {
    /// Reads the body of an unsealed record and checks it against its header. One of a sealed record is newer than whoever asks
    /// so: see [`Self::of`].
    ///
    /// # Errors
    /// [`BodyError`]: the author signed it, so the author is at fault.
    pub fn read(header: &Header, bytes: &[u8]) -> Result<Self, BodyError> {
        if header.suite != 0 {
            return Ok(Self::Newer);
        }
        Self::read_as(header, header.kind, bytes)
    }

    /// Reads the body of a record, or what it opened to, and checks it against its header. `None` where it is not here, or
    /// sealed and not opened.
    #[must_use]
    pub fn of(entry: &Entry) -> Option<Result<Self, BodyError>> {
        let (kind, bytes) = entry.readable()?;
        Some(Self::read_as(&entry.header, kind, bytes))
    }

    /// Reads bytes as the body of a kind, which the header names, or, where the record is sealed and its header shows neither
    /// kind nor marking, what it opened to.
    ///
    /// # Errors
    /// As [`Self::read`]; also when the kind of a sealed record does not fit the header's class.
    pub fn read_as(header: &Header, kind: u16, bytes: &[u8]) -> Result<Self, BodyError> {
        let Some(kind) = find(kind) else {
            return Ok(Self::Newer);
        };
        let body = kind.read(bytes)?;
        agree(header, kind.class, kind.name, body.marking())?;
        Ok(body)
    }

    fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Report(report) => report.borrowed().check(),
            Self::Sighting(sighting) => sighting.check(),
            Self::Note(note) => note.check(),
            Self::Retraction(retraction) => retraction.check(),
            Self::Roster(_) | Self::Certificate(_) | Self::Key(_) | Self::Rewrap(_) | Self::Newer => Ok(()),
        }
    }

    /// How the body may be handled; control and withdrawal bodies have none, nor has an unmarked report.
    #[must_use]
    pub fn marking(&self) -> Option<&Marking> {
        match self {
            Self::Report(report) => report.marking.as_ref(),
            Self::Sighting(sighting) => Some(&sighting.marking),
            Self::Note(note) => Some(&note.marking),
            Self::Roster(_)
            | Self::Certificate(_)
            | Self::Key(_)
            | Self::Rewrap(_)
            | Self::Retraction(_)
            | Self::Newer => None,
        }
    }

    /// Whether a newer node said something here that this one does not understand: such a body is kept and held.
    #[must_use]
    pub fn is_newer(&self) -> bool {
        match self {
            Self::Newer => true,
            Self::Roster(carried) | Self::Certificate(carried) => !carried.extension.is_empty(),
            Self::Key(key) => !key.extension.is_empty(),
            Self::Rewrap(again) => !again.extension.is_empty(),
            Self::Retraction(retraction) => !retraction.extension.is_empty(),
            Self::Report(report) => report.borrowed().is_newer(),
            Self::Sighting(sighting) => sighting.is_newer(),
            Self::Note(note) => note.is_newer(),
        }
    }

    /// The kind that a header must name.
    #[must_use]
    pub fn kind(&self) -> Option<u16> {
        Some(match self {
            Self::Roster(_) => ROSTER,
            Self::Certificate(_) => CERTIFICATE,
            Self::Key(_) => KEY,
            Self::Rewrap(_) => REWRAP,
            Self::Retraction(_) => RETRACTION,
            Self::Report(_) => REPORT,
            Self::Sighting(_) => SIGHTING,
            Self::Note(_) => NOTE,
            Self::Newer => return None,
        })
    }

    /// The exact bytes, empty for a body that this node does not read.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Roster(carried) | Self::Certificate(carried) => codec::encode(carried),
            Self::Key(key) => key.encode(),
            Self::Rewrap(again) => again.encode(),
            Self::Retraction(retraction) => codec::encode(retraction),
            Self::Report(report) => codec::encode(report),
            Self::Sighting(sighting) => codec::encode(sighting),
            Self::Note(note) => codec::encode(note),
            Self::Newer => Vec::new(),
        }
    }
}

impl Entry {
    /// The kind of its body: as the header shows it, or as what is sealed opened to. 0 where it is sealed and not opened.
    #[must_use]
    pub fn kind(&self) -> u16 {
        self.readable().map_or(self.header.kind, |(kind, _)| kind)
    }

    /// TLP and flags, as a header has them: as it shows them, or by the marking of what is sealed. 0 and 0 where it is sealed
    /// and not opened.
    #[must_use]
    pub fn labels(&self) -> (u8, u16) {
        if self.header.suite == 0 {
            return (self.header.tlp, self.header.flags);
        }
        let body = BodyRef::again(self);
        let marking = body.as_ref().and_then(BodyRef::marking);
        marking.map_or((0, 0), |marking| (marking.tlp.code(), marking.flags().word()))
    }
}

/// Whether a marking is in bounds and its header says the same: of a sealed record it shows neither TLP nor flags, and of its kind
/// the class alone.
fn agree(
    header: &Header,
    class: Class,
    name: &'static str,
    marking: Option<&Marking>,
) -> Result<(), BodyError> {
    if let Some(marking) = marking {
        marking.check().map_err(|error| BodyError::Marking(name, error))?;
    }
    if header.suite == 0 {
        let shown = marking.map_or((0, 0), |marking| (marking.tlp as u8, marking.flags().word()));
        if header.tlp != shown.0 {
            return Err(BodyError::Disagree("tlp"));
        }
        if header.flags != shown.1 {
            return Err(BodyError::Disagree("flags"));
        }
    } else if header.class != class {
        return Err(BodyError::Disagree("class"));
    }
    agree_on_end(header, marking)
}

/// Stores erase by the header, so a marking's limit that stood in the body alone would not be kept.
fn agree_on_end(header: &Header, marking: Option<&Marking>) -> Result<(), BodyError> {
    let retain = marking.and_then(|marking| marking.retain_until);
    if retain.is_some_and(|until| header.expires == 0 || header.expires > until) {
        return Err(BodyError::Disagree("expires"));
    }
    Ok(())
}

/// Whether this node knows the type of an observable; one that it does not know is kept and never matched.
fn is_known(kind: u16) -> bool {
    observable::Type::by_id(kind).is_some()
}
