//! Tests of the whole store, over faulty seams on each of two real maps: sled's and the second one.

/// Makes of each test of any map one on sled and one on redb.
macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod sled {
            $(#[test] fn $test() { super::$test::<crate::DiskKv>(); })*
        }
        mod redb {
            $(#[test] fn $test() { super::$test::<crate::tests::second::RedbKv>(); })*
        }
    };
}

mod basics;
mod crashes;
mod damage;
mod disk;
mod erasure;
mod full;
mod grinding;
mod power;
mod second;
mod snapshot;
mod waiting;

use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;
use tocsin_record::keys::Secret;
use tocsin_record::run::{Draft, Run, Verified};
use tocsin_record::{CircleId, LogKey, MeshId, NodeKey, OrgId, Tip, body};

use self::second::RealKv;
use crate::faulty::{FaultyKv, FaultySlots};
use crate::{BodyState, Outcome, Store, StoreError, Verdict, Visit};

pub const MESH: MeshId = MeshId([7; 32]);
pub const CIRCLE: CircleId = CircleId([8; 32]);

pub type TestStore<K> = Store<FaultyKv<K>, FaultySlots>;

/// SplitMix64.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }
}

/// Random bytes of a seed, as the machine's generator would give them.
pub fn random(seed: u64) -> crate::Random {
    let mut dice = Dice(seed);
    Box::new(move |bytes| {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&dice.roll().to_le_bytes()[..chunk.len()]);
        }
    })
}

/// A map on a real disk under faults, which is opened again with each store, and slots in memory.
pub struct Disk<K> {
    dir: TempDir,
    kv: Option<FaultyKv<K>>,
    pub slots: FaultySlots,
    opens: u64,
}

impl<K: RealKv> Disk<K> {
    pub fn new(seed: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir, kv: None, slots: FaultySlots::new(seed), opens: seed * 1000 }
    }

    /// The map, as it was opened last.
    pub fn kv(&self) -> &FaultyKv<K> {
        self.kv.as_ref().unwrap()
    }

    pub fn open(&mut self) -> TestStore<K> {
        self.open_seeing(&mut |_| {}).unwrap()
    }

    /// Nobody reads from the store before it any more.
    pub fn open_seeing(&mut self, visit: Visit<'_>) -> Result<TestStore<K>, StoreError> {
        self.opens += 1;
        // Closed before it is opened.
        self.kv = None;
        let kv = FaultyKv::over(K::open_in(self.dir.path())?, self.opens);
        self.kv = Some(kv.clone());
        Store::open(
            Arc::new(kv),
            Arc::new(self.slots.clone()),
            MESH,
            random(self.opens),
            tocsin_seal::Opener::none(),
            visit,
        )
    }

    pub fn crash(&self) {
        self.kv().crash();
        self.slots.crash();
    }
}

/// An author with one log.
pub struct Author {
    secret: Secret,
    pub log: LogKey,
    pub org: OrgId,
    pub tip: Tip,
    salt: u64,
}

impl Author {
    pub fn new(n: u8) -> Self {
        let secret = Secret::from_seed(&[n; 32]);
        let author = NodeKey(secret.public());
        let log = LogKey { mesh: MESH, author, circle: CIRCLE, epoch: 1 };
        Self { secret, log, org: OrgId([n; 32]), tip: Tip::default(), salt: u64::from(n) << 32 }
    }

    /// A body that reads like a report's beginning: salt, subject, no version before, text.
    pub fn body(&mut self, subject: u64, text: &str) -> Bytes {
        self.salt += 1;
        let mut dice = Dice(self.salt);
        let mut body = [dice.roll().to_be_bytes(), dice.roll().to_be_bytes(), [0; 8]].concat();
        body.extend_from_slice(&subject.to_be_bytes());
        body.push(0);
        body.extend_from_slice(text.as_bytes());
        body.into()
    }

    pub fn sign(&mut self, kind: u16, bodies: Vec<(Bytes, u64)>) -> Verified {
        let drafts = bodies.into_iter().map(|(body, expires)| Draft {
            kind,
            tlp: if kind == body::REPORT { 2 } else { 0 },
            flags: 0,
            time: 1_000_000 + self.tip.seq,
            expires,
            roster: 1,
            extension: Vec::new(),
            body,
        });
        let run = Run::sign(&self.secret, self.log, self.tip, drafts.collect()).unwrap();
        self.tip = run.tip();
        run.verify().unwrap()
    }

    pub fn report(&mut self, subject: u64, text: &str) -> Verified {
        let body = self.body(subject, text);
        self.sign(body::REPORT, vec![(body, 0)])
    }

    /// Many runs joined, as they come in a catch-up.
    pub fn long(&mut self, count: u64, text: &str) -> Verified {
        let mut joined: Option<Run> = None;
        let mut left = count;
        while left > 0 {
            let now = left.min(64);
            left -= now;
            let bodies = (0..now).map(|n| (self.body(1 << 40 | left << 8 | n, text), 0)).collect();
            let run = self.sign(body::REPORT, bodies).into_run();
            joined = Some(match joined {
                None => run,
                Some(before) => before.join(run).unwrap(),
            });
        }
        joined.unwrap().verify().unwrap()
    }
}

pub fn accepted(received: u64) -> Outcome {
    Outcome { verdict: Verdict::Accepted, body: BodyState::Here, rule: 0, from: 0, received }
}

pub fn append<K: RealKv>(store: &mut TestStore<K>, author: &Author, run: &Verified) -> crate::Appended {
    let log = store.open_log(&author.log, author.org).unwrap();
    let outcomes = vec![accepted(5); run.entries().len()];
    store.append(log, run, None, &outcomes).unwrap()
}
