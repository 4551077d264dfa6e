//! The node program: the start and end of a node, and the verbs that need one. What a node does is in the crates below.

mod commands;
pub mod daemon;
mod logs;

/// Runs the command line.
#[must_use]
pub fn main() -> std::process::ExitCode {
    tocsin_cli::command_line::run_node(commands::run)
}
