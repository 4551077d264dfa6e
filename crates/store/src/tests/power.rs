//! Power cuts under the real program: what it wrote is recorded as the kernel saw it, and a disk is made of that as a cut
//! at any moment may leave it. Of what was not synced each write is kept, lost or torn, and of the names that were not
//! synced the first ones are there. Nothing that was acknowledged before the cut is missing.
#![expect(clippy::disallowed_methods, reason = "the test starts a process of its own")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::disk::{child_command, this_program};
use super::second::{RealKv, RedbKv, open};
use super::*;
use crate::{BodyState, DiskKv, LogNo, RecordRef};

/// Runs that the recorded program appends.
const RUNS: u64 = 150;
/// What a disk writes as a whole, in bytes.
const SECTOR: usize = 512;

/// What the program did, as far as it matters to a disk.
#[derive(Clone, Debug)]
enum Op {
    /// A file is opened, and made if it is not there.
    Open {
        path: PathBuf,
        create: bool,
        truncate: bool,
    },
    Mkdir(PathBuf),
    Write {
        path: PathBuf,
        at: usize,
        data: Vec<u8>,
    },
    Cut {
        path: PathBuf,
        len: usize,
    },
    /// What was done before the operation of this number is on the disk.
    Sync {
        path: PathBuf,
        before: usize,
    },
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
    Ack(String),
}

