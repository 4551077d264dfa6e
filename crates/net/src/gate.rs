//! The way in for TCP: what is accepted takes a place among the handshakes under way, or is dropped here.
//!
//! libp2p's own limits (its crate `connection-limits`, or a behaviour that denies) can only turn away the newcomer, so
//! that whoever holds what there is keeps all others out. Here each handshake is a future that can be told to give way.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::{BoxFuture, FutureExt as _};
use libp2p::core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::{Multiaddr, Transport};
use tokio::net::TcpStream;

use super::descriptors;
use super::handshakes::{Handshakes, Place, Speaker, WITHIN};
use super::host::Host;
use super::pressure::Via;
use super::transport::{Connected, Muxed};

/// Connections looked at before others get a turn.
const BURST: usize = 64;

/// A handshake that others began, to its end.
pub(super) type Upgrade = BoxFuture<'static, io::Result<Connected>>;

/// A transport for TCP with a door.
pub(super) struct Gate {
    inner: Muxed,
    handshakes: Arc<Handshakes>,
}

impl Gate {
    pub(super) fn new(inner: Muxed, handshakes: Arc<Handshakes>) -> Self {
        Self { inner, handshakes }
    }
}

tokio::task_local! {
    /// Of the handshake that is being carried. The layers between its place and its socket are libp2p's.
    static SPEAKER: Speaker;
}

/// Waits until the far end of a connection that it began has said something. A dial passes.
pub(super) async fn until_spoken(stream: &TcpStream) -> io::Result<()> {
    let Ok(speaker) = SPEAKER.try_with(Clone::clone) else { return Ok(()) };
    // Whoever dials speaks first (multistream-select).
    if stream.peek(&mut [0]).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    if speaker.speaks() { Ok(()) } else { Err(io::Error::other("its host begins too many handshakes")) }
}

/// Carries a handshake to its end, unless it takes too long or gives way.
pub(super) async fn carry<T>(place: Place, handshake: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let gone = poll_fn(|cx| place.poll_gone(cx));
    tokio::select! {
        biased;
        () = gone => Err(io::Error::other("it gave way to newer handshakes")),
        done = tokio::time::timeout(WITHIN, SPEAKER.scope(place.speaker(), handshake)) => {
            place.ended(|counts| match &done {
                Ok(Ok(_)) => counts.proven += 1,
                Ok(Err(_)) => counts.failed += 1,
                Err(_) => counts.timed_out += 1,
            });
            done.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        }
    }
}

impl Transport for Gate {
    type Output = Connected;
    type Error = io::Error;
    type ListenerUpgrade = Upgrade;
    type Dial = <Muxed as Transport>::Dial;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        self.inner.dial(address, options)
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TransportEvent<Upgrade, io::Error>> {
        let this = self.get_mut();
        for _ in 0..BURST {
            match Pin::new(&mut this.inner).poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(TransportEvent::Incoming {
                    listener_id,
                    upgrade,
                    local_addr,
                    send_back_addr,
                }) => {
                    let host = Host::of(&send_back_addr);
                    if let Some(place) = host.and_then(|host| this.handshakes.enter(host, Via::Tcp)) {
                        let upgrade = carry(place, upgrade).boxed();
                        return Poll::Ready(TransportEvent::Incoming {
                            listener_id,
                            upgrade,
                            local_addr,
                            send_back_addr,
                        });
                    }
                    // Dropped, which closes it: nothing was read of it.
                }
                // libp2p-tcp rests for 100 ms after an error and then goes on by itself.
                Poll::Ready(TransportEvent::ListenerError { error, .. }) => {
                    descriptors::note(&this.handshakes, &error);
                }
                Poll::Ready(event) => return Poll::Ready(event.map_upgrade(|upgrade| upgrade)),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
