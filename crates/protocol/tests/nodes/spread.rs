//! Whole meshes in one process, over an instant network: what is published arrives where policy lets it, by push, by
//! catch-up, by single body, and what contradicts itself is stopped.

use crate::world::{OPEN, World, report};
use tocsin_policy::CircleKind;
use tocsin_protocol::judge::LogFacts;
use tocsin_protocol::message::{BodyStatus, Have, Message, RecordAt};
use tocsin_protocol::{Effect, Event, Input, RequestError, message};
use tocsin_record::body::Body;
use tocsin_record::body::report::Subject;
use tocsin_record::keys::Secret;
use tocsin_record::run::Draft;
use tocsin_record::{CircleId, LogKey, NodeKey, OrgId, Run, Tip};
use tocsin_store::{BodyState, Verdict};

#[test]
fn a_record_reaches_everyone_and_is_found() {
    let mut world = World::new(5, OPEN);
    world.connect_all();
    let id = world.publish(0, report(1, 1, "192.0.2.7"));
    world.settle();
    for node in 0..5 {
        let stored = world.stored(node, &id).unwrap();
        assert_eq!(stored.stamped.outcome.verdict, Verdict::Accepted, "node {node}");
        assert!(stored.entry.body().is_some());
        assert_eq!(world.lookup(node, "192.0.2.7"), 1, "node {node}");
    }
}

#[test]
fn who_comes_late_catches_up() {
    let mut world = World::new(4, OPEN);
    world.connect(0, 1);
    let ids: Vec<_> =
        (0..300).map(|n| world.publish(0, report(n, 1, &format!("198.51.100.{}", n % 250)))).collect();
    world.settle();
    world.connect(1, 2);
    world.connect(2, 3);
    world.settle();
    for node in 1..4 {
        for id in &ids {
            assert!(world.stored(node, id).is_some_and(|s| s.entry.body().is_some()), "node {node}");
        }
    }
    let status = world.nodes[3].mesh.status();
    assert_eq!((status.behind, status.announced), (0, 0));
    let author = status.orgs.iter().find(|org| org.name == "org0").unwrap();
    assert_eq!(author.missing_headers + author.missing_bodies, 0);
    assert!(author.complete_as_of.is_some(), "heads of an author come over others");
}

#[test]
fn large_bodies_written_together_are_signed_apart_and_arrive() {
    let mut world = World::new(2, OPEN);
    world.connect_all();
    let mut bodies = Vec::new();
    for n in 0..40 {
        let mut body = report(n, 1, &format!("198.51.100.{n}"));
        if let Body::Report(report) = &mut body {
            report.description = "x".repeat(60 << 10);
        }
        bodies.push(body);
    }
    let circle = CircleId::mesh(world.mesh());
    let done = world.request(0, |ticket| Input::Publish { ticket, circle, bodies }).unwrap();
    world.settle();
    for written in &done.written {
        assert!(world.stored(1, &written.id).is_some_and(|stored| stored.entry.body().is_some()));
    }
    let reader = world.nodes[0].mesh.reader();
    let log = reader.logs()[0].no;
    let first = reader.runs(log, 1, 1, &mut tocsin_store::Bodies::All).unwrap().remove(0);
    assert!(
        first.last < 10,
        "40 bodies of 60 KiB stand in one run, which is more than a page or a frame holds"
    );
}

#[test]
fn a_request_is_written_whole_or_not_at_all() {
    let mut world = World::new(1, OPEN);
    let circle = CircleId::mesh(world.mesh());
    let unmarked = |n| match report(n, 1, "192.0.2.8") {
        Body::Report(report) => Body::Report(tocsin_record::body::report::Report { marking: None, ..report }),
        other => other,
    };
    let bodies = vec![report(1, 1, "192.0.2.7"), unmarked(2)];
    let refused = world.request(0, |ticket| Input::Publish { ticket, circle, bodies }).unwrap_err();
    assert!(matches!(&refused, RequestError::Guardrail(rule) if rule == "guardrail:unmarked"), "{refused}");
    assert_eq!(world.nodes[0].mesh.reader().counts().records, 0);
    let bodies = vec![report(1, 1, "192.0.2.7"), report(2, 1, "192.0.2.8")];
    let done = world.request(0, |ticket| Input::Publish { ticket, circle, bodies }).unwrap();
    let reader = world.nodes[0].mesh.reader();
    for (written, seq) in done.written.iter().zip(1..) {
        assert_eq!((written.place.seq, written.circle), (seq, circle));
        assert_eq!(reader.find(&written.id).unwrap(), Some(written.place));
    }
}

