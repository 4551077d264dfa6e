//! A source's profile: what the operator knows about a feed that the feed does not say itself
//! (`sources/NAME.toml`).

use std::collections::BTreeMap;

use serde::Deserialize;
use tocsin_record::marking::words;
use tocsin_record::marking::{Code, Pap, Personal, Tlp};
use tocsin_record::observable::Type;

use crate::marking::Terms;
use crate::{FORMATS, format_names, names};

/// A source's profile.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// What the source is called in the origin of its records.
    pub name: Option<String>,
    /// Title of lists, which have none of their own; the file's name if not said.
    pub title: Option<String>,
    /// The handling of what carries none.
    pub terms: Terms,
    /// At least this; the types of the indicators may say more.
    pub personal: Personal,
    /// Confidence of indicators that have none, 0 to 100.
    pub confidence: Option<u8>,
    /// Kind of indicators that say none, from the table of indicator kinds.
    pub kind: Option<Code>,
    /// Type of values whose type is neither said nor seen, by its name in the observable table.
    pub value_type: Option<&'static Type>,
    /// One of [`FORMATS`], where the file is not to be recognised.
    pub format: Option<String>,
    /// Which columns of a CSV hold what.
    pub columns: Columns,
    /// What handling labels mean that nobody else understands, by [`words::key`] of the label.
    pub overrides: BTreeMap<String, Tlp>,
}

/// Which columns of a CSV hold what: a name of the header, or a number from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Columns {
    /// The column of the values: its name in the header, or its number from 1.
    pub value: Option<String>,
    /// The column that names the type of the value beside it.
    #[serde(rename = "type")]
    pub value_type: Option<String>,
    /// A line for people.
    pub comment: Option<String>,
    /// The column of tags, separated by spaces, commas, semicolons or `#`.
    pub tags: Option<String>,
    /// The column of the time from which a value counts.
    pub valid_from: Option<String>,
    /// 0 to 100.
    pub confidence: Option<String>,
    /// Not a column: the ecosystem of bare package names, such as `npm`.
    pub ecosystem: Option<String>,
    /// Not a column: what separates cells; found by itself if absent.
    pub delimiter: Option<char>,
}

/// Why a profile was refused.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// No TOML, an unknown key, or a value of another type. The message has line and column.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// A value that means nothing.
    #[error("`{field}`: {why}")]
    Value {
        /// The key.
        field: &'static str,
        /// What is wrong and what is possible.
        why: String,
    },
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    name: Option<String>,
    title: Option<String>,
    tlp: Option<String>,
    pap: Option<String>,
    #[serde(default)]
    purposes: Vec<String>,
    purpose: Option<String>,
    legal_basis: Option<String>,
    retention: Option<String>,
    personal: Option<String>,
    confidence: Option<u8>,
    kind: Option<String>,
    #[serde(rename = "type")]
    value_type: Option<String>,
    format: Option<String>,
    #[serde(default)]
    columns: Columns,
    #[serde(default)]
    override_marking: BTreeMap<String, String>,
}

impl Profile {
    /// Reads a profile.
    ///
    /// # Errors
    /// [`ProfileError`], which names the key and what may stand there.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        let file: File = toml::from_str(text)?;
        let purposes = file
            .purposes
            .iter()
            .chain(&file.purpose)
            .map(|name| Code::known_purpose(name).map_err(|error| refused("purposes", error)))
            .collect::<Result<Vec<_>, _>>()?;
        if file.confidence.is_some_and(|confidence| confidence > 100) {
            return Err(refused("confidence", "it is 0 to 100"));
        }
        if let Some(format) = file.format.as_deref()
            && !FORMATS.iter().any(|row| row.name == format)
        {
            return Err(refused("format", format!("it is {}", format_names())));
        }
        let kind = match file.kind.as_deref() {
            Some(name) => Some(
                names::kind_named(name)
                    .ok_or_else(|| refused("kind", format!("there is no indicator kind `{name}`")))?,
            ),
            None => None,
        };
        let value_type = match file.value_type.as_deref() {
            Some(name) => Some(
                Type::by_name(name)
                    .ok_or_else(|| refused("type", format!("there is no observable type `{name}`")))?,
            ),
            None => None,
        };
        Ok(Self {
            name: file.name,
            title: file.title,
            terms: Terms {
                tlp: parsed("tlp", file.tlp, str::parse::<Tlp>)?,
                pap: parsed("pap", file.pap, str::parse::<Pap>)?,
                purposes,
                retention_ms: parsed("retention", file.retention, duration_ms)?,
                legal_basis: file.legal_basis,
            },
            personal: parsed("personal", file.personal, str::parse::<Personal>)?.unwrap_or_default(),
            confidence: file.confidence,
            kind,
            value_type,
            format: file.format,
            columns: file.columns,
            overrides: file
                .override_marking
                .iter()
                .map(|(label, tlp)| override_of(label, tlp).map_err(|why| refused("override-marking", why)))
                .collect::<Result<_, _>>()?,
        })
    }

    /// What the operator says that a handling label means.
    pub(crate) fn meaning(&self, label: &str) -> Option<Tlp> {
        if self.overrides.is_empty() { None } else { self.overrides.get(&words::key(label)).copied() }
    }
}

