//! Which indicators go together: what is said of one value twice is merged, and what does not fit one report is split.
//!
//! Values fall into a binary tree by their hash, and its leaves are the parts. A leaf is named by its path with the
//! trailing zeros left out, so when a leaf is split its lower half keeps the name: a value more changes the one part
//! that it falls into, and adds another only when that one is full. What an object says falls by the object's id, so that each
//! version of it meets the one before in the same part.

use sha2::{Digest, Sha256};
use tocsin_record::body::report::{Indicator, OBSERVED};
use tocsin_record::codec;
use tocsin_record::observable::Observable;

/// Most bytes that the indicators of one report encode to. A body has 1 MiB, and description and labels need room.
pub(crate) const INDICATORS_BYTES_MAX: usize = 700 << 10;

/// Deepest level of the tree: the places of its leaves differ in their last bit.
const DEPTH_MAX: u32 = 63;

/// One part of what was split.
pub(crate) struct Part {
    /// The lowest place that falls into it.
    pub from: u64,
    /// Sorted by observable.
    pub indicators: Vec<Indicator>,
}

/// The path to the leaf that begins at a place, as 0 and 1, without trailing zeros.
pub(crate) fn path(from: u64) -> String {
    let used = 64 - from.trailing_zeros();
    (0..used).map(|bit| if from >> (63 - bit) & 1 == 1 { '1' } else { '0' }).collect()
}

/// Where a value falls: the first 64 bits of its hash.
pub(crate) fn place(what: &Observable) -> u64 {
    hashed(&[&what.kind.to_be_bytes(), &what.value])
}

/// Where an indicator of a list of lines falls.
pub(crate) fn by_value(indicator: &Indicator) -> u64 {
    place(&indicator.what)
}

/// Where an indicator falls that is of an object: by its object's id first, and then by its value, for a pattern may name more
/// values than a part holds.
pub(crate) fn by_object(indicator: &Indicator) -> u64 {
    const VALUE_BITS: u32 = 16;
    let value = place(&indicator.what);
    match indicator.id {
        Some(id) => hashed(&[&id]) >> VALUE_BITS << VALUE_BITS | value >> (u64::BITS - VALUE_BITS),
        None => value,
    }
}

fn hashed(parts: &[&[u8]]) -> u64 {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    let digest: [u8; 32] = hasher.finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Sorted by observable, none twice, and how many were merged.
pub(crate) fn merged(mut indicators: Vec<Indicator>) -> (Vec<Indicator>, u64) {
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
    // Nothing, and then that it was observed, says less than any other kind.
    let says = |one: &Indicator| match one.kind.kind {
        0 => 0,
        OBSERVED => 1,
        _ => 2,
    };
    if says(first) < says(later) {
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
pub(crate) fn split(indicators: Vec<Indicator>, most: usize, place: fn(&Indicator) -> u64) -> Vec<Part> {
    split_below(0, 0, indicators, most, place)
}

/// As [`split`], of what falls into the leaf at `from` and `depth` of the tree.
pub(crate) fn split_below(
    from: u64,
    depth: u32,
    indicators: Vec<Indicator>,
    most: usize,
    place: fn(&Indicator) -> u64,
) -> Vec<Part> {
    let mut items: Vec<(u64, usize, Indicator)> = indicators
        .into_iter()
        .map(|indicator| (place(&indicator), codec::size(&indicator), indicator))
        .collect();
    if Load::of(items.iter().map(|item| item.1)).fits(most) {
        let indicators = items.into_iter().map(|item| item.2).collect();
        return vec![Part { from, indicators }];
    }
    items.sort_by(|a, b| (a.0, &a.2.what).cmp(&(b.0, &b.2.what)));
    let places: Vec<(u64, Load)> =
        items.iter().map(|item| (item.0, Load { count: 1, bytes: item.1 })).collect();
    let mut rest = items.into_iter();
    let leaves = leaves(from, depth, &places, most);
    let parts = leaves.into_iter().map(|(from, count)| {
        let mut indicators: Vec<Indicator> = rest.by_ref().take(count).map(|item| item.2).collect();
        indicators.sort_by(|a, b| a.what.cmp(&b.what));
        Part { from, indicators }
    });
    parts.collect()
}

/// How much is in a part: indicators, and bytes that they encode to.
#[derive(Clone, Copy, Default)]
pub(crate) struct Load {
    pub count: usize,
    pub bytes: usize,
}

impl Load {
    pub(crate) fn of(sizes: impl Iterator<Item = usize>) -> Self {
        sizes.fold(Self::default(), |load, bytes| load.and(Self { count: 1, bytes }))
    }

    fn and(self, other: Self) -> Self {
        Self { count: self.count + other.count, bytes: self.bytes + other.bytes }
    }

    fn fits(self, most: usize) -> bool {
        self.count <= most && self.bytes <= INDICATORS_BYTES_MAX
    }
}

/// The leaves of the tree below `from` at `depth`, in order: where each begins, and how many of the items are in it.
/// Items are sorted by place. A leaf without items is none, but for the first of all, which has the name of the whole.
pub(crate) fn leaves(from: u64, depth: u32, items: &[(u64, Load)], most: usize) -> Vec<(u64, usize)> {
    let mut leaves = Vec::new();
    // Each entry is an interval of places still to be looked at: its first place and its depth in the tree. The lower
    // half is pushed last, so that leaves come in order.
    let mut open = vec![(from, depth)];
    let mut rest = items;
    while let Some((from, depth)) = open.pop() {
        let width_bits = 64 - depth;
        let inside = |place: u64| width_bits == 64 || place.wrapping_sub(from) >> width_bits == 0;
        let count = rest.partition_point(|item| inside(item.0));
        let load = rest[..count].iter().fold(Load::default(), |load, item| load.and(item.1));
        if load.fits(most) || depth == DEPTH_MAX {
            rest = &rest[count..];
            if count > 0 || from == 0 {
                leaves.push((from, count));
            }
        } else {
            open.push((from | 1 << (width_bits - 1), depth + 1));
            open.push((from, depth + 1));
        }
    }
    leaves
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::gather::BUCKET_MAX;
    use crate::names::{self, plain_indicator};

    pub(crate) fn numbered(range: std::ops::Range<u32>) -> Vec<Indicator> {
        range
            .map(|n| plain_indicator(Observable::parse("domain", &format!("h{n}.example")).unwrap()))
            .collect()
    }

    #[test]
    fn every_value_is_in_the_part_of_its_place() {
        for count in [0, 1, 1_500, 1_501, 3_001, 40_000] {
            let parts = split(merged(numbered(0..count)).0, BUCKET_MAX, by_value);
            assert_eq!(parts.iter().map(|part| part.indicators.len()).sum::<usize>(), count as usize);
            assert_eq!(path(parts[0].from), "");
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
            let before = split(numbered(0..20_000), BUCKET_MAX, by_value);
            let mut more = numbered(0..20_000);
            more.extend(numbered(900_000 + extra..900_001 + extra));
            let after = split(more, BUCKET_MAX, by_value);
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
    fn large_values_split_by_size() {
        let rules: Vec<Indicator> = (0..60_u8)
            .map(|n| {
                plain_indicator(Observable {
                    kind: 0x4001,
                    value: vec![b'a' + n % 26; 60_000 + usize::from(n)],
                })
            })
            .collect();
        let parts = split(rules, BUCKET_MAX, by_value);
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
