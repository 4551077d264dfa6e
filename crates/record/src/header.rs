//! The header of a record: fixed-width, big-endian, exactly as signed.
//!
//! ```text
//! version 1 | suite 1 | class 1 | kind 2 | tlp 1 | flags 2 | mesh 32 | author 32 | circle 32 | epoch 8 | seq 8
//! | prev 32 | time 8 | expires 8 | roster 4 | extension 2 + n | body length 4 | body hash 32
//! ```

use bincode::{Decode, Encode};

use crate::id::{self, BodyHash, CircleId, MeshId, NodeKey, RecordId};
use crate::log::{LogKey, Tip};

/// The header version that this code reads and writes.
pub const VERSION: u8 = 1;
/// Length of a header without its extension, in bytes.
pub const FIXED_LEN: usize = 210;
/// Longest extension, in bytes: what later versions may add to each header, which everybody keeps for ever.
pub const EXTENSION_MAX: usize = 256;
/// Longest body, in bytes: who has more to say splits it.
pub const BODY_MAX: usize = 1 << 20;

/// What a record is for: decides who may withhold it and what is asked for first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[repr(u8)]
pub enum Class {
    /// Rosters, certificates, keys: never withheld from members.
    Control = 0,
    /// Retractions: never withheld from members.
    Withdrawal = 1,
    /// Reports, sightings, notes: what policy decides about.
    Content = 2,
}

impl Class {
    fn from_byte(byte: u8) -> Result<Self, HeaderError> {
        match byte {
            0 => Ok(Self::Control),
            1 => Ok(Self::Withdrawal),
            2 => Ok(Self::Content),
            _ => Err(HeaderError::Field("class")),
        }
    }
}

/// A record's header. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// 0: unsealed.
    pub suite: u8,
    /// Fits `kind`.
    pub class: Class,
    /// Body kind, see [`crate::body::KINDS`].
    pub kind: u16,
    /// 0 not shown, 1 to 5 CLEAR to RED.
    pub tlp: u8,
    /// Exercise, personal data and PAP, as in [`crate::marking::Marking::flags`].
    pub flags: u16,
    /// The mesh that the record belongs to.
    pub mesh: MeshId,
    /// The node that wrote it.
    pub author: NodeKey,
    /// The one circle it is addressed to.
    pub circle: CircleId,
    /// When the author opened the log.
    pub epoch: u64,
    /// Place in the log, from 1.
    pub seq: u64,
    /// Id of the record before, zero at seq 1.
    pub prev: RecordId,
    /// When it was written; not falling in a log.
    pub time: u64,
    /// When it ends, 0 for never; otherwise not before `time`.
    pub expires: u64,
    /// Version of the circle's roster that the author knew.
    pub roster: u32,
    /// Signed and kept as it is; at most 256 bytes.
    pub extension: Vec<u8>,
    /// Bytes of the body, at most 1 MiB.
    pub body_len: u32,
    /// Hash of the body.
    pub body_hash: BodyHash,
}

/// Why bytes are not a header. Always the author's or the peer's fault.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HeaderError {
    /// Fewer bytes than a header has.
    #[error("header is cut short")]
    Short,
    /// A version that this node does not read: a newer node opened this log.
    #[error("header version {0} is newer than this node")]
    Version(u8),
    /// A field holds what the format does not allow.
    #[error("header field `{0}` is out of bounds")]
    Field(&'static str),
}

impl Header {
    /// The log that the record stands in.
    #[must_use]
    pub fn log(&self) -> LogKey {
        LogKey { mesh: self.mesh, author: self.author, circle: self.circle, epoch: self.epoch }
    }

    /// Appends the exact bytes that are hashed and signed.
    pub(crate) fn encode_into(&self, out: &mut Vec<u8>) {
        out.reserve(FIXED_LEN + self.extension.len());
        out.extend_from_slice(&[VERSION, self.suite, self.class as u8]);
        out.extend_from_slice(&self.kind.to_be_bytes());
        out.push(self.tlp);
        out.extend_from_slice(&self.flags.to_be_bytes());
        out.extend_from_slice(&self.mesh.0);
        out.extend_from_slice(&self.author.0);
        out.extend_from_slice(&self.circle.0);
        out.extend_from_slice(&self.epoch.to_be_bytes());
        out.extend_from_slice(&self.seq.to_be_bytes());
        out.extend_from_slice(&self.prev.0);
        out.extend_from_slice(&self.time.to_be_bytes());
        out.extend_from_slice(&self.expires.to_be_bytes());
        out.extend_from_slice(&self.roster.to_be_bytes());
        let extension_len = u16::try_from(self.extension.len()).expect("checked: at most 256 bytes");
        out.extend_from_slice(&extension_len.to_be_bytes());
        out.extend_from_slice(&self.extension);
        out.extend_from_slice(&self.body_len.to_be_bytes());
        out.extend_from_slice(&self.body_hash.0);
    }

