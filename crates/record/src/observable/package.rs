//! Software packages: a package URL (purl) with type, namespace, name and, if there is one, version:
//! `pkg:npm/%40scope/name@1.0.0`. Qualifiers and subpath do not name the package and are dropped.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{Observable, ObservableRef, ParseError, Parsed, Visit, identity, kind};

/// What purl escapes: all but letters, digits and what [`is_plain`] lets stand beside them.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// Ecosystems whose package names are not told apart by case (purl-spec, PURL-TYPES).
const CASELESS: &[&str] = &["bitbucket", "github", "npm", "pypi"];

const WHY: &str =
    "a package is written pkg:ECOSYSTEM/NAME@VERSION or ECOSYSTEM:NAME@VERSION, as in npm:left-pad@1.3.0";

/// The package of an ecosystem (`npm`, `pypi`, ...), with an empty version all its versions.
pub fn package(ecosystem: &str, name: &str, version: &str) -> Result<Observable, ParseError> {
    let at = if version.trim().is_empty() { "" } else { "@" };
    identity::compose(kind::PACKAGE, &format!("{}:{}{at}{}", ecosystem.trim(), name.trim(), version.trim()))
}

pub(super) fn parse(text: &str) -> Parsed {
    if let Some(rest) = text.strip_prefix("pkg:") {
        let rest = rest.trim_start_matches('/');
        let rest = &rest[..rest.find(['?', '#']).unwrap_or(rest.len())];
        let (ecosystem, rest) = rest.split_once('/').ok_or(WHY)?;
        let (name, version) = split_version(rest);
        let name = name.split('/').map(decode).collect::<Option<Vec<_>>>().ok_or(WHY)?;
        canonical(ecosystem, &name, &decode(version).ok_or(WHY)?)
    } else {
        let (ecosystem, rest) = text.split_once(':').ok_or(WHY)?;
        let (name, version) = split_version(rest);
        canonical(ecosystem, &name.split('/').map(str::to_owned).collect::<Vec<_>>(), version)
    }
}

/// Name and version; an `@` at the start of a name is an npm scope.
fn split_version(text: &str) -> (&str, &str) {
    match text.rfind('@') {
        Some(at) if at > 0 && !text[at..].contains('/') => (&text[..at], &text[at + 1..]),
        _ => (text, ""),
    }
}

fn canonical(ecosystem: &str, segments: &[String], version: &str) -> Parsed {
    let ecosystem = ecosystem.to_ascii_lowercase();
    let segments = segments.iter().filter(|segment| !segment.is_empty()).map(|segment| {
        let segment =
            if CASELESS.contains(&&*ecosystem) { segment.to_ascii_lowercase() } else { segment.clone() };
        encode(&if ecosystem == "pypi" { segment.replace('_', "-") } else { segment })
    });
    let name = segments.collect::<Vec<_>>().join("/");
    let at = if version.is_empty() { "" } else { "@" };
    let value = format!("pkg:{ecosystem}/{name}{at}{}", encode(version)).into_bytes();
    if check(&value) { Ok(Observable { kind: kind::PACKAGE, value }) } else { Err(WHY) }
}

fn is_plain(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'~')
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, ESCAPED).to_string()
}

/// `None` if the escapes are broken or hide a control character.
fn decode(text: &str) -> Option<String> {
    // What the crate would take for a percent sign as it stands.
    let digits = |escape: &str| escape.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    let whole = text.split('%').skip(1).all(digits);
    let text = percent_decode_str(text).decode_utf8().ok().filter(|_| whole)?;
    (!text.contains(|c: char| c.is_control())).then(|| text.into_owned())
}

pub(super) fn check(value: &[u8]) -> bool {
    let Some((ecosystem, rest)) = str::from_utf8(value)
        .ok()
        .and_then(|text| text.strip_prefix("pkg:"))
        .and_then(|text| text.split_once('/'))
    else {
        return false;
    };
    let (name, version) = split_version(rest);
    let segment = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| is_plain(b) || b == b'%')
            && decode(text).is_some_and(|plain| encode(&plain) == text)
    };
    !ecosystem.is_empty()
        && ecosystem.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'+'))
        && name.split('/').all(segment)
        && (version.is_empty() && !rest.ends_with('@') || segment(version))
}

/// All versions of the package.
pub(super) fn parents(value: &[u8], visit: &mut Visit<'_>) {
    let text = String::from_utf8_lossy(value);
    let (name, version) = split_version(&text);
    if !version.is_empty() {
        visit(ObservableRef { kind: kind::PACKAGE, value: name.as_bytes() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_escapes_are_no_names() {
        for broken in
            ["pkg:npm/a%", "pkg:npm/a%4", "pkg:npm/a%zz", "pkg:npm/a@1%2", "pkg:npm/a%0a", "pkg:npm/a%ff"]
        {
            assert!(parse(broken).is_err(), "{broken}");
            assert!(!check(broken.as_bytes()), "{broken}");
        }
        let scoped = parse("pkg:npm/%40s/x%2b@1%2b2").unwrap().value;
        assert_eq!(str::from_utf8(&scoped), Ok("pkg:npm/%40s/x%2B@1%2B2"));
    }
}
