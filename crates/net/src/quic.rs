//! QUIC, as libp2p speaks it (specs/quic), over quinn.
//!
//! libp2p's own transport accepts whatever first packet comes, so that forged source addresses fill it with handshakes that
//! never end, and it has no door for anything else: the endpoint, its configuration and what came in are private to it.
//! Here a first packet is looked at before anything is made of it: while few handshakes wait on addresses that are not
//! proven it is answered at once, else its sender is asked to prove its address (Retry, RFC 9000, 8.1.2), for which nothing
//! is kept; and only what is proven takes one of the places of [`Handshakes`].

mod muxer;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_lc_rs::hmac;
use futures::FutureExt as _;
use futures::future::{self, BoxFuture};
use futures::stream::{SelectAll, Stream, StreamExt as _};
use if_watch::IfEvent;
use if_watch::tokio::IfWatcher;
use libp2p::core::Endpoint as Role;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, Transport, tls};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::crypto::{CryptoError, HmacKey};
use quinn::rustls::pki_types::CertificateDer;
use socket2::{Domain, Socket, Type};
use tokio::time::{Instant, Sleep};

use self::muxer::Muxer;
use super::StartError;
use super::descriptors;
use super::gate::{Upgrade, carry};
use super::handshakes::Handshakes;
use super::host::Host;
use super::pressure::Via;
use super::rate::{Bucket, Rate};
use super::transport::{Connected, HANDSHAKE_WITHIN, MAX_STREAMS};

/// Window of one stream: what a stalled reader can keep in flight. Larger ones let two stalled streams block the whole
/// connection, and make bulk slower.
const STREAM_WINDOW: u32 = 2 << 20;
/// Window of one connection.
const CONNECTION_WINDOW: u32 = 15_000_000;
/// A connection on which nothing comes for so long is dead.
const IDLE: Duration = Duration::from_secs(10);
/// How often a quiet one says that it lives.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// First packets that wait to be looked at; more are dropped before any work is done for them.
const FIRST_PACKETS: usize = 256;
/// What may wait of one connection that was not looked at yet, and of all, in bytes.
const EARLY_BYTES: (u64, u64) = (32 << 10, 1 << 20);
/// First packets that are looked at. At some 20 us each this is a tenth of a core.
const LOOKED_AT: Rate = Rate { a_second: 5_000.0, at_once: 512.0 };
/// How long first packets wait when there were too many.
const REST: Duration = Duration::from_millis(10);
/// How long a listener rests after an error before it is made anew.
const MEND_AFTER: Duration = Duration::from_secs(1);
/// First packets looked at before others get a turn.
const BURST: usize = 64;

/// The transport.
pub(super) struct Quic {
    endpoint: quinn::EndpointConfig,
    server: quinn::ServerConfig,
    client: quinn::ClientConfig,
    listeners: SelectAll<Listener>,
    handshakes: Arc<Handshakes>,
    /// Where descriptors are kept back.
    ceiling: Option<u32>,
}

impl Quic {
    pub(super) fn new(
        keypair: &Keypair,
        handshakes: Arc<Handshakes>,
        ceiling: Option<u32>,
    ) -> Result<Self, StartError> {
        let refused = |error: &dyn std::error::Error| StartError::Key(error.to_string());
        let server = tls::make_server_config(keypair).map_err(|error| refused(&error))?;
        let client = tls::make_client_config(keypair, None).map_err(|error| refused(&error))?;
        let server = QuicServerConfig::try_from(server).map_err(|error| refused(&error))?;
        let client = QuicClientConfig::try_from(client).map_err(|error| refused(&error))?;

        let mut transport = quinn::TransportConfig::default();
        transport
            .max_concurrent_bidi_streams((MAX_STREAMS as u32).into())
            .max_concurrent_uni_streams(0u32.into())
            .datagram_receive_buffer_size(None)
            .stream_receive_window(STREAM_WINDOW.into())
            .receive_window(CONNECTION_WINDOW.into())
            .keep_alive_interval(Some(KEEP_ALIVE))
            .max_idle_timeout(IDLE.try_into().ok())
            .allow_spin(false);
        let transport = Arc::new(transport);

        let mut server = quinn::ServerConfig::with_crypto(Arc::new(server));
        server
            .transport_config(transport.clone())
            .migration(false)
            .max_incoming(FIRST_PACKETS)
            .incoming_buffer_size(EARLY_BYTES.0)
            .incoming_buffer_size_total(EARLY_BYTES.1);
        let mut client = quinn::ClientConfig::new(Arc::new(client));
        client.transport_config(transport);

        // From the key, so that a node that comes back can tell its peers that their old connections are gone.
        let secret = keypair
            .derive_secret(b"tocsin: QUIC stateless reset")
            .ok_or_else(|| StartError::Key("no secret can be derived from it".to_owned()))?;
        let reset = ResetKey(hmac::Key::new(hmac::HMAC_SHA256, &secret));
        let mut endpoint = quinn::EndpointConfig::new(Arc::new(reset));
        endpoint.supported_versions(vec![1]);
        Ok(Self { endpoint, server, client, listeners: SelectAll::new(), handshakes, ceiling })
    }
}

