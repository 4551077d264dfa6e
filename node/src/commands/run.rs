//! `tocsin run`: run the node.

use std::process::ExitCode;

use anyhow::Result;
use tocsin_cli::commands::node::run::Args;
use tocsin_cli::commands::{Context, done};

use crate::daemon::Until;

pub(super) fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let home = context.home()?;
    let config = home.config()?;
    crate::daemon::log_to_stderr(args.log.as_deref().unwrap_or(&config.log), args.log_json)?;
    let until = if args.until_input_ends { Until::InputEnds } else { Until::Told };
    crate::daemon::run(&home, config, until)?;
    done()
}
