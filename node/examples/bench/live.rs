//! Live traffic between two nodes. Both run in this process, each on a runtime of its own, as `tocsin run` starts them:
//! real store, real links over loopback. Requests enter where the socket's server hands them to the node, so that JSON
//! and HTTP, which the client pays as much as the node, are left out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tocsin::daemon::Running;
use tocsin_api::types::{CircleRequest, MarkingWords, PublishRequest};
use tocsin_home::Home;
use tocsin_protocol::Event;
use tocsin_record::observable;
use tocsin_service::Node;
use tokio::runtime::Runtime;

use crate::Bench;
use crate::fixture::{Mesh, value};
use crate::measure::{BareLog, disk, percentile, rate, ratio, threads};
use crate::table::{Bound, Table};

/// Most publish requests under way.
const OUTSTANDING: usize = 256;
/// Time between two requests of the latency row: 200 a second.
const EVERY: Duration = Duration::from_millis(5);
/// Windows of the latency row, and their length in requests.
const WINDOWS: usize = 5;
const WINDOW: usize = 2_000;
/// Records of the row about live disk.
const LIVE: usize = 20_000;
/// Time between two bare appends.
const BARE_EVERY: Duration = Duration::from_millis(20);
/// How long the partner may take for what was published.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures the rows.
pub fn rows(bench: &mut Bench, table: &mut Table) -> Result<()> {
    if table.wants("publish_to_findable_p99_ms") || table.wants("disk_over_value_live") {
        let pair = Pair::start(bench, "steady")?;
        steady(bench, table, &pair)?;
        pair.stop()?;
    }
    if table.wants("live_flood_over_s") {
        let pair = Pair::start(bench, "flood")?;
        flood(bench, table, &pair)?;
        pair.stop()?;
    }
    Ok(())
}

/// A node of this process.
pub struct Local {
    runtime: Runtime,
    running: Option<Running>,
    /// What is asked of it.
    pub node: Arc<Node>,
}

impl Local {
    /// Starts the node of a home.
    pub fn start(home: &Home) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build()?;
        let running = runtime.block_on(Running::start(home, home.config()?))?;
        let node = Arc::clone(&running.node);
        Ok(Self { runtime, running: Some(running), node })
    }

    /// Changes a circle as its own people would.
    pub fn change_circle(&self, request: CircleRequest) -> Result<()> {
        let caller = tocsin_service::Caller::new(&self.node.person());
        self.runtime.block_on(self.node.change_circle(&caller, request))?;
        Ok(())
    }

    /// Ends it gracefully.
    pub fn stop(mut self) -> Result<()> {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop())?;
        }
        self.runtime.shutdown_timeout(Duration::from_secs(1));
        Ok(())
    }

    fn found(&self) -> usize {
        self.node.engine.index.read().unwrap_or_else(PoisonError::into_inner).accepted.len()
    }
}

/// Two linked nodes.
struct Pair {
    mesh: Mesh,
    author: Local,
    partner: Local,
}

impl Pair {
    fn start(bench: &Bench, name: &str) -> Result<Self> {
        let mesh = Mesh::make(&bench.folder.join(name), 0)?;
        let (author, partner) = (Local::start(&mesh.sender)?, Local::start(&mesh.receiver)?);
        let begin = Instant::now();
        // In when the lobby is over, so that what follows is live.
        while partner.node.engine.links.links().iter().all(|(_, link)| link.node.is_none()) {
            if begin.elapsed() > Duration::from_secs(30) {
                bail!("the nodes do not link");
            }
            thread::sleep(Duration::from_millis(5));
        }
        thread::sleep(Duration::from_millis(500));
        Ok(Self { mesh, author, partner })
    }

    fn stop(self) -> Result<()> {
        self.author.stop()?;
        self.partner.stop()
    }

