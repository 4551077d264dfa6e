//! AES-GCM alone commits to no key: a ciphertext that two keys open. The commitment is what refuses one of them.

use aes_gcm::aes::Aes256;
use aes_gcm::aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use tocsin_record::header::body_hash;
use tocsin_record::{Bytes, Class, Header, LogKey, RecordId, testing};
use zeroize::Zeroizing;

use crate::body::{Broken, Cover, OpenError, bound, decrypt};
use crate::form::{NONCE, SEALED_MIN, TAG};
use crate::opener::Opener;
use crate::period::{KeyId, PeriodKey};

/// Product in GF(2^128), where the first bit is that of the lowest power (SP 800-38D, 6.3).
fn times(x: u128, y: u128) -> u128 {
    let (mut product, mut shifted) = (0, y);
    for bit in (0..128).rev() {
        if x >> bit & 1 == 1 {
            product ^= shifted;
        }
        shifted = (shifted >> 1) ^ if shifted & 1 == 1 { 0xe1 << 120 } else { 0 };
    }
    product
}

/// To the power of 2^128 - 2.
fn inverse(x: u128) -> u128 {
    let (mut square, mut product) = (x, 1 << 127);
    for _ in 1..128 {
        square = times(square, square);
        product = times(product, square);
    }
    product
}

fn encrypt(key: &[u8; 32], block: u128) -> u128 {
    let mut block = block.to_be_bytes().into();
    Aes256::new(&(*key).into()).encrypt_block(&mut block);
    u128::from_be_bytes(block.into())
}

fn blocks(bytes: &[u8]) -> impl Iterator<Item = u128> {
    bytes.chunks(16).map(|chunk| {
        let mut block = [0; 16];
        block[..chunk.len()].copy_from_slice(chunk);
        u128::from_be_bytes(block)
    })
}

/// The tag of GCM, and the key of its hash.
fn tag(key: &[u8; 32], nonce: &[u8; NONCE], bound: &[u8], cipher: &[u8]) -> (u128, u128) {
    let hash_key = encrypt(key, 0);
    let lengths = ((bound.len() as u128 * 8) << 64) | (cipher.len() as u128 * 8);
    let all = blocks(bound).chain(blocks(cipher)).chain([lengths]);
    let hash = all.fold(0, |sum, block| times(sum ^ block, hash_key));
    let mut first = [0; 16];
    first[..NONCE].copy_from_slice(nonce);
    first[15] = 1;
    (hash ^ encrypt(key, u128::from_be_bytes(first)), hash_key)
}

/// A sealed body of the shortest length that both keys take for theirs (Dodis, Grubbs, Ristenpart, Woodage, CRYPTO 2018).
fn for_both(keys: &[[u8; 32]; 2], bound: &[u8]) -> Vec<u8> {
    let nonce = [3; NONCE];
    let mut cipher = vec![5; SEALED_MIN - NONCE - TAG];
    // The last whole block makes the tags equal; behind it are one that is not whole and the lengths.
    let free = cipher.len() / 16 * 16 - 16..cipher.len() / 16 * 16;
    cipher[free.clone()].fill(0);
    let [(one, h), (two, i)] = [0, 1].map(|n| tag(&keys[n], &nonce, bound, &cipher));
    let cubes = times(times(h, h), h) ^ times(times(i, i), i);
    cipher[free].copy_from_slice(&times(one ^ two, inverse(cubes)).to_be_bytes());
    let (tag, _) = tag(&keys[0], &nonce, bound, &cipher);
    [&nonce[..], &cipher, &tag.to_be_bytes()].concat()
}

fn header(log: LogKey, cover: Cover) -> Header {
    Header {
        suite: 1,
        class: Class::Content,
        kind: 0,
        tlp: 0,
        flags: 0,
        mesh: log.mesh,
        author: log.author,
        circle: log.circle,
        epoch: log.epoch,
        seq: 2,
        prev: RecordId([7; 32]),
        time: testing::START_MS,
        expires: 0,
        roster: 1,
        extension: cover.write().to_vec(),
        body_len: SEALED_MIN as u32,
        body_hash: body_hash(b""),
    }
}

#[test]
fn a_body_that_two_keys_open_is_opened_by_the_one_that_its_header_commits_to() {
    let log = testing::log(&testing::secret(1));
    let id = KeyId { log: log.id(), seq: 1 };
    let period = |secret: u8| PeriodKey::new(id, testing::START_MS, Box::new(Zeroizing::new([secret; 32])));
    let [mut one, mut two] = [period(1), period(2)];
    let header = header(log, Cover { key: 1, day: 0, commitment: one.commitment() });
    let sealed =
        Bytes::from(for_both(&[*one.body_key(0).unwrap(), *two.body_key(0).unwrap()], &bound(&header)));

    let opened = [&mut one, &mut two].map(|key| decrypt(key.of_day(0).unwrap(), &header, &sealed).unwrap());
    assert_ne!(opened[0], opened[1], "the cipher gives each key a text of its own");

    let open = |key: PeriodKey| {
        let keys = Opener::none();
        keys.keep(key);
        keys.open(&header, &sealed).unwrap_err()
    };
    assert!(matches!(open(one), OpenError::Broken(Broken::Form(_))), "it opens, to nothing that reads");
    assert!(matches!(open(two), OpenError::Broken(Broken::Commitment)));
}
