//! What is measured of the testnet of five agencies, as five real processes.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tocsin_api::client::Client;
use tocsin_api::route;
use tocsin_api::types::{Lookup, LookupRequest, Status};
use tocsin_home::Home;

use crate::Bench;
use crate::measure::processor_ms;
use crate::table::Table;

/// Files of the import row, and what each lists.
const FILES: usize = 500;
const VALUES: usize = 76;
/// How long the testnet rests before its rest is measured, and how long that is.
const SETTLE: Duration = Duration::from_secs(5);
const REST: Duration = Duration::from_secs(20);
/// How often partners are asked how far they are.
const POLL: Duration = Duration::from_millis(10);
/// How long partners may take for what was imported.
const PATIENCE: Duration = Duration::from_secs(120);

/// Measures the rows.
pub fn rows(bench: &Bench, table: &mut Table) -> Result<()> {
    if !table.wants("idle_cpu_percent") && !table.wants("import_to_partners_s") {
        return Ok(());
    }
    let ring = Ring::up(&bench.programs, bench.folder.join("ring"), None)?;
    if table.wants("idle_cpu_percent") {
        table.put("idle_cpu_percent", ring.rest()?);
    }
    if table.wants("import_to_partners_s") {
        let files = bench.count(FILES, 10);
        table.put("import_to_partners_s", ring.import(&bench.folder, files)?);
    }
    Ok(())
}

/// A testnet that runs, taken down when it is dropped.
pub struct Ring {
    program: PathBuf,
    folder: PathBuf,
    /// The author first.
    pub orgs: Vec<String>,
}

impl Ring {
    /// Makes one in a folder, of the programs that were built with this one, and of a topology other than the five
    /// agencies if a file is named.
    pub fn up(programs: &Path, folder: PathBuf, topology: Option<&Path>) -> Result<Self> {
        let program = programs.join("tocsin");
        let mut up = Command::new(&program);
        up.args(["--json", "testnet", "up", "--dir"]).arg(&folder);
        if let Some(file) = topology {
            up.arg("--file").arg(file);
        }
        let up = up
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("starting {}", program.display()))?;
        let mut ring = Self { program, folder, orgs: Vec::new() };
        if !up.status.success() {
            bail!("`tocsin testnet up` ended with {}", up.status);
        }
        let members: serde_json::Value = serde_json::from_slice(&up.stdout).context("its answer")?;
        let names =
            members["nodes"].as_array().into_iter().flatten().filter_map(|member| member["org"].as_str());
        ring.orgs = names.map(str::to_owned).collect();
        if ring.orgs.len() < 2 {
            bail!("`tocsin testnet up` names no partners: {members}");
        }
        Ok(ring)
    }

    /// The home of an org.
    pub fn home(&self, org: &str) -> Home {
        Home::at(&self.folder.join(org))
    }

    /// Speaks to an org's node.
    pub fn client(&self, org: &str) -> Client {
        let home = self.home(org);
        Client::of_home(home.path(), home.socket(), home.own_card())
    }

    /// How an org's node is.
    pub fn status(&self, org: &str) -> Result<Status> {
        Ok(self.client(org).get(route::STATUS)?)
    }

    /// `kill -9` of an org's node, which is waited for.
    pub fn kill(&self, org: &str) -> Result<()> {
        if let Some(pid) = self.home(org).running() {
            // It may have ended by itself: then it is not there below.
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).stderr(Stdio::null()).status();
        }
        let begin = Instant::now();
        while self.home(org).running().is_some() {
            if begin.elapsed() > SETTLE {
                bail!("the node of {org} lives on after kill -9");
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Starts an org's node again. The caller waits for the process in the end.
    pub fn start(&self, org: &str) -> Result<Child> {
        let node = Command::new(&self.program)
            .arg("--home")
            .arg(self.folder.join(org))
            .arg("run")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(node)
    }

    /// Per cent of one processor that the busiest node takes while nothing happens.
    fn rest(&self) -> Result<f64> {
        let pids = self.orgs.iter().map(|org| Ok(self.status(org)?.pid)).collect::<Result<Vec<_>>>()?;
        std::thread::sleep(SETTLE);
        let before: Vec<u64> = pids.iter().map(|pid| processor_ms(*pid)).collect();
        let begin = Instant::now();
        std::thread::sleep(REST);
        let passed = begin.elapsed().as_secs_f64() * 1e3;
        let spent = pids.iter().zip(before).map(|(pid, before)| processor_ms(*pid).saturating_sub(before));
        let busiest = spent.max().context("no node")?;
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a minute are far below 2^52")]
        let percent = busiest as f64 / passed * 100.0;
        eprintln!("bench: at rest: the busiest of {} nodes took {busiest} ms", pids.len());
        Ok(percent)
    }

    /// Seconds from the start of `tocsin import` until every partner finds all of so many files.
    fn import(&self, base: &Path, files: usize) -> Result<f64> {
        let folder = base.join("lists");
        std::fs::create_dir(&folder)?;
        let mut last = Vec::new();
        for file in 0..files {
            let names: Vec<String> = (0..VALUES).map(|n| format!("n{n}.f{file}.import.example")).collect();
            std::fs::write(folder.join(format!("{file:04}.txt")), names.join("\n") + "\n")?;
            last.extend(names.last().cloned());
        }
        let (author, partners) = self.orgs.split_first().context("no node")?;
        let before =
            partners.iter().map(|org| Ok(self.status(org)?.store.observables)).collect::<Result<Vec<_>>>()?;
        let begin = Instant::now();
        let mut import = Command::new(&self.program)
            .arg("--home")
            .arg(self.folder.join(author))
            .args(["--json", "import", "--tlp", "green", "--share", "mesh"])
            .arg(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let all = (files * VALUES) as u64;
        for (org, before) in partners.iter().zip(before) {
            while self.status(org)?.store.observables < before + all {
                if begin.elapsed() > PATIENCE {
                    bail!("{org} finds {} of {all} values", self.status(org)?.store.observables - before);
                }
                std::thread::sleep(POLL);
            }
        }
        let took = begin.elapsed().as_secs_f64();
        let ended = import.wait()?;
        if !ended.success() {
            bail!("`tocsin import` ended with {ended}");
        }
        for org in partners {
            let request = LookupRequest { values: last.clone(), ..LookupRequest::default() };
            let answers: Vec<Lookup> = self.client(org).post(route::LOOKUP, &request)?;
            if let Some(lost) = answers.iter().find(|answer| !answer.is_known()) {
                bail!("{org} does not find {}", lost.value);
            }
        }
        Ok(took)
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // Nodes that do not answer any more have ended.
        let _ = Command::new(&self.program).args(["testnet", "down", "--dir"]).arg(&self.folder).output();
    }
}
