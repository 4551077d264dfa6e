//! What people ask to be written, and what came of it.

use serde::{Deserialize, Serialize};

use super::Time;

/// Own observations to be shared as one report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PublishRequest {
    /// Values as people write them, at most 20,000.
    pub values: Vec<String>,
    /// The circles, at most 64, in each of which it stands: `own`, `mesh`, or names as `circle list` has them. A new version goes to
    /// all in which the one before stands, whichever of them are named; else at least one is.
    pub circles: Vec<String>,
    /// How it may be handled.
    pub marking: MarkingWords,
    /// What it indicates.
    #[serde(default)]
    pub kind: Option<String>,
    /// The type of all values, by its name in the observable table, where it is not to be found by itself.
    #[serde(default, rename = "type")]
    pub value_type: Option<String>,
    /// 0 to 100.
    #[serde(default)]
    pub confidence: Option<u8>,
    /// Until when it counts, in ms since 1970.
    #[serde(default)]
    pub valid_until_ms: Option<u64>,
    /// One line for people.
    #[serde(default)]
    pub title: String,
    /// What happened.
    #[serde(default)]
    pub description: String,
    /// Labels, at most 256, a line each.
    #[serde(default)]
    pub labels: Vec<String>,
    /// The record of which this is the new version.
    #[serde(default)]
    pub replaces: Option<String>,
    /// Orgs that have to be among those it goes to: nothing is written if one is not.
    #[serde(default)]
    pub wait_for: Vec<String>,
}

/// A marking in words, as flags and profiles have it. What is not said stays open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MarkingWords {
    /// TLP 2.0.
    pub tlp: Option<String>,
    /// PAP.
    pub pap: Option<String>,
    /// no, possible or yes; by the types of the values if not said.
    pub personal: Option<String>,
    /// Purposes.
    pub purposes: Vec<String>,
    /// The law it is shared under.
    pub legal_basis: Option<String>,
    /// When it must be gone, in ms since 1970.
    pub retain_until_ms: Option<u64>,
    /// Countries that may have it.
    pub countries: Vec<String>,
    /// Countries that may not.
    pub not_countries: Vec<String>,
    /// Europol codes, such as `B2 H1`.
    pub police: Option<String>,
    /// Where it is known: `system:id`.
    pub references: Vec<String>,
    /// It is of an exercise.
    pub exercise: bool,
}

/// Records to be shared in other circles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareRequest {
    /// Record ids or subjects.
    pub ids: Vec<String>,
    /// The circles, at most 64.
    pub to: Vec<String>,
    /// The circles in which it is taken back, as for fewer than it was shared with.
    #[serde(default)]
    pub instead_of: Vec<String>,
    /// For records that have no marking yet, and to raise one.
    #[serde(default)]
    pub marking: MarkingWords,
    /// Only say what would be done, and who would get it.
    #[serde(default)]
    pub dry_run: bool,
    /// As for [`PublishRequest`].
    #[serde(default)]
    pub wait_for: Vec<String>,
}

/// Records of which it is waited until partners signed for them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitRequest {
    /// Own records, at most 1,024.
    pub records: Vec<String>,
    /// The orgs that are waited for; all that a record goes to if none is named.
    #[serde(default)]
    pub orgs: Vec<String>,
    /// How long, at most 30,000 ms: the answer then tells who signed so far.
    pub wait_ms: u64,
}

/// Who signed for records, by receipts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waited {
    /// Whether all did; not where there is nobody who could.
    pub all: bool,
    /// Half of those who signed did so within so many ms after the record was written, by their clocks.
    pub p50_ms: Option<i64>,
    /// Nineteen of twenty did.
    pub p95_ms: Option<i64>,
    /// Who took longest of those who signed.
    pub slowest: Option<String>,
    /// All that are waited for.
    pub partners: Vec<WaitedFor>,
}

/// A partner that is waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitedFor {
    /// Its name.
    pub org: String,
    /// Whether it signed that it has all records that go to it.
    pub signed: bool,
    /// What it says became of it there: `accepted`, `kept back` or `gone`.
    pub said: Option<String>,
    /// After how many ms.
    pub after_ms: Option<i64>,
    /// Whether it is linked to this node now.
    pub connected: bool,
}

/// Records of which it is asked who would get them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientsRequest {
    /// Record ids or subjects.
    pub ids: Vec<String>,
    /// The circles, at most 64.
    pub to: Vec<String>,
    /// As for [`ShareRequest`].
    #[serde(default)]
    pub marking: MarkingWords,
}

/// Who would get reports in circles, by the policy of this node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipients {
    /// How many reports were looked at.
    pub reports: u64,
    /// By circle and org; empty where no other org is in any of them.
    pub recipients: Vec<Recipient>,
    /// What would not be shared at all, and why.
    #[serde(default)]
    pub skipped: Vec<Skipped>,
}

