//! Hosts: all that is known of strangers before they prove a key.

use std::net::IpAddr;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// Where a connection comes from: an IPv4 address, or an IPv6 /64, which is what one machine can draw addresses from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Host(IpAddr);

impl Host {
    /// `None` for an address without an IP address.
    pub(super) fn of(address: &Multiaddr) -> Option<Self> {
        match address.iter().next()? {
            Protocol::Ip4(ip) => Some(Self::from(IpAddr::from(ip))),
            Protocol::Ip6(ip) => Some(Self::from(IpAddr::from(ip))),
            _ => None,
        }
    }
}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V6(ip) => Self(IpAddr::from((u128::from(ip) >> 64 << 64).to_be_bytes())),
            ip @ IpAddr::V4(_) => Self(ip),
        }
    }
}

impl std::fmt::Display for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            IpAddr::V4(ip) => write!(f, "{ip}"),
            IpAddr::V6(ip) => write!(f, "{ip}/64"),
        }
    }
}
