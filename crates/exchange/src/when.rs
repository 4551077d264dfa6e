//! Points in time as sources write them, in milliseconds since 1970.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What is said of a time that cannot be read.
pub(crate) const UNREADABLE: &str = "it is no date that can be read (write 2026-01-31 or 2026-01-31T12:00:00Z): the value was imported without it";

/// RFC 3339, the same with a space and without a zone (then UTC), a bare date, or seconds or milliseconds since 1970.
/// `None` for anything else and for what lies before 1970.
pub(crate) fn millis(text: &str) -> Option<u64> {
    let text = text.trim();
    if !text.is_ascii() || text.len() > 40 {
        return None;
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return match text.len() {
            9 | 10 => text.parse::<u64>().ok().map(|seconds| seconds * 1000),
            13 => text.parse().ok(),
            _ => None,
        };
    }
    let parsed = match text.len() {
        10 => rfc3339(&format!("{text}T00:00:00Z")),
        16 => rfc3339(&format!("{}T{}:00Z", text.get(..10)?, text.get(11..)?)),
        _ => rfc3339(text)
            .or_else(|| rfc3339(&format!("{}T{}Z", text.get(..10)?, text.get(11..)?)))
            .or_else(|| rfc3339(&format!("{}T{}", text.get(..10)?, text.get(11..)?))),
    }?;
    u64::try_from(parsed.unix_timestamp_nanos() / 1_000_000).ok()
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
            ("1598975711", 1_598_975_711_000),
            ("1598975711123", 1_598_975_711_123),
        ] {
            assert_eq!(millis(text), Some(ms), "{text}");
        }
        for text in ["", "0", "Jun-22", "1969-12-31", "2020-13-01", "2020-01-01T", "V1", "ü020-01-01"] {
            assert_eq!(millis(text), None, "{text}");
        }
    }
}
