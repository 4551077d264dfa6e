//! The demo: five real nodes on loopback, told like a story, checked like a test.
//!
//! Every claim on the screen is read back from the nodes over their sockets; nothing is assumed from what was sent.

mod measure;
mod story;
mod table;

use std::path::PathBuf;
use std::sync::Mutex;

use serde::Serialize;

use crate::api::client::ClientError;
use crate::import::ImportFault;
use crate::testnet::{Testnet, TestnetError, Topology, TopologyError};

/// How the demo runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Real files instead of the sample exercise.
    pub import: Vec<PathBuf>,
    /// Where the homes are; a folder that is removed at the end if not said.
    pub dir: Option<PathBuf>,
    /// The topology.
    pub file: Option<PathBuf>,
    /// Say nothing but the result.
    pub json: bool,
    /// Keep running until Ctrl-C.
    pub stay: bool,
}

/// What the demo found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// How many orgs took part.
    pub orgs: usize,
    /// Records in the mesh circle at its end.
    pub records: u64,
    /// Indicators shared.
    pub indicators: u64,
    /// Whether every node held everything that policy lets it have, by signed heads.
    pub complete: bool,
    /// From the author's clock to the partner's, by signed receipts.
    pub publish_to_partner_ms: Percentiles,
    /// The same for each partner.
    pub partners: Vec<Partner>,
    /// What was checked.
    pub checks: Vec<Check>,
}

/// Percentiles of delays in ms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half of them were quicker.
    pub p50: f64,
    /// All but one in a hundred were quicker.
    pub p99: f64,
    /// How many were measured.
    pub samples: usize,
}

/// How quick one partner was.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Partner {
    /// Which.
    pub org: String,
    /// How quick.
    #[serde(flatten)]
    pub delays: Percentiles,
}

/// One thing that had to hold.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What.
    pub name: String,
    /// Whether it held.
    pub ok: bool,
    /// What was found.
    pub found: String,
}

/// The demo could not go on.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The testnet.
    #[error(transparent)]
    Testnet(#[from] TestnetError),
    /// The topology.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// A node.
    #[error("{org}: {source}")]
    Client {
        /// Whose.
        org: String,
        /// Why.
        source: ClientError,
    },
    /// The import.
    #[error(transparent)]
    Import(#[from] ImportFault),
    /// The system.
    #[error("{what}: {source}")]
    System {
        /// What was asked of it.
        what: &'static str,
        /// What it said.
        source: std::io::Error,
    },
}

/// Stops the nodes and removes the folder, however the demo ends.
struct Stage {
    net: Testnet,
    remove: Option<PathBuf>,
    down: Mutex<bool>,
}

impl Stage {
    fn clear(&self) {
        let Ok(mut down) = self.down.lock() else { return };
        if !std::mem::replace(&mut *down, true) {
            if let Err(error) = self.net.down() {
                eprintln!("{error}");
            }
            if let Some(folder) = &self.remove {
                // What is left of a demo harms nobody.
                let _ = std::fs::remove_dir_all(folder);
            }
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Runs the demo.
///
/// # Errors
/// When a node or a file cannot be used at all; what did not hold is told in the report.
pub fn run(options: &Options) -> Result<Report, DemoError> {
    let topology = match &options.file {
        Some(file) => Topology::load(file)?,
        None => Topology::five()?,
    };
    let (folder, remove) = match &options.dir {
        Some(dir) => (dir.clone(), None),
        None => {
            let folder = std::env::temp_dir().join(format!("tocsin-demo-{}", std::process::id()));
            (folder.clone(), Some(folder))
        }
    };
    let net = Testnet::make(&folder, topology)?;
    let stage = std::sync::Arc::new(Stage { net, remove, down: Mutex::new(false) });
    clear_on_interrupt(&stage)?;
    let report = story::tell(&stage.net, options)?;
    if options.stay {
        story::stay(&stage.net);
        loop {
            // The interrupt ends the process.
            std::thread::park();
        }
    }
    stage.clear();
    Ok(report)
}

/// Ctrl-C and SIGTERM stop the five nodes, too, which are not in this process group.
fn clear_on_interrupt(stage: &std::sync::Arc<Stage>) -> Result<(), DemoError> {
    let system = |what| move |source| DemoError::System { what, source };
    let stage = std::sync::Arc::downgrade(stage);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("cannot start the runtime"))?;
    let wait = move || {
        runtime.block_on(async {
            let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
            match terminate {
                Ok(mut terminate) => {
                    tokio::select! {
                        _ = tokio::signal::ctrl_c() => {}
                        _ = terminate.recv() => {}
                    }
                }
                Err(_) => drop(tokio::signal::ctrl_c().await),
            }
        });
        if let Some(stage) = stage.upgrade() {
            eprintln!("\nstopping the nodes ...");
            stage.clear();
        }
        std::process::exit(0);
    };
    std::thread::Builder::new()
        .name("interrupt".to_owned())
        .spawn(wait)
        .map_err(system("cannot start a thread"))?;
    Ok(())
}

/// Percentiles of delays, nearest rank.
fn percentiles(delays: &mut [i64]) -> Percentiles {
    if delays.is_empty() {
        return Percentiles::default();
    }
    delays.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "delays are small numbers of milliseconds")]
    let at =
        |per_cent: usize| delays[(delays.len() * per_cent).div_ceil(100).clamp(1, delays.len()) - 1] as f64;
    Percentiles { p50: at(50), p99: at(99), samples: delays.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_nearest_rank() {
        assert_eq!(percentiles(&mut []), Percentiles::default());
        assert_eq!(percentiles(&mut [7]), Percentiles { p50: 7.0, p99: 7.0, samples: 1 });
        let mut hundred: Vec<i64> = (1..=100).rev().collect();
        assert_eq!(percentiles(&mut hundred), Percentiles { p50: 50.0, p99: 99.0, samples: 100 });
    }
}
