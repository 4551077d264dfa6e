//! A record in a file: made at one node, checked where there is none, and of no use once a byte of it is another.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::harness::{Node, until, written};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tocsin");

/// Checks a file as on another machine: no home, no environment, the program alone.
fn verify(file: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.env_clear().current_dir("/").arg("--json").arg("verify").arg(file).args(words);
    command.output().expect("the program runs")
}

fn shown(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn record(published: &Value) -> String {
    published["records"][0]["record"].as_str().expect("an id").to_owned()
}

#[test]
fn a_record_is_proven_where_no_node_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = Node::mesh(folder.path(), &["cert-xa", "police-xb", "bank-xc"]);
    let green = ["publish", "203.0.113.50", "--tlp", "green", "--to", "mesh", "--title", "Phishing"];
    let id = record(&nodes[0].json(&green));
    until("the police know it", || nodes[1].knows("203.0.113.50"));
    // The receiver proves who said it, not the author.
    let file = folder.path().join("a.evidence");
    let name = file.to_str().expect("UTF-8");
    let made = nodes[1].json(&["evidence", &id[..12], "--out", name]);
    assert_eq!((&made["record"], &made["file"]), (&id.as_str().into(), &name.into()), "{made}");
    let bytes = fs::read(&file).expect("a file");
    assert!(bytes.starts_with(b"tocsin evidence 1\nTLP:GREEN;"), "its marking stands at its head");
    let again = nodes[1].tell(&["evidence", &id, "--out", name]);
    assert!(!again.status.success() && fs::read(&file).expect("a file") == bytes, "nothing is replaced");

    let mesh = made["mesh"].as_str().expect("an id");
    let fingerprint = made["fingerprint"].as_str().expect("one");
    assert_eq!(nodes[0].json(&["status"])["mesh_fingerprint"], fingerprint);
    for (words, compared) in
        [(vec![], false), (vec!["--mesh", mesh], true), (vec!["--mesh", fingerprint], true)]
    {
        let output = verify(&file, &words);
        let found = shown(&output);
        assert_eq!(output.status.code(), Some(0), "{found}");
        assert_eq!((&found["holds"], &found["mesh_compared"]), (&true.into(), &compared.into()), "{found}");
        assert_eq!((&found["org"], &found["record"]), (&"cert-xa".into(), &id.as_str().into()), "{found}");
        assert_eq!((&found["title"], &found["values"][0]), (&"Phishing".into(), &"203.0.113.50".into()));
        assert_eq!((&found["proven"], &found["mesh_fingerprint"]), (&"signed".into(), &fingerprint.into()));
    }
    let other = verify(&file, &["--mesh", &"1f".repeat(32)]);
    assert_eq!((other.status.code(), &shown(&other)["holds"]), (Some(1), &false.into()));

    // Cut, changed, and something else: refused with a word on what it is.
    let changed = folder.path().join("changed");
    let mut bits = bytes.clone();
    bits[bytes.len() / 2] ^= 1;
    for (bytes, says) in [
        (&bytes[..bytes.len() - 1], "cut or changed"),
        (bits.as_slice(), "cut or changed"),
        (&b"%PDF-1.7\n"[..], "no evidence of tocsin"),
    ] {
        fs::write(&changed, bytes).expect("written");
        let refused = verify(&changed, &[]);
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(2) && error.contains(says), "{error}");
    }

    // What is taken back is erased, and of what it said nothing is left to show.
    nodes[0].json(&["retract", &id, "--reason", "wrong"]);
    until("it is gone at the police", || !nodes[1].knows("203.0.113.50"));
    until("that it is erased is told", || {
        let late = nodes[1].tell(&["evidence", &id, "--out", &format!("{name}.2")]);
        assert!(!late.status.success());
        String::from_utf8_lossy(&late.stderr).contains("erased")
    });
    assert!(verify(&file, &[]).status.success(), "what was proven before still is");
}

/// Records that are signed together rest together: one in their middle is proven with what is behind it, and without what is not.
#[test]
fn each_of_many_is_proven_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = Node::mesh(folder.path(), &["cert-xa", "police-xb"]);
    let lines: String = (0..6_000).map(|at| format!("45.{}.{}.7\n", at / 250, at % 250)).collect();
    let list = written(folder.path(), "many.txt", &lines);
    nodes[0].json(&["import", list.to_str().expect("UTF-8"), "--tlp", "green", "--share", "mesh"]);
    until("the police have all", || nodes[1].knows("45.23.249.7") && nodes[1].knows("45.0.0.7"));
    let listed = nodes[1].tell(&["--json", "query", "--circle", "mesh"]);
    let lines = String::from_utf8(listed.stdout).expect("text");
    let all = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let ids: Vec<String> = all.filter_map(|line| Some(line["record"].as_str()?.to_owned())).collect();
    assert!(ids.len() >= 4, "{ids:?}");
    let mut values = 0;
    for (at, id) in ids.iter().enumerate() {
        let file = folder.path().join(at.to_string());
        nodes[1].json(&["evidence", id, "--out", file.to_str().expect("UTF-8")]);
        let found = shown(&verify(&file, &[]));
        assert_eq!((&found["holds"], &found["record"]), (&true.into(), &id.as_str().into()), "{found}");
        values += found["value_count"].as_u64().expect("a number");
        // The body of this one, and headers of the others.
        assert!(fs::metadata(&file).expect("a file").len() < 200_000);
    }
    assert_eq!(values, 6_000);
}

