//! A disk that runs full in the middle of a write: nothing that was acknowledged is lost, the process ends with what the
//! system said, and once there is room the store opens again and goes on.
#![expect(clippy::disallowed_methods, reason = "the test starts processes of its own")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::disk::{CHILD_NOISE, child_command, last_ack, this_program};
use super::second::{RealKv, RedbKv, open};
use super::*;
use crate::kv::Batch;
use crate::{DiskKv, LogNo, RecordRef};

/// What the system says of a full disk.
const FULL: &str = "No space left on device";
/// Set where the test runs with mounts of its own: the folder for its disk.
const DISK: &str = "TOCSIN_TEST_DISK";
/// Runs that a process appends where the disk has room.
const RUNS: u64 = 40;

on_both! { the_system_refuses_a_call }

/// The process ends by itself, and says why in the system's words.
fn ends_full(child: &Output, context: &str) {
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(!child.status.success() && said.contains(FULL), "{context}: {}: {said}", child.status);
}

/// What was acknowledged is there, and the store goes on.
fn goes_on<K: RealKv>(dir: &Path, context: &str) {
    let acked = last_ack(dir);
    let store = match open::<K>(dir, 1) {
        Ok(store) => store,
        // The second map does not go on with a file that it was about to create; nothing was in it.
        Err(_) if K::NAME == RedbKv::NAME && acked.is_none() => return,
        Err(error) => panic!("{context}: {error}"),
    };
    assert!(store.damaged().is_empty(), "{context}: {:?}", store.damaged());
    if let Some((seq, id)) = acked {
        let reader = store.reader();
        assert_eq!(reader.find(&id).unwrap(), Some(RecordRef { log: LogNo(0), seq }), "{context}");
        for seq in 1..=seq {
            let stored = reader.record(RecordRef { log: LogNo(0), seq }).unwrap().unwrap();
            let here = stored.stamped.outcome.body == BodyState::Here;
            assert_eq!(stored.entry.body().is_some(), here, "{context}: {seq}");
        }
    }
    drop(store);
    let more = child_command(&this_program(), &[], dir, K::NAME, 5).stderr(Stdio::piped()).output().unwrap();
    assert!(more.status.success(), "{context}: {}", String::from_utf8_lossy(&more.stderr));
    let (before, after) = (acked.map_or(0, |acked| acked.0), last_ack(dir).unwrap().0);
    assert!(after >= before + 5, "{context}: {before} to {after}");
}

/// From some call on the system refuses all calls of its kind, as a disk does on which others leave no room.
fn the_system_refuses_a_call<K: RealKv>() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        assert!(std::env::var_os("CI").is_none(), "strace is needed for this test and is not installed");
        return;
    }
    let (mut ended, mut in_the_middle) = (0, 0);
    // While it is opened, and while it is written to.
    let calls: [(&str, &[u32]); 6] = [
        ("pwrite64", &[1, 40, 200, 326, 340, 360]),
        ("fdatasync", &[1, 4, 9, 25, 45]),
        ("fsync", &[1, 4, 8, 10]),
        ("openat", &[12, 16, 18]),
        ("mkdir", &[2, 3, 4]),
        ("ftruncate", &[1, 2]),
    ];
    for (call, numbers) in calls {
        for from in numbers {
            let dir = tempfile::tempdir().unwrap();
            let context = format!("{call} from number {from} on");
            let inject = format!("inject={call}:error=ENOSPC:when={from}+");
            let arguments = ["-f", "--quiet=all", "-o", "/dev/null", "-e", &inject, &this_program()];
            let mut child = child_command("strace", &arguments, dir.path(), K::NAME, RUNS);
            let child = child.stderr(Stdio::piped()).output().unwrap();
            // Both maps write and sync more often than that.
            let more = matches!(call, "pwrite64" | "fdatasync");
            assert!(!more || !child.status.success(), "{context}: it went on");
            // What the program's own start fails at is none of the store's.
            if !child.status.success() && dir.path().join("store").exists() {
                ends_full(&child, &context);
                ended += 1;
                in_the_middle += u32::from(last_ack(dir.path()).is_some());
            }
            goes_on::<K>(dir.path(), &context);
        }
    }
    println!("{}: {ended} processes ended, {in_the_middle} of them in the middle", K::NAME);
    assert!(ended > 10 && in_the_middle > 4, "{ended} ended, {in_the_middle} in the middle");
}

