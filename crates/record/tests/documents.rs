//! Chains of documents: who may change what, and what is refused.

use std::collections::BTreeSet;

use tocsin_record::document::{
    Carry, Certificate, Charter, DocumentError, Form, OrgEntry, Purpose, Revocations, Revoked, Roster,
    SIGNATURES_MAX, Signed, decode_all, encode_all,
};
use tocsin_record::id::{CircleId, DocHash, MeshId, NodeKey, OrgId};
use tocsin_record::keys::{Secret, Signature};
use tocsin_record::testing::{self, START_MS, key, secret};

const NOW_MS: u64 = START_MS;

fn org(number: u8, steward: bool) -> OrgEntry {
    OrgEntry {
        roles: if steward { vec!["steward".to_owned()] } else { vec![] },
        ..testing::org(&secret(number), &format!("org-{number}.example"))
    }
}

/// A first charter with these orgs as stewards, and org 100 besides.
fn charter(stewards: &[u8]) -> Charter {
    let mut orgs: Vec<OrgEntry> = stewards.iter().map(|number| org(*number, true)).collect();
    orgs.push(org(100, false));
    orgs.sort_by_key(|org| org.root);
    testing::charter(orgs)
}

fn roster(mesh: MeshId, stewards: &[u8], orgs: &[u8]) -> Roster {
    let keys =
        |numbers: &[u8]| -> BTreeSet<[u8; 32]> { numbers.iter().map(|n| secret(*n).public()).collect() };
    let orgs = keys(orgs).into_iter().map(OrgId).collect();
    Roster { mesh, ..testing::roster(orgs, keys(stewards).into_iter().collect()) }
}

fn certificate() -> Certificate {
    let key = |purpose, number| key(purpose, &secret(number).public());
    let keys = vec![key(Purpose::Record, 10), key(Purpose::Transport, 11), key(Purpose::Steward, 12)];
    testing::certificate(&secret(1), keys)
}

/// The charter after `known`, with these stewards.
fn next(charter_now: &Charter, known: &Signed, stewards: &[u8]) -> Charter {
    Charter {
        version: charter_now.version + 1,
        prev: known.hash(),
        time: charter_now.time + 1,
        orgs: charter(stewards).orgs,
        ..charter_now.clone()
    }
}

fn sign<D: tocsin_record::document::Document>(document: &D, signers: &[u8]) -> Signed {
    let secrets: Vec<Secret> = signers.iter().map(|number| secret(*number)).collect();
    Signed::sign(document, &secrets.iter().collect::<Vec<_>>())
}

fn few(result: Result<impl std::fmt::Debug, DocumentError>, found: usize, needed: usize) {
    match result {
        Err(DocumentError::Signatures { found: f, needed: n, .. }) => assert_eq!((f, n), (found, needed)),
        other => panic!("expected {found} of {needed} signatures, got {other:?}"),
    }
}

fn follows_not(result: Result<impl std::fmt::Debug, DocumentError>) {
    assert!(matches!(result, Err(DocumentError::Follows { .. })), "{result:?}");
}

#[test]
fn a_first_charter_needs_more_than_half_of_its_stewards() {
    let charter = charter(&[1, 2, 3, 4]);
    few(Charter::open(&sign(&charter, &[1, 2])), 2, 3);
    let (mesh, read) = Charter::open(&sign(&charter, &[1, 2, 3])).unwrap();
    assert_eq!(read, charter);
    let (same, _) = Charter::open(&sign(&charter, &[2, 3, 4])).unwrap();
    assert_eq!(mesh, same, "who signed is no part of the mesh id");
    few(Charter::open(&sign(&self::charter(&[]), &[100])), 0, 1);
    follows_not(Charter::open(&sign(&Charter { version: 2, prev: DocHash([1; 32]), ..charter }, &[1, 2, 3])));
}

#[test]
fn strangers_members_and_repetitions_do_not_count() {
    let charter = charter(&[1, 2, 3]);
    few(Charter::open(&sign(&charter, &[1, 100, 200, 201])), 1, 2);

    let mut twice = sign(&charter, &[1]);
    twice.add_signature(&secret(1));
    assert_eq!(twice.signatures.len(), 1);
    let again = twice.signatures[0];
    twice.signatures.extend([again; 5]);
    few(Charter::open(&twice), 1, 2);

    let mut borrowed = sign(&charter, &[1]);
    let key = secret(2).public();
    borrowed.signatures.push((key, borrowed.signatures[0].1));
    few(Charter::open(&borrowed), 1, 2);

    let mut other = sign(&charter, &[1]);
    other.bytes = sign(&Charter { history: 1, ..charter }, &[1]).bytes;
    few(Charter::open(&other), 0, 2);
}

