//! Published vectors, through the functions that wrap and unwrap.

use std::collections::BTreeMap;
use std::convert::Infallible;

use hpke::rand_core::{TryCryptoRng, TryRng, utils};
use sha2::{Digest as _, Sha256};
use tocsin_record::testing::{self, START_MS, hex};
use tocsin_record::{DocHash, NodeKey};

use crate::node::SealingKey;
use crate::wrap::{KeyPlace, WRAP_LEN, decapsulate, encapsulate, unwrap, wrap};

/// Gives these bytes, and then no more.
struct Given(Vec<u8>);

impl TryRng for Given {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        utils::next_word_via_fill(self)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        utils::next_word_via_fill(self)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        let rest = self.0.split_off(out.len());
        out.copy_from_slice(&self.0);
        self.0 = rest;
        Ok(())
    }
}

impl TryCryptoRng for Given {}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn key(seed: &str) -> SealingKey {
    SealingKey::from_seed(&bytes(seed).try_into().unwrap())
}

/// draft-connolly-cfrg-xwing-kem-10, appendix C: seed, eseed, and of the public key and what is encapsulated their SHA-256.
const X_WING: [[&str; 4]; 3] = [
    [
        "7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26",
        "3cb1eea988004b93103cfb0aeefd2a686e01fa4a58e8a3639ca8a1e3f9ae57e2\
         35b8cc873c23dc62b8d260169afa2f75ab916a58d974918835d25e6a435085b2",
        "2e816deebcd76c5c80d0cd2d174478871658e8e2ff42bc9d4a6e486372e856bb",
        "17cd532d657e44c897ca6583e548a5424fc70bf54f99515a4d2bcf99e3469f33",
    ],
    [
        "badfd6dfaac359a5efbb7bcc4b59d538df9a04302e10c8bc1cbf1a0b3a5120ea",
        "17cda7cfad765f5623474d368ccca8af0007cd9f5e4c849f167a580b14aabdef\
         aee7eef47cb0fca9767be1fda69419dfb927e9df07348b196691abaeb580b32d",
        "c42ba5f8430d7d2c83739338203819f090e8303ce9c8b02107c272bfa5376916",
        "1661ea86d608a1924ba30840cb0a65f13ae051e3aec9cf0f064efc0bc92f2154",
    ],
    [
        "ef58538b8d23f87732ea63b02b4fa0f4873360e2841928cd60dd4cee8cc0d4c9",
        "22a96188d032675c8ac850933c7aff1533b94c834adbb69c6115bad4692d8619\
         f90b0cdf8a7b9c264029ac185b70b83f2801f2f4b3f70c593ea3aeeb613a7f1b",
        "6b080d6b84f095342092fa7a22423e58bd681397ad0ef00eac92bd254db4fa95",
        "d3ca5578500344b5896cffc4fd740c9311946b82951df155e6fd86a7966b43c6",
    ],
];

#[test]
fn x_wing_is_that_of_the_draft() {
    let log = testing::log(&testing::secret(1));
    let place = KeyPlace { log, seq: 1, time: START_MS, roster: 1, roster_hash: DocHash([4; 32]) };
    for [seed, eseed, public, encapsulated] in X_WING {
        let node = NodeKey([9; 32]);
        let nodes = BTreeMap::from([(node, key(seed).public())]);
        assert_eq!(hex(&Sha256::digest(nodes[&node].to_bytes())), public);
        // The period's secret, the salt, what is encapsulated with, then what is thrown away.
        let mut random = Given([vec![1; 32], vec![2; 16], bytes(eseed), vec![3; 7 * 96]].concat());
        let (made, body) = wrap(&place, &nodes, &mut random).unwrap();
        assert!(random.0.is_empty());
        assert_eq!(hex(&Sha256::digest(&body.wraps[..WRAP_LEN - 48])), encapsulated);
        let (opened, wrap) = unwrap(&place, &body, &node, &key(seed), 0, 1).unwrap();
        assert_eq!(wrap, 0);
        assert_eq!(*opened.to_bytes(), *made.to_bytes());
    }
}

/// The working group's test-vectors.json (draft-ietf-hpke-pq) for X-Wing, HKDF-SHA256, ChaCha20-Poly1305: the first of its encryptions.
#[test]
fn hpke_is_that_of_the_working_group() {
    let secret = key("3ec47fa82dd5689d27c6190e724c74ec8f608df3331ce331929e37b829676630");
    let info = bytes("34663634363532303666366532303631323034373732363536333639363136653230353537323665");
    let text = bytes(
        "34323635363137353734373932303639373332303734373237353734363832633230373437323735373436383230363236353631373537343739",
    );
    let sealed = "c5c591f99092d5e38df0a52699af249c66f8275a863423c076de8147a53e65cc584041c963b77a7e59ea93841b1339b5\
                  efda8909b71f74bb0073ad62e899de310c1566dea2fd29eba377";
    let mut random = Given(bytes(
        "2a1c0a3745fe8a48fb62034d300f54dfe1974a5b2e169e580a8789cb1cf5fd19\
         0fc00f3fd899594e01a8b15334b9f3fa03d8de44da86e19f5776850fb689e6c8",
    ));
    let wrap = encapsulate(&secret.public(), &info, &text, b"Count-0", &mut random);
    assert_eq!(hex(&wrap[wrap.len() - text.len() - 16..]), sealed);
    assert_eq!(hex(&wrap[..16]), "26759c7b22923ea5cc9c78e3e14c8fc6");
    assert_eq!(decapsulate(&secret, &info, &wrap, b"Count-0").unwrap().as_slice(), text);
    assert!(decapsulate(&secret, &info, &wrap, b"Count-1").is_none());
}
