//! MISP events: with and without the `Event` wrapper, arrays of them, and `response` envelopes; one a line too.
//!
//! An event is a report. Its marking is the strictest of its distribution, its tags, and those of every attribute and
//! object in it: the event is kept whole as an original, so the strictest part binds it all.
//! Attributes that are no observable (texts, links, ports) stay in the original and are counted.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tocsin_record::body::report::{Indicator, LINE_MAX, TEXT_MAX};
use tocsin_record::marking::Tlp;
use tocsin_record::observable::{self, Observable, ParseError, kind};
use uuid::Uuid;

use crate::fault::Fault;
use crate::gather::{Draft, Kept, OriginalForm, list_uuid};
use crate::pieces::Pieces;
use crate::{Format, Found, ImportError, Input, PartialMarking, Reading, json, names, when};

/// The row of the table of formats.
pub const FORMAT: Format = Format { name: "misp", sniff, parse };

/// How deep envelopes may be nested in one another: `response` in an array in `response` is the worst in use.
const ENVELOPES_MAX: usize = 4;
/// Fields of an event that name a colleague of the source.
const PERSONS: &[&str] = &["event_creator_email"];
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

fn parse(pieces: &mut Pieces<'_>, input: &Input<'_>, found: &mut Reading<'_>) -> Result<(), ImportError> {
    let bytes = pieces.whole()?;
    let documents = json::documents(&bytes, found)?;
    let mut events = 0;
    for (line, document) in documents {
        if let Err(why) = unfold(document, line, 0, input, found, &mut events) {
            found.skip(line, "", why);
        }
    }
    if events == 0 && found.counts.skipped == 0 {
        return Err(ImportError::Shape("no MISP event; import the events themselves, not their manifest"));
    }
    Ok(())
}

/// Finds the events in their envelopes.
fn unfold(
    raw: &RawValue,
    line: Option<u64>,
    depth: usize,
    input: &Input<'_>,
    found: &mut Reading<'_>,
    events: &mut u64,
) -> Result<(), String> {
    if depth > ENVELOPES_MAX {
        return Err("it has too many envelopes around its events".to_owned());
    }
    if raw.get().starts_with('[') {
        for (at, raw) in json::array(raw)?.into_iter().enumerate() {
            if let Err(why) = unfold(raw, line, depth + 1, input, found, events) {
                found.skip(line, &format!("element {}", at + 1), why);
            }
        }
        return Ok(());
    }
    let fields = json::fields(raw)?;
    let envelope =
        fields.get("Event").filter(|inner| inner.get().starts_with('{')).or_else(|| fields.get("response"));
    if let Some(inner) = envelope {
        return unfold(inner, line, depth + 1, input, found, events);
    }
    let is_event =
        fields.contains_key("info") && (fields.contains_key("uuid") || fields.contains_key("Attribute"));
    if is_event {
        *events += 1;
        event(raw, &fields, line, input, found)?;
    }
    Ok(())
}

/// What is read of an event while its attributes are gone through.
struct Event<'a, 'f, 't> {
    input: &'f Input<'f>,
    found: &'f mut Reading<'t>,
    line: Option<u64>,
    draft: Draft<'a>,
}

fn event(
    raw: &RawValue,
    fields: &BTreeMap<String, &RawValue>,
    line: Option<u64>,
    input: &Input<'_>,
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
    let kept = without_persons(raw, fields)?;
    let uuid = json::text(&head, "uuid").and_then(|uuid| Uuid::parse_str(uuid).ok());
    let uuid = uuid.unwrap_or_else(|| list_uuid(&input.org, input.source, input.name, &info));
    let mut draft = Draft::report(input, uuid);
    if let Some(creator) = head.get("Orgc").and_then(|org| org.get("name")).and_then(Value::as_str) {
        draft.origin.name = names::one_line(creator, LINE_MAX);
    }
    draft.title = info;
    draft.created = json::text(&head, "date").and_then(when::millis).unwrap_or(0);
    draft.modified = json::scalar(&head, "timestamp").and_then(|text| when::millis(&text)).unwrap_or(0);
    draft.labels = tags(&head).filter(|tag| !is_handling(tag)).map(str::to_owned).collect();
    draft.marking = marking(&head);
    draft.original_form = OriginalForm::MispEvent;
    let confidence = confidence(&head).or(input.profile.confidence);
    let mut event = Event { input, found, line, draft };
    event.reports(fields);
    for raw in elements(fields, "Attribute", line, event.found) {
        event.attribute_of(raw, confidence);
    }
    for raw in elements(fields, "Object", line, event.found) {
        event.object(raw, confidence);
    }
    let Event { mut draft, found, .. } = event;
    draft.originals.push(Kept { raw: &kept, with: None, modified: 0 });
    draft.finish(input, found);
    Ok(())
}

