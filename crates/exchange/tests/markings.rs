//! Each object goes under its own marking, wherever and however that is said; what is not understood goes nowhere.

use tocsin_exchange::{FileInfo, Found, Imported, Profile, import};
use tocsin_record::OrgId;
use tocsin_record::marking::Tlp;
use tocsin_record::marking::words::strictest_in;

fn read(name: &str, text: &str, profile: &Profile) -> Found {
    let file = FileInfo { name, source: "partner", org: OrgId([7; 32]), profile };
    import(text.as_bytes(), &file).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What a report may be shared under if the operator says `--tlp clear`.
fn level(found: &Found, report: &Imported) -> Tlp {
    let all = [report.marking.tlp, report.marking.floor, found.marking.tlp, found.marking.floor];
    all.into_iter().flatten().max().unwrap_or(Tlp::Clear)
}

/// For each value the loosest level under which it would go; and no kept object names more than its report says.
fn levels(found: &Found) -> Vec<(String, Tlp)> {
    let mut levels = Vec::new();
    for report in &found.reports {
        let level = level(found, report);
        for original in &report.originals {
            let text = original.unpack().expect("what was packed unpacks");
            let inside = strictest_in(&text);
            assert!(inside <= Some(level), "{}", String::from_utf8_lossy(&text));
            // A value of another group is not kept with this one.
            for other in found.reports.iter().filter(|other| self::level(found, other) > level) {
                for indicator in &other.indicators {
                    let value = indicator.what.show();
                    assert!(
                        !String::from_utf8_lossy(&text).contains(&value),
                        "{value} in {}",
                        String::from_utf8_lossy(&text)
                    );
                }
            }
        }
        levels.extend(report.indicators.iter().map(|indicator| (indicator.what.show(), level)));
    }
    levels.sort();
    levels
}

fn level_of(found: &Found, value: &str) -> Tlp {
    let all = levels(found);
    all.iter().find(|(known, _)| known == value).unwrap_or_else(|| panic!("{value} is not in {all:?}")).1
}

/// An event with two domains; `extra` is put into the event, `of_strict` into the second attribute.
fn event(extra: &str, of_strict: &str) -> String {
    format!(
        r#"{{"Event":{{"uuid":"26f3d758-86d3-44b4-84ba-13214c40e15d","info":"case","date":"2026-01-01","timestamp":"1767225600",
        "Orgc":{{"name":"O"}}{extra},"Attribute":[
        {{"uuid":"c811d103-47b4-4a48-8f5a-07bee390cc50","type":"domain","value":"plain.example","to_ids":true,"distribution":"5"}},
        {{"uuid":"c811d103-47b4-4a48-8f5a-07bee390cc51","type":"domain","value":"strict.example","to_ids":true{of_strict}}}]}}}}"#
    )
}

