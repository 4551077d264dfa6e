//! Heads, receipts and claims: what is believed of what nobody can check.

use tocsin_protocol::message::head::{head_hash, receipt_hash};
use tocsin_protocol::message::{
    self, Buckets, Entries, EntryOf, Fate, Fates, Have, Head, Hello, LogName, LogState, Message, Range,
    Receipt, RecordAt, Want,
};
use tocsin_protocol::{Effect, Input, RequestError};
use tocsin_record::document::{Roster, Signed};
use tocsin_record::keys::Secret;
use tocsin_record::{CircleId, NodeKey, RecordId, Run, Tip};

use super::{FOE, OPEN, answered, draft, foe_roster, foe_run, log_of, say_documents};
use crate::world::{World, node_certificate, report, secret};

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
    let fates = Fates::default();
    for (time, kept) in [(world.now.wall + 50 * 365 * 86_400_000, 0), (world.now.wall, 1)] {
        let signature = world.record_secret(FOE).sign(&receipt_hash(&holder, &log.id(), 1, time, &fates));
        let receipt = Receipt { log: 0, holder: 1, height: 1, time, fates: fates.clone(), signature };
        world.receive(0, link, message::encode(&vec![Message::Receipts(vec![receipt])]));
        assert_eq!(world.nodes[0].mesh.status().logs[0].receipts.len(), kept);
    }
}

#[test]
fn who_speaks_without_end_of_itself_is_not_passed_on_without_end() {
    let mut world = World::new(4, OPEN);
    let link = world.strange_link(0, FOE);
    let partner = world.strange_link(0, 1);
    let circle = CircleId::mesh(world.mesh());
    let node = world.nodes[FOE as usize].mesh.node();
    let (mut heads, mut names) = (0, 0);
    for n in 0..1_200u64 {
        let (id, time, epoch) = (RecordId::ZERO, world.now.wall, 1_000 + n);
        let hash = head_hash(&world.mesh(), &node, &circle, epoch, 0, &id, n, time);
        let signature = world.record_secret(FOE).sign(&hash);
        let no = u32::try_from(n).unwrap();
        let said = vec![
            Message::Name(no, LogName { author: node, circle, epoch }),
            Message::Heads(vec![Head { log: no, seq: 0, id, releases: n, time, signature }]),
        ];
        world.receive(0, link, message::encode(&said));
        world.now.wall += 50;
        world.now.mono += 50;
        for effect in world.feed(0, Input::Tick) {
            let Effect::Send { link, frame, .. } = effect else { continue };
            if link == partner {
                for message in message::decode(world.mesh(), &frame).unwrap().messages {
                    match message {
                        Message::Heads(some) => heads += some.len(),
                        Message::Name(..) => names += 1,
                        _ => {}
                    }
                }
            }
        }
    }
    assert!(
        heads < 20 && names < 20,
        "{heads} heads and {names} names of one node were passed on in a minute"
    );
}

/// What a partner is in the middle of is nobody's business who is not in its circle: neither an answer nor what is charged
/// tells whether a log is there.
#[test]
fn who_is_not_in_a_circle_learns_nothing_of_its_logs() {
    let mut world = World::new(4, OPEN);
    let orgs = |world: &World| {
        let mut orgs = [0, 1].map(|node| world.nodes[node].mesh.org()).to_vec();
        orgs.sort_unstable();
        orgs
    };
    let signer = secret(1, 0, 0);
    let roster = foe_roster(&world, [5; 32], vec![]);
    let roster = Roster { orgs: orgs(&world), stewards: vec![signer.public()], ..roster };
    let signed = Signed::sign(&roster, &[&signer, &secret(1, 1, 0)]);
    let circle = CircleId(signed.hash().0);
    for node in [0, 1] {
        let documents = vec![signed.clone()];
        world.request(node, |ticket| Input::Documents { ticket, documents }).unwrap();
    }
    let bodies = (0..20).map(|n| report(n, 1, "192.0.2.1")).collect();
    world.request(1, |ticket| Input::Publish { ticket, circle, bodies }).unwrap();
    world.connect(0, 1);
    world.settle();
    let log = world.nodes[1].mesh.reader().logs()[0].key;
    assert_eq!(log.circle, circle);
    assert_eq!(world.lookup(0, "192.0.2.1"), 1);
    let node = world.nodes[FOE as usize].mesh.node();
    let holder = world.nodes[1].mesh.node();
    let all = |log: LogName| {
        let what = RecordAt { log: 0, seq: 3 };
        let id = RecordId([9; 32]);
        let range = Range { log: 0, from: 1, to: 20, bodies: true };
        let signature = secret(1, FOE, 0).sign(&[1; 32]);
        let fates = Fates::default();
        let receipt = Receipt { log: 0, holder: 1, height: 3, time: 1, fates, signature };
        vec![
            Message::Name(0, log),
            Message::Name(1, LogName { author: holder, epoch: 0, ..log }),
            Message::Entries(Entries(vec![EntryOf {
                no: 0,
                log,
                base: 1,
                height: 3,
                id,
                state: LogState::Open,
            }])),
            Message::Have(vec![Have { log: 0, from: 1, more: 30, age: 0, except: vec![] }]),
            Message::Graft(0, 1),
            Message::Want(Want { id: 1, ranges: vec![range], credit: 1 << 20 }),
            Message::WantBodies(vec![what]),
            Message::HaveBodies(vec![what]),
            Message::Holes(vec![what]),
            Message::At(0, 3),
            Message::Receipts(vec![receipt; 100]),
            Message::Hello(Hello { logs: [1; 32], documents: [1; 32] }),
            Message::Buckets(Buckets(vec![[1; 16]; 256])),
        ]
    };
    let mut said = Vec::new();
    for name in [log.into(), LogName { epoch: log.epoch - 1, ..log.into() }] {
        let link = world.strange_link(0, FOE);
        world.pass(10_000);
        let before = world.nodes[0].mesh.left_to(&node).unwrap();
        let answer = answered(&mut world, 0, link, &all(name));
        said.push((answer, before - world.nodes[0].mesh.left_to(&node).unwrap()));
        world.feed(0, Input::LinkDown { link });
    }
    assert_eq!(said[0], said[1], "bytes and microseconds, where there is such a log and where there is none");
}

