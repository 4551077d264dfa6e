//! Retractions without end: what one makes a store read and write is bounded by what it takes back, not by where that lies.

use tocsin_record::body::Body;
use tocsin_record::body::report::Subject;
use tocsin_record::body::retraction::{Retraction, Version};
use tocsin_record::run::Entry;
use tocsin_record::{RecordId, body};

use super::*;
use crate::RecordRef;

on_both! {
    versions_that_are_not_here_are_over_without_a_look_at_their_pages,
    a_report_that_was_taken_back_is_not_looked_for_again,
    nobody_has_all_retractions_read_for_each_record,
}

const PAGES: u64 = 6;
/// Enough that they are a page of their own, though no body is in it.
const RECORDS: u64 = 3000;

fn subject(n: u64) -> Subject {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&n.to_be_bytes());
    Subject(id)
}

fn retraction(author: &mut Author, n: u64, versions: Vec<Version>) -> Verified {
    let (salt, extension) = ([1; 16], Vec::new());
    let body = Body::Retraction(Retraction { salt, subject: subject(n), versions, reason: 4, extension });
    author.sign(body::RETRACTION, vec![(body.encode().into(), 0)])
}

/// Bytes on the disk.
fn held<K: RealKv>(disk: &Disk<K>) -> usize {
    disk.kv().dump().iter().map(|(key, value)| key.len() + value.len()).sum()
}

fn named(entry: &Entry) -> Version {
    let header = &entry.header;
    Version { author: header.author, epoch: header.epoch, seq: header.seq, id: entry.id }
}

fn versions_that_are_not_here_are_over_without_a_look_at_their_pages<K: RealKv>() {
    let disk = &mut Disk::<K>::new(1);
    let mut store = disk.open();
    let mut author = Author::new(1);
    let log = store.open_log(&author.log, author.org).unwrap();
    let wanted = Outcome { verdict: Verdict::Unjudged, body: BodyState::Wanted, ..accepted(1) };
    let mut pages = Vec::new();
    for _ in 0..PAGES {
        let run = author.long(RECORDS, "text");
        store.append(log, &run, None, &vec![wanted; run.entries().len()]).unwrap();
        store.commit().unwrap();
        pages.push(run);
    }
    // One of each page in turn. Nothing of them is in memory.
    let versions: Vec<Version> =
        (0..25).flat_map(|n| pages.iter().map(move |run| named(&run.entries()[n * 100]))).collect();
    drop(store);
    let mut store = disk.open();
    let first = RecordRef { log, seq: 0 };
    let before = store.wanted(first, usize::MAX).len();
    let (reads, written) = (disk.kv().reads(), held(disk));
    let run = retraction(&mut author, 1, versions.clone());
    append(&mut store, &author, &run);
    store.commit().unwrap();
    assert_eq!(before - store.wanted(first, usize::MAX).len(), versions.len());
    assert_eq!(disk.kv().reads() - reads, 0, "pages were read for {} versions", versions.len());
    let grown = held(disk) - written;
    assert!(grown < 100_000, "{grown} bytes for {} versions", versions.len());
}

fn a_report_that_was_taken_back_is_not_looked_for_again<K: RealKv>() {
    let disk = &mut Disk::<K>::new(2);
    let mut store = disk.open();
    let mut author = Author::new(1);
    // Many versions in one circle, which retractions in another have nothing to do with.
    for _ in 0..200 {
        let run = author.report(7, "text");
        append(&mut store, &author, &run);
    }
    let (tip, log) = (author.tip, author.log);
    (author.tip, author.log.circle) = (Tip::default(), CircleId([9; 32]));
    store.commit().unwrap();
    let reads = disk.kv().reads();
    for _ in 0..20 {
        let run = retraction(&mut author, 7, Vec::new());
        append(&mut store, &author, &run);
    }
    assert_eq!(disk.kv().reads() - reads, 0);
    // Where they are, they all go, and those that come late as well.
    (author.tip, author.log) = (tip, log);
    for _ in 0..2 {
        let run = retraction(&mut author, 7, Vec::new());
        append(&mut store, &author, &run);
        let run = author.report(7, "text");
        append(&mut store, &author, &run);
    }
    store.commit().unwrap();
    assert_eq!(store.reader().versions(author.org, CIRCLE, subject(7)).unwrap().len(), 0);
}

fn nobody_has_all_retractions_read_for_each_record<K: RealKv>() {
    let disk = &mut Disk::<K>::new(3);
    let mut store = disk.open();
    let mut author = Author::new(1);
    let run = author.report(1, "text");
    let entry = run.entries()[0].clone();
    // Other ids that begin like that of the record: whoever names them writes what it likes.
    let mut id = entry.id;
    id.0[31] ^= 1;
    let false_version = Version { id: RecordId(id.0), ..named(&entry) };
    append(&mut store, &author, &run);
    for n in 0..50 {
        let run = retraction(&mut author, 100 + n, vec![false_version]);
        append(&mut store, &author, &run);
    }
    store.commit().unwrap();
    assert!(store.shared.state().find_named(&entry.id).is_empty());
    assert_eq!(store.taken_back(author.org, &entry).unwrap(), None);
}
