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

/// Of a program's file, what kind it is, and the kinds and flags of its segments (ELF, 64 bits, little-endian).
fn segments(program: &str) -> (u16, Vec<(u32, u32)>) {
    let bytes = fs::read(program).expect("a file");
    assert_eq!(bytes[..6], *b"\x7fELF\x02\x01", "{program}");
    let number = |at: usize, len: usize| {
        bytes[at..at + len].iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
    };
    let small = |at, len| u32::try_from(number(at, len)).expect("at most 4 bytes");
    let (begin, len) = (number(32, 8) as usize, number(54, 2) as usize);
    let segments = (0..number(56, 2) as usize).map(|place| begin + place * len);
    (number(16, 2) as u16, segments.map(|at| (small(at, 4), small(at + 4, 4))).collect())
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

#[cfg(all(target_os = "linux", target_pointer_width = "64", target_endian = "little"))]
#[test]
fn both_are_put_anywhere_and_the_command_is_whole() {
    const ANYWHERE: u16 = 3;
    const INTERPRETER: u32 = 3;
    const STACK: u32 = 0x6474_e551;
    const READ_ONLY_AFTER_START: u32 = 0x6474_e552;
    const EXECUTABLE: u32 = 1;
    for program in [COMMAND, NODE_PROGRAM] {
        let (kind, segments) = segments(program);
        assert_eq!(kind, ANYWHERE, "{program}");
        assert!(segments.iter().any(|(kind, _)| *kind == READ_ONLY_AFTER_START), "{program}: {segments:x?}");
        let stack = segments.iter().find(|(kind, _)| *kind == STACK).expect("it says what its stack is");
        assert_eq!(stack.1 & EXECUTABLE, 0, "{program}: {segments:x?}");
    }
    // Where the build found the archives: what finds shared libraries takes a quarter of a call.
    if option_env!("TOCSIN_COMMAND_LINKS") == Some("archives") {
        let (_, segments) = segments(COMMAND);
        assert!(segments.iter().all(|(kind, _)| *kind != INTERPRETER), "{segments:x?}");
        // Of a C library that is brought along, this would load parts of the system's, which may be another.
        assert!(!text(COMMAND).contains("_nss_files_getpwuid_r"), "the command asks for users by itself");
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
fn without_an_environment_both_find_one_home() {
    let [command, node] = [COMMAND, NODE_PROGRAM].map(|program| {
        let mut call = Command::new(program);
        call.args(["--json", "status"]).env_remove("HOME").env_remove("TOCSIN_HOME");
        call.output().expect("the program runs")
    });
    assert_eq!(command, node);
    assert_eq!(command.status.code(), Some(2), "{command:?}");
    assert!(String::from_utf8_lossy(&command.stderr).contains(".tocsin"), "{command:?}");
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
    // A link, on one file system: a copy that was just written may be held open by what other tests start meanwhile.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let alone = folder.path().join("tocsin");
    fs::hard_link(COMMAND, &alone).expect("a link");
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
