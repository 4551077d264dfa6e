//! Catch-up between two real nodes over loopback, and what can be asked of a node that holds a million records.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::Bench;
use crate::fixture::{EVERY, Filled, Mesh, Transport, WITHHOLD, value};
use crate::measure::{disk, rate, ratio, threads};
use crate::process::{self, Process};
use crate::table::Table;

/// Values that must answer after the receiver was killed.
const SAMPLES: u64 = 1_000;
/// Processes of the lookup row.
const LOOKUPS: u64 = 200;
/// How long one catch-up may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// How often the receiver is asked how far it is.
const POLL: Duration = Duration::from_millis(50);

/// Measures the rows.
pub fn rows(bench: &mut Bench, table: &mut Table) -> Result<()> {
    let singles =
        ["catchup_records_over_s", "catchup_filtered_over_s", "disk_over_value", "lookup_process_p50_ms"];
    if singles.iter().any(|name| table.wants(name) && !name.ends_with("_live")) {
        one_indicator(bench, table)?;
    }
    if table.wants("catchup_indicators_in_reports_over_s") {
        in_reports(bench, table)?;
    }
    Ok(())
}

fn one_indicator(bench: &mut Bench, table: &mut Table) -> Result<()> {
    let folder = bench.folder.join("singles");
    let mut mesh = Mesh::with_authors(&folder)?;
    let filled = fill(&mesh, bench.count(1_000_000, 5_000) as u64, 1)?;
    let all = ["catchup_records_over_s", "disk_over_value", "lookup_process_p50_ms"];
    if all.iter().any(|name| table.wants(name)) {
        let mut slowest = f64::MAX;
        for transport in [Transport::Quic, Transport::Tcp] {
            mesh.only(transport)?;
            let done = run(bench, &mesh, &filled, transport, filled.records)?;
            slowest = slowest.min(rate(to_usize(filled.records), done.time));
            if transport == Transport::Tcp {
                table.put("disk_over_value", ratio(disk(mesh.receiver.path()), filled.value));
                if table.wants("lookup_process_p50_ms") {
                    table.put("lookup_process_p50_ms", lookups(bench, &mesh, &filled)?);
                }
            }
            done.receiver.kill()?;
        }
        table.put_rate("catchup_records_over_s", slowest);
    }
    if table.wants("catchup_filtered_over_s") {
        mesh.sender_policy(WITHHOLD)?;
        let mut slowest = f64::MAX;
        for transport in [Transport::Quic, Transport::Tcp] {
            mesh.only(transport)?;
            let done = run(bench, &mesh, &filled, transport, filled.records - filled.marked)?;
            slowest = slowest.min(rate(to_usize(filled.records), done.time));
            done.receiver.kill()?;
        }
        table.put_rate("catchup_filtered_over_s", slowest);
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn in_reports(bench: &mut Bench, table: &mut Table) -> Result<()> {
    let folder = bench.folder.join("reports");
    let mut mesh = Mesh::with_authors(&folder)?;
    let filled = fill(&mesh, bench.count(3_000, 100) as u64, 1_000)?;
    let mut slowest = f64::MAX;
    for transport in [Transport::Quic, Transport::Tcp] {
        mesh.only(transport)?;
        let done = run(bench, &mesh, &filled, transport, filled.records)?;
        slowest = slowest.min(rate(to_usize(filled.indicators), done.time));
        done.receiver.kill()?;
    }
    table.put_rate("catchup_indicators_in_reports_over_s", slowest);
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// A count as numbers of things in memory have it.
pub fn to_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn fill(mesh: &Mesh, records: u64, indicators: u64) -> Result<Filled> {
    let begin = Instant::now();
    let filled = mesh.fill(records, indicators)?;
    eprintln!(
        "bench: filled a store with {} records, {} indicators, {} MB in {:.1} s",
        filled.records,
        filled.indicators,
        filled.value >> 20,
        begin.elapsed().as_secs_f64()
    );
    Ok(filled)
}

/// A catch-up that came to its end.
pub struct Done {
    /// From the link to the moment at which the sampled values answer from a receiver that was killed with all of it.
    pub time: Duration,
    /// The receiver, started again after it was killed.
    pub receiver: Process,
}

/// One catch-up: starts both nodes, waits until all `bodies` are there, kills the receiver and asks it again.
pub fn run(bench: &Bench, mesh: &Mesh, filled: &Filled, transport: Transport, bodies: u64) -> Result<Done> {
    mesh.empty_receiver()?;
    let sender = Process::start(&bench.programs, &mesh.sender)?;
    // Under another charter or policy a node first judges anew what it holds; a sender of every day has done so.
    sender.wait_quiet()?;
    let receiver = Process::start(&bench.programs, &mesh.receiver)?;
    let linked = wait_linked(&receiver)?;
    let mut last = (0, linked);
    let arrived = loop {
        let status = receiver.status()?;
        let now = linked.elapsed();
        if status.store.records >= filled.records && status.store.bodies >= bodies {
            // What is counted may be staged; a second answer comes after its commit.
            receiver.status()?;
            break linked.elapsed();
        }
        if status.store.records + status.store.bodies > last.0 {
            last = (status.store.records + status.store.bodies, Instant::now());
        }
        if now > PATIENCE || last.1.elapsed() > PATIENCE / 10 {
            bail!(
                "after {} s the receiver has {} of {} records and {} of {bodies} bodies: {}\n{}",
                now.as_secs(),
                status.store.records,
                filled.records,
                status.store.bodies,
                status.summary,
                receiver.last_words()
            );
        }
        std::thread::sleep(POLL);
    };
    eprintln!(
        "bench: {transport:?}: {:.0} records a second, {bodies} bodies in {:.2} s\n  sender: {}\n  receiver: {}",
        rate(to_usize(filled.records), arrived),
        arrived.as_secs_f64(),
        threads(sender.pid()),
        threads(receiver.pid())
    );
    let begin = Instant::now();
    receiver.kill()?;
    sender.kill()?;
    let receiver = Process::start(&bench.programs, &mesh.receiver)?;
    let withheld = bodies < filled.records;
    let per_record = filled.indicators / filled.records;
    let step = (filled.indicators / SAMPLES).max(1);
    let numbers: Vec<u64> = (0..SAMPLES.min(filled.indicators)).map(|n| n * step + n % step).collect();
    let values: Vec<String> = numbers.iter().map(|n| value(*n)).collect();
    let known = receiver.knows(&values)?;
    for (n, known) in numbers.iter().zip(&known) {
        let expected = !(withheld && (n / per_record).is_multiple_of(EVERY));
        if *known != expected {
            bail!("after kill -9, value {n} is known: {known}; it should be: {expected}");
        }
    }
    let time = linked.elapsed();
    eprintln!("bench: {} values answered {:.2} s after kill -9", known.len(), begin.elapsed().as_secs_f64());
    Ok(Done { time, receiver })
}

fn wait_linked(receiver: &Process) -> Result<Instant> {
    let begin = Instant::now();
    loop {
        let status = receiver.status()?;
        if status.store.records > 0 || status.peers.iter().any(|peer| peer.connected) {
            return Ok(Instant::now());
        }
        if begin.elapsed() > Duration::from_secs(30) {
            bail!("the nodes do not link:\n{}", receiver.last_words());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn lookups(bench: &Bench, mesh: &Mesh, filled: &Filled) -> Result<f64> {
    let asked: Vec<(String, bool)> = (0..LOOKUPS)
        .map(|n| {
            let known = n.is_multiple_of(2);
            let number = n * 7919 % filled.indicators;
            (value(if known { number } else { number + (1 << 40) }), known)
        })
        .collect();
    process::lookup_p50(&bench.programs, &mesh.receiver, &asked)
}
