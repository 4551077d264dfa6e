//! URLs in the normal form of the WHATWG URL standard.
//!
//! Beyond what that standard normalises (scheme and host in lower case, IDNA, default ports, dot segments),
//! the fragment is dropped: it is never sent, so no log shows it, and in phishing it often holds the victim's
//! address. Percent-escapes are upper case, and none stands for what needs no escape (RFC 3986 6.2.2). User names stay: they
//! are part of what was requested.
//! Every canonical URL has a host, which is an address or a canonical domain name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ::url::{Host, Url};

use super::refang::bare;
use super::{Observable, ObservableRef, Parsed, Visit, breadth, kind, name, net, refang};

const NOT_URL: &str = "a URL is written as in https://evil.example/path";
const BAD_HOST: &str = "its host is neither an address nor a domain name";

/// Stands for a host that the URL standard refuses while the DNS has it, until the rest is in its normal form.
const PLACEHOLDER: &str = "placeholder.invalid";

pub(super) fn parse(text: &str) -> Parsed {
    let text = refang(bare(text));
    if text.contains("://") {
        return absolute(&text);
    }
    // Feeds leave the scheme out; http is what they mean by it, and the matcher looks under https too.
    if text.starts_with('/') || !text.contains(['.', ':', '/']) {
        return Err(NOT_URL);
    }
    absolute(&format!("http://{text}"))
}

fn absolute(text: &str) -> Parsed {
    let mut value = match Url::parse(text) {
        Ok(url) => normal(url)?,
        Err(_) => {
            // A label that begins with `xn--` and does not decode is refused by the standard and found in the DNS.
            let (start, end) = host_of(text).ok_or(NOT_URL)?;
            let host = &text[start..end];
            if !host.to_ascii_lowercase().contains("xn--") {
                return Err(NOT_URL);
            }
            let host = name::canonical(host).map_err(|_| BAD_HOST)?;
            let stood_in = format!("{}{PLACEHOLDER}{}", &text[..start], &text[end..]);
            let normal = normal(Url::parse(&stood_in).map_err(|_| NOT_URL)?)?;
            let (start, end) = host_of(&normal).ok_or(NOT_URL)?;
            format!("{}{host}{}", &normal[..start], &normal[end..])
        }
    }
    .into_bytes();
    // What an escape stood for may be a part of another: each round makes the value shorter.
    let mut length = usize::MAX;
    while value.len() < length {
        length = value.len();
        normal_escapes(&mut value);
    }
    if !check(&value) {
        return Err(NOT_URL);
    }
    Ok(Observable { kind: kind::URL, value })
}

/// Without its fragment, and with a canonical host.
fn normal(mut url: Url) -> Result<String, &'static str> {
    url.set_fragment(None);
    let host = match url.host().ok_or("a URL of this kind has no host, so it cannot be matched")? {
        // Only some schemes have their host parsed by the standard.
        Host::Domain(host) => match Host::parse(host) {
            Ok(Host::Domain(host)) => Host::Domain(name::canonical(&host).map_err(|_| BAD_HOST)?),
            Ok(ip) => ip,
            Err(_) => Host::Domain(name::canonical(host).map_err(|_| BAD_HOST)?),
        },
        Host::Ipv4(v4) => Host::Ipv4(v4),
        Host::Ipv6(v6) => Host::Ipv6(v6),
    };
    let host = match host {
        Host::Ipv6(v6) => v6.to_ipv4_mapped().map_or(Host::Ipv6(v6), Host::Ipv4),
        other => other,
    };
    url.set_host(Some(&host.to_string())).map_err(|_| BAD_HOST)?;
    Ok(url.into())
}

/// Where the host of a URL begins and ends.
fn host_of(text: &str) -> Option<(usize, usize)> {
    let authority = text.find("://")? + 3;
    let end = text[authority..].find(['/', '\\', '?', '#']).map_or(text.len(), |at| authority + at);
    let start = text[authority..end].rfind('@').map_or(authority, |at| authority + at + 1);
    let port = text[start..end].rfind(':').map_or(end, |at| start + at);
    Some((start, port))
}

