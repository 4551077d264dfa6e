//! The closed scales of a marking: TLP 2.0, PAP, personal data, and the header's flag word.
//!
//! Each scale is one byte in a record, greater is stricter, and a byte that is not on the scale is refused:
//! a node that does not know a handling label must not guess how strict it is.

use std::fmt;
use std::str::FromStr;

use bincode::de::{BorrowDecoder, Decoder};
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{BorrowDecode, Decode, Encode};

use super::{MarkingError, words};

/// Writes the scale as its one byte, and refuses any other byte when reading.
macro_rules! one_byte_scale {
    ($scale:ty, $refusal:literal) => {
        impl Encode for $scale {
            fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
                self.code().encode(encoder)
            }
        }

        impl<C> Decode<C> for $scale {
            fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
                Self::from_code(u8::decode(decoder)?).ok_or(DecodeError::Other($refusal))
            }
        }

        impl<'de, C> BorrowDecode<'de, C> for $scale {
            fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(
                decoder: &mut D,
            ) -> Result<Self, DecodeError> {
                <Self as Decode<C>>::decode(decoder)
            }
        }
    };
}
pub(super) use one_byte_scale;

/// Traffic Light Protocol 2.0 (FIRST, August 2022); greater is stricter.
///
/// In a header the byte 0 stands for "not shown", which is no label: see [`Tlp::from_code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tlp {
    /// To the world, without limit. TLP 1.0 called it WHITE.
    Clear = 1,
    /// Within the community, not by channels that are open to the public.
    Green = 2,
    /// Within the recipient's organisation and its clients, on a need-to-know basis.
    Amber = 3,
    /// Within the recipient's organisation only.
    AmberStrict = 4,
    /// For the individual recipients only.
    Red = 5,
}

one_byte_scale!(Tlp, "the TLP is none of 1 to 5 (CLEAR, GREEN, AMBER, AMBER+STRICT, RED)");

impl Tlp {
    /// Every label, from the loosest to the strictest.
    pub const ALL: [Self; 5] = [Self::Clear, Self::Green, Self::Amber, Self::AmberStrict, Self::Red];

    /// The byte in header and body, 1 to 5.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The label of a byte; `None` for 0 (a header that does not show it) and for what is not on the scale.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|tlp| tlp.code() == code)
    }

    /// The label as the standard writes it, such as `TLP:AMBER+STRICT`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Clear => "TLP:CLEAR",
            Self::Green => "TLP:GREEN",
            Self::Amber => "TLP:AMBER",
            Self::AmberStrict => "TLP:AMBER+STRICT",
            Self::Red => "TLP:RED",
        }
    }

    /// The id of the STIX 2.1 marking-definition for TLP 2.0.
    #[must_use]
    pub fn stix_id(self) -> &'static str {
        match self {
            Self::Clear => "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
            Self::Green => "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
            Self::Amber => "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
            Self::AmberStrict => "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
            Self::Red => "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
        }
    }

    /// The id of the marking-definition for TLP 1.0 that STIX itself defines; `None` for AMBER+STRICT, which
    /// TLP 1.0 does not have.
    #[must_use]
    pub fn stix_1_id(self) -> Option<&'static str> {
        match self {
            Self::Clear => Some("marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9"),
            Self::Green => Some("marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da"),
            Self::Amber => Some("marking-definition--f88d31f6-486f-44da-b317-01333bde0b82"),
            Self::AmberStrict => None,
            Self::Red => Some("marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed"),
        }
    }

    /// The label of a marking-definition id, of TLP 2.0 or 1.0.
    #[must_use]
    pub fn from_stix_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tlp| tlp.stix_id() == id || tlp.stix_1_id() == Some(id))
    }

    /// The tag of the MISP taxonomy `tlp`, such as `tlp:amber+strict`.
    #[must_use]
    pub fn misp_tag(self) -> &'static str {
        match self {
            Self::Clear => "tlp:clear",
            Self::Green => "tlp:green",
            Self::Amber => "tlp:amber",
            Self::AmberStrict => "tlp:amber+strict",
            Self::Red => "tlp:red",
        }
    }
}

impl fmt::Display for Tlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

impl FromStr for Tlp {
    type Err = MarkingError;

    /// In any spelling of [`words::label`](super::words::label), and the word alone.
    fn from_str(text: &str) -> Result<Self, MarkingError> {
        let said = words::label_in_field(text).and_then(|said| said.tlp);
        said.ok_or_else(|| MarkingError::UnknownTlp(shorten(text.trim())))
    }
}

/// Permissible Actions Protocol: what a recipient may do with the data; greater is stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pap {
    /// No restriction.
    Clear = 1,
    /// Active actions are allowed: blocking, connecting.
    Green = 2,
    /// Passive checks at third parties only.
    Amber = 3,
    /// Nothing that can be noticed from outside: passive actions on one's own logs.
    Red = 4,
}

