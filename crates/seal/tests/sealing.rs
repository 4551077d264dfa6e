//! Bodies that open, and all that does not: another key, day, header or node, and what was changed on the way.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::OnceLock;

use common::{Circle, at, body, header};
use proptest::prelude::*;
use tocsin_record::body::Body;
use tocsin_record::header::{BODY_MAX, body_hash};
use tocsin_record::marking::{Marking, Tlp};
use tocsin_record::run::body_fits;
use tocsin_record::testing::{self, START_MS};
use tocsin_record::{Bytes, CircleId, Class, Header, MeshId, NodeKey, Plain};
use tocsin_seal::{Broken, Cover, DAY_MS, DAYS, OpenError, Opener, PeriodKey, SealError};

/// One circle for tests that need many keys and no wraps.
fn shared() -> &'static Circle {
    static CIRCLE: OnceLock<Circle> = OnceLock::new();
    CIRCLE.get_or_init(|| Circle::new(1))
}

/// A key that a circle's author and one of its readers hold, and a body that was sealed under it.
fn sealed() -> (Circle, Opener, Header, Bytes) {
    let circle = Circle::new(3);
    let mut header = header(2, START_MS);
    let sealed = circle.author().seal(&mut header, &body(), &mut circle.random()).unwrap();
    let keys = Opener::none();
    keys.keep(circle.opened(1).unwrap());
    (circle, keys, header, sealed)
}

