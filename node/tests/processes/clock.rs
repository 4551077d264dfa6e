//! A node whose machine has a wrong clock, by `faketime`: nothing is erased, published or called complete by it, and all
//! goes on when it is right again or a person confirms it.

use std::path::Path;

use super::harness::{Node, until};

const DAY_S: u64 = 86_400;

/// What makes a program see a clock that is so many seconds ahead. Its monotonic clock is left alone, or shifted as well.
pub(crate) fn ahead(seconds: u64, monotonic: bool) -> Vec<(&'static str, String)> {
    let library = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib"]
        .map(|folder| format!("{folder}/faketime/libfaketime.so.1"))
        .into_iter()
        .find(|file| Path::new(file).exists())
        .expect("libfaketime: install the package `faketime`, as scripts/check does");
    let mut variables = vec![
        ("LD_PRELOAD", library),
        ("FAKETIME", format!("+{seconds}")),
        ("FAKETIME_NO_CACHE", "1".to_owned()),
    ];
    if !monotonic {
        variables.push(("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()));
    }
    variables
}

/// Publishes an address that may be kept for 30 days by this machine's right clock.
fn publish(node: &Node, address: &str) {
    node.json(&["publish", address, "--tlp", "green", "--retention", "30d", "--to", "mesh"]);
}

fn bodies(node: &Node) -> u64 {
    node.json(&["status"])["store"]["bodies"].as_u64().expect("a number")
}

/// That a node with a wrong clock keeps all that it has, says so, and writes nothing.
fn keeps_and_says(node: &Node, kept: u64, state: &str) {
    until("the node says that its clock is wrong", || node.json(&["clock"])["state"] == state);
    // Expiry is looked at each second.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let status = node.json(&["status"]);
    assert_eq!(status["store"]["bodies"], kept, "nothing is erased");
    assert_eq!(status["complete"], false);
    let alarm = status["alarms"][0].as_str().expect("an alarm");
    assert!(alarm.contains("days") && alarm.contains("tocsin clock confirm"), "{alarm}");
    let gaps = status["gaps"].as_array().expect("gaps");
    assert!(gaps.iter().any(|gap| gap["reason"] == "clock"), "{gaps:?}");
    let answer = node.json(&["lookup", "192.0.2.1"]);
    assert_eq!(
        (&answer["known"], &answer["complete"]),
        (&true.into(), &false.into()),
        "it answers all the same: {answer}"
    );
    let refused = node.tell(&["publish", "192.0.2.99", "--tlp", "green", "--to", "mesh"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2));
    assert!(why.contains("clock") && why.contains("tocsin clock confirm"), "{why}");
    assert!(node.log().contains("nothing is erased, lapses or is called complete"), "the log says it");
}

#[test]
fn a_node_alone_erases_nothing_by_a_wrong_clock_until_a_person_confirms_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = Node::mesh(folder.path(), &["aa"]).remove(0);
    publish(&node, "192.0.2.1");
    assert_eq!(bodies(&node), 1);
    until("its sign of life is written", || node.json(&["clock"])["state"] == "trusted");
    for (days, monotonic) in [(60, false), (2 * 365, true)] {
        node.stop();
        node.env = ahead(days * DAY_S, monotonic);
        node.run();
        keeps_and_says(&node, 1, "unknown");
    }
    node.stop();
    node.env.clear();
    node.run();
    assert_eq!(node.json(&["clock"])["state"], "trusted");
    publish(&node, "192.0.2.2");
    assert_eq!(bodies(&node), 2);
    node.stop();
    node.env = ahead(60 * DAY_S, false);
    node.run();
    assert_eq!(node.json(&["clock", "confirm"])["state"], "trusted");
    until("what is due is erased", || bodies(&node) == 0);
    assert_eq!(node.json(&["status"])["complete"], true);
}

#[test]
fn a_linked_node_erases_nothing_by_a_wrong_clock() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::mesh(folder.path(), &["aa", "bb", "cc"]);
    publish(&nodes[1], "192.0.2.1");
    until("it came", || nodes[0].knows("192.0.2.1") && nodes[2].knows("192.0.2.1"));
    for (days, monotonic) in [(60, true), (2 * 365, false)] {
        nodes[2].stop();
        nodes[2].env = ahead(days * DAY_S, monotonic);
        nodes[2].run();
        until("its partner is linked", || nodes[2].json(&["clock"])["state"] == "ahead");
        keeps_and_says(&nodes[2], 1, "ahead");
        let refused = nodes[2].tell(&["clock", "confirm"]);
        assert_eq!(refused.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&refused.stderr).contains("--against-partners"));
        assert_eq!(nodes[0].json(&["clock"])["state"], "trusted", "it moves nobody else");
    }
    nodes[2].stop();
    nodes[2].env.clear();
    nodes[2].run();
    until("all goes on", || {
        let status = nodes[2].json(&["status"]);
        status["complete"] == true && status["clock"]["state"] == "trusted"
    });
    publish(&nodes[2], "192.0.2.3");
    until("the others hear it", || nodes[0].knows("192.0.2.3"));
}
