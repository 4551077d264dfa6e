//! What is read and placed nowhere: its reading is paid for by who sent it.

use tocsin_protocol::Input;
use tocsin_protocol::message::{self, Entries, EntryOf, LogState, Message, Page, Push};
use tocsin_record::keys::Secret;
use tocsin_record::run::{Draft, SIGN_EVERY};
use tocsin_record::{CircleId, LogKey, RecordId, Run, Tip, page};

use super::{FOE, OPEN, answered, draft, further_link, log_of};
use crate::world::{World, report};

/// A run of many records, signed by its author.
fn long_run(world: &World, author: &Secret, log: LogKey) -> Run {
    let drafts = |part: usize| -> Vec<Draft> {
        let body = report(u32::try_from(part).unwrap(), 1, "192.0.2.9");
        (0..SIGN_EVERY).map(|_| draft(&body, world.now.wall)).collect()
    };
    (1..8).fold(Run::sign(author, log, Tip::default(), drafts(0)).unwrap(), |run, part| {
        let next = Run::sign(author, log, run.tip(), drafts(part)).unwrap();
        run.join(next).unwrap()
    })
}

fn push(run: &Run) -> Push {
    Push { log: 0, reply: true, page: page::encode(run) }
}

#[test]
fn runs_of_logs_that_nobody_here_has_are_paid_for() {
    let stranger = Secret::from_seed(&[240; 32]);
    for what in ["push", "fork", "page"] {
        for of in ["a circle that is none", "an author that is none"] {
            let mut world = World::new(3, OPEN);
            let link = world.strange_link(0, FOE);
            let own = log_of(&world, FOE.into(), world.now.wall);
            let (author, log) = match of {
                "a circle that is none" => {
                    (world.record_secret(FOE), LogKey { circle: CircleId([9; 32]), ..own })
                }
                _ => {
                    let author = tocsin_record::NodeKey(stranger.public());
                    (Secret::from_seed(&[240; 32]), LogKey { author, ..own })
                }
            };
            let run = long_run(&world, &author, log);
            // A want of its own makes pages that answer it asked for.
            let told = EntryOf {
                no: 1,
                log: own.into(),
                base: 1,
                height: 9,
                id: RecordId([9; 32]),
                state: LogState::Open,
            };
            let say = vec![Message::Name(0, log.into()), Message::Entries(Entries(vec![told]))];
            world.receive(0, link, message::encode(&say));
            world.pass(100);
            let message = match what {
                "push" => Message::Push(push(&run)),
                "fork" => Message::Fork(Box::new([push(&run), push(&run)])),
                _ => Message::Page(Page {
                    want: 1,
                    log: log.into(),
                    last: false,
                    packed: page::pack(&page::encode(&run)),
                }),
            };
            assert!(may_ask(&mut world, link), "{what} of {of}");
            for _ in 0..500 {
                world.receive(0, link, message::encode(&vec![message.clone()]));
            }
            let paid = world.closed(0, link) || !may_ask(&mut world, link);
            assert!(paid, "500 times a {what} of {of}, each read and checked, for nothing");
        }
    }
}

/// Whether a question of its own log is still answered.
fn may_ask(world: &mut World, link: u64) -> bool {
    answered(world, 0, link, &vec![Message::At(1, 1)]) > 0
}

/// A frame of many runs, each signed, but for the last.
fn broken(world: &World) -> Vec<u8> {
    let own = log_of(world, FOE.into(), world.now.wall);
    let run = long_run(world, &world.record_secret(FOE), own);
    let mut messages = vec![Message::Name(0, own.into())];
    messages.extend((0..20).map(|_| Message::Push(push(&run))));
    let mut last = push(&run);
    let end = last.page.len() - 1;
    last.page[end] ^= 1;
    messages.push(Message::Push(last));
    message::encode(&messages).to_vec()
}

#[test]
fn frames_that_do_not_read_are_paid_for() {
    let mut world = World::new(3, OPEN);
    let frame = broken(&world);
    let mut read = 0;
    loop {
        let link = world.come_back(0, FOE);
        if world.closed(0, link) {
            break;
        }
        world.receive(0, link, frame.clone().into());
        assert!(world.closed(0, link));
        read += 1;
        assert!(read < 20, "who is shown the door comes back, and is read again");
    }
    // Another org's nodes have nothing to do with it, and time pays.
    world.strange_link(0, 1);
    world.pass(10_000);
    world.strange_link(0, FOE);
}

#[test]
fn nothing_is_verified_for_who_is_in_the_lobby() {
    let mut world = World::new(3, OPEN);
    let frame = broken(&world);
    let link = 77_000;
    let key = world.transport(FOE);
    world.link_up(0, link, key);
    // Anybody may be in there, and stay for ten seconds.
    let heard = world.hear(0, link, &frame).unwrap();
    assert!(heard.runs.len() == 21 && heard.runs.iter().all(Option::is_none));
    world.feed(0, Input::LinkDown { link });
    let link = world.strange_link(0, FOE);
    assert!(world.hear(0, link, &frame).is_err(), "a member's runs are looked at");
}

#[test]
fn who_owes_too_much_is_not_read_on_its_other_links_either() {
    let mut world = World::new(3, OPEN);
    let links: Vec<u64> = (0..8).map(|n| further_link(&mut world, n)).collect();
    let other = world.strange_link(0, 1);
    let own = log_of(&world, FOE.into(), world.now.wall);
    let frame = message::encode(&vec![Message::Name(0, own.into())]);
    world.receive(0, links[0], frame);
    // Of several nodes, so that it is their org that owes.
    let frame = message::encode(&vec![Message::Prune(0); 4000]);
    let mut frames = 0;
    while links.iter().any(|link| !world.closed(0, *link)) {
        for link in &links[..4] {
            world.receive(0, *link, frame.clone());
        }
        frames += 1;
        assert!(frames < 200);
    }
    assert!(!world.closed(0, other));
    // What they sent before is on its way still.
    let heard = world.hear(0, links[7], &broken(&world)).unwrap();
    assert!(heard.messages.is_empty());
}
