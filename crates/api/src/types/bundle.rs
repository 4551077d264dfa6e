//! What is carried by hand.

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

use super::Time;

/// Longest bundle, in bytes.
pub const BUNDLE_MAX: usize = 64 << 20;
/// Most files that say what its readers have, of one bundle.
pub const FRONTIERS_MAX: usize = 64;

/// For whom a bundle is to be made, or a file that says what is here.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct BundleRequest {
    /// For whom: an org, or a circle's members.
    pub to: String,
    /// What they have, by their own files; of no use to say what is here.
    pub have: Vec<Vec<u8>>,
    /// How long it may be, in bytes; 0 for as long as there is one.
    pub most: u32,
}

/// What went into a bundle, or into a file that says what is here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleMade {
    /// The orgs that it is for.
    pub to: Vec<String>,
    /// How many nodes can open it.
    pub nodes: u64,
    /// Documents.
    pub documents: u64,
    /// Logs of which something is in it.
    pub logs: u64,
    /// Records, their headers at least.
    pub records: u64,
    /// Bodies of them.
    pub bodies: u64,
    /// Bodies that are here and not in it, by the rule that keeps them back.
    pub withheld: Vec<KeptBack>,
    /// Records and bodies for which there was no room.
    pub left: u64,
    /// Orgs that it is for of which nobody said what they have: it holds all for them.
    pub unknown: Vec<String>,
}

/// Bodies that a rule keeps back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptBack {
    /// The rule.
    pub rule: String,
    /// How many bodies.
    pub bodies: u64,
}

/// What a bundle brought.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleApplied {
    /// The org whose node made it.
    pub org: String,
    /// That node.
    pub node: String,
    /// When.
    pub time: Time,
    /// Documents that are in force now and were not.
    pub documents: u64,
    /// Records whose headers are new here.
    pub records: u64,
    /// Bodies that are new here, whatever was decided about them.
    pub bodies: u64,
    /// Records that were not taken since what stands before them is not here.
    pub behind: u64,
    /// Records that were not taken for another reason.
    pub refused: u64,
    /// Records for which the bundle had no room.
    pub left: u64,
}
