//! Append-only files for large values, beside the database.
//!
//! sled writes a value again each time the leaf that holds it is consolidated or split, and a leaf of large values
//! goes to a file that it never syncs. So the database holds a pointer, and the value rests here, written once and
//! synced. A file in which less than half is still pointed to is copied forward and deleted.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::hash::Hasher;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;
use siphasher::sip::SipHasher13;

use crate::kv::Fault;

/// A file is closed to writing at this size, in bytes. Small in tests, so that they see many.
const FILE_LEN: u64 = if cfg!(test) { 1 << 20 } else { 64 << 20 };
/// From this size on, in bytes, the file that is written to is given back as the others are, if most of it is dead.
const ROLL_LEN: u64 = FILE_LEN / 4;

/// Where a value lies, with a check of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pointer {
    /// Number of the file.
    pub file: u32,
    /// First byte.
    pub at: u64,
    /// Bytes.
    pub len: u32,
    check: u64,
}

/// Bytes of an encoded [`Pointer`].
pub const POINTER_LEN: usize = 24;

impl Pointer {
    /// Fixed form, big-endian.
    pub fn encode(&self) -> [u8; POINTER_LEN] {
        let mut out = [0; POINTER_LEN];
        out[..4].copy_from_slice(&self.file.to_be_bytes());
        out[4..12].copy_from_slice(&self.at.to_be_bytes());
        out[12..16].copy_from_slice(&self.len.to_be_bytes());
        out[16..].copy_from_slice(&self.check.to_be_bytes());
        out
    }

    /// Reads what `encode` wrote.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (file, rest) = bytes.split_first_chunk()?;
        let (at, rest) = rest.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let check = <[u8; 8]>::try_from(rest).ok()?;
        Some(Self {
            file: u32::from_be_bytes(*file),
            at: u64::from_be_bytes(*at),
            len: u32::from_be_bytes(*len),
            check: u64::from_be_bytes(check),
        })
    }
}

fn check(value: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(0x746f_6373, 0x696e);
    hasher.write(value);
    hasher.finish()
}

#[derive(Debug)]
struct ValueFile {
    file: Arc<File>,
    len: u64,
    /// Bytes that the database points to.
    live: u64,
    /// The keys whose values they are, with the length of each, by place, so that compaction need not look for them
    /// in the database.
    places: BTreeMap<u64, (u32, Box<[u8]>)>,
    /// Whether something was written since it was synced last.
    dirty: bool,
    /// Whether no more is written to it.
    closed: bool,
}

/// What is alive in a file that mostly is not.
#[derive(Debug)]
pub struct Waste {
    /// Number of the file.
    pub file: u32,
    /// Keys of values that are alive, some of them; none if nothing is.
    pub keys: Vec<Box<[u8]>>,
}

/// The files of one store. One thread writes, to the last one; the lock is never held over a write or a sync.
#[derive(Debug)]
pub struct Values {
    dir: PathBuf,
    files: RwLock<BTreeMap<u32, ValueFile>>,
}

impl Values {
    /// Opens the directory, or creates it. What is alive has to be counted with [`Self::count`].
    ///
    /// # Errors
    /// If the directory or a file cannot be read.
    pub fn open(dir: &Path) -> Result<Self, Fault> {
        let what = || format!("opening {}", dir.display());
        fs::create_dir_all(dir).map_err(Fault::io(what()))?;
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(dir).map_err(Fault::io(what()))? {
            let entry = entry.map_err(Fault::io(what()))?;
            let Some(number) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let file =
                OpenOptions::new().read(true).write(true).open(entry.path()).map_err(Fault::io(what()))?;
            let len = file.metadata().map_err(Fault::io(what()))?.len();
            files.insert(number, ValueFile::new(file, len));
        }
        Ok(Self { dir: dir.to_path_buf(), files: RwLock::new(files) })
    }

