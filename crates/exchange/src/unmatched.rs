//! What is kept and matched against nothing, and what is matched and hardly meant: for the answers to those who publish
//! or import it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tocsin_record::body::report::PATTERN_FIRST;
use tocsin_record::observable::{Breadth, Observable, kind};

/// Why an observable or rule is kept with its report and matched against nothing; `None` if it is matched.
#[must_use]
pub fn why_unmatched(what: &Observable) -> Option<&'static str> {
    if what.kind >= PATTERN_FIRST {
        return Some("a rule or pattern, which is passed on as it is and not evaluated here");
    }
    if !what.is_canonical() {
        return Some("of a type that this version does not know");
    }
    match what.breadth() {
        Breadth::Fine => None,
        Breadth::TooWide => Some("too wide a network (over /8, or /16 of IPv6)"),
        Breadth::PublicSuffix => Some("a public suffix, under which everybody registers"),
        Breadth::SingleLabel => Some("a single label, not a name of the Internet"),
    }
}

/// Names that everybody's machines ask for all day.
const NAMES: &[(&str, &str)] = &[
    ("localhost", "the machine itself"),
    ("local", "a name of the local network"),
    ("internal", "a name of the local network"),
    ("home.arpa", "a name of the local network"),
];

/// Open resolvers of the DNS that whole organisations ask, by their operators' pages: Google, Cloudflare, Quad9, OpenDNS,
/// AdGuard, Level 3.
const RESOLVERS: &[&str] = &[
    "8.8.8.8",
    "8.8.4.4",
    "1.1.1.1",
    "1.0.0.1",
    "9.9.9.9",
    "149.112.112.112",
    "208.67.222.222",
    "208.67.220.220",
    "94.140.14.14",
    "94.140.15.15",
    "4.2.2.1",
    "4.2.2.2",
    "2001:4860:4860::8888",
    "2001:4860:4860::8844",
    "2606:4700:4700::1111",
    "2606:4700:4700::1001",
    "2620:fe::fe",
    "2620:fe::9",
    "2620:119:35::35",
    "2620:119:53::53",
];

/// Names that nearly every network asks for, themselves and under `www`; what else stands under them may be anybody's.
const SITES: &[&str] = &[
    "google.com",
    "youtube.com",
    "facebook.com",
    "instagram.com",
    "whatsapp.com",
    "microsoft.com",
    "live.com",
    "office.com",
    "windows.com",
    "windowsupdate.com",
    "msftconnecttest.com",
    "bing.com",
    "linkedin.com",
    "github.com",
    "apple.com",
    "icloud.com",
    "amazon.com",
    "wikipedia.org",
    "cloudflare.com",
    "akamai.com",
    "yahoo.com",
    "mozilla.org",
    "firefox.com",
    "debian.org",
    "ubuntu.com",
    "adobe.com",
    "zoom.us",
    "netflix.com",
    "twitter.com",
    "x.com",
    "ntp.org",
    "gstatic.com",
    "googleapis.com",
    "digicert.com",
    "letsencrypt.org",
    "verisign.com",
];

/// Why an observable would hit what everybody has, if it would: loopback, private and link-local addresses, names of the
/// local network, open resolvers, and the sites of most use. Ranges for documentation are no such thing: exercises are
/// written in them.
#[must_use]
pub fn well_known(what: &Observable) -> Option<&'static str> {
    let octets = |value: &[u8]| -> Option<IpAddr> {
        if let Ok(v4) = <[u8; 4]>::try_from(value) {
            return Some(Ipv4Addr::from(v4).into());
        }
        <[u8; 16]>::try_from(value).ok().map(|v6| Ipv6Addr::from(v6).into())
    };
    match what.kind {
        kind::IPV4 | kind::IPV6 => address(octets(&what.value)?),
        // The whole of a network is what its first address is, as long as it is no wider than the range itself.
        kind::IPV4_NET | kind::IPV6_NET => {
            let (prefix, value) = what.value.split_last()?;
            network(octets(value)?, *prefix)
        }
        kind::DOMAIN => {
            let name = std::str::from_utf8(&what.value).ok()?;
            let local = NAMES.iter().find(|(end, _)| is_under(name, end)).map(|(_, why)| *why);
            let site = SITES.contains(&name.strip_prefix("www.").unwrap_or(name));
            local.or(site.then_some("a site that nearly every network asks for"))
        }
        _ => None,
    }
}

