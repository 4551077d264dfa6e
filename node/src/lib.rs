//! The tocsin node: one binary that is daemon and command line. All network and clock I/O of the
//! project is here; the crates below it are pure.

pub mod cli;
mod commands;
pub mod daemon;
mod logs;

/// Runs the command line.
#[must_use]
pub fn main() -> std::process::ExitCode {
    cli::run()
}
