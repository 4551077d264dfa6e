//! `tocsin run`: from a home to a running node, and its end.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use tocsin_clock as clock;
use tocsin_engine::core::{self, Core, Item, Mesh};
use tocsin_engine::peers::Peers;
use tocsin_engine::{dial, intake};
use tocsin_home::config::Config;
use tocsin_home::identity::PapersError;
use tocsin_home::lock::{Lock, LockError};
use tocsin_home::{Home, HomeError, Identity, SocketPlace, keys};
use tocsin_matcher::{Loader, Matcher};
use tocsin_net as net;
use tocsin_policy::Policy;
use tocsin_protocol::{Directory, index_found};
use tocsin_serve::socket as server;
use tocsin_service::policy::{self, PolicyError};
use tocsin_service::{Aside, Node};
use tocsin_store::{DiskKv, KeyFile, Store, StoreError, Verdict};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

/// Events of the network that may wait to be decoded.
const INBOUND: usize = 1024;
/// How long the last frames and answers may take at the end.
const LAST: Duration = Duration::from_secs(3);

/// The node could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The home.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// Another node runs on it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// No mesh was founded or joined.
    #[error(
        "this node is in no mesh yet: `tocsin --home {0} mesh found --name NAME`, or `tocsin --home {0} join INVITE`"
    )]
    NoMesh(String),
    /// The mesh's documents do not hold.
    #[error(
        "the mesh's documents in {home} do not hold: {source}. Restore documents/mesh.documents from a backup, or join \
         again: `tocsin --home {home} join INVITE`"
    )]
    Papers {
        /// Which home.
        home: String,
        /// Why.
        source: PapersError,
    },
    /// The charter does not know this org.
    #[error("the charter does not have this node's org: ask the founder to add its card")]
    NotMember,
    /// The policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The store.
    #[error("the store in {home} failed: {source}{}", mend(source))]
    Store {
        /// Which home.
        home: String,
        /// Why.
        source: StoreError,
    },
    /// The network.
    #[error(transparent)]
    Net(#[from] net::StartError),
    /// An address to listen on.
    #[error("`listen`: {0} is no multiaddr")]
    Address(String),
    /// The system.
    #[error("{what}: {source}")]
    System {
        /// What was asked of it.
        what: &'static str,
        /// What it said.
        source: std::io::Error,
    },
    /// The logging filter.
    #[error("`{0}` is no filter for the log: use error, warn, info, debug or trace")]
    Log(String),
}

fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> DaemonError {
    move |source| DaemonError::System { what, source }
}

/// Sends the log to standard error.
///
/// # Errors
/// [`DaemonError::Log`].
pub fn log_to_stderr(filter: &str, json: bool) -> Result<(), DaemonError> {
    use std::io::IsTerminal as _;
    let filter_read = tracing_subscriber::EnvFilter::builder()
        .parse(filter)
        .map_err(|_| DaemonError::Log(filter.to_owned()))?;
    let purposes = format!("{}=info", tocsin_service::PURPOSES);
    let filter_read =
        purposes.parse().map_or(filter_read.clone(), |always| filter_read.add_directive(always));
    let colour =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let logger =
        tracing_subscriber::fmt().with_env_filter(filter_read).with_writer(std::io::stderr).with_ansi(colour);
    // A second call, in tests, changes nothing.
    let _ = if json { logger.json().try_init() } else { logger.try_init() };
    Ok(())
}

