//! Live spreading: what is new goes along a tree for each log, and what the trees left out is grafted. Heads and receipts go
//! along the same trees.
//!
//! What may go to whom it is told: it knows no policy, and no store.

mod graft;
pub(crate) mod heads;
mod owed;
pub(crate) mod push;
pub(crate) mod tree;

/// Shortest time between two flushes of announcements, in ms (Plumtree's lazy push).
pub(crate) const FLUSH_MS: u64 = 50;
