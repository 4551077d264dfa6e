//! From a body to the facts that policy asks about.

use tocsin_record::body::report::{Indicator, PATTERNS};
use tocsin_record::body::{Body, Report, Sighting};
use tocsin_record::marking::{Marking, Tlp};

use crate::facts::{BodyFacts, Origin};

/// The most observable types that rules see of one body: the table of types is of this order.
const MAX_TYPES: usize = 64;

/// What policy sees of a body: counts and bounds, gathered once and borrowed for each decision.
#[derive(Debug, Clone)]
pub struct BodyView<'a> {
    marking: Option<&'a Marking>,
    strictest_inside: Option<Tlp>,
    origin: Origin<'a>,
    confidence: Option<(u8, u8)>,
    indicators: u32,
    types: Vec<&'a str>,
    newer: bool,
}

impl<'a> BodyView<'a> {
    /// Looks a body over. `strictest_inside` is the strictest TLP of the source's own objects that it keeps,
    /// which only those who read their format know.
    #[must_use]
    pub fn of(body: &'a Body, strictest_inside: Option<Tlp>) -> Self {
        let mut view = Self {
            marking: body.marking(),
            strictest_inside,
            origin: Origin::Own,
            confidence: None,
            indicators: 0,
            types: Vec::new(),
            newer: body.is_newer(),
        };
        match body {
            Body::Report(report) => view.look_over_report(report),
            Body::Sighting(sighting) => view.look_over_sighting(sighting),
            Body::Note(_) | Body::Retraction(_) | Body::Roster(_) | Body::Certificate(_) | Body::Newer => {}
        }
        view
    }

    /// The facts, for one or many decisions.
    #[must_use]
    pub fn facts(&'a self) -> BodyFacts<'a> {
        BodyFacts {
            marking: self.marking,
            strictest_inside: self.strictest_inside,
            origin: self.origin,
            confidence: self.confidence,
            indicators: self.indicators,
            types: &self.types,
            newer: self.newer,
        }
    }

    fn look_over_report(&mut self, report: &'a Report) {
        if let Some(source) = &report.origin.source {
            self.origin = Origin::Derived { source: &source.name };
        }
        // A body is bounded far below this many indicators.
        self.indicators = u32::try_from(report.indicators.len()).unwrap_or(u32::MAX);
        for indicator in &report.indicators {
            if let Some(sure) = indicator.confidence {
                let (least, greatest) = self.confidence.unwrap_or((sure, sure));
                self.confidence = Some((least.min(sure), greatest.max(sure)));
            }
            self.see_type(type_of(indicator));
        }
    }

    fn look_over_sighting(&mut self, sighting: &'a Sighting) {
        if let Some(what) = &sighting.what {
            self.see_type(what.type_name());
        }
    }

    /// Keeps the names sorted, each once. Reports are mostly of few types, so this is a short search.
    fn see_type(&mut self, name: &'a str) {
        if let Err(at) = self.types.binary_search(&name)
            && self.types.len() < MAX_TYPES
        {
            self.types.insert(at, name);
        }
    }
}

/// The name of an observable type, or of a rule language.
fn type_of(indicator: &Indicator) -> &'static str {
    if !indicator.is_pattern() {
        return indicator.what.type_name();
    }
    let row = PATTERNS.iter().find(|(number, _)| *number == indicator.what.kind);
    row.map_or("newer", |(_, name)| name)
}