/// Runs the node of a home until it is told to stop.
///
/// # Errors
/// [`DaemonError`].
pub fn run(home: &Home, config: Config) -> Result<(), DaemonError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .thread_name("tocsin-io")
        .build()
        .map_err(system("cannot start the runtime"))?;
    let result = runtime.block_on(async {
        let running = Running::start(home, config).await?;
        let told = until_told(&running.node, &running.node.stop).await;
        // Stopped in any case: the home is nobody else's before the core wrote its last.
        running.stop().await.and(told)
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// A node that runs in this process: `tocsin run` is one that waits for signals.
pub struct Running {
    /// The node, for requests.
    pub node: Arc<Node>,
    core_thread: std::thread::JoinHandle<Result<(), StoreError>>,
    net_task: JoinHandle<()>,
    tasks: [JoinHandle<()>; 3],
    socket: SocketPlace,
    lock: Lock,
}

/// What is open before the network is.
struct Opened {
    mesh: Mesh,
    identity: Identity,
    policy: Arc<Policy>,
    held: Matcher,
}

fn open(home: &Home, config: &Config) -> Result<Opened, DaemonError> {
    let identity = home.identity()?;
    let papers = home.papers()?.ok_or_else(|| DaemonError::NoMesh(home.path().display().to_string()))?;
    let no_mesh = |source| DaemonError::Papers { home: home.path().display().to_string(), source };
    let checked = papers.check().map_err(no_mesh)?;
    if checked.charter.org(identity.org()).is_none() {
        return Err(DaemonError::NotMember);
    }
    let documents: Vec<_> =
        papers.charters.iter().chain(&papers.certificates).chain(&papers.revocations).cloned().collect();
    let mut directory = Directory::load(&documents).map_err(|source| no_mesh(source.into()))?;
    for name in config.trust.keys().filter(|name| directory.charter().org_named(name).is_none()) {
        warn!(name, "`[trust]` names an org that is not in the mesh: `tocsin mesh show` lists them");
    }
    directory.set_trust(config.trust.clone());
    let policy = policy::load(&home.policy_file())?;

    let random_key = || -> Result<[u8; 16], HomeError> {
        let seed = keys::fresh_seed()?;
        Ok(std::array::from_fn(|at| seed[at]))
    };
    let index_key = random_key()?;
    let seed = random_key()?;
    let started = clock::monotonic_ms();
    let mut index = Matcher::new(&index_key);
    let mut held = Matcher::new(&index_key);
    let store = open_store(home, directory.mesh(), &index_key, &mut index, &mut held)?;
    info!(
        records = store.reader().counts().records,
        observables = index.len(),
        ms = clock::monotonic_ms() - started,
        "the store is open"
    );
    let mesh_config = tocsin_protocol::Config {
        boot: boot_id(),
        seed: u64::from_be_bytes(std::array::from_fn(|at| seed[at])),
        index_key,
        meter: tocsin_protocol::Meter::Model,
    };
    let certificate = identity
        .card
        .certificates
        .iter()
        .find(|signed| {
            tocsin_record::document::Certificate::open(signed)
                .is_ok_and(|known| known == identity.certificate)
        })
        .cloned()
        .ok_or_else(|| HomeError::Mixed(home.path().to_owned()))?;
    let own = tocsin_protocol::Identity {
        secret: tocsin_record::keys::Secret::from_seed(&identity.record.seed()),
        org: identity.org(),
        certificate,
    };
    let now = tocsin_protocol::Now { wall: clock::now_ms(), mono: clock::monotonic_ms() };
    let mesh = Mesh::open(mesh_config, own, directory, store, Arc::clone(&policy), index, now)
        .map_err(|source| store_error(home, source))?;
    Ok(Opened { mesh, identity, policy, held })
}

/// What an operator can do about a failed store.
fn mend(source: &StoreError) -> &'static str {
    match source {
        StoreError::Fault(tocsin_store::Fault::Io { source, .. }) => match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                "; make room on the disk and start the node again, nothing that was acknowledged is lost"
            }
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                "; run the node as the user who owns its home, on a disk that can be written to"
            }
            _ => "",
        },
        source if source.is_damage() => {
            "; move the folder `store` of the home away and start the node again: it refills from its partners"
        }
        _ => "",
    }
}

fn store_error(home: &Home, source: StoreError) -> DaemonError {
    DaemonError::Store { home: home.path().display().to_string(), source }
}

