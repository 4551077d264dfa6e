//! From what a parser found to reports: duplicates merged, large ones split, each with subject and content hash.
//!
//! A list has no ids of its own, so its values go to buckets by hash: the leaves of the tree of `split`, of at most
//! [`BUCKET_MAX`] values, each with a subject of its own.

use std::collections::{BTreeSet, HashMap};

use sha2::{Digest, Sha256};
use tocsin_record::OrgId;
use tocsin_record::body::report::{
    INDICATORS_MAX, Indicator, LINE_MAX, ORIGINAL_MAX, Original, Source, Subject, TEXT_MAX,
};
use tocsin_record::codec;
use tocsin_record::marking::words;
use tocsin_record::observable::Observable;
use uuid::Uuid;

use crate::fault::Fault;
use crate::marking::group_names;
use crate::packed::Packed;
use crate::split::{Part, by_object, merged, path, split};
use crate::{FileInfo, Imported, PartialMarking, Reading, names};

/// Most values of a bucket: filled between the half and all, a bucket has about a thousand.
pub(crate) const BUCKET_MAX: usize = 1_500;
/// Most bytes of a body that a draft fills, so that marking, salt and the rest always fit in 1 MiB.
pub(crate) const BODY_BYTES_MAX: usize = 900 << 10;
/// Most bytes of all labels together: with indicators and description they stay under [`BODY_BYTES_MAX`].
const LABELS_BYTES_MAX: usize = 32 << 10;
/// Most labels of one report, which is the body's bound (`record::body::report`).
const LABELS_MAX: usize = 256;

/// Makes subjects of names; any fixed value would do, and it is the same for ever.
const NAMESPACE: Uuid = Uuid::from_bytes(*b"tocsin-import-v1");

/// What a parser found of one report, or of one list.
#[derive(Clone)]
pub(crate) struct Draft<'a> {
    pub shape: Shape,
    pub subject: Uuid,
    pub title: String,
    pub description: String,
    pub created: u64,
    pub modified: u64,
    pub labels: BTreeSet<String>,
    pub marking: PartialMarking,
    pub indicators: Vec<Indicator>,
    pub originals: Vec<Kept<'a>>,
    pub original_form: OriginalForm,
    pub origin: Source,
}

/// Whether the source has an id for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A report of its own: split only where it does not fit a body.
    Report,
    /// A list: split into buckets.
    List,
}

/// An object of the source.
#[derive(Clone)]
pub(crate) struct Kept<'a> {
    /// As given.
    pub raw: &'a str,
    /// The list of an event of MISP that it stands in; empty for all else.
    pub list: &'static str,
    /// The indicator with whose part it goes; without one it goes with the first part.
    pub with: Option<[u8; 16]>,
    /// When it was last changed, in ms, 0 if not said.
    pub modified: u64,
}

/// How originals are put together.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum OriginalForm {
    /// A JSON array of STIX objects (format 1).
    StixArray,
    /// One MISP event (format 2).
    MispEvent,
    /// Attributes and objects of MISP without their event, as one has them (format 2).
    MispLists,
    /// None are kept.
    None,
}

/// The subject of a bucket of a list without ids: UUIDv5 over org, source, the list's name (with its group, such as
/// `feed.csv/tlp:green`, where its values are marked apart) and the bucket.
#[must_use]
pub fn list_subject(org: &OrgId, source: &str, list: &str, bucket: &str) -> Subject {
    Subject(list_uuid(org, source, list, bucket).into_bytes())
}

pub(crate) fn list_uuid(org: &OrgId, source: &str, list: &str, bucket: &str) -> Uuid {
    let own = Uuid::new_v5(&NAMESPACE, org.as_bytes());
    let name = [source, list, bucket].join("\0");
    Uuid::new_v5(&own, name.as_bytes())
}

/// The subject of the part of a report or event that goes under the marking of that name.
#[must_use]
pub fn part_subject(head: Subject, group: &str) -> Subject {
    if group.is_empty() { head } else { Subject(part_uuid(&Uuid::from_bytes(head.0), group).into_bytes()) }
}

