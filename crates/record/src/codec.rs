//! The one encoding of bodies, frames and documents: bincode `standard()` (little-endian, variable-length
//! integers) with a limit, in its only form.
//!
//! bincode reads an integer in more forms than it writes. Every longer form takes more bytes, so a value whose
//! encoding is as long as what was read was read from exactly that encoding; that is the check, and it costs no
//! second buffer.

use bincode::enc::write::SizeWriter;
use bincode::{BorrowDecode, Encode};

use crate::washed;

/// Why bytes are not a value.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Truncated, over the limit, an unknown variant, invalid UTF-8, and the like.
    #[error("does not parse: {0}")]
    Parse(#[from] bincode::error::DecodeError),
    /// The value ends before the bytes do.
    #[error("{0} bytes are left over")]
    Trailing(usize),
    /// The bytes are not the one form of the value.
    #[error("is not in its shortest form")]
    NotCanonical,
}

/// Encodes a value. Fails on no value of this project's types: they hold nothing that bincode cannot write.
#[must_use]
pub fn encode<T: Encode>(value: &T) -> Vec<u8> {
    bincode::encode_to_vec(value, bincode::config::standard())
        .expect("types of this project have no field that bincode refuses to write")
}

/// Decodes a value that takes all of `bytes`, in its one form, using at most `LIMIT` bytes of memory.
///
/// # Errors
/// [`CodecError`], whose cause is always whoever made the bytes.
pub fn decode<'a, T, const LIMIT: usize>(bytes: &'a [u8]) -> Result<T, CodecError>
where
    T: BorrowDecode<'a, ()> + Encode,
{
    let value = decode_again::<T, LIMIT>(bytes)?;
    if size(&value) != bytes.len() {
        return Err(CodecError::NotCanonical);
    }
    Ok(value)
}

/// As [`decode`], of bytes that were decoded before and are known to be in their one form.
///
/// # Errors
/// [`CodecError`], if they are no such value all the same.
pub fn decode_again<'a, T, const LIMIT: usize>(bytes: &'a [u8]) -> Result<T, CodecError>
where
    T: BorrowDecode<'a, ()>,
{
    let (value, read) =
        bincode::borrow_decode_from_slice(bytes, bincode::config::standard().with_limit::<LIMIT>())?;
    if read != bytes.len() {
        return Err(CodecError::Trailing(bytes.len() - read));
    }
    Ok(value)
}

/// How many bytes a value encodes to.
#[must_use]
pub fn size<T: Encode>(value: &T) -> usize {
    let mut counter = bincode::enc::EncoderImpl::new(SizeWriter::default(), bincode::config::standard());
    value.encode(&mut counter).expect("counting does not fail");
    counter.into_writer().bytes_written
}

/// Decompresses what stated its length first, never past it.
///
/// # Errors
/// When `full` is over `most`, the data is damaged, or its length is another than stated.
pub fn inflate(compressed: &[u8], full: usize, most: usize) -> Result<Vec<u8>, InflateError> {
    if full > most {
        return Err(InflateError::TooLong { stated: full, most });
    }
    // One byte more than stated, so that a bomb shows itself and stops there.
    let mut out = Vec::with_capacity(full + 1);
    washed::decompress(compressed, &mut out).map_err(InflateError::Damaged)?;
    if out.len() != full {
        return Err(InflateError::Length { stated: full, found: out.len() });
    }
    Ok(out)
}

/// Compresses.
#[must_use]
pub fn deflate(bytes: &[u8]) -> Vec<u8> {
    washed::compress(bytes).expect("compressing into memory does not fail")
}

/// Why compressed bytes were refused.
#[derive(Debug, thiserror::Error)]
pub enum InflateError {
    /// The stated length is over the bound.
    #[error("states {stated} bytes, at most {most} are taken")]
    TooLong {
        /// Stated length in bytes.
        stated: usize,
        /// Bound in bytes.
        most: usize,
    },
    /// zstd refused it, or it went past the stated length.
    #[error("does not decompress: {0}")]
    Damaged(#[source] std::io::Error),
    /// It holds another number of bytes than stated.
    #[error("states {stated} bytes and holds {found}")]
    Length {
        /// Stated length in bytes.
        stated: usize,
        /// What it holds, in bytes.
        found: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shortest_form_is_taken() {
        // 5 as a 16-bit integer: bincode reads it, and writes it in one byte.
        assert!(matches!(decode::<u64, 64>(&[251, 5, 0]), Err(CodecError::NotCanonical)));
        assert!(matches!(decode::<u64, 64>(&[5]), Ok(5)));
        assert!(matches!(decode::<u64, 64>(&[5, 0]), Err(CodecError::Trailing(1))));
        assert!(matches!(decode::<u64, 64>(&[]), Err(CodecError::Parse(_))));
    }

    #[test]
    fn a_bomb_is_stopped() {
        let bomb = deflate(&vec![0; 1 << 20]);
        assert!(matches!(inflate(&bomb, 100, 1 << 10), Err(InflateError::Damaged(_))));
        assert!(matches!(inflate(&bomb, 1 << 20, 1 << 10), Err(InflateError::TooLong { .. })));
        assert!(matches!(inflate(&bomb, (1 << 20) + 5, 1 << 21), Err(InflateError::Length { .. })));
        assert_eq!(inflate(&bomb, 1 << 20, 1 << 20).unwrap().len(), 1 << 20);
    }
}
