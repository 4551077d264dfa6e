//! The demo: five real nodes on loopback, told like a story, checked like a test.
//!
//! Every claim on the screen is read back from the nodes over their sockets; nothing is assumed from what was sent.

mod measure;
mod story;
mod table;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;
use tocsin_api::client::ClientError;
use tocsin_cli::importer::ImportFault;
use tocsin_text as text;

use crate::{Testnet, TestnetError, Topology, TopologyError};

/// Beginning of the name of a demo's folder; the process id follows.
const FOLDER: &str = "tocsin-demo-";
/// How often, and after what time, nodes are looked for that came up while they were stopped.
const LOOKS: u32 = 5;
const LOOK_AGAIN: Duration = Duration::from_millis(200);

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
    /// Name of the partner's org.
    pub org: String,
    /// How quick.
    #[serde(flatten)]
    pub delays: Percentiles,
}

/// One thing that had to hold.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What had to hold, in a few words.
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
        /// Name of the org whose node it is.
        org: String,
        /// What its client was told.
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
    /// The story came to its end.
    told: AtomicBool,
    /// Someone wants it to end.
    interrupted: AtomicBool,
}

impl Stage {
    fn clear(&self) {
        let Ok(mut down) = self.down.lock() else { return };
        if !std::mem::replace(&mut *down, true) {
            // A node that was started a moment ago does not answer yet: look again until nothing comes up.
            for _ in 0..LOOKS {
                if let Err(error) = self.net.down() {
                    eprintln!("{error}");
                }
                if self.told.load(Ordering::SeqCst) {
                    break;
                }
                std::thread::sleep(LOOK_AGAIN);
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
    // What is not there is told before anything starts.
    tocsin_cli::importer::files(&options.import)?;
    let topology = match &options.file {
        Some(file) => Topology::load(file)?,
        None => Topology::five()?,
    };
    let (folder, remove) = match &options.dir {
        Some(dir) => (dir.clone(), None),
        None => {
            if !options.json {
                tell_of_leftovers();
            }
            let folder = std::env::temp_dir().join(format!("{FOLDER}{}", std::process::id()));
            (folder.clone(), Some(folder))
        }
    };
    let net = Testnet::make(&folder, topology)?;
    let stage = std::sync::Arc::new(Stage {
        net,
        remove,
        down: Mutex::new(false),
        told: AtomicBool::new(false),
        interrupted: AtomicBool::new(false),
    });
    clear_on_interrupt(&stage)?;
    let told = story::tell(&stage.net, options);
    if stage.interrupted.load(Ordering::SeqCst) {
        // Whatever went wrong went wrong because the nodes are being stopped.
        wait_for_the_end();
    }
    let report = told?;
    stage.told.store(true, Ordering::SeqCst);
    if options.stay {
        story::stay(&stage.net);
        wait_for_the_end();
    }
    stage.clear();
    Ok(report)
}

/// The interrupt ends the process.
fn wait_for_the_end() -> ! {
    loop {
        std::thread::park();
    }
}

/// Names the folders of demos that were killed: their nodes may still run.
fn tell_of_leftovers() {
    let entries = std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    for folder in entries.map(|entry| entry.path()) {
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let pid = name.strip_prefix(FOLDER).and_then(|pid| pid.parse::<u32>().ok());
        let Some(pid) = pid else { continue };
        if std::path::Path::new("/proc").join(pid.to_string()).exists() {
            continue;
        }
        let path = text::shell(&folder.display().to_string());
        eprintln!("a demo that was killed left {path}: `tocsin testnet down --dir {path}`, then remove it");
    }
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
            stage.interrupted.store(true, Ordering::SeqCst);
            eprintln!("\nstopping the nodes ...");
            stage.clear();
            if !stage.told.load(Ordering::SeqCst) {
                // Shells know this code as: ended by Ctrl-C.
                std::process::exit(130);
            }
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
