//! MISP events: with and without the `Event` wrapper, arrays of them, and `response` envelopes; one a line too.
//!
//! An event is a report. Its marking is the strictest of its distribution and its tags. What stands in it under a stricter one,
//! an attribute, an object, a report, goes apart with the others of that marking (`parts`), and is not in the event that
//! is kept with the rest.
//! Attributes that are no observable (texts, links, ports) stay in the original and are counted. Attributes and objects without
//! their event, as a search for them answers, are a list (`bare`).

mod bare;
mod objects;
mod parts;

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tocsin_record::body::report::{Indicator, LINE_MAX, OBSERVED, TEXT_MAX};
use tocsin_record::marking::Tlp;
use tocsin_record::marking::words::{self, Handling};
use tocsin_record::observable::{self, Observable, ParseError, kind};
use uuid::Uuid;

use crate::fault::Fault;
use crate::gather::{Draft, OriginalForm, list_uuid};
use crate::marking::is_understood;
use crate::pieces::Pieces;
use bare::Bare;
use parts::Parts;

use crate::{FileInfo, Format, Found, ImportError, PartialMarking, Reading, json, names, types, when};

/// The row of the table of formats.
pub const FORMAT: Format = Format { name: "misp", sniff, parse };

/// How deep envelopes may be nested in one another: `response` in an array in `response` is the worst in use.
const ENVELOPES_MAX: usize = 4;
/// The lists of an event of which each element has a marking of its own.
const LISTS: &[&str] = &["Attribute", "Object", "EventReport", "RelatedEvent", "ShadowAttribute", "Galaxy"];
/// `malicious-activity`, which is what `to_ids` means.
const MALICIOUS: u16 = 1;

/// Confidence by MISP's own taxonomy `misp:confidence-level`.
const CONFIDENCE: &[(&str, u8)] = &[
    ("completely-confident", 100),
    ("usually-confident", 75),
    ("fairly-confident", 50),
    ("rarely-confident", 25),
    ("unconfident", 0),
];

fn sniff(bytes: &[u8]) -> bool {
    const NAMES: &[&[u8]] = &[b"Event", b"Attribute", b"Orgc", b"threat_level_id", b"to_ids"];
    // The event is an object within its envelopes.
    json::is_json(bytes) && json::has_field(bytes, ENVELOPES_MAX + 1, |name, _| NAMES.contains(&name))
}

fn parse(pieces: &mut Pieces<'_>, file: &FileInfo<'_>, found: &mut Reading<'_>) -> Result<(), ImportError> {
    let bytes = pieces.whole()?;
    let documents = json::documents(&bytes, found)?;
    let mut events = 0;
    let mut bare = Bare::default();
    for (line, document) in documents {
        if let Err(why) = unfold(document, line, 0, file, found, &mut events, &mut bare) {
            found.skip(line, "", why);
        }
    }
    if events == 0 && bare.is_empty() && found.counts.skipped == 0 {
        if serde_json::from_slice::<BTreeMap<String, Map<String, Value>>>(&bytes)
            .is_ok_and(|map| is_manifest(&map))
        {
            let why = "it is the manifest of a MISP feed: its events are imported from their own files";
            found.note(None, file.name, why);
            return Ok(());
        }
        return Err(ImportError::Shape("no MISP event; import the events themselves, not their manifest"));
    }
    if !bare.is_empty() {
        bare.finish(file, found);
    }
    Ok(())
}

/// What a MISP feed says of its events, by their UUID.
fn is_manifest(map: &BTreeMap<String, Map<String, Value>>) -> bool {
    !map.is_empty() && map.iter().all(|(id, event)| Uuid::parse_str(id).is_ok() && event.contains_key("info"))
}

