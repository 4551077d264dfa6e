//! Key records: a fresh period key, wrapped for each node that may read, and for nobody as often as hides how many those are.

use std::collections::BTreeMap;

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::rand_core::CryptoRng;
use hpke::{Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _};
use tocsin_record::body::WrappedKey;
use tocsin_record::{DocHash, Header, LogKey, NodeKey};
use zeroize::Zeroizing;

use crate::SUITE;
use crate::node::{SealingKey, SealingPublic};
use crate::period::{KeyId, PeriodKey};

/// Most nodes that one key is wrapped for: 300 KB of the 1 MiB that a body may have.
pub const NODES_MAX: usize = 256;
/// Length of one wrap, in bytes: what X-Wing encapsulates (1120), the key and a tag.
pub const WRAP_LEN: usize = ENCAPSULATED + 32 + 16;
const ENCAPSULATED: usize = 1120;
/// Fewest wraps of a key; their number doubles from here.
const FEWEST: usize = 8;
/// Stands before all that a wrap is bound to.
const DOMAIN: &[u8; 16] = b"tocsin wrap 1\0\0\0";

/// Where a key record stands: its wraps open nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPlace {
    /// Mesh, author, circle and epoch.
    pub log: LogKey,
    /// The key record's number.
    pub seq: u64,
    /// Its time, in ms: the period begins.
    pub time: u64,
    /// Version of the roster whose nodes it is wrapped for.
    pub roster: u32,
    /// Hash of that roster: two may have one version.
    pub roster_hash: DocHash,
}

impl KeyPlace {
    /// The place of a key record that was read.
    #[must_use]
    pub fn of(header: &Header, body: &WrappedKey) -> Self {
        Self {
            log: header.log(),
            seq: header.seq,
            time: header.time,
            roster: header.roster,
            roster_hash: body.roster,
        }
    }

    /// What names the key.
    #[must_use]
    pub fn id(&self) -> KeyId {
        KeyId { log: self.log.id(), seq: self.seq }
    }

    /// HPKE's info: all of fixed width, so that no two places give the same bytes.
    fn info(&self, node: &NodeKey) -> Vec<u8> {
        [
            &DOMAIN[..],
            &self.log.mesh.0,
            &self.log.circle.0,
            &self.log.author.0,
            &self.log.epoch.to_be_bytes(),
            &self.seq.to_be_bytes(),
            &self.roster.to_be_bytes(),
            &self.roster_hash.0,
            &node.0,
        ]
        .concat()
    }
}

/// Why a key is not wrapped.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WrapError {
    /// There is no node to wrap it for.
    #[error("a key that is wrapped for nobody opens nothing: the circle has no node with a sealing key")]
    Nobody,
    /// There are too many.
    #[error("a key is wrapped for at most {NODES_MAX} nodes, the circle has {0}")]
    TooMany(usize),
}

/// A fresh key and the body of its key record. `nodes` are those of the circle's members, by the roster that `place` names, the
/// author's own among them. Costs some 110 us a node, and 180 us each that is added for nobody.
///
/// # Errors
/// [`WrapError`]: the circle's.
///
/// # Panics
/// Never: a key that was checked can be encapsulated to.
pub fn wrap(
    place: &KeyPlace,
    nodes: &BTreeMap<NodeKey, SealingPublic>,
    random: &mut impl CryptoRng,
) -> Result<(PeriodKey, WrappedKey), WrapError> {
    if nodes.is_empty() {
        return Err(WrapError::Nobody);
    }
    if nodes.len() > NODES_MAX {
        return Err(WrapError::TooMany(nodes.len()));
    }
    let mut secret = Box::new(Zeroizing::new([0; 32]));
    random.fill_bytes(secret.as_mut_slice());
    let mut salt = [0; 16];
    random.fill_bytes(&mut salt);
    let key = PeriodKey::new(place.id(), place.time, secret.clone());
    let commitment = key.commitment();

    let wraps = wraps_for(place, nodes, &secret, &commitment, random);
    let roster = place.roster_hash;
    Ok((key, WrappedKey { salt, suite: SUITE, roster, commitment, wraps, extension: vec![] }))
}

