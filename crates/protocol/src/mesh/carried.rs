//! What is carried by hand between nodes without a link: given as it is given on a link, and taken as from one.
//!
//! ```text
//! give:  frontier_with -> for each log: runs_for, late bodies, each asked of `may_send` for every org it is for -> a bundle
//! take:  a bundle, read and verified beside the core -> documents, forks, runs, bodies, receipts, through the doors of links
//! ```
//!
//! Who brings a bundle is this node's own people, so nothing of it is charged to anybody, and a piece is never put off.

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_record::body::BodyRef;
use tocsin_record::document::{Form, Signed};
use tocsin_record::marking::Tlp;
use tocsin_record::run::body_fits;
use tocsin_record::{Bytes, Entry, LogKey, NodeKey, OrgId, Part, RecordId, Verified, page};
use tocsin_store::{Bodies, BodyState, Kv, LogNo, RecordRef, Slots, StoreError};

use crate::admission::By;
use crate::admission::fork::prove;
use crate::admission::judge::Way;
use crate::catchup::frontier::Row;
use crate::directory::{Directory, TakeError};
use crate::io::{Brought, BundlePart, BundleRequest, Done, Given, GivenRun, Hand, Output, RequestError};
use crate::mesh::Mesh;
use crate::message::head::{FATES_AGAIN, FATES_MAX, FATES_NEW, receipt_hash};
use crate::message::{Fates, LogState, Proposal, Receipt};

/// How far this node has a log that it shares with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reached {
    /// Its number here.
    pub no: LogNo,
    /// Which log.
    pub log: LogKey,
    /// The last record before those that are kept here.
    pub base: u64,
    /// Last verified header.
    pub height: u64,
    /// The id of the record at `height`; zero of a log that forked.
    pub id: RecordId,
    /// Whether more is taken.
    pub state: LogState,
    /// Records whose bodies are wanted and not here, in order, some at most.
    pub missing: Vec<u64>,
}

impl<K: Kv, S: Slots> Mesh<K, S> {
    /// How far this node has the logs of circles that all of some orgs are in or carry for, as it would compare them on a link, in
    /// order. Of each at most so many missing bodies.
    #[must_use]
    pub fn frontier_with(&self, orgs: &[OrgId], missing_most: usize) -> Vec<Reached> {
        let Some((first, others)) = orgs.split_first() else { return Vec::new() };
        let store = self.admission.store();
        let all = |row: &Row| others.iter().all(|org| self.shares(*org, row.info.key.circle));
        let rows = self.rows(*first).into_iter().filter(all);
        let mut reached: Vec<Reached> = rows
            .map(|Row { info, height, at, state, .. }| {
                let missing = store.wanted(RecordRef { log: info.no, seq: 1 }, missing_most).into_iter();
                let missing = missing.filter(|place| place.log == info.no && place.seq <= height);
                let missing = missing.map(|place| place.seq).collect();
                Reached { no: info.no, log: info.key, base: info.base.seq, height, id: at, state, missing }
            })
            .collect();
        reached.sort_unstable_by_key(|reached| reached.log);
        reached
    }