/// Finds the events in their envelopes.
fn unfold(
    raw: &RawValue,
    line: Option<u64>,
    depth: usize,
    file: &FileInfo<'_>,
    found: &mut Reading<'_>,
    events: &mut u64,
    bare: &mut Bare,
) -> Result<(), String> {
    if depth > ENVELOPES_MAX {
        return Err("it has too many envelopes around its events".to_owned());
    }
    if raw.get().starts_with('[') {
        for (at, raw) in json::array(raw)?.into_iter().enumerate() {
            if let Err(why) = unfold(raw, line, depth + 1, file, found, events, bare) {
                found.skip(line, &format!("element {}", at + 1), why);
            }
        }
        return Ok(());
    }
    let fields = json::fields(raw)?;
    // An attribute may name its event beside it, and an object too.
    let is_part = fields.contains_key("value") || fields.contains_key("meta-category");
    if is_part && bare.take(raw, &fields, line)? {
        return Ok(());
    }
    let envelope =
        fields.get("Event").filter(|inner| inner.get().starts_with('{')).or_else(|| fields.get("response"));
    if let Some(inner) = envelope {
        let Some(whole) = with_siblings(inner, &fields)? else {
            return unfold(inner, line, depth + 1, file, found, events, bare);
        };
        let whole = RawValue::from_string(whole).map_err(|error| error.to_string())?;
        return unfold(&whole, line, depth + 1, file, found, events, bare);
    }
    let is_event =
        fields.contains_key("info") && (fields.contains_key("uuid") || fields.contains_key("Attribute"));
    if is_event {
        *events += 1;
        return event(raw, &fields, line, file, found);
    }
    bare.take(raw, &fields, line).map(|_| ())
}

/// An event with what stands beside it in its envelope, as MISP's own database has it (`{"Event": {..}, "Attribute": [..]}`):
/// its lists, tags and author are its own. `None` where nothing does.
fn with_siblings(inner: &RawValue, envelope: &BTreeMap<String, &RawValue>) -> Result<Option<String>, String> {
    let is_own = |name: &str| LISTS.contains(&name) || matches!(name, "Tag" | "EventTag" | "Orgc" | "Org");
    let is_said = |raw: &RawValue| !matches!(raw.get(), "null" | "[]" | "{}");
    let beside: Vec<_> = envelope.iter().filter(|(name, raw)| is_own(name) && is_said(raw)).collect();
    if beside.is_empty() || !envelope.contains_key("Event") {
        return Ok(None);
    }
    let mut all: BTreeMap<String, String> =
        json::fields(inner)?.into_iter().map(|(name, raw)| (name, raw.get().to_owned())).collect();
    for (name, raw) in beside {
        let elements = |text: &str| Some(text.strip_prefix('[')?.strip_suffix(']')?.trim().to_owned());
        let joined = all.get(name).and_then(|own| {
            let lists = [elements(own)?, elements(raw.get())?];
            Some(format!(
                "[{}]",
                lists.iter().filter(|list| !list.is_empty()).cloned().collect::<Vec<_>>().join(",")
            ))
        });
        // Two authors are no list: the event's own stands.
        let joined = joined.or_else(|| all.get(name).cloned()).unwrap_or_else(|| raw.get().to_owned());
        all.insert(name.clone(), joined);
    }
    Ok(Some(parts::object(all.iter().map(|(name, raw)| (name, raw.as_str())))))
}

/// What is read of an event while its attributes are gone through.
struct Event<'a, 'f, 't> {
    file: &'f FileInfo<'f>,
    found: &'f mut Reading<'t>,
    line: Option<u64>,
    /// Of the whole event; what has a marking of its own goes to its part.
    draft: Draft<'a>,
    parts: Parts,
    /// Its attributes stand alone: what is marked, is so by itself.
    is_bare: bool,
    /// In the object that is read the hash of a file stands beside its name.
    has_hash: bool,
}

