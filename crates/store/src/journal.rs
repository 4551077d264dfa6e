//! The journal of small batches: one preallocated file that is overwritten from its start again and again.
//!
//! An entry is written over zeros or over an older generation's bytes, so that syncing it changes no metadata: one
//! write and one fdatasync make a live record durable. Entries of an older generation are void, which is how the
//! whole journal is emptied at once: the generation in force rests in the database. Every generation begins with an
//! empty entry, which the first real one overwrites, so that a journal that was cut short or is ahead of the database
//! is seen to be damaged: what it held was acknowledged.
//!
//! ```text
//! entry = generation 8 | index 8 | length 4 | check 8 | payload, padded to 8 bytes
//! ```

use std::fs::{File, OpenOptions};
use std::hash::Hasher;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use siphasher::sip::SipHasher13;

use crate::kv::Fault;

/// Bytes of the file. A full journal is what a checkpoint moves to the database, some milliseconds once in
/// thousands of records; it also is the disk that an empty store takes.
pub const JOURNAL_LEN: u64 = 4 << 20;

const HEAD: usize = 28;

/// The file, and where the next entry goes.
#[derive(Debug)]
pub struct Journal {
    file: File,
    generation: u64,
    index: u64,
    at: u64,
}

fn check(generation: u64, index: u64, payload: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(generation, index);
    hasher.write(payload);
    hasher.finish()
}

impl Journal {
    /// Opens the file, or creates it where the store is `new`. Creating writes it in full, so that later writes change no
    /// metadata.
    ///
    /// # Errors
    /// If it cannot be opened, created or synced; or is not the journal of a store that is not new.
    pub fn open(path: &Path, generation: u64, new: bool) -> Result<Self, Fault> {
        let what = || format!("opening the journal {}", path.display());
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(new)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Fault::Damaged("the journal is missing".into()),
                _ => Fault::io(what())(error),
            })?;
        let len = file.metadata().map_err(Fault::io(what()))?.len();
        if len < JOURNAL_LEN {
            if !new {
                return Err(Fault::Damaged(format!("the journal has {len} of {JOURNAL_LEN} bytes")));
            }
            let zeros = vec![0; 1 << 16];
            for at in (0..JOURNAL_LEN).step_by(zeros.len()) {
                file.write_all_at(&zeros, at).map_err(Fault::io(what()))?;
            }
            file.sync_all().map_err(Fault::io(what()))?;
        }
        let mut first = [0; 8];
        file.read_exact_at(&mut first, 0).map_err(Fault::io("reading the journal"))?;
        let first = u64::from_be_bytes(first);
        if first > generation || (first == 0 && !new) {
            return Err(Fault::Damaged(format!(
                "the journal is of generation {first}, the database of {generation}"
            )));
        }
        Ok(Self { file, generation, index: 0, at: 0 })
    }

    /// The payloads of this generation in order, up to the first that is not whole, which nobody was told of.
    ///
    /// # Errors
    /// If the file cannot be read, or a whole entry stands behind a broken one: that one was acknowledged.
    pub fn replay(&mut self, mut visit: impl FnMut(&[u8]) -> Result<(), Fault>) -> Result<(), Fault> {
        let len = usize::try_from(JOURNAL_LEN).map_err(|_| Fault::Damaged("journal length".into()))?;
        let mut all = vec![0; len];
        self.file.read_exact_at(&mut all, 0).map_err(Fault::io("reading the journal"))?;
        let mut at = 0;
        while let Some(payload) = self.entry(&all[at..], self.index) {
            visit(payload)?;
            at += padded(payload.len());
            self.index += 1;
        }
        self.at = at as u64;
        // Each entry is synced before the next is begun, so a whole one behind the end means damage, not a crash.
        let behind = (at + 8..len.saturating_sub(HEAD)).step_by(8).find(|&at| {
            let field =
                |from: usize| all[at + from..].first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            field(0) == self.generation
                && field(8) > self.index
                && field(8) - self.index < JOURNAL_LEN
                && self.entry(&all[at..], field(8)).is_some()
        });
        match behind {
            Some(found) => Err(Fault::Damaged(format!(
                "journal entry at byte {at} does not read, one at byte {found} does"
            ))),
            None => Ok(()),
        }
    }

    fn entry<'a>(&self, bytes: &'a [u8], index: u64) -> Option<&'a [u8]> {
        let (generation, rest) = bytes.split_first_chunk()?;
        let (found, rest) = rest.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (sum, rest) = rest.split_first_chunk()?;
        let payload = rest.get(..u32::from_be_bytes(*len) as usize)?;
        let ours = u64::from_be_bytes(*generation) == self.generation && u64::from_be_bytes(*found) == index;
        (ours && u64::from_be_bytes(*sum) == check(self.generation, index, payload)).then_some(payload)
    }

    /// Whether an entry of `len` bytes still fits.
    pub fn has_room(&self, len: usize) -> bool {
        self.at + padded(len) as u64 <= JOURNAL_LEN
    }

    /// Writes one entry and returns when it is on the disk.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn append(&mut self, payload: &[u8]) -> Result<(), Fault> {
        debug_assert!(self.has_room(payload.len()), "checked by the caller");
        let len = self.write(payload)?;
        self.sync()?;
        self.at += len;
        self.index += 1;
        Ok(())
    }

    /// Writes an entry at the end, and gives its length.
    fn write(&self, payload: &[u8]) -> Result<u64, Fault> {
        let mut entry = Vec::with_capacity(padded(payload.len()));
        entry.extend_from_slice(&self.generation.to_be_bytes());
        entry.extend_from_slice(&self.index.to_be_bytes());
        let len =
            u32::try_from(payload.len()).map_err(|_| Fault::Damaged("journal entry too long".into()))?;
        entry.extend_from_slice(&len.to_be_bytes());
        entry.extend_from_slice(&check(self.generation, self.index, payload).to_be_bytes());
        entry.extend_from_slice(payload);
        entry.resize(padded(payload.len()), 0);
        self.file.write_all_at(&entry, self.at).map_err(Fault::io("writing the journal"))?;
        Ok(entry.len() as u64)
    }

    /// Returns when what was written is on the disk.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn sync(&self) -> Result<(), Fault> {
        self.file.sync_data().map_err(Fault::io("syncing the journal"))
    }

    /// Starts over: entries written so far are void, since `generation` is the one in force. Needs no sync: an older
    /// journal beside a newer database is void, too.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn restart(&mut self, generation: u64) -> Result<(), Fault> {
        self.generation = generation;
        self.index = 0;
        self.at = 0;
        self.write(&[])?;
        Ok(())
    }
}

