//! The real disk: the map over sled, journal and value files, and the second one; kill -9; the order of system calls.
#![expect(clippy::disallowed_methods, reason = "the test starts and kills processes of its own")]

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::second::{RealKv, RedbKv};
use tocsin_record::RecordId;

use super::*;
use crate::kv::{Batch, Kv};
use crate::{DiskKv, KeyFile, LogNo, RecordRef, open_dir, set_aside};

type Plain = BTreeMap<Vec<u8>, Bytes>;

fn same<K: Kv>(kv: &K, plain: &Plain, seed: u64) {
    let mut all = Vec::new();
    kv.range(&[0], &[255], &mut |key, value| {
        all.push((key.to_vec(), value.unwrap()));
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(all.len(), plain.len(), "seed {seed}");
    assert!(all.iter().map(|(k, v)| (k, v)).eq(plain), "seed {seed}");
    for (key, value) in plain {
        assert_eq!(kv.get(key).unwrap().as_ref(), Some(value), "seed {seed}");
    }
}

/// sled never syncs what it puts there.
fn no_blobs(dir: &Path) {
    let blobs = std::fs::read_dir(dir.join("sled").join("blobs"));
    assert_eq!(blobs.map_or(0, Iterator::count), 0);
}

on_both! { behaves_like_a_map }

/// Against a plain map: small and large batches, small and large values, removals, reopening, copying forward.
fn behaves_like_a_map<K: RealKv>() {
    for seed in 0..4 {
        let dir = tempfile::tempdir().unwrap();
        let mut dice = Dice(seed);
        let mut plain = Plain::new();
        let mut kv = K::open_in(dir.path()).unwrap();
        for round in 0..300 {
            let mut batch = Batch::default();
            let writes = if dice.below(20) == 0 { 600 } else { 1 + dice.below(6) };
            for _ in 0..writes {
                let key = [b"key-".as_slice(), &dice.below(1500).to_be_bytes()].concat();
                if dice.below(4) == 0 {
                    batch.remove(key.clone());
                    plain.remove(&key);
                } else {
                    let len = match dice.below(40) {
                        0 => 1 + dice.below(200_000),
                        1..=9 => 2040 + dice.below(20),
                        _ => dice.below(500),
                    };
                    let value = Bytes::from(vec![dice.roll() as u8; len as usize]);
                    batch.put(key.clone(), value.clone());
                    plain.insert(key, value);
                }
            }
            kv.apply(&batch).unwrap();
            kv.flush().unwrap();
            if dice.below(3) == 0 {
                kv.compact().unwrap();
            }
            if round % 60 == 59 {
                same(&kv, &plain, seed);
                drop(kv);
                no_blobs(dir.path());
                kv = K::open_in(dir.path()).unwrap();
                same(&kv, &plain, seed);
            }
        }
        let mut some = 0;
        kv.range(b"key-", b"key.", &mut |_, _| {
            some += 1;
            if some == 7 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
        assert_eq!(some, 7);
    }
}

#[test]
fn value_files_that_are_mostly_dead_are_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let kv = DiskKv::open(dir.path()).unwrap();
    let mut plain = Plain::new();
    for n in 0..250u32 {
        let mut batch = Batch::default();
        let key = (n % 50).to_be_bytes().to_vec();
        let value = Bytes::from(vec![n as u8; 1 << 20]);
        batch.put(key.clone(), value.clone());
        plain.insert(key, value);
        kv.apply(&batch).unwrap();
        kv.flush().unwrap();
    }
    for n in 0..3000u32 {
        let mut batch = Batch::default();
        let (key, value) = (n.to_le_bytes().to_vec(), Bytes::from(vec![7; 2000]));
        batch.put([b"x".as_slice(), &key].concat(), value.clone());
        plain.insert([b"x".as_slice(), &key].concat(), value);
        kv.apply(&batch).unwrap();
        kv.flush().unwrap();
    }
    let size = kv.disk_size().unwrap();
    assert!(size < 140 << 20, "a node that is never idle keeps {} MB for 50 MB of values", size >> 20);
    while kv.compact().unwrap() {}
    let size = kv.disk_size().unwrap();
    assert!(size < 80 << 20, "50 MB of values take {} MB", size >> 20);
    same(&kv, &plain, 0);
    drop(kv);
    same(&DiskKv::open(dir.path()).unwrap(), &plain, 0);
}

#[test]
fn a_second_process_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let _kv = DiskKv::open(dir.path()).unwrap();
    assert!(matches!(DiskKv::open(dir.path()), Err(crate::Fault::InUse(_))));
}

pub type RealStore = crate::Store<DiskKv, KeyFile>;

pub fn open(dir: &Path, seed: u64) -> Result<RealStore, crate::StoreError> {
    open_dir(&dir.join("store"), MESH, random(seed), tocsin_seal::Opener::none(), &mut |_| {})
}

#[test]
fn a_damaged_store_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let (garbage, half, none) = (Some(1.0), Some(0.5), Some(0.0));
    let damages = [
        ("keys", garbage),
        ("keys", none),
        ("sled/db", garbage),
        ("sled/db", none),
        ("sled", None),
        ("sled/conf", garbage),
        ("values/00000001", garbage),
        ("values/00000001", half),
        ("values", None),
        ("journal", garbage),
        ("journal", half),
        ("journal", None),
    ];
    for (round, (victim, kept)) in damages.iter().enumerate() {
        let mut author = Author::new(1);
        let mut store = open(dir.path(), 1).unwrap();
        let log = store.open_log(&author.log, author.org).unwrap();
        let run = author.long(300, "Texts of some length, so that the page is a large value. ");
        let packed = tocsin_record::page::pack(&tocsin_record::page::encode(&run));
        // Random salts do not compress: the page is over the inline size.
        assert!(packed.len() > 2048);
        store.append(log, &run, Some(&packed), &[accepted(1); 300]).unwrap();
        store.commit().unwrap();
        let run = author.report(1, "one");
        store.append(log, &run, None, &[accepted(1)]).unwrap();
        store.commit().unwrap();
        let run = author.report(2, "two");
        store.append(log, &run, None, &[accepted(1)]).unwrap();
        store.commit().unwrap();
        drop(store);
        let file = path.join(victim);
        match kept {
            None if file.is_dir() => std::fs::remove_dir_all(&file).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
            Some(part) => {
                let mut bytes = std::fs::read(&file).unwrap();
                bytes.truncate((bytes.len() as f64 * part) as usize);
                if *part < 1.0 {
                } else if *victim == "journal" {
                    // An entry in the middle: the last one could be an unfinished write.
                    bytes[60] ^= 1;
                } else {
                    bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
                }
                std::fs::write(&file, bytes).unwrap();
            }
        }
        let error = open(dir.path(), 2)
            .err()
            .unwrap_or_else(|| panic!("{victim} {kept:?} is damaged, and nobody saw it"));
        assert!(error.is_damage(), "{victim}: {error}");
        let aside = set_aside(&path).unwrap();
        assert_eq!(aside, dir.path().join("store.damaged"));
        assert!(aside.exists() && !path.exists(), "round {round}");
        let store = open(dir.path(), 3).unwrap();
        assert_eq!(store.reader().counts().records, 0);
        drop(store);
        if round + 1 == damages.len() {
            assert!(crate::destroy_aside(&path).unwrap());
            assert!(!crate::destroy_aside(&path).unwrap());
            assert!(!aside.exists());
        }
    }
}

/// Set in the child: the directory to work in.
const CHILD_DIR: &str = "TOCSIN_TEST_STORE_CHILD";
/// Set in the child: how many runs to append.
const CHILD_RUNS: &str = "TOCSIN_TEST_STORE_RUNS";
/// Set in the child: how many characters of text that does not compress each single record has.
pub const CHILD_NOISE: &str = "TOCSIN_TEST_STORE_NOISE";
/// Set in the child: the map that it works on.
const CHILD_KV: &str = "TOCSIN_TEST_STORE_KV";

/// Not a test: what the two tests below start as a process. Appends and writes down what was acknowledged.
#[test]
fn child() {
    let Some(dir) = std::env::var_os(CHILD_DIR).map(PathBuf::from) else {
        return;
    };
    match std::env::var(CHILD_KV).as_deref() {
        Ok(RedbKv::NAME) => work::<RedbKv>(&dir),
        _ => work::<DiskKv>(&dir),
    }
}

fn work<K: RealKv>(dir: &Path) {
    let runs: u64 = std::env::var(CHILD_RUNS).unwrap().parse().unwrap();
    let noise = std::env::var(CHILD_NOISE).map_or(0, |noise| noise.parse().unwrap());
    let seed = dir.join("acks").metadata().map_or(0, |acks| acks.len());
    let mut store = second::open::<K>(dir, 77 + seed).unwrap();
    let mut author = Author::new(1);
    let log = store.open_log(&author.log, author.org).unwrap();
    store.commit().unwrap();
    let tip = store.tip(log).unwrap();
    let mut acks = OpenOptions::new().create(true).append(true).open(dir.join("acks")).unwrap();
    author.tip = tip;
    author.salt += tip.seq;
    let mut dice = Dice(seed);
    for n in 0..runs {
        let run = match dice.below(20) {
            0 => author.long(200, "Many records, whose page is a large value. "),
            _ => {
                let mut text = String::from("one record, whose page is a small value");
                while text.len() < noise {
                    text += &format!("{:016x}", dice.roll());
                }
                author.report(n, &text)
            }
        };
        let count = run.entries().len();
        store.append(log, &run, None, &vec![accepted(1); count]).unwrap();
        if dice.below(10) == 0 {
            store.erase(RecordRef { log, seq: 1 + dice.below(author.tip.seq) }, 1).unwrap();
        }
        store.commit().unwrap();
        acks.write_all(format!("ack {} {}\n", author.tip.seq, author.tip.id).as_bytes()).unwrap();
        if dice.below(10) == 0 {
            store.idle().unwrap();
        }
    }
}

pub fn child_command(program: &str, arguments: &[&str], dir: &Path, kv: &str, runs: u64) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .args(["tests::disk::child", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD_DIR, dir)
        .env(CHILD_KV, kv)
        .env(CHILD_RUNS, runs.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

pub fn this_program() -> String {
    std::env::current_exe().unwrap().into_os_string().into_string().unwrap()
}

/// The last record that a child acknowledged, of what it wrote down in full.
pub fn last_ack(dir: &Path) -> Option<(u64, RecordId)> {
    let acks = std::fs::read_to_string(dir.join("acks")).ok()?;
    let whole = |line: &&str| line.split(' ').nth(2).is_some_and(|id| id.len() == 64);
    let mut fields = acks.lines().rfind(whole)?.split(' ').skip(1);
    Some((fields.next()?.parse().unwrap(), fields.next()?.parse().unwrap()))
}

#[test]
fn every_acknowledged_record_survives_kill_9() {
    survives_kill_9::<DiskKv>(8);
}

#[test]
fn and_on_the_second() {
    survives_kill_9::<RedbKv>(3);
}

fn survives_kill_9<K: RealKv>(rounds: u64) {
    let dir = tempfile::tempdir().unwrap();
    let mut last_seen = 0;
    for round in 0..rounds {
        let before = std::fs::read(dir.path().join("acks")).unwrap_or_default().len();
        let mut child = child_command(&this_program(), &[], dir.path(), K::NAME, 1_000_000).spawn().unwrap();
        // Killed at some moment after it has begun to acknowledge.
        let mut dice = Dice(round);
        let more = before + 50 + dice.below(40_000) as usize;
        for _ in 0..2000 {
            let acks = dir.path().join("acks").metadata().map_or(0, |acks| acks.len());
            if acks as usize > more {
                break;
            }
            assert!(child.try_wait().unwrap().is_none(), "round {round}: the child ended by itself");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let (seq, id) = last_ack(dir.path()).unwrap();
        assert!(seq > last_seen, "round {round}: nothing was acknowledged");
        last_seen = seq;
        let store = second::open::<K>(dir.path(), 1).unwrap();
        let reader = store.reader();
        assert_eq!(reader.find(&id).unwrap(), Some(RecordRef { log: LogNo(0), seq }), "round {round}");
        assert!(reader.log(LogNo(0)).unwrap().tip.seq >= seq);
        no_blobs(&dir.path().join("store"));
    }
}

/// Write, then fdatasync, then acknowledge: as the kernel saw it.
#[test]
fn nothing_is_acknowledged_before_it_is_synced() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        assert!(std::env::var_os("CI").is_none(), "strace is needed for this test and is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let trace = dir.path().join("trace");
    let arguments = [
        "-f",
        "-y",
        "-e",
        "trace=write,pwrite64,fdatasync,fsync",
        "-o",
        trace.to_str().unwrap(),
        &this_program(),
    ];
    let status = child_command("strace", &arguments, dir.path(), DiskKv::NAME, 60).status().unwrap();
    assert!(status.success(), "strace: {status}");
    let trace = std::fs::read_to_string(trace).unwrap();
    let (mut acks, mut erasures) = (0, 0);
    // What was written and not synced since, by file, and whether the journal or database was written since the last
    // acknowledgement.
    let mut dirty: Vec<String> = Vec::new();
    let mut written = false;
    for line in trace.lines() {
        let Some((call, rest)) = line.split_once('(') else {
            continue;
        };
        let call = call.split(' ').next_back().unwrap_or_default();
        let Some(file) =
            rest.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(file, _)| file)
        else {
            continue;
        };
        let ours = ["/store/journal", "/store/values/", "/store/keys", "/store/sled/db"];
        if file.ends_with("/acks") {
            acks += 1;
            assert!(written, "acknowledgement {acks} came before its write");
            assert!(dirty.is_empty(), "acknowledgement {acks} came while {dirty:?} was not synced");
            written = false;
        } else if ours.iter().any(|name| file.contains(name)) {
            if call == "pwrite64" || call == "write" {
                if !dirty.iter().any(|dirty| dirty == file) {
                    dirty.push(file.to_owned());
                }
                written |= file.ends_with("/journal") || file.ends_with("/db");
                erasures += u32::from(file.ends_with("/keys"));
            } else {
                dirty.retain(|dirty| dirty != file);
            }
        }
    }
    assert_eq!(acks, 60);
    assert!(erasures > 0, "the run is meant to erase something");
}
