//! Who is dialled, and when: every member in a small mesh, some in a large one; the lower peer id first where both
//! can; again after a while where it failed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tocsin_clock as clock;
use tocsin_home::identity::peer_id;
use tocsin_net::{Net, PeerKey};
use tocsin_protocol::Directory;
use tocsin_record::NodeKey;
use tokio::sync::watch;
use tracing::debug;

use crate::links::Links;

/// Up to so many nodes, all are dialled.
const FULL_MESH: usize = 20;
/// In a larger mesh, so many are dialled: three would keep every circle connected, more make it quick to mend.
const CHOSEN: usize = 8;
/// In a larger mesh, besides so many of each circle that is not the whole mesh, and of those whom a proposal for one concerns.
const OF_CIRCLE: usize = 3;
/// Most that are dialled in a larger mesh, whatever circles there are.
const MOST: usize = 64;
/// How often it is looked at what is to be dialled.
const EVERY: Duration = Duration::from_millis(250);
/// How long the higher peer id waits for the lower one to dial: it may not be able to.
const COURTESY_MS: u64 = 5_000;
/// First and longest wait after a dial that failed, in ms: a partner that comes back after hours is found within some
/// 15 s, which with a handful of dials a minute costs nobody anything.
const BACKOFF_MS: (u64, u64) = (500, 10_000);
/// A dial that brought neither a link nor a fault is given up after this, in ms: a little later than the transports do.
const GIVE_UP_MS: u64 = 15_000;

/// How often the names of members' hosts are looked up anew, in ms.
const HOSTS_EVERY_MS: u64 = 600_000;

/// A peer that can be dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its transport key.
    pub peer: PeerKey,
    /// Multiaddresses, tried in this order.
    pub addresses: Vec<String>,
    /// Whether this node is the one that dials first.
    pub first: bool,
}

/// Who is to be dialled, by the documents in force.
#[must_use]
pub(crate) fn targets(directory: &Directory, node: NodeKey, listens: bool) -> Vec<Target> {
    let Some(own) = directory.certificate(node) else {
        return Vec::new();
    };
    let Some(own_id) = peer_id(&own.transport_key()) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (other, certificate) in directory.nodes().filter(|(other, _)| *other != node) {
        let peer = certificate.transport_key();
        let Some(id) = peer_id(&peer) else { continue };
        let suffix = format!("/p2p/{id}");
        let entry = directory.org_of(other).and_then(|org| directory.org(org));
        let addresses: Vec<String> = entry
            .map(|entry| {
                entry.addresses.iter().filter(|address| address.ends_with(&suffix)).cloned().collect()
            })
            .unwrap_or_default();
        if !addresses.is_empty() {
            let first = !listens || own_id.to_bytes() < id.to_bytes();
            // Distance between the two ids: each node chooses others, and every node is chosen by some.
            let distance: Vec<u8> = node.0.iter().zip(&other.0).map(|(a, b)| a ^ b).collect();
            found.push((distance, certificate.org, Target { peer, addresses, first }));
        }
    }
    if found.len() <= FULL_MESH {
        return found.into_iter().map(|(_, _, target)| target).collect();
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    let mut chosen: BTreeSet<usize> = (0..CHOSEN).collect();
    for group in directory.groups_of(own.org) {
        let in_it = found.iter().enumerate().filter(|(_, (_, org, _))| group.contains(org));
        chosen.extend(in_it.map(|(at, _)| at).take(OF_CIRCLE));
    }
    let chosen = found.into_iter().enumerate().filter(|(at, _)| chosen.contains(at));
    // The other may not have chosen this node.
    chosen.map(|(_, (_, _, target))| Target { first: true, ..target }).take(MOST).collect()
}

/// Where members are reached by the charter; dials from there are theirs most likely.
fn addresses(directory: &Directory) -> Vec<String> {
    directory.charter().orgs.iter().flat_map(|entry| entry.addresses.iter().cloned()).collect()
}

/// What is known of the dials to one peer.
#[derive(Clone, Copy, Debug, Default)]
struct Attempt {
    /// Not before this, by the monotonic clock.
    next: u64,
    failures: u32,
    /// When a dial that is under way began.
    began: Option<u64>,
}

/// What is known of the link to one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// It is up.
    Up,
    /// It is not.
    Down,
    /// It is not, and the last dial failed or the last link ended.
    Failed,
}

