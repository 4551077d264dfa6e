//! What is carried by hand: what comes of it is what a link would have brought, by the same doors, and nothing else.

use std::collections::BTreeMap;

use crate::world::{OPEN, World, report, secret};
use tocsin_protocol::message::{self, Message};
use tocsin_protocol::{Brought, BundlePart, BundleRequest, Done, Event, Given, Input, Reached, RequestError};
use tocsin_record::body::Body;
use tocsin_record::body::report::Subject;
use tocsin_record::document::{Carry, Charter, Roster, Signed};
use tocsin_record::keys::Secret;
use tocsin_record::run::Draft;
use tocsin_record::{Bytes, CircleId, DocHash, LogKey, NodeKey, OrgId, Part, Run, Tip, Verified, page};
use tocsin_store::{BodyState, RecordRef, Verdict};

/// Nothing that is GREEN or stricter goes to anybody.
const CLEAR_ONLY: &str = r#"
@id("accept-all") permit(principal, action == Action::"accept", resource);
@id("fetch-all") permit(principal, action == Action::"fetch", resource);
@id("forward-clear") permit(principal, action == Action::"forward", resource) when { resource has tlp && resource.tlp < 2 };
"#;

fn org(world: &World, node: usize) -> OrgId {
    world.nodes[node].mesh.org()
}

fn roster(world: &World, members: &[u8]) -> (CircleId, Signed) {
    let mut orgs: Vec<OrgId> = members.iter().map(|node| org(world, usize::from(*node))).collect();
    orgs.sort_unstable();
    let roster = Roster {
        mesh: world.mesh(),
        version: 1,
        prev: DocHash::ZERO,
        nonce: [77; 32],
        name: "ops".into(),
        time: 0,
        expires: 0,
        carry: Carry::Members,
        orgs,
        carriers: vec![],
        stewards: vec![secret(1, members[0], 0).public()],
        cuts: vec![],
        extension: vec![],
    };
    let secrets: Vec<Secret> = members.iter().map(|node| secret(1, *node, 0)).collect();
    let signed = Signed::sign(&roster, &secrets.iter().collect::<Vec<_>>());
    (CircleId(signed.hash().0), signed)
}

fn bring(world: &mut World, node: usize, document: &Signed) {
    let documents = vec![document.clone()];
    world.request(node, |ticket| Input::Documents { ticket, documents }).unwrap();
}

fn give(world: &mut World, node: usize, request: BundleRequest) -> Given {
    world.request(node, |ticket| Input::Bundle { ticket, request }).unwrap().given
}

fn take(world: &mut World, node: usize, from: usize, part: BundlePart) -> Result<Done, RequestError> {
    let from = world.nodes[from].mesh.node();
    let request = BundleRequest::Take { from, part };
    world.request(node, |ticket| Input::Bundle { ticket, request })
}

fn in_pages(given: &Given) -> u64 {
    given.runs.iter().map(|run| run.in_page).sum()
}

fn verified(log: LogKey, packed: &Bytes) -> Verified {
    page::decode(log, &page::unpack(packed).unwrap()).unwrap().verify().unwrap()
}

fn frontier(world: &World, node: usize, with: usize) -> Vec<Reached> {
    world.nodes[node].mesh.frontier_with(&[org(world, with)], 1000)
}

