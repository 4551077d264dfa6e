//! Files that are carried by hand: a key of each file's own, wrapped for the nodes that may open it, and its content under it.
//!
//! ```text
//! key     = 32 random bytes ---- X-Wing, HPKE ----> one wrap a node, in order of node, and some for nobody
//! cipher  = HKDF of it      ---> AES-256-GCM over all content at once     the key is used once, so the nonce is zero
//! commitment = HKDF of it   ---> in each wrap's associated data           all who open the file open the same
//! ```

use std::collections::BTreeMap;

use aes_gcm::{AeadInOut as _, Aes256Gcm, KeyInit as _, Nonce, Tag};
use hkdf::Hkdf;
use hpke::rand_core::CryptoRng;
use sha2::Sha256;
use tocsin_record::{MeshId, NodeKey};
use zeroize::Zeroizing;

use crate::node::{SealingKey, SealingPublic};
use crate::wrap::{WRAP_LEN, decapsulate, encapsulate, padded};

/// Most nodes that one file is sealed to: more than one circle has, for it may go to all of a mesh.
pub const PARCEL_NODES_MAX: usize = 1024;
/// What a file grows by when it is encrypted, in bytes.
pub const PARCEL_TAG: usize = 16;
/// Length of the salt, in bytes.
pub const PARCEL_SALT: usize = 32;

/// Stands before all that a wrap is bound to.
const DOMAIN: &[u8; 16] = b"tocsin parcel 1\0";
// What the bytes that HKDF gives are for.
const CONTENT: &[u8; 16] = b"tocsin content 1";
const COMMIT: &[u8; 16] = b"tocsin commit p\0";

/// What a file's wraps are bound to beside the node that each is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParcelPlace {
    /// The mesh whose nodes they are.
    pub mesh: MeshId,
    /// Fresh and random: no two files have one.
    pub salt: [u8; PARCEL_SALT],
}

impl ParcelPlace {
    /// HPKE's info: all of fixed width.
    fn info(&self, node: &NodeKey) -> Vec<u8> {
        [&DOMAIN[..], &self.mesh.0, &self.salt, &node.0].concat()
    }
}

/// The wraps of a file's key, and what all of them commit to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParcelWraps {
    /// What the key commits to.
    pub commitment: [u8; 32],
    /// One behind the other: a power of two of them, 8 at least.
    pub wraps: Vec<u8>,
}

/// The key of one file. Zeroised when dropped, never printed.
pub struct ParcelKey(Zeroizing<[u8; 32]>);

/// The content does not open: it was changed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("it was changed or cut since it was made")]
pub struct ChangedParcel;

impl ParcelKey {
    fn expand(&self, use_of: &[u8; 16]) -> Zeroizing<[u8; 32]> {
        let mut out = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, self.0.as_slice())
            .expand(use_of, out.as_mut_slice())
            .expect("32 bytes are a length that HKDF gives");
        out
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new(&(*self.expand(CONTENT)).into())
    }

    /// Encrypts the one content of the file. `head` is what stands before it in clear, and is authenticated with it.
    ///
    /// # Panics
    /// Never: content is far below the cipher's limit of 64 GiB.
    #[must_use]
    pub fn seal(self, head: &[u8], mut content: Vec<u8>) -> Vec<u8> {
        let tag = self
            .cipher()
            .encrypt_inout_detached(&Nonce::default(), head, content.as_mut_slice().into())
            .expect("content is far below the cipher's limit of 64 GiB");
        content.extend_from_slice(&tag);
        content
    }

    /// Decrypts it.
    ///
    /// # Errors
    /// [`ChangedParcel`].
    pub fn open(self, head: &[u8], mut sealed: Vec<u8>) -> Result<Vec<u8>, ChangedParcel> {
        let (_, tag) = sealed.split_last_chunk::<PARCEL_TAG>().ok_or(ChangedParcel)?;
        let tag = Tag::from(*tag);
        sealed.truncate(sealed.len() - PARCEL_TAG);
        self.cipher()
            .decrypt_inout_detached(&Nonce::default(), head, sealed.as_mut_slice().into(), &tag)
            .map_err(|_| ChangedParcel)?;
        Ok(sealed)
    }
}

/// Why a file is not sealed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParcelError {
    /// There is no node to seal it to.
    #[error("no node of those that it is for has a sealing key yet")]
    Nobody,
    /// There are too many.
    #[error(
        "a file is sealed to at most {PARCEL_NODES_MAX} nodes, those that it is for have {0}: name fewer of them"
    )]
    TooMany(usize),
}

/// A fresh key for one file, and its wraps for these nodes.
///
/// # Errors
/// [`ParcelError`].
pub fn wrap_parcel(
    place: &ParcelPlace,
    nodes: &BTreeMap<NodeKey, SealingPublic>,
    random: &mut impl CryptoRng,
) -> Result<(ParcelKey, ParcelWraps), ParcelError> {
    match nodes.len() {
        0 => return Err(ParcelError::Nobody),
        1..=PARCEL_NODES_MAX => {}
        more => return Err(ParcelError::TooMany(more)),
    }
    let mut key = ParcelKey(Zeroizing::new([0; 32]));
    random.fill_bytes(key.0.as_mut_slice());
    let commitment = *key.expand(COMMIT);
    let count = padded(nodes.len());
    let mut wraps = Vec::with_capacity(count * WRAP_LEN);
    for (node, public) in nodes {
        let info = place.info(node);
        wraps.extend_from_slice(&encapsulate(public, &info, key.0.as_slice(), &commitment, random));
    }
    for _ in nodes.len()..count {
        let nobody = SealingPublic::nobody(random);
        let info = place.info(&NodeKey::ZERO);
        wraps.extend_from_slice(&encapsulate(&nobody, &info, &[0; 32], &commitment, random));
    }
    Ok((key, ParcelWraps { commitment, wraps }))
}

