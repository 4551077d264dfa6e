//! `lookup`, `query` and `watch` as people ask: exit codes, purposes in the log, what policy keeps from them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::harness::{Node, until, written};

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

#[test]
fn exit_codes_and_completeness() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::mesh(folder.path(), &["cert-aa", "police-bb"]);
    let mut bb = nodes.pop().expect("two");
    let aa = nodes.pop().expect("two");
    bb.json(&["publish", "192.0.2.0/24", "--tlp", "green", "--to", "mesh"]);
    until("it is known", || code(&aa.tell(&["lookup", "192.0.2.7"])) == 0);
    until("nothing is missing", || code(&aa.tell(&["lookup", "198.51.100.1"])) == 1);
    assert_eq!(code(&aa.tell(&["lookup", "198.51.100.1", "192.0.2.7"])), 0, "one of them is known");
    assert_eq!(code(&aa.tell(&["lookup", "no value"])), 2);
    assert_eq!(code(&aa.tell(&["lookup", "198.51.100.1", "--purpose"])), 2, "a flag without its word");
    assert_eq!(
        code(
            &Node { home: folder.path().join("none"), process: None, env: Vec::new() }
                .tell(&["lookup", "192.0.2.7"])
        ),
        2
    );

    // From standard input, one a line, with one that is no value among them.
    let mut command = aa.command();
    let mut asking = command
        .args(["--json", "lookup", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program runs");
    asking
        .stdin
        .take()
        .expect("a pipe")
        .write_all(b"198.51.100.1\n\nno value\n192[.]0[.]2[.]9\n")
        .expect("written");
    let output = asking.wait_with_output().expect("it ends");
    assert_eq!(code(&output), 0);
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .expect("UTF-8")
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let known: Vec<&Value> = lines.iter().map(|line| &line["known"]).collect();
    assert_eq!(known, [&false.into(), &false.into(), &Value::Bool(true)]);
    assert!(lines[1]["error"].is_string() && lines[0]["complete"] == true, "{lines:?}");
    assert_eq!(lines[2]["hits"][0]["match"], "network");

    // Many at once are answered in parts, in the order of the question; every third is known, and one is no value.
    let values: Vec<String> = (0..200)
        .map(|n| match n {
            150 => "no value".to_owned(),
            n if n % 3 == 0 => format!("192.0.2.{n}"),
            n => format!("198.51.100.{n}"),
        })
        .collect();
    let output = aa.command().args(["--json", "lookup"]).args(&values).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), values.len());
    for ((n, value), line) in (0..).zip(&values).zip(&lines) {
        assert_eq!(
            (&line["value"], &line["known"]),
            (&value.as_str().into(), &(n % 3 == 0 && n != 150).into())
        );
        assert_eq!(line["error"].is_string(), n == 150, "{line}");
    }

    // The partner stops: within max-age the answer stands, after it the answer is incomplete, and says who is silent.
    bb.kill();
    let ask = |age: &str| aa.command().args(["--json", "lookup", "198.51.100.1", "--max-age", age]).output();
    assert_eq!(code(&ask("10min").expect("it runs")), 1);
    until("it was not heard for a second", || code(&ask("1s").expect("it runs")) == 3);
    let answer: Value = serde_json::from_slice(&ask("1s").expect("it runs").stdout).expect("JSON");
    assert_eq!((&answer["complete"], &answer["stale"]), (&false.into(), &serde_json::json!(["police-bb"])));
    assert!(answer["as_of"].is_string());
    assert_eq!(code(&aa.tell(&["lookup", "192.0.2.7", "--max-age", "1s"])), 0, "known is known");
    let text =
        String::from_utf8(aa.tell(&["lookup", "198.51.100.1", "--max-age", "1s"]).stdout).expect("UTF-8");
    assert!(text.contains("INCOMPLETE") && text.contains("police-bb"), "{text}");
}

