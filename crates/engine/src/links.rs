//! Links as the node's people see them: whose they are, where they go, how quick they are.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tocsin_net::{Direction, PeerKey};
use tocsin_record::NodeKey;

/// One link.
#[derive(Clone, Debug)]
pub struct LinkState {
    /// The transport key at its far end.
    pub peer: PeerKey,
    /// Its address.
    pub remote: String,
    /// Who dialled.
    pub direction: Direction,
    /// The last round trip.
    pub rtt: Option<Duration>,
    /// Whose node it is, once it is out of the lobby.
    pub node: Option<NodeKey>,
}

#[derive(Debug, Default)]
struct State {
    links: BTreeMap<u64, LinkState>,
    faults: BTreeMap<PeerKey, String>,
    listening: Vec<String>,
}

/// The table of links. Bounded by the network layer's own limits.
#[derive(Debug, Default)]
pub struct Links(Mutex<State>);

impl Links {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A link came up.
    pub fn up(&self, link: u64, state: LinkState) {
        let mut all = self.state();
        all.faults.remove(&state.peer);
        all.links.insert(link, state);
    }

    /// It left the lobby.
    pub fn admitted(&self, link: u64, node: NodeKey) {
        if let Some(state) = self.state().links.get_mut(&link) {
            state.node = Some(node);
        }
    }

    /// A round trip was measured.
    pub fn measured(&self, link: u64, rtt: Duration) {
        if let Some(state) = self.state().links.get_mut(&link) {
            state.rtt = Some(rtt);
        }
    }

    /// It is over. Gives what it was.
    pub fn down(&self, link: u64, reason: String) -> Option<LinkState> {
        let mut all = self.state();
        let state = all.links.remove(&link)?;
        all.faults.insert(state.peer, reason);
        Some(state)
    }

    /// A dial failed.
    pub fn failed(&self, peer: PeerKey, fault: String) {
        self.state().faults.insert(peer, fault);
    }

    /// A new dial begins: what went wrong before no longer counts.
    pub(crate) fn failed_clear(&self, peer: &PeerKey) {
        self.state().faults.remove(peer);
    }

    /// Keeps faults of these peers only, so that the table does not grow.
    pub fn keep(&self, known: impl Fn(&PeerKey) -> bool) {
        self.state().faults.retain(|peer, _| known(peer));
    }

    /// Whether a link to this transport key is up.
    #[must_use]
    pub fn is_linked(&self, peer: &PeerKey) -> bool {
        self.state().links.values().any(|link| link.peer == *peer)
    }

    /// The links, by number.
    #[must_use]
    pub fn links(&self) -> Vec<(u64, LinkState)> {
        self.state().links.iter().map(|(link, state)| (*link, state.clone())).collect()
    }

    /// Why there is no link to this key, if something is known.
    #[must_use]
    pub fn fault(&self, peer: &PeerKey) -> Option<String> {
        self.state().faults.get(peer).cloned()
    }

    /// An address is listened on.
    pub fn listening(&self, address: String) {
        let mut all = self.state();
        if !all.listening.contains(&address) {
            all.listening.push(address);
        }
    }

    /// Addresses that are listened on.
    #[must_use]
    pub fn listens(&self) -> Vec<String> {
        self.state().listening.clone()
    }
}
