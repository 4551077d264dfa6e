//! The real disk: sled for the sorted map, a journal for small batches, plain files for large values.
//!
//! ```text
//! prepare -> values over 2 KiB -> value files
//! publish -> overlay (memory)
//! flush   -> fdatasync value files; one journal entry, fdatasync          a live record: one write, one sync
//! journal full or batch large -> overlay and the next generation -> sled, flush, fdatasync
//! compact -> a piece of a value file that is mostly dead -> the last one  see `compact`
//! ```
//!
//! sled alone cannot hold pages: it writes a leaf's values again and again (1.7 times the data, measured), puts leaves
//! of large values into files that it never syncs, keeps all it ever scanned in memory, and its `flush` is no
//! disk sync on Linux. Here it holds small values and pointers, and its file is synced through a second descriptor.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use bytes::Bytes;

use crate::journal::{JOURNAL_LEN, Journal};
use crate::kv::{Batch, Fault, Kv, Look, MAX_KEY, MAX_VALUE};
use crate::snapshot::Lies;
use crate::values::{self, POINTER_LEN, Pointer, Values};

/// Values longer than this rest in value files, shorter ones in the database.
const INLINE_MAX: usize = 2048;
/// A flush of more than this goes to the database directly: writing it twice would cost more than a leaf or two.
const ENTRY_MAX: usize = 512 << 10;
/// Keys that a checkpoint hands to sled at once: it keeps a batch in memory many times over.
const CHUNK: usize = 512;
/// The key of the generation in force: shorter than any key of the store.
const GENERATION: &[u8] = b"g";

/// A process that was just forked holds its parent's locks until it runs its program: a lock is tried again so often.
const LOCK_TRIES: u32 = 20;
const LOCK_WAIT: Duration = Duration::from_millis(50);

/// Bytes that must be free before the database is opened: a few of sled's segments.
const ROOM: usize = 4 << 20;

const INLINE: u8 = 0;
const POINTER: u8 = 1;

type Overlay = BTreeMap<Vec<u8>, Option<Bytes>>;

/// Encoded writes since the last flush.
#[derive(Debug, Default)]
struct Pending {
    ops: Overlay,
    bytes: usize,
}

#[derive(Debug)]
pub(crate) struct Writer {
    journal: Journal,
    generation: u64,
    pending: Pending,
}

impl Writer {
    /// Whether everything that was published is on the disk.
    pub fn is_flushed(&self) -> bool {
        self.pending.ops.is_empty()
    }
}

/// A batch with its large values written.
#[derive(Debug)]
pub struct Prepared {
    encoded: Vec<(Vec<u8>, Option<Bytes>)>,
    /// What its keys pointed to before.
    released: Vec<Pointer>,
}

/// sled, a journal and value files in one directory.
#[derive(Debug)]
pub struct DiskKv {
    db: sled::Db,
    /// A second descriptor of sled's own file: `sync_data` on it is the disk sync that sled leaves out.
    file: File,
    writer: Mutex<Writer>,
    /// Encoded values that are newer than sled's, `None` for removed.
    overlay: RwLock<Overlay>,
    pub(crate) values: Values,
}

fn database(what: &'static str) -> impl FnOnce(sled::Error) -> Fault {
    move |e| match e {
        // A full disk or a missing permission is no damage.
        sled::Error::Io(source) => Fault::io(what)(source),
        other => Fault::Database { what, detail: other.to_string() },
    }
}

