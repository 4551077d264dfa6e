//! `tocsin run`: from a home to a running node, and its end.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tocsin_clock as clock;
use tocsin_engine::core::{self, Core, Item, Mesh};
use tocsin_engine::peers::Peers;
use tocsin_engine::supervise::{Failure, Supervisor, Watched};
use tocsin_engine::{dial, intake};
use tocsin_home::config::Config;
use tocsin_home::identity::PapersError;
use tocsin_home::lock::{Lock, LockError};
use tocsin_home::{Home, HomeError, Identity, SocketPlace, keys};
use tocsin_matcher::{Loader, Matcher};
use tocsin_net as net;
use tocsin_policy::Policy;
use tocsin_protocol::{Directory, Meter, index_found};
use tocsin_serve::socket as server;
use tocsin_service::policy::{self, PolicyError};
use tocsin_service::{self as service, Aside, Kept, Node};
use tocsin_store::{DiskKv, KeyFile, Store, StoreError, Verdict};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tracing::{error, info, warn};

use crate::logs;

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
        /// Which document, and what is wrong with it.
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
        /// What the store met with.
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
    /// Something that the node cannot do without is gone.
    #[error(transparent)]
    Failed(#[from] Failure),
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
    logs::to_stderr(filter, json).map_err(DaemonError::Log)
}

/// Runs the node of a home until it is told to stop, or until something fails that it cannot do without.
///
/// # Errors
/// [`DaemonError`]. After [`DaemonError::Failed`] threads of the node may still be there: the process must end.
pub fn run(home: &Home, config: Config) -> Result<(), DaemonError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .thread_name("tocsin-io")
        .build()
        .map_err(system("cannot start the runtime"))?;
    raise_descriptor_limit();
    // Ends with the runtime.
    runtime.spawn(logs::tell_left_out());
    let result = runtime.block_on(async {
        let running = Running::start(home, config).await?;
        let supervisor = running.supervisor.clone();
        tokio::select! {
            // Stopped in any case: the home is nobody else's before the core wrote its last.
            told = until_told(&running.node, &running.node.stop) => running.stop().await.and(told),
            failure = supervisor.failed() => {
                running.abandon();
                Err(failure.into())
            }
        }
    });
    match &result {
        // Nobody waits for what hangs in the threads of a node that failed, or has them stumble over a runtime that is gone.
        Err(DaemonError::Failed(_)) => std::mem::forget(runtime),
        _ => runtime.shutdown_timeout(Duration::from_secs(1)),
    }
    result
}

/// Most file descriptors that this process asks for: far beyond what its links and files can use.
const DESCRIPTORS: u64 = 65_536;

/// Takes what the system lets this process have: the usual limit of 1,024 is a courtesy to programs that use `select`.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(DESCRIPTORS, |most| most.min(DESCRIPTORS));
    if limit.current.is_some_and(|current| current < wanted)
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit })
    {
        warn!(%error, "the limit of file descriptors stays as it was");
    }
}

