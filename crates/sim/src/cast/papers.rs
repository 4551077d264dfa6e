//! The signed documents of a run: charter, certificates, rosters.

use std::collections::BTreeSet;

use tocsin_record::document::{
    Carry, Certificate, CertifiedKey, Charter, Constituency, Contact, Cut, OrgEntry, OrgKind, Purpose,
    Roster, Signed,
};
use tocsin_record::keys::Secret;
use tocsin_record::{CircleId, DocHash, NodeKey, OrgId};
use tocsin_seal::SealingKey;

use super::{BEGIN_MS, Cast, Circle, CircleKind, Member, Members};
use crate::config::Config;
use crate::dice::Dice;

const COUNTRIES: [[u8; 2]; 6] = [*b"FR", *b"DE", *b"PL", *b"GR", *b"NO", *b"CA"];
const KINDS: [OrgKind; 4] = [OrgKind::Csirt, OrgKind::Police, OrgKind::Border, OrgKind::Private];

impl Cast {
    pub(super) fn add_force(
        &mut self,
        at: usize,
        sizes: (usize, usize),
        stewards: &[Secret],
        dice: &mut Dice,
    ) {
        let count = self.orgs.len();
        let size = dice.range(sizes.0.min(count) as u64, sizes.1.min(count) as u64) as usize;
        let mut all: Vec<usize> = (0..count).collect();
        dice.shuffle(&mut all);
        let orgs: BTreeSet<usize> = all.into_iter().take(size).collect();
        let roster = Roster {
            mesh: self.mesh,
            version: 1,
            prev: DocHash::ZERO,
            nonce: dice.bytes(),
            name: format!("force-{at}"),
            time: BEGIN_MS - 3_600_000,
            expires: 0,
            carry: Carry::Members,
            orgs: self.ids(&orgs),
            carriers: Vec::new(),
            stewards: vec![stewards[0].public()],
            cuts: Vec::new(),
            extension: Vec::new(),
        };
        let agree = orgs.iter().filter(|org| **org != 0).map(|org| &stewards[*org]);
        let signers: Vec<&Secret> = std::iter::once(&stewards[0]).chain(agree).collect();
        let signed = Signed::sign(&roster, &signers);
        let id = CircleId(signed.hash().0);
        self.roster_of.insert(signed.hash(), (self.circles.len(), 1));
        let circle = Circle::of(id, CircleKind::Force, self.members(orgs));
        self.circles.push(Circle { rosters: vec![signed], ..circle });
    }

    fn members(&self, orgs: BTreeSet<usize>) -> Members {
        let nodes = orgs.iter().flat_map(|org| self.orgs[*org].nodes.clone()).collect();
        Members { orgs, nodes }
    }

    fn ids(&self, orgs: &BTreeSet<usize>) -> Vec<OrgId> {
        let mut ids: Vec<OrgId> = orgs.iter().map(|org| self.orgs[*org].id).collect();
        ids.sort();
        ids
    }

    /// Draws how the circles with rosters are to change while the run lasts: an org comes in, one goes, or both at once.
    pub(super) fn plan_changes(&mut self, config: &Config) {
        let mut dice = Dice::new(config.seed, "changes");
        let forces: Vec<usize> = self.forces().map(|(circle, _)| circle).collect();
        for _ in 0..if forces.is_empty() { 0 } else { config.changes } {
            let circle = *dice.pick(&forces);
            let Some(last) = self.circles[circle].plan.last() else { continue };
            let mut orgs = last.orgs.clone();
            let outside: Vec<usize> = (0..self.orgs.len()).filter(|org| !orgs.contains(org)).collect();
            let (comes, goes) = *dice.pick(&[(true, false), (false, true), (true, true)]);
            if goes && orgs.len() > 2 {
                let inside: Vec<usize> = orgs.iter().copied().collect();
                orgs.remove(dice.pick(&inside));
            }
            if comes && !outside.is_empty() {
                orgs.insert(*dice.pick(&outside));
            }
            if orgs != last.orgs {
                let members = self.members(orgs);
                self.circles[circle].plan.push(members);
            }
        }
    }

    /// The next version of a circle's roster as the run plans it, after the one in force: signed by its steward and by all who
    /// come in. `cuts` are where logs end of those who are out. `None` where nothing more is planned.
    pub fn next_roster(&mut self, circle: usize, cuts: Vec<Cut>) -> Option<Signed> {
        let known = &self.circles[circle];
        let (next, last) = (known.plan.get(known.version())?, known.rosters.last()?);
        let before: Roster = last.read().ok()?;
        let roster = Roster {
            version: before.version + 1,
            prev: last.hash(),
            time: before.time + 1,
            orgs: self.ids(&next.orgs),
            cuts,
            ..before
        };
        let new = next.orgs.difference(&known.members().orgs);
        let signers: BTreeSet<usize> = new.copied().chain([0]).collect();
        let secrets: Vec<Secret> =
            signers.iter().map(|org| Secret::from_seed(&self.orgs[*org].steward)).collect();
        let signed = Signed::sign(&roster, &secrets.iter().collect::<Vec<_>>());
        self.roster_of.insert(signed.hash(), (circle, roster.version as usize));
        Some(signed)
    }
}

pub(super) fn entry(at: usize, root: OrgId, dice: &mut Dice) -> OrgEntry {
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

pub(super) fn charter(entries: &[OrgEntry], roots: &[Secret], dice: &mut Dice) -> Signed {
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

pub(super) fn member(org: usize, at: usize, root: &Secret, steward: &Secret, dice: &mut Dice) -> Member {
    let secret: [u8; 32] = dice.bytes();
    let record = Secret::from_seed(&secret).public();
    let transport_secret = Secret::from_seed(&dice.bytes());
    let transport = transport_secret.public();
    let key = |purpose: Purpose, suite: u8, bytes: Vec<u8>| CertifiedKey {
        purpose: purpose as u16,
        suite,
        bytes,
        from: 0,
        until: 0,
    };
    let sealing = dice.bytes();
    let keys = vec![
        key(Purpose::Record, 0, record.to_vec()),
        key(Purpose::Transport, 0, transport.to_vec()),
        key(Purpose::Sealing, tocsin_seal::SUITE, SealingKey::from_seed(&sealing).public().to_bytes()),
        key(Purpose::Steward, 0, steward.public().to_vec()),
    ];
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
    let signers = [root, &record_secret, &transport_secret, steward];
    Member {
        org,
        secret,
        sealing,
        key: NodeKey(record),
        transport,
        certificate: Signed::sign(&certificate, &signers),
        listens: true,
        liar: false,
    }
}