/// The key of a file, if one of its wraps is for this node: each is tried, at some 180 us.
#[must_use]
pub fn unwrap_parcel(
    place: &ParcelPlace,
    wraps: &ParcelWraps,
    node: &NodeKey,
    key: &SealingKey,
) -> Option<ParcelKey> {
    let (all, []) = wraps.wraps.as_chunks::<WRAP_LEN>() else { return None };
    if all.len() > PARCEL_NODES_MAX || padded(all.len()) != all.len() {
        return None;
    }
    let info = place.info(node);
    all.iter().find_map(|wrap| {
        let opened = decapsulate(key, &info, wrap, &wraps.commitment)?;
        let mut key = ParcelKey(Zeroizing::new([0; 32]));
        (opened.len() == key.0.len()).then(|| key.0.copy_from_slice(&opened))?;
        // Two recipients with two keys would read two different contents.
        (*key.expand(COMMIT) == wraps.commitment).then_some(key)
    })
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng as _;

    use super::*;

    fn nodes(count: u8) -> (Vec<(NodeKey, SealingKey)>, BTreeMap<NodeKey, SealingPublic>) {
        let all: Vec<(NodeKey, SealingKey)> =
            (1..=count).map(|n| (NodeKey([n; 32]), SealingKey::from_seed(&[n; 32]))).collect();
        let public = all.iter().map(|(node, key)| (*node, key.public())).collect();
        (all, public)
    }

    #[test]
    fn each_of_the_nodes_opens_it_and_nobody_else() {
        let mut random = ChaCha20Rng::seed_from_u64(1);
        let place = ParcelPlace { mesh: MeshId([1; 32]), salt: [2; 32] };
        let (all, public) = nodes(9);
        let (key, wraps) = wrap_parcel(&place, &public, &mut random).unwrap();
        assert_eq!(wraps.wraps.len(), 16 * WRAP_LEN, "their number is hidden");
        let sealed = key.seal(b"head", b"content".to_vec());
        for (node, secret) in &all {
            let opened = unwrap_parcel(&place, &wraps, node, secret).unwrap();
            assert_eq!(opened.open(b"head", sealed.clone()).unwrap(), b"content");
        }
        let (node, secret) = &all[0];
        let strange = SealingKey::from_seed(&[99; 32]);
        assert!(unwrap_parcel(&place, &wraps, node, &strange).is_none());
        assert!(unwrap_parcel(&place, &wraps, &NodeKey([98; 32]), secret).is_none(), "another node's name");
        for other in [ParcelPlace { mesh: MeshId([9; 32]), ..place }, ParcelPlace { salt: [9; 32], ..place }]
        {
            assert!(unwrap_parcel(&other, &wraps, node, secret).is_none());
        }
        let mut committed = wraps.clone();
        committed.commitment[0] ^= 1;
        assert!(unwrap_parcel(&place, &committed, node, secret).is_none());
        for length in [WRAP_LEN, 12 * WRAP_LEN, 16 * WRAP_LEN - 1] {
            let cut = ParcelWraps { wraps: wraps.wraps[..length].to_vec(), ..wraps.clone() };
            assert!(unwrap_parcel(&place, &cut, node, secret).is_none(), "no number of wraps: {length}");
        }
        let open = |head: &[u8], sealed: Vec<u8>| {
            unwrap_parcel(&place, &wraps, node, secret).unwrap().open(head, sealed)
        };
        assert_eq!(open(b"other", sealed.clone()), Err(ChangedParcel));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(open(b"head", changed), Err(ChangedParcel));
        }
        assert_eq!(open(b"head", sealed[..10].to_vec()), Err(ChangedParcel));
    }

    /// Who wraps one key for one node and another for the next, and commits to the first in both.
    #[test]
    fn a_key_that_is_not_committed_to_is_none() {
        let mut random = ChaCha20Rng::seed_from_u64(2);
        let place = ParcelPlace { mesh: MeshId([1; 32]), salt: [2; 32] };
        let (all, public) = nodes(1);
        let (_, mut wraps) = wrap_parcel(&place, &public, &mut random).unwrap();
        let (node, secret) = &all[0];
        let other =
            encapsulate(&secret.public(), &place.info(node), &[9; 32], &wraps.commitment, &mut random);
        assert!(decapsulate(secret, &place.info(node), &other, &wraps.commitment).is_some());
        wraps.wraps[..WRAP_LEN].copy_from_slice(&other);
        assert!(unwrap_parcel(&place, &wraps, node, secret).is_none());
    }

    #[test]
    fn it_is_sealed_to_somebody_and_not_to_everybody() {
        let mut random = ChaCha20Rng::seed_from_u64(3);
        let place = ParcelPlace { mesh: MeshId([1; 32]), salt: [2; 32] };
        assert_eq!(wrap_parcel(&place, &BTreeMap::new(), &mut random).err(), Some(ParcelError::Nobody));
        let public = SealingKey::from_seed(&[1; 32]).public();
        let many = (0..=PARCEL_NODES_MAX).map(|n| {
            let mut node = [0; 32];
            node[..8].copy_from_slice(&n.to_be_bytes());
            (NodeKey(node), public.clone())
        });
        let refused = wrap_parcel(&place, &many.collect(), &mut random).err();
        assert_eq!(refused, Some(ParcelError::TooMany(PARCEL_NODES_MAX + 1)));
    }
}
