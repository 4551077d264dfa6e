//! Logs that were opened on a peer's word and hold no record yet: so many of each peer, counted as they come and go, for a
//! peer may mention thousands of others in one frame.

use std::collections::BTreeMap;

use tocsin_record::NodeKey;
use tocsin_store::LogNo;

/// Which they are, and who talked of them.
#[derive(Debug, Default)]
pub(crate) struct EmptyLogs {
    by: BTreeMap<LogNo, NodeKey>,
    of: BTreeMap<NodeKey, usize>,
}

impl EmptyLogs {
    /// A log was opened on a peer's word.
    pub fn insert(&mut self, log: LogNo, by: NodeKey) {
        self.remove(log);
        self.by.insert(log, by);
        *self.of.entry(by).or_default() += 1;
    }

    /// Records came.
    pub fn remove(&mut self, log: LogNo) {
        let Some(by) = self.by.remove(&log) else { return };
        if let Some(count) = self.of.get_mut(&by) {
            *count -= 1;
            if *count == 0 {
                self.of.remove(&by);
            }
        }
    }

    /// Of how many a peer talked.
    pub fn of(&self, peer: &NodeKey) -> usize {
        self.of.get(peer).copied().unwrap_or_default()
    }

    /// Of how many all did.
    pub fn len(&self) -> usize {
        self.by.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counts_for_who_talked_of_it() {
        let [one, other] = [1, 2].map(|seed| NodeKey([seed; 32]));
        let mut empty = EmptyLogs::default();
        (0..5).for_each(|no| empty.insert(LogNo(no), one));
        empty.insert(LogNo(4), other);
        assert_eq!((empty.of(&one), empty.of(&other), empty.len()), (4, 1, 5));
        (0..9).for_each(|no| empty.remove(LogNo(no)));
        assert_eq!((empty.of(&one), empty.of(&other), empty.len()), (0, 0, 0));
        assert!(empty.of.is_empty());
    }
}
