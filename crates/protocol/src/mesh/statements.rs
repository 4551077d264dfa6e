//! Heads and receipts between the parts: this node's own are signed, those of others checked before they are kept and passed
//! on. What clocks they state is heard.

use std::collections::BTreeMap;

use tocsin_record::{CircleId, LogKey, NodeKey, OrgId, RecordId, keys};
use tocsin_store::{BodyState, Fate, Kv, LogNo, Outcome, RecordRef, SEQ_MAX, Slots, StoreError};

use crate::catchup::say_due_holes;
use crate::clock::{self, TOLERANCE_MS};
use crate::io::LinkId;
use crate::links::budget::cost;
use crate::mesh::Mesh;
use crate::mesh::held::around;
use crate::message::head::{FATES_AGAIN, FATES_MAX, STATEMENTS_MAX, head_hash, receipt_hash};
use crate::message::{Fates, Head, LogName, Receipt};
use crate::spread::heads::{HeadState, IDLE_MS};

/// Links by which a receipt goes on where none is known to lead to its author.
const WAYS_BACK: usize = 3;

impl<K: Kv, S: Slots> Mesh<K, S> {
    /// Circles in which this node speaks of itself.
    fn own_circles(&self) -> Vec<CircleId> {
        let org = self.admission.identity.org;
        let mesh = self.directory.mesh();
        let listed = self.directory.circles().map(|(circle, _)| circle);
        [CircleId::mesh(mesh), CircleId::own(mesh, org)]
            .into_iter()
            .chain(listed)
            .filter(|circle| self.directory.membership(*circle).has(org))
            .collect()
    }

    /// States this node's own heads, where something is new or it was quiet for long.
    pub(crate) fn say_heads(&mut self) {
        let mono = self.now.mono;
        for circle in self.own_circles() {
            let (epoch, seq, id) = self.own_head(circle);
            if !self.heads.is_to_be_said(circle, (epoch, seq), mono) {
                continue;
            }
            let releases = self.heads.releases();
            let time = self.now.wall;
            let mesh = self.directory.mesh();
            let hash = head_hash(&mesh, &self.admission.node, &circle, epoch, seq, &id, releases, time);
            let signature = self.admission.identity.secret.sign(&hash);
            let state = HeadState { epoch, seq, id, releases, time, heard: mono, spoken: 0, signature };
            self.heads.keep_own((self.admission.node, circle), state);
            self.pass_head(self.admission.node, circle, state, None);
        }
    }

    /// The committed end of this node's newest log in a circle.
    fn own_head(&self, circle: CircleId) -> (u64, u64, RecordId) {
        let info = self.admission.writer.newest(circle).and_then(|log| self.admission.reader.log(log));
        info.map_or((0, 0, RecordId::ZERO), |info| (info.key.epoch, info.tip.seq, info.tip.id))
    }

    /// Passes a head on along its log's tree; that of a node without a log goes along every link of the circle, and so does this
    /// node's own: what its clock says counts on its own links, and there by its own word alone.
    fn pass_head(&mut self, node: NodeKey, circle: CircleId, head: HeadState, from: Option<LinkId>) {
        let key = LogName { author: node, circle, epoch: head.epoch }.key(self.directory.mesh());
        let eager = self.admission.store().log_no(&key).map(|log| self.trees.eager(log)).unwrap_or_default();
        let all = node == self.admission.node || head.seq == 0 || eager.is_empty();
        for (id, peer) in self.links.peers() {
            if Some(id) == from || peer.node == node || !self.shares(peer.org, circle) {
                continue;
            }
            if all || eager.contains(&id) {
                self.heads.pass_head(id, (node, circle), head);
            }
        }
    }

    /// A link that just came in hears all heads that it may.
    pub(crate) fn tell_all_heads(&mut self, link: LinkId) {
        let Some(peer) = self.links.peer(link) else {
            return;
        };
        let directory = &self.directory;
        let may = |node, circle| {
            node != peer.node && directory.membership(circle).is_shared(self.admission.identity.org, peer.org)
        };
        self.heads.pass_all(link, may);
    }

