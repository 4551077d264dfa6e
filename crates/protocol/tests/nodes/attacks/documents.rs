//! Documents: how many are kept, who pays for them, who can be named in them.

use tocsin_protocol::message::{self, Lobby, Message};
use tocsin_protocol::{Effect, Input};
use tocsin_record::document::{Certificate, Charter, Revocations, Roster, Signed};
use tocsin_record::keys::Secret;
use tocsin_record::{CircleId, DocHash, NodeKey, OrgId};

use super::{FOE, OPEN, answered, foe_roster, log_of, say_documents};
use crate::world::{World, node_certificate, secret};

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
    world.link_up(0, link, transport.public());
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
    world.link_up(0, link, key);
    let once = answered(&mut world, 0, link, &vec![Message::Lobby(behind.clone())]);
    assert!(once > 300, "{once}");
    world.feed(0, Input::LinkDown { link });
    world.link_up(0, link, key);
    let messages: Vec<Message> = (0..1000).map(|_| Message::Lobby(behind.clone())).collect();
    let often = answered(&mut world, 0, link, &messages);
    assert!(often < 5 * once, "{often}");
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
    let link = world.strange_link(0, 1);
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
    assert_eq!(directory.certificate(node).map(Certificate::transport_key), Some(transport.public()));
}

/// What a steward of the mesh signs is taken, whatever a member has filled the directory with.
#[test]
fn no_member_fills_the_room_for_charters() {
    let mut world = World::new(3, OPEN);
    let link = world.strange_link(0, FOE);
    let signer = secret(1, FOE, 0);
    let mut circles = Vec::new();
    for n in 0..40u8 {
        let roster = foe_roster(&world, [n; 32], vec![]);
        let signed = Signed::sign(&roster, &[&signer]);
        say_documents(&mut world, link, vec![signed.clone()]);
        circles.push((roster, signed));
    }
    for (roster, signed) in circles {
        let next = Roster { version: 2, prev: signed.hash(), extension: vec![1; 900_000], ..roster };
        say_documents(&mut world, link, vec![Signed::sign(&next, &[&signer])]);
    }
    let directory = world.nodes[0].mesh.directory();
    let kept: usize = directory.all().iter().map(|signed| signed.bytes.len()).sum();
    // The mesh has had enough of it.
    let charter = directory.charter().clone();
    let foe = world.nodes[FOE as usize].mesh.org();
    let mut next = Charter { version: 2, prev: directory.charter_behind().hash, ..charter };
    next.orgs.retain(|org| org.root != foe);
    next.extension = vec![7; 900_000];
    let documents = vec![Signed::sign(&next, &[&secret(0, 0, 0)])];
    let done = world.request(0, |ticket| Input::Documents { ticket, documents });
    assert!(done.is_ok(), "{done:?}, with {} KiB of one member's documents", kept >> 10);
    assert!(kept < 3 << 20, "{} KiB of one member's documents", kept >> 10);
}
