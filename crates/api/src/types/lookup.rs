//! What is asked of values, and what is known of them.

use serde::{Deserialize, Serialize};

use super::{Sighted, Time};

/// Most values in one request.
pub const VALUES_MAX: usize = 10_000;

/// Asks what is known of values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookupRequest {
    /// The values as people write them, at most [`VALUES_MAX`].
    pub values: Vec<String>,
    /// The type of all values, by its name in the observable table, where it is not to be found by itself.
    #[serde(default, rename = "type")]
    pub value_type: Option<String>,
    /// Also answer with records that are held.
    #[serde(default)]
    pub held: bool,
    /// Also answer with what is over by now.
    #[serde(default)]
    pub expired: bool,
    /// Age in ms from which on an org counts as silent; the configuration's by default.
    #[serde(default)]
    pub max_age_ms: Option<u64>,
    /// What the answer is for.
    #[serde(default)]
    pub purpose: Option<String>,
    /// The asker's reference, for the log.
    #[serde(default)]
    pub reference: Option<String>,
    /// What is left out of answers unless it is asked for: `red`.
    #[serde(default)]
    pub include: Option<String>,
}

/// What is known of one value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lookup {
    /// The value in canonical form, or as it was written if it is none.
    pub value: String,
    /// Name of its observable type; `null` if it is of none.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Whether anybody says something about it; `null` where somebody does, and the policy keeps all of it from who asks.
    pub known: Option<bool>,
    /// When the partner that was silent the longest was last heard: while nothing is missing, all that was said in the
    /// mesh until then is here. `null` while some partner was never heard.
    pub as_of: Time,
    /// Whether nothing is missing and nobody silent.
    pub complete: bool,
    /// Orgs that the operator does not count: whatever is missing of them, it is told apart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_counted: Vec<String>,
    /// Why it is not complete, by org.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<super::Gap>,
    /// Orgs of which no node was heard for too long.
    pub stale: Vec<String>,
    /// Records of which the header or an announced body is missing.
    pub missing: u64,
    /// Records that are not given to this node: withheld from it, or from every partner that it is linked to.
    pub withheld: Vec<Withheld>,
    /// Records on this value that the policy keeps from who asks; with any, the answer is not complete.
    #[serde(default)]
    pub hidden: Hidden,
    /// Records on this value that are held, where they were not asked for.
    #[serde(default)]
    pub held: u64,
    /// Statements on this value that are over by now, where they were not asked for.
    #[serde(default)]
    pub over: u64,
    /// Why a hit on this value says little, if so: everybody has it, or the org itself. Nobody is sure of such a hit, whatever
    /// confidence its author states.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commonplace: Option<String>,
    /// Whether it is known as context only: each hit says that it was observed, or that nothing is wrong with it, and none that
    /// it is bad.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub context_only: bool,
    /// What orgs say of how often the value, or a report that lists it, was met.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sightings: Vec<Sighted>,
    /// Who says what.
    pub hits: Vec<Hit>,
    /// What was not searched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Why the value could not be looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The line of standard input, from 1, that a value was read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
}

impl Lookup {
    /// Whether somebody says something about it that is shown.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.known == Some(true)
    }
}

/// Records that this node's policy keeps from who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hidden {
    /// How many records, at least 1 where it is told.
    pub records: u64,
    /// By which rules, each once.
    pub rules: Vec<String>,
    /// What would show them, where something would.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub help: String,
}

/// Records of one author that are not given to this node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    /// Who wrote them.
    pub author: String,
    /// How many of its records that are known of by header.
    pub records: u64,
}

/// One org's word on a value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hit {
    /// The record.
    pub record: String,
    /// The org that says it.
    pub author: String,
    /// Who observed it first.
    pub origin: Origin,
    /// What was listed: the value itself, a network that contains it, a domain above it.
    pub observable: String,
    /// Type of what was listed.
    pub observable_type: String,
    /// `exact`, `network` or `parent`.
    #[serde(rename = "match")]
    pub how: String,
    /// 0 to 100, if anybody said so.
    pub confidence: Option<u8>,
    /// What it indicates; `observed` is no verdict: it was seen, and nobody says that it is bad.
    pub kind: String,
    /// TLP of the record; `null` for unmarked ones of the own org.
    pub tlp: Option<String>,
    /// PAP of the record: how it may be acted on.
    pub pap: Option<String>,
    /// What may be done, in words.
    pub may: String,
    /// The purposes that it may be used for; empty if its marking states none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub purposes: Vec<String>,
    /// The law that it was shared under, in its author's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legal_basis: Option<String>,
    /// Until when it may be kept; `null` if its marking says nothing.
    #[serde(default)]
    pub retain_until: Time,
    /// When it came here.
    pub received: Time,
    /// Since when it counts, by the author.
    pub since: Time,
    /// Until when it counts, by the author.
    pub until: Time,
    /// Whether that is over.
    #[serde(default)]
    pub expired: bool,
    /// Title of the report.
    pub title: String,
    /// The report through its versions.
    pub subject: String,
    /// The circle of that record.
    pub circle: String,
    /// All circles in which its author shared the report, as far as this node is in them and shows what stands there: the record
    /// of this answer is the one that is marked most strictly.
    #[serde(default)]
    pub circles: Vec<String>,
    /// It is of an exercise and says nothing about the world.
    pub exercise: bool,
    /// Whom to call.
    pub contact: Contact,
    /// `accept`, `hold` or `refuse`.
    pub verdict: String,
    /// The rule that decided.
    pub rule: String,
}

/// Who observed something first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// `own` or `derived`.
    pub kind: String,
    /// Of derived data, the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The source's own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

/// Whom to call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// Desk.
    pub desk: String,
    /// Telephone.
    pub phone: String,
    /// Mail.
    pub email: String,
}