    pub(crate) fn heard_heads(&mut self, link: LinkId, heads: Vec<Head>) -> Result<(), StoreError> {
        for head in heads.into_iter().take(STATEMENTS_MAX) {
            if !self.pays(cost::THING) {
                return Ok(());
            }
            let Some(known) = self.links.get_mut(link) else {
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
            // One from a time that has not come, which clocks that were ahead let in, is older than any of now.
            let newer = self.heads.head(node, log.circle).is_none_or(|known| {
                known.time < head.time || self.admission.clock.is_ahead(self.now, known.time)
            });
            if !newer
                || head.seq > SEQ_MAX
                || node == self.admission.node
                || self.admission.clock.is_ahead(self.now, head.time)
                || !self.shares(peer.org, log.circle)
                || !self.directory.membership(log.circle).has(org)
                || !self.heads.may_speak(node, log.circle, self.now.mono)
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
                spoken: 0,
                signature: head.signature,
            };
            let Ok(before) = self.heads.keep_head(key, org, state) else {
                continue;
            };
            if let Some(before) = before.filter(|before| before.epoch != log.epoch) {
                self.unname(LogName { epoch: before.epoch, ..log });
            }
            let grown = before.is_none_or(|before| before.releases < head.releases);
            if grown
                && peer.node == node
                && let Some(link) = self.links.get_mut(link)
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

    /// A head speaks of another log now. If nothing is held of the one before, nothing more is said of it.
    fn unname(&mut self, log: LogName) {
        let no = self.admission.store().log_no(&log.key(self.directory.mesh()));
        if no.is_none_or(|no| self.height(no) == 0) {
            for (_, link) in self.links.iter_mut() {
                link.unname(&log);
            }
        }
    }

    /// Something became of these records of a log: its author is told, soon.
    pub(crate) fn owe_receipt(&mut self, log: LogNo, first: u64, last: u64) {
        let key = self.admission.store().key(log);
        if key.is_some_and(|key| key.author != self.admission.node) {
            self.heads.owe_receipt(log, first, last, self.admission.clock.time(self.now));
        }
    }

    /// As [`Self::owe_receipt`], where what became of a record is another thing for its author than before.
    pub(crate) fn owe_fate(&mut self, place: RecordRef, before: Option<&Outcome>) {
        let now = self.admission.store().outcome(place).map(|stamped| Fate::of(&stamped.outcome));
        if now.is_some() && now != before.map(Fate::of) {
            self.owe_receipt(place.log, place.seq, place.seq);
        }
    }

    /// Bodies are gone: their authors are told of those that were taken back. When a record ends its author knows.
    pub(crate) fn owe_erased(&mut self, erased: &[RecordRef]) {
        for place in erased {
            let body = self.admission.store().outcome(*place).map(|stamped| stamped.outcome.body);
            if matches!(body, Some(BodyState::Gone(1..))) {
                self.owe_receipt(place.log, place.seq, place.seq);
            }
        }
    }

    pub(crate) fn flush_statements(&mut self) {
        self.say_receipts();
        let reader = &self.admission.reader;
        let name = |log| reader.log(log).map(|info| info.key);
        let (directory, own) = (&self.directory, self.admission.identity.org);
        let may = |org, circle| directory.membership(circle).is_shared(own, org);
        self.heads.flush(&mut self.links, directory.mesh(), name, may);
        say_due_holes(&mut around!(self));
    }

    fn say_receipts(&mut self) {
        let mono = self.now.mono;
        for log in self.heads.owed() {
            let Some(info) = self.admission.reader.log(log) else {
                continue;
            };
            if !self.heads.is_rested(log, self.directory.membership(info.key.circle).size(), mono) {
                continue;
            }
            // What is staged is not held yet: its time would be told of the header before it, and never of it.
            if self.height(log) > info.tip.seq {
                continue;
            }
            let back = self.ways_back(log, info.key.author, None);
            if back.is_empty() {
                continue;
            }
            let Some((last, first, changed)) = self.heads.owed_of(log) else {
                continue;
            };
            let height = info.tip.seq;
            let last = last.min(height);
            let again = first.saturating_sub(FATES_AGAIN).max(info.base.seq + 1);
            let runs = self.admission.store().fates(log, again, last, FATES_MAX);
            let told: u64 = runs.iter().map(|(count, _)| u64::from(*count)).sum();
            // Where nothing is there to be told, nothing is owed any more.
            let first = if told == 0 { first } else { last + 1 - told };
            self.heads.receipt_sent(log, first, last, mono);
            let time = changed.unwrap_or_else(|| self.admission.clock.time(self.now));
            let fates = Fates { below: height - last, runs };
            let hash = receipt_hash(&self.admission.node, &info.key.id(), height, time, &fates);
            let signature = self.admission.identity.secret.sign(&hash);
            let receipt = Receipt { log: 0, holder: 0, height, time, fates, signature };
            for link in back {
                self.heads.pass_receipt(link, (log, self.admission.node), receipt.clone());
            }
        }
    }

    /// By which links a receipt for a log goes on towards its author: the one that the log comes by; where none of it came
    /// since that was up, its author's own, or a few. Each node passes on what is news to it, so that none goes round.
    fn ways_back(&self, log: LogNo, author: NodeKey, from: Option<LinkId>) -> Vec<LinkId> {
        if let Some(parent) = self.trees.parent(log) {
            return Some(parent).filter(|parent| Some(*parent) != from).into_iter().collect();
        }
        let direct = self.links.peers().find(|(_, peer)| peer.node == author).map(|(id, _)| id);
        let others = || self.links_of(log).into_iter().filter(|link| Some(*link) != from);
        direct.map_or_else(|| others().take(WAYS_BACK).collect(), |link| vec![link])
    }

    /// Whether a receipt for a log has any way to go.
    pub(crate) fn has_way_back(&self, log: LogNo) -> bool {
        self.trees.parent(log).is_some() || !self.links_of(log).is_empty()
    }

    pub(crate) fn heard_receipts(&mut self, link: LinkId, receipts: Vec<Receipt>) -> Result<(), StoreError> {
        for receipt in receipts.into_iter().take(STATEMENTS_MAX) {
            if !self.pays(cost::THING) {
                return Ok(());
            }
            let Some(known) = self.links.get_mut(link) else {
                return Ok(());
            };
            let Some(peer) = known.peer() else { return Ok(()) };
            let (Some(log), Some(holder)) = (known.meant(receipt.log), known.meant(receipt.holder)) else {
                continue;
            };
            // What is charged for a look at the log would tell that there is one.
            if !self.shares(peer.org, log.circle) {
                continue;
            }
            let key = log.key(self.directory.mesh());
            self.take_receipt(Some(link), &key, holder.author, receipt)?;
        }
        Ok(())
    }

    /// A receipt of a node for a log, by a link or out of a bundle that the holder made: kept if it is news and the holder signed
    /// it.
    pub(crate) fn take_receipt(
        &mut self,
        from: Option<LinkId>,
        key: &LogKey,
        holder: NodeKey,
        receipt: Receipt,
    ) -> Result<(), StoreError> {
        let Some(log) = self.admission.store().log_no(key) else {
            return Ok(());
        };
        let Some(org) = self.directory.org_of(holder) else {
            return Ok(());
        };
        let Some(newest) = receipt.fates.newest(receipt.height) else {
            return Ok(());
        };
        let newer = self.heads.is_news((log, holder), &receipt, self.now.mono);
        let ahead = self.admission.clock.is_ahead(self.now, receipt.time);
        // It came by who holds the log, and what nobody wrote nobody holds.
        let exists = receipt.height <= self.height(log);
        if !newer
            || !exists
            || ahead
            || holder == self.admission.node
            || !self.directory.membership(key.circle).carries(org)
        {
            return Ok(());
        }
        self.did(cost::SIGNATURE);
        let Receipt { height, time, ref fates, .. } = receipt;
        let hash = receipt_hash(&holder, &key.id(), height, time, fates);
        if keys::verify(&holder.0, &hash, &receipt.signature).is_err() {
            return Ok(());
        }
        if key.author == self.admission.node {
            return self.acknowledged(log, holder, newest, &receipt);
        }
        self.heads.keep_receipt((log, holder), org, &receipt, self.now.mono);
        for back in self.ways_back(log, key.author, from) {
            self.heads.pass_receipt(back, (log, holder), receipt.clone());
        }
        Ok(())
    }

    /// A receipt for a log of this node's own: what it says is kept, and how long its newest record took.
    fn acknowledged(
        &mut self,
        log: LogNo,
        holder: NodeKey,
        newest: u64,
        receipt: &Receipt,
    ) -> Result<(), StoreError> {
        let Receipt { height, time, .. } = *receipt;
        let place = RecordRef { log, seq: height };
        // After a restart the store alone knows that it was told before.
        let is_first = self.heads.acknowledged((log, holder)) < height
            && self.admission.store().acknowledgement(place, &holder)?.is_none();
        let rows = self.admission.acknowledge(log, &holder, time, newest, &receipt.fates.runs)?;
        self.did(rows as u64 * cost::ANSWER);
        self.heads.keep_own_receipt((log, holder), receipt, self.now.mono);
        if is_first && let Some(entry) = self.admission.store().entry(place)? {
            let delay = u32::try_from(time.saturating_sub(entry.header.time)).unwrap_or(u32::MAX);
            self.heads.measured(holder, delay);
        }
        Ok(())
    }

    /// What the clocks of other orgs say now, where any was heard: one voice each, whatever number of nodes it has, so that
    /// none moves this node's verdict alone.
    pub(crate) fn clocks_of_others(&self) -> Vec<u64> {
        let mono = self.now.mono;
        let mut clocks: BTreeMap<NodeKey, u64> = BTreeMap::new();
        // A node that is linked speaks for itself.
        for (node, (time, heard)) in
            self.links.iter().filter_map(|(_, link)| Some((link.peer()?.node, link.clock?)))
        {
            let clock = time.saturating_add(mono.saturating_sub(heard));
            clocks.entry(node).and_modify(|known| *known = clock.max(*known)).or_insert(clock);
        }
        let mut told: BTreeMap<NodeKey, u64> = BTreeMap::new();
        for ((node, _), head) in self.heads.heads() {
            let quiet = mono.saturating_sub(head.heard);
            if *node != self.admission.node && quiet < 2 * IDLE_MS && !clocks.contains_key(node) {
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
