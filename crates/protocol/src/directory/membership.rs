//! Who is in a circle, and was: one answer for the circle of the mesh, for an org's own, and for those with rosters.
//!
//! Whoever wants to know who may write to a circle, read it or carry for it asks a [`Membership`], and nothing else. It is a
//! view of the documents in force: two words wide, made by one look into a map, and never kept.

use std::collections::BTreeMap;

use tocsin_record::document::{Carry, Certificate, Charter, Roster, Signed};
use tocsin_record::{CircleId, DocHash, LogId, LogKey, NodeKey, OrgId, RecordId};

use super::Directory;
use super::circles::Chain;

/// Who is in one circle, and was.
#[derive(Clone, Copy, Debug)]
pub struct Membership<'a> {
    directory: &'a Directory,
    circle: CircleId,
    kind: Kind<'a>,
}

/// By what a circle's members are known.
#[derive(Clone, Copy, Debug)]
enum Kind<'a> {
    /// The charter.
    Mesh,
    /// The circle's id.
    Own(OrgId),
    /// Its rosters.
    Rosters(&'a Chain),
    /// Nothing: no document that is here is of it.
    Unknown,
}

/// How much of what an org wrote to a circle counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// All: it is in.
    All,
    /// A log of it up to this record: the org was taken out, and the log is cut there.
    UpTo {
        /// Number of the last record that counts.
        seq: u64,
        /// Its id.
        id: RecordId,
    },
    /// Nothing: it never was in, or was taken out and its log is not among the cuts.
    Nothing,
}

impl<'a> Membership<'a> {
    pub(super) fn of(directory: &'a Directory, circle: CircleId) -> Self {
        let kind = if circle == CircleId::mesh(directory.mesh) {
            Kind::Mesh
        } else if let Some(chain) = directory.circles.chain(circle) {
            Kind::Rosters(chain)
        } else if let Some(org) = directory.owners.get(&circle) {
            Kind::Own(*org)
        } else {
            Kind::Unknown
        };
        Self { directory, circle, kind }
    }

