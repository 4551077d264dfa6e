//! A fork is contained: once a node knows of one, nothing more is taken of that author in that circle, in any epoch, but
//! what stands below the fork; what is held from the fork on is marked, and its bodies leave the node no more.

use std::collections::BTreeMap;

use tocsin_record::{CircleId, LogKey, NodeKey};
use tocsin_store::{BodyState, RecordRef, Standing, Verdict};

use super::{Scene, Sight, Violation};
use crate::world::Micros;

const NAME: &str = "contained";
/// A frame that was on its way when the fork was found may still leave, for so long.
const GRACE_US: Micros = 2_000_000;

/// An author in a circle, at a node.
type Whose = (usize, NodeKey, CircleId);

/// What a node held when it learnt of a fork.
#[derive(Debug, Default)]
struct Stopped {
    heights: BTreeMap<LogKey, u64>,
    forks: BTreeMap<LogKey, (u64, Micros)>,
}

/// All forks that nodes know of.
#[derive(Debug, Default)]
pub struct Contained(BTreeMap<Whose, Stopped>);

impl Contained {
    /// A node tells of a fork.
    pub fn forked(&mut self, node: usize, sight: &Sight, author: NodeKey, circle: CircleId, now: Micros) {
        let stopped = self.0.entry((node, author, circle)).or_default();
        let first = stopped.heights.is_empty();
        for log in sight.logs().into_iter().filter(|log| (log.key.author, log.key.circle) == (author, circle))
        {
            if first {
                stopped.heights.insert(log.key, log.tip.seq);
            }
            if let Standing::Forked { at } = log.standing {
                let known = stopped.forks.entry(log.key).or_insert((at, now));
                if at < known.0 {
                    *known = (at, now);
                }
            }
        }
    }

    /// An old disk was put back: what it knows counts.
    pub fn restored(&mut self, node: usize, sight: &Sight, now: Micros) {
        self.0.retain(|(at, _, _), _| *at != node);
        for log in sight.logs().into_iter().filter(|log| matches!(log.standing, Standing::Forked { .. })) {
            self.forked(node, sight, log.key.author, log.key.circle, now);
        }
    }

    /// Looks at all logs of a node.
    ///
    /// # Errors
    /// If it took more of an author than it should, or does not mark what is disputed.
    pub fn check(&self, scene: &Scene<'_>, node: usize, sight: &Sight) -> Result<(), Violation> {
        for log in sight.logs() {
            let Some(stopped) = self.0.get(&(node, log.key.author, log.key.circle)) else { continue };
            let known = stopped.heights.get(&log.key).copied().unwrap_or_default();
            let below = stopped.forks.get(&log.key).map_or(0, |(at, _)| at - 1);
            let author = scene.cast.node_of.get(&log.key.author).map(|at| scene.name(*at));
            let says = |why: String| {
                let author = author.clone().unwrap_or_default();
                let what =
                    format!("{} has {author}'s log {}, who forked: {why}", scene.name(node), log.key.epoch);
                Err(scene.broken(NAME, what))
            };
            // What stands below a fork may come late, and is signed where its run ends, which may be behind the fork: of
            // what stands there only the header is kept, refused.
            let crossed = |seq| {
                let stored = sight.record(RecordRef { log: log.no, seq }).ok().flatten();
                stored.is_some_and(|stored| {
                    let outcome = stored.stamped.outcome;
                    outcome.verdict == Verdict::Refused && outcome.body == BodyState::NotHeld
                })
            };
            let counts = known.max(below);
            let may_cross = known < below && stopped.forks.contains_key(&log.key);
            if log.tip.seq > counts && !(may_cross && (counts + 1..=log.tip.seq).all(crossed)) {
                return says(format!("it goes up to {}, and {counts} is all that counts", log.tip.seq));
            }
            let Some((at, _)) = stopped.forks.get(&log.key) else { continue };
            for seq in *at..=log.tip.seq {
                let stored = sight.record(RecordRef { log: log.no, seq }).ok().flatten();
                if stored.is_some_and(|stored| !stored.disputed) {
                    return says(format!("record {seq} is not marked, and it forked at {at}"));
                }
            }
        }
        Ok(())
    }

    /// A body left a node.
    ///
    /// # Errors
    /// If it is disputed.
    pub fn sent(&self, scene: &Scene<'_>, node: usize, log: &LogKey, seq: u64) -> Result<(), Violation> {
        let stopped = self.0.get(&(node, log.author, log.circle));
        match stopped.and_then(|stopped| stopped.forks.get(log)) {
            Some((at, since)) if seq >= *at && scene.now_us > since + GRACE_US => {
                let author = scene.cast.node_of.get(&log.author).map(|at| scene.name(*at));
                let what = format!(
                    "{} passes on record {seq} of {}, who forked at {at}",
                    scene.name(node),
                    author.unwrap_or_default()
                );
                Err(scene.broken(NAME, what))
            }
            _ => Ok(()),
        }
    }
}
