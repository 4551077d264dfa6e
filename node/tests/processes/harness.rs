//! Nodes as processes: made, run, asked, killed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_tocsin");

/// A node's home, and its process while it runs.
pub struct Node {
    pub home: PathBuf,
    pub process: Option<Child>,
    /// What its process has in its environment besides.
    pub env: Vec<(&'static str, String)>,
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- log of {}\n{}", self.home.display(), self.log());
        }
    }
}

impl Node {
    pub fn make(folder: &Path, name: &str, listen: Option<u16>) -> Self {
        let node = Self { home: folder.join(name), process: None, env: Vec::new() };
        let mut args = vec!["init", "--name", name, "--country", "QM", "--no-passphrase"];
        let address = listen.map(|port| format!("/ip4/127.0.0.1/tcp/{port}"));
        if let Some(address) = &address {
            args.extend(["--listen", address]);
        }
        node.json(&args);
        node
    }

    /// A running mesh: the first of these orgs founds it and listens, the others join and dial out.
    pub fn mesh(folder: &Path, names: &[&str]) -> Vec<Self> {
        let mut nodes: Vec<Self> = names
            .iter()
            .enumerate()
            .map(|(at, name)| Self::make(folder, name, (at == 0).then(free_port)))
            .collect();
        let founded = nodes[0].json(&["mesh", "found", "--name", "ring"]);
        let fingerprint = founded["fingerprint"].as_str().expect("a fingerprint").to_owned();
        nodes[0].run();
        for (at, name) in names.iter().enumerate().skip(1) {
            let card = nodes[at].home.join(format!("{name}.card"));
            let invite = folder.join(format!("{name}.invite"));
            let (card, invite) = (card.to_str().expect("UTF-8"), invite.to_str().expect("UTF-8"));
            nodes[0].json(&["mesh", "add", card, "--yes", "--out", invite]);
            nodes[at].json(&["join", invite, "--fingerprint", &fingerprint]);
            nodes[at].run();
        }
        let partners = names.len() - 1;
        until("every node is linked to the founder", || {
            let peers = nodes[0].json(&["status"])["peers"].clone();
            let up = peers.as_array().expect("peers").iter().filter(|peer| peer["connected"] == true);
            up.count() == partners
        });
        nodes
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        command.arg("--home").arg(&self.home).stdin(Stdio::null());
        command
    }

    pub fn tell(&self, args: &[&str]) -> Output {
        self.command().args(args).output().expect("the program runs")
    }

    /// Runs a verb that must succeed, and reads its last line.
    pub fn json(&self, args: &[&str]) -> Value {
        self.json_with(0, args)
    }

    /// Runs a verb that must end with this code, and reads its last line.
    pub fn json_with(&self, code: i32, args: &[&str]) -> Value {
        let output = self.command().arg("--json").args(args).output().expect("the program runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {errors}");
        let text = String::from_utf8(output.stdout).expect("JSON is text");
        serde_json::from_str(text.lines().last().expect("a line")).expect("JSON")
    }

    /// Starts the node; what it logs is read with [`Self::log`].
    pub fn run(&mut self) {
        self.run_with(&["--log", "info"]);
    }

    pub fn run_with(&mut self, args: &[&str]) {
        let log = File::options().create(true).append(true).open(self.log_file()).expect("a log file");
        let process = self
            .command()
            .arg("run")
            .args(args)
            .envs(self.env.clone())
            .stderr(log)
            .spawn()
            .expect("the program runs");
        self.process = Some(process);
        until("the node answers", || self.tell(&["status"]).status.success());
    }

    /// Starts the node as a process that may open so many file descriptors.
    pub fn run_with_descriptors(&mut self, descriptors: usize) {
        let log = File::options().create(true).append(true).open(self.log_file()).expect("a log file");
        let limited = format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"");
        let process = Command::new("sh")
            .args(["-c", &limited, PROGRAM, "--home"])
            .arg(&self.home)
            .args(["run", "--log", "info"])
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("a shell is there");
        self.process = Some(process);
        until("the node answers", || self.tell(&["status"]).status.success());
    }

    /// Starts the node where this test may read its memory, which a node keeps from its own user (`cli::guard`): as root
    /// anywhere, else in a user namespace of its own, over whose processes its maker has root's rights.
    pub fn run_where_traced(&mut self) {
        if rustix::process::geteuid().is_root() {
            return self.run();
        }
        let log = File::options().create(true).append(true).open(self.log_file()).expect("a log file");
        let process = Command::new("unshare")
            .args(["--user", "--map-root-user", PROGRAM, "--home"])
            .arg(&self.home)
            .args(["run", "--log", "info"])
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("unshare is there");
        self.process = Some(process);
        until("the node answers", || self.tell(&["status"]).status.success());
    }

    fn log_file(&self) -> PathBuf {
        self.home.with_extension("log")
    }

    /// All that the node logged so far, over all its starts.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    /// Kills the node without warning.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        process.kill().expect("it can be killed");
        process.wait().expect("it ended");
    }

    /// Asks the node to stop, and waits for it.
    pub fn stop(&mut self) {
        self.signal("TERM");
        let mut process = self.process.take().expect("it runs");
        assert!(process.wait().expect("it ended").success(), "a stop is no error");
    }

    /// Sends a signal by its name, such as `HUP`.
    pub fn signal(&self, name: &str) {
        let pid = self.process.as_ref().expect("it runs").id().to_string();
        let sent = Command::new("sh").args(["-c", &format!("kill -s {name} {pid}")]).status();
        assert!(sent.expect("a shell is there").success(), "the signal was sent");
    }

    pub fn knows(&self, value: &str) -> bool {
        self.tell(&["lookup", value]).status.code() == Some(0)
    }

    pub fn write_policy(&self, text: &str) {
        fs::write(self.home.join("policy.cedar"), text).expect("written");
    }

    pub fn read_policy(&self) -> String {
        fs::read_to_string(self.home.join("policy.cedar")).expect("a policy")
    }
}

/// A mesh of one node.
pub fn one(folder: &Path) -> Node {
    Node::mesh(folder, &["cert-aa"]).pop().expect("one")
}

/// A file for it to read.
pub fn written(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(&path, text).expect("written");
    path
}

pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "in a minute, not yet: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port is free")
        .port()
}
