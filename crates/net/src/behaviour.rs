//! Which connections may be: the limits before, at and after the handshake.
//!
//! Before the handshake nobody's key is known: what bounds those is in [`super::handshakes`]. Once the
//! key is proven a known peer passes, while a stranger needs a place in the lobby. There, too, the
//! oldest gives way, of the host that holds most places, so that those who fill it keep nobody out.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::identity::PublicKey;
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use super::dial;
use super::handler::{Handler, Opened};
use super::host::Host;
use super::link::{KeyStatus, Link, Shared};
use super::{Config, Direction, Ended, PeerKey, Refused};

/// Two, because a peer may come back before its old connection is known to be dead.
const MAX_PER_PEER: usize = 2;
/// How long a connection may be without both lanes.
const LANES_WITHIN: Duration = Duration::from_secs(10);

/// A connection past its handshake.
pub(super) struct Connection {
    pub(super) peer: PeerKey,
    pub(super) direction: Direction,
    pub(super) remote: Multiaddr,
    host: Option<Host>,
    since: Instant,
    stranger: bool,
    /// It gave way to another stranger.
    leaving: bool,
    /// Set when both lanes are open and it won against any other connection of the peer.
    pub(super) link: Option<Arc<Link>>,
}

/// Limits and bookkeeping of connections.
pub(super) struct Behaviour {
    shared: Arc<Shared>,
    limits: Limits,
    pub(super) connections: HashMap<ConnectionId, Connection>,
    /// Drained at once by the swarm's loop.
    events: VecDeque<(ConnectionId, Opened)>,
    /// Connections that give way, drained likewise.
    leaving: VecDeque<(PeerId, ConnectionId)>,
}

struct Limits {
    links: usize,
    lobby: usize,
    lobby_per_host: usize,
}

/// Why a connection was refused here.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum Denied {
    #[error("the peer's key was disallowed")]
    Disallowed,
    #[error("the peer has {MAX_PER_PEER} connections already")]
    PerPeer,
    #[error("this node has as many links as it may")]
    Links,
    #[error("the peer's key is not Ed25519")]
    Key,
}

impl Behaviour {
    pub(super) fn new(config: &Config, shared: Arc<Shared>) -> Self {
        Self {
            shared,
            limits: Limits {
                links: config.max_links,
                lobby: config.max_lobby,
                lobby_per_host: config.max_lobby_per_host,
            },
            connections: HashMap::new(),
            events: VecDeque::new(),
            leaving: VecDeque::new(),
        }
    }

    /// Connections that have waited too long for their lanes.
    pub(super) fn overdue(&self) -> Vec<ConnectionId> {
        let late = |c: &Connection| c.link.is_none() && c.since.elapsed() > LANES_WITHIN;
        self.connections.iter().filter(|(_, c)| late(c)).map(|(id, _)| *id).collect()
    }

    /// Whether a proven key may come in.
    fn judge(&mut self, peer: &PeerKey, stranger: Option<Option<Host>>) -> Result<(), Denied> {
        if self.shared.key_status(peer) == KeyStatus::Disallowed {
            return Err(Denied::Disallowed);
        }
        if self.connections.values().filter(|c| c.peer == *peer).count() >= MAX_PER_PEER {
            return Err(Denied::PerPeer);
        }
        match stranger {
            Some(host) => self.make_room(host),
            None if self.connections.len() - self.lobby().count() >= self.limits.links => {
                return Err(Denied::Links);
            }
            None => {}
        }
        Ok(())
    }

    /// Strangers that are not let in yet.
    fn lobby(&self) -> impl Iterator<Item = (&ConnectionId, &Connection)> {
        let in_lobby = |c: &Connection| {
            c.stranger && !c.leaving && c.link.as_ref().is_none_or(|link| !link.gate().admitted)
        };
        self.connections.iter().filter(move |(_, c)| in_lobby(c))
    }

