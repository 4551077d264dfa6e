//! The indicators that one object gives.

use tocsin_record::body::report::{Indicator, TEXT_MAX};
use tocsin_record::observable::Observable;

use super::misp::{Attribute, is_of_misp, own_labels};
use super::object::{Object, Sign};
use super::pattern;
use crate::fault::Fault;
use crate::marking::is_understood;
use crate::{FileInfo, Found, names};

/// `malicious-activity`.
const MALICIOUS: u16 = 1;

/// A value that was observed, and of which nobody says that it is bad.
pub(super) fn seen(object: &Object<'_>, value: &Observable) -> Indicator {
    Indicator {
        id: object.uuid.map(|uuid| uuid.into_bytes()),
        kind: names::observed_kind(),
        ..names::plain_indicator(value.clone())
    }
}

/// A value of what MISP has and STIX has no word for.
pub(super) fn attribute(object: &Object<'_>, one: &Attribute, file: &FileInfo<'_>) -> Indicator {
    let said = match one.to_ids {
        true => file.profile.kind.clone().unwrap_or_else(|| names::kind_numbered(MALICIOUS)),
        false => names::observed_kind(),
    };
    let tags = || own_labels(&object.labels).filter(|tag| !is_understood(tag));
    Indicator {
        kind: names::refined(said, tags()),
        id: one.id.or_else(|| object.uuid.map(|uuid| uuid.into_bytes())),
        comment: names::comment([&*one.comment], tags()),
        ..names::plain_indicator(one.what.clone())
    }
}

/// The values of an indicator, and its pattern where they are not all it says.
pub(super) fn indicators(
    object: &Object<'_>,
    sign: &Sign,
    file: &FileInfo<'_>,
    out: &mut Vec<Indicator>,
    found: &mut Found,
) {
    let Some(language) = names::pattern_language(&sign.language) else {
        let why = format!(
            "the pattern language `{}` is not known: it is kept in the original only",
            names::one_line(&sign.language, 40)
        );
        return found.skip(object.line, &object.id, why);
    };
    if let Some(why) = names::odd_validity(sign.valid_from, sign.valid_until) {
        return found.skip(object.line, &object.id, why);
    }
    let named = match language {
        0x4000 => pattern::read(&sign.pattern).unwrap_or_else(|error| {
            let why = format!("{error}: it is kept and matched against nothing");
            found.note(object.line, &object.id, Fault::of(&sign.pattern, why));
            pattern::Named::default()
        }),
        _ => pattern::Named::default(),
    };
    for note in &named.notes {
        found.note(object.line, &object.id, note.clone());
    }
    let said = sign.kinds.iter().find_map(|kind| names::kind_named(kind));
    // Of MISP misp-stix makes indicators of what is to be looked for alone.
    let of_misp = || is_of_misp(&object.labels).then(|| names::kind_numbered(MALICIOUS));
    let said =
        said.or_else(|| file.profile.kind.clone()).or_else(of_misp).unwrap_or_else(names::unknown_kind);
    let tags = || own_labels(&object.labels).filter(|tag| !is_understood(tag));
    let model = Indicator {
        kind: names::refined(said, tags()),
        confidence: sign.confidence.or(file.profile.confidence),
        valid_from: sign.valid_from,
        valid_until: sign.valid_until,
        id: object.uuid.map(|uuid| uuid.into_bytes()),
        comment: names::comment(texts(object, &sign.pattern), tags()),
        ..names::plain_indicator(Observable { kind: language, value: sign.pattern.as_bytes().to_vec() })
    };
    out.extend(named.values.into_iter().map(|what| Indicator { what, ..model.clone() }));
    // Beside its hash a file name is a description: alone it would hit every file so called.
    let beside = |what| Indicator { what, kind: names::unknown_kind(), ..model.clone() };
    out.extend(named.beside.into_iter().map(beside));
    if named.complete {
        return;
    }
    if sign.pattern.len() > TEXT_MAX {
        return found.skip(
            object.line,
            &object.id,
            format!("its pattern has {} bytes; at most {TEXT_MAX} are taken", sign.pattern.len()),
        );
    }
    out.push(model);
}

/// Name and description, without a name that only repeats the value.
fn texts<'o>(object: &'o Object<'_>, pattern: &str) -> impl Iterator<Item = &'o str> {
    let repeats = pattern.contains(&object.name);
    let name = Some(&*object.name).filter(|_| !repeats);
    name.into_iter().chain(Some(&*object.description))
}
