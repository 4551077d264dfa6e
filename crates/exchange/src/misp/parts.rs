//! An event in parts: what stands under a stricter marking than the event goes apart, and is kept apart.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use tocsin_record::body::report::Indicator;

use crate::gather::{Draft, Kept};
use crate::{FileInfo, PartialMarking, Reading};

use super::LISTS;

/// Fields of an event that name a colleague of the source.
const PERSONS: &[&str] = &["event_creator_email"];
/// Why something of an event is not kept at all.
const LEFT_OUT: &str =
    "its own label or distribution is stricter than of all that it would be kept with: it is left out";

/// The parts of an event, by their markings.
pub(super) struct Parts {
    whole: PartialMarking,
    parts: BTreeMap<PartialMarking, Part>,
    /// Nothing of this event has another marking than the event.
    even: bool,
}

/// What goes under one marking.
#[derive(Default)]
pub(super) struct Part {
    pub(super) indicators: Vec<Indicator>,
    /// What reports of the event say.
    pub(super) description: String,
    /// For each of [`LISTS`] the elements, as JSON.
    pub(super) lists: BTreeMap<&'static str, Vec<String>>,
}

impl Parts {
    /// Of an event that is marked so.
    pub(super) fn of(whole: PartialMarking) -> Self {
        let parts = BTreeMap::from([(whole, Part::default())]);
        Self { whole, parts, even: true }
    }

    /// What goes under a marking.
    pub(super) fn part(&mut self, marking: PartialMarking) -> &mut Part {
        self.even &= marking == self.whole;
        self.parts.entry(marking).or_default()
    }

    /// All of them, where there is no event that they are of.
    pub(super) fn into_parts(self) -> impl Iterator<Item = (PartialMarking, Part)> {
        let is_some =
            |(_, part): &(PartialMarking, Part)| !part.lists.is_empty() || !part.indicators.is_empty();
        self.parts.into_iter().filter(is_some)
    }

    /// Keeps an element of a list.
    pub(super) fn keep(&mut self, list: &'static str, raw: &RawValue, marking: PartialMarking) {
        self.part(marking).lists.entry(list).or_default().push(raw.get().to_owned());
    }

    /// Keeps an object: in each part with those of its attributes that go there.
    pub(super) fn keep_object(
        &mut self,
        raw: &RawValue,
        fields: &BTreeMap<String, &RawValue>,
        own: PartialMarking,
        attributes: &[(&RawValue, PartialMarking)],
    ) {
        if attributes.iter().all(|(_, marking)| *marking == own) {
            return self.keep("Object", raw, own);
        }
        let mut apart: BTreeMap<PartialMarking, Vec<&str>> = BTreeMap::from([(own, Vec::new())]);
        for (raw, marking) in attributes {
            apart.entry(*marking).or_default().push(raw.get());
        }
        for (marking, attributes) in apart {
            let rest =
                fields.iter().filter(|(name, _)| *name != "Attribute").map(|(name, raw)| (name, raw.get()));
            let list = format!("[{}]", attributes.join(","));
            let name = "Attribute".to_owned();
            let text = object(rest.chain([(&name, &*list)]));
            self.part(marking).lists.entry("Object").or_default().push(text);
        }
    }

    /// Makes the reports: one of the event, and one for each marking that is stricter.
    pub(super) fn finish(
        self,
        draft: Draft<'_>,
        raw: &RawValue,
        fields: &BTreeMap<String, &RawValue>,
        file: &FileInfo<'_>,
        found: &mut Reading<'_>,
    ) -> Result<(), String> {
        let (whole, even) = (self.whole, self.even);
        let persons = PERSONS.iter().any(|name| fields.contains_key(*name));
        for (marking, part) in self.parts {
            let own = marking == whole;
            // Another event's title or a cluster alone is no report.
            if !own && part.lists.keys().all(|list| matches!(*list, "RelatedEvent" | "Galaxy")) {
                found.note(None, &part.lists.keys().copied().collect::<Vec<_>>().join(", "), LEFT_OUT);
                continue;
            }
            // As given, where nothing of it goes elsewhere.
            let text = if even && !persons {
                raw.get().to_owned()
            } else {
                let is_head =
                    |name: &String| !PERSONS.contains(&name.as_str()) && !LISTS.contains(&name.as_str());
                let head = fields
                    .iter()
                    .filter(|(name, _)| is_head(name))
                    .map(|(name, raw)| (name.clone(), raw.get().to_owned()));
                let lists = LISTS.iter().filter(|list| fields.contains_key(**list)).map(|list| {
                    let inside = part.lists.get(list).map(|list| list.join(",")).unwrap_or_default();
                    ((*list).to_owned(), format!("[{inside}]"))
                });
                let all: Vec<(String, String)> = head.chain(lists).collect();
                object(all.iter().map(|(name, raw)| (name, raw.as_str())))
            };
            let mut one = draft.apart(&if own { String::new() } else { marking.name() });
            one.marking = marking;
            one.indicators = part.indicators;
            one.description.push_str(&part.description);
            one.originals = vec![Kept { raw: &text, list: "", with: None, modified: 0 }];
            one.finish(file, found);
        }
        Ok(())
    }
}

/// An object of JSON, of names and values that are JSON.
pub(super) fn object<'f>(fields: impl Iterator<Item = (&'f String, &'f str)>) -> String {
    let fields = fields.map(|(name, raw)| format!("{}:{raw}", serde_json::Value::from(name.as_str())));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}
