//! The node's policy file: read, checked, and told about.

mod diff;

use std::path::Path;
use std::sync::{Arc, RwLock};

use tocsin_api::types::{PolicyAnswer, PolicyRule};
use tocsin_clock as clock;
use tocsin_engine::core::{AskError, Core, Item};
use tocsin_engine::{read, write};
use tocsin_home::files::{self, FileError};
use tocsin_policy::{LoadError, Policy, RuleEffect};
use tocsin_protocol::Input;
use tokio::sync::Mutex;

use super::{Caller, Node, NodeError};

/// Longest policy file, in bytes.
pub const FILE_MAX: u64 = tocsin_policy::MAX_TEXT_BYTES as u64;

/// A policy was not loaded. The one in force stays.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// What it says.
    #[error("{file}: {source}")]
    Load {
        /// Which file.
        file: String,
        /// All faults with their lines.
        source: LoadError,
    },
}

/// When the policy in force was loaded, and why a later file was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyLoad {
    /// When the one in force was loaded, in ms.
    pub loaded: u64,
    /// When a file was refused since then, in ms, and why.
    pub refused: Option<(u64, String)>,
}

impl PolicyLoad {
    /// The policy took force this moment.
    #[must_use]
    pub fn now() -> Self {
        Self { loaded: clock::now_ms(), refused: None }
    }
}

/// The policy in force.
pub struct PolicyInForce {
    /// Which.
    pub policy: RwLock<Arc<Policy>>,
    load: RwLock<PolicyLoad>,
    /// One reload at a time, so that the last file read is the one in force.
    reloading: Mutex<()>,
}

impl PolicyInForce {
    /// The one that the node was started with.
    #[must_use]
    pub fn new(policy: Arc<Policy>) -> Self {
        let load = RwLock::new(PolicyLoad::now());
        Self { policy: RwLock::new(policy), load, reloading: Mutex::default() }
    }

    /// The policy.
    #[must_use]
    pub fn get(&self) -> Arc<Policy> {
        read(&self.policy).clone()
    }

    /// What became of the tries to load it.
    #[must_use]
    pub fn load(&self) -> PolicyLoad {
        read(&self.load).clone()
    }

    /// Reads the file anew; one that does not check is remembered as refused.
    fn read(&self, file: &Path) -> Result<Arc<Policy>, NodeError> {
        load(file).map_err(|error| {
            write(&self.load).refused = Some((clock::now_ms(), error.to_string()));
            error.into()
        })
    }

    /// Puts a policy in force here and in the core.
    async fn replace(&self, core: &Core, policy: Arc<Policy>) -> Result<(), NodeError> {
        let input = Input::Policy { policy: Arc::clone(&policy) };
        if !core.send(Item::Input(input)).await {
            return Err(AskError::Stopped.into());
        }
        *write(&self.policy) = policy;
        *write(&self.load) = PolicyLoad::now();
        Ok(())
    }
}

impl Node {
    /// Loads anew what tells who may see what: the policy file, and the person in the configuration. A file that does not
    /// check leaves the old of both in force; of a policy `status` says so until one does. It takes force at once: what it
    /// changes of what is here is asked by [`Self::reload_policy_and_tell`].
    ///
    /// # Errors
    /// [`NodeError::Policy`], or [`NodeError::Home`] for the configuration.
    pub async fn reload_policy(&self) -> Result<PolicyAnswer, NodeError> {
        let _one_at_a_time = self.policy.reloading.lock().await;
        let home = &self.engine.home;
        let (person, file) = (home.config()?.person, home.policy_file());
        let policy = self.policy.read(&file)?;
        let answer = answer(&policy, &file, true);
        self.policy.replace(&self.engine.core, policy).await?;
        self.put_person(person);
        Ok(answer)
    }

    /// As [`Self::reload_policy`], once it was looked through what that changes. In a dry run nothing is put in force.
    ///
    /// # Errors
    /// As there.
    pub async fn reload_policy_and_tell(self: &Arc<Self>, dry_run: bool) -> Result<PolicyAnswer, NodeError> {
        let _one_at_a_time = self.policy.reloading.lock().await;
        let home = &self.engine.home;
        let (person, file) = (home.config()?.person, home.policy_file());
        let policy = if dry_run { load(&file)? } else { self.policy.read(&file)? };
        let (caller, new) = (Caller::new(&person), Arc::clone(&policy));
        let diff = self.apart(move |node| node.compare(&caller, &new)).await?;
        let answer = PolicyAnswer { diff: Some(diff), ..answer(&policy, &file, !dry_run) };
        if !dry_run {
            self.policy.replace(&self.engine.core, policy).await?;
            self.put_person(person);
        }
        Ok(answer)
    }
}

/// Reads and checks a policy file.
///
/// # Errors
/// [`PolicyError`].
pub fn load(file: &Path) -> Result<Arc<Policy>, PolicyError> {
    parse(&files::read_own_text(file, FILE_MAX)?, file)
}

fn parse(text: &str, file: &Path) -> Result<Arc<Policy>, PolicyError> {
    Policy::load(text)
        .map(Arc::new)
        .map_err(|source| PolicyError::Load { file: file.display().to_string(), source })
}

/// Checks a policy text and lists its rules.
///
/// # Errors
/// [`PolicyError`].
pub fn check(text: &str, file: &Path) -> Result<PolicyAnswer, PolicyError> {
    Ok(answer(&*parse(text, file)?, file, false))
}

/// What a policy says, for people and programs.
#[must_use]
pub fn answer(policy: &Policy, file: &Path, in_force: bool) -> PolicyAnswer {
    PolicyAnswer {
        file: file.display().to_string(),
        rules: policy
            .rules()
            .iter()
            .map(|rule| PolicyRule {
                id: rule.id.clone(),
                effect: effect_name(rule.effect).to_owned(),
                actions: rule.actions.iter().map(|action| action.name().to_owned()).collect(),
            })
            .collect(),
        warnings: policy.warnings().iter().map(ToString::to_string).collect(),
        in_force,
        diff: None,
    }
}

fn effect_name(effect: RuleEffect) -> &'static str {
    match effect {
        RuleEffect::Permit => "permit",
        RuleEffect::Forbid => "forbid",
    }
}
