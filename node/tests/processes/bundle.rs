//! Two nodes with no way to each other: what they have for each other goes by files, from the invitation to a circle on, and what
//! they know then is what they would by a link.

use std::fs;
use std::path::Path;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use serde_json::Value;
use tocsin_bundle::{Bundle, Content, Cover, Packed, Records, Said, seal};
use tocsin_clock as clock;
use tocsin_home::{Home, Identity};
use tocsin_record::body::Body;
use tocsin_record::document::Signed;
use tocsin_record::{CircleId, LogKey, MeshId, OrgId, Run, Tip, page, testing};
use tocsin_seal::SealingKey;

use crate::circles::{members, part};
use crate::harness::{Node, until, written};

/// A mesh of these orgs whose nodes dial nobody that is there: they are carried to.
fn apart(folder: &Path, names: &[&str]) -> Vec<Node> {
    let mut nodes = Node::mesh(folder, names);
    for node in &mut nodes {
        node.kill();
    }
    // It listens no more where the others dial.
    let config = nodes[0].home.join("config.toml");
    let text = fs::read_to_string(&config).expect("a configuration");
    let quiet: Vec<String> = text
        .lines()
        .map(|line| if line.starts_with("listen = ") { "listen = []".to_owned() } else { line.to_owned() })
        .collect();
    fs::write(&config, quiet.join("\n")).expect("written");
    for node in &mut nodes {
        node.run();
    }
    nodes
}

fn error(node: &Node, args: &[&str]) -> String {
    let output = node.tell(args);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
    text
}

struct Stick<'a> {
    folder: &'a Path,
    files: usize,
}

impl Stick<'_> {
    fn file(&mut self) -> String {
        self.files += 1;
        self.folder.join(format!("{}.stick", self.files)).to_str().expect("UTF-8").to_owned()
    }

    /// Carries what one node has to another, which says what it has.
    fn carry(&mut self, (from, name): (&Node, &str), (to, other): (&Node, &str)) -> (Value, Value) {
        let (have, bundle) = (self.file(), self.file());
        to.json(&["bundle", "frontier", &have, "--for", name]);
        let made = from.json(&["bundle", "create", &bundle, "--for", other, "--have", &have]);
        (made, to.json(&["bundle", "apply", &bundle]))
    }
}

