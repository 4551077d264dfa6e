//! What a node answers is what stands accepted in its store: the index lists exactly the observables of accepted records
//! whose bodies are here, that of held ones exactly those of held ones, and of a report's versions the one that stands is the one that section 4 of the design names.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_matcher::{Hit, How, Matcher};
use tocsin_protocol::Index;
use tocsin_record::RecordId;
use tocsin_record::body::report::Subject;
use tocsin_record::observable::Observable;
use tocsin_store::{BodyState, RecordRef, Verdict};

use super::{Scene, Sight, Violation, stands_at};
use crate::registry::Truth;

const NAME: &str = "answers";

/// A report in a circle: org, circle, subject.
type Report = (usize, usize, Subject);

/// All that a node answers, between two commits.
///
/// # Errors
/// If it answers what it should not, or does not answer what it should.
pub fn check(scene: &Scene<'_>, node: usize, sight: &Sight, index: &Index) -> Result<(), Violation> {
    let (mut listed, mut held) = (BTreeMap::new(), BTreeMap::new());
    let mut reports: BTreeMap<Report, Vec<&Truth>> = BTreeMap::new();
    for truth in scene.registry.all().iter().filter(|truth| scene.cast.was_member(node, truth.circle)) {
        // What a key is still waited for is in no answer; that keys come is for the convergent oracle.
        let found = stands_at(scene, sight, truth).filter(|(_, outcome)| !waits_for_key(sight, outcome.rule));
        let stands = |verdict| {
            found.filter(|(_, outcome)| outcome.verdict == verdict && outcome.body == BodyState::Here)
        };
        let accepted = stands(Verdict::Accepted);
        for (listed, stands) in [(&mut listed, accepted), (&mut held, stands(Verdict::Held))] {
            for what in &truth.observables {
                let places: &mut BTreeSet<u64> = listed.entry(what).or_default();
                places.extend(stands.map(|(place, _)| place.pack()));
            }
        }
        if let (Some(_), Some(subject)) = (accepted, truth.subject) {
            reports.entry((truth.facts.author, truth.circle, subject)).or_default().push(truth);
        }
    }
    for (index, listed, stands) in [(&index.accepted, &listed, "accepted"), (&index.held, &held, "held")] {
        for (what, places) in listed {
            values(scene, node, sight, index, (what, stands), places)?;
        }
    }
    reports.iter().try_for_each(|(report, versions)| standing(scene, node, sight, *report, versions))
}

fn waits_for_key(sight: &Sight, rule: u16) -> bool {
    sight.rule(rule).is_some_and(|name| name == "guardrail:no-key" || name == "guardrail:carried")
}

fn values(
    scene: &Scene<'_>,
    node: usize,
    sight: &Sight,
    index: &Matcher,
    (what, stands): (&Observable, &str),
    places: &BTreeSet<u64>,
) -> Result<(), Violation> {
    let hits = index.lookup(what.borrowed());
    let exact = hits.into_iter().filter(|hit| hit.how == How::Exact);
    let all = |hit: Hit| index.postings(hit.observable.borrowed(), u64::MAX, usize::MAX);
    let found: BTreeSet<u64> = exact.flat_map(all).collect();
    let says = |place: u64, why: &str| {
        let place = RecordRef::unpack(place);
        let author = sight.log(place.log).and_then(|log| scene.cast.node_of.get(&log.key.author).copied());
        let author = author.map(|author| scene.name(author)).unwrap_or_default();
        let what = format!("{}: {} of record {} of {author} {why}", scene.name(node), what.show(), place.seq);
        Err(scene.broken(NAME, what))
    };
    if let Some(missing) = places.difference(&found).next() {
        return says(*missing, &format!("is {stands} and not found"));
    }
    match found.difference(places).next() {
        Some(other) => says(*other, &format!("is found and does not stand {stands}")),
        None => Ok(()),
    }
}

/// Of the accepted versions of a report, one that no other replaces; of rivals the latest, by time and id.
fn standing(
    scene: &Scene<'_>,
    node: usize,
    sight: &Sight,
    (org, circle, subject): Report,
    versions: &[&Truth],
) -> Result<(), Violation> {
    let replaced: BTreeSet<RecordId> = versions.iter().filter_map(|truth| truth.supersedes).collect();
    let rivals = versions.iter().filter(|truth| !replaced.contains(&truth.id));
    let expected = rivals.max_by_key(|truth| (truth.time, truth.id)).map(|truth| truth.id);
    let (org, circle) = (scene.cast.orgs[org].id, scene.cast.circles[circle].id);
    let found = match sight.standing(org, circle, subject) {
        Ok(found) => found.map(|version| version.id),
        Err(error) => {
            let what = format!("a report of {} does not read: {error}", scene.name(node));
            return Err(scene.broken(NAME, what));
        }
    };
    if found == expected {
        return Ok(());
    }
    let what = format!(
        "of report {subject} {} answers {found:?}, {expected:?} stands of {} versions",
        scene.name(node),
        versions.len()
    );
    Err(scene.broken(NAME, what))
}
