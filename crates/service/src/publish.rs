//! What this node's people write: `publish`, `retract`, and the way to the core of what they `share` and `import`. Bodies
//! are made here, on threads that may wait for the disk; the core signs, admits and keeps them.

use std::collections::BTreeSet;
use std::sync::Arc;

use tocsin_api::types::{NewRecord, PublishRequest, Published, RetractRequest};
use tocsin_clock as clock;
use tocsin_exchange::changes;
use tocsin_exchange::marking::personal_default;
use tocsin_home::room::Room;
use tocsin_policy::Question;
use tocsin_protocol::judge::{org_facts, suite_of};
use tocsin_protocol::{Input, Written};
use tocsin_record::CircleId;
use tocsin_record::body::Body;
use tocsin_record::body::report::{
    Extent, INDICATOR_KINDS, INDICATORS_MAX, Indicator, LINE_MAX, Origin, Report, Subject, TEXT_MAX,
};
use tocsin_record::body::retraction::REASONS;
use tocsin_record::marking::{Code, Countries, Marking, Tlp};
use uuid::Uuid;

use super::advice::AdviceList;
use super::by_hand::ByHand;
use super::reports::Whole;
use super::{Caller, Node, NodeError, lookup, marking};

/// Most bodies that go to the core in one request.
pub(super) const TOGETHER: usize = 64;
/// Why a report may not go to a circle.
pub(super) enum Unshareable {
    /// It carries no marking.
    Unmarked,
    /// Its TLP is too strict for all of the mesh, or, where it is RED, for any circle but the own.
    Strict(Tlp),
    /// It holds personal data and lacks these, by the keys of profiles.
    Lacks(Vec<&'static str>),
}

impl Unshareable {
    /// In words of which the mending is a command's flags.
    pub(super) fn with_flags(&self) -> String {
        match self {
            Self::Unmarked => {
                "what carries no marking is never shared: give --tlp (clear or green for the mesh)".to_owned()
            }
            Self::Strict(_) => self.what(),
            Self::Lacks(lacks) => {
                let flags =
                    lacks.iter().map(|key| if *key == "purposes" { "--for-purpose" } else { "--retention" });
                format!("{}: give {}", self.what(), flags.collect::<Vec<_>>().join(" and "))
            }
        }
    }

    /// Without a way out.
    fn what(&self) -> String {
        match self {
            Self::Unmarked => "it carries no marking".to_owned(),
            Self::Strict(Tlp::Red) => format!("{} stays in this org's own circle", Tlp::Red.label()),
            Self::Strict(tlp) => {
                format!(
                    "{} stays in this org's own circle, or goes to one with members of its own",
                    tlp.label()
                )
            }
            Self::Lacks(_) => "it holds personal data".to_owned(),
        }
    }

    /// For what is imported: there it stays in the own circle.
    pub(super) fn of_import(&self) -> String {
        match self {
            Self::Unmarked | Self::Strict(_) => self.what(),
            Self::Lacks(lacks) => format!(
                "{}: give `{}` in the source's profile, or --for-purpose and --retention, and import it again",
                self.what(),
                lacks.join("` and `")
            ),
        }
    }

    fn request(self) -> NodeError {
        let own = match self {
            Self::Strict(Tlp::Red) => ": use --to own",
            Self::Strict(_) => ": use --to own, or --to CIRCLE (`tocsin circle create`)",
            Self::Unmarked | Self::Lacks(_) => "",
        };
        NodeError::Request(format!("{}{own}", self.with_flags()))
    }
}

/// A report that is to be written in a circle.
#[derive(Clone)]
pub(super) struct ReportDraft {
    pub(super) circle: CircleId,
    pub(super) report: Report,
}

impl Node {
    /// Publishes own observations as one report.
    ///
    /// # Errors
    /// When a value is none, the marking does not hold, or the core refuses.
    pub async fn publish(
        self: &Arc<Self>,
        caller: &Caller,
        request: PublishRequest,
    ) -> Result<Published, NodeError> {
        // Only what replaces a report reads the disk. For all else the way to another thread takes longer than the work.
        let (draft, published) = if request.replaces.is_some() {
            self.apart(move |node| node.draft(request)).await?
        } else {
            self.draft(request)?
        };
        let published = Published { records: self.write(vec![draft]).await?, ..published };
        caller.note_written("publish", &published);
        Ok(published)
    }

