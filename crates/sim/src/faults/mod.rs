//! What goes wrong, and when.

mod inject;

use std::collections::BTreeSet;

use crate::cast::Cast;
use crate::config::Config;
use crate::dice::Dice;

/// How far a clock is set wrong, in ms: what nobody notices, hours, and years.
const JUMPS_MS: [(u64, u64); 3] =
    [(1_000, 500_000), (600_000, 7_200_000), (30 * 86_400_000, 40 * 365 * 86_400_000)];

/// Where in its work a node dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Between two batches.
    Idle,
    /// After inputs were handled, before the commit.
    BeforeCommit,
    /// While the commit writes: at this write.
    InCommit(u32),
    /// After the commit, before anything leaves.
    BeforeSending,
}

/// One fault.
#[derive(Clone, Debug)]
pub enum Fault {
    /// A node loses power at its next work.
    Crash {
        /// The node, by its place in the world.
        node: usize,
        /// When in its work.
        moment: Moment,
        /// For how long it is down.
        down_ms: u64,
        /// The machine booted as well, rather than the process alone.
        reboot: bool,
    },
    /// A node's disk fails from its next write but so many on.
    Disk {
        /// The node, by its place in the world.
        node: usize,
        /// Writes that still work.
        after: u32,
        /// The key file, rather than the database.
        keys: bool,
        /// For how long it is down.
        down_ms: u64,
    },
    /// The operator makes a backup.
    Snapshot {
        /// Of which node.
        node: usize,
    },
    /// The operator puts the backup back.
    Restore {
        /// At which node.
        node: usize,
        /// For how long it is down.
        down_ms: u64,
    },
    /// Some nodes and the others do not reach each other.
    Partition {
        /// One side.
        side: BTreeSet<usize>,
        /// Frames are lost from this side to the other, and the other way round.
        dark: [bool; 2],
        /// For how long.
        for_ms: u64,
    },
    /// A link breaks.
    Break {
        /// Which pair.
        pair: usize,
    },
    /// A clock is set wrong.
    Clock {
        /// Of which nodes.
        nodes: Vec<usize>,
        /// By so many ms.
        by_ms: i64,
        /// For how long.
        for_ms: u64,
    },
    /// A node's policy changes.
    Reload {
        /// Which node.
        node: usize,
        /// To which table.
        table: usize,
    },
}

/// The faults of a run with their times in virtual microseconds, in order.
#[must_use]
pub fn schedule(config: &Config, cast: &Cast, tables: usize) -> Vec<(u64, Fault)> {
    let mut dice = Dice::new(config.seed, "faults");
    let mut faults = Vec::new();
    let end = config.active_ms * 1000;
    let honest: Vec<usize> = (0..config.nodes).filter(|node| !cast.nodes[*node].liar).collect();
    for _ in 0..config.crashes {
        let moment = match dice.below(5) {
            0 => Moment::Idle,
            1 => Moment::BeforeCommit,
            2 => Moment::BeforeSending,
            _ => Moment::InCommit(dice.below(4) as u32),
        };
        let (node, down_ms) = (*dice.pick(&honest), dice.range(100, 15_000));
        faults.push((dice.below(end), Fault::Crash { node, moment, down_ms, reboot: dice.percent(30) }));
    }
    for _ in 0..config.disk_faults {
        let (node, after) = (*dice.pick(&honest), dice.below(12) as u32);
        let fault = Fault::Disk { node, after, keys: dice.percent(30), down_ms: dice.range(100, 10_000) };
        faults.push((dice.below(end), fault));
    }
    for _ in 0..config.restores {
        let node = *dice.pick(&honest);
        let at = dice.below(end / 2);
        faults.push((at, Fault::Snapshot { node }));
        faults.push((dice.range(at + 1, end), Fault::Restore { node, down_ms: dice.range(500, 10_000) }));
    }
    for _ in 0..config.partitions {
        let side = (0..config.nodes).filter(|_| dice.percent(40)).collect();
        let dark = *dice.pick(&[[true, true], [true, false], [false, true]]);
        let for_ms = dice.range(500, config.active_ms / 2);
        faults.push((dice.below(end), Fault::Partition { side, dark, for_ms }));
    }
    for _ in 0..config.breaks {
        faults.push((dice.below(end), Fault::Break { pair: dice.index(cast.pairs.len()) }));
    }
    for _ in 0..config.clock_jumps {
        let (from, to) = *dice.pick(&JUMPS_MS);
        let by = dice.range(from, to) as i64;
        let by_ms = if dice.percent(50) { by } else { -by };
        let nodes = if dice.percent(25) { (0..config.nodes).collect() } else { vec![*dice.pick(&honest)] };
        let fault = Fault::Clock { nodes, by_ms, for_ms: dice.range(1_000, 20_000) };
        faults.push((dice.below(end), fault));
    }
    for _ in 0..config.reloads {
        let fault = Fault::Reload { node: *dice.pick(&honest), table: dice.index(tables) };
        faults.push((dice.below(end), fault));
    }
    faults.sort_by_key(|(at, _)| *at);
    faults
}
