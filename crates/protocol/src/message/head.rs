//! Heads and receipts: signed statements of how far an author is and of who holds what.

use bincode::{Decode, Encode};
use tocsin_record::codec;
use tocsin_record::id::{self, CircleId, MeshId, NodeKey, RecordId};
use tocsin_record::keys::Signature;
use tocsin_store::Fate;

use super::LinkNo;

/// Most heads or receipts in one message.
pub const STATEMENTS_MAX: usize = 512;
/// Most pieces of records with one fate in a receipt: 128 bytes of it.
pub const FATES_MAX: usize = 32;
/// Most records of whose fate one receipt tells for the first time, and how far it reaches back beyond them, to what one
/// that was lost or overtaken on its way told.
pub(crate) const FATES_NEW: u64 = 4096;
/// As [`FATES_NEW`].
pub(crate) const FATES_AGAIN: u64 = 256;

/// A node's own newest record in a circle, by its own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Head {
    /// The sender's number for the author's newest log in the circle. A node that never wrote there names the log of
    /// epoch 0.
    pub log: LinkNo,
    /// Its last record, 0 for none.
    pub seq: u64,
    /// That record's id.
    pub id: RecordId,
    /// How often bodies became available late at that node.
    pub releases: u64,
    /// When it was said, in ms.
    pub time: u64,
    /// By the node's record key over [`head_hash`].
    pub signature: Signature,
}

/// What a node holds of one author's log in a circle, by its own word, to that author.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Receipt {
    /// The sender's number for the log.
    pub log: LinkNo,
    /// The sender's number for the epoch-0 log of the node that says it: names the node.
    pub holder: LinkNo,
    /// Last verified header held.
    pub height: u64,
    /// When that header came, or what is told of the fates came to be so, in ms by the holder's clock.
    pub time: u64,
    /// What became of records there.
    pub fates: Fates,
    /// By the holder's record key over [`receipt_hash`].
    pub signature: Signature,
}

/// What became of neighbours in a log, at one holder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Fates {
    /// How many records stand between the newest of them and the receipt's height.
    pub below: u64,
    /// How many records have which fate, newest first; at most [`FATES_MAX`] of these. Neighbours differ, none is empty.
    pub runs: Vec<(u32, Fate)>,
}

impl Fates {
    /// The newest record that is told of, under a receipt of this height. `None` if no honest node says so.
    #[must_use]
    pub fn newest(&self, height: u64) -> Option<u64> {
        let newest = height.checked_sub(self.below)?;
        let records: u64 = match self.runs.len() {
            ..=FATES_MAX => self.runs.iter().map(|(count, _)| u64::from(*count)).sum(),
            _ => return None,
        };
        let differ = self.runs.windows(2).all(|two| two[0].1 != two[1].1);
        let none_empty = self.runs.iter().all(|(count, _)| *count > 0);
        (differ && none_empty && records <= newest.min(FATES_NEW + FATES_AGAIN)).then_some(newest)
    }
}

/// What a head's signature is over.
#[must_use]
#[expect(clippy::too_many_arguments, reason = "they are the fields of one signed form")]
pub fn head_hash(
    mesh: &MeshId,
    node: &NodeKey,
    circle: &CircleId,
    epoch: u64,
    seq: u64,
    id: &RecordId,
    releases: u64,
    time: u64,
) -> [u8; 32] {
    let numbers = [epoch, seq, releases, time].map(u64::to_be_bytes).concat();
    id::hash(id::HEAD, &[&mesh.0, &node.0, &circle.0, &id.0, &numbers])
}

/// What a receipt's signature is over: holder, the log's id (so author, circle and epoch), height, time and fates.
#[must_use]
pub fn receipt_hash(
    holder: &NodeKey,
    log: &tocsin_record::LogId,
    height: u64,
    time: u64,
    fates: &Fates,
) -> [u8; 32] {
    let numbers = [height, time].map(u64::to_be_bytes).concat();
    id::hash(id::RECEIPT, &[&holder.0, &log.0, &numbers, &codec::encode(fates)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_honest_node_says_of_fates_is_none() {
        use Fate::{Accepted, Gone};
        let newest =
            |below, runs: &[(u32, Fate)], height| Fates { below, runs: runs.to_vec() }.newest(height);
        assert_eq!(newest(0, &[], 0), Some(0));
        assert_eq!(newest(2, &[(3, Accepted), (5, Gone)], 10), Some(8));
        assert_eq!(newest(2, &[(3, Accepted), (6, Gone)], 10), None, "more than there are");
        assert_eq!(newest(11, &[], 10), None);
        assert_eq!(newest(0, &[(0, Gone)], 10), None);
        assert_eq!(newest(0, &[(1, Gone), (1, Gone)], 10), None, "in its only form");
        let most = (FATES_NEW + FATES_AGAIN) as u32;
        assert_eq!(newest(0, &[(most, Gone)], u64::MAX), Some(u64::MAX));
        assert_eq!(newest(0, &[(most + 1, Gone)], u64::MAX), None);
        let pieces =
            |many: usize| [(1, Gone), (1, Accepted)].into_iter().cycle().take(many).collect::<Vec<_>>();
        assert_eq!(newest(0, &pieces(FATES_MAX), 100), Some(100));
        assert_eq!(newest(0, &pieces(FATES_MAX + 1), 100), None);
    }
}
