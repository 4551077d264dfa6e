//! Old never beats new, gone stays gone, nothing vanishes: what imports make of versions, of what is revoked, and of lists that
//! change.

use std::path::Path;

use serde_json::Value;

use crate::harness::{Node, one, until, written};

/// The totals of an import, with what its text says.
fn import(node: &Node, path: &Path, more: &[&str]) -> Value {
    let path = path.to_str().expect("UTF-8");
    let dry = node.tell(&[&["--json", "import", path, "--dry-run"], more].concat());
    let run = node.tell(&[&["--json", "import", path], more].concat());
    let read = |output: &[u8]| {
        let mut summary: Value = serde_json::from_slice(output).expect("JSON");
        summary["total"]["records"] = Value::Null;
        summary["total"].clone()
    };
    let total = read(&run.stdout);
    assert_eq!(read(&dry.stdout), total, "a dry run says what the run does");
    total
}

fn count(total: &Value, what: &str) -> usize {
    total[what].as_array().map_or(0, Vec::len)
}

/// How often a value is listed.
fn hits(node: &Node, value: &str) -> usize {
    let answer = node.tell(&["--json", "lookup", value]);
    let text = String::from_utf8(answer.stdout).expect("JSON is text");
    let answer: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
    answer["hits"].as_array().expect("hits").len()
}

fn known(node: &Node, values: &[&str]) -> Vec<bool> {
    values.iter().map(|value| hits(node, value) > 0).collect()
}

/// A STIX bundle of indicators: number, value, time in 2026, more fields.
fn stix(objects: &[(u32, &str, &str, &str)]) -> String {
    let objects = objects.iter().map(|(n, value, time, more)| {
        format!(
            r#"{{"type":"indicator","spec_version":"2.1","id":"indicator--00000000-0000-4000-8000-{n:012}",
            "created":"2026-01-01T00:00:00Z","modified":"2026-{time}Z","valid_from":"2026-01-01T00:00:00Z",
            "pattern_type":"stix","pattern":"[domain-name:value = '{value}']"{more}}}"#
        )
    });
    let objects: Vec<String> = objects.collect();
    format!(
        r#"{{"type":"bundle","id":"bundle--00000000-0000-4000-8000-000000000000","objects":[{}]}}"#,
        objects.join(",")
    )
}

/// A MISP event of domains: number, value, more fields.
fn event(time: u64, attributes: &[(u32, &str, &str)]) -> String {
    let attributes = attributes.iter().map(|(n, value, more)| {
        format!(
            r#"{{"uuid":"00000000-0000-4000-8001-{n:012}","type":"domain","value":"{value}","to_ids":true,"distribution":"5"{more}}}"#
        )
    });
    let attributes: Vec<String> = attributes.collect();
    format!(
        r#"{{"Event":{{"uuid":"00000000-0000-4000-8000-0000000000ff","info":"e","date":"2026-01-01","timestamp":"{time}",
        "distribution":"3","Tag":[{{"name":"tlp:green"}}],"Attribute":[{}]}}}}"#,
        attributes.join(",")
    )
}

const REVOKED: &str = r#","revoked":true"#;