impl DiskKv {
    /// Opens the store in `dir`, or creates it, and brings the journal into the database.
    ///
    /// # Errors
    /// [`Fault::InUse`] if another process holds it; any other fault means that it cannot be used as it is.
    pub fn open(dir: &Path) -> Result<Self, Fault> {
        let what = || format!("opening the store {}", dir.display());
        fs::create_dir_all(dir).map_err(Fault::io(what()))?;
        find_room(dir)?;
        let sled_dir = dir.join("sled");
        let db = open_sled(&sled_dir)?;
        let file = File::open(sled_dir.join("db")).map_err(Fault::io(what()))?;
        let known = match db.get(GENERATION).map_err(database("reading the generation"))? {
            None => None,
            Some(bytes) => Some(u64::from_be_bytes(
                <[u8; 8]>::try_from(bytes.as_ref()).map_err(|_| Fault::Damaged("generation".into()))?,
            )),
        };
        let generation = known.unwrap_or(1);
        let mut journal = Journal::open(&dir.join("journal"), generation, known.is_none())?;
        let mut overlay = Overlay::new();
        journal.replay(|payload| {
            decode_ops(payload, &mut overlay).ok_or_else(|| Fault::Damaged("journal entry".into()))
        })?;
        let values = Values::open(&dir.join("values"))?;
        if known.is_none() {
            // The journal carries its generation before the database does, and the database before anything is taken.
            if !overlay.is_empty() || values.size() > 0 {
                return Err(Fault::Damaged("the database is empty, the files beside it are not".into()));
            }
            journal.restart(generation)?;
            journal.sync()?;
            db.insert(GENERATION, &generation.to_be_bytes()).map_err(database("writing"))?;
            db.flush().map_err(database("flushing"))?;
        }
        // Sync what was just created, names included: files first, then the directories that name them.
        for path in [sled_dir.join("db"), sled_dir.join("conf")] {
            File::open(&path).and_then(|file| file.sync_all()).map_err(Fault::io(what()))?;
        }
        for path in [sled_dir.as_path(), dir] {
            File::open(path).and_then(|dir| dir.sync_all()).map_err(Fault::io(what()))?;
        }
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            File::open(parent).and_then(|dir| dir.sync_all()).map_err(Fault::io(what()))?;
        }
        let replayed = !overlay.is_empty();
        let kv = Self {
            db,
            file,
            writer: Mutex::new(Writer { journal, generation, pending: Pending::default() }),
            overlay: RwLock::new(overlay),
            values,
        };
        // What is alive is counted before anything is judged dead, and from sled alone: the overlay goes there first.
        if replayed {
            kv.checkpoint(&mut kv.writer())?;
        }
        // The first look at every leaf, which is where sled finds damage, and panics on some.
        catch_unwind(AssertUnwindSafe(|| kv.count_pointers()))
            .unwrap_or_else(|_| Err(Fault::Database { what: "scanning", detail: "it panicked".into() }))?;
        Ok(kv)
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn overlay(&self) -> RwLockReadGuard<'_, Overlay> {
        self.overlay.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn overlay_mut(&self) -> RwLockWriteGuard<'_, Overlay> {
        self.overlay.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns how much of each value file is alive.
    fn count_pointers(&self) -> Result<(), Fault> {
        for item in self.db.iter() {
            let (key, value) = item.map_err(database("scanning"))?;
            if let Some(pointer) = pointer(&value) {
                self.values.count(pointer, &key);
            }
        }
        Ok(())
    }

