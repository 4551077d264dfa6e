//! Transport keys as libp2p names them.

use libp2p_identity::{PeerId, PublicKey, ed25519};
use multiaddr::{Multiaddr, Protocol};

/// The peer id of a transport key; `None` if the bytes are no key.
#[must_use]
pub fn peer_id(transport: &[u8; 32]) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(transport).ok()?;
    Some(PeerId::from_public_key(&PublicKey::from(key)))
}

/// An address with the peer id at its end, as charters have it. `None` for one that nobody can dial: of all
/// interfaces, with port 0, or without a host.
#[must_use]
pub(crate) fn address_with_peer(address: &str, transport: &[u8; 32]) -> Option<String> {
    let mut address: Multiaddr = address.parse().ok()?;
    let dialable = address.iter().all(|part| match part {
        Protocol::Ip4(ip) => !ip.is_unspecified(),
        Protocol::Ip6(ip) => !ip.is_unspecified(),
        Protocol::Tcp(port) | Protocol::Udp(port) => port != 0,
        _ => true,
    });
    let has_host = address.iter().any(|part| {
        matches!(
            part,
            Protocol::Ip4(_)
                | Protocol::Ip6(_)
                | Protocol::Dns(_)
                | Protocol::Dns4(_)
                | Protocol::Dns6(_)
                | Protocol::Dnsaddr(_)
        )
    });
    if !dialable || !has_host {
        return None;
    }
    if !matches!(address.iter().last(), Some(Protocol::P2p(_))) {
        address.push(Protocol::P2p(peer_id(transport)?));
    }
    Some(address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_record::keys::Secret;

    #[test]
    fn only_what_can_be_dialled_is_announced() {
        let key = Secret::from_seed(&[1; 32]).public();
        let address = address_with_peer("/ip4/127.0.0.1/tcp/7117", &key).unwrap();
        assert!(address.starts_with("/ip4/127.0.0.1/tcp/7117/p2p/12D3KooW"));
        assert_eq!(address_with_peer(&address, &key), Some(address));
        assert_eq!(address_with_peer("/ip4/0.0.0.0/tcp/7117", &key), None);
        assert_eq!(address_with_peer("/ip4/127.0.0.1/tcp/0", &key), None);
        assert_eq!(address_with_peer("", &key), None);
        assert_eq!(address_with_peer("/tcp/7117", &key), None);
    }
}
