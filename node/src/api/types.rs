//! What the node and its command line say to each other: JSON over the node's Unix socket, and what `--json` prints.
//! Field names are stable. Times are RFC 3339 in UTC with milliseconds; ids are 64 hexadecimal digits.

mod requests;
mod status;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock;

pub use requests::{
    Advice, Imported, MarkingWords, NewRecord, PublishRequest, Published, RetractRequest, ShareRequest,
    Skipped,
};
pub use status::{Log, Partner, Peer, PolicyStatus, Queues, ReceiptOf, Silent, Status, StoreStatus};

/// A moment in ms since 1970; as JSON `2026-11-22T04:25:32.250Z`, `null` for 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&clock::show(self.0))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 == 0 {
            serializer.serialize_none()
        } else {
            serializer.serialize_some(&clock::rfc3339(self.0))
        }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map_or(Ok(Self(0)), |text| {
            clock::parse_rfc3339(&text).map(Self).ok_or_else(|| serde::de::Error::custom("not a time"))
        })
    }
}

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What was wrong, and how to mend it.
    pub error: String,
}

/// Asks what is known of values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookupRequest {
    /// The values as people write them, at most 10,000.
    pub values: Vec<String>,
    /// The type of all values, by its name in the observable table, where it is not to be found by itself.
    #[serde(default, rename = "type")]
    pub value_type: Option<String>,
    /// Also answer with records that are held.
    #[serde(default)]
    pub held: bool,
    /// Age in ms from which on an org counts as silent; the configuration's by default.
    #[serde(default)]
    pub max_age_ms: Option<u64>,
    /// What the answer is for.
    #[serde(default)]
    pub purpose: Option<String>,
    /// The asker's reference, for the log.
    #[serde(default)]
    pub reference: Option<String>,
}

/// What is known of one value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lookup {
    /// The value in canonical form, or as it was written if it is none.
    pub value: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Whether anybody says something about it.
    pub known: bool,
    /// When the partner that was silent the longest was last heard: while nothing is missing, all that was said in the
    /// mesh until then is here. `null` while some partner was never heard.
    pub as_of: Time,
    /// Whether nothing is missing and nobody silent.
    pub complete: bool,
    /// Orgs of which no node was heard for too long.
    pub stale: Vec<String>,
    /// Records of which the header or an announced body is missing.
    pub missing: u64,
    /// Records that partners withhold.
    pub withheld: Vec<Withheld>,
    /// Who says what.
    pub hits: Vec<Hit>,
    /// Why the value could not be looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Records of one author that policy keeps from this node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    /// Who wrote them.
    pub author: String,
    /// How many.
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
    /// What it indicates.
    pub kind: String,
    /// TLP of the record; `null` for unmarked ones of the own org.
    pub tlp: Option<String>,
    /// PAP of the record: how it may be acted on.
    pub pap: Option<String>,
    /// What may be done, in words.
    pub may: String,
    /// When it came here.
    pub received: Time,
    /// Since when it counts, by the author.
    pub since: Time,
    /// Until when it counts, by the author.
    pub until: Time,
    /// Title of the report.
    pub title: String,
    /// The report through its versions.
    pub subject: String,
    /// The circle it was shared in.
    pub circle: String,
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

/// The reports in the store that match a question.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryRequest {
    /// Only of this org.
    #[serde(default)]
    pub author: Option<String>,
    /// Only of this circle: `own`, `mesh` or an id.
    #[serde(default)]
    pub circle: Option<String>,
    /// Only with this verdict; accepted ones by default.
    #[serde(default)]
    pub verdict: Option<String>,
    /// Only of this kind of body.
    #[serde(default)]
    pub kind: Option<String>,
    /// Only with this text in title, description or labels.
    #[serde(default)]
    pub text: Option<String>,
    /// Only those that came since, in ms since 1970.
    #[serde(default)]
    pub since_ms: u64,
    /// At most so many, newest first; at most 10,000.
    #[serde(default)]
    pub limit: Option<usize>,
    /// Also versions that a later one replaced.
    #[serde(default)]
    pub all_versions: bool,
    /// What the answer is for.
    #[serde(default)]
    pub purpose: Option<String>,
    /// The asker's reference, for the log.
    #[serde(default)]
    pub reference: Option<String>,
}