#[test]
fn an_older_copy_changes_nothing_in_whatever_file_it_comes() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = one(folder.path());
    let new = event(1_767_300_000, &[(1, "keep.example", ""), (2, "late.example", "")]);
    let old = event(1_767_200_000, &[(1, "keep.example", ""), (3, "stale.example", "")]);
    import(&node, &written(folder.path(), "feed/new.json", &new), &[]);
    let told = import(&node, &written(folder.path(), "feed/old.json", &old), &[]);
    assert_eq!((count(&told, "older"), &told["changed"]), (1, &0.into()), "{told}");
    assert_eq!(known(&node, &["keep.example", "late.example", "stale.example"]), [true, true, false]);
    let text = node.tell(&["import", folder.path().join("feed/old.json").to_str().expect("UTF-8")]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("a newer version of it stands") && text.contains("0000000000ff"), "{text}");
    // Objects that are in no report: of two files, by nanoseconds, one after the other in both orders and at once.
    let at = |n: u32, value: &str, nanos: &str| stix(&[(n, value, &format!("02-01T00:00:00.{nanos}"), "")]);
    for (n, names) in [(10, ["1-new", "2-old"]), (20, ["1-old", "2-new"])] {
        let (new, old) = (format!("new{n}.example"), format!("old{n}.example"));
        for name in names {
            let value = if name.ends_with("new") { &new } else { &old };
            let nanos = if name.ends_with("new") { "123000002" } else { "123000001" };
            let path = written(folder.path(), &format!("stix/{n}-{name}.json"), &at(n, value, nanos));
            let told = import(&node, &path, &[]);
            assert_eq!(count(&told, "older"), usize::from(name.starts_with('2')), "{name}: {told}");
        }
        assert_eq!(known(&node, &[&new, &old]), [true, false], "{names:?}");
        // Again, all at once: nothing changes.
        let path = folder.path().join("stix");
        node.tell(&["import", path.to_str().expect("UTF-8")]);
        assert_eq!(known(&node, &[&new, &old]), [true, false], "{names:?}");
    }
    // Where the newer version says the same value, both reports say it, unless it is for fewer eyes now.
    const AMBER: &str =
        r#","object_marking_refs":["marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421"]"#;
    let text = |time: &str, more: &str| stix(&[(40, "same.example", time, more)]);
    let green = ["--tlp", "green", "--share", "mesh"];
    import(&node, &written(folder.path(), "same/1.json", &text("02-01T00:00:00", "")), &green);
    let told = import(&node, &written(folder.path(), "same/2.json", &text("02-02T00:00:00", "")), &green);
    assert_eq!((count(&told, "older"), hits(&node, "same.example")), (0, 2), "{told}");
    let told = import(&node, &written(folder.path(), "same/3.json", &text("02-03T00:00:00", AMBER)), &green);
    assert_eq!(count(&told, "older"), 2, "{told}");
    let left = node.json(&["lookup", "same.example"])["hits"].clone();
    assert_eq!((&left[0]["tlp"], left.as_array().map(Vec::len)), (&"TLP:AMBER".into(), Some(1)), "{left}");
    written(folder.path(), "both/1.json", &at(30, "new30.example", "2"));
    let older = written(folder.path(), "both/2.json", &at(30, "old30.example", "1"));
    node.tell(&["import", older.parent().and_then(Path::to_str).expect("UTF-8")]);
    assert_eq!(known(&node, &["new30.example", "old30.example"]), [true, false]);
}

