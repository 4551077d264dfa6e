//! The index against a naive reference that keeps all pairs and compares texts and numbers.

use std::collections::BTreeSet;
use std::net::IpAddr;

use proptest::prelude::*;
use tocsin_matcher::{Change, How, Inserted, Loader, Matcher, fingerprint};
use tocsin_record::observable::{Breadth, Observable, ObservableRef};

const KEY: [u8; 16] = *b"a key of 16 byte";

/// All postings of a listed observable, rising.
fn postings(index: &Matcher, listed: &Observable) -> Vec<u64> {
    let mut all = index.postings(listed.borrowed(), u64::MAX, usize::MAX);
    all.reverse();
    all
}

fn parse(kind: &str, text: &str) -> Observable {
    Observable::parse(kind, text).unwrap_or_else(|error| panic!("{error}"))
}

/// Computed apart from this code, from the definition of SipHash.
const PINNED: u64 = 12_733_061_770_812_205_296;

#[test]
fn fingerprint_is_pinned_and_keyed() {
    // SipHash-1-3 of 00 01 c0 00 02 07; type and value both count.
    let ip = parse("ipv4", "192.0.2.7");
    let print = fingerprint(&KEY, ip.kind, &ip.value);
    assert_eq!(print, PINNED);
    assert_ne!(print, fingerprint(b"another key of16", ip.kind, &ip.value));
    assert_ne!(print, fingerprint(&KEY, ip.kind + 1, &ip.value));
    assert_ne!(fingerprint(&KEY, 1, &[0]), fingerprint(&KEY, 1, &[0, 0]));
}

#[test]
fn many_changes_at_once_are_those_one_by_one() {
    let values: Vec<Observable> = (0..600)
        .map(|n| match n % 3 {
            0 => parse("ipv4", &format!("192.0.{}.{}", n / 250, n % 250)),
            1 => parse("ipv4-net", &format!("10.{}.{}.0/24", n / 250, n % 250)),
            _ => parse("domain", &format!("n{n}.example")),
        })
        .collect();
    let (mut one_by_one, mut at_once, mut loaded) =
        (Matcher::new(&KEY), Matcher::new(&KEY), Matcher::new(&KEY));
    let mut changes = Vec::new();
    for (posting, what) in (0u64..).zip(&values).map(|(n, what)| (n / 2, what)) {
        let print = at_once.printer().print(what.borrowed()).unwrap();
        one_by_one.insert(what.borrowed(), posting);
        changes.push(Change::Add(print, posting));
        // One in five goes again, and one in ten comes back: the order counts.
        if posting % 5 == 0 {
            one_by_one.remove(what.borrowed(), posting);
            changes.push(Change::Remove(print, posting));
        }
        if posting % 10 == 0 {
            one_by_one.insert(what.borrowed(), posting);
            changes.push(Change::Add(print, posting));
        }
    }
    at_once.apply(changes);
    let mut loader = Loader::new(&mut loaded);
    for (posting, what) in (0u64..).zip(&values).map(|(n, what)| (n / 2, what)) {
        if posting % 5 != 0 || posting % 10 == 0 {
            loader.insert(what.borrowed(), posting);
        }
    }
    loader.insert(parse("domain", "localhost").borrowed(), 1);
    drop(loader);
    assert!(!one_by_one.is_empty());
    for index in [&at_once, &loaded] {
        assert_eq!(index.len(), one_by_one.len());
        for what in &values {
            assert_eq!(index.lookup(what.borrowed()), one_by_one.lookup(what.borrowed()), "{what}");
            assert_eq!(postings(index, what), postings(&one_by_one, what), "{what}");
        }
    }
}