/// Escapes as RFC 3986 6.2.2 has them: in upper case (`%e2` is `%E2`), and none of a character that needs none (`%7E` is
/// `~`).
fn normal_escapes(url: &mut Vec<u8>) {
    let mut out = Vec::with_capacity(url.len());
    let mut rest = url.as_slice();
    while let Some((first, after)) = rest.split_first() {
        match after {
            [high, low, after @ ..]
                if *first == b'%' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                match escaped(*high, *low) {
                    byte if is_unreserved(byte) => out.push(byte),
                    _ => out.extend([b'%', high.to_ascii_uppercase(), low.to_ascii_uppercase()]),
                }
                rest = after;
            }
            _ => {
                out.push(*first);
                rest = after;
            }
        }
    }
    *url = out;
}

/// The byte of an escape's two hexadecimal digits.
fn escaped(high: u8, low: u8) -> u8 {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or(0);
    digit(high) << 4 | digit(low)
}

/// RFC 3986 2.3.
fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')
}

/// Structural: visible ASCII, a scheme in lower case, a canonical host, no fragment, escapes in upper case and none that is
/// needless.
pub(super) fn check(value: &[u8]) -> bool {
    let Some(parts) = str::from_utf8(value).ok().and_then(Parts::of) else {
        return false;
    };
    let lower = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.');
    let escaped = value.windows(3).all(|w| {
        let escape = w[0] == b'%' && w[1].is_ascii_hexdigit() && w[2].is_ascii_hexdigit();
        !(escape && (w[1..].iter().any(u8::is_ascii_lowercase) || is_unreserved(escaped(w[1], w[2]))))
    });
    let port = parts.port.is_empty()
        || parts.port.bytes().all(|b| b.is_ascii_digit())
            && !(parts.port.starts_with('0') && parts.port.len() > 1)
            && parts.port.parse::<u16>().is_ok();
    value.iter().all(|b| matches!(b, 0x21..=0x7e) && *b != b'#')
        && parts.scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && parts.scheme.bytes().all(lower)
        && port
        && escaped
        && parts.host_kind().is_some()
}

/// The parts of a canonical URL that matching needs.
struct Parts<'a> {
    scheme: &'a str,
    host: &'a str,
    /// Empty if there is none.
    port: &'a str,
    /// Everything after the scheme.
    rest: &'a str,
}

/// What a host is.
enum HostKind {
    Name,
    Address(IpAddr),
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Option<Parts<'a>> {
        let (scheme, rest) = url.split_once("://")?;
        let authority = &rest[..rest.find(['/', '?']).unwrap_or(rest.len())];
        let server = authority.rsplit_once('@').map_or(authority, |(_, server)| server);
        let (host, port) = match server.rfind(':') {
            // A colon inside brackets belongs to an IPv6 address.
            Some(colon) if !server[colon..].contains(']') => (&server[..colon], &server[colon + 1..]),
            _ => (server, ""),
        };
        let port_is_there = host.len() == server.len() || !port.is_empty();
        port_is_there.then_some(Parts { scheme, host, port, rest })
    }

    fn host_kind(&self) -> Option<HostKind> {
        if let Some(v6) = self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            let ip: Ipv6Addr = v6.parse().ok()?;
            return (ip.to_string() == v6 && ip.to_ipv4_mapped().is_none())
                .then_some(HostKind::Address(ip.into()));
        }
        if name::check_domain(self.host.as_bytes()) {
            return Some(HostKind::Name);
        }
        self.host.parse::<Ipv4Addr>().ok().map(|ip| HostKind::Address(ip.into()))
    }
}

/// The same URL under the other of http and https, both without their query, then the host and its parents.
pub(super) fn parents(value: &[u8], visit: &mut Visit<'_>) {
    let Some(parts) = str::from_utf8(value).ok().and_then(Parts::of) else {
        return;
    };
    let other = match parts.scheme {
        "http" => Some("https"),
        "https" => Some("http"),
        _ => None,
    };
    let mut other_url = other.map(|scheme| format!("{scheme}://{}", parts.rest));
    let mut url = |text: &str| visit(ObservableRef { kind: kind::URL, value: text.as_bytes() });
    if let Some(text) = &other_url {
        url(text);
    }
    if let Some(query) = parts.rest.find('?') {
        url(&format!("{}://{}", parts.scheme, &parts.rest[..query]));
        if let Some(text) = &mut other_url {
            text.truncate(text.len() - (parts.rest.len() - query));
            url(text);
        }
    }
    match parts.host_kind() {
        Some(HostKind::Name) => {
            visit(ObservableRef { kind: kind::DOMAIN, value: parts.host.as_bytes() });
            breadth::parent_names(parts.host.as_bytes(), visit);
        }
        Some(HostKind::Address(ip)) => visit(net::of_address(ip).borrowed()),
        None => {}
    }
}