#[test]
fn fates_that_their_holder_did_not_sign_or_that_have_no_end_are_not_kept() {
    let mut world = World::new(3, OPEN);
    let ids: Vec<RecordId> = (0..3).map(|n| world.publish(0, report(n, 1, "192.0.2.1"))).collect();
    let place = world.stored(0, &ids[2]).unwrap().place;
    let link = world.strange_link(0, FOE);
    let log = world.nodes[0].mesh.reader().logs()[0].key;
    let holder = world.nodes[FOE as usize].mesh.node();
    let of_holder = LogName { author: holder, circle: log.circle, epoch: 0 };
    let names = vec![Message::Name(0, log.into()), Message::Name(1, of_holder)];
    world.receive(0, link, message::encode(&names));
    let fates = |runs: &[(u32, Fate)]| Fates { below: 0, runs: runs.to_vec() };
    let accepted = fates(&[(3, Fate::Accepted)]);
    let endless: Vec<_> = [(1, Fate::Accepted), (1, Fate::Gone)].into_iter().cycle().take(400_000).collect();
    let lies = [
        (fates(&[(3, Fate::Gone)]), accepted.clone()),
        (fates(&endless), fates(&endless)),
        (fates(&[(4, Fate::Accepted)]), fates(&[(4, Fate::Accepted)])),
        (fates(&[(u32::MAX, Fate::Accepted)]), fates(&[(u32::MAX, Fate::Accepted)])),
        (Fates { below: 4, runs: vec![] }, Fates { below: 4, runs: vec![] }),
    ];
    let say = |world: &mut World, signed: &Fates, fates: &Fates| {
        let (height, time, fates) = (3, world.now.wall, fates.clone());
        let hash = receipt_hash(&holder, &log.id(), height, time, signed);
        let signature = world.record_secret(FOE).sign(&hash);
        let receipt = Receipt { log: 0, holder: 1, height, time, fates, signature };
        world.receive(0, link, message::encode(&vec![Message::Receipts(vec![receipt])]));
    };
    for (signed, said) in lies {
        let before = world.nodes[0].mesh.left_to(&holder).unwrap();
        say(&mut world, &signed, &said);
        let mesh = &world.nodes[0].mesh;
        assert_eq!(mesh.reader().acknowledged(place).unwrap(), [], "{} pieces", said.runs.len());
        assert!(mesh.status().logs[0].receipts.is_empty());
        let paid = before - mesh.left_to(&holder).unwrap();
        assert!(paid > 3 + said.runs.len() as i64 / 100, "{} pieces for {paid} us", said.runs.len());
    }
    say(&mut world, &accepted, &accepted);
    let kept = world.nodes[0].mesh.reader().acknowledged(place).unwrap();
    assert_eq!(
        kept.iter().map(|(node, said)| (*node, said.is)).collect::<Vec<_>>(),
        [(holder, Fate::Accepted)]
    );
    assert!(!world.closed(0, link));
}

#[test]
fn a_receipt_for_each_record_is_not_passed_on() {
    let mut world = World::new(4, OPEN);
    let link = world.strange_link(0, FOE);
    let author = world.strange_link(0, 1);
    // A log of another, that came by a link to its author.
    let log = log_of(&world, 1, world.now.wall);
    let mut tip = Tip::default();
    for _ in 0..10 {
        let drafts = (0..60).map(|n| draft(&report(n, 1, "192.0.2.1"), world.now.wall)).collect();
        let run = Run::sign(&world.record_secret(1), log, tip, drafts).unwrap();
        tip = run.tip();
        world.push_from(0, author, &log, &run);
    }
    let holder = world.nodes[FOE as usize].mesh.node();
    let of_holder = LogName { author: holder, circle: log.circle, epoch: 0 };
    let names = vec![Message::Name(0, log.into()), Message::Name(1, of_holder)];
    world.receive(0, link, message::encode(&names));
    let mut passed = 0;
    // Half of them tell of further records, half tell otherwise of those.
    for n in 1..=600u64 {
        let height = n.min(300);
        let fate = if n % 2 == 0 { Fate::Accepted } else { Fate::KeptBack };
        let (time, fates) = (world.now.wall, Fates { below: 0, runs: vec![(1, fate)] });
        let signature =
            world.record_secret(FOE).sign(&receipt_hash(&holder, &log.id(), height, time, &fates));
        let receipt = Receipt { log: 0, holder: 1, height, time, fates, signature };
        world.receive(0, link, message::encode(&vec![Message::Receipts(vec![receipt])]));
        world.now.wall += 50;
        world.now.mono += 50;
        for effect in world.feed(0, Input::Tick) {
            let Effect::Send { link, frame, .. } = effect else { continue };
            if link == author {
                let messages = message::decode(world.mesh(), &frame).unwrap().messages;
                passed += messages.iter().filter(|m| matches!(m, Message::Receipts(_))).count();
            }
        }
    }
    // One a second, and this node's own.
    assert!((10..60).contains(&passed), "{passed} in 30 s");
}
