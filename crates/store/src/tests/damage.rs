//! Bits that flip and files that are cut short: one log ends there, or the store is set aside, or nothing was lost. Never
//! a wrong answer, and never the same damage again.
#![expect(clippy::disallowed_methods, reason = "a test takes its seeds from its environment")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use tocsin_record::RecordId;

use super::*;
use crate::slots::Slots;
use crate::{DamagedLog, DiskKv, KeyFile, LogNo, RecordRef, open_dir, set_aside};

type RealStore = crate::Store<DiskKv, KeyFile>;
type Expected = BTreeMap<RecordRef, (RecordId, Bytes)>;

fn open(dir: &Path, seed: u64) -> Result<RealStore, crate::StoreError> {
    open_dir(&dir.join("store"), MESH, random(seed), tocsin_seal::Opener::none(), &mut |_| {})
}

/// Three logs, each with two pages in value files, late bodies, and a tail.
fn fill(dir: &Path) -> (Vec<Author>, Vec<Vec<Verified>>, Expected) {
    let mut store = open(dir, 1).unwrap();
    let mut authors: Vec<Author> = (1..=3).map(Author::new).collect();
    let mut runs = vec![Vec::new(); 3];
    let mut expected = Expected::new();
    for round in 0..2 {
        for (author, runs) in authors.iter_mut().zip(&mut runs) {
            let log = store.open_log(&author.log, author.org).unwrap();
            let mut all = vec![author.long(64, &"page ".repeat(500))];
            all.extend((0..6).map(|n| author.report(round * 10 + n, &format!("single {n}"))));
            for run in all {
                let mut outcomes = vec![accepted(1); run.entries().len()];
                let late = round == 1 && run.entries().len() == 1 && run.first_seq() % 3 == 0;
                if late {
                    outcomes[0].body = BodyState::Wanted;
                }
                store.append(log, &run, None, &outcomes).unwrap();
                for entry in run.entries() {
                    let place = RecordRef { log, seq: entry.header.seq };
                    if late {
                        store.set_body(place, entry.body().unwrap(), accepted(1)).unwrap();
                    }
                    expected.insert(place, (entry.id, entry.body().unwrap().clone()));
                }
                store.commit().unwrap();
                runs.push(run);
            }
        }
    }
    (authors, runs, expected)
}

/// Every log is what it was, up to where it ends.
fn check(store: &RealStore, expected: &Expected, context: &str) -> u64 {
    let reader = store.reader();
    let mut records = 0;
    for log in reader.logs() {
        records += log.tip.seq;
        for seq in 1..=log.tip.seq {
            let place = RecordRef { log: log.no, seq };
            let stored =
                reader.record(place).unwrap_or_else(|e| panic!("{context}: {place:?}: {e}")).unwrap();
            let (id, body) = &expected[&place];
            assert_eq!((&stored.entry.id, stored.entry.body()), (id, Some(body)), "{context}: {place:?}");
            assert_eq!(reader.find(id).unwrap(), Some(place), "{context}");
        }
    }
    assert_eq!(reader.counts().records, records, "{context}");
    records
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() { copy(&from, &to) } else { assert!(fs::copy(&from, &to).is_ok()) }
    }
}

