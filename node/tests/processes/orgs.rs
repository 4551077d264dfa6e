//! Who is in the mesh: an org is taken out of it, and shut out by all.

use serde_json::Value;

use crate::harness::{Node, until};

fn names(list: &Value) -> Vec<String> {
    let all = list.as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().map(|row| row["org"].as_str().expect("a name").to_owned()).collect()
}

fn words(list: &Value) -> Vec<String> {
    let all = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut all: Vec<String> = all.iter().map(|word| word.as_str().expect("a word").to_owned()).collect();
    all.sort();
    all
}

/// Whom a node's status names as a partner with a link that is up.
fn linked(node: &Node) -> Vec<String> {
    let peers = node.json(&["status"])["peers"].clone();
    let up = peers.as_array().expect("peers").iter().filter(|peer| peer["connected"] == true);
    up.map(|peer| peer["org"].as_str().expect("a name").to_owned()).collect()
}

fn refused(node: &Node, args: &[&str]) -> String {
    let output = node.tell(args);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn who_is_taken_out_of_the_mesh_is_shut_out_by_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::mesh(folder.path(), &["cert-xa", "police-xb", "bank-xc"]);
    nodes[0].json(&["circle", "create", "ops", "--members", "bank-xc"]);
    until("the bank is invited", || crate::circles::part(&nodes[2], "ops").as_deref() == Some("invited"));
    nodes[2].json(&["circle", "accept", "ops"]);
    until("the bank is in", || crate::circles::members(&nodes[0], "ops").len() == 2);
    nodes[2].json(&["publish", "203.0.113.1", "--tlp", "green", "--to", "mesh"]);
    until("all know what the bank wrote", || nodes[..2].iter().all(|node| node.knows("203.0.113.1")));

    // Whom nobody knows, by who is no steward, the last steward, without an answer, without the root key.
    let why = refused(&nodes[0], &["mesh", "remove", "bank-xd", "--yes"]);
    assert!(why.contains("no org `bank-xd`") && why.contains("tocsin mesh show"), "{why}");
    let why = refused(&nodes[1], &["mesh", "remove", "bank-xc", "--yes"]);
    assert!(why.contains("no steward of the mesh"), "{why}");
    let why = refused(&nodes[0], &["mesh", "remove", "cert-xa", "--yes"]);
    assert!(why.contains("last steward"), "{why}");
    let why = refused(&nodes[0], &["mesh", "remove", "bank-xc"]);
    assert!(why.contains("not confirmed"), "{why}");
    let (root, safe) = (nodes[0].home.join("root"), folder.path().join("safe"));
    std::fs::rename(&root, &safe).expect("moved");
    let why = refused(&nodes[0], &["mesh", "remove", "bank-xc", "--yes"]);
    assert!(why.contains("root key is not at") && why.contains("bring the file back"), "{why}");
    std::fs::rename(&safe, &root).expect("moved back");
    assert_eq!(nodes[0].json(&["status"])["charter"], 3, "nothing of that changed the mesh");

    let shown = nodes[0].json(&["mesh", "remove", "bank-xc", "--yes"]);
    assert_eq!((&shown["charter"], names(&shown["orgs"]).len()), (&4.into(), 2), "{shown}");
    assert_eq!(names(&shown["removed"]), ["bank-xc"]);
    until("the police hear it", || nodes[1].json(&["status"])["charter"] == 4);
    for node in &nodes[..2] {
        let status = node.json(&["status"]);
        assert_eq!(names(&status["removed"]), ["bank-xc"], "{status}");
        assert!(!names(&status["peers"]).contains(&"bank-xc".to_owned()), "{status}");
        let text = String::from_utf8_lossy(&node.tell(&["status"]).stdout).into_owned();
        assert!(text.contains("removed: bank-xc is no longer in the mesh, since charter 4"), "{text}");
    }
    until("the documents of the police have it", || {
        names(&nodes[1].json(&["mesh", "show"])["removed"]) == ["bank-xc"]
    });
    until("the bank has no link", || linked(&nodes[2]).is_empty());
    assert_eq!(crate::circles::members(&nodes[0], "ops"), ["cert-xa"], "it is out of circles as well");

    // Neither what is written from then on, by it or for others, passes, nor does it come back by itself.
    nodes[0].json(&["publish", "203.0.113.2", "--tlp", "green", "--to", "mesh"]);
    nodes[1].json(&["publish", "203.0.113.3", "--tlp", "green", "--to", "mesh"]);
    nodes[0].json(&["publish", "203.0.113.4", "--tlp", "amber", "--to", "ops"]);
    nodes[2].json(&["publish", "203.0.113.5", "--tlp", "green", "--to", "mesh"]);
    until("those who are in go on", || nodes[1].knows("203.0.113.2") && nodes[0].knows("203.0.113.3"));
    nodes[2].kill();
    nodes[2].run();
    let tried = || nodes[0].log().matches("a link is ended").count();
    let before = tried();
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert!(linked(&nodes[2]).is_empty() && linked(&nodes[0]) == ["police-xb"], "tried {}", tried() - before);
    for value in ["203.0.113.2", "203.0.113.3", "203.0.113.4"] {
        assert!(!nodes[2].knows(value), "the bank knows {value}");
    }
    assert!(nodes[..2].iter().all(|node| !node.knows("203.0.113.5")), "what it wrote was taken");

    // What it wrote before stays, under its name, and it keeps what it has. A restart changes nothing of it.
    nodes[1].kill();
    nodes[1].run();
    for node in &nodes[..2] {
        let known = crate::several::known(node, "203.0.113.1");
        assert_eq!(known["hits"][0]["author"], "bank-xc (removed)", "{known}");
    }
    assert!(nodes[2].knows("203.0.113.1"));
    let why = refused(&nodes[0], &["mesh", "remove", "bank-xc", "--yes"]);
    assert!(why.contains("no org `bank-xc`"), "{why}");

    // Taken in again, it is in the mesh, and not in what it was in: its steward invites it anew.
    let card = nodes[2].home.join("bank-xc.card");
    let invite = folder.path().join("again.invite");
    let (card, invite) = (card.to_str().expect("UTF-8"), invite.to_str().expect("UTF-8"));
    nodes[0].json(&["mesh", "add", card, "--yes", "--out", invite]);
    until("the bank is linked again", || linked(&nodes[2]).contains(&"cert-xa".to_owned()));
    until("the bank hears what it missed", || nodes[2].knows("203.0.113.2") && nodes[2].knows("203.0.113.3"));
    assert!(names(&nodes[0].json(&["status"])["removed"]).is_empty());
    assert_eq!(crate::circles::members(&nodes[0], "ops"), ["cert-xa"]);
    assert!(!nodes[2].knows("203.0.113.4"), "what was for others meanwhile stays theirs");
    let why = refused(&nodes[0], &["circle", "invite", "ops", "bank-xc"]);
    assert!(why.contains("tocsin circle remove"), "{why}");
    nodes[0].json(&["circle", "remove", "ops", "bank-xc"]);
    nodes[0].json(&["circle", "invite", "ops", "bank-xc"]);
    until("the bank is invited anew", || {
        crate::circles::part(&nodes[2], "ops").as_deref() == Some("invited")
    });
    nodes[2].json(&["circle", "accept", "ops"]);
    until("the bank is in anew", || crate::circles::members(&nodes[0], "ops").len() == 2);
    nodes[0].json(&["publish", "203.0.113.6", "--tlp", "amber", "--to", "ops"]);
    until("the bank reads what is written now", || nodes[2].knows("203.0.113.6"));
    // Who lacks a key is looked for each second.
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert!(!nodes[2].knows("203.0.113.4"));
}

