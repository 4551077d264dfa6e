//! Circles as people have them: begun, with others invited, who agree or do not; left, taken out of, named anew.

use crate::world::{OPEN, World, report, secret};
use tocsin_protocol::directory::{OpenProposal, ProposalKey};
use tocsin_protocol::message::{self, Change, Message, Proposal};
use tocsin_protocol::{CircleRequest, Event, Input, RequestError};
use tocsin_record::document::{Carry, Roster, Signed};
use tocsin_record::{CircleId, DocHash, OrgId};

/// What no frame to a stranger may hold.
const NAME: &str = "ops-harbour-dawn";
const DAYS_MS: u64 = 24 * 3_600_000;

fn org(world: &World, node: usize) -> OrgId {
    world.nodes[node].mesh.org()
}

fn ask(world: &mut World, node: usize, request: CircleRequest) -> Result<(), RequestError> {
    world.request(node, |ticket| Input::Circle { ticket, request }).map(drop)
}

fn create(world: &mut World, carry: Carry, changes: Vec<Change>) -> CircleId {
    let nonce = [77; 32];
    ask(world, 0, CircleRequest::Create { nonce, name: NAME.into(), carry, changes }).unwrap();
    let circles: Vec<CircleId> =
        world.nodes[0].mesh.directory().circles().map(|(circle, _)| circle).collect();
    circles[0]
}

fn change(world: &mut World, node: usize, circle: CircleId, change: Change) -> Result<(), RequestError> {
    ask(world, node, CircleRequest::Change { circle, changes: vec![change] })
}

/// What stands at a node of a circle.
fn proposals(world: &World, node: usize) -> Vec<(ProposalKey, OpenProposal)> {
    world.nodes[node].mesh.directory().proposals().map(|(key, open)| (*key, open.clone())).collect()
}

/// The people of a node agree to the only change that waits for them.
fn accept(world: &mut World, node: usize) -> Result<(), RequestError> {
    let own = org(world, node);
    let directory = world.nodes[node].mesh.directory();
    let waits: Vec<CircleRequest> = directory
        .proposals()
        .filter(|(key, open)| directory.awaited(key, open).contains(&own))
        .map(|(key, open)| CircleRequest::Accept { key: *key, roster: open.proposal.roster.hash() })
        .collect();
    let [request] = &waits[..] else { panic!("{} wait for node {node}", waits.len()) };
    ask(world, node, request.clone())
}

fn version(world: &World, node: usize, circle: CircleId) -> u32 {
    world.nodes[node].mesh.directory().membership(circle).version()
}

fn members(world: &World, node: usize, circle: CircleId) -> Vec<usize> {
    let directory = world.nodes[node].mesh.directory();
    let members: Vec<OrgId> = directory.membership(circle).members().collect();
    (0..world.nodes.len()).filter(|other| members.contains(&org(world, *other))).collect()
}

/// A circle that node 0 began, and into which those of nodes 1 and 2 came.
fn of_three(world: &mut World) -> CircleId {
    let changes = [1, 2].map(|node| Change::Member(org(world, node))).to_vec();
    let circle = create(world, Carry::Members, changes);
    world.settle();
    accept(world, 1).unwrap();
    accept(world, 2).unwrap();
    world.settle();
    circle
}

fn publish(world: &mut World, node: usize, circle: CircleId, n: u32) -> Result<String, RequestError> {
    let address = format!("192.0.2.{n}");
    let bodies = vec![report(n, 1, &address)];
    world.request(node, |ticket| Input::Publish { ticket, circle, bodies }).map(|_| address)
}

fn hears(world: &World, node: usize, what: &[u8]) -> bool {
    let frames = world.heard.get(&node).into_iter().flatten();
    frames.into_iter().any(|frame| frame.windows(what.len()).any(|part| part == what))
}

