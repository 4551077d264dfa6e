//! One STIX object: what of it matters here, beside its bytes as given.

use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tocsin_record::marking::words::Handling;
use tocsin_record::observable::{self, Observable, Type, kind};
use uuid::Uuid;

use super::marking::{self, Definition};
use super::misp::{self, Attribute};
use super::pattern;
use crate::fault::Fault;
use crate::{json, when};

/// Most references that one object is read to have: five times what a report may have of indicators.
const REFS_MAX: usize = 100_000;
/// Most values of one observed object: a file has its names and hashes, a certificate its fingerprints.
const VALUES_MAX: usize = 1_000;
/// Most values of one object of which it is said that they are not what their field says.
const NOTES_MAX: usize = 16;

/// A STIX object.
pub(super) struct Object<'a> {
    pub raw: &'a str,
    pub line: Option<u64>,
    pub id: String,
    pub uuid: Option<Uuid>,
    pub kind: String,
    pub name: String,
    pub description: String,
    pub created: u64,
    pub modified: u64,
    /// When it was last changed, in nanoseconds: its version.
    pub version: u128,
    pub revoked: bool,
    pub labels: Vec<String>,
    /// `object_refs` of reports, groupings and observed data.
    pub members: Vec<String>,
    /// What else it refers to, by fields that end in `_ref` or `_refs`; markings apart.
    pub refs: Vec<String>,
    pub creator: Option<String>,
    pub marking_refs: Vec<String>,
    /// Fields outside of the standard that say how to handle it.
    pub fields: Vec<(Handling, String)>,
    pub body: Body,
    /// What of it was taken otherwise than it is written.
    pub notes: Vec<Fault>,
}

/// What is read of an object beyond what all have.
pub(super) enum Body {
    Indicator(Sign),
    /// Of a marking-definition.
    Marking(Definition),
    /// The values of a cyber-observable or of observed data of STIX 2.0.
    Observed(Vec<Observable>),
    /// Of what MISP has and STIX has no word for.
    Attributes(Vec<Attribute>),
    Other,
}

/// What is read of an indicator.
pub(super) struct Sign {
    pub pattern: String,
    pub language: String,
    pub kinds: Vec<String>,
    pub confidence: Option<u8>,
    pub valid_from: u64,
    pub valid_until: u64,
}

/// What is no knowledge of its own: it only explains the rest.
pub(super) fn is_support(kind: &str) -> bool {
    matches!(kind, "identity" | "marking-definition" | "extension-definition" | "language-content")
}

impl<'a> Object<'a> {
    /// Reads an object.
    pub(super) fn read(raw: &'a RawValue, line: Option<u64>) -> Result<Self, String> {
        let map = json::object(raw)?;
        let kind = json::text(&map, "type").ok_or("it has no `type`")?.to_owned();
        let id = json::text(&map, "id").unwrap_or_default().to_owned();
        if id.is_empty() && !observable_type(&kind) {
            return Err("it has no `id`".to_owned());
        }
        let time = |field| json::text(&map, field).and_then(when::nanos).unwrap_or(0);
        let millis = |nanos: u128| u64::try_from(nanos / when::NANOS_A_MILLI).unwrap_or(u64::MAX);
        let created = time("created");
        let version = time("modified").max(created);
        let labels: Vec<String> =
            json::texts_or_text(&map, "labels").into_iter().map(str::to_owned).collect();
        let mut notes = Vec::new();
        let body = match &*kind {
            "indicator" => Body::Indicator(sign(&map, &labels, &mut notes)?),
            "marking-definition" => Body::Marking(marking::definition(&map)),
            "observed-data" => Body::Observed(embedded(&map, &mut notes)),
            "vulnerability" => Body::Attributes(misp::vulnerability(&map)),
            "x-misp-attribute" | "x-misp-object" => Body::Attributes(misp::attributes(&kind, &map)),
            kind if observable_type(kind) => {
                let mut values = Vec::new();
                observed(kind, &map, &mut values, &mut notes);
                Body::Observed(values)
            }
            _ => Body::Other,
        };
        Ok(Self {
            raw: raw.get(),
            line,
            uuid: id.rsplit_once("--").and_then(|(_, uuid)| Uuid::parse_str(uuid).ok()),
            id,
            name: json::text(&map, "name").unwrap_or_default().to_owned(),
            description: json::text(&map, "description").unwrap_or_default().to_owned(),
            created: millis(created),
            modified: millis(version),
            version,
            revoked: json::flag(&map, "revoked") == Some(true),
            members: json::texts(&map, "object_refs").take(REFS_MAX).map(str::to_owned).collect(),
            refs: references(&map),
            creator: json::text(&map, "created_by_ref").map(str::to_owned),
            marking_refs: marking::references(&map),
            fields: marking::fields(&map),
            labels,
            body,
            notes,
            kind,
        })
    }

    pub(super) fn indicator(&self) -> Option<&Sign> {
        match &self.body {
            Body::Indicator(sign) => Some(sign),
            _ => None,
        }
    }

    pub(super) fn attributes(&self) -> &[Attribute] {
        match &self.body {
            Body::Attributes(attributes) => attributes,
            _ => &[],
        }
    }

