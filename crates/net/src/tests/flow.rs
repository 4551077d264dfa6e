//! How frames flow: order, speed, back-pressure.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn frames_arrive_whole_and_in_order_on_both_lanes() {
    for on in transports() {
        let (mut a, mut b, at_a, at_b) = pair(on).await;
        let length = |n: u32| (n as usize * 7919) % 100_000 * usize::from(!n.is_multiple_of(5));
        let make = |n: u32| Bytes::from(vec![n as u8; length(n)]);
        for n in 0..60 {
            a.net.try_send(at_a, Lane::Live, make(n)).unwrap();
            b.net.try_send(at_b, Lane::Bulk, make(n + 1)).unwrap();
        }
        for n in 0..60 {
            assert_eq!(b.frame(Lane::Live).await, make(n), "live {n} by {on}");
            assert_eq!(a.frame(Lane::Bulk).await, make(n + 1), "bulk {n} by {on}");
        }
        let rtt = a
            .wait(|event| match event {
                Inbound::Rtt { rtt, .. } => Ok(rtt),
                other => Err(other),
            })
            .await;
        println!("{on}: round trip at the start {rtt:?}");
        assert!(rtt < Duration::from_secs(5));
    }
}

/// Sends `total` bytes in `page`s as room allows, from a task of its own.
fn pump(net: Net, link: u64, page: usize, total: usize) -> JoinHandle<()> {
    tokio::spawn(async move {
        let page = Bytes::from(vec![7; page]);
        let mut sent = 0;
        while sent < total {
            match net.try_send(link, Lane::Bulk, page.clone()) {
                Ok(()) => sent += page.len(),
                Err(SendError::Full) => tokio::time::sleep(Duration::from_micros(200)).await,
                Err(error) => panic!("{error}"),
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_does_not_delay_live_frames() {
    for on in [TCP, QUIC] {
        let (a, mut b, at_a, _) = pair(on).await;
        let total = 100 * MIB;
        let begun = Instant::now();
        let bulk = pump(a.net.clone(), at_a, MIB, total);
        let net = a.net.clone();
        let live = tokio::spawn(async move {
            let mut beat = tokio::time::interval(Duration::from_millis(2));
            while !bulk.is_finished() {
                beat.tick().await;
                let now = begun.elapsed().as_nanos() as u64;
                let _ = net.try_send(at_a, Lane::Live, Bytes::copy_from_slice(&now.to_be_bytes()));
            }
        });
        let (mut taken, mut delays) = (0, Vec::new());
        while taken < total {
            match b.inbox.recv().await.expect("the network runs") {
                Inbound::Frame { lane: Lane::Bulk, bytes, .. } => taken += bytes.len(),
                Inbound::Frame { bytes, .. } => {
                    let sent = u64::from_be_bytes(bytes[..].try_into().unwrap());
                    delays.push(begun.elapsed().saturating_sub(Duration::from_nanos(sent)));
                }
                Inbound::Down { reason, .. } => panic!("{reason}"),
                _ => {}
            }
        }
        let took = begun.elapsed();
        live.await.unwrap();
        delays.sort();
        assert!(delays.len() > 5, "too few live frames to judge: {}", delays.len());
        let (p50, p99) = (delays[delays.len() / 2], delays[delays.len() * 99 / 100]);
        println!(
            "{on}: {:.0} MB/s of bulk; live frames meanwhile p50 {p50:?}, p99 {p99:?}",
            total as f64 / took.as_secs_f64() / 1e6
        );
        // The machine may be busy; without the lanes the delay is that of four megabytes of outbox.
        assert!(p50 < Duration::from_millis(50), "{on}: {p50:?}");
    }
}

/// A line of `rate` bytes a second to `target`, with little buffer of its own: what a slow uplink is.
async fn slow_line(target: &Multiaddr, rate: u64) -> String {
    let port = |address: &Multiaddr| match address.iter().nth(1) {
        Some(libp2p::multiaddr::Protocol::Tcp(port)) => port,
        other => panic!("{other:?}"),
    };
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(8).unwrap();
    let at = listener.local_addr().unwrap().port();
    let target = port(target);
    tokio::spawn(async move {
        let (near, _) = listener.accept().await.unwrap();
        let far = tokio::net::TcpStream::connect(("127.0.0.1", target)).await.unwrap();
        far.set_nodelay(true).unwrap();
        let (mut near_in, mut near_out) = near.into_split();
        let (mut far_in, mut far_out) = far.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut far_in, &mut near_out).await });
        let mut piece = vec![0; 4096];
        let mut free_at = tokio::time::Instant::now();
        while let Ok(read @ 1..) = near_in.read(&mut piece).await {
            free_at = free_at.max(tokio::time::Instant::now())
                + Duration::from_nanos(read as u64 * 1_000_000_000 / rate);
            tokio::time::sleep_until(free_at).await;
            far_out.write_all(&piece[..read]).await.unwrap();
        }
    });
    format!("/ip4/127.0.0.1/tcp/{at}")
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_slow_line_live_frames_overtake_pages() {
    const RATE: u64 = 1_250_000;
    let mut b = Node::listening(2, TCP).await;
    let mut a = Node::start(config(1)).await;
    let line = slow_line(&b.at[0], RATE).await;
    a.net.dial(b.net.local(), vec![line]).unwrap();
    let ((at_a, ..), (at_b, ..)) = (a.up().await, b.up().await);
    a.net.admit(at_a);
    b.net.admit(at_b);
    // Far more than goes through the line while this runs.
    let bulk = pump(a.net.clone(), at_a, MIB, 20 * MIB);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut delays = Vec::new();
    for _ in 0..7 {
        let sent = Instant::now();
        a.send(at_a, Lane::Live, b"alarm");
        b.frame(Lane::Live).await;
        delays.push(sent.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    delays.sort();
    println!("at 10 Mbit/s behind pages: p50 {:?}, worst {:?}", delays[3], delays[6]);
    assert!(delays[3] < Duration::from_millis(400), "{delays:?}");

    // A burst gets most of the line (1.8 s; 2.5 s if bulk did not step aside). Alone it would take 1.1 s.
    let sent = Instant::now();
    for _ in 0..100 {
        a.net.try_send(at_a, Lane::Live, Bytes::from(vec![1; 10_000])).unwrap();
    }
    for _ in 0..100 {
        b.frame(Lane::Live).await;
    }
    let took = sent.elapsed();
    assert!(!bulk.is_finished(), "the line was busy all the time");
    println!("at 10 Mbit/s behind pages: 1 MB of live frames in {took:?}");
    assert!(took < Duration::from_millis(2200), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_live_frames_arrives() {
    for on in [TCP, QUIC] {
        let (a, mut b, at_a, _) = pair(on).await;
        let count = 100_000u32;
        let begun = Instant::now();
        let net = a.net.clone();
        let sender = tokio::spawn(async move {
            for n in 0..count {
                let mut frame = vec![0; 600];
                frame[..4].copy_from_slice(&n.to_be_bytes());
                let frame = Bytes::from(frame);
                while let Err(error) = net.try_send(at_a, Lane::Live, frame.clone()) {
                    assert_eq!(error, SendError::Full);
                    tokio::time::sleep(Duration::from_micros(100)).await;
                }
            }
        });
        for n in 0..count {
            assert_eq!(b.frame(Lane::Live).await[..4], n.to_be_bytes());
        }
        let rate = f64::from(count) / begun.elapsed().as_secs_f64();
        println!("{on}: {rate:.0} live frames of 600 bytes a second");
        sender.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_reader_costs_a_bounded_amount_and_is_told_of() {
    for on in [TCP, QUIC] {
        let mut a = Node::start(config(1)).await;
        let mut receiver = config(2);
        receiver.listen = vec![on.parse().unwrap()];
        let mut b = Node::with_inbox(receiver, 4).await;
        let (at_a, _) = link(&mut a, &mut b).await;
        // B's inbox is not read from here on.
        let page = Bytes::from(vec![1; 256 * 1024]);
        let (mut taken, mut full_since) = (0, Instant::now());
        while full_since.elapsed() < Duration::from_millis(500) {
            match a.net.try_send(at_a, Lane::Bulk, page.clone()) {
                Ok(()) => (taken, full_since) = (taken + page.len(), Instant::now()),
                Err(SendError::Full) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(error) => panic!("{error}"),
            }
            assert!(taken < 64 * MIB, "{on}: {taken} bytes went somewhere");
        }
        let queued = a.net.queued(at_a, Lane::Bulk);
        println!("{on}: {:.1} MiB taken for a stalled peer, {queued:?}", taken as f64 / MIB as f64);
        assert!(queued.bytes <= 4 * MIB && queued.frames > 0);
        // Outbox, inbox, the streams' windows, and one frame in each task.
        assert!(taken <= 16 * MIB, "{on}: {taken}");
        // When it reads again, all comes, and the sender learns that there is room.
        let mut got = 0;
        while got < taken {
            got += b.frame(Lane::Bulk).await.len();
        }
        a.wait(|event| match event {
            Inbound::Drained { lane: Lane::Bulk, .. } => Ok(()),
            other => Err(other),
        })
        .await;
        assert_eq!(a.net.queued(at_a, Lane::Bulk), Queued::default());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inbox_is_bounded_by_bytes_until_credits_return() {
    let mut a = Node::start(config(1)).await;
    let mut receiver = config(2);
    receiver.listen = vec![TCP.parse().unwrap()];
    receiver.inbox_live_bytes = 10_000;
    let mut b = Node::start(receiver).await;
    let (at_a, _) = link(&mut a, &mut b).await;
    for _ in 0..10 {
        a.net.try_send(at_a, Lane::Live, Bytes::from(vec![1; 4000])).unwrap();
    }
    let mut held = Vec::new();
    loop {
        match tokio::time::timeout(Duration::from_millis(300), b.inbox.recv()).await {
            Ok(Some(Inbound::Frame { credit, .. })) => held.push(credit),
            Ok(Some(_)) => {}
            Ok(None) => panic!("the network is gone"),
            Err(_) => break,
        }
    }
    assert_eq!(held.len(), 2, "two frames of 4,000 fit 10,000 bytes");
    held.clear();
    for _ in 0..8 {
        b.frame(Lane::Live).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_is_not_read_in_the_lobby() {
    let mut b = Node::listening(2, TCP).await;
    let mut a = Node::start(config(1)).await;
    a.dial(&b);
    let ((at_a, ..), (at_b, ..)) = (a.up().await, b.up().await);
    a.send(at_a, Lane::Bulk, b"page");
    a.send(at_a, Lane::Live, b"hello");
    assert_eq!(b.frame(Lane::Live).await, &b"hello"[..]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    while let Ok(event) = b.inbox.try_recv() {
        b.passed.push(event);
    }
    assert!(!b.passed.iter().any(|event| matches!(event, Inbound::Frame { .. })), "{:?}", b.passed);
    b.net.admit(at_b);
    assert_eq!(b.frame(Lane::Bulk).await, &b"page"[..]);
}
