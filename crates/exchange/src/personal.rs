//! Personal data in what is kept: the one table of MISP attribute and object types and STIX object types and properties, beside
//! the observable table, which says it of values.
//!
//! A kept object is as personal as the strictest part of it. What is in no table may be about a person.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use tocsin_record::body::report::{Indicator, Original};
use tocsin_record::marking::Personal::{self, No, Possible, Yes};
use tocsin_record::observable::Type;

/// MISP attribute types that are no observables. All others may be personal.
#[rustfmt::skip]
const MISP_ATTRIBUTES: &[(&[&str], Personal)] = &[
    (&[
        "first-name", "middle-name", "last-name", "full-name", "date-of-birth", "place-of-birth", "gender", "passport-number",
        "redress-number", "visa-number", "primary-residence", "frequent-flyer-number", "travel-details", "payment-details",
        "passenger-name-record-locator-number", "identity-card-number", "special-service-request", "target-user", "target-email",
        "email-src-display-name", "email-dst-display-name", "email-body", "email-header", "whois-registrant-name", "prtn", "iban",
        "bank-account-nr", "cc-number", "eppn", "pgp-public-key", "pgp-private-key", "email", "email-src", "email-dst",
        "email-reply-to", "phone-number", "whois-registrant-email", "whois-registrant-phone", "dns-soa-email",
    ], Yes),
    (&[
        "AS", "bic", "community-id", "cpe", "dkim", "dkim-signature", "domain", "hostname", "favicon-mmh3", "hassh-md5", "hasshserver-md5",
        "http-method", "ja3-fingerprint-md5", "jarm-fingerprint", "md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha512/224",
        "sha512/256", "sha3-224", "sha3-256", "sha3-384", "sha3-512", "ssdeep", "imphash", "impfuzzy", "pehash", "authentihash", "tlsh",
        "vhash", "cdhash", "telfhash", "mime-type", "mutex", "named pipe", "pattern-in-file", "pattern-in-memory", "pattern-in-traffic",
        "port", "size-in-bytes", "sigma", "snort", "suricata", "yara", "zeek", "bro", "stix2-pattern", "threat-actor",
        "campaign-name", "campaign-id", "user-agent", "vulnerability", "weakness", "x509-fingerprint-md5", "x509-fingerprint-sha1",
        "x509-fingerprint-sha256", "windows-service-name", "windows-service-displayname", "whois-registrar", "whois-creation-date",
        "boolean", "counter", "datetime", "float", "hex", "integer", "email-x-mailer", "email-mime-boundary", "email-thread-index",
        "azure-application-id", "mobile-application-id", "chrome-extension-id", "process-state", "kusto-query",
    ], No),
];

/// Object templates of MISP that are about a person, whatever stands in them. So are those that end in `-account` or `-user`.
const MISP_OBJECTS: &[&str] = &[
    "person",
    "passport",
    "identity-card",
    "employee",
    "credential",
    "credit-card",
    "bank-account",
    "phone",
    "passenger",
    "drivers-license",
    "email",
];

/// Relations of attributes in objects that name a person, whatever the attribute's type.
const MISP_RELATIONS: &[&str] = &[
    "username",
    "user-id",
    "account-name",
    "account-id",
    "password",
    "real-name",
    "address",
    "license-plate-number",
];

/// STIX object types. All others may be personal.
#[rustfmt::skip]
const STIX_OBJECTS: &[(&[&str], Personal)] = &[
    (&["email-addr", "email-message", "user-account", "phone-number"], Yes),
    (&[
        "attack-pattern", "autonomous-system", "campaign", "course-of-action", "domain-name", "extension-definition", "grouping",
        "indicator", "infrastructure", "intrusion-set", "malware", "malware-analysis", "marking-definition", "mutex", "relationship",
        "report", "sighting", "software", "tool", "vulnerability", "language-content",
    ], No),
];

/// Properties that name a person, in any object.
const STIX_PROPERTIES: &[&str] = &[
    "contact_information",
    "authors",
    "email",
    "e_mail",
    "phone",
    "phone_number",
    "x_opencti_firstname",
    "x_opencti_lastname",
];

/// What patterns name that is about a person: the pattern may be kept though its value is no indicator.
const STIX_PATTERNS: &[&str] = &["email-addr:", "email-message:", "user-account:", "phone-number:"];

/// What of kept objects is about persons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inside {
    /// The strictest of all parts.
    pub personal: Personal,
    /// How many parts of each type are personal, by their names.
    pub parts: BTreeMap<String, u64>,
}

impl Inside {
    fn take(&mut self, name: &str, personal: Personal) {
        self.personal = self.personal.max(personal);
        if personal == Yes {
            // There are some hundred types; names from outside are bounded.
            const TYPES_MAX: usize = 200;
            let name = if self.parts.len() < TYPES_MAX {
                crate::names::one_line(name, 60)
            } else {
                "others".to_owned()
            };
            *self.parts.entry(name).or_default() += 1;
        }
    }
}

