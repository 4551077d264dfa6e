//! The node's policy file: read, checked, and told about.

use std::path::Path;
use std::sync::Arc;

use tocsin_api::types::{PolicyAnswer, PolicyRule};
use tocsin_clock as clock;
use tocsin_home::files::{self, FileError};
use tocsin_policy::{LoadError, Policy, Preset, RuleEffect};

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
    /// There is no such preset.
    #[error("there is no policy preset `{0}`: use observer, member or national-cert")]
    Preset(String),
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

/// The text of a preset.
///
/// # Errors
/// [`PolicyError::Preset`].
pub fn preset(name: &str) -> Result<&'static str, PolicyError> {
    Preset::from_name(name).map(Preset::text).ok_or_else(|| PolicyError::Preset(name.to_owned()))
}

/// Reads and checks a policy file.
///
/// # Errors
/// [`PolicyError`].
pub fn load(file: &Path) -> Result<Arc<Policy>, PolicyError> {
    parse(&files::read_text(file, FILE_MAX)?, file)
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
    }
}

fn effect_name(effect: RuleEffect) -> &'static str {
    match effect {
        RuleEffect::Permit => "permit",
        RuleEffect::Forbid => "forbid",
    }
}
