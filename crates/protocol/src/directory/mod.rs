//! Who is who: the documents in force, and what follows from them.
//!
//! Documents come from any hand (lobby, invitation, control record, file) through the one door [`Directory::take`].
//! They are replaced by their next version, never merged.

mod changes;
mod circles;
mod membership;
mod pending;
mod proof;
mod sealing;

use std::collections::{BTreeMap, BTreeSet};

use tocsin_record::document::{
    Certificate, Charter, DocumentError, Form, OrgEntry, Revocations, Roster, Signed,
};
use tocsin_record::{CircleId, DocHash, MeshId, NodeKey, OrgId, id};

use crate::message::lobby::Behind;
pub use changes::ChangeError;
pub(crate) use changes::Given;
pub(crate) use circles::Audience;
use circles::{Check, Circles, Steward, Stewards};
use membership::Terms;
pub use membership::{Counts, Former, Membership};
use pending::Pending;
pub(crate) use pending::{Heard, STANDS_MS, Unkept};
pub use pending::{OpenProposal, PROPOSALS_PER_ORG, ProposalKey};
pub use proof::Proof;

/// Most nodes that one org may certify.
pub const NODES_PER_ORG: usize = 64;
/// Most circles that are known besides the mesh's and the orgs' own.
pub const CIRCLES_MAX: usize = 4096;
/// Most circles that the stewards of one org may begin.
pub const CIRCLES_PER_ORG: usize = 256;

/// Most bytes of a certificate: the first frame of a link has to hold it, and at most 8 KiB.
pub const CERTIFICATE_MAX: usize = 6 << 10;
/// Most bytes of all documents: they are kept as one value.
pub const DOCUMENTS_BYTES_MAX: usize = 12 << 20;
/// Most bytes of certificates and rosters, and of rosters alone: whatever members fill these with, there is room for the
/// charter that removes them, and for certificates of the others.
const SPREAD_BYTES_MAX: usize = 8 << 20;
const ROSTERS_BYTES_MAX: usize = 6 << 20;
/// Most bytes of all rosters that the stewards of one org began, in all their versions, and of those that they signed, in
/// whatever circle.
pub const ROSTERS_OF_ORG_MAX: usize = 1 << 20;

/// What became of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is in force now.
    New,
    /// It, or a later version, is in force already.
    Known,
}

/// Why a document was not taken.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// The document does not count.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Its org is not in the charter, or no root certified its stewards.
    #[error("it is of an org that is not in the charter, or of stewards that no root certified")]
    Stranger,
    /// It certifies a sealing key that nothing can be sealed to.
    #[error(transparent)]
    Sealing(#[from] tocsin_seal::KeyError),
    /// A bound was reached.
    #[error("there are too many {0}")]
    TooMany(&'static str),
    /// It names an org as member or carrier that did not sign it.
    #[error("it puts an org into the circle that did not sign it")]
    Unasked,
    /// Two valid documents of one version: changes are frozen, the one in force stays.
    #[error(
        "two different versions {version} of the {form:?} are signed; the first that came stays in force"
    )]
    Rival {
        /// Which document.
        form: Form,
        /// Which version.
        version: u32,
    },
}

/// A document with what was signed, and its hash.
#[derive(Clone, Debug)]
struct InForce<D> {
    document: D,
    signed: Signed,
    hash: DocHash,
}

impl<D> InForce<D> {
    fn new(document: D, signed: &Signed) -> Self {
        Self { document, signed: signed.clone(), hash: signed.hash() }
    }
}

/// The documents of one mesh.
#[derive(Clone, Debug)]
pub struct Directory {
    mesh: MeshId,
    charters: Vec<Signed>,
    charter: Charter,
    certificates: BTreeMap<NodeKey, InForce<Certificate>>,
    by_transport: BTreeMap<[u8; 32], NodeKey>,
    revocations: Vec<(Revocations, Signed)>,
    circles: Circles,
    pending: Pending,
    /// In which versions of the charter each org was.
    terms: Terms,
    /// Own circles of the charter's orgs.
    owners: BTreeMap<CircleId, OrgId>,
    /// Hashes of certificates and rosters in force: what is in here need not be verified again.
    listed: BTreeSet<DocHash>,
    /// One hash over them.
    root: [u8; 32],
    /// Bytes of all documents, counted as they are taken.
    bytes: usize,
    founded: u64,
    /// What this node's own people think of orgs, by name, 0 to 100. No document, and never sent.
    trust: BTreeMap<String, u8>,
}

