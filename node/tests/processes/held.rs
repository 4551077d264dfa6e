//! What the policy holds as an analyst finds it on Monday: listed, decided with a reason, taken back, told by `why` and `status`.

use serde_json::Value;

use crate::harness::{Node, until};

const HOLD: &str = "@id(\"all-wait\") permit (principal, action == Action::\"hold\", resource);\n";

/// A node that holds everything, and a partner.
fn holding(folder: &std::path::Path) -> (Node, Node) {
    let mut nodes = Node::mesh(folder, &["cert-aa", "police-bb"]);
    let (bb, aa) = (nodes.pop().expect("two"), nodes.pop().expect("two"));
    aa.write_policy(&(aa.read_policy() + HOLD));
    aa.json(&["policy", "reload"]);
    (aa, bb)
}

fn publish(node: &Node, value: &str) -> String {
    let new = node.json(&["publish", value, "--tlp", "green", "--to", "mesh", "--title", value]);
    new["records"][0]["record"].as_str().expect("an id").to_owned()
}

/// What a verb prints as JSON, a line each, and its exit code.
fn lines(node: &Node, args: &[&str]) -> (Option<i32>, Vec<Value>) {
    let output = node.tell(&[&["--json"], args].concat());
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    (output.status.code(), text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

fn text(node: &Node, args: &[&str]) -> String {
    let output = node.tell(args);
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn an_analyst_decides_with_a_reason_and_thinks_better_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut aa, mut bb) = holding(folder.path());
    assert_eq!(lines(&aa, &["hold", "list"]), (Some(1), vec![]));
    assert!(text(&aa, &["hold", "list"]).contains("nothing waits for a person"));
    let ids: Vec<String> = (1..=5).map(|n| publish(&bb, &format!("192.0.2.{n}"))).collect();
    until("all are held", || aa.json(&["status"])["store"]["held"] == 5);

    // What came first comes first; the cursor goes on.
    let status = aa.json(&["status"]);
    assert_eq!(
        (&status["waiting"][0]["rule"], &status["waiting"][0]["records"]),
        (&"all-wait".into(), &5.into())
    );
    assert!(text(&aa, &["status"]).contains("waits for a person: 5 by all-wait (`tocsin hold list`)"));
    let (code, first) = lines(&aa, &["hold", "list", "--limit", "3"]);
    assert_eq!((code, first.len()), (Some(0), 4), "{first:?}");
    let rest = &first[3];
    assert_eq!((&rest["more"], &rest["guardrails"]), (&true.into(), &serde_json::json!([])), "{rest}");
    let cursor = rest["next"].as_str().expect("a cursor");
    let (_, second) = lines(&aa, &["hold", "list", "--cursor", cursor]);
    let listed: Vec<&str> =
        first[..3].iter().chain(&second).map(|one| one["record"].as_str().expect("an id")).collect();
    assert_eq!(listed, ids);
    let one = &first[0];
    assert_eq!(
        (&one["author"], &one["circle"], &one["rule"]),
        (&"police-bb".into(), &"mesh".into(), &"all-wait".into())
    );
    assert_eq!((&one["decidable"], &one["by_default"]), (&true.into(), &Value::Null));
    assert_eq!(one["held_since"], one["received"]);
    let wrong = aa.tell(&["hold", "list", "--cursor", "7"]);
    assert!(wrong.status.code() == Some(2) && String::from_utf8_lossy(&wrong.stderr).contains("cursor"));
    let table = text(&aa, &["hold", "list"]);
    assert!(table.contains("all-wait") && table.contains("waits") && table.contains("192.0.2.5"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");

    // The reason is kept, over a restart, and told; nothing of it stands in the log or in clear on the disk.
    let reason = "Seen at the harbour office";
    aa.json(&["hold", "accept", &ids[0], "--reason", reason]);
    aa.json(&["hold", "refuse", &ids[1], "--reason", reason]);
    aa.kill();
    aa.run();
    for (id, decision) in [(&ids[0], "accept"), (&ids[1], "refuse")] {
        let why = aa.json(&["why", id]);
        let decided = &why["decided"];
        assert_eq!((&decided["decision"], &decided["reason"]), (&decision.into(), &reason.into()), "{why}");
        assert_eq!((&decided["by"], &decided["held_by"]), (&"operator".into(), &"all-wait".into()));
        assert_eq!(decided["after_days"], Value::Null);
        let told = text(&aa, &["why", id]);
        assert!(told.contains("by operator at ") && told.contains(reason), "{told}");
    }
    assert!(!aa.log().contains(reason));
    for file in std::fs::read_dir(aa.home.join("store")).expect("a store").flatten() {
        let bytes = std::fs::read(file.path()).unwrap_or_default();
        assert!(!bytes.windows(reason.len()).any(|part| part == reason.as_bytes()), "{:?}", file.path());
    }
    let long = "x".repeat(5_000);
    let refused = aa.tell(&["hold", "accept", &ids[2], "--reason", &long]);
    assert!(refused.status.code() == Some(2) && String::from_utf8_lossy(&refused.stderr).contains("4096"));

    // Taken back, both wait again: the refused body comes from its author.
    until("they are linked", || aa.json(&["status"])["peers"][0]["connected"] == true);
    let back = aa.json(&["hold", "undo", &ids[0], &ids[1]]);
    for one in back.as_array().expect("two") {
        assert_eq!(
            (&one["verdict"], &one["body"], &one["rule"]),
            (&"hold".into(), &"here".into(), &"all-wait".into())
        );
    }
    assert_eq!(aa.json(&["why", &ids[0]])["decided"], Value::Null);
    assert!(!aa.knows("192.0.2.1"));
    assert!(aa.log().contains("hold undo"));
    let twice = aa.tell(&["hold", "undo", &ids[0]]);
    assert_eq!(twice.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&twice.stderr).contains("nobody here decided about it"));

    // Nobody is there who would give it: that is said.
    aa.json(&["hold", "refuse", &ids[1]]);
    bb.kill();
    until("nobody is linked", || aa.json(&["status"])["peers"][0]["connected"] == false);
    let told = text(&aa, &["hold", "undo", &ids[1]]);
    assert!(told.contains("no partner gave it again so far"), "{told}");
    bb.run();
    until("it came back", || aa.json(&["why", &ids[1]])["verdict"] == "hold");
}

#[test]
fn the_configuration_says_what_becomes_of_what_nobody_decides() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut aa, bb) = holding(folder.path());
    let id = publish(&bb, "192.0.2.1");
    until("it is held", || aa.json(&["status"])["store"]["held"] == 1);
    aa.kill();
    let config = aa.home.join("config.toml");
    let text_of = std::fs::read_to_string(&config).expect("a configuration");
    let changed = |days: &str| text_of.replace("after_days = 30\ndefault = \"keep\"", days);
    let faulty = changed("after_days = 0\ndefault = \"refuse\"");
    assert_ne!(faulty, text_of, "{text_of}");
    std::fs::write(&config, faulty).expect("written");
    let refused = aa.tell(&["run"]);
    assert!(
        refused.status.code() == Some(2)
            && String::from_utf8_lossy(&refused.stderr).contains("hold.after_days")
    );
    std::fs::write(&config, changed("after_days = 10\ndefault = \"refuse\"")).expect("written");
    aa.run();
    let (_, held) = lines(&aa, &["hold", "list"]);
    assert_eq!((&held[0]["record"], &held[0]["by_default"]), (&id.as_str().into(), &"refuse".into()));
    let left = held[0]["by_default_in_ms"].as_u64().expect("a number");
    assert!((9 * 86_400_000..10 * 86_400_000).contains(&left), "{left}");
    assert!(text(&aa, &["hold", "list"]).contains("refuse in 9 days"));
}
