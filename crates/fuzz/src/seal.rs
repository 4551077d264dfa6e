//! Sealed bodies and key records: what a partner sends who holds keys, and who holds none.
//!
//! The first byte says what the rest is: a key record's body, a sealed header with its body, or the plain form that who holds the
//! key seals.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use tocsin_record::body::{Body, WrappedKey};
use tocsin_record::header::BODY_MAX;
use tocsin_record::testing::{self, START_MS};
use tocsin_record::{DocHash, Header, NodeKey, Plain, codec};
use tocsin_seal::{KeyPlace, OpenError, Opener, PERIOD_LEN, PeriodKey, SEALED_MIN, SealingKey, unwrap, wrap};

use crate::record::parted;
use crate::seeds;

const KEY_RECORD: u8 = 0;
const SEALED: u8 = 1;
const PLAIN: u8 = 2;
/// What sealing adds: nonce and tag.
const ADDED: usize = 12 + 16;
const NODE: NodeKey = NodeKey([3; 32]);

/// A key, its record, and what was sealed under it.
struct Made {
    place: KeyPlace,
    period: [u8; PERIOD_LEN],
    record: Vec<u8>,
    sealed: Vec<(Header, Vec<u8>, Plain)>,
}

fn made() -> &'static Made {
    static MADE: OnceLock<Made> = OnceLock::new();
    MADE.get_or_init(|| {
        let place =
            KeyPlace { log: seeds::log(), seq: 1, time: START_MS, roster: 1, roster_hash: DocHash([4; 32]) };
        let nodes = BTreeMap::from([(NODE, secret().public())]);
        let mut random = random();
        let (mut key, record) = wrap(&place, &nodes, &mut random).unwrap_or_else(|error| panic!("{error}"));
        let content = seeds::bodies().into_iter().filter(|body| body.marking().is_some());
        let sealed = content.map(|body| {
            let opened = Plain { kind: body.kind().unwrap_or(0), bytes: body.encode().into() };
            let mut header = header(&body);
            let bytes =
                key.seal(&mut header, &opened.bytes, &mut random).unwrap_or_else(|error| panic!("{error}"));
            (header, bytes.to_vec(), opened)
        });
        let sealed = sealed.collect();
        Made { place, period: *key.to_bytes(), record: record.encode(), sealed }
    })
}

fn secret() -> SealingKey {
    SealingKey::from_seed(&[3; 32])
}

fn random() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(1)
}

fn header(body: &Body) -> Header {
    let log = seeds::log();
    let prev = tocsin_record::RecordId([7; 32]);
    let plain = testing::header(body, &[]);
    let (mesh, author, circle) = (log.mesh, log.author, log.circle);
    Header { mesh, author, circle, epoch: log.epoch, seq: 2, prev, time: START_MS, ..plain }
}

fn key() -> PeriodKey {
    PeriodKey::from_bytes(&made().period).unwrap_or_else(|| panic!("it was a key"))
}

fn keys() -> Opener {
    let keys = Opener::none();
    keys.keep(key());
    keys
}

/// Anything of the three. Nothing opens that was not sealed by who holds the key, and what opens keeps its bounds.
pub fn seal(data: &[u8]) {
    match data.split_first() {
        Some((&KEY_RECORD, data)) => key_record(data),
        Some((&SEALED, data)) => sealed(data),
        Some((&PLAIN, data)) => plain(data),
        _ => {}
    }
}

fn key_record(data: &[u8]) {
    let Ok(record) = WrappedKey::read(data) else {
        return;
    };
    assert_eq!(record.encode(), data, "a key record re-encodes to what was read");
    let place = KeyPlace { roster_hash: record.roster, ..made().place };
    match unwrap(&place, &record, &NODE, &secret(), 0, 1) {
        Ok((key, _)) => assert_eq!(*key.to_bytes(), made().period, "a key that nobody wrapped"),
        Err(error) => {
            assert!(data != made().record, "the record does not open: {error}");
            told(&error.to_string());
        }
    }
}

fn sealed(data: &[u8]) {
    let (head, bytes) = parted(data);
    let Ok(header) = Header::decode(head) else {
        return;
    };
    let known = made().sealed.iter().find(|(known, sealed, _)| *known == header && sealed == bytes);
    match (keys().open(&header, bytes), known) {
        // The hash is checked where a record is verified.
        (Ok(opened), _) => {
            let known = made().sealed.iter().any(|(_, sealed, body)| sealed == bytes && *body == opened);
            assert!(known, "a body opened that nobody sealed");
        }
        (Err(error), known) => {
            assert!(known.is_none(), "a sealed body does not open: {error}");
            told(&error.to_string());
        }
    }
}

fn plain(data: &[u8]) {
    let length = (data.len() + ADDED).next_power_of_two().clamp(SEALED_MIN, BODY_MAX);
    let mut plain = data.to_vec();
    plain.resize(length - ADDED, 0);
    let mut header =
        made().sealed.first().map_or_else(|| panic!("some were sealed"), |first| first.0.clone());
    (header.suite, header.extension) = (0, vec![]);
    let bytes = key().seal_any(&mut header, &plain, &mut random()).unwrap_or_else(|error| panic!("{error}"));
    match keys().open(&header, &bytes) {
        Ok(opened) => {
            assert!(opened.bytes.len() <= BODY_MAX);
            if let Ok(body) = Body::read_as(&header, opened.kind, &opened.bytes) {
                assert!(body.encode() == opened.bytes || body == Body::Newer);
            }
        }
        Err(OpenError::Broken(error)) => told(&error.to_string()),
        Err(error) => panic!("{error}"),
    }
}

fn told(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?} would reach a terminal");
}

/// One of each: a key record, bodies of all kinds that are sealed, and their plain forms.
#[must_use]
pub fn seals() -> Vec<Vec<u8>> {
    let made = made();
    let mut all = vec![[&[KEY_RECORD], made.record.as_slice()].concat()];
    for (header, bytes, opened) in &made.sealed {
        all.push([&[SEALED], header.encode().as_slice(), bytes].concat());
        let packed = codec::deflate(&opened.bytes);
        for packed in [&packed[..], &opened.bytes[..]] {
            let lengths =
                [opened.bytes.len(), packed.len()].map(|length| (length as u32).to_be_bytes()).concat();
            all.push([&[PLAIN], &opened.kind.to_be_bytes()[..], &lengths, packed].concat());
        }
    }
    all
}
