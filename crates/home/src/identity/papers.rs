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

/// The role of who signs charters.
const STEWARD: &str = "steward";

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
    /// Orgs that were taken out and are out still, the first taken out first.
    pub removed: Vec<Removed>,
}

/// An org that a charter took out of the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Its entry in the charter before.
    pub entry: OrgEntry,
    /// The version without it.
    pub charter: u32,
    /// When that was written, in ms.
    pub time: u64,
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
    /// Nobody could change the mesh any more.
    #[error(
        "`{0}` is the last steward, and nobody could change the mesh without one: make another org a steward first, \
         `tocsin mesh steward add ORG`"
    )]
    LastSteward(String),
    /// There is nothing to change.
    #[error("`{0}` is a steward already")]
    IsSteward(String),
    /// There is nothing to change.
    #[error("`{0}` is no steward: `tocsin mesh status` lists them")]
    IsNoSteward(String),
    /// No such org.
    #[error("there is no org `{0}` in the mesh: `tocsin mesh show` lists them")]
    NoOrg(String),
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
        let mut removed: Vec<Removed> = Vec::new();
        for pair in self.charters.windows(2) {
            let next = charter.follow(&pair[0], &pair[1])?;
            removed.retain(|removed| next.org(removed.entry.root).is_none());
            let out = charter.orgs.iter().filter(|entry| next.org(entry.root).is_none());
            let (charter_version, time) = (next.version, next.time);
            removed.extend(out.map(|entry| Removed { entry: entry.clone(), charter: charter_version, time }));
            charter = next;
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
        Ok(Checked { mesh, charter, signed, nodes, removed })
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
        founder.roles = vec![STEWARD.to_owned()];
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
        entry: OrgEntry,
        certificates: &[Signed],
        root: &Secret,
        now: u64,
    ) -> Result<Self, PapersError> {
        let checked = self.check()?;
        checked.require_steward(root)?;
        let mut next = self.clone();
        next.merge_certificates(certificates);
        if let Some(charter) = checked.with_entry(entry, now)? {
            next.charters.push(Signed::sign(&charter, &[root]));
        }
        next.check()?;
        Ok(next)
    }

    /// Takes an org out: a new charter version by a steward's root.
    ///
    /// # Errors
    /// [`PapersError`]; nothing changed then.
    pub fn remove(&self, name: &str, root: &Secret, now: u64) -> Result<Self, PapersError> {
        let checked = self.check()?;
        let charter = checked.without(name, now)?;
        checked.require_steward(root)?;
        let mut next = self.clone();
        next.charters.push(Signed::sign(&charter, &[root]));
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

    /// The version after the one in force, to be changed and signed.
    pub(super) fn next(&self, now: u64) -> Charter {
        Charter {
            version: self.charter.version + 1,
            prev: self.signed.hash(),
            time: now.max(self.charter.time),
            ..self.charter.clone()
        }
    }

    /// The next charter with an org's entry as its card has it; `None` where it stands so already.
    ///
    /// # Errors
    /// [`PapersError::NameTaken`].
    pub fn with_entry(&self, mut entry: OrgEntry, now: u64) -> Result<Option<Charter>, PapersError> {
        if self.charter.org_named(&entry.name).is_some_and(|org| org.root != entry.root) {
            return Err(PapersError::NameTaken(entry.name));
        }
        // A card does not make its org a steward: what an org may do is the charter's to say.
        entry.roles = self.charter.org(entry.root).map(|org| org.roles.clone()).unwrap_or_default();
        if self.charter.org(entry.root) == Some(&entry) {
            return Ok(None);
        }
        let mut next = self.next(now);
        next.orgs.retain(|org| org.root != entry.root);
        let at = next.orgs.partition_point(|org| org.root < entry.root);
        next.orgs.insert(at, entry);
        Ok(Some(next))
    }

    /// The next charter without an org.
    ///
    /// # Errors
    /// [`PapersError::NoOrg`], or [`PapersError::LastSteward`].
    pub fn without(&self, name: &str, now: u64) -> Result<Charter, PapersError> {
        let org = self.named(name)?.root;
        let mut next = self.next(now);
        next.orgs.retain(|entry| entry.root != org);
        if next.stewards().is_empty() {
            return Err(PapersError::LastSteward(name.to_owned()));
        }
        Ok(next)
    }

    /// The next charter with orgs made stewards, or, if not `adds`, stewards no more.
    ///
    /// # Errors
    /// [`PapersError`]: an org is not in, or it is so already, or no steward would be left.
    pub fn with_stewards(&self, names: &[String], adds: bool, now: u64) -> Result<Charter, PapersError> {
        let mut next = self.next(now);
        for name in names {
            let org = self.named(name)?.root;
            let Some(entry) = next.orgs.iter_mut().find(|entry| entry.root == org) else { continue };
            match (adds, entry.is_steward()) {
                (true, true) => return Err(PapersError::IsSteward(name.clone())),
                (false, false) => return Err(PapersError::IsNoSteward(name.clone())),
                (true, false) => entry.roles.push(STEWARD.to_owned()),
                (false, true) => entry.roles.retain(|role| role != STEWARD),
            }
        }
        if next.stewards().is_empty() {
            return Err(PapersError::LastSteward(names.join(", ")));
        }
        Ok(next)
    }

    /// The org of a name.
    ///
    /// # Errors
    /// [`PapersError::NoOrg`].
    pub fn named(&self, name: &str) -> Result<&OrgEntry, PapersError> {
        let missing = || PapersError::NoOrg(tocsin_text::cut(name, 80));
        self.charter.org_named(name).ok_or_else(missing)
    }

    fn require_steward(&self, root: &Secret) -> Result<(), PapersError> {
        let is_steward = self.charter.stewards().contains(&root.public());
        if is_steward { Ok(()) } else { Err(PapersError::NotSteward) }
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
    fn who_is_taken_out_is_out_and_told_as_such() {
        let (founder, card) = sample("cert-aa", 10);
        let papers = Papers::found("x", [1; 32], card.entry, card.certificates, &founder, 5).unwrap();
        let (partner, partner_card) = sample("police-bb", 20);
        let grown = papers.add(partner_card.entry.clone(), &partner_card.certificates, &founder, 6).unwrap();
        let fewer = grown.remove("police-bb", &founder, 7).unwrap();
        let checked = fewer.check().unwrap();
        assert_eq!((checked.charter.version, checked.charter.orgs.len(), checked.nodes.len()), (3, 1, 1));
        let [removed] = &checked.removed[..] else { panic!("{:?}", checked.removed) };
        assert_eq!((removed.entry.name.as_str(), removed.charter, removed.time), ("police-bb", 3, 7));
        for (name, signer, fits) in [
            ("police-bb", &partner, "not a steward's"),
            ("police-cc", &founder, "no org `police-cc`"),
            ("cert-aa", &founder, "last steward"),
        ] {
            let refused = grown.remove(name, signer, 7).unwrap_err().to_string();
            assert!(refused.contains(fits), "{name}: {refused}");
        }
        assert!(fewer.remove("police-bb", &founder, 8).is_err(), "it is out already");
        let again = fewer.add(partner_card.entry, &partner_card.certificates, &founder, 8).unwrap();
        let again = again.check().unwrap();
        assert!(again.removed.is_empty() && again.nodes.len() == 2 && again.charter.version == 4);
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
