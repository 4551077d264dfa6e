//! Logs as the writing side knows them: opened, renamed, begun from a base, forked, cut.

use bincode::{Decode, Encode};
use bytes::Bytes;
use tocsin_record::{CircleId, LogKey, NodeKey, OrgId, Tip, codec};

use crate::error::StoreError;
use crate::keys::Kind;
use crate::kv::Kv;
use crate::outcome::{LOGS_MAX, LogNo, SEQ_MAX};
use crate::slots::Slots;
use crate::state::{LogState, Standing};
use crate::store::Store;

/// A log as it rests in the sorted map.
#[derive(Encode, Decode)]
pub(crate) struct LogRow {
    pub author: NodeKey,
    pub circle: CircleId,
    pub epoch: u64,
    pub org: OrgId,
    pub base: Tip,
    pub standing: Standing,
}

impl<K: Kv, S: Slots> Store<K, S> {
    /// The log's number, if it is known. Sees staged logs.
    #[must_use]
    pub fn log_no(&self, key: &LogKey) -> Option<LogNo> {
        self.shared.state().by_key.get(key).copied()
    }

    /// The log's number, given now if it is new. `org` is the org that certified the author.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] when there are too many logs.
    pub fn open_log(&mut self, key: &LogKey, org: OrgId) -> Result<LogNo, StoreError> {
        self.alive()?;
        if let Some(no) = self.log_no(key) {
            return Ok(no);
        }
        let no = {
            let mut state = self.shared.state_mut();
            let no = u32::try_from(state.logs.len()).ok().filter(|&no| no < LOGS_MAX);
            let no = LogNo(no.ok_or(StoreError::Misuse("there are too many logs"))?);
            state.logs.push(LogState::new(*key, org));
            state.by_key.insert(*key, no);
            no
        };
        self.stage_log(no);
        Ok(no)
    }

    /// Gives the number of a log that holds nothing to another, so that logs which were only spoken of do not fill the store.
    /// `org` is the org that certified its author.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] if the log holds anything, or the other has a number.
    pub fn rename_log(&mut self, log: LogNo, key: &LogKey, org: OrgId) -> Result<(), StoreError> {
        self.alive()?;
        {
            let mut state = self.shared.state_mut();
            let known = state.by_key.contains_key(key);
            let named = state.log_mut(log).ok_or(StoreError::Misuse("no such log"))?;
            let (tip, base) = (named.tip.seq, named.base.seq);
            if known || tip > 0 || base > 0 || !named.pages.is_empty() || named.standing != Standing::Open {
                return Err(StoreError::Misuse("only an empty log gives its number to one that has none"));
            }
            let before = std::mem::replace(named, LogState::new(*key, org)).key;
            state.by_key.remove(&before);
            state.by_key.insert(*key, log);
        }
        self.stage_log(log);
        Ok(())
    }

    /// Begins an empty log above its first record: what is before `base` is not kept by this node.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] if the log holds anything.
    pub fn start_at(&mut self, log: LogNo, base: Tip) -> Result<(), StoreError> {
        self.alive()?;
        {
            let mut state = self.shared.state_mut();
            let state = state.log_mut(log).ok_or(StoreError::Misuse("no such log"))?;
            if !state.pages.is_empty() || base.seq >= SEQ_MAX {
                return Err(StoreError::Misuse("only an empty log can be given another base"));
            }
            state.base = base;
            state.tip = base;
        }
        self.stage_log(log);
        Ok(())
    }

    /// Says that a log is forked or cut, or open again.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] for an unknown log.
    pub(crate) fn set_standing(&mut self, log: LogNo, standing: Standing) -> Result<(), StoreError> {
        self.alive()?;
        self.shared.state_mut().log_mut(log).ok_or(StoreError::Misuse("no such log"))?.standing = standing;
        self.stage_log(log);
        Ok(())
    }

    /// Keeps the proof that a log forked, and its standing.
    ///
    /// # Errors
    /// [`StoreError::Misuse`] for an unknown log.
    pub fn put_fork_proof(&mut self, log: LogNo, at: u64, proof: Bytes) -> Result<(), StoreError> {
        self.set_standing(log, Standing::Forked { at })?;
        let key = self.shared.keys.log(Kind::Fork, log);
        self.staged.batch.put(key, proof);
        Ok(())
    }

    /// The proof that a log forked.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn fork_proof(&self, log: LogNo) -> Result<Option<Bytes>, StoreError> {
        self.staged_get(&self.shared.keys.log(Kind::Fork, log))
    }

    pub(crate) fn stage_log(&mut self, log: LogNo) {
        let row = {
            let state = self.shared.state();
            let Some(state) = state.log(log) else { return };
            LogRow {
                author: state.key.author,
                circle: state.key.circle,
                epoch: state.key.epoch,
                org: state.org,
                base: state.base,
                standing: state.standing,
            }
        };
        let key = self.shared.keys.log(Kind::Log, log);
        self.staged.batch.put(key, codec::encode(&row).into());
        self.staged.touched.insert(log);
    }

    /// The log's name.
    #[must_use]
    pub fn key(&self, log: LogNo) -> Option<LogKey> {
        self.shared.state().log(log).map(|log| log.key)
    }

    /// The log's end, staged records included.
    #[must_use]
    pub fn tip(&self, log: LogNo) -> Option<Tip> {
        self.shared.state().log(log).map(|log| log.tip)
    }

    /// Whether the log goes on, staged changes included.
    #[must_use]
    pub fn standing(&self, log: LogNo) -> Option<Standing> {
        self.shared.state().log(log).map(|log| log.standing)
    }
}
