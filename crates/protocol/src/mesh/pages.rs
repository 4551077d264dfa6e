//! Pages: those that were wanted are taken, and those that peers want are read and sent.

use std::collections::VecDeque;
use std::sync::Arc;

use tocsin_record::{Entry, Verified};
use tocsin_store::{Kv, LogNo, RecordRef, Slots, StoreError, WireRun};

use crate::admission::By;
use crate::io::{Hand, LinkId, Output};
use crate::links::budget::cost;
use crate::links::link::Peer;
use crate::mesh::Mesh;
use crate::mesh::held::around;
use crate::message::want::{PAGE_WIRE_MAX, RANGES_MAX};
use crate::message::{Message, Page, Range, Want};
use crate::spread::tree::Begin;

impl<K: Kv, S: Slots> Mesh<K, S> {
    pub(crate) fn heard_page(
        &mut self,
        link: LinkId,
        page: Page,
        run: Option<Verified>,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let Some(peer) = self.links.peer(link) else {
            return Ok(());
        };
        // Reading a page costs more than sending one: what brings nothing is paid for, whoever asked for it.
        let weight = run.as_ref().map_or(0, |run| run.body_bytes() + 256 * run.entries().len());
        if !self.take_page(link, peer, page, run, out)? && weight > 0 {
            self.did(cost::SIGNATURE + cost::decoded(weight, 0));
        }
        Ok(())
    }

    /// Takes a page that was asked for. True if its log is longer for it.
    fn take_page(
        &mut self,
        link: LinkId,
        peer: Peer,
        page: Page,
        run: Option<Verified>,
        out: &mut Output,
    ) -> Result<bool, StoreError> {
        if !self.catchup.is_asked(link, page.want) {
            return Ok(false);
        }
        if let Some(taken) = self.catchup.took(link, page.packed.len()) {
            self.tell(link, Message::Credit(taken));
        }
        if !self.shares(peer.org, page.log.circle) {
            return Ok(false);
        }
        let Some(log) = self.log_for(peer.node, page.log)? else {
            return Ok(false);
        };
        let mut gained = false;
        if let Some(run) = run {
            let since = self.links.budgets.free();
            let before = self.height(log);
            self.take_verified(Hand::Link(link), log, run, Some(&page.packed), out)?;
            let height = self.height(log);
            gained = height > before;
            if gained {
                self.trees.has(log, link, Begin::Lazy, height);
                self.catchup.gained(&around!(self), link, log, page.packed.len());
                self.take_orphans(log, out)?;
                self.links.budgets.paid_again(since);
            }
        }
        if page.last {
            self.catchup.ended(&around!(self), link, log);
        }
        Ok(gained)
    }

    pub(crate) fn heard_want(&mut self, link: LinkId, want: Want) -> Result<(), StoreError> {
        let mut ranges = VecDeque::new();
        for range in want.ranges.into_iter().take(RANGES_MAX) {
            if let Some(log) = self.log_meant(link, range.log)? {
                ranges.push_back((log, range));
            }
        }
        self.catchup.heard_want(link, want.id, ranges, want.credit);
        Ok(())
    }

    /// Goes on with what peers want as pages, with each commit: on an account of its own, which what they say does not use up.
    pub(crate) fn serve_all(&mut self) -> Result<(), StoreError> {
        for link in self.catchup.served() {
            let Some(peer) = self.links.peer(link) else { continue };
            let has_left = self.links.budgets.open_pages(link, peer, self.now.mono);
            let done = if has_left { self.serve(link) } else { Ok(()) };
            self.links.budgets.close();
            done?;
        }
        Ok(())
    }

    /// Sends pages as far as credit goes, and as there is room and effort left; a slow peer's outbox empties first.
    fn serve(&mut self, link: LinkId) -> Result<(), StoreError> {
        while let Some(due) = self.catchup.next_served(link) {
            let slow = self.links.get(link).is_none_or(|link| link.behind);
            if slow || !self.pays(cost::ANSWER) {
                return Ok(());
            }
            let Some((log, range)) = due.range else {
                self.catchup.all_served(link);
                return Ok(());
            };
            let (sent, last) = self.serve_range(link, due.want, log, range, due.credit)?;
            self.catchup.served_some(link, sent, last);
        }
        Ok(())
    }

    /// Sends some of a range. Returns the bytes sent and the last record, `None` if the range has ended here.
    fn serve_range(
        &mut self,
        link: LinkId,
        want: u32,
        log: LogNo,
        range: Range,
        credit: u32,
    ) -> Result<(u32, Option<u64>), StoreError> {
        let Some(key) = self.admission.reader.log(log).map(|info| info.key) else {
            return Ok((0, None));
        };
        let most = (credit as usize).min(PAGE_WIRE_MAX);
        let runs = self.runs_for(link, log, range.from, range.bodies, most)?;
        let height = self.admission.reader.log(log).map_or(0, |info| info.tip.seq);
        let mut sent = 0;
        let mut reached = None;
        for run in runs {
            let records = usize::try_from(run.last.saturating_sub(run.first)).unwrap_or(usize::MAX);
            self.did(cost::walk(records / 8));
            let last = run.last >= range.to || run.last >= height;
            let len = u32::try_from(run.packed.len()).unwrap_or(u32::MAX);
            sent += len;
            reached = Some(run.last);
            self.tell_bulk(
                link,
                Message::Page(Page { want, log: key.into(), last, packed: run.packed.to_vec() }),
            );
            if last {
                return Ok((sent, None));
            }
        }
        if reached.is_none() {
            self.tell_bulk(
                link,
                Message::Page(Page { want, log: key.into(), last: true, packed: Vec::new() }),
            );
        }
        // Something is always charged, so that empty ranges cannot be asked for without end.
        Ok((sent.max(64), reached))
    }

    /// Committed runs as a peer may have them.
    pub(crate) fn runs_for(
        &mut self,
        link: LinkId,
        log: LogNo,
        from: u64,
        bodies: bool,
        max_bytes: usize,
    ) -> Result<Vec<WireRun>, StoreError> {
        let Some(peer) = self.links.peer(link) else {
            return Ok(Vec::new());
        };
        let from = from.max(self.admission.base(log) + 1);
        let reader = self.admission.reader.clone();
        if !bodies {
            return reader.runs(log, from, max_bytes, &mut tocsin_store::Bodies::None);
        }
        let directory = Arc::clone(&self.directory);
        let by = By { directory: &directory, now: self.now };
        let Some(way) = self.admission.way(&by, log, peer.org) else {
            return Ok(Vec::new());
        };
        let mut allowed = |place: RecordRef, entry: &Entry| self.admission.may_send(&by, &way, place, entry);
        reader.runs(log, from, max_bytes, &mut tocsin_store::Bodies::Where(&mut allowed))
    }
}
