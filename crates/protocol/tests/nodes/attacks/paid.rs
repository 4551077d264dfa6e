//! Work: whoever makes a node do it pays for it.

use tocsin_protocol::message::head::{head_hash, receipt_hash};
use tocsin_protocol::message::{
    self, AtAnswer, BodyData, BodyStatus, Buckets, Change, DocumentList, Documents, Entries, EntryOf, Fates,
    Have, Head, Hello, Lobby, LogName, LogState, Message, Page, Proposal, Push, Range, Receipt, RecordAt,
    Want,
};
use tocsin_protocol::{Effect, Input};
use tocsin_record::body::Body;
use tocsin_record::document::{Roster, Signed};
use tocsin_record::run::Part;
use tocsin_record::{CircleId, DocHash, RecordId, Run, Tip, page};

use super::{
    FOE, OPEN, answered, draft, foe_roster, foe_run, log_of, long_fork, may_ask, try_further_link,
    with_large_report,
};
use crate::world::{World, report};

/// What one frame of questions may make a node say.
const ANSWER_MAX: usize = 20 << 20;

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
        ("bodies", Message::WantBodies(vec![RecordAt { log: 0, seq: 1 }; 100])),
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
    assert!(left(&world) <= 0);
}

/// What is left to the hostile member's node, in microseconds; all of it if it was not heard yet.
fn left(world: &World) -> i64 {
    let node = world.nodes[usize::from(FOE)].mesh.node();
    world.nodes[0].mesh.left_to(&node).unwrap_or(i64::MAX)
}

#[test]
fn a_new_link_is_no_new_budget() {
    let mut world = World::new(3, OPEN);
    world.publish(1, report(1, 1, "192.0.2.1"));
    world.connect(0, 1);
    world.settle();
    let log = world.nodes[1].mesh.reader().logs()[0].key;
    let mut answers = 0;
    for _ in 0..20 {
        let link = world.come_back(0, FOE);
        let ask = std::iter::once(Message::Name(0, log.into())).chain((0..1000).map(|_| Message::At(0, 1)));
        let frame = world.hear(0, link, &message::encode(&ask.collect())).unwrap();
        for effect in world.feed(0, Input::Received { link, frame }) {
            if let Effect::Send { frame, .. } = effect {
                let told = message::decode(world.mesh(), &frame).unwrap().messages;
                answers += told.iter().filter(|m| matches!(m, Message::AtAnswer(_))).count();
            }
        }
        world.feed(0, Input::LinkDown { link });
    }
    assert!((100..=300).contains(&answers), "{answers} answers of 20 links in no time");
    assert!(left(&world) <= 0);
    world.pass(5_000);
    let link = world.strange_link(0, FOE);
    world.receive(0, link, message::encode(&vec![Message::Name(0, log.into())]));
    assert!(may_ask(&mut world, link), "time pays");
}

#[test]
fn an_org_of_many_nodes_has_the_share_of_one() {
    let mut world = World::new(3, OPEN);
    world.publish(1, report(1, 1, "192.0.2.1"));
    world.connect(0, 1);
    world.settle();
    let log = world.nodes[1].mesh.reader().logs()[0].key;
    let ask: Vec<Message> =
        std::iter::once(Message::Name(0, log.into())).chain((0..1000).map(|_| Message::At(0, 1))).collect();
    let answers: Vec<usize> = (0..20)
        .map_while(|n| try_further_link(&mut world, n).map(|link| answered(&mut world, 0, link, &ask)))
        .collect();
    let whole = answers[0];
    assert!(whole > 0 && answers.iter().sum::<usize>() < 3 * whole, "{answers:?}");
    let other = world.strange_link(0, 1);
    assert_eq!(answered(&mut world, 0, other, &ask), whole, "another org has all of its own");
}

