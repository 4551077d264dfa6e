//! Where what a source has under one id stands here: found by the ids of indicators, over all files that were imported.

use std::cmp::Ordering;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{MutexGuard, PoisonError};

use tocsin_api::types::{ImportBatch, Imported, Skipped};
use tocsin_exchange::floor_of;
use tocsin_exchange::versions::{Versions, gone_subject, own_id};
use tocsin_record::body::BodyRef;
use tocsin_record::body::report::{Extent, Indicator, Origin, Report, Source, Subject};
use tocsin_record::marking::Marking;
use tocsin_record::observable::Observable;
use tocsin_store::LogNo;

use super::batch::{named, origin_id};
use super::copies::TakeBack;
use super::folders::{ListKey, key_of};
use super::publish::{ReportDraft, salt, successor};
use super::reports::Whole;
use super::{Node, NodeError};

/// The format of what is kept of MISP.
const MISP: u16 = 2;
/// How many changes of the store are looked at together.
const SLICE: usize = 4_096;
/// Reports that are kept in memory while a batch is compared with them.
const REPORTS_KEPT: usize = 256;

/// Why something changed nothing, was kept twice, or was left out.
pub(super) const OLDER: &str = "a newer version of it stands: it changed nothing";
pub(super) const TWICE: &str = "one version of it has two contents: both are kept, and neither is preferred";
const GONE: &str = "its source took it back, which is for ever";
/// Why another report lost a part.
const LEFT_BEHIND: &str = "the newer version of the whole does not have it: it no longer counts";
const REPLACED: &str = "what stood of it in another report is older, and no longer counts there";

/// The reports of the own circle in which a source's id stood. It grows with them, 32 bytes an indicator that has an id; what
/// it names may have changed since, and is looked at again.
#[derive(Debug, Default)]
pub(super) struct Holders {
    /// The next change of the store that was not looked at.
    next: u64,
    of: BTreeSet<([u8; 16], Subject)>,
    /// The buckets of lists whose objects have ids.
    lists: BTreeMap<ListKey, BTreeSet<Subject>>,
}

impl Holders {
    /// The reports in which an indicator of this id stood.
    pub fn of(&self, id: [u8; 16]) -> impl Iterator<Item = Subject> + '_ {
        let all = (id, Subject([0; 16]))..=(id, Subject([255; 16]));
        self.of.range(all).map(|(_, subject)| *subject)
    }

    /// The reports that were buckets of a list.
    pub fn of_list(&self, list: &ListKey) -> impl Iterator<Item = Subject> + '_ {
        self.lists.get(list).into_iter().flatten().copied()
    }
}

/// Reports that were read, with the versions of what is in them.
#[derive(Default)]
pub(super) struct Read(BTreeMap<Subject, Option<(Whole, Versions)>>);

impl Node {
    /// Looks at what came into the own circle since the last time. Reads the disk.
    pub(super) fn follow_holders(&self, holders: &mut Holders) -> Result<(), NodeError> {
        let own = self.engine.own_circle();
        let mut logs: BTreeMap<LogNo, bool> = BTreeMap::new();
        loop {
            let slice = self.engine.reader.since(holders.next, SLICE);
            let Some((last, _)) = slice.last() else { return Ok(()) };
            let next = last + 1;
            for (_, place) in slice {
                let is_own = *logs.entry(place.log).or_insert_with(|| {
                    self.engine.reader.log(place.log).is_some_and(|log| log.key.circle == own)
                });
                if !is_own {
                    continue;
                }
                let Some(stored) = self.engine.reader.record(place)? else { continue };
                let body = BodyRef::again(&stored.entry);
                let Some(report) = body.and_then(BodyRef::into_report) else { continue };
                let ids = report.indicators.iter().filter_map(|indicator| indicator.id);
                holders.of.extend(ids.map(|id| (id, report.subject)));
                let has_ids = report.indicators.iter().any(|indicator| indicator.id.is_some());
                if let Some(source) = report.origin.as_ref().filter(|_| has_ids)
                    && let Some((list, _)) = key_of(source.name, source.id)
                {
                    holders.lists.entry(list).or_default().insert(report.subject);
                }
            }
            holders.next = next;
        }
    }

    /// Whether it is kept that a source took back what has this id, of an event if it is of one.
    fn is_kept_as_gone(&self, id: [u8; 16], within: Option<[u8; 16]>) -> bool {
        self.engine.reader.has_copies(self.engine.org(), gone_subject(id, within))
    }

