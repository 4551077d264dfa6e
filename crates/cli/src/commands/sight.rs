//! `tocsin sight`: something known was met, or is not what it was said to be.

use std::process::ExitCode;

use anyhow::Result;
use tocsin_api::route;
use tocsin_api::types::{Published, SightRequest};
use tocsin_clock as clock;

use super::{Context, Purpose, done, published_text};

/// Say that something known was met, or is not what it was said to be.
///
/// Writes a record in every circle in which what is meant stands, marked as that is there; what stands in the own circle alone stays
/// there. `lookup` counts it, `show` lists it. Nothing is changed of the report itself: only its author takes it back.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
A word that is the id of a record here, or its subject, means that report; all else is a value.

Examples:
  tocsin sight 203.0.113.50
  tocsin sight 203.0.113.50 --count 12 --time 2026-11-26T08:00:00Z
  tocsin sight 3f9a12c4 --false-positive")]
pub struct Args {
    /// A value that a record here lists, a record (its id, or the beginning of it), or a subject
    #[arg(value_name = "ID|VALUE")]
    what: String,
    /// The type of the value (default: found by itself)
    #[arg(long = "type", value_name = "TYPE")]
    value_type: Option<String>,
    /// It is not what it was said to be
    #[arg(long, conflicts_with = "expired")]
    false_positive: bool,
    /// It is no longer what it was said to be
    #[arg(long)]
    expired: bool,
    /// How often
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// When it was last: a span back from now, a date, or a time (default: now)
    #[arg(long, value_name = "WHEN", value_parser = clock::parse_moment)]
    time: Option<u64>,
    #[command(flatten)]
    asked: Purpose,
}

/// Has the node write it, and prints where it stands.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let kind = match (args.false_positive, args.expired) {
        (true, _) => "false-positive",
        (_, true) => "expired",
        _ => "seen",
    };
    let (purpose, reference, include) = args.asked.stated();
    let request = SightRequest {
        what: args.what,
        value_type: args.value_type,
        kind: kind.to_owned(),
        count: args.count,
        time_ms: args.time,
        purpose,
        reference,
        include,
    };
    let published: Published = context.client().post(route::SIGHT, &request)?;
    context.print(&published, || published_text(&published, "sighting written on"))?;
    done()
}
