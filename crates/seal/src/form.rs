//! What is encrypted, and how long it is: the kind, which the header hides, and the compressed body, filled up with zeros to
//! one of few lengths.
//!
//! ```text
//! sealed = nonce 12 | ciphertext of plain | tag 16                               one of the lengths of `length_for`
//! plain  = kind 2 | length of the body 4 | packed length 4 | packed | zeros      numbers big-endian
//! packed = the body itself where both lengths are the same, else zstd of it, which makes the sealed body shorter
//! ```

use tocsin_record::header::BODY_MAX;
use tocsin_record::{Plain, codec};

use crate::body::Broken;

/// Shortest sealed body, in bytes: a report of one indicator fits.
pub const SEALED_MIN: usize = 512;
/// Up to this length each is twice the one before, and from here on so much longer, up to [`BODY_MAX`].
const STEP: usize = 64 << 10;
/// Length of what AES-GCM is given besides the key, drawn at random.
pub const NONCE: usize = 12;
/// Length of AES-GCM's tag.
pub const TAG: usize = 16;
/// What stands before the packed body in the plain form.
const HEAD: usize = 2 + 4 + 4;

/// The length of the sealed body that holds so much packed, `None` if it is too much for a record.
fn length_for(packed: usize) -> Option<usize> {
    let least = packed.checked_add(NONCE + HEAD + TAG)?;
    let length = if least <= STEP {
        least.next_power_of_two().max(SEALED_MIN)
    } else {
        least.checked_next_multiple_of(STEP)?
    };
    (length <= BODY_MAX).then_some(length)
}

/// Whether a sealed body may have this length.
pub fn is_length(length: usize) -> bool {
    let packed = length.checked_sub(NONCE + HEAD + TAG);
    packed.and_then(length_for) == Some(length)
}

/// The plain form behind room for the nonce, with the tag still to come: `None` if it is too long for a record.
pub fn plain(kind: u16, body: &[u8]) -> Option<Vec<u8>> {
    let full = u32::try_from(body.len()).ok().filter(|full| *full as usize <= BODY_MAX)?;
    let packed = packed(body);
    let packed = packed.as_deref().unwrap_or(body);
    let length = length_for(packed.len())?;
    let mut out = Vec::with_capacity(length);
    out.resize(NONCE, 0);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&full.to_be_bytes());
    out.extend_from_slice(&(packed.len() as u32).to_be_bytes());
    out.extend_from_slice(packed);
    out.resize(length - TAG, 0);
    Some(out)
}

/// A body compressed, where that makes the sealed body shorter: what the zeros would only fill up again is not worth unpacking for
/// each of its readers.
fn packed(body: &[u8]) -> Option<Vec<u8>> {
    let whole = length_for(body.len());
    if whole == Some(SEALED_MIN) {
        return None;
    }
    let packed = codec::deflate(body);
    let is_shorter = |length: usize| whole.is_none_or(|whole| length < whole);
    length_for(packed.len()).is_some_and(is_shorter).then_some(packed)
}

