//! The indicators of a list while its file is read, packed: about what their lines take, where an [`Indicator`] takes ten
//! times as much.
//!
//! A list is split by the hashes of its values, so that none of its reports is known before the last line is read. Until
//! then its values wait in bins, by the first bits of their places; at the end one bin after the other is
//! unpacked, merged, split and packed again, and the reports are taken out one by one.

use std::ops::Range;

use tocsin_record::body::report::Indicator;
use tocsin_record::codec;
use tocsin_record::marking::Code;
use tocsin_record::observable::Observable;

use crate::ImportError;
use crate::split::{Load, Part, by_value, leaves, merged, place, split_below};

/// Most bytes that the values of one file wait in, with what is said of them. A list of [`crate::FILE_MAX`] bytes
/// takes about as much if it is one of names, and half of it if it is one of IPv4 addresses; rows that say several values, and
/// repeat a long comment for each, may take more and are refused.
pub(crate) const PACKED_MAX: usize = 384 << 20;
/// The level of the tree of places whose leaves are bins: 1,024 of them, so that one bin of the largest list is a few MiB
/// when it is unpacked.
const BIN_BITS: u32 = 10;
/// How many bytes a bin grows by: 4 MiB for all bins together.
const BLOCK: usize = 4 << 10;
/// Most memory that unpacking what is said of one value may take, in bytes: far above its bound in a body.
const UNPACKED_MAX: usize = 1 << 20;

/// What is said of a value.
type Said = (Code, Option<u8>, u64, u64, Option<[u8; 16]>, String);

/// The values of a list.
#[derive(Default)]
pub(crate) struct Packed {
    /// For each bin its blocks, in the order of the file.
    bins: Vec<Vec<Vec<u8>>>,
    /// What all blocks take.
    bytes: usize,
    /// What is said of the first value, and so of most, packed.
    usual: Vec<u8>,
    /// Reused for each value.
    entry: Vec<u8>,
}

impl Packed {
    /// Adds a value; fails where the list has no room.
    pub(crate) fn push(&mut self, indicator: Indicator) -> Result<(), ImportError> {
        let Indicator { what, kind, confidence, valid_from, valid_until, id, comment } = indicator;
        let said: Said = (kind, confidence, valid_from, valid_until, id, comment);
        let said = codec::encode(&said);
        if self.bins.is_empty() {
            self.bins = vec![Vec::new(); 1 << BIN_BITS];
            self.usual.clone_from(&said);
        }
        self.entry.clear();
        pack(&mut self.entry, &what, if said == self.usual { &[] } else { &said });
        let bin = (place(&what) >> (64 - BIN_BITS)) as usize;
        let blocks = &mut self.bins[bin];
        match blocks.last_mut().filter(|block| block.capacity() - block.len() >= self.entry.len()) {
            Some(block) => block.extend_from_slice(&self.entry),
            None => {
                let mut block = Vec::with_capacity(BLOCK.max(self.entry.len()));
                block.extend_from_slice(&self.entry);
                self.bytes += block.capacity();
                blocks.push(block);
                if self.bytes > PACKED_MAX {
                    return Err(ImportError::TooMany);
                }
            }
        }
        Ok(())
    }

    /// The leaves of the tree that hold at most `most` values, without those that are to be left out, and how many values stood
    /// more than once.
    pub(crate) fn into_leaves(
        self,
        most: usize,
        leave_out: &mut dyn FnMut(&Observable) -> bool,
    ) -> (Leaves, u64) {
        let mut leaves = Vec::new();
        let mut twice = 0;
        for (bin, blocks) in self.bins.into_iter().enumerate().filter(|(_, blocks)| !blocks.is_empty()) {
            let mut indicators = Vec::new();
            for block in blocks {
                unpack(&block, &self.usual, &mut indicators);
            }
            let (mut indicators, more) = merged(indicators);
            twice += more;
            indicators.retain(|one| !leave_out(&one.what));
            let from = (bin as u64) << (64 - BIN_BITS);
            for part in split_below(from, BIN_BITS, indicators, most, by_value) {
                let mut packed = Vec::new();
                for indicator in &part.indicators {
                    let said = codec::encode(&(
                        &indicator.kind,
                        indicator.confidence,
                        indicator.valid_from,
                        indicator.valid_until,
                        indicator.id,
                        &indicator.comment,
                    ));
                    pack(&mut packed, &indicator.what, if said == self.usual { &[] } else { &said });
                }
                packed.shrink_to_fit();
                let load = Load::of(part.indicators.iter().map(codec::size));
                leaves.push(Leaf { from: part.from, load, packed });
            }
        }
        (Leaves { leaves, usual: self.usual }, twice)
    }
}

struct Leaf {
    /// The lowest place that falls into it.
    from: u64,
    load: Load,
    packed: Vec<u8>,
}

/// The leaves of a list, in order of place. What of several bins fits one part is joined when it is asked for.
pub(crate) struct Leaves {
    leaves: Vec<Leaf>,
    usual: Vec<u8>,
}

impl Leaves {
    /// The parts: where each begins, and which leaves are in it.
    pub(crate) fn parts(&self, most: usize) -> Vec<(u64, Range<usize>)> {
        let items: Vec<(u64, Load)> = self.leaves.iter().map(|leaf| (leaf.from, leaf.load)).collect();
        let mut next = 0;
        let parts = leaves(0, 0, &items, most).into_iter().map(|(from, count)| {
            next += count;
            (from, next - count..next)
        });
        parts.collect()
    }

