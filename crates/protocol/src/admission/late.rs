//! Keys for who comes later.
//!
//! What an author seals it seals to the nodes that it knows at that moment. A node whose certificate reaches it later, of an org that
//! was in by then, is given the keys as soon as it is known; an org that comes in later reads what was written before only if a
//! member says so. Both are records: everybody in the circle sees who gave what to whom.

use std::collections::BTreeMap;

use tocsin_record::body::{Body, REWRAP, Rewrap};
use tocsin_record::{CircleId, Entry, Header, LogKey, NodeKey, OrgId, RecordId, codec, planted};
use tocsin_seal::{Cover, DAY_MS, DAYS, NODES_MAX, SealingPublic};
use tocsin_store::{Kv, RecordRef, Slots, StoreError};

use crate::admission::write::{Asker, Queued};
use crate::admission::{Admission, By, meta};
use crate::io::{RequestError, Ticket};

/// Own keys that are wrapped once more at one time: each takes some 2 ms. The others follow with the next second.
const LATE_MAX: usize = 16;
/// Keys of the past that one request opens: 10 MB of records, and some two seconds.
const OPENED_MAX: usize = 1024;
/// Wraps that are tried of such a record, at some 180 us each: those for few nodes, which nearly all are, and padding.
const TRIES: usize = 16;

/// Whom a key of this node was wrapped for.
#[derive(Debug, bincode::Encode, bincode::Decode)]
struct Given {
    /// The version of the roster by which it was wrapped.
    roster: u32,
    nodes: Vec<[u8; 32]>,
}

/// What [`Given`] may take in memory, in bytes.
const GIVEN_MAX: usize = 4 * NODES_MAX * 32 + 64;

/// What is under way.
#[derive(Debug, Default)]
pub(crate) struct Late {
    /// All documents by which nobody was found who lacks a key.
    looked: Option<[u8; 32]>,
    /// Whom keys are wrapped for by what waits to be written, by the id of the key record.
    queued: BTreeMap<RecordId, (RecordRef, Vec<NodeKey>)>,
}

impl Late {
    /// Whether a key is about to be written once more.
    fn waits(&self, place: RecordRef) -> bool {
        self.queued.values().any(|(queued, _)| *queued == place)
    }
}

impl<K: Kv, S: Slots> Admission<K, S> {
    /// A key record of this node is about to be staged.
    pub(super) fn gave_key(
        &mut self,
        by: &By<'_>,
        place: RecordRef,
        header: &Header,
    ) -> Result<(), StoreError> {
        let nodes = by.directory.sealed_to(header.circle).into_keys().collect();
        self.keep_given(place, header.roster, nodes)
    }

    /// A record that wraps one of its keys once more is.
    pub(super) fn gave_again(&mut self, again: &Rewrap) -> Result<(), StoreError> {
        let Some((place, more)) = self.late.queued.remove(&again.key) else { return Ok(()) };
        let Some(given) = self.given(place)? else { return Ok(()) };
        let nodes = given.nodes.into_iter().map(NodeKey).chain(more).take(4 * NODES_MAX).collect();
        self.keep_given(place, given.roster, nodes)
    }

    fn keep_given(&mut self, place: RecordRef, roster: u32, nodes: Vec<NodeKey>) -> Result<(), StoreError> {
        let given = Given { roster, nodes: nodes.into_iter().map(|node| node.0).collect() };
        self.store.put_meta(&place.name(meta::GIVEN), codec::encode(&given).into())
    }

    fn given(&self, place: RecordRef) -> Result<Option<Given>, StoreError> {
        let kept = self.store.get_meta(&place.name(meta::GIVEN))?;
        Ok(kept.and_then(|bytes| codec::decode::<Given, GIVEN_MAX>(&bytes).ok()))
    }

    /// What was to be written was not: it is looked for again.
    pub(crate) fn look_for_late(&mut self) {
        self.late = Late::default();
    }

    /// Queues this node's keys for nodes that came to be known after those were wrapped, of orgs that were in by then.
    ///
    /// # Errors
    /// On a disk fault.
    pub(crate) fn give_late(&mut self, by: &By<'_>) -> Result<(), StoreError> {
        let documents = by.directory.digest();
        if self.late.looked == Some(documents) || !self.clock.reading().is_trusted() {
            return Ok(());
        }
        let mut most = LATE_MAX;
        // Their keys are read once a circle.
        let mut nodes_of: BTreeMap<CircleId, BTreeMap<NodeKey, SealingPublic>> = BTreeMap::new();
        for (name, value) in self.store.named(meta::GIVEN)? {
            let (Some(place), Ok(given)) =
                (RecordRef::of_name(&name, meta::GIVEN), codec::decode::<Given, GIVEN_MAX>(&value))
            else {
                continue;
            };
            let Some(LogKey { circle, .. }) = self.store.key(place.log) else { continue };
            let members = by.directory.membership(circle);
            if !members.has(self.identity.org) || self.late.waits(place) {
                continue;
            }
            let wrapped = self.store.entry(place)?.map_or(0, |entry| entry.header.time);
            let all = nodes_of.entry(circle).or_insert_with(|| by.directory.sealed_to(circle));
            let lacks = |node: &NodeKey| {
                let org = by.directory.org_of(*node);
                // Who was out of the mesh meanwhile is given by hand what was not wrapped for it, or not at all.
                let was_out = |org| by.directory.returned(org).is_some_and(|back| wrapped < back);
                let was_in = |org| {
                    let had = members.had(org, given.roster) || planted::is(planted::Bug::OpenHistory);
                    had && !was_out(org)
                };
                org.is_some_and(was_in) && !given.nodes.contains(&node.0)
            };
            let nodes: BTreeMap<NodeKey, SealingPublic> =
                all.iter().filter(|(node, _)| lacks(node)).map(|(node, key)| (*node, key.clone())).collect();
            if nodes.is_empty() {
                continue;
            }
            if most == 0 {
                return Ok(());
            }
            most -= 1;
            let Some(again) = self.rewrap(place, &nodes)? else { continue };
            let key = again.key;
            match self.drafts(by, circle, &[Body::Rewrap(again)]) {
                Ok(drafts) => {
                    self.late.queued.insert(key, (place, nodes.into_keys().collect()));
                    self.queue(Queued { asker: Asker::Again(place), circle, drafts });
                }
                // More waits than can be written at once: the next second looks again.
                Err(_) => return Ok(()),
            }
        }
        self.late.looked = Some(documents);
        Ok(())
    }

