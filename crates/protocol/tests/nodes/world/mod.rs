//! A few nodes over memory disks and an instant network.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use tocsin_policy::Policy;
use tocsin_protocol::message::{self, FrameError, Incoming, Message, Push};
use tocsin_protocol::{
    Config, Directory, Done, Effect, Event, HoldDefault, Identity, Index, Input, Mesh, Meter, Now, Output,
    RequestError, Room, Session,
};
use tocsin_record::body::{Body, Report, report};
use tocsin_record::document::{
    Certificate, CertifiedKey, Charter, Constituency, Contact, OrgEntry, OrgKind, Purpose, Signed,
};
use tocsin_record::keys::Secret;
use tocsin_record::marking::{Code, Marking, Tlp};
use tocsin_record::observable::Observable;
use tocsin_record::{Bytes, CircleId, DocHash, LogKey, MeshId, NodeKey, OrgId, RecordId, Run, page};
use tocsin_seal::{Opener, SealingKey};
use tocsin_store::faulty::{FaultyKv, FaultySlots};
use tocsin_store::{RecordRef, Store, Stored};

/// A policy that accepts, fetches and forwards everything.
pub const OPEN: &str = r#"
@id("accept-all") permit(principal, action == Action::"accept", resource);
@id("fetch-all") permit(principal, action == Action::"fetch", resource);
@id("forward-all") permit(principal, action == Action::"forward", resource);
"#;
/// One that holds everything for a person to decide.
pub const HOLD: &str = r#"
@id("hold-all") permit(principal, action == Action::"hold", resource);
@id("fetch-all") permit(principal, action == Action::"fetch", resource);
@id("forward-all") permit(principal, action == Action::"forward", resource);
"#;
/// One that takes nothing.
pub const REFUSE: &str = r#"
@id("fetch-all") permit(principal, action == Action::"fetch", resource);
"#;

pub struct Node {
    pub mesh: Mesh<FaultyKv, FaultySlots>,
    kv: Arc<FaultyKv>,
    slots: Arc<FaultySlots>,
    identity: u8,
    boot: u8,
    /// How far its wall clock is from the world's.
    skew: i64,
    out: Output,
    events: Vec<Event>,
    closed: Vec<(u64, String)>,
    done: BTreeMap<u64, Result<Done, RequestError>>,
}

pub struct World {
    pub nodes: Vec<Node>,
    pub now: Now,
    /// What becomes of held records at nodes that are opened from now on.
    pub hold: HoldDefault,
    seed: u8,
    documents: Vec<Signed>,
    policy: Arc<Policy>,
    /// (node, link) to (node, link).
    wires: BTreeMap<(usize, u64), (usize, u64)>,
    next_link: u64,
    next_ticket: u64,
    flying: VecDeque<(usize, u64, Bytes)>,
    pub sessions: BTreeMap<(usize, u64), Session>,
    /// Frames that left, and bytes in them.
    pub sent: (usize, usize),
    /// All that was sent to each node.
    pub heard: BTreeMap<usize, Vec<Bytes>>,
}

pub fn report(number: u32, tlp: u8, address: &str) -> Body {
    Body::Report(Report {
        salt: [7; 16],
        subject: report::Subject([number as u8; 16]),
        supersedes: None,
        extent: report::Extent::Whole,
        origin: report::Origin::default(),
        marking: Some(Marking::new(Tlp::from_code(tlp).unwrap())),
        title: format!("report {number}"),
        description: String::new(),
        created: 0,
        modified: 0,
        labels: vec![],
        indicators: vec![report::Indicator {
            what: Observable::parse("ipv4", address).unwrap(),
            kind: Code { kind: 1, value: vec![] },
            confidence: Some(80),
            valid_from: 0,
            valid_until: 0,
            id: None,
            comment: String::new(),
        }],
        withdrawn: vec![],
        originals: vec![],
        extension: vec![],
    })
}

fn certificate(root: &Secret, record: &Secret, transport: &Secret) -> Signed {
    Signed::sign(&node_certificate(root, record, transport), &[root, record, transport])
}

