//! Changes of circles that are proposed and not in force: who proposes what, and who agreed so far.
//!
//! A proposal is a version of a roster that lacks signatures. Those who agree sign the very bytes, so that what they agreed
//! to is what takes force. Who proposed it signs last, and one proposal of a version alone: no two versions ever come to be.

use bincode::{Decode, Encode};
use tocsin_record::codec;
use tocsin_record::document::Signed;
use tocsin_record::id::{self, MeshId, OrgId};
use tocsin_record::keys::{self, Secret, Signature, VerifyError};

/// Most proposals in one message.
pub const PROPOSALS_MAX: usize = 16;
/// Longest proposal, in bytes, with the first roster of its circle: one of 1,000 orgs and as many cuts.
pub const PROPOSAL_MAX: usize = 128 << 10;

/// What a proposal changes in a circle. Appended to, never reordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Change {
    /// An org comes in.
    Member(OrgId),
    /// An org comes in, or is in, and is a steward from then on.
    Steward(OrgId),
    /// An org carries for the members.
    Carrier(OrgId),
    /// An org is taken out.
    Remove(OrgId),
    /// An org takes itself out.
    Leave(OrgId),
    /// The circle has another name.
    Rename,
}

impl Change {
    /// The org that it is about.
    #[must_use]
    pub fn about(self) -> Option<OrgId> {
        match self {
            Self::Member(org)
            | Self::Steward(org)
            | Self::Carrier(org)
            | Self::Remove(org)
            | Self::Leave(org) => Some(org),
            Self::Rename => None,
        }
    }

    /// The org that it puts into the circle, or makes carry for it: it has to agree.
    #[must_use]
    pub fn adds(self) -> Option<OrgId> {
        match self {
            Self::Member(org) | Self::Steward(org) | Self::Carrier(org) => Some(org),
            Self::Remove(_) | Self::Leave(_) | Self::Rename => None,
        }
    }
}

/// A version of a roster that is proposed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Proposal {
    /// What it changes: for those who do not have the version before.
    pub change: Change,
    /// The first roster of the circle: its hash is the circle's id, its signature says who began it.
    pub first: Signed,
    /// The version, with the signatures that it has so far.
    pub roster: Signed,
    /// When it was proposed, in ms.
    pub time: u64,
    /// The steward key of who proposes it.
    pub by: [u8; 32],
    /// By that key over [`Proposal::hash`]. It is no signature of the roster.
    pub signature: Signature,
}

impl Proposal {
    /// Proposes a version.
    #[must_use]
    pub fn sign(mesh: MeshId, change: Change, first: Signed, roster: Signed, time: u64, by: &Secret) -> Self {
        let signature = Signature([0; 64]);
        let mut proposal = Self { change, first, roster, time, by: by.public(), signature };
        proposal.signature = by.sign(&proposal.hash(mesh));
        proposal
    }

    /// What who proposes it signs.
    #[must_use]
    pub fn hash(&self, mesh: MeshId) -> [u8; 32] {
        let (change, time) = (codec::encode(&self.change), self.time.to_be_bytes());
        let (first, roster) = (self.first.hash().0, self.roster.hash().0);
        id::hash(id::PROPOSAL, &[&mesh.0, &first, &roster, &time, &change])
    }

    /// Checks that the key which it names signed it.
    ///
    /// # Errors
    /// When it did not.
    pub fn verify(&self, mesh: MeshId) -> Result<(), VerifyError> {
        keys::verify(&self.by, &self.hash(mesh), &self.signature)
    }
}
