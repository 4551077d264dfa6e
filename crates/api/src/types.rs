//! What the node and its command line say to each other: JSON over the node's Unix socket, and what `--json` prints.
//! Field names are stable. Times are RFC 3339 in UTC with milliseconds; ids are 64 hexadecimal digits.

mod bundle;
mod circles;
mod hold;
mod import;
mod lookup;
mod network;
mod requests;
mod status;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tocsin_clock as clock;

pub use bundle::{BUNDLE_MAX, BundleApplied, BundleMade, BundleRequest, FRONTIERS_MAX, KeptBack};
pub use circles::{Circle, CircleMember, CircleRequest, Proposed};
pub use hold::{DecidedHere, Held, HeldBy, HeldRecords, HoldDecision, HoldListRequest, HoldRequest};
pub use import::{BATCH_REPORTS_MAX, EndedList, Floor, ImportBatch};
pub use lookup::{Contact, Hidden, Hit, Lookup, LookupRequest, Origin, VALUES_MAX, Withheld};
pub use network::{Handshakes, Network, OfLate};
pub use requests::{
    Advice, Imported, MarkingWords, NewRecord, NoteOn, NoteRequest, PublishRequest, Published, Recipient,
    Recipients, RecipientsRequest, RetractRequest, ShareRequest, SightRequest, Sighted, Skipped, WaitRequest,
    Waited, WaitedFor,
};
pub use status::{
    ClockStatus, ConfirmClock, DiskRoom, Gap, Log, Partner, PartnerNode, PolicyStatus, Queues, ReceiptOf,
    Removed, Silent, Status, StoreStatus,
};

/// A moment in ms since 1970; as JSON `2026-11-22T04:25:32.250Z`, `null` for 0, and the end of 9999 for all after it.
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

/// The reports in the store that match a question.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryRequest {
    /// Only of this org.
    #[serde(default)]
    pub author: Option<String>,
    /// Only of this circle: `own`, `mesh`, a name as `circle list` has it, or an id.
    #[serde(default)]
    pub circle: Option<String>,
    /// Only with this verdict; accepted ones by default.
    #[serde(default)]
    pub verdict: Option<String>,
    /// Only of this kind of body.
    #[serde(default)]
    pub kind: Option<String>,
    /// Only what mentions each of these: in title, description, labels, values, comments, or what is kept of its source. A
    /// network is mentioned by what lies inside it. At most 64, as of each list here.
    #[serde(default)]
    pub words: Vec<String>,
    /// Only reports with each of these labels.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Only with one of these TLPs.
    #[serde(default)]
    pub tlps: Vec<String>,
    /// Only reports with an indicator of one of these types.
    #[serde(default)]
    pub types: Vec<String>,
    /// Only reports that hold data about a person.
    #[serde(default)]
    pub personal: bool,
    /// Only those that came since, in ms since 1970.
    #[serde(default)]
    pub since_ms: u64,
    /// Only those that came before, in ms since 1970.
    #[serde(default)]
    pub until_ms: Option<u64>,
    /// Only what follows in the list: `next` of the answer before.
    #[serde(default)]
    pub cursor: Option<String>,
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
    /// What is left out of answers unless it is asked for: `red`.
    #[serde(default)]
    pub include: Option<String>,
}

/// What was found, and what was not shown of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Records {
    /// Newest first.
    pub records: Vec<Record>,
    /// Records that match, and that the policy keeps from who asks.
    pub hidden: Hidden,
    /// There may be more than was asked for, or than is looked through for one question.
    pub more: bool,
    /// With more, the cursor that goes on behind the last that was looked at. It holds while the store does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A copy of a report in another circle.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyIn {
    /// The circle.
    pub circle: String,
    /// Its record there.
    pub record: String,
    /// Its TLP there, `null` if unmarked.
    pub tlp: Option<String>,
}

