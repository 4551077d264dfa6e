//! URLs in the normal form of the WHATWG URL standard.
//!
//! Beyond what that standard normalises (scheme and host in lower case, IDNA, default ports, dot segments),
//! the fragment is dropped: it is never sent, so no log shows it, and in phishing it often holds the victim's
//! address. Percent-escapes are upper case. User names stay: they are part of what was requested.
//! Every canonical URL has a host, which is an address or a canonical domain name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ::url::{Host, Url};

use super::{Observable, ObservableRef, Parsed, Visit, breadth, kind, name, net, refang};

const NOT_URL: &str = "a URL is written as in https://evil.example/path";
const BAD_HOST: &str = "its host is neither an address nor a domain name";

pub(super) fn parse(text: &str) -> Parsed {
    let text = refang(text);
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
    let mut url = Url::parse(text).map_err(|_| NOT_URL)?;
    url.set_fragment(None);
    let host = match url.host().ok_or("a URL of this kind has no host, so it cannot be matched")? {
        Host::Domain(host) => match Host::parse(host).map_err(|_| BAD_HOST)? {
            // Only some schemes have their host parsed by the standard.
            Host::Domain(host) => Host::Domain(name::canonical(&host).map_err(|_| BAD_HOST)?),
            ip => ip,
        },
        Host::Ipv4(v4) => Host::Ipv4(v4),
        Host::Ipv6(v6) => Host::Ipv6(v6),
    };
    let host = match host {
        Host::Ipv6(v6) => v6.to_ipv4_mapped().map_or(Host::Ipv6(v6), Host::Ipv4),
        other => other,
    };
    url.set_host(Some(&host.to_string())).map_err(|_| BAD_HOST)?;
    let mut value = String::from(url).into_bytes();
    uppercase_escapes(&mut value);
    if !check(&value) {
        return Err(NOT_URL);
    }
    Ok(Observable { kind: kind::URL, value })
}

/// `%e2` and `%E2` are the same byte (RFC 3986 6.2.2.1).
fn uppercase_escapes(url: &mut [u8]) {
    let mut i = 0;
    while i + 2 < url.len() {
        if url[i] == b'%' && url[i + 1].is_ascii_hexdigit() && url[i + 2].is_ascii_hexdigit() {
            url[i + 1..i + 3].make_ascii_uppercase();
            i += 2;
        }
        i += 1;
    }
}

/// Structural: visible ASCII, a scheme in lower case, a canonical host, no fragment, escapes in upper case.
pub(super) fn check(value: &[u8]) -> bool {
    let Some(parts) = str::from_utf8(value).ok().and_then(Parts::of) else {
        return false;
    };
    let lower = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.');
    let escaped = value.windows(3).all(|w| {
        let escape = w[0] == b'%' && w[1].is_ascii_hexdigit() && w[2].is_ascii_hexdigit();
        !(escape && w[1..].iter().any(u8::is_ascii_lowercase))
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