/// Carries all that one node has for another which that lacks, and tells what it brought.
fn carry(world: &mut World, from: usize, to: usize) -> Brought {
    let (own, other) = (org(world, from), org(world, to));
    let directory = world.nodes[from].mesh.directory();
    let told = directory.told_to_all(own, &[other]).into_iter().map(|(signed, _)| signed.clone());
    let documents = directory.after(0, 0).into_iter().chain(told).collect();
    let proposals = world.nodes[from].mesh.proposals_with(&[other]);
    take(world, to, from, BundlePart::Documents { documents, proposals }).unwrap();
    let theirs: BTreeMap<LogKey, Reached> =
        frontier(world, to, from).into_iter().map(|reached| (reached.log, reached)).collect();
    let mut sum = Brought::default();
    let mut add = |done: Done| {
        sum.records += done.brought.records;
        sum.bodies += done.brought.bodies;
        sum.behind += done.brought.behind;
        sum.refused += done.brought.refused;
    };
    for Reached { no, log, height, .. } in frontier(world, from, to) {
        if let Some(pages) = world.nodes[from].mesh.fork_proof(no).unwrap() {
            let branches = pages.map(|page| page::decode(log, &Bytes::from(page)).unwrap().verify().unwrap());
            add(take(world, to, from, BundlePart::Fork(Box::new(branches))).unwrap());
        }
        let known = theirs.get(&log);
        let mut next = known.map_or(0, |known| known.height) + 1;
        let missing = known.map(|known| known.missing.clone()).unwrap_or_default();
        let places = missing.into_iter().map(|seq| RecordRef { log: no, seq }).collect();
        let mut given = give(world, from, BundleRequest::GiveBodies { to: vec![other], places });
        while next <= height {
            let more =
                give(world, from, BundleRequest::Give { to: vec![other], log: no, from: next, most: 4096 });
            next = more.runs.last().unwrap().last + 1;
            given.bodies.extend(more.runs.iter().flat_map(|run| run.bodies.clone()));
            given.runs.extend(more.runs);
        }
        let runs = given.runs.into_iter().map(|run| (verified(log, &run.page), run.page)).collect();
        add(take(world, to, from, BundlePart::Runs(runs)).unwrap());
        let bodies = given.bodies.into_iter().map(|(place, body)| (log, place.seq, body)).collect();
        add(take(world, to, from, BundlePart::Bodies(bodies)).unwrap());
    }
    let receipts = world.nodes[from].mesh.receipts_with(&[other]);
    add(take(world, to, from, BundlePart::Receipts(receipts)).unwrap());
    sum
}

/// Logs by how far they are, as two nodes compare them.
fn compared(world: &World, node: usize, with: usize) -> Vec<(LogKey, u64, tocsin_record::RecordId)> {
    frontier(world, node, with).into_iter().map(|one| (one.log, one.height, one.id)).collect()
}

fn address(number: u32) -> String {
    format!("192.0.{}.{}", number / 250, number % 250)
}

fn told(number: u32, tlp: u8) -> Body {
    let Body::Report(mut body) = report(number, tlp, &address(number)) else { unreachable!() };
    body.subject = subject(number);
    Body::Report(body)
}

fn subject(number: u32) -> Subject {
    let mut subject = [9; 16];
    subject[..4].copy_from_slice(&number.to_be_bytes());
    Subject(subject)
}

fn publish(
    world: &mut World,
    node: usize,
    circle: CircleId,
    bodies: Vec<Body>,
) -> Vec<tocsin_record::RecordId> {
    let done = world.request(node, |ticket| Input::Publish { ticket, circle, bodies }).unwrap();
    done.written.iter().map(|written| written.id).collect()
}

fn retract(world: &mut World, node: usize, number: u32) {
    let subject = subject(number);
    world.request(node, |ticket| Input::Retract { ticket, subject, reason: 1 }).unwrap();
}

fn known(world: &World, node: usize) -> Vec<bool> {
    (0..700).map(|number| world.lookup(node, &address(number)) > 0).collect()
}

