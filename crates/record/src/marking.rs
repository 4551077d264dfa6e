//! How a record may be handled: TLP, PAP, personal data, purpose, retention, countries, police codes, exercise.
//!
//! A [`Marking`] is part of every content body and is signed with it, so its bytes are fixed: the order of the
//! fields, the numbers of the scales and of the codes. What is added later goes into `codes`. There is one
//! form only for every marking: sets are sorted and without repetition, which [`Marking::check`] enforces on
//! what comes from outside and [`Marking::tidy`] brings about on what is written here.
//!
//! Markings combine to what is never looser than either ([`Marking::stricter`]): a forwarder or importer may
//! raise a marking and never lower it.

mod codes;
mod labels;
pub mod words;

use bincode::{Decode, Encode};

pub use codes::{Code, Countries, CountryCode, Handling, InformationCode, Police, Reference, SourceCode};
pub use labels::{Flags, Pap, Personal, Tlp};

/// The longest set of purposes, references or codes, in entries: more than all purposes that have a number.
pub(crate) const MAX_ENTRIES: usize = 32;
/// The longest list of countries: more than ISO 3166 can assign in use.
pub(crate) const MAX_COUNTRIES: usize = 256;
/// The longest text or code value, in bytes: a citation of a law with its article.
pub const MAX_TEXT_BYTES: usize = 512;

