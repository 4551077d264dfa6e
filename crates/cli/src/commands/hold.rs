//! `tocsin hold`: decide about what the policy holds.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use tocsin_api::route;
use tocsin_api::types::{HoldRequest, Record};
use tocsin_text as text;

use super::{Context, Purpose, done};

/// Decide about what the policy holds.
///
/// A held record waits for a person: `tocsin query --verdict hold` lists them, and `tocsin why ID` tells by which rule. Accepted, it
/// counts in lookups and is passed on as your policy lets it; refused, its body is erased here. Either is for good: no policy
/// that comes later judges it anew. What a guardrail holds nobody can release.
///
/// Who decided stands in the node's log, with --purpose and --ref.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin hold accept 3f9a12c4 --ref case-77
  tocsin hold refuse 3f9a12c4 61c0aa12")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Take held records as accepted
    Accept(Which),
    /// Refuse held records, or those that were accepted so
    Refuse(Which),
}

#[derive(clap::Args, Debug)]
struct Which {
    /// Records (ids, or their beginnings)
    #[arg(required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    asked: Purpose,
}

/// Has the node decide, and tells how the records stand.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let (accept, which) = match args.what {
        What::Accept(which) => (true, which),
        What::Refuse(which) => (false, which),
    };
    let Purpose { purpose, reference } = which.asked;
    let request = HoldRequest { ids: which.ids, accept, purpose, reference };
    let records: Vec<Record> = context.client().post(route::HOLD, &request)?;
    context.print(&records, || {
        let line = |record: &Record| {
            let title = text::cut(record.title.as_deref().unwrap_or(&record.kind), 40);
            let verdict = if accept { "accepted" } else { "refused" };
            format!("{verdict}: {title} of {} (record {})", text::escape(&record.author), record.record)
        };
        records.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    done()
}
