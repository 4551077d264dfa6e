//! The only place that reads the clock. Everything below the node is told the time.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcDateTime};

/// The last millisecond of 9999, the last year that RFC 3339 can say. Members state their times freely, and a later one
/// must not be written in a form that no reader takes.
pub const LAST_MS: u64 = 253_402_300_799_999;

/// Milliseconds since 1970 by the machine's wall clock.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds since the machine came up, sleep included: never falls within a process, does not follow corrections of
/// the wall clock, and goes on over a restart of the process, by which a node knows that nobody turned its disk back.
#[must_use]
pub fn monotonic_ms() -> u64 {
    static START: OnceLock<(u64, u64)> = OnceLock::new();
    let (uptime, start) = START.get_or_init(|| (uptime_ms(), awake_and_asleep_ms()));
    uptime.saturating_add(awake_and_asleep_ms().saturating_sub(*start))
}

/// Milliseconds since any fixed moment, with the time that the machine slept.
#[cfg(target_os = "linux")]
fn awake_and_asleep_ms() -> u64 {
    use nix::time::{ClockId, clock_gettime};
    // No system that this runs on lacks it (Linux 2.6.39); one that did would count no sleep.
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or_else(
        |_| running_ms(),
        |time| u64::try_from(Duration::from(time).as_millis()).unwrap_or(u64::MAX),
    )
}

#[cfg(not(target_os = "linux"))]
fn awake_and_asleep_ms() -> u64 {
    running_ms()
}

/// Processor time that the calling thread has used, in nanoseconds; 0 where the system does not say.
#[must_use]
pub fn thread_nanos() -> u64 {
    #[cfg(target_os = "linux")]
    {
        use nix::time::{ClockId, clock_gettime};
        let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
        time.map_or(0, |time| u64::try_from(Duration::from(time).as_nanos()).unwrap_or(u64::MAX))
    }
    #[cfg(not(target_os = "linux"))]
    0
}

/// Milliseconds since the first call.
fn running_ms() -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    u64::try_from(FIRST.get_or_init(Instant::now).elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// By Linux's own account; 0 elsewhere, where each start of the process then counts as one of the machine.
fn uptime_ms() -> u64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds: f64 = text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive number of milliseconds far below 2^53"
    )]
    let ms = (seconds.max(0.0) * 1000.0) as u64;
    ms
}

/// A time as people read it: `2026-11-22 04:25:32Z`; `-` for 0.
#[must_use]
pub fn show(ms: u64) -> String {
    if ms == 0 { "-".to_owned() } else { format!("{}Z", plain(ms)) }
}

/// As [`show`], in half of its columns: what was in the last day before `now` by its time, else by its date.
#[must_use]
pub fn show_briefly(ms: u64, now: u64) -> String {
    match ms {
        0 => "-".to_owned(),
        _ if now.checked_sub(ms).is_some_and(|ago| ago < 86_400_000) => show_time(ms),
        _ => plain(ms).split(' ').next().unwrap_or_default().to_owned(),
    }
}

/// To the second, in UTC: `2026-11-22 04:25:32`. What lies beyond [`LAST_MS`] is said as that.
fn plain(ms: u64) -> String {
    let at = UtcDateTime::UNIX_EPOCH + std::time::Duration::from_millis(ms.min(LAST_MS));
    let (year, month, day) = at.to_calendar_date();
    let (hour, minute, second) = at.as_hms();
    format!("{year:04}-{:02}-{day:02} {hour:02}:{minute:02}:{second:02}", u8::from(month))
}

/// As RFC 3339 with milliseconds: `2026-11-22T04:25:32.250Z`. What lies beyond [`LAST_MS`] is written as that.
#[must_use]
pub fn rfc3339(ms: u64) -> String {
    let ms = ms.min(LAST_MS);
    format!("{}.{:03}Z", plain(ms).replace(' ', "T"), ms % 1000)
}

