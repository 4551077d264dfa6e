//! Texts that hold several values: the hashes of one file in a cell, a list in an attribute, a range of addresses that is
//! no single network.

use super::refang::{bare, refang};
use super::{Observable, ParseError, net};

/// Most values that one text is read as.
const PARTS_MAX: usize = 1_000;
/// What separates values, the plainest first. White space comes last: prose has it too.
const SEPARATORS: &[&[char]] = &[&['\n', '\r'], &[';'], &['|'], &[','], &[' ', '\t']];

/// The values of a text that is none by itself, each read by `one`; `None` unless all that stands in it is values.
pub fn several<E>(text: &str, one: impl Fn(&str) -> Result<Vec<Observable>, E>) -> Option<Vec<Observable>> {
    if let Some((first, last)) = net::range(&refang(bare(text))) {
        let networks = net::networks_of(first, last);
        return (!networks.is_empty()).then_some(networks);
    }
    SEPARATORS.iter().find_map(|separator| {
        let parts = || text.split(*separator).map(str::trim).filter(|part| !part.is_empty());
        if !(2..=PARTS_MAX).contains(&parts().count()) {
            return None;
        }
        let found: Vec<Observable> = parts().map(&one).collect::<Result<Vec<_>, _>>().ok()?.concat();
        // `HASH  NAME` is what md5sum writes: what stands side by side is of one family.
        let alike = !separator.contains(&' ')
            || found.iter().all(|value| value.family() == found.first().map_or(0, Observable::family));
        alike.then_some(found)
    })
}

impl Observable {
    /// Hashes are one family, and so is what is on the network; every other type is its own.
    fn family(&self) -> u16 {
        use super::{detect::HASH, kind};
        match self.kind {
            hash if HASH.contains(&hash) => kind::MD5,
            kind::IPV4 | kind::IPV6 | kind::IPV4_NET | kind::IPV6_NET | kind::DOMAIN | kind::URL => {
                kind::IPV4
            }
            other => other,
        }
    }
}

/// As [`super::detect`], of a text that may hold several values.
///
/// # Errors
/// As [`super::detect`] of the whole text.
pub fn detect_all(text: &str) -> Result<Vec<Observable>, ParseError> {
    let detect = |text: &str| super::detect(text).map(|found| vec![found.observable]);
    detect(text).or_else(|error| several(text, detect).ok_or(error))
}

/// The values that stand as words in a text that people wrote, such as a mail: each once, in their order. Signs around a word
/// are no part of it. Names of files are left out: a text speaks of those that hold it.
#[must_use]
pub fn in_prose(text: &str) -> Vec<Observable> {
    const AROUND: &[char] =
        &['(', ')', '<', '>', '"', '\'', '`', ',', ';', '!', '?', '*', '“', '”', '„', '«', '»'];
    let mut found: Vec<Observable> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for word in text.split_whitespace() {
        // A full stop or a colon ends a sentence; within a word it is the word's.
        let word = word.trim_matches(AROUND).trim_end_matches(['.', ':']).trim_matches(AROUND);
        for value in detect_all(word).unwrap_or_default() {
            if value.kind != super::kind::FILENAME && seen.insert(value.clone()) {
                found.push(value);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const MD5: &str = "d41d8cd98f00b204e9800998ecf8427e";
    const SHA1: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";

    fn shown(text: &str) -> String {
        let found = detect_all(text).map(|found| found.iter().map(Observable::show).collect::<Vec<_>>());
        found.map_or_else(|_| "none".to_owned(), |found| found.join(" "))
    }

    #[test]
    fn all_values_of_a_text_or_none() {
        let both = format!("{MD5} {SHA1}");
        for sign in [",", ", ", ";", " ; ", "|", " | ", "\n", "\r\n", " ", "\t", "  "] {
            assert_eq!(shown(&format!("{MD5}{sign}{SHA1}")), both, "{sign:?}");
        }
        for (text, values) in [
            ("MD5: d41d8cd98f00b204e9800998ecf8427e\nSHA1: da39a3ee5e6b4b0d3255bfef95601890afd80709", &*both),
            ("a.example, 192[.]0[.]2[.]7", "a.example 192.0.2.7"),
            ("http://a.example/x,y", "http://a.example/x,y"),
            ("192.0.2.0-192.0.2.255", "192.0.2.0/24"),
            ("192.0.2.0 - 192.0.3.255", "192.0.2.0/23"),
            ("192.0.2.0-127", "192.0.2.0/25"),
            ("192.0.2.0/255.255.255.128", "192.0.2.0/25"),
            ("192.0.2.0 255.255.255.0", "192.0.2.0/24"),
            ("192.0.2.0 0.0.0.255", "192.0.2.0/24"),
            ("192.0.2.*", "192.0.2.0/24"),
            ("198.51.*.*", "198.51.0.0/16"),
            ("192.0.2.7-192.0.2.7", "192.0.2.7"),
            ("192.0.2.1-192.0.2.6", "192.0.2.1 192.0.2.2/31 192.0.2.4/31 192.0.2.6"),
            ("2001:db8::-2001:db8::ffff", "2001:db8::/112"),
            ("0.0.0.0-255.255.255.255", "0.0.0.0/0"),
        ] {
            assert_eq!(shown(text), values, "{text}");
        }
        for prose in [
            "we saw evil.example today",
            "see evil.example, and run",
            "d41d8cd98f00b204e9800998ecf8427e  evil.exe",
            "d41d8cd98f00b204e9800998ecf8427e *evil.exe",
            "MD5 (evil.exe) = d41d8cd98f00b204e9800998ecf8427e",
            "192.0.2.9-192.0.2.1",
            "192.0.2.0/255.0.255.0",
            "192.0.2.*/24",
            "192.*.2.0",
            "http://evil.example/ is the server",
            "imphash: d41d8cd98f00b204e9800998ecf8427e",
            "ja3=d41d8cd98f00b204e9800998ecf8427e",
        ] {
            assert_eq!(shown(prose), "none", "{prose}");
        }
    }

    #[test]
    fn the_networks_of_a_range_hold_it_and_nothing_else() {
        // Against counting: the addresses of all networks, one by one.
        let mut seed: u32 = 7;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed >> 20
        };
        for _ in 0..500 {
            let first = 0xc000_0200 + next();
            let last = first + next() % 700;
            let networks = net::networks_of(
                std::net::Ipv4Addr::from(first).into(),
                std::net::Ipv4Addr::from(last).into(),
            );
            let mut held = Vec::new();
            for network in &networks {
                let text = network.show();
                let (address, length) = text.split_once('/').unwrap_or((&text, "32"));
                let from = u32::from(address.parse::<std::net::Ipv4Addr>().unwrap());
                held.extend(from..from + (1 << (32 - length.parse::<u32>().unwrap())));
            }
            assert_eq!(held, (first..=last).collect::<Vec<_>>());
        }
    }
}
