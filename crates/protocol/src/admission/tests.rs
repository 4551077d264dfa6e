//! The door by itself, over a store in memory: no link, and nobody to tell.

use std::sync::Arc;

use tocsin_policy::{Home, Policy};
use tocsin_record::body::Body;
use tocsin_record::document;
use tocsin_record::testing::{START_MS, certificate, charter, draft, key, org, report, secret};
use tocsin_record::{CircleId, Entry, LogKey, Tip, Verified};
use tocsin_store::faulty::{FaultyKv, FaultySlots};
use tocsin_store::{BodyState, RecordRef, Verdict};

use super::admit::rule;
use super::judge::LogFacts;
use super::*;
use crate::io::{RequestError, Ticket, Write};

const NOW: Now = Now { wall: START_MS + 1_000_000_000, mono: 1_000_000 };
const HOUR_MS: u64 = 3_600_000;
/// Takes and forwards everything, and holds nothing.
const EVERYTHING: &str =
    r#"@id("all") permit(principal, action, resource) unless { action == Action::"hold" };"#;

struct Door {
    admission: Admission<FaultyKv, FaultySlots>,
    directory: Directory,
    circle: CircleId,
}

/// The door of a node of one org in a mesh of two.
fn door() -> Door {
    let (root, other, record, transport) = (secret(1), secret(2), secret(3), secret(4));
    let mut orgs = vec![org(&root, "own"), org(&other, "other")];
    orgs.iter_mut().for_each(|org| org.roles = vec!["steward".to_owned()]);
    orgs.sort_by_key(|org| org.root);
    let sign_certificate = |root: &Secret, record: &Secret, transport: &Secret| {
        let keys = vec![
            key(document::Purpose::Record, &record.public()),
            key(document::Purpose::Transport, &transport.public()),
        ];
        Signed::sign(&certificate(root, keys), &[root, record, transport])
    };
    let own = sign_certificate(&root, &record, &transport);
    let documents = [
        Signed::sign(&charter(orgs), &[&root, &other]),
        own.clone(),
        sign_certificate(&other, &secret(5), &secret(6)),
    ];
    let directory = Directory::load(&documents).unwrap();
    let mut next = 0_u8;
    let random = Box::new(move |bytes: &mut [u8]| {
        bytes.fill_with(|| {
            next = next.wrapping_add(1);
            next
        });
    });
    let (kv, slots) = (Arc::new(FaultyKv::new(1)), Arc::new(FaultySlots::new(1)));
    let store =
        Store::open(kv, slots, directory.mesh(), random, tocsin_seal::Opener::none(), &mut |_| {}).unwrap();
    let home = Home { org: OrgId(root.public()), country: *b"XA" };
    let decisions = Decisions::new(Arc::new(Policy::load(EVERYTHING).unwrap()), home);
    let random = rand_chacha::rand_core::SeedableRng::from_seed([1; 32]);
    let identity = Identity { secret: record, org: OrgId(root.public()), certificate: own, random };
    let (index, hold) = (Index::new(&[1; 16]), HoldDefault::Keep);
    let admission = Admission::open(identity, [1; 16], store, decisions, index, hold, NOW).unwrap();
    let circle = CircleId::mesh(directory.mesh());
    Door { admission, directory, circle }
}

fn random() -> rand_chacha::ChaCha20Rng {
    rand_chacha::rand_core::SeedableRng::from_seed([2; 32])
}

impl Door {
    /// Publishes reports, one a ticket, and stages what was signed. Where each was written, or why not.
    fn write(&mut self, now: Now, tickets: &[Ticket]) -> Vec<Result<RecordRef, RequestError>> {
        let by = By { directory: &self.directory, now };
        for ticket in tickets {
            let body = Body::Report(report(u8::try_from(*ticket).unwrap()));
            let writes = [Write::Bodies { circle: self.circle, bodies: vec![body] }];
            self.admission.queue_writes(&by, &mut random(), *ticket, &writes).unwrap().unwrap();
        }
        let queue = self.admission.take_queued(&by).unwrap();
        let (runs, answers) = self.admission.sign(&by, &queue).unwrap();
        let mut places = Vec::new();
        for signed in &runs {
            let log = self.admission.open_own_log(now, &signed.end).unwrap();
            self.admission.append(now, log, &signed.run, None, None, &signed.decided).unwrap();
            places.extend(signed.run.entries().iter().map(|entry| RecordRef { log, seq: entry.header.seq }));
        }
        let mut places = places.into_iter();
        answers.into_values().map(|answer| answer.map(|_| places.next().unwrap())).collect()
    }

