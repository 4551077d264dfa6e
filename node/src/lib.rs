//! The one binary: the verbs put together into a command line, and the start and end of a node. What a node does is in
//! the crates below.

pub mod cli;
mod commands;
pub mod daemon;
mod guard;
mod logs;

/// Runs the command line.
#[must_use]
pub fn main() -> std::process::ExitCode {
    cli::run()
}