fn part_uuid(head: &Uuid, group: &str) -> Uuid {
    Uuid::new_v5(head, group.as_bytes())
}

/// The list that a report is a bucket of, by the id in its origin: without the marking and the bucket.
#[must_use]
pub fn list_of(origin_id: &str) -> &str {
    let bits = |(_, bits): &(&str, &str)| bits.bytes().all(|b| b == b'0' || b == b'1');
    let list = origin_id.rsplit_once('#').filter(bits).map_or(origin_id, |(list, _)| list);
    let group = group_names().find(|group| !group.is_empty() && list.ends_with(&format!("/{group}")));
    group.map_or(list, |group| &list[..list.len() - group.len() - 1])
}

/// The subject under which an org keeps of a list, by the names of its source and its own, what was taken back by hand: that part
/// of it whose fingerprints begin with this digit.
#[must_use]
pub fn by_hand_subject(source: &str, list: &str, digit: u8) -> Subject {
    let name = ["by-hand", source, list, &digit.to_string()].join("\0");
    Subject(Uuid::new_v5(&NAMESPACE, name.as_bytes()).into_bytes())
}

/// Eight bytes by which a value of a list is known again.
#[must_use]
pub fn fingerprint(source: &str, list: &str, what: &Observable) -> u64 {
    let mut hasher = Sha256::new();
    for text in [b"tocsin by hand 1", source.as_bytes(), list.as_bytes()] {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text);
    }
    hasher.update(what.kind.to_be_bytes());
    hasher.update(&what.value);
    hasher.finalize().iter().take(8).fold(0, |print, byte| print << 8 | u64::from(*byte))
}

/// The subject of a part of a report that was split for its size.
#[must_use]
pub fn split_subject(report: Subject, name: &str) -> Subject {
    if name.is_empty() { report } else { Subject(part_uuid(&Uuid::from_bytes(report.0), name).into_bytes()) }
}

/// The deepest buckets that are looked for, by the digits of their names: of a list of [`crate::FILE_MAX`] bytes they have
/// some 15.
pub const BUCKET_DIGITS_MAX: u32 = 24;

/// The names that buckets may have of so many digits, up to [`BUCKET_DIGITS_MAX`]; the one that a list always has is empty.
pub fn bucket_names(digits: u32) -> impl Iterator<Item = String> {
    let digits = digits.min(BUCKET_DIGITS_MAX);
    // The last digit is 1: trailing zeros are left out.
    let bits = (0..1_u64 << digits.saturating_sub(1)).map(move |bits| bits << 1 | u64::from(digits > 0));
    bits.map(move |bits| if digits == 0 { String::new() } else { path(bits << (u64::BITS - digits)) })
}

/// Whether the id in a record's origin is that of a bucket of this list. A bucket that is on record and no longer
/// among a file's reports has lost all its values.
#[must_use]
pub(crate) fn is_bucket_of(origin_id: &str, list: &str) -> bool {
    // The first bucket has no path.
    let Some(rest) = origin_id.strip_prefix(list_name(list).as_str()) else { return false };
    let (group, bits) = rest.rsplit_once('#').unwrap_or((rest, ""));
    (group.is_empty() || group.starts_with('/')) && bits.bytes().all(|b| b == b'0' || b == b'1')
}

/// The list of a file, its group and bucket, that the id in a record's origin is of; `None` if it is of no list.
#[must_use]
pub fn list_place(origin_id: &str, list: &str) -> Option<ListPlace> {
    let list_name = list_name(list);
    let rest = origin_id.strip_prefix(list_name.as_str())?;
    let (group, bucket) = rest.rsplit_once('#').unwrap_or((rest, ""));
    let place = ListPlace {
        list: list_name,
        group: group.trim_start_matches('/').to_owned(),
        bucket: bucket.to_owned(),
    };
    is_bucket_of(origin_id, list).then_some(place)
}

