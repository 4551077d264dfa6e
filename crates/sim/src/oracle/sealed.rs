//! What is sealed nobody reads but the members by the version of the roster that it names, liars among the others: whatever a node
//! holds of it without being one of those stays shut.

use tocsin_record::body::Body;

use super::{Scene, Sight, Violation, stands_at};
use crate::cast::CircleKind;

const NAME: &str = "sealed";

/// All that a node holds of circles with rosters.
///
/// # Errors
/// If it reads what was not sealed to its org.
pub fn check(scene: &Scene<'_>, node: usize, sight: &Sight) -> Result<(), Violation> {
    for truth in scene.registry.all().iter().filter(|truth| truth.facts.circle == CircleKind::Force) {
        let circle = &scene.cast.circles[truth.circle];
        let was_in =
            circle.by_version(truth.roster as usize).is_some_and(|members| members.nodes.contains(&node));
        if was_in || !truth.facts.sealed {
            continue;
        }
        let Some((place, _)) = stands_at(scene, sight, truth) else { continue };
        let reads = matches!(sight.record(place), Ok(Some(stored)) if Body::of(&stored.entry).is_some());
        if reads {
            let what = format!(
                "{} reads record {} of {}, which was sealed to version {} of a roster that does not have it",
                scene.name(node),
                truth.seq,
                scene.name(truth.author),
                truth.roster
            );
            return Err(scene.broken(NAME, what));
        }
    }
    Ok(())
}
