//! What records hit: an in-memory index of observables.
//!
//! The index maps a 64-bit keyed fingerprint of an observable to postings, numbers that mean something to the
//! caller (where a record lies). It holds no observable itself, so it is small, and what leaks of it tells
//! nothing without the key. Two observables may share a fingerprint, once in about 2^64 pairs: the caller
//! verifies a hit against its record.
//!
//! ```text
//!   lookup(192.0.2.7)             exact, then each prefix length in use: 192.0.2.0/24, 192.0.0.0/16
//!   lookup(a.evil.example)        exact, then its parent domains
//!   lookup(http://192.0.2.7/x)    exact, then its parents and the networks of its host
//!          |
//!          +-- fingerprint --> shard --> up to CHAIN entries (fingerprint, posting) --> crowd, if there are more
//! ```
//!
//! Pure: no clock, no randomness; the key is given. Results come in an order that does not depend on
//! it: exact, networks from narrow to wide, parents from near to far, and postings rising.

mod lengths;
mod table;

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;
use tocsin_record::observable::{Breadth, Observable, ObservableRef, kind};

use lengths::Lengths;
use table::Table;

/// The secret under which fingerprints are made; 128 random bits, one for each node.
pub type Key = [u8; 16];

/// What the caller stores with an observable: where its record lies.
pub type Posting = u64;

/// The keyed fingerprint of an observable: SipHash-1-3 (Aumasson and Bernstein, 2012) over the type, big-endian,
/// and the canonical bytes.
#[must_use]
pub fn fingerprint(key: &Key, kind: u16, value: &[u8]) -> u64 {
    print(SipHasher13::new_with_key(key), ObservableRef { kind, value })
}

fn print(mut hasher: SipHasher13, what: ObservableRef<'_>) -> u64 {
    hasher.write(&what.kind.to_be_bytes());
    hasher.write(what.value);
    hasher.finish()
}

fn is_network(kind: u16) -> bool {
    matches!(kind, kind::IPV4_NET | kind::IPV6_NET)
}

/// What became of an insertion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inserted {
    /// It is in the index now.
    Added,
    /// This observable had this posting already.
    Present,
    /// It is too broad to be matched.
    Broad(Breadth),
    /// Its type is unknown or its value not canonical.
    Unreadable,
}

/// How an observable was found.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum How {
    /// The very observable is listed.
    Exact,
    /// A network that contains it is listed.
    Network,
    /// Its parent domain, host, domain, package or another form of the same URL is listed.
    Parent,
}

/// A listed observable under which the one that was looked up is found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hit {
    /// How the two belong together.
    pub how: How,
    /// The listed one.
    pub observable: Observable,
    /// Its postings, rising, at least one.
    pub postings: Vec<Posting>,
}

/// The index. Insertion and lookup take constant time, however many postings one observable has.
#[derive(Clone)]
pub struct Matcher {
    hasher: SipHasher13,
    /// Everything but networks.
    values: Table,
    /// Networks apart: they are few and each lookup of an address probes several, so they should stay in cache.
    networks: Table,
    v4: Lengths<4>,
    v6: Lengths<16>,
}

impl Matcher {
    /// An empty index under a key.
    #[must_use]
    pub fn new(key: &Key) -> Self {
        Self {
            hasher: SipHasher13::new_with_key(key),
            values: Table::new(),
            networks: Table::new(),
            v4: Lengths::new(kind::IPV4_NET),
            v6: Lengths::new(kind::IPV6_NET),
        }
    }

    /// Adds a posting to an observable. What is too broad, unknown or not canonical is never matched, so it is
    /// not taken.
    pub fn insert(&mut self, what: ObservableRef<'_>, posting: Posting) -> Inserted {
        let Some(row) = what.row() else {
            return Inserted::Unreadable;
        };
        match row.breadth_of(what.value) {
            Breadth::Fine => {}
            breadth => return Inserted::Broad(breadth),
        }
        let fingerprint = print(self.hasher, what);
        if !self.table_mut(what.kind).insert(fingerprint, posting) {
            return Inserted::Present;
        }
        self.v4.added(what);
        self.v6.added(what);
        Inserted::Added
    }

    /// Takes a posting from an observable; whether it was there.
    pub fn remove(&mut self, what: ObservableRef<'_>, posting: Posting) -> bool {
        let fingerprint = print(self.hasher, what);
        let removed = self.table_mut(what.kind).remove(fingerprint, posting);
        if removed {
            self.v4.removed(what);
            self.v6.removed(what);
        }
        removed
    }

    /// Everything listed under which `what` is found: itself, networks that contain it (an address or a narrower
    /// network), its parents ([`ObservableRef::visit_parents`]) and the networks of a URL's host.
    ///
    /// Allocates only for hits, and a few bytes for the parents of a URL.
    #[must_use]
    pub fn lookup(&self, what: ObservableRef<'_>) -> Vec<Hit> {
        let mut hits: Vec<Hit> = Vec::new();
        self.visit_keys(what, |how, listed| {
            let mut postings = self.table(listed.kind).get(print(self.hasher, listed));
            if !postings.is_empty() {
                postings.sort_unstable();
                hits.push(Hit { how, observable: listed.to_owned(), postings });
            }
            false
        });
        hits
    }

    /// Whether [`Matcher::lookup`] would find anything; never allocates but for URLs.
    #[must_use]
    pub fn knows(&self, what: ObservableRef<'_>) -> bool {
        self.visit_keys(what, |_, listed| self.table(listed.kind).contains(print(self.hasher, listed)))
    }

    /// Hands each observable under which `what` may be listed to `visit`, in the order of results, until it
    /// says that it is enough; whether it did.
    fn visit_keys(
        &self,
        what: ObservableRef<'_>,
        mut visit: impl FnMut(How, ObservableRef<'_>) -> bool,
    ) -> bool {
        if !what.is_canonical() {
            return false;
        }
        let mut found = visit(How::Exact, what) || self.visit_networks(what, &mut visit);
        what.visit_parents(|parent| {
            found = found || visit(How::Parent, parent) || self.visit_networks(parent, &mut visit);
        });
        found
    }

    fn visit_networks(
        &self,
        what: ObservableRef<'_>,
        visit: &mut impl FnMut(How, ObservableRef<'_>) -> bool,
    ) -> bool {
        let networks = &mut |network: ObservableRef<'_>| visit(How::Network, network);
        match what.kind {
            kind::IPV4 | kind::IPV4_NET => self.v4.visit(what.value, networks),
            kind::IPV6 | kind::IPV6_NET => self.v6.visit(what.value, networks),
            _ => false,
        }
    }

    fn table(&self, kind: u16) -> &Table {
        if is_network(kind) { &self.networks } else { &self.values }
    }

    fn table_mut(&mut self, kind: u16) -> &mut Table {
        if is_network(kind) { &mut self.networks } else { &mut self.values }
    }

    /// Number of postings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len() + self.networks.len()
    }

    /// Whether there are no postings.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that the index takes, to a few per cent.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.values.bytes() + self.networks.bytes()
    }

    /// Makes room for so many more postings, so that filling it does not grow it step by step.
    pub fn reserve(&mut self, postings: usize) {
        self.values.reserve(postings);
    }
}

/// Neither key nor fingerprints.
impl std::fmt::Debug for Matcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Matcher").field("len", &self.len()).finish_non_exhaustive()
    }
}