#[test]
fn purposes_are_logged_and_values_are_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::mesh(folder.path(), &["cert-aa"]);
    let mut aa = nodes.pop().expect("one");
    let new =
        aa.json(&["publish", "203.0.113.77", "--tlp", "green", "--to", "own", "--title", "quiet words"]);
    let record = new["records"][0]["record"].as_str().expect("an id").to_owned();
    // Whatever else is left out of the log.
    aa.kill();
    aa.run_with(&["--log", "error"]);
    let quiet = aa.log().len();
    let logged = |aa: &Node| aa.log()[quiet..].to_owned();
    aa.json(&["lookup", "203.0.113.77", "--purpose", "criminal-investigation", "--ref", "case-77"]);
    aa.tell(&["lookup", "203.0.113.78", "--ref", "case-78"]);
    aa.json(&["query", "--text", "quiet words", "--purpose", "network-defence", "--ref", "case-79\u{1b}[2J"]);
    aa.json(&["lookup", "203.0.113.77"]);
    let log = logged(&aa);
    assert_eq!(log.lines().count(), 3, "what has no purpose leaves no line: {log}");
    for word in ["criminal-investigation", "case-77", "case-78", "network-defence", "case-79", "operator"] {
        assert!(log.contains(word), "`{word}` is not in {log}");
    }
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines[0].contains(&record) && lines[2].contains(&record), "{log}");
    assert!(!lines[1].contains(&record), "what was not shown is not logged: {log}");
    assert!(!log.contains("203.0.113") && !log.contains("quiet words"), "a value is in the log: {log}");
    assert!(!log.contains('\u{1b}'), "control characters are escaped");
}

/// What a watcher is told in so many events, while something is said again and again: it is there when its first event comes.
fn watched(node: &Node, words: &[&str], count: usize, mut say: impl FnMut(u32)) -> Vec<Value> {
    let mut command = node.command();
    let mut watching = command
        .args(["--json", "watch", "--count", &count.to_string()])
        .args(words)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut lines = BufReader::new(watching.stdout.take().expect("a pipe")).lines();
    let (told, first) = std::sync::mpsc::channel();
    let mut heard: Vec<String> = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for line in lines.by_ref() {
                if told.send(line.expect("UTF-8")).is_err() {
                    return;
                }
            }
        });
        let mut at = 0;
        until("so many events", || {
            at += 1;
            say(at);
            heard.extend(first.try_iter());
            heard.len() >= count
        });
    });
    assert!(watching.wait().expect("it ended").success(), "--count ends it");
    heard.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn watchers_see_what_policy_lets_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::mesh(folder.path(), &["cert-aa", "police-bb"]);
    let bb = nodes.pop().expect("two");
    let aa = nodes.pop().expect("two");
    let policy = aa.read_policy()
        + "\n@id(\"not-for-analysts\") forbid (principal, action == Action::\"query\", resource)\n\
           when { resource.tlp == 2 };\n";
    aa.write_policy(&policy);
    aa.json(&["policy", "reload"]);
    let events = watched(&aa, &[], 4, |at| {
        for (net, tlp, title) in [("192.0.2", "green", "kept"), ("198.51.100", "clear", "told")] {
            bb.json(&["publish", &format!("{net}.{at}"), "--tlp", tlp, "--to", "mesh", "--title", title]);
        }
    });
    let (kept, told): (Vec<&Value>, Vec<&Value>) = events.iter().partition(|event| event["event"] == "kept");
    assert!(!kept.is_empty() && !told.is_empty(), "{events:?}");
    for event in told {
        assert_eq!((&event["event"], &event["title"]), (&"record".into(), &"told".into()), "{event}");
        assert_eq!((&event["author"], &event["verdict"]), (&"police-bb".into(), &"accept".into()));
    }
    for event in kept {
        assert_eq!(event, &serde_json::json!({ "event": "kept", "rule": "not-for-analysts" }));
    }
}

