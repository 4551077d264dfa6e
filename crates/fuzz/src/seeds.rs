//! Inputs to begin with: built here where they are bytes, kept under `seeds/` where they are text.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use tocsin_backup::{Head as BackupHead, PartsOut};
use tocsin_bundle::{Bundle, Content, Cover, Fork, Frontier, Late, Packed, Reached, Records, Said, seal};
use tocsin_evidence::Evidence;
use tocsin_protocol::message::{
    self, AtAnswer, Behind, BodyData, BodyStatus, Buckets, Change, DocumentList, Documents, Entries, EntryOf,
    Fate, Fates, Have, Head, Hello, Lobby, LogName, LogState, Message, Page, Proposal, Push, Range, Receipt,
    RecordAt, Want,
};
use tocsin_record::body::{Body, Carried, Note, Report, Retraction, Sighting, class_of, report, retraction};
use tocsin_record::document::{Certificate, Charter, Purpose, Revocations, Roster, Signed, encode_all};
use tocsin_record::id::{CircleId, DocHash, MeshId, NodeKey, OrgId, RecordId};
use tocsin_record::keys::Secret;
use tocsin_record::marking::{Code, Countries, CountryCode, Marking, Pap, Personal, Tlp};
use tocsin_record::observable::{Observable, TYPES, Type};
use tocsin_record::run::Draft;
use tocsin_record::testing::{self, START_MS};
use tocsin_record::{Class, LogKey, Part, Run, Tip, page};
use tocsin_seal::SealingKey;

fn secret() -> Secret {
    testing::secret(42)
}

/// The log that all pages are of.
#[must_use]
pub fn log() -> LogKey {
    testing::log(&secret())
}

/// Whether the log's author signed this record: the ends of the runs that the pages are made of.
#[must_use]
pub fn is_signed(id: RecordId) -> bool {
    static SIGNED: OnceLock<BTreeSet<RecordId>> = OnceLock::new();
    let all = || runs().into_iter().chain(evidence_runs());
    SIGNED.get_or_init(|| all().map(|run| run.tip().id).collect()).contains(&id)
}

/// Headers with their bodies.
#[must_use]
pub fn records() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for run in runs() {
        for entry in run.entries() {
            if let Some(bytes) = entry.body() {
                all.push([entry.header.encode().as_slice(), bytes].concat());
            }
        }
    }
    all
}

/// Pages, compressed and not, whole and with bodies left out.
#[must_use]
pub fn pages() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for mut run in runs() {
        let whole = page::encode(&run);
        all.push(page::pack(&whole));
        all.push(whole);
        for (index, (_, part)) in run.bodies_mut().enumerate() {
            match index % 5 {
                0 => *part = Part::Withheld,
                1 => *part = Part::Ask,
                2 => *part = Part::Gone(3),
                3 => *part = Part::NotHeld,
                _ => {}
            }
        }
        all.push(page::encode(&run));
    }
    all
}

fn runs() -> Vec<Run> {
    let mut all = Vec::new();
    let mut tip = Tip::default();
    for drafts in [drafts(), drafts().into_iter().cycle().take(24).collect(), drafts()] {
        if let Ok(run) = Run::sign(&secret(), log(), tip, drafts) {
            tip = run.tip();
            all.push(run);
        }
    }
    all
}

fn drafts() -> Vec<Draft> {
    bodies()
        .into_iter()
        .zip(START_MS..)
        .filter_map(|(body, time)| {
            body.kind()?;
            Some(Draft {
                expires: if time.is_multiple_of(2) { 0 } else { time + 86_400_000 },
                extension: if time.is_multiple_of(3) { vec![1, 2, 3] } else { vec![] },
                ..testing::draft(&body, time)
            })
        })
        .collect()
}

fn code(kind: u16) -> Code {
    Code { kind, value: Vec::new() }
}

fn marking() -> Marking {
    let countries = [*b"XA", *b"XB"].into_iter().filter_map(CountryCode::new);
    Marking {
        pap: Some(Pap::Amber),
        personal: Personal::Possible,
        purposes: Code::purpose("network-defence").into_iter().collect(),
        legal_basis: Some("Example Act 1".to_owned()),
        retain_until: Some(START_MS + 86_400_000),
        countries: Countries::except(countries),
        police: "B2 H1".parse().ok(),
        exercise: true,
        codes: vec![code(0x1234)],
        ..Marking::new(Tlp::Green)
    }
}

