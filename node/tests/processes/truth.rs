//! What a node says of itself is true: what is not given to it, what is hidden or held, what partners acknowledged, what
//! was taken back, what is over.

use std::fs;
use std::io::Write as _;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::harness::{Node, until};

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The one JSON object that a verb prints, whatever its exit code.
fn asked(node: &Node, args: &[&str]) -> (Value, i32) {
    let output = node.command().arg("--json").args(args).output().expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    (serde_json::from_str(text.lines().last().expect("a line")).expect("JSON"), code(&output))
}

fn id(written: &Value) -> String {
    written["records"][0]["record"].as_str().expect("an id").to_owned()
}

/// A node alone in its mesh.
fn alone(folder: &std::path::Path) -> Node {
    Node::mesh(folder, &["cert-aa"]).pop().expect("one")
}

#[test]
fn what_nobody_gives_is_told_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = Node::mesh(folder.path(), &["cert-aa", "police-bb", "bank-dd"]);
    let [aa, bb, dd] = &nodes[..] else { panic!("three") };
    // The police give GREEN to nobody; the bank is linked to the founder alone, which has nothing to announce.
    bb.write_policy(
        &(bb.read_policy()
            + "\n@id(\"to-nobody\") forbid (principal, action == Action::\"forward\", resource)\n\
               when { resource.tlp == 2 };\n"),
    );
    bb.json(&["policy", "reload"]);
    bb.json(&["publish", "192.0.2.1", "--tlp", "green", "--to", "mesh"]);
    bb.json(&["publish", "192.0.2.2", "--tlp", "green", "--to", "mesh"]);
    bb.json(&["publish", "192.0.2.3", "--tlp", "clear", "--to", "mesh"]);
    for node in [aa, dd] {
        until("the open one came, and the node is complete", || {
            node.knows("192.0.2.3") && node.json(&["status"])["complete"] == true
        });
        until("what is not given is known", || {
            node.json(&["status"])["withheld"] == json!([{ "author": "police-bb", "records": 2 }])
        });
        let status = node.json(&["status"]);
        assert_eq!(status["missing"], 0);
        let summary = status["summary"].as_str().expect("words");
        assert!(summary.contains("2 of police-bb not given to this node"), "{summary}");
        let text = said(&node.tell(&["status"]));
        assert!(text.contains("2 records of police-bb are not given to this node"), "{text}");
        until("lookups know it, too", || {
            let (answer, _) = asked(node, &["lookup", "192.0.2.1"]);
            answer["complete"] == true && answer["withheld"][0]["records"] == 2
        });
        let (answer, exit) = asked(node, &["lookup", "192.0.2.1"]);
        assert_eq!(
            (&answer["complete"], exit),
            (&Value::Bool(true), 1),
            "what is withheld is no gap: {answer}"
        );
        assert_eq!(answer["withheld"], json!([{ "author": "police-bb", "records": 2 }]));
        let text = said(&node.tell(&["lookup", "192.0.2.1"]));
        assert!(text.contains("2 records of police-bb are not given to this node"), "{text}");
    }
}

