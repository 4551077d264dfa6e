//! Which log a peer means by a number, logs that are opened on a peer's word, and who may hear of a log.

use tocsin_record::{LogKey, NodeKey, OrgId, planted};
use tocsin_store::{Kv, LogNo, Slots, Standing, StoreError};

use crate::admission::By;
use crate::io::LinkId;
use crate::links::budget::cost;
use crate::mesh::Mesh;
use crate::message::{LinkNo, LogName};

impl<K: Kv, S: Slots> Mesh<K, S> {
    /// Finds the logs that hold nothing when the mesh is opened.
    pub(crate) fn find_empty(&mut self) {
        for info in self.admission.reader.logs() {
            // What was set aside of a damaged log is kept under its number.
            let damaged = self.admission.store().damaged().iter().any(|damaged| damaged.log == info.key);
            if info.tip.seq == 0 && !damaged {
                self.empty.found(info.no);
            }
        }
    }

    /// The number of a log here, opened on a peer's word if its author may write to its circle. Such a log is empty until
    /// a signed run comes, and counts for nothing else.
    pub(crate) fn log_for(&mut self, by: NodeKey, name: LogName) -> Result<Option<LogNo>, StoreError> {
        let key = name.key(self.directory.mesh());
        if let Some(no) = self.admission.store().log_no(&key) {
            return Ok(Some(no));
        }
        let (Some(speaker), Some(org)) = (self.directory.org_of(by), self.directory.org_of(name.author))
        else {
            return Ok(None);
        };
        let full = !self.empty.has_room(speaker) && !planted::is(planted::Bug::EmptyUnbounded);
        if full
            || self.directory.membership(name.circle).counts_up_to(org, &key) == 0
            || !self.admission.may_open(&By { directory: &self.directory, now: self.now }, &key)
        {
            return Ok(None);
        }
        self.did(cost::LOG);
        let log = self.open_empty(&key, org)?;
        self.empty.insert(log, speaker);
        Ok(Some(log))
    }

    fn open_empty(&mut self, key: &LogKey, org: OrgId) -> Result<LogNo, StoreError> {
        while let Some(log) = self.empty.take_free() {
            let Some(info) = self.admission.reader.log(log) else { continue };
            // What this node wrote itself, or is told to have written, it remembers by number.
            let holds = self.height(log) > 0 || info.base.seq > 0 || info.standing != Standing::Open;
            if holds || info.key.author == self.admission.node {
                continue;
            }
            self.trees.forget_log(log);
            self.catchup.forget_log(log);
            for (_, link) in self.links.iter_mut() {
                link.haves.remove(&log);
                link.proofs_told.remove(&log);
            }
            self.admission.open_log(key, org, Some(log))?;
            self.empty.renamed(log);
            return Ok(log);
        }
        self.admission.open_log(key, org, None)
    }

    /// The log that a peer means by a number, if it may speak of it: its circle is shared, its author a member.
    pub(crate) fn log_meant(&mut self, id: LinkId, no: LinkNo) -> Result<Option<LogNo>, StoreError> {
        let Some(link) = self.links.get_mut(id) else {
            return Ok(None);
        };
        let Some(peer) = link.peer() else { return Ok(None) };
        let Some(name) = link.meant(no) else {
            return Ok(None);
        };
        let link_node = peer.node;
        if !self.shares(peer.org, name.circle) {
            return Ok(None);
        }
        self.log_for(link_node, name)
    }

    /// The log behind this side's own number, echoed by a peer.
    pub(crate) fn log_mine(&mut self, link: LinkId, no: LinkNo) -> Option<LogNo> {
        let name = self.links.mine(link, no)?;
        self.admission.store().log_no(&name.key(self.directory.mesh()))
    }

    /// Links that are in and may hear of a log, in order.
    pub(crate) fn links_of(&self, log: LogNo) -> Vec<LinkId> {
        let Some(circle) = self.circle_of(log) else {
            return Vec::new();
        };
        let members = self.directory.membership(circle);
        let was_in = |org| {
            planted::is(planted::Bug::KeepPushing)
                && (1..=members.version()).any(|version| members.had(org, version))
        };
        let links = self.links.peers().filter(|(_, peer)| self.shares(peer.org, circle) || was_in(peer.org));
        let mut links: Vec<LinkId> = links.map(|(id, _)| id).collect();
        if planted::is(planted::Bug::IterateRandom) {
            links.sort_by_key(|id| std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), id));
        }
        links
    }
}
