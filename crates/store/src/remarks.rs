//! What a person said when deciding about a record by hand: one value a record, which rests encrypted like what records say, since
//! it may name an observable. It stays when the record's body goes, and goes when the decision is taken back.

use bytes::Bytes;

use crate::error::StoreError;
use crate::keys::Kind;
use crate::kv::Kv;
use crate::outcome::RecordRef;
use crate::reader::Reader;
use crate::slots::Slots;
use crate::store::Store;
use crate::vault::{self, Form};

/// Longest remark, in bytes.
pub const REMARK_MAX: usize = 16 << 10;

impl<K: Kv, S: Slots> Store<K, S> {
    /// Stages what is said about a record, in the place of what was said before.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] if it is too long; else a disk fault.
    pub fn put_remark(&mut self, place: RecordRef, said: &[u8]) -> Result<(), StoreError> {
        self.alive()?;
        if said.len() > REMARK_MAX {
            return Err(StoreError::Misuse("a remark is too long"));
        }
        let put = self.try_put_remark(place, said);
        self.watch(put)
    }

    fn try_put_remark(&mut self, place: RecordRef, said: &[u8]) -> Result<(), StoreError> {
        self.leave_remark(place)?;
        let key = self.shared.keys.at(Kind::Remark, place.log, place.seq);
        self.seal_new(key, Form::Body, &[], said)?;
        Ok(())
    }

    /// Stages that nothing is said about a record any more; with the commit nothing on the disk can bring it back.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn remove_remark(&mut self, place: RecordRef) -> Result<(), StoreError> {
        self.alive()?;
        let left = self.leave_remark(place);
        self.watch(left)
    }

    fn leave_remark(&mut self, place: RecordRef) -> Result<(), StoreError> {
        let key = self.shared.keys.at(Kind::Remark, place.log, place.seq);
        let Some(value) = self.staged_get(&key)? else { return Ok(()) };
        // One that does not read is replaced all the same: its slot is destroyed at the next start.
        if let Ok(sealed) = vault::parse(&value) {
            self.vault.leave(sealed.head.slot);
        }
        self.staged.batch.remove(key);
        self.staged.destroy = true;
        Ok(())
    }
}

impl<K: Kv, S: Slots> Reader<K, S> {
    /// What is said about a record; nothing where it does not read any more.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn remark(&self, place: RecordRef) -> Result<Option<Bytes>, StoreError> {
        let key = self.shared.keys.at(Kind::Remark, place.log, place.seq);
        let Some(value) = self.shared.kv.get(&key)? else { return Ok(None) };
        let Ok(sealed) = vault::parse(&value) else { return Ok(None) };
        Ok(vault::unseal(self.shared.slots.as_ref(), &key, &sealed)?.map(Bytes::from))
    }
}