fn broken(result: Result<Plain, OpenError>) -> Broken {
    match result {
        Err(OpenError::Broken(broken)) => broken,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_sealed_opens_for_members() {
    let (circle, _, header, sealed) = sealed();
    assert_eq!((header.suite, header.kind, header.tlp, header.flags), (1, 0, 0, 0));
    assert_eq!(header.check(), Ok(()));
    assert!(body_fits(header.body_len, &header.body_hash, &sealed));
    assert_eq!(Header::decode(&header.encode()).as_ref(), Ok(&header));
    for node in 0..3 {
        let keys = Opener::none();
        keys.keep(circle.opened(node).unwrap());
        let opened = keys.open(&header, &sealed).unwrap();
        assert_eq!((opened.kind, &opened.bytes[..]), (32, body().as_slice()));
        let read = Body::read_as(&header, opened.kind, &opened.bytes).unwrap();
        assert_eq!(read, Body::Report(testing::report(1)));
    }
    assert!(!sealed.windows(4).any(|part| part == b"repo"));
}

#[test]
fn what_is_not_held_says_which_key_it_needs() {
    let (circle, _, header, sealed) = sealed();
    assert!(circle.opened(7).is_none(), "a stranger");
    let id = circle.author().id();
    let keys = Opener::none();
    assert!(matches!(keys.open(&header, &sealed), Err(OpenError::NoKey(key)) if key == id));
    keys.keep(circle.opened(1).unwrap());
    keys.open(&header, &sealed).unwrap();
}

#[test]
fn another_key_of_the_same_name_is_not_taken_for_it() {
    let (_, keys, header, sealed) = sealed();
    keys.keep(Circle::seeded(3, 2).author());
    assert!(matches!(broken(keys.open(&header, &sealed)), Broken::Commitment));
    // Nor where the header commits to that other key.
    let mut other = Circle::seeded(3, 2).author();
    let mut forged = common::header(2, START_MS);
    other.seal(&mut forged, &body(), &mut Circle::new(1).random()).unwrap();
    let mut moved = header.clone();
    moved.extension = forged.extension;
    assert!(matches!(broken(keys.open(&moved, &sealed)), Broken::Cipher));
}

type Change = fn(&mut Header);

#[test]
fn a_body_opens_in_its_place_alone() {
    let (circle, _, header, sealed) = sealed();
    let within: [(&str, Change); 7] = [
        ("class", |h| h.class = Class::Withdrawal),
        ("seq", |h| h.seq += 1),
        ("prev", |h| h.prev.0[31] ^= 1),
        ("time", |h| h.time += 1),
        ("expires", |h| h.expires = h.time),
        ("roster", |h| h.roster += 1),
        ("extension", |h| h.extension.push(0)),
    ];
    for (field, change) in within {
        let mut moved = header.clone();
        change(&mut moved);
        let found = circle_keys(&circle).open(&moved, &sealed);
        assert!(matches!(broken(found), Broken::Cipher), "{field}");
    }
    // Of another log the key has another name, and where an author gives it that name, it is another key.
    let elsewhere: [(&str, Change); 4] = [
        ("mesh", |h| h.mesh = MeshId([8; 32])),
        ("circle", |h| h.circle = CircleId([8; 32])),
        ("author", |h| h.author = NodeKey([8; 32])),
        ("epoch", |h| h.epoch += 1),
    ];
    for (field, change) in elsewhere {
        let mut moved = header.clone();
        change(&mut moved);
        let found = circle_keys(&circle).open(&moved, &sealed);
        assert!(matches!(found, Err(OpenError::NoKey(_))), "{field}");
        let mut bytes = circle.author().to_bytes();
        bytes[..32].copy_from_slice(&moved.log().id().0);
        let keys = Opener::none();
        keys.keep(PeriodKey::from_bytes(&bytes).unwrap());
        assert!(matches!(broken(keys.open(&moved, &sealed)), Broken::Commitment), "{field}");
    }
}

fn circle_keys(circle: &Circle) -> Opener {
    let keys = Opener::none();
    keys.keep(circle.author());
    keys
}

#[test]
fn a_sealed_header_shows_nothing_and_names_a_key_before_it() {
    let (_, keys, header, sealed) = sealed();
    let open = |change: fn(&mut Header)| {
        let mut header = header.clone();
        change(&mut header);
        keys.open(&header, &sealed)
    };
    let shown = "kind, TLP and flags";
    assert!(matches!(broken(open(|h| h.kind = 32)), Broken::Header(said) if said == shown));
    assert!(matches!(broken(open(|h| h.tlp = 3)), Broken::Header(said) if said == shown));
    assert!(matches!(broken(open(|h| h.flags = 1)), Broken::Header(said) if said == shown));
    assert!(matches!(broken(open(|h| h.extension.truncate(41))), Broken::Header("extension")));
    assert!(matches!(broken(open(|h| h.extension.clear())), Broken::Header("extension")));
    assert!(matches!(broken(open(|h| h.extension[7] = 2)), Broken::Header("key")));
    assert!(matches!(broken(open(|h| h.extension[7] = 0)), Broken::Header("key")));
    assert!(matches!(open(|h| h.suite = 0), Err(OpenError::Unsealed)));
    assert!(matches!(open(|h| h.suite = 2), Err(OpenError::Suite(2))));
    assert!(matches!(broken(open(|h| h.extension[9] = 1)), Broken::Day(1)));
    assert!(matches!(broken(open(|h| h.time += DAY_MS)), Broken::Day(0)));
    assert!(matches!(broken(open(|h| h.body_len += 1)), Broken::Length(512)));
    open(|_| ()).unwrap();
}

#[test]
fn what_is_cut_or_longer_is_refused() {
    let (_, keys, header, sealed) = sealed();
    for length in [0, 1, 11, 12, 28, 511, 513, 1024, 2 * BODY_MAX] {
        let mut changed = sealed.to_vec();
        changed.resize(length, 0);
        let mut header = header.clone();
        header.body_len = length as u32;
        let found = broken(keys.open(&header, &changed));
        if length == 1024 {
            assert!(matches!(found, Broken::Cipher), "{found}");
        } else {
            assert!(matches!(found, Broken::Length(said) if said == length), "{found}");
        }
    }
}

#[test]
fn every_bit_of_a_body_counts() {
    let (_, keys, header, sealed) = sealed();
    let mut changed = sealed.to_vec();
    for at in 0..changed.len() * 8 {
        changed[at / 8] ^= 1 << (at % 8);
        assert!(matches!(broken(keys.open(&header, &changed)), Broken::Cipher), "bit {at}");
        changed[at / 8] ^= 1 << (at % 8);
    }
    keys.open(&header, &changed).unwrap();
}

#[test]
fn every_bit_of_a_header_counts() {
    let (_, keys, header, sealed) = sealed();
    let bytes = header.encode();
    // The hash of the body is checked where a record is verified.
    for at in 0..(bytes.len() - 32) * 8 {
        let mut changed = bytes.clone();
        changed[at / 8] ^= 1 << (at % 8);
        if let Ok(changed) = Header::decode(&changed) {
            assert!(keys.open(&changed, &sealed).is_err(), "bit {at}");
        }
    }
}

#[test]
fn a_day_opens_itself_and_what_comes_after() {
    let circle = shared();
    let mut author = circle.author();
    let records: Vec<(Header, Bytes)> = (0..DAYS)
        .map(|day| {
            let mut header = header(2 + u64::from(day), at(day));
            let sealed = author.seal(&mut header, &body(), &mut circle.random()).unwrap();
            assert_eq!(Cover::of(&header).unwrap().day, day);
            author.forget_before(header.time);
            (header, sealed)
        })
        .collect();
    // Who has the first day reads all, in any order; who has a later one nothing before it.
    let keys = circle_keys(circle);
    for (header, sealed) in records.iter().rev().chain(&records) {
        keys.open(header, sealed).unwrap();
    }
    for from in [1, 17, 29] {
        let mut later = circle.author();
        later.forget_before(at(from));
        keys.keep(later);
        for (day, (header, sealed)) in (0..).zip(&records) {
            match keys.open(header, sealed) {
                Ok(_) => assert!(day >= from),
                Err(OpenError::Destroyed { day: said, .. }) => assert!(said == day && day < from),
                Err(other) => panic!("{other}"),
            }
        }
    }
    let mut yesterday = header(99, at(3));
    assert_eq!(author.seal(&mut yesterday, &body(), &mut circle.random()).err(), Some(SealError::Destroyed));
    assert_eq!(yesterday, header(99, at(3)), "the header was touched");
}

#[test]
fn what_cannot_be_sealed_is_told() {
    let circle = shared();
    let refused = |change: fn(&mut Header), body: &[u8]| {
        let mut header = header(2, START_MS);
        change(&mut header);
        let before = header.clone();
        let error = circle.author().seal(&mut header, body, &mut circle.random()).err();
        assert_eq!(header, before, "the header was touched");
        error.unwrap()
    };
    assert_eq!(refused(|h| h.suite = 1, b""), SealError::Sealed);
    assert_eq!(refused(|h| h.class = Class::Control, b""), SealError::Control);
    assert_eq!(refused(|h| h.seq = 1, b""), SealError::Place);
    assert_eq!(refused(|h| h.epoch += 1, b""), SealError::Place);
    assert_eq!(refused(|h| h.time = at(DAYS), b""), SealError::Due);
    assert_eq!(refused(|h| h.time -= 1, b""), SealError::Due);
    assert_eq!(refused(|h| h.extension = vec![0; 215], b""), SealError::Extension(215));
    assert_eq!(refused(|_| (), &vec![0; BODY_MAX + 1]), SealError::Long(BODY_MAX + 1));
}

#[test]
fn what_an_extension_holds_stays_behind_the_keys_name() {
    let circle = shared();
    let mut header = header(2, START_MS);
    header.extension = vec![7; 214];
    let sealed = circle.author().seal(&mut header, &body(), &mut circle.random()).unwrap();
    assert_eq!((header.extension.len(), &header.extension[42..]), (256, &[7; 214][..]));
    circle_keys(circle).open(&header, &sealed).unwrap();
}

#[test]
fn no_two_bodies_are_alike() {
    let circle = shared();
    let (mut author, mut random) = (circle.author(), circle.random());
    let mut seal = || author.seal(&mut header(2, START_MS), &body(), &mut random).unwrap();
    let (first, second) = (seal(), seal());
    assert_ne!(first[..12], second[..12], "a nonce that was used before");
    assert_ne!(first[12..], second[12..]);
}

fn sealed_header() -> Header {
    Header { suite: 1, kind: 0, tlp: 0, flags: 0, ..header(2, START_MS) }
}

/// What a body opens to is checked as one that came in clear, but for what its header does not show.
#[test]
fn what_was_opened_is_held_against_its_header() {
    let read = |marking: Marking, change: fn(&mut Header)| {
        let report =
            Body::Report(tocsin_record::body::Report { marking: Some(marking), ..testing::report(1) });
        let mut header = sealed_header();
        change(&mut header);
        Body::read_as(&header, 32, &report.encode()).map_err(|error| error.to_string())
    };
    let amber = || Marking::new(Tlp::AmberStrict);
    assert!(read(amber(), |_| ()).is_ok());
    assert!(read(amber(), |h| h.suite = 0).unwrap_err().contains("tlp"), "in clear it shows it");
    assert!(read(amber(), |h| h.class = Class::Withdrawal).unwrap_err().contains("class"));
    let until = Marking { retain_until: Some(START_MS + 5), ..amber() };
    assert!(read(until.clone(), |_| ()).unwrap_err().contains("expires"));
    assert!(read(until.clone(), |h| h.expires = START_MS + 6).unwrap_err().contains("expires"));
    assert!(read(until, |h| h.expires = START_MS + 5).is_ok());
    assert_eq!(Body::read_as(&header(2, START_MS), 999, b"?").unwrap(), Body::Newer);
    assert!(Body::read_as(&header(2, START_MS), 32, b"?").is_err());
}

/// Who holds the key seals what it likes: what comes out is read as carefully as what comes in.
#[test]
fn a_member_that_keeps_no_form_is_refused() {
    let circle = shared();
    let any = |length: usize, full: u32, packed: u32| {
        let mut plain = vec![0; length];
        plain[..10].copy_from_slice(&[&[0, 32][..], &full.to_be_bytes(), &packed.to_be_bytes()].concat());
        let mut header = header(2, START_MS);
        let sealed = circle.author().seal_any(&mut header, &plain, &mut circle.random()).unwrap();
        assert_eq!(header.body_hash, body_hash(&sealed));
        circle_keys(circle).open(&header, &sealed)
    };
    assert_eq!(any(484, 100, 100).unwrap().bytes[..], [0; 100]);
    assert!(matches!(broken(any(484, 1 << 30, 100)), Broken::Form("body length")));
    assert!(matches!(broken(any(484, 100, 1 << 30)), Broken::Form("packed length")));
    assert!(matches!(broken(any(484, 1 << 20, 100)), Broken::Inflate(_)));
    assert!(matches!(broken(any(996, 100, 100)), Broken::Form("padding")));
    assert!(matches!(broken(any(500, 100, 100)), Broken::Length(528)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_body_goes_there_and_back(
        kind: u16,
        body in prop::collection::vec(any::<u8>(), 0..5000),
        day in 0..DAYS,
        seed: u64,
    ) {
        let circle = shared();
        let mut header = header(2, at(day));
        header.kind = kind;
        let mut random = common::random(seed);
        let sealed = circle.author().seal(&mut header, &body, &mut random).unwrap();
        let opened = circle_keys(circle).open(&header, &sealed).unwrap();
        prop_assert_eq!((opened.kind, &opened.bytes[..]), (kind, &body[..]));
    }

    #[test]
    fn anything_opens_or_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..1100), extension in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut header = header(2, START_MS);
        let keys = circle_keys(shared());
        shared().author().seal(&mut header, &body(), &mut common::random(1)).unwrap();
        header.body_len = bytes.len() as u32;
        prop_assert!(keys.open(&header, &bytes).is_err());
        header.extension = extension;
        prop_assert!(keys.open(&header, &bytes).is_err());
    }
}