/// A node that runs in this process: `tocsin run` is one that waits for signals.
pub struct Running {
    /// The node, for requests.
    pub node: Arc<Node>,
    supervisor: Supervisor,
    core_thread: std::thread::JoinHandle<()>,
    /// Ends when the network is told to stop.
    net: Watched,
    /// Ends first: nobody asks any more.
    api: Watched,
    /// What is ended when the core has.
    others: Vec<Watched>,
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
        meter: Meter::Thread { nanos: clock::thread_nanos },
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

/// Opens the store; a damaged log is set aside, or all of a damaged store, and refills from the peers.
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
        opened => {
            let store = opened.map_err(|source| store_error(home, source))?;
            for damaged in store.damaged() {
                error!(
                    author = %damaged.log.author, circle = %damaged.log.circle, epoch = damaged.log.epoch,
                    from = damaged.from, what = %damaged.what,
                    "a log in the store is damaged: what stands in it from this record on was set aside beside the store, \
                     and comes back from the partners that have it"
                );
            }
            Ok(store)
        }
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
            kept: Kept::default(),
            aside: RwLock::new(Aside::of(&home.store_folder())),
            watchers: Arc::new(tokio::sync::Semaphore::new(config.limits.watchers)),
            stop: Arc::new(Notify::new()),
            config,
        });
        let supervisor = Supervisor::new();
        let threads = || {
            let (core, net, peers) = (core.clone(), net.clone(), Arc::clone(&peers));
            intake::start(
                &supervisor,
                node.mesh_id,
                inbound_out,
                core.clone(),
                net.clone(),
                Arc::clone(&peers),
            )?;
            let (home, runtime) = (home.clone(), tokio::runtime::Handle::current());
            supervisor.thread("tocsin-core", "core", move || {
                let ended = core::run(mesh, &core, inboxes, &net, &peers, &directory, &runtime);
                ended.map_err(|source| store_error(&home, source).into())
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
        let net = supervisor.task("network", net_task);
        let api = supervisor.task("socket", bound.serve(Arc::clone(&node)));
        let dialler =
            dial::run(node.net.clone(), peers, directory_out.clone(), node.identity.node(), listens);
        let documents = service::save_documents(Arc::clone(&node), directory_out);
        let held = service::follow_held(Arc::clone(&node));
        // What only follows the core ends with it, and so do those who wait for it.
        let others = vec![
            supervisor.task("dialler", tokio::spawn(dialler)),
            supervisor.task("look at completeness", tokio::spawn(service::look(Arc::clone(&node)))),
            supervisor.task("keeper of documents", tokio::spawn(documents)),
            supervisor.task("index of held records", tokio::spawn(held)),
            supervisor.task("watch over the core", tokio::spawn(core.watch_pulse())),
        ];
        info!(org = %node.identity.card.entry.name, socket = %socket.path().display(), "the node runs");

        Ok(Self { node, supervisor, core_thread, net, api, others, socket, lock })
    }

    /// Ends it gracefully.
    ///
    /// # Errors
    /// When the disk failed, or the core does not end.
    pub async fn stop(self) -> Result<(), DaemonError> {
        let Self { node, supervisor, core_thread, net, api, others, socket, lock } = self;
        supervisor.stopping();
        api.abort.abort();
        // A core that ended by itself does not take this any more.
        let _ = tokio::time::timeout(LAST, node.core.send(Item::Stop)).await;
        let ended = tokio::task::spawn_blocking(move || core_thread.join());
        let ended = tokio::time::timeout(LAST * 3, ended).await;
        others.iter().for_each(|task| task.abort.abort());
        node.net.stop();
        let _ = tokio::time::timeout(LAST, net.ended).await;
        drop(socket);
        if ended.is_err() {
            // It may still write: the home stays locked until the process ends.
            std::mem::forget(lock);
            return Err(DaemonError::System {
                what: "the core did not stop in time",
                source: std::io::ErrorKind::TimedOut.into(),
            });
        }
        supervisor.failure().map_or(Ok(()), |failure| Err(failure.into()))
    }

    /// Lets go of a node that failed, for a process that ends at once: nothing of it is waited for or put in order but its
    /// socket, on which nobody should wait.
    fn abandon(self) {
        let Self { node, socket, lock, .. } = self;
        drop(socket);
        // The core may still write, and closing the store may hang with the disk: both end with the process.
        std::mem::forget((node, lock));
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
mod keep_tests;
#[cfg(test)]
mod lookup_tests;
#[cfg(test)]
mod sharing_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_home::identity::{Card, Papers};
    use tocsin_home::setup::{self, NewNode};

    fn made(path: &std::path::Path, name: &str, listen: &[String]) -> (Home, Card) {
        let home = Home::at(path);
        let new = NewNode {
            name: name.to_owned(),
            kind: "csirt".to_owned(),
            country: "AA".to_owned(),
            node: "one".to_owned(),
            listen: listen.to_vec(),
            policy: policy::preset("member").unwrap().to_owned(),
            ..NewNode::default()
        };
        let card = setup::make(&home, &new, None).unwrap();
        (home, card)
    }

    /// The root of an org, and what it founds a mesh with.
    fn founding(home: &Home, card: Card) -> (tocsin_record::keys::Secret, Papers) {
        let Card { entry, certificates, .. } = card;
        let root = keys::read_root(&home.root_file(), None).unwrap();
        let papers = Papers::found("ring", [7; 32], entry, certificates, &root, clock::now_ms()).unwrap();
        (root, papers)
    }

    /// A home whose org is alone in a mesh.
    pub(crate) fn founded(path: &std::path::Path) -> Home {
        let (home, card) = made(path, "cert-aa", &[]);
        home.write_papers(&founding(&home, card).1).unwrap();
        home
    }

    /// Homes of two orgs in one mesh; the first listens.
    pub(crate) fn pair(folder: &std::path::Path) -> [Home; 2] {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (first, card) = made(&folder.join("aa"), "cert-aa", &[format!("/ip4/127.0.0.1/tcp/{port}")]);
        let (second, other) = made(&folder.join("bb"), "cert-bb", &[]);
        let (root, papers) = founding(&first, card);
        let papers = papers.add(other.entry, &other.certificates, &root, clock::now_ms()).unwrap();
        first.write_papers(&papers).unwrap();
        second.write_papers(&papers).unwrap();
        [first, second]
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

    async fn failure(running: &Running) -> String {
        let failed = tokio::time::timeout(Duration::from_secs(10), running.supervisor.failed()).await;
        failed.expect("the failure is told").to_string()
    }

    async fn lookup(node: &Arc<Node>, max_age_ms: u64) -> tocsin_api::types::Lookup {
        let request = tocsin_api::types::LookupRequest {
            values: vec!["192.0.2.7".to_owned()],
            max_age_ms: Some(max_age_ms),
            ..Default::default()
        };
        let node = Arc::clone(node);
        let mut answers = tokio::task::spawn_blocking(move || node.lookup(&request)).await.unwrap().unwrap();
        answers.remove(0)
    }

    /// Waits for something, a minute at most.
    pub(crate) async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
        let begun = std::time::Instant::now();
        while !done().await {
            assert!(begun.elapsed() < Duration::from_secs(60), "in a minute, not yet: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_core_that_panics_fails_the_node_and_completes_nothing_more() {
        let folder = tempfile::tempdir().unwrap();
        let home = founded(&folder.path().join("aa"));
        let running = Running::start(&home, home.config().unwrap()).await.unwrap();
        let node = Arc::clone(&running.node);
        until("complete", async || lookup(&node, 60_000).await.complete).await;
        node.core.send(Item::Look(Box::new(|_| panic!("a bug in the core")))).await;
        let told = failure(&running).await;
        assert!(told.contains("the node's core failed") && told.contains("a bug in the core"), "{told}");
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!lookup(&node, 10).await.complete, "what it knew is older than was asked for");
        let status = node.status(true).await;
        assert_eq!(status.org, "cert-aa", "status answers without the core");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_task_that_ends_fails_the_node() {
        let folder = tempfile::tempdir().unwrap();
        let home = founded(&folder.path().join("aa"));
        let running = Running::start(&home, home.config().unwrap()).await.unwrap();
        running.node.net.stop();
        let told = failure(&running).await;
        assert!(told.contains("network") && told.contains("ended by itself"), "{told}");
    }

    /// As when a write to the disk does not return.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_core_that_stalls_is_told_of_and_completes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let home = founded(&folder.path().join("aa"));
        let running = Running::start(&home, home.config().unwrap()).await.unwrap();
        let node = Arc::clone(&running.node);
        until("complete", async || lookup(&node, 60_000).await.complete).await;
        let (go_on, told_to) = std::sync::mpsc::channel::<()>();
        let hang = move |_: &Mesh| {
            let _ = told_to.recv();
        };
        node.core.send(Item::Look(Box::new(hang))).await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert!(!lookup(&node, 500).await.complete, "what is known is older than was asked for");
        let status = tokio::time::timeout(Duration::from_secs(10), node.status(true)).await;
        assert_eq!(status.expect("status answers").org, "cert-aa");
        until("the stall is told", async || node.core.stalled().is_some()).await;
        let answer = lookup(&node, u64::MAX).await;
        assert!(!answer.complete && answer.note.is_some_and(|note| note.contains("core has done nothing")));
        let status = node.status(true).await;
        assert!(!status.complete && status.summary.contains("no longer known"), "{}", status.summary);
        assert!(status.alarms[0].contains("core has done nothing"), "{:?}", status.alarms);
        assert!(running.supervisor.failure().is_none(), "a disk that hangs may come back");
        go_on.send(()).unwrap();
        until("it goes on", async || node.core.stalled().is_none() && lookup(&node, 60_000).await.complete)
            .await;
        assert_eq!(node.status(false).await.alarms, Vec::<String>::new());
        running.stop().await.unwrap();
    }
}
