//! Addresses, networks, AS numbers and hardware addresses.
//!
//! Canonical bytes: an address is its 4 or 16 bytes; a network its address with host bits zero, then one byte
//! of prefix length, always shorter than an address (a /32 or /128 is an address); an AS number 4
//! bytes, big-endian; a hardware address 6 bytes. IPv4-mapped IPv6 is IPv4 everywhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Observable, ObservableRef, Parsed, kind, refang};
use crate::observable::refang::bare;

/// Most networks that a range of addresses is read as: a range of IPv4 has at most 62.
const RANGE_NETWORKS_MAX: usize = 128;
/// Length of the prefix ::ffff:0:0/96 under which IPv6 writes IPv4 addresses.
const MAPPED: u8 = 96;

/// The address that a text writes, IPv4-mapped IPv6 as IPv4; square brackets are allowed around IPv6.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match inner {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(|v6| IpAddr::V6(v6).to_canonical()),
        None => text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical()),
    }
}

/// The observable of an address.
pub(super) fn of_address(ip: IpAddr) -> Observable {
    match ip.to_canonical() {
        IpAddr::V4(v4) => Observable { kind: kind::IPV4, value: v4.octets().to_vec() },
        IpAddr::V6(v6) => Observable { kind: kind::IPV6, value: v6.octets().to_vec() },
    }
}

/// The observable of a network, host bits dropped; an address if the prefix is whole, `None` if it is too long.
pub(super) fn of_network(ip: IpAddr, prefix: u8) -> Option<Observable> {
    match ip {
        IpAddr::V6(v6) if prefix >= MAPPED && v6.to_ipv4_mapped().is_some() => {
            of_network(ip.to_canonical(), prefix - MAPPED)
        }
        IpAddr::V4(_) if prefix == 32 => Some(of_address(ip)),
        IpAddr::V6(_) if prefix == 128 => Some(of_address(ip)),
        IpAddr::V4(v4) if prefix < 32 => {
            Some(Observable { kind: kind::IPV4_NET, value: masked(&v4.octets(), prefix) })
        }
        IpAddr::V6(v6) if prefix < 128 => {
            Some(Observable { kind: kind::IPV6_NET, value: masked(&v6.octets(), prefix) })
        }
        _ => None,
    }
}

/// Network bytes: the address with all after the prefix zero, then the prefix length.
fn masked(address: &[u8], prefix: u8) -> Vec<u8> {
    let mut value = address.to_vec();
    for (i, byte) in value.iter_mut().enumerate() {
        let kept = usize::from(prefix).saturating_sub(i * 8).min(8);
        *byte &= !(0xff_u16 >> kept) as u8;
    }
    value.push(prefix);
    value
}

/// Whether the bytes are an address and a prefix length that leaves something out, host bits zero.
fn is_masked(value: &[u8]) -> bool {
    let Some((prefix, address)) = value.split_last() else {
        return false;
    };
    usize::from(*prefix) < address.len() * 8
        && address.iter().enumerate().all(|(i, byte)| {
            let kept = usize::from(*prefix).saturating_sub(i * 8).min(8);
            u16::from(*byte) & (0xff >> kept) == 0
        })
}

pub(super) const NOT_V4: &str =
    "an IPv4 address is four numbers from 0 to 255 without leading zeros, as in 192.0.2.7";
const NOT_V6: &str = "an IPv6 address is written as in 2001:db8::7";
const ZONE: &str = "an address with a zone (%...) is valid on one machine only; drop the zone";
const NOT_NET: &str = "a network is an address and a prefix length, as in 192.0.2.0/24 or 2001:db8::/32";
pub(super) const NOT_ONE_NET: &str =
    "it is a range of addresses that is no single network: write it as networks, as in 192.0.2.0/24";