#[test]
fn what_is_carried_is_known_as_by_a_link() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = apart(folder.path(), &["cert-xa", "police-xb", "bank-xc"]);
    let (a, b) = ((&nodes[0], "cert-xa"), (&nodes[1], "police-xb"));
    let mut stick = Stick { folder: folder.path(), files: 0 };

    // The circle comes to be by files alone: invitation, acceptance, and the roster that comes of both.
    nodes[0].json(&["circle", "create", "ops", "--members", "police-xb"]);
    stick.carry(a, b);
    assert_eq!(part(&nodes[1], "ops").as_deref(), Some("invited"));
    nodes[1].json(&["circle", "accept", "ops"]);
    stick.carry(b, a);
    until("both signed", || members(&nodes[0], "ops").len() == 2);
    let (_, taken) = stick.carry(a, b);
    assert!(taken["documents"].as_u64() > Some(0), "{taken}");
    assert_eq!(part(&nodes[1], "ops").as_deref(), Some("member"));

    let lines: String = (0..9_000).map(|at| format!("45.{}.{}.7\n", at / 250, at % 250)).collect();
    let list = written(folder.path(), "many.txt", &lines);
    nodes[0].json(&["import", list.to_str().expect("UTF-8"), "--tlp", "green", "--share", "mesh"]);
    let amber = nodes[0].json(&["publish", "203.0.113.9", "--tlp", "amber", "--to", "ops"]);
    let wrong = nodes[0].json(&["publish", "203.0.113.8", "--tlp", "green", "--to", "mesh"]);
    nodes[1].json(&["publish", "203.0.113.7", "--tlp", "amber", "--to", "ops"]);
    let (made, taken) = stick.carry(a, b);
    assert_eq!((&made["to"][0], &made["left"]), (&"police-xb".into(), &0.into()), "{made}");
    assert_eq!((&taken["org"], &taken["behind"]), (&"cert-xa".into(), &0.into()), "{taken}");
    assert_eq!(taken["records"], made["records"], "{taken}");
    stick.carry(b, a);
    assert!(nodes[0].knows("203.0.113.7"));
    for value in ["203.0.113.9", "203.0.113.8", "45.0.0.7", "45.35.249.7"] {
        assert!(nodes[1].knows(value), "{value}");
    }
    // Who has it is known to who wrote it.
    let id = amber["records"][0]["record"].as_str().expect("an id");
    let shown = nodes[0].json(&["show", id]).to_string();
    assert!(shown.contains("\"acknowledged_by\":[{") && shown.contains("police-xb"), "{shown}");

    // What was taken back is gone there with the next, which holds nothing else.
    let id = wrong["records"][0]["record"].as_str().expect("an id");
    nodes[0].json(&["retract", id, "--reason", "wrong"]);
    let (made, taken) = stick.carry(a, b);
    assert_eq!((&made["records"], &taken["records"]), (&1.into(), &1.into()), "{made}");
    assert!(!nodes[1].knows("203.0.113.8"));
    let (made, taken) = stick.carry(a, b);
    assert_eq!((&made["records"], &taken["records"]), (&0.into(), &0.into()), "nothing is left to carry");

    // The same file again changes nothing, and no file is for others.
    let all = stick.file();
    let made = nodes[0].json(&["bundle", "create", &all, "--for", "ops"]);
    assert_eq!(made["to"], serde_json::json!(["police-xb"]));
    let again = nodes[1].json(&["bundle", "apply", &all]);
    assert_eq!((&again["records"], &again["bodies"], &again["documents"]), (&0.into(), &0.into(), &0.into()));
    assert!(error(&nodes[2], &["bundle", "apply", &all]).contains("not for this node"));
    assert!(error(&nodes[0], &["bundle", "apply", &all]).contains("not for this node"));
    let (_, taken) = stick.carry(a, (&nodes[2], "bank-xc"));
    assert!(taken["records"].as_u64() > Some(0));
    assert!(nodes[2].knows("45.0.0.7") && !nodes[2].knows("203.0.113.9"));
    assert!(!nodes[2].json(&["circle", "list"]).to_string().contains("ops"), "nor of the circle");
}

#[test]
fn what_is_no_bundle_for_a_node_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = apart(folder.path(), &["cert-xa", "police-xb"]);
    nodes[0].json(&["publish", "203.0.113.50", "--tlp", "green", "--to", "mesh"]);
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (bundle, have) = (path("a.bundle"), path("b.have"));
    nodes[0].json(&["bundle", "create", &bundle, "--for", "police-xb"]);
    let bytes = fs::read(&bundle).expect("a file");
    assert!(error(&nodes[0], &["bundle", "create", &bundle, "--for", "mesh"]).contains("exists already"));
    assert_eq!(fs::read(&bundle).expect("a file"), bytes, "nothing is replaced");
    for (words, says) in [
        (["bundle", "create", &path("x"), "--for", "nobody"], "no org or circle `nobody`"),
        (["bundle", "create", &path("x"), "--for", "cert-xa"], "no other node"),
        (["bundle", "create", &path("x"), "--for", "own"], "no other node"),
        (["bundle", "create", &path("no/folder"), "--for", "mesh"], "no/folder"),
    ] {
        let error = error(&nodes[0], &words);
        assert!(error.contains(says), "{error}");
    }

    let file = path("changed");
    let mut bits = bytes.clone();
    bits[bytes.len() - 100] ^= 1;
    for (changed, says) in [
        (&bytes[..bytes.len() - 1], "cut or changed"),
        (&bytes[..1_000], "cut or changed"),
        (bits.as_slice(), "cut or changed"),
        (&b"tocsin bundle 9\n"[..], "newer `tocsin`"),
        (&b"%PDF-1.7\n"[..], "no bundle of tocsin"),
        (&[][..], "no bundle of tocsin"),
    ] {
        fs::write(&file, changed).expect("written");
        let error = error(&nodes[1], &["bundle", "apply", &file]);
        assert!(error.contains(says) && error.contains("was not taken"), "{error}");
    }
    fs::File::create(&file).and_then(|file| file.set_len((64 << 20) + 1)).expect("a long file");
    assert!(error(&nodes[1], &["bundle", "apply", &file]).contains("changed"), "too long: its name is told");
    assert!(error(&nodes[1], &["bundle", "apply", &path("nothing")]).contains("nothing"));

    // A frontier brings nothing, and a bundle says nothing of what its reader has.
    nodes[1].json(&["bundle", "frontier", &have]);
    assert!(error(&nodes[0], &["bundle", "apply", &have]).contains("--have"));
    let other = error(&nodes[1], &["bundle", "create", &path("x"), "--for", "cert-xa", "--have", &bundle]);
    assert!(other.contains("it is a bundle"), "{other}");
    let own = error(&nodes[0], &["bundle", "create", &path("x"), "--for", "police-xb", "--have", &bundle]);
    assert!(own.contains("not for this node"), "{own}");
    assert!(!Path::new(&path("x")).exists());

    // Another mesh of the same orgs.
    let elsewhere = tempfile::tempdir().expect("a folder");
    let others = apart(elsewhere.path(), &["cert-xa", "police-xb"]);
    assert!(error(&others[1], &["bundle", "apply", &bundle]).contains("another mesh"));
    assert!(!nodes[1].knows("203.0.113.50"), "nothing came of all that");
    nodes[1].json(&["bundle", "apply", &bundle]);
    assert!(nodes[1].knows("203.0.113.50"));
    let text = String::from_utf8(nodes[1].tell(&["bundle", "apply", &bundle]).stdout).expect("text");
    assert!(
        text.contains("Taken from cert-xa") && text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
}

