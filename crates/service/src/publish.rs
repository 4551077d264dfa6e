//! What this node's people write: `publish`, and what all that they write has in common. Bodies are made here, on threads that
//! may wait for the disk; the core signs, admits and keeps them.

use std::sync::Arc;

use tocsin_api::types::{PublishRequest, Published};
use tocsin_clock as clock;
use tocsin_exchange::changes;
use tocsin_exchange::marking::personal_default;
use tocsin_protocol::judge::suite_of;
use tocsin_record::CircleId;
use tocsin_record::body::Body;
use tocsin_record::body::report::{
    Extent, INDICATOR_KINDS, INDICATORS_MAX, Indicator, LINE_MAX, Origin, Report, Subject, TEXT_MAX,
};
use tocsin_record::document::Carry;
use tocsin_record::marking::{Code, Countries, Marking, Tlp};
use uuid::Uuid;

use super::advice::AdviceList;
use super::copies::{Door, Roots, Together};
use super::reports::Whole;
use super::{Caller, Node, NodeError, lookup, marking};

/// Most bodies that go to the core in one request.
pub(super) const TOGETHER: usize = 64;
/// Why a report may not go to a circle.
pub(super) enum Unshareable {
    /// It carries no marking.
    Unmarked,
    /// Its TLP is too strict for all of the mesh, or, where it is RED, for any but the own and those whose authors carry.
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
            Self::Strict(Tlp::Red) => format!(
                "{} stays in this org's own circle, or goes to one in which only its author hands it on",
                Tlp::Red.label()
            ),
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
            Self::Strict(Tlp::Red) => {
                ": use --to own, or --to CIRCLE (`tocsin circle create --carry author`)"
            }
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
        let (drafts, published) = if request.replaces.is_some() {
            self.apart(move |node| node.draft(&request)).await?
        } else {
            self.draft(&request)?
        };
        let published = Published { records: self.write(vec![drafts]).await?.records, ..published };
        caller.note_written("publish", &published);
        Ok(published)
    }

    /// The reports of a publish request, one for each circle, and what is to be told of them. Reads the disk if they replace
    /// others.
    fn draft(&self, request: &PublishRequest) -> Result<(Together, Published), NodeError> {
        let named = self.circles_to_write(&request.circles)?;
        check_texts(request)?;
        let indicators = indicators(request)?;
        let mut published = Published::default();
        let places: Vec<(CircleId, Option<Whole>)> = match &request.replaces {
            Some(word) => {
                let replaced = self.replaced(word, &named, &mut published.warnings)?;
                replaced.into_iter().map(|(circle, whole)| (circle, Some(whole))).collect()
            }
            None if named.is_empty() => {
                let help = "own, mesh, or one of `tocsin circle list`";
                return Err(NodeError::Request(format!(
                    "no circle is named: say --to CIRCLE, which is {help}"
                )));
            }
            None => named.into_iter().map(|circle| (circle, None)).collect(),
        };
        let subject = Subject(*Uuid::new_v4().as_bytes());
        let mut advice = AdviceList::new(&self.engine.config.own);
        let mut together = Together::default();
        let several = places.len() > 1;
        let mut door = several.then(|| Door::new(self));
        for (at, (circle, replaced)) in places.into_iter().enumerate() {
            let name = || self.circle_name(circle);
            let standing = replaced.as_ref().and_then(|whole| whole.report.marking.as_ref());
            let marking = publish_marking(request, &indicators, standing)?;
            let marking = self.for_circle(circle, marking).map_err(|why| match &request.replaces {
                _ if !several => why.request(),
                None => NodeError::Request(format!("nothing was written: circle `{}`: {}", name(), why.with_flags())),
                Some(word) => NodeError::Request(format!(
                    "nothing was written: circle `{name}`: {}. To take it back there first, and go on elsewhere: `tocsin share \
                     {word} --to CIRCLE --instead-of {name}`",
                    why.with_flags(),
                    name = name(),
                )),
            })?;
            published.warnings.extend(self.nobody_there(circle, marking.as_ref()));
            let report = report_of(request, subject, marking, indicators.clone(), replaced);
            if at == 0 {
                advice.look(&report);
            }
            let draft = ReportDraft { circle, report };
            let draft = match &mut door {
                Some(door) => door.judged(draft).map_err(|why| {
                    NodeError::Request(format!("nothing was written: circle `{}`: {why}", name()))
                })?,
                None => draft,
            };
            together.drafts.push(draft);
        }
        self.check_waited(&request.wait_for, &together.drafts.iter().map(|draft| draft.circle).collect())?;
        (published.unmatched, published.well_known) = advice.done();
        Ok((together, published))
    }

    /// The own report that a new version replaces, in each circle in which it stands; where others were named, those are told.
    fn replaced(
        &self,
        word: &str,
        named: &[CircleId],
        warnings: &mut Vec<String>,
    ) -> Result<Vec<(CircleId, Whole)>, NodeError> {
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
        let root = Roots::new(self).of(stored.org, stored.entry.header.circle, report.subject);
        let copies = self.copies_everywhere(root)?;
        for circle in named {
            if !copies.iter().any(|(other, _)| other == circle) {
                return Err(NodeError::Request(format!(
                    "the report has no version in circle `{}`: share it there first",
                    self.circle_name(*circle)
                )));
            }
        }
        let (_, left) = self.lies_in(root);
        warnings.extend(left.into_iter().map(|circle| {
            let name = self.circle_name(circle);
            format!("the members of circle `{name}` keep the version before: this org is no longer in it")
        }));
        if copies.is_empty() {
            return Err(NodeError::Request(format!("{word} stands in no circle that this org is in")));
        }
        let others = copies.iter().map(|(circle, _)| *circle);
        let others = self.circle_names(others.filter(|circle| !named.is_empty() && !named.contains(circle)));
        if !others.is_empty() {
            let others = others.join("`, `");
            warnings
                .push(format!("it is shared in circle `{others}` as well, where its new version went too"));
        }
        Ok(copies)
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
        let directory = self.engine.directory();
        let strictest = match directory.membership(circle).carry() {
            _ if suite_of(&directory, circle) == 0 => Tlp::Green,
            Carry::Author => Tlp::Red,
            Carry::Members | Carry::Named => Tlp::AmberStrict,
        };
        if marking.tlp > strictest {
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
}

/// How the report of a publish request is marked: as it says, else as what it replaces is.
fn publish_marking(
    request: &PublishRequest,
    indicators: &[Indicator],
    standing: Option<&Marking>,
) -> Result<Option<Marking>, NodeError> {
    let personal = personal_default(indicators);
    Ok(match (marking::from_words(&request.marking, personal)?, standing) {
        (Some(said), _) => Some(said),
        (None, Some(standing)) => {
            Some(Marking { personal: standing.personal.max(personal), ..standing.clone() })
        }
        (None, None) => None,
    })
}

/// The report of a publish request in one circle. Of what it replaces stays what is not said again.
fn report_of(
    request: &PublishRequest,
    subject: Subject,
    marking: Option<Marking>,
    mut indicators: Vec<Indicator>,
    replaced: Option<Whole>,
) -> Report {
    let mut labels = request.labels.clone();
    labels.sort();
    labels.dedup();
    let mut report = Report {
        salt: salt(),
        subject,
        supersedes: None,
        extent: Extent::Whole,
        origin: Origin::default(),
        marking,
        title: request.title.clone(),
        description: request.description.clone(),
        created: 0,
        modified: 0,
        labels,
        indicators: Vec::new(),
        withdrawn: Vec::new(),
        originals: Vec::new(),
        extension: Vec::new(),
    };
    let Some(whole) = replaced else { return Report { indicators, ..report } };
    let before = &whole.report;
    for indicator in &mut indicators {
        keep_unsaid(indicator, request, before);
    }
    report.subject = before.subject;
    report.origin = before.origin.clone();
    report.created = before.created;
    if report.labels.is_empty() {
        report.labels.clone_from(&before.labels);
    }
    for (text, before) in [(&mut report.description, &before.description), (&mut report.title, &before.title)]
    {
        if text.is_empty() {
            text.clone_from(before);
        }
    }
    successor(report, indicators, &whole)
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

/// The indicators of a publish request, one a value.
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
