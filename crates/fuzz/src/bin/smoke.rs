//! Runs every target on stable Rust: over its seeds, then over mutations of them drawn from a printed seed.
//!
//! `smoke [--seconds N] [--seed N] [--only NAME]... [--write DIR]`; real files below TOCSIN_DATA are inputs too where
//! it is set. `--write` puts the inputs where `cargo fuzz` looks for its corpus, and runs nothing.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tocsin_fuzz::mutate::{INPUT_MAX, Random, mutate};
use tocsin_fuzz::{TARGETS, Target};

/// Longer for one input is a finding: a peer could hold up the node with it.
const SLOW: Duration = Duration::from_secs(5);
/// Most real files a target takes as inputs.
const REAL_MAX: usize = 200;

struct Options {
    seconds: u64,
    seed: u64,
    only: Vec<String>,
    write: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(why) => {
            eprintln!("smoke: {why}\nusage: smoke [--seconds N] [--seed N] [--only NAME]... [--write DIR]");
            return ExitCode::from(2);
        }
    };
    let chosen =
        |target: &&Target| options.only.is_empty() || options.only.iter().any(|name| name == target.name);
    let mut failed = 0;
    for target in TARGETS.iter().filter(chosen) {
        let inputs = inputs(target);
        let result = match &options.write {
            Some(folder) => write(&folder.join(target.name), &inputs).map_err(|error| error.to_string()),
            None => run(target, &inputs, &options),
        };
        match result {
            Ok(line) => println!("{:<12} {line}", target.name),
            Err(finding) => {
                println!("{:<12} FAILED: {finding}", target.name);
                failed += 1;
            }
        }
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn options() -> Result<Options, String> {
    let mut options = Options { seconds: 10, seed: 1, only: Vec::new(), write: None };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("`{word}` needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("`{value}` is no number"));
        match word.as_str() {
            "--seconds" => options.seconds = number()?,
            "--seed" => options.seed = number()?,
            "--only" if TARGETS.iter().any(|target| target.name == value) => options.only.push(value),
            "--only" => return Err(format!("there is no target `{value}`")),
            "--write" => options.write = Some(value.into()),
            _ => return Err(format!("`{word}` is no option")),
        }
    }
    Ok(options)
}

/// Built inputs, the files of `seeds/NAME`, and real files.
fn inputs(target: &Target) -> Vec<Vec<u8>> {
    let mut all = (target.built)();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target.name);
    let mut files = Vec::new();
    collect(&own, &mut files);
    if let Some(data) = std::env::var_os("TOCSIN_DATA") {
        for folder in target.real {
            collect(&Path::new(&data).join(folder), &mut files);
        }
    }
    let read = files.iter().take(REAL_MAX).filter_map(|path| std::fs::read(path).ok());
    all.extend(read.map(|mut bytes| {
        bytes.truncate(INPUT_MAX);
        bytes
    }));
    all.push(Vec::new());
    all
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

fn run(target: &Target, inputs: &[Vec<u8>], options: &Options) -> Result<String, String> {
    let began = Instant::now();
    let until = Duration::from_secs(options.seconds);
    let mut slowest = Duration::ZERO;
    for input in inputs {
        slowest = slowest.max(one(target, input)?);
    }
    let mut random = Random::new(options.seed);
    let mut count = inputs.len() as u64;
    while began.elapsed() < until {
        let input = mutate(&mut random, inputs, target.words);
        let took = one(target, &input)
            .map_err(|why| format!("execution {count} of seed {}: {why}", options.seed))?;
        slowest = slowest.max(took);
        count += 1;
    }
    Ok(format!(
        "{count} executions from {} inputs, seed {}, slowest {:.1} ms",
        inputs.len(),
        options.seed,
        slowest.as_secs_f64() * 1e3
    ))
}

/// Runs one input, and keeps it where it can be run again if something is found.
fn one(target: &Target, input: &[u8]) -> Result<Duration, String> {
    let began = Instant::now();
    let panicked = catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err();
    let took = began.elapsed();
    if !panicked && took < SLOW {
        return Ok(took);
    }
    let what = if panicked { "panicked" } else { "was slow" };
    let path = std::env::temp_dir().join(format!("tocsin-fuzz-{}-{:016x}", target.name, name_of(input)));
    let kept = std::fs::File::create(&path).and_then(|mut file| file.write_all(input));
    Err(match kept {
        Ok(()) => format!("{what} after {took:?}; the input of {} bytes is {}", input.len(), path.display()),
        Err(error) => format!("{what} after {took:?} on {input:02x?} (not kept: {error})"),
    })
}

fn name_of(input: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    input.hash(&mut hasher);
    hasher.finish()
}

fn write(folder: &Path, inputs: &[Vec<u8>]) -> std::io::Result<String> {
    std::fs::create_dir_all(folder)?;
    for input in inputs {
        std::fs::write(folder.join(format!("{:016x}", name_of(input))), input)?;
    }
    Ok(format!("{} inputs in {}", inputs.len(), folder.display()))
}
