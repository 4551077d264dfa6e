//! What peers may make a node keep, as `src/bounds.rs` states it: 512 links of 8 orgs say all that they can think of, and the
//! memory of this process is measured. Alone in its program, so that nothing else is.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")]

#[expect(dead_code, reason = "the other tests use all of it")]
#[path = "nodes/world/mod.rs"]
mod world;

use tocsin_protocol::Input;
use tocsin_protocol::message::head::{head_hash, receipt_hash};
use tocsin_protocol::message::{
    self, Entries, EntryOf, Fates, Have, Head, Lobby, LogName, LogState, Message, Receipt,
};
use tocsin_record::document::Signed;
use tocsin_record::keys::Secret;
use tocsin_record::{CircleId, NodeKey, RecordId};
use world::{OPEN, World, node_certificate, report};

const ORGS: u8 = 8;
const NODES: u8 = 64;
/// Names that each link gives: of all links together ten times of what is kept.
const NAMES: u32 = 3000;
/// Seven megabytes for each org; this side's numbers for the heads of all nodes, on every link 90 KB; and as much again for
/// the links themselves, the simulated disk, and what the allocator keeps. Announcements that came before their headers: 2,048
/// of each org, a place, a list and a count each, half a megabyte.
const BOUND: usize = 168 << 20;

/// Bytes of this process in memory.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn secret(role: u8, org: u8, node: u8) -> Secret {
    let mut seed = [role; 32];
    (seed[0], seed[1]) = (org, node);
    Secret::from_seed(&seed)
}

/// Time passes at node 0 alone.
fn pass(world: &mut World, ms: u64) {
    world.now.wall += ms;
    world.now.mono += ms;
    world.feed(0, Input::Tick);
}

/// How many names the sessions of node 0 keep.
fn names(world: &World) -> usize {
    world.sessions.iter().filter(|((at, _), _)| *at == 0).map(|(_, session)| session.names()).sum()
}

#[test]
fn many_links_hold_no_more_than_is_stated() {
    let mut world = World::new(ORGS + 1, OPEN);
    world.publish(0, report(1, 1, "192.0.2.1"));
    let circle = CircleId::mesh(world.mesh());
    let own = world.nodes[0].mesh.reader().logs()[0].key;
    let lobby = world.lobby_of(1, [0; 32]);
    let honest = message::decode(world.mesh(), &lobby).unwrap();
    let [Message::Lobby(lobby)] = honest.messages.as_slice() else { panic!() };
    let lobby = lobby.clone();
    let (mut nodes, mut documents) = (Vec::new(), Vec::new());
    for org in 1..=ORGS {
        let root = world.root_secret(org);
        // The org's first node is one of the world's own.
        for node in 1..NODES {
            let (record, transport) = (secret(1, org, node), secret(2, org, node));
            let certificate = node_certificate(&root, &record, &transport);
            let certificate = Signed::sign(&certificate, &[&root, &record, &transport]);
            documents.push(certificate.clone());
            nodes.push((org, record, transport.public(), certificate));
        }
    }
    world.request(0, |ticket| Input::Documents { ticket, documents }).unwrap();
    let before = resident();
    let (mut link, mut links) = (1_000_000, Vec::new());
    for (org, record, transport, certificate) in nodes {
        link += 1;
        world.link_up(0, link, transport);
        let lobby = Lobby { certificate, ..lobby.clone() };
        world.receive(0, link, message::encode(&vec![Message::Lobby(lobby)]));
        assert!(!world.closed(0, link), "a link of org {org}");
        links.push((link, org, record));
    }
    for (at, (link, org, record)) in links.iter().enumerate() {
        let author = NodeKey(record.public());
        let (wall, id) = (world.now.wall, RecordId([9; 32]));
        let log = |n: u32| LogName { author, circle, epoch: wall - u64::from(n) };
        let mut messages = vec![Message::Name(0, LogName { author, circle, epoch: 0 })];
        messages.push(Message::Name(1, own.into()));
        messages.extend((2..NAMES).map(|n| Message::Name(n, log(n))));
        let entry =
            |n: u32| EntryOf { no: n, log: log(n), base: 1, height: 1 << 30, id, state: LogState::Open };
        messages.push(Message::Entries(Entries((2..502).map(entry).collect())));
        messages.push(Message::Have(
            (2..1000).map(|n| Have { log: n, from: 1, more: 1 << 30, age: 0, except: vec![1; 4] }).collect(),
        ));
        let hash = head_hash(&world.mesh(), &author, &circle, 0, 0, &id, 0, wall);
        let signature = record.sign(&hash);
        messages.push(Message::Heads(vec![Head { log: 0, seq: 0, id, releases: 0, time: wall, signature }]));
        let fates = Fates::default();
        let signature = record.sign(&receipt_hash(&author, &own.id(), 1, wall, &fates));
        messages.push(Message::Receipts(vec![Receipt {
            log: 1,
            holder: 0,
            height: 1,
            time: wall,
            fates,
            signature,
        }]));
        world.receive(0, *link, message::encode(&messages));
        assert!(!world.closed(0, *link), "link {at} of org {org}");
        pass(&mut world, 500);
    }
    let grown = resident().saturating_sub(before);
    let logs = world.nodes[0].mesh.reader().log_count();
    println!("{} links, {logs} logs, {} names, {} KiB", links.len(), names(&world), grown >> 10);
    assert!(logs <= 1 + usize::from(ORGS) * 1024, "{logs} logs by word alone");
    assert!(names(&world) <= usize::from(ORGS) * 4 * (4096 + 2), "{} names", names(&world));
    assert!(grown < BOUND, "{} MiB", grown >> 20);
    // Whoever leaves gives back what it held: the next ones find its numbers.
    for (link, ..) in &links {
        world.feed(0, Input::LinkDown { link: *link });
    }
    assert_eq!(names(&world), 0);
    let late = world.strange_link(0, 1);
    let author = world.nodes[1].mesh.node();
    let told = |n: u32| EntryOf {
        no: n,
        log: LogName { author, circle, epoch: world.now.wall - u64::from(n) },
        base: 1,
        height: 1,
        id: RecordId([9; 32]),
        state: LogState::Open,
    };
    let entries = vec![Message::Entries(Entries((2..502).map(told).collect()))];
    world.receive(0, late, message::encode(&entries));
    assert_eq!(
        world.nodes[0].mesh.reader().log_count(),
        logs,
        "numbers of logs that nobody wrote are reused"
    );
}
