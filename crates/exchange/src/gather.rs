//! From what a parser found to reports: duplicates merged, large ones split, each with subject and content hash.
//!
//! A list has no ids of its own, so its values go to buckets by hash: a binary tree whose leaves hold at most
//! [`BUCKET_MAX`] values. A leaf is named by its path with the trailing zeros left out, so when a leaf is split
//! its lower half keeps the name. An inserted value changes the one bucket it falls into, and adds another only when
//! that one is full.

use std::collections::{BTreeSet, HashMap};

use sha2::{Digest, Sha256};
use tocsin_record::OrgId;
use tocsin_record::body::report::{
    INDICATORS_MAX, Indicator, LINE_MAX, ORIGINAL_MAX, Original, Source, Subject, TEXT_MAX,
};
use tocsin_record::codec;
use tocsin_record::observable::Observable;
use uuid::Uuid;

use crate::{Found, Imported, Input, PartialMarking, names};

/// Most values of a bucket: filled between the half and all, a bucket has about a thousand.
pub(crate) const BUCKET_MAX: usize = 1_500;
/// Most bytes that the indicators of one report encode to. A body has 1 MiB, and description and labels need room.
const INDICATORS_BYTES_MAX: usize = 700 << 10;
/// Most bytes of a body that a draft fills, so that marking, salt and the rest always fit in 1 MiB.
const BODY_BYTES_MAX: usize = 900 << 10;
/// Most bytes of all labels, so that they never crowd out the rest.
const LABELS_BYTES_MAX: usize = 32 << 10;
/// Most labels of one report (a bound of the body).
const LABELS_MAX: usize = 256;

/// Makes subjects of names; any fixed value would do, and it is the same for ever.
const NAMESPACE: Uuid = Uuid::from_bytes(*b"tocsin-import-v1");

/// What a parser found of one report, or of one list.
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
pub(crate) struct Kept<'a> {
    /// As given.
    pub raw: &'a str,
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

/// Whether the id in a record's origin is that of a bucket of this list. A bucket that is on record and no longer
/// among a file's reports has lost all its values.
#[must_use]
pub fn is_bucket_of(origin_id: &str, list: &str) -> bool {
    // The first bucket has no path.
    let Some(rest) = origin_id.strip_prefix(list_name(list).as_str()) else { return false };
    let (group, bits) = rest.rsplit_once('#').unwrap_or((rest, ""));
    (group.is_empty() || group.starts_with('/')) && bits.bytes().all(|b| b == b'0' || b == b'1')
}

fn list_name(list: &str) -> String {
    names::one_line(list, LINE_MAX - 80)
}

impl<'a> Draft<'a> {
    /// A list of this file.
    pub(crate) fn list(input: &Input<'_>, group: &str) -> Self {
        let list = if group.is_empty() {
            list_name(input.name)
        } else {
            format!("{}/{group}", list_name(input.name))
        };
        Self {
            shape: Shape::List,
            subject: list_uuid(&input.org, input.source, &list, ""),
            title: names::one_line(input.profile.title.as_deref().unwrap_or(input.name), LINE_MAX),
            origin: source_of(input, list),
            ..Self::empty()
        }
    }

    /// A report with an id of its own.
    pub(crate) fn report(input: &Input<'_>, id: Uuid) -> Self {
        Self { subject: id, origin: source_of(input, id.to_string()), ..Self::empty() }
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

    /// Makes the reports and adds them to `found`.
    pub(crate) fn finish(mut self, input: &Input<'_>, found: &mut Found) {
        let places = if self.originals.iter().any(|kept| kept.with.is_some()) {
            self.places()
        } else {
            HashMap::new()
        };
        let (indicators, duplicates) = merged(std::mem::take(&mut self.indicators));
        found.counts.duplicates += duplicates;
        let most = match self.shape {
            Shape::Report => INDICATORS_MAX,
            Shape::List => BUCKET_MAX,
        };
        let parts = split(indicators, most);
        let of_part = |kept: &Kept<'_>| {
            let place = kept.with.and_then(|id| places.get(&id)).copied().unwrap_or(0);
            // Parts stand in the order of their lowest place: the last that begins at or below it.
            parts.partition_point(|part| part.from <= place).saturating_sub(1)
        };
        let mut kept: Vec<Vec<&Kept<'_>>> = parts.iter().map(|_| Vec::new()).collect();
        for original in &self.originals {
            kept[of_part(original)].push(original);
        }
        let digits = parts.iter().map(|part| part.name().len()).max().unwrap_or(0);
        for (part, kept) in parts.iter().zip(kept) {
            let mut report = self.part(input, part, digits, &kept);
            if self.original_form != OriginalForm::None {
                self.attach(&mut report, &kept, found);
            }
            found.reports.push(report);
        }
    }

    /// Where the values of each indicator fall, by its id; of several the first.
    fn places(&self) -> HashMap<[u8; 16], u64> {
        let values = self.indicators.iter().rev();
        values.filter_map(|indicator| Some((indicator.id?, place(&indicator.what)))).collect()
    }

