//! `share`: a report of one circle as a record in others, own ones as they are, those of others as derived from them; and for
//! fewer than before, in one circle instead of another.

use std::collections::BTreeSet;
use std::sync::Arc;

use tocsin_api::types::{MarkingWords, NewRecord, Published, ShareRequest, Skipped};
use tocsin_exchange::personal;
use tocsin_record::body::Body;
use tocsin_record::body::report::{Origin, Report, Source, Subject};
use tocsin_record::body::retraction::NARROWED;
use tocsin_record::marking::{Marking, Tlp};
use tocsin_record::{CircleId, OrgId, RecordId};
use tocsin_store::{RecordRef, Verdict};
use uuid::Uuid;

use super::copies::{Door, Roots, TakeBack, Together};
use super::{Caller, Node, NodeError, marking};

/// Namespace of the subjects under which other orgs' reports are passed on.
const DERIVED: Uuid = Uuid::from_u128(0x7c1f_53b2_8e0d_4c55_9c6a_2b1d_7a40_e3f1);

/// What becomes of a report that is to be shared in circles.
#[derive(Default)]
struct Sharing {
    /// What is written and taken back for it.
    together: Together,
    /// Why there is nothing to write in some of them.
    stands: Vec<String>,
}

/// A report as it would be shared: whole, under its root.
pub(super) struct Shareable {
    pub report: Report,
    /// The circle in which it was found.
    stands_in: CircleId,
}

/// Why a report is shared nowhere.
type Refused = String;

impl Node {
    /// Shares records in other circles: each in all of them or in none.
    ///
    /// # Errors
    /// When nothing could be done at all; what was left is told in the answer.
    pub async fn share(
        self: &Arc<Self>,
        caller: &Caller,
        request: ShareRequest,
    ) -> Result<Published, NodeError> {
        let (all, mut published) = self.apart(move |node| node.shared(&request)).await?;
        // Nothing is left to write of a dry run.
        let written = self.write(all).await?;
        published.records.extend(written.records);
        published.taken_back.extend(written.taken_back);
        caller.note_written("share", &published);
        if !published.taken_back.is_empty() {
            let back = published.taken_back.iter().filter_map(|new| new.record.parse().ok());
            caller.note_deed("share --instead-of", &back.collect::<Vec<RecordId>>());
        }
        Ok(published)
    }

    /// The records that share others in other circles, and what is to be told of the rest. Reads the disk.
    fn shared(&self, request: &ShareRequest) -> Result<(Vec<Together>, Published), NodeError> {
        let to = self.circles_to_write(&request.to)?;
        let from = self.circles_to_write(&request.instead_of)?;
        if to.is_empty() {
            return Err(NodeError::Request("no circle is named: say --to CIRCLE".to_owned()));
        }
        self.check_waited(&request.wait_for, &to.iter().copied().collect())?;
        let mut published = Published { warnings: self.check_narrowing(&to, &from)?, ..Published::default() };
        let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
        for word in &request.ids {
            let place = self.find(word)?;
            if !seen.insert(place) {
                continue;
            }
            match self.shared_copies(place, &to, &from, &request.marking)? {
                Ok(Sharing { together, stands }) => {
                    let marking = together.drafts.first().and_then(|draft| draft.report.marking.as_ref());
                    let kept = kept(&request.marking, marking);
                    published.warnings.extend(kept.map(|kept| format!("{word} {kept}")));
                    published
                        .skipped
                        .extend(stands.into_iter().map(|why| Skipped { what: word.clone(), why }));
                    all.push(together);
                }
                Err(why) if request.ids.len() == 1 => {
                    return Err(NodeError::Request(format!("{word} was not shared: {why}")));
                }
                Err(why) => published.skipped.push(Skipped { what: word.clone(), why }),
            }
        }
        if request.dry_run {
            for Together { drafts, back } in all.drain(..) {
                published.records.extend(drafts.iter().map(|draft| self.would_write(draft)));
                published.taken_back.extend(back.into_iter().map(|one| NewRecord {
                    subject: one.subject.to_string(),
                    circle: self.circle_name(one.circle),
                    ..NewRecord::default()
                }));
            }
        }
        Ok((all, published))
    }