/// What of `HOST:PORT` is the host; `None` without a port. The sign before a port may be the `|` of MISP, and behind it
/// may stand the protocol. IPv6 needs its brackets.
pub(super) fn without_port(text: &str) -> Option<&str> {
    let text = ["/tcp", "/udp"].iter().find_map(|protocol| text.strip_suffix(protocol)).unwrap_or(text);
    let (host, port) = text.rsplit_once([':', '|'])?;
    let is_port = (1..=5).contains(&port.len())
        && port.bytes().all(|b| b.is_ascii_digit())
        && port.parse::<u16>().is_ok();
    let is_host = !host.is_empty() && (!host.contains(':') || host.starts_with('[') && host.ends_with(']'));
    (is_port && is_host).then_some(host)
}

/// The address that a text writes, with or without a port, the slash of a URL or the full stop of a sentence behind it.
fn address_of(text: &str) -> Option<IpAddr> {
    let text = text.strip_suffix(['/', '.']).unwrap_or(text);
    address(text).or_else(|| without_port(text).and_then(address))
}

pub(super) fn parse_v4(text: &str) -> Parsed {
    let text = refang(bare(text));
    // A network of one address is that address.
    match address_of(&text).map(of_address).or_else(|| network(&text)) {
        Some(found) if found.kind == kind::IPV4 => Ok(found),
        _ => Err(NOT_V4),
    }
}

pub(super) fn parse_v6(text: &str) -> Parsed {
    let text = refang(bare(text));
    match address_of(&text).map(of_address).or_else(|| network(&text)) {
        Some(found) if without_port(&text).unwrap_or(&text).contains(':') && found.value.len() != 17 => {
            Ok(found)
        }
        _ if text.contains('%') => Err(ZONE),
        _ => Err(NOT_V6),
    }
}

pub(super) fn parse_v4_net(text: &str) -> Parsed {
    let text = refang(bare(text));
    let found = network(&text).ok_or_else(|| if range(&text).is_some() { NOT_ONE_NET } else { NOT_NET })?;
    let is_v4 = matches!(found.kind, kind::IPV4 | kind::IPV4_NET);
    is_v4.then_some(found).ok_or("it is an IPv6 network; its type is ipv6-net")
}

pub(super) fn parse_v6_net(text: &str) -> Parsed {
    let text = refang(bare(text));
    if text.contains('%') {
        return Err(ZONE);
    }
    let found = network(&text).ok_or_else(|| if range(&text).is_some() { NOT_ONE_NET } else { NOT_NET })?;
    text.contains(':').then_some(found).ok_or("it is an IPv4 network; its type is ipv4-net")
}

/// The network that a text writes as ADDRESS/LENGTH, ADDRESS/MASK, `ADDRESS MASK`, with a `*` for its last numbers, or as
/// its first and last address.
pub(super) fn network(text: &str) -> Option<Observable> {
    if let Some((first, last)) = range(text) {
        let networks = networks_of(first, last);
        return <[Observable; 1]>::try_from(networks).ok().map(|[one]| one);
    }
    if let Some(found) = starred(text) {
        return Some(found);
    }
    let (ip, prefix) = text.split_once('/').or_else(|| text.split_once(' '))?;
    let ip: IpAddr = ip.trim().trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    let prefix = prefix.trim();
    if let Ok(mask) = prefix.parse::<Ipv4Addr>() {
        return ip.is_ipv4().then(|| of_network(ip, mask_length(mask)?)).flatten();
    }
    let digits = text.contains('/') && prefix.len() <= 3 && prefix.bytes().all(|b| b.is_ascii_digit());
    of_network(ip, prefix.parse().ok().filter(|_| digits)?)
}

/// The length of a mask, or of the inverted mask of routers' access lists; `None` if its ones do not stand together.
fn mask_length(mask: Ipv4Addr) -> Option<u8> {
    let bits = u32::from(mask);
    let mask = if bits.leading_ones() + bits.trailing_zeros() >= 32 { bits } else { !bits };
    let length = mask.leading_ones();
    (length + mask.trailing_zeros() >= 32).then(|| u8::try_from(length).ok()).flatten()
}

