//! What strangers may do to a listening node while a partner links with it: hold silent sockets, forge the addresses of
//! first packets, send rubbish. All on the loopback network, whose addresses (127.0.0.0/8) stand for as many hosts.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::tls;
use quinn::crypto::rustls::QuicClientConfig;
use socket2::{Domain, Socket, Type};
use tocsin_record::testing::Lines;

use super::*;

/// How long strangers hold their sockets: a handshake may take three seconds.
const HELD: Duration = Duration::from_secs(20);
/// How long the others go on.
const LASTING: Duration = Duration::from_secs(10);
/// How long a partner's link may take meanwhile.
const LINKED_WITHIN: Duration = Duration::from_secs(5);

fn port(address: &Multiaddr) -> u16 {
    let port = address.iter().find_map(|part| match part {
        Protocol::Tcp(port) | Protocol::Udp(port) => Some(port),
        _ => None,
    });
    port.expect("an address with a port")
}

/// Runs until it is dropped.
struct Attack {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
}

impl Attack {
    fn start(mut step: impl FnMut() -> usize + Send + 'static) -> Self {
        let attack = Self { stop: Arc::default(), made: Arc::default() };
        let (stop, made) = (attack.stop.clone(), attack.made.clone());
        let begun = Instant::now();
        std::thread::spawn(move || {
            // In any case it ends by itself.
            while !stop.load(Relaxed) && begun.elapsed() < HELD * 3 {
                made.fetch_add(step(), Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        attack
    }

    fn made(&self) -> usize {
        self.made.load(Relaxed)
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

fn silent_socket(from: Ipv4Addr, port: u16) -> Option<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
    socket.bind(&SocketAddr::from((from, 0)).into()).ok()?;
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).ok()?;
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}

/// Keeps `each` silent sockets open from each address, and opens those anew that the node closed.
fn silent_sockets(from: Vec<Ipv4Addr>, each: usize, port: u16) -> Attack {
    let mut sockets: Vec<(Ipv4Addr, Option<Socket>)> =
        from.iter().flat_map(|from| std::iter::repeat_with(|| (*from, None)).take(each)).collect();
    Attack::start(move || {
        let mut made = 0;
        for (from, socket) in &mut sockets {
            let open = socket.as_ref().is_some_and(|socket| {
                let mut byte = [std::mem::MaybeUninit::uninit()];
                socket.peek(&mut byte).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
            });
            if !open {
                *socket = silent_socket(*from, port);
                made += 1;
            }
        }
        made
    })
}

/// First packets of handshakes that nobody goes on with, each of another one.
async fn first_packets(count: usize) -> Vec<Vec<u8>> {
    let sink = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = sink.local_addr().unwrap();
    let keypair = Keypair::generate_ed25519();
    let crypto = QuicClientConfig::try_from(tls::make_client_config(&keypair, None).unwrap()).unwrap();
    let client = quinn::ClientConfig::new(Arc::new(crypto));
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    sink.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut packets = Vec::new();
    let mut known = std::collections::HashSet::new();
    let mut datagram = [0; 2048];
    while packets.len() < count {
        let connecting = endpoint.connect_with(client.clone(), to, "127.0.0.1").unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        drop(connecting);
        sink.set_nonblocking(true).unwrap();
        while let Ok(read) = sink.recv(&mut datagram) {
            // Long header, type Initial (RFC 9000, 17.2.2); then version, length and destination's id.
            let id = datagram[6..6 + usize::from(datagram[5]).min(20)].to_vec();
            if datagram[0] & 0xf0 == 0xc0 && read >= 1200 && known.insert(id) {
                packets.push(datagram[..read].to_vec());
            }
        }
    }
    packets
}

/// Sends first packets, so many every 20 ms, from a new source each time.
fn forged_sources(packets: Vec<Vec<u8>>, each_step: usize, port: u16) -> Attack {
    let sockets: Vec<UdpSocket> =
        (1..=199).map(|last| UdpSocket::bind((Ipv4Addr::new(127, 0, 3, last), 0)).unwrap()).collect();
    let mut number = 0;
    Attack::start(move || {
        for _ in 0..each_step {
            let packet = &packets[number % packets.len()];
            // A full buffer loses some, as a line does.
            let _ = sockets[number % sockets.len()].send_to(packet, ("127.0.0.1", port));
            number += 1;
        }
        each_step
    })
}

/// Links a partner again and again while strangers go on. Gives the slowest link.
async fn links_meanwhile(b: &mut Node, on: &str, lasting: Duration) -> Duration {
    let begun = Instant::now();
    let at = b.at.iter().find(|at| at.to_string().contains(on)).expect("listens there").to_string();
    let mut slowest = Duration::ZERO;
    let mut round = 0;
    while begun.elapsed() < lasting {
        let mut partner = Node::start(config(150 + round)).await;
        round += 1;
        b.net.allow([partner.net.local()]);
        let dialled = Instant::now();
        // As the node's own dialler: again after a while where it failed.
        loop {
            partner.net.dial(b.net.local(), vec![at.clone()]).unwrap();
            let up = partner.wait(|event| match event {
                Inbound::Up { .. } => Ok(None),
                Inbound::DialFailed { fault, .. } => Ok(Some(fault)),
                other => Err(other),
            });
            let Some(fault) = up.await else { break };
            assert!(dialled.elapsed() < LINKED_WITHIN, "not linked over {on}: {fault}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        b.up().await;
        slowest = slowest.max(dialled.elapsed());
        assert!(slowest < LINKED_WITHIN, "linked over {on} after {slowest:?}");
        partner.net.stop();
        b.down().await;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    slowest
}

async fn listening_on_both() -> Node {
    let mut both = config(100);
    both.listen = vec![TCP.parse().unwrap(), QUIC.parse().unwrap()];
    Node::start(both).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_links_while_one_host_holds_silent_sockets() {
    let mut b = listening_on_both().await;
    let tcp = b.at.iter().find(|at| at.to_string().contains("tcp")).map(port).unwrap();
    let attack = silent_sockets(vec![Ipv4Addr::new(127, 0, 2, 1)], 300, tcp);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let slowest = links_meanwhile(&mut b, "tcp", HELD).await;
    let pressure = b.net.pressure();
    println!("{} sockets from one host; slowest link {slowest:?}; {:?}", attack.made(), pressure.tcp);
    assert!(attack.made() > 300, "the node closed none of them");
    assert!(pressure.tcp.under_way <= 256 && pressure.tcp.gave_way > 0, "{:?}", pressure.tcp);
    let (worst, count) = pressure.of_late().worst_host.expect("somebody did it");
    assert!(worst == "127.0.2.1" && count > 100, "{worst}: {count}");
}

/// As behind one router: only that the partner speaks sets it apart.
#[tokio::test(flavor = "multi_thread")]
async fn a_partner_links_while_silent_sockets_are_held_at_its_own_address() {
    let mut b = listening_on_both().await;
    b.net.know_hosts(vec!["/dns4/localhost/tcp/1".to_owned()]);
    let tcp = b.at.iter().find(|at| at.to_string().contains("tcp")).map(port).unwrap();
    let attack = silent_sockets(vec![Ipv4Addr::LOCALHOST], 300, tcp);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let slowest = links_meanwhile(&mut b, "tcp", LASTING).await;
    let pressure = b.net.pressure();
    println!("{} sockets from its own host; slowest link {slowest:?}; {:?}", attack.made(), pressure.tcp);
    assert!(attack.made() > 300 && pressure.tcp.under_way <= 128, "{:?}", pressure.tcp);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_links_while_199_hosts_hold_silent_sockets() {
    let mut b = listening_on_both().await;
    let tcp = b.at.iter().find(|at| at.to_string().contains("tcp")).map(port).unwrap();
    let attack = silent_sockets((1..=199).map(|last| Ipv4Addr::new(127, 0, 1, last)).collect(), 3, tcp);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let slowest = links_meanwhile(&mut b, "tcp", HELD).await;
    let pressure = b.net.pressure();
    println!("{} sockets from 199 hosts; slowest link {slowest:?}; {:?}", attack.made(), pressure.tcp);
    assert!(attack.made() > 597 && pressure.tcp.under_way <= 256, "{:?}", pressure.tcp);
    assert!(pressure.tcp.gave_way > 100, "newcomers had to wait: {:?}", pressure.tcp);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partner_links_by_quic_while_first_packets_come_from_forged_addresses() {
    let mut b = listening_on_both().await;
    let quic = b.at.iter().find(|at| at.to_string().contains("udp")).map(port).unwrap();
    // Eight every 20 ms are 400 a second; each is a new one for six seconds, which is longer than any is remembered.
    let attack = forged_sources(first_packets(2_400).await, 8, quic);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let slowest = links_meanwhile(&mut b, "udp", LASTING).await;
    let pressure = b.net.pressure();
    println!("{} first packets; slowest link {slowest:?}; {:?}", attack.made(), pressure.quic);
    assert!(pressure.quic.asked_to_prove > 1_000, "{:?}", pressure.quic);
    assert!(pressure.quic.proven > 5, "{:?}", pressure.quic);
    assert_eq!(pressure.of_late().worst_host, None, "nobody is blamed for what others forge");
}

/// Each byte that trickles in shows life; the whole has to be over in time all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_trickles_is_over_in_time() {
    let mut b = listening_on_both().await;
    let tcp = b.at.iter().find(|at| at.to_string().contains("tcp")).map(port).unwrap();
    let mut sockets: Vec<_> = (1..=100)
        .filter_map(|last| silent_socket(Ipv4Addr::new(127, 0, 5, last), tcp))
        .map(|socket| (socket, None))
        .collect();
    let begun = Instant::now();
    let trickle = tokio::task::spawn_blocking(move || {
        // The length of a first message, and ever more of it.
        for byte in std::iter::once(0x13).chain(*b"/multistream/1.0.0\n").chain([0xff, 0x7f]).cycle() {
            for (socket, closed) in sockets.iter_mut().filter(|(_, closed)| closed.is_none()) {
                let sent = socket.send(&[byte]);
                if sent.is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock) {
                    *closed = Some(begun.elapsed());
                }
            }
            if begun.elapsed() > LASTING || sockets.iter().all(|(_, closed)| closed.is_some()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(150));
        }
        sockets.into_iter().map(|(_, closed)| closed).collect::<Vec<_>>()
    });
    links_meanwhile(&mut b, "tcp", Duration::from_secs(2)).await;
    let closed = trickle.await.unwrap();
    assert!(closed.iter().all(Option::is_some), "after {LASTING:?} some still trickle");
    let slowest = closed.into_iter().flatten().max().unwrap();
    println!("the last that trickled was closed after {slowest:?}; {:?}", b.net.pressure().tcp);
}

/// A token proves an address to the server that gave it out; another one at the same address must not mind it.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_a_server_that_is_gone_keep_nobody_out() {
    let mut a = Node::start(config(1)).await;
    let mut b = Node::listening(2, QUIC).await;
    let at = b.at[0].clone();
    for round in 0..3 {
        // More than one link, as tokens come in twos and each is used once.
        for _ in 0..2 {
            a.dial(&b);
            let (link, ..) = a.up().await;
            b.up().await;
            a.send(link, Lane::Live, b"here");
            assert_eq!(b.frame(Lane::Live).await, &b"here"[..], "round {round}");
            a.net.close(link, "and again");
            b.down().await;
            a.down().await;
        }
        b.net.stop();
        b.task.await.unwrap();
        // Its last connections have the socket for a little longer.
        let begun = Instant::now();
        while let Err(error) = UdpSocket::bind(("127.0.0.1", port(&at))) {
            assert!(begun.elapsed() < PATIENCE, "{error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut again = config(2);
        again.listen = vec![at.clone()];
        b = Node::start(again).await;
    }
    assert_eq!(b.at[0], at);
}

/// One thread, so that its log is that of the whole network.
#[tokio::test]
async fn rubbish_is_not_for_the_log() {
    let lines = Lines::default();
    let writer = lines.clone();
    let logger = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    let _logs = tracing::subscriber::set_default(logger);

    let mut b = listening_on_both().await;
    let quic = b.at.iter().find(|at| at.to_string().contains("udp")).map(port).unwrap();
    let tcp = b.at.iter().find(|at| at.to_string().contains("tcp")).map(port).unwrap();
    let packets = first_packets(300).await;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut chance = 7u64;
    let mut draw = move || {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (chance >> 33) as usize
    };
    for number in 0..39_000 {
        let mut packet = packets[number % packets.len()].clone();
        match number % 4 {
            // The sealed part of a first packet, so that it opens to nothing.
            0 => packet[600 + draw() % 500] ^= 1 << (draw() % 8),
            // Anything of it.
            1 => (0..8).for_each(|_| packet[draw() % 1200] = draw() as u8),
            // Another version.
            2 => packet[1 + draw() % 4] = draw() as u8,
            _ => packet = (0..36 + draw() % 100).map(|_| draw() as u8).collect(),
        }
        let _ = socket.send_to(&packet, ("127.0.0.1", quic));
        if number % 50 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    for rubbish in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 3000], b"\x13/multistream/1.0.0\n\xff\xff\xff\xff"]
    {
        for _ in 0..20 {
            let mut socket = std::net::TcpStream::connect(("127.0.0.1", tcp)).unwrap();
            socket.write_all(rubbish).unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    // It is still there, and long enough for the line a minute.
    links_meanwhile(&mut b, "udp", Duration::from_secs(2)).await;
    let text = lines.text();
    // The partners of this test say their name at their start.
    let text: String = text
        .lines()
        .filter(|line| !line.contains("local_peer_id"))
        .map(|line| line.to_owned() + "\n")
        .collect();
    assert!(text.contains("came to nothing"), "an operator learns of it: {text}");
    assert!(text.len() < 2_000 && text.lines().count() <= 4, "{} bytes: {text}", text.len());
}
