//! One report in several circles: copies that are one row in every answer, go on together and are taken back together.

use serde_json::Value;

use crate::circles::{members, part};
use crate::harness::{Node, until, written};

/// A circle of the first of these nodes with others of them, who accept.
pub fn circle(nodes: &[Node], name: &str, others: &[(usize, &str)]) {
    let orgs: Vec<&str> = others.iter().map(|(_, org)| *org).collect();
    nodes[0].json(&["circle", "create", name, "--members", &orgs.join(",")]);
    for (at, _) in others {
        until("it is invited", || part(&nodes[*at], name).as_deref() == Some("invited"));
        nodes[*at].json(&["circle", "accept", name]);
    }
    let all = || {
        let at = others.iter().map(|(at, _)| *at).chain([0]);
        at.into_iter().all(|at| members(&nodes[at], name).len() == others.len() + 1)
    };
    until("all are in", all);
}

/// What a node knows of a value: one object.
pub fn known(node: &Node, value: &str) -> Value {
    let output = node.command().args(["--json", "lookup", value]).output().expect("the program runs");
    let text = String::from_utf8(output.stdout).expect("JSON is text");
    serde_json::from_str(text.lines().last().expect("a line")).expect("JSON")
}

/// The circles of each row that a node has on a value.
fn rows(node: &Node, value: &str) -> Vec<Vec<String>> {
    let hits = known(node, value)["hits"].as_array().expect("hits").clone();
    hits.iter().map(|hit| words(&hit["circles"])).collect()
}

fn words(list: &Value) -> Vec<String> {
    list.as_array().expect("a list").iter().map(|word| word.as_str().expect("a word").to_owned()).collect()
}

