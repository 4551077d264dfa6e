//! The one door: every record passes here, whether it came live, by catch-up or import, or was written at this node.
//!
//! ```text
//! session: verify -> take_verified: place in its log -> admit: judge each record -> stage: store -> offer to peers
//!                                                   write: judge each draft -> sign -----^
//! ```

use std::sync::Arc;

use tocsin_policy::{Decisions, RuleId};
use tocsin_record::body::{Body, BodyRef};
use tocsin_record::{Bytes, Class, Entry, Header, Part, Run, Verified, planted};
use tocsin_store::{BodyState, Kv, LogNo, Outcome, RecordRef, SEQ_MAX, Slots, Standing, StoreError, Verdict};

use crate::admission::judge::LogFacts;
use crate::io::{Effect, Event, LinkId, Output};
use crate::mesh::Mesh;
use crate::mesh::held::around;

/// Reasons of the door itself, beside the policy's rules.
pub(crate) mod rule {
    /// Written by a clock that is ahead.
    pub const TIME: &str = "guardrail:time";
    /// Under a roster that this node has not seen.
    pub const ROSTER: &str = "guardrail:roster";
    /// A change to a version that is not here.
    pub const ANCESTOR: &str = "guardrail:ancestor";
    /// The body hashes right and does not read: its author's fault.
    pub const MALFORMED: &str = "guardrail:malformed";
    /// At or behind the place where its author said two things.
    pub const DISPUTED: &str = "guardrail:disputed";
    /// The body was taken back or has expired.
    pub const GONE: &str = "guardrail:gone";
}

/// What the door decided about one record.
pub(crate) struct Decided<'a> {
    pub verdict: Verdict,
    pub body: BodyState,
    pub rule: u16,
    /// The body, if it was here and reads.
    pub read: Option<BodyRef<'a>>,
}

impl<K: Kv, S: Slots> Mesh<K, S> {
    /// Whether a run says another thing than what is held of its log.
    pub(crate) fn disagrees(&self, log: LogNo, run: &Run) -> Result<bool, StoreError> {
        let height = self.height(log);
        let shared = run.tip().seq.min(height);
        if shared < run.first_seq() || shared <= self.base(log) {
            // Nothing overlaps; does it follow?
            let tip = self.store.tip(log).unwrap_or_default();
            return Ok(run.first_seq() == tip.seq + 1 && run.prev() != tip.id);
        }
        let offset = usize::try_from(shared - run.first_seq()).unwrap_or(usize::MAX);
        let theirs = run.entries().get(offset).map(|entry| entry.id);
        let mine = self.id_at(log, shared)?;
        Ok(theirs.is_some() && mine.is_some() && theirs != mine)
    }

    /// A verified run from a peer.
    pub(crate) fn take_verified(
        &mut self,
        link: LinkId,
        log: LogNo,
        run: Verified,
        packed: Option<&[u8]>,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let height = self.height(log);
        if self.disagrees(log, &run)? {
            return self.conflict(link, log, run.into_run(), out);
        }
        // Its headers came by others, who may not have given the bodies.
        if run.first_seq() <= height {
            self.note_parts(link, log, &run, out)?;
        }
        if run.tip().seq <= height || run.first_seq() > height + 1 || height >= self.takes_up_to(log) {
            return Ok(());
        }
        let key = *run.log();
        let may_write =
            self.directory.org_of(key.author).is_some_and(|org| self.directory.is_member(org, key.circle));
        let open = self.store.standing(log) == Some(Standing::Open);
        if !may_write || (open && self.searches.is_stopped(key.author, key.circle)) {
            return Ok(());
        }
        let packed = packed.filter(|_| run.first_seq() == height + 1);
        let Some(run) = run.after(height) else {
            return Ok(());
        };
        // A run is checked within itself while it is read; that it goes on where the log ends can only be seen here.
        let tip = self.store.tip(log).unwrap_or_default();
        if run.entries()[0].header.time < tip.time || run.tip().seq > SEQ_MAX {
            self.close(link, "it sent a run whose time falls behind the record before it", out);
            return Ok(());
        }
        if key.author == self.node {
            self.lost_own_records(log);
        }
        self.admit(log, &run, packed, link, out)?;
        self.arrived(log, link);
        if key.author != self.node {
            self.owe_receipt(log);
        }
        Ok(())
    }

    /// Judges and stages the records of a run of a peer that follows its log's tip, and hands them on.
    fn admit(
        &mut self,
        log: LogNo,
        run: &Verified,
        packed: Option<&[u8]>,
        from: LinkId,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let limit = self.takes_up_to(log);
        let directory = Arc::clone(&self.directory);
        let facts = LogFacts::of(&directory, run.log().author, run.log().circle);
        let mut decided = Vec::with_capacity(run.entries().len());
        for entry in run.entries() {
            let mut one = if entry.header.seq > limit {
                self.undecided(rule::DISPUTED, Verdict::Refused, BodyState::NotHeld)?
            } else {
                self.decide(&facts, entry)?
            };
            if entry.body == Part::Withheld && one.body == BodyState::Wanted {
                one.body = BodyState::Withheld;
            }
            decided.push(one);
        }
        self.stage(log, run, packed, Some(from), &decided, out)
    }