fn is_under(name: &str, end: &str) -> bool {
    name.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn address(ip: IpAddr) -> Option<&'static str> {
    if ip.is_loopback() {
        return Some("the machine itself (loopback)");
    }
    if ip.is_unspecified() {
        return Some("no address of any machine");
    }
    let (private, link_local) = match ip {
        IpAddr::V4(v4) => (v4.is_private(), v4.is_link_local()),
        IpAddr::V6(v6) => (v6.is_unique_local(), v6.is_unicast_link_local()),
    };
    if private {
        Some("a private address (RFC 1918), which many networks have")
    } else if link_local {
        Some("a link-local address, which every network has")
    } else {
        let is_resolver = RESOLVERS.iter().any(|known| known.parse() == Ok(ip));
        is_resolver.then_some("an open resolver of the DNS, which whole organisations ask")
    }
}

/// Ranges and the shortest prefix that lies wholly inside them: 10/8, 172.16/12, 192.168/16, 127/8, 169.254/16, fc00::/7,
/// fe80::/10.
fn network(first: IpAddr, prefix: u8) -> Option<&'static str> {
    let widest = match first {
        IpAddr::V4(v4) => match v4.octets() {
            [10 | 127, ..] => 8,
            [172, ..] => 12,
            _ => 16,
        },
        IpAddr::V6(v6) if v6.is_unicast_link_local() => 10,
        IpAddr::V6(_) => 7,
    };
    // Of a single address that is well known nothing is said of the network around it.
    address(first).filter(|why| prefix >= widest && !why.contains("resolver"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &str, value: &str) -> Observable {
        Observable::parse(kind, value).unwrap()
    }

    #[test]
    fn what_is_kept_only_says_why() {
        for (kind, value, part) in [
            ("ipv4-net", "0.0.0.0/0", "too wide"),
            ("ipv6-net", "2000::/3", "too wide"),
            ("domain", "co.uk", "public suffix"),
            ("domain", "com", "single label"),
        ] {
            assert!(why_unmatched(&of(kind, value)).unwrap().contains(part), "{value}");
        }
        let rule = Observable {
            kind: crate::names::pattern_language("yara").unwrap(),
            value: b"rule a {}".to_vec(),
        };
        assert!(why_unmatched(&rule).unwrap().contains("rule"));
        for (kind, value) in [("ipv4", "192.0.2.7"), ("domain", "evil.example"), ("ipv4-net", "10.0.0.0/8")] {
            assert_eq!(why_unmatched(&of(kind, value)), None, "{value}");
        }
    }

    #[test]
    fn what_everybody_has_is_told_and_documentation_is_not() {
        for (kind, value) in [
            ("ipv4", "127.0.0.1"),
            ("ipv4", "8.8.8.8"),
            ("ipv6", "2606:4700:4700::1111"),
            ("domain", "google.com"),
            ("domain", "www.wikipedia.org"),
            ("ipv4", "0.0.0.0"),
            ("ipv4", "10.1.2.3"),
            ("ipv4", "172.31.0.1"),
            ("ipv4", "192.168.1.1"),
            ("ipv4", "169.254.3.3"),
            ("ipv6", "::1"),
            ("ipv6", "fe80::1"),
            ("ipv6", "fd00::1"),
            ("ipv4-net", "192.168.0.0/16"),
            ("ipv4-net", "10.0.0.0/8"),
            ("ipv6-net", "fc00::/7"),
            ("domain", "localhost"),
            ("domain", "printer.local"),
        ] {
            assert!(well_known(&of(kind, value)).is_some(), "{value}");
        }
        for (kind, value) in [
            ("ipv4", "192.0.2.7"),
            ("ipv4", "198.51.100.7"),
            ("ipv4", "203.0.113.7"),
            ("ipv4", "172.32.0.1"),
            ("ipv6", "2001:db8::7"),
            ("ipv4-net", "192.168.0.0/15"),
            ("domain", "evil.example"),
            ("domain", "notlocal"),
            ("sha1", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        ] {
            assert_eq!(well_known(&of(kind, value)), None, "{value}");
        }
    }
}
