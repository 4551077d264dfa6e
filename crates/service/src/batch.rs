//! What is imported: batches of reports from files, into the own circle and on to where they are shared.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use tocsin_api::types::{BATCH_REPORTS_MAX, Floor, ImportBatch, Imported, Skipped};
use tocsin_exchange::personal;
use tocsin_exchange::versions::{meet_under, own_id};
use tocsin_record::CircleId;
use tocsin_record::body::report::{Extent, Report, Subject};
use tocsin_record::marking::{Marking, Pap, Personal, Tlp};
use tracing::debug;

use super::advice::AdviceList;
use super::by_hand::ByHand;
use super::copies::{Door, TakeBack, Together, in_requests};
use super::heads::Heads;
use super::publish::{ReportDraft, Unshareable, salt, same_content, successor};
use super::recipients::Asked;
use super::sources::{OLDER, Objects, TWICE};
use super::{Caller, Node, NodeError};

/// Why a report is left as it stands.
const DOUBTFUL: &str =
    "most of its file is no list, as where a page of words stands in the place of one: what stands is kept";
const MIXED: &str = "it would be kept together with what is marked otherwise, and both markings do not go together: what stands is kept";

impl Node {
    /// Takes a batch of reports from files into the own circle, and shares them where it was asked for.
    ///
    /// # Errors
    /// When nothing could be done at all; what was left is told in the answer.
    pub async fn import(
        self: &Arc<Self>,
        caller: &Caller,
        batch: ImportBatch,
    ) -> Result<Imported, NodeError> {
        let dry_run = batch.dry_run;
        let (drafts, back, mut done) = self.apart(move |node| node.imported(batch)).await?;
        if dry_run {
            return Ok(done);
        }
        // First what must not stay where it is.
        for one in back {
            self.write(vec![Together { drafts: Vec::new(), back: vec![one] }]).await?;
        }
        self.write_each(drafts, &mut done).await?;
        debug!(person = caller.principal.name, new = done.new, changed = done.changed, "imported");
        Ok(done)
    }

