//! Objects of MISP whose attributes say something together, or by their relation, that none of them says by its type.

use serde_json::{Map, Value};
use tocsin_record::observable::{self, Observable, Type, kind};

use crate::json;

/// Attributes that are free text by their type, and a value by their relation: object, relation, and the type of MISP that is
/// meant. STIX has a word for each.
const RELATIONS: &[(&str, &str, &str)] = &[("mutex", "name", "mutex")];
/// Where an account says its platform and its handle, the first that is there.
const PLATFORM: &[&str] = &["account-type"];
const HANDLE: &[&str] = &["username", "user-id"];

/// The type of MISP that an attribute is of in an object; its own where its relation says nothing else.
pub(super) fn type_in<'a>(object: &str, attribute: &'a Map<String, Value>) -> Option<&'a str> {
    let own = json::text(attribute, "type")?;
    let relation = json::text(attribute, "object_relation").unwrap_or_default();
    let meant = RELATIONS.iter().find(|row| (row.0, row.1) == (object, relation) && own == "text");
    Some(meant.map_or(own, |row| row.2))
}

/// Whether the hash of a file is among the attributes of an object.
pub(super) fn has_hash(attributes: &[Map<String, Value>]) -> bool {
    const HASHES: &[u16] = &[kind::MD5, kind::SHA1, kind::SHA256, kind::SHA512];
    let types = attributes.iter().filter_map(|one| json::text(one, "type"));
    types.flat_map(Type::by_misp).any(|row| HASHES.contains(&row.id))
}

/// What the attributes of an object are together: the account of a handle on a platform. The attribute that it is said with goes
/// along.
pub(super) fn together<'a>(
    object: &str,
    attributes: &'a [Map<String, Value>],
) -> Option<(&'a Map<String, Value>, Observable)> {
    if object != "user-account" {
        return None;
    }
    let is_there = |one: &&Map<String, Value>| json::flag(one, "deleted") != Some(true);
    let of = |relation: &&str| {
        let mut there = attributes.iter().filter(is_there);
        there.find(|one| json::text(one, "object_relation") == Some(*relation))
    };
    let platform = PLATFORM.iter().find_map(of)?;
    let handle = HANDLE.iter().find_map(of)?;
    let account =
        observable::account(json::text(platform, "value")?, &json::scalar(handle, "value")?).ok()?;
    Some((handle, account))
}
