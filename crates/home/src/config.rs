//! `config.toml`: what an operator may set. The sample file is the default, and a test holds it to that.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tocsin_clock as clock;
use tocsin_record::marking::Code;
use tocsin_record::observable::Observable;

use super::files::{self, FileError};

/// The commented file that `init` writes.
pub const SAMPLE: &str = include_str!("config.sample.toml");
/// Longest configuration file, in bytes.
const CONFIG_MAX: u64 = 1 << 20;
/// Most days that a held record may wait for its default: as many as a node keeps.
const HOLD_DAYS_MAX: u32 = 1_000;

/// What is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Multiaddrs to listen on; empty for a node that only dials out.
    pub listen: Vec<String>,
    /// Multiaddrs under which partners reach it, if others than it listens on.
    pub announce: Vec<String>,
    /// Filter of what is logged.
    pub log: String,
    /// Age from which on an org counts as silent, as a span.
    pub max_age: String,
    /// Who asks, for the policy's `query`.
    pub person: Person,
    /// What is the org's own, so that no hit on it is taken for one of an attacker.
    pub own: Own,
    /// Orgs whose records and silence make no answer incomplete, by name.
    pub not_counted: Vec<String>,
    /// What the node's people think of partners, 0 to 100, by name: `principal.trust` of the policy.
    pub trust: BTreeMap<String, u8>,
    /// What becomes of what the policy holds, where nobody decides.
    pub hold: Hold,
    /// What rests on the disk.
    pub store: StoreRules,
    /// Bounds.
    pub limits: Limits,
}

/// What rests on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreRules {
    /// How long a damaged store that was set aside is kept at least, as a span.
    pub keep_damaged: String,
}

/// What becomes of what the policy holds, where nobody decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hold {
    /// After so many days.
    pub after_days: u32,
    /// What is decided then.
    pub default: AtLast,
}

/// What is decided about a held record at last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AtLast {
    /// Nothing: it waits on.
    #[default]
    Keep,
    /// It counts.
    Accept,
    /// Its body is erased here.
    Refuse,
}

impl Default for Hold {
    fn default() -> Self {
        Self { after_days: 30, default: AtLast::Keep }
    }
}

/// What is the org's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Own {
    /// Domains, with all that stands under them.
    pub names: Vec<String>,
    /// Networks and addresses.
    pub networks: Vec<String>,
}

/// The types of `own.names` and of `own.networks`.
const OWN_NAME: &[&str] = &["domain"];
const OWN_NETWORK: &[&str] = &["ipv4-net", "ipv6-net", "ipv4", "ipv6"];

impl Own {
    /// Whether an observable is the org's own, or lies in what is.
    #[must_use]
    pub fn has(&self, what: &Observable) -> bool {
        let lies_in = |own: Observable| {
            let mut is = own == *what || what.borrowed().lies_in(own.borrowed());
            what.borrowed().visit_parents(|parent| is |= parent == own.borrowed());
            is
        };
        let names = self.names.iter().filter_map(|text| parsed(text, OWN_NAME));
        names.chain(self.networks.iter().filter_map(|text| parsed(text, OWN_NETWORK))).any(lies_in)
    }

    fn check(&self) -> Result<(), (String, String)> {
        for (field, list, types, such) in [
            ("own.names", &self.names, OWN_NAME, "ministry.example"),
            ("own.networks", &self.networks, OWN_NETWORK, "203.0.113.0/24"),
        ] {
            if let Some(text) = list.iter().find(|text| parsed(text, types).is_none()) {
                return Err((field.to_owned(), format!("`{text}` is none: write it like {such}")));
            }
        }
        Ok(())
    }
}

fn parsed(text: &str, types: &[&str]) -> Option<Observable> {
    types.iter().find_map(|name| Observable::parse(name, text).ok())
}

/// A person or program at the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Person {
    /// Name for the log.
    pub name: String,
    /// Roles that the policy knows.
    pub roles: Vec<String>,
    /// Purposes that the person may state.
    pub purposes: Vec<String>,
}

/// Bounds of the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Links to peers.
    pub links: usize,
    /// Inputs waiting for the core.
    pub inbox: usize,
    /// Watchers at one time.
    pub watchers: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            announce: Vec::new(),
            log: "info".to_owned(),
            max_age: "10min".to_owned(),
            not_counted: Vec::new(),
            person: Person::default(),
            own: Own::default(),
            trust: BTreeMap::new(),
            hold: Hold::default(),
            store: StoreRules::default(),
            limits: Limits::default(),
        }
    }
}

impl Default for StoreRules {
    fn default() -> Self {
        Self { keep_damaged: "24h".to_owned() }
    }
}

impl Default for Person {
    fn default() -> Self {
        Self { name: "operator".to_owned(), roles: vec!["analyst".to_owned()], purposes: Vec::new() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { links: 512, inbox: 4096, watchers: 64 }
    }
}

/// The configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Not TOML, an unknown key, a value of another type: with line and column.
    #[error("{path}: {source}")]
    Syntax {
        /// Which file.
        path: String,
        /// What and where.
        source: Box<toml::de::Error>,
    },
    /// A value that makes no sense.
    #[error("{path}: `{field}`: {why}")]
    Value {
        /// Which file.
        path: String,
        /// Which key.
        field: String,
        /// Why, and what would.
        why: String,
    },
}

