//! Reading records: a report through its versions, and records by what people have of their names.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_api::types::{TakenBack, Time};
use tocsin_exchange::personal;
use tocsin_policy::BodyView;
use tocsin_protocol::Directory;
use tocsin_protocol::judge::body_ref_view;
use tocsin_record::body::report::{Extent, Indicator, Original, Report, Subject};
use tocsin_record::body::{Body, BodyRef, ReportRef, retraction};
use tocsin_record::marking::Personal;
use tocsin_record::observable::{Observable, Type};
use tocsin_record::{CircleId, OrgId, RecordId};
use tocsin_store::{BodyState, RecordRef, Stored, Verdict, Version};

use super::{Node, NodeError};

/// Longest chain of versions that is followed.
const VERSIONS_MAX: usize = 10_000;
/// Most records looked at for the beginning of an id.
const SCAN_MAX: usize = 2_000_000;

/// A report with all its indicators, and where its standing version lies.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    /// The standing version, with all indicators that count and nothing withdrawn.
    pub report: Report,
    /// Where it lies.
    pub version: Version,
}

/// What a report says of one observable.
pub(super) struct Statement {
    /// Its standing version, which tells how it may be handled.
    pub standing: Stored,
    /// The version that lists the observable, where that is an earlier one.
    listing: Option<Stored>,
    /// The standing version without its lists.
    pub report: Report,
    /// What it says.
    pub indicator: Indicator,
}

impl Statement {
    /// What policy sees of it: the standing version, with this one of its indicators. What else stands beside it, such as the
    /// address of a person, is not told with it and does not hide it.
    pub fn with_view<T>(&self, ask: impl FnOnce(&BodyView<'_>) -> T) -> Option<T> {
        let mut report = report_in(&self.standing)?;
        if let Some(listing) = &self.listing {
            report.indicators = report_in(listing)?.indicators;
        }
        if is_personal_for_its_parts(&report)
            && let Some(marking) = &mut report.marking
        {
            marking.personal = self.indicator.what.row().map_or(Personal::Possible, |row| row.personal);
        }
        report.indicators.retain(|one| one.what == self.indicator.what.borrowed());
        Some(ask(&body_ref_view(&BodyRef::Report(report))))
    }
}

/// Whether a report is marked as personal for some of its values or of what it keeps. Else somebody said it of the whole.
fn is_personal_for_its_parts(report: &ReportRef<'_>) -> bool {
    let is_marked = report.marking.as_ref().is_some_and(|marking| marking.personal == Personal::Yes);
    let of_values = || {
        let mut types = report.indicators.iter().filter_map(|one| Type::by_id(one.what.kind));
        types.any(|row| row.personal == Personal::Yes)
    };
    let of_kept = || {
        let kept = report.originals.iter();
        let originals: Vec<Original> = kept
            .map(|one| Original { format: one.format, full: one.full, data: one.data.to_vec() })
            .collect();
        personal::inside(&originals).personal == Personal::Yes
    };
    is_marked && (of_values() || of_kept())
}

/// The report that a record holds, read in place.
fn report_in(stored: &Stored) -> Option<ReportRef<'_>> {
    BodyRef::again(&stored.entry)?.into_report()
}

impl Node {
    /// A record's body, read.
    pub fn body(&self, stored: &Stored) -> Option<Body> {
        Body::of(&stored.entry)?.ok()
    }

    /// A record that must be there.
    pub(super) fn record(&self, place: RecordRef) -> Result<Stored, NodeError> {
        self.engine.reader.record(place)?.ok_or_else(|| NodeError::NotFound("the record is gone".to_owned()))
    }

    pub(super) fn report_at(&self, place: RecordRef) -> Result<Option<Report>, NodeError> {
        let Some(stored) = self.engine.reader.record(place)? else {
            return Ok(None);
        };
        Ok(match self.body(&stored) {
            Some(Body::Report(report)) => Some(report),
            _ => None,
        })
    }

