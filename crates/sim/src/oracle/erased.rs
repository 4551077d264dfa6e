//! What was erased is gone: a while after a node accepted a retraction, or after a record ended, its body is in no answer,
//! no cache, no page and no frame of that node, and no value that was ever on its disk opens to it with the keys that are
//! there now; also where the power was cut, before the node starts again.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_record::body::report::Subject;
use tocsin_record::{BodyHash, RecordId, header::body_hash};
use tocsin_store::BodyState;
use tocsin_store::attic::Attic;
use tocsin_store::faulty::{FaultyKv, FaultySlots};

use super::{Glance, Scene, Sight, Violation, stands_at};
use crate::registry::Truth;
use crate::world::Micros;

const NAME: &str = "erased";
/// A frame that was on its way when the retraction came may still leave, for so long.
const GRACE_US: Micros = 2_000_000;
/// A record that ended is erased within so many ms by a node whose clock is right.
const LATE_MS: u64 = 10_000;

/// A report in a circle: org, circle, subject.
type Report = (usize, usize, Subject);

/// What one node knows to be taken back, and all values that were seen on its disk.
#[derive(Debug, Default)]
struct Known {
    taken_back: BTreeMap<Report, Micros>,
    attic: Attic,
}

/// What all nodes know.
#[derive(Debug, Default)]
pub struct Erased(BTreeMap<usize, Known>);

impl Erased {
    /// A node accepted a record: a retraction counts from now on.
    pub fn accepted(&mut self, scene: &Scene<'_>, node: usize, id: &RecordId) {
        if let Some(truth) = scene.registry.get(id)
            && let Some(subject) = truth.retracts
        {
            let report = (truth.facts.author, truth.circle, subject);
            self.0.entry(node).or_default().taken_back.entry(report).or_insert(scene.now_us);
        }
    }

    /// An old disk was put back: what it does not know is not taken back there.
    pub fn restored(&mut self, scene: &Scene<'_>, node: usize, sight: &Sight) {
        self.0.entry(node).or_default().taken_back.clear();
        for truth in scene.registry.all().iter().filter(|truth| truth.retracts.is_some()) {
            if stands_at(scene, sight, truth).is_some_and(|(_, outcome)| outcome.body == BodyState::Here) {
                self.accepted(scene, node, &truth.id);
            }
        }
    }

    fn is_taken_back(&self, scene: &Scene<'_>, node: usize, truth: &Truth) -> bool {
        let Some(subject) = truth.subject else { return false };
        let known = self.0.get(&node);
        let since =
            known.and_then(|known| known.taken_back.get(&(truth.facts.author, truth.circle, subject)));
        since.is_some_and(|since| scene.now_us > since + GRACE_US)
    }

    /// Looks at all bodies of a node, and keeps a copy of its disk.
    ///
    /// # Errors
    /// If one is here that should be gone.
    pub fn check(
        &mut self,
        scene: &Scene<'_>,
        node: usize,
        glance: &Glance<'_>,
        disk: &FaultyKv,
    ) -> Result<(), Violation> {
        self.0.entry(node).or_default().attic.gather(disk);
        for truth in scene.registry.all().iter().filter(|truth| scene.cast.was_member(node, truth.circle)) {
            let over = glance.is_right && truth.lapses().is_some_and(|time| time + LATE_MS < scene.wall());
            let why = match self.is_taken_back(scene, node, truth) {
                true => "was taken back",
                false if over => "has ended",
                false => continue,
            };
            let Some((place, outcome)) = stands_at(scene, glance.sight, truth) else { continue };
            if outcome.body == BodyState::Here || matches!(glance.sight.body(place), Ok(Some(_))) {
                let (author, seq) = (scene.name(truth.author), truth.seq);
                let what = format!("{} still has record {seq} of {author}, which {why}", scene.name(node));
                return Err(scene.broken(NAME, what));
            }
        }
        Ok(())
    }

    /// A body left a node.
    ///
    /// # Errors
    /// If the node knows that it was taken back.
    pub fn sent(&self, scene: &Scene<'_>, node: usize, id: &RecordId) -> Result<(), Violation> {
        match scene.registry.get(id) {
            Some(truth) if self.is_taken_back(scene, node, truth) => {
                let (author, seq) = (scene.name(truth.author), truth.seq);
                let what =
                    format!("{} sent record {seq} of {author}, which was taken back", scene.name(node));
                Err(scene.broken(NAME, what))
            }
            _ => Ok(()),
        }
    }

    /// Bodies that a node says to be gone, by their hashes.
    #[must_use]
    pub fn gone(&self, scene: &Scene<'_>, sight: &Sight) -> BTreeSet<BodyHash> {
        let is_gone = |truth: &&Truth| {
            let body = stands_at(scene, sight, truth).map(|(_, outcome)| outcome.body);
            matches!(body, Some(BodyState::Gone(_)))
        };
        scene.registry.all().iter().filter(is_gone).map(|truth| body_hash(&truth.body)).collect()
    }

    /// Tries all that was ever on a node's disk with the keys that are there now: `gone` are the bodies that must not open.
    ///
    /// # Errors
    /// If something opens to one of them.
    pub fn dig(
        &self,
        scene: &Scene<'_>,
        node: usize,
        sight: &Sight,
        slots: &FaultySlots,
        gone: &BTreeSet<BodyHash>,
    ) -> Result<(), Violation> {
        let Some(known) = self.0.get(&node).filter(|_| !gone.is_empty()) else { return Ok(()) };
        let bodies = known.attic.bodies(slots, |no| sight.log(no).map(|log| log.key));
        let bodies = bodies.map_err(|error| scene.broken(NAME, error.to_string()))?;
        match bodies.iter().find(|(_, body)| gone.contains(&body_hash(body))) {
            None => Ok(()),
            Some((place, _)) => {
                let what = format!(
                    "the disk of {} still opens to record {} of its log {}, which was erased",
                    scene.name(node),
                    place.seq,
                    place.log.0
                );
                Err(scene.broken(NAME, what))
            }
        }
    }
}
