//! Heads and receipts: by their own word, how far authors are and who holds what of them.
//!
//! A head spreads along its log's tree; a receipt goes hop by hop back over the link that its log comes by. Of each only
//! the newest is kept, and both leave together with what else is to be sent.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_record::keys::{self, Signature};
use tocsin_record::{CircleId, NodeKey, OrgId, RecordId};
use tocsin_store::{Kv, LogNo, RecordRef, SEQ_MAX, Slots, StoreError};

use crate::bounds::{HEADS_OF_ORG, RECEIPTS_OF_ORG};
use crate::clock::{self, TOLERANCE_MS};
use crate::io::LinkId;
use crate::links::budget::cost;
use crate::mesh::Mesh;
use crate::message::head::{STATEMENTS_MAX, head_hash, receipt_hash};
use crate::message::{Head, LogName, Message, Receipt};

/// Shortest time between two heads of one node in one circle, in ms.
const HEAD_MS: u64 = 30_000;
/// And when nothing is new.
const IDLE_MS: u64 = 300_000;
/// Shortest time between two receipts for one log, in ms, and in circles of more than [`LARGE`] orgs.
const RECEIPT_MS: u64 = 1_000;
const RECEIPT_LARGE_MS: u64 = 30_000;
const LARGE: usize = 50;
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
    signature: Signature,
}

/// What a node says it holds of a log.
#[derive(Clone, Copy, Debug)]
pub struct ReceiptState {
    /// Last header held.
    pub height: u64,
    /// When it came there, in ms.
    pub time: u64,
    signature: Signature,
}

#[derive(Debug, Default)]
pub(crate) struct Heads {
    pub heads: BTreeMap<(NodeKey, CircleId), HeadState>,
    /// How many of them are of the nodes of each org.
    heads_of: BTreeMap<OrgId, usize>,
    /// By log and holder.
    pub receipts: BTreeMap<(LogNo, NodeKey), ReceiptState>,
    /// Those for logs of other nodes than this one, by the org of their holder.
    receipts_of: BTreeMap<OrgId, BTreeSet<(LogNo, NodeKey)>>,
    /// Delay in ms of records of this node's own, by holder, newest last.
    pub delays: BTreeMap<NodeKey, Vec<u32>>,
    said: BTreeMap<CircleId, Said>,
    /// Receipts of this node's own that are due: when the newest header came.
    due: BTreeMap<LogNo, u64>,
    sent: BTreeMap<LogNo, u64>,
    /// What is passed on with the next flush.
    passing: BTreeMap<LinkId, Passing>,
}

#[derive(Debug, Default)]
struct Passing {
    heads: BTreeMap<(NodeKey, CircleId), HeadState>,
    receipts: BTreeMap<(LogNo, NodeKey), ReceiptState>,
}

#[derive(Clone, Copy, Debug)]
struct Said {
    at: u64,
    seq: u64,
    epoch: u64,
    releases: u64,
}

impl Heads {
    /// Whether the next flush has a statement to send: one that is passed on, or a receipt whose log has a way back.
    pub fn is_due(&self, mono: u64, has_parent: impl Fn(LogNo) -> bool) -> bool {
        let rested = |log: &LogNo| self.sent.get(log).is_none_or(|sent| sent + RECEIPT_MS <= mono);
        !self.passing.is_empty() || self.due.keys().any(|log| rested(log) && has_parent(*log))
    }
}

