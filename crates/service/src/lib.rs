//! The running node as its people's requests see it: what may be read on any thread, and the way to the core.

mod advice;
mod batch;
mod keep;
mod lookup;
mod marking;
mod network;
pub mod policy;
mod publish;
mod refill;
mod reports;
mod share;
mod show;
mod status;
mod visibility;
mod why;

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tocsin_api::types::PolicyAnswer;
use tocsin_clock as clock;
use tocsin_engine::core::{AskError, Core, Item};
use tocsin_engine::peers::Peers;
use tocsin_home::config::Config;
use tocsin_home::{Home, Identity};
use tocsin_matcher::Matcher;
use tocsin_net::Net;
use tocsin_policy::Policy;
use tocsin_protocol::{Directory, Input};
use tocsin_record::{CircleId, MeshId, NodeKey, OrgId, RecordId};
use tocsin_store::{DiskKv, KeyFile, RecordRef, StoreError};
use tokio::sync::{Notify, Semaphore, watch};

use policy::{PolicyError, PolicyLoad};

pub use keep::{Health, Kept, Seen, follow_held, index_held, look, save_documents};
pub use refill::Aside;
pub use visibility::PURPOSES;

/// Reads what is committed.
pub type Reader = tocsin_store::Reader<DiskKv, KeyFile>;

/// A running node.
pub struct Node {
    /// Where it lies.
    pub home: Home,
    /// Who it is.
    pub identity: Identity,
    /// Its mesh.
    pub mesh_id: MeshId,
    /// The way to the core.
    pub core: Core,
    /// The network.
    pub net: Net,
    /// Its links.
    pub peers: Arc<Peers>,
    /// What is committed.
    pub reader: Reader,
    /// Observables of accepted records.
    pub index: Arc<RwLock<Matcher>>,
    /// Observables of held records, for `lookup --include held`.
    pub held: RwLock<Matcher>,
    /// Who is who, as last committed.
    pub directory: watch::Receiver<Arc<Directory>>,
    /// The policy in force.
    pub policy: RwLock<Arc<Policy>>,
    /// What became of the tries to load it.
    pub policy_load: RwLock<PolicyLoad>,
    /// One reload at a time, so that the last file read is the one in force.
    pub reloading: tokio::sync::Mutex<()>,
    /// What is kept in step with the core.
    pub kept: Kept,
    /// The damaged store that was set aside, until it is destroyed.
    pub aside: RwLock<Option<Aside>>,
    /// Room for watchers.
    pub watchers: Arc<Semaphore>,
    /// Tells the node to stop.
    pub stop: Arc<Notify>,
    /// What the operator set.
    pub config: Config,
}

/// A request was not done. Each says what was wrong, and what would help.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The request makes no sense.
    #[error("{0}")]
    Request(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// The policy keeps it from who asks.
    #[error("rule `{rule}` of this node's policy keeps it from you{}{help}", if help.is_empty() { "" } else { ": " })]
    Denied {
        /// Which rule.
        rule: String,
        /// What would show it; may be empty.
        help: String,
    },
    /// The core refused.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The policy file.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The home.
    #[error(transparent)]
    Home(#[from] tocsin_home::HomeError),
    /// A bug, which ended this request and nothing else.
    #[error(
        "this request failed for a fault of the program, which the node's log tells: please report it. Nothing else is \
         touched by it"
    )]
    Panicked,
}

/// A lock for reading.
pub fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    // Nothing half done is left behind a panic in this program's short critical sections.
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// A lock for writing.
pub fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// Runs what reads the disk where it may block, and logs in the span of who asked.
///
/// # Errors
/// What the work says, or [`NodeError::Panicked`].
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NodeError> + Send + 'static,
) -> Result<T, NodeError> {
    let span = tracing::Span::current();
    let worked = tokio::task::spawn_blocking(move || span.in_scope(work)).await;
    worked.unwrap_or(Err(NodeError::Panicked))
}

