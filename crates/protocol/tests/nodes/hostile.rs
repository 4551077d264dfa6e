//! A member that turned hostile says whatever parses, in any order: nothing panics, the honest nodes keep what they
//! hold, and go on. Each case is drawn from the seed that a failure prints.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::world::{OPEN, World, report};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use tocsin_protocol::message::head::{head_hash, receipt_hash};
use tocsin_protocol::message::{
    self, AtAnswer, Behind, BodyData, BodyStatus, Buckets, Change, DocumentList, Documents, Entries, EntryOf,
    Fate, Fates, Have, Head, Hello, Lobby, LogName, LogState, Message, Page, Proposal, Push, Range, Receipt,
    RecordAt, Want,
};
use tocsin_protocol::{Event, Input};
use tocsin_record::document::{Carry, Form, Roster, Signed};
use tocsin_record::keys::{Secret, Signature};
use tocsin_record::run::Draft;
use tocsin_record::{CircleId, DocHash, LogKey, MeshId, NodeKey, OrgId, RecordId, Run, Tip, page};
use tocsin_store::Verdict;

const SEEDS: u64 = 60;
const FRAMES: usize = 80;
/// The member that the test plays; the others are real nodes.
const LIAR: u8 = 2;
/// Numbers at which arithmetic breaks.
const EDGES: [u64; 12] = [0, 1, 2, 3, 5, 64, 65, 1 << 31, u32::MAX as u64, 1 << 62, u64::MAX - 1, u64::MAX];

#[test]
fn whatever_a_member_says_the_others_go_on() {
    let mut said = BTreeSet::new();
    for seed in 0..SEEDS {
        let held = catch_unwind(AssertUnwindSafe(|| one(seed, &mut said)));
        assert!(held.is_ok(), "seed {seed} (its panic is above)");
    }
    // A number that no message has is refused as such; all below it must have been said.
    let unknown = |number: &u8| {
        let refused = message::decode(MeshId([1; 32]), &[1, *number]).unwrap_err();
        format!("{refused:?}").contains("UnexpectedVariant")
    };
    let known = (0..u8::MAX).find(unknown).unwrap();
    assert_eq!(said.len(), usize::from(known), "a message is never said: {said:?}");
}

fn one(seed: u64, said: &mut BTreeSet<&'static str>) {
    let mut world = World::new(3, OPEN);
    world.connect(0, 1);
    let mut ids: Vec<RecordId> =
        (0..5).map(|n| world.publish(n % 2, report(n as u32, 1, &format!("192.0.2.{n}")))).collect();
    world.settle();

    let mut liar = Liar::new(seed, &world);
    let mut links = [world.strange_link(0, LIAR), world.strange_link(1, LIAR)];
    for _ in 0..FRAMES {
        let node = liar.random.random_range(0..2usize);
        if world.closed(node, links[node]) {
            world.feed(node, Input::LinkDown { link: links[node] });
            links[node] = world.strange_link(node, LIAR);
        }
        let messages = liar.messages();
        said.extend(messages.iter().map(Message::name));
        world.receive(node, links[node], message::encode(&messages));
        if liar.random.random_range(0..4) == 0 {
            let ms = liar.random.random_range(1..2_000);
            world.now.wall += ms;
            world.now.mono += ms;
            world.feed(node, Input::Tick);
        }
    }
    // The links stay: what was said is still believed or feared while the others go on.
    ids.push(world.publish(0, report(7, 1, "192.0.2.7")));
    world.settle();
    for (node, link) in links.into_iter().enumerate() {
        if !world.closed(node, link) {
            world.feed(node, Input::LinkDown { link });
        }
    }
    ids.push(world.publish(1, report(8, 1, "192.0.2.8")));
    world.settle();

    for node in 0..2 {
        for id in &ids {
            let stored = world.stored(node, id).unwrap();
            assert_eq!(stored.stamped.outcome.verdict, Verdict::Accepted, "node {node}");
            assert!(stored.entry.body().is_some(), "node {node} lost a body");
        }
        let honest = [world.nodes[0].mesh.node(), world.nodes[1].mesh.node()];
        let framed = |event: &Event| matches!(event, Event::Forked { author, .. } if honest.contains(author));
        assert!(!world.events(node).iter().any(framed), "an honest author was called a forger");
    }
}

