//! Finding the type of a value by itself: for lookups and for lists that name no types.

use super::refang::bare;
use super::{Observable, ParseError, TYPES, Type, bounded, breadth, excerpt, kind, name, net, refang};

/// What [`detect`] found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Detected {
    /// The observable.
    pub observable: Observable,
    /// What of the text is not part of it, such as a dropped port; for a summary.
    pub note: Option<&'static str>,
}

/// Endings outside the Public Suffix List under which real names stand: RFC 2606 and 6761, I2P, and the
/// alternative roots that malware uses.
const OTHER_SUFFIXES: &[&str] = &[
    "example",
    "test",
    "invalid",
    "localhost",
    "local",
    "onion",
    "i2p",
    "bit",
    "bazar",
    "coin",
    "emc",
    "lib",
    "eth",
    "bbs",
    "chan",
    "cyb",
    "dyn",
    "geek",
    "gopher",
    "indy",
    "libre",
    "neo",
    "null",
    "oss",
    "oz",
    "parody",
    "pirate",
];

/// Endings of file names that are no endings of domain names.
const FILE_ENDINGS: &[&str] = &[
    "apk", "asp", "aspx", "bat", "bin", "chm", "cmd", "cpl", "css", "csv", "dat", "db", "dex", "dll", "doc",
    "docm", "docx", "dot", "dotm", "elf", "eps", "exe", "gz", "hta", "htm", "html", "img", "inf", "ini",
    "ipa", "iso", "jar", "js", "jse", "json", "jsp", "lnk", "log", "msi", "msix", "ocx", "odt", "pdb", "pdf",
    "php", "plist", "png", "ppt", "pptx", "ps1", "psm1", "rar", "rtf", "scr", "svg", "swf", "sys", "tar",
    "tmp", "txt", "vbe", "vbs", "vhd", "wsf", "xls", "xlsb", "xlsm", "xlsx", "xml", "7z",
];

const PORT: &str = "the port was dropped";
const SCHEME: &str = "it has no scheme: http is assumed";
const SLASH: &str = "the slash behind the host was dropped";
const SENDER: &str = "the name beside the address was dropped";
const LABEL: &str = "its label was dropped";
/// Of what MISP has as one attribute: `domain|ip`, `filename|sha1`.
const JOINED: &str = "it is two values that a `|` joins: give each by itself";
const WILDCARD: &str = "the wildcard was dropped: a domain covers its subdomains";

/// The observable that a text means, plain or defanged, without being told its type.
///
/// Recognised are addresses and networks, `ADDRESS:PORT`, URLs with and without a scheme, domains (with an
/// ending that exists, so `evil.exe` is none), e-mail addresses, and what a row of the table claims by `begins` or
/// `sure`. A CVE in a sentence, a bare name or a path are not.
pub fn detect(text: &str) -> Result<Detected, ParseError> {
    let text = bare(bounded(text)?);
    if let Some((types, rest)) = labelled(text)
        && let Ok(found) = bounded(rest).and_then(|rest| unlabelled(bare(rest)))
        && types.contains(&found.observable.kind)
    {
        return Ok(Detected { note: Some(LABEL), ..found });
    }
    unlabelled(text)
}

fn unlabelled(text: &str) -> Result<Detected, ParseError> {
    let plain = |observable| Detected { observable, note: None };
    if let Some(row) = marked(text) {
        // What a prose line says after its URL would be of the URL.
        if row.id == kind::URL && refang(text).contains(char::is_whitespace) {
            return Err(ParseError::Undetected { value: excerpt(text), why: "a URL has no spaces" });
        }
        return row.parse(text).map(plain);
    }
    let refanged = refang(text);
    if let Some(why) = nearly_network(&refanged) {
        return Err(ParseError::Undetected { value: excerpt(text), why });
    }
    if let Some(found) = host(&refanged).or_else(|| address_like(&refanged)) {
        return Ok(found);
    }
    if let Some(row) = TYPES.iter().find(|row| (row.sure)(text)) {
        return row.parse(text).map(plain);
    }
    let why = match net::range(&refanged) {
        Some(_) => net::NOT_ONE_NET,
        None if text.split('|').count() == 2 && text.split('|').any(|part| detect(part).is_ok()) => JOINED,
        None => {
            "it is no address, network, URL, e-mail address or domain with a known ending, and has no form that only one \
             type has"
        }
    };
    Err(ParseError::Undetected { value: excerpt(text), why })
}