    /// Takes a part out; what it was packed in is free.
    pub(crate) fn take(&mut self, from: u64, inside: Range<usize>) -> Part {
        let mut indicators = Vec::new();
        for leaf in &mut self.leaves[inside] {
            unpack(&std::mem::take(&mut leaf.packed), &self.usual, &mut indicators);
        }
        indicators.sort_by(|a, b| a.what.cmp(&b.what));
        Part { from, indicators }
    }
}

/// A value, and what is said of it, or nothing for the usual.
fn pack(out: &mut Vec<u8>, what: &Observable, said: &[u8]) {
    number(out, usize::from(what.kind));
    number(out, what.value.len());
    out.extend_from_slice(&what.value);
    number(out, said.len());
    out.extend_from_slice(said);
}

fn unpack(mut rest: &[u8], usual: &[u8], out: &mut Vec<Indicator>) {
    while !rest.is_empty() {
        let kind = read_number(&mut rest) as u16;
        let length = read_number(&mut rest);
        let value = read(&mut rest, length).to_vec();
        let length = read_number(&mut rest);
        let said = if length == 0 { usual } else { read(&mut rest, length) };
        let (said, confidence, valid_from, valid_until, id, comment) =
            codec::decode_again::<Said, UNPACKED_MAX>(said).expect("it was packed above, within its bound");
        let what = Observable { kind, value };
        out.push(Indicator { what, kind: said, confidence, valid_from, valid_until, id, comment });
    }
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn number(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn read_number(rest: &mut &[u8]) -> usize {
    let mut number = 0;
    for shift in (0..usize::BITS).step_by(7) {
        let byte = read(rest, 1)[0];
        number |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    number
}

fn read<'a>(rest: &mut &'a [u8], length: usize) -> &'a [u8] {
    rest.split_off(..length).expect("what is unpacked was packed here, whole")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gather::BUCKET_MAX;
    use crate::names;
    use crate::split::{split, tests::numbered};

    /// The same indicators, split whole and by way of bins.
    fn both(indicators: Vec<Indicator>) {
        let (whole, twice) = merged(indicators.clone());
        let whole = split(whole, BUCKET_MAX, by_value);
        let mut packed = Packed::default();
        for indicator in indicators {
            packed.push(indicator).unwrap();
        }
        let (mut leaves, again) = packed.into_leaves(BUCKET_MAX, &mut |_| false);
        assert_eq!(again, twice);
        let parts = leaves.parts(BUCKET_MAX);
        assert_eq!(parts.len(), whole.len());
        for ((from, inside), whole) in parts.into_iter().zip(whole) {
            let part = leaves.take(from, inside);
            assert!(part.from == whole.from && part.indicators == whole.indicators, "at {from:x}");
        }
        assert!(leaves.leaves.iter().all(|leaf| leaf.packed.is_empty()));
    }

    #[test]
    fn a_packed_list_is_split_as_a_whole_one() {
        for count in [0, 1, 2, 1_500, 1_501, 3_001, 40_000] {
            both(numbered(0..count));
        }
        // More than one leaf in a bin.
        both(one_bin(1_600));
    }

    /// Values that all fall into one bin.
    fn one_bin(count: usize) -> Vec<Indicator> {
        let all = (0_u32..).map(|n| {
            let value = n.to_be_bytes().to_vec();
            names::plain_indicator(Observable { kind: 1, value })
        });
        all.filter(|indicator| place(&indicator.what) >> (64 - BIN_BITS) == 3).take(count).collect()
    }

    #[test]
    fn what_is_said_of_values_comes_back() {
        let mut indicators = numbered(0..3_000);
        for (at, indicator) in indicators.iter_mut().enumerate() {
            match at % 4 {
                0 => {}
                1 => indicator.comment = "ü".repeat(at % 150),
                2 => {
                    indicator.kind = names::kind_numbered(9);
                    indicator.confidence = Some(100);
                    indicator.id = Some([at as u8; 16]);
                }
                _ => (indicator.valid_from, indicator.valid_until) = (1, u64::MAX),
            }
        }
        // The second of two says other things than the first.
        let again: Vec<Indicator> = indicators.iter().rev().step_by(3).cloned().collect();
        let later = numbered(0..900);
        both([indicators, again, later].concat());
        let rules: Vec<Indicator> = (0..60_u16)
            .map(|n| {
                let value = vec![b'a'; 60_000 + usize::from(n)];
                names::plain_indicator(Observable { kind: 0x4001, value })
            })
            .collect();
        both(rules);
    }

    #[test]
    fn an_address_takes_its_bytes() {
        let mut packed = Packed::default();
        for n in 0..200_000_u32 {
            let value = n.to_be_bytes().to_vec();
            packed.push(names::plain_indicator(Observable { kind: 1, value })).unwrap();
        }
        let full = (1 << BIN_BITS) * BLOCK;
        assert!(packed.bytes <= 200_000 * 7 + full, "{}", packed.bytes);
    }

    #[test]
    fn there_is_an_end() {
        let mut packed = Packed { bytes: PACKED_MAX, ..Packed::default() };
        let refused = packed.push(numbered(0..1).remove(0));
        assert!(matches!(refused, Err(ImportError::TooMany)));
    }
}
