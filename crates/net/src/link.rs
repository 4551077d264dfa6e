//! What a link's tasks, the swarm and the owner share: limits, who is known, and the end.
//!
//! Nothing here waits while it holds a lock; every lock is held for a few instructions.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use libp2p::swarm::ConnectionId;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::descriptors;
use super::handshakes::{Handshakes, Room};
use super::outbox::Outbox;
use super::{Direction, Lane, PeerKey, Refused};

/// How many disallowed keys are remembered. They come from signed revocations, so this is only a
/// guard against a mistake of the owner.
const MAX_DISALLOWED: usize = 65_536;

/// Handshakes of strangers take at most this part of the descriptors that connections may use.
const STRANGERS_PART: usize = 4;
/// Those of members' hosts, and those of one host, take at most this part.
const MEMBERS_PART: usize = 8;

/// Why a link ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The owner closed it.
    #[error("closed here: {0}")]
    Closed(String),
    /// The far end closed it in good order.
    #[error("closed by the peer")]
    ByPeer,
    /// A newer connection with the same peer took its place.
    #[error("another connection with this peer took its place")]
    Replaced,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Lost(String),
    /// Nothing was heard for too long.
    #[error("nothing was heard for {} s", .0.as_secs())]
    Silent(Duration),
    /// The peer announced a frame over the limit.
    #[error("a frame of {length} bytes on the {lane:?} lane is over the limit of {limit}")]
    TooLong {
        /// On which lane.
        lane: Lane,
        /// Announced length.
        length: u32,
        /// What was allowed.
        limit: u32,
    },
    /// The peer sent what this protocol does not know.
    #[error("the peer broke the protocol: {0}")]
    Malformed(String),
    /// The peer's key was disallowed.
    #[error("the peer's key was disallowed")]
    Disallowed,
    /// The network stops.
    #[error("this node stops")]
    Stopped,
}

/// Room in a link's inbox, taken by a frame and given back by dropping it.
#[derive(Debug)]
pub struct Credit(#[expect(dead_code, reason = "held for its drop")] pub(super) OwnedSemaphorePermit);

/// Locks, also after a panic elsewhere: what is guarded here is valid after every statement.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an unadmitted link may not do yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gate {
    /// Longest frame taken.
    pub(super) limit: u32,
    /// Out of the lobby.
    pub(super) admitted: bool,
}

/// One link.
pub(super) struct Link {
    pub(super) id: u64,
    pub(super) peer: PeerKey,
    pub(super) connection: ConnectionId,
    pub(super) direction: Direction,
    pub(super) since: Instant,
    live: Outbox,
    bulk: Outbox,
    gate: watch::Sender<Gate>,
    ended: watch::Sender<Option<Ended>>,
    /// Its `Down` was handed over.
    pub(super) gone: watch::Sender<bool>,
    /// When something was last heard, in milliseconds since `since`.
    heard: AtomicU64,
    /// How many of its readers wait for room in an inbox and so cannot hear.
    deaf: AtomicU32,
}

impl Link {
    pub(super) fn new(
        id: u64,
        peer: PeerKey,
        connection: ConnectionId,
        direction: Direction,
        config: &super::Config,
    ) -> Self {
        Self {
            id,
            peer,
            connection,
            direction,
            since: Instant::now(),
            live: Outbox::new(config.outbox_live),
            bulk: Outbox::new(config.outbox_bulk),
            gate: watch::Sender::new(Gate { limit: config.lobby_frame, admitted: false }),
            ended: watch::Sender::new(None),
            gone: watch::Sender::new(false),
            heard: AtomicU64::new(0),
            deaf: AtomicU32::new(0),
        }
    }

    pub(super) fn outbox(&self, lane: Lane) -> &Outbox {
        match lane {
            Lane::Live => &self.live,
            Lane::Bulk => &self.bulk,
        }
    }

    pub(super) fn gate(&self) -> Gate {
        *self.gate.borrow()
    }

    /// Waits until the gate is as wanted, or gives up after `longest`.
    pub(super) async fn gate_opens(&self, longest: Option<Duration>, wanted: impl Fn(&Gate) -> bool) -> bool {
        let mut gate = self.gate.subscribe();
        let opens = gate.wait_for(wanted);
        match longest {
            // `self` holds the sender, so waiting cannot fail.
            None => opens.await.is_ok(),
            Some(longest) => matches!(tokio::time::timeout(longest, opens).await, Ok(Ok(_))),
        }
    }

    pub(super) fn set_limit(&self, limit: u32) {
        self.gate.send_if_modified(|gate| {
            let before = gate.limit;
            if !gate.admitted {
                gate.limit = limit;
            }
            gate.limit != before
        });
    }

    pub(super) fn admit(&self, limit: u32) {
        self.gate.send_replace(Gate { limit, admitted: true });
    }

