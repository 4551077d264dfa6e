//! Two real nodes as an operator would make them: init, found, add, join, run, publish, lookup, restart.

use crate::harness::{Node, free_port, until};

#[test]
fn two_agencies_by_hand() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut aa = Node::make(folder.path(), "cert-aa", Some(free_port()));
    let mut bb = Node::make(folder.path(), "police-bb", None);
    let founded = aa.json(&["mesh", "found", "--name", "ring"]);
    aa.run();

    // A second node on the same home is told who has it.
    let second = aa.tell(&["run"]);
    assert_eq!(second.status.code(), Some(2));
    let pid = aa.process.as_ref().expect("it runs").id().to_string();
    assert!(String::from_utf8_lossy(&second.stderr).contains(&pid), "{second:?}");

    // The running founder takes the new partner; the invitation is bound to the mesh's fingerprint.
    let card = bb.home.join("police-bb.card");
    let invite = folder.path().join("bb.invite");
    let (card, invite) = (card.to_str().expect("UTF-8"), invite.to_str().expect("UTF-8"));
    aa.json(&["mesh", "add", card, "--yes", "--out", invite]);
    assert_eq!(bb.tell(&["join", invite]).status.code(), Some(2), "nobody confirmed");
    let wrong = bb.tell(&["join", invite, "--fingerprint", "0000-0000"]);
    assert_eq!(wrong.status.code(), Some(2));
    let fingerprint = founded["fingerprint"].as_str().expect("a fingerprint");
    bb.json(&["join", invite, "--fingerprint", fingerprint]);
    bb.run();

    // What one shares the other answers for, with its network and its domain.
    let new = bb.json(&["publish", "198.51.100.0/24", "evil[.]example", "--tlp", "green", "--to", "mesh"]);
    let record = new["records"][0]["record"].as_str().expect("an id").to_owned();
    until("the record arrived", || aa.knows("198.51.100.7") && aa.knows("hxxp://www.evil[.]example/x"));
    let answer = aa.json(&["lookup", "198.51.100.7"]);
    assert_eq!(answer["hits"][0]["match"], "network");
    assert_eq!(answer["hits"][0]["author"], "police-bb");
    assert_eq!(answer["hits"][0]["record"], record.as_str());
    assert_eq!(aa.json(&["why", &record[..12]])["verdict"], "accept");
    // A partner that just came in is not complete until its signed head was heard; then "not known" is an answer.
    until("the answer is complete", || aa.tell(&["lookup", "192.0.2.1"]).status.code() == Some(1));
    assert_eq!(aa.tell(&["lookup", "no value"]).status.code(), Some(2));

    // What the guardrails forbid is refused with the way out, and what is unmarked is never shared.
    for (args, way_out) in [
        (vec!["publish", "192.0.2.9", "--tlp", "amber", "--to", "mesh"], "--to own"),
        (vec!["publish", "192.0.2.9", "--to", "mesh"], "--tlp"),
        (vec!["publish", "a@b.example", "--tlp", "green", "--to", "mesh"], "--retention"),
    ] {
        let refused = bb.tell(&args);
        assert_eq!(refused.status.code(), Some(2), "{args:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains(way_out), "{refused:?}");
    }

    // Killed without warning, it keeps what it acknowledged and goes on in the same log.
    bb.kill();
    bb.run();
    assert!(bb.knows("evil.example"));
    bb.json(&["publish", "203.0.113.9", "--tlp", "green", "--to", "mesh"]);
    until("the record after the restart arrived", || aa.knows("203.0.113.9"));

    // A retraction is for everybody, and for ever.
    bb.json(&["retract", &record, "--reason", "wrong"]);
    until("the retraction arrived", || !aa.knows("evil.example"));
    assert!(aa.knows("203.0.113.9"));
}

#[test]
fn the_same_list_twice_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = Node::make(folder.path(), "cert-aa", None);
    node.json(&["mesh", "found", "--name", "alone"]);
    node.run();
    let list = folder.path().join("list.txt");
    let lines: Vec<String> =
        (0..3000).map(|at| format!("10.{}.{}.{}", at / 65_536, at / 256 % 256, at % 256)).collect();
    std::fs::write(&list, lines.join("\n") + "\n\x1b[2Jx\n").expect("written");
    let path = list.to_str().expect("UTF-8");
    let dry = node.json_with(3, &["import", path, "--dry-run"]);
    assert_eq!(dry["total"]["indicators"], 3000);
    assert!(!node.knows("10.0.1.1"), "a dry run wrote something");
    let first = node.json_with(3, &["import", path, "--tlp", "green"]);
    assert_eq!(first["total"]["indicators"], 3000);
    assert_eq!(first["files"][0]["skipped"], 1);
    assert!(node.knows("10.0.1.1"));
    let second = node.json_with(3, &["import", path, "--tlp", "green"]);
    assert_eq!(second["total"]["records"], serde_json::json!([]));
    assert_eq!(second["total"]["duplicates"], first["total"]["new"]);
    std::fs::write(&list, lines.join("\n") + "\n192.0.2.77\n").expect("written");
    let third = node.json(&["import", path, "--tlp", "green"]);
    assert_eq!((&third["total"]["changed"], &third["total"]["indicators"]), (&1.into(), &1.into()));
    assert!(node.knows("192.0.2.77"));
    // A policy that does not check leaves the old one in force.
    std::fs::write(node.home.join("policy.cedar"), "permit (").expect("written");
    assert_eq!(node.tell(&["policy", "check"]).status.code(), Some(2));
    assert_eq!(node.tell(&["policy", "reload"]).status.code(), Some(2));
    assert!(node.knows("192.0.2.77"));
}
