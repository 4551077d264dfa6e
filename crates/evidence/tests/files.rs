//! Files of evidence: what holds, what does not by its name, and that no changed byte passes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use tocsin_evidence::{Circle, Evidence, FILE_MAX, Fault, FileError, Opened, Proven};
use tocsin_record::body::{Body, Report};
use tocsin_record::document::{Certificate, Charter, Cut, Purpose, Revocations, Revoked, Roster, Signed};
use tocsin_record::id::{self, CircleId, DocHash, MeshId, NodeKey, OrgId};
use tocsin_record::keys::Secret;
use tocsin_record::marking::{Code, Marking, Tlp};
use tocsin_record::testing::{self, START_MS, secret};
use tocsin_record::{Header, LogKey, Plain, Run, Tip};
use tocsin_seal::{KeyPlace, Opener, SealingKey, wrap};

const ROOT: u8 = 10;
const NODE: u8 = 11;
const OTHER_ROOT: u8 = 20;

/// A mesh of two orgs by two versions of its charter, one circle by two versions of its roster, and a node of the first org.
struct World {
    mesh: MeshId,
    charters: Vec<Signed>,
    certificate: Signed,
    rosters: Vec<Signed>,
}

fn world() -> World {
    let (root, other) = (secret(ROOT), secret(OTHER_ROOT));
    let first = testing::charter(vec![testing::steward(&root, "cert-aa")]);
    let signed = Signed::sign(&first, &[&root]);
    let mut orgs = vec![testing::steward(&root, "cert-aa"), testing::org(&other, "police-bb")];
    orgs.sort_by_key(|org| org.root);
    let next = Charter { version: 2, prev: signed.hash(), orgs, ..first };
    let mesh = MeshId(signed.hash().0);
    // The second signed, though nobody asked for it.
    let charters = vec![signed, Signed::sign(&next, &[&root, &other])];

    let (node, transport) = (secret(NODE), secret(NODE + 1));
    let keys = vec![
        testing::key(Purpose::Record, &node.public()),
        testing::key(Purpose::Transport, &transport.public()),
    ];
    let certificate = Signed::sign(&testing::certificate(&root, keys), &[&root, &node, &transport]);

    let steward = secret(NODE + 2);
    let mut both = vec![OrgId(root.public()), OrgId(other.public())];
    both.sort_unstable();
    let first = Roster { mesh, ..testing::roster(vec![OrgId(root.public())], vec![steward.public()]) };
    let signed = Signed::sign(&first, &[&steward]);
    let next = Roster { version: 2, prev: signed.hash(), orgs: both, ..first };
    let rosters = vec![signed, Signed::sign(&next, &[&steward])];
    World { mesh, charters, certificate, rosters }
}

fn marked() -> Report {
    let marking = Marking {
        purposes: Code::purpose("network-defence").into_iter().collect(),
        ..Marking::new(Tlp::Green)
    };
    Report { marking: Some(marking), ..testing::report(7) }
}

impl World {
    fn log(&self, circle: CircleId) -> LogKey {
        LogKey { mesh: self.mesh, author: NodeKey(secret(NODE).public()), circle, epoch: START_MS }
    }

    /// Three records of a log under one signature, of which the second is wanted.
    fn run(&self, circle: CircleId, roster: u32) -> Run {
        let drafts = [6, 7, 8].map(|number| {
            let body = if number == 7 { marked() } else { testing::report(number) };
            tocsin_record::run::Draft {
                roster,
                ..testing::draft(&Body::Report(body), START_MS + u64::from(number))
            }
        });
        let run = Run::sign(&secret(NODE), self.log(circle), Tip::default(), drafts.into()).unwrap();
        run.after(1).unwrap()
    }

    fn evidence(&self, run: Run, opened: Option<Opened>) -> Evidence {
        let mut evidence = Evidence::new(run, opened).unwrap();
        evidence.charters = self.charters.clone();
        evidence.certificates = vec![self.certificate.clone()];
        evidence
    }

    fn of_mesh(&self) -> Evidence {
        self.evidence(self.run(CircleId::mesh(self.mesh), 2), None)
    }

    fn circle(&self) -> CircleId {
        CircleId(self.rosters[0].hash().0)
    }