    fn files(&self) -> RwLockReadGuard<'_, BTreeMap<u32, ValueFile>> {
        self.files.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn files_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<u32, ValueFile>> {
        self.files.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a pointer that the database holds under `key`.
    pub fn count(&self, pointer: Pointer, key: &[u8]) {
        if let Some(file) = self.files_mut().get_mut(&pointer.file) {
            file.live += u64::from(pointer.len);
            file.places.insert(pointer.at, (pointer.len, key.into()));
        }
    }

    /// Counts a pointer that the database no longer holds.
    pub fn release(&self, pointer: Pointer) {
        if let Some(file) = self.files_mut().get_mut(&pointer.file)
            && file.places.remove(&pointer.at).is_some()
        {
            file.live -= u64::from(pointer.len);
        }
    }

    /// Appends the value of `key`. It is durable after [`Self::sync`].
    ///
    /// # Errors
    /// On a disk fault.
    pub fn append(&self, key: &[u8], value: &[u8]) -> Result<Pointer, Fault> {
        let len = u32::try_from(value.len()).map_err(|_| Fault::Damaged("value too long".into()))?;
        let last = {
            let files = self.files();
            files.last_key_value().map(|(number, last)| {
                (*number, (!last.is_full()).then(|| (Arc::clone(&last.file), last.len)))
            })
        };
        let (number, file, at) = match last {
            Some((number, Some((file, at)))) => (number, file, at),
            Some((number, None)) => self.create(number + 1)?,
            None => self.create(1)?,
        };
        let pointer = Pointer { file: number, at, len, check: check(value) };
        file.write_all_at(value, at).map_err(Fault::io("writing values"))?;
        if let Some(file) = self.files_mut().get_mut(&number) {
            file.len += u64::from(len);
            file.live += u64::from(len);
            file.places.insert(at, (len, key.into()));
            file.dirty = true;
        }
        Ok(pointer)
    }

    fn create(&self, number: u32) -> Result<(u32, Arc<File>, u64), Fault> {
        let path = self.dir.join(format!("{number:08}"));
        let what = || format!("creating {}", path.display());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .map_err(Fault::io(what()))?;
        file.sync_all().map_err(Fault::io(what()))?;
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(Fault::io(what()))?;
        let file = ValueFile::new(file, 0);
        let open = Arc::clone(&file.file);
        self.files_mut().insert(number, file);
        Ok((number, open, 0))
    }

    /// Returns when every appended value is on the disk.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn sync(&self) -> Result<(), Fault> {
        let dirty: Vec<(u32, Arc<File>)> = {
            let files = self.files();
            let dirty = files.iter().filter(|(_, file)| file.dirty);
            dirty.map(|(number, file)| (*number, Arc::clone(&file.file))).collect()
        };
        for (number, file) in dirty {
            file.sync_data().map_err(Fault::io("syncing values"))?;
            if let Some(file) = self.files_mut().get_mut(&number) {
                file.dirty = false;
            }
        }
        Ok(())
    }

    /// The open file that a pointer leads to; reading it needs no lock.
    pub fn file(&self, pointer: Pointer) -> Option<Arc<File>> {
        self.files().get(&pointer.file).map(|file| Arc::clone(&file.file))
    }

    /// Of the files of which less than half is alive the one with the least, and its live values up to `bytes` (at least
    /// one). Nothing is written to that file any more.
    pub fn waste(&self, bytes: u64) -> Option<Waste> {
        let mut files = self.files_mut();
        let last = files.last_key_value().map(|(number, _)| *number);
        let wasteful = files.iter_mut().filter(|(number, file)| {
            let closed = Some(**number) != last || file.closed || file.len >= ROLL_LEN;
            closed && file.live * 2 < file.len
        });
        let (number, file) = wasteful.min_by_key(|(_, file)| file.live)?;
        file.closed = true;
        let (mut keys, mut sum) = (Vec::new(), 0);
        for (len, key) in file.places.values() {
            if sum >= bytes {
                break;
            }
            sum += u64::from(*len);
            keys.push(key.clone());
        }
        Some(Waste { file: *number, keys })
    }

    /// Bytes in files that nothing points to, and bytes that something does.
    pub fn dead_and_live(&self) -> (u64, u64) {
        let files = self.files();
        let live = files.values().map(|file| file.live).sum();
        (files.values().map(|file| file.len).sum::<u64>().saturating_sub(live), live)
    }

    /// Deletes a file that nothing durable points to any more.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn delete(&self, number: u32) -> Result<(), Fault> {
        if self.files_mut().remove(&number).is_some() {
            let path = self.dir.join(format!("{number:08}"));
            fs::remove_file(&path).map_err(Fault::io(format!("deleting {}", path.display())))?;
        }
        Ok(())
    }

    /// Bytes of all files.
    pub fn size(&self) -> u64 {
        self.files().values().map(|file| file.len).sum()
    }
}

impl ValueFile {
    fn new(file: File, len: u64) -> Self {
        Self { file: Arc::new(file), len, live: 0, places: BTreeMap::new(), dirty: false, closed: false }
    }

    fn is_full(&self) -> bool {
        self.closed || self.len >= FILE_LEN
    }
}

/// The fault of a pointer that leads nowhere.
pub fn missing(pointer: Pointer) -> Fault {
    Fault::Damaged(format!("value file {:08} is missing", pointer.file))
}

/// Reads the value that a pointer leads to.
///
/// # Errors
/// If it cannot be read, or is not what was written.
pub fn read(file: &File, pointer: Pointer) -> Result<Bytes, Fault> {
    let mut value = vec![0; pointer.len as usize];
    match file.read_exact_at(&mut value, pointer.at) {
        Err(end) if end.kind() == std::io::ErrorKind::UnexpectedEof => {
            return Err(Fault::Damaged(format!("value file {:08} was cut short", pointer.file)));
        }
        read => read.map_err(Fault::io("reading values"))?,
    }
    if check(&value) != pointer.check {
        return Err(Fault::Damaged(format!("value at byte {} of file {:08}", pointer.at, pointer.file)));
    }
    Ok(value.into())
}
