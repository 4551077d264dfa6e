//! Who takes part: orgs, their nodes and keys, the circles with their signed rosters, and who is linked to whom.

mod links;
mod papers;

use std::collections::{BTreeMap, BTreeSet};

use tocsin_protocol::Directory;
use tocsin_record::document::{OrgEntry, Roster, Signed};
use tocsin_record::keys::Secret;
use tocsin_record::{CircleId, DocHash, LogId, LogKey, MeshId, NodeKey, OrgId};

use crate::config::Config;
use crate::dice::Dice;

use papers::{charter, entry, member};

/// The wall time at which every run begins, in ms since 1970.
pub const BEGIN_MS: u64 = 1_800_000_000_000;
/// Members of its circle that every node dials at least, as far as there are so many.
pub const DIALLED: usize = 3;

/// An agency.
pub struct Org {
    /// Its id: the root's public key.
    pub id: OrgId,
    /// Its charter entry.
    pub entry: OrgEntry,
    /// Its nodes.
    pub nodes: Vec<usize>,
    /// Seed of the key with which it signs rosters.
    pub steward: [u8; 32],
}

/// A machine of an org.
pub struct Member {
    /// Which org.
    pub org: usize,
    /// Seed of its record key.
    pub secret: [u8; 32],
    /// Seed of its sealing key.
    pub sealing: [u8; 32],
    /// Its record key.
    pub key: NodeKey,
    /// Its transport key.
    pub transport: [u8; 32],
    /// Its certificate.
    pub certificate: Signed,
    /// Whether others can dial it.
    pub listens: bool,
    /// Whether it is under the control of a liar.
    pub liar: bool,
}

/// What a circle is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircleKind {
    /// Of one org's nodes.
    Own(usize),
    /// Of all.
    Mesh,
    /// With a roster.
    Force,
}

/// Who is in a circle by one version of its roster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Orgs.
    pub orgs: BTreeSet<usize>,
    /// Their nodes.
    pub nodes: BTreeSet<usize>,
}

/// A set of orgs that records are addressed to.
pub struct Circle {
    /// Its id, which stands in every header addressed to it.
    pub id: CircleId,
    /// What it is.
    pub kind: CircleKind,
    /// Who is in by each version, from the first: those that are in force, and those that the run is to make.
    pub plan: Vec<Members>,
    /// The versions of its roster that are in force or were, from the first; none where it has no roster.
    pub rosters: Vec<Signed>,
    /// Where the logs of those end who are out by the version in force.
    cuts: BTreeMap<LogId, u64>,
}

impl Circle {
    fn of(id: CircleId, kind: CircleKind, members: Members) -> Self {
        Self { id, kind, plan: vec![members], rosters: Vec::new(), cuts: BTreeMap::new() }
    }

    /// The next version of its roster is in force.
    pub fn follow(&mut self, signed: Signed) {
        self.rosters.push(signed);
        self.read_cuts();
    }

    /// The version in force is lost: the one before it is in force again.
    pub fn fall_back(&mut self) -> Option<Signed> {
        let lost = self.rosters.pop();
        self.read_cuts();
        lost
    }

    fn read_cuts(&mut self) {
        let newest = self.rosters.last().and_then(|signed| signed.read::<Roster>().ok());
        self.cuts = newest.into_iter().flat_map(|roster| roster.cuts).map(|cut| (cut.log, cut.seq)).collect();
    }

    /// The version in force.
    #[must_use]
    pub fn version(&self) -> usize {
        self.rosters.len().max(1)
    }

    /// Who is in now.
    #[must_use]
    pub fn members(&self) -> &Members {
        &self.plan[self.version() - 1]
    }

    /// Who is in by a version, counted from 1, which is in force or was.
    #[must_use]
    pub fn by_version(&self, version: usize) -> Option<&Members> {
        self.plan[..self.version()].get(version.checked_sub(1)?)
    }

    /// Whether a node is in, or was.
    #[must_use]
    pub fn ever_had(&self, node: usize) -> bool {
        self.plan[..self.version()].iter().any(|members| members.nodes.contains(&node))
    }
}

