//! Live spreading: one tree a log, two sources for small records, one for large ones.
//!
//! A run is pushed to eager links and announced to a few lazy ones. The third copy of small records and the second of
//! large ones prune the link they came by.

use std::collections::BTreeSet;
use std::sync::Arc;

use tocsin_policy::BodyView;
use tocsin_record::{Entry, NodeKey, OrgId, Run, Verified, page};
use tocsin_store::{BodyState, Kv, LogNo, RecordRef, SEQ_MAX, Slots, StoreError, Verdict};

use crate::admission::admit::Decided;
use crate::admission::judge::{Way, body_ref_view};
use crate::io::{LinkId, Output};
use crate::links::budget::cost;
use crate::links::link::PendingHave;
use crate::mesh::Mesh;
use crate::message::tree::{HAVES_MAX, PUSH_BODY_MAX};
use crate::message::{Have, Message, Push};
use crate::spread::tree::Begin;

/// Lazy links that a new record is announced to.
const LAZY_LINKS: usize = 6;
/// Bodies together up to this many bytes are pushed in one run; more is announced.
pub(crate) const PUSH_MAX: usize = 64 << 10;
/// Records up to this many bytes are wanted from two sources.
const SMALL: usize = 4 << 10;

impl<K: Kv, S: Slots> Mesh<K, S> {
    /// A link begins eager for logs that were not known when it came up, and lazy for the others.
    pub(crate) fn lazy_by_default(&self, link: LinkId, log: LogNo) -> Begin {
        let numbered = self.links.get(&link).is_none_or(|link| log.0 < link.known_logs);
        let known = numbered && !self.empty.is_renamed(log);
        if known { Begin::Lazy } else { Begin::Eager }
    }

