//! Events as MISP writes them.

use super::*;
use crate::Profile;
use tocsin_record::OrgId;
use tocsin_record::marking::Pap;

fn import(json: &str) -> Found {
    let file =
        FileInfo { name: "event.json", source: "partner", org: OrgId([7; 32]), profile: &Profile::default() };
    crate::import(json.as_bytes(), &file).unwrap_or_else(|error| panic!("{error}"))
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
            "domain context.example 12",
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
    let file = FileInfo { name: "manifest.json", source: "partner", org: OrgId([7; 32]), profile: &profile };
    let manifest = br#"{"88391e76-0480-5c3e-a69e-44c22b13ebd0": {"info": "x", "Orgc": {"name": "y"}}}"#;
    let found = crate::import(manifest, &file).unwrap();
    assert_eq!((found.counts.skipped, found.counts.noted, found.reports.len()), (0, 1, 0));
    let other = br#"{"88391e76-0480-5c3e-a69e-44c22b13ebd0": {"title": "x", "Orgc": {"name": "y"}}}"#;
    let error = crate::import(other, &file).unwrap_err().to_string();
    assert!(error.contains("manifest"), "{error}");
    let error = crate::import(br#"{"a": 1}"#, &file).unwrap_err().to_string();
    assert!(error.contains("nothing that is imported"), "{error}");
    let error = crate::import(b"{\"info\": \"x\",\n \"Attribute\": [", &file).unwrap_err();
    assert!(matches!(error, ImportError::Json { line: 2, .. }), "{error}");
}

/// MISP's own database has lists, tags and author beside the event: none of them is lost, and the tags bind.
#[test]
fn what_stands_beside_an_event_is_the_event_s() {
    let inside = event(3, &["tlp:green", "case"], DOMAIN);
    let mut head: Map<String, Value> = serde_json::from_str(&inside).unwrap();
    let mut beside = Map::new();
    for name in ["Attribute", "Tag", "Orgc"] {
        beside.insert(name.to_owned(), head.remove(name).unwrap());
    }
    let tags = beside.remove("Tag").unwrap();
    let linked: Vec<Value> =
        tags.as_array().unwrap().iter().map(|tag| serde_json::json!({"Tag": tag})).collect();
    beside.insert("EventTag".to_owned(), linked.into());
    beside.insert("Event".to_owned(), head.clone().into());
    let found = import(&Value::Object(beside.clone()).to_string());
    let report = &found.reports[0];
    assert_eq!((report.marking.tlp, report.origin.name.as_str()), (Some(Tlp::Green), "ESAFE"));
    assert_eq!(report.indicators[0].what.show(), "evil.example");
    assert!(String::from_utf8(report.originals[0].unpack().unwrap()).unwrap().contains("evil.example"));
    // What is said in both places counts from both.
    head.insert("Tag".to_owned(), serde_json::json!([{"name": "tlp:amber"}]));
    head.insert("Attribute".to_owned(), serde_json::json!([{"type": "ip-dst", "value": "192.0.2.7"}]));
    beside.insert("Event".to_owned(), head.into());
    beside.insert("Tag".to_owned(), serde_json::json!([{"name": "tlp:red"}]));
    let found = import(&Value::Object(beside).to_string());
    assert_eq!(found.reports[0].marking.tlp, Some(Tlp::Red));
    assert_eq!(found.counts.indicators, 2);
}

/// What a source wants to be looked for and is of no observable type is named, not only counted.
#[test]
fn what_cannot_be_looked_for_is_told() {
    let attribute = |name: &str, to_ids: bool| {
        format!(
            r#"{{"uuid":"00000000-0000-4000-8000-00000000000a","type":"{name}","value":"C:\\a\\b.pdb","to_ids":{to_ids}}}"#
        )
    };
    for name in ["pdb", "windows-service-name", "named pipe", "imphash", "ja3-fingerprint-md5"] {
        let found = import(&event(3, &[], &[attribute(name, true), DOMAIN.to_owned()].join(",")));
        assert_eq!(found.context.get(name), Some(&1), "{name}");
        assert!(found.noted[0].why.contains(&format!("holds a `{name}`")), "{:?}", found.noted);
        assert_eq!(found.noted[0].path, "00000000-0000-4000-8000-00000000000a");
        // A context by its source is one here, and no news.
        assert_eq!(import(&event(3, &[], &attribute(name, false))).counts.noted, 0, "{name}");
    }
}

/// What a search for attributes or objects answers has no event around it: it is a list, each of it under its own marking.
#[test]
fn attributes_without_their_event_are_a_list() {
    const EVENT: &str =
        r#""Event":{"uuid":"59dbf0f6-3203-413a-9fbc-7960b592e4cf","info":"a case","distribution":"3"}"#;
    let one = |n: u32, value: &str, more: &str| {
        format!(
            r#"{{"uuid":"00000000-0000-4000-8000-{n:012}","type":"domain","category":"Network activity","value":"{value}",
               "timestamp":"1598975711"{more}}}"#
        )
    };
    let all = [
        one(1, "a.example", &format!(r#","to_ids":true,"distribution":"5",{EVENT}"#)),
        one(2, "b.example", &format!(r#","to_ids":false,{EVENT}"#)),
        one(3, "c.example", r#","to_ids":true,"distribution":"0""#),
        one(4, "d.example", r#","to_ids":true,"Tag":[{"name":"tlp:red"}]"#),
        one(5, "e.example", &format!(r#","to_ids":true,"deleted":true,{EVENT}"#)),
    ];
    let list = all.join(",");
    let shown = |found: &Found| {
        let each = found.reports.iter().flat_map(|report| {
            let tlp = report.marking.tlp;
            report.indicators.iter().map(move |one| (one.what.show(), one.kind.kind, tlp))
        });
        let mut each: Vec<_> = each.collect();
        each.sort();
        each
    };
    // Its event may be shared with all: its tags are not here, and nothing leaves by that.
    let expected = [
        ("a.example".to_owned(), 1, None),
        ("b.example".to_owned(), 12, None),
        ("c.example".to_owned(), 1, Some(Tlp::AmberStrict)),
        ("d.example".to_owned(), 1, Some(Tlp::Red)),
    ];
    for answer in [
        format!(r#"{{"response":{{"Attribute":[{list}]}}}}"#),
        format!(r#"{{"response":[{{"Attribute":[{list}]}}]}}"#),
        format!(r#"{{"Attribute":[{list}]}}"#),
        format!("[{list}]"),
        all.join("\n").replace(",\n ", ", "),
    ] {
        let found = import(&answer);
        assert_eq!(shown(&found), expected, "{answer}");
        assert_eq!((found.counts.seen, found.counts.withdrawn, found.counts.skipped), (5, 1, 0), "{answer}");
        let event = Uuid::parse_str("59dbf0f6-3203-413a-9fbc-7960b592e4cf").unwrap().into_bytes();
        assert_eq!((found.gone.len(), found.gone[0].within), (1, Some(event)), "{answer}");
        let first = found.reports.iter().find(|report| report.marking.tlp.is_none()).unwrap();
        let versions = crate::versions::Versions::of(&first.originals);
        let id = Uuid::parse_str("00000000-0000-4000-8000-000000000001").unwrap().into_bytes();
        assert_eq!(versions.within(&id), Some(event), "{answer}");
        let red = found.reports.iter().find(|report| report.marking.tlp == Some(Tlp::Red)).unwrap();
        let kept = String::from_utf8(red.originals[0].unpack().unwrap()).unwrap();
        assert!(kept.contains("d.example") && !kept.contains("a.example"), "{kept}");
    }
    assert_eq!(shown(&import(&format!(r#"{{"Attribute":{}}}"#, all[0]))).len(), 1);
    let object = format!(
        r#"{{"name":"x","meta-category":"misc","distribution":"1","uuid":"00000000-0000-4000-8000-000000000009","Attribute":[{}]}}"#,
        all[0]
    );
    for answer in
        [format!(r#"{{"response":[{{"Object":{object}}}]}}"#), format!(r#"{{"Object":{object}}}"#), object]
    {
        assert_eq!(shown(&import(&answer)), [("a.example".to_owned(), 1, Some(Tlp::Amber))], "{answer}");
    }
}

/// What attributes of an object say together, or by their relation.
#[test]
fn what_an_object_says_by_relations_is_a_value() {
    let text = |relation: &str, value: &str, to_ids: bool| {
        format!(r#"{{"type":"text","object_relation":"{relation}","value":"{value}","to_ids":{to_ids}}}"#)
    };
    let object = |name: &str, attributes: &[String]| {
        let inside = attributes.join(",");
        let event = event(3, &[], "").replace(
            "\"Attribute\":[]",
            &format!(r#""Object":[{{"name":"{name}","Attribute":[{inside}]}}]"#),
        );
        let found = import(&event);
        let all = found.reports.iter().flat_map(|report| report.indicators.clone());
        all.map(|one| (one.what.show(), one.kind.kind)).collect::<Vec<_>>()
    };
    let account = [text("username", "Some", true), text("account-type", "telegram", false)];
    assert_eq!(object("user-account", &account), [("telegram:some".to_owned(), 1)]);
    assert_eq!(object("user-account", &account[..1]), []);
    assert_eq!(object("mutex", &[text("name", "a mutex", false)]), [("a mutex".to_owned(), 12)]);
    assert_eq!(object("other", &[text("name", "a mutex", false)]), []);
}
