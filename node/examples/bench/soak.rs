//! A soak: five nodes under load for ten minutes, while one of them is killed again and again, a sixth member means harm,
//! and strangers hold sockets that say nothing. What is measured is whether a node is at the end as it was at the
//! beginning, and whether all that was acknowledged is found at all five.

use std::fmt::Write as _;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tocsin_api::client::Client;
use tocsin_api::route;
use tocsin_api::types::{LookupRequest, MarkingWords, PublishRequest, Published};

use crate::Bench;
use crate::hostile;
use crate::measure::percentile;
use crate::ring::Ring;
use crate::table::Table;

/// How long it takes, in seconds.
const SECONDS: usize = 600;
/// The members; the last but one is killed, the last means harm.
const ORGS: [&str; 6] = ["cert-qm", "police-xb", "border-xc", "cert-xd", "isac-xe", "hostile-zz"];
/// Publishes a second, of all nodes that are not killed together.
const A_SECOND: u64 = 200;
/// A node is killed so often, and started again after this.
const KILL_EVERY: Duration = Duration::from_secs(15);
const DOWN: Duration = Duration::from_secs(3);
/// Sockets that a stranger holds at each node, and for how long before it opens others.
const SILENT: usize = 96;
const HELD: Duration = Duration::from_secs(10);
/// Between two looks at memory, descriptors and delays.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Memory that caches and pools fill once, in bytes: it is no growth.
const CACHES: f64 = 16.0 * 1_048_576.0;
/// How long a record may take to be found at a partner before the soak gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Values looked up in one request.
const ASKED: usize = 1_000;

/// Measures the rows.
pub fn rows(bench: &Bench, table: &mut Table) -> Result<()> {
    if ["soak_memory_per_record", "soak_more_descriptors", "soak_p99_growth", "soak_lost"]
        .iter()
        .any(|row| table.wants(row))
    {
        let length = Duration::from_secs(bench.count(SECONDS, 20) as u64);
        soak(&bench.programs, &bench.folder.join("soak"), length, table)?;
    }
    Ok(())
}

/// What one look saw.
struct Look {
    at: Duration,
    /// Resident memory of the node that has most, in bytes, and open descriptors of the one that has most.
    memory: f64,
    descriptors: f64,
    /// From the request to publish until a partner found it, in ms.
    delay: f64,
}

fn soak(programs: &Path, folder: &Path, length: Duration, table: &mut Table) -> Result<()> {
    let topology = folder.with_extension("toml");
    std::fs::write(&topology, members())?;
    let ring = Ring::up(programs, folder.to_owned(), Some(&topology))?;
    let [lasting @ .., killed, hostile] = ORGS;
    // Its keys are in other hands from now on.
    ring.kill(hostile)?;
    let stop = AtomicBool::new(false);
    let harm = AtomicU64::new(0);
    let (looks, published) = thread::scope(|scope| {
        let publishers: Vec<_> = (0..lasting.len())
            .map(|number| {
                let client = ring.client(lasting[number]);
                let every = Duration::from_micros(1_000_000 * lasting.len() as u64 / A_SECOND);
                let stop = &stop;
                scope.spawn(move || publish(&client, number, every, stop))
            })
            .collect();
        let killer = scope.spawn(|| kill(&ring, killed, &stop));
        let harmer = scope.spawn(|| hostile::run(&ring.home(hostile), &stop, &harm));
        scope.spawn(|| hold_sockets(&ring, &lasting, &stop));
        let looks = look(&ring, &lasting, length);
        stop.store(true, Ordering::Relaxed);
        let published: Vec<Acknowledged> =
            publishers.into_iter().filter_map(|thread| thread.join().ok()).collect();
        ended(killer.join(), "the killer")?;
        ended(harmer.join(), "the hostile member")?;
        anyhow::Ok((looks?, published))
    })?;
    let values: Vec<&String> = published.iter().flat_map(|one| &one.values).collect();
    let refused: usize = published.iter().map(|one| one.refused).sum();
    if values.is_empty() || refused > values.len() / 100 {
        bail!("{refused} of {} publish requests were refused", values.len() + refused);
    }
    let harm = harm.load(Ordering::Relaxed);
    if harm == 0 {
        bail!("the hostile member could say nothing");
    }
    eprintln!("bench: soak: {harm} hostile frames");
    report(&looks, length, values.len(), table)?;
    table.put("soak_lost", lost(&ring, &ORGS[..ORGS.len() - 1], &values)?);
    Ok(())
}

