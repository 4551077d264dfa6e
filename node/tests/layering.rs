//! The arrows between the crates point down only, and what is below the network edge stays free of sockets, clocks and
//! chance.
//!
//! ```text
//! record <- seal <- store;  record <- policy, matcher, exchange;  postings <- store, matcher
//! {record, policy, store, matcher, seal} <- protocol <- sim;  fuzz calls what it feeds         the core
//! {record, seal, clock} <- evidence <- service, cli;  record <- backup <- cli, node       what is handed on as a file
//! {record, seal} <- bundle <- service                                                    what is carried by hand
//! clock, text <- home, api <- cli <- testnet                                             what people's programs link
//! {protocol, net} <- engine <- service <- serve                                          what a node is
//! all but sim <- node;  {node, sim} <- imports
//! ```
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde::Deserialize;

/// Each crate of the workspace with the crates of the workspace that it may name.
const ARROWS: &[(&str, &[&str])] = &[
    ("tocsin-record", &[]),
    ("tocsin-policy", &["tocsin-record"]),
    ("tocsin-seal", &["tocsin-record"]),
    ("tocsin-postings", &[]),
    ("tocsin-store", &["tocsin-record", "tocsin-postings", "tocsin-seal"]),
    ("tocsin-matcher", &["tocsin-record", "tocsin-postings"]),
    ("tocsin-exchange", &["tocsin-record"]),
    ("tocsin-protocol", &["tocsin-record", "tocsin-policy", "tocsin-seal", "tocsin-store", "tocsin-matcher"]),
    (
        "tocsin-sim",
        &[
            "tocsin-record",
            "tocsin-policy",
            "tocsin-seal",
            "tocsin-store",
            "tocsin-matcher",
            "tocsin-protocol",
        ],
    ),
    ("tocsin-backup", &["tocsin-record"]),
    ("tocsin-bundle", &["tocsin-record", "tocsin-seal"]),
    ("tocsin-evidence", &["tocsin-clock", "tocsin-record", "tocsin-seal"]),
    (
        "tocsin-fuzz",
        &[
            "tocsin-backup",
            "tocsin-bundle",
            "tocsin-record",
            "tocsin-seal",
            "tocsin-evidence",
            "tocsin-exchange",
            "tocsin-protocol",
        ],
    ),
    ("tocsin-clock", &[]),
    ("tocsin-text", &[]),
    ("tocsin-api", &["tocsin-record", "tocsin-clock"]),
    ("tocsin-home", &["tocsin-record", "tocsin-seal", "tocsin-clock", "tocsin-text"]),
    (
        "tocsin-cli",
        &[
            "tocsin-api",
            "tocsin-backup",
            "tocsin-clock",
            "tocsin-evidence",
            "tocsin-exchange",
            "tocsin-home",
            "tocsin-record",
            "tocsin-text",
        ],
    ),
    (
        "tocsin-testnet",
        &[
            "tocsin-api",
            "tocsin-cli",
            "tocsin-clock",
            "tocsin-exchange",
            "tocsin-home",
            "tocsin-record",
            "tocsin-text",
        ],
    ),
    ("tocsin-net", &[]),
    (
        "tocsin-engine",
        &[
            "tocsin-clock",
            "tocsin-home",
            "tocsin-matcher",
            "tocsin-net",
            "tocsin-policy",
            "tocsin-protocol",
            "tocsin-record",
            "tocsin-seal",
            "tocsin-store",
        ],
    ),
    (
        "tocsin-service",
        &[
            "tocsin-api",
            "tocsin-bundle",
            "tocsin-clock",
            "tocsin-engine",
            "tocsin-evidence",
            "tocsin-exchange",
            "tocsin-home",
            "tocsin-matcher",
            "tocsin-net",
            "tocsin-policy",
            "tocsin-protocol",
            "tocsin-record",
            "tocsin-seal",
            "tocsin-store",
            "tocsin-text",
        ],
    ),
    (
        "tocsin-serve",
        &[
            "tocsin-api",
            "tocsin-engine",
            "tocsin-home",
            "tocsin-policy",
            "tocsin-protocol",
            "tocsin-record",
            "tocsin-service",
        ],
    ),
    (
        "tocsin",
        &[
            "tocsin-api",
            "tocsin-backup",
            "tocsin-cli",
            "tocsin-clock",
            "tocsin-engine",
            "tocsin-home",
            "tocsin-net",
            "tocsin-policy",
            "tocsin-protocol",
            "tocsin-record",
            "tocsin-serve",
            "tocsin-service",
            "tocsin-testnet",
            "tocsin-text",
        ],
    ),
    (
        "tocsin-imports",
        &[
            "tocsin",
            "tocsin-api",
            "tocsin-cli",
            "tocsin-clock",
            "tocsin-engine",
            "tocsin-exchange",
            "tocsin-home",
            "tocsin-record",
            "tocsin-service",
            "tocsin-sim",
        ],
    ),
];

/// The core: it reaches nothing of the network by any path, and names neither clock nor chance.
const CORE: &[&str] = &[
    "tocsin-record",
    "tocsin-seal",
    "tocsin-policy",
    "tocsin-postings",
    "tocsin-store",
    "tocsin-matcher",
    "tocsin-exchange",
    "tocsin-protocol",
    "tocsin-bundle",
    "tocsin-sim",
    "tocsin-fuzz",
];
/// The network, under all names by which it could be reached.
const NETWORK: &[&str] =
    &["tokio", "mio", "hyper", "axum", "libp2p", "libp2p-core", "libp2p-swarm", "socket2"];
