//! The network edge: libp2p connections become *links* that carry frames of bytes.
//!
//! ```text
//!  core thread                    tokio
//!  -----------                    -----
//!  Net::try_send --> outbox --> writers --\                 /--> peer
//!  (never waits)     (bounded)             live | bulk lane
//!  Inbound <------- mpsc <----- readers --/                 \--- peer
//!                   (bounded: a full inbox stops reading, which slows the peer's stream)
//! ```
//!
//! A link is one connection with two ordered streams: *live* for what must be fast and *bulk* for
//! catch-up, which is written in small chunks and steps aside for live frames. What a frame means is
//! nobody's business here: membership, the lobby's verdict and when to dial are the owner's. This
//! module gives identity (the peer's transport key is proven by the handshake), encryption, limits
//! before and after admission, back-pressure and an end with a reason.
//!
//! Bounds: every queue has one. What a link can make this node hold is its two outboxes, its two
//! inboxes ([`Config::inbox_live_bytes`], [`Config::inbox_bulk_bytes`], or one frame if that is
//! larger) and the windows of its streams (at most 2 MiB each).

mod behaviour;
mod descriptors;
mod dial;
mod frame;
mod gate;
mod handler;
mod handshakes;
mod host;
mod lanes;
mod link;
mod outbox;
mod pressure;
mod quic;
mod rate;
mod security;
mod swarm;
#[cfg(test)]
mod tests;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use libp2p::Multiaddr;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

pub use dial::{AddressError, DialFault, parse_address};
pub use link::{Credit, Ended};
use link::{Links, Shared};
pub use outbox::Queued;
pub use pressure::{Counts, OfLate, Pressure};

/// The name both ends must speak; each lane adds its suffix.
pub const PROTOCOL: &str = "/tocsin/mesh/1";

/// The longest frame that the four-byte head can state.
pub const LONGEST_FRAME: u32 = frame::LONGEST;

/// How many dials may wait to be started.
const COMMANDS: usize = 256;

/// A transport public key (Ed25519). It is the identity of the node at the far end of a link.
pub type PeerKey = [u8; 32];

/// How much an outbox holds before [`Net::try_send`] answers [`SendError::Full`].
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Bytes of frames. An empty outbox takes one frame of any allowed length.
    pub bytes: usize,
    /// Number of frames.
    pub frames: usize,
}

/// What the link layer is started with. [`Config::new`] gives the values a node ships with.
pub struct Config {
    /// Where to listen; empty for a node that only dials out. TCP and QUIC, for example
    /// `/ip4/0.0.0.0/tcp/7400` and `/ip6/::/udp/7400/quic-v1`. Port 0 lets the system choose.
    pub listen: Vec<Multiaddr>,
    /// The Ed25519 seed of the transport key.
    pub transport_key: Zeroizing<[u8; 32]>,
    /// Most connections in all, without the strangers in the lobby.
    pub max_links: usize,
    /// Most inbound connections of transport keys that were never [`Net::allow`]ed and are not yet
    /// [`Net::admit`]ted.
    pub max_lobby: usize,
    /// Most of those from one address (IPv6: one /64), so that one machine cannot fill the lobby.
    pub max_lobby_per_host: usize,
    /// Most handshakes under way that hosts began at which no member is known, before the oldest gives way.
    pub max_handshakes: usize,
    /// The same for hosts of members, see [`Net::know_hosts`].
    pub max_member_handshakes: usize,
    /// Most of either from one host (IPv6: one /64).
    pub max_handshakes_per_host: usize,
    /// Most dials under way, name resolution included.
    pub max_pending_out: usize,
    /// Longest frame of an admitted link, in bytes; a longer one ends the link.
    pub max_frame: u32,
    /// Longest frame of a link that is not admitted, until [`Net::set_limit`] says otherwise.
    pub lobby_frame: u32,
    /// How long an unadmitted link's reader holds back a frame over the limit for the owner to
    /// raise it (the owner may still be at work on the frame before) until that ends the link.
    pub lobby_patience: Duration,
    /// Room for live frames to one peer.
    pub outbox_live: Room,
    /// Room for bulk frames to one peer.
    pub outbox_bulk: Room,
    /// Bytes of live frames of one link that may be with the owner, who frees them by dropping
    /// each frame's [`Credit`].
    pub inbox_live_bytes: usize,
    /// The same for bulk frames.
    pub inbox_bulk_bytes: usize,
    /// How often the round trip is measured; also at the start of a link.
    pub ping_every: Duration,
    /// A link from which nothing was heard for so long is dead.
    pub silence: Duration,
    /// An older node, which speaks Noise alone over TCP.
    #[cfg(test)]
    pub(crate) noise_only: bool,
}

