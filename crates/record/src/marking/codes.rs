//! The parts of a marking that grow or that name a party: codes, countries, police codes, references.

use std::fmt;
use std::str::FromStr;

use bincode::de::{BorrowDecoder, Decoder};
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{BorrowDecode, Decode, Encode};

use super::labels::{one_byte_scale, shorten};
use super::{MAX_COUNTRIES, MAX_TEXT_BYTES, MarkingError};

/// One member of a set that grows: the number of its kind, and bytes whose meaning that kind gives.
///
/// Kinds are only appended. A node keeps a kind that it does not know, and holds the body as newer than itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Code {
    /// The number of the kind.
    pub kind: u16,
    /// What the kind says about it; empty for kinds that are complete by themselves.
    pub value: Vec<u8>,
}

/// The kind, in every set of codes, whose value is the name itself as UTF-8.
const NAMED: u16 = 1;

/// The purpose that remains where two sets of purposes have none in common.
const NO_PURPOSE: u16 = 0;

/// Purposes for which a record may be used. The kind is the number here; only appended.
const PURPOSES: &[(u16, &str)] = &[
    (NO_PURPOSE, "none"),
    (2, "network-defence"),
    (3, "incident-response"),
    (4, "criminal-investigation"),
    (5, "crime-prevention"),
    (6, "border-security"),
    (7, "victim-notification"),
    (8, "national-security"),
    (9, "prosecution"),
    (10, "research"),
    (11, "statistics"),
];

/// Systems to which a reference points. The kind is the number here; only appended.
const SYSTEMS: &[(u16, &str)] =
    &[(2, "siena"), (3, "i-24/7"), (4, "misp"), (5, "case"), (6, "ticket"), (7, "url"), (8, "stix")];

impl Code {
    /// A purpose by its name, such as `network-defence`; a name outside the table is carried as text.
    ///
    /// # Errors
    /// If the name is empty, longer than 512 bytes, or not in lower case without spaces.
    pub fn purpose(name: &str) -> Result<Self, MarkingError> {
        Self::named(PURPOSES, name)
    }

    /// A purpose as people write it: one of [`Self::purpose_names`], since nodes hold a record whose purpose they do not know.
    ///
    /// # Errors
    /// [`MarkingError::UnknownPurpose`], which lists them.
    pub fn known_purpose(name: &str) -> Result<Self, MarkingError> {
        let word = name.trim().to_ascii_lowercase().replace(['_', ' '], "-");
        if !Self::purpose_names().any(|known| known == word) {
            return Err(MarkingError::UnknownPurpose(shorten(name.trim())));
        }
        Self::purpose(&word)
    }

