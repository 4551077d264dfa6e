//! Comparing frontiers: equal nodes are done after one hash each way.
//!
//! ```text
//! Hello (root) --equal--> done
//!      \--unequal--> Buckets (256) --> Entries of those that differ --> wants
//! ```

use std::collections::BTreeMap;

use tocsin_record::id::{self, RecordId};
use tocsin_record::{LogId, OrgId};
use tocsin_store::{Kv, LogInfo, LogNo, SEQ_MAX, Slots, Standing, StoreError};

use crate::io::{LinkId, Output};
use crate::links::budget::cost;
use crate::mesh::Mesh;
use crate::message::frontier::ENTRIES_MAX;
use crate::message::{Buckets, DocumentList, Entries, EntryOf, Hello, LogState, Message};

/// Two nodes that have been quiet compare anew after so many ms: what a lost frame told is found then.
const AGAIN_MS: u64 = 60_000;
/// A link on which nothing else came for so long has no queue at its other end, in ms.
const QUIET_MS: u64 = 1_000;
/// And after a comparison that found a difference, after so many.
const SOON_MS: u64 = 5_000;

/// So many records at the end of a log are in the page that was written last: copies of them come all the time.
const AT_HAND: u64 = 256;

/// A log as the comparison sees it.
struct Row {
    id: LogId,
    entry: [u8; 73],
    info: LogInfo,
    height: u64,
    at: RecordId,
    state: LogState,
}

