//! `status`, `why` and `[trust]`, in a mesh of which one node is stopped.

use std::fs;

use serde_json::Value;

use crate::harness::{Node, until};

fn row<'a>(rows: &'a Value, keys: &[(&str, &str)]) -> &'a Value {
    let fits = |row: &&Value| keys.iter().all(|(key, value)| row[*key] == *value);
    rows.as_array().expect("rows").iter().find(fits).unwrap_or_else(|| panic!("no {keys:?} in {rows}"))
}

#[test]
fn status_and_why_are_true_while_one_node_is_stopped() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::mesh(folder.path(), &["cert-aa", "police-bb", "bank-cc"]);
    // What the founder writes goes to the police, and not to the bank.
    let policy = nodes[0].read_policy()
        + "\n@id(\"not-to-the-bank\") forbid (principal, action == Action::\"forward\", resource)\n\
           when { principal.name == \"bank-cc\" && resource.tlp == 2 };\n";
    nodes[0].write_policy(&policy);
    nodes[0].json(&["policy", "reload"]);
    let mut ids = Vec::new();
    for (value, tlp) in [("192.0.2.1", "clear"), ("192.0.2.2", "clear"), ("192.0.2.3", "green")] {
        let new = nodes[0].json(&["publish", value, "--tlp", tlp, "--to", "mesh"]);
        ids.push(new["records"][0]["record"].as_str().expect("an id").to_owned());
    }
    let from_bank = nodes[2].json(&["publish", "198.51.100.1", "--tlp", "green", "--to", "mesh"]);
    let from_bank = from_bank["records"][0]["record"].as_str().expect("an id").to_owned();
    until("all that may arrive arrived", || {
        nodes[1].knows("192.0.2.3") && nodes[2].knows("192.0.2.2") && nodes[1].knows("198.51.100.1")
    });
    until("both signed for the newest record", || {
        let receipts = nodes[0].json(&["status"])["receipts"].clone();
        receipts.as_array().expect("receipts").iter().filter(|receipt| receipt["height"] == 3).count() == 2
    });

    // The withheld one is told apart, and the mesh is complete without it.
    until("the bank knows what it is not given", || {
        nodes[2].json(&["status"])["withheld"][0]["records"] == 1
    });
    until("the bank is complete", || nodes[2].json(&["status"])["complete"] == true);
    let status = nodes[2].json(&["status"]);
    assert_eq!(status["withheld"][0]["author"], "cert-aa");
    assert_eq!((&status["missing"], &status["silent"]), (&0.into(), &serde_json::json!([])));
    let log = row(&status["logs"], &[("author", "cert-aa"), ("circle", "mesh")]);
    assert_eq!((&log["height"], &log["withheld"], &log["missing"]), (&3.into(), &1.into(), &0.into()));

    // One partner stops; its row says so, and after max-age it is silent.
    nodes[1].kill();
    until("the link is down", || {
        row(&nodes[0].json(&["status"])["peers"], &[("org", "police-bb")])["connected"] == false
    });
    nodes[0].json(&["publish", "192.0.2.4", "--tlp", "clear", "--to", "mesh"]);
    until("the bank has four", || {
        let status = nodes[0].json(&["status"]);
        row(&status["receipts"], &[("org", "bank-cc"), ("circle", "mesh")])["height"] == 4
    });
    let status = nodes[0].json(&["status"]);
    let up = row(&status["peers"], &[("org", "bank-cc")]);
    assert!(up["connected"] == true && up["rtt_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{up}");
    assert_eq!((&up["queued"], &up["slow"]), (&0.into(), &false.into()));
    let down = row(&status["peers"], &[("org", "police-bb")]);
    assert!(down["rtt_ms"].is_null() && down["address"].is_null(), "{down}");
    let mine = row(&status["logs"], &[("author", "cert-aa"), ("circle", "mesh")]);
    assert_eq!(mine["height"], 4);
    let theirs = row(&status["logs"], &[("author", "bank-cc"), ("circle", "mesh")]);
    assert_eq!(theirs["height"], 1);
    let gone = row(&status["receipts"], &[("org", "police-bb"), ("circle", "mesh")]);
    assert_eq!((&gone["height"], &gone["of"]), (&3.into(), &4.into()), "what it holds is what it signed for");
    assert!(status["store"]["disk_bytes"].as_u64().is_some_and(|bytes| bytes > 4_000_000), "{status}");
    assert_eq!(status["store"]["records"], 5);
    assert!(status["queues"]["inbox"].is_u64() && status["queues"]["outbox_bytes"] == 0, "{status}");
    // The founder's own heads are what the bank measures by; they come every half minute where something is new.
    until("the bank heard a head that names all four", || {
        let status = nodes[2].json(&["status"]);
        let log = row(&status["logs"], &[("author", "cert-aa"), ("circle", "mesh")]).clone();
        log["announced"] == 4 && log["height"] == 4 && log["announced_at"].is_string()
    });

    let text = String::from_utf8(nodes[0].tell(&["status"]).stdout).expect("UTF-8");
    for word in [
        "round trip",
        "to send",
        "announced",
        "held",
        "on disk",
        "inputs",
        "policy:",
        "acknowledged by",
        "down",
    ] {
        assert!(text.contains(word), "`{word}` is not in\n{text}");
    }

    // Why: what policy says now of each partner, and what each signed for.
    let why = nodes[0].json(&["why", &ids[2]]);
    let bank = row(&why["peers"], &[("org", "bank-cc")]);
    assert_eq!((&bank["allowed"], &bank["rule"]), (&false.into(), &"not-to-the-bank".into()));
    assert_eq!((bank["acknowledged"].is_string(), &bank["connected"]), (true, &true.into()));
    let police = row(&why["peers"], &[("org", "police-bb")]);
    assert_eq!((&police["allowed"], &police["connected"]), (&true.into(), &false.into()));
    assert!(police["acknowledged"].is_string(), "{police}");
    assert_eq!((&why["came_by"], &why["verdict"]), (&"self".into(), &"accept".into()));
    let of_bank = nodes[0].json(&["why", &from_bank]);
    assert!(of_bank["came_by"].as_str().is_some_and(|by| by.starts_with("bank-cc")), "{of_bank}");
    assert_eq!(of_bank["saw"]["resource.age_days"], "0", "what the rules read of it: {of_bank}");
    nodes[0].json(&["retract", &ids[0], "--reason", "wrong"]);
    let taken_back = nodes[0].json(&["why", &ids[0]]);
    let bank = row(&taken_back["peers"], &[("org", "bank-cc")]);
    assert_eq!(
        (&bank["allowed"], &bank["rule"]),
        (&false.into(), &"body-gone".into()),
        "there is nothing to pass on"
    );
    let text = String::from_utf8(nodes[0].tell(&["why", &ids[2]]).stdout).expect("UTF-8");
    assert!(text.contains("policy now") && text.contains("header only"), "{text}");
}

