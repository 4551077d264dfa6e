//! The transports: QUIC, and TCP with TLS or Noise and Yamux, tuned so that little waits below the lanes.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::future::Either;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, Transport as _, quic, tcp, yamux};
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};

use super::security::Security;

/// Handshake of a connection, either way.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// QUIC's window of one stream: what a stalled reader can keep in flight. Larger ones let two
/// stalled streams block the whole connection, and make bulk slower.
const QUIC_STREAM_WINDOW: u32 = 2 << 20;
/// When TCP asks an idle peer whether it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Bytes the kernel may hold unsent of a TCP connection. A live frame waits behind them, so few: at
/// 10 Mbit/s this is 0.1 s.
const UNSENT: u32 = 128 * 1024;
/// Two lanes; a few more so that an honest peer cannot meet it by timing.
pub(super) const MAX_STREAMS: usize = 8;

/// Looks whether a TCP port is taken: libp2p shares listening ports, so that a second node on the same
/// port would not fail but take half of the first one's connections.
pub(super) fn probe(address: &Multiaddr) -> std::io::Result<()> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next() {
        Some(Protocol::Ip4(ip)) => ip.into(),
        Some(Protocol::Ip6(ip)) => ip.into(),
        _ => return Ok(()),
    };
    let Some(Protocol::Tcp(port)) = parts.next() else {
        return Ok(());
    };
    let address = SocketAddr::new(ip, port);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(socket2::Protocol::TCP))?;
    if ip.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // What lingers of earlier connections is no reason to refuse.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())
}

/// A transport whose connections carry streams.
pub(super) type Muxed = Boxed<(PeerId, StreamMuxerBox)>;

/// QUIC and TCP with Yamux, each to a proven peer id.
pub(super) fn new(keypair: &Keypair, security: Security, silence: Duration) -> Muxed {
    let mut streams = yamux::Config::default();
    streams.set_max_num_streams(MAX_STREAMS);
    let tcp = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
        .map(move |stream, _| {
            tune(&stream, silence);
            stream
        })
        .upgrade(Version::V1Lazy)
        .authenticate(security)
        .multiplex(streams)
        .timeout(HANDSHAKE_WITHIN);
    let mut config = quic::Config::new(keypair);
    config.max_concurrent_stream_limit = MAX_STREAMS as u32;
    config.max_stream_data = QUIC_STREAM_WINDOW;
    let both = quic::tokio::Transport::new(config).or_transport(tcp).map(|either, _| match either {
        Either::Left((peer, muxer)) => (peer, StreamMuxerBox::new(muxer)),
        Either::Right((peer, muxer)) => (peer, StreamMuxerBox::new(muxer)),
    });
    both.boxed()
}

/// Sets what libp2p leaves to the system. A refusal is no reason to give up the connection.
fn tune(stream: &tcp::tokio::TcpStream, silence: Duration) {
    let socket = SockRef::from(&stream.0);
    let keep_alive = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE / 4).with_retries(4);
    let mut results = vec![socket.set_tcp_keepalive(&keep_alive)];
    #[cfg(target_os = "linux")]
    results.extend([socket.set_tcp_user_timeout(Some(silence)), socket.set_tcp_notsent_lowat(UNSENT)]);
    #[cfg(not(target_os = "linux"))]
    let _ = (silence, UNSENT);
    for error in results.into_iter().filter_map(Result::err) {
        tracing::debug!(%error, "a socket option was refused");
    }
}
