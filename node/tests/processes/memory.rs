//! What is erased leaves the memory of a running node as well.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;

use crate::harness::{Node, until};

/// How often these bytes are in what a node's process may write to and the system may swap out. A process lets nobody read
/// that (`cli::guard`) but who may trace any process: root, and who made the user namespace in which it runs
/// ([`Node::run_where_traced`]).
fn copies(node: &Node, bytes: &[u8]) -> usize {
    let pid = node.process.as_ref().expect("it runs").id();
    let memory = File::open(format!("/proc/{pid}/mem")).expect("it may be traced");
    let maps = fs::read_to_string(format!("/proc/{pid}/smaps")).expect("it may be traced");
    let mut found = 0;
    let (mut from, mut to) = (0, 0);
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().expect("no line is empty");
        let address = |hex| u64::from_str_radix(hex, 16).ok();
        if let Some(range) = first.split_once('-').and_then(|(from, to)| Some((address(from)?, address(to)?)))
        {
            (from, to) = range;
        }
        // The last line of a region: `wr` may be written to, `lo` is locked (proc_pid_smaps(5)).
        let flags: Vec<&str> = words.collect();
        if first != "VmFlags:" || !flags.contains(&"wr") || flags.contains(&"lo") {
            continue;
        }
        let mut region = vec![0; usize::try_from(to - from).expect("an address")];
        // A region may have gone since it was listed: then nothing is in it.
        let read = memory.read_at(&mut region, from).unwrap_or(0);
        found += occurrences(&region[..read], bytes);
    }
    found
}

fn occurrences(mut bytes: &[u8], text: &[u8]) -> usize {
    let mut found = 0;
    while let Some(at) = bytes.iter().position(|byte| *byte == text[0]) {
        bytes = &bytes[at..];
        found += usize::from(bytes.starts_with(text));
        bytes = &bytes[1..];
    }
    found
}

/// The two halves of a word: who finds neither finds no piece of it that says much.
fn halves(word: &str) -> [&str; 2] {
    let (first, second) = word.split_at(word.len() / 2);
    [first, second]
}

fn publish(node: &Node, value: &str, title: &str) -> String {
    let args = ["publish", value, "--tlp", "green", "--to", "mesh", "--title", title];
    node.json(&args)["records"][0]["record"].as_str().expect("an id").to_owned()
}

#[test]
fn what_was_erased_is_in_no_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::mesh(folder.path(), &["cert-aa", "police-bb"]);
    for node in &mut nodes {
        node.stop();
        node.run_where_traced();
    }
    // In a domain, in a title, in a file, and in what was caught up with; each of 24 letters and of no other word.
    let [live, title, listed, late] = [
        "jwqhxzvkpqgbtfyzrwxmqdjk",
        "vxkzqjwphgybqzfdxmkjwrtq",
        "zkqxjvwbhmqpdyxgfkzjtwqr",
        "xqvjzhkwgqmbpzdyjfxktqrw",
    ];
    let domain = |label: &str| format!("{label}.example");
    let mut ids = vec![publish(&nodes[1], &domain(live), &format!("Phishing {title}"))];
    let file = folder.path().join("list.csv");
    let mut list = File::create(&file).expect("made");
    writeln!(list, "domain,comment").expect("written");
    for n in 0..200 {
        writeln!(list, "{n}.{},seen {n}", domain(listed)).expect("written");
    }
    drop(list);
    let file = file.to_str().expect("UTF-8");
    nodes[1].json(&["import", file, "--tlp", "green", "--share", "mesh"]);
    ids.push(nodes[1].json(&["query", "--text", "list.csv"])["subject"].as_str().expect("an id").to_owned());
    until("they came", || {
        nodes[0].knows(&domain(live)) && nodes[0].knows(&format!("199.{}", domain(listed)))
    });
    nodes[0].stop();
    ids.push(publish(&nodes[1], &domain(late), "Phishing"));
    nodes[0].run_where_traced();
    until("it caught up", || nodes[0].knows(&domain(late)));
    for node in &nodes {
        // So that something is found at all: it looks for what is there.
        assert!(copies(node, node.home.as_os_str().as_bytes()) > 0, "its own arguments are found");
        for label in [live, late, listed] {
            node.tell(&["lookup", &domain(label)]);
        }
        node.json(&["show", &ids[0]]);
        node.json(&["query", "--text", title]);
    }
    for id in &ids {
        nodes[1].json(&["retract", id, "--reason", "wrong"]);
    }
    for node in &nodes {
        let values = [domain(live), domain(late), format!("199.{}", domain(listed))];
        until("they are taken back", || !values.iter().any(|value| node.knows(value)));
    }
    for node in &nodes {
        for half in [live, title, listed, late].iter().flat_map(|word| halves(word)) {
            until("no copy is in memory", || copies(node, half.as_bytes()) == 0);
        }
    }
}

#[test]
fn the_key_that_signs_lies_in_locked_memory_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = Node::mesh(folder.path(), &["cert-aa"]).pop().expect("one");
    node.stop();
    node.run_where_traced();
    publish(&node, "evil.example", "Phishing");
    let text = fs::read_to_string(node.home.join("keys/record.key")).expect("a key");
    let digits = text.lines().nth(1).expect("the seed").as_bytes();
    let byte =
        |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hexadecimal");
    let seed: Vec<u8> = digits.chunks(2).map(byte).collect();
    assert_eq!(seed.len(), 32);
    assert_eq!((copies(&node, &seed), copies(&node, digits)), (0, 0));
}
