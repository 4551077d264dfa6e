//! Files that are carried by hand: who opens them, what is refused by its name, that no changed byte passes, and the form, pinned.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use tocsin_bundle::{
    Bundle, BundleError, Content, Cover, FILE_MAX, Fork, Frontier, Late, Packed, Reached, Records, Said,
    open, seal,
};
use tocsin_record::body::Body;
use tocsin_record::document::{Purpose, Signed};
use tocsin_record::id::{self, DocHash, RecordId};
use tocsin_record::testing::{self, START_MS, secret};
use tocsin_record::{CircleId, LogKey, MeshId, NodeKey, OrgId, Run, Tip, page};
use tocsin_seal::{SealingKey, SealingPublic};

const MESH: MeshId = MeshId([1; 32]);
const ROOT: u8 = 10;
const NODE: u8 = 11;

fn certificate(root: u8, node: u8) -> Signed {
    let (root, node, transport) = (secret(root), secret(node), secret(node + 1));
    let keys = vec![
        testing::key(Purpose::Record, &node.public()),
        testing::key(Purpose::Transport, &transport.public()),
    ];
    Signed::sign(&testing::certificate(&root, keys), &[&root, &node, &transport])
}

fn cover() -> Cover {
    Cover {
        mesh: MESH,
        certificate: certificate(ROOT, NODE),
        time: START_MS,
        to: vec![OrgId([5; 32]), OrgId([7; 32])],
    }
}

fn log(epoch: u64) -> LogKey {
    LogKey { mesh: MESH, author: NodeKey(secret(NODE).public()), circle: CircleId([2; 32]), epoch }
}

fn records() -> Bundle {
    let drafts =
        [1, 2, 3].map(|n| testing::draft(&Body::Report(testing::report(n)), START_MS + u64::from(n)));
    let run = Run::sign(&secret(NODE), log(START_MS), Tip::default(), drafts.into()).unwrap();
    let records = Records {
        documents: vec![certificate(ROOT, NODE)],
        proposals: vec![b"proposal".to_vec()],
        forks: vec![Fork { log: log(1), pages: [b"one".to_vec(), b"other".to_vec()] }],
        runs: vec![Packed { log: *run.log(), page: page::pack(&page::encode(&run)) }],
        bodies: vec![Late { log: log(1), seq: 9, body: b"body".to_vec() }],
        receipts: vec![Said { log: log(1), receipt: b"receipt".to_vec() }],
        left: 4,
    };
    Bundle { cover: cover(), content: Content::Records(records) }
}

fn frontier() -> Bundle {
    let reached =
        |epoch| Reached { log: log(epoch), height: 7, id: RecordId([6; 32]), state: 0, missing: vec![2, 7] };
    let frontier = Frontier {
        charter: 3,
        revocations: 1,
        documents: vec![DocHash([1; 32]), DocHash([2; 32])],
        logs: vec![reached(1), reached(2)],
    };
    Bundle { cover: cover(), content: Content::Frontier(frontier) }
}

fn reader(n: u8) -> (NodeKey, SealingKey) {
    (NodeKey([n; 32]), SealingKey::from_seed(&[n; 32]))
}

fn nodes(readers: &[u8]) -> BTreeMap<NodeKey, SealingPublic> {
    readers.iter().map(|n| reader(*n)).map(|(node, key)| (node, key.public())).collect()
}

fn sealed(bundle: &Bundle, maker: u8, readers: &[u8]) -> Result<Vec<u8>, BundleError> {
    seal(bundle, &secret(maker), &nodes(readers), &mut ChaCha20Rng::seed_from_u64(7))
}

fn opened(file: &[u8], n: u8) -> Result<Bundle, BundleError> {
    let (node, key) = reader(n);
    open(file, MESH, &node, &key)
}

#[test]
fn those_it_is_for_read_what_was_written_and_nobody_else_anything() {
    for bundle in [records(), frontier()] {
        let file = sealed(&bundle, NODE, &[31, 32]).unwrap();
        for n in [31, 32] {
            assert_eq!(opened(&file, n).unwrap(), bundle);
        }
        assert!(matches!(opened(&file, 33), Err(BundleError::NotForUs)));
        let (node, key) = reader(31);
        assert!(matches!(open(&file, MeshId([9; 32]), &node, &key), Err(BundleError::OtherMesh)));
        // Who made it and for whom, the mesh and what it is about are not told to who finds it.
        let words: [&[u8]; 4] = [&MESH.0, &secret(NODE).public(), &secret(ROOT).public(), &[5; 32]];
        for word in words {
            assert!(!file.windows(word.len()).any(|part| part == word));
        }
        assert_eq!(bundle.cover.maker().unwrap().0, NodeKey(secret(NODE).public()));
    }
}

#[test]
fn a_byte_more_in_it_shows_nothing() {
    let mut longer = records();
    let Content::Records(inside) = &mut longer.content else { unreachable!() };
    inside.bodies[0].body.extend([7; 1000]);
    let lengths = [records(), longer, frontier()].map(|bundle| sealed(&bundle, NODE, &[31]).unwrap().len());
    assert_eq!(lengths[0], lengths[1]);
    assert_eq!(lengths[0], lengths[2], "a frontier looks like a bundle");
}

