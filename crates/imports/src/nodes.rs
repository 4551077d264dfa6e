//! Two nodes of one mesh in this process, linked over loopback: one imports, as `tocsin import` does, and its partner holds what
//! it is given. All of it is the product's: the reader of files, the socket, the service, the core, the links.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;
use tocsin::daemon::Running;
use tocsin_api::client::Client;
use tocsin_api::types::{Lookup, LookupRequest};
use tocsin_cli::importer::{Importer, NoProgress, Summary};
use tocsin_clock as clock;
use tocsin_exchange::marking::Terms;
use tocsin_home::identity::Papers;
use tocsin_home::presets::Preset;
use tocsin_home::setup::{self, NewNode};
use tocsin_home::{Home, keys};
use tocsin_record::CircleId;
use tocsin_record::body::Body;
use tocsin_record::body::report::Report;
use tocsin_record::marking::Tlp;
use tocsin_service::{Caller, Node};
use tokio::runtime::Runtime;

use crate::story::File;

/// How long what was published may take to the partner.
const SPREAD: Duration = Duration::from_secs(30);
/// Changes of the store that are looked at together.
const SLICE: usize = 1_000;

/// Two nodes.
pub struct Nodes {
    author: Running,
    partner: Running,
    runtime: Runtime,
    home: Home,
    folder: TempDir,
}

impl Nodes {
    /// Makes and starts them.
    ///
    /// # Errors
    /// When the machine does not let them.
    pub fn start() -> Result<Self> {
        // Nothing here outlives the process, and a disk would have each import wait for it.
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::Builder::new().prefix("tocsin-imports").tempdir_in(place)?;
        let homes = ["aa", "bb"].map(|name| Home::at(&folder.path().join(name)));
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let card = |at: usize, listen: Vec<String>| {
            let new = NewNode {
                name: ["cert-aa", "cert-bb"][at].to_owned(),
                kind: "csirt".to_owned(),
                country: "AA".to_owned(),
                node: "one".to_owned(),
                policy: Preset::Member.text().to_owned(),
                listen,
                ..NewNode::default()
            };
            setup::make(&homes[at], &new, None)
        };
        let founder = card(0, vec![format!("/ip4/127.0.0.1/tcp/{port}")])?;
        let other = card(1, Vec::new())?;
        let root = keys::read_root(&homes[0].root_file(), None)?;
        let now = clock::now_ms();
        let papers = Papers::found("imports", [7; 32], founder.entry, founder.certificates, &root, now)?;
        let papers = papers.add(other.entry, &other.certificates, &root, now)?;
        for home in &homes {
            home.write_papers(&papers)?;
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let start = |home: &Home| {
            let config = home.config().context("the configuration")?;
            runtime.block_on(Running::start(home, config)).context("a node does not start")
        };
        let (author, partner) = (start(&homes[0])?, start(&homes[1])?);
        let [home, _] = homes;
        Ok(Self { author, partner, runtime, home, folder })
    }

    /// Ends them, and removes their homes.
    ///
    /// # Errors
    /// When a node failed.
    pub fn stop(self) -> Result<()> {
        let Self { author, partner, runtime, folder, .. } = self;
        runtime.block_on(async { author.stop().await.and(partner.stop().await) })?;
        Ok(folder.close()?)
    }

    /// Writes a file into a folder of its story, and imports it.
    ///
    /// # Errors
    /// When the node does not take it.
    pub fn import(&self, space: u64, file: &File, flag: Option<Tlp>) -> Result<Summary> {
        let folder: PathBuf = self.folder.path().join(format!("source-{space}"));
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(&file.name);
        std::fs::write(&path, &file.text)?;
        let client = Client::of_home(self.home.path(), self.home.socket(), self.home.own_card());
        let terms = Terms { tlp: flag, ..Terms::default() };
        let mut importer = Importer::new(&self.home, client, None, terms)?;
        importer.share = file.share.then(|| "mesh".to_owned()).into_iter().collect();
        let summary = importer.run(&[path], &NoProgress)?;
        if let Some(error) = summary.files.iter().find_map(|file| file.error.as_ref()) {
            bail!("{} was not read: {error}", file.name);
        }
        Ok(summary)
    }

    /// What the author's node knows of values.
    ///
    /// # Errors
    /// When its disk fails.
    pub fn known(&self, values: &[String]) -> Result<Vec<Lookup>> {
        lookup(&self.author.node, values)
    }

    /// What the partner knows of them, which has all that the author published so far.
    ///
    /// # Errors
    /// When it does not get it in time.
    pub fn known_to_partner(&self, values: &[String]) -> Result<Vec<Lookup>> {
        let start = Instant::now();
        let author = &self.author.node.engine;
        let mesh = CircleId::mesh(author.mesh_id);
        let logs = |node: &Node| {
            let logs = node.engine.reader.logs_of(author.mesh_id, author.identity.node(), mesh);
            logs.into_iter().map(|log| (log.key, log.tip, log.counts.wanted)).collect::<Vec<_>>()
        };
        while logs(&self.author.node) != logs(&self.partner.node) {
            if start.elapsed() > SPREAD {
                bail!("the partner does not have what was published");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        lookup(&self.partner.node, values)
    }

    /// The number that the author's next change will have.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.author.node.engine.reader.next_arrival()
    }

    /// The reports that the author published from that change on in circles other than its own.
    ///
    /// # Errors
    /// When its disk fails.
    pub fn published(&self, mut from: u64) -> Result<Vec<Report>> {
        let engine = &self.author.node.engine;
        let mut found = Vec::new();
        loop {
            let slice = engine.reader.since(from, SLICE);
            let Some((last, _)) = slice.last() else { return Ok(found) };
            from = last + 1;
            for (_, place) in slice {
                let Some(stored) = engine.reader.record(place)? else { continue };
                let header = &stored.entry.header;
                if header.circle == engine.own_circle() || stored.org != engine.org() {
                    continue;
                }
                if let Some(Ok(Body::Report(report))) = Body::of(&stored.entry) {
                    found.push(report);
                }
            }
        }
    }
}

/// What the oracles look for.
const PURPOSE: &str = "network-defence";

fn lookup(node: &Arc<Node>, values: &[String]) -> Result<Vec<Lookup>> {
    let request = LookupRequest { values: values.to_vec(), ..LookupRequest::default() };
    // What is RED is looked at as well.
    let mut person = (*node.person()).clone();
    person.purposes.push(PURPOSE.to_owned());
    let caller = Caller::new(&person).stating(Some(PURPOSE), None).including(Some("red"));
    Ok(node.lookup(&caller, &request)?)
}
