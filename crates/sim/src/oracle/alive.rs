//! A liar stops nobody: in a run where nothing else goes wrong, and a liar is linked to every node, what honest nodes
//! publish is with all honest nodes that a permitted path reaches within a bound.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_record::RecordId;
use tocsin_store::BodyState;

use super::{Links, Scene, Sight, Violation, stands_at};
use crate::registry::Truth;
use crate::rules::Fate;
use crate::world::Micros;

const NAME: &str = "alive";
/// Time until a record is with all who may have it: on each of the few links of a path a liar may be asked first, for a run
/// and for a body, and be waited for: 3 s, and 1.5 s with four round trips and the second at which it is noticed.
pub const BOUND_US: Micros = 20_000_000;

/// Records that were published and are not looked for yet.
#[derive(Debug, Default)]
pub struct Alive(Vec<(Micros, RecordId)>);

impl Alive {
    /// An honest node answered that it published a record.
    pub fn published(&mut self, id: RecordId, now: Micros) {
        self.0.push((now, id));
    }

    /// Looks for all records that should be everywhere by now.
    ///
    /// # Errors
    /// If one is not.
    pub fn check(
        &mut self,
        scene: &Scene<'_>,
        sights: &[Option<Sight>],
        links: &Links,
    ) -> Result<(), Violation> {
        let due = self.0.iter().take_while(|(at, _)| at + BOUND_US <= scene.now_us).count();
        for (at, id) in self.0.drain(..due) {
            let Some(truth) = scene.registry.get(&id) else { continue };
            for node in reached(scene, truth, links) {
                let Some(sight) = &sights[node] else { continue };
                let body = stands_at(scene, sight, truth).map(|(_, outcome)| outcome.body);
                if !matches!(body, Some(BodyState::Here | BodyState::Gone(_))) {
                    let what = format!(
                        "record {} of {} was published {} ms ago, and is {body:?} at {}",
                        truth.seq,
                        scene.name(truth.author),
                        (scene.now_us - at) / 1000,
                        scene.name(node)
                    );
                    return Err(scene.broken(NAME, what));
                }
            }
        }
        Ok(())
    }
}

/// Honest nodes that want a record and that it may come to over honest nodes that believe it.
fn reached(scene: &Scene<'_>, truth: &Truth, links: &Links) -> BTreeSet<usize> {
    let cast = scene.cast;
    let mut near: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for &(a, b) in links {
        near.entry(a).or_default().push(b);
        near.entry(b).or_default().push(a);
    }
    let fate = |node: usize| scene.table(node).fate(&truth.facts, cast.nodes[node].org, cast.country(node));
    let mut found = BTreeSet::from([truth.author]);
    let mut left = vec![truth.author];
    while let Some(from) = left.pop() {
        for &to in near.get(&from).into_iter().flatten() {
            let (mine, partner) = (cast.nodes[from].org, cast.nodes[to].org);
            let wants = !cast.nodes[to].liar && cast.is_member(to, truth.circle) && fate(to) != Fate::Refuse;
            let may = scene.table(from).forwards(&truth.facts, &cast.orgs[partner].entry, partner, mine);
            if wants && may && fate(from) == Fate::Accept && found.insert(to) {
                left.push(to);
            }
        }
    }
    found
}
