//! Files of a home, and files that people name: small, bounded, read as they were at one moment, written whole or not at
//! all. What decides for a node is taken from nobody else's hand, and secrets are readable by their owner only.
//!
//! Symbolic links are followed to what is looked at, as configurations and keys that a machine's management puts in place
//! are such. An access list shows in the bits of the group, and goes with them.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;

/// How often a file that changes meanwhile is read, before it is given up.
const READS: usize = 5;
/// How long a file must have stayed as it is, in milliseconds. Its time of change is that of the beginning of a write, and
/// many file systems count it in steps of up to ten: of one that was written just now it does not tell whether that is over.
const SETTLED_MS: u64 = 30;
/// Root's user id: it can read and write everything in any case.
const ROOT: u32 = 0;
/// The bit of a folder in which everybody may write, and nobody may move what is another's (`/tmp`).
const STICKY: u32 = 0o1000;
/// How a process names the descriptors that it was given, pipes of a shell (`<(...)`) among them.
const DESCRIPTORS: [&str; 3] = ["/dev/stdin", "/dev/fd/", "/proc/self/fd/"];

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
        /// The bound.
        most: u64,
    },
    /// A secret that others can read.
    #[error(
        "{path} can be read or written by others (mode {mode:03o}): chmod go-rwx {path}, and think of what is in it as \
         known"
    )]
    Open {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// What decides for the node can be written by others.
    #[error(
        "{path} can be written by others (mode {mode:03o}): look whether it says what you want, then chmod go-w {path}"
    )]
    Writable {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A home that others can enter.
    #[error(
        "the home {path} is open to others (mode {mode:03o}): chmod go-rwx {path}. If they could write to it, look whether \
         policy.cedar and config.toml say what you want"
    )]
    OpenHome {
        /// Which folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A folder above the home in which everybody may move what is there.
    #[error(
        "{folder}, in which {path} lies, can be written by everybody (mode {mode:03o}), who could put another in its place: \
         chmod o-w {folder}"
    )]
    OpenAbove {
        /// What lies in it.
        path: PathBuf,
        /// The folder.
        folder: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Somebody else's.
    #[error(
        "{path} belongs to user {owner}, and this is user {user}: run this as user {owner}, or, if it is yours to have, \
         chown -R {user} {path}"
    )]
    Foreign {
        /// Which file or folder.
        path: PathBuf,
        /// The number of the user whose it is.
        owner: u32,
        /// The number of the user that this process runs as.
        user: u32,
    },
    /// A pipe, a device, a folder.
    #[error("{path} is {kind}, where a regular file is wanted: write what it gives to a file, and name that")]
    NotRegular {
        /// Which file.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// Somebody writes it.
    #[error("{path} changed each time that it was read: wait until it is written whole")]
    Changing {
        /// Which file.
        path: PathBuf,
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

/// Who else may have had a hand in a file, or an eye on it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hands {
    /// Anyone: what is in it says itself whose it is.
    Any,
    /// Nobody else may write it.
    Own,
    /// Nobody else may read it either.
    Secret,
}

/// Reads a whole file of at most `most` bytes, as it was at one moment.
///
/// # Errors
/// [`FileError`].
pub fn read(path: &Path, most: u64) -> Result<Vec<u8>, FileError> {
    read_from(path, most, Hands::Any)
}

/// As [`read`], for text.
///
/// # Errors
/// [`FileError`].
pub fn read_text(path: &Path, most: u64) -> Result<String, FileError> {
    String::from_utf8(read(path, most)?).map_err(|_| FileError::NotText { path: path.to_owned() })
}

/// As [`read`], for what decides for a node: refuses a file that others can write.
///
/// # Errors
/// [`FileError`].
pub(crate) fn read_own(path: &Path, most: u64) -> Result<Vec<u8>, FileError> {
    read_from(path, most, Hands::Own)
}

/// As `read_own`, for text.
///
/// # Errors
/// [`FileError`].
pub fn read_own_text(path: &Path, most: u64) -> Result<String, FileError> {
    String::from_utf8(read_own(path, most)?).map_err(|_| FileError::NotText { path: path.to_owned() })
}

/// As [`read`], for a secret: refuses a file that others can read. One that root gave to this user's group alone is as well
/// kept, as secrets are that a container is given.
///
/// # Errors
/// [`FileError`].
pub fn read_secret(path: &Path, most: u64) -> Result<zeroize::Zeroizing<Vec<u8>>, FileError> {
    read_from(path, most, Hands::Secret).map(zeroize::Zeroizing::new)
}

fn read_from(path: &Path, most: u64, hands: Hands) -> Result<Vec<u8>, FileError> {
    read_while(path, most, hands, || {})
}

/// `meanwhile` is what others do between the reading of a file and the second look at it.
fn read_while(
    path: &Path,
    most: u64,
    hands: Hands,
    mut meanwhile: impl FnMut(),
) -> Result<Vec<u8>, FileError> {
    for _ in 0..READS {
        let reading = Reading::open(path, hands)?;
        let mut bytes = Vec::new();
        (&reading.file).take(most + 1).read_to_end(&mut bytes).map_err(io("read", path))?;
        let length = bytes.len() as u64;
        if length > most {
            return Err(FileError::TooLong {
                path: path.to_owned(),
                length: reading.length().max(length),
                most,
            });
        }
        meanwhile();
        if reading.is_unchanged(path)? {
            return Ok(bytes);
        }
    }
    Err(FileError::Changing { path: path.to_owned() })
}

/// A file that is being read, and how it was when that began.
pub struct Reading {
    /// Where its bytes come from.
    pub file: File,
    /// `None` of a pipe, which has no other state than what it gives.
    before: Option<Metadata>,
}

impl Reading {
    /// Opens a file that a person named, whoever wrote it, once nobody has written to it for a moment.
    ///
    /// # Errors
    /// [`FileError`]; also of a pipe, which could be read once only.
    pub fn of_named(path: &Path) -> Result<Self, FileError> {
        let reading = Self::open(path, Hands::Any)?;
        if reading.before.is_some() {
            return Ok(reading);
        }
        Err(FileError::NotRegular { path: path.to_owned(), kind: "a pipe" })
    }

    fn open(path: &Path, hands: Hands) -> Result<Self, FileError> {
        for _ in 0..READS {
            let file = open(path, OpenOptions::new().read(true))?;
            let before = file.metadata().map_err(io("read", path))?;
            check(path, &before, hands)?;
            if !before.is_file() {
                return Ok(Self { file, before: None });
            }
            let age = tocsin_clock::now_ms().checked_sub(changed_ms(&before));
            match age.map(|age| SETTLED_MS.saturating_sub(age)) {
                // One that changes in the future says nothing of when it did.
                None | Some(0) => return Ok(Self { file, before: Some(before) }),
                Some(wait) => std::thread::sleep(Duration::from_millis(wait)),
            }
        }
        Err(FileError::Changing { path: path.to_owned() })
    }

    /// How long it was, in bytes.
    fn length(&self) -> u64 {
        self.before.as_ref().map_or(0, Metadata::len)
    }

    /// Whether it is still the file under its name, as it was.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn is_unchanged(&self, path: &Path) -> Result<bool, FileError> {
        let Some(before) = &self.before else { return Ok(true) };
        let after = self.file.metadata().map_err(io("read", path))?;
        let there = fs::metadata(path).map_err(io("read", path))?;
        Ok(state(before) == state(&after) && state(&after) == state(&there))
    }
}

