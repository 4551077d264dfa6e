//! Erasure is real: with everything that was ever on the disk and the key file as it is now, the body stays gone.

use std::collections::BTreeMap;

use super::*;
use crate::slots::Slots;
use crate::vault::Form;
use crate::{Expired, LogNo, RecordRef, pages, vault};
use tocsin_record::body::Body;
use tocsin_record::body::retraction::{Retraction, Version};
use tocsin_record::run::Entry;
use tocsin_record::{body, page};

on_both! {
    from_a_page_from_the_tail_and_from_apart,
    of_a_tail_that_an_older_copy_of_the_disk_took_back,
    at_the_end_of_a_record,
    at_the_end_of_a_record_that_is_only_staged,
    what_ends_together_goes_by_org_and_by_page,
    what_is_gone_does_not_end_again,
    the_cache_keeps_no_page_that_was_replaced,
    a_version_that_is_not_here_is_over_when_a_retraction_names_it,
    by_retraction_before_and_after,
    whatever_write_it_is_interrupted_at,
    what_was_said_of_a_decision_goes_with_it,
}

/// Every sealed value that was ever on a disk, under its key: what a log-structured disk keeps long after.
#[derive(Default)]
pub struct Attic(BTreeMap<Vec<u8>, Vec<Bytes>>);

impl Attic {
    pub fn gather<K: RealKv>(&mut self, disk: &Disk<K>) {
        for (key, value) in disk.kv().dump() {
            if vault::parse(&value).is_ok() {
                let values = self.0.entry(key).or_default();
                if !values.contains(&value) {
                    values.push(value);
                }
            }
        }
    }

    /// How many of the values open, with the key of any slot, to something that holds `text`.
    pub fn opens_to<K: RealKv>(&self, disk: &Disk<K>, text: &str) -> usize {
        let count = disk.slots.count().unwrap();
        self.opens(disk, text, |_| 0..count)
    }

    /// As `opens_to`, trying only the slot that each value names.
    pub fn opens_by_its_slot<K: RealKv>(&self, disk: &Disk<K>, text: &str) -> usize {
        self.opens(disk, text, |slot| slot..slot + 1)
    }

