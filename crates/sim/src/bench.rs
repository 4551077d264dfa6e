//! The rows of the benchmark that need a whole mesh, by simulation without faults.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::fmt;
use std::panic::resume_unwind;
use std::sync::Arc;

use serde::Serialize;
use tocsin_record::body::Body;
use tocsin_record::body::report::Subject;
use tocsin_record::keys::Secret;
use tocsin_record::marking::{Marking, Tlp};
use tocsin_record::run::Draft;
use tocsin_record::{LogKey, Run, Tip};
use tocsin_store::{BodyState, Outcome, Store, StoreError, Verdict};

use crate::cast::{BEGIN_MS, Cast};
use crate::config::{Config, FrameFaults};
use crate::dice::Dice;
use crate::measure::Measure;
use crate::rules::Table;
use crate::workload;
use crate::world::{Micros, World};

/// Trees take their shape while nothing is counted.
const WARM_US: Micros = 60_000_000;
/// What is counted.
const COUNTED_US: Micros = 80_000_000;
/// One record an author in this time.
const EVERY_US: Micros = 20_000_000;
/// Header (210), body and signature (64) of a record are 600 bytes.
const BODY: usize = 600 - 210 - 64;
/// Verify and flush, in microseconds a hop.
const HOP_US: Micros = 2_000;
/// Records of a burst, and the chance of one in place of a single record in millionths, which puts 5 % of all records
/// into bursts.
const BURST: (usize, u32) = (20, 2_625);

/// A line of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Name of the row, with its unit at the end.
    pub name: String,
    /// What was measured.
    pub value: f64,
    /// It must not be more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// What is aimed at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aim: Option<f64>,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:34} {:>10.3}", self.name, self.value)?;
        if let (Some(most), Some(aim)) = (self.at_most, self.aim) {
            write!(f, "   at most {most}, aim {aim}")?;
        }
        Ok(())
    }
}

fn row(name: &str, value: f64, at_most: f64, aim: f64) -> Row {
    Row { name: name.into(), value, at_most: Some(at_most), aim: Some(aim) }
}

/// All rows whose name holds one of `only`, or all.
#[must_use]
pub fn rows(nodes: usize, only: &[String]) -> Vec<Row> {
    let wanted = |name: &str| only.is_empty() || only.iter().any(|part| name.contains(part.as_str()));
    let quiet = ["bytes_per_delivery_200", "receipt_bytes_per_delivery_200", "latency_over_path_200"];
    let lossy = "p99_loss5_over_path_200";
    // Each takes minutes of one core.
    let (without_loss, with_loss) = std::thread::scope(|scope| {
        let with_loss = wanted(lossy).then(|| scope.spawn(|| spread(nodes, 50_000)));
        let without_loss = quiet.iter().any(|name| wanted(name)).then(|| spread(nodes, 0));
        (without_loss, with_loss.map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic))))
    });
    let mut rows = Vec::new();
    if let Some(found) = without_loss {
        rows.push(row(quiet[0], found.bytes_per_delivery, 1600.0, 1200.0));
        rows.push(row(quiet[1], found.receipt_bytes_per_delivery, 500.0, 250.0));
        rows.push(row(quiet[2], found.mean_over_path, 1.15, 1.05));
        for (kind, bytes) in found.kinds {
            rows.push(Row { name: format!("  {kind}"), value: bytes, at_most: None, aim: None });
        }
    }
    if let Some(found) = with_loss {
        rows.push(row(lossy, found.p99_over_path, 1.6, 1.4));
    }
    if wanted("equal_nodes_bytes") {
        rows.push(row("equal_nodes_bytes", equal_nodes(), 400.0, 200.0));
    }
    rows.retain(|row| row.name.starts_with(' ') || wanted(&row.name));
    rows
}

