//! The five examples of the project's README do what their comments say.

use tocsin_record::marking::{Personal, Tlp};

use super::facts::*;
use crate::*;

const README: &str = include_str!("../../../../README.md");

/// Decisions under one example, beside a rule that permits whatever is not held.
fn example(id: &str) -> Decisions {
    let block = README.split("```cedar").nth(1).and_then(|rest| rest.split("```").next());
    let rules = block.unwrap_or_else(|| panic!("README.md shows no rules"));
    let start = rules.find(&format!("@id(\"{id}\")")).unwrap_or_else(|| panic!("README.md has no `{id}`"));
    let length = rules[start..].find(';').unwrap_or_else(|| panic!("`{id}` has no end"));
    let rule = &rules[start..=start + length];
    decisions(&if id == "accept-members" { rule.to_owned() } else { format!("{PERMIT_ALL}\n{rule}") })
}

#[test]
fn there_are_five() {
    assert_eq!(README.matches("\n@id(").count(), 5);
}

#[test]
fn members_are_heard() {
    let (author, green) = (org(2, "author"), marking(Tlp::Green));
    let mut decisions = example("accept-members");
    let judged = decisions.judge(&record(&author, &green));
    assert_eq!((judged.ruling, decisions.rule_name(judged.rule)), (Ruling::Accept, "accept-members"));
    assert!(!decisions.forward(&record(&author, &green), &org(3, "peer")).allow, "and no more than that");
}

#[test]
fn what_is_hardly_believed_is_held() {
    let (author, green) = (org(2, "author"), marking(Tlp::Green));
    for (confidence, expected) in
        [(Some((5, 14)), Ruling::Hold), (Some((5, 15)), Ruling::Accept), (None, Ruling::Accept)]
    {
        let mut record = record(&author, &green);
        record.body.as_mut().unwrap().confidence = confidence;
        assert_eq!(example("hold-doubtful").judge(&record).ruling, expected, "{confidence:?}");
    }
}

#[test]
fn companies_get_no_personal_data() {
    let author = org(2, "author");
    let company = Org { kind: "private", ..org(3, "company") };
    let mut personal = marking(Tlp::Green);
    personal.personal = Personal::Yes;
    personal.purposes = vec![purpose("network-defence")];
    personal.retain_until = Some(NOW_MS + DAY_MS);
    let mut decisions = example("no-personal-to-companies");
    assert!(!decisions.forward(&record(&author, &personal), &company).allow);
    assert!(decisions.forward(&record(&author, &personal), &org(3, "csirt")).allow);
    assert!(decisions.forward(&record(&author, &marking(Tlp::Green)), &company).allow);
}

#[test]
fn green_stays_under_one_law() {
    let author = org(2, "author");
    let regimes = ["gdpr".to_owned()];
    let lawful = Org { regimes: &regimes, ..org(3, "lawful") };
    let mut decisions = example("green-under-gdpr");
    assert!(!decisions.forward(&record(&author, &marking(Tlp::Green)), &org(3, "other")).allow);
    assert!(decisions.forward(&record(&author, &marking(Tlp::Green)), &lawful).allow);
    assert!(decisions.forward(&record(&author, &marking(Tlp::Clear)), &org(3, "other")).allow);
}

#[test]
fn old_bodies_are_not_fetched() {
    let (author, green) = (org(2, "author"), marking(Tlp::Green));
    for (days, expected) in [(365, true), (366, false)] {
        let mut header = record(&author, &green).header;
        header.time_ms = NOW_MS - days * DAY_MS;
        assert_eq!(example("old-is-not-news").fetch(&header).allow, expected, "{days} days");
    }
}
