//! RED: to the members of a circle in which only its author hands it on, and shown to nobody who does not ask for it with a purpose.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::circles::{members, part};
use crate::harness::{Node, until};

const ASKED: [&str; 4] = ["--include", "red", "--purpose", "network-defence"];

fn text(node: &Node, args: &[&str]) -> (Option<i32>, String) {
    let output = node.tell(args);
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), text)
}

/// What a verb prints last as JSON, whatever its exit code, and that.
fn last(node: &Node, args: &[&str], more: &[&str]) -> (Option<i32>, Value) {
    let output = node.tell(&[&["--json"], args, more].concat());
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let line = text.lines().last().unwrap_or("null");
    (output.status.code(), serde_json::from_str(line).expect("JSON"))
}

#[test]
fn red_goes_to_the_members_alone_and_is_shown_to_who_asks_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = Node::mesh(folder.path(), &["cert-aa", "police-bb", "bank-cc"]);
    for node in &nodes {
        let config = node.home.join("config.toml");
        let text = std::fs::read_to_string(&config).expect("a configuration");
        let begin = text.find("\npurposes = ").expect("purposes") + 1;
        let end = begin + text[begin..].find('\n').expect("a line");
        let purposes = "purposes = [\"network-defence\"]";
        std::fs::write(&config, [&text[..begin], purposes, &text[end..]].concat()).expect("written");
        node.json(&["policy", "reload"]);
    }
    nodes[0].json(&["circle", "create", "eyes", "--members", "police-bb", "--carry", "author"]);
    nodes[0].json(&["circle", "create", "ops", "--members", "police-bb"]);
    for circle in ["eyes", "ops"] {
        until("the police are invited", || part(&nodes[1], circle).as_deref() == Some("invited"));
        nodes[1].json(&["circle", "accept", circle]);
        until("they are in", || [0, 1].iter().all(|at| members(&nodes[*at], circle).len() == 2));
    }
    let red = |value: &'static str, to: &'static str| {
        ["publish", value, "--tlp", "red", "--title", "for few eyes", "--to", to]
    };
    for to in ["ops", "mesh"] {
        let (code, said) = text(&nodes[0], &red("192.0.2.1", to));
        assert!(code == Some(2) && said.contains("TLP:RED") && said.contains("--carry author"), "{said}");
    }

    let mut watch = nodes[1].command();
    let mut watch = watch.args(["--json", "watch"]).stdout(Stdio::piped()).spawn().expect("it runs");
    let mut watched = BufReader::new(watch.stdout.take().expect("a pipe")).lines();
    std::thread::sleep(std::time::Duration::from_millis(500));
    let new = nodes[0].json(&red("192.0.2.1", "eyes"));
    let id = new["records"][0]["record"].as_str().expect("an id").to_owned();
    until("the police have it", || last(&nodes[1], &["lookup", "192.0.2.1"], &[]).0 == Some(4));
    let kept =
        watched.find_map(|line| Some(line.ok()?).filter(|line| line.contains("kept"))).expect("a line");
    assert!(kept.contains("guardrail:red") && !kept.contains("few eyes"), "{kept}");
    watch.kill().expect("it runs");
    watch.wait().expect("it ends");

    for node in &nodes[..2] {
        // Known to be here, and not shown, unless RED and a purpose of this person are stated.
        for more in [&[][..], &ASKED[..2], &ASKED[2..], &["--include", "red", "--purpose", "research"]] {
            let (code, answer) = last(node, &["lookup", "192.0.2.1"], more);
            assert_eq!((code, &answer["known"]), (Some(4), &Value::Null), "{more:?}: {answer}");
            assert!(!answer.to_string().contains("few eyes"), "{answer}");
            let (code, listed) = last(node, &["query"], more);
            assert_eq!((code, &listed["hidden"]["records"]), (Some(1), &1.into()), "{more:?}: {listed}");
            let (code, said) = text(node, &[&["show", &id], more].concat());
            assert!(
                code == Some(2) && said.contains("guardrail:red") && !said.contains("few eyes"),
                "{said}"
            );
            let (_, why) = last(node, &["why", &id], more);
            assert_eq!((&why["hidden"]["records"], &why["title"]), (&1.into(), &Value::Null), "{why}");
            let file = folder.path().join("red.evidence");
            let (code, said) =
                text(node, &[&["evidence", &id, "--out", file.to_str().expect("UTF-8")], more].concat());
            assert!(code == Some(2) && said.contains("guardrail:red") && !file.exists(), "{said}");
        }
        let help = text(node, &["show", &id]).1;
        assert!(help.contains("state --include red and --purpose network-defence"), "{help}");
        let (code, answer) = last(node, &["lookup", "192.0.2.1"], &ASKED);
        assert_eq!(
            (code, &answer["known"], &answer["hits"][0]["circle"]),
            (Some(0), &true.into(), &"eyes".into())
        );
        assert_eq!(last(node, &["query"], &ASKED).1["title"], "for few eyes");
        assert_eq!(last(node, &["show", &id], &ASKED).1["tlp"], "TLP:RED");
        assert_eq!(last(node, &["why", &id], &ASKED).1["title"], "for few eyes");
        let file = folder.path().join("shown.evidence");
        let (code, said) =
            text(node, &[&["evidence", &id, "--out", file.to_str().expect("UTF-8")], &ASKED[..]].concat());
        assert_eq!((code, file.exists()), (Some(0), true), "{said}");
        std::fs::remove_file(file).expect("it is there");
    }
    let log = nodes[1].log();
    assert!(log.contains("network-defence") && !log.contains("few eyes"), "{log}");
    assert_eq!(
        last(&nodes[2], &["lookup", "192.0.2.1"], &ASKED).0,
        Some(1),
        "who is not in it knows nothing"
    );
    assert_eq!(nodes[1].tell(&["query", "--include", "green"]).status.code(), Some(2));

    // Nobody but its author re-issues it.
    let (code, said) = text(&nodes[1], &["share", &id, "--to", "ops"]);
    assert!(code == Some(2) && said.contains("passed on to nobody"), "{said}");
    let (_, who) = last(&nodes[0], &["who-would-get", &id, "--to", "ops"], &[]);
    assert!(!who.to_string().contains("\"gets\":true") && !who.to_string().contains("few eyes"), "{who}");

    // What is taken back is taken back there.
    nodes[0].json(&["retract", &id, "--reason", "wrong"]);
    until("it is gone", || last(&nodes[1], &["lookup", "192.0.2.1"], &ASKED).0 == Some(1));
}
