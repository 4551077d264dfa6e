//! One node a home: an advisory lock on a file that names the process which holds it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::files::{self, FileError};

/// Held while the node runs. The system releases it when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock {
    // Kept open: closing it releases the lock.
    _file: File,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another node runs on this home.
    #[error("a node runs on {home} already: process {holder}. Stop it first: kill {holder}")]
    Held {
        /// The home.
        home: PathBuf,
        /// Its process id, as it wrote it.
        holder: String,
    },
    /// The file.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Lock {
    /// Takes the lock and writes this process's id.
    ///
    /// # Errors
    /// [`LockError::Held`] with the id of the process that holds it.
    pub fn take(path: &Path) -> Result<Self, LockError> {
        let mut file = open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held {
                    home: path.parent().unwrap_or(path).to_owned(),
                    holder: read_pid(&mut file).map_or_else(|| "unknown".to_owned(), |pid| pid.to_string()),
                });
            }
            Err(TryLockError::Error(error)) => return Err(files::io("lock", path)(error).into()),
        }
        let written = file
            .set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| writeln!(file, "{}", std::process::id()))
            .and_then(|()| file.sync_data());
        written.map_err(files::io("write", path))?;
        Ok(Self { _file: file })
    }

    /// The process that holds the lock now, if one does.
    #[must_use]
    pub fn holder(path: &Path) -> Option<u32> {
        let mut file = files::open(path, OpenOptions::new().read(true)).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => read_pid(&mut file),
            _ => None,
        }
    }
}

fn open(path: &Path) -> Result<File, FileError> {
    files::open(path, OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600))
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0)).ok()?;
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert_eq!(Lock::holder(&path), None);
        let first = Lock::take(&path).unwrap();
        let Err(LockError::Held { holder, .. }) = Lock::take(&path) else {
            panic!("two held it");
        };
        assert_eq!(holder, std::process::id().to_string());
        assert_eq!(Lock::holder(&path), Some(std::process::id()));
        drop(first);
        assert_eq!(Lock::holder(&path), None);
        Lock::take(&path).unwrap();
    }
}