    pub(super) fn observed(&self) -> &[Observable] {
        match &self.body {
            Body::Observed(values) => values,
            _ => &[],
        }
    }

    pub(super) fn is_report(&self) -> bool {
        matches!(&*self.kind, "report" | "grouping")
    }
}

fn sign(map: &Map<String, Value>, labels: &[String], notes: &mut Vec<Fault>) -> Result<Sign, String> {
    let pattern = match map.get("pattern") {
        Some(Value::String(pattern)) if !pattern.trim().is_empty() => pattern.clone(),
        Some(_) => return Err("its `pattern` is no text".to_owned()),
        None => return Err("it has no `pattern`".to_owned()),
    };
    let mut time = |field: &str| match json::scalar(map, field) {
        None => 0,
        Some(text) => when::millis(&text).unwrap_or_else(|| {
            notes.push(Fault::of(&text, format!("`{field}`: {}", when::UNREADABLE)));
            0
        }),
    };
    let (valid_from, valid_until) = (time("valid_from"), time("valid_until"));
    let confidence = map
        .get("confidence")
        .and_then(Value::as_u64)
        .and_then(|number| u8::try_from(number).ok())
        .filter(|number| *number <= 100);
    if let (Some(other), None) = (map.get("confidence").filter(|it| !it.is_null()), confidence) {
        let why = "`confidence` is a number from 0 to 100: the value was imported without this one";
        notes.push(Fault::of(&other.to_string(), why));
    }
    let mut kinds: Vec<String> = json::texts(map, "indicator_types").map(str::to_owned).collect();
    if kinds.is_empty() {
        // STIX 2.0 has the types among the labels.
        kinds = labels.to_vec();
    }
    Ok(Sign {
        pattern,
        language: json::text(map, "pattern_type").unwrap_or("stix").to_owned(),
        kinds,
        confidence,
        valid_from,
        valid_until,
    })
}

fn references(map: &Map<String, Value>) -> Vec<String> {
    let mut refs = Vec::new();
    for (field, value) in map {
        if matches!(&**field, "object_refs" | "object_marking_refs") {
            continue;
        }
        match value {
            Value::String(id) if field.ends_with("_ref") => refs.push(id.clone()),
            Value::Array(ids) if field.ends_with("_refs") => {
                refs.extend(ids.iter().filter_map(Value::as_str).take(REFS_MAX).map(str::to_owned));
            }
            _ => {}
        }
    }
    refs
}

/// Whether objects of this STIX type hold values of the observable table.
fn observable_type(kind: &str) -> bool {
    observable::TYPES
        .iter()
        .flat_map(|row| row.stix)
        .any(|path| path.strip_prefix(kind).is_some_and(|rest| rest.starts_with(':')))
}

/// STIX 2.0 observed data holds its objects itself.
fn embedded(map: &Map<String, Value>, notes: &mut Vec<Fault>) -> Vec<Observable> {
    let mut values = Vec::new();
    for object in map.get("objects").and_then(Value::as_object).into_iter().flat_map(Map::values) {
        if let Some(object) = object.as_object()
            && let Some(kind) = json::text(object, "type")
        {
            observed(kind, object, &mut values, notes);
        }
    }
    values
}

/// The values of a cyber-observable: every leaf whose path the observable table knows.
fn observed(kind: &str, map: &Map<String, Value>, values: &mut Vec<Observable>, notes: &mut Vec<Fault>) {
    if kind == "user-account" {
        let platform = json::text(map, "account_type");
        let handle = json::text(map, "account_login").or_else(|| json::text(map, "user_id"));
        if let (Some(platform), Some(handle)) = (platform, handle) {
            values.extend(observable::account(platform, handle));
        }
        return;
    }
    for (field, value) in map {
        if let Some(name) = field.strip_prefix("x_misp_") {
            values.extend(misp::property(name, value));
        } else if !matches!(&**field, "type" | "id" | "spec_version" | "extensions") {
            leaves(&format!("{kind}:{field}"), value, values, notes);
        }
    }
}

/// `serde_json` bounds the nesting, and so this recursion.
fn leaves(path: &str, value: &Value, values: &mut Vec<Observable>, notes: &mut Vec<Fault>) {
    match value {
        _ if values.len() >= VALUES_MAX => {}
        Value::String(text) => values.extend(known(path, text, notes)),
        Value::Number(number) => values.extend(known(path, &number.to_string(), notes)),
        Value::Object(map) => {
            for (field, value) in map {
                leaves(&format!("{path}.{field}"), value, values, notes);
            }
        }
        Value::Array(list) => {
            for value in list {
                leaves(&format!("{path}[*]"), value, values, notes);
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn known(path: &str, text: &str, notes: &mut Vec<Fault>) -> Option<Observable> {
    let row = Type::by_stix_path(path).next()?;
    let found = (row.id != kind::ACCOUNT).then(|| pattern::value(path, text)).flatten();
    if notes.len() < NOTES_MAX {
        notes.extend(pattern::otherwise(path, text, found.as_ref()));
    }
    found
}
