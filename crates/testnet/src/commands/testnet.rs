//! `tocsin testnet`: keep a private mesh of several nodes on this machine.

use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;
use tocsin_cli::commands::node::testnet::{Args, What};
use tocsin_cli::commands::{Context, done};
use tocsin_cli::term;

use crate::{Member, Testnet, Topology};

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
                Some(file) => Topology::load(&file)?,
                None => Topology::five()?,
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
