use tocsin_record::OrgId;
use tocsin_record::marking::Tlp;

use super::*;
use crate::Profile;

fn import_as(name: &str, text: &str) -> Found {
    let file = FileInfo { name, source: "partner", org: OrgId([7; 32]), profile: &Profile::default() };
    let found = crate::import(text.as_bytes(), &file).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(found.format, "stix");
    found
}

fn import(objects: &[String]) -> Found {
    import_as("bundle.json", &bundle(1, objects))
}

fn bundle(id: u8, objects: &[String]) -> String {
    format!(
        r#"{{"type":"bundle","id":"bundle--00000000-0000-4000-8000-0000000000{id:02}","objects":[{}]}}"#,
        objects.join(",")
    )
}

fn id(kind: &str, n: u32) -> String {
    format!("{kind}--00000000-0000-4000-8000-{n:012}")
}

fn object(kind: &str, n: u32, more: &str) -> String {
    format!(
        r#"{{"type":"{kind}","spec_version":"2.1","id":"{}","created":"2026-01-01T00:00:00.000Z","modified":"2026-01-02T00:00:00.000Z"{more}}}"#,
        id(kind, n)
    )
}

fn indicator(n: u32, more: &str) -> String {
    object(
        "indicator",
        n,
        &format!(
            r#","pattern":"[domain-name:value = 'h{n}.example']","pattern_type":"stix","valid_from":"2026-01-01T00:00:00Z"{more}"#
        ),
    )
}

