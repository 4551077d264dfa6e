use tocsin_record::OrgId;
use tocsin_record::document::Carry;
use tocsin_record::marking::{Code, Countries, Flags, Marking, Pap, Personal, Tlp};

use super::facts::*;
use crate::*;

/// What a guardrail says of a record that is in order but for one change.
fn judged(change: impl FnOnce(&mut RecordFacts)) -> (Ruling, String) {
    judged_as(marking(Tlp::Green), change)
}

fn judged_as(
    marking: tocsin_record::marking::Marking,
    change: impl FnOnce(&mut RecordFacts),
) -> (Ruling, String) {
    let author = org(2, "author");
    let mut record = record(&author, &marking);
    change(&mut record);
    let mut decisions = decisions(PERMIT_ALL);
    let judgement = decisions.judge(&record);
    (judgement.ruling, decisions.rule_name(judgement.rule).to_owned())
}

fn refused(name: &str) -> (Ruling, String) {
    (Ruling::Refuse, format!("guardrail:{name}"))
}

fn accepted() -> (Ruling, String) {
    (Ruling::Accept, "all".to_owned())
}

#[test]
fn header_and_body_must_agree() {
    assert_eq!(judged(|_| {}), accepted());
    assert_eq!(judged(|r| r.header.tlp = Some(Tlp::Clear)), refused("header-tlp"));
    assert_eq!(judged(|r| r.header.flags.personal = Personal::Possible), refused("header-flags"));
    assert_eq!(judged(|r| r.header.flags.exercise = true), refused("header-flags"));
    assert_eq!(judged(|r| r.header.flags.pap = Some(Pap::Red)), refused("header-flags"));
    let inside = |tlp| move |r: &mut RecordFacts| r.body.as_mut().unwrap().strictest_inside = tlp;
    assert_eq!(judged(inside(Some(Tlp::Amber))), refused("tlp-inside"));
    assert_eq!(judged(inside(Some(Tlp::Clear))), accepted());
    assert_eq!(judged(inside(None)), accepted());
}

#[test]
fn tlp_bounds_where_a_record_may_go() {
    let own = |r: &mut RecordFacts| r.header.circle.kind = CircleKind::Own;
    let other = |r: &mut RecordFacts| r.header.circle.kind = CircleKind::Other;
    for (tlp, allowed) in [
        (Tlp::Clear, true),
        (Tlp::Green, true),
        (Tlp::Amber, false),
        (Tlp::AmberStrict, false),
        (Tlp::Red, false),
    ] {
        let outside = if allowed { accepted() } else { refused("tlp-direction") };
        assert_eq!(judged_as(marking(tlp), |_| {}), outside, "{tlp} to the mesh");
        assert_eq!(judged_as(marking(tlp), other), outside, "{tlp} to a circle");
        assert_eq!(judged_as(marking(tlp), own), accepted(), "{tlp} to the own circle");

        let (author, label) = (org(2, "author"), marking(tlp));
        let record = record(&author, &label);
        let mut decisions = decisions(PERMIT_ALL);
        assert_eq!(decisions.fetch(&record.header).allow, allowed, "fetch {tlp}");
        assert_eq!(decisions.forward(&record, &org(3, "peer")).allow, allowed, "forward {tlp}");
    }
    let sealed = |r: &mut RecordFacts| {
        r.header.cover = Cover::Sealed;
        r.header.tlp = None;
        r.header.flags = no_flags();
    };
    assert_eq!(judged_as(marking(Tlp::AmberStrict), sealed), accepted());
    assert_eq!(judged_as(marking(Tlp::Red), sealed), refused("tlp-direction"));
    let by_its_author = |r: &mut RecordFacts| {
        r.header.circle = Circle { name: "few", kind: CircleKind::Other, carry: Carry::Author };
    };
    let both = |r: &mut RecordFacts| (sealed(r), by_its_author(r)).0;
    assert_eq!(judged_as(marking(Tlp::Red), both), accepted());
    for tlp in [Tlp::Red, Tlp::Amber] {
        assert_eq!(judged_as(marking(tlp), by_its_author), refused("tlp-direction"), "{tlp} in clear");
    }
    let named = |r: &mut RecordFacts| {
        sealed(r);
        r.header.circle.carry = Carry::Named;
    };
    assert_eq!(judged_as(marking(Tlp::Red), named), refused("tlp-direction"));
}

