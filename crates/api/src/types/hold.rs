//! What the policy holds, and what people decide about it.

use serde::{Deserialize, Serialize};

use super::{Hidden, Record, Time};

/// What a person decides about a held record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldDecision {
    /// It counts.
    Accept,
    /// Its body is erased here.
    Refuse,
    /// What was decided is taken back: the policy decides.
    Undo,
}

/// Held records about which a person decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldRequest {
    /// Record ids, or their beginnings.
    pub ids: Vec<String>,
    /// What.
    pub decision: HoldDecision,
    /// Why, in words; at most 4,096 bytes.
    #[serde(default)]
    pub reason: String,
    /// What for.
    #[serde(default)]
    pub purpose: Option<String>,
    /// The person's reference, for the log.
    #[serde(default)]
    pub reference: Option<String>,
    /// What is left out of answers unless it is asked for: `red`.
    #[serde(default)]
    pub include: Option<String>,
}

/// Which held records are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldListRequest {
    /// Those that guardrails hold, about which nobody can decide, in place of the others.
    #[serde(default)]
    pub guardrails: bool,
    /// Only what follows in the list: `next` of the answer before.
    #[serde(default)]
    pub cursor: Option<String>,
    /// At most so many; at most 10,000.
    #[serde(default)]
    pub limit: Option<usize>,
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

/// What is held, and what was not shown of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldRecords {
    /// Those that came first come first.
    pub held: Vec<Held>,
    /// How many records each guardrail holds, which are not to be decided.
    pub guardrails: Vec<HeldBy>,
    /// Records that the policy keeps from who asks.
    pub hidden: Hidden,
    /// There may be more than was asked for.
    pub more: bool,
    /// With more, the cursor that goes on behind the last that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A held record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// As in other lists; `rule` is what holds it.
    #[serde(flatten)]
    pub record: Record,
    /// Whether a person may decide about it.
    pub decidable: bool,
    /// Since when it is held: to the day, where it is held by a rule that came later than it.
    pub held_since: Time,
    /// What is decided by default, where that is not to keep it: `accept` or `refuse`.
    pub by_default: Option<String>,
    /// When.
    pub by_default_at: Time,
    /// In how many ms that is; none left where it is due.
    pub by_default_in_ms: Option<u64>,
}

/// How many records a rule holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBy {
    /// Its name.
    pub rule: String,
    /// How many.
    pub records: u64,
    /// What it says, or what they wait for; may be empty.
    pub says: String,
}

/// What was decided here about a record that the policy held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecidedHere {
    /// `accept` or `refuse`.
    pub decision: String,
    /// Who; empty if it was by default.
    pub by: String,
    /// When.
    pub time: Time,
    /// Why, in words; may be empty.
    pub reason: String,
    /// The rule that held it.
    pub held_by: String,
    /// After how many days, if it was by default.
    pub after_days: Option<u32>,
}
