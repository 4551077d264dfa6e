//! What the next version of a roster is, if a change is made.

use std::collections::BTreeSet;

use tocsin_record::document::{Carry, Cut, Document as _, Roster};
use tocsin_record::{CircleId, DocHash, OrgId};

use super::{Directory, OpenProposal, ProposalKey};
use crate::message::Change;

/// Why a change cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The circle is not known here.
    #[error("this org is in no such circle; `tocsin circle list` lists those it is in")]
    Unknown,
    /// The org is in, or has the part in it, already.
    #[error("{0} is in it already")]
    In(String),
    /// The roster names the org, which was out of the mesh since.
    #[error(
        "{0} was taken out of the mesh since it came in, and so is out: take it out of the circle as well, `tocsin circle \
         remove NAME ORG`, and invite it anew"
    )]
    Returned(String),
    /// The org is not in.
    #[error("{0} is not in it, nor invited; `tocsin circle show NAME` lists who is")]
    Out(String),
    /// The org is not in the mesh.
    #[error("no org of the mesh has the key {0}; `tocsin mesh show` lists them")]
    NoOrg(OrgId),
    /// Nobody of the org can agree.
    #[error("{0} has no node in the mesh that can agree for it: it has to join first")]
    NoNode(String),
    /// It names carriers in a circle that has none.
    #[error("its members carry: only a circle that was created with --carry named has carriers")]
    NoCarriers,
    /// Nobody could change it any more.
    #[error(
        "it is the only steward of the circle, which nobody could change without it: take the others out instead, \
         `tocsin circle remove NAME ORG`"
    )]
    LastSteward,
    /// The roster takes no more.
    #[error("the circle has no room for it: `{0}` is out of bounds")]
    Bounds(&'static str),
}

/// What a change needs beside the version before it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    /// The circle's name from then on; as it is if none.
    pub name: Option<String>,
    /// Where the logs of those who are out are cut.
    pub cuts: Vec<Cut>,
    /// When it was written, in ms.
    pub time: u64,
}

impl Directory {
    /// The version after the newest of a circle with a change made.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub(crate) fn next_roster(
        &self,
        circle: CircleId,
        change: Change,
        given: Given,
    ) -> Result<Roster, ChangeError> {
        let members = self.membership(circle);
        let (Some(base), Some(prev)) = (members.roster(), members.newest_hash()) else {
            return Err(ChangeError::Unknown);
        };
        if let Some(org) = change.adds().filter(|org| members.is_from_before(*org)) {
            return Err(ChangeError::Returned(self.name_of(org)));
        }
        self.changed(base, prev, change, given)
    }

    fn changed(
        &self,
        base: &Roster,
        prev: DocHash,
        change: Change,
        given: Given,
    ) -> Result<Roster, ChangeError> {
        let mut next = Roster {
            version: base.version + 1,
            prev,
            time: given.time.max(base.time),
            cuts: given.cuts,
            ..base.clone()
        };
        if let Some(name) = given.name {
            next.name = name;
        }
        let named = |org: OrgId| self.name_of(org);
        if let Some(org) = change.adds() {
            self.can_come_in(org, base.carry, change)?;
        }
        match change {
            Change::Member(org) if base.has(org) => return Err(ChangeError::In(named(org))),
            Change::Member(org) => come_in(&mut next, org),
            Change::Steward(org) => {
                let key = self.steward_key(org).ok_or_else(|| ChangeError::NoNode(named(org)))?;
                let known = self.stewards();
                if base.stewards.iter().any(|key| known.get(key).is_some_and(|known| known.org == org)) {
                    return Err(ChangeError::In(named(org)));
                }
                if !base.has(org) {
                    come_in(&mut next, org);
                }
                insert(&mut next.stewards, key);
            }
            Change::Carrier(org) if base.carries(org) => return Err(ChangeError::In(named(org))),
            Change::Carrier(org) => insert(&mut next.carriers, org),
            Change::Remove(org) | Change::Leave(org) => {
                if !base.carries(org) {
                    return Err(ChangeError::Out(named(org)));
                }
                let known = self.stewards();
                let of_org: BTreeSet<[u8; 32]> =
                    known.iter().filter(|(_, known)| known.org == org).map(|(key, _)| *key).collect();
                next.orgs.retain(|other| *other != org);
                next.carriers.retain(|other| *other != org);
                // Whose certificates went with its org is certified by nobody.
                let is_gone = |key: &[u8; 32]| self.org(org).is_none() && !known.contains_key(key);
                next.stewards.retain(|key| !of_org.contains(key) && !is_gone(key));
                if next.stewards.is_empty() {
                    return Err(ChangeError::LastSteward);
                }
            }
            Change::Rename => {}
        }
        next.check().map_err(ChangeError::Bounds)?;
        Ok(next)
    }

    /// Whether an org could be brought into a circle of this node's that is carried so.
    pub(crate) fn can_come_in(&self, org: OrgId, carry: Carry, change: Change) -> Result<(), ChangeError> {
        let Some(entry) = self.org(org) else { return Err(ChangeError::NoOrg(org)) };
        if self.steward_key(org).is_none() {
            return Err(ChangeError::NoNode(entry.name.clone()));
        }
        if matches!(change, Change::Carrier(_)) && carry != Carry::Named {
            return Err(ChangeError::NoCarriers);
        }
        Ok(())
    }

    /// The key with which an org signs rosters: of several the least, so that an org has one voice.
    #[must_use]
    pub fn steward_key(&self, org: OrgId) -> Option<[u8; 32]> {
        self.nodes_of(org).flat_map(|(_, certificate)| certificate.steward_keys()).min()
    }

    /// Whether a proposal changes what it says and nothing else, as far as that can be seen here: who is not in the circle
    /// sees the version that it is to come into, and not the one before.
    pub(crate) fn is_as_said(&self, key: &ProposalKey, open: &OpenProposal) -> bool {
        let members = self.membership(key.circle);
        let next = &open.roster;
        let base = members.roster().filter(|_| members.newest_hash() == Some(next.prev));
        let Some(base) = base else {
            return false;
        };
        let name = (key.change == Change::Rename).then(|| next.name.clone());
        // Where logs are cut is found out by who proposes; what was cut stays so.
        let cuts = next.cuts.clone();
        let removes = matches!(key.change, Change::Remove(_) | Change::Leave(_));
        let keeps = !removes || base.cuts.iter().all(|cut| next.cuts.contains(cut));
        let given = Given { name, cuts, time: next.time };
        keeps && self.changed(base, next.prev, key.change, given).as_ref() == Ok(next)
    }
}

fn come_in(next: &mut Roster, org: OrgId) {
    insert(&mut next.orgs, org);
    next.carriers.retain(|other| *other != org);
}

fn insert<T: Ord>(list: &mut Vec<T>, what: T) {
    if let Err(at) = list.binary_search(&what) {
        list.insert(at, what);
    }
}