    /// The standing version of a report in a circle, put together from what its versions changed.
    pub(super) fn whole(
        &self,
        org: OrgId,
        circle: CircleId,
        subject: Subject,
    ) -> Result<Option<Whole>, NodeError> {
        let Some(version) = self.engine.reader.standing(org, circle, subject)? else {
            return Ok(None);
        };
        let versions = self.engine.reader.versions(org, circle, subject)?;
        let Some(mut report) = self.report_at(version.place)? else {
            return Ok(None);
        };
        // From the newest back: what is decided there is not decided again.
        let mut decided: BTreeMap<Observable, Option<Indicator>> = BTreeMap::new();
        let mut at = report.clone();
        for _ in 0..VERSIONS_MAX {
            for what in &at.withdrawn {
                decided.entry(what.clone()).or_insert(None);
            }
            for indicator in &at.indicators {
                decided.entry(indicator.what.clone()).or_insert_with(|| Some(indicator.clone()));
            }
            if at.extent == Extent::Whole {
                break;
            }
            let before = at.supersedes.and_then(|id| versions.iter().find(|version| version.id == id));
            let Some(before) = before else { break };
            let Some(earlier) = self.report_at(before.place)? else {
                break;
            };
            at = earlier;
        }
        report.indicators = decided.into_values().flatten().collect();
        report.withdrawn = Vec::new();
        report.extent = Extent::Whole;
        Ok(Some(Whole { report, version }))
    }

    /// What a report, of these versions, says of one observable in its standing one, if it still counts there; `None` if
    /// it was withdrawn or replaced. Cheaper than [`Self::whole`], and right for rivals, too.
    pub(super) fn statement(
        &self,
        versions: &[Version],
        what: &Observable,
        held: bool,
    ) -> Result<Option<Statement>, NodeError> {
        let counts = |version: &Version| {
            version.outcome.verdict == Verdict::Accepted || (held && version.outcome.verdict == Verdict::Held)
        };
        let superseded: BTreeSet<_> = versions
            .iter()
            .filter(|version| counts(version))
            .filter_map(|version| version.supersedes)
            .collect();
        let standing = versions.iter().rfind(|version| counts(version) && !superseded.contains(&version.id));
        let Some(mut at) = standing.copied() else { return Ok(None) };
        let mut newest: Option<(Stored, Report)> = None;
        for _ in 0..VERSIONS_MAX {
            let Some(listing) = self.engine.reader.record(at.place)? else { return Ok(None) };
            let Some(report) = report_in(&listing) else { return Ok(None) };
            if let Some(found) = report.indicators.iter().find(|indicator| indicator.what == what.borrowed())
            {
                let indicator = found.to_owned();
                let head = report.head();
                return Ok(Some(match newest {
                    Some((standing, report)) => {
                        Statement { standing, listing: Some(listing), report, indicator }
                    }
                    None => Statement { standing: listing, listing: None, report: head, indicator },
                }));
            }
            if report.extent == Extent::Whole || report.withdrawn.contains(&what.borrowed()) {
                return Ok(None);
            }
            let before = at.supersedes.and_then(|id| versions.iter().find(|version| version.id == id));
            let Some(before) = before else { return Ok(None) };
            at = *before;
            if newest.is_none() {
                let head = report.head();
                newest = Some((listing, head));
            }
        }
        Ok(None)
    }

    /// Who took a report back, if the body of this version of it is gone for that.
    pub(super) fn taken_back(
        &self,
        directory: &Directory,
        stored: &Stored,
    ) -> Result<Option<TakenBack>, NodeError> {
        let BodyState::Gone(reason @ 1..) = stored.stamped.outcome.body else {
            return Ok(None);
        };
        let reason = retraction::reason_name(reason.into()).to_owned();
        let by = self.org_name(directory, stored.org);
        // None names one that its author did not know of when it was taken back.
        let time = self.retraction_of(stored)?.map_or(0, |said| said.entry.header.time);
        Ok(Some(TakenBack { by, time: Time(time), reason }))
    }

    /// The retraction that names a record whose body is gone for that.
    pub(super) fn retraction_of(&self, stored: &Stored) -> Result<Option<Stored>, NodeError> {
        if !matches!(stored.stamped.outcome.body, BodyState::Gone(1..)) {
            return Ok(None);
        }
        for withdrawal in self.engine.reader.withdrawals(stored.org, stored.entry.header.circle) {
            let Some(said) = self.engine.reader.record(withdrawal.record)? else { continue };
            if let Some(Body::Retraction(retraction)) = self.body(&said)
                && retraction.versions.iter().any(|version| version.id == stored.entry.id)
            {
                return Ok(Some(said));
            }
        }
        Ok(None)
    }

