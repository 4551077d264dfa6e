//! The running node as its people's requests see it: what may be read on any thread, and the way to the core.

mod acknowledged;
mod advice;
mod backup;
mod batch;
mod bundle;
mod by_hand;
mod caller;
mod circles;
mod copies;
mod evidence;
mod folders;
mod heads;
mod hold;
mod lists;
mod lookup;
mod marking;
mod network;
pub mod policy;
mod publish;
mod query;
mod recipients;
mod reports;
mod retract;
mod said;
mod share;
mod show;
mod sources;
mod status;
mod visibility;
mod waited;
mod watch;
mod why;

use std::sync::{Arc, Mutex, RwLock};

use policy::{PolicyError, PolicyInForce};
use tocsin_engine::Engine;
use tocsin_engine::core::AskError;
use tocsin_engine::{read, write};
use tocsin_home::config::Person;
use tocsin_policy::Policy;
use tocsin_protocol::Directory;
use tocsin_record::{NodeKey, OrgId, RecordId};
use tocsin_store::{RecordRef, StoreError};
use tokio::sync::{Notify, Semaphore};

pub use caller::{Caller, PURPOSES};
pub use watch::Watching;

/// Most readings of the store for `status` at one time: where the disk hangs, more would only wait beside them.
const READINGS: usize = 2;

/// A running node as its people's requests see it.
pub struct Node {
    /// Its mesh, running.
    pub engine: Arc<Engine>,
    /// Its policy.
    pub policy: PolicyInForce,
    /// Room for watchers.
    watchers: Arc<Semaphore>,
    /// Tells the node to stop.
    pub stop: Arc<Notify>,
    /// Room for readings of the store for `status`.
    readings: Arc<Semaphore>,
    /// Who asks over the node's own socket.
    person: RwLock<Arc<Person>>,
    /// Where what sources have under one id stands.
    holders: Mutex<sources::Holders>,
    /// What circles are called.
    names: circles::Names,
    /// What the policy said of what people asked before.
    rested: visibility::Rested,
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
    /// Its disk has no room for anything new.
    #[error(transparent)]
    NoRoom(#[from] tocsin_home::room::NoRoom),
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

impl NodeError {
    /// Whether the core refused what was to be written, and would write something else.
    fn is_of_draft(&self) -> bool {
        use tocsin_protocol::RequestError::{Draft, Guardrail};
        matches!(self, Self::Ask(AskError::Refused(Draft(_) | Guardrail(_))))
    }
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
    /// A node over an engine, under the policy that the engine was opened with.
    #[must_use]
    pub fn new(engine: Arc<Engine>, policy: Arc<Policy>) -> Self {
        let watchers = engine.config.limits.watchers;
        let person = Arc::new(engine.config.person.clone());
        Self {
            engine,
            policy: PolicyInForce::new(policy),
            watchers: Arc::new(Semaphore::new(watchers)),
            stop: Arc::default(),
            readings: Arc::new(Semaphore::new(READINGS)),
            person: RwLock::new(person),
            holders: Mutex::default(),
            names: circles::Names::default(),
            rested: visibility::Rested::default(),
        }
    }

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

    /// The name of an org, its key if the charter does not have it.
    #[must_use]
    pub fn org_name(&self, directory: &Directory, org: OrgId) -> String {
        directory.name_of(org)
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
            return self.engine.reader.find(&id)?.ok_or_else(missing);
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

    /// Who asks over the node's own socket, as the configuration describes it.
    #[must_use]
    pub fn person(&self) -> Arc<Person> {
        read(&self.person).clone()
    }

    fn put_person(&self, person: Person) {
        *write(&self.person) = Arc::new(person);
    }
}