const ADDRESS: &[u16] = &[kind::IPV4, kind::IPV6, kind::IPV4_NET, kind::IPV6_NET];
const HOST: &[u16] = &[kind::IPV4, kind::IPV6, kind::IPV4_NET, kind::IPV6_NET, kind::DOMAIN, kind::URL];
/// The hashes of files: the types of which [`Type::is_file_hash`] is true.
pub(super) const HASH: &[u16] = &[kind::MD5, kind::SHA1, kind::SHA256, kind::SHA512];

/// What people write before a value, in lower case without signs, and the types that it then has.
const LABELS: &[(&str, &[u16])] = &[
    ("md5", &[kind::MD5]),
    ("sha1", &[kind::SHA1]),
    ("sha256", &[kind::SHA256]),
    ("sha512", &[kind::SHA512]),
    ("hash", HASH),
    ("filehash", HASH),
    ("ip", ADDRESS),
    ("ips", ADDRESS),
    ("ipv4", ADDRESS),
    ("ipv6", ADDRESS),
    ("ipaddress", ADDRESS),
    ("cidr", ADDRESS),
    ("domain", HOST),
    ("domainname", HOST),
    ("hostname", HOST),
    ("host", HOST),
    ("fqdn", HOST),
    ("c2", HOST),
    ("url", HOST),
    ("uri", HOST),
    ("email", &[kind::EMAIL]),
    ("emailaddress", &[kind::EMAIL]),
    ("mail", &[kind::EMAIL]),
    ("from", &[kind::EMAIL]),
    ("sender", &[kind::EMAIL]),
    ("filename", &[kind::FILENAME]),
    ("cve", &[kind::CVE]),
    ("asn", &[kind::ASN]),
];

/// The types that a value's label says, and the value: of `MD5: d41d...`, `sha-256=e3b0...`.
fn labelled(text: &str) -> Option<(&'static [u16], &str)> {
    /// The longest of the table, with signs.
    const LONGEST: usize = 16;
    let (label, rest) = text.split_once([':', '='])?;
    if label.len() > LONGEST || rest.trim().is_empty() {
        return None;
    }
    let letters = label.chars().filter(|c| !matches!(c, ' ' | '-' | '_' | '*'));
    let label: String = letters.map(|c| c.to_ascii_lowercase()).collect();
    let (_, types) = LABELS.iter().find(|(word, _)| *word == label)?;
    Some((types, rest.trim()))
}

/// What stands behind a label that says this type.
pub(super) fn behind_label(text: &str, kind: u16) -> Option<&str> {
    labelled(text).filter(|(types, _)| types.contains(&kind)).map(|(_, rest)| rest)
}

/// What else a text can be than what [`detect`] found in it, or where it found nothing: for a lookup, which must not miss
/// what is here under another type. Those of which the text is a plain writing; at most one of each type.
pub fn also(text: &str, found: Option<&Observable>) -> Vec<Observable> {
    const NAMES: &[u16] = &[kind::FILENAME, kind::PROCESS, kind::MUTEX, kind::APP];
    let all: Vec<u16> = TYPES.iter().map(|row| row.id).collect();
    let types = match found.map(|found| found.kind) {
        None => &all[..],
        Some(kind::SHA1) => &[kind::CERT_SHA1],
        Some(kind::SHA256) => &[kind::CERT_SHA256],
        Some(kind::DOMAIN | kind::FILENAME | kind::APP) => NAMES,
        Some(kind::CRYPTO_ADDRESS) => &[kind::FILENAME, kind::MUTEX],
        // An address, a URL and the like are nothing else.
        Some(_) => &[],
    };
    let rows = types
        .iter()
        .filter(|id| found.is_none_or(|found| found.kind != **id))
        .filter_map(|id| Type::by_id(*id));
    let mut others: Vec<Observable> = rows.filter_map(|row| row.parse(text).ok()).collect();
    others.sort();
    others.dedup();
    others.retain(|other| found != Some(other));
    others
}

/// The type that a beginning gives away, or a scheme.
fn marked(text: &str) -> Option<&'static Type> {
    let begins =
        |prefix: &str| text.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix));
    let row = TYPES.iter().find(|row| row.begins.iter().any(|prefix| begins(prefix)));
    row.or_else(|| refang(text).contains("://").then(|| Type::by_id(kind::URL)).flatten())
}