#[test]
fn an_org_is_in_when_it_agreed_and_not_before() {
    let mut world = World::new(3, OPEN);
    world.connect_all();
    let invited = Change::Member(org(&world, 1));
    let circle = create(&mut world, Carry::Members, vec![invited]);
    let first = publish(&mut world, 0, circle, 1).unwrap();
    world.settle();
    assert_eq!((members(&world, 0, circle), version(&world, 0, circle)), (vec![0], 1), "in force at once");
    assert_eq!([1, 2].map(|node| version(&world, node, circle)), [0, 0]);
    assert_eq!([1, 2].map(|node| proposals(&world, node).len()), [1, 0]);
    assert_eq!(world.lookup(1, &first), 0);
    let (_, open) = &proposals(&world, 1)[0];
    assert_eq!((open.roster.name.as_str(), open.roster.version), (NAME, 2));
    assert_eq!(publish(&mut world, 1, circle, 9).unwrap_err(), RequestError::NotMember(circle));

    accept(&mut world, 1).unwrap();
    world.settle();
    assert_eq!([0, 1].map(|node| members(&world, node, circle)), [[0, 1], [0, 1]]);
    assert_eq!([0, 1, 2].map(|node| version(&world, node, circle)), [2, 2, 0]);
    assert_eq!([0, 1].map(|node| proposals(&world, node).len()), [0, 0], "it is settled");
    let second = publish(&mut world, 1, circle, 2).unwrap();
    world.settle();
    let known = |node| [&first, &second].map(|address| world.lookup(node, address));
    assert_eq!(
        [known(0), known(1), known(2)],
        [[1, 1], [0, 1], [0, 0]],
        "from when it is in, and no earlier"
    );
}

#[test]
fn a_stranger_learns_nothing_of_all_that_happens_to_a_circle() {
    let mut world = World::new(4, OPEN);
    world.connect_all();
    // What tells that the watch sees: a circle that has nobody but those of the other.
    let circle = of_three(&mut world);
    publish(&mut world, 0, circle, 1).unwrap();
    publish(&mut world, 1, circle, 2).unwrap();
    world.settle();
    ask(&mut world, 0, CircleRequest::Rename { circle, name: "ops-harbour-dusk".into() }).unwrap();
    let leaver = Change::Leave(org(&world, 2));
    change(&mut world, 2, circle, leaver).unwrap();
    world.settle();
    let removed = Change::Remove(org(&world, 1));
    change(&mut world, 0, circle, removed).unwrap();
    world.pass(120_000);
    for node in 0..3 {
        world.disconnect(node, 3);
        world.connect(node, 3);
    }
    world.pass(1_300_000);
    assert_eq!(members(&world, 0, circle), [0]);
    let directory = world.nodes[0].mesh.directory();
    let roster = directory.roster(circle).unwrap();
    let mut all: Vec<OrgId> = [0, 1, 2].map(|node| org(&world, node)).to_vec();
    all.sort_unstable();
    let list: Vec<u8> = all.iter().flat_map(|org| org.0).collect();
    let list: &[u8] = &list;
    for what in [b"ops-harbour", &circle.0[..], &roster.nonce, list, b"192.0.2.1"] {
        let told = [1, 3].map(|node| hears(&world, node, what));
        // Pages and reports are packed or coded: what stands in them is looked for where it is plain.
        assert!(!told[1], "a stranger hears {what:?}");
        assert!(told[0] || what == b"192.0.2.1", "the watch sees nothing of {what:?}");
    }
    assert!(!hears(&world, 3, b"report 1") && !hears(&world, 3, b"report 2"));
    assert!(proposals(&world, 3).is_empty() && version(&world, 3, circle) == 0);
    // One that asks is told no more.
    let link = world.strange_link(0, 3);
    let list = message::encode(&vec![Message::DocumentList(message::DocumentList(vec![]))]);
    let frame = world.hear(0, link, &list).unwrap();
    let effects = world.feed(0, Input::Received { link, frame });
    assert!(!format!("{effects:?}").contains("ops-harbour"));
}