one_byte_scale!(Pap, "the PAP is none of 1 to 4 (CLEAR, GREEN, AMBER, RED)");

impl Pap {
    /// Every label, from the loosest to the strictest.
    pub const ALL: [Self; 4] = [Self::Clear, Self::Green, Self::Amber, Self::Red];

    /// The byte in a body and the three bits in the header's flags, 1 to 4.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The label of a byte; `None` for 0 (none stated) and for what is not on the scale.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|pap| pap.code() == code)
    }

    /// The label and MISP tag, such as `PAP:AMBER`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Clear => "PAP:CLEAR",
            Self::Green => "PAP:GREEN",
            Self::Amber => "PAP:AMBER",
            Self::Red => "PAP:RED",
        }
    }
}

impl fmt::Display for Pap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

impl FromStr for Pap {
    type Err = MarkingError;

    /// In any spelling of [`words::label`](super::words::label), and the word alone.
    fn from_str(text: &str) -> Result<Self, MarkingError> {
        words::pap(text).ok_or_else(|| MarkingError::UnknownPap(shorten(text.trim())))
    }
}

/// Whether a record holds data about a person who can be identified.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Personal {
    /// It does not.
    #[default]
    No = 0,
    /// It may: an address that may belong to a person.
    Possible = 1,
    /// It does.
    Yes = 2,
}

one_byte_scale!(Personal, "personal data is none of 0 to 2 (no, possible, yes)");

impl Personal {
    /// Every step, from the loosest to the strictest.
    pub const ALL: [Self; 3] = [Self::No, Self::Possible, Self::Yes];

    /// The byte in a body and the two bits in the header's flags, 0 to 2.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The step of a byte.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|personal| personal.code() == code)
    }

    /// `no`, `possible` or `yes`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Possible => "possible",
            Self::Yes => "yes",
        }
    }
}

impl fmt::Display for Personal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Personal {
    type Err = MarkingError;

    fn from_str(text: &str) -> Result<Self, MarkingError> {
        let word = text.trim().to_ascii_lowercase();
        Self::ALL
            .into_iter()
            .find(|personal| personal.name() == word)
            .ok_or_else(|| MarkingError::UnknownPersonal(shorten(text)))
    }
}

// The word of flags in a header, from its lowest bit: exercise (1 bit), personal (2), PAP (3); what is above is of a later
// version. Signed, so these never move.
const EXERCISE_BIT: u16 = 1;
const PERSONAL_SHIFT: u16 = 1;
const PERSONAL_MASK: u16 = 0b11;
const PAP_SHIFT: u16 = 3;
const PAP_MASK: u16 = 0b111;
const NEWER_MASK: u16 = !0b11_1111;

/// The flag word of a header: bit 0 exercise, bits 1-2 personal data, bits 3-5 PAP (0 none stated).
///
/// Bits above are of a newer form and kept as they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Flags {
    /// The record belongs to an exercise.
    pub exercise: bool,
    /// Whether the body holds personal data.
    pub personal: Personal,
    /// What a recipient may do, if stated.
    pub pap: Option<Pap>,
    /// Bits 6 to 15, in place: not known to this node.
    pub newer: u16,
}

impl Flags {
    /// The word as it stands in a header.
    #[must_use]
    pub fn word(self) -> u16 {
        let personal = u16::from(self.personal.code());
        let pap = self.pap.map_or(0, |pap| u16::from(pap.code()));
        (u16::from(self.exercise) * EXERCISE_BIT)
            | (personal << PERSONAL_SHIFT)
            | (pap << PAP_SHIFT)
            | (self.newer & NEWER_MASK)
    }

    /// Reads the word of a header.
    ///
    /// # Errors
    /// [`MarkingError::Flags`] if the bits of personal data or PAP hold a value that is not on their scale.
    pub fn from_word(word: u16) -> Result<Self, MarkingError> {
        let personal = ((word >> PERSONAL_SHIFT) & PERSONAL_MASK) as u8;
        let pap = ((word >> PAP_SHIFT) & PAP_MASK) as u8;
        Ok(Self {
            exercise: word & EXERCISE_BIT != 0,
            personal: Personal::from_code(personal).ok_or(MarkingError::Flags(word))?,
            pap: match pap {
                0 => None,
                code => Some(Pap::from_code(code).ok_or(MarkingError::Flags(word))?),
            },
            newer: word & NEWER_MASK,
        })
    }
}

/// What an error message quotes of a text from outside.
pub(super) fn shorten(text: &str) -> String {
    /// Enough to find a label in a file, in characters: no label has half as many.
    const QUOTED_CHARS: usize = 40;
    text.chars().take(QUOTED_CHARS).flat_map(char::escape_debug).collect()
}