#[test]
fn a_small_disk_runs_full() {
    let Some(disk) = std::env::var_os(DISK) else { return with_own_mounts() };
    let disk = Path::new(&disk);
    let mut mount = Command::new("mount");
    let mounted = mount.args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(disk).status();
    assert!(mounted.expect("mount is there").success(), "a small disk is mounted");
    for (n, left) in [10_000, 90_000, 300_000, 1_100_000].into_iter().enumerate() {
        store_runs_full::<DiskKv>(&disk.join("sled"), left, n);
        store_runs_full::<RedbKv>(&disk.join("redb"), left, n);
        map_runs_full::<DiskKv>(&disk.join(format!("sled map {n}")), left);
        map_runs_full::<RedbKv>(&disk.join(format!("redb map {n}")), left);
    }
}

/// Takes all room on the disk but about `left` bytes, until the file is removed.
fn fill(file: &Path, left: u64) {
    let filler = std::fs::File::create(file).unwrap();
    let take = || {
        let told = rustix::fs::statvfs(file.parent().unwrap()).unwrap();
        let bytes = (told.f_bavail * told.f_frsize).saturating_sub(left).max(1);
        rustix::fs::fallocate(&filler, rustix::fs::FallocateFlags::empty(), 0, bytes)
    };
    // Others write to it as well.
    while take().is_err() {}
}

/// Others fill the disk under a process that writes, but for `left` bytes.
fn store_runs_full<K: RealKv>(dir: &Path, left: u64, round: usize) {
    let context = format!("{} with {left} bytes left", K::NAME);
    std::fs::create_dir_all(dir).unwrap();
    let before = last_ack(dir).map_or(0, |acked| acked.0);
    assert_eq!(before > 0, round > 0, "{context}");
    let mut child = child_command(&this_program(), &[], dir, K::NAME, 1_000_000);
    let child = child.env(CHILD_NOISE, "20000").stderr(Stdio::piped()).spawn().unwrap();
    while last_ack(dir).is_none_or(|acked| acked.0 < before + 10) {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let filler = dir.with_extension("filler");
    fill(&filler, left);
    ends_full(&child.wait_with_output().unwrap(), &context);
    // While there is no room it is refused, which is no damage.
    if K::NAME == DiskKv::NAME {
        let error = open::<K>(dir, 1).err().unwrap_or_else(|| panic!("{context}: it opened"));
        assert!(!error.is_damage() && error.to_string().contains("bytes of room"), "{context}: {error}");
    }
    std::fs::remove_file(filler).unwrap();
    goes_on::<K>(dir, &context);
}

/// As [`store_runs_full`], where each write goes to the database: what was flushed is there, and of the rest a batch
/// is there whole or not at all.
fn map_runs_full<K: RealKv>(dir: &Path, left: u64) {
    let context = format!("{} with {left} bytes left", dir.display());
    let filler = dir.with_extension("filler");
    let kv = K::open_in(dir).unwrap();
    let mut flushed = BTreeMap::new();
    let mut dice = Dice(left);
    let (fault, last) = (0u64..)
        .find_map(|n| {
            let mut now = flushed.clone();
            let mut batch = Batch::default();
            for m in 0..600u64 {
                // Every other batch writes over the one before.
                let key = [(n / 2).to_be_bytes(), m.to_be_bytes()].concat();
                let value: Vec<u8> = (0..125).flat_map(|_| dice.roll().to_be_bytes()).collect();
                batch.put(key.clone(), value.clone().into());
                now.insert(key, Bytes::from(value));
            }
            match kv.apply(&batch).and_then(|()| kv.flush()) {
                Ok(()) => flushed = now,
                Err(fault) => return Some((fault, now)),
            }
            if n == 2 {
                fill(&filler, left);
            }
            None
        })
        .unwrap();
    assert!(fault.to_string().contains(FULL), "{context}: {fault}");
    assert!(flushed.len() >= 1200, "{context}");
    drop(kv);
    std::fs::remove_file(filler).unwrap();
    let kv = K::open_in(dir).unwrap_or_else(|fault| panic!("{context}: {fault}"));
    let mut found = BTreeMap::new();
    kv.range(&[], &[u8::MAX; 17], &mut |key, value| {
        found.insert(key.to_vec(), value.unwrap());
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(found == flushed || found == last, "{context}: {} of {}", found.len(), flushed.len());
    std::fs::remove_dir_all(dir).unwrap();
}

/// Runs the test once more as a process with mounts of its own, which end with it: that needs root, as whom a user
/// namespace passes.
fn with_own_mounts() {
    let disk = tempfile::tempdir().unwrap();
    let user: &[&str] =
        if rustix::process::geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
    let run = Command::new("unshare")
        .args(user)
        .arg("--mount")
        .arg(this_program())
        .args(["--exact", "tests::full::a_small_disk_runs_full", "--nocapture"])
        .env(DISK, disk.path())
        .output()
        .expect("unshare is there");
    let said = String::from_utf8_lossy(&run.stdout);
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.contains("1 passed"), "{said}\n{errors}");
}