    /// Why nothing more can be done with a report, if it was taken back.
    pub(super) fn over(&self, stored: &Stored) -> Result<Option<String>, NodeError> {
        let taken_back = self.taken_back(&self.engine.directory(), stored)?;
        Ok(taken_back.map(|taken_back| format!("it was {taken_back}, which is for ever")))
    }

    /// The last version that a retraction of the subject names, else the retraction.
    fn find_taken_back(&self, org: OrgId, subject: Subject) -> Result<Option<RecordRef>, NodeError> {
        let directory = self.engine.directory();
        let rosters: Vec<CircleId> = directory.circles().map(|(circle, _)| circle).collect();
        let all = [CircleId::mesh(self.engine.mesh_id), self.engine.own_circle()].into_iter().chain(rosters);
        for circle in all {
            let Some(withdrawal) = self.engine.reader.withdrawn(org, circle, subject) else { continue };
            if let Some(said) = self.engine.reader.record(withdrawal.record)?
                && let Some(Body::Retraction(retraction)) = self.body(&said)
                && let Some(last) = retraction.versions.last()
                && let Some(place) = self.engine.reader.find(&last.id)?
            {
                return Ok(Some(place));
            }
            return Ok(Some(withdrawal.record));
        }
        Ok(None)
    }

    /// The standing version of a subject: own first, then by org; the mesh's before the own circle's.
    pub(super) fn find_subject(&self, subject: Subject) -> Result<Option<RecordRef>, NodeError> {
        let directory = self.engine.directory();
        let mut orgs: Vec<OrgId> = directory.charter().orgs.iter().map(|org| org.root).collect();
        orgs.sort_by_key(|org| *org != self.engine.org());
        for org in &orgs {
            let org = *org;
            let mut circles = Vec::from_iter(self.engine.reader.circles_of(org, subject));
            circles.sort_by_key(|circle| *circle == self.engine.own_circle());
            for circle in circles {
                if let Some(version) = self.engine.reader.standing(org, circle, subject)? {
                    return Ok(Some(version.place));
                }
                if let Some(version) = self.engine.reader.versions(org, circle, subject)?.last() {
                    return Ok(Some(version.place));
                }
            }
        }
        for org in orgs {
            if let Some(place) = self.find_taken_back(org, subject)? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// The one record whose id begins so.
    pub(super) fn find_beginning(&self, digits: &str) -> Result<Option<RecordRef>, NodeError> {
        let mut found = None;
        let mut next = self.engine.reader.next_arrival();
        let mut looked = 0;
        // Newest first, in slices.
        while next > 0 && looked < SCAN_MAX {
            let from = next.saturating_sub(4096);
            let slice = self.engine.reader.since(from, usize::try_from(next - from).unwrap_or(0));
            let places = slice.into_iter().filter(|(arrival, _)| *arrival < next).map(|(_, place)| place);
            let places: Vec<RecordRef> = places.collect();
            looked += places.len();
            // Page by page: record by record, an id that is not here would have every page read for each of its records.
            for (place, id) in self.engine.reader.ids(places)? {
                if !begins(&id, digits) {
                    continue;
                }
                if found.is_some_and(|other| other != place) {
                    return Err(NodeError::Request(format!(
                        "several records begin with {digits}: give more digits"
                    )));
                }
                found = Some(place);
            }
            if found.is_some() {
                break;
            }
            next = from;
        }
        Ok(found)
    }
}

/// Whether an id begins with these hexadecimal digits.
fn begins(id: &RecordId, digits: &str) -> bool {
    let nibbles = id.0.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let mut digits = digits.chars().map(|digit| digit.to_digit(16));
    nibbles.zip(&mut digits).all(|(nibble, digit)| digit == Some(u32::from(nibble)))
        && digits.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_known_by_their_first_digits() {
        let mut id = RecordId([0xab; 32]);
        id.0[3] = 0x0f;
        let text = id.to_string();
        for len in 0..=text.len() {
            assert!(begins(&id, &text[..len]));
        }
        for other in ["abab1b0f", "ababab0e", "xbabab0f", &format!("{text}a")] {
            assert!(!begins(&id, other), "{other}");
        }
    }
}
