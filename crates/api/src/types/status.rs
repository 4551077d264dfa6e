//! How a node is.

use serde::{Deserialize, Serialize};

use super::{HeldBy, Network, Time, Withheld};

/// How the node is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The own org.
    pub org: String,
    /// The own node's key.
    pub node: String,
    /// Process id.
    pub pid: u32,
    /// Version of the program.
    pub version: String,
    /// Name of the mesh.
    pub mesh: String,
    /// Its fingerprint.
    pub mesh_fingerprint: String,
    /// Version of the charter in force.
    pub charter: u32,
    /// Orgs that were taken out of the mesh.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<Removed>,
    /// As of when nothing is missing.
    pub as_of: Time,
    /// Whether nothing is missing, nobody silent, and the clock trusted.
    pub complete: bool,
    /// Orgs that the operator does not count: they make nothing incomplete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_counted: Vec<String>,
    /// Why it is not complete, by org.
    #[serde(default)]
    pub gaps: Vec<Gap>,
    /// What is to be thought of this machine's clock.
    #[serde(default)]
    pub clock: ClockStatus,
    /// In words: `missing nothing as of 14:02:31`.
    pub summary: String,
    /// Records of which a header or a wanted body is missing.
    pub missing: u64,
    /// Records that are not given to this node, by author.
    pub withheld: Vec<Withheld>,
    /// Orgs not heard of for too long.
    pub silent: Vec<Silent>,
    /// Links and partners.
    pub peers: Vec<PartnerNode>,
    /// Logs, by author and circle.
    pub logs: Vec<Log>,
    /// How much of the own logs each partner's node acknowledged, by signed receipts.
    pub receipts: Vec<ReceiptOf>,
    /// What is stored.
    pub store: StoreStatus,
    /// How many records wait for a person, by the rule that holds them.
    #[serde(default)]
    pub waiting: Vec<HeldBy>,
    /// The room on the disk of the node's home; `null` where the system does not tell it.
    #[serde(default)]
    pub disk: Option<DiskRoom>,
    /// What waits.
    pub queues: Queues,
    /// The policy in force.
    pub policy: PolicyStatus,
    /// What each partner did so far; only where it was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partners: Vec<Partner>,
    /// Where it listens.
    pub listening: Vec<String>,
    /// What strangers do to its way in, and what it lacks to let others in.
    #[serde(default)]
    pub network: Network,
    /// What a person should see to.
    pub alarms: Vec<String>,
}

/// One reason why an answer is not complete.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Whose records it is about; `null` if all are.
    pub org: Option<String>,
    /// `missing`, `not-given` (announced on a live link, and not given in ten minutes), `silent`, `clock`, or `stale`: the core does not answer.
    pub reason: String,
    /// In words.
    pub text: String,
}

/// What is to be thought of this machine's clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockStatus {
    /// `trusted`; `ahead` of or `behind` other orgs' clocks or what the node knew; `unknown`: later than the node can know,
    /// and nobody confirms it.
    pub state: String,
    /// By how much, in ms; 0 if it is trusted.
    pub by_ms: u64,
    /// The time by which things lapse.
    pub time: Time,
    /// In words.
    pub text: String,
}

/// The people of this node say that its clock is right.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmClock {
    /// Also where the clocks of partners say otherwise.
    #[serde(default)]
    pub against_partners: bool,
}

/// An org that was taken out of the mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// What it was called.
    pub org: String,
    /// Fingerprint of its root key.
    pub fingerprint: String,
    /// The version of the charter that took it out.
    pub charter: u32,
    /// When that was written.
    pub time: Time,
}

/// An org that was not heard of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silent {
    /// The org's name by the charter.
    pub org: String,
    /// Since when; `null` if never heard.
    pub since: Time,
}

/// A partner's node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PartnerNode {
    /// Name of the org that it belongs to.
    pub org: String,
    /// The node's name, by its org's certificate.
    pub node: String,
    /// Whether a link is up.
    pub connected: bool,
    /// Where the link goes.
    pub address: Option<String>,
    /// `in` or `out`.
    pub direction: Option<String>,
    /// Round trip in ms.
    pub rtt_ms: Option<f64>,
    /// Bytes waiting to be sent.
    pub queued: u64,
    /// Whether its outbox is full: nothing is pushed until it drains.
    pub slow: bool,
    /// Why the last dial failed.
    pub fault: Option<String>,
}

/// One log as it is held.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// Org of the author.
    pub author: String,
    /// Name of the node that writes it.
    pub node: String,
    /// The circle.
    pub circle: String,
    /// When it was opened.
    pub epoch: u64,
    /// First record held.
    pub base: u64,
    /// Last verified header.
    pub height: u64,
    /// Last record by its author's newest signed head; `null` if none speaks of this log.
    pub announced: Option<u64>,
    /// When that head was said.
    pub announced_at: Time,
    /// Bodies that are announced and not here.
    pub missing: u64,
    /// Bodies that are wanted and that nobody gives to this node.
    pub withheld: u64,
    /// `open`, `forked` or `cut`.
    pub state: String,
}

/// What a partner acknowledged of an own log: headers; whose bodies it gets is this node's policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptOf {
    /// Name of the partner's org.
    pub org: String,
    /// Name of the partner's node that signed the receipt.
    pub node: String,
    /// The circle.
    pub circle: String,
    /// Last record whose header it acknowledged; 0 if none yet.
    pub height: u64,
    /// Of how many.
    pub of: u64,
    /// When that record came there, by its clock; `null` if none did.
    pub time: Time,
    /// How many ms after it was written.
    pub after_ms: Option<i64>,
    /// Half of the records that receipts named took no longer to that org, in ms.
    pub p50_ms: Option<u32>,
    /// All but one in a hundred took no longer, in ms.
    pub p99_ms: Option<u32>,
}

/// What is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStatus {
    /// Headers.
    pub records: u64,
    /// Bodies here.
    pub bodies: u64,
    /// Observables that lookups find.
    pub observables: u64,
    /// Accepted, held, refused.
    pub accepted: u64,
    /// Held ones.
    pub held: u64,
    /// Refused ones.
    pub refused: u64,
    /// Bytes on disk.
    pub disk_bytes: u64,
}

/// The room on a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskRoom {
    /// Bytes that the node may still write.
    pub free_bytes: u64,
    /// Bytes of the file system.
    pub size_bytes: u64,
}

/// What waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queues {
    /// Inputs for the core.
    pub inbox: u64,
    /// Bytes for peers.
    pub outbox_bytes: u64,
    /// Bodies asked for or to be asked for.
    pub wanted: u64,
}

/// The policy in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyStatus {
    /// How many rules it has.
    pub rules: u64,
    /// When it was loaded.
    pub loaded: Time,
    /// Whether records are being judged anew under it.
    pub rejudging: bool,
    /// Why a file that was to replace it was refused; `null` if none was.
    pub fault: Option<String>,
}

/// What became of a partner's records here, and what this node's people think of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partner {
    /// The partner's name by the charter.
    pub org: String,
    /// Its records that were accepted.
    pub accepted: u64,
    /// Held ones.
    pub held: u64,
    /// Refused ones.
    pub refused: u64,
    /// Reports that it took back.
    pub withdrawn: u64,
    /// Logs in which it said two different things.
    pub forks: u64,
    /// `[trust]` of the configuration; `null` where nothing is said.
    pub trust: Option<u8>,
}