impl Directory {
    /// Opens a directory with the mesh's first charter.
    ///
    /// # Errors
    /// When it is no first charter that its stewards signed.
    pub fn open(first: Signed) -> Result<Self, DocumentError> {
        let (mesh, charter) = Charter::open(&first)?;
        let mut terms = Terms::default();
        terms.follow(None, &charter);
        Ok(Self {
            mesh,
            bytes: signed_len(&first),
            founded: charter.time,
            charters: vec![first],
            owners: owners(mesh, &charter),
            charter,
            terms,
            certificates: BTreeMap::new(),
            by_transport: BTreeMap::new(),
            revocations: Vec::new(),
            circles: Circles::default(),
            pending: Pending::default(),
            listed: BTreeSet::new(),
            root: root_of(&BTreeSet::new()),
            trust: BTreeMap::new(),
        })
    }

    /// Puts this node's own opinion of orgs in the place of the one before: by name, 0 to 100.
    pub fn set_trust(&mut self, trust: BTreeMap<String, u8>) {
        self.trust = trust;
    }

    /// This node's opinion of an org, 0 to 100; `None` if its people said nothing.
    #[must_use]
    pub fn trust(&self, name: &str) -> Option<u8> {
        // Most nodes have none, and this is asked for every record.
        if self.trust.is_empty() { None } else { self.trust.get(name).copied() }
    }

    /// One hash over the opinions, for whoever keeps what was decided under them.
    pub(crate) fn trust_digest(&self) -> [u8; 32] {
        let all: Vec<u8> =
            self.trust.iter().flat_map(|(name, trust)| name.bytes().chain([0, *trust])).collect();
        id::hash(id::DOCUMENT, &[b"trust", &all])
    }

    /// Opens a directory from documents in any order, taking what counts.
    ///
    /// # Errors
    /// When there is no first charter among them.
    pub fn load(documents: &[Signed]) -> Result<Self, DocumentError> {
        let first = documents.iter().find(|signed| Charter::open(signed).is_ok());
        let first = first.ok_or(DocumentError::Bounds(Form::Charter, "first version missing"))?;
        let mut directory = Self::open(first.clone())?;
        // Each pass takes what the one before made room for; versions step by one, so passes are bounded.
        for _ in 0..=documents.len() {
            let new =
                documents.iter().filter(|signed| matches!(directory.take(signed), Ok(Taken::New))).count();
            if new == 0 {
                break;
            }
        }
        Ok(directory)
    }

    /// Takes a document if it counts and is newer than what is in force.
    ///
    /// # Errors
    /// [`TakeError`]; nothing changed.
    pub fn take(&mut self, signed: &Signed) -> Result<Taken, TakeError> {
        self.take_as(signed, true)
    }

    /// Takes what was in force here when this node last ran: certificates that it was checked by then may be gone since.
    ///
    /// # Errors
    /// [`TakeError`]; nothing changed.
    pub fn take_back(&mut self, signed: &Signed) -> Result<Taken, TakeError> {
        self.take_as(signed, false)
    }

    fn take_as(&mut self, signed: &Signed, is_new: bool) -> Result<Taken, TakeError> {
        let hash = signed.hash();
        if self.listed.contains(&hash) {
            return Ok(Taken::Known);
        }
        let length = signed_len(signed);
        if self.bytes + length > DOCUMENTS_BYTES_MAX || !self.has_room(signed.form, length) {
            return Err(TakeError::TooMany("bytes of documents"));
        }
        let taken = match signed.form {
            Form::Charter => self.take_charter(signed)?,
            Form::Certificate => self.take_certificate(signed)?,
            Form::Revocations => self.take_revocations(signed)?,
            Form::Roster => {
                let (charter, stewards) = ((self.mesh, &self.charter), &self.stewards());
                self.circles.take(signed, &Check { charter, stewards, is_new })?
            }
        };
        if taken == Taken::New {
            self.bytes += length;
        }
        if taken == Taken::New && matches!(signed.form, Form::Certificate | Form::Roster) {
            self.listed.insert(hash);
            self.root = root_of(&self.listed);
        }
        Ok(taken)
    }

