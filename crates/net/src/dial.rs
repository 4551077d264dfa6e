//! From the text of an address to what can be dialled: checked, resolved, bounded.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

use libp2p::multiaddr::Protocol;
use libp2p::swarm::DialError;
use libp2p::{Multiaddr, PeerId};

use super::PeerKey;
use super::behaviour::key_of;
use super::host::Host;

/// How long one name may take.
const RESOLVE_WITHIN: Duration = Duration::from_secs(5);
/// Addresses taken of one name.
const MAX_PER_NAME: usize = 8;
/// Addresses dialled in one go.
const MAX_ADDRESSES: usize = 32;
/// Addresses of members whose hosts are looked up.
const MAX_HOSTS: usize = 4096;
/// Longest text kept of what the system says.
const MAX_DETAIL: usize = 1000;

/// Why a dial did not become a link.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialFault {
    /// None of the addresses can be used.
    #[error("no usable address: {0}")]
    NoAddress(String),
    /// Nobody answered, or not in this protocol.
    #[error("not reachable: {0}")]
    Unreachable(String),
    /// A node answered that holds another key.
    #[error("another node answered at {address}, with the peer id {found}")]
    WrongPeer {
        /// The address that was dialled, as it was given.
        address: String,
        /// Which peer id it proved.
        found: String,
    },
    /// This node's own limits forbid it.
    #[error("refused here: {0}")]
    Refused(String),
    /// Too many dials wait or are under way.
    #[error("too many dials are under way; try again later")]
    Busy,
    /// There is a link with this peer.
    #[error("already linked with this peer")]
    AlreadyLinked,
}

/// Why an address was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address:?} is no address to dial: {reason}; write it like /dns4/node.example.org/tcp/7400 or /ip4/192.0.2.1/udp/7400/quic-v1"
)]
pub struct AddressError {
    /// The text as it was given, of any length.
    pub address: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Reads an address: `/ip4`, `/ip6`, `/dns`, `/dns4` or `/dns6`, then `/tcp/PORT` or
/// `/udp/PORT/quic-v1`, then perhaps `/p2p/PEER-ID`, which is cut off and returned apart.
pub fn parse_address(text: &str) -> Result<(Multiaddr, Option<PeerKey>), AddressError> {
    let wrong =
        |reason: &str| AddressError { address: text.chars().take(200).collect(), reason: reason.to_owned() };
    if text.len() > 512 {
        return Err(wrong("it is longer than 512 bytes"));
    }
    let mut address: Multiaddr = text.parse().map_err(|error| wrong(&format!("{error}")))?;
    let mut peer = None;
    if let Some(Protocol::P2p(id)) = address.iter().last() {
        peer = Some(key_of(&id).ok_or_else(|| wrong("its peer id is not an Ed25519 key"))?);
        address.pop();
    }
    let parts: Vec<_> = address.iter().collect();
    let [host, transport @ ..] = parts.as_slice() else {
        return Err(wrong("it is empty"));
    };
    use Protocol::{Dns, Dns4, Dns6, Ip4, Ip6, QuicV1, Tcp, Udp};
    if !matches!(host, Ip4(_) | Ip6(_) | Dns(_) | Dns4(_) | Dns6(_)) {
        return Err(wrong("it does not begin with /ip4, /ip6, /dns, /dns4 or /dns6"));
    }
    match transport {
        [Tcp(_)] | [Udp(_), QuicV1] => Ok((address, peer)),
        _ => Err(wrong("after the host there must be /tcp/PORT or /udp/PORT/quic-v1")),
    }
}

/// Turns texts into addresses without names. Fails only if nothing is left.
pub(super) async fn resolve(peer: PeerKey, texts: Vec<String>) -> Result<Vec<Multiaddr>, DialFault> {
    let mut found = Vec::new();
    let mut faults = Vec::new();
    for text in texts.iter().take(MAX_ADDRESSES) {
        match parse_address(text) {
            Err(error) => faults.push(error.to_string()),
            Ok((_, Some(other))) if other != peer => faults.push(format!("{text} names another peer")),
            Ok((address, _)) => match lookup(&address).await {
                Ok(addresses) => found.extend(addresses),
                Err(error) => faults.push(error),
            },
        }
    }
    found.truncate(MAX_ADDRESSES);
    if found.is_empty() {
        faults.truncate(8);
        return Err(DialFault::NoAddress(match faults.len() {
            0 => "none is given".to_owned(),
            _ => clip(&faults.join("; ")),
        }));
    }
    Ok(found)
}

/// Replaces a name by the addresses it stands for, of the family that was asked for.
async fn lookup(address: &Multiaddr) -> Result<Vec<Multiaddr>, String> {
    let mut parts = address.iter();
    let (name, v4, v6) = match parts.next() {
        Some(Protocol::Dns(name)) => (name, true, true),
        Some(Protocol::Dns4(name)) => (name, true, false),
        Some(Protocol::Dns6(name)) => (name, false, true),
        _ => return Ok(vec![address.clone()]),
    };
    let rest: Vec<_> = parts.collect();
    let answer = tokio::time::timeout(RESOLVE_WITHIN, tokio::net::lookup_host((&*name, 0))).await;
    let answer = answer
        .map_err(|_| format!("{name} was not resolved within {} s", RESOLVE_WITHIN.as_secs()))?
        .map_err(|error| format!("{name} was not resolved: {error}"))?;
    let mut found: Vec<IpAddr> = answer.map(|socket| socket.ip()).collect();
    found.retain(|ip| if ip.is_ipv4() { v4 } else { v6 });
    found.dedup();
    found.truncate(MAX_PER_NAME);
    if found.is_empty() {
        return Err(format!("{name} has no address of the family asked for"));
    }
    let with_rest =
        |ip: IpAddr| rest.iter().fold(Multiaddr::from(ip), |address, part| address.with(part.clone()));
    Ok(found.into_iter().map(with_rest).collect())
}

/// Hosts at which these addresses are, as far as names are known.
pub(super) async fn hosts(texts: Vec<String>) -> HashSet<Host> {
    let mut found = HashSet::new();
    for text in texts.iter().take(MAX_HOSTS) {
        if let Ok((address, _)) = parse_address(text)
            && let Ok(addresses) = lookup(&address).await
        {
            found.extend(addresses.iter().filter_map(Host::of));
        }
    }
    found
}

/// Says what libp2p's error means for the owner.
pub(super) fn fault(error: &DialError) -> DialFault {
    match error {
        DialError::WrongPeerId { obtained, address } => {
            DialFault::WrongPeer { address: address.to_string(), found: obtained.to_string() }
        }
        DialError::LocalPeerId { address } => {
            DialFault::WrongPeer { address: address.to_string(), found: "of this node itself".to_owned() }
        }
        DialError::NoAddresses => DialFault::NoAddress("none is given".to_owned()),
        DialError::Denied { cause } => DialFault::Refused(chain(cause)),
        DialError::DialPeerConditionFalse(_) => DialFault::Busy,
        DialError::Aborted => DialFault::Unreachable("the dial was given up".to_owned()),
        DialError::Transport(tried) => {
            let each = tried.iter().map(|(address, error)| format!("{address}: {}", chain(error)));
            DialFault::Unreachable(clip(&each.collect::<Vec<_>>().join("; ")))
        }
    }
}

/// An error and what caused it, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string().trim_matches([':', ' ']).to_owned();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        let next = next.trim_matches([':', ' ']);
        // Several layers of libp2p say nothing, or only repeat what they wrap.
        if text.is_empty() {
            next.clone_into(&mut text);
        } else if !text.contains(next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    if text.is_empty() { "no reason was given".to_owned() } else { clip(&text) }
}

/// The same, made only when it is shown.
pub(super) struct Chain<'a>(pub(super) &'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&chain(self.0))
    }
}

