//! Logs that hold nothing: a peer spoke of them, and there may be no such log. How many is bounded by org, and the numbers
//! of those that nobody speaks of any more are given to the next.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_record::OrgId;
use tocsin_store::LogNo;

use crate::bounds::EMPTY_OF_ORG;

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
    /// Whether one more may be known by the word of an org.
    pub fn has_room(&self, org: OrgId) -> bool {
        self.count.get(&org).is_none_or(|count| *count < EMPTY_OF_ORG)
    }

    /// A log was opened by the word of an org.
    pub fn insert(&mut self, log: LogNo, org: OrgId) {
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

    /// A log was found that holds nothing, and nobody speaks of it.
    pub fn found(&mut self, log: LogNo) {
        self.free.insert(log);
    }

    /// Takes out the first number that may be given to another log.
    pub fn take_free(&mut self) -> Option<LogNo> {
        self.free.pop_first()
    }

    /// A number was given to another log.
    pub fn renamed(&mut self, log: LogNo) {
        self.renamed.insert(log);
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
