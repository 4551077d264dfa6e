//! `tocsin demo`: see five agencies warn each other.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Result;
use tocsin_cli::commands::node::demo::Args;
use tocsin_cli::commands::{Context, print_line};
use tocsin_text as text;

use crate::demo::{self, DemoError, Options};

/// Does it, and prints what came of it.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let stay = !context.json && std::io::stdout().is_terminal();
    let report =
        demo::run(&Options { import: args.import, dir: args.dir, file: args.file, json: context.json, stay });
    let report = match report {
        // As for every verb: a reader that has enough (`| head`) is no error of ours.
        Err(DemoError::Closed) => return Ok(ExitCode::SUCCESS),
        // It is over and told; shells know a process by this code that a signal ended.
        Err(DemoError::Ended { signal }) => {
            return Ok(ExitCode::from(u8::try_from(128 + signal).unwrap_or(u8::MAX)));
        }
        told => told?,
    };
    if context.json {
        print_line(&text::json(&report)?)?;
    }
    Ok(if report.checks.iter().all(|check| check.ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
