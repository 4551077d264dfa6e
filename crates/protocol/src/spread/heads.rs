//! Heads and receipts: by their own word, how far authors are and who holds what of them.
//!
//! A head spreads along its log's tree; a receipt goes hop by hop back over the link that its log comes by. Of each only
//! the newest is kept, and both leave together with what else is to be sent. What receipts say of own records their author
//! keeps in its store.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_record::keys::Signature;
use tocsin_record::{CircleId, LogKey, MeshId, NodeKey, OrgId, RecordId};
use tocsin_store::LogNo;

use crate::bounds::{HEADS_OF_ORG, RECEIPTS_OF_ORG};
use crate::io::LinkId;
use crate::links::Links;
use crate::message::head::STATEMENTS_MAX;
use crate::message::{Head, LogName, Message, Receipt};
use crate::spread::owed::Owed;

/// Shortest time between two heads of one node in one circle, in ms.
const HEAD_MS: u64 = 30_000;
/// And when nothing is new.
pub(crate) const IDLE_MS: u64 = 300_000;
/// Heads of one node in one circle that are taken at once, beyond one for each of these spans: it may start again, and what it
/// said comes by several ways.
const HEADS_AT_ONCE: u64 = 4;
/// Shortest time between two receipts for one log, in ms, and in circles of more than [`LARGE`] orgs.
const RECEIPT_MS: u64 = 1_000;
const RECEIPT_LARGE_MS: u64 = 30_000;
const LARGE: usize = 50;
/// As [`HEADS_AT_ONCE`], of receipts of one node for one log, each [`RECEIPT_MS`].
const RECEIPTS_AT_ONCE: u64 = 8;
/// Delays kept for each partner, for percentiles.
const SAMPLES: usize = 4096;

/// A node's newest word on its own log.
#[derive(Clone, Copy, Debug)]
pub struct HeadState {
    /// Its newest log's epoch, 0 if it never wrote here.
    pub epoch: u64,
    /// Its last record.
    pub seq: u64,
    /// That record's id.
    pub id: RecordId,
    /// How often bodies became available late there.
    pub releases: u64,
    /// When it said so, in ms.
    pub time: u64,
    /// When it was heard, by the monotonic clock.
    pub heard: u64,
    /// Up to when its node has spoken for, by the monotonic clock: [`HEAD_MS`] a head.
    pub(crate) spoken: u64,
    pub(crate) signature: Signature,
}

/// What a node says it holds of a log.
#[derive(Clone, Copy, Debug)]
pub struct ReceiptState {
    /// Last header held.
    pub height: u64,
    /// When it came there, in ms.
    pub time: u64,
    /// When what became of records there was last told otherwise, in ms; not before `time`.
    pub(crate) changed: u64,
    /// Up to when its node has spoken for, by the monotonic clock: [`RECEIPT_MS`] a receipt.
    pub(crate) spoken: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Heads {
    heads: BTreeMap<(NodeKey, CircleId), HeadState>,
    /// How many of them are of the nodes of each org.
    heads_of: BTreeMap<OrgId, usize>,
    /// By log and holder.
    receipts: BTreeMap<(LogNo, NodeKey), ReceiptState>,
    /// Those for logs of other nodes than this one, by the org of their holder.
    receipts_of: BTreeMap<OrgId, BTreeSet<(LogNo, NodeKey)>>,
    /// Delay in ms of records of this node's own, by holder, newest last.
    delays: BTreeMap<NodeKey, Vec<u32>>,
    /// How often bodies became available late at this node.
    releases: u64,
    said: BTreeMap<CircleId, Said>,
    /// Receipts of this node's own that are due, and of which records they are to tell.
    due: BTreeMap<LogNo, Owed>,
    sent: BTreeMap<LogNo, u64>,
    /// What is passed on with the next flush.
    passing: BTreeMap<LinkId, Passing>,
}

#[derive(Debug, Default)]
struct Passing {
    heads: BTreeMap<(NodeKey, CircleId), HeadState>,
    /// With numbers that are given when they are sent.
    receipts: BTreeMap<(LogNo, NodeKey), Receipt>,
}

/// What this node said of itself last in a circle.
#[derive(Clone, Copy, Debug)]
struct Said {
    /// By the monotonic clock.
    at: u64,
    /// Epoch, number, releases.
    what: (u64, u64, u64),
}

impl Heads {
    /// Whether the next flush has a statement to send: one that is passed on, or a receipt whose log has a way back.
    pub fn is_due(&self, mono: u64, has_way: impl Fn(LogNo) -> bool) -> bool {
        let rested = |log: &LogNo| self.sent.get(log).is_none_or(|sent| sent + RECEIPT_MS <= mono);
        !self.passing.is_empty() || self.due.keys().any(|log| rested(log) && has_way(*log))
    }
}

impl Heads {
    /// The newest head of a node in a circle.
    pub fn head(&self, node: NodeKey, circle: CircleId) -> Option<&HeadState> {
        self.heads.get(&(node, circle))
    }

