//! Who gets in, and how links end.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_over_the_limit_ends_the_link_with_a_reason() {
    let mut receiver = config(2);
    receiver.listen = vec![TCP.parse().unwrap()];
    receiver.max_frame = 100_000;
    receiver.lobby_patience = Duration::from_millis(300);
    let mut b = Node::start(receiver).await;
    let mut a = Node::start(config(1)).await;

    // Admitted: the configured limit, at once.
    let (at_a, _) = link(&mut a, &mut b).await;
    a.net.try_send(at_a, Lane::Bulk, Bytes::from(vec![0; 100_001])).unwrap();
    let (_, reason) = b.down().await;
    assert_eq!(reason, Ended::TooLong { lane: Lane::Bulk, length: 100_001, limit: 100_000 });
    let (_, reason) = a.down().await;
    assert!(!matches!(reason, Ended::TooLong { .. } | Ended::Malformed(_)), "{reason}");
    let error = b.net.try_send(at_a, Lane::Live, Bytes::from(vec![0; 100_001])).unwrap_err();
    assert!(matches!(error, SendError::TooLong { .. }));

    // In the lobby: the small limit, after the patience, unless the owner raises it.
    a.dial(&b);
    let ((at_a, ..), (at_b, ..)) = (a.up().await, b.up().await);
    a.net.try_send(at_a, Lane::Live, Bytes::from(vec![1; 8 * 1024])).unwrap();
    a.net.try_send(at_a, Lane::Live, Bytes::from(vec![2; 20_000])).unwrap();
    a.net.try_send(at_a, Lane::Live, Bytes::from(vec![3; 20_001])).unwrap();
    assert_eq!(b.frame(Lane::Live).await.len(), 8 * 1024);
    tokio::time::sleep(Duration::from_millis(50)).await;
    b.net.set_limit(at_b, 20_000);
    assert_eq!(b.frame(Lane::Live).await.len(), 20_000);
    let (link, reason) = b.down().await;
    assert_eq!(link, at_b);
    assert_eq!(reason, Ended::TooLong { lane: Lane::Live, length: 20_001, limit: 20_000 });
}