/// Draws messages. Names, ids and pages are mostly real ones, so that what is said is looked at.
struct Liar {
    random: ChaCha8Rng,
    secret: Secret,
    /// Of a node that is honest.
    other: Secret,
    org: OrgId,
    invited: OrgId,
    mesh: MeshId,
    nodes: [NodeKey; 3],
    logs: Vec<LogKey>,
    /// Each with the place of its log in `logs`.
    pages: Vec<(usize, Vec<u8>)>,
    ids: Vec<RecordId>,
    wall: u64,
}

impl Liar {
    fn new(seed: u64, world: &World) -> Self {
        let secret = world.record_secret(LIAR);
        let nodes = [0, 1, 2].map(|n: usize| world.nodes[n].mesh.node());
        let mut logs: Vec<LogKey> = world.nodes[0].mesh.reader().logs().iter().map(|info| info.key).collect();
        let circle = CircleId::mesh(world.mesh());
        let mut pages = Vec::new();
        let mut ids = vec![RecordId::ZERO, RecordId([9; 32])];
        for (log, epoch) in [(0u8, world.now.wall), (1, world.now.wall + 1), (2, 1), (3, u64::MAX)] {
            let log_key = LogKey {
                mesh: world.mesh(),
                author: nodes[usize::from(LIAR)],
                circle: if log == 3 { CircleId([7; 32]) } else { circle },
                epoch,
            };
            logs.push(log_key);
            let mut tip = Tip::default();
            for part in 0..3u8 {
                let drafts = (0..3).map(|n| draft(part * 3 + n, epoch)).collect();
                let run = Run::sign(&secret, log_key, tip, drafts).unwrap();
                let rival = Run::sign(&secret, log_key, tip, vec![draft(99, epoch)]).unwrap();
                let place = logs.len() - 1;
                pages.extend([&run, &rival].map(|run| (place, page::encode(run))));
                ids.extend(run.entries().iter().map(|entry| entry.id));
                tip = run.tip();
            }
        }
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            secret,
            other: world.record_secret(1),
            org: world.nodes[usize::from(LIAR)].mesh.org(),
            invited: world.nodes[0].mesh.org(),
            mesh: world.mesh(),
            nodes,
            logs,
            pages,
            ids,
            wall: world.now.wall,
        }
    }

    fn messages(&mut self) -> Vec<Message> {
        // Numbers are places in `logs`, so that most of what is said means something.
        let mut messages: Vec<Message> =
            (0..).zip(&self.logs).map(|(no, log)| Message::Name(no, (*log).into())).collect();
        if self.rarely() {
            let (no, log) = (self.no(), self.pick_log());
            messages.push(Message::Name(no, log.into()));
        }
        for _ in 0..self.random.random_range(1..6) {
            let message = self.message();
            messages.push(message);
        }
        messages
    }

    fn rarely(&mut self) -> bool {
        self.random.random_range(0..40) == 0
    }

    fn message(&mut self) -> Message {
        match self.random.random_range(0..23) {
            0 => Message::DocumentList(DocumentList(vec![DocHash([1; 32]); self.count()])),
            1 if self.rarely() => Message::Documents(Documents(vec![])),
            1 => Message::Lobby(Lobby {
                protocol: self.edge() as u16,
                mesh: self.mesh,
                certificate: Signed { form: Form::Certificate, bytes: vec![1, 2, 3], signatures: vec![] },
                charter: Behind { version: self.edge() as u32, hash: DocHash([1; 32]) },
                revocations: Behind::default(),
                extension: vec![],
            }),
            2 => Message::Hello(Hello { logs: self.random.random(), documents: self.random.random() }),
            3 => {
                let len = if self.rarely() { self.count() } else { 256 };
                Message::Buckets(Buckets((0..len).map(|_| self.random.random()).collect()))
            }
            4 => Message::Entries(Entries((0..self.count()).map(|_| self.entry()).collect())),
            5..=8 => Message::Push(self.push()),
            9 => Message::Have((0..self.count()).map(|_| self.have()).collect()),
            10 => Message::Graft(self.no(), self.edge()),
            11 => Message::Prune(self.no()),
            12 => Message::Want(Want {
                id: self.random.random(),
                ranges: (0..self.count())
                    .map(|_| Range {
                        log: self.no(),
                        from: self.edge(),
                        to: self.edge(),
                        bodies: self.random.random(),
                    })
                    .collect(),
                credit: self.edge() as u32,
            }),
            13 => Message::Credit(self.edge() as u32),
            14 => {
                let (place, page) = self.pick_page();
                let log: LogName = self.logs[place].into();
                let packed = page::pack(&page);
                Message::Page(Page {
                    want: self.random.random_range(0..3),
                    log,
                    last: self.random.random(),
                    packed: if self.random.random() { packed } else { vec![] },
                })
            }
            15 => Message::WantBodies((0..self.count()).map(|_| self.body()).collect()),
            16 => Message::Bodies((0..self.count()).map(|_| self.body_data()).collect()),
            17 => Message::HaveBodies((0..self.count()).map(|_| self.body()).collect()),
            18 => Message::Holes((0..self.count()).map(|_| self.body()).collect()),
            19 if self.random.random() => Message::At(self.no(), self.edge()),
            19 => Message::AtAnswer(AtAnswer {
                log: self.no(),
                seq: self.edge(),
                id: if self.random.random() { Some(self.id()) } else { None },
            }),
            20 => Message::Fork(Box::new([self.push(), self.push()])),
            21 => Message::Proposals((0..self.count()).map(|_| self.proposal()).collect()),
            _ if self.random.random() => Message::Heads((0..self.count()).map(|_| self.head()).collect()),
            _ if self.random.random() => {
                Message::Receipts((0..self.count()).map(|_| self.receipt()).collect())
            }
            _ => Message::Unnamed(self.no()),
        }
    }

    /// Of a circle that the liar began, or pretends that others did.
    fn proposal(&mut self) -> Proposal {
        let (is_other, version, time) = (self.rarely(), self.edge() as u32, self.edge());
        let first = Roster {
            mesh: self.mesh,
            version: 1,
            prev: DocHash::ZERO,
            nonce: [self.random.random_range(0..3); 32],
            name: "pals".into(),
            time: 0,
            expires: 0,
            carry: Carry::Members,
            orgs: vec![self.org],
            carriers: vec![],
            stewards: vec![self.secret.public()],
            cuts: vec![],
            extension: vec![],
        };
        let signed = Signed::sign(&first, &[&self.secret]);
        let orgs = [self.org, self.invited];
        let [org, target] = [0, 1].map(|_| orgs[self.random.random_range(0..2usize)]);
        let mut next = Roster { version, prev: signed.hash(), ..first };
        next.orgs = orgs.to_vec();
        next.orgs.sort_unstable();
        let all = [
            Change::Member(target),
            Change::Steward(target),
            Change::Carrier(org),
            Change::Remove(org),
            Change::Leave(org),
            Change::Rename,
        ];
        let change = all[self.random.random_range(0..all.len())];
        let is_signed = self.random.random();
        let signers: &[&Secret] = if is_signed { &[&self.secret] } else { &[] };
        let next = Signed::sign(&next, signers);
        let by = if is_other { &self.other } else { &self.secret };
        Proposal::sign(self.mesh, change, signed, next, time, by)
    }

    fn no(&mut self) -> u32 {
        if self.rarely() { self.random.random() } else { self.random.random_range(0..self.logs.len() as u32) }
    }

    fn count(&mut self) -> usize {
        [0, 1, 1, 2, 3, 40][self.random.random_range(0..6)]
    }

    fn edge(&mut self) -> u64 {
        EDGES[self.random.random_range(0..EDGES.len())]
    }

    fn pick_log(&mut self) -> LogKey {
        self.logs[self.random.random_range(0..self.logs.len())]
    }

    fn pick_page(&mut self) -> (usize, Vec<u8>) {
        self.pages[self.random.random_range(0..self.pages.len())].clone()
    }

    fn id(&mut self) -> RecordId {
        self.ids[self.random.random_range(0..self.ids.len())]
    }

    fn push(&mut self) -> Push {
        let (place, mut page) = self.pick_page();
        if self.rarely() {
            let at = self.random.random_range(0..page.len());
            page[at] ^= 1;
        }
        Push { log: if self.rarely() { self.no() } else { place as u32 }, reply: self.random.random(), page }
    }

    fn entry(&mut self) -> EntryOf {
        EntryOf {
            no: self.no(),
            log: self.pick_log().into(),
            base: self.edge(),
            height: self.edge(),
            id: self.id(),
            state: [LogState::Open, LogState::Forked, LogState::Cut][self.random.random_range(0..3)],
        }
    }

    fn have(&mut self) -> Have {
        Have {
            log: self.no(),
            from: self.edge(),
            more: self.edge() as u32,
            age: self.edge() as u32,
            except: (0..self.count()).map(|_| self.edge() as u32).collect(),
        }
    }

    fn body(&mut self) -> RecordAt {
        RecordAt { log: self.no(), seq: self.edge() }
    }

    fn body_data(&mut self) -> BodyData {
        let status = match self.random.random_range(0..4) {
            0 => BodyStatus::Here(report(1, 1, "198.51.100.1").encode()),
            1 => BodyStatus::Withheld,
            2 => BodyStatus::NotHeld,
            _ => BodyStatus::Gone(self.random.random()),
        };
        BodyData { what: self.body(), status }
    }

    /// Nearly all are signed as they must be. Their times stay near the clock: a member that lies about the
    /// time in what it signs is another matter, and moves the median of its peers only where they are few.
    fn head(&mut self) -> Head {
        let place = self.logs.len() - 4;
        let log = self.logs[place];
        let (seq, id, releases, time) = (self.edge(), self.id(), self.edge(), self.wall);
        let hash = head_hash(&self.mesh, &log.author, &log.circle, log.epoch, seq, &id, releases, time);
        Head { log: place as u32, seq, id, releases, time, signature: self.signature(&hash) }
    }

    fn receipt(&mut self) -> Receipt {
        let holder = self.nodes[usize::from(LIAR)];
        let log = self.pick_log();
        let (height, time) = (self.edge(), self.edge());
        let fate = [Fate::Accepted, Fate::KeptBack, Fate::HeaderOnly, Fate::Gone];
        let pieces = if self.rarely() { 100 } else { self.count() };
        let runs = (0..pieces).map(|n| (self.count() as u32, fate[n % 4])).collect();
        let fates = Fates { below: if self.rarely() { self.edge() } else { 0 }, runs };
        let hash = receipt_hash(&holder, &log.id(), height, time, &fates);
        Receipt { log: self.no(), holder: self.no(), height, time, fates, signature: self.signature(&hash) }
    }

    fn signature(&mut self, hash: &[u8; 32]) -> Signature {
        if self.rarely() { Signature([5; 64]) } else { self.secret.sign(hash) }
    }
}

fn draft(number: u8, epoch: u64) -> Draft {
    let body = report(100 + u32::from(number), 1, &format!("198.51.100.{number}")).encode();
    Draft {
        kind: 32,
        tlp: 1,
        flags: 0,
        time: epoch.min(1_800_000_000_000),
        expires: 0,
        roster: u32::from(number % 3),
        extension: vec![],
        // Some bodies are none: a report cut short.
        body: if number % 5 == 4 { body[..30].to_vec().into() } else { body.into() },
    }
}
