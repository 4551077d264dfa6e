//! What is wrong with one value, object or line: the reason apart from the value, so that a summary can give one
//! explanation once and then the lines it is about.

use tocsin_record::observable::ParseError;

use crate::names;

/// Most bytes of a value that a message quotes: a line of a terminal.
pub(crate) const VALUE_MAX: usize = 80;
/// Most bytes of a reason.
const WHY_MAX: usize = 400;

/// What is wrong, and with which value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The beginning of the value; empty where the place says it.
    pub value: String,
    /// What is wrong and how to mend it, without the value.
    pub why: String,
}

impl Fault {
    /// Something wrong with a value. Both are cut here, whoever made them: nothing that is read is quoted whole.
    pub(crate) fn of(value: &str, why: impl std::fmt::Display) -> Self {
        Self { value: names::one_line(value, VALUE_MAX), why: names::one_line(&why.to_string(), WHY_MAX) }
    }
}

impl From<ParseError> for Fault {
    fn from(error: ParseError) -> Self {
        Self::of(error.value(), error.reason())
    }
}

impl From<String> for Fault {
    fn from(why: String) -> Self {
        Self::of("", why)
    }
}

impl From<&str> for Fault {
    fn from(why: &str) -> Self {
        Self::of("", why)
    }
}
