//! A second sorted map under the store, which shows that the way out of sled is open: redb, for tests alone.
//!
//! One table, with large values in it. A batch is a transaction that is not synced, and a flush one that is.

use std::ops::{Bound, ControlFlow};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use redb::{Database, Durability, ReadableDatabase, TableDefinition};

use super::{MESH, random};
use crate::kv::{Batch, Fault, Kv, Look};
use crate::{DiskKv, KeyFile, Store, StoreError};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("store");

/// A map on a real disk, which the tests run on.
pub trait RealKv: Kv + Sized {
    /// Names it to a process that a test starts.
    const NAME: &'static str;
    /// Opens it in a directory, or creates it.
    fn open_in(dir: &Path) -> Result<Self, Fault>;
}

impl RealKv for DiskKv {
    const NAME: &'static str = "sled";

    fn open_in(dir: &Path) -> Result<Self, Fault> {
        Self::open(dir)
    }
}

impl RealKv for RedbKv {
    const NAME: &'static str = "redb";

    fn open_in(dir: &Path) -> Result<Self, Fault> {
        Self::open(dir)
    }
}

/// A store on a map of choice.
pub fn open<K: RealKv>(dir: &Path, seed: u64) -> Result<Store<K, KeyFile>, StoreError> {
    let dir = dir.join("store");
    let kv = K::open_in(&dir)?;
    let slots = KeyFile::open(&dir.join("keys"))?;
    Store::open(Arc::new(kv), Arc::new(slots), MESH, random(seed), tocsin_seal::Opener::none(), &mut |_| {})
}

/// redb in one file.
#[derive(Debug)]
pub struct RedbKv {
    db: Database,
    file: PathBuf,
}

fn database<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> Fault {
    move |error| Fault::Database { what, detail: error.to_string() }
}

impl RedbKv {
    pub fn open(dir: &Path) -> Result<Self, Fault> {
        std::fs::create_dir_all(dir).map_err(Fault::io("creating the store"))?;
        let file = dir.join("redb");
        let db = Database::create(&file).map_err(database("opening"))?;
        let kv = Self { db, file };
        kv.write(&Batch::default(), Durability::Immediate)?;
        // redb syncs its file, and leaves the name to whoever gave it.
        for dir in dir.ancestors().take(2) {
            std::fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(Fault::io("syncing"))?;
        }
        Ok(kv)
    }

    fn write(&self, batch: &Batch, durability: Durability) -> Result<(), Fault> {
        let mut write = self.db.begin_write().map_err(database("writing"))?;
        write.set_durability(durability).map_err(database("writing"))?;
        {
            let mut table = write.open_table(TABLE).map_err(database("writing"))?;
            for (key, value) in batch.iter() {
                match value {
                    Some(value) => table.insert(key, value.as_ref()).map(drop),
                    None => table.remove(key).map(drop),
                }
                .map_err(database("writing"))?;
            }
        }
        write.commit().map_err(database("committing"))
    }
}

impl Kv for RedbKv {
    type Prepared = Batch;

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        let read = self.db.begin_read().map_err(database("reading"))?;
        let table = read.open_table(TABLE).map_err(database("reading"))?;
        let value = table.get(key).map_err(database("reading"))?;
        Ok(value.map(|value| Bytes::copy_from_slice(value.value())))
    }

    fn range(&self, from: &[u8], to: &[u8], visit: Look<'_>) -> Result<(), Fault> {
        let read = self.db.begin_read().map_err(database("reading"))?;
        let table = read.open_table(TABLE).map_err(database("reading"))?;
        let range = table.range::<&[u8]>((Bound::Included(from), Bound::Excluded(to)));
        for item in range.map_err(database("scanning"))? {
            let (key, value) = item.map_err(database("scanning"))?;
            if visit(key.value(), Ok(Bytes::copy_from_slice(value.value()))) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn prepare(&self, batch: &Batch) -> Result<Batch, Fault> {
        Ok(batch.clone())
    }

    fn publish(&self, batch: Batch) -> Result<(), Fault> {
        self.write(&batch, Durability::None)
    }

    fn flush(&self) -> Result<(), Fault> {
        self.write(&Batch::default(), Durability::Immediate)
    }

    fn disk_size(&self) -> Result<u64, Fault> {
        Ok(self.file.metadata().map_err(Fault::io("reading the size"))?.len())
    }
}