#[test]
fn receipts_come_back_hop_by_hop() {
    let mut world = World::new(3, OPEN);
    world.connect(0, 1);
    world.connect(1, 2);
    world.publish(0, report(1, 1, "192.0.2.7"));
    world.settle();
    let status = world.nodes[0].mesh.status();
    let far = status.orgs.iter().find(|org| org.name == "org2").unwrap();
    assert_eq!(far.delays_ms.len(), 1, "one receipt, passed on by the node between");
}

#[test]
fn a_forbidden_body_stays_and_its_header_goes() {
    // org1 is not given what is TLP:GREEN; org2 is, and must not be a way around for its own copy.
    let policy = r#"
@id("accept-all") permit(principal, action == Action::"accept", resource);
@id("fetch-all") permit(principal, action == Action::"fetch", resource);
@id("forward-all") permit(principal, action == Action::"forward", resource);
@id("not-to-org1") forbid(principal, action == Action::"forward", resource)
  when { principal.name == "org1" && resource.tlp == 2 };
"#;
    let mut world = World::new(3, policy);
    world.connect_all();
    let green = world.publish(0, report(1, 2, "192.0.2.1"));
    let clear = world.publish(0, report(2, 1, "192.0.2.2"));
    world.settle();
    let withheld = world.stored(1, &green).unwrap();
    assert_eq!(withheld.stamped.outcome.body, BodyState::Withheld);
    assert_eq!(world.lookup(1, "192.0.2.1"), 0);
    assert_eq!(world.lookup(1, "192.0.2.2"), 1);
    assert_eq!(world.lookup(2, "192.0.2.1"), 1);
    assert!(world.stored(1, &clear).unwrap().entry.body().is_some());
}

#[test]
fn a_body_that_is_released_later_arrives() {
    let mut world = World::new(3, OPEN);
    // org1 holds everything at first, so it passes nothing on to org2, which only it is linked to.
    let hold = r#"
@id("hold-all") permit(principal, action == Action::"hold", resource);
@id("fetch-all") permit(principal, action == Action::"fetch", resource);
@id("forward-all") permit(principal, action == Action::"forward", resource);
"#;
    world.policy(1, hold);
    world.connect(0, 1);
    world.connect(1, 2);
    let id = world.publish(0, report(1, 1, "192.0.2.9"));
    world.settle();
    assert_eq!(world.stored(1, &id).unwrap().stamped.outcome.verdict, Verdict::Held);
    assert_eq!(world.lookup(2, "192.0.2.9"), 0);
    world.policy(1, OPEN);
    world.settle();
    assert_eq!(world.lookup(1, "192.0.2.9"), 1);
    assert_eq!(world.lookup(2, "192.0.2.9"), 1);
}

#[test]
fn a_retraction_erases_everywhere_even_if_it_comes_first() {
    let mut world = World::new(3, OPEN);
    world.connect_all();
    let id = world.publish(0, report(1, 1, "192.0.2.7"));
    world.settle();
    world.request(0, |ticket| Input::Retract { ticket, subject: Subject([1; 16]), reason: 2 }).unwrap();
    world.settle();
    for node in 0..3 {
        let stored = world.stored(node, &id).unwrap();
        assert_eq!(stored.stamped.outcome.body, BodyState::Gone(2), "node {node}");
    }
}

