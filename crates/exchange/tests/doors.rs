//! One reading for one value, whatever the door: a list, a table with a column of types or of values, a MISP attribute and
//! a STIX pattern give the same observable for the same text.

use serde_json::json;
use tocsin_exchange::{FileInfo, Profile, import};
use tocsin_record::OrgId;
use tocsin_record::observable::Observable;

/// A type, its names in MISP and STIX, the value, and ways in which people write it.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static [&'static str]);

const VALUES: &[Row] = &[
    (
        "ipv4",
        "ip-dst",
        "ipv4-addr:value",
        "192.0.2.7",
        &[
            "192[.]0[.]2[.]7",
            "192.0.2.7:443",
            "192.0.2.7/32",
            "IP: 192.0.2.7",
            "\u{201c}192.0.2.7\u{201d}",
            "192.0.2.7.",
        ],
    ),
    (
        "ipv4-net",
        "ip-src",
        "ipv4-addr:value",
        "192.0.2.0/24",
        &[
            "192.0.2.0/255.255.255.0",
            "192.0.2.0-192.0.2.255",
            "192.0.2.0 - 192.0.2.255",
            "192.0.2.*",
            "192[.]0.2.0/24",
        ],
    ),
    (
        "domain",
        "domain",
        "domain-name:value",
        "evil.example",
        &[
            "*.evil.example",
            "evil[.]example",
            "evil dot example",
            "evil.example:8080",
            "evil.example/",
            "EVIL.example.",
            "evil<.>example",
        ],
    ),
    (
        "domain",
        "hostname",
        "domain-name:value",
        "xn--zzzzzz99.evil.example",
        &["XN--ZZZZZZ99[.]evil.example"],
    ),
    (
        "url",
        "url",
        "url:value",
        "http://evil.example/~a?b",
        &[
            "hxxp://evil[.]example/%7Ea?b",
            "h00p://evil.example/~a?b",
            "hxxp[:]//evil.example/~a?b",
            "http://evil.example:80/~a?b",
        ],
    ),
    (
        "email",
        "email-src",
        "email-addr:value",
        "me@evil.example",
        &["A B <me@evil.example>", "me[at]evil[.]example", "mailto:me@evil.example", "Me@Evil.example"],
    ),
    (
        "md5",
        "md5",
        "file:hashes.MD5",
        "d41d8cd98f00b204e9800998ecf8427e",
        &["MD5: d41d8cd98f00b204e9800998ecf8427e", "D41D8CD98F00B204E9800998ECF8427E"],
    ),
    (
        "sha256",
        "sha256",
        "file:hashes.'SHA-256'",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        &["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
    ),
];

fn read(name: &str, text: &str) -> Vec<Observable> {
    let profile = Profile::default();
    let file = FileInfo { name, source: "doors", org: OrgId([3; 32]), profile: &profile };
    let found = import(text.as_bytes(), &file).unwrap_or_else(|error| panic!("{text}: {error}"));
    let all = found.reports.into_iter().flat_map(|report| report.indicators);
    all.map(|indicator| indicator.what).collect()
}

#[test]
fn every_door_reads_a_value_alike() {
    let mut wrong = Vec::new();
    for (name, misp, stix, canonical, writings) in VALUES {
        let value = Observable::parse(name, canonical).unwrap();
        for text in writings.iter().chain([canonical]) {
            let quoted = text.replace('"', "\"\"");
            let escaped = text.replace('\\', "\\\\").replace('\'', "\\'");
            let event = json!({"info": "x", "uuid": "5c5c5c5c-0000-4000-8000-000000000001", "Attribute": [{"type": misp, "value": text}]});
            let bundle = json!({"type": "bundle", "id": "bundle--5c5c5c5c-0000-4000-8000-000000000001", "objects": [{
                "type": "indicator", "spec_version": "2.1", "id": "indicator--5c5c5c5c-0000-4000-8000-000000000002",
                "created": "2026-01-01T00:00:00Z", "modified": "2026-01-01T00:00:00Z", "valid_from": "2026-01-01T00:00:00Z",
                "pattern_type": "stix", "pattern": format!("[{stix} = '{escaped}']"),
            }]});
            for (door, content) in [
                ("x.txt", format!("{text}\n")),
                ("x.csv", format!("type,value\n{name},\"{quoted}\"\n")),
                ("misp.csv", format!("type,value\n{misp},\"{quoted}\"\n")),
                ("value.csv", format!("value,note\n\"{quoted}\",x\n")),
                ("typed.csv", format!("note,{name}\nx,\"{quoted}\"\n")),
                ("event.json", event.to_string()),
                ("bundle.json", bundle.to_string()),
            ] {
                let found = read(door, &content);
                if found != [value.clone()] {
                    let shown: Vec<String> =
                        found.iter().map(|one| format!("{} {}", one.type_name(), one.show())).collect();
                    wrong.push(format!("{door} `{text}`: {shown:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
