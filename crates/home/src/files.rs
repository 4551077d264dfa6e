//! Files of a home: small, bounded, written whole or not at all, secrets readable by their owner only.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A file of the home could not be used. Each says which, and what mends it.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refused.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// Read, write, ...
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Larger than such a file can be.
    #[error("{path} has {length} bytes, at most {most} are read")]
    TooLong {
        /// Which file.
        path: PathBuf,
        /// Its length.
        length: u64,
        /// The most that is read, in bytes.
        most: u64,
    },
    /// A secret that others can read.
    #[error(
        "{path} can be read by others (mode {mode:03o}): chmod 600 {path}, and think of the key as known"
    )]
    Open {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is there and must not be replaced.
    #[error("{path} exists already: move it away first, nothing was changed")]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// Not text.
    #[error("{path} is not UTF-8 text")]
    NotText {
        /// Which file.
        path: PathBuf,
    },
}

/// The system's refusal to do `what` with a file, as an error that names it.
pub fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Io { what, path, source }
}

/// Reads a whole file of at most `most` bytes.
///
/// # Errors
/// [`FileError`].
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>, FileError> {
    let file = File::open(path).map_err(io("read", path))?;
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(io("read", path))?;
    if bytes.len() as u64 > most {
        return Err(FileError::TooLong {
            path: path.to_owned(),
            length: fs::metadata(path).map_or(bytes.len() as u64, |meta| meta.len()),
            most,
        });
    }
    Ok(bytes)
}

/// As [`read`], for text.
///
/// # Errors
/// [`FileError`].
pub fn read_text(path: &Path, most: u64) -> Result<String, FileError> {
    String::from_utf8(read(path, most)?).map_err(|_| FileError::NotText { path: path.to_owned() })
}

/// As [`read`], for a secret: refuses a file that others can read.
///
/// # Errors
/// [`FileError`].
pub fn read_secret(path: &Path, most: u64) -> Result<zeroize::Zeroizing<Vec<u8>>, FileError> {
    let mode = fs::metadata(path).map_err(io("read", path))?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(FileError::Open { path: path.to_owned(), mode });
    }
    read(path, most).map(zeroize::Zeroizing::new)
}

/// Writes a file whole: beside it, synced, then renamed over it. Mode 0600.
///
/// # Errors
/// [`FileError`]; the file is then as it was.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write_as(path, bytes, 0o600)
}

/// As [`write()`], for what anyone may read.
///
/// # Errors
/// [`FileError`].
pub fn write_public(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write_as(path, bytes, 0o644)
}

/// As [`write()`], for what must not replace anything.
///
/// # Errors
/// [`FileError::Exists`] if something is there.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    if path.exists() {
        return Err(FileError::Exists { path: path.to_owned() });
    }
    write(path, bytes)
}

fn write_as(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let written = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        path.parent().map_or(Ok(()), |folder| {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            File::open(folder)?.sync_all()
        })
    };
    written().map_err(io("write", path))
}

/// Makes a folder, and those above it, that only its owner can enter. One that is there stays as it is.
///
/// # Errors
/// [`FileError`].
pub fn make_folder(path: &Path) -> Result<(), FileError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io("make folder", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_whole_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(read(&path, 3).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(matches!(read(&path, 2), Err(FileError::TooLong { length: 3, .. })));
        assert!(matches!(write_new(&path, b""), Err(FileError::Exists { .. })));
        assert_eq!(read_secret(&path, 3).unwrap().as_slice(), b"two");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(read_secret(&path, 3), Err(FileError::Open { mode: 0o640, .. })));
    }
}