    /// Lets the oldest stranger of a host go where the lobby has no place for one more.
    fn make_room(&mut self, host: Option<Host>) {
        let mut by_host: HashMap<Option<Host>, usize> = HashMap::new();
        for (_, connection) in self.lobby() {
            *by_host.entry(connection.host).or_default() += 1;
        }
        let of_host = by_host.get(&host).copied().unwrap_or(0);
        let from = if of_host >= self.limits.lobby_per_host {
            Some(host)
        } else if by_host.values().sum::<usize>() >= self.limits.lobby {
            let most = by_host.values().max().copied().unwrap_or(0);
            let of_most = |c: &Connection| by_host.get(&c.host) == Some(&most);
            self.lobby().filter(|(_, c)| of_most(c)).min_by_key(|(_, c)| c.since).map(|(_, c)| c.host)
        } else {
            None
        };
        let oldest = from.and_then(|from| {
            self.lobby().filter(|(_, c)| c.host == from).min_by_key(|(_, c)| c.since).map(|(id, _)| *id)
        });
        if let Some(connection) = oldest.and_then(|id| Some((id, self.connections.get_mut(&id)?)))
            && let (id, connection) = connection
            && let Some(peer) = dial::peer_id(&connection.peer)
        {
            connection.leaving = true;
            if let Some(link) = &connection.link {
                link.close(Ended::Closed("the lobby is full".to_owned()));
            }
            self.leaving.push_back((peer, id));
            self.shared.count_refusal(|refused| refused.lobby += 1);
        }
    }

    fn establish(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        direction: Direction,
        remote: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        let peer = key_of(&peer).ok_or_else(|| ConnectionDenied::new(Denied::Key))?;
        let status = self.shared.key_status(&peer);
        let stranger = direction == Direction::Inbound && status == KeyStatus::Stranger;
        let host = Host::of(remote);
        if let Err(denied) = self.judge(&peer, stranger.then_some(host)) {
            self.count(denied);
            return Err(ConnectionDenied::new(denied));
        }
        if let (KeyStatus::Known, Some(host)) = (status, host) {
            self.shared.handshakes.see(&peer, host);
        }
        let (remote, since) = (remote.clone(), Instant::now());
        let connection =
            Connection { peer, direction, remote, host, since, stranger, leaving: false, link: None };
        self.connections.insert(id, connection);
        Ok(Handler::new(direction))
    }

    fn count(&self, denied: Denied) {
        self.shared.count_refusal(|refused: &mut Refused| match denied {
            Denied::Key => refused.lobby += 1,
            Denied::Disallowed => refused.disallowed += 1,
            Denied::PerPeer => refused.per_peer += 1,
            Denied::Links => refused.links += 1,
        });
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = (ConnectionId, Opened);

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.establish(id, peer, Direction::Inbound, remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.establish(id, peer, Direction::Outbound, remote)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ListenFailure(failure) => {
                self.connections.remove(&failure.connection_id);
            }
            FromSwarm::DialFailure(failure) => {
                self.connections.remove(&failure.connection_id);
            }
            // The swarm's loop needs the entry of a closed connection, and removes it there.
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, id: ConnectionId, opened: Opened) {
        self.events.push_back((id, opened));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(ToSwarm::GenerateEvent(event));
        }
        match self.leaving.pop_front() {
            Some((peer_id, id)) => {
                let connection = CloseConnection::One(id);
                Poll::Ready(ToSwarm::CloseConnection { peer_id, connection })
            }
            // Both come through the methods above, after which the swarm polls again.
            None => Poll::Pending,
        }
    }
}

/// The transport key within a peer id; `None` when it is not Ed25519.
pub(super) fn key_of(peer: &PeerId) -> Option<PeerKey> {
    let key = PublicKey::try_decode_protobuf(peer.as_ref().digest()).ok()?;
    Some(key.try_into_ed25519().ok()?.to_bytes())
}
