//! The way of a run through the door: placed in its log, judged record by record, staged, and handed on to the other parts.
//!
//! ```text
//! session: verify -> take_verified: place in its log -> admit: judge each record -> stage: store -> offer to peers
//!                                                writing: judge each draft -> sign -----^
//! ```

use std::sync::Arc;

use tocsin_record::body::{Body, BodyRef};
use tocsin_record::{Bytes, Class, Entry, Part, Verified};
use tocsin_store::{BodyState, Kv, LogNo, RecordRef, SEQ_MAX, Slots, Standing, StoreError, Verdict};

use crate::admission::By;
use crate::admission::admit::{Decided, rule};
use crate::admission::judge::LogFacts;
use crate::io::{Effect, Event, Hand, Output};
use crate::mesh::Mesh;
use crate::mesh::held::around;

impl<K: Kv, S: Slots> Mesh<K, S> {
    /// A verified run from a peer.
    pub(crate) fn take_verified(
        &mut self,
        hand: Hand,
        log: LogNo,
        run: Verified,
        packed: Option<&[u8]>,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let height = self.height(log);
        if self.admission.disagrees(log, &run)? {
            return self.conflict(hand, log, run.into_run(), out);
        }
        // Its headers came by others, who may not have given the bodies.
        if run.first_seq() <= height {
            self.note_parts(hand, log, &run, out)?;
        }
        if run.tip().seq <= height || run.first_seq() > height + 1 || height >= self.takes_up_to(log) {
            return Ok(());
        }
        let key = *run.log();
        let members = self.directory.membership(key.circle);
        let may_write =
            self.directory.org_of(key.author).is_some_and(|org| members.counts_up_to(org, &key) > 0);
        let open = self.admission.store().standing(log) == Some(Standing::Open);
        if !may_write || (open && self.admission.searches.is_stopped(key.author, key.circle)) {
            return Ok(());
        }
        let packed = packed.filter(|_| run.first_seq() == height + 1);
        let Some(mut run) = run.after(height) else {
            return Ok(());
        };
        // A run is checked within itself while it is read; that it goes on where the log ends can only be seen here.
        let tip = self.admission.store().tip(log).unwrap_or_default();
        if run.entries()[0].header.time < tip.time || run.tip().seq > SEQ_MAX {
            self.is_at_fault(hand, "it sent a run whose time falls behind the record before it", out);
            return Ok(());
        }
        if key.author == self.admission.node {
            self.admission.lost_own_records(self.now, log);
        }
        let directory = Arc::clone(&self.directory);
        self.admission.open_run(&By { directory: &directory, now: self.now }, log, &mut run)?;
        self.admit(log, &run, packed, hand, out)?;
        self.arrived(log, hand);
        self.owe_receipt(log, run.first_seq(), run.tip().seq);
        Ok(())
    }

    /// Judges and stages the records of a run of a peer that follows its log's tip, and hands them on.
    fn admit(
        &mut self,
        log: LogNo,
        run: &Verified,
        packed: Option<&[u8]>,
        from: Hand,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let limit = self.takes_up_to(log);
        let directory = Arc::clone(&self.directory);
        let by = By { directory: &directory, now: self.now };
        let facts = LogFacts::of(&directory, run.log().author, run.log().circle);
        let mut decided = Vec::with_capacity(run.entries().len());
        for entry in run.entries() {
            let mut one = if entry.header.seq > limit {
                self.admission.undecided(rule::DISPUTED, Verdict::Refused, BodyState::NotHeld)?
            } else {
                self.admission.decide(&by, &facts, entry)?
            };
            if entry.body == Part::Withheld && one.body == BodyState::Wanted {
                one.body = BodyState::Withheld;
            }
            decided.push(one);
        }
        self.stage(log, run, packed, Some(from), &decided, out)
    }

    /// Stages the records of a run about which was decided, and hands them on. `from` is the way that they came by; this
    /// node's own come by none.
    pub(crate) fn stage(
        &mut self,
        log: LogNo,
        run: &Verified,
        packed: Option<&[u8]>,
        from: Option<Hand>,
        decided: &[Decided<'_>],
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let by_node = from.map(|hand| self.node_by(hand));
        let link = from.and_then(Hand::link);
        self.admission.append(self.now, log, run, packed, by_node, decided)?;
        for (entry, one) in run.entries().iter().zip(decided) {
            let place = RecordRef { log, seq: entry.header.seq };
            self.settle(place, entry, one, false, out)?;
            if let (Part::Ask, Some(link)) = (&entry.body, link) {
                self.catchup.announced_body(&around!(self), link, place)?;
            }
        }
        self.catchup.headers_came(&around!(self), log)?;
        self.offer(log, run, decided, link);
        Ok(())
    }

    /// What follows from a decision once it is staged: events, the index, documents, what waited for it.
    pub(crate) fn settle(
        &mut self,
        place: RecordRef,
        entry: &Entry,
        decided: &Decided<'_>,
        anew: bool,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        self.admission.decided(place, &entry.id, decided, anew);
        if decided.verdict != Verdict::Unjudged {
            out.push(Effect::Event(Event::Judged {
                place,
                id: entry.id,
                author: entry.header.author,
                circle: entry.header.circle,
                kind: entry.kind(),
                verdict: decided.verdict,
                anew,
                rule: decided.rule,
            }));
        }
        if entry.header.class == Class::Control
            && let Some(BodyRef::Other(Body::Roster(carried) | Body::Certificate(carried))) = &decided.read
        {
            self.take_documents(std::slice::from_ref(&carried.document), None, false, out)?;
        }
        Ok(())
    }

    /// A body that came after its header: judged now, and announced if it counts.
    pub(crate) fn take_body(
        &mut self,
        place: RecordRef,
        body: Bytes,
        hand: Hand,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let Some(mut entry) = self.admission.store().entry(place)? else {
            return Ok(());
        };
        self.catchup.settled(place);
        let since = self.links.budgets.free();
        entry.body = Part::Here(body);
        let directory = Arc::clone(&self.directory);
        let by = By { directory: &directory, now: self.now };
        entry.plain = self.admission.open_entry(&by, place.log, &entry)?;
        let facts = LogFacts::of(&directory, entry.header.author, entry.header.circle);
        let anew = self.admission.was_judged(place);
        let node = self.node_by(hand);
        let before = self.admission.store().outcome(place).map(|stamped| stamped.outcome);
        let decided = self.admission.take_body(&by, &facts, &entry, place, node)?;
        self.owe_fate(place, before.as_ref());
        let passes = decided.verdict == Verdict::Accepted || self.admission.is_carried_unread(decided.rule);
        self.settle(place, &entry, &decided, anew, out)?;
        if passes {
            self.released(place, hand.link())?;
        }
        self.links.budgets.paid_again(since);
        Ok(())
    }
}
