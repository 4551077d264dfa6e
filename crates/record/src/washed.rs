//! zstd's contexts, which are dear to make and so kept, washed after each use.
//!
//! A context copies the literals of a block (RFC 8878, 3.1.1.3.1), which is text in clear, to a buffer of its own in memory of C,
//! and leaves them there, also when it is freed. So it is given other literals to copy over them.

use std::cell::RefCell;
use std::io;

use zstd::bulk::{Compressor, Decompressor};

/// The level that a catch-up can afford.
const LEVEL: i32 = 1;
/// Fewest that are washed: a block may not be longer than what its frame holds.
const FEWEST_LITERALS: usize = 8;
/// Most literals that a decompressor keeps: what is more goes to where the output goes (`ZSTD_LITBUFFEREXTRASIZE`).
const MOST_LITERALS: usize = 64 * 1024;

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Compresses.
///
/// # Errors
/// zstd's, which come of lack of memory alone.
pub(crate) fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|kept| {
        let compressor = match kept {
            Some(compressor) => compressor,
            None => kept.insert(Compressor::new(LEVEL)?),
        };
        let packed = compressor.compress(bytes);
        // As long as what it took, since the length decides how a compressor lays out its memory.
        compressor.compress(&noise(bytes.len()))?;
        packed
    })
}

/// Decompresses into what `out` has room for.
///
/// # Errors
/// zstd's: damaged, or longer than the room.
pub(crate) fn decompress(packed: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let decompressor = match kept {
            Some(decompressor) => decompressor,
            None => kept.insert(Decompressor::new()?),
        };
        let done = decompressor.decompress_to_buffer(packed, out);
        let literals = out.capacity().clamp(FEWEST_LITERALS, MOST_LITERALS);
        decompressor.decompress(&zeros(literals as u32), literals)?;
        done.map(drop)
    })
}

/// In which zstd finds nothing twice, so that all of it is literals (xorshift64, Marsaglia 2003).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut words = Vec::with_capacity(length + 8);
    while words.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        words.extend_from_slice(&state.to_le_bytes());
    }
    words.truncate(length);
    words
}

/// A frame of so many zeros, [`FEWEST_LITERALS`] to [`MOST_LITERALS`], as a literal that is repeated. zstd itself would write a repeated block,
/// which goes past the buffer of literals.
fn zeros(literals: u32) -> Vec<u8> {
    // Magic, a single segment with its length in four bytes, the last block of five bytes, repeated literals with their length
    // in 20 bits, the literal, and no sequence.
    let magic = 0xfd2f_b528_u32.to_le_bytes();
    let [low, middle, high, _] = (1 | 3 << 2 | literals << 4).to_le_bytes();
    let block = [1 | 2 << 1 | 5 << 3, 0, 0, low, middle, high, 0, 0];
    [&magic[..], &[0b1010_0000], &literals.to_le_bytes(), &block].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_washes_is_literals() {
        for length in [FEWEST_LITERALS, 100, MOST_LITERALS] {
            let zeros = Decompressor::new().unwrap().decompress(&zeros(length as u32), length).unwrap();
            assert_eq!(zeros, vec![0; length]);
        }
        for length in [0, 1, 100, 1 << 18] {
            let packed = Compressor::new(LEVEL).unwrap().compress(&noise(length)).unwrap();
            assert!(packed.len() >= length, "nothing is found twice in {length} bytes");
        }
    }

    #[test]
    fn a_context_that_failed_is_used_again() {
        let packed = compress(&[7; 1000]).unwrap();
        assert!(decompress(&packed[..packed.len() - 1], &mut Vec::with_capacity(1000)).is_err());
        let mut out = Vec::with_capacity(1000);
        decompress(&packed, &mut out).unwrap();
        assert_eq!(out, [7; 1000]);
        decompress(&compress(&[7]).unwrap(), &mut Vec::with_capacity(1)).unwrap();
    }
}