fn marked(tlp: Tlp) -> String {
    format!(r#","object_marking_refs":["{}"]"#, tlp.stix_id())
}

fn domains(indicators: &[Indicator]) -> Vec<String> {
    indicators.iter().map(|indicator| indicator.what.show()).collect()
}

#[test]
fn a_report_takes_what_it_refers_to() {
    let refs = format!(r#","name":"A case","object_refs":["{}","{}"]"#, id("indicator", 1), id("malware", 1));
    let creator = format!(r#","created_by_ref":"{}""#, id("identity", 1));
    let objects = [
        object("identity", 1, r#","name":"ESAFE""#),
        indicator(1, ""),
        indicator(2, ""),
        object("malware", 1, r#","name":"Bad""#),
        object(
            "relationship",
            1,
            &format!(r#","source_ref":"{}","target_ref":"{}""#, id("indicator", 1), id("malware", 1)),
        ),
        object("report", 9, &(refs + &creator + r#","labels":["phish","tlp:green"]"#)),
    ];
    let found = import(&objects);
    let [report, rest] = &found.reports[..] else { panic!("{} reports", found.reports.len()) };
    assert_eq!(report.subject.to_string(), &id("report", 9)[8..]);
    assert_eq!((report.title.as_str(), report.origin.name.as_str()), ("A case", "ESAFE"));
    assert_eq!(
        (report.labels.as_slice(), report.marking.tlp),
        (["phish".to_owned()].as_slice(), Some(Tlp::Green))
    );
    assert_eq!(domains(&report.indicators), ["h1.example"]);
    assert_eq!(domains(&rest.indicators), ["h2.example"]);
    let originals = String::from_utf8(report.originals[0].unpack().unwrap()).unwrap();
    let kept: Vec<serde_json::Value> = serde_json::from_str(&originals).unwrap();
    assert_eq!(kept.len(), 5);
    assert!(
        originals.contains(&objects[4])
            && originals.contains(&objects[0])
            && !originals.contains(&objects[2])
    );
}

#[test]
fn what_only_explains_draws_nothing_into_a_report() {
    let address =
        |n: u32| format!(r#"{{"type":"ipv4-addr","id":"{}","value":"45.0.0.{n}"}}"#, id("ipv4-addr", n));
    let all: Vec<String> = (1..=3).map(|n| format!("\"{}\"", id("ipv4-addr", n))).collect();
    let names_all = format!(r#","name":"ESAFE","x_all_refs":[{}]"#, all.join(","));
    // Nor by way of something that an observed object is claimed to have written.
    let holder = format!(r#","contains_refs":[{}],"name":"a.exe""#, all.join(","));
    let by_file = format!(r#","name":"Other","created_by_ref":"{}""#, id("file", 4));
    let case = |author: u32| {
        let author = id("identity", author);
        format!(r#","name":"A case","created_by_ref":"{author}","object_refs":["{author}"]"#)
    };
    let mut objects: Vec<String> = (1..=3).map(address).collect();
    objects.extend([
        object("identity", 1, &names_all),
        object("file", 4, &holder),
        object("identity", 2, &by_file),
        object("report", 8, &case(1)),
        object("report", 9, &case(2)),
    ]);
    let found = import(&objects);
    let [one, two, rest] = &found.reports[..] else { panic!("{} reports", found.reports.len()) };
    assert_eq!((one.indicators.len(), two.indicators.len()), (0, 0));
    assert_eq!(one.origin.name, "ESAFE");
    assert_eq!(domains(&rest.indicators).len(), 4);
    assert_eq!(found.counts.skipped, 0, "{:?}", found.skipped);
}

#[test]
fn what_many_reports_refer_to_is_repeated_within_a_bound() {
    let values: Vec<String> = (0..500).map(|n| format!("'45.0.{}.{}'", n >> 8, n & 255)).collect();
    let pattern =
        format!(r#","pattern_type":"stix","pattern":"[ipv4-addr:value IN ({})]""#, values.join(","));
    let case =
        |n| object("report", n, &format!(r#","name":"A case","object_refs":["{}"]"#, id("indicator", 1)));
    let mut objects = vec![object("indicator", 1, &(pattern + &marked(Tlp::Amber)))];
    objects.extend((0..203).map(case));
    let found = import(&objects);
    assert_eq!(found.reports.len(), 203);
    assert_eq!(found.counts.indicators, 500 + REPEATED_MAX);
    assert!(found.reports[..201].iter().all(|report| report.indicators.len() == 500));
    assert!(found.reports[201..].iter().all(|report| report.indicators.is_empty()));
    // What it is about stays as strict as what was left out.
    assert!(found.reports.iter().all(|report| report.marking.tlp == Some(Tlp::Amber)));
    let told: Vec<_> = found.skipped.iter().map(|skipped| (skipped.path.clone(), &*skipped.value)).collect();
    assert_eq!(told, [(id("report", 201), "1 object"), (id("report", 202), "1 object")]);
    assert!(found.skipped[0].why.contains("several files"), "{}", found.skipped[0].why);
}

#[test]
fn a_new_bundle_id_changes_nothing_and_one_indicator_changes_one_bucket() {
    let mut objects: Vec<String> = (0..4_000).map(|n| indicator(n, &marked(Tlp::Clear))).collect();
    let before = import_as("feed.json", &bundle(1, &objects));
    assert!(before.reports.len() > 2);
    assert_eq!(import_as("feed.json", &bundle(2, &objects)), before);
    objects.push(indicator(99_999, &marked(Tlp::Clear)));
    let after = import_as("feed.json", &bundle(3, &objects));
    let is_old = |report: &crate::Imported| {
        let same =
            |old: &crate::Imported| old.subject == report.subject && old.content_hash == report.content_hash;
        before.reports.iter().any(same)
    };
    assert_eq!(after.reports.iter().filter(|report| !is_old(report)).count(), 1);
}

#[test]
fn what_is_marked_apart_stays_apart() {
    let objects = [
        indicator(1, &marked(Tlp::Clear)),
        indicator(2, &marked(Tlp::Red)),
        indicator(3, ""),
        indicator(
            4,
            &format!(
                r#","granular_markings":[{{"marking_ref":"{}","selectors":["pattern"]}}],"object_marking_refs":["{}"]"#,
                Tlp::Red.stix_1_id().unwrap(),
                Tlp::Green.stix_id()
            ),
        ),
        // Whatever the file says that the standard's id means, it means what the standard says.
        format!(
            r#"{{"type":"marking-definition","id":"{}","definition_type":"tlp","definition":{{"tlp":"white"}}}}"#,
            Tlp::Red.stix_id()
        ),
    ];
    let found = import(&objects);
    let groups: Vec<_> = found
        .reports
        .iter()
        .map(|report| (report.marking.tlp, domains(&report.indicators).join(",")))
        .collect();
    assert_eq!(
        groups,
        [
            (None, "h3.example".to_owned()),
            (Some(Tlp::Clear), "h1.example".to_owned()),
            (Some(Tlp::Red), "h2.example,h4.example".to_owned())
        ]
    );
}

#[test]
fn context_of_an_indicator() {
    let more = r#","name":"h1.example","description":"seen in mail","indicator_types":["malicious-activity"],"confidence":85,
        "labels":["phishing"],"valid_until":"2027-01-01T00:00:00Z""#;
    let found = import(&[indicator(1, more), indicator(2, r#","confidence":300"#)]);
    let [one, two] = &found.reports[0].indicators[..] else { panic!() };
    assert_eq!(
        (one.kind.kind, one.confidence, one.comment.as_str()),
        (7, Some(85), "seen in mail #phishing")
    );
    assert_eq!((one.valid_from, one.valid_until), (1_767_225_600_000, 1_798_761_600_000));
    assert_eq!(
        one.id.map(uuid::Uuid::from_bytes).map(|uuid| uuid.to_string()),
        Some(id("indicator", 1)[11..].to_owned())
    );
    assert_eq!((two.kind.kind, two.confidence), (0, None));
}

#[test]
fn an_indicator_that_ends_before_it_begins_is_left_out() {
    let found = import(&[indicator(1, r#","valid_until":"2025-12-31T23:59:59Z""#), indicator(2, "")]);
    assert_eq!(found.reports[0].indicators.len(), 1);
    assert_eq!(found.skipped[0].path, id("indicator", 1));
    assert!(found.skipped[0].why.contains("before"), "{:?}", found.skipped);
}

#[test]
fn patterns_that_are_no_values_are_kept() {
    let pattern = |n, language: &str, text: &str| {
        object("indicator", n, &format!(r#","pattern_type":"{language}","pattern":"{text}""#))
    };
    let found = import(&[
        pattern(1, "stix", "[file:name LIKE 'a%']"),
        pattern(2, "yara", "rule a { condition: true }"),
        pattern(3, "odd", "whatever"),
        pattern(4, "stix", "no pattern at all"),
        object("indicator", 5, ""),
        object("indicator", 6, r#","pattern":5"#),
    ]);
    let kinds: Vec<_> = found.reports[0].indicators.iter().map(|indicator| indicator.what.kind).collect();
    assert_eq!(kinds, [0x4000, 0x4000, 0x4001]);
    let told: Vec<_> = found.skipped.iter().map(|skipped| skipped.path.clone()).collect();
    assert_eq!(told, [id("indicator", 5), id("indicator", 6), id("indicator", 3)]);
}

#[test]
fn revoked_and_older_versions_do_not_count() {
    let newer = indicator(1, "").replace("2026-01-02", "2026-02-02").replace("h1.example", "new.example");
    let found = import(&[newer, indicator(1, ""), indicator(2, r#","revoked":true"#)]);
    assert_eq!(domains(&found.reports[0].indicators), ["new.example"]);
    assert_eq!((found.counts.duplicates, found.counts.withdrawn), (1, 1));
}

#[test]
fn one_document_a_line_and_envelopes() {
    let lines =
        format!("{}\n{{broken\n{}\n{}\n", bundle(1, &[indicator(1, "")]), indicator(2, ""), indicator(3, ""));
    let found = import_as("x.jsonl", &lines);
    assert_eq!(found.counts.indicators, 3);
    assert_eq!((found.skipped[0].line, found.counts.skipped), (Some(2), 1));
    let envelope = format!(r#"{{"more":false,"objects":[{}]}}"#, indicator(1, ""));
    assert_eq!(import_as("x.json", &envelope).counts.indicators, 1);
    let array = format!("[{},{}]", indicator(1, ""), indicator(2, ""));
    assert_eq!(import_as("x.json", &array).counts.indicators, 2);
}

#[test]
fn what_was_observed_is_known_beside_indicators_too() {
    let file = r#"{"type":"file","spec_version":"2.1","id":"file--00000000-0000-5000-8000-000000000001",
        "hashes":{"MD5":"d41d8cd98f00b204e9800998ecf8427e"},"name":"a.exe","size":7}"#
        .to_owned();
    let account = r#"{"type":"user-account","id":"user-account--00000000-0000-5000-8000-000000000002",
        "account_type":"telegram","account_login":"Some"}"#
        .to_owned();
    let old = object(
        "observed-data",
        1,
        r#","objects":{"0":{"type":"ipv4-addr","value":"192.0.2.7"},"1":{"type":"autonomous-system","number":64496}}"#,
    );
    let found = import(&[file.clone(), account, old]);
    let mut shown = domains(&found.reports[0].indicators);
    shown.sort();
    assert_eq!(shown, ["192.0.2.7", "AS64496", "a.exe", "d41d8cd98f00b204e9800998ecf8427e", "telegram:some"]);
    assert!(found.reports[0].indicators.iter().all(|indicator| indicator.kind.kind == 12));
    let both = import(&[
        file.clone(),
        indicator(1, ""),
        indicator(2, r#","indicator_types":["malicious-activity"]"#),
    ]);
    let mut shown = domains(&both.reports[0].indicators);
    shown.sort();
    assert_eq!(shown, ["a.exe", "d41d8cd98f00b204e9800998ecf8427e", "h1.example", "h2.example"]);
    // What an indicator says of a value stands, whichever comes first.
    let seen = r#"{"type":"domain-name","id":"domain-name--00000000-0000-5000-8000-000000000003","value":"h2.example"}"#.to_owned();
    let bad = indicator(2, r#","indicator_types":["malicious-activity"],"description":"bad""#);
    for objects in [[seen.clone(), bad.clone()], [bad, seen]] {
        let found = import(&objects);
        let [one] = &found.reports[0].indicators[..] else { panic!("{:?}", found.reports) };
        assert_eq!((one.kind.kind, one.comment.as_str()), (1, "bad"));
    }
}

#[test]
fn what_was_observed_is_bound_as_its_observation() {
    let seen = r#"{"type":"domain-name","id":"domain-name--00000000-0000-5000-8000-000000000003","value":"seen.example"}"#.to_owned();
    let refs = r#","object_refs":["domain-name--00000000-0000-5000-8000-000000000003"]"#;
    let found = import(&[
        seen,
        object("observed-data", 1, &format!("{refs}{}", marked(Tlp::Amber))),
        indicator(1, &marked(Tlp::Green)),
    ]);
    let of = |name: &str| {
        let holds = |report: &&crate::Imported| domains(&report.indicators).contains(&name.to_owned());
        found.reports.iter().find(holds).map(|report| report.marking.floor)
    };
    assert_eq!((of("seen.example"), of("h1.example")), (Some(Some(Tlp::Amber)), Some(Some(Tlp::Green))));
}

#[test]
fn arrays_of_bundles_are_read_whole() {
    let all = format!(
        "[{},{},{}]",
        bundle(1, &[indicator(1, "")]),
        indicator(2, ""),
        bundle(3, &[indicator(3, "")])
    );
    let found = import_as("x.json", &all);
    assert_eq!(
        (domains(&found.reports[0].indicators).len(), found.counts.seen, found.counts.skipped),
        (3, 3, 0)
    );
}

#[test]
fn nesting_without_end_costs_one_object() {
    let deep =
        format!(r#"{{"type":"note","id":"note--1","x":{}1{}}}"#, "[".repeat(50_000), "]".repeat(50_000));
    let found = import(&[deep, indicator(1, "")]);
    assert_eq!((found.counts.indicators, found.counts.skipped), (1, 1));
    assert!(found.skipped[0].why.contains("recursion"), "{}", found.skipped[0].why);
}

#[test]
fn what_is_taken_otherwise_or_taken_back_is_told() {
    let broken = indicator(3, "").replace("[domain-name:value = 'h3.example']", "[domain-name:value = 'h3");
    let objects = [
        indicator(1, r#","revoked":true"#),
        indicator(2, r#","confidence":150,"valid_until":"soon""#),
        broken,
        indicator(4, r#","confidence":50"#),
    ];
    let found = import(&objects);
    let told: Vec<_> = found.noted.iter().map(|note| (note.path.clone(), &*note.value)).collect();
    let of = |n| id("indicator", n);
    assert_eq!(told, [(of(1), ""), (of(2), "soon"), (of(2), "150"), (of(3), "[domain-name:value = 'h3")]);
    assert_eq!((found.counts.indicators, found.counts.withdrawn, found.counts.skipped), (3, 1, 0));
    let kept = found.reports.iter().flat_map(|report| &report.indicators);
    assert_eq!(kept.filter(|indicator| crate::why_unmatched(&indicator.what).is_some()).count(), 1);
}
