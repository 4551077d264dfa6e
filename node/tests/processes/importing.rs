//! `import` and `publish` as operators use them: what is told of bad, odd and repeated input, and what goes out.

use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::harness::{Node, one, written};

fn import(node: &Node, path: &Path, more: &[&str]) -> Output {
    node.command().arg("import").arg(path).args(more).output().expect("the program runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn bad_and_odd_input_is_told_and_quoted_short() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = one(folder.path());
    let long = "x".repeat(2 << 20);
    for (text, code, part) in [
        ("192.0.2.1\n192.0.2.2\n".to_owned(), 0, "2 indicators written"),
        ("192.0.2.3\nno value at all\nnor this\n".to_owned(), 3, "line 3: `nor this`"),
        (format!(r#"{{"type":"bundle","objects":["{long}"]}}"#), 3, "expected a map"),
        (format!(r#"{{"type":"bundle","objects":"{long}"}}"#), 3, "left out"),
        ("{\"type\": \"bundle\", ".to_owned(), 2, "no whole JSON"),
        ("{\"name\": \"no feed\"}".to_owned(), 2, "holds nothing that is imported"),
        ("type,value,confidence\ndomain,a.example,high\n".to_owned(), 0, "line 2, confidence: `high`"),
        ("0.0.0.0/0\nco.uk\n192.0.2.9\n".to_owned(), 0, "matched against nothing: too wide"),
        ("192.168.1.1\n".to_owned(), 0, "which many networks have"),
    ] {
        let path = written(folder.path(), "feed/list.txt", &text);
        let output = import(&node, &path, &[]);
        let said = said(&output);
        assert!(said.len() < 2_000, "{} bytes were printed", said.len());
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(part), "`{part}` is not in {said}");
    }
    let output = import(&node, Path::new("-"), &[]);
    assert!(said(&output).contains("not standard input"), "{}", said(&output));
    let output = import(&node, &folder.path().join("feed"), &["--source", "../keys"]);
    assert!(!output.status.success() && said(&output).contains("not a path"), "{}", said(&output));
    let output = import(&node, &folder.path().join("feed"), &["--source", "nowhere"]);
    assert!(said(&output).contains("sources/nowhere.toml"), "{}", said(&output));
}

#[test]
fn a_marking_once_said_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = one(folder.path());
    let path = written(folder.path(), "feed/list.txt", "192.0.2.1\n");
    let path = path.to_str().expect("UTF-8");
    let total = |more: &[&str]| node.json(&[&["import", path], more].concat())["total"].clone();
    assert_eq!(total(&["--tlp", "green"])["new"], 1);
    let again = total(&[]);
    assert_eq!((&again["changed"], &again["unmarked"]), (&0.into(), &0.into()), "{again}");
    // An edited list keeps it as well, and a stricter one counts.
    std::fs::write(path, "192.0.2.1\n192.0.2.2\n").expect("written");
    assert_eq!(total(&[])["changed"], 1);
    assert_eq!(node.json(&["lookup", "192.0.2.2"])["hits"][0]["tlp"], "TLP:GREEN");
    assert_eq!(total(&["--tlp", "amber"])["changed"], 1);
    assert_eq!(node.json(&["lookup", "192.0.2.2"])["hits"][0]["tlp"], "TLP:AMBER");
}

#[test]
fn no_folder_of_this_machine_goes_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = one(folder.path());
    let path = written(folder.path(), "op-quiet-river/scanners.txt", "192.0.2.1\n");
    let imported = import(&node, &path, &["--tlp", "green", "--share", "mesh"]);
    assert!(imported.status.success(), "{}", said(&imported));
    let hit = node.json(&["lookup", "192.0.2.1"])["hits"][0].clone();
    assert_eq!((&hit["title"], &hit["origin"]["id"]), (&"scanners.txt".into(), &"scanners.txt".into()));
    let shown: Value = node.json(&["show", hit["record"].as_str().expect("an id")]);
    assert!(!shown.to_string().contains("river"), "{shown}");
    let titled =
        import(&node, &path, &["--tlp", "green", "--share", "mesh", "--title", "Scanners of the week"]);
    assert!(titled.status.success(), "{}", said(&titled));
    let hit = node.json(&["lookup", "192.0.2.1"])["hits"].clone();
    assert!(hit.to_string().contains("Scanners of the week"), "{hit}");
}

#[test]
fn publish_says_what_is_matched_against_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = one(folder.path());
    let publish = |more: &[&str]| node.json(&[&["publish", "--tlp", "green", "--to", "mesh"], more].concat());
    let wide = publish(&["0.0.0.0/0", "192.0.2.1"]);
    assert_eq!(
        (&wide["unmatched"][0]["count"], wide["unmatched"][0]["values"][0].as_str()),
        (&1.into(), Some("0.0.0.0/0"))
    );
    assert!(publish(&["10.1.1.1"])["well_known"][0]["why"].as_str().is_some_and(|why| why.contains("1918")));
    assert_eq!(publish(&["198.51.100.1"])["well_known"], Value::Null, "documentation is no such thing");
    let nobody = publish(&["198.51.100.2", "--countries", "ZZ"]);
    assert!(nobody["warnings"][0].as_str().is_some_and(|text| text.contains("ZZ")), "{nobody}");
    assert_eq!(publish(&["198.51.100.3", "--countries", "QM"])["warnings"], Value::Null);
    // A value that is not recognised is taken where its type is named, and found so.
    let refused = node.tell(&["publish", "brstaged", "--tlp", "green", "--to", "own"]);
    assert!(said(&refused).contains("--type"), "{}", said(&refused));
    publish(&["brstaged", "--type", "process"]);
    assert_eq!(node.json(&["lookup", "brstaged", "--type", "process"])["known"], true);
    let wrong = node.tell(&["lookup", "brstaged", "--type", "proc"]);
    assert!(said(&wrong).contains("process"), "a wrong type lists those there are: {}", said(&wrong));
}

/// A STIX indicator of one domain, with its `modified` and more fields.
fn indicator(value: &str, modified: &str, more: &str) -> String {
    format!(
        r#"{{"type":"bundle","id":"bundle--00000000-0000-4000-8000-000000000000","objects":[{{"type":"indicator",
        "spec_version":"2.1","id":"indicator--00000000-0000-4000-8000-000000000001","created":"2026-01-01T00:00:00Z",
        "modified":"{modified}","valid_from":"2026-01-01T00:00:00Z","pattern_type":"stix",
        "pattern":"[domain-name:value = '{value}']"{more}}}]}}"#
    )
}