#[test]
fn no_changed_byte_passes() {
    let file = sealed(&records(), NODE, &[31]).unwrap();
    let in_content = [file.len() - 1, file.len() - 17, file.len() - 60_000];
    for at in (0..16).chain((16..file.len()).step_by(997)).chain(in_content) {
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert!(opened(&changed, 31).is_err(), "byte {at}");
    }
    for length in [0, 10, 16, 19, 25, 9_000, file.len() / 2, file.len() - 1] {
        assert!(opened(&file[..length], 31).is_err(), "cut at {length}");
    }
    let mut longer = file.clone();
    longer.push(0);
    assert!(matches!(opened(&longer, 31), Err(BundleError::Damaged(_))));
    assert!(matches!(opened(b"tocsin evidence 1\n", 31), Err(BundleError::Magic)));
    assert!(matches!(opened(b"tocsin bundle 2\n", 31), Err(BundleError::Newer)));
    assert!(matches!(opened(&vec![0; FILE_MAX + 1], 31), Err(BundleError::Long(_))));
}

/// Somebody makes a file in the name of a node.
#[test]
fn what_another_sealed_is_not_its_makers() {
    let stolen = sealed(&records(), NODE + 40, &[31]).unwrap();
    assert!(
        matches!(opened(&stolen, 31), Err(BundleError::Damaged(_))),
        "the certificate is of another node"
    );
    let mut uncertified = records();
    uncertified.cover.certificate.signatures.clear();
    let file = sealed(&uncertified, NODE, &[31]).unwrap();
    assert!(matches!(opened(&file, 31), Err(BundleError::Certificate(_))));
}

#[test]
fn what_is_not_in_its_form_is_none() {
    let refused = |change: fn(&mut Bundle), bundle: Bundle, what: &str| {
        let mut bundle = bundle;
        change(&mut bundle);
        let decoded = Bundle::decode(&bundle.encode());
        assert!(matches!(decoded, Err(BundleError::Form(found)) if found == what), "{what}: {decoded:?}");
        assert!(matches!(sealed(&bundle, NODE, &[31]), Err(BundleError::Form(_))), "nobody writes it");
    };
    refused(|bundle| bundle.cover.to.clear(), records(), "list of orgs");
    refused(|bundle| bundle.cover.to.reverse(), records(), "list of orgs");
    refused(|bundle| bundle.cover.mesh = MeshId([3; 32]), records(), "mesh of a log");
    fn in_records(change: impl Fn(&mut Records), bundle: &mut Bundle) {
        let Content::Records(records) = &mut bundle.content else { unreachable!() };
        change(records);
    }
    refused(
        |bundle| in_records(|all| all.bodies[0].body.resize((1 << 20) + 1, 0), bundle),
        records(),
        "body",
    );
    fn in_frontier(change: impl Fn(&mut Frontier), bundle: &mut Bundle) {
        let Content::Frontier(frontier) = &mut bundle.content else { unreachable!() };
        change(frontier);
    }
    refused(|bundle| in_frontier(|all| all.logs.reverse(), bundle), frontier(), "list of logs");
    refused(|bundle| in_frontier(|all| all.documents.reverse(), bundle), frontier(), "list of documents");
    refused(|bundle| in_frontier(|all| all.logs[0].state = 3, bundle), frontier(), "log");
    refused(|bundle| in_frontier(|all| all.logs[0].missing = vec![0], bundle), frontier(), "log");
    refused(|bundle| in_frontier(|all| all.logs[0].missing = vec![8], bundle), frontier(), "log");
    refused(|bundle| in_frontier(|all| all.logs[0].missing = vec![3, 3], bundle), frontier(), "log");
    let mut bundle = frontier();
    let Content::Frontier(inside) = &mut bundle.content else { unreachable!() };
    (inside.logs[0].height, inside.logs[0].missing) = (2000, (1..=1001).collect());
    assert!(matches!(Bundle::decode(&bundle.encode()), Err(BundleError::Form("log"))));
    // What a later version adds is not read as if it were not there.
    let mut later = records().encode();
    *later.last_mut().unwrap() = 1;
    later.push(9);
    assert!(matches!(Bundle::decode(&later), Err(BundleError::Newer)));
}

/// The frames' bytes, by their hashes; a line that stands never changes.
#[test]
fn the_form_is_pinned() {
    let digest = |bytes: &[u8]| RecordId(id::hash(id::BUNDLE, &[b"pinned", bytes])).to_string();
    let lines = [
        format!("records {}", digest(&records().encode())),
        format!("frontier {}", digest(&frontier().encode())),
        format!("file {}", digest(&sealed(&records(), NODE, &[31, 32]).unwrap())),
    ];
    let pinned: Vec<&str> = include_str!("golden.txt").lines().collect();
    assert_eq!(lines.to_vec(), pinned);
}
