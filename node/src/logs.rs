//! The log, and a bound for it: what others do again and again must not fill a disk.
//!
//! Each place in the code that logs an error, a warning or news has so many lines a minute; what is more is counted, and
//! told in one line a minute. What an operator asked for by `debug` or `trace` is not held back, nor is
//! why somebody looked at personal data, which must be kept.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata, Subscriber, warn};
use tracing_subscriber::layer::{Context, Filter, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

/// Lines of one place in this project's code in a minute.
const OWN: u32 = 60;
/// Lines of one place in a library's code in a minute: these speak of single packets.
const FOREIGN: u32 = 5;
/// The minute.
const SPAN: Duration = Duration::from_secs(60);

/// Sends the log to standard error.
///
/// # Errors
/// The filter, where it is none.
pub fn to_stderr(filter: &str, json: bool) -> Result<(), String> {
    let wanted = EnvFilter::builder().parse(filter).map_err(|_| filter.to_owned())?;
    let purposes = format!("{}=info", tocsin_service::PURPOSES);
    let wanted = match purposes.parse() {
        Ok(always) => wanted.add_directive(always),
        Err(_) => wanted,
    };
    let colour =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colour);
    let bounded = BOUNDED.get_or_init(Bounded::default).clone();
    // A second call, in tests, changes nothing.
    let _ = if json {
        let lines = lines.json().with_filter(bounded).with_filter(wanted);
        tracing_subscriber::registry().with(lines).try_init()
    } else {
        tracing_subscriber::registry().with(lines.with_filter(bounded).with_filter(wanted)).try_init()
    };
    Ok(())
}

/// Tells once a minute how much was left out, if anything. Ends never.
pub async fn tell_left_out() {
    loop {
        tokio::time::sleep(SPAN).await;
        if let Some(left_out) = BOUNDED.get().and_then(Bounded::take_left_out) {
            warn!(
                lines = left_out.lines,
                most_of = left_out.place,
                "lines of the last minute were left out here, as each place in the program logs so many a minute"
            );
        }
    }
}

/// That of the log of this process.
static BOUNDED: OnceLock<Bounded> = OnceLock::new();

/// Lets so many lines of one place pass in a minute. As many entries as the code has places.
#[derive(Clone, Default)]
struct Bounded(Arc<Mutex<HashMap<Identifier, Said>>>);

/// What one place in the code has logged.
struct Said {
    since: Instant,
    lines: u32,
    left_out: u64,
    place: String,
}

/// What was left out.
struct LeftOut {
    lines: u64,
    /// The place that had most of them.
    place: String,
}

impl Bounded {
    fn said(&self) -> MutexGuard<'_, HashMap<Identifier, Said>> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn passes(&self, metadata: &Metadata<'_>, now: Instant) -> bool {
        if *metadata.level() > Level::INFO || metadata.target() == tocsin_service::PURPOSES {
            return true;
        }
        let most = if metadata.target().starts_with("tocsin") { OWN } else { FOREIGN };
        let mut said = self.said();
        let said = said.entry(metadata.callsite()).or_insert_with(|| {
            let place = format!("{}:{}", metadata.target(), metadata.line().unwrap_or(0));
            Said { since: now, lines: 0, left_out: 0, place }
        });
        if now.saturating_duration_since(said.since) >= SPAN {
            (said.since, said.lines) = (now, 0);
        }
        let passes = said.lines < most;
        if passes {
            said.lines += 1;
        } else {
            said.left_out += 1;
        }
        passes
    }

    fn take_left_out(&self) -> Option<LeftOut> {
        let mut said = self.said();
        let lines = said.values().map(|said| said.left_out).sum();
        let most = said.values().max_by_key(|said| said.left_out).filter(|said| said.left_out > 0)?;
        let left_out = LeftOut { lines, place: most.place.clone() };
        said.values_mut().for_each(|said| said.left_out = 0);
        Some(left_out)
    }
}

impl<S: Subscriber> Filter<S> for Bounded {
    fn enabled(&self, _: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        true
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        self.passes(event.metadata(), Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use tocsin_record::testing::Lines;

    use super::*;

    #[test]
    fn what_others_do_again_and_again_does_not_fill_the_log() {
        let (lines, bounded) = (Lines::default(), Bounded::default());
        let writer = lines.clone();
        let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone()).with_ansi(false);
        let wanted = EnvFilter::builder().parse("info,chatty=trace").unwrap();
        let logger =
            tracing_subscriber::registry().with(layer.with_filter(bounded.clone()).with_filter(wanted));
        tracing::subscriber::with_default(logger, || {
            for packet in 0..39_000 {
                warn!(target: "quinn_proto::connection", packet, "illegal packet");
                if packet % 10 == 0 {
                    warn!(target: "tocsin_engine::inbound", packet, "a frame was refused");
                }
                if packet < 500 {
                    tracing::info!(target: tocsin_service::PURPOSES, packet, "looked at");
                    tracing::debug!(target: "chatty", packet, "asked for");
                    tracing::debug!(packet, "not asked for");
                }
            }
        });
        let text = lines.text();
        let count = |word: &str| text.lines().filter(|line| line.contains(word)).count() as u64;
        assert_eq!(count("illegal packet"), u64::from(FOREIGN));
        assert_eq!(count("a frame was refused"), u64::from(OWN));
        assert_eq!((count("looked at"), count(" asked for"), count("not asked for")), (500, 500, 0));
        let left_out = bounded.take_left_out().unwrap();
        assert_eq!(left_out.lines, 39_000 + 3_900 - u64::from(FOREIGN + OWN));
        assert!(left_out.place.starts_with("quinn_proto::connection:"), "{}", left_out.place);
        assert!(bounded.take_left_out().is_none());
    }

    #[test]
    fn a_minute_later_it_is_heard_again() {
        let bounded = Bounded::default();
        let begun = Instant::now();
        tracing::subscriber::with_default(tracing_subscriber::registry(), || {
            let span = tracing::info_span!(target: "somebody", "place");
            let metadata = span.metadata().unwrap();
            let passed = (0..100).filter(|_| bounded.passes(metadata, begun)).count();
            assert_eq!(passed, FOREIGN as usize);
            assert!(!bounded.passes(metadata, begun + SPAN / 2));
            assert!(bounded.passes(metadata, begun + SPAN));
        });
    }
}