/// Bounds a text that others may have shaped.
fn clip(text: &str) -> String {
    text.chars().take(MAX_DETAIL).collect()
}

/// The peer id of a transport key; `None` if the bytes are no Ed25519 key.
pub(super) fn peer_id(peer: &PeerKey) -> Option<PeerId> {
    let key = libp2p::identity::ed25519::PublicKey::try_from_bytes(peer).ok()?;
    Some(libp2p::identity::PublicKey::from(key).to_peer_id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused_with_a_reason() {
        for good in [
            "/ip4/192.0.2.1/tcp/7400",
            "/ip6/2001:db8::1/udp/7400/quic-v1",
            "/dns4/node.example.org/tcp/443",
            "/dns6/node.example.org/udp/443/quic-v1",
        ] {
            assert_eq!(parse_address(good).unwrap().0.to_string(), good);
        }
        for (bad, why) in [
            ("", "empty"),
            ("192.0.2.1:7400", "multiaddr"),
            ("/ip4/192.0.2.1", "PORT"),
            ("/ip4/192.0.2.1/udp/7400", "PORT"),
            ("/ip4/192.0.2.1/tcp/80/ws", "PORT"),
            ("/unix/tmp", "begin"),
        ] {
            let error = parse_address(bad).unwrap_err().to_string();
            assert!(error.contains(why), "{bad}: {error}");
        }
        assert!(parse_address(&"/ip4/1.1.1.1".repeat(100)).is_err());
    }

    #[test]
    fn a_peer_id_is_cut_off() {
        let peer = libp2p::identity::Keypair::generate_ed25519().public().to_peer_id();
        let (address, key) = parse_address(&format!("/ip4/192.0.2.1/tcp/7400/p2p/{peer}")).unwrap();
        assert_eq!(address.to_string(), "/ip4/192.0.2.1/tcp/7400");
        assert_eq!(peer_id(&key.unwrap()), Some(peer));
    }

    #[test]
    fn causes_that_say_nothing_are_left_out() {
        use libp2p::TransportError;
        let system = || std::io::Error::other("the port is taken");
        let empty = TransportError::Other(system());
        assert_eq!(chain(&empty), "the port is taken");
        let twice = std::io::Error::other(TransportError::Other(system()));
        assert_eq!(chain(&twice), "the port is taken");
        assert_eq!(chain(&std::io::Error::other("")), "no reason was given");
    }

    #[tokio::test]
    async fn names_are_resolved_by_family() {
        let found = resolve([7; 32], vec!["/dns4/localhost/tcp/9".to_owned()]).await.unwrap();
        assert_eq!(found[0].to_string(), "/ip4/127.0.0.1/tcp/9");
        let fault = resolve([7; 32], vec!["nonsense".to_owned()]).await.unwrap_err();
        assert!(matches!(fault, DialFault::NoAddress(_)));
    }
}
