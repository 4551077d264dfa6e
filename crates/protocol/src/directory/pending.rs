//! Changes of circles that are proposed and not in force: whose they are, who agreed, and to what this node's people did.
//!
//! Nothing in here is in force, nor in any hash that is compared. It is kept with the documents, so that a restart forgets
//! neither a proposal nor a consent.

use std::collections::{BTreeMap, BTreeSet};

use bincode::{Decode, Encode};
use tocsin_record::codec::{self, CodecError};
use tocsin_record::document::{Roster, Signed};
use tocsin_record::keys;
use tocsin_record::{CircleId, DocHash, OrgId};

use super::circles::signer;
use super::{Directory, Stewards};
use crate::message::proposals::PROPOSAL_MAX;
use crate::message::{Change, Proposal};

/// Most proposals of one org that are kept, and most bytes of them.
pub const PROPOSALS_PER_ORG: usize = 64;
/// As [`PROPOSALS_PER_ORG`].
const BYTES_PER_ORG: usize = 512 << 10;
/// Most bytes of all proposals.
const BYTES_MAX: usize = 4 << 20;
/// Most signatures of a proposal that are kept: of the stewards of two versions, and of an org that comes in.
const SIGNATURES_MAX: usize = 2 * 64 + 1;
/// For so long a proposal stands, and is a consent given anew to what is proposed anew, in ms: 30 days.
pub const STANDS_MS: u64 = 30 * 24 * 3_600_000;
/// Most circles of which it is remembered that this node's people agreed to a change.
const AGREED_MAX: usize = 1024;
/// What decoding all of it may take in memory, in bytes.
const LIMIT: usize = 8 * BYTES_MAX;

/// Whose proposal it is: of an org, in a circle, for one change. A newer one takes its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct ProposalKey {
    /// The circle.
    pub circle: CircleId,
    /// The org that proposes.
    pub by: OrgId,
    /// What it proposes.
    pub change: Change,
}

/// A proposal that stands.
#[derive(Clone, Debug)]
pub struct OpenProposal {
    /// As it came, with the signatures that count.
    pub proposal: Proposal,
    /// The version that it proposes.
    pub roster: Roster,
    /// Until when it stands, in ms.
    pub until: u64,
}

/// What of a proposal is new.
#[derive(Debug)]
pub(crate) enum Heard {
    /// All of it.
    New(ProposalKey, Box<OpenProposal>),
    /// Signatures of one that is known.
    Signatures(ProposalKey, Vec<([u8; 32], keys::Signature)>),
    /// Nothing: it is known, or over.
    Old,
}

/// Why a proposal is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unkept {
    /// Its form is wrong, or a signature that it needs is.
    #[error("it is no proposal that its org signed")]
    Form,
    /// It is of a circle that this org neither is in nor is invited to, or of who may not propose it.
    #[error("it is not this org's business, or not its proposer's")]
    Elsewhere,
    /// Too many stand.
    #[error("too many proposals stand")]
    TooMany,
}

/// All proposals that stand here.
#[derive(Clone, Debug, Default)]
pub(super) struct Pending {
    open: BTreeMap<ProposalKey, OpenProposal>,
    /// To what this node's people agreed, and until when they do so anew.
    agreed: BTreeMap<ProposalKey, u64>,
    /// The version of each circle that this node signed last as a steward: it signs no other of that number while the proposal
    /// may stand.
    given: BTreeMap<CircleId, Signature>,
    /// What would bring this org into a circle, and its people said no to. It stands, so that they may accept it still.
    declined: BTreeSet<ProposalKey>,
    /// It is to be written anew.
    is_changed: bool,
}

/// What a steward's node signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
struct Signature {
    version: u32,
    roster: DocHash,
    /// In ms.
    until: u64,
}

/// As it rests.
#[derive(Encode, Decode)]
struct Kept {
    open: Vec<(Proposal, u64)>,
    agreed: Vec<(ProposalKey, u64)>,
    given: Vec<(CircleId, Signature)>,
    declined: Vec<ProposalKey>,
}

/// As it rested before there was a word for no.
#[derive(Encode, Decode)]
struct KeptBefore {
    open: Vec<(Proposal, u64)>,
    agreed: Vec<(ProposalKey, u64)>,
    given: Vec<(CircleId, Signature)>,
}

impl Kept {
    fn read(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode::<Self, LIMIT>(bytes).or_else(|error| {
            let KeptBefore { open, agreed, given } =
                codec::decode::<KeptBefore, LIMIT>(bytes).map_err(|_| error)?;
            Ok(Self { open, agreed, given, declined: Vec::new() })
        })
    }
}