#[test]
fn what_is_revoked_or_deleted_never_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = one(folder.path());
    let of = |value: &str, time: &str, more: &str| stix(&[(1, value, time, more)]);
    let live = of("gone.example", "02-01T00:00:00", "");
    let file = |name: &str, text: &str| written(folder.path(), name, text);
    import(&node, &file("a/live.json", &live), &["--tlp", "green", "--share", "mesh"]);
    assert_eq!(known(&node, &["gone.example"]), [true]);
    let told = import(&node, &file("b/revoked.json", &of("gone.example", "02-02T00:00:00", REVOKED)), &[]);
    assert_eq!(count(&told, "gone"), 1, "{told}");
    assert_eq!(known(&node, &["gone.example"]), [false], "in the own circle and in the one it was shared in");
    // Not by the same copy, an older, an equal or a newer one, under this file's name or another's.
    for (name, text) in [
        ("a/live.json", live.clone()),
        ("c/older.json", of("gone.example", "01-15T00:00:00", "")),
        ("c/equal.json", of("gone.example", "02-02T00:00:00", "")),
        ("c/newer.json", of("back.example", "03-01T00:00:00", r#","revoked":false"#)),
    ] {
        let told = import(&node, &file(name, &text), &[]);
        assert_eq!(known(&node, &["gone.example", "back.example"]), [false, false], "{name}: {told}");
        assert_eq!(count(&told, "gone"), 1, "{name}: {told}");
    }
    // Revoked before anything else is known of it.
    import(&node, &file("d/first.json", &stix(&[(2, "x.example", "02-02T00:00:00", REVOKED)])), &[]);
    import(
        &node,
        &file(
            "d/then.json",
            &stix(&[(2, "x.example", "02-03T00:00:00", ""), (3, "y.example", "02-03T00:00:00", "")]),
        ),
        &[],
    );
    assert_eq!(known(&node, &["x.example", "y.example"]), [false, true]);
    // A deleted attribute, restored by an older and by a newer event; and one that a later event leaves out.
    let deleted = event(1_767_300_000, &[(1, "kept.example", ""), (2, "del.example", r#","deleted":true"#)]);
    import(&node, &file("m/e.json", &deleted), &[]);
    for time in [1_767_200_000, 1_767_300_000, 1_767_400_000] {
        let restored = event(time, &[(1, "kept.example", ""), (2, "del.example", "")]);
        import(&node, &file("n/e.json", &restored), &[]);
        assert_eq!(known(&node, &["kept.example", "del.example"]), [true, false], "{time}");
    }
    // Another event with the ids of this one's attributes takes nothing from it.
    let first = event(1_767_300_000, &[(70, "mine.example", ""), (71, "too.example", "")]);
    import(&node, &file("o/first.json", &first.replace("0000000000ff", "0000000000f1")), &[]);
    let second =
        event(1_767_400_000, &[(70, "theirs.example", ""), (71, "too.example", r#","deleted":true"#)]);
    import(&node, &file("o/second.json", &second.replace("0000000000ff", "0000000000f2")), &[]);
    assert_eq!(known(&node, &["mine.example", "too.example", "theirs.example"]), [true; 3]);
    // A report that its source revokes is taken back whole.
    let report = |more: &str| {
        format!(
            r#"{{"type":"bundle","id":"bundle--00000000-0000-4000-8000-000000000000","objects":[{{"type":"report","spec_version":"2.1",
            "id":"report--00000000-0000-4000-8000-0000000000aa","created":"2026-01-01T00:00:00Z","modified":"2026-01-02T00:00:00Z",
            "name":"r","object_refs":["indicator--00000000-0000-4000-8000-000000000050"]{more}}}{}"#,
            stix(&[(50, "r.example", "02-01T00:00:00", "")])
                .split_once("\"objects\":[")
                .map_or(String::new(), |(_, rest)| format!(",{rest}"))
        )
    };
    import(&node, &file("r/live.json", &report("")), &[]);
    assert_eq!(known(&node, &["r.example"]), [true]);
    let only = report(REVOKED);
    let only = only.split_once("},{").map_or(String::new(), |(report, _)| format!("{report}}}]}}"));
    import(&node, &file("r/revoked.json", &only), &[]);
    assert_eq!(known(&node, &["r.example"]), [false]);
    import(&node, &file("s/live.json", &report("")), &[]);
    assert_eq!(known(&node, &["r.example"]), [false]);
}

#[test]
fn the_same_file_in_another_folder_is_the_same_list() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = one(folder.path());
    let at = "02-01T00:00:00";
    let bundle = stix(&[(1, "a.example", at, ""), (2, "b.example", at, "")]);
    let first = import(
        &node,
        &written(folder.path(), "monday/week.json", &bundle),
        &["--tlp", "amber", "--retention", "90d"],
    );
    assert_eq!((&first["new"], &first["unmarked"]), (&1.into(), &0.into()), "{first}");
    // Nothing is new, and the marking that was said stays.
    let again = import(&node, &written(folder.path(), "tuesday/week.json", &bundle), &[]);
    assert_eq!(
        (&again["new"], &again["changed"], &again["unmarked"]),
        (&0.into(), &0.into(), &0.into()),
        "{again}"
    );
    assert_eq!(hits(&node, "a.example"), 1);
    // What changed in it is the next version of that list, under its marking.
    let next =
        stix(&[(1, "a.example", at, ""), (2, "b2.example", "02-02T00:00:00", ""), (3, "c.example", at, "")]);
    let next = import(&node, &written(folder.path(), "wednesday/week.json", &next), &[]);
    assert_eq!(
        (&next["new"], &next["changed"], &next["unmarked"]),
        (&0.into(), &1.into(), &0.into()),
        "{next}"
    );
    assert_eq!(
        known(&node, &["a.example", "b.example", "b2.example", "c.example"]),
        [true, false, true, true]
    );
    assert_eq!(hits(&node, "a.example"), 1);
    // What it lost is gone with the buckets that held it, and by hand it is one list in every folder.
    let many: Vec<(u32, String)> = (0..6_000).map(|n| (n + 100, format!("n{n}.example"))).collect();
    let bundle = |count: usize, time: &str| {
        let all: Vec<_> = many.iter().take(count).map(|(n, value)| (*n, value.as_str(), time, "")).collect();
        stix(&all)
    };
    import(&node, &written(folder.path(), "monday/many.json", &bundle(6_000, at)), &["--tlp", "amber"]);
    for (day, count) in [("tuesday", 10), ("wednesday", 4_000), ("thursday", 900)] {
        import(
            &node,
            &written(folder.path(), &format!("{day}/many.json"), &bundle(count, "02-03T00:00:00")),
            &[],
        );
        let sample: Vec<String> = (0..6_000).step_by(239).map(|n| format!("n{n}.example")).collect();
        let counts: Vec<usize> = sample.iter().map(|value| hits(&node, value)).collect();
        let expected: Vec<usize> = (0..6_000).step_by(239).map(|n| usize::from(n < count)).collect();
        assert_eq!(counts, expected, "{day}");
    }
    // Other objects under the same name are another list, and take nothing away.
    let other = import(
        &node,
        &written(
            folder.path(),
            "other/week.json",
            &stix(&[(3, "c.example", at, ""), (7, "y.example", at, ""), (8, "z.example", at, "")]),
        ),
        &[],
    );
    assert_eq!((&other["new"], &other["unmarked"]), (&1.into(), &1.into()), "{other}");
    assert_eq!(known(&node, &["a.example", "b2.example", "z.example"]), [true; 3]);
}

#[test]
fn one_version_with_two_contents_is_kept_twice_and_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = one(folder.path());
    let of = |n: u32, value: &str| stix(&[(n, value, "02-01T00:00:00", "")]);
    for (n, names) in [(1, ["a/f.json", "a/f.json"]), (2, ["b/f.json", "c/g.json"])] {
        let (one, other) = (format!("one{n}.example"), format!("other{n}.example"));
        import(&node, &written(folder.path(), names[0], &of(n, &one)), &[]);
        let told = import(&node, &written(folder.path(), names[1], &of(n, &other)), &[]);
        assert_eq!(count(&told, "twice"), 1, "{told}");
        assert_eq!(known(&node, &[&one, &other]), [true, true]);
        let again = import(&node, &folder.path().join(names[1]), &[]);
        assert_eq!((&again["changed"], count(&again, "twice")), (&0.into(), 0), "{again}");
    }
}

fn list(range: std::ops::Range<u32>) -> String {
    range.map(|n| format!("n{n}.example\n")).collect()
}

#[test]
fn a_list_loses_what_left_it_at_every_partner() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = Node::mesh(folder.path(), &["cert-aa", "police-bb"]);
    let path = folder.path().join("feed/names.txt");
    let shared = |text: &str| {
        written(folder.path(), "feed/names.txt", text);
        import(&nodes[0], &path, &["--tlp", "green", "--share", "mesh"])
    };
    let listed = |node: &Node, n: u32| hits(node, &format!("n{n}.example"));
    let sample = |up_to: u32| (0..40).map(move |n| n * up_to / 40);
    let holds = |count: u32, all: u32| {
        for node in &nodes {
            until("what is listed is known once, and nothing else", || {
                sample(all).chain(sample(count)).all(|n| listed(node, n) == usize::from(n < count))
            });
        }
    };
    shared(&list(0..6_000));
    holds(6_000, 6_000);
    // A value more costs one record in each circle.
    let more = shared(&list(0..6_001));
    assert_eq!(
        (&more["changed"], &more["shared"], &more["new"]),
        (&1.into(), &1.into(), &0.into()),
        "{more}"
    );
    // Cut to ten, grown again, and cut past one boundary only.
    for count in [10, 6_000, 2_900, 40] {
        shared(&list(0..count));
        holds(count, 6_000);
    }
    let again = shared(&list(0..40));
    assert_eq!((&again["changed"], &again["new"]), (&0.into(), &0.into()), "{again}");
    // What is no list takes nothing from it.
    let page = "<html>\nhttp://status.example/\n</html>\n";
    for text in [
        "",
        "\n\n",
        "# nothing today\n",
        page,
        "error code: 1020\n",
        "Just a moment...\nPlease complete the check at\nhttps://captcha.example/\nto go on\n",
        "Service Unavailable\n\nhttps://status.example/\nTry again later\n",
        r#"{"error":"rate limit exceeded","documentation_url":"https://docs.example/"}"#,
    ] {
        written(folder.path(), "feed/names.txt", text);
        nodes[0].tell(&["import", path.to_str().expect("UTF-8"), "--tlp", "green", "--share", "mesh"]);
        assert!((0..40).all(|n| listed(&nodes[0], n) == 1), "{text}");
    }
    holds(40, 6_000);
}

#[test]
fn a_bucket_that_was_taken_back_takes_new_values() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = one(folder.path());
    let path = written(folder.path(), "feed/l.txt", "a.example\nb.example\n");
    import(&node, &path, &["--tlp", "green", "--share", "mesh"]);
    let hit = node.json(&["lookup", "a.example"])["hits"][0].clone();
    node.json(&["retract", hit["subject"].as_str().expect("a subject"), "--reason", "wrong"]);
    assert_eq!(known(&node, &["a.example", "b.example"]), [false, false]);
    let all = ["a.example", "b.example", "c.example"];
    let share = ["--tlp", "green", "--share", "mesh"];
    // It stays gone, from whatever folder and under whatever marking its file comes, and it is said so.
    for folder_and_file in ["feed/l.txt", "feed/l.txt", "other/l.txt"] {
        let path = written(folder.path(), folder_and_file, "a.example\nb.example\n");
        let told = import(&node, &path, &["--tlp", "clear", "--share", "mesh"]);
        assert_eq!(
            (count(&told, "taken_back"), &told["new"], &told["shared"]),
            (1, &0.into(), &0.into()),
            "{told}"
        );
        assert!(told.to_string().contains("2 values of it were taken back by hand"), "{told}");
        assert_eq!(known(&node, &all), [false; 3]);
    }
    // What is new stands under a new subject; the file without what is wrong says nothing of it any more.
    written(folder.path(), "feed/l.txt", "a.example\nb.example\nc.example\n");
    assert_eq!(count(&import(&node, &path, &share), "taken_back"), 1);
    assert_eq!(known(&node, &all), [false, false, true]);
    written(folder.path(), "feed/l.txt", "b.example\nc.example\n");
    // A person says that the rest may stand again, and so it does, also at the next import.
    import(&node, &path, &[&["--again"], &share[..]].concat());
    assert_eq!(known(&node, &all), [false, true, true]);
    let told = import(&node, &path, &share);
    assert_eq!((count(&told, "taken_back"), known(&node, &all)), (0, vec![false, true, true]), "{told}");
    // A report that has an id of its own is gone with it.
    let path = written(folder.path(), "feed/e.json", &event(1_767_300_000, &[(1, "e.example", "")]));
    import(&node, &path, &[]);
    let hit = node.json(&["lookup", "e.example"])["hits"][0].clone();
    node.json(&["retract", hit["subject"].as_str().expect("a subject"), "--reason", "wrong"]);
    written(folder.path(), "feed/e.json", &event(1_767_400_000, &[(1, "e.example", "")]));
    assert_eq!(count(&import(&node, &path, &[]), "skipped"), 1);
    assert_eq!(known(&node, &["e.example"]), [false]);
}

/// An event that is split for its size loses what a newer one of it no longer has, in each of its parts.
#[test]
fn what_was_split_off_for_its_size_is_as_new_as_the_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = one(folder.path());
    let names: Vec<String> = (0..24_000).map(|n| format!("n{n}.example")).collect();
    let of = |time: u64, count: usize| {
        let all: Vec<(u32, &str, &str)> =
            (0..).zip(&names).take(count).map(|(n, name)| (n, name.as_str(), "")).collect();
        event(time, &all)
    };
    let path = written(folder.path(), "feed/large.json", &of(1_767_300_000, 24_000));
    let told = node.json(&["import", path.to_str().expect("UTF-8")])["total"].clone();
    assert!(told["new"].as_u64().expect("a number") > 1, "it is in parts: {told}");
    let sample: Vec<&str> = names.iter().step_by(2_399).map(String::as_str).collect();
    assert_eq!(known(&node, &sample), vec![true; sample.len()]);
    written(folder.path(), "feed/large.json", &of(1_767_400_000, 3));
    let told = node.json(&["import", path.to_str().expect("UTF-8")]);
    let left: Vec<bool> = (0..sample.len()).map(|at| at * 2_399 < 3).collect();
    assert_eq!(known(&node, &sample), left, "{told}");
    // And an older one brings none of them back.
    written(folder.path(), "feed/large.json", &of(1_767_300_000, 24_000));
    node.tell(&["import", path.to_str().expect("UTF-8")]);
    assert_eq!(known(&node, &sample), left);
}

