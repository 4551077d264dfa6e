//! A circle of two among three orgs, by its commands: the third never hears of it, and who is removed gets nothing more.

use serde_json::Value;

use crate::harness::{Node, until};

/// The circles that a node lists, by name and by what its org is in them.
fn listed(node: &Node) -> Vec<(String, String)> {
    let all = node.json(&["circle", "list"]);
    let word = |circle: &Value, field: &str| circle[field].as_str().expect("a word").to_owned();
    let all = all.as_array().expect("a list");
    all.iter().map(|circle| (word(circle, "circle"), word(circle, "part"))).collect()
}

pub fn part(node: &Node, circle: &str) -> Option<String> {
    listed(node).into_iter().find(|(name, _)| name == circle).map(|(_, part)| part)
}

pub fn members(node: &Node, circle: &str) -> Vec<String> {
    let shown = node.json(&["circle", "show", circle]);
    let members = shown["members"].as_array().expect("a list");
    members.iter().map(|member| member["org"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn what_is_shared_in_a_circle_reaches_its_members_and_nobody_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::mesh(folder.path(), &["cert-xa", "police-xb", "bank-xc"]);
    let created = nodes[0].json(&["circle", "create", "ops", "--members", "police-xb"]);
    assert_eq!((&created["circle"], &created["part"]), (&"ops".into(), &"member".into()), "{created}");
    let proposal = &created["proposals"][0];
    assert_eq!((&proposal["org"], &proposal["awaits"][0]), (&"police-xb".into(), &"police-xb".into()));
    until("the police are invited", || part(&nodes[1], "ops").as_deref() == Some("invited"));
    // Nobody is in who did not agree, and nothing goes there before.
    assert_eq!(members(&nodes[0], "ops"), ["cert-xa"]);
    let early = nodes[1].tell(&["publish", "203.0.113.49", "--tlp", "green", "--to", "ops"]);
    let error = String::from_utf8_lossy(&early.stderr).into_owned();
    assert!(!early.status.success() && error.contains("not a member"), "{error}");

    // The founder is away when it is accepted: it counts when its node is back.
    nodes[0].kill();
    nodes[1].json(&["circle", "accept", "ops"]);
    nodes[1].kill();
    nodes[1].run();
    nodes[0].run();
    until("both are in", || [0, 1].iter().all(|at| members(&nodes[*at], "ops").len() == 2));
    assert_eq!(part(&nodes[1], "ops").as_deref(), Some("member"));

    let new = nodes[0].json(&["publish", "203.0.113.50", "--tlp", "green", "--to", "ops"]);
    assert_eq!(new["records"][0]["circle"], "ops");
    let record = new["records"][0]["record"].as_str().expect("an id").to_owned();
    until("the police know it", || nodes[1].knows("203.0.113.50"));
    let known = nodes[1].json(&["lookup", "203.0.113.50"]);
    let known = if known.is_array() { known[0].clone() } else { known };
    assert_eq!((&known["known"], &known["hits"][0]["circle"]), (&true.into(), &"ops".into()), "{known}");
    let query = nodes[1].json(&["query", "--circle", "ops"]);
    assert!(query.to_string().contains("\"circle\":\"ops\""), "{query}");
    assert_eq!(nodes[1].json(&["show", &record])["circle"], "ops");
    let status = nodes[0].json(&["status"]).to_string();
    assert!(status.contains("\"circle\":\"ops\""), "{status}");
    // What was shared elsewhere goes there by the name of the circle as well.
    let own = nodes[0].json(&["publish", "203.0.113.51", "--tlp", "green", "--to", "own"]);
    let id = own["records"][0]["record"].as_str().expect("an id");
    nodes[0].json(&["share", id, "--to", "ops"]);
    until("the police know what was shared", || nodes[1].knows("203.0.113.51"));
    // What is AMBER goes there sealed, and nowhere else; RED stays.
    let amber = |to: &str| nodes[0].tell(&["publish", "203.0.113.52", "--tlp", "amber", "--to", to]);
    let sealed = amber("ops");
    assert!(sealed.status.success(), "{}", String::from_utf8_lossy(&sealed.stderr));
    assert!(!amber("mesh").status.success());
    until("the police know what is amber", || nodes[1].knows("203.0.113.52"));
    let hit = nodes[1].json(&["lookup", "203.0.113.52"]);
    let hit = if hit.is_array() { hit[0].clone() } else { hit };
    assert_eq!(
        (&hit["hits"][0]["circle"], &hit["hits"][0]["tlp"]),
        (&"ops".into(), &"TLP:AMBER".into()),
        "{hit}"
    );
    let red = nodes[0].tell(&["publish", "203.0.113.53", "--tlp", "red", "--to", "ops"]);
    assert!(!red.status.success(), "red goes only where its author alone hands it on");

    // At the third nobody has heard of any of it.
    assert_eq!(part(&nodes[2], "ops"), None);
    assert!(!nodes[2].json(&["circle", "list"]).to_string().contains("ops"));
    assert!(!nodes[2].knows("203.0.113.50") && !nodes[2].knows("203.0.113.51"));
    assert!(!nodes[2].knows("203.0.113.52"));
    let asked = nodes[2].tell(&["circle", "show", "ops"]);
    assert!(String::from_utf8_lossy(&asked.stderr).contains("no circle `ops`"));

    // Removed while it is away, and while it is there: it gets nothing more.
    nodes[1].kill();
    let removed = nodes[0].json(&["circle", "remove", "ops", "police-xb"]);
    assert_eq!(removed["members"].as_array().map(Vec::len), Some(1), "{removed}");
    nodes[0].json(&["publish", "203.0.113.60", "--tlp", "green", "--to", "ops"]);
    nodes[1].run();
    until("the police are told that they are out", || part(&nodes[1], "ops").as_deref() == Some("out"));
    nodes[0].json(&["publish", "203.0.113.61", "--tlp", "green", "--to", "ops"]);
    nodes[0].json(&["publish", "203.0.113.62", "--tlp", "green", "--to", "mesh"]);
    until("what went to all came", || nodes[1].knows("203.0.113.62") && nodes[2].knows("203.0.113.62"));
    assert!(!nodes[1].knows("203.0.113.60") && !nodes[1].knows("203.0.113.61"));
    assert!(nodes[1].knows("203.0.113.50"), "what it got while it was in stays");

    // What was retracted is so in the circle as well.
    nodes[0].json(&["retract", &record, "--reason", "wrong"]);
    assert!(!nodes[0].knows("203.0.113.50"));
}

#[test]
fn two_circles_of_one_name_are_told_apart_and_one_is_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = Node::mesh(folder.path(), &["cert-xa", "police-xb"]);
    nodes[0].json(&["circle", "create", "ops", "--members", "police-xb"]);
    nodes[1].json(&["circle", "create", "ops", "--members", "cert-xa"]);
    until("each is invited", || nodes.iter().all(|node| listed(node).len() == 4));
    assert_eq!(part(&nodes[0], "ops").as_deref(), Some("member"), "its own keeps its name");
    assert_eq!(part(&nodes[0], "ops@police-xb").as_deref(), Some("invited"));
    nodes[0].json(&["circle", "accept", "ops@police-xb"]);
    nodes[1].json(&["circle", "accept", "ops@cert-xa"]);
    until("both are in both", || {
        nodes.iter().all(|node| {
            ["ops@cert-xa", "ops@police-xb"]
                .iter()
                .all(|name| part(node, name).as_deref() == Some("member") && members(node, name).len() == 2)
        })
    });
    let which = nodes[0].tell(&["publish", "203.0.113.70", "--tlp", "green", "--to", "ops"]);
    let error = String::from_utf8_lossy(&which.stderr).into_owned();
    assert!(error.contains("several circles `ops`") && error.contains("ops@police-xb"), "{error}");
    let renamed = nodes[0].json(&["circle", "rename", "ops@cert-xa", "harbour"]);
    assert_eq!(renamed["circle"], "harbour");
    nodes[0].json(&["publish", "203.0.113.70", "--tlp", "green", "--to", "ops"]);
    until("it came by the one that is left of that name", || nodes[1].knows("203.0.113.70"));
    until("the new name came", || part(&nodes[1], "harbour").is_some());
    nodes[1].json(&["circle", "leave", "harbour"]);
    until("the police are out", || {
        members(&nodes[0], "harbour") == ["cert-xa"] && part(&nodes[1], "harbour").as_deref() == Some("out")
    });
    let shown = nodes[1].tell(&["circle", "show", "ops"]);
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(text.contains("begun by police-xb") && text.contains("cert-xa"), "{text}");
}

#[test]
fn an_invitation_is_declined_and_thought_better_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::mesh(folder.path(), &["cert-xa", "police-xb"]);
    nodes[0].json(&["circle", "create", "ops", "--members", "police-xb"]);
    until("the police are invited", || part(&nodes[1], "ops").as_deref() == Some("invited"));
    let declined = nodes[1].json(&["circle", "decline", "ops"]);
    assert_eq!((&declined["circle"], &declined["part"]), (&"ops".into(), &"declined".into()), "{declined}");
    assert_eq!(part(&nodes[1], "ops"), None, "it is listed no more");
    assert_eq!(nodes[1].json(&["circle", "show", "ops"])["part"], "declined");
    // Nor after a restart, when it is told again.
    nodes[1].kill();
    nodes[1].run();
    nodes[0].json(&["publish", "203.0.113.75", "--tlp", "green", "--to", "mesh"]);
    until("they are linked again", || nodes[1].knows("203.0.113.75"));
    assert_eq!(part(&nodes[1], "ops"), None);
    // Who invited is told nothing, and nobody is in.
    assert_eq!(nodes[0].json(&["circle", "show", "ops"])["proposals"][0]["awaits"][0], "police-xb");
    assert_eq!(members(&nodes[0], "ops"), ["cert-xa"]);
    nodes[1].json(&["circle", "accept", "ops"]);
    until("both are in after all", || members(&nodes[0], "ops").len() == 2);
    until("it is listed again", || part(&nodes[1], "ops").as_deref() == Some("member"));
    let late = nodes[1].tell(&["circle", "decline", "ops"]);
    let error = String::from_utf8_lossy(&late.stderr).into_owned();
    assert!(!late.status.success() && error.contains("tocsin circle leave ops"), "{error}");
}