    /// A part without its originals. `digits` is how long the longest path of a part is.
    fn part(&self, input: &Input<'_>, part: &Part, digits: usize, kept: &[&Kept<'_>]) -> Imported {
        let name = part.name();
        let subject = match self.shape {
            Shape::List => list_uuid(&input.org, input.source, &self.origin.id, &name),
            Shape::Report if name.is_empty() => self.subject,
            Shape::Report => Uuid::new_v5(&self.subject, name.as_bytes()),
        };
        let id = if name.is_empty() { self.origin.id.clone() } else { format!("{}#{name}", self.origin.id) };
        let newest = kept.iter().map(|kept| kept.modified).max().unwrap_or(0);
        let title = if digits == 0 {
            names::one_line(&self.title, LINE_MAX)
        } else {
            format!("{} (part {name:0<digits$})", names::one_line(&self.title, LINE_MAX - 80))
        };
        let mut report = Imported {
            subject: Subject(subject.into_bytes()),
            title,
            description: names::paragraph(&self.description, TEXT_MAX),
            created: self.created,
            modified: self.modified.max(newest),
            labels: bounded_labels(&self.labels),
            marking: self.marking,
            indicators: part.indicators.clone(),
            originals: Vec::new(),
            origin: Source { id, ..self.origin.clone() },
            content_hash: [0; 32],
        };
        report.content_hash = content_hash(&report);
        report
    }

    fn attach(&self, report: &mut Imported, kept: &[&Kept<'_>], found: &mut Found) {
        if kept.is_empty() {
            return;
        }
        let length = kept.iter().map(|kept| kept.raw.len() + 1).sum::<usize>() + 2;
        let room = BODY_BYTES_MAX.saturating_sub(encoded(report));
        let packed = (length <= ORIGINAL_MAX)
            .then(|| {
                let raw = kept.iter().map(|kept| kept.raw);
                match self.original_form {
                    OriginalForm::StixArray => {
                        Original::pack(1, format!("[{}]", raw.collect::<Vec<_>>().join(",")).as_bytes())
                    }
                    OriginalForm::MispEvent | OriginalForm::None => {
                        Original::pack(2, raw.collect::<String>().as_bytes())
                    }
                }
            })
            .and_then(Result::ok)
            .filter(|packed| packed.data.len() <= room);
        match packed {
            Some(packed) => report.originals.push(packed),
            None => found.counts.originals_dropped += 1,
        }
    }
}

