//! Whether a file holds: every signature, hash and certificate in it, one after the other, and what does not by its name.

use tocsin_record::NodeKey;
use tocsin_record::body::Body;
use tocsin_record::document::{
    Certificate, CertifiedKey, Charter, DocumentError, OrgEntry, Purpose, Revocations, Roster, Signed,
};
use tocsin_record::id::{CircleId, MeshId, OrgId};

use crate::form::{Evidence, Opened, label};

/// What a file says, and whether it holds.
#[derive(Debug)]
pub struct Findings {
    /// What does not hold; nothing of the file is to be believed where there is something.
    pub faults: Vec<Fault>,
    /// The mesh, by its first charter: to be compared by another path.
    pub mesh: MeshId,
    /// Its name, and the number of versions that its charter has.
    pub mesh_name: String,
    /// Versions of the charter.
    pub charter: u32,
    /// The org that certified the author's node, as the last charter that lists it has it.
    pub org: Option<OrgEntry>,
    /// The certificate of the author's node, the last of those in the file.
    pub certificate: Option<Certificate>,
    /// The node that signed.
    pub author: NodeKey,
    /// Whom the record is addressed to.
    pub circle: Circle,
    /// When the author's node was taken out of the mesh, in ms, where that was after the record.
    pub revoked: Option<u64>,
    /// What the record says, where it can be read.
    pub body: Option<Body>,
    /// How that is known.
    pub proven: Proven,
}

/// Whom a record is addressed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Circle {
    /// All of the mesh.
    Mesh,
    /// The nodes of its own org.
    Own,
    /// The members of a roster, with its name and the number of its orgs.
    Roster {
        /// Name of the circle.
        name: String,
        /// How many orgs are in it by the version that the record names.
        orgs: usize,
    },
    /// Nothing in the file says whom.
    Unknown,
}

/// How it is known what a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proven {
    /// It was signed as it stands.
    Signed,
    /// What was signed opens to it, by the key in the file.
    Opened,
    /// Sealed bytes were signed: that they open to it is the word of who made the file.
    Told,
}

/// Something that does not hold.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// There is no charter.
    #[error("there is no charter in it, so nothing says who is in the mesh")]
    NoCharter,
    /// A document does not count.
    #[error("{what}, number {number} in the file: {source}")]
    Document {
        /// What it is there for.
        what: &'static str,
        /// Which one, from 1.
        number: usize,
        /// Why.
        source: DocumentError,
    },
    /// A signature under a document does not hold.
    #[error(
        "{what}, number {number} in the file: a signature under it does not hold, or they are out of order"
    )]
    Signature {
        /// What the document is there for.
        what: &'static str,
        /// Which one, from 1.
        number: usize,
    },
    /// The author's signature does not hold.
    #[error(
        "the signature of the author's node over the record does not hold: record, body or a header behind it is another"
    )]
    Record,
    /// The record is of another mesh.
    #[error("the record is of mesh {record}, the charter in the file of mesh {charter}")]
    Mesh {
        /// The record's.
        record: MeshId,
        /// The charter's.
        charter: MeshId,
    },
    /// The mesh is not the one that was asked for.
    #[error("the mesh is {0}, not the one that was given")]
    OtherMesh(MeshId),
    /// A certificate is missing.
    #[error("no certificate in it is of the node that signed, {0}")]
    NoCertificate(NodeKey),
    /// A certificate is another node's.
    #[error("certificate number {0} in the file is of another node")]
    OtherNode(usize),
    /// The key was certified until before the record's time.
    #[error("the key that signed was certified until before the record's time")]
    KeyOver,
    /// The org is in no charter.
    #[error("the org of the node that signed is in no charter of the mesh: its root key is {0}")]
    NoOrg(OrgId),
    /// The org was not in the circle.
    #[error(
        "the org of the node that signed was not in the circle by version {0} of its roster, which the record names"
    )]
    NotIn(u32),
    /// The roster that the record names is not in the file.
    #[error("version {0} of the circle's roster, which the record names, is not in the file")]
    NoRoster(u32),
    /// Rosters of another circle, or where none belongs.
    #[error("the rosters in it are of another circle than the record")]
    OtherCircle,
    /// The author's node was taken out, and the record lies behind where its log was cut.
    #[error("the node that signed was taken out of the mesh, and this record does not count since")]
    Revoked,
    /// The list of who was taken out does not name the node.
    #[error(
        "the list of who was taken out of the mesh does not name the node that signed, and belongs to something else"
    )]
    OtherRevocations,
    /// The body cannot be read.
    #[error(
        "what the record says cannot be read: it is of a newer version than this program, or its author's fault"
    )]
    Unread,
    /// The sealed body does not open by the key.
    #[error("the sealed body does not open by the key in the file")]
    Closed,
    /// The head of the file says another marking than the record.
    #[error("the file's head says `{head}`, and the record is marked `{record}`")]
    Label {
        /// As the head has it.
        head: String,
        /// As the record has it.
        record: String,
    },
}

