//! The two programs: the small command, and the node program that it becomes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use crate::harness::{Node, until};

const COMMAND: &str = env!("CARGO_BIN_EXE_tocsin");
const NODE_PROGRAM: &str = env!("CARGO_BIN_EXE_tocsin-node");
/// How symbols name what only a node needs: each crate's name behind its length.
const OF_NODES: [&str; 8] = [
    "12libp2p_swarm",
    "11quinn_proto",
    "17cedar_policy_core",
    "4sled",
    "5tokio7runtime",
    "18tracing_subscriber",
    "12tocsin_store",
    "13tocsin_policy",
];

fn call(program: impl AsRef<Path>, words: &[&str]) -> Output {
    Command::new(program.as_ref()).args(words).env("COLUMNS", "100").output().expect("the program runs")
}

/// The bytes of a program, as far as they are text: its symbols are.
fn text(program: &str) -> String {
    String::from_utf8_lossy(&fs::read(program).expect("a file")).into_owned()
}

#[test]
fn the_command_links_nothing_of_a_node() {
    let (command, node) = (text(COMMAND), text(NODE_PROGRAM));
    assert!(command.contains("10tocsin_api"), "symbols are found");
    for name in OF_NODES {
        assert!(node.contains(name), "a node is made of {name}, or the name is another now");
        assert!(!command.contains(name), "the command links {name}");
    }
}

#[test]
fn both_read_the_same_words() {
    let pages: [&[&str]; 6] = [
        &["--help"],
        &["--version"],
        &["run", "--help"],
        &["help", "policy"],
        &["testnet", "up"],
        &["--json", "lokup", "192.0.2.1"],
    ];
    for words in pages {
        let (command, node) = (call(COMMAND, words), call(NODE_PROGRAM, words));
        assert_eq!(command, node, "{words:?}");
    }
    let help = String::from_utf8(call(COMMAND, &["--help"]).stdout).expect("text");
    for verb in ["lookup", "run", "policy", "testnet", "demo"] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(verb)), "{verb} is not in the help");
    }
}

#[test]
fn a_verb_of_the_node_keeps_its_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = Node::make(folder.path(), "cert-aa", None);
    node.json(&["mesh", "found", "--name", "ring"]);
    node.run();
    let mut process = node.process.take().expect("it runs");
    // By its name: where the file is, the system tells nobody else of a process that leaves no memory behind.
    let runs = fs::read_to_string(format!("/proc/{}/comm", process.id())).expect("it runs");
    assert_eq!(runs.trim_end(), "tocsin-node");
    let called = fs::read_to_string(format!("/proc/{}/cmdline", process.id())).expect("it runs");
    assert!(called.starts_with(&format!("{COMMAND}\0--home\0")), "{called}");
    let told = Command::new("kill").arg(process.id().to_string()).status().expect("kill runs");
    assert!(told.success());
    until("it stopped", || process.try_wait().expect("a process").is_some());
    assert_eq!(process.wait().expect("a process").code(), Some(0));
}

#[test]
fn the_node_program_is_found_beside_the_file_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join("tocsin");
    symlink(COMMAND, &link).expect("a link");
    let schema = call(&link, &["policy", "schema"]);
    assert!(schema.status.success() && schema.stdout.starts_with(b"//"), "{schema:?}");
}

#[test]
fn a_node_program_that_is_missing_or_of_another_version_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let alone = folder.path().join("tocsin");
    fs::copy(COMMAND, &alone).expect("a copy");
    let missing = call(&alone, &["policy", "schema"]);
    let told = String::from_utf8_lossy(&missing.stderr);
    assert_eq!(missing.status.code(), Some(2), "{told}");
    let beside = folder.path().canonicalize().expect("a folder").join("tocsin-node");
    assert!(told.contains(&beside.display().to_string()) && told.contains("cargo install"), "{told}");
    // What needs none works as ever.
    assert!(call(&alone, &["config", "--sample"]).status.success());

    let other = Command::new(NODE_PROGRAM)
        .args(["--json", "policy", "schema"])
        .env("TOCSIN_COMMAND_VERSION", "0.0.9")
        .output()
        .expect("the program runs");
    let told: serde_json::Value = serde_json::from_slice(&other.stderr).expect("JSON");
    let told = told["error"].as_str().expect("an error");
    assert_eq!(other.status.code(), Some(2), "{told}");
    assert!(told.contains("0.0.9") && told.contains("cargo install"), "{told}");
}
