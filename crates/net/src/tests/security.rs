//! What TCP links are encrypted with, as one who listens on the line sees it.

use std::sync::{Arc, Mutex};

use libp2p::multiaddr::Protocol;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// What went over a line, each way.
#[derive(Clone, Default)]
struct Line {
    to_listener: Arc<Mutex<Vec<u8>>>,
    to_dialler: Arc<Mutex<Vec<u8>>>,
}

fn has(seen: &Mutex<Vec<u8>>, bytes: &[u8]) -> bool {
    seen.lock().unwrap().windows(bytes.len()).any(|window| window == bytes)
}

/// A way to `target` on which all is written down.
async fn tapped(target: &Multiaddr) -> (String, Line) {
    let port = target.iter().find_map(|part| if let Protocol::Tcp(port) = part { Some(port) } else { None });
    let port = port.expect("a TCP address");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap().port();
    let line = Line::default();
    let tap = line.clone();
    tokio::spawn(async move {
        let (near, _) = listener.accept().await.unwrap();
        let far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (near_in, near_out) = near.into_split();
        let (far_in, far_out) = far.into_split();
        for (mut from, mut to, seen) in
            [(near_in, far_out, tap.to_listener), (far_in, near_out, tap.to_dialler)]
        {
            tokio::spawn(async move {
                let mut piece = vec![0; 4096];
                while let Ok(read @ 1..) = from.read(&mut piece).await {
                    seen.lock().unwrap().extend_from_slice(&piece[..read]);
                    if to.write_all(&piece[..read]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (format!("/ip4/127.0.0.1/tcp/{at}"), line)
}

async fn linked_over(mut a: Node, mut b: Node) -> Line {
    let (address, line) = tapped(&b.at[0]).await;
    a.net.dial(b.net.local(), vec![address]).unwrap();
    let (at_a, peer, _) = a.up().await;
    assert_eq!(peer, b.net.local());
    assert_eq!(b.up().await.1, a.net.local());
    a.send(at_a, Lane::Live, b"in clear nowhere");
    assert_eq!(b.frame(Lane::Live).await, &b"in clear nowhere"[..]);
    assert!(!has(&line.to_listener, b"in clear nowhere"));
    line
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_speak_tls_with_a_key_exchange_that_outlasts_quantum_computers() {
    let line = linked_over(Node::start(config(1)).await, Node::listening(2, TCP).await).await;
    assert!(has(&line.to_listener, b"/tls/1.0.0\n") && has(&line.to_dialler, b"/tls/1.0.0\n"));
    assert!(!has(&line.to_listener, b"/noise"));
    // The server's hello: version 1.3 in supported_versions (RFC 8446, 4.2.1), and in key_share (4.2.8) the group
    // X25519MLKEM768 with a share of 1120 bytes (draft-ietf-tls-ecdhe-mlkem, 4588 = 0x11EC).
    assert!(has(&line.to_dialler, &[0x00, 0x2b, 0x00, 0x02, 0x03, 0x04]));
    assert!(has(&line.to_dialler, &[0x00, 0x33, 0x04, 0x64, 0x11, 0xec, 0x04, 0x60]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_node_is_spoken_to_by_noise() {
    for older_dials in [true, false] {
        let mut dialler = config(1);
        dialler.noise_only = older_dials;
        let mut listener = config(2);
        listener.noise_only = !older_dials;
        listener.listen = vec![TCP.parse().unwrap()];
        let line = linked_over(Node::start(dialler).await, Node::start(listener).await).await;
        assert!(has(&line.to_listener, b"/noise\n") && has(&line.to_dialler, b"/noise\n"));
        assert!(!has(&line.to_dialler, b"/tls/1.0.0"));
    }
}
