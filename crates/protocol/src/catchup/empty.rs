//! Logs that hold nothing: a peer spoke of them, and there may be no such log. How many is bounded by org, and the numbers
//! of those that nobody speaks of any more are given to the next.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_record::{LogKey, NodeKey, OrgId, planted};
use tocsin_store::{Kv, LogNo, Slots, Standing, StoreError};

use crate::bounds::EMPTY_OF_ORG;
use crate::links::budget::cost;
use crate::mesh::Mesh;
use crate::message::LogName;

#[derive(Debug, Default)]
pub(crate) struct EmptyLogs {
    /// By whose word each is known.
    by: BTreeMap<LogNo, OrgId>,
    count: BTreeMap<OrgId, usize>,
    /// Those of which nobody speaks any more.
    free: BTreeSet<LogNo>,
    /// Those whose number was another's before: to every link they are new.
    renamed: BTreeSet<LogNo>,
}

impl EmptyLogs {
    fn has_room(&self, org: OrgId) -> bool {
        self.count.get(&org).is_none_or(|count| *count < EMPTY_OF_ORG)
    }

    fn insert(&mut self, log: LogNo, org: OrgId) {
        self.by.insert(log, org);
        *self.count.entry(org).or_default() += 1;
    }

    /// A record came.
    pub fn remove(&mut self, log: LogNo) {
        self.free.remove(&log);
        self.renamed.remove(&log);
        self.unspoken(log);
    }

    fn unspoken(&mut self, log: LogNo) {
        if let Some(org) = self.by.remove(&log)
            && let Some(count) = self.count.get_mut(&org)
        {
            *count -= 1;
            if *count == 0 {
                self.count.remove(&org);
            }
        }
    }

    /// An org has no link any more.
    pub fn left(&mut self, org: OrgId) {
        if !self.count.contains_key(&org) {
            return;
        }
        self.free.extend(self.by.iter().filter(|(_, by)| **by == org).map(|(log, _)| *log));
        self.by.retain(|_, by| *by != org);
        self.count.remove(&org);
    }

    /// How many peers speak of.
    pub fn len(&self) -> usize {
        self.by.len()
    }

    /// How many there are, with those of which nobody speaks any more.
    pub fn all(&self) -> usize {
        self.by.len() + self.free.len()
    }

    /// Whether no link can have known a log when it came up, though it knew its number.
    pub fn is_renamed(&self, log: LogNo) -> bool {
        self.renamed.contains(&log)
    }
}

impl<K: Kv, S: Slots> Mesh<K, S> {
    /// Finds the logs that hold nothing when the mesh is opened.
    pub(crate) fn find_empty(&mut self) {
        for info in self.reader.logs() {
            // What was set aside of a damaged log is kept under its number.
            let damaged = self.store.damaged().iter().any(|damaged| damaged.log == info.key);
            if info.tip.seq == 0 && !damaged {
                self.empty.free.insert(info.no);
            }
        }
    }

    /// The number of a log here, opened on a peer's word if its author may write to its circle. Such a log is empty until
    /// a signed run comes, and counts for nothing else.
    pub(crate) fn log_for(&mut self, by: NodeKey, name: LogName) -> Result<Option<LogNo>, StoreError> {
        let key = name.key(self.directory.mesh());
        if let Some(no) = self.store.log_no(&key) {
            return Ok(Some(no));
        }
        let (Some(speaker), Some(org)) = (self.directory.org_of(by), self.directory.org_of(name.author))
        else {
            return Ok(None);
        };
        let full = !self.empty.has_room(speaker) && !planted::is(planted::Bug::EmptyUnbounded);
        if full || !self.directory.is_member(org, name.circle) || !self.may_open(&key) {
            return Ok(None);
        }
        self.did(cost::LOG);
        let log = self.open_empty(&key, org)?;
        self.empty.insert(log, speaker);
        Ok(Some(log))
    }

    fn open_empty(&mut self, key: &LogKey, org: OrgId) -> Result<LogNo, StoreError> {
        while let Some(log) = self.empty.free.pop_first() {
            let Some(info) = self.reader.log(log) else { continue };
            // What this node wrote itself, or is told to have written, it remembers by number.
            let holds = self.height(log) > 0 || info.base.seq > 0 || info.standing != Standing::Open;
            if holds || info.key.author == self.node {
                continue;
            }
            self.trees.forget_log(log);
            self.catchup.forget_log(log);
            self.searches.forget_log(log);
            self.bodies.early.forget_log(log);
            for link in self.links.values_mut() {
                link.haves.remove(&log);
                link.proofs_told.remove(&log);
            }
            self.store.rename_log(log, key, org)?;
            self.empty.renamed.insert(log);
            return Ok(log);
        }
        self.store.open_log(key, org)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_org_spoke_of_is_free_when_it_is_gone() {
        let [one, other] = [1, 2].map(|seed| OrgId([seed; 32]));
        let mut empty = EmptyLogs::default();
        for no in 0..1024 {
            assert!(empty.has_room(one));
            empty.insert(LogNo(no), one);
        }
        empty.insert(LogNo(2000), other);
        assert!(!empty.has_room(one) && empty.has_room(other));
        empty.remove(LogNo(7));
        assert!(empty.has_room(one));
        empty.left(one);
        assert_eq!((empty.free.len(), empty.by.len(), empty.count.len()), (1023, 1, 1));
        empty.remove(LogNo(8));
        assert!(!empty.free.contains(&LogNo(8)), "its number is taken");
    }
}