#[test]
fn what_two_carry_to_each_other_is_what_a_link_would_bring() {
    let mut world = World::new(3, OPEN);
    let mesh = CircleId::mesh(world.mesh());
    let (circle, signed) = roster(&world, &[0, 1]);
    bring(&mut world, 0, &signed);
    for number in 0..500 {
        publish(&mut world, 0, mesh, vec![told(number, 2)]);
    }
    // The circle reaches node 1 with the first bundle, and both write in it from then on.
    let first = carry(&mut world, 0, 1);
    assert_eq!((first.records, first.bodies), (500, 500));
    for number in 500..540 {
        publish(&mut world, 0, circle, vec![told(number, 3)]);
    }
    for number in 540..600 {
        publish(&mut world, 1, mesh, vec![told(number, 2)]);
        publish(&mut world, 1, circle, vec![told(number + 60, 3)]);
    }
    for number in [3, 77, 499, 510] {
        retract(&mut world, 0, number);
    }
    retract(&mut world, 1, 550);
    carry(&mut world, 0, 1);
    let back = carry(&mut world, 1, 0);
    assert_eq!((back.behind, back.refused), (0, 0));
    assert_eq!(compared(&world, 0, 1), compared(&world, 1, 0));
    world.pass(2_000);
    let wrong = |number: usize| [3, 77, 499, 510, 550].contains(&number);
    for node in [0, 1] {
        let known = known(&world, node);
        let should: Vec<bool> = (0..700).map(|number| number < 660 && !wrong(number)).collect();
        assert_eq!(known, should, "node {node}");
    }
    // The same once more brings nothing.
    assert_eq!(carry(&mut world, 0, 1), Brought::default());
    // Who has it is known to its author.
    let id = publish(&mut world, 0, mesh, vec![told(660, 2)])[0];
    carry(&mut world, 0, 1);
    carry(&mut world, 1, 0);
    let reader = world.nodes[0].mesh.reader();
    let said = reader.acknowledged(reader.find(&id).unwrap().unwrap()).unwrap();
    assert_eq!(said.len(), 1, "node 1 signed for it: {said:?}");

    // Linked, they find that nothing is missing, and exchange no record.
    world.heard.clear();
    world.connect(0, 1);
    world.settle();
    let mut messages = 0;
    for frame in world.heard.values().flatten() {
        for message in message::decode(world.mesh(), frame).unwrap().messages {
            messages += 1;
            let moves = matches!(
                message,
                Message::Page(_)
                    | Message::Push(_)
                    | Message::Bodies(_)
                    | Message::Want(_)
                    | Message::WantBodies(_)
                    | Message::Buckets(_)
                    | Message::Entries(_)
                    | Message::DocumentList(_)
            );
            assert!(!moves, "{message:?}");
        }
    }
    assert!(messages > 4, "they did speak to each other");
}

#[test]
fn what_policy_keeps_from_one_of_them_is_in_no_bundle_and_comes_when_it_may() {
    let mut world = World::new(3, OPEN);
    let mesh = CircleId::mesh(world.mesh());
    let ids = publish(&mut world, 0, mesh, vec![told(1, 1), told(2, 2)]);
    world.policy(0, CLEAR_ONLY);
    let (log, both) = (frontier(&world, 0, 1)[0].no, vec![org(&world, 1), org(&world, 2)]);
    let given = give(&mut world, 0, BundleRequest::Give { to: both, log, from: 1, most: 1 << 20 });
    assert_eq!((in_pages(&given), given.withheld.values().sum::<u64>()), (1, 1), "{:?}", given.withheld);
    let key = frontier(&world, 0, 1)[0].log;
    let parts: Vec<Part> =
        verified(key, &given.runs[0].page).entries().iter().map(|entry| entry.body.clone()).collect();
    assert!(matches!(parts[..], [Part::Here(_), Part::Withheld]), "{parts:?}");
    carry(&mut world, 0, 1);
    let body = |world: &World, id| world.stored(1, id).unwrap().stamped.outcome.body;
    assert_eq!((body(&world, &ids[0]), body(&world, &ids[1])), (BodyState::Here, BodyState::Withheld));
    assert_eq!(frontier(&world, 1, 0)[0].missing, [2]);
    world.policy(0, OPEN);
    let brought = carry(&mut world, 0, 1);
    assert_eq!((brought.records, brought.bodies), (0, 1), "the body alone");
    assert_eq!(body(&world, &ids[1]), BodyState::Here);
    assert_eq!(world.lookup(1, &address(2)), 1);
    // A body of another record is not taken for it.
    world.policy(0, CLEAR_ONLY);
    let other = publish(&mut world, 0, mesh, vec![told(3, 2)])[0];
    carry(&mut world, 0, 1);
    let wrong = vec![(key, 3, world.stored(0, &ids[0]).unwrap().entry.body().unwrap().clone())];
    assert_eq!(take(&mut world, 1, 0, BundlePart::Bodies(wrong)).unwrap().brought, Brought::default());
    assert_eq!(body(&world, &other), BodyState::Withheld);
}

