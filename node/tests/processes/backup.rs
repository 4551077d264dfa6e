//! A node saved while it runs, lost, and made again elsewhere: it answers the same, and contradicts nothing it said since.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::harness::{Node, until, written};

const PASSPHRASE: &str = "correct horse battery";

fn secret(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join(format!("{}.pass", text.len()));
    secret_bytes(&path, text.as_bytes());
    path
}

fn secret_bytes(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("closed");
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Another home for the same node.
fn elsewhere(folder: &Path) -> Node {
    Node { home: folder.join("elsewhere/"), process: None, env: Vec::new() }
}

fn restore(node: &Node, file: &Path, pass: &Path) -> Output {
    node.tell(&["restore", text(file), "--passphrase-file", text(pass)])
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn record(published: &Value) -> String {
    published["records"][0]["record"].as_str().expect("an id").to_owned()
}

fn answer(node: &Node, value: &str) -> Value {
    let answer = node.json(&["lookup", value]);
    if answer.is_array() { answer[0].clone() } else { answer }
}

/// Whether the body of a record is erased. Between its end and that, nobody is shown it.
fn is_gone(node: &Node, id: &str) -> bool {
    let shown = node.tell(&["--json", "show", id]);
    serde_json::from_slice::<Value>(&shown.stdout).is_ok_and(|shown| shown["body"] == "gone")
}

/// All records that a node lists of the circle of the mesh.
fn records(node: &Node) -> Vec<Value> {
    let listed = node.tell(&["--json", "query", "--circle", "mesh", "--all-versions", "--limit", "1000"]);
    let lines = String::from_utf8(listed.stdout).expect("text");
    let all = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    all.filter(|record| record["record"].is_string()).collect()
}

/// The epochs of an org's logs in the circle of the mesh.
fn epochs(node: &Node, org: &str) -> Vec<u64> {
    let of_org = records(node).into_iter().filter(|record| record["author"] == org);
    let mut epochs: Vec<u64> = of_org.map(|record| record["epoch"].as_u64().expect("a number")).collect();
    epochs.sort_unstable();
    epochs.dedup();
    epochs
}

#[test]
fn a_node_that_was_lost_comes_back_and_never_contradicts_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::mesh(folder.path(), &["cert-xa", "police-xb"]);
    let pass = secret(folder.path(), PASSPHRASE);
    let publish = |node: &Node, value: &str, to: &str| {
        record(&node.json(&["publish", value, "--tlp", "green", "--to", to]))
    };
    let early = publish(&nodes[1], "203.0.113.1", "mesh");
    publish(&nodes[1], "203.0.113.2", "own");
    let of_partner = publish(&nodes[0], "203.0.113.3", "mesh");
    publish(&nodes[0], "203.0.113.4", "mesh");
    until("they know it", || nodes[1].knows("203.0.113.4") && nodes[0].knows("203.0.113.1"));

    // One circle from which it will be removed meanwhile, and one in which it stays.
    let part = |node: &Node, circle: &str| {
        let all = node.json(&["circle", "list"]);
        let found = all.as_array().expect("a list").iter().find(|known| known["circle"] == circle);
        found.map(|known| known["part"].as_str().expect("a word").to_owned())
    };
    for circle in ["ops", "harbour"] {
        nodes[0].json(&["circle", "create", circle, "--members", "police-xb"]);
        until("it is invited", || nodes[1].tell(&["circle", "accept", circle]).status.success());
        until("both are in", || {
            nodes.iter().all(|node| {
                node.json(&["circle", "show", circle])["members"].as_array().map(Vec::len) == Some(2)
            })
        });
    }
    let amber = |node: &Node, value: &str| {
        node.json(&["publish", value, "--tlp", "amber", "--to", "ops"]);
    };
    amber(&nodes[0], "203.0.113.7");
    amber(&nodes[1], "203.0.113.8");
    until("it reads what is sealed", || nodes[1].knows("203.0.113.7") && nodes[0].knows("203.0.113.8"));

    // Saved while it writes.
    let file = folder.path().join("b.backup");
    let done = AtomicBool::new(false);
    let count = std::thread::scope(|scope| {
        let writes = scope.spawn(|| {
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                publish(&nodes[1], &format!("198.51.100.{count}"), "mesh");
                count += 1;
            }
            count
        });
        let saved = nodes[1].tell(&["--json", "backup", text(&file), "--passphrase-file", text(&pass)]);
        done.store(true, Ordering::Relaxed);
        assert!(saved.status.success(), "{}", told(&saved));
        writes.join().expect("it wrote")
    });
    assert!(count > 0);
    let bytes = fs::read(&file).expect("a file");
    assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
    for clear in [&b"203.0.113.1"[..], b"police-xb", b"tocsin record key"] {
        assert!(!bytes.windows(clear.len()).any(|part| part == clear), "it is encrypted");
    }
    let again = nodes[1].tell(&["backup", text(&file), "--passphrase-file", text(&pass)]);
    assert!(told(&again).contains("exists already") && fs::read(&file).expect("a file") == bytes);

    // What happens behind it: more of its own, what a partner takes back, and what it takes back itself.
    publish(&nodes[1], "203.0.113.5", "mesh");
    nodes[0].json(&["retract", &of_partner, "--reason", "wrong"]);
    nodes[1].json(&["retract", &early, "--reason", "wrong"]);
    nodes[0].json(&["circle", "remove", "harbour", "police-xb"]);
    until("the partner has all of it", || nodes[0].knows("203.0.113.5") && !nodes[0].knows("203.0.113.1"));
    until("it is gone", || !nodes[1].knows("203.0.113.3"));
    let before = epochs(&nodes[0], "police-xb");
    nodes[1].kill();
    nodes[0].kill();

    // It goes nowhere but into an empty home, from a whole file that nobody else reads, under its passphrase.
    let mut back = elsewhere(folder.path());
    let free = || !back.home.exists() && !back.home.with_extension("restoring").exists();
    let wrong = secret(folder.path(), "another passphrase");
    assert!(told(&restore(&back, &file, &wrong)).contains("passphrase is wrong") && free());
    assert!(told(&restore(&nodes[1], &file, &pass)).contains("is not empty"));
    let other = folder.path().join("other.backup");
    for (bytes, says) in [
        (bytes[..bytes.len() - 1].to_vec(), "changed or cut"),
        (bytes[..bytes.len() / 2].to_vec(), "changed or cut"),
        ([&bytes[..bytes.len() - 40], &[0; 40]].concat(), "changed or cut"),
        (b"tocsin backup 1\n".to_vec(), "passphrase is wrong"),
        (b"PK\x03\x04".to_vec(), "no backup of tocsin"),
    ] {
        secret_bytes(&other, &bytes);
        let refused = restore(&back, &other, &pass);
        assert_eq!(refused.status.code(), Some(2));
        assert!(told(&refused).contains(says) && free(), "{}", told(&refused));
    }
    fs::write(&other, &bytes).expect("written");
    fs::set_permissions(&other, fs::Permissions::from_mode(0o644)).expect("opened");
    assert!(told(&restore(&back, &other, &pass)).contains("by others") && free());

    fs::create_dir(&back.home).expect("made");
    let done = restore(&back, &file, &pass);
    assert!(done.status.success(), "{}", told(&done));
    assert!(!back.home.join("root").exists(), "the root key is kept elsewhere");

    // Alone it knows what it knew, calls nothing complete, and what it says does not go on where it was.
    // Nor once it was started again, by when it has a sign of life of its own.
    back.run();
    back.kill();
    back.run();
    for value in ["203.0.113.2", "203.0.113.4", "203.0.113.7", "203.0.113.8"] {
        assert!(back.knows(value));
        assert_eq!(answer(&back, value)["complete"], false);
    }
    publish(&back, "203.0.113.6", "mesh");
    nodes[0].run();
    // Linked again, it knows all that it said, and what was taken back meanwhile, on both sides.
    until("it has again what it said behind the backup", || back.knows("203.0.113.5"));
    until("what was taken back is", || !back.knows("203.0.113.1") && !back.knows("203.0.113.3"));
    for at in 0..count {
        let value = format!("198.51.100.{at}");
        until("it has all that was written beside the backup", || back.knows(&value));
    }
    until("it is told that it is out", || part(&back, "harbour").as_deref() == Some("out"));
    // What it seals now is read, as is what is sealed to it.
    amber(&back, "203.0.113.20");
    amber(&nodes[0], "203.0.113.21");
    until("both read it", || nodes[0].knows("203.0.113.20") && back.knows("203.0.113.21"));
    // It went on in a new log, and nobody saw it say two things.
    until("the partner hears of it", || nodes[0].knows("203.0.113.6"));
    let after = epochs(&nodes[0], "police-xb");
    assert!(after.len() == before.len() + 1 && after.last() > before.last(), "{before:?} {after:?}");
    for node in [&nodes[0], &back] {
        let status = node.json(&["status", "--partners"]).to_string();
        assert!(!status.contains("\"forked\"") && !node.log().contains("fork"), "{status}");
        assert!(records(node).iter().all(|record| record["disputed"] == false));
    }
    until("it is complete", || answer(&back, "203.0.113.4")["complete"] == true);
}

