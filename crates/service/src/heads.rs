//! A source's report or event in parts, one for each marking: all of them are as new as its head, which stands in one of them.
//!
//! So a part of an older head changes nothing, even where no such part stands, and a newer head leaves behind what stands in
//! parts that it no longer has.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use tocsin_api::types::ImportBatch;
use tocsin_exchange::versions::{compare_heads, own_id};
use tocsin_exchange::{group_names, part_subject, split_subject};
use tocsin_record::body::report::{Report, Subject};

use super::batch::origin_id;
use super::{Node, NodeError};

/// The heads of a batch, beside what stands of them.
pub(super) struct Heads(BTreeMap<Subject, Head>);

struct Head {
    /// As it stands in the own circle.
    standing: Report,
    /// As it is in the batch, which may have parts alone.
    next: Option<Report>,
}

impl Heads {
    /// Of a batch. Reads the disk.
    pub fn of(node: &Node, batch: &ImportBatch) -> Result<Self, NodeError> {
        let heads: BTreeSet<Subject> =
            batch.reports.iter().filter_map(|report| own_id(origin_id(report))).map(Subject).collect();
        let mut of = BTreeMap::new();
        for subject in heads {
            let own = node.engine.own_circle();
            let Some(standing) = node.whole(node.engine.org(), own, subject)? else { continue };
            let next = batch.reports.iter().find(|report| report.subject == subject).cloned();
            of.insert(subject, Head { standing: standing.report, next });
        }
        Ok(Self(of))
    }

    /// How the head of a part compares with the one that stands; `None` where there is none, and of a head itself.
    pub fn order(&self, report: &Report) -> Option<Ordering> {
        let head = own_id(origin_id(report)).map(Subject).filter(|head| *head != report.subject)?;
        let Head { standing, next } = self.0.get(&head)?;
        compare_heads(next.as_ref().unwrap_or(report), standing)
    }

    /// The subjects of parts that a newer head of the batch no longer has, if they stand: those of other markings, and what was
    /// split off for its size.
    pub fn left_behind(&self, node: &Node, batch: &ImportBatch) -> BTreeSet<Subject> {
        let is_newer = |(_, head): &(&Subject, &Head)| {
            let next = head.next.as_ref();
            next.is_some_and(|next| compare_heads(next, &head.standing) == Some(Ordering::Greater))
        };
        let newer = self.0.iter().filter(is_newer).filter(|(subject, _)| !batch.doubtful.contains(*subject));
        let inside: BTreeSet<Subject> = batch.reports.iter().map(|report| report.subject).collect();
        let parts = newer.flat_map(|(head, _)| group_names().map(|name| part_subject(*head, &name)));
        let splits = parts.flat_map(|part| node.tree(|name| split_subject(part, name)));
        let splits = splits.map(|(_, subject)| subject);
        splits.filter(|part| !inside.contains(part)).collect()
    }
}