pub(crate) fn bodies() -> Vec<Body> {
    let subject = report::Subject([0x51; 16]);
    let indicators: Vec<report::Indicator> = TYPES
        .iter()
        .filter_map(of_type)
        .zip((0..8).cycle())
        .map(|(what, number)| report::Indicator {
            what,
            kind: code(number),
            confidence: Some(70),
            valid_from: START_MS,
            valid_until: 0,
            id: Some([0x1d; 16]),
            comment: "comment".to_owned(),
        })
        .collect();
    let whole = Report {
        salt: [0xaa; 16],
        subject,
        supersedes: None,
        extent: report::Extent::Whole,
        origin: report::Origin {
            source: Some(report::Source {
                name: "example-feed".to_owned(),
                org: Some(OrgId([4; 32])),
                id: "event-1".to_owned(),
                record: None,
            }),
        },
        marking: Some(Marking::new(Tlp::Green)),
        title: "Title".to_owned(),
        description: "Text".to_owned(),
        created: 1,
        modified: 2,
        labels: vec!["a".to_owned(), "b".to_owned()],
        indicators,
        withdrawn: vec![],
        originals: report::Original::pack(1, b"{\"type\":\"indicator\"}").into_iter().collect(),
        extension: vec![],
    };
    let changes = Report {
        supersedes: Some(RecordId([6; 32])),
        extent: report::Extent::Changes,
        marking: Some(marking()),
        withdrawn: whole.indicators.iter().map(|indicator| indicator.what.clone()).collect(),
        indicators: vec![],
        ..whole.clone()
    };
    let sighting = Sighting {
        salt: [0xbb; 16],
        what: whole.indicators.first().map(|indicator| indicator.what.clone()),
        subject: Some(subject),
        kind: code(1),
        count: 3,
        time: START_MS,
        precision: 60_000,
        destination: whole.indicators.last().map(|indicator| indicator.what.clone()),
        source_port: 443,
        marking: marking(),
        extension: vec![],
    };
    let note = Note {
        salt: [0xcc; 16],
        org: OrgId([4; 32]),
        subject,
        text: "Words".to_owned(),
        marking: Marking::new(Tlp::Clear),
        extension: vec![],
    };
    let retraction = Retraction {
        salt: [0xdd; 16],
        subject,
        versions: vec![retraction::Version {
            author: NodeKey([2; 32]),
            epoch: START_MS,
            seq: 9,
            id: RecordId([8; 32]),
        }],
        reason: 2,
        extension: vec![],
    };
    let carried = |document| Carried { salt: [0x0c; 16], document, extension: vec![] };
    vec![
        Body::Report(whole),
        Body::Report(changes),
        Body::Sighting(sighting),
        Body::Note(note),
        Body::Retraction(retraction),
        Body::Roster(carried(Signed::sign(&roster(), &[&secret()]))),
        Body::Certificate(carried(Signed::sign(&certificate(), &[&secret()]))),
    ]
}

/// Lists of documents: each form alone, and chains.
#[must_use]
pub fn documents() -> Vec<Vec<u8>> {
    let first = charter();
    let known = Signed::sign(&first, &[&secret()]);
    let second = Charter { version: 2, prev: known.hash(), ..first };
    let next = Signed::sign(&second, &[&secret()]);
    let list = Revocations {
        mesh: MeshId([1; 32]),
        version: 1,
        prev: DocHash::ZERO,
        time: START_MS,
        entries: vec![],
        extension: vec![],
    };
    let revoked = Signed::sign(&list, &[&secret()]);
    let roster = Signed::sign(&roster(), &[&secret()]);
    let certificate = Signed::sign(&certificate(), &[&secret()]);
    [vec![], vec![roster], vec![certificate], vec![known.clone(), next], vec![known, revoked]]
        .iter()
        .map(|list| encode_all(list))
        .collect()
}

/// What backups open to.
#[must_use]
pub fn backups() -> Vec<Vec<u8>> {
    let head = || BackupHead {
        mesh: MeshId([1; 32]),
        node: NodeKey([2; 32]),
        org: "cert-aa".to_owned(),
        time: START_MS,
    };
    let of = |files: &[&str], pieces: &[&[u8]]| {
        let mut parts = PartsOut::new(Vec::new(), head()).ok()?;
        files.iter().try_for_each(|name| parts.file((*name).to_owned(), b"text".to_vec())).ok()?;
        pieces.iter().try_for_each(|piece| parts.piece(piece.to_vec())).ok()?;
        parts.finish().ok().map(|(bytes, _)| bytes)
    };
    let some = of(&["config.toml", "keys/record.key"], &[&[0, 1, 2], &[1; 300]]);
    [of(&[], &[]), some].into_iter().flatten().collect()
}