    /// A sealed record of the circle, with what it says by word or by key.
    fn sealed(&self, with_key: bool) -> Evidence {
        let log = self.log(self.circle());
        let secret_of_node = SealingKey::from_seed(&[3; 32]);
        let place = KeyPlace { log, seq: 1, time: START_MS, roster: 2, roster_hash: DocHash([4; 32]) };
        let nodes = BTreeMap::from([(log.author, secret_of_node.public())]);
        let mut random = ChaCha20Rng::seed_from_u64(1);
        let (key, record) = wrap(&place, &nodes, &mut random).unwrap();
        let id = key.id();
        let opener = Opener::new(log.author, vec![secret_of_node]);
        opener.keep(key);
        let key_draft = testing::draft(&Body::Key(record), START_MS);
        let draft = testing::draft(&Body::Report(marked()), START_MS + 1);
        let plain = Plain { kind: draft.kind, bytes: draft.body.clone() };
        let drafts = [key_draft, draft].map(|draft| tocsin_record::run::Draft { roster: 2, ..draft });
        let mut seal = |header: &mut Header, body: &tocsin_record::Bytes| {
            let is_key = header.seq == 1;
            Ok((!is_key).then(|| opener.seal(&id, header, body, &mut random).unwrap()))
        };
        let run = Run::sign_with(&secret(NODE), log, Tip::default(), drafts.into(), &mut seal).unwrap();
        let run = run.after(1).unwrap();
        let key = opener.body_key(&run.entries()[0].header).unwrap();
        let opened = if with_key { Opened::Key(*key) } else { Opened::Told(plain) };
        let mut evidence = self.evidence(run, Some(opened));
        evidence.rosters = self.rosters.clone();
        evidence
    }
}

fn faults(evidence: &Evidence) -> Vec<Fault> {
    // As it is read, so that nothing of it is missed by the form.
    Evidence::decode(&evidence.encode().unwrap()).unwrap().check(None).faults
}

/// The file with a digest that fits: what one makes who wants it to be believed.
fn digested(mut file: Vec<u8>) -> Vec<u8> {
    if let Some(end) = file.len().checked_sub(32) {
        let digest = id::hash(id::EVIDENCE, &[&file[..end]]);
        file[end..].copy_from_slice(&digest);
    }
    file
}

#[test]
fn what_was_signed_holds_and_says_by_whom() {
    let world = world();
    let file = world.of_mesh().encode().unwrap();
    assert!(file.starts_with(b"tocsin evidence 1\nTLP:GREEN; personal data no; for network-defence\n"));
    let evidence = Evidence::decode(&file).unwrap();
    assert_eq!(evidence, world.of_mesh());
    let found = evidence.check(Some(world.mesh));
    assert!(found.holds(), "{:?}", found.faults);
    assert_eq!((found.mesh, found.circle, found.proven), (world.mesh, Circle::Mesh, Proven::Signed));
    assert_eq!(found.org.unwrap().name, "cert-aa");
    assert_eq!(found.body, Some(Body::Report(marked())));
    // Of the record behind it the header is there, and nothing of what it says.
    assert!(evidence.run.entries()[1].body().is_none());
    let next = Body::Report(testing::report(8)).encode();
    assert!(!file.windows(next.len()).any(|part| part == next));
}

/// The form is passed from hand to hand and kept for years: a change here breaks every file that exists.
#[test]
fn golden() {
    let digest = |evidence: &Evidence| testing::hex(&id::hash(id::EVIDENCE, &[&evidence.encode().unwrap()]));
    let world = world();
    assert_eq!(digest(&world.of_mesh()), "92f50af1e047b0fdf975318a4f094971cffaef2b21ceebab28bc6993bd95d782");
    assert_eq!(
        digest(&world.sealed(true)),
        "9c18b1f3345fd20a09f78e91149c2457fced86e6cae432a54e199e9720c9945f"
    );
}