/// How personal a report is: its values, and what it keeps.
#[must_use]
pub fn of(indicators: &[Indicator], originals: &[Original]) -> Personal {
    crate::marking::personal_default(indicators).max(inside(originals).personal)
}

/// What of kept objects is about persons. One that does not read may be about anything.
#[must_use]
pub fn inside(originals: &[Original]) -> Inside {
    let mut found = Inside::default();
    for original in originals {
        let value = original.unpack().ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        match value {
            Some(mut value) => walk(&mut value, &mut found, Parts::Keep),
            None => found.take("an object that does not read", Possible),
        }
    }
    found
}

/// The kept objects without what is about persons, and what was left out.
#[must_use]
pub fn without(originals: &[Original]) -> (Vec<Original>, Inside) {
    let mut found = Inside::default();
    let mut kept = Vec::with_capacity(originals.len());
    for original in originals {
        let before = found.parts.clone();
        let value = original.unpack().ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let Some(mut value) = value else { continue };
        walk(&mut value, &mut found, Parts::LeaveOut);
        if found.parts == before {
            kept.push(original.clone());
        } else {
            kept.extend(Original::pack(original.format, value.to_string().as_bytes()));
        }
    }
    (kept, found)
}

/// A STIX object without what of it is about persons; `None` where that is nothing, or the whole.
pub(crate) fn bare(object: &Map<String, Value>) -> Option<Map<String, Value>> {
    let mut left = object.clone();
    (stix(&mut left, &mut Inside::default(), Parts::LeaveOut) && left != *object).then_some(left)
}

/// What becomes of parts that are about persons.
#[derive(Clone, Copy, PartialEq)]
enum Parts {
    Keep,
    LeaveOut,
}

fn walk(value: &mut Value, found: &mut Inside, parts: Parts) {
    match value {
        Value::Array(objects) => objects
            .retain_mut(|object| object.as_object_mut().is_none_or(|object| stix(object, found, parts))),
        Value::Object(event) => misp(event, found, parts),
        _ => {}
    }
}

/// An event, or an object of one: true for each element that is kept.
fn misp(event: &mut Map<String, Value>, found: &mut Inside, parts: Parts) {
    for list in ["Attribute", "ShadowAttribute", "Object", "x_misp_attributes"] {
        let Some(Value::Array(elements)) = event.get_mut(list) else { continue };
        elements.retain_mut(|element| {
            let Some(element) = element.as_object_mut() else { return true };
            let text = |name: &str| element.get(name).and_then(Value::as_str).unwrap_or_default();
            let (name, personal) = if list == "Object" {
                let name = text("name");
                (name.to_owned(), misp_object(name))
            } else {
                let relation = text("object_relation");
                let name = text("type");
                let named = if MISP_RELATIONS.contains(&relation) { Yes } else { No };
                (name.to_owned(), misp_attribute(name).max(named))
            };
            found.take(&name, personal);
            // Other elements of this list are looked at, whatever became of this one.
            misp(element, found, parts);
            parts == Parts::Keep || personal < Yes
        });
    }
}

/// How personal an object of MISP is by its template alone.
fn misp_object(name: &str) -> Personal {
    let about = MISP_OBJECTS.contains(&name) || name.ends_with("-account") || name.ends_with("-user");
    if about { Yes } else { No }
}

/// How personal a MISP attribute type is; of a composite the strictest of its parts.
fn misp_attribute(name: &str) -> Personal {
    let one = |name: &str| {
        let listed = MISP_ATTRIBUTES.iter().find(|(names, _)| names.contains(&name)).map(|row| row.1);
        listed.or_else(|| Type::by_misp(name).map(|row| row.personal).max()).unwrap_or(Possible)
    };
    name.split('|').map(one).max().unwrap_or(Possible)
}

