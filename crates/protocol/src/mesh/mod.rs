//! The state machine. One input at a time goes in; what it causes is staged in the store and in the output, and leaves
//! with the commit.

mod admitting;
mod bodies;
pub(crate) mod carried;
mod circles;
mod claims;
mod comparing;
mod forks;
pub(crate) mod held;
mod lobby;
mod logs;
mod pages;
mod rejudging;
mod routing;
pub(crate) mod sizes;
mod spreading;
mod statements;
pub(crate) mod status;
mod writing;

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use tocsin_policy::{Decisions, Home, Policy};
use tocsin_record::document::{self, Form, Signed};
use tocsin_record::{MeshId, NodeKey, OrgId};
use tocsin_store::{Fault, Kv, Reader, Slots, Store, StoreError};

use crate::admission::by_hand::Decider;
use crate::admission::waiting::HoldDefault;
use crate::admission::{Admission, Identity, meta};
use crate::catchup::CatchUp;
use crate::catchup::empty::EmptyLogs;
use crate::directory::{Directory, Taken};
use crate::index::Index;
use crate::io::{Done, Effect, Event, Input, LinkId, Now, Output, RequestError, Ticket, Write};
use crate::links::Links;
use crate::links::budget::{Meter, cost};
use crate::links::link::Link;
use crate::mesh::circles::Proposing;
use crate::mesh::held::around;
use crate::spread::FLUSH_MS;
use crate::spread::heads::Heads;
use crate::spread::tree::Trees;

/// What an operator may change.
#[derive(Clone, Debug)]
pub struct Config {
    /// Names this boot of the machine: a node goes on with a log only on the same one.
    pub boot: [u8; 16],
    /// Where the core's own random choices begin.
    pub seed: u64,
    /// Key of the observable index.
    pub index_key: [u8; 16],
    /// How work for peers is measured.
    pub meter: Meter,
    /// What becomes of held records where nobody decides.
    pub hold: HoldDefault,
}

/// The protocol of one node in one mesh.
pub struct Mesh<K, S> {
    pub(crate) admission: Admission<K, S>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) random: ChaCha8Rng,
    pub(crate) now: Now,
    /// Other orgs' clocks are heard anew then, by the monotonic clock.
    pub(crate) next_hearing: u64,
    pub(crate) links: Links,
    pub(crate) trees: Trees,
    pub(crate) catchup: CatchUp,
    pub(crate) heads: Heads,
    /// Whether bodies of records that ended are still here.
    expiring: bool,
    pub(crate) empty: EmptyLogs,
    /// What each org may still change in its documents, and when that was counted.
    changes: BTreeMap<OrgId, (u64, u64)>,
    pub(crate) proposing: Proposing,
    pub(crate) next_flush: u64,
    pub(crate) next_second: u64,
    pub(crate) next_minute: u64,
}

/// Documents that one org may put in force at once by what peers hand on, and the time after which one more, in ms: each is
/// kept by every node, and told to all. Those over it are taken with a later comparison.
const CHANGES: u64 = 128;
const CHANGE_EVERY_MS: u64 = 30_000;

/// Pages that a tick writes anew for bodies whose records ended, in bytes before compression: mostly one, which takes some
/// milliseconds. What is left is due at the next tick, which comes as soon as what waits was handled.
const EXPIRE_SLICE: usize = 128 << 10;

/// How often the clocks of other orgs are heard, in ms; a jump of this node's own is seen with the next input.
const HEARING_MS: u64 = 1_000;