    /// Begins the end; the first reason stands.
    pub(super) fn close(&self, reason: Ended) {
        self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            if first {
                *ended = Some(reason);
            }
            first
        });
        self.live.shut();
        self.bulk.shut();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.ended.borrow().is_some()
    }

    /// Closed by this node's will, so that nothing more is to reach the owner.
    pub(super) fn is_closed_here(&self) -> bool {
        matches!(*self.ended.borrow(), Some(Ended::Closed(_) | Ended::Disallowed | Ended::Stopped))
    }

    /// Waits for [`Link::close`].
    pub(super) async fn closing(&self) -> Ended {
        let mut ended = self.ended.subscribe();
        // `self` holds the sender, so waiting cannot fail; `Stopped` would be true if it did.
        let reason = ended.wait_for(Option::is_some).await;
        reason.ok().and_then(|reason| reason.clone()).unwrap_or(Ended::Stopped)
    }

    /// Something came from the peer.
    pub(super) fn hear(&self) {
        self.heard.store(self.since.elapsed().as_millis() as u64, Relaxed);
    }

    /// How long nothing was heard although this end listened.
    pub(super) fn silence(&self) -> Duration {
        if self.deaf.load(Relaxed) > 0 {
            return Duration::ZERO;
        }
        self.since.elapsed().saturating_sub(Duration::from_millis(self.heard.load(Relaxed)))
    }

    /// Waits for room in an inbox; meanwhile the peer's silence does not count.
    pub(super) async fn deafly<T>(&self, room: impl Future<Output = T>) -> T {
        self.deaf.fetch_add(1, Relaxed);
        let result = room.await;
        self.hear();
        self.deaf.fetch_sub(1, Relaxed);
        result
    }
}

/// All links by number.
#[derive(Default)]
pub(super) struct Links(RwLock<HashMap<u64, Arc<Link>>>);

impl Links {
    pub(super) fn get(&self, link: u64) -> Option<Arc<Link>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&link).cloned()
    }

    pub(super) fn insert(&self, link: Arc<Link>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(link.id, link);
    }

    pub(super) fn remove(&self, link: u64) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&link);
    }

    pub(super) fn all(&self) -> Vec<Arc<Link>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// What the handle and the tasks share.
pub(super) struct Shared {
    pub(super) links: Links,
    pub(super) max_frame: u32,
    pub(super) handshakes: Arc<Handshakes>,
    known: Mutex<Known>,
    refused: Mutex<Refused>,
    stopping: watch::Sender<bool>,
}

#[derive(Default)]
struct Known {
    allowed: HashSet<PeerKey>,
    disallowed: HashSet<PeerKey>,
}

/// What the owner has said about a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyStatus {
    Known,
    Stranger,
    Disallowed,
}

impl Shared {
    pub(super) fn new(config: &super::Config) -> Self {
        let ceiling = descriptors::ceiling();
        let at_most = |part: usize| ceiling.map_or(usize::MAX, |ceiling| (ceiling as usize / part).max(4));
        let room = Room {
            // What strangers hold must leave enough to partners where a process may open little.
            strangers: config.max_handshakes.min(at_most(STRANGERS_PART)),
            members: config.max_member_handshakes.min(at_most(MEMBERS_PART)),
            host: config.max_handshakes_per_host.min(at_most(MEMBERS_PART)),
        };
        Self {
            links: Links::default(),
            max_frame: config.max_frame,
            handshakes: Arc::new(Handshakes::new(room)),
            known: Mutex::default(),
            refused: Mutex::default(),
            stopping: watch::Sender::new(false),
        }
    }

    pub(super) fn allow(&self, peers: impl IntoIterator<Item = PeerKey>) {
        let mut known = lock(&self.known);
        for peer in peers {
            known.disallowed.remove(&peer);
            known.allowed.insert(peer);
        }
    }

    pub(super) fn disallow(&self, peer: &PeerKey) {
        {
            let mut known = lock(&self.known);
            known.allowed.remove(peer);
            if known.disallowed.len() < MAX_DISALLOWED {
                known.disallowed.insert(*peer);
            }
        }
        self.handshakes.forget(peer);
        for link in self.links.all() {
            if link.peer == *peer {
                link.close(Ended::Disallowed);
            }
        }
    }

    pub(super) fn key_status(&self, peer: &PeerKey) -> KeyStatus {
        let known = lock(&self.known);
        if known.disallowed.contains(peer) {
            KeyStatus::Disallowed
        } else if known.allowed.contains(peer) {
            KeyStatus::Known
        } else {
            KeyStatus::Stranger
        }
    }

    pub(super) fn refused(&self) -> Refused {
        *lock(&self.refused)
    }

    pub(super) fn count_refusal(&self, count: impl FnOnce(&mut Refused)) {
        count(&mut lock(&self.refused));
    }

    pub(super) fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Waits for [`Shared::stop`].
    pub(super) async fn stopping(&self) {
        // `self` holds the sender, so waiting cannot fail.
        let _ = self.stopping.subscribe().wait_for(|stop| *stop).await;
    }
}
