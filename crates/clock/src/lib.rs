//! The only place that reads the clock. Everything below the node is told the time.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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

/// To the second, in UTC: `2026-11-22 04:25:32`. What lies beyond [`LAST_MS`] is said as that.
fn plain(ms: u64) -> String {
    let ms = ms.min(LAST_MS);
    let (days, seconds) = (ms / 86_400_000, ms / 1000 % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// As RFC 3339 with milliseconds: `2026-11-22T04:25:32.250Z`. What lies beyond [`LAST_MS`] is written as that.
#[must_use]
pub fn rfc3339(ms: u64) -> String {
    let ms = ms.min(LAST_MS);
    format!("{}.{:03}Z", plain(ms).replace(' ', "T"), ms % 1000)
}

/// Reads what [`rfc3339`] writes, with or without the fraction.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<u64> {
    let text = text.strip_suffix('Z')?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let (date, time) = seconds.split_once(['T', ' '])?;
    let numbers = |text: &str, by: char| -> Option<[u64; 3]> {
        let parts: Vec<u64> = text.split(by).map(str::parse).collect::<Result<_, _>>().ok()?;
        parts.try_into().ok()
    };
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let bounded = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61
        && (1..=9).contains(&fraction.len())
        && fraction.bytes().all(|digit| digit.is_ascii_digit());
    if !bounded {
        return None;
    }
    let ms: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let days = days_since_1970(year, month, day);
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + ms)
}

/// After Hinnant's `days_from_civil`, for years from 1970.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The time of day alone, for live tables: `04:25:32Z`; `-` for 0.
#[must_use]
pub fn show_time(ms: u64) -> String {
    let text = show(ms);
    text.rsplit(' ').next().unwrap_or(&text).to_owned()
}

/// A span as people say it: `850 ms`, `12 s`, `9 days`.
#[must_use]
pub fn show_span(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{} s", ms / 1_000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        7_200_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} days", ms / 86_400_000),
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
            return Err(format!("`{text}` is no span of time: write 90d, 12h, 10min, 30s or 250ms"));
        }
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(factor))
        .ok_or_else(|| format!("`{text}` is no span of time: write 90d, 12h, 10min, 30s or 250ms"))
}

/// Days since 1970 to year, month and day (proleptic Gregorian), after Hinnant's `civil_from_days`.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_times() {
        assert_eq!(show(0), "-");
        assert_eq!(show(951_782_400_000), "2000-02-29 00:00:00Z");
        assert_eq!(show(1_795_321_532_000), "2026-11-22 04:25:32Z");
        assert_eq!(show_time(1_795_321_532_000), "04:25:32Z");
        assert_eq!(show_time(0), "-");
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
            "2026-11-22T04:25:32",
            "2026-11-22T04:25:32.Z",
            "1969-01-01T00:00:00Z",
        ] {
            assert_eq!(parse_rfc3339(wrong), None, "{wrong}");
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
