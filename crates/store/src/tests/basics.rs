use super::*;
use crate::{Bodies, LogNo, RecordRef, StoreError};
use tocsin_record::{Part, page};

on_both! {
    what_is_committed_is_read_back_and_survives_reopening,
    nothing_is_visible_before_its_commit,
    a_failed_write_poisons,
    only_what_follows_is_taken,
    an_empty_log_gives_its_number_to_another,
    bodies_that_come_later_and_bodies_that_may_not_leave,
    a_whole_page_leaves_as_it_is_only_where_every_body_may,
    a_page_that_was_stretched_is_packed_anew,
    late_bodies_make_no_page_too_long,
    of_very_many_versions_the_last_are_looked_at,
    a_report_has_copies_once_one_is_committed,
    tails_are_joined_on_the_wire,
    names_values_and_standing_survive,
    readers_never_see_a_page_that_is_half_replaced,
    judging_anew_does_not_make_the_order_longer,
}

fn at(seq: u64) -> RecordRef {
    RecordRef { log: LogNo(0), seq }
}

fn what_is_committed_is_read_back_and_survives_reopening<K: RealKv>() {
    let mut disk = Disk::<K>::new(1);
    let mut store = disk.open();
    let mut author = Author::new(1);
    let mut ids = Vec::new();
    for n in 0..700 {
        let run = author.report(n, &format!("report {n} {}", "x".repeat(500)));
        ids.push(run.entries()[0].clone());
        append(&mut store, &author, &run);
        store.commit().unwrap();
        while n % 50 == 0 && store.idle().unwrap() {}
    }
    let run = author.long(400, &"y".repeat(400));
    ids.extend(run.entries().iter().cloned());
    let packed = page::pack(&page::encode(&run));
    let log = store.log_no(&author.log).unwrap();
    store.append(log, &run, Some(&packed), &vec![accepted(9); 400]).unwrap();
    store.commit().unwrap();
    let reader = store.reader();
    let check = |reader: &crate::Reader<_, _>| {
        for (seq, entry) in (1..).zip(&ids) {
            let stored = reader.record(at(seq)).unwrap().unwrap();
            assert_eq!(&stored.entry, entry);
            assert_eq!(stored.org, author.org);
            assert_eq!(reader.find(&entry.id).unwrap(), Some(at(seq)));
        }
        assert_eq!(reader.record(at(1101)).unwrap().map(|s| s.place), None);
        assert_eq!(reader.log(LogNo(0)).unwrap().tip, author.tip);
        assert_eq!(reader.counts().records, 1100);
        assert_eq!(reader.counts().bodies, 1100);
        let all = reader.since(0, 5000);
        assert_eq!(
            all.iter().map(|(arrival, _)| *arrival).collect::<Vec<_>>(),
            (1..=1100).collect::<Vec<_>>()
        );
        assert_eq!(
            all.iter().map(|(_, place)| place.seq).collect::<Vec<_>>(),
            (1..=1100).collect::<Vec<_>>()
        );
    };
    check(&reader);
    let pages = reader.shared.state().logs[0].pages.len();
    assert!(pages < 60, "700 single records and one run of 400 rest in {pages} pages");
    // Each once, whatever is asked twice, is not here, or stands in what order.
    let asked = (690..=1101).chain([3, 3, 1, 900]).rev().map(at).collect();
    let expected = [1, 3].into_iter().chain(690..=1100).map(|seq| (at(seq), ids[seq as usize - 1].id));
    assert!(reader.ids(asked).unwrap().into_iter().eq(expected));
    // The run that came packed goes out as it came, byte for byte.
    let runs = reader.runs(LogNo(0), 701, 1, &mut Bodies::All).unwrap();
    assert_eq!(runs[0].packed, packed);
    drop(store);
    disk.crash();
    let mut seen = 0;
    let (kv, slots) = (Arc::new(disk.kv().clone()), Arc::new(disk.slots.clone()));
    let store = Store::open(kv, slots, MESH, random(9), tocsin_seal::Opener::none(), &mut |found| {
        assert_eq!(found.body, ids[found.place.seq as usize - 1].readable());
        seen += 1;
    })
    .unwrap();
    assert_eq!(seen, 1100);
    check(&store.reader());
    assert_eq!(store.next_arrival, 1101);
}