    /// All, by node and circle.
    pub fn heads(&self) -> impl ExactSizeIterator<Item = (&(NodeKey, CircleId), &HeadState)> {
        self.heads.iter()
    }

    /// Those of one node, by circle.
    pub fn heads_of(&self, node: NodeKey) -> impl Iterator<Item = (CircleId, &HeadState)> {
        let of_node = (node, CircleId([0; 32]))..=(node, CircleId([255; 32]));
        self.heads.range(of_node).map(|((_, circle), head)| (*circle, head))
    }

    /// The newest receipts for a log, by holder.
    pub fn receipts(&self, log: LogNo) -> impl Iterator<Item = (NodeKey, &ReceiptState)> {
        let of_log = (log, NodeKey([0; 32]))..=(log, NodeKey([255; 32]));
        self.receipts.range(of_log).map(|((_, holder), receipt)| (*holder, receipt))
    }

    /// How many receipts there are of all logs.
    pub fn receipts_len(&self) -> usize {
        self.receipts.len()
    }

    /// How long records of this node took to a holder, in ms, newest last.
    pub fn delays(&self, holder: NodeKey) -> &[u32] {
        self.delays.get(&holder).map_or(&[], Vec::as_slice)
    }

    /// A record of this node took so long to a holder.
    pub fn measured(&mut self, holder: NodeKey, delay_ms: u32) {
        let delays = self.delays.entry(holder).or_default();
        if delays.len() >= SAMPLES {
            delays.remove(0);
        }
        delays.push(delay_ms);
    }

    /// A body became available late at this node.
    pub fn released(&mut self) {
        self.releases += 1;
    }

    /// How often that was.
    pub fn releases(&self) -> u64 {
        self.releases
    }

    /// Whether this node should state its head in a circle now, by its epoch and number: something is new, or it was quiet
    /// for long. If so it counts as said.
    pub fn is_to_be_said(&mut self, circle: CircleId, (epoch, seq): (u64, u64), mono: u64) -> bool {
        let what = (epoch, seq, self.releases);
        let due = self.said.get(&circle).is_none_or(|said| {
            let wait = if said.what == what { IDLE_MS } else { HEAD_MS };
            mono >= said.at + wait
        });
        if due {
            self.said.insert(circle, Said { at: mono, what });
        }
        due
    }

    /// Keeps a head of this node's own.
    pub fn keep_own(&mut self, key: (NodeKey, CircleId), head: HeadState) {
        self.heads.insert(key, head);
    }

    /// A head goes to a link with the next flush.
    pub fn pass_head(&mut self, link: LinkId, key: (NodeKey, CircleId), head: HeadState) {
        self.passing.entry(link).or_default().heads.insert(key, head);
    }

    /// All heads go to a link that `may` hear them, with the next flush.
    pub fn pass_all(&mut self, link: LinkId, may: impl Fn(NodeKey, CircleId) -> bool) {
        let known = self.heads.iter().filter(|((node, circle), _)| may(*node, *circle));
        let known = known.map(|(key, head)| (*key, *head));
        self.passing.entry(link).or_default().heads.extend(known);
    }

    /// A receipt goes to a link with the next flush.
    pub fn pass_receipt(&mut self, link: LinkId, key: (LogNo, NodeKey), receipt: Receipt) {
        self.passing.entry(link).or_default().receipts.insert(key, receipt);
    }

    /// Something became of records of a log, at a time in ms: its author is told, soon.
    pub fn owe_receipt(&mut self, log: LogNo, first: u64, last: u64, time: u64) {
        self.due.entry(log).or_default().add(first, last, time);
    }

    /// Logs for which a receipt is owed.
    pub fn owed(&self) -> Vec<LogNo> {
        self.due.keys().copied().collect()
    }

    /// Of which records the next receipt for a log is to tell, newest and oldest, and since when that is so, in ms, where
    /// something changed since the last.
    pub fn owed_of(&self, log: LogNo) -> Option<(u64, u64, Option<u64>)> {
        self.due.get(&log).and_then(Owed::next)
    }

