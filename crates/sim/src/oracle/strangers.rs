//! A stranger learns nothing of a circle, not even that there is one: a version of its roster, or its hash, is told to nobody but
//! those whom that version or a later one names, and those whom it takes out. That no log of it is named to others the
//! confined oracle sees.

use tocsin_record::DocHash;

use super::{Scene, Violation};

const NAME: &str = "strangers";

/// A document was told, or its hash.
///
/// # Errors
/// If it is a roster that does not concern the other.
pub fn told(scene: &Scene<'_>, from: usize, to: usize, hash: &DocHash) -> Result<(), Violation> {
    let Some((at, version)) = scene.cast.roster_of.get(hash) else { return Ok(()) };
    let circle = &scene.cast.circles[*at];
    // Of the versions to come the next may be signed and in force nowhere yet.
    let concerned = circle.plan.iter().take(circle.version() + 1).skip(version.saturating_sub(2));
    if concerned.into_iter().any(|members| members.nodes.contains(&to)) {
        return Ok(());
    }
    let what = format!(
        "{} told {} of version {version} of the roster of {:?}, which does not concern it",
        scene.name(from),
        scene.name(to),
        circle.id
    );
    Err(scene.broken(NAME, what))
}
