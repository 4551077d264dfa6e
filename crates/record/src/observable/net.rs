//! Addresses, networks, AS numbers and hardware addresses.
//!
//! Canonical bytes: an address is its 4 or 16 bytes; a network its address with host bits zero, then one byte
//! of prefix length, always shorter than an address (a /32 or /128 is an address); an AS number 4
//! bytes, big-endian; a hardware address 6 bytes. IPv4-mapped IPv6 is IPv4 everywhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Observable, Parsed, kind, refang};

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

pub(super) fn parse_v4(text: &str) -> Parsed {
    match address(&refang(text)) {
        Some(ip @ IpAddr::V4(_)) => Ok(of_address(ip)),
        _ => Err(NOT_V4),
    }
}

pub(super) fn parse_v6(text: &str) -> Parsed {
    let text = refang(text);
    match address(&text) {
        Some(ip) if text.contains(':') => Ok(of_address(ip)),
        _ if text.contains('%') => Err(ZONE),
        _ => Err(NOT_V6),
    }
}

pub(super) fn parse_v4_net(text: &str) -> Parsed {
    let found = network(&refang(text)).ok_or(NOT_NET)?;
    let is_v4 = matches!(found.kind, kind::IPV4 | kind::IPV4_NET);
    is_v4.then_some(found).ok_or("it is an IPv6 network; its type is ipv6-net")
}

pub(super) fn parse_v6_net(text: &str) -> Parsed {
    let text = refang(text);
    if text.contains('%') {
        return Err(ZONE);
    }
    let found = network(&text).ok_or(NOT_NET)?;
    text.contains(':').then_some(found).ok_or("it is an IPv4 network; its type is ipv4-net")
}

/// The network that a text writes as ADDRESS/LENGTH.
pub(super) fn network(text: &str) -> Option<Observable> {
    let (ip, prefix) = text.split_once('/')?;
    let ip: IpAddr = ip.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    let digits = prefix.len() <= 3 && prefix.bytes().all(|b| b.is_ascii_digit());
    of_network(ip, prefix.parse().ok().filter(|_| digits)?)
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
