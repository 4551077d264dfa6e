//! `tocsin note`: words about a report, for those who have it.

use std::process::ExitCode;

use anyhow::Result;
use tocsin_api::route;
use tocsin_api::types::{NoteRequest, Published};

use super::{Context, Purpose, done, published_text};

/// Say something about a report to those who have it.
///
/// Writes a record in every circle in which the report stands, marked as that is there; on what stands in the own circle alone it
/// stays there. `show` lists the notes on a report, `query --kind note` finds their words. A note is not taken back.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin note 3f9a12c4 'Sinkholed since this morning'")]
pub struct Args {
    /// Record (its id, or the beginning of it) or subject
    id: String,
    /// The words, at most 64 KiB
    text: String,
    #[command(flatten)]
    asked: Purpose,
}

/// Has the node write it, and prints where it stands.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let (purpose, reference, include) = args.asked.stated();
    let request = NoteRequest { id: args.id, text: args.text, purpose, reference, include };
    let published: Published = context.client().post(route::NOTE, &request)?;
    context.print(&published, || published_text(&published, "note written on"))?;
    done()
}