fn event(
    raw: &RawValue,
    fields: &BTreeMap<String, &RawValue>,
    line: Option<u64>,
    file: &FileInfo<'_>,
    found: &mut Reading<'_>,
) -> Result<(), String> {
    // Lists are read one by one below; of the head, small fields only.
    let mut head = Map::new();
    for (name, raw) in fields {
        if !matches!(&**name, "Attribute" | "Object" | "EventReport" | "Galaxy" | "RelatedEvent") {
            head.insert(name.clone(), json::value(raw)?);
        }
    }
    let info = json::text(&head, "info").unwrap_or("event without a title").to_owned();
    let uuid = json::text(&head, "uuid").and_then(|uuid| Uuid::parse_str(uuid).ok());
    let uuid = uuid.unwrap_or_else(|| list_uuid(&file.org, file.source, file.name, &info));
    let mut draft = Draft::report(file, uuid);
    if let Some(creator) = head.get("Orgc").and_then(|org| org.get("name")).and_then(Value::as_str) {
        draft.origin.name = names::one_line(creator, LINE_MAX);
    }
    draft.title = info;
    draft.created = json::text(&head, "date").and_then(when::millis).unwrap_or(0);
    draft.modified = json::scalar(&head, "timestamp").and_then(|text| when::millis(&text)).unwrap_or(0);
    draft.labels = tags(&head).filter(|tag| !is_understood(tag)).map(str::to_owned).collect();
    let at = json::text(&head, "uuid").unwrap_or("Event");
    draft.marking = marking(&head, Level::Event, (line, at), file, found);
    for (name, raw) in fields.iter().filter(|(name, _)| !LISTS.contains(&name.as_str())) {
        let text = format!("{name}: {}", raw.get());
        draft.marking.take_raw(&text, (line, at), file, found);
    }
    draft.original_form = OriginalForm::MispEvent;
    let confidence = confidence(&head).or(file.profile.confidence);
    let parts = Parts::of(draft.marking);
    let mut event = Event { file, found, line, draft, parts, is_bare: false, has_hash: false };
    event.reports(fields);
    for raw in elements(fields, "Attribute", line, event.found) {
        let own = event.attribute_of(raw, "", event.draft.marking, confidence);
        event.parts.keep("Attribute", raw, own);
    }
    for raw in elements(fields, "Object", line, event.found) {
        event.object(raw, confidence);
    }
    // Another event's title, which may be for fewer eyes than this one.
    for raw in elements(fields, "RelatedEvent", line, event.found) {
        let own = event.part_marking(raw, event.draft.marking, Level::Event);
        event.parts.keep("RelatedEvent", raw, own);
    }
    for raw in elements(fields, "ShadowAttribute", line, event.found) {
        let own = event.part_marking(raw, event.draft.marking, Level::Part);
        event.parts.keep("ShadowAttribute", raw, own);
    }
    for raw in elements(fields, "Galaxy", line, event.found) {
        let own = event.part_marking(raw, event.draft.marking, Level::Part);
        event.parts.keep("Galaxy", raw, own);
    }
    let Event { draft, found, parts, .. } = event;
    parts.finish(draft, raw, fields, file, found)
}

/// The elements of a list; one that is no list is left out.
fn elements<'r>(
    fields: &BTreeMap<String, &'r RawValue>,
    name: &str,
    line: Option<u64>,
    found: &mut Found,
) -> Vec<&'r RawValue> {
    match fields.get(name).map(|raw| json::array(raw)) {
        None => Vec::new(),
        Some(Ok(list)) => list,
        Some(Err(why)) => {
            found.skip(line, name, why);
            Vec::new()
        }
    }
}

