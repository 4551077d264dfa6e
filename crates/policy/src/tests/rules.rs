#![expect(clippy::disallowed_methods, reason = "a test measures that decisions are cheap")]

use std::sync::Arc;
use std::time::Instant;

use tocsin_home::presets::Preset;
use tocsin_record::document::Carry;
use tocsin_record::marking::{Countries, Pap, Reference, Tlp};

use super::facts::*;
use crate::attributes::Attr;
use crate::*;

/// Cedar skips a rule that errors, so this `forbid` would let everything through.
const OVERFLOWING: &str = "
@id(\"all\") permit (principal, action, resource);
@id(\"too-old\") forbid (principal, action, resource)
when { resource.age_days + 9223372036854775807 > 5 };";

const NEVER_HOLD: &str = "
@id(\"all\") permit (principal, action in [Action::\"accept\", Action::\"forward\"], resource);
@id(\"big\") forbid (principal, action == Action::\"accept\", resource)
when { resource.age_days + 9223372036854775807 > 5 };";

#[test]
fn a_forbid_that_overflows_does_not_fail_open() {
    let (author, green) = (org(2, "author"), marking(Tlp::Green));
    let record = record(&author, &green);
    let mut all = decisions(OVERFLOWING);
    let judged = all.judge(&record);
    assert_eq!((judged.ruling, all.rule_name(judged.rule)), (Ruling::Hold, "error:too-old"));
    for decision in [
        all.fetch(&record.header),
        all.forward(&record, &org(3, "peer")),
        all.query(&record, &person()),
        all.export(&record, &consumer()),
    ] {
        assert_eq!((decision.allow, all.rule_name(decision.rule)), (false, "error:too-old"));
    }
    assert_eq!(all.errors().collect::<Vec<_>>(), [("error:too-old", 5)]);
    all.judge(&record);
    assert_eq!(all.errors().collect::<Vec<_>>(), [("error:too-old", 6)], "cached failures count too");

    let mut accept_only = decisions(NEVER_HOLD);
    assert_eq!(accept_only.judge(&record).ruling, Ruling::Hold);
    let explained = accept_only.explain(&Question::Judge(&record));
    assert_eq!((explained.ruling, explained.rule.as_str()), (Ruling::Hold, "error:big"));
    assert!(explained.errors[0].1.contains("overflow"), "{explained:?}");
}

#[test]
fn hold_wins_over_accept_and_neither_is_refusal() {
    let (author, green) = (org(2, "author"), marking(Tlp::Green));
    let record = record(&author, &green);
    let accept = "@id(\"a\") permit (principal, action == Action::\"accept\", resource);";
    let hold = "@id(\"h\") permit (principal, action == Action::\"hold\", resource);";
    let forbid = "@id(\"f\") forbid (principal, action == Action::\"accept\", resource);";
    for (text, ruling, rule) in [
        (String::new(), Ruling::Refuse, "default-deny"),
        (accept.to_owned(), Ruling::Accept, "a"),
        (format!("{accept}{hold}"), Ruling::Hold, "h"),
        (hold.to_owned(), Ruling::Hold, "h"),
        (format!("{accept}{forbid}"), Ruling::Refuse, "f"),
        (format!("{accept}{hold}{forbid}"), Ruling::Hold, "h"),
    ] {
        let mut decisions = decisions(&text);
        let judged = decisions.judge(&record);
        assert_eq!((judged.ruling, decisions.rule_name(judged.rule)), (ruling, rule), "{text}");
    }
}

/// Each rule permits on one fact; the record has all of them.
#[test]
fn every_attribute_can_be_read() {
    let (regimes, roles) = (["gdpr".to_owned()], ["steward".to_owned()]);
    let author = Org { regimes: &regimes, roles: &roles, trust: Some(83), ..org(2, "author") };
    let mut full = marking(Tlp::Green);
    full.pap = Some(Pap::Amber);
    full.purposes = vec![purpose("research")];
    full.legal_basis = Some("Act 7".into());
    full.retain_until = Some(NOW_MS + 30 * DAY_MS);
    full.countries = Countries::except(["ZZ".parse().unwrap()]);
    full.police = "B2 H1".parse().ok();
    full.references = vec![Reference::new("siena", "1").unwrap()];
    let mut record = record(&author, &full);
    record.header.expires_ms = NOW_MS + 10 * DAY_MS + 5;
    record.body.as_mut().unwrap().origin = Origin::Derived { source: "feed" };
    let author_id = "02".repeat(32);
    for condition in [
        "principal.name == \"author\"",
        "principal.kind == OrgKind::\"csirt\"",
        "principal.country == \"BB\"",
        "principal.regimes.contains(\"gdpr\")",
        "principal.roles == [\"steward\"]",
        "principal has trust && principal.trust == 80",
        "!principal.own",
        "resource.author == principal",
        "resource.circle == \"mesh\"",
        "resource.circle_kind == CircleKind::\"mesh\"",
        "resource.kind == RecordKind::\"report\"",
        "resource.tlp == 2",
        "resource.pap == 3",
        "resource.personal == 0",
        "!resource.exercise",
        "resource.age_days == 3",
        "resource has expires_in_days && resource.expires_in_days == 10",
        "resource has origin && resource.origin == Origin::\"derived\"",
        "resource has source && resource.source == \"feed\"",
        "resource has confidence_min && resource.confidence_min == 60",
        "resource has confidence_max && resource.confidence_max == 80",
        "resource has indicators && resource.indicators == 1",
        "resource has types && resource.types.contains(\"ipv4\")",
        "resource has purposes && resource.purposes == [\"research\"]",
        "resource has legal_basis && resource.legal_basis == \"Act 7\"",
        "resource has retain_days && resource.retain_days == 30",
        "resource has countries_except && resource.countries_except == [\"ZZ\"]",
        "!(resource has countries_only)",
        "resource has police_source && resource.police_source == \"B\"",
        "resource has police_information && resource.police_information == 2",
        "resource has police_handling && resource.police_handling == [\"H1\"]",
        "resource has references && resource.references.contains(\"siena\")",
        &format!("principal == Org::\"{author_id}\""),
        &format!("resource.author in [Org::\"{author_id}\"]"),
    ] {
        let text = format!(
            "@id(\"r\") permit (principal, action == Action::\"accept\", resource) when {{ {condition} }};"
        );
        let mut decisions = decisions(&text);
        let judged = decisions.judge(&record);
        assert_eq!((judged.ruling, decisions.rule_name(judged.rule)), (Ruling::Accept, "r"), "{condition}");
    }
    for (action, condition) in [
        ("query", "principal.name == \"analyst\""),
        ("query", "context has purpose && principal.purposes.contains(context.purpose)"),
        ("query", "principal.roles.contains(\"lead\")"),
        ("query", "resource.author.name == \"author\""),
        ("export", "principal.format == \"suricata\" && principal.name == \"ids\""),
        ("export", "principal.ceiling == 2 && principal.action == 4"),
    ] {
        let text = format!(
            "@id(\"r\") permit (principal, action == Action::\"{action}\", resource) when {{ {condition} }};"
        );
        let mut decisions = decisions(&text);
        let (roles, purposes) = (["lead".to_owned()], ["research".to_owned()]);
        let asking = Person { roles: &roles, purposes: &purposes, purpose: Some("research"), ..person() };
        let decision = match action {
            "query" => decisions.query(&record, &asking),
            _ => decisions.export(&record, &consumer()),
        };
        assert!(decision.allow, "{condition}");
    }
}

#[test]
fn extreme_values_are_clamped() {
    let author = Org { trust: Some(255), country: [0xff, 0xfe], ..org(2, "author") };
    let green = marking(Tlp::Green);
    let mut record = record(&author, &green);
    record.header.time_ms = u64::MAX;
    record.header.expires_ms = u64::MAX;
    let body = record.body.as_mut().unwrap();
    body.indicators = u32::MAX;
    body.confidence = Some((200, 255));
    let text = "@id(\"r\") permit (principal, action == Action::\"accept\", resource) when {
        resource.age_days == 0 && resource has expires_in_days && resource.expires_in_days == 3650
        && resource has indicators && resource.indicators == 1000000 && principal.country == \"\"
        && resource has confidence_min && resource.confidence_min == 100
        && principal has trust && principal.trust == 100 };";
    assert_eq!(decisions(text).judge(&record).ruling, Ruling::Accept);
}

#[test]
fn a_sealed_header_hides_what_it_does_not_show() {
    let (author, green) = (org(2, "author"), marking(Tlp::Green));
    let text = "@id(\"r\") permit (principal, action == Action::\"fetch\", resource) when {
        !(resource has tlp) && !(resource has kind) && !(resource has personal) };";
    let mut header = record(&author, &green).header;
    assert!(!decisions(text).fetch(&header).allow);
    header.cover = Cover::Sealed;
    header.tlp = None;
    assert!(decisions(text).fetch(&header).allow);
}

#[test]
fn absent_bodies_have_no_body_attributes() {
    let (author, green) = (org(2, "author"), marking(Tlp::Green));
    let mut record = record(&author, &green);
    record.body = None;
    let text = "@id(\"r\") permit (principal, action == Action::\"accept\", resource) when {
        resource.tlp == 2 && !(resource has types) && !(resource has purposes) };";
    assert_eq!(decisions(text).judge(&record).ruling, Ruling::Accept);
}

/// The cache must give the answers that no cache gives, for facts that differ in one place only.
#[test]
fn cached_answers_are_those_without_a_cache() {
    let text = "
@id(\"a\") permit (principal, action in [Action::\"accept\", Action::\"forward\"], resource)
when { principal.country == \"BB\" || principal.regimes.contains(\"gdpr\") };
@id(\"b\") forbid (principal, action in [Action::\"accept\", Action::\"forward\"], resource)
when { resource.author.name == \"bad\" || resource.age_days > 100 };
@id(\"c\") permit (principal, action == Action::\"hold\", resource)
when { resource has confidence_max && resource.confidence_max < 30 };";
    let mut cached = decisions(text);
    let regimes = ["gdpr".to_owned()];
    let green = marking(Tlp::Green);
    for round in 0..2 {
        for bits in 0..64_u32 {
            let bit = |at: u32| bits & (1 << at) != 0;
            let name = if bit(0) { "bad" } else { "good" };
            let author = Org {
                country: if bit(1) { *b"CC" } else { *b"BB" },
                regimes: if bit(2) { &regimes } else { &[] },
                ..org(2, name)
            };
            let mut record = record(&author, &green);
            record.header.time_ms -= if bit(3) { 200 * DAY_MS } else { 0 };
            record.body.as_mut().unwrap().confidence = if bit(4) { Some((10, 20)) } else { None };
            record.body.as_mut().unwrap().indicators = bits;
            let peer = Org {
                country: if bit(5) { *b"CC" } else { *b"BB" },
                regimes: if bit(2) { &regimes } else { &[] },
                ..org(3, "peer")
            };
            assert_eq!(cached.judge(&record), decisions(text).judge(&record), "round {round}, bits {bits:b}");
            assert_eq!(
                cached.forward(&record, &peer),
                decisions(text).forward(&record, &peer),
                "round {round}, bits {bits:b}"
            );
        }
    }
    // No rule reads the count of indicators, and of the author `forward` reads the name only.
    assert_eq!(cached.cached(), 32 + 16);
}

#[test]
fn ids_are_in_the_key_only_when_rules_read_them() {
    let green = marking(Tlp::Green);
    let (a, b) = (org(2, "x"), org(3, "x"));
    for (condition, entries) in [
        ("principal.name == \"x\"", 1),
        ("resource.author.name == \"x\"", 1),
        ("resource has types", 1),
        ("resource.author == principal", 2),
        ("principal == Org::\"00\" || true", 2),
        ("[resource.author].contains(principal)", 2),
        ("{who: resource.author}.who.name == \"x\"", 2),
        ("(if resource.exercise then principal else resource.author).name == \"x\"", 2),
    ] {
        let text = format!(
            "@id(\"r\") permit (principal, action == Action::\"accept\", resource) when {{ {condition} }};"
        );
        let mut decisions = decisions(&text);
        decisions.judge(&record(&a, &green));
        decisions.judge(&record(&b, &green));
        assert_eq!(decisions.cached(), entries, "{condition}");
    }
    let scope = "@id(\"r\") permit (principal == Org::\"00\", action == Action::\"accept\", resource);";
    let mut decisions = decisions(scope);
    decisions.judge(&record(&a, &green));
    decisions.judge(&record(&b, &green));
    assert_eq!(decisions.cached(), 2);
}

#[test]
fn a_new_policy_forgets_the_answers_of_the_old() {
    let (author, green) = (org(2, "author"), marking(Tlp::Green));
    let record = record(&author, &green);
    let mut decisions = decisions("");
    assert_eq!(decisions.judge(&record).ruling, Ruling::Refuse);
    decisions.replace(Arc::new(Policy::load(PERMIT_ALL).unwrap()));
    assert_eq!(decisions.judge(&record).ruling, Ruling::Accept);
}

#[test]
fn the_cache_is_bounded() {
    let text = "@id(\"r\") permit (principal, action == Action::\"fetch\", resource) when { resource.circle != \"\" };";
    let mut decisions = decisions(text);
    let (author, green) = (org(2, "author"), marking(Tlp::Green));
    for n in 0..70_000_u32 {
        let name = n.to_string();
        let mut header = record(&author, &green).header;
        header.circle = Circle { name: &name, kind: CircleKind::Other, carry: Carry::Members };
        assert!(decisions.fetch(&header).allow);
    }
    assert!(decisions.cached() <= 65_536, "{}", decisions.cached());
}

#[test]
fn explanations_name_all_rules_and_what_they_saw() {
    let (author, green) = (org(2, "author"), marking(Tlp::Green));
    let record = record(&author, &green);
    let text = "@id(\"one\") permit (principal, action == Action::\"accept\", resource) when { resource.tlp <= 2 };
        @id(\"two\") permit (principal, action == Action::\"accept\", resource) when { principal.country == \"BB\" };";
    let explained = decisions(text).explain(&Question::Judge(&record));
    assert_eq!(explained.determining, ["one", "two"]);
    assert_eq!((explained.ruling, explained.rule.as_str()), (Ruling::Accept, "one"));
    assert!(explained.saw.contains(&("principal.country".into(), "BB".into())), "{explained:?}");
    assert!(explained.saw.contains(&("resource.tlp".into(), "2".into())), "{explained:?}");
    assert_eq!(explained.saw.len(), 2);
    let guarded = decisions(text).explain(&Question::Forward(&record, &org(1, "home")));
    assert_eq!(guarded.rule, "guardrail:own-org");
}

#[test]
fn unread_attributes_are_not_looked_at() {
    let policy = Policy::load(Preset::Member.text()).unwrap();
    let forward = policy.reads(Action::Forward);
    assert!(!forward.has(Attr::ConfidenceMax) && !forward.ids, "{forward:?}");
    assert!(policy.reads(Action::Hold).has(Attr::ConfidenceMax));
}

/// Prints what a decision costs; asserts nothing about it.
#[test]
fn cost_of_a_decision() {
    const ROUNDS: u32 = 20_000;
    let (author, green) = (org(2, "author"), marking(Tlp::Green));
    let (record, peer) = (record(&author, &green), org(3, "peer"));
    for preset in Preset::ALL {
        let mut decisions = decisions(preset.text());
        let time = |rounds: u32, ask: &mut dyn FnMut()| {
            let begin = Instant::now();
            (0..rounds).for_each(|_| ask());
            begin.elapsed().as_nanos() / u128::from(rounds)
        };
        let uncached = time(ROUNDS / 20, &mut || {
            std::hint::black_box(decisions.explain(&Question::Judge(&record)));
        });
        let judge = time(ROUNDS, &mut || {
            std::hint::black_box(decisions.judge(&record));
        });
        let forward = time(ROUNDS, &mut || {
            std::hint::black_box(decisions.forward(&record, &peer));
        });
        println!("{}: uncached {uncached} ns, judge {judge} ns, forward {forward} ns", preset.name());
    }
}
