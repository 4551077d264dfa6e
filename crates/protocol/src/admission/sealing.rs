//! Sealing, at the two ends of the door: what comes in is opened before anybody decides about it, and what is written to a circle
//! with a roster is sealed when it is signed. Nothing between them sees ciphertext but what passes it on.
//!
//! ```text
//! Verified --open_run--> Entry::plain --> decide ...      a key among it is learnt first; without one it is held, and carried
//! Draft --> judged as its readers will --> sign, sealed   behind a key record of its own where the members' nodes changed
//! ```

use tocsin_record::body::{Body, KEY, WrappedKey};
use tocsin_record::document::Roster;
use tocsin_record::run::{Draft, DraftError};
use tocsin_record::{CircleId, DocHash, Entry, LogKey, Part, Plain, Tip, Verified, id};
use tocsin_seal::{KeyId, KeyPlace, NODES_MAX, OpenError, wrap};
use tocsin_store::{Kv, LogNo, RecordRef, Slots, StoreError};

use crate::admission::judge::suite_of;
use crate::admission::late::is_rewrap;
use crate::admission::{Admission, By};
use crate::io::RequestError;

/// Wraps of a key that are tried: this node's own stands where the roster and the certificates say, or beside it where its author
/// knew others of them. Each costs some 180 us.
const TRIES: usize = 16;

/// Why a sealed body that is here does not open.
pub(crate) enum Shut {
    /// What opens it is not here.
    NoKey(Option<KeyId>),
    /// Its author's fault, for good.
    Broken,
    /// It is of a suite that this node does not know.
    Newer,
}

/// The key by which this node seals what it writes to a circle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Current {
    id: KeyId,
    log: LogKey,
    /// When its period began, in ms.
    since: u64,
    /// Whom it was wrapped for, with the roster that says so.
    wrapped_for: [u8; 32],
    /// All documents by which that was last looked at: while they are the same, so is who is in.
    documents: [u8; 32],
}

impl Current {
    fn goes_on(&self, log: &LogKey, time: u64) -> bool {
        let period = u64::from(tocsin_seal::DAYS) * tocsin_seal::DAY_MS;
        self.log == *log && time.checked_sub(self.since).is_some_and(|age| age < period)
    }
}

impl<K: Kv, S: Slots> Admission<K, S> {
    /// Opens what is sealed of a run that is about to be judged, as far as it opens here.
    ///
    /// # Errors
    /// On a disk fault.
    pub(crate) fn open_run(&mut self, by: &By<'_>, log: LogNo, run: &mut Verified) -> Result<(), StoreError> {
        run.open(|entry| self.open_entry(by, log, entry))
    }

    /// Opens one record of a log. A key that was wrapped for this node is learnt.
    ///
    /// # Errors
    /// On a disk fault.
    pub(crate) fn open_entry(
        &mut self,
        by: &By<'_>,
        log: LogNo,
        entry: &Entry,
    ) -> Result<Option<Plain>, StoreError> {
        let Part::Here(body) = &entry.body else { return Ok(None) };
        if entry.header.suite != 0 {
            return self.store.open_body(log, &entry.header, body);
        }
        if entry.header.kind == KEY
            && let Some(Ok(Body::Key(key))) = Body::of(entry)
        {
            self.learn(by, RecordRef { log, seq: entry.header.seq }, entry, &key)?;
        }
        if is_rewrap(&entry.header)
            && let Some(Ok(Body::Rewrap(again))) = Body::of(entry)
        {
            self.learn_again(by, entry, again)?;
        }
        Ok(None)
    }

    fn learn(
        &mut self,
        by: &By<'_>,
        place: RecordRef,
        entry: &Entry,
        key: &WrappedKey,
    ) -> Result<(), StoreError> {
        let circle = entry.header.circle;
        if !by.directory.membership(circle).has(self.identity.org) {
            return Ok(());
        }
        let near = by.directory.sealed_before(circle, self.node);
        if self.store.learn_key(place, &entry.header, key, near, TRIES)?.is_ok() {
            self.rejudge.key_came(&KeyPlace::of(&entry.header, key).id());
        }
        Ok(())
    }

    /// Learns the keys among what this node wrote itself, so that it opens its own records after a start as well, and keeps whom
    /// they were given to.
    ///
    /// # Errors
    /// On a disk fault.
    pub(crate) fn learn_own(&mut self, by: &By<'_>, log: LogNo, run: &Verified) -> Result<(), StoreError> {
        for entry in run.entries() {
            if entry.header.kind == KEY {
                self.open_entry(by, log, entry)?;
                self.gave_key(by, RecordRef { log, seq: entry.header.seq }, &entry.header)?;
            } else if is_rewrap(&entry.header)
                && let Some(Ok(Body::Rewrap(again))) = Body::of(entry)
            {
                self.gave_again(&again)?;
            }
        }
        Ok(())
    }

