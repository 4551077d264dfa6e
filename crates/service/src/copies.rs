//! One report in several circles: a copy in each, under one subject, which are found, written and taken back together.
//!
//! What was taken back in a circle is so for ever, under the subject that it had there. What follows it there has a subject made of
//! that one, so that all copies of a report are found from its first subject, the root, and the root from each of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tocsin_api::types::{NewRecord, Published};
use tocsin_home::room::Room;
use tocsin_policy::Decisions;
use tocsin_protocol::{Directory, Input, Write, Written};
use tocsin_record::body::Body;
use tocsin_record::body::report::{Report, Subject};
use tocsin_record::body::retraction::REQUEST_OF_SOURCE;
use tocsin_record::{CircleId, OrgId};
use uuid::Uuid;

use super::publish::{ReportDraft, TOGETHER, salt, same_content, successor};
use super::reports::Whole;
use super::{Node, NodeError};

/// Most circles that one request names.
const CIRCLES_MAX: usize = 64;
/// How often one report is taken back and shared again in one circle at most.
const TIMES_MAX: usize = 1_000;

/// A copy that is to be taken back from a circle.
#[derive(Clone)]
pub(super) struct TakeBack {
    pub(super) circle: CircleId,
    pub(super) subject: Subject,
    /// By its code.
    pub(super) reason: u16,
}

impl TakeBack {
    /// Since its source no longer lets it stand there.
    pub fn of_source(circle: CircleId, subject: Subject) -> Self {
        Self { circle, subject, reason: REQUEST_OF_SOURCE }
    }
}

/// What is written and taken back whole or not at all: mostly the copies of one report.
#[derive(Clone, Default)]
pub(super) struct Together {
    pub drafts: Vec<ReportDraft>,
    pub back: Vec<TakeBack>,
}

impl From<ReportDraft> for Together {
    fn from(draft: ReportDraft) -> Self {
        Self { drafts: vec![draft], back: Vec::new() }
    }
}

impl Together {
    fn len(&self) -> usize {
        self.drafts.len() + self.back.len()
    }
}

/// The subject under which a report goes on in a circle where it was taken back.
fn again(subject: Subject) -> Subject {
    /// Namespace of the subjects that follow one that was taken back.
    const AGAIN: &[u8] = b"again";
    Subject(Uuid::new_v5(&Uuid::from_bytes(subject.0), AGAIN).into_bytes())
}

/// The first subjects of reports, found from those that their copies have. What an org took back in a circle is read once.
pub(super) struct Roots<'n> {
    node: &'n Node,
    before: BTreeMap<(OrgId, CircleId), BTreeMap<Subject, Subject>>,
}

impl<'n> Roots<'n> {
    pub fn new(node: &'n Node) -> Self {
        Self { node, before: BTreeMap::new() }
    }

    /// The root of the report that has this subject in a circle.
    pub fn of(&mut self, org: OrgId, circle: CircleId, subject: Subject) -> Subject {
        let before = self.before.entry((org, circle)).or_insert_with(|| {
            let gone = self.node.engine.reader.withdrawn_subjects(org, circle);
            gone.into_iter().map(|subject| (again(subject), subject)).collect()
        });
        let mut root = subject;
        for _ in 0..TIMES_MAX {
            let Some(earlier) = before.get(&root) else { break };
            root = *earlier;
        }
        root
    }
}

impl Node {
    /// The circles that a request names, each once; this org is in all of them.
    ///
    /// # Errors
    /// When one is none, or this org is not in it.
    pub(super) fn circles_to_write(&self, names: &[String]) -> Result<Vec<CircleId>, NodeError> {
        if names.len() > CIRCLES_MAX {
            return Err(NodeError::Request(format!("at most {CIRCLES_MAX} circles are named at once")));
        }
        let directory = self.engine.directory();
        let mut circles = Vec::with_capacity(names.len());
        for name in names {
            let circle = self.circle(name)?;
            if !directory.membership(circle).has(self.engine.org()) {
                let name = self.circle_name(circle);
                return Err(NodeError::Request(format!(
                    "this org is not a member of circle `{name}`, so it cannot write to it: `tocsin circle show {name}` tells \
                     who is"
                )));
            }
            if !circles.contains(&circle) {
                circles.push(circle);
            }
        }
        Ok(circles)
    }

    /// The names of circles, in order: the mesh first, the own circle last.
    pub(super) fn circle_names(&self, circles: impl IntoIterator<Item = CircleId>) -> Vec<String> {
        let (mesh, own) = (CircleId::mesh(self.engine.mesh_id), self.engine.own_circle());
        let named = |circle| (circle != mesh, circle == own, self.circle_name(circle));
        let names: BTreeSet<_> = circles.into_iter().map(named).collect();
        names.into_iter().map(|(_, _, name)| name).collect()
    }