    /// The names of the purposes in the table, but for `none`.
    pub fn purpose_names() -> impl Iterator<Item = &'static str> {
        PURPOSES.iter().filter(|row| row.0 != NO_PURPOSE).map(|row| row.1)
    }

    /// The name of this purpose; `None` if it is of a kind that this node does not know.
    #[must_use]
    pub fn purpose_name(&self) -> Option<&str> {
        self.name(PURPOSES)
    }

    /// A system by its name, such as `siena` or `i-24/7`; a name outside the table is carried as text.
    ///
    /// # Errors
    /// If the name is empty, longer than 512 bytes, or not in lower case without spaces.
    pub fn system(name: &str) -> Result<Self, MarkingError> {
        Self::named(SYSTEMS, name)
    }

    /// The name of this system; `None` if it is of a kind that this node does not know.
    #[must_use]
    pub fn system_name(&self) -> Option<&str> {
        self.name(SYSTEMS)
    }

    /// The purpose that stands for "no purpose is left".
    pub(super) fn no_purpose() -> Self {
        Self { kind: NO_PURPOSE, value: Vec::new() }
    }

    fn named(table: &[(u16, &str)], name: &str) -> Result<Self, MarkingError> {
        let name = name.trim().to_ascii_lowercase();
        if let Some((kind, _)) = table.iter().find(|(_, known)| *known == name) {
            return Ok(Self { kind: *kind, value: Vec::new() });
        }
        check_name(name.as_bytes())?;
        Ok(Self { kind: NAMED, value: name.into_bytes() })
    }

    fn name(&self, table: &'static [(u16, &'static str)]) -> Option<&str> {
        match self.kind {
            NAMED => std::str::from_utf8(&self.value).ok(),
            kind => table.iter().find(|(known, _)| *known == kind).map(|(_, name)| *name),
        }
    }

    fn check(&self, table: &[(u16, &str)]) -> Result<(), MarkingError> {
        if self.kind == NAMED {
            check_name(&self.value)?;
            // One form only: what the table names is never written as text.
            let in_table = table.iter().any(|(_, name)| name.as_bytes() == self.value);
            return if in_table { Err(MarkingError::CodeForm(self.kind)) } else { Ok(()) };
        }
        if table.iter().any(|(kind, _)| *kind == self.kind) && !self.value.is_empty() {
            return Err(MarkingError::CodeForm(self.kind));
        }
        self.check_length()
    }

    pub(super) fn check_length(&self) -> Result<(), MarkingError> {
        if self.value.len() > MAX_TEXT_BYTES { Err(MarkingError::TooLong("a code")) } else { Ok(()) }
    }

    pub(super) fn check_purpose(&self) -> Result<(), MarkingError> {
        self.check(PURPOSES)
    }

    pub(super) fn check_system(&self) -> Result<(), MarkingError> {
        self.check(SYSTEMS)
    }
}

fn check_name(name: &[u8]) -> Result<(), MarkingError> {
    let graphic = |byte: &u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase();
    if name.len() > MAX_TEXT_BYTES {
        return Err(MarkingError::TooLong("a name"));
    }
    if name.is_empty() || !name.iter().all(graphic) {
        return Err(MarkingError::Name(shorten(&String::from_utf8_lossy(name))));
    }
    Ok(())
}

/// A pointer into another system, such as a SIENA contribution or an I-24/7 message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Reference {
    /// The system, see [`Code::system`].
    pub system: Code,
    /// The number or name there; 1 to 512 bytes without control characters.
    pub id: String,
}

impl Reference {
    /// A reference to `id` in the system of that name.
    ///
    /// # Errors
    /// If the system's name or the id breaks its bounds.
    pub fn new(system: &str, id: &str) -> Result<Self, MarkingError> {
        let reference = Self { system: Code::system(system)?, id: id.trim().to_owned() };
        reference.check()?;
        Ok(reference)
    }

    pub(super) fn check(&self) -> Result<(), MarkingError> {
        self.system.check_system()?;
        if self.id.is_empty() {
            return Err(MarkingError::Name(String::new()));
        }
        super::check_text("a reference", &self.id)
    }
}

/// A country as two capital letters (ISO 3166-1 alpha-2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CountryCode([u8; 2]);

impl CountryCode {
    /// The country of two letters, in any case; `None` if they are no ASCII letters.
    #[must_use]
    pub fn new(letters: [u8; 2]) -> Option<Self> {
        let letters = letters.map(|letter| letter.to_ascii_uppercase());
        letters.iter().all(u8::is_ascii_uppercase).then_some(Self(letters))
    }

    /// The two capital letters.
    #[must_use]
    pub fn letters(self) -> [u8; 2] {
        self.0
    }
}

impl fmt::Display for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0 {
            write!(f, "{}", char::from(letter))?;
        }
        Ok(())
    }
}

impl fmt::Debug for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for CountryCode {
    type Err = MarkingError;

    fn from_str(text: &str) -> Result<Self, MarkingError> {
        let letters = <[u8; 2]>::try_from(text.trim().as_bytes()).ok().and_then(Self::new);
        letters.ok_or_else(|| MarkingError::Country(shorten(text)))
    }
}