    /// The report of a publish request, and what is to be told of it. Reads the disk if it replaces another.
    fn draft(&self, request: PublishRequest) -> Result<(ReportDraft, Published), NodeError> {
        let circle = self.circle(&request.circle)?;
        check_texts(&request)?;
        let mut indicators = indicators(&request)?;
        let replaced = match &request.replaces {
            Some(word) => Some(self.replaced(word, circle)?),
            None => None,
        };
        let mut labels = request.labels.clone();
        let mut description = request.description.clone();
        if let Some(whole) = &replaced {
            // What is not said again stays.
            if labels.is_empty() {
                labels.clone_from(&whole.report.labels);
            }
            if description.is_empty() {
                description.clone_from(&whole.report.description);
            }
            for indicator in &mut indicators {
                keep_unsaid(indicator, &request, &whole.report);
            }
        }
        let mut advice = AdviceList::new(&self.engine.config.own);
        let personal = personal_default(&indicators);
        let standing = replaced.as_ref().and_then(|whole| whole.report.marking.as_ref());
        let marking = match (marking::from_words(&request.marking, personal)?, standing) {
            (Some(said), _) => Some(said),
            (None, Some(standing)) => {
                Some(Marking { personal: standing.personal.max(personal), ..standing.clone() })
            }
            (None, None) => None,
        };
        let marking = self.for_circle(circle, marking).map_err(Unshareable::request)?;
        let warnings = self.nobody_there(circle, marking.as_ref());
        labels.sort();
        labels.dedup();
        let mut report = Report {
            salt: salt(),
            subject: Subject(*Uuid::new_v4().as_bytes()),
            supersedes: None,
            extent: Extent::Whole,
            origin: Origin::default(),
            marking,
            title: request.title,
            description,
            created: 0,
            modified: 0,
            labels,
            indicators,
            withdrawn: Vec::new(),
            originals: Vec::new(),
            extension: Vec::new(),
        };
        advice.look(&report);
        if let Some(whole) = replaced {
            report.subject = whole.report.subject;
            report.origin = whole.report.origin.clone();
            report.created = whole.report.created;
            if report.title.is_empty() {
                report.title.clone_from(&whole.report.title);
            }
            let next = std::mem::take(&mut report.indicators);
            report = successor(report, next, &whole);
        }
        let (unmatched, well_known) = advice.done();
        let published = Published { unmatched, well_known, warnings, ..Published::default() };
        Ok((ReportDraft { circle, report }, published))
    }

    /// The own report that a new version replaces, in the circle.
    fn replaced(&self, word: &str, circle: CircleId) -> Result<Whole, NodeError> {
        let stored = self.record(self.find(word)?)?;
        if stored.org != self.engine.org() {
            return Err(NodeError::Request(
                "only the org that wrote a report can write its next version: use `share` to pass it on"
                    .to_owned(),
            ));
        }
        if let Some(over) = self.over(&stored)? {
            return Err(NodeError::Request(format!("{word} has no next version: {over}")));
        }
        let Some(Body::Report(report)) = self.body(&stored) else {
            return Err(NodeError::Request("only reports have versions".to_owned()));
        };
        self.whole(self.engine.org(), circle, report.subject)?.ok_or_else(|| {
            NodeError::Request(format!(
                "the report has no version in circle `{}`: share it there first",
                self.circle_name(circle)
            ))
        })
    }

