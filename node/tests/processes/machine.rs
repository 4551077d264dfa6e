//! What a node keeps from the rest of its machine: memory, homes, and files that are none.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Node, until};

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is this user's");
}

fn make_pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.expect("mkfifo is there").success());
}

/// What a command says that is refused, which must be at once.
fn refused(node: &Node, args: &[&str]) -> String {
    let start = Instant::now();
    let mut process = node
        .command()
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    while process.try_wait().expect("it is ours").is_none() {
        if start.elapsed() > Duration::from_secs(20) {
            process.kill().expect("it is ours");
            panic!("{args:?} waits");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output: Output = process.wait_with_output().expect("it ended");
    let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
    said.into_owned()
}

/// Starts a program in a folder with leave to leave its memory there, and ends it as a fault would.
fn crash(folder: &Path, program: &str, ready: impl FnOnce()) -> ExitStatus {
    let mut process = Command::new("sh")
        .args(["-c", &format!("ulimit -c unlimited; exec {program}")])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell is there");
    ready();
    let killed = Command::new("sh").args(["-c", &format!("kill -s ABRT {}", process.id())]).status();
    assert!(killed.expect("a shell is there").success());
    process.wait().expect("it ended")
}

#[test]
fn a_node_that_crashes_leaves_no_memory_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = Node::mesh(folder.path(), &["aa"]).remove(0);
    let pid = node.process.as_ref().expect("it runs").id();
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("it runs");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
    assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{core}");
    node.stop();

    // A program that does nothing about it shows whether this machine would have kept one.
    let dumps = crash(folder.path(), "sleep 60", || std::thread::sleep(Duration::from_millis(300)));
    let program = format!("{} --home {} run", env!("CARGO_BIN_EXE_tocsin"), node.home.display());
    let status = crash(folder.path(), &program, || {
        until("the node answers", || node.tell(&["status"]).status.success());
    });
    assert_eq!(status.signal(), dumps.signal(), "both ended so");
    eprintln!("this machine keeps cores: {}", dumps.core_dumped());
    assert!(!status.core_dumped(), "its memory lies on the disk");
}

#[test]
fn a_home_that_others_may_write_is_refused_until_it_is_mended() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = Node::make(folder.path(), "aa", None);
    node.json(&["mesh", "found", "--name", "ring"]);
    let home = node.home.clone();
    let file = |name: &str| home.join(name);
    // Made before, with mode 777.
    for (path, open, closed, command) in [
        (home.clone(), 0o777, 0o700, "chmod go-rwx"),
        (file("policy.cedar"), 0o666, 0o600, "chmod go-w"),
        (file("config.toml"), 0o620, 0o600, "chmod go-w"),
        (file("keys/record.key"), 0o640, 0o600, "chmod go-rwx"),
        (file("keys/transport.key"), 0o602, 0o600, "chmod go-rwx"),
        (folder.path().to_owned(), 0o777, 0o755, "chmod o-w"),
    ] {
        mode(&path, open);
        let said = refused(&node, &["run"]);
        let command = format!("{command} {}", path.display());
        assert!(said.contains(&command), "`{command}` is not in {said}");
        // The command that it names is what mends it.
        let mended = Command::new("sh").args(["-c", &command]).status();
        assert!(mended.expect("a shell is there").success(), "{command}");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o002, 0);
        mode(&path, closed);
    }
    let passphrase = folder.path().join("passphrase");
    fs::write(&passphrase, "correct horse\n").expect("written");
    mode(&passphrase, 0o644);
    let other = Node { home: folder.path().join("bb"), process: None, env: Vec::new() };
    let passphrase = passphrase.to_str().expect("UTF-8");
    let init = ["init", "--name", "bb", "--country", "QM", "--passphrase-file", passphrase];
    assert!(refused(&other, &init).contains(&format!("chmod go-rwx {passphrase}")));
    mode(Path::new(passphrase), 0o600);
    other.json(&init);

    let mut node = node;
    node.run();
}

#[test]
fn pipes_in_the_place_of_files_are_told_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = Node::make(folder.path(), "aa", None);
    node.json(&["mesh", "found", "--name", "ring"]);
    for name in ["policy.cedar", "config.toml", "keys/record.key", "documents/mesh.documents", "run.lock"] {
        let path = node.home.join(name);
        let aside = folder.path().join("aside");
        let was_there = fs::rename(&path, &aside).is_ok();
        make_pipe(&path);
        let said = refused(&node, &["run"]);
        assert!(said.contains(&format!("{} is a pipe", path.display())), "{name}: {said}");
        fs::remove_file(&path).expect("ours");
        if was_there {
            fs::rename(&aside, &path).expect("put back");
        }
    }
    node.run();
    let pipe = folder.path().join("pipe");
    make_pipe(&pipe);
    let pipe = pipe.to_str().expect("UTF-8");
    for args in [
        ["import", pipe].as_slice(),
        &["import", "/dev/zero"],
        &["policy", "check", "--file", pipe],
        &["mesh", "add", pipe, "--yes"],
        &["join", pipe],
    ] {
        let said = refused(&node, args);
        assert!(said.contains("is a pipe") || said.contains("is a device"), "{args:?}: {said}");
    }
    let other = Node { home: folder.path().join("bb"), process: None, env: Vec::new() };
    let init = ["init", "--name", "bb", "--country", "QM", "--passphrase-file"];
    let said = refused(&other, &[init.as_slice(), &[pipe]].concat());
    assert!(said.contains("is a pipe"), "{said}");
    // What a shell gives is read all the same.
    let given = format!(
        "echo correct horse | {} --home {} {} /dev/stdin",
        env!("CARGO_BIN_EXE_tocsin"),
        other.home.display(),
        init.join(" ")
    );
    let made = Command::new("sh").args(["-c", &given]).output().expect("a shell is there");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let policy = node.home.join("policy.cedar");
    let text =
        format!("cat {} | {} policy check --file /dev/stdin", policy.display(), env!("CARGO_BIN_EXE_tocsin"));
    let checked = Command::new("sh").args(["-c", &text]).output().expect("a shell is there");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    let list = folder.path().join("list.txt");
    fs::write(&list, "192.0.2.1\n").expect("written");
    let text = format!(
        "{} --home {} import /dev/stdin --source feed < {}",
        env!("CARGO_BIN_EXE_tocsin"),
        node.home.display(),
        list.display()
    );
    let imported = Command::new("sh").args(["-c", &text]).output().expect("a shell is there");
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
}