/// What is wrong with an address or network that is none: else `192.0.2.7/99` would pass for a page of a server.
fn nearly_network(text: &str) -> Option<&'static str> {
    let (address, rest) = match text.split_once('/') {
        Some((address, rest)) => (address, Some(rest)),
        None => (text, None),
    };
    let is_length = |rest: &str| (1..=3).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_digit());
    let is_mask = |rest: &str| rest.parse::<std::net::Ipv4Addr>().is_ok();
    if rest.is_some_and(is_mask) && net::address(address).is_some() {
        let fits = net::network(text).is_some();
        return (!fits)
            .then_some("its mask is none: its ones stand together at the beginning, as in 255.255.255.0");
    }
    if rest.is_some_and(|rest| !is_length(rest)) {
        return None;
    }
    if net::address(address).is_some() {
        let fits = rest.is_none() || net::network(text).is_some();
        return (!fits).then_some("its prefix length is too long: at most 32 for IPv4, 128 for IPv6");
    }
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let four_numbers = address.split('.').count() == 4 && address.split('.').all(number);
    four_numbers.then_some(net::NOT_V4)
}

/// Addresses, networks and names, with or without a port.
fn host(text: &str) -> Option<Detected> {
    if let Some(ip) = net::address(text) {
        return Some(Detected { observable: net::of_address(ip), note: None });
    }
    if let Some(observable) = net::network(text) {
        return Some(Detected { observable, note: None });
    }
    if let Some(ip) = text.strip_suffix('.').and_then(net::address) {
        return Some(Detected { observable: net::of_address(ip), note: None });
    }
    if let Some(server) = net::without_port(text) {
        let observable = net::address(server).map(net::of_address).or_else(|| domain(server))?;
        return Some(Detected { observable, note: Some(PORT) });
    }
    let (name, note) = match text.strip_prefix("*.").or_else(|| text.strip_prefix('.')) {
        Some(name) => (name, Some(WILDCARD)),
        None => (text, None),
    };
    domain(name).map(|observable| Detected { observable, note })
}

/// A name with a dot whose ending exists.
fn domain(text: &str) -> Option<Observable> {
    let name = name::canonical(text).ok()?;
    let (_, last) = name.rsplit_once('.')?;
    let exists = breadth::has_known_suffix(&name) || OTHER_SUFFIXES.contains(&last);
    exists.then(|| Observable { kind: kind::DOMAIN, value: name.into_bytes() })
}

/// E-mail addresses, and URLs without a scheme.
fn address_like(text: &str) -> Option<Detected> {
    let by_type = |id| Type::by_id(id).and_then(|row| row.parse(text).ok());
    if text.ends_with(['>', ')']) && text.contains('@') {
        let observable = by_type(kind::EMAIL)?;
        let (_, host) = str::from_utf8(&observable.value).ok()?.rsplit_once('@')?;
        return domain(host).map(|_| Detected { observable, note: Some(SENDER) });
    }
    if text.contains(char::is_whitespace) {
        return None;
    }
    if let Some(found) = text.strip_suffix('/').and_then(host) {
        return Some(Detected { note: Some(SLASH), ..found });
    }
    if let Some(slash) = text.find(['/', '?']) {
        // The host decides: `and/or` is no URL.
        host(&text[..slash]).filter(|found| found.note != Some(WILDCARD))?;
        return by_type(kind::URL).map(|observable| Detected { observable, note: Some(SCHEME) });
    }
    if text.contains('@') {
        let observable = by_type(kind::EMAIL)?;
        let (_, host) = text.rsplit_once('@')?;
        return domain(host).map(|_| Detected { observable, note: None });
    }
    None
}

/// A name with an ending that files have and domains have not. What stands behind a `?` is a parameter.
pub(super) fn is_file_name(text: &str) -> bool {
    let ending = text.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    // `HASH  NAME` is a line of md5sum.
    let sum = text.split_once(' ').is_some_and(|(first, _)| {
        matches!(first.len(), 32 | 40 | 56 | 64 | 96 | 128) && first.bytes().all(|b| b.is_ascii_hexdigit())
    });
    ending.is_some_and(|ending| FILE_ENDINGS.contains(&&*ending)) && !text.contains(['/', '?']) && !sum
}