    fn opens<K: RealKv>(
        &self,
        disk: &Disk<K>,
        text: &str,
        slots: impl Fn(u32) -> std::ops::Range<u32>,
    ) -> usize {
        let mut found = 0;
        for (key, values) in &self.0 {
            for value in values {
                for slot in slots(vault::parse(value).unwrap().head.slot) {
                    let mut sealed = vault::parse(value).unwrap();
                    sealed.head.slot = slot;
                    let Some(plain) = vault::unseal(&disk.slots, key, &sealed).unwrap() else {
                        continue;
                    };
                    let plain = Bytes::from(plain);
                    let packed = match sealed.head.form {
                        Form::Page => pages::apart(&plain).unwrap().1,
                        _ => plain.clone(),
                    };
                    let unpacked = page::unpack(&packed).unwrap_or_default();
                    found += usize::from(holds(&plain, text) || holds(&unpacked, text));
                }
            }
        }
        found
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn at(seq: u64) -> RecordRef {
    RecordRef { log: LogNo(0), seq }
}

fn from_a_page_from_the_tail_and_from_apart<K: RealKv>() {
    let mut disk = Disk::<K>::new(1);
    let mut attic = Attic::default();
    let mut store = disk.open();
    let mut author = Author::new(1);
    let page = author.long(300, &"PAGE needle in the page ".repeat(20));
    append(&mut store, &author, &page);
    for n in 0..5 {
        let run = author.report(n, &format!("TAIL{n} needle in the tail"));
        append(&mut store, &author, &run);
    }
    let late = author.report(9, "LATE needle that came apart");
    let log = LogNo(0);
    let wanted = Outcome { verdict: Verdict::Unjudged, body: BodyState::Wanted, ..accepted(1) };
    store.append(log, &late, None, &[wanted]).unwrap();
    store.commit().unwrap();
    store.set_body(at(306), late.entries()[0].body().unwrap(), accepted(2)).unwrap();
    store.commit().unwrap();
    attic.gather(&disk);
    for text in ["TAIL3", "LATE", "PAGE"] {
        assert!(attic.opens_to(&disk, text) > 0, "{text} must be there before it is erased");
    }
    let before: Vec<_> =
        (1..=306).map(|seq| store.reader().record(at(seq)).unwrap().unwrap().entry).collect();
    for (seq, text) in [(304, "TAIL3"), (306, "LATE")] {
        assert!(store.erase(at(seq), 5).unwrap());
        let committed = store.commit().unwrap();
        assert_eq!(committed.erased, [at(seq)]);
        // Whoever indexed it is told what it was.
        let [left] = committed.left.as_slice() else { panic!("{seq}: one body left") };
        let was = &before[seq as usize - 1];
        let body = left.body.as_ref().map(|(kind, body)| (*kind, body));
        assert_eq!((left.place, &left.header, body), (at(seq), &was.header, was.readable()));
        attic.gather(&disk);
        assert_eq!(attic.opens_to(&disk, text), 0, "{text} opens after it was erased");
        assert!(!store.erase(at(seq), 5).unwrap());
    }
    for seq in 1..=300 {
        store.erase(at(seq), 1).unwrap();
    }
    assert_eq!(store.commit().unwrap().erased.len(), 300);
    attic.gather(&disk);
    assert_eq!(attic.opens_to(&disk, "PAGE"), 0);
    assert!(attic.opens_to(&disk, "TAIL2") > 0, "what was not erased still opens");
    drop(store);
    disk.crash();
    let store = disk.open();
    for (seq, before) in (1..).zip(before) {
        let stored = store.reader().record(at(seq)).unwrap().unwrap();
        assert_eq!((&stored.entry.header, stored.entry.id), (&before.header, before.id), "headers stay");
        let erased = !(301..=305).contains(&seq) || seq == 304;
        assert_eq!(stored.entry.body().is_none(), erased, "{seq}");
    }
}

/// What was written to a tail and is taken back, by an older copy of the disk, is not known to the store any more; its bytes
/// may be there, and the key of the tail is. When its record comes again as one that is gone, so are they.
fn of_a_tail_that_an_older_copy_of_the_disk_took_back<K: RealKv>() {
    for way in
        ["as gone", "as gone, behind a tail that was joined", "after its retraction", "first as wanted"]
    {
        let mut disk = Disk::<K>::new(5);
        let mut attic = Attic::default();
        let mut store = disk.open();
        let mut author = Author::new(1);
        let first = author.report(1, "FIRST in the tail");
        append(&mut store, &author, &first);
        store.commit().unwrap();
        let copy = (disk.kv().snapshot(), disk.slots.snapshot());
        let second = author.report(2, "SECOND in the tail");
        append(&mut store, &author, &second);
        store.commit().unwrap();
        attic.gather(&disk);
        drop(store);
        disk.kv().restore(&copy.0);
        disk.slots.restore(&copy.1);
        let mut store = disk.open();
        assert!(attic.opens_to(&disk, "SECOND") > 0, "{way}: its bytes and their key are there");
        if way.ends_with("joined") {
            // Its key is not needed any more, and not overwritten yet either.
            store.staged.pack.insert(LogNo(0));
            store.commit().unwrap();
        }
        let body = match way {
            "as gone" | "as gone, behind a tail that was joined" => BodyState::Gone(1),
            "first as wanted" => BodyState::Wanted,
            _ => {
                let mut other = Author::new(1);
                other.log.epoch = 2;
                let taken_back = retraction(&mut other, 2, 1);
                append(&mut store, &other, &taken_back);
                store.commit().unwrap();
                BodyState::Here
            }
        };
        store.append(LogNo(0), &second, None, &[Outcome { body, ..accepted(5) }]).unwrap();
        store.commit().unwrap();
        if body == BodyState::Wanted {
            store.erase(at(2), 1).unwrap();
            store.commit().unwrap();
        }
        attic.gather(&disk);
        assert_eq!(attic.opens_to(&disk, "SECOND"), 0, "{way}");
        assert!(attic.opens_to(&disk, "FIRST") > 0, "{way}: what was not erased still opens");
    }
}

fn at_the_end_of_a_record<K: RealKv>() {
    let mut disk = Disk::<K>::new(2);
    let mut attic = Attic::default();
    let mut store = disk.open();
    let mut author = Author::new(1);
    for n in 0..10 {
        let body = author.body(n, &format!("EXPIRES{n}"));
        let run = author.sign(body::REPORT, vec![(body, 2_000_000 + n * 10)]);
        append(&mut store, &author, &run);
    }
    store.commit().unwrap();
    attic.gather(&disk);
    drop(store);
    let mut store = disk.open();
    assert_eq!(store.next_expiry(), Some(2_000_000));
    assert_eq!(store.expire(1_999_999, 1).unwrap(), Expired { erased: 0, more: false });
    assert_eq!(store.expire(2_000_045, 1).unwrap(), Expired { erased: 5, more: false });
    assert_eq!(store.expire(2_000_045, 1).unwrap(), Expired { erased: 0, more: false });
    store.commit().unwrap();
    attic.gather(&disk);
    for n in 0..10 {
        assert_eq!(attic.opens_to(&disk, &format!("EXPIRES{n}")) > 0, n >= 5, "{n}");
    }
    assert_eq!(store.next_expiry(), Some(2_000_050));
    assert_eq!(store.reader().counts().gone, 5);
    assert_eq!(store.outcome(at(1)).unwrap().outcome.body, BodyState::Gone(0));
}

/// It ends before it is committed, alone or behind what is here.
fn at_the_end_of_a_record_that_is_only_staged<K: RealKv>() {
    let mut disk = Disk::<K>::new(8);
    let mut attic = Attic::default();
    let mut store = disk.open();
    let mut author = Author::new(1);
    for n in 1..=2 {
        let body = author.body(n, "BRIEF");
        let run = author.sign(body::REPORT, vec![(body, 2_000_000)]);
        append(&mut store, &author, &run);
        assert_eq!(store.expire(2_000_001, 1).unwrap(), Expired { erased: 1, more: false }, "{n}");
        store.commit().unwrap();
        attic.gather(&disk);
        assert_eq!(store.outcome(at(n)).unwrap().outcome.body, BodyState::Gone(0), "{n}");
    }
    assert_eq!((attic.opens_to(&disk, "BRIEF"), store.next_expiry()), (0, None));
}

/// One org lets many records end at the moment at which another lets one: it waits for a page of the other's, and
/// pages are written anew once, however many of their records end.
fn what_ends_together_goes_by_org_and_by_page<K: RealKv>() {
    let mut disk = Disk::<K>::new(5);
    let mut store = disk.open();
    let (mut many, mut few) = (Author::new(1), Author::new(2));
    for _ in 0..20 {
        // Longer than a tail takes: each run is a page.
        let bodies = (0..64).map(|n| (many.body(n, &"long ".repeat(400)), 2_000_000)).collect();
        let run = many.sign(body::REPORT, bodies);
        append(&mut store, &many, &run);
    }
    let body = few.body(1, "LONELY");
    let run = few.sign(body::REPORT, vec![(body, 2_000_001)]);
    append(&mut store, &few, &run);
    store.commit().unwrap();
    let page = store.reader().page_ref(at(1)).unwrap().1.raw as usize;
    let lonely = RecordRef { log: LogNo(1), seq: 1 };
    let gone = |store: &TestStore<K>, place| store.outcome(place).unwrap().outcome.body == BodyState::Gone(0);
    assert_eq!(store.expire(2_000_001, 1).unwrap(), Expired { erased: 64, more: true });
    assert_eq!(store.expire(2_000_001, 1).unwrap(), Expired { erased: 1, more: true });
    store.commit().unwrap();
    assert!(gone(&store, at(64)) && !gone(&store, at(65)) && gone(&store, lonely));
    // What a call may cost bounds it, to a page.
    let expired = store.expire(2_000_001, 3 * page).unwrap();
    assert_eq!(expired, Expired { erased: 3 * 64, more: true });
    let syncs = disk.slots.syncs();
    store.commit().unwrap();
    assert!(disk.slots.syncs() <= syncs + 2, "a slice is erased at once");
    while store.expire(2_000_001, page).unwrap().more {
        store.commit().unwrap();
    }
    store.commit().unwrap();
    assert_eq!((store.reader().counts().gone, store.next_expiry()), (20 * 64 + 1, None));
}

/// Erased and dropped otherwise, a record no longer waits for its end.
fn what_is_gone_does_not_end_again<K: RealKv>() {
    let mut disk = Disk::<K>::new(6);
    let mut store = disk.open();
    let mut author = Author::new(1);
    for n in 0..3 {
        let body = author.body(n, "text");
        let run = author.sign(body::REPORT, vec![(body, 2_000_000 + n)]);
        append(&mut store, &author, &run);
    }
    store.commit().unwrap();
    store.erase(at(1), 5).unwrap();
    let refused = Outcome { verdict: Verdict::Refused, body: BodyState::Refused, ..accepted(1) };
    store.set_outcome(at(2), refused).unwrap();
    assert_eq!(store.next_expiry(), Some(2_000_002));
    assert_eq!(store.expire(3_000_000, 1).unwrap(), Expired { erased: 1, more: false });
    store.commit().unwrap();
    assert_eq!(store.next_expiry(), None);
}

/// A page that a reader holds on to leaves the cache with its erasure.
fn the_cache_keeps_no_page_that_was_replaced<K: RealKv>() {
    let mut disk = Disk::<K>::new(7);
    let mut store = disk.open();
    let mut author = Author::new(1);
    let run = author.long(300, &"text ".repeat(40));
    append(&mut store, &author, &run);
    let other = author.report(1, "in the tail");
    append(&mut store, &author, &other);
    store.commit().unwrap();
    let reader = store.reader();
    let nonces: Vec<_> = [1, 301].map(|seq| reader.page_ref(at(seq)).unwrap().1.nonce).into();
    for seq in [1, 301] {
        assert!(reader.record(at(seq)).unwrap().is_some());
        store.erase(at(seq), 1).unwrap();
    }
    store.commit().unwrap();
    for nonce in &nonces {
        assert!(store.shared.cache.get(nonce).is_none(), "an erased body is in the cache");
    }
    assert!(reader.record(at(2)).unwrap().unwrap().entry.body().is_some());
}

fn retraction(author: &mut Author, subject: u64, reason: u16) -> Verified {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&subject.to_be_bytes());
    let body = Body::Retraction(Retraction {
        salt: [1; 16],
        subject: body::report::Subject(id),
        versions: Vec::new(),
        reason,
        extension: Vec::new(),
    });
    author.sign(body::RETRACTION, vec![(body.encode().into(), 0)])
}

fn a_version_that_is_not_here_is_over_when_a_retraction_names_it<K: RealKv>() {
    let mut disk = Disk::<K>::new(4);
    let mut store = disk.open();
    let (mut author, mut other) = (Author::new(1), Author::new(2));
    let wanted = Outcome { verdict: Verdict::Unjudged, body: BodyState::Wanted, ..accepted(1) };
    let log = store.open_log(&author.log, author.org).unwrap();
    let mut entries = Vec::new();
    for n in 1..=2 {
        let run = author.report(n, "text");
        store.append(log, &run, None, &[wanted]).unwrap();
        entries.push(run.entries()[0].clone());
    }
    let names = |author: &mut Author, subject: u64, entry: &Entry| {
        let mut id = [0; 16];
        id[8..].copy_from_slice(&subject.to_be_bytes());
        let header = &entry.header;
        let version = Version { author: header.author, epoch: header.epoch, seq: header.seq, id: entry.id };
        let body = Body::Retraction(Retraction {
            salt: [1; 16],
            subject: body::report::Subject(id),
            versions: vec![version],
            reason: 4,
            extension: Vec::new(),
        });
        author.sign(body::RETRACTION, vec![(body.encode().into(), 0)])
    };
    // Another org's word about it is none.
    let run = names(&mut other, 1, &entries[0]);
    append(&mut store, &other, &run);
    store.commit().unwrap();
    assert_eq!(store.outcome(at(1)).unwrap().outcome.body, BodyState::Wanted);
    assert_eq!(store.taken_back(author.org, &entries[0]).unwrap(), None);
    let run = names(&mut author, 1, &entries[0]);
    append(&mut store, &author, &run);
    store.commit().unwrap();
    let check = |store: &TestStore<K>| {
        assert_eq!(store.outcome(at(1)).unwrap().outcome.body, BodyState::Gone(4));
        assert_eq!(store.outcome(at(2)).unwrap().outcome.body, BodyState::Wanted);
        assert_eq!(store.wanted(at(0), 9), [at(2)]);
        assert_eq!(store.taken_back(author.org, &entries[0]).unwrap(), Some(4));
        assert_eq!(store.taken_back(author.org, &entries[1]).unwrap(), None);
    };
    check(&store);
    drop(store);
    disk.crash();
    check(&disk.open());
}

fn by_retraction_before_and_after<K: RealKv>() {
    let mut disk = Disk::<K>::new(3);
    let mut attic = Attic::default();
    let mut store = disk.open();
    let mut author = Author::new(1);
    let mut other = Author::new(2);
    let subject = |n: u64| {
        let mut id = [0; 16];
        id[8..].copy_from_slice(&n.to_be_bytes());
        body::report::Subject(id)
    };
    for text in ["FIRST version", "SECOND version"] {
        let run = author.report(1, text);
        append(&mut store, &author, &run);
    }
    let run = author.report(2, "OTHER report");
    append(&mut store, &author, &run);
    // The same subject of another org is another report.
    let run = other.report(1, "FOREIGN report");
    append(&mut store, &other, &run);
    store.commit().unwrap();
    attic.gather(&disk);
    let reader = store.reader();
    assert_eq!(reader.versions(author.org, CIRCLE, subject(1)).unwrap().len(), 2);
    assert_eq!(reader.standing(author.org, CIRCLE, subject(1)).unwrap().unwrap().place, at(2));
    let run = retraction(&mut author, 1, 4);
    append(&mut store, &author, &run);
    let committed = store.commit().unwrap();
    assert_eq!(committed.erased, [at(1), at(2)]);
    attic.gather(&disk);
    // A version that comes after its retraction, in the same run as another report, is not kept.
    let (late, fine) = (author.body(1, "THIRD version"), author.body(3, "FINE report"));
    let run = author.sign(body::REPORT, vec![(late, 0), (fine, 0)]);
    assert_eq!(append(&mut store, &author, &run).withdrawn, 1);
    store.commit().unwrap();
    attic.gather(&disk);
    for (text, stays) in [("FIRST", 0), ("SECOND", 0), ("THIRD", 0)] {
        assert_eq!(attic.opens_to(&disk, text), stays, "{text}");
    }
    for text in ["OTHER", "FOREIGN", "FINE"] {
        assert!(attic.opens_to(&disk, text) > 0, "{text}");
    }
    assert_eq!(store.outcome(at(5)).unwrap().outcome.body, BodyState::Gone(4));
    assert!(reader.versions(author.org, CIRCLE, subject(1)).unwrap().is_empty());
    drop((store, reader));
    disk.crash();
    let store = disk.open();
    assert_eq!(store.withdrawn(author.org, CIRCLE, subject(1)).map(|w| w.reason), Some(4));
    assert!(store.withdrawn(other.org, CIRCLE, subject(1)).is_none());
    assert_eq!(store.reader().versions(other.org, CIRCLE, subject(1)).unwrap().len(), 1);
}

/// A crash at every write of an erasure: either the body is still there, or it cannot be brought back.
fn whatever_write_it_is_interrupted_at<K: RealKv>() {
    for seed in 0..40 {
        for after in 0..8 {
            let mut disk = Disk::<K>::new(seed);
            let mut attic = Attic::default();
            let mut store = disk.open();
            let mut author = Author::new(1);
            for n in 0..4 {
                let run = author.report(n, &format!("ERASE{n}"));
                append(&mut store, &author, &run);
            }
            store.commit().unwrap();
            attic.gather(&disk);
            store.erase(at(2), 1).unwrap();
            if seed % 2 == 0 {
                disk.slots.fail_next(after)
            } else {
                disk.kv().fail_next(after)
            }
            let failed = store.commit().is_err();
            drop(store);
            attic.gather(&disk);
            disk.crash();
            let store = disk.open();
            let gone = store.outcome(at(2)).unwrap().outcome.body == BodyState::Gone(1);
            assert!(gone || failed, "seed {seed}, write {after}: an acknowledged erasure was undone");
            let opens = attic.opens_by_its_slot(&disk, "ERASE1");
            assert_eq!(opens == 0, gone, "seed {seed}, write {after}: gone {gone}, opens {opens} times");
            assert!(attic.opens_by_its_slot(&disk, "ERASE2") > 0);
            if !failed {
                // It has no more writes.
                break;
            }
        }
    }
}

fn what_was_said_of_a_decision_goes_with_it<K: RealKv>() {
    let mut disk = Disk::<K>::new(1);
    let mut attic = Attic::default();
    let mut store = disk.open();
    let mut author = Author::new(1);
    let run = author.report(1, "a report");
    append(&mut store, &author, &run);
    assert_eq!(store.reader().remark(at(1)).unwrap(), None);
    store.put_remark(at(1), b"FIRST of needles").unwrap();
    assert_eq!(store.reader().remark(at(1)).unwrap(), None, "readers see what is committed");
    store.commit().unwrap();
    attic.gather(&disk);
    drop(store);
    disk.crash();
    let mut store = disk.open();
    assert_eq!(store.reader().remark(at(1)).unwrap().unwrap(), &b"FIRST of needles"[..]);
    assert!(disk.kv().dump().iter().all(|(_, value)| !holds(value, "needles")), "it rests encrypted");
    // One that takes its place, and then none.
    assert!(attic.opens_to(&disk, "FIRST") > 0);
    store.put_remark(at(1), b"SECOND of needles").unwrap();
    store.commit().unwrap();
    attic.gather(&disk);
    assert_eq!((attic.opens_to(&disk, "FIRST"), attic.opens_to(&disk, "SECOND")), (0, 1));
    store.remove_remark(at(1)).unwrap();
    store.commit().unwrap();
    attic.gather(&disk);
    assert_eq!((attic.opens_to(&disk, "SECOND"), store.reader().remark(at(1)).unwrap()), (0, None));
    assert_eq!(store.reader().body(at(1)).unwrap(), run.entries()[0].body().cloned());
    let long = vec![7; crate::remarks::REMARK_MAX + 1];
    assert!(matches!(store.put_remark(at(1), &long), Err(StoreError::Misuse(_))));
}