impl Config {
    /// The shipped values, listening nowhere.
    pub fn new(transport_key: Zeroizing<[u8; 32]>) -> Self {
        const MIB: usize = 1 << 20;
        Self {
            listen: Vec::new(),
            transport_key,
            max_links: 512,
            max_lobby: 64,
            max_lobby_per_host: 32,
            max_handshakes: 256,
            max_member_handshakes: 128,
            max_handshakes_per_host: 64,
            max_pending_out: 64,
            // The largest page or document plus the message around it.
            max_frame: (8 * MIB + 64 * 1024) as u32,
            lobby_frame: 8 * 1024,
            lobby_patience: Duration::from_secs(10),
            outbox_live: Room { bytes: 4 * MIB, frames: 4096 },
            outbox_bulk: Room { bytes: 4 * MIB, frames: 4096 },
            inbox_live_bytes: MIB,
            inbox_bulk_bytes: 4 * MIB,
            ping_every: Duration::from_secs(15),
            silence: Duration::from_secs(60),
            #[cfg(test)]
            noise_only: false,
        }
    }
}

/// Which of a link's two streams a frame goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Alarms, headers, control: small and at once.
    Live,
    /// Pages: large, in chunks, after live frames.
    Bulk,
}

/// What the network tells its owner. For one link the order is `Up`, anything, `Down`; frames of
/// one lane keep their order.
#[derive(Debug)]
pub enum Inbound {
    /// This address is listened on.
    Listening(Multiaddr),
    /// This address is no longer listened on, or a listener failed.
    NotListening {
        /// What happened.
        reason: String,
    },
    /// A link is open both ways. It is unadmitted: [`Config::lobby_frame`] holds and its bulk lane
    /// is not read until [`Net::admit`].
    Up {
        /// Names the link in all calls; never used again.
        link: u64,
        /// The transport key that the far end has proven to hold.
        peer: PeerKey,
        /// The address of the far end.
        remote: Multiaddr,
        /// Who dialled.
        direction: Direction,
    },
    /// A frame arrived.
    Frame {
        /// By which link.
        link: u64,
        /// By which lane.
        lane: Lane,
        /// Its bytes, without the length.
        bytes: Bytes,
        /// Drop it when the frame is done with: it is what the inbox's bound counts.
        credit: Credit,
    },
    /// An outbox that was over half full, or refused a frame, has room again.
    Drained {
        /// Of which link.
        link: u64,
        /// Which outbox.
        lane: Lane,
    },
    /// A round trip was measured, through both live lanes and what queues in them.
    Rtt {
        /// By which link.
        link: u64,
        /// How long it took.
        rtt: Duration,
    },
    /// The link is over; nothing of it follows.
    Down {
        /// Which link.
        link: u64,
        /// Why, and whose doing it was.
        reason: Ended,
    },
    /// A dial did not become a link.
    DialFailed {
        /// Who was dialled.
        peer: PeerKey,
        /// Why not.
        fault: DialFault,
    },
}

/// Who opened the connection under a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The peer dialled this node.
    Inbound,
    /// This node dialled the peer.
    Outbound,
}

/// Why a frame was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The outbox is full. [`Inbound::Drained`] follows when it has emptied.
    #[error("the outbox of this link is full")]
    Full,
    /// There is no such link (any more).
    #[error("the link is closed")]
    Closed,
    /// The frame is longer than [`Config::max_frame`].
    #[error("a frame of {length} bytes is over the limit of {limit}")]
    TooLong {
        /// Length of the frame.
        length: usize,
        /// The most that goes.
        limit: u32,
    },
}

/// Why the network could not be started. All of these are the operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The transport key is not usable.
    #[error("the transport key was refused: {0}")]
    Key(String),
    /// Noise could not be set up with the key.
    #[error("the encrypted transport could not be set up: {0}")]
    Noise(#[from] libp2p::noise::Error),
    /// An address in the configuration cannot be listened on.
    #[error(
        "cannot listen on {address}: {reason}; another program may use the port, or the address is not this machine's"
    )]
    Listen {
        /// The configured address.
        address: Multiaddr,
        /// What the system said.
        reason: String,
    },
    /// A limit in the configuration makes no sense.
    #[error("{0}")]
    Limit(&'static str),
}

/// How many connections were turned away, by reason, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// A stranger when the lobby was full, in all or for that host.
    pub lobby: u64,
    /// A key that was disallowed.
    pub disallowed: u64,
    /// More than two connections of one peer.
    pub per_peer: u64,
    /// Too many links in all.
    pub links: u64,
}