#[test]
fn what_a_rule_hides_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let aa = alone(folder.path());
    let record =
        id(&aa.json(&["publish", "x@mail.example", "--tlp", "green", "--to", "own", "--personal", "yes"]));
    let (answer, exit) = asked(&aa, &["lookup", "x@mail.example"]);
    assert_eq!((&answer["known"], &answer["complete"], exit), (&Value::Null, &false.into(), 4), "{answer}");
    assert_eq!(
        (&answer["hidden"]["records"], &answer["hidden"]["rules"]),
        (&1.into(), &json!(["personal-needs-purpose"]))
    );
    let text = said(&aa.tell(&["lookup", "x@mail.example"]));
    let told = "1 record is not shown: rule `personal-needs-purpose` of the policy keeps it; state \
                --purpose network-defence";
    assert!(text.contains(told), "{text}");
    assert!(text.contains("is known to be here, not shown to you"), "{text}");
    let text = said(&aa.tell(&["query"]));
    assert!(text.contains("nothing found") && text.contains(told), "{text}");
    let refused = aa.tell(&["show", &record]);
    assert!(code(&refused) == 2 && said(&refused).contains("state --purpose network"), "{refused:?}");
    let (why, _) = asked(&aa, &["why", &record]);
    assert_eq!((&why["hidden"]["records"], &why["subject"]), (&1.into(), &Value::Null));

    // A purpose that nobody knows is a slip of the pen, whatever is asked.
    for args in [["lookup", "x@mail.example"], ["show", &record], ["why", &record], ["query", "--mine"]] {
        let refused = aa.command().args(args).args(["--purpose", "curiosity"]).output().expect("it runs");
        let text = said(&refused);
        assert!(code(&refused) == 2 && text.contains("criminal-investigation"), "{args:?}: {text}");
    }
    // Known, and not this person's: hidden still.
    let told = aa.tell(&["lookup", "x@mail.example", "--purpose", "criminal-investigation"]);
    assert_eq!(code(&told), 4);
    assert!(said(&told).contains("`criminal-investigation` is not among the `purposes`"), "{}", said(&told));

    // As the sample says: the person may state these, from the next reload on. A file that does not read changes nothing.
    set_purposes(&aa, r#"["criminal-investigation", "our-own-reasons", "Two Words"]"#);
    let refused = aa.tell(&["policy", "reload"]);
    assert!(code(&refused) == 2 && said(&refused).contains("person.purposes"), "{refused:?}");
    assert_eq!(code(&aa.tell(&["lookup", "x@mail.example", "--purpose", "network-defence"])), 0);
    set_purposes(&aa, r#"["criminal-investigation", "our-own-reasons"]"#);
    aa.json(&["policy", "reload"]);
    assert!(said(&aa.tell(&["config"])).contains("our-own-reasons"));
    let text = said(&aa.tell(&["lookup", "x@mail.example"]));
    assert!(text.contains("state --purpose criminal-investigation"), "{text}");
    let purpose = ["--purpose", "criminal-investigation", "--ref", "case 7/ä&b"];
    let ask = |args: &[&str]| {
        let output = aa.command().args(args).args(purpose).output().expect("it runs");
        assert_eq!(code(&output), 0, "{args:?}: {}", said(&output));
        said(&output)
    };
    assert!(ask(&["lookup", "x@mail.example"]).contains("is known"));
    assert!(ask(&["show", &record]).contains("x@mail.example"));
    assert!(!ask(&["query"]).contains("not shown"));
    assert!(!ask(&["why", &record]).contains("not shown"));
    assert_eq!(code(&aa.tell(&["lookup", "x@mail.example", "--purpose", "our-own-reasons"])), 0);
    let log = aa.log();
    assert!(
        log.contains("case 7/ä&b") && log.contains("verb=\"show\"") && log.contains("verb=\"why\""),
        "{log}"
    );
}

/// Writes what the person may state into the configuration.
fn set_purposes(node: &Node, list: &str) {
    let config = node.home.join("config.toml");
    let text = fs::read_to_string(&config).expect("a configuration");
    let line = text.lines().find(|line| line.starts_with("purposes = ")).expect("the line");
    fs::write(&config, text.replace(line, &format!("purposes = {list}"))).expect("written");
}

#[test]
fn what_is_for_a_purpose_is_shown_for_that() {
    let folder = tempfile::tempdir().expect("a folder");
    let aa = alone(folder.path());
    let publish = ["publish", "192.0.2.30", "--tlp", "green", "--to", "own", "--retention", "90d"];
    let purposes = ["--for-purpose", "incident-response", "--for-purpose", "prosecution"];
    let basis = ["--legal-basis", "Article 6(1)(e)"];
    let record = id(&aa.json(&[&publish[..], &purposes, &basis].concat()));
    for (stated, exit) in [
        (None, 4),
        (Some("network-defence"), 4),
        (Some("incident-response"), 0),
        // One of the record's, which this person may not state.
        (Some("prosecution"), 4),
    ] {
        let mut args = vec!["lookup", "192.0.2.30"];
        args.extend(stated.iter().flat_map(|stated| ["--purpose", stated]));
        let (answer, code) = asked(&aa, &args);
        assert_eq!(code, exit, "{stated:?}: {answer}");
        let hit = &answer["hits"][0];
        if exit == 0 {
            assert_eq!(hit["purposes"], json!(["incident-response", "prosecution"]));
            assert_eq!(hit["legal_basis"], "Article 6(1)(e)");
            assert!(hit["retain_until"].is_string(), "{answer}");
        } else {
            assert_eq!((&answer["known"], hit), (&Value::Null, &Value::Null));
            assert_eq!(answer["hidden"]["rules"], json!(["guardrail:purpose"]));
        }
    }
    let refused = aa.tell(&["show", &record]);
    let text = said(&refused);
    assert!(code(&refused) == 2 && text.contains("state --purpose incident-response"), "{text}");
    let text = said(&aa.tell(&["lookup", "192.0.2.30", "--purpose", "incident-response"]));
    assert!(text.contains("for       incident-response, prosecution"), "{text}");
    assert!(text.contains("basis     Article 6(1)(e)") && text.contains("keep      until "), "{text}");

    // No policy lifts that.
    let policy = aa.read_policy();
    aa.write_policy(&(policy + "\n@id(\"all\") permit (principal, action, resource);\n"));
    aa.json(&["policy", "reload"]);
    assert_eq!(code(&aa.tell(&["lookup", "192.0.2.30"])), 4);
}

#[test]
fn an_address_of_a_person_does_not_hide_what_stands_beside_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let aa = alone(folder.path());
    aa.json(&["publish", "x@mail.example", "192.0.2.20", "--tlp", "green", "--to", "own"]);
    let event = r#"{"Event":{"uuid":"00000000-0000-4000-8000-0000000000ff","info":"e","date":"2026-01-01","timestamp":"1767225600",
        "distribution":"0","Attribute":[
        {"uuid":"00000000-0000-4000-8000-000000000001","type":"ip-dst","value":"192.0.2.21","to_ids":true},
        {"uuid":"00000000-0000-4000-8000-000000000002","type":"passport-number","value":"X0000000","to_ids":false},
        {"uuid":"00000000-0000-4000-8000-000000000003","type":"email-src","value":"y@mail.example","to_ids":true}]}}"#;
    let path = folder.path().join("e.json");
    fs::write(&path, event).expect("written");
    aa.json(&["import", path.to_str().expect("UTF-8")]);
    // One that keeps something about a person, and has no value that is.
    let kept = event.replace("0000000000ff", "0000000000fe").replace("192.0.2.21", "192.0.2.24");
    let kept = kept.replace("email-src", "text").replace("00000000000", "00000000001");
    fs::write(&path, kept).expect("written");
    aa.json(&["import", path.to_str().expect("UTF-8")]);
    // What somebody called personal as a whole is so as a whole.
    aa.json(&["publish", "192.0.2.22", "--tlp", "green", "--to", "own", "--personal", "yes"]);
    for (value, known, exit) in [
        ("192.0.2.20", Value::from(true), 0),
        ("192.0.2.21", Value::from(true), 0),
        ("192.0.2.24", Value::from(true), 0),
        ("192.0.2.22", Value::Null, 4),
        ("x@mail.example", Value::Null, 4),
        ("y@mail.example", Value::Null, 4),
        ("192.0.2.23", Value::from(false), 1),
    ] {
        let (answer, code) = asked(&aa, &["lookup", value]);
        assert_eq!((&answer["known"], code), (&known, exit), "{value}: {answer}");
        assert_eq!(answer["hidden"]["records"], u64::from(known.is_null()), "{value}: {answer}");
    }
}