impl<K: Kv, S: Slots> Mesh<K, S> {
    /// What of a log is said: up to the record before a fork, and to the cut.
    fn row(&self, info: LogInfo) -> Option<Row> {
        if info.standing == Standing::Open && self.searches.is_stopped(info.key.author, info.key.circle) {
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
        Some(Row { id, entry, info, height, at, state })
    }

    /// Logs of the circles that an org is in or carries, in order of log id.
    fn rows(&self, org: OrgId) -> Vec<Row> {
        let mut shared: BTreeMap<_, bool> = BTreeMap::new();
        let mut rows: Vec<Row> = Vec::new();
        for info in self.reader.logs() {
            let circle = info.key.circle;
            if *shared.entry(circle).or_insert_with(|| self.shares(org, circle))
                && let Some(row) = self.row(info)
            {
                rows.push(row);
            }
        }
        rows.sort_unstable_by_key(|row| row.id);
        rows
    }

    fn hello_of(&self, rows: &[Row]) -> Hello {
        let all: Vec<u8> = rows.iter().flat_map(|row| row.entry).collect();
        Hello { logs: id::hash(id::FRONTIER, &[b"root", &all]), documents: self.directory.root() }
    }

    pub(crate) fn say_hello(&mut self, link: LinkId) {
        let Some(peer) = self.links.get(&link).and_then(|link| link.peer()) else {
            return;
        };
        let hello = self.hello_of(&self.rows(peer.org));
        let next_hello = self.now.mono + AGAIN_MS;
        if let Some(link) = self.links.get_mut(&link) {
            link.hello_due = false;
            link.next_hello = next_hello;
            link.proofs_told.clear();
            link.send(Message::Hello(hello));
        }
    }

    pub(crate) fn say_hello_again(&mut self) {
        let mono = self.now.mono;
        let due = |link: &crate::links::link::Link| {
            link.peer().is_some() && !link.behind && (link.hello_due || link.next_hello <= mono)
        };
        let due: Vec<LinkId> = self.links.iter().filter(|(_, link)| due(link)).map(|(id, _)| *id).collect();
        for id in due {
            if let Some(link) = self.links.get_mut(&id) {
                link.ask_names_again();
            }
            self.say_hello(id);
        }
    }

    pub(crate) fn heard_hello(&mut self, link: LinkId, theirs: Hello) {
        let Some(peer) = self.links.get(&link).and_then(|link| link.peer()) else {
            return;
        };
        let rows = self.rows(peer.org);
        self.did(cost::walk(rows.len()));
        let mine = self.hello_of(&rows);
        if mine.documents != theirs.documents {
            let list = self.directory.list().iter().copied().take(16_384).collect();
            self.tell(link, Message::DocumentList(DocumentList(list)));
        }
        // A busy link may have kept the Hello waiting behind other frames, while its peer went on.
        if mine.logs == theirs.logs
            && let Some(link) = self.links.get_mut(&link)
            && self.now.mono.saturating_sub(link.last_frame) >= QUIET_MS
        {
            let said = |clock: u64| clock.saturating_sub(link.rtt_ms);
            link.agreed = Some((said(self.clock.time(self.now)), said(self.now.mono)));
        }
        if mine.logs != theirs.logs {
            let buckets = buckets(&rows);
            self.tell(link, Message::Buckets(Buckets(buckets.to_vec())));
            let soon = self.now.mono + SOON_MS;
            if let Some(link) = self.links.get_mut(&link) {
                link.next_hello = link.next_hello.min(soon);
            }
        }
        self.say_holes(link);
    }

    pub(crate) fn heard_document_list(&mut self, link: LinkId, list: &DocumentList) {
        if !self.pays(cost::walk(list.0.len() + self.directory.list().len())) {
            return;
        }
        let lacking = self.directory.lacking(&list.0);
        self.send_documents(link, &lacking);
    }

    pub(crate) fn heard_buckets(&mut self, link: LinkId, theirs: &Buckets, out: &mut Output) {
        let Some(peer) = self.links.get(&link).and_then(|link| link.peer()) else {
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
            let Some(no) = self.links.get_mut(&link).map(|link| link.name(row.info.key.into())) else {
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
        let Some(peer) = self.links.get(&link).and_then(|link| link.peer()) else {
            return Ok(());
        };
        for entry in entries.0 {
            // What is over the budget is in the next comparison again.
            if !self.pays(cost::THING) {
                return Ok(());
            }
            if let Some(link) = self.links.get_mut(&link) {
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
        self.trees.spoke(log, link, self.lazy_by_default(link, log)).has = theirs.height;
        if theirs.log.author == self.node && theirs.height > height {
            self.claimed_own_records(log);
        }
        if theirs.state == LogState::Open && matches!(self.store.standing(log), Some(Standing::Forked { .. }))
        {
            self.offer_proof(link, log)?;
        }
        let to = theirs.height.min(self.takes_up_to(log));
        if to > height {
            self.catchup.ahead(log, link, to);
        }
        let overlap = theirs.height.min(height);
        let known = theirs.height <= height && overlap > self.base(log) && theirs.state == LogState::Open;
        // Not asked about now, it is with the next comparison.
        if known
            && self.pays(self.reading(log, overlap))
            && self.id_at(log, overlap)?.is_some_and(|mine| mine != theirs.id)
        {
            self.search_fork(link, log, overlap);
        }
        Ok(())
    }

    pub(crate) fn base(&self, log: LogNo) -> u64 {
        self.reader.log(log).map_or(0, |info| info.base.seq)
    }

    /// What it costs to read the record at a place: the last is at hand, and those just before it nearly so.
    pub(crate) fn reading(&self, log: LogNo, seq: u64) -> u64 {
        match self.height(log).saturating_sub(seq) {
            0 => cost::ANSWER,
            1..AT_HAND => cost::RECORD,
            _ => cost::PAGE,
        }
    }

    /// The id of a record whose header is held.
    pub(crate) fn id_at(&self, log: LogNo, seq: u64) -> Result<Option<RecordId>, StoreError> {
        if let Some(tip) = self.store.tip(log)
            && tip.seq == seq
        {
            return Ok(Some(tip.id));
        }
        Ok(self.store.entry(tocsin_store::RecordRef { log, seq })?.map(|entry| entry.id))
    }
}

fn buckets(rows: &[Row]) -> [[u8; 16]; 256] {
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
