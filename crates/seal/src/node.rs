//! The key pair by which a node opens what was wrapped for it. Its certificate holds the public half.

use hpke::kem::XWing;
use hpke::rand_core::CryptoRng;
use hpke::{Deserializable as _, Kem, Serializable as _};
use zeroize::Zeroizing;

/// Length of a public sealing key, in bytes: ML-KEM-768's, then X25519's.
pub const PUBLIC_LEN: usize = 1216;
/// Where the X25519 part of a public key begins.
const X25519_AT: usize = 1184;

/// The secret half: zeroised when dropped, never printed, and held in one place, since a value that is moved leaves
/// copies behind.
pub struct SealingKey(Box<<XWing as Kem>::PrivateKey>);

impl SealingKey {
    /// The key of a 32-byte seed that came from the machine's random source.
    ///
    /// # Panics
    /// Never: every seed is a key.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(Box::new(<XWing as Kem>::PrivateKey::from_bytes(seed).expect("any 32 bytes are an X-Wing seed")))
    }

    /// A new key.
    #[must_use]
    pub fn generate(random: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        random.fill_bytes(seed.as_mut());
        Self::from_seed(&seed)
    }

    /// The seed, for files.
    #[must_use]
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        let mut seed = Zeroizing::new([0; 32]);
        self.0.write_exact(seed.as_mut());
        seed
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> SealingPublic {
        SealingPublic(XWing::sk_to_pk(&self.0))
    }

    pub(crate) fn private(&self) -> &<XWing as Kem>::PrivateKey {
        &self.0
    }
}

/// Why bytes are not a sealing key that anything is wrapped for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// Another length.
    #[error("a sealing key has {PUBLIC_LEN} bytes, this one {0}")]
    Length(usize),
    /// Its ML-KEM part holds a number that is not reduced (FIPS 203, 7.2).
    #[error("the ML-KEM part of the sealing key is none")]
    MlKem,
    /// Its X25519 part is a point of low order, so that everybody knows the secret it gives.
    #[error("the X25519 part of the sealing key is of low order")]
    LowOrder,
}

/// The public half, checked once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealingPublic(<XWing as Kem>::PublicKey);

impl SealingPublic {
    /// Checks the bytes that a certificate holds. Everybody who reads certificates does, since who does not would wrap for
    /// keys that others refuse.
    ///
    /// # Errors
    /// [`KeyError`]: the fault of who certified it.
    pub fn new(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() != PUBLIC_LEN {
            return Err(KeyError::Length(bytes.len()));
        }
        let key = <XWing as Kem>::PublicKey::from_bytes(bytes).map_err(|_| KeyError::MlKem)?;
        let point = bytes[X25519_AT..].try_into().expect("the last 32 of 1216 bytes");
        // Every scalar of X25519 is a multiple of 8, so it takes a point of low order, and no other, to zero.
        if x25519_dalek::x25519([1; 32], point) == [0; 32] {
            return Err(KeyError::LowOrder);
        }
        Ok(Self(key))
    }

    /// The bytes, as a certificate holds them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes().to_vec()
    }

    /// A key whose secret half nobody has, not even who made it.
    pub(crate) fn nobody(random: &mut impl CryptoRng) -> Self {
        Self(XWing::gen_keypair_with_rng(random).1)
    }

    pub(crate) fn inner(&self) -> &<XWing as Kem>::PublicKey {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes() -> Vec<u8> {
        SealingKey::from_seed(&[7; 32]).public().to_bytes()
    }

    #[test]
    fn a_key_is_read_as_it_was_written() {
        assert_eq!(SealingPublic::new(&bytes()), Ok(SealingKey::from_seed(&[7; 32]).public()));
        assert_eq!(*SealingKey::from_seed(&[7; 32]).seed(), [7; 32]);
    }

    #[test]
    fn keys_of_another_length_are_refused() {
        for length in [0, 32, PUBLIC_LEN - 1, PUBLIC_LEN + 1] {
            assert_eq!(SealingPublic::new(&vec![1; length]), Err(KeyError::Length(length)));
        }
    }

    #[test]
    fn numbers_that_are_not_reduced_are_refused() {
        let mut bytes = bytes();
        // The first coefficient, 12 bits, at 3329 and over.
        (bytes[0], bytes[1]) = (0x01, bytes[1] & 0xf0 | 0x0d);
        assert_eq!(SealingPublic::new(&bytes), Err(KeyError::MlKem));
        bytes[0] = 0x00;
        assert!(SealingPublic::new(&bytes).is_ok());
    }

    #[test]
    fn points_of_low_order_are_refused() {
        // Every u that X25519 takes to zero, in all forms that fit 32 bytes (RFC 7748, 6.1; Bernstein, "Curve25519", 2006).
        let p = |low: u8| {
            let mut u = [0xff; 32];
            (u[0], u[31]) = (low, 0x7f);
            u
        };
        let small = |low: u8| {
            let mut u = [0; 32];
            u[0] = low;
            u
        };
        let of_eight = [
            0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a,
            0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
        ];
        let of_eight_too = [
            0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b,
            0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
        ];
        let low = [small(0), small(1), of_eight, of_eight_too, p(0xec), p(0xed), p(0xee)];
        for mut point in low {
            for high in [0, 0x80] {
                point[31] ^= high;
                let mut bytes = bytes();
                bytes[X25519_AT..].copy_from_slice(&point);
                assert_eq!(SealingPublic::new(&bytes), Err(KeyError::LowOrder), "{point:02x?}");
            }
        }
    }
}
