//! A multimap from 64-bit fingerprints to 64-bit postings, for a writer that must never wait long and a start that must
//! be short. What both numbers mean is the caller's business; fingerprints must be pseudorandom (keyed hashes).
//!
//! Nearly every fingerprint has one posting: it is one 16-byte entry of an open hash table. A few more are further
//! entries with the same fingerprint. Entries with the same hash share a probe sequence, so a thousand would
//! make it quadratic: from the CHAIN-th on they stand in an ordered set beside the table.
//!
//! The table is cut into shards, so that growing moves a part at a time and no insertion waits long. A [`Batch`] fills it
//! shard by shard: an insertion by itself waits for memory, those of one shard find it in the processor's cache.

use std::collections::BTreeSet;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// What the caller stores under a fingerprint: where something lies.
pub type Posting = u64;

/// Most entries of one fingerprint in the table itself. Holds at all times: a fingerprint has a crowd only
/// while it has this many entries.
const CHAIN: usize = 4;

/// Growing one of 256 at ten million postings moves 1.3 MB, which is under a millisecond, and fits a processor's cache.
const SHARDS: usize = 256;

/// Bytes that a posting takes in a crowd: the nodes of the set are at least half full.
const CROWD_BYTES: usize = 16;

/// Most postings in a batch: 16 MB.
const BATCH_MAX: usize = 1 << 20;

/// Twice what a full batch has for one shard. More is the same fingerprints again, of which the shard takes few, so no room is
/// made for it, nor kept.
const SHARE: usize = 2 * BATCH_MAX / SHARDS;

/// A multimap from fingerprints to postings, both of 64 bits.
#[derive(Clone)]
pub struct Table {
    shards: Vec<HashTable<(u64, Posting)>>,
    crowds: HashTable<(u64, BTreeSet<Posting>)>,
    len: usize,
    crowded: usize,
}

/// Postings on their way into a table, by shard. What is in it is not found yet.
#[derive(Clone)]
pub struct Batch {
    shards: Vec<Vec<(u64, Posting)>>,
    len: usize,
}

/// The fingerprint is the hash: it is pseudorandom already.
fn hash<T>(entry: &(u64, T)) -> u64 {
    entry.0
}

/// By bits that the hash table uses neither for the place (the low ones) nor for its tag (the high seven).
fn shard(fingerprint: u64) -> usize {
    (fingerprint >> 48) as usize % SHARDS
}

impl Default for Table {
    fn default() -> Self {
        Self { shards: vec![HashTable::new(); SHARDS], crowds: HashTable::new(), len: 0, crowded: 0 }
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self { shards: vec![Vec::new(); SHARDS], len: 0 }
    }
}

impl Batch {
    /// Adds a posting.
    pub fn push(&mut self, fingerprint: u64, posting: Posting) {
        self.shards[shard(fingerprint)].push((fingerprint, posting));
        self.len += 1;
    }

    /// Whether it is time to [`Table::take`] it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.len >= BATCH_MAX
    }
}

