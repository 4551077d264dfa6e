//! `tocsin-imports`: stories of files by their seeds.

use std::ops::Range;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use tocsin_imports::nodes::Nodes;
use tocsin_imports::run::{Report, run};
use tocsin_imports::story::Story;
use tocsin_record::planted::{Bug, plant};

/// Generated files in any order into a running node, with independent oracles.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Run this story, and print its files.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Run these stories, FROM..TO with TO left out.
    #[arg(long, value_name = "FROM..TO", default_value = "0..100", value_parser = seeds)]
    seeds: Range<u64>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Subcommand)]
enum Verb {
    /// Plant each bug on purpose and see that its oracle notices; needs the feature `planted`.
    Planted {
        /// Seeds that are tried for each bug.
        #[arg(long, value_name = "FROM..TO", default_value = "0..100", value_parser = seeds)]
        seeds: Range<u64>,
        /// Only these bugs.
        #[arg(long, num_args = 1..)]
        only: Vec<String>,
    },
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("`{text}`: {error}"));
    let (from, to) = text.split_once("..").ok_or("write seeds as FROM..TO, such as 0..200")?;
    let range = number(from)?..number(to)?;
    if range.is_empty() { Err("there is no seed in this range".into()) } else { Ok(range) }
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let mut stories = Stories { nodes: Nodes::start()?, space: 0 };
    let good = match (args.verb, args.seed) {
        (Some(Verb::Planted { seeds, only }), _) => stories.planted(&seeds, &only)?,
        (None, Some(seed)) => {
            let story = Story::draw(seed, 1);
            println!("{}, --tlp {:?}", story.kind, story.flag);
            for at in &story.order {
                let file = &story.files[*at];
                println!("--- {}, shared: {}, {:?}", file.name, file.share, file.rule);
                file.says.iter().for_each(|said| println!("  {said}"));
                println!("{}", file.text);
            }
            stories.many(&(seed..seed + 1))?
        }
        (None, None) => stories.many(&args.seeds)?,
    };
    stories.nodes.stop()?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Stories, one after the other, at the same nodes: each in a space of its own.
struct Stories {
    nodes: Nodes,
    space: u64,
}

impl Stories {
    fn one(&mut self, seed: u64) -> Result<Report> {
        self.space += 1;
        run(&self.nodes, &Story::draw(seed, self.space), self.space)
    }

    /// Runs stories. True if all promises were kept.
    fn many(&mut self, seeds: &Range<u64>) -> Result<bool> {
        let (mut imports, mut shared, mut failed) = (0, 0, Vec::new());
        for seed in seeds.clone() {
            let report = self.one(seed)?;
            imports += report.imports;
            shared += report.shared;
            if let Some(violation) = report.violation {
                println!("seed {seed}: VIOLATION of {violation}");
                println!("  again: cargo run --release -p tocsin-imports -- --seed {seed}");
                failed.push(seed);
            }
        }
        let count = seeds.end - seeds.start;
        println!(
            "{count} stories, {imports} imports, {shared} values shared, {} failed {failed:?}",
            failed.len()
        );
        Ok(failed.is_empty())
    }

    /// Plants one bug after the other. True if each was noticed by its oracle.
    fn planted(&mut self, seeds: &Range<u64>, only: &[String]) -> Result<bool> {
        if !cfg!(feature = "planted") {
            eprintln!("no bug can be planted in this program: build it with `--features planted`");
            return Ok(false);
        }
        let mut all = true;
        for (bug, oracle) in [(Bug::LoosenMarking, "marking"), (Bug::OldWins, "newest")] {
            if !only.is_empty() && !only.contains(&format!("{bug:?}")) {
                continue;
            }
            plant(Some(bug));
            let mut found = None;
            for seed in seeds.clone() {
                found = self.one(seed)?.violation.filter(|violation| violation.oracle == oracle);
                if let Some(violation) = &found {
                    println!("{bug:?}: seed {seed}, {violation}");
                    break;
                }
            }
            if found.is_none() {
                println!("{bug:?}: NOT NOTICED by {oracle} in seeds {seeds:?}");
                all = false;
            }
        }
        plant(None);
        Ok(all)
    }
}
