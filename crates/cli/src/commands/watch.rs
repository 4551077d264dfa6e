//! `tocsin watch`: follow what happens.

use std::process::ExitCode;

use anyhow::Result;
use tocsin_api::route::{self, Target};
use tocsin_api::types::Event;
use tocsin_clock as clock;
use tocsin_text as text;

use super::{Context, Purpose, done, print_line, print_text};
use crate::term::{self, Style};

/// Follow what happens: records as they are judged, and links.
///
/// Runs until it is interrupted. In JSON, one object a line.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin watch
  tocsin watch --count 1
  tocsin watch --purpose criminal-investigation --ref case-17
  tocsin --json watch | jq -r 'select(.event == \"record\" and .verdict == \"accept\") | .title'")]
pub struct Args {
    /// End after so many events
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    asked: Purpose,
}

/// Prints a line for each event until it is interrupted.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let mut stream = context.client().stream(Target::from(route::WATCH).with(&args.asked.query()))?;
    stream.wait_for_ever()?;
    let mut shown = 0;
    for line in stream.lines() {
        let line = line?;
        if line.is_empty() {
            continue;
        }
        let event: Event = serde_json::from_str(&line)?;
        if context.json {
            print_line(&text::escape_json(&line))?;
        } else {
            print_text(&text(&event))?;
        }
        shown += 1;
        if args.count.is_some_and(|count| shown >= count) {
            return done();
        }
    }
    anyhow::bail!("the node stopped")
}

fn text(event: &Event) -> String {
    let at = clock::show_time(clock::now_ms());
    let e = |text: &str| text::escape(text).into_owned();
    match event {
        Event::Record(record) => {
            let style = match record.verdict.as_str() {
                "accept" => Style::Good,
                "hold" => Style::Warn,
                _ => Style::Bad,
            };
            format!(
                "{at} {:7} {} {} `{}` ({} indicators, {}) by {}  {}",
                term::paint(style, &record.verdict),
                e(&record.author),
                record.kind,
                text::cut(record.title.as_deref().unwrap_or_default(), 60),
                record.indicator_count,
                record.tlp.as_deref().unwrap_or("-"),
                e(&record.rule),
                &record.record[..record.record.len().min(16)],
            )
        }
        Event::Kept { rule, help } => {
            let help = if help.is_empty() { String::new() } else { format!("; {}", e(help)) };
            format!("{at} a record is not shown: rule `{}` of the policy keeps it{help}", e(rule))
        }
        Event::Up(peer) => format!("{at} link to {} is up", e(&peer.org)),
        Event::Down(peer) => {
            format!("{at} link to {} is down {}", e(&peer.org), e(peer.fault.as_deref().unwrap_or_default()))
        }
        Event::Alarm { message } => format!("{at} {} {}", term::paint(Style::Bad, "alarm:"), e(message)),
        Event::Over { message } => format!("{at} {} {}", term::paint(Style::Good, "over:"), e(message)),
        Event::Missed { events } => format!("{at} {events} events were left out: this terminal is too slow"),
    }
}