#[test]
fn two_that_agree_at_the_same_time_are_both_in() {
    let mut world = World::new(3, OPEN);
    world.connect(0, 1);
    world.connect(0, 2);
    world.settle();
    let changes = [1, 2].map(|node| Change::Member(org(&world, node))).to_vec();
    let circle = create(&mut world, Carry::Members, changes);
    world.settle();
    // Neither hears of the other's answer, nor does the founder before both gave theirs.
    accept(&mut world, 1).unwrap();
    accept(&mut world, 2).unwrap();
    world.settle();
    for node in 0..3 {
        assert_eq!(members(&world, node, circle), [0, 1, 2], "at {node}");
        assert_eq!(version(&world, node, circle), 3);
    }
    let address = publish(&mut world, 1, circle, 1).unwrap();
    world.connect(1, 2);
    world.settle();
    assert_eq!([0, 2].map(|node| world.lookup(node, &address)), [1, 1]);
}

#[test]
fn neither_a_lost_link_nor_a_restart_loses_an_invitation_or_its_answer() {
    let mut world = World::new(4, OPEN);
    let founder_links = |world: &mut World| {
        for node in 1..4 {
            world.connect(0, node);
        }
        world.settle();
    };
    let changes = [1, 2, 3].map(|node| Change::Member(org(&world, node))).to_vec();
    let circle = create(&mut world, Carry::Members, changes);
    world.restart(0);
    assert_eq!(proposals(&world, 0).len(), 3, "they stand after a restart");
    founder_links(&mut world);
    assert!((1..4).all(|node| proposals(&world, node).len() == 1));
    // What is sent from now on is lost on its way, and the links with it.
    for node in 1..4 {
        world.lose(0, node);
        accept(&mut world, node).unwrap();
        world.restart(node);
    }
    world.restart(0);
    assert_eq!(members(&world, 0, circle), [0]);
    // The answers come one after the other: each makes a version, for which the next ones are stale.
    world.connect(0, 2);
    world.settle();
    assert_eq!(members(&world, 0, circle), [0, 2]);
    world.connect(0, 1);
    world.pass(100);
    world.disconnect(0, 1);
    world.restart(1);
    world.restart(0);
    founder_links(&mut world);
    world.settle();
    for node in 0..4 {
        assert_eq!(members(&world, node, circle), [0, 1, 2, 3], "at {node}");
        assert_eq!(version(&world, node, circle), 4);
        assert!(proposals(&world, node).is_empty());
    }
    world.restart(3);
    assert_eq!(members(&world, 3, circle), [0, 1, 2, 3]);
}

#[test]
fn an_invitation_goes_through_members_where_there_is_no_other_way() {
    let mut world = World::new(4, OPEN);
    world.connect_all();
    let middle = Change::Member(org(&world, 1));
    let circle = create(&mut world, Carry::Members, vec![middle]);
    world.settle();
    accept(&mut world, 1).unwrap();
    world.settle();
    world.disconnect(0, 2);
    let far = Change::Member(org(&world, 2));
    change(&mut world, 0, circle, far).unwrap();
    world.settle();
    assert_eq!([1, 2, 3].map(|node| proposals(&world, node).len()), [1, 1, 0]);
    accept(&mut world, 2).unwrap();
    world.settle();
    assert_eq!([0, 1, 2].map(|node| members(&world, node, circle)), [[0, 1, 2]; 3]);
}