#[test]
fn a_bad_signature_does_not_hide_a_good_one_of_the_same_key() {
    let charter = charter(&[1]);
    let mut signed = sign(&charter, &[1]);
    signed.signatures.insert(0, (secret(1).public(), Signature([9; 64])));
    assert!(Charter::open(&signed).is_ok());
}

#[test]
fn a_signature_over_one_form_is_none_over_another() {
    let mut signed = sign(&charter(&[1]), &[1]);
    let before = signed.hash();
    signed.form = Form::Roster;
    assert_ne!(signed.hash(), before);
    let wrong = Charter::open(&signed);
    assert!(matches!(wrong, Err(DocumentError::Form { .. })), "{wrong:?}");
}

#[test]
fn the_next_charter_needs_majorities_of_both() {
    let first = charter(&[1, 2, 3]);
    let known = sign(&first, &[1, 2]);
    // The old stewards alone cannot appoint others, the new ones alone cannot appoint themselves.
    let second = next(&first, &known, &[3, 4, 5]);
    few(first.follow(&known, &sign(&second, &[1, 2])), 0, 2);
    few(first.follow(&known, &sign(&second, &[3, 4, 5])), 1, 2);
    few(first.follow(&known, &sign(&second, &[1, 3])), 1, 2);
    let signed = sign(&second, &[2, 3, 4]);
    assert_eq!(first.follow(&known, &signed).unwrap(), second);
    // Without stewards nothing can be changed any more, so nobody can be left with none.
    few(first.follow(&known, &sign(&next(&first, &known, &[]), &[1, 2, 3])), 0, 1);
}

#[test]
fn a_charter_follows_only_its_own() {
    let first = charter(&[1]);
    let known = sign(&first, &[1]);
    let second = next(&first, &known, &[1]);
    let refused = |change: fn(&mut Charter)| {
        let mut changed = second.clone();
        change(&mut changed);
        follows_not(first.follow(&known, &sign(&changed, &[1])));
    };
    refused(|c| c.version = 3);
    refused(|c| c.prev = DocHash([9; 32]));
    refused(|c| c.nonce = [9; 32]);
    follows_not(first.follow(&known, &known));
    let accepted = sign(&second, &[1]);
    follows_not(second.follow(&accepted, &accepted));
    assert!(first.follow(&known, &accepted).is_ok());
}

#[test]
fn an_expired_charter_adds_nobody() {
    let mut first = charter(&[1]);
    first.expires = NOW_MS + 10;
    let known = sign(&first, &[1]);
    let mut larger = next(&first, &known, &[1, 2]);
    assert!(first.follow(&known, &sign(&larger, &[1, 2])).is_ok());
    larger.time = NOW_MS + 10;
    let refused = first.follow(&known, &sign(&larger, &[1, 2]));
    assert!(matches!(refused, Err(DocumentError::Bounds(Form::Charter, _))), "{refused:?}");
    let mut smaller = next(&first, &known, &[1]);
    smaller.time = NOW_MS + 10;
    smaller.orgs.retain(OrgEntry::is_steward);
    assert!(first.follow(&known, &sign(&smaller, &[1])).is_ok());
}

#[test]
fn a_charter_is_bounded() {
    let refused = |change: fn(&mut Charter), field: &str| {
        let mut charter = charter(&[1, 2]);
        change(&mut charter);
        match Charter::open(&sign(&charter, &[1, 2])) {
            Err(DocumentError::Bounds(Form::Charter, found)) => assert_eq!(found, field),
            other => panic!("`{field}`: {other:?}"),
        }
    };
    refused(|c| c.version = 0, "version");
    refused(|c| c.prev = DocHash([1; 32]), "prev");
    refused(|c| c.name = "a\u{1b}[2J".to_owned(), "name");
    refused(|c| c.orgs.reverse(), "orgs");
    refused(|c| c.orgs[1].root = c.orgs[0].root, "orgs");
    refused(|c| c.orgs[1].name = c.orgs[0].name.clone(), "org name");
    refused(|c| c.orgs[0].name = "Ärger".to_owned(), "org name");
    refused(|c| c.orgs[0].country = *b"xa", "country");
    refused(|c| c.orgs[0].addresses = vec![String::new(); 33], "addresses");
    refused(|c| c.orgs[0].contact.notes = "x".repeat(1025), "contact");
    let mut many = sign(&charter(&[1]), &[1]);
    many.signatures.extend([([1; 32], Signature([0; 64])); SIGNATURES_MAX]);
    let result = Charter::open(&many);
    assert!(matches!(result, Err(DocumentError::Bounds(_, "signatures"))), "{result:?}");
}