    /// Keeps for ever that objects were taken back by their source, and takes the reports back that had their ids. What holds
    /// one of them as a part loses it ([`Objects::emptied`]).
    pub(super) fn take_back_gone(
        &self,
        batch: &ImportBatch,
        objects: &mut Objects<'_>,
        drafts: &mut Vec<ReportDraft>,
        back: &mut Vec<TakeBack>,
        done: &mut Imported,
    ) -> Result<(), NodeError> {
        let (org, own) = (self.engine.org(), self.engine.own_circle());
        for ((id, within), name) in &batch.gone {
            objects.lose(*id, *within, name, done)?;
            if self.is_kept_as_gone(*id, *within) {
                continue;
            }
            drafts.push(ReportDraft {
                circle: own,
                report: taken_back_report(gone_subject(*id, *within), name),
            });
            let subject = Subject(*id);
            if within.is_some() {
                continue;
            }
            let Some(standing) = self.whole(org, own, subject)? else { continue };
            let copies =
                self.copies_elsewhere(subject)?.into_iter().map(|(circle, copy)| (circle, copy.report));
            for (circle, copy) in std::iter::once((own, standing.report)).chain(copies) {
                done.gone.push(Skipped {
                    what: named(&copy),
                    why: format!("taken back from circle `{}`: {GONE}", self.circle_name(circle)),
                });
                back.push(TakeBack::of_source(circle, copy.subject));
            }
        }
        Ok(())
    }

    /// A report that stands in the own circle, with the versions of what is in it.
    pub(super) fn standing_of<'r>(
        &self,
        read: &'r mut Read,
        subject: Subject,
    ) -> Result<Option<&'r (Whole, Versions)>, NodeError> {
        if read.0.len() >= REPORTS_KEPT {
            read.0.clear();
        }
        let known = match read.0.entry(subject) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let whole = self.whole(self.engine.org(), self.engine.own_circle(), subject)?;
                new.insert(whole.map(|whole| {
                    let versions = Versions::of(&whole.report.originals);
                    (whole, versions)
                }))
            }
        };
        Ok(known.as_ref())
    }
}

/// The objects of a batch, beside what stands of them in reports that are not in it.
pub(super) struct Objects<'n> {
    node: &'n Node,
    holders: MutexGuard<'n, Holders>,
    read: Read,
    /// What the batch itself takes back.
    gone: BTreeSet<([u8; 16], Option<[u8; 16]>)>,
    /// The ids in the batch, and the reports that have them.
    inside: BTreeSet<([u8; 16], Subject)>,
    subjects: BTreeSet<Subject>,
    /// What other reports lose.
    losses: BTreeMap<Subject, Losses>,
    /// Those that lose all.
    emptied: BTreeSet<Subject>,
    /// What copies of other reports lose, beside that.
    bound: BTreeMap<Subject, Losses>,
}

/// An object of a report of which another report has the same version with another content.
pub(super) struct Twin {
    id: [u8; 16],
    other: Subject,
    /// How that is marked, or would be at least.
    marking: Option<Marking>,
    /// What is told of it, where each says what the other does not.
    pub told: Option<Skipped>,
}

/// A report that lost a part.
pub(super) struct Emptied {
    /// Its next version; `None` where only its copies lose something.
    pub draft: Option<ReportDraft>,
    /// What its copies may say then.
    pub left: Report,
}

impl<'n> Objects<'n> {
    /// Of a batch. Reads the disk.
    pub fn new(node: &'n Node, batch: &ImportBatch) -> Result<Self, NodeError> {
        let mut inside = BTreeSet::new();
        for report in &batch.reports {
            let ids = report.indicators.iter().filter_map(|indicator| indicator.id);
            inside.extend(ids.map(|id| (id, report.subject)));
        }
        let mut holders = node.holders.lock().unwrap_or_else(PoisonError::into_inner);
        // Most files are lists, which have no ids.
        if !inside.is_empty() || !batch.gone.is_empty() {
            node.follow_holders(&mut holders)?;
        }
        let subjects = batch.reports.iter().map(|report| report.subject).collect();
        let gone = batch.gone.keys().copied().collect();
        Ok(Self {
            node,
            holders,
            read: Read::default(),
            gone,
            inside,
            subjects,
            losses: BTreeMap::new(),
            emptied: BTreeSet::new(),
            bound: BTreeMap::new(),
        })
    }

    /// Whether another report of the batch has an indicator of this id.
    pub fn has_elsewhere(&self, id: [u8; 16], subject: Subject) -> bool {
        let all = (id, Subject([0; 16]))..=(id, Subject([255; 16]));
        self.inside.range(all).any(|(_, other)| *other != subject)
    }