    /// The encoded value of a key, from the overlay or the database.
    pub(crate) fn encoded(&self, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        if let Some(value) = self.overlay().get(key) {
            return Ok(value.clone());
        }
        let value = self.db.get(key).map_err(database("reading"))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    /// Every key with where its value lies, in order, as of now.
    pub(crate) fn all(&self) -> Result<Vec<(Vec<u8>, Lies)>, Fault> {
        // Nothing is published, moved or given up meanwhile.
        let _writer = self.writer();
        let mut all: BTreeMap<Vec<u8>, Option<Bytes>> = BTreeMap::new();
        for item in self.db.iter() {
            let (key, value) = item.map_err(database("scanning"))?;
            all.insert(key.to_vec(), Some(Bytes::copy_from_slice(&value)));
        }
        all.extend(self.overlay().iter().map(|(key, value)| (key.clone(), value.clone())));
        all.remove(GENERATION);
        let present = all.into_iter().filter_map(|(key, value)| Some((key, value?)));
        let lies = |value: Bytes| match pointer(&value) {
            Some(pointer) => {
                let file = self.values.file(pointer).ok_or_else(|| values::missing(pointer))?;
                Ok(Lies::In(file, pointer))
            }
            None => self.decoded(&value).map(Lies::Here),
        };
        present.map(|(key, value)| Ok((key, lies(value)?))).collect()
    }

    fn decoded(&self, value: &Bytes) -> Result<Bytes, Fault> {
        match value.split_first() {
            Some((&INLINE, _)) => Ok(value.slice(1..)),
            Some((&POINTER, rest)) => {
                let pointer = Pointer::decode(rest).ok_or_else(|| Fault::Damaged("pointer".into()))?;
                let file = self.values.file(pointer).ok_or_else(|| values::missing(pointer))?;
                values::read(&file, pointer)
            }
            _ => Err(Fault::Damaged("value tag".into())),
        }
    }

    /// Moves the overlay to sled. What is pending goes last and at once, together with the next generation, which
    /// makes the journal void: before that moment the journal repeats everything else that was moved.
    fn checkpoint(&self, writer: &mut Writer) -> Result<(), Fault> {
        let generation = writer.generation + 1;
        let pending = std::mem::take(&mut writer.pending).ops;
        let moved = self.overlay().clone();
        let mut chunk = sled::Batch::default();
        let mut count = 0;
        for (key, value) in &moved {
            if pending.contains_key(key) {
                continue;
            }
            stage(&mut chunk, key, value.as_ref());
            count += 1;
            if count == CHUNK {
                self.db.apply_batch(std::mem::take(&mut chunk)).map_err(database("writing"))?;
                count = 0;
            }
        }
        if count > 0 {
            self.db.apply_batch(chunk).map_err(database("writing"))?;
        }
        let mut last = sled::Batch::default();
        for (key, value) in &pending {
            stage(&mut last, key, value.as_ref());
        }
        last.insert(GENERATION, &generation.to_be_bytes());
        self.db.apply_batch(last).map_err(database("writing"))?;
        self.db.flush().map_err(database("flushing"))?;
        self.file.sync_data().map_err(Fault::io("syncing the database"))?;
        writer.generation = generation;
        writer.journal.restart(generation)?;
        // Everything in the overlay is in sled now: only this writer adds to it, and it is here.
        self.overlay_mut().clear();
        Ok(())
    }

    /// Makes encoded values visible: from the overlay, until a checkpoint moves them to sled.
    pub(crate) fn publish_encoded(
        &self,
        writer: &mut Writer,
        encoded: impl IntoIterator<Item = (Vec<u8>, Option<Bytes>)>,
    ) {
        let mut overlay = self.overlay_mut();
        for (key, value) in encoded {
            writer.pending.bytes += key.len() + value.as_ref().map_or(0, Bytes::len);
            writer.pending.ops.insert(key.clone(), value.clone());
            overlay.insert(key, value);
        }
    }

    /// Makes durable what is pending.
    pub(crate) fn flush_pending(&self, writer: &mut Writer) -> Result<(), Fault> {
        if writer.is_flushed() {
            return Ok(());
        }
        self.values.sync()?;
        if writer.pending.bytes <= ENTRY_MAX {
            let entry = encode_ops(&writer.pending.ops, writer.pending.bytes);
            if writer.journal.has_room(entry.len()) {
                writer.journal.append(&entry)?;
                writer.pending = Pending::default();
                return Ok(());
            }
        }
        self.checkpoint(writer)
    }
}

fn stage(batch: &mut sled::Batch, key: &[u8], value: Option<&Bytes>) {
    match value {
        Some(value) => batch.insert(key, value.as_ref()),
        None => batch.remove(key),
    }
}

pub(crate) fn pointer(encoded: &[u8]) -> Option<Pointer> {
    match encoded.split_first() {
        Some((&POINTER, rest)) => Pointer::decode(rest),
        _ => None,
    }
}

pub(crate) fn encode_pointer(pointer: Pointer) -> Bytes {
    let mut out = Vec::with_capacity(1 + POINTER_LEN);
    out.push(POINTER);
    out.extend_from_slice(&pointer.encode());
    out.into()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the store is being opened: nothing else runs that could wait for it"
)]
fn wait() {
    std::thread::sleep(LOCK_WAIT);
}

fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(e) if e.to_string().contains("lock"))
}

/// Makes sure of a little room before sled is opened: on a full disk it destroys its own file while it recovers.
fn find_room(dir: &Path) -> Result<(), Fault> {
    let path = dir.join("room");
    let written = File::create(&path).and_then(|file| {
        let zeros = vec![0; ROOM];
        (&file).write_all(&zeros)?;
        file.sync_data()
    });
    // Whatever came of it, what was written goes.
    let removed = fs::remove_file(&path);
    written.and(removed).map_err(Fault::io(format!("looking for {ROOM} bytes of room in {}", dir.display())))
}

/// sled panics on some damaged files instead of reporting them.
fn open_sled(path: &Path) -> Result<sled::Db, Fault> {
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(64 << 20)
        .flush_every_ms(None)
        .print_profile_on_drop(false);
    let open = || catch_unwind(AssertUnwindSafe(|| config.open()));
    let mut opened = open();
    for _ in 0..LOCK_TRIES {
        if !matches!(&opened, Ok(Err(error)) if is_locked(error)) {
            break;
        }
        wait();
        opened = open();
    }
    match opened {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(e)) if is_locked(&e) => Err(Fault::InUse(path.display().to_string())),
        Ok(Err(e)) => Err(database("opening the database")(e)),
        Err(_) => Err(Fault::Database { what: "opening the database", detail: "it panicked".into() }),
    }
}

/// A journal entry: for each write the key's length, 0 or the value's length + 1, key, value.
fn encode_ops(ops: &Overlay, bytes: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes + ops.len() * 6);
    for (key, value) in ops {
        // Keys and values are bounded where a batch is made, far below these widths.
        out.extend_from_slice(&(key.len() as u16).to_be_bytes());
        out.extend_from_slice(&value.as_ref().map_or(0, |value| value.len() as u32 + 1).to_be_bytes());
        out.extend_from_slice(key);
        out.extend_from_slice(value.as_deref().unwrap_or_default());
    }
    out
}

fn decode_ops(mut payload: &[u8], ops: &mut Overlay) -> Option<()> {
    while !payload.is_empty() {
        let (key_len, rest) = payload.split_first_chunk()?;
        let (value_len, rest) = rest.split_first_chunk()?;
        let (key, rest) = rest.split_at_checked(u16::from_be_bytes(*key_len).into())?;
        let value_len = u32::from_be_bytes(*value_len) as usize;
        let (value, rest) = rest.split_at_checked(value_len.saturating_sub(1))?;
        ops.insert(key.to_vec(), (value_len > 0).then(|| Bytes::copy_from_slice(value)));
        payload = rest;
    }
    Some(())
}