/// In which circles a value is known, and under which TLP; of copies of one report the widest.
fn circles(node: &Node, value: &str) -> Vec<String> {
    let answer = node.tell(&["--json", "lookup", "--purpose", "network-defence", value]);
    let text = String::from_utf8(answer.stdout).expect("JSON is text");
    let answer: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
    let hits = answer["hits"].as_array().expect("hits").iter();
    let mut circles: Vec<String> =
        hits.map(|hit| format!("{} {}", hit["circle"], hit["tlp"]).replace('"', "")).collect();
    circles.sort();
    circles
}

#[test]
fn a_marking_that_is_raised_takes_the_copy_back() {
    const GREEN: &str =
        r#","object_marking_refs":["marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"]"#;
    const AMBER: &str =
        r#","object_marking_refs":["marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421"]"#;
    let folder = tempfile::tempdir().expect("a folder");
    let node = one(folder.path());
    let green = indicator("a.example", "2026-01-01T00:00:00Z", GREEN);
    let amber = indicator("a.example", "2026-02-01T00:00:00Z", AMBER);
    let again = indicator("a.example", "2026-03-01T00:00:00Z", GREEN);
    let list = |tlp: &str| format!("# TLP:{tlp}\nl.example\n");
    let table = |tlp: &str| format!("domain,tlp\nt.example,{tlp}\n");
    for (name, [first, second, third], value) in [
        ("b.json", [green, amber, again], "a.example"),
        ("l.txt", [list("GREEN"), list("RED"), list("GREEN")], "l.example"),
        ("t.csv", [table("green"), table("amber"), table("green")], "t.example"),
    ] {
        let path = written(folder.path(), &format!("feed/{name}"), &first);
        assert!(import(&node, &path, &["--share", "mesh"]).status.success());
        assert_eq!(circles(&node, value), ["mesh TLP:GREEN"], "{name}");
        std::fs::write(&path, second).expect("written");
        // Nothing is shared by this one, and what was is taken back; a dry run says so and does nothing.
        let dry = said(&import(&node, &path, &["--dry-run"]));
        assert!(dry.contains("taken back from circle `mesh`"), "{dry}");
        assert_eq!(circles(&node, value), ["mesh TLP:GREEN"], "{name}");
        let run = said(&import(&node, &path, &[]));
        assert!(run.contains("taken back from circle `mesh`"), "{run}");
        let left = circles(&node, value);
        assert!(
            left.len() == 1 && !left[0].contains("GREEN") && left[0].starts_with("own"),
            "{name}: {left:?}"
        );
        // The same again changes nothing, and what is loosened by its source is shared anew.
        assert!(!said(&import(&node, &path, &[])).contains("taken back"));
        std::fs::write(&path, third).expect("written");
        let again = import(&node, &path, &["--share", "mesh"]);
        assert_eq!(circles(&node, value)[0], "mesh TLP:GREEN", "{name}: {}", said(&again));
    }
}

