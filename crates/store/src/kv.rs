//! The seam to whatever keeps keys and values: a sorted map with atomic batches.
//!
//! Everything above this trait (pages, tails, erasure, indices) runs unchanged on the real disk
//! ([`crate::disk::DiskKv`]), on another in tests, and on the faulty one of the simulation ([`crate::faulty::FaultyKv`]).

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;

/// Longest key. Keys are a mesh id, a prefix and a few numbers or a short name.
pub(crate) const MAX_KEY: usize = 512;

/// Longest value. The largest is a page that was carried in one frame, encrypted.
pub const MAX_VALUE: usize = 16 << 20;

/// A disk fault, or damage found on the disk. None of them is survivable for the process (I10).
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The operating system refused or failed an operation.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, with the file's name.
        what: String,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// The database reported an error, or panicked while it was opened.
    #[error("{what}: {detail}")]
    Database {
        /// What was being done.
        what: &'static str,
        /// What the database said.
        detail: String,
    },
    /// What was read is not what was written.
    #[error("damaged: {0}")]
    Damaged(String),
    /// Another process holds the store.
    #[error("{0} is in use by another process")]
    InUse(String),
    /// A fault that the simulation planted.
    #[error("injected fault in {0}")]
    Injected(&'static str),
}

impl Fault {
    /// An [`Fault::Io`] that says what was being done.
    pub fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Fault {
        let what = what.into();
        move |source| Fault::Io { what, source }
    }
}

/// Writes that become visible and durable together. A later write to a key replaces an earlier one.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    ops: BTreeMap<Vec<u8>, Option<Bytes>>,
    bytes: usize,
}

impl Batch {
    /// Stages a value.
    pub fn put(&mut self, key: Vec<u8>, value: Bytes) {
        debug_assert!(key.len() <= MAX_KEY && value.len() <= MAX_VALUE, "key or value over its bound");
        self.bytes += key.len() + value.len();
        self.ops.insert(key, Some(value));
    }

    /// Stages a removal.
    pub fn remove(&mut self, key: Vec<u8>) {
        self.bytes += key.len();
        self.ops.insert(key, None);
    }

    /// What is staged for `key`: nothing, a removal (`Some(None)`) or a value.
    #[must_use]
    pub fn staged(&self, key: &[u8]) -> Option<&Option<Bytes>> {
        self.ops.get(key)
    }

    /// All staged writes in key order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&Bytes>)> {
        self.ops.iter().map(|(key, value)| (key.as_slice(), value.as_ref()))
    }

    /// Number of keys written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// True if nothing is staged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Bytes staged, at least: keys and values as they were put, replaced ones included.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Sees a key and its value, which may be damaged, until it breaks.
pub type Look<'a> = &'a mut dyn FnMut(&[u8], Result<Bytes, Fault>) -> ControlFlow<()>;

/// A sorted map of bytes with one writer and many readers.
///
/// `prepare` does what is slow about a batch; `publish` makes it visible to readers; `flush` makes all published batches
/// durable. After a crash a prefix of the published batches is there, each whole, and all that were flushed. After an
/// error nothing is promised but that what was flushed before is still there: the owner stops.
pub trait Kv: Send + Sync + 'static {
    /// A batch that is ready to become visible.
    type Prepared: Send;

    /// The value of `key`.
    ///
    /// # Errors
    /// On a disk fault or damage.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Fault>;

    /// Visits the keys in `from..to` in order, until `visit` breaks. Concurrent batches may or may not be seen. A value that
    /// is damaged, or is not all there, is an error of its own: the others are read.
    ///
    /// # Errors
    /// On a disk fault, or damage that is not of one value.
    fn range(&self, from: &[u8], to: &[u8], visit: Look<'_>) -> Result<(), Fault>;

    /// Does what of writing a batch takes its time. Nobody sees anything of it yet.
    ///
    /// # Errors
    /// On a disk fault.
    fn prepare(&self, batch: &Batch) -> Result<Self::Prepared, Fault>;

    /// Makes all writes of the batch that was prepared last visible at once. Short, for readers may be waiting.
    ///
    /// # Errors
    /// On a disk fault.
    fn publish(&self, prepared: Self::Prepared) -> Result<(), Fault>;

    /// Prepares and publishes.
    ///
    /// # Errors
    /// On a disk fault.
    fn apply(&self, batch: &Batch) -> Result<(), Fault> {
        self.publish(self.prepare(batch)?)
    }

    /// Returns when everything applied before is on the disk, not only with the operating system.
    ///
    /// # Errors
    /// On a disk fault.
    fn flush(&self) -> Result<(), Fault>;

    /// Gives back a little of the room that nothing needs any more, for a moment when nothing else is done and nothing
    /// awaits its flush. Takes some milliseconds at most. True if there may be more.
    ///
    /// # Errors
    /// On a disk fault.
    fn compact(&self) -> Result<bool, Fault> {
        Ok(false)
    }

    /// Bytes on the disk.
    ///
    /// # Errors
    /// On a disk fault.
    fn disk_size(&self) -> Result<u64, Fault>;
}
