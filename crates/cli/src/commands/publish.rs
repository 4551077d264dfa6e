//! `tocsin publish`: share own observations.

use std::process::ExitCode;

use anyhow::Result;
use tocsin_api::types::{PublishRequest, Published};
use tocsin_clock as clock;

use super::{Context, Marking, done, published_text};

/// Share own observations.
///
/// One report with the values as indicators, in this org's name as its own observation. Answers when the record is
/// durable here; partners that are reachable have it within milliseconds.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin publish 198.51.100.7 'evil[.]example' --tlp green --to mesh --title 'Phishing against banks'
  tocsin publish 203.0.113.9 --tlp green --to mesh --kind command-and-control --confidence 80 --valid-for 30d
  tocsin publish 203.0.113.9 203.0.113.10 --tlp green --to mesh --replaces 3f9a12c4      (a correction)")]
pub struct Args {
    /// Values, defanged or not
    #[arg(required = true)]
    values: Vec<String>,
    /// The type of the values, such as domain, url, filename, process (default: found by itself; a wrong one lists them)
    #[arg(long = "type", value_name = "TYPE")]
    value_type: Option<String>,
    /// The circle: own or mesh
    #[arg(long = "to", value_name = "CIRCLE")]
    to: String,
    /// What it indicates, such as phishing, malware, command-and-control, scanner, fraud
    #[arg(long)]
    kind: Option<String>,
    /// How sure you are, 0 to 100
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=100))]
    confidence: Option<u8>,
    /// For how long it counts, such as 30d
    #[arg(long, value_name = "SPAN", value_parser = clock::parse_span)]
    valid_for: Option<u64>,
    /// One line for people
    #[arg(long, default_value = "")]
    title: String,
    /// What happened
    #[arg(long, default_value = "")]
    description: String,
    /// A label; may be given several times
    #[arg(long = "label")]
    labels: Vec<String>,
    /// The record (or subject) of which this is the new version
    #[arg(long, value_name = "ID")]
    replaces: Option<String>,
    #[command(flatten)]
    marking: Marking,
}

/// Has the node write the report, and prints where it stands.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let request = PublishRequest {
        values: args.values,
        value_type: args.value_type,
        circle: args.to,
        marking: args.marking.words(),
        kind: args.kind,
        confidence: args.confidence,
        valid_until_ms: args.valid_for.map(|span| clock::now_ms().saturating_add(span)),
        title: args.title,
        description: args.description,
        labels: args.labels,
        replaces: args.replaces,
    };
    let published: Published = context.client().post("/v1/publish", &request)?;
    context.print(&published, || published_text(&published, "published"))?;
    done()
}