    /// A report of the other org's node, stated at a time.
    fn heard(&self, time: u64) -> Entry {
        let author = secret(5);
        let mesh = self.directory.mesh();
        let log = LogKey { mesh, author: NodeKey(author.public()), circle: self.circle, epoch: time };
        let draft = tocsin_record::run::Draft { roster: 0, ..draft(&Body::Report(report(9)), time) };
        let run = Verified::sign(&author, log, Tip::default(), vec![draft]).unwrap();
        run.entries()[0].clone()
    }

    /// What is decided about an entry: verdict, body, and the name of the rule.
    fn decide(&mut self, now: Now, entry: &Entry) -> (Verdict, BodyState, String) {
        let by = By { directory: &self.directory, now };
        let facts = LogFacts::of(&self.directory, entry.header.author, self.circle);
        let decided = self.admission.decide(&by, &facts, entry).unwrap();
        let rule = self.admission.reader.rule(decided.rule).unwrap_or_default();
        (decided.verdict, decided.body, rule)
    }
}

#[test]
fn what_is_written_goes_on_in_one_log() {
    let mut door = door();
    let first = door.write(NOW, &[1, 2]);
    let [Ok(one), Ok(two)] = first[..] else { panic!("{first:?}") };
    let later = Now { wall: NOW.wall + 1000, mono: NOW.mono + 1000 };
    let second = door.write(later, &[3]);
    let [Ok(three)] = second[..] else { panic!("{second:?}") };
    assert_eq!((one.log, one.log, [one.seq, two.seq, three.seq]), (two.log, three.log, [1, 2, 3]));
    assert_eq!(door.admission.height(one.log), 3);
    assert!(door.admission.is_carried(one), "what is accepted here may leave");
}

#[test]
fn nothing_is_signed_by_a_clock_that_was_set() {
    let mut door = door();
    assert!(door.write(NOW, &[1])[0].is_ok());
    let jumped = Now { wall: NOW.wall + HOUR_MS, ..NOW };
    door.admission.clock.look(jumped);
    let refused = door.write(jumped, &[2]);
    assert!(matches!(refused[..], [Err(RequestError::Clock(_))]), "{refused:?}");
    // It is confirmed by a person: what follows opens a log of its own.
    door.admission.clock.confirm(jumped, false).unwrap();
    door.admission.clock.look(jumped);
    let anew = door.write(jumped, &[3]);
    assert_eq!(anew[0].as_ref().map(|place| place.seq), Ok(1), "{anew:?}");
}

#[test]
fn nobody_writes_to_a_circle_that_is_not_its_own() {
    let mut door = door();
    let by = By { directory: &door.directory, now: NOW };
    let circle = CircleId([9; 32]);
    let bodies = |n| vec![Body::Report(report(n))];
    // What goes with it, to a circle that is, is not written either.
    let writes = [
        Write::Bodies { circle: door.circle, bodies: bodies(2) },
        Write::Bodies { circle, bodies: bodies(1) },
    ];
    let queued = door.admission.queue_writes(&by, &mut random(), 1, &writes).unwrap();
    assert_eq!(queued, Err(RequestError::NotMember(circle)));
    assert!(door.admission.take_queued(&by).unwrap().is_empty());
}

#[test]
fn what_comes_from_the_future_is_held_until_its_time() {
    let mut door = door();
    let entry = door.heard(NOW.wall + HOUR_MS);
    let (verdict, body, name) = door.decide(NOW, &entry);
    assert_eq!((verdict, body, name.as_str()), (Verdict::Held, BodyState::Here, rule::TIME));
    let comes = Now { wall: NOW.wall + HOUR_MS, mono: NOW.mono + HOUR_MS };
    door.admission.rejudge.look_at_times(|time| time < comes.wall);
    assert!(!door.admission.rejudge.is_busy());
    door.admission.rejudge.look_at_times(|time| time <= comes.wall);
    assert!(door.admission.rejudge.is_busy(), "it is judged anew then");
    assert_eq!(door.decide(comes, &entry).0, Verdict::Accepted);
}

#[test]
fn a_body_that_does_not_read_is_refused_and_one_that_is_not_here_is_wanted() {
    let mut door = door();
    let mut entry = door.heard(NOW.wall);
    entry.body = tocsin_record::Part::Ask;
    assert_eq!(door.decide(NOW, &entry).1, BodyState::Wanted);
    entry.body = tocsin_record::Part::Here(vec![0xff; 3].into());
    let (verdict, body, name) = door.decide(NOW, &entry);
    assert_eq!((verdict, body, name.as_str()), (Verdict::Refused, BodyState::Refused, rule::MALFORMED));
}
