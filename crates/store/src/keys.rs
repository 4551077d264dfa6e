//! The keys of the sorted map: mesh id, one byte for what it is, then numbers, big-endian, so that a log's pages lie
//! side by side in order.

use tocsin_record::MeshId;

use crate::outcome::LogNo;

/// What a key leads to. When pages are scanned at start, everything they need was read.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// What a partner's node acknowledged of some records of an own log; not read at start.
    Receipts = 0,
    /// Named values of other parts of the node.
    Meta = 1,
    /// An interned name of a rule.
    Rule = 2,
    /// An interned peer.
    Peer = 3,
    /// A log's key, org, base and standing.
    Log = 4,
    /// Proof that a log forked.
    Fork = 5,
    /// Judgements of a page that changed since it was written.
    Notes = 6,
    /// A body that came later than its header.
    Body = 7,
    /// A page.
    Page = 8,
    /// What a person said when deciding about a record; not opened at start.
    Remark = 9,
}

impl Kind {
    /// Those whose values rest under slots.
    pub const SEALED: [Self; 3] = [Self::Body, Self::Page, Self::Remark];
}

/// Makes the keys of one mesh.
#[derive(Clone, Debug)]
pub(crate) struct Keys(MeshId);

impl Keys {
    pub fn new(mesh: MeshId) -> Self {
        Self(mesh)
    }

    fn start(&self, kind: u8, room: usize) -> Vec<u8> {
        let mut key = Vec::with_capacity(33 + room);
        key.extend_from_slice(&self.0.0);
        key.push(kind);
        key
    }

    /// Key of something that belongs to a record or page.
    pub fn at(&self, kind: Kind, log: LogNo, seq: u64) -> Vec<u8> {
        let mut key = self.start(kind as u8, 12);
        key.extend_from_slice(&log.0.to_be_bytes());
        key.extend_from_slice(&seq.to_be_bytes());
        key
    }

    /// Key of something that belongs to a log.
    pub fn log(&self, kind: Kind, log: LogNo) -> Vec<u8> {
        let mut key = self.start(kind as u8, 4);
        key.extend_from_slice(&log.0.to_be_bytes());
        key
    }

    /// Key of a name's number.
    pub fn interned(&self, kind: Kind, number: u16) -> Vec<u8> {
        let mut key = self.start(kind as u8, 2);
        key.extend_from_slice(&number.to_be_bytes());
        key
    }

    /// Key of a named value.
    pub fn meta(&self, name: &str) -> Vec<u8> {
        let mut key = self.start(Kind::Meta as u8, name.len());
        key.extend_from_slice(name.as_bytes());
        key
    }

    /// All keys of one kind: from, to.
    pub fn all(&self, kind: Kind) -> (Vec<u8>, Vec<u8>) {
        (self.start(kind as u8, 0), self.start(kind as u8 + 1, 0))
    }

    /// Whether a key is of a kind.
    pub fn is_of(key: &[u8], kind: Kind) -> bool {
        key.get(32) == Some(&(kind as u8))
    }

    /// What stands behind mesh and kind.
    pub fn rest(key: &[u8]) -> &[u8] {
        key.get(33..).unwrap_or_default()
    }

    /// Log and sequence number of a key that `at` made.
    pub fn parse_at(key: &[u8]) -> Option<(LogNo, u64)> {
        let (log, seq) = Self::rest(key).split_first_chunk()?;
        Some((LogNo(u32::from_be_bytes(*log)), u64::from_be_bytes(<[u8; 8]>::try_from(seq).ok()?)))
    }
}
