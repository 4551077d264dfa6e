//! What leads to a person: phone numbers, accounts, travel documents.
//!
//! A phone number is E.164 (`+4930123456`), an account `platform:handle`, a travel document
//! `STATE:TYPE:NUMBER` with the codes of ICAO 9303.

use super::{Observable, ParseError, Parsed, Type, excerpt, kind};

/// Platforms that write the same account in either case; elsewhere the case of a handle is kept. This decides
/// canonical forms: a platform may be added with its first use in the mesh, never removed.
const CASELESS: &[&str] = &[
    "facebook",
    "github",
    "gitlab",
    "instagram",
    "jabber",
    "linkedin",
    "mastodon",
    "reddit",
    "skype",
    "telegram",
    "tiktok",
    "twitter",
];

/// Other names of platforms, and the one that is kept.
const PLATFORMS: &[(&str, &str)] =
    &[("x", "twitter"), ("xmpp", "jabber"), ("tg", "telegram"), ("ig", "instagram")];

pub(super) fn parse_phone(text: &str) -> Parsed {
    let text = text.strip_prefix("tel:").unwrap_or(text);
    let digits: String =
        text.chars().filter(|c| !matches!(c, ' ' | '\u{a0}' | '-' | '.' | '(' | ')' | '/')).collect();
    let digits = digits.strip_prefix('+').or_else(|| digits.strip_prefix("00"));
    let digits = digits.ok_or("begin it with `+` and the country's code, as in +4930123456")?;
    let value = format!("+{digits}").into_bytes();
    if !check_phone(&value) {
        return Err("a phone number has 7 to 15 digits after the `+`");
    }
    Ok(Observable { kind: kind::PHONE, value })
}

pub(super) fn check_phone(value: &[u8]) -> bool {
    let Some(digits) = value.strip_prefix(b"+") else {
        return false;
    };
    (7..=15).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) && digits[0] != b'0'
}

pub(super) fn parse_account(text: &str) -> Parsed {
    let (platform, handle) = text.split_once(':').ok_or("an account is written PLATFORM:HANDLE")?;
    let platform = platform.trim().to_ascii_lowercase();
    let platform =
        PLATFORMS.iter().find(|(other, _)| *other == platform).map_or(&*platform, |(_, kept)| kept);
    let handle = handle.trim();
    let handle = handle.strip_prefix('@').unwrap_or(handle);
    let handle = if CASELESS.contains(&platform) { handle.to_ascii_lowercase() } else { handle.to_owned() };
    let value = format!("{platform}:{handle}").into_bytes();
    if !check_account(&value) {
        return Err("an account is written PLATFORM:HANDLE, the platform in letters, digits, `.` and `-`");
    }
    Ok(Observable { kind: kind::ACCOUNT, value })
}

pub(super) fn check_account(value: &[u8]) -> bool {
    let Some((platform, handle)) = str::from_utf8(value).ok().and_then(|text| text.split_once(':')) else {
        return false;
    };
    let plain = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
    (1..=64).contains(&platform.len())
        && platform.bytes().all(plain)
        && super::text::check(handle.as_bytes())
        && !handle.starts_with('@')
}

/// The account of a handle on a platform, such as `telegram` and `@someone`.
pub fn account(platform: &str, handle: &str) -> Result<Observable, ParseError> {
    compose(kind::ACCOUNT, &format!("{platform}:{handle}"))
}

pub(super) fn parse_travel_document(text: &str) -> Parsed {
    const WHY: &str =
        "a travel document is written STATE:TYPE:NUMBER with the codes of ICAO 9303, as in UTO:P:L898902C3";
    let upper = text.to_ascii_uppercase();
    let mut parts = upper.splitn(3, [':', '/']).map(|part| part.replace(['<', ' ', '-'], ""));
    let (Some(state), Some(document), Some(number)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(WHY);
    };
    // ICAO 9303-3 section 5: Germany writes D, where ISO 3166 has DEU.
    let state = if state == "DEU" { "D" } else { &state };
    let value = format!("{state}:{document}:{number}").into_bytes();
    if !check_travel_document(&value) {
        return Err(WHY);
    }
    Ok(Observable { kind: kind::TRAVEL_DOCUMENT, value })
}

pub(super) fn check_travel_document(value: &[u8]) -> bool {
    let mut parts = value.split(|b| *b == b':');
    let (Some(state), Some(document), Some(number), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    (1..=3).contains(&state.len())
        && state.iter().all(u8::is_ascii_uppercase)
        && state != b"DEU"
        && (1..=2).contains(&document.len())
        && document[0].is_ascii_uppercase()
        && document.iter().chain(number).all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        && (1..=20).contains(&number.len())
}

pub(super) fn compose(kind: u16, text: &str) -> Result<Observable, ParseError> {
    Type::by_id(kind).ok_or_else(|| ParseError::UnknownType(excerpt(text)))?.parse(text)
}