/// Why a marking, or a word of one, was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MarkingError {
    /// No TLP 2.0 label.
    #[error("`{0}` is no TLP label: use CLEAR, GREEN, AMBER, AMBER+STRICT or RED")]
    UnknownTlp(String),
    /// No PAP label.
    #[error("`{0}` is no PAP label: use CLEAR, GREEN, AMBER or RED")]
    UnknownPap(String),
    /// No step of the scale of personal data.
    #[error("`{0}` does not say whether there is personal data: use no, possible or yes")]
    UnknownPersonal(String),
    /// No country code.
    #[error("`{0}` is no country: use the two letters of ISO 3166-1")]
    Country(String),
    /// No police codes.
    #[error("`{0}` are no police codes: use one of A-C or X with 1-4, and H0 to H3, such as `B2 H1`")]
    Police(String),
    /// A name that is empty or has capitals, spaces or control characters.
    #[error("`{0}` is no name of a purpose, a system or a reference: use lower-case ASCII without spaces")]
    Name(String),
    /// No purpose of the table.
    #[error("`{0}` is no purpose: use one of {list}", list = Code::purpose_names().collect::<Vec<_>>().join(", "))]
    UnknownPurpose(String),
    /// A header's flag word off its scales.
    #[error("the header's flags {0:#06x} hold no valid personal-data or PAP value")]
    Flags(u16),
    /// A code that is not in its one form.
    #[error("a marking code of kind {0} is not in its one form")]
    CodeForm(u16),
    /// A set with too many members.
    #[error("a marking has too many {0}")]
    TooMany(&'static str),
    /// A text that is too long.
    #[error("{0} of a marking is longer than 512 bytes")]
    TooLong(&'static str),
    /// A text with control characters.
    #[error("{0} of a marking has control characters")]
    Control(&'static str),
    /// A set out of order or with a repetition.
    #[error("the {0} of a marking are not sorted, or one stands twice")]
    Unsorted(&'static str),
    /// Police codes that state nothing.
    #[error("the police codes of a marking are there and empty")]
    EmptyPolice,
    /// An exercise and a real record were to be combined.
    #[error("an exercise is never mixed with real data")]
    ExerciseMixed,
}

/// How a record may be handled. Part of every content body.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Marking {
    /// How far it may be disclosed.
    pub tlp: Tlp,
    /// What a recipient may do with it; `None` if not stated.
    pub pap: Option<Pap>,
    /// Whether it holds personal data.
    pub personal: Personal,
    /// The purposes it may be used for, sorted; empty if not stated. At most 32.
    pub purposes: Vec<Code>,
    /// The law it is shared under, at most 512 bytes.
    pub legal_basis: Option<String>,
    /// When it must be erased, in ms since 1970; `None` if not stated.
    pub retain_until: Option<u64>,
    /// The countries whose partners may have it.
    pub countries: Countries,
    /// Europol evaluation and handling codes.
    pub police: Option<Police>,
    /// Where it is known in other systems, sorted. At most 32.
    pub references: Vec<Reference>,
    /// It belongs to an exercise and says nothing about the world.
    pub exercise: bool,
    /// What later versions add, sorted. At most 32; a node that does not know a code holds the record.
    pub codes: Vec<Code>,
}

impl Marking {
    /// A marking that states this TLP and nothing else.
    #[must_use]
    pub fn new(tlp: Tlp) -> Self {
        Self {
            tlp,
            pap: None,
            personal: Personal::No,
            purposes: Vec::new(),
            legal_basis: None,
            retain_until: None,
            countries: Countries::Any,
            police: None,
            references: Vec::new(),
            exercise: false,
            codes: Vec::new(),
        }
    }

    /// Checks bounds and the one form of each set.
    ///
    /// # Errors
    /// The first thing found wrong. For a marking from outside this is the author's fault.
    pub fn check(&self) -> Result<(), MarkingError> {
        check_set("purposes", &self.purposes)?;
        check_set("references", &self.references)?;
        check_set("codes", &self.codes)?;
        self.purposes.iter().try_for_each(Code::check_purpose)?;
        self.references.iter().try_for_each(Reference::check)?;
        self.codes.iter().try_for_each(Code::check_length)?;
        self.countries.check()?;
        if self.police.is_some_and(|police| police.is_empty()) {
            return Err(MarkingError::EmptyPolice);
        }
        self.legal_basis.as_deref().map_or(Ok(()), |text| check_text("the legal basis", text))
    }

    /// Brings the sets into their one form: sorted, each member once.
    #[must_use]
    pub fn tidy(mut self) -> Self {
        self.purposes = sorted(self.purposes);
        self.references = sorted(self.references);
        self.codes = sorted(self.codes);
        self.countries = match self.countries {
            Countries::Any => Countries::Any,
            Countries::Only(list) => Countries::only(list),
            Countries::Except(list) => Countries::except(list),
        };
        self
    }

    /// Whether it holds something that this node does not understand, so that the body is to be held.
    #[must_use]
    pub fn is_newer(&self) -> bool {
        !self.codes.is_empty()
            || !self.purposes.iter().all(codes::is_known_purpose)
            || !self.references.iter().all(|reference| codes::is_known_system(&reference.system))
    }

    /// What the header's flags must say of this marking.
    #[must_use]
    pub fn flags(&self) -> Flags {
        Flags { exercise: self.exercise, personal: self.personal, pap: self.pap, newer: 0 }
    }

    /// The marking that binds at least as much as both. Of purposes the common ones remain, and where there
    /// are none the purpose `none`; references, codes and different legal bases are kept together.
    ///
    /// # Errors
    /// [`MarkingError::ExerciseMixed`] if only one is of an exercise; a bound, if both together exceed it.
    pub fn stricter(&self, other: &Self) -> Result<Self, MarkingError> {
        if self.exercise != other.exercise {
            return Err(MarkingError::ExerciseMixed);
        }
        let combined = Self {
            tlp: self.tlp.max(other.tlp),
            pap: self.pap.max(other.pap),
            personal: self.personal.max(other.personal),
            purposes: common_purposes(&self.purposes, &other.purposes),
            legal_basis: both_texts(self.legal_basis.as_deref(), other.legal_basis.as_deref()),
            retain_until: self.retain_until.into_iter().chain(other.retain_until).min(),
            countries: self.countries.and(&other.countries),
            police: match (self.police, other.police) {
                (Some(a), Some(b)) => Some(a.and(&b)),
                (one, None) | (None, one) => one,
            },
            references: sorted([self.references.as_slice(), &other.references].concat()),
            exercise: self.exercise,
            codes: sorted([self.codes.as_slice(), &other.codes].concat()),
        };
        combined.check()?;
        Ok(combined)
    }

    /// Whether it permits anything that `other` does not, or says less of a limit than `other`.
    ///
    /// References and the legal basis inform and do not bind, and are not compared.
    #[must_use]
    pub fn is_looser_than(&self, other: &Self) -> bool {
        let purposes_widened =
            !other.purposes.is_empty() && common_purposes(&self.purposes, &other.purposes) != self.purposes;
        let retained_longer =
            other.retain_until.is_some_and(|limit| self.retain_until.is_none_or(|own| own > limit));
        let police_lowered =
            other.police.is_some_and(|limit| self.police.is_none_or(|own| own.and(&limit) != own));
        self.tlp < other.tlp
            || self.pap < other.pap
            || self.personal < other.personal
            || purposes_widened
            || retained_longer
            || self.countries.and(&other.countries) != self.countries
            || police_lowered
            || self.exercise != other.exercise
            || !other.codes.iter().all(|code| self.codes.contains(code))
    }
}

/// An empty set states no limit, so it is the other one that remains.
fn common_purposes(a: &[Code], b: &[Code]) -> Vec<Code> {
    if a.is_empty() || b.is_empty() {
        return [a, b].concat();
    }
    let common: Vec<Code> = a.iter().filter(|purpose| b.contains(purpose)).cloned().collect();
    if common.is_empty() { vec![Code::no_purpose()] } else { common }
}

fn both_texts(a: Option<&str>, b: Option<&str>) -> Option<String> {
    match (a, b) {
        (Some(a), Some(b)) if a != b => Some(format!("{a}; {b}")),
        (one, None) | (None, one) => one.map(str::to_owned),
        (same, _) => same.map(str::to_owned),
    }
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort();
    list.dedup();
    list
}

fn check_set<T: Ord>(what: &'static str, list: &[T]) -> Result<(), MarkingError> {
    if list.len() > MAX_ENTRIES {
        return Err(MarkingError::TooMany(what));
    }
    check_sorted(what, list)
}

fn check_sorted<T: Ord>(what: &'static str, list: &[T]) -> Result<(), MarkingError> {
    let ordered = list.windows(2).all(|pair| pair[0] < pair[1]);
    if ordered { Ok(()) } else { Err(MarkingError::Unsorted(what)) }
}

fn check_text(what: &'static str, text: &str) -> Result<(), MarkingError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(MarkingError::TooLong(what));
    }
    if text.chars().any(char::is_control) { Err(MarkingError::Control(what)) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
