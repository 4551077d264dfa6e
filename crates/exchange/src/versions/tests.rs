use super::*;
use crate::{FileInfo, Found, Profile};
use tocsin_record::OrgId;

fn read(text: &str) -> Found {
    let file = FileInfo { name: "f.json", source: "feed", org: OrgId([7; 32]), profile: &Profile::default() };
    crate::import(text.as_bytes(), &file).unwrap_or_else(|error| panic!("{error}"))
}

fn report(text: &str) -> Report {
    read(text).reports[0].whole([0; 16], None)
}

fn values(report: &Report) -> Vec<String> {
    let mut values: Vec<String> = report.indicators.iter().map(|one| one.what.show()).collect();
    values.sort();
    values
}

const REPORT: &str = "00000000-0000-4000-8000-00000000000f";

fn id(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

/// An indicator of STIX: its number, its value, its time within 2026 and more fields.
fn stix(n: u32, value: &str, time: &str, more: &str) -> String {
    format!(
        r#"{{"type":"indicator","spec_version":"2.1","id":"indicator--{}","created":"2026-01-01T00:00:00Z",
        "modified":"2026-{time}Z","pattern_type":"stix","pattern":"[domain-name:value = '{value}.example']"{more}}}"#,
        id(n)
    )
}

/// A STIX bundle, with a report about its objects where a time is given.
fn bundle(report: Option<&str>, objects: &[String]) -> String {
    let refs: Vec<String> = (1..=9).map(|n| format!("\"indicator--{}\"", id(n))).collect();
    let report = report.map(|time| {
        format!(
            r#"{{"type":"report","spec_version":"2.1","id":"report--{REPORT}","created":"2026-01-01T00:00:00Z",
            "modified":"2026-{time}Z","name":"r","object_refs":[{}]}}"#,
            refs.join(",")
        )
    });
    let objects: Vec<String> = report.into_iter().chain(objects.iter().cloned()).collect();
    format!(r#"{{"type":"bundle","id":"bundle--{REPORT}","objects":[{}]}}"#, objects.join(","))
}

/// A MISP event: its time in seconds, and attributes by number, value, time and more fields.
fn event(time: u64, attributes: &[(u32, &str, u64, &str)]) -> String {
    let attributes: Vec<String> = attributes
        .iter()
        .map(|(n, value, time, more)| {
            format!(
                r#"{{"uuid":"{}","type":"domain","value":"{value}.example","to_ids":true,"timestamp":"{time}"{more}}}"#,
                id(*n)
            )
        })
        .collect();
    format!(
        r#"{{"Event":{{"uuid":"{REPORT}","info":"e","timestamp":"{time}","Attribute":[{}]}}}}"#,
        attributes.join(",")
    )
}

fn met(standing: &str, next: &str) -> Met {
    meet(&report(standing), report(next), |_| false)
}

/// What stands after both, and whether something was older and something had two contents.
fn after(standing: &str, next: &str) -> (Vec<String>, bool, bool) {
    let standing = report(standing);
    let met = meet(&standing, report(next), |_| false);
    let left = met.report.as_ref().map_or_else(|| values(&standing), values);
    (left, !met.older.is_empty(), !met.twice.is_empty())
}

const T1: u64 = 1_767_200_000;
const T2: u64 = 1_767_300_000;

#[test]
fn an_older_head_changes_nothing_at_full_precision() {
    let one = |n: &str| stix(1, n, "02-01T00:00:00", "");
    for (new, old) in [
        ("03-01T00:00:00.000000002", "03-01T00:00:00.000000001"),
        ("03-01T00:00:00.1239", "03-01T00:00:00.1231"),
        ("03-01T00:00:01", "03-01T00:00:00.999999999"),
    ] {
        let (new, old) = (bundle(Some(new), &[one("a")]), bundle(Some(old), &[one("b")]));
        assert_eq!(after(&new, &old).0, ["a.example"]);
        assert_eq!(met(&new, &old).older, [format!("report--{REPORT}")]);
        assert!(met(&new, &old).report.is_none());
        assert!(after(&old, &new).0.contains(&"a.example".to_owned()));
    }
    let (new, old) = (event(T2, &[(1, "a", T2, "")]), event(T1, &[(1, "b", T1, "")]));
    assert_eq!(after(&new, &old), (vec!["a.example".to_owned()], true, false));
    assert_eq!(after(&old, &new), (vec!["a.example".to_owned()], false, false));
}