fn listed(node: &Node, args: &[&str]) -> Vec<Value> {
    let output = node.command().arg("--json").arg("query").args(args).output().expect("the program runs");
    let text = String::from_utf8(output.stdout).expect("JSON is text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The circles of what was written, or of another list of records of an answer.
fn circles_of(records: &Value) -> Vec<String> {
    let all = records.as_array().expect("records").iter();
    let mut names: Vec<String> = all.map(|new| new["circle"].as_str().expect("a name").to_owned()).collect();
    names.sort();
    names
}

fn refused(node: &Node, args: &[&str]) -> String {
    let output = node.tell(args);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn three(folder: &std::path::Path) -> Vec<Node> {
    let nodes = Node::mesh(folder, &["cert-xa", "police-xb", "bank-xc"]);
    circle(&nodes, "ops", &[(1, "police-xb")]);
    circle(&nodes, "harbour", &[(1, "police-xb"), (2, "bank-xc")]);
    nodes
}

#[test]
fn a_report_in_several_circles_is_one_row_and_goes_on_in_all_of_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = three(folder.path());
    let to = ["--to", "ops", "--to", "harbour"];
    let first = nodes[0].json(&[&["publish", "203.0.113.80", "--tlp", "amber"][..], &to].concat());
    assert_eq!(circles_of(&first["records"]), ["harbour", "ops"]);
    assert_eq!(first["records"][0]["subject"], first["records"][1]["subject"]);
    let id = first["records"][1]["record"].as_str().expect("an id").to_owned();
    until("each has it where it is in", || {
        rows(&nodes[1], "203.0.113.80") == [["harbour", "ops"]]
            && rows(&nodes[2], "203.0.113.80") == [["harbour"]]
    });
    assert_eq!(rows(&nodes[0], "203.0.113.80"), [["harbour", "ops"]]);
    let lists = listed(&nodes[1], &["203.0.113.80"]);
    assert_eq!(lists.len(), 1, "{lists:?}");
    assert_eq!(words(&lists[0]["circles"]), ["harbour", "ops"]);
    let subject = first["records"][0]["subject"].as_str().expect("a subject").to_owned();
    assert_eq!(words(&nodes[1].json(&["show", &subject])["circles"]), ["harbour", "ops"]);
    let text = nodes[1].tell(&["lookup", "203.0.113.80"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("shared in harbour, ops"));

    // What may not go to one of them goes to none, and the circle is named.
    let why =
        refused(&nodes[0], &["publish", "203.0.113.81", "--tlp", "amber", "--to", "ops", "--to", "mesh"]);
    assert!(why.contains("circle `mesh`") && why.contains("TLP:AMBER"), "{why}");
    let why = refused(&nodes[0], &["publish", "203.0.113.81", "--tlp", "red", "--to", "own", "--to", "ops"]);
    assert!(why.contains("circle `ops`") && why.contains("TLP:RED"), "{why}");
    assert!(!nodes[0].knows("203.0.113.81"), "nothing of it was written");
    let own = nodes[0].json(&["publish", "203.0.113.81", "--tlp", "amber", "--to", "own"]);
    let kept = own["records"][0]["record"].as_str().expect("an id").to_owned();
    let why = refused(&nodes[0], &["share", &kept, "--to", "ops", "--to", "mesh"]);
    assert!(why.contains("circle `mesh`") && why.contains("TLP:AMBER"), "{why}");
    assert_eq!(rows(&nodes[0], "203.0.113.81"), [["own"]]);
    let shared = nodes[0].json(&[&["share", &kept][..], &to].concat());
    assert_eq!(circles_of(&shared["records"]), ["harbour", "ops"]);
    assert_eq!(rows(&nodes[0], "203.0.113.81"), [["harbour", "ops", "own"]]);

    // Its next version goes to all in which it stands, and says so where fewer were named.
    let next = nodes[0].json(&["publish", "203.0.113.82", "--replaces", &id]);
    assert_eq!(circles_of(&next["records"]), ["harbour", "ops"]);
    until("the bank has the correction", || {
        nodes[2].knows("203.0.113.82") && !nodes[2].knows("203.0.113.80")
    });
    until("the police have it in both", || rows(&nodes[1], "203.0.113.82") == [["harbour", "ops"]]);
    assert!(rows(&nodes[1], "203.0.113.80").is_empty());
    let again = nodes[0].json(&["publish", "203.0.113.83", "--replaces", &subject, "--to", "ops"]);
    assert_eq!(circles_of(&again["records"]), ["harbour", "ops"]);
    assert!(again["warnings"][0].as_str().expect("words").contains("circle `harbour` as well"), "{again}");
    let why = refused(&nodes[0], &["publish", "203.0.113.83", "--replaces", &subject, "--to", "own"]);
    assert!(why.contains("no version in circle `own`"), "{why}");

    // Marked more strictly in one of them, it binds as strictly as there.
    let raised = nodes[0].json(&["publish", "203.0.113.84", "--tlp", "green", "--to", "harbour"]);
    let raised = raised["records"][0]["record"].as_str().expect("an id").to_owned();
    nodes[0].json(&["share", &raised, "--to", "ops", "--tlp", "amber"]);
    until("the police have both", || rows(&nodes[1], "203.0.113.84") == [["harbour", "ops"]]);
    let hit = &known(&nodes[1], "203.0.113.84")["hits"][0];
    assert_eq!((&hit["tlp"], &hit["circle"]), (&"TLP:AMBER".into(), &"ops".into()), "{hit}");
    assert_eq!(known(&nodes[2], "203.0.113.84")["hits"][0]["tlp"], "TLP:GREEN");

    // Taken back in one command everywhere.
    let back = nodes[0].json(&["retract", &subject, "--reason", "superseded"]);
    assert_eq!(circles_of(&back["records"]), ["harbour", "ops"]);
    until("nobody answers with it", || nodes.iter().all(|node| !node.knows("203.0.113.83")));
    assert_eq!(nodes[2].json(&["show", &id])["taken_back"]["reason"], "superseded");
}

#[test]
fn a_report_for_fewer_is_taken_back_and_stands_elsewhere_in_one_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = three(folder.path());
    let new = nodes[0].json(&["publish", "203.0.113.90", "--tlp", "green", "--to", "harbour"]);
    let id = new["records"][0]["record"].as_str().expect("an id").to_owned();
    until("both have it", || nodes[1].knows("203.0.113.90") && nodes[2].knows("203.0.113.90"));
    let narrow = ["share", &id, "--to", "ops", "--instead-of", "harbour"];
    // Said first, and refused as a whole.
    let would = nodes[0].json(&[&narrow[..], &["--dry-run"]].concat());
    assert_eq!(
        (circles_of(&would["records"]), circles_of(&would["taken_back"])),
        (vec!["ops".into()], vec!["harbour".into()])
    );
    assert_eq!(would["records"][0]["partners"], serde_json::json!(["police-xb"]));
    let why = refused(&nodes[0], &[&narrow[..], &["--tlp", "red"]].concat());
    assert!(why.contains("TLP:RED"), "{why}");
    for (args, said) in [
        (&["share", &id, "--to", "ops", "--instead-of", "mesh"][..], "did not share it in circle `mesh`"),
        (&["share", &id, "--to", "ops", "--instead-of", "ops"], "behind --to and behind --instead-of"),
        (&["share", &id, "--to", "ops", "--instead-of", "own"], "narrows nothing"),
    ] {
        let why = refused(&nodes[0], args);
        assert!(why.contains(said), "{why}");
    }
    assert!(nodes[2].knows("203.0.113.90") && rows(&nodes[0], "203.0.113.90") == [["harbour"]]);
    // Done: the bank has it no longer, the police go on with it.
    let done = nodes[0].json(&narrow);
    assert_eq!(
        (circles_of(&done["records"]), circles_of(&done["taken_back"])),
        (vec!["ops".into()], vec!["harbour".into()])
    );
    assert!(done["warnings"].is_null(), "it is narrower: {done}");
    until("the bank has it no longer", || !nodes[2].knows("203.0.113.90"));
    assert_eq!(nodes[2].json(&["show", &id])["taken_back"]["reason"], "narrowed");
    until("the police have it in the other circle", || rows(&nodes[1], "203.0.113.90") == [["ops"]]);
    let there = done["records"][0]["record"].as_str().expect("an id").to_owned();
    assert_eq!(nodes[0].json(&["show", &there])["shared_to"], serde_json::json!(["ops"]));
    // For all of them again it is one report still, which goes on and is taken back in all.
    let wider = nodes[0].json(&["share", &there, "--to", "harbour"]);
    assert_ne!(
        wider["records"][0]["subject"], done["records"][0]["subject"],
        "what was taken back is so for ever"
    );
    until("the bank has it again", || nodes[2].knows("203.0.113.90"));
    until("the police have it once", || rows(&nodes[1], "203.0.113.90") == [["harbour", "ops"]]);
    assert_eq!(listed(&nodes[1], &["203.0.113.90"]).len(), 1);
    let wider = wider["records"][0]["record"].as_str().expect("an id").to_owned();
    let next = nodes[0].json(&["publish", "203.0.113.91", "--replaces", &wider]);
    assert_eq!(circles_of(&next["records"]), ["harbour", "ops"]);
    let from = nodes[0].json(&["share", &there, "--to", "mesh", "--instead-of", "ops"]);
    assert!(
        from["warnings"][0].as_str().expect("words").contains("bank-xc did not get it in circle `ops`"),
        "{from}"
    );
    let back = nodes[0].json(&["retract", &wider, "--reason", "legal-order"]);
    assert_eq!(circles_of(&back["records"]), ["harbour", "mesh"]);
    until("it is gone everywhere", || nodes.iter().all(|node| !node.knows("203.0.113.91")));
}

#[test]
fn an_import_is_shared_in_each_circle_that_its_marking_allows() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = three(folder.path());
    let list = written(folder.path(), "feed/list.txt", "203.0.113.100\n203.0.113.101\n");
    let list = list.to_str().expect("UTF-8");
    let to = ["--share", "ops", "--to", "harbour"];
    let done = nodes[0].json(&[&["import", list, "--tlp", "amber"][..], &to].concat());
    assert_eq!(circles_of(&done["total"]["records"]), ["harbour", "ops", "own"], "{done}");
    until("the police have it once", || rows(&nodes[1], "203.0.113.100") == [["harbour", "ops"]]);
    until("the bank has it", || rows(&nodes[2], "203.0.113.101") == [["harbour"]]);
    let strict =
        nodes[0].json_with(3, &["import", list, "--tlp", "amber", "--share", "mesh", "--share", "ops"]);
    let why = strict["total"]["skipped"][0]["why"].as_str().expect("words");
    assert!(why.contains("not shared in circle `mesh`: TLP:AMBER"), "{strict}");
    written(folder.path(), "feed/list.txt", "203.0.113.100\n203.0.113.102\n");
    nodes[0].json(&[&["import", list, "--tlp", "amber"][..], &to].concat());
    until("what left the file left both", || {
        rows(&nodes[1], "203.0.113.102") == [["harbour", "ops"]]
            && rows(&nodes[1], "203.0.113.101").is_empty()
    });
    let unknown = refused(&nodes[0], &["import", list, "--share", "ops", "--share", "no-circle"]);
    assert!(unknown.contains("no circle `no-circle`"), "{unknown}");
}

#[test]
fn who_left_a_circle_takes_back_where_it_still_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = Node::mesh(folder.path(), &["cert-xa", "police-xb"]);
    circle(&nodes, "ops", &[(1, "police-xb")]);
    let new = nodes[1].json(&["publish", "203.0.113.110", "--tlp", "green", "--to", "ops", "--to", "mesh"]);
    let id = new["records"][0]["record"].as_str().expect("an id").to_owned();
    let alone = nodes[1].json(&["publish", "203.0.113.111", "--tlp", "green", "--to", "ops"]);
    let alone = alone["records"][0]["record"].as_str().expect("an id").to_owned();
    until("both came", || nodes[0].knows("203.0.113.110") && nodes[0].knows("203.0.113.111"));
    nodes[1].json(&["circle", "leave", "ops"]);
    until("the police are out", || part(&nodes[1], "ops").as_deref() == Some("out"));
    let next = nodes[1].json(&["publish", "203.0.113.112", "--replaces", &id]);
    assert_eq!(circles_of(&next["records"]), ["mesh"]);
    assert!(
        next["warnings"][0]
            .as_str()
            .expect("words")
            .contains("members of circle `ops` keep the version before"),
        "{next}"
    );
    let back = nodes[1].json(&["retract", &id, "--reason", "leaked"]);
    assert_eq!(circles_of(&back["records"]), ["mesh"]);
    assert!(
        back["warnings"][0].as_str().expect("words").contains("stays with the members of circle `ops`"),
        "{back}"
    );
    until("it is gone from the mesh", || !nodes[0].knows("203.0.113.112"));
    let why = refused(&nodes[1], &["retract", &alone, "--reason", "leaked"]);
    assert!(why.contains("no longer in circle `ops`"), "{why}");
}

