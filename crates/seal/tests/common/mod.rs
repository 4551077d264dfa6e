//! A circle of nodes, and the key that its author made for it.
#![allow(dead_code, reason = "each test program uses some of it")]

use std::collections::BTreeMap;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use tocsin_record::body::{self, Body, WrappedKey};
use tocsin_record::header::body_hash;
use tocsin_record::testing::{self, START_MS};
use tocsin_record::{Class, DocHash, Header, NodeKey, RecordId};
use tocsin_seal::{DAY_MS, KeyPlace, PeriodKey, SealingKey, SealingPublic, unwrap, wrap};

/// A generator of a seed, which only tests have.
pub fn random(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// The nodes of a circle and the body of a key record for them.
pub struct Circle {
    pub nodes: BTreeMap<NodeKey, SealingPublic>,
    pub place: KeyPlace,
    pub body: WrappedKey,
    author: PeriodKey,
    seed: u64,
}

impl Circle {
    pub fn new(nodes: u8) -> Self {
        Self::seeded(nodes, 1)
    }

    pub fn seeded(count: u8, seed: u64) -> Self {
        let nodes: BTreeMap<_, _> = (0..count).map(|node| (name(node), secret(node).public())).collect();
        let place = place();
        let (author, body) = wrap(&place, &nodes, &mut random(seed)).unwrap();
        Self { nodes, place, body, author, seed }
    }

    /// The author's key, as it was made.
    pub fn author(&self) -> PeriodKey {
        PeriodKey::from_bytes(&self.author.to_bytes()).unwrap()
    }

    /// The key as a node finds it.
    pub fn opened(&self, node: u8) -> Option<PeriodKey> {
        let near = self.nodes.keys().take_while(|key| **key < name(node)).count();
        unwrap(&self.place, &self.body, &name(node), &secret(node), near, 1).ok().map(|(key, _)| key)
    }

    pub fn random(&self) -> ChaCha20Rng {
        random(self.seed + 100)
    }
}

/// The sealing key of a node.
pub fn secret(node: u8) -> SealingKey {
    SealingKey::from_seed(&[node; 32])
}

/// The record key of a node, in the order of their numbers.
pub fn name(node: u8) -> NodeKey {
    NodeKey([node; 32])
}

/// The first record of a log.
pub fn place() -> KeyPlace {
    let log = testing::log(&testing::secret(1));
    KeyPlace { log, seq: 1, time: START_MS, roster: 5, roster_hash: DocHash([6; 32]) }
}

/// A time on a day of the period.
pub fn at(day: u16) -> u64 {
    START_MS + u64::from(day) * DAY_MS
}

/// A report, encoded.
pub fn body() -> Vec<u8> {
    Body::Report(testing::report(1)).encode()
}

/// The header of that report, with nothing sealed.
pub fn header(seq: u64, time: u64) -> Header {
    let log = place().log;
    Header {
        suite: 0,
        class: Class::Content,
        kind: body::REPORT,
        tlp: 2,
        flags: 3,
        mesh: log.mesh,
        author: log.author,
        circle: log.circle,
        epoch: log.epoch,
        seq,
        prev: RecordId([7; 32]),
        time,
        expires: 0,
        roster: 5,
        extension: vec![],
        body_len: 0,
        body_hash: body_hash(b""),
    }
}