fn ended<T>(joined: thread::Result<Result<T>>, who: &'static str) -> Result<T> {
    joined.map_err(|_| anyhow::anyhow!("{who} panicked"))?.context(who)
}

/// The topology file of the members, who all listen.
fn members() -> String {
    let mut text = "mesh = \"soak\"\n".to_owned();
    for name in ORGS {
        // Writing to a text does not fail.
        let _ = write!(
            text,
            "[[org]]\nname = \"{name}\"\nkind = \"csirt\"\ncountry = \"ZZ\"\nregimes = [\"gdpr\"]\npolicy = \"national-cert\"\n"
        );
    }
    text
}

/// How many of these values are not found at some node, after a while.
fn lost(ring: &Ring, orgs: &[&str], values: &[&String]) -> Result<f64> {
    let begin = Instant::now();
    let mut lost = 0_u32;
    for org in orgs {
        let client = ring.client(org);
        for some in values.chunks(ASKED) {
            let mut left: Vec<String> = some.iter().map(|value| (*value).clone()).collect();
            loop {
                let asked = LookupRequest { values: left, ..LookupRequest::default() };
                let answers: Vec<tocsin_api::types::Lookup> = client.post(route::LOOKUP, &asked)?;
                let unknown = answers.iter().filter(|answer| !answer.is_known());
                left = unknown.map(|answer| answer.value.clone()).collect();
                if left.is_empty() || begin.elapsed() > PATIENCE * 2 {
                    break;
                }
                thread::sleep(LOOK_EVERY);
            }
            lost += u32::try_from(left.len())?;
            if let Some(value) = left.first() {
                eprintln!("bench: soak: {org} does not find {value} and {} others", left.len() - 1);
            }
        }
    }
    Ok(f64::from(lost))
}

fn report(looks: &[Look], length: Duration, records: usize, table: &mut Table) -> Result<()> {
    let third = |from: u32| {
        let (begin, end) = (length / 3 * from, length / 3 * (from + 1));
        looks.iter().filter(move |look| look.at >= begin && look.at < end)
    };
    let median = |from, of: fn(&Look) -> f64| percentile(&third(from).map(of).collect::<Vec<_>>(), 50.0);
    let p99 = |from| percentile(&third(from).map(|look| look.delay).collect::<Vec<_>>(), 99.0);
    if third(0).count() < 5 || third(2).count() < 5 {
        bail!("only {} looks were taken", looks.len());
    }
    let memory = (median(0, |look| look.memory), median(2, |look| look.memory));
    let descriptors = (median(0, |look| look.descriptors), median(2, |look| look.descriptors));
    let delays = (p99(0), p99(2));
    eprintln!(
        "bench: soak: {records} records; memory {:.0} to {:.0} MB, descriptors {} to {}, p99 {:.1} to {:.1} ms",
        memory.0 / 1e6,
        memory.1 / 1e6,
        descriptors.0,
        descriptors.1,
        delays.0,
        delays.1
    );
    #[expect(clippy::cast_precision_loss, reason = "records of ten minutes are far below 2^52")]
    // From the middle of the first third to that of the last, two thirds of the records came.
    let came = records as f64 * 2.0 / 3.0;
    table.put("soak_memory_per_record", f64::max(0.0, memory.1 - memory.0 - CACHES) / came);
    table.put("soak_more_descriptors", f64::max(0.0, descriptors.1 - descriptors.0));
    // Below 20 ms it is the machine's scheduler that is measured.
    table.put("soak_p99_growth", delays.1.max(20.0) / delays.0.max(20.0));
    Ok(())
}

fn request(value: String) -> PublishRequest {
    PublishRequest {
        values: vec![value],
        circles: vec!["mesh".to_owned()],
        marking: MarkingWords { tlp: Some("green".to_owned()), ..MarkingWords::default() },
        ..PublishRequest::default()
    }
}

/// What one publisher did.
struct Acknowledged {
    values: Vec<String>,
    refused: usize,
}

