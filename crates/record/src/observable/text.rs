//! Types whose value is text as it stands: file, process and application names, mutexes, user agents; and
//! registry keys and CVE numbers, which have a normal form.
//!
//! Names keep their case, since most systems tell it apart and an export must not lose it. Registry
//! keys do not: Windows never tells it apart there.

use super::{Observable, Parsed, kind};

fn text(kind: u16, text: &str) -> Parsed {
    Ok(Observable { kind, value: text.as_bytes().to_vec() })
}

pub(super) fn parse_filename(name: &str) -> Parsed {
    text(kind::FILENAME, name)
}

pub(super) fn parse_process(name: &str) -> Parsed {
    text(kind::PROCESS, name)
}

pub(super) fn parse_mutex(name: &str) -> Parsed {
    text(kind::MUTEX, name)
}

pub(super) fn parse_user_agent(name: &str) -> Parsed {
    text(kind::USER_AGENT, name)
}

pub(super) fn parse_app(id: &str) -> Parsed {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if !id.bytes().all(plain) {
        return Err("an application id has letters, digits, dots, `-` and `_`, as in com.example.app");
    }
    text(kind::APP, id)
}

/// Text that is not empty, has no white space around it and no control characters in it.
pub(super) fn check(value: &[u8]) -> bool {
    str::from_utf8(value).is_ok_and(|text| {
        !text.is_empty()
            && text.trim_matches(super::is_padding) == text
            && !text.contains(|c: char| c.is_control())
    })
}

pub(super) fn show(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// Short and full names of the registry's hives, in lower case.
const HIVES: &[(&str, &str)] = &[
    ("hklm", "hkey_local_machine"),
    ("hkcu", "hkey_current_user"),
    ("hkcr", "hkey_classes_root"),
    ("hku", "hkey_users"),
    ("hkcc", "hkey_current_config"),
];

pub(super) fn parse_regkey(key: &str) -> Parsed {
    let key = key.trim_matches('\\').to_ascii_lowercase();
    let (hive, rest) = key.split_at(key.find('\\').unwrap_or(key.len()));
    let hive = HIVES.iter().find(|(short, _)| *short == hive).map_or(hive, |(_, full)| full);
    let key = format!("{hive}{rest}");
    if !check(key.as_bytes()) {
        return Err("a registry key is written as in HKLM\\Software\\Example");
    }
    text(kind::REGKEY, &key)
}

pub(super) fn check_regkey(value: &[u8]) -> bool {
    let short = |hive: &[u8]| HIVES.iter().any(|(short, _)| short.as_bytes() == hive);
    check(value)
        && !value.iter().any(u8::is_ascii_uppercase)
        && !value.starts_with(b"\\")
        && !value.ends_with(b"\\")
        && !value.split(|b| *b == b'\\').next().is_some_and(short)
}

/// `CVE-YEAR-NUMBER`, the number without leading zeros beyond four digits.
pub(super) fn parse_cve(cve: &str) -> Parsed {
    const WHY: &str = "a CVE number is written as in CVE-2021-44228";
    let upper = cve.to_ascii_uppercase();
    let (year, number) = upper.strip_prefix("CVE-").and_then(|rest| rest.split_once('-')).ok_or(WHY)?;
    let significant = number.trim_start_matches('0');
    let value = format!("CVE-{year}-{significant:0>4}").into_bytes();
    if number.len() < 4 || number.len() > 19 || !check_cve(&value) {
        return Err(WHY);
    }
    Ok(Observable { kind: kind::CVE, value })
}

pub(super) fn check_cve(value: &[u8]) -> bool {
    let Some((year, number)) = value.strip_prefix(b"CVE-").and_then(|rest| rest.split_at_checked(4)) else {
        return false;
    };
    let Some(number) = number.strip_prefix(b"-") else {
        return false;
    };
    (b"1999"..=b"2999").contains(&<&[u8; 4]>::try_from(year).unwrap_or(b"0000"))
        && year.iter().chain(number).all(u8::is_ascii_digit)
        && (4..=19).contains(&number.len())
        && (number.len() == 4 || number[0] != b'0')
}