impl Transport for Quic {
    type Output = Connected;
    type Error = io::Error;
    type ListenerUpgrade = Upgrade;
    type Dial = BoxFuture<'static, io::Result<Connected>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        let at = socket_address(&address).ok_or(TransportError::MultiaddrNotSupported(address))?;
        let config = (self.endpoint.clone(), self.server.clone());
        let listener =
            Listener::new(id, at, config, self.handshakes.clone()).map_err(TransportError::Other)?;
        // The swarm polls after this, so nobody need be woken.
        self.listeners.push(listener);
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        let listener = self.listeners.iter_mut().find(|listener| listener.id == id);
        listener.map(Listener::close).is_some()
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        let to = socket_address(&address).filter(|to| to.port() != 0 && !to.ip().is_unspecified());
        let (Some(to), Role::Dialer) = (to, options.role) else {
            return Err(TransportError::MultiaddrNotSupported(address));
        };
        let (config, client) = (self.endpoint.clone(), self.client.clone());
        let (handshakes, ceiling) = (self.handshakes.clone(), self.ceiling);
        Ok(async move {
            // A socket of its own for each dial: a listener's would make dials that cross fail on both sides.
            let any: IpAddr =
                if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            let socket = UdpSocket::bind((any, 0))?;
            descriptors::check(&socket, ceiling, &handshakes)?;
            let endpoint = quinn::Endpoint::new(config, None, socket, Arc::new(quinn::TokioRuntime))?;
            // The name is not sent, as it is an address, and not looked at: the key is what counts. Tokens by which this
            // address is known to the other end are kept by it.
            let name = to.ip().to_string();
            let connecting = endpoint.connect_with(client, to, &name).map_err(io::Error::other)?;
            let connection = tokio::time::timeout(HANDSHAKE_WITHIN, connecting).await;
            proven(
                connection
                    .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
                    .map_err(io::Error::other)?,
            )
        }
        .boxed())
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TransportEvent<Upgrade, io::Error>> {
        match self.get_mut().listeners.poll_next_unpin(cx) {
            Poll::Ready(Some(event)) => Poll::Ready(event),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

/// The key of stateless resets. quinn takes those of one cryptographic library or of another, by the features that any crate
/// of the build asks of it; this does not depend on them.
struct ResetKey(hmac::Key);

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature: &mut [u8]) {
        signature.copy_from_slice(hmac::sign(&self.0, data).as_ref());
    }

    fn signature_len(&self) -> usize {
        hmac::HMAC_SHA256.digest_algorithm().output_len()
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        hmac::verify(&self.0, data, signature).map_err(|_| CryptoError)
    }
}

/// The connection with the peer id that its certificate proves.
fn proven(connection: quinn::Connection) -> io::Result<Connected> {
    let unproven = || io::Error::other("the far end gave no certificate");
    let identity = connection.peer_identity().ok_or_else(unproven)?;
    let certificates = identity.downcast::<Vec<CertificateDer<'static>>>().map_err(|_| unproven())?;
    let certificate = certificates.first().ok_or_else(unproven)?;
    let peer: PeerId = tls::certificate::parse(certificate).map_err(io::Error::other)?.peer_id();
    Ok((peer, StreamMuxerBox::new(Muxer::new(connection))))
}

type EndpointOf = (quinn::EndpointConfig, quinn::ServerConfig);

/// One socket that is listened on.
struct Listener {
    id: ListenerId,
    config: EndpointOf,
    handshakes: Arc<Handshakes>,
    at: SocketAddr,
    /// `None` while the socket is out of order.
    endpoint: Option<quinn::Endpoint>,
    accept: Accept,
    /// Addresses of this machine, where all are listened on.
    interfaces: Option<IfWatcher>,
    /// The address to tell of, where one is.
    news: Option<Multiaddr>,
    looked_at: Bucket,
    rest: Option<Pin<Box<Sleep>>>,
    closed: Closed,
}

type Accept = BoxFuture<'static, Option<quinn::Incoming>>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Closed {
    No,
    ToTell,
    Yes,
}

