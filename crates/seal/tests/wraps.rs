//! Key records: who finds its wrap, and who does not.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;

use common::{Circle, name, place, random, secret};
use tocsin_record::body::WrappedKey;
use tocsin_record::header::BODY_MAX;
use tocsin_record::{CircleId, DocHash, MeshId, NodeKey};
use tocsin_seal::{KeyPlace, NODES_MAX, SealingKey, UnwrapError, WRAP_LEN, WrapError, unwrap, wrap};

#[test]
fn wrapped_for_nobody_or_too_many_is_refused() {
    assert_eq!(wrap(&place(), &BTreeMap::new(), &mut random(1)).err(), Some(WrapError::Nobody));
    let public = secret(1).public();
    let many = |count: usize| {
        (0..count)
            .map(|node| {
                let mut key = [0; 32];
                key[..8].copy_from_slice(&(node as u64).to_be_bytes());
                (NodeKey(key), public.clone())
            })
            .collect::<BTreeMap<_, _>>()
    };
    let error = wrap(&place(), &many(NODES_MAX + 1), &mut random(1)).err();
    assert_eq!(error, Some(WrapError::TooMany(NODES_MAX + 1)));
    // As many as there may be fit in a body, and the last finds its own at once.
    let nodes = many(NODES_MAX);
    let (key, body) = wrap(&place(), &nodes, &mut random(1)).unwrap();
    assert_eq!(body.wraps.len(), NODES_MAX * WRAP_LEN);
    assert!(body.encode().len() < BODY_MAX / 3);
    let last = *nodes.keys().last().unwrap();
    let (opened, wrap) = unwrap(&place(), &body, &last, &secret(1), NODES_MAX - 1, 1).unwrap();
    assert_eq!(wrap, NODES_MAX - 1);
    assert_eq!(*opened.to_bytes(), *key.to_bytes());
}

#[test]
fn the_size_of_a_circle_is_hidden() {
    for (nodes, wraps) in [(1, 8), (8, 8), (9, 16)] {
        assert_eq!(Circle::new(nodes).body.wraps.len(), wraps * WRAP_LEN);
    }
    // What is for nobody looks as what is for somebody: it has an X25519 point and reduced numbers, and is never the same.
    let body = Circle::new(1).body;
    let mut wraps: Vec<&[u8]> = body.wraps.chunks(WRAP_LEN).collect();
    wraps.sort_unstable();
    wraps.dedup();
    assert_eq!(wraps.len(), 8);
}

#[test]
fn a_node_finds_its_own_where_its_roster_says_or_beside() {
    let circle = Circle::new(9);
    let open = |node: u8, near: usize, tries: usize| {
        unwrap(&circle.place, &circle.body, &name(node), &secret(node), near, tries)
            .map(|(key, _)| *key.to_bytes())
    };
    let key = *circle.author().to_bytes();
    for node in 0..9 {
        assert_eq!(open(node, usize::from(node), 1), Ok(key));
    }
    assert_eq!(open(4, 5, 1), Err(UnwrapError::Closed));
    assert_eq!(open(4, 5, 3), Ok(key));
    assert_eq!(open(4, 3, 2), Ok(key));
    assert_eq!(open(4, usize::MAX, 16), Ok(key));
    assert_eq!(open(4, 4, 0), Err(UnwrapError::Closed));
    assert_eq!(open(9, 9, 16), Err(UnwrapError::Closed), "a stranger");
}

#[test]
fn a_wrap_opens_in_its_place_alone() {
    let circle = Circle::new(2);
    let open = |place: &KeyPlace, node: NodeKey, key: &SealingKey| {
        unwrap(place, &circle.body, &node, key, 0, 8).err()
    };
    assert_eq!(open(&circle.place, name(0), &secret(0)), None);
    let changes: [fn(&mut KeyPlace); 7] = [
        |place| place.log.mesh = MeshId([9; 32]),
        |place| place.log.circle = CircleId([9; 32]),
        |place| place.log.author = NodeKey([9; 32]),
        |place| place.log.epoch += 1,
        |place| place.seq += 1,
        |place| place.roster += 1,
        |place| place.roster_hash = DocHash([9; 32]),
    ];
    for change in changes {
        let mut place = circle.place;
        change(&mut place);
        assert_eq!(open(&place, name(0), &secret(0)), Some(UnwrapError::Closed));
    }
    assert_eq!(open(&circle.place, name(1), &secret(0)), Some(UnwrapError::Closed));
    assert_eq!(open(&circle.place, name(0), &secret(1)), Some(UnwrapError::Closed));
}

#[test]
fn every_part_of_a_wrap_counts() {
    let circle = Circle::new(1);
    let open = |body: &WrappedKey| unwrap(&circle.place, body, &name(0), &secret(0), 0, 1).err();
    // ML-KEM's two parts, X25519's point, key and tag.
    for at in [0, 1, 500, 959, 960, 1087, 1088, 1119, 1120, 1151, 1152, 1167] {
        for bit in 0..8 {
            let mut body = circle.body.clone();
            body.wraps[at] ^= 1 << bit;
            // X25519 does not read the highest bit of a point, and so X-Wing hashes it (draft, 5.3).
            assert_eq!(open(&body), Some(UnwrapError::Closed), "byte {at} bit {bit}");
        }
    }
    let mut body = circle.body.clone();
    body.commitment[0] ^= 1;
    assert_eq!(open(&body), Some(UnwrapError::Closed));
}

#[test]
fn a_key_that_is_not_committed_to_is_refused() {
    // Two keys for one place: the record of one with the wraps of the other would give two members two keys.
    let (one, other) = (Circle::seeded(1, 1), Circle::seeded(1, 2));
    let mut body = one.body.clone();
    body.wraps.clone_from(&other.body.wraps);
    assert_eq!(unwrap(&one.place, &body, &name(0), &secret(0), 0, 8).err(), Some(UnwrapError::Closed));
}

#[test]
fn what_is_no_number_of_wraps_is_refused() {
    let circle = Circle::new(1);
    let open = |length: usize| {
        let mut body = circle.body.clone();
        body.wraps.resize(length, 0);
        unwrap(&circle.place, &body, &name(0), &secret(0), 0, 1).err()
    };
    for length in
        [0, 1, WRAP_LEN, 7 * WRAP_LEN, 8 * WRAP_LEN - 1, 8 * WRAP_LEN + 1, 9 * WRAP_LEN, 512 * WRAP_LEN]
    {
        assert_eq!(open(length), Some(UnwrapError::Length(length)));
    }
    assert_eq!(open(8 * WRAP_LEN), None);
    assert_eq!(open(16 * WRAP_LEN), None);
    let newer = WrappedKey { suite: 2, ..circle.body.clone() };
    assert_eq!(unwrap(&circle.place, &newer, &name(0), &secret(0), 0, 1).err(), Some(UnwrapError::Suite(2)));
}

#[test]
fn a_key_record_is_read_in_its_one_form() {
    let body = Circle::new(1).body;
    let bytes = body.encode();
    assert_eq!(WrappedKey::read(&bytes).unwrap(), body);
    for length in [0, 1, 16, bytes.len() - 1] {
        assert!(WrappedKey::read(&bytes[..length]).is_err());
    }
    assert!(WrappedKey::read(&[&bytes[..], &[0]].concat()).is_err());
}