#[test]
fn what_is_kept_counts_as_personal_and_can_be_left_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = one(folder.path());
    let event = |value: &str, uuid: u8| {
        format!(
            r#"{{"Event":{{"uuid":"00000000-0000-4000-8000-0000000000{uuid:02}","info":"x","date":"2026-01-01","timestamp":"1767225600",
            "distribution":"3","Tag":[{{"name":"tlp:green"}}],"Attribute":[
            {{"type":"domain","value":"{value}","to_ids":true,"distribution":"5"}},
            {{"type":"passport-number","value":"X0000000","to_ids":false,"distribution":"5"}}]}}}}"#
        )
    };
    let path = written(folder.path(), "feed/kept.json", &event("kept.example", 1));
    let told = said(&import(&node, &path, &["--share", "mesh"]));
    assert!(told.contains("1 passport-number") && told.contains("personal data"), "{told}");
    assert!(!circles(&node, "kept.example").iter().any(|hit| hit.starts_with("mesh")));
    let path = written(folder.path(), "feed/without.json", &event("without.example", 2));
    let told = said(&import(&node, &path, &["--share", "mesh", "--without-personal"]));
    assert!(told.contains("left out as about persons: 1 passport-number"), "{told}");
    assert_eq!(circles(&node, "without.example"), ["mesh TLP:GREEN"]);
    // Values of a list are told of as well, before it is shared in vain.
    let path =
        written(folder.path(), "feed/list.csv", "value,type\na@mail.example,email\nmail.example,domain\n");
    let told = said(&import(&node, &path, &["--dry-run"]));
    assert!(told.contains("about persons in what is kept: 1 email\n"), "{told}");
}

#[test]
fn what_was_left_out_on_purpose_is_no_other_content() {
    const GREEN: [&str; 4] = ["--tlp", "green", "--share", "mesh"];
    let folder = tempfile::tempdir().expect("a folder");
    let node = one(folder.path());
    let organisation = r#"{"type":"identity","spec_version":"2.1","identity_class":"organization","name":"O",
        "id":"identity--00000000-0000-4000-8000-000000000002","created":"2026-01-01T00:00:00Z",
        "modified":"2026-01-01T00:00:00Z","contact_information":"j@o.example"}"#;
    let person = organisation
        .replace("000000000002", "000000000003")
        .replace("organization", "individual")
        .replace(r#","contact_information":"j@o.example""#, "");
    let bundle = |value: &str, head: &str, more: &str| {
        let by = r#","created_by_ref":"identity--00000000-0000-4000-8000-000000000002""#;
        let text = indicator(value, "2026-01-01T00:00:00Z", by);
        text.replace("]}", &format!(",{organisation}{head}{more}]}}"))
    };
    let head = r#",{"type":"report","spec_version":"2.1","id":"report--00000000-0000-4000-8000-000000000004",
        "created":"2026-01-01T00:00:00Z","modified":"2026-01-01T00:00:00Z","name":"r","published":"2026-01-01T00:00:00Z",
        "object_refs":["indicator--00000000-0000-4000-8000-000000000001",
        "identity--00000000-0000-4000-8000-000000000002","identity--00000000-0000-4000-8000-000000000003"]}"#;
    // An event that is as new as its newest attribute, which is about a person.
    let event = r#"{"Event":{"uuid":"00000000-0000-4000-8000-0000000000ff","info":"e","date":"2026-01-01",
        "timestamp":"1767225600","distribution":"3","Attribute":[
        {"uuid":"00000000-0000-4000-8000-000000000021","type":"domain","value":"event.example","to_ids":true},
        {"uuid":"00000000-0000-4000-8000-000000000022","type":"email-src","value":"j@o.example","to_ids":true,
        "timestamp":"1767225700"}]}}"#;
    for (name, value, text) in [
        ("list.json", "list.example", bundle("list.example", "", "").replace("0001\"", "0011\"")),
        ("report.json", "report.example", bundle("report.example", head, &format!(",{person}"))),
        ("event.json", "event.example", event.to_owned()),
    ] {
        let path = written(folder.path(), &format!("{name}/{name}"), &text);
        let path = path.to_str().expect("UTF-8");
        let import = |code: i32, more: &[&str]| {
            let total = node.json_with(code, &[&["import", path], more].concat())["total"].clone();
            let count = |what: &str| total[what].as_array().map_or(0, Vec::len);
            assert_eq!((count("twice"), count("older")), (0, 0), "{name}: {total}");
            let figures = ["new", "changed", "shared"].map(|what| total[what].as_u64().expect("a number"));
            (figures, count("taken_back"))
        };
        let personal = || {
            let hits = node.json(&["lookup", "--purpose", "network-defence", value])["hits"].clone();
            let hits = hits.as_array().expect("hits").clone();
            let in_mesh = hits.iter().find(|hit| hit["circle"] == "mesh").expect("it is shared");
            let record = in_mesh["record"].as_str().expect("an id");
            let shown =
                said(&node.tell(&["show", record])) + &said(&node.tell(&["show", record, "--original"]));
            assert!(shown.matches(value).count() > 1, "{shown}");
            shown.contains("j@o.example")
        };
        let without = [&GREEN[..], &["--without-personal"]].concat();
        assert_eq!(import(3, &GREEN), ([1, 0, 0], 0), "{name}");
        assert_eq!(import(0, &without), ([0, 1, 1], 0), "{name}: the first that leaves it out is shared");
        assert_eq!(circles(&node, value), ["mesh TLP:GREEN"], "{name}");
        assert_eq!(import(0, &without), ([0, 0, 0], 0), "{name}");
        assert!(!personal(), "{name}");
        // Without the flag it comes back here, and what is shared stays as it is.
        for more in [&["--tlp", "green"][..], &["--tlp", "green"], &[], &GREEN] {
            let (figures, taken_back) = import(if more.len() == 4 { 3 } else { 0 }, more);
            assert_eq!((figures[0], figures[2], taken_back), (0, 0, 0), "{name}: {more:?}");
            assert!(!personal(), "{name}: {more:?}");
        }
        // Nor does a marking that is left unsaid keep what is left out from being shared.
        assert_eq!(import(0, &["--without-personal", "--share", "mesh"]), ([0, 1, 0], 0), "{name}");
    }
}

