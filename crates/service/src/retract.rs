//! `retract`: reports of this org are taken back, in all circles in which it shared them and is still in.

use std::collections::BTreeSet;
use std::sync::Arc;

use tocsin_api::types::{Published, RetractRequest};
use tocsin_record::RecordId;
use tocsin_record::body::Body;
use tocsin_record::body::report::Subject;
use tocsin_record::body::retraction::REASONS;

use super::by_hand::ByHand;
use super::copies::{Roots, TakeBack, Together};
use super::publish::ReportDraft;
use super::{Caller, Node, NodeError};

/// What a request takes back.
struct Asked {
    /// Each report with all its copies.
    reports: Vec<Together>,
    /// What is kept of it.
    kept: Vec<ReportDraft>,
    warnings: Vec<String>,
}

impl Node {
    /// Takes reports of this org back, in every circle.
    ///
    /// # Errors
    /// When one of them is no report of this org.
    pub async fn retract(
        self: &Arc<Self>,
        caller: &Caller,
        request: RetractRequest,
    ) -> Result<Published, NodeError> {
        let Asked { reports, kept, warnings } = self.apart(move |node| node.to_retract(&request)).await?;
        match self.write(kept.into_iter().map(Together::from).collect()).await {
            // Taking back goes on where nothing new is written: what is left of its file may come back.
            Ok(_) | Err(NodeError::NoRoom(_)) => {}
            Err(error) => return Err(error),
        }
        let mut published = Published { warnings, ..Published::default() };
        for report in reports {
            let done = self.write(vec![report]).await?.taken_back;
            let written: Vec<RecordId> = done.iter().filter_map(|new| new.record.parse().ok()).collect();
            caller.note_deed("retract", &written);
            published.records.extend(done);
        }
        Ok(published)
    }

    /// What a request takes back, and what is kept of it. Reads the disk.
    fn to_retract(&self, request: &RetractRequest) -> Result<Asked, NodeError> {
        let reason = reason_code(&request.reason)?;
        let mut seen: BTreeSet<Subject> = BTreeSet::new();
        let mut by_hand = ByHand::new(self);
        let (mut roots, own) = (Roots::new(self), self.engine.own_circle());
        let mut asked = Asked { reports: Vec::new(), kept: Vec::new(), warnings: Vec::new() };
        for word in &request.ids {
            let stored = self.record(self.find(word)?)?;
            if let Some(over) = self.over(&stored)? {
                return Err(NodeError::Request(format!("{word} is not taken back again: {over}")));
            }
            let report = match self.body(&stored) {
                Some(Body::Report(report)) if stored.org == self.engine.org() => report,
                Some(Body::Report(_)) => {
                    return Err(NodeError::Request(format!(
                        "{word} is a report of {}: only its author can take it back",
                        self.org_name(&self.engine.directory(), stored.org)
                    )));
                }
                _ => return Err(NodeError::Request(format!("{word} is no report that is here"))),
            };
            let root = roots.of(stored.org, stored.entry.header.circle, report.subject);
            if !seen.insert(root) {
                continue;
            }
            if let Some(standing) = self.whole(self.engine.org(), own, self.subject_in(own, root))? {
                by_hand.take_back(&standing.report)?;
            }
            let (inside, left) = self.lies_in(root);
            let left = self.circle_names(left).join("`, `");
            if inside.is_empty() {
                return Err(NodeError::Request(format!(
                    "{word} is not taken back: this org is no longer in circle `{left}`, whose members take no word of it any \
                     more; ask one of them"
                )));
            }
            if !left.is_empty() {
                asked.warnings.push(format!(
                    "{word} stays with the members of circle `{left}`: this org is no longer in it, and they take no word of it \
                     any more; ask one of them"
                ));
            }
            let back =
                inside.into_iter().map(|(circle, subject)| TakeBack { circle, subject, reason }).collect();
            asked.reports.push(Together { drafts: Vec::new(), back });
        }
        asked.kept = by_hand.drafts()?;
        Ok(asked)
    }
}

/// The code of a reason that a person gives.
fn reason_code(name: &str) -> Result<u16, NodeError> {
    let found = REASONS.iter().find(|row| row.1 == name && row.0 != 0);
    found.map(|row| row.0).ok_or_else(|| {
        let names: Vec<&str> = REASONS.iter().skip(1).map(|row| row.1).collect();
        let name = tocsin_text::cut(name, 80);
        NodeError::Request(format!("`{name}` is no reason: use one of {}", names.join(", ")))
    })
}
