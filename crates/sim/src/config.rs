//! What one run is like, drawn from its seed: each kind of fault is there or not, so that some seeds look at one fault
//! alone and some at all of them.

use std::fmt;

use crate::dice::Dice;
use crate::liar::Lies;

/// One small run in so many is calm.
const CALM_EVERY: u64 = 4;

/// How large a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// 5 to 12 nodes and a few dozen records.
    Small,
    /// So many nodes, fewer faults for each.
    Nodes(usize),
}

/// Odds of what happens to a single frame, in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameFaults {
    /// A live frame is lost without a word.
    pub loss: u32,
    /// A frame comes twice.
    pub duplicate: u32,
    /// A frame is overtaken by those behind it.
    pub reorder: u32,
    /// A frame comes late by a retransmission.
    pub delay: u32,
}

/// One run. Times are virtual.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where all chance of the run begins.
    pub seed: u64,
    /// Nodes, those of several nodes an org included.
    pub nodes: usize,
    /// Circles with a roster of their own.
    pub forces: usize,
    /// Orgs in such a circle, both included.
    pub force_orgs: (usize, usize),
    /// Whether every org has one node only.
    pub single: bool,
    /// Links that each node has besides those that its circles ask for.
    pub extra_links: usize,
    /// Share of nodes that only dial out, in percent.
    pub dial_out: u32,
    /// Nodes that lie.
    pub liars: usize,
    /// Whether nodes start with the charter and their own papers only.
    pub sparse: bool,
    /// How long things happen, in ms.
    pub active_ms: u64,
    /// How long the mesh may take to agree afterwards, in ms.
    pub settle_ms: u64,
    /// The mesh is looked at once more when so long has passed, since all that lapses early has lapsed then, in ms.
    pub lapse_ms: u64,
    /// Nothing goes wrong but what liars do, who are linked to every node: everybody else has to go on as if they were
    /// not there. Each such run shows one lie alone.
    pub calm: bool,
    /// Publish requests.
    pub publishes: usize,
    /// Links' one-way latency, in ms, both included.
    pub latency_ms: (u64, u64),
    /// Bytes a second of a link's bulk lane, both included.
    pub bandwidth: (u64, u64),
    /// Bytes that a link's outbox holds a lane.
    pub outbox: usize,
    /// How long verify and flush take, in microseconds, both included.
    pub flush_us: (u64, u64),
    /// Whether a node that flushes lets its inbox wait meanwhile.
    pub busy: bool,
    /// What happens to frames.
    pub frames: FrameFaults,
    /// Crashes that lose unsynced writes.
    pub crashes: usize,
    /// Disks that break and are mended.
    pub disk_faults: usize,
    /// Old disks put back.
    pub restores: usize,
    /// Times when two parts of the mesh do not reach each other.
    pub partitions: usize,
    /// Single links that break.
    pub breaks: usize,
    /// Clocks that are set wrong and back.
    pub clock_jumps: usize,
    /// Policies that change.
    pub reloads: usize,
    /// Times when the members of a circle with a roster change.
    pub changes: usize,
    /// Greatest difference of a node's wall clock, in ms, either way.
    pub skew_ms: u64,
}

impl Config {
    /// Draws a run.
    #[must_use]
    pub fn draw(seed: u64, scale: Scale) -> Self {
        let mut dice = Dice::new(seed, "config");
        let nodes = match scale {
            Scale::Small => dice.range(5, 12) as usize,
            Scale::Nodes(nodes) => nodes.max(3),
        };
        let small = nodes <= 20;
        // A quarter of the runs is quiet in each respect.
        let some = |dice: &mut Dice, most: u64| {
            if dice.percent(30) { 0 } else { dice.range(1, most) as usize }
        };
        let odds = |dice: &mut Dice, most: u64| {
            if dice.percent(50) { 0 } else { dice.below(most) as u32 }
        };
        let per = |count: usize| if small { count } else { count * nodes / 40 };
        let busy = dice.percent(70);
        let slow = dice.percent(20);
        let config = Self {
            seed,
            calm: false,
            nodes,
            forces: if small { dice.range(1, 3) as usize } else { dice.range(5, 12) as usize },
            force_orgs: (2, 30),
            single: false,
            extra_links: if small { dice.below(4) as usize } else { 6 },
            dial_out: 50,
            liars: if dice.percent(50) { 0 } else { dice.range(1, (nodes as u64 / 5).max(1)) as usize },
            sparse: dice.percent(50),
            active_ms: if small { dice.range(20, 90) * 1000 } else { 15_000 },
            settle_ms: 900_000,
            lapse_ms: if small { 60_000 } else { 0 },
            publishes: if small { dice.range(20, 60) as usize } else { nodes / 2 },
            latency_ms: (1, 90),
            bandwidth: if slow { (20_000, 200_000) } else { (500_000, 12_000_000) },
            outbox: if slow { 64 << 10 } else { 4 << 20 },
            flush_us: if busy { (500, 8_000) } else { (2_000, 2_000) },
            busy,
            frames: FrameFaults {
                loss: odds(&mut dice, 60_000),
                duplicate: odds(&mut dice, 30_000),
                reorder: odds(&mut dice, 20_000),
                delay: odds(&mut dice, 50_000),
            },
            crashes: per(some(&mut dice, 5)),
            disk_faults: per(some(&mut dice, 3)),
            restores: per(some(&mut dice, 2)),
            partitions: some(&mut dice, 3),
            breaks: per(some(&mut dice, 6)),
            clock_jumps: per(some(&mut dice, 2)),
            reloads: per(some(&mut dice, 4)),
            skew_ms: dice.below(3_000),
            changes: some(&mut dice, if small { 5 } else { 20 }),
        };
        if small && seed % CALM_EVERY == CALM_EVERY - 1 { config.calmed() } else { config }
    }

    /// What its liars do.
    #[must_use]
    pub fn lies(&self) -> Lies {
        if self.calm { Lies::One((self.seed / CALM_EVERY) as usize) } else { Lies::Some }
    }

    /// As it is, but that nothing goes wrong, and that somebody lies.
    fn calmed(self) -> Self {
        Self {
            calm: true,
            liars: self.liars.max(1),
            active_ms: self.active_ms.max(50_000),
            publishes: self.publishes + 40,
            bandwidth: (500_000, 12_000_000),
            outbox: 4 << 20,
            frames: FrameFaults::default(),
            crashes: 0,
            disk_faults: 0,
            restores: 0,
            partitions: 0,
            breaks: 0,
            clock_jumps: 0,
            reloads: 0,
            changes: 0,
            ..self
        }
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} nodes ({} % dial out, {} liars), {} task forces, {} publishes in {} s; lost {}, twice {}, overtaken {}, late {} \
             of 1,000,000 frames; {} crashes, {} disk faults, {} restores, {} partitions, {} breaks, {} clock jumps, \
             {} policy reloads, {} changes of circles{}{}{}",
            self.nodes,
            self.dial_out,
            self.liars,
            self.forces,
            self.publishes,
            self.active_ms / 1000,
            self.frames.loss,
            self.frames.duplicate,
            self.frames.reorder,
            self.frames.delay,
            self.crashes,
            self.disk_faults,
            self.restores,
            self.partitions,
            self.breaks,
            self.clock_jumps,
            self.reloads,
            self.changes,
            if self.calm { ", calm" } else { "" },
            if self.sparse { ", papers spread" } else { "" },
            if self.busy { ", busy" } else { "" },
        )
    }
}
