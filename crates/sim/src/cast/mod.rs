//! Who takes part: orgs, their nodes and keys, the circles with their signed rosters, and who is linked to whom.

mod links;
mod papers;

use std::collections::{BTreeMap, BTreeSet};

use tocsin_protocol::Directory;
use tocsin_record::document::{OrgEntry, Signed};
use tocsin_record::keys::Secret;
use tocsin_record::{CircleId, MeshId, NodeKey, OrgId};

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

/// A set of orgs that records are addressed to.
pub struct Circle {
    /// Its id, which stands in every header addressed to it.
    pub id: CircleId,
    /// What it is.
    pub kind: CircleKind,
    /// Member orgs.
    pub orgs: BTreeSet<usize>,
    /// Member nodes.
    pub nodes: BTreeSet<usize>,
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
    /// Circles by id.
    pub circle_of: BTreeMap<CircleId, usize>,
    /// Nodes by record key.
    pub node_of: BTreeMap<NodeKey, usize>,
    /// The charter.
    pub charter: Signed,
    /// The rosters.
    pub rosters: Vec<Signed>,
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
        let mut stewards = vec![Secret::from_seed(&dice.bytes())];
        let mut steward_dice = Dice::new(config.seed, "stewards");
        stewards.extend(roots.iter().skip(1).map(|_| Secret::from_seed(&steward_dice.bytes())));
        let mut nodes: Vec<Member> = Vec::new();
        for (org, members) in nodes_of.iter().enumerate() {
            for _ in members {
                let node = member(org, nodes.len(), &roots[org], &stewards[org], &mut dice);
                nodes.push(node);
            }
        }
        let orgs: Vec<Org> = entries
            .into_iter()
            .zip(&nodes_of)
            .map(|(entry, members)| Org { id: entry.root, entry, nodes: members.clone() })
            .collect();
        choose_liars(config, &orgs, &mut nodes, &mut dice);
        let mut cast = Self {
            mesh,
            circles: own_and_mesh(mesh, &orgs),
            circle_of: BTreeMap::new(),
            node_of: nodes.iter().enumerate().map(|(at, node)| (node.key, at)).collect(),
            orgs,
            nodes,
            directory: open(&charter),
            charter,
            rosters: Vec::new(),
            pairs: Vec::new(),
        };
        for at in 0..config.forces {
            cast.add_force(at, config.force_orgs, &stewards, &mut dice);
        }
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

    /// Whether a node is of a member org of a circle.
    #[must_use]
    pub fn is_member(&self, node: usize, circle: usize) -> bool {
        self.circles[circle].nodes.contains(&node)
    }

    /// All documents.
    #[must_use]
    pub fn documents(&self) -> Vec<Signed> {
        let certificates = self.nodes.iter().map(|node| node.certificate.clone());
        std::iter::once(self.charter.clone())
            .chain(certificates)
            .chain(self.rosters.iter().cloned())
            .collect()
    }

    /// What a node has that starts with nothing but its invitation: the charter, its own certificate, and the rosters of
    /// its circles.
    #[must_use]
    pub fn papers(&self, node: usize) -> Vec<Signed> {
        let first = self.circles.len() - self.rosters.len();
        let mine = self.rosters.iter().enumerate().filter(|(at, _)| self.is_member(node, first + at));
        [self.charter.clone(), self.nodes[node].certificate.clone()]
            .into_iter()
            .chain(mine.map(|(_, roster)| roster.clone()))
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
    let all = Circle {
        id: CircleId::mesh(mesh),
        kind: CircleKind::Mesh,
        orgs: (0..orgs.len()).collect(),
        nodes: orgs.iter().flat_map(|org| org.nodes.clone()).collect(),
    };
    let own = orgs.iter().enumerate().map(|(at, org)| Circle {
        id: CircleId::own(mesh, org.id),
        kind: CircleKind::Own(at),
        orgs: BTreeSet::from([at]),
        nodes: org.nodes.iter().copied().collect(),
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
                let honest: Vec<usize> =
                    circle.nodes.iter().copied().filter(|at| !cast.nodes[*at].liar).collect();
                assert!(parts_of(&honest, &pairs).len() <= 1, "seed {seed}: {:?} is in parts", circle.kind);
                for node in &circle.nodes {
                    let org = cast.orgs[cast.nodes[*node].org].id;
                    assert!(directory.membership(circle.id).has(org), "seed {seed}");
                }
            }
            assert!(cast.pairs.iter().all(|(a, b)| cast.can_link(*a, *b)), "seed {seed}");
        }
    }
}