impl Listener {
    fn new(
        id: ListenerId,
        at: SocketAddr,
        config: EndpointOf,
        handshakes: Arc<Handshakes>,
    ) -> io::Result<Self> {
        let endpoint = open(at, &config)?;
        let at = endpoint.local_addr()?;
        let interfaces = at.ip().is_unspecified().then(IfWatcher::new).transpose()?;
        let news = interfaces.is_none().then(|| multiaddr(at.ip(), at.port()));
        let (accept, looked_at) = (next(&endpoint), Bucket::full(LOOKED_AT, Instant::now()));
        let (endpoint, rest, closed) = (Some(endpoint), None, Closed::No);
        Ok(Self { id, config, handshakes, at, endpoint, accept, interfaces, news, looked_at, rest, closed })
    }

    fn close(&mut self) {
        if let Some(endpoint) = self.endpoint.take() {
            endpoint.close(0u32.into(), &[]);
        }
        self.closed = Closed::ToTell;
    }

    /// Whether this machine got or lost an address.
    fn poll_interfaces(&mut self, cx: &mut Context<'_>) -> Poll<TransportEvent<Upgrade, io::Error>> {
        let Some(interfaces) = &mut self.interfaces else { return Poll::Pending };
        let (listener_id, at) = (self.id, self.at);
        loop {
            match ready!(interfaces.poll_if_event(cx)) {
                Ok(IfEvent::Up(net)) if net.addr().is_ipv4() == at.is_ipv4() => {
                    let listen_addr = multiaddr(net.addr(), at.port());
                    return Poll::Ready(TransportEvent::NewAddress { listener_id, listen_addr });
                }
                Ok(IfEvent::Down(net)) if net.addr().is_ipv4() == at.is_ipv4() => {
                    let listen_addr = multiaddr(net.addr(), at.port());
                    return Poll::Ready(TransportEvent::AddressExpired { listener_id, listen_addr });
                }
                Ok(_) => {}
                Err(error) => {
                    // What is listened on stays so; only news of it ends.
                    self.interfaces = None;
                    descriptors::note(&self.handshakes, &error);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Looks at what came in until something may go on.
    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<TransportEvent<Upgrade, io::Error>> {
        for _ in 0..BURST {
            if let Some(rest) = &mut self.rest {
                ready!(rest.poll_unpin(cx));
                self.rest = None;
            }
            let Some(endpoint) = &self.endpoint else {
                self.mend();
                continue;
            };
            if !self.looked_at.take(LOOKED_AT, Instant::now()) {
                // Meanwhile what comes in waits, and beyond its bound is dropped unread.
                self.rest = Some(Box::pin(tokio::time::sleep(REST)));
                continue;
            }
            let incoming = ready!(self.accept.poll_unpin(cx));
            let Some(incoming) = incoming else {
                self.handshakes.fault(format!("the UDP socket at {} failed", self.at));
                // Before it is opened anew its port must be free.
                (self.endpoint, self.accept) = (None, future::pending().boxed());
                self.rest = Some(Box::pin(tokio::time::sleep(MEND_AFTER)));
                continue;
            };
            self.accept = next(endpoint);
            if let Some(event) = self.look_at(incoming) {
                return Poll::Ready(event);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn look_at(&self, incoming: quinn::Incoming) -> Option<TransportEvent<Upgrade, io::Error>> {
        let remote = incoming.remote_address();
        let host = Host::from(remote.ip());
        let place = if incoming.remote_address_validated() {
            let place = self.handshakes.enter_speaking(host, Via::Quic);
            if place.is_none() {
                incoming.refuse();
                return None;
            }
            place
        } else {
            let place = self.handshakes.enter_unproven(host, Via::Quic);
            if place.is_none() {
                // An address that is not validated may always be asked to be.
                if let Err(error) = incoming.retry() {
                    error.into_incoming().ignore();
                }
                return None;
            }
            place
        };
        let place = place?;
        match incoming.accept() {
            Ok(connecting) => {
                let handshake = async move { proven(connecting.await.map_err(io::Error::other)?) };
                Some(TransportEvent::Incoming {
                    listener_id: self.id,
                    upgrade: carry(place, handshake).boxed(),
                    local_addr: multiaddr(self.at.ip(), self.at.port()),
                    send_back_addr: multiaddr(remote.ip(), remote.port()),
                })
            }
            Err(_) => {
                // No handshake at all. What it was is its sender's business, and not for the log.
                place.ended(|counts| counts.failed += 1);
                None
            }
        }
    }

    /// Opens the socket anew, or rests for another try.
    fn mend(&mut self) {
        match open(self.at, &self.config) {
            Ok(endpoint) => {
                self.accept = next(&endpoint);
                self.endpoint = Some(endpoint);
            }
            Err(error) => {
                descriptors::note(&self.handshakes, &error);
                self.rest = Some(Box::pin(tokio::time::sleep(MEND_AFTER)));
            }
        }
    }
}

impl Stream for Listener {
    type Item = TransportEvent<Upgrade, io::Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let listener_id = this.id;
        match this.closed {
            Closed::No => {}
            Closed::ToTell => {
                this.closed = Closed::Yes;
                return Poll::Ready(Some(TransportEvent::ListenerClosed { listener_id, reason: Ok(()) }));
            }
            Closed::Yes => return Poll::Ready(None),
        }
        if let Some(listen_addr) = this.news.take() {
            return Poll::Ready(Some(TransportEvent::NewAddress { listener_id, listen_addr }));
        }
        if let Poll::Ready(event) = this.poll_interfaces(cx) {
            return Poll::Ready(Some(event));
        }
        this.poll_incoming(cx).map(Some)
    }
}

fn open(at: SocketAddr, (endpoint, server): &EndpointOf) -> io::Result<quinn::Endpoint> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(socket2::Protocol::UDP))?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // The receive buffer stays as the system has it: a larger one only lets live frames wait behind pages.
    socket.bind(&at.into())?;
    let runtime = Arc::new(quinn::TokioRuntime);
    quinn::Endpoint::new(endpoint.clone(), Some(server.clone()), socket.into(), runtime)
}

fn next(endpoint: &quinn::Endpoint) -> Accept {
    let endpoint = endpoint.clone();
    async move { endpoint.accept().await }.boxed()
}

/// Reads `/ip4/../udp/../quic-v1` or the same with `/ip6`, perhaps with `/p2p`.
fn socket_address(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    let (Protocol::Udp(port), Protocol::QuicV1) = (parts.next()?, parts.next()?) else { return None };
    match (parts.next(), parts.next()) {
        (None | Some(Protocol::P2p(_)), None) => Some(SocketAddr::new(ip, port)),
        _ => None,
    }
}

fn multiaddr(ip: IpAddr, port: u16) -> Multiaddr {
    Multiaddr::from(ip).with(Protocol::Udp(port)).with(Protocol::QuicV1)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use libp2p::core::transport::PortUse;

    use super::super::handshakes::Room;
    use super::*;

    fn quic() -> Quic {
        let room = Room { strangers: 8, members: 8, host: 8 };
        let handshakes = Arc::new(Handshakes::new(room));
        Quic::new(&Keypair::generate_ed25519(), handshakes, None).unwrap()
    }

    async fn event(quic: &mut Quic) -> TransportEvent<Upgrade, io::Error> {
        let event = poll_fn(|cx| Pin::new(&mut *quic).poll(cx));
        let event = tokio::time::timeout(Duration::from_secs(15), event).await;
        event.unwrap_or_else(|_| panic!("nothing came in time: {:?}", quic.handshakes.pressure()))
    }

    /// Whether a dial to this address and what comes of it at the listener meet.
    async fn meet(listener: &mut Quic, at: &Multiaddr) {
        let options = DialOpts { role: Role::Dialer, port_use: PortUse::New };
        let dialled = tokio::spawn(quic().dial(at.clone(), options).unwrap());
        let TransportEvent::Incoming { upgrade, .. } = event(listener).await else { panic!("a dial") };
        let served = tokio::spawn(upgrade);
        // The one who dials is told first, and waits for nothing.
        let (_, muxer) = dialled.await.unwrap().unwrap();
        served.await.unwrap().unwrap();
        drop(muxer);
    }

    /// Older nodes speak by libp2p's own transport, and are spoken to; also where they have to prove their address.
    #[tokio::test]
    async fn it_is_the_protocol_of_libp2ps_own_transport() {
        let any: Multiaddr = "/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap();
        let keypair = Keypair::generate_ed25519();
        let theirs = || libp2p_quic::tokio::Transport::new(libp2p_quic::Config::new(&keypair));
        let options = DialOpts { role: Role::Dialer, port_use: PortUse::New };

        let mut ours = quic();
        ours.listen_on(ListenerId::next(), any.clone()).unwrap();
        let TransportEvent::NewAddress { listen_addr, .. } = event(&mut ours).await else {
            panic!("an address")
        };
        let source = Host::from(IpAddr::from(Ipv4Addr::LOCALHOST));
        let mut unproven = Vec::new();
        for must_prove in [false, true] {
            if must_prove {
                // As many as wait before addresses have to be proven.
                unproven.extend(std::iter::from_fn(|| ours.handshakes.enter_unproven(source, Via::Quic)));
            }
            let dialled = tokio::spawn(theirs().dial(listen_addr.clone(), options).unwrap());
            let TransportEvent::Incoming { upgrade, .. } = event(&mut ours).await else { panic!("a dial") };
            let served = tokio::spawn(upgrade);
            let connection = dialled.await.unwrap().unwrap();
            assert_eq!(served.await.unwrap().unwrap().0, keypair.public().to_peer_id());
            drop(connection);
        }
        assert_eq!(
            ours.handshakes.pressure().quic.asked_to_prove,
            2,
            "one of the dials, and the loop's last"
        );

        let mut theirs = theirs();
        theirs.listen_on(ListenerId::next(), any).unwrap();
        let mut next = async || poll_fn(|cx| Pin::new(&mut theirs).poll(cx)).await;
        let TransportEvent::NewAddress { listen_addr, .. } = next().await else { panic!("an address") };
        let dialled = tokio::spawn(quic().dial(listen_addr, options).unwrap());
        let TransportEvent::Incoming { upgrade, .. } = next().await else { panic!("a dial") };
        let served = tokio::spawn(upgrade);
        let (peer, muxer) = dialled.await.unwrap().unwrap();
        assert_eq!(peer, keypair.public().to_peer_id());
        served.await.unwrap().unwrap();
        drop(muxer);
    }

    /// As after an error of the socket, which ends quinn's driver for good.
    #[tokio::test]
    async fn a_socket_that_fails_is_opened_anew() {
        let mut listener = quic();
        listener.listen_on(ListenerId::next(), "/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap()).unwrap();
        let TransportEvent::NewAddress { listen_addr: at, .. } = event(&mut listener).await else {
            panic!("an address")
        };
        meet(&mut listener, &at).await;
        let failing =
            listener.listeners.iter().next().and_then(|listener| listener.endpoint.clone()).unwrap();
        failing.close(0u32.into(), &[]);
        drop(failing);
        // Until it is opened anew nobody answers there.
        let quiet = tokio::time::timeout(MEND_AFTER * 2, poll_fn(|cx| Pin::new(&mut listener).poll(cx)));
        assert!(quiet.await.is_err(), "nothing is told of it");
        meet(&mut listener, &at).await;
        assert!(listener.handshakes.pressure().listener_errors >= 1);
    }

    #[test]
    fn only_quic_addresses_are_read() {
        let read = |text: &str| socket_address(&text.parse().unwrap());
        assert_eq!(read("/ip4/192.0.2.1/udp/7400/quic-v1"), Some("192.0.2.1:7400".parse().unwrap()));
        assert_eq!(read("/ip6/2001:db8::1/udp/1/quic-v1"), Some("[2001:db8::1]:1".parse().unwrap()));
        for other in [
            "/ip4/192.0.2.1/tcp/1",
            "/ip4/192.0.2.1/udp/1",
            "/dns4/localhost/udp/1/quic-v1",
            "/ip4/192.0.2.1/udp/1/quic-v1/tcp/1",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
