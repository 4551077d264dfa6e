//! The demo: five real nodes on loopback, told like a story, checked like a test.
//!
//! Every claim on the screen is read back from the nodes over their sockets; nothing is assumed from what was sent.

mod measure;
mod screen;
mod story;
mod table;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, OnceLock};

use serde::Serialize;
use tocsin_api::client::ClientError;
use tocsin_cli::importer::ImportFault;
use tocsin_cli::term;
use tocsin_clock as clock;
use tocsin_text as text;
use tokio::signal::unix::{SignalKind, signal};

use crate::{Testnet, TestnetError, Topology, TopologyError};

/// Beginning of the name of a demo's folder; the process id follows.
const FOLDER: &str = "tocsin-demo-";

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

impl Percentiles {
    /// For people; receipts tell whole milliseconds.
    fn p50_text(&self) -> String {
        shown(self.p50)
    }

    fn p99_text(&self) -> String {
        shown(self.p99)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "whole milliseconds, made from such")]
fn shown(ms: f64) -> String {
    clock::show_measured_ms(ms as i64)
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
    /// A signal ended it.
    #[error("ended by signal {signal}")]
    Ended {
        /// Its number.
        signal: i32,
    },
    /// The output is a pipe that nobody reads any more.
    #[error("nobody reads the output any more")]
    Closed,
    /// The system.
    #[error("{what}: {source}")]
    System {
        /// What was asked of it.
        what: &'static str,
        /// What it said.
        source: std::io::Error,
    },
}

/// The nodes and their folder. Both go, however the demo ends; but where it is killed, its nodes end by themselves
/// ([`Testnet::tied`]), and the folder is named by the next demo.
#[derive(Debug)]
struct Stage {
    net: Testnet,
    /// What is removed at the end.
    remove: Option<PathBuf>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Err(error) = self.net.down() {
            term::tell(&error.to_string());
        }
        if let Some(folder) = &self.remove
            && let Err(error) = std::fs::remove_dir_all(folder)
        {
            term::tell(&format!("{} stays: {error}", folder.display()));
        }
    }
}

/// What a signal says to the thread that tells the story. That alone makes and removes files, so that none comes back.
#[derive(Debug, Default)]
struct Signals {
    /// The one that came; 0 if none did.
    came: AtomicI32,
    /// The nodes, once there are some.
    net: OnceLock<Testnet>,
}

impl Signals {
    /// # Errors
    /// [`DemoError::Ended`].
    fn check(&self) -> Result<(), DemoError> {
        match self.came.load(Ordering::SeqCst) {
            0 => Ok(()),
            signal => Err(DemoError::Ended { signal }),
        }
    }

    /// Waits for one.
    fn wait(&self) {
        while self.check().is_ok() {
            // Woken by the thread that listens.
            std::thread::park();
        }
    }
}

/// Runs the demo.
///
/// # Errors
/// When a node or a file cannot be used at all, or when it is ended; what did not hold is told in the report.
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
            let folder = free_folder();
            (folder.clone(), Some(folder))
        }
    };
    let signals = listen()?;
    let stage = match Testnet::make(&folder, topology) {
        Ok(net) => Stage { net: net.tied(), remove },
        Err(error) => {
            // Half of the homes, or nothing.
            let _ = remove.map(std::fs::remove_dir_all);
            return Err(error.into());
        }
    };
    let net = signals.net.get_or_init(|| stage.net.clone());
    let told = story::tell(net, options, &signals);
    // Whatever went wrong after a signal went wrong because the nodes are being stopped.
    let report = match signals.check() {
        Ok(()) => told?,
        Err(ended) => told.map_err(|_| ended)?,
    };
    if options.stay {
        story::stay(net, &signals)?;
        signals.wait();
    }
    Ok(report)
}

/// A folder that no other demo has or left, by the name of this process.
fn free_folder() -> PathBuf {
    let named = |more: String| std::env::temp_dir().join(format!("{FOLDER}{}{more}", std::process::id()));
    let further = (1_u32..).map(|more| named(format!("-{more}")));
    // There are fewer folders than numbers.
    std::iter::once(named(String::new())).chain(further).find(|folder| !folder.exists()).unwrap_or_default()
}

/// Names the folders of demos that were killed.
fn tell_of_leftovers() {
    let entries = std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    for folder in entries.map(|entry| entry.path()) {
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let pid = name.strip_prefix(FOLDER).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        let Some(pid) = pid else { continue };
        if pid == std::process::id() || !Path::new("/proc").join(pid.to_string()).exists() {
            let path = text::shell(&folder.display().to_string());
            term::tell(&format!("left by a demo that was killed: `rm -r {path}` removes it"));
        }
    }
}

/// Listens for Ctrl-C, a polite end and a closed terminal, for this thread: such a signal stops the nodes as well, which are
/// not in this process group, and whatever waits for one of them goes on.
fn listen() -> Result<Arc<Signals>, DemoError> {
    let system = |what| move |source| DemoError::System { what, source };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system("cannot start the runtime"))?;
    let listen = |kind| {
        let _inside = runtime.enter();
        signal(kind).map_err(system("cannot listen for signals"))
    };
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    let signals = Arc::new(Signals::default());
    let (told, story) = (Arc::clone(&signals), std::thread::current());
    let wait = move || {
        let came = runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => SignalKind::interrupt(),
                _ = terminate.recv() => SignalKind::terminate(),
                _ = hang_up.recv() => SignalKind::hangup(),
            }
        });
        told.came.store(came.as_raw_value(), Ordering::SeqCst);
        term::tell("\nstopping the nodes ...");
        if let Some(net) = told.net.get() {
            // What does not stop is told at the end of the stage.
            let _ = net.down();
        }
        story.unpark();
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(wait)
        .map_err(system("cannot start a thread"))?;
    Ok(signals)
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
