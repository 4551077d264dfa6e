//! The demo, as people see it and break it off: no process and no folder is left.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::until;
use crate::screen::{COLUMNS, Screen, Terminal};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tocsin");

fn demo(folder: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.arg("demo").env("TMPDIR", folder).stdin(Stdio::null());
    command
}

/// Processes that were told a place in the folder: nodes, by their homes.
fn nodes(folder: &Path) -> Vec<String> {
    let folder = folder.display().to_string();
    let processes = Path::new("/proc").read_dir().expect("processes").flatten();
    let told = processes.filter_map(|process| fs::read_to_string(process.path().join("cmdline")).ok());
    told.map(|told| told.replace('\0', " ")).filter(|told| told.contains(&folder)).collect()
}

fn left(folder: &Path) -> Vec<String> {
    let entries = folder.read_dir().expect("a folder").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn kill(signal: &str, process: u32) {
    let sent = Command::new("sh").args(["-c", &format!("kill -s {signal} {process}")]).status();
    assert!(sent.expect("a shell is there").success(), "the signal was sent");
}

#[test]
fn a_demo_that_is_ended_leaves_no_process_and_no_folder() {
    for (signal, code) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut demo =
            demo(folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
        let told = BufReader::new(demo.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        // The reader stays until the end: it is the signal that ends the demo.
        let mut told = told.skip_while(|line| !line.contains("all nodes run"));
        assert!(told.next().is_some_and(|line| line.ends_with("5 of 5")), "{signal}");
        assert_eq!(nodes(folder.path()).len(), 5, "{signal}");
        kill(signal, demo.id());
        let status = demo.wait().expect("it ended");
        let mut errors = String::new();
        demo.stderr.take().expect("a pipe").read_to_string(&mut errors).expect("text");
        assert_eq!(status.code(), Some(code), "{signal}: {errors}");
        assert_eq!(errors, "\nstopping the nodes ...\n", "{signal}");
        assert_eq!(nodes(folder.path()), [""; 0], "{signal}");
        assert_eq!(left(folder.path()), [""; 0], "{signal}");
    }
}

#[test]
fn a_demo_that_is_ended_while_it_begins_leaves_nothing_either() {
    for ms in [30, 100, 200, 400, 700] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut demo =
            demo(folder.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
        std::thread::sleep(Duration::from_millis(ms));
        kill("TERM", demo.id());
        let status = demo.wait().expect("it ended");
        // By the signal itself, where it was not listened for yet.
        assert!(status.code() == Some(143) || status.signal() == Some(15), "{ms} ms: {status:?}");
        assert_eq!(nodes(folder.path()), [""; 0], "{ms} ms");
        assert_eq!(left(folder.path()), [""; 0], "{ms} ms");
    }
}

#[test]
fn the_nodes_of_a_demo_that_is_killed_end_and_its_folder_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut killed =
        demo(folder.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it runs");
    until("five nodes run", || nodes(folder.path()).len() == 5);
    kill("KILL", killed.id());
    killed.wait().expect("it ended");
    until("no node is left", || nodes(folder.path()).is_empty());
    let name = format!("tocsin-demo-{}", killed.id());
    assert_eq!(left(folder.path()), [name.as_str()]);

    let mut next = demo(folder.path()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut told = BufReader::new(next.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    let told = told.next().expect("a line");
    kill("TERM", next.id());
    next.wait().expect("it ended");
    assert!(told.contains(&format!("`rm -r {}`", folder.path().join(&name).display())), "{told}");
    assert_eq!(left(folder.path()), [name.as_str()]);
}

#[test]
fn a_demo_whose_reader_has_enough_ends_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut demo =
        demo(folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let mut reader = BufReader::new(demo.stdout.take().expect("a pipe"));
    reader.read_line(&mut String::new()).expect("a line");
    drop(reader);
    let output = demo.wait_with_output().expect("it ended");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    assert_eq!(nodes(folder.path()), [""; 0]);
    assert_eq!(left(folder.path()), [""; 0]);
}

#[test]
fn on_a_terminal_the_demo_draws_at_one_place_and_its_report_fits() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut terminal = Terminal::start(&mut demo(folder.path()));
    assert!(terminal.read_until("until you press Ctrl-C."), "{}", terminal.came);
    kill("INT", terminal.process.id());
    assert_eq!(terminal.read_to_end(), Some(0), "what was told is told: {}", terminal.came);
    assert_eq!(nodes(folder.path()), [""; 0]);
    assert_eq!(left(folder.path()), [""; 0]);

    let screen = Screen::of(&terminal.came);
    let (lines, text) = (screen.lines(), screen.lines().join("\n"));
    assert_eq!(screen.parted, [""; 0], "{text}");
    assert!(lines.iter().all(|line| line.chars().count() <= COLUMNS), "{text}");
    // Each picture stands once in the end, however often it was drawn.
    let headings = |name: &str, text: &str| text.matches(name).count();
    assert_eq!(headings("holds of ", &text), 3, "{text}");
    assert_eq!(headings("warning  ", &text), 1, "{text}");
    assert!(headings("warning  ", &terminal.came) > 50, "it is drawn as receipts come");
    assert!(headings("holds of ", &terminal.came) > 5, "it is drawn as records come");
    // By warning and partner, in the digits that a receipt has.
    let row = lines.iter().find(|line| line.trim_start().starts_with("198.51.100.")).expect("a warning");
    let cells: Vec<&str> = row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    let measured = cells.iter().filter(|cell| cell.ends_with(" ms") || cell.ends_with(" s")).count();
    assert_eq!((cells.len(), measured), (6, 4), "{row}");
    assert!(text.contains("18 checks, all held"), "{text}");
    assert!(!text.contains(" 0.0 s") && !text.contains(" 0 ms"), "{text}");
}
