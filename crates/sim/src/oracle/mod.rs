//! Judges of a run, a file each. They know what was written, the policy tables, who is in which circle and who is linked
//! to whom; they read frames and stores; they never ask the protocol or the policy crate what it thinks.

pub mod authentic;
pub mod confined;
pub mod convergent;
pub mod deterministic;
pub mod durable;
pub mod wire;

use std::collections::BTreeSet;
use std::fmt;

use tocsin_store::Reader;
use tocsin_store::faulty::{FaultyKv, FaultySlots};

use crate::cast::Cast;
use crate::registry::Registry;
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
    /// Virtual time, in microseconds.
    pub now_us: u64,
}

impl Scene<'_> {
    /// A violation, now.
    #[must_use]
    pub fn broken(&self, oracle: &'static str, what: String) -> Violation {
        Violation { oracle, at_us: self.now_us, what }
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

/// A link at the end of a run.
pub type Links = BTreeSet<(usize, usize)>;