impl Config {
    /// Reads the file; without one the defaults hold.
    ///
    /// # Errors
    /// [`ConfigError`] with the line or key.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        if !path.exists() {
            return Ok(Self::default());
        }
        Self::parse(&files::read_own_text(path, CONFIG_MAX)?, &path.display().to_string())
    }

    /// Reads and checks a text; `path` is for messages.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn parse(text: &str, path: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text)
            .map_err(|error| ConfigError::Syntax { path: path.to_owned(), source: Box::new(error) })?;
        config.check().map_err(|(field, why)| ConfigError::Value { path: path.to_owned(), field, why })?;
        Ok(config)
    }

    fn check(&self) -> Result<(), (String, String)> {
        for (field, list) in [("listen", &self.listen), ("announce", &self.announce)] {
            for address in list {
                address.parse::<multiaddr::Multiaddr>().map_err(|error| {
                    let why = "write it like /ip4/127.0.0.1/tcp/7117 or /ip4/0.0.0.0/udp/7117/quic-v1";
                    (field.to_owned(), format!("`{address}` is no multiaddr ({error}): {why}"))
                })?;
            }
        }
        if let Some((name, trust)) = self.trust.iter().find(|(_, trust)| **trust > 100) {
            return Err((format!("trust.{name}"), format!("{trust} is out of bounds: 0 to 100")));
        }
        self.own.check()?;
        clock::parse_span(&self.max_age).map_err(|why| ("max_age".to_owned(), why))?;
        clock::parse_span(&self.store.keep_damaged).map_err(|why| ("store.keep_damaged".to_owned(), why))?;
        let days = self.hold.after_days;
        if !(1..=HOLD_DAYS_MAX).contains(&days) {
            let why = format!("{days} is out of bounds: 1 to {HOLD_DAYS_MAX}");
            return Err(("hold.after_days".to_owned(), why));
        }
        if let Some((name, error)) =
            self.person.purposes.iter().find_map(|name| Code::purpose(name).err().map(|error| (name, error)))
        {
            return Err(("person.purposes".to_owned(), format!("`{name}`: {error}")));
        }
        let bounds = [
            ("limits.links", self.limits.links, 1..=4096),
            ("limits.inbox", self.limits.inbox, 64..=65_536),
            ("limits.watchers", self.limits.watchers, 1..=4096),
        ];
        for (field, value, range) in bounds {
            if !range.contains(&value) {
                let why = format!("{value} is out of bounds: {} to {}", range.start(), range.end());
                return Err((field.to_owned(), why));
            }
        }
        Ok(())
    }

    /// The age from which on an org counts as silent, in ms.
    #[must_use]
    pub fn max_age_ms(&self) -> u64 {
        clock::parse_span(&self.max_age).unwrap_or(600_000)
    }

    /// How long a damaged store that was set aside is kept at least, in ms.
    #[must_use]
    pub fn keep_damaged_ms(&self) -> u64 {
        clock::parse_span(&self.store.keep_damaged).unwrap_or(86_400_000)
    }

    /// As TOML, for `tocsin config` and for files that programs write.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_the_default() {
        assert_eq!(Config::parse(SAMPLE, "sample").unwrap(), Config::default());
        let again = Config::parse(&Config::default().to_toml(), "written").unwrap();
        assert_eq!(again, Config::default());
    }

    #[test]
    fn mistakes_are_named() {
        let fault = |text: &str| Config::parse(text, "config.toml").unwrap_err().to_string();
        assert!(fault("lisen = []").contains("lisen"), "unknown keys are errors");
        assert!(fault("listen = [\"127.0.0.1:80\"]").contains("/ip4/127.0.0.1/tcp/7117"));
        assert!(fault("max_age = \"soon\"").contains("max_age"));
        assert!(fault("[store]\nkeep_damaged = \"5\"").contains("keep_damaged"));
        assert!(fault("[person]\npurposes = [\"No Such\"]").contains("person.purposes"));
        assert!(fault("[own]\nnames = [\"not a name\"]").contains("own.names"));
        assert!(fault("[own]\nnetworks = [\"ministry.example\"]").contains("203.0.113.0/24"));
        assert!(fault("[limits]\nlinks = 0").contains("limits.links"));
        assert!(fault("[hold]\nafter_days = 0").contains("hold.after_days"));
        assert!(
            fault("[hold]\ndefault = \"maybe\"").contains("`refuse`"),
            "{}",
            fault("[hold]\ndefault = \"maybe\"")
        );
        assert!(fault("[trust]\npolice-bb = 101").contains("trust.police-bb"));
        assert_eq!(Config::parse("[trust]\npolice-bb = 70", "x").unwrap().trust["police-bb"], 70);
    }

    #[test]
    fn what_is_own_holds_what_lies_in_it() {
        let own = Own {
            names: vec!["ministry.example".to_owned()],
            networks: vec!["203.0.113.0/24".to_owned(), "2001:db8::7".to_owned()],
        };
        for (kind, value, is) in [
            ("domain", "ministry.example", true),
            ("domain", "mail.ministry.example", true),
            ("domain", "ministry.example.evil.example", false),
            ("url", "https://www.ministry.example/login", true),
            ("email", "desk@ministry.example", true),
            ("ipv4", "203.0.113.9", true),
            ("ipv4-net", "203.0.113.0/25", true),
            ("ipv4-net", "203.0.0.0/16", false),
            ("ipv6", "2001:db8::7", true),
            ("ipv6", "2001:db8::8", false),
        ] {
            assert_eq!(own.has(&Observable::parse(kind, value).unwrap()), is, "{value}");
        }
    }
}
