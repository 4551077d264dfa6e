//! `tocsin query`: list records.

use std::process::ExitCode;

use anyhow::Result;
use tocsin_api::route;
use tocsin_api::types::{QueryRequest, Record, Records};
use tocsin_clock as clock;
use tocsin_text as text;

use super::{Context, Purpose, hidden_text, print_line, print_text};
use crate::term;

/// List records, newest first.
///
/// Accepted reports in their standing version, unless told otherwise; those that were taken back or are over only with
/// --all-versions or --verdict any. WORDS are looked for in titles, descriptions, labels, values, comments and in what is kept
/// of the source, such as the actors and malware of a report; each must be there. A network is mentioned by what lies inside
/// it. Copies of one report in several circles are one line.
///
/// Records that the policy keeps from you are counted below the list, and --purpose may show them. In JSON, one object a
/// line; the last is `{"hidden": ..., "more": ..., "next": ...}` if any are kept from you or there are more than --limit.
///
/// --purpose and --ref are logged with the ids of the records listed, never with the words.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Exit code: 0 something was found, 1 nothing was, 2 error.

Examples:
  tocsin query --since 24h
  tocsin query ransomware harbour --since 2026-11-01 --until 2026-12-01
  tocsin query 192.0.2.0/24 --type ipv4
  tocsin query --author police-bb --verdict hold
  tocsin query --mine --circle mesh --tlp green
  tocsin query --personal --purpose criminal-investigation    (what is held about persons)")]
pub struct Args {
    /// What must be mentioned
    #[arg(value_name = "WORDS")]
    words: Vec<String>,
    /// Only records of this org
    #[arg(long, value_name = "ORG")]
    author: Option<String>,
    /// Only records of this node's own org
    #[arg(long, conflicts_with = "author")]
    mine: bool,
    /// Only records of this circle: own, mesh, or one of `tocsin circle list`
    #[arg(long)]
    circle: Option<String>,
    /// Only records with this verdict: accept, hold, refuse, any
    #[arg(long, default_value = "accept", value_parser = ["accept", "hold", "refuse", "any"])]
    verdict: String,
    /// Only this kind of body: report, sighting, note, retraction, roster, certificate, any
    #[arg(long, default_value = "report")]
    kind: String,
    /// One more of WORDS, as a phrase
    #[arg(long, value_name = "PHRASE")]
    text: Vec<String>,
    /// Only reports with this label; may be given several times, and each must be there
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
    /// Only with this TLP; may be given several times, for one of them
    #[arg(long = "tlp", value_name = "TLP")]
    tlps: Vec<String>,
    /// Only reports with an indicator of this type; may be given several times, for one of them
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Only reports that hold data about a person
    #[arg(long)]
    personal: bool,
    /// Only records that came since: a span back from now, a date, or a time
    #[arg(long, value_name = "WHEN", value_parser = clock::parse_moment)]
    since: Option<u64>,
    /// Only records that came before
    #[arg(long, value_name = "WHEN", value_parser = clock::parse_moment)]
    until: Option<u64>,
    /// At most so many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    limit: u64,
    /// Go on behind the list that told this cursor
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// Also versions that a later one replaced, each in its own line
    #[arg(long)]
    all_versions: bool,
    #[command(flatten)]
    asked: Purpose,
}

/// Asks the node for its records and lists them.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let given = |word: String| if word == "any" { None } else { Some(word) };
    let request = QueryRequest {
        author: if args.mine { Some(String::new()) } else { args.author },
        circle: args.circle,
        verdict: given(args.verdict),
        kind: given(args.kind),
        words: args.words.into_iter().chain(args.text).collect(),
        labels: args.labels,
        tlps: args.tlps,
        types: args.types,
        personal: args.personal,
        since_ms: args.since.unwrap_or(0),
        until_ms: args.until,
        limit: usize::try_from(args.limit).ok(),
        cursor: args.cursor,
        all_versions: args.all_versions,
        purpose: args.asked.purpose,
        reference: args.asked.reference,
        include: args.asked.include,
    };
    let Records { records, hidden, more, next } = context.client().post(route::QUERY, &request)?;
    if context.json {
        for record in &records {
            print_line(&text::json(record)?)?;
        }
        if hidden.records > 0 || more {
            print_line(&text::json(&serde_json::json!({ "hidden": hidden, "more": more, "next": next }))?)?;
        }
    } else if records.is_empty() {
        print_text("nothing found")?;
    } else {
        print_text(&text(&records))?;
    }
    if let Some(next) = next.filter(|_| more && !context.json) {
        let these =
            if records.len() == 1 { "this one".to_owned() } else { format!("these {}", records.len()) };
        print_text(&format!("there may be more than {these}: --cursor {next} goes on"))?;
    }
    if let Some(hidden) = hidden_text(&hidden).filter(|_| !context.json) {
        print_text(&hidden)?;
    }
    Ok(if records.is_empty() { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

/// Digits of an id in a table: enough to name the record by, and `--json` has them all. Fewer where the terminal is narrow.
const ID_SHOWN: usize = 16;
const ID_SHORT: usize = 8;
/// Most columns of a title, and fewest where the terminal is narrow.
const TITLE: usize = 40;
const TITLE_LEAST: usize = 12;

fn text(records: &[Record]) -> String {
    let title = |record: &Record, most| text::cut(record.title.as_deref().unwrap_or(&record.kind), most);
    let id = |record: &Record, digits| record.record.chars().take(digits).collect::<String>();
    let tlp = |record: &Record| record.tlp.clone().unwrap_or_else(|| "-".to_owned());
    let rows: Vec<Vec<String>> = records
        .iter()
        .map(|record| {
            vec![
                record.received.to_string(),
                record.author.clone(),
                circles(record),
                tlp(record),
                record.verdict.clone(),
                record.indicator_count.to_string(),
                title(record, TITLE),
                id(record, ID_SHOWN),
            ]
        })
        .collect();
    let headings = ["came", "author", "circle", "tlp", "verdict", "iocs", "title", "record"];
    if term::has_room(&headings, &rows) {
        return term::table(&headings, &rows);
    }
    // The title has what the other columns leave.
    let now = clock::now_ms();
    let row = |record: &Record, most| {
        vec![
            clock::show_briefly(record.received.0, now),
            record.author.clone(),
            circles(record),
            tlp(record).trim_start_matches("TLP:").to_owned(),
            record.verdict.clone(),
            record.indicator_count.to_string(),
            title(record, most),
            id(record, ID_SHORT),
        ]
    };
    let rows = |most| records.iter().map(|record| row(record, most)).collect::<Vec<_>>();
    let fits = (TITLE_LEAST..=TITLE).rev().find(|most| term::has_room(&headings, &rows(*most)));
    term::table(&headings, &rows(fits.unwrap_or(TITLE)))
}

/// The circle of a record, and those of its copies.
fn circles(record: &Record) -> String {
    let circles = std::iter::once(&record.circle).chain(record.copies.iter().map(|copy| &copy.circle));
    circles.map(String::as_str).collect::<Vec<_>>().join(", ")
}
