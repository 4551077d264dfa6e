//! What is held waits for a person, who accepts or refuses it, or takes back what was decided.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tocsin_api::types::{
    DecidedHere, Held, HeldBy, HeldRecords, HoldDecision, HoldListRequest, HoldRequest, Record, Time,
};
use tocsin_home::config::AtLast;
use tocsin_protocol::judge::body_view;
use tocsin_protocol::{Decision, Input, REASON_MAX, Waiting, is_decided_here, is_for_people};
use tocsin_record::RecordId;
use tocsin_store::{BodyState, RecordRef, Stored, Verdict};

use super::query::{Cursor, RECORDS, RECORDS_MAX, SCAN_MAX};
use super::show::verdict_name;
use super::visibility::Visibility;
use super::{Caller, Node, NodeError};

/// How long it is waited, where a decision is taken back, for bodies that are asked for again: partners that are linked and have
/// them give them in less.
const BACK_WAIT: Duration = Duration::from_secs(3);
/// How often it is looked for them.
const BACK_LOOK: Duration = Duration::from_millis(50);

impl Node {
    /// Decides about held records, one after the other, and returns them as they stand then. It stands in the log who did.
    ///
    /// # Errors
    /// At the first that is not held, or not shown to who decides; those before it are decided.
    pub async fn decide_held(
        self: &Arc<Self>,
        caller: Caller,
        request: HoldRequest,
    ) -> Result<Vec<Record>, NodeError> {
        caller.check()?;
        let HoldRequest { ids, decision, reason, .. } = request;
        if reason.len() > REASON_MAX {
            return Err(NodeError::Request(format!(
                "the reason has {} bytes, and at most {REASON_MAX} are kept",
                reason.len()
            )));
        }
        let (asked, caller) = self.apart(move |node| Ok((node.to_decide(&caller, &ids)?, caller))).await?;
        for (place, id) in &asked {
            let place = *place;
            let (name, reason) = (caller.principal.name.clone(), reason.clone());
            let input = move |ticket| match decision {
                HoldDecision::Undo => Input::UndoHeld { ticket, place },
                decision => {
                    let accept = decision == HoldDecision::Accept;
                    Input::DecideHeld { ticket, place, accept, name, reason }
                }
            };
            self.engine.core.ask(input).await.map_err(|error| match error {
                tocsin_engine::core::AskError::Refused(why) => {
                    NodeError::Request(format!("record {id} was left as it is: {why}"))
                }
                other => other.into(),
            })?;
            let verb = match decision {
                HoldDecision::Accept => "hold accept",
                HoldDecision::Refuse => "hold refuse",
                HoldDecision::Undo => "hold undo",
            };
            caller.note_deed(verb, &[*id]);
        }
        if decision == HoldDecision::Undo {
            self.wait_for_bodies(&asked).await;
        }
        self.apart(move |node| {
            let directory = node.engine.directory();
            let stands = |(place, _): &(RecordRef, RecordId)| {
                let stored = node.record(*place)?;
                Ok(node.list_entry(&directory, &stored, node.body(&stored).as_ref()))
            };
            asked.iter().map(stands).collect()
        })
        .await
    }

    /// The records of a request, each once. Nobody decides about what is not shown to them. Reads the disk.
    fn to_decide(&self, caller: &Caller, ids: &[String]) -> Result<Vec<(RecordRef, RecordId)>, NodeError> {
        let directory = self.engine.directory();
        let mut visibility = Visibility::new(self, &directory, caller);
        let (mut asked, mut seen) = (Vec::new(), BTreeSet::new());
        for word in ids {
            let place = self.find(word)?;
            let stored = self.record(place)?;
            if let Some(view) = self.body(&stored).as_ref().map(body_view)
                && let Some(rule) = visibility.keeps(&stored, &view)
            {
                return Err(NodeError::Denied { rule, help: visibility.help(&stored, &view) });
            }
            if seen.insert(place) {
                asked.push((place, stored.entry.id));
            }
        }
        Ok(asked)
    }

    /// Waits for the bodies that are asked for again, as long as partners take that are linked and give them.
    async fn wait_for_bodies(&self, asked: &[(RecordRef, RecordId)]) {
        let is_missing = |(place, _): &(RecordRef, RecordId)| {
            self.engine
                .reader
                .outcome(*place)
                .is_some_and(|stamped| stamped.outcome.body == BodyState::Wanted)
        };
        let until = tokio::time::Instant::now() + BACK_WAIT;
        while asked.iter().any(is_missing) && tokio::time::Instant::now() < until {
            tokio::time::sleep(BACK_LOOK).await;
        }
    }