/// Milliseconds since 1970 of a time in RFC 3339, at any offset, with `T` or a space; of a fraction the first three
/// digits count. `None` for what is none, such as 31 February, and for what lies before 1970. A leap second is the last
/// millisecond before it, since the count has no room for it.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<u64> {
    /// Longer is no time, however many digits its fraction has.
    const LENGTH_MAX: usize = 64;
    // The crate lets anything stand between date and time.
    if text.len() > LENGTH_MAX || !matches!(text.as_bytes().get(10), Some(b'T' | b't' | b' ')) {
        return None;
    }
    let nanos = OffsetDateTime::parse(text, &Rfc3339).ok()?.unix_timestamp_nanos();
    // Nanoseconds have no room in 64 bits from the year 2554 on.
    if nanos < 0 { None } else { u64::try_from(nanos / 1_000_000).ok() }
}

/// The time of day alone, for live tables: `04:25:32Z`; `-` for 0.
#[must_use]
pub fn show_time(ms: u64) -> String {
    let text = show(ms);
    text.rsplit(' ').next().unwrap_or(&text).to_owned()
}

/// What was measured in whole milliseconds, in the digits that it has: `3 ms`, `1.25 s`. Below zero where two clocks differ.
#[must_use]
pub fn show_measured_ms(ms: i64) -> String {
    match ms {
        0 => "under 1 ms".to_owned(),
        ..1_000 => format!("{ms} ms"),
        _ => show_measured(Duration::from_millis(ms.unsigned_abs())),
    }
}

/// What was measured in finer steps, in three digits, or two below 10 ms: `0.4 ms`, `250 ms`, `1.25 s`.
#[must_use]
pub fn show_measured(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    match span.as_micros() {
        0..50 => "under 0.1 ms".to_owned(),
        50..9_950 => format!("{:.1} ms", seconds * 1e3),
        9_950..999_500 => format!("{:.0} ms", seconds * 1e3),
        999_500..9_995_000 => format!("{seconds:.2} s"),
        9_995_000..120_000_000 => format!("{seconds:.1} s"),
        _ => format!("{:.1} min", seconds / 60.0),
    }
}

/// A span as people write it: `90d`, `12h`, `10min`, `30s`, `250ms`. In milliseconds.
///
/// # Errors
/// A sentence that names what was expected.
pub fn parse_span(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor: u64 = match unit.trim() {
        "ms" => 1,
        "s" | "sec" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        "w" => 7 * 86_400_000,
        "y" => 365 * 86_400_000,
        _ => {
            return Err(format!("`{text}` is no span of time: write 90d, 2w, 1y, 12h, 10min, 30s or 250ms"));
        }
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(factor))
        .ok_or_else(|| format!("`{text}` is no span of time: write 90d, 2w, 1y, 12h, 10min, 30s or 250ms"))
}