/// All of them.
pub struct Cast {
    /// The mesh.
    pub mesh: MeshId,
    /// Agencies.
    pub orgs: Vec<Org>,
    /// Every node of every org, at the place by which all else names it.
    pub nodes: Vec<Member>,
    /// Circles: the mesh first, then the orgs' own in order, then those with rosters.
    pub circles: Vec<Circle>,
    /// Of which circle and version a roster is, from the moment at which it was signed.
    pub roster_of: BTreeMap<DocHash, (usize, usize)>,
    /// Circles by id.
    pub circle_of: BTreeMap<CircleId, usize>,
    /// Nodes by record key.
    pub node_of: BTreeMap<NodeKey, usize>,
    /// The charter.
    pub charter: Signed,
    /// All documents, read once for all nodes.
    pub directory: Directory,
    /// Pairs of nodes that keep a link.
    pub pairs: Vec<(usize, usize)>,
}

impl Cast {
    /// Draws the mesh of a run.
    #[must_use]
    pub fn draw(config: &Config) -> Self {
        let mut dice = Dice::new(config.seed, "cast");
        let nodes_of = share_out(config, &mut dice);
        let roots: Vec<Secret> = nodes_of.iter().map(|_| Secret::from_seed(&dice.bytes())).collect();
        let entries: Vec<OrgEntry> =
            roots.iter().enumerate().map(|(at, root)| entry(at, OrgId(root.public()), &mut dice)).collect();
        let charter = charter(&entries, &roots, &mut dice);
        let mesh = MeshId(charter.hash().0);
        // The first org founds all circles; of each other a steward agrees to be in them.
        let mut seeds: Vec<[u8; 32]> = vec![dice.bytes()];
        let mut steward_dice = Dice::new(config.seed, "stewards");
        seeds.extend(roots.iter().skip(1).map(|_| steward_dice.bytes::<32>()));
        let stewards: Vec<Secret> = seeds.iter().map(Secret::from_seed).collect();
        let mut nodes: Vec<Member> = Vec::new();
        for (org, members) in nodes_of.iter().enumerate() {
            for _ in members {
                let node = member(org, nodes.len(), &roots[org], &stewards[org], &mut dice);
                nodes.push(node);
            }
        }
        let orgs: Vec<Org> = entries
            .into_iter()
            .zip(nodes_of.iter().zip(seeds))
            .map(|(entry, (members, steward))| Org { id: entry.root, entry, nodes: members.clone(), steward })
            .collect();
        choose_liars(config, &orgs, &mut nodes, &mut dice);
        let mut cast = Self {
            mesh,
            circles: own_and_mesh(mesh, &orgs),
            roster_of: BTreeMap::new(),
            circle_of: BTreeMap::new(),
            node_of: nodes.iter().enumerate().map(|(at, node)| (node.key, at)).collect(),
            orgs,
            nodes,
            directory: open(&charter),
            charter,
            pairs: Vec::new(),
        };
        for at in 0..config.forces {
            cast.add_force(at, config.force_orgs, &stewards, &mut dice);
        }
        cast.plan_changes(config);
        cast.circle_of = cast.circles.iter().enumerate().map(|(at, circle)| (circle.id, at)).collect();
        cast.choose_listeners(config, &mut dice);
        cast.choose_pairs(config, &mut dice);
        cast.directory = cast.load(&cast.documents());
        cast
    }

    /// The directory that documents of this cast make, the charter among them.
    #[must_use]
    pub fn load(&self, papers: &[Signed]) -> Directory {
        let mut directory = open(&self.charter);
        for signed in papers {
            // It was in force there: of those who agreed to a roster some are not known yet.
            let _ = directory.take_back(signed);
        }
        directory
    }

    /// The country of a node's org.
    #[must_use]
    pub fn country(&self, node: usize) -> [u8; 2] {
        self.orgs[self.nodes[node].org].entry.country
    }

    /// Whether a node is of a member org of a circle now.
    #[must_use]
    pub fn is_member(&self, node: usize, circle: usize) -> bool {
        self.circles[circle].members().nodes.contains(&node)
    }

    /// Whether a node is of an org that is in a circle, or was.
    #[must_use]
    pub fn was_member(&self, node: usize, circle: usize) -> bool {
        self.circles[circle].ever_had(node)
    }

    /// The last record of a log in a circle that counts: of who is out, the one at which its log was cut.
    #[must_use]
    pub fn counts_up_to(&self, circle: usize, log: &LogKey) -> u64 {
        let circle = &self.circles[circle];
        let is_out = |author: &usize| !circle.members().nodes.contains(author);
        if self.node_of.get(&log.author).is_some_and(is_out) {
            return circle.cuts.get(&log.id()).copied().unwrap_or(0);
        }
        u64::MAX
    }

