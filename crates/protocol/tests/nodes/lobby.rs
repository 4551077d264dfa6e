//! The way in: what a link may carry before both ends know the same charter.

use std::sync::Arc;

use crate::world::World;
use tocsin_policy::Policy;
use tocsin_protocol::message::lobby::{OLDEST_PROTOCOL, PROTOCOL};
use tocsin_protocol::message::{self, LOBBY_DOCUMENT_MAX, Message};
use tocsin_protocol::{Config, Effect, HoldDefault, Identity, Index, Input, Mesh, Meter};
use tocsin_record::document::{Charter, Signed};
use tocsin_record::{Bytes, OrgId};
use tocsin_store::Store;
use tocsin_store::faulty::{FaultyKv, FaultySlots};

const CLOSED: &str = "";
/// Versions of the charter that a node missed: more than one message takes.
const VERSIONS: u32 = 40;
/// And how large each is made, in bytes: as one of several hundred orgs.
const CHARTER_BYTES: usize = 200_000;

/// Charters that follow the one in force, each of a size.
fn charters(world: &World) -> Vec<Signed> {
    let mut known = world.nodes[0].mesh.directory().charter().clone();
    let mut prev = world.nodes[0].mesh.directory().charter_behind().hash;
    (0..VERSIONS)
        .map(|_| {
            known = Charter {
                version: known.version + 1,
                prev,
                extension: vec![7; CHARTER_BYTES],
                ..known.clone()
            };
            let signed = Signed::sign(&known, &[&world.root_secret(0)]);
            prev = signed.hash();
            signed
        })
        .collect()
}

#[test]
fn who_missed_many_charters_gets_in() {
    let mut world = World::new(2, CLOSED);
    let documents = charters(&world);
    let taken = world.request(0, |ticket| Input::Documents { ticket, documents }).unwrap();
    assert_eq!(taken.documents, VERSIONS as usize);

    // What is sent to one that is in the lobby is never longer than it takes there.
    let link = 900;
    let peer = world.transport(1);
    world.link_up(0, link, peer);
    let lobby = world.lobby_of(1, world.transport(0));
    let frame = message::decode(world.mesh(), &lobby).unwrap();
    let mut frames = 0;
    for effect in world.feed(0, Input::Received { link, frame }) {
        if let Effect::Send { frame, .. } = effect {
            assert!(frame.len() <= LOBBY_DOCUMENT_MAX, "a frame of {} bytes into the lobby", frame.len());
            frames += 1;
        }
    }
    assert!(frames > 1);
    world.feed(0, Input::LinkDown { link });

    world.connect(0, 1);
    world.settle();
    assert_eq!(world.nodes[1].mesh.directory().charter().version, 1 + VERSIONS);
    assert!(world.nodes[1].mesh.status().peers.iter().any(|peer| peer.node.is_some()), "it is in");
}

#[test]
fn newer_peers_are_welcome_and_too_old_ones_are_not() {
    for (protocol, welcome) in [(PROTOCOL, true), (PROTOCOL + 7, true), (OLDEST_PROTOCOL - 1, false)] {
        let mut world = World::new(2, CLOSED);
        let peer = world.transport(1);
        world.link_up(0, 900, peer);
        let lobby = world.lobby_of(1, world.transport(0));
        let mut messages = message::decode(world.mesh(), &lobby).unwrap().messages;
        let Some(Message::Lobby(said)) = messages.first_mut() else { panic!("{messages:?}") };
        said.protocol = protocol;
        world.receive(0, 900, message::encode(&messages));
        assert_eq!(!world.closed(0, 900), welcome, "protocol {protocol}");
    }
}

#[test]
fn learnt_documents_that_do_not_read_are_damage() {
    let world = World::new(1, CLOSED);
    let directory = world.nodes[0].mesh.directory().clone();
    let certificate = world.certificate(0);
    let open = |documents: &'static [u8]| {
        let (kv, slots) = (Arc::new(FaultyKv::new(1)), Arc::new(FaultySlots::new(1)));
        let random = Box::new(|bytes: &mut [u8]| bytes.fill(7));
        let mut store =
            Store::open(kv, slots, directory.mesh(), random, tocsin_seal::Opener::none(), &mut |_| {})
                .unwrap();
        store.put_meta("documents", Bytes::from_static(documents)).unwrap();
        store.commit().unwrap();
        let config = Config {
            boot: [1; 16],
            seed: 1,
            index_key: [1; 16],
            meter: Meter::Model,
            hold: HoldDefault::Keep,
        };
        let org = OrgId(world.root_secret(0).public());
        let random = rand_chacha::rand_core::SeedableRng::from_seed([1; 32]);
        let identity =
            Identity { secret: world.record_secret(0), org, certificate: certificate.clone(), random };
        let policy = Arc::new(Policy::load(CLOSED).unwrap());
        Mesh::open(config, identity, directory.clone(), store, policy, Index::new(&[1; 16]), world.now)
    };
    // What was learnt of removals would be forgotten.
    assert!(open(b"not documents").is_err_and(|error| error.is_damage()));
    assert!(open(&[0]).is_ok(), "no documents are none");
}