fn identity(node: &Node) -> Identity {
    Home::open(&node.home).expect("a home").identity().expect("an identity")
}

/// What a node would say for itself, if its people made the file by hand.
struct Liar {
    mesh: MeshId,
    identity: Identity,
    certificate: Signed,
}

impl Liar {
    fn of(node: &Node) -> Self {
        let home = Home::open(&node.home).expect("a home");
        let papers = home.papers().expect("they read").expect("documents");
        let identity = identity(node);
        let is_own = |signed: &&Signed| {
            let read = signed.read::<tocsin_record::document::Certificate>();
            read.is_ok_and(|certificate| certificate.node_key() == identity.node())
        };
        let certificate = papers.certificates.iter().find(is_own).expect("its own").clone();
        Self { mesh: papers.check().expect("they hold").mesh, identity, certificate }
    }

    /// A run of one record of its own, from its first on, as if another's log had it.
    fn run(&self, log: LogKey, number: u8) -> Packed {
        let own = LogKey { author: self.identity.node(), ..log };
        let draft = testing::draft(&Body::Report(testing::report(number)), log.epoch);
        let run = Run::sign(&self.identity.record, own, Tip::default(), vec![draft]).expect("signed");
        Packed { log, page: page::pack(&page::encode(&run)) }
    }

    fn log(&self, epoch: u64) -> LogKey {
        LogKey { mesh: self.mesh, author: self.identity.node(), circle: CircleId::mesh(self.mesh), epoch }
    }

    fn write(&self, path: &str, to: &Node, orgs: Vec<OrgId>, records: Records) {
        let cover = Cover { mesh: self.mesh, certificate: self.certificate.clone(), time: 1, to: orgs };
        let to = identity(to);
        let nodes = [(to.node(), SealingKey::from_seed(&to.sealing).public())].into();
        let bundle = Bundle { cover, content: Content::Records(records) };
        let mut random = ChaCha20Rng::from_seed([3; 32]);
        let bytes = seal(&bundle, &self.identity.record, &nodes, &mut random).expect("sealed");
        fs::write(path, bytes).expect("written");
    }
}

