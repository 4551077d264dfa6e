//! Rows that need a whole mesh: `tocsin-sim` measures them on one virtual clock.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::Bench;
use crate::table::Table;

/// The rows that the simulator measures.
const NAMES: &[&str] = &[
    "bytes_per_delivery_200",
    "receipt_bytes_per_delivery_200",
    "latency_over_path_200",
    "p99_loss5_over_path_200",
    "equal_nodes_bytes",
];

/// Measures them.
pub fn rows(bench: &Bench, table: &mut Table) -> Result<()> {
    let wanted: Vec<&str> = NAMES.iter().copied().filter(|name| table.wants(name)).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let program = bench.programs.join("tocsin-sim");
    if !program.exists() {
        eprintln!("bench: {} is not built, its rows are left out: {}", program.display(), wanted.join(", "));
        return Ok(());
    }
    eprintln!("bench: simulating");
    let mut command = Command::new(&program);
    command.args(["bench", "--json"]);
    if bench.scale < 1.0 {
        command.args(["--nodes", &bench.count(200, 20).to_string()]);
    }
    let output = command
        .arg("--only")
        .args(&wanted)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("starting {}", program.display()))?;
    if !output.status.success() {
        bail!("{} ended with {}", program.display(), output.status);
    }
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).context("its answer")?;
    for row in rows {
        let (Some(name), Some(value)) = (row["name"].as_str(), row["value"].as_f64()) else {
            continue;
        };
        if NAMES.contains(&name) {
            table.put(name, value);
        }
    }
    Ok(())
}
