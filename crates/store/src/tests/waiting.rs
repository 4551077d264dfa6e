//! Readers while the disk takes its time: they go on with what is committed, and wait for no sync. And the writer while
//! readers take theirs.
//!
//! The disk stands still in its sync until the test lets it go on, so that this is no matter of speed.
#![expect(clippy::disallowed_methods, reason = "a test compares how long two things take")]

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tocsin_record::OrgId;
use tocsin_record::body::report::Subject;

use super::second::RealKv;
use super::{Author, CIRCLE, MESH, accepted, random};
use crate::faulty::{FaultyKv, FaultySlots};
use crate::kv::{Batch, Fault, Kv, Look};
use crate::{Reader, RecordRef, Stamped, Store};

on_both! { readers_wait_for_no_sync }

/// A reader that did not answer by then waits for the disk.
const LONG: Duration = Duration::from_secs(20);

/// The disk's side: says that a sync began, and waits to be let go.
struct Held {
    began: SyncSender<()>,
    go: Receiver<()>,
}

/// A map whose next sync stands still once it is told to.
struct SlowKv<K> {
    kv: K,
    next: Arc<Mutex<Option<Held>>>,
}

impl<K: Kv> Kv for SlowKv<K> {
    type Prepared = K::Prepared;

    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        self.kv.get(key)
    }

    fn range(&self, from: &[u8], to: &[u8], visit: Look<'_>) -> Result<(), Fault> {
        self.kv.range(from, to, visit)
    }

    fn prepare(&self, batch: &Batch) -> Result<K::Prepared, Fault> {
        self.kv.prepare(batch)
    }

    fn publish(&self, prepared: K::Prepared) -> Result<(), Fault> {
        self.kv.publish(prepared)
    }

    fn flush(&self) -> Result<(), Fault> {
        let held = self.next.lock().unwrap().take();
        if let Some(held) = held {
            held.began.send(()).unwrap();
            // An end of the test lets it go as well.
            let _ = held.go.recv();
        }
        self.kv.flush()
    }

    fn disk_size(&self) -> Result<u64, Fault> {
        self.kv.disk_size()
    }
}

fn readers_wait_for_no_sync<K: RealKv>() {
    let dir = tempfile::tempdir().unwrap();
    let next = Arc::new(Mutex::new(None));
    let kv = SlowKv { kv: K::open_in(dir.path()).unwrap(), next: Arc::clone(&next) };
    let slots = Arc::new(FaultySlots::new(1));
    let mut store =
        Store::open(Arc::new(kv), slots, MESH, random(1), tocsin_seal::Opener::none(), &mut |_| {}).unwrap();
    let mut author = Author::new(1);
    let log = store.open_log(&author.log, author.org).unwrap();
    let before = author.report(1, "known before");
    store.append(log, &before, None, &[accepted(5)]).unwrap();
    store.commit().unwrap();
    let after = author.report(2, "on its way to the disk");
    store.append(log, &after, None, &[accepted(6)]).unwrap();

    let reader = store.reader();
    let (began, begins) = sync_channel(1);
    let (go, waits) = sync_channel(1);
    *next.lock().unwrap() = Some(Held { began, go: waits });
    let writer = std::thread::spawn(move || store.commit().map(|committed| committed.tips.len()));
    begins.recv_timeout(LONG).expect("the commit syncs");

    let (answer, answers) = sync_channel(1);
    let asking = reader.clone();
    std::thread::spawn(move || {
        let known = asking.record(RecordRef { log, seq: 1 }).unwrap();
        let late = asking.outcome(RecordRef { log, seq: 2 });
        let tip = asking.log(log).unwrap().tip;
        // The test is over where nobody listens.
        let _ = answer.send((known.is_some(), late.is_some(), tip.seq, asking.disk_size().unwrap() > 0));
    });
    let answered = answers.recv_timeout(LONG);
    assert!(!writer.is_finished(), "the sync stands still while readers ask");
    go.send(()).unwrap();
    assert_eq!(writer.join().unwrap().unwrap(), 1);
    let (known, late, tip, sized) = answered.expect("a reader waits for the disk");
    assert!(known && sized, "what is committed is read meanwhile");
    assert_eq!((late, tip), (false, 1), "what is not on the disk is not shown yet");
    assert!(reader.outcome(RecordRef { log, seq: 2 }).is_some(), "and is once it is");
}

type Walk = fn(&Reader<FaultyKv, FaultySlots>, OrgId, Subject);

/// A report of very many versions is looked at a little at a time: the writer gets in between.
#[test]
fn the_writer_waits_for_no_walk_over_a_report() {
    const PLACES: u64 = 300_000;
    let (org, subject) = (OrgId([1; 32]), Subject([1; 16]));
    let (kv, slots) = (Arc::new(FaultyKv::new(1)), Arc::new(FaultySlots::new(1)));
    let mut store =
        Store::open(kv, slots, MESH, random(1), tocsin_seal::Opener::none(), &mut |_| {}).unwrap();
    let log = store.open_log(&Author::new(1).log, org).unwrap();
    {
        let mut state = store.shared.state_mut();
        for seq in 1..=PLACES {
            state.add_report(org, subject, RecordRef { log, seq });
        }
        state.set(RecordRef { log, seq: 1 }, PLACES, Stamped { arrival: 1, outcome: accepted(1) });
        state.log_mut(log).unwrap().published.seq = PLACES;
    }
    let reader = store.reader();
    assert_eq!(reader.copies(org, subject).len() as u64, PLACES);
    let walks: [Walk; 3] = [
        |reader, org, subject| drop(reader.copies(org, subject)),
        |reader, org, subject| drop(reader.circles_of(org, subject)),
        |reader, org, subject| drop(reader.versions(org, CIRCLE, subject).unwrap()),
    ];
    for (n, walk) in walks.into_iter().enumerate() {
        // Under one lock it would be half a walk each time; a machine that is busy makes it so once.
        let mut waits = Vec::new();
        let short = (0..5).any(|_| {
            let (walk, wait) = waited(&store, || walk(&reader, org, subject));
            waits.push((walk, wait));
            wait < walk / 10
        });
        assert!(short, "walk {n}: how long it takes, and how long the writer waits: {waits:?}");
    }
}

/// How long a walk takes that goes on all the time, and how long the writer waits meanwhile, each in the middle.
fn waited(store: &Store<FaultyKv, FaultySlots>, walk: impl Fn() + Sync) -> (Duration, Duration) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let walking = scope.spawn(|| {
            let (begun, mut count) = (Instant::now(), 0);
            while !done.load(Relaxed) {
                walk();
                count += 1;
            }
            begun.elapsed() / count
        });
        let mut waits: Vec<Duration> = (0..60)
            .map(|_| {
                std::thread::sleep(Duration::from_millis(1));
                let asked = Instant::now();
                drop(store.shared.state_mut());
                asked.elapsed()
            })
            .collect();
        done.store(true, Relaxed);
        let walk = walking.join().unwrap();
        waits.sort_unstable();
        (walk, waits[30])
    })
}