/// The event as it is kept: as given, but for who of the source's staff entered it, which is nobody's business here.
fn without_persons<'a>(
    raw: &'a RawValue,
    fields: &BTreeMap<String, &'a RawValue>,
) -> Result<Cow<'a, str>, String> {
    if !PERSONS.iter().any(|name| fields.contains_key(*name)) {
        return Ok(Cow::Borrowed(raw.get()));
    }
    let kept: BTreeMap<&String, &&RawValue> =
        fields.iter().filter(|(name, _)| !PERSONS.contains(&name.as_str())).collect();
    serde_json::to_string(&kept).map(Cow::Owned).map_err(|error| error.to_string())
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
    fn reports(&mut self, fields: &BTreeMap<String, &RawValue>) {
        for raw in elements(fields, "EventReport", self.line, self.found) {
            let Ok(report) = json::object(raw) else { continue };
            if json::flag(&report, "deleted") == Some(true) || self.draft.description.len() > TEXT_MAX {
                continue;
            }
            self.raise(&report);
            for field in ["name", "content"] {
                if let Some(text) = json::text(&report, field) {
                    self.draft.description.push_str(text);
                    self.draft.description.push('\n');
                }
            }
        }
    }

    fn object(&mut self, raw: &RawValue, confidence: Option<u8>) {
        let fields = match json::fields(raw) {
            Ok(fields) => fields,
            Err(why) => {
                self.found.counts.seen += 1;
                return self.found.skip(self.line, "Object", why);
            }
        };
        let mut head = Map::new();
        for (name, raw) in &fields {
            if !matches!(&**name, "Attribute" | "ObjectReference") {
                head.extend(json::value(raw).ok().map(|value| (name.clone(), value)));
            }
        }
        let attributes = elements(&fields, "Attribute", self.line, self.found);
        if json::flag(&head, "deleted") == Some(true) {
            self.found.counts.seen += attributes.len() as u64;
            self.found.counts.withdrawn += attributes.len() as u64;
            return;
        }
        self.raise(&head);
        for raw in attributes {
            self.attribute_of(raw, confidence);
        }
    }

    /// A stricter part raises the whole.
    fn raise(&mut self, part: &Map<String, Value>) {
        self.draft.marking = self.draft.marking.raised_to(marking(part));
    }

    fn attribute_of(&mut self, raw: &RawValue, confidence: Option<u8>) {
        self.found.counts.seen += 1;
        let attribute = match json::object(raw) {
            Ok(attribute) => attribute,
            Err(why) => return self.found.skip(self.line, "Attribute", why),
        };
        if json::flag(&attribute, "deleted") == Some(true) {
            self.found.counts.withdrawn += 1;
            return;
        }
        self.raise(&attribute);
        if let Err(why) = self.attribute(&attribute, confidence) {
            let id = json::text(&attribute, "uuid").unwrap_or("Attribute without uuid");
            self.found.skip(self.line, id, why);
        }
    }

    fn attribute(
        &mut self,
        attribute: &Map<String, Value>,
        event_confidence: Option<u8>,
    ) -> Result<(), Fault> {
        let name = json::text(attribute, "type").ok_or("it has no `type`")?;
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
            && !names::misp_agrees(name, one)
        {
            self.found.note(self.line, at, Fault::of(&value, names::other_type(name, one)));
        }
        let own_tags = || tags(attribute).filter(|tag| !is_handling(tag));
        // Without `to_ids` an attribute is context: known here, and not said to be malicious.
        let said = match json::flag(attribute, "to_ids") {
            Some(true) => self.input.profile.kind.clone().unwrap_or_else(|| names::kind_numbered(MALICIOUS)),
            _ => names::unknown_kind(),
        };
        let kind = names::refined(said, own_tags());
        let first_seen = json::scalar(attribute, "first_seen");
        let since = first_seen.as_deref().map(when::millis);
        if let (Some(text), Some(None)) = (&first_seen, since) {
            self.found.note(self.line, at, Fault::of(text, when::UNREADABLE));
        }
        let id = json::text(attribute, "uuid").and_then(|uuid| Uuid::parse_str(uuid).ok());
        let comment = json::text(attribute, "comment");
        let composite = name.contains('|') || name == "malware-sample";
        self.draft.indicators.extend(values.into_iter().map(|what| Indicator {
            // Beside its hash a file name is a description: alone it would hit every file so called.
            kind: if composite && what.kind == kind::FILENAME { names::unknown_kind() } else { kind.clone() },
            confidence: confidence(attribute).or(event_confidence),
            valid_from: since.flatten().unwrap_or(0),
            id: id.map(|id| id.into_bytes()),
            comment: names::comment(comment, own_tags()),
            ..names::plain_indicator(what)
        }));
        Ok(())
    }
}