    /// Leaves out what its source took back; false where that is the whole report.
    pub fn leave_out_gone(&self, report: &mut Report, done: &mut Imported) -> bool {
        let origin = origin_id(report);
        let head = own_id(origin);
        // Attributes of MISP without their event name it each.
        let is_loose = head.is_none() && report.originals.iter().any(|original| original.format == MISP);
        let loose = is_loose.then(|| Versions::of(&report.originals));
        let is_gone = |id: [u8; 16]| {
            let scopes = [None, head.or_else(|| loose.as_ref()?.within(&id))];
            let mut scopes = scopes.iter();
            scopes.any(|within| self.gone.contains(&(id, *within)) || self.node.is_kept_as_gone(id, *within))
        };
        if head.is_some_and(is_gone) {
            done.gone.push(told(origin, GONE));
            return false;
        }
        let ids: BTreeSet<[u8; 16]> = report.indicators.iter().filter_map(|one| one.id).collect();
        let gone: Losses =
            ids.into_iter().filter(|id| is_gone(*id)).map(|id| (id, BTreeSet::new())).collect();
        leave_out(report, &gone, GONE, &mut done.gone);
        true
    }

    /// Leaves out what a newer version that stands in another report does not say, or what it says for fewer eyes; what stands
    /// there in an older version is lost there in the same way. The answer has what differs there in the same version.
    pub fn leave_out_older(
        &mut self,
        report: &mut Report,
        done: &mut Imported,
    ) -> Result<Vec<Twin>, NodeError> {
        let ids: BTreeSet<[u8; 16]> = report.indicators.iter().filter_map(|one| one.id).collect();
        let mut versions = None;
        let (mut older, mut twins) = (Losses::new(), Vec::new());
        for id in ids {
            let others: Vec<Subject> = self.holders.of(id).collect();
            for other in others.into_iter().filter(|other| !self.subjects.contains(other)) {
                let Some((whole, theirs)) = self.node.standing_of(&mut self.read, other)? else { continue };
                if !whole.report.indicators.iter().any(|one| one.id == Some(id)) {
                    continue;
                }
                let own = versions.get_or_insert_with(|| Versions::of(&report.originals));
                match own.compare(theirs, &id) {
                    Some(Ordering::Less) => lose(&mut older, id, still_said(id, report, &whole.report)),
                    Some(Ordering::Greater) => {
                        let stays = still_said(id, &whole.report, report);
                        let is_lost = |one: &Indicator| one.id == Some(id) && !stays.contains(&one.what);
                        if whole.report.indicators.iter().any(is_lost) {
                            done.older.push(told(own.name(&id).unwrap_or_default(), REPLACED));
                            lose(self.losses.entry(other).or_default(), id, stays);
                        }
                    }
                    Some(Ordering::Equal) if own.says_more(theirs, &id) => {
                        let is_told = own.differ(theirs, &id);
                        let told = is_told.then(|| told(own.name(&id).unwrap_or_default(), TWICE));
                        twins.push(Twin { id, other, marking: binding(&whole.report), told });
                    }
                    _ => {}
                }
            }
        }
        leave_out(report, &older, OLDER, &mut done.older);
        Ok(twins)
    }

    /// Of one version with two contents each leaves the own circle only as strictly as the stricter of them allows. Gives what of
    /// a report may leave; copies of the others lose what this one binds.
    pub fn bind(&mut self, report: &Report, twins: &[Twin]) -> Report {
        let (mut bound, own) = (Losses::new(), binding(report));
        for Twin { id, other, marking, .. } in twins {
            if is_raised(own.as_ref(), marking.as_ref()) {
                lose(&mut bound, *id, BTreeSet::new());
            } else if is_raised(marking.as_ref(), own.as_ref()) {
                lose(self.bound.entry(*other).or_default(), *id, BTreeSet::new());
            }
        }
        let mut leaves = report.clone();
        leaves.indicators.retain(|one| !is_lost(one, &bound));
        leaves
    }

    /// Takes an object out of every report that is not in the batch.
    pub fn lose(
        &mut self,
        id: [u8; 16],
        within: Option<[u8; 16]>,
        name: &str,
        done: &mut Imported,
    ) -> Result<(), NodeError> {
        let others: Vec<Subject> = self.holders.of(id).collect();
        for other in others.into_iter().filter(|other| !self.subjects.contains(other)) {
            let Some((whole, versions)) = self.node.standing_of(&mut self.read, other)? else { continue };
            let of = own_id(origin_id(&whole.report)).or_else(|| versions.within(&id));
            if within.is_some() && of != within {
                continue;
            }
            if whole.report.indicators.iter().any(|one| one.id == Some(id)) {
                done.gone.push(told(name, GONE));
                lose(self.losses.entry(other).or_default(), id, BTreeSet::new());
            }
        }
        Ok(())
    }

