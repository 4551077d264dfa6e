//! `tocsin testnet`: keep a private mesh of several nodes on this machine.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use serde::Serialize;
use tocsin_cli::commands::{Context, done};
use tocsin_cli::term;

use crate::{Member, Testnet, Topology};

/// Keep a private mesh of several nodes on this machine.
///
/// Each org of the topology gets a home under the folder, and a real `tocsin run` process on loopback that goes on
/// in the background. `up` again starts what died. Then `tocsin --home DIR/ORG VERB` speaks to that org's node.
/// Without --file, five fictional agencies. Root keys of a testnet are not encrypted: use it for nothing else.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin testnet up --dir ./net
  tocsin --home ./net/police-xb publish 198.51.100.7 --tlp green --to mesh
  tocsin --home ./net/cert-xd lookup 198.51.100.7
  tocsin testnet status --dir ./net
  tocsin testnet down --dir ./net")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
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

/// A testnet as `--json` prints it.
#[derive(Serialize)]
struct Shown {
    nodes: Vec<Member>,
}

/// Does it, and prints what came of it.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let nodes = match args.what {
        What::Up { dir, file } => {
            let topology = match file {
                Some(file) => Topology::load(&file, context.preset)?,
                None => Topology::five(context.preset)?,
            };
            Testnet::make(&dir, topology)?.up()?
        }
        What::Status { dir } => Testnet::open(&dir)?.members(),
        What::Down { dir } => {
            let net = Testnet::open(&dir)?;
            net.down()?;
            net.members()
        }
    };
    let shown = Shown { nodes };
    context.print(&shown, || {
        let rows: Vec<Vec<String>> = shown
            .nodes
            .iter()
            .map(|node| {
                let pid = node.pid.map_or_else(|| "stopped".to_owned(), |pid| pid.to_string());
                vec![node.org.clone(), pid, node.home.clone()]
            })
            .collect();
        term::table(&["org", "process", "home"], &rows)
    })?;
    done()
}