fn tags(map: &Map<String, Value>) -> impl Iterator<Item = &str> {
    ["Tag", "EventTag", "AttributeTag"]
        .into_iter()
        .filter_map(|field| map.get(field).and_then(Value::as_array))
        .flatten()
        .filter_map(|tag| tag.get("name").or_else(|| tag.get("Tag")?.get("name")).and_then(Value::as_str))
}

fn is_handling(tag: &str) -> bool {
    PartialMarking::default().add_tag(tag)
}

fn confidence(map: &Map<String, Value>) -> Option<u8> {
    tags(map)
        .filter_map(|tag| tag.strip_prefix("misp:confidence-level="))
        .find_map(|level| CONFIDENCE.iter().find(|(name, _)| *name == level.trim_matches('"')))
        .map(|(_, confidence)| *confidence)
}

/// What distribution and tags of an event, object or attribute say. Distribution is a limit even without a tag: 0 is
/// the own organisation, 1, 2 and sharing groups its community, 3 everyone who asks; 5 says nothing of its own. A
/// stricter tag wins; a looser one counts only where the distribution is 3.
fn marking(map: &Map<String, Value>) -> PartialMarking {
    let mut tagged = PartialMarking::default();
    for tag in tags(map) {
        tagged.add_tag(tag);
    }
    let distribution = json::scalar(map, "distribution").and_then(|text| text.parse::<u8>().ok());
    let limit = match distribution {
        Some(0) => Tlp::AmberStrict,
        Some(1 | 2 | 4) => Tlp::Amber,
        Some(3) => tagged.tlp.unwrap_or(Tlp::Green),
        _ => return tagged,
    };
    tagged.add(Some(limit), None);
    tagged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Profile;
    use tocsin_record::OrgId;
    use tocsin_record::marking::Pap;

    fn import(json: &str) -> Found {
        let input = Input {
            name: "event.json",
            source: "partner",
            org: OrgId([7; 32]),
            profile: &Profile::default(),
        };
        crate::import(json.as_bytes(), &input).unwrap_or_else(|error| panic!("{error}"))
    }

    fn event(distribution: u8, tags: &[&str], attributes: &str) -> String {
        let tags: Vec<String> = tags.iter().map(|tag| format!(r#"{{"name":"{tag}"}}"#)).collect();
        format!(
            r#"{{"uuid":"59dbf0f6-3203-413a-9fbc-7960b592e4cf","info":"a case","date":"2020-09-01","timestamp":"1598975711",
               "distribution":"{distribution}","Orgc":{{"name":"ESAFE"}},"Tag":[{}],"Attribute":[{attributes}]}}"#,
            tags.join(",")
        )
    }

    const DOMAIN: &str = r#"{"uuid":"00000000-0000-4000-8000-000000000001","type":"domain","value":"evil.example","to_ids":true,"distribution":"5"}"#;

    #[test]
    fn an_event_in_every_envelope_is_the_same() {
        let plain = event(3, &["tlp:green", "PAP:RED", "case"], DOMAIN);
        let expected = import(&plain);
        let report = &expected.reports[0];
        assert_eq!(report.subject.to_string(), "59dbf0f6-3203-413a-9fbc-7960b592e4cf");
        assert_eq!((report.title.as_str(), report.origin.name.as_str()), ("a case", "ESAFE"));
        assert_eq!((report.created, report.modified), (1_598_918_400_000, 1_598_975_711_000));
        assert_eq!(report.labels, ["case"]);
        assert_eq!((report.marking.tlp, report.marking.pap), (Some(Tlp::Green), Some(Pap::Red)));
        assert_eq!(report.indicators[0].what.show(), "evil.example");
        assert_eq!(report.indicators[0].kind.kind, MALICIOUS);
        assert_eq!(report.originals[0].unpack().unwrap(), plain.as_bytes());
        for wrapped in [
            format!(r#"{{"Event":{plain}}}"#),
            format!("[{plain}]"),
            format!(r#"{{"response":[{{"Event":{plain}}}]}}"#),
            format!(r#"{{"response":{{"Event":{plain}}}}}"#),
        ] {
            let found = import(&wrapped);
            assert_eq!(found.reports[0].content_hash, report.content_hash, "{wrapped}");
        }
    }

    #[test]
    fn who_entered_an_event_is_not_kept() {
        let plain = event(3, &[], DOMAIN);
        let signed =
            plain.replacen('{', r#"{"event_creator_email":"a.person@cert.example", "x":{"y":[1.50]},"#, 1);
        let found = import(&signed);
        let original = found.reports[0].originals[0].unpack().unwrap();
        let original = String::from_utf8(original).unwrap();
        assert!(!original.contains("person"), "{original}");
        // All else is kept as it was written.
        assert!(original.contains(r#""x":{"y":[1.50]}"#) && original.contains(DOMAIN), "{original}");
        let again: Map<String, Value> = serde_json::from_str(&original).unwrap();
        assert_eq!(again.len(), serde_json::from_str::<Map<String, Value>>(&plain).unwrap().len() + 1);
    }

    #[test]
    fn distribution_and_tags_make_the_marking() {
        use Tlp::{Amber, AmberStrict, Clear, Green, Red};
        for (distribution, tags, tlp) in [
            (0, vec![], Some(AmberStrict)),
            (0, vec!["tlp:white"], Some(AmberStrict)),
            (0, vec!["tlp:red"], Some(Red)),
            (1, vec![], Some(Amber)),
            (2, vec!["tlp:green"], Some(Amber)),
            (3, vec![], Some(Green)),
            (3, vec!["tlp:white"], Some(Clear)),
            (3, vec!["tlp:clear", "TLP:AMBER"], Some(Amber)),
            (4, vec!["tlp:amber+strict"], Some(AmberStrict)),
            (5, vec![], None),
            (5, vec!["tlp:green"], Some(Green)),
        ] {
            let found = import(&event(distribution, &tags, DOMAIN));
            assert_eq!(found.reports[0].marking.tlp, tlp, "{distribution} {tags:?}");
        }
    }

    #[test]
    fn a_strict_attribute_raises_the_event() {
        for (attribute, tlp) in [
            (DOMAIN.replace(r#""5""#, r#""0""#), Tlp::AmberStrict),
            (DOMAIN.replace(r#""5""#, r#""5","Tag":[{"name":"tlp:red"}]"#), Tlp::Red),
        ] {
            let found = import(&event(3, &["tlp:clear"], &attribute));
            assert_eq!(found.reports[0].marking.tlp, Some(tlp));
        }
    }

    #[test]
    fn what_is_context_deleted_or_broken_is_told_apart() {
        let attributes = [
            DOMAIN,
            r#"{"type":"domain","value":"context.example","to_ids":false}"#,
            r#"{"type":"domain","value":"gone.example","to_ids":true,"deleted":true}"#,
            r#"{"type":"text","value":"words"}"#,
            r#"{"type":"md5","value":"not a hash","uuid":"u-1"}"#,
            r#"{"type":"domain"}"#,
            r#""no object""#,
            r#"{"type":"filename|sha1","value":"a|b.exe|da39a3ee5e6b4b0d3255bfef95601890afd80709","to_ids":"1"}"#,
            r#"{"type":"yara","value":"rule a { condition: true }","to_ids":true}"#,
            r#"{"type":"ip-dst|port","value":"192.0.2.7|443","to_ids":1,"Tag":[{"name":"C2"}]}"#,
        ];
        let found = import(&event(3, &[], &attributes.join(",")));
        let shown: Vec<String> = found.reports[0]
            .indicators
            .iter()
            .map(|i| format!("{} {} {}", i.what.type_name(), i.what.show(), i.kind.kind))
            .collect();
        assert_eq!(
            shown[..5],
            [
                "ipv4 192.0.2.7 8",
                "domain context.example 0",
                "domain evil.example 1",
                "sha1 da39a3ee5e6b4b0d3255bfef95601890afd80709 1",
                "filename a|b.exe 0",
            ]
        );
        assert!(found.reports[0].indicators[5].is_pattern());
        assert_eq!(found.context.get("text"), Some(&1));
        assert_eq!((found.counts.seen, found.counts.withdrawn, found.counts.skipped), (10, 1, 3));
        assert!(found.skipped[0].path == "u-1" && found.skipped[0].value == "not a hash");
    }

    #[test]
    fn what_is_taken_otherwise_is_told() {
        let attributes = [
            r#"{"uuid":"u-1","type":"domain","value":"192.0.2.7","to_ids":true}"#,
            r#"{"uuid":"u-2","type":"domain","value":"a.example","first_seen":"last week"}"#,
            r#"{"uuid":"u-3","type":"ip-dst","value":"192.0.2.8","first_seen":"2026-01-01"}"#,
            r#"{"uuid":"u-4","type":"yara","value":"rule a {}"}"#,
        ];
        let found = import(&event(3, &[], &attributes.join(",")));
        let told: Vec<_> = found.noted.iter().map(|note| (&*note.path, &*note.value)).collect();
        assert_eq!(told, [("u-1", "192.0.2.7"), ("u-2", "last week")]);
        assert_eq!((found.counts.indicators, found.counts.skipped), (4, 0));
    }

    #[test]
    fn an_edited_event_is_a_version_with_what_changed() {
        let before = import(&event(3, &[], DOMAIN));
        let more = format!(r#"{DOMAIN},{{"type":"domain","value":"second.example","to_ids":true}}"#);
        let after = import(&event(3, &[], &more));
        assert_eq!(before.reports[0].subject, after.reports[0].subject);
        assert_ne!(before.reports[0].content_hash, after.reports[0].content_hash);
        let changed = crate::changes(&before.reports[0].indicators, &after.reports[0].indicators).unwrap();
        assert_eq!((changed.added.len(), changed.withdrawn.len()), (1, 0));
        assert_eq!(changed.added[0].what.show(), "second.example");
    }

    #[test]
    fn other_json_is_refused_with_a_reason() {
        let profile = Profile::default();
        let input =
            Input { name: "manifest.json", source: "partner", org: OrgId([7; 32]), profile: &profile };
        let manifest = br#"{"88391e76-0480-5c3e-a69e-44c22b13ebd0": {"title": "x", "Orgc": {"name": "y"}}}"#;
        let error = crate::import(manifest, &input).unwrap_err().to_string();
        assert!(error.contains("manifest"), "{error}");
        let error = crate::import(br#"{"a": 1}"#, &input).unwrap_err().to_string();
        assert!(error.contains("of none of its formats"), "{error}");
        let error = crate::import(b"{\"info\": \"x\",\n \"Attribute\": [", &input).unwrap_err();
        assert!(matches!(error, ImportError::Json { line: 2, .. }), "{error}");
    }
}