/// `192.0.2.*`, `198.51.*.*`
fn starred(text: &str) -> Option<Observable> {
    let fixed = text.split('.').take_while(|part| *part != "*").count();
    let numbers: Vec<&str> = text.split('.').collect();
    let rest_is_stars =
        numbers.len() == 4 && (1..4).contains(&fixed) && numbers[fixed..].iter().all(|part| *part == "*");
    if !rest_is_stars {
        return None;
    }
    let ip: Ipv4Addr = text.replace('*', "0").parse().ok()?;
    of_network(ip.into(), u8::try_from(fixed * 8).ok()?)
}

/// The first and last address of `192.0.2.0-192.0.2.255`, `192.0.2.0 - 192.0.2.255` or `192.0.2.0-255`.
pub(super) fn range(text: &str) -> Option<(IpAddr, IpAddr)> {
    let (first, last) = text.split_once(['-', '\u{2013}'])?;
    let (first, last) = (first.trim().parse::<IpAddr>().ok()?, last.trim());
    let last = match (first, last.parse::<IpAddr>()) {
        (_, Ok(last)) => last,
        (IpAddr::V4(first), Err(_)) => {
            let [a, b, c, _] = first.octets();
            IpAddr::from([
                a,
                b,
                c,
                last.parse::<u8>().ok().filter(|_| last.bytes().all(|b| b.is_ascii_digit()))?,
            ])
        }
        (IpAddr::V6(_), Err(_)) => return None,
    };
    (first.is_ipv4() == last.is_ipv4() && first <= last).then_some((first, last))
}

/// The fewest networks that hold a range of addresses and nothing else; none if they were too many.
pub(super) fn networks_of(first: IpAddr, last: IpAddr) -> Vec<Observable> {
    let (bits, mut from, to) = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            (32, u128::from(u32::from(first)), u128::from(u32::from(last)))
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => (128, u128::from(first), u128::from(last)),
        _ => return Vec::new(),
    };
    let mut networks = Vec::new();
    loop {
        // As large as its first address and what is left allow.
        let mut size = if from == 0 { bits } else { from.trailing_zeros().min(bits) };
        let end = |size: u32| from | if size == 128 { u128::MAX } else { (1 << size) - 1 };
        while end(size) > to {
            size -= 1;
        }
        let ip = match first {
            IpAddr::V4(_) => u32::try_from(from).map(|from| IpAddr::V4(from.into())).ok(),
            IpAddr::V6(_) => Some(IpAddr::V6(from.into())),
        };
        let network = ip.and_then(|ip| of_network(ip, u8::try_from(bits - size).ok()?));
        let Some(network) = network.filter(|_| networks.len() < RANGE_NETWORKS_MAX) else {
            return Vec::new();
        };
        networks.push(network);
        match end(size).checked_add(1).filter(|next| *next <= to) {
            Some(next) => from = next,
            None => return networks,
        }
    }
}

/// Whether an address or a network lies in a network.
pub(super) fn lies_in(what: ObservableRef<'_>, network: ObservableRef<'_>) -> bool {
    let (length, address) = match network.kind {
        kind::IPV4_NET => (4, kind::IPV4),
        kind::IPV6_NET => (16, kind::IPV6),
        _ => return false,
    };
    if what.kind != address && what.kind != network.kind {
        return false;
    }
    let (Some((own, own_prefix)), Some((wide, [prefix]))) =
        (what.value.split_at_checked(length), network.value.split_at_checked(length))
    else {
        return false;
    };
    let own_prefix = own_prefix.first().map_or(length * 8, |prefix| usize::from(*prefix));
    let prefix = usize::from(*prefix);
    let is_same = |bit: usize| (own[bit / 8] ^ wide[bit / 8]) & (0x80 >> (bit % 8)) == 0;
    own_prefix >= prefix && prefix <= length * 8 && (0..prefix).all(is_same)
}

pub(super) fn check_v4(value: &[u8]) -> bool {
    value.len() == 4
}

