//! Whatever an honest node takes was written by the author whose name it bears, and is byte for byte what was written.

use tocsin_record::{CircleId, NodeKey, RecordId};

use super::{Scene, Sight, Violation};

const NAME: &str = "authentic";

/// A node says that it judged a record.
///
/// # Errors
/// If nobody wrote it, or another than it says.
pub fn judged(
    scene: &Scene<'_>,
    node: usize,
    id: &RecordId,
    author: &NodeKey,
    circle: &CircleId,
) -> Result<(), Violation> {
    let Some(truth) = scene.registry.get(id) else {
        return Err(scene.broken(NAME, format!("{} judged {id}, which nobody wrote", scene.name(node))));
    };
    if truth.log.author == *author && truth.log.circle == *circle {
        return Ok(());
    }
    let what = format!("{} judged {id} as {author:?}'s in {circle:?}, but it is not", scene.name(node));
    Err(scene.broken(NAME, what))
}

/// A body left a node.
///
/// # Errors
/// If it is not what the author wrote.
pub fn passed_on(scene: &Scene<'_>, node: usize, id: &RecordId, body: &[u8]) -> Result<(), Violation> {
    match scene.registry.get(id) {
        None => Err(scene.broken(NAME, format!("{} passes on {id}, which nobody wrote", scene.name(node)))),
        Some(truth) if truth.body != body => {
            Err(scene.broken(NAME, format!("{} passes on other bytes than {id} has", scene.name(node))))
        }
        Some(_) => Ok(()),
    }
}

/// All that a node holds.
///
/// # Errors
/// If a record of it was written by nobody, or otherwise, or does not read.
pub fn held(scene: &Scene<'_>, node: usize, sight: &Sight) -> Result<(), Violation> {
    for log in sight.logs() {
        for seq in log.base.seq + 1..=log.tip.seq {
            let place = tocsin_store::RecordRef { log: log.no, seq };
            let stored = match sight.record(place) {
                Ok(Some(stored)) => stored,
                Ok(None) => {
                    let what =
                        format!("{} has no record {seq} below its height {}", scene.name(node), log.tip.seq);
                    return Err(scene.broken(NAME, what));
                }
                Err(error) => {
                    let what = format!("the store of {} does not read: {error}", scene.name(node));
                    return Err(scene.broken(NAME, what));
                }
            };
            let id = stored.entry.id;
            let Some(truth) = scene.registry.get(&id) else {
                let what =
                    format!("{} holds {id} of {:?}, which nobody wrote", scene.name(node), log.key.author);
                return Err(scene.broken(NAME, what));
            };
            if truth.log != log.key || truth.seq != seq {
                return Err(scene.broken(NAME, format!("{} holds {id} at another place", scene.name(node))));
            }
            if stored.entry.body().is_some_and(|body| *body != truth.body) {
                return Err(
                    scene.broken(NAME, format!("{} holds other bytes than {id} has", scene.name(node)))
                );
            }
        }
    }
    Ok(())
}