#[test]
fn an_invitation_lapses_after_30_days_and_one_that_is_taken_back_is_over() {
    let mut world = World::new(3, OPEN);
    world.connect_all();
    let [one, other] = [1, 2].map(|node| Change::Member(org(&world, node)));
    let circle = create(&mut world, Carry::Members, vec![one, other]);
    world.settle();
    // Taken back before the answer comes: what was said to it then counts for nothing.
    world.lose(0, 1);
    accept(&mut world, 1).unwrap();
    let back = Change::Remove(org(&world, 1));
    change(&mut world, 0, circle, back).unwrap();
    world.connect(0, 1);
    world.settle();
    assert_eq!((members(&world, 0, circle), members(&world, 1, circle)), (vec![0], vec![]));
    assert_eq!(proposals(&world, 0).len(), 1);
    let until = proposals(&world, 2)[0].1.until;
    assert_eq!(until, proposals(&world, 2)[0].1.proposal.time + 30 * DAYS_MS);
    for _ in 0..31 {
        world.pass_off(DAYS_MS);
        world.pass(60_100);
    }
    assert!((0..3).all(|node| proposals(&world, node).is_empty()), "they lapsed");
    // Who said yes so long ago is asked again.
    change(&mut world, 0, circle, one).unwrap();
    world.settle();
    assert_eq!(members(&world, 0, circle), [0]);
    accept(&mut world, 1).unwrap();
    world.settle();
    assert_eq!(members(&world, 0, circle), [0, 1]);
}

#[test]
fn who_is_taken_out_hears_that_and_nothing_more() {
    let mut world = World::new(3, OPEN);
    world.connect_all();
    let circle = of_three(&mut world);
    let before = publish(&mut world, 1, circle, 1).unwrap();
    world.settle();
    // A member that was away when it wrote last.
    world.disconnect(1, 2);
    world.disconnect(0, 2);
    let late = publish(&mut world, 1, circle, 2).unwrap();
    world.settle();
    let removed = Change::Remove(org(&world, 1));
    change(&mut world, 0, circle, removed).unwrap();
    let after = publish(&mut world, 0, circle, 3).unwrap();
    world.settle();
    assert_eq!(members(&world, 0, circle), [0, 2]);
    assert_eq!(members(&world, 1, circle), [0, 2], "it is told that it is out");
    assert_eq!(world.lookup(1, &after), 0);
    assert_eq!(publish(&mut world, 1, circle, 4).unwrap_err(), RequestError::NotMember(circle));
    world.connect(0, 2);
    world.settle();
    assert_eq!([&before, &late, &after].map(|address| world.lookup(2, address)), [1, 1, 1]);
    let roster = world.nodes[0].mesh.directory().roster(circle).unwrap();
    assert_eq!((roster.cuts.len(), roster.cuts[0].seq), (1, 3), "its key and what it wrote until then count");
    // Nor is it told of what comes, on new links either.
    ask(&mut world, 0, CircleRequest::Rename { circle, name: "ops-elsewhere".into() }).unwrap();
    world.disconnect(0, 1);
    world.connect(0, 1);
    world.settle();
    assert!(!hears(&world, 1, b"ops-elsewhere") && hears(&world, 2, b"ops-elsewhere"));
    // It comes back by being asked again, and its logs are cut no longer.
    let back = Change::Member(org(&world, 1));
    change(&mut world, 0, circle, back).unwrap();
    world.settle();
    assert_eq!(members(&world, 0, circle), [0, 2], "what it agreed to before is not agreed to again");
    accept(&mut world, 1).unwrap();
    world.settle();
    assert_eq!(members(&world, 1, circle), [0, 1, 2]);
    assert!(world.nodes[2].mesh.directory().roster(circle).unwrap().cuts.is_empty());
}

