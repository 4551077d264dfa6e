//! Comparing frontiers: equal nodes are done after one hash each way.
//!
//! ```text
//! Hello (root) --equal--> done
//!      \--unequal--> Buckets (256) --> Entries of those that differ --> wants
//! ```

use tocsin_record::LogId;
use tocsin_record::id::{self, RecordId};
use tocsin_store::{LogInfo, Standing};

use crate::message::LogState;

/// A log as the comparison sees it.
#[derive(Debug)]
pub(crate) struct Row {
    pub id: LogId,
    entry: [u8; 73],
    pub info: LogInfo,
    pub height: u64,
    pub at: RecordId,
    pub state: LogState,
}

impl Row {
    /// What of a log is said: up to the record before a fork, and to the cut. `is_stopped`: nothing more is taken of its author.
    pub fn of(info: LogInfo, is_stopped: bool) -> Option<Self> {
        if info.standing == Standing::Open && is_stopped {
            // Which of its other logs' records came before the proof differs from node to node.
            return None;
        }
        let (height, at, state) = match info.standing {
            Standing::Open => (info.tip.seq, info.tip.id, LogState::Open),
            Standing::Forked { at } => (info.tip.seq.min(at - 1), RecordId::ZERO, LogState::Forked),
            Standing::Cut { at, id } => (at.min(info.tip.seq), id, LogState::Cut),
        };
        if height == 0 && state == LogState::Open {
            return None;
        }
        let id = info.key.id();
        let mut entry = [0; 73];
        entry[..32].copy_from_slice(&id.0);
        entry[32..40].copy_from_slice(&height.to_be_bytes());
        entry[40..72].copy_from_slice(&at.0);
        entry[72] = state as u8;
        Some(Self { id, entry, info, height, at, state })
    }
}

/// One hash over all rows, which are in order of their ids.
pub(crate) fn root(rows: &[Row]) -> [u8; 32] {
    let all: Vec<u8> = rows.iter().flat_map(|row| row.entry).collect();
    id::hash(id::FRONTIER, &[b"root", &all])
}

/// A hash over the rows of each of 256 buckets, by the first byte of their ids.
pub(crate) fn buckets(rows: &[Row]) -> [[u8; 16]; 256] {
    let mut parts: Vec<Vec<u8>> = vec![Vec::new(); 256];
    for row in rows {
        parts[usize::from(row.id.0[0])].extend_from_slice(&row.entry);
    }
    let half = |part: &Vec<u8>| {
        let hash = id::hash(id::FRONTIER, &[b"bucket", part]);
        let mut half = [0; 16];
        half.copy_from_slice(&hash[..16]);
        half
    };
    let mut buckets = [[0; 16]; 256];
    for (bucket, part) in buckets.iter_mut().zip(&parts) {
        *bucket = half(part);
    }
    buckets
}

#[cfg(test)]
mod tests {
    use tocsin_record::{CircleId, LogKey, MeshId, NodeKey, OrgId, Tip};
    use tocsin_store::LogNo;

    use super::*;

    fn info(author: u8, seq: u64, standing: Standing) -> LogInfo {
        let key = LogKey {
            mesh: MeshId([1; 32]),
            author: NodeKey([author; 32]),
            circle: CircleId([2; 32]),
            epoch: 3,
        };
        let tip = Tip { seq, id: RecordId([author; 32]), ..Tip::default() };
        LogInfo {
            no: LogNo(0),
            key,
            org: OrgId([4; 32]),
            tip,
            base: Tip::default(),
            standing,
            counts: Default::default(),
        }
    }

    #[test]
    fn one_row_more_changes_the_root_and_its_own_bucket_only() {
        let of = |authors: &[u8]| -> Vec<Row> {
            let mut rows: Vec<Row> = authors
                .iter()
                .filter_map(|author| Row::of(info(*author, 5, Standing::Open), false))
                .collect();
            rows.sort_unstable_by_key(|row| row.id);
            rows
        };
        let (some, more) = (of(&[1, 2, 3]), of(&[1, 2, 3, 4]));
        assert_ne!(root(&some), root(&more));
        let added = usize::from(of(&[4])[0].id.0[0]);
        let differ: Vec<usize> = (0..256).filter(|at| buckets(&some)[*at] != buckets(&more)[*at]).collect();
        assert_eq!(differ, [added]);
    }

    #[test]
    fn a_forked_log_is_told_up_to_the_fork_whatever_is_held() {
        let rows = [7, 9].map(|seq| Row::of(info(1, seq, Standing::Forked { at: 4 }), true).unwrap());
        assert_eq!(rows[0].height, 3);
        assert_eq!(rows[0].entry, rows[1].entry);
        assert!(Row::of(info(1, 0, Standing::Open), false).is_none(), "nothing is said of an empty log");
        assert!(Row::of(info(1, 7, Standing::Open), true).is_none(), "nor of another log of who is stopped");
    }
}
