//! One mesh running: the thread that owns it, what comes to it from the network, its links and who is dialled, and what is
//! kept in step with it for readers on any thread.
//!
//! ```text
//!  net --frames--> inbound --Input--> core (one thread, owns the mesh) --effects--> net
//!                                       |  commit                        dial: whom to link to
//!                                       v
//!         Reader, Index, Directory, Seen { status, health }   for readers, who never enter the core's thread
//! ```

pub mod core;
pub mod dial;
pub mod health;
pub mod inbound;
pub mod links;
pub mod open;
pub mod recovery;
pub mod restore;
pub mod supervise;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;

use tocsin_home::config::Config;
use tocsin_home::{Home, Identity};
use tocsin_net::Net;
use tocsin_protocol::{Directory, Index};
use tocsin_record::{CircleId, MeshId, OrgId};
use tocsin_store::{DiskKv, KeyFile};
use tokio::sync::{mpsc, watch};

use crate::core::Core;
use crate::health::Seen;
use crate::links::Links;
use crate::open::Opened;
use crate::recovery::DamagedStore;
use crate::supervise::{Supervisor, Watched};

/// Events of the network that may wait to be decoded.
const INBOUND: usize = 1024;

/// Reads what is committed.
pub type Reader = tocsin_store::Reader<DiskKv, KeyFile>;

/// One mesh running.
pub struct Engine {
    /// Where it lies.
    pub home: Home,
    /// What the operator set.
    pub config: Config,
    /// Who it is.
    pub identity: Identity,
    /// Its mesh.
    pub mesh_id: MeshId,
    /// The way to the core.
    pub core: Core,
    /// The network.
    pub net: Net,
    /// Its links, as people see them.
    pub links: Arc<Links>,
    /// What is committed.
    pub reader: Reader,
    /// Where observables are listed.
    pub index: Arc<RwLock<Index>>,
    /// What the core said last of itself; `None` until it said something.
    pub seen: RwLock<Option<Arc<Seen>>>,
    /// Why the mesh's documents could not be written to the home, while they are not.
    pub unsaved: RwLock<Option<String>>,
    /// The damaged store that was set aside, until it is destroyed.
    pub damaged: RwLock<Option<DamagedStore>>,
    directory: watch::Receiver<Arc<Directory>>,
}

/// An engine with the threads and tasks that it cannot do without.
pub struct Started {
    /// The engine, for readers and requests.
    pub engine: Arc<Engine>,
    /// The thread that owns the mesh.
    pub core_thread: JoinHandle<()>,
    /// Ends when the network is told to stop.
    pub net: Watched,
    /// What is ended when the core has.
    pub others: Vec<Watched>,
}

/// An engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The network.
    #[error(transparent)]
    Net(#[from] tocsin_net::StartError),
    /// The system gives no thread.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

impl Engine {
    /// Starts what was opened. `net` is what the links are started with.
    ///
    /// # Errors
    /// [`StartError`]; nothing of it runs on then.
    pub fn start(
        home: &Home,
        config: Config,
        opened: Opened,
        net: tocsin_net::Config,
        supervisor: &Supervisor,
    ) -> Result<Started, StartError> {
        let Opened { mesh, identity } = opened;
        let listens = !config.listen.is_empty();
        let (inbound, inbound_out) = mpsc::channel(INBOUND);
        let (net, net_task) = tocsin_net::start(net, inbound)?;
        let (core, inboxes) = Core::new(config.limits.inbox);
        let links = Arc::new(Links::default());
        let (directory, directory_out) = watch::channel(Arc::new(mesh.directory().clone()));
        let engine = Arc::new(Self {
            home: home.clone(),
            identity,
            mesh_id: mesh.mesh(),
            core: core.clone(),
            net: net.clone(),
            links: Arc::clone(&links),
            reader: mesh.reader(),
            index: mesh.index(),
            seen: RwLock::default(),
            unsaved: RwLock::default(),
            damaged: RwLock::new(DamagedStore::of(&home.store_folder())),
            directory: directory_out.clone(),
            config,
        });
        let threads = || {
            let (core, net, links) = (core.clone(), net.clone(), Arc::clone(&links));
            inbound::start(
                supervisor,
                engine.mesh_id,
                inbound_out,
                core.clone(),
                net.clone(),
                Arc::clone(&links),
            )?;
            let (home, runtime) = (home.clone(), tokio::runtime::Handle::current());
            supervisor.thread("tocsin-core", "core", move || {
                let ended = core::run(mesh, &core, inboxes, &net, &links, &directory, &runtime);
                ended.map_err(|source| open::store_error(&home, source).into())
            })
        };
        let core_thread = match threads() {
            Ok(thread) => thread,
            Err(source) => {
                // The threads that came up end with the network.
                net.stop();
                return Err(StartError::Thread(source));
            }
        };
        let dialler = dial::run(net, links, directory_out.clone(), engine.identity.node(), listens);
        let documents = health::save_documents(Arc::clone(&engine), directory_out);
        // What only follows the core ends with it, and so do those who wait for it.
        let others = vec![
            supervisor.task("dialler", tokio::spawn(dialler)),
            supervisor.task("look at completeness", tokio::spawn(health::look(Arc::clone(&engine)))),
            supervisor.task("keeper of documents", tokio::spawn(documents)),
            supervisor.task("watch over the disk", tokio::spawn(health::watch_room(home.clone()))),
            supervisor.task("watch over the core", tokio::spawn(core.watch_pulse())),
        ];
        Ok(Started { net: supervisor.task("network", net_task), engine, core_thread, others })
    }

    /// Who is who, as last committed.
    #[must_use]
    pub fn directory(&self) -> Arc<Directory> {
        self.directory.borrow().clone()
    }

    /// The own org.
    #[must_use]
    pub fn org(&self) -> OrgId {
        self.identity.org()
    }

    /// The own org's circle.
    #[must_use]
    pub fn own_circle(&self) -> CircleId {
        CircleId::own(self.mesh_id, self.org())
    }
}

/// A lock for reading, whoever panicked while it held it: nothing half done is left behind in the short critical sections
/// of this program.
pub fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// As [`read`], for writing.
pub fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