/// One wrap a node, in order of node, and as many for nobody as hide how many those are.
fn wraps_for(
    place: &KeyPlace,
    nodes: &BTreeMap<NodeKey, SealingPublic>,
    secret: &[u8; 32],
    commitment: &[u8; 32],
    random: &mut impl CryptoRng,
) -> Vec<u8> {
    let count = padded(nodes.len());
    let mut wraps = Vec::with_capacity(count * WRAP_LEN);
    for (node, public) in nodes {
        wraps.extend_from_slice(&encapsulate(public, &place.info(node), secret, commitment, random));
    }
    // Real ones, since random bytes can be told from a wrap: half of all are no point, and ML-KEM's numbers are not uniform.
    for _ in nodes.len()..count {
        let nobody = SealingPublic::nobody(random);
        let info = place.info(&NodeKey::ZERO);
        wraps.extend_from_slice(&encapsulate(&nobody, &info, &[0; 32], commitment, random));
    }
    wraps
}

/// Wraps a key once more, for nodes that its own record was not wrapped for. `wrap` is one of this node's, which its key opens.
/// Costs as much as [`wrap`](wrap()).
///
/// # Errors
/// [`AgainError`].
pub fn wrap_again(
    place: &KeyPlace,
    body: &WrappedKey,
    (node, key, wrap): (&NodeKey, &SealingKey, &[u8]),
    nodes: &BTreeMap<NodeKey, SealingPublic>,
    random: &mut impl CryptoRng,
) -> Result<Vec<u8>, AgainError> {
    match nodes.len() {
        0 => return Err(WrapError::Nobody.into()),
        1..=NODES_MAX => {}
        more => return Err(WrapError::TooMany(more).into()),
    }
    let secret = secret_in(place, body, node, key, wrap).ok_or(UnwrapError::Closed)?;
    Ok(wraps_for(place, nodes, &secret, &body.commitment, random))
}

/// Why a key is not wrapped once more.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AgainError {
    /// This node does not open it itself.
    #[error(transparent)]
    Unwrap(#[from] UnwrapError),
    /// There are none, or too many, to wrap it for.
    #[error(transparent)]
    Wrap(#[from] WrapError),
}

/// Why no key comes of a key record.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UnwrapError {
    /// It is of a suite that this node does not know: newer than it.
    #[error("a key of suite {0} is newer than this node")]
    Suite(u8),
    /// Its wraps are no number of wraps that an author writes: the author's fault.
    #[error("{0} bytes are no wraps of a key")]
    Length(usize),
    /// Of those that were tried none opens: they are not this node's, or for another place, or broken. Which, nobody is told.
    #[error("none of the wraps that were tried opens")]
    Closed,
}

/// Opens this node's wrap, and tells which it was. `near` is its place among the record keys of all nodes that it takes for the circle's, in order; where
/// the author knew others, its wrap stands beside, so that the nearest `tries` are tried, each at some 180 us.
///
/// # Errors
/// [`UnwrapError`].
pub fn unwrap(
    place: &KeyPlace,
    body: &WrappedKey,
    node: &NodeKey,
    key: &SealingKey,
    near: usize,
    tries: usize,
) -> Result<(PeriodKey, usize), UnwrapError> {
    if body.suite != SUITE {
        return Err(UnwrapError::Suite(body.suite));
    }
    let (wraps, []) = body.wraps.as_chunks::<WRAP_LEN>() else {
        return Err(UnwrapError::Length(body.wraps.len()));
    };
    if wraps.len() > NODES_MAX || padded(wraps.len()) != wraps.len() {
        return Err(UnwrapError::Length(body.wraps.len()));
    }
    let mut tried = outward(near, wraps.len()).take(tries);
    tried
        .find_map(|at| Some((unwrap_one(place, body, node, key, &wraps[at]).ok()?, at)))
        .ok_or(UnwrapError::Closed)
}

/// Opens one wrap that is known to be this node's.
///
/// # Errors
/// [`UnwrapError`].
pub fn unwrap_one(
    place: &KeyPlace,
    body: &WrappedKey,
    node: &NodeKey,
    key: &SealingKey,
    wrap: &[u8],
) -> Result<PeriodKey, UnwrapError> {
    if body.suite != SUITE {
        return Err(UnwrapError::Suite(body.suite));
    }
    let secret = secret_in(place, body, node, key, wrap).ok_or(UnwrapError::Closed)?;
    Ok(PeriodKey::new(place.id(), place.time, secret))
}