/// Org, whether it would get it, how many reports, and by which rule.
fn recipients(answer: &Value) -> Vec<(String, bool, u64, String)> {
    let all = answer["recipients"].as_array().expect("a list").iter();
    let word = |one: &Value, field: &str| one[field].as_str().expect("a word").to_owned();
    all.map(|one| {
        let gets = one["gets"].as_bool().expect("yes or no");
        (word(one, "org"), gets, one["reports"].as_u64().expect("a number"), word(one, "rule"))
    })
    .collect()
}

#[test]
fn who_would_get_it_is_told_before_it_is_sent_and_is_what_happens() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = three(folder.path());
    let rule = "\n// No domains for banks.\n@id(\"no-domains-for-banks\") forbid (principal, action == Action::\"forward\", resource)\n\
                when { principal.name == \"bank-xc\" && resource has types && resource.types.contains(\"domain\") };\n";
    nodes[0].write_policy(&(nodes[0].read_policy() + rule));
    nodes[0].json(&["policy", "reload"]);
    let new = nodes[0].json(&["publish", "bad.example", "--tlp", "amber", "--to", "own"]);
    let id = new["records"][0]["record"].as_str().expect("an id").to_owned();
    let ask = |code, args: &[&str]| {
        let answer = nodes[0].json_with(code, &[&["who-would-get"], args].concat());
        (recipients(&answer), answer)
    };
    let (said, answer) = ask(0, &[&id, "--to", "harbour"]);
    let bank = ("bank-xc".to_owned(), false, 1, "no-domains-for-banks".to_owned());
    assert!(said.contains(&bank) && said.len() == 2, "{answer}");
    let police = said.iter().find(|one| one.0 == "police-xb").expect("the police are in");
    assert!(police.1, "{answer}");
    let told = nodes[0].tell(&["who-would-get", &id, "--to", "harbour"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("no-domains-for-banks: No domains for banks."), "{told}");
    // A guardrail keeps it from everybody, also where the answer is only asked for.
    let (said, _) = ask(1, &[&id, "--to", "mesh"]);
    assert!(
        said.len() == 2 && said.iter().all(|one| !one.1 && one.3 == "guardrail:tlp-direction"),
        "{said:?}"
    );
    let (said, _) = ask(1, &[&id, "--to", "own"]);
    assert!(said.is_empty(), "{said:?}");
    let (said, _) = ask(1, &[&id, "--to", "harbour", "--tlp", "amber", "--countries", "DE"]);
    assert!(said.iter().all(|one| one.3 == "guardrail:countries"), "{said:?}");
    // A file, report by report: nothing of it is written.
    let list = written(folder.path(), "feed/mixed.csv", "value\n203.0.113.120\nworse.example\n");
    let list = list.to_str().expect("UTF-8");
    let (said, answer) = ask(0, &[list, "--to", "ops", "--to", "harbour", "--tlp", "green"]);
    assert_eq!(said.iter().filter(|one| one.1).count(), 2, "the police in both: {answer}");
    assert!(said.contains(&bank), "{answer}");
    let (said, answer) = ask(1, &[list, "--to", "ops"]);
    assert!(said.iter().all(|one| !one.1 && one.3 == "guardrail:unmarked"), "{answer}");
    assert_eq!(answer["unmarked"], 1, "{answer}");
    assert!(!nodes[0].knows("203.0.113.120") && !nodes[0].knows("worse.example"));
    for (args, why) in [
        (&["who-would-get", &id, "--to", "no-circle"][..], "no circle `no-circle`"),
        (&["who-would-get", "./no-file.csv", "--to", "mesh"], "there is no file ./no-file.csv"),
        (&["who-would-get", list, "--to", "ops", "--countries", "DE"], "for files only --tlp"),
    ] {
        assert!(refused(&nodes[0], args).contains(why), "{args:?}");
    }
    // What was said is what happens.
    let shared = nodes[0].json(&["share", &id, "--to", "harbour"]);
    let there = shared["records"][0]["record"].as_str().expect("an id").to_owned();
    until("the police have it", || nodes[1].knows("bad.example"));
    let peers = || nodes[0].json(&["why", &there])["peers"].as_array().expect("a list").clone();
    let bank = peers().into_iter().find(|peer| peer["org"] == "bank-xc").expect("the bank is in");
    assert_eq!((&bank["allowed"], &bank["rule"]), (&false.into(), &"no-domains-for-banks".into()), "{bank}");
    assert!(!nodes[2].knows("bad.example"));
}