fn nothing_is_visible_before_its_commit<K: RealKv>() {
    let mut disk = Disk::<K>::new(2);
    let mut store = disk.open();
    let reader = store.reader();
    let mut author = Author::new(1);
    let run = author.report(1, "one");
    append(&mut store, &author, &run);
    assert!(reader.record(at(1)).unwrap().is_none());
    assert!(reader.since(0, 10).is_empty());
    assert_eq!(reader.log(LogNo(0)).unwrap().tip.seq, 0);
    assert!(reader.runs(LogNo(0), 1, 1, &mut Bodies::All).unwrap().is_empty());
    // The writer sees it.
    assert_eq!(store.tip(LogNo(0)).unwrap(), author.tip);
    assert_eq!(store.find(&run.entries()[0].id).unwrap(), Some(at(1)));
    assert_eq!(store.entry(at(1)).unwrap().unwrap(), run.entries()[0]);
    let committed = store.commit().unwrap();
    assert_eq!(committed.tips, [(LogNo(0), author.tip)]);
    assert!(reader.record(at(1)).unwrap().is_some());
    assert_eq!(reader.since(0, 10), [(1, at(1))]);
    assert_eq!(store.commit().unwrap(), crate::Committed::default());
}

fn a_failed_write_poisons<K: RealKv>() {
    for after in 0..2 {
        let mut disk = Disk::<K>::new(3);
        let mut store = disk.open();
        let mut author = Author::new(1);
        let run = author.report(1, "one");
        append(&mut store, &author, &run);
        disk.kv().fail_next(after);
        assert!(matches!(store.commit(), Err(StoreError::Fault(crate::Fault::Injected(_)))));
        disk.kv().heal();
        assert!(matches!(store.commit(), Err(StoreError::Poisoned)));
        assert!(matches!(store.put_meta("x", Bytes::new()), Err(StoreError::Poisoned)));
        assert!(store.reader().record(at(1)).unwrap().is_none());
        drop(store);
        disk.crash();
        disk.open();
    }
}

fn only_what_follows_is_taken<K: RealKv>() {
    let mut disk = Disk::<K>::new(4);
    let mut store = disk.open();
    let mut author = Author::new(1);
    let (one, two) = (author.report(1, "one"), author.report(2, "two"));
    let log = store.open_log(&author.log, author.org).unwrap();
    let misuse =
        |result: Result<crate::Appended, StoreError>| assert!(matches!(result, Err(StoreError::Misuse(_))));
    misuse(store.append(log, &two, None, &[accepted(1)]));
    misuse(store.append(log, &one, None, &[]));
    misuse(store.append(LogNo(9), &one, None, &[accepted(1)]));
    store.append(log, &one, None, &[accepted(1)]).unwrap();
    misuse(store.append(log, &one, None, &[accepted(1)]));
    let other = Author::new(2).report(1, "other");
    misuse(store.append(log, &other, None, &[accepted(1)]));
    store.append(log, &two, None, &[accepted(1)]).unwrap();
    store.commit().unwrap();
}

fn an_empty_log_gives_its_number_to_another<K: RealKv>() {
    let mut disk = Disk::<K>::new(4);
    let mut store = disk.open();
    let (spoken, other) = (Author::new(1), Author::new(2));
    let mut author = Author::new(3);
    let log = store.open_log(&spoken.log, spoken.org).unwrap();
    store.open_log(&other.log, other.org).unwrap();
    store.commit().unwrap();
    let misuse = |result: Result<(), StoreError>| assert!(matches!(result, Err(StoreError::Misuse(_))));
    misuse(store.rename_log(log, &other.log, other.org));
    store.rename_log(log, &author.log, author.org).unwrap();
    let run = author.report(1, "one");
    store.append(log, &run, None, &[accepted(1)]).unwrap();
    store.commit().unwrap();
    misuse(store.rename_log(log, &spoken.log, spoken.org));
    drop(store);
    let store = disk.open();
    assert_eq!((store.log_no(&spoken.log), store.log_no(&author.log)), (None, Some(log)));
    let info = store.reader().log(log).unwrap();
    assert_eq!((info.org, info.tip.seq, store.reader().log_count()), (author.org, 1, 2));
}