#[test]
fn what_ended_since_does_not_come_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = crate::harness::one(folder.path());
    let pass = secret(folder.path(), PASSPHRASE);
    let short = ["publish", "203.0.113.9", "--tlp", "green", "--to", "own", "--retention", "6s"];
    let id = record(&node.json(&short));
    node.json(&["publish", "203.0.113.10", "--tlp", "green", "--to", "own"]);
    assert!(node.knows("203.0.113.9"));
    let [with, without] = ["with.backup", "without.backup"].map(|name| folder.path().join(name));
    node.json(&["backup", text(&with), "--passphrase-file", text(&pass)]);
    until("it ended", || is_gone(&node, &id));
    node.json(&["backup", text(&without), "--passphrase-file", text(&pass)]);
    node.kill();
    for (file, name) in [(&with, "a"), (&without, "b")] {
        let mut back = Node { home: folder.path().join(name), process: None, env: Vec::new() };
        let done = restore(&back, file, &pass);
        assert!(done.status.success(), "{}", told(&done));
        back.run();
        assert!(!back.knows("203.0.113.9"), "{name}: what ended is not shown, from the first answer on");
        assert!(back.knows("203.0.113.10"));
        until("it is erased", || is_gone(&back, &id));
        back.kill();
    }
}

/// The verb under a limit of the length of files, in KiB: a disk that takes no more.
fn told_when_full(node: &Node, limit: u32, words: &[&str]) -> Output {
    let limited = format!("trap '' XFSZ && ulimit -f {limit} && exec \"$0\" \"$@\"");
    let mut command = Command::new("bash");
    command.args(["-c", &limited, env!("CARGO_BIN_EXE_tocsin"), "--home"]).arg(&node.home).args(words);
    command.stdin(Stdio::null()).output().expect("a shell is there")
}