    /// Whether what members sign leaves room for one more such document.
    fn has_room(&self, form: Form, length: usize) -> bool {
        let rosters = || self.circles.bytes();
        let certificates =
            || self.certificates.values().map(|known| signed_len(&known.signed)).sum::<usize>();
        match form {
            Form::Charter | Form::Revocations => true,
            Form::Certificate => rosters() + certificates() + length <= SPREAD_BYTES_MAX,
            Form::Roster => {
                let rosters = rosters() + length;
                rosters <= ROSTERS_BYTES_MAX && rosters + certificates() <= SPREAD_BYTES_MAX
            }
        }
    }

    fn take_charter(&mut self, signed: &Signed) -> Result<Taken, TakeError> {
        let version = signed.read::<Charter>()?.version;
        if let Some(known) = self.charters.get(version as usize - 1) {
            return known_or_rival(known, signed, version);
        }
        let last = &self.charters[self.charters.len() - 1];
        let next = self.charter.follow(last, signed)?;
        let before = std::mem::replace(&mut self.charter, next);
        self.charters.push(signed.clone());
        let charter = &self.charter;
        self.terms.follow(Some(&before), charter);
        self.owners = owners(self.mesh, charter);
        self.certificates.retain(|_, known| charter.org(known.document.org).is_some());
        self.reindex();
        Ok(Taken::New)
    }

    fn take_certificate(&mut self, signed: &Signed) -> Result<Taken, TakeError> {
        if signed_len(signed) > CERTIFICATE_MAX {
            return Err(TakeError::TooMany("bytes in one certificate"));
        }
        let certificate = Certificate::open(signed)?;
        if self.charter.org(certificate.org).is_none() {
            return Err(TakeError::Stranger);
        }
        let node = certificate.node_key();
        match self.certificates.get(&node) {
            Some(known) if known.document.org != certificate.org => {
                return Err(DocumentError::Elsewhere(Form::Certificate, "org").into());
            }
            Some(known) if known.document.version == certificate.version => {
                return known_or_rival(&known.signed, signed, certificate.version);
            }
            Some(known) if known.document.version > certificate.version => return Ok(Taken::Known),
            Some(_) => {}
            None if self.nodes_of(certificate.org).count() >= NODES_PER_ORG => {
                return Err(TakeError::TooMany("nodes of one org"));
            }
            None => {}
        }
        sealing::sealing_key(&certificate)?;
        let transport = self.by_transport.get(&certificate.transport_key());
        if transport.is_some_and(|other| *other != node) {
            return Err(DocumentError::Elsewhere(Form::Certificate, "node's transport key").into());
        }
        let key = certificate.transport_key();
        if let Some(old) = self.certificates.insert(node, InForce::new(certificate, signed)) {
            self.by_transport.remove(&old.document.transport_key());
            self.listed.remove(&old.hash);
            self.bytes = self.bytes.saturating_sub(signed_len(&old.signed));
        }
        self.by_transport.insert(key, node);
        Ok(Taken::New)
    }

    fn take_revocations(&mut self, signed: &Signed) -> Result<Taken, TakeError> {
        let version = signed.read::<Revocations>()?.version;
        if let Some((_, known)) = self.revocations.get(version as usize - 1) {
            return known_or_rival(known, signed, version);
        }
        let known = self.revocations.last().map(|(list, signed)| (list, signed.hash()));
        let list = Revocations::open(self.mesh, &self.charter, known, signed)?;
        self.revocations.push((list, signed.clone()));
        Ok(Taken::New)
    }

    /// Keys that orgs certified for stewards, those of revoked nodes included.
    fn stewards(&self) -> Stewards {
        let mut stewards = Stewards::new();
        for (node, known) in &self.certificates {
            let org = known.document.org;
            let is_certified = !self.is_revoked(org, *node);
            for key in known.document.steward_keys() {
                let steward = stewards.entry(key).or_insert(Steward { org, is_certified });
                steward.is_certified |= is_certified && steward.org == org;
            }
        }
        stewards
    }

    /// The org that a document is charged to once it is taken, which it is only if that org signed it. `None` for those of
    /// all stewards. A roster whose signers no org certifies is charged to the one that last signed for its circle.
    #[must_use]
    pub(crate) fn charged_to(&self, signed: &Signed) -> Option<OrgId> {
        match signed.form {
            Form::Certificate => signed.read::<Certificate>().ok().map(|certificate| certificate.org),
            Form::Roster => self.circles.charged_to(signed, &self.stewards()),
            Form::Charter | Form::Revocations => None,
        }
    }