#[test]
fn where_the_author_carries_nobody_else_does() {
    let mut decisions = decisions(PERMIT_ALL);
    for (tlp, sender, carry, allowed) in [
        (Tlp::Red, HOME.org, Carry::Author, true),
        (Tlp::Red, OrgId([2; 32]), Carry::Author, false),
        (Tlp::Green, OrgId([2; 32]), Carry::Author, false),
        (Tlp::Green, OrgId([2; 32]), Carry::Members, true),
        (Tlp::Red, HOME.org, Carry::Members, false),
    ] {
        let (author, label) = (Org { id: sender, ..org(2, "author") }, marking(tlp));
        let mut record = record(&author, &label);
        record.header.circle = Circle { name: "few", kind: CircleKind::Other, carry };
        record.header.cover = Cover::Sealed;
        record.header.tlp = None;
        assert_eq!(decisions.forward(&record, &org(3, "peer")).allow, allowed, "{tlp} by {sender} {carry:?}");
        // What cannot be read is not passed on either.
        record.body = None;
        let unread = decisions.forward(&record, &org(3, "peer"));
        assert_eq!(
            unread.allow,
            carry != Carry::Author || sender == HOME.org,
            "unread, by {sender} {carry:?}"
        );
        record.header.class = Class::Withdrawal;
        assert!(decisions.forward(&record, &org(3, "peer")).allow, "what takes back reaches everybody");
    }
}

#[test]
fn red_is_shown_to_who_asks_for_it_with_a_purpose_and_never_exported() {
    let author = org(2, "author");
    let may = ["research".to_owned()];
    let mut decisions = decisions(PERMIT_ALL);
    let to = |r: &mut RecordFacts, kind| r.header.circle.kind = kind;
    for (includes_red, purpose, shown) in [
        (false, None, false),
        (false, Some("research"), false),
        (true, None, false),
        (true, Some("prosecution"), false),
        (true, Some("research"), true),
    ] {
        let asks = Person { purposes: &may, purpose, includes_red, ..person() };
        for (tlp, shown) in [(Tlp::Red, shown), (Tlp::AmberStrict, true)] {
            let label = marking(tlp);
            let mut record = record(&author, &label);
            to(&mut record, CircleKind::Other);
            assert_eq!(decisions.query(&record, &asks).allow, shown, "{tlp} {includes_red} {purpose:?}");
            to(&mut record, CircleKind::Own);
            assert!(decisions.query(&record, &asks).allow, "what the org keeps for itself");
        }
    }
    let label = marking(Tlp::Red);
    let mut record = record(&author, &label);
    to(&mut record, CircleKind::Own);
    let exported = decisions.export(&record, &Consumer { ceiling: Tlp::Red, ..consumer() });
    assert_eq!((exported.allow, decisions.rule_name(exported.rule)), (false, "guardrail:red"));
}

#[test]
fn unmarked_stays_in_the_own_circle() {
    let unmark = |r: &mut RecordFacts| {
        r.header.tlp = None;
        r.body.as_mut().unwrap().marking = None;
    };
    assert_eq!(judged(unmark), refused("unmarked"));
    assert_eq!(judged(|r| r.body.as_mut().unwrap().marking = None), refused("unmarked"));
    let own = |r: &mut RecordFacts| {
        unmark(r);
        r.header.circle.kind = CircleKind::Own;
    };
    assert_eq!(judged(own), accepted());
    let (author, green) = (org(2, "author"), marking(Tlp::Green));
    let mut record = record(&author, &green);
    own(&mut record);
    let mut decisions = decisions(PERMIT_ALL);
    let exported = decisions.export(&record, &consumer());
    assert_eq!((exported.allow, decisions.rule_name(exported.rule)), (false, "guardrail:unmarked"));
    let forwarded = decisions.forward(&record, &org(3, "peer"));
    assert_eq!((forwarded.allow, decisions.rule_name(forwarded.rule)), (false, "guardrail:own-circle"));
    assert!(decisions.query(&record, &person()).allow);
}