/// A STIX object: true if it is kept.
fn stix(object: &mut Map<String, Value>, found: &mut Inside, parts: Parts) -> bool {
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let kind = text("type").to_owned();
    let personal = match (&*kind, text("identity_class")) {
        ("identity", "individual") => Yes,
        ("identity", "organization" | "group" | "class" | "system") => No,
        // What misp-stix writes of an event where STIX has no word of its own.
        ("x-misp-attribute", _) => misp_attribute(text("x_misp_type")),
        ("x-misp-object", _) => misp_object(text("x_misp_name")),
        ("indicator", _) if STIX_PATTERNS.iter().any(|path| text("pattern").contains(path)) => Yes,
        _ => STIX_OBJECTS.iter().find(|(names, _)| names.contains(&&*kind)).map_or(Possible, |row| row.1),
    };
    let name = if kind == "identity" { "identity of a person".to_owned() } else { kind };
    found.take(&name, personal);
    for field in STIX_PROPERTIES {
        let says = object.get(*field).is_some_and(|value| !value.is_null() && value.as_str() != Some(""));
        if says {
            found.take(field, Yes);
            if parts == Parts::LeaveOut {
                object.remove(*field);
            }
        }
    }
    misp(object, found, parts);
    // Observed data of STIX 2.0 holds its objects itself.
    if let Some(Value::Object(inner)) = object.get_mut("objects") {
        let mut left = Vec::new();
        for (key, value) in inner.iter_mut() {
            if value.as_object_mut().is_some_and(|value| !stix(value, found, parts)) {
                left.push(key.clone());
            }
        }
        for key in left {
            inner.remove(&key);
        }
    }
    parts == Parts::Keep || personal < Yes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(json: &str) -> Vec<Original> {
        vec![Original::pack(1, json.as_bytes()).unwrap()]
    }

    #[test]
    fn what_is_kept_is_as_personal_as_its_parts() {
        let attribute = |name: &str| {
            format!(
                r#"{{"info":"x","Attribute":[{{"type":"domain","value":"a"}},{{"type":"{name}","value":"b"}}]}}"#
            )
        };
        let object = |name: &str, inner: &str| {
            format!(r#"{{"info":"x","Object":[{{"name":"{name}","Attribute":[{inner}]}}]}}"#)
        };
        for (json, personal) in [
            (attribute("target-email"), Yes),
            (attribute("passport-number"), Yes),
            (attribute("full-name"), Yes),
            (attribute("whois-registrant-name"), Yes),
            (attribute("iban"), Yes),
            (attribute("email-src"), Yes),
            (attribute("text"), Possible),
            (attribute("ip-dst|port"), Possible),
            (attribute("filename|md5"), Possible),
            (attribute("made-up"), Possible),
            (attribute("port"), No),
            (attribute("domain"), No),
            (object("person", ""), Yes),
            (object("telegram-account", ""), Yes),
            (object("file", r#"{"type":"text","object_relation":"username"}"#), Yes),
            (object("file", r#"{"type":"target-user"}"#), Yes),
            (object("file", r#"{"type":"md5"}"#), No),
            (r#"{"info":"x","ShadowAttribute":[{"type":"target-email"}]}"#.to_owned(), Yes),
            (r#"[{"type":"identity","identity_class":"individual","name":"J"}]"#.to_owned(), Yes),
            (r#"[{"type":"identity","identity_class":"organization","name":"O"}]"#.to_owned(), No),
            (r#"[{"type":"identity","identity_class":"organization","contact_information":"j@o.example"}]"#.to_owned(), Yes),
            (r#"[{"type":"identity","name":"?"}]"#.to_owned(), Possible),
            (r#"[{"type":"email-addr","value":"j@o.example"}]"#.to_owned(), Yes),
            (r#"[{"type":"user-account","user_id":"j"}]"#.to_owned(), Yes),
            (r#"[{"type":"note","authors":["J"]}]"#.to_owned(), Yes),
            (r#"[{"type":"note"}]"#.to_owned(), Possible),
            (r#"[{"type":"indicator","pattern":"[email-addr:value = 'a' AND domain-name:value = 'b']"}]"#.to_owned(), Yes),
            (r#"[{"type":"indicator","pattern":"[domain-name:value = 'b']"}]"#.to_owned(), No),
            (r#"[{"type":"x-misp-attribute","x_misp_type":"passport-number","x_misp_value":"C01X00T47"}]"#.to_owned(), Yes),
            (r#"[{"type":"x-misp-attribute","x_misp_type":"port","x_misp_value":"80"}]"#.to_owned(), No),
            (r#"[{"type":"x-misp-object","x_misp_name":"x","x_misp_attributes":[{"type":"iban","value":"x"}]}]"#.to_owned(), Yes),
            (r#"[{"type":"observed-data","objects":{"0":{"type":"email-addr","value":"j@o.example"}}}]"#.to_owned(), Yes),
            (r#"[{"type":"x-person"}]"#.to_owned(), Possible),
        ] {
            let found = inside(&kept(&json));
            assert_eq!(found.personal, personal, "{json}");
            assert_eq!(found.parts.is_empty(), personal < Yes, "{json}");
            // Without these parts nothing of it is about a person, and the rest is there.
            let (rest, left_out) = without(&kept(&json));
            assert_eq!(left_out.parts, found.parts);
            assert!(inside(&rest).personal < Yes, "{json}");
            assert_eq!(rest == kept(&json), personal < Yes, "{json}");
        }
        let rest = without(&kept(&attribute("target-email"))).0;
        assert_eq!(String::from_utf8(rest[0].unpack().unwrap()).unwrap().matches("domain").count(), 1);
    }
}