#[test]
fn what_one_of_several_may_not_have_is_given_to_none_of_them() {
    let mut world = World::new(3, OPEN);
    let mesh = CircleId::mesh(world.mesh());
    publish(&mut world, 0, mesh, vec![told(1, 2)]);
    let (log, both) = (frontier(&world, 0, 1)[0].no, vec![org(&world, 1), org(&world, 2)]);
    for kept_from in ["org1", "org2"] {
        let rule = format!(
            r#"@id("not-to-one") forbid(principal, action == Action::"forward", resource) when {{ principal.name == "{kept_from}" }};"#
        );
        world.policy(0, &format!("{OPEN}{rule}"));
        let asked = |to: &[OrgId]| BundleRequest::Give { to: to.to_vec(), log, from: 1, most: 1 << 20 };
        let given = give(&mut world, 0, asked(&both));
        assert_eq!((in_pages(&given), given.withheld), (0, BTreeMap::from([("not-to-one".to_owned(), 1)])));
        let given: u64 = both.iter().map(|org| in_pages(&give(&mut world, 0, asked(&[*org])))).sum();
        assert_eq!(given, 1, "to the other alone it is");
    }
}

#[test]
fn that_a_body_is_withheld_is_known_by_the_bundle_as_well() {
    let mut world = World::new(2, OPEN);
    let mesh = CircleId::mesh(world.mesh());
    let id = publish(&mut world, 0, mesh, vec![told(1, 2)])[0];
    let Reached { no, log, .. } = frontier(&world, 0, 1)[0].clone();
    let to = vec![org(&world, 1)];
    let given = give(&mut world, 0, BundleRequest::Give { to, log: no, from: 1, most: 1 << 20 });
    for (part, body) in [(Part::NotHeld, BodyState::Wanted), (Part::Withheld, BodyState::Withheld)] {
        let mut run = verified(log, &given.runs[0].page).into_run();
        for (_, old) in run.bodies_mut() {
            *old = part.clone();
        }
        let packed = page::pack(&page::encode(&run)).into();
        take(&mut world, 1, 0, BundlePart::Runs(vec![(run.verify().unwrap(), packed)])).unwrap();
        assert_eq!(world.stored(1, &id).unwrap().stamped.outcome.body, body);
    }
}

/// What was sealed to a circle before an org came in is not for it, whatever file it stands in.
#[test]
fn what_was_sealed_before_an_org_came_in_is_not_opened_by_a_bundle() {
    let mut world = World::new(2, OPEN);
    let (circle, first) = roster(&world, &[0]);
    bring(&mut world, 0, &first);
    let id = publish(&mut world, 0, circle, vec![told(1, 3)])[0];
    let roster: Roster = first.read().unwrap();
    let mut orgs = vec![org(&world, 0), org(&world, 1)];
    orgs.sort_unstable();
    let next = Roster { version: 2, prev: first.hash(), orgs, ..roster };
    let next = Signed::sign(&next, &[&secret(1, 0, 0), &secret(1, 1, 0)]);
    bring(&mut world, 0, &next);
    let after = publish(&mut world, 0, circle, vec![told(2, 3)])[0];
    assert!(carry(&mut world, 0, 1).records >= 4);
    let outcome = |id| world.stored(1, id).unwrap().stamped.outcome;
    assert_eq!((outcome(&id).verdict, outcome(&id).body), (Verdict::Refused, BodyState::Refused));
    let rule = world.nodes[1].mesh.reader().rule(outcome(&id).rule);
    assert_eq!(rule.as_deref(), Some("guardrail:before-joining"));
    assert_eq!(outcome(&after).verdict, Verdict::Accepted);
    assert_eq!((world.lookup(1, &address(1)), world.lookup(1, &address(2))), (0, 1));
}

/// By a link RED goes from its author to a circle's members; whoever has a file has it from anybody.
#[test]
fn red_of_a_circle_is_in_none_for_its_members() {
    let mut world = World::new(2, OPEN);
    let (_, signed) = roster(&world, &[0, 1]);
    let roster = Roster { carry: Carry::Author, ..signed.read().unwrap() };
    let signed = Signed::sign(&roster, &[&secret(1, 0, 0), &secret(1, 1, 0)]);
    bring(&mut world, 0, &signed);
    let ids = publish(&mut world, 0, CircleId(signed.hash().0), vec![told(1, 5), told(2, 3)]);
    carry(&mut world, 0, 1);
    let body = |world: &World, id| world.stored(1, id).unwrap().stamped.outcome.body;
    assert_eq!((body(&world, &ids[0]), body(&world, &ids[1])), (BodyState::Withheld, BodyState::Here));
    world.connect(0, 1);
    world.settle();
    assert_eq!(body(&world, &ids[0]), BodyState::Here, "the link brings it");
}

