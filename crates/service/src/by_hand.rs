//! What of lists was taken back by hand: it stays gone, whatever their files go on to list, until a person says otherwise.
//!
//! A list has no ids, so what was taken back is known by its values. Their bodies are erased; of each value a fingerprint of eight
//! bytes stays, in reports of the own circle that hold nothing else: a few for each list, by the first digit of the fingerprint.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_api::types::{Imported, Skipped};
use tocsin_exchange::versions::own_id;
use tocsin_exchange::{by_hand_subject, fingerprint, list_of};
use tocsin_record::body::report::{Extent, Original, Report, Source, Subject};
use tocsin_record::observable::Observable;

use super::batch::{named, origin_id};
use super::publish::ReportDraft;
use super::sources::kept_in_own;
use super::{Node, NodeError};

/// The format of what is kept here, beside those of sources' own objects: a JSON array of fingerprints.
const FINGERPRINTS: u16 = 5;
/// Most fingerprints of one report here, at 19 bytes each before they are packed: with the 16 reports of a list, those of two
/// thirds of a million values. What is taken back beyond that comes back with its file.
const FINGERPRINTS_MAX: usize = 40_000;

/// A list by the name of its source and its own: in whatever folder its file lies, under whatever marking, in whatever bucket.
type List = (String, String);
/// A list, and a part of what is kept of it.
type Part = (List, u8);

/// What was taken back by hand of the lists of one request.
pub(super) struct ByHand<'n> {
    node: &'n Node,
    /// What is kept, as far as it was read.
    kept: BTreeMap<Part, BTreeSet<u64>>,
    /// What of it is another set now.
    changed: BTreeSet<Part>,
}

impl<'n> ByHand<'n> {
    pub fn new(node: &'n Node) -> Self {
        Self { node, kept: BTreeMap::new(), changed: BTreeSet::new() }
    }

    /// What is kept of a part. Reads the disk.
    fn part(&mut self, part: &Part) -> Result<&mut BTreeSet<u64>, NodeError> {
        if !self.kept.contains_key(part) {
            let known =
                self.node.whole(self.node.engine.org(), self.node.engine.own_circle(), subject(part))?;
            let known = known.map(|whole| read(&whole.report)).unwrap_or_default();
            self.kept.insert(part.clone(), known);
        }
        Ok(self.kept.entry(part.clone()).or_default())
    }

    /// Takes note that a report is taken back, if it is of a list. Reads the disk.
    pub fn take_back(&mut self, report: &Report) -> Result<(), NodeError> {
        let Some(list) = list(report) else { return Ok(()) };
        for indicator in &report.indicators {
            let (part, print) = place(&list, &indicator.what);
            let kept = self.part(&part)?;
            if kept.len() < FINGERPRINTS_MAX && kept.insert(print) {
                self.changed.insert(part);
            }
        }
        Ok(())
    }

    /// Leaves out of a report of a list what was taken back by hand; where it is to stand again, that is forgotten. True where
    /// nothing is left of it. Reads the disk.
    pub fn leave_out(
        &mut self,
        report: &mut Report,
        again: bool,
        done: &mut Imported,
    ) -> Result<bool, NodeError> {
        let Some(list) = list(report) else { return Ok(false) };
        let mut gone = BTreeSet::new();
        for indicator in &report.indicators {
            let (part, print) = place(&list, &indicator.what);
            let kept = self.part(&part)?;
            if kept.contains(&print) {
                if again {
                    kept.remove(&print);
                    self.changed.insert(part);
                }
                gone.insert(indicator.what.clone());
            }
        }
        if gone.is_empty() {
            return Ok(false);
        }
        let values = tocsin_text::count(gone.len() as u64, "value");
        let (was, its) = if gone.len() == 1 { ("was", "it") } else { ("were", "them") };
        let why = if again {
            format!("{values} of it that {was} taken back by hand may stand again, as you said")
        } else {
            report.indicators.retain(|one| !gone.contains(&one.what));
            // Nor is it kept beside what else is there.
            report.originals.clear();
            format!("{values} of it {was} taken back by hand and left out: --again lets {its} stand again")
        };
        done.taken_back.push(Skipped { what: named(report), why });
        Ok(report.indicators.is_empty())
    }

    /// What is to be written so that it stays known.
    pub fn drafts(self) -> Result<Vec<ReportDraft>, NodeError> {
        let (org, own) = (self.node.engine.org(), self.node.engine.own_circle());
        let mut drafts = Vec::new();
        for part in self.changed {
            let standing = self.node.whole(org, own, subject(&part))?;
            let prints: Vec<String> =
                self.kept[&part].iter().map(|print| format!("\"{print:016x}\"")).collect();
            let packed = Original::pack(FINGERPRINTS, format!("[{}]", prints.join(",")).as_bytes());
            let (source, list) = &part.0;
            let title = format!("taken back by hand of {}", tocsin_text::cut(list, 120));
            let origin = Source { name: source.clone(), org: None, id: list.clone(), record: None };
            drafts.push(ReportDraft {
                circle: own,
                report: Report {
                    supersedes: standing.map(|standing| standing.version.id),
                    extent: Extent::Whole,
                    originals: packed.into_iter().collect(),
                    ..kept_in_own(subject(&part), title, origin)
                },
            });
        }
        Ok(drafts)
    }
}

/// The list that a report is of, if it is of one.
fn list(report: &Report) -> Option<List> {
    let source = report.origin.source.as_ref().filter(|_| own_id(origin_id(report)).is_none())?;
    Some((source.name.clone(), list_of(&source.id).to_owned()))
}

/// Where it is kept of a value that it was taken back, and its fingerprint.
fn place(list: &List, what: &Observable) -> (Part, u64) {
    let print = fingerprint(&list.0, &list.1, what);
    ((list.clone(), (print >> 60) as u8), print)
}

fn subject(((source, list), digit): &Part) -> Subject {
    by_hand_subject(source, list, *digit)
}

fn read(report: &Report) -> BTreeSet<u64> {
    let kept = report.originals.iter().filter(|original| original.format == FINGERPRINTS);
    let texts =
        kept.filter_map(|original| serde_json::from_slice::<Vec<String>>(&original.unpack().ok()?).ok());
    texts.flatten().filter_map(|digits| u64::from_str_radix(&digits, 16).ok()).collect()
}