/// What certifies a node, not signed yet; its record key signs rosters as well.
pub fn node_certificate(root: &Secret, record: &Secret, transport: &Secret) -> Certificate {
    let key = |purpose: Purpose, suite: u8, bytes: Vec<u8>| CertifiedKey {
        purpose: purpose as u16,
        suite,
        bytes,
        from: 0,
        until: 0,
    };
    Certificate {
        org: OrgId(root.public()),
        node: "node".into(),
        version: 1,
        time: 0,
        keys: vec![
            key(Purpose::Record, 0, record.public().to_vec()),
            key(Purpose::Transport, 0, transport.public().to_vec()),
            key(Purpose::Sealing, tocsin_seal::SUITE, sealing(record).public().to_bytes()),
            key(Purpose::Steward, 0, record.public().to_vec()),
        ],
        branches: vec![],
        extension: vec![],
    }
}

/// What opens what is sealed to the node of a record key.
pub fn sealing(record: &Secret) -> SealingKey {
    SealingKey::from_seed(&record.public())
}

/// The secret of a role (0 root, 1 record, 2 transport) of a node in the world of a seed.
pub fn secret(role: u8, node: u8, seed: u8) -> Secret {
    Secret::from_seed(&[role * 50 + node + seed + 1; 32])
}

fn org(node: u8, seed: u8) -> OrgEntry {
    OrgEntry {
        root: OrgId(secret(0, node, seed).public()),
        name: format!("org{node}"),
        kind: OrgKind::Csirt.code(),
        country: [b'A' + node, b'A'],
        regimes: vec![],
        constituency: Constituency::default(),
        contact: Contact::default(),
        addresses: vec![],
        quota: 0,
        roles: if node == 0 { vec!["steward".into()] } else { vec![] },
    }
}

impl World {
    pub fn new(count: u8, policy: &str) -> Self {
        Self::with_seed(count, policy, 0)
    }

    pub fn with_seed(count: u8, policy: &str, seed: u8) -> Self {
        let mut orgs: Vec<OrgEntry> = (0..count).map(|n| org(n, seed)).collect();
        orgs.sort_by_key(|org| org.root);
        let charter = Charter {
            version: 1,
            prev: DocHash::ZERO,
            nonce: [seed; 32],
            name: "test".into(),
            time: 0,
            expires: 0,
            history: 0,
            orgs,
            extension: vec![],
        };
        let mut documents = vec![Signed::sign(&charter, &[&secret(0, 0, seed)])];
        for n in 0..count {
            documents.push(certificate(&secret(0, n, seed), &secret(1, n, seed), &secret(2, n, seed)));
        }
        let now = Now { wall: 1_800_000_000_000, mono: 1_000_000 };
        let policy = Arc::new(Policy::load(policy).unwrap_or_else(|error| panic!("{error}")));
        let (wires, flying) = (BTreeMap::new(), VecDeque::new());
        let mut world = Self {
            nodes: vec![],
            now,
            hold: HoldDefault::Keep,
            seed,
            documents,
            policy,
            wires,
            next_link: 1,
            next_ticket: 1,
            flying,
            sessions: BTreeMap::new(),
            sent: (0, 0),
            heard: BTreeMap::new(),
        };
        for n in 0..count {
            let (kv, slots) = (FaultyKv::new(u64::from(n)), FaultySlots::new(u64::from(n)));
            let node = world.open(n, n, Arc::new(kv), Arc::new(slots), now);
            world.nodes.push(node);
        }
        world
    }

    /// Opens a node over its disks, on a boot of its machine.
    fn open(&self, n: u8, boot: u8, kv: Arc<FaultyKv>, slots: Arc<FaultySlots>, now: Now) -> Node {
        let mut counter = u64::from(n);
        let random = Box::new(move |bytes: &mut [u8]| {
            for byte in bytes {
                counter = counter.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = (counter >> 40) as u8;
            }
        });
        let directory = Directory::load(&self.documents).unwrap();
        let mut index = Index::new(&[1; 16]);
        let mut filler = index.filler();
        let found = &mut |found: tocsin_store::Found<'_>| filler.add(&found);
        let node = NodeKey(secret(1, n, self.seed).public());
        let opener = Opener::new(node, vec![sealing(&secret(1, n, self.seed))]);
        let (kv_here, slots_here) = (Arc::clone(&kv), Arc::clone(&slots));
        let store = Store::open(kv_here, slots_here, directory.mesh(), random, opener, found).unwrap();
        drop(filler);
        let config = Config {
            boot: [boot; 16],
            seed: u64::from(n),
            index_key: [1; 16],
            meter: Meter::Model,
            hold: self.hold,
        };
        let identity = Identity {
            secret: secret(1, n, self.seed),
            org: OrgId(secret(0, n, self.seed).public()),
            certificate: self.certificate(n),
            random: ChaCha20Rng::from_seed([n; 32]),
        };
        let mesh = Mesh::open(config, identity, directory, store, self.policy.clone(), index, now).unwrap();
        let (events, closed, done) = (vec![], vec![], BTreeMap::new());
        Node { mesh, kv, slots, identity: n, boot, skew: 0, out: Output::default(), events, closed, done }
    }

