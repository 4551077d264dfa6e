//! The words of `tocsin demo`.

use std::path::PathBuf;

/// See five agencies warn each other.
///
/// Starts five fictional agencies as five real processes on loopback, imports and shares indicators at three of
/// them, and shows how they arrive at the others: who has what, how many milliseconds it took, what a policy
/// refused, held or kept back, a correction, a retraction, and a node that was away and catches up. On a terminal it
/// keeps running until Ctrl-C, so that you can try commands on the five nodes. With --json it runs to the end and
/// prints one object as its last line. Exit code 0 if every check held.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin demo
  tocsin demo --import ./stix ./misp-events ./lists
  tocsin demo --json | tail -1 | jq .publish_to_partner_ms")]
pub struct Args {
    /// Real files or folders instead of the sample exercise; marked TLP:GREEN where they carry no marking
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub import: Vec<PathBuf>,
    /// Where the five homes are made (default: a folder that is removed at the end)
    #[arg(long, value_name = "D")]
    pub dir: Option<PathBuf>,
    /// The topology (default: the five agencies compiled in)
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}