impl Event<'_, '_, '_> {
    /// The event's own reports become its description.
    fn reports(&mut self, fields: &BTreeMap<String, &'_ RawValue>) {
        for raw in elements(fields, "EventReport", self.line, self.found) {
            let own = self.part_marking(raw, self.draft.marking, Level::Part);
            self.parts.keep("EventReport", raw, own);
            let Ok(report) = json::object(raw) else { continue };
            let part = self.parts.part(own);
            if json::flag(&report, "deleted") == Some(true) || part.description.len() > TEXT_MAX {
                continue;
            }
            for field in ["name", "content"] {
                if let Some(text) = json::text(&report, field) {
                    part.description.push_str(text);
                    part.description.push('\n');
                }
            }
        }
    }

    fn object(&mut self, raw: &RawValue, confidence: Option<u8>) {
        let fields = match json::fields(raw) {
            Ok(fields) => fields,
            Err(why) => {
                self.found.counts.seen += 1;
                let own = self.part_marking(raw, self.draft.marking, Level::Part);
                self.parts.keep("Object", raw, own);
                return self.found.skip(self.line, "Object", why);
            }
        };
        let mut head = Map::new();
        for (name, raw) in &fields {
            if !matches!(&**name, "Attribute" | "ObjectReference") {
                head.extend(json::value(raw).ok().map(|value| (name.clone(), value)));
            }
        }
        let at = json::text(&head, "uuid").unwrap_or("Object without uuid");
        let mut own = marking(&head, Level::Part, (self.line, at), self.file, self.found);
        for (name, raw) in fields.iter().filter(|(name, _)| *name != "Attribute") {
            let text = format!("{name}: {}", raw.get());
            own.take_raw(&text, (self.line, at), self.file, self.found);
        }
        let own = self.bound(own, self.draft.marking);
        let attributes = elements(&fields, "Attribute", self.line, self.found);
        let name = json::text(&head, "name").unwrap_or_default();
        let deleted = json::flag(&head, "deleted") == Some(true);
        let maps: Vec<_> = attributes.iter().map(|raw| json::object(raw).unwrap_or_default()).collect();
        self.has_hash = objects::has_hash(&maps);
        let mut inside = Vec::with_capacity(attributes.len());
        for raw in attributes {
            let of_attribute = if deleted {
                self.found.counts.seen += 1;
                self.found.counts.withdrawn += 1;
                self.take_back(&json::object(raw).unwrap_or_default());
                self.part_marking(raw, own, Level::Part)
            } else {
                self.attribute_of(raw, name, own, confidence)
            };
            inside.push((raw, of_attribute));
        }
        self.has_hash = false;
        if !deleted && let Some((handle, account)) = objects::together(name, &maps) {
            let marking = maps.iter().zip(&inside).find(|(map, _)| std::ptr::eq(*map, handle));
            let marking = marking.map_or(own, |(_, (_, marking))| *marking);
            self.indicators(handle, "", vec![account], confidence);
            self.sort_into(marking);
        }
        self.parts.keep_object(raw, &fields, own, &inside);
    }

    /// Takes note that an attribute was deleted, by its uuid.
    fn take_back(&mut self, attribute: &Map<String, Value>) {
        if let Some(id) = json::text(attribute, "uuid") {
            self.found.take_back(id, Some(self.draft.subject.into_bytes()));
        }
    }

    /// The marking under which a part of the event goes: no looser than what it stands in.
    fn part_marking(&mut self, raw: &RawValue, within: PartialMarking, level: Level) -> PartialMarking {
        let map = json::object(raw).unwrap_or_default();
        // A related event stands in an envelope of its own.
        let map = map.get("Event").and_then(Value::as_object).unwrap_or(&map);
        let at = json::text(map, "uuid").unwrap_or("a part without uuid");
        let mut own = marking(map, level, (self.line, at), self.file, self.found);
        own.take_raw(raw.get(), (self.line, at), self.file, self.found);
        self.bound(own, within)
    }

    /// The marking of a part that carries one of its own within another.
    fn bound(&self, own: PartialMarking, within: PartialMarking) -> PartialMarking {
        match within.tlp {
            None if self.is_bare => own.raised_to(within),
            _ => within.raised_to(own),
        }
    }

    /// Reads an attribute that stands in what is marked so, and in an object of that name, into its part; the marking of that.
    fn attribute_of(
        &mut self,
        raw: &RawValue,
        object: &str,
        within: PartialMarking,
        confidence: Option<u8>,
    ) -> PartialMarking {
        self.found.counts.seen += 1;
        // What is deleted or does not read is kept in the original, and binds that.
        let own = self.part_marking(raw, within, Level::Part);
        let attribute = match json::object(raw) {
            Ok(attribute) => attribute,
            Err(why) => {
                self.found.skip(self.line, "Attribute", why);
                return own;
            }
        };
        if json::flag(&attribute, "deleted") == Some(true) {
            self.found.counts.withdrawn += 1;
            self.take_back(&attribute);
            return own;
        }
        if let Err(why) = self.attribute(&attribute, object, confidence) {
            let id = json::text(&attribute, "uuid").unwrap_or("Attribute without uuid");
            self.found.skip(self.line, id, why);
        }
        self.sort_into(own);
        own
    }

    /// What was read last goes to the part of this marking.
    fn sort_into(&mut self, marking: PartialMarking) {
        let indicators = std::mem::take(&mut self.draft.indicators);
        self.parts.part(marking).indicators.extend(indicators);
    }

    fn attribute(
        &mut self,
        attribute: &Map<String, Value>,
        object: &str,
        event_confidence: Option<u8>,
    ) -> Result<(), Fault> {
        let name = objects::type_in(object, attribute).ok_or("it has no `type`")?;
        let value = json::scalar(attribute, "value").ok_or("it has no `value`")?;
        let mut refused = Vec::new();
        let values = match names::pattern_language(name) {
            Some(language) if value.len() <= TEXT_MAX => {
                vec![Observable { kind: language, value: value.as_bytes().to_vec() }]
            }
            Some(_) => {
                return Err(
                    format!("its rule has {} bytes; at most {TEXT_MAX} are taken", value.len()).into()
                );
            }
            None => match observable::from_misp(name, &value) {
                Ok(found) => {
                    refused = found.refused;
                    found.values
                }
                Err(ParseError::UnknownMisp(_)) => {
                    self.found.keep_as_context(name);
                    if json::flag(attribute, "to_ids") == Some(true) {
                        let at = json::text(attribute, "uuid").unwrap_or("Attribute without uuid");
                        let why = format!(
                            "its source says to look for it (`to_ids`), and no observable type holds a `{}`: it is kept with \
                             its event and matched against nothing",
                            names::one_line(name, 40)
                        );
                        self.found.note(self.line, at, Fault::of(&value, why));
                    }
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            },
        };
        let at = json::text(attribute, "uuid").unwrap_or("Attribute without uuid");
        // An empty part says nothing, and is no fault.
        for error in refused.into_iter().filter(|error| *error != ParseError::Empty) {
            self.found.note(self.line, at, Fault::from(error));
        }
        if let [one] = values.as_slice()
            && names::pattern_language(name).is_none()
            && !types::misp_agrees(name, one)
        {
            self.found.note(self.line, at, Fault::of(&value, types::other_type(name, one)));
        }
        self.indicators(attribute, name, values, event_confidence);
        Ok(())
    }

    /// Makes indicators of what an attribute of that type says.
    fn indicators(
        &mut self,
        attribute: &Map<String, Value>,
        name: &str,
        values: Vec<Observable>,
        event_confidence: Option<u8>,
    ) {
        let at = json::text(attribute, "uuid").unwrap_or("Attribute without uuid");
        let own_tags = || tags(attribute).filter(|tag| !is_understood(tag));
        // Without `to_ids` an attribute is context: it was observed, and nobody says that it is malicious.
        let said = match json::flag(attribute, "to_ids") {
            Some(true) => self.file.profile.kind.clone().unwrap_or_else(|| names::kind_numbered(MALICIOUS)),
            Some(false) => names::observed_kind(),
            None => names::unknown_kind(),
        };
        let said_of = said.kind;
        let kind = names::refined(said, own_tags());
        let first_seen = json::scalar(attribute, "first_seen");
        let since = first_seen.as_deref().map(when::millis);
        if let (Some(text), Some(None)) = (&first_seen, since) {
            self.found.note(self.line, at, Fault::of(text, when::UNREADABLE));
        }
        let id = json::text(attribute, "uuid").and_then(|uuid| Uuid::parse_str(uuid).ok());
        let comment = json::text(attribute, "comment");
        let beside = self.has_hash || name.contains('|') || name == "malware-sample";
        // Beside its hash a file name is a description: alone it would hit every file so called.
        let describes = |what: &Observable| beside && what.kind == kind::FILENAME && said_of != OBSERVED;
        self.draft.indicators.extend(values.into_iter().map(|what| Indicator {
            kind: if describes(&what) { names::unknown_kind() } else { kind.clone() },
            confidence: confidence(attribute).or(event_confidence),
            valid_from: since.flatten().unwrap_or(0),
            id: id.map(|id| id.into_bytes()),
            comment: names::comment(comment, own_tags()),
            ..names::plain_indicator(what)
        }));
    }
}