    /// Restarts a node without links on another boot of its machine.
    pub fn restart(&mut self, at: usize) {
        let Node { kv, slots, .. } = &self.nodes[at];
        self.reopen(at, Arc::clone(kv), Arc::clone(slots));
    }

    /// As [`Self::restart`], on the same boot.
    pub fn go_on(&mut self, at: usize) {
        let Node { kv, slots, identity, boot, skew, .. } = &self.nodes[at];
        let (identity, boot, skew) = (*identity, *boot, *skew);
        let node = self.open(identity, boot, Arc::clone(kv), Arc::clone(slots), self.now_of(at));
        self.nodes[at] = Node { skew, ..node };
    }

    /// A bit of the last page on a node's disk flips.
    pub fn rot(&mut self, at: usize) {
        self.nodes[at].kv.rot();
    }

    /// As [`Self::restart`], with empty disks.
    pub fn restart_empty(&mut self, at: usize) {
        self.reopen(at, Arc::new(FaultyKv::new(99)), Arc::new(FaultySlots::new(99)));
    }

    fn reopen(&mut self, at: usize, kv: Arc<FaultyKv>, slots: Arc<FaultySlots>) {
        let Node { identity, boot, skew, .. } = self.nodes[at];
        let node = self.open(identity, boot.wrapping_add(100), kv, slots, self.now_of(at));
        self.nodes[at] = Node { skew, ..node };
    }

    /// The time at a node.
    pub fn now_of(&self, node: usize) -> Now {
        let wall = self.now.wall.checked_add_signed(self.nodes[node].skew).unwrap();
        Now { wall, ..self.now }
    }

    /// Sets the wall clock of a node ahead by so many ms.
    pub fn jump(&mut self, node: usize, ms: u64) {
        self.nodes[node].skew += i64::try_from(ms).unwrap();
    }

    /// Sets it back by so many ms.
    pub fn jump_behind(&mut self, node: usize, ms: u64) {
        self.nodes[node].skew -= i64::try_from(ms).unwrap();
    }

    /// Sets it right.
    pub fn jump_back(&mut self, node: usize) {
        self.nodes[node].skew = 0;
    }

    /// So much time passes at once: nobody sees it go by.
    pub fn pass_off(&mut self, ms: u64) {
        self.now.wall += ms;
        self.now.mono += ms;
    }

    pub fn mesh(&self) -> MeshId {
        self.nodes[0].mesh.mesh()
    }

    /// The certificate of a node, as its org signed it.
    pub fn certificate(&self, n: u8) -> Signed {
        self.documents[usize::from(n) + 1].clone()
    }

    pub fn record_secret(&self, node: u8) -> Secret {
        secret(1, node, self.seed)
    }

    /// The secret of a node's org; that of the first signs charters.
    pub fn root_secret(&self, node: u8) -> Secret {
        secret(0, node, self.seed)
    }

    pub fn transport(&self, node: u8) -> [u8; 32] {
        secret(2, node, self.seed).public()
    }

    pub fn connect_all(&mut self) {
        for a in 0..self.nodes.len() {
            for b in a + 1..self.nodes.len() {
                self.connect(a, b);
            }
        }
        self.settle();
    }

    pub fn connect(&mut self, a: usize, b: usize) {
        let (la, lb) = (self.next_link, self.next_link + 1);
        self.next_link += 2;
        self.wires.insert((a, la), (b, lb));
        self.wires.insert((b, lb), (a, la));
        let (ka, kb) = (self.transport(a as u8), self.transport(b as u8));
        self.link_up(a, la, kb);
        self.link_up(b, lb, ka);
    }

    /// A link begins, with its session.
    pub fn link_up(&mut self, node: usize, link: u64, peer: [u8; 32]) -> Vec<Effect> {
        let room = Room::default();
        self.sessions.insert((node, link), Session::new(self.mesh(), room.clone()));
        self.feed(node, Input::LinkUp { link, peer, room })
    }