/// Reads the plain form.
pub fn read(plain: &[u8]) -> Result<Plain, Broken> {
    let ([a, b], rest) = plain.split_first_chunk().ok_or(Broken::Form("head"))?;
    let (full, rest) = rest.split_first_chunk().ok_or(Broken::Form("head"))?;
    let (packed_len, rest) = rest.split_first_chunk().ok_or(Broken::Form("head"))?;
    let full = u32::from_be_bytes(*full) as usize;
    let packed_len = u32::from_be_bytes(*packed_len) as usize;
    if full > BODY_MAX {
        return Err(Broken::Form("body length"));
    }
    let (packed, zeros) = rest.split_at_checked(packed_len).ok_or(Broken::Form("packed length"))?;
    // One form: what could hide in longer padding, or in padding that is not zero, would be in no body.
    if length_for(packed_len) != Some(NONCE + plain.len() + TAG) || zeros.iter().any(|byte| *byte != 0) {
        return Err(Broken::Form("padding"));
    }
    let body = match packed_len {
        same if same == full => packed.to_vec(),
        less if less < full => codec::inflate(packed, full, BODY_MAX)?,
        _ => return Err(Broken::Form("packed length")),
    };
    Ok(Plain { kind: u16::from_be_bytes([*a, *b]), bytes: body.into() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn opened(kind: u16, body: &[u8]) -> (usize, Plain) {
        let out = plain(kind, body).unwrap();
        (out.len() + TAG, read(&out[NONCE..]).unwrap())
    }

    /// In which zstd finds nothing.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let step = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..length).map(step).collect()
    }

    #[test]
    fn lengths_are_few() {
        let lengths: Vec<usize> = (0..=BODY_MAX).filter(|length| is_length(*length)).collect();
        let doubling = (9..16).map(|power| 1 << power);
        let rising = (1..=16).map(|times| times * STEP);
        assert_eq!(lengths, doubling.chain(rising).collect::<Vec<usize>>());
        for length in [usize::MAX, usize::MAX - 1, BODY_MAX + 1, BODY_MAX + STEP] {
            assert!(!is_length(length));
        }
    }

    #[test]
    fn what_compresses_is_compressed_and_what_does_not_is_not() {
        assert_eq!(opened(32, &[7; 100_000]).0, 512);
        assert_eq!(opened(32, &noise(470)).0, 512);
        assert_eq!(opened(32, &noise(475)).0, 1024);
        // What would fall into the same length is left as it is, and read if somebody did compress it.
        let small = [7; 100];
        assert!(plain(32, &small).unwrap().windows(100).any(|part| part == small));
        let packed = codec::deflate(&small);
        assert_eq!(forged(100, packed.len() as u32, &packed).unwrap().bytes[..], small);
        assert_eq!(opened(32, &[]).1, Plain { kind: 32, bytes: Vec::new().into() });
    }

    #[test]
    fn the_longest_body_fits_and_a_longer_one_does_not() {
        let most = BODY_MAX - NONCE - HEAD - TAG;
        assert_eq!(opened(1, &noise(most)).0, BODY_MAX);
        assert!(plain(1, &noise(most + 1)).is_none());
        assert_eq!(opened(1, &vec![0; BODY_MAX]).1.bytes.len(), BODY_MAX);
        assert!(plain(1, &vec![0; BODY_MAX + 1]).is_none());
    }

    /// The plain form with other numbers in its head.
    fn forged(full: u32, packed: u32, rest: &[u8]) -> Result<Plain, Broken> {
        let mut out = [&[0, 32][..], &full.to_be_bytes(), &packed.to_be_bytes(), rest].concat();
        out.resize(out.len().max(SEALED_MIN - NONCE - TAG), 0);
        read(&out)
    }

    #[test]
    fn what_could_be_said_in_two_ways_is_refused() {
        assert_eq!(&forged(5, 5, b"five!").unwrap().bytes[..], b"five!");
        let form = |result: Result<Plain, Broken>, name| {
            let error = result.unwrap_err();
            assert!(matches!(error, Broken::Form(said) if said == name), "{error}");
        };
        form(forged(5, 5, b"five! and more"), "padding");
        form(forged(4, 5, b"five!"), "packed length");
        form(forged(5, u32::MAX, b"five!"), "packed length");
        form(forged(u32::MAX, 5, b"five!"), "body length");
        let mut long = plain(32, b"five!").unwrap();
        long.resize(1024 - TAG, 0);
        form(read(&long[NONCE..]), "padding");
        for length in 0..HEAD {
            form(read(&vec![0; length]), "head");
        }
    }

    #[test]
    fn a_bomb_is_stopped() {
        let bomb = codec::deflate(&vec![0; BODY_MAX + 1]);
        let packed = bomb.len() as u32;
        assert!(matches!(forged(BODY_MAX as u32, packed, &bomb), Err(Broken::Inflate(_))));
        assert!(matches!(forged(packed + 1, packed, &bomb), Err(Broken::Inflate(_))));
        assert!(matches!(forged(BODY_MAX as u32 + 1, packed, &bomb), Err(Broken::Form("body length"))));
        assert!(matches!(forged(9, 5, b"five!"), Err(Broken::Inflate(_))));
    }

    proptest! {
        #[test]
        fn what_is_packed_is_read(kind: u16, body in prop::collection::vec(any::<u8>(), 0..3000)) {
            let (length, opened) = opened(kind, &body);
            prop_assert!(is_length(length));
            prop_assert_eq!(opened, Plain { kind, bytes: body.into() });
        }

        #[test]
        fn anything_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..1100)) {
            let _ = read(&bytes);
        }
    }
}