#[test]
fn large_bodies_are_asked_for() {
    let mut world = World::new(3, OPEN);
    world.connect(0, 1);
    world.connect(1, 2);
    let mut big = report(1, 1, "192.0.2.7");
    if let tocsin_record::body::Body::Report(report) = &mut big {
        report.description = (0..60_000u32).map(|n| char::from(b'a' + (n * n % 23) as u8)).collect();
    }
    let id = world.publish(0, big);
    world.settle();
    assert!(world.stored(2, &id).unwrap().entry.body().is_some_and(|body| body.len() > 50_000));
}

#[test]
fn an_author_that_says_two_things_is_stopped_everywhere() {
    let mut world = World::new(4, OPEN);
    let liar = world.record_secret(0);
    let circle = CircleId::mesh(world.mesh());
    let log =
        LogKey { mesh: world.mesh(), author: world.nodes[0].mesh.node(), circle, epoch: world.now.wall };
    let draft = |number: u8| {
        let body = report(u32::from(number), 1, &format!("192.0.2.{number}"));
        Draft {
            kind: 32,
            tlp: 1,
            flags: 0,
            time: log.epoch,
            expires: 0,
            roster: 1,
            extension: vec![],
            body: body.encode().into(),
        }
    };
    let first = Run::sign(&liar, log, Tip::default(), vec![draft(1)]).unwrap();
    let one = Run::sign(&liar, log, first.tip(), vec![draft(2)]).unwrap();
    let other = Run::sign(&liar, log, first.tip(), vec![draft(3)]).unwrap();
    world.connect(1, 2);
    world.connect(2, 3);
    let a = world.strange_link(1, 0);
    let b = world.strange_link(3, 0);
    world.push_from(1, a, &log, &first.clone().join(one).unwrap());
    world.push_from(3, b, &log, &first.clone().join(other).unwrap());
    world.settle();
    for node in 1..4 {
        let forked = world.events(node).iter().any(|event| matches!(event, Event::Forked { seq: 2, .. }));
        assert!(forked, "node {node} knows of the fork at 2");
        let infos = world.nodes[node].mesh.reader().logs();
        let info = infos.iter().find(|info| info.key == log).unwrap();
        assert_eq!(info.standing, tocsin_store::Standing::Forked { at: 2 });
    }
    // What stands before the fork is given to who asks for it, what was accepted behind it is not.
    let bodies: Vec<BodyStatus> = (1..=2).map(|seq| body_of(&mut world, 1, a, seq)).collect();
    assert!(matches!(bodies[0], BodyStatus::Here(_)) && bodies[1] == BodyStatus::Withheld, "{bodies:?}");
}

/// What a node says at once when it hears messages on a link.
fn answers(world: &mut World, node: usize, link: u64, messages: &Vec<Message>) -> Vec<Message> {
    let frame = world.hear(node, link, &message::encode(messages)).unwrap();
    let effects = world.feed(node, Input::Received { link, frame });
    let frames = effects.iter().filter_map(|effect| match effect {
        Effect::Send { frame, .. } => Some(message::decode(world.mesh(), frame).unwrap().messages),
        _ => None,
    });
    frames.flatten().collect()
}

/// What a node answers on a link whose log 0 was named, when it is asked for a body.
fn body_of(world: &mut World, node: usize, link: u64, seq: u64) -> BodyStatus {
    let ask = vec![Message::WantBodies(vec![RecordAt { log: 0, seq }])];
    let mut bodies = answers(world, node, link, &ask).into_iter().filter_map(|message| match message {
        Message::Bodies(bodies) => Some(bodies),
        _ => None,
    });
    bodies.next().unwrap().remove(0).status
}

#[test]
fn who_announces_a_header_without_its_body_is_told_who_has_that() {
    for (policy, told) in [(OPEN.to_owned(), 1), (OPEN.replace("forward-all\") permit", "none\") forbid"), 0)]
    {
        let mut world = World::new(2, &policy);
        let id = world.publish(0, report(1, 1, "192.0.2.1"));
        let log = world.stored(0, &id).unwrap().entry.header.log();
        let link = world.strange_link(0, 1);
        let said = |world: &mut World, except| {
            let have = Have { log: 9, from: 1, more: 0, age: 0, except };
            let messages = vec![Message::Name(9, log.into()), Message::Have(vec![have])];
            let answers = answers(world, 0, link, &messages).into_iter();
            answers.filter(|message| matches!(message, Message::HaveBodies(refs) if refs[0].seq == 1)).count()
        };
        assert_eq!(said(&mut world, vec![]), 0, "it has the body");
        assert_eq!(said(&mut world, vec![0]), told);
    }
}