#[test]
fn what_is_thought_of_a_partner_enters_the_policy() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::mesh(folder.path(), &["cert-aa", "police-bb"]);
    let bb = nodes.pop().expect("two");
    let mut aa = nodes.pop().expect("two");
    bb.json(&["publish", "192.0.2.1", "--tlp", "green", "--to", "mesh"]);
    let second = bb.json(&["publish", "192.0.2.2", "--tlp", "green", "--to", "mesh"]);
    until("it is accepted while nothing is said", || aa.knows("192.0.2.1") && aa.knows("192.0.2.2"));
    let partner = |node: &Node| node.json(&["status", "--partners"])["partners"][0].clone();
    let seen = partner(&aa);
    assert_eq!(
        (&seen["org"], &seen["accepted"], &seen["trust"]),
        (&"police-bb".into(), &2.into(), &Value::Null)
    );

    // The preset holds what comes from those who are not trusted; what was judged before is judged again.
    aa.kill();
    let config = aa.home.join("config.toml");
    let text = fs::read_to_string(&config).expect("a configuration");
    assert!(text.contains("\n[trust]\n"), "{text}");
    fs::write(&config, text.replace("\n[trust]\n", "\n[trust]\npolice-bb = 20\nnobody = 3\n"))
        .expect("written");
    aa.run();
    until("it is held", || !aa.knows("192.0.2.1") && partner(&aa)["held"] == 2);
    assert_eq!(partner(&aa)["trust"], 20);
    let record = second["records"][0]["record"].as_str().expect("an id");
    let why = aa.json(&["why", record]);
    assert_eq!(why["rule"], "hold-distrusted");
    assert_eq!(why["saw"]["principal.trust"], "20");
    assert!(aa.log().contains("nobody"), "a name that is no org is told of: {}", aa.log());
    bb.json(&["retract", record, "--reason", "wrong"]);
    until("the retraction is counted", || partner(&aa)["withdrawn"] == 1);
    let text = String::from_utf8(aa.tell(&["status", "--partners"]).stdout).expect("UTF-8");
    assert!(text.contains("taken back") && text.contains("trust (yours)"), "{text}");
}