impl Encode for CountryCode {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.encode(encoder)
    }
}

impl<C> Decode<C> for CountryCode {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let letters = <[u8; 2]>::decode(decoder)?;
        if !letters.iter().all(u8::is_ascii_uppercase) {
            return Err(DecodeError::Other("a country is not two capital letters"));
        }
        Ok(Self(letters))
    }
}

impl<'de, C> BorrowDecode<'de, C> for CountryCode {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        <Self as Decode<C>>::decode(decoder)
    }
}

/// The countries whose partners may have a record. Lists are sorted, without repetition, at most 256 long.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Countries {
    /// No limit by country.
    #[default]
    Any,
    /// Only these. An empty list means none: it is what remains of two lists without a common country.
    Only(Vec<CountryCode>),
    /// All but these; never empty.
    Except(Vec<CountryCode>),
}

impl Countries {
    /// Only these countries.
    #[must_use]
    pub fn only(countries: impl IntoIterator<Item = CountryCode>) -> Self {
        Self::Only(super::sorted(countries.into_iter().collect()))
    }

    /// All countries but these.
    #[must_use]
    pub fn except(countries: impl IntoIterator<Item = CountryCode>) -> Self {
        match super::sorted(countries.into_iter().collect::<Vec<_>>()) {
            none if none.is_empty() => Self::Any,
            some => Self::Except(some),
        }
    }

    /// Whether a partner of that country may have the record.
    #[must_use]
    pub fn allows(&self, country: CountryCode) -> bool {
        match self {
            Self::Any => true,
            Self::Only(list) => list.contains(&country),
            Self::Except(list) => !list.contains(&country),
        }
    }

    /// What both allow.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Any, limit) | (limit, Self::Any) => limit.clone(),
            (Self::Only(list), limit) | (limit, Self::Only(list)) => {
                Self::Only(list.iter().copied().filter(|country| limit.allows(*country)).collect())
            }
            (Self::Except(a), Self::Except(b)) => Self::except(a.iter().chain(b).copied()),
        }
    }

    pub(super) fn check(&self) -> Result<(), MarkingError> {
        let list = match self {
            Self::Any => return Ok(()),
            Self::Except(list) if list.is_empty() => return Err(MarkingError::Unsorted("countries")),
            Self::Only(list) | Self::Except(list) => list,
        };
        if list.len() > MAX_COUNTRIES {
            return Err(MarkingError::TooMany("countries"));
        }
        super::check_sorted("countries", list)
    }
}

/// How reliable the source is (Europol 4x4 evaluation); greater is less reliable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceCode {
    /// No doubt of its authenticity, trustworthiness and competence.
    A = 1,
    /// In most instances reliable.
    B = 2,
    /// In most instances unreliable.
    C = 3,
    /// Cannot be assessed.
    X = 4,
}

one_byte_scale!(SourceCode, "a police source code is none of 1 to 4 (A, B, C, X)");

impl SourceCode {
    /// `A`, `B`, `C` or `X`.
    #[must_use]
    pub fn letter(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::X => "X",
        }
    }

    fn code(self) -> u8 {
        self as u8
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::A, Self::B, Self::C, Self::X].into_iter().find(|source| source.code() == code)
    }
}

/// How sure the information is (Europol 4x4 evaluation); greater is less sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InformationCode {
    /// Its accuracy is not in doubt.
    One = 1,
    /// Known to the source, not to the officer who reports it.
    Two = 2,
    /// Not known to the source itself, but corroborated.
    Three = 3,
    /// Not known to the source and not corroborated.
    Four = 4,
}

one_byte_scale!(InformationCode, "a police information code is none of 1 to 4");

impl InformationCode {
    /// 1 to 4.
    #[must_use]
    pub fn number(self) -> u8 {
        self.code()
    }

