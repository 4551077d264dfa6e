//! A list whose file lies in another folder than before: it is called by its file and folder, and where its objects have ids, these
//! tell that it is the same.
//!
//! Of one name and origin, and with most of its objects, or all that stood. Then its buckets go on under the subjects that they have, and those that it
//! has no more are emptied, as in its own folder.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use tocsin_api::types::{EndedList, ImportBatch};
use tocsin_exchange::list_subject;
use tocsin_exchange::versions::own_id;
use tocsin_record::body::report::{Report, Subject};

use super::sources::{Holders, Read};
use super::{Node, NodeError};

/// A list under one marking: the name of its source, and the id in its origin without the bucket.
pub(super) type ListKey = (String, String);

/// A bucket that stands.
struct Bucket {
    name: String,
    subject: Subject,
    ids: BTreeSet<[u8; 16]>,
}

/// Which list a report is of, and which bucket of it; `None` if it is of none, or its objects have no ids.
pub(super) fn list_key(report: &Report) -> Option<(ListKey, String)> {
    let source = report.origin.source.as_ref()?;
    report.indicators.iter().find(|one| one.id.is_some())?;
    key_of(&source.name, &source.id)
}

/// As [`list_key`], by the name of a source and the id in a report's origin.
pub(super) fn key_of(source: &str, id: &str) -> Option<(ListKey, String)> {
    if own_id(id).is_some() {
        return None;
    }
    let is_bucket = |(_, bits): &(&str, &str)| bits.bytes().all(|bit| matches!(bit, b'0' | b'1'));
    let (list, bucket) = id.rsplit_once('#').filter(is_bucket).unwrap_or((id, ""));
    Some(((source.to_owned(), list.to_owned()), bucket.to_owned()))
}

fn ids_of(report: &Report) -> BTreeSet<[u8; 16]> {
    report.indicators.iter().filter_map(|one| one.id).collect()
}

impl Node {
    /// The reports of a batch that are buckets of lists which stand under other subjects, with these. Reads the disk.
    pub(super) fn same_lists(&self, batch: &ImportBatch) -> Result<BTreeMap<Subject, Subject>, NodeError> {
        let mut lists: BTreeMap<ListKey, Vec<(String, &Report)>> = BTreeMap::new();
        for report in &batch.reports {
            if let Some((list, bucket)) = list_key(report) {
                lists.entry(list).or_default().push((bucket, report));
            }
        }
        let mut same = BTreeMap::new();
        if lists.is_empty() {
            return Ok(same);
        }
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        self.follow_holders(&mut holders)?;
        let mut read = Read::default();
        let mut taken: BTreeSet<Subject> = batch.reports.iter().map(|report| report.subject).collect();
        for (list, reports) in lists {
            let mut strange = Vec::new();
            for (bucket, report) in reports {
                let subject = self.subject_in(self.engine.own_circle(), report.subject);
                if self.standing_of(&mut read, subject)?.is_some() {
                    taken.insert(subject);
                } else {
                    strange.push((bucket, report));
                }
            }
            let ids: BTreeSet<[u8; 16]> = strange.iter().flat_map(|(_, report)| ids_of(report)).collect();
            if ids.is_empty() {
                continue;
            }
            let standing = self.standing_buckets(&holders, &mut read, &list)?;
            let known: Vec<&Bucket> =
                standing.iter().filter(|known| !taken.contains(&known.subject)).collect();
            let stood: BTreeSet<_> = known.iter().flat_map(|known| &known.ids).copied().collect();
            let shared: BTreeSet<_> = stood.intersection(&ids).copied().collect();
            // Where all that stood is in it, nothing is lost if it was another.
            let is_same = shared.len() * 2 > ids.len() || !stood.is_empty() && shared == stood;
            if !is_same {
                continue;
            }
            for (bucket, report) in strange {
                let of_name =
                    known.iter().filter(|known| known.name == bucket && !taken.contains(&known.subject));
                let most = of_name.max_by_key(|known| known.ids.intersection(&shared).count());
                if let Some(known) = most {
                    taken.insert(known.subject);
                    same.insert(report.subject, known.subject);
                }
            }
        }
        Ok(same)
    }

    /// The buckets of a list that stand, in whatever folder its file lay. Reads the disk.
    fn standing_buckets(
        &self,
        holders: &Holders,
        read: &mut Read,
        list: &ListKey,
    ) -> Result<Vec<Bucket>, NodeError> {
        let mut standing = Vec::new();
        for subject in holders.of_list(list) {
            let Some((whole, _)) = self.standing_of(read, subject)? else { continue };
            if let Some((of, name)) = list_key(&whole.report)
                && of == *list
            {
                standing.push(Bucket { name, subject, ids: ids_of(&whole.report) });
            }
        }
        Ok(standing)
    }

    /// The buckets of a list under one marking that it has no more, where it stands by another folder than that of this import,
    /// whose reports have these subjects. Where two lists of one name stand it cannot be told whose they are. Reads the disk.
    pub(super) fn gone_elsewhere(
        &self,
        ended: &EndedList,
        group: &str,
        list: &str,
        written: &BTreeSet<Subject>,
    ) -> Result<Vec<Subject>, NodeError> {
        let (Some(there), Some(name)) = (ended.groups.get(group), ended.names.get(group)) else {
            return Ok(Vec::new());
        };
        let mut holders = self.holders.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (name.clone(), list.to_owned());
        if holders.of_list(&key).next().is_none() {
            return Ok(Vec::new());
        }
        self.follow_holders(&mut holders)?;
        let standing = self.standing_buckets(&holders, &mut Read::default(), &key)?;
        let (org, own) = (self.engine.org(), self.engine.own_circle());
        // A bucket that would have been made, had it not been known under another subject.
        let is_known = |bucket: &String| {
            let subject = self.subject_in(own, list_subject(&org, &ended.source, list, bucket));
            let is_made = written.contains(&subject) || self.engine.reader.has_copies(org, subject);
            !is_made && standing.iter().any(|known| known.name == *bucket)
        };
        if !there.iter().any(is_known) {
            return Ok(Vec::new());
        }
        let is_only = |one: &Bucket| standing.iter().filter(|other| other.name == one.name).count() == 1;
        let gone = standing.iter().filter(|one| !there.contains(&one.name) && is_only(one));
        Ok(gone.map(|one| one.subject).collect())
    }
}
