//! The demo's topology, policies and exercise data, compiled in, so that the program alone is enough.

/// The five agencies.
pub const FIVE: &str = include_str!("../../../testnet/five.toml");

static POLICIES: &[(&str, &str)] = &[
    ("cautious.cedar", include_str!("../../../testnet/policies/cautious.cedar")),
    ("border-xc.cedar", include_str!("../../../testnet/policies/border-xc.cedar")),
];

static SAMPLES: &[(&str, &str)] = &[
    ("phishing.stix.json", include_str!("../../../testnet/samples/phishing.stix.json")),
    ("botnet.misp.json", include_str!("../../../testnet/samples/botnet.misp.json")),
    ("scanners.csv", include_str!("../../../testnet/samples/scanners.csv")),
    ("blocklist.txt", include_str!("../../../testnet/samples/blocklist.txt")),
];

fn find(table: &'static [(&str, &str)], name: &str) -> Option<&'static str> {
    table.iter().find(|row| row.0 == name).map(|row| row.1)
}

/// A policy by its file's name.
#[must_use]
pub fn policy(name: &str) -> Option<&'static str> {
    find(POLICIES, name)
}

/// A sample by its file's name.
#[must_use]
pub fn sample(name: &str) -> Option<&'static str> {
    find(SAMPLES, name)
}
