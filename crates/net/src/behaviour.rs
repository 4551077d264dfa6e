//! Which connections may be: the limits before, at and after the handshake.
//!
//! A stranger costs least when it is refused before the handshake (13 us against 250 us), but then
//! its key is not known yet. So handshakes under way have one bound for all, and once the key is
//! proven a known peer passes while a stranger needs a place in the lobby.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::identity::PublicKey;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use tokio::time::Instant;

use super::handler::{Handler, Opened};
use super::link::{Link, Shared, Standing};
use super::{Config, Direction, Peer, Refused};

/// Two, because a peer may come back before its old connection is known to be dead.
const MAX_PER_PEER: usize = 2;
/// How long a connection may be without both lanes.
const LANES_WITHIN: Duration = Duration::from_secs(10);

/// A connection past its handshake.
pub(super) struct Connection {
    pub(super) peer: Peer,
    pub(super) direction: Direction,
    pub(super) remote: Multiaddr,
    since: Instant,
    stranger: bool,
    /// Set when both lanes are open and it won against any other connection of the peer.
    pub(super) link: Option<Arc<Link>>,
}

/// Limits and bookkeeping of connections.
pub(super) struct Behaviour {
    shared: Arc<Shared>,
    limits: Limits,
    pending_in: HashSet<ConnectionId>,
    pub(super) connections: HashMap<ConnectionId, Connection>,
    /// Drained at once by the swarm's loop.
    events: VecDeque<(ConnectionId, Opened)>,
}

struct Limits {
    links: usize,
    lobby: usize,
    lobby_per_host: usize,
    pending_in: usize,
}

/// Why a connection was refused here.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub(super) enum Denied {
    #[error("too many handshakes are under way")]
    Pending,
    #[error("the lobby is full")]
    Lobby,
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
                pending_in: config.max_pending_in,
            },
            pending_in: HashSet::new(),
            connections: HashMap::new(),
            events: VecDeque::new(),
        }
    }

    /// Connections that have waited too long for their lanes.
    pub(super) fn overdue(&self) -> Vec<ConnectionId> {
        let late = |c: &Connection| c.link.is_none() && c.since.elapsed() > LANES_WITHIN;
        self.connections.iter().filter(|(_, c)| late(c)).map(|(id, _)| *id).collect()
    }

    /// Whether a proven key may come in from this address.
    fn judge(&self, peer: &Peer, direction: Direction, remote: &Multiaddr) -> Result<(), Denied> {
        let standing = self.shared.standing(peer);
        if standing == Standing::Disallowed {
            return Err(Denied::Disallowed);
        }
        if self.connections.values().filter(|c| c.peer == *peer).count() >= MAX_PER_PEER {
            return Err(Denied::PerPeer);
        }
        let in_lobby =
            |c: &&Connection| c.stranger && c.link.as_ref().is_none_or(|link| !link.gate().admitted);
        let lobby = || self.connections.values().filter(in_lobby);
        if standing == Standing::Stranger && direction == Direction::Inbound {
            let host = host(remote);
            let same = lobby().filter(|c| host.is_some() && self::host(&c.remote) == host).count();
            if lobby().count() >= self.limits.lobby || same >= self.limits.lobby_per_host {
                return Err(Denied::Lobby);
            }
        } else if self.connections.len() - lobby().count() >= self.limits.links {
            return Err(Denied::Links);
        }
        Ok(())
    }

    fn establish(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        direction: Direction,
        remote: &Multiaddr,
    ) -> Result<Handler, ConnectionDenied> {
        self.pending_in.remove(&id);
        let peer = key_of(&peer).ok_or_else(|| ConnectionDenied::new(Denied::Key))?;
        if let Err(denied) = self.judge(&peer, direction, remote) {
            self.count(denied);
            return Err(ConnectionDenied::new(denied));
        }
        let stranger = direction == Direction::Inbound && self.shared.standing(&peer) == Standing::Stranger;
        let (remote, since) = (remote.clone(), Instant::now());
        self.connections.insert(id, Connection { peer, direction, remote, since, stranger, link: None });
        Ok(Handler::new(direction))
    }

    fn count(&self, denied: Denied) {
        self.shared.count_refusal(|refused: &mut Refused| match denied {
            Denied::Pending => refused.pending += 1,
            Denied::Lobby | Denied::Key => refused.lobby += 1,
            Denied::Disallowed => refused.disallowed += 1,
            Denied::PerPeer => refused.per_peer += 1,
            Denied::Links => refused.links += 1,
        });
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = (ConnectionId, Opened);

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        if self.pending_in.len() >= self.limits.pending_in {
            self.count(Denied::Pending);
            return Err(ConnectionDenied::new(Denied::Pending));
        }
        self.pending_in.insert(id);
        Ok(())
    }

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
                self.pending_in.remove(&failure.connection_id);
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
        match self.events.pop_front() {
            Some(event) => Poll::Ready(ToSwarm::GenerateEvent(event)),
            // Events come through the methods above, after which the swarm polls again.
            None => Poll::Pending,
        }
    }
}

/// The transport key within a peer id; `None` when it is not Ed25519.
pub(super) fn key_of(peer: &PeerId) -> Option<Peer> {
    let key = PublicKey::try_decode_protobuf(peer.as_ref().digest()).ok()?;
    Some(key.try_into_ed25519().ok()?.to_bytes())
}

/// The machine behind an address; for IPv6 its /64, which is what one machine can draw addresses from.
fn host(address: &Multiaddr) -> Option<IpAddr> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => Some(ip.into()),
            None => Some(IpAddr::from((u128::from(ip) >> 64 << 64).to_be_bytes())),
        },
        _ => None,
    }
}