impl OpenProposal {
    /// Whether a steward of an org signed it.
    fn is_signed_by(&self, org: OrgId, stewards: &Stewards) -> bool {
        let signers = self.proposal.roster.signatures.iter().map(|(key, _)| key);
        signers.filter_map(|key| stewards.get(key)).any(|steward| steward.org == org)
    }
}

impl Directory {
    /// The proposals that stand, in order.
    pub fn proposals(&self) -> impl Iterator<Item = (&ProposalKey, &OpenProposal)> {
        self.pending.open.iter()
    }

    /// A proposal that stands.
    #[must_use]
    pub fn proposal(&self, key: &ProposalKey) -> Option<&OpenProposal> {
        self.pending.open.get(key)
    }

    /// The orgs of each circle with a roster that an org is in or carries for, and of each proposal that is its business: each of
    /// these groups has to be connected by itself, for nobody else passes on what is said in it.
    #[must_use]
    pub fn groups_of(&self, org: OrgId) -> Vec<BTreeSet<OrgId>> {
        let circles = self.circles().map(|(circle, _)| self.membership(circle));
        let circles = circles.filter(|members| members.carries(org));
        let mut groups: Vec<BTreeSet<OrgId>> =
            circles.map(|members| members.members().chain(members.carriers()).collect()).collect();
        for (key, open) in self.proposals().filter(|(key, open)| self.concerns(key, open, org)) {
            let orgs = self.charter.orgs.iter().map(|entry| entry.root);
            groups.push(orgs.filter(|other| self.concerns(key, open, *other)).collect());
        }
        groups
    }

    /// The orgs whose signature a proposal waits for, beside that of who proposes it: who is to come in, and stewards as long as
    /// more than half of them did not sign.
    #[must_use]
    pub fn awaited(&self, key: &ProposalKey, open: &OpenProposal) -> BTreeSet<OrgId> {
        let stewards = self.stewards();
        let mut awaited: BTreeSet<OrgId> =
            key.change.adds().into_iter().filter(|org| !open.is_signed_by(*org, &stewards)).collect();
        let signed: BTreeSet<[u8; 32]> =
            open.proposal.roster.signatures.iter().map(|(signer, _)| *signer).collect();
        let before = self.membership(key.circle).roster().map(|roster| &roster.stewards);
        for list in [before, Some(&open.roster.stewards)].into_iter().flatten() {
            let did = |signer: &&[u8; 32]| signed.contains(*signer) || **signer == open.proposal.by;
            if list.iter().filter(did).count() <= list.len() / 2 {
                let lacking = list.iter().filter(|signer| !did(signer));
                awaited.extend(lacking.filter_map(|signer| stewards.get(signer)).map(|known| known.org));
            }
        }
        awaited
    }

    /// The org that began the circle of a proposal, as long as it certifies the key that signed its first roster.
    #[must_use]
    pub fn founder_of(&self, open: &OpenProposal) -> Option<OrgId> {
        let first = &open.proposal.first;
        let roster: Roster = first.read().ok()?;
        signer(&roster, first, &self.stewards())
    }

    /// The org that certifies a steward's key.
    #[must_use]
    pub fn org_of_steward(&self, key: &[u8; 32]) -> Option<OrgId> {
        self.stewards().get(key).map(|steward| steward.org)
    }

    /// Whether a proposal may be told to an org: it is in the circle, or is to come in.
    #[must_use]
    pub(crate) fn concerns(&self, key: &ProposalKey, open: &OpenProposal, org: OrgId) -> bool {
        let is_removed = key.change == Change::Remove(org);
        let is_in = self.membership(key.circle).lists(org) || open.roster.has(org);
        !is_removed && (is_in || key.change.about() == Some(org))
    }

