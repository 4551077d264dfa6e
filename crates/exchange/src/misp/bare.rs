//! Attributes and objects without their event, as a search for them answers (`{"response":{"Attribute":[..]}}`), or one of them
//! alone: a list, whose objects have ids.
//!
//! Each goes under its own marking. Its event is not here: what is said of that binds (a distribution that limits), and gives
//! leave for nothing, for its tags are not here either.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::parts::Parts;
use super::{Event, Level, marking};
use crate::gather::{Draft, Kept, OriginalForm};
use crate::{FileInfo, PartialMarking, Reading, json};

/// What of a file stands in no event.
#[derive(Default)]
pub(super) struct Bare {
    /// Each in its line, if there is one a line.
    attributes: Vec<(Option<u64>, Box<RawValue>)>,
    objects: Vec<(Option<u64>, Box<RawValue>)>,
}

impl Bare {
    /// Takes what is an attribute or an object, or an envelope of such; false where it is none of them.
    pub(super) fn take(
        &mut self,
        raw: &RawValue,
        fields: &BTreeMap<String, &RawValue>,
        line: Option<u64>,
    ) -> Result<bool, String> {
        let has = |names: &[&str]| names.iter().all(|name| fields.contains_key(*name));
        if has(&["info"]) {
            return Ok(false);
        }
        if has(&["type", "value"]) {
            self.attributes.push((line, raw.to_owned()));
            return Ok(true);
        }
        if has(&["name", "Attribute"]) {
            self.objects.push((line, raw.to_owned()));
            return Ok(true);
        }
        let mut took = false;
        for (name, all) in [("Attribute", &mut self.attributes), ("Object", &mut self.objects)] {
            let Some(inside) = fields.get(name) else { continue };
            let inside = if inside.get().starts_with('[') { json::array(inside)? } else { vec![*inside] };
            all.extend(inside.into_iter().map(|one| (line, one.to_owned())));
            took = true;
        }
        Ok(took)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.attributes.is_empty() && self.objects.is_empty()
    }

    /// Makes the lists, one for each marking.
    pub(super) fn finish(self, file: &FileInfo<'_>, found: &mut Reading<'_>) {
        let none = PartialMarking::default();
        let draft = Draft::list(file, "");
        let own = draft.subject;
        let mut event =
            Event { file, found, line: None, draft, parts: Parts::of(none), is_bare: true, has_hash: false };
        let all = self.attributes.iter().map(|one| (one, false));
        for ((line, raw), is_object) in all.chain(self.objects.iter().map(|one| (one, true))) {
            event.line = *line;
            let map = json::object(raw).unwrap_or_default();
            // What its source takes back, it takes back of the event.
            let of = crate::versions::event_of(&map).map(Uuid::from_bytes);
            event.draft.subject = of.unwrap_or(own);
            let said = map.get("Event").and_then(Value::as_object);
            let within = said.map(|said| {
                let at = json::text(said, "uuid").unwrap_or("Event");
                marking(said, Level::Part, (*line, at), file, event.found)
            });
            let within = within.unwrap_or_default();
            event.draft.marking = within;
            if is_object {
                event.object(raw, None);
            } else {
                let own = event.attribute_of(raw, "", within, None);
                event.parts.keep("Attribute", raw, own);
            }
        }
        let Event { parts, found, .. } = event;
        for (marking, part) in parts.into_parts() {
            let mut draft = Draft::list(file, &marking.name());
            draft.marking = marking;
            draft.original_form = OriginalForm::MispLists;
            let ids: BTreeSet<[u8; 16]> = part.indicators.iter().filter_map(|one| one.id).collect();
            draft.indicators = part.indicators;
            let kept = part.lists.iter().flat_map(|(list, all)| all.iter().map(move |raw| (*list, raw)));
            draft.originals =
                kept.map(|(list, raw)| Kept { raw, list, with: first_id(raw, &ids), modified: 0 }).collect();
            draft.finish(file, found);
        }
    }
}

/// The id of the indicator that an attribute is, or that the first of an object's is.
fn first_id(raw: &str, ids: &BTreeSet<[u8; 16]>) -> Option<[u8; 16]> {
    let map: Value = serde_json::from_str(raw).ok()?;
    let inside = map.get("Attribute").and_then(Value::as_array).into_iter().flatten();
    let mut all = std::iter::once(&map).chain(inside);
    all.find_map(|one| {
        let id = Uuid::parse_str(one.get("uuid")?.as_str()?).ok()?.into_bytes();
        ids.contains(&id).then_some(id)
    })
}
