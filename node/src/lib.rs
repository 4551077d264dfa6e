//! The tocsin node: one binary that is daemon and command line. All network and clock I/O of the
//! project is here; the crates below it are pure.

pub mod cli;
mod commands;
pub mod core;
pub mod daemon;
pub mod dial;
pub mod intake;
pub mod node;
pub mod peers;
pub mod policy;
mod server;

pub use tocsin_api as api;
pub use tocsin_clock as clock;
pub use tocsin_home as home;
pub use tocsin_home::{identity, setup};
pub use tocsin_net as net;
pub use tocsin_text as term;

/// Runs the command line.
#[must_use]
pub fn main() -> std::process::ExitCode {
    cli::run()
}
