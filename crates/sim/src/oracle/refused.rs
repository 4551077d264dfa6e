//! A refusal is remembered (I8): what a node refused under the policy in force, by a clock that was right, it does not ask for
//! again.

use std::collections::BTreeMap;

use tocsin_record::{LogKey, RecordId};

use super::{Scene, Violation};
use crate::world::Micros;

const NAME: &str = "refused";
/// A question that was on its way when the record was refused may still leave, for so long.
const GRACE_US: Micros = 2_000_000;

/// What was refused by which node, and when, since its policy last changed.
#[derive(Debug, Default)]
pub struct Refused(BTreeMap<(usize, RecordId), Micros>);

impl Refused {
    /// A node refused a record.
    pub fn refused(&mut self, node: usize, id: RecordId, now: Micros) {
        self.0.insert((node, id), now);
    }

    /// A node decided otherwise.
    pub fn lifted(&mut self, node: usize, id: RecordId) {
        self.0.remove(&(node, id));
    }

    /// A node's policy changed, its clock was set, or an old disk was put back: it decides anew.
    pub fn forget(&mut self, node: usize) {
        self.0.retain(|(at, _), _| *at != node);
    }

    /// A node asks for a body.
    ///
    /// # Errors
    /// If it refused it before.
    pub fn asked(&self, scene: &Scene<'_>, node: usize, log: &LogKey, seq: u64) -> Result<(), Violation> {
        let Some(id) = scene.registry.only_at(log, seq) else { return Ok(()) };
        match self.0.get(&(node, id)) {
            Some(since) if scene.now_us > since + GRACE_US => {
                let author = scene.cast.node_of.get(&log.author).map(|at| scene.name(*at));
                let what = format!(
                    "{} asks for record {seq} of {}, which it refused {} ms ago",
                    scene.name(node),
                    author.unwrap_or_default(),
                    (scene.now_us - since) / 1000
                );
                Err(scene.broken(NAME, what))
            }
            _ => Ok(()),
        }
    }
}
