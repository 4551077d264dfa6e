//! Yardsticks: bare verification, bare append and sync, disk use, processor time, percentiles.

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

/// Signatures of one measurement of S: about a third of a second.
const SIGNATURES: usize = 6_000;

/// S, and how busy the machine was.
#[derive(Debug, Default)]
pub struct Machine {
    verifies: Vec<f64>,
    loads: Vec<String>,
}

impl Machine {
    /// Measures S, `verify_strict` a second on one core, three times. Called before and after the run.
    pub fn note(&mut self) {
        let keys: Vec<(SigningKey, VerifyingKey)> = (1..=20)
            .map(|n| {
                let key = SigningKey::from_bytes(&[n; 32]);
                let public = key.verifying_key();
                (key, public)
            })
            .collect();
        let signed: Vec<([u8; 32], Signature)> = (0..SIGNATURES)
            .map(|n| {
                let mut hash = [7; 32];
                hash[..8].copy_from_slice(&(n as u64).to_be_bytes());
                (hash, keys[n % keys.len()].0.sign(&hash))
            })
            .collect();
        for _ in 0..3 {
            let begin = Instant::now();
            let good = signed
                .iter()
                .enumerate()
                .filter(|(n, (hash, signature))| {
                    keys[n % keys.len()].1.verify_strict(hash, signature).is_ok()
                })
                .count();
            assert_eq!(good, SIGNATURES, "a signature of the benchmark does not verify");
            self.verifies.push(rate(good, begin.elapsed()));
        }
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        self.loads.push(load.split(' ').take(3).collect::<Vec<_>>().join(" "));
    }

    /// S: the median.
    pub fn verifies(&self) -> f64 {
        percentile(&self.verifies, 50.0)
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        write!(
            f,
            "S = {:.0} verify_strict a second; {cores} cores; load before and after: {}",
            self.verifies(),
            self.loads.join(", ")
        )
    }
}

/// So many in so long, a second.
pub fn rate(count: usize, time: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let count = count as f64;
    count / time.as_secs_f64().max(1e-9)
}

/// A ratio of two numbers of bytes.
#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
pub fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b.max(1) as f64
}

/// The value that so many per cent do not exceed; not a number of none.
pub fn percentile(values: &[f64], per_cent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank is at most the number of values"
    )]
    let rank = (sorted.len() as f64 * per_cent / 100.0).ceil() as usize;
    sorted.get(rank.max(1).min(sorted.len()).wrapping_sub(1)).copied().unwrap_or(f64::NAN)
}

/// Bytes that a folder takes on the disk, as `du` counts them.
pub fn disk(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let own = fs::metadata(folder).map_or(0, |meta| meta.blocks() * 512);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let inside: u64 = entries
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => disk(&entry.path()),
            Ok(meta) => meta.blocks() * 512,
            Err(_) => 0,
        })
        .sum();
    own + inside
}

/// Appends a record's worth of bytes to a file and syncs it: what any durable log must pay.
pub struct BareLog(fs::File);

impl BareLog {
    /// A log of this name.
    pub fn create(path: &Path) -> Result<Self> {
        Ok(Self(fs::File::create(path)?))
    }

    /// Appends once, and says how long it took, in ms.
    pub fn append(&mut self) -> Result<f64> {
        let begin = Instant::now();
        self.0.write_all(&[b'x'; 600])?;
        self.0.sync_data()?;
        Ok(begin.elapsed().as_secs_f64() * 1e3)
    }
}

/// Processor time of the threads of a process that live, in ms, with their names.
fn spent(pid: u32) -> Vec<(u64, String)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks
        .filter_map(|task| {
            let name = fs::read_to_string(task.path().join("comm")).ok()?;
            let stat = fs::read_to_string(task.path().join("schedstat")).ok()?;
            let spent: u64 = stat.split(' ').next()?.parse().ok()?;
            Some((spent / 1_000_000, name.trim().to_owned()))
        })
        .collect()
}

/// Processor time of a process, in ms.
pub fn processor_ms(pid: u32) -> u64 {
    spent(pid).iter().map(|(ms, _)| ms).sum()
}

/// Processor time of a process by thread, the busiest first: where a rate comes from.
pub fn threads(pid: u32) -> String {
    let mut rows = spent(pid);
    rows.retain(|(ms, _)| *ms >= 20);
    rows.sort_unstable_by(|a, b| b.cmp(a));
    let rows: Vec<String> = rows.iter().take(8).map(|(ms, name)| format!("{name} {ms} ms")).collect();
    rows.join(", ")
}