    /// Whether a receipt for a log of a circle of so many orgs was sent just now.
    pub fn is_rested(&self, log: LogNo, orgs: usize, mono: u64) -> bool {
        let every = if orgs > LARGE { RECEIPT_LARGE_MS } else { RECEIPT_MS };
        self.sent.get(&log).is_none_or(|sent| sent + every <= mono)
    }

    /// A receipt that was owed for a log is sent, and tells of these records.
    pub fn receipt_sent(&mut self, log: LogNo, first: u64, last: u64, mono: u64) {
        if let Some(owed) = self.due.get_mut(&log)
            && owed.told(first, last)
        {
            self.due.remove(&log);
        }
        self.sent.insert(log, mono);
    }

    /// Sends what is passed on. `name` is that of a log as it is committed, and `may` says of which circles an org may hear: it
    /// may have been taken out of one since, and who holds a log there is no business of its author then.
    pub fn flush(
        &mut self,
        links: &mut Links,
        mesh: MeshId,
        name: impl Fn(LogNo) -> Option<LogKey>,
        may: impl Fn(OrgId, CircleId) -> bool,
    ) {
        for (id, passing) in std::mem::take(&mut self.passing) {
            let Some(link) = links.get_mut(id) else { continue };
            let Some(org) = link.peer().map(|peer| peer.org) else { continue };
            let mut heads = Vec::new();
            for ((author, circle), head) in
                passing.heads.into_iter().filter(|((_, circle), _)| may(org, *circle))
            {
                let log = link.name(LogName { author, circle, epoch: head.epoch });
                let HeadState { seq, id, releases, time, signature, .. } = head;
                heads.push(Head { log, seq, id, releases, time, signature });
            }
            let mut receipts = Vec::new();
            for ((log, holder), receipt) in passing.receipts {
                let Some(key) = name(log).filter(|key| may(org, key.circle)) else {
                    continue;
                };
                let log = link.name(key.into());
                let holder = link.name(LogName { author: holder, circle: CircleId::mesh(mesh), epoch: 0 });
                receipts.push(Receipt { log, holder, ..receipt });
            }
            for some in heads.chunks(STATEMENTS_MAX) {
                link.send(Message::Heads(some.to_vec()));
            }
            for some in receipts.chunks(STATEMENTS_MAX) {
                link.send(Message::Receipts(some.to_vec()));
            }
        }
    }

    /// Keeps a receipt for a log of this node's own.
    pub fn keep_own_receipt(&mut self, key: (LogNo, NodeKey), receipt: &Receipt, mono: u64) {
        let known = self.receipts.get(&key);
        let spoken = known.map_or(0, |known| known.spoken).max(mono) + RECEIPT_MS;
        let Receipt { height, time: changed, .. } = *receipt;
        let same = known.filter(|known| known.height == height);
        let time = same.map_or(changed, |known| known.time);
        self.receipts.insert(key, ReceiptState { height, time, changed, spoken });
    }

    /// Whether a receipt says more than what is known, of further records or at a later time, and its node may be heard once
    /// more: it may sign one for each record of a log, and partners would pay each other for them.
    pub fn is_news(&self, key: (LogNo, NodeKey), receipt: &Receipt, mono: u64) -> bool {
        let more = |known: &ReceiptState| {
            let is_later = (known.height, known.changed) < (receipt.height, receipt.time);
            is_later && known.spoken < mono + RECEIPTS_AT_ONCE * RECEIPT_MS
        };
        self.receipts.get(&key).is_none_or(more)
    }

    /// How much of a log a node had by its receipts.
    pub fn acknowledged(&self, key: (LogNo, NodeKey)) -> u64 {
        self.receipts.get(&key).map_or(0, |known| known.height)
    }

    /// Whether a node may be heard in a circle once more. Who signs heads without end is neither kept nor passed on: partners
    /// would pay each other for what it says.
    pub fn may_speak(&self, node: NodeKey, circle: CircleId, mono: u64) -> bool {
        let known = self.head(node, circle);
        known.is_none_or(|known| known.spoken < mono + HEADS_AT_ONCE * HEAD_MS)
    }

    /// Keeps the newest head of a node, if its org has room for one more. Returns what it said before.
    pub fn keep_head(
        &mut self,
        key: (NodeKey, CircleId),
        org: OrgId,
        mut head: HeadState,
    ) -> Result<Option<HeadState>, Full> {
        let spoken = self.heads.get(&key).map_or(0, |known| known.spoken);
        head.spoken = spoken.max(head.heard) + HEAD_MS;
        if let Some(known) = self.heads.get_mut(&key) {
            return Ok(Some(std::mem::replace(known, head)));
        }
        let count = self.heads_of.entry(org).or_default();
        if *count >= HEADS_OF_ORG {
            return Err(Full);
        }
        *count += 1;
        self.heads.insert(key, head);
        Ok(None)
    }

