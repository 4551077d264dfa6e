//! When faults end, honest nodes agree: all nodes of a circle hold equal headers, and each body is held exactly by
//! those that want it and that a permitted path reaches.
//!
//! Reachability is judged link by link: where two honest linked nodes differ about a body that one believes, may pass on,
//! and the other wants, a permitted path has not been walked to its end. That the bodies that are held came by permitted
//! paths is what the confined oracle saw on every link.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_record::body::report::Subject;
use tocsin_record::{LogKey, RecordId};
use tocsin_store::{BodyState, RecordRef, Standing, Verdict};

use super::{Links, Scene, Sight, Violation};
use crate::registry::Truth;
use crate::rules::Fate;

const NAME: &str = "convergent";
/// What expires within so many ms of the check may be there or not.
const MARGIN_MS: u64 = 15_000;
/// A record this far ahead of the clock is held until then, in ms, and a log that was opened so far ahead is taken by nobody.
const AHEAD_MS: u64 = 600_000;

/// The end of a log as nodes must agree on it.
type End = (u64, RecordId, Standing);

/// A report: the org of its author, its circle and its subject.
type Report = (usize, usize, Subject);

/// What is looked at.
pub struct Look<'a> {
    /// Who, what, which policies.
    pub scene: &'a Scene<'a>,
    /// Each node's store; honest nodes are all up.
    pub sights: &'a [Option<Sight>],
    /// Pairs that are linked.
    pub links: &'a Links,
    /// Nodes whose old disks were put back: they may lack what they wrote.
    pub restored: &'a BTreeSet<usize>,
    /// The true wall time, in ms.
    pub wall: u64,
}

/// A body in one store.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    NoHeader,
    Absent(BodyState),
    Here(Verdict),
}