#[test]
fn who_leaves_is_out_at_once_and_needs_nobody() {
    let mut world = World::new(3, OPEN);
    world.connect_all();
    let circle = of_three(&mut world);
    // The only steward is away.
    world.disconnect(0, 1);
    world.disconnect(0, 2);
    let leaves = Change::Leave(org(&world, 2));
    change(&mut world, 2, circle, leaves).unwrap();
    world.settle();
    assert_eq!([1, 2].map(|node| members(&world, node, circle)), [[0, 1], [0, 1]]);
    assert_eq!(publish(&mut world, 2, circle, 1).unwrap_err(), RequestError::NotMember(circle));
    let kept = publish(&mut world, 1, circle, 2).unwrap();
    world.settle();
    assert_eq!(world.lookup(2, &kept), 0, "others give it nothing more");
    world.restart(2);
    assert_eq!(members(&world, 2, circle), [0, 1], "also after a restart");
    // Another change comes first at the steward: it is gone from the next version all the same.
    ask(&mut world, 0, CircleRequest::Rename { circle, name: "ops-elsewhere".into() }).unwrap();
    world.connect(0, 1);
    world.connect(0, 2);
    world.settle();
    world.pass(60_000);
    assert_eq!([0, 1].map(|node| members(&world, node, circle)), [[0, 1], [0, 1]]);
    assert!(!world.nodes[0].mesh.directory().roster(circle).unwrap().has(org(&world, 2)));
    assert!((0..2).all(|node| proposals(&world, node).is_empty()));
    // The last who may change it stays.
    let last = Change::Leave(org(&world, 0));
    let refused = change(&mut world, 0, circle, last).unwrap_err().to_string();
    assert!(refused.contains("only steward"), "{refused}");
}

#[test]
fn carriers_are_asked_too_and_several_stewards_agree_to_each_change() {
    let mut world = World::new(4, OPEN);
    world.connect_all();
    let changes = vec![Change::Steward(org(&world, 1)), Change::Carrier(org(&world, 2))];
    let circle = create(&mut world, Carry::Named, changes);
    world.settle();
    accept(&mut world, 2).unwrap();
    world.settle();
    accept(&mut world, 1).unwrap();
    world.settle();
    let directory = world.nodes[0].mesh.directory();
    let now = directory.membership(circle);
    assert_eq!((now.members().count(), now.carriers().count(), now.version()), (2, 1, 3));
    assert!(now.carries(org(&world, 2)) && !now.has(org(&world, 2)));
    // From now on neither of the two does anything alone.
    let more = Change::Member(org(&world, 3));
    change(&mut world, 0, circle, more).unwrap();
    world.settle();
    accept(&mut world, 3).unwrap();
    world.settle();
    assert_eq!(version(&world, 0, circle), 3, "a steward has not agreed yet");
    accept(&mut world, 1).unwrap();
    world.settle();
    assert_eq!([0, 1, 3].map(|node| members(&world, node, circle)), [[0, 1, 3]; 3]);
    let removed = Change::Remove(org(&world, 3));
    change(&mut world, 1, circle, removed).unwrap();
    world.settle();
    assert_eq!(members(&world, 0, circle), [0, 1, 3]);
    accept(&mut world, 0).unwrap();
    world.settle();
    assert_eq!([0, 1, 3].map(|node| members(&world, node, circle)), [[0, 1]; 3]);
    // Who is no steward changes nothing.
    let refused = change(&mut world, 3, circle, more).unwrap_err().to_string();
    assert!(refused.contains("no steward"), "{refused}");
}

#[test]
fn what_stewards_propose_at_once_never_freezes_a_circle() {
    let mut world = World::new(4, OPEN);
    world.connect_all();
    let steward = Change::Steward(org(&world, 1));
    let circle = create(&mut world, Carry::Members, vec![steward]);
    world.settle();
    accept(&mut world, 1).unwrap();
    world.settle();
    let [one, other] = [2, 3].map(|node| Change::Member(org(&world, node)));
    change(&mut world, 0, circle, one).unwrap();
    change(&mut world, 1, circle, other).unwrap();
    world.settle();
    accept(&mut world, 2).unwrap();
    accept(&mut world, 3).unwrap();
    accept(&mut world, 1).unwrap();
    world.settle();
    // It agreed to the other's change of this version, so its own is proposed anew for the next.
    accept(&mut world, 0).unwrap();
    world.settle();
    for node in 0..4 {
        assert_eq!(members(&world, node, circle), [0, 1, 2, 3], "at {node}");
    }
}

