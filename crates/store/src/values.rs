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
use std::sync::Arc;

use bytes::Bytes;
use siphasher::sip::SipHasher13;

use crate::kv::Fault;

/// A file is closed to writing at this size, in bytes. Small in tests, so that they see many.
const FILE_LEN: u64 = if cfg!(test) { 1 << 20 } else { 64 << 20 };

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
}

/// The files of one store. The last one is written to.
#[derive(Debug)]
pub struct Values {
    dir: PathBuf,
    files: BTreeMap<u32, ValueFile>,
    dirty: bool,
}

impl Values {
    /// Opens every file in `dir`. What is behind the last pointer of a file is from before a crash and never read.
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
            files.insert(number, ValueFile { file: Arc::new(file), len, live: 0 });
        }
        Ok(Self { dir: dir.to_path_buf(), files, dirty: false })
    }

    /// Counts a pointer that the database holds.
    pub fn count(&mut self, pointer: Pointer) {
        if let Some(file) = self.files.get_mut(&pointer.file) {
            file.live += u64::from(pointer.len);
        }
    }

    /// Counts a pointer that the database no longer holds.
    pub fn release(&mut self, pointer: Pointer) {
        if let Some(file) = self.files.get_mut(&pointer.file) {
            file.live = file.live.saturating_sub(u64::from(pointer.len));
        }
    }

    /// Appends a value. It is durable after [`Self::sync`].
    ///
    /// # Errors
    /// On a disk fault.
    pub fn append(&mut self, value: &[u8]) -> Result<Pointer, Fault> {
        let full = self.files.last_key_value().is_none_or(|(_, file)| file.len >= FILE_LEN);
        if full {
            self.sync()?;
            self.create()?;
        }
        let Some(mut last) = self.files.last_entry() else {
            return Err(Fault::Damaged("no value file".into()));
        };
        let number = *last.key();
        let file = last.get_mut();
        let pointer = Pointer {
            file: number,
            at: file.len,
            len: u32::try_from(value.len()).map_err(|_| Fault::Damaged("value too long".into()))?,
            check: check(value),
        };
        file.file.write_all_at(value, file.len).map_err(Fault::io("writing values"))?;
        file.len += u64::from(pointer.len);
        file.live += u64::from(pointer.len);
        self.dirty = true;
        Ok(pointer)
    }

    fn create(&mut self) -> Result<(), Fault> {
        let number = self.files.last_key_value().map_or(1, |(number, _)| number + 1);
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
        self.files.insert(number, ValueFile { file: Arc::new(file), len: 0, live: 0 });
        Ok(())
    }

    /// Returns when every appended value is on the disk.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn sync(&mut self) -> Result<(), Fault> {
        if self.dirty
            && let Some((_, last)) = self.files.last_key_value()
        {
            last.file.sync_data().map_err(Fault::io("syncing values"))?;
            self.dirty = false;
        }
        Ok(())
    }

    /// The open file that a pointer leads to; reading it needs no lock.
    pub fn file(&self, pointer: Pointer) -> Option<Arc<File>> {
        self.files.get(&pointer.file).map(|file| Arc::clone(&file.file))
    }

    /// Closed files of which less than half is alive, with how much that is.
    pub fn wasteful(&self) -> Vec<(u32, u64)> {
        let Some((&last, _)) = self.files.last_key_value() else {
            return Vec::new();
        };
        self.files
            .iter()
            .filter(|&(&number, file)| number != last && file.live * 2 < file.len)
            .map(|(&number, file)| (number, file.live))
            .collect()
    }

    /// Deletes a file that nothing durable points to any more.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn delete(&mut self, number: u32) -> Result<(), Fault> {
        if self.files.remove(&number).is_some() {
            let path = self.dir.join(format!("{number:08}"));
            fs::remove_file(&path).map_err(Fault::io(format!("deleting {}", path.display())))?;
        }
        Ok(())
    }

    /// Bytes of all files.
    pub fn size(&self) -> u64 {
        self.files.values().map(|file| file.len).sum()
    }
}

/// Reads the value that a pointer leads to.
///
/// # Errors
/// If it cannot be read, or is not what was written.
pub fn read(file: &File, pointer: Pointer) -> Result<Bytes, Fault> {
    let mut value = vec![0; pointer.len as usize];
    file.read_exact_at(&mut value, pointer.at).map_err(Fault::io("reading values"))?;
    if check(&value) != pointer.check {
        return Err(Fault::Damaged(format!("value at byte {} of file {:08}", pointer.at, pointer.file)));
    }
    Ok(value.into())
}
