//! Runs and pages as a hostile peer would send them, and their golden bytes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;

use tocsin_record::body::{self, Body, BodyRef, Report, report};
use tocsin_record::id::MeshId;
use tocsin_record::keys::Secret;
use tocsin_record::marking::Tlp;
use tocsin_record::run::{Draft, DraftError, SIGN_EVERY};
use tocsin_record::testing::{self, START_MS, hex, log, report};
use tocsin_record::{Bytes, Entry, LogKey, Part, Run, Tip, Verified, page};

/// Every third ends.
fn draft(number: u8) -> Draft {
    Draft {
        expires: if number.is_multiple_of(3) { 1_800_000_000_000 } else { 0 },
        ..testing::draft(&Body::Report(report(number)), START_MS + u64::from(number))
    }
}

fn run(secret: &Secret, count: u8) -> Run {
    Run::sign(secret, log(secret), Tip::default(), (0..count).map(draft).collect()).unwrap()
}

/// The forms are signed and sent: a change here breaks every mesh that exists.
#[test]
fn golden_bytes() {
    let secret = Secret::from_seed(&[42; 32]);
    let run = run(&secret, 3);
    assert_eq!(hex(&Body::Report(report(7)).encode()), include_str!("golden/report.hex").trim());
    assert_eq!(hex(&page::encode(&run)), include_str!("golden/page.hex").trim());
    assert_eq!(run.log().id().to_string(), include_str!("golden/log-id.hex").trim());
}

#[test]
fn a_page_reads_back_and_verifies() {
    let secret = Secret::from_seed(&[1; 32]);
    let mut run = run(&secret, 9);
    for (index, (_, part)) in run.bodies_mut().enumerate() {
        match index {
            2 => *part = Part::Withheld,
            3 => *part = Part::Ask,
            5 => *part = Part::Gone(1),
            8 => *part = Part::NotHeld,
            _ => {}
        }
    }
    let bytes = Bytes::from(page::encode(&run));
    let read = page::decode(log(&secret), &bytes).unwrap();
    assert_eq!(read, run);
    assert_eq!(page::unpack(&page::pack(&bytes)).unwrap(), bytes);
    let verified = read.verify().unwrap();
    assert_eq!(verified.clone().after(4).unwrap().first_seq(), 5);
    assert!(verified.after(9).is_none());
}

#[test]
fn runs_join_and_only_where_they_follow() {
    let secret = Secret::from_seed(&[1; 32]);
    let first = run(&secret, 3);
    let second = Run::sign(&secret, log(&secret), first.tip(), vec![draft(9)]).unwrap();
    let both = first.clone().join(second.clone()).unwrap();
    assert_eq!(both.tip(), second.tip());
    assert!(both.verify().is_ok());
    assert!(second.join(first).is_err());
}

#[test]
fn a_stranger_or_another_body_is_refused() {
    let secret = Secret::from_seed(&[1; 32]);
    let stranger = Secret::from_seed(&[2; 32]);
    let forged = Run::sign(&stranger, log(&secret), Tip::default(), vec![draft(1)]).unwrap();
    assert!(forged.verify().is_err());

    let mut bytes = page::encode(&run(&secret, 3));
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let changed = page::decode(log(&secret), &Bytes::from(bytes)).unwrap();
    assert!(changed.verify().is_err(), "a changed body changes its hash, the header and so the chain");

    let elsewhere = LogKey { mesh: MeshId([9; 32]), ..log(&secret) };
    let moved = page::decode(elsewhere, &Bytes::from(page::encode(&run(&secret, 3)))).unwrap();
    assert!(moved.verify().is_err(), "a run of one mesh does not verify in another");
}

#[test]
fn drafts_are_bounded() {
    let secret = Secret::from_seed(&[1; 32]);
    let sign = |drafts| Run::sign(&secret, log(&secret), Tip::default(), drafts);
    assert_eq!(sign(vec![]).unwrap_err(), DraftError::Count(0));
    assert_eq!(sign(vec![draft(1); SIGN_EVERY + 1]).unwrap_err(), DraftError::Count(SIGN_EVERY + 1));
    let large = Draft { body: vec![0; (1 << 20) + 1].into(), ..draft(1) };
    assert_eq!(sign(vec![large]).unwrap_err(), DraftError::Body((1 << 20) + 1));
    let over = |expires, time| Draft { expires, time, ..draft(1) };
    assert!(sign(vec![over(9, 9)]).is_ok(), "it may end as it is written");
    assert_eq!(sign(vec![over(0, 9), over(8, 7)]).unwrap_err(), DraftError::Over { expires: 8, time: 9 });
}

