//! What an import sends: reports that were read in the user's process. Bytes, not JSON: they keep originals.

use std::collections::{BTreeMap, BTreeSet};

use bincode::{Decode, Encode};
use tocsin_record::body::report::{Report, Subject};

/// Most reports in one import batch.
pub const BATCH_REPORTS_MAX: usize = 4096;

/// Reports from files, as the command line read them; salts and versions are filled in here.
#[derive(Debug, Encode, Decode)]
pub struct ImportBatch {
    /// Other circles in which they are shared at once, at most 64.
    pub share: Vec<String>,
    /// Only say what would be done.
    pub dry_run: bool,
    /// And who would get what is shared.
    pub recipients: bool,
    /// The reports, whole.
    pub reports: Vec<Report>,
    /// For each report the strictest marking that any part of it carries.
    pub floors: Vec<Floor>,
    /// Those of which the file had more that was left out than was read: they empty no list.
    pub doubtful: BTreeSet<Subject>,
    /// What its source took back, which is for ever: UUID, the event that it is of, and whole id.
    pub gone: BTreeMap<([u8; 16], Option<[u8; 16]>), String>,
    /// Lists that were read to their end, by what is in this batch and those before it.
    pub ended: Vec<EndedList>,
    /// What of lists was taken back by hand stands again.
    pub again: bool,
}

/// A list without ids of its own that was read to its end, so that what is in none of its buckets any more is gone from it.
#[derive(Clone, Debug, Encode, Decode)]
pub struct EndedList {
    /// The name of the source, as subjects are made of it.
    pub source: String,
    /// The name of the list, without a group.
    pub list: String,
    /// The groups that it has, by the names of their markings, `""` for what carries none; and the buckets of each.
    pub groups: BTreeMap<String, BTreeSet<String>>,
    /// What each group says to be its source, to others as well.
    pub names: BTreeMap<String, String>,
}

/// The strictest marking that any part of a report carries, as codes; 0 where none does.
#[derive(Clone, Copy, Debug, Default, Encode, Decode)]
pub struct Floor {
    /// TLP.
    pub tlp: u8,
    /// PAP.
    pub pap: u8,
    /// How personal it is said to be, whatever is in it.
    pub personal: u8,
}