/// A moment as people write it, in ms since 1970: a span back from now, as [`parse_span`] reads it, a date (its first moment in
/// UTC), or a time in RFC 3339.
///
/// # Errors
/// A sentence that names what was expected.
pub fn parse_moment(text: &str) -> Result<u64, String> {
    if let Ok(span) = parse_span(text) {
        return Ok(now_ms().saturating_sub(span));
    }
    let midnight = || parse_rfc3339(&format!("{text}T00:00:00Z"));
    parse_rfc3339(text).or_else(midnight).ok_or_else(|| {
        format!(
            "`{text}` is no moment: write a span back from now (24h, 90d), a date (2026-11-01) or a time \
                 (2026-11-01T08:30:00Z)"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_spans_back_dates_and_times() {
        let before = now_ms();
        let day_ago = parse_moment("24h").expect("a span");
        assert!((before - 86_400_000..=now_ms() - 86_400_000).contains(&day_ago));
        assert_eq!(parse_moment("2000-02-29"), Ok(951_782_400_000));
        assert_eq!(parse_moment("2000-02-29T01:00:00+01:00"), Ok(951_782_400_000));
        for wrong in ["", "yesterday", "2026-02-30", "2026-11", "12", "2026-11-01T", "99999999999999999999d"]
        {
            assert!(parse_moment(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn shows_times() {
        assert_eq!(show(0), "-");
        assert_eq!(show(951_782_400_000), "2000-02-29 00:00:00Z");
        assert_eq!(show(1_795_321_532_000), "2026-11-22 04:25:32Z");
        assert_eq!(show_time(1_795_321_532_000), "04:25:32Z");
        assert_eq!(show_time(0), "-");
        assert_eq!(show_briefly(1_795_321_532_000, 1_795_321_533_000), "04:25:32Z");
        assert_eq!(show_briefly(1_795_321_532_000, 1_795_407_932_000), "2026-11-22");
        assert_eq!((show_briefly(0, 1), show_briefly(2, 1)), ("-".to_owned(), "1970-01-01".to_owned()));
    }

    #[test]
    fn what_was_measured_has_its_digits() {
        for (ms, shown) in [
            (0, "under 1 ms"),
            (3, "3 ms"),
            (999, "999 ms"),
            (1_000, "1.00 s"),
            (1_250, "1.25 s"),
            (-4, "-4 ms"),
        ] {
            assert_eq!(show_measured_ms(ms), shown);
        }
        for (micros, shown) in [
            (40, "under 0.1 ms"),
            (400, "0.4 ms"),
            (9_949, "9.9 ms"),
            (9_950, "10 ms"),
            (250_400, "250 ms"),
            (999_499, "999 ms"),
            (999_500, "1.00 s"),
            (1_250_000, "1.25 s"),
            (9_994_999, "9.99 s"),
            (9_995_000, "10.0 s"),
            (150_000_000, "2.5 min"),
        ] {
            assert_eq!(show_measured(Duration::from_micros(micros)), shown);
        }
    }

    #[test]
    fn times_come_back() {
        for ms in [1, 951_782_400_000, 1_795_321_532_250, 4_102_444_799_999, LAST_MS] {
            assert_eq!(parse_rfc3339(&rfc3339(ms)), Some(ms));
        }
        for beyond in [LAST_MS + 1, u64::MAX] {
            assert_eq!(rfc3339(beyond), "9999-12-31T23:59:59.999Z");
            assert_eq!(show(beyond), "9999-12-31 23:59:59Z");
        }
        assert_eq!(parse_rfc3339("2026-11-22T04:25:32Z"), Some(1_795_321_532_000));
        for wrong in [
            "",
            "Z",
            "2026-13-01T00:00:00Z",
            "2026-02-31T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T04:25:60Z",
            "2026-11-22T04:25:32",
            "2026-11-22T04:25:32.Z",
            "2026-11-22_04:25:32Z",
            "2026-11-22T04:25:32+24:00",
            "1969-01-01T00:00:00Z",
            "1970-01-01T00:00:00+00:01",
            "10000-01-01T00:00:00Z",
            "+12026-01-01T00:00:00Z",
            "2026-11-22T04:25:32\u{2212}01:00",
        ] {
            assert_eq!(parse_rfc3339(wrong), None, "{wrong}");
        }
        assert_eq!(parse_rfc3339(&format!("2026-11-22T04:25:32.{}Z", "1".repeat(99))), None);
    }

    #[test]
    fn times_of_others_are_read() {
        for (text, as_ours) in [
            ("2026-11-22 04:25:32Z", "2026-11-22T04:25:32.000Z"),
            ("2026-11-22t04:25:32.123456789z", "2026-11-22T04:25:32.123Z"),
            ("2026-11-22T04:25:32.1+05:30", "2026-11-21T22:55:32.100Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.999Z"),
            ("2016-12-31T15:59:60-08:00", "2016-12-31T23:59:59.999Z"),
            ("1970-01-01T00:00:00-00:01", "1970-01-01T00:01:00.000Z"),
            ("2000-02-29T00:00:00Z", "2000-02-29T00:00:00.000Z"),
        ] {
            assert_eq!(parse_rfc3339(text).map(rfc3339).as_deref(), Some(as_ours), "{text}");
        }
    }

    #[test]
    fn reads_spans() {
        assert_eq!(parse_span("90d"), Ok(90 * 86_400_000));
        assert_eq!(parse_span("10min"), Ok(600_000));
        assert!(parse_span("soon").is_err());
        assert!(parse_span("99999999999999999999d").is_err());
        assert!(parse_span("5").is_err());
    }
}