/// What is another after each write.
fn state(meta: &Metadata) -> [i64; 7] {
    let [device, inode, length] = [meta.dev(), meta.ino(), meta.len()].map(u64::cast_signed);
    [device, inode, length, meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()]
}

/// When its content was last written, in Unix milliseconds.
fn changed_ms(meta: &Metadata) -> u64 {
    let ms = meta.mtime().saturating_mul(1000).saturating_add(meta.mtime_nsec() / 1_000_000);
    u64::try_from(ms).unwrap_or(0)
}

/// Opens a regular file and nothing else, or the pipe that the shell gave this process. Any other pipe without a writer would
/// be waited for, and a device may act on being opened, so both are looked at before as well as after.
pub(crate) fn open(path: &Path, how: &mut OpenOptions) -> Result<File, FileError> {
    if let Ok(there) = fs::metadata(path) {
        usable(path, &there)?;
        if there.file_type().is_fifo() {
            // Its writer may take its time.
            return how.open(path).map_err(io("open", path));
        }
    }
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = how.custom_flags(flags.bits().cast_signed()).open(path).map_err(io("open", path))?;
    usable(path, &file.metadata().map_err(io("read", path))?)?;
    Ok(file)
}

fn usable(path: &Path, meta: &Metadata) -> Result<(), FileError> {
    let kind = meta.file_type();
    let kind = match () {
        () if kind.is_file() => return Ok(()),
        () if kind.is_fifo() && is_given(path) => return Ok(()),
        () if kind.is_dir() => "a folder",
        () if kind.is_fifo() => "a pipe",
        () if kind.is_socket() => "a socket",
        () => "a device",
    };
    Err(FileError::NotRegular { path: path.to_owned(), kind })
}

/// Whether a path names a descriptor of this process.
fn is_given(path: &Path) -> bool {
    path.to_str().is_some_and(|path| DESCRIPTORS.iter().any(|start| path.starts_with(start)))
}