#[test]
fn nothing_half_written_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = crate::harness::one(folder.path());
    let pass = secret(folder.path(), PASSPHRASE);
    let short = secret(folder.path(), "short");
    // So much that the file has several chunks.
    let spread = |at: u32| at.wrapping_mul(2_654_435_761) >> 8;
    let address = |bits: u32| format!("45.{}.{}.{}\n", bits >> 16, bits >> 8 & 255, bits & 255);
    let lines: String = (0..40_000).map(|at| address(spread(at))).collect();
    let list = written(folder.path(), "many.txt", &lines);
    node.json(&["import", text(&list), "--tlp", "green"]);
    let file = folder.path().join("a.backup");
    let save = ["backup", text(&file), "--passphrase-file", text(&pass)];
    let names = || {
        let entries = fs::read_dir(folder.path()).expect("a folder");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    let full = told_when_full(&node, 4, &save);
    assert!(!full.status.success() && names() == before, "{}", told(&full));
    let weak = node.tell(&["backup", text(&file), "--passphrase-file", text(&short)]);
    assert!(told(&weak).contains("shorter than") && names() == before, "{}", told(&weak));
    let without = node.tell(&["backup", text(&file)]);
    assert!(told(&without).contains("--passphrase-file") && names() == before, "{}", told(&without));
    node.json(&save);
    node.kill();
    let asleep =
        node.tell(&["backup", text(&folder.path().join("b.backup")), "--passphrase-file", text(&pass)]);
    assert!(told(&asleep).contains("start it with"), "{}", told(&asleep));

    let back = elsewhere(folder.path());
    let before = names();
    let full = told_when_full(&back, 100, &["restore", text(&file), "--passphrase-file", text(&pass)]);
    assert!(!full.status.success() && names() == before, "{}", told(&full));
    let bytes = fs::read(&file).expect("a file");

    let chunk = |number: usize| 48 + number * 65_552;
    assert!(bytes.len() > chunk(2), "{} bytes are too few to be cut between chunks", bytes.len());
    let other = folder.path().join("other.backup");
    secret_bytes(&other, &bytes);
    let before = names();
    let mut changed = bytes.clone();
    changed[chunk(2)] ^= 1;
    for bytes in [&bytes[..chunk(2)], &bytes[..chunk(1) + 100], &changed, &bytes[..bytes.len() - 1]] {
        secret_bytes(&other, bytes);
        let refused = restore(&back, &other, &pass);
        let error = told(&refused);
        assert!(error.contains("changed or cut behind") && names() == before, "{error}");
    }
    // What another restore is about to fill is left alone.
    let aside = back.home.with_extension("restoring");
    fs::create_dir(&aside).expect("made");
    assert!(told(&restore(&back, &file, &pass)).contains("another restore") && aside.exists());
    fs::remove_dir(&aside).expect("removed");
    let done = restore(&back, &file, &pass);
    assert!(done.status.success(), "{}", told(&done));
    assert!(told(&restore(&back, &file, &pass)).contains("is not empty"));
}

