//! How much a node remembers of what peers tell it, so that its bounds can be seen to hold.

use tocsin_store::{Kv, Slots};

use crate::mesh::Mesh;

/// Entries, or bytes where it says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Links, in the lobby and in.
    pub links: usize,
    /// Numbers whose names were lost, on all links.
    pub unnamed: usize,
    /// Logs without a record, opened on peers' words.
    pub empty_logs: usize,
    /// Missing bodies that were announced.
    pub announced: usize,
    /// Logs of which peers say that they hold more.
    pub behind: usize,
    /// Bytes of runs that wait for the ones before them.
    pub orphan_bytes: usize,
    /// Searches for forks.
    pub searches: usize,
    /// Heads of other nodes.
    pub heads: usize,
    /// Receipts.
    pub receipts: usize,
}

impl<K: Kv, S: Slots> Mesh<K, S> {
    /// What is remembered now. Cheap: lengths of maps, and sums over links.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        let mut sizes = Sizes {
            links: self.links.len(),
            empty_logs: self.empty.len(),
            announced: self.catchup.announced(|_| true).count(),
            behind: self.catchup.logs_behind().len(),
            orphan_bytes: self.trees.orphan_bytes(),
            searches: self.admission.searches.count(),
            heads: self.heads.heads().len(),
            receipts: self.heads.receipts_len(),
            ..Sizes::default()
        };
        sizes.unnamed = self.links.iter().map(|(_, link)| link.unnamed()).sum();
        sizes
    }
}