impl Kv for DiskKv {
    type Prepared = Prepared;

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        // Between reading a pointer and opening its file, the file may have been copied forward: look again.
        for _ in 0..3 {
            let Some(encoded) = self.encoded(key)? else {
                return Ok(None);
            };
            match self.decoded(&encoded) {
                Err(Fault::Damaged(_)) if self.encoded(key)? != Some(encoded.clone()) => {}
                other => return other.map(Some),
            }
        }
        Err(Fault::Damaged("a value that keeps moving".into()))
    }

    fn range(&self, from: &[u8], to: &[u8], visit: Look<'_>) -> Result<(), Fault> {
        // Only keys are collected under the lock, a bounded number at a time.
        let mut from = from.to_vec();
        while from.as_slice() < to {
            let mut keys: BTreeMap<Vec<u8>, bool> = self
                .overlay()
                .range::<[u8], _>((Bound::Included(from.as_slice()), Bound::Excluded(to)))
                .take(CHUNK)
                .map(|(key, value)| (key.clone(), value.is_some()))
                .collect();
            let mut complete = keys.len() < CHUNK;
            // Behind the last key that one source was cut at, nothing is known of it yet.
            let mut horizon =
                (!complete).then(|| keys.last_key_value().map(|(key, _)| key.clone())).flatten();
            let mut taken = 0;
            for item in self.db.range::<&[u8], _>((Bound::Included(from.as_slice()), Bound::Excluded(to))) {
                let (key, _) = item.map_err(database("scanning"))?;
                if horizon.as_ref().is_some_and(|horizon| key.as_ref() > horizon.as_slice()) {
                    break;
                }
                keys.entry(key.to_vec()).or_insert(true);
                taken += 1;
                if taken == CHUNK {
                    complete = false;
                    horizon = Some(key.to_vec());
                    break;
                }
            }
            for (key, present) in keys {
                if horizon.as_ref().is_some_and(|horizon| &key > horizon) {
                    break;
                }
                if !present || key == GENERATION {
                    continue;
                }
                let value = match self.get(&key) {
                    Ok(Some(value)) => Ok(value),
                    Ok(None) => continue,
                    Err(damage @ Fault::Damaged(_)) => Err(damage),
                    Err(fault) => return Err(fault),
                };
                if visit(&key, value).is_break() {
                    return Ok(());
                }
            }
            match horizon {
                Some(last) if !complete => {
                    from = last;
                    from.push(0);
                }
                _ => break,
            }
        }
        Ok(())
    }

    fn prepare(&self, batch: &Batch) -> Result<Prepared, Fault> {
        let _writer = self.writer();
        let mut prepared = Prepared { encoded: Vec::with_capacity(batch.len()), released: Vec::new() };
        for (key, value) in batch.iter() {
            assert!(key.len() <= MAX_KEY, "keys are made by this crate, of bounded parts");
            let value = match value {
                None => None,
                Some(value) if value.len() > MAX_VALUE => {
                    return Err(Fault::Damaged(format!(
                        "a value of {} bytes was to be written",
                        value.len()
                    )));
                }
                Some(value) if value.len() > INLINE_MAX => {
                    Some(encode_pointer(self.values.append(key, value)?))
                }
                Some(value) => {
                    let mut inline = Vec::with_capacity(1 + value.len());
                    inline.push(INLINE);
                    inline.extend_from_slice(value);
                    Some(inline.into())
                }
            };
            prepared.released.extend(self.encoded(key)?.as_deref().and_then(pointer));
            prepared.encoded.push((key.to_vec(), value));
        }
        Ok(prepared)
    }

    fn publish(&self, prepared: Prepared) -> Result<(), Fault> {
        self.publish_encoded(&mut self.writer(), prepared.encoded);
        for old in prepared.released {
            self.values.release(old);
        }
        Ok(())
    }

    fn flush(&self) -> Result<(), Fault> {
        let mut writer = self.writer();
        self.flush_pending(&mut writer)?;
        self.compact_overdue(&mut writer)
    }

    fn compact(&self) -> Result<bool, Fault> {
        self.compact_piece(&mut self.writer())
    }

    fn disk_size(&self) -> Result<u64, Fault> {
        let sled = self.file.metadata().map_err(Fault::io("reading the database's size"))?.len();
        Ok(sled + self.values.size() + JOURNAL_LEN)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::StoreError;

    #[test]
    fn a_full_disk_is_no_damage() {
        let of = |error: sled::Error| StoreError::from(database("opening the database")(error));
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::PermissionDenied, io::ErrorKind::Other] {
            assert!(
                !of(sled::Error::Io(io::Error::from(kind))).is_damage(),
                "{kind}: the store is set aside"
            );
        }
        assert!(of(sled::Error::Io(io::Error::from(io::ErrorKind::UnexpectedEof))).is_damage());
        assert!(of(sled::Error::Corruption { at: None, bt: () }).is_damage());
    }
}