#[test]
fn what_has_lapsed_is_refused() {
    assert_eq!(judged(|r| r.header.expires_ms = NOW_MS), refused("expired"));
    assert_eq!(judged(|r| r.header.expires_ms = NOW_MS + 1), accepted());
    let mut kept = marking(Tlp::Green);
    kept.retain_until = Some(NOW_MS);
    assert_eq!(judged_as(kept.clone(), |_| {}), refused("retention"));
    let author = org(2, "author");
    let mut decisions = decisions(PERMIT_ALL);
    assert!(!decisions.query(&record(&author, &kept), &person()).allow);
    assert!(!decisions.export(&record(&author, &kept), &consumer()).allow);
    assert!(!decisions.forward(&record(&author, &kept), &org(3, "peer")).allow);
    kept.retain_until = Some(NOW_MS + 1);
    assert_eq!(judged_as(kept, |_| {}), accepted());
}

#[test]
fn personal_data_needs_purpose_and_retention() {
    let mut personal = marking(Tlp::Green);
    personal.personal = Personal::Yes;
    assert_eq!(judged_as(personal.clone(), |_| {}), refused("personal"));
    personal.purposes = vec![purpose("network-defence")];
    assert_eq!(judged_as(personal.clone(), |_| {}), refused("personal"));
    personal.retain_until = Some(NOW_MS + DAY_MS);
    assert_eq!(judged_as(personal.clone(), |_| {}), accepted());
    personal.purposes = vec![purpose("none")];
    assert_eq!(judged_as(personal.clone(), |_| {}), refused("personal"));
    personal.purposes.clear();
    assert_eq!(judged_as(personal.clone(), |r| r.header.circle.kind = CircleKind::Own), accepted());
    personal.personal = Personal::Possible;
    assert_eq!(judged_as(personal, |_| {}), accepted());
}

#[test]
fn what_states_purposes_is_shown_for_one_of_them() {
    let author = org(2, "author");
    let mut bound = marking(Tlp::Green);
    bound.purposes = vec![purpose("prosecution"), purpose("research")];
    let may = ["research".to_owned(), "statistics".to_owned()];
    let mut decisions = decisions(PERMIT_ALL);
    let mut shown = |marking: &Marking, purpose: Option<&'static str>| {
        let asks = Person { purposes: &may, purpose, ..person() };
        decisions.query(&record(&author, marking), &asks).allow
    };
    let stated = [None, Some("research"), Some("statistics"), Some("prosecution")];
    assert_eq!(stated.map(|stated| shown(&bound, stated)), [false, true, false, false]);
    bound.purposes = vec![purpose("none")];
    assert_eq!(stated.map(|stated| shown(&bound, stated)), [false; 4], "no purpose is left");
    bound.purposes.clear();
    assert_eq!(stated.map(|stated| shown(&bound, stated)), [true; 4]);
}

#[test]
fn countries_bind_the_own_node_and_partners() {
    let country = |code: &str| code.parse().unwrap();
    let mut limited = marking(Tlp::Green);
    limited.countries = Countries::except([country("AA")]);
    assert_eq!(judged_as(limited.clone(), |_| {}), refused("countries"));
    limited.countries = Countries::only([country("AA"), country("CC")]);
    assert_eq!(judged_as(limited.clone(), |_| {}), accepted());
    let author = org(2, "author");
    let record = record(&author, &limited);
    let mut decisions = decisions(PERMIT_ALL);
    for (code, allow) in [(*b"CC", true), (*b"BB", false), (*b"cc", true), ([0, 1], false)] {
        let peer = Org { country: code, ..org(3, "peer") };
        assert_eq!(decisions.forward(&record, &peer).allow, allow, "{code:?}");
    }
}

#[test]
fn what_is_newer_is_held_and_carried_unless_its_marking_is() {
    let held = (Ruling::Hold, "guardrail:newer".to_owned());
    assert_eq!(judged(|r| r.body.as_mut().unwrap().newer = true), held);
    assert_eq!(judged(|r| r.header.flags.newer = 1 << 9), held);
    let unknown_kind = |r: &mut RecordFacts| {
        r.header.kind = 77;
        let body = r.body.as_mut().unwrap();
        (body.newer, body.marking) = (true, None);
    };
    assert_eq!(judged(unknown_kind), held);
    let mut code = marking(Tlp::Green);
    code.codes = vec![Code { kind: 9, value: vec![] }];
    assert_eq!(judged_as(code.clone(), |_| {}), held);

    let (author, green) = (org(2, "author"), marking(Tlp::Green));
    let mut decisions = decisions(PERMIT_ALL);
    let mut newer = record(&author, &green);
    unknown_kind(&mut newer);
    assert!(decisions.forward(&newer, &org(3, "peer")).allow);
    assert!(!decisions.export(&newer, &consumer()).allow);
    assert!(Decisions::is_newer_hold(decisions.judge(&newer).rule));
    assert!(!decisions.forward(&record(&author, &code), &org(3, "peer")).allow);

    // What the rules refuse is refused, newer or not.
    let mut strict = super::facts::decisions("");
    assert_eq!(strict.judge(&newer).ruling, Ruling::Refuse);
}

