//! One seed from beginning to end: the faults, the healing, and the judges' last look.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::config::{Config, Scale};
use crate::oracle::convergent::Look;
use crate::oracle::{Violation, authentic};
use crate::world::{Micros, World};

/// How often the mesh is looked at while it settles, in microseconds.
const LOOK_US: Micros = 2_000_000;
/// Nodes whose whole stores are read at the end, where there are many.
const READ_ALL: usize = 24;

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What it was like.
    pub config: Config,
    /// What went wrong first.
    pub violation: Option<Violation>,
    /// The hash over every event.
    pub trace: String,
    /// How long the mesh took to agree after the faults, in ms.
    pub settled_ms: Option<u64>,
    /// Records that were written.
    pub records: usize,
    /// What happened how often.
    pub counts: BTreeMap<String, u64>,
    /// Real time, in ms.
    pub took_ms: u128,
}

/// Runs a seed.
#[must_use]
pub fn run(seed: u64, scale: Scale) -> Report {
    run_config(Config::draw(seed, scale))
}

/// Runs a configuration.
#[must_use]
pub fn run_config(config: Config) -> Report {
    let begin = Instant::now();
    let mut world = World::new(config.clone());
    world.run_until(config.active_ms * 1000);
    world.heal();
    let settled_ms = settle(&mut world);
    last_look(&mut world);
    Report {
        trace: world.trace.hash(),
        violation: world.violation,
        settled_ms,
        records: world.registry.all().len(),
        counts: world.counts,
        config,
        took_ms: begin.elapsed().as_millis(),
    }
}

/// Runs a seed twice: once more if all went well, to see whether it does the same.
#[must_use]
pub fn run_twice(seed: u64, scale: Scale) -> Report {
    let mut first = run(seed, scale);
    if first.violation.is_none() {
        let second = run(seed, scale);
        first.took_ms += second.took_ms;
        if second.trace != first.trace {
            let what = format!("the same seed ran twice: {} and {}", first.trace, second.trace);
            first.violation = Some(Violation { oracle: "deterministic", at_us: 0, what });
        }
    }
    first
}

/// Lets the clock run until the mesh agrees, and still agrees when all that was to lapse has lapsed and all know the time.
fn settle(world: &mut World) -> Option<u64> {
    let begin = world.now;
    let end = begin + world.config.settle_ms * 1000;
    let mut agreed = None;
    loop {
        // The first looks tell how long it took; after that only what lapses can change anything.
        let pause = if agreed.is_some() { 5 * LOOK_US } else { LOOK_US };
        world.run_until(world.now + pause);
        if world.violation.is_some() {
            return None;
        }
        match look(world) {
            Ok(()) => {
                let since = *agreed.get_or_insert((world.now - begin) / 1000);
                // What lapsed is to be gone then at all nodes, which the last look asks.
                let until = (begin + world.config.lapse_ms * 1000).max(world.all_heard_us());
                if world.now >= until {
                    return Some(since);
                }
            }
            Err(violation) if world.now >= end => {
                world.violation = Some(violation);
                return None;
            }
            Err(_) => agreed = None,
        }
    }
}

/// Whether the mesh agrees now.
///
/// # Errors
/// Where it does not.
pub fn look(world: &World) -> Result<(), Violation> {
    let scene = world.scene();
    let honest = |node: usize| !world.cast.nodes[node].liar;
    if let Some(node) = (0..world.nodes.len()).find(|node| honest(*node) && world.nodes[*node].mesh.is_none())
    {
        return Err(scene.broken("convergent", format!("n{node} is down")));
    }
    let links = world.open_links();
    let apart = world
        .pairs
        .iter()
        .map(|pair| pair.ends)
        .find(|ends| ends.iter().all(|node| honest(*node)) && !links.contains(&(ends[0], ends[1])));
    if let Some([one, other]) = apart {
        return Err(scene.broken("convergent", format!("n{one} and n{other} are not linked")));
    }
    let unanswered = world.nodes.iter().find(|node| honest(node.at) && !node.asked.is_empty());
    if let Some(node) = unanswered {
        let what = format!("n{} did not answer {} requests", node.at, node.asked.len());
        return Err(scene.broken("convergent", what));
    }
    let sights: Vec<_> = world.nodes.iter().map(|node| node.sight.clone()).collect();
    let wall = crate::cast::BEGIN_MS + world.now / 1000;
    Look { scene: &scene, sights: &sights, links: &links, restored: &world.restored, wall }.check()
}

/// Whole stores are read, body for body, and what was ever on a disk is tried with the keys that are there now.
fn last_look(world: &mut World) {
    for node in 0..world.nodes.len() {
        world.look_at(node);
    }
    if world.violation.is_some() {
        return;
    }
    let step = world.nodes.len().div_ceil(READ_ALL);
    let mut result = Ok(());
    for node in (0..world.nodes.len()).step_by(step) {
        if world.cast.nodes[node].liar {
            continue;
        }
        if let Some(sight) = &world.nodes[node].sight {
            let scene = world.scene();
            let slots = &world.nodes[node].slots;
            result = result.and_then(|()| authentic::held(&scene, node, sight)).and_then(|()| {
                let gone = world.judges.erased.gone(&scene, sight);
                world.judges.erased.dig(&scene, node, sight, slots, &gone)
            });
        }
    }
    world.note(result);
}