    /// A whole report as the next record of its subject in a circle; `None` if it stands there as it is.
    pub(super) fn copy_to(
        &self,
        circle: CircleId,
        mut report: Report,
    ) -> Result<Option<ReportDraft>, NodeError> {
        report.salt = salt();
        report.supersedes = None;
        report.subject = self.subject_in(circle, report.subject);
        let Some(standing) = self.whole(self.engine.org(), circle, report.subject)? else {
            return Ok(Some(ReportDraft { circle, report }));
        };
        if same_content(&report, &standing.report) {
            return Ok(None);
        }
        let next = std::mem::take(&mut report.indicators);
        Ok(Some(ReportDraft { circle, report: successor(report, next, &standing) }))
    }

    /// The subject of an own report in a circle.
    pub(super) fn subject_in(&self, circle: CircleId, subject: Subject) -> Subject {
        self.subject_of(self.engine.org(), circle, subject)
    }

    /// The subject of a report in a circle: where a copy was taken back, which is for ever, the next has one of its own.
    pub(super) fn subject_of(&self, org: OrgId, circle: CircleId, subject: Subject) -> Subject {
        let mut subject = subject;
        for _ in 0..TIMES_MAX {
            if self.engine.reader.withdrawn(org, circle, subject).is_none() {
                break;
            }
            subject = again(subject);
        }
        subject
    }

    /// All circles of which this org is a member, but its own.
    pub(super) fn circles_beside_own(&self) -> Vec<CircleId> {
        let directory = self.engine.directory();
        let own = self.engine.own_circle();
        let rosters = directory.circles().map(|(circle, _)| circle);
        let all = std::iter::once(CircleId::mesh(self.engine.mesh_id)).chain(rosters);
        let org = self.engine.org();
        all.filter(|circle| *circle != own && directory.membership(*circle).has(org)).collect()
    }

    /// The standing copies of an own report in circles other than the own.
    pub(super) fn copies_elsewhere(&self, root: Subject) -> Result<Vec<(CircleId, Whole)>, NodeError> {
        self.copies_in(self.circles_beside_own(), root)
    }

    /// The standing copies of an own report in every circle that this org is in.
    pub(super) fn copies_everywhere(&self, root: Subject) -> Result<Vec<(CircleId, Whole)>, NodeError> {
        let own = [self.engine.own_circle()];
        self.copies_in(self.circles_beside_own().into_iter().chain(own), root)
    }

    fn copies_in(
        &self,
        circles: impl IntoIterator<Item = CircleId>,
        root: Subject,
    ) -> Result<Vec<(CircleId, Whole)>, NodeError> {
        let org = self.engine.org();
        let mut found = BTreeMap::new();
        for circle in circles {
            let subject = self.subject_in(circle, root);
            if !self.engine.reader.has_copies(org, subject) {
                continue;
            }
            if let Some(whole) = self.whole(org, circle, subject)? {
                found.insert(circle, whole);
            }
        }
        Ok(found.into_iter().collect())
    }

    /// Where copies of an own report lie that were not taken back, whatever became of their bodies: in circles that this org is in,
    /// and in those that it is no longer in.
    pub(super) fn lies_in(&self, root: Subject) -> (Vec<(CircleId, Subject)>, Vec<CircleId>) {
        let directory = self.engine.directory();
        let (org, reader) = (self.engine.org(), &self.engine.reader);
        let rosters = directory.circles().map(|(circle, _)| circle);
        let all = [self.engine.own_circle(), CircleId::mesh(self.engine.mesh_id)].into_iter().chain(rosters);
        let lies = all.filter_map(|circle| {
            let subject = self.subject_in(circle, root);
            reader.circles_of(org, subject).contains(&circle).then_some((circle, subject))
        });
        let (inside, left): (Vec<_>, Vec<_>) =
            lies.partition(|(circle, _)| directory.membership(*circle).has(org));
        (inside, left.into_iter().map(|(circle, _)| circle).collect())
    }

    /// Writes reports and takes them back, a few to a request, and says where they stand.
    pub(super) async fn write(self: &Arc<Self>, all: Vec<Together>) -> Result<Published, NodeError> {
        let mut published = Published::default();
        for some in in_requests(all) {
            let written = self.write_as_one(some).await?;
            published.records.extend(written.records);
            published.taken_back.extend(written.taken_back);
        }
        Ok(published)
    }

    /// Writes all of it in one request of the core: what is new, and what takes back.
    pub(super) async fn write_as_one(self: &Arc<Self>, some: Vec<Together>) -> Result<Published, NodeError> {
        let (mut drafts, mut back) = (Vec::new(), Vec::new());
        for together in some {
            drafts.extend(together.drafts);
            back.extend(together.back);
        }
        if drafts.is_empty() && back.is_empty() {
            return Ok(Published::default());
        }
        let new = drafts.into_iter().map(|ReportDraft { circle, report }| {
            let subject = report.subject;
            (circle, subject, Body::Report(report))
        });
        self.write_bodies(new.collect(), back).await
    }

