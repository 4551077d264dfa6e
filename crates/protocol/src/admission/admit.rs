//! The one door: what is decided about every record, whether it came live, by catch-up or import, or was written at this node,
//! and what is kept of it.

use tocsin_policy::{Decisions, RuleId};
use tocsin_record::body::{Body, BodyError, BodyRef};
use tocsin_record::{Class, Entry, Header, NodeKey, Part, RecordId, Run, Verified, planted};
use tocsin_store::{
    BodyState, Kv, Left, LogNo, Outcome, Reader, RecordRef, Slots, Stamped, Standing, StoreError, Verdict,
};

use crate::admission::judge::{LogFacts, Way};
use crate::admission::sealing::Shut;
use crate::admission::{Admission, By};
use crate::io::Now;

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
    /// The body is sealed, and what opens it is not here: its key did not come yet, or was not wrapped for this node.
    pub const NO_KEY: &str = crate::index::UNREAD[0];
    /// It was sealed before this org came in, and nobody opened it since: its body is not asked for.
    pub const BEFORE_JOINING: &str = "guardrail:before-joining";
    /// The body is sealed to others, for whom this node carries.
    pub const CARRIED: &str = crate::index::UNREAD[1];
    /// The body was taken back or has expired.
    pub const GONE: &str = "guardrail:gone";
    /// A person of this node decided about what was held.
    pub const BY_HAND: &str = "by-hand";
    /// What begins the name where nobody did for so many days, and the configuration says what then.
    pub const BY_DEFAULT: &str = "by-default-after-";
}

/// The store's number for a reason of the door, if it was ever given.
pub(super) fn number_of<K: Kv, S: Slots>(reader: &Reader<K, S>, reason: &str) -> Option<u16> {
    let mut names = (0..=u16::MAX).map_while(|number| Some((number, reader.rule(number)?)));
    names.find(|(_, name)| name == reason).map(|(number, _)| number)
}

/// What the door decided about one record.
pub(crate) struct Decided<'a> {
    pub verdict: Verdict,
    pub body: BodyState,
    pub rule: u16,
    /// The body, if it was here and reads.
    pub read: Option<BodyRef<'a>>,
}

impl<K: Kv, S: Slots> Admission<K, S> {
    /// Greatest number that is taken of a log: below a fork or up to a cut, else no end.
    pub(crate) fn takes_up_to(&self, log: LogNo) -> u64 {
        match self.store.standing(log) {
            Some(Standing::Open) => u64::MAX,
            Some(Standing::Forked { at }) => at - 1,
            Some(Standing::Cut { at, .. }) => at,
            None => 0,
        }
    }

    pub(crate) fn height(&self, log: LogNo) -> u64 {
        self.store.tip(log).map_or(0, |tip| tip.seq)
    }

    /// The last record of a log that is cut off here: what stands behind it is held.
    pub(crate) fn base(&self, log: LogNo) -> u64 {
        self.reader.log(log).map_or(0, |info| info.base.seq)
    }

    /// The id of a record whose header is held.
    pub(crate) fn id_at(&self, log: LogNo, seq: u64) -> Result<Option<RecordId>, StoreError> {
        if let Some(tip) = self.store.tip(log)
            && tip.seq == seq
        {
            return Ok(Some(tip.id));
        }
        Ok(self.store.entry(RecordRef { log, seq })?.map(|entry| entry.id))
    }

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