/// Who asks for one record or for what arrives, and what for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// What the answer is for.
    #[serde(default)]
    pub purpose: Option<String>,
    /// The asker's reference, for the log.
    #[serde(default)]
    pub reference: Option<String>,
    /// What is left out of answers unless it is asked for: `red`.
    #[serde(default)]
    pub include: Option<String>,
    /// For `show`: with what is kept of the source.
    #[serde(default)]
    pub original: bool,
    /// For `evidence`: with the key that opens a sealed record.
    #[serde(default)]
    pub with_key: bool,
}

/// One record in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The record's id, 64 hexadecimal digits.
    pub record: String,
    /// The org that wrote it.
    pub author: String,
    /// The circle it is addressed to.
    pub circle: String,
    /// That, and the others in which the same report stands here: in lists with `copies`, and where it is shown alone.
    #[serde(default)]
    pub circles: Vec<String>,
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
    /// The version that stands, where it is another; not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced_by: Option<String>,
    /// Title of a report; `(taken back)` or `(expired)` where its body is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Who took the report back, where its body is gone for that; not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_back: Option<Box<TakenBack>>,
    /// The same report in other circles, where the list has one entry for all; in lists only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<CopyIn>,
    /// How many indicators a report has.
    pub indicator_count: u64,
    /// It is of an exercise.
    pub exercise: bool,
    /// What it was judged on is disputed: its author forked the log.
    pub disputed: bool,
}

/// The end of a report, for ever.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenBack {
    /// The org that took it back.
    pub by: String,
    /// When; `null` if the retraction does not name this version.
    pub time: Time,
    /// Why, by name.
    pub reason: String,
}

impl fmt::Display for TakenBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "taken back by {}", self.by)?;
        if self.time.0 != 0 {
            write!(f, " at {}", self.time)?;
        }
        write!(f, ", reason {}", self.reason)
    }
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
    /// Labels, sorted, none twice.
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
    /// They, as they came, where they were asked for: JSON objects, or lines. At most 16 MiB of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub original: Vec<String>,
    /// Of a report, what orgs say of how often it, or a value of it in its name, was met.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sightings: Vec<Sighted>,
    /// Of a report, the notes on it, the newest 100, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<NoteOn>,
    /// Other circles in which this org shared the report, by name.
    pub shared_to: Vec<String>,
    /// Whom to call.
    pub contact: Contact,
    /// Which nodes signed that they have it, when, and what became of it there, and which did not yet. Only for own records.
    pub acknowledged_by: Vec<Acknowledged>,
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
    /// From when on it counts; `null` if nothing is said.
    pub since: Time,
    /// Until when it counts; `null` if nothing is said.
    pub until: Time,
    /// Words about it.
    pub comment: String,
    /// Why it is kept and not matched, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_matched: Option<String>,
}

/// What a partner's node acknowledged of an own record, by its signed receipts, and when, by its own clock. What it said first
/// stays, also when the record was taken back since.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// The org.
    pub org: String,
    /// The node.
    pub node: String,
    /// Of the first receipt that covered it: it had the header by then; `null` if there is none.
    pub time: Time,
    /// How long that was after it was written, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<i64>,
    /// What that receipt said became of it there: `accepted`, `kept back` (held or refused), `header only`, `gone`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    /// Of the first receipt that said it was accepted; `null` if none did.
    #[serde(default)]
    pub accepted: Time,
    /// What was said last, in the words of `first`, and the time of the first receipt since that said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<String>,
    /// As `now`.
    #[serde(default)]
    pub since: Time,
    /// Of a record that was taken back: of the first receipt that covered the retraction; `null` if there is none.
    #[serde(default)]
    pub retraction: Time,
    /// The rule by which it does not get the body, if one keeps that from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header_only: Option<String>,
}

/// What a rule of the policy says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleText {
    /// Its name.
    pub rule: String,
    /// In words: the comment above it, or what a guardrail does; may be empty.
    pub comment: String,
    /// As it is written in the policy file; empty for a guardrail, which is code.
    pub text: String,
}

