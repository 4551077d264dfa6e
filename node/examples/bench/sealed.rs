//! What sealing costs: a catch-up of sealed records against one of the same records in the clear, and a new key for a circle
//! of fifty.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use tocsin_api::types::{CircleRequest, MarkingWords, PublishRequest};
use tocsin_home::keys::fresh_seed;
use tocsin_record::keys::Secret;
use tocsin_record::{CircleId, DocHash, LogKey, MeshId, NodeKey};
use tocsin_seal::{KeyPlace, SealingKey, wrap};

use crate::Bench;
use crate::catchup::{self, to_usize};
use crate::fixture::{Filled, Mesh, RECEIVER, Transport, description, value};
use crate::live::{Local, publish_all};
use crate::measure::{percentile, rate};
use crate::table::Table;

/// The circle of the sealed side.
const CIRCLE: &str = "ops";
/// Nodes that a new key is wrapped for.
const NODES: usize = 50;
/// How often a new key is made.
const ROTATIONS: usize = 40;
/// How long a partner may take to hear of a circle.
const PATIENCE: Duration = Duration::from_secs(30);

/// Measures the rows.
pub fn rows(bench: &Bench, table: &mut Table) -> Result<()> {
    if table.wants("rotate_50_ms") {
        table.put("rotate_50_ms", rotate()?);
    }
    if table.wants("sealed_over_unsealed_catchup") {
        let sides = [Side::make(bench, true)?, Side::make(bench, false)?];
        let mut times = [Duration::ZERO; 2];
        // Each order once, so that what a disk remembers helps both.
        for at in [0, 1, 1, 0] {
            times[at] += sides[at].catch_up(bench)?;
        }
        let [sealed, clear] = [0, 1].map(|at| rate(2 * to_usize(sides[at].filled.records), times[at]));
        eprintln!("bench: catch-up: {sealed:.0} sealed records a second, {clear:.0} in the clear");
        table.put("sealed_over_unsealed_catchup", sealed / clear);
    }
    Ok(())
}

/// A mesh whose sender holds records of its own, sealed or not.
struct Side {
    mesh: Mesh,
    filled: Filled,
}

impl Side {
    fn make(bench: &Bench, sealed: bool) -> Result<Self> {
        let mut mesh = Mesh::make(&bench.folder.join(if sealed { "sealed" } else { "clear" }), 0)?;
        mesh.only(Transport::Tcp)?;
        let author = Local::start(&mesh.sender)?;
        if sealed {
            let partner = Local::start(&mesh.receiver)?;
            found_circle(&author, &partner)?;
            partner.stop()?;
        }
        let count = bench.count(200_000, 2_000);
        publish_all(&author, count, if sealed { in_circle } else { in_mesh })?;
        let held = author.node.engine.reader.since(0, usize::MAX).len() as u64;
        author.stop()?;
        let filled = Filled { records: held, indicators: count as u64, ..Filled::default() };
        Ok(Self { mesh, filled })
    }

    fn catch_up(&self, bench: &Bench) -> Result<Duration> {
        let done = catchup::run(bench, &self.mesh, &self.filled, Transport::Tcp, self.filled.records)?;
        done.receiver.kill()?;
        Ok(done.time)
    }
}

/// The author begins a circle, and the partner accepts as soon as it hears of it.
fn found_circle(author: &Local, partner: &Local) -> Result<()> {
    let create = CircleRequest::Create {
        name: CIRCLE.to_owned(),
        members: vec![RECEIVER.to_owned()],
        stewards: Vec::new(),
        carriers: Vec::new(),
        carry: None,
    };
    author.change_circle(create)?;
    let begin = Instant::now();
    loop {
        let accept = CircleRequest::Accept { circle: CIRCLE.to_owned(), about: None };
        let Err(error) = partner.change_circle(accept) else { break };
        if begin.elapsed() > PATIENCE {
            return Err(error.context("the partner hears of no circle"));
        }
        thread::sleep(Duration::from_millis(50));
    }
    while author.node.circles(Some(CIRCLE))?.iter().all(|circle| circle.members.len() < 2) {
        if begin.elapsed() > PATIENCE {
            bail!("the circle has no second member");
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn in_circle(n: u64) -> PublishRequest {
    request(n, CIRCLE, "amber")
}

fn in_mesh(n: u64) -> PublishRequest {
    request(n, "mesh", "green")
}

fn request(n: u64, circle: &str, tlp: &str) -> PublishRequest {
    PublishRequest {
        values: vec![value(n)],
        circles: vec![circle.to_owned()],
        marking: MarkingWords { tlp: Some(tlp.to_owned()), ..MarkingWords::default() },
        confidence: Some(70),
        title: format!("sighting {n}"),
        description: description(n),
        ..PublishRequest::default()
    }
}

/// The median time of what the first record after a change of the roster waits for: a key, wrapped for each node and for as
/// many of nobody as hide their number. In ms.
fn rotate() -> Result<f64> {
    let mut random = ChaCha20Rng::from_seed(*fresh_seed()?);
    let key = |n: usize| NodeKey(Secret::from_seed(&[u8::try_from(n).unwrap_or(u8::MAX); 32]).public());
    let nodes: BTreeMap<_, _> =
        (0..NODES).map(|n| (key(n), SealingKey::generate(&mut random).public())).collect();
    let mesh = MeshId([1; 32]);
    let log = LogKey { mesh, author: key(0), circle: CircleId([2; 32]), epoch: 1 };
    let mut times = Vec::new();
    for seq in 1..=ROTATIONS as u64 {
        let place = KeyPlace { log, seq, time: 1, roster: 2, roster_hash: DocHash([3; 32]) };
        let begin = Instant::now();
        let (_, record) = wrap(&place, &nodes, &mut random).context("a key of the benchmark")?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
        if record.wraps.len() < NODES * tocsin_seal::WRAP_LEN {
            bail!("a key was wrapped for fewer than {NODES} nodes");
        }
    }
    eprintln!(
        "bench: a key for {NODES} nodes: p50 {:.2} ms, p99 {:.2} ms",
        percentile(&times, 50.0),
        percentile(&times, 99.0)
    );
    Ok(percentile(&times, 50.0))
}
