//! Live spreading between the parts: what is pushed and announced to this node is placed and admitted, and what was admitted
//! is offered to peers, each body as the policy lets it.

use std::collections::BTreeSet;
use std::sync::Arc;

use rand_chacha::rand_core::Rng as _;
use tocsin_policy::BodyView;
use tocsin_record::body::BodyRef;
use tocsin_record::{Entry, OrgId, Part, Run, Verified, page};
use tocsin_store::{BodyState, Kv, LogNo, RecordRef, SEQ_MAX, Slots, StoreError};

use crate::admission::By;
use crate::admission::admit::Decided;
use crate::admission::judge::body_ref_view;
use crate::io::{Hand, LinkId, Output};
use crate::links::budget::cost;
use crate::mesh::Mesh;
use crate::mesh::held::around;
use crate::message::body::REFS_MAX;
use crate::message::tree::HAVES_MAX;
use crate::message::{Have, Message, Push, RecordAt};
use crate::spread::push::{PUSH_MAX, begin, push, too_many};
use crate::spread::tree::Begin;

/// An answer to a graft, not compressed, ends behind so many bytes, but holds one run at least.
const REPLY_MAX: usize = 1 << 20;

impl<K: Kv, S: Slots> Mesh<K, S> {
    /// How a link begins for a log.
    pub(crate) fn begin(&self, link: LinkId, log: LogNo) -> Begin {
        begin(&self.links, link, log, self.empty.is_renamed(log))
    }

    /// A record is said to exist: if no push brings it in time, it is asked for.
    pub(crate) fn expect(&mut self, log: LogNo, link: LinkId, to: u64) {
        if !self.trees.expect(&around!(self), log, link, to) {
            self.catchup.ahead(log, link, to.min(self.takes_up_to(log)));
        }
    }

    /// A run was admitted.
    pub(crate) fn arrived(&mut self, log: LogNo, from: Hand) {
        self.empty.remove(log);
        self.trees.arrived(log, from.link(), self.height(log));
    }

