//! `query`, `show` and `why`: lists by what people remember, page by page; what is kept of a source; what was replaced.

use std::io::Write as _;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::harness::{Node, one, written};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The records of a list, and what its last line tells beside them.
fn list(node: &Node, args: &[&str]) -> (Vec<Value>, Value) {
    let output = node.command().args(["--json", "query"]).args(args).output().expect("it runs");
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    let mut rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let rest = rows.pop_if(|row| row.get("hidden").is_some());
    (rows, rest.unwrap_or_default())
}

fn titles(node: &Node, args: &[&str]) -> Vec<String> {
    let (rows, _) = list(node, args);
    rows.iter().map(|row| row["title"].as_str().expect("a title").to_owned()).collect()
}

fn publish(node: &Node, title: &str, args: &[&str]) -> String {
    let new = node.json(&[&["publish", "--tlp", "green", "--title", title], args].concat());
    new["records"][0]["record"].as_str().expect("an id").to_owned()
}

#[test]
fn lists_are_narrowed_by_what_people_remember() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = one(folder.path());
    publish(&node, "first", &["192.0.2.7", "--to", "own", "--label", "Ransomware", "--label", "harbour"]);
    publish(&node, "second", &["evil.example", "--to", "own", "--description", "Seen at the HARBOUR office"]);
    publish(&node, "third", &["192.0.2.128/25", "198.51.100.1", "--to", "mesh"]);
    publish(&node, "fourth", &["x@mail.example", "--to", "own"]);
    let bundle = r#"{"type":"bundle","id":"bundle--00000000-0000-4000-8000-000000000001","objects":[
        {"type":"indicator","spec_version":"2.1","id":"indicator--00000000-0000-4000-8000-000000000002",
         "created":"2026-01-01T00:00:00Z","modified":"2026-01-01T00:00:00Z","pattern_type":"stix",
         "pattern":"[domain-name:value = 'c2.example']","valid_from":"2026-01-01T00:00:00Z"},
        {"type":"threat-actor","spec_version":"2.1","id":"threat-actor--00000000-0000-4000-8000-000000000003",
         "created":"2026-01-01T00:00:00Z","modified":"2026-01-01T00:00:00Z","name":"Grey Heron"},
        {"type":"report","spec_version":"2.1","id":"report--00000000-0000-4000-8000-000000000004","name":"fifth",
         "created":"2026-01-01T00:00:00Z","modified":"2026-01-01T00:00:00Z","published":"2026-01-01T00:00:00Z",
         "object_refs":["indicator--00000000-0000-4000-8000-000000000002","threat-actor--00000000-0000-4000-8000-000000000003"]}]}"#;
    let file = written(folder.path(), "heron.json", bundle);
    node.json(&["import", file.to_str().expect("UTF-8"), "--source", "partner", "--tlp", "green"]);

    for (args, expected) in [
        (&["harbour"][..], &["second", "first"][..]),
        (&["harbour", "ransomware"], &["first"]),
        (&["--label", "ransomware"], &["first"]),
        (&["--label", "ransom"], &[]),
        (&["EVIL.example"], &["second"]),
        (&["evil[.]example"], &["second"]),
        (&["192.0.2.0/24"], &["third", "first"]),
        (&["192.0.2.128/26"], &[]),
        (&["--type", "email"], &[]),
        (&["--type", "email", "--purpose", "network-defence"], &["fourth"]),
        (&["--type", "cve", "--type", "ipv4-net"], &["third"]),
        (&["--personal", "--purpose", "network-defence"], &["fourth"]),
        // The context of a source is kept, and found.
        (&["grey heron"], &["fifth"]),
        (&["--text", "Grey Heron", "c2.example"], &["fifth"]),
        (&["--tlp", "amber"], &[]),
        (&["--since", "1h", "--until", "2000-01-01"], &[]),
        (&["--until", "1h"], &[]),
        (&["--since", "2000-01-01", "harbour", "--circle", "mesh"], &[]),
    ] {
        assert_eq!(titles(&node, args), expected, "{args:?}");
    }
    let all = [
        "--since",
        "2000-01-01T00:00:00Z",
        "--tlp",
        "clear",
        "--tlp",
        "green",
        "--purpose",
        "network-defence",
    ];
    assert_eq!(titles(&node, &all), ["fifth", "fourth", "third", "second", "first"]);
    for (args, word) in [
        (["--type", "adress"], "ipv4-net"),
        (["--tlp", "orange"], "amber+strict"),
        (["--since", "yesterday"], "2026-11-01"),
        (["--cursor", "soon"], "cursor"),
        (["--kind", "reports"], "sighting"),
    ] {
        let refused = node.command().arg("query").args(args).output().expect("it runs");
        assert_eq!(refused.status.code(), Some(2), "{args:?}");
        assert!(said(&refused).contains(word), "{}", said(&refused));
    }
    // No word of it is in the log.
    node.json(&["query", "harbour", "ransomware", "--purpose", "network-defence"]);
    assert!(!node.log().to_lowercase().contains("harbour"), "{}", node.log());
}

#[test]
fn a_list_goes_on_where_the_page_before_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = one(folder.path());
    let records: Vec<String> =
        (0..23).map(|n| publish(&node, &format!("number {n}"), &["192.0.2.7", "--to", "own"])).collect();
    let mut seen = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut args = vec!["--limit", "5"];
        args.extend(cursor.iter().flat_map(|cursor| ["--cursor", cursor]));
        let (rows, rest) = list(&node, &args);
        seen.extend(rows.iter().map(|row| row["record"].as_str().expect("an id").to_owned()));
        // What comes meanwhile stands before the first page.
        publish(&node, "late", &["192.0.2.8", "--to", "own"]);
        match rest["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    seen.reverse();
    assert_eq!(seen, records, "each once, in order");
    let text = said(&node.tell(&["query", "--limit", "5"]));
    assert!(text.contains("more than these 5: --cursor "), "{text}");
}

