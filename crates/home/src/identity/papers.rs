//! The documents of one mesh: every version of its charter, and the certificates of its nodes. They are valid from
//! any hand, so the same bytes rest in a home, travel in an invitation, and are what a node starts from.

use std::collections::BTreeMap;

use bincode::{Decode, Encode};
use tocsin_record::document::{Certificate, Charter, Constituency, Contact, DocumentError, OrgEntry, Signed};
use tocsin_record::id::{DocHash, MeshId, NodeKey, OrgId};
use tocsin_record::keys::Secret;

/// Most versions of a charter that are read: one a day for ten years.
const CHARTERS_MAX: usize = 4096;
/// Most certificates that are read.
const CERTIFICATES_MAX: usize = 65_536;

/// Documents as they rest and travel, not yet checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Papers {
    /// All versions of the charter, from the first.
    pub charters: Vec<Signed>,
    /// Certificates of nodes, one a node.
    pub certificates: Vec<Signed>,
    /// All versions of the revocations, from the first.
    pub revocations: Vec<Signed>,
}

/// Documents that were checked: who is in the mesh, and with which nodes.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The mesh.
    pub mesh: MeshId,
    /// The charter in force.
    pub charter: Charter,
    /// Its signed form.
    pub signed: Signed,
    /// Certificates by node, of orgs in the charter only, the highest version of each.
    pub nodes: BTreeMap<NodeKey, Certificate>,
}

/// Documents do not make a mesh.
#[derive(Debug, thiserror::Error)]
pub enum PapersError {
    /// There is no charter.
    #[error("there is no charter in it")]
    Empty,
    /// Over a bound.
    #[error("there are too many {0} in it")]
    TooMany(&'static str),
    /// A document does not hold.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The card's name is another org's.
    #[error("an org named `{0}` with another root key is in the mesh: one of the two must take another name")]
    NameTaken(String),
    /// The signer may not do this.
    #[error("the root key is not a steward's of this mesh, so its signature changes nothing")]
    NotSteward,
}

impl Papers {
    /// Checks every version of the charter and every certificate.
    ///
    /// # Errors
    /// [`PapersError`]: nothing of it is believed then.
    pub fn check(&self) -> Result<Checked, PapersError> {
        if self.charters.len() > CHARTERS_MAX {
            return Err(PapersError::TooMany("charters"));
        }
        if self.certificates.len() > CERTIFICATES_MAX {
            return Err(PapersError::TooMany("certificates"));
        }
        let first = self.charters.first().ok_or(PapersError::Empty)?;
        let (mesh, mut charter) = Charter::open(first)?;
        for pair in self.charters.windows(2) {
            charter = charter.follow(&pair[0], &pair[1])?;
        }
        let mut nodes: BTreeMap<NodeKey, Certificate> = BTreeMap::new();
        for signed in &self.certificates {
            let certificate = Certificate::open(signed)?;
            let known = nodes.get(&certificate.node_key()).map_or(0, |known| known.version);
            if charter.org(certificate.org).is_some() && certificate.version > known {
                nodes.insert(certificate.node_key(), certificate);
            }
        }
        let signed = self.charters.last().unwrap_or(first).clone();
        Ok(Checked { mesh, charter, signed, nodes })
    }

    /// Founds a mesh: the first charter, whose only steward is the founder.
    ///
    /// # Errors
    /// A field of the entry is out of bounds.
    pub fn found(
        name: &str,
        nonce: [u8; 32],
        mut founder: OrgEntry,
        certificates: Vec<Signed>,
        root: &Secret,
        now: u64,
    ) -> Result<Self, PapersError> {
        founder.roles = vec!["steward".to_owned()];
        let charter = Charter {
            version: 1,
            prev: DocHash::ZERO,
            nonce,
            name: name.to_owned(),
            time: now,
            expires: 0,
            history: 0,
            orgs: vec![founder],
            extension: Vec::new(),
        };
        let papers =
            Self { charters: vec![Signed::sign(&charter, &[root])], certificates, revocations: Vec::new() };
        papers.check()?;
        Ok(papers)
    }

