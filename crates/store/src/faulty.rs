//! Disks for the simulation: in memory, seeded, and as unkind as a real one may be.
//!
//! A handle is cheap to clone and all clones are the same disk, so a node can be dropped and opened again.
//! [`FaultyKv::crash`] loses a random suffix of the batches that were not flushed, each whole;
//! [`FaultySlots::crash`] keeps, loses or tears each overwrite that was not synced.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::kv::{Batch, Fault, Kv, Look};
use crate::slots::{SLOT_LEN, Slots};

type Map = BTreeMap<Box<[u8]>, Bytes>;
/// What a batch overwrote, so that it can be undone.
type Undo = Vec<(Box<[u8]>, Option<Bytes>)>;

/// SplitMix64: small, seeded, and enough to choose what a crash loses.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.roll() % (bound as u64).max(1)) as usize
    }
}

/// Counts down to a planted fault.
#[derive(Debug, Default)]
struct Trap(Option<u32>);

impl Trap {
    /// Fails the write at which the count reaches zero and every one after it: a broken disk stays broken.
    fn spring(&mut self, op: &'static str) -> Result<(), Fault> {
        match &mut self.0 {
            None => Ok(()),
            Some(0) => Err(Fault::Injected(op)),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}

#[derive(Debug)]
struct KvDisk {
    map: Map,
    unflushed: Vec<Undo>,
    trap: Trap,
    dice: Dice,
    flushes: u64,
}

/// A sorted map in memory that forgets what was not flushed.
#[derive(Debug, Clone)]
pub struct FaultyKv(Arc<Mutex<KvDisk>>);

/// What a [`FaultyKv`] held at some moment, flushed or not.
#[derive(Debug, Clone)]
pub struct KvSnapshot(Map);

impl FaultyKv {
    /// An empty disk whose crashes are decided by `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(KvDisk {
            map: Map::new(),
            unflushed: Vec::new(),
            trap: Trap::default(),
            dice: Dice(seed),
            flushes: 0,
        })))
    }

    fn disk(&self) -> MutexGuard<'_, KvDisk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Power is cut: a random suffix of the unflushed batches is lost. Also ends a planted fault.
    pub fn crash(&self) {
        let mut disk = self.disk();
        let pending = disk.unflushed.len();
        let kept = disk.dice.below(pending + 1);
        let lost: Vec<Undo> = disk.unflushed.drain(..).skip(kept).collect();
        for undo in lost.into_iter().rev() {
            for (key, old) in undo {
                match old {
                    Some(value) => disk.map.insert(key, value),
                    None => disk.map.remove(&key),
                };
            }
        }
        disk.trap = Trap::default();
    }

    /// Makes the write (`publish` or `flush`) after the next `after` ones fail, and every later one.
    pub fn fail_next(&self, after: u32) {
        self.disk().trap = Trap(Some(after));
    }

    /// Takes a planted fault back.
    pub fn heal(&self) {
        self.disk().trap = Trap::default();
    }

    /// A copy of the disk as it is now.
    #[must_use]
    pub fn snapshot(&self) -> KvSnapshot {
        KvSnapshot(self.disk().map.clone())
    }

    /// Puts an old copy back: what an operator does who restores a backup.
    pub fn restore(&self, snapshot: &KvSnapshot) {
        let mut disk = self.disk();
        disk.map = snapshot.0.clone();
        disk.unflushed.clear();
    }

    /// Flips a bit in the last sealed value of the store, which is of a page: what a disk does that grows old.
    pub fn rot(&self) {
        let mut disk = self.disk();
        if let Some(mut last) = disk.map.last_entry() {
            let mut bytes = last.get().to_vec();
            if let Some(byte) = bytes.last_mut() {
                *byte ^= 1;
            }
            last.insert(bytes.into());
        }
    }

    /// Flushes that were asked for so far.
    #[must_use]
    pub fn flushes(&self) -> u64 {
        self.disk().flushes
    }

    /// Every value on the disk, for tests that look for what should not be there.
    #[must_use]
    pub fn dump(&self) -> Vec<(Vec<u8>, Bytes)> {
        self.disk().map.iter().map(|(key, value)| (key.to_vec(), value.clone())).collect()
    }
}

