//! Observables: the typed, canonical values that agencies warn each other of.
//!
//! An observable stands in a signed body as a type number and canonical bytes, so that two agencies that
//! write the same thing differently (`hxxp://EVIL[.]example:80`, `http://evil.example/`) sign and match the
//! same bytes. The bytes are chosen once: [`TYPES`] is append-only and its ids never change.
//!
//! ```text
//! text --refang--> detect / Type::parse / from_misp / from_stix_path --> Observable --> body, matcher
//!                                                                            |
//!                                                                            +--> show, stix_pattern
//! ```
//!
//! Two checks differ on purpose. *Parsing* turns what people write into the canonical form and consults
//! tables that change with the years (IDNA, public suffixes). *[`ObservableRef::is_canonical`]* judges bytes
//! that came from outside: it is structural and cheap and consults no such table, so that every version of
//! tocsin gives the same answer for ever. What is of an unknown type, or not canonical, is kept with its
//! record and never matched or exported.

mod breadth;
mod detect;
mod external;
mod hash;
mod identity;
mod name;
mod net;
mod package;
mod refang;
mod several;
mod table;
mod text;
mod url;
mod wallet;

use std::fmt;

use bincode::{BorrowDecode, Decode, Encode};

pub use crate::marking::Personal;
pub use breadth::Breadth;
pub use detect::{Detected, also, detect};
pub use external::{Composite, from_misp, from_stix_path};
pub use identity::account;
pub use package::package;
pub use refang::refang;
pub use several::{detect_all, in_prose, several};
pub use table::{TYPES, kind};

/// Most bytes that a canonical value has, and that a text may have before it is parsed. The longest values
/// in use are URLs; 4,096 bytes is what mail gateways and proxies commonly cut them to.
pub const MAX_VALUE: usize = 4096;

/// An observable as it stands in a body: a type number and its canonical bytes.
///
/// A received one may be of an unknown type or not canonical; [`ObservableRef::is_canonical`] tells.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
pub struct Observable {
    /// The row of [`TYPES`], or a number that this version does not know.
    pub kind: u16,
    /// The canonical bytes, at most [`MAX_VALUE`] when canonical.
    pub value: Vec<u8>,
}

/// The borrowed twin of [`Observable`], with the same encoding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, BorrowDecode)]
pub struct ObservableRef<'a> {
    /// The row of [`TYPES`], or a number that this version does not know.
    pub kind: u16,
    /// The canonical bytes, at most [`MAX_VALUE`] when canonical.
    pub value: &'a [u8],
}

/// What a row's parser gives: the observable, or why the text is not one and how to mend it. A parser may
/// answer with a narrower type (`192.0.2.7/32` is an address).
type Parsed = Result<Observable, &'static str>;

/// Most times that a value is read until it reads as itself, as in `hxxp://a[\.]example`.
const NESTED_MAX: usize = 8;

/// What a row's parents are handed to.
type Visit<'v> = dyn FnMut(ObservableRef<'_>) + 'v;

/// One observable type: a row of [`TYPES`]. To add one, append a row; the tests then ask for its golden line, for what
/// it refuses, and for a seed in `crates/fuzz`.
pub struct Type {
    /// The number in bodies; never changes and is never used again.
    pub id: u16,
    /// The name on the command line, in JSON and in policies; never changes.
    pub name: &'static str,
    /// Whether its values are personal data: the default of a marking that says nothing about it.
    pub personal: Personal,
    /// STIX 2.1 object paths (and those of real feeds that bend the standard); the first is the one written.
    pub stix: &'static [&'static str],
    /// MISP attribute types; the first is the one written.
    pub misp: &'static [&'static str],
    /// Text to canonical form; the text is trimmed, bounded and free of control characters.
    parse: fn(&str) -> Parsed,
    /// Beginnings, in either case, that give the type of a text away which names none: what is wrong with the rest is
    /// then told.
    begins: &'static [&'static str],
    /// Whether a text that names no type, and is no address, name or URL, can only be of this one: by its length, its
    /// checksum, its ending. Asked in the order of the table.
    sure: fn(&str) -> bool,
    /// Canonical bytes to text.
    show: fn(&[u8]) -> String,
    /// Whether bytes are canonical: structural, the same in every version.
    check: fn(&[u8]) -> bool,
    /// Whether a value is too broad to act on.
    breadth: fn(&[u8]) -> Breadth,
    /// The broader observables under which a value is found too, nearest first.
    parents: fn(&[u8], &mut Visit<'_>),
}

