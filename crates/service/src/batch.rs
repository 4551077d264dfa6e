//! What is imported: batches of reports from files, into the own circle and on to where they are shared.

use std::collections::BTreeSet;
use std::sync::Arc;

use tocsin_api::types::{BATCH_REPORTS_MAX, Floor, ImportBatch, Imported, Skipped};
use tocsin_exchange::marking::personal_default;
use tocsin_record::body::report::{Extent, Report};
use tocsin_record::marking::{Marking, Pap, Tlp};

use super::advice::AdviceList;
use super::publish::{ReportDraft, Unshareable, salt, same_content, successor};
use super::{Node, NodeError};

impl Node {
    /// Takes a batch of reports from files into the own circle, and shares them where it was asked for.
    ///
    /// # Errors
    /// When nothing could be done at all; what was left is told in the answer.
    pub async fn import(self: &Arc<Self>, batch: ImportBatch) -> Result<Imported, NodeError> {
        let (drafts, shared, mut done) = self.apart(move |node| node.imported(batch)).await?;
        // Nothing is left to write of a dry run.
        done.records = self.write(drafts).await?;
        done.records.extend(self.write(shared).await?);
        Ok(done)
    }

    /// What a batch has written in the own circle, what in another, and what is to be told of it. Reads the disk.
    fn imported(
        &self,
        batch: ImportBatch,
    ) -> Result<(Vec<ReportDraft>, Vec<ReportDraft>, Imported), NodeError> {
        if batch.reports.len() > BATCH_REPORTS_MAX {
            return Err(NodeError::Request(format!("a batch has at most {BATCH_REPORTS_MAX} reports")));
        }
        let share = batch.share.as_deref().map(|name| self.circle(name)).transpose()?;
        let own = self.engine.own_circle();
        let mut done = Imported::default();
        let mut advice = AdviceList::default();
        let mut drafts = Vec::new();
        let mut copies = Vec::new();
        let mut subjects = BTreeSet::new();
        // A batch without floors has none.
        let floors = batch.floors.into_iter().chain(std::iter::repeat(Floor::default()));
        for (report, floor) in batch.reports.into_iter().zip(floors) {
            if !subjects.insert(report.subject) {
                done.skipped.push(Skipped {
                    what: report.subject.to_string(),
                    why: "a report of this subject is in the batch before it".to_owned(),
                });
                continue;
            }
            if self.engine.reader.withdrawn(self.engine.org(), own, report.subject).is_some() {
                done.skipped.push(Skipped {
                    what: report.subject.to_string(),
                    why: "it was taken back, which is for ever".to_owned(),
                });
                continue;
            }
            let mut report =
                Report { supersedes: None, extent: Extent::Whole, withdrawn: Vec::new(), ..report };
            let standing = self.whole(self.engine.org(), own, report.subject)?;
            if let Some(standing) = &standing {
                keep_marking(&mut report, floor, &standing.report);
                // A retention is counted from the import, so that the same file would differ each time.
                keep_retention(&mut report, &standing.report);
            }
            done.unmarked += u64::from(report.marking.is_none());
            match standing {
                Some(standing) if same_content(&report, &standing.report) => done.duplicates += 1,
                Some(standing) => {
                    done.changed += 1;
                    let next = report.indicators.clone();
                    let version = successor(Report { salt: salt(), ..report.clone() }, next, &standing);
                    done.indicators += version.indicators.len() as u64;
                    advice.look(&version);
                    drafts.push(ReportDraft { circle: own, report: version });
                }
                None => {
                    done.new += 1;
                    done.indicators += report.indicators.len() as u64;
                    advice.look(&report);
                    drafts
                        .push(ReportDraft { circle: own, report: Report { salt: salt(), ..report.clone() } });
                }
            }
            if let Some(circle) = share.filter(|circle| *circle != own) {
                copies.push((circle, report));
            }
        }
        let mut shared = Vec::new();
        for (circle, report) in copies {
            match self.for_circle(circle, report.marking.clone()) {
                Ok(_) => shared.extend(self.copy_to(circle, report)?),
                // What carries no marking is told by its own count.
                Err(Unshareable::Unmarked) => {}
                Err(why) => done.skipped.push(Skipped {
                    what: report.subject.to_string(),
                    why: format!("not shared: {}", why.of_import()),
                }),
            }
        }
        done.shared = shared.len() as u64;
        (done.unmatched, done.well_known) = advice.done();
        if batch.dry_run {
            return Ok((Vec::new(), Vec::new(), done));
        }
        Ok((drafts, shared, done))
    }
}

/// Where nobody says a marking, the one that stands stays, raised by what a part carries and by what the values are:
/// importing a file again takes nothing back.
fn keep_marking(report: &mut Report, floor: Floor, standing: &Report) {
    if report.marking.is_some() {
        return;
    }
    report.marking = standing.marking.clone().map(|standing| Marking {
        tlp: Tlp::from_code(floor.tlp).map_or(standing.tlp, |floor| standing.tlp.max(floor)),
        pap: standing.pap.max(Pap::from_code(floor.pap)),
        personal: standing.personal.max(personal_default(&report.indicators)),
        ..standing
    });
}

/// Keeps the end that stands, where the markings are the same but for it.
fn keep_retention(report: &mut Report, standing: &Report) {
    if let (Some(new), Some(old)) = (&mut report.marking, &standing.marking)
        && new.retain_until.is_some()
        && old.retain_until.is_some()
        && (Marking { retain_until: old.retain_until, ..new.clone() }) == *old
    {
        new.retain_until = old.retain_until;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_record::body::report::{Origin, Subject};
    use tocsin_record::marking::Personal;

    fn report(marking: Option<Marking>) -> Report {
        Report {
            salt: [0; 16],
            subject: Subject([1; 16]),
            supersedes: None,
            extent: Extent::Whole,
            origin: Origin::default(),
            marking,
            title: String::new(),
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

    #[test]
    fn a_standing_marking_stays_and_is_never_loosened() {
        let green = Marking { personal: Personal::Possible, ..Marking::new(Tlp::Green) };
        let standing = report(Some(green.clone()));
        let after = |said: Option<Marking>, floor| {
            let mut next = report(said);
            keep_marking(&mut next, floor, &standing);
            next.marking
        };
        assert_eq!(after(None, Floor::default()), Some(green));
        let red = Floor { tlp: Tlp::Red.code(), pap: 0 };
        assert_eq!(after(None, red).unwrap().tlp, Tlp::Red);
        let said = Marking::new(Tlp::Clear);
        assert_eq!(after(Some(said.clone()), Floor::default()), Some(said));
        let mut next = report(None);
        keep_marking(&mut next, Floor::default(), &report(None));
        assert_eq!(next.marking, None);
    }
}
