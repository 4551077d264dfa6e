//! Runs the walkthroughs of `testnet/walkthroughs/*.md`: what the documentation shows is what happens.
//!
//! In a fenced block of `console`, a line that begins with `$ ` is a command (lines after a trailing `\` belong to
//! it), and the lines below it are what it prints on both channels. `...` alone on a line stands for any number of
//! lines, `{..}` within a line for any text, `{name}` for a word that later commands have as `$name`. A command ends with
//! 0, else `[exit N]` is the last line below it. All commands of one file share a home folder with the project's
//! `testnet` in it, in which they run, one after the other; what they leave running is ended after the last.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Longest that one command may take; a walkthrough that hangs is stopped.
const SECONDS_MAX: u32 = 120;

/// What stood in named blanks.
type Words = BTreeMap<String, String>;

struct Step {
    line: usize,
    command: String,
    expected: Vec<String>,
}

#[test]
fn walkthroughs_do_what_they_show() {
    let failures: Vec<String> = files().iter().filter_map(|path| walk(path).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// A walkthrough gives as options what a person is asked, and runs in the background what a person leaves running.
#[test]
fn the_readme_shows_nothing_that_no_walkthrough_runs() {
    let told = |command: &str| {
        let command = command.split(" >").next().unwrap_or_default();
        command.replace(" --yes", "").replace(" --passphrase-file phrase", "")
    };
    let walked: Vec<String> = files()
        .iter()
        .flat_map(|path| steps(&std::fs::read_to_string(path).unwrap()))
        .map(|step| told(&step.command))
        .collect();
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let shown: Vec<Step> = steps(&readme);
    let of_node: Vec<&Step> = shown.iter().filter(|step| step.command.starts_with("tocsin ")).collect();
    assert!(of_node.len() > 10, "the README shows {} commands", of_node.len());
    for step in of_node {
        assert!(walked.contains(&step.command), "README.md:{}: `{}`", step.line, step.command);
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn files() -> Vec<PathBuf> {
    let folder = root().join("testnet/walkthroughs");
    let mut files: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
    files.sort();
    assert!(!files.is_empty(), "there are no walkthroughs in {}", folder.display());
    files
}

fn walk(path: &Path) -> Result<(), String> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    let home = Home::make();
    let steps = steps(&text);
    if steps.is_empty() {
        return Err(format!("{name}: it has no command"));
    }
    let mut words = Words::new();
    for step in steps {
        let shown = run(home.0.path(), &step.command, &words);
        let shown: Vec<&str> = shown.lines().map(str::trim_end).collect();
        if !fits(&step.expected, &shown, &mut words) {
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

/// A home folder; what still runs in it when it goes is killed.
struct Home(tempfile::TempDir);

impl Home {
    fn make() -> Self {
        let home = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(root().join("testnet"), home.path().join("testnet")).unwrap();
        Self(home)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let Ok(home) = self.0.path().canonicalize() else { return };
        for process in Path::new("/proc").read_dir().into_iter().flatten().flatten() {
            if std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&home)) {
                let _ = Command::new("kill").arg("-9").arg(process.file_name()).status();
            }
        }
    }
}

/// What a command prints, and its exit code where that is not 0.
fn run(home: &Path, command: &str, words: &Words) -> String {
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
        .envs(words)
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
fn fits(expected: &[String], shown: &[&str], words: &mut Words) -> bool {
    match expected.split_first() {
        None => shown.iter().all(|line| line.is_empty()),
        Some((any, rest)) if any == "..." => {
            (0..=shown.len()).any(|skipped| fits(rest, &shown[skipped..], words))
        }
        Some((line, rest)) => shown
            .split_first()
            .is_some_and(|(first, others)| line_fits(line, first, words) && fits(rest, others, words)),
    }
}

/// `{` and a following `}` are a blank; the shortest text that lets the rest fit fills it.
fn line_fits(expected: &str, shown: &str, words: &mut Words) -> bool {
    let blank = expected.find('{').and_then(|from| {
        let length = expected[from..].find('}')?;
        Some((&expected[..from], &expected[from + 1..from + length], &expected[from + length + 1..]))
    });
    let Some((head, name, tail)) = blank else {
        return expected == shown;
    };
    let Some(shown) = shown.strip_prefix(head) else {
        return false;
    };
    let ends = shown.char_indices().map(|(at, _)| at).chain([shown.len()]);
    for end in ends {
        let (filled, rest) = shown.split_at(end);
        if name != ".." && (filled.contains(' ') || (filled.is_empty() && !name.is_empty())) {
            continue;
        }
        if line_fits(tail, rest, words) {
            if name != ".." {
                words.insert(name.to_owned(), filled.to_owned());
            }
            return true;
        }
    }
    false
}

#[test]
fn lines_fit_as_described() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let mut words = Words::new();
    let mut check =
        |expected: &str, shown: &str| fits(&lines(expected), &shown.lines().collect::<Vec<_>>(), &mut words);
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
    assert!(check("wrote {id} (again {..})", "wrote 7f (again now)"));
    assert!(!check("wrote {id}", "wrote two words"));
    assert_eq!(words["id"], "7f");
}

#[test]
fn commands_share_a_home_and_tell_how_they_end() {
    let text = "```sh\n$ not run\n```\n```console\n$ echo a >f; echo b \\\n  c\nb c\n\n$ cat f\n{word}\n$ echo $word\na\n$ exit 3\n[exit 3]\n```\n";
    let home = tempfile::tempdir().unwrap();
    let steps = steps(text);
    assert_eq!(steps.len(), 4);
    assert_eq!(steps[1].line, 9);
    let mut words = Words::new();
    for step in steps {
        let shown = run(home.path(), &step.command, &words);
        let shown: Vec<&str> = shown.lines().collect();
        assert!(fits(&step.expected, &shown, &mut words), "{}: {shown:?}", step.command);
    }
}