fn source_of(input: &Input<'_>, id: String) -> Source {
    let name = input.profile.name.as_deref().unwrap_or(input.source);
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

/// One part of what was split.
struct Part {
    /// The lowest place that falls into it.
    from: u64,
    /// Sorted by observable.
    indicators: Vec<Indicator>,
}

impl Part {
    /// The path in the tree as 0 and 1, without trailing zeros.
    fn name(&self) -> String {
        let used = 64 - self.from.trailing_zeros();
        (0..used).map(|bit| if self.from >> (63 - bit) & 1 == 1 { '1' } else { '0' }).collect()
    }
}

/// Where a value falls: the first 64 bits of its hash.
fn place(what: &Observable) -> u64 {
    let mut hasher = Sha256::new();
    hasher.update(what.kind.to_be_bytes());
    hasher.update(&what.value);
    let digest: [u8; 32] = hasher.finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Sorted by observable, none twice, and how many were merged.
fn merged(mut indicators: Vec<Indicator>) -> (Vec<Indicator>, u64) {
    let before = indicators.len();
    indicators.sort_by(|a, b| a.what.cmp(&b.what));
    indicators.dedup_by(|later, first| {
        let same = later.what == first.what;
        if same {
            absorb(first, later);
        }
        same
    });
    let merged = before - indicators.len();
    (indicators, merged as u64)
}

/// What two indicators of one observable say together: the first speaks, the second fills what it leaves open, and
/// the wider validity counts.
fn absorb(first: &mut Indicator, later: &mut Indicator) {
    if first.kind.kind == 0 {
        first.kind = later.kind.clone();
    }
    if first.comment.is_empty() {
        first.comment = std::mem::take(&mut later.comment);
    }
    first.confidence = first.confidence.max(later.confidence);
    first.id = first.id.or(later.id);
    let both = |a: u64, b: u64| (a != 0 && b != 0).then_some((a, b));
    first.valid_from = both(first.valid_from, later.valid_from).map_or(0, |(a, b)| a.min(b));
    first.valid_until = both(first.valid_until, later.valid_until).map_or(0, |(a, b)| a.max(b));
}

/// Splits by place until each part holds at most `most` indicators and encodes to at most [`INDICATORS_BYTES_MAX`].
/// Always at least one part.
fn split(indicators: Vec<Indicator>, most: usize) -> Vec<Part> {
    let fits = |items: &[(u64, usize, Indicator)]| {
        items.len() <= most && items.iter().map(|item| item.1).sum::<usize>() <= INDICATORS_BYTES_MAX
    };
    let mut items: Vec<(u64, usize, Indicator)> = indicators
        .into_iter()
        .map(|indicator| (place(&indicator.what), codec::size(&indicator), indicator))
        .collect();
    if fits(&items) {
        let indicators = items.into_iter().map(|item| item.2).collect();
        return vec![Part { from: 0, indicators }];
    }
    items.sort_by(|a, b| (a.0, &a.2.what).cmp(&(b.0, &b.2.what)));
    let mut parts = Vec::new();
    // Each entry is an interval of places still to be looked at: its first place and its depth in the tree. The lower
    // half is pushed last, so that parts come in order.
    let mut open = vec![(0_u64, 0_u32)];
    let mut rest = items.into_iter().collect::<std::collections::VecDeque<_>>();
    while let Some((from, depth)) = open.pop() {
        let width_bits = 64 - depth;
        let inside = |place: u64| width_bits == 64 || place.wrapping_sub(from) >> width_bits == 0;
        let contiguous = rest.make_contiguous();
        let count = contiguous.partition_point(|item| inside(item.0));
        if fits(&contiguous[..count]) || depth == 63 {
            let mut indicators: Vec<Indicator> = rest.drain(..count).map(|item| item.2).collect();
            indicators.sort_by(|a, b| a.what.cmp(&b.what));
            if !indicators.is_empty() || from == 0 {
                parts.push(Part { from, indicators });
            }
        } else {
            open.push((from | 1 << (width_bits - 1), depth + 1));
            open.push((from, depth + 1));
        }
    }
    parts
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
    use crate::names::plain_indicator;

    fn numbered(range: std::ops::Range<u32>) -> Vec<Indicator> {
        range
            .map(|n| plain_indicator(Observable::parse("domain", &format!("h{n}.example")).unwrap()))
            .collect()
    }

    #[test]
    fn every_value_is_in_the_part_of_its_place() {
        for count in [0, 1, 1_500, 1_501, 3_001, 40_000] {
            let parts = split(merged(numbered(0..count)).0, BUCKET_MAX);
            assert_eq!(parts.iter().map(|part| part.indicators.len()).sum::<usize>(), count as usize);
            assert_eq!(parts[0].name(), "");
            for (at, part) in parts.iter().enumerate() {
                let next = parts.get(at + 1).map(|next| next.from);
                assert!(part.indicators.len() <= BUCKET_MAX);
                assert!(part.indicators.is_sorted_by(|a, b| a.what < b.what));
                for indicator in &part.indicators {
                    let place = place(&indicator.what);
                    assert!(part.from <= place && next.is_none_or(|next| place < next));
                }
            }
        }
    }

    #[test]
    fn one_more_value_changes_one_part() {
        let mut splits = 0;
        for extra in 0..20 {
            let before = split(numbered(0..20_000), BUCKET_MAX);
            let mut more = numbered(0..20_000);
            more.extend(numbered(900_000 + extra..900_001 + extra));
            let after = split(more, BUCKET_MAX);
            let changed = after
                .iter()
                .filter(|part| {
                    !before.iter().any(|old| old.from == part.from && old.indicators == part.indicators)
                })
                .count();
            splits += after.len() - before.len();
            assert_eq!(changed, 1 + after.len() - before.len());
        }
        assert!(splits < 5);
    }

    #[test]
    fn subjects_and_bucket_names_never_change() {
        let parts = split(merged(numbered(0..5_000)).0, BUCKET_MAX);
        let names: Vec<String> = parts.iter().map(Part::name).collect();
        assert_eq!(names, ["", "01", "1", "11"]);
        let subject = list_subject(&OrgId([7; 32]), "feed", "list.txt", "01");
        assert_eq!(subject.to_string(), "14a15b0a-2219-56d9-bd53-8e3bdfb6931d");
        assert!(is_bucket_of("list.txt#01", "list.txt") && is_bucket_of("list.txt", "list.txt"));
        assert!(
            is_bucket_of("list.txt/tlp:green", "list.txt")
                && is_bucket_of("list.txt/tlp:green#1", "list.txt")
        );
        assert!(!is_bucket_of("list.txt2", "list.txt") && !is_bucket_of("other#01", "list.txt"));
    }

    #[test]
    fn large_values_split_by_size() {
        let rules: Vec<Indicator> = (0..60_u8)
            .map(|n| {
                plain_indicator(Observable {
                    kind: 0x4001,
                    value: vec![b'a' + n % 26; 60_000 + usize::from(n)],
                })
            })
            .collect();
        let parts = split(rules, BUCKET_MAX);
        assert!(parts.len() > 4);
        for part in parts {
            assert!(codec::size(&part.indicators) <= INDICATORS_BYTES_MAX + 8);
        }
    }

    #[test]
    fn duplicates_say_together_what_each_says() {
        let mut a = numbered(1..2).remove(0);
        let mut b = a.clone();
        a.valid_from = 5;
        b.valid_from = 3;
        b.confidence = Some(70);
        b.comment = "note".to_owned();
        b.kind = names::kind_numbered(7);
        let (merged, count) = merged(vec![a, b]);
        assert_eq!((merged.len(), count), (1, 1));
        assert_eq!((merged[0].valid_from, merged[0].confidence, merged[0].kind.kind), (3, Some(70), 7));
        assert_eq!(merged[0].comment, "note");
    }
}