fn text_of(path: &std::path::Path) -> String {
    std::fs::read_to_string(path).expect("a file")
}

#[test]
fn the_founder_hands_over_to_two_of_three_stewards() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = Node::mesh(folder.path(), &["cert-xa", "police-xb", "bank-xc", "spy-xd"]);
    let file = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (first, second, third) = (file("first.change"), file("second.change"), file("third.change"));

    // Who is to decide has to agree.
    let made = ["mesh", "steward", "add", "police-xb", "bank-xc", "--yes", "--change", &first];
    let change = nodes[0].json(&made);
    assert_eq!((&change["state"], &change["charter"]), (&"awaits".into(), &5.into()), "{change}");
    assert_eq!(words(&change["awaits"]), ["bank-xc", "police-xb"], "{change}");
    assert_eq!(nodes[0].json(&["status"])["charter"], 4, "nothing is in force");
    let asked = refused(&nodes[1], &["mesh", "sign", &first]);
    assert!(asked.contains("makes police-xb (csirt, QM)") && asked.contains("not confirmed"), "{asked}");
    let why = refused(&nodes[3], &["mesh", "sign", &first, "--yes"]);
    assert!(why.contains("no steward of the mesh"), "{why}");
    let why = refused(&nodes[1], &["mesh", "apply", &first]);
    assert!(why.contains("waits for") && why.contains("bank-xc"), "{why}");
    // What it signed it does not contradict.
    let why = refused(&nodes[0], &["mesh", "remove", "spy-xd", "--yes"]);
    assert!(why.contains("signed another change") && why.contains("--instead"), "{why}");
    let status = nodes[0].json(&["mesh", "status"]);
    assert_eq!((&status["needed"], &status["signed"]["charter"]), (&1.into(), &5.into()), "{status}");
    let signed = nodes[1].json(&["mesh", "sign", &first, "--yes"]);
    assert_eq!(signed["charter"], 5, "the signature that was missing puts it in force: {signed}");
    until("all hear it", || nodes.iter().all(|node| node.json(&["status"])["charter"] == 5));
    assert_eq!(nodes[2].json(&["mesh", "status", &first])["state"], "in-force");

    // One of three is not enough any more, not even the founder.
    let change = nodes[0].json(&["mesh", "remove", "spy-xd", "--yes", "--change", &second]);
    assert_eq!((&change["state"], &change["needs"][0]["needed"]), (&"awaits".into(), &2.into()), "{change}");
    assert!(linked(&nodes[3]).contains(&"cert-xa".to_owned()));
    // Edited, cut, nothing at all.
    let text = text_of(second.as_ref());
    let bad = folder.path().join("bad.change");
    for (edited, fits) in [
        (text.replace("takes out spy-xd", "takes out bank-xc"), "edited"),
        (text[..text.len() - 60].to_owned(), "whole block"),
        (text_of(&nodes[0].home.join("cert-xa.card")), "TOCSIN CARD"),
        ("x".repeat(9 << 20), "bad.change"),
    ] {
        std::fs::write(&bad, edited).expect("written");
        let why = refused(&nodes[1], &["mesh", "sign", bad.to_str().expect("UTF-8"), "--yes"]);
        assert!(why.contains(fits) && why.contains("bad.change"), "{fits}: {why}");
    }
    // The two others decide without the founder, by copies that are signed apart.
    nodes[1].json(&["mesh", "sign", &second, "--yes", "--change", &third]);
    until("all who are in hear it", || nodes[..3].iter().all(|node| node.json(&["status"])["charter"] == 6));
    until("who was taken out has no link", || linked(&nodes[3]).is_empty());
    // What was overtaken is told as such.
    let why = refused(&nodes[3], &["mesh", "apply", &third]);
    assert!(why.contains("own org"), "{why}");
    let alone =
        nodes[1].json(&["mesh", "propose", "steward", "remove", "cert-xa", "--yes", "--change", &first]);
    assert_eq!(words(&alone["awaits"]), ["bank-xc", "cert-xa"], "{alone}");
    let late = nodes[2].json(&["mesh", "sign", &first, "--yes"]);
    assert_eq!(late["charter"], 7, "{late}");
    until("the founder hears that it decides no more", || {
        let stewards = nodes[0].json(&["mesh", "status"])["stewards"].clone();
        stewards.as_array().is_some_and(|all| all.len() == 2 && !all.contains(&"cert-xa".into()))
    });
    let why = refused(&nodes[0], &["mesh", "remove", "bank-xc", "--yes"]);
    assert!(why.contains("no steward"), "{why}");
    let card = nodes[3].home.join("spy-xd.card");
    let back = ["mesh", "add", card.to_str().expect("UTF-8"), "--yes", "--change", &second];
    assert_eq!(nodes[1].json(&back)["state"], "awaits");
    nodes[2].json(&["mesh", "sign", &second, "--yes"]);
    let invite = file("again.invite");
    until("any member can write its invitation", || {
        nodes[0].tell(&["mesh", "invite", "spy-xd", "--out", &invite]).status.success()
    });
    assert!(text_of(invite.as_ref()).contains("For: spy-xd"));
    until("who comes back is linked", || !linked(&nodes[3]).is_empty());
}