/// Opens the store; a damaged one is set aside, and a new one refills from the peers.
fn open_store(
    home: &Home,
    mesh: tocsin_record::MeshId,
    index_key: &tocsin_matcher::Key,
    index: &mut Matcher,
    held: &mut Matcher,
) -> Result<Store<DiskKv, KeyFile>, DaemonError> {
    let folder = home.store_folder();
    let open = |index: &mut Matcher, held: &mut Matcher| {
        let random: tocsin_store::Random = Box::new(|bytes: &mut [u8]| {
            // A key that is not random would be no key: without randomness the node must not go on.
            getrandom::fill(bytes).expect("the system gives randomness once it has booted");
        });
        let mut index = Loader::new(index);
        tocsin_store::open_dir(&folder, mesh, random, &mut |found| {
            if found.stamped.outcome.verdict == Verdict::Held {
                tocsin_service::index_held(held, &found);
            }
            index_found(&mut index, &found);
        })
    };
    match open(index, held) {
        Err(source) if source.is_damage() => {
            let aside = tocsin_store::set_aside(&folder).map_err(|source| store_error(home, source))?;
            error!(
                %source,
                aside = %aside.display(),
                "the store is damaged: it was set aside, and a new one refills from the peers. What no partner holds, \
                 such as the own circle, does not come back: import it again. The folder set aside is destroyed when \
                 the refill is complete, and not before the time `keep_damaged` of the configuration is over; copy it \
                 before that to keep it"
            );
            Aside::new(aside);
            *index = Matcher::new(index_key);
            *held = Matcher::new(index_key);
            open(index, held).map_err(|source| store_error(home, source))
        }
        opened => opened.map_err(|source| store_error(home, source)),
    }
}

/// Names this boot of the machine; without one, each start counts as a boot, which only opens a log more.
fn boot_id() -> [u8; 16] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().parse::<uuid::Uuid>().map_or_else(|_| *uuid::Uuid::new_v4().as_bytes(), |id| *id.as_bytes())
}

impl Running {
    /// Starts the node of a home. What it opens first may take seconds, in which the calling thread is busy.
    ///
    /// # Errors
    /// [`DaemonError`].
    pub async fn start(home: &Home, config: Config) -> Result<Self, DaemonError> {
        let lock = home.lock()?;
        let Opened { mesh, identity, policy, held } = open(home, &config)?;
        let mut net_config = net::Config::new(identity.transport.clone());
        net_config.max_links = config.limits.links;
        for address in &config.listen {
            net_config.listen.push(address.parse().map_err(|_| DaemonError::Address(address.clone()))?);
        }
        let listens = !config.listen.is_empty();
        // What can fail comes before the core's thread: once that writes, the lock must stay until it ended.
        let socket = home.choose_socket()?;
        let bound = server::bind(socket.path()).map_err(system("cannot open the node's socket"))?;
        let (inbound, inbound_out) = tokio::sync::mpsc::channel(INBOUND);
        let (net, net_task) = net::start(net_config, inbound)?;

        let (core, inboxes) = Core::new(config.limits.inbox);
        let peers = Arc::new(Peers::default());
        let (directory, directory_out) = watch::channel(Arc::new(mesh.directory().clone()));
        let stop = Arc::new(Notify::new());
        let node = Arc::new(Node {
            home: home.clone(),
            identity,
            mesh_id: mesh.mesh(),
            core: core.clone(),
            net: net.clone(),
            peers: Arc::clone(&peers),
            reader: mesh.reader(),
            index: mesh.index(),
            held: RwLock::new(held),
            directory: directory_out.clone(),
            policy: RwLock::new(policy),
            policy_load: RwLock::new(policy::PolicyLoad::now()),
            reloading: tokio::sync::Mutex::new(()),
            health: RwLock::default(),
            aside: RwLock::new(Aside::of(&home.store_folder())),
            watchers: Arc::new(tokio::sync::Semaphore::new(config.limits.watchers)),
            stop: Arc::clone(&stop),
            config,
        });
        let threads = || {
            intake::start(node.mesh_id, inbound_out, core.clone(), net.clone(), Arc::clone(&peers))?;
            let (core, net, peers, stop) = (core.clone(), net.clone(), Arc::clone(&peers), Arc::clone(&stop));
            let runtime = tokio::runtime::Handle::current();
            std::thread::Builder::new().name("tocsin-core".to_owned()).spawn(move || {
                let result = core::run(mesh, &core, inboxes, &net, &peers, &runtime);
                stop.notify_one();
                result
            })
        };
        let core_thread = match threads() {
            Ok(thread) => thread,
            Err(source) => {
                // The threads that came up end with the network.
                net.stop();
                return Err(system("cannot start a thread")(source));
            }
        };
        let keeper = tokio::spawn(tocsin_service::keep(Arc::clone(&node), directory));
        let dialler =
            tokio::spawn(dial::run(net.clone(), peers, directory_out, node.identity.node(), listens));
        let api = bound.serve(Arc::clone(&node));
        info!(org = %node.identity.card.entry.name, socket = %socket.path().display(), "the node runs");

        Ok(Self { node, core_thread, net_task, tasks: [api, dialler, keeper], socket, lock })
    }