    /// Keeps a receipt for a log of another node: the one for the log that was known first gives way.
    pub fn keep_receipt(&mut self, key: (LogNo, NodeKey), org: OrgId, receipt: &Receipt, mono: u64) {
        self.keep_own_receipt(key, receipt, mono);
        let of_org = self.receipts_of.entry(org).or_default();
        of_org.insert(key);
        while of_org.len() > RECEIPTS_OF_ORG {
            if let Some(first) = of_org.pop_first() {
                self.receipts.remove(&first);
            }
        }
    }

    /// Keeps what nodes said that are still in the mesh.
    pub fn retain(&mut self, org_of: impl Fn(&NodeKey) -> Option<OrgId>) {
        let is_in = |node: &NodeKey| org_of(node).is_some();
        let gone = |(_, holder): &(LogNo, NodeKey)| !is_in(holder);
        self.heads.retain(|(node, _), _| is_in(node));
        self.heads_of.clear();
        for org in self.heads.keys().filter_map(|(node, _)| org_of(node)) {
            *self.heads_of.entry(org).or_default() += 1;
        }
        self.receipts.retain(|key, _| !gone(key));
        self.delays.retain(|node, _| is_in(node));
        for of_org in self.receipts_of.values_mut() {
            of_org.retain(|key| !gone(key));
        }
        self.receipts_of.retain(|_, of_org| !of_org.is_empty());
    }
}

/// An org has as many heads here as it may.
#[derive(Debug)]
pub(crate) struct Full;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::links::testing::{links, told};

    const CIRCLE: CircleId = CircleId([2; 32]);

    fn head(seq: u64) -> HeadState {
        let (id, signature) = (RecordId::ZERO, Signature([0; 64]));
        HeadState { epoch: 1, seq, id, releases: 0, time: 5, heard: 5, spoken: 0, signature }
    }

    #[test]
    fn a_head_is_said_when_it_is_new_and_not_too_often() {
        let mut heads = Heads::default();
        assert!(heads.is_to_be_said(CIRCLE, (1, 1), 0));
        assert!(!heads.is_to_be_said(CIRCLE, (1, 2), HEAD_MS - 1));
        assert!(heads.is_to_be_said(CIRCLE, (1, 2), HEAD_MS));
        assert!(!heads.is_to_be_said(CIRCLE, (1, 2), 2 * HEAD_MS));
        heads.released();
        assert!(heads.is_to_be_said(CIRCLE, (1, 2), 2 * HEAD_MS), "that a body came late is new");
        assert!(
            heads.is_to_be_said(CIRCLE, (1, 2), 2 * HEAD_MS + IDLE_MS),
            "and in the end it is said again"
        );
    }

    #[test]
    fn of_what_waits_for_a_link_only_the_newest_is_sent() {
        let (mut heads, mut links) = (Heads::default(), links(1));
        let key = (NodeKey([9; 32]), CIRCLE);
        heads.pass_head(1, key, head(1));
        heads.pass_head(1, key, head(2));
        heads.flush(&mut links, MeshId([1; 32]), |_| None, |_, _| true);
        let said = told(&mut links, 1);
        let [Message::Heads(said)] = &said[..] else { panic!("{said:?}") };
        assert_eq!(said.iter().map(|head| head.seq).collect::<Vec<_>>(), [2]);
        heads.flush(&mut links, MeshId([1; 32]), |_| None, |_, _| true);
        assert!(told(&mut links, 1).is_empty());
    }

    #[test]
    fn an_org_has_room_for_so_many_heads_and_gets_it_back() {
        let mut heads = Heads::default();
        let org = OrgId([3; 32]);
        let node = |no: usize| {
            let mut node = [0; 32];
            node[..8].copy_from_slice(&no.to_be_bytes());
            (NodeKey(node), CIRCLE)
        };
        for no in 0..HEADS_OF_ORG {
            assert!(heads.keep_head(node(no), org, head(1)).is_ok());
        }
        assert!(heads.keep_head(node(HEADS_OF_ORG), org, head(1)).is_err());
        assert_eq!(
            heads.keep_head(node(0), org, head(7)).unwrap().unwrap().seq,
            1,
            "a newer one takes no room"
        );
        heads.retain(|known| (*known != node(0).0).then_some(org));
        assert!(heads.keep_head(node(HEADS_OF_ORG), org, head(1)).is_ok());
    }
}
