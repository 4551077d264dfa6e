//! What was acknowledged survives: every record whose publishing was answered, and every height that a node told others
//! of, is still there after a crash. A restored old disk takes back what it had not seen, and nothing else does.

use std::collections::BTreeMap;

use tocsin_record::{LogKey, RecordId};
use tocsin_store::{BodyState, RecordRef};

use super::{Scene, Sight, Violation};

const NAME: &str = "durable";

/// What one node promised.
#[derive(Clone, Debug, Default)]
pub struct Promises {
    /// Heights that it told others of.
    heights: BTreeMap<LogKey, u64>,
    /// Own records whose publishing was answered.
    acked: BTreeMap<RecordId, (LogKey, u64)>,
}

impl Promises {
    /// The node answered a publish request.
    pub fn acked(&mut self, id: RecordId, log: LogKey, seq: u64) {
        self.acked.insert(id, (log, seq));
    }

    /// An old disk was put back: what it lacks is no longer promised.
    pub fn restored(&mut self, sight: &Sight) {
        let held =
            |log: &LogKey| sight.log_no(log).and_then(|no| sight.log(no)).map_or(0, |info| info.tip.seq);
        self.heights.retain(|log, height| {
            *height = (*height).min(held(log));
            *height > 0
        });
        self.acked.retain(|_, (log, seq)| held(log) >= *seq);
    }

    /// The node tells somebody how far it holds a log.
    ///
    /// # Errors
    /// If it does not.
    pub fn told(
        &mut self,
        scene: &Scene<'_>,
        node: usize,
        sight: &Sight,
        log: LogKey,
        height: u64,
    ) -> Result<(), Violation> {
        let held = sight.log_no(&log).and_then(|no| sight.log(no)).map_or(0, |info| info.tip.seq);
        if held < height {
            let what = format!(
                "{} says it holds {:?}'s log up to {height}, but {held} is all it has on disk",
                scene.name(node),
                log.author
            );
            return Err(scene.broken(NAME, what));
        }
        let known = self.heights.entry(log).or_default();
        *known = (*known).max(height);
        Ok(())
    }

    /// The node was started anew over its disk.
    ///
    /// # Errors
    /// If something that was promised is gone.
    pub fn check(&self, scene: &Scene<'_>, node: usize, sight: &Sight) -> Result<(), Violation> {
        for (log, height) in &self.heights {
            let held = sight.log_no(log).and_then(|no| sight.log(no)).map_or(0, |info| info.tip.seq);
            if held < *height {
                let what = format!(
                    "{} told others that it holds {:?}'s log up to {height}; after its restart it is {held}",
                    scene.name(node),
                    log.author
                );
                return Err(scene.broken(NAME, what));
            }
        }
        for (id, (log, seq)) in &self.acked {
            let lost = |why: &str| {
                let what = format!(
                    "{} answered for {id} (record {seq}), and {why} after its restart",
                    scene.name(node)
                );
                Err(scene.broken(NAME, what))
            };
            let Some(no) = sight.log_no(log) else {
                return lost("its log is gone");
            };
            match sight.record(RecordRef { log: no, seq: *seq }) {
                Ok(Some(stored)) if stored.entry.id == *id => {
                    let body = stored.stamped.outcome.body;
                    if !matches!(body, BodyState::Here | BodyState::Gone(_)) {
                        return lost("its body is gone");
                    }
                }
                Ok(Some(_)) => return lost("another stands there"),
                Ok(None) => return lost("it is gone"),
                Err(error) => return lost(&format!("it does not read ({error})")),
            }
        }
        Ok(())
    }
}