impl<K: Kv, S: Slots> Mesh<K, S> {
    /// Opens a mesh over an opened store. `index` was filled while the store was opened.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn open(
        config: Config,
        identity: Identity,
        mut directory: Directory,
        store: Store<K, S>,
        policy: Arc<Policy>,
        index: Index,
        now: Now,
    ) -> Result<Self, StoreError> {
        if let Some(bytes) = store.get_meta(meta::DOCUMENTS)? {
            // Without what was learnt, a node that was removed would be let in again.
            let documents = document::decode_all(&bytes)
                .map_err(|error| Fault::Damaged(format!("the documents that partners sent: {error}")))?;
            // Every one was checked before it was kept; a document that the file brought already is no fault.
            for signed in &documents {
                let _ = directory.take_back(signed);
            }
        }
        let _ = directory.take(&identity.certificate);
        if let Some(bytes) = store.get_meta(meta::PROPOSALS)? {
            directory
                .take_back_proposals(&bytes, identity.org)
                .map_err(|error| Fault::Damaged(format!("what is proposed for circles: {error}")))?;
        }
        let home = Home {
            org: identity.org,
            country: directory.org(identity.org).map_or(*b"??", |org| org.country),
        };
        let decisions = Decisions::new(policy, home);
        let admission = Admission::open(identity, config.boot, store, decisions, index, config.hold, now)?;
        let mut mesh = Self {
            random: ChaCha8Rng::seed_from_u64(config.seed),
            links: Links::new(config.meter),
            admission,
            directory: Arc::new(directory),
            now,
            next_hearing: now.mono,
            trees: Trees::default(),
            catchup: CatchUp::default(),
            heads: Heads::default(),
            expiring: false,
            empty: EmptyLogs::default(),
            changes: BTreeMap::new(),
            proposing: Proposing::begin(),
            next_flush: now.mono,
            next_second: now.mono,
            next_minute: now.mono,
        };
        mesh.find_empty();
        mesh.admission.resume_own_logs(now)?;
        mesh.admission.resume_judging(&mesh.directory)?;
        Ok(mesh)
    }

    /// The whole protocol: takes one input and stages what follows from it.
    ///
    /// # Errors
    /// On a disk fault, after which the process must stop: nothing of what was staged may leave.
    pub fn handle(&mut self, now: Now, input: Input, out: &mut Output) -> Result<(), StoreError> {
        self.pass_time(now, out);
        match input {
            Input::LinkUp { link, peer, room } => {
                self.link_up(link, peer, room);
                Ok(())
            }
            Input::LinkDown { link } => {
                self.link_down(link, out);
                Ok(())
            }
            Input::Received { link, frame } => self.received(link, frame, out),
            Input::Unreadable { link, bytes, reason } => {
                self.unreadable(link, bytes, reason, out);
                Ok(())
            }
            Input::Dropped { link } => {
                self.link_dropped(link);
                Ok(())
            }
            Input::Drained { link } => {
                self.link_drained(link);
                Ok(())
            }
            Input::Rtt { link, ms } => {
                if let Some(link) = self.links.get_mut(link) {
                    link.rtt_ms = ms.max(1);
                }
                Ok(())
            }
            Input::Publish { ticket, circle, bodies } => {
                self.write(ticket, &[Write::Bodies { circle, bodies }], out)
            }
            Input::Retract { ticket, subject, reason } => {
                self.write(ticket, &[Write::Retract { subject, reason }], out)
            }
            Input::Write { ticket, writes } => self.write(ticket, &writes, out),
            Input::Documents { ticket, documents } => {
                let (new, error) = self.take_documents(&documents, None, true, out)?;
                let result = match error {
                    Some(error) if new == 0 => Err(RequestError::Document(error)),
                    _ => Ok(Done { documents: new, ..Done::default() }),
                };
                out.push(Effect::Done { ticket, result });
                Ok(())
            }
            Input::DecideHeld { ticket, place, accept, name, reason } => {
                let decider = Decider::Person { name, reason };
                let result = self.decide_held(place, accept, decider, out)?;
                out.push(Effect::Done { ticket, result });
                Ok(())
            }
            Input::UndoHeld { ticket, place } => {
                let result = self.undo_held(place, out)?;
                out.push(Effect::Done { ticket, result });
                Ok(())
            }
            Input::ConfirmClock { ticket, against_peers } => {
                let result = self.confirm_clock(against_peers, out)?;
                out.push(Effect::Done { ticket, result });
                Ok(())
            }
            Input::Circle { ticket, request } => {
                if let Some(result) = self.change_circles(ticket, request, out)? {
                    out.push(Effect::Done { ticket, result });
                }
                Ok(())
            }
            Input::Bundle { ticket, request } => {
                let result = self.bundle(request, out)?;
                out.push(Effect::Done { ticket, result });
                Ok(())
            }
            Input::Policy { policy } => {
                self.admission.put_in_force(policy);
                self.rejudge_all();
                Ok(())
            }
            Input::Tick => self.tick(out),
        }
    }

    /// Makes everything staged durable, then releases its effects: the only way they get out.
    ///
    /// # Errors
    /// On a disk fault, after which the process must stop.
    pub fn commit(&mut self, now: Now, out: &mut Output) -> Result<Vec<Effect>, StoreError> {
        self.pass_time(now, out);
        self.follow_proposals(out)?;
        self.write_queued(out)?;
        self.serve_all()?;
        self.catchup.want_bodies(&mut around!(self), &mut self.random);
        self.catchup.schedule_wants(&mut around!(self), &mut self.random);
        let erased = self.admission.commit()?;
        if !erased.is_empty() {
            self.owe_erased(&erased);
            out.push(Effect::Event(Event::Erased { places: erased }));
        }
        let mut effects = std::mem::take(&mut out.staged);
        for (id, link) in self.links.iter_mut() {
            link.flush(id, &mut effects);
        }
        Ok(effects)
    }

    /// Moves this node's time on and judges the clock by it, before anything is done by it.
    fn pass_time(&mut self, now: Now, out: &mut Output) {
        self.now = Now { wall: now.wall, mono: now.mono.max(self.now.mono) };
        let sure = self.admission.clock.is_sure();
        if self.now.mono >= self.next_hearing {
            self.next_hearing = self.now.mono + HEARING_MS;
            let others = self.directory.charter().orgs.len().saturating_sub(1);
            self.admission.clock.hear(self.now, self.clocks_of_others(), others);
        }
        if self.admission.clock.look(self.now) {
            let reading = self.admission.clock.reading();
            out.push(Effect::Event(Event::Clock { reading }));
            // What was judged by a clock that nobody had confirmed may have lapsed by mistake.
            if !sure {
                self.rejudge_all();
            } else if reading.is_trusted() {
                self.admission.rejudge.walk_held();
            }
        }
        // What was accepted by a clock that was ahead, and others with it, is held until its time comes.
        if self.admission.clock.went_back(self.now) {
            self.rejudge_all();
        }
    }

    fn confirm_clock(
        &mut self,
        against_peers: bool,
        out: &mut Output,
    ) -> Result<Result<Done, RequestError>, StoreError> {
        let confirmed = self.admission.clock.confirm(self.now, against_peers);
        self.admission.keep_clock(self.now)?;
        self.pass_time(self.now, out);
        Ok(confirmed.map(|()| Done::default()).map_err(RequestError::Contradicted))
    }

    fn tick(&mut self, out: &mut Output) -> Result<(), StoreError> {
        let mono = self.now.mono;
        if mono >= self.next_flush {
            self.next_flush = mono + FLUSH_MS;
            self.flush_haves();
            self.trees.graft_due(&mut around!(self));
            self.flush_statements();
        }
        if mono >= self.next_second {
            self.next_second = mono + 1000;
            self.check_lobby(out);
            self.share_rooms();
            self.catchup.wants_timeouts(&around!(self));
            self.catchup.bodies_timeouts(&mut around!(self));
            self.expiring = true;
            self.say_hello_again();
            self.say_heads();
            self.watch_claims(out);
            self.give_late()?;
        }
        if self.expiring {
            self.expiring = self.admission.expire(self.now, EXPIRE_SLICE)?;
        }
        if mono >= self.next_minute {
            self.next_minute = mono + 60_000;
            self.admission.stay_alive(self.now)?;
            self.decide_by_default(out)?;
            self.say_again()?;
            self.look_at_proposals();
        }
        self.rejudge_some(out)
    }

    /// When the next tick has something to do, by [`Now::mono`]: an idle node sleeps until then, unless an input comes.
    #[must_use]
    pub fn next_tick(&self) -> u64 {
        let waits = |link: &Link| !link.haves.is_empty() || (link.holes_due && link.peer().is_some());
        let flush = self.links.iter().any(|(_, link)| waits(link))
            || self.trees.waiting().len() > 0
            || self.catchup.is_serving()
            || self.heads.is_due(self.now.mono, |log| self.has_way_back(log));
        let second = self.next_second.min(self.next_minute);
        if self.is_busy() {
            self.now.mono
        } else if flush {
            self.next_flush.min(second)
        } else {
            second
        }
    }

    /// Whether there is work left that an idle moment could do: call [`Self::handle`] with a tick soon.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        (self.admission.rejudge.is_busy() && self.is_member()) || self.expiring
    }

    /// Store work that can wait for an idle moment. True if there may be more.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn idle(&mut self) -> Result<bool, StoreError> {
        self.admission.idle()
    }

    pub(crate) fn answer(out: &mut Output, ticket: Ticket, result: Result<Done, RequestError>) {
        out.push(Effect::Done { ticket, result });
    }

    /// The mesh.
    #[must_use]
    pub fn mesh(&self) -> MeshId {
        self.directory.mesh()
    }

    /// This node's key.
    #[must_use]
    pub fn node(&self) -> NodeKey {
        self.admission.node
    }

    /// This node's org.
    #[must_use]
    pub fn org(&self) -> OrgId {
        self.admission.identity.org
    }

    /// Who is who.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Who is who, to be kept: it is another one after each change.
    #[must_use]
    pub fn shared_directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Reads what is committed, on any thread.
    #[must_use]
    pub fn reader(&self) -> Reader<K, S> {
        self.admission.reader.clone()
    }

    /// The policy's decisions, as this node makes them.
    #[must_use]
    pub fn decisions(&self) -> &Decisions {
        self.admission.decisions()
    }

    /// Takes documents from any hand; those that are new go on to every link but the one they came by. `own`: this node's
    /// people brought them. What comes into force is charged to the org that signed it, what does not to the link that
    /// handed it over: it may name whom it likes. Returns how many were new, and the first error.
    pub(crate) fn take_documents(
        &mut self,
        documents: &[Signed],
        from: Option<LinkId>,
        own: bool,
        out: &mut Output,
    ) -> Result<(usize, Option<String>), StoreError> {
        let since = self.links.budgets.free();
        let mut new = Vec::new();
        let mut error = None;
        for signed in documents {
            // The rest comes again with a later comparison.
            if from.is_some() && !self.pays(cost::hashed(signed.bytes.len())) {
                break;
            }
            if self.directory.is_listed(signed) {
                continue;
            }
            let payer = if own { None } else { self.directory.charged_to(signed) };
            let may = payer.is_none_or(|org| self.may_change(org));
            if may {
                match Arc::make_mut(&mut self.directory).take(signed) {
                    Ok(Taken::New) => {
                        new.push(signed.clone());
                        if let Some(org) = payer {
                            self.changed_once(org);
                        }
                        continue;
                    }
                    Ok(Taken::Known) => {}
                    Err(refused) => error = error.or(Some(refused.to_string())),
                }
            }
            if from.is_some() {
                // A certificate of an org that may not change now was only read.
                let verified = may || signed.form != Form::Certificate;
                let signatures = if verified { signed.signatures.len() } else { 0 };
                self.did(cost::document(signed.bytes.len(), signatures));
            }
        }
        // A charter without its org took its certificate along, and this one may have the org again.
        let own = &self.admission.identity.certificate;
        if !new.is_empty()
            && !self.is_member()
            && matches!(Arc::make_mut(&mut self.directory).take(own), Ok(Taken::New))
        {
            new.push(own.clone());
        }
        if !new.is_empty() {
            self.admission.keep_documents(&self.directory)?;
            self.tell_documents(&new, from);
            self.membership_changed(out);
            self.proposing.is_due = true;
            out.push(Effect::Event(Event::Documents { count: new.len() }));
            self.links.budgets.paid_again(since);
        }
        Ok((new.len(), error))
    }

    /// Whether this node is one of an org of the charter. While it is not, nothing is judged anew: by documents that do not know
    /// its org, what that keeps for itself is a stranger's, and would be refused and erased.
    pub(crate) fn is_member(&self) -> bool {
        self.directory.org_of(self.admission.node) == Some(self.admission.identity.org)
    }

    /// Whether an org may change its documents once more. What this node's own people bring is not counted, nor anything
    /// of an org that is not in the charter: it is not taken.
    pub(crate) fn may_change(&mut self, org: OrgId) -> bool {
        if self.directory.org(org).is_none() {
            return true;
        }
        let mono = self.now.mono;
        let (left, at) = self.changes.entry(org).or_insert((CHANGES, mono));
        let more = mono.saturating_sub(*at) / CHANGE_EVERY_MS;
        if *left + more >= CHANGES {
            (*left, *at) = (CHANGES, mono);
        } else {
            (*left, *at) = (*left + more, *at + more * CHANGE_EVERY_MS);
        }
        *left > 0
    }

    /// An org changed one of its documents, or what it proposes.
    pub(crate) fn changed_once(&mut self, org: OrgId) {
        if let Some((left, _)) = self.changes.get_mut(&org) {
            *left = left.saturating_sub(1);
        }
    }

    /// Links of nodes that no longer count end; the frontiers of the others are compared anew.
    pub(crate) fn membership_changed(&mut self, out: &mut Output) {
        let directory = Arc::clone(&self.directory);
        self.catchup.retain(|node| directory.certificate(node).is_some());
        let mut ended = Vec::new();
        for (id, link) in self.links.iter_mut() {
            let Some(peer) = link.peer() else { continue };
            if self.directory.org_of(peer.node) == Some(peer.org) {
                link.hello_due = true;
            } else {
                ended.push(id);
            }
        }
        for id in ended {
            self.close(id, "its node is no longer certified in the charter", out);
        }
        let directory = &self.directory;
        let is_in = |node: &NodeKey| directory.org_of(*node).is_some();
        self.links.budgets.retain(is_in, |org| directory.org(*org).is_some());
        self.heads.retain(|node| directory.org_of(*node));
        self.admission.rejudge_for_documents(&self.directory);
    }

    /// The index of what is committed, for readers on any thread.
    #[must_use]
    pub fn index(&self) -> Arc<RwLock<Index>> {
        self.admission.index()
    }
}