impl Table {
    /// Number of postings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no postings.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory that it takes, to a few per cent.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.shards.iter().map(HashTable::allocation_size).sum::<usize>()
            + self.crowds.allocation_size()
            + self.crowded * CROWD_BYTES
    }

    /// Adds all postings of a batch, and leaves it empty.
    pub fn take(&mut self, batch: &mut Batch) {
        if std::mem::take(&mut batch.len) == 0 {
            return;
        }
        for (shard, new) in self.shards.iter_mut().zip(&batch.shards) {
            shard.reserve(new.len().min(SHARE), hash);
        }
        for new in &mut batch.shards {
            for (fingerprint, posting) in new.drain(..) {
                self.insert(fingerprint, posting);
            }
            new.shrink_to(SHARE);
        }
    }

    /// Adds a posting; whether it is new.
    pub fn insert(&mut self, fingerprint: u64, posting: Posting) -> bool {
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
    pub fn remove(&mut self, fingerprint: u64, posting: Posting) -> bool {
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

    /// Whether a fingerprint has postings.
    #[must_use]
    pub fn contains(&self, fingerprint: u64) -> bool {
        self.shards[shard(fingerprint)].find(fingerprint, |entry| entry.0 == fingerprint).is_some()
    }

    /// Whether any posting of a fingerprint is as wanted. Looks at them in no certain order, and at none after the first
    /// that is.
    #[must_use]
    pub fn any(&self, fingerprint: u64, mut wanted: impl FnMut(Posting) -> bool) -> bool {
        let chain = self.shards[shard(fingerprint)].iter_hash(fingerprint);
        let mut chain = chain.filter(|entry| entry.0 == fingerprint);
        chain.any(|entry| wanted(entry.1))
            || self
                .crowds
                .find(fingerprint, |entry| entry.0 == fingerprint)
                .is_some_and(|(_, crowd)| crowd.iter().any(|posting| wanted(*posting)))
    }

    /// All postings of a fingerprint, rising.
    #[must_use]
    pub fn get(&self, fingerprint: u64) -> Vec<Posting> {
        let mut postings = self.up_to(fingerprint, Posting::MAX, usize::MAX);
        postings.reverse();
        postings
    }

    /// The greatest `limit` postings of a fingerprint that are not above `last`, falling. Looks at no more than these and
    /// the few in the table itself, however many there are.
    #[must_use]
    pub fn up_to(&self, fingerprint: u64, last: Posting, limit: usize) -> Vec<Posting> {
        let chain = self.shards[shard(fingerprint)].iter_hash(fingerprint);
        let mut postings: Vec<Posting> =
            chain.filter(|entry| entry.0 == fingerprint).map(|entry| entry.1).collect();
        let crowded = postings.len() == CHAIN;
        postings.retain(|posting| *posting <= last);
        if crowded && let Some((_, crowd)) = self.crowds.find(fingerprint, |entry| entry.0 == fingerprint) {
            postings.extend(crowd.range(..=last).rev().take(limit));
        }
        // The order of a hash table depends on how it grew.
        postings.sort_unstable_by(|a, b| b.cmp(a));
        postings.truncate(limit);
        postings
    }
}

/// Neither fingerprints nor postings.
impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_keeps_the_chain_full_and_leaves_nothing_behind() {
        let mut table = Table::default();
        for posting in 0..100 {
            assert!(table.insert(7, posting));
            assert!(!table.insert(7, posting), "{posting} again");
        }
        assert_eq!((table.len(), table.crowded), (100, 100 - CHAIN));
        for posting in 0..100 {
            assert!(table.remove(7, posting));
            assert!(!table.remove(7, posting));
            assert_eq!(table.get(7), (posting + 1..100).collect::<Vec<_>>());
        }
        assert_eq!((table.len(), table.crowded, table.crowds.len()), (0, 0, 0));
        assert!(!table.contains(7));
    }

    #[test]
    fn pages_of_postings_are_all_of_them() {
        let dice = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for count in [0, 1, 3, 4, 5, 100] {
            let mut table = Table::default();
            // In no order, so that chain and crowd both have small and great ones.
            let mut all: Vec<u64> = (0..count).map(dice).chain([0, u64::MAX]).collect();
            for posting in &all {
                table.insert(7, *posting);
            }
            all.sort_unstable();
            all.dedup();
            assert_eq!(table.get(7), all);
            for limit in [1, 2, 7, 200] {
                let (mut paged, mut last) = (Vec::new(), Some(u64::MAX));
                while let Some(at) = last {
                    let page = table.up_to(7, at, limit);
                    assert!(page.len() <= limit);
                    last = page.last().filter(|_| page.len() == limit).and_then(|least| least.checked_sub(1));
                    paged.extend(page);
                }
                paged.reverse();
                assert_eq!(paged, all, "{count} in pages of {limit}");
            }
        }
    }

    #[test]
    fn any_stops_at_the_first_and_misses_none() {
        for count in [0, 1, CHAIN as u64, CHAIN as u64 + 1, 100] {
            let mut table = Table::default();
            for posting in 0..count {
                table.insert(7, posting);
                table.insert(8, posting + 1_000);
            }
            let mut looked = 0;
            let mut look = |answer: bool| {
                looked += 1;
                answer
            };
            assert_eq!(table.any(7, |_| look(true)), count > 0);
            assert_eq!(looked, usize::from(count > 0), "looked at of {count}");
            for posting in 0..count {
                assert!(table.any(7, |it| it == posting), "{posting} of {count}");
            }
            let mut all = Vec::new();
            let mut note = |posting| {
                all.push(posting);
                false
            };
            assert!(!table.any(7, &mut note));
            all.sort_unstable();
            assert_eq!(all, table.get(7), "each once, and none of another");
        }
    }

    #[test]
    fn a_batch_is_as_if_one_by_one() {
        let dice = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (mut one_by_one, mut at_once, mut batch) = (Table::default(), Table::default(), Batch::default());
        for n in 0..5_000 {
            one_by_one.insert(dice(n % 3_000), n / 2);
            batch.push(dice(n % 3_000), n / 2);
            if n % 1_000 == 0 {
                at_once.take(&mut batch);
            }
        }
        at_once.take(&mut batch);
        at_once.take(&mut batch);
        assert_eq!(at_once.len(), one_by_one.len());
        for n in 0..3_001 {
            assert_eq!(at_once.get(dice(n)), one_by_one.get(dice(n)));
        }
    }

    #[test]
    fn a_batch_of_one_fingerprint_leaves_no_room_behind() {
        let (mut table, mut batch) = (Table::default(), Batch::default());
        for _ in 0..BATCH_MAX {
            batch.push(7, 7);
        }
        assert!(batch.is_full());
        table.take(&mut batch);
        assert_eq!((table.len(), table.get(7)), (1, vec![7]));
        assert!(table.bytes() < 1 << 20, "{} bytes for one posting", table.bytes());
        assert!(batch.shards.iter().all(|shard| shard.capacity() <= SHARE));
    }

    #[test]
    fn a_million_postings_of_one_fingerprint_are_not_quadratic() {
        // Quadratic, this would take hours.
        let mut table = Table::default();
        for posting in 0..1_000_000 {
            table.insert(7, posting);
        }
        assert_eq!(table.get(7).len(), 1_000_000);
        for posting in 0..1_000_000 {
            assert!(table.remove(7, posting));
        }
    }
}