#[test]
fn labels_of_an_event_bind_it() {
    use Tlp::{Amber, AmberStrict, Clear, Green, Red};
    for (extra, expected) in [
        (r#","distribution":"3","Tag":[{"name":"tlp:clear"}]"#, Clear),
        (r#","distribution":"3""#, Green),
        (r#","distribution":3"#, Green),
        (r#","distribution":"3","Tag":[{"name":"TLP: RED"}]"#, Red),
        (r#","distribution":"3","Tag":[{"name":"tlp-red"}]"#, Red),
        (r#","distribution":"3","Tag":[{"name":"TLP AMBER"}]"#, Amber),
        (r#","distribution":"3","Tag":[{"name":"tlp:amber+strict"}]"#, AmberStrict),
        (r#","distribution":"3","Tag":[{"name":"TLP:EX:CHR"}]"#, AmberStrict),
        (r#","distribution":"3","Tag":[{"name":"tlp:unclear"}]"#, AmberStrict),
        (
            r#","distribution":"3","Tag":[{"name":"tlp:green"},{"name":"nato:classification=\"R\""}]"#,
            AmberStrict,
        ),
        (r#","distribution":"3","Tag":[{"name":"iep2-policy:tlp=\"amber\""}]"#, Amber),
        (r#","distribution":"3","Tag":["tlp:red"]"#, Red),
        (r#","distribution":"3","Tag":{"name":"tlp:red"}"#, Red),
        (r#","distribution":"3","Tag":"tlp:red,osint""#, Red),
        (r#","distribution":"3","EventTag":[{"Tag":{"name":"tlp:red"}}]"#, Red),
        (r#","distribution":"3","tags":[{"name":"tlp:red"}]"#, Red),
        (r#","distribution":"3","Tag":[{"name":"tlp:red","local":true}]"#, Red),
        (r#","distribution":"3","tlp":"red""#, Red),
        (r#","distribution":"3","x":{"tlp":"red"}"#, Red),
        (r#","distribution":"3","extra":"handled as TLP\u003aRED""#, Red),
        (r#","distribution":0"#, AmberStrict),
        (r#","distribution":"1""#, Amber),
        (r#","distribution":2,"Tag":[{"name":"tlp:clear"}]"#, Amber),
        (r#","distribution":"4","sharing_group_id":"7""#, Amber),
        (r#","distribution":"7""#, AmberStrict),
        (r#","distribution":"all","Tag":[{"name":"tlp:clear"}]"#, AmberStrict),
        (r#","distribution":-1"#, AmberStrict),
        (r#","distribution":["3"]"#, AmberStrict),
    ] {
        let found = read("e.json", &event(extra, ""), &Profile::default());
        for value in ["plain.example", "strict.example"] {
            assert_eq!(level_of(&found, value), expected, "{extra}");
        }
    }
}

#[test]
fn a_stricter_part_of_an_event_goes_apart() {
    use Tlp::{Amber, AmberStrict, Clear, Red};
    for (of_strict, expected) in [
        (r#","distribution":"0""#, AmberStrict),
        (r#","distribution":1"#, Amber),
        (r#","Tag":[{"name":"tlp:red"}]"#, Red),
        (r#","Tag":[{"name":"TLP: Red"}]"#, Red),
        (r#","AttributeTag":[{"Tag":{"name":"tlp:amber"}}]"#, Amber),
        (r#","Tag":[{"name":"tlp:purple"}]"#, AmberStrict),
        (r#","comment":"supersedes our TLP:AMBER note""#, Amber),
        (r#","comment":"TLP:RED""#, Red),
        (r#","Galaxy":[{"GalaxyCluster":[{"value":"c","distribution":"0"}]}]"#, AmberStrict),
        (r#","distribution":"3""#, Clear),
        (r#","distribution":"5""#, Clear),
    ] {
        let text = event(r#","distribution":"3","Tag":[{"name":"tlp:clear"}]"#, of_strict);
        let found = read("e.json", &text, &Profile::default());
        assert_eq!(level_of(&found, "strict.example"), expected, "{of_strict}");
        assert_eq!(level_of(&found, "plain.example"), Clear, "{of_strict}");
        // What stands here under its own id stays under it.
        assert_eq!(found.reports[0].subject.to_string(), "26f3d758-86d3-44b4-84ba-13214c40e15d");
        // Twice the same, as the same reports.
        assert_eq!(read("e.json", &text, &Profile::default()), found);
    }
}

#[test]
fn objects_reports_and_related_events_go_under_their_own_marking() {
    let extra = r#","distribution":"3","Tag":[{"name":"tlp:green"}],
        "Object":[{"uuid":"c811d103-47b4-4a48-8f5a-07bee390cc60","name":"x","distribution":"5","Attribute":[
            {"type":"domain","value":"in.example","to_ids":true,"distribution":"5"},
            {"type":"domain","value":"apart.example","to_ids":true,"distribution":"0"},
            {"type":"domain","value":"deleted.example","to_ids":true,"deleted":true,"Tag":[{"name":"tlp:red"}]}]},
          {"uuid":"c811d103-47b4-4a48-8f5a-07bee390cc61","name":"y","distribution":"1","Attribute":[
            {"type":"domain","value":"object.example","to_ids":true,"distribution":"3"}]}],
        "EventReport":[{"uuid":"c811d103-47b4-4a48-8f5a-07bee390cc70","name":"open words","content":"for all","distribution":"5"},
          {"uuid":"c811d103-47b4-4a48-8f5a-07bee390cc71","name":"secret words","content":"for us","distribution":"0"}],
        "Galaxy":[{"name":"g","GalaxyCluster":[{"value":"open cluster","distribution":"3"}]},
          {"name":"h","GalaxyCluster":[{"value":"private cluster","distribution":"0"}]}],
        "RelatedEvent":[{"Event":{"uuid":"c811d103-47b4-4a48-8f5a-07bee390cc80","info":"another secret","distribution":"0"}}]"#;
    let found = read("e.json", &event(extra, ""), &Profile::default());
    assert_eq!(level_of(&found, "in.example"), Tlp::Green);
    assert_eq!(level_of(&found, "plain.example"), Tlp::Green);
    assert_eq!(level_of(&found, "apart.example"), Tlp::AmberStrict);
    assert_eq!(level_of(&found, "object.example"), Tlp::Amber);
    for report in found.reports.iter().filter(|report| level(&found, report) == Tlp::Green) {
        let kept = String::from_utf8(report.originals[0].unpack().unwrap()).unwrap();
        let all = format!("{kept} {} {}", report.description, report.title);
        for secret in [
            "deleted.example",
            "apart.example",
            "object.example",
            "secret words",
            "another secret",
            "private cluster",
        ] {
            assert!(!all.contains(secret), "{secret} in {all}");
        }
        assert!(
            all.contains("open words") && all.contains("open cluster") && kept.contains("in.example"),
            "{all}"
        );
    }
}

const GREEN: &str = "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb";
const AMBER: &str = "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421";
const OTHER: &str = "marking-definition--7f3c2a5e-1d7b-4a53-9a54-0f6c3b1d2e4f";

fn indicator(number: u32, value: &str, extra: &str) -> String {
    format!(
        r#"{{"type":"indicator","spec_version":"2.1","id":"indicator--00000000-0000-4000-8000-{number:012}","created":"2026-01-01T00:00:00Z",
        "modified":"2026-01-01T00:00:00Z","valid_from":"2026-01-01T00:00:00Z","pattern_type":"stix",
        "pattern":"[domain-name:value = '{value}']"{extra}}}"#
    )
}

fn marked(id: &str) -> String {
    format!(r#","object_marking_refs":["{id}"]"#)
}

fn bundle(objects: &[String]) -> String {
    format!(
        r#"{{"type":"bundle","id":"bundle--00000000-0000-4000-8000-000000000000","objects":[{}]}}"#,
        objects.join(",")
    )
}

fn definition(body: &str) -> String {
    format!(
        r#"{{"type":"marking-definition","spec_version":"2.1","id":"{OTHER}","created":"2026-01-01T00:00:00Z",{body}}}"#
    )
}

#[test]
fn labels_of_an_object_bind_it_and_nothing_else() {
    use Tlp::{Amber, AmberStrict, Clear, Green, Red};
    let red = Tlp::Red.stix_id();
    for (extra, expected) in [
        (marked(GREEN), Green),
        (marked(AMBER), Amber),
        (marked(red), Red),
        (marked(Tlp::Red.stix_1_id().unwrap()), Red),
        (marked(OTHER), AmberStrict),
        (format!(r#","object_marking_refs":["{GREEN}","{OTHER}"]"#), AmberStrict),
        (format!(r#","object_marking_refs":"{red}""#), Red),
        (format!(r#","object_marking_ref":"{red}""#), Red),
        (r#","object_marking_refs":[7]"#.to_owned(), AmberStrict),
        (format!(r#","object_marking_refs":[{{"id":"{red}"}}]"#), Red),
        (format!(r#","granular_markings":[{{"marking_ref":"{red}","selectors":["name"]}}]"#), Red),
        (format!(r#","granular_markings":[{{"marking_ref":"{OTHER}","selectors":["name"]}}]"#), AmberStrict),
        (format!(r#","granular_markings":{{"marking_ref":"{red}","selectors":["name"]}}"#), Red),
        (r#","granular_markings":[{"lang":"en","selectors":["name"]}]"#.to_owned(), Clear),
        (r#","labels":["TLP: RED"]"#.to_owned(), Red),
        (r#","labels":"tlp:red""#.to_owned(), Red),
        (r#","labels":["tlp:ex:chr"]"#.to_owned(), AmberStrict),
        (r#","labels":["iep2-policy:tlp=\"red\""]"#.to_owned(), Red),
        (r#","x_tlp":"red""#.to_owned(), Red),
        (r#","x_tlp":2"#.to_owned(), AmberStrict),
        (r#","x_misp_tlp_level":["amber"]"#.to_owned(), Amber),
        (r#","classification":"TLP:RED""#.to_owned(), Red),
        (r#","x_handling":{"tlp":"red"}"#.to_owned(), Red),
        (
            r#","extensions":{"extension-definition--7f3c2a5e-1d7b-4a53-9a54-0f6c3b1d2e4f":{"tlp":"red"}}"#
                .to_owned(),
            Red,
        ),
        (r#","description":"do not pass on, TLP:RED""#.to_owned(), Red),
        (r#","name":"[TLP:AMBER+STRICT] x""#.to_owned(), AmberStrict),
        (r#","external_references":[{"source_name":"a TLP RED report"}]"#.to_owned(), Red),
        (r#","labels":["phishing"],"description":"what TLP means""#.to_owned(), Clear),
        (format!(r#"{},"description":"do not pass on, TLP:RED""#, marked(GREEN)), Red),
    ] {
        let text =
            bundle(&[indicator(1, "plain.example", &marked(GREEN)), indicator(2, "this.example", &extra)]);
        let found = read("b.json", &text, &Profile::default());
        assert_eq!(level_of(&found, "this.example"), expected, "{extra}");
        assert_eq!(level_of(&found, "plain.example"), Green, "{extra}");
    }
}

#[test]
fn definitions_say_what_they_mean_in_many_ways() {
    use Tlp::{Amber, AmberStrict, Clear, Green, Red};
    for (body, expected, stated) in [
        (r#""definition_type":"tlp","definition":{"tlp":"amber"}"#, Amber, true),
        (r#""definition_type":"tlp","definition":{"tlp":"TLP:AMBER"}"#, Amber, true),
        (r#""definition_type":"TLP","name":"TLP:RED","definition":{"tlp":"red"}"#, Red, true),
        (
            r#""name":"TLP:GREEN","extensions":{"extension-definition--60a3c5c5-0d10-413e-aab3-9e08dde9e88d":{"extension_type":"property-extension","tlp_2_0":"amber+strict"}}"#,
            AmberStrict,
            true,
        ),
        (r#""definition_type":"tlp","definition":{"tlp":"purple"}"#, AmberStrict, true),
        (r#""definition_type":"statement","definition":{"statement":"TLP:AMBER"}"#, Amber, true),
        (r#""definition_type":"statement","definition":{"statement":"TLP:RED - members only"}"#, Red, true),
        (
            r#""definition_type":"statement","definition":{"statement":"Copyright, all rights reserved"}"#,
            AmberStrict,
            true,
        ),
        (
            r#""definition_type":"statement","definition":{"statement":"custom"},"x_opencti_definition_type":"TLP","x_opencti_definition":"TLP:AMBER+STRICT""#,
            AmberStrict,
            true,
        ),
        (
            r#""definition_type":"statement","definition":{"statement":"custom"},"x_opencti_definition_type":"TLP","x_opencti_definition":"TLP:CLEAR""#,
            Clear,
            true,
        ),
        (
            r#""definition_type":"statement","definition":{"statement":"custom"},"x_opencti_definition_type":"house","x_opencti_definition":"ours""#,
            AmberStrict,
            true,
        ),
        (r#""definition_type":"ais","definition":{"consent":"NONE"}"#, AmberStrict, true),
        (r#""name":"house rule""#, AmberStrict, true),
        (
            r#""extensions":{"extension-definition--762e2e97-ee51-43e5-a9ea-165fbb862c4a":{"extension_type":"property-extension","iep_version":"2.0","tlp":"amber","permitted_actions":"none"}}"#,
            Amber,
            false,
        ),
        (
            r#""definition_type":"iep","definition":{"name":"x","iep_version":2.0,"tlp":"amber","permitted_actions":"none"}"#,
            Amber,
            false,
        ),
        (r#""definition_type":"iep","definition":{"name":"x","tlp":"blue"}"#, AmberStrict, true),
        (
            r#""extensions":{"extension-definition--762e2e97-ee51-43e5-a9ea-165fbb862c4a":{"extension_type":"property-extension","tlp":"blue"}}"#,
            AmberStrict,
            true,
        ),
        (
            r#""extensions":{"extension-definition--7f3c2a5e-1d7b-4a53-9a54-0f6c3b1d2e4f":{"acs":"x"}}"#,
            AmberStrict,
            true,
        ),
        (
            r#""extensions":{"extension-definition--f8d78575-edfd-406e-8e84-6162a8450f5b":{"extension_type":"property-extension","pap":"red"}}"#,
            Clear,
            false,
        ),
    ] {
        let text = bundle(&[
            definition(body),
            indicator(1, "plain.example", &marked(GREEN)),
            indicator(2, "this.example", &marked(OTHER)),
        ]);
        let found = read("b.json", &text, &Profile::default());
        assert_eq!(level_of(&found, "this.example"), expected, "{body}");
        assert_eq!(level_of(&found, "plain.example"), Green, "{body}");
        let this = found
            .reports
            .iter()
            .find(|report| report.indicators.iter().any(|one| one.what.show() == "this.example"));
        let marking = this.unwrap().marking;
        assert_eq!(marking.tlp.is_some(), stated, "{body}");
        if body.contains("pap") || body.contains("permitted") {
            assert_eq!(marking.pap, Some(tocsin_record::marking::Pap::Red), "{body}");
        }
    }
}

#[test]
fn what_is_not_understood_is_named_and_meant_by_name() {
    let statement =
        definition(r#""definition_type":"statement","definition":{"statement":"For our members"}"#);
    let text = bundle(&[statement, indicator(2, "this.example", &marked(OTHER))]);
    let found = read("b.json", &text, &Profile::default());
    assert_eq!(
        (&*found.noted[0].path, &*found.noted[0].value),
        ("indicator--00000000-0000-4000-8000-000000000002", "For our members")
    );
    assert!(found.noted[0].why.contains("--override-marking") && found.counts.unknown_markings == 1);
    for name in ["For our members", "for OUR members", OTHER] {
        let profile = Profile::parse(&format!("[override-marking]\n'{name}' = 'tlp:green'")).unwrap();
        let found = read("b.json", &text, &profile);
        assert_eq!((level_of(&found, "this.example"), found.counts.noted), (Tlp::Green, 0), "{name}");
    }
    let profile =
        Profile::parse("[override-marking]\n'tlp:ex:chr' = 'amber'\n'tlp:unclear' = 'clear'").unwrap();
    for (tag, tlp) in
        [("TLP:EX:CHR", Tlp::Amber), ("tlp:unclear", Tlp::Green), ("tlp:other", Tlp::AmberStrict)]
    {
        let text =
            event(&format!(r#","distribution":"3","Tag":[{{"name":"tlp:green"}},{{"name":"{tag}"}}]"#), "");
        let found = read("e.json", &text, &profile);
        assert_eq!(level_of(&found, "plain.example"), tlp, "{tag}");
        // A label that is not a marking is left to people.
        assert_eq!(found.reports[0].labels, [tag]);
    }
    // A word on what a label means does not loosen another.
    let loose = Profile::parse("[override-marking]\n'For our members' = 'clear'").unwrap();
    let both = bundle(&[
        definition(r#""definition_type":"statement","definition":{"statement":"For our members"}"#),
        indicator(2, "this.example", &format!(r#","object_marking_refs":["{OTHER}","{AMBER}"]"#)),
    ]);
    assert_eq!(level_of(&read("b.json", &both, &loose), "this.example"), Tlp::Amber);
}

#[test]
fn a_report_is_split_by_the_markings_of_what_it_lists() {
    let refs = r#""object_refs":["indicator--00000000-0000-4000-8000-000000000001","indicator--00000000-0000-4000-8000-000000000002",
        "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421","malware--00000000-0000-4000-8000-000000000004"]"#;
    let report = |extra: &str| {
        format!(
            r#"{{"type":"report","id":"report--00000000-0000-4000-8000-000000000009","created":"2026-01-01T00:00:00Z","modified":"2026-01-01T00:00:00Z",
            "name":"words of the report","published":"2026-01-01T00:00:00Z",{refs}{extra}}}"#
        )
    };
    let malware = r#"{"type":"malware","id":"malware--00000000-0000-4000-8000-000000000004","name":"m","is_family":true,"created":"2026-01-01T00:00:00Z","modified":"2026-01-01T00:00:00Z"}"#.to_owned();
    let amber = format!(
        r#"{{"type":"marking-definition","id":"{AMBER}","name":"TLP:AMBER","created":"2022-10-01T00:00:00.000Z"}}"#
    );
    let objects = |extra: &str| {
        bundle(&[
            amber.clone(),
            indicator(1, "plain.example", &marked(GREEN)),
            indicator(2, "strict.example", &marked(AMBER)),
            malware.clone(),
            report(extra),
        ])
    };
    let found = read("b.json", &objects(&marked(GREEN)), &Profile::default());
    assert_eq!(level_of(&found, "plain.example"), Tlp::Green);
    assert_eq!(level_of(&found, "strict.example"), Tlp::Amber);
    let whole =
        found.reports.iter().find(|report| report.subject.to_string().ends_with("000000000009")).unwrap();
    assert_eq!((level(&found, whole), &*whole.title), (Tlp::Green, "words of the report"));
    // The definition goes with what is marked by it.
    for report in &found.reports {
        let kept = String::from_utf8(report.originals[0].unpack().unwrap()).unwrap();
        assert_eq!(kept.contains("TLP:AMBER"), level(&found, report) == Tlp::Amber, "{kept}");
    }
    // A report that carries none is no looser than all of its indicators together, and its words go no farther.
    let found = read("b.json", &objects(""), &Profile::default());
    assert_eq!(level_of(&found, "plain.example"), Tlp::Green);
    assert_eq!(level_of(&found, "strict.example"), Tlp::Amber);
    for report in found.reports.iter().filter(|report| level(&found, report) < Tlp::Amber) {
        let kept = String::from_utf8(report.originals[0].unpack().unwrap()).unwrap();
        assert!(!format!("{} {} {kept}", report.title, report.description).contains("words of"), "{kept}");
    }
}

#[test]
fn authors_translations_and_parts_are_no_looser_than_what_they_belong_to() {
    let by = r#","created_by_ref":"identity--00000000-0000-4000-8000-000000000005""#;
    let text = bundle(&[
        format!(r#"{{"type":"identity","id":"identity--00000000-0000-4000-8000-000000000005","name":"A secret friend","created":"2026-01-01T00:00:00Z","modified":"2026-01-01T00:00:00Z"{}}}"#, marked(AMBER)),
        indicator(1, "plain.example", &format!("{}{by}", marked(GREEN))),
        indicator(2, "strict.example", &format!("{}{by}", marked(AMBER))),
        r#"{"type":"language-content","id":"language-content--00000000-0000-4000-8000-000000000006","object_ref":"indicator--00000000-0000-4000-8000-000000000002","contents":{"de":{"name":"geheime Worte"}}}"#.to_owned(),
    ]);
    let found = read("b.json", &text, &Profile::default());
    assert_eq!(level_of(&found, "plain.example"), Tlp::Green);
    for report in found.reports.iter().filter(|report| level(&found, report) == Tlp::Green) {
        let kept = String::from_utf8(report.originals[0].unpack().unwrap()).unwrap();
        let all = format!("{kept} {}", report.origin.name);
        assert!(!all.contains("secret friend") && !all.contains("geheime"), "{all}");
    }
    // Values without a marking of their own, in observed data and messages that have one.
    let text = bundle(&[
        format!(r#"{{"type":"observed-data","id":"observed-data--00000000-0000-4000-8000-000000000001","object_refs":["email-message--00000000-0000-4000-8000-000000000002"],"created":"2026-01-01T00:00:00Z","modified":"2026-01-01T00:00:00Z"{}}}"#, marked(AMBER)),
        r#"{"type":"email-message","id":"email-message--00000000-0000-4000-8000-000000000002","is_multipart":false,"from_ref":"email-addr--00000000-0000-4000-8000-000000000003"}"#.to_owned(),
        r#"{"type":"email-addr","id":"email-addr--00000000-0000-4000-8000-000000000003","value":"a@evil.example"}"#.to_owned(),
        r#"{"type":"domain-name","id":"domain-name--00000000-0000-4000-8000-000000000004","value":"plain.example"}"#.to_owned(),
    ]);
    let found = read("b.json", &text, &Profile::default());
    assert_eq!(
        (level_of(&found, "a@evil.example"), level_of(&found, "plain.example")),
        (Tlp::Amber, Tlp::Clear)
    );
}

#[test]
fn comments_of_a_list_bind_what_they_stand_over() {
    use Tlp::{Amber, AmberStrict, Clear, Green, Red};
    for (text, levels) in [
        ("# Phishing hosts, this list is TLP:RED\na.example\nb.example\n", [Red, Red]),
        ("# Classification: TLP:AMBER\na.example\nb.example\n", [Amber, Amber]),
        ("# TLP: AMBER+STRICT\na.example\nb.example\n", [AmberStrict, AmberStrict]),
        ("; tlp-red\na.example\nb.example\n", [Red, Red]),
        ("// Marking = TLP_RED\na.example\nb.example\n", [Red, Red]),
        ("! TLP:EX:CHR\na.example\nb.example\n", [AmberStrict, AmberStrict]),
        ("# Classification: confidential\na.example\nb.example\n", [AmberStrict, AmberStrict]),
        ("TLP:RED\na.example\nb.example\n", [Red, Red]),
        ("TLP AMBER STRICT\n\na.example\nb.example\n", [AmberStrict, AmberStrict]),
        ("a.example\n# TLP:RED\nb.example\n", [Clear, Red]),
        ("a.example\n# from here on TLP:AMBER\nb.example\n", [Clear, Amber]),
        ("a.example\nb.example\n# TLP:RED\n", [Red, Red]),
        ("a.example # TLP:GREEN\nb.example # c2, TLP:RED\n", [Green, Red]),
        ("a.example\nb.example\t# tlp:purple\n", [Clear, AmberStrict]),
        ("# TLP:RED\na.example\n# TLP:GREEN\nb.example\n", [Red, Red]),
        ("# about the TLP\na.example\nb.example\n", [Clear, Clear]),
    ] {
        let found = read("l.txt", text, &Profile::default());
        assert_eq!([level_of(&found, "a.example"), level_of(&found, "b.example")], levels, "{text}");
    }
    // The name of the file.
    for (name, level) in [("iocs TLP-RED.txt", Red), ("tlp_amber_list.txt", Amber), ("list.txt", Clear)] {
        assert_eq!(level_of(&read(name, "a.example\n", &Profile::default()), "a.example"), level, "{name}");
        assert_eq!(
            level_of(&read(name, "domain,x\na.example,\n", &Profile::default()), "a.example"),
            level,
            "{name}"
        );
    }
}
