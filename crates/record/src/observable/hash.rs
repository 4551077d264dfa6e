//! Hashes of files and certificates: the raw bytes, shown as lower-case hexadecimal.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

use super::refang::bare;
use super::{Observable, Parsed, kind};

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

/// Bytes of a text that is hexadecimal throughout, in either case, and has whole bytes.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()
}

/// Whether a text has so many digits, all of them hexadecimal.
pub(super) fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn sized(kind: u16, length: usize, text: &str, why: &'static str) -> Parsed {
    // Certificate fingerprints are often written in pairs: AB:CD:...
    let joined: String = bare(text).chars().filter(|c| !matches!(c, ':' | ' ')).collect();
    let value = unhex(&joined).filter(|bytes| bytes.len() == length).ok_or(why)?;
    Ok(Observable { kind, value })
}

pub(super) fn parse_md5(text: &str) -> Parsed {
    sized(kind::MD5, 16, text, "an MD5 hash has 32 hexadecimal digits")
}

pub(super) fn parse_sha1(text: &str) -> Parsed {
    sized(kind::SHA1, 20, text, "a SHA-1 hash has 40 hexadecimal digits")
}

pub(super) fn parse_sha256(text: &str) -> Parsed {
    sized(kind::SHA256, 32, text, "a SHA-256 hash has 64 hexadecimal digits")
}

pub(super) fn parse_sha512(text: &str) -> Parsed {
    sized(kind::SHA512, 64, text, "a SHA-512 hash has 128 hexadecimal digits")
}

pub(super) fn parse_cert_sha1(text: &str) -> Parsed {
    sized(kind::CERT_SHA1, 20, text, "a certificate's SHA-1 fingerprint has 40 hexadecimal digits")
}

pub(super) fn parse_cert_sha256(text: &str) -> Parsed {
    sized(kind::CERT_SHA256, 32, text, "a certificate's SHA-256 fingerprint has 64 hexadecimal digits")
}

pub(super) fn check_length<const N: usize>(value: &[u8]) -> bool {
    value.len() == N
}