#[test]
fn copies_of_a_report_are_one_entry() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = one(folder.path());
    let own = publish(&node, "shared", &["192.0.2.7", "--to", "own"]);
    publish(&node, "kept", &["192.0.2.8", "--to", "own"]);
    let new = node.json(&["share", &own, "--to", "mesh"]);
    let copy = new["records"][0]["record"].as_str().expect("an id").to_owned();
    let (rows, _) = list(&node, &[]);
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!((&rows[0]["record"], &rows[0]["circle"]), (&copy.as_str().into(), &"mesh".into()));
    assert_eq!(
        (&rows[0]["copies"][0]["record"], &rows[0]["copies"][0]["circle"]),
        (&own.as_str().into(), &"own".into())
    );
    let text = said(&node.tell(&["query"]));
    assert!(text.contains("mesh, own"), "{text}");
    // Page by page it is one as well, and a copy that does not fit is none.
    let (first, rest) = list(&node, &["--limit", "1"]);
    let next = rest["next"].as_str().expect("a cursor");
    let (second, _) = list(&node, &["--limit", "5", "--cursor", next]);
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_eq!(second[0]["title"], "kept");
    let (rows, _) = list(&node, &["--circle", "own", "shared"]);
    assert_eq!((rows.len(), &rows[0]["record"]), (1, &own.as_str().into()));
    assert!(rows[0].get("copies").is_none(), "{rows:?}");
}

#[test]
fn what_is_kept_and_what_was_replaced_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = one(folder.path());
    let event = r#"{"Event":{"uuid":"00000000-0000-4000-8000-0000000000ff","info":"event","date":"2026-01-01",
        "timestamp":"1767225600","distribution":"0","Attribute":[
        {"uuid":"00000000-0000-4000-8000-000000000001","type":"ip-dst","value":"192.0.2.21","to_ids":true},
        {"uuid":"00000000-0000-4000-8000-000000000002","type":"text","value":"the words of a person","to_ids":false}]}}"#;
    let file = written(folder.path(), "event.json", event);
    node.json(&["import", file.to_str().expect("UTF-8"), "--source", "partner", "--tlp", "green"]);
    let (rows, _) = list(&node, &["words of a person"]);
    let record = rows[0]["record"].as_str().expect("an id").to_owned();
    let text = said(&node.tell(&["show", &record]));
    assert!(text.contains("--original prints"), "{text}");
    let lines = said(&node.tell(&["show", &record, "--original"]));
    let kept: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(kept.iter().any(|object| object.to_string().contains("the words of a person")), "{lines}");
    let shown = node.json(&["show", &record, "--original"]);
    assert_eq!(shown["original"].as_array().map(Vec::len), shown["originals"].as_u64().map(|n| n as usize));
    assert!(node.json(&["show", &record]).get("original").is_none());

    let old = publish(&node, "first words", &["192.0.2.7", "--to", "own"]);
    let own = said(&node.tell(&["show", &old, "--original"]));
    assert!(own.contains("nothing of its source is kept"), "{own}");
    let new = publish(&node, "better words", &["192.0.2.8", "--to", "own", "--replaces", &old]);
    for verb in ["show", "why"] {
        let text = said(&node.tell(&[verb, &old]));
        assert!(text.contains(&format!("replaced by {new}")), "{verb}: {text}");
        assert!(!said(&node.tell(&[verb, &new])).contains("replaced by"));
        assert_eq!(node.json(&[verb, &old])["replaced_by"], new.as_str());
    }
    // A guardrail tells what it does; a rule its comment and its text.
    let why = node.json(&["why", &new]);
    assert_eq!(why["texts"][0]["rule"], "guardrail:own-org", "{why}");
    assert!(said(&node.tell(&["why", &new])).contains("an org believes itself"));
}

#[test]
fn pasted_values_are_shown_and_agreed_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = one(folder.path());
    let paste = |more: &[&str], text: &str| {
        let mut command = node.command();
        // Without a terminal to ask at.
        let mut asking = std::process::Command::new("setsid");
        asking.arg("--wait").arg(command.get_program()).args(command.get_args());
        asking.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command = asking;
        command.args(["publish", "-", "--tlp", "green", "--to", "own"]).args(more);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().expect("the program runs");
        child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("written");
        child.wait_with_output().expect("it ends")
    };
    let mail = "Dear all, 198.51.100[.]7 and hxxp://evil[.]example/a are bad.\n";
    let refused = paste(&[], mail);
    assert_eq!(refused.status.code(), Some(2));
    let text = said(&refused);
    assert!(
        text.contains("198.51.100.7") && text.contains("http://evil.example/a") && text.contains("--yes"),
        "{text}"
    );
    assert!(list(&node, &[]).0.is_empty(), "nothing was written");
    let done = paste(&["--yes", "--title", "pasted"], mail);
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    let (rows, _) = list(&node, &[]);
    assert_eq!((&rows[0]["title"], &rows[0]["indicator_count"]), (&"pasted".into(), &2.into()));
    assert_eq!(paste(&["--yes"], "no value in here\n").status.code(), Some(2));
}
