//! What STIX objects say of their handling: marking-definitions, what refers to them, and fields outside of the standard.

use serde_json::{Map, Value};
use tocsin_record::marking::Tlp;
use tocsin_record::marking::words::{self, Handling};

use crate::json;

/// Most markings of one object; one more is a marking that nobody knows.
const REFS_MAX: usize = 1_000;
/// The extension that carries an Information Exchange Policy (FIRST, 2022).
const IEP: &str = "extension-definition--762e2e97-ee51-43e5-a9ea-165fbb862c4a";
/// What OpenCTI writes as the statement of a marking that it says in fields of its own.
const PLACEHOLDER: &str = "custom";

/// What is read of a marking-definition.
pub(super) struct Definition {
    pub said: Handling,
    /// What the operator may call it: its statement, its name.
    pub names: Vec<String>,
}

/// A marking-definition: TLP 1.0 in its `definition`, TLP 2.0, PAP and IEP in extensions, else a label as its statement or
/// name. The standard's ids mean at least what the standard says, whatever stands in the file. What states nothing that
/// is understood, such as a statement of copyright, is a label that is not understood.
pub(super) fn definition(map: &Map<String, Value>) -> Definition {
    let mut said = Handling::default();
    let mut unclear = false;
    let mut take = |one: Option<Handling>| {
        if let Some(one) = one {
            said.tlp = said.tlp.max(one.tlp);
            said.floor = said.floor.max(one.floor);
            said.pap = said.pap.max(one.pap);
            unclear |= one.unclear;
        }
    };
    let id = json::text(map, "id").unwrap_or_default();
    if let Some(tlp) = Tlp::from_stix_id(id) {
        take(words::label(tlp.label()));
    }
    let own = json::text(map, "x_opencti_definition");
    if let Some(text) = own {
        let scale = json::text(map, "x_opencti_definition_type").unwrap_or_default();
        take(Some(scaled(scale, text)));
    }
    let mut statement = None;
    // As it was written before it had an extension.
    let is_iep = json::text(map, "definition_type").is_some_and(|kind| kind.eq_ignore_ascii_case("iep"));
    for (name, value) in map.get("definition").and_then(Value::as_object).into_iter().flatten() {
        let text = value.as_str().unwrap_or_default();
        match &**name {
            "statement" if own.is_some() && text.eq_ignore_ascii_case(PLACEHOLDER) => {}
            "statement" => {
                statement = Some(text.to_owned());
                take(Some(words::label(text).unwrap_or(Handling { unclear: true, ..words::mention(text) })));
            }
            name if is_iep => take(Some(words::iep_statement(name, text))),
            name => take(Some(scaled(name, text))),
        }
    }
    for (id, extension) in map.get("extensions").and_then(Value::as_object).into_iter().flatten() {
        let fields = extension.as_object().into_iter().flatten();
        for (name, value) in fields.filter(|(name, _)| *name != "extension_type") {
            let text = value.as_str().unwrap_or_default();
            if id == IEP {
                take(Some(words::iep_statement(name, text)));
            } else if words::field(name) == words::Field::Labels {
                take(Some(scaled(name, text)));
            } else {
                take(Some(Handling { unclear: true, ..words::mention(text) }));
            }
        }
    }
    let name = json::text(map, "name").unwrap_or_default();
    take(words::label(name));
    let has_policy = is_iep || map.get("extensions").and_then(|all| all.get(IEP)).is_some();
    said.unclear = unclear || said == Handling::default() && !has_policy;
    said.tlp = said.tlp.filter(|_| !said.unclear);
    let mut names: Vec<String> = statement.into_iter().chain([name.to_owned()]).collect();
    names.retain(|name| !name.is_empty());
    names.push(id.to_owned());
    Definition { said, names }
}

/// What a word of a scale says: of `tlp`, `pap`, or one that nobody knows.
fn scaled(scale: &str, text: &str) -> Handling {
    let unclear = Handling { unclear: true, ..words::mention(text) };
    let key = words::key(scale);
    match key.split(' ').next() {
        Some("pap") => {
            words::label(&format!("pap:{}", words::key(text).trim_start_matches("pap "))).unwrap_or(unclear)
        }
        Some("tlp") => words::label_in_field(text).unwrap_or(unclear),
        _ => words::label(text).unwrap_or(unclear),
    }
}

/// The markings of an object, whole and granular. A granular marking binds the whole object: raising is safe, and a part cannot
/// be shown without the rest here. In every shape: a reference that is none is a marking that nobody knows.
pub(super) fn references(map: &Map<String, Value>) -> Vec<String> {
    let mut refs = Vec::new();
    for field in ["object_marking_refs", "object_marking_ref", "marking_refs", "marking_ref"] {
        collect(map.get(field), &mut refs);
    }
    let granular = match map.get("granular_markings") {
        Some(Value::Array(list)) => list.iter().collect(),
        other => Vec::from_iter(other),
    };
    for one in granular {
        match one.as_object() {
            Some(one) => {
                collect(one.get("marking_ref"), &mut refs);
                collect(one.get("marking_refs"), &mut refs);
            }
            None => collect(Some(one), &mut refs),
        }
    }
    refs
}

fn collect(value: Option<&Value>, refs: &mut Vec<String>) {
    match value {
        None | Some(Value::Null) => {}
        _ if refs.len() > REFS_MAX => {}
        _ if refs.len() == REFS_MAX => refs.push("more markings than are read".to_owned()),
        Some(Value::String(id)) => refs.push(id.clone()),
        Some(Value::Array(list)) => list.iter().for_each(|one| collect(Some(one), refs)),
        // A definition where its id should stand.
        Some(Value::Object(map)) if map.contains_key("id") => collect(map.get("id"), refs),
        Some(other) => refs.push(other.to_string()),
    }
}

/// Fields outside of the standard that say how to handle an object: `x_tlp`, `classification`.
pub(super) fn fields(map: &Map<String, Value>) -> Vec<(Handling, String)> {
    let mut said = Vec::new();
    for (name, value) in map {
        let field = words::field(name);
        if field == words::Field::Other || matches!(&**name, "object_marking_refs" | "granular_markings") {
            continue;
        }
        let texts = match value {
            Value::String(text) => vec![text.clone()],
            Value::Array(_) => json::texts(map, name).map(str::to_owned).collect(),
            Value::Null => Vec::new(),
            other => vec![other.to_string()],
        };
        said.extend(texts.into_iter().filter_map(|text| Some((words::label_in(field, &text)?, text))));
    }
    said
}