#[test]
fn an_author_vouches_for_its_own_log_alone() {
    let secret = Secret::from_seed(&[3; 32]);
    let own = Verified::sign(&secret, log(&secret), Tip::default(), vec![draft(1)]).unwrap();
    assert_eq!(own.into_run().verify().unwrap().entries().len(), 1, "what it signs verifies");
    let other = log(&Secret::from_seed(&[4; 32]));
    let refused = Verified::sign(&secret, other, Tip::default(), vec![draft(1)]);
    assert_eq!(refused.unwrap_err(), DraftError::Author);
}

#[test]
fn a_body_must_say_what_its_header_says() {
    let secret = Secret::from_seed(&[1; 32]);
    let looser =
        Run::sign(&secret, log(&secret), Tip::default(), vec![Draft { tlp: 1, ..draft(1) }]).unwrap();
    let entry = &looser.entries()[0];
    let refused = Body::read(&entry.header, entry.body().unwrap());
    assert!(matches!(refused, Err(body::BodyError::Disagree("tlp"))), "{refused:?}");
    let honest = run(&secret, 1);
    let entry = &honest.entries()[0];
    assert_eq!(Body::read(&entry.header, entry.body().unwrap()).unwrap(), Body::Report(report(0)));
}

/// A small generator, so that a failing case can be run again from its printed seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[test]
fn damaged_pages_and_bodies_never_pass_and_never_panic() {
    let secret = Secret::from_seed(&[1; 32]);
    let good = page::encode(&run(&secret, 12));
    let body = Body::Report(report(1)).encode();
    let header = run(&secret, 1).entries()[0].header.clone();
    for seed in 1..3000u64 {
        let mut random = Random(seed);
        let mut bytes = good.clone();
        match random.next() % 3 {
            0 => bytes.truncate(random.next() as usize % good.len()),
            1 => bytes.push(random.next() as u8),
            _ => {
                let at = random.next() as usize % bytes.len();
                bytes[at] ^= 1 << (random.next() % 8);
            }
        }
        if let Ok(run) = page::decode(log(&secret), &Bytes::from(bytes)) {
            assert!(run.verify().is_err(), "seed {seed}: a damaged page verified");
        }
        let mut bytes = body.clone();
        let at = random.next() as usize % bytes.len();
        bytes[at] = random.next() as u8;
        if let Ok(read) = Body::read(&header, &bytes) {
            assert_eq!(read.encode(), bytes, "seed {seed}: a body re-encodes differently");
        }
    }
}

#[test]
fn a_page_that_says_one_thing_twice_is_refused() {
    let secret = Secret::from_seed(&[1; 32]);
    let bytes = page::encode(&run(&secret, 2));
    // The shapes: one of count 2 (seq, prev, then length 1). Count 0 and a longer integer are other forms.
    let at = 1 + 32;
    assert_eq!(bytes[at..at + 2], [1, 2]);
    let mut zero = bytes.clone();
    zero[at + 1] = 0;
    assert!(page::decode(log(&secret), &Bytes::from(zero)).is_err());
    let mut longer = bytes;
    longer.splice(at..=at, [251, 1, 0]);
    let error = page::decode(log(&secret), &Bytes::from(longer)).unwrap_err();
    assert!(error.to_string().contains("shortest form"), "{error}");
}

