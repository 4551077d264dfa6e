//! The arrows between the crates point down only, and what is below `node` stays free of sockets, clocks and chance.
//!
//! ```text
//! record <- policy, store, matcher, exchange;  postings <- store, matcher
//! {record, policy, store, matcher} <- protocol <- sim
//! all but sim <- node;  fuzz stands apart and calls what it feeds
//! ```
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};

/// Each crate of the workspace with the crates of the workspace that it may name.
const ARROWS: &[(&str, &[&str])] = &[
    ("tocsin-record", &[]),
    ("tocsin-policy", &["tocsin-record"]),
    ("tocsin-postings", &[]),
    ("tocsin-store", &["tocsin-record", "tocsin-postings"]),
    ("tocsin-matcher", &["tocsin-record", "tocsin-postings"]),
    ("tocsin-exchange", &["tocsin-record"]),
    ("tocsin-protocol", &["tocsin-record", "tocsin-policy", "tocsin-store", "tocsin-matcher"]),
    ("tocsin-sim", &["tocsin-record", "tocsin-policy", "tocsin-store", "tocsin-matcher", "tocsin-protocol"]),
    ("tocsin-fuzz", &["tocsin-record", "tocsin-exchange", "tocsin-protocol"]),
    (
        "tocsin",
        &[
            "tocsin-record",
            "tocsin-policy",
            "tocsin-store",
            "tocsin-matcher",
            "tocsin-exchange",
            "tocsin-protocol",
        ],
    ),
];

/// What nothing below `node` may reach by any path.
const NODE_ONLY: &[&str] =
    &["tokio", "mio", "hyper", "axum", "libp2p", "libp2p-core", "libp2p-swarm", "socket2"];
/// What `sim` and `node`, being programs, may have besides.
const PROGRAM_ONLY: &[&str] = &["clap"];
/// Clocks and chance: no crate below `node` names one. Some stand behind others, such as sled, and are not called.
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

#[test]
fn arrows_point_down_only() {
    let metadata = metadata();
    let members: BTreeSet<&str> = metadata.workspace_packages().iter().map(|p| p.name.as_str()).collect();
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    for package in metadata.workspace_packages() {
        let allowed = arrows
            .get(package.name.as_str())
            .unwrap_or_else(|| panic!("{} is no crate of the layout: add its arrows here", package.name));
        for name in named(package).filter(|name| members.contains(name)) {
            assert!(allowed.contains(&name), "{} may not depend on {name}", package.name);
        }
    }
}

#[test]
fn nothing_below_node_reaches_a_socket_or_names_a_clock() {
    let metadata = metadata();
    for package in metadata.workspace_packages() {
        let name = package.name.as_str();
        if name == "tocsin" {
            continue;
        }
        let reached = reached_by(&metadata, &package.id);
        let program = name == "tocsin-sim";
        let banned = NODE_ONLY.iter().chain(if program { &[] } else { PROGRAM_ONLY });
        for banned in banned {
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
fn only_store_names_sled() {
    let metadata = metadata();
    let holders: Vec<&str> = metadata
        .packages
        .iter()
        .filter(|package| named(package).any(|name| name == "sled"))
        .map(|package| package.name.as_str())
        .collect();
    assert_eq!(holders, ["tocsin-store"]);
}

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .other_options(vec!["--locked".to_owned()])
        .exec()
        .unwrap()
}

/// What a crate's manifest names for the program itself, tests left out.
fn named(package: &Package) -> impl Iterator<Item = &str> {
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind != DependencyKind::Development)
        .map(|dependency| dependency.name.as_str())
}

/// Names of all crates that are linked into this one, tests left out.
fn reached_by<'m>(metadata: &'m Metadata, root: &PackageId) -> BTreeSet<&'m str> {
    let nodes: BTreeMap<_, _> =
        metadata.resolve.as_ref().unwrap().nodes.iter().map(|node| (&node.id, node)).collect();
    let mut waiting = vec![root.clone()];
    let mut seen = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        for dependency in &nodes[&id].deps {
            let linked = dependency.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development);
            if linked && seen.insert(dependency.pkg.clone()) {
                waiting.push(dependency.pkg.clone());
            }
        }
    }
    seen.iter().map(|id| metadata[id].name.as_str()).collect()
}
