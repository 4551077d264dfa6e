//! Disks for the simulation and for tests: seeded, and as unkind as a real one may be.
//!
//! A handle is cheap to clone and all clones are the same disk, so a node can be dropped and opened again.
//! [`FaultyKv::crash`] loses a random suffix of the batches that were not flushed, each whole;
//! [`FaultySlots::crash`] keeps, loses or tears each overwrite that was not synced.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::kv::{Batch, Fault, Kv, Look, MAX_KEY};
use crate::slots::{SLOT_LEN, Slots};

type Map = BTreeMap<Box<[u8]>, Bytes>;
/// What a batch overwrites, so that it can be undone.
pub type Undo = Vec<(Vec<u8>, Option<Bytes>)>;

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

/// A sorted map in memory.
#[derive(Debug, Default)]
pub struct MemoryKv(Mutex<Map>);

impl MemoryKv {
    fn map(&self) -> MutexGuard<'_, Map> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kv for MemoryKv {
    type Prepared = Batch;

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        Ok(self.map().get(key).cloned())
    }

    fn range(&self, from: &[u8], to: &[u8], visit: Look<'_>) -> Result<(), Fault> {
        // Chunks are copied out so that `visit` may use the map.
        const CHUNK: usize = 256;
        let mut from = from.to_vec();
        loop {
            if from.as_slice() >= to {
                return Ok(());
            }
            let chunk: Vec<_> = self
                .map()
                .range::<[u8], _>((Bound::Included(from.as_slice()), Bound::Excluded(to)))
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
        let mut map = self.map();
        for (key, value) in batch.iter() {
            match value {
                Some(value) => map.insert(key.into(), value.clone()),
                None => map.remove(key),
            };
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), Fault> {
        Ok(())
    }

    fn disk_size(&self) -> Result<u64, Fault> {
        Ok(self.map().iter().map(|(key, value)| (key.len() + value.len()) as u64).sum())
    }
}

#[derive(Debug)]
struct KvFaults {
    unflushed: Vec<Undo>,
    trap: Trap,
    dice: Dice,
    flushes: u64,
    reads: u64,
}

/// A sorted map that forgets what was not flushed, over one that has no faults of its own: where that fails, this panics.
#[derive(Debug)]
pub struct FaultyKv<K = MemoryKv> {
    map: Arc<K>,
    faults: Arc<Mutex<KvFaults>>,
}

impl<K> Clone for FaultyKv<K> {
    fn clone(&self) -> Self {
        Self { map: Arc::clone(&self.map), faults: Arc::clone(&self.faults) }
    }
}

/// What a [`FaultyKv`] held at some moment, flushed or not.
#[derive(Debug, Clone)]
pub struct KvSnapshot(BTreeMap<Vec<u8>, Bytes>);

impl FaultyKv {
    /// An empty disk in memory whose crashes are decided by `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::over(MemoryKv::default(), seed)
    }
}

impl<K: Kv> FaultyKv<K> {
    /// Plants faults in a map: its crashes are decided by `seed`.
    #[must_use]
    pub fn over(map: K, seed: u64) -> Self {
        let faults =
            KvFaults { unflushed: Vec::new(), trap: Trap::default(), dice: Dice(seed), flushes: 0, reads: 0 };
        Self { map: Arc::new(map), faults: Arc::new(Mutex::new(faults)) }
    }

    fn faults(&self) -> MutexGuard<'_, KvFaults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what no fault stands in the way of.
    fn write(&self, batch: &Batch) {
        let written = self.map.apply(batch).and_then(|()| self.map.flush());
        written.expect("the map has no faults of its own");
    }

    /// Power is cut: a random suffix of the unflushed batches is lost. Also ends a planted fault.
    pub fn crash(&self) {
        let mut faults = self.faults();
        let pending = faults.unflushed.len();
        let kept = faults.dice.below(pending + 1);
        let mut undo = Batch::default();
        // The last first, so that of a key that several wrote the oldest value is put back.
        for (key, old) in faults.unflushed.drain(..).skip(kept).rev().flatten() {
            match old {
                Some(value) => undo.put(key, value),
                None => undo.remove(key),
            }
        }
        faults.trap = Trap::default();
        if !undo.is_empty() {
            self.write(&undo);
        }
    }

    /// Makes the write (`publish` or `flush`) after the next `after` ones fail, and every later one.
    pub fn fail_next(&self, after: u32) {
        self.faults().trap = Trap(Some(after));
    }

    /// Takes a planted fault back.
    pub fn heal(&self) {
        self.faults().trap = Trap::default();
    }

    /// A copy of the disk as it is now.
    #[must_use]
    pub fn snapshot(&self) -> KvSnapshot {
        KvSnapshot(self.dump().into_iter().collect())
    }

    /// Puts an old copy back: what an operator does who restores a backup.
    pub fn restore(&self, snapshot: &KvSnapshot) {
        let mut batch = Batch::default();
        for (key, _) in self.dump() {
            batch.remove(key);
        }
        for (key, value) in &snapshot.0 {
            batch.put(key.clone(), value.clone());
        }
        self.write(&batch);
        self.faults().unflushed.clear();
    }

    /// Flips a bit in the last sealed value of the store, which is of a page: what a disk does that grows old.
    pub fn rot(&self) {
        if let Some((key, last)) = self.dump().pop() {
            let mut bytes = last.to_vec();
            if let Some(byte) = bytes.last_mut() {
                *byte ^= 1;
            }
            let mut batch = Batch::default();
            batch.put(key, bytes.into());
            self.write(&batch);
        }
    }

    /// Flushes that were asked for so far.
    #[must_use]
    pub fn flushes(&self) -> u64 {
        self.faults().flushes
    }

    /// Values that were asked for so far, one by one.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.faults().reads
    }

    /// Every value on the disk, for tests that look for what should not be there.
    #[must_use]
    pub fn dump(&self) -> Vec<(Vec<u8>, Bytes)> {
        let mut all = Vec::new();
        let read = self.map.range(&[], &[u8::MAX; MAX_KEY + 1], &mut |key, value| {
            all.push((key.to_vec(), value.expect("the map has no faults of its own")));
            ControlFlow::Continue(())
        });
        read.expect("the map has no faults of its own");
        all
    }
}

impl<K: Kv> Kv for FaultyKv<K> {
    type Prepared = (Undo, K::Prepared);

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        self.faults().reads += 1;
        self.map.get(key)
    }

    fn range(&self, from: &[u8], to: &[u8], visit: Look<'_>) -> Result<(), Fault> {
        self.map.range(from, to, visit)
    }

    fn prepare(&self, batch: &Batch) -> Result<Self::Prepared, Fault> {
        let undo = batch.iter().map(|(key, _)| Ok((key.to_vec(), self.map.get(key)?)));
        Ok((undo.collect::<Result<_, Fault>>()?, self.map.prepare(batch)?))
    }

    fn publish(&self, (undo, prepared): Self::Prepared) -> Result<(), Fault> {
        let mut faults = self.faults();
        faults.trap.spring("publish")?;
        self.map.publish(prepared)?;
        faults.unflushed.push(undo);
        Ok(())
    }

    fn flush(&self) -> Result<(), Fault> {
        let mut faults = self.faults();
        faults.flushes += 1;
        faults.trap.spring("flush")?;
        self.map.flush()?;
        faults.unflushed.clear();
        Ok(())
    }

    fn compact(&self) -> Result<bool, Fault> {
        self.map.compact()
    }

    fn disk_size(&self) -> Result<u64, Fault> {
        self.map.disk_size()
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