/// Attributes of MISP without their event are compared with what stands of it: an older one changes nothing, a deleted one stays so.
#[test]
fn attributes_alone_are_as_old_as_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = one(folder.path());
    let whole =
        [(1, "gone.example", r#","deleted":true"#), (2, "stays.example", r#","timestamp":"1767300000""#)];
    import(&node, &written(folder.path(), "feed/e.json", &event(1_767_300_000, &whole)), &[]);
    let alone = |n: u32, value: &str, time: u64| {
        format!(
            r#"{{"uuid":"00000000-0000-4000-8001-{n:012}","type":"domain","value":"{value}","to_ids":true,"timestamp":"{time}",
            "Event":{{"uuid":"00000000-0000-4000-8000-0000000000ff","info":"e","distribution":"3"}}}}"#
        )
    };
    let answer = |all: &[String]| format!(r#"{{"response":{{"Attribute":[{}]}}}}"#, all.join(","));
    let text = answer(&[
        alone(1, "gone.example", 1_767_400_000),
        alone(2, "before.example", 1_767_200_000),
        alone(3, "new.example", 1_767_300_000),
    ]);
    let told = import(&node, &written(folder.path(), "feed/search.json", &text), &["--tlp", "green"]);
    assert_eq!((count(&told, "gone"), count(&told, "older")), (1, 1), "{told}");
    let all = ["gone.example", "before.example", "stays.example", "new.example"];
    assert_eq!(known(&node, &all), [false, false, true, true]);
    // What an answer says was deleted is gone from the event as well.
    let text = answer(&[alone(2, "stays.example", 1_767_500_000).replacen('{', r#"{"deleted":true,"#, 1)]);
    import(&node, &written(folder.path(), "feed/later.json", &text), &[]);
    assert_eq!(known(&node, &all), [false, false, false, true]);
}