/// Why a record is as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// The record.
    #[serde(flatten)]
    pub record: Record,
    /// Whether the policy keeps what it says from who asks.
    #[serde(default)]
    pub hidden: Hidden,
    /// What the policy was shown, field by field.
    pub saw: serde_json::Value,
    /// Rules that had a say.
    pub rules: Vec<String>,
    /// What each of these says, where it is of the policy in force.
    #[serde(default)]
    pub texts: Vec<RuleText>,
    /// Rules that could not be evaluated, and why.
    pub errors: Vec<String>,
    /// The way it came by: the partner that handed it over, or `self`.
    pub came_by: String,
    /// What a person here, or the configuration by default, decided about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<DecidedHere>,
    /// For each partner node, whether it may have the body by the policy in force now, by which rule, and whether it
    /// acknowledged the header.
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
    /// When it had the header of that record or of a later one of the log, by its own signed word; `null` if it did not
    /// say.
    pub acknowledged: Time,
}

/// What a policy file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyAnswer {
    /// Which file.
    pub file: String,
    /// Its rules, in the order of the file.
    pub rules: Vec<PolicyRule>,
    /// What the validator warns of.
    pub warnings: Vec<String>,
    /// Whether it is in force now.
    pub in_force: bool,
    /// What it changes of what is here, where a running node was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<PolicyDiff>,
}

/// A policy that is not in force, to be compared with the one that is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyDiffRequest {
    /// Name of its file, for faults.
    pub file: String,
    /// The text.
    pub text: String,
    /// What is asked for, by which is told what would be shown.
    #[serde(default)]
    pub purpose: Option<String>,
    /// The asker's reference, for the log.
    #[serde(default)]
    pub reference: Option<String>,
    /// What is left out of answers unless it is asked for: `red`.
    #[serde(default)]
    pub include: Option<String>,
}

/// What a policy changes of what is here, for who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyDiff {
    /// Which file.
    pub file: String,
    /// Records that were looked at, those that came last.
    pub looked: u64,
    /// Whether there are older ones that were not.
    pub more: bool,
    /// Each way in which records change.
    pub changes: Vec<PolicyChange>,
    /// What the validator warns of.
    pub warnings: Vec<String>,
}

/// One way in which a policy changes records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyChange {
    /// `verdict`, `send`, or `show`.
    pub what: String,
    /// Of `send`, the org that it goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    /// What it is by the policy in force: a verdict, `sent` or `not sent`, `shown` or `hidden`.
    pub was: String,
    /// What it is by the other.
    pub is: String,
    /// The rule of the other that decides.
    pub rule: String,
    /// How many records.
    pub records: u64,
    /// Ids of three of them at most.
    pub examples: Vec<String>,
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
    Record(Box<Record>),
    /// A record came, or was judged anew, which the policy keeps from who asks.
    Kept {
        /// By which rule.
        rule: String,
        /// What would show it; empty where nothing would.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        help: String,
    },
    /// A link came up.
    Up(PartnerNode),
    /// A link went down.
    Down(PartnerNode),
    /// A person should see to something.
    Alarm {
        /// What is wrong and what mends it, for people.
        message: String,
    },
    /// What an alarm said is over.
    Over {
        /// In words.
        message: String,
    },
    /// The watcher was too slow, and lines were left out.
    Missed {
        /// How many lines are missing here.
        events: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_time_a_member_states_an_answer_is_read() {
        for (ms, read) in [(0, 0), (250, 250), (u64::MAX, clock::LAST_MS)] {
            let until = ShownIndicator { until: Time(ms), ..ShownIndicator::default() };
            let text = serde_json::to_string(&until).unwrap();
            let back: ShownIndicator = serde_json::from_str(&text).unwrap();
            assert_eq!(back.until, Time(read), "{text}");
        }
    }
}
