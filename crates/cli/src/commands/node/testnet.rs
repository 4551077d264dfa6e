//! The words of `tocsin testnet`.

use std::path::PathBuf;

use clap::Subcommand;

/// Keep a private mesh of several nodes on this machine.
///
/// Each org of the topology gets a home under the folder, and a real `tocsin run` process on loopback that goes on
/// in the background. `up` again starts what died. Then `tocsin --home DIR/ORG VERB` speaks to that org's node;
/// its log is DIR/ORG.log. Without --file, five fictional agencies. Root keys of a testnet are not encrypted: use it for nothing else.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin testnet up --dir ./net
  tocsin --home ./net/police-xb publish 198.51.100.7 --tlp green --to mesh
  tocsin --home ./net/cert-xd lookup 198.51.100.7
  tocsin testnet status --dir ./net
  tocsin testnet down --dir ./net")]
pub struct Args {
    /// What is done.
    #[command(subcommand)]
    pub what: What,
}

/// What is done.
#[derive(Subcommand, Debug)]
pub enum What {
    /// Make what is not there, start what does not run
    Up {
        /// The folder
        #[arg(long, value_name = "D")]
        dir: PathBuf,
        /// The topology (default: five fictional agencies)
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Tell what runs
    Status {
        /// The folder
        #[arg(long, value_name = "D")]
        dir: PathBuf,
    },
    /// Stop all nodes; their homes stay
    Down {
        /// The folder
        #[arg(long, value_name = "D")]
        dir: PathBuf,
    },
}
