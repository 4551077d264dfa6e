//! Live spreading after PROTOCOL.md: one tree a log, two sources for small records, one for large ones.
//!
//! A run is pushed to eager links and announced to a few lazy ones. The third copy of small records and the second of
//! large ones prune the link they came by; a Have that no push follows grafts the nearest announcer.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use tocsin_policy::BodyView;
use tocsin_record::{Entry, NodeKey, OrgId, Run, page};
use tocsin_store::{BodyState, Kv, LogNo, RecordRef, Slots, StoreError, Verdict};

use crate::admit::Decided;
use crate::io::{LinkId, Output};
use crate::judge::body_view;
use crate::link::PendingHave;
use crate::mesh::{FLUSH_MS, Mesh};
use crate::message::tree::{HAVES_MAX, PUSH_BODY_MAX};
use crate::message::{Have, Message, Push};

/// Lazy links that a new record is announced to.
const LAZY_LINKS: usize = 6;
/// Bodies together up to this many bytes are pushed in one run; more is announced.
const PUSH_MAX: usize = 64 << 10;
/// Records up to this many bytes are wanted from two sources.
const SMALL: usize = 4 << 10;
/// Records of a log whose copies are counted.
const RECENT: usize = 64;
/// Added to a retry of a graft, in ms.
const RETRY_MS: u64 = 20;
/// Retries of one graft before the frontier comparison is left to find it.
const TRIES_MAX: u32 = 8;
/// Runs of a log that wait for the records before them.
const ORPHANS_PER_LOG: usize = 64;
/// Their bytes: of one link, and of the node.
const ORPHAN_BYTES_PER_LINK: usize = 1 << 20;
const ORPHAN_BYTES: usize = 16 << 20;
/// A gap longer than this is fetched as pages, not grafted.
const GRAFT_MAX: u64 = 256;

/// What is known of one link for one log. "Peer has" and "I told peer" are two facts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spoke {
    /// Runs are pushed to it.
    pub eager: bool,
    /// It is known to hold headers up to here.
    pub has: u64,
    /// It was told of records up to here, by push or announcement.
    pub told: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Tree {
    spokes: BTreeMap<LinkId, Spoke>,
    /// By which link its newest record came.
    pub parent: Option<LinkId>,
    /// Last record of recent runs, and how many copies of it came.
    copies: VecDeque<(u64, u8)>,
    missing: Option<Missing>,
    orphans: VecDeque<Orphan>,
}

#[derive(Debug)]
struct Missing {
    to: u64,
    announcers: Vec<LinkId>,
    due: u64,
    tries: u32,
}

#[derive(Debug)]
struct Orphan {
    link: LinkId,
    bytes: usize,
    run: Run,
}

/// The trees of all logs that are active.
#[derive(Debug, Default)]
pub(crate) struct Trees {
    trees: BTreeMap<LogNo, Tree>,
    /// Logs for which a graft may be due, in order.
    waiting: std::collections::BTreeSet<LogNo>,
    orphan_bytes: usize,
}

/// How a link begins for a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    Eager,
    Lazy,
}

impl Trees {
    pub fn spoke(&mut self, log: LogNo, link: LinkId, begin: Begin) -> &mut Spoke {
        let spokes = &mut self.trees.entry(log).or_default().spokes;
        spokes.entry(link).or_insert(Spoke {
            eager: begin == Begin::Eager,
            has: 0,
            told: 0,
        })
    }

    pub fn parent(&self, log: LogNo) -> Option<LinkId> {
        self.trees.get(&log).and_then(|tree| tree.parent)
    }

    /// Links that runs of the log are pushed to.
    pub fn eager(&self, log: LogNo) -> Vec<LinkId> {
        let spokes = self.trees.get(&log).map(|tree| &tree.spokes);
        spokes
            .into_iter()
            .flatten()
            .filter(|(_, spoke)| spoke.eager)
            .map(|(id, _)| *id)
            .collect()
    }

