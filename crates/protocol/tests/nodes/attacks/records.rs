//! Records and their bodies: what is believed of them, and what reading them may take.

use tocsin_protocol::Input;
use tocsin_protocol::message::{self, Entries, EntryOf, LogState, Message, Page, Push};
use tocsin_record::body::Body;
use tocsin_record::run::{Draft, Part};
use tocsin_record::{CircleId, RecordId, Run, Tip, page};
use tocsin_store::{BodyState, Verdict};

use super::{FOE, OPEN, answered, draft, foe_run, log_of, long_fork, written};
use crate::world::{REFUSE, World, report, secret};

#[test]
fn that_a_body_is_gone_is_taken_from_its_author_alone() {
    let mut world = World::new(4, OPEN);
    let id = world.publish(1, report(1, 1, "192.0.2.1"));
    let log = world.nodes[1].mesh.reader().logs()[0].key;
    let mut lie = written(&world, 1, &log);
    for (_, part) in lie.bodies_mut() {
        *part = Part::Gone(1);
    }
    let link = world.strange_link(0, FOE);
    world.push_from(0, link, &log, &lie);
    world.connect(0, 1);
    world.connect(0, 3);
    world.settle();
    assert_eq!((world.lookup(0, "192.0.2.1"), world.lookup(3, "192.0.2.1")), (1, 1));
    // Nor can a retraction be talked away.
    world.disconnect(0, 1);
    let subject = tocsin_record::body::report::Subject([1; 16]);
    world.request(1, |ticket| Input::Retract { ticket, subject, reason: 1 }).unwrap();
    let mut lie = written(&world, 1, &log).after(1).unwrap();
    for (_, part) in lie.bodies_mut() {
        *part = Part::Gone(7);
    }
    world.push_from(0, link, &log, &lie);
    world.connect(0, 1);
    world.settle();
    for node in [0, 3] {
        assert!(world.stored(node, &id).unwrap().entry.body().is_none(), "node {node}");
    }
    // Who comes late hears of both, waits for neither, and is complete.
    world.connect(3, usize::from(FOE));
    world.settle();
    let late = world.nodes[usize::from(FOE)].mesh.status();
    let author = late.orgs.iter().find(|org| org.name == "org1").unwrap();
    assert_eq!((author.missing_headers, author.missing_bodies), (0, 0));
    let reader = world.nodes[usize::from(FOE)].mesh.reader();
    assert_eq!((reader.counts().records, reader.counts().gone), (2, 1));
}

#[test]
fn originals_that_swell_are_not_read() {
    let mut world = World::new(3, OPEN);
    let link = world.strange_link(0, FOE);
    let Body::Report(mut small) = report(91, 1, "198.51.100.91") else { unreachable!() };
    // Two gigabytes in a body of some kilobytes, had anybody looked for a TLP in them.
    let format = 4;
    let full = 16 << 20;
    let bomb = zstd_of_zeros(full);
    small.originals = vec![tocsin_record::body::report::Original { format, full, data: bomb }; 128];
    let (log, run) = foe_run(&world, Tip::default(), vec![draft(&Body::Report(small), world.now.wall)]);
    world.push_from(0, link, &log, &run);
    let outcome = world.stored(0, &run.tip().id).unwrap().stamped.outcome;
    let rule = world.nodes[0].mesh.reader().rule(outcome.rule).unwrap();
    assert_eq!((outcome.verdict, rule.as_str()), (Verdict::Refused, "guardrail:malformed"));
}