/// One of each message, as an honest peer could say it.
fn one_of_each(world: &World) -> Vec<Message> {
    let log = log_of(world, FOE.into(), world.now.wall);
    let own = world.record_secret(FOE);
    let node = world.nodes[usize::from(FOE)].mesh.node();
    let (_, run) = foe_run(world, Tip::default(), vec![draft(&report(1, 1, "192.0.2.9"), world.now.wall)]);
    let push = Push { log: 0, reply: true, page: page::encode(&run) };
    let what = RecordAt { log: 0, seq: 1 };
    let (id, time) = (RecordId([1; 32]), world.now.wall);
    let signed = own.sign(&head_hash(&world.mesh(), &node, &log.circle, log.epoch, 1, &id, 0, time));
    let fates = Fates::default();
    let receipt = own.sign(&receipt_hash(&node, &log.id(), 1, time, &fates));
    let certificate = world.certificate(FOE);
    let behind = message::Behind::default();
    let entry = EntryOf { no: 0, log: log.into(), base: 1, height: 1, id, state: LogState::Open };
    vec![
        Message::Lobby(Lobby {
            protocol: 1,
            mesh: world.mesh(),
            certificate: certificate.clone(),
            charter: behind,
            revocations: behind,
            extension: vec![],
        }),
        Message::Documents(Documents(vec![certificate])),
        Message::Name(0, log.into()),
        Message::DocumentList(DocumentList(vec![DocHash([1; 32])])),
        Message::Hello(Hello { logs: [1; 32], documents: [1; 32] }),
        Message::Buckets(Buckets(vec![[0; 16]; 256])),
        Message::Entries(Entries(vec![entry])),
        Message::Push(push.clone()),
        Message::Have(vec![Have { log: 0, from: 1, more: 0, age: 0, except: vec![] }]),
        Message::Graft(0, u64::MAX),
        Message::Prune(0),
        Message::Want(Want { id: 1, ranges: vec![], credit: 0 }),
        Message::Credit(1),
        Message::Page(Page { want: 0, log: log.into(), last: true, packed: vec![] }),
        Message::WantBodies(vec![what]),
        Message::Bodies(vec![BodyData { what, status: BodyStatus::NotHeld }]),
        Message::HaveBodies(vec![what]),
        Message::Holes(vec![what]),
        Message::At(0, 1),
        Message::AtAnswer(AtAnswer { log: 0, seq: 1, id: None }),
        Message::Fork(Box::new([push.clone(), push])),
        Message::Heads(vec![Head { log: 0, seq: 1, id, releases: 0, time, signature: signed }]),
        Message::Receipts(vec![Receipt { log: 0, holder: 0, height: 1, time, fates, signature: receipt }]),
        Message::Unnamed(0),
        Message::Proposals(vec![proposal(world)]),
    ]
}

/// The hostile member invites the org of node 0 to a circle of its own.
fn proposal(world: &World) -> Proposal {
    let own = world.record_secret(FOE);
    let first = foe_roster(world, [1; 32], vec![]);
    let signed = Signed::sign(&first, &[&own]);
    let invited = world.nodes[0].mesh.org();
    let next = Roster { version: 2, prev: signed.hash(), orgs: vec![invited], ..first };
    let next = Signed::sign(&next, &[]);
    Proposal::sign(world.mesh(), Change::Member(invited), signed, next, world.now.wall, &own)
}

/// A message that is added does not compile here, and then is to be said above.
fn row(message: &Message) -> usize {
    match message {
        Message::Lobby(_) => 0,
        Message::Documents(_) => 1,
        Message::Name(..) => 2,
        Message::DocumentList(_) => 3,
        Message::Hello(_) => 4,
        Message::Buckets(_) => 5,
        Message::Entries(_) => 6,
        Message::Push(_) => 7,
        Message::Have(_) => 8,
        Message::Graft(..) => 9,
        Message::Prune(_) => 10,
        Message::Want(_) => 11,
        Message::Credit(_) => 12,
        Message::Page(_) => 13,
        Message::WantBodies(_) => 14,
        Message::Bodies(_) => 15,
        Message::HaveBodies(_) => 16,
        Message::Holes(_) => 17,
        Message::At(..) => 18,
        Message::AtAnswer(_) => 19,
        Message::Fork(_) => 20,
        Message::Heads(_) => 21,
        Message::Receipts(_) => 22,
        Message::Unnamed(_) => 23,
        Message::Proposals(_) => 24,
    }
}

#[test]
fn every_message_is_paid_for() {
    let all = one_of_each(&World::new(3, OPEN));
    assert!(all.iter().map(row).eq(0..all.len()), "one of each, in order");
    let last = u8::try_from(all.len()).unwrap();
    let world = World::new(3, OPEN);
    let unknown = message::decode(world.mesh(), &[1, last]).unwrap_err();
    assert!(format!("{unknown:?}").contains("UnexpectedVariant"), "a message is not said: {unknown}");
    for message in all {
        let mut world = World::new(3, OPEN);
        world.connect(0, 1);
        world.settle();
        let link = world.strange_link(0, FOE);
        // What is new is free: the second time it is known. And none costs less than it takes.
        world.receive(0, link, message::encode(&vec![message.clone()]));
        let before = left(&world);
        let many = if let Message::Page(_) = message { 1 } else { 100 };
        world.receive(0, link, message::encode(&vec![message.clone(); many]));
        let paid = before - left(&world);
        assert!(paid >= 2 * i64::try_from(many).unwrap(), "{many} {} for {paid} us", message.name());
    }
}