#[test]
fn held_and_over_are_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = Node::mesh(folder.path(), &["cert-aa", "police-bb"]);
    let (aa, bb) = (&nodes[0], &nodes[1]);
    // The preset holds what its own author hardly believes.
    bb.json(&["publish", "192.0.2.8", "--tlp", "green", "--to", "mesh", "--confidence", "5"]);
    until("it is held", || asked(aa, &["lookup", "192.0.2.8"]).0["held"] == 1);
    until("the node is complete", || asked(aa, &["lookup", "192.0.2.8"]).0["complete"] == true);
    let (answer, exit) = asked(aa, &["lookup", "192.0.2.8"]);
    assert_eq!((&answer["known"], &answer["complete"], exit), (&false.into(), &true.into(), 1), "{answer}");
    let text = said(&aa.tell(&["lookup", "192.0.2.8"]));
    assert!(text.contains("1 held record also matches: --include held"), "{text}");
    let (answer, exit) = asked(aa, &["lookup", "192.0.2.8", "--include", "held"]);
    assert_eq!((&answer["held"], exit), (&0.into(), 0), "it is among the hits: {answer}");

    // Beside what is accepted the held ones are counted, whether they are reports of their own or later versions.
    let to_mesh = ["--tlp", "green", "--to", "mesh"];
    let publish = |more: &[&str]| bb.json(&[&["publish", "192.0.2.8"], &to_mesh[..], more].concat());
    let accepted =
        publish(&["--confidence", "60"])["records"][0]["record"].as_str().expect("an id").to_owned();
    let counts = |value: &str| {
        let answer = asked(aa, &["lookup", value]).0;
        (answer["hits"].as_array().map_or(0, Vec::len), answer["held"].as_u64())
    };
    until("it is accepted", || counts("192.0.2.8") == (1, Some(1)));
    publish(&["--confidence", "5", "--replaces", &accepted]);
    until("its next version is held", || counts("192.0.2.8") == (1, Some(2)));

    bb.json(&["publish", "192.0.2.9", "--tlp", "green", "--to", "mesh", "--valid-for", "1s"]);
    until("its time is over", || asked(aa, &["lookup", "192.0.2.9"]).0["over"] == 1);
    let (answer, exit) = asked(aa, &["lookup", "192.0.2.9"]);
    assert_eq!((&answer["known"], &answer["hits"], exit), (&false.into(), &json!([]), 1), "{answer}");
    let text = said(&aa.tell(&["lookup", "192.0.2.9"]));
    assert!(
        text.contains("is not known") && text.contains("1 report says something that is over by now"),
        "{text}"
    );
    let (answer, exit) = asked(aa, &["lookup", "192.0.2.9", "--include", "expired", "--include", "held"]);
    assert_eq!(
        (&answer["known"], &answer["hits"][0]["expired"], exit),
        (&true.into(), &true.into(), 0),
        "{answer}"
    );
    let text = said(&aa.tell(&["lookup", "192.0.2.9", "--include", "expired"]));
    assert!(text.contains("Z (over)"), "{text}");
    bb.json(&["publish", "192.0.2.10", "--tlp", "green", "--to", "mesh", "--valid-for", "1d"]);
    until("the next came", || aa.knows("192.0.2.10"));
    assert_eq!(asked(aa, &["lookup", "192.0.2.10"]).0["hits"][0]["expired"], false);

    // A network is no list of what is inside it, and the answer says so.
    let (answer, exit) = asked(aa, &["lookup", "192.0.2.0/24"]);
    assert_eq!((&answer["known"], exit), (&false.into(), 1));
    assert!(
        answer["note"].as_str().is_some_and(|note| note.contains("inside it are not searched")),
        "{answer}"
    );
    assert!(said(&aa.tell(&["lookup", "192.0.2.0/24"])).contains("inside it are not searched"));
    for (wrong, why) in [("1.1.1.1/99", "prefix"), ("2001:db8::/129", "prefix"), ("300.1.1.1", "0 to 255")] {
        let refused = aa.tell(&["lookup", wrong]);
        assert!(code(&refused) == 2 && said(&refused).contains(why), "{wrong}: {}", said(&refused));
    }
}