    /// What the session of a link makes of a frame.
    pub fn hear(&mut self, node: usize, link: u64, frame: &[u8]) -> Result<Incoming, FrameError> {
        let mesh = self.mesh();
        let fresh = || Session::new(mesh, Room::default());
        self.sessions.entry((node, link)).or_insert_with(fresh).hear(frame)
    }

    /// A link to `node` that the test itself speaks on, in the name of `peer`, already through the lobby.
    pub fn strange_link(&mut self, node: usize, peer: u8) -> u64 {
        let link = self.come_back(node, peer);
        assert!(!self.closed(node, link), "{:?}", self.nodes[node].closed);
        link
    }

    /// As [`Self::strange_link`], whether it is let in or not.
    pub fn come_back(&mut self, node: usize, peer: u8) -> u64 {
        let link = self.next_link;
        self.next_link += 1;
        let key = self.transport(peer);
        self.link_up(node, link, key);
        let lobby = self.lobby_of(usize::from(peer), self.transport(node as u8));
        self.receive(node, link, lobby);
        link
    }

    /// The first frame that a node sends to a peer.
    pub fn lobby_of(&mut self, node: usize, peer: [u8; 32]) -> Bytes {
        let link = self.next_link + 10_000;
        self.next_link += 1;
        let effects = self.link_up(node, link, peer);
        self.feed(node, Input::LinkDown { link });
        let frame = effects.into_iter().find_map(|effect| match effect {
            Effect::Send { frame, .. } => Some(frame),
            _ => None,
        });
        frame.unwrap()
    }

    pub fn push_from(&mut self, node: usize, link: u64, log: &LogKey, run: &Run) {
        let push = Push { log: 0, reply: false, page: page::encode(run) };
        let messages = vec![Message::Name(0, (*log).into()), Message::Push(push)];
        self.receive(node, link, message::encode(&messages));
    }

    pub fn receive(&mut self, node: usize, link: u64, frame: Bytes) {
        match self.hear(node, link, &frame) {
            Ok(frame) => {
                self.feed(node, Input::Received { link, frame });
            }
            Err(error) => {
                let reason = error.to_string();
                self.feed(node, Input::Unreadable { link, bytes: frame.len(), reason });
            }
        }
    }

    /// One input, its commit, and the frames that leave.
    pub fn feed(&mut self, at: usize, input: Input) -> Vec<Effect> {
        if let Input::LinkDown { link } = &input {
            self.sessions.remove(&(at, *link));
        }
        let now = self.now_of(at);
        let node = &mut self.nodes[at];
        node.mesh.handle(now, input, &mut node.out).unwrap();
        let effects = node.mesh.commit(now, &mut node.out).unwrap();
        for effect in &effects {
            match effect {
                Effect::Send { link, frame, .. } => {
                    if let Some((to, far)) = self.wires.get(&(at, *link)) {
                        self.sent = (self.sent.0 + 1, self.sent.1 + frame.len());
                        self.heard.entry(*to).or_default().push(frame.clone());
                        self.flying.push_back((*to, *far, frame.clone()));
                    }
                }
                Effect::Close { link, reason } => node.closed.push((*link, reason.clone())),
                Effect::Done { ticket, result } => drop(node.done.insert(*ticket, result.clone())),
                Effect::Event(event) => node.events.push(event.clone()),
                Effect::Admitted { .. } => {}
            }
        }
        effects
    }

    /// Takes what is on its way to a node out of the wires: by which of its links, and the frame.
    pub fn flying_to(&mut self, node: usize) -> Vec<(u64, Bytes)> {
        let (here, others) = self.flying.drain(..).partition(|(to, ..)| *to == node);
        self.flying = others;
        let here: VecDeque<(usize, u64, Bytes)> = here;
        here.into_iter().map(|(_, link, frame)| (link, frame)).collect()
    }

    /// What is on its way to a node and these inputs, all before one commit, as where its core was busy for a moment.
    pub fn feed_at_once(&mut self, at: usize, inputs: impl IntoIterator<Item = Input>) {
        let mut all = Vec::new();
        for (link, frame) in self.flying_to(at) {
            let frame = self.hear(at, link, &frame).unwrap();
            all.push(Input::Received { link, frame });
        }
        let now = self.now_of(at);
        let node = &mut self.nodes[at];
        for input in all.into_iter().chain(inputs) {
            node.mesh.handle(now, input, &mut node.out).unwrap();
        }
        self.feed(at, Input::Tick);
    }