    pub fn forget(&mut self, link: LinkId) {
        for (log, tree) in &mut self.trees {
            tree.spokes.remove(&link);
            tree.parent = tree.parent.filter(|parent| *parent != link);
            if let Some(missing) = &mut tree.missing {
                missing.announcers.retain(|announcer| *announcer != link);
                if missing.announcers.is_empty() {
                    tree.missing = None;
                    self.waiting.remove(log);
                }
            }
            let kept = tree
                .orphans
                .iter()
                .filter(|orphan| orphan.link != link)
                .map(|orphan| orphan.bytes);
            let freed = tree.orphans.iter().map(|orphan| orphan.bytes).sum::<usize>() - kept.sum::<usize>();
            self.orphan_bytes -= freed;
            tree.orphans.retain(|orphan| orphan.link != link);
        }
    }

    /// Counts a copy of a run; the first is 1.
    fn count_copy(&mut self, log: LogNo, last: u64) -> u8 {
        let copies = &mut self.trees.entry(log).or_default().copies;
        if let Some(entry) = copies.iter_mut().find(|entry| entry.0 == last) {
            entry.1 = entry.1.saturating_add(1);
            return entry.1;
        }
        if copies.len() >= RECENT {
            copies.pop_front();
        }
        copies.push_back((last, 1));
        1
    }

    fn keep_orphan(&mut self, log: LogNo, link: LinkId, run: Run, bytes: usize) {
        let of_link: usize = self
            .trees
            .values()
            .flat_map(|tree| &tree.orphans)
            .filter(|orphan| orphan.link == link)
            .map(|orphan| orphan.bytes)
            .sum();
        let tree = self.trees.entry(log).or_default();
        let room = tree.orphans.len() < ORPHANS_PER_LOG
            && of_link + bytes <= ORPHAN_BYTES_PER_LINK
            && self.orphan_bytes + bytes <= ORPHAN_BYTES;
        if room {
            self.orphan_bytes += bytes;
            tree.orphans.push_back(Orphan { link, bytes, run });
        }
    }

    /// An orphan that follows `height` or overlaps it; those that are known by now are dropped.
    fn next_orphan(&mut self, log: LogNo, height: u64) -> Option<(LinkId, Run)> {
        let tree = self.trees.get_mut(&log)?;
        let freed: usize = tree
            .orphans
            .iter()
            .filter(|orphan| orphan.run.tip().seq <= height)
            .map(|orphan| orphan.bytes)
            .sum();
        tree.orphans.retain(|orphan| orphan.run.tip().seq > height);
        self.orphan_bytes -= freed;
        let at = tree
            .orphans
            .iter()
            .position(|orphan| orphan.run.first_seq() <= height + 1)?;
        let orphan = tree.orphans.remove(at)?;
        self.orphan_bytes -= orphan.bytes;
        Some((orphan.link, orphan.run))
    }
}

impl<K: Kv, S: Slots> Mesh<K, S> {
    /// A link begins eager for logs that were not known when it came up, and lazy for the others.
    pub(crate) fn lazy_by_default(&self, link: LinkId, log: LogNo) -> Begin {
        let known = self.links.get(&link).is_none_or(|link| log.0 < link.known_logs);
        if known { Begin::Lazy } else { Begin::Eager }
    }

