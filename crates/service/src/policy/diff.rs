//! What another policy would change: each record and each partner is asked of both. Decisions are cached by what rules read, so
//! that records which look alike to them are decided once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tocsin_api::types::{PolicyChange, PolicyDiff};
use tocsin_policy::{BodyView, Decisions, Person, Policy, RecordFacts, Ruling};
use tocsin_protocol::judge::{LogFacts, new_body_ref_view, org_facts};
use tocsin_protocol::{Directory, is_decided_here};
use tocsin_record::OrgId;
use tocsin_record::body::BodyRef;
use tocsin_store::{BodyState, RecordRef, Stored};

use crate::{Caller, Node, NodeError};

/// Most records that are asked of both, those that came last.
const RECORDS_MAX: u64 = 200_000;
/// Ids told for each change.
const EXAMPLES: usize = 3;

/// What changes, and to whom: `verdict`, `send` and an org, or `show`; what it was, what it is, and the rule that decides now.
type Change = (&'static str, Option<OrgId>, &'static str, &'static str, String);

/// What a policy decides of one record.
struct Said {
    verdict: &'static str,
    rule: String,
    /// For each org that may be asked for, whether its body goes there, and the rule.
    sends: Vec<(OrgId, bool, String)>,
    shown: Option<(bool, String)>,
}

impl Node {
    /// What the policy of a text would change of what is here, beside the one in force, for who asks. Reads the disk.
    ///
    /// # Errors
    /// When the text is no policy, or the disk fails.
    pub fn policy_diff(&self, caller: &Caller, text: &str, file: &Path) -> Result<PolicyDiff, NodeError> {
        caller.check()?;
        let new = super::parse(text, file)?;
        let mut diff = self.compare(caller, &new)?;
        diff.file = file.display().to_string();
        diff.warnings = new.warnings().iter().map(ToString::to_string).collect();
        Ok(diff)
    }

    /// What a policy would change beside the one in force. Reads the disk.
    pub(crate) fn compare(&self, caller: &Caller, new: &Arc<Policy>) -> Result<PolicyDiff, NodeError> {
        let directory = self.engine.directory();
        let mut old = self.decisions(&directory);
        let mut new = Decisions::new(Arc::clone(new), self.home_facts(&directory));
        let person = caller.person();
        let now = self.passed_ms();
        let mut changes: BTreeMap<Change, (u64, Vec<String>)> = BTreeMap::new();
        let mut diff = PolicyDiff::default();
        let ranges = self.engine.reader.newest(|outcome| !matches!(outcome.body, BodyState::Gone(_)));
        let places = ranges.iter().flat_map(|range| {
            (0..range.count).rev().map(|offset| RecordRef { seq: range.first.seq + offset, ..range.first })
        });
        // What a person decided no policy changes.
        let rules = (0..=u16::MAX).map_while(|rule| Some((rule, self.engine.reader.rule(rule)?)));
        let by_hand: Vec<u16> =
            rules.filter(|(_, name)| is_decided_here(name)).map(|(rule, _)| rule).collect();
        for place in places {
            if diff.looked >= RECORDS_MAX {
                diff.more = true;
                break;
            }
            let Some(stored) = self.engine.reader.record(place)? else { continue };
            diff.looked += 1;
            if by_hand.contains(&stored.stamped.outcome.rule) {
                continue;
            }
            let was = self.said(&mut old, &directory, &stored, &person, now);
            let is = self.said(&mut new, &directory, &stored, &person, now);
            for change in changed(&was, is) {
                let (records, examples) = changes.entry(change).or_default();
                *records += 1;
                if examples.len() < EXAMPLES {
                    examples.push(stored.entry.id.to_string());
                }
            }
        }
        let told = |((what, org, was, is, rule), (records, examples)): (Change, _)| PolicyChange {
            what: what.to_owned(),
            org: org.map(|org| self.org_name(&directory, org)),
            was: was.to_owned(),
            is: is.to_owned(),
            rule,
            records,
            examples,
        };
        diff.changes = changes.into_iter().map(told).collect();
        Ok(diff)
    }

    fn said(
        &self,
        decisions: &mut Decisions,
        directory: &Directory,
        stored: &Stored,
        person: &Person<'_>,
        now_ms: u64,
    ) -> Said {
        let header = &stored.entry.header;
        let log = LogFacts::of(directory, header.author, header.circle);
        let body = BodyRef::again(&stored.entry);
        let view = body.as_ref().map(new_body_ref_view);
        let facts = RecordFacts {
            header: log.entry(&stored.entry, now_ms),
            body: view.as_ref().map(BodyView::facts),
            disputed: stored.disputed,
        };
        let fetch = stored.entry.is_content().then(|| decisions.fetch(&facts.header));
        let (verdict, rule) = match (fetch.filter(|fetch| !fetch.allow), &view) {
            (Some(refused), _) => ("refuse", refused.rule),
            // What is not here yet is judged when it comes.
            (None, None) => {
                return Said { verdict: "unjudged", rule: String::new(), sends: Vec::new(), shown: None };
            }
            (None, Some(_)) => {
                let judgement = decisions.judge(&facts);
                (ruling_name(judgement.ruling), judgement.rule)
            }
        };
        let rule = decisions.rule_name(rule).to_owned();
        let mut sends = Vec::new();
        let members = directory.membership(header.circle).members();
        for org in members.filter(|org| *org != self.engine.org() && *org != stored.org) {
            let said = decisions.forward(&facts, &org_facts(directory, org));
            let is_accepted = verdict == "accept";
            // What is not accepted is not passed on, whatever `forward` says.
            let by = if said.allow && !is_accepted { &rule } else { decisions.rule_name(said.rule) };
            sends.push((org, said.allow && is_accepted, by.to_owned()));
        }
        let query = decisions.query(&facts, person);
        let shown = Some((query.allow, decisions.rule_name(query.rule).to_owned()));
        Said { verdict, rule, sends, shown }
    }
}

/// What differs between what two policies say of one record.
fn changed(was: &Said, is: Said) -> Vec<Change> {
    let mut changes = Vec::new();
    if was.verdict != is.verdict {
        changes.push(("verdict", None, was.verdict, is.verdict, is.rule));
    }
    let goes = |goes: bool| if goes { "sent" } else { "not sent" };
    for (org, now_goes, rule) in is.sends {
        let went = was.sends.iter().any(|(other, goes, _)| *other == org && *goes);
        if went != now_goes {
            changes.push(("send", Some(org), goes(went), goes(now_goes), rule));
        }
    }
    let shown = |shown: bool| if shown { "shown" } else { "hidden" };
    if let (Some((before, _)), Some((after, rule))) = (&was.shown, is.shown)
        && *before != after
    {
        changes.push(("show", None, shown(*before), shown(after), rule));
    }
    changes
}

fn ruling_name(ruling: Ruling) -> &'static str {
    match ruling {
        Ruling::Accept => "accept",
        Ruling::Hold => "hold",
        Ruling::Refuse => "refuse",
    }
}
