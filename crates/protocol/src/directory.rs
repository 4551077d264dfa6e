//! Who is who: the documents in force, and what follows from them.
//!
//! Documents come from any hand (lobby, invitation, control record, file) through the one door [`Directory::take`].
//! They are replaced by their next version, never merged.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_record::document::{
    Certificate, Charter, DocumentError, Form, OrgEntry, Revocations, Roster, Signed,
};
use tocsin_record::{CircleId, DocHash, MeshId, NodeKey, OrgId, id};

use crate::message::lobby::Behind;

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
    /// A bound was reached.
    #[error("there are too many {0}")]
    TooMany(&'static str),
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

/// A roster with its signed form.
type Rosters = Vec<(Roster, Signed)>;

/// Whom a circle's rosters are charged to.
#[derive(Clone, Copy, Debug)]
struct Payers {
    founder: OrgId,
    last: OrgId,
}

/// The documents of one mesh.
#[derive(Clone, Debug)]
pub struct Directory {
    mesh: MeshId,
    charters: Vec<Signed>,
    charter: Charter,
    certificates: BTreeMap<NodeKey, (Certificate, Signed)>,
    by_transport: BTreeMap<[u8; 32], NodeKey>,
    revocations: Vec<(Revocations, Signed)>,
    rosters: BTreeMap<CircleId, Rosters>,
    /// Which org's signature began each circle, and which was the last that signed for it.
    payers: BTreeMap<CircleId, Payers>,
    /// Bytes of the rosters that each org signed.
    signed_by: BTreeMap<OrgId, usize>,
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
        Ok(Self {
            mesh,
            bytes: signed_len(&first),
            founded: charter.time,
            charters: vec![first],
            charter,
            certificates: BTreeMap::new(),
            by_transport: BTreeMap::new(),
            revocations: Vec::new(),
            rosters: BTreeMap::new(),
            payers: BTreeMap::new(),
            signed_by: BTreeMap::new(),
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
            Form::Roster => self.take_roster(signed)?,
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
        let rosters = || self.rosters.values().flatten().map(|(_, signed)| signed_len(signed)).sum::<usize>();
        let certificates = || self.certificates.values().map(|(_, signed)| signed_len(signed)).sum::<usize>();
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
        self.charter = self.charter.follow(last, signed)?;
        self.charters.push(signed.clone());
        let charter = &self.charter;
        self.certificates.retain(|_, (certificate, _)| charter.org(certificate.org).is_some());
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
            Some((known, _)) if known.org != certificate.org => {
                return Err(DocumentError::Elsewhere(Form::Certificate, "org").into());
            }
            Some((known, known_signed)) if known.version == certificate.version => {
                return known_or_rival(known_signed, signed, certificate.version);
            }
            Some((known, _)) if known.version > certificate.version => return Ok(Taken::Known),
            Some(_) => {}
            None if self.nodes_of(certificate.org).count() >= NODES_PER_ORG => {
                return Err(TakeError::TooMany("nodes of one org"));
            }
            None => {}
        }
        let transport = self.by_transport.get(&certificate.transport_key());
        if transport.is_some_and(|other| *other != node) {
            return Err(DocumentError::Elsewhere(Form::Certificate, "node's transport key").into());
        }
        let key = certificate.transport_key();
        if let Some((old, old_signed)) = self.certificates.insert(node, (certificate, signed.clone())) {
            self.by_transport.remove(&old.transport_key());
            self.listed.remove(&old_signed.hash());
            self.bytes = self.bytes.saturating_sub(signed_len(&old_signed));
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

    fn take_roster(&mut self, signed: &Signed) -> Result<Taken, TakeError> {
        let roster: Roster = signed.read()?;
        let certified: BTreeSet<[u8; 32]> =
            self.nodes().flat_map(|(_, node)| node.steward_keys().collect::<Vec<_>>()).collect();
        if roster.version == 1 && !roster.stewards.iter().all(|key| certified.contains(key)) {
            return Err(TakeError::Stranger);
        }
        if roster.version == 1 {
            let (circle, roster) = Roster::open(self.mesh, signed)?;
            if self.rosters.contains_key(&circle) {
                return Ok(Taken::Known);
            }
            let founder = self.signer(&roster, signed).ok_or(TakeError::Stranger)?;
            let by_founder =
                |circle: &CircleId| self.payers.get(circle).is_some_and(|p| p.founder == founder);
            let begun = self.rosters.iter().filter(|(circle, _)| by_founder(circle));
            let (circles, bytes) = begun.fold((0, 0), |(circles, bytes), (_, chain)| {
                (circles + 1, bytes + chain.iter().map(|(_, signed)| signed_len(signed)).sum::<usize>())
            });
            if self.rosters.len() >= CIRCLES_MAX || circles >= CIRCLES_PER_ORG {
                return Err(TakeError::TooMany("circles"));
            }
            if bytes + signed_len(signed) > ROSTERS_OF_ORG_MAX {
                return Err(TakeError::TooMany("bytes of rosters of one org"));
            }
            self.spend(founder, signed)?;
            self.rosters.insert(circle, vec![(roster, signed.clone())]);
            self.payers.insert(circle, Payers { founder, last: founder });
            return Ok(Taken::New);
        }
        let circle = self.followed_by(&roster);
        let signer = self.signer(&roster, signed);
        let Some((circle, chain)) = circle.and_then(|circle| Some((circle, self.rosters.get(&circle)?)))
        else {
            let (known, found) = (0, roster.version);
            return Err(DocumentError::Follows { form: Form::Roster, known, found }.into());
        };
        if let Some((_, known)) = chain.get(roster.version as usize - 1) {
            return known_or_rival(known, signed, roster.version);
        }
        if chain.iter().map(|(_, signed)| signed_len(signed)).sum::<usize>() + signed_len(signed)
            > ROSTERS_OF_ORG_MAX
        {
            return Err(TakeError::TooMany("bytes of rosters of one org"));
        }
        let (last, last_signed) = &chain[chain.len() - 1];
        let next = last.follow(last_signed, signed)?;
        if let Some(payer) = signer.or_else(|| self.payers.get(&circle).map(|payers| payers.last)) {
            self.spend(payer, signed)?;
        }
        if let Some(chain) = self.rosters.get_mut(&circle) {
            chain.push((next, signed.clone()));
        }
        if let (Some(payers), Some(signer)) = (self.payers.get_mut(&circle), signer) {
            payers.last = signer;
        }
        Ok(Taken::New)
    }

    /// Counts a roster for the org that signed it, which may sign so many bytes of them, in however many circles.
    fn spend(&mut self, org: OrgId, signed: &Signed) -> Result<(), TakeError> {
        let spent = self.signed_by.entry(org).or_default();
        if *spent + signed_len(signed) > ROSTERS_OF_ORG_MAX {
            return Err(TakeError::TooMany("bytes of rosters of one org"));
        }
        *spent += signed_len(signed);
        Ok(())
    }

    /// The circle that a roster of version 2 or later goes on with, by the version that it names: anybody can write what
    /// stands in a first roster.
    fn followed_by(&self, roster: &Roster) -> Option<CircleId> {
        let before = (roster.version as usize).checked_sub(2)?;
        let follows = |chain: &Rosters| {
            chain[0].0.nonce == roster.nonce
                && chain.get(before).is_some_and(|(_, known)| known.hash() == roster.prev)
        };
        self.rosters.iter().find(|(_, chain)| follows(chain)).map(|(circle, _)| *circle)
    }

    /// The org whose steward signed a roster: of several, that of the least key. Who is only named in it did nothing.
    fn signer(&self, roster: &Roster, signed: &Signed) -> Option<OrgId> {
        let signs = |key: &&[u8; 32]| signed.require(&BTreeSet::from([**key]), 1).is_ok();
        roster.stewards.iter().filter(signs).find_map(|key| {
            let holds = |certificate: &Certificate| certificate.steward_keys().any(|steward| steward == *key);
            self.certificates.values().map(|(certificate, _)| certificate).find(|c| holds(c)).map(|c| c.org)
        })
    }

    /// The org that a document is charged to once it is taken, which it is only if that org signed it. `None` for those of
    /// all stewards. A roster whose signers no org certifies is charged to the one that last signed for its circle.
    #[must_use]
    pub fn charged_to(&self, signed: &Signed) -> Option<OrgId> {
        match signed.form {
            Form::Certificate => signed.read::<Certificate>().ok().map(|certificate| certificate.org),
            Form::Roster => {
                let roster = signed.read::<Roster>().ok()?;
                self.signer(&roster, signed).or_else(|| {
                    let circle = self.followed_by(&roster)?;
                    self.payers.get(&circle).map(|payers| payers.last)
                })
            }
            Form::Charter | Form::Revocations => None,
        }
    }

    /// Whether a document is in force here.
    #[must_use]
    pub fn is_listed(&self, signed: &Signed) -> bool {
        self.listed.contains(&signed.hash())
    }

    /// When the mesh was founded, in ms, by its first charter.
    #[must_use]
    pub fn founded(&self) -> u64 {
        self.founded
    }

    fn reindex(&mut self) {
        let row = |(node, (certificate, _)): (&NodeKey, &(Certificate, Signed))| {
            (certificate.transport_key(), *node)
        };
        self.by_transport = self.certificates.iter().map(row).collect();
        self.listed = self.spread().map(Signed::hash).collect();
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
        self.after(0, 0).into_iter().chain(self.spread().cloned()).collect()
    }

    /// Certificates and rosters: what spreads by comparing lists.
    fn spread(&self) -> impl Iterator<Item = &Signed> {
        let certificates = self.certificates.values().map(|(_, signed)| signed);
        certificates.chain(self.rosters.values().flatten().map(|(_, signed)| signed))
    }

    /// Hashes of certificates and rosters, in order.
    #[must_use]
    pub fn list(&self) -> &BTreeSet<DocHash> {
        &self.listed
    }

    /// One hash over [`Self::list`].
    #[must_use]
    pub fn root(&self) -> [u8; 32] {
        self.root
    }

    /// Certificates and rosters that a node with this list lacks.
    #[must_use]
    pub fn lacking(&self, list: &[DocHash]) -> Vec<Signed> {
        let theirs: BTreeSet<DocHash> = list.iter().copied().collect();
        self.spread().filter(|signed| !theirs.contains(&signed.hash())).cloned().collect()
    }

    /// The certificate of a node, unless it was revoked.
    #[must_use]
    pub fn certificate(&self, node: NodeKey) -> Option<&Certificate> {
        let (certificate, _) = self.certificates.get(&node)?;
        (!self.is_revoked(certificate.org, node)).then_some(certificate)
    }

    /// The certificate of a node as it was signed.
    #[must_use]
    pub fn signed_certificate(&self, node: NodeKey) -> Option<&Signed> {
        self.certificates.get(&node).map(|(_, signed)| signed)
    }

    /// The node whose transport key this is.
    #[must_use]
    pub fn node_by_transport(&self, key: &[u8; 32]) -> Option<NodeKey> {
        self.by_transport.get(key).copied()
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

    /// The nodes of an org, in order of key.
    pub fn nodes_of(&self, org: OrgId) -> impl Iterator<Item = (NodeKey, &Certificate)> {
        self.certificates
            .iter()
            .filter(move |(node, (certificate, _))| certificate.org == org && !self.is_revoked(org, **node))
            .map(|(node, (certificate, _))| (*node, certificate))
    }

    /// All nodes, in order of key.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeKey, &Certificate)> {
        self.certificates
            .iter()
            .filter(|(node, (certificate, _))| !self.is_revoked(certificate.org, **node))
            .map(|(node, (certificate, _))| (*node, certificate))
    }

    fn is_revoked(&self, org: OrgId, node: NodeKey) -> bool {
        self.revocations.last().is_some_and(|(list, _)| list.has(org, node))
    }

    /// The roster of a circle that has one of its own.
    #[must_use]
    pub fn roster(&self, circle: CircleId) -> Option<&Roster> {
        self.rosters.get(&circle)?.last().map(|(roster, _)| roster)
    }

    /// Circles with a roster of their own, in order.
    pub fn circles(&self) -> impl Iterator<Item = (CircleId, &Roster)> {
        self.rosters.iter().filter_map(|(circle, chain)| chain.last().map(|(roster, _)| (*circle, roster)))
    }

    /// The version of a circle's roster: the charter's for the mesh, 1 for an own circle, 0 if it is not known.
    #[must_use]
    pub fn roster_version(&self, circle: CircleId) -> u32 {
        if circle == CircleId::mesh(self.mesh) {
            self.charter.version
        } else if let Some(roster) = self.roster(circle) {
            roster.version
        } else {
            u32::from(self.owner(circle).is_some())
        }
    }

    /// The org whose own circle this is.
    #[must_use]
    pub fn owner(&self, circle: CircleId) -> Option<OrgId> {
        self.charter.orgs.iter().map(|org| org.root).find(|org| CircleId::own(self.mesh, *org) == circle)
    }

    /// Whether an org is a member of a circle: may write to it and read it.
    #[must_use]
    pub fn is_member(&self, org: OrgId, circle: CircleId) -> bool {
        if circle == CircleId::mesh(self.mesh) {
            return self.charter.org(org).is_some();
        }
        match self.roster(circle) {
            Some(roster) => roster.has(org) && self.charter.org(org).is_some(),
            None => circle == CircleId::own(self.mesh, org) && self.charter.org(org).is_some(),
        }
    }

    /// Whether two orgs both are in a circle or carry it.
    pub(crate) fn share(&self, one: OrgId, other: OrgId, circle: CircleId) -> bool {
        self.carries(other, circle) && self.carries(one, circle)
    }

    /// Whether an org is given a circle's headers: members, and carriers where the roster names them.
    #[must_use]
    pub fn carries(&self, org: OrgId, circle: CircleId) -> bool {
        self.is_member(org, circle) || self.roster(circle).is_some_and(|roster| roster.carries(org))
    }

    /// Number of member orgs of a circle.
    #[must_use]
    pub fn size(&self, circle: CircleId) -> usize {
        if circle == CircleId::mesh(self.mesh) {
            return self.charter.orgs.len();
        }
        self.roster(circle).map_or(1, |roster| roster.orgs.len())
    }
}

/// About how many bytes a document takes in a frame or on the disk.
fn signed_len(signed: &Signed) -> usize {
    signed.bytes.len() + 96 * signed.signatures.len() + 16
}

fn root_of(listed: &BTreeSet<DocHash>) -> [u8; 32] {
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
