//! `tocsin run`: from a home to a running node, and its end.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tocsin_engine::core::Item;
use tocsin_engine::open::OpenError;
use tocsin_engine::supervise::{Failure, Supervisor, Watched};
use tocsin_engine::{self as engine, Engine, StartError, Started};
use tocsin_home::config::Config;
use tocsin_home::lock::{Lock, LockError};
use tocsin_home::{Home, HomeError, SocketPlace};
use tocsin_net as net;
use tocsin_serve::socket as server;
use tocsin_service::Node;
use tocsin_service::policy::{self, PolicyError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tracing::{error, info, warn};

use crate::logs;

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
    /// The policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// What lies in the home.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The network, or the system.
    #[error(transparent)]
    Start(#[from] StartError),
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

/// What ends a node, beside a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// A signal, or a request over the socket.
    Told,
    /// The same, or the end of standard input: of the program that started it.
    InputEnds,
}

/// Runs the node of a home until it is told to stop, or until something fails that it cannot do without.
///
/// # Errors
/// [`DaemonError`]. After [`DaemonError::Failed`] threads of the node may still be there: the process must end.
pub fn run(home: &Home, config: Config, until: Until) -> Result<(), DaemonError> {
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
        if until == Until::InputEnds {
            stop_when_input_ends(&running.node.stop)?;
        }
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

impl Running {
    /// Starts the node of a home. What it opens first may take seconds, in which the calling thread is busy.
    ///
    /// # Errors
    /// [`DaemonError`].
    pub async fn start(home: &Home, config: Config) -> Result<Self, DaemonError> {
        let lock = home.lock()?;
        let policy = policy::load(&home.policy_file())?;
        let opened = engine::open::open(home, &config, Arc::clone(&policy))?;
        let mut net_config = net::Config::new(opened.identity.transport.clone());
        net_config.max_links = config.limits.links;
        for address in &config.listen {
            net_config.listen.push(address.parse().map_err(|_| DaemonError::Address(address.clone()))?);
        }
        // What can fail comes before the core's thread: once that writes, the lock must stay until it ended.
        let socket = home.choose_socket()?;
        let bound = server::bind(socket.path()).map_err(system("cannot open the node's socket"))?;
        let supervisor = Supervisor::new();
        let Started { engine, core_thread, net, others } =
            Engine::start(home, config, opened, net_config, &supervisor)?;
        let node = Arc::new(Node::new(engine, policy));
        let api = supervisor.task("socket", bound.serve(Arc::clone(&node)));
        info!(org = %node.engine.identity.card.entry.name, socket = %socket.path().display(), "the node runs");

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
        let _ = tokio::time::timeout(LAST, node.engine.core.send(Item::Stop)).await;
        let ended = tokio::task::spawn_blocking(move || core_thread.join());
        let ended = tokio::time::timeout(LAST * 3, ended).await;
        others.iter().for_each(|task| task.abort.abort());
        node.engine.net.stop();
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

/// Reads standard input on a thread of its own, which ends with the process: such a read cannot be broken off.
fn stop_when_input_ends(stop: &Arc<Notify>) -> Result<(), DaemonError> {
    let stop = Arc::clone(stop);
    let wait = move || {
        // An input that cannot be read has ended as well.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        info!("the program that started this node is gone");
        stop.notify_one();
    };
    let thread = std::thread::Builder::new().name("input".to_owned()).spawn(wait);
    thread.map(drop).map_err(system("cannot start a thread"))
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
                    Ok(answer) => info!(rules = answer.rules.len(), "policy and person were loaded anew"),
                    Err(error) => error!(%error, "policy or person was refused, the old one stays in force"),
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
    use tocsin_clock as clock;
    use tocsin_engine::core::Mesh;
    use tocsin_engine::open::open;
    use tocsin_home::identity::{Card, Papers};
    use tocsin_home::keys;
    use tocsin_home::setup::{self, NewNode};

    /// A home whose org is alone in a mesh.
    pub(crate) fn founded(path: &std::path::Path) -> Home {
        let home = Home::at(path);
        let new = NewNode {
            name: "cert-aa".to_owned(),
            kind: "csirt".to_owned(),
            country: "AA".to_owned(),
            node: "one".to_owned(),
            policy: tocsin_home::presets::Preset::Member.text().to_owned(),
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
        let policy = policy::load(&home.policy_file()).unwrap();
        let Err(error) = open(&home, &home.config().unwrap(), policy) else { panic!("it opened") };
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
        let mut answers = tokio::task::spawn_blocking(move || {
            node.lookup(&tocsin_service::Caller::new(&node.person()), &request)
        })
        .await
        .unwrap()
        .unwrap();
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
        node.engine.core.send(Item::Look(Box::new(|_| panic!("a bug in the core")))).await;
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
        running.node.engine.net.stop();
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
        node.engine.core.send(Item::Look(Box::new(hang))).await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert!(!lookup(&node, 500).await.complete, "what is known is older than was asked for");
        let status = tokio::time::timeout(Duration::from_secs(10), node.status(true)).await;
        assert_eq!(status.expect("status answers").org, "cert-aa");
        until("the stall is told", async || node.engine.core.stalled().is_some()).await;
        let answer = lookup(&node, u64::MAX).await;
        assert!(!answer.complete && answer.note.is_some_and(|note| note.contains("core has done nothing")));
        let status = node.status(true).await;
        assert!(!status.complete && status.summary.contains("no longer known"), "{}", status.summary);
        assert!(status.alarms[0].contains("core has done nothing"), "{:?}", status.alarms);
        assert!(running.supervisor.failure().is_none(), "a disk that hangs may come back");
        go_on.send(()).unwrap();
        until("it goes on", async || {
            node.engine.core.stalled().is_none() && lookup(&node, 60_000).await.complete
        })
        .await;
        assert_eq!(node.status(false).await.alarms, Vec::<String>::new());
        running.stop().await.unwrap();
    }
}
