//! The tocsin node: one binary that is daemon and command line. All network and clock I/O of the
//! project is here; the crates below it are pure.

pub mod api;
pub mod cli;
pub mod clock;
mod commands;
pub mod core;
pub mod daemon;
pub mod demo;
pub mod dial;
pub mod home;
pub mod identity;
pub mod import;
pub mod intake;
pub mod node;
pub mod peers;
pub mod policy;
pub mod setup;
pub mod term;
pub mod testnet;

pub use tocsin_net as net;

/// Runs the command line.
#[must_use]
pub fn main() -> std::process::ExitCode {
    cli::run()
}