    /// The proof that a log forked: the pages of its two branches.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn fork_proof(&self, log: LogNo) -> Result<Option<[Vec<u8>; 2]>, StoreError> {
        Ok(self.admission.proof(log)?.and_then(|proof| proof.pages.try_into().ok()))
    }

    /// What is proposed for circles and concerns each of some orgs.
    #[must_use]
    pub fn proposals_with(&self, orgs: &[OrgId]) -> Vec<Proposal> {
        let open = self.directory.proposals();
        let open = open.filter(|(key, open)| orgs.iter().all(|org| self.directory.concerns(key, open, *org)));
        open.map(|(_, open)| open.proposal.clone()).collect()
    }

    /// What this node signs to have of the logs of some orgs' nodes, in circles that it shares with all of them.
    #[must_use]
    pub fn receipts_with(&self, orgs: &[OrgId]) -> Vec<(LogKey, Receipt)> {
        let mut receipts = Vec::new();
        for reached in self.frontier_with(orgs, 0) {
            let is_theirs = self.directory.org_of(reached.log.author).is_some_and(|org| orgs.contains(&org));
            let Some(info) = self.admission.reader.log(reached.no).filter(|_| is_theirs) else { continue };
            let height = info.tip.seq;
            if height == 0 || reached.log.author == self.admission.node {
                continue;
            }
            let from = height.saturating_sub(FATES_NEW + FATES_AGAIN - 1).max(info.base.seq + 1);
            let runs = self.admission.store().fates(reached.no, from, height, FATES_MAX);
            let fates = Fates { below: 0, runs };
            let tip = RecordRef { log: reached.no, seq: height };
            let came = self.admission.store().outcome(tip).map(|stamped| stamped.outcome.received);
            let owed = self.heads.owed_of(reached.no).and_then(|(_, _, changed)| changed);
            let time = owed.or(came).unwrap_or_else(|| self.admission.clock.time(self.now));
            let hash = receipt_hash(&self.admission.node, &reached.log.id(), height, time, &fates);
            let signature = self.admission.identity.secret.sign(&hash);
            receipts.push((reached.log, Receipt { log: 0, holder: 0, height, time, fates, signature }));
        }
        receipts
    }

    /// What this node's people give to a bundle, or take from one.
    pub(crate) fn bundle(
        &mut self,
        request: BundleRequest,
        out: &mut Output,
    ) -> Result<Result<Done, RequestError>, StoreError> {
        let done = match request {
            BundleRequest::Give { to, log, from, most } => {
                Done { given: self.give(&to, log, from, most)?, ..Done::default() }
            }
            BundleRequest::GiveBodies { to, places } => {
                Done { given: self.give_bodies(&to, &places)?, ..Done::default() }
            }
            BundleRequest::Take { from, part } => return self.take_part(from, part, out),
        };
        Ok(Ok(done))
    }

    /// Whether each of these orgs may hear of a log.
    fn all_share(&self, orgs: &[OrgId], log: LogNo) -> bool {
        let circle = self.circle_of(log);
        !orgs.is_empty() && circle.is_some_and(|circle| orgs.iter().all(|org| self.shares(*org, circle)))
    }

    fn give(&mut self, to: &[OrgId], log: LogNo, from: u64, most: usize) -> Result<Given, StoreError> {
        let mut given = Given::default();
        let Some(key) = self.admission.store().key(log).filter(|_| self.all_share(to, log)) else {
            return Ok(given);
        };
        let directory = Arc::clone(&self.directory);
        let by = By { directory: &directory, now: self.now };
        let ways: Vec<Way<'_>> = to.iter().filter_map(|org| self.admission.way(&by, log, *org)).collect();
        let from = from.max(self.admission.base(log) + 1);
        let reader = self.admission.reader.clone();
        let mut withheld = BTreeMap::new();
        let mut allowed =
            |place: RecordRef, entry: &Entry| self.gives(&by, &ways, place, entry, &mut withheld);
        let runs = reader.runs(log, from, most, &mut Bodies::Where(&mut allowed))?;
        let mut bytes = 0;
        for run in runs {
            // One that does not read is met by whoever opens the log next.
            let Ok(read) = page::unpack(&run.packed).and_then(|page| page::decode(key, &page)) else { break };
            let in_page = read.entries().iter().filter(|entry| entry.body().is_some()).count() as u64;
            bytes += run.packed.len();
            let mut whole = GivenRun { last: run.last, page: run.packed, in_page, bodies: Vec::new() };
            // What rests apart since it is long, or is carried and not read, is given singly, as on a link.
            for entry in read.entries() {
                if matches!(entry.body, Part::Ask | Part::NotHeld)
                    && let Some((place, body)) =
                        self.body_for(&by, &ways, RecordRef { log, seq: entry.header.seq }, &mut withheld)?
                {
                    bytes += body.len();
                    whole.bodies.push((place, body));
                }
            }
            given.runs.push(whole);
            if bytes >= most {
                break;
            }
        }
        given.withheld = counted(withheld);
        Ok(given)
    }

    fn give_bodies(&mut self, to: &[OrgId], places: &[RecordRef]) -> Result<Given, StoreError> {
        let mut given = Given::default();
        let directory = Arc::clone(&self.directory);
        let by = By { directory: &directory, now: self.now };
        let mut withheld = BTreeMap::new();
        for place in places {
            if !self.all_share(to, place.log) {
                continue;
            }
            let ways = to.iter().filter_map(|org| self.admission.way(&by, place.log, *org));
            let ways: Vec<Way<'_>> = ways.collect();
            given.bodies.extend(self.body_for(&by, &ways, *place, &mut withheld)?);
        }
        given.withheld = counted(withheld);
        Ok(given)
    }

    /// The body of a record, if each of the ways may have it.
    fn body_for(
        &mut self,
        by: &By<'_>,
        ways: &[Way<'_>],
        place: RecordRef,
        withheld: &mut BTreeMap<RecordRef, String>,
    ) -> Result<Option<(RecordRef, Bytes)>, StoreError> {
        if !self.admission.is_carried(place) {
            return Ok(None);
        }
        let Some(stored) = self.admission.reader.record(place)? else { return Ok(None) };
        let may = self.gives(by, ways, place, &stored.entry, withheld);
        Ok(stored.entry.body().filter(|_| may).map(|body| (place, body.clone())))
    }

    /// Whether a body goes into a bundle: each org that it is for may have it, by the decision that is made on a link. Whoever
    /// holds the file may be anybody, so what is RED is in none, not for nodes of this org either.
    fn gives(
        &mut self,
        by: &By<'_>,
        ways: &[Way<'_>],
        place: RecordRef,
        entry: &Entry,
        withheld: &mut BTreeMap<RecordRef, String>,
    ) -> bool {
        if is_red(entry) {
            withheld.insert(place, RED.to_owned());
            return false;
        }
        for way in ways {
            if !self.admission.may_send(by, way, place, entry) {
                if self.admission.is_carried(place) {
                    let decision = self.admission.forward_allowed(by, way, entry);
                    let rule = self.admission.decisions().rule_name(decision.rule).to_owned();
                    withheld.insert(place, rule);
                }
                return false;
            }
        }
        true
    }

    fn take_part(
        &mut self,
        from: NodeKey,
        part: BundlePart,
        out: &mut Output,
    ) -> Result<Result<Done, RequestError>, StoreError> {
        let mut done = Done::default();
        if let BundlePart::Documents { documents, proposals } = part {
            if let Err(refused) = self.check_maker(from, &documents) {
                return Ok(Err(RequestError::Bundle(refused)));
            }
            // Its one error was met by the check, or is of what a link would pass over.
            done.documents = self.take_documents(&documents, None, true, out)?.0;
            self.take_proposals(None, &proposals, out);
            return Ok(Ok(done));
        }
        let Some(org) = self.directory.org_of(from) else {
            return Ok(Err(RequestError::Bundle(OUT.to_owned())));
        };
        match part {
            BundlePart::Documents { .. } => {}
            BundlePart::Fork(branches) => self.take_fork(from, org, *branches, out)?,
            BundlePart::Runs(runs) => {
                for (run, packed) in runs {
                    self.take_run(from, org, run, &packed, &mut done.brought, out)?;
                }
            }
            BundlePart::Bodies(bodies) => {
                for (log, seq, body) in bodies {
                    self.take_late(from, org, (log, seq), body, &mut done.brought, out)?;
                }
            }
            BundlePart::Receipts(receipts) => {
                for (log, receipt) in receipts {
                    if self.shares(org, log.circle) {
                        self.take_receipt(None, &log, from, receipt)?;
                    }
                }
            }
        }
        Ok(Ok(done))
    }

    /// As in the lobby: with what the bundle brings its maker has to be one of the mesh, by the charter that both hold.
    fn check_maker(&self, from: NodeKey, documents: &[Signed]) -> Result<(), String> {
        let mut with = Directory::clone(&self.directory);
        for signed in documents {
            if let Err(TakeError::Rival { form: Form::Charter, version }) = with.take(signed) {
                return Err(format!(
                    "the node that made it holds another charter of version {version}: the stewards signed two"
                ));
            }
        }
        if with.org_of(from).is_none() { Err(OUT.to_owned()) } else { Ok(()) }
    }

    fn take_fork(
        &mut self,
        from: NodeKey,
        org: OrgId,
        branches: [Verified; 2],
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let [one, other] = branches.map(Verified::into_run);
        let key = *one.log();
        if !self.shares(org, key.circle) {
            return Ok(());
        }
        let Some(log) = self.log_for(from, key.into())? else { return Ok(()) };
        if let Ok(at) = prove(&one, &other) {
            self.forked(log, at, [one, other], out)?;
        }
        Ok(())
    }

    fn take_run(
        &mut self,
        from: NodeKey,
        org: OrgId,
        run: Verified,
        packed: &[u8],
        brought: &mut Brought,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let (key, first, last) = (*run.log(), run.first_seq(), run.tip().seq);
        let count = last + 1 - first;
        let log = if self.shares(org, key.circle) { self.log_for(from, key.into())? } else { None };
        let Some(log) = log else {
            brought.refused += count;
            return Ok(());
        };
        let (height, bodies) = (self.height(log), self.bodies_in(log));
        self.take_verified(Hand::Bundle(from), log, run, Some(packed), out)?;
        let reached = self.height(log);
        brought.records += reached - height;
        brought.bodies += self.bodies_in(log).saturating_sub(bodies);
        if reached > height {
            self.catchup.reached(log, reached);
            self.take_orphans(log, out)?;
        } else if first > height + 1 {
            brought.behind += count;
        } else {
            brought.refused += last.saturating_sub(height);
        }
        Ok(())
    }

    /// Bodies of a log that are here, staged ones included.
    fn bodies_in(&self, log: LogNo) -> u64 {
        self.admission.reader.log(log).map_or(0, |info| info.counts.bodies)
    }

    /// A body behind a header that is here, if it is missing.
    fn take_late(
        &mut self,
        from: NodeKey,
        org: OrgId,
        (key, seq): (LogKey, u64),
        body: Bytes,
        brought: &mut Brought,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let Some(log) = self.admission.store().log_no(&key).filter(|_| self.shares(org, key.circle)) else {
            return Ok(());
        };
        let place = RecordRef { log, seq };
        let Some(entry) = self.admission.store().entry(place)?.filter(|_| self.is_missing(place)) else {
            return Ok(());
        };
        if body_fits(entry.header.body_len, &entry.header.body_hash, &body) {
            self.take_body(place, body, Hand::Bundle(from), out)?;
            let now = self.admission.store().outcome(place).map(|stamped| stamped.outcome.body);
            brought.bodies += u64::from(now == Some(BodyState::Here));
        }
        Ok(())
    }
}

/// Why nothing is taken of a node that is not one of the mesh.
const OUT: &str =
    "the org of the node that made it is not in the charter, or that node's certificate was revoked";

/// By what a RED body is kept out of every bundle, as the rule of a guardrail is named.
const RED: &str = "guardrail:tlp-direction";

/// Whether a record is RED, by what it opened to where it was sealed.
fn is_red(entry: &Entry) -> bool {
    let body = BodyRef::again(entry);
    let inside = body.as_ref().and_then(BodyRef::marking).map(|marking| marking.tlp);
    inside.or(Tlp::from_code(entry.header.tlp)) == Some(Tlp::Red)
}

fn counted(withheld: BTreeMap<RecordRef, String>) -> BTreeMap<String, u64> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for rule in withheld.into_values() {
        *counts.entry(rule).or_default() += 1;
    }
    counts
}
