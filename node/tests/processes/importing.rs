//! `import` and `publish` as operators use them: what is told of bad, odd and repeated input, and what goes out.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::harness::Node;

fn one(folder: &Path) -> Node {
    Node::mesh(folder, &["cert-aa"]).pop().expect("one")
}

fn written(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    std::fs::write(&path, text).expect("written");
    path
}

fn import(node: &Node, path: &Path, more: &[&str]) -> Output {
    node.command().arg("import").arg(path).args(more).output().expect("the program runs")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn bad_and_odd_input_is_told_and_quoted_short() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = one(folder.path());
    let long = "x".repeat(2 << 20);
    for (text, code, part) in [
        ("192.0.2.1\n192.0.2.2\n".to_owned(), 0, "2 indicators written"),
        ("192.0.2.3\nno value at all\nnor this\n".to_owned(), 3, "line 3: `nor this`"),
        (format!(r#"{{"type":"bundle","objects":["{long}"]}}"#), 3, "expected a map"),
        (format!(r#"{{"type":"bundle","objects":"{long}"}}"#), 3, "left out"),
        ("{\"type\": \"bundle\", ".to_owned(), 2, "not read"),
        ("type,value,confidence\ndomain,a.example,high\n".to_owned(), 0, "line 2, confidence: `high`"),
        ("0.0.0.0/0\nco.uk\n192.0.2.9\n".to_owned(), 0, "matched against nothing, too wide"),
        ("192.168.1.1\n".to_owned(), 0, "what everybody has"),
    ] {
        let path = written(folder.path(), "feed/list.txt", &text);
        let output = import(&node, &path, &[]);
        let said = said(&output);
        assert!(said.len() < 2_000, "{} bytes were printed", said.len());
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(part), "`{part}` is not in {said}");
    }
    let output = import(&node, &folder.path().join("feed"), &["--source", "../keys"]);
    assert!(!output.status.success() && said(&output).contains("not a path"), "{}", said(&output));
    let output = import(&node, &folder.path().join("feed"), &["--source", "nowhere"]);
    assert!(said(&output).contains("sources/nowhere.toml"), "{}", said(&output));
}

#[test]
fn a_marking_once_said_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = one(folder.path());
    let path = written(folder.path(), "feed/list.txt", "192.0.2.1\n");
    let path = path.to_str().expect("UTF-8");
    let total = |more: &[&str]| node.json(&[&["import", path], more].concat())["total"].clone();
    assert_eq!(total(&["--tlp", "green"])["new"], 1);
    let again = total(&[]);
    assert_eq!((&again["changed"], &again["unmarked"]), (&0.into(), &0.into()), "{again}");
    // An edited list keeps it as well, and a stricter one counts.
    std::fs::write(path, "192.0.2.1\n192.0.2.2\n").expect("written");
    assert_eq!(total(&[])["changed"], 1);
    assert_eq!(node.json(&["lookup", "192.0.2.2"])["hits"][0]["tlp"], "TLP:GREEN");
    assert_eq!(total(&["--tlp", "amber"])["changed"], 1);
    assert_eq!(node.json(&["lookup", "192.0.2.2"])["hits"][0]["tlp"], "TLP:AMBER");
}

#[test]
fn no_folder_of_this_machine_goes_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = one(folder.path());
    let path = written(folder.path(), "op-quiet-river/scanners.txt", "192.0.2.1\n");
    let imported = import(&node, &path, &["--tlp", "green", "--share", "mesh"]);
    assert!(imported.status.success(), "{}", said(&imported));
    let hit = node.json(&["lookup", "192.0.2.1"])["hits"][0].clone();
    assert_eq!((&hit["title"], &hit["origin"]["id"]), (&"scanners.txt".into(), &"scanners.txt".into()));
    let shown: Value = node.json(&["show", hit["record"].as_str().expect("an id")]);
    assert!(!shown.to_string().contains("river"), "{shown}");
    let titled =
        import(&node, &path, &["--tlp", "green", "--share", "mesh", "--title", "Scanners of the week"]);
    assert!(titled.status.success(), "{}", said(&titled));
    let hit = node.json(&["lookup", "192.0.2.1"])["hits"].clone();
    assert!(hit.to_string().contains("Scanners of the week"), "{hit}");
}

#[test]
fn publish_says_what_is_matched_against_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = one(folder.path());
    let publish = |more: &[&str]| node.json(&[&["publish", "--tlp", "green", "--to", "mesh"], more].concat());
    let wide = publish(&["0.0.0.0/0", "192.0.2.1"]);
    assert_eq!(
        (&wide["unmatched"][0]["count"], wide["unmatched"][0]["values"][0].as_str()),
        (&1.into(), Some("0.0.0.0/0"))
    );
    assert!(publish(&["10.1.1.1"])["well_known"][0]["why"].as_str().is_some_and(|why| why.contains("1918")));
    assert_eq!(publish(&["198.51.100.1"])["well_known"], Value::Null, "documentation is no such thing");
    let nobody = publish(&["198.51.100.2", "--countries", "ZZ"]);
    assert!(nobody["warnings"][0].as_str().is_some_and(|text| text.contains("ZZ")), "{nobody}");
    assert_eq!(publish(&["198.51.100.3", "--countries", "QM"])["warnings"], Value::Null);
    // A value that is not recognised is taken where its type is named, and found so.
    let refused = node.tell(&["publish", "brstaged", "--tlp", "green", "--to", "own"]);
    assert!(said(&refused).contains("--type"), "{}", said(&refused));
    publish(&["brstaged", "--type", "process"]);
    assert_eq!(node.json(&["lookup", "brstaged", "--type", "process"])["known"], true);
    let wrong = node.tell(&["lookup", "brstaged", "--type", "proc"]);
    assert!(said(&wrong).contains("process"), "a wrong type lists those there are: {}", said(&wrong));
}
