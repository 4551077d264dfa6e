//! **newest**: old never wins. Of each object its newest version stands, in whatever order and files its versions came, and
//! nothing of an older one; what its source took back stands nowhere any more. One version with two contents is kept twice,
//! and told.

use super::{After, Seen, Violation};
use crate::truth::Truth;

fn violation(what: String) -> Violation {
    Violation { oracle: "newest", what }
}

/// After each file.
///
/// # Errors
/// The first that stands and must not, or must and does not.
pub fn check(after: &After<'_, '_>) -> Result<(), Violation> {
    for Seen { object, value, known } in after.own {
        let name = &after.file.name;
        // Of copies of one report the widest is told.
        let is_here = !known.hits.is_empty();
        match (is_here, after.truth.stands(*object, value)) {
            (true, false) => return Err(violation(format!("after {name} `{value}` stands, old or gone"))),
            (false, true) => return Err(violation(format!("after {name} `{value}` does not stand"))),
            _ => {}
        }
        let contents = |truth: &Truth<'_>| truth.standing(*object).len();
        let doubled = contents(after.truth) > 1 && contents(after.truth) > contents(after.before);
        if doubled && !is_told(after) {
            return Err(violation(format!("after {name} `{value}` has two contents, and nobody is told")));
        }
    }
    Ok(())
}

/// At a partner: what stands there stands at its author.
///
/// # Errors
/// The first that is old.
pub fn check_partner(seen: &[Seen<'_>], truth: &Truth<'_>) -> Result<(), Violation> {
    let old = seen.iter().find(|seen| !seen.known.hits.is_empty() && !truth.stands(seen.object, seen.value));
    old.map_or(Ok(()), |seen| Err(violation(format!("at a partner `{}` stands, old or gone", seen.value))))
}

/// Whether a person is told that one version has two contents.
fn is_told(after: &After<'_, '_>) -> bool {
    let in_file = |why: &str| why.contains("two contents");
    let mut notes = after.summary.files.iter().flat_map(|file| &file.notes);
    !after.summary.total.twice.is_empty() || notes.any(|note| in_file(&note.why))
}