    /// Decides about a record whose header is verified: by its header alone where the body is not here.
    pub(crate) fn decide<'a>(
        &mut self,
        by: &By<'_>,
        log: &LogFacts<'_>,
        entry: &'a Entry,
    ) -> Result<Decided<'a>, StoreError> {
        match &entry.body {
            Part::Here(_) => self.decide_with_body(by, log, entry, BodyRef::of(entry)),
            Part::Gone(_) | Part::Ask | Part::Withheld | Part::NotHeld => {
                if let Some(reason) = self.is_over(by, entry)? {
                    return self.undecided(rule::GONE, Verdict::Unjudged, BodyState::Gone(reason));
                }
                if self.is_before_joining(by, &entry.header)? {
                    return self.undecided(rule::BEFORE_JOINING, Verdict::Refused, BodyState::Refused);
                }
                let decision = self.fetch_allowed(by, log, &entry.header);
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
    fn is_over(&self, by: &By<'_>, entry: &Entry) -> Result<Option<u8>, StoreError> {
        let header = &entry.header;
        if matches!(entry.body, Part::Gone(_))
            && header.expires != 0
            && header.expires <= self.clock.passed(by.now)
        {
            return Ok(Some(0));
        }
        match by.directory.org_of(header.author) {
            Some(org) => self.store.taken_back(org, entry),
            None => Ok(None),
        }
    }

    /// Decides about a record whose body is here, and is read so: `None` where it is sealed and did not open.
    pub(crate) fn decide_with_body<'a>(
        &mut self,
        by: &By<'_>,
        log: &LogFacts<'_>,
        entry: &Entry,
        read: Option<Result<BodyRef<'a>, BodyError>>,
    ) -> Result<Decided<'a>, StoreError> {
        let header = &entry.header;
        let body = match read {
            Some(Ok(body)) => body,
            Some(Err(_)) => return self.undecided(rule::MALFORMED, Verdict::Refused, BodyState::Refused),
            None => match self.shut(entry) {
                Shut::NoKey(_) if self.is_before_joining(by, header)? => {
                    return self.undecided(rule::BEFORE_JOINING, Verdict::Refused, BodyState::Refused);
                }
                Shut::NoKey(key) => {
                    let reads = by.directory.membership(header.circle).has(self.identity.org);
                    let rule = if reads { rule::NO_KEY } else { rule::CARRIED };
                    if let Some(key) = key.filter(|_| reads) {
                        self.rejudge.waits_for_key(key);
                    }
                    return self.undecided(rule, Verdict::Held, BodyState::Here);
                }
                Shut::Broken => {
                    return self.undecided(rule::MALFORMED, Verdict::Refused, BodyState::Refused);
                }
                Shut::Newer => BodyRef::Other(Body::Newer),
            },
        };
        if header.roster > by.directory.membership(header.circle).version() {
            return self.held(rule::ROSTER, header, body);
        }
        let judgement = match self.fetch_and_judge(by, log, entry, &body) {
            Ok(judgement) => judgement,
            Err(unwanted) => {
                let rule = self.number_of_rule(unwanted)?;
                let (verdict, body) = (Verdict::Refused, BodyState::Refused);
                return Ok(Decided { verdict, body, rule, read: None });
            }
        };
        let rule = self.number_of_rule(judgement.rule)?;
        let (verdict, state) = match judgement.ruling {
            tocsin_policy::Ruling::Accept => (Verdict::Accepted, BodyState::Here),
            tocsin_policy::Ruling::Hold => (Verdict::Held, BodyState::Here),
            tocsin_policy::Ruling::Refuse if planted::is(planted::Bug::ForgetRefusal) => {
                (Verdict::Refused, BodyState::Wanted)
            }
            tocsin_policy::Ruling::Refuse => (Verdict::Refused, BodyState::Refused),
        };
        // What the policy does not want is not kept for a time that has not come.
        if verdict != Verdict::Refused && self.clock.is_ahead(by.now, header.time) {
            self.rejudge.at(header.time);
            return self.held(rule::TIME, header, body);
        }
        if verdict == Verdict::Accepted && self.lacks_ancestor(&body)? {
            return self.held(rule::ANCESTOR, header, body);
        }
        Ok(Decided { verdict, body: state, rule, read: Some(body) })
    }

    /// Whether a version holds changes to a version that is not here, or wraps a key whose record is not.
    fn lacks_ancestor(&mut self, body: &BodyRef<'_>) -> Result<bool, StoreError> {
        let report = match body {
            BodyRef::Report(report) => report,
            // Its wraps open with the key record's commitment.
            BodyRef::Other(Body::Rewrap(again)) => {
                let missing = self.store.find(&again.key)?.is_none();
                if missing {
                    self.rejudge.waits_for(again.key);
                }
                return Ok(missing);
            }
            BodyRef::Other(_) => return Ok(false),
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
        let number = self.store.intern_rule(rule)?;
        match rule {
            rule::NO_KEY => self.no_key = Some(number),
            rule::CARRIED => self.carried = Some(number),
            _ => {}
        }
        Ok(Decided { verdict, body, rule: number, read: None })
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
        if let Some(number) = self.numbers.get(&rule) {
            return Ok(*number);
        }
        let name = self.decisions.rule_name(rule).to_owned();
        let number = self.store.intern_rule(&name)?;
        self.numbers.insert(rule, number);
        if Decisions::is_newer_hold(rule) {
            self.newer = Some(number);
        }
        Ok(number)
    }

    /// Whether a record is held for no other reason than that this node cannot read it, since it is newer or sealed to those
    /// for whom this node carries: such bodies are passed on all the same.
    pub(crate) fn is_carried_unread(&self, rule: u16) -> bool {
        self.newer == Some(rule) || self.carried == Some(rule)
    }

    /// Follows a decision that is staged: the index lists what the body says, and what waited for the record is judged anew.
    pub(crate) fn decided(&mut self, place: RecordRef, id: &RecordId, decided: &Decided<'_>, anew: bool) {
        let here = self.store.outcome(place).is_some_and(|stamped| stamped.outcome.body == BodyState::Here);
        let unanswered = anew && planted::is(planted::Bug::AnewUnanswered);
        if here
            && !unanswered
            && let Some(read) = &decided.read
        {
            self.index.list(place, read, decided.verdict);
        }
        self.rejudge.arrived(id);
    }

    /// Whether a record's body may go to an org: it is carried, and the policy lets it pass. Headers always go to members.
    pub(crate) fn may_send(&mut self, by: &By<'_>, way: &Way<'_>, place: RecordRef, entry: &Entry) -> bool {
        // What was accepted and does not open now is not judged by half of what it says.
        let is_carried = self.is_carried(place)
            && (entry.readable().is_some() || entry.header.suite == 0 || !self.is_accepted(place));
        is_carried && self.forward_allowed(by, way, entry).allow
    }

    fn is_accepted(&self, place: RecordRef) -> bool {
        self.store.outcome(place).is_some_and(|stamped| stamped.outcome.verdict == Verdict::Accepted)
    }

    /// Whether a body may leave at all: it is here, and accepted or only newer than this node.
    pub(crate) fn is_carried(&self, place: RecordRef) -> bool {
        self.store.outcome(place).is_some_and(|stamped| {
            let outcome = stamped.outcome;
            outcome.body == BodyState::Here
                && match outcome.verdict {
                    Verdict::Accepted => true,
                    Verdict::Held => self.is_carried_unread(outcome.rule),
                    Verdict::Unjudged | Verdict::Refused => false,
                }
        })
    }

    /// Whether something was decided about a record before.
    pub(crate) fn was_judged(&self, place: RecordRef) -> bool {
        self.store.outcome(place).is_some_and(|stamped| stamped.outcome.verdict != Verdict::Unjudged)
    }

    /// Nobody is left who would give a body that is wanted.
    pub(crate) fn withhold(&mut self, place: RecordRef) -> Result<(), StoreError> {
        match self.store.outcome(place) {
            Some(Stamped { outcome, .. }) if outcome.body == BodyState::Wanted => {
                self.store.set_outcome(place, Outcome { body: BodyState::Withheld, ..outcome })
            }
            _ => Ok(()),
        }
    }

    /// Brings the index up to a commit, in which these bodies left the store.
    pub(crate) fn follow(&mut self, left: &[Left]) {
        for left in left {
            // It may have come back in the same commit.
            if self.store.outcome(left.place).is_none_or(|now| now.outcome.body != BodyState::Here) {
                self.index.forget(left);
            }
        }
        self.index.follow();
    }

    /// Stages the records of a run about which was decided. `from` is the node that they came from; this node's own come from
    /// none.
    ///
    /// # Errors
    /// On a disk fault.
    pub(crate) fn append(
        &mut self,
        now: Now,
        log: LogNo,
        run: &Verified,
        packed: Option<&[u8]>,
        from: Option<NodeKey>,
        decided: &[Decided<'_>],
    ) -> Result<(), StoreError> {
        let from = match from {
            Some(node) => self.store.intern_peer(&node)?,
            None => 0,
        };
        let received = self.clock.time(now);
        let outcome = |one: &Decided<'_>| Outcome {
            verdict: one.verdict,
            body: one.body,
            rule: one.rule,
            from,
            received,
        };
        let outcomes: Vec<Outcome> = decided.iter().map(outcome).collect();
        self.store.append(log, run, packed, &outcomes)?;
        Ok(())
    }

    /// Judges and stages a body that came after its header, from a node.
    ///
    /// # Errors
    /// On a disk fault.
    pub(crate) fn take_body<'a>(
        &mut self,
        by: &By<'_>,
        facts: &LogFacts<'_>,
        entry: &'a Entry,
        place: RecordRef,
        from: NodeKey,
    ) -> Result<Decided<'a>, StoreError> {
        let decided = self.decide(by, facts, entry)?;
        let from = self.store.intern_peer(&from)?;
        let received = self.clock.time(by.now);
        let outcome =
            Outcome { verdict: decided.verdict, body: decided.body, rule: decided.rule, from, received };
        if let (BodyState::Here, Some(body)) = (decided.body, entry.body()) {
            self.store.set_body(place, body, outcome)?;
        } else {
            self.store.set_outcome(place, outcome)?;
        }
        Ok(decided)
    }
}
