//! The real key file: 32-byte slots in one file, readable by its owner only.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use crate::kv::Fault;
use crate::slots::{SLOT_LEN, Slots};

/// Slots in a file of their own.
#[derive(Debug)]
pub struct KeyFile {
    file: File,
}

impl KeyFile {
    /// Opens the file, or creates it with mode 0600 and syncs its directory.
    ///
    /// # Errors
    /// If it cannot be opened, created or synced.
    pub fn open(path: &Path) -> Result<Self, Fault> {
        let what = || format!("opening the key file {}", path.display());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(Fault::io(what()))?;
        file.sync_all().map_err(Fault::io(what()))?;
        if let Some(parent) = path.parent() {
            File::open(parent).and_then(|dir| dir.sync_all()).map_err(Fault::io(what()))?;
        }
        Ok(Self { file })
    }
}

impl KeyFile {
    /// All slots, one behind the other.
    ///
    /// # Errors
    /// On a disk fault.
    pub(crate) fn read_all(&self) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let mut all = Zeroizing::new(vec![0; self.count()? as usize * SLOT_LEN]);
        self.file.read_exact_at(&mut all, 0).map_err(Fault::io("reading the key file"))?;
        Ok(all)
    }
}

impl Slots for KeyFile {
    fn read(&self, n: u32) -> Result<Zeroizing<[u8; SLOT_LEN]>, Fault> {
        let mut slot = Zeroizing::new([0; SLOT_LEN]);
        let mut filled = 0;
        while filled < SLOT_LEN {
            let at = u64::from(n) * SLOT_LEN as u64 + filled as u64;
            match self.file.read_at(&mut slot[filled..], at) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Fault::io("reading the key file")(e)),
            }
        }
        Ok(slot)
    }

    fn overwrite(&self, n: u32, bytes: &[u8; SLOT_LEN]) -> Result<(), Fault> {
        self.file
            .write_all_at(bytes, u64::from(n) * SLOT_LEN as u64)
            .map_err(Fault::io("writing the key file"))
    }

    fn sync(&self) -> Result<(), Fault> {
        self.file.sync_data().map_err(Fault::io("syncing the key file"))
    }

    fn count(&self) -> Result<u32, Fault> {
        let len = self.file.metadata().map_err(Fault::io("reading the key file"))?.len();
        u32::try_from(len / SLOT_LEN as u64)
            .map_err(|_| Fault::Damaged("the key file is longer than any store needs".into()))
    }
}