/// The names of all tags, in every shape that exports have them.
fn tags(map: &Map<String, Value>) -> impl Iterator<Item = &str> {
    fn name(tag: &Value) -> Option<&str> {
        tag.as_str().or_else(|| tag.get("name")?.as_str()).or_else(|| tag.get("Tag")?.get("name")?.as_str())
    }
    let lists =
        ["Tag", "EventTag", "AttributeTag", "tag", "tags"].into_iter().filter_map(|field| map.get(field));
    lists.flat_map(|list| match list {
        Value::Array(list) => list.iter().filter_map(name).collect::<Vec<_>>(),
        Value::String(list) => list.split(',').collect(),
        one => name(one).into_iter().collect(),
    })
}

fn confidence(map: &Map<String, Value>) -> Option<u8> {
    tags(map)
        .filter_map(|tag| tag.strip_prefix("misp:confidence-level="))
        .find_map(|level| CONFIDENCE.iter().find(|(name, _)| *name == level.trim_matches('"')))
        .map(|(_, confidence)| *confidence)
}

/// Whether something is an event or stands in one.
#[derive(Clone, Copy, PartialEq)]
enum Level {
    Event,
    Part,
}

/// What distribution, tags and fields of an event or of a part of one say. A stricter tag wins over the distribution; a looser
/// one counts only where that has no limit, and there a part says nothing by it.
fn marking(
    map: &Map<String, Value>,
    level: Level,
    at: (Option<u64>, &str),
    file: &FileInfo<'_>,
    found: &mut Found,
) -> PartialMarking {
    let mut marking = PartialMarking::default();
    for tag in tags(map) {
        if let Some(said) = words::label(tag) {
            marking.take(said, tag, at, file, found);
        }
    }
    for (name, value) in map {
        if let (words::Field::Labels, Some(text)) = (words::field(name), value.as_str())
            && let Some(said) = words::label_in_field(text)
        {
            marking.take(said, text, at, file, found);
        }
    }
    // A cluster that its owner keeps to fewer binds what it is attached to.
    for list in ["Galaxy", "GalaxyCluster"] {
        for inner in
            map.get(list).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
        {
            let of_inner = self::marking(inner, Level::Part, at, file, found);
            marking.add(of_inner.tlp, of_inner.pap);
            marking.floor = marking.floor.max(of_inner.floor);
        }
    }
    let number = match map.get("distribution") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let said = distribution(&number);
    let unlimited = number.trim() == "3";
    if !unlimited || level == Level::Event && marking.tlp.is_none() {
        let label = format!("distribution: {number}");
        marking.take(said, &label, at, file, found);
    }
    marking
}

/// What a distribution says, which is a limit even without a tag: 0 is the own organisation, 1, 2 and sharing groups its
/// community, 3 everyone who asks; 5 says nothing of its own. What is none of these is not understood.
pub(crate) fn distribution(text: &str) -> Handling {
    let stated = |tlp| Handling { tlp: Some(tlp), floor: Some(tlp), ..Handling::default() };
    match text.trim() {
        "0" => stated(Tlp::AmberStrict),
        "1" | "2" | "4" => stated(Tlp::Amber),
        "3" => Handling { tlp: Some(Tlp::Green), ..Handling::default() },
        "5" | "" => Handling::default(),
        _ => Handling { unclear: true, ..Handling::default() },
    }
}

#[cfg(test)]
mod tests;