    /// Circles with rosters.
    pub fn forces(&self) -> impl Iterator<Item = (usize, &Circle)> {
        self.circles.iter().enumerate().filter(|(_, circle)| circle.kind == CircleKind::Force)
    }

    /// All documents with which a run begins.
    #[must_use]
    pub fn documents(&self) -> Vec<Signed> {
        let certificates = self.nodes.iter().map(|node| node.certificate.clone());
        std::iter::once(self.charter.clone())
            .chain(certificates)
            .chain(self.forces().filter_map(|(_, circle)| circle.rosters.first().cloned()))
            .collect()
    }

    /// What a node has that starts with nothing but its invitation: the charter, its own certificate, and the rosters of
    /// its circles.
    #[must_use]
    pub fn papers(&self, node: usize) -> Vec<Signed> {
        let first = |circle: &Circle| circle.plan[0].nodes.contains(&node);
        let mine = self.forces().filter(|(_, circle)| first(circle));
        [self.charter.clone(), self.nodes[node].certificate.clone()]
            .into_iter()
            .chain(mine.filter_map(|(_, circle)| circle.rosters.first().cloned()))
            .collect()
    }
}

fn open(charter: &Signed) -> Directory {
    match Directory::open(charter.clone()) {
        Ok(directory) => directory,
        Err(error) => panic!("the charter of the cast does not count: {error}"),
    }
}

/// Nodes of each org: one, seldom two or three.
fn share_out(config: &Config, dice: &mut Dice) -> Vec<Vec<usize>> {
    let mut orgs: Vec<Vec<usize>> = Vec::new();
    for node in 0..config.nodes {
        let joins = !config.single && orgs.len() >= 3 && dice.percent(20);
        match orgs.last_mut() {
            Some(last) if joins && last.len() < 3 => last.push(node),
            _ => orgs.push(vec![node]),
        }
    }
    orgs
}

/// Liars are orgs of one node; the steward's is none.
fn choose_liars(config: &Config, orgs: &[Org], nodes: &mut [Member], dice: &mut Dice) {
    let mut single: Vec<usize> =
        orgs.iter().skip(1).filter(|org| org.nodes.len() == 1).map(|org| org.nodes[0]).collect();
    dice.shuffle(&mut single);
    for node in single.into_iter().take(config.liars) {
        nodes[node].liar = true;
    }
}

fn own_and_mesh(mesh: MeshId, orgs: &[Org]) -> Vec<Circle> {
    let everybody = Members {
        orgs: (0..orgs.len()).collect(),
        nodes: orgs.iter().flat_map(|org| org.nodes.clone()).collect(),
    };
    let all = Circle::of(CircleId::mesh(mesh), CircleKind::Mesh, everybody);
    let own = orgs.iter().enumerate().map(|(at, org)| {
        let members = Members { orgs: BTreeSet::from([at]), nodes: org.nodes.iter().copied().collect() };
        Circle::of(CircleId::own(mesh, org.id), CircleKind::Own(at), members)
    });
    std::iter::once(all).chain(own).collect()
}

#[cfg(test)]
mod tests {
    use super::links::parts_of;
    use super::*;
    use crate::config::Scale;

    #[test]
    fn documents_count_and_circles_hang_together() {
        for seed in 0..30 {
            let config = Config::draw(seed, Scale::Small);
            let cast = Cast::draw(&config);
            let directory = &cast.directory;
            assert_eq!(directory.nodes().count(), config.nodes, "seed {seed}");
            let pairs = cast.pairs.iter().copied().collect();
            for circle in &cast.circles {
                for members in &circle.plan {
                    let honest: Vec<usize> =
                        members.nodes.iter().copied().filter(|at| !cast.nodes[*at].liar).collect();
                    let parts = parts_of(&honest, &pairs).len();
                    assert!(parts <= 1, "seed {seed}: {:?} is in parts", circle.kind);
                }
                for node in &circle.members().nodes {
                    let org = cast.orgs[cast.nodes[*node].org].id;
                    assert!(directory.membership(circle.id).has(org), "seed {seed}");
                }
            }
            assert!(cast.pairs.iter().all(|(a, b)| cast.can_link(*a, *b)), "seed {seed}");
        }
    }
}
