//! Admission: the one door, and all that stands behind it. It alone owns the store: what is taken, judged, judged anew, written,
//! stopped by a fork and, by the clock, held and erased.
//!
//! It knows no link: who is told, and what else follows from a decision, is the mesh's matter.

pub(crate) mod admit;
mod again;
pub(crate) mod by_hand;
mod drafting;
pub(crate) mod fork;
pub mod judge;
mod late;
pub(crate) mod rejudge;
pub(crate) mod sealing;
#[cfg(test)]
mod tests;
pub(crate) mod waiting;
pub(crate) mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, RwLock};

use rand_chacha::ChaCha20Rng;
use tocsin_policy::{Decisions, Policy, RuleId};
use tocsin_record::document::{self, Signed};
use tocsin_record::keys::Secret;
use tocsin_record::{Bytes, LogKey, NodeKey, OrgId, codec};
use tocsin_store::{Fate, Kv, LogNo, Reader, RecordRef, Slots, Store, StoreError};

use crate::clock::{Alive, Clock, Kept, KeptBefore};
use crate::directory::Directory;
use crate::index::{Following, Index};
use crate::io::Now;
use admit::{number_of, rule};
use by_hand::is_decided_here;
use fork::Searches;
use rejudge::Rejudge;
use waiting::{HoldDefault, Waits};
use write::Writer;

/// The name of the rule under which a record stands that a person of this node decided about.
pub const BY_HAND: &str = admit::rule::BY_HAND;

/// Names of values that are kept in the store.
/// Named values of the store that one made of a snapshot must not have: with the sign of life of the machine that the snapshot
/// was taken of, this node would go on with logs whose ends it may not know.
pub const NOT_RESTORED: &[&str] = &[meta::ALIVE];

/// The same of one that is put on a machine whose clock a person vouches for: it believes that machine, as a new store does.
pub const NOT_RESTORED_WITH_CLOCK: &[&str] = &[meta::ALIVE, meta::CLOCK];

pub(crate) mod meta {
    /// All documents.
    pub const DOCUMENTS: &str = "documents";
    /// What is proposed for circles, and what people here agreed to.
    pub const PROPOSALS: &str = "proposals";
    /// Boot, wall and monotonic time of the last sign of life.
    pub const ALIVE: &str = "alive";
    /// Own logs of lower epochs than this do not go on.
    pub const GO_ON_FROM: &str = "go-on-from";
    /// What was known of the time then.
    pub const CLOCK: &str = "clock";
    /// Under which policy and documents everything was judged.
    pub const JUDGED: &str = "judged";
    /// Which changes were made on which day.
    pub const DAYS: &str = "days";
    /// What begins the names of those that say whom a key of this node was wrapped for.
    pub const GIVEN: &str = "given ";
}

/// Who this node is. Its secret is zeroised when dropped.
#[derive(Debug)]
pub struct Identity {
    /// Signs records, heads and receipts; its public key names the node.
    pub secret: Secret,
    /// The org that certified it.
    pub org: OrgId,
    /// The certificate, as handed to peers.
    pub certificate: Signed,
    /// Where keys and nonces of what is sealed come from: seeded with 256 bits from the machine, or, in tests and simulations, with
    /// what they say.
    pub random: ChaCha20Rng,
}

/// What a decision is made by, beside the policy: who is who, and the time.
#[derive(Clone, Copy)]
pub(crate) struct By<'a> {
    pub directory: &'a Directory,
    pub now: Now,
}

/// What is held, and what decides about it.
pub(crate) struct Admission<K, S> {
    pub identity: Identity,
    pub node: NodeKey,
    /// Names this boot of the machine.
    boot: [u8; 16],
    /// Written by admission alone; others read it by [`Self::store`].
    store: Store<K, S>,
    pub reader: Reader<K, S>,
    decisions: Decisions,
    index: Following,
    pub clock: Clock,
    pub rejudge: Rejudge,
    pub writer: Writer,
    /// Keys that are given to who came later.
    late: late::Late,
    pub searches: Searches,
    /// The store's numbers of the policy's rules.
    numbers: BTreeMap<RuleId, u16>,
    /// The number of the rule that holds what is newer than this node.
    newer: Option<u16>,
    /// The number of what holds a body whose key is not here.
    no_key: Option<u16>,
    /// The number of what holds a body that this node carries for others.
    carried: Option<u16>,
    /// The numbers of what people decided by hand, and the configuration by default, once they did.
    by_hand: BTreeSet<u16>,
    waits: Waits,
}