    /// The exact bytes that are hashed and signed.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_into(&mut out);
        out
    }

    /// Reads a header that takes all of `bytes`.
    ///
    /// # Errors
    /// [`HeaderError`] for anything but one whole header.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let mut rest = Cursor(bytes);
        let [version] = rest.take()?;
        if version != VERSION {
            return Err(HeaderError::Version(version));
        }
        let [suite, class] = rest.take()?;
        let header = Self {
            suite,
            class: Class::from_byte(class)?,
            kind: u16::from_be_bytes(rest.take()?),
            tlp: u8::from_be_bytes(rest.take()?),
            flags: u16::from_be_bytes(rest.take()?),
            mesh: MeshId(rest.take()?),
            author: NodeKey(rest.take()?),
            circle: CircleId(rest.take()?),
            epoch: u64::from_be_bytes(rest.take()?),
            seq: u64::from_be_bytes(rest.take()?),
            prev: RecordId(rest.take()?),
            time: u64::from_be_bytes(rest.take()?),
            expires: u64::from_be_bytes(rest.take()?),
            roster: u32::from_be_bytes(rest.take()?),
            extension: {
                let len = usize::from(u16::from_be_bytes(rest.take()?));
                rest.slice(len)?.to_vec()
            },
            body_len: u32::from_be_bytes(rest.take()?),
            body_hash: BodyHash(rest.take()?),
        };
        if !rest.0.is_empty() {
            return Err(HeaderError::Field("length"));
        }
        header.check()?;
        Ok(header)
    }

    /// The bounds that every header keeps, wherever it came from.
    ///
    /// # Errors
    /// Names the first field that is out of bounds.
    pub fn check(&self) -> Result<(), HeaderError> {
        let field = |ok: bool, name| if ok { Ok(()) } else { Err(HeaderError::Field(name)) };
        field(self.tlp <= 5, "tlp")?;
        field(self.seq >= 1, "seq")?;
        field((self.seq == 1) == (self.prev == RecordId::ZERO), "prev")?;
        field(self.expires == 0 || self.expires >= self.time, "expires")?;
        field(self.extension.len() <= EXTENSION_MAX, "extension")?;
        field(self.body_len as usize <= BODY_MAX, "body length")?;
        let known = crate::body::class_of(self.kind);
        field(known.is_none_or(|class| class == self.class), "class")
    }

    /// The record's id: SHA-256 of a domain tag and the exact header bytes.
    #[must_use]
    pub fn id(&self) -> RecordId {
        self.id_with(&mut Vec::new())
    }

    /// As [`Self::id`], with a buffer that a caller keeps over many headers.
    #[must_use]
    pub(crate) fn id_with(&self, buffer: &mut Vec<u8>) -> RecordId {
        buffer.clear();
        self.encode_into(buffer);
        RecordId(id::hash(id::RECORD, &[buffer]))
    }

    /// What the next header of this log must follow.
    #[must_use]
    pub fn tip(&self, id: RecordId) -> Tip {
        Tip { seq: self.seq, id, time: self.time }
    }
}

/// The hash of body bytes as a header names it.
#[must_use]
pub fn body_hash(body: &[u8]) -> BodyHash {
    BodyHash(id::hash(id::BODY, &[body]))
}

struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], HeaderError> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or(HeaderError::Short)?;
        self.0 = tail;
        Ok(*head)
    }

    fn slice(&mut self, len: usize) -> Result<&'a [u8], HeaderError> {
        let (head, tail) = self.0.split_at_checked(len).ok_or(HeaderError::Short)?;
        self.0 = tail;
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Header {
        Header {
            suite: 0,
            class: Class::Content,
            kind: 32,
            tlp: 2,
            flags: 3,
            mesh: MeshId([1; 32]),
            author: NodeKey([2; 32]),
            circle: CircleId([3; 32]),
            epoch: 4,
            seq: 5,
            prev: RecordId([6; 32]),
            time: 7,
            expires: 8,
            roster: 9,
            extension: vec![10, 11],
            body_len: 12,
            body_hash: BodyHash([13; 32]),
        }
    }

    /// The form is signed: a change here breaks every mesh that exists.
    #[test]
    fn golden() {
        let header = sample();
        let bytes = header.encode();
        assert_eq!(bytes.len(), FIXED_LEN + 2);
        assert_eq!(bytes[..8], [1, 0, 2, 0, 32, 2, 0, 3]);
        assert_eq!(bytes[8], 1);
        assert_eq!(bytes[40], 2);
        assert_eq!(bytes[72], 3);
        assert_eq!(bytes[104..112], 4u64.to_be_bytes());
        assert_eq!(bytes[112..120], 5u64.to_be_bytes());
        assert_eq!(bytes[120], 6);
        assert_eq!(bytes[152..160], 7u64.to_be_bytes());
        assert_eq!(bytes[160..168], 8u64.to_be_bytes());
        assert_eq!(bytes[168..172], 9u32.to_be_bytes());
        assert_eq!(bytes[172..176], [0, 2, 10, 11]);
        assert_eq!(bytes[176..180], 12u32.to_be_bytes());
        assert_eq!(bytes[180..], [13; 32]);
        assert_eq!(
            header.id().to_string(),
            "8d0e6378a82e9a2f0120788d63e08bdb90738f21acf8d3af0678e57b76043833"
        );
    }

    #[test]
    fn reads_back_and_refuses_what_is_cut_or_longer() {
        let bytes = sample().encode();
        assert_eq!(Header::decode(&bytes), Ok(sample()));
        for len in 0..bytes.len() {
            assert!(Header::decode(&bytes[..len]).is_err(), "{len} bytes were taken for a header");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(Header::decode(&longer), Err(HeaderError::Field("length")));
        let mut newer = bytes;
        newer[0] = 2;
        assert_eq!(Header::decode(&newer), Err(HeaderError::Version(2)));
    }

    #[test]
    fn bounds() {
        let refuse = |change: fn(&mut Header), name| {
            let mut header = sample();
            change(&mut header);
            assert_eq!(header.check(), Err(HeaderError::Field(name)));
        };
        refuse(|h| h.tlp = 6, "tlp");
        refuse(|h| h.seq = 0, "seq");
        refuse(|h| h.seq = 1, "prev");
        refuse(|h| h.prev = RecordId::ZERO, "prev");
        refuse(|h| h.expires = 6, "expires");
        refuse(|h| h.body_len = (1 << 20) + 1, "body length");
        refuse(|h| h.class = Class::Control, "class");
        refuse(|h| h.extension = vec![0; 257], "extension");
    }
}