    /// Lists what is held, what came first first. Reads the disk.
    ///
    /// # Errors
    /// When the cursor is none, or the disk fails.
    pub fn held(&self, caller: &Caller, request: &HoldListRequest) -> Result<HeldRecords, NodeError> {
        caller.check()?;
        let after = request.cursor.as_deref().map(Cursor::given).transpose()?;
        let limit = request.limit.unwrap_or(RECORDS).min(RECORDS_MAX);
        let directory = self.engine.directory();
        let mut visibility = Visibility::new(self, &directory, caller);
        let by_rule = self.held_by_rule();
        let decidable: BTreeSet<u16> =
            by_rule.iter().filter(|(_, (name, _))| is_for_people(name)).map(|(rule, _)| *rule).collect();
        let guardrails = by_rule.values().filter(|(name, _)| !is_for_people(name));
        let mut found = HeldRecords {
            guardrails: guardrails.map(|one| self.told_held_by(one)).collect(),
            ..Default::default()
        };
        let ranges = self.engine.reader.newest(|outcome| {
            outcome.verdict == Verdict::Held && decidable.contains(&outcome.rule) != request.guardrails
        });
        // Against the order of cursors: what waits longest is due first.
        let places = ranges.iter().rev().flat_map(|range| {
            (0..range.count).map(|offset| {
                let seq = range.first.seq + offset;
                (Cursor::of(range, seq), RecordRef { seq, ..range.first })
            })
        });
        let waiting = Waiting::of(&self.engine.reader)?;
        let (mut shown, mut last) = (Vec::new(), after);
        let left = places.filter(|(at, _)| after.is_none_or(|after| *at > after));
        for (looked, (at, place)) in left.enumerate() {
            if found.held.len() >= limit || looked >= SCAN_MAX {
                found.more = true;
                found.next = last.map(Cursor::show);
                break;
            }
            last = Some(at);
            let Some(stored) = self.engine.reader.record(place)? else { continue };
            // It may have been decided about meanwhile.
            if stored.stamped.outcome.verdict != Verdict::Held {
                continue;
            }
            let body = self.body(&stored);
            if body.as_ref().is_none_or(|body| visibility.sees(&stored, &body_view(body))) {
                shown.push(stored.entry.id);
                let record = self.list_entry(&directory, &stored, body.as_ref());
                found.held.push(self.told_held(record, &stored, &waiting));
            }
        }
        found.hidden = std::mem::take(&mut visibility.hidden);
        caller.note("hold list", &shown);
        Ok(found)
    }

    fn told_held(&self, record: Record, stored: &Stored, waiting: &Waiting) -> Held {
        let hold = &self.engine.config.hold;
        let decidable = is_for_people(&record.rule);
        let by_default = match hold.default {
            _ if !decidable => None,
            AtLast::Keep => None,
            AtLast::Accept => Some(verdict_name(Verdict::Accepted).to_owned()),
            AtLast::Refuse => Some(verdict_name(Verdict::Refused).to_owned()),
        };
        let due = by_default.as_ref().map(|_| waiting.due(&stored.stamped, hold.after_days));
        Held {
            record,
            decidable,
            held_since: Time(waiting.since(&stored.stamped)),
            by_default,
            by_default_at: Time(due.unwrap_or(0)),
            by_default_in_ms: due.map(|due| due.saturating_sub(self.passed_ms())),
        }
    }

    /// How many records each rule holds, by its number, with its name.
    fn held_by_rule(&self) -> BTreeMap<u16, (String, u64)> {
        let mut by_rule: BTreeMap<u16, (String, u64)> = BTreeMap::new();
        for range in self.engine.reader.newest(|outcome| outcome.verdict == Verdict::Held) {
            let rule = range.stamped.outcome.rule;
            let held =
                by_rule.entry(rule).or_insert_with(|| (self.engine.reader.rule(rule).unwrap_or_default(), 0));
            held.1 += range.count;
        }
        by_rule
    }

    fn told_held_by(&self, (rule, records): &(String, u64)) -> HeldBy {
        let policy = self.policy.get();
        let says = match waits_for(rule) {
            "" => policy.says(rule).map_or("", |(comment, _)| comment),
            says => says,
        };
        HeldBy { rule: rule.clone(), records: *records, says: says.to_owned() }
    }

    /// How many records wait for a person, by the rule that holds them; nothing is looked at where none is held.
    pub(super) fn waiting(&self, held: u64) -> Vec<HeldBy> {
        if held == 0 {
            return Vec::new();
        }
        let by_rule = self.held_by_rule();
        by_rule.values().filter(|(name, _)| is_for_people(name)).map(|one| self.told_held_by(one)).collect()
    }

    /// What a person here, or the configuration by default, decided about a record. Reads the disk.
    pub(super) fn decided_here(&self, stored: &Stored) -> Result<Option<DecidedHere>, NodeError> {
        let outcome = stored.stamped.outcome;
        let rule = self.engine.reader.rule(outcome.rule).unwrap_or_default();
        if !is_decided_here(&rule) {
            return Ok(None);
        }
        let told = |decision: Decision| DecidedHere {
            decision: verdict_name(outcome.verdict).to_owned(),
            by: decision.name,
            time: Time(decision.time),
            reason: decision.reason,
            held_by: decision.held_by,
            after_days: decision.after_days,
        };
        Ok(Decision::of(&self.engine.reader, stored.place)?.map(told))
    }
}

/// What the records wait for that a reason of the door holds.
fn waits_for(rule: &str) -> &'static str {
    match rule {
        "guardrail:time" => "Written by a clock that is ahead: held until its time comes.",
        "guardrail:roster" => "Written under a roster that is not here yet.",
        "guardrail:ancestor" => "Changes to a version that is not here yet.",
        "guardrail:no-key" => "Sealed, and what opens it is not here yet.",
        "guardrail:carried" => "Sealed to others, for whom this node carries it.",
        "guardrail:disputed" => "Its author said two different things in this log.",
        _ => "",
    }
}
