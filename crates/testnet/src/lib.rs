//! A private mesh of several nodes on this machine: real `tocsin run` processes on loopback, one home an org.

// These panic where nobody reads any more.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod commands;
pub mod demo;
mod embedded;
mod tied;
mod topology;

use std::fs::File;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tocsin_api::client::{Client, ClientError};
use tocsin_api::route;
use tocsin_api::types::Status;
use tocsin_clock as clock;
use tocsin_home::identity::{Papers, PapersError};
use tocsin_home::setup::{self, NewNode, SetupError};
use tocsin_home::{Home, HomeError, files, keys};
use tocsin_record::document::Contact;

pub use embedded::sample;
use tied::Tied;
pub use topology::{Topology, TopologyError, TopologyOrg};

/// How long a node may take to answer after its start.
const START: Duration = Duration::from_secs(30);
/// How long all links may take to come up.
const LINKS: Duration = Duration::from_secs(20);
/// How long a node may take to stop.
const STOP: Duration = Duration::from_secs(15);

/// A testnet could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum TestnetError {
    /// The topology.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// A home.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A node could not be made.
    #[error("{org}: {source}")]
    Setup {
        /// Which org.
        org: String,
        /// What stopped the making of its home.
        source: SetupError,
    },
    /// The documents.
    #[error(transparent)]
    Papers(#[from] PapersError),
    /// A file.
    #[error(transparent)]
    File(#[from] files::FileError),
    /// A key.
    #[error(transparent)]
    Key(#[from] keys::KeyError),
    /// A node.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No port is free.
    #[error("no free port on loopback: {0}")]
    Port(std::io::Error),
    /// The program could not be started again.
    #[error("cannot start a node: {0}")]
    Spawn(std::io::Error),
    /// All nodes were told to stop meanwhile.
    #[error("the nodes are being stopped")]
    Over,
    /// A node did not come up.
    #[error("the node of {org} did not answer: its log is {log}; its last lines:\n{tail}")]
    Dead {
        /// Which org.
        org: String,
        /// Where its log is.
        log: String,
        /// The end of it.
        tail: String,
    },
    /// A node did not stop.
    #[error("the node of {org} (process {pid}) did not stop")]
    Stuck {
        /// Which org.
        org: String,
        /// Its process.
        pid: u32,
    },
    /// There is nothing.
    #[error("there is no testnet in {0}: make one with `tocsin testnet up --dir {0}`")]
    Missing(PathBuf),
}

/// One node of a testnet.
#[derive(Clone, Debug, Serialize)]
pub struct Member {
    /// Name of its org.
    pub org: String,
    /// Its home.
    pub home: String,
    /// Its process, if it runs.
    pub pid: Option<u32>,
}

/// A testnet in a folder.
#[derive(Clone, Debug)]
pub struct Testnet {
    folder: PathBuf,
    /// What it was made from.
    pub topology: Topology,
    /// The nodes that end with this process, where they do.
    tied: Option<Arc<Tied>>,
}

impl Testnet {
    /// The testnet of a folder, made from a topology where there is none yet.
    ///
    /// # Errors
    /// [`TestnetError`].
    pub fn make(folder: &Path, topology: Topology) -> Result<Self, TestnetError> {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        if kept(&folder).exists() {
            return Self::open(&folder);
        }
        files::make_folder(&folder)?;
        let net = Self { folder, topology, tied: None };
        net.make_homes()?;
        files::write(&kept(&net.folder), net.topology.to_toml().as_bytes())?;
        Ok(net)
    }

    /// The testnet that is in a folder.
    ///
    /// # Errors
    /// [`TestnetError::Missing`], or what is wrong with it.
    pub fn open(folder: &Path) -> Result<Self, TestnetError> {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        if !kept(&folder).exists() {
            return Err(TestnetError::Missing(folder));
        }
        let topology = Topology::parse(&files::read_text(&kept(&folder), 1 << 20)?, "testnet.toml", None)?;
        Ok(Self { folder, topology, tied: None })
    }

    /// The same, but for the nodes that are started from here on: they end with this process, even if it is killed.
    #[must_use]
    pub fn tied(self) -> Self {
        Self { tied: Some(Arc::default()), ..self }
    }

    /// The home of an org.
    #[must_use]
    pub fn home(&self, org: &str) -> Home {
        Home::at(&self.folder.join(org))
    }

    /// Speaks to an org's node.
    #[must_use]
    pub fn client(&self, org: &str) -> Client {
        let home = self.home(org);
        Client::of_home(home.path(), home.socket(), home.own_card())
    }

    fn make_homes(&self) -> Result<(), TestnetError> {
        let now = clock::now_ms();
        let mut papers: Option<Papers> = None;
        let mut founder = None;
        for org in &self.topology.org {
            let listen = if org.listen {
                let port = free_port().map_err(TestnetError::Port)?;
                vec![format!("/ip4/127.0.0.1/udp/{port}/quic-v1"), format!("/ip4/127.0.0.1/tcp/{port}")]
            } else {
                Vec::new()
            };
            let new = NewNode {
                name: org.name.clone(),
                kind: org.kind.clone(),
                country: org.country.clone(),
                node: "node1".to_owned(),
                listen,
                announce: Vec::new(),
                regimes: org.regimes.clone(),
                contact: Contact {
                    desk: org.desk.clone(),
                    phone: org.phone.clone(),
                    email: org.email.clone(),
                    notes: String::new(),
                },
                policy: org.policy_text.clone(),
            };
            let home = self.home(&org.name);
            // A testnet's keys protect nothing.
            let card = setup::make(&home, &new, None)
                .map_err(|source| TestnetError::Setup { org: org.name.clone(), source })?;
            papers = Some(match (&papers, &founder) {
                (Some(papers), Some(root)) => papers.add(card.entry, &card.certificates, root, now)?,
                _ => {
                    let root = keys::read_root(&home.root_file(), None)?;
                    let nonce = *keys::fresh_seed()?;
                    let founded =
                        Papers::found(&self.topology.mesh, nonce, card.entry, card.certificates, &root, now)?;
                    founder = Some(root);
                    founded
                }
            });
        }
        for org in &self.topology.org {
            if let Some(papers) = &papers {
                self.home(&org.name).write_papers(papers)?;
            }
        }
        Ok(())
    }

    /// Starts what does not run, and waits until all answer and are linked.
    ///
    /// # Errors
    /// [`TestnetError`]; what was started goes on.
    pub fn up(&self) -> Result<Vec<Member>, TestnetError> {
        for org in &self.topology.org {
            self.start(&org.name)?;
        }
        for org in &self.topology.org {
            self.wait_for(&org.name)?;
        }
        self.wait_for_links();
        Ok(self.members())
    }

    /// Starts an org's node, if it does not run.
    ///
    /// # Errors
    /// [`TestnetError`].
    pub fn start(&self, org: &str) -> Result<(), TestnetError> {
        let home = self.home(org);
        if home.running().is_some() {
            return Ok(());
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log(org))
            .map_err(files::io("write", &self.log(org)))?;
        let errors = log.try_clone().map_err(TestnetError::Spawn)?;
        let program = std::env::current_exe().map_err(TestnetError::Spawn)?;
        let mut command = Command::new(program);
        command.arg("--home").arg(home.path()).arg("run").stdout(log).stderr(errors);
        // A group of its own: Ctrl-C on this terminal is not for it.
        command.process_group(0);
        match &self.tied {
            Some(tied) => tied.start(&mut command),
            None => command.stdin(Stdio::null()).spawn().map(drop).map_err(TestnetError::Spawn),
        }
    }

    /// Waits until an org's node answers.
    ///
    /// # Errors
    /// [`TestnetError::Dead`] with the end of its log, or [`TestnetError::Over`].
    pub fn wait_for(&self, org: &str) -> Result<Status, TestnetError> {
        let start = Instant::now();
        let client = self.client(org);
        loop {
            self.tied.as_deref().map_or(Ok(()), Tied::check)?;
            match client.get::<Status>(route::STATUS) {
                Ok(status) => return Ok(status),
                Err(_) if start.elapsed() < START => std::thread::sleep(Duration::from_millis(20)),
                Err(_) => {
                    let log = self.log(org);
                    let text = std::fs::read_to_string(&log).unwrap_or_default();
                    let lines: Vec<&str> = text.lines().rev().take(10).collect();
                    return Err(TestnetError::Dead {
                        org: org.to_owned(),
                        log: log.display().to_string(),
                        tail: lines.into_iter().rev().collect::<Vec<_>>().join("\n"),
                    });
                }
            }
        }
    }

    /// Waits until every pair of which one listens is linked, and every node has heard all it runs with; goes on after a
    /// while if some are not.
    pub(crate) fn wait_for_links(&self) {
        let start = Instant::now();
        while start.elapsed() < LINKS && self.tied.as_deref().is_none_or(|tied| tied.check().is_ok()) {
            let linked = self.topology.org.iter().all(|org| {
                self.client(&org.name).get::<Status>(route::STATUS).is_ok_and(|status| {
                    let reached = |name: &str| {
                        org.listen || self.topology.org.iter().any(|other| other.name == name && other.listen)
                    };
                    let mut reachable = status.peers.iter().filter(|peer| reached(&peer.org));
                    reachable.all(|peer| peer.connected) && status.complete
                })
            });
            if linked {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn log(&self, org: &str) -> PathBuf {
        self.folder.join(format!("{org}.log"))
    }

    /// The nodes, and which of them run.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        self.topology
            .org
            .iter()
            .map(|org| {
                let home = self.home(&org.name);
                Member { org: org.name.clone(), pid: home.running(), home: home.path().display().to_string() }
            })
            .collect()
    }

    /// Stops all nodes. Where they are tied to this process, none of them starts again, and none is left.
    ///
    /// # Errors
    /// [`TestnetError::Stuck`], after all were told.
    pub fn down(&self) -> Result<(), TestnetError> {
        if let Some(tied) = &self.tied {
            tied.end();
        }
        // Those that ran before.
        for org in &self.topology.org {
            self.tell_to_stop(&org.name);
        }
        self.topology.org.iter().try_for_each(|org| self.wait_stopped(&org.name))
    }

    /// Stops one node.
    ///
    /// # Errors
    /// [`TestnetError::Stuck`].
    pub fn stop(&self, org: &str) -> Result<(), TestnetError> {
        self.tell_to_stop(org);
        self.wait_stopped(org)
    }

    fn tell_to_stop(&self, org: &str) {
        if self.home(org).running().is_some() {
            // One that does not answer is found out by the wait.
            let _ = self.client(org).post::<serde_json::Value>(route::STOP, &());
        }
    }

    fn wait_stopped(&self, org: &str) -> Result<(), TestnetError> {
        let start = Instant::now();
        let home = self.home(org);
        while let Some(pid) = home.running() {
            if start.elapsed() > STOP {
                return Err(TestnetError::Stuck { org: org.to_owned(), pid });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

fn kept(folder: &Path) -> PathBuf {
    folder.join("testnet.toml")
}

/// A port that is free on loopback for TCP and UDP now.
fn free_port() -> std::io::Result<u16> {
    for _ in 0..100 {
        let tcp = TcpListener::bind(("127.0.0.1", 0))?;
        let port = tcp.local_addr()?.port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(std::io::ErrorKind::AddrInUse.into())
}
