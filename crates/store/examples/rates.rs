//! How fast the store takes records on this machine, and how much disk they take.
//!
//! `cargo run --release -p tocsin-store --example rates -- DIR [RECORDS]`: a catch-up of RECORDS (default a million)
//! by 20 authors in pages of 448, reopening, and 20,000 records that come singly. Prints one line each; asserts nothing.
#![expect(clippy::disallowed_methods, reason = "a measurement needs a clock")]

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tocsin_record::keys::Secret;
use tocsin_record::run::{Draft, Run, Verified};
use tocsin_record::{CircleId, LogKey, MeshId, NodeKey, OrgId, Tip, body, page};
use tocsin_store::{Bodies, BodyState, LogNo, Outcome, RecordRef, Verdict, open_dir};

const MESH: MeshId = MeshId([7; 32]);
const BODY: usize = 335;

struct Author {
    secret: Secret,
    log: LogKey,
    tip: Tip,
    dice: u64,
}

impl Author {
    fn new(n: u8) -> Self {
        let secret = Secret::from_seed(&[n; 32]);
        let author = NodeKey(secret.public());
        let log = LogKey { mesh: MESH, author, circle: CircleId([8; 32]), epoch: 1 };
        Self { secret, log, tip: Tip::default(), dice: u64::from(n) << 32 | 1 }
    }

    /// Half random, half words: what zstd 1 at most halves.
    fn body(&mut self) -> Bytes {
        let mut body = Vec::with_capacity(BODY);
        while body.len() < BODY / 2 {
            self.dice =
                self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            body.extend_from_slice(&(self.dice >> 16).to_be_bytes()[2..]);
        }
        let words = b" seen in phishing against payroll departments; infrastructure shared with earlier campaigns, block and report";
        body.extend(words.iter().cycle().take(BODY - body.len()));
        body.into()
    }

    fn sign(&mut self, count: usize) -> Verified {
        let drafts = (0..count).map(|_| Draft {
            kind: body::REPORT,
            tlp: 2,
            flags: 0,
            time: 1_700_000_000_000 + self.tip.seq * 5,
            expires: 1_800_000_000_000 + self.tip.seq,
            roster: 1,
            extension: Vec::new(),
            body: Bytes::new(),
        });
        let mut drafts: Vec<_> = drafts.collect();
        for draft in &mut drafts {
            draft.body = self.body();
        }
        let run = Run::sign(&self.secret, self.log, self.tip, drafts).expect("drafts are in bounds");
        self.tip = run.tip();
        run.verify().expect("just signed")
    }
}

fn outcome(received: u64) -> Outcome {
    Outcome { verdict: Verdict::Accepted, body: BodyState::Here, rule: 1, from: 1, received }
}

fn random(seed: u64) -> tocsin_store::Random {
    let mut state = seed;
    Box::new(move |bytes| {
        for byte in bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (state >> 56) as u8;
        }
    })
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

/// Processor time of this thread: a shared machine's wall clock says more about its neighbours.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(stat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or(0))
}

fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    line.unwrap_or_default()
        .split_whitespace()
        .nth(1)
        .and_then(|kb| kb.parse::<u64>().ok())
        .map_or(String::from("?"), |kb| format!("{} MB resident", kb >> 10))
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().expect("usage: rates DIR [RECORDS]");
    let records: usize = arguments.next().map_or(1_000_000, |n| n.parse().expect("a number of records"));
    let dir = Path::new(&dir);
    let (bulk, live) = (dir.join("bulk"), dir.join("live"));
    for dir in [&bulk, &live] {
        let _ = std::fs::remove_dir_all(dir);
    }

    let mut authors: Vec<Author> = (1..=20).map(Author::new).collect();
    let mut store =
        open_dir(&bulk, MESH, random(1), tocsin_seal::Opener::none(), &mut |_| {}).expect("opens");
    let logs: Vec<LogNo> =
        authors.iter().map(|a| store.open_log(&a.log, OrgId([1; 32])).expect("a new log")).collect();
    store.commit().expect("commits");
    let (mut done, mut value, mut staged) = (0, 0, 0);
    let mut spent = Duration::ZERO;
    let mut ids = Vec::new();
    while done < records {
        let who = (done / 448) % authors.len();
        let mut run = authors[who].sign(64).into_run();
        for _ in 1..7 {
            run = run.join(authors[who].sign(64).into_run()).expect("follows");
        }
        let run = run.verify().expect("signed");
        let packed = page::pack(&page::encode(&run));
        value += run.entries().iter().map(|e| 212 + e.header.body_len as usize).sum::<usize>();
        ids.push(run.entries()[17].id);
        done += run.entries().len();
        let outcomes = vec![outcome(1_700_000_000_000); run.entries().len()];
        let begin = cpu();
        store.append(logs[who], &run, Some(&packed), &outcomes).expect("appends");
        staged += packed.len();
        if staged > 2 << 20 {
            store.commit().expect("commits");
            staged = 0;
        }
        spent += cpu() - begin;
    }
    let begin = cpu();
    store.commit().expect("commits");
    spent += cpu() - begin;
    println!(
        "catch-up: {:.0} k records/s of processor time, {}",
        done as f64 / spent.as_secs_f64() / 1e3,
        resident()
    );
    println!("catch-up: disk {:.2} of the value", du(&bulk) as f64 / value as f64);
    let reader = store.reader();
    let begin = cpu();
    for id in ids.iter().rev().step_by(ids.len() / 200 + 1) {
        assert!(reader.find(id).expect("reads").is_some());
    }
    println!("find by id: {:.2} ms", (cpu() - begin).as_secs_f64() * 1e3 / ids.len().min(200) as f64);
    let begin = cpu();
    let mut sent = 0;
    for &log in &logs {
        sent += reader.runs(log, 1, usize::MAX, &mut Bodies::All).expect("reads").len();
    }
    println!(
        "serve as it is: {:.0} k records/s ({sent} runs)",
        done as f64 / (cpu() - begin).as_secs_f64() / 1e3
    );
    let begin = cpu();
    sent = 0;
    let mut tenth = Bodies::Where(&mut |place: RecordRef, _| !place.seq.is_multiple_of(10));
    for &log in &logs {
        sent += reader.runs(log, 1, usize::MAX, &mut tenth).expect("reads").len();
    }
    println!(
        "serve without every tenth: {:.0} k records/s ({sent} runs)",
        done as f64 / (cpu() - begin).as_secs_f64() / 1e3
    );
    drop((store, reader));
    let begin = cpu();
    let mut seen = 0;
    let store = open_dir(&bulk, MESH, random(2), tocsin_seal::Opener::none(), &mut |found| {
        seen += usize::from(found.body.is_some())
    })
    .expect("opens");
    println!("reopen: {:.2} s for {seen} records, {}", (cpu() - begin).as_secs_f64(), resident());
    drop(store);

    let mut store =
        open_dir(&live, MESH, random(3), tocsin_seal::Opener::none(), &mut |_| {}).expect("opens");
    let mut times = Vec::new();
    let mut value = 0;
    for n in 0..20_000u64 {
        let author = &mut authors[(n % 5) as usize];
        author.tip = if n < 5 { Tip::default() } else { author.tip };
        let run = author.sign(1);
        let log = store.open_log(&author.log, OrgId([1; 32])).expect("a log");
        value += run.entries().iter().map(|e| 212 + e.header.body_len as usize).sum::<usize>();
        let begin = Instant::now();
        store.append(log, &run, None, &[outcome(1_700_000_000_000 + n * 5)]).expect("appends");
        store.commit().expect("commits");
        times.push(begin.elapsed());
        if n.is_multiple_of(4) {
            store.idle().expect("idles");
        }
    }
    times.sort_unstable();
    let at = |share: f64| times[(times.len() as f64 * share) as usize].as_secs_f64() * 1e6;
    println!(
        "live: append and commit p50 {:.0} us, p99 {:.0} us, p99.9 {:.0} us",
        at(0.5),
        at(0.99),
        at(0.999)
    );
    println!("live: disk {:.2} of the value, {}", du(&live) as f64 / value as f64, resident());
}