#[test]
fn lines_of_standard_input_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let aa = alone(folder.path());
    aa.json(&["publish", "192.0.2.9", "--tlp", "green", "--to", "own"]);
    let ask = |json: &[&str], input: &[u8]| {
        let mut command = aa.command();
        let mut asking = command
            .args(json)
            .args(["lookup", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program runs");
        asking.stdin.take().expect("a pipe").write_all(input).expect("written");
        asking.wait_with_output().expect("it ends")
    };
    let mut input = b"198.51.100.1\n\nno value\n".to_vec();
    input.extend([b'x'; 20_000]);
    input.extend(b"\n\xff\xfe\n192.0.2.9");
    let output = ask(&[], &input);
    let text = said(&output);
    assert_eq!(code(&output), 0);
    for line in ["line 3: `no value`", "line 4: xxx", "line 5: "] {
        assert!(text.contains(line), "`{line}` is not in {text}");
    }
    assert!(text.contains("192.0.2.9 (ipv4) is known"), "{text}");
    let lines: Vec<Value> = said(&ask(&["--json"], &input))
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let numbers: Vec<&Value> = lines.iter().map(|line| &line["line"]).collect();
    assert_eq!(numbers, [1, 3, 4, 5, 6]);
    assert_eq!(code(&ask(&[], b"198.51.100.1\nno value\n")), 1, "one could be answered");
    assert_eq!(code(&ask(&[], b"no value\nnor this one\n")), 2);
}

#[test]
fn acknowledged_is_not_held() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::mesh(folder.path(), &["cert-aa", "police-bb", "bank-cc"]);
    nodes[2].kill();
    let aa = &nodes[0];
    aa.write_policy(
        &(aa.read_policy()
            + "\n@id(\"not-to-police\") forbid (principal, action == Action::\"forward\", resource)\n\
               when { principal.name == \"police-bb\" };\n"),
    );
    aa.json(&["policy", "reload"]);
    let record = id(&aa.json(&["publish", "192.0.2.1", "--tlp", "green", "--to", "mesh"]));
    let of = |org: &str| {
        let (shown, _) = asked(aa, &["show", &record]);
        let all = shown["acknowledged_by"].as_array().expect("a list").clone();
        all.into_iter().find(|said| said["org"] == org).expect("it is listed")
    };
    until("the police signed for the header", || of("police-bb")["time"].is_string());
    let police = of("police-bb");
    assert_eq!((&police["header_only"], &police["now"]), (&"not-to-police".into(), &"header only".into()));
    assert_eq!((&of("bank-cc")["header_only"], &of("bank-cc")["time"]), (&Value::Null, &Value::Null));
    let text = said(&aa.tell(&["show", &record]));
    assert!(text.contains("header only, by rule not-to-police") && !text.contains("held by"), "{text}");
    let bank = text.lines().find(|line| line.starts_with("bank-cc")).expect("it is listed");
    assert!(bank.contains("not yet"), "{text}");
    let text = said(&aa.tell(&["why", &record]));
    assert!(text.contains("header only") && text.contains("not yet"), "{text}");
    let status = aa.json(&["status"]);
    let rows = status["receipts"].as_array().expect("rows");
    let bank = rows.iter().find(|row| row["org"] == "bank-cc").expect("it is listed, too");
    assert_eq!((&bank["height"], &bank["of"], &bank["time"]), (&0.into(), &1.into(), &Value::Null));
    let text = said(&aa.tell(&["status"]));
    assert!(text.contains("acknowledged by") && text.contains("0 of 1"), "{text}");
}