    /// Hands an admitted run on: pushed along the tree, announced to a few others. `from` is the link it came by.
    pub(crate) fn offer(
        &mut self,
        log: LogNo,
        run: &Run,
        decided: &[Decided<'_>],
        from: Option<LinkId>,
    ) -> Result<(), StoreError> {
        let to = run.tip().seq;
        let mut eager = Vec::new();
        let mut lazy = Vec::new();
        let pushable = run.body_bytes() <= PUSH_MAX;
        for link in self.links_of(log) {
            if Some(link) == from {
                continue;
            }
            let begin = self.lazy_by_default(link, log);
            let behind = self.links.get(&link).is_none_or(|link| link.behind);
            let spoke = self.trees.spoke(log, link, begin);
            if spoke.has >= to || spoke.told >= to {
                continue;
            }
            if spoke.eager && pushable && !behind {
                spoke.told = to;
                eager.push(link);
            } else {
                lazy.push(link);
            }
        }
        if !eager.is_empty() {
            self.push(&eager, log, run, decided);
        }
        // A moving choice, so that over time every lazy link hears of something.
        while lazy.len() > LAZY_LINKS {
            let at = self.roll(lazy.len() as u64);
            lazy.swap_remove(usize::try_from(at).unwrap_or(0));
        }
        for link in lazy {
            self.note_have(link, log, run.first_seq(), to);
        }
        Ok(())
    }

    /// Pushes a run: bodies are read once, policy is asked for each (record, link), and links that may have the same
    /// bodies get the same page.
    fn push(&mut self, links: &[LinkId], log: LogNo, run: &Run, decided: &[Decided<'_>]) {
        let views: Vec<Option<BodyView<'_>>> =
            decided.iter().map(|one| one.read.as_ref().map(body_ref_view)).collect();
        let mut carried = Vec::with_capacity(decided.len());
        for entry in run.entries() {
            carried.push(self.is_carried(RecordRef { log, seq: entry.header.seq }));
        }
        let directory = Arc::clone(&self.directory);
        let mut pages: Vec<(Vec<bool>, Vec<u8>)> = Vec::new();
        for &link in links {
            let Some(peer) = self.links.get(&link).and_then(|link| link.peer()) else {
                continue;
            };
            let Some(way) = self.way(&directory, log, peer.org) else {
                continue;
            };
            let mut allowed = Vec::with_capacity(carried.len());
            for ((entry, carried), view) in run.entries().iter().zip(&carried).zip(&views) {
                allowed.push(*carried && self.forward_with(&way, &entry.header, view.as_ref()).allow);
            }
            let known = pages.iter().position(|(parts, _)| *parts == allowed);
            let at = known.unwrap_or_else(|| {
                pages.push((allowed.clone(), self.page_for(log, run, &allowed)));
                pages.len() - 1
            });
            let page = pages[at].1.clone();
            if let Some(no) = self.number(link, log) {
                self.tell(link, Message::Push(Push { log: no, reply: false, page }));
            }
        }
    }

    /// A run with the bodies that are allowed, small enough and held; of the others it says why not.
    fn page_for(&self, log: LogNo, run: &Run, allowed: &[bool]) -> Vec<u8> {
        let mut sent = run.clone();
        for ((header, part), allowed) in sent.bodies_mut().zip(allowed) {
            let stamped = self.store.outcome(RecordRef { log, seq: header.seq });
            let state = stamped.map_or(BodyState::NotHeld, |stamped| stamped.outcome.body);
            *part = match (state, &*part) {
                (BodyState::Gone(reason), _) => tocsin_record::Part::Gone(reason),
                (BodyState::Here, _) if !allowed => tocsin_record::Part::Withheld,
                (BodyState::Here, tocsin_record::Part::Here(body)) if body.len() <= PUSH_BODY_MAX => continue,
                (BodyState::Here, _) => tocsin_record::Part::Ask,
                _ => tocsin_record::Part::NotHeld,
            };
        }
        page::encode(&sent)
    }

    pub(crate) fn note_have(&mut self, link: LinkId, log: LogNo, from: u64, to: u64) {
        let begin = self.lazy_by_default(link, log);
        let spoke = self.trees.spoke(log, link, begin);
        if spoke.told >= to {
            return;
        }
        spoke.told = to;
        let admitted = self.now.mono;
        if let Some(link) = self.links.get_mut(&link) {
            let have = link.haves.entry(log).or_insert(PendingHave { from, to, admitted });
            have.from = have.from.min(from);
            have.to = have.to.max(to);
            have.admitted = admitted;
        }
    }

    /// Announcements leave together, every 50 ms.
    pub(crate) fn flush_haves(&mut self) {
        let links: Vec<LinkId> =
            self.links.iter().filter(|(_, link)| !link.haves.is_empty()).map(|(id, _)| *id).collect();
        for id in links {
            let Some(link) = self.links.get_mut(&id) else {
                continue;
            };
            let Some(peer) = link.peer() else { continue };
            let pending = std::mem::take(&mut link.haves);
            let mut haves = Vec::new();
            for (log, have) in pending {
                if self.trees.spoke(log, id, Begin::Lazy).has >= have.to {
                    continue;
                }
                let except = self.except(log, have.from, have.to, peer.org);
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
        let way = self.way(&directory, log, org);
        for seq in from..=to {
            let place = RecordRef { log, seq };
            let here =
                self.store.outcome(place).is_some_and(|stamped| stamped.outcome.body == BodyState::Here);
            let allowed = here
                && way.as_ref().is_some_and(|way| {
                    let entry = self.store.entry(place).ok().flatten();
                    entry.is_some_and(|entry| self.may_send(way, place, &entry))
                });
            if !allowed && let Ok(offset) = u32::try_from(seq - from) {
                except.push(offset);
            }
        }
        except
    }

    pub(crate) fn heard_push(
        &mut self,
        link: LinkId,
        push: &Push,
        run: Option<Verified>,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        // Without a name there is no run, and it is asked for.
        let (Some(log), Some(run)) = (self.log_meant(link, push.log)?, run) else {
            return Ok(());
        };
        let since = self.budgets.free();
        let bytes = push.page.len();
        let (first, last) = (run.first_seq(), run.tip().seq);
        let begin = self.lazy_by_default(link, log);
        let spoke = self.trees.spoke(log, link, begin);
        spoke.has = spoke.has.max(last);
        let height = self.height(log);
        if last <= height {
            self.heard_copy(link, log, &run, push.reply, bytes, out)?;
            return Ok(());
        }
        if first > height + 1 {
            self.did(cost::SIGNATURE + cost::decoded(bytes, run.entries().len()));
            self.trees.keep_orphan(log, link, run, bytes);
            if !self.catchup.is_ahead(log) {
                self.catchup.ahead(log, link, last);
            }
            return Ok(());
        }
        self.trees.count_copy(log, last);
        let price = cost::SIGNATURE + cost::decoded(bytes, run.entries().len());
        let known = usize::try_from((height + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        self.take_verified(link, log, run, None, out)?;
        if self.height(log) == height {
            // Nothing is taken of an author that is stopped, or may not write any more.
            self.did(price);
            return Ok(());
        }
        self.did(cost::decoded(0, known));
        self.take_orphans(log, out)?;
        self.budgets.paid_again(since);
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
        if self.disagrees(log, run)? {
            return self.conflict(link, log, run.clone(), out);
        }
        self.note_parts(link, log, run, out)?;
        let copies = self.trees.count_copy(log, tip.seq);
        // A header alone is not an arrival: it says nothing of how fast the link is for bodies.
        let with_body = run
            .entries()
            .iter()
            .any(|entry| entry.body().is_some() || entry.body == tocsin_record::Part::Ask);
        let most = if bytes <= SMALL * run.entries().len() { 3 } else { 2 };
        if !reply
            && with_body
            && copies >= most
            && let Some(no) = self.number(link, log)
        {
            self.tell(link, Message::Prune(no));
        }
        Ok(())
    }

    pub(crate) fn take_orphans(&mut self, log: LogNo, out: &mut Output) -> Result<(), StoreError> {
        while let Some((link, run)) = self.trees.next_orphan(log, self.height(log)) {
            let (before, is_known) = (self.height(log), run.tip().seq <= self.height(log));
            self.take_verified(link, log, run, None, out)?;
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
            let begin = self.lazy_by_default(link, log);
            let spoke = self.trees.spoke(log, link, begin);
            spoke.has = spoke.has.max(to);
            let except: BTreeSet<u64> = have
                .except
                .iter()
                .filter(|offset| **offset <= have.more)
                .map(|offset| have.from + u64::from(*offset))
                .collect();
            self.announced_range(link, log, have.from, to, &except)?;
            if to > self.height(log) {
                self.expect(log, link, to);
            }
        }
        Ok(())
    }

    /// Whether a record's body may go to an org: it is carried, and the policy lets it pass. Headers always go to members.
    pub(crate) fn may_send(&mut self, way: &Way<'_>, place: RecordRef, entry: &Entry) -> bool {
        self.is_carried(place) && self.forward_allowed(way, entry).allow
    }

    /// Whether a body may leave at all: it is here, and accepted or only newer than this node.
    fn is_carried(&self, place: RecordRef) -> bool {
        self.store.outcome(place).is_some_and(|stamped| {
            let outcome = stamped.outcome;
            outcome.body == BodyState::Here
                && match outcome.verdict {
                    Verdict::Accepted => true,
                    Verdict::Held => self.is_newer_hold(outcome.rule),
                    Verdict::Unjudged | Verdict::Refused => false,
                }
        })
    }

    /// The node that a link leads to.
    pub(crate) fn node_of(&self, link: LinkId) -> NodeKey {
        self.links.get(&link).and_then(|link| link.peer()).map_or(NodeKey::ZERO, |peer| peer.node)
    }
}
