//! `tocsin clock`: what is to be thought of this machine's clock.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;

use super::{Context, done};
use crate::term::{self, Style};
use tocsin_api::route;
use tocsin_api::types::{ClockStatus, ConfirmClock};

/// Tell what is to be thought of this machine's clock, or confirm it.
///
/// What lapses is erased for good, so the clock is believed only as far as something else speaks for it: the time that
/// this node knew last and what passed since, or the clocks of partners. While it is over 10 minutes ahead of that, nothing
/// is erased, lapses or is called complete, and nothing is published; while it is behind, nothing is published. A machine
/// that was off waits until a partner's clock is heard. Where nobody can be heard, a person confirms it.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin clock
  tocsin clock confirm
  tocsin --json clock | jq -r .state")]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Say that this machine's clock is right: what is due by it is erased
    Confirm {
        /// Also where the clocks of partners say otherwise; until the clock jumps or the machine starts anew
        #[arg(long)]
        against_partners: bool,
    },
}

/// Runs the verb.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let status: ClockStatus = match args.what {
        None => context.client().get(route::CLOCK)?,
        Some(What::Confirm { against_partners }) => {
            context.client().post(route::CLOCK, &ConfirmClock { against_partners })?
        }
    };
    context.print(&status, || {
        let style = if status.state == "trusted" { Style::Good } else { Style::Bad };
        format!("{}: {}", term::paint(style, &status.state), status.text)
    })?;
    done()
}