impl Kv for FaultyKv {
    type Prepared = Batch;

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        Ok(self.disk().map.get(key).cloned())
    }

    fn range(&self, from: &[u8], to: &[u8], visit: Look<'_>) -> Result<(), Fault> {
        // Chunks are copied out so that `visit` may use the disk.
        const CHUNK: usize = 256;
        let mut from = from.to_vec();
        loop {
            if from.as_slice() >= to {
                return Ok(());
            }
            let chunk: Vec<_> = self
                .disk()
                .map
                .range::<[u8], _>((std::ops::Bound::Included(from.as_slice()), std::ops::Bound::Excluded(to)))
                .take(CHUNK)
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            for (key, value) in &chunk {
                if visit(key, Ok(value.clone())).is_break() {
                    return Ok(());
                }
            }
            match chunk.last() {
                Some((last, _)) if chunk.len() == CHUNK => {
                    from = last.to_vec();
                    from.push(0);
                }
                _ => return Ok(()),
            }
        }
    }

    fn prepare(&self, batch: &Batch) -> Result<Batch, Fault> {
        Ok(batch.clone())
    }

    fn publish(&self, batch: Batch) -> Result<(), Fault> {
        let mut disk = self.disk();
        disk.trap.spring("publish")?;
        let mut undo = Vec::with_capacity(batch.len());
        for (key, value) in batch.iter() {
            let key: Box<[u8]> = key.into();
            let old = match value {
                Some(value) => disk.map.insert(key.clone(), value.clone()),
                None => disk.map.remove(&key),
            };
            undo.push((key, old));
        }
        disk.unflushed.push(undo);
        Ok(())
    }

    fn flush(&self) -> Result<(), Fault> {
        let mut disk = self.disk();
        disk.flushes += 1;
        disk.trap.spring("flush")?;
        disk.unflushed.clear();
        Ok(())
    }

    fn disk_size(&self) -> Result<u64, Fault> {
        Ok(self.disk().map.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum())
    }
}

#[derive(Debug)]
struct SlotDisk {
    slots: Vec<[u8; SLOT_LEN]>,
    /// Old bytes of what was overwritten since the last sync.
    unsynced: BTreeMap<u32, [u8; SLOT_LEN]>,
    trap: Trap,
    dice: Dice,
    syncs: u64,
}

/// Slots in memory that tear and forget what was not synced.
#[derive(Debug, Clone)]
pub struct FaultySlots(Arc<Mutex<SlotDisk>>);

/// What a [`FaultySlots`] held at some moment.
#[derive(Debug, Clone)]
pub struct SlotSnapshot(Vec<[u8; SLOT_LEN]>);

impl FaultySlots {
    /// An empty key file whose crashes are decided by `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(SlotDisk {
            slots: Vec::new(),
            unsynced: BTreeMap::new(),
            trap: Trap::default(),
            dice: Dice(seed ^ 0x5107),
            syncs: 0,
        })))
    }

    fn disk(&self) -> MutexGuard<'_, SlotDisk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Power is cut: each overwrite since the last sync is kept, lost or torn. Also ends a planted fault.
    pub fn crash(&self) {
        let mut disk = self.disk();
        for (n, old) in std::mem::take(&mut disk.unsynced) {
            let fate = disk.dice.below(3);
            let cut = disk.dice.below(SLOT_LEN);
            let slot = &mut disk.slots[n as usize];
            match fate {
                0 => {}
                1 => *slot = old,
                _ => slot[cut..].copy_from_slice(&old[cut..]),
            }
        }
        disk.trap = Trap::default();
    }

    /// Makes the write (`overwrite` or `sync`) after the next `after` ones fail, and every later one.
    pub fn fail_next(&self, after: u32) {
        self.disk().trap = Trap(Some(after));
    }

    /// Takes a planted fault back.
    pub fn heal(&self) {
        self.disk().trap = Trap::default();
    }

    /// A copy of the file as it is now.
    #[must_use]
    pub fn snapshot(&self) -> SlotSnapshot {
        SlotSnapshot(self.disk().slots.clone())
    }

    /// Puts an old copy back.
    pub fn restore(&self, snapshot: &SlotSnapshot) {
        let mut disk = self.disk();
        disk.slots = snapshot.0.clone();
        disk.unsynced.clear();
    }

    /// Syncs that were asked for so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.disk().syncs
    }
}

impl Slots for FaultySlots {
    fn read(&self, n: u32) -> Result<Zeroizing<[u8; SLOT_LEN]>, Fault> {
        Ok(Zeroizing::new(self.disk().slots.get(n as usize).copied().unwrap_or_default()))
    }

    fn overwrite(&self, n: u32, bytes: &[u8; SLOT_LEN]) -> Result<(), Fault> {
        let mut disk = self.disk();
        disk.trap.spring("overwrite")?;
        let at = n as usize;
        if disk.slots.len() <= at {
            disk.slots.resize(at + 1, [0; SLOT_LEN]);
        }
        let old = std::mem::replace(&mut disk.slots[at], *bytes);
        disk.unsynced.entry(n).or_insert(old);
        Ok(())
    }

    fn sync(&self) -> Result<(), Fault> {
        let mut disk = self.disk();
        disk.syncs += 1;
        disk.trap.spring("sync")?;
        disk.unsynced.clear();
        Ok(())
    }

    fn count(&self) -> Result<u32, Fault> {
        Ok(u32::try_from(self.disk().slots.len()).unwrap_or(u32::MAX))
    }
}
