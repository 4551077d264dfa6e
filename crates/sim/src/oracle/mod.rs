//! Judges of a run, a file each. They know what was written, the policy tables, who is in which circle and who is linked
//! to whom; they read frames and stores; they never ask the protocol or the policy crate what it thinks.

pub mod alive;
pub mod answers;
pub mod authentic;
pub mod bounded;
pub mod confined;
pub mod contained;
pub mod convergent;
pub mod deterministic;
pub mod durable;
pub mod erased;
pub mod kept;
pub mod refused;
pub mod removed;
pub mod sealed;
pub mod strangers;
pub mod wire;

use std::collections::BTreeSet;
use std::fmt;

use tocsin_store::faulty::{FaultyKv, FaultySlots};
use tocsin_store::{Outcome, Reader, RecordRef};

use crate::cast::{BEGIN_MS, Cast};
use crate::changes::Versions;
use crate::registry::{Registry, Truth};
use crate::rules::Table;

/// A reader of a simulated node's store.
pub type Sight = Reader<FaultyKv, FaultySlots>;

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which oracle says so.
    pub oracle: &'static str,
    /// When, in virtual microseconds.
    pub at_us: u64,
    /// Which node did what, with the record or log that it did it to.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (s, ms) = (self.at_us / 1_000_000, self.at_us / 1000 % 1000);
        write!(f, "{} at {s}.{ms:03} s: {}", self.oracle, self.what)
    }
}

/// The policy of a node, and the one before while records are judged anew.
#[derive(Clone, Copy, Debug)]
pub struct InForce {
    /// The table in force.
    pub now: usize,
    /// The table before it, and until when its judgements may still stand, in virtual microseconds.
    pub before: Option<(usize, u64)>,
    /// When the node was given the one in force, in virtual microseconds.
    pub since_us: u64,
}

/// What the oracles see of a run.
pub struct Scene<'a> {
    /// Who takes part.
    pub cast: &'a Cast,
    /// What was written.
    pub registry: &'a Registry,
    /// All policy tables.
    pub tables: &'a [Table],
    /// Each node's policy.
    pub in_force: &'a [InForce],
    /// By which versions of rosters nodes go.
    pub versions: &'a Versions,
    /// Virtual time, in microseconds.
    pub now_us: u64,
}

impl Scene<'_> {
    /// A violation, now.
    #[must_use]
    pub fn broken(&self, oracle: &'static str, what: String) -> Violation {
        Violation { oracle, at_us: self.now_us, what }
    }

    /// The true wall time, in ms.
    #[must_use]
    pub fn wall(&self) -> u64 {
        BEGIN_MS + self.now_us / 1000
    }

    /// The table in force at a node.
    #[must_use]
    pub fn table(&self, node: usize) -> &Table {
        &self.tables[self.in_force[node].now]
    }

    /// How a node is called in messages: its number, org, and whether it lies.
    #[must_use]
    pub fn name(&self, node: usize) -> String {
        let lies = if self.cast.nodes[node].liar { " (liar)" } else { "" };
        format!("n{node} of org{}{lies}", self.cast.nodes[node].org)
    }
}

/// Links that are open at both ends.
pub type Links = BTreeSet<(usize, usize)>;

/// What oracles remember of a run.
#[derive(Debug, Default)]
pub struct Judges {
    /// Nothing erased early.
    pub kept: kept::Kept,
    /// Erased is gone.
    pub erased: erased::Erased,
    /// Forks are contained.
    pub contained: contained::Contained,
    /// Refusals are remembered.
    pub refused: refused::Refused,
    /// Liars stop nobody.
    pub alive: alive::Alive,
}

impl Judges {
    /// An old disk was put back, and the node was started over it.
    pub fn restored(&mut self, scene: &Scene<'_>, node: usize, sight: &Sight) {
        self.kept.restored(node);
        self.erased.restored(scene, node, sight);
        self.contained.restored(node, sight, scene.now_us);
        self.refused.forget(node);
    }
}

/// A node as it is between two commits.
pub struct Glance<'a> {
    /// Its store.
    pub sight: &'a Sight,
    /// Its clock has been right for a while.
    pub is_right: bool,
}

/// Where a record stands at a node, and what became of it there; `None` if it is not known, or another stands in its
/// place.
#[must_use]
pub fn stands_at(scene: &Scene<'_>, sight: &Sight, truth: &Truth) -> Option<(RecordRef, Outcome)> {
    let place = RecordRef { log: sight.log_no(&truth.log)?, seq: truth.seq };
    let outcome = sight.outcome(place)?.outcome;
    let is_it = || sight.record(place).ok().flatten().is_some_and(|stored| stored.entry.id == truth.id);
    (scene.registry.only_at(&truth.log, truth.seq).is_some() || is_it()).then_some((place, outcome))
}