    /// Looks at a proposal that a peer handed over, or one of this node's own: what of it is new, to be put in by
    /// [`Self::put_proposal`].
    ///
    /// # Errors
    /// [`Unkept`].
    pub(crate) fn hear_proposal(&self, proposal: &Proposal, own: OrgId, until: u64) -> Result<Heard, Unkept> {
        let stewards = self.stewards();
        let bytes = codec::size(proposal);
        if bytes > PROPOSAL_MAX || proposal.roster.signatures.len() > SIGNATURES_MAX {
            return Err(Unkept::Form);
        }
        let by =
            stewards.get(&proposal.by).filter(|steward| steward.is_certified).ok_or(Unkept::Elsewhere)?;
        let circle = CircleId(proposal.first.hash().0);
        let key = ProposalKey { circle, by: by.org, change: proposal.change };
        if let Some(known) = self.pending.open.get(&key)
            && known.proposal.roster.hash() == proposal.roster.hash()
        {
            let new = signatures(&proposal.roster, &stewards, &known.proposal.roster);
            return Ok(if new.is_empty() { Heard::Old } else { Heard::Signatures(key, new) });
        }
        let (_, first) = Roster::open(self.mesh, &proposal.first).map_err(|_| Unkept::Form)?;
        let roster: Roster = proposal.roster.read().map_err(|_| Unkept::Form)?;
        let goes_on = roster.mesh == self.mesh && roster.nonce == first.nonce && roster.version >= 2;
        if !goes_on || proposal.verify(self.mesh).is_err() || !says(&roster, proposal.change, &stewards) {
            return Err(Unkept::Form);
        }
        let is_older = |known: &OpenProposal| {
            (known.roster.version, known.proposal.time) >= (roster.version, proposal.time)
        };
        if self.pending.open.get(&key).is_some_and(is_older) {
            return Ok(Heard::Old);
        }
        let members = self.membership(circle);
        match members.roster().filter(|_| members.lists(own)) {
            Some(known) if is_done(known, proposal.change, &roster) => return Ok(Heard::Old),
            Some(known) => {
                let may = match proposal.change {
                    Change::Leave(org) => org == by.org && known.carries(org),
                    _ => known.stewards.binary_search(&proposal.by).is_ok(),
                };
                if !may {
                    return Err(Unkept::Elsewhere);
                }
            }
            // Who is not in the circle is told of what it is to come into, and of nothing else.
            None if proposal.change.adds() == Some(own) => {}
            None => return Err(Unkept::Elsewhere),
        }
        self.pending.room(&key, bytes)?;
        let empty = Signed { signatures: Vec::new(), ..proposal.roster.clone() };
        let signatures = signatures(&proposal.roster, &stewards, &empty);
        let proposal = Proposal { roster: Signed { signatures, ..empty }, ..proposal.clone() };
        Ok(Heard::New(key, Box::new(OpenProposal { proposal, roster, until })))
    }

    /// Puts in what [`Self::hear_proposal`] found to be new. Returns whose it is.
    pub(crate) fn put_proposal(&mut self, heard: Heard) -> Option<ProposalKey> {
        let key = match heard {
            Heard::Old => return None,
            Heard::New(key, open) => {
                self.pending.open.insert(key, *open);
                key
            }
            Heard::Signatures(key, new) => {
                let open = self.pending.open.get_mut(&key)?;
                let signatures = &mut open.proposal.roster.signatures;
                signatures.extend(new);
                signatures.sort_unstable_by_key(|(signer, _)| *signer);
                key
            }
        };
        self.pending.is_changed = true;
        Some(key)
    }

    /// This node signs a proposal. False if it signed another version of that number as a steward, or there is none.
    pub(crate) fn sign_proposal(&mut self, key: &ProposalKey, secret: &keys::Secret) -> bool {
        let Some(open) = self.pending.open.get(key) else { return false };
        let (version, roster) = (open.roster.version, open.proposal.roster.hash());
        if self.gave_another(key.circle, version, roster) {
            return false;
        }
        let members = self.membership(key.circle).roster();
        let is_steward =
            members.is_some_and(|newest| newest.stewards.binary_search(&secret.public()).is_ok());
        let given = Signature { version, roster, until: open.until + STANDS_MS };
        if is_steward {
            self.pending.given.insert(key.circle, given);
        }
        if let Some(open) = self.pending.open.get_mut(key) {
            open.proposal.roster.add_signature(secret);
        }
        self.pending.is_changed = true;
        true
    }

    /// Whether this node gave its signature as a steward to another version of the number of this one, which may take force still.
    pub(crate) fn gave_another(&self, circle: CircleId, version: u32, roster: DocHash) -> bool {
        let newest = self.membership(circle).version();
        let other = |given: &Signature| given.version == version && given.roster != roster;
        version > newest && self.pending.given.get(&circle).is_some_and(other)
    }

    /// This node's people agree to a change, and to the same one proposed anew until then.
    pub(crate) fn agree(&mut self, key: ProposalKey, until: u64) {
        if self.pending.agreed.len() >= AGREED_MAX
            && let Some(first) = self.pending.agreed.iter().min_by_key(|(_, until)| **until)
        {
            let first = *first.0;
            self.pending.agreed.remove(&first);
        }
        self.pending.agreed.insert(key, until);
        self.pending.declined.remove(&key);
        self.pending.is_changed = true;
    }