/// What states purposes is shown for one of them only, through whatever door.
#[test]
fn every_door_asks_for_the_purpose() {
    let folder = tempfile::tempdir().expect("a folder");
    let aa = Node::mesh(folder.path(), &["cert-aa"]).pop().expect("one");
    let say = |at: u32| {
        let value = format!("192.0.2.{at}");
        aa.json(&[
            "publish",
            &value,
            "--to",
            "own",
            "--tlp",
            "green",
            "--for-purpose",
            "network-defence",
            "--title",
            "quiet words",
        ])
    };
    let event = r#"{"Event":{"uuid":"00000000-0000-4000-8000-0000000000ff","info":"quiet words","timestamp":"1767300000",
        "Attribute":[{"type":"ip-dst","value":"192.0.2.250","to_ids":true}]}}"#;
    let file = written(folder.path(), "feed/event.json", event);
    let file = file.to_str().expect("UTF-8");
    let told = aa.json(&["import", file, "--tlp", "green", "--for-purpose", "network-defence"]);
    let record = told["total"]["records"][0]["record"].as_str().expect("an id").to_owned();
    let doors: [&[&str]; 5] = [
        &["lookup", "192.0.2.250"],
        &["query"],
        &["show", &record],
        &["show", &record, "--original"],
        &["why", &record],
    ];
    for (purpose, is_shown) in [("", false), ("research", false), ("network-defence", true)] {
        let stated: &[&str] = if purpose.is_empty() { &[] } else { &["--purpose", purpose] };
        for door in doors {
            let out = aa.tell(&[&["--json"], door, stated].concat());
            let text = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
            assert_eq!(text.contains("quiet words"), is_shown, "{door:?} for `{purpose}`: {text}");
            assert!(is_shown || text.contains("guardrail:purpose"), "{door:?} for `{purpose}`: {text}");
        }
        let events = watched(&aa, stated, 1, |at| _ = say(at));
        let expected = if is_shown { ("record", "quiet words") } else { ("kept", "") };
        assert_eq!(
            (events[0]["event"].as_str(), events[0]["title"].as_str().unwrap_or_default()),
            (Some(expected.0), expected.1)
        );
        assert!(is_shown || events[0]["help"] == "state --purpose network-defence", "{events:?}");
        let before = aa.read_policy();
        let hiding =
            before.clone() + "\n@id(\"none\") forbid (principal, action == Action::\"query\", resource);\n";
        let file = folder.path().join("new.cedar");
        std::fs::write(&file, hiding).expect("it is written");
        let diff = aa.json(&[&["policy", "diff", "--file", file.to_str().expect("UTF-8")], stated].concat());
        let hides =
            diff["changes"].as_array().expect("changes").iter().any(|change| change["is"] == "hidden");
        assert_eq!(hides, is_shown, "what is hidden already does not become so for `{purpose}`: {diff}");
    }
    for door in [&["watch", "--count", "1"][..], &["query"], &["policy", "diff"]] {
        let out = aa.tell(&[door, &["--purpose", "network-defense"]].concat());
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(code(&out) == 2 || code(&out) == 1, "{door:?}: {text}");
        assert!(text.contains("network-defence"), "a wrong word lists the right ones: {text}");
    }
}

#[test]
fn one_record_is_followed_through_the_logs_of_nodes() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::mesh(folder.path(), &["cert-aa", "police-bb"]);
    for node in &mut nodes {
        node.kill();
        node.run_with(&["--log", "debug"]);
    }
    let written = nodes[0].json(&["publish", "203.0.113.80", "--tlp", "green", "--to", "mesh"]);
    let record = written["records"][0]["record"].as_str().expect("an id").to_owned();
    let span = format!("record{{id={record}");
    let followed =
        |node: &Node, what: &str| node.log().lines().any(|line| line.contains(&span) && line.contains(what));
    until("the partner logs its judgement", || followed(&nodes[1], "judged"));
    assert!(followed(&nodes[0], "judged"), "{}", nodes[0].log());
    assert!(followed(&nodes[0], "request{verb=/v1/publish}"), "{}", nodes[0].log());
}
