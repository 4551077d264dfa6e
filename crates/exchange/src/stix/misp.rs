//! What misp-stix writes of an event of MISP where STIX has no word of its own: attributes and objects in objects of its making,
//! and the words of MISP in labels. They are read as the event itself is.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use tocsin_record::observable::{self, Observable, ParseError};

use crate::json;

/// Most attributes that are read of one object.
const ATTRIBUTES_MAX: usize = 10_000;
/// The beginnings of labels that say what an object was in MISP, and nothing of what is in it.
const WORDS: &[&str] =
    &["misp:type=", "misp:category=", "misp:name=", "misp:meta-category=", "misp:to_ids=", "misp:tool="];
/// What it calls every report.
const REPORT: &str = "Threat-Report";

/// An attribute of MISP within an object of STIX.
pub(super) struct Attribute {
    pub what: Observable,
    /// Whether its source says to look for it.
    pub to_ids: bool,
    pub comment: String,
    /// Its own id; that of the object where it has none.
    pub id: Option<[u8; 16]>,
}

/// The values of an `x-misp-attribute` or an `x-misp-object`.
pub(super) fn attributes(kind: &str, map: &Map<String, Value>) -> Vec<Attribute> {
    if kind == "x-misp-attribute" {
        return read(map, "x_misp_type", "x_misp_value", "x_misp_comment");
    }
    let list = map.get("x_misp_attributes").and_then(Value::as_array).into_iter().flatten();
    let inside = list.filter_map(Value::as_object).take(ATTRIBUTES_MAX);
    inside.flat_map(|one| read(one, "type", "value", "comment")).collect()
}

fn read(map: &Map<String, Value>, name: &str, value: &str, comment: &str) -> Vec<Attribute> {
    let (Some(name), Some(value)) = (json::text(map, name), json::scalar(map, value)) else {
        return Vec::new();
    };
    let found = observable::from_misp(name, &value).map(|found| found.values).unwrap_or_default();
    let of = |what| Attribute {
        what,
        to_ids: ["to_ids", "x_misp_to_ids"].iter().any(|field| json::flag(map, field) == Some(true)),
        comment: json::text(map, comment).unwrap_or_default().to_owned(),
        id: json::text(map, "uuid").and_then(crate::versions::own_id),
    };
    found.into_iter().map(of).collect()
}

/// What a property of an observable says that is called by a type of MISP: the domain beside a URL. One that is called otherwise,
/// by what it is to its object, says nothing.
pub(super) fn property(name: &str, value: &Value) -> Vec<Observable> {
    /// Most values of one property.
    const VALUES_MAX: usize = 100;
    let name = name.replace('_', "-");
    let all = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let texts = all.iter().filter_map(Value::as_str).take(VALUES_MAX);
    texts.filter_map(|text| observable::from_misp(&name, text).ok()).flat_map(|found| found.values).collect()
}

/// The CVE of a vulnerability, which MISP has as an attribute.
pub(super) fn vulnerability(map: &Map<String, Value>) -> Vec<Attribute> {
    let references = map.get("external_references").and_then(Value::as_array).into_iter().flatten();
    let ids = references.filter_map(Value::as_object).filter_map(|one| json::text(one, "external_id"));
    let all = ids.chain(json::text(map, "name")).take(ATTRIBUTES_MAX);
    let found = all.filter_map(|id| observable::from_misp("vulnerability", id).ok());
    let values: BTreeSet<Observable> = found.flat_map(|found| found.values).collect();
    let of = |what| Attribute { what, to_ids: false, comment: String::new(), id: None };
    values.into_iter().map(of).collect()
}

/// Whether an object is of an attribute of MISP that holds no observable, whatever the value beside it looks like: the link
/// to a vendor's page, say.
pub(super) fn holds_none(labels: &[String]) -> bool {
    labels.iter().filter_map(|label| word(label, "misp:type=")).any(|name| {
        matches!(observable::from_misp(name, "-"), Err(ParseError::UnknownMisp(_)))
            && crate::names::pattern_language(name).is_none()
    })
}

/// Whether an indicator was made of what MISP says to look for.
pub(super) fn is_of_misp(labels: &[String]) -> bool {
    labels.iter().any(|label| word(label, "misp:type=").or_else(|| word(label, "misp:name=")).is_some())
}

/// The labels of an object without those that say what it was in MISP.
pub(super) fn own_labels(labels: &[String]) -> impl Iterator<Item = &str> {
    let is_made = labels.iter().any(|label| label.starts_with("misp:tool="));
    let is_own = move |label: &&str| {
        !(WORDS.iter().any(|word| label.starts_with(word)) || is_made && *label == REPORT)
    };
    labels.iter().map(String::as_str).filter(is_own)
}

fn word<'l>(label: &'l str, begin: &str) -> Option<&'l str> {
    label.strip_prefix(begin).map(|word| word.trim_matches('"'))
}
