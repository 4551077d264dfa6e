//! Circles with a roster of their own: who is put into one, and who hears of it.

use crate::world::{OPEN, World, report, secret};
use tocsin_protocol::directory::Counts;
use tocsin_protocol::message::{Documents, Message};
use tocsin_protocol::{Input, message};
use tocsin_record::document::{Carry, Cut, Roster, Signed};
use tocsin_record::keys::Secret;
use tocsin_record::{CircleId, DocHash, LogId, OrgId, RecordId};

/// What no frame to a stranger may hold.
const NAME: &str = "ops-harbour-dawn";

fn orgs(world: &World, nodes: &[usize]) -> Vec<OrgId> {
    let mut orgs: Vec<OrgId> = nodes.iter().map(|node| world.nodes[*node].mesh.org()).collect();
    orgs.sort_unstable();
    orgs
}

/// The first roster of a circle that node 0 founds.
fn first(world: &World, nodes: &[usize]) -> Roster {
    Roster {
        mesh: world.mesh(),
        version: 1,
        prev: DocHash::ZERO,
        nonce: [77; 32],
        name: NAME.into(),
        time: 0,
        expires: 0,
        carry: Carry::Members,
        orgs: orgs(world, nodes),
        carriers: vec![],
        stewards: vec![secret(1, 0, 0).public()],
        cuts: vec![],
        extension: vec![],
    }
}

fn next(world: &World, before: (&Roster, &Signed), nodes: &[usize]) -> Roster {
    let (roster, signed) = before;
    Roster { version: roster.version + 1, prev: signed.hash(), orgs: orgs(world, nodes), ..roster.clone() }
}

/// Signed by stewards of these nodes' orgs.
fn signed(roster: &Roster, nodes: &[u8]) -> Signed {
    let secrets: Vec<Secret> = nodes.iter().map(|node| secret(1, *node, 0)).collect();
    Signed::sign(roster, &secrets.iter().collect::<Vec<_>>())
}

fn bring(world: &mut World, node: usize, documents: &[&Signed]) -> Result<(), String> {
    let documents = documents.iter().map(|signed| (*signed).clone()).collect();
    let done = world.request(node, |ticket| Input::Documents { ticket, documents });
    done.map(drop).map_err(|error| error.to_string())
}

fn version(world: &World, node: usize, circle: CircleId) -> u32 {
    world.nodes[node].mesh.directory().roster(circle).map_or(0, |roster| roster.version)
}

fn hears(world: &World, node: usize, what: &[u8]) -> bool {
    let frames = world.heard.get(&node).into_iter().flatten();
    frames.into_iter().any(|frame| frame.windows(what.len()).any(|part| part == what))
}

#[test]
fn nobody_is_put_into_a_circle_or_made_to_carry_for_it_without_having_signed() {
    let mut world = World::new(3, OPEN);
    let both = first(&world, &[0, 1]);
    let alone = first(&world, &[0]);
    let refused = bring(&mut world, 1, &[&signed(&both, &[0])]).unwrap_err();
    assert!(refused.contains("did not sign"), "{refused}");
    let begun = signed(&alone, &[0]);
    bring(&mut world, 1, &[&begun]).unwrap();
    let carriers = Roster {
        version: 2,
        prev: begun.hash(),
        carry: Carry::Named,
        carriers: orgs(&world, &[2]),
        ..alone.clone()
    };
    assert!(bring(&mut world, 1, &[&signed(&carriers, &[0])]).is_err());
    let more = next(&world, (&alone, &begun), &[0, 1]);
    assert!(bring(&mut world, 1, &[&signed(&more, &[0, 2])]).is_err(), "another org's steward agrees for it");
    bring(&mut world, 1, &[&signed(&more, &[0, 1])]).unwrap();
    let circle = CircleId(begun.hash().0);
    assert_eq!(version(&world, 1, circle), 2);
    // Who is in already does not sign each version, nor to be taken out.
    let fewer = next(&world, (&more, &signed(&more, &[0, 1])), &[0]);
    bring(&mut world, 1, &[&signed(&fewer, &[0])]).unwrap();
    assert_eq!(version(&world, 1, circle), 3);
    // And whoever was taken out is not put back by what it signed before.
    let back = next(&world, (&fewer, &signed(&fewer, &[0])), &[0, 1]);
    assert!(bring(&mut world, 1, &[&signed(&back, &[0])]).is_err());
}

