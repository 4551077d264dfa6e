//! What a testnet is made from: a TOML file with the mesh's name and its orgs.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tocsin_home::files::{self, FileError};
use tocsin_home::presets;

use super::embedded;

/// Most orgs in a testnet on one machine.
const ORGS_MAX: usize = 100;
/// Longest topology or policy file, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// A testnet's orgs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// Name of the mesh.
    pub mesh: String,
    /// The orgs; the first founds the mesh.
    pub org: Vec<TopologyOrg>,
}

/// One org of a testnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopologyOrg {
    /// Short name.
    pub name: String,
    /// Kind of agency.
    pub kind: String,
    /// Two letters.
    pub country: String,
    /// Legal regimes.
    #[serde(default)]
    pub regimes: Vec<String>,
    /// Desk for partners.
    #[serde(default)]
    pub desk: String,
    /// Its telephone.
    #[serde(default)]
    pub phone: String,
    /// Its mail address.
    #[serde(default)]
    pub email: String,
    /// Whether it listens, or dials out only.
    #[serde(default = "yes")]
    pub listen: bool,
    /// A preset, or a file in `policies/` beside the topology.
    pub policy: String,
    /// Files in `samples/` beside the topology that the demo imports and shares.
    #[serde(default)]
    pub imports: Vec<String>,
    /// The text of its policy, once it was found.
    #[serde(default)]
    pub policy_text: String,
}

fn yes() -> bool {
    true
}

/// A topology was refused.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not TOML, or an unknown key.
    #[error("{file}: {source}")]
    Syntax {
        /// Which file.
        file: String,
        /// What and where.
        source: Box<toml::de::Error>,
    },
    /// A value that makes no sense.
    #[error("{file}: {why}")]
    Value {
        /// Which file.
        file: String,
        /// Which value, and what would make sense.
        why: String,
    },
}

impl Topology {
    /// The five agencies of the demo.
    ///
    /// # Errors
    /// None: a test reads it.
    pub fn five() -> Result<Self, TopologyError> {
        Self::parse(embedded::FIVE, "testnet/five.toml", None)
    }

    /// Reads a topology file; policies and samples are looked for beside it.
    ///
    /// # Errors
    /// [`TopologyError`].
    pub fn load(file: &Path) -> Result<Self, TopologyError> {
        let folder = file.parent().unwrap_or_else(|| Path::new("."));
        Self::parse(&files::read_text(file, FILE_MAX)?, &file.display().to_string(), Some(folder))
    }

    /// Reads a text. Policies are presets, files beside it, or compiled in.
    ///
    /// # Errors
    /// [`TopologyError`].
    pub fn parse(text: &str, file: &str, folder: Option<&Path>) -> Result<Self, TopologyError> {
        let mut topology: Self = toml::from_str(text)
            .map_err(|source| TopologyError::Syntax { file: file.to_owned(), source: Box::new(source) })?;
        let value = |why: String| TopologyError::Value { file: file.to_owned(), why };
        if topology.org.is_empty() || topology.org.len() > ORGS_MAX {
            return Err(value(format!(
                "a testnet has 1 to {ORGS_MAX} orgs, this one {}",
                topology.org.len()
            )));
        }
        if !topology.org.iter().any(|org| org.listen) {
            return Err(value(
                "no org listens, so none can be dialled: set `listen = true` for one".to_owned(),
            ));
        }
        let mut names = std::collections::BTreeSet::new();
        for org in &mut topology.org {
            // The name is a folder's name, too.
            if !tocsin_record::document::is_name(&org.name) || !names.insert(org.name.clone()) {
                return Err(value(format!("`{}` names no org, or two", org.name)));
            }
            if org.policy_text.is_empty() {
                org.policy_text = policy_text(&org.policy, folder).map_err(&value)?;
            }
        }
        Ok(topology)
    }

    /// As TOML, with the texts of the policies.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }
}

fn policy_text(name: &str, folder: Option<&Path>) -> Result<String, String> {
    if let Ok(text) = presets::text(name) {
        return Ok(text.to_owned());
    }
    let plain = !name.contains(['/', '\\']) && !name.starts_with('.');
    let beside = folder.map(|folder| folder.join("policies").join(name));
    match beside {
        Some(path) if plain && path.exists() => {
            files::read_text(&path, FILE_MAX).map_err(|error| error.to_string())
        }
        _ => embedded::policy(name).map(str::to_owned).ok_or_else(|| {
            format!("`{name}` is neither a policy preset nor a file in policies/ beside the topology")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_five_are_whole() {
        let five = Topology::five().unwrap();
        assert_eq!(five.org.len(), 5);
        assert_eq!(five.org.iter().filter(|org| !org.listen).count(), 1);
        let countries: std::collections::BTreeSet<_> = five.org.iter().map(|org| &org.country).collect();
        assert_eq!(countries.len(), 5);
        assert_eq!(five.org.iter().filter(|org| !org.imports.is_empty()).count(), 3);
        for org in &five.org {
            tocsin_policy::Policy::load(&org.policy_text).unwrap();
            for name in &org.imports {
                assert!(embedded::sample(name).is_some(), "{name}");
            }
        }
        assert_eq!(Topology::parse(&five.to_toml(), "kept", None).unwrap(), five);
    }

    #[test]
    fn mistakes_are_named() {
        let fault = |text: &str| Topology::parse(text, "x.toml", None).unwrap_err().to_string();
        assert!(fault("mesh = 'x'\norg = []").contains("1 to 100"));
        let org = "mesh = 'x'\n[[org]]\nname = 'a'\nkind = 'csirt'\ncountry = 'AA'\n";
        assert!(fault(&format!("{org}policy = 'nonsense'")).contains("nonsense"));
        assert!(fault(&format!("{org}policy = 'member'\nlisten = false")).contains("listens"));
        assert!(fault(&format!("{org}policy = 'member'\ncolour = 1")).contains("colour"));
        assert!(fault(&format!("{org}policy = '../../etc/passwd'")).contains("neither"));
    }
}
