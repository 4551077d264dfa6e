use tocsin_home::presets::Preset;

use super::facts::*;
use crate::attributes::Attr;
use crate::*;

fn faults(text: &str) -> Vec<Fault> {
    Policy::load(text).expect_err("it should be refused").faults
}

#[test]
fn schema_names_every_attribute() {
    for attr in Attr::ALL {
        let stands = |mark: &str| SCHEMA.contains(&format!("{}{mark}: ", attr.name()));
        assert!(stands("") || stands("?"), "{} is not in the schema", attr.name());
    }
    assert!(Attr::ALL.len() < 64, "the mask of attributes is full");
}

#[test]
fn a_fault_tells_its_line_and_rule() {
    let text = "@id(\"good\")\npermit (principal, action == Action::\"accept\", resource);\n\n";
    let parse = faults(&format!("{text}permit (principal, action, resource)\n"));
    assert!(parse[0].line == 4 || parse[0].line == 5, "{parse:?}");

    let misspelt = faults(&format!(
        "{text}@id(\"bad\")\nforbid (principal, action == Action::\"accept\", resource)\nwhen {{ resource.tpl > 2 }};"
    ));
    assert_eq!((misspelt[0].line, misspelt[0].rule.as_deref()), (6, Some("bad")), "{misspelt:?}");
    assert!(misspelt[0].message.contains("tpl"), "{misspelt:?}");

    let unnamed = faults(&format!("{text}permit (principal, action == Action::\"hold\", resource);"));
    assert_eq!(unnamed[0].line, 4);
    assert!(unnamed[0].message.contains("@id"), "{unnamed:?}");

    let twice = faults(&format!("{text}{text}"));
    assert_eq!((twice[0].line, twice[0].rule.as_deref()), (4, Some("good")));
    assert!(twice[0].message.contains("line 1"), "{twice:?}");
}

#[test]
fn what_the_schema_forbids_is_refused() {
    for (rule, why) in [
        ("permit (principal, action == Action::\"fech\", resource);", "an action"),
        (
            "permit (principal, action == Action::\"accept\", resource) when { principal.kind == OrgKind::\"plice\" };",
            "a member",
        ),
        (
            "permit (principal, action == Action::\"accept\", resource) when { resource.confidence_max > 3 };",
            "no has",
        ),
        (
            "permit (principal, action == Action::\"fetch\", resource) when { resource.confidence_max > 3 };",
            "a body",
        ),
        (
            "permit (principal, action == Action::\"accept\", resource) when { resource.tlp == \"GREEN\" };",
            "a type",
        ),
        ("permit (principal == ?principal, action == Action::\"accept\", resource);", "a slot"),
    ] {
        let found = faults(&format!("@id(\"x\")\n{rule}"));
        assert!(!found.is_empty() && found[0].line > 0, "{why}: {found:?}");
    }
    for id in ["", "default-deny", "a b", "guardrail:x", "\\u{1b}"] {
        let text = format!("@id(\"{id}\") permit (principal, action == Action::\"accept\", resource);");
        assert_eq!(faults(&text)[0].line, 1, "{id}");
    }
    assert!(faults(&" ".repeat(MAX_TEXT_BYTES + 1))[0].message.contains("longer"));
    let many: String = (0..=MAX_RULES)
        .map(|n| format!("@id(\"r{n}\") permit (principal, action == Action::\"hold\", resource);\n"))
        .collect();
    assert!(faults(&many)[0].message.contains("rules"));
}

#[test]
fn a_rule_that_can_never_apply_is_warned_of() {
    let policy = Policy::load(
        "\n@id(\"never\") permit (principal, action == Action::\"fetch\", resource) when { resource has confidence_max };",
    )
    .unwrap();
    assert_eq!(policy.warnings().len(), 1, "{:?}", policy.warnings());
    assert_eq!((policy.warnings()[0].line, policy.warnings()[0].rule.as_deref()), (2, Some("never")));
}

#[test]
fn rules_are_told_in_the_order_of_the_text() {
    let policy = Policy::load(Preset::Observer.text()).unwrap();
    let ids: Vec<_> = policy.rules().iter().map(|rule| rule.id.as_str()).collect();
    assert_eq!(ids[..3], ["fetch-recent", "accept-members", "hold-distrusted"]);
    assert_eq!(policy.rules()[0].actions, [Action::Fetch]);
    assert_eq!(policy.rules()[5].effect, RuleEffect::Forbid);
    let names: Vec<&str> =
        (0..).map(|n| policy.rule_name(RuleId(n))).take_while(|name| *name != "unknown-rule").collect();
    assert!(names.windows(ids.len()).any(|some| some == ids), "{ids:?} are not in a row in {names:?}");
    let everything = Policy::load("@id(\"any\") forbid (principal, action, resource);").unwrap();
    assert_eq!(everything.rules()[0].actions, Action::ALL);
    assert_eq!(policy.rule_name(RuleId(9_999)), "unknown-rule");
    assert_eq!(decisions("").rule_name(RuleId(0)), "guardrail:mesh-traffic");
}

#[test]
fn a_text_for_a_word_of_an_enumeration_says_what_to_write() {
    for (rule, part) in [
        (
            r#"forbid (principal, action == Action::"forward", resource) when { principal.kind == "private" };"#,
            r#"OrgKind::"private""#,
        ),
        (
            r#"forbid (principal, action == Action::"forward", resource) when { resource.circle_kind == "mesh" };"#,
            "CircleKind::",
        ),
    ] {
        let error = crate::Policy::load(&format!("@id(\"a\") {rule}")).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains("line 1"), "{error}");
    }
}

#[test]
fn a_rule_says_what_its_comment_and_its_text_say() {
    let text = "// Of another rule.\n\n// Nothing from far away,\n//  for now.\n@id(\"near\") forbid (principal, action, resource)\n\
                when { true };\n@id(\"all\") permit (principal, action, resource);\n";
    let policy = Policy::load(text).unwrap();
    let rule = "@id(\"near\") forbid (principal, action, resource)\nwhen { true };";
    assert_eq!(policy.says("near"), Some(("Nothing from far away, for now.", rule)));
    assert_eq!(policy.says("error:near"), policy.says("near"));
    assert_eq!(policy.says("all"), Some(("", "@id(\"all\") permit (principal, action, resource);")));
    assert_eq!(policy.says("no such rule"), None);
    for guardrail in Guardrail::ALL {
        let (words, written) = policy.says(guardrail.name()).unwrap();
        assert!(words.ends_with('.') && written.is_empty(), "{words}");
    }
}