    /// Whether a document is in force here.
    #[must_use]
    pub(crate) fn is_listed(&self, signed: &Signed) -> bool {
        self.listed.contains(&signed.hash())
    }

    /// When the mesh was founded, in ms, by its first charter.
    #[must_use]
    pub fn founded(&self) -> u64 {
        self.founded
    }

    fn reindex(&mut self) {
        let row = |(node, known): (&NodeKey, &InForce<Certificate>)| (known.document.transport_key(), *node);
        self.by_transport = self.certificates.iter().map(row).collect();
        self.listed = self.spread().map(|(_, hash)| hash).collect();
        self.bytes = self.all().iter().map(signed_len).sum();
        self.root = root_of(&self.listed);
    }

    /// The mesh.
    #[must_use]
    pub fn mesh(&self) -> MeshId {
        self.mesh
    }

    /// The charter in force.
    #[must_use]
    pub fn charter(&self) -> &Charter {
        &self.charter
    }

    /// Every version of the charter, from the first.
    #[must_use]
    pub fn charters(&self) -> &[Signed] {
        &self.charters
    }

    /// Version and hash of the charter in force.
    #[must_use]
    pub fn charter_behind(&self) -> Behind {
        Behind { version: self.charter.version, hash: self.charters[self.charters.len() - 1].hash() }
    }

    /// Version and hash of the revocations in force.
    #[must_use]
    pub fn revocations_behind(&self) -> Behind {
        self.revocations.last().map_or_else(Behind::default, |(list, signed)| Behind {
            version: list.version,
            hash: signed.hash(),
        })
    }

    /// Charters and revocations after the versions that another node has in force, charters first.
    #[must_use]
    pub fn after(&self, charter: u32, revocations: u32) -> Vec<Signed> {
        let charters = self.charters.iter().skip(charter as usize);
        let revocations = self.revocations.iter().skip(revocations as usize).map(|(_, signed)| signed);
        charters.chain(revocations).cloned().collect()
    }

    /// All documents, in an order in which they can be taken.
    #[must_use]
    pub fn all(&self) -> Vec<Signed> {
        self.after(0, 0).into_iter().chain(self.spread().map(|(signed, _)| signed.clone())).collect()
    }

    /// Certificates and rosters with their hashes: what spreads by comparing lists.
    fn spread(&self) -> impl Iterator<Item = (&Signed, DocHash)> {
        let certificates = self.certificates.values().map(|known| (&known.signed, known.hash));
        certificates.chain(self.circles.all())
    }

    /// One hash over all certificates and rosters in force.
    #[must_use]
    pub fn root(&self) -> [u8; 32] {
        self.root
    }