fn bodies_that_come_later_and_bodies_that_may_not_leave<K: RealKv>() {
    let mut disk = Disk::<K>::new(5);
    let mut store = disk.open();
    let mut author = Author::new(1);
    let run = author.long(300, &"z".repeat(600));
    let log = store.open_log(&author.log, author.org).unwrap();
    let mut outcomes = vec![accepted(1); 300];
    outcomes[9].body = BodyState::Wanted;
    outcomes[9].verdict = Verdict::Unjudged;
    outcomes[19].verdict = Verdict::Held;
    outcomes[29] = Outcome { verdict: Verdict::Refused, body: BodyState::Refused, ..accepted(1) };
    store.append(log, &run, None, &outcomes).unwrap();
    store.commit().unwrap();
    assert_eq!(store.wanted(at(0), 10), [at(10)]);
    let reader = store.reader();
    assert!(reader.body(at(10)).unwrap().is_none());
    assert!(reader.body(at(30)).unwrap().is_none());
    assert!(reader.body(at(20)).unwrap().is_some());
    let parts = |reader: &crate::Reader<_, _>, bodies: &mut Bodies<'_>| {
        let runs = reader.runs(log, 1, 1, bodies).unwrap();
        let run =
            page::decode(author.log, &page::unpack(&runs[0].packed).unwrap()).unwrap().verify().unwrap();
        run.entries().iter().map(|e| e.body.clone()).collect::<Vec<_>>()
    };
    use tocsin_record::Part::*;
    let sent = parts(&reader, &mut Bodies::All);
    assert_eq!([&sent[9], &sent[19], &sent[29]], [&NotHeld, &NotHeld, &NotHeld]);
    assert_eq!(sent.iter().filter(|part| matches!(part, Here(_))).count(), 297);
    let sent = parts(&reader, &mut Bodies::Where(&mut |place, _| place.seq % 2 == 0));
    assert_eq!([&sent[0], &sent[9]], [&Withheld, &NotHeld]);
    assert!(parts(&reader, &mut Bodies::None).iter().all(|part| *part == NotHeld));
    // The body comes late; another's does not fit.
    let bodies: Vec<Bytes> = run.entries().iter().map(|e| e.body().unwrap().clone()).collect();
    assert!(matches!(store.set_body(at(10), &bodies[3], accepted(2)), Err(StoreError::Misuse(_))));
    assert!(store.set_body(at(10), &bodies[9], accepted(2)).unwrap());
    assert!(reader.body(at(10)).unwrap().is_none());
    store.commit().unwrap();
    assert_eq!(reader.body(at(10)).unwrap().as_ref(), Some(&bodies[9]));
    assert!(store.wanted(at(0), 10).is_empty());
    // Released, and refused after all.
    store.set_outcome(at(20), accepted(1)).unwrap();
    store
        .set_outcome(at(40), Outcome { verdict: Verdict::Refused, body: BodyState::Refused, ..accepted(1) })
        .unwrap();
    store.commit().unwrap();
    let check = |reader: &crate::Reader<_, _>| {
        let sent = parts(reader, &mut Bodies::All);
        assert_eq!([&sent[9], &sent[19]], [&Here(bodies[9].clone()), &Here(bodies[19].clone())]);
        assert_eq!([&sent[29], &sent[39]], [&NotHeld, &NotHeld]);
        assert!(reader.body(at(40)).unwrap().is_none());
        // What changed comes again, at the end.
        let order: Vec<u64> = reader.since(301, 10).iter().map(|(_, place)| place.seq).collect();
        assert_eq!(order, [10, 20, 40]);
        assert_eq!(reader.since(0, 1000).len(), 300);
    };
    check(&reader);
    drop((store, reader));
    disk.crash();
    let store = disk.open();
    check(&store.reader());
    // From the middle of a page, the rest of it with its signature.
    let runs = store.reader().runs(log, 250, 1, &mut Bodies::All).unwrap();
    let run = page::decode(author.log, &page::unpack(&runs[0].packed).unwrap()).unwrap().verify().unwrap();
    assert_eq!((runs[0].first, run.first_seq(), run.tip().seq), (250, 250, 300));
}