impl Recipients {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether an org would get some of the reports, and by which rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// The circle.
    pub circle: String,
    /// The org.
    pub org: String,
    /// Whether it only carries for the members, and reads nothing of what is sealed.
    pub carries: bool,
    /// Whether it would get them; else their headers alone, which tell who wrote when and how much.
    pub gets: bool,
    /// By which rule.
    pub rule: String,
    /// What that says.
    pub says: String,
    /// How many reports.
    pub reports: u64,
    /// Three of them at most, by title and subject.
    pub examples: Vec<String>,
}

/// Something known that was met.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SightRequest {
    /// A record's id, the beginning of one, a subject, or a value that a record lists.
    pub what: String,
    /// The type of the value, where it is not to be found by itself.
    #[serde(default, rename = "type")]
    pub value_type: Option<String>,
    /// `seen`, `false-positive` or `expired`.
    pub kind: String,
    /// How often, at least 1.
    pub count: u32,
    /// When, in ms since 1970; now if not said.
    #[serde(default)]
    pub time_ms: Option<u64>,
    /// What it is for, where the policy asks for that.
    #[serde(default)]
    pub purpose: Option<String>,
    /// The asker's reference, for the log.
    #[serde(default)]
    pub reference: Option<String>,
    /// What is left out of answers unless it is asked for: `red`.
    #[serde(default)]
    pub include: Option<String>,
}

/// Words about a report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteRequest {
    /// A record's id, the beginning of one, or a subject.
    pub id: String,
    /// The words, at most 64 KiB.
    pub text: String,
    /// What it is for, where the policy asks for that.
    #[serde(default)]
    pub purpose: Option<String>,
    /// The asker's reference, for the log.
    #[serde(default)]
    pub reference: Option<String>,
    /// What is left out of answers unless it is asked for: `red`.
    #[serde(default)]
    pub include: Option<String>,
}

/// What orgs say of how often something was met, each sighting once in however many circles it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighted {
    /// `seen`, `false-positive` or `expired`.
    pub kind: String,
    /// How often, by all of them together.
    pub count: u64,
    /// Who says so.
    pub orgs: Vec<String>,
    /// When it was last, by their word.
    pub last: Time,
}

/// A note on a report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteOn {
    /// Whose.
    pub org: String,
    /// When it was written.
    pub time: Time,
    /// Its record.
    pub record: String,
    /// The circles in which it stands.
    pub circles: Vec<String>,
    /// The words.
    pub text: String,
}

/// Reports to be taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetractRequest {
    /// Record ids or subjects.
    pub ids: Vec<String>,
    /// Why, by name.
    pub reason: String,
}

/// What became durable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The new records.
    pub records: Vec<NewRecord>,
    /// The retractions that were written with them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub taken_back: Vec<NewRecord>,
    /// What was left as it was, and why.
    #[serde(default)]
    pub skipped: Vec<Skipped>,
    /// Values that are kept and matched against nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmatched: Vec<Advice>,
    /// Values that would hit what everybody has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub well_known: Vec<Advice>,
    /// What else a person should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Something worth knowing about some of the values, for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// What it is about them.
    pub why: String,
    /// How many values.
    pub count: u64,
    /// The first of them, cut.
    pub values: Vec<String>,
}

/// One record that was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewRecord {
    /// The record's id, 64 hexadecimal digits.
    pub record: String,
    /// The report.
    pub subject: String,
    /// The circle.
    pub circle: String,
    /// Place in the log.
    pub seq: u64,
    /// Orgs that this node's policy lets have it, by name, where it was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partners: Vec<String>,
}

/// One thing that was not done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// What was left: a file, a record's id or a report's subject.
    pub what: String,
    /// Why, and what would help.
    pub why: String,
}

/// What an import batch came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Reports that are new.
    pub new: u64,
    /// Reports that became a new version.
    pub changed: u64,
    /// Reports that were here as they are.
    pub duplicates: u64,
    /// New reports that carry no marking and so stay local.
    pub unmarked: u64,
    /// Indicators written.
    pub indicators: u64,
    /// Those of them that are kept and matched against nothing.
    #[serde(default)]
    pub unmatched: Vec<Advice>,
    /// Those of them that would hit what everybody has.
    #[serde(default)]
    pub well_known: Vec<Advice>,
    /// Reports that were shared in another circle.
    pub shared: u64,
    /// Who would get them there, if that was asked.
    #[serde(default, skip_serializing_if = "Recipients::is_none")]
    pub recipients: Recipients,
    /// What was taken back from other circles, since its marking is stricter now, and what stands there with less.
    #[serde(default)]
    pub taken_back: Vec<Skipped>,
    /// What changed nothing, since a newer version of it stands.
    #[serde(default)]
    pub older: Vec<Skipped>,
    /// What has two contents under one version: both are kept.
    #[serde(default)]
    pub twice: Vec<Skipped>,
    /// What no longer counts, or was not taken, since its source took it back.
    #[serde(default)]
    pub gone: Vec<Skipped>,
    /// What was left out, and why.
    pub skipped: Vec<Skipped>,
    /// The records written, own circle and others.
    pub records: Vec<NewRecord>,
}
