//! `tocsin retract`: take reports back.

use std::process::ExitCode;

use anyhow::Result;
use tocsin_api::route;
use tocsin_api::types::{Published, RetractRequest};
use tocsin_record::body::retraction::REASONS;

use super::{Context, done, published_text};

/// Take reports back, wherever they were shared.
///
/// All versions of the report, in every circle, for ever: the bodies are erased here and at every partner that
/// follows, and a copy that arrives later is not taken. Only the reason's code is told, no text. Where this org is no longer in a
/// circle, its members take no word of it any more; the answer names those circles.
///
/// Of a list that is imported, what was taken back stays gone whatever its file says; what is new in it stands under a new
/// subject, and `import --again` lets the rest stand again. To take back one value of a list, take it out of the file and import
/// that, without `retract`.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin retract 3f9a12c4 --reason false-positive
  tocsin retract 6ba7b810-9dad-11d1-80b4-00c04fd430c8 --reason shared-by-mistake")]
pub struct Args {
    /// Records (ids, or their beginnings) or subjects
    #[arg(required = true)]
    ids: Vec<String>,
    /// Why
    #[arg(long, value_parser = reasons())]
    reason: String,
}

fn reasons() -> Vec<&'static str> {
    REASONS.iter().filter(|row| row.0 != 0).map(|row| row.1).collect()
}

/// Has the node take the reports back, and prints what it wrote.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let request = RetractRequest { ids: args.ids, reason: args.reason };
    let published: Published = context.client().post(route::RETRACT, &request)?;
    context.print(&published, || published_text(&published, "retracted"))?;
    done()
}
