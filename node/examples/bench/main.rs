//! The benchmark: every row of the table that needs real nodes, and those that `tocsin-sim` measures, as ratios
//! against bounds that are measured in the same run.
//!
//! `scripts/bench` builds and calls it. Rows share what is costly: one home of a million records serves both transports
//! and the lookups, one pair of nodes serves latency and live disk.

mod build;
mod catchup;
mod decisions;
mod fixture;
mod hostile;
mod live;
mod measure;
mod process;
mod ring;
mod sealed;
mod simulated;
mod soak;
mod strangers;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use measure::Machine;
use table::Table;

/// Measures tocsin on this machine and prints one table.
#[derive(Parser)]
struct Args {
    /// Only rows whose name holds one of these
    #[arg(long, value_name = "NAME", num_args = 1..)]
    only: Vec<String>,
    /// Also write the rows to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// This part of all counts and times, for a quick look; 1 is what the bounds are about
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Where homes are made and removed again; on the disk that is to be measured
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// What every group of rows gets.
struct Bench {
    scale: f64,
    machine: Machine,
    /// Where the programs are that were built with this one.
    programs: PathBuf,
    folder: PathBuf,
}

impl Bench {
    /// A count as scaled, at least `least`.
    fn count(&self, full: usize, least: usize) -> usize {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts of the benchmark are far below 2^52 and positive"
        )]
        let scaled = (full as f64 * self.scale) as usize;
        scaled.max(least)
    }
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<bool> {
    let exe = std::env::current_exe().context("where this program is")?;
    let programs = exe
        .parent()
        .and_then(|examples| examples.parent())
        .context("this program is not in a target folder")?
        .to_owned();
    // Beside the programs rather than in the system's folder for temporary files, which may be memory.
    let base = args.dir.clone().unwrap_or_else(|| programs.clone());
    let folder = tempfile::Builder::new()
        .prefix("tocsin-bench-")
        .tempdir_in(&base)
        .with_context(|| format!("a folder in {}", base.display()))?;
    let mut bench =
        Bench { scale: args.scale, machine: Machine::default(), programs, folder: folder.path().to_owned() };
    let mut table = Table::new(&args.only);
    bench.machine.note();
    catchup::rows(&mut bench, &mut table).context("catch-up")?;
    sealed::rows(&bench, &mut table).context("sealed")?;
    decisions::rows(&bench, &mut table).context("decisions")?;
    live::rows(&mut bench, &mut table).context("live")?;
    strangers::rows(&bench, &mut table).context("strangers")?;
    ring::rows(&bench, &mut table).context("testnet")?;
    soak::rows(&bench, &mut table).context("soak")?;
    build::rows(&bench, &mut table).context("clean build")?;
    simulated::rows(&bench, &mut table).context("simulated rows")?;
    bench.machine.note();
    table.finish(bench.machine.verifies());
    println!("{}", bench.machine);
    print!("{table}");
    if args.scale < 1.0 {
        println!("scaled by {}: the bounds are about full counts", args.scale);
    }
    if let Some(file) = &args.json {
        std::fs::write(file, table.json()).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(table.met())
}
