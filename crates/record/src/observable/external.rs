//! Observables by the names that STIX and MISP give them.

use super::{Observable, ObservableRef, ParseError, TYPES, Type, excerpt, kind, several};

impl Type {
    /// The types that a STIX object path may hold, in order of the table. Quotes, case, the dashes of hash names
    /// and list indices do not matter: `file:hashes.sha256` is `file:hashes.'SHA-256'`.
    pub fn by_stix_path(path: &str) -> impl Iterator<Item = &'static Type> {
        let path = normal_path(path);
        TYPES.iter().filter(move |row| row.stix.iter().any(|own| normal_path(own) == path))
    }

    /// The types that a (simple) MISP attribute type may hold, in order of the table.
    pub fn by_misp(name: &str) -> impl Iterator<Item = &'static Type> {
        TYPES.iter().filter(move |row| row.misp.contains(&name))
    }
}

/// A path without quotes, indices and the dashes of hash names, in lower case.
fn normal_path(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut inside = false;
    for c in path.chars() {
        match c {
            '\'' | '"' | ' ' => {}
            '[' => inside = true,
            ']' => {
                inside = false;
                out.push('*');
            }
            _ if inside => {}
            _ => out.push(c.to_ascii_lowercase()),
        }
    }
    match out.find("hashes.") {
        Some(at) => format!("{}{}", &out[..at], out[at..].replace('-', "")),
        None => out,
    }
}

/// The observable of a STIX comparison `path = value`. Where a path may hold several types (an address or a
/// network), the value decides.
///
/// A user account needs its platform beside it: use [`super::account`] with `account_type`.
pub fn from_stix_path(path: &str, value: &str) -> Result<Observable, ParseError> {
    first_fit(Type::by_stix_path(path), value).unwrap_or_else(|| Err(ParseError::UnknownStix(excerpt(path))))
}

/// What a MISP attribute holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Composite {
    /// Its observables, at least one.
    pub values: Vec<Observable>,
    /// What is wrong with parts that are none and should be.
    pub refused: Vec<ParseError>,
}

/// The observables of a MISP attribute: several for a composite type such as `domain|ip` or `filename|sha256`. Parts
/// that are no observable, such as a port, are left out; a part that is empty or no value loses no other.
pub fn from_misp(misp: &str, value: &str) -> Result<Composite, ParseError> {
    let unknown = || ParseError::UnknownMisp(excerpt(misp));
    let misp = if misp == "malware-sample" { "filename|md5" } else { misp };
    let names: Vec<&str> = misp.split('|').collect();
    if names.len() == 1 {
        let values = all_of_misp(misp, value).ok_or_else(unknown)??;
        return Ok(Composite { values, refused: Vec::new() });
    }
    // From the right: a file name may contain a bar, the other parts do not.
    let mut parts: Vec<&str> = value.rsplitn(names.len(), '|').collect();
    parts.reverse();
    if parts.len() != names.len() {
        // The half of it, or both in another form (`192.0.2.7:443`). What is told apart by its form is tried first.
        let mut first_error = None;
        for name in names.iter().rev() {
            match all_of_misp(name, value) {
                Some(Ok(values)) => return Ok(Composite { values, refused: Vec::new() }),
                Some(Err(error)) => first_error = first_error.or(Some(error)),
                None => {}
            }
        }
        return Err(first_error.unwrap_or_else(unknown));
    }
    let mut found = Composite::default();
    for (name, part) in names.iter().zip(parts) {
        match all_of_misp(name, part) {
            Some(Ok(values)) => found.values.extend(values),
            Some(Err(error)) => found.refused.push(error),
            None => {}
        }
    }
    if found.values.is_empty() {
        return Err(if found.refused.is_empty() { unknown() } else { found.refused.swap_remove(0) });
    }
    Ok(found)
}

fn all_of_misp(misp: &str, value: &str) -> Option<Result<Vec<Observable>, ParseError>> {
    let one = |value: &str| one_of_misp(misp, value).map(|found| found.map(|found| vec![found]));
    Some(
        one(value)?.or_else(|error| several(value, |part| one(part).ok_or(())?.map_err(|_| ())).ok_or(error)),
    )
}

fn one_of_misp(misp: &str, value: &str) -> Option<Result<Observable, ParseError>> {
    match misp {
        "twitter-id" => Some(super::account("twitter", value)),
        "github-username" => Some(super::account("github", value)),
        "jabber-id" => Some(super::account("jabber", value)),
        // Feeds put addresses into `domain` and names into `ip-dst`; what the value is decides.
        "domain" | "hostname" => {
            url_or(first_fit(Type::by_misp(misp).chain(Type::by_misp("ip-dst")), value), value)
        }
        "ip-dst" | "ip-src" => {
            url_or(first_fit(Type::by_misp(misp).chain(Type::by_misp("domain")), value), value)
        }
        _ => first_fit(Type::by_misp(misp), value),
    }
}

/// A URL where a host is said to stand is taken as what it is.
fn url_or(
    host: Option<Result<Observable, ParseError>>,
    value: &str,
) -> Option<Result<Observable, ParseError>> {
    let url =
        || super::detect(value).ok().map(|found| found.observable).filter(|found| found.kind == kind::URL);
    host.map(|host| host.or_else(|error| url().ok_or(error)))
}

/// What the first type says that takes the value, else the error of the first; `None` if there are no types.
fn first_fit(
    types: impl Iterator<Item = &'static Type>,
    value: &str,
) -> Option<Result<Observable, ParseError>> {
    let mut refused = None;
    for row in types {
        match row.parse(value) {
            Ok(found) => return Some(Ok(found)),
            Err(error) => refused = refused.or(Some(Err(error))),
        }
    }
    refused
}

impl ObservableRef<'_> {
    /// A STIX 2.1 pattern that this observable matches, such as `[domain-name:value = 'evil.example']`; `None`
    /// for a type that STIX has no object for, or a value that is unknown or not canonical.
    pub fn stix_pattern(&self) -> Option<String> {
        let row = self.row()?;
        let text = (row.show)(self.value);
        Some(match (row.id, text.split_once(':')) {
            (kind::ASN, _) => format!("[{} = {}]", row.stix.first()?, text.strip_prefix("AS")?),
            (kind::ACCOUNT, Some((platform, handle))) => format!(
                "[user-account:account_type = {} AND user-account:account_login = {}]",
                quoted(platform),
                quoted(handle)
            ),
            _ => format!("[{} = {}]", row.stix.first()?, quoted(&text)),
        })
    }
}

impl Observable {
    /// See [`ObservableRef::stix_pattern`].
    pub fn stix_pattern(&self) -> Option<String> {
        self.borrowed().stix_pattern()
    }
}

/// A string of the STIX pattern language.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
