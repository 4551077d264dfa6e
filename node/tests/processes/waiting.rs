//! `--wait`: until the partners that a report goes to signed for it.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Node, until};

const GREEN: [&str; 5] = ["--tlp", "green", "--to", "mesh", "--wait"];

fn partner(told: &Value, org: &str) -> Value {
    let all = told["waited"]["partners"].as_array().expect("a list").clone();
    all.into_iter().find(|one| one["org"] == org).expect("it is listed")
}

#[test]
fn who_publishes_waits_until_all_signed_or_the_time_is_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::mesh(folder.path(), &["cert-aa", "police-bb", "bank-cc"]);
    let publish = |aa: &Node, code: i32, value: &str, more: &[&str]| {
        aa.json_with(code, &[&["publish", value], &GREEN[..], more].concat())
    };
    let told = publish(&nodes[0], 0, "192.0.2.1", &[]);
    let waited = &told["waited"];
    assert_eq!(
        (&waited["all"], waited["partners"].as_array().map(Vec::len)),
        (&true.into(), Some(2)),
        "{told}"
    );
    let ms = |field: &str| waited[field].as_i64().expect("a number");
    assert!(ms("p50_ms") <= ms("p95_ms"), "{told}");
    let slowest = partner(&told, waited["slowest"].as_str().expect("a name"));
    assert_eq!(slowest["after_ms"], waited["p95_ms"], "{told}");
    assert_eq!(partner(&told, "bank-cc")["said"], "accepted");
    assert!(nodes[1].knows("192.0.2.1") && nodes[2].knows("192.0.2.1"), "they have it when it returns");

    // What is held there is signed for as well, and told as that.
    let hold =
        nodes[2].read_policy() + "@id(\"wait\") permit (principal, action == Action::\"hold\", resource);\n";
    nodes[2].write_policy(&hold);
    nodes[2].json(&["policy", "reload"]);
    let told = publish(&nodes[0], 0, "192.0.2.2", &["--for", "bank-cc"]);
    assert_eq!(told["waited"]["partners"].as_array().map(Vec::len), Some(1), "{told}");
    assert_eq!(partner(&told, "bank-cc")["said"], "kept back");

    // Who is not there does not sign; it is written all the same, and not waited for where others are named.
    nodes[2].kill();
    until("the bank is gone", || {
        let peers = nodes[0].json(&["status"])["peers"].clone();
        peers
            .as_array()
            .expect("peers")
            .iter()
            .any(|peer| peer["org"] == "bank-cc" && peer["connected"] == false)
    });
    let begun = Instant::now();
    let told = publish(&nodes[0], 1, "192.0.2.3", &["--timeout", "2"]);
    assert!((2..12).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(
        (&told["waited"]["all"], &partner(&told, "police-bb")["signed"]),
        (&false.into(), &true.into())
    );
    let bank = partner(&told, "bank-cc");
    assert_eq!(
        (&bank["signed"], &bank["after_ms"], &bank["connected"]),
        (&false.into(), &Value::Null, &false.into())
    );
    assert!(nodes[1].knows("192.0.2.3"));
    let told = publish(&nodes[0], 0, "192.0.2.4", &["--for", "police-bb"]);
    assert_eq!(told["waited"]["partners"].as_array().map(Vec::len), Some(1), "{told}");
    let text = nodes[0].tell(&[&["publish", "192.0.2.5"], &GREEN[..], &["--timeout", "4"]].concat());
    let shown = String::from_utf8_lossy(&text.stdout).into_owned();
    for part in ["1 of 2 partners signed: p50 ", "slowest police-bb", "did not sign, not linked"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(text.status.code(), Some(1));

    // It comes while it is waited for.
    let mut command = nodes[0].command();
    command.args(["--json", "publish", "192.0.2.6"]).args(GREEN).stdout(Stdio::piped());
    let mut waits = command.spawn().expect("the program runs");
    std::thread::sleep(Duration::from_millis(500));
    assert!(waits.try_wait().expect("a process").is_none(), "it waits");
    nodes[2].run();
    let output = waits.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(partner(&told, "bank-cc")["after_ms"].as_i64() > Some(400), "{told}");
}

#[test]
fn what_nobody_could_sign_for_is_told_before_anything_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = Node::mesh(folder.path(), &["cert-aa", "police-bb", "bank-cc"]);
    nodes[0].json(&["circle", "create", "ops", "--members", "police-bb"]);
    until("the police are invited", || nodes[1].tell(&["circle", "accept", "ops"]).status.success());
    until("they are in", || {
        let shown = nodes[0].json(&["circle", "show", "ops"]);
        shown.to_string().contains("police-bb")
            && nodes[0].json(&["circle", "list"]).to_string().contains("ops")
    });
    let refused = |args: &[&str], why: &str| {
        let output = nodes[0].tell(args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(why), "{args:?}: {said}");
    };
    let amber = ["publish", "192.0.2.1", "--tlp", "amber", "--to", "ops"];
    refused(&[&amber[..], &["--wait", "--for", "bank-cc"]].concat(), "nothing was written");
    refused(&[&amber[..], &["--wait", "--for", "cert-aa"]].concat(), "nothing was written");
    refused(&[&amber[..], &["--wait", "--for", "nobody"]].concat(), "no org `nobody`");
    refused(&[&amber[..], &["--for", "police-bb"]].concat(), "--wait");
    refused(&[&amber[..], &["--wait", "--timeout", "0"]].concat(), "--timeout");
    assert!(!nodes[0].knows("192.0.2.1"));

    // A partner that the policy lets have the header alone has nothing to sign for.
    let policy = nodes[0].read_policy();
    nodes[0].write_policy(
        &(policy.clone()
            + "@id(\"not-bb\") forbid (principal, action == Action::\"forward\", resource) when { principal.name == \"police-bb\" };\n"),
    );
    nodes[0].json(&["policy", "reload"]);
    let told = nodes[0].json_with(1, &[&amber[..], &["--wait"]].concat());
    assert_eq!(told["waited"]["partners"], serde_json::json!([]), "{told}");
    let told =
        nodes[0].json_with(1, &[&amber[..], &["--wait", "--for", "police-bb", "--timeout", "2"]].concat());
    assert_eq!(partner(&told, "police-bb")["signed"], false, "it has the header alone: {told}");
    nodes[0].write_policy(&policy);
    nodes[0].json(&["policy", "reload"]);

    // In two circles an org that is in both signs for both.
    let new = nodes[0].json(&["publish", "192.0.2.9", "--tlp", "green", "--to", "own"]);
    let id = new["records"][0]["record"].as_str().expect("an id").to_owned();
    let told = nodes[0].json(&["share", &id, "--to", "ops", "--to", "mesh", "--wait"]);
    assert_eq!((told["records"].as_array().map(Vec::len), &told["waited"]["all"]), (Some(2), &true.into()));
    assert_eq!(told["waited"]["partners"].as_array().map(Vec::len), Some(2));
    assert!(nodes[1].knows("192.0.2.9") && nodes[2].knows("192.0.2.9"));
    let told = nodes[0].json_with(1, &["publish", "192.0.2.10", "--tlp", "green", "--to", "own", "--wait"]);
    assert_eq!(told["waited"]["partners"], serde_json::json!([]));
}