#[test]
fn an_org_changes_what_it_says_of_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = Node::mesh(folder.path(), &["cert-xa", "police-xb"]);
    let entry = |node: &Node, org: &str| {
        let shown = node.json(&["mesh", "show"]);
        let all = shown["orgs"].as_array().expect("orgs").clone();
        all.into_iter().find(|row| row["org"] == org).expect("it is in")
    };
    for (args, fits) in [
        (&["org", "set"][..], "--contact"),
        (&["org", "set", "--contact", "fax=1"], "desk=TEXT"),
        (&["org", "set", "--constituency", "192.0.2.0/99"], "192.0.2.0/24"),
        (&["org", "set", "--country", "Q"], "two letters"),
        (&["org", "set", "--announce", "/ip4/0.0.0.0/tcp/7117"], "host and a port"),
    ] {
        let why = refused(&nodes[1], args);
        assert!(why.contains(fits), "{args:?}: {why}");
    }
    let root = nodes[1].home.join("root");
    std::fs::rename(&root, folder.path().join("safe")).expect("moved");
    let why = refused(&nodes[1], &["org", "set", "--country", "QN"]);
    assert!(why.contains("bring the file back"), "{why}");
    std::fs::rename(folder.path().join("safe"), &root).expect("moved back");

    // Who is no steward signs a card, which a steward takes.
    let announce = format!("/ip4/127.0.0.1/tcp/{}", crate::harness::free_port());
    let said = ["org", "set", "--contact", "desk=Night desk", "--contact", "phone=+1555", "--country", "QN"];
    let more = ["--constituency", "192.0.2.0/24,AS64500,police.example", "--announce", &announce];
    let signed = nodes[1].json(&[&said[..], &more].concat());
    assert_eq!((&signed["state"], &signed["desk"]), (&"signed".into(), &"Night desk".into()), "{signed}");
    assert_eq!(entry(&nodes[1], "police-xb")["desk"], "", "nothing is in force");
    let card = signed["card"].as_str().expect("a path").to_owned();
    let invite = folder.path().join("x.invite");
    nodes[0].json(&["mesh", "add", &card, "--yes", "--out", invite.to_str().expect("UTF-8")]);
    until("its own node hears it", || entry(&nodes[1], "police-xb")["desk"] == "Night desk");
    let there = entry(&nodes[1], "police-xb");
    assert_eq!((&there["phone"], &there["country"]), (&"+1555".into(), &"QN".into()), "{there}");
    let address = there["addresses"][0].as_str().expect("an address");
    assert!(address.starts_with(&format!("{announce}/p2p/")), "{address}");
    assert_eq!(nodes[1].json(&["org", "set", "--country", "qn"])["state"], "same");
    // What is not named stays, and it is the node that it was.
    nodes[1].json(&["org", "set", "--contact", "email=desk@police.example"]);
    nodes[1].json(&["org", "set", "--contact", "phone=+1556"]);
    nodes[0].json(&["mesh", "add", &card, "--yes", "--out", invite.to_str().expect("UTF-8")]);
    until("its mail is known", || entry(&nodes[1], "police-xb")["email"] == "desk@police.example");
    let there = entry(&nodes[1], "police-xb");
    assert_eq!((&there["desk"], &there["phone"]), (&"Night desk".into(), &"+1556".into()), "{there}");
    assert_eq!(linked(&nodes[0]), ["police-xb"]);

    // A steward's own entry is changed at once, as long as its signature is enough.
    let shown = nodes[0].json(&["org", "set", "--contact", "desk=Day desk"]);
    assert_eq!(shown["charter"], 5, "{shown}");
    until("the partner hears it", || entry(&nodes[1], "cert-xa")["desk"] == "Day desk");
    assert_eq!(entry(&nodes[1], "cert-xa")["roles"], serde_json::json!(["steward"]));
    let file = folder.path().join("two.change");
    let file = file.to_str().expect("UTF-8");
    nodes[0].json(&["mesh", "steward", "add", "police-xb", "--yes", "--change", file]);
    nodes[1].json(&["mesh", "sign", file, "--yes"]);
    until("both decide", || nodes[0].json(&["status"])["charter"] == 6);
    until("its documents are written", || nodes[0].json(&["mesh", "status"])["needed"] == 2);
    let waits = nodes[0].json(&["org", "set", "--contact", "desk=Noon desk", "--change", file]);
    assert_eq!(waits["awaits"], serde_json::json!(["police-xb"]), "{waits}");
    assert!(waits["does"][0].as_str().expect("words").contains("desk `Noon desk` instead of `Day desk`"));
    nodes[1].json(&["mesh", "sign", file, "--yes"]);
    until("both signed", || entry(&nodes[0], "cert-xa")["desk"] == "Noon desk");
}