    /// Writes reports; one that the door refuses after all is left out by name, with its copies, and the rest is written.
    async fn write_each(self: &Arc<Self>, all: Vec<Together>, done: &mut Imported) -> Result<(), NodeError> {
        for some in in_requests(all) {
            match self.write_as_one(some.clone()).await {
                Ok(written) => done.records.extend(written.records),
                Err(error) if error.is_of_draft() => {
                    for together in some {
                        match self.write_as_one(vec![together.clone()]).await {
                            Ok(written) => done.records.extend(written.records),
                            Err(error) if error.is_of_draft() => {
                                let what = together.drafts.first().map(|draft| named(&draft.report));
                                let (what, why) = (what.unwrap_or_default(), error.to_string());
                                done.skipped.push(Skipped { what, why });
                            }
                            Err(error) => return Err(error),
                        }
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What a batch has written, what it takes back, and what is to be told of it; the same for a dry run. Reads the disk.
    fn imported(
        &self,
        mut batch: ImportBatch,
    ) -> Result<(Vec<Together>, Vec<TakeBack>, Imported), NodeError> {
        if batch.reports.len() > BATCH_REPORTS_MAX {
            return Err(NodeError::Request(format!("a batch has at most {BATCH_REPORTS_MAX} reports")));
        }
        let own = self.engine.own_circle();
        let mut share = self.circles_to_write(&batch.share)?;
        share.retain(|circle| *circle != own);
        let mut done = Imported::default();
        let mut advice = AdviceList::new(&self.engine.config.own);
        let mut door = Door::new(self);
        let mut drafts = Vec::new();
        let mut copies = Vec::new();
        let mut back = Vec::new();
        let same = self.same_lists(&batch)?;
        let place = |subject| same.get(&subject).copied().unwrap_or_else(|| self.subject_in(own, subject));
        let mut by_hand = ByHand::new(self);
        let mut all_gone = BTreeSet::new();
        for report in &mut batch.reports {
            if own_id(origin_id(report)).is_none() {
                // What is new in a list goes on where a bucket of it was taken back, which is for ever: under another subject.
                report.subject = place(report.subject);
                if by_hand.leave_out(report, batch.again, &mut done)? {
                    all_gone.insert(report.subject);
                }
            }
        }
        let doubtful: BTreeSet<Subject> = batch.doubtful.iter().map(|subject| place(*subject)).collect();
        drafts.extend(by_hand.drafts()?);
        let mut objects = Objects::new(self, &batch)?;
        self.take_back_gone(&batch, &mut objects, &mut drafts, &mut back, &mut done)?;
        let heads = Heads::of(self, &batch)?;
        objects.lose_all(heads.left_behind(self, &batch), &mut done)?;
        let mut subjects = BTreeSet::new();
        // A batch without floors has none.
        let floors = batch.floors.into_iter().chain(std::iter::repeat(Floor::default()));
        for (report, floor) in batch.reports.into_iter().zip(floors) {
            if !subjects.insert(report.subject) {
                done.skipped.push(Skipped {
                    what: named(&report),
                    why: "a report of this subject is in the batch before it".to_owned(),
                });
                continue;
            }
            if self.engine.reader.withdrawn(self.engine.org(), own, report.subject).is_some() {
                done.skipped.push(Skipped {
                    what: named(&report),
                    why: "it was taken back, which is for ever".to_owned(),
                });
                continue;
            }
            let mut report =
                Report { supersedes: None, extent: Extent::Whole, withdrawn: Vec::new(), ..report };
            let said = report.indicators.len();
            if !objects.leave_out_gone(&mut report, &mut done) {
                continue;
            }
            let of_head = heads.order(&report);
            if of_head == Some(Ordering::Less) {
                done.older.push(Skipped { what: named(&report), why: OLDER.to_owned() });
                continue;
            }
            let twins = objects.leave_out_older(&mut report, &mut done)?;
            let mut is_whole = report.indicators.len() == said;
            let standing = self.whole(self.engine.org(), own, report.subject)?;
            // There is nothing to keep of a list of which all is older, or was taken back.
            let is_left = !report.indicators.is_empty()
                || said == 0 && !all_gone.contains(&report.subject)
                || own_id(origin_id(&report)).is_some();
            if standing.is_none() && !is_left {
                done.duplicates += 1;
                continue;
            }
            if let Some(standing) = &standing {
                if doubtful.contains(&report.subject)
                    && report.indicators.len() < standing.report.indicators.len()
                {
                    done.skipped.push(Skipped { what: named(&report), why: DOUBTFUL.to_owned() });
                    continue;
                }
                let what = named(&report);
                let subject = report.subject;
                let met =
                    meet_under(of_head, &standing.report, report, |id| objects.has_elsewhere(*id, subject));
                done.older.extend(met.older.into_iter().map(|what| Skipped { what, why: OLDER.to_owned() }));
                done.twice.extend(met.twice.into_iter().map(|what| Skipped { what, why: TWICE.to_owned() }));
                let Some(next) = met.report else {
                    done.duplicates += 1;
                    continue;
                };
                report = next;
                // What stands of a report may not have heard of it yet.
                let said = report.indicators.len();
                objects.leave_out_gone(&mut report, &mut done);
                is_whole &= report.indicators.len() == said;
                keep_marking(&mut report, floor, &standing.report);
                // A retention is counted from the import, so that the same file would differ each time.
                keep_retention(&mut report, &standing.report);
                if met.mixed && !mark_both(&mut report, &standing.report) {
                    done.skipped.push(Skipped { what, why: MIXED.to_owned() });
                    continue;
                }
            }
            let leaves = objects.bind(&report, &twins);
            is_whole &= leaves.indicators.len() == report.indicators.len();
            let (draft, is_new) = match standing {
                Some(standing) if same_content(&report, &standing.report) => {
                    done.unmarked += u64::from(report.marking.is_none());
                    done.duplicates += 1;
                    (None, false)
                }
                Some(standing) => {
                    let next = report.indicators.clone();
                    (Some(successor(Report { salt: salt(), ..report.clone() }, next, &standing)), false)
                }
                None => (Some(Report { salt: salt(), ..report.clone() }), true),
            };
            if let Some(version) = draft {
                let draft = match door.judged(ReportDraft { circle: own, report: version }) {
                    Ok(draft) => draft,
                    Err(why) => {
                        done.skipped.push(Skipped { what: named(&report), why });
                        continue;
                    }
                };
                done.twice.extend(twins.into_iter().filter_map(|twin| twin.told));
                done.unmarked += u64::from(report.marking.is_none());
                *if is_new { &mut done.new } else { &mut done.changed } += 1;
                done.indicators += draft.report.indicators.len() as u64;
                advice.look(&draft.report);
                drafts.push(draft);
            }
            let said = Personal::from_code(floor.personal).unwrap_or_default();
            self.narrow(&leaves, said, &share, &mut drafts, &mut back, &mut done)?;
            if !share.is_empty() {
                // What was left out stands in what is kept beside it as well.
                let originals = if is_whole { leaves.originals } else { Vec::new() };
                copies.push(Report { originals, ..leaves });
            }
        }
        for report in objects.emptied()? {
            done.changed += u64::from(report.draft.is_some());
            drafts.extend(report.draft);
            self.narrow(&report.left, Personal::No, &[], &mut drafts, &mut back, &mut done)?;
        }
        for ended in &batch.ended {
            self.gone_from(ended, &subjects, &mut drafts, &mut back, &mut done)?;
        }
        let mut all: Vec<Together> = drafts.into_iter().map(Together::from).collect();
        let mut recipients = (batch.dry_run && batch.recipients).then(|| Asked::new(self));
        for report in copies {
            if let Some(recipients) = &mut recipients {
                recipients.look(&share, &report);
            }
            let mut together = Together::default();
            for circle in &share {
                let mut refuse = |why: String| {
                    let in_circle = if share.len() > 1 {
                        format!(" in circle `{}`", self.circle_name(*circle))
                    } else {
                        String::new()
                    };
                    done.skipped
                        .push(Skipped { what: named(&report), why: format!("not shared{in_circle}: {why}") });
                };
                match self.for_circle(*circle, report.marking.clone()) {
                    Ok(_) => {
                        let Some(copy) = self.copy_to(*circle, report.clone())? else { continue };
                        match door.judged(copy) {
                            Ok(copy) => together.drafts.push(copy),
                            Err(why) => refuse(why),
                        }
                    }
                    // What carries no marking is told by its own count.
                    Err(Unshareable::Unmarked) => {}
                    Err(why) => refuse(why.of_import()),
                }
            }
            if !together.drafts.is_empty() {
                done.shared += 1;
                all.push(together);
            }
        }
        if let Some(recipients) = recipients {
            done.recipients = recipients.told();
        }
        (done.unmatched, done.well_known) = advice.done();
        Ok((all, back, done))
    }

    /// The copies of a report in wider circles are no wider than it may be now: taken back where its marking no longer allows
    /// them, made stricter where it does, and without the values that are gone from it. The circle that it is shared in
    /// now get all of it anyway. What is about persons here and was left out there binds no copy: `said` is how personal it
    /// is called, whatever is in it.
    fn narrow(
        &self,
        report: &Report,
        said: Personal,
        share: &[CircleId],
        drafts: &mut Vec<ReportDraft>,
        back: &mut Vec<TakeBack>,
        done: &mut Imported,
    ) -> Result<(), NodeError> {
        let Some(marking) = &report.marking else { return Ok(()) };
        for (circle, standing) in self.copies_elsewhere(report.subject)? {
            let copy = &standing.report;
            let of_copy = copy.marking.as_ref().map_or(Personal::No, |before| before.personal);
            let of_copy = of_copy.max(personal::of(&copy.indicators, &copy.originals));
            let personal = marking.personal.min(said_of(marking, report).max(said).max(of_copy));
            let marking = &Marking { personal, ..marking.clone() };
            match self.for_circle(circle, Some(marking.clone())) {
                Err(why) => {
                    let why =
                        format!("taken back from circle `{}`: {}", self.circle_name(circle), why.of_import());
                    done.taken_back.push(Skipped { what: named(report), why });
                    back.push(TakeBack::of_source(circle, standing.report.subject));
                }
                Ok(_) if share.contains(&circle) => {}
                Ok(_) => {
                    let mut copy = standing.report.clone();
                    let said: BTreeSet<_> = report.indicators.iter().map(|one| &one.what).collect();
                    copy.indicators.retain(|one| said.contains(&one.what));
                    let gone = copy.indicators.len() < standing.report.indicators.len();
                    if let Some(before) = &copy.marking
                        && before
                            .is_looser_than(&Marking { retain_until: before.retain_until, ..marking.clone() })
                        && let Ok(stricter) = before.stricter(marking)
                    {
                        copy.marking = Some(stricter);
                    }
                    if copy.marking == standing.report.marking && !gone {
                        continue;
                    }
                    if gone {
                        // What the source no longer says here may stand in what is kept beside it.
                        copy.originals.clear();
                    }
                    let name = self.circle_name(circle);
                    let why = format!("its copy in circle `{name}` is now marked and filled as it is here");
                    done.taken_back.push(Skipped { what: named(report), why });
                    drafts.extend(self.copy_to(circle, copy)?);
                }
            }
        }
        Ok(())
    }
}

/// The id of a report at its source.
pub(super) fn origin_id(report: &Report) -> &str {
    report.origin.source.as_ref().map_or("", |source| &source.id)
}

/// A report by its title and subject.
pub(super) fn named(report: &Report) -> String {
    format!("{} ({})", tocsin_text::cut(&report.title, 60), report.subject)
}

/// Where nobody says a marking, the one that stands stays, raised by what a part carries and by what the values are:
/// importing a file again takes nothing back.
fn keep_marking(report: &mut Report, floor: Floor, standing: &Report) {
    if report.marking.is_some() {
        return;
    }
    let said = standing.marking.as_ref().map_or(Personal::No, |marking| said_of(marking, standing));
    report.marking = standing.marking.clone().map(|standing| Marking {
        tlp: Tlp::from_code(floor.tlp).map_or(standing.tlp, |floor| standing.tlp.max(floor)),
        pap: standing.pap.max(Pap::from_code(floor.pap)),
        personal: said
            .max(Personal::from_code(floor.personal).unwrap_or_default())
            .max(personal::of(&report.indicators, &report.originals)),
        ..standing
    });
}

/// How personal a report is called beyond what is in it: the rest goes with what is left out of it.
fn said_of(marking: &Marking, report: &Report) -> Personal {
    let inside = personal::of(&report.indicators, &report.originals);
    if marking.personal > inside { marking.personal } else { Personal::No }
}

/// Where a report also says what stood before, it is marked as strictly as both; false where that cannot be.
fn mark_both(report: &mut Report, standing: &Report) -> bool {
    let both = match (&report.marking, &standing.marking) {
        (Some(new), Some(old)) if new == old => return true,
        (Some(new), Some(old)) => {
            new.stricter(&Marking { personal: said_of(old, standing), ..old.clone() }).map(Some)
        }
        // What is kept of an unmarked one is unmarked.
        _ => Ok(None),
    };
    let personal = personal::of(&report.indicators, &report.originals);
    both.map(|marking| {
        report.marking =
            marking.map(|marking| Marking { personal: marking.personal.max(personal), ..marking });
    })
    .is_ok()
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
    use tocsin_record::body::report::{Indicator, Origin};
    use tocsin_record::marking::Code;
    use tocsin_record::observable::Observable;

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
        let red = Floor { tlp: Tlp::Red.code(), ..Floor::default() };
        assert_eq!(after(None, red).unwrap().tlp, Tlp::Red);
        let said = Marking::new(Tlp::Clear);
        assert_eq!(after(Some(said.clone()), Floor::default()), Some(said));
        let mut next = report(None);
        keep_marking(&mut next, Floor::default(), &report(None));
        assert_eq!(next.marking, None);
    }

    #[test]
    fn what_is_left_out_binds_no_longer_and_what_was_said_beyond_it_does() {
        let mail = Indicator {
            what: Observable::parse("email", "a@b.example").unwrap(),
            kind: Code { kind: 1, value: Vec::new() },
            confidence: None,
            valid_from: 0,
            valid_until: 0,
            id: None,
            comment: String::new(),
        };
        let green = |personal| Marking { personal, ..Marking::new(Tlp::Green) };
        for (inside, said, left) in [
            (vec![mail.clone()], Floor::default(), Personal::No),
            (vec![mail], Floor { personal: Personal::Yes.code(), ..Floor::default() }, Personal::Yes),
            // Nothing in it is about persons: somebody said so.
            (Vec::new(), Floor::default(), Personal::Yes),
        ] {
            let standing = Report { indicators: inside, ..report(Some(green(Personal::Yes))) };
            let mut next = report(None);
            keep_marking(&mut next, said, &standing);
            assert_eq!(next.marking, Some(green(left)));
        }
        let standing = report(Some(green(Personal::Yes)));
        let mut next = report(Some(green(Personal::No)));
        assert!(mark_both(&mut next, &standing));
        assert_eq!(next.marking, Some(green(Personal::Yes)));
    }
}