    /// This node's people say no to what would bring an org, their own, into a circle; until it lapses, also to the same proposed
    /// anew. False if nothing would.
    pub(crate) fn decline(&mut self, circle: CircleId, own: OrgId) -> bool {
        let keys =
            self.pending.open.keys().filter(|key| key.circle == circle && key.change.adds() == Some(own));
        let keys: Vec<ProposalKey> = keys.filter(|key| key.by != own).copied().collect();
        self.disagree(circle);
        self.pending.is_changed |= !keys.is_empty();
        self.pending.declined.extend(&keys);
        !keys.is_empty()
    }

    /// Whether this node's people said no to a proposal.
    #[must_use]
    pub fn has_declined(&self, key: &ProposalKey) -> bool {
        self.pending.declined.contains(key)
    }

    /// Whether this node's people agreed to a change.
    #[must_use]
    pub fn has_agreed(&self, key: &ProposalKey) -> bool {
        self.pending.agreed.contains_key(key)
    }

    /// Whether an org has signed a proposal.
    #[must_use]
    pub fn has_signed(&self, open: &OpenProposal, org: OrgId) -> bool {
        open.is_signed_by(org, &self.stewards())
    }

    /// A proposal stands no longer.
    pub(crate) fn drop_proposal(&mut self, key: &ProposalKey) {
        self.pending.is_changed |= self.pending.open.remove(key).is_some();
        self.pending.declined.remove(key);
    }

    /// This node's people take back all that they agreed to in a circle.
    pub(crate) fn disagree(&mut self, circle: CircleId) {
        let before = self.pending.agreed.len();
        self.pending.agreed.retain(|key, _| key.circle != circle);
        self.pending.is_changed |= self.pending.agreed.len() != before;
    }

    /// What stands no longer: what came to be so, what lapsed, and what is of who may not propose it any more.
    fn settled(&self, passed: u64) -> (Vec<ProposalKey>, Vec<ProposalKey>, Vec<CircleId>) {
        let is_over = |key: &ProposalKey, open: &OpenProposal| {
            let known = self.membership(key.circle).roster();
            let done = |known: &Roster| {
                let may = known.stewards.binary_search(&open.proposal.by).is_ok();
                let is_older = known.version + 1 < open.roster.version;
                let leaves = matches!(key.change, Change::Leave(_));
                is_done(known, key.change, &open.roster) || !(may || is_older || leaves)
            };
            open.until <= passed || self.org(key.by).is_none() || known.is_some_and(done)
        };
        let is_done = |key: &ProposalKey, until: u64| {
            let known = self.membership(key.circle).roster();
            let came = |known: &Roster| match key.change {
                Change::Member(org) | Change::Steward(org) | Change::Carrier(org) => known.carries(org),
                Change::Remove(org) | Change::Leave(org) => !known.carries(org),
                Change::Rename => true,
            };
            until <= passed || known.is_some_and(came)
        };
        let Pending { open, agreed, given, .. } = &self.pending;
        (
            open.iter().filter(|(key, open)| is_over(key, open)).map(|(key, _)| *key).collect(),
            agreed.iter().filter(|(key, until)| is_done(key, **until)).map(|(key, _)| *key).collect(),
            given.iter().filter(|(_, given)| given.until <= passed).map(|(circle, _)| *circle).collect(),
        )
    }

    /// Whether [`Self::settle_proposals`] would change anything by now.
    pub(crate) fn has_settled(&self, passed: u64) -> bool {
        let (open, agreed, given) = self.settled(passed);
        !open.is_empty() || !agreed.is_empty() || !given.is_empty()
    }

    /// Lets go of what stands no longer.
    pub(crate) fn settle_proposals(&mut self, passed: u64) {
        let (open, agreed, given) = self.settled(passed);
        self.pending.is_changed |= !open.is_empty() || !agreed.is_empty() || !given.is_empty();
        self.pending.open.retain(|key, _| !open.contains(key));
        self.pending.declined.retain(|key| !open.contains(key));
        self.pending.agreed.retain(|key, _| !agreed.contains(key));
        self.pending.given.retain(|circle, _| !given.contains(circle));
    }

    /// Whether an org took itself out of a circle, although no version says so yet.
    pub(super) fn has_left(&self, circle: CircleId, org: OrgId) -> bool {
        !self.pending.open.is_empty()
            && self.pending.open.contains_key(&ProposalKey { circle, by: org, change: Change::Leave(org) })
    }