/// For whom the files of [`bundles`] are.
#[must_use]
pub fn bundle_reader() -> (NodeKey, SealingKey) {
    (NodeKey([31; 32]), SealingKey::from_seed(&[31; 32]))
}

/// Files that are carried by hand, and what those open to.
#[must_use]
pub fn bundles() -> Vec<Vec<u8>> {
    static BUNDLES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let made = || {
        let (node, key) = bundle_reader();
        let nodes = [(node, key.public())].into();
        let mut random = ChaCha20Rng::from_seed([5; 32]);
        let mut all = Vec::new();
        for content in [Content::Records(carried()), Content::Frontier(frontier())] {
            let (root, transport) = (testing::secret(43), testing::secret(44));
            let keys = vec![
                testing::key(Purpose::Record, &secret().public()),
                testing::key(Purpose::Transport, &transport.public()),
            ];
            let certificate = testing::certificate(&root, keys);
            let certificate = Signed::sign(&certificate, &[&root, &secret(), &transport]);
            let cover = Cover { mesh: log().mesh, certificate, time: START_MS, to: vec![OrgId([5; 32])] };
            let bundle = Bundle { cover, content };
            all.push(bundle.encode());
            all.extend(seal(&bundle, &secret(), &nodes, &mut random));
        }
        all
    };
    BUNDLES.get_or_init(made).clone()
}

fn carried() -> Records {
    let packed = |run: Run| Packed { log: *run.log(), page: page::pack(&page::encode(&run)) };
    Records {
        documents: vec![Signed::sign(&certificate(), &[&secret()])],
        proposals: vec![vec![1, 2, 3]],
        forks: vec![Fork { log: log(), pages: [vec![1; 40], vec![2; 40]] }],
        runs: runs().into_iter().map(packed).collect(),
        bodies: vec![Late { log: log(), seq: 3, body: vec![7; 100] }],
        receipts: vec![Said { log: log(), receipt: vec![4; 90] }],
        left: 300,
    }
}

fn frontier() -> Frontier {
    let reached = |epoch: u64| Reached {
        log: LogKey { epoch, ..log() },
        height: 70_000,
        id: RecordId([6; 32]),
        state: 0,
        missing: vec![1, 300, 70_000],
    };
    Frontier {
        charter: 2,
        revocations: 0,
        documents: vec![DocHash([1; 32]), DocHash([2; 32])],
        logs: vec![reached(1), reached(2)],
    }
}

/// Files of evidence: records of the whole mesh and of the own circle.
#[must_use]
pub fn evidence() -> Vec<Vec<u8>> {
    let charter = Signed::sign(&charter(), &[&secret()]);
    let certificate = Signed::sign(&certificate(), &[&secret()]);
    let file = |run| {
        let mut evidence = Evidence::new(run, None).ok()?;
        evidence.charters = vec![charter.clone()];
        evidence.certificates = vec![certificate.clone()];
        evidence.encode().ok()
    };
    evidence_runs().into_iter().filter_map(file).collect()
}

fn evidence_runs() -> Vec<Run> {
    let mesh = MeshId(Signed::sign(&charter(), &[]).hash().0);
    let circles = [CircleId::mesh(mesh), CircleId::own(mesh, OrgId(secret().public()))];
    let sign = |circle| {
        let content = drafts().into_iter().filter(|draft| class_of(draft.kind) == Some(Class::Content));
        let log = LogKey { mesh, circle, ..log() };
        Run::sign(&secret(), log, Tip::default(), content.collect()).ok()
    };
    circles.into_iter().filter_map(sign).collect()
}

fn charter() -> Charter {
    testing::charter(vec![testing::steward(&secret(), "cert-a.example")])
}

fn roster() -> Roster {
    testing::roster(vec![OrgId(secret().public())], vec![secret().public()])
}

fn certificate() -> Certificate {
    let key = |purpose| testing::key(purpose, &secret().public());
    testing::certificate(
        &secret(),
        vec![key(Purpose::Record), key(Purpose::Transport), key(Purpose::Steward)],
    )
}