    /// Hands an admitted run on: pushed along the tree, announced to a few others. `from` is the link it came by.
    pub(crate) fn offer(&mut self, log: LogNo, run: &Run, decided: &[Decided<'_>], from: Option<LinkId>) {
        let mut links = self.links_of(log);
        links.retain(|link| Some(*link) != from);
        let (is_renamed, random) = (self.empty.is_renamed(log), &mut self.random);
        let eager = self.trees.offer(&mut around!(self), &links, (log, run, is_renamed), |below| {
            random.next_u64() % below.max(1)
        });
        if !eager.is_empty() {
            self.push(&eager, log, run, decided);
        }
    }

    /// Pushes a run: bodies are read once, policy is asked for each (record, link), and links that may have the same
    /// bodies get the same page.
    fn push(&mut self, links: &[LinkId], log: LogNo, run: &Run, decided: &[Decided<'_>]) {
        let views: Vec<Option<(&BodyRef<'_>, BodyView<'_>)>> =
            decided.iter().map(|one| one.read.as_ref().map(|body| (body, body_ref_view(body)))).collect();
        let mut carried = Vec::with_capacity(decided.len());
        for entry in run.entries() {
            carried.push(self.admission.is_carried(RecordRef { log, seq: entry.header.seq }));
        }
        let directory = Arc::clone(&self.directory);
        let by = By { directory: &directory, now: self.now };
        let mut links_allowed = Vec::with_capacity(links.len());
        for &link in links {
            let Some(peer) = self.links.peer(link) else {
                continue;
            };
            let Some(way) = self.admission.way(&by, log, peer.org) else {
                continue;
            };
            let mut allowed = Vec::with_capacity(carried.len());
            for ((entry, carried), view) in run.entries().iter().zip(&carried).zip(&views) {
                allowed.push(
                    *carried && self.admission.forward_with(&by, &way, &entry.header, view.as_ref()).allow,
                );
            }
            links_allowed.push((link, allowed));
        }
        let state = |entry: &Entry| {
            let stamped = self.admission.store().outcome(RecordRef { log, seq: entry.header.seq });
            stamped.map_or(BodyState::NotHeld, |stamped| stamped.outcome.body)
        };
        let states: Vec<BodyState> = run.entries().iter().map(state).collect();
        push(&mut around!(self), log, run, &states, links_allowed);
    }

    /// Announcements leave together, with the flush.
    pub(crate) fn flush_haves(&mut self) {
        let links: Vec<(LinkId, OrgId)> = self.links.peers().map(|(id, peer)| (id, peer.org)).collect();
        for (id, org) in links {
            let mut haves = Vec::new();
            for (log, have) in self.trees.take_haves(&mut self.links, id) {
                let except = self.except(log, have.from, have.to, org);
                let Some(no) = self.number(id, log) else { continue };
                haves.push(Have {
                    log: no,
                    from: have.from,
                    more: u32::try_from(have.to - have.from).unwrap_or(u32::MAX),
                    age: u32::try_from(self.now.mono - have.admitted).unwrap_or(u32::MAX),
                    except,
                });
            }
            for some in haves.chunks(HAVES_MAX) {
                self.tell(id, Message::Have(some.to_vec()));
            }
        }
    }

    /// Records of a range whose bodies a peer will not get from here, counted from `from`; at most 256, and of a long
    /// range none: its bodies are asked for one by one anyway.
    fn except(&mut self, log: LogNo, from: u64, to: u64, org: OrgId) -> Vec<u32> {
        let mut except = Vec::new();
        if to - from >= 256 {
            return except;
        }
        let directory = Arc::clone(&self.directory);
        let by = By { directory: &directory, now: self.now };
        let way = self.admission.way(&by, log, org);
        for seq in from..=to {
            let place = RecordRef { log, seq };
            let here = self
                .admission
                .store()
                .outcome(place)
                .is_some_and(|stamped| stamped.outcome.body == BodyState::Here);
            let allowed = here
                && way.as_ref().is_some_and(|way| {
                    let entry = self.admission.store().entry(place).ok().flatten();
                    entry.is_some_and(|entry| self.admission.may_send(&by, way, place, &entry))
                });
            if !allowed && let Ok(offset) = u32::try_from(seq - from) {
                except.push(offset);
            }
        }
        except
    }

    /// A peer showed headers without the bodies of these, in order. It is told of those that are here, if it was not yet: only
    /// a few links hear of each record, and not every way that leads to it may bring the body.
    fn lacks(&mut self, link: LinkId, log: LogNo, lacking: &[u64]) -> Result<(), StoreError> {
        let (Some(last), Some(peer)) = (lacking.last(), self.links.peer(link)) else {
            return Ok(());
        };
        let told = self.trees.lacks(log, link, self.begin(link, log), *last);
        let directory = Arc::clone(&self.directory);
        let by = By { directory: &directory, now: self.now };
        let Some(way) = self.admission.way(&by, log, peer.org) else {
            return Ok(());
        };
        let mut have = Vec::new();
        for seq in lacking.iter().copied().filter(|seq| *seq > told) {
            let place = RecordRef { log, seq };
            if !self.admission.is_carried(place) {
                continue;
            }
            // The rest it asks for itself, when it comes back.
            if have.len() >= REFS_MAX || !self.pays(cost::RECORD) {
                break;
            }
            if let Some(entry) = self.admission.store().entry(place)?
                && self.admission.may_send(&by, &way, place, &entry)
                && let Some(log) = self.number(link, log)
            {
                have.push(RecordAt { log, seq });
            }
        }
        if !have.is_empty() {
            self.tell(link, Message::HaveBodies(have));
        }
        Ok(())
    }

    pub(crate) fn heard_push(
        &mut self,
        link: LinkId,
        push: &Push,
        run: Option<Verified>,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let bytes = push.page.len();
        let Some(run) = run else {
            // Without a name there is no run, and it is asked for.
            self.log_meant(link, push.log)?;
            self.did(cost::decoded(bytes, 0));
            return Ok(());
        };
        let price = cost::SIGNATURE + cost::decoded(bytes, run.entries().len());
        let Some(log) = self.log_meant(link, push.log)? else {
            // It was read and verified, and has no place here.
            self.did(price);
            return Ok(());
        };
        let since = self.links.budgets.free();
        let (first, last) = (run.first_seq(), run.tip().seq);
        let begin = self.begin(link, log);
        self.trees.has(log, link, begin, last);
        let lacking = run.entries().iter().filter(|entry| entry.body == Part::NotHeld);
        let lacking: Vec<u64> = lacking.map(|entry| entry.header.seq).collect();
        self.lacks(link, log, &lacking)?;
        let height = self.height(log);
        if last <= height {
            self.heard_copy(link, log, &run, push.reply, bytes, out)?;
            return Ok(());
        }
        if first > height + 1 {
            self.did(price);
            self.trees.keep_orphan(log, link, run, bytes);
            if !self.catchup.is_behind(log) {
                self.catchup.ahead(log, link, last);
            }
            return Ok(());
        }
        self.trees.count_copy(log, last);
        let known = usize::try_from((height + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        self.take_verified(Hand::Link(link), log, run, None, out)?;
        if self.height(log) == height {
            // Nothing is taken of an author that is stopped, or may not write any more.
            self.did(price);
            return Ok(());
        }
        self.did(cost::decoded(0, known));
        self.take_orphans(log, out)?;
        self.links.budgets.paid_again(since);
        Ok(())
    }

    /// A copy of what is known: too many prune the link. A copy with other ids is a fork.
    fn heard_copy(
        &mut self,
        link: LinkId,
        log: LogNo,
        run: &Run,
        reply: bool,
        bytes: usize,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let tip = run.tip();
        // It was read already, and is compared with what is held.
        self.did(cost::SIGNATURE + cost::decoded(bytes, run.entries().len()));
        if !self.pays(self.reading(log, tip.seq)) {
            return Ok(());
        }
        if self.admission.disagrees(log, run)? {
            return self.conflict(Hand::Link(link), log, run.clone(), out);
        }
        self.note_parts(Hand::Link(link), log, run, out)?;
        let copies = self.trees.count_copy(log, tip.seq);
        // A header alone is not an arrival: it says nothing of how fast the link is for bodies.
        let with_body = run.entries().iter().any(|entry| entry.body().is_some() || entry.body == Part::Ask);
        if !reply
            && with_body
            && copies >= too_many(run, bytes)
            && let Some(no) = self.number(link, log)
        {
            self.tell(link, Message::Prune(no));
        }
        Ok(())
    }

    pub(crate) fn take_orphans(&mut self, log: LogNo, out: &mut Output) -> Result<(), StoreError> {
        while let Some((link, run)) = self.trees.next_orphan(log, self.height(log)) {
            let (before, is_known) = (self.height(log), run.tip().seq <= self.height(log));
            self.take_verified(Hand::Link(link), log, run, None, out)?;
            if self.height(log) == before && !is_known {
                break;
            }
        }
        Ok(())
    }

    pub(crate) fn heard_haves(&mut self, link: LinkId, haves: Vec<Have>) -> Result<(), StoreError> {
        for have in haves.into_iter().take(HAVES_MAX) {
            if !self.pays(cost::THING) {
                return Ok(());
            }
            let Some(log) = self.log_meant(link, have.log)? else {
                continue;
            };
            let Some(to) = have.from.checked_add(u64::from(have.more)) else {
                continue;
            };
            if to > SEQ_MAX {
                continue;
            }
            let begin = self.begin(link, log);
            self.trees.has(log, link, begin, to);
            let except: BTreeSet<u64> = have
                .except
                .iter()
                .filter(|offset| **offset <= have.more)
                .map(|offset| have.from + u64::from(*offset))
                .collect();
            self.lacks(link, log, &except.iter().copied().collect::<Vec<_>>())?;
            self.catchup.announced_range(&mut around!(self), link, log, have.from, to, &except)?;
            if to > self.height(log) {
                self.expect(log, link, to);
            }
        }
        Ok(())
    }

    pub(crate) fn heard_graft(&mut self, link: LinkId, no: u32, from: u64) -> Result<(), StoreError> {
        let Some(log) = self.log_meant(link, no)? else {
            return Ok(());
        };
        let height = self.height(log);
        self.trees.grafted(log, link, height);
        if from > height || !self.pays(cost::PAGE) {
            return Ok(());
        }
        self.reply_runs(link, log, from)
    }

    pub(crate) fn heard_prune(&mut self, link: LinkId, no: u32) -> Result<(), StoreError> {
        let Some(log) = self.log_meant(link, no)? else {
            return Ok(());
        };
        self.trees.pruned(log, link);
        Ok(())
    }

    /// Answers a graft with what is committed from `from` on, as far as a push goes.
    fn reply_runs(&mut self, link: LinkId, log: LogNo, from: u64) -> Result<(), StoreError> {
        let runs = self.runs_for(link, log, from, true, PUSH_MAX)?;
        let Some(no) = self.number(link, log) else {
            return Ok(());
        };
        let mut room = REPLY_MAX;
        for run in runs {
            let page = match page::unpack(&run.packed) {
                Ok(page) => page.to_vec(),
                Err(_) => continue,
            };
            // What little is stored may be much to send.
            if page.len() > room && room < REPLY_MAX {
                return Ok(());
            }
            room = room.saturating_sub(page.len());
            self.did(cost::decoded(page.len(), 0));
            self.tell(link, Message::Push(Push { log: no, reply: true, page }));
        }
        Ok(())
    }
}