#[test]
fn rosters_chain_as_charters_do() {
    let mesh = MeshId([1; 32]);
    let first = roster(mesh, &[1, 2, 3], &[1, 2]);
    let known = sign(&first, &[1, 2]);
    let (circle, _) = Roster::open(mesh, &known).unwrap();
    assert_eq!(circle, CircleId(known.hash().0));
    let elsewhere = Roster::open(MeshId([2; 32]), &known);
    assert!(matches!(elsewhere, Err(DocumentError::Elsewhere(..))), "{elsewhere:?}");
    few(Roster::open(mesh, &sign(&first, &[1, 200])), 1, 2);

    let second = Roster {
        version: 2,
        prev: known.hash(),
        time: NOW_MS + 1,
        nonce: first.nonce,
        ..roster(mesh, &[4], &[1, 2, 3])
    };
    few(first.follow(&known, &sign(&second, &[4])), 0, 2);
    few(first.follow(&known, &sign(&second, &[1, 2])), 0, 1);
    assert_eq!(first.follow(&known, &sign(&second, &[1, 2, 4])).unwrap(), second);

    let refused = |change: fn(&mut Roster)| {
        let mut changed = second.clone();
        change(&mut changed);
        follows_not(first.follow(&known, &sign(&changed, &[1, 2, 4])));
    };
    refused(|r| r.version = 3);
    refused(|r| r.prev = DocHash([9; 32]));
    refused(|r| r.nonce = [9; 32]);
    let mut moved = second;
    moved.mesh = MeshId([2; 32]);
    let moved = first.follow(&known, &sign(&moved, &[1, 2, 4]));
    assert!(matches!(moved, Err(DocumentError::Elsewhere(..))), "{moved:?}");
}

#[test]
fn an_expired_roster_adds_nobody() {
    let mesh = MeshId([1; 32]);
    let mut first = roster(mesh, &[1], &[1, 2]);
    first.expires = NOW_MS + 10;
    let known = sign(&first, &[1]);
    let later = |orgs: &[u8]| Roster {
        version: 2,
        prev: known.hash(),
        time: NOW_MS + 10,
        ..roster(mesh, &[1], orgs)
    };
    let refused = first.follow(&known, &sign(&later(&[1, 2, 3]), &[1]));
    assert!(matches!(refused, Err(DocumentError::Bounds(Form::Roster, _))), "{refused:?}");
    let emptied = first.follow(&known, &sign(&later(&[]), &[1])).unwrap();
    assert!(!emptied.has(OrgId(secret(1).public())), "no members is nobody");
}

#[test]
fn named_carriers_carry_only_where_the_roster_says_so() {
    let mut roster = roster(MeshId([1; 32]), &[1], &[1]);
    let carrier = OrgId(secret(9).public());
    roster.carriers = vec![carrier];
    assert!(!roster.carries(carrier));
    roster.carry = Carry::Named;
    assert!(roster.carries(carrier) && !roster.has(carrier));
}

#[test]
fn a_certificate_is_the_word_of_its_own_root() {
    let certificate = certificate();
    let read = Certificate::open(&sign(&certificate, &[1, 10, 11, 12])).unwrap();
    assert_eq!(read.node_key(), NodeKey(secret(10).public()));
    assert_eq!(read.transport_key(), secret(11).public());
    assert_eq!(read.steward_keys().collect::<Vec<_>>(), [secret(12).public()]);
    few(Certificate::open(&sign(&certificate, &[])), 0, 4);
    // Without its root it is nobody's; without one of its keys it may be another node's key that it names.
    for missing in [&[10, 11, 12], &[1, 11, 12], &[1, 10, 12], &[1, 10, 11]] {
        few(Certificate::open(&sign(&certificate, missing)), 3, 4);
    }
}

