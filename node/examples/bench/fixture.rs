//! Homes for the benchmark, made offline: a sender whose store holds the records of twenty authors, and an empty
//! receiver in the same mesh.

use std::net::{TcpListener, UdpSocket};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use tocsin_clock as clock;
use tocsin_home::identity::{Card, Papers, entry};
use tocsin_home::presets::Preset;
use tocsin_home::setup::{self, NewNode};
use tocsin_home::{Home, keys};
use tocsin_record::body::report::{Extent, Indicator, Origin, Report, Subject};
use tocsin_record::body::{self, Body};
use tocsin_record::document::{Certificate, CertifiedKey, Purpose, Signed};
use tocsin_record::keys::Secret;
use tocsin_record::marking::{Code, Marking, Tlp};
use tocsin_record::run::{Draft, SIGN_EVERY};
use tocsin_record::{CircleId, LogKey, MeshId, NodeKey, OrgId, Run, Tip, codec, id, observable};
use tocsin_store::{BodyState, Outcome, Verdict, open_dir};

/// How many authors a catch-up is from.
const AUTHORS: usize = 20;
/// The name of the org that receives.
pub const RECEIVER: &str = "cert-xb";
/// Bytes of bodies after which an author signs before it has 64 records, as a node does: a run must fit a frame.
const SIGN_BYTES: usize = 192 << 10;
/// Bytes that are staged before a commit, as the core does it.
const COMMIT_BYTES: usize = 2 << 20;
/// The confidence of every tenth record, by which a policy can name them.
pub const MARKED_CONFIDENCE: u8 = 95;
/// Every record with this remainder of its number is marked.
pub const EVERY: u64 = 10;
/// A rule that withholds the marked records, which every tenth is.
pub const WITHHOLD: &str = r#"
@id("bench-withhold")
forbid (principal, action == Action::"forward", resource)
when { resource has confidence_max && resource.confidence_max == 95 };
"#;
/// Words of descriptions. What repeats from record to record is what pages can save.
const WORDS: &[&str] = &[
    "seen",
    "phishing",
    "campaign",
    "against",
    "payroll",
    "invoice",
    "portal",
    "energy",
    "health",
    "ministry",
    "loader",
    "stealer",
    "beacon",
    "dropped",
    "contacted",
    "resolved",
    "hosted",
    "registered",
    "parked",
    "sinkholed",
    "reported",
    "by",
    "partner",
    "mail",
    "gateway",
    "proxy",
    "sandbox",
    "analyst",
    "confirmed",
    "suspected",
    "recurring",
    "new",
];

/// How nodes of the benchmark reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP, Noise, Yamux.
    Tcp,
    /// QUIC.
    Quic,
}

/// An author: an org of the mesh that runs no node here.
struct Author {
    secret: Secret,
    org: OrgId,
    card: Card,
}

/// A mesh of two nodes, and authors that do not run.
pub struct Mesh {
    /// Serves and publishes.
    pub sender: Home,
    /// Starts empty, and only dials.
    pub receiver: Home,
    id: MeshId,
    authors: Vec<Author>,
    papers: Papers,
    founder: Secret,
    sender_card: Card,
}

/// What a filled store holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filled {
    /// Records.
    pub records: u64,
    /// Of those, the marked ones.
    pub marked: u64,
    /// Indicators.
    pub indicators: u64,
    /// Bytes of headers and bodies.
    pub value: u64,
}