    /// Stages the records of a run about which was decided, and hands them on. `from` is the link that they came by; this
    /// node's own come by none.
    pub(crate) fn stage(
        &mut self,
        log: LogNo,
        run: &Verified,
        packed: Option<&[u8]>,
        from: Option<LinkId>,
        decided: &[Decided<'_>],
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let peer = match from {
            Some(link) => {
                let node = self.node_of(link);
                self.store.intern_peer(&node)?
            }
            None => 0,
        };
        let received = self.clock.time(self.now);
        let outcome = |one: &Decided<'_>| Outcome {
            verdict: one.verdict,
            body: one.body,
            rule: one.rule,
            from: peer,
            received,
        };
        let outcomes: Vec<Outcome> = decided.iter().map(outcome).collect();
        self.store.append(log, run, packed, &outcomes)?;
        for (entry, one) in run.entries().iter().zip(decided) {
            let place = RecordRef { log, seq: entry.header.seq };
            self.settle(place, entry, one, false, out)?;
            if let (Part::Ask, Some(link)) = (&entry.body, from) {
                self.catchup.announced_body(&around!(self), link, place)?;
            }
        }
        self.catchup.headers_came(&around!(self), log)?;
        self.offer(log, run, decided, from);
        Ok(())
    }

    /// Decides about a record whose header is verified: by its header alone where the body is not here.
    pub(crate) fn decide<'a>(
        &mut self,
        log: &LogFacts<'_>,
        entry: &'a Entry,
    ) -> Result<Decided<'a>, StoreError> {
        match &entry.body {
            Part::Here(body) => self.decide_with_body(log, entry, body),
            Part::Gone(_) | Part::Ask | Part::Withheld | Part::NotHeld => {
                if let Some(reason) = self.is_over(entry)? {
                    return self.undecided(rule::GONE, Verdict::Unjudged, BodyState::Gone(reason));
                }
                let decision = self.fetch_allowed(log, &entry.header);
                let rule = self.number_of_rule(decision.rule)?;
                Ok(if decision.allow {
                    Decided { verdict: Verdict::Unjudged, body: BodyState::Wanted, rule, read: None }
                } else {
                    Decided { verdict: Verdict::Refused, body: BodyState::Refused, rule, read: None }
                })
            }
        }
    }

    /// Why a body that is not here is gone for everybody, by the word of its author: its record ended, or was taken back.
    /// That a peer says so is no reason not to ask the others.
    fn is_over(&self, entry: &Entry) -> Result<Option<u8>, StoreError> {
        let header = &entry.header;
        if matches!(entry.body, Part::Gone(_))
            && header.expires != 0
            && header.expires <= self.clock.passed(self.now)
        {
            return Ok(Some(0));
        }
        match self.directory.org_of(header.author) {
            Some(org) => self.store.taken_back(org, entry),
            None => Ok(None),
        }
    }

    pub(crate) fn decide_with_body<'a>(
        &mut self,
        log: &LogFacts<'_>,
        entry: &Entry,
        bytes: &'a Bytes,
    ) -> Result<Decided<'a>, StoreError> {
        let header = &entry.header;
        let body = match BodyRef::read(header, bytes) {
            Ok(body) => body,
            Err(_) => return self.undecided(rule::MALFORMED, Verdict::Refused, BodyState::Refused),
        };
        if self.clock.is_ahead(self.now, header.time) {
            self.rejudge.at(header.time);
            return self.held(rule::TIME, header, body);
        }
        if header.roster > self.directory.roster_version(header.circle) {
            return self.held(rule::ROSTER, header, body);
        }
        let judgement = match self.fetch_and_judge(log, entry, &body) {
            Ok(judgement) => judgement,
            Err(unwanted) => {
                let rule = self.number_of_rule(unwanted)?;
                let (verdict, body) = (Verdict::Refused, BodyState::Refused);
                return Ok(Decided { verdict, body, rule, read: None });
            }
        };
        let rule = self.number_of_rule(judgement.rule)?;
        let (verdict, state) = match judgement.verdict {
            tocsin_policy::Verdict::Accept => (Verdict::Accepted, BodyState::Here),
            tocsin_policy::Verdict::Hold => (Verdict::Held, BodyState::Here),
            tocsin_policy::Verdict::Refuse if planted::is(planted::Bug::ForgetRefusal) => {
                (Verdict::Refused, BodyState::Wanted)
            }
            tocsin_policy::Verdict::Refuse => (Verdict::Refused, BodyState::Refused),
        };
        if verdict == Verdict::Accepted && self.lacks_ancestor(&body)? {
            return self.held(rule::ANCESTOR, header, body);
        }
        Ok(Decided { verdict, body: state, rule, read: Some(body) })
    }

    /// Whether a version holds changes to a version that is not here.
    fn lacks_ancestor(&mut self, body: &BodyRef<'_>) -> Result<bool, StoreError> {
        let BodyRef::Report(report) = body else {
            return Ok(false);
        };
        if report.extent == tocsin_record::body::report::Extent::Whole {
            return Ok(false);
        }
        let Some(before) = report.supersedes else {
            return Ok(false);
        };
        let missing = self.store.find(&before)?.is_none();
        if missing {
            self.rejudge.waits_for(before);
        }
        Ok(missing)
    }

    pub(crate) fn undecided<'a>(
        &mut self,
        rule: &str,
        verdict: Verdict,
        body: BodyState,
    ) -> Result<Decided<'a>, StoreError> {
        let rule = self.store.intern_rule(rule)?;
        Ok(Decided { verdict, body, rule, read: None })
    }

    /// Held whatever the policy says. What content lists is found among what is held; documents are not taken yet.
    fn held<'a>(
        &mut self,
        rule: &str,
        header: &Header,
        body: BodyRef<'a>,
    ) -> Result<Decided<'a>, StoreError> {
        let read = (header.class == Class::Content).then_some(body);
        Ok(Decided { read, ..self.undecided(rule, Verdict::Held, BodyState::Here)? })
    }

    /// The store's number for a rule of the policy in force.
    pub(crate) fn number_of_rule(&mut self, rule: RuleId) -> Result<u16, StoreError> {
        if let Some(number) = self.rejudge.numbers.get(&rule) {
            return Ok(*number);
        }
        let name = self.decisions.rule_name(rule).to_owned();
        let number = self.store.intern_rule(&name)?;
        self.rejudge.numbers.insert(rule, number);
        if Decisions::is_newer_hold(rule) {
            self.rejudge.newer = Some(number);
        }
        Ok(number)
    }

    /// Whether a record is held because it is newer than this node: such bodies are carried all the same.
    pub(crate) fn is_newer_hold(&self, rule: u16) -> bool {
        self.rejudge.newer == Some(rule)
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
        let here = self.store.outcome(place).is_some_and(|stamped| stamped.outcome.body == BodyState::Here);
        let unanswered = anew && planted::is(planted::Bug::AnewUnanswered);
        if here
            && !unanswered
            && let Some(read) = &decided.read
        {
            self.index.list(place, read, decided.verdict);
        }
        if decided.verdict != Verdict::Unjudged {
            out.push(Effect::Event(Event::Judged {
                place,
                id: entry.id,
                author: entry.header.author,
                circle: entry.header.circle,
                kind: entry.header.kind,
                verdict: decided.verdict,
                anew,
                rule: decided.rule,
            }));
        }
        self.rejudge.arrived(&entry.id);
        if entry.header.class == Class::Control
            && let Some(BodyRef::Other(Body::Roster(carried) | Body::Certificate(carried))) = &decided.read
        {
            self.take_documents(std::slice::from_ref(&carried.document), None, false, out)?;
        }
        Ok(())
    }

    /// Whether something was decided about a record before.
    fn was_judged(&self, place: RecordRef) -> bool {
        self.store.outcome(place).is_some_and(|stamped| stamped.outcome.verdict != Verdict::Unjudged)
    }

    /// A body that came after its header: judged now, and announced if it counts.
    pub(crate) fn take_body(
        &mut self,
        place: RecordRef,
        body: Bytes,
        link: LinkId,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let Some(mut entry) = self.store.entry(place)? else {
            return Ok(());
        };
        self.catchup.settled(place);
        let since = self.links.budgets.free();
        entry.body = Part::Here(body.clone());
        let directory = Arc::clone(&self.directory);
        let facts = LogFacts::of(&directory, entry.header.author, entry.header.circle);
        let decided = self.decide_with_body(&facts, &entry, &body)?;
        let node = self.node_of(link);
        let from = self.store.intern_peer(&node)?;
        let received = self.clock.time(self.now);
        let anew = self.was_judged(place);
        let outcome =
            Outcome { verdict: decided.verdict, body: decided.body, rule: decided.rule, from, received };
        if decided.body == BodyState::Here {
            self.store.set_body(place, &body, outcome)?;
        } else {
            self.store.set_outcome(place, outcome)?;
        }
        let passes = decided.verdict == Verdict::Accepted || self.is_newer_hold(decided.rule);
        self.settle(place, &entry, &decided, anew, out)?;
        if passes {
            self.released(place, Some(link))?;
        }
        self.links.budgets.paid_again(since);
        Ok(())
    }
}
