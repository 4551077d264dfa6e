//! The transports: QUIC, and TCP with TLS or Noise and Yamux, tuned so that little waits below the lanes.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, FutureExt as _};
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::core::transport::timeout::TransportTimeout;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, Transport as _, tcp, yamux};
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};

use super::StartError;
use super::descriptors;
use super::gate::{self, Gate};
use super::handshakes::Handshakes;
use super::quic::Quic;
use super::security::Security;

/// Longest dial, with its handshake: the other end may have to be asked several times.
pub(super) const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
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

/// A connection that carries streams, to a proven peer id.
pub(super) type Connected = (PeerId, StreamMuxerBox);

/// A transport of such.
pub(super) type Muxed = Boxed<Connected>;

/// QUIC, and TCP with Yamux.
pub(super) fn new(
    keypair: &Keypair,
    security: Security,
    silence: Duration,
    handshakes: &Arc<Handshakes>,
) -> Result<Muxed, StartError> {
    let ceiling = descriptors::ceiling();
    let mut streams = yamux::Config::default();
    streams.set_max_num_streams(MAX_STREAMS);
    let at_socket = handshakes.clone();
    let tcp = tcp::tokio::Transport::new(tcp::Config::new().nodelay(true))
        .and_then(move |stream: tcp::tokio::TcpStream, _| {
            let at_socket = at_socket.clone();
            async move {
                descriptors::check(&stream.0, ceiling, &at_socket)?;
                gate::until_spoken(&stream.0).await?;
                tune(&stream, silence);
                Ok::<_, io::Error>(stream)
            }
            .boxed()
        })
        .upgrade(Version::V1Lazy)
        .authenticate(security)
        .multiplex(streams);
    // Those that others began have a bound of their own.
    let tcp = TransportTimeout::with_outgoing_timeout(tcp, HANDSHAKE_WITHIN)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
        .boxed();
    let tcp = Gate::new(tcp, handshakes.clone());
    let quic = Quic::new(keypair, handshakes.clone(), ceiling)?;
    let both = quic.or_transport(tcp).map(|either, _| match either {
        Either::Left(connected) | Either::Right(connected) => connected,
    });
    Ok(both.boxed())
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