fn refused(field: &'static str, why: impl ToString) -> ProfileError {
    ProfileError::Value { field, why: why.to_string() }
}

fn parsed<T, E: ToString>(
    field: &'static str,
    text: Option<String>,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Option<T>, ProfileError> {
    text.map(|text| parse(&text).map_err(|error| refused(field, error))).transpose()
}

/// What a handling label means, as it is kept in [`Profile::overrides`].
///
/// # Errors
/// A sentence, where either means nothing.
pub fn override_of(label: &str, tlp: &str) -> Result<(String, Tlp), String> {
    let key = words::key(label);
    if key.is_empty() {
        return Err(format!("`{}` is no label", names::one_line(label, 40)));
    }
    Ok((key, tlp.parse::<Tlp>().map_err(|error| error.to_string())?))
}

/// A duration such as `90d`, `12h`, `2w` or `1y` (365 days), in ms.
///
/// # Errors
/// A sentence that says how one is written.
pub fn duration_ms(text: &str) -> Result<u64, &'static str> {
    const WHY: &str = "a duration is a number and one of h, d, w, y, as in 90d";
    const HOUR_MS: u64 = 3_600_000;
    let text = text.trim();
    let unit = match text.chars().last() {
        Some('h') => HOUR_MS,
        Some('d') => 24 * HOUR_MS,
        Some('w') => 7 * 24 * HOUR_MS,
        Some('y') => 365 * 24 * HOUR_MS,
        _ => return Err(WHY),
    };
    let number: u64 = text[..text.len() - 1].trim().parse().map_err(|_| WHY)?;
    number.checked_mul(unit).filter(|ms| *ms > 0).ok_or(WHY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_profile_is_read() {
        let profile = Profile::parse(
            "name = 'feed'\ntlp = 'GREEN'\npap = 'AMBER'\npurposes = ['research', 'network-defence']\nretention = '2w'\n\
             confidence = 60\nkind = 'phishing'\ntype = 'domain'\nformat = 'csv'\npersonal = 'possible'\n\
             [columns]\nvalue = 'Data'\ntype = '2'\ndelimiter = ';'",
        )
        .unwrap();
        assert_eq!(profile.name.as_deref(), Some("feed"));
        assert_eq!(profile.terms.tlp, Some(Tlp::Green));
        assert_eq!(profile.terms.retention_ms, Some(14 * 86_400_000));
        assert_eq!(profile.kind.unwrap().kind, 7);
        assert_eq!(profile.value_type.unwrap().name, "domain");
        assert_eq!(profile.columns.delimiter, Some(';'));
        assert_eq!(format!("{:?}", Profile::parse("").unwrap()), format!("{:?}", Profile::default()));
    }

    #[test]
    fn what_means_nothing_is_refused_by_name() {
        for (text, part) in [
            ("tpl = 'GREEN'", "tpl"),
            ("tlp = 'BLUE'", "`tlp`"),
            ("retention = '90'", "`retention`"),
            ("retention = '99999999999999999y'", "`retention`"),
            ("retention = 'ü'", "`retention`"),
            ("confidence = 101", "`confidence`"),
            ("kind = 'bad'", "`kind`"),
            ("type = 'bad'", "`type`"),
            ("format = 'xml'", "`format`"),
            ("purposes = ['A B']", "`purposes`"),
            ("[columns]\nvalu = 'x'", "valu"),
            ("[override-marking]\n'tlp:ex:chr' = 'blue'", "`override-marking`"),
            ("[override-marking]\n':' = 'red'", "`override-marking`"),
        ] {
            let error = Profile::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