impl Node {
    /// Runs what reads this node's disk where it may block, so that a request never holds up the network.
    ///
    /// # Errors
    /// As [`blocking`].
    async fn apart<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, NodeError> + Send + 'static,
    ) -> Result<T, NodeError> {
        let node = Arc::clone(self);
        blocking(move || work(&node)).await
    }

    /// Who is who.
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

    /// The circle of a name: `own`, `mesh`, or an id.
    ///
    /// # Errors
    /// When there is no such circle.
    pub fn circle(&self, name: &str) -> Result<CircleId, NodeError> {
        match name {
            "own" => Ok(self.own_circle()),
            "mesh" => Ok(CircleId::mesh(self.mesh_id)),
            other => other
                .parse::<CircleId>()
                .ok()
                .filter(|circle| self.directory().is_member(self.org(), *circle))
                .ok_or_else(|| {
                    NodeError::Request(format!(
                        "there is no circle `{}` that this org is in: use own or mesh",
                        tocsin_text::cut(other, 80)
                    ))
                }),
        }
    }

    /// The name of a circle.
    #[must_use]
    pub fn circle_name(&self, circle: CircleId) -> String {
        if circle == CircleId::mesh(self.mesh_id) {
            "mesh".to_owned()
        } else if circle == self.own_circle() {
            "own".to_owned()
        } else {
            circle.to_string()
        }
    }

    /// The name of an org, its key if the charter does not have it.
    #[must_use]
    pub fn org_name(&self, directory: &Directory, org: OrgId) -> String {
        directory.org(org).map_or_else(|| org.to_string(), |entry| entry.name.clone())
    }

    /// The name of a node within its org.
    #[must_use]
    pub fn node_name(&self, directory: &Directory, node: NodeKey) -> String {
        directory.certificate(node).map_or_else(|| node.to_string(), |known| known.node.clone())
    }

    /// The record of an id, of the beginning of one, or the standing version of a subject.
    ///
    /// # Errors
    /// [`NodeError::NotFound`], or when the beginning fits several.
    pub fn find(&self, word: &str) -> Result<RecordRef, NodeError> {
        let missing = || {
            NodeError::NotFound(format!(
                "there is no record or report `{}` here: `tocsin query` lists them",
                tocsin_text::cut(word, 80)
            ))
        };
        if let Ok(id) = word.parse::<RecordId>() {
            return self.reader.find(&id)?.ok_or_else(missing);
        }
        if let Ok(subject) = word.parse() {
            return self.find_subject(subject)?.ok_or_else(missing);
        }
        let digits = word.len() >= 8 && word.len() < 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !digits {
            return Err(NodeError::Request(format!(
                "`{}` is no record: give its id, 8 or more of its first digits, or a subject (a UUID)",
                tocsin_text::cut(word, 80)
            )));
        }
        self.find_beginning(&word.to_ascii_lowercase())?.ok_or_else(missing)
    }

    /// Loads the policy file anew. A file that does not check leaves the old one in force, and `status` says so until
    /// one does.
    ///
    /// # Errors
    /// [`NodeError::Policy`].
    pub async fn reload_policy(&self) -> Result<PolicyAnswer, NodeError> {
        let _one_at_a_time = self.reloading.lock().await;
        let file = self.home.policy_file();
        let policy = match policy::load(&file) {
            Ok(policy) => policy,
            Err(error) => {
                write(&self.policy_load).refused = Some((clock::now_ms(), error.to_string()));
                return Err(error.into());
            }
        };
        let answer = policy::answer(&policy, &file, true);
        if !put_policy(&self.core, Arc::clone(&policy)).await {
            return Err(AskError::Stopped.into());
        }
        *write(&self.policy) = policy;
        *write(&self.policy_load) = PolicyLoad::now();
        Ok(answer)
    }
}

/// Puts a policy in force.
async fn put_policy(core: &Core, policy: Arc<Policy>) -> bool {
    core.send(Item::Input(Input::Policy { policy })).await
}
