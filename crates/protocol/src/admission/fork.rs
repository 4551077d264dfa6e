//! Forks: two different headers with one place in a log, each with the run up to a signature, prove to anyone that their
//! author said two things. The proof is kept and spread; the lowest fork of a log counts.
//!
//! ```text
//! ids differ at a place --halving with that peer (At)--> first place that differs --Graft--> its run --> proof
//! ```

use std::collections::{BTreeMap, BTreeSet};

use tocsin_record::{CircleId, NodeKey, Run, Verified, codec, page, planted};
use tocsin_store::{Bodies, BodyState, Kv, LogNo, Outcome, RecordRef, Slots, Standing, StoreError, Verdict};

use crate::admission::admit::rule;
use crate::io::{Effect, Event, LinkId, Output};
use crate::links::budget::cost;
use crate::mesh::Mesh;
use crate::message::body::REFS_MAX;
use crate::message::{AtAnswer, Message, Push};

/// Most searches at once.
const SEARCHES_MAX: usize = 1024;

/// Between `same`, where both hold one id, and `other`, where they differ.
#[derive(Clone, Copy, Debug)]
struct Search {
    same: u64,
    other: u64,
}

/// Searches under way, and authors that are stopped.
#[derive(Debug, Default)]
pub(crate) struct Searches {
    searches: BTreeMap<(LogNo, LinkId), Search>,
    stopped: BTreeSet<(NodeKey, CircleId)>,
}

impl Searches {
    pub fn forget(&mut self, link: LinkId) {
        self.searches.retain(|(_, with), _| *with != link);
    }

    /// Searches under way.
    pub fn count(&self) -> usize {
        self.searches.len()
    }

    pub fn forget_log(&mut self, log: LogNo) {
        self.searches.retain(|(of, _), _| *of != log);
    }

    /// Nothing more is taken of an author in a circle, in any epoch.
    pub fn stop(&mut self, author: NodeKey, circle: CircleId) {
        self.stopped.insert((author, circle));
    }

    pub fn is_stopped(&self, author: NodeKey, circle: CircleId) -> bool {
        self.stopped.contains(&(author, circle)) && !planted::is(planted::Bug::TakeForked)
    }
}

impl<K: Kv, S: Slots> Mesh<K, S> {
    /// A peer holds another id at `other` than this node.
    pub(crate) fn search_fork(&mut self, link: LinkId, log: LogNo, other: u64) {
        let same = self.base(log);
        if self.searches.searches.len() >= SEARCHES_MAX || other <= same {
            return;
        }
        self.searches.searches.entry((log, link)).or_insert(Search { same, other });
        self.step(link, log);
    }

    fn step(&mut self, link: LinkId, log: LogNo) {
        let Some(search) = self.searches.searches.get(&(log, link)).copied() else {
            return;
        };
        if search.same + 1 >= search.other {
            self.searches.searches.remove(&(log, link));
            // The run from there on is the other half of the proof.
            if let Some(no) = self.number(link, log) {
                self.tell(link, Message::Graft(no, search.other));
            }
            return;
        }
        let middle = search.same + (search.other - search.same) / 2;
        self.tell_at(link, log, middle);
    }

    pub(crate) fn tell_at(&mut self, link: LinkId, log: LogNo, seq: u64) {
        if let Some(no) = self.number(link, log) {
            self.tell(link, Message::At(no, seq));
        }
    }

    pub(crate) fn heard_at(&mut self, link: LinkId, no: u32, seq: u64) -> Result<(), StoreError> {
        let Some(log) = self.log_meant(link, no)? else {
            return Ok(());
        };
        if !self.pays(cost::PAGE) {
            return Ok(());
        }
        let id = self.id_at(log, seq)?;
        self.tell(link, Message::AtAnswer(AtAnswer { log: no, seq, id }));
        Ok(())
    }