#[test]
fn the_own_circle_and_one_with_a_roster_hold() {
    let world = world();
    let own = CircleId::own(world.mesh, OrgId(secret(ROOT).public()));
    let own = world.evidence(world.run(own, 1), None);
    let found = own.check(None);
    assert!(found.holds() && found.circle == Circle::Own, "{:?}", found.faults);
    for (with_key, proven) in [(false, Proven::Told), (true, Proven::Opened)] {
        let evidence = Evidence::decode(&world.sealed(with_key).encode().unwrap()).unwrap();
        let found = evidence.check(None);
        assert!(found.holds(), "{:?}", found.faults);
        assert_eq!(found.circle, Circle::Roster { name: "Task force".to_owned(), orgs: 2 });
        assert_eq!((found.proven, found.body), (proven, Some(Body::Report(marked()))));
        assert!(evidence.label().starts_with("TLP:GREEN"), "its header shows none");
    }
}

#[test]
fn what_does_not_hold_is_named() {
    type Change = fn(&mut Evidence, &World);
    let world = world();
    let others: &[(&str, Change)] = &[
        ("Mesh", |evidence, _| {
            let other = Charter { nonce: [9; 32], ..evidence.charters[0].read().unwrap() };
            evidence.charters = vec![Signed::sign(&other, &[&secret(ROOT)])];
        }),
        ("Document", |evidence, _| {
            // Signed by somebody who is no steward.
            let next: Charter = evidence.charters[1].read().unwrap();
            evidence.charters[1] = Signed::sign(&next, &[&secret(OTHER_ROOT)]);
        }),
        ("NoRoster", |evidence, _| evidence.charters.truncate(1)),
        ("NoCharter", |evidence, _| evidence.charters.clear()),
        ("NoCertificate", |evidence, _| evidence.certificates.clear()),
        ("NoOrg", |evidence, _| {
            let mut certificate: Certificate = evidence.certificates[0].read().unwrap();
            certificate.org = OrgId(secret(30).public());
            let signers = [secret(30), secret(NODE), secret(NODE + 1)];
            evidence.certificates[0] = Signed::sign(&certificate, &signers.each_ref());
        }),
        ("Document", |evidence, _| {
            // Another org says that the node is its own, which its root did not sign.
            let mut certificate: Certificate = evidence.certificates[0].read().unwrap();
            certificate.org = OrgId(secret(OTHER_ROOT).public());
            let signers = [secret(ROOT), secret(NODE), secret(NODE + 1)];
            evidence.certificates[0] = Signed::sign(&certificate, &signers.each_ref());
        }),
        ("OtherNode", |evidence, _| {
            let mut certificate: Certificate = evidence.certificates[0].read().unwrap();
            certificate.keys[0].bytes = secret(40).public().to_vec();
            let signers = [secret(ROOT), secret(40), secret(NODE + 1)];
            evidence.certificates.push(Signed::sign(&certificate, &signers.each_ref()));
        }),
        ("KeyOver", |evidence, _| {
            let mut certificate: Certificate = evidence.certificates[0].read().unwrap();
            certificate.keys[0].until = START_MS + 1;
            certificate.version = 2;
            let signers = [secret(ROOT), secret(NODE), secret(NODE + 1)];
            evidence.certificates.push(Signed::sign(&certificate, &signers.each_ref()));
        }),
        ("OtherCircle", |evidence, world| evidence.rosters = world.rosters.clone()),
        ("Revoked", |evidence, world| evidence.revocations = vec![revoked(world, 1)]),
        ("OtherRevocations", |evidence, world| {
            let none = Revocations { entries: vec![], ..revoked(world, 1).read().unwrap() };
            evidence.revocations = vec![Signed::sign(&none, &[&secret(ROOT)])];
        }),
    ];
    for (name, change) in others {
        let mut evidence = world.of_mesh();
        change(&mut evidence, &world);
        let faults = faults(&evidence);
        assert!(faults.iter().any(|fault| format!("{fault:?}").starts_with(name)), "{name}: {faults:?}");
    }
    // Cut behind the record: it counts, and that is told.
    let mut evidence = world.of_mesh();
    evidence.revocations = vec![revoked(&world, 2)];
    let found = evidence.check(None);
    assert!(found.holds() && found.revoked == Some(START_MS + 100), "{:?}", found.faults);
    let wrong = world.of_mesh().check(Some(MeshId([1; 32]))).faults;
    assert!(matches!(wrong[..], [Fault::OtherMesh(mesh)] if mesh == world.mesh), "{wrong:?}");
}