/// The secret that a period's keys come of.
fn secret_in(
    place: &KeyPlace,
    body: &WrappedKey,
    node: &NodeKey,
    key: &SealingKey,
    wrap: &[u8],
) -> Option<Box<Zeroizing<[u8; 32]>>> {
    let opened = decapsulate(key, &place.info(node), wrap, &body.commitment)?;
    let mut secret = Box::new(Zeroizing::new([0; 32]));
    (opened.len() == secret.len()).then(|| secret.copy_from_slice(&opened))?;
    // Two members with two keys would read two different bodies, or one of them none.
    let key = PeriodKey::new(place.id(), place.time, secret.clone());
    (key.commitment() == body.commitment).then_some(secret)
}

/// How many wraps stand in the record of a key for so many nodes.
pub(crate) fn padded(nodes: usize) -> usize {
    nodes.next_power_of_two().max(FEWEST)
}

/// All places below `count`, from the nearest to the farthest.
fn outward(near: usize, count: usize) -> impl Iterator<Item = usize> {
    let near = near.min(count.saturating_sub(1));
    let beside = (1..count).flat_map(move |far| [near.checked_add(far), near.checked_sub(far)]);
    std::iter::once(Some(near)).chain(beside).flatten().filter(move |at| *at < count)
}

pub(crate) fn encapsulate(
    public: &SealingPublic,
    info: &[u8],
    secret: &[u8],
    commitment: &[u8],
    random: &mut impl CryptoRng,
) -> Vec<u8> {
    let (encapsulated, sealed) = hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeS::Base,
        public.inner(),
        info,
        secret,
        commitment,
        random,
    )
    .expect("X-Wing encapsulates to every key, and the first message of a context is sealed");
    [&encapsulated.to_bytes()[..], &sealed].concat()
}

pub(crate) fn decapsulate(
    key: &SealingKey,
    info: &[u8],
    wrap: &[u8],
    commitment: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let (encapsulated, sealed) = wrap.split_at_checked(ENCAPSULATED)?;
    let encapsulated = <XWing as Kem>::EncappedKey::from_bytes(encapsulated).ok()?;
    let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeR::Base,
        key.private(),
        &encapsulated,
        info,
        sealed,
        commitment,
    );
    opened.ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng as _;
    use tocsin_record::testing;

    use super::*;

    /// An author who wraps one key for one member and another for the next, and commits to the first in both wraps.
    #[test]
    fn a_key_that_the_record_does_not_commit_to_is_refused() {
        let log = testing::log(&testing::secret(1));
        let roster_hash = DocHash([6; 32]);
        let place = KeyPlace { log, seq: 1, time: testing::START_MS, roster: 5, roster_hash };
        let secret = SealingKey::from_seed(&[3; 32]);
        let (node, mut random) = (NodeKey([3; 32]), ChaCha20Rng::seed_from_u64(1));
        let (_, mut body) = wrap(&place, &BTreeMap::from([(node, secret.public())]), &mut random).unwrap();
        let info = place.info(&node);
        let other = encapsulate(&secret.public(), &info, &[9; 32], &body.commitment, &mut random);
        assert!(decapsulate(&secret, &info, &other, &body.commitment).is_some(), "the wrap itself opens");
        body.wraps[..WRAP_LEN].copy_from_slice(&other);
        assert_eq!(unwrap(&place, &body, &node, &secret, 0, 1).err(), Some(UnwrapError::Closed));
    }

    #[test]
    fn places_are_tried_from_the_nearest_on() {
        let order = |near, count| outward(near, count).collect::<Vec<_>>();
        assert_eq!(order(2, 8), [2, 3, 1, 4, 0, 5, 6, 7]);
        assert_eq!(order(0, 3), [0, 1, 2]);
        assert_eq!(order(usize::MAX, 3), [2, 1, 0]);
        assert_eq!(order(0, 1), [0]);
        for near in 0..16 {
            let mut all = order(near, 16);
            all.sort_unstable();
            assert_eq!(all, (0..16).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_number_of_wraps_tells_little() {
        let counts =
            [(1, 8), (8, 8), (9, 16), (16, 16), (17, 32), (64, 64), (65, 128), (129, 256), (256, 256)];
        for (nodes, wraps) in counts {
            assert_eq!(padded(nodes), wraps);
        }
    }
}