/// What crates above the core may not reach by any path, tests left out.
const NOT_REACHED: &[(&str, &[&str])] = &[
    ("tocsin-clock", &["tokio", "clap"]),
    ("tocsin-text", &["tokio", "clap"]),
    ("tocsin-api", &["tokio", "axum", "hyper", "libp2p", "clap", "sled", "cedar-policy"]),
    ("tocsin-home", &["tokio", "axum", "libp2p", "clap", "sled", "cedar-policy"]),
    ("tocsin-cli", &["tokio", "axum", "hyper", "libp2p", "sled", "cedar-policy"]),
    ("tocsin-testnet", &["axum", "hyper", "libp2p", "sled", "cedar-policy"]),
    ("tocsin-net", &["axum", "clap", "sled", "cedar-policy"]),
    ("tocsin-engine", &["axum", "axum-core", "clap"]),
    ("tocsin-service", &["axum", "axum-core", "clap", "indicatif"]),
    ("tocsin-serve", &["clap", "indicatif"]),
];
/// What one crate alone names, so that one place changes when it does.
const NAMED_BY_ONE: &[(&str, &str)] = &[("sled", "tocsin-store"), ("libp2p", "tocsin-net")];
/// Clocks and chance: no crate of the core names one. Some stand behind others, such as sled, and are not called.
const CLOCKS_AND_CHANCE: &[&str] = &[
    "chrono",
    "instant",
    "web-time",
    "quanta",
    "coarsetime",
    "minstant",
    "getrandom",
    "rand_os",
    "fastrand",
];

/// What is read of `cargo metadata`. Its crate would have Cedar built once more for each program that links the tests' crates.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    dependencies: Vec<Named>,
}

/// A dependency as a manifest names it. Its kind is none, `dev` or `build`.
#[derive(Deserialize)]
struct Named {
    name: String,
    kind: Option<String>,
    uses_default_features: bool,
    features: Vec<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Linked>,
}

/// A dependency as cargo chose it: the package, and each way in which it is needed.
#[derive(Deserialize)]
struct Linked {
    pkg: String,
    dep_kinds: Vec<Kind>,
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

impl Metadata {
    fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }
}

#[test]
fn arrows_point_down_only() {
    let metadata = metadata();
    let members: BTreeSet<&str> = metadata.members().map(|package| package.name.as_str()).collect();
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    assert_eq!(members, arrows.keys().copied().collect(), "one row of arrows for each crate");
    for package in metadata.members() {
        let allowed = arrows[package.name.as_str()];
        for name in named(package).filter(|name| members.contains(name)) {
            assert!(allowed.contains(&name), "{} may not depend on {name}", package.name);
        }
    }
}

#[test]
fn the_core_reaches_no_socket_and_names_no_clock() {
    let metadata = metadata();
    for name in CORE {
        let package = package(&metadata, name);
        let reached = reached_by(&metadata, &package.id);
        // `sim` is a program of its own.
        let clap = (*name != "tocsin-sim").then_some(&"clap");
        for banned in NETWORK.iter().chain(clap) {
            assert!(!reached.contains(banned), "{name} depends on {banned}");
        }
        for own in named(package) {
            assert!(!CLOCKS_AND_CHANCE.contains(&own), "{name} names {own}");
        }
        for dependency in package.dependencies.iter().filter(|d| d.name == "rand") {
            let chance =
                |feature: &String| ["thread_rng", "os_rng", "std_rng", "default"].contains(&feature.as_str());
            assert!(
                !dependency.uses_default_features && !dependency.features.iter().any(chance),
                "{name} takes the machine's randomness from rand"
            );
        }
    }
}

#[test]
fn crates_above_the_core_reach_only_what_they_are_for() {
    let metadata = metadata();
    for (name, banned) in NOT_REACHED {
        let reached = reached_by(&metadata, &package(&metadata, name).id);
        for banned in *banned {
            assert!(!reached.contains(banned), "{name} depends on {banned}");
        }
    }
}

#[test]
fn what_one_crate_hides_nobody_else_names() {
    let metadata = metadata();
    for (hidden, holder) in NAMED_BY_ONE {
        let holders: Vec<&str> = metadata
            .members()
            .filter(|package| named(package).any(|name| name == *hidden))
            .map(|package| package.name.as_str())
            .collect();
        assert_eq!(holders, [*holder], "{hidden}");
    }
}

fn package<'m>(metadata: &'m Metadata, name: &str) -> &'m Package {
    let found = metadata.packages.iter().find(|package| package.name.as_str() == name);
    found.unwrap_or_else(|| panic!("there is no crate {name}: take its row away"))
}

fn metadata() -> Metadata {
    let told = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version", "1", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .output()
        .unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    serde_json::from_slice(&told.stdout).unwrap()
}

/// What a crate's manifest names for the program itself, tests left out.
fn named(package: &Package) -> impl Iterator<Item = &str> {
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind.as_deref() != Some("dev"))
        .map(|dependency| dependency.name.as_str())
}

/// Names of all crates that are linked into this one, tests left out.
fn reached_by<'m>(metadata: &'m Metadata, root: &str) -> BTreeSet<&'m str> {
    let nodes: BTreeMap<&str, &Node> =
        metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let mut waiting = vec![root];
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        for dependency in &nodes[id].deps {
            let linked = dependency.dep_kinds.iter().any(|kind| kind.kind.as_deref() != Some("dev"));
            if linked && seen.insert(&dependency.pkg) {
                waiting.push(&dependency.pkg);
            }
        }
    }
    let reached = metadata.packages.iter().filter(|package| seen.contains(package.id.as_str()));
    reached.map(|package| package.name.as_str()).collect()
}