fn check(path: &Path, meta: &Metadata, hands: Hands) -> Result<(), FileError> {
    // A pipe that this process was given is its giver's.
    if hands == Hands::Any || !meta.is_file() {
        return Ok(());
    }
    check_hands(path, user(), (meta.uid(), meta.mode() & 0o777), hands)?;
    check_above(path)
}

fn check_hands(path: &Path, user: u32, (owner, mode): (u32, u32), hands: Hands) -> Result<(), FileError> {
    if owner != user && owner != ROOT {
        return Err(FileError::Foreign { path: path.to_owned(), owner, user });
    }
    // What root owns and its group may only read was given to that group.
    let secret = if owner == ROOT && user != ROOT { 0o037 } else { 0o077 };
    match hands {
        Hands::Secret if mode & secret != 0 => Err(FileError::Open { path: path.to_owned(), mode }),
        Hands::Own if mode & 0o022 != 0 => Err(FileError::Writable { path: path.to_owned(), mode }),
        _ => Ok(()),
    }
}

/// The user that this process runs as.
fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Refuses a home that others can enter, one that is somebody else's, root's eyes being no exception, and one that
/// everybody could put another in the place of.
///
/// # Errors
/// [`FileError`].
pub(crate) fn check_home(path: &Path) -> Result<(), FileError> {
    let meta = fs::metadata(path).map_err(io("read", path))?;
    let (user, owner, mode) = (user(), meta.uid(), meta.mode() & 0o777);
    if owner != user {
        return Err(FileError::Foreign { path: path.to_owned(), owner, user });
    }
    if mode & 0o077 != 0 {
        return Err(FileError::OpenHome { path: path.to_owned(), mode });
    }
    check_above(path)
}

/// Refuses what lies in a folder in which everybody may move what is there, at any height.
fn check_above(path: &Path) -> Result<(), FileError> {
    let real = fs::canonicalize(path).map_err(io("find", path))?;
    for folder in real.ancestors().skip(1) {
        // What this user may not look at is not everybody's.
        let mode = fs::metadata(folder).map_or(0, |meta| meta.mode());
        if mode & 0o002 != 0 && mode & STICKY == 0 {
            return Err(FileError::OpenAbove {
                path: path.to_owned(),
                folder: folder.to_owned(),
                mode: mode & 0o777,
            });
        }
    }
    Ok(())
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

/// As [`write_new`], of what is written to the file piece by piece.
///
/// # Errors
/// [`FileError`], or what `fill` says; there is no file then.
pub fn write_new_by<E: From<FileError>>(
    path: &Path,
    fill: impl FnOnce(&mut File) -> Result<(), E>,
) -> Result<(), E> {
    if path.exists() {
        return Err(FileError::Exists { path: path.to_owned() }.into());
    }
    let beside = beside(path);
    let mut file = begin(&beside, 0o600).map_err(io("write", path))?;
    let filled = fill(&mut file);
    let done = filled.and_then(|()| {
        let placed = file.sync_all().and_then(|()| fs::rename(&beside, path));
        placed.map_err(io("write", path))?;
        Ok(sync_folder(path.parent().unwrap_or(Path::new("")))?)
    });
    if done.is_err() {
        // Nothing half-written stays.
        let _ = fs::remove_file(&beside);
    }
    done
}

/// Opens a secret of any length: refuses a file that others can read, as [`read_secret`] does.
///
/// # Errors
/// [`FileError`].
pub fn open_secret(path: &Path) -> Result<File, FileError> {
    Reading::open(path, Hands::Secret).map(|reading| reading.file)
}

/// Returns when the names in a folder are on the disk.
///
/// # Errors
/// The system's.
pub fn sync_folder(folder: &Path) -> Result<(), FileError> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("sync", folder))
}

/// Where a file is written before it takes its place.
fn beside(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    PathBuf::from(beside)
}

fn begin(beside: &Path, mode: u32) -> std::io::Result<File> {
    // Left by a process that was killed. What is made is new, so that it follows no link of anybody.
    if fs::symlink_metadata(beside).is_ok() {
        fs::remove_file(beside)?;
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(beside)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(file)
}

fn write_as(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    let beside = beside(path);
    let written = || -> std::io::Result<()> {
        let mut file = begin(&beside, mode)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    written().map_err(io("write", path))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Makes a folder, and those above it, that only its owner can enter. One that is there and empty is closed to others;
/// one with something in it stays as it is.
///
/// # Errors
/// [`FileError`].
pub fn make_folder(path: &Path) -> Result<(), FileError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io("make folder", path))?;
    let meta = fs::metadata(path).map_err(io("read", path))?;
    let empty = || fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    if meta.mode() & 0o077 != 0 && meta.uid() == user() && empty() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(io("close", path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