#[tokio::test(flavor = "multi_thread")]
async fn another_peer_than_the_expected_is_refused() {
    for on in [TCP, QUIC] {
        let mut a = Node::start(config(1)).await;
        let mut b = Node::listening(2, on).await;
        let stranger = Node::listening(3, on).await;
        a.net.dial(stranger.net.local(), vec![b.at[0].to_string()]).unwrap();
        let fault = a.dial_failed().await;
        assert!(matches!(fault, DialFault::WrongPeer { .. }), "{fault}");
        // B never saw a link.
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(b.inbox.try_recv().is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dials_that_cannot_succeed_say_why() {
    let mut a = Node::start(config(1)).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let peer = Node::start(config(2)).await.net.local();
    a.net.dial(peer, vec![format!("/ip4/127.0.0.1/tcp/{free}")]).unwrap();
    let fault = a.dial_failed().await.to_string();
    assert!(fault.contains("refused"), "{fault}");
    a.net.dial(peer, vec![]).unwrap();
    assert!(matches!(a.dial_failed().await, DialFault::NoAddress(_)));
    a.net.dial(peer, vec!["/dns4/no-such-name.invalid/tcp/1".to_owned()]).unwrap();
    assert!(a.dial_failed().await.to_string().contains("no-such-name.invalid"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dial_by_name_works() {
    let mut a = Node::start(config(1)).await;
    let mut b = Node::listening(2, TCP).await;
    let by_name = b.at[0].to_string().replace("/ip4/127.0.0.1", "/dns4/localhost");
    a.net.dial(b.net.local(), vec!["not an address".to_owned(), by_name]).unwrap();
    a.up().await;
    b.up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_stranger_leaves_a_full_lobby() {
    let mut open = config(100);
    open.listen = vec![TCP.parse().unwrap()];
    open.max_lobby = 4;
    let mut b = Node::start(open).await;
    let mut strangers = Vec::new();
    let mut links = Vec::new();
    for seed in 0..12 {
        let mut stranger = Node::start(config(seed)).await;
        stranger.dial(&b);
        stranger.up().await;
        strangers.push(stranger);
        links.push(b.up().await.0);
    }
    let full = Ended::Closed("the lobby is full".to_owned());
    let mut gone = Vec::new();
    for stranger in &mut strangers[..8] {
        let (link, reason) = b.down().await;
        assert_eq!(reason, full);
        gone.push(link);
        stranger.down().await;
    }
    gone.sort_unstable();
    assert_eq!(gone, links[..8]);
    assert_eq!(b.net.refused().lobby, 8);

    // A known peer takes no place in it, and one that was let in leaves it no more.
    let mut friend = Node::start(config(200)).await;
    b.net.allow([friend.net.local()]);
    friend.dial(&b);
    friend.up().await;
    let (friends, peer, _) = b.up().await;
    assert_eq!(peer, friend.net.local());
    b.net.admit(links[8]);
    for seed in 201..206 {
        let mut next = Node::start(config(seed)).await;
        next.dial(&b);
        next.up().await;
        b.up().await;
        strangers.push(next);
    }
    let mut gone = Vec::new();
    for _ in 0..4 {
        gone.push(b.down().await.0);
    }
    assert!(links[9..].iter().all(|link| gone.contains(link)), "{gone:?} of {links:?}");
    assert!(!gone.contains(&friends) && !gone.contains(&links[8]));
    assert_eq!(b.net.refused().lobby, 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disallowed_key_is_out_and_stays_out() {
    let (mut a, mut b, at_a, _) = pair(QUIC).await;
    b.net.disallow(&a.net.local());
    assert_eq!(b.down().await.1, Ended::Disallowed);
    assert_eq!(a.down().await.0, at_a);
    a.dial(&b);
    a.dial_failed().await;
    assert_eq!(b.net.refused().disallowed, 1);
    b.net.allow([a.net.local()]);
    a.dial(&b);
    a.up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_before_closing_arrives() {
    for on in [TCP, QUIC] {
        let (mut a, mut b, at_a, at_b) = pair(on).await;
        for n in 0..100u8 {
            a.net.try_send(at_a, Lane::Live, Bytes::from(vec![n; 10_000])).unwrap();
        }
        a.net.close(at_a, "the lobby is over");
        assert_eq!(a.net.try_send(at_a, Lane::Live, Bytes::new()), Err(SendError::Closed));
        for n in 0..100u8 {
            assert_eq!(b.frame(Lane::Live).await[0], n, "{on}");
        }
        assert_eq!(b.down().await, (at_b, Ended::ByPeer));
        assert_eq!(a.down().await, (at_a, Ended::Closed("the lobby is over".to_owned())));
        assert_eq!(a.net.queued(at_a, Lane::Live), Queued::default());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_peer_comes_back() {
    for on in [TCP, QUIC] {
        let mut b = Node::listening(2, on).await;
        for round in 0..3 {
            let mut a = Node::start(config(1)).await;
            let (at_a, at_b) = link(&mut a, &mut b).await;
            a.send(at_a, Lane::Live, b"alive");
            assert_eq!(b.frame(Lane::Live).await, &b"alive"[..], "round {round} by {on}");
            // As a killed process: the loop is gone without a farewell.
            a.task.abort();
            drop(a);
            let begun = Instant::now();
            let (link, reason) = b.down().await;
            println!("{on}: noticed after {:?}: {reason}", begun.elapsed());
            assert_eq!(link, at_b);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_connection_takes_the_place_of_one_believed_alive() {
    let (mut a, mut b, _, first) = pair(TCP).await;
    // The same key again, as after a restart that the far end has not noticed.
    let mut again = Node::start(config(1)).await;
    again.dial(&b);
    let (_, peer, _) = again.up().await;
    assert_eq!(peer, b.net.local());
    // In this order, so that an owner that goes by peer is never left with none.
    let next = |event| match event {
        Inbound::Down { link, reason } => Ok((link, Some(reason))),
        Inbound::Up { link, .. } => Ok((link, None)),
        other => Err(other),
    };
    assert_eq!(b.wait(next).await, (first, Some(Ended::Replaced)));
    let (second, up) = b.wait(next).await;
    assert_eq!(up, None);
    b.send(second, Lane::Live, b"you");
    assert_eq!(again.frame(Lane::Live).await, &b"you"[..]);
    a.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn crossed_dials_leave_one_link() {
    for on in [TCP, QUIC] {
        for round in 0..5 {
            let mut a = Node::listening(1, on).await;
            let mut b = Node::listening(2, on).await;
            a.dial(&b);
            b.dial(&a);
            // Whatever came and went, in the end each has one link and it is the same one.
            tokio::time::sleep(Duration::from_millis(700)).await;
            let mut ends = Vec::new();
            for node in [&mut a, &mut b] {
                let mut up = HashMap::new();
                while let Ok(event) = node.inbox.try_recv() {
                    match event {
                        Inbound::Up { link, direction, .. } => drop(up.insert(link, direction)),
                        Inbound::Down { link, .. } => drop(up.remove(&link)),
                        Inbound::DialFailed { fault, .. } => {
                            assert_eq!(fault, DialFault::AlreadyLinked, "round {round} by {on}");
                        }
                        _ => {}
                    }
                }
                assert_eq!(up.len(), 1, "round {round} by {on}");
                ends.extend(up);
            }
            assert_ne!(ends[0].1, ends[1].1, "one dialled and the other listened");
            let link = ends[0].0;
            a.send(link, Lane::Live, b"one");
            assert_eq!(b.frame(Lane::Live).await, &b"one"[..]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_peer_is_given_up() {
    let mut impatient = config(1);
    impatient.silence = Duration::from_millis(400);
    impatient.ping_every = Duration::from_millis(100);
    let mut a = Node::start(impatient).await;
    // This one pings once and then says nothing: its inbox is full, so it cannot even answer.
    let mut receiver = config(2);
    receiver.listen = vec![TCP.parse().unwrap()];
    let mut b = Node::with_inbox(receiver, 1).await;
    let (at_a, _) = link(&mut a, &mut b).await;
    for _ in 0..10 {
        a.send(at_a, Lane::Live, b"anybody?");
    }
    assert_eq!(a.down().await, (at_a, Ended::Silent(Duration::from_millis(400))));
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_says_farewell_and_ends_the_task() {
    let (mut a, mut b, at_a, at_b) = pair(QUIC).await;
    a.send(at_a, Lane::Live, b"last word");
    let begun = Instant::now();
    a.net.stop();
    a.task.await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert_eq!(b.frame(Lane::Live).await, &b"last word"[..]);
    assert_eq!(b.down().await, (at_b, Ended::ByPeer));
    let mut last = None;
    while let Ok(event) = a.inbox.try_recv() {
        last = Some(event);
    }
    assert!(matches!(last, Some(Inbound::Down { reason: Ended::Stopped, .. })), "{last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use_is_an_error_at_the_start() {
    let b = Node::listening(2, TCP).await;
    let mut config = config(3);
    config.listen = vec![b.at[0].clone()];
    let (inbound, _inbox) = mpsc::channel(8);
    let error = start(config, inbound).err().expect("refused").to_string();
    assert!(error.contains("cannot listen on /ip4/127.0.0.1/tcp/"), "{error}");
}