pub(super) fn check_v6(value: &[u8]) -> bool {
    v6(value).is_some_and(|ip| ip.to_ipv4_mapped().is_none())
}

pub(super) fn check_v4_net(value: &[u8]) -> bool {
    value.len() == 5 && is_masked(value)
}

pub(super) fn check_v6_net(value: &[u8]) -> bool {
    value.len() == 17 && is_masked(value) && (value[16] < MAPPED || check_v6(&value[..16]))
}

fn v6(value: &[u8]) -> Option<Ipv6Addr> {
    <[u8; 16]>::try_from(value).ok().map(Ipv6Addr::from)
}

/// The address of 4 or 16 bytes; of other lengths, which no canonical value has, the unspecified one.
pub(super) fn ip(value: &[u8]) -> IpAddr {
    match <[u8; 4]>::try_from(value) {
        Ok(v4) => IpAddr::V4(Ipv4Addr::from(v4)),
        Err(_) => IpAddr::V6(v6(value).unwrap_or(Ipv6Addr::UNSPECIFIED)),
    }
}

/// RFC 5952 for IPv6, which is what the standard library writes.
pub(super) fn show_ip(value: &[u8]) -> String {
    ip(value).to_string()
}

pub(super) fn show_net(value: &[u8]) -> String {
    match value.split_last() {
        Some((prefix, address)) => format!("{}/{prefix}", ip(address)),
        None => String::new(),
    }
}

pub(super) fn parse_asn(text: &str) -> Parsed {
    const WHY: &str = "an AS number is written as in AS64500, from 0 to 4294967295";
    let digits = text.get(..2).filter(|head| head.eq_ignore_ascii_case("as")).map_or(text, |_| &text[2..]);
    let digits =
        digits.strip_prefix(['n', 'N']).filter(|_| digits.len() < text.len()).unwrap_or(digits).trim();
    let plain = |part: &str| part.parse::<u32>().ok().filter(|_| part.bytes().all(|b| b.is_ascii_digit()));
    let number = match digits.split_once('.') {
        // RFC 5396 asdot: the upper and the lower half.
        Some((high, low)) => {
            let half = |part| plain(part).filter(|n| *n <= 0xffff).ok_or(WHY);
            half(high)? << 16 | half(low)?
        }
        None => plain(digits).ok_or(WHY)?,
    };
    Ok(Observable { kind: kind::ASN, value: number.to_be_bytes().to_vec() })
}

/// `AS` or `ASN` and digits: what is wrong with them is then told.
pub(super) fn is_asn(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    let digits = upper.strip_prefix("ASN").or_else(|| upper.strip_prefix("AS")).unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

pub(super) fn show_asn(value: &[u8]) -> String {
    format!("AS{}", <[u8; 4]>::try_from(value).map_or(0, u32::from_be_bytes))
}

pub(super) fn parse_mac(text: &str) -> Parsed {
    const WHY: &str = "a hardware address is six bytes as in 00:00:5e:00:53:01, all cut by the same sign";
    let digits = match text.chars().find(|c| matches!(c, ':' | '-' | '.')) {
        Some(sign) => {
            let length = if sign == '.' { 4 } else { 2 };
            let well_cut = text.split(sign).all(|part| part.len() == length);
            well_cut.then(|| text.replace(sign, "")).ok_or(WHY)?
        }
        None => text.to_owned(),
    };
    let value = super::hash::unhex(&digits).filter(|bytes| bytes.len() == 6).ok_or(WHY)?;
    Ok(Observable { kind: kind::MAC, value })
}

/// Written in groups: twelve bare digits are a hardware address only where the type is named.
pub(super) fn is_mac(text: &str) -> bool {
    matches!(text.len(), 14 | 17) && text.contains([':', '-', '.']) && parse_mac(text).is_ok()
}

pub(super) fn check_mac(value: &[u8]) -> bool {
    value.len() == 6
}

pub(super) fn show_mac(value: &[u8]) -> String {
    value.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}
