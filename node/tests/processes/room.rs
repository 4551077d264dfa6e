//! A node whose disk runs full: what it tells, what it refuses, and what goes on.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use crate::harness::{Node, until};

/// Set where this test runs with mounts of its own: the folder for its disk.
const DISK: &str = "TOCSIN_TEST_DISK";
const MIB: u64 = 1 << 20;
/// Of the disk.
const SIZE: u64 = 256 * MIB;

#[test]
fn a_full_disk_is_told_and_nothing_new_is_written_while_taking_back_goes_on() {
    let Some(disk) = std::env::var_os(DISK) else { return with_own_mounts() };
    let disk = Path::new(&disk);
    let size = format!("size={SIZE}");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(disk).status();
    assert!(mounted.expect("mount is there").success(), "a small disk is mounted");

    let mut nodes = Node::mesh(disk, &["cert-aa"]);
    let node = &mut nodes[0];
    let id =
        node.json(&["publish", "192.0.2.1", "--tlp", "green", "--to", "own"])["records"][0]["record"].clone();
    let id = id.as_str().expect("an id");
    let status = node.json(&["status"]);
    assert_eq!(status["disk"]["size_bytes"], SIZE);
    assert!(free(node) > SIZE / 10, "{status}");
    assert!(!alarmed(node, "has only"), "{status}");

    // Low: told, and all goes on.
    fill(disk, "some", 12 * MIB);
    assert!(alarmed(node, "has only"), "{}", node.json(&["status"]));
    let text = String::from_utf8(node.tell(&["status"]).stdout).expect("UTF-8");
    assert!(text.contains("free of 256.0 MiB"), "{text}");
    node.json(&["publish", "192.0.2.2", "--tlp", "green", "--to", "own"]);

    // Spent: nothing new.
    fill(disk, "more", 3 * MIB);
    assert!(alarmed(node, "publishes, shares and imports nothing"), "{}", node.json(&["status"]));
    let list = disk.join("list.txt");
    fs::write(&list, "192.0.2.3\n192.0.2.4\n").expect("room for a list");
    let list = list.to_str().expect("UTF-8");
    for new in [
        &["publish", "192.0.2.3", "--tlp", "green", "--to", "own"][..],
        &["share", id, "--to", "mesh"],
        &["import", list, "--tlp", "green"],
    ] {
        let refused = node.tell(new);
        let why = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success(), "{new:?}");
        let home = node.home.to_str().expect("UTF-8");
        assert!([home, "MiB free of 256.0 MiB", "make room"].iter().all(|word| why.contains(word)), "{why}");
    }
    assert!(!node.knows("192.0.2.3"));

    // What is here is found, taken back and judged as before.
    assert!(node.knows("192.0.2.1") && node.knows("192.0.2.2"));
    node.json(&["policy", "reload"]);
    node.json(&["retract", id, "--reason", "wrong"]);
    assert!(!node.knows("192.0.2.1"));

    // With room again all goes on, without a new start.
    fs::remove_file(disk.join("some")).expect("removed");
    assert!(!alarmed(node, "has only"));
    node.json(&["publish", "192.0.2.3", "--tlp", "green", "--to", "own"]);
    assert!(node.knows("192.0.2.3"));

    // The log says it from the start on.
    node.stop();
    fill(disk, "again", 12 * MIB);
    node.run();
    until("the log says it", || node.log().contains("has only"));
}

/// Runs this test once more as a process with mounts of its own, which end with it: that needs root, as whom a user
/// namespace passes.
fn with_own_mounts() {
    let disk = tempfile::tempdir().expect("a folder");
    let user: &[&str] =
        if rustix::process::geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
    let run = Command::new("unshare")
        .args(user)
        .arg("--mount")
        .arg(std::env::current_exe().expect("this program"))
        .args([
            "--exact",
            "room::a_full_disk_is_told_and_nothing_new_is_written_while_taking_back_goes_on",
            "--nocapture",
        ])
        .env(DISK, disk.path())
        .output()
        .expect("unshare is there");
    let said = String::from_utf8_lossy(&run.stdout);
    let errors = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.contains("1 passed"), "{said}\n{errors}");
}

fn free(node: &Node) -> u64 {
    node.json(&["status"])["disk"]["free_bytes"].as_u64().expect("bytes")
}

fn alarmed(node: &Node, words: &str) -> bool {
    let status = node.json(&["status"]);
    status["alarms"].as_array().expect("alarms").iter().any(|alarm| alarm.to_string().contains(words))
}

/// Fills the disk with a file, but for what is left free.
fn fill(disk: &Path, name: &str, left: u64) {
    let told = rustix::fs::statvfs(disk).expect("a disk");
    let bytes = (told.f_bavail * told.f_frsize).checked_sub(left).expect("more is free");
    let file = File::create(disk.join(name)).expect("a file");
    rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes).expect("room for the file");
}
