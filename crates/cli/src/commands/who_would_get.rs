//! `tocsin who-would-get`: who would get files or records in circles, before anything is sent.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use tocsin_api::route;
use tocsin_api::types::{Recipient, Recipients, RecipientsRequest};
use tocsin_text as text;

use super::{Context, Marking};
use crate::importer::{FileSummary, Importer, NoProgress, add_recipients};
use crate::term::{self, Style};

/// Tell who would get files or records in a circle, before anything is sent.
///
/// Takes files that `import` reads, and records that are here. The answer is that of the decisions which judge what this node
/// writes and sends: which other org of the circle would get it, which would not, and by which rule. Nothing is written or sent.
///
/// Who does not get a record still gets its header, as every member of the circle does: who wrote it, when, and how much. What an
/// org does with what it gets is decided by its own policy, and members pass on to each other by theirs.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
A word that is the name of a file here is taken as that, not as a record.

Exit code: 0 some org would get some of it, 1 none would, 2 error.

Examples:
  tocsin who-would-get 3f9a12c4 --to mesh
  tocsin who-would-get bundle.json --to ops --to harbour --tlp amber
  tocsin --json who-would-get feeds/list.csv --source feed-x --to mesh")]
pub struct Args {
    /// Files or folders, records (ids, or their beginnings) or subjects
    #[arg(required = true, value_name = "FILE|ID")]
    what: Vec<String>,
    /// The circle; may be given several times
    #[arg(long, value_name = "CIRCLE", required = true)]
    to: Vec<String>,
    /// Of files, the name of the source, and of its profile in HOME/sources
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    #[command(flatten)]
    marking: Marking,
}

/// The answer.
#[derive(Debug, Default, Serialize)]
struct Answer {
    #[serde(flatten)]
    recipients: Recipients,
    /// What came of each file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<FileSummary>,
    /// Reports of files that carry no marking, and so would go nowhere.
    unmarked: u64,
}

/// Asks the node, and prints its answer.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let (files, ids): (Vec<String>, Vec<String>) =
        args.what.iter().cloned().partition(|word| PathBuf::from(word).exists());
    let mut answer = Answer::default();
    if !files.is_empty() {
        let terms = args.marking.terms()?;
        let mut importer = Importer::new(&context.home()?, context.client(), args.source.as_deref(), terms)
            .context("no file was read")?;
        (importer.share, importer.dry_run, importer.recipients) = (args.to.clone(), true, true);
        let paths: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
        let summary = importer.run(&crate::importer::files(&paths)?, &NoProgress)?;
        if let Some(why) = summary.files.iter().find_map(|file| file.error.as_ref())
            && summary.files.iter().all(|file| file.error.is_some())
        {
            bail!("no file could be read: {why}");
        }
        add_recipients(&mut answer.recipients, summary.total.recipients);
        answer.recipients.skipped.extend(summary.total.skipped);
        answer.unmarked = summary.total.unmarked;
        answer.files = summary.files;
    }
    if let Some(first) = ids.first() {
        if files.is_empty() && (first.contains('/') || first.contains('.')) {
            bail!("there is no file {}, and it is no record's id or subject", text::cut(first, 80));
        }
        let request = RecipientsRequest { ids, to: args.to.clone(), marking: args.marking.clone().words() };
        add_recipients(&mut answer.recipients, context.client().post(route::WHO_WOULD_GET, &request)?);
    }
    context.print_fitted(&answer, || told(&answer, &args.to))?;
    let anybody = answer.recipients.recipients.iter().any(|one| one.gets);
    Ok(if anybody { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn told(answer: &Answer, to: &[String]) -> String {
    let e = |text: &str| text::escape(text).into_owned();
    let Recipients { reports, recipients, skipped } = &answer.recipients;
    let mut out = format!("{} in {}", text::count(*reports, "report"), e(&to.join(", ")));
    if recipients.is_empty() && *reports > 0 {
        out.push_str(": goes to nobody, as no other org is in there");
    }
    let row = |one: &Recipient| {
        let gets = match (one.gets, one.carries) {
            (true, false) => "gets it",
            (true, true) => "carries it",
            (false, _) => "kept from it",
        };
        vec![one.org.clone(), one.circle.clone(), gets.to_owned(), one.reports.to_string(), one.rule.clone()]
    };
    if !recipients.is_empty() {
        let rows: Vec<Vec<String>> = recipients.iter().map(row).collect();
        let headings = ["org", "circle", "", "reports", "by rule"];
        out.push_str(&format!("\n\n{}", term::table(&headings, &rows)));
    }
    let mut said: Vec<&str> = Vec::new();
    for one in recipients.iter().filter(|one| !one.gets) {
        if said.contains(&one.rule.as_str()) {
            continue;
        }
        said.push(&one.rule);
        let rule = term::paint(Style::Warn, &e(&one.rule));
        out.push_str(&format!("\n{rule}: {}", e(&one.says)));
        for example in &one.examples {
            out.push_str(&format!("\n  {}", e(example)));
        }
    }
    if answer.unmarked > 0 {
        let unmarked = text::count(answer.unmarked, "report");
        out.push_str(&format!("\n{unmarked} without a marking: say --tlp to ask as if they had that"));
    }
    for file in answer.files.iter() {
        if let Some(why) = &file.error {
            out.push_str(&format!("\n{} {}: {}", term::paint(Style::Bad, "not read"), e(&file.file), e(why)));
        }
    }
    for left in skipped {
        out.push_str(&format!(
            "\n{} {}: {}",
            term::paint(Style::Warn, "left out"),
            e(&left.what),
            e(&left.why)
        ));
    }
    out
}
