//! Comparing what two nodes hold, and what follows from a difference.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tocsin_record::{DocHash, OrgId};
use tocsin_store::{Kv, LogInfo, LogNo, SEQ_MAX, Slots, Standing, StoreError};

use crate::admission::By;
use crate::catchup::frontier::{Row, buckets, root};
use crate::catchup::say_holes;
use crate::directory::{self, Counts};
use crate::io::{LinkId, Output};
use crate::links::budget::cost;
use crate::links::link::Link;
use crate::mesh::Mesh;
use crate::mesh::held::around;
use crate::message::frontier::ENTRIES_MAX;
use crate::message::{Buckets, DocumentList, Entries, EntryOf, Hello, LogState, Message};

/// Two nodes that have been quiet compare anew after so many ms: what a lost frame told is found then.
const AGAIN_MS: u64 = 60_000;
/// A link on which nothing else came for so long has no queue at its other end, in ms.
const QUIET_MS: u64 = 1_000;
/// Documents that are named to a peer at once; those behind come with a later comparison.
const LIST_MAX: usize = 16_384;
/// And after a comparison that found a difference, after so many.
const SOON_MS: u64 = 5_000;

impl<K: Kv, S: Slots> Mesh<K, S> {
    fn hello_of(&self, org: OrgId, rows: &[Row]) -> Hello {
        Hello { logs: root(rows), documents: directory::root_of(&self.documents_with(org)) }
    }

    /// Hashes of the documents that are compared with an org, in order.
    fn documents_with(&self, org: OrgId) -> BTreeSet<DocHash> {
        self.directory.told_to_both(self.admission.identity.org, org).map(|(_, hash)| hash).collect()
    }

    /// Logs of the circles that an org is in or carries, in order of log id. Of who was taken out, as far as it counts.
    pub(crate) fn rows(&self, org: OrgId) -> Vec<Row> {
        let mut shared: BTreeMap<_, bool> = BTreeMap::new();
        let mut rows: Vec<Row> = Vec::new();
        for info in self.admission.reader.logs() {
            let circle = info.key.circle;
            if *shared.entry(circle).or_insert_with(|| self.shares(org, circle))
                && let Some(info) = self.counted(info)
                && let Some(row) = Row::of(info, self.admission.searches.is_stopped(info.key.author, circle))
            {
                rows.push(row);
            }
        }
        rows.sort_unstable_by_key(|row| row.id);
        rows
    }

    /// A log as it counts: cut where its org was taken out of the circle; `None` if nothing of it counts.
    fn counted(&self, info: LogInfo) -> Option<LogInfo> {
        let members = self.directory.membership(info.key.circle);
        if members.has(info.org) || info.standing != Standing::Open {
            return Some(info);
        }
        match members.counts(info.org, info.key.id()) {
            Counts::All => Some(info),
            Counts::UpTo { seq, id } => Some(LogInfo { standing: Standing::Cut { at: seq, id }, ..info }),
            Counts::Nothing => None,
        }
    }

    pub(crate) fn say_hello(&mut self, link: LinkId) {
        let Some(peer) = self.links.peer(link) else {
            return;
        };
        let hello = self.hello_of(peer.org, &self.rows(peer.org));
        let next_hello = self.now.mono + AGAIN_MS;
        if let Some(link) = self.links.get_mut(link) {
            link.hello_due = false;
            link.next_hello = next_hello;
            link.proofs_told.clear();
            link.send(Message::Hello(hello));
        }
    }

    pub(crate) fn say_hello_again(&mut self) {
        let mono = self.now.mono;
        let due = |link: &Link| {
            link.peer().is_some() && !link.behind && (link.hello_due || link.next_hello <= mono)
        };
        let due: Vec<LinkId> = self.links.iter().filter(|(_, link)| due(link)).map(|(id, _)| id).collect();
        for id in due {
            if let Some(link) = self.links.get_mut(id) {
                link.ask_names_again();
            }
            self.say_hello(id);
        }
    }