#[test]
fn an_older_object_in_a_newer_head_stays_as_it_stands() {
    let standing = event(T1, &[(1, "newer", T1 + 50, ""), (2, "left", T1, "")]);
    let next = event(T2, &[(1, "stale", T1, ""), (3, "more", T2, "")]);
    assert_eq!(
        after(&standing, &next),
        (vec!["more.example".to_owned(), "newer.example".to_owned()], true, false)
    );
    // It goes on to be so, for the same file again and for another.
    let stands = met(&standing, &next).report.unwrap();
    let again = meet(&stands, report(&next), |_| false).report.unwrap();
    assert_eq!((values(&again), &again.originals), (values(&stands), &stands.originals));
    let object = |value, time| stix(1, value, time, "");
    let standing = bundle(Some("03-01T00:00:00"), &[object("newer", "02-02T00:00:00")]);
    let next = bundle(Some("03-02T00:00:00"), &[object("stale", "02-01T00:00:00")]);
    assert_eq!(after(&standing, &next), (vec!["newer.example".to_owned()], true, false));
}

#[test]
fn one_version_with_two_contents_is_kept_twice_and_settles() {
    let stix = |value| bundle(Some("03-01T00:00:00"), &[stix(1, value, "02-01T00:00:00", "")]);
    let list = |value| bundle(None, &[self::stix(1, value, "02-01T00:00:00", "")]);
    let misp = |value| event(T1, &[(1, value, T1, "")]);
    let renamed = misp("a").replace(r#""info":"e""#, r#""info":"f""#);
    for (one, other, count) in [
        (stix("a"), stix("b"), 2),
        (list("a"), list("b"), 2),
        (misp("a"), misp("b"), 2),
        (misp("a"), renamed, 1),
    ] {
        let met = met(&one, &other);
        let stands = met.report.unwrap();
        assert_eq!((values(&stands).len(), met.twice.len()), (count, 1), "{one}");
        for again in [&one, &other, &one] {
            let met = meet(&stands, report(again), |_| false);
            let after = met.report.unwrap();
            assert_eq!((values(&after), &after.originals), (values(&stands), &stands.originals), "{again}");
            assert_eq!(after.title, stands.title);
            assert!(met.twice.is_empty(), "it is told once");
        }
    }
    // Space and the order of fields are no content, nor is what a database numbers.
    let spaced = stix("a").replace(',', " ,\n");
    assert!(met(&stix("a"), &spaced).twice.is_empty());
    let numbered = misp("a").replace(r#""type""#, r#""id":"77","event_id":"5","type""#);
    assert!(met(&misp("a"), &numbered).twice.is_empty());
}

#[test]
fn under_an_equal_head_nothing_vanishes() {
    let objects = [stix(1, "a", "02-01T00:00:00", ""), stix(2, "b", "02-01T00:00:00", "")];
    let (whole, part) =
        (bundle(Some("03-01T00:00:00"), &objects), bundle(Some("03-01T00:00:00"), &objects[..1]));
    assert_eq!(after(&whole, &part).0, ["a.example", "b.example"]);
    assert_eq!(after(&part, &whole).0, ["a.example", "b.example"]);
    // But what stands elsewhere now, since it is marked otherwise.
    let moved = meet(&report(&whole), report(&part), |_| true).report.unwrap();
    assert_eq!(values(&moved), ["a.example"]);
    // And what a newer version left out is out.
    let newer = bundle(Some("03-02T00:00:00"), &objects[..1]);
    assert_eq!(after(&whole, &newer).0, ["a.example"]);
    let mail = |attributes: &str| event(T1, &[(1, "a", T1, attributes)]);
    let person =
        r#"},{"uuid":"00000000-0000-4000-8000-000000000009","type":"email-src","value":"a@b.example""#;
    assert_eq!(after(&mail(person), &mail("")).0, ["a.example"], "it was left out on purpose");
}

#[test]
fn what_was_left_out_on_purpose_is_no_other_content() {
    let organisation = |contact: &str| {
        format!(
            r#"{{"type":"identity","identity_class":"organization","id":"identity--{}","modified":"2026-01-01T00:00:00Z",
            "name":"O","contact_information":"{contact}"}}"#,
            id(7)
        )
    };
    let person = format!(
        r#"{{"type":"identity","identity_class":"individual","id":"identity--{}","modified":"2026-01-01T00:00:00Z","name":"J"}}"#,
        id(8)
    );
    let by = format!(r#","created_by_ref":"identity--{}""#, id(7));
    let objects =
        |contact: &str| [stix(1, "a", "02-01T00:00:00", &by), organisation(contact), person.clone()];
    let mail = format!(
        r#"}},{{"uuid":"{}","type":"email-src","value":"a@b.example","to_ids":true,"timestamp":"{T2}""#,
        id(9)
    );
    for (text, other) in [
        (bundle(None, &objects("x")), bundle(None, &objects("y"))),
        (bundle(Some("03-01T00:00:00"), &objects("x")), bundle(Some("03-01T00:00:00"), &objects("y"))),
        (event(T1, &[(1, "a", T1, &mail)]), String::new()),
    ] {
        let whole = report(&text);
        let mut bare = report(&text);
        bare.indicators.retain(|one| one.what.type_name() != "email");
        bare.originals = personal::without(&whole.originals).0;
        assert_ne!(whole.originals, bare.originals);
        // Either stands and the other comes: it is neither older nor twice, and what comes is what stands.
        for (standing, next) in [(&whole, &bare), (&bare, &whole), (&bare, &bare)] {
            let met = meet(standing, next.clone(), |_| false);
            assert_eq!((&met.older, &met.twice, met.mixed), (&vec![], &vec![], false), "{text}");
            let after = met.report.unwrap();
            assert_eq!((&after.indicators, &after.originals), (&next.indicators, &next.originals), "{text}");
        }
        // Two that say different things of a person are two contents.
        if !other.is_empty() {
            assert_eq!(meet(&whole, report(&other), |_| false).twice, [format!("identity--{}", id(7))]);
        }
    }
}

#[test]
fn a_list_loses_what_left_it_and_an_older_copy_of_it_takes_nothing() {
    let object = |n, time| stix(n, &format!("d{n}"), time, "");
    let two = bundle(None, &[object(1, "02-01T00:00:00"), object(2, "02-03T00:00:00")]);
    let shrunk = bundle(None, &[object(1, "02-01T00:00:00")]);
    assert_eq!(after(&two, &shrunk), (vec!["d1.example".to_owned()], false, false));
    let older = bundle(None, &[stix(1, "old", "01-30T00:00:00", ""), object(3, "01-30T00:00:00")]);
    assert_eq!(after(&two, &older), (vec!["d1.example".to_owned(), "d2.example".to_owned()], true, false));
    let mixed = bundle(None, &[stix(1, "old", "01-30T00:00:00", ""), object(3, "02-09T00:00:00")]);
    assert_eq!(after(&two, &mixed), (vec!["d1.example".to_owned(), "d3.example".to_owned()], true, false));
}

#[test]
fn in_one_file_the_newest_counts_and_two_contents_are_both_kept() {
    let found = |objects: &[String]| {
        let found = read(&bundle(None, objects));
        let values: Vec<String> =
            found.reports.iter().flat_map(|one| values(&one.whole([0; 16], None))).collect();
        (values, found.noted.iter().map(|note| note.why.clone()).collect::<Vec<_>>(), found.gone)
    };
    let new = stix(1, "new", "01-01T00:00:00.123900001", "");
    let old = stix(1, "old", "01-01T00:00:00.1239", "");
    for order in [[new.clone(), old.clone()], [old.clone(), new.clone()]] {
        let (values, told, _) = found(&order);
        assert_eq!((values, told.len()), (vec!["new.example".to_owned()], 1));
    }
    let other = new.replace("new.example", "other.example");
    let (values, told, _) = found(&[new.clone(), other.clone(), old.clone(), other.clone()]);
    assert_eq!(values, ["new.example", "other.example"]);
    assert!(told[0].contains("two contents"), "{told:?}");
    // In a report both are, as well.
    let text = bundle(Some("02-01T00:00:00"), &[new.clone(), other]);
    assert_eq!(self::values(&report(&text)), ["new.example", "other.example"]);
    // Revoked is for ever, in any order and by any of the versions.
    let revoked = stix(1, "old", "01-01T00:00:00.1239", r#","revoked":true"#);
    let newest = stix(1, "back", "05-01T00:00:00", r#","revoked":false"#);
    for order in [[new.clone(), revoked.clone(), newest.clone()], [newest, new, revoked]] {
        let (values, _, gone) = found(&order);
        assert!(values.is_empty(), "{values:?}");
        assert_eq!(gone.len(), 1);
    }
}

#[test]
fn an_event_is_as_new_as_its_newest_attribute() {
    // A feed that is merged into one event adds and removes attributes, and leaves the event's own time.
    let before = event(T1, &[(1, "a", T1, ""), (2, "b", T1, "")]);
    let after = event(T1, &[(1, "a", T1, ""), (3, "c", T2, "")]);
    assert_eq!(
        self::after(&before, &after),
        (vec!["a.example".to_owned(), "c.example".to_owned()], false, false)
    );
    assert_eq!(
        self::after(&after, &before),
        (vec!["a.example".to_owned(), "c.example".to_owned()], true, false)
    );
    // What is deleted is deleted, though no time tells of it.
    let deleted = event(T1, &[(1, "a", T1, ""), (2, "b", T1, r#","deleted":true"#)]);
    assert_eq!(self::after(&before, &deleted), (vec!["a.example".to_owned()], false, false));
}

#[test]
fn all_versions_of_an_object_meet_in_one_part_of_a_list() {
    let list = |value_of_7: &str| {
        let objects: Vec<String> = (0..4_000)
            .map(|n| {
                stix(n, &if n == 7 { value_of_7.to_owned() } else { format!("d{n}") }, "02-01T00:00:00", "")
            })
            .collect();
        read(&bundle(None, &objects)).reports
    };
    let parts = list("first");
    assert!(parts.len() > 2);
    for value in ["second", "third", "fourth", "fifth"] {
        let next = list(value);
        let changed: Vec<_> =
            parts.iter().zip(&next).filter(|(old, new)| old.indicators != new.indicators).collect();
        assert_eq!((changed.len(), parts.len()), (1, next.len()), "{value}");
        assert_eq!(changed[0].0.subject, changed[0].1.subject);
    }
}

#[test]
fn what_a_source_took_back_is_named() {
    let object = format!(
        r#","Object":[{{"uuid":"{}","deleted":true,"Attribute":[{{"uuid":"{}","type":"domain","value":"o.example"}}]}}]"#,
        id(5),
        id(6)
    );
    let event = event(T1, &[(1, "a", T1, ""), (2, "b", T1, r#","deleted":true"#)]);
    let event = event.replace("]}}", &format!("]{object}}}}}"));
    let found = read(&event);
    let gone: Vec<&str> = found.gone.iter().map(|gone| gone.name.as_str()).collect();
    assert_eq!(gone, [id(2), id(6)]);
    assert_eq!(own_id(&format!("report--{REPORT}/tlp:red#01")), own_id(REPORT));
    assert_eq!((own_id("list.txt"), own_id(&format!("{REPORT}.txt"))), (None, None));
}