#[test]
fn a_second_machine_of_an_org_serves_it_as_the_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::mesh(folder.path(), &["cert-xa", "police-xb"]);
    let file = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (request, answer) = (file("two.request"), file("two.certified"));
    let mut two = Node { home: folder.path().join("two"), process: None, env: Vec::new() };
    let card = nodes[0].home.join("cert-xa.card").to_str().expect("UTF-8").to_owned();
    let made = two.json(&["org", "new-node", "--of", &card, "--node", "two", "--out", &request]);
    assert_eq!((&made["org"], &made["node"]), (&"cert-xa".into(), &"two".into()), "{made}");
    let print = made["fingerprint"].as_str().expect("a fingerprint").to_owned();
    let why = refused(&two, &["run"]);
    assert!(why.contains("there is no node in"), "{why}");

    // By who is another org, without a word, with another's fingerprint, twice under one name.
    let why = refused(&nodes[1], &["org", "add-node", &request, "--yes"]);
    assert!(why.contains("not for this one"), "{why}");
    let why = refused(&nodes[0], &["org", "add-node", &request]);
    assert!(why.contains("not confirmed"), "{why}");
    let why = refused(&nodes[0], &["org", "add-node", &request, "--fingerprint", "0000"]);
    assert!(why.contains("not the one given"), "{why}");
    let why = refused(&nodes[0], &["org", "add-node", &card, "--yes"]);
    assert!(why.contains("TOCSIN CARD"), "{why}");
    let why = refused(&two, &["org", "take-node", &request, "--yes"]);
    assert!(why.contains("TOCSIN NODE REQUEST"), "{why}");
    nodes[0].json(&["org", "add-node", &request, "--fingerprint", &print, "--out", &answer]);
    let other = Node { home: folder.path().join("other"), process: None, env: Vec::new() };
    let again = file("other.request");
    other.json(&["org", "new-node", "--of", &card, "--node", "two", "--out", &again]);
    let why = refused(&nodes[0], &["org", "add-node", &again, "--yes"]);
    assert!(why.contains("named `two` already"), "{why}");
    let why = refused(&other, &["org", "take-node", &answer, "--yes"]);
    assert!(why.contains("for another node"), "{why}");
    let why = refused(&two, &["org", "take-node", &answer, "--fingerprint", "0000"]);
    assert!(why.contains("not the one given"), "{why}");
    let mesh = nodes[0].json(&["mesh", "show"])["fingerprint"].as_str().expect("a fingerprint").to_owned();
    two.json(&["org", "take-node", &answer, "--fingerprint", &mesh]);
    let why = refused(&two, &["org", "take-node", &answer, "--yes"]);
    assert!(why.contains("certified already"), "{why}");

    nodes[0].json(&["publish", "203.0.113.1", "--tlp", "amber", "--to", "own"]);
    nodes[0].json(&["circle", "create", "ops", "--members", "police-xb"]);
    until("the police are invited", || crate::circles::part(&nodes[1], "ops").as_deref() == Some("invited"));
    nodes[1].json(&["circle", "accept", "ops"]);
    until("the police are in", || crate::circles::members(&nodes[0], "ops").len() == 2);
    nodes[1].json(&["publish", "203.0.113.2", "--tlp", "amber", "--to", "ops"]);
    two.run();
    until("it has the own circle", || two.knows("203.0.113.1"));
    until("it reads what its org is in", || two.knows("203.0.113.2"));
    two.json(&["publish", "203.0.113.3", "--tlp", "green", "--to", "mesh"]);
    until("all know what it wrote", || nodes.iter().all(|node| node.knows("203.0.113.3")));
    let known = crate::several::known(&nodes[1], "203.0.113.3");
    assert_eq!(known["hits"][0]["author"], "cert-xa", "{known}");
    // The first goes on with it after a restart, by its new card.
    nodes[0].kill();
    nodes[0].run();
    two.json(&["publish", "203.0.113.4", "--tlp", "amber", "--to", "own"]);
    until("the first has what the second keeps", || nodes[0].knows("203.0.113.4"));
    assert!(!nodes[1].knows("203.0.113.4") && !nodes[1].knows("203.0.113.1"));
}