    /// Waits until the partner finds so many values. Returns when it did, `None` if it does not.
    fn wait_found(&self, count: usize) -> Option<Instant> {
        let mut last = (0, Instant::now());
        loop {
            let found = self.partner.found();
            if found >= count {
                return Some(Instant::now());
            }
            if found > last.0 {
                last = (found, Instant::now());
            }
            if last.1.elapsed() > PATIENCE {
                return None;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// How many of the first `count` values the partner does not find.
    fn lost(&self, count: usize) -> Result<usize> {
        let index = self.partner.node.engine.index.read().unwrap_or_else(PoisonError::into_inner);
        let mut lost = 0;
        for n in 0..count {
            let what = observable::detect(&value(n as u64))?.observable;
            lost += usize::from(!index.accepted.knows(what.borrowed()));
        }
        Ok(lost)
    }
}

fn request(n: u64) -> PublishRequest {
    PublishRequest {
        values: vec![value(n)],
        circles: vec!["mesh".to_owned()],
        marking: MarkingWords { tlp: Some("green".to_owned()), ..MarkingWords::default() },
        confidence: Some(70),
        title: format!("sighting {n}"),
        ..PublishRequest::default()
    }
}

/// Publishes `count` requests as fast as the node takes them, a bounded number under way.
pub fn publish_all(author: &Local, count: usize, request: fn(u64) -> PublishRequest) -> Result<()> {
    let next = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..OUTSTANDING)
        .map(|_| {
            let (node, next) = (Arc::clone(&author.node), Arc::clone(&next));
            author.runtime.spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count as u64 {
                        return Ok::<(), tocsin_service::NodeError>(());
                    }
                    node.publish(&tocsin_service::Caller::new(&node.person()), request(n)).await?;
                }
            })
        })
        .collect();
    let done: Result<(), tocsin_service::NodeError> = author.runtime.block_on(async {
        for task in tasks {
            // A task that panicked has said so.
            if let Ok(result) = task.await {
                result?;
            }
        }
        Ok(())
    });
    done.context("a publish request failed")
}

fn flood(bench: &Bench, table: &mut Table, pair: &Pair) -> Result<()> {
    let count = bench.count(300_000, 5_000);
    let begin = Instant::now();
    publish_all(&pair.author, count, request)?;
    let accepted = begin.elapsed();
    let end = pair.wait_found(count).unwrap_or_else(Instant::now);
    let lost = pair.lost(count)?;
    eprintln!(
        "bench: flood: {:.0} requests a second accepted, {:.0} findable at the partner, {lost} lost\n  {}",
        rate(count, accepted),
        rate(count, end - begin),
        threads(std::process::id())
    );
    if lost > 0 {
        bail!("{lost} of {count} published values are not findable at the partner");
    }
    table.put_rate("live_flood_over_s", rate(count, end - begin));
    Ok(())
}

/// Moments by record id.
type Moments = Arc<Mutex<HashMap<String, Instant>>>;

fn note(moments: &Moments, id: String, at: Instant) {
    moments.lock().unwrap_or_else(PoisonError::into_inner).insert(id, at);
}

/// 200 requests a second: latencies first, and when enough have come, what they take on the disk.
fn steady(bench: &Bench, table: &mut Table, pair: &Pair) -> Result<()> {
    let (asked, found): (Moments, Moments) = (Moments::default(), Moments::default());
    watch(pair, &found);
    let (bare, stop_bare) = bare_appends(bench)?;
    let window = bench.count(WINDOW, 200);
    let mut next = 0;
    // Links and trees take their shape before anything counts.
    paced(pair, &asked, &mut next, window.min(400));
    let mut p99s = Vec::new();
    for _ in 0..WINDOWS {
        let first = Instant::now();
        paced(pair, &asked, &mut next, window);
        if pair.wait_found(next).is_none() {
            bail!("the partner finds {} of {next} values", pair.partner.found());
        }
        thread::sleep(Duration::from_millis(100));
        let took = delays(&asked, &found, first);
        eprintln!(
            "bench: publish to findable: {} records, p50 {:.2} ms, p99 {:.2} ms",
            took.len(),
            percentile(&took, 50.0),
            percentile(&took, 99.0)
        );
        p99s.push(percentile(&took, 99.0));
    }
    stop_bare.store(true, Ordering::Relaxed);
    let bare = bare.join().ok().context("the bare appends failed")?;
    let bare_p99 = percentile(&bare, 99.0);
    eprintln!(
        "bench: bare append and fdatasync: p50 {:.3} ms, p99 {bare_p99:.3} ms",
        percentile(&bare, 50.0)
    );
    let bound = Bound::AtMost(f64::max(2.0, 10.0 * bare_p99));
    table.put_with("publish_to_findable_p99_ms", percentile(&p99s, 50.0), bound);
    if table.wants("disk_over_value_live") {
        let all = bench.count(LIVE, next);
        let rest = all.saturating_sub(next);
        paced(pair, &asked, &mut next, rest);
        if pair.wait_found(next).is_none() {
            bail!("the partner finds {} of {next} values", pair.partner.found());
        }
        thread::sleep(Duration::from_secs(2));
        table.put("disk_over_value_live", live_disk(pair)?);
    }
    Ok(())
}