#[test]
fn taken_back_is_said_wherever_it_is_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = Node::mesh(folder.path(), &["cert-aa", "police-bb"]);
    let (aa, bb) = (&nodes[0], &nodes[1]);
    let written =
        bb.json(&["publish", "192.0.2.1", "--tlp", "green", "--to", "mesh", "--title", "soon gone"]);
    let (record, subject) =
        (id(&written), written["records"][0]["subject"].as_str().expect("a subject").to_owned());
    bb.json(&["publish", "192.0.2.2", "--tlp", "green", "--to", "mesh", "--title", "it stays"]);
    until("both came", || aa.knows("192.0.2.1") && aa.knows("192.0.2.2"));
    bb.json(&["retract", &record, "--reason", "false-positive"]);
    until("it is taken back", || !aa.knows("192.0.2.1"));
    for node in [aa, bb] {
        for word in [&record, &subject] {
            for verb in ["show", "why"] {
                let text = said(&node.tell(&[verb, word]));
                let told = text.contains("taken back by police-bb at 20")
                    && text.contains("Z, reason false-positive");
                assert!(told, "{verb} {word}: {text}");
                let (answer, _) = asked(node, &[verb, word]);
                assert_eq!(answer["taken_back"]["reason"], "false-positive", "{answer}");
                assert_eq!(answer["record"], record.as_str());
            }
        }
        // Lists show the digits by which a record is found.
        let digits = &record[..16];
        let listed = said(&node.tell(&["query"]));
        assert!(listed.contains("it stays") && !listed.contains(digits), "{listed}");
        for flags in [&["--all-versions"][..], &["--verdict", "any"]] {
            let listed = said(&node.command().arg("query").args(flags).output().expect("it runs"));
            let row = listed.lines().find(|line| line.contains(digits)).expect("it is listed");
            assert!(row.contains("(taken back)"), "{row}");
        }
    }
    for args in [
        &["retract", &record, "--reason", "wrong"][..],
        &["share", &record, "--to", "own"],
        &["publish", "192.0.2.3", "--tlp", "green", "--to", "mesh", "--replaces", &subject],
    ] {
        let refused = bb.tell(args);
        let text = said(&refused);
        assert!(
            code(&refused) == 2 && text.contains("taken back") && text.contains("for ever"),
            "{args:?}: {text}"
        );
    }
}