    /// Ends it gracefully.
    ///
    /// # Errors
    /// When the disk failed, or the core does not end.
    pub async fn stop(self) -> Result<(), DaemonError> {
        let Self { node, core_thread, net_task, tasks, socket, lock } = self;
        let [api, dialler, keeper] = tasks;
        api.abort();
        dialler.abort();
        // A core that ended by itself does not take this any more.
        let _ = tokio::time::timeout(LAST, node.core.send(Item::Stop)).await;
        let ended = tokio::task::spawn_blocking(move || core_thread.join());
        let result = tokio::time::timeout(LAST * 3, ended).await;
        keeper.abort();
        node.net.stop();
        let _ = tokio::time::timeout(LAST, net_task).await;
        drop(socket);
        match result {
            Ok(Ok(Ok(result))) => result.map_err(|source| store_error(&node.home, source)),
            // The panic was printed where it happened.
            Ok(_) => Err(DaemonError::System {
                what: "the core failed",
                source: std::io::Error::other("see the message above"),
            }),
            Err(_) => {
                // It may still write: the home stays locked until the process ends.
                std::mem::forget(lock);
                Err(DaemonError::System {
                    what: "the core did not stop in time",
                    source: std::io::ErrorKind::TimedOut.into(),
                })
            }
        }
    }
}

async fn until_told(node: &Arc<Node>, stop: &Notify) -> Result<(), DaemonError> {
    let listen = |kind| signal(kind).map_err(system("cannot listen for signals"));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hang_up = listen(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => info!("told to stop"),
            _ = interrupt.recv() => info!("interrupted"),
            () = stop.notified() => {}
            _ = hang_up.recv() => {
                match node.reload_policy().await {
                    Ok(answer) => info!(rules = answer.rules.len(), "the policy was loaded anew"),
                    Err(error) => error!(%error, "the policy was refused, the old one stays in force"),
                }
                continue;
            }
        }
        return Ok(());
    }
}

#[cfg(test)]
mod sharing_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_home::identity::{Card, Papers};
    use tocsin_home::setup::{self, NewNode};

    /// A home whose org is alone in a mesh.
    pub(crate) fn founded(path: &std::path::Path) -> Home {
        let home = Home::at(path);
        let new = NewNode {
            name: "cert-aa".to_owned(),
            kind: "csirt".to_owned(),
            country: "AA".to_owned(),
            node: "one".to_owned(),
            ..NewNode::default()
        };
        let Card { entry, certificates, .. } = setup::make(&home, &new, None).unwrap();
        let root = keys::read_root(&home.root_file(), None).unwrap();
        let papers = Papers::found("ring", [7; 32], entry, certificates, &root, clock::now_ms()).unwrap();
        home.write_papers(&papers).unwrap();
        home
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_node_that_could_not_start_leaves_its_home_free() {
        let folder = tempfile::tempdir().unwrap();
        let home = founded(&folder.path().join("aa"));
        let in_the_way = home.path().join("run.sock");
        std::fs::create_dir_all(in_the_way.join("full")).unwrap();
        let Err(error) = Running::start(&home, home.config().unwrap()).await else {
            panic!("it has no socket and runs");
        };
        assert!(error.to_string().contains("the node's socket"), "{error}");
        std::fs::remove_dir_all(&in_the_way).unwrap();
        // Nothing of the first try has the store any more.
        let running = Running::start(&home, home.config().unwrap()).await.unwrap();
        assert!(in_the_way.exists());
        running.stop().await.unwrap();
        assert!(!in_the_way.exists());
    }

    #[test]
    fn documents_that_do_not_hold_are_told_with_a_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let home = founded(&folder.path().join("aa"));
        let papers = home.papers().unwrap().unwrap();
        home.write_papers(&Papers { charters: Vec::new(), ..papers }).unwrap();
        let Err(error) = open(&home, &home.config().unwrap()) else { panic!("it opened") };
        let text = error.to_string();
        assert!(text.contains("no charter") && text.contains("backup"), "{text}");
        assert!(text.contains(&format!("tocsin --home {} join", home.path().display())), "{text}");
    }
}
