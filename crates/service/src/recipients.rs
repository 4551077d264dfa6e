//! Who would get what is to be shared, before anything is: each other org of a circle, by the decisions that judge what is written
//! and what is sent. What an org does with what it gets is decided by its own policy, which nobody else knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_api::types::{NewRecord, Recipient, Recipients, RecipientsRequest, Skipped};
use tocsin_policy::{Decision, Decisions, Ruling};
use tocsin_protocol::Directory;
use tocsin_protocol::judge::org_facts;
use tocsin_record::body::Body;
use tocsin_record::body::report::Report;
use tocsin_record::marking::Tlp;
use tocsin_record::{CircleId, OrgId};

use super::batch::named;
use super::publish::ReportDraft;
use super::share::Shareable;
use super::{Node, NodeError};

/// Reports that are named of those that one rule decides about.
const EXAMPLES: usize = 3;

/// What is said of several reports: by circle, part, org, answer and rule.
pub(super) struct Asked<'n> {
    node: &'n Node,
    directory: Arc<Directory>,
    decisions: Decisions,
    reports: u64,
    rows: BTreeMap<Row, Said>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    circle: CircleId,
    carries: bool,
    org: OrgId,
    kept: bool,
    rule: String,
}

#[derive(Default)]
struct Said {
    reports: u64,
    examples: Vec<String>,
}

/// An org that a record of a circle could go to, and what is decided.
struct Judged {
    org: OrgId,
    /// It carries for the members, and reads nothing that is sealed.
    carries: bool,
    decision: Decision,
}

impl<'n> Asked<'n> {
    pub fn new(node: &'n Node) -> Self {
        let directory = node.engine.directory();
        let decisions = node.decisions(&directory);
        Self { node, directory, decisions, reports: 0, rows: BTreeMap::new() }
    }

    /// What is decided about a report for each other org of a circle. What would not be written goes to nobody.
    fn judged(&mut self, circle: CircleId, body: &Body) -> Vec<Judged> {
        let Self { node, directory, decisions, .. } = self;
        let own = node.engine.org();
        let membership = directory.membership(circle);
        let members = membership.members().map(|org| (org, false));
        let carriers = membership.carriers().filter(|org| !membership.has(*org)).map(|org| (org, true));
        let orgs = members.chain(carriers).filter(|(org, _)| *org != own);
        super::show::with_draft(directory, node.engine.identity.node(), circle, body, |facts| {
            let written = decisions.judge(facts);
            let decided = |(org, carries)| {
                let decision = match written.ruling {
                    Ruling::Accept => decisions.forward(facts, &org_facts(directory, org)),
                    Ruling::Hold | Ruling::Refuse => Decision { allow: false, rule: written.rule },
                };
                Judged { org, carries, decision }
            };
            orgs.map(decided).collect()
        })
    }

    /// Takes note of who would get a report in circles.
    pub fn look(&mut self, circles: &[CircleId], report: &Report) {
        self.reports += 1;
        // What is RED is told by its subject alone, for nobody said that they may see it.
        let is_red = report.marking.as_ref().is_some_and(|marking| marking.tlp == Tlp::Red);
        let name = if is_red { report.subject.to_string() } else { named(report) };
        let body = Body::Report(report.clone());
        for circle in circles {
            for Judged { org, carries, decision } in self.judged(*circle, &body) {
                let rule = self.decisions.rule_name(decision.rule).to_owned();
                let row = Row { circle: *circle, carries, org, kept: !decision.allow, rule };
                let said = self.rows.entry(row).or_default();
                said.reports += 1;
                if said.examples.len() < EXAMPLES {
                    said.examples.push(name.clone());
                }
            }
        }
    }

    /// What was found.
    pub fn told(self) -> Recipients {
        let policy = self.node.policy.get();
        let row = |(row, said): (Row, Said)| Recipient {
            circle: self.node.circle_name(row.circle),
            org: self.node.org_name(&self.directory, row.org),
            carries: row.carries,
            gets: !row.kept,
            says: policy.says(&row.rule).map(|(comment, _)| comment.to_owned()).unwrap_or_default(),
            rule: row.rule,
            reports: said.reports,
            examples: said.examples,
        };
        Recipients {
            reports: self.reports,
            recipients: self.rows.into_iter().map(row).collect(),
            skipped: Vec::new(),
        }
    }
}

impl Node {
    /// Who would get records in circles. Reads the disk.
    ///
    /// # Errors
    /// When a word of the request means nothing.
    pub fn who_would_get(&self, request: &RecipientsRequest) -> Result<Recipients, NodeError> {
        let circles = self.circles_to_write(&request.to)?;
        let mut asked = Asked::new(self);
        let mut skipped = Vec::new();
        for word in &request.ids {
            match self.to_share(self.find(word)?, &request.marking)? {
                Ok(Shareable { report, .. }) => asked.look(&circles, &report),
                Err(why) if request.ids.len() == 1 => {
                    return Err(NodeError::Request(format!("{word} would not be shared: {why}")));
                }
                Err(why) => skipped.push(Skipped { what: word.clone(), why }),
            }
        }
        Ok(Recipients { skipped, ..asked.told() })
    }

    /// What sharing would do: who would get it, by this node's policy.
    pub(super) fn would_write(&self, draft: &ReportDraft) -> NewRecord {
        let mut asked = Asked::new(self);
        let judged = asked.judged(draft.circle, &Body::Report(draft.report.clone()));
        let gets = judged.into_iter().filter(|one| one.decision.allow && !one.carries);
        NewRecord {
            record: String::new(),
            subject: draft.report.subject.to_string(),
            circle: self.circle_name(draft.circle),
            seq: 0,
            partners: gets.map(|one| self.org_name(&asked.directory, one.org)).collect(),
        }
    }
}