    pub(crate) fn heard_at_answer(&mut self, link: LinkId, answer: &AtAnswer) -> Result<(), StoreError> {
        let Some(log) = self.log_mine(link, answer.log) else {
            return Ok(());
        };
        let Some(search) = self.searches.searches.get(&(log, link)).copied() else {
            return Ok(());
        };
        if answer.seq <= search.same || answer.seq >= search.other || !self.pays(cost::PAGE) {
            return Ok(());
        }
        let mine = self.id_at(log, answer.seq)?;
        let Some(search) = self.searches.searches.get_mut(&(log, link)) else {
            return Ok(());
        };
        match answer.id {
            Some(theirs) if Some(theirs) == mine => search.same = answer.seq,
            Some(_) => search.other = answer.seq,
            None => {
                // It claimed to differ and now holds nothing there.
                self.searches.searches.remove(&(log, link));
                return Ok(());
            }
        }
        self.step(link, log);
        Ok(())
    }

    /// A run says another thing than what is held. If it begins where the two part, that is the proof.
    pub(crate) fn conflict(
        &mut self,
        link: LinkId,
        log: LogNo,
        theirs: Run,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let Some(first) = self.first_difference(log, &theirs)? else {
            return Ok(());
        };
        if first == theirs.first_seq()
            && first > self.base(log) + 1
            && self.id_at(log, first - 1)? != Some(theirs.prev())
        {
            // They parted before this run begins.
            self.search_fork(link, log, first - 1);
            return Ok(());
        }
        let Some(theirs) = theirs.after(first - 1) else {
            return Ok(());
        };
        let Some(mine) = self.own_branch(log, first)? else {
            return Ok(());
        };
        match prove(&mine, &theirs) {
            Ok(at) => self.forked(log, at, [mine, theirs], out),
            Err(reason) => {
                self.close(
                    link,
                    format!("it sent a run that contradicts its log and is not signed: {reason}"),
                    out,
                );
                Ok(())
            }
        }
    }

    /// The first place of a run where this node holds another id; its own first place if it does not follow.
    fn first_difference(&self, log: LogNo, run: &Run) -> Result<Option<u64>, StoreError> {
        for entry in run.entries() {
            match self.id_at(log, entry.header.seq)? {
                Some(mine) if mine != entry.id => return Ok(Some(entry.header.seq)),
                Some(_) => {}
                // Beyond what is held: it does not follow the tip, so they parted at or before the tip.
                None => return Ok((entry.header.seq == run.first_seq()).then_some(entry.header.seq)),
            }
        }
        Ok(None)
    }

    /// What is held from a place on, up to a signature, without bodies.
    fn own_branch(&self, log: LogNo, from: u64) -> Result<Option<Run>, StoreError> {
        let Some(key) = self.store.key(log) else {
            return Ok(None);
        };
        let runs = self.reader.runs(log, from, 1, &mut Bodies::None)?;
        let Some(run) = runs.into_iter().next() else {
            return Ok(None);
        };
        let run = page::unpack(&run.packed).and_then(|page| page::decode(key, &page));
        Ok(run.ok().and_then(|run| run.after(from - 1)))
    }

    /// Whether a log is known to have forked there, or before.
    fn is_known_fork(&self, log: LogNo, at: u64) -> bool {
        matches!(self.store.standing(log), Some(Standing::Forked { at: known }) if known <= at)
    }

    /// A proof counts: it is kept and told, unless a lower fork of the log is known.
    fn forked(
        &mut self,
        log: LogNo,
        at: u64,
        branches: [Run; 2],
        out: &mut Output,
    ) -> Result<(), StoreError> {
        if self.is_known_fork(log, at) {
            return Ok(());
        }
        let Some(key) = self.store.key(log) else {
            return Ok(());
        };
        let branches = branches.map(without_bodies);
        let kept: Vec<Vec<u8>> = branches.iter().map(page::encode).collect();
        self.store.put_fork_proof(log, at, codec::encode(&kept).into())?;
        self.searches.stop(key.author, key.circle);
        self.catchup.reached(log, u64::MAX);
        self.want_no_more(log, at)?;
        if key.author == self.node {
            self.lost_own_records(log);
        }
        out.push(Effect::Event(Event::Forked { author: key.author, circle: key.circle, seq: at }));
        for link in self.links_of(log) {
            self.tell_proof(link, log, &kept);
            if let Some(link) = self.links.get_mut(link) {
                link.hello_due = true;
            }
        }
        Ok(())
    }