/// The `n`th value, as people write it: a hash or a name, different for every `n`.
pub fn value(n: u64) -> String {
    let random = id::hash(id::BODY, &[b"value", &n.to_be_bytes()]);
    let hex = hex(&random);
    if n.is_multiple_of(2) { hex } else { format!("{}.example", &hex[..20]) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Made of words and of what does not repeat: host names, case numbers, times.
pub fn description(n: u64) -> String {
    let random = id::hash(id::BODY, &[b"description", &n.to_be_bytes()]);
    let word = |at: usize| WORDS[usize::from(random[at]) % WORDS.len()];
    format!(
        "{} {} {} {}; host {} {} {} case {}-{} {} {}",
        word(0),
        word(1),
        word(2),
        word(3),
        hex(&random[4..12]),
        word(12),
        word(13),
        hex(&random[14..17]),
        hex(&random[17..23]),
        word(23),
        word(24),
    )
}

/// The `n`th report, of so many indicators.
pub fn report(n: u64, indicators: u64) -> Result<Body> {
    let random = id::hash(id::BODY, &[b"report", &n.to_be_bytes()]);
    let (salt, subject) = random.split_at(16);
    let first = n * indicators;
    let mut list = Vec::new();
    for number in first..first + indicators {
        list.push(Indicator {
            what: observable::detect(&value(number)).context("a value of the benchmark")?.observable,
            kind: Code { kind: 7, value: Vec::new() },
            confidence: Some(if n.is_multiple_of(EVERY) { MARKED_CONFIDENCE } else { 70 }),
            valid_from: clock::now_ms(),
            valid_until: 0,
            id: None,
            comment: String::new(),
        });
    }
    list.sort_by(|a, b| a.what.cmp(&b.what));
    Ok(Body::Report(Report {
        salt: salt.try_into().context("half of a hash")?,
        subject: Subject(subject.try_into().context("half of a hash")?),
        supersedes: None,
        extent: Extent::Whole,
        origin: Origin::default(),
        marking: Some(Marking::new(Tlp::Green)),
        title: format!("sighting {n}"),
        description: description(n),
        created: 0,
        modified: 0,
        labels: Vec::new(),
        indicators: list,
        withdrawn: Vec::new(),
        originals: Vec::new(),
        extension: Vec::new(),
    }))
}

impl Mesh {
    /// Makes both homes under a folder. Both run the preset `national-cert`.
    pub fn make(folder: &Path, authors: usize) -> Result<Self> {
        let now = clock::now_ms();
        let port = free_port()?;
        let policy = Preset::NationalCert.text();
        let new = |name: &str, listen: Vec<String>| NewNode {
            name: name.to_owned(),
            kind: "csirt".to_owned(),
            country: "xa".to_owned(),
            node: "node1".to_owned(),
            listen,
            policy: policy.to_owned(),
            ..NewNode::default()
        };
        let (sender, receiver) = (Home::at(&folder.join("sender")), Home::at(&folder.join("receiver")));
        let listen = vec![format!("/ip4/127.0.0.1/tcp/{port}"), format!("/ip4/127.0.0.1/udp/{port}/quic-v1")];
        let sender_card = setup::make(&sender, &new("cert-xa", listen), None)?;
        let receiver_card = setup::make(&receiver, &new(RECEIVER, Vec::new()), None)?;
        let founder = keys::read_root(&sender.root_file(), None)?;
        let mut papers = Papers::found(
            "bench",
            *keys::fresh_seed()?,
            sender_card.entry.clone(),
            sender_card.certificates.clone(),
            &founder,
            now,
        )?;
        papers = papers.add(receiver_card.entry, &receiver_card.certificates, &founder, now)?;
        let authors = (0..authors).map(|n| author(n, now)).collect::<Result<Vec<_>>>()?;
        for author in &authors {
            papers = papers.add(author.card.entry.clone(), &author.card.certificates, &founder, now)?;
        }
        for home in [&sender, &receiver] {
            quiet(home)?;
            home.write_papers(&papers)?;
        }
        Ok(Self { id: papers.check()?.mesh, sender, receiver, authors, papers, founder, sender_card })
    }

    /// As [`Self::make`], with the authors of a catch-up.
    pub fn with_authors(folder: &Path) -> Result<Self> {
        Self::make(folder, AUTHORS)
    }

    /// Leaves only one transport in the sender's address, by a new version of the charter.
    pub fn only(&mut self, transport: Transport) -> Result<()> {
        let mut entry = self.sender_card.entry.clone();
        entry.addresses.retain(|address| address.contains("quic") == (transport == Transport::Quic));
        self.papers =
            self.papers.add(entry, &self.sender_card.certificates, &self.founder, clock::now_ms())?;
        for home in [&self.sender, &self.receiver] {
            home.write_papers(&self.papers)?;
        }
        Ok(())
    }

    /// Gives the sender another policy: the preset and these rules.
    pub fn sender_policy(&self, rules: &str) -> Result<()> {
        let text = format!("{}\n{rules}", Preset::NationalCert.text());
        std::fs::write(self.sender.policy_file(), text)?;
        Ok(())
    }

    /// Empties the receiver's store.
    pub fn empty_receiver(&self) -> Result<()> {
        let folder = self.receiver.store_folder();
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        self.receiver.write_papers(&self.papers)?;
        Ok(())
    }

    /// Fills the sender's store: `records` reports of so many indicators each, in runs as authors sign them.
    pub fn fill(&self, records: u64, indicators: u64) -> Result<Filled> {
        let random: tocsin_store::Random = Box::new(|bytes: &mut [u8]| {
            getrandom::fill(bytes).expect("the system gives randomness once it has booted");
        });
        let mut store =
            open_dir(&self.sender.store_folder(), self.id, random, tocsin_seal::Opener::none(), &mut |_| {})?;
        let rule = store.intern_rule("accept-members")?;
        let now = clock::now_ms();
        let begun = now - 3_600_000;
        let mut logs = Vec::new();
        for author in &self.authors {
            let key = LogKey {
                mesh: self.id,
                author: NodeKey(author.secret.public()),
                circle: CircleId::mesh(self.id),
                epoch: begun,
            };
            logs.push((key, store.open_log(&key, author.org)?, Tip::default()));
        }
        let mut filled = Filled::default();
        let (mut next, mut staged, mut turn) = (0, 0, 0);
        while next < records {
            let at = turn % logs.len();
            turn += 1;
            let mut bodies = Vec::new();
            let mut bytes = 0;
            while bodies.len() < SIGN_EVERY && bytes < SIGN_BYTES && next + (bodies.len() as u64) < records {
                bodies.push(report(next + bodies.len() as u64, indicators)?.encode());
                bytes += bodies.last().map_or(0, Vec::len);
            }
            let last = next + bodies.len() as u64;
            if filled.records == 0 {
                check_compressibility(&bodies)?;
            }
            filled.marked += (next..last).filter(|n| n.is_multiple_of(EVERY)).count() as u64;
            let drafts = bodies.into_iter().zip(next..).map(|(body, n)| Draft {
                kind: body::REPORT,
                tlp: Tlp::Green.code(),
                flags: Marking::new(Tlp::Green).flags().word(),
                time: begun + n,
                expires: 0,
                roster: 1,
                extension: Vec::new(),
                body: body.into(),
            });
            let (key, log, tip) = &mut logs[at];
            let run = Run::sign(&self.authors[at].secret, *key, *tip, drafts.collect())?;
            *tip = run.tip();
            for entry in run.entries() {
                filled.records += 1;
                filled.value += entry.header.encode().len() as u64 + u64::from(entry.header.body_len);
            }
            staged += run.body_bytes();
            let run = run.verify()?;
            let outcome =
                Outcome { verdict: Verdict::Accepted, body: BodyState::Here, rule, from: 0, received: now };
            let outcomes = vec![outcome; run.entries().len()];
            store.append(*log, &run, None, &outcomes)?;
            if staged >= COMMIT_BYTES {
                staged = 0;
                store.commit()?;
                while store.idle()? {}
            }
            next = last;
        }
        store.commit()?;
        while store.idle()? {}
        filled.indicators = records * indicators;
        Ok(filled)
    }
}

/// The rows about disk are about bodies that zstd 1 alone at most halves.
fn check_compressibility(bodies: &[Vec<u8>]) -> Result<()> {
    let full: usize = bodies.iter().map(Vec::len).sum();
    let packed: usize = bodies.iter().map(|body| codec::deflate(body).len()).sum();
    eprintln!(
        "bench: bodies of {} bytes, which alone compress to {} %",
        full / bodies.len().max(1),
        packed * 100 / full.max(1)
    );
    if packed * 2 < full {
        bail!("the bodies of the benchmark compress to less than half: disk rows would say nothing");
    }
    Ok(())
}

fn author(n: usize, now: u64) -> Result<Author> {
    let seeds = [keys::fresh_seed()?, keys::fresh_seed()?, keys::fresh_seed()?, keys::fresh_seed()?];
    let [root, secret, transport, sealing] = seeds.map(|seed| Secret::from_seed(&seed));
    let mut entry = entry(OrgId(root.public()), &format!("author-{n:02}"));
    entry.country = *b"XC";
    let key = |purpose: Purpose, secret: &Secret| CertifiedKey {
        purpose: purpose as u16,
        suite: 0,
        bytes: secret.public().to_vec(),
        from: now - 7_200_000,
        until: 0,
    };
    let certificate = Certificate {
        org: entry.root,
        node: "node1".to_owned(),
        version: 1,
        time: now - 7_200_000,
        keys: vec![
            key(Purpose::Record, &secret),
            key(Purpose::Transport, &transport),
            key(Purpose::Sealing, &sealing),
        ],
        branches: Vec::new(),
        extension: Vec::new(),
    };
    let org = entry.root;
    let card = Card::sign(entry, vec![Signed::sign(&certificate, &[&root, &secret, &transport])], &root)?;
    Ok(Author { secret, org, card })
}

/// Logs warnings only: what a node says of its links is no part of what is measured.
fn quiet(home: &Home) -> Result<()> {
    let text = std::fs::read_to_string(home.config_file())?;
    std::fs::write(home.config_file(), text.replace("\nlog = \"info\"\n", "\nlog = \"warn\"\n"))?;
    Ok(())
}

/// A port that is free on loopback for TCP and UDP now.
fn free_port() -> Result<u16> {
    for _ in 0..100 {
        let tcp = TcpListener::bind(("127.0.0.1", 0))?;
        let port = tcp.local_addr()?.port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free on loopback")
}
