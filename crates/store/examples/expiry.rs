//! What records that end together cost: how long the owner's thread is held, who waits for whom, and how much disk they
//! leave behind.
//!
//! `cargo run --release -p tocsin-store --example expiry -- DIR [RECORDS] [SPREAD]`: RECORDS (default 100,000) small
//! records of one org that come singly and end within SPREAD seconds (default 0: all at once), and 100 of each of four
//! others that end with its first. A clock ticks once a second, as the node's does, and works without a break
//! while more is due. Prints one line each; asserts nothing.
#![expect(clippy::disallowed_methods, reason = "a measurement needs a clock")]

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tocsin_record::keys::Secret;
use tocsin_record::run::{Draft, Run, Verified};
use tocsin_record::{CircleId, LogKey, MeshId, NodeKey, OrgId, Tip, body};
use tocsin_store::{BodyState, Outcome, RecordRef, Verdict, open_dir};

const MESH: MeshId = MeshId([7; 32]);
/// When the first records end, in ms.
const END: u64 = 1_800_000_000_000;
/// Records of each of the orgs that have few.
const FEW: u64 = 100;
/// As the protocol's tick has it.
const SLICE: usize = 128 << 10;

struct Author {
    secret: Secret,
    log: LogKey,
    org: OrgId,
    tip: Tip,
    dice: u64,
}

impl Author {
    fn new(n: u8) -> Self {
        let secret = Secret::from_seed(&[n; 32]);
        let author = NodeKey(secret.public());
        let log = LogKey { mesh: MESH, author, circle: CircleId([8; 32]), epoch: 1 };
        Self { secret, log, org: OrgId([n; 32]), tip: Tip::default(), dice: u64::from(n) << 32 | 1 }
    }

    fn body(&mut self) -> Bytes {
        let mut body = Vec::with_capacity(150);
        while body.len() < 150 {
            self.dice =
                self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            body.extend_from_slice(&(self.dice >> 16).to_be_bytes()[2..]);
        }
        body.into()
    }

    fn sign(&mut self, count: usize, expires: u64) -> Verified {
        let bodies: Vec<Bytes> = (0..count).map(|_| self.body()).collect();
        let drafts = bodies.into_iter().map(|body| Draft {
            kind: body::REPORT,
            tlp: 2,
            flags: 0,
            time: 1_700_000_000_000 + self.tip.seq,
            expires,
            roster: 1,
            extension: Vec::new(),
            body,
        });
        let run =
            Run::sign(&self.secret, self.log, self.tip, drafts.collect()).expect("drafts are in bounds");
        self.tip = run.tip();
        run.verify().expect("just signed")
    }
}

fn du(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => du(&entry.path()),
            Ok(meta) => meta.blocks() * 512,
            Err(_) => 0,
        })
        .sum()
}

fn mib(bytes: u64) -> u64 {
    bytes >> 20
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().expect("usage: expiry DIR [RECORDS] [SPREAD]");
    let records: u64 = arguments.next().map_or(100_000, |n| n.parse().expect("a number of records"));
    let spread: u64 = arguments.next().map_or(0, |n| n.parse().expect("seconds"));
    let dir = Path::new(&dir);
    let _ = std::fs::remove_dir_all(dir);
    let mut state = 1u64;
    let random: tocsin_store::Random = Box::new(move |bytes| {
        for byte in bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (state >> 56) as u8;
        }
    });
    let mut store = open_dir(dir, MESH, random, tocsin_seal::Opener::none(), &mut |_| {}).expect("opens");
    let mut authors: Vec<Author> = (1..=5).map(Author::new).collect();
    let outcome =
        Outcome { verdict: Verdict::Accepted, body: BodyState::Here, rule: 1, from: 1, received: END - 1 };
    // The org with many comes first in every order.
    let turns = std::iter::repeat_n(0, records as usize)
        .chain((1..5).flat_map(|who| std::iter::repeat_n(who, FEW as usize)));
    for (n, who) in turns.enumerate() {
        let author = &mut authors[who];
        let log = store.open_log(&author.log, author.org).expect("a log");
        let ends = if who == 0 { END + n as u64 * spread * 1000 / records } else { END };
        let run = author.sign(1, ends);
        store.append(log, &run, None, &vec![outcome; run.entries().len()]).expect("appends");
        if n % 16 == 0 {
            store.commit().expect("commits");
            while store.idle().expect("idles") {}
        }
    }
    store.commit().expect("commits");
    while store.idle().expect("idles") {}
    let reader = store.reader();
    println!("{} records, disk {} MiB", reader.counts().records, mib(du(dir)));

    let few: Vec<RecordRef> = authors[1..]
        .iter()
        .map(|author| RecordRef { log: store.log_no(&author.log).expect("known"), seq: author.tip.seq })
        .collect();
    let (mut held, mut waited, mut highest) = (Vec::new(), None, 0);
    let mut now = END - 1000;
    while store.next_expiry().is_some() {
        now += 1000;
        loop {
            let one = Instant::now();
            let more = store.expire(now, SLICE).expect("expires").more;
            store.commit().expect("commits");
            held.push(one.elapsed());
            store.idle().expect("idles");
            if !more {
                break;
            }
        }
        let gone = |place: &RecordRef| {
            matches!(reader.outcome(*place).map(|at| at.outcome.body), Some(BodyState::Gone(_)))
        };
        if waited.is_none() && few.iter().all(gone) {
            waited = Some(((now - END) / 1000, held.len()));
        }
        highest = highest.max(du(dir));
    }
    let spent: Duration = held.iter().sum();
    println!(
        "{} bodies erased in {} slices, {:.1} s of work, {} s by the clock after the last ended; the other orgs' after {waited:?} s, slices",
        reader.counts().gone,
        held.len(),
        spent.as_secs_f64(),
        (now - END) as i64 / 1000 - spread as i64,
    );
    held.sort_unstable();
    let at = |share: f64| held[((held.len() - 1) as f64 * share) as usize];
    println!("a slice holds the thread for p50 {:?}, p99 {:?}, at most {:?}", at(0.5), at(0.99), at(1.0));
    println!("disk at most {} MiB, at the end {} MiB", mib(highest.max(du(dir))), mib(du(dir)));
    while store.idle().expect("idles") {}
    println!("disk when nothing is left to do {} MiB", mib(du(dir)));
    for name in ["values", "sled", "journal", "keys"] {
        let path = dir.join(name);
        let bytes = if path.is_dir() { du(&path) } else { path.metadata().map_or(0, |meta| meta.len()) };
        println!("  {name}: {} MiB", mib(bytes));
    }
}