/// What spreading costs and takes.
#[derive(Clone, Debug)]
pub struct Spread {
    /// Frames with 40 bytes each, all but receipts, a delivered record.
    pub bytes_per_delivery: f64,
    /// The receipts.
    pub receipt_bytes_per_delivery: f64,
    /// Mean latency over the mean of the shortest paths.
    pub mean_over_path: f64,
    /// The same of the 99th percentiles.
    pub p99_over_path: f64,
    /// Bytes a delivery by kind of message, and what else helps to understand.
    pub kinds: Vec<(String, f64)>,
}

fn quiet(seed: u64, nodes: usize) -> Config {
    Config {
        calm: false,
        seed,
        nodes,
        forces: 0,
        force_orgs: (0, 0),
        single: true,
        extra_links: 0,
        dial_out: 0,
        liars: 0,
        sparse: false,
        active_ms: 0,
        settle_ms: 0,
        lapse_ms: 0,
        publishes: 0,
        latency_ms: (1, 90),
        bandwidth: (125_000_000, 125_000_000),
        outbox: 16 << 20,
        flush_us: (HOP_US, HOP_US),
        busy: false,
        frames: FrameFaults::default(),
        crashes: 0,
        disk_faults: 0,
        restores: 0,
        partitions: 0,
        breaks: 0,
        clock_jumps: 0,
        reloads: 0,
        changes: 0,
        skew_ms: 0,
    }
}

/// Ten random links a node, on average, each way the same.
fn ten_links(nodes: usize, dice: &mut Dice) -> Vec<(usize, usize)> {
    let mut pairs = BTreeSet::new();
    while pairs.len() < (nodes * 5).min(nodes * (nodes - 1) / 2) {
        let (a, b) = (dice.index(nodes), dice.index(nodes));
        if a != b {
            pairs.insert((a.min(b), a.max(b)));
        }
    }
    pairs.into_iter().collect()
}

/// Spreads one record an author in 20 s, 5 % of them in bursts of 20, over a mesh.
///
/// # Panics
/// If an oracle finds something wrong, or a record did not arrive.
#[must_use]
pub fn spread(nodes: usize, loss: u32) -> Spread {
    let mut dice = Dice::new(200, "bench");
    let mut config = quiet(200, nodes);
    config.frames.loss = loss;
    let mut cast = Cast::draw(&config);
    cast.pairs = ten_links(nodes, &mut dice);
    let mut world = World::with(config, cast, vec![Table::open()], vec![0; nodes], Vec::new(), Vec::new());
    world.measure = Some(Measure::default());
    let begin = 10_000_000;
    let (counted, end) = (begin + WARM_US, begin + WARM_US + COUNTED_US);
    for (at, node, count) in publishing(nodes, begin, end, &mut dice) {
        world.run_until(at);
        set_counting(&mut world, at >= counted);
        let bodies = (0..count).map(|_| small(&mut dice)).collect();
        world.publish(node, 0, bodies);
    }
    world.run_until(end);
    set_counting(&mut world, false);
    world.run_until(end + 60_000_000);
    assert!(world.violation.is_none(), "{:?}", world.violation);
    figures(&world, counted, end)
}

fn set_counting(world: &mut World, counting: bool) {
    if let Some(measure) = &mut world.measure {
        measure.counting = counting;
    }
}

/// When who publishes how much.
fn publishing(nodes: usize, begin: Micros, end: Micros, dice: &mut Dice) -> Vec<(Micros, usize, usize)> {
    // A burst counts for twenty, so there are fewer moments than records.
    let every = EVERY_US * (1_000_000 + u64::from(BURST.1) * (BURST.0 as u64 - 1)) / 1_000_000;
    let mut all = Vec::new();
    for node in 0..nodes {
        let mut at = begin + dice.below(every);
        while at < end {
            let count = if dice.chance(BURST.1) { BURST.0 } else { 1 };
            all.push((at, node, count));
            at += every / 2 + dice.below(every);
        }
    }
    all.sort_unstable();
    all
}

fn small(dice: &mut Dice) -> Body {
    let subject = Subject(dice.bytes());
    let mut report = workload::report(dice, subject, None, Some(Marking::new(Tlp::Green)));
    report.indicators.truncate(1);
    report.description = String::new();
    let rest = BODY.saturating_sub(Body::Report(report.clone()).encode().len() + 2);
    report.description = (0..rest).map(|_| char::from(b' ' + dice.below(94) as u8)).collect();
    Body::Report(report)
}