    /// Adds an org, or replaces its entry and certificates: a new charter version by a steward's root.
    /// An entry that stands already as it is makes no new version.
    ///
    /// # Errors
    /// [`PapersError`]; nothing changed then.
    pub fn add(
        &self,
        mut entry: OrgEntry,
        certificates: &[Signed],
        root: &Secret,
        now: u64,
    ) -> Result<Self, PapersError> {
        let checked = self.check()?;
        let mut charter = checked.charter;
        if !charter.stewards().contains(&root.public()) {
            return Err(PapersError::NotSteward);
        }
        if charter.org_named(&entry.name).is_some_and(|org| org.root != entry.root) {
            return Err(PapersError::NameTaken(entry.name));
        }
        // A card does not make its org a steward: what an org may do is the charter's to say.
        entry.roles = charter.org(entry.root).map(|org| org.roles.clone()).unwrap_or_default();
        let mut next = self.clone();
        next.merge_certificates(certificates);
        if charter.org(entry.root) != Some(&entry) {
            charter.version += 1;
            charter.prev = checked.signed.hash();
            charter.time = now.max(charter.time);
            charter.orgs.retain(|org| org.root != entry.root);
            let at = charter.orgs.partition_point(|org| org.root < entry.root);
            charter.orgs.insert(at, entry);
            next.charters.push(Signed::sign(&charter, &[root]));
        }
        next.check()?;
        Ok(next)
    }

    /// Takes certificates that are new or newer.
    pub fn merge_certificates(&mut self, certificates: &[Signed]) {
        for signed in certificates {
            let Ok(new) = Certificate::open(signed) else {
                continue;
            };
            let older = |other: &Signed| {
                other
                    .read::<Certificate>()
                    .is_ok_and(|old| old.node_key() == new.node_key() && old.version < new.version)
            };
            self.certificates.retain(|other| !older(other));
            let known = |other: &Signed| {
                other.read::<Certificate>().is_ok_and(|old| old.node_key() == new.node_key())
            };
            if !self.certificates.iter().any(known) {
                self.certificates.push(signed.clone());
            }
        }
    }
}

impl Checked {
    /// The node's own org, if its certificate is here.
    #[must_use]
    pub fn org_of(&self, node: NodeKey) -> Option<&OrgEntry> {
        self.charter.org(self.nodes.get(&node)?.org)
    }

    /// Nodes of one org.
    pub fn nodes_of(&self, org: OrgId) -> impl Iterator<Item = &Certificate> {
        self.nodes.values().filter(move |node| node.org == org)
    }
}

/// An entry with nothing but a name, for callers to fill.
#[must_use]
pub fn entry(root: OrgId, name: &str) -> OrgEntry {
    OrgEntry {
        root,
        name: name.to_owned(),
        kind: tocsin_record::document::OrgKind::Csirt.code(),
        country: *b"ZZ",
        regimes: Vec::new(),
        constituency: Constituency::default(),
        contact: Contact::default(),
        addresses: Vec::new(),
        quota: 0,
        roles: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::card::tests::sample;
    use super::*;

    #[test]
    fn a_mesh_grows_by_its_stewards_word_only() {
        let (founder, card) = sample("cert-aa", 10);
        let papers =
            Papers::found("exercise", [1; 32], card.entry.clone(), card.certificates.clone(), &founder, 5)
                .unwrap();
        let (partner, partner_card) = sample("police-bb", 20);
        let grown = papers.add(partner_card.entry.clone(), &partner_card.certificates, &founder, 6).unwrap();
        let checked = grown.check().unwrap();
        assert_eq!(checked.mesh, papers.check().unwrap().mesh, "the mesh stays the same");
        assert_eq!(checked.charter.version, 2);
        assert_eq!(checked.nodes.len(), 2);
        assert!(matches!(
            papers.add(partner_card.entry.clone(), &partner_card.certificates, &partner, 6),
            Err(PapersError::NotSteward)
        ));
        let again = grown.add(partner_card.entry.clone(), &partner_card.certificates, &founder, 7).unwrap();
        assert_eq!(again, grown, "the same card twice changes nothing");
        let (_, namesake) = sample("police-bb", 30);
        assert!(matches!(
            grown.add(namesake.entry, &namesake.certificates, &founder, 7),
            Err(PapersError::NameTaken(_))
        ));
    }

    #[test]
    fn a_broken_chain_is_refused() {
        let (founder, card) = sample("cert-aa", 10);
        let papers = Papers::found("x", [1; 32], card.entry.clone(), card.certificates, &founder, 5).unwrap();
        let (_, partner) = sample("police-bb", 20);
        let grown = papers.add(partner.entry, &partner.certificates, &founder, 6).unwrap();
        let mut broken = grown.clone();
        broken.charters.remove(0);
        assert!(broken.check().is_err());
        let mut forged = grown;
        forged.charters[1].bytes.push(0);
        assert!(forged.check().is_err());
        assert!(matches!(Papers::default().check(), Err(PapersError::Empty)));
    }
}