#[test]
fn policy_sees_who_wrote_a_log_and_where() {
    let mut world = World::new(2, OPEN);
    world.connect_all();
    let id = world.publish(0, report(1, 1, "192.0.2.1"));
    world.settle();
    let header = world.stored(1, &id).unwrap().entry.header;
    let directory = world.nodes[1].mesh.directory();
    let (author, org) = (header.author, directory.org_of(header.author).unwrap());
    let own = CircleId::own(world.mesh(), org);
    let others = CircleId::own(world.mesh(), OrgId([9; 32]));
    let seen = |author, circle| {
        let log = LogFacts::of(directory, author, circle);
        let facts = log.header(&header, 7);
        assert_eq!((facts.kind, facts.time_ms, facts.now_ms), (header.kind, header.time, 7));
        (facts.author.name.to_owned(), facts.circle.kind, facts.circle.name.to_owned())
    };
    assert_eq!(seen(author, header.circle), ("org0".into(), CircleKind::Mesh, "mesh".into()));
    assert_eq!(seen(author, own), ("org0".into(), CircleKind::Own, "own".into()));
    assert_eq!(seen(author, others), ("org0".into(), CircleKind::Other, String::new()));
    // Of who is not in the mesh nothing is known.
    assert_eq!(seen(NodeKey([9; 32]), header.circle).0, "");
}

#[test]
fn a_forged_run_ends_the_link() {
    let mut world = World::new(2, OPEN);
    let stranger = Secret::from_seed(&[99; 32]);
    let circle = CircleId::mesh(world.mesh());
    let log =
        LogKey { mesh: world.mesh(), author: world.nodes[0].mesh.node(), circle, epoch: world.now.wall };
    let draft = |n| Draft {
        kind: 32,
        tlp: 1,
        flags: 0,
        time: log.epoch,
        expires: 0,
        roster: 1,
        extension: vec![],
        body: report(n, 1, "192.0.2.1").encode().into(),
    };
    let forged = Run::sign(&stranger, log, Tip::default(), vec![draft(1), draft(2)]).unwrap();
    let link = world.strange_link(1, 0);
    world.push_from(1, link, &log, &forged);
    assert!(world.closed(1, link), "a run that is not its author's is the peer's fault");
    assert_eq!(world.nodes[1].mesh.reader().counts().records, 0);
}

#[test]
fn strangers_and_other_meshes_stay_out() {
    let mut world = World::new(2, OPEN);
    let mut other = World::with_seed(2, OPEN, 77);
    let effects = world.link_up(0, 500, other.transport(1));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Send { .. })), "the lobby begins at once");
    let lobby = other.lobby_of(1, world.transport(0));
    world.receive(0, 500, lobby);
    assert!(world.closed(0, 500));
}

#[test]
fn talk_of_logs_that_nobody_signed_costs_their_author_nothing() {
    let mut world = World::new(3, OPEN);
    let liar = world.strange_link(1, 2);
    let author = world.nodes[0].mesh.node();
    let circle = CircleId::mesh(world.mesh());
    for n in 0..3000 {
        let epoch = world.now.wall - 5000 + u64::from(n);
        let log = message::LogName { author, circle, epoch };
        let have = message::Have { log: n, from: 1, more: 9, age: 0, except: vec![] };
        let frame =
            message::encode(&vec![message::Message::Name(n, log), message::Message::Have(vec![have])]);
        world.receive(1, liar, frame);
    }
    assert!(world.nodes[1].mesh.reader().logs().len() <= 1024, "what one peer talks of is bounded");
    world.connect(0, 1);
    let id = world.publish(0, report(1, 1, "192.0.2.7"));
    world.settle();
    assert!(world.stored(1, &id).is_some(), "the author's own log is taken all the same");
}