#[expect(clippy::cast_precision_loss, reason = "counts and microseconds are far below 2^52")]
fn figures(world: &World, counted: Micros, end: Micros) -> Spread {
    let nodes = world.nodes.len();
    let paths: Vec<Vec<Micros>> = (0..nodes).map(|from| shortest(world, from)).collect();
    let Some(measure) = &world.measure else { unreachable!("it was set before the run") };
    let born = |id| world.registry.get(id).map_or(0, |truth| truth.at_us);
    let records = world.registry.all().iter().filter(|truth| (counted..end).contains(&truth.at_us)).count();
    let mut taken = Vec::new();
    let mut least = Vec::new();
    for (id, author, node, took) in &measure.delivered {
        if (counted..end).contains(&born(id)) {
            taken.push(*took);
            least.push(paths[*author][*node]);
        }
    }
    assert_eq!(taken.len(), records * (nodes - 1), "not every record arrived everywhere");
    taken.sort_unstable();
    least.sort_unstable();
    let mean = |list: &[Micros]| list.iter().sum::<Micros>() as f64 / list.len() as f64;
    let p99 = |list: &[Micros]| list[list.len() * 99 / 100] as f64;
    let deliveries = taken.len() as f64;
    let receipts = measure.kinds.get("Receipts").copied().unwrap_or_default();
    let mut kinds: Vec<(String, f64)> = measure
        .kinds
        .iter()
        .map(|(kind, bytes)| (format!("{kind}, bytes a delivery"), bytes / deliveries))
        .collect();
    kinds.push(("frames a delivery".into(), measure.frames as f64 / deliveries));
    kinds.push(("mean, ms".into(), mean(&taken) / 1000.0));
    kinds.push(("mean of shortest paths, ms".into(), mean(&least) / 1000.0));
    kinds.push(("p99, ms".into(), p99(&taken) / 1000.0));
    kinds.push(("p99 of shortest paths, ms".into(), p99(&least) / 1000.0));
    Spread {
        bytes_per_delivery: (measure.bytes as f64 - receipts) / deliveries,
        receipt_bytes_per_delivery: receipts / deliveries,
        mean_over_path: mean(&taken) / mean(&least),
        p99_over_path: p99(&taken) / p99(&least),
        kinds,
    }
}

/// The shortest time from an author's commit to each node's answer: flushes and links.
fn shortest(world: &World, from: usize) -> Vec<Micros> {
    let mut near: Vec<Vec<(usize, Micros)>> = vec![Vec::new(); world.nodes.len()];
    for pair in &world.pairs {
        let [a, b] = pair.ends;
        near[a].push((b, pair.latency_us));
        near[b].push((a, pair.latency_us));
    }
    let mut best = vec![Micros::MAX; world.nodes.len()];
    let mut heap = BinaryHeap::from([Reverse((HOP_US, from))]);
    best[from] = HOP_US;
    while let Some(Reverse((at, node))) = heap.pop() {
        if at > best[node] {
            continue;
        }
        for &(next, latency) in &near[node] {
            let then = at + latency + HOP_US;
            if then < best[next] {
                best[next] = then;
                heap.push(Reverse((then, next)));
            }
        }
    }
    best
}