    /// Why the body of a record that is here was not opened.
    pub(crate) fn shut(&self, entry: &Entry) -> Shut {
        let Part::Here(body) = &entry.body else { return Shut::NoKey(None) };
        match self.store.opener().open(&entry.header, body) {
            Err(OpenError::Suite(_)) => Shut::Newer,
            Err(OpenError::Broken(_)) => Shut::Broken,
            Err(OpenError::NoKey(id)) => Shut::NoKey(Some(id)),
            Ok(_) | Err(OpenError::Destroyed { .. } | OpenError::Unsealed) => Shut::NoKey(None),
        }
    }

    /// Whether what this node writes to a circle is sealed.
    pub(crate) fn seals(by: &By<'_>, circle: CircleId) -> bool {
        suite_of(by.directory, circle) != 0
    }

    /// The key by which records behind `tip` are sealed, with the run that holds its key record where a new one is needed:
    /// the log, the members, their nodes or the period are others than those of the one before.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn key_for(
        &mut self,
        by: &By<'_>,
        log: LogKey,
        tip: Tip,
    ) -> Result<(KeyId, Option<Verified>), RequestError> {
        let circle = log.circle;
        let time = by.now.wall.max(tip.time);
        let documents = by.directory.digest();
        let current = self.writer.keys.get(&circle).filter(|current| current.goes_on(&log, time)).copied();
        if let Some(current) = current.filter(|current| current.documents == documents) {
            return Ok((current.id, None));
        }
        let refused = |error: &dyn std::error::Error| RequestError::Draft(error.to_string());
        let nodes = by.directory.sealed_to(circle);
        if nodes.len() > NODES_MAX {
            return Err(refused(&tocsin_seal::WrapError::TooMany(nodes.len())));
        }
        let members = by.directory.membership(circle);
        let Some((roster, roster_hash)) = members.roster().zip(members.newest_hash()) else {
            return Err(RequestError::NotMember(circle));
        };
        let wrapped_for = wrapped_for(roster_hash, &nodes);
        if let Some(current) = current.filter(|current| current.wrapped_for == wrapped_for) {
            self.writer.keys.insert(circle, Current { documents, ..current });
            return Ok((current.id, None));
        }
        let Roster { version: roster, .. } = *roster;
        let place = KeyPlace { log, seq: tip.seq + 1, time, roster, roster_hash };
        let (key, body) = wrap(&place, &nodes, &mut self.identity.random).map_err(|error| refused(&error))?;
        let draft = Draft {
            kind: KEY,
            tlp: 0,
            flags: 0,
            time,
            expires: 0,
            roster,
            extension: Vec::new(),
            body: body.encode().into(),
        };
        let run =
            Verified::sign(&self.identity.secret, log, tip, vec![draft]).map_err(|error| refused(&error))?;
        let id = key.id();
        self.store.opener().keep(key);
        self.writer.keys.insert(circle, Current { id, log, since: time, wrapped_for, documents });
        Ok((id, Some(run)))
    }

    /// Signs drafts behind a tip, sealed by a key.
    ///
    /// # Errors
    /// [`DraftError`]; nothing was signed then.
    pub(crate) fn sign_sealed(
        &mut self,
        log: LogKey,
        tip: Tip,
        drafts: Vec<Draft>,
        by: &KeyId,
    ) -> Result<Verified, DraftError> {
        let (opener, identity) = (self.store.opener(), &mut self.identity);
        let random = &mut identity.random;
        Verified::sign_with(&identity.secret, log, tip, drafts, &mut |header, body| {
            // A retraction holds ids alone, and reaches those who read before and read no longer.
            if header.class != tocsin_record::Class::Content {
                return Ok(None);
            }
            opener
                .seal(by, header, body, random)
                .map(Some)
                .map_err(|error| DraftError::Seal(error.to_string()))
        })
    }
}

/// One hash over a roster and the nodes that a key is wrapped for by it.
fn wrapped_for(
    roster: DocHash,
    nodes: &std::collections::BTreeMap<tocsin_record::NodeKey, tocsin_seal::SealingPublic>,
) -> [u8; 32] {
    let all: Vec<u8> =
        nodes.iter().flat_map(|(node, key)| [node.0.to_vec(), key.to_bytes()].concat()).collect();
    id::hash(id::DOCUMENT, &[b"wrapped for", &roster.0, &all])
}