    /// Refuses early what the guardrails would refuse.
    pub(super) fn for_circle(
        &self,
        circle: CircleId,
        marking: Option<Marking>,
    ) -> Result<Option<Marking>, Unshareable> {
        if circle == self.engine.own_circle() {
            return Ok(marking);
        }
        let Some(marking) = marking else {
            return Err(Unshareable::Unmarked);
        };
        let is_sealed = suite_of(&self.engine.directory(), circle) != 0;
        if marking.tlp > if is_sealed { Tlp::AmberStrict } else { Tlp::Green } {
            return Err(Unshareable::Strict(marking.tlp));
        }
        let lacks = tocsin_exchange::marking::lacks(&marking);
        if lacks.is_empty() { Ok(Some(marking)) } else { Err(Unshareable::Lacks(lacks)) }
    }

    /// Warns where a marking names countries of which nobody is in the circle.
    fn nobody_there(&self, circle: CircleId, marking: Option<&Marking>) -> Vec<String> {
        let named = match marking.map(|marking| &marking.countries) {
            Some(Countries::Only(list) | Countries::Except(list)) => list.as_slice(),
            Some(Countries::Any) | None => &[],
        };
        let directory = self.engine.directory();
        let countries: Vec<[u8; 2]> = directory
            .membership(circle)
            .members()
            .filter_map(|org| directory.org(org))
            .map(|entry| entry.country)
            .collect();
        let is_there = |letters: [u8; 2]| countries.contains(&letters);
        let absent = named.iter().filter(|code| !is_there(code.letters()));
        let names: Vec<String> =
            absent.map(|code| String::from_utf8_lossy(&code.letters()).into_owned()).collect();
        if names.is_empty() {
            return Vec::new();
        }
        vec![format!("no partner of {} is in circle `{}`", names.join(", "), self.circle_name(circle))]
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

    /// The subject of an own report in a circle. Where a copy was taken back, which is for ever, the next has one of its own.
    pub(super) fn subject_in(&self, circle: CircleId, subject: Subject) -> Subject {
        /// Namespace of the subjects that follow one that was taken back.
        const AGAIN: &[u8] = b"again";
        /// How often the marking of one report is raised and lowered at most.
        const TIMES_MAX: usize = 1_000;
        let mut subject = subject;
        for _ in 0..TIMES_MAX {
            if self.engine.reader.withdrawn(self.engine.org(), circle, subject).is_none() {
                break;
            }
            subject = Subject(Uuid::new_v5(&Uuid::from_bytes(subject.0), AGAIN).into_bytes());
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

    /// Takes reports of this org back, in every circle.
    ///
    /// # Errors
    /// When one of them is no report of this org.
    pub async fn retract(
        self: &Arc<Self>,
        caller: &Caller,
        request: RetractRequest,
    ) -> Result<Published, NodeError> {
        let (subjects, reason, kept) = self.apart(move |node| node.to_retract(&request)).await?;
        match self.write(kept).await {
            // Taking back goes on where nothing new is written: what is left of its file may come back.
            Ok(_) | Err(NodeError::NoRoom(_)) => {}
            Err(error) => return Err(error),
        }
        let mut published = Published::default();
        for subject in subjects {
            let done = self.engine.core.ask(move |ticket| Input::Retract { ticket, subject, reason }).await?;
            published.records.extend(done.written.iter().map(|written| self.new_record(written, subject)));
            let written: Vec<_> = done.written.iter().map(|written| written.id).collect();
            caller.note_deed("retract", &written);
        }
        Ok(published)
    }

    /// What a request takes back, the code of its reason, and what is kept of it. Reads the disk.
    fn to_retract(
        &self,
        request: &RetractRequest,
    ) -> Result<(BTreeSet<Subject>, u16, Vec<ReportDraft>), NodeError> {
        let reason =
            REASONS.iter().find(|row| row.1 == request.reason && row.0 != 0).map(|row| row.0).ok_or_else(
                || {
                    let names: Vec<&str> = REASONS.iter().skip(1).map(|row| row.1).collect();
                    NodeError::Request(format!(
                        "`{}` is no reason: use one of {}",
                        tocsin_text::cut(&request.reason, 80),
                        names.join(", ")
                    ))
                },
            )?;
        let mut subjects = BTreeSet::new();
        let mut by_hand = ByHand::new(self);
        for word in &request.ids {
            let stored = self.record(self.find(word)?)?;
            if let Some(over) = self.over(&stored)? {
                return Err(NodeError::Request(format!("{word} is not taken back again: {over}")));
            }
            match self.body(&stored) {
                Some(Body::Report(report)) if stored.org == self.engine.org() => {
                    subjects.insert(report.subject);
                    let own = self.engine.own_circle();
                    if let Some(standing) = self.whole(self.engine.org(), own, report.subject)? {
                        by_hand.take_back(&standing.report)?;
                    }
                    // Where a copy was taken back before, the one that followed it has a subject of its own.
                    let followed = self.circles_beside_own().into_iter();
                    let followed = followed.map(|circle| self.subject_in(circle, report.subject));
                    let org = stored.org;
                    subjects.extend(followed.filter(|it| self.engine.reader.has_copies(org, *it)));
                }
                Some(Body::Report(_)) => {
                    return Err(NodeError::Request(format!(
                        "{word} is a report of {}: only its author can take it back",
                        self.org_name(&self.engine.directory(), stored.org)
                    )));
                }
                _ => {
                    return Err(NodeError::Request(format!("{word} is no report that is here")));
                }
            }
        }
        Ok((subjects, reason, by_hand.drafts()?))
    }

    /// Writes reports, a few to a request, and says where they stand.
    pub(super) async fn write(
        self: &Arc<Self>,
        drafts: Vec<ReportDraft>,
    ) -> Result<Vec<NewRecord>, NodeError> {
        let mut written = Vec::with_capacity(drafts.len());
        let mut drafts = drafts.into_iter().peekable();
        while let Some(first) = drafts.next() {
            let circle = first.circle;
            let mut reports = vec![first.report];
            while reports.len() < TOGETHER
                && let Some(next) = drafts.next_if(|draft| draft.circle == circle)
            {
                reports.push(next.report);
            }
            let subjects: Vec<Subject> = reports.iter().map(|report| report.subject).collect();
            let bodies: Vec<Body> = reports.into_iter().map(Body::Report).collect();
            // Where the system tells no room, the store finds out.
            Room::of(self.engine.home.path()).map_or(Ok(()), Room::for_new)?;
            let done = self.engine.core.ask(move |ticket| Input::Publish { ticket, circle, bodies }).await?;
            let records = done.written.iter().zip(subjects);
            written.extend(records.map(|(record, subject)| self.new_record(record, subject)));
        }
        Ok(written)
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

    /// What sharing would do: who would get it, by this node's policy.
    pub(super) fn would_write(&self, draft: &ReportDraft) -> NewRecord {
        let directory = self.engine.directory();
        let decisions = self.decisions(&directory);
        let body = Body::Report(draft.report.clone());
        let partners = directory
            .membership(draft.circle)
            .members()
            .filter(|org| *org != self.engine.org())
            .filter(|org| {
                let peer = org_facts(&directory, *org);
                super::show::with_draft(
                    &directory,
                    self.engine.identity.node(),
                    draft.circle,
                    &body,
                    |facts| {
                        decisions.explain(&Question::Forward(facts, &peer)).ruling
                            == tocsin_policy::Ruling::Accept
                    },
                )
            })
            .map(|org| self.org_name(&directory, org))
            .collect();
        NewRecord {
            record: String::new(),
            subject: draft.report.subject.to_string(),
            circle: self.circle_name(draft.circle),
            seq: 0,
            partners,
        }
    }
}

pub(super) fn salt() -> [u8; 16] {
    *Uuid::new_v4().as_bytes()
}

/// The version after a standing one: only what changed, unless that is most of it.
pub(super) fn successor(mut report: Report, next: Vec<Indicator>, standing: &Whole) -> Report {
    report.supersedes = Some(standing.version.id);
    let changed = changes(&standing.report.indicators, &next);
    let (added, withdrawn) = changed.map(|changed| (changed.added, changed.withdrawn)).unwrap_or_default();
    if added.len() + withdrawn.len() < next.len() || next.is_empty() {
        report.extent = Extent::Changes;
        report.indicators = added;
        report.withdrawn = withdrawn;
    } else {
        report.extent = Extent::Whole;
        report.indicators = next;
    }
    report
}

/// Whether two whole reports say the same.
pub(super) fn same_content(a: &Report, b: &Report) -> bool {
    let sorted = |report: &Report| {
        let mut indicators = report.indicators.clone();
        indicators.sort_by(|a, b| a.what.cmp(&b.what));
        indicators
    };
    a.title == b.title
        && a.description == b.description
        && a.created == b.created
        && a.modified == b.modified
        && a.labels == b.labels
        && a.origin == b.origin
        && a.originals == b.originals
        && a.marking == b.marking
        && sorted(a) == sorted(b)
}

/// Texts of a publish request that a body does not take.
fn check_texts(request: &PublishRequest) -> Result<(), NodeError> {
    let labels = request.labels.iter().map(|label| ("--label", label, LINE_MAX));
    let texts = [("--title", &request.title, LINE_MAX), ("--description", &request.description, TEXT_MAX)];
    for (flag, text, most) in texts.into_iter().chain(labels) {
        if text.len() > most {
            return Err(NodeError::Request(format!(
                "{flag} has {} bytes, at most {most} are taken",
                text.len()
            )));
        }
    }
    Ok(())
}

/// The indicators of a publish request, one a value.
/// Gives a value of a new version what the version before said of it, where the new one says nothing.
fn keep_unsaid(indicator: &mut Indicator, request: &PublishRequest, before: &Report) {
    let Some(old) = before.indicators.iter().find(|old| old.what == indicator.what) else { return };
    indicator.valid_from = old.valid_from;
    indicator.comment.clone_from(&old.comment);
    if request.kind.is_none() {
        indicator.kind.clone_from(&old.kind);
    }
    if request.confidence.is_none() {
        indicator.confidence = old.confidence;
    }
    if request.valid_until_ms.is_none() {
        indicator.valid_until = old.valid_until;
    }
}

fn indicators(request: &PublishRequest) -> Result<Vec<Indicator>, NodeError> {
    if request.values.len() > INDICATORS_MAX {
        return Err(NodeError::Request(format!(
            "{} values in one report, at most {INDICATORS_MAX}: publish several",
            request.values.len()
        )));
    }
    let kind = match request.kind.as_deref() {
        None => 0,
        Some(name) => INDICATOR_KINDS.iter().find(|row| row.1 == name).map(|row| row.0).ok_or_else(|| {
            let names: Vec<&str> = INDICATOR_KINDS.iter().map(|row| row.1).collect();
            NodeError::Request(format!(
                "`{}` is no kind: use one of {}",
                tocsin_text::cut(name, 80),
                names.join(", ")
            ))
        })?,
    };
    let row = request.value_type.as_deref().map(lookup::type_named).transpose()?;
    let mut indicators = Vec::with_capacity(request.values.len());
    for value in &request.values {
        indicators.push(Indicator {
            what: lookup::observable(value, row).map_err(NodeError::Request)?,
            kind: Code { kind, value: Vec::new() },
            confidence: request.confidence,
            valid_from: clock::now_ms(),
            valid_until: request.valid_until_ms.unwrap_or(0),
            id: None,
            comment: String::new(),
        });
    }
    indicators.sort_by(|a, b| a.what.cmp(&b.what));
    indicators.dedup_by(|a, b| a.what == b.what);
    Ok(indicators)
}