#[test]
fn who_is_in_and_was_is_answered_by_version() {
    let mut world = World::new(3, OPEN);
    let alone = first(&world, &[0]);
    let begun = signed(&alone, &[0]);
    let two = next(&world, (&alone, &begun), &[0, 1]);
    let two_signed = signed(&two, &[0, 1]);
    // The one that came in is taken out: of its first log two records count.
    let cut = Cut { log: LogId([5; 32]), seq: 2, id: RecordId([6; 32]) };
    let out = Roster { cuts: vec![cut], ..next(&world, (&two, &two_signed), &[0]) };
    let out_signed = signed(&out, &[0]);
    let circle = CircleId(begun.hash().0);
    bring(&mut world, 0, &[&begun, &two_signed, &out_signed]).unwrap();
    let [own, came, never] = [0, 1, 2].map(|node| world.nodes[node].mesh.org());
    let members = world.nodes[0].mesh.directory().membership(circle);
    assert_eq!((members.version(), members.founder(), members.size()), (3, Some(own), 1));
    assert_eq!(members.members().collect::<Vec<_>>(), [own]);
    let was_in = |org| (0..6).filter(|version| members.had(org, *version)).collect::<Vec<u32>>();
    assert_eq!([was_in(own), was_in(came), was_in(never)], [vec![1, 2, 3], vec![2], vec![]]);
    assert_eq!([own, came].map(|org| members.since(org)), [Some(1), None]);
    let counts = |org, log: u8| members.counts(org, LogId([log; 32]));
    assert_eq!([counts(own, 9), counts(came, 9)], [Counts::All, Counts::Nothing]);
    assert_eq!(counts(came, 5), Counts::UpTo { seq: 2, id: RecordId([6; 32]) });
    assert_eq!(counts(never, 5), Counts::Nothing, "a cut is no way in");
    // It comes back, and is in since then.
    let back = Roster { cuts: vec![], ..next(&world, (&out, &out_signed), &[0, 1]) };
    bring(&mut world, 0, &[&signed(&back, &[0, 1])]).unwrap();
    let directory = world.nodes[0].mesh.directory();
    let members = directory.membership(circle);
    assert_eq!((members.since(came), members.since(own)), (Some(4), Some(1)));
    assert_eq!(members.counts(came, LogId([9; 32])), Counts::All);
    // The circles without a roster.
    let mesh = directory.membership(CircleId::mesh(world.mesh()));
    assert!(mesh.has(never) && mesh.had(never, 1) && !mesh.had(never, 2) && mesh.is_shared(own, never));
    let alone = directory.membership(CircleId::own(world.mesh(), came));
    assert!(alone.has(came) && !alone.has(own) && alone.since(came) == Some(1) && alone.version() == 1);
    let unknown = directory.membership(CircleId([9; 32]));
    assert!(!unknown.is_known() && !unknown.has(own) && unknown.version() == 0);
}

#[test]
fn a_circle_is_told_to_those_it_concerns_and_to_nobody_else() {
    let mut world = World::new(4, OPEN);
    let roster = first(&world, &[0, 1]);
    let begun = signed(&roster, &[0, 1]);
    let circle = CircleId(begun.hash().0);
    world.connect_all();
    bring(&mut world, 0, &[&begun]).unwrap();
    let bodies = (0..3).map(|n| report(n, 1, "192.0.2.1")).collect();
    world.request(0, |ticket| Input::Publish { ticket, circle, bodies }).unwrap();
    world.settle();
    assert_eq!((version(&world, 1, circle), world.lookup(1, "192.0.2.1")), (1, 1));
    // One is taken out, and another one comes in: each hears of it, the one no more than that.
    let fewer = next(&world, (&roster, &begun), &[0]);
    let fewer_signed = signed(&fewer, &[0]);
    let more = next(&world, (&fewer, &fewer_signed), &[0, 2]);
    bring(&mut world, 0, &[&fewer_signed, &signed(&more, &[0, 2])]).unwrap();
    world.pass(120_000);
    assert_eq!([1, 2, 3].map(|node| version(&world, node, circle)), [2, 3, 0]);
    for what in [NAME.as_bytes(), &circle.0, &roster.nonce, &begun.hash().0] {
        assert!(hears(&world, 1, what) && !hears(&world, 3, what), "a stranger hears of it");
    }
    // A stranger that says it has nothing is given nothing of it.
    let link = world.strange_link(0, 3);
    let list = message::encode(&vec![Message::DocumentList(message::DocumentList(vec![]))]);
    let frame = world.hear(0, link, &list).unwrap();
    let effects = world.feed(0, Input::Received { link, frame });
    assert!(!format!("{effects:?}").contains(NAME));
    let sent = effects.iter().filter_map(|effect| match effect {
        tocsin_protocol::Effect::Send { frame, .. } => Some(frame),
        _ => None,
    });
    let all: Vec<u8> = sent.flat_map(|frame| frame.to_vec()).collect();
    assert!(!all.is_empty(), "certificates are told to all");
    assert!(!all.windows(NAME.len()).any(|part| part == NAME.as_bytes()));
}

#[test]
fn what_was_in_force_is_in_force_after_a_restart() {
    let mut world = World::new(3, OPEN);
    let roster = first(&world, &[0, 1]);
    let begun = signed(&roster, &[0, 1]);
    let circle = CircleId(begun.hash().0);
    bring(&mut world, 2, &[&begun]).unwrap();
    // The org that agreed has other stewards since.
    let directory = world.nodes[2].mesh.directory();
    let mut certificate = directory.certificate(world.nodes[1].mesh.node()).unwrap().clone();
    certificate.version = 2;
    let steward = tocsin_record::document::Purpose::Steward as u16;
    certificate.keys.retain(|key| key.purpose != steward);
    let secrets = [secret(0, 1, 0), secret(1, 1, 0), secret(2, 1, 0)];
    let rotated = Signed::sign(&certificate, &secrets.iter().collect::<Vec<_>>());
    bring(&mut world, 2, &[&rotated]).unwrap();
    assert_eq!(version(&world, 2, circle), 1);
    world.restart(2);
    assert_eq!(version(&world, 2, circle), 1);
    let documents = Message::Documents(Documents(vec![signed(&next(&world, (&roster, &begun), &[0]), &[0])]));
    let link = world.strange_link(2, 0);
    world.receive(2, link, message::encode(&vec![documents]));
    assert_eq!(version(&world, 2, circle), 2);
}