/// That the node is out, with its log cut behind a record.
fn revoked(world: &World, seq: u64) -> Signed {
    let log = world.log(CircleId::mesh(world.mesh)).id();
    let entry = Revoked {
        org: OrgId(secret(ROOT).public()),
        node: Some(NodeKey(secret(NODE).public())),
        time: START_MS + 100,
        reason: 1,
        cuts: vec![Cut { log, seq, id: tocsin_record::RecordId([5; 32]) }],
    };
    let list = Revocations {
        mesh: world.mesh,
        version: 1,
        prev: DocHash::ZERO,
        time: START_MS + 100,
        entries: vec![entry],
        extension: vec![],
    };
    Signed::sign(&list, &[&secret(ROOT)])
}

#[test]
fn who_was_not_in_the_circle_then_is_named() {
    let world = world();
    // The first version names the one org alone; the record is the other's.
    let other: &Secret = &secret(OTHER_ROOT);
    let keys = vec![
        testing::key(Purpose::Record, &secret(NODE).public()),
        testing::key(Purpose::Transport, &secret(NODE + 1).public()),
    ];
    let certificate =
        Signed::sign(&testing::certificate(other, keys), &[other, &secret(NODE), &secret(NODE + 1)]);
    for (roster, is_in) in [(1, false), (2, true)] {
        let mut evidence = world.evidence(world.run(world.circle(), roster), None);
        evidence.certificates = vec![certificate.clone()];
        evidence.rosters = world.rosters[..roster as usize].to_vec();
        let faults = faults(&evidence);
        assert_eq!(faults.iter().any(|fault| matches!(fault, Fault::NotIn(1))), !is_in, "{faults:?}");
        assert_eq!(faults.is_empty(), is_in, "{faults:?}");
    }
}

#[test]
fn another_key_opens_nothing() {
    let world = world();
    let sealed = world.sealed(true);
    let mut evidence = world.evidence(sealed.run, Some(Opened::Key([9; 32])));
    evidence.rosters = world.rosters.clone();
    assert!(faults(&evidence).iter().any(|fault| matches!(fault, Fault::Closed)));
}

/// Every byte of each sort of file with one bit of it changed, as it is and with a digest that fits: refused, or found not to hold. Of
/// what a sealed record says by word alone another word may be put, and is told to be no more than that.
#[test]
fn no_changed_byte_passes() {
    let world = world();
    let told = world.sealed(false);
    for whole in [world.of_mesh(), world.sealed(true), told] {
        let file = whole.encode().unwrap();
        let whole = Evidence::decode(&file).unwrap();
        for at in 0..file.len() {
            let bit = 1 << (at % 8);
            let mut changed = file.clone();
            changed[at] ^= bit;
            assert!(Evidence::decode(&changed).is_err(), "byte {at} was changed");
            let Ok(evidence) = Evidence::decode(&digested(changed)) else { continue };
            // The digest itself was made to fit again.
            if evidence == whole {
                assert!(at >= file.len() - 32, "byte {at} is of no meaning");
                continue;
            }
            let found = evidence.check(None);
            let is_word = found.proven == Proven::Told && evidence.run == whole.run;
            assert!(!found.holds() || is_word, "byte {at} was changed by {bit}: {evidence:?}");
        }
    }
}

#[test]
fn no_cut_or_longer_file_passes() {
    let file = world().of_mesh().encode().unwrap();
    for length in 0..file.len() {
        assert!(Evidence::decode(&file[..length]).is_err(), "{length} bytes");
        assert!(Evidence::decode(&digested(file[..length].to_vec())).is_err(), "{length} bytes");
    }
    for more in [vec![0], b"\n".to_vec(), vec![0; 40]] {
        let longer = [file.as_slice(), &more].concat();
        assert!(Evidence::decode(&longer).is_err() && Evidence::decode(&digested(longer)).is_err());
    }
    assert!(matches!(Evidence::decode(&vec![b' '; FILE_MAX + 1]), Err(FileError::Long(_))));
    assert!(matches!(Evidence::decode(b"tocsin evidence 2\n"), Err(FileError::Newer)));
    assert!(matches!(Evidence::decode(b"%PDF-1.7"), Err(FileError::Magic)));
    assert!(matches!(Evidence::decode(b""), Err(FileError::Magic)));
}
