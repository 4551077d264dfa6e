//! What a certified member can do on purpose, one attack a test: stop a node, fill its memory, shut others out of the mesh,
//! keep them from writing or from being heard. Each of these worked once.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(dead_code, reason = "the other tests use all of it")]
mod world;

use tocsin_protocol::message::head::{head_hash, receipt_hash};
use tocsin_protocol::message::{
    self, BodyRef, Buckets, DocumentList, Documents, Entries, EntryOf, Have, Head, Hello, Lobby, LogName,
    LogState, Message, Page, Push, Range, Receipt, Want,
};
use tocsin_protocol::{Effect, Input, RequestError};
use tocsin_record::body::Body;
use tocsin_record::document::{Carry, Certificate, Revocations, Roster, Signed};
use tocsin_record::keys::Secret;
use tocsin_record::run::{Draft, Part};
use tocsin_record::{CircleId, DocHash, LogKey, NodeKey, OrgId, RecordId, Run, Tip, page};
use tocsin_store::Verdict;
use world::{World, node_certificate, report, secret};

/// The member that turned hostile.
const FOE: u8 = 2;
const OPEN: &str = r#"
@id("accept-all") permit(principal, action == Action::"accept", resource);
@id("fetch-all") permit(principal, action == Action::"fetch", resource);
@id("forward-all") permit(principal, action == Action::"forward", resource);
"#;
/// What one frame of questions may make a node say.
const ANSWER_MAX: usize = 20 << 20;

fn draft(body: &Body, time: u64) -> Draft {
    Draft {
        kind: 32,
        tlp: 1,
        flags: 0,
        time,
        expires: 0,
        roster: 1,
        extension: vec![],
        body: body.encode().into(),
    }
}

fn log_of(world: &World, node: usize, epoch: u64) -> LogKey {
    let author = world.nodes[node].mesh.node();
    LogKey { mesh: world.mesh(), author, circle: CircleId::mesh(world.mesh()), epoch }
}

fn foe_run(world: &World, tip: Tip, drafts: Vec<Draft>) -> (LogKey, Run) {
    let log = log_of(world, FOE.into(), world.now.wall);
    (log, Run::sign(&world.record_secret(FOE), log, tip, drafts).unwrap())
}

/// Bytes that a node sends for one frame of a peer.
fn answered(world: &mut World, node: usize, link: u64, messages: &Vec<Message>) -> usize {
    let frame = message::decode(world.mesh(), &message::encode(messages)).unwrap();
    let effects = world.feed(node, Input::Received { link, frame });
    let len = |effect: &Effect| if let Effect::Send { frame, .. } = effect { frame.len() } else { 0 };
    effects.iter().map(len).sum()
}

/// The large and hardly compressible report of the hostile member, held by node 0.
fn with_large_report(world: &mut World, link: u64) -> LogKey {
    let mut state = 1u64;
    let mut noise = |len: usize| -> String {
        (0..len)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                char::from(b' ' + (state >> 57) as u8 % 90)
            })
            .collect()
    };
    let Body::Report(mut large) = report(90, 1, "198.51.100.90") else { unreachable!() };
    large.originals = (0..10)
        .map(|_| {
            let text = noise(90_000);
            tocsin_record::body::report::Original::pack(4, text.as_bytes()).unwrap()
        })
        .collect();
    let (log, run) = foe_run(world, Tip::default(), vec![draft(&Body::Report(large), world.now.wall)]);
    world.push_from(0, link, &log, &run);
    assert_eq!(world.stored(0, &run.tip().id).unwrap().stamped.outcome.verdict, Verdict::Accepted);
    log
}

/// What a node wrote to a log, as one run.
fn written(world: &World, node: usize, log: &LogKey) -> Run {
    let reader = world.nodes[node].mesh.reader();
    let no = reader.log_no(log).unwrap();
    let wire = reader.runs(no, 1, usize::MAX, &mut tocsin_store::Bodies::All).unwrap();
    let runs = wire.iter().map(|run| page::decode(*log, &page::unpack(&run.packed).unwrap()).unwrap());
    runs.reduce(|all, run| all.join(run).unwrap()).unwrap()
}

#[test]
fn that_a_body_is_gone_is_taken_from_its_author_alone() {
    let mut world = World::new(4, OPEN);
    let id = world.publish(1, report(1, 1, "192.0.2.1"));
    let log = world.nodes[1].mesh.reader().logs()[0].key;
    let mut lie = written(&world, 1, &log);
    for (_, part) in lie.bodies_mut() {
        *part = Part::Gone(1);
    }
    let link = world.strange_link(0, FOE);
    world.push_from(0, link, &log, &lie);
    world.connect(0, 1);
    world.connect(0, 3);
    world.settle();
    assert_eq!((world.lookup(0, "192.0.2.1"), world.lookup(3, "192.0.2.1")), (1, 1));
    // Nor can a retraction be talked away.
    world.disconnect(0, 1);
    let subject = tocsin_record::body::report::Subject([1; 16]);
    world.request(1, |ticket| Input::Retract { ticket, subject, reason: 1 }).unwrap();
    let mut lie = written(&world, 1, &log).after(1).unwrap();
    for (_, part) in lie.bodies_mut() {
        *part = Part::Gone(7);
    }
    world.push_from(0, link, &log, &lie);
    world.connect(0, 1);
    world.settle();
    for node in [0, 3] {
        assert!(world.stored(node, &id).unwrap().entry.body().is_none(), "node {node}");
    }
    // Who comes late hears of both, waits for neither, and is complete.
    world.connect(3, usize::from(FOE));
    world.settle();
    let late = world.nodes[usize::from(FOE)].mesh.status();
    let author = late.orgs.iter().find(|org| org.name == "org1").unwrap();
    assert_eq!((author.missing_headers, author.missing_bodies), (0, 0));
    let reader = world.nodes[usize::from(FOE)].mesh.reader();
    assert_eq!((reader.counts().records, reader.counts().gone), (2, 1));
}

