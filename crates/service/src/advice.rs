//! What is worth telling those who publish or import, though nothing of it is refused: what is kept and matched against
//! nothing, and what would hit what everybody has.

use std::collections::BTreeMap;

use tocsin_api::types::Advice;
use tocsin_exchange::{well_known, why_unmatched};
use tocsin_home::config::Own;
use tocsin_record::body::report::{Indicator, Report};
use tocsin_record::observable::Observable;
use tocsin_text as term;

/// Most values named of one reason.
const EXAMPLES: usize = 5;
/// Longest value in an answer, in characters.
const SHOWN: usize = 60;

/// What is said of what is the org's own.
const OWN: &str = "your org's own, by [own] in config.toml";

/// Why a hit on a value says little: everybody has it, or the org itself.
pub(super) fn why_no_surprise(own: &Own, what: &Observable) -> Option<&'static str> {
    well_known(what).or_else(|| own.has(what).then_some(OWN))
}

/// Reasons, each with its values.
pub(super) struct AdviceList<'a> {
    own: &'a Own,
    unmatched: BTreeMap<&'static str, Advice>,
    well_known: BTreeMap<&'static str, Advice>,
}

impl<'a> AdviceList<'a> {
    /// Of nothing yet.
    pub(super) fn new(own: &'a Own) -> Self {
        Self { own, unmatched: BTreeMap::new(), well_known: BTreeMap::new() }
    }

    /// Looks at the indicators that a report brings.
    pub(super) fn look(&mut self, report: &Report) {
        for indicator in &report.indicators {
            if let Some(why) = why_unmatched(&indicator.what) {
                add(&mut self.unmatched, why, indicator);
            } else if let Some(why) = why_no_surprise(self.own, &indicator.what) {
                add(&mut self.well_known, why, indicator);
            }
        }
    }

    /// What is matched against nothing, and what everybody has.
    pub(super) fn done(self) -> (Vec<Advice>, Vec<Advice>) {
        (self.unmatched.into_values().collect(), self.well_known.into_values().collect())
    }
}

fn add(reasons: &mut BTreeMap<&'static str, Advice>, why: &'static str, indicator: &Indicator) {
    let advice = reasons.entry(why).or_insert_with(|| Advice { why: why.to_owned(), ..Advice::default() });
    advice.count += 1;
    if advice.values.len() < EXAMPLES {
        let value = if indicator.is_pattern() {
            // The beginning of a rule's text.
            String::from_utf8_lossy(&indicator.what.value[..indicator.what.value.len().min(SHOWN * 4)])
                .into_owned()
        } else {
            indicator.what.show()
        };
        advice.values.push(term::cut(&value, SHOWN));
    }
}