    /// All of it, to be kept, if it changed since this was last asked.
    pub(crate) fn changed_proposals(&mut self) -> Option<Vec<u8>> {
        if !std::mem::take(&mut self.pending.is_changed) {
            return None;
        }
        let Pending { open, agreed, given, declined, .. } = &self.pending;
        Some(codec::encode(&Kept {
            open: open.values().map(|open| (open.proposal.clone(), open.until)).collect(),
            agreed: agreed.iter().map(|(key, until)| (*key, *until)).collect(),
            given: given.iter().map(|(circle, given)| (*circle, *given)).collect(),
            declined: declined.iter().copied().collect(),
        }))
    }

    /// Whether [`Self::changed_proposals`] has something.
    pub(crate) fn proposals_changed(&self) -> bool {
        self.pending.is_changed
    }

    /// Takes back what [`Self::changed_proposals`] gave when this node last ran, as far as it counts still.
    ///
    /// # Errors
    /// When it does not read.
    pub(crate) fn take_back_proposals(&mut self, bytes: &[u8], own: OrgId) -> Result<(), CodecError> {
        let kept = Kept::read(bytes)?;
        for (proposal, until) in &kept.open {
            // What counted then and does no longer is no fault.
            if let Ok(heard) = self.hear_proposal(proposal, own, *until) {
                self.put_proposal(heard);
            }
        }
        self.pending.agreed = kept.agreed.into_iter().collect();
        self.pending.given = kept.given.into_iter().collect();
        let Pending { open, declined, .. } = &mut self.pending;
        declined.extend(kept.declined.into_iter().filter(|key| open.contains_key(key)));
        self.pending.is_changed = false;
        Ok(())
    }
}

impl Pending {
    /// Whether there is room for one more of an org, in the place of the one before it.
    fn room(&self, key: &ProposalKey, bytes: usize) -> Result<(), Unkept> {
        let others = self.open.iter().filter(|(other, _)| *other != key);
        let (mut count, mut of_org, mut all) = (0, bytes, bytes);
        for (other, open) in others {
            let bytes = codec::size(&open.proposal);
            all += bytes;
            if other.by == key.by {
                count += 1;
                of_org += bytes;
            }
        }
        if count >= PROPOSALS_PER_ORG || of_org > BYTES_PER_ORG || all > BYTES_MAX {
            return Err(Unkept::TooMany);
        }
        Ok(())
    }
}

/// The signatures of a version that are good, are of certified stewards, and are not known yet.
fn signatures(offered: &Signed, stewards: &Stewards, known: &Signed) -> Vec<([u8; 32], keys::Signature)> {
    let hash = offered.hash();
    let mut new: BTreeMap<[u8; 32], keys::Signature> = BTreeMap::new();
    for (signer, signature) in &offered.signatures {
        let is_known = known.signatures.iter().any(|(other, _)| other == signer);
        let counts = stewards.get(signer).is_some_and(|steward| steward.is_certified);
        if !is_known && counts && keys::verify(signer, &hash.0, signature).is_ok() {
            new.insert(*signer, *signature);
        }
    }
    new.into_iter().collect()
}

/// Whether a version has what a change says.
fn says(roster: &Roster, change: Change, stewards: &Stewards) -> bool {
    let signs = |org| roster.stewards.iter().any(|key| stewards.get(key).is_some_and(|s| s.org == org));
    match change {
        Change::Member(org) => roster.has(org),
        Change::Steward(org) => roster.has(org) && signs(org),
        Change::Carrier(org) => roster.carries(org) && !roster.has(org),
        Change::Remove(org) | Change::Leave(org) => !roster.carries(org),
        Change::Rename => true,
    }
}

/// Whether the newest version has what a change would bring.
fn is_done(newest: &Roster, change: Change, proposed: &Roster) -> bool {
    match change {
        Change::Member(org) => newest.has(org),
        Change::Steward(_) => proposed.stewards.iter().all(|key| newest.stewards.contains(key)),
        Change::Carrier(org) => newest.carries(org),
        Change::Remove(org) | Change::Leave(org) => !newest.carries(org),
        Change::Rename => newest.name == proposed.name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_before_there_was_a_no_is_read() {
        let key = ProposalKey {
            circle: CircleId([1; 32]),
            by: OrgId([2; 32]),
            change: Change::Member(OrgId([3; 32])),
        };
        let agreed = vec![(key, 7)];
        let before =
            codec::encode(&KeptBefore { open: Vec::new(), agreed: agreed.clone(), given: Vec::new() });
        let read = Kept::read(&before).unwrap();
        assert!(read.agreed == agreed && read.declined.is_empty());
        let now = codec::encode(&Kept { declined: vec![key], ..read });
        let read = Kept::read(&now).unwrap();
        assert!(read.agreed == agreed && read.declined == [key]);
        assert!(Kept::read(&now[..now.len() - 1]).is_err() && Kept::read(&[]).is_err());
    }
}