#[test]
fn lists_are_newest_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = Node::mesh(folder.path(), &["cert-aa", "police-bb"]);
    let (aa, bb) = (&nodes[0], &nodes[1]);
    bb.json(&[
        "publish",
        "192.0.2.1",
        "--tlp",
        "green",
        "--to",
        "mesh",
        "--confidence",
        "5",
        "--title",
        "first",
    ]);
    until("it is held", || aa.json(&["status"])["store"]["held"] == 1);
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    aa.json(&["publish", "192.0.2.2", "--tlp", "green", "--to", "mesh", "--title", "second"]);
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    bb.json(&["publish", "192.0.2.3", "--tlp", "green", "--to", "mesh", "--title", "third"]);
    until("the third came", || aa.knows("192.0.2.3"));
    // What is judged anew does not become newer by that.
    aa.write_policy(&aa.read_policy().replace("resource.confidence_max < 15", "resource.confidence_max < 1"));
    aa.json(&["policy", "reload"]);
    until("the first is accepted", || aa.knows("192.0.2.1"));
    let output = aa.command().args(["--json", "query"]).output().expect("it runs");
    let titles: Vec<Value> = said(&output)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["title"].clone())
        .collect();
    assert_eq!(titles, ["third", "second", "first"]);
    let output = aa.command().args(["--json", "query", "--limit", "1"]).output().expect("it runs");
    assert!(said(&output).contains("third"), "{output:?}");
}

#[test]
fn of_very_many_hits_some_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = alone(folder.path());
    let events = folder.path().join("events");
    std::fs::create_dir(&events).expect("a folder");
    for n in 0..1_100 {
        let uuid = |of: u32| format!("00000000-0000-4000-8{of:03}-{n:012}");
        let attribute =
            json!({ "uuid": uuid(1), "type": "ip-dst", "value": "192.0.2.77", "timestamp": "1767225600" });
        let event = json!({ "Event": {
            "uuid": uuid(0), "info": format!("event {n}"), "timestamp": "1767225600", "Attribute": [attribute],
        } });
        std::fs::write(events.join(format!("{n}.json")), event.to_string()).expect("an event");
    }
    node.json(&["import", &events.display().to_string(), "--tlp", "clear"]);
    let (answer, exit) = asked(&node, &["lookup", "192.0.2.77"]);
    assert_eq!((answer["hits"].as_array().expect("hits").len(), exit), (1_000, 0));
    assert_eq!(answer["complete"], false);
    let text = said(&node.tell(&["lookup", "192.0.2.77"]));
    assert!(text.contains("more records list it than are looked at"), "{text}");
    // A list says, too, that it is not all.
    assert!(said(&node.tell(&["query"])).contains("there may be more than these 100"));
    assert!(said(&node.tell(&["query", "--limit", "1"])).contains("there may be more than this one"));
    assert_eq!(code(&node.tell(&["watch", "--count", "0"])), 2);
    let (last, _) = asked(&node, &["query", "--limit", "1099"]);
    assert_eq!(last["more"], true);
    let (last, _) = asked(&node, &["query", "--limit", "1100"]);
    assert_eq!(last["kind"], "report", "{last}");
}