    /// Whether reports can go to these circles instead of those; with a warning where somebody gets them who did not before.
    fn check_narrowing(&self, to: &[CircleId], from: &[CircleId]) -> Result<Vec<String>, NodeError> {
        let request = |why: String| Err(NodeError::Request(why));
        if from.contains(&self.engine.own_circle()) {
            return request(
                "--instead-of own narrows nothing: what stands in the own circle goes to nobody else; `tocsin retract` takes a \
                 report back everywhere"
                    .to_owned(),
            );
        }
        if let Some(both) = from.iter().find(|circle| to.contains(circle)) {
            let name = self.circle_name(*both);
            return request(format!(
                "circle `{name}` stands behind --to and behind --instead-of: say one of them"
            ));
        }
        if from.is_empty() {
            return Ok(Vec::new());
        }
        let directory = self.engine.directory();
        let members = |circles: &[CircleId]| -> BTreeSet<OrgId> {
            circles
                .iter()
                .flat_map(|circle| directory.membership(*circle).members().collect::<Vec<_>>())
                .collect()
        };
        let had = members(from);
        let new: Vec<String> =
            members(to).difference(&had).map(|org| self.org_name(&directory, *org)).collect();
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let (new, names) = (new.join(", "), self.circle_names(from.iter().copied()).join("`, `"));
        Ok(vec![format!("this is wider as well as narrower: {new} did not get it in circle `{names}`")])
    }

    /// A report as it would be shared, or why it is not.
    pub(super) fn to_share(
        &self,
        place: RecordRef,
        words: &MarkingWords,
    ) -> Result<Result<Shareable, Refused>, NodeError> {
        let stored = self.record(place)?;
        if let Some(over) = self.over(&stored)? {
            return Ok(Err(over));
        }
        let Some(Body::Report(found)) = self.body(&stored) else {
            return Ok(Err("only reports whose body is here can be shared".to_owned()));
        };
        if stored.stamped.outcome.verdict != Verdict::Accepted {
            return Ok(Err(format!(
                "it is not accepted here ({}): `tocsin why {}` tells by which rule",
                super::show::verdict_name(stored.stamped.outcome.verdict),
                stored.entry.id
            )));
        }
        let stands_in = stored.entry.header.circle;
        if stored.org != self.engine.org() && found.marking.as_ref().is_some_and(|one| one.tlp == Tlp::Red) {
            return Ok(Err(format!(
                "it is {} of another org, which is passed on to nobody",
                Tlp::Red.label()
            )));
        }
        let Some(whole) = self.whole(stored.org, stands_in, found.subject)? else {
            return Ok(Err("it has no standing version".to_owned()));
        };
        let personal = personal::of(&whole.report.indicators, &whole.report.originals);
        let mut report = whole.report.clone();
        report.marking = marking::raised(whole.report.marking.as_ref(), words, personal)?;
        if stored.org == self.engine.org() {
            report.subject = Roots::new(self).of(stored.org, stands_in, found.subject);
        } else {
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
        Ok(Ok(Shareable { report, stands_in }))
    }

    /// The new records that share a report in circles, and what takes it back from others; or why nothing is done with it.
    fn shared_copies(
        &self,
        place: RecordRef,
        to: &[CircleId],
        from: &[CircleId],
        words: &MarkingWords,
    ) -> Result<Result<Sharing, Refused>, NodeError> {
        let Shareable { report, stands_in } = match self.to_share(place, words)? {
            Ok(shareable) => shareable,
            Err(why) => return Ok(Err(why)),
        };
        let root = report.subject;
        let mut sharing = Sharing::default();
        let mut door = (to.len() + from.len() > 1).then(|| Door::new(self));
        for circle in to {
            let name = self.circle_name(*circle);
            if *circle == stands_in {
                sharing.stands.push(format!("it is shared in circle `{name}` already"));
                continue;
            }
            if let Err(why) = self.for_circle(*circle, report.marking.clone()) {
                let which = if to.len() > 1 { format!("circle `{name}`: ") } else { String::new() };
                return Ok(Err(format!("{which}{}", why.with_flags())));
            }
            let Some(copy) = self.copy_to(*circle, report.clone())? else {
                let kept = kept(words, report.marking.as_ref());
                let kept = kept.map_or_else(String::new, |kept| format!("; it {kept}"));
                sharing.stands.push(format!("it is shared in circle `{name}` already, as it is{kept}"));
                continue;
            };
            match door.as_mut().map_or_else(|| Ok(copy.clone()), |door| door.judged(copy.clone())) {
                Ok(copy) => sharing.together.drafts.push(copy),
                Err(why) => return Ok(Err(format!("circle `{name}`: {why}"))),
            }
        }
        let (lies, _) = self.lies_in(root);
        for circle in from {
            let Some((_, subject)) = lies.iter().find(|(other, _)| other == circle) else {
                return Ok(Err(format!(
                    "this org did not share it in circle `{}`",
                    self.circle_name(*circle)
                )));
            };
            let back = TakeBack { circle: *circle, subject: *subject, reason: NARROWED };
            sharing.together.back.push(back);
        }
        Ok(Ok(sharing))
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