impl Attempt {
    fn new(first: bool, now: u64) -> Self {
        Self { next: if first { now } else { now + COURTESY_MS }, ..Self::default() }
    }

    /// Whether a dial begins now.
    fn look(&mut self, target: &Target, link: Link, now: u64) -> bool {
        if link == Link::Up {
            *self = Self::new(target.first, now);
            return false;
        }
        if let Some(began) = self.began {
            if link == Link::Failed || now >= began + GIVE_UP_MS {
                self.began = None;
                self.failures += 1;
                self.next = now + backoff(self.failures, &target.peer, now);
            }
            return false;
        }
        if now < self.next {
            return false;
        }
        self.began = Some(now);
        true
    }
}

/// Dials for as long as the node runs.
pub async fn run(
    net: Net,
    links: Arc<Links>,
    directory: watch::Receiver<Arc<Directory>>,
    node: NodeKey,
    listens: bool,
) {
    let mut attempts: BTreeMap<PeerKey, Attempt> = BTreeMap::new();
    let mut every = tokio::time::interval(EVERY);
    let mut seen: Option<Arc<Directory>> = None;
    let mut wanted = Vec::new();
    let mut next_hosts = 0;
    loop {
        every.tick().await;
        let current = directory.borrow().clone();
        if seen.as_ref().is_none_or(|seen| !Arc::ptr_eq(seen, &current)) {
            wanted = targets(&current, node, listens);
            let members: Vec<PeerKey> =
                current.nodes().map(|(_, certificate)| certificate.transport_key()).collect();
            links.keep(|peer| members.contains(peer));
            net.allow(members);
            next_hosts = 0;
            attempts.retain(|peer, _| wanted.iter().any(|target| target.peer == *peer));
            seen = Some(current);
        }
        let now = clock::monotonic_ms();
        if now >= next_hosts {
            next_hosts = now + HOSTS_EVERY_MS;
            net.know_hosts(addresses(&directory.borrow()));
        }
        for target in &wanted {
            let attempt = attempts.entry(target.peer).or_insert_with(|| Attempt::new(target.first, now));
            let link = if links.is_linked(&target.peer) {
                Link::Up
            } else if links.fault(&target.peer).is_some() {
                Link::Failed
            } else {
                Link::Down
            };
            if attempt.look(target, link, now) {
                debug!(addresses = ?target.addresses, "dial");
                links.failed_clear(&target.peer);
                if let Err(error) = net.dial(target.peer, target.addresses.clone()) {
                    links.failed(target.peer, error.to_string());
                }
            }
        }
    }
}

