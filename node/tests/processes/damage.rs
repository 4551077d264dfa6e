//! A store that does not open: set aside with a message, refilled from the partners, destroyed when that is done.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::{Node, until};

/// What becomes of a file of the store.
enum Damage {
    /// Its middle third is overwritten.
    Overwritten,
    /// It ends after this part.
    CutAt(f64),
    /// It is gone.
    Removed,
}

fn damage(file: &Path, how: &Damage) {
    match how {
        Damage::Removed => fs::remove_file(file).expect("removed"),
        Damage::CutAt(part) => {
            let mut bytes = fs::read(file).expect("read");
            bytes.truncate((bytes.len() as f64 * part) as usize);
            fs::write(file, bytes).expect("written");
        }
        Damage::Overwritten => {
            let mut bytes = fs::read(file).expect("read");
            let third = bytes.len() / 3;
            bytes[third..2 * third].fill(0x5a);
            fs::write(file, bytes).expect("written");
        }
    }
}

/// Heights by author, circle and epoch of the mesh's logs.
fn mesh_logs(node: &Node) -> Vec<(String, u64, u64)> {
    let status = node.json(&["status"]);
    let mut logs: Vec<(String, u64, u64)> = status["logs"]
        .as_array()
        .expect("logs")
        .iter()
        .filter(|log| log["circle"] == "mesh")
        .map(|log| {
            assert_eq!(log["state"], "open", "{status}");
            let number = |name: &str| log[name].as_u64().expect("a number");
            (log["author"].as_str().expect("a name").to_owned(), number("epoch"), number("height"))
        })
        .collect();
    logs.sort();
    logs
}

#[test]
fn a_damaged_store_is_refilled_from_partners() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::mesh(folder.path(), &["cert-aa", "police-bb"]);
    let mut bb = nodes.pop().expect("two");
    let aa = nodes.pop().expect("two");
    // Enough that pages rest in value files, and some records besides in the journal.
    for (node, net) in [(&aa, 10), (&bb, 11)] {
        let list = folder.path().join(format!("list-{net}.txt"));
        let lines: Vec<String> =
            (0..12_000).map(|at| format!("{net}.{}.{}.{}", at / 65_536, at / 256 % 256, at % 256)).collect();
        fs::write(&list, lines.join("\n")).expect("written");
        node.json(&["import", list.to_str().expect("UTF-8"), "--tlp", "green", "--share", "mesh"]);
        node.json(&["publish", &format!("192.0.2.{net}"), "--tlp", "green", "--to", "mesh"]);
    }
    until("both hold all", || {
        mesh_logs(&aa) == mesh_logs(&bb) && ["10.0.1.1", "11.0.1.1"].iter().all(|value| bb.knows(value))
    });
    let store = bb.home.join("store");
    let aside = bb.home.join("store.damaged");
    let config = bb.home.join("config.toml");
    let text = fs::read_to_string(&config).expect("a configuration");
    fs::write(&config, text.replace("keep_damaged = \"24h\"", "keep_damaged = \"0s\"")).expect("written");
    let damages = [
        ("sled/db", Damage::Overwritten),
        ("values/00000001", Damage::CutAt(0.5)),
        ("journal", Damage::CutAt(0.0)),
        ("journal", Damage::Removed),
        ("keys", Damage::CutAt(0.0)),
        ("sled/db", Damage::CutAt(0.0)),
    ];
    let mut told = 0;
    for (round, (file, how)) in damages.iter().enumerate() {
        let before = mesh_logs(&aa);
        bb.kill();
        damage(&store.join(file), how);
        bb.run();
        let said = bb.log();
        // The store as a whole, or each damaged log of it.
        let all_told = said.matches("was set aside").count();
        assert!(all_told > told, "{file}: {said}");
        told = all_told;
        assert!(said.contains(aside.to_str().expect("UTF-8")), "the message names the folder: {said}");
        // It writes before it has learned what it wrote before: in a new epoch, so that nothing is said twice.
        let value = format!("203.0.113.{}", round + 1);
        bb.json(&["publish", &value, "--tlp", "green", "--to", "mesh"]);
        until("its own records and the partner's came back", || {
            mesh_logs(&bb) == mesh_logs(&aa)
                && ["10.0.1.1", "11.0.1.1", "192.0.2.10", "192.0.2.11"].iter().all(|value| bb.knows(value))
        });
        let after = mesh_logs(&aa);
        assert_eq!(after.len(), before.len() + 1, "one epoch more");
        assert!(
            before.iter().all(|log| after.contains(log)),
            "the logs from before stand: {before:?}, {after:?}"
        );
        until("the partner hears of it", || aa.knows(&value));
        until("what was set aside is destroyed", || !aside.exists());
        let alarms = |node: &Node| node.json(&["status"])["alarms"].clone();
        until("no alarm is left", || alarms(&bb) == Value::Array(Vec::new()));
        assert_eq!(alarms(&aa), Value::Array(Vec::new()), "no fork was seen");
    }
}

#[test]
fn a_damaged_store_is_kept_for_its_day() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Node::mesh(folder.path(), &["cert-aa", "police-bb"]);
    let mut bb = nodes.pop().expect("two");
    let aa = nodes.pop().expect("two");
    aa.json(&["publish", "192.0.2.1", "--tlp", "green", "--to", "mesh"]);
    bb.json(&["publish", "192.0.2.2", "--tlp", "green", "--to", "mesh"]);
    bb.json(&["publish", "192.0.2.3", "--tlp", "green", "--to", "own"]);
    until("both hold all", || mesh_logs(&aa) == mesh_logs(&bb) && bb.knows("192.0.2.1"));
    bb.kill();
    damage(&bb.home.join("store/journal"), &Damage::Removed);
    bb.run();
    until("what partners hold came back", || {
        bb.knows("192.0.2.1") && bb.knows("192.0.2.2") && bb.json(&["status"])["complete"] == true
    });
    assert!(!bb.knows("192.0.2.3"), "what only this node held did not");
    // Longer than a refill has to be quiet.
    std::thread::sleep(std::time::Duration::from_secs(7));
    let aside = bb.home.join("store.damaged");
    assert!(aside.exists(), "{}", bb.log());
    bb.kill();
    bb.run();
    let alarms = |node: &Node| node.json(&["status"])["alarms"].clone();
    let alarm = alarms(&bb)[0].as_str().expect("an alarm").to_owned();
    for word in
        [aside.to_str().expect("UTF-8"), "not before 20", "its own circle", "import its sources again"]
    {
        assert!(alarm.contains(word), "`{word}` is not in {alarm}");
    }
    fs::remove_dir_all(&aside).expect("removed by hand");
    until("the alarm is over", || alarms(&bb) == Value::Array(Vec::new()));
}