    /// Lets frames arrive and time pass until nothing has happened for six seconds.
    pub fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..5000 {
            let mut any = false;
            while let Some((node, link, frame)) = self.flying.pop_front() {
                any = true;
                let frame = self.hear(node, link, &frame).unwrap();
                self.feed(node, Input::Received { link, frame });
            }
            quiet = if any { 0 } else { quiet + 1 };
            if quiet > 120 {
                return;
            }
            self.now.wall += 50;
            self.now.mono += 50;
            for node in 0..self.nodes.len() {
                self.feed(node, Input::Tick);
            }
        }
        panic!("the mesh does not come to rest");
    }

    /// Lets frames arrive for so many ms, whatever happens.
    pub fn pass(&mut self, ms: u64) {
        for _ in 0..ms / 50 {
            while let Some((node, link, frame)) = self.flying.pop_front() {
                let frame = self.hear(node, link, &frame).unwrap();
                self.feed(node, Input::Received { link, frame });
            }
            self.now.wall += 50;
            self.now.mono += 50;
            for node in 0..self.nodes.len() {
                self.feed(node, Input::Tick);
            }
        }
    }

    fn wires_between(&self, a: usize, b: usize) -> Vec<((usize, u64), (usize, u64))> {
        let between = |(from, to): &(&(usize, u64), &(usize, u64))| from.0 == a && to.0 == b;
        self.wires.iter().filter(between).map(|(from, to)| (*from, *to)).collect()
    }

    /// The number of the link between two nodes, at each end.
    pub fn wire(&self, a: usize, b: usize) -> (u64, u64) {
        let (from, to) = self.wires_between(a, b)[0];
        (from.1, to.1)
    }

    /// Ends the links between two nodes.
    pub fn disconnect(&mut self, a: usize, b: usize) {
        for (from, to) in self.wires_between(a, b) {
            self.lose(a, b);
            self.feed(from.0, Input::LinkDown { link: from.1 });
            self.feed(to.0, Input::LinkDown { link: to.1 });
        }
    }

    /// From now on frames between two nodes are lost, and neither is told.
    pub fn lose(&mut self, a: usize, b: usize) {
        for (from, to) in self.wires_between(a, b) {
            self.wires.remove(&from);
            self.wires.remove(&to);
        }
    }

    pub fn request(&mut self, node: usize, input: impl FnOnce(u64) -> Input) -> Result<Done, RequestError> {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.feed(node, input(ticket));
        self.nodes[node].done.remove(&ticket).expect("answered by the commit")
    }

    /// Whether a text stands in clear on a node's disk.
    pub fn disk_holds(&self, node: usize, text: &str) -> bool {
        let holds = |value: &Bytes| value.windows(text.len()).any(|window| window == text.as_bytes());
        self.nodes[node].kv.dump().iter().any(|(_, value)| holds(value))
    }

    /// A person at a node decides about what is held there.
    pub fn decide(&mut self, node: usize, place: RecordRef, accept: bool) -> Result<Done, RequestError> {
        let (name, reason) = ("analyst".to_owned(), "seen here".to_owned());
        self.request(node, |ticket| Input::DecideHeld { ticket, place, accept, name, reason })
    }

    pub fn publish(&mut self, node: usize, body: Body) -> RecordId {
        let circle = CircleId::mesh(self.mesh());
        self.request(node, |ticket| Input::Publish { ticket, circle, bodies: vec![body] }).unwrap().written[0]
            .id
    }

    pub fn policy(&mut self, node: usize, text: &str) {
        let policy = Arc::new(Policy::load(text).unwrap_or_else(|error| panic!("{error}")));
        self.feed(node, Input::Policy { policy });
    }

    pub fn stored(&self, node: usize, id: &RecordId) -> Option<Stored> {
        let reader = self.nodes[node].mesh.reader();
        reader.find(id).unwrap().and_then(|place| reader.record(place).unwrap())
    }

    pub fn lookup(&self, node: usize, address: &str) -> usize {
        let what = Observable::parse("ipv4", address).unwrap();
        let index = self.nodes[node].mesh.index();
        tocsin_protocol::read(&index).accepted.lookup(what.borrowed()).len()
    }

    pub fn events(&self, node: usize) -> &[Event] {
        &self.nodes[node].events
    }

    pub fn closed(&self, node: usize, link: u64) -> bool {
        self.nodes[node].closed.iter().any(|closed| closed.0 == link)
    }
}
