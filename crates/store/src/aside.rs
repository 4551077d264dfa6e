//! What is damaged is set aside, not destroyed: a whole store, or what stands in one log from the damaged page on. It may be
//! the only copy.
//!
//! ```text
//! store.damaged/            a whole store, or
//! store.damaged/pages-N-M   of log N from record M on: (length of the key 2, key, length of the value 4, value) ...
//! store.damaged/keys-N-M    the slot key of each of these, 32 bytes, in the same order
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use tocsin_record::{LogKey, OrgId};

use crate::error::StoreError;
use crate::keyfile::KeyFile;
use crate::kv::Fault;
use crate::outcome::LogNo;
use crate::slots::{SLOT_LEN, Slots};

/// What the names of key files begin with: these are overwritten before anything is removed.
const KEYS: &str = "keys";

/// A log that was damaged. What stood in it from there on was set aside, and comes back from the peers that have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedLog {
    /// Its name.
    pub log: LogKey,
    /// The org of its author.
    pub org: OrgId,
    /// The first record that is no longer here.
    pub from: u64,
    /// What was found.
    pub what: String,
}

/// Takes what is removed from a damaged log: its key, what was sealed under it, and the slot key.
pub(crate) type Keep<'a> = &'a mut dyn FnMut(&[u8], &[u8], &[u8; SLOT_LEN]) -> Result<(), Fault>;

/// The files of one damaged log.
#[derive(Debug)]
pub(crate) struct LogAside {
    pages: BufWriter<File>,
    keys: BufWriter<File>,
    dir: PathBuf,
}

impl LogAside {
    /// Begins them beside the store in `dir`. What an earlier try left is overwritten.
    pub fn create(dir: &Path, log: LogNo, from: u64) -> Result<Self, Fault> {
        let aside = aside_path(dir);
        let what = || format!("setting what is damaged aside in {}", aside.display());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&aside).map_err(Fault::io(what()))?;
        let create = |name: String| {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            options.open(aside.join(name)).map(BufWriter::new).map_err(Fault::io(what()))
        };
        Ok(Self {
            pages: create(format!("pages-{}-{from}", log.0))?,
            keys: create(format!("{KEYS}-{}-{from}", log.0))?,
            dir: aside.clone(),
        })
    }

    pub fn keep(&mut self, key: &[u8], value: &[u8], slot: &[u8; SLOT_LEN]) -> Result<(), Fault> {
        // Keys and values are bounded where they are written, far below these widths.
        let lengths = ((key.len() as u16).to_be_bytes(), (value.len() as u32).to_be_bytes());
        let parts: [&[u8]; 4] = [&lengths.0, key, &lengths.1, value];
        let mut written = parts.into_iter().try_for_each(|part| self.pages.write_all(part));
        if written.is_ok() {
            written = self.keys.write_all(slot);
        }
        written.map_err(Fault::io(format!("writing in {}", self.dir.display())))
    }

    /// Returns when all of it is on the disk, names included.
    pub fn finish(self) -> Result<(), Fault> {
        let Self { pages, keys, dir } = self;
        for file in [pages, keys] {
            let file = file.into_inner().map_err(|error| error.into_error());
            let synced = file.and_then(|file| file.sync_all());
            synced.map_err(Fault::io(format!("writing in {}", dir.display())))?;
        }
        let synced = File::open(&dir).and_then(|dir| dir.sync_all());
        synced.map_err(Fault::io(format!("syncing {}", dir.display())))?;
        sync_parent(&dir)
    }
}

/// Renames a damaged store to `NAME.damaged`, destroying an older one of that name. Returns the new path, for the
/// message to the operator. The caller destroys it with [`destroy_aside`] when the node has refilled.
///
/// # Errors
/// If it cannot be renamed.
pub fn set_aside(dir: &Path) -> Result<PathBuf, StoreError> {
    let aside = aside_path(dir);
    destroy_aside(dir)?;
    fs::rename(dir, &aside).map_err(Fault::io(format!("renaming {}", dir.display())))?;
    sync_parent(dir)?;
    Ok(aside)
}

/// The store that was set aside and is still there, if one is.
#[must_use]
pub fn aside(dir: &Path) -> Option<PathBuf> {
    Some(aside_path(dir)).filter(|path| path.exists())
}

/// Destroys what was set aside: its keys first, so that what remains of its pages on the disk cannot be read.
/// Returns false if there was nothing.
///
/// # Errors
/// If it cannot be overwritten or removed.
pub fn destroy_aside(dir: &Path) -> Result<bool, StoreError> {
    let aside = aside_path(dir);
    if !aside.exists() {
        return Ok(false);
    }
    for entry in fs::read_dir(&aside).map_err(Fault::io(format!("reading {}", aside.display())))? {
        let entry = entry.map_err(Fault::io(format!("reading {}", aside.display())))?;
        if entry.file_name().to_string_lossy().starts_with(KEYS) {
            let slots = KeyFile::open(&entry.path())?;
            for n in 0..slots.count()? {
                slots.overwrite(n, &[0; 32])?;
            }
            slots.sync()?;
        }
    }
    fs::remove_dir_all(&aside).map_err(Fault::io(format!("removing {}", aside.display())))?;
    sync_parent(dir)?;
    Ok(true)
}

fn aside_path(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_os_string();
    name.push(".damaged");
    dir.with_file_name(name)
}

fn sync_parent(dir: &Path) -> Result<(), Fault> {
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(parent)
        .and_then(|dir| dir.sync_all())
        .map_err(Fault::io(format!("syncing {}", parent.display())))
}