    /// Bodies that are missing from a fork on are taken of nobody any more.
    fn want_no_more(&mut self, log: LogNo, from: u64) -> Result<(), StoreError> {
        let rule = self.store.intern_rule(rule::DISPUTED)?;
        loop {
            let mut missing = self.store.wanted(RecordRef { log, seq: from }, REFS_MAX);
            missing.retain(|place| place.log == log);
            if missing.is_empty() {
                return Ok(());
            }
            for place in missing {
                self.catchup.settled(place);
                if let Some(stamped) = self.store.outcome(place) {
                    let (verdict, body) = (Verdict::Refused, BodyState::NotHeld);
                    self.store.set_outcome(place, Outcome { verdict, body, rule, ..stamped.outcome })?;
                }
            }
        }
    }

    fn tell_proof(&mut self, link: LinkId, log: LogNo, pages: &[Vec<u8>]) {
        let Some(no) = self.number(link, log) else { return };
        if let Some(link) = self.links.get_mut(link) {
            link.proofs_told.insert(log);
        }
        if let [one, other] = pages {
            let push = |page: &Vec<u8>| Push { log: no, reply: true, page: page.clone() };
            self.tell(link, Message::Fork(Box::new([push(one), push(other)])));
        }
    }

    /// Hands the proof that a log forked to a peer that does not know of it: once until the two compare anew.
    pub(crate) fn offer_proof(&mut self, link: LinkId, log: LogNo) -> Result<(), StoreError> {
        let told = self.links.get(link).is_none_or(|link| link.proofs_told.contains(&log));
        if told || !self.pays(cost::PAGE) {
            return Ok(());
        }
        if let Some(bytes) = self.store.fork_proof(log)?
            && let Ok(pages) = codec::decode::<Vec<Vec<u8>>, { 32 << 20 }>(&bytes)
        {
            self.did(cost::decoded(bytes.len(), 0));
            self.tell_proof(link, log, &pages);
        }
        Ok(())
    }

    pub(crate) fn heard_fork(
        &mut self,
        link: LinkId,
        proof: &[Push; 2],
        runs: Option<(Verified, Verified)>,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let [one, other] = proof;
        let Some(log) = self.log_meant(link, one.log)? else {
            return Ok(());
        };
        self.did(cost::decoded(one.page.len() + other.page.len(), 0));
        if one.log != other.log {
            self.close(link, "it sent a fork proof of two logs", out);
            return Ok(());
        }
        let Some((one, other)) = runs.map(|(one, other)| (one.into_run(), other.into_run())) else {
            return Ok(());
        };
        self.did(2 * cost::SIGNATURE + cost::decoded(0, one.entries().len() + other.entries().len()));
        if self.is_known_fork(log, one.first_seq()) {
            return Ok(());
        }
        self.did(2 * cost::SIGNATURE);
        match prove(&one, &other) {
            Ok(at) => self.forked(log, at, [one, other], out),
            Err(reason) => {
                self.close(link, format!("it sent a fork proof that proves nothing: {reason}"), out);
                Ok(())
            }
        }
    }
}

fn without_bodies(mut run: Run) -> Run {
    for (_, part) in run.bodies_mut() {
        *part = tocsin_record::Part::NotHeld;
    }
    run
}

/// Checks that two runs are different continuations of one place, both signed by the log's author. Returns the place.
fn prove(one: &Run, other: &Run) -> Result<u64, String> {
    if one.log() != other.log() || one.first_seq() != other.first_seq() || one.prev() != other.prev() {
        return Err("the branches do not begin at one place".into());
    }
    if one.entries()[0].id == other.entries()[0].id {
        return Err("the branches begin with the same record".into());
    }
    for run in [one, other] {
        run.clone().verify().map_err(|error| error.to_string())?;
    }
    Ok(one.first_seq())
}