#[test]
fn what_everybody_has_and_what_is_own_is_told_to_the_reader() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::mesh(folder.path(), &["cert-aa", "police-bb"]);
    let bb = nodes.pop().expect("two");
    let mut aa = nodes.pop().expect("two");
    aa.kill();
    let config = aa.home.join("config.toml");
    let text = fs::read_to_string(&config).expect("a configuration");
    let own = text.replace(
        "\nnames = []\nnetworks = []\n",
        "\nnames = [\"ministry.example\"]\nnetworks = [\"203.0.113.0/24\"]\n",
    );
    assert_ne!(own, text);
    fs::write(&config, own).expect("written");
    aa.run();
    let values =
        ["8.8.8.8", "www.google.com", "192.168.1.1", "mail.ministry.example", "203.0.113.9", "192.0.2.1"];
    let publish = [
        &["publish", "--tlp", "green", "--to", "mesh", "--kind", "malware", "--confidence", "90"],
        &values[..],
    ];
    let told = said(&bb.tell(&publish.concat()));
    assert!(told.contains("8.8.8.8") && !told.contains("203.0.113.9"), "{told}");
    until("they came", || aa.knows("192.0.2.1"));
    for (node, value, why) in [
        (&aa, "8.8.8.8", "open resolver"),
        (&bb, "8.8.8.8", "open resolver"),
        (&aa, "www.google.com", "nearly every network"),
        (&aa, "192.168.1.1", "private address"),
        (&aa, "mail.ministry.example", "your org's own"),
        (&aa, "203.0.113.9", "your org's own"),
        (&bb, "203.0.113.9", ""),
        (&aa, "192.0.2.1", ""),
    ] {
        let (answer, exit) = asked(node, &["lookup", value]);
        assert_eq!((&answer["known"], exit), (&true.into(), 0), "{answer}");
        let text = said(&node.tell(&["lookup", value]));
        if why.is_empty() {
            assert_eq!(answer.get("commonplace"), None, "{answer}");
            assert!(text.contains("how sure  90 of 100\n"), "{text}");
        } else {
            assert!(answer["commonplace"].as_str().is_some_and(|told| told.contains(why)), "{answer}");
            assert!(text.contains("a hit on it says little") && text.contains("nobody can be"), "{text}");
        }
    }
}

#[test]
fn a_new_version_keeps_what_is_not_said_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let aa = alone(folder.path());
    let said_first =
        ["--title", "the first", "--description", "seen at night", "--label", "night", "--kind", "phishing"];
    let sure = ["--confidence", "70", "--valid-for", "30d", "--tlp", "green", "--to", "own"];
    let old = id(&aa.json(&[&["publish", "192.0.2.1", "192.0.2.2"], &said_first[..], &sure].concat()));
    let new = id(&aa.json(&[
        "publish",
        "192.0.2.1",
        "192.0.2.3",
        "--to",
        "own",
        "--replaces",
        &old,
        "--confidence",
        "20",
    ]));
    let shown = aa.json(&["show", &new]);
    assert_eq!((&shown["title"], &shown["description"]), (&"the first".into(), &"seen at night".into()));
    assert_eq!((&shown["labels"], &shown["marking"]["tlp"]), (&json!(["night"]), &"TLP:GREEN".into()));
    let of = |value: &str| {
        let found = shown["indicators"].as_array().expect("a list").iter().find(|one| one["value"] == value);
        found.unwrap_or_else(|| panic!("{value} is not in {shown}")).clone()
    };
    let (kept, added) = (of("192.0.2.1"), of("192.0.2.3"));
    assert_eq!((&kept["indicates"], &kept["confidence"]), (&"phishing".into(), &20.into()));
    assert!(kept["until"].is_string() && added["until"].is_null(), "{shown}");
    assert_eq!(added["indicates"], "unknown");
}
