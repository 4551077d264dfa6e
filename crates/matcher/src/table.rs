//! A multimap from fingerprints to postings.
//!
//! Nearly every observable has one posting: it is one 16-byte entry of an open hash table. A few more are further
//! entries with the same fingerprint. Entries with the same hash share a probe sequence, so a thousand would
//! make it quadratic: from the CHAIN-th on they stand in an ordered set beside the table.
//!
//! The table is cut into shards, so that growing moves a 64th at a time and no insertion waits long.

use std::collections::BTreeSet;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::Posting;

/// Most entries of one fingerprint in the table itself. Holds at all times: a fingerprint has a crowd only
/// while it has this many entries.
const CHAIN: usize = 4;

/// Growing one of 64 at ten million postings moves 2.5 MB, which is under a millisecond.
const SHARDS: usize = 64;

/// Bytes that a posting takes in a crowd: the nodes of the set are at least half full.
const CROWD_BYTES: usize = 16;

#[derive(Clone)]
pub(crate) struct Table {
    shards: Vec<HashTable<(u64, Posting)>>,
    crowds: HashTable<(u64, BTreeSet<Posting>)>,
    len: usize,
    crowded: usize,
}

/// The fingerprint is the hash: it is pseudorandom already.
fn hash<T>(entry: &(u64, T)) -> u64 {
    entry.0
}

/// By bits that the hash table uses neither for the place (the low ones) nor for its tag (the high seven).
fn shard(fingerprint: u64) -> usize {
    (fingerprint >> 48) as usize % SHARDS
}

impl Table {
    pub(crate) fn new() -> Self {
        Self { shards: vec![HashTable::new(); SHARDS], crowds: HashTable::new(), len: 0, crowded: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn bytes(&self) -> usize {
        self.shards.iter().map(HashTable::allocation_size).sum::<usize>()
            + self.crowds.allocation_size()
            + self.crowded * CROWD_BYTES
    }

    pub(crate) fn reserve(&mut self, postings: usize) {
        // Shards fill unevenly, by about the root of their share.
        let share = postings / SHARDS;
        for shard in &mut self.shards {
            shard.reserve(share + share.isqrt() * 3, hash);
        }
    }

    /// Adds a posting; whether it is new.
    pub(crate) fn insert(&mut self, fingerprint: u64, posting: Posting) -> bool {
        let new =
            match self.shards[shard(fingerprint)].entry(fingerprint, |entry| entry.0 == fingerprint, hash) {
                Entry::Vacant(place) => {
                    place.insert((fingerprint, posting));
                    true
                }
                Entry::Occupied(_) => self.insert_further(fingerprint, posting),
            };
        self.len += usize::from(new);
        new
    }

    fn insert_further(&mut self, fingerprint: u64, posting: Posting) -> bool {
        let shard = &mut self.shards[shard(fingerprint)];
        let mut chain = 0;
        for (_, held) in shard.iter_hash(fingerprint).filter(|entry| entry.0 == fingerprint) {
            if *held == posting {
                return false;
            }
            chain += 1;
        }
        if chain < CHAIN {
            shard.insert_unique(fingerprint, (fingerprint, posting), hash);
            return true;
        }
        let crowd = self
            .crowds
            .entry(fingerprint, |entry| entry.0 == fingerprint, hash)
            .or_insert_with(|| (fingerprint, BTreeSet::new()));
        let new = crowd.into_mut().1.insert(posting);
        self.crowded += usize::from(new);
        new
    }

    /// Takes a posting away; whether it was there.
    pub(crate) fn remove(&mut self, fingerprint: u64, posting: Posting) -> bool {
        let shard = &mut self.shards[shard(fingerprint)];
        let in_chain = shard.find_entry(fingerprint, |entry| *entry == (fingerprint, posting));
        let crowd = self.crowds.find_entry(fingerprint, |entry| entry.0 == fingerprint);
        let removed = match (in_chain, crowd) {
            (Ok(place), Err(_)) => {
                place.remove();
                true
            }
            // One of the crowd takes its place, so that the chain stays full.
            (Ok(mut place), Ok(mut crowd)) => {
                if let Some(next) = crowd.get_mut().1.pop_first() {
                    place.get_mut().1 = next;
                    self.crowded -= 1;
                }
                if crowd.get().1.is_empty() {
                    crowd.remove();
                }
                true
            }
            (Err(_), Ok(mut crowd)) => {
                let removed = crowd.get_mut().1.remove(&posting);
                self.crowded -= usize::from(removed);
                if crowd.get().1.is_empty() {
                    crowd.remove();
                }
                removed
            }
            (Err(_), Err(_)) => false,
        };
        self.len -= usize::from(removed);
        removed
    }

    pub(crate) fn contains(&self, fingerprint: u64) -> bool {
        self.shards[shard(fingerprint)].find(fingerprint, |entry| entry.0 == fingerprint).is_some()
    }

    /// All postings of a fingerprint, in no order.
    pub(crate) fn get(&self, fingerprint: u64) -> Vec<Posting> {
        let chain = self.shards[shard(fingerprint)].iter_hash(fingerprint);
        let mut postings: Vec<Posting> =
            chain.filter(|entry| entry.0 == fingerprint).map(|entry| entry.1).collect();
        if postings.len() == CHAIN
            && let Some((_, crowd)) = self.crowds.find(fingerprint, |entry| entry.0 == fingerprint)
        {
            postings.extend(crowd);
        }
        postings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_keeps_the_chain_full_and_leaves_nothing_behind() {
        let mut table = Table::new();
        for posting in 0..100 {
            assert!(table.insert(7, posting));
            assert!(!table.insert(7, posting), "{posting} again");
        }
        assert_eq!((table.len(), table.crowded), (100, 100 - CHAIN));
        for posting in 0..100 {
            assert!(table.remove(7, posting));
            assert!(!table.remove(7, posting));
            let mut left = table.get(7);
            left.sort_unstable();
            assert_eq!(left, (posting + 1..100).collect::<Vec<_>>());
        }
        assert_eq!((table.len(), table.crowded, table.crowds.len()), (0, 0, 0));
        assert!(!table.contains(7));
    }

    #[test]
    fn a_million_postings_of_one_fingerprint_are_not_quadratic() {
        // Quadratic, this would take hours.
        let mut table = Table::new();
        for posting in 0..1_000_000 {
            table.insert(7, posting);
        }
        assert_eq!(table.get(7).len(), 1_000_000);
        for posting in 0..1_000_000 {
            assert!(table.remove(7, posting));
        }
    }
}