/// What is said of how often something was met: kind, count, and who says so.
fn sighted(answer: &Value) -> Vec<(String, u64, Vec<String>)> {
    let all = answer["sightings"].as_array().cloned().unwrap_or_default();
    all.iter()
        .map(|one| {
            let kind = one["kind"].as_str().expect("a word").to_owned();
            (kind, one["count"].as_u64().expect("a number"), words(&one["orgs"]))
        })
        .collect()
}

#[test]
fn sightings_and_notes_go_where_what_they_are_about_stands_and_count_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = three(folder.path());
    let new =
        nodes[0].json(&["publish", "203.0.113.130", "--tlp", "amber", "--to", "ops", "--to", "harbour"]);
    let subject = new["records"][0]["subject"].as_str().expect("a subject").to_owned();
    until("all have it", || nodes[1].knows("203.0.113.130") && nodes[2].knows("203.0.113.130"));
    // Seen by one who has it in two circles: two records, one sighting.
    let seen = nodes[1].json(&["sight", "203.0.113.130", "--count", "3", "--time", "2026-11-01T00:00:00Z"]);
    assert_eq!(circles_of(&seen["records"]), ["harbour", "ops"]);
    let three_times = ("seen".to_owned(), 3, vec!["police-xb".to_owned()]);
    let counts = |node: &Node| sighted(&known(node, "203.0.113.130"));
    until("all count it once", || nodes.iter().all(|node| counts(node) == [three_times.clone()]));
    // Twice of one day is two, also where nothing tells them apart but that somebody said it twice.
    for _ in 0..2 {
        nodes[2].json(&["sight", "203.0.113.130", "--time", "2026-11-02"]);
    }
    nodes[2].json(&["sight", &subject, "--false-positive"]);
    until("both are counted", || {
        let all = counts(&nodes[0]);
        let seen = all.iter().find(|one| one.0 == "seen").map(|one| (one.1, one.2.len()));
        seen == Some((5, 2)) && all.iter().any(|one| one.0 == "false-positive" && one.2 == ["bank-xc"])
    });
    let told = nodes[0].tell(&["lookup", "203.0.113.130"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("seen 5 times by") && told.contains("false positive by bank-xc"), "{told}");
    // A note, which nobody reads outside; all of it stands after a restart.
    nodes[1].json(&["note", &subject, "Sinkholed\nsince today"]);
    until("the bank reads it", || {
        let shown = nodes[2].json(&["show", &subject]);
        shown["notes"][0]["text"] == "Sinkholed\nsince today" && shown["notes"][0]["org"] == "police-xb"
    });
    let shown = nodes[0].json(&["show", &subject]);
    assert_eq!(shown["notes"].as_array().map(Vec::len), Some(1), "{shown}");
    assert_eq!(words(&shown["notes"][0]["circles"]), ["harbour", "ops"]);
    let before = (counts(&nodes[0]), shown["notes"].clone());
    nodes[0].kill();
    nodes[0].run();
    assert_eq!((counts(&nodes[0]), nodes[0].json(&["show", &subject])["notes"].clone()), before);
    assert_eq!(sighted(&nodes[0].json(&["show", &subject])).len(), 2);
    // What stands in the own circle alone stays there; a value that nobody lists is no sighting.
    let own = nodes[0].json(&["publish", "203.0.113.131", "--to", "own"]);
    let own = own["records"][0]["record"].as_str().expect("an id").to_owned();
    assert_eq!(circles_of(&nodes[0].json(&["sight", "203.0.113.131"])["records"]), ["own"]);
    assert_eq!(circles_of(&nodes[0].json(&["note", &own, "ours"])["records"]), ["own"]);
    for (args, why) in [
        (&["sight", "203.0.113.139"][..], "nothing here lists 203.0.113.139"),
        (&["sight", "no value"], "no value"),
        (&["sight", "203.0.113.131", "--count", "0"], "--count"),
        (&["note", &own, " "], "at least one"),
        (&["note", "203.0.113.131", "text"], "is no record"),
    ] {
        let said = refused(&nodes[0], args);
        assert!(said.contains(why), "{args:?}: {said}");
    }
    assert!(!nodes[0].knows("203.0.113.139"));
}