/// Publishes `count` values, one every 5 ms, whether or not those before were answered.
fn paced(pair: &Pair, asked: &Moments, next: &mut usize, count: usize) {
    let begin = Instant::now();
    for n in 0..count {
        let due = begin + EVERY * u32::try_from(n).unwrap_or(u32::MAX);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let (node, asked) = (Arc::clone(&pair.author.node), Arc::clone(asked));
        let request = request((*next + n) as u64);
        pair.author.runtime.spawn(async move {
            let at = Instant::now();
            match node.publish(&tocsin_service::Caller::new(&node.person()), request).await {
                Ok(published) => {
                    for record in published.records {
                        note(&asked, record.record, at);
                    }
                }
                Err(error) => eprintln!("bench: a publish request failed: {error}"),
            }
        });
    }
    *next += count;
}

/// Notes when the partner has judged and indexed a record: its event leaves the core right after.
fn watch(pair: &Pair, found: &Moments) {
    let mut events = pair.partner.node.engine.core.watch();
    let found = Arc::clone(found);
    thread::spawn(move || {
        // Ends when the node does, or when it was too slow, which the number of delays then shows.
        while let Ok(event) = events.blocking_recv() {
            if let Event::Judged { id, .. } = event {
                let at = Instant::now();
                note(&found, id.to_string(), at);
            }
        }
    });
}

/// From request to findable, in ms, of what was asked since `first`.
fn delays(asked: &Moments, found: &Moments, first: Instant) -> Vec<f64> {
    let asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    let found = found.lock().unwrap_or_else(PoisonError::into_inner);
    asked
        .iter()
        .filter(|(_, at)| **at >= first)
        .filter_map(|(id, at)| Some(found.get(id)?.saturating_duration_since(*at).as_secs_f64() * 1e3))
        .collect()
}

type Bare = thread::JoinHandle<Vec<f64>>;

/// Appends and syncs beside the nodes, on the same disk at the same time.
fn bare_appends(bench: &Bench) -> Result<(Bare, Arc<AtomicBool>)> {
    let mut log = BareLog::create(&bench.folder.join("bare.log"))?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let thread = thread::spawn(move || {
        let mut times = Vec::new();
        while !stopped.load(Ordering::Relaxed) {
            if let Ok(time) = log.append() {
                times.push(time);
            }
            thread::sleep(BARE_EVERY);
        }
        times
    });
    Ok((thread, stop))
}

/// The greater of the two homes over the bytes of headers and bodies in it.
fn live_disk(pair: &Pair) -> Result<f64> {
    let mut greatest: f64 = 0.0;
    for (local, home) in [(&pair.author, &pair.mesh.sender), (&pair.partner, &pair.mesh.receiver)] {
        let reader = &local.node.engine.reader;
        let mut bytes = 0;
        let mut records = 0;
        for (_, place) in reader.since(0, usize::MAX) {
            if let Some(stored) = reader.record(place)? {
                let header = &stored.entry.header;
                bytes += header.encode().len() as u64 + u64::from(header.body_len);
                records += 1;
            }
        }
        let on_disk = disk(home.path());
        eprintln!("bench: live disk: {} KB for {records} records of {} KB", on_disk >> 10, bytes >> 10);
        greatest = greatest.max(ratio(on_disk, bytes));
    }
    Ok(greatest)
}
