//! `tocsin share`: share records that are here in another circle.

use std::process::ExitCode;

use anyhow::Result;
use tocsin_api::route;
use tocsin_api::types::{Published, ShareRequest};

use super::wait::Wait;
use super::{Context, Marking, published_text};

/// Share records that are here in other circles.
///
/// Writes a new record in each circle with the same subject, origin and originals; the own copy stays. The marking
/// is never made looser. What another org wrote is passed on as derived from it. With --dry-run nothing is written,
/// and the partners that would get it are named.
///
/// Each report goes to all the circles that are named, or to none. With --instead-of it is for fewer from then on: it is taken
/// back from that circle, for the reason `narrowed`, and stands in the other, both or neither. Who had it is told to
/// erase it; who copied it elsewhere has it still.
///
/// With --wait it returns when the partners signed, by receipts, that they have all of it: exit code 0 if all did, 1 if one did
/// not in time. It is written either way.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin share 3f9a12c4 --to mesh
  tocsin share 3f9a12c4 --to mesh --tlp green          (marks what has no marking yet)
  tocsin share 3f9a12c4 --to ops --to harbour
  tocsin share 3f9a12c4 --to ops --instead-of mesh
  tocsin share 3f9a12c4 --to mesh --dry-run")]
pub struct Args {
    /// Records (ids, or their beginnings) or subjects
    #[arg(required = true)]
    ids: Vec<String>,
    /// The circle; may be given several times, for a copy in each
    #[arg(long, value_name = "CIRCLE", required = true)]
    to: Vec<String>,
    /// Take it back from this circle at once, as for fewer than it was shared with; may be given several times
    #[arg(long, value_name = "CIRCLE")]
    instead_of: Vec<String>,
    /// Only say what would be done
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    #[command(flatten)]
    marking: Marking,
    #[command(flatten)]
    wait: Wait,
}

/// Has the node share the records, and prints what it wrote and what it left.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    args.wait.check(args.ids.len(), args.to.len())?;
    let request = ShareRequest {
        ids: args.ids,
        to: args.to,
        instead_of: args.instead_of,
        marking: args.marking.words(),
        dry_run: args.dry_run,
        wait_for: args.wait.orgs(),
    };
    let published: Published = context.client().post(route::SHARE, &request)?;
    let verb = if args.dry_run { "would share" } else { "shared" };
    args.wait.told(context, &published, || published_text(&published, verb))
}