    /// Whether any document says who is in.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !matches!(self.kind, Kind::Unknown)
    }

    /// The newest version of the roster: the charter's for the mesh, 1 for an own circle, 0 if it is not known.
    #[must_use]
    pub fn version(&self) -> u32 {
        match self.kind {
            Kind::Mesh => self.directory.charter.version,
            Kind::Own(_) => 1,
            Kind::Rosters(chain) => chain.newest().version,
            Kind::Unknown => 0,
        }
    }

    /// Whether an org is in now: it may write to the circle and read it. Who said that it leaves is out, also before a version
    /// says so.
    #[must_use]
    pub fn has(&self, org: OrgId) -> bool {
        self.lists(org) && self.is_there(org)
    }

    /// Whether the newest version says that an org is in.
    #[must_use]
    pub(crate) fn lists(&self, org: OrgId) -> bool {
        match self.kind {
            Kind::Mesh => true,
            Kind::Own(owner) => owner == org,
            Kind::Rosters(chain) => chain.newest().has(org),
            Kind::Unknown => false,
        }
    }

    fn is_there(&self, org: OrgId) -> bool {
        self.directory.charter.org(org).is_some()
            && !self.directory.has_left(self.circle, org)
            && !self.is_from_before(org)
    }

    /// Whether an org came into a circle before it was taken out of the mesh: that it is in the mesh again does not bring it
    /// back, for what was written meanwhile was not for it. The circle's stewards take it out, and invite it anew.
    pub(crate) fn is_from_before(&self, org: OrgId) -> bool {
        let (Some(returned), Kind::Rosters(chain)) = (self.directory.terms.returned(org), self.kind) else {
            return false;
        };
        let versions = (1..=chain.newest().version).rev().map_while(|version| chain.version(version));
        let came = versions.take_while(|roster| roster.carries(org)).last();
        came.is_some_and(|roster| roster.time < returned)
    }

    /// Whether an org was in by a version of the roster; by one that is not here nobody was.
    #[must_use]
    pub fn had(&self, org: OrgId, version: u32) -> bool {
        match self.kind {
            Kind::Mesh => version <= self.version() && self.directory.terms.had(org, version),
            Kind::Own(owner) => owner == org && version == 1,
            Kind::Rosters(chain) => chain.version(version).is_some_and(|roster| roster.has(org)),
            Kind::Unknown => false,
        }
    }

    /// The version by which an org came in, if it is in: by all since then it was.
    #[must_use]
    pub fn since(&self, org: OrgId) -> Option<u32> {
        if !self.has(org) {
            return None;
        }
        match self.kind {
            Kind::Mesh => self.directory.terms.since(org),
            Kind::Own(_) => Some(1),
            Kind::Rosters(chain) => {
                let newest = chain.newest().version;
                (1..=newest).rev().take_while(|version| self.had(org, *version)).last()
            }
            Kind::Unknown => None,
        }
    }

    /// Whether an org is given the circle's headers now: it is in, or carries for those who are.
    #[must_use]
    pub fn carries(&self, org: OrgId) -> bool {
        let is_carrier = || self.roster().is_some_and(|roster| roster.carries(org));
        (self.lists(org) || is_carrier()) && self.is_there(org)
    }

    /// Whether two orgs both are in or carry: only then is the circle spoken of between them.
    #[must_use]
    pub fn is_shared(&self, one: OrgId, other: OrgId) -> bool {
        self.carries(other) && self.carries(one)
    }

    /// The orgs that are in now, in order of root key.
    pub fn members(&self) -> impl Iterator<Item = OrgId> + use<'a> {
        let charter = &self.directory.charter;
        let (all, some): (&[_], Vec<OrgId>) = match self.kind {
            Kind::Mesh => (&charter.orgs, Vec::new()),
            Kind::Own(owner) => (&[], vec![owner]),
            Kind::Rosters(chain) => (&[], chain.newest().orgs.clone()),
            Kind::Unknown => (&[], Vec::new()),
        };
        let membership = *self;
        let listed = some.into_iter().filter(move |org| membership.has(*org));
        all.iter().map(|entry| entry.root).chain(listed)
    }

    /// The nodes of the orgs that are in now, in order of key.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeKey, &'a Certificate)> + use<'a> {
        let membership = *self;
        self.directory.nodes().filter(move |(_, certificate)| membership.has(certificate.org))
    }

    /// How many orgs are in; of one that is not known, one.
    #[must_use]
    pub fn size(&self) -> usize {
        match self.kind {
            Kind::Mesh => self.directory.charter.orgs.len(),
            Kind::Own(_) | Kind::Unknown => 1,
            Kind::Rosters(chain) => chain.newest().orgs.len(),
        }
    }

    /// Who hands its records on.
    #[must_use]
    pub fn carry(&self) -> Carry {
        self.roster().map_or(Carry::Members, |roster| roster.carry)
    }

    /// The orgs that carry for it and are not in, in order of root key.
    pub fn carriers(&self) -> impl Iterator<Item = OrgId> + use<'a> {
        let roster = self.roster().filter(|roster| roster.carry == Carry::Named);
        let carriers = roster.map_or(&[][..], |roster| &roster.carriers[..]);
        let membership = *self;
        carriers.iter().copied().filter(move |org| membership.is_there(*org))
    }

    /// How much counts of what an org wrote to one of its logs in this circle. Of the mesh and of own circles the charter decides
    /// alone: they have no cuts.
    #[must_use]
    pub fn counts(&self, org: OrgId, log: LogId) -> Counts {
        if self.has(org) {
            return Counts::All;
        }
        let Kind::Rosters(chain) = self.kind else { return Counts::Nothing };
        let was_in = (1..=chain.newest().version).any(|version| self.had(org, version));
        let cut = chain.newest().cuts.iter().find(|cut| cut.log == log && was_in);
        cut.map_or(Counts::Nothing, |cut| Counts::UpTo { seq: cut.seq, id: cut.id })
    }

    /// As [`Self::counts`]: the number of the last record that counts.
    pub(crate) fn counts_up_to(&self, org: OrgId, log: &LogKey) -> u64 {
        // Most are in, and need no hash.
        if self.has(org) {
            return u64::MAX;
        }
        match self.counts(org, log.id()) {
            Counts::All => u64::MAX,
            Counts::UpTo { seq, .. } => seq,
            Counts::Nothing => 0,
        }
    }

    /// The newest roster of a circle that has one of its own.
    #[must_use]
    pub fn roster(&self) -> Option<&'a Roster> {
        if let Kind::Rosters(chain) = self.kind { Some(chain.newest()) } else { None }
    }

    /// The first roster of such a circle, as it was signed.
    #[must_use]
    pub(crate) fn first(&self) -> Option<&'a Signed> {
        if let Kind::Rosters(chain) = self.kind { Some(chain.first()) } else { None }
    }

    /// The hash of the newest.
    #[must_use]
    pub(crate) fn newest_hash(&self) -> Option<DocHash> {
        if let Kind::Rosters(chain) = self.kind { Some(chain.newest_hash()) } else { None }
    }

    /// The org that began a circle with rosters, as long as it certifies the key that signed the first.
    #[must_use]
    pub fn founder(&self) -> Option<OrgId> {
        if let Kind::Rosters(chain) = self.kind { chain.founder() } else { None }
    }
}