impl Look<'_> {
    fn honest(&self, nodes: &BTreeSet<usize>) -> Vec<(usize, &Sight)> {
        let honest = nodes.iter().filter(|node| !self.scene.cast.nodes[**node].liar);
        honest.filter_map(|node| Some((*node, self.sights[*node].as_ref()?))).collect()
    }

    /// Whether the mesh agrees.
    ///
    /// # Errors
    /// The first place where it does not.
    pub fn check(&self) -> Result<(), Violation> {
        self.headers()?;
        let (withdrawn, doubtful) = self.withdrawn();
        let mut near: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for &(a, b) in self.links {
            near.entry(a).or_default().push(b);
            near.entry(b).or_default().push(a);
        }
        for truth in self.scene.registry.all() {
            let report = |subject| (truth.facts.author, truth.circle, subject);
            // Nodes that learnt of the fork in time did not take it back, the others did.
            let is_doubtful = truth.subject.is_some_and(|subject| {
                doubtful.contains(&report(subject)) && !withdrawn.contains(&report(subject))
            });
            if is_doubtful || self.is_cut(truth) || self.is_disputed(truth) || self.is_about_to_change(truth)
            {
                continue;
            }
            self.bodies(truth, &withdrawn, &near)?;
        }
        Ok(())
    }

    fn headers(&self) -> Result<(), Violation> {
        for (at, circle) in self.scene.cast.circles.iter().enumerate() {
            let members = self.honest(&circle.members().nodes);
            let Some((first, sight)) = members.first() else {
                continue;
            };
            let goes_by = |node: usize| self.scene.versions.of(node, at, u64::MAX).next();
            if let Some((node, _)) = members.iter().find(|(node, _)| goes_by(*node) != Some(circle.version()))
            {
                let what = format!(
                    "{} goes by version {:?} of the roster of {:?}, of which {} is in force",
                    self.scene.name(*node),
                    goes_by(*node),
                    circle.id,
                    circle.version()
                );
                return Err(self.scene.broken(NAME, what));
            }
            let expected = self.ends(at, sight);
            for (node, sight) in &members[1..] {
                let found = self.ends(at, sight);
                if found == expected {
                    continue;
                }
                let logs: BTreeSet<&LogKey> = expected.keys().chain(found.keys()).collect();
                let differs = logs.into_iter().find(|log| expected.get(log) != found.get(log));
                let what = differs.map_or_else(String::new, |log| {
                    let author = self.scene.cast.node_of.get(&log.author).map(|at| self.scene.name(*at));
                    let end = |end: Option<&End>| {
                        end.map_or("nothing".into(), |end| format!("{} {:?}", end.0, end.2))
                    };
                    format!(
                        "of {}'s log {} in {:?}, {} holds {} and {} {}",
                        author.unwrap_or_default(),
                        log.epoch,
                        circle.kind,
                        self.scene.name(*first),
                        end(expected.get(log)),
                        self.scene.name(*node),
                        end(found.get(log)),
                    )
                });
                return Err(self.scene.broken(NAME, what));
            }
        }
        Ok(())
    }

    /// The logs of a circle in one store. Behind a fork nodes may have gone on by different branches, and of an author
    /// who forked no other log need be complete. Of who is out only what is before the cut is told further.
    fn ends(&self, circle: usize, sight: &Sight) -> BTreeMap<LogKey, End> {
        let mut ends = BTreeMap::new();
        let id = self.scene.cast.circles[circle].id;
        for log in sight.logs() {
            // Who took a log while its own clock was as far ahead keeps it; the others wait until its time comes.
            let early = log.key.epoch + MARGIN_MS > self.wall + AHEAD_MS;
            if log.key.circle != id || log.tip.seq == 0 || early {
                continue;
            }
            let counts = self.scene.cast.counts_up_to(circle, &log.key);
            if counts != u64::MAX {
                if counts > 0 && !self.scene.registry.author_forked(&log.key) {
                    ends.insert(log.key, (log.tip.seq.min(counts), RecordId::ZERO, Standing::Open));
                }
                continue;
            }
            let end = match log.standing {
                Standing::Open if self.scene.registry.author_forked(&log.key) => {
                    if self.scene.registry.fork_of(&log.key).is_none() {
                        continue;
                    }
                    (log.tip.seq, log.tip.id, log.standing)
                }
                Standing::Forked { at } => {
                    // A log that forked at its first record holds nothing that counts.
                    if log.tip.seq + 1 < at {
                        (log.tip.seq, RecordId::ZERO, log.standing)
                    } else {
                        (at - 1, RecordId::ZERO, log.standing)
                    }
                }
                _ => (log.tip.seq, log.tip.id, log.standing),
            };
            ends.insert(log.key, end);
        }
        ends
    }

    /// Reports that were taken back by a retraction that some honest node holds, and those of which a disputed one says so.
    fn withdrawn(&self) -> (BTreeSet<Report>, BTreeSet<Report>) {
        let (mut withdrawn, mut doubtful) = (BTreeSet::new(), BTreeSet::new());
        for truth in self.scene.registry.all() {
            let Some(subject) = truth.retracts.filter(|_| !self.is_cut(truth)) else { continue };
            let members = self.honest(&self.scene.cast.circles[truth.circle].members().nodes);
            if members.iter().any(|(_, sight)| matches!(held(sight, truth), Held::Here(_))) {
                let reports = if self.is_disputed(truth) { &mut doubtful } else { &mut withdrawn };
                reports.insert((truth.facts.author, truth.circle, subject));
            }
        }
        (withdrawn, doubtful)
    }

    /// Whether it stands behind the cut of who is out: some had it before they knew, and nobody is told of it.
    fn is_cut(&self, truth: &Truth) -> bool {
        truth.seq > self.scene.cast.counts_up_to(truth.circle, &truth.log)
    }

    /// Whether it was sealed before a node's org came in: its body is not asked for.
    fn is_before_joining(&self, truth: &Truth, node: usize) -> bool {
        let by = self.scene.cast.circles[truth.circle].by_version(truth.roster as usize);
        truth.facts.sealed && by.is_none_or(|members| !members.nodes.contains(&node))
    }

    fn is_disputed(&self, truth: &Truth) -> bool {
        let registry = self.scene.registry;
        registry.author_forked(&truth.log)
            && registry.fork_of(&truth.log).is_none_or(|fork| truth.seq + 1 >= fork)
    }

    /// It lapses, or its time comes, so near to the moment of the look that either state is right.
    fn is_about_to_change(&self, truth: &Truth) -> bool {
        truth.lapses().is_some_and(|time| time.abs_diff(self.wall) < MARGIN_MS)
            || truth.time.abs_diff(self.wall + AHEAD_MS) < MARGIN_MS
    }

    /// Whether a record states a time that has not come.
    fn is_ahead(&self, truth: &Truth) -> bool {
        truth.time > self.wall + AHEAD_MS
    }

    /// What a node's policy makes of a record. One that was written by a clock far ahead is held until then.
    fn fate(&self, truth: &Truth, node: usize) -> Fate {
        let cast = self.scene.cast;
        if self.is_before_joining(truth, node) {
            return Fate::Refuse;
        }
        let fate = self.scene.table(node).fate(&truth.facts, cast.nodes[node].org, cast.country(node));
        if fate == Fate::Accept && self.is_ahead(truth) {
            return Fate::Hold;
        }
        fate
    }

    fn bodies(
        &self,
        truth: &Truth,
        withdrawn: &BTreeSet<Report>,
        near: &BTreeMap<usize, Vec<usize>>,
    ) -> Result<(), Violation> {
        let gone = truth
            .subject
            .is_some_and(|subject| withdrawn.contains(&(truth.facts.author, truth.circle, subject)))
            || truth.lapses().is_some_and(|time| time < self.wall);
        let members = self.honest(&self.scene.cast.circles[truth.circle].members().nodes);
        let all: BTreeMap<usize, Held> =
            members.iter().map(|(node, sight)| (*node, held(sight, truth))).collect();
        for (&node, &state) in &all {
            let fate = self.fate(truth, node);
            let says = |why: String| {
                let what = format!(
                    "{} {} (record {} of {} in {:?}) at {}: {why}",
                    truth.facts.kind,
                    truth.id,
                    truth.seq,
                    self.scene.name(truth.author),
                    truth.facts.circle,
                    self.scene.name(node)
                );
                Err(self.scene.broken(NAME, what))
            };
            match (state, fate) {
                (Held::Here(_), _) if gone => {
                    return says("its body is kept, but it was taken back or expired".into());
                }
                (Held::Here(verdict), Fate::Refuse) => {
                    return says(format!("its body stands as {verdict:?}, but the policy refuses it"));
                }
                (Held::Here(Verdict::Accepted), Fate::Accept) | (Held::Here(Verdict::Held), Fate::Hold) => {}
                // By a clock that was as far ahead it was accepted, and took what it names back, or opens what it opens, for
                // ever: that it waited from now on would be untrue. Who has it and was right then holds it.
                (Held::Here(Verdict::Accepted), Fate::Hold)
                    if !truth.facts.content && self.is_ahead(truth) => {}
                (Held::Here(verdict), fate) => {
                    return says(format!("it stands as {verdict:?}, by the table it is {fate:?}"));
                }
                // A header that nobody honest holds any more was lost with the one disk that had it.
                (Held::NoHeader, _) | (_, Fate::Refuse) => {}
                (Held::Absent(_), _) if gone => {}
                (Held::Absent(body), _) => {
                    if node == truth.author && !self.restored.contains(&node) {
                        return says(format!("its author lost its body ({body:?})"));
                    }
                    if let Some(giver) = self.giver(truth, node, near, &all) {
                        let what = format!(
                            "its body is missing ({body:?}), but {} may give it",
                            self.scene.name(giver)
                        );
                        return says(what);
                    }
                }
            }
        }
        Ok(())
    }

    /// A linked honest node that has the body, believes it and may pass it on.
    fn giver(
        &self,
        truth: &Truth,
        node: usize,
        near: &BTreeMap<usize, Vec<usize>>,
        all: &BTreeMap<usize, Held>,
    ) -> Option<usize> {
        let cast = self.scene.cast;
        let mine = cast.nodes[node].org;
        near.get(&node)?.iter().copied().find(|other| {
            let org = cast.nodes[*other].org;
            let table = self.scene.table(*other);
            matches!(all.get(other), Some(Held::Here(_)))
                && self.fate(truth, *other) == Fate::Accept
                && table.forwards(&truth.facts, &cast.orgs[mine].entry, mine, org)
        })
    }
}

fn held(sight: &Sight, truth: &Truth) -> Held {
    let place = sight.log_no(&truth.log).map(|log| RecordRef { log, seq: truth.seq });
    match place.and_then(|place| sight.outcome(place)).map(|stamped| stamped.outcome) {
        None => Held::NoHeader,
        Some(outcome) if outcome.body == BodyState::Here => Held::Here(outcome.verdict),
        Some(outcome) => Held::Absent(outcome.body),
    }
}
