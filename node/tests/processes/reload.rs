//! A policy that changes while records come in: by SIGHUP, and by the verb.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Node, until};

/// The rule that refuses everything of one partner.
fn refuse(org: &str) -> String {
    format!(
        "\n@id(\"not-{org}\") forbid (principal, action in [Action::\"accept\", Action::\"hold\"], resource) when {{ principal.name == \"{org}\" }};\n"
    )
}

fn count(node: &Node, verdict: &str) -> u64 {
    node.json(&["status"])["store"][verdict].as_u64().expect("a count")
}

#[test]
fn a_policy_reloaded_by_signal_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = Node::mesh(folder.path(), &["cert-aa", "police-bb"]);
    let (aa, bb) = (&nodes[0], &nodes[1]);
    let open = aa.read_policy();
    let closed = open.clone() + &refuse("police-bb");

    // One partner publishes without a pause while the other's policy changes eight times.
    let done = AtomicBool::new(false);
    let written: Vec<String> = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut written = Vec::new();
            while !done.load(Ordering::Relaxed) {
                let value = format!("10.0.{}.{}", written.len() / 250, written.len() % 250 + 1);
                bb.json(&["publish", &value, "--tlp", "green", "--to", "mesh"]);
                written.push(value);
            }
            written
        });
        for turn in 0..8 {
            aa.write_policy(if turn % 2 == 0 { &closed } else { &open });
            aa.signal("HUP");
            std::thread::sleep(Duration::from_millis(400));
        }
        // The last word is that nothing of it is taken; some of what is written now comes under it.
        aa.write_policy(&closed);
        aa.signal("HUP");
        until("the forbid is in force", || count(aa, "refused") > 0);
        std::thread::sleep(Duration::from_millis(400));
        done.store(true, Ordering::Relaxed);
        writer.join().expect("every publication was acknowledged")
    });
    let all = written.len() as u64;
    assert!(all > 20, "only {all} were written");
    until("every record came, and was judged again", || count(aa, "refused") == all);
    assert_eq!(count(aa, "accepted"), 0);
    assert!(!aa.knows(&written[0]));

    // Without the forbid, what was refused is asked for again, and answers.
    aa.write_policy(&open);
    aa.signal("HUP");
    until("all refused records were judged again", || count(aa, "accepted") == all);
    for value in &written {
        assert!(aa.knows(value), "{value} is lost");
    }
    assert_eq!(aa.json(&["status"])["missing"], 0);
    let reloads = aa.log().matches("policy and person were loaded anew").count();
    assert_eq!(reloads, 10, "every signal is told of");
}

#[test]
fn a_broken_policy_leaves_the_old_one_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = Node::mesh(folder.path(), &["cert-aa", "police-bb"]);
    let (aa, bb) = (&nodes[0], &nodes[1]);
    let open = aa.read_policy();
    let policy_of = |status: Value| status["policy"].clone();
    let before = policy_of(aa.json(&["status"]));
    assert_eq!(before["fault"], Value::Null);

    aa.write_policy(&(open.clone() + "permit ("));
    aa.signal("HUP");
    until("the status names the fault", || {
        policy_of(aa.json(&["status"]))["fault"].as_str().is_some_and(|fault| fault.contains("policy.cedar"))
    });
    let status = aa.json(&["status"]);
    assert_eq!(status["policy"]["rules"], before["rules"], "the old one stays in force");
    assert_eq!(status["policy"]["loaded"], before["loaded"]);
    let alarms = status["alarms"].to_string();
    assert!(alarms.contains("policy reload"), "{alarms}");
    let text = String::from_utf8(aa.tell(&["status"]).stdout).expect("UTF-8");
    assert!(text.contains("alarm:") && text.contains("policy.cedar"), "{text}");
    assert!(aa.log().contains("the old one stays in force"), "{}", aa.log());
    bb.json(&["publish", "192.0.2.1", "--tlp", "green", "--to", "mesh"]);
    until("records are still judged by the old one", || aa.knows("192.0.2.1"));

    // The verb says the same, and where.
    let refused = aa.tell(&["policy", "reload"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("policy.cedar") && said.contains("line"), "{said}");

    // Mended, it takes force, and the alarm is over.
    aa.write_policy(&(open + &refuse("police-bb")));
    let answer = aa.json(&["policy", "reload"]);
    assert_eq!(answer["in_force"], true);
    assert_eq!(
        answer["rules"].as_array().map(|rules| rules.len() as u64),
        before["rules"].as_u64().map(|n| n + 1)
    );
    let status = aa.json(&["status"]);
    assert_eq!(status["policy"]["fault"], Value::Null);
    assert_eq!(status["alarms"], serde_json::json!([]));
    until("the record is refused now", || !aa.knows("192.0.2.1"));
}

