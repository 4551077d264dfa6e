//! The table: its rows, their bounds, and how they are shown.

use std::fmt;

use serde_json::{Value, json};

/// What a value must keep to.
#[derive(Clone, Copy, Debug)]
pub enum Bound {
    /// Not less.
    AtLeast(f64),
    /// Not more.
    AtMost(f64),
}

/// The rows that this program or the simulator measures, in the order of the table.
const ROWS: &[(&str, Bound, f64)] = &[
    ("catchup_records_over_s", Bound::AtLeast(10.0), 20.0),
    ("catchup_filtered_over_s", Bound::AtLeast(4.0), 8.0),
    ("catchup_indicators_in_reports_over_s", Bound::AtLeast(50.0), 100.0),
    ("sealed_over_unsealed_catchup", Bound::AtLeast(0.7), 0.9),
    ("policy_decisions_per_s", Bound::AtLeast(1e6), 2e6),
    ("rotate_50_ms", Bound::AtMost(50.0), 10.0),
    ("live_flood_over_s", Bound::AtLeast(2.0), 5.0),
    ("publish_to_findable_p99_ms", Bound::AtMost(2.0), 1.0),
    ("bytes_per_delivery_200", Bound::AtMost(1600.0), 1200.0),
    ("receipt_bytes_per_delivery_200", Bound::AtMost(500.0), 250.0),
    ("latency_over_path_200", Bound::AtMost(1.15), 1.05),
    ("p99_loss5_over_path_200", Bound::AtMost(1.6), 1.4),
    ("disk_over_value", Bound::AtMost(0.8), 0.5),
    ("disk_over_value_live", Bound::AtMost(2.5), 1.2),
    ("equal_nodes_bytes", Bound::AtMost(400.0), 200.0),
    ("lookup_process_p50_ms", Bound::AtMost(1.5), 0.9),
    ("import_to_partners_s", Bound::AtMost(1.0), 0.5),
    ("idle_cpu_percent", Bound::AtMost(0.3), 0.1),
    ("link_under_silent_sockets_s", Bound::AtMost(5.0), 1.0),
    ("soak_memory_per_record", Bound::AtMost(600.0), 300.0),
    ("soak_more_descriptors", Bound::AtMost(8.0), 0.0),
    ("soak_p99_growth", Bound::AtMost(2.0), 1.2),
    ("soak_lost", Bound::AtMost(0.0), 0.0),
    ("clean_build_s", Bound::AtMost(240.0), 180.0),
];

#[derive(Debug)]
struct Row {
    name: &'static str,
    value: f64,
    bound: Bound,
    aim: f64,
    /// Whether the value is a rate that is still to be divided by S.
    over_s: bool,
}

/// What was measured.
#[derive(Debug)]
pub struct Table {
    only: Vec<String>,
    rows: Vec<Row>,
}

impl Table {
    /// An empty table of all rows, or of those whose name holds one of `only`.
    pub fn new(only: &[String]) -> Self {
        Self { only: only.to_vec(), rows: Vec::new() }
    }

    /// Whether a row is asked for.
    pub fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
    }

    /// Enters a value; one that was not asked for is left out.
    pub fn put(&mut self, name: &str, value: f64) {
        self.enter(name, value, None, false);
    }

    /// Enters a value whose bound this run has loosened.
    pub fn put_with(&mut self, name: &str, value: f64, bound: Bound) {
        self.enter(name, value, Some(bound), false);
    }

    /// Enters a rate a second, which becomes a ratio when S is known.
    pub fn put_rate(&mut self, name: &str, per_second: f64) {
        self.enter(name, per_second, None, true);
    }

    fn enter(&mut self, name: &str, value: f64, bound: Option<Bound>, over_s: bool) {
        let Some(&(name, known, aim)) = ROWS.iter().find(|row| row.0 == name) else {
            eprintln!("bench: {name} is no row of the table");
            return;
        };
        if self.wants(name) {
            let bound = bound.unwrap_or(known);
            self.rows.push(Row { name, value, bound, aim, over_s });
        }
    }

    /// Divides the rates by S, and brings the rows into the order of the table.
    pub fn finish(&mut self, verifies: f64) {
        for row in self.rows.iter_mut().filter(|row| row.over_s) {
            row.value /= verifies;
        }
        let place = |row: &Row| ROWS.iter().position(|known| known.0 == row.name);
        self.rows.sort_by_key(place);
    }

    /// Whether every row that was measured keeps to its bound.
    pub fn met(&self) -> bool {
        self.rows.iter().all(Row::met)
    }

    /// The rows as an array of objects.
    pub fn json(&self) -> String {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| match row.bound {
                Bound::AtLeast(bound) => {
                    json!({"name": row.name, "value": row.value, "at_least": bound, "aim": row.aim})
                }
                Bound::AtMost(bound) => {
                    json!({"name": row.name, "value": row.value, "at_most": bound, "aim": row.aim})
                }
            })
            .collect();
        format!("{:#}\n", Value::Array(rows))
    }
}

impl Row {
    fn met(&self) -> bool {
        match self.bound {
            Bound::AtLeast(bound) => self.value >= bound,
            Bound::AtMost(bound) => self.value <= bound,
        }
    }

    fn reached(&self) -> bool {
        match self.bound {
            Bound::AtLeast(_) => self.value >= self.aim,
            Bound::AtMost(_) => self.value <= self.aim,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:38} {:>10} {:>10} {:>8}", "name", "value", "bound", "aim")?;
        for row in &self.rows {
            let (sign, bound) = match row.bound {
                Bound::AtLeast(bound) => (">=", bound),
                Bound::AtMost(bound) => ("<=", bound),
            };
            let verdict = match (row.met(), row.reached()) {
                (false, _) => "NOT MET",
                (true, false) => "met",
                (true, true) => "met, and the aim",
            };
            let bound = format!("{sign} {bound:.4}");
            let bound = bound.trim_end_matches('0').trim_end_matches('.');
            writeln!(f, "{:38} {:>10.3} {bound:>10} {:>8}  {verdict}", row.name, row.value, row.aim)?;
        }
        Ok(())
    }
}