#[test]
fn who_goes_on_without_paying_is_let_in_again_when_it_has() {
    let mut world = World::new(3, OPEN);
    let link = world.strange_link(0, FOE);
    let log = log_of(&world, FOE.into(), world.now.wall);
    world.receive(0, link, message::encode(&vec![Message::Name(0, log.into())]));
    let frame = message::encode(&vec![Message::Prune(0); 4000]);
    let mut frames = 0;
    while !world.closed(0, link) {
        world.receive(0, link, frame.clone());
        frames += 1;
        assert!(frames < 200);
    }
    let again = world.come_back(0, FOE);
    assert!(world.closed(0, again), "it owes, and comes in all the same");
    world.pass(10_000);
    world.strange_link(0, FOE);
}

#[test]
fn a_known_fork_proof_is_paid_for() {
    let mut world = World::new(3, OPEN);
    let link = world.strange_link(0, FOE);
    let (log, branches) = long_fork(&world);
    let push = |run: &Run| Push { log: 0, reply: true, page: page::encode(run) };
    let proof = Message::Fork(Box::new([push(&branches[0]), push(&branches[1])]));
    world.receive(0, link, message::encode(&vec![Message::Name(0, log.into()), proof.clone()]));
    let frame = message::encode(&vec![proof; 5]);
    for _ in 0..20 {
        world.receive(0, link, frame.clone());
    }
    assert!(left(&world) <= 0, "{} us left after 100 proofs of what is known", left(&world));
}

#[test]
fn nobody_holds_what_nobody_wrote() {
    let mut world = World::new(3, OPEN);
    world.publish(0, report(1, 1, "192.0.2.1"));
    let link = world.strange_link(0, FOE);
    let log = world.nodes[0].mesh.reader().logs()[0].key;
    let holder = world.nodes[usize::from(FOE)].mesh.node();
    let circle = CircleId::mesh(world.mesh());
    let of_holder = LogName { author: holder, circle, epoch: 0 };
    let names = vec![Message::Name(0, log.into()), Message::Name(1, of_holder)];
    world.receive(0, link, message::encode(&names));
    for (height, kept) in [(u64::MAX, 0), (2, 0), (1, 1)] {
        let (time, fates) = (world.now.wall, Fates::default());
        let hash = receipt_hash(&holder, &log.id(), height, time, &fates);
        let signature = world.record_secret(FOE).sign(&hash);
        let receipt = Receipt { log: 0, holder: 1, height, time, fates, signature };
        world.receive(0, link, message::encode(&vec![Message::Receipts(vec![receipt])]));
        assert_eq!(world.nodes[0].mesh.status().logs[0].receipts.len(), kept, "{height}");
    }
}

#[test]
fn a_height_that_no_log_can_have_is_not_missed() {
    let mut world = World::new(3, OPEN);
    let link = world.strange_link(0, FOE);
    let log = log_of(&world, FOE.into(), world.now.wall);
    let (id, time, height) = (RecordId([1; 32]), world.now.wall, u64::MAX);
    let node = world.nodes[usize::from(FOE)].mesh.node();
    let hash = head_hash(&world.mesh(), &node, &log.circle, log.epoch, height, &id, 0, time);
    let signature = world.record_secret(FOE).sign(&hash);
    let entry = EntryOf { no: 0, log: log.into(), base: 1, height, id, state: LogState::Open };
    let have = Have { log: 0, from: height - 1, more: 1, age: 0, except: vec![] };
    let claims = vec![
        Message::Name(0, log.into()),
        Message::Entries(Entries(vec![entry])),
        Message::Have(vec![have]),
        Message::Heads(vec![Head { log: 0, seq: height, id, releases: 0, time, signature }]),
    ];
    world.receive(0, link, message::encode(&claims));
    let status = world.nodes[0].mesh.status();
    let author = status.orgs.iter().find(|org| org.name == format!("org{FOE}")).unwrap();
    assert_eq!((author.missing_headers, status.behind), (0, 0));
}
