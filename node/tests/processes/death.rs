//! How a node ends, and how it is while its disk hangs: the real program, under a small library that makes the system
//! fail where a file of the test says so.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{Node, until};

/// In the core's thread `getrandom` fails, in every thread syncing and writing to the disk hangs, for as long as files of
/// these names are in the folder `TOCSIN_FAULTS`.
const FAULTS: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <unistd.h>

static int told(const char *name) {
    char path[4096], thread[16] = "";
    const char *folder = getenv("TOCSIN_FAULTS");
    if (!folder) return 0;
    prctl(PR_GET_NAME, thread);
    if (strcmp(thread, "tocsin-core") != 0) return 0;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

int fdatasync(int file) {
    while (told("sync-hangs")) usleep(10000);
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(file);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off_t at) {
    while (told("write-hangs")) usleep(10000);
    return ((ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite64"))(file, bytes, count, at);
}

ssize_t getrandom(void *bytes, size_t count, unsigned flags) {
    if (told("no-random")) {
        errno = EIO;
        return -1;
    }
    return ((ssize_t (*)(void *, size_t, unsigned))dlsym(RTLD_NEXT, "getrandom"))(bytes, count, flags);
}
"#;

/// A node that is alone in its mesh, and the folder of its faults.
fn alone(folder: &Path) -> (Node, PathBuf) {
    let source = folder.join("faults.c");
    let library = folder.join("faults.so");
    fs::write(&source, FAULTS).expect("written");
    // The compiler that builds the libraries in C of this program.
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl").status();
    assert!(compiled.expect("a C compiler is there").success());
    let faults = folder.join("faults");
    fs::create_dir(&faults).expect("made");
    let mut node = Node::make(folder, "cert-aa", None);
    node.json(&["mesh", "found", "--name", "ring"]);
    let library = library.to_str().expect("UTF-8").to_owned();
    node.env = vec![("LD_PRELOAD", library), ("TOCSIN_FAULTS", faults.to_str().expect("UTF-8").to_owned())];
    node.run();
    until("it is complete", || node.json(&["status"])["complete"] == true);
    (node, faults)
}

fn publish(node: &Node, value: &str) -> std::process::Child {
    let mut command = node.command();
    command.args(["publish", value, "--tlp", "green", "--to", "mesh"]);
    command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the program runs")
}

#[test]
fn a_core_that_panics_ends_the_process_with_its_message() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut node, faults) = alone(folder.path());
    fs::write(faults.join("no-random"), "").expect("written");
    // Each record takes fresh keys now and then.
    let mut process = node.process.take().expect("it runs");
    let begun = Instant::now();
    let mut ended = None;
    for at in 0.. {
        let mut asked = publish(&node, &format!("192.0.2.{}", at % 256));
        ended = process.try_wait().expect("asked");
        let _ = asked.wait();
        if ended.is_some() || begun.elapsed() > Duration::from_secs(60) {
            break;
        }
    }
    let code = ended.expect("it ended").code();
    let log = node.log();
    assert_eq!(code, Some(2), "{log}");
    assert!(
        log.contains("ERROR") && log.contains("panicked: the system gives randomness"),
        "in the log: {log}"
    );
    assert!(log.contains("error: the node's core failed"), "on standard error: {log}");
    assert!(!node.home.join("run.sock").exists(), "nobody waits on its socket");
    fs::remove_file(faults.join("no-random")).expect("removed");
    node.run();
    until("it is complete again", || node.json(&["status"])["complete"] == true);
}

#[test]
fn a_disk_that_hangs_is_told_and_is_no_end() {
    for fault in ["sync-hangs", "write-hangs"] {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut node, faults) = alone(folder.path());
        node.json(&["publish", "192.0.2.1", "--tlp", "green", "--to", "mesh"]);
        fs::write(faults.join(fault), "").expect("written");
        let mut asked = publish(&node, "192.0.2.2");
        until("the stall is told", || {
            let begun = Instant::now();
            let status = node.json(&["status"]);
            assert!(begun.elapsed() < Duration::from_secs(20), "status waits for the disk");
            let alarms = status["alarms"].to_string();
            alarms.contains("the core has done nothing") && status["complete"] == false
        });
        assert!(node.log().contains("the core does nothing while inputs wait"), "{}", node.log());
        if fault == "sync-hangs" {
            let answer = node.json_with(0, &["lookup", "192.0.2.1"]);
            assert_eq!(answer["complete"], false, "{answer}");
        }
        assert!(asked.try_wait().expect("asked").is_none(), "nothing is acknowledged");
        fs::remove_file(faults.join(fault)).expect("removed");
        until("it goes on", || {
            let status = node.json(&["status"]);
            status["complete"] == true && status["alarms"] == serde_json::json!([])
        });
        assert!(asked.wait().expect("it ended").success() && node.knows("192.0.2.2"));
        node.signal("TERM");
        let code = node.process.take().expect("it runs").wait().expect("it ended").code();
        assert_eq!(code, Some(0), "{}", node.log());
    }
}
