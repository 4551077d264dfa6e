use tocsin_home::presets::Preset;
use tocsin_record::marking::{Marking, Pap, Personal, Tlp};

use super::facts::*;
use crate::*;

#[test]
fn presets_load_without_a_warning() {
    for preset in Preset::ALL {
        let policy = Policy::load(preset.text()).unwrap_or_else(|error| panic!("{}: {error}", preset.name()));
        assert_eq!(policy.warnings(), [], "{}", preset.name());
        assert_eq!(Preset::from_name(preset.name()), Some(preset));
    }
}

/// The ruling on a record of one partner, under each preset.
fn rulings(author: &Org, marking: &Marking, change: fn(&mut RecordFacts)) -> [(Ruling, String); 3] {
    Preset::ALL.map(|preset| {
        let mut record = record(author, marking);
        change(&mut record);
        let mut decisions = decisions(preset.text());
        let judged = decisions.judge(&record);
        (judged.ruling, decisions.rule_name(judged.rule).to_owned())
    })
}

#[test]
fn judgements() {
    use Ruling::{Accept, Hold, Refuse};
    let green = marking(Tlp::Green);
    let mut unreliable = marking(Tlp::Green);
    unreliable.police = "C4 H1".parse().ok();
    let trusted = |trust| Org { trust, ..org(2, "author") };
    let low = |r: &mut RecordFacts| r.body.as_mut().unwrap().confidence = Some((5, 25));
    let hardly = |r: &mut RecordFacts| r.body.as_mut().unwrap().confidence = Some((5, 10));
    let none = |r: &mut RecordFacts| r.body.as_mut().unwrap().confidence = None;
    let old = |r: &mut RecordFacts| r.header.time_ms -= 2_000 * DAY_MS;
    type Row<'a> = (&'a str, Option<u8>, &'a Marking, fn(&mut RecordFacts), [(Ruling, &'a str); 3]);
    let rows: [Row; 8] = [
        ("plain", None, &green, |_| {}, [(Accept, "accept-members"); 3]),
        ("no confidence", None, &green, none, [(Accept, "accept-members"); 3]),
        ("distrusted", Some(20), &green, |_| {}, [(Hold, "hold-distrusted"); 3]),
        (
            "low confidence, trust unknown",
            None,
            &green,
            low,
            [(Accept, "accept-members"), (Accept, "accept-members"), (Hold, "hold-low-confidence")],
        ),
        ("low confidence, trusted", Some(60), &green, low, [(Accept, "accept-members"); 3]),
        (
            "hardly believed",
            None,
            &green,
            hardly,
            [(Accept, "accept-members"), (Hold, "hold-doubtful"), (Hold, "hold-low-confidence")],
        ),
        (
            "old",
            None,
            &green,
            old,
            [(Accept, "accept-members"), (Refuse, "refuse-old"), (Refuse, "refuse-old")],
        ),
        (
            "unreliable",
            None,
            &unreliable,
            |_| {},
            [(Accept, "accept-members"), (Accept, "accept-members"), (Refuse, "refuse-unreliable")],
        ),
    ];
    for (what, trust, marking, change, expected) in rows {
        let expected = expected.map(|(ruling, rule)| (ruling, rule.to_owned()));
        assert_eq!(rulings(&trusted(trust), marking, change), expected, "{what}");
    }
}

#[test]
fn fetches() {
    let (author, green) = (org(2, "author"), marking(Tlp::Green));
    for (days, expected) in [(3, [true, true, true]), (800, [false, true, true])] {
        let mut header = record(&author, &green).header;
        header.time_ms = NOW_MS - days * DAY_MS;
        assert_eq!(Preset::ALL.map(|preset| decisions(preset.text()).fetch(&header).allow), expected);
    }
}

#[test]
fn forwards() {
    let (author, home, green) = (org(2, "author"), org(1, "home"), marking(Tlp::Green));
    let mut personal = marking(Tlp::Green);
    personal.personal = Personal::Yes;
    personal.purposes = vec![purpose("network-defence")];
    personal.retain_until = Some(NOW_MS + DAY_MS);
    let regimes = ["gdpr".to_owned()];
    let peer = org(3, "peer");
    let lawful = Org { regimes: &regimes, ..org(3, "peer") };
    for (what, author, marking, peer, expected) in [
        ("another's", &author, &green, &peer, [false, true, true]),
        ("own", &home, &green, &peer, [true, true, true]),
        ("personal, no law", &home, &personal, &peer, [true, true, false]),
        ("personal, law", &home, &personal, &lawful, [true, true, true]),
    ] {
        let record = record(author, marking);
        let said = Preset::ALL.map(|preset| decisions(preset.text()).forward(&record, peer).allow);
        assert_eq!(said, expected, "{what}");
    }
}

#[test]
fn queries_and_exports() {
    let author = org(2, "author");
    let green = marking(Tlp::Green);
    let mut personal = marking(Tlp::Green);
    personal.personal = Personal::Yes;
    personal.purposes = vec![purpose("network-defence")];
    personal.retain_until = Some(NOW_MS + DAY_MS);
    let purposes = ["network-defence".to_owned()];
    let stating = Person { purposes: &purposes, purpose: Some("network-defence"), ..person() };
    let wrong = Person { purpose: Some("research"), ..stating };
    let siem = Consumer { action: Pap::Red, ..consumer() };
    let firewall = Consumer { action: Pap::Green, ..consumer() };
    let mut unsure = record(&author, &green);
    unsure.body.as_mut().unwrap().confidence = Some((40, 90));
    for preset in Preset::ALL {
        let mut decisions = decisions(preset.text());
        assert!(decisions.query(&record(&author, &green), &person()).allow);
        assert!(!decisions.query(&record(&author, &personal), &person()).allow);
        assert!(!decisions.query(&record(&author, &personal), &wrong).allow);
        assert!(decisions.query(&record(&author, &personal), &stating).allow);
        let exports = preset != Preset::Observer;
        assert_eq!(decisions.export(&record(&author, &green), &firewall).allow, exports);
        assert_eq!(decisions.export(&unsure, &siem).allow, exports);
        assert!(!decisions.export(&unsure, &firewall).allow);
        assert!(!decisions.export(&record(&author, &personal), &siem).allow);
    }
}
