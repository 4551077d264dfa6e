//! Two nodes and more on the loopback interface.

mod ends;
mod flow;
mod security;
mod strangers;

use std::time::Duration;

use bytes::Bytes;
use libp2p::Multiaddr;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::*;

const TCP: &str = "/ip4/127.0.0.1/tcp/0";
const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";
const PATIENCE: Duration = Duration::from_secs(20);
const MIB: usize = 1 << 20;

/// A network with its inbox.
struct Node {
    net: Net,
    task: JoinHandle<()>,
    inbox: mpsc::Receiver<Inbound>,
    /// Events that a wait for another one passed over.
    passed: Vec<Inbound>,
    at: Vec<Multiaddr>,
}

fn config(seed: u8) -> Config {
    Config::new(Zeroizing::new([seed; 32]))
}

impl Node {
    async fn start(config: Config) -> Self {
        Self::with_inbox(config, 1024).await
    }

    async fn with_inbox(config: Config, capacity: usize) -> Self {
        let listeners = config.listen.len();
        let (inbound, inbox) = mpsc::channel(capacity);
        let (net, task) = start(config, inbound).expect("started");
        let mut node = Self { net, task, inbox, passed: Vec::new(), at: Vec::new() };
        for _ in 0..listeners {
            let at = node.wait(|event| match event {
                Inbound::Listening(address) => Ok(address),
                other => Err(other),
            });
            let at = at.await;
            node.at.push(at);
        }
        node
    }

    async fn listening(seed: u8, on: &str) -> Self {
        let mut config = config(seed);
        config.listen = vec![on.parse().unwrap()];
        Self::start(config).await
    }

    /// The next event that `pick` takes, which gives back what it does not want.
    async fn wait<T>(&mut self, pick: impl Fn(Inbound) -> Result<T, Inbound>) -> T {
        for index in 0..self.passed.len() {
            let event = self.passed.remove(index);
            match pick(event) {
                Ok(found) => return found,
                Err(event) => self.passed.insert(index, event),
            }
        }
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let event = match tokio::time::timeout_at(deadline, self.inbox.recv()).await {
                Ok(Some(event)) => event,
                Ok(None) => panic!("the network is gone; passed: {:?}", self.passed),
                Err(_) => panic!("nothing came; passed: {:?}", self.passed),
            };
            match pick(event) {
                Ok(found) => return found,
                Err(event) => self.passed.push(event),
            }
        }
    }

    async fn up(&mut self) -> (u64, PeerKey, Direction) {
        self.wait(|event| match event {
            Inbound::Up { link, peer, direction, .. } => Ok((link, peer, direction)),
            other => Err(other),
        })
        .await
    }

    async fn down(&mut self) -> (u64, Ended) {
        self.wait(|event| match event {
            Inbound::Down { link, reason } => Ok((link, reason)),
            other => Err(other),
        })
        .await
    }

    async fn frame(&mut self, on: Lane) -> Bytes {
        self.wait(|event| match event {
            Inbound::Frame { lane, bytes, .. } if lane == on => Ok(bytes),
            other => Err(other),
        })
        .await
    }

    async fn dial_failed(&mut self) -> DialFault {
        self.wait(|event| match event {
            Inbound::DialFailed { fault, .. } => Ok(fault),
            other => Err(other),
        })
        .await
    }

    fn dial(&self, other: &Self) {
        let addresses = other.at.iter().map(Multiaddr::to_string).collect();
        self.net.dial(other.net.local(), addresses).unwrap();
    }

    fn send(&self, link: u64, lane: Lane, bytes: &'static [u8]) {
        self.net.try_send(link, lane, Bytes::from_static(bytes)).unwrap();
    }
}

/// Links two nodes and admits both ends; gives the link's number at each.
async fn link(a: &mut Node, b: &mut Node) -> (u64, u64) {
    a.dial(b);
    let (at_a, peer, direction) = a.up().await;
    assert_eq!((peer, direction), (b.net.local(), Direction::Outbound));
    let (at_b, peer, direction) = b.up().await;
    assert_eq!((peer, direction), (a.net.local(), Direction::Inbound));
    a.net.admit(at_a);
    b.net.admit(at_b);
    (at_a, at_b)
}

async fn pair(on: &str) -> (Node, Node, u64, u64) {
    let mut a = Node::start(config(1)).await;
    let mut b = Node::listening(2, on).await;
    let (at_a, at_b) = link(&mut a, &mut b).await;
    (a, b, at_a, at_b)
}

/// Whether this machine has IPv6 at all.
fn has_ipv6() -> bool {
    std::net::UdpSocket::bind("[::1]:0").is_ok()
}

fn transports() -> Vec<&'static str> {
    let mut all = vec![TCP, QUIC];
    if has_ipv6() {
        all.extend(["/ip6/::1/tcp/0", "/ip6/::1/udp/0/quic-v1"]);
    }
    all
}
