//! Revocations: the mesh's list of orgs and node keys that no longer count, with where each of their logs ends.

use bincode::{Decode, Encode};

use super::{Charter, Document, DocumentError, Form, Signed};
use crate::id::{DocHash, LogId, MeshId, NodeKey, OrgId, RecordId};

/// One version of the list.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Revocations {
    /// The mesh it is for.
    pub mesh: MeshId,
    /// From 1, rising by one.
    pub version: u32,
    /// Hash of the version before, zero for the first.
    pub prev: DocHash,
    /// When it was written, in ms.
    pub time: u64,
    /// All that is revoked; a later version repeats the earlier ones.
    pub entries: Vec<Revoked>,
    /// What newer nodes add.
    pub extension: Vec<u8>,
}

/// One org or node that no longer counts.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Revoked {
    /// The org.
    pub org: OrgId,
    /// One node of it, or all.
    pub node: Option<NodeKey>,
    /// From when, in ms.
    pub time: u64,
    /// A reason code, for people.
    pub reason: u16,
    /// Where its logs end: later records are invalid whatever their time. A log not listed is cut at nothing.
    pub cuts: Vec<Cut>,
}

/// The last record of a log that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Cut {
    /// The log.
    pub log: LogId,
    /// Its last record that counts.
    pub seq: u64,
    /// That record's id.
    pub id: RecordId,
}

impl Document for Revocations {
    const FORM: Form = Form::Revocations;

    fn check(&self) -> Result<(), &'static str> {
        let ok = |ok: bool, field| if ok { Ok(()) } else { Err(field) };
        ok(self.version >= 1, "version")?;
        ok((self.version == 1) == (self.prev == DocHash::ZERO), "prev")?;
        ok(self.entries.len() <= super::ORGS_MAX, "entries")?;
        ok(self.entries.iter().map(|entry| entry.cuts.len()).sum::<usize>() <= 16_384, "cuts")
    }
}

impl Revocations {
    /// Checks a list for this mesh: more than half of the charter's stewards signed it, and it follows `known`.
    ///
    /// # Errors
    /// [`DocumentError`]; the list in force stays.
    pub fn open(
        mesh: MeshId,
        charter: &Charter,
        known: Option<(&Self, DocHash)>,
        signed: &Signed,
    ) -> Result<Self, DocumentError> {
        let list: Self = signed.read()?;
        if list.mesh != mesh {
            return Err(DocumentError::Elsewhere(Form::Revocations, "mesh"));
        }
        let (version, hash) = known.map_or((0, DocHash::ZERO), |(known, hash)| (known.version, hash));
        if list.version != version + 1 || list.prev != hash {
            return Err(DocumentError::Follows {
                form: Form::Revocations,
                known: version,
                found: list.version,
            });
        }
        signed.require_majority(&charter.stewards())?;
        Ok(list)
    }

    /// Whether a node of an org no longer counts.
    #[must_use]
    pub fn has(&self, org: OrgId, node: NodeKey) -> bool {
        self.entries.iter().any(|entry| entry.org == org && entry.node.is_none_or(|revoked| revoked == node))
    }
}