fn a_whole_page_leaves_as_it_is_only_where_every_body_may<K: RealKv>() {
    let mut disk = Disk::<K>::new(9);
    let mut store = disk.open();
    let mut author = Author::new(1);
    let run = author.long(400, &"z".repeat(600));
    let packed = page::pack(&page::encode(&run));
    let log = store.open_log(&author.log, author.org).unwrap();
    store.append(log, &run, Some(&packed), &vec![accepted(1); 400]).unwrap();
    store.commit().unwrap();
    let reader = store.reader();
    let sent = |bodies: &mut Bodies<'_>| reader.runs(log, 1, 1, bodies).unwrap().remove(0).packed;
    let parts = |packed: &Bytes| {
        let run = page::decode(author.log, &page::unpack(packed).unwrap()).unwrap().verify().unwrap();
        run.entries().iter().map(|entry| entry.body.clone()).collect::<Vec<_>>()
    };
    use tocsin_record::Part::*;
    let mut asked = Vec::new();
    let all = sent(&mut Bodies::Where(&mut |place, entry| {
        assert_eq!(entry.body(), run.entries()[asked.len()].body());
        asked.push(place.seq);
        true
    }));
    assert_eq!((all, asked), (packed.into(), (1..=400).collect()));
    for kept in [1, 200, 400] {
        let sent = parts(&sent(&mut Bodies::Where(&mut |place, _| place.seq != kept)));
        for (seq, part) in (1..).zip(&sent) {
            assert_eq!(*part == Withheld, seq == kept, "{seq} where {kept} may not leave: {part:?}");
        }
    }
    // What was erased is not asked for, and needs no other page.
    assert!(store.erase(at(7), 1).unwrap());
    store.commit().unwrap();
    let mut asked = 0;
    let some = sent(&mut Bodies::Where(&mut |place, _| {
        asked += 1;
        place.seq != 7
    }));
    assert_eq!((asked, &parts(&some)[6]), (399, &Gone(1)));
    assert_eq!(some, sent(&mut Bodies::All));
}

fn a_page_that_was_stretched_is_packed_anew<K: RealKv>() {
    let mut disk = Disk::<K>::new(11);
    let mut store = disk.open();
    let mut author = Author::new(1);
    let run = author.long(400, &"z".repeat(600));
    let packed = page::pack(&page::encode(&run));
    // A frame that decompressors skip (RFC 8878, 3.1.2).
    let mut stretched = packed.clone();
    stretched.extend_from_slice(&0x184d_2a50u32.to_le_bytes());
    stretched.extend_from_slice(&1_000_000u32.to_le_bytes());
    stretched.resize(stretched.len() + 1_000_000, 7);
    assert_eq!(page::unpack(&stretched).unwrap(), page::unpack(&packed).unwrap());
    let log = store.open_log(&author.log, author.org).unwrap();
    store.append(log, &run, Some(&stretched), &vec![accepted(1); 400]).unwrap();
    store.commit().unwrap();
    let sent = store.reader().runs(log, 1, 1, &mut Bodies::All).unwrap().remove(0).packed;
    assert_eq!(sent, packed);
}

fn late_bodies_make_no_page_too_long<K: RealKv>() {
    let mut disk = Disk::<K>::new(12);
    let mut store = disk.open();
    let mut author = Author::new(1);
    let log = store.open_log(&author.log, author.org).unwrap();
    let late = |store: &mut TestStore<K>, author: &mut Author, n: u64, len: usize| {
        let run = author.report(n, &"z".repeat(len));
        let wanted = Outcome { verdict: Verdict::Unjudged, body: BodyState::Wanted, ..accepted(1) };
        store.append(log, &run, None, &[wanted]).unwrap();
        let body = run.entries()[0].body().unwrap().clone();
        assert!(store.set_body(at(run.first_seq()), &body, accepted(2)).unwrap());
    };
    // Twelve megabytes of a tail, and one that leaves it, so that it is packed.
    for n in 0..200 {
        late(&mut store, &mut author, n, 60_000);
        store.commit().unwrap();
    }
    // On the wire, what is too much together is announced.
    let sent = |store: &TestStore<K>| {
        let mut parts = Vec::new();
        let mut next = 1;
        while next <= author_height(store, log) {
            for run in store.reader().runs(log, next, 1, &mut Bodies::All).unwrap() {
                let raw = page::unpack(&run.packed).unwrap();
                assert!(raw.len() <= page::PAGE_MAX / 2, "{} bytes", raw.len());
                let read = page::decode(store.key(log).unwrap(), &raw).unwrap().verify().unwrap();
                parts.extend(read.entries().iter().map(|entry| entry.body.clone()));
                next = run.last + 1;
            }
        }
        parts
    };
    let parts = sent(&store);
    assert_eq!(parts.len(), 200);
    let here = |part: &&Part| matches!(part, Part::Here(_));
    assert!(parts.iter().all(|part| matches!(part, Part::Here(_) | Part::Ask)));
    assert!(parts.iter().filter(here).count() > 30);
    assert!(store.erase(at(100), 1).unwrap());
    store.commit().unwrap();
    let check = |store: &TestStore<K>| {
        for seq in 1..=200 {
            let body = store.reader().body(at(seq)).unwrap();
            assert_eq!(body.is_some(), seq != 100, "{seq}");
        }
        assert_eq!(sent(store)[99], Part::Gone(1));
    };
    check(&store);
    drop(store);
    disk.crash();
    let mut store = disk.open();
    check(&store);
    // However large they are, none is too much alone.
    for n in 200..210 {
        late(&mut store, &mut author, n, 700_000);
    }
    store.commit().unwrap();
    let parts = sent(&store);
    assert_eq!((parts.len(), parts[200..].iter().filter(here).count()), (210, 10));
}

