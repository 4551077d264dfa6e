//! What is sealed or wrapped, as bytes: a change of one closes what was sealed before.
//!
//! `golden/forms.txt` has one line a form; a line that stands never changes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Circle, at, header};
use tocsin_record::Plain;
use tocsin_record::body::WrappedKey;
use tocsin_record::header::body_hash;
use tocsin_record::testing::{START_MS, hex};
use tocsin_seal::Opener;

/// Too short to be compressed: what zstd makes of a text is its own affair.
const SHORT: &[u8] = b"sixteen bytes...: a short body";

#[test]
fn every_form_is_pinned() {
    let circle = Circle::new(3);
    let mut author = circle.author();
    let mut lines = Vec::new();
    let key = circle.body.encode();
    assert_eq!(WrappedKey::read(&key).unwrap(), circle.body);
    lines.push(format!("key record, its first bytes: {}", hex(&key[..82])));
    lines.push(format!("key record, its hash: {}", body_hash(&key)));
    lines
        .push(format!("public sealing key, its hash: {}", body_hash(&common::secret(0).public().to_bytes())));
    lines.push(format!("period key, first day: {}", hex(author.to_bytes().as_slice())));
    author.forget_before(at(3));
    lines.push(format!("period key, fourth day: {}", hex(author.to_bytes().as_slice())));
    let mut sealed = header(2, at(3));
    let body = author.seal(&mut sealed, SHORT, &mut circle.random()).unwrap();
    lines.push(format!("sealed header: {}", hex(&sealed.encode())));
    lines.push(format!("sealed body: {}", hex(&body)));

    let pinned: Vec<&str> = include_str!("golden/forms.txt").lines().collect();
    for (line, pinned) in lines.iter().zip(&pinned) {
        assert_eq!(line, pinned, "a sealed form has changed");
    }
    assert_eq!(lines.len(), pinned.len(), "lines that are not pinned:\n{}", lines.join("\n"));
}

/// A body that was compressed when it was sealed, and opens whatever zstd makes today.
#[test]
fn a_pinned_body_opens() {
    let circle = Circle::new(1);
    let [sealed_header, body] = {
        let mut lines = include_str!("golden/compressed.txt").lines().map(bytes);
        [lines.next().unwrap(), lines.next().unwrap()]
    };
    let header = tocsin_record::Header::decode(&sealed_header).unwrap();
    assert_eq!((header.time, body_hash(&body)), (START_MS, header.body_hash));
    let keys = Opener::none();
    keys.keep(circle.author());
    let opened = keys.open(&header, &body).unwrap();
    assert_eq!(opened, Plain { kind: 32, bytes: b"again and ".repeat(300).into() });
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}
