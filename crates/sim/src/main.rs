//! `tocsin-sim`: runs seeds, and the rows of the benchmark that need a whole mesh.

use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::{Parser, Subcommand};
use tocsin_record::planted::{Bug, plant};
use tocsin_sim::bench;
use tocsin_sim::config::Scale;
use tocsin_sim::run::{Report, run, run_twice};

/// Hundreds of nodes on one virtual clock, with faults and independent oracles.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Run this seed, twice, and print what happened.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Run these seeds, FROM..TO with TO left out, on two threads; every eighth twice.
    #[arg(long, value_name = "FROM..TO", value_parser = seeds)]
    seeds: Option<RangeInclusive<u64>>,
    /// Nodes; without it a run is small.
    #[arg(long)]
    nodes: Option<usize>,
    /// Runs of 5 to 12 nodes, which is the default.
    #[arg(long, conflicts_with = "nodes")]
    small: bool,
    /// Run each seed once, without asking whether it does the same again.
    #[arg(long)]
    once: bool,
    /// Threads for many seeds.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Print every seed, not only those that fail.
    #[arg(long)]
    verbose: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    /// Plant each bug on purpose and see that its oracle notices; needs the feature `planted`.
    Planted {
        /// Seeds that are tried for each bug.
        #[arg(long, value_name = "FROM..TO", default_value = "0..60", value_parser = seeds)]
        seeds: RangeInclusive<u64>,
        /// Only these bugs.
        #[arg(long, num_args = 1..)]
        only: Vec<String>,
    },
    /// Measure a mesh of 200 nodes without faults, and two equal nodes.
    Bench {
        /// Print an array of names and values.
        #[arg(long)]
        json: bool,
        /// Nodes, for a quick look.
        #[arg(long, default_value_t = 200)]
        nodes: usize,
        /// Only rows whose name holds one of these.
        #[arg(long, num_args = 1..)]
        only: Vec<String>,
    },
}

fn seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("`{text}`: {error}"));
    let (from, to) = text.split_once("..").ok_or("write seeds as FROM..TO, such as 0..200")?;
    let (from, to) = (number(from)?, number(to)?);
    if to <= from {
        return Err("there is no seed in this range".into());
    }
    Ok(from..=to - 1)
}

fn main() -> ExitCode {
    let args = Args::parse();
    match &args.verb {
        Some(Verb::Bench { json, nodes, only }) => {
            let rows = bench::rows(*nodes, only);
            if *json {
                println!("{}", serde_json::json!(rows));
            } else {
                rows.iter().for_each(|row| println!("{row}"));
            }
            return ExitCode::SUCCESS;
        }
        Some(Verb::Planted { seeds, only }) => return code(planted(seeds, only)),
        None => {}
    }
    let scale = args.nodes.map_or(Scale::Small, Scale::Nodes);
    let Some(range) = args.seeds.clone() else {
        let seed = args.seed.unwrap_or(0);
        let report = if args.once { run(seed, scale) } else { run_twice(seed, scale) };
        print(&report, true, scale);
        return code(report.violation.is_none());
    };
    many(&args, range, scale)
}

fn many(args: &Args, range: RangeInclusive<u64>, scale: Scale) -> ExitCode {
    let next = AtomicU64::new(*range.start());
    let failed = Mutex::new(Vec::new());
    let records = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..args.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > *range.end() {
                        return;
                    }
                    let twice = !args.once && seed.is_multiple_of(8);
                    let report = if twice { run_twice(seed, scale) } else { run(seed, scale) };
                    records.fetch_add(report.records as u64, Ordering::Relaxed);
                    if args.verbose || report.violation.is_some() {
                        print(&report, false, scale);
                    }
                    if report.violation.is_some()
                        && let Ok(mut failed) = failed.lock()
                    {
                        failed.push(seed);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_default();
    let count = range.end() - range.start() + 1;
    println!("{count} seeds, {} records, {} failed {failed:?}", records.into_inner(), failed.len());
    code(failed.is_empty())
}

/// Which oracle must notice a bug; `None` where that is one of imports, which a program of their own has.
fn oracle_for(bug: Bug) -> Option<&'static str> {
    Some(match bug {
        Bug::SkipVerify => "authentic",
        Bug::ForwardUnasked => "confined",
        Bug::NoHoles => "convergent",
        Bug::AckBeforeFlush => "durable",
        Bug::IterateRandom => "deterministic",
        Bug::AnewUnanswered => "answers",
        Bug::KeepKeys | Bug::SkipSlotSync => "erased",
        Bug::ExpireEarly => "kept",
        Bug::EmptyUnbounded => "bounded",
        Bug::AskTheSame => "alive",
        Bug::TakeForked => "contained",
        Bug::ForgetRefusal => "refused",
        Bug::KeepPushing => "removed",
        Bug::OpenHistory => "sealed",
        Bug::TellRosters => "strangers",
        Bug::LoosenMarking | Bug::OldWins => return None,
    })
}

/// Plants one bug after the other. True if each was noticed by its oracle.
fn planted(seeds: &RangeInclusive<u64>, only: &[String]) -> bool {
    if !cfg!(feature = "planted") {
        eprintln!("no bug can be planted in this program: build it with `--features planted`");
        return false;
    }
    let wanted = |bug: &Bug| only.is_empty() || only.iter().any(|name| *name == format!("{bug:?}"));
    if Bug::ALL.iter().filter(|bug| wanted(bug)).count() < only.len() {
        eprintln!("there is no such bug: they are {:?}", Bug::ALL);
        return false;
    }
    let mut all = true;
    for bug in Bug::ALL.into_iter().filter(wanted) {
        let Some(oracle) = oracle_for(bug) else { continue };
        plant(Some(bug));
        let found = seeds.clone().find_map(|seed| {
            let report = if bug == Bug::IterateRandom {
                run_twice(seed, Scale::Small)
            } else {
                run(seed, Scale::Small)
            };
            report.violation.filter(|violation| violation.oracle == oracle).map(|violation| (seed, violation))
        });
        match found {
            Some((seed, violation)) => println!("{bug:?}: seed {seed}, {violation}"),
            None => {
                all = false;
                println!("{bug:?}: NOT NOTICED by {oracle} in seeds {seeds:?}");
            }
        }
    }
    plant(None);
    all
}

fn code(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print(report: &Report, all: bool, scale: Scale) {
    let seed = report.config.seed;
    println!("seed {seed}: {}", report.config);
    if all {
        report.counts.iter().for_each(|(what, count)| println!("  {count:>8}  {what}"));
    }
    let settled = report.settled_ms.map_or("never".into(), |ms| format!("after {} s", ms / 1000));
    println!("  {} records, agreed {settled}, trace {}, {} ms", report.records, report.trace, report.took_ms);
    if let Some(violation) = &report.violation {
        let nodes = if let Scale::Nodes(nodes) = scale { format!(" --nodes {nodes}") } else { String::new() };
        println!("  VIOLATION of {violation}");
        println!("  again: cargo run --release -p tocsin-sim -- --seed {seed}{nodes}");
    }
}