fn publish(client: &Client, number: usize, every: Duration, stop: &AtomicBool) -> Acknowledged {
    let mut done = Acknowledged { values: Vec::new(), refused: 0 };
    let begin = Instant::now();
    for count in 0.. {
        let due = begin + every * count;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let value = format!("n{count}.p{number}.soak.example");
        match client.post::<Published>(route::PUBLISH, &request(value.clone())) {
            Ok(_) => done.values.push(value),
            Err(error) => {
                if done.refused == 0 {
                    eprintln!("bench: soak: {value} is refused: {error}");
                }
                done.refused += 1;
            }
        }
    }
    done
}

/// `kill -9` of one node, and its next start; it runs when this ends.
fn kill(ring: &Ring, org: &str, stop: &AtomicBool) -> Result<()> {
    let mut child: Option<Child> = None;
    while !stop.load(Ordering::Relaxed) {
        pause(KILL_EVERY, stop);
        ring.kill(org)?;
        if let Some(mut child) = child.take() {
            child.wait()?;
        }
        pause(DOWN, stop);
        child = Some(ring.start(org)?);
    }
    // Who asks it next may come before it listens.
    let begin = Instant::now();
    while ring.status(org).is_err() {
        if begin.elapsed() > PATIENCE {
            bail!("{org} does not come up again");
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

fn pause(time: Duration, stop: &AtomicBool) {
    let end = Instant::now() + time;
    while Instant::now() < end && !stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(100));
    }
}

/// Opens sockets to these nodes, says nothing, and opens others after a while.
fn hold_sockets(ring: &Ring, orgs: &[&str], stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let ports = orgs
            .iter()
            .filter_map(|org| ring.status(org).ok())
            .flat_map(|status| tcp_ports(&status.listening));
        let held: Vec<TcpStream> = ports
            .flat_map(|port| std::iter::repeat_n(port, SILENT))
            .filter_map(|port| ("127.0.0.1", port).to_socket_addrs().ok()?.next())
            .filter_map(|address| TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok())
            .collect();
        pause(HELD, stop);
        drop(held);
    }
}

fn tcp_ports(listening: &[String]) -> Vec<u16> {
    let port = |address: &String| address.split("/tcp/").nth(1)?.split('/').next()?.parse().ok();
    listening.iter().filter_map(port).collect()
}

/// Looks at the nodes that are not killed until the time is up.
fn look(ring: &Ring, orgs: &[&str], length: Duration) -> Result<Vec<Look>> {
    let pids = orgs.iter().map(|org| Ok(ring.status(org)?.pid)).collect::<Result<Vec<_>>>()?;
    let clients: Vec<Client> = orgs.iter().map(|org| ring.client(org)).collect();
    let begin = Instant::now();
    let mut looks = Vec::new();
    for count in 0.. {
        if begin.elapsed() >= length {
            break;
        }
        let (from, to) = (count % clients.len(), (count + 1) % clients.len());
        let delay = delay(&clients[from], &clients[to], format!("look{count}.soak.example"))
            .with_context(|| format!("from {} to {}", orgs[from], orgs[to]))?;
        let most = |of: fn(u32) -> f64| pids.iter().map(|pid| of(*pid)).fold(0.0, f64::max);
        looks.push(Look {
            at: begin.elapsed(),
            memory: most(resident),
            descriptors: most(descriptors),
            delay,
        });
        thread::sleep(LOOK_EVERY);
    }
    Ok(looks)
}

/// How long a record takes from the request to the partner, in ms.
fn delay(author: &Client, partner: &Client, value: String) -> Result<f64> {
    let begin = Instant::now();
    author.post::<Published>(route::PUBLISH, &request(value.clone()))?;
    let asked = LookupRequest { values: vec![value], ..LookupRequest::default() };
    loop {
        let answers: Vec<tocsin_api::types::Lookup> = partner.post(route::LOOKUP, &asked)?;
        if answers.first().is_some_and(|answer| answer.is_known()) {
            return Ok(begin.elapsed().as_secs_f64() * 1e3);
        }
        if begin.elapsed() > PATIENCE {
            bail!("a record was not found in {} s", PATIENCE.as_secs());
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Resident memory of a process, in bytes; 0 when it is gone.
fn resident(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<f64>().ok());
    kib.unwrap_or(0.0) * 1024.0
}

/// Open descriptors of a process; 0 when it is gone.
fn descriptors(pid: u32) -> f64 {
    let count = std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