impl Heads {
    /// Keeps the newest head of a node, if its org has room for one more. Returns what it said before.
    fn keep_head(
        &mut self,
        key: (NodeKey, CircleId),
        org: OrgId,
        head: HeadState,
    ) -> Result<Option<HeadState>, Full> {
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
    fn keep_receipt(&mut self, key: (LogNo, NodeKey), org: OrgId, receipt: ReceiptState) {
        self.receipts.insert(key, receipt);
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
struct Full;

impl<K: Kv, S: Slots> Mesh<K, S> {
    /// Circles in which this node speaks of itself.
    fn own_circles(&self) -> Vec<CircleId> {
        let org = self.identity.org;
        let mesh = self.directory.mesh();
        let listed = self.directory.circles().map(|(circle, _)| circle);
        [CircleId::mesh(mesh), CircleId::own(mesh, org)]
            .into_iter()
            .chain(listed)
            .filter(|circle| self.directory.is_member(org, *circle))
            .collect()
    }

    /// States this node's own heads, where something is new or it was quiet for long.
    pub(crate) fn say_heads(&mut self) {
        let mono = self.now.mono;
        for circle in self.own_circles() {
            let (epoch, seq, id) = self.own_head(circle);
            let releases = self.bodies.releases;
            let said = self.heads.said.get(&circle).copied();
            let due = match said {
                None => true,
                Some(said) => {
                    let news = (said.seq, said.epoch, said.releases) != (seq, epoch, releases);
                    mono >= said.at + if news { HEAD_MS } else { IDLE_MS }
                }
            };
            if !due {
                continue;
            }
            self.heads.said.insert(circle, Said { at: mono, seq, epoch, releases });
            let time = self.now.wall;
            let mesh = self.directory.mesh();
            let hash = head_hash(&mesh, &self.node, &circle, epoch, seq, &id, releases, time);
            let signature = self.identity.secret.sign(&hash);
            let state = HeadState { epoch, seq, id, releases, time, heard: mono, signature };
            self.heads.heads.insert((self.node, circle), state);
            self.pass_head(self.node, circle, state, None);
        }
    }

    /// The committed end of this node's newest log in a circle.
    fn own_head(&self, circle: CircleId) -> (u64, u64, RecordId) {
        let info = self.writer.newest(circle).and_then(|log| self.reader.log(log));
        info.map_or((0, 0, RecordId::ZERO), |info| (info.key.epoch, info.tip.seq, info.tip.id))
    }

    /// Passes a head on along its log's tree; that of a node without a log goes along every link of the circle.
    fn pass_head(&mut self, node: NodeKey, circle: CircleId, head: HeadState, from: Option<LinkId>) {
        let key = LogName { author: node, circle, epoch: head.epoch }.key(self.directory.mesh());
        let eager = self.store.log_no(&key).map(|log| self.trees.eager(log)).unwrap_or_default();
        let all = head.seq == 0 || eager.is_empty();
        for (id, link) in &self.links {
            let Some(peer) = link.peer() else { continue };
            if Some(*id) == from || peer.node == node || !self.shares(peer.org, circle) {
                continue;
            }
            if all || eager.contains(id) {
                self.heads.passing.entry(*id).or_default().heads.insert((node, circle), head);
            }
        }
    }

    /// A link that just came in hears all heads that it may.
    pub(crate) fn tell_all_heads(&mut self, link: LinkId) {
        let Some(peer) = self.links.get(&link).and_then(|link| link.peer()) else {
            return;
        };
        let known: Vec<((NodeKey, CircleId), HeadState)> = self
            .heads
            .heads
            .iter()
            .filter(|((node, circle), _)| *node != peer.node && self.shares(peer.org, *circle))
            .map(|(key, head)| (*key, *head))
            .collect();
        self.heads.passing.entry(link).or_default().heads.extend(known);
    }

    pub(crate) fn heard_heads(&mut self, link: LinkId, heads: Vec<Head>) -> Result<(), StoreError> {
        for head in heads.into_iter().take(STATEMENTS_MAX) {
            if !self.pays(cost::THING) {
                return Ok(());
            }
            let Some(known) = self.links.get_mut(&link) else {
                return Ok(());
            };
            let Some(peer) = known.peer() else { return Ok(()) };
            let Some(log) = known.meant(head.log) else {
                continue;
            };
            let node = log.author;
            if node == peer.node {
                // Said by the node itself, on its own link: what its clock says, right or wrong.
                known.clock = Some((head.time, self.now.mono));
            }
            let key = (node, log.circle);
            let Some(org) = self.directory.org_of(node) else {
                continue;
            };
            let newer = self.heads.heads.get(&key).is_none_or(|known| known.time < head.time);
            if !newer
                || head.seq > SEQ_MAX
                || node == self.node
                || self.clock.is_ahead(self.now, head.time)
                || !self.shares(peer.org, log.circle)
                || !self.directory.is_member(org, log.circle)
            {
                continue;
            }
            // A true one as well: its author may sign as many as it likes.
            self.did(cost::SIGNATURE);
            let mesh = self.directory.mesh();
            let hash =
                head_hash(&mesh, &node, &log.circle, log.epoch, head.seq, &head.id, head.releases, head.time);
            if keys::verify(&node.0, &hash, &head.signature).is_err() {
                continue;
            }
            let state = HeadState {
                epoch: log.epoch,
                seq: head.seq,
                id: head.id,
                releases: head.releases,
                time: head.time,
                heard: self.now.mono,
                signature: head.signature,
            };
            let Ok(before) = self.heads.keep_head(key, org, state) else {
                continue;
            };
            let grown = before.is_none_or(|before| before.releases < head.releases);
            if grown
                && peer.node == node
                && let Some(link) = self.links.get_mut(&link)
            {
                link.holes_due = true;
            }
            self.pass_head(node, log.circle, state, Some(link));
            if head.seq > 0
                && let Some(log) = self.log_for(peer.node, log)?
                && head.seq > self.height(log)
            {
                self.expect(log, link, head.seq);
            }
        }
        Ok(())
    }

    /// New records of a log are here: its author is told, soon.
    pub(crate) fn owe_receipt(&mut self, log: LogNo) {
        self.heads.due.insert(log, self.clock.time(self.now));
    }

    pub(crate) fn flush_statements(&mut self) {
        self.say_receipts();
        let passing = std::mem::take(&mut self.heads.passing);
        let mesh = self.directory.mesh();
        for (id, passing) in passing {
            let Some(link) = self.links.get_mut(&id) else {
                continue;
            };
            let mut heads = Vec::new();
            for ((author, circle), head) in passing.heads {
                let log = link.name(LogName { author, circle, epoch: head.epoch });
                let HeadState { seq, id, releases, time, signature, .. } = head;
                heads.push(Head { log, seq, id, releases, time, signature });
            }
            let mut receipts = Vec::new();
            for ((log, holder), receipt) in passing.receipts {
                let Some(key) = self.reader.log(log).map(|info| info.key) else {
                    continue;
                };
                let log = link.name(key.into());
                let holder = link.name(LogName { author: holder, circle: CircleId::mesh(mesh), epoch: 0 });
                let ReceiptState { height, time, signature } = receipt;
                receipts.push(Receipt { log, holder, height, time, signature });
            }
            for some in heads.chunks(STATEMENTS_MAX) {
                link.send(Message::Heads(some.to_vec()));
            }
            for some in receipts.chunks(STATEMENTS_MAX) {
                link.send(Message::Receipts(some.to_vec()));
            }
        }
        self.say_due_holes();
    }

    fn say_receipts(&mut self) {
        let mono = self.now.mono;
        let due: Vec<(LogNo, u64)> = self.heads.due.iter().map(|(log, time)| (*log, *time)).collect();
        for (log, time) in due {
            let Some(info) = self.reader.log(log) else {
                continue;
            };
            let every =
                if self.directory.size(info.key.circle) > LARGE { RECEIPT_LARGE_MS } else { RECEIPT_MS };
            if self.heads.sent.get(&log).is_some_and(|sent| sent + every > mono) {
                continue;
            }
            // What is staged is not held yet: its time would be told of the header before it, and never of it.
            if self.height(log) > info.tip.seq {
                continue;
            }
            let Some(parent) = self.trees.parent(log) else {
                continue;
            };
            self.heads.due.remove(&log);
            self.heads.sent.insert(log, mono);
            let height = info.tip.seq;
            let hash = receipt_hash(&self.node, &info.key.id(), height, time);
            let signature = self.identity.secret.sign(&hash);
            let state = ReceiptState { height, time, signature };
            self.heads.passing.entry(parent).or_default().receipts.insert((log, self.node), state);
        }
    }

    pub(crate) fn heard_receipts(&mut self, link: LinkId, receipts: Vec<Receipt>) -> Result<(), StoreError> {
        for receipt in receipts.into_iter().take(STATEMENTS_MAX) {
            if !self.pays(cost::THING) {
                return Ok(());
            }
            let Some(known) = self.links.get_mut(&link) else {
                return Ok(());
            };
            let (Some(log), Some(holder)) = (known.meant(receipt.log), known.meant(receipt.holder)) else {
                continue;
            };
            let (name, holder) = (log, holder.author);
            let key = name.key(self.directory.mesh());
            let Some(log) = self.store.log_no(&key) else {
                continue;
            };
            let Some(org) = self.directory.org_of(holder) else {
                continue;
            };
            let newer =
                self.heads.receipts.get(&(log, holder)).is_none_or(|known| known.height < receipt.height);
            let ahead = self.clock.is_ahead(self.now, receipt.time);
            // It came by who holds the log, and what nobody wrote nobody holds.
            let exists = receipt.height <= self.height(log);
            if !newer || !exists || ahead || holder == self.node || !self.directory.carries(org, key.circle) {
                continue;
            }
            self.did(cost::SIGNATURE);
            let hash = receipt_hash(&holder, &key.id(), receipt.height, receipt.time);
            if keys::verify(&holder.0, &hash, &receipt.signature).is_err() {
                continue;
            }
            let state =
                ReceiptState { height: receipt.height, time: receipt.time, signature: receipt.signature };
            if key.author == self.node {
                self.heads.receipts.insert((log, holder), state);
                self.measure(log, holder, state)?;
                continue;
            }
            self.heads.keep_receipt((log, holder), org, state);
            if let Some(parent) = self.trees.parent(log)
                && parent != link
            {
                self.heads.passing.entry(parent).or_default().receipts.insert((log, holder), state);
            }
        }
        Ok(())
    }

    /// How long a record of this node's own took to a holder.
    fn measure(&mut self, log: LogNo, holder: NodeKey, receipt: ReceiptState) -> Result<(), StoreError> {
        let Some(entry) = self.store.entry(RecordRef { log, seq: receipt.height })? else {
            return Ok(());
        };
        let delay = u32::try_from(receipt.time.saturating_sub(entry.header.time)).unwrap_or(u32::MAX);
        let delays = self.heads.delays.entry(holder).or_default();
        if delays.len() >= SAMPLES {
            delays.remove(0);
        }
        delays.push(delay);
        Ok(())
    }

    /// What the clocks of other orgs say now, where any was heard: one voice each, whatever number of nodes it has, so that
    /// none moves this node's verdict alone.
    pub(crate) fn clocks_of_others(&self) -> Vec<u64> {
        let mono = self.now.mono;
        let mut clocks: BTreeMap<NodeKey, u64> = BTreeMap::new();
        // A node that is linked speaks for itself.
        for (node, (time, heard)) in
            self.links.values().filter_map(|link| Some((link.peer()?.node, link.clock?)))
        {
            let clock = time.saturating_add(mono.saturating_sub(heard));
            clocks.entry(node).and_modify(|known| *known = clock.max(*known)).or_insert(clock);
        }
        let mut told: BTreeMap<NodeKey, u64> = BTreeMap::new();
        for ((node, _), head) in &self.heads.heads {
            let quiet = mono.saturating_sub(head.heard);
            if *node != self.node && quiet < 2 * IDLE_MS && !clocks.contains_key(node) {
                let known = told.entry(*node).or_default();
                *known = head.time.saturating_add(quiet).max(*known);
            }
        }
        // Others pass on the last word of a node that is long gone.
        let possible = |time: &&u64| clock::not_beyond(self.now, **time);
        let latest = clocks.values().chain(told.values()).filter(possible).max().copied().unwrap_or(0);
        clocks.extend(told.into_iter().filter(|(_, time)| latest.abs_diff(*time) <= TOLERANCE_MS));
        let mut voices: BTreeMap<OrgId, Vec<u64>> = BTreeMap::new();
        for (node, time) in clocks {
            if let Some(org) = self.directory.org_of(node) {
                voices.entry(org).or_default().push(time);
            }
        }
        voices.into_values().filter_map(median).collect()
    }
}

fn median(mut times: Vec<u64>) -> Option<u64> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}
