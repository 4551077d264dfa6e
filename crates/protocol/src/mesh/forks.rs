//! Forks between the parts: they are searched for with the peer that holds another id, proven, kept and told.

use tocsin_record::{Run, Verified, page};
use tocsin_store::{Kv, LogNo, Slots, StoreError};

use crate::admission::fork::{Step, prove, without_bodies};
use crate::io::{Effect, Event, Hand, LinkId, Output};
use crate::links::budget::cost;
use crate::mesh::Mesh;
use crate::message::{AtAnswer, Message, Push};

impl<K: Kv, S: Slots> Mesh<K, S> {
    /// A peer holds another id at `other` than this node.
    pub(crate) fn search_fork(&mut self, link: LinkId, log: LogNo, other: u64) {
        let same = self.admission.base(log);
        let step = self.admission.searches.begin(log, link, same, other);
        self.go_on(link, log, step);
    }

    fn go_on(&mut self, link: LinkId, log: LogNo, step: Option<Step>) {
        let Some(step) = step else { return };
        if let Some(no) = self.number(link, log) {
            let message = match step {
                Step::Ask(seq) => Message::At(no, seq),
                Step::Found(seq) => Message::Graft(no, seq),
            };
            self.tell(link, message);
        }
    }

    pub(crate) fn heard_at(&mut self, link: LinkId, no: u32, seq: u64) -> Result<(), StoreError> {
        let Some(log) = self.log_meant(link, no)? else {
            return Ok(());
        };
        if !self.pays(cost::PAGE) {
            return Ok(());
        }
        let id = self.admission.id_at(log, seq)?;
        self.tell(link, Message::AtAnswer(AtAnswer { log: no, seq, id }));
        Ok(())
    }

    pub(crate) fn heard_at_answer(&mut self, link: LinkId, answer: &AtAnswer) -> Result<(), StoreError> {
        let Some(log) = self.log_mine(link, answer.log) else {
            return Ok(());
        };
        if !self.admission.searches.is_between(log, link, answer.seq) || !self.pays(cost::PAGE) {
            return Ok(());
        }
        let mine = self.admission.id_at(log, answer.seq)?;
        let step = self.admission.searches.answered(log, link, answer.seq, answer.id, mine);
        self.go_on(link, log, step);
        Ok(())
    }

    /// A run says another thing than what is held. If it begins where the two part, that is the proof.
    pub(crate) fn conflict(
        &mut self,
        hand: Hand,
        log: LogNo,
        theirs: Run,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let Some(first) = self.admission.first_difference(log, &theirs)? else {
            return Ok(());
        };
        if first == theirs.first_seq()
            && first > self.admission.base(log) + 1
            && self.admission.id_at(log, first - 1)? != Some(theirs.prev())
        {
            // They parted before this run begins.
            if let Hand::Link(link) = hand {
                self.search_fork(link, log, first - 1);
            }
            return Ok(());
        }
        let Some(theirs) = theirs.after(first - 1) else {
            return Ok(());
        };
        let Some(mine) = self.admission.own_branch(log, first)? else {
            return Ok(());
        };
        match prove(&mine, &theirs) {
            Ok(at) => self.forked(log, at, [mine, theirs], out),
            Err(reason) => {
                self.is_at_fault(
                    hand,
                    format!("it sent a run that contradicts its log and is not signed: {reason}"),
                    out,
                );
                Ok(())
            }
        }
    }

    /// A proof counts: it is kept and told, unless a lower fork of the log is known.
    pub(crate) fn forked(
        &mut self,
        log: LogNo,
        at: u64,
        branches: [Run; 2],
        out: &mut Output,
    ) -> Result<(), StoreError> {
        if self.admission.is_known_fork(log, at) {
            return Ok(());
        }
        let Some(key) = self.admission.store().key(log) else {
            return Ok(());
        };
        let branches = branches.map(without_bodies);
        let kept: Vec<Vec<u8>> = branches.iter().map(page::encode).collect();
        self.admission.keep_proof(log, at, &kept)?;
        self.catchup.reached(log, u64::MAX);
        for place in self.admission.want_no_more(log, at)? {
            self.catchup.settled(place);
        }
        if key.author == self.admission.node {
            self.admission.lost_own_records(self.now, log);
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
        if let Some(proof) = self.admission.proof(log)? {
            self.did(cost::decoded(proof.bytes, 0));
            self.tell_proof(link, log, &proof.pages);
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
        // It was read and verified, whatever it is of.
        self.did(cost::decoded(one.page.len() + other.page.len(), 0));
        if let Some((one, other)) = &runs {
            self.did(2 * cost::SIGNATURE + cost::decoded(0, one.entries().len() + other.entries().len()));
        }
        let Some(log) = self.log_meant(link, one.log)? else {
            return Ok(());
        };
        if one.log != other.log {
            self.close(link, "it sent a fork proof of two logs", out);
            return Ok(());
        }
        let Some((one, other)) = runs.map(|(one, other)| (one.into_run(), other.into_run())) else {
            return Ok(());
        };
        if self.admission.is_known_fork(log, one.first_seq()) {
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
