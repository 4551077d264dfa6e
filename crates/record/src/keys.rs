//! Ed25519 (RFC 8032) as this project uses it: strict verification only, weak keys refused, secrets zeroised.
//!
//! `verify_batch` and lax verification accept what strict verification refuses, so two nodes that mixed them
//! would disagree about a record for ever.

use bincode::{Decode, Encode};
use ed25519_dalek::{Signature as DalekSignature, Signer as _, SigningKey, VerifyingKey};

/// A signature, 64 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Signature(pub [u8; 64]);

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signature({:02x}{:02x}..)", self.0[0], self.0[1])
    }
}

/// A secret key, in a page of its own that is not swapped out, zeroised when dropped, never printed.
///
/// Where the system locks no page (`RLIMIT_MEMLOCK` is under 4 KiB or used up) the key works all the same, and may be swapped out:
/// [`Secret::is_locked`] tells.
pub struct Secret {
    /// Before the key: the page is unlocked while it is still there.
    lock: Option<region::LockGuard>,
    page: Box<Page>,
}

/// Nothing else lies in the pages of a key, so that no other key unlocks them.
#[repr(align(4096))]
struct Page(SigningKey);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret(of {})", crate::id::fingerprint(&self.public()))
    }
}

impl Secret {
    /// The key of a 32-byte seed that came from the machine's random source.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let page = Box::new(Page(SigningKey::from_bytes(seed)));
        let lock = region::lock(&raw const *page, size_of::<Page>()).ok();
        Self { lock, page }
    }

    /// Whether the system keeps it from being swapped out.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.lock.is_some()
    }

    /// The seed, for files and for the transport's own key type. Zeroise what you copy it into.
    #[must_use]
    pub fn seed(&self) -> zeroize::Zeroizing<[u8; 32]> {
        zeroize::Zeroizing::new(self.page.0.to_bytes())
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.page.0.verifying_key().to_bytes()
    }

    /// Signs a 32-byte hash, which carries its own domain tag.
    #[must_use]
    pub fn sign(&self, hash: &[u8; 32]) -> Signature {
        Signature(self.page.0.sign(hash).to_bytes())
    }
}

/// Why a signature does not count.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum VerifyError {
    /// Not a point, or one of small order.
    #[error("the key is not a usable Ed25519 key")]
    Key,
    /// The signature is not this key's over this hash.
    #[error("the signature is not valid")]
    Signature,
}

/// A public key that was checked once: on the curve and not of small order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Public(VerifyingKey);

impl Public {
    /// Checks the bytes of a key.
    ///
    /// # Errors
    /// When they are no point, or one of small order.
    pub fn new(bytes: &[u8; 32]) -> Result<Self, VerifyError> {
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| VerifyError::Key)?;
        if key.is_weak() { Err(VerifyError::Key) } else { Ok(Self(key)) }
    }

    /// Verifies strictly (RFC 8032, no small-order components).
    ///
    /// # Errors
    /// When the signature is not this key's over this hash.
    pub fn verify(&self, hash: &[u8; 32], signature: &Signature) -> Result<(), VerifyError> {
        self.0
            .verify_strict(hash, &DalekSignature::from_bytes(&signature.0))
            .map_err(|_| VerifyError::Signature)
    }
}

/// Verifies one signature by a key that is used only once.
///
/// # Errors
/// As [`Public::new`] and [`Public::verify`].
pub fn verify(key: &[u8; 32], hash: &[u8; 32], signature: &Signature) -> Result<(), VerifyError> {
    Public::new(key)?.verify(hash, signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_and_refuses() {
        let secret = Secret::from_seed(&[7; 32]);
        let signature = secret.sign(&[1; 32]);
        assert_eq!(verify(&secret.public(), &[1; 32], &signature), Ok(()));
        assert_eq!(verify(&secret.public(), &[2; 32], &signature), Err(VerifyError::Signature));
        let stranger = Secret::from_seed(&[8; 32]);
        assert_eq!(verify(&stranger.public(), &[1; 32], &signature), Err(VerifyError::Signature));
    }

    #[test]
    fn keys_are_not_swapped_out() {
        let locked = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find(|line| line.starts_with("VmLck:")).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
        };
        // Other tests make keys at the same time; none of them makes so many.
        let secrets: Vec<Secret> = (0..64).map(|n| Secret::from_seed(&[n; 32])).collect();
        assert!(secrets.iter().all(Secret::is_locked));
        assert!(locked() >= 64 * 4);
    }

    #[test]
    fn weak_keys_are_refused() {
        // The neutral element: every signature equation holds for some forged pair.
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(Public::new(&identity), Err(VerifyError::Key));
        assert_eq!(Public::new(&[0; 32]), Err(VerifyError::Key));
    }
}
