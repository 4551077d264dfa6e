//! Readers while the disk takes its time: they go on with what is committed, and wait for no sync.
//!
//! The disk stands still in its sync until the test lets it go on, so that nothing here is a matter of speed.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::second::RealKv;
use super::{Author, MESH, accepted, random};
use crate::faulty::FaultySlots;
use crate::kv::{Batch, Fault, Kv, Look};
use crate::{RecordRef, Store};

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
    let mut store = Store::open(Arc::new(kv), slots, MESH, random(1), &mut |_| {}).unwrap();
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