#[test]
fn red_is_in_none_not_even_for_nodes_of_the_same_org() {
    let mut world = World::new(1, OPEN);
    let own = CircleId::own(world.mesh(), org(&world, 0));
    publish(&mut world, 0, own, vec![told(1, 5), told(2, 3)]);
    let (to, log) = (vec![org(&world, 0)], frontier(&world, 0, 0)[0].no);
    let given = give(&mut world, 0, BundleRequest::Give { to, log, from: 1, most: 1 << 20 });
    assert_eq!(in_pages(&given), 1);
    assert_eq!(given.withheld, BTreeMap::from([("guardrail:tlp-direction".to_owned(), 1)]));
}

#[test]
fn a_circle_is_given_to_those_in_it_alone_and_taken_from_them_alone() {
    let mut world = World::new(3, OPEN);
    let (circle, signed) = roster(&world, &[0, 1]);
    bring(&mut world, 0, &signed);
    publish(&mut world, 0, circle, vec![told(1, 3)]);
    assert!(frontier(&world, 0, 2).is_empty(), "nothing of it is told");
    let log = frontier(&world, 0, 1)[0].clone();
    let both = vec![org(&world, 1), org(&world, 2)];
    let asked = |to| BundleRequest::Give { to, log: log.no, from: 1, most: 1 << 20 };
    assert_eq!(give(&mut world, 0, asked(both)), Given::default());
    let one = vec![org(&world, 1)];
    let given = give(&mut world, 0, asked(one));
    let runs = |given: &Given| {
        given.runs.iter().map(|run| (verified(log.log, &run.page), run.page.clone())).collect()
    };
    // By the hand of who is not in it, at who is.
    carry(&mut world, 0, 1);
    let mut fresh = World::new(3, OPEN);
    bring(&mut fresh, 1, &signed);
    let refused = take(&mut fresh, 1, 2, BundlePart::Runs(runs(&given))).unwrap().brought;
    assert_eq!((refused.records, refused.refused), (0, 2));
    assert!(fresh.nodes[1].mesh.reader().logs().is_empty());
    let taken = take(&mut fresh, 1, 0, BundlePart::Runs(runs(&given))).unwrap().brought;
    assert_eq!((taken.records, fresh.lookup(1, &address(1))), (2, 1), "its key record, and what that opens");
    // And by no hand at who is not.
    let at_stranger = take(&mut fresh, 2, 0, BundlePart::Runs(runs(&given))).unwrap().brought;
    assert_eq!((at_stranger.records, at_stranger.refused), (0, 2));
    assert!(fresh.nodes[2].mesh.reader().logs().is_empty());
}

