//! Lists that an import read to their end: what is in none of their buckets any more is gone from them.

use std::collections::BTreeSet;

use tocsin_api::types::{EndedList, Imported, Skipped};
use tocsin_exchange::{BUCKET_DIGITS_MAX, bucket_names, group_names, list_subject};
use tocsin_record::body::report::{Report, Subject};

use super::batch::named;
use super::copies::TakeBack;
use super::publish::{ReportDraft, salt, successor};
use super::{Node, NodeError};

impl Node {
    /// Empties the buckets of a list that no value of it is in any more, here and wherever they were shared: their values are
    /// in others now, or gone. `written` are the reports of the batch.
    pub(super) fn gone_from(
        &self,
        ended: &EndedList,
        written: &BTreeSet<Subject>,
        drafts: &mut Vec<ReportDraft>,
        back: &mut Vec<TakeBack>,
        done: &mut Imported,
    ) -> Result<(), NodeError> {
        for group in group_names() {
            let list = if group.is_empty() { ended.list.clone() } else { format!("{}/{group}", ended.list) };
            let there = ended.groups.get(&group);
            let gone = self.buckets(&ended.source, &list).into_iter();
            let gone = gone.filter(|(bucket, _)| !there.is_some_and(|buckets| buckets.contains(bucket)));
            let elsewhere = self.gone_elsewhere(ended, &group, &list, written)?;
            for subject in gone.map(|(_, subject)| subject).chain(elsewhere) {
                self.empty(subject, there.is_some(), drafts, back, done)?;
            }
        }
        Ok(())
    }

    /// Empties a bucket of a list, and its copies, which are taken back where its values are no longer marked so.
    fn empty(
        &self,
        subject: Subject,
        is_marked_so: bool,
        drafts: &mut Vec<ReportDraft>,
        back: &mut Vec<TakeBack>,
        done: &mut Imported,
    ) -> Result<(), NodeError> {
        let (org, own) = (self.engine.org(), self.engine.own_circle());
        let Some(standing) = self.whole(org, own, subject)? else { return Ok(()) };
        if standing.report.indicators.is_empty() {
            return Ok(());
        }
        for (circle, copy) in self.copies_elsewhere(subject)? {
            if is_marked_so {
                // Its values are in another bucket of the same marking, or gone.
                drafts.extend(self.copy_to(circle, emptied(&copy.report))?);
                continue;
            }
            let why = format!(
                "taken back from circle `{}`: its values are no longer marked so",
                self.circle_name(circle)
            );
            done.taken_back.push(Skipped { what: named(&copy.report), why });
            back.push(TakeBack::of_source(circle, copy.report.subject));
        }
        done.changed += 1;
        let report = successor(emptied(&standing.report), Vec::new(), &standing);
        drafts.push(ReportDraft { circle: own, report });
        Ok(())
    }

    /// The buckets of a list that are here, by their names, each under the subject that it has now.
    fn buckets(&self, source: &str, list: &str) -> Vec<(String, Subject)> {
        let (org, own) = (self.engine.org(), self.engine.own_circle());
        self.tree(|bucket| self.subject_in(own, list_subject(&org, source, list, bucket)))
    }

    /// The leaves of a tree of buckets that are here, by their names, each under the subject that is made of that.
    pub(super) fn tree(&self, subject_of: impl Fn(&str) -> Subject) -> Vec<(String, Subject)> {
        /// So many levels of the tree without a bucket are its end: hashes leave no gaps, but where values are very long.
        const GAP: u32 = 4;
        let org = self.engine.org();
        let mut found = Vec::new();
        let mut last = 0;
        for digits in 0..=BUCKET_DIGITS_MAX {
            for bucket in bucket_names(digits) {
                let subject = subject_of(&bucket);
                if self.engine.reader.has_copies(org, subject) {
                    found.push((bucket, subject));
                    last = digits;
                }
            }
            if digits - last >= GAP {
                break;
            }
        }
        found
    }
}

/// A report that says nothing any more.
fn emptied(report: &Report) -> Report {
    Report { salt: salt(), indicators: Vec::new(), originals: Vec::new(), ..report.clone() }
}