/// A home that was copied while it ran is another machine with the same log: two records in one place, of which neither proves
/// what the agency says.
#[test]
fn what_is_disputed_is_no_evidence() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::mesh(folder.path(), &["cert-xa", "police-xb"]);
    let say =
        |node: &Node, value: &str| record(&node.json(&["publish", value, "--tlp", "green", "--to", "mesh"]));
    let before = say(&nodes[1], "203.0.113.70");
    until("it came", || nodes[0].knows("203.0.113.70"));
    nodes[1].kill();
    let mut copy = Node { home: folder.path().join("copy"), process: None, env: Vec::new() };
    let copied =
        Command::new("cp").arg("-a").args([&nodes[1].home, &copy.home]).status().expect("cp is there");
    assert!(copied.success());
    nodes[1].run();
    let one = say(&nodes[1], "203.0.113.71");
    until("it came", || nodes[0].knows("203.0.113.71"));
    nodes[1].kill();
    nodes[0].kill();
    copy.run();
    let other = say(&copy, "203.0.113.72");
    nodes[0].run();
    let is_disputed = |id: &str| {
        let shown = nodes[0].tell(&["--json", "show", id]);
        serde_json::from_slice::<Value>(&shown.stdout).is_ok_and(|shown| shown["disputed"] == true)
    };
    until("the fork is seen", || is_disputed(&one));
    assert_ne!(one, other);
    let refused = nodes[0].tell(&["evidence", &one]);
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && error.contains("disputed"), "{error}");
    let file = folder.path().join("before");
    nodes[0].json(&["evidence", &before, "--out", file.to_str().expect("UTF-8")]);
    assert!(verify(&file, &[]).status.success(), "what was said before stands");
}

#[test]
fn what_is_sealed_or_personal_is_proven_to_whom_it_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = Node::mesh(folder.path(), &["cert-xa", "police-xb", "bank-xc"]);
    nodes[0].json(&["circle", "create", "ops", "--members", "police-xb"]);
    until("the police are invited", || nodes[1].tell(&["circle", "accept", "ops"]).status.success());
    let amber = ["publish", "203.0.113.60", "--tlp", "amber", "--to", "ops", "--title", "Ransom"];
    until("both are in", || {
        nodes[0].json(&["circle", "show", "ops"])["members"].as_array().map(Vec::len) == Some(2)
    });
    let id = record(&nodes[0].json(&amber));
    until("the police know it", || nodes[1].knows("203.0.113.60"));
    for (words, proven) in [(vec![], "told"), (vec!["--with-key"], "opened")] {
        let file = folder.path().join(proven);
        let mut all = vec!["evidence", &id, "--out", file.to_str().expect("UTF-8")];
        all.extend(words);
        nodes[1].json(&all);
        let output = verify(&file, &[]);
        let found = shown(&output);
        assert!(output.status.success(), "{found}");
        assert_eq!((&found["proven"], &found["circle"]), (&proven.into(), &"ops".into()), "{found}");
        assert_eq!((&found["title"], &found["circle_orgs"]), (&"Ransom".into(), &2.into()), "{found}");
        assert!(found["marking"].as_str().is_some_and(|text| text.starts_with("TLP:AMBER;")), "{found}");
    }
    // Of what became of the circle since nothing is in the file.
    nodes[0].json(&["circle", "rename", "ops", "harbour"]);
    until("it has another name", || nodes[1].tell(&["circle", "show", "harbour"]).status.success());
    let file = folder.path().join("renamed");
    nodes[1].json(&["evidence", &id, "--out", file.to_str().expect("UTF-8")]);
    assert_eq!(shown(&verify(&file, &[]))["circle"], "ops");
    assert!(!fs::read(&file).expect("a file").windows(7).any(|part| part == b"harbour"));
    // The third has no such record to prove.
    assert!(!nodes[2].tell(&["evidence", &id]).status.success());

    // Data about a person leaves in a file for a purpose alone, as it is shown.
    let person = [
        "publish",
        "jane.doe@example.org",
        "--tlp",
        "green",
        "--personal",
        "yes",
        "--for-purpose",
        "criminal-investigation",
        "--retention",
        "30d",
        "--to",
        "own",
    ];
    let id = record(&nodes[0].json(&person));
    let file = folder.path().join("person");
    let out = file.to_str().expect("UTF-8");
    let kept = nodes[0].tell(&["evidence", &id, "--out", out]);
    let error = String::from_utf8_lossy(&kept.stderr).into_owned();
    assert!(!kept.status.success() && error.contains("--purpose") && !file.exists(), "{error}");
    let config = nodes[0].home.join("config.toml");
    let text = fs::read_to_string(&config).expect("a configuration");
    assert!(text.contains("purposes"), "{text}");
    let lines = text.lines().map(|line| {
        if line.trim_start().starts_with("purposes") {
            "purposes = [\"criminal-investigation\"]"
        } else {
            line
        }
    });
    fs::write(&config, lines.collect::<Vec<_>>().join("\n")).expect("written");
    nodes[0].json(&["policy", "reload"]);
    nodes[0].json(&["evidence", &id, "--out", out, "--purpose", "criminal-investigation", "--ref", "case-1"]);
    let found = shown(&verify(&file, &[]));
    assert_eq!((&found["holds"], &found["circle"]), (&true.into(), &"its own nodes".into()), "{found}");
    assert!(found["marking"].as_str().is_some_and(|text| text.contains("personal data yes")), "{found}");
    let asked = nodes[0].log();
    let line =
        asked.lines().rfind(|line| line.contains("evidence")).expect("it stands in the log of purposes");
    assert!(line.contains("case-1") && line.contains(&id), "{line}");
}
