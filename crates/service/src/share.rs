//! `share`: a report of one circle as a record in another, own ones as they are, those of others as derived from them.

use std::collections::BTreeSet;
use std::sync::Arc;

use tocsin_api::types::{MarkingWords, Published, ShareRequest, Skipped};
use tocsin_exchange::personal;
use tocsin_record::body::Body;
use tocsin_record::body::report::{Origin, Source, Subject};
use tocsin_record::marking::{Marking, Tlp};
use tocsin_record::{CircleId, OrgId};
use tocsin_store::{RecordRef, Verdict};
use uuid::Uuid;

use super::publish::ReportDraft;
use super::{Caller, Node, NodeError, marking};

/// Namespace of the subjects under which other orgs' reports are passed on.
const DERIVED: Uuid = Uuid::from_u128(0x7c1f_53b2_8e0d_4c55_9c6a_2b1d_7a40_e3f1);

/// What becomes of a report that is to be shared in a circle; the texts say why it is not written.
enum Sharing {
    /// It is written there.
    Write(Box<ReportDraft>),
    /// It stands there as it is.
    Stands(String),
    /// It does not go there.
    Refused(String),
}

impl Node {
    /// Shares records in another circle.
    ///
    /// # Errors
    /// When nothing could be done at all; what was left is told in the answer.
    pub async fn share(
        self: &Arc<Self>,
        caller: &Caller,
        request: ShareRequest,
    ) -> Result<Published, NodeError> {
        let (drafts, published) = self.apart(move |node| node.copies(&request)).await?;
        // Nothing is left to write of a dry run.
        let records = self.write(drafts).await?;
        let published =
            Published { records: published.records.into_iter().chain(records).collect(), ..published };
        caller.note_written("share", &published);
        Ok(published)
    }

    /// The records that share others in another circle, and what is to be told of the rest. Reads the disk.
    fn copies(&self, request: &ShareRequest) -> Result<(Vec<ReportDraft>, Published), NodeError> {
        let circle = self.circle(&request.to)?;
        let mut published = Published::default();
        let mut drafts = Vec::new();
        let mut seen = BTreeSet::new();
        for word in &request.ids {
            let place = self.find(word)?;
            if !seen.insert(place) {
                continue;
            }
            match self.shared_copy(place, circle, &request.marking)? {
                Sharing::Write(draft) => {
                    let kept = kept(&request.marking, draft.report.marking.as_ref());
                    published.warnings.extend(kept.map(|kept| format!("{word} {kept}")));
                    drafts.push(*draft);
                }
                Sharing::Refused(why) if request.ids.len() == 1 => {
                    return Err(NodeError::Request(format!("{word} was not shared: {why}")));
                }
                Sharing::Refused(why) | Sharing::Stands(why) => {
                    published.skipped.push(Skipped { what: word.clone(), why });
                }
            }
        }
        if request.dry_run {
            published.records = drafts.drain(..).map(|draft| self.would_write(&draft)).collect();
        }
        Ok((drafts, published))
    }

    /// The new record that shares a report in a circle, or why there is none.
    fn shared_copy(
        &self,
        place: RecordRef,
        circle: CircleId,
        words: &MarkingWords,
    ) -> Result<Sharing, NodeError> {
        let stored = self.record(place)?;
        if let Some(over) = self.over(&stored)? {
            return Ok(Sharing::Refused(over));
        }
        let Some(Body::Report(found)) = self.body(&stored) else {
            return Ok(Sharing::Refused("only reports whose body is here can be shared".to_owned()));
        };
        if stored.stamped.outcome.verdict != Verdict::Accepted {
            return Ok(Sharing::Refused(format!(
                "it is not accepted here ({}): `tocsin why {}` tells by which rule",
                super::show::verdict_name(stored.stamped.outcome.verdict),
                stored.entry.id
            )));
        }
        let from = stored.entry.header.circle;
        if from == circle {
            let name = self.circle_name(circle);
            return Ok(Sharing::Stands(format!("it is shared in circle `{name}` already")));
        }
        let Some(whole) = self.whole(stored.org, from, found.subject)? else {
            return Ok(Sharing::Refused("it has no standing version".to_owned()));
        };
        let personal = personal::of(&whole.report.indicators, &whole.report.originals);
        let marking = marking::raised(whole.report.marking.as_ref(), words, personal)?;
        let marking = match self.for_circle(circle, marking) {
            Ok(marking) => marking,
            Err(why) => return Ok(Sharing::Refused(why.with_flags())),
        };
        let mut report = whole.report.clone();
        report.marking = marking;
        if stored.org != self.engine.org() {
            let directory = self.engine.directory();
            report.origin = Origin {
                source: Some(Source {
                    name: self.org_name(&directory, stored.org),
                    org: Some(stored.org),
                    id: found.subject.to_string(),
                    record: Some(whole.version.id),
                }),
            };
            report.subject = derived_subject(self.engine.org(), stored.org, found.subject);
        }
        let kept = kept(words, report.marking.as_ref());
        Ok(self.copy_to(circle, report)?.map_or_else(
            || {
                let name = self.circle_name(circle);
                let kept = kept.map_or_else(String::new, |kept| format!("; it {kept}"));
                Sharing::Stands(format!("it is shared in circle `{name}` already, as it is{kept}"))
            },
            |draft| Sharing::Write(Box::new(draft)),
        ))
    }
}

/// That a report keeps its TLP, where the words ask for a looser one.
fn kept(words: &MarkingWords, marking: Option<&Marking>) -> Option<String> {
    let asked: Tlp = words.tlp.as_deref()?.parse().ok()?;
    let tlp = marking?.tlp;
    (asked.code() < tlp.code()).then(|| format!("keeps {}: a marking is never made looser", tlp.label()))
}

/// The stable subject under which this org passes on a report of another.
fn derived_subject(own: OrgId, org: OrgId, subject: Subject) -> Subject {
    Subject(*Uuid::new_v5(&DERIVED, &[own.0.as_slice(), &org.0, &subject.0].concat()).as_bytes())
}
