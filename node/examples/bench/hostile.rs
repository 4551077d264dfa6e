//! A member that means harm: it holds the keys of a certified node, links with everyone and says whatever makes work or
//! confusion, as fast as it is taken, and comes back when it is shown the door.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tocsin_home::Home;
use tocsin_net::{Inbound, Lane, Net};
use tocsin_protocol::directory::Directory;
use tocsin_protocol::message::lobby::PROTOCOL;
use tocsin_protocol::message::{
    self, Buckets, DocumentList, Entries, EntryOf, Fates, Have, Head, Hello, Lobby, LogName, LogState,
    Message, Range, Receipt, RecordAt, Want,
};
use tocsin_record::keys::Signature;
use tocsin_record::{CircleId, RecordId};
use tokio::sync::mpsc;

/// Between two frames to one partner.
const EVERY: Duration = Duration::from_millis(20);
/// Between two attempts to link with those that it is not linked with.
const DIAL_EVERY: Duration = Duration::from_millis(500);
/// Names, statements and references in one frame: close to what a frame may hold.
const MANY: u32 = 256;

/// Does harm with the keys of a home until it is told to stop. Returns how many frames were sent.
pub fn run(home: &Home, stop: &AtomicBool, sent: &AtomicU64) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(harm(home, stop, sent))
}

async fn harm(home: &Home, stop: &AtomicBool, sent: &AtomicU64) -> Result<()> {
    let identity = home.identity()?;
    let papers = home.papers()?.context("its home is in no mesh")?;
    let documents: Vec<_> = papers.charters.iter().chain(&papers.certificates).cloned().collect();
    let directory = Directory::load(&documents)?;
    let lobby = message::encode(&vec![Message::Lobby(Lobby {
        protocol: PROTOCOL,
        mesh: directory.mesh(),
        certificate: identity.card.certificates.first().context("its card has no certificate")?.clone(),
        charter: directory.charter_behind(),
        revocations: directory.revocations_behind(),
        extension: Vec::new(),
    })]);
    let (inbound, mut inbox) = mpsc::channel(1024);
    let (net, _task) = tocsin_net::start(tocsin_net::Config::new(identity.transport.clone()), inbound)?;
    let circle = CircleId::mesh(directory.mesh());
    let own = LogName { author: identity.node(), circle, epoch: 1 };
    let mut links: BTreeMap<u64, u32> = BTreeMap::new();
    let mut frames = tokio::time::interval(EVERY);
    let mut dials = tokio::time::interval(DIAL_EVERY);
    while !stop.load(Ordering::Relaxed) {
        tokio::select! {
            _ = frames.tick() => {
                for (link, round) in &mut links {
                    if say(&net, *link, own, *round) {
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                    *round += 1;
                }
            }
            _ = dials.tick() => {
                for org in directory.charter().orgs.iter().filter(|org| org.root != identity.org()) {
                    for (_, certificate) in directory.nodes_of(org.root) {
                        // Who is linked already refuses the dial, and who cannot be reached is dialled again.
                        let _ = net.dial(certificate.transport_key(), org.addresses.clone());
                    }
                }
            }
            event = inbox.recv() => match event {
                Some(Inbound::Up { link, .. }) => {
                    net.admit(link);
                    let _ = net.try_send(link, Lane::Live, lobby.clone());
                    links.insert(link, 0);
                }
                Some(Inbound::Down { link, .. }) => {
                    links.remove(&link);
                }
                Some(_) => {}
                None => break,
            }
        }
    }
    net.stop();
    Ok(())
}

/// One frame of one kind of harm after the other. False when the link takes no more now.
fn say(net: &Net, link: u64, own: LogName, round: u32) -> bool {
    let signature = Signature([7; 64]);
    let time = u64::MAX / 2;
    let name = |no: u32| Message::Name(no, LogName { epoch: u64::from(no) + 1, ..own });
    let mut said = match round % 9 {
        // Logs that it never writes.
        0 => (0..MANY).map(|no| name(round.wrapping_mul(MANY).wrapping_add(no))).collect(),
        1 => {
            let head =
                |no| Head { log: no, seq: 9, id: RecordId([9; 32]), releases: round.into(), time, signature };
            vec![Message::Heads((0..MANY).map(head).collect())]
        }
        2 => {
            let receipt = |no| Receipt {
                log: no,
                holder: 0,
                height: u64::MAX,
                time,
                fates: Fates::default(),
                signature,
            };
            vec![Message::Receipts((0..MANY).map(receipt).collect())]
        }
        // Heights that it never gives.
        3 => {
            let entry = |no: u32| EntryOf {
                no,
                log: LogName { epoch: u64::from(no) + 1, ..own },
                base: 1,
                height: 1_000 + u64::from(round),
                id: RecordId([3; 32]),
                state: LogState::Open,
            };
            vec![Message::Entries(Entries((0..MANY).map(entry).collect()))]
        }
        4 => vec![Message::Have(
            (0..MANY).map(|log| Have { log, from: 1, more: 1_000, age: 0, except: Vec::new() }).collect(),
        )],
        5 => vec![Message::WantBodies((1..1_000).map(|seq| RecordAt { log: 0, seq }).collect())],
        6 => vec![Message::Want(Want {
            id: round,
            ranges: (0..MANY).map(|log| Range { log, from: 1, to: u64::MAX, bodies: true }).collect(),
            credit: u32::MAX,
        })],
        7 => vec![
            Message::Hello(Hello { logs: [7; 32], documents: [7; 32] }),
            Message::Buckets(Buckets(vec![[7; 16]; 256])),
            Message::DocumentList(DocumentList(Vec::new())),
        ],
        _ => (0..MANY)
            .flat_map(|log| [Message::Graft(log, 1), Message::At(log, 1), Message::Prune(log)])
            .collect(),
    };
    // What it names is within what a link may name; those numbers mean the same whenever they are said again.
    if round == 0 {
        said = (0..MANY).map(name).collect();
    }
    net.try_send(link, Lane::Live, message::encode(&said)).is_ok()
}