impl<K: Kv, S: Slots> Admission<K, S> {
    /// Opens the door over a store. `index` was filled while that was opened.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn open(
        identity: Identity,
        boot: [u8; 16],
        store: Store<K, S>,
        decisions: Decisions,
        index: Index,
        hold: HoldDefault,
        now: Now,
    ) -> Result<Self, StoreError> {
        let clock = Clock::open(boot, kept_clock(&store)?, now);
        let reader = store.reader();
        Ok(Self {
            by_hand: (0..=u16::MAX)
                .map_while(|number| Some((number, reader.rule(number)?)))
                .filter(|(_, name)| is_decided_here(name))
                .map(|(number, _)| number)
                .collect(),
            waits: Waits::open(&reader, hold, now)?,
            no_key: number_of(&reader, rule::NO_KEY),
            carried: number_of(&reader, rule::CARRIED),
            node: NodeKey(identity.secret.public()),
            identity,
            boot,
            reader,
            store,
            decisions,
            index: Following::new(index),
            clock,
            rejudge: Rejudge::default(),
            writer: Writer::default(),
            late: late::Late::default(),
            searches: Searches::default(),
            numbers: BTreeMap::new(),
            newer: None,
        })
    }
}

/// What others see of what admission owns, and what they may have it do.
impl<K: Kv, S: Slots> Admission<K, S> {
    /// What is held, staged changes included; to be read.
    pub fn store(&self) -> &Store<K, S> {
        &self.store
    }

    /// The decisions of the policy in force.
    pub fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// The index of what is committed, for readers on any thread.
    pub fn index(&self) -> Arc<RwLock<Index>> {
        self.index.shared()
    }

    /// Puts a policy in force. What was judged by the one before is to be judged anew.
    pub fn put_in_force(&mut self, policy: Arc<Policy>) {
        self.decisions.replace(policy);
    }

    /// Opens a log in the place of an empty one, or as one more.
    pub fn open_log(
        &mut self,
        key: &LogKey,
        org: OrgId,
        instead_of: Option<LogNo>,
    ) -> Result<LogNo, StoreError> {
        let Some(log) = instead_of else { return self.store.open_log(key, org) };
        self.searches.forget_log(log);
        self.store.rename_log(log, key, org)?;
        Ok(log)
    }

    /// Keeps all documents with the records, so that a start knows who is who.
    pub fn keep_documents(&mut self, directory: &Directory) -> Result<(), StoreError> {
        self.store.put_meta(meta::DOCUMENTS, Bytes::from(document::encode_all(&directory.all())))
    }

    /// Keeps what is proposed for circles, and what people here agreed to.
    pub fn keep_proposals(&mut self, proposals: Vec<u8>) -> Result<(), StoreError> {
        self.store.put_meta(meta::PROPOSALS, Bytes::from(proposals))
    }

    /// Keeps what a partner's node said, by a receipt of this time, of own records up to `last`, newest first. Returns how many
    /// rows of the store that took.
    pub fn acknowledge(
        &mut self,
        log: LogNo,
        node: &NodeKey,
        time: u64,
        last: u64,
        fates: &[(u32, Fate)],
    ) -> Result<usize, StoreError> {
        self.store.acknowledge(log, node, time, last, fates)
    }

    /// Erases what ended by the clock, so many records at most. True if there is more.
    pub fn expire(&mut self, now: Now, most: usize) -> Result<bool, StoreError> {
        match self.clock.erases_up_to(now) {
            Some(time) => Ok(self.store.expire(time, most)?.more),
            None => Ok(false),
        }
    }

    /// Makes everything staged durable, and brings the index up to it. Returns what was erased by it.
    pub fn commit(&mut self) -> Result<Vec<RecordRef>, StoreError> {
        let committed = self.store.commit()?;
        self.follow(&committed.left);
        Ok(committed.erased)
    }

    /// Store work that can wait for an idle moment. True if there may be more.
    pub fn idle(&mut self) -> Result<bool, StoreError> {
        self.store.idle()
    }
}

/// What was known of the time when this store was last written to.
fn kept_clock<K: Kv, S: Slots>(store: &Store<K, S>) -> Result<Option<Kept>, StoreError> {
    if let Some(bytes) = store.get_meta(meta::CLOCK)? {
        let before = || codec::decode::<KeptBefore, 256>(&bytes).ok().map(Kept::from);
        return Ok(codec::decode::<Kept, 256>(&bytes).ok().or_else(before));
    }
    let alive = store.get_meta(meta::ALIVE)?;
    Ok(alive.and_then(|bytes| codec::decode::<Alive, 256>(&bytes).ok()).map(|alive| alive.known()))
}
