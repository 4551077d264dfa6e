//! Reports as readers see them: their versions, the one that stands, where there are copies, and what was taken back.

use std::collections::BTreeSet;

use tocsin_record::body::report::Subject;
use tocsin_record::{CircleId, OrgId, RecordId};

use crate::error::StoreError;
use crate::kv::Kv;
use crate::outcome::{BodyState, Outcome, RecordRef, Verdict};
use crate::reader::Reader;
use crate::slots::Slots;
use crate::state::{LogState, Withdrawal};
use crate::store::report_subject;

/// Most versions of a report that are looked at.
const VERSIONS_MAX: usize = 1_000;
/// Places of a report that are looked at under one lock: a report may have millions, and the writer must not wait for all.
const SLICE: usize = 1_000;

/// One version of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Where it is.
    pub place: RecordRef,
    /// Its record id.
    pub id: RecordId,
    /// When it was written, in ms.
    pub time: u64,
    /// The version before, if it names one.
    pub supersedes: Option<RecordId>,
    /// What became of it.
    pub outcome: Outcome,
}

impl<K: Kv, S: Slots> Reader<K, S> {
    /// The versions of a report whose bodies are here, in one circle, by time and id: at most 1,000, those that came or
    /// changed last.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn versions(
        &self,
        org: OrgId,
        circle: CircleId,
        subject: Subject,
    ) -> Result<Vec<Version>, StoreError> {
        let mut versions = Vec::new();
        for (_, place) in self.newest_of_report(org, circle, subject) {
            let Some(stored) = self.record(place)? else {
                continue;
            };
            let Some((_, body)) = stored.entry.readable() else { continue };
            if report_subject(&stored.entry) != Some(subject) {
                continue;
            }
            versions.push(Version {
                place,
                id: stored.entry.id,
                time: stored.entry.header.time,
                supersedes: supersedes(body),
                outcome: stored.stamped.outcome,
            });
        }
        versions.sort_unstable_by_key(|version| (version.time, version.id));
        Ok(versions)
    }

    /// Shows the committed places that may hold versions of a report, in any circle, falling, each with its log.
    fn each_of_report(&self, org: OrgId, subject: Subject, mut visit: impl FnMut(RecordRef, &LogState)) {
        let mut next = Some(u64::MAX);
        while let Some(last) = next {
            self.shared.let_writer_in();
            let state = self.shared.state();
            let slice = state.find_report_up_to(org, subject, last, SLICE);
            next =
                slice.last().filter(|_| slice.len() == SLICE).and_then(|least| least.pack().checked_sub(1));
            for place in slice {
                if let Some(log) = state.log(place.log).filter(|log| place.seq <= log.published.seq) {
                    visit(place, log);
                }
            }
        }
    }

    /// Places that may hold versions of a report in one circle whose bodies are here, with the numbers of their last changes:
    /// at most 1,000, those that came or changed last.
    fn newest_of_report(&self, org: OrgId, circle: CircleId, subject: Subject) -> BTreeSet<(u64, RecordRef)> {
        let mut newest = BTreeSet::new();
        self.each_of_report(org, subject, |place, log| {
            if log.org == org
                && log.key.circle == circle
                && let Some(stamped) = log.spans.get(place.seq)
                && stamped.outcome.body == BodyState::Here
            {
                newest.insert((stamped.arrival, place));
                if newest.len() > VERSIONS_MAX {
                    newest.pop_first();
                }
            }
        });
        newest
    }

    /// Places that hold versions of a report, in any circle; almost always exactly those (64-bit keyed hash).
    #[must_use]
    pub fn copies(&self, org: OrgId, subject: Subject) -> Vec<RecordRef> {
        let mut places = Vec::new();
        self.each_of_report(org, subject, |place, _| places.push(place));
        places.reverse();
        places
    }

    /// The circles in which there are [`Self::copies`].
    #[must_use]
    pub fn circles_of(&self, org: OrgId, subject: Subject) -> BTreeSet<CircleId> {
        let mut circles = BTreeSet::new();
        self.each_of_report(org, subject, |_, log| {
            circles.insert(log.key.circle);
        });
        circles
    }

    /// Whether there are [`Self::copies`], which takes no longer where there are many.
    #[must_use]
    pub fn has_copies(&self, org: OrgId, subject: Subject) -> bool {
        let state = self.shared.state();
        state.any_of_report(org, subject, |place| {
            state.log(place.log).is_some_and(|log| place.seq <= log.published.seq)
        })
    }

    /// The version that stands: accepted, superseded by no accepted one, and of rivals the one with the greatest time
    /// and id.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn standing(
        &self,
        org: OrgId,
        circle: CircleId,
        subject: Subject,
    ) -> Result<Option<Version>, StoreError> {
        let mut versions = self.versions(org, circle, subject)?;
        versions.retain(|version| version.outcome.verdict == Verdict::Accepted);
        let superseded: BTreeSet<RecordId> =
            versions.iter().filter_map(|version| version.supersedes).collect();
        Ok(versions.into_iter().rfind(|version| !superseded.contains(&version.id)))
    }

    /// Whether a report was taken back in this circle.
    #[must_use]
    pub fn withdrawn(&self, org: OrgId, circle: CircleId, subject: Subject) -> Option<Withdrawal> {
        let state = self.shared.state();
        let found = state.retractions.get(&(org, circle, subject)).copied()?;
        let committed = state.log(found.record.log).is_some_and(|log| found.record.seq <= log.published.seq);
        committed.then_some(found)
    }

    /// The reports of an org that were taken back in a circle.
    #[must_use]
    pub fn withdrawn_subjects(&self, org: OrgId, circle: CircleId) -> Vec<Subject> {
        let state = self.shared.state();
        let all = (org, circle, Subject([0; 16]))..=(org, circle, Subject([255; 16]));
        let committed = |found: &Withdrawal| {
            state.log(found.record.log).is_some_and(|log| found.record.seq <= log.published.seq)
        };
        let found = state.retractions.range(all).filter(|(_, found)| committed(found));
        found.map(|((_, _, subject), _)| *subject).collect()
    }

    /// The retractions of an org in a circle.
    #[must_use]
    pub fn withdrawals(&self, org: OrgId, circle: CircleId) -> Vec<Withdrawal> {
        let state = self.shared.state();
        let all = (org, circle, Subject([0; 16]))..=(org, circle, Subject([255; 16]));
        let committed = |found: &&Withdrawal| {
            state.log(found.record.log).is_some_and(|log| found.record.seq <= log.published.seq)
        };
        state.retractions.range(all).map(|(_, found)| found).filter(committed).copied().collect()
    }
}

/// The version before, which stands behind salt and subject in a report.
fn supersedes(body: &[u8]) -> Option<RecordId> {
    let rest = body.get(32..)?;
    match rest.split_first() {
        Some((1, rest)) => rest.first_chunk::<32>().map(|id| RecordId(*id)),
        _ => None,
    }
}