fn padded(payload: usize) -> usize {
    (HEAD + payload).next_multiple_of(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payloads(journal: &mut Journal) -> Result<Vec<Vec<u8>>, Fault> {
        let mut all = Vec::new();
        journal.replay(|payload| {
            all.push(payload.to_vec());
            Ok(())
        })?;
        Ok(all)
    }

    #[test]
    fn replays_its_generation_only_and_stops_at_a_torn_entry() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut journal = Journal::open(&path, 1, true).unwrap();
        for n in 0u8..5 {
            journal.append(&vec![n; 10 + usize::from(n)]).unwrap();
        }
        journal.restart(2).unwrap();
        journal.append(b"first").unwrap();
        journal.append(b"second").unwrap();
        let end = journal.at;
        journal.append(b"third").unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(b"T", end + HEAD as u64).unwrap();
        let mut again = Journal::open(&path, 2, false).unwrap();
        assert_eq!(payloads(&mut again).unwrap(), [b"first".to_vec(), b"second".to_vec()]);
        assert_eq!(again.at, end);
        again.append(b"fourth").unwrap();
        let mut again = Journal::open(&path, 2, false).unwrap();
        assert_eq!(payloads(&mut again).unwrap().len(), 3);
        assert!(payloads(&mut Journal::open(&path, 3, false).unwrap()).unwrap().is_empty());
    }

    #[test]
    fn a_broken_entry_before_a_whole_one_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut journal = Journal::open(&path, 7, true).unwrap();
        for n in 0u8..3 {
            journal.append(&[n; 100]).unwrap();
        }
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(b"X", padded(100) as u64 + 50).unwrap();
        let found = payloads(&mut Journal::open(&path, 7, false).unwrap());
        assert!(matches!(found, Err(Fault::Damaged(_))), "{found:?}");
    }

    #[test]
    fn a_journal_that_lost_what_it_held_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let damaged = |generation| matches!(Journal::open(&path, generation, false), Err(Fault::Damaged(_)));
        assert!(damaged(1), "missing");
        let mut journal = Journal::open(&path, 1, true).unwrap();
        journal.restart(1).unwrap();
        assert!(payloads(&mut Journal::open(&path, 1, false).unwrap()).unwrap().concat().is_empty());
        journal.append(b"acknowledged").unwrap();
        journal.restart(2).unwrap();
        assert!(damaged(1), "ahead of a database that lost its end");
        assert!(!damaged(2) && !damaged(3));
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(64).unwrap();
        assert!(damaged(2), "cut short");
        file.set_len(0).unwrap();
        file.set_len(JOURNAL_LEN).unwrap();
        assert!(damaged(2), "zeros");
    }
}