#[test]
fn what_ended_while_a_backup_lay_there_is_hidden_once_somebody_says_what_time_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = crate::harness::one(folder.path());
    let pass = secret(folder.path(), PASSPHRASE);
    let month = ["publish", "203.0.113.9", "--tlp", "green", "--to", "mesh", "--retention", "30d"];
    let id = record(&node.json(&month));
    let file = folder.path().join("a.backup");
    node.json(&["backup", text(&file), "--passphrase-file", text(&pass)]);
    node.kill();
    let later = crate::clock::ahead(60 * 86_400, false);
    for (name, words) in [("sure", &["--confirm-clock"][..]), ("unsure", &[])] {
        let mut back = Node { home: folder.path().join(name), process: None, env: later.clone() };
        let mut command = back.command();
        command.envs(later.clone()).arg("restore").arg(&file).arg("--passphrase-file").arg(&pass).args(words);
        let done = command.output().expect("the program runs");
        assert!(done.status.success(), "{}", told(&done));
        let says = String::from_utf8_lossy(&done.stdout).into_owned();
        assert_eq!(says.contains("tocsin clock confirm"), words.is_empty(), "{says}");
        back.run();
        if words.is_empty() {
            // As after any time that a machine was off.
            let said = answer(&back, "203.0.113.9");
            assert_eq!((&said["known"], &said["complete"]), (&true.into(), &false.into()), "{said}");
            back.json(&["clock", "confirm"]);
            until("it is hidden", || !back.knows("203.0.113.9"));
        }
        assert!(!back.knows("203.0.113.9"), "{name}: it is not shown");
        until("it is erased", || is_gone(&back, &id));
        back.kill();
    }
    // Nobody vouches for a clock that is before the backup.
    let back = Node { home: folder.path().join("early"), process: None, env: Vec::new() };
    let mut command = back.command();
    let early = crate::clock::ahead(0, false);
    let early = early
        .into_iter()
        .map(|(name, value)| (name, if name == "FAKETIME" { "-1d".to_owned() } else { value }));
    command.envs(early).arg("restore").arg(&file).arg("--passphrase-file").arg(&pass).arg("--confirm-clock");
    let refused = command.output().expect("the program runs");
    assert!(told(&refused).contains("before the backup") && !back.home.exists(), "{}", told(&refused));
}
