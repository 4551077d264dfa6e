//! Real `tocsin` processes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tocsin_api::client::Client;
use tocsin_api::route;
use tocsin_api::types::{Lookup, LookupRequest, Status};
use tocsin_home::Home;

use crate::measure::{percentile, processor_ms};

/// How long a node may take to open its store and answer.
const START: Duration = Duration::from_secs(120);
/// A node is at rest when so many looks in a row see it busy for less than so long.
const QUIET: u32 = 3;
const QUIET_LOOK: Duration = Duration::from_millis(100);
const QUIET_MS: u64 = 15;

/// A `tocsin run`, killed when it is dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
    /// Speaks to it.
    pub client: Client,
}

impl Process {
    /// Starts a node on a home and waits until it answers.
    pub fn start(programs: &Path, home: &Home) -> Result<Self> {
        let log = home.path().with_extension("log");
        let file = File::options().create(true).append(true).open(&log)?;
        let child = Command::new(programs.join("tocsin"))
            .arg("--home")
            .arg(home.path())
            .arg("run")
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("starting {}", programs.join("tocsin").display()))?;
        let client = Client::of_home(home.path(), home.socket(), home.own_card());
        let mut process = Self { child, log, client };
        let begin = Instant::now();
        while process.status().is_err() {
            if let Some(status) = process.child.try_wait()? {
                bail!("a node ended with {status}:\n{}", process.last_words());
            }
            if begin.elapsed() > START {
                bail!("a node does not answer:\n{}", process.last_words());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(process)
    }

    /// How it is.
    pub fn status(&self) -> Result<Status> {
        Ok(self.client.get(route::STATUS)?)
    }

    /// Waits until it has nothing left to do by itself.
    pub fn wait_quiet(&self) -> Result<()> {
        let begin = Instant::now();
        let mut quiet = 0;
        while quiet < QUIET {
            let before = processor_ms(self.pid());
            std::thread::sleep(QUIET_LOOK);
            quiet = if processor_ms(self.pid()).saturating_sub(before) < QUIET_MS { quiet + 1 } else { 0 };
            if begin.elapsed() > START {
                bail!("a node does not come to rest:\n{}", self.last_words());
            }
        }
        Ok(())
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let from = text.len().saturating_sub(2000);
        text.get(from..).unwrap_or_default().to_owned()
    }

    /// `kill -9`.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Which of these values it knows.
    pub fn knows(&self, values: &[String]) -> Result<Vec<bool>> {
        let request = LookupRequest { values: values.to_vec(), ..LookupRequest::default() };
        let answers: Vec<Lookup> = self.client.post(route::LOOKUP, &request)?;
        Ok(answers.iter().map(|answer| answer.is_known()).collect())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; nothing is left to do then.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The median time of `tocsin lookup VALUE` as a whole process, in ms. The exit code must say what `values` says.
pub fn lookup_p50(programs: &Path, home: &Home, values: &[(String, bool)]) -> Result<f64> {
    let mut times = Vec::with_capacity(values.len());
    for (value, known) in values {
        let begin = Instant::now();
        let status = Command::new(programs.join("tocsin"))
            .arg("--home")
            .arg(home.path())
            .args(["--json", "lookup", value])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()?;
        times.push(begin.elapsed().as_secs_f64() * 1e3);
        if status.success() != *known {
            bail!("`tocsin lookup {value}` ended with {status}, and it is known: {known}");
        }
    }
    eprintln!(
        "bench: lookup as a process: p50 {:.2} ms, p99 {:.2} ms",
        percentile(&times, 50.0),
        percentile(&times, 99.0)
    );
    Ok(percentile(&times, 50.0))
}
