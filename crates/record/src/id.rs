//! Names of things: 32-byte keys and domain-separated SHA-256 hashes (FIPS 180-4).
//!
//! One hash everywhere. Each use has its own 16-byte tag, so that a hash made for one purpose is never a hash
//! for another.

use std::fmt;

use bincode::{Decode, Encode};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use sha2::{Digest, Sha256};

/// What a hash is over. The tag stands before the hashed bytes.
#[derive(Clone, Copy)]
pub struct Tag(&'static [u8; 16]);

/// Tag of a record id: SHA-256 of it and the exact header bytes.
pub const RECORD: Tag = Tag(b"tocsin record 1\0");
/// Tag of a body hash.
pub const BODY: Tag = Tag(b"tocsin body 1\0\0\0");
/// Tag of a log id.
pub const LOG: Tag = Tag(b"tocsin log 1\0\0\0\0");
/// Tag of an org's own circle.
pub const OWN_CIRCLE: Tag = Tag(b"tocsin own 1\0\0\0\0");
/// Tag of a document's hash (charter, roster, certificate, revocations).
pub const DOCUMENT: Tag = Tag(b"tocsin doc 1\0\0\0\0");
/// Tag of a head, the signed statement of a node's own newest record in a circle.
pub const HEAD: Tag = Tag(b"tocsin head 1\0\0\0");
/// Tag of a receipt, the signed statement of what a node holds of an author's logs.
pub const RECEIPT: Tag = Tag(b"tocsin receipt 1");
/// Tag of a proposal, a version of a roster that lacks signatures, with what it changes.
pub const PROPOSAL: Tag = Tag(b"tocsin propose 1");
/// Tag of the digest at the end of a file of evidence.
pub const EVIDENCE: Tag = Tag(b"tocsin proof 1\0\0");
/// Tag of a file that is carried by hand: of what its maker signs.
pub const BUNDLE: Tag = Tag(b"tocsin bundle 1\0");
/// Tag of a bucket or root of the frontier comparison.
pub const FRONTIER: Tag = Tag(b"tocsin front 1\0\0");

/// SHA-256 of the tag and the parts, one after the other.
#[must_use]
pub fn hash(tag: Tag, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(tag.0);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// A string was not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("expected 64 hexadecimal digits, found {0:?}")]
pub struct ParseIdError(String);

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// All zero: stands for "none" where the format says so.
            pub const ZERO: Self = Self([0; 32]);

            /// The first eight bytes as a number, for tables that verify a hit on read.
            #[must_use]
            pub fn short(&self) -> u64 {
                let [a, b, c, d, e, f, g, h, ..] = self.0;
                u64::from_be_bytes([a, b, c, d, e, f, g, h])
            }

            /// The 32 bytes, as they stand on the wire.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "("))?;
                write_hex(f, &self.0[..6])?;
                f.write_str(")")
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_hex(text).map(Self).ok_or_else(|| ParseIdError(text.chars().take(80).collect()))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'_, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

ids! {
    /// A record: hash of its header.
    RecordId
    /// The body bytes of a record.
    BodyHash
    /// A log: hash of mesh, author, circle and epoch.
    LogId
    /// A mesh: hash of its first charter.
    MeshId
    /// A circle: hash of its first roster, the mesh id for the circle of the whole mesh.
    CircleId
    /// A node, by its Ed25519 record-signing key.
    NodeKey
    /// An org, by its Ed25519 root key.
    OrgId
    /// The exact bytes of a document.
    DocHash
}

impl CircleId {
    /// The circle of the whole mesh: its roster is the charter, its id the mesh's.
    #[must_use]
    pub fn mesh(mesh: MeshId) -> Self {
        Self(mesh.0)
    }

    /// An org's own circle: its members are the nodes that the org certified.
    #[must_use]
    pub fn own(mesh: MeshId, org: OrgId) -> Self {
        Self(hash(OWN_CIRCLE, &[&mesh.0, &org.0]))
    }
}

/// A key as people compare it over another channel: 128 bits of its hash in eight groups of four digits.
#[must_use]
pub fn fingerprint(key: &[u8; 32]) -> String {
    let digest = hash(DOCUMENT, &[b"fingerprint", key]);
    let groups: Vec<String> = digest[..16].chunks(2).map(|pair| HEXLOWER.encode(pair)).collect();
    groups.join("-")
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    HEXLOWER.encode_write(bytes, f)
}

/// In either case.
fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut out = [0; 32];
    HEXLOWER_PERMISSIVE.decode_mut(digits, &mut out).ok()?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_print_and_parse() {
        let id = RecordId([0xa5; 32]);
        assert_eq!(id.to_string().parse::<RecordId>(), Ok(id));
        assert!("a5".parse::<RecordId>().is_err());
        assert!("g".repeat(64).parse::<RecordId>().is_err());
    }

    #[test]
    fn tags_keep_hashes_apart() {
        assert_ne!(hash(RECORD, &[b"x"]), hash(BODY, &[b"x"]));
    }
}