#[test]
fn a_label_that_nobody_understands_is_overridden_by_name_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = one(folder.path());
    let text = indicator("x.example", "2026-01-01T00:00:00Z", r#","labels":["tlp:ex:chr"]"#);
    let path = written(folder.path(), "feed/x.json", &text);
    let told = said(&import(&node, &path, &["--tlp", "green", "--share", "mesh"]));
    assert!(told.contains("`tlp:ex:chr`") && told.contains("indicator--00000000"), "{told}");
    assert_eq!(circles(&node, "x.example"), ["own TLP:AMBER+STRICT"]);
    // Nor does sharing it by hand.
    let record = node.json(&["lookup", "x.example"])["hits"][0]["record"].as_str().expect("an id").to_owned();
    assert!(!node.tell(&["share", &record, "--to", "mesh", "--tlp", "green"]).status.success());
    let over = ["--override-marking", "tlp:ex:chr=tlp:green", "--share", "mesh"];
    let told = said(&import(&node, &path, &over));
    assert_eq!(circles(&node, "x.example"), ["mesh TLP:GREEN"], "{told}");
    assert!(said(&import(&node, &path, &["--override-marking", "x"])).contains("LABEL=tlp:X"));
}

#[test]
fn a_dry_run_says_what_the_run_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = one(folder.path());
    let mail = "type,value\nemail,a@evil.example\n";
    written(folder.path(), "feed/a.csv", mail);
    written(folder.path(), "feed/b.json", &indicator("b.example", "2026-01-01T00:00:00Z", ""));
    written(folder.path(), "feed/c.txt", "# TLP:AMBER\nc.example\nnothing\n");
    written(folder.path(), "feed/d.csv", "domain,tlp\nd.example,green\ne.example,red\nf.example,purple\n");
    let folder = folder.path().join("feed");
    let path = folder.to_str().expect("UTF-8");
    let count = |summary: &Value| {
        let mut summary = summary.clone();
        summary["total"]["records"] = Value::Null;
        summary
    };
    let imported = |more: &[&str]| {
        node.json_with(3, &[&["import", path, "--tlp", "green", "--share", "mesh"], more].concat())
    };
    let dry = count(&imported(&["--dry-run"]));
    assert_eq!(dry, count(&imported(&[])));
    assert_eq!((&dry["total"]["new"], &dry["total"]["shared"]), (&6.into(), &2.into()), "{dry}");
}