const VALUES: &str = include_str!("../seeds/observable/values.txt");

/// The first text of `seeds/observable` that is a value of this type and of no narrower one.
#[must_use]
pub fn of_type(row: &Type) -> Option<Observable> {
    VALUES.lines().filter_map(|line| row.parse(line).ok()).find(|what| what.kind == row.id)
}

/// Texts of `seeds/observable`, one a line, each under every type.
#[must_use]
pub fn observables() -> Vec<Vec<u8>> {
    VALUES
        .lines()
        .flat_map(|line| (0..TYPES.len()).map(move |row| (row, line)))
        .filter_map(|(row, line)| Some([&[u8::try_from(row).ok()?], line.as_bytes()].concat()))
        .collect()
}

/// One frame of each message, and one of all.
#[must_use]
pub fn frames() -> Vec<Vec<u8>> {
    let name: LogName = log().into();
    let page = runs().first().map(page::encode).unwrap_or_default();
    let signed = Signed::sign(&certificate(), &[&secret()]);
    let proposed =
        Signed::sign(&testing::roster(vec![OrgId([7; 32])], vec![secret().public()]), &[&secret()]);
    let behind = Behind { version: 1, hash: DocHash([9; 32]) };
    let what = RecordAt { log: 1, seq: 2 };
    let push = Push { log: 1, reply: false, page: page.clone() };
    let signature = secret().sign(&[1; 32]);
    let statuses =
        [BodyStatus::Here(vec![1, 2, 3]), BodyStatus::Withheld, BodyStatus::NotHeld, BodyStatus::Gone(3)];
    let all = vec![
        Message::Lobby(Lobby {
            protocol: 1,
            mesh: MeshId([1; 32]),
            certificate: signed.clone(),
            charter: behind,
            revocations: behind,
            extension: vec![],
        }),
        Message::Documents(Documents(vec![signed])),
        Message::Name(1, name),
        Message::DocumentList(DocumentList(vec![DocHash([9; 32])])),
        Message::Hello(Hello { logs: [1; 32], documents: [2; 32] }),
        Message::Buckets(Buckets(vec![[3; 16]; 256])),
        Message::Entries(Entries(vec![EntryOf {
            no: 1,
            log: name,
            base: 1,
            height: 7,
            id: RecordId([6; 32]),
            state: LogState::Forked,
        }])),
        Message::Push(push.clone()),
        Message::Have(vec![Have { log: 1, from: 3, more: 4, age: 5, except: vec![1, 2] }]),
        Message::Graft(1, 3),
        Message::Prune(1),
        Message::Want(Want {
            id: 1,
            ranges: vec![Range { log: 1, from: 1, to: 64, bodies: true }],
            credit: 1 << 20,
        }),
        Message::Credit(65_536),
        Message::Page(Page { want: 1, log: name, last: true, packed: page::pack(&page) }),
        Message::WantBodies(vec![what]),
        Message::Bodies(statuses.into_iter().map(|status| BodyData { what, status }).collect()),
        Message::HaveBodies(vec![what]),
        Message::Holes(vec![what]),
        Message::At(1, 2),
        Message::AtAnswer(AtAnswer { log: 1, seq: 2, id: Some(RecordId([6; 32])) }),
        Message::Fork(Box::new([push.clone(), push])),
        Message::Heads(vec![Head {
            log: 1,
            seq: 7,
            id: RecordId([6; 32]),
            releases: 0,
            time: START_MS,
            signature,
        }]),
        Message::Receipts(vec![Receipt {
            log: 1,
            holder: 2,
            height: 7,
            time: START_MS,
            fates: Fates {
                below: 1,
                runs: vec![(2, Fate::Accepted), (1, Fate::KeptBack), (2, Fate::HeaderOnly), (1, Fate::Gone)],
            },
            signature,
        }]),
        Message::Unnamed(1),
        Message::Proposals(vec![Proposal {
            change: Change::Member(OrgId([7; 32])),
            first: proposed.clone(),
            roster: proposed,
            time: START_MS,
            by: secret().public(),
            signature,
        }]),
    ];
    let mut frames: Vec<Vec<u8>> =
        all.iter().map(|message| message::encode(&vec![message.clone()]).to_vec()).collect();
    frames.push(message::encode(&all).to_vec());
    frames
}