#[test]
fn originals_that_swell_are_not_read() {
    let mut world = World::new(3, OPEN);
    let link = world.strange_link(0, FOE);
    let Body::Report(mut small) = report(91, 1, "198.51.100.91") else { unreachable!() };
    // Two gigabytes in a body of some kilobytes, had anybody looked for a TLP in them.
    let format = 4;
    let full = 16 << 20;
    let bomb = zstd_of_zeros(full);
    small.originals = vec![tocsin_record::body::report::Original { format, full, data: bomb }; 128];
    let (log, run) = foe_run(&world, Tip::default(), vec![draft(&Body::Report(small), world.now.wall)]);
    world.push_from(0, link, &log, &run);
    let outcome = world.stored(0, &run.tip().id).unwrap().stamped.outcome;
    let rule = world.nodes[0].mesh.reader().rule(outcome.rule).unwrap();
    assert_eq!((outcome.verdict, rule.as_str()), (Verdict::Refused, "guardrail:malformed"));
}

/// A frame of RLE blocks (RFC 8878), four bytes for 128 KiB.
fn zstd_of_zeros(full: u32) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0b1010_0000];
    frame.extend_from_slice(&full.to_le_bytes());
    let blocks = full >> 17;
    for block in 1..=blocks {
        let header = (1 << 17) << 3 | 1 << 1 | u32::from(block == blocks);
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

#[test]
fn a_frame_of_zeros_is_one() {
    let found = tocsin_record::codec::inflate(&zstd_of_zeros(1 << 20), 1 << 20, 1 << 20).unwrap();
    assert!(found.len() == 1 << 20 && found.iter().all(|byte| *byte == 0));
}

#[test]
fn an_author_whose_time_falls_stops_nobody() {
    let mut world = World::new(3, OPEN);
    let link = world.strange_link(0, FOE);
    let (log, first) =
        foe_run(&world, Tip::default(), vec![draft(&report(1, 1, "192.0.2.1"), world.now.wall)]);
    world.push_from(0, link, &log, &first);
    // `Run::sign` keeps an honest author from it, so the tip is given another time.
    let before = Tip { time: 0, ..first.tip() };
    let (_, falls) =
        foe_run(&world, before, vec![draft(&report(2, 1, "192.0.2.2"), world.now.wall - 60_000)]);
    world.push_from(0, link, &log, &falls);
    assert!(world.closed(0, link), "a run that breaks the log's rules is its sender's fault");
    assert!(world.stored(0, &falls.tip().id).is_none());
    world.publish(0, report(3, 1, "192.0.2.3"));
}

#[test]
fn one_frame_of_questions_has_no_gigabytes_of_answers() {
    let mut world = World::new(3, OPEN);
    let link = world.strange_link(0, FOE);
    let log = with_large_report(&mut world, link);
    world.pass(60_000);
    let all = Range { log: 0, from: 1, to: u64::MAX, bodies: true };
    let questions: Vec<(&str, Message)> = vec![
        ("want", Message::Want(Want { id: 1, ranges: vec![all; 8], credit: u32::MAX })),
        ("credit", Message::Credit(u32::MAX)),
        ("bodies", Message::WantBodies(vec![BodyRef { log: 0, seq: 1 }; 100])),
        ("graft", Message::Graft(0, 1)),
        ("documents", Message::DocumentList(DocumentList(vec![]))),
        ("hello", Message::Hello(Hello { logs: [1; 32], documents: [1; 32] })),
        ("at", Message::At(0, 1)),
        ("unnamed", Message::Unnamed(0)),
    ];
    for (name, question) in questions {
        let mut messages = vec![Message::Name(0, log.into())];
        messages.extend((0..4000).map(|_| question.clone()));
        let sent = answered(&mut world, 0, link, &messages);
        assert!(sent <= ANSWER_MAX, "{name}: {} KiB for one frame", sent >> 10);
        world.pass(10_000);
    }
    let buckets = (0..400).map(|_| Message::Buckets(Buckets(vec![[1; 16]; 256]))).collect();
    let sent = answered(&mut world, 0, link, &buckets);
    assert!(sent <= ANSWER_MAX, "buckets: {} KiB for one frame", sent >> 10);
    // A member that asks again in good order is served.
    world.pass(60_000);
    let want = vec![Message::Want(Want { id: 9, ranges: vec![all], credit: 2 << 20 })];
    assert!(answered(&mut world, 0, link, &want) > 500_000);
}

#[test]
fn a_want_that_had_to_wait_is_served_in_the_end() {
    let mut world = World::new(3, OPEN);
    let link = world.strange_link(0, FOE);
    let log = with_large_report(&mut world, link);
    let all = Range { log: 0, from: 1, to: u64::MAX, bodies: true };
    let mut messages = vec![Message::Name(0, log.into())];
    messages.extend((0..4000).map(|_| Message::WantBodies(vec![BodyRef { log: 0, seq: 1 }; 10])));
    messages.push(Message::Want(Want { id: 7, ranges: vec![all], credit: 2 << 20 }));
    answered(&mut world, 0, link, &messages);
    let mut pages = 0;
    for _ in 0..400 {
        world.now.mono += 50;
        world.now.wall += 50;
        for effect in world.feed(0, Input::Tick) {
            if let Effect::Send { frame, .. } = effect {
                let said = message::decode(world.mesh(), &frame).unwrap();
                pages += said
                    .messages
                    .iter()
                    .filter(|m| matches!(m, Message::Page(page) if page.want == 7))
                    .count();
            }
        }
    }
    assert!(pages >= 1);
}

#[test]
fn a_stranger_is_told_nothing_and_once_is_enough() {
    let mut world = World::new(3, OPEN);
    // Anybody who connects is told the mesh's id, and can make a root and a certificate for it.
    let [root, record, transport] =
        [200, 201, 202].map(|seed| tocsin_record::keys::Secret::from_seed(&[seed; 32]));
    let certificate =
        Signed::sign(&node_certificate(&root, &record, &transport), &[&root, &record, &transport]);
    let list = Revocations {
        mesh: world.mesh(),
        version: 1,
        prev: DocHash::ZERO,
        time: 0,
        entries: vec![],
        extension: vec![1; 10_000],
    };
    let documents = vec![Signed::sign(&list, &[&secret(0, 0, 0)])];
    world.request(0, |ticket| Input::Documents { ticket, documents }).unwrap();
    // It claims a charter that is still to come, so that it is waited for.
    let lobby = Lobby {
        protocol: 1,
        mesh: world.mesh(),
        certificate,
        charter: message::Behind { version: 9, hash: DocHash::ZERO },
        revocations: message::Behind::default(),
        extension: vec![],
    };
    let link = 77_000;
    world.feed(0, Input::LinkUp { link, peer: transport.public() });
    let frame =
        message::decode(world.mesh(), &message::encode(&vec![Message::Lobby(lobby.clone())])).unwrap();
    for effect in world.feed(0, Input::Received { link, frame }) {
        if let Effect::Send { frame, .. } = effect {
            let told = message::decode(world.mesh(), &frame).unwrap().messages;
            assert!(!told.iter().any(|m| matches!(m, Message::Documents(_))), "a stranger got documents");
        }
    }
    // A member that is behind gets it, once.
    let honest = message::decode(world.mesh(), &world.lobby_of(1, [0; 32])).unwrap();
    let [Message::Lobby(lobby)] = honest.messages.as_slice() else { panic!() };
    let behind = Lobby {
        charter: message::Behind { version: 9, hash: DocHash::ZERO },
        revocations: message::Behind::default(),
        ..lobby.clone()
    };
    let link = 78_000;
    let key = world.transport(1);
    world.feed(0, Input::LinkUp { link, peer: key });
    let once = answered(&mut world, 0, link, &vec![Message::Lobby(behind.clone())]);
    assert!(once > 300, "{once}");
    world.feed(0, Input::LinkDown { link });
    world.feed(0, Input::LinkUp { link, peer: key });
    let messages: Vec<Message> = (0..1000).map(|_| Message::Lobby(behind.clone())).collect();
    let often = answered(&mut world, 0, link, &messages);
    assert!(often < 5 * once, "{often}");
}

fn foe_roster(world: &World, nonce: [u8; 32], extension: Vec<u8>) -> Roster {
    Roster {
        mesh: world.mesh(),
        version: 1,
        prev: DocHash::ZERO,
        nonce,
        name: "pals".into(),
        time: 0,
        expires: 0,
        carry: Carry::Members,
        orgs: vec![],
        carriers: vec![],
        stewards: vec![secret(1, FOE, 0).public()],
        cuts: vec![],
        extension,
    }
}

fn say_documents(world: &mut World, link: u64, documents: Vec<Signed>) {
    world.receive(0, link, message::encode(&vec![Message::Documents(Documents(documents))]));
}

#[test]
fn documents_without_end_are_not_kept() {
    let mut world = World::new(3, OPEN);
    let link = world.strange_link(0, FOE);
    let signer = secret(1, FOE, 0);
    for n in 0..40u8 {
        let roster = Signed::sign(&foe_roster(&world, [n; 32], vec![n; 900_000]), &[&signer]);
        say_documents(&mut world, link, vec![roster]);
    }
    // One circle, version after version.
    let mut roster = foe_roster(&world, [99; 32], vec![]);
    let mut signed = Signed::sign(&roster, &[&signer]);
    say_documents(&mut world, link, vec![signed.clone()]);
    for _ in 0..40 {
        roster = Roster {
            version: roster.version + 1,
            prev: signed.hash(),
            extension: vec![1; 900_000],
            ..roster
        };
        signed = Signed::sign(&roster, &[&signer]);
        say_documents(&mut world, link, vec![signed.clone()]);
    }
    // Its own certificate, over and over.
    let keys = [secret(0, FOE, 0), signer, secret(2, FOE, 0)];
    for version in 2..2_000 {
        let certificate = node_certificate(&keys[0], &keys[1], &keys[2]);
        let certificate = Certificate { version, ..certificate };
        say_documents(&mut world, link, vec![Signed::sign(&certificate, &[&keys[0], &keys[1], &keys[2]])]);
    }
    let directory = world.nodes[0].mesh.directory();
    let kept: usize = directory.all().iter().map(|signed| signed.bytes.len()).sum();
    assert!(kept < 3 << 20, "{} KiB of one member's documents", kept >> 10);
    let version = directory.certificate(world.nodes[FOE as usize].mesh.node()).unwrap().version;
    assert!(version < 200, "every node was made to keep and pass on {version} versions");
    // Others are still heard.
    let other = secret(1, 1, 0);
    let honest = Roster { stewards: vec![other.public()], ..foe_roster(&world, [250; 32], vec![]) };
    let honest = Signed::sign(&honest, &[&other]);
    let circle = CircleId(honest.hash().0);
    say_documents(&mut world, link, vec![honest]);
    assert!(world.nodes[0].mesh.directory().roster(circle).is_some());
}

#[test]
fn nobody_uses_up_anothers_changes() {
    let mut world = World::new(4, OPEN);
    let root = secret(0, 1, 0);
    let [record, transport] = [220, 221].map(|seed| Secret::from_seed(&[seed; 32]));
    let base = node_certificate(&root, &record, &transport);
    let circle = |n: u8, stewards: &[[u8; 32]]| {
        let mut stewards = stewards.to_vec();
        stewards.sort_unstable();
        Roster { stewards, ..foe_roster(&world, [n; 32], vec![]) }
    };
    let other = secret(1, 1, 0);
    let mut forged: Vec<Signed> =
        (1..160).map(|version| Signed::sign(&Certificate { version, ..base.clone() }, &[])).collect();
    forged.extend((0..160).map(|n| Signed::sign(&circle(n, &[other.public()]), &[])));
    // Valid, by two stewards of the hostile member against the one whom they name.
    let mine = [secret(1, FOE, 0), secret(1, 3, 0)];
    let named = [other.public(), mine[0].public(), mine[1].public()];
    forged.extend((0..160).map(|n| Signed::sign(&circle(n, &named), &[&mine[0], &mine[1]])));
    let certificate = Signed::sign(&base, &[&root, &record, &transport]);
    let honest = Signed::sign(&circle(250, &[other.public()]), &[&other]);
    let link = world.strange_link(0, FOE);
    for some in forged.chunks(16) {
        say_documents(&mut world, link, some.to_vec());
        world.pass(100);
    }
    let id = CircleId(honest.hash().0);
    let link = world.strange_link(0, 3);
    say_documents(&mut world, link, vec![certificate, honest]);
    let directory = world.nodes[0].mesh.directory();
    assert!(directory.certificate(NodeKey(record.public())).is_some(), "its node is shut out");
    assert!(directory.roster(id).is_some(), "its circle is not heard of");
}

#[test]
fn documents_that_do_not_count_are_paid_for() {
    let mut world = World::new(3, OPEN);
    let link = world.strange_link(0, FOE);
    let stranger = Secret::from_seed(&[230; 32]);
    let name = Message::Name(0, log_of(&world, FOE.into(), world.now.wall).into());
    world.receive(0, link, message::encode(&vec![name]));
    let at = vec![Message::At(0, 1)];
    assert!(answered(&mut world, 0, link, &at) > 0);
    for n in 0..=u8::MAX {
        let lies =
            (0..16u8).map(|m| Signed::sign(&foe_roster(&world, [n; 32], vec![m]), &[&stranger])).collect();
        say_documents(&mut world, link, lies);
    }
    assert_eq!(answered(&mut world, 0, link, &at), 0, "its lies cost it nothing");
    world.pass(5_000);
    assert!(answered(&mut world, 0, link, &at) > 0);
}

/// Keys that no org certifies cannot go on for ever with what a member handed them.
#[test]
fn a_circle_handed_to_strangers_is_still_charged() {
    let mut world = World::new(3, OPEN);
    let link = world.strange_link(0, FOE);
    let (signer, stranger) = (secret(1, FOE, 0), Secret::from_seed(&[230; 32]));
    let mut roster = foe_roster(&world, [1; 32], vec![]);
    let mut signed = Signed::sign(&roster, &[&signer]);
    let circle = CircleId(signed.hash().0);
    say_documents(&mut world, link, vec![signed.clone()]);
    for version in 2..400 {
        let by: &[&Secret] = if version == 2 { &[&signer, &stranger] } else { &[&stranger] };
        roster = Roster { version, prev: signed.hash(), stewards: vec![stranger.public()], ..roster };
        signed = Signed::sign(&roster, by);
        say_documents(&mut world, link, vec![signed.clone()]);
    }
    let version = world.nodes[0].mesh.directory().roster(circle).unwrap().version;
    assert!((100..200).contains(&version), "{version}");
}

#[test]
fn a_nonce_is_no_claim_on_a_circle() {
    let mut world = World::new(3, OPEN);
    let link = world.strange_link(0, FOE);
    let other = secret(1, 1, 0);
    let first = Roster { stewards: vec![other.public()], ..foe_roster(&world, [250; 32], vec![]) };
    let signed = Signed::sign(&first, &[&other]);
    let circle = CircleId(signed.hash().0);
    say_documents(&mut world, link, vec![signed.clone()]);
    // A circle of the foe's with the same nonce, whose id sorts before.
    let squat = (0u32..)
        .map(|n| {
            Signed::sign(&foe_roster(&world, [250; 32], n.to_be_bytes().to_vec()), &[&secret(1, FOE, 0)])
        })
        .find(|squat| squat.hash() < signed.hash())
        .unwrap();
    say_documents(&mut world, link, vec![squat]);
    let second = Roster { version: 2, prev: signed.hash(), ..first };
    say_documents(&mut world, link, vec![Signed::sign(&second, &[&other])]);
    assert_eq!(world.nodes[0].mesh.directory().roster(circle).unwrap().version, 2);
}

#[test]
fn nobody_can_certify_anothers_keys() {
    let mut world = World::new(3, OPEN);
    let link = world.strange_link(0, FOE);
    // A partner that is about to join: its transport key is in the charter's addresses, its record key in its card.
    let [record, transport] = [210, 211].map(|seed| tocsin_record::keys::Secret::from_seed(&[seed; 32]));
    let root = secret(0, FOE, 0);
    let own = secret(2, FOE, 0);
    let claims =
        [node_certificate(&root, &record, &own), node_certificate(&root, &secret(1, FOE, 0), &transport)];
    for claim in claims {
        let claim = Certificate { version: 5, ..claim };
        say_documents(&mut world, link, vec![Signed::sign(&claim, &[&root, &own, &secret(1, FOE, 0)])]);
    }
    let rightful = secret(0, 1, 0);
    let certificate = node_certificate(&rightful, &record, &transport);
    say_documents(&mut world, link, vec![Signed::sign(&certificate, &[&rightful, &record, &transport])]);
    let directory = world.nodes[0].mesh.directory();
    let node = NodeKey(record.public());
    assert_eq!(directory.org_of(node), Some(OrgId(rightful.public())));
    assert_eq!(directory.node_by_transport(&transport.public()), Some(node));
}

#[test]
fn nobody_is_talked_out_of_writing() {
    let mut world = World::new(3, OPEN);
    let link = world.strange_link(0, FOE);
    for n in 0..40u32 {
        let address = format!("192.0.2.{n}");
        let circle = CircleId::mesh(world.mesh());
        let done = world.request(0, |ticket| Input::Publish {
            ticket,
            circle,
            bodies: vec![report(n, 1, &address)],
        });
        assert!(!matches!(done, Err(RequestError::Epochs(_))), "after {n} lies: {done:?}");
        let own = world.nodes[0].mesh.node();
        let logs = world.nodes[0].mesh.reader().logs();
        let mine = logs.iter().filter(|info| info.key.author == own).map(|info| info.key);
        let claim = |(no, log): (u32, LogName)| EntryOf {
            no,
            log,
            base: 1,
            height: 1 << 40,
            id: RecordId([9; 32]),
            state: LogState::Open,
        };
        // Of the logs that there are, and of one from the future that there never was.
        let future = LogName { epoch: world.now.wall + 590_000, ..log_of(&world, 0, 0).into() };
        let names = mine.map(LogName::from).chain([future]);
        let entries = (n * 100..).zip(names).map(claim).collect();
        world.receive(0, link, message::encode(&vec![Message::Entries(Entries(entries))]));
        world.pass(1_000);
    }
    // And what it says of itself is still true: its heads speak of the log that it writes to.
    world.connect(0, 1);
    world.settle();
    world.pass(400_000);
    let logs = world.nodes[1].mesh.status().logs;
    let own = world.nodes[0].mesh.node();
    let written = logs.iter().filter(|log| log.key.author == own && log.height > 0);
    let newest = written.max_by_key(|log| log.key.epoch).unwrap();
    assert!(newest.head.is_some());
}

#[test]
fn a_peer_that_gives_nothing_does_not_keep_a_log() {
    let mut world = World::new(3, OPEN);
    for n in 0..300u32 {
        world.publish(1, report(n, 1, &format!("192.0.2.{}", n % 250)));
    }
    let foe = world.strange_link(0, FOE);
    let log = world.nodes[1].mesh.reader().logs()[0].key;
    let told = |no: u32| EntryOf {
        no,
        log: log.into(),
        base: 1,
        height: 5000,
        id: RecordId([9; 32]),
        state: LogState::Open,
    };
    let first = message::encode(&vec![Message::Entries(Entries(vec![told(1)]))]);
    world.receive(0, foe, first.clone());
    world.connect(0, 1);
    for want in 1..60 {
        world.pass(1_000);
        // It is asked, and answers with nothing, in time, for ever.
        for id in 1..want + 8 {
            let page = Page { want: id, log: log.into(), last: false, packed: vec![] };
            world.receive(0, foe, message::encode(&vec![Message::Page(page)]));
        }
        world.receive(0, foe, first.clone());
    }
    let height = world.nodes[0].mesh.reader().logs().iter().find(|info| info.key == log).unwrap().tip.seq;
    assert_eq!(height, 300, "a third party was not heard any more");
}

#[test]
fn a_frame_holds_one_page() {
    let world = World::new(3, OPEN);
    let (log, run) = foe_run(&world, Tip::default(), vec![draft(&report(1, 1, "192.0.2.1"), world.now.wall)]);
    let packed = page::pack(&page::encode(&run));
    let page = Message::Page(Page { want: 1, log: log.into(), last: true, packed });
    assert!(message::decode(world.mesh(), &message::encode(&vec![page.clone()])).is_ok());
    assert!(message::decode(world.mesh(), &message::encode(&vec![page; 2])).is_err());
}

#[test]
fn what_can_be_pushed_can_be_passed_on() {
    let mut world = World::new(3, OPEN);
    let link = world.strange_link(0, FOE);
    // A page as long as a frame can hold, of noise.
    let mut state = 7u64;
    let mut noise = |len: usize| -> Vec<u8> {
        (0..len)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect()
    };
    // What is newer than a node is carried by it, whatever it is.
    let mut body = |len: usize| {
        let Body::Report(mut newer) = report(1, 1, "192.0.2.1") else { unreachable!() };
        newer.extension = noise(len - 200);
        draft(&Body::Report(newer), world.now.wall)
    };
    let mut drafts: Vec<Draft> = (0..8).map(|_| body((1 << 20) - 2_000)).collect();
    drafts.push(body(10_000));
    let log = log_of(&world, FOE.into(), world.now.wall);
    let sign = |drafts: &[Draft]| {
        Run::sign(&secret(1, FOE, 0), log, Tip::default(), drafts.iter().map(copy).collect()).unwrap()
    };
    let over = page::encode(&sign(&drafts)).len() as i64 - (page::PAGE_MAX as i64 - 140);
    drafts[8] = body((10_000 - over) as usize);
    let run = sign(&drafts);
    assert_eq!(page::encode(&run).len(), page::PAGE_MAX - 140);
    world.push_from(0, link, &log, &run);
    assert!(world.stored(0, &run.tip().id).unwrap().entry.body().is_some());
    // `settle` fails on a frame that does not decode at its receiver.
    world.connect(0, 1);
    world.settle();
    assert!(world.stored(1, &run.tip().id).unwrap().entry.body().is_some());
}

fn copy(draft: &Draft) -> Draft {
    Draft { body: draft.body.clone(), extension: draft.extension.clone(), ..*draft }
}

#[test]
fn judging_anew_comes_to_its_end_under_fire() {
    let mut world = World::new(3, OPEN);
    let circle = CircleId::mesh(world.mesh());
    let bodies: Vec<Body> =
        (0..3000u32).map(|n| report(n, 1, &format!("10.1.{}.{}", n / 200, n % 200))).collect();
    world.request(1, |ticket| Input::Publish { ticket, circle, bodies }).unwrap();
    world.connect(0, 1);
    world.settle();
    assert_eq!(world.lookup(0, "10.1.14.150"), 1);
    let link = world.strange_link(0, FOE);
    // Records from the near future: each is judged anew when its time has come, one every few ms.
    let ahead: Vec<Draft> = (0..60)
        .map(|n| draft(&report(n, 1, "192.0.2.9"), world.now.wall + 600_001 + u64::from(n) * 50))
        .collect();
    let (log, run) = foe_run(&world, Tip::default(), ahead);
    world.push_from(0, link, &log, &run);
    world.pass(30_000);
    let (log, run) = {
        let time = world.now.wall;
        let ahead =
            (0..64).map(|n| draft(&report(n, 1, "192.0.2.9"), time + 600_001 + u64::from(n) * 50)).collect();
        foe_run(&world, Tip::default(), ahead)
    };
    let link = world.strange_link(0, FOE);
    world.push_from(0, link, &log, &run);
    assert!(world.stored(0, &run.tip().id).is_some());
    world.policy(0, r#"@id("accept-none") permit(principal, action == Action::"fetch", resource);"#);
    let mut ticks = 0;
    while world.nodes[0].mesh.is_busy() && ticks < 60 {
        world.pass(50);
        ticks += 1;
    }
    // 3,064 records, 512 a tick: with a walk over the held ones behind it about thirty ticks.
    assert_eq!(world.lookup(0, "10.1.14.150"), 0, "the new policy was not in force after {ticks} ticks");
}

/// Two signed continuations of the hostile member's log from its first record on, as long as their headers can make them.
fn long_fork(world: &World) -> (LogKey, [Run; 2]) {
    let log = log_of(world, FOE.into(), world.now.wall);
    let branch = |seed: u8| {
        let mut tip = Tip::default();
        let mut all: Option<Run> = None;
        for part in 0..16u32 {
            let drafts = (0..64u32)
                .map(|n| {
                    let mut extension = vec![seed; 256];
                    extension[..4].copy_from_slice(&(part * 64 + n).to_be_bytes());
                    Draft { extension, ..draft(&report(n, 1, "192.0.2.9"), world.now.wall) }
                })
                .collect();
            let run = Run::sign(&world.record_secret(FOE), log, tip, drafts).unwrap();
            tip = run.tip();
            all = Some(match all {
                None => run,
                Some(before) => before.join(run).unwrap(),
            });
        }
        let mut run = all.unwrap();
        for (_, part) in run.bodies_mut() {
            *part = Part::NotHeld;
        }
        run
    };
    (log, [branch(1), branch(2)])
}

#[test]
fn a_fork_proof_is_told_once_and_again_with_the_next_comparison() {
    let mut world = World::new(4, OPEN);
    let link = world.strange_link(0, FOE);
    let (log, branches) = long_fork(&world);
    let push = |run: &Run| Push { log: 0, reply: true, page: page::encode(run) };
    let proof = Message::Fork(Box::new([push(&branches[0]), push(&branches[1])]));
    let length = message::encode(&vec![proof.clone()]).len();
    world.receive(0, link, message::encode(&vec![Message::Name(0, log.into()), proof]));
    assert!(!world.closed(0, link));
    let other = world.strange_link(0, 1);
    let entry =
        EntryOf { no: 0, log: log.into(), base: 1, height: 0, id: RecordId([9; 32]), state: LogState::Open };
    let ask = vec![Message::Entries(Entries(vec![entry; 500]))];
    let sent = answered(&mut world, 0, other, &ask);
    assert!(
        sent >= length / 2 && sent < 2 * length,
        "{} KiB for a proof of {} KiB",
        sent >> 10,
        length >> 10
    );
    assert!(answered(&mut world, 0, other, &ask) < 1024);
    // Two nodes that compare anew may have lost it.
    world.pass(70_000);
    assert!(answered(&mut world, 0, other, &ask) >= length / 2);
}

/// Bytes of an answer that costs little, to see whether a link may still ask.
fn may_ask(world: &mut World, link: u64) -> bool {
    answered(world, 0, link, &vec![Message::At(0, 1)]) > 0
}

#[test]
fn what_makes_a_node_read_is_paid_for() {
    let mut world = World::new(3, OPEN);
    let circle = CircleId::mesh(world.mesh());
    let bodies: Vec<Body> =
        (0..2000u32).map(|n| report(n, 1, &format!("10.1.{}.{}", n / 200, n % 200))).collect();
    world.request(1, |ticket| Input::Publish { ticket, circle, bodies }).unwrap();
    world.connect(0, 1);
    world.settle();
    let log = world.nodes[1].mesh.reader().logs()[0].key;
    let link = world.strange_link(0, FOE);
    // Records of the hostile member whose bodies it does not give.
    let foe_log = log_of(&world, FOE.into(), world.now.wall);
    let mut tip = Tip::default();
    let mut withheld = Vec::new();
    for _ in 0..16u32 {
        let drafts = (0..64).map(|n| draft(&report(n, 1, "192.0.2.9"), world.now.wall)).collect();
        let mut run = Run::sign(&world.record_secret(FOE), foe_log, tip, drafts).unwrap();
        tip = run.tip();
        for (_, part) in run.bodies_mut() {
            *part = Part::NotHeld;
        }
        withheld.push(run);
    }
    let names = vec![Message::Name(0, log.into()), Message::Name(1, foe_log.into())];
    world.receive(0, link, message::encode(&names));
    for run in &withheld {
        let push = Push { log: 1, reply: true, page: page::encode(run) };
        world.receive(0, link, message::encode(&vec![Message::Push(push)]));
    }
    let entry = |seq: u64| EntryOf {
        no: 0,
        log: log.into(),
        base: 1,
        height: seq,
        id: RecordId([9; 32]),
        state: LogState::Open,
    };
    let copy = Message::Push(Push { log: 1, reply: true, page: page::encode(&withheld[0]) });
    let have = Have { log: 1, from: 1, more: u32::MAX, age: 0, except: vec![] };
    let attacks: Vec<(&str, Vec<Message>)> = vec![
        ("entries", (1..=400).map(|seq| Message::Entries(Entries(vec![entry(seq)]))).collect()),
        ("copies", vec![copy; 400]),
        ("announcements", vec![Message::Have(vec![have; 1000])]),
    ];
    for (name, messages) in attacks {
        world.pass(10_000);
        assert!(may_ask(&mut world, link), "{name}");
        world.receive(0, link, message::encode(&messages));
        assert!(!may_ask(&mut world, link), "{name} cost nothing");
        assert!(!world.closed(0, link), "{name}");
    }
    world.pass(10_000);
    assert!(may_ask(&mut world, link));
    // An author that said two things is not heard any more, whatever it goes on to say.
    let (forked, branches) = long_fork(&world);
    assert_ne!(forked, foe_log);
    let page_of = |run: &Run| Push { log: 2, reply: true, page: page::encode(run) };
    let proof = Message::Fork(Box::new([page_of(&branches[0]), page_of(&branches[1])]));
    world.receive(0, link, message::encode(&vec![Message::Name(2, forked.into()), proof]));
    for _ in 0..600 {
        world.receive(0, link, message::encode(&vec![Message::Push(page_of(&branches[0]))]));
    }
    assert!(world.closed(0, link), "pages without end, each read and none taken");
}

#[test]
fn no_org_moves_the_clock_of_the_others() {
    let mut world = World::new(6, OPEN);
    world.connect_all();
    let link = world.strange_link(0, FOE);
    let root = secret(0, FOE, 0);
    let circle = CircleId::mesh(world.mesh());
    let time = world.now.wall - 700_000;
    let (mut documents, mut names, mut heads) = (vec![], vec![], vec![]);
    for n in 0..20u8 {
        let [record, transport] = [100 + n, 130 + n].map(|seed| Secret::from_seed(&[seed; 32]));
        let certificate = node_certificate(&root, &record, &transport);
        documents.push(Signed::sign(&certificate, &[&root, &record, &transport]));
        let node = NodeKey(record.public());
        let no = u32::from(n);
        names.push(Message::Name(no, LogName { author: node, circle, epoch: 0 }));
        let id = RecordId::ZERO;
        let hash = head_hash(&world.mesh(), &node, &circle, 0, 0, &id, 0, time);
        heads.push(Head { log: no, seq: 0, id, releases: 0, time, signature: record.sign(&hash) });
    }
    for some in documents.chunks(16) {
        say_documents(&mut world, link, some.to_vec());
    }
    names.push(Message::Heads(heads));
    world.receive(0, link, message::encode(&names));
    world.pass(1_000);
    for node in [0, 1, 3, 4, 5] {
        let bodies = vec![report(7, 1, "192.0.2.7")];
        let done = world.request(node, |ticket| Input::Publish { ticket, circle, bodies });
        assert!(done.is_ok(), "node {node}: {done:?}");
    }
}

#[test]
fn nodes_that_are_long_gone_say_nothing_of_the_time() {
    let mut world = World::new(6, OPEN);
    let link = world.strange_link(0, 1);
    let circle = CircleId::mesh(world.mesh());
    let mut messages = vec![];
    // A partner hands on what four others said yesterday.
    for no in 0..4u32 {
        let node = world.nodes[2 + no as usize].mesh.node();
        let (id, time) = (RecordId::ZERO, world.now.wall - 86_400_000);
        messages.push(Message::Name(no, LogName { author: node, circle, epoch: 0 }));
        let hash = head_hash(&world.mesh(), &node, &circle, 0, 0, &id, 0, time);
        let signature = secret(1, 2 + no as u8, 0).sign(&hash);
        messages.push(Message::Heads(vec![Head { log: no, seq: 0, id, releases: 0, time, signature }]));
    }
    let node = world.nodes[1].mesh.node();
    let (id, time) = (RecordId::ZERO, world.now.wall);
    messages.push(Message::Name(9, LogName { author: node, circle, epoch: 0 }));
    let hash = head_hash(&world.mesh(), &node, &circle, 0, 0, &id, 0, time);
    let signature = secret(1, 1, 0).sign(&hash);
    messages.push(Message::Heads(vec![Head { log: 9, seq: 0, id, releases: 0, time, signature }]));
    world.receive(0, link, message::encode(&messages));
    world.publish(0, report(1, 1, "192.0.2.1"));
}

#[test]
fn a_record_from_the_future_keeps_nobody_from_writing() {
    let mut world = World::new(3, OPEN);
    let link = world.strange_link(0, FOE);
    let time = world.now.wall + 50 * 365 * 86_400_000;
    let (log, run) = foe_run(&world, Tip::default(), vec![draft(&report(1, 1, "192.0.2.1"), time)]);
    world.push_from(0, link, &log, &run);
    assert!(world.stored(0, &run.tip().id).is_some());
    world.feed(0, Input::LinkDown { link });
    let own = CircleId::own(world.mesh(), world.nodes[0].mesh.org());
    let publish = |world: &mut World, n: u32| {
        let bodies = vec![report(n, 1, "192.0.2.2")];
        world.request(0, |ticket| Input::Publish { ticket, circle: own, bodies })
    };
    assert!(publish(&mut world, 2).is_ok());
    // Its own word still counts: a clock that was set back is not written by.
    world.now.wall -= 700_000;
    assert!(matches!(publish(&mut world, 3), Err(RequestError::Clock(_))));
}

#[test]
fn what_waits_counts_as_it_lies_in_memory() {
    let mut world = World::new(3, OPEN);
    let link = world.strange_link(0, FOE);
    let mut epoch = world.now.wall;
    let mut reached = |world: &mut World, parts: u32| {
        epoch += 1;
        let log = log_of(world, FOE.into(), epoch);
        let secret = world.record_secret(FOE);
        let first = draft(&report(1, 1, "192.0.2.1"), world.now.wall);
        let first = Run::sign(&secret, log, Tip::default(), vec![first]).unwrap();
        let mut tip = first.tip();
        let mut all: Option<Run> = None;
        for _ in 0..parts {
            let empty = || Draft { body: vec![].into(), ..draft(&report(1, 1, "192.0.2.1"), world.now.wall) };
            let run = Run::sign(&secret, log, tip, (0..64).map(|_| empty()).collect()).unwrap();
            tip = run.tip();
            all = Some(match all {
                None => run,
                Some(before) => before.join(run).unwrap(),
            });
        }
        let push = |run: &Run| Message::Push(Push { log: parts, reply: true, page: page::encode(run) });
        let late = push(&all.unwrap());
        assert!(message::encode(&vec![late.clone()]).len() < 30_000);
        let name = Message::Name(parts, log.into());
        world.receive(0, link, message::encode(&vec![name, late]));
        world.receive(0, link, message::encode(&vec![push(&first)]));
        assert!(!world.closed(0, link));
        let logs = world.nodes[0].mesh.reader().logs();
        logs.iter().find(|info| info.key == log).unwrap().tip.seq
    };
    assert_eq!(reached(&mut world, 1), 65, "a run that came too early waits for the one before");
    // 25 KB in a page, and megabytes of records.
    assert_eq!(reached(&mut world, 128), 1);
}

/// A link to node 0 of a further node of the hostile member.
fn further_link(world: &mut World, n: u8) -> u64 {
    let root = secret(0, FOE, 0);
    let [record, transport] = [100 + n, 130 + n].map(|seed| Secret::from_seed(&[seed; 32]));
    let certificate =
        Signed::sign(&node_certificate(&root, &record, &transport), &[&root, &record, &transport]);
    let lobby = world.lobby_of(FOE.into(), [0; 32]);
    let honest = message::decode(world.mesh(), &lobby).unwrap();
    let [Message::Lobby(lobby)] = honest.messages.as_slice() else { panic!() };
    let lobby = Lobby { certificate, ..lobby.clone() };
    let link = 50_000 + u64::from(n);
    world.feed(0, Input::LinkUp { link, peer: transport.public() });
    world.receive(0, link, message::encode(&vec![Message::Lobby(lobby)]));
    assert!(!world.closed(0, link));
    link
}

#[test]
fn an_org_of_many_nodes_does_not_keep_bodies_away() {
    let mut world = World::new(3, OPEN);
    let Body::Report(mut large) = report(1, 1, "192.0.2.1") else { unreachable!() };
    large.extension = vec![7; 40_000];
    let id = world.publish(1, Body::Report(large));
    let info = world.nodes[1].mesh.reader().logs()[0];
    let wire =
        world.nodes[1].mesh.reader().runs(info.no, 1, 1, &mut tocsin_store::Bodies::None).unwrap().remove(0);
    let run = page::decode(info.key, &page::unpack(&wire.packed).unwrap()).unwrap();
    let links: Vec<u64> = (0..12).map(|n| further_link(&mut world, n)).collect();
    world.push_from(0, links[0], &info.key, &run);
    assert!(world.stored(0, &id).unwrap().entry.body().is_none());
    let have = Have { log: 0, from: 1, more: 0, age: 0, except: vec![] };
    let say = vec![Message::Name(0, info.key.into()), Message::Have(vec![have])];
    let say = message::encode(&say);
    for link in &links {
        world.receive(0, *link, say.clone());
    }
    world.connect(0, 1);
    for _ in 0..90 {
        world.pass(1_000);
        for link in &links {
            world.receive(0, *link, say.clone());
        }
    }
    assert!(world.stored(0, &id).unwrap().entry.body().is_some(), "its author was never asked");
}

#[test]
fn a_receipt_from_the_future_is_not_kept() {
    let mut world = World::new(3, OPEN);
    world.publish(0, report(1, 1, "192.0.2.1"));
    let link = world.strange_link(0, FOE);
    let log = world.nodes[0].mesh.reader().logs()[0].key;
    let holder = world.nodes[FOE as usize].mesh.node();
    let circle = CircleId::mesh(world.mesh());
    let names =
        vec![Message::Name(0, log.into()), Message::Name(1, LogName { author: holder, circle, epoch: 0 })];
    world.receive(0, link, message::encode(&names));
    for (time, kept) in [(world.now.wall + 50 * 365 * 86_400_000, 0), (world.now.wall, 1)] {
        let signature = world.record_secret(FOE).sign(&receipt_hash(&holder, &log.id(), 1, time));
        let receipt = Receipt { log: 0, holder: 1, height: 1, time, signature };
        world.receive(0, link, message::encode(&vec![Message::Receipts(vec![receipt])]));
        assert_eq!(world.nodes[0].mesh.status().logs[0].receipts.len(), kept);
    }
}

/// The wants that a node sends for one frame of a peer.
fn wants(world: &mut World, node: usize, link: u64, messages: &Vec<Message>) -> Vec<Want> {
    let frame = message::decode(world.mesh(), &message::encode(messages)).unwrap();
    let mut wants = Vec::new();
    for effect in world.feed(node, Input::Received { link, frame }) {
        if let Effect::Send { frame, .. } = effect {
            for message in message::decode(world.mesh(), &frame).unwrap().messages {
                if let Message::Want(want) = message {
                    wants.push(want);
                }
            }
        }
    }
    wants
}

#[test]
fn a_want_that_does_not_end_keeps_no_other_log_waiting() {
    let mut world = World::new(3, OPEN);
    let foe = world.strange_link(0, FOE);
    let honest = world.strange_link(0, 1);
    let told = |log: LogKey| EntryOf {
        no: 0,
        log: log.into(),
        base: 1,
        height: 1,
        id: RecordId([9; 32]),
        state: LogState::Open,
    };
    let (log, run) = foe_run(&world, Tip::default(), vec![draft(&report(1, 1, "192.0.2.1"), world.now.wall)]);
    let claim = vec![Message::Entries(Entries(vec![told(log)]))];
    let want = wants(&mut world, 0, foe, &claim).remove(0).id;
    // All that was asked for, and no word that this is the end.
    let packed = page::pack(&page::encode(&run));
    let page = Message::Page(Page { want, log: log.into(), last: false, packed });
    world.receive(0, foe, message::encode(&vec![page]));
    assert!(world.stored(0, &run.tip().id).is_some());
    let claim = vec![Message::Entries(Entries(vec![told(log_of(&world, 1, world.now.wall))]))];
    assert_eq!(wants(&mut world, 0, honest, &claim).len(), 1);
}

#[test]
fn words_that_nobody_signed_are_not_verified_without_end() {
    let mut world = World::new(3, OPEN);
    let link = world.strange_link(0, FOE);
    let log = log_of(&world, 1, 0);
    let names = vec![Message::Name(0, log.into())];
    world.receive(0, link, message::encode(&names));
    let time = world.now.wall;
    let signature = world.record_secret(FOE).sign(&[7; 32]);
    let lie = Head { log: 0, seq: 1, id: RecordId([1; 32]), releases: 0, time, signature };
    for _ in 0..40 {
        world.receive(0, link, message::encode(&vec![Message::Heads(vec![lie; 512])]));
    }
    assert!(world.closed(0, link));
}