/// Which values of a list a report holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPlace {
    /// The list's name, without its group.
    pub list: String,
    /// The name of the marking of its values; empty for what carries none.
    pub group: String,
    /// The bucket's name.
    pub bucket: String,
}

fn list_name(list: &str) -> String {
    names::one_line(list, LINE_MAX - 80)
}

impl<'a> Draft<'a> {
    /// A list of this file.
    pub(crate) fn list(file: &FileInfo<'_>, group: &str) -> Self {
        let list =
            if group.is_empty() { list_name(file.name) } else { format!("{}/{group}", list_name(file.name)) };
        Self {
            shape: Shape::List,
            subject: list_uuid(&file.org, file.source, &list, ""),
            title: names::one_line(file.profile.title.as_deref().unwrap_or(file.name), LINE_MAX),
            origin: source_of(file, list),
            ..Self::empty()
        }
    }

    /// A report with an id of its own.
    pub(crate) fn report(file: &FileInfo<'_>, id: Uuid) -> Self {
        Self { subject: id, origin: source_of(file, id.to_string()), ..Self::empty() }
    }

    /// A report of what goes apart under the marking of that name: as this one, without what is in it. The name is empty for
    /// the report itself.
    pub(crate) fn apart<'b>(&self, group: &str) -> Draft<'b> {
        let named = |text: &str, open: &str, close: &str| {
            if group.is_empty() { text.to_owned() } else { format!("{text}{open}{group}{close}") }
        };
        Draft {
            shape: self.shape,
            subject: if group.is_empty() { self.subject } else { part_uuid(&self.subject, group) },
            title: named(&names::one_line(&self.title, LINE_MAX - 80), " (", ")"),
            description: self.description.clone(),
            created: self.created,
            modified: self.modified,
            labels: self.labels.clone(),
            marking: self.marking,
            indicators: Vec::new(),
            originals: Vec::new(),
            original_form: self.original_form,
            origin: Source { id: named(&self.origin.id, "/", ""), ..self.origin.clone() },
        }
    }

    fn empty() -> Self {
        Self {
            shape: Shape::Report,
            subject: Uuid::nil(),
            title: String::new(),
            description: String::new(),
            created: 0,
            modified: 0,
            labels: BTreeSet::new(),
            marking: PartialMarking::default(),
            indicators: Vec::new(),
            originals: Vec::new(),
            original_form: OriginalForm::None,
            origin: Source { name: String::new(), org: None, id: String::new(), record: None },
        }
    }

    /// Makes the reports of a list that was packed, and hands them over one by one. What the list itself says to let pass is left
    /// out.
    pub(crate) fn finish_packed(
        self,
        packed: Packed,
        allowed: &BTreeSet<Observable>,
        file: &FileInfo<'_>,
        reading: &mut Reading<'_>,
    ) {
        /// What is told of each.
        const PASSES: &str =
            "another line of the list says not to block it: it is no indicator, and was left out";
        let mut passes = |what: &Observable| {
            let is_allowed = allowed.contains(what);
            if is_allowed {
                reading.note(None, "", Fault::of(&what.show(), PASSES));
            }
            is_allowed
        };
        let (mut leaves, duplicates) = packed.into_leaves(BUCKET_MAX, &mut passes);
        reading.counts.duplicates += duplicates;
        let parts = leaves.parts(BUCKET_MAX);
        for (from, inside) in parts {
            let report = self.part(file, leaves.take(from, inside), &[]);
            if reading.give(report).is_break() {
                return;
            }
        }
    }

