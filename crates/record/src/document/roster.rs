//! A circle's roster: which orgs are in it, who may carry for them, who may change it.

use std::collections::BTreeSet;

use bincode::{Decode, Encode};

use super::{Cut, Document, DocumentError, Form, Signed};
use crate::id::{CircleId, DocHash, MeshId, OrgId};

/// Who sees the circle's headers and passes its records on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Carry {
    /// Only the author hands a record to each member.
    Author,
    /// Members pass on to members.
    Members,
    /// Members and the named carriers.
    Named,
}

/// One version of a circle's membership.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Roster {
    /// The mesh it is in.
    pub mesh: MeshId,
    /// From 1, rising by one.
    pub version: u32,
    /// Hash of the version before, zero for the first. The circle's id is the hash of the first.
    pub prev: DocHash,
    /// Random in the first version; kept since.
    pub nonce: [u8; 32],
    /// Name of the circle, for people.
    pub name: String,
    /// When it was written, in ms.
    pub time: u64,
    /// Until when it may add members, in ms, 0 for ever.
    pub expires: u64,
    /// Who carries.
    pub carry: Carry,
    /// Member orgs, in order of root key. None means nobody.
    pub orgs: Vec<OrgId>,
    /// Carriers that are not members, in order of root key.
    pub carriers: Vec<OrgId>,
    /// Steward keys that may change it, in order.
    pub stewards: Vec<[u8; 32]>,
    /// Where the logs of those who left are cut; what is not listed is cut at nothing.
    pub cuts: Vec<Cut>,
    /// What newer nodes add.
    pub extension: Vec<u8>,
}

impl Document for Roster {
    const FORM: Form = Form::Roster;

    fn check(&self) -> Result<(), &'static str> {
        let ok = |ok: bool, field| if ok { Ok(()) } else { Err(field) };
        ok(self.version >= 1, "version")?;
        ok((self.version == 1) == (self.prev == DocHash::ZERO), "prev")?;
        ok(self.name.len() <= 128 && !self.name.chars().any(char::is_control), "name")?;
        ok(self.orgs.len() <= super::ORGS_MAX && self.orgs.is_sorted_by(|a, b| a < b), "orgs")?;
        ok(self.carriers.len() <= super::ORGS_MAX && self.carriers.is_sorted_by(|a, b| a < b), "carriers")?;
        ok(self.stewards.len() <= 64 && self.stewards.is_sorted_by(|a, b| a < b), "stewards")?;
        ok(self.cuts.len() <= 16_384, "cuts")
    }
}

impl Roster {
    /// Whether the org is a member.
    #[must_use]
    pub fn has(&self, org: OrgId) -> bool {
        self.orgs.binary_search(&org).is_ok()
    }

    /// Whether the org sees headers and carries.
    #[must_use]
    pub fn carries(&self, org: OrgId) -> bool {
        self.has(org) || (self.carry == Carry::Named && self.carriers.binary_search(&org).is_ok())
    }

    fn steward_set(&self) -> BTreeSet<[u8; 32]> {
        self.stewards.iter().copied().collect()
    }

    /// Checks a first roster: its hash is the circle's id, and more than half of its stewards signed it.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn open(mesh: MeshId, signed: &Signed) -> Result<(CircleId, Self), DocumentError> {
        let roster: Self = signed.read()?;
        if roster.mesh != mesh {
            return Err(DocumentError::Elsewhere(Form::Roster, "mesh"));
        }
        if roster.version != 1 {
            return Err(DocumentError::Follows { form: Form::Roster, known: 0, found: roster.version });
        }
        signed.require_majority(&roster.steward_set())?;
        Ok((CircleId(signed.hash().0), roster))
    }

    /// Checks the next version against this one, whose signed form is `known`, as [`super::Charter::follow`] does.
    ///
    /// # Errors
    /// [`DocumentError`]; this one stays in force.
    pub fn follow(&self, known: &Signed, next: &Signed) -> Result<Self, DocumentError> {
        let roster: Self = next.read()?;
        if roster.mesh != self.mesh {
            return Err(DocumentError::Elsewhere(Form::Roster, "mesh"));
        }
        let follows =
            roster.version == self.version + 1 && roster.prev == known.hash() && roster.nonce == self.nonce;
        if !follows {
            let (known, found) = (self.version, roster.version);
            return Err(DocumentError::Follows { form: Form::Roster, known, found });
        }
        next.require_majority(&self.steward_set())?;
        next.require_majority(&roster.steward_set())?;
        let expired = self.expires != 0 && roster.time >= self.expires;
        if expired && roster.orgs.iter().any(|org| !self.has(*org)) {
            return Err(DocumentError::Bounds(Form::Roster, "orgs added after expiry"));
        }
        Ok(roster)
    }
}
