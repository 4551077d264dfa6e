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
//! it: exact, networks from narrow to wide, parents from near to far, and postings falling.

mod lengths;

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;
use tocsin_record::observable::{Breadth, Observable, ObservableRef, kind};

use tocsin_postings::{Batch, Table};

use lengths::Lengths;

/// The secret under which fingerprints are made; 128 random bits, one for each node.
pub type Key = [u8; 16];

pub use tocsin_postings::Posting;

/// The keyed fingerprint of an observable: SipHash-1-3 (Aumasson and Bernstein, 2012) over the type, big-endian,
/// and the canonical bytes.
#[must_use]
pub fn fingerprint(key: &Key, kind: u16, value: &[u8]) -> u64 {
    hashed(SipHasher13::new_with_key(key), ObservableRef { kind, value })
}

fn hashed(mut hasher: SipHasher13, what: ObservableRef<'_>) -> u64 {
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
    /// The listed one, which has at least one posting: see [`Matcher::postings`].
    pub observable: Observable,
}

/// The index. An insertion takes constant time, a lookup none that grows with what is listed.
#[derive(Clone)]
pub struct Matcher {
    printer: Printer,
    /// Everything but networks.
    values: Table,
    /// Networks apart: they are few and each lookup of an address probes several, so they should stay in cache.
    networks: Table,
    v4: Lengths<4>,
    v6: Lengths<16>,
    /// Empty but for the time of one call, or of a [`Loader`].
    batch: Batch,
}

/// Makes [`Print`]s under an index's key, apart from the index.
#[derive(Clone, Copy)]
pub struct Printer(SipHasher13);

/// What an index keeps of an observable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Print {
    fingerprint: u64,
    network: Option<Network>,
}

/// Family and prefix length of a network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Network {
    kind: u16,
    prefix: u8,
}

/// A change of an index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// An observable has a posting.
    Add(Print, Posting),
    /// It has it no longer.
    Remove(Print, Posting),
}

impl Printer {
    /// What the index is to keep, if it is to match the observable.
    ///
    /// # Errors
    /// Why it never does: it is too broad, or its type unknown.
    pub fn print(&self, what: ObservableRef<'_>) -> Result<Print, Inserted> {
        let row = what.row().ok_or(Inserted::Unreadable)?;
        match row.breadth_of(what.value) {
            Breadth::Fine => {}
            breadth => return Err(Inserted::Broad(breadth)),
        }
        Ok(self.print_of(what))
    }

    /// As [`Self::print`], also of what is no observable of a known type: for what is found by [`Matcher::postings`] alone.
    #[must_use]
    pub fn print_of(&self, what: ObservableRef<'_>) -> Print {
        let prefix = what.value.last().filter(|_| is_network(what.kind));
        let network = prefix.map(|prefix| Network { kind: what.kind, prefix: *prefix });
        Print { fingerprint: hashed(self.0, what), network }
    }
}

impl Matcher {
    /// An empty index under a key.
    #[must_use]
    pub fn new(key: &Key) -> Self {
        Self {
            printer: Printer(SipHasher13::new_with_key(key)),
            values: Table::default(),
            networks: Table::default(),
            v4: Lengths::new(kind::IPV4_NET),
            v6: Lengths::new(kind::IPV6_NET),
            batch: Batch::default(),
        }
    }

    /// What makes prints for this index.
    #[must_use]
    pub fn printer(&self) -> Printer {
        self.printer
    }

    /// Adds a posting to an observable. What is too broad, unknown or not canonical is never matched, so it is
    /// not taken.
    pub fn insert(&mut self, what: ObservableRef<'_>, posting: Posting) -> Inserted {
        match self.printer.print(what) {
            Ok(print) if self.add(print, posting) => Inserted::Added,
            Ok(_) => Inserted::Present,
            Err(not) => not,
        }
    }

    /// Takes a posting from an observable; whether it was there.
    pub fn remove(&mut self, what: ObservableRef<'_>, posting: Posting) -> bool {
        self.printer.print(what).is_ok_and(|print| self.take_away(print, posting))
    }

    /// Makes changes, in order. Many at once cost less than one by one.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            match change {
                Change::Add(print, posting) => self.add_soon(print, posting),
                Change::Remove(print, posting) => {
                    self.values.take(&mut self.batch);
                    self.take_away(print, posting);
                }
            }
        }
        self.values.take(&mut self.batch);
    }

    /// Adds a value with the batch, a network at once: their lengths are counted.
    fn add_soon(&mut self, print: Print, posting: Posting) {
        if print.network.is_some() {
            self.add(print, posting);
            return;
        }
        self.batch.push(print.fingerprint, posting);
        if self.batch.is_full() {
            self.values.take(&mut self.batch);
        }
    }

    fn add(&mut self, print: Print, posting: Posting) -> bool {
        let Some(Network { kind, prefix }) = print.network else {
            return self.values.insert(print.fingerprint, posting);
        };
        let new = self.networks.insert(print.fingerprint, posting);
        if new {
            self.v4.added(kind, prefix);
            self.v6.added(kind, prefix);
        }
        new
    }

    fn take_away(&mut self, print: Print, posting: Posting) -> bool {
        let Some(Network { kind, prefix }) = print.network else {
            return self.values.remove(print.fingerprint, posting);
        };
        let removed = self.networks.remove(print.fingerprint, posting);
        if removed {
            self.v4.removed(kind, prefix);
            self.v6.removed(kind, prefix);
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
            if self.table(listed.kind).contains(hashed(self.printer.0, listed)) {
                hits.push(Hit { how, observable: listed.to_owned() });
            }
            false
        });
        hits
    }

    /// The greatest `limit` postings of a listed observable that are not above `last`, falling. Takes as long as there are
    /// postings to be told: of a popular value they are read page by page, by whoever keeps writers waiting meanwhile.
    #[must_use]
    pub fn postings(&self, listed: ObservableRef<'_>, last: Posting, limit: usize) -> Vec<Posting> {
        self.table(listed.kind).up_to(hashed(self.printer.0, listed), last, limit)
    }

    /// Whether [`Matcher::lookup`] would find anything; never allocates but for URLs.
    #[must_use]
    pub fn knows(&self, what: ObservableRef<'_>) -> bool {
        self.visit_keys(what, |_, listed| self.table(listed.kind).contains(hashed(self.printer.0, listed)))
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
}

/// Fills an index with much at once. What was added is found when the loader is dropped.
pub struct Loader<'a>(&'a mut Matcher);

impl<'a> Loader<'a> {
    /// Adds to an index.
    #[must_use]
    pub fn new(index: &'a mut Matcher) -> Self {
        Self(index)
    }

    /// As [`Matcher::insert`].
    pub fn insert(&mut self, what: ObservableRef<'_>, posting: Posting) {
        if let Ok(print) = self.0.printer.print(what) {
            self.0.add_soon(print, posting);
        }
    }

    /// As [`Self::insert`], of what [`Printer::print_of`] is for.
    pub fn insert_any(&mut self, what: ObservableRef<'_>, posting: Posting) {
        let print = self.0.printer.print_of(what);
        self.0.add_soon(print, posting);
    }
}

impl Drop for Loader<'_> {
    fn drop(&mut self) {
        self.0.values.take(&mut self.0.batch);
        // What it grew to is for one start.
        self.0.batch = Batch::default();
    }
}

/// Without the key.
impl std::fmt::Debug for Printer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Printer").finish_non_exhaustive()
    }
}

/// Neither key nor fingerprints.
impl std::fmt::Debug for Matcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Matcher").field("len", &self.len()).finish_non_exhaustive()
    }
}