    /// Makes the reports and hands them over.
    pub(crate) fn finish(mut self, file: &FileInfo<'_>, reading: &mut Reading<'_>) {
        let places = if self.originals.iter().any(|kept| kept.with.is_some()) {
            self.places()
        } else {
            HashMap::new()
        };
        let (indicators, duplicates) = merged(std::mem::take(&mut self.indicators));
        reading.counts.duplicates += duplicates;
        let most = match self.shape {
            Shape::Report => INDICATORS_MAX,
            Shape::List => BUCKET_MAX,
        };
        let parts = split(indicators, most, by_object);
        let of_part = |kept: &Kept<'_>| {
            let place = kept.with.and_then(|id| places.get(&id)).copied().unwrap_or(0);
            // Parts stand in the order of their lowest place: the last that begins at or below it.
            parts.partition_point(|part| part.from <= place).saturating_sub(1)
        };
        let mut kept: Vec<Vec<&Kept<'_>>> = parts.iter().map(|_| Vec::new()).collect();
        for original in &self.originals {
            kept[of_part(original)].push(original);
        }
        for (part, kept) in parts.into_iter().zip(kept) {
            let mut report = self.part(file, part, &kept);
            if self.original_form != OriginalForm::None {
                self.attach(&mut report, &kept, reading);
            }
            if reading.give(report).is_break() {
                return;
            }
        }
    }

    /// Where the values of each indicator fall, by its id; of several the first.
    fn places(&self) -> HashMap<[u8; 16], u64> {
        let values = self.indicators.iter().rev();
        values.filter_map(|indicator| Some((indicator.id?, by_object(indicator)))).collect()
    }

    /// A part without its originals. Its title is that of the whole: how a list is cut concerns nobody, and may change.
    fn part(&self, file: &FileInfo<'_>, part: Part, kept: &[&Kept<'_>]) -> Imported {
        let name = path(part.from);
        let subject = match self.shape {
            Shape::List => list_uuid(&file.org, file.source, &self.origin.id, &name),
            Shape::Report => Uuid::from_bytes(split_subject(Subject(self.subject.into_bytes()), &name).0),
        };
        let id = if name.is_empty() { self.origin.id.clone() } else { format!("{}#{name}", self.origin.id) };
        let newest = kept.iter().map(|kept| kept.modified).max().unwrap_or(0);
        let mut report = Imported {
            subject: Subject(subject.into_bytes()),
            title: names::one_line(&self.title, LINE_MAX),
            description: names::paragraph(&self.description, TEXT_MAX),
            created: self.created,
            modified: self.modified.max(newest),
            labels: bounded_labels(&self.labels),
            marking: self.marking,
            indicators: part.indicators,
            originals: Vec::new(),
            origin: Source { id, ..self.origin.clone() },
            content_hash: [0; 32],
            doubtful: false,
        };
        report.content_hash = content_hash(&report);
        report
    }

    fn attach(&self, report: &mut Imported, kept: &[&Kept<'_>], reading: &mut Reading<'_>) {
        if kept.is_empty() {
            return;
        }
        let length = kept.iter().map(|kept| kept.raw.len() + 1).sum::<usize>() + 32;
        let room = BODY_BYTES_MAX.saturating_sub(encoded(report));
        let packed = (length <= ORIGINAL_MAX)
            .then(|| {
                let raw = kept.iter().map(|kept| kept.raw);
                match self.original_form {
                    OriginalForm::StixArray => {
                        Original::pack(1, format!("[{}]", raw.collect::<Vec<_>>().join(",")).as_bytes())
                    }
                    OriginalForm::MispLists => {
                        let of = |list| {
                            let inside = kept.iter().filter(|kept| kept.list == list).map(|kept| kept.raw);
                            inside.collect::<Vec<_>>().join(",")
                        };
                        let text =
                            format!(r#"{{"Attribute":[{}],"Object":[{}]}}"#, of("Attribute"), of("Object"));
                        Original::pack(2, text.as_bytes())
                    }
                    OriginalForm::MispEvent | OriginalForm::None => {
                        Original::pack(2, raw.collect::<String>().as_bytes())
                    }
                }
            })
            .and_then(Result::ok)
            .filter(|packed| packed.data.len() <= room);
        match packed {
            Some(packed) => {
                report.originals.push(packed);
                // Whatever else a kept object names binds the report: its own author would not write it otherwise.
                let inside = kept.iter().filter_map(|kept| words::strictest_in(kept.raw.as_bytes())).max();
                if inside > report.marking.strictest() {
                    let part = PartialMarking { floor: inside, ..PartialMarking::default() };
                    report.marking = report.marking.raised_to(part);
                    report.content_hash = content_hash(report);
                }
            }
            None => reading.counts.originals_dropped += 1,
        }
    }
}

fn source_of(file: &FileInfo<'_>, id: String) -> Source {
    let name = file.profile.name.as_deref().unwrap_or(file.source);
    Source { name: names::one_line(name, LINE_MAX), org: None, id, record: None }
}

/// About what a draft encodes to.
fn encoded(report: &Imported) -> usize {
    let text =
        report.title.len() + report.description.len() + report.origin.name.len() + report.origin.id.len();
    codec::size(&report.indicators) + codec::size(&report.labels) + text
}

fn bounded_labels(labels: &BTreeSet<String>) -> Vec<String> {
    let mut room = LABELS_BYTES_MAX;
    let mut out: Vec<String> = labels
        .iter()
        .map(|label| names::one_line(label, LINE_MAX))
        .filter(|label| !label.is_empty())
        .take(LABELS_MAX)
        .take_while(|label| {
            let fits = label.len() <= room;
            room = room.saturating_sub(label.len());
            fits
        })
        .collect();
    out.sort();
    out.dedup();
    out
}

/// Digest of everything in a draft that makes a new version worth publishing.
fn content_hash(report: &Imported) -> [u8; 32] {
    let labels = |tlp: Option<tocsin_record::marking::Tlp>| tlp.map_or(0, |tlp| tlp.code());
    let marking = [
        labels(report.marking.tlp),
        labels(report.marking.floor),
        report.marking.pap.map_or(0, |pap| pap.code()),
    ];
    let mut hasher = Sha256::new();
    hasher.update(b"tocsin import 1\0");
    hasher.update(marking);
    hasher.update(codec::encode(&(
        &report.title,
        &report.description,
        report.created,
        report.modified,
        &report.labels,
        &report.indicators,
        &report.origin,
    )));
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::split::tests::numbered;

    #[test]
    fn subjects_and_bucket_names_never_change() {
        let parts = split(merged(numbered(0..5_000)).0, BUCKET_MAX, by_object);
        let names: Vec<String> = parts.iter().map(|part| path(part.from)).collect();
        assert_eq!(names, ["", "01", "1", "11"]);
        let of_digits = |digits| bucket_names(digits).collect::<Vec<_>>();
        assert_eq!([of_digits(0), of_digits(1), of_digits(2)].concat(), ["", "1", "01", "11"]);
        assert_eq!(of_digits(5).len(), 16);
        let subject = list_subject(&OrgId([7; 32]), "feed", "list.txt", "01");
        assert_eq!(subject.to_string(), "14a15b0a-2219-56d9-bd53-8e3bdfb6931d");
        assert!(is_bucket_of("list.txt#01", "list.txt") && is_bucket_of("list.txt", "list.txt"));
        assert!(
            is_bucket_of("list.txt/tlp:green", "list.txt")
                && is_bucket_of("list.txt/tlp:green#1", "list.txt")
        );
        let place = list_place("list.txt/tlp:green#01", "list.txt").unwrap();
        assert_eq!((&*place.list, &*place.group, &*place.bucket), ("list.txt", "tlp:green", "01"));
        for group in group_names() {
            let marked = if group.is_empty() { "list.txt".to_owned() } else { format!("list.txt/{group}") };
            for id in [marked.clone(), format!("{marked}#01")] {
                assert_eq!(list_of(&id), "list.txt", "{id}");
            }
        }
        assert_eq!(list_of("list #2.txt"), "list #2.txt");
        assert!(!is_bucket_of("list.txt2", "list.txt") && !is_bucket_of("other#01", "list.txt"));
    }
}