    pub(crate) fn heard_hello(&mut self, link: LinkId, theirs: Hello) {
        let Some(peer) = self.links.peer(link) else {
            return;
        };
        let rows = self.rows(peer.org);
        self.did(cost::walk(rows.len()));
        let mine = self.hello_of(peer.org, &rows);
        if mine.documents != theirs.documents {
            let list = self.documents_with(peer.org).into_iter().take(LIST_MAX).collect();
            self.tell(link, Message::DocumentList(DocumentList(list)));
        }
        // A busy link may have kept the Hello waiting behind other frames, while its peer went on.
        if mine.logs == theirs.logs
            && let Some(link) = self.links.get_mut(link)
            && self.now.mono.saturating_sub(link.last_frame) >= QUIET_MS
        {
            let said = |clock: u64| clock.saturating_sub(link.rtt_ms);
            link.agreed = Some((said(self.admission.clock.time(self.now)), said(self.now.mono)));
        }
        if mine.logs != theirs.logs {
            let buckets = buckets(&rows);
            self.tell(link, Message::Buckets(Buckets(buckets.to_vec())));
            let soon = self.now.mono + SOON_MS;
            if let Some(link) = self.links.get_mut(link) {
                link.next_hello = link.next_hello.min(soon);
            }
        }
        say_holes(&mut around!(self), link);
    }

    pub(crate) fn heard_document_list(&mut self, link: LinkId, list: &DocumentList) {
        let Some(peer) = self.links.peer(link) else {
            return;
        };
        let directory = Arc::clone(&self.directory);
        let told = directory.told_to_both(self.admission.identity.org, peer.org);
        if !self.pays(cost::walk(list.0.len() + directory.list().len())) {
            return;
        }
        let theirs: BTreeSet<DocHash> = list.0.iter().copied().collect();
        let lacking = told.filter(|(_, hash)| !theirs.contains(hash)).map(|(signed, _)| signed);
        self.send_documents(link, lacking);
    }

    pub(crate) fn heard_buckets(&mut self, link: LinkId, theirs: &Buckets, out: &mut Output) {
        let Some(peer) = self.links.peer(link) else {
            return;
        };
        if theirs.0.len() != 256 {
            self.close(link, "it sent another number of buckets than 256", out);
            return;
        }
        if !self.pays(cost::ANSWER) {
            return;
        }
        let rows = self.rows(peer.org);
        self.did(cost::walk(2 * rows.len()));
        let mine = buckets(&rows);
        let differ = |row: &&Row| mine[usize::from(row.id.0[0])] != theirs.0[usize::from(row.id.0[0])];
        let mut entries = Vec::new();
        for row in rows.iter().filter(differ) {
            let Some(no) = self.links.get_mut(link).map(|link| link.name(row.info.key.into())) else {
                return;
            };
            entries.push(EntryOf {
                no,
                log: row.info.key.into(),
                base: row.info.base.seq + 1,
                height: row.height,
                id: row.at,
                state: row.state,
            });
        }
        for some in entries.chunks(ENTRIES_MAX) {
            self.tell(link, Message::Entries(Entries(some.to_vec())));
        }
    }

    pub(crate) fn heard_entries(
        &mut self,
        link: LinkId,
        entries: Entries,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        if entries.0.len() > ENTRIES_MAX {
            self.close(link, "it sent too many entries at once", out);
            return Ok(());
        }
        let Some(peer) = self.links.peer(link) else {
            return Ok(());
        };
        for entry in entries.0 {
            // What is over the budget is in the next comparison again.
            if !self.pays(cost::THING) {
                return Ok(());
            }
            if let Some(link) = self.links.get_mut(link) {
                link.named(entry.no);
            }
            if !self.shares(peer.org, entry.log.circle) {
                continue;
            }
            let Some(log) = self.log_for(peer.node, entry.log)? else {
                continue;
            };
            if entry.height <= SEQ_MAX {
                self.compare(link, log, &entry)?;
            }
        }
        Ok(())
    }

    fn compare(&mut self, link: LinkId, log: LogNo, theirs: &EntryOf) -> Result<(), StoreError> {
        let height = self.height(log);
        self.trees.spoke(log, link, self.begin(link, log)).has = theirs.height;
        if theirs.log.author == self.admission.node && theirs.height > height {
            self.admission.claimed_own_records(&By { directory: &self.directory, now: self.now }, log);
        }
        // It knows of no fork, or of one behind this one: the lowest counts.
        if let Some(Standing::Forked { at }) = self.admission.store().standing(log)
            && (theirs.state == LogState::Open || (theirs.state == LogState::Forked && theirs.height >= at))
        {
            self.offer_proof(link, log)?;
        }
        let to = theirs.height.min(self.takes_up_to(log));
        if to > height {
            self.catchup.ahead(log, link, to);
        }
        let overlap = theirs.height.min(height);
        let known =
            theirs.height <= height && overlap > self.admission.base(log) && theirs.state == LogState::Open;
        // Not asked about now, it is with the next comparison.
        if known
            && self.pays(self.reading(log, overlap))
            && self.admission.id_at(log, overlap)?.is_some_and(|mine| mine != theirs.id)
        {
            self.search_fork(link, log, overlap);
        }
        Ok(())
    }
}