#[test]
fn what_a_policy_would_change_is_told_before_and_after() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = Node::mesh(folder.path(), &["cert-aa", "police-bb", "border-cc"]);
    let (aa, bb) = (&nodes[0], &nodes[1]);
    for value in ["192.0.2.1", "192.0.2.2"] {
        bb.json(&["publish", value, "--tlp", "green", "--to", "mesh"]);
    }
    aa.json(&["publish", "192.0.2.3", "--tlp", "green", "--to", "mesh"]);
    aa.json(&["publish", "192.0.2.4", "--tlp", "green", "--to", "own"]);
    until("both came", || aa.knows("192.0.2.1") && aa.knows("192.0.2.2"));

    let file = folder.path().join("new.cedar");
    let path = file.to_str().expect("UTF-8");
    let closed = aa.read_policy()
        + &refuse("police-bb")
        + "@id(\"not-cc\") forbid (principal, action == Action::\"forward\", resource) when { principal.name == \"border-cc\" };\n\
           @id(\"no-secrets\") forbid (principal, action == Action::\"query\", resource) when { resource.circle_kind == CircleKind::\"own\" };\n";
    std::fs::write(&file, &closed).expect("written");
    let before = aa.json(&["status"])["policy"].clone();
    let diff = aa.json(&["policy", "diff", "--file", path]);
    let told = |diff: &Value| -> Vec<(String, String, String, String, u64)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let changes = diff["changes"].as_array().expect("a list").iter();
        let told = changes.map(|one| {
            let what = one["org"].as_str().map_or_else(|| text(&one["what"]), |org| format!("to {org}"));
            (
                what,
                text(&one["was"]),
                text(&one["is"]),
                text(&one["rule"]),
                one["records"].as_u64().expect("a count"),
            )
        });
        told.collect()
    };
    let expected = [
        ("to border-cc", "sent", "not sent", "not-cc", 3),
        ("show", "shown", "hidden", "no-secrets", 1),
        ("verdict", "accept", "refuse", "not-police-bb", 2),
    ];
    let expected =
        expected.map(|(a, b, c, d, n)| (a.to_owned(), b.to_owned(), c.to_owned(), d.to_owned(), n));
    let mut found = told(&diff);
    found.sort_by_key(|change| ["to", "sh", "ve"].iter().position(|start| change.0.starts_with(start)));
    assert_eq!(found, expected, "{diff}");
    assert_eq!(
        (&diff["more"], &aa.json(&["status"])["policy"]),
        (&false.into(), &before),
        "nothing took force"
    );
    let text = String::from_utf8(aa.tell(&["policy", "diff", "--file", path]).stdout).expect("UTF-8");
    assert!(text.contains("to border-cc") && text.contains("no-secrets"), "{text}");

    // The same of the file in the home, dry and for good; then nothing is left to change.
    aa.write_policy(&closed);
    let dry = aa.json(&["policy", "reload", "--dry-run"]);
    assert_eq!((dry["in_force"].as_bool(), &dry["diff"]["changes"]), (Some(false), &diff["changes"]));
    assert!(aa.knows("192.0.2.1"));
    let done = aa.json(&["policy", "reload"]);
    assert_eq!((done["in_force"].as_bool(), &done["diff"]["changes"]), (Some(true), &diff["changes"]));
    until("it is judged so", || !aa.knows("192.0.2.1"));
    let text = String::from_utf8(aa.tell(&["policy", "diff"]).stdout).expect("UTF-8");
    assert!(text.contains("nothing changes of "), "{text}");
    let broken = folder.path().join("broken.cedar");
    std::fs::write(&broken, "permit (").expect("written");
    let refused = aa.tell(&["policy", "diff", "--file", broken.to_str().expect("UTF-8")]);
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(aa.json(&["status"])["policy"]["fault"], Value::Null, "what was only tried is no fault");
}

#[test]
fn what_is_held_waits_for_a_person() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::mesh(folder.path(), &["cert-aa", "police-bb"]);
    let bb = nodes.pop().expect("two");
    let mut aa = nodes.pop().expect("two");
    let hold =
        aa.read_policy() + "@id(\"all-wait\") permit (principal, action == Action::\"hold\", resource);\n";
    aa.write_policy(&hold);
    aa.json(&["policy", "reload"]);
    let publish = |value: &str| {
        let new = bb.json(&["publish", value, "--tlp", "green", "--to", "mesh", "--title", value]);
        new["records"][0]["record"].as_str().expect("an id").to_owned()
    };
    let (good, bad) = (publish("192.0.2.1"), publish("192.0.2.2"));
    until("both are held", || count(&aa, "held") == 2);
    let said = |args: &[&str]| {
        let output = aa.tell(args);
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    };
    let (code, text) = said(&["hold", "accept", &good[..12], "--ref", "case-77"]);
    assert_eq!((code, text.starts_with("accepted: 192.0.2.1 of police-bb")), (Some(0), true), "{text}");
    let refused = aa.json(&["hold", "refuse", &bad]);
    assert_eq!(
        (&refused[0]["verdict"], &refused[0]["rule"]),
        (&"refuse".into(), &"by-hand".into()),
        "{refused}"
    );
    assert!(aa.knows("192.0.2.1") && !aa.knows("192.0.2.2"));
    let log = aa.log();
    assert!(log.contains("hold accept") && log.contains("case-77") && log.contains("hold refuse"), "{log}");
    let (code, text) = said(&["hold", "accept", &bad]);
    assert_eq!(code, Some(2));
    assert!(text.contains("was left as it is") && text.contains("hold undo"), "{text}");
    // No policy changes it, nor says that it would.
    aa.write_policy(&(hold + &refuse("police-bb")));
    let done = aa.json(&["policy", "reload"]);
    assert_eq!(done["diff"]["changes"], serde_json::json!([]));
    aa.kill();
    aa.run();
    assert!(aa.knows("192.0.2.1"));
    assert!(String::from_utf8_lossy(&aa.tell(&["why", &good]).stdout).contains("by-hand"));
}
