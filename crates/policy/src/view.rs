//! From a body to the facts that policy asks about.

use tocsin_record::body::report::{PATTERN_FIRST, PATTERNS};
use tocsin_record::body::{Body, BodyRef, Sighting};
use tocsin_record::marking::{Marking, Tlp};
use tocsin_record::observable::Type;

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
        let mut view = Self::new(body.marking(), strictest_inside, body.is_newer());
        match body {
            Body::Report(report) => {
                let source = report.origin.source.as_ref().map(|source| source.name.as_str());
                view.look_over_source(source);
                for indicator in &report.indicators {
                    view.look_over_indicator(indicator.what.kind, indicator.confidence);
                }
            }
            Body::Sighting(sighting) => view.look_over_sighting(sighting),
            Body::Note(_)
            | Body::Retraction(_)
            | Body::Roster(_)
            | Body::Certificate(_)
            | Body::Key(_)
            | Body::Rewrap(_)
            | Body::Newer => {}
        }
        view
    }

    /// As [`Self::of`], of a body that was read in place.
    #[must_use]
    pub fn of_ref(body: &'a BodyRef<'a>, strictest_inside: Option<Tlp>) -> Self {
        match body {
            BodyRef::Other(body) => Self::of(body, strictest_inside),
            BodyRef::Report(report) => {
                let mut view = Self::new(body.marking(), strictest_inside, body.is_newer());
                view.look_over_source(report.origin.as_ref().map(|source| source.name));
                for indicator in &report.indicators {
                    view.look_over_indicator(indicator.what.kind, indicator.confidence);
                }
                view
            }
        }
    }

    fn new(marking: Option<&'a Marking>, strictest_inside: Option<Tlp>, newer: bool) -> Self {
        Self {
            marking,
            strictest_inside,
            origin: Origin::Own,
            confidence: None,
            indicators: 0,
            types: Vec::new(),
            newer,
        }
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

    fn look_over_source(&mut self, source: Option<&'a str>) {
        if let Some(source) = source {
            self.origin = Origin::Derived { source };
        }
    }

    fn look_over_indicator(&mut self, kind: u16, confidence: Option<u8>) {
        self.indicators = self.indicators.saturating_add(1);
        if let Some(sure) = confidence {
            let (least, greatest) = self.confidence.unwrap_or((sure, sure));
            self.confidence = Some((least.min(sure), greatest.max(sure)));
        }
        self.see_type(type_of(kind));
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
fn type_of(kind: u16) -> &'static str {
    if kind < PATTERN_FIRST {
        return Type::by_id(kind).map_or("unknown", |row| row.name);
    }
    let row = PATTERNS.iter().find(|(number, _)| *number == kind);
    row.map_or("newer", |(_, name)| name)
}