impl Evidence {
    /// Checks all of it. `mesh` is the mesh's id as it came by another path, if it did.
    #[must_use]
    pub fn check(&self, mesh: Option<MeshId>) -> Findings {
        let mut check = Check { evidence: self, faults: Vec::new() };
        let charters = check.charters();
        let found = self.charters.first().map_or(MeshId::ZERO, |first| MeshId(first.hash().0));
        if found != self.run.log().mesh {
            check.faults.push(Fault::Mesh { record: self.run.log().mesh, charter: found });
        }
        if mesh.is_some_and(|wanted| wanted != found) {
            check.faults.push(Fault::OtherMesh(found));
        }
        if self.run.clone().verify().is_err() {
            check.faults.push(Fault::Record);
        }
        let certificate = check.certificate();
        let org = certificate.as_ref().and_then(|certificate| {
            let org = charters.iter().rev().find_map(|charter| charter.org(certificate.org)).cloned();
            if org.is_none() {
                check.faults.push(Fault::NoOrg(certificate.org));
            }
            org
        });
        let circle = check.circle(&charters, certificate.as_ref().map(|certificate| certificate.org));
        let revoked = check.revocations(&charters, certificate.as_ref());
        let (body, proven) = check.body();
        Findings {
            faults: check.faults,
            mesh: found,
            mesh_name: charters.last().map(|charter| charter.name.clone()).unwrap_or_default(),
            charter: charters.last().map_or(0, |charter| charter.version),
            org,
            certificate,
            author: self.run.log().author,
            circle,
            revoked,
            body,
            proven,
        }
    }
}

struct Check<'a> {
    evidence: &'a Evidence,
    faults: Vec<Fault>,
}