/// Two nodes that hold the same 5,000 logs of 50 circles, one from a later base, compare what they hold: the bytes of
/// Hello both ways, and of all that would follow if they did not see that they are equal.
///
/// # Panics
/// If the stores cannot be filled, or an oracle finds something wrong.
#[must_use]
pub fn equal_nodes() -> f64 {
    const ORGS: usize = 100;
    const CIRCLES: usize = 50;
    let mut config = quiet(201, ORGS);
    config.forces = CIRCLES;
    config.force_orgs = (ORGS, ORGS);
    let mut cast = Cast::draw(&config);
    cast.pairs = vec![(0, 1)];
    config.nodes = 2;
    let mut world = World::with(config, cast, vec![Table::open()], vec![0; ORGS], Vec::new(), Vec::new());
    world.nodes.truncate(2);
    let mut dice = Dice::new(201, "equal");
    let runs: Vec<Run> = (0..CIRCLES)
        .flat_map(|circle| (0..ORGS).map(move |author| (circle, author)))
        .map(|(circle, author)| two_records(&world.cast, circle, author, &mut dice))
        .collect();
    for node in 0..2 {
        if let Err(error) = fill(&world, node, &runs) {
            panic!("the store of the benchmark cannot be filled: {error}");
        }
    }
    world.measure = Some(Measure::default());
    // Papers and lobby come first; what follows is counted from the moment that both are in.
    let mut counting = false;
    for step in 0..3000 {
        world.run_until(step * 1000);
        let both_in = world.conns.values().any(|conn| conn.admitted != [false; 2]);
        if both_in && !counting {
            counting = true;
            set_counting(&mut world, true);
        }
    }
    assert!(counting, "the two did not meet");
    assert!(world.violation.is_none(), "{:?}", world.violation);
    let Some(measure) = &world.measure else { unreachable!("it was set above") };
    assert!(measure.kinds.contains_key("Hello"), "the two said no Hello");
    // What heads cost, and names for what they speak of, is a part of the bytes of a delivery.
    measure.kinds.iter().filter(|(kind, _)| !["Heads", "Name"].contains(*kind)).map(|(_, bytes)| bytes).sum()
}

fn two_records(cast: &Cast, circle: usize, author: usize, dice: &mut Dice) -> Run {
    let (_, circle) = cast.forces().nth(circle).expect("it is asked for one of them");
    let node = &cast.nodes[author];
    let log = LogKey { mesh: cast.mesh, author: node.key, circle: circle.id, epoch: BEGIN_MS };
    let draft = |dice: &mut Dice| {
        let body = small(dice);
        Draft {
            kind: tocsin_record::body::REPORT,
            tlp: Tlp::Green.code(),
            flags: 0,
            time: BEGIN_MS,
            expires: 0,
            roster: 1,
            extension: Vec::new(),
            body: body.encode().into(),
        }
    };
    let drafts = vec![draft(dice), draft(dice)];
    match Run::sign(&Secret::from_seed(&node.secret), log, Tip::default(), drafts) {
        Ok(run) => run,
        Err(error) => panic!("a record of the benchmark cannot be signed: {error}"),
    }
}

/// Node 0 holds both records of every log, node 1 only the second.
fn fill(world: &World, node: usize, runs: &[Run]) -> Result<(), StoreError> {
    let mut keys = Dice::new(node as u64, "fill");
    let (kv, slots) = (Arc::new(world.nodes[node].kv.clone()), Arc::new(world.nodes[node].slots.clone()));
    let random = Box::new(move |buffer: &mut [u8]| keys.fill(buffer));
    let mut store =
        Store::open(kv, slots, world.cast.mesh, random, tocsin_seal::Opener::none(), &mut |_| {})?;
    let outcome =
        Outcome { verdict: Verdict::Accepted, body: BodyState::Here, rule: 0, from: 0, received: BEGIN_MS };
    for run in runs {
        let author = world.cast.node_of[&run.log().author];
        let org = world.cast.orgs[world.cast.nodes[author].org].id;
        let log = store.open_log(run.log(), org)?;
        let mut run = run.clone();
        if node == 1 {
            let first = &run.entries()[0];
            store.start_at(log, first.header.tip(first.id))?;
            run = match run.after(1) {
                Some(rest) => rest,
                None => unreachable!("the run has two records"),
            };
        }
        let run = match run.verify() {
            Ok(run) => run,
            Err(error) => panic!("a run of the benchmark does not verify: {error}"),
        };
        let outcomes = vec![outcome; run.entries().len()];
        store.append(log, &run, None, &outcomes)?;
    }
    store.commit()?;
    Ok(())
}
