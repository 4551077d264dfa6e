//! **marking**: a marking is never loosened. What holds a value leaves to a circle no wider than the strictest marking allows that
//! its object carries in the version that stands, and says it no looser; what stands outside is taken back once the marking
//! is raised. What is not understood, and what nobody marked, stays in the own circle.

use tocsin_api::types::Hit;
use tocsin_record::body::report::Report;
use tocsin_record::marking::Tlp;

use super::{After, Seen, Violation};
use crate::truth::Truth;

fn violation(what: String) -> Violation {
    Violation { oracle: "marking", what }
}

/// After each file: what was published for it, and what of it stands outside at its author.
///
/// # Errors
/// The first that is too loose.
pub fn check(after: &After<'_, '_>) -> Result<(), Violation> {
    for report in after.published {
        for (object, value) in after.story.values() {
            if holds(report, value) {
                let tlp = report.marking.as_ref().map(|marking| marking.tlp);
                allowed(after.truth, object, value, tlp)
                    .map_err(|why| violation(format!("{} published `{value}` {why}", after.file.name)))?;
            }
        }
    }
    let outside = |hit: &Hit| hit.circle != "own";
    stands(after.own, after.truth, outside, "its author")
}

/// At a partner, who has what was published and not taken back.
///
/// # Errors
/// The first that is too loose.
pub fn check_partner(seen: &[Seen<'_>], truth: &Truth<'_>) -> Result<(), Violation> {
    stands(seen, truth, |_| true, "a partner")
}

fn stands(
    seen: &[Seen<'_>],
    truth: &Truth<'_>,
    outside: impl Fn(&Hit) -> bool,
    whom: &str,
) -> Result<(), Violation> {
    for Seen { object, value, known } in seen {
        for hit in known.hits.iter().filter(|hit| outside(hit)) {
            let tlp = hit.tlp.as_deref().and_then(|tlp| tlp.parse().ok());
            allowed(truth, *object, value, tlp)
                .map_err(|why| violation(format!("at {whom} stands outside `{value}` {why}")))?;
        }
    }
    Ok(())
}

/// Whether a value may stand outside of the own circle under this TLP.
fn allowed(truth: &Truth<'_>, object: usize, value: &str, said: Option<Tlp>) -> Result<(), String> {
    let level = truth.level(object, value);
    match (level, said) {
        (None, _) => Err("that nobody marked".to_owned()),
        (Some(level), _) if level > Tlp::Green => Err(format!("that is {level}")),
        (Some(level), Some(said)) if said >= level => Ok(()),
        (Some(level), said) => Err(format!("that is {level} as {said:?}")),
    }
}

/// Whether a report holds a value, as an indicator, in a text or in what is kept beside.
fn holds(report: &Report, value: &str) -> bool {
    let text = format!("{} {}", report.title, report.description);
    text.contains(value)
        || report.indicators.iter().any(|one| one.what.show().contains(value))
        || report
            .originals
            .iter()
            .filter_map(|original| original.unpack().ok())
            .any(|kept| String::from_utf8_lossy(&kept).contains(value))
}