#[test]
fn control_and_withdrawal_are_never_withheld() {
    let (author, green) = (org(2, "author"), marking(Tlp::Green));
    let mut decisions = decisions("@id(\"no\") forbid (principal, action, resource);");
    for class in [Class::Control, Class::Withdrawal] {
        let mut record = record(&author, &green);
        record.header.class = class;
        record.header.tlp = None;
        record.body = None;
        assert!(decisions.fetch(&record.header).allow);
        assert_eq!(decisions.judge(&record).ruling, Ruling::Accept);
        let forwarded = decisions.forward(&record, &org(3, "peer"));
        assert_eq!((forwarded.allow, decisions.rule_name(forwarded.rule)), (true, "guardrail:mesh-traffic"));
    }
    assert!(!decisions.fetch(&record(&author, &green).header).allow);
}

#[test]
fn an_org_withholds_nothing_from_itself() {
    let (own, green) = (org(1, "home"), marking(Tlp::Green));
    let mut decisions = decisions("");
    let record = record(&own, &green);
    assert!(decisions.fetch(&record.header).allow);
    let judged = decisions.judge(&record);
    assert_eq!((judged.ruling, decisions.rule_name(judged.rule)), (Ruling::Accept, "guardrail:own-org"));
    assert!(decisions.forward(&record, &own).allow);
    assert!(!decisions.forward(&record, &org(3, "peer")).allow, "own records too are asked about");
    let mut broken = record;
    broken.header.tlp = Some(Tlp::Clear);
    assert_eq!(decisions.judge(&broken).ruling, Ruling::Refuse);
}

#[test]
fn disputed_is_neither_passed_on_nor_exported() {
    let (author, green) = (org(2, "author"), marking(Tlp::Green));
    let mut record = record(&author, &green);
    record.disputed = true;
    let mut decisions = decisions(PERMIT_ALL);
    assert!(!decisions.forward(&record, &org(3, "peer")).allow);
    assert!(!decisions.export(&record, &consumer()).allow);
    assert!(decisions.query(&record, &person()).allow);
    record.header.class = Class::Withdrawal;
    assert!(!decisions.forward(&record, &org(3, "peer")).allow, "what takes back is no less disputed");
}

#[test]
fn a_consumer_gets_what_its_ceiling_action_and_kind_allow() {
    let author = org(2, "author");
    let mut decisions = decisions(PERMIT_ALL);
    let mut export = |marking: &tocsin_record::marking::Marking, consumer: &Consumer| {
        let decision = decisions.export(&record(&author, marking), consumer);
        decisions.rule_name(decision.rule).to_owned()
    };
    let mut green = marking(Tlp::Green);
    assert_eq!(export(&green, &consumer()), "all");
    assert_eq!(export(&marking(Tlp::Amber), &consumer()), "guardrail:tlp-ceiling");
    green.pap = Some(Pap::Amber);
    let blocking = Consumer { action: Pap::Green, ..consumer() };
    assert_eq!(export(&green, &blocking), "guardrail:pap");
    assert_eq!(export(&green, &consumer()), "all");
    green.pap = Some(Pap::Green);
    assert_eq!(export(&green, &blocking), "all");
    let drill = Consumer { exercise: true, ..consumer() };
    assert_eq!(export(&green, &drill), "guardrail:exercise");
    green.exercise = true;
    assert_eq!(export(&green, &consumer()), "guardrail:exercise");
    assert_eq!(export(&green, &drill), "all");
}

#[test]
fn numbers_of_guardrails_are_pinned() {
    assert_eq!(Guardrail::ALL.len(), 20);
    for (at, guardrail) in Guardrail::ALL.iter().enumerate() {
        assert_eq!(*guardrail as usize, at);
    }
    assert_eq!(Guardrail::Exercise as usize, 16);
    assert_eq!(Guardrail::Purpose as usize, 17);
    assert_eq!(Guardrail::AuthorCarries as usize, 18);
    assert_eq!(Guardrail::Red as usize, 19);
    assert_eq!(Flags::default(), no_flags());
}