/// One record in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its id.
    pub record: String,
    /// The org that wrote it.
    pub author: String,
    /// The circle it is addressed to.
    pub circle: String,
    /// The author's log: the millisecond at which it was opened.
    pub epoch: u64,
    /// Place in the log.
    pub seq: u64,
    /// Kind of body.
    pub kind: String,
    /// TLP, `null` if unmarked or not shown.
    pub tlp: Option<String>,
    /// When it was written.
    pub time: Time,
    /// When it came here.
    pub received: Time,
    /// When it ends.
    pub expires: Time,
    /// `here`, `wanted`, `withheld`, `not-held`, `gone`.
    pub body: String,
    /// `accept`, `hold` or `refuse`.
    pub verdict: String,
    /// The rule that decided.
    pub rule: String,
    /// The report through its versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The version before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<String>,
    /// Title of a report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// How many indicators a report has.
    pub indicator_count: u64,
    /// It is of an exercise.
    pub exercise: bool,
    /// What it was judged on is disputed: its author forked the log.
    pub disputed: bool,
}

/// A record with all that it says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// As in lists.
    #[serde(flatten)]
    pub record: Record,
    /// Who observed it first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Description.
    pub description: String,
    /// Labels.
    pub labels: Vec<String>,
    /// Its marking, field by field.
    pub marking: Option<serde_json::Value>,
    /// What to look for; at most 1,000 of them.
    pub indicators: Vec<ShownIndicator>,
    /// What no longer counts since the version before.
    pub withdrawn: Vec<String>,
    /// For other kinds, the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// How many objects of the source are kept.
    pub originals: u64,
    /// Other circles in which this org shared the report, by name.
    pub shared_to: Vec<String>,
    /// Whom to call.
    pub contact: Contact,
    /// Receipts: who holds it. Only for own records.
    pub held_by: Vec<HeldBy>,
}

/// One indicator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ShownIndicator {
    /// Type of observable, or language of a rule.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its value.
    pub value: String,
    /// What it indicates.
    pub indicates: String,
    /// 0 to 100.
    pub confidence: Option<u8>,
    /// Since when.
    pub since: Time,
    /// Until when.
    pub until: Time,
    /// Words about it.
    pub comment: String,
    /// Why it is kept and not matched, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_matched: Option<String>,
}

/// A partner that holds an own record, by its signed receipt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBy {
    /// The org.
    pub org: String,
    /// The node.
    pub node: String,
    /// When it said so.
    pub time: Time,
}

/// Why a record is as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// The record.
    #[serde(flatten)]
    pub record: Record,
    /// What the policy was shown, field by field.
    pub saw: serde_json::Value,
    /// Rules that had a say.
    pub rules: Vec<String>,
    /// Rules that could not be evaluated, and why.
    pub errors: Vec<String>,
    /// The way it came by: the partner that handed it over, or `self`.
    pub came_by: String,
    /// For each partner node, whether it may have the body by the policy in force now, by which rule, and what it signed
    /// that it holds.
    pub peers: Vec<PeerWhy>,
}

/// Whether one partner gets a record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerWhy {
    /// The org.
    pub org: String,
    /// The node.
    pub node: String,
    /// Whether policy lets it have the body.
    pub allowed: bool,
    /// By which rule.
    pub rule: String,
    /// Whether the link is up.
    pub connected: bool,
    /// `header` if it signed that it holds the header, else `not said`.
    pub holds: String,
    /// When it had that record or a later one of the log, by its own signed word; `null` if it did not say.
    pub holds_since: Time,
}

/// What a policy file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyAnswer {
    /// Which file.
    pub file: String,
    /// Rules.
    pub rules: Vec<PolicyRule>,
    /// What the validator warns of.
    pub warnings: Vec<String>,
    /// Whether it is in force now.
    pub in_force: bool,
}

/// One rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRule {
    /// Its `@id`.
    pub id: String,
    /// `permit` or `forbid`.
    pub effect: String,
    /// The actions it is about.
    pub actions: Vec<String>,
}

/// Something that happened, as a line of `watch`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A record came, or was judged anew.
    Record(Record),
    /// A link came up.
    Up(Peer),
    /// A link went down.
    Down(Peer),
    /// A person should see to something.
    Alarm {
        /// What.
        message: String,
    },
    /// The watcher was too slow, and lines were left out.
    Missed {
        /// How many.
        events: u64,
    },
}