fn author_height<K: RealKv>(store: &TestStore<K>, log: LogNo) -> u64 {
    store.tip(log).unwrap().seq
}

fn of_very_many_versions_the_last_are_looked_at<K: RealKv>() {
    let mut disk = Disk::<K>::new(10);
    let mut store = disk.open();
    let mut author = Author::new(1);
    let run = author.report(2, "another");
    append(&mut store, &author, &run);
    for n in 0..1_100 {
        let run = author.report(1, &format!("version {n}"));
        append(&mut store, &author, &run);
    }
    store.commit().unwrap();
    let mut subject = tocsin_record::body::report::Subject([0; 16]);
    subject.0[15] = 1;
    let versions = store.reader().versions(author.org, CIRCLE, subject).unwrap();
    let places: Vec<_> = versions.iter().map(|version| version.place).collect();
    assert_eq!(places, (102..=1_101).map(at).collect::<Vec<_>>());
    let standing = store.reader().standing(author.org, CIRCLE, subject).unwrap();
    assert_eq!(standing.unwrap().place, at(1_101));
}

fn a_report_has_copies_once_one_is_committed<K: RealKv>() {
    let mut disk = Disk::<K>::new(11);
    let mut store = disk.open();
    let reader = store.reader();
    let (mut author, other) = (Author::new(1), Author::new(2));
    let subject = |n: u8| {
        let mut subject = tocsin_record::body::report::Subject([0; 16]);
        subject.0[15] = n;
        subject
    };
    for n in [1, 1, 2] {
        let run = author.report(n, "version");
        append(&mut store, &author, &run);
    }
    let check = |org, n, places: &[RecordRef]| {
        assert_eq!(reader.copies(org, subject(n)), places);
        assert_eq!(reader.has_copies(org, subject(n)), !places.is_empty(), "of {n}");
    };
    check(author.org, 1, &[]);
    store.commit().unwrap();
    check(author.org, 1, &[at(1), at(2)]);
    check(author.org, 2, &[at(3)]);
    check(author.org, 3, &[]);
    check(other.org, 1, &[]);
}

fn tails_are_joined_on_the_wire<K: RealKv>() {
    let mut disk = Disk::<K>::new(6);
    let mut store = disk.open();
    let mut author = Author::new(1);
    for n in 0..100 {
        let run = author.report(n, "short");
        append(&mut store, &author, &run);
        store.commit().unwrap();
    }
    let runs = store.reader().runs(LogNo(0), 5, 1 << 20, &mut Bodies::All).unwrap();
    assert_eq!(runs.iter().map(|run| (run.first, run.last)).collect::<Vec<_>>(), [(5, 100)]);
    let run = page::decode(author.log, &page::unpack(&runs[0].packed).unwrap()).unwrap().verify().unwrap();
    assert_eq!(run.body_bytes(), 96 * (33 + 5));
}