#[test]
fn of_a_node_that_is_not_in_the_mesh_nothing_is_taken() {
    let mut world = World::new(3, OPEN);
    let mesh = CircleId::mesh(world.mesh());
    publish(&mut world, 1, mesh, vec![told(1, 2)]);
    publish(&mut world, 2, mesh, vec![told(2, 2)]);
    carry(&mut world, 1, 2);
    // The founder takes org 1 out, and node 2 does not know.
    let first = world.nodes[0].mesh.directory().charters()[0].clone();
    let charter = world.nodes[0].mesh.directory().charter().clone();
    let gone = org(&world, 1);
    let orgs = charter.orgs.iter().filter(|entry| entry.root != gone).cloned().collect();
    let next = Charter { version: 2, prev: first.hash(), orgs, ..charter };
    let next = Signed::sign(&next, &[&world.root_secret(0)]);
    bring(&mut world, 0, &next);
    let reached = frontier(&world, 1, 2)[0].clone();
    let to = vec![org(&world, 2)];
    let given = give(&mut world, 1, BundleRequest::Give { to, log: reached.no, from: 1, most: 1 << 20 });
    let runs = || given.runs.iter().map(|run| (verified(reached.log, &run.page), run.page.clone())).collect();
    let documents = world.nodes[1].mesh.directory().all();
    let before = world.nodes[0].mesh.directory().root();
    for part in [
        BundlePart::Documents { documents, proposals: vec![] },
        BundlePart::Runs(runs()),
        BundlePart::Receipts(vec![]),
    ] {
        let refused = take(&mut world, 0, 1, part).unwrap_err();
        assert!(refused.to_string().contains("not in the charter"), "{refused}");
    }
    assert_eq!(world.nodes[0].mesh.directory().root(), before);
    assert!(world.nodes[0].mesh.reader().logs().is_empty());
    // A bundle that brings the charter by which its own maker is out brings nothing at all.
    let documents = vec![next.clone()];
    assert!(take(&mut world, 2, 1, BundlePart::Documents { documents, proposals: vec![] }).is_err());
    assert_eq!(world.nodes[2].mesh.directory().charter().version, 1);
    // What it wrote is not taken by the hand of others either, since it may not write any more.
    let by_other = {
        let to = vec![org(&world, 0)];
        let no = frontier(&world, 2, 1).iter().find(|one| one.log == reached.log).unwrap().no;
        give(&mut world, 2, BundleRequest::Give { to, log: no, from: 1, most: 1 << 20 })
    };
    let runs = by_other.runs.iter().map(|run| (verified(reached.log, &run.page), run.page.clone())).collect();
    let brought = take(&mut world, 0, 2, BundlePart::Runs(runs)).unwrap().brought;
    assert_eq!((brought.records, brought.refused), (0, 1));
    assert_eq!(world.lookup(0, &address(1)), 0);
}

fn drafts(from: u32, count: u32, time: u64) -> Vec<Draft> {
    let draft = |number| {
        let body = told(number, 2);
        Draft {
            kind: body.kind().unwrap(),
            tlp: 2,
            flags: 0,
            time,
            expires: 0,
            roster: 1,
            extension: vec![],
            body: body.encode().into(),
        }
    };
    (from..from + count).map(draft).collect()
}

#[test]
fn a_fork_is_found_and_its_proof_carried() {
    let mut world = World::new(4, OPEN);
    let author = world.record_secret(3);
    let key = LogKey {
        mesh: world.mesh(),
        author: NodeKey(author.public()),
        circle: CircleId::mesh(world.mesh()),
        epoch: world.now.wall,
    };
    let run = |tip, from, count| Run::sign(&author, key, tip, drafts(from, count, key.epoch)).unwrap();
    let base = run(Tip::default(), 1, 2);
    let (one, other) = (run(base.tip(), 3, 2), run(base.tip(), 5, 3));
    let part = |runs: [&Run; 2]| {
        BundlePart::Runs(
            runs.map(|run| (run.clone().verify().unwrap(), page::pack(&page::encode(run)).into())).into(),
        )
    };
    assert_eq!(take(&mut world, 0, 1, part([&base, &one])).unwrap().brought.records, 4);
    // What follows and is not there yet is left out, and said.
    let later = run(other.tip(), 8, 1);
    let gap = take(&mut world, 2, 1, part([&base, &later])).unwrap().brought;
    assert_eq!((gap.records, gap.behind), (2, 1));
    let found = take(&mut world, 0, 1, part([&base, &other])).unwrap().brought;
    assert_eq!(found.records, 0);
    let forked = |world: &World, node| {
        world.events(node).iter().any(|event| matches!(event, Event::Forked { seq: 3, .. }))
    };
    assert!(forked(&world, 0) && !forked(&world, 2));
    carry(&mut world, 0, 2);
    assert!(forked(&world, 2), "the proof came");
    let more = run(other.tip(), 8, 1);
    let after = take(&mut world, 2, 1, part([&other, &more])).unwrap().brought;
    assert_eq!(after.records, 0, "nothing more is taken of it");
    let id = base.entries()[0].id;
    assert_eq!(world.stored(2, &id).unwrap().stamped.outcome.verdict, Verdict::Accepted);
}