    /// Hands an admitted run on: pushed along the tree, announced to a few others. `from` is the link it came by.
    pub(crate) fn offer(
        &mut self,
        log: LogNo,
        run: &Run,
        decided: &[Decided],
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
    fn push(&mut self, links: &[LinkId], log: LogNo, run: &Run, decided: &[Decided]) {
        let views: Vec<Option<BodyView<'_>>> = decided
            .iter()
            .map(|one| one.read.as_ref().map(body_view))
            .collect();
        let mut carried = Vec::with_capacity(decided.len());
        for entry in run.entries() {
            carried.push(self.is_carried(RecordRef {
                log,
                seq: entry.header.seq,
            }));
        }
        let mut pages: Vec<(Vec<bool>, Vec<u8>)> = Vec::new();
        for &link in links {
            let Some(peer) = self.links.get(&link).and_then(|link| link.peer()) else {
                continue;
            };
            let mut allowed = Vec::with_capacity(carried.len());
            for ((entry, carried), view) in run.entries().iter().zip(&carried).zip(&views) {
                allowed.push(*carried && self.forward_with(&entry.header, view.as_ref(), peer.org).allow);
            }
            let known = pages.iter().position(|(parts, _)| *parts == allowed);
            let at = known.unwrap_or_else(|| {
                pages.push((allowed.clone(), self.page_for(log, run, &allowed)));
                pages.len() - 1
            });
            let page = pages[at].1.clone();
            if let Some(no) = self.number(link, log) {
                self.tell(
                    link,
                    Message::Push(Push {
                        log: no,
                        reply: false,
                        page,
                    }),
                );
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
            let have = link
                .haves
                .entry(log)
                .or_insert(PendingHave { from, to, admitted });
            have.from = have.from.min(from);
            have.to = have.to.max(to);
            have.admitted = admitted;
        }
    }

    /// Announcements leave together, every 50 ms.
    pub(crate) fn flush_haves(&mut self) {
        let links: Vec<LinkId> = self
            .links
            .iter()
            .filter(|(_, link)| !link.haves.is_empty())
            .map(|(id, _)| *id)
            .collect();
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
        for seq in from..=to {
            let place = RecordRef { log, seq };
            let here = self
                .store
                .outcome(place)
                .is_some_and(|stamped| stamped.outcome.body == BodyState::Here);
            let allowed = here
                && self
                    .store
                    .entry(place)
                    .ok()
                    .flatten()
                    .is_some_and(|entry| self.may_send(log, &entry, org));
            if !allowed && let Ok(offset) = u32::try_from(seq - from) {
                except.push(offset);
            }
        }
        except
    }

    pub(crate) fn heard_push(
        &mut self,
        link: LinkId,
        push: Push,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let Some(log) = self.log_meant(link, push.log)? else {
            return Ok(());
        };
        let Some(key) = self.reader.log(log).map(|info| info.key) else {
            return Ok(());
        };
        let bytes = push.page.len();
        let run = match page::decode(key, &Bytes::from(push.page)) {
            Ok(run) => run,
            Err(error) => {
                self.close(link, format!("it pushed a {error}"), out);
                return Ok(());
            }
        };
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
            self.trees.keep_orphan(log, link, run, bytes);
            if !self.catchup.is_ahead(log) {
                self.catchup.ahead(log, link, last);
            }
            return Ok(());
        }
        self.trees.count_copy(log, last);
        self.take_run(link, log, run, None, out)?;
        self.take_orphans(log, out)
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
        let most = if bytes <= SMALL * run.entries().len() {
            3
        } else {
            2
        };
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
            let before = self.height(log);
            self.take_run(link, log, run, None, out)?;
            if self.height(log) == before {
                break;
            }
        }
        Ok(())
    }

    /// A run was admitted: whoever waits for it need not.
    pub(crate) fn arrived(&mut self, log: LogNo, from: LinkId) {
        let height = self.height(log);
        self.empty.remove(&log);
        let tree = self.trees.trees.entry(log).or_default();
        tree.parent = Some(from);
        if tree.missing.as_ref().is_some_and(|missing| missing.to <= height) {
            tree.missing = None;
            self.trees.waiting.remove(&log);
        }
    }

    pub(crate) fn heard_haves(&mut self, link: LinkId, haves: Vec<Have>) -> Result<(), StoreError> {
        for have in haves.into_iter().take(HAVES_MAX) {
            let Some(log) = self.log_meant(link, have.log)? else {
                continue;
            };
            let Some(to) = have.from.checked_add(u64::from(have.more)) else {
                continue;
            };
            let begin = self.lazy_by_default(link, log);
            let spoke = self.trees.spoke(log, link, begin);
            spoke.has = spoke.has.max(to);
            let except: std::collections::BTreeSet<u64> = have
                .except
                .iter()
                .map(|offset| have.from + u64::from(*offset))
                .collect();
            self.announced_range(link, log, have.from, to, &except);
            if to > self.height(log) {
                self.expect(log, link, to);
            }
        }
        Ok(())
    }

