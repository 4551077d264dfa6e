//! Points in time as sources write them, in milliseconds since 1970; as versions, in nanoseconds.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What is said of a time that cannot be read.
pub(crate) const UNREADABLE: &str = "it is no date that can be read (write 2026-01-31 or 2026-01-31T12:00:00Z): the value was imported without it";

/// Nanoseconds in a millisecond.
pub(crate) const NANOS_A_MILLI: u128 = 1_000_000;

/// RFC 3339 and what stands near it: with a space, without seconds, a zone or its colon, with `UTC` or `GMT` as the zone (UTC
/// where none is said), with slashes in the date, or the date alone, also without signs (`20200131`); else seconds or milliseconds since 1970. `None` for
/// anything else and for what lies before 1970.
pub(crate) fn millis(text: &str) -> Option<u64> {
    u64::try_from(nanos(text)? / NANOS_A_MILLI).ok()
}

/// As [`millis`], in nanoseconds: two versions of an object may lie within one millisecond.
pub(crate) fn nanos(text: &str) -> Option<u128> {
    let text = text.trim();
    if !text.is_ascii() || text.len() > 40 {
        return None;
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return match text.len() {
            // `20200131`, as MISP's CSV has it: a second of that number would be one of 1970.
            8 => nanos(&format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..])),
            9 | 10 => text.parse::<u128>().ok().map(|seconds| seconds * 1_000 * NANOS_A_MILLI),
            13 => text.parse::<u128>().ok().map(|millis| millis * NANOS_A_MILLI),
            _ => None,
        };
    }
    let date = text.get(..10)?.replace('/', "-");
    let rest = match text[10..].strip_prefix(['T', 't', ' ']) {
        Some(rest) => rest,
        None if text.len() == 10 => "00:00:00Z",
        None => return None,
    };
    let zone = rest.find(['Z', 'z', '+', '-', 'U', 'u', 'G', 'g']).unwrap_or(rest.len());
    let (time, zone) = (rest[..zone].trim_end(), rest[zone..].trim());
    let seconds = if time.len() == 5 { ":00" } else { "" };
    let zone = match zone.len() {
        _ if ["", "Z", "UTC", "GMT"].iter().any(|name| zone.eq_ignore_ascii_case(name)) => "Z".to_owned(),
        3 => format!("{zone}:00"),
        5 => format!("{}:{}", &zone[..3], &zone[3..]),
        _ => zone.to_owned(),
    };
    let parsed = rfc3339(&format!("{date}T{time}{seconds}{zone}"))?;
    u128::try_from(parsed.unix_timestamp_nanos()).ok()
}

fn rfc3339(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_sources_write() {
        for (text, ms) in [
            ("1970-01-01T00:00:01Z", 1_000),
            ("1970-01-01T00:00:01.5Z", 1_500),
            ("1970-01-01T01:00:01.000000+01:00", 1_000),
            ("1970-01-01 00:00:01", 1_000),
            ("1970-01-01 00:01", 60_000),
            ("1970-01-02", 86_400_000),
            ("1970/01/02", 86_400_000),
            ("19700102", 86_400_000),
            ("20200131", 1_580_428_800_000),
            ("1970-01-01T02:00:00+0200", 0),
            ("1970-01-01T02:00:01+02", 1_000),
            ("1970-01-01 00:00:01 UTC", 1_000),
            ("1970-01-01 00:00:01 GMT", 1_000),
            ("1970-01-01T00:01Z", 60_000),
            ("1970-01-01T01:01+01:00", 60_000),
            ("1970-01-01T00:00:01 +0000", 1_000),
            ("1970-01-01 00:00:01.25Z", 1_250),
            ("1598975711", 1_598_975_711_000),
            ("1598975711123", 1_598_975_711_123),
        ] {
            assert_eq!(millis(text), Some(ms), "{text}");
        }
        for text in [
            "",
            "0",
            "Jun-22",
            "1969-12-31",
            "19691231",
            "20201301",
            "12345678",
            "2020-13-01",
            "2020-01-01T",
            "2020-01-01x10:00",
            "2020-01-01 10:00 CET",
            "2020-01-01T10:00:00+020",
            "V1",
            "ü020-01-01",
        ] {
            assert_eq!(millis(text), None, "{text}");
        }
    }
}
