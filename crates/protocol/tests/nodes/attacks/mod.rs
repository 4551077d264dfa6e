//! What a certified member can do on purpose, one attack a test: stop a node, fill its memory, shut others out of the mesh,
//! keep them from writing or from being heard. Each of these worked once.

mod documents;
mod forks;
mod holes;
mod nowhere;
mod paid;
mod records;
mod sources;
mod statements;

use crate::world::{OPEN, World, node_certificate, report, secret};
use tocsin_protocol::message::{self, Documents, Lobby, Message};
use tocsin_protocol::{Effect, Input};
use tocsin_record::body::Body;
use tocsin_record::document::{Carry, Roster, Signed};
use tocsin_record::keys::Secret;
use tocsin_record::run::{Draft, Part};
use tocsin_record::{CircleId, DocHash, LogKey, Run, Tip, page};
use tocsin_store::Verdict;

/// The member that turned hostile.
const FOE: u8 = 2;

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
    let frame = world.hear(node, link, &message::encode(messages)).unwrap();
    let effects = world.feed(node, Input::Received { link, frame });
    let len = |effect: &Effect| if let Effect::Send { frame, .. } = effect { frame.len() } else { 0 };
    effects.iter().map(len).sum()
}

/// Bytes of an answer that costs little, to see whether a link may still ask.
fn may_ask(world: &mut World, link: u64) -> bool {
    answered(world, 0, link, &vec![Message::At(0, 1)]) > 0
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

/// A link to node 0 of a further node of the hostile member.
fn further_link(world: &mut World, n: u8) -> u64 {
    try_further_link(world, n).unwrap()
}

/// As [`further_link`], unless it is not let in.
fn try_further_link(world: &mut World, n: u8) -> Option<u64> {
    let root = secret(0, FOE, 0);
    let [record, transport] = [100 + n, 130 + n].map(|seed| Secret::from_seed(&[seed; 32]));
    let certificate =
        Signed::sign(&node_certificate(&root, &record, &transport), &[&root, &record, &transport]);
    let lobby = world.lobby_of(FOE.into(), [0; 32]);
    let honest = message::decode(world.mesh(), &lobby).unwrap();
    let [Message::Lobby(lobby)] = honest.messages.as_slice() else { panic!() };
    let lobby = Lobby { certificate, ..lobby.clone() };
    let link = 50_000 + u64::from(n);
    world.link_up(0, link, transport.public());
    world.receive(0, link, message::encode(&vec![Message::Lobby(lobby)]));
    (!world.closed(0, link)).then_some(link)
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