#[test]
fn a_damaged_page_ends_its_log_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let (authors, runs, expected) = fill(dir.path());
    // The first page of the second round of log 1, wherever it lies.
    let victim = {
        let store = open(dir.path(), 2).unwrap();
        let key = store.shared.keys.at(crate::keys::Kind::Page, LogNo(1), 71);
        crate::disk::pointer(&store.shared.kv.encoded(&key).unwrap().unwrap()).unwrap()
    };
    let file = dir.path().join(format!("store/values/{:08}", victim.file));
    let mut bytes = fs::read(&file).unwrap();
    bytes[victim.at as usize + 100] ^= 1;
    fs::write(&file, bytes).unwrap();

    let mut seen = 0;
    let mut store =
        open_dir(&dir.path().join("store"), MESH, random(3), tocsin_seal::Opener::none(), &mut |_| seen += 1)
            .unwrap();
    let [DamagedLog { log, org, from: 71, what }] = store.damaged() else {
        panic!("{:?}", store.damaged());
    };
    assert_eq!((log, org), (&authors[1].log, &authors[1].org));
    assert!(what.contains("value"), "{what}");
    let tips = |store: &RealStore| store.reader().logs().iter().map(|log| log.tip.seq).collect::<Vec<_>>();
    assert_eq!(tips(&store), [140, 70, 140]);
    assert_eq!(check(&store, &expected, "opened"), seen);
    // What stood behind it was set aside with its keys before it went.
    let aside = crate::aside(&dir.path().join("store")).unwrap();
    assert!(fs::metadata(aside.join("pages-1-71")).unwrap().len() > 500);
    assert!(fs::metadata(aside.join("keys-1-71")).unwrap().len() >= 32);
    let slots = store.shared.slots.count().unwrap();
    let keys = fs::read(aside.join("keys-1-71")).unwrap();
    let held =
        |store: &RealStore| (0..slots).any(|n| store.shared.slots.read(n).unwrap().as_slice() == &keys[..32]);
    assert!(held(&store), "nothing goes before the commit");
    // Without the commit, it is found again; with it, not.
    drop(store);
    store = open(dir.path(), 4).unwrap();
    assert_eq!(store.damaged().len(), 1);
    store.commit().unwrap();
    assert!(!held(&store), "the keys of what was removed are destroyed");
    drop(store);
    store = open(dir.path(), 5).unwrap();
    assert!(store.damaged().is_empty());
    // It comes back like anything that is missing.
    for run in &runs[1] {
        if run.first_seq() > 70 {
            store.append(LogNo(1), run, None, &vec![accepted(1); run.entries().len()]).unwrap();
        }
    }
    store.commit().unwrap();
    assert_eq!(check(&store, &expected, "refilled"), 3 * 140);
    assert!(crate::destroy_aside(&dir.path().join("store")).unwrap() && !aside.exists());
}

#[test]
fn flips_and_cuts() {
    let seeds: u64 = std::env::var("TOCSIN_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    let whole = tempfile::tempdir().unwrap();
    let (_, _, expected) = fill(whole.path());
    let all = expected.len() as u64;
    let (mut stores, mut logs, mut unharmed) = (0, 0, 0);
    for seed in 0..seeds {
        let dir = tempfile::tempdir().unwrap();
        copy(&whole.path().join("store"), &dir.path().join("store"));
        let mut dice = Dice(seed);
        let victim = ["values/00000001", "values/00000001", "sled/db", "journal", "keys"];
        let victim = victim[dice.below(5) as usize];
        let path = dir.path().join("store").join(victim);
        let mut bytes = fs::read(&path).unwrap();
        let at = dice.below(bytes.len() as u64) as usize;
        let context = if dice.below(4) == 0 {
            bytes.truncate(at);
            format!("seed {seed}: {victim} cut to {at}")
        } else {
            bytes[at] ^= 1 << dice.below(8);
            format!("seed {seed}: {victim} flipped at {at}")
        };
        fs::write(&path, bytes).unwrap();
        match open(dir.path(), seed) {
            Err(error) => {
                assert!(error.is_damage(), "{context}: {error}");
                set_aside(&dir.path().join("store")).unwrap();
                assert_eq!(open(dir.path(), seed).unwrap().reader().counts().records, 0, "{context}");
                stores += 1;
            }
            Ok(mut store) => {
                let damaged = store.damaged().len() as u64;
                let left = check(&store, &expected, &context);
                // The last entry of the journal may always be one that was not finished.
                assert!(left == all || damaged > 0 || left == all - 1 && victim == "journal", "{context}");
                store.commit().unwrap();
                while store.idle().unwrap() {}
                drop(store);
                let store = open(dir.path(), seed).unwrap_or_else(|e| panic!("{context}: again: {e}"));
                assert!(store.damaged().is_empty(), "{context}: found again");
                assert_eq!(check(&store, &expected, &context), left, "{context}");
                logs += u64::from(damaged > 0);
                unharmed += u64::from(damaged == 0);
            }
        }
    }
    println!("{seeds} seeds: {stores} stores set aside, {logs} times logs, {unharmed} unharmed");
    assert!(stores > 0 && logs > 0 && unharmed > 0, "the test is meant to meet each kind");
}
