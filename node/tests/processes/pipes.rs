//! A reader that went away is no error of ours: nothing panics, nothing is told of it.

use std::io::{PipeWriter, pipe};
use std::process::{Command, Stdio};

use crate::harness::{Node, one, until, written};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tocsin");
const NODE_PROGRAM: &str = env!("CARGO_BIN_EXE_tocsin-node");

/// A pipe that nobody reads.
fn closed() -> PipeWriter {
    pipe().expect("a pipe").1
}

#[test]
fn every_verb_writes_into_a_closed_pipe() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = one(folder.path());
    let home = node.home.to_str().expect("UTF-8");
    let list = written(folder.path(), "list.txt", "192.0.2.1\n192.0.2.2\n");
    let list = list.to_str().expect("UTF-8");
    let other = folder.path().join("bb");
    let other = other.to_str().expect("UTF-8");
    let known = node.json(&["publish", "198.51.100.7", "--tlp", "green", "--to", "own"]);
    let record = known["records"][0]["record"].as_str().expect("an id");
    let verbs: &[(i32, &[&str])] = &[
        (0, &["--help"]),
        (0, &["--version"]),
        (0, &["help", "demo"]),
        (2, &["lokup"]),
        (2, &["--json", "lokup"]),
        (0, &["--home", other, "init", "--name", "bb", "--country", "QM", "--no-passphrase"]),
        (2, &["--home", other, "status"]),
        (0, &["--home", home, "mesh", "show"]),
        (2, &["--home", home, "join", "/nowhere.invite"]),
        (2, &["--home", home, "run"]),
        (0, &["--home", home, "status", "--logs"]),
        (0, &["--home", home, "import", list, "--tlp", "green"]),
        (0, &["--home", home, "share", record, "--to", "mesh"]),
        (0, &["--home", home, "publish", "198.51.100.8", "--tlp", "green", "--to", "mesh"]),
        (0, &["--home", home, "lookup", "198.51.100.7"]),
        (0, &["--home", home, "query"]),
        (0, &["--home", home, "--json", "query"]),
        (0, &["--home", home, "show", record]),
        (0, &["--home", home, "show", record, "--original"]),
        (0, &["--home", home, "why", record]),
        (0, &["--home", home, "policy", "check"]),
        (0, &["--home", home, "policy", "schema"]),
        (0, &["--home", home, "clock"]),
        (0, &["--home", home, "config"]),
        (2, &["testnet", "status", "--dir", other]),
        (2, &["demo", "--file", "/nowhere.toml"]),
        (0, &["--home", home, "retract", record, "--reason", "wrong"]),
    ];
    for program in [PROGRAM, NODE_PROGRAM] {
        for (code, words) in verbs {
            // The second program finds made and taken back what the first did.
            let done = [*code, if program == NODE_PROGRAM { 2 } else { *code }];
            let mut command = Command::new(program);
            command.args(*words).stdin(Stdio::null()).stdout(closed());
            let output = command.stderr(Stdio::piped()).spawn().and_then(|child| child.wait_with_output());
            let output = output.expect("the program runs");
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.code().is_some_and(|code| done.contains(&code)),
                "{words:?}: {:?} {told}",
                output.status
            );
            assert!(!told.contains("panicked") && !told.to_lowercase().contains("pipe"), "{words:?}: {told}");
            if *code == 2 {
                let status = command.stdout(closed()).stderr(closed()).status().expect("the program runs");
                assert_eq!(status.code(), Some(2), "{words:?}");
            }
        }
    }
}

#[test]
fn who_watches_into_a_closed_pipe_ends_with_the_first_event() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = one(folder.path());
    let mut watch =
        node.command().arg("watch").stdout(closed()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut count = 0;
    until("it saw something", || {
        count += 1;
        node.json(&["publish", &format!("198.51.100.{count}"), "--tlp", "green", "--to", "mesh"]);
        watch.try_wait().expect("a process").is_some()
    });
    let output = watch.wait_with_output().expect("it ended");
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
}

#[test]
fn a_node_whose_log_nobody_reads_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = Node::make(folder.path(), "cert-aa", None);
    node.json(&["mesh", "found", "--name", "ring"]);
    let mut command = node.command();
    command.args(["run", "--log", "debug"]).stdout(closed()).stderr(closed());
    node.process = Some(command.spawn().expect("it runs"));
    until("it answers", || node.tell(&["status"]).status.success());
    node.json(&["publish", "198.51.100.7", "--tlp", "green", "--to", "mesh"]);
    assert!(node.knows("198.51.100.7"));
    node.stop();
}
