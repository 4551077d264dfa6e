//! Runs the walkthroughs of `testnet/walkthroughs/*.md`: what the documentation shows is what happens.
//!
//! In a fenced block of `console`, a line that begins with `$ ` is a command (lines after a trailing `\` belong to
//! it), and the lines below it are what it prints on both channels. `...` alone on a line stands for any number of
//! lines, `{..}` within a line for any text. A command ends with 0, else `[exit N]` is the last line below it. All
//! commands of one file share a home folder, in which they run, one after the other.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Stdio};

/// Longest that one command may take; a walkthrough that hangs is stopped.
const SECONDS_MAX: u32 = 120;

struct Step {
    line: usize,
    command: String,
    expected: Vec<String>,
}

#[test]
fn walkthroughs_do_what_they_show() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testnet/walkthroughs");
    let mut files: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
    files.sort();
    assert!(!files.is_empty(), "there are no walkthroughs in {}", folder.display());
    let failures: Vec<String> = files.iter().filter_map(|path| walk(path).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

fn walk(path: &Path) -> Result<(), String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    let home = tempfile::tempdir().unwrap();
    let steps = steps(&text);
    if steps.is_empty() {
        return Err(format!("{name}: it has no command"));
    }
    for step in steps {
        let shown = run(home.path(), &step.command);
        let shown: Vec<&str> = shown.lines().map(str::trim_end).collect();
        if !fits(&step.expected, &shown) {
            return Err(format!(
                "{name}:{}: `{}` was to print\n{}\nand printed\n{}",
                step.line,
                step.command,
                step.expected.join("\n"),
                shown.join("\n")
            ));
        }
    }
    Ok(())
}

/// What a command prints, and its exit code where that is not 0.
fn run(home: &Path, command: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_tocsin"));
    let path = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("timeout")
        .args(["--kill-after=5", &SECONDS_MAX.to_string(), "bash", "-c"])
        .arg(format!("exec 2>&1\n{command}"))
        .current_dir(home)
        .env_clear()
        .env("PATH", format!("{}:{path}", program.parent().unwrap().display()))
        .env("HOME", home)
        .env("LC_ALL", "C.UTF-8")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let mut shown = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.code() {
        Some(0) => {}
        Some(124) => shown.push_str(&format!("\n[stopped after {SECONDS_MAX} s]")),
        Some(code) => {
            shown.push_str(&format!("{}[exit {code}]", if shown.ends_with('\n') { "" } else { "\n" }))
        }
        None => shown.push_str("\n[killed]"),
    }
    shown.trim_start_matches('\n').to_owned()
}

fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    let mut continues = false;
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            inside = !inside && line.trim() == "```console";
            continues = false;
        } else if !inside {
        } else if let (true, Some(step)) = (continues, steps.last_mut()) {
            step.command.push('\n');
            step.command.push_str(line);
            continues = line.ends_with('\\');
        } else if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { line: number + 1, command: command.to_owned(), expected: Vec::new() });
            continues = line.ends_with('\\');
        } else if let Some(step) = steps.last_mut() {
            step.expected.push(line.trim_end().to_owned());
        }
    }
    for step in &mut steps {
        // An empty line before the next command is for the reader.
        while step.expected.last().is_some_and(String::is_empty) {
            step.expected.pop();
        }
    }
    steps
}

/// Whether lines are as expected. Each `...` is tried at every length, which the length of a screen bounds.
fn fits(expected: &[String], shown: &[&str]) -> bool {
    match expected.split_first() {
        None => shown.iter().all(|line| line.is_empty()),
        Some((any, rest)) if any == "..." => (0..=shown.len()).any(|skipped| fits(rest, &shown[skipped..])),
        Some((line, rest)) => {
            shown.split_first().is_some_and(|(first, others)| line_fits(line, first) && fits(rest, others))
        }
    }
}

fn line_fits(expected: &str, shown: &str) -> bool {
    let mut parts = expected.split("{..}");
    let Some(mut rest) = parts.next().and_then(|head| shown.strip_prefix(head)) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(tail) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        let Some(at) = rest.find(part) else {
            return false;
        };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(tail)
}

#[test]
fn lines_fit_as_described() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let check = |expected: &str, shown: &str| fits(&lines(expected), &shown.lines().collect::<Vec<_>>());
    assert!(check("a\nb", "a\nb"));
    assert!(!check("a", "a\nb"));
    assert!(!check("a\nb", "a"));
    assert!(!check("", "a"));
    assert!(check("...", ""));
    assert!(check("a\n...\nz", "a\nz"));
    assert!(check("a\n...\nz", "a\nb\nz\nc\nz"));
    assert!(!check("a\n...\nz", "a\nb"));
    assert!(check("took {..} ms for {..}", "took 12 ms for all"));
    assert!(!check("took {..} ms", "took 12 ms for all"));
    assert!(!check("took {..} ms", "it took 12 ms"));
    assert!(check("{..}", "\n"));
}

#[test]
fn commands_share_a_home_and_tell_how_they_end() {
    let text = "```sh\n$ not run\n```\n```console\n$ echo a >f; echo b \\\n  c\nb c\n\n$ cat f\na\n$ exit 3\n[exit 3]\n```\n";
    let home = tempfile::tempdir().unwrap();
    let steps = steps(text);
    assert_eq!(steps.len(), 3);
    assert_eq!(steps[1].line, 9);
    for step in steps {
        let shown = run(home.path(), &step.command);
        let shown: Vec<&str> = shown.lines().collect();
        assert!(fits(&step.expected, &shown), "{}: {shown:?}", step.command);
    }
}
