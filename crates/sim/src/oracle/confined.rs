//! No body is sent on a link that an independent reading of roster, marking and policy table forbids, and no log is
//! named to a node that is not in its circle by the version of the roster that the sender goes by.

use tocsin_record::{LogKey, RecordId};

use super::{Scene, Violation};
use crate::cast::CircleKind;
use crate::rules::Fate;

const NAME: &str = "confined";
/// A policy is handled behind what waits in the inbox, and frames leave when their batch was flushed: so long after a
/// policy was given to a node, frames may leave under the one before. A flush takes 8 ms at most.
const UNDER_WAY_US: u64 = 50_000;

/// A log was named to a node.
///
/// # Errors
/// If one of the two is not in its circle.
pub fn log(scene: &Scene<'_>, from: usize, to: usize, log: &LogKey) -> Result<(), Violation> {
    let circle = scene.cast.circle_of.get(&log.circle);
    let both = |circle: &usize| {
        let versions = scene.versions.of(from, *circle, scene.now_us);
        let members = versions.filter_map(|version| scene.cast.circles[*circle].by_version(version));
        members.into_iter().any(|members| [from, to].iter().all(|node| members.nodes.contains(node)))
    };
    if circle.is_some_and(both) {
        return Ok(());
    }
    let goes_by = circle.map(|circle| scene.versions.of(from, *circle, scene.now_us).collect::<Vec<_>>());
    let what = format!(
        "{} told {} of a log in {:?}, of whose roster it goes by {goes_by:?}",
        scene.name(from),
        scene.name(to),
        log.circle
    );
    Err(scene.broken(NAME, what))
}

/// A body was sent.
///
/// # Errors
/// If it should not have been.
pub fn body(scene: &Scene<'_>, from: usize, to: usize, id: &RecordId) -> Result<(), Violation> {
    let Some(truth) = scene.registry.get(id) else {
        return Ok(());
    };
    log(scene, from, to, &truth.log)?;
    let facts = &truth.facts;
    let refuse = |why: &str| {
        let what = format!(
            "{} gave {} the body of {} {id} by {} (TLP {}, personal {}): {why}",
            scene.name(from),
            scene.name(to),
            facts.kind,
            scene.name(truth.author),
            facts.tlp,
            facts.personal
        );
        Err(scene.broken(NAME, what))
    };
    if !facts.content {
        return Ok(());
    }
    let own = matches!(facts.circle, CircleKind::Own(_));
    if facts.tlp >= 5 && !own {
        return refuse("RED stays in the own circle");
    }
    if facts.tlp >= 3 && !own && !facts.sealed {
        return refuse("AMBER and stricter leaves the own circle sealed");
    }
    if facts.circle == CircleKind::Force && !facts.sealed && !scene.cast.nodes[truth.author].liar {
        return refuse("an honest author seals what it writes to a circle with a roster");
    }
    if facts.tlp == 0 && !own {
        return refuse("it is not marked");
    }
    let org = scene.cast.nodes[from].org;
    let country = scene.cast.country(from);
    let force = scene.in_force[from];
    let before = force.before.filter(|(_, until)| scene.now_us <= *until).map(|(table, _)| table);
    let accepts = |table: usize| scene.tables[table].fate(facts, org, country) == Fate::Accept;
    if !accepts(force.now) && !before.is_some_and(accepts) {
        return refuse("the sender does not believe it");
    }
    let peer = scene.cast.nodes[to].org;
    let forwards =
        |table: usize| scene.tables[table].forwards(facts, &scene.cast.orgs[peer].entry, peer, org);
    let under_way = force.before.filter(|_| scene.now_us <= force.since_us + UNDER_WAY_US);
    if !forwards(force.now) && !under_way.is_some_and(|(table, _)| forwards(table)) {
        return refuse("the sender's policy forbids it");
    }
    Ok(())
}