    fn code(self) -> u8 {
        self as u8
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::One, Self::Two, Self::Three, Self::Four].into_iter().find(|info| info.code() == code)
    }
}

/// The set of Europol handling codes H0 to H3, one bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Handling(u8);

impl Handling {
    /// H0: may be used to prevent and fight crime, without further limit.
    pub const H0: Self = Self(1);
    /// H1: not to be disclosed in judicial proceedings without the provider's permission.
    pub const H1: Self = Self(2);
    /// H2: not to be passed on without the provider's permission.
    pub const H2: Self = Self(4);
    /// H3: other limits, stated in the text.
    pub const H3: Self = Self(8);

    /// Both sets together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is in this set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of the codes in this set, in order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        const NAMES: [(Handling, &str); 4] =
            [(Handling::H0, "H0"), (Handling::H1, "H1"), (Handling::H2, "H2"), (Handling::H3, "H3")];
        NAMES.into_iter().filter(move |(code, _)| self.contains(*code)).map(|(_, name)| name)
    }

    fn code(self) -> u8 {
        self.0
    }

    fn from_code(code: u8) -> Option<Self> {
        (code <= 0b1111).then_some(Self(code))
    }
}

one_byte_scale!(Handling, "police handling codes are not a set of H0 to H3");

/// Police codes: the 4x4 evaluation, where it was made, and the handling codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Police {
    /// Source and information, always given together.
    pub evaluation: Option<(SourceCode, InformationCode)>,
    /// Handling codes; empty if none are stated.
    pub handling: Handling,
}

impl Police {
    /// Whether it states nothing; a marking then has no police codes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.evaluation.is_none() && self.handling == Handling::default()
    }

    /// The codes that bind at least as much as both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let evaluation = match (self.evaluation, other.evaluation) {
            (Some(a), Some(b)) => Some((a.0.max(b.0), a.1.max(b.1))),
            (one, None) | (None, one) => one,
        };
        Self { evaluation, handling: self.handling.with(other.handling) }
    }
}

impl fmt::Display for Police {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut gap = "";
        if let Some((source, information)) = self.evaluation {
            write!(f, "{}{}", source.letter(), information.number())?;
            gap = " ";
        }
        for name in self.handling.names() {
            write!(f, "{gap}{name}")?;
            gap = " ";
        }
        Ok(())
    }
}

impl FromStr for Police {
    type Err = MarkingError;

    /// Reads codes such as `B2 H1 H2` or `A1`, apart by spaces, commas or slashes.
    fn from_str(text: &str) -> Result<Self, MarkingError> {
        let refused = || MarkingError::Police(shorten(text));
        let mut police = Self { evaluation: None, handling: Handling::default() };
        let apart = |letter: char| letter.is_whitespace() || letter == ',' || letter == '/';
        for word in text.split(apart).filter(|word| !word.is_empty()) {
            let &[letter, digit] = word.to_ascii_uppercase().as_bytes() else {
                return Err(refused());
            };
            let number = digit.wrapping_sub(b'0');
            if letter == b'H' && number <= 3 {
                police.handling = police.handling.with(Handling(1 << number));
                continue;
            }
            let source = match letter {
                b'A' => SourceCode::A,
                b'B' => SourceCode::B,
                b'C' => SourceCode::C,
                b'X' => SourceCode::X,
                _ => return Err(refused()),
            };
            let information = InformationCode::from_code(number).ok_or_else(refused)?;
            if police.evaluation.replace((source, information)).is_some() {
                return Err(refused());
            }
        }
        if police.is_empty() {
            return Err(refused());
        }
        Ok(police)
    }
}

/// The table's own kinds, for [`super::Marking::is_newer`].
pub(super) fn is_known_purpose(code: &Code) -> bool {
    code.purpose_name().is_some()
}

/// As [`is_known_purpose`], for systems of references.
pub(super) fn is_known_system(code: &Code) -> bool {
    code.system_name().is_some()
}