#[test]
fn a_bundle_that_a_member_made_up_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = apart(folder.path(), &["cert-xa", "police-xb", "bank-xc"]);
    let liar = Liar::of(&nodes[1]);
    let (own, other) = (identity(&nodes[0]).org(), identity(&nodes[2]));
    let path = folder.path().join("lie").to_str().expect("UTF-8").to_owned();
    let log = liar.log(clock::now_ms());
    let sound = || liar.run(log, 1);
    let of_other = liar.run(LogKey { author: other.node(), ..log }, 2);
    let records = |runs: Vec<Packed>| Records { runs, ..Records::default() };
    let cases = [
        (vec![other.org()], records(vec![sound()]), "for another org"),
        (vec![own], records(vec![sound(), of_other]), "not what that node signed"),
        (
            vec![own],
            Records { proposals: vec![vec![9]], ..records(vec![sound()]) },
            "a proposal in the bundle",
        ),
        (
            vec![own],
            Records { receipts: vec![Said { log, receipt: vec![9] }], ..records(vec![sound()]) },
            "a receipt in the bundle",
        ),
    ];
    for (orgs, records, says) in cases {
        liar.write(&path, &nodes[0], orgs, records);
        let error = error(&nodes[0], &["bundle", "apply", &path]);
        assert!(error.contains(says), "{says}: {error}");
    }
    let held = |node: &Node| node.json(&["status"])["store"]["records"].as_u64().expect("a number");
    let before = held(&nodes[0]);
    // All that was wrong with them was that.
    liar.write(&path, &nodes[0], vec![own], records(vec![sound()]));
    let taken = nodes[0].json(&["bundle", "apply", &path]);
    assert_eq!((&taken["records"], &taken["org"]), (&1.into(), &"police-xb".into()), "{taken}");
    assert_ne!(held(&nodes[0]), before);

    // Who was taken out of the mesh brings nothing, and is brought nothing.
    nodes[0].json(&["mesh", "remove", "police-xb", "--yes"]);
    until("they are out", || !nodes[0].json(&["mesh", "show"])["orgs"].to_string().contains("police-xb"));
    nodes[0].kill();
    nodes[0].run();
    liar.write(&path, &nodes[0], vec![own], records(vec![liar.run(liar.log(clock::now_ms()), 5)]));
    let before = held(&nodes[0]);
    let late = error(&nodes[0], &["bundle", "apply", &path]);
    assert!(late.contains("not in the charter"), "{late}");
    assert_eq!(held(&nodes[0]), before);
    let gone = error(&nodes[0], &["bundle", "create", &format!("{path}.2"), "--for", "police-xb"]);
    assert!(gone.contains("no org or circle"), "{gone}");
}

/// By mail that takes a megabyte: what does not fit comes with the next, until all is there.
#[test]
fn what_does_not_fit_goes_in_the_next() {
    let folder = tempfile::tempdir().expect("a folder");
    let nodes = apart(folder.path(), &["cert-xa", "police-xb"]);
    // Hashes, which nothing makes shorter.
    let hash = |at: u32| {
        tocsin_record::testing::hex(&tocsin_record::id::hash(tocsin_record::id::BODY, &[&at.to_be_bytes()]))
    };
    let lines: String = (0..70_000).map(|at| hash(at) + "\n").collect();
    let list = written(folder.path(), "hashes.txt", &lines);
    nodes[0].json(&["import", list.to_str().expect("UTF-8"), "--tlp", "green", "--share", "mesh"]);
    let path =
        |name: &str, at: usize| folder.path().join(format!("{name}{at}")).to_str().expect("UTF-8").to_owned();
    let (mut left, mut brought) = (u64::MAX, 0);
    for at in 0..20 {
        let (have, bundle) = (path("have", at), path("bundle", at));
        nodes[1].json(&["bundle", "frontier", &have, "--for", "cert-xa"]);
        let made = nodes[0].json(&[
            "bundle",
            "create",
            &bundle,
            "--for",
            "police-xb",
            "--have",
            &have,
            "--at-most",
            "1",
        ]);
        let bytes = fs::metadata(&bundle).expect("a file").len();
        assert!(bytes <= 1 << 20 && (bytes > 700_000 || made["left"] == 0), "{bytes}: {made}");
        let taken = nodes[1].json(&["bundle", "apply", &bundle]);
        assert_eq!((&taken["left"], &taken["behind"]), (&made["left"], &0.into()), "{taken}");
        assert!(taken["left"].as_u64() < Some(left), "each brings some: {taken}");
        left = taken["left"].as_u64().expect("a number");
        brought += taken["records"].as_u64().expect("a number");
        if left == 0 {
            assert!(at >= 2, "it took several");
            break;
        }
    }
    assert_eq!(left, 0);
    let held = nodes[1].json(&["status"])["store"]["records"].as_u64();
    assert_eq!(held, Some(brought));
    for at in [0, 35_000, 69_999] {
        assert!(nodes[1].knows(&hash(at)), "{at}");
    }
    let error = error(&nodes[0], &["bundle", "create", &path("x", 0), "--for", "mesh", "--at-most", "65"]);
    assert!(error.contains("65"), "{error}");
}