    fn rewrap(
        &mut self,
        place: RecordRef,
        nodes: &BTreeMap<NodeKey, SealingPublic>,
    ) -> Result<Option<Rewrap>, StoreError> {
        // Who has lost the sealing key that opens it can give it to nobody.
        Ok(self.store.wrap_again(place, nodes, &mut self.identity.random)?.and_then(Result::ok))
    }

    /// Queues, for an org that is in, the keys of all that was written to a circle since a time and opens here.
    ///
    /// # Errors
    /// On a disk fault; within, why nothing is given.
    pub(crate) fn open_history(
        &mut self,
        by: &By<'_>,
        ticket: Ticket,
        circle: CircleId,
        org: OrgId,
        since: u64,
    ) -> Result<Result<(), RequestError>, StoreError> {
        let refused = |why: &str| Ok(Err(RequestError::Circle(why.into())));
        let members = by.directory.membership(circle);
        if !members.has(self.identity.org) || members.roster().is_none() {
            return Ok(Err(RequestError::NotMember(circle)));
        }
        if !members.has(org) {
            return refused(
                "that org is not in the circle: what was written before is opened to who came in",
            );
        }
        let mut nodes = by.directory.sealed_to(circle);
        nodes.retain(|node, _| by.directory.org_of(*node) == Some(org));
        if nodes.is_empty() {
            return refused(
                "no node of that org with a sealing key is known here yet: ask again when one was met",
            );
        }
        let mut keys = Vec::new();
        for place in self.store.opening()? {
            if self.store.key(place.log).is_none_or(|log| log.circle != circle) {
                continue;
            }
            let Some(Entry { header, .. }) = self.store.entry(place)? else { continue };
            let is_old = header.time.saturating_add(u64::from(DAYS) * DAY_MS) < since;
            if !is_old && !members.had(org, header.roster) {
                keys.push(place);
            }
        }
        if keys.is_empty() {
            return refused(
                "nothing that opens here was written to the circle before that org came in, since that time",
            );
        }
        if keys.len() > OPENED_MAX {
            return refused("more than 1,024 keys would have to be given at once: choose a later time");
        }
        let mut bodies = Vec::with_capacity(keys.len());
        for place in keys {
            bodies.extend(self.rewrap(place, &nodes)?.map(Body::Rewrap));
        }
        let drafts = match self.drafts(by, circle, &bodies) {
            Ok(drafts) => drafts,
            Err(error) => return Ok(Err(error)),
        };
        self.queue(Queued { asker: Asker::People(ticket), circle, drafts });
        Ok(Ok(()))
    }

    /// Takes this node's wrap, if there is one, of a key that another record wraps once more, and looks anew at what it opens.
    pub(super) fn learn_again(
        &mut self,
        by: &By<'_>,
        entry: &Entry,
        again: Rewrap,
    ) -> Result<(), StoreError> {
        let circle = entry.header.circle;
        let members = by.directory.membership(circle);
        if !members.has(self.identity.org) {
            return Ok(());
        }
        let Some(place) = self.key_record(circle, &again.key)? else { return Ok(()) };
        // It stands among those of few nodes, whose number is not known.
        if !self.store.learn_again(place, again, 0, TRIES)? {
            return Ok(());
        }
        let Some(Entry { header, .. }) = self.store.entry(place)? else { return Ok(()) };
        if members.had(self.identity.org, header.roster) {
            self.rejudge.walk_held();
        } else {
            // What was written before this org came in was not asked for.
            self.rejudge_all(by.directory);
        }
        Ok(())
    }

    /// Where the key record of a circle stands that has this id.
    pub(super) fn key_record(
        &self,
        circle: CircleId,
        id: &RecordId,
    ) -> Result<Option<RecordRef>, StoreError> {
        let place = self.store.find(id)?;
        Ok(place.filter(|place| self.store.key(place.log).is_some_and(|log| log.circle == circle)))
    }

    /// Whether a record was sealed before this org came in, by a key that nobody gave it since.
    pub(super) fn is_before_joining(&self, by: &By<'_>, header: &Header) -> Result<bool, StoreError> {
        let members = by.directory.membership(header.circle);
        let own = self.identity.org;
        if header.suite == 0 || !members.has(own) || members.had(own, header.roster) {
            return Ok(false);
        }
        // A roster that is not here may say that it was in.
        if header.roster > members.version() {
            return Ok(false);
        }
        let (Ok(cover), Some(log)) = (Cover::of(header), self.store.log_no(&header.log())) else {
            return Ok(false);
        };
        Ok(!self.store.opens_by(RecordRef { log, seq: cover.key })?)
    }
}

/// Whether a record holds wraps of a key that came before.
pub(super) fn is_rewrap(header: &Header) -> bool {
    header.suite == 0 && header.kind == REWRAP
}