/// An org that is no longer in the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Former {
    /// What it was called.
    pub name: String,
    /// The version of the charter that took it out.
    pub charter: u32,
    /// When that was written, in ms.
    pub time: u64,
}

/// In which versions of the charter each org was.
#[derive(Clone, Debug, Default)]
pub(super) struct Terms {
    /// From the first version of each term to the one that ended it, in order; the last has no end while it lasts.
    orgs: BTreeMap<OrgId, Vec<(u32, Option<u32>)>>,
    /// Those that are out now.
    former: BTreeMap<OrgId, Former>,
    /// When those that were out came back last, in ms: hardly any mesh has such an org.
    returned: BTreeMap<OrgId, u64>,
}

impl Terms {
    /// A charter, the next after the one before, is in force.
    pub fn follow(&mut self, before: Option<&Charter>, charter: &Charter) {
        let left = before.map_or(&[][..], |before| &before.orgs);
        for entry in left.iter().filter(|entry| charter.org(entry.root).is_none()) {
            let former = Former { name: entry.name.clone(), charter: charter.version, time: charter.time };
            self.former.insert(entry.root, former);
        }
        for entry in &charter.orgs {
            if self.former.remove(&entry.root).is_some() {
                self.returned.insert(entry.root, charter.time);
            }
        }
        for (org, terms) in &mut self.orgs {
            if let Some((_, until @ None)) = terms.last_mut()
                && charter.org(*org).is_none()
            {
                *until = Some(charter.version);
            }
        }
        for entry in &charter.orgs {
            let terms = self.orgs.entry(entry.root).or_default();
            if !matches!(terms.last(), Some((_, None))) {
                terms.push((charter.version, None));
            }
        }
    }

    fn had(&self, org: OrgId, version: u32) -> bool {
        let lasts = |(from, until): &(u32, Option<u32>)| {
            *from <= version && until.is_none_or(|until| version < until)
        };
        self.orgs.get(&org).is_some_and(|terms| terms.iter().any(lasts))
    }

    pub fn former(&self) -> impl Iterator<Item = (OrgId, &Former)> {
        self.former.iter().map(|(org, former)| (*org, former))
    }

    pub fn former_org(&self, org: OrgId) -> Option<&Former> {
        self.former.get(&org)
    }

    /// When an org that was taken out came back, in ms; `None` if it was in since it came first.
    pub fn returned(&self, org: OrgId) -> Option<u64> {
        // This is asked for every record.
        if self.returned.is_empty() { None } else { self.returned.get(&org).copied() }
    }

    fn since(&self, org: OrgId) -> Option<u32> {
        self.orgs.get(&org)?.last().filter(|(_, until)| until.is_none()).map(|(from, _)| *from)
    }
}

#[cfg(test)]
mod tests {
    use tocsin_record::keys::Secret;
    use tocsin_record::testing;

    use super::*;

    #[test]
    fn who_was_in_the_charter_is_known_by_version() {
        let entry = |n: u8| testing::org(&Secret::from_seed(&[n; 32]), &format!("org{n}"));
        let org = |n: u8| entry(n).root;
        let charter = |version, orgs: &[u8]| {
            let mut orgs: Vec<_> = orgs.iter().map(|n| entry(*n)).collect();
            orgs.sort_by_key(|org| org.root);
            Charter { version, ..testing::charter(orgs) }
        };
        let mut terms = Terms::default();
        let mut before: Option<Charter> = None;
        for (version, orgs) in [(1, &[1][..]), (2, &[1, 2]), (3, &[1]), (4, &[1, 2]), (5, &[1, 2])] {
            let next = Charter { time: 100 * u64::from(version), ..charter(version, orgs) };
            terms.follow(before.as_ref(), &next);
            let out: Vec<_> = terms.former().map(|(org, former)| (org, former.charter)).collect();
            assert_eq!(out, if version == 3 { vec![(org(2), 3)] } else { vec![] });
            before = Some(next);
        }
        assert_eq!([1, 2, 3].map(|n| terms.returned(org(n))), [None, Some(400), None]);
        let was = |n| (0..=5).filter(|version| terms.had(org(n), *version)).collect::<Vec<u32>>();
        assert_eq!(was(1), [1, 2, 3, 4, 5]);
        assert_eq!(was(2), [2, 4, 5]);
        assert!(was(3).is_empty());
        assert_eq!([1, 2, 3].map(|n| terms.since(org(n))), [Some(1), Some(4), None]);
    }
}