/// Why a text is no observable. The value in it is shortened and escaped, fit for a terminal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Nothing but white space.
    #[error("the value is empty")]
    Empty,
    /// Longer than [`MAX_VALUE`] as written or in canonical form.
    #[error("`{value}` has {length} bytes; an observable has at most {MAX_VALUE}")]
    TooLong {
        /// The beginning of the value.
        value: String,
        /// Its length in bytes.
        length: usize,
    },
    /// A control character, such as a line break or an escape sequence, inside the value.
    #[error("`{value}` has a control character at byte {at}; remove it")]
    Control {
        /// The beginning of the text, fit for a terminal.
        value: String,
        /// Offset of the character in bytes.
        at: usize,
    },
    /// The value does not fit its type.
    #[error("`{value}` is no {kind}: {why}")]
    Malformed {
        /// The beginning of the text, fit for a terminal.
        value: String,
        /// Name of the type.
        kind: &'static str,
        /// What is wrong and how to mend it.
        why: &'static str,
    },
    /// No type fits.
    #[error("`{value}` is of no type that tocsin recognises by itself: {why}")]
    Undetected {
        /// The beginning of the text, fit for a terminal.
        value: String,
        /// What was tried.
        why: &'static str,
    },
    /// No type has this name.
    #[error("there is no observable type `{0}`")]
    UnknownType(String),
    /// No type has this MISP attribute type.
    #[error("the MISP attribute type `{0}` is no observable type")]
    UnknownMisp(String),
    /// No type has this STIX object path.
    #[error("the STIX object path `{0}` is no observable type")]
    UnknownStix(String),
}

impl ParseError {
    /// The value, shortened and escaped; empty where there is none.
    pub fn value(&self) -> &str {
        match self {
            Self::Empty => "",
            Self::TooLong { value, .. }
            | Self::Control { value, .. }
            | Self::Malformed { value, .. }
            | Self::Undetected { value, .. }
            | Self::UnknownType(value)
            | Self::UnknownMisp(value)
            | Self::UnknownStix(value) => value,
        }
    }

    /// What is wrong, without the value: the same for all values with this fault.
    pub fn reason(&self) -> String {
        match self {
            Self::TooLong { .. } => format!("it is longer than the {MAX_VALUE} bytes of an observable"),
            Self::Control { .. } => "it has a control character inside: remove it".to_owned(),
            Self::Malformed { kind, why, .. } => format!("it is no {kind}: {why}"),
            Self::Undetected { why, .. } => (*why).to_owned(),
            Self::UnknownType(_) => "there is no such observable type".to_owned(),
            Self::UnknownMisp(_) => "this MISP attribute type is no observable type".to_owned(),
            Self::UnknownStix(_) => "this STIX object path is no observable type".to_owned(),
            Self::Empty => self.to_string(),
        }
    }
}