/// A file or directory, whatever it is called.
#[derive(Clone, Debug, Default)]
struct Inode {
    directory: bool,
    synced: Vec<u8>,
    /// With the number of each.
    pending: Vec<(usize, Change)>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>, mut keeps: impl FnMut() -> bool) {
        match self {
            Self::Cut(len) => bytes.resize(*len, 0),
            Self::Write(at, data) => {
                let mut from = 0;
                while from < data.len() {
                    let to = (from + SECTOR - (at + from) % SECTOR).min(data.len());
                    if keeps() {
                        if bytes.len() < at + to {
                            bytes.resize(at + to, 0);
                        }
                        bytes[at + from..at + to].copy_from_slice(&data[from..to]);
                    }
                    from = to;
                }
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Name {
    Put(PathBuf, usize),
    Gone(PathBuf),
}

impl Name {
    fn path(&self) -> &Path {
        let (Self::Put(path, _) | Self::Gone(path)) = self;
        path
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Put(path, inode) => drop(names.insert(path.clone(), *inode)),
            Self::Gone(path) => drop(names.remove(path)),
        }
    }
}

/// The disk beneath a file system that keeps to POSIX and to nothing more.
#[derive(Clone, Debug, Default)]
struct Model {
    inodes: Vec<Inode>,
    /// As the program sees them.
    names: BTreeMap<PathBuf, usize>,
    /// As they are on the disk.
    synced: BTreeMap<PathBuf, usize>,
    pending: Vec<Name>,
}

impl Model {
    fn name(&mut self, name: Name) {
        name.apply(&mut self.names);
        self.pending.push(name);
    }

    fn make(&mut self, path: &Path, directory: bool) {
        if !self.names.contains_key(path) {
            self.inodes.push(Inode { directory, ..Inode::default() });
            self.name(Name::Put(path.to_path_buf(), self.inodes.len() - 1));
        }
    }

    fn change(&mut self, number: usize, path: &Path, change: Change) {
        let inode = *self.names.get(path).unwrap_or_else(|| panic!("{} was never made", path.display()));
        self.inodes[inode].pending.push((number, change));
    }

    fn apply(&mut self, number: usize, op: &Op) {
        match op {
            Op::Open { path, create, truncate } => {
                if *create {
                    self.make(path, false);
                }
                if *truncate {
                    self.change(number, path, Change::Cut(0));
                }
            }
            Op::Mkdir(path) => self.make(path, true),
            Op::Write { path, at, data } => self.change(number, path, Change::Write(*at, data.clone())),
            Op::Cut { path, len } => self.change(number, path, Change::Cut(*len)),
            Op::Unlink(path) => self.name(Name::Gone(path.clone())),
            Op::Rename(from, to) => {
                let inode = self.names[from];
                self.name(Name::Put(to.clone(), inode));
                self.name(Name::Gone(from.clone()));
            }
            Op::Sync { path, before } => {
                let Some(inode) = self.names.get(path).map(|inode| &mut self.inodes[*inode]) else { return };
                for (_, change) in inode.pending.extract_if(.., |(number, _)| *number < *before) {
                    change.apply(&mut inode.synced, || true);
                }
                if inode.directory {
                    let synced = &mut self.synced;
                    self.pending.retain(|name| {
                        let here = name.path().parent() == Some(path);
                        if here {
                            name.apply(synced);
                        }
                        !here
                    });
                }
            }
            Op::Ack(_) => {}
        }
    }

    /// What a cut leaves, in `dir` instead of `was`.
    fn cut(&self, dice: &mut Dice, was: &Path, dir: &Path) {
        let mut names = self.synced.clone();
        let kept = dice.below(self.pending.len() as u64 + 1) as usize;
        self.pending[..kept].iter().for_each(|name| name.apply(&mut names));
        for (path, inode) in &names {
            let inode = &self.inodes[*inode];
            let path = dir.join(path.strip_prefix(was).unwrap());
            if inode.directory {
                let _ = std::fs::create_dir(&path);
                continue;
            }
            let mut bytes = inode.synced.clone();
            for (_, change) in &inode.pending {
                match dice.below(3) {
                    0 => change.apply(&mut bytes, || true),
                    1 => change.apply(&mut bytes, || dice.below(2) == 0),
                    _ => {}
                }
            }
            // In a directory whose name was lost there is nothing.
            let _ = std::fs::write(&path, bytes);
        }
    }
}

/// Undoes what `strace -xx` makes of bytes.
fn unescape(text: &str) -> Vec<u8> {
    text.split("\\x").skip(1).map(|hex| u8::from_str_radix(&hex[..2], 16).unwrap()).collect()
}

/// What stands between angle brackets: the paths of descriptors.
fn bracketed(text: &str) -> Option<&str> {
    Some(text.split_once('<')?.1.split_once('>')?.0)
}

/// What stands in quotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('"').skip(1).step_by(2).collect()
}

/// Reads the calls that concern `root`.
fn parse(trace: &str, root: &Path) -> Vec<Op> {
    let mut ops: Vec<Op> = Vec::new();
    // By process: a call that did not return yet, and how much had been done when it began.
    let mut unfinished: BTreeMap<&str, (String, usize)> = BTreeMap::new();
    let mut positions: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for line in trace.lines() {
        let Some((process, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
            unfinished.insert(process, (begun.to_owned(), ops.len()));
            continue;
        }
        let (text, before) = match rest.strip_prefix("<... ") {
            Some(resumed) => match unfinished.remove(process) {
                Some((begun, before)) => {
                    let end = resumed.split_once("resumed>").map_or("", |(_, end)| end);
                    (begun + end, before)
                }
                None => continue,
            },
            None => (rest.to_owned(), ops.len()),
        };
        let Some((call, rest)) = text.split_once('(') else { continue };
        let Some((arguments, result)) = rest.rsplit_once(") = ").or_else(|| rest.rsplit_once(" = ")) else {
            continue;
        };
        if result.starts_with('-') {
            continue;
        }
        let path = |escaped: &str| PathBuf::from(String::from_utf8(unescape(escaped)).unwrap());
        // The first path that stands for a descriptor, or the paths that were named.
        let descriptor = bracketed(arguments).map(path);
        let named = || quoted(arguments).into_iter().map(path);
        let number = |n: usize| arguments.rsplit(", ").nth(n).and_then(|n| n.parse::<usize>().ok()).unwrap();
        let of = |path: &Option<PathBuf>| path.clone().filter(|path| path.starts_with(root));
        let op = match call {
            "openat" => {
                let Some(path) = of(&bracketed(result).map(path)) else {
                    continue;
                };
                positions.remove(&path);
                let has = |flag| arguments.contains(flag);
                Op::Open { path, create: has("O_CREAT"), truncate: has("O_TRUNC") }
            }
            "mkdir" => match of(&named().next()) {
                Some(path) => Op::Mkdir(path),
                None => continue,
            },
            "unlink" => match of(&named().next()) {
                Some(path) => Op::Unlink(path),
                None => continue,
            },
            "rename" => match of(&named().next()) {
                Some(from) => Op::Rename(from, named().nth(1).unwrap()),
                None => continue,
            },
            "write" | "pwrite64" => {
                let Some(path) = of(&descriptor) else { continue };
                let escaped = quoted(arguments)[0];
                assert!(!arguments.contains("\"..."), "the recording is cut short");
                let mut data = unescape(escaped);
                data.truncate(result.parse().unwrap());
                if path.ends_with("acks") {
                    ops.push(Op::Ack(String::from_utf8(data).unwrap()));
                    continue;
                }
                let at =
                    if call == "write" { *positions.entry(path.clone()).or_default() } else { number(0) };
                if call == "write" {
                    positions.insert(path.clone(), at + data.len());
                }
                Op::Write { path, at, data }
            }
            "ftruncate" => match of(&descriptor) {
                Some(path) => Op::Cut { path, len: number(0) },
                None => continue,
            },
            "fsync" | "fdatasync" => match of(&descriptor) {
                Some(path) => Op::Sync { path, before },
                None => continue,
            },
            other => {
                assert!(of(&descriptor).is_none(), "the model knows nothing of {other}");
                continue;
            }
        };
        ops.push(op);
    }
    ops
}

fn record(dir: &Path, kv: &str) -> Vec<Op> {
    let trace = dir.join("trace");
    let calls = "trace=openat,mkdir,unlink,rename,write,pwrite64,ftruncate,fsync,fdatasync,writev,pwritev,fallocate,\
                 unlinkat,renameat,renameat2,mkdirat,copy_file_range,sendfile";
    let arguments =
        ["-f", "-y", "-xx", "-s", "67108864", "-e", calls, "-o", trace.to_str().unwrap(), &this_program()];
    let store = dir.join("home");
    std::fs::create_dir(&store).unwrap();
    let status = child_command("strace", &arguments, &store, kv, RUNS).status().unwrap();
    assert!(status.success(), "strace: {status}");
    parse(&std::fs::read_to_string(trace).unwrap(), &store)
}

#[test]
fn nothing_acknowledged_is_lost_by_a_power_cut() {
    cut_the_power::<DiskKv>();
}

#[test]
fn nor_on_the_second_map() {
    cut_the_power::<RedbKv>();
}

fn cut_the_power<K: RealKv>() {
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        assert!(std::env::var_os("CI").is_none(), "strace is needed for this test and is not installed");
        return;
    }
    let seeds: u64 = std::env::var("TOCSIN_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(30);
    let recorded = tempfile::tempdir().unwrap();
    let ops = record(recorded.path(), K::NAME);
    let home = recorded.path().join("home");
    assert_eq!(ops.iter().filter(|op| matches!(op, Op::Ack(_))).count() as u64, RUNS);
    // Compaction is in it.
    let unlinks = ops
        .iter()
        .filter(|op| matches!(op, Op::Unlink(path) if path.starts_with(home.join("store/values"))))
        .count();
    assert_eq!(unlinks > 0, K::NAME == DiskKv::NAME);
    let mut cuts: Vec<(usize, u64)> =
        (0..seeds).map(|seed| (Dice(seed).below(ops.len() as u64) as usize, seed)).collect();
    cuts.sort_unstable();
    let mut model = Model::default();
    model.make(&home, true);
    model.pending.drain(..).for_each(|name| name.apply(&mut model.synced));
    let mut cuts = cuts.into_iter().peekable();
    let mut acked: Option<&str> = None;
    let mut lost = 0;
    for (number, op) in ops.iter().enumerate() {
        while let Some((_, seed)) = cuts.next_if(|(at, _)| *at == number) {
            let dir = tempfile::tempdir().unwrap();
            model.cut(&mut Dice(seed), &home, dir.path());
            let context = format!("seed {seed}: cut before {number} of {}", ops.len());
            lost += model.inodes.iter().map(|inode| inode.pending.len()).sum::<usize>();
            check::<K>(dir.path(), acked, &context);
        }
        model.apply(number, op);
        if let Op::Ack(line) = op {
            acked = Some(line);
        }
    }
    println!("{seeds} cuts in {} operations, {lost} writes in the balance", ops.len());
    assert!(lost > 0);
}

/// The last record that was acknowledged is there, with all before it.
fn check<K: RealKv>(dir: &Path, acked: Option<&str>, context: &str) {
    let store = match (open::<K>(dir, 1), acked) {
        (Ok(store), _) => store,
        (Err(error), None) => return assert!(error.is_damage(), "{context}: {error}"),
        (Err(error), Some(_)) => panic!("{context}: {error}"),
    };
    assert!(store.damaged().is_empty(), "{context}: {:?}", store.damaged());
    let Some(acked) = acked else { return };
    let mut fields = acked.trim().split(' ').skip(1);
    let seq: u64 = fields.next().unwrap().parse().unwrap();
    let id: tocsin_record::RecordId = fields.next().unwrap().parse().unwrap();
    let reader = store.reader();
    assert_eq!(reader.find(&id).unwrap(), Some(RecordRef { log: LogNo(0), seq }), "{context}");
    for seq in 1..=seq {
        let stored = reader.record(RecordRef { log: LogNo(0), seq }).unwrap().unwrap();
        let here = stored.stamped.outcome.body == BodyState::Here;
        assert_eq!(stored.entry.body().is_some(), here, "{context}: {seq}");
    }
}