/// Doubles from half a second to ten, with up to half of it less, so that nodes that came up together part.
fn backoff(failures: u32, peer: &PeerKey, now: u64) -> u64 {
    let (first, longest) = BACKOFF_MS;
    let full = first.saturating_mul(1 << failures.min(16).saturating_sub(1)).min(longest);
    let noise = peer.iter().fold(now, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    full - noise % (full / 2 + 1)
}

#[cfg(test)]
mod tests {
    use tocsin_record::keys::Secret;

    use super::*;

    #[test]
    fn in_a_large_mesh_some_of_each_circle_are_dialled() {
        use tocsin_record::document::{Purpose, Roster, Signed};
        use tocsin_record::{OrgId, testing};

        let root = |n: u8| Secret::from_seed(&[n; 32]);
        let record = |n: u8| Secret::from_seed(&[100 + n; 32]);
        let transport = |n: u8| Secret::from_seed(&[200 + n; 32]);
        let mut orgs: Vec<_> = (0..50u8)
            .map(|n| {
                let mut entry = testing::org(&root(n), &format!("org{n}"));
                let peer = peer_id(&transport(n).public()).unwrap();
                entry.addresses = vec![format!("/ip4/192.0.2.{n}/tcp/7117/p2p/{peer}")];
                entry.roles = if n == 0 { vec!["steward".to_owned()] } else { vec![] };
                entry
            })
            .collect();
        orgs.sort_by_key(|org| org.root);
        let mut documents = vec![Signed::sign(&testing::charter(orgs), &[&root(0)])];
        for n in 0..50u8 {
            let keys = [
                testing::key(Purpose::Record, &record(n).public()),
                testing::key(Purpose::Transport, &transport(n).public()),
                testing::key(Purpose::Steward, &record(n).public()),
            ];
            let certificate = testing::certificate(&root(n), keys.to_vec());
            documents.push(Signed::sign(&certificate, &[&root(n), &record(n), &transport(n)]));
        }
        let mut directory = Directory::load(&documents).unwrap();
        let dialled = |directory: &Directory| {
            let targets = targets(directory, NodeKey(record(0).public()), true);
            assert!(targets.iter().all(|target| target.first));
            let peers: BTreeSet<PeerKey> = targets.iter().map(|target| target.peer).collect();
            (0..50u8).filter(|n| peers.contains(&transport(*n).public())).collect::<Vec<u8>>()
        };
        let before = dialled(&directory);
        assert_eq!(before.len(), CHOSEN);
        // A pair with an org that it would not dial.
        let other = (1..50).find(|n| !before.contains(n)).unwrap();
        let mut members = vec![OrgId(root(0).public()), OrgId(root(other).public())];
        members.sort_unstable();
        let roster = testing::roster(members, vec![record(0).public()]);
        let roster = Roster { mesh: directory.mesh(), ..roster };
        directory.take(&Signed::sign(&roster, &[&record(0), &record(other)])).unwrap();
        let after = dialled(&directory);
        assert!(after.contains(&other) && after.len() == CHOSEN + 1, "{after:?}");
    }

    #[test]
    fn waits_grow_to_ten_seconds_and_part() {
        for failures in 1..40 {
            let wait = backoff(failures, &[7; 32], 1234);
            assert!((250..=10_000).contains(&wait), "{wait}");
        }
        let waits: std::collections::BTreeSet<u64> =
            (0..50).map(|peer| backoff(30, &[peer; 32], 1)).collect();
        assert!(waits.len() > 25 && waits.iter().all(|wait| *wait >= 5_000), "{waits:?}");
    }

    /// Whenever a partner comes back, and whether its machine refused the dials meanwhile or swallowed them.
    #[test]
    fn a_partner_that_returns_after_hours_is_dialled_within_15_seconds() {
        let step = u64::try_from(EVERY.as_millis()).unwrap();
        for (first, answers_after) in [(true, 0), (true, 10_000), (false, 0), (false, 10_000)] {
            let target = Target { peer: [9; 32], addresses: vec![], first };
            let mut attempt = Attempt::new(first, 0);
            attempt.look(&target, Link::Up, 0);
            let mut dialled = Vec::new();
            let mut link = Link::Down;
            for now in (0..3 * 3_600_000).step_by(usize::try_from(step).unwrap()) {
                if attempt.began.is_some_and(|began| now >= began + answers_after) {
                    link = Link::Failed;
                }
                if attempt.look(&target, link, now) {
                    dialled.push(now);
                    link = Link::Down;
                }
            }
            let longest = dialled.windows(2).map(|two| two[1] - two[0]).max().unwrap();
            // A dial that is under way when the partner returns reaches it by the transports' own repeats.
            assert!(longest - answers_after <= 15_000 - step, "{first} {answers_after}: {longest}");
            assert!(dialled.len() < 3 * 3600 / 4, "{} dials in three hours", dialled.len());
        }
    }
}