#[test]
fn names_and_orgs_that_make_no_sense_are_refused_before_anything_is_there() {
    let mut world = World::new(3, OPEN);
    let create = |world: &mut World, name: &str, changes: Vec<Change>| {
        let name = name.to_owned();
        ask(world, 0, CircleRequest::Create { nonce: [1; 32], name, carry: Carry::Members, changes })
    };
    for name in ["", "own", "mesh", "Ops", "a b", "ops@x", &"ab".repeat(32)] {
        assert!(create(&mut world, name, vec![]).is_err(), "{name}");
    }
    assert!(create(&mut world, "ops", vec![Change::Member(OrgId([9; 32]))]).is_err());
    let carrier = Change::Carrier(org(&world, 1));
    assert!(create(&mut world, "ops", vec![carrier]).is_err());
    assert_eq!(world.nodes[0].mesh.directory().circles().count(), 0);
    create(&mut world, "ops", vec![]).unwrap();
    let again = create(&mut world, "ops", vec![]).unwrap_err().to_string();
    assert!(again.contains("began a circle `ops` before"), "{again}");
}

/// Says a proposal on a link of node 2, who is hostile.
fn say(world: &mut World, link: u64, proposals: Vec<Proposal>) {
    world.receive(0, link, message::encode(&vec![Message::Proposals(proposals)]));
}

#[test]
fn nobody_proposes_for_others_or_fills_a_node_with_proposals() {
    let world = World::new(4, OPEN);
    let foe = secret(1, 2, 0);
    let first = |n: u16| Roster {
        mesh: world.mesh(),
        version: 1,
        prev: DocHash::ZERO,
        nonce: [77; 32],
        name: format!("pals{n}"),
        time: 0,
        expires: 0,
        carry: Carry::Members,
        orgs: vec![org(&world, 2)],
        carriers: vec![],
        stewards: vec![foe.public()],
        cuts: vec![],
        extension: vec![],
    };
    let invite = |n: u16, node: usize, by: u8| {
        let first = first(n);
        let signed = Signed::sign(&first, &[&foe]);
        let mut orgs = vec![org(&world, 2), org(&world, node)];
        orgs.sort_unstable();
        let next = Roster { version: 2, prev: signed.hash(), orgs, ..first };
        let change = Change::Member(org(&world, node));
        let next = Signed::sign(&next, &[]);
        Proposal::sign(world.mesh(), change, signed, next, world.now.wall, &secret(1, by, 0))
    };
    let good = invite(1, 0, 2);
    let mut forged = invite(2, 0, 2);
    forged.time += 1;
    let elsewhere = invite(3, 1, 2);
    let mut other = invite(4, 0, 2);
    other.change = Change::Member(org(&world, 3));
    let many: Vec<Proposal> = (10..200).map(|n| invite(n, 0, 2)).collect();
    let mut world = world;
    let link = world.strange_link(0, 2);
    say(&mut world, link, vec![forged, elsewhere, other]);
    assert!(proposals(&world, 0).is_empty());
    say(&mut world, link, vec![good]);
    assert_eq!(proposals(&world, 0).len(), 1);
    for some in many.chunks(16) {
        say(&mut world, link, some.to_vec());
        world.pass(60_000);
    }
    assert!(proposals(&world, 0).len() <= 64);
    assert!(!world.events(0).iter().any(|event| matches!(event, Event::Documents { .. })));
    // Nothing of it is in force, and another org is still heard.
    assert_eq!(world.nodes[0].mesh.directory().circles().count(), 0);
    world.connect(0, 1);
    world.settle();
    let nonce = [5; 32];
    let changes = vec![Change::Member(org(&world, 0))];
    let request = CircleRequest::Create { nonce, name: NAME.into(), carry: Carry::Members, changes };
    ask(&mut world, 1, request).unwrap();
    world.settle();
    assert!(proposals(&world, 0).iter().any(|(key, _)| key.by == org(&world, 1)));
}
