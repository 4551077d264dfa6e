//! `show` tells who got an own record, by the partners' receipts: also when it was taken back since, and after a restart.

use serde_json::Value;

use crate::harness::{Node, until};

/// What `show` says that an org's node acknowledged of a record.
fn said(node: &Node, record: &str, org: &str) -> Value {
    let shown = node.json(&["show", record]);
    let all = shown["acknowledged_by"].as_array().expect("a list").clone();
    all.into_iter().find(|said| said["org"] == org).expect("it is listed")
}

#[test]
fn who_got_it_is_answered_after_it_was_taken_back_and_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::mesh(folder.path(), &["cert-aa", "police-bb", "bank-cc"]);
    nodes[2].kill();
    let new = nodes[0].json(&["publish", "192.0.2.1", "--tlp", "green", "--to", "mesh"]);
    let record = new["records"][0]["record"].as_str().expect("an id").to_owned();
    until("the police have it", || said(&nodes[0], &record, "police-bb")["accepted"].is_string());
    let before = said(&nodes[0], &record, "police-bb");
    assert_eq!((&before["first"], &before["now"]), (&"accepted".into(), &"accepted".into()));
    assert!(before["after_ms"].is_i64() && before["time"].is_string(), "{before}");

    nodes[0].json(&["retract", &record, "--reason", "wrong"]);
    until("the police know that it is taken back", || {
        let now = said(&nodes[0], &record, "police-bb");
        now["retraction"].is_string() && now["now"] == "gone"
    });
    let after = said(&nodes[0], &record, "police-bb");
    nodes[0].kill();
    nodes[0].run();
    assert_eq!(said(&nodes[0], &record, "police-bb"), after);
    for field in ["time", "after_ms", "first", "accepted"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    let bank = said(&nodes[0], &record, "bank-cc");
    assert_eq!((&bank["time"], &bank["retraction"]), (&Value::Null, &Value::Null));
    let shown = nodes[0].tell(&["show", &record]);
    let text = String::from_utf8_lossy(&shown.stdout);
    let line = |org: &str| text.lines().find(|line| line.starts_with(org)).expect("it is listed");
    assert!(line("police-bb").contains("accepted, gone at"), "{text}");
    assert!(line("bank-cc").matches("not yet").count() == 2, "{text}");

    // Who comes when it was taken back never had it.
    nodes[2].run();
    until("the bank knows that it is taken back", || {
        said(&nodes[0], &record, "bank-cc")["retraction"].is_string()
    });
    let bank = said(&nodes[0], &record, "bank-cc");
    assert_eq!(bank["accepted"], Value::Null, "{bank}");
    assert_eq!(said(&nodes[0], &record, "police-bb"), after);
}