impl Type {
    /// The type with this number.
    pub fn by_id(id: u16) -> Option<&'static Type> {
        // Ids are given in order, so the row is nearly always at its own place.
        let place = usize::from(id).checked_sub(1)?;
        TYPES.get(place).filter(|row| row.id == id).or_else(|| TYPES.iter().find(|row| row.id == id))
    }

    /// The type with this name.
    pub fn by_name(name: &str) -> Option<&'static Type> {
        TYPES.iter().find(|row| row.name == name)
    }

    /// Whether its values are hashes, be it of files or of certificates: STIX has them under `hashes`.
    #[must_use]
    pub fn is_hash(&self) -> bool {
        self.stix.iter().any(|path| path.contains(":hashes."))
    }

    /// Whether its values are hashes of files.
    #[must_use]
    pub fn is_file_hash(&self) -> bool {
        self.stix.iter().any(|path| path.starts_with("file:hashes."))
    }

    /// The canonical observable that a text of this type means.
    ///
    /// Outer white space is dropped; network values may be defanged. The answer may be of a narrower type: a
    /// /32 network is an address, an IPv4-mapped IPv6 address is an IPv4 address.
    pub fn parse(&self, text: &str) -> Result<Observable, ParseError> {
        let text = bounded(text)?;
        let mut parsed = self.parse_once(text).or_else(|refused| {
            // `MD5: d41d...` in a column of MD5 hashes.
            let rest = detect::behind_label(text, self.id).ok_or_else(|| refused.clone())?;
            self.parse_once(bounded(rest)?).map_err(|_| refused)
        })?;
        // What was disarmed or prefixed twice reads differently again: what is signed must read as itself.
        for _ in 0..NESTED_MAX {
            let row = Type::by_id(parsed.kind).unwrap_or(self);
            let again = row.parse_once(bounded(&(row.show)(&parsed.value))?)?;
            if again == parsed {
                return Ok(parsed);
            }
            parsed = again;
        }
        Err(ParseError::Malformed {
            value: excerpt(text),
            kind: self.name,
            why: "it is disarmed too many times over",
        })
    }

    /// Whether a canonical value of this type is too broad to be matched or exported.
    pub fn breadth_of(&self, value: &[u8]) -> Breadth {
        (self.breadth)(value)
    }

    fn parse_once(&self, text: &str) -> Result<Observable, ParseError> {
        let parsed = (self.parse)(text).map_err(|why| ParseError::Malformed {
            value: excerpt(text),
            kind: self.name,
            why,
        })?;
        // Percent- and IDNA encoding can make a value longer than the text was.
        if parsed.value.len() > MAX_VALUE {
            return Err(ParseError::TooLong { value: excerpt(text), length: parsed.value.len() });
        }
        Ok(parsed)
    }
}

impl fmt::Debug for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Type").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Observable {
    /// The observable that `text` means as a value of the named type.
    pub fn parse(type_name: &str, text: &str) -> Result<Observable, ParseError> {
        Type::by_name(type_name).ok_or_else(|| ParseError::UnknownType(excerpt(type_name)))?.parse(text)
    }

    /// The borrowed twin.
    pub fn borrowed(&self) -> ObservableRef<'_> {
        ObservableRef { kind: self.kind, value: &self.value }
    }

    /// See [`ObservableRef::row`].
    pub fn row(&self) -> Option<&'static Type> {
        self.borrowed().row()
    }

    /// See [`ObservableRef::type_name`].
    pub fn type_name(&self) -> &'static str {
        self.borrowed().type_name()
    }

    /// See [`ObservableRef::is_canonical`].
    pub fn is_canonical(&self) -> bool {
        self.borrowed().is_canonical()
    }

    /// See [`ObservableRef::show`].
    pub fn show(&self) -> String {
        self.borrowed().show()
    }

    /// See [`ObservableRef::breadth`].
    pub fn breadth(&self) -> Breadth {
        self.borrowed().breadth()
    }

    /// The broader observables under which this one is found too, nearest first; see
    /// [`ObservableRef::visit_parents`].
    pub fn parents(&self) -> Vec<Observable> {
        let mut parents = Vec::new();
        self.borrowed().visit_parents(|parent| parents.push(parent.to_owned()));
        parents
    }
}

