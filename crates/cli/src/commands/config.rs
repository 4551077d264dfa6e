//! `tocsin config`: print the configuration in force.

use std::process::ExitCode;

use anyhow::Result;
use tocsin_home::config::{Config, SAMPLE};

use super::{Context, done};

/// Print the configuration that a node starts with.
///
/// What the file config.toml does not say has its default. A node that runs goes on with what was there when it
/// started: after a change, start it again. With --sample the commented file is printed that
/// `init` writes, which is the default (with --json, the defaults).
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin --home ./aa config
  tocsin config --sample > config.toml")]
pub struct Args {
    /// Print the commented sample instead
    #[arg(long)]
    sample: bool,
}

/// Prints what is in force, or the sample.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    if args.sample {
        context.print(&Config::default(), || SAMPLE.trim_end().to_owned())?;
        return done();
    }
    let home = context.home()?;
    let config = home.config()?;
    context
        .print(&config, || format!("# {}\n{}", home.config_file().display(), config.to_toml().trim_end()))?;
    done()
}
