//! Who is taken out of a circle gets nothing of it from the next record on: whatever names a version of the roster by which an
//! org is not in is told to none of its nodes, neither the body nor the header, whoever tells it and whatever that one knows.

use tocsin_record::RecordId;

use super::{Scene, Violation};

const NAME: &str = "removed";

/// A record was told, its header at least.
///
/// # Errors
/// If the other's org was not in when it was written, and has not come in since.
pub fn told(scene: &Scene<'_>, from: usize, to: usize, id: &RecordId) -> Result<(), Violation> {
    let Some(truth) = scene.registry.get(id) else { return Ok(()) };
    let circle = &scene.cast.circles[truth.circle];
    let since = truth.roster as usize..=circle.version();
    let mut members = since.filter_map(|version| circle.by_version(version));
    if members.any(|members| members.nodes.contains(&to)) {
        return Ok(());
    }
    let what = format!(
        "{} told {} of record {} of {}, by version {} of a roster that does not have it",
        scene.name(from),
        scene.name(to),
        truth.seq,
        scene.name(truth.author),
        truth.roster
    );
    Err(scene.broken(NAME, what))
}