impl Check<'_> {
    /// The versions of the charter that hold, up to the first that does not.
    fn charters(&mut self) -> Vec<Charter> {
        const WHAT: &str = "a charter of the mesh";
        let signed = &self.evidence.charters;
        let mut charters: Vec<Charter> = Vec::new();
        for (at, next) in signed.iter().enumerate() {
            self.signatures(WHAT, at, next);
            let read = match charters.last() {
                None if at == 0 => Charter::open(next).map(|(_, charter)| charter),
                None => break,
                Some(before) => before.follow(&signed[at - 1], next),
            };
            match read {
                Ok(charter) => charters.push(charter),
                Err(source) => {
                    self.faults.push(Fault::Document { what: WHAT, number: at + 1, source });
                    break;
                }
            }
        }
        if signed.is_empty() {
            self.faults.push(Fault::NoCharter);
        }
        charters
    }

    /// Requires that all signatures under a document hold: one that does not was put there since, or the document changed.
    fn signatures(&mut self, what: &'static str, at: usize, signed: &Signed) {
        if signed.valid_signatures().count() != signed.signatures.len() {
            self.faults.push(Fault::Signature { what, number: at + 1 });
        }
    }

    /// The newest certificate of the node that signed.
    fn certificate(&mut self) -> Option<Certificate> {
        const WHAT: &str = "a certificate of the author's node";
        let author = self.evidence.run.log().author;
        let mut newest: Option<Certificate> = None;
        for (at, signed) in self.evidence.certificates.iter().enumerate() {
            self.signatures(WHAT, at, signed);
            match Certificate::open(signed) {
                Ok(certificate) if certificate.node_key() != author => {
                    self.faults.push(Fault::OtherNode(at + 1))
                }
                Ok(certificate) => {
                    if newest.as_ref().is_none_or(|newest| newest.version < certificate.version) {
                        newest = Some(certificate);
                    }
                }
                Err(source) => {
                    self.faults.push(Fault::Document { what: WHAT, number: at + 1, source });
                }
            }
        }
        let Some(certificate) = newest else {
            self.faults.push(Fault::NoCertificate(author));
            return None;
        };
        let time = self.evidence.entry().header.time;
        let of_author = |key: &&CertifiedKey| key.purpose == Purpose::Record as u16 && key.bytes == author.0;
        let until = certificate.keys.iter().find(of_author).map_or(0, |key| key.until);
        if until != 0 && time >= until {
            self.faults.push(Fault::KeyOver);
        }
        Some(certificate)
    }

    /// Whether the org was in the circle that the record is addressed to, by the version of its roster that the record names.
    fn circle(&mut self, charters: &[Charter], org: Option<OrgId>) -> Circle {
        let log = *self.evidence.run.log();
        let version = self.evidence.entry().header.roster;
        let of_rosters = self.rosters();
        if of_rosters.as_ref().is_some_and(|(circle, _)| *circle != log.circle) {
            self.faults.push(Fault::OtherCircle);
            return Circle::Unknown;
        }
        let place = (version as usize).checked_sub(1);
        let (circle, is_in) = if log.circle == CircleId::mesh(log.mesh) {
            let charter = place.and_then(|place| charters.get(place));
            (Circle::Mesh, charter.map(|charter| org.is_some_and(|org| charter.org(org).is_some())))
        } else if org.is_some_and(|org| log.circle == CircleId::own(log.mesh, org)) {
            (Circle::Own, Some(true))
        } else if let Some((_, rosters)) = of_rosters {
            let roster = place.and_then(|place| rosters.get(place));
            let named = roster.or(rosters.last());
            let circle = named.map_or(Circle::Unknown, |roster| Circle::Roster {
                name: roster.name.clone(),
                orgs: roster.orgs.len(),
            });
            (circle, roster.map(|roster| org.is_some_and(|org| roster.has(org))))
        } else {
            (Circle::Unknown, None)
        };
        match is_in {
            Some(true) => {}
            Some(false) => self.faults.push(Fault::NotIn(version)),
            None => self.faults.push(Fault::NoRoster(version)),
        }
        circle
    }

    /// The circle of the rosters, and the versions that hold; `None` if there are none.
    fn rosters(&mut self) -> Option<(CircleId, Vec<Roster>)> {
        const WHAT: &str = "a roster of the circle";
        let signed = &self.evidence.rosters;
        let circle = CircleId(signed.first()?.hash().0);
        let mut rosters: Vec<Roster> = Vec::new();
        for (at, next) in signed.iter().enumerate() {
            self.signatures(WHAT, at, next);
            let read = match rosters.last() {
                None => Roster::open(self.evidence.run.log().mesh, next).map(|(_, roster)| roster),
                Some(before) => before.follow(&signed[at - 1], next),
            };
            match read {
                Ok(roster) => rosters.push(roster),
                Err(source) => {
                    self.faults.push(Fault::Document { what: WHAT, number: at + 1, source });
                    break;
                }
            }
        }
        Some((circle, rosters))
    }

    /// When the author's node was taken out, if it was, and whether the record counts all the same.
    fn revocations(&mut self, charters: &[Charter], certificate: Option<&Certificate>) -> Option<u64> {
        const WHAT: &str = "a list of who was taken out of the mesh";
        let mut known: Option<(Revocations, &Signed)> = None;
        for (at, signed) in self.evidence.revocations.iter().enumerate() {
            self.signatures(WHAT, at, signed);
            let before = known.as_ref().map(|(list, signed)| (list, signed.hash()));
            let mesh = self.evidence.run.log().mesh;
            // By the stewards of whichever charter was in force then.
            let mut read =
                charters.iter().rev().map(|charter| Revocations::open(mesh, charter, before, signed));
            let counts = read.find_map(Result::ok);
            let Some(list) = counts else {
                let source = charters
                    .last()
                    .and_then(|charter| Revocations::open(mesh, charter, before, signed).err());
                self.faults.extend(source.map(|source| Fault::Document {
                    what: WHAT,
                    number: at + 1,
                    source,
                }));
                return None;
            };
            known = Some((list, signed));
        }
        let (list, _) = known?;
        let certificate = certificate?;
        let log = self.evidence.run.log();
        let is_it = |node: Option<NodeKey>| node.is_none_or(|node| node == log.author);
        let mut entries =
            list.entries.iter().filter(|entry| entry.org == certificate.org && is_it(entry.node)).peekable();
        if entries.peek().is_none() {
            self.faults.push(Fault::OtherRevocations);
            return None;
        }
        let mut since = u64::MAX;
        for entry in entries {
            since = since.min(entry.time);
            let cut = entry.cuts.iter().find(|cut| cut.log == log.id());
            if cut.is_none_or(|cut| cut.seq < self.evidence.entry().header.seq) {
                self.faults.push(Fault::Revoked);
            }
        }
        Some(since)
    }

    fn body(&mut self) -> (Option<Body>, Proven) {
        let proven = match self.evidence.opened {
            None => Proven::Signed,
            Some(Opened::Key(_)) => Proven::Opened,
            Some(Opened::Told(_)) => Proven::Told,
        };
        let body = self.evidence.body();
        match &body {
            None if proven == Proven::Opened => self.faults.push(Fault::Closed),
            None | Some(Body::Newer) => self.faults.push(Fault::Unread),
            Some(_) => {}
        }
        let record = label(body.as_ref().and_then(Body::marking));
        if record != self.evidence.label() {
            self.faults.push(Fault::Label { head: self.evidence.label().to_owned(), record });
        }
        (body, proven)
    }
}

impl Findings {
    /// Whether nothing was found that does not hold.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.faults.is_empty()
    }
}