/// The handle to the running network. Cheap to clone; no call of it waits, so that it may be used
/// from the core's thread. The network stops when the last one is dropped or [`Net::stop`] is called.
#[derive(Clone)]
pub struct Net {
    inner: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    commands: mpsc::Sender<swarm::Command>,
    local: PeerKey,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

/// Starts listening and returns the handle and the task, which ends after [`Net::stop`]. Must be
/// called within a tokio runtime. `inbound` is the inbox of the core: its capacity is the number of
/// events that may wait there, and when it is full the streams are not read.
pub fn start(config: Config, inbound: mpsc::Sender<Inbound>) -> Result<(Net, JoinHandle<()>), StartError> {
    if config.max_frame > LONGEST_FRAME || config.lobby_frame > config.max_frame {
        return Err(StartError::Limit("max_frame is at most 16 MiB - 1, and lobby_frame at most max_frame"));
    }
    let (commands, receiver) = mpsc::channel(COMMANDS);
    let shared = Arc::new(Shared::new(&config));
    let (local, task) = swarm::start(config, shared.clone(), inbound, commands.clone(), receiver)?;
    let net = Net { inner: Arc::new(Handle { shared, commands, local }) };
    Ok((net, task))
}

impl Net {
    /// This node's transport public key.
    pub fn local(&self) -> PeerKey {
        self.inner.local
    }

    fn links(&self) -> &Links {
        &self.inner.shared.links
    }

    /// Queues a frame. Frames of one lane arrive in this order or the link ends.
    pub fn try_send(&self, link: u64, lane: Lane, bytes: Bytes) -> Result<(), SendError> {
        let limit = self.inner.shared.max_frame;
        if bytes.len() > limit as usize {
            return Err(SendError::TooLong { length: bytes.len(), limit });
        }
        self.links().get(link).ok_or(SendError::Closed)?.outbox(lane).push(bytes)
    }

    /// What waits in an outbox, what is being written included; zero for a link that is gone.
    pub fn queued(&self, link: u64, lane: Lane) -> Queued {
        self.links().get(link).map(|link| link.outbox(lane).queued()).unwrap_or_default()
    }

    /// Starts to connect to `peer` at any of `addresses` (multiaddr texts, see [`parse_address`]),
    /// QUIC and IPv6 first. The result is [`Inbound::Up`] with that peer, or [`Inbound::DialFailed`]:
    /// a node that proves another key is refused. `Err` is returned when too many dials wait already.
    pub fn dial(&self, peer: PeerKey, addresses: Vec<String>) -> Result<(), DialFault> {
        self.inner.commands.try_send(swarm::Command::Dial { peer, addresses }).map_err(|_| DialFault::Busy)
    }

    /// Sets the longest frame an unadmitted link may send from now on (at most the configured
    /// maximum).
    pub fn set_limit(&self, link: u64, bytes: u32) {
        if let Some(link) = self.links().get(link) {
            link.set_limit(bytes.min(self.inner.shared.max_frame));
        }
    }

    /// Lets the link out of the lobby: full frame length, and its bulk lane is read.
    pub fn admit(&self, link: u64) {
        if let Some(link) = self.links().get(link) {
            link.admit(self.inner.shared.max_frame);
        }
    }

    /// Ends a link. Live frames queued before are still delivered if the peer takes them within a
    /// second; nothing more is received.
    pub fn close(&self, link: u64, reason: impl Into<String>) {
        if let Some(link) = self.links().get(link) {
            link.close(Ended::Closed(reason.into()));
        }
    }

    /// Makes keys known: they need no room in the lobby. Also takes back [`Net::disallow`].
    pub fn allow(&self, peers: impl IntoIterator<Item = PeerKey>) {
        self.inner.shared.allow(peers);
    }

    /// Ends the links of a key and refuses it from now on, after the handshake and before a frame.
    pub fn disallow(&self, peer: &PeerKey) {
        self.inner.shared.disallow(peer);
    }

    /// Says where members are reached (multiaddr texts, names are resolved; at most 4,096 are taken): handshakes from there
    /// have places of their own, as have those from where members were linked. Replaces what was said before.
    pub fn know_hosts(&self, addresses: Vec<String>) {
        // When too many commands wait, the next time will do.
        let _ = self.inner.commands.try_send(swarm::Command::Hosts(addresses));
    }

    /// What strangers do to this node, and what it lacks to let others in.
    pub fn pressure(&self) -> Pressure {
        self.inner.shared.handshakes.pressure()
    }

    /// How many connections were turned away after their handshake.
    pub fn refused(&self) -> Refused {
        self.inner.shared.refused()
    }

    /// Closes every link and ends the task, within about two seconds.
    pub fn stop(&self) {
        self.inner.shared.stop();
    }
}