/// A frame of RLE blocks (RFC 8878), four bytes for 128 KiB.
fn zstd_of_zeros(full: u32) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0b1010_0000];
    frame.extend_from_slice(&full.to_le_bytes());
    let blocks = full >> 17;
    for block in 1..=blocks {
        let header = (1 << 17) << 3 | 1 << 1 | u32::from(block == blocks);
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

#[test]
fn a_frame_of_zeros_is_one() {
    let found = tocsin_record::codec::inflate(&zstd_of_zeros(1 << 20), 1 << 20, 1 << 20).unwrap();
    assert!(found.len() == 1 << 20 && found.iter().all(|byte| *byte == 0));
}

#[test]
fn an_author_whose_time_falls_stops_nobody() {
    let mut world = World::new(3, OPEN);
    let link = world.strange_link(0, FOE);
    let (log, first) =
        foe_run(&world, Tip::default(), vec![draft(&report(1, 1, "192.0.2.1"), world.now.wall)]);
    world.push_from(0, link, &log, &first);
    // `Run::sign` keeps an honest author from it, so the tip is given another time.
    let before = Tip { time: 0, ..first.tip() };
    let (_, falls) =
        foe_run(&world, before, vec![draft(&report(2, 1, "192.0.2.2"), world.now.wall - 60_000)]);
    world.push_from(0, link, &log, &falls);
    assert!(world.closed(0, link), "a run that breaks the log's rules is its sender's fault");
    assert!(world.stored(0, &falls.tip().id).is_none());
    world.publish(0, report(3, 1, "192.0.2.3"));
}

#[test]
fn a_frame_holds_one_page() {
    let world = World::new(3, OPEN);
    let (log, run) = foe_run(&world, Tip::default(), vec![draft(&report(1, 1, "192.0.2.1"), world.now.wall)]);
    let packed = page::pack(&page::encode(&run));
    let page = Message::Page(Page { want: 1, log: log.into(), last: true, packed });
    assert!(message::decode(world.mesh(), &message::encode(&vec![page.clone()])).is_ok());
    assert!(message::decode(world.mesh(), &message::encode(&vec![page; 2])).is_err());
}

#[test]
fn what_can_be_pushed_can_be_passed_on() {
    let mut world = World::new(3, OPEN);
    let link = world.strange_link(0, FOE);
    // A page as long as a frame can hold, of noise.
    let mut state = 7u64;
    let mut noise = |len: usize| -> Vec<u8> {
        (0..len)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect()
    };
    // What is newer than a node is carried by it, whatever it is.
    let mut body = |len: usize| {
        let Body::Report(mut newer) = report(1, 1, "192.0.2.1") else { unreachable!() };
        newer.extension = noise(len - 200);
        draft(&Body::Report(newer), world.now.wall)
    };
    let mut drafts: Vec<Draft> = (0..8).map(|_| body((1 << 20) - 2_000)).collect();
    drafts.push(body(10_000));
    let log = log_of(&world, FOE.into(), world.now.wall);
    let sign = |drafts: &[Draft]| {
        Run::sign(&secret(1, FOE, 0), log, Tip::default(), drafts.iter().map(copy).collect()).unwrap()
    };
    let over = page::encode(&sign(&drafts)).len() as i64 - (page::PAGE_MAX as i64 - 140);
    drafts[8] = body((10_000 - over) as usize);
    let run = sign(&drafts);
    assert_eq!(page::encode(&run).len(), page::PAGE_MAX - 140);
    world.push_from(0, link, &log, &run);
    assert!(world.stored(0, &run.tip().id).unwrap().entry.body().is_some());
    // `settle` fails on a frame that does not decode at its receiver.
    world.connect(0, 1);
    world.settle();
    assert!(world.stored(1, &run.tip().id).unwrap().entry.body().is_some());
}

fn copy(draft: &Draft) -> Draft {
    Draft { body: draft.body.clone(), extension: draft.extension.clone(), ..*draft }
}

#[test]
fn judging_anew_comes_to_its_end_under_fire() {
    let mut world = World::new(3, OPEN);
    let circle = CircleId::mesh(world.mesh());
    let bodies: Vec<Body> =
        (0..3000u32).map(|n| report(n, 1, &format!("10.1.{}.{}", n / 200, n % 200))).collect();
    world.request(1, |ticket| Input::Publish { ticket, circle, bodies }).unwrap();
    world.connect(0, 1);
    world.settle();
    assert_eq!(world.lookup(0, "10.1.14.150"), 1);
    let link = world.strange_link(0, FOE);
    // Records from the near future: each is judged anew when its time has come, one every few ms.
    let ahead: Vec<Draft> = (0..60)
        .map(|n| draft(&report(n, 1, "192.0.2.9"), world.now.wall + 600_001 + u64::from(n) * 50))
        .collect();
    let (log, run) = foe_run(&world, Tip::default(), ahead);
    world.push_from(0, link, &log, &run);
    world.pass(30_000);
    let (log, run) = {
        let time = world.now.wall;
        let ahead =
            (0..64).map(|n| draft(&report(n, 1, "192.0.2.9"), time + 600_001 + u64::from(n) * 50)).collect();
        foe_run(&world, Tip::default(), ahead)
    };
    let link = world.strange_link(0, FOE);
    world.push_from(0, link, &log, &run);
    assert!(world.stored(0, &run.tip().id).is_some());
    world.policy(0, r#"@id("accept-none") permit(principal, action == Action::"fetch", resource);"#);
    let mut ticks = 0;
    while world.nodes[0].mesh.is_busy() && ticks < 60 {
        world.pass(50);
        ticks += 1;
    }
    // 3,064 records, 512 a tick: with a walk over the held ones behind it about thirty ticks.
    assert_eq!(world.lookup(0, "10.1.14.150"), 0, "the new policy was not in force after {ticks} ticks");
}

#[test]
fn what_the_policy_refuses_is_not_kept_until_its_time_comes() {
    for (policy, verdict, body) in
        [(OPEN, Verdict::Held, BodyState::Here), (REFUSE, Verdict::Refused, BodyState::Refused)]
    {
        let mut world = World::new(3, policy);
        let link = world.strange_link(0, FOE);
        let soon = draft(&report(1, 1, "192.0.2.9"), world.now.wall + 600_001);
        let (log, run) = foe_run(&world, Tip::default(), vec![soon]);
        world.push_from(0, link, &log, &run);
        let outcome = world.stored(0, &run.tip().id).unwrap().stamped.outcome;
        assert_eq!((outcome.verdict, outcome.body), (verdict, body));
    }
}

#[test]
fn what_waits_counts_as_it_lies_in_memory() {
    let mut world = World::new(3, OPEN);
    let link = world.strange_link(0, FOE);
    let mut epoch = world.now.wall;
    let mut reached = |world: &mut World, parts: u32| {
        epoch += 1;
        let log = log_of(world, FOE.into(), epoch);
        let secret = world.record_secret(FOE);
        let first = draft(&report(1, 1, "192.0.2.1"), world.now.wall);
        let first = Run::sign(&secret, log, Tip::default(), vec![first]).unwrap();
        let mut tip = first.tip();
        let mut all: Option<Run> = None;
        for _ in 0..parts {
            let empty = || Draft { body: vec![].into(), ..draft(&report(1, 1, "192.0.2.1"), world.now.wall) };
            let run = Run::sign(&secret, log, tip, (0..64).map(|_| empty()).collect()).unwrap();
            tip = run.tip();
            all = Some(match all {
                None => run,
                Some(before) => before.join(run).unwrap(),
            });
        }
        let push = |run: &Run| Message::Push(Push { log: parts, reply: true, page: page::encode(run) });
        let late = push(&all.unwrap());
        assert!(message::encode(&vec![late.clone()]).len() < 30_000);
        let name = Message::Name(parts, log.into());
        world.receive(0, link, message::encode(&vec![name, late]));
        world.receive(0, link, message::encode(&vec![push(&first)]));
        assert!(!world.closed(0, link));
        let logs = world.nodes[0].mesh.reader().logs();
        logs.iter().find(|info| info.key == log).unwrap().tip.seq
    };
    assert_eq!(reached(&mut world, 1), 65, "a run that came too early waits for the one before");
    // 25 KB in a page, and megabytes of records.
    assert_eq!(reached(&mut world, 128), 1);
}

#[test]
fn a_fork_proof_is_told_once_and_again_with_the_next_comparison() {
    let mut world = World::new(4, OPEN);
    let link = world.strange_link(0, FOE);
    let (log, branches) = long_fork(&world);
    let push = |run: &Run| Push { log: 0, reply: true, page: page::encode(run) };
    let proof = Message::Fork(Box::new([push(&branches[0]), push(&branches[1])]));
    let length = message::encode(&vec![proof.clone()]).len();
    world.receive(0, link, message::encode(&vec![Message::Name(0, log.into()), proof]));
    assert!(!world.closed(0, link));
    let other = world.strange_link(0, 1);
    let entry =
        EntryOf { no: 0, log: log.into(), base: 1, height: 0, id: RecordId([9; 32]), state: LogState::Open };
    let ask = vec![Message::Entries(Entries(vec![entry; 500]))];
    let sent = answered(&mut world, 0, other, &ask);
    assert!(
        sent >= length / 2 && sent < 2 * length,
        "{} KiB for a proof of {} KiB",
        sent >> 10,
        length >> 10
    );
    assert!(answered(&mut world, 0, other, &ask) < 1024);
    // Two nodes that compare anew may have lost it.
    world.pass(70_000);
    assert!(answered(&mut world, 0, other, &ask) >= length / 2);
}