#[test]
fn an_outline_is_the_page_without_what_is_computed() {
    let secret = Secret::from_seed(&[5; 32]);
    let run = Run::sign(&secret, log(&secret), Tip::default(), (1..=9).map(draft).collect()).unwrap();
    let page = Bytes::from(page::encode(&run));
    let ids: Vec<[u8; 32]> = run.entries().iter().map(|entry| entry.id.0).collect();
    let mut expected = run.entries().iter();
    page::outline(log(&secret), &page, &ids, |seen| {
        let entry = expected.next().unwrap();
        assert_eq!((&seen.body, seen.id), (&entry.body, entry.id));
        let mut header = entry.header.clone();
        header.body_hash = tocsin_record::BodyHash::ZERO;
        assert_eq!(seen.header, header);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(expected.next().is_none());
    let mut seen = 0;
    let mut third = |_: &Entry| {
        seen += 1;
        if seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    page::outline(log(&secret), &page, &ids, &mut third).unwrap();
    assert_eq!(seen, 3);
    let mut all = |_: &Entry| ControlFlow::Continue(());
    assert!(page::outline(log(&secret), &page.slice(..page.len() - 1), &ids, &mut all).is_err());
    assert!(page::outline(log(&secret), &page, &ids[1..], &mut all).is_err());
}

#[test]
fn originals_are_bounded_before_they_are_read() {
    let secret = Secret::from_seed(&[6; 32]);
    let reads = |originals: Vec<(usize, usize)>| {
        let originals = originals.into_iter().map(|(full, len)| report::Original {
            format: 4,
            full: u32::try_from(full).unwrap(),
            data: vec![0; len],
        });
        let bytes = Body::Report(Report { originals: originals.collect(), ..report(8) }).encode();
        let sent = Draft { body: bytes.clone().into(), expires: 0, ..draft(8) };
        let run = Run::sign(&secret, log(&secret), Tip::default(), vec![sent]).unwrap();
        BodyRef::read(&run.entries()[0].header, &bytes).is_ok()
    };
    let most = report::ORIGINAL_RATIO_MAX;
    assert!(reads(vec![(10 * most, 10)]) && !reads(vec![(10 * most + 1, 10)]));
    assert!(reads(vec![(1, 1); report::ORIGINALS_MAX]) && !reads(vec![(1, 1); report::ORIGINALS_MAX + 1]));
    let half = (report::ORIGINAL_MAX / 2, report::ORIGINAL_MAX / 2 / most);
    assert!(reads(vec![half; 2]) && !reads(vec![half, half, (1, 1)]));
    // What would not be read is not written.
    assert!(report::Original::pack(4, &vec![0; 1 << 20]).is_err());
    assert!(report::Original::pack(4, &[0; 64]).is_ok());
}

#[test]
fn a_page_is_refused_that_could_grow_too_long_when_bodies_leave_it() {
    let secret = Secret::from_seed(&[6; 32]);
    let sized = |len: usize| Draft { body: vec![7; len].into(), expires: 0, ..draft(1) };
    let with = |last: usize, empty: usize| {
        let mut drafts: Vec<Draft> = (0..8).map(|_| sized((1 << 20) - 2_000)).collect();
        drafts.push(sized(last));
        drafts.extend((0..empty).map(|_| sized(0)));
        Run::sign(&secret, log(&secret), Tip::default(), drafts).unwrap()
    };
    let read = |run: &Run| page::decode(log(&secret), &Bytes::from(page::encode(run)));
    // Without bodies so short that their hashes are longer, a page may be as long as any.
    let fill = page::PAGE_MAX - page::encode(&with(1_000, 0)).len() + 1_000 - 40;
    assert!(read(&with(fill, 0)).is_ok() && read(&with(fill + 100, 0)).is_err());
    let run = with(fill - 500, 50);
    assert!(page::encode(&run).len() <= page::PAGE_MAX && page::longest(&run) > page::PAGE_MAX);
    assert!(read(&run).is_err(), "fifty hashes more are over the bound");
    // What is taken stays within it, whatever leaves.
    let mut run = with(fill - 50 * 34 - 500, 50);
    assert!(read(&run).is_ok());
    let parts = [Part::NotHeld, Part::Ask, Part::Gone(1), Part::Withheld];
    for at in [57, 10, 30, 3, 31, 0, 12] {
        for (index, (_, part)) in run.bodies_mut().enumerate() {
            if index == at || index > 20 {
                *part = parts[index % 4].clone();
            }
        }
        assert!(read(&run).is_ok() && page::encode(&run).len() <= page::longest(&run));
    }
}

/// Every byte of a report changed in turn, and every way of cutting it: both ways of reading agree on all of them.
#[test]
fn a_report_reads_in_place_as_it_reads_as_a_copy() {
    let secret = Secret::from_seed(&[6; 32]);
    let mut whole = report(7);
    whole.labels = vec!["a".into(), "b".into()];
    whole.origin.source = Some(report::Source {
        name: "feed".into(),
        org: None,
        id: "17".into(),
        record: Some(tocsin_record::RecordId([3; 32])),
    });
    whole.originals = vec![report::Original::pack(4, b"tlp:green").unwrap()];
    whole.marking.as_mut().unwrap().tlp = Tlp::Green;
    let body = Body::Report(whole.clone());
    let bytes = body.encode();
    let sent = Draft { body: bytes.clone().into(), expires: 0, ..draft(7) };
    let run = Run::sign(&secret, log(&secret), Tip::default(), vec![sent]).unwrap();
    let header = &run.entries()[0].header;
    assert_eq!(BodyRef::read(header, &bytes).unwrap(), BodyRef::Report(whole.borrowed()));
    let mut agreed = 0;
    let mut both = |bytes: &[u8]| match (Body::read(header, bytes), BodyRef::read(header, bytes)) {
        (Ok(Body::Report(copy)), Ok(BodyRef::Report(seen))) => {
            assert_eq!(copy.borrowed(), seen);
            agreed += 1;
        }
        // The texts differ in the names of types.
        (Err(one), Err(other)) => {
            assert_eq!(std::mem::discriminant(&one), std::mem::discriminant(&other), "{one} and {other}");
        }
        (one, other) => panic!("{one:?} and {other:?}"),
    };
    for at in 0..bytes.len() {
        both(&bytes[..at]);
        for value in [0, 1, 2, 127, 250, 251, 255] {
            let mut changed = bytes.clone();
            changed[at] = value;
            both(&changed);
        }
    }
    assert!(agreed > 100, "too few of the changed bodies read at all: {agreed}");
}