fn names_values_and_standing_survive<K: RealKv>() {
    let mut disk = Disk::<K>::new(7);
    let mut store = disk.open();
    let mut author = Author::new(1);
    let run = author.report(1, "one");
    append(&mut store, &author, &run);
    let log = LogNo(0);
    assert_eq!(store.intern_rule("").unwrap(), 0);
    let (a, b) = (store.intern_rule("trusted").unwrap(), store.intern_rule("low-confidence").unwrap());
    assert_eq!(store.intern_rule("trusted").unwrap(), a);
    let peer = store.intern_peer(&NodeKey([3; 32])).unwrap();
    store.put_meta("alive", Bytes::from_static(b"12")).unwrap();
    store.put_meta("roster", Bytes::from(vec![5; 300_000])).unwrap();
    store.put_fork_proof(log, 2, Bytes::from_static(b"proof")).unwrap();
    store.commit().unwrap();
    drop(store);
    disk.crash();
    let mut store = disk.open();
    let reader = store.reader();
    assert_eq!(
        (reader.rule(a).as_deref(), reader.rule(b).as_deref()),
        (Some("trusted"), Some("low-confidence"))
    );
    assert_eq!(reader.peer(peer), Some(NodeKey([3; 32])));
    assert_eq!(store.intern_rule("low-confidence").unwrap(), b);
    assert_eq!(store.get_meta("alive").unwrap().as_deref(), Some(&b"12"[..]));
    assert_eq!(reader.get_meta("roster").unwrap().unwrap().len(), 300_000);
    assert_eq!(reader.get_meta("other").unwrap(), None);
    assert_eq!(store.standing(log), Some(crate::Standing::Forked { at: 2 }));
    assert_eq!(store.fork_proof(log).unwrap().as_deref(), Some(&b"proof"[..]));
}

/// Pages are joined, rewritten and their keys destroyed while other threads read them.
fn readers_never_see_a_page_that_is_half_replaced<K: RealKv>() {
    let mut disk = Disk::<K>::new(8);
    let mut store = disk.open();
    let mut author = Author::new(1);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reading: Vec<_> = (0..2)
            .map(|n| {
                let (reader, done) = (store.reader(), &done);
                scope.spawn(move || {
                    let (mut dice, mut reads) = (Dice(n), 0u64);
                    while !done.load(std::sync::atomic::Ordering::Relaxed) || reads < 100 {
                        let tip = reader.log(LogNo(0)).map_or(0, |log| log.tip.seq);
                        if tip == 0 {
                            continue;
                        }
                        let seq = 1 + dice.below(tip);
                        let stored = reader.record(at(seq)).unwrap().expect("committed");
                        assert_eq!(stored.entry.header.seq, seq);
                        let gone = matches!(stored.stamped.outcome.body, BodyState::Gone(_));
                        assert!(gone || stored.entry.body().is_some() || seq.is_multiple_of(3));
                        let runs = reader.runs(LogNo(0), seq, 1, &mut Bodies::All).unwrap();
                        for run in runs {
                            let bytes = page::unpack(&run.packed).unwrap();
                            let log = reader.log(LogNo(0)).unwrap().key;
                            page::decode(log, &bytes).unwrap().verify().unwrap();
                        }
                        reads += 1;
                    }
                })
            })
            .collect();
        for n in 0..600 {
            let run = author.report(n, &"text ".repeat(300));
            append(&mut store, &author, &run);
            if n % 20 == 19 {
                store.erase(at(3 * (n / 4).max(1)), 1).unwrap();
            }
            store.commit().unwrap();
            store.idle().unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        for thread in reading {
            thread.join().unwrap();
        }
    });
}

/// However often records are judged anew, the order of changes holds each of them once, and who follows it misses none.
fn judging_anew_does_not_make_the_order_longer<K: RealKv>() {
    let mut disk = Disk::<K>::new(1);
    let mut store = disk.open();
    let mut author = Author::new(1);
    let run = author.long(200, "text");
    append(&mut store, &author, &run);
    store.commit().unwrap();
    let reader = store.reader();
    let mut cursor = reader.next_arrival();
    for round in 1..=30u64 {
        let verdict = if round % 2 == 0 { Verdict::Accepted } else { Verdict::Held };
        // Every one, or every third, which leaves holes.
        let step = if round % 5 == 0 { 3 } else { 1 };
        let judged: Vec<u64> = (1..=200).step_by(step).collect();
        for seq in &judged {
            // So far apart that no two share a range of outcomes.
            store.set_outcome(at(*seq), Outcome { verdict, ..accepted(seq * 5_000 + round) }).unwrap();
        }
        store.commit().unwrap();
        let news = reader.since(cursor, 1_000);
        assert_eq!(news.iter().map(|(_, place)| place.seq).collect::<Vec<_>>(), judged, "round {round}");
        cursor = news.last().unwrap().0 + 1;
        assert_eq!((cursor, reader.since(cursor, 10)), (reader.next_arrival(), vec![]));
        assert_eq!(reader.since(0, 1_000).len(), 200);
        assert!(store.shared.state().order.len() <= 200, "round {round}");
    }
    let before = reader.since(0, 1_000);
    drop((store, reader));
    assert_eq!(disk.open().reader().since(0, 1_000), before, "and so it is found again");
}
