//! The store as it was at one moment, piece by piece while it goes on, and a new one made of that.
//!
//! ```text
//! Reader::snapshot   between two commits: every key with what leads to its value, and the key file      short
//! Snapshot::next     each value from its file, which stays readable though the store gave it up          as slow as one likes
//! Restoring::take    into a database and a key file of its own
//! ```
//!
//! What was erased before the moment is in none of it: values that the store gave up are not led to, and of the slots only those go
//! along that a value rests under. A store made of it has all that the other had but the named values that its maker leaves out.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use bincode::{Decode, Encode};
use bytes::Bytes;
use tocsin_record::{MeshId, codec};
use zeroize::Zeroizing;

use crate::disk::DiskKv;
use crate::error::StoreError;
use crate::keyfile::KeyFile;
use crate::keys::{Keys, Kind};
use crate::kv::{Batch, Fault, Kv, MAX_KEY, MAX_VALUE};
use crate::reader::Reader;
use crate::slots::{SLOT_LEN, Slots};
use crate::values::{self, Pointer};
use crate::vault;

/// What is written at once, in bytes.
const BATCH: usize = 4 << 20;
/// What decoding a piece may take in memory, in bytes.
const LIMIT: usize = 2 * MAX_VALUE + (1 << 20);

/// A piece of a store. Appended to, never reordered.
#[derive(Encode, Decode)]
pub(crate) enum Piece {
    Value { key: Vec<u8>, value: Vec<u8> },
    Slot { number: u32, key: [u8; SLOT_LEN] },
}

/// Where a value was when the snapshot was taken.
#[derive(Debug)]
pub(crate) enum Lies {
    /// At hand.
    Here(Bytes),
    /// In a file, which is open: it can be read also after its name is gone.
    In(Arc<File>, Pointer),
}

/// A store as it was at one moment.
#[derive(Debug)]
pub struct Snapshot {
    values: std::vec::IntoIter<(Vec<u8>, Lies)>,
    slots: Zeroizing<Vec<u8>>,
    /// The slots that a value rests under.
    used: BTreeSet<u32>,
}

impl Reader<DiskKv, KeyFile> {
    /// The store as it is now. Only between two commits, on the thread that commits: else a key may be destroyed while it is
    /// looked for. Takes time by the number of keys, which is that of pages, and reads no page.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let values = self.shared.kv.all()?;
        let slots = self.shared.slots.read_all()?;
        Ok(Snapshot { values: values.into_iter(), slots, used: BTreeSet::new() })
    }
}

impl Snapshot {
    /// The next piece, `None` when all were given.
    ///
    /// # Errors
    /// On a disk fault or damage: then there is no more of it.
    pub fn next_piece(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        let Some((key, lies)) = self.values.next() else {
            let Some(number) = self.used.pop_first() else { return Ok(None) };
            let at = number as usize * SLOT_LEN;
            let slot = self.slots.get(at..at + SLOT_LEN).and_then(|slot| slot.try_into().ok());
            let key: [u8; SLOT_LEN] =
                slot.ok_or_else(|| Fault::Damaged(format!("slot {number} is not there")))?;
            return Ok(Some(codec::encode(&Piece::Slot { number, key })));
        };
        let value = match lies {
            Lies::Here(value) => value,
            Lies::In(file, pointer) => values::read(&file, pointer)?,
        };
        if Kind::SEALED.iter().any(|kind| Keys::is_of(&key, *kind)) {
            self.used.insert(vault::parse(&value)?.head.slot);
        }
        Ok(Some(codec::encode(&Piece::Value { key, value: value.to_vec() })))
    }
}

/// A store that is made of a snapshot.
pub struct Restoring {
    kv: DiskKv,
    slots: KeyFile,
    mesh: MeshId,
    /// Keys of named values that stay behind.
    left_out: Vec<Vec<u8>>,
    batch: Batch,
}

impl Restoring {
    /// In a folder in which no store is, for a mesh, without the named values of these names.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn create(dir: &Path, mesh: MeshId, left_out: &[&str]) -> Result<Self, StoreError> {
        crate::open::create_private(dir)?;
        let kv = DiskKv::open(dir)?;
        let slots = KeyFile::open(&dir.join("keys"))?;
        let left_out = left_out.iter().map(|name| Keys::new(mesh).meta(name)).collect();
        Ok(Self { kv, slots, mesh, left_out, batch: Batch::default() })
    }

    /// Takes a piece.
    ///
    /// # Errors
    /// On a disk fault, or when it is no piece of a store of this mesh.
    pub fn take(&mut self, piece: &[u8]) -> Result<(), StoreError> {
        let damaged = |what: &str| Fault::Damaged(format!("a piece of the snapshot: {what}"));
        let piece: Piece =
            codec::decode::<_, LIMIT>(piece).map_err(|error| damaged(&format!("it {error}")))?;
        match piece {
            Piece::Slot { number, key } => {
                let key = Zeroizing::new(key);
                self.slots.overwrite(number, &key)?;
            }
            Piece::Value { key, value } => {
                if key.len() > MAX_KEY || value.len() > MAX_VALUE || !key.starts_with(&self.mesh.0) {
                    return Err(damaged("its key or length is none of this store's").into());
                }
                if self.left_out.contains(&key) {
                    return Ok(());
                }
                self.batch.put(key, value.into());
                if self.batch.bytes() >= BATCH {
                    self.write()?;
                }
            }
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), StoreError> {
        self.kv.apply(&std::mem::take(&mut self.batch))?;
        Ok(self.kv.flush()?)
    }

    /// Writes what is left. Returns when all is on the disk.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn finish(mut self) -> Result<(), StoreError> {
        self.write()?;
        Ok(self.slots.sync()?)
    }
}
