//! Nothing is erased early: a body that was here is gone for a reason that holds by true time, whatever the node's clock
//! says: its org took the report back, its record ended, or the node's policy refuses it now.

use std::collections::BTreeSet;

use tocsin_record::RecordId;
use tocsin_store::BodyState;

use super::{Scene, Sight, Violation, stands_at};
use crate::registry::Truth;

const NAME: &str = "kept";
/// How far a clock may be ahead before a node notices that it is wrong, in ms: 10 minutes by section 4 of the design, and
/// what honest clocks differ by.
const AHEAD_MS: u64 = 610_000;

/// Bodies that were seen at nodes.
#[derive(Debug, Default)]
pub struct Kept(BTreeSet<(usize, RecordId)>);

impl Kept {
    /// A node refuses a record now: it may drop its body.
    pub fn refused(&mut self, node: usize, id: RecordId) {
        self.0.remove(&(node, id));
    }

    /// An old disk was put back.
    pub fn restored(&mut self, node: usize) {
        self.0.retain(|(at, _)| *at != node);
    }

    /// Looks at all bodies of a node.
    ///
    /// # Errors
    /// If one is gone without a reason.
    pub fn check(&mut self, scene: &Scene<'_>, node: usize, sight: &Sight) -> Result<(), Violation> {
        for truth in scene.registry.all().iter().filter(|truth| scene.cast.was_member(node, truth.circle)) {
            let was_here = self.0.contains(&(node, truth.id));
            let body = stands_at(scene, sight, truth).map(|(_, outcome)| outcome.body);
            let why = match body {
                Some(BodyState::Here) => {
                    self.0.insert((node, truth.id));
                    continue;
                }
                Some(BodyState::Gone(reason)) if !may_be_gone(scene, truth) => {
                    let over = truth.lapses().map(|time| time as i64 - scene.wall() as i64);
                    format!(
                        "was erased (reason {reason}), but nobody took it back and it ends in {over:?} ms"
                    )
                }
                Some(BodyState::Gone(_) | BodyState::Refused) => {
                    self.0.remove(&(node, truth.id));
                    continue;
                }
                None if was_here => "is not known any more".to_owned(),
                Some(body) if was_here => format!("was here and is {body:?}"),
                _ => continue,
            };
            let (author, seq) = (scene.name(truth.author), truth.seq);
            let what = format!("at {} the body of record {seq} of {author} {why}", scene.name(node));
            return Err(scene.broken(NAME, what));
        }
        Ok(())
    }
}

fn may_be_gone(scene: &Scene<'_>, truth: &Truth) -> bool {
    let ended = truth.lapses().is_some_and(|time| time <= scene.wall() + AHEAD_MS);
    ended || truth.subject.is_some_and(|subject| scene.registry.is_taken_back(truth, subject))
}