    /// As [`Self::write_as_one`], of bodies of any kind, each with its circle and the subject that is told of it.
    pub(super) async fn write_bodies(
        self: &Arc<Self>,
        all: Vec<(CircleId, Subject, Body)>,
        back: Vec<TakeBack>,
    ) -> Result<Published, NodeError> {
        if !all.is_empty() {
            // Where the system tells no room, the store finds out.
            Room::of(self.engine.home.path()).map_or(Ok(()), Room::for_new)?;
        }
        let new: Vec<(CircleId, Subject)> =
            all.iter().map(|(circle, subject, _)| (*circle, *subject)).collect();
        let gone: Vec<(CircleId, Subject)> = back.iter().map(|one| (one.circle, one.subject)).collect();
        let mut bodies: BTreeMap<CircleId, Vec<Body>> = BTreeMap::new();
        for (circle, _, body) in all {
            bodies.entry(circle).or_default().push(body);
        }
        let mut writes: Vec<Write> =
            bodies.into_iter().map(|(circle, bodies)| Write::Bodies { circle, bodies }).collect();
        writes.extend(back.into_iter().map(|TakeBack { circle, subject, reason }| Write::TakeBack {
            circle,
            subject,
            reason,
        }));
        let done = self.engine.core.ask(move |ticket| Input::Write { ticket, writes }).await?;
        // In each circle in the order of the request.
        let mut written: BTreeMap<CircleId, VecDeque<Written>> = BTreeMap::new();
        for one in done.written {
            written.entry(one.circle).or_default().push_back(one);
        }
        let mut told = |all: Vec<(CircleId, Subject)>| -> Vec<NewRecord> {
            let next = |(circle, subject)| {
                let one = written.get_mut(&circle)?.pop_front()?;
                Some(self.new_record(&one, subject))
            };
            all.into_iter().filter_map(next).collect()
        };
        Ok(Published { records: told(new), taken_back: told(gone), ..Published::default() })
    }

    fn new_record(&self, written: &Written, subject: Subject) -> NewRecord {
        let _record = tracing::debug_span!("record", id = %written.id).entered();
        tracing::debug!(seq = written.place.seq, "written");
        NewRecord {
            record: written.id.to_string(),
            subject: subject.to_string(),
            circle: self.circle_name(written.circle),
            seq: written.place.seq,
            partners: Vec::new(),
        }
    }
}

/// What is to be written, as many at once as go to the core in one request.
pub(super) fn in_requests(all: Vec<Together>) -> Vec<Vec<Together>> {
    let mut requests: Vec<Vec<Together>> = Vec::new();
    let mut room = 0;
    for together in all {
        match requests.last_mut().filter(|_| together.len() <= room) {
            Some(last) => {
                room -= together.len();
                last.push(together);
            }
            None => {
                room = TOGETHER.saturating_sub(together.len());
                requests.push(vec![together]);
            }
        }
    }
    requests
}

/// What the door would say of drafts, so that one that it refuses is left out by name.
pub(super) struct Door<'n> {
    node: &'n Node,
    directory: Arc<Directory>,
    decisions: Decisions,
}

impl<'n> Door<'n> {
    pub fn new(node: &'n Node) -> Self {
        let directory = node.engine.directory();
        let decisions = node.decisions(&directory);
        Self { node, directory, decisions }
    }

    /// The draft, or why it would not be written.
    pub fn judged(&mut self, draft: ReportDraft) -> Result<ReportDraft, String> {
        let ReportDraft { circle, report } = draft;
        let body = Body::Report(report);
        let decisions = &mut self.decisions;
        let author = self.node.engine.identity.node();
        let (verdict, rule) = super::show::with_draft(&self.directory, author, circle, &body, |facts| {
            let judgement = decisions.judge(facts);
            (judgement.ruling, judgement.rule)
        });
        if verdict == tocsin_policy::Ruling::Refuse {
            return Err(format!("rule `{}` refuses it", self.decisions.rule_name(rule)));
        }
        let Body::Report(report) = body else { return Err("it is no report".to_owned()) };
        Ok(ReportDraft { circle, report })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_one_goes_in_one_request() {
        let back = |count: usize| {
            let one = TakeBack::of_source(CircleId([1; 32]), Subject([1; 16]));
            Together { drafts: Vec::new(), back: vec![one; count] }
        };
        let lens = |all: &[usize]| -> Vec<Vec<usize>> {
            let requests = in_requests(all.iter().map(|len| back(*len)).collect());
            requests.iter().map(|some| some.iter().map(Together::len).collect()).collect()
        };
        assert_eq!(lens(&[60, 4, 1]), [vec![60, 4], vec![1]]);
        assert_eq!(lens(&[63, 2, 100, 1]), [vec![63], vec![2], vec![100], vec![1]]);
        assert!(lens(&[]).is_empty());
    }

    #[test]
    fn what_follows_is_another_subject_each_time() {
        let first = Subject([1; 16]);
        let all = [first, again(first), again(again(first)), again(Subject([2; 16]))];
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        assert_eq!(again(first), again(first));
    }
}