    /// One hash over all documents in force.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let (charter, revocations) = (self.charter_behind().hash, self.revocations_behind().hash);
        id::hash(id::DOCUMENT, &[b"all", &self.root, &charter.0, &revocations.0])
    }

    /// Hashes of all certificates and rosters in force.
    #[must_use]
    pub fn list(&self) -> &BTreeSet<DocHash> {
        &self.listed
    }

    /// Whom a document that is in force may be told to.
    pub(crate) fn audience(&self, signed: &Signed) -> Audience<'_> {
        match signed.form {
            Form::Roster => self.circles.audience(signed.hash()),
            Form::Charter | Form::Certificate | Form::Revocations => Audience::All,
        }
    }

    /// What two orgs compare, with hashes: all certificates, and the rosters that both may know of, in an order in which they
    /// can be taken.
    pub fn told_to_both(&self, one: OrgId, other: OrgId) -> impl Iterator<Item = (&Signed, DocHash)> {
        let certificates = self.certificates.values().map(|known| (&known.signed, known.hash));
        certificates.chain(self.circles.told_to_both(one, other))
    }

    /// As [`Self::told_to_both`], what an org and each of some others may know: for a file that all of those read.
    #[must_use]
    pub fn told_to_all(&self, one: OrgId, others: &[OrgId]) -> Vec<(&Signed, DocHash)> {
        let Some((first, rest)) = others.split_first() else { return Vec::new() };
        let mut told: Vec<_> = self.told_to_both(one, *first).collect();
        for other in rest {
            let both: BTreeSet<DocHash> = self.told_to_both(one, *other).map(|(_, hash)| hash).collect();
            told.retain(|(_, hash)| both.contains(hash));
        }
        told
    }

    /// The certificate of a node, unless it was revoked.
    #[must_use]
    pub fn certificate(&self, node: NodeKey) -> Option<&Certificate> {
        let certificate = &self.certificates.get(&node)?.document;
        (!self.is_revoked(certificate.org, node)).then_some(certificate)
    }

    /// The org that certified a node and is in the mesh.
    #[must_use]
    pub fn org_of(&self, node: NodeKey) -> Option<OrgId> {
        self.certificate(node).map(|certificate| certificate.org)
    }

    /// The org's charter entry.
    #[must_use]
    pub fn org(&self, org: OrgId) -> Option<&OrgEntry> {
        self.charter.org(org)
    }

    /// Orgs that charters took out of the mesh and none took in again, with what is known of them.
    pub fn former(&self) -> impl Iterator<Item = (OrgId, &Former)> {
        self.terms.former()
    }

    /// When an org that was taken out of the mesh came in again, in ms; `None` where none was.
    pub(crate) fn returned(&self, org: OrgId) -> Option<u64> {
        self.terms.returned(org)
    }

    /// The name of an org: `bank-cc (removed)` of one that is no longer in the mesh, which no other org can be called; its key
    /// where no charter ever had it.
    #[must_use]
    pub fn name_of(&self, org: OrgId) -> String {
        match (self.org(org), self.terms.former_org(org)) {
            (Some(entry), _) => entry.name.clone(),
            (None, Some(former)) => format!("{} (removed)", former.name),
            (None, None) => org.to_string(),
        }
    }

    /// The nodes of an org, in order of key.
    pub fn nodes_of(&self, org: OrgId) -> impl Iterator<Item = (NodeKey, &Certificate)> {
        self.certificates
            .iter()
            .filter(move |(node, known)| known.document.org == org && !self.is_revoked(org, **node))
            .map(|(node, known)| (*node, &known.document))
    }

    /// All nodes, in order of key.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeKey, &Certificate)> {
        self.certificates
            .iter()
            .filter(|(node, known)| !self.is_revoked(known.document.org, **node))
            .map(|(node, known)| (*node, &known.document))
    }

    /// What certifies a node, as its org signed it, unless it was revoked.
    #[must_use]
    pub fn signed_certificate(&self, node: NodeKey) -> Option<&Signed> {
        let known = self.certificates.get(&node)?;
        (!self.is_revoked(known.document.org, node)).then_some(&known.signed)
    }

    /// Whether a node of an org was revoked, or all of its org.
    #[must_use]
    pub fn is_revoked(&self, org: OrgId, node: NodeKey) -> bool {
        self.revocations.last().is_some_and(|(list, _)| list.has(org, node))
    }

    /// The roster of a circle that has one of its own.
    #[must_use]
    pub fn roster(&self, circle: CircleId) -> Option<&Roster> {
        self.membership(circle).roster()
    }

    /// The circle of a name that an org began.
    #[must_use]
    pub fn begun_by(&self, org: OrgId, name: &str) -> Option<CircleId> {
        self.circles.begun_by(org, name)
    }

    /// Circles with a roster of their own, in order.
    pub fn circles(&self) -> impl Iterator<Item = (CircleId, &Roster)> {
        self.circles.newest()
    }

    /// Who is in a circle, and was.
    #[must_use]
    pub fn membership(&self, circle: CircleId) -> Membership<'_> {
        Membership::of(self, circle)
    }
}

/// The own circles of a charter's orgs.
fn owners(mesh: MeshId, charter: &Charter) -> BTreeMap<CircleId, OrgId> {
    charter.orgs.iter().map(|org| (CircleId::own(mesh, org.root), org.root)).collect()
}

/// About how many bytes a document takes in a frame or on the disk.
fn signed_len(signed: &Signed) -> usize {
    signed.bytes.len() + 96 * signed.signatures.len() + 16
}

/// One hash over the hashes of documents.
pub(crate) fn root_of(listed: &BTreeSet<DocHash>) -> [u8; 32] {
    let all: Vec<u8> = listed.iter().flat_map(|hash| hash.0).collect();
    id::hash(id::FRONTIER, &[b"documents", &all])
}

fn known_or_rival(known: &Signed, signed: &Signed, version: u32) -> Result<Taken, TakeError> {
    if known.hash() == signed.hash() {
        Ok(Taken::Known)
    } else {
        Err(TakeError::Rival { form: signed.form, version })
    }
}