    /// Takes all out of reports that are not in the batch, if they stand.
    pub fn lose_all(&mut self, subjects: BTreeSet<Subject>, done: &mut Imported) -> Result<(), NodeError> {
        for subject in subjects {
            if !self.node.engine.reader.has_copies(self.node.engine.org(), subject) {
                continue;
            }
            let Some((whole, _)) = self.node.standing_of(&mut self.read, subject)? else { continue };
            if !whole.report.indicators.is_empty() {
                done.older.push(told(origin_id(&whole.report), LEFT_BEHIND));
                self.losses.entry(subject).or_default();
                self.emptied.insert(subject);
            }
        }
        Ok(())
    }

    /// The reports that lost a part, as they are from now on.
    pub fn emptied(self) -> Result<Vec<Emptied>, NodeError> {
        let mut emptied = Vec::new();
        let own = self.node.engine.own_circle();
        let subjects: BTreeSet<Subject> = self.losses.keys().chain(self.bound.keys()).copied().collect();
        for subject in subjects {
            let Some(standing) = self.node.whole(self.node.engine.org(), own, subject)? else { continue };
            let mut left = standing.report.clone();
            let draft = self.losses.get(&subject).map(|losses| {
                let loses_all = self.emptied.contains(&subject);
                left.indicators.retain(|one| !loses_all && !is_lost(one, losses));
                let next = left.indicators.clone();
                let report = successor(Report { salt: salt(), ..left.clone() }, next, &standing);
                ReportDraft { circle: own, report }
            });
            if let Some(bound) = self.bound.get(&subject) {
                left.indicators.retain(|one| !is_lost(one, bound));
            }
            emptied.push(Emptied { draft, left });
        }
        Ok(emptied)
    }
}

/// What keeps, in the own circle, that a source took an object back.
fn taken_back_report(subject: Subject, name: &str) -> Report {
    let title = format!("{} was taken back by its source", tocsin_text::cut(name, 120));
    kept_in_own(subject, title, Source { name: String::new(), org: None, id: name.to_owned(), record: None })
}

/// A report without indicators that keeps something for this node alone.
pub(super) fn kept_in_own(subject: Subject, title: String, source: Source) -> Report {
    Report {
        salt: salt(),
        subject,
        supersedes: None,
        extent: Extent::Whole,
        origin: Origin { source: Some(source) },
        marking: None,
        title,
        description: String::new(),
        created: 0,
        modified: 0,
        labels: Vec::new(),
        indicators: Vec::new(),
        withdrawn: Vec::new(),
        originals: Vec::new(),
        extension: Vec::new(),
    }
}

fn told(what: &str, why: &str) -> Skipped {
    Skipped { what: what.to_owned(), why: why.to_owned() }
}

/// What a report loses: of these ids all indicators but those of the values that stay.
type Losses = BTreeMap<[u8; 16], BTreeSet<Observable>>;

fn lose(losses: &mut Losses, id: [u8; 16], stays: BTreeSet<Observable>) {
    losses.entry(id).and_modify(|known| known.retain(|what| stays.contains(what))).or_insert(stays);
}

fn is_lost(one: &Indicator, losses: &Losses) -> bool {
    one.id.and_then(|id| losses.get(&id)).is_some_and(|stays| !stays.contains(&one.what))
}

/// What a newer version of an object still says of what an older one says, for the same eyes: another report may go on with it.
fn still_said(id: [u8; 16], older: &Report, newer: &Report) -> BTreeSet<Observable> {
    let is_raised = is_raised(binding(older).as_ref(), binding(newer).as_ref());
    let of_id = newer.indicators.iter().filter(|one| one.id == Some(id) && !is_raised);
    of_id.map(|one| one.what.clone()).collect()
}

/// How a report is marked, or how it would be at least: a label that says more than is understood binds as far as it is.
fn binding(report: &Report) -> Option<Marking> {
    report.marking.clone().or_else(|| floor_of(origin_id(report)).map(Marking::new))
}

/// Whether the second marking is for fewer eyes than the first.
fn is_raised(from: Option<&Marking>, to: Option<&Marking>) -> bool {
    from.zip(to).is_some_and(|(from, to)| {
        from.is_looser_than(&Marking { retain_until: from.retain_until, ..to.clone() })
    })
}

/// Leaves out what a report loses, and names it.
fn leave_out(report: &mut Report, losses: &Losses, why: &str, names: &mut Vec<Skipped>) {
    let lost = report.indicators.iter().filter(|one| is_lost(one, losses));
    let lost: BTreeSet<[u8; 16]> = lost.filter_map(|one| one.id).collect();
    if lost.is_empty() {
        return;
    }
    let versions = Versions::of(&report.originals);
    let name = |id: &[u8; 16]| {
        let name = versions.name(id).map(str::to_owned);
        name.unwrap_or_else(|| Subject(*id).to_string())
    };
    names.extend(lost.iter().map(|id| told(&name(id), why)));
    report.indicators.retain(|one| !is_lost(one, losses));
}