#[test]
fn a_certificate_with_weak_missing_or_ambiguous_keys_is_refused() {
    // The neutral element of the curve: it "signs" everything.
    let mut weak = [0; 32];
    weak[0] = 1;
    let refused = |change: &dyn Fn(&mut Certificate), field: &str| {
        let mut certificate = certificate();
        change(&mut certificate);
        match Certificate::open(&sign(&certificate, &[1])) {
            Err(DocumentError::Bounds(Form::Certificate, found)) => assert_eq!(found, field),
            other => panic!("`{field}`: {other:?}"),
        }
    };
    refused(&|c| c.keys[0].bytes = weak.to_vec(), "record key");
    refused(&|c| c.keys[1].bytes = weak.to_vec(), "transport key");
    refused(&|c| c.keys[2].bytes = weak.to_vec(), "steward key");
    refused(&|c| c.keys[0].bytes = vec![1; 31], "record key");
    refused(&|c| drop(c.keys.remove(0)), "record key");
    refused(&|c| c.keys.push(c.keys[0].clone()), "record key");
    refused(&|c| c.keys.push(c.keys[1].clone()), "transport key");
    refused(&|c| c.keys[0].suite = 2, "record key");
    refused(&|c| c.keys[2].bytes = vec![1; 4097], "key bytes");
    refused(&|c| c.node = "Node 1".to_owned(), "node name");
    refused(&|c| c.version = 0, "version");
}

#[test]
fn an_org_whose_root_is_weak_certifies_nobody() {
    let mut certificate = certificate();
    let mut weak = [0; 32];
    weak[0] = 1;
    certificate.org = OrgId(weak);
    let mut signed = sign(&certificate, &[]);
    // R = the neutral element and s = 0 satisfy the equation of lax verification for this key.
    let mut forged = [0; 64];
    forged[0] = 1;
    signed.signatures.push((weak, Signature(forged)));
    few(Certificate::open(&signed), 0, 4);
}

fn revocations(mesh: MeshId) -> Revocations {
    Revocations {
        mesh,
        version: 1,
        prev: DocHash::ZERO,
        time: NOW_MS,
        entries: vec![Revoked {
            org: OrgId(secret(1).public()),
            node: Some(NodeKey([5; 32])),
            time: NOW_MS,
            reason: 0,
            cuts: vec![],
        }],
        extension: vec![],
    }
}

#[test]
fn revocations_need_the_stewards_and_their_order() {
    let charter = charter(&[1, 2, 3]);
    let mesh = MeshId([1; 32]);
    let first = revocations(mesh);
    let signed = sign(&first, &[1, 2]);
    few(Revocations::open(mesh, &charter, None, &sign(&first, &[1, 100])), 1, 2);
    let elsewhere = Revocations::open(MeshId([2; 32]), &charter, None, &signed);
    assert!(matches!(elsewhere, Err(DocumentError::Elsewhere(..))), "{elsewhere:?}");
    assert_eq!(Revocations::open(mesh, &charter, None, &signed).unwrap(), first);

    let known = Some((&first, signed.hash()));
    follows_not(Revocations::open(mesh, &charter, known, &signed));
    let mut second = first.clone();
    second.version = 2;
    second.prev = signed.hash();
    follows_not(Revocations::open(mesh, &charter, None, &sign(&second, &[1, 2])));
    assert!(Revocations::open(mesh, &charter, known, &sign(&second, &[1, 2])).is_ok());
    second.prev = DocHash([9; 32]);
    follows_not(Revocations::open(mesh, &charter, known, &sign(&second, &[1, 2])));
    second.prev = signed.hash();
    second.version = 3;
    follows_not(Revocations::open(mesh, &charter, known, &sign(&second, &[1, 2])));
}

#[test]
fn a_revocation_takes_one_node_or_the_whole_org() {
    let mut list = revocations(MeshId([1; 32]));
    let org = OrgId(secret(1).public());
    assert!(list.has(org, NodeKey([5; 32])));
    assert!(!list.has(org, NodeKey([6; 32])));
    assert!(!list.has(OrgId([9; 32]), NodeKey([5; 32])));
    list.entries[0].node = None;
    assert!(list.has(org, NodeKey([6; 32])));
}

#[test]
fn documents_travel_together_and_only_whole() {
    let all = vec![sign(&charter(&[1]), &[1]), sign(&certificate(), &[1])];
    let bytes = encode_all(&all);
    assert_eq!(decode_all(&bytes).unwrap(), all);
    for length in 0..bytes.len() {
        assert!(decode_all(&bytes[..length]).is_err(), "{length} bytes were taken for all");
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(decode_all(&longer).is_err());
}