impl<'a> ObservableRef<'a> {
    /// The row of its type, if this version knows it and the bytes are canonical.
    pub fn row(&self) -> Option<&'static Type> {
        let row = Type::by_id(self.kind)?;
        (self.value.len() <= MAX_VALUE && (row.check)(self.value)).then_some(row)
    }

    /// Whether the type is known and the bytes are in its canonical form. Structural: the answer for known
    /// types never changes with a version. What is not canonical is kept, never matched or exported.
    pub fn is_canonical(&self) -> bool {
        self.row().is_some()
    }

    /// The name of its type, `unknown` if this version does not know it.
    pub fn type_name(&self) -> &'static str {
        Type::by_id(self.kind).map_or("unknown", |row| row.name)
    }

    /// The value as text, such that parsing it again gives the same bytes; what is unknown or not canonical is
    /// shown as `type-NUMBER:HEX`. The text has no control characters but may have any other; to print
    /// it on a terminal use `Display`, which also escapes what changes the direction of text.
    pub fn show(&self) -> String {
        match self.row() {
            Some(row) => (row.show)(self.value),
            None => format!("type-{}:{}", self.kind, hash::hex(self.value)),
        }
    }

    /// Whether the value is too broad to be matched or exported; it stays in its record all the same.
    pub fn breadth(&self) -> Breadth {
        self.row().map_or(Breadth::Fine, |row| (row.breadth)(self.value))
    }

    /// Calls `visit` with each broader observable under which this one is found too, nearest first, at most
    /// [`MAX_PARENTS`]:
    ///
    /// - a domain: its parent domains down to the registrable one (so never a public suffix, nor
    ///   one of the private section such as `github.io`, which is matched exactly but never as a parent);
    /// - a URL: itself under the other of http and https and without its query, then its host, and the
    ///   parents of a host that is a name;
    /// - an e-mail address: its domain and the parents of that;
    /// - a package version: the package.
    ///
    /// Networks that contain an address are found by the matcher.
    pub fn visit_parents(&self, mut visit: impl FnMut(ObservableRef<'_>)) {
        if let Some(row) = self.row() {
            (row.parents)(self.value, &mut visit);
        }
    }

    /// Whether this is an address or a network within a network.
    #[must_use]
    pub fn lies_in(&self, network: ObservableRef<'_>) -> bool {
        net::lies_in(*self, network)
    }

    /// An owned copy.
    pub fn to_owned(&self) -> Observable {
        Observable { kind: self.kind, value: self.value.to_vec() }
    }
}

/// Most parents that one observable has: a URL's three variants, its host, and the host's parents.
pub const MAX_PARENTS: usize = 4 + breadth::MAX_PARENT_NAMES;

impl fmt::Display for Observable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.borrowed().fmt(f)
    }
}

/// For terminals: as [`ObservableRef::show`], with invisible and direction-changing characters escaped.
impl fmt::Display for ObservableRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.show().chars() {
            if is_treacherous(c) { write!(f, "{}", c.escape_unicode())? } else { write!(f, "{c}")? }
        }
        Ok(())
    }
}

/// A text that may be parsed: trimmed, not empty, bounded, without control characters.
fn bounded(text: &str) -> Result<&str, ParseError> {
    let text = text.trim_matches(is_padding);
    if text.is_empty() {
        return Err(ParseError::Empty);
    }
    if text.len() > MAX_VALUE {
        return Err(ParseError::TooLong { value: excerpt(text), length: text.len() });
    }
    match text.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, _)) => Err(ParseError::Control { value: excerpt(text), at }),
        None => Ok(text),
    }
}

/// White space, and the byte order mark that spreadsheets leave before the first value of a file.
fn is_padding(c: char) -> bool {
    c.is_whitespace() || c == '\u{feff}'
}

/// The beginning of a value, escaped, for an error message.
fn excerpt(text: &str) -> String {
    /// Enough to find the value in a file, and still one line.
    const LENGTH: usize = 80;
    let mut out = String::new();
    for c in text.chars().take(LENGTH) {
        if is_treacherous(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    if text.chars().nth(LENGTH).is_some() {
        out.push_str("...");
    }
    out
}

/// Characters that a terminal does not show as themselves: controls, zero-width and direction marks.
fn is_treacherous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests;