#[test]
fn hits_come_in_order() {
    let mut index = Matcher::new(&KEY);
    for (posting, (kind, text)) in [
        ("domain", "evil.com"),
        ("domain", "a.evil.com"),
        ("ipv4-net", "192.0.0.0/16"),
        ("ipv4-net", "192.0.2.0/24"),
        ("ipv4", "192.0.2.7"),
        ("url", "http://x.a.evil.com/p"),
        ("domain", "github.io"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(index.insert(parse(kind, text).borrowed(), posting as u64), Inserted::Added);
    }
    let found = |kind: &str, text: &str| {
        let what = parse(kind, text);
        let hits = index.lookup(what.borrowed());
        assert_eq!(index.knows(what.borrowed()), !hits.is_empty());
        hits.iter()
            .map(|hit| format!("{:?} {} {:?}", hit.how, hit.observable, postings(&index, &hit.observable)))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        found("ipv4", "192.0.2.7"),
        ["Exact 192.0.2.7 [4]", "Network 192.0.2.0/24 [3]", "Network 192.0.0.0/16 [2]"]
    );
    assert_eq!(found("ipv4-net", "192.0.2.0/24"), ["Exact 192.0.2.0/24 [3]", "Network 192.0.0.0/16 [2]"]);
    assert_eq!(found("ipv4-net", "192.0.2.0/28"), ["Network 192.0.2.0/24 [3]", "Network 192.0.0.0/16 [2]"]);
    assert_eq!(found("url", "ftp://192.0.9.9/"), ["Network 192.0.0.0/16 [2]"]);
    assert_eq!(
        found("url", "https://x.a.evil.com/p?q=1"),
        ["Parent http://x.a.evil.com/p [5]", "Parent a.evil.com [1]", "Parent evil.com [0]"]
    );
    assert_eq!(found("email", "me@b.evil.com"), ["Parent evil.com [0]"]);
    assert_eq!(found("domain", "github.io"), ["Exact github.io [6]"]);
    assert!(found("domain", "me.github.io").is_empty());
    assert!(found("domain", "notevil.com").is_empty());
    assert!(found("ipv6", "2001:db8::7").is_empty());
}

#[test]
fn what_is_broad_or_unreadable_is_not_taken() {
    let mut index = Matcher::new(&KEY);
    for (kind, text, breadth) in [
        ("ipv4-net", "0.0.0.0/0", Breadth::TooWide),
        ("ipv6-net", "::/0", Breadth::TooWide),
        ("domain", "co.uk", Breadth::PublicSuffix),
        ("domain", "com", Breadth::SingleLabel),
    ] {
        assert_eq!(index.insert(parse(kind, text).borrowed(), 1), Inserted::Broad(breadth));
    }
    let unknown = ObservableRef { kind: 60_000, value: b"x" };
    assert_eq!(index.insert(unknown, 1), Inserted::Unreadable);
    assert!(index.lookup(unknown).is_empty());
    assert_eq!(index.insert(ObservableRef { kind: 1, value: b"x" }, 1), Inserted::Unreadable);
    assert!(index.is_empty());
    assert!(index.lookup(parse("ipv4", "192.0.2.7").borrowed()).is_empty());
}

/// Observables that often meet: few addresses, prefixes and labels.
fn observable() -> impl Strategy<Value = Observable> {
    let ip4 = (0u8..2, 0u8..4, 0u8..4, 8u8..=32);
    let ip6 = (0u8..2, 0u8..2, 0u8..4, 16u8..=128);
    let name = (proptest::collection::vec("[ab]", 0..3), "[ab]\\.(com|co\\.uk|github\\.io)");
    prop_oneof![
        ip4.prop_map(|(a, b, c, prefix)| parse("ipv4-net", &format!("198.{a}.{b}.{c}/{prefix}"))),
        ip6.prop_map(|(a, b, c, prefix)| parse("ipv6-net", &format!("2001:db8:{a}::{b}:{c}/{prefix}"))),
        name.prop_map(|(labels, end)| parse("domain", &[labels, vec![end]].concat().join("."))),
    ]
}

/// Address and prefix length of an address or a network.
fn range(what: &Observable) -> Option<(IpAddr, u32)> {
    let text = what.show();
    let (ip, prefix) = text.split_once('/').unwrap_or((&text, ""));
    let ip: IpAddr = ip.parse().ok()?;
    Some((ip, prefix.parse().unwrap_or(if ip.is_ipv4() { 32 } else { 128 })))
}

/// The first `prefix` bits of an address.
fn head(ip: IpAddr, prefix: u32) -> u128 {
    match ip {
        IpAddr::V4(v4) => u128::from(u32::from(v4)).checked_shr(32 - prefix).unwrap_or(0),
        IpAddr::V6(v6) => u128::from(v6).checked_shr(128 - prefix).unwrap_or(0),
    }
}

/// How a listed observable would be hit, by comparing texts and numbers.
fn naive(listed: &Observable, what: &Observable) -> Option<How> {
    if listed == what {
        return Some(How::Exact);
    }
    match (range(listed), range(what)) {
        (Some((net, wide)), Some((ip, narrow))) => {
            let inside = net.is_ipv4() == ip.is_ipv4() && wide < narrow && head(net, wide) == head(ip, wide);
            inside.then_some(How::Network)
        }
        (None, None) => what.show().ends_with(&format!(".{listed}")).then_some(How::Parent),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn as_the_naive_reference(
        steps in proptest::collection::vec((any::<bool>(), observable(), 0u64..9), 1..120),
        asked in proptest::collection::vec(observable(), 1..20),
    ) {
        let mut index = Matcher::new(&KEY);
        let mut all: BTreeSet<(Observable, u64)> = BTreeSet::new();
        for (add, what, posting) in steps {
            if add {
                let new = all.insert((what.clone(), posting));
                let expected = if new { Inserted::Added } else { Inserted::Present };
                prop_assert_eq!(index.insert(what.borrowed(), posting), expected);
            } else {
                prop_assert_eq!(index.remove(what.borrowed(), posting), all.remove(&(what, posting)));
            }
            prop_assert_eq!(index.len(), all.len());
        }
        for what in asked.iter().chain(all.iter().map(|(what, _)| what)) {
            let expected: BTreeSet<(How, &Observable, u64)> =
                all.iter().filter_map(|(listed, posting)| Some((naive(listed, what)?, listed, *posting))).collect();
            let hits = index.lookup(what.borrowed());
            let found: Vec<(How, &Observable, u64)> = hits
                .iter()
                .flat_map(|hit| {
                    let all = postings(&index, &hit.observable);
                    all.into_iter().map(move |posting| (hit.how, &hit.observable, posting))
                })
                .collect();
            prop_assert!(hits.iter().all(|hit| !postings(&index, &hit.observable).is_empty()));
            prop_assert!(hits.iter().all(|hit| postings(&index, &hit.observable).is_sorted()));
            prop_assert!(hits.is_sorted_by_key(|hit| hit.how));
            prop_assert_eq!(found.len(), expected.len(), "{} -> {:?}", what, found);
            prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
            prop_assert_eq!(index.knows(what.borrowed()), !hits.is_empty());
        }
    }
}