    /// A record is said to exist: if no push brings it in time, its announcer is grafted.
    pub(crate) fn expect(&mut self, log: LogNo, link: LinkId, to: u64) {
        let to = to.min(self.takes_up_to(log));
        if to <= self.height(log) {
            return;
        }
        if to > self.height(log) + GRAFT_MAX {
            self.catchup.ahead(log, link, to);
            return;
        }
        let patience = FLUSH_MS + self.parent_rtt(log);
        let due = self.now.mono + patience;
        let tree = self.trees.trees.entry(log).or_default();
        let missing = tree.missing.get_or_insert(Missing {
            to,
            announcers: Vec::new(),
            due,
            tries: 0,
        });
        missing.to = missing.to.max(to);
        if !missing.announcers.contains(&link) && missing.announcers.len() < 16 {
            missing.announcers.push(link);
        }
        self.trees.waiting.insert(log);
    }

    fn parent_rtt(&self, log: LogNo) -> u64 {
        let parent = self.trees.parent(log).and_then(|parent| self.links.get(&parent));
        parent.map_or(0, |link| link.rtt_ms)
    }

    pub(crate) fn graft_due(&mut self) {
        let mono = self.now.mono;
        let waiting: Vec<LogNo> = self.trees.waiting.iter().copied().collect();
        for log in waiting {
            let height = self.height(log);
            let Some(tree) = self.trees.trees.get_mut(&log) else {
                continue;
            };
            let Some(missing) = &mut tree.missing else {
                self.trees.waiting.remove(&log);
                continue;
            };
            if missing.to <= height || missing.tries >= TRIES_MAX {
                tree.missing = None;
                self.trees.waiting.remove(&log);
                continue;
            }
            if missing.due > mono {
                continue;
            }
            let nearest = missing
                .announcers
                .iter()
                .enumerate()
                .filter_map(|(at, id)| Some((self.links.get(id)?.rtt_ms, at)))
                .min();
            let Some((rtt, at)) = nearest else {
                tree.missing = None;
                self.trees.waiting.remove(&log);
                continue;
            };
            // The next retry asks another, if there is one.
            let link = missing.announcers.remove(at);
            missing.announcers.push(link);
            missing.due = mono + ((rtt * 3 / 2 + RETRY_MS) << missing.tries.min(6));
            missing.tries += 1;
            if let Some(no) = self.number(link, log) {
                self.tell(link, Message::Graft(no, height + 1));
            }
        }
    }

    pub(crate) fn heard_graft(&mut self, link: LinkId, no: u32, from: u64) -> Result<(), StoreError> {
        let Some(log) = self.log_meant(link, no)? else {
            return Ok(());
        };
        let height = self.height(log);
        let spoke = self.trees.spoke(log, link, Begin::Eager);
        spoke.eager = true;
        spoke.told = spoke.told.max(height);
        self.reply_runs(link, log, from)
    }

    pub(crate) fn heard_prune(&mut self, link: LinkId, no: u32) -> Result<(), StoreError> {
        let Some(log) = self.log_meant(link, no)? else {
            return Ok(());
        };
        self.trees.spoke(log, link, Begin::Lazy).eager = false;
        Ok(())
    }

    /// Answers a graft with what is committed from `from` on, as far as a push goes.
    fn reply_runs(&mut self, link: LinkId, log: LogNo, from: u64) -> Result<(), StoreError> {
        let runs = self.runs_for(link, log, from, true, PUSH_MAX)?;
        let Some(no) = self.number(link, log) else {
            return Ok(());
        };
        for run in runs {
            let page = match page::unpack(&run.packed) {
                Ok(page) => page.to_vec(),
                Err(_) => continue,
            };
            self.tell(
                link,
                Message::Push(Push {
                    log: no,
                    reply: true,
                    page,
                }),
            );
        }
        Ok(())
    }

    /// Whether a record's body may go to an org: it is carried, and the policy lets it pass. Headers always go to members.
    pub(crate) fn may_send(&mut self, log: LogNo, entry: &Entry, org: OrgId) -> bool {
        let place = RecordRef {
            log,
            seq: entry.header.seq,
        };
        self.is_carried(place) && self.forward_allowed(entry, org).allow
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
        self.links
            .get(&link)
            .and_then(|link| link.peer())
            .map_or(NodeKey::ZERO, |peer| peer.node)
    }
}
