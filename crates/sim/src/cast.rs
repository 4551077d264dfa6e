//! Who takes part: orgs, their nodes and keys, the circles with their signed rosters, and who is linked to whom.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_protocol::Directory;
use tocsin_record::document::{
    Carry, Certificate, CertifiedKey, Charter, Constituency, Contact, OrgEntry, OrgKind, Purpose, Roster,
    Signed,
};
use tocsin_record::keys::Secret;
use tocsin_record::{CircleId, DocHash, MeshId, NodeKey, OrgId};

use crate::config::Config;
use crate::dice::Dice;

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

const COUNTRIES: [[u8; 2]; 6] = [*b"FR", *b"DE", *b"PL", *b"GR", *b"NO", *b"CA"];
const KINDS: [OrgKind; 4] = [OrgKind::Csirt, OrgKind::Police, OrgKind::Border, OrgKind::Private];

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
        let steward = Secret::from_seed(&dice.bytes());
        let mut nodes: Vec<Member> = Vec::new();
        for (org, members) in nodes_of.iter().enumerate() {
            for _ in members {
                let steward = (org == 0).then_some(&steward);
                let node = member(org, nodes.len(), &roots[org], steward, &mut dice);
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
            cast.add_force(at, config.force_orgs, &steward, &mut dice);
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
            // A roster is taken where the certificate of its steward came before.
            let _ = directory.take(signed);
        }
        directory
    }

    fn add_force(&mut self, at: usize, sizes: (usize, usize), steward: &Secret, dice: &mut Dice) {
        let count = self.orgs.len();
        let size = dice.range(sizes.0.min(count) as u64, sizes.1.min(count) as u64) as usize;
        let mut all: Vec<usize> = (0..count).collect();
        dice.shuffle(&mut all);
        let orgs: BTreeSet<usize> = all.into_iter().take(size).collect();
        let mut ids: Vec<OrgId> = orgs.iter().map(|org| self.orgs[*org].id).collect();
        ids.sort();
        let roster = Roster {
            mesh: self.mesh,
            version: 1,
            prev: DocHash::ZERO,
            nonce: dice.bytes(),
            name: format!("force-{at}"),
            time: BEGIN_MS - 3_600_000,
            expires: 0,
            carry: Carry::Members,
            orgs: ids,
            carriers: Vec::new(),
            stewards: vec![steward.public()],
            cuts: Vec::new(),
            extension: Vec::new(),
        };
        let signed = Signed::sign(&roster, &[steward]);
        let id = CircleId(signed.hash().0);
        let nodes = orgs.iter().flat_map(|org| self.orgs[*org].nodes.clone()).collect();
        self.circles.push(Circle { id, kind: CircleKind::Force, orgs, nodes });
        self.rosters.push(signed);
    }

    /// Half of the nodes only dial out, but every circle that has an honest pair has an honest listener.
    fn choose_listeners(&mut self, config: &Config, dice: &mut Dice) {
        for node in &mut self.nodes {
            node.listens = !dice.percent(config.dial_out);
        }
        for circle in &self.circles {
            let honest: Vec<usize> =
                circle.nodes.iter().copied().filter(|at| !self.nodes[*at].liar).collect();
            if honest.len() > 1 && !honest.iter().any(|at| self.nodes[*at].listens) {
                let chosen = *dice.pick(&honest);
                self.nodes[chosen].listens = true;
            }
        }
    }

    /// Whether two nodes can be linked: one of them can be dialled.
    #[must_use]
    pub fn can_link(&self, a: usize, b: usize) -> bool {
        a != b && (self.nodes[a].listens || self.nodes[b].listens)
    }

    /// Every node dials three members of each of its circles, and each circle's honest nodes hang together.
    fn choose_pairs(&mut self, config: &Config, dice: &mut Dice) {
        let mut pairs: BTreeSet<(usize, usize)> = BTreeSet::new();
        let add = |pairs: &mut BTreeSet<_>, a: usize, b: usize| pairs.insert((a.min(b), a.max(b)));
        for circle in &self.circles {
            let members: Vec<usize> = circle.nodes.iter().copied().collect();
            for &node in &members {
                let mut others: Vec<usize> =
                    members.iter().copied().filter(|other| self.can_link(node, *other)).collect();
                dice.shuffle(&mut others);
                let extra =
                    if circle.kind == CircleKind::Mesh { dice.index(config.extra_links + 1) } else { 0 };
                for other in others.into_iter().take(DIALLED + extra) {
                    add(&mut pairs, node, other);
                }
            }
            let honest: Vec<usize> = members.iter().copied().filter(|at| !self.nodes[*at].liar).collect();
            let parts = parts_of(&honest, &pairs);
            // A part that stands apart is joined through a listener, which every circle has.
            for part in parts.iter().skip(1) {
                let link = part
                    .iter()
                    .flat_map(|a| parts[0].iter().map(move |b| (*a, *b)))
                    .find(|(a, b)| self.can_link(*a, *b));
                if let Some((a, b)) = link {
                    add(&mut pairs, a, b);
                }
            }
            // Two parts that only dial out are both joined to the listener's part, wherever that came in the list.
            if let Some(&hub) = honest.iter().find(|at| self.nodes[**at].listens) {
                for part in parts_of(&honest, &pairs) {
                    if !part.contains(&hub) {
                        add(&mut pairs, hub, part[0]);
                    }
                }
            }
        }
        self.pairs = pairs.into_iter().collect();
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

/// Connected parts of a set of nodes.
fn parts_of(nodes: &[usize], pairs: &BTreeSet<(usize, usize)>) -> Vec<Vec<usize>> {
    let mut left: BTreeSet<usize> = nodes.iter().copied().collect();
    let mut near: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for &(a, b) in pairs {
        near.entry(a).or_default().push(b);
        near.entry(b).or_default().push(a);
    }
    let mut parts = Vec::new();
    while let Some(first) = left.pop_first() {
        let mut part = vec![first];
        let mut at = 0;
        while at < part.len() {
            for next in near.get(&part[at]).into_iter().flatten() {
                if left.remove(next) {
                    part.push(*next);
                }
            }
            at += 1;
        }
        parts.push(part);
    }
    parts
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

fn entry(at: usize, root: OrgId, dice: &mut Dice) -> OrgEntry {
    let regimes = if dice.percent(60) { vec!["gdpr".to_owned()] } else { Vec::new() };
    OrgEntry {
        root,
        name: format!("org{at}"),
        kind: dice.pick(&KINDS).code(),
        country: *dice.pick(&COUNTRIES),
        regimes,
        constituency: Constituency::default(),
        contact: Contact::default(),
        addresses: Vec::new(),
        quota: 0,
        roles: if at == 0 { vec!["steward".to_owned()] } else { Vec::new() },
    }
}

fn charter(entries: &[OrgEntry], roots: &[Secret], dice: &mut Dice) -> Signed {
    let mut orgs = entries.to_vec();
    orgs.sort_by_key(|org| org.root);
    let charter = Charter {
        version: 1,
        prev: DocHash::ZERO,
        nonce: dice.bytes(),
        name: "simulated".to_owned(),
        time: BEGIN_MS - 86_400_000,
        expires: 0,
        history: 0,
        orgs,
        extension: Vec::new(),
    };
    Signed::sign(&charter, &[&roots[0]])
}

fn member(org: usize, at: usize, root: &Secret, steward: Option<&Secret>, dice: &mut Dice) -> Member {
    let secret: [u8; 32] = dice.bytes();
    let record = Secret::from_seed(&secret).public();
    let transport_secret = Secret::from_seed(&dice.bytes());
    let transport = transport_secret.public();
    let key = |purpose: Purpose, suite: u8, bytes: [u8; 32]| CertifiedKey {
        purpose: purpose as u16,
        suite,
        bytes: bytes.to_vec(),
        from: 0,
        until: 0,
    };
    let mut keys = vec![
        key(Purpose::Record, 0, record),
        key(Purpose::Transport, 0, transport),
        key(Purpose::Sealing, 1, dice.bytes()),
    ];
    keys.extend(steward.map(|steward| key(Purpose::Steward, 0, steward.public())));
    let certificate = Certificate {
        org: OrgId(root.public()),
        node: format!("n{at}"),
        version: 1,
        time: BEGIN_MS - 3_600_000,
        keys,
        branches: Vec::new(),
        extension: Vec::new(),
    };
    let record_secret = Secret::from_seed(&secret);
    let mut signers = vec![root, &record_secret, &transport_secret];
    signers.extend(steward);
    Member {
        org,
        secret,
        key: NodeKey(record),
        transport,
        certificate: Signed::sign(&certificate, &signers),
        listens: true,
        liar: false,
    }
}

#[cfg(test)]
mod tests {
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
                    assert!(directory.is_member(org, circle.id), "seed {seed}");
                }
            }
            assert!(cast.pairs.iter().all(|(a, b)| cast.can_link(*a, *b)), "seed {seed}");
        }
    }
}
