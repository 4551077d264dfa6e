//! Random work, random faults, random crashes: what was acknowledged is there, whole, after every reopening.
#![expect(clippy::disallowed_methods, reason = "a test takes its seeds from its environment")]

use std::collections::BTreeMap;

use super::erasure::Attic;
use super::*;
use crate::{Bodies, LogNo, RecordRef, StoreError};
use tocsin_record::{RecordId, page};

on_both! {
    random_work_and_crashes,
}

/// What one record should look like.
#[derive(Clone, Debug, PartialEq)]
struct Expected {
    id: RecordId,
    body: Option<Bytes>,
    outcome: Outcome,
}

type Model = BTreeMap<RecordRef, Expected>;

struct World<K> {
    seed: u64,
    dice: Dice,
    disk: Disk<K>,
    authors: Vec<Author>,
    /// All runs that each author ever signed, so that lost ones can be sent again.
    runs: Vec<Vec<Verified>>,
    attic: Attic,
    erased: Vec<String>,
    marker: u64,
}

impl<K: RealKv> World<K> {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            dice: Dice(seed),
            disk: Disk::new(seed),
            authors: (1..=3).map(Author::new).collect(),
            runs: vec![Vec::new(); 3],
            attic: Attic::default(),
            erased: Vec::new(),
            marker: 0,
        }
    }

    /// The next run of an author behind the store's tip: one that was lost, or a new one.
    fn next_run(&mut self, who: usize, tip: u64) -> Verified {
        if let Some(run) = self.runs[who].iter().find(|run| run.tip().seq > tip) {
            return run.clone().after(tip).unwrap();
        }
        self.marker += 1;
        let text = format!("MARK{:06};", self.marker);
        let run = match self.dice.below(10) {
            0 => self.authors[who].long(150, &text.repeat(100)),
            1 => self.authors[who].report(self.marker, &text.repeat(20_000)),
            _ => self.authors[who].report(self.marker, &text),
        };
        self.runs[who].push(run.clone());
        run
    }

    fn step(&mut self, store: &mut TestStore<K>, model: &mut Model) -> Result<(), StoreError> {
        let places: Vec<RecordRef> = model.keys().copied().collect();
        let pick = (!places.is_empty()).then(|| places[self.dice.below(places.len() as u64) as usize]);
        match (self.dice.below(12), pick) {
            (0..=5, _) | (_, None) => {
                let who = self.dice.below(3) as usize;
                let log = store.open_log(&self.authors[who].log, self.authors[who].org)?;
                let run = self.next_run(who, store.tip(log).unwrap().seq);
                let outcomes: Vec<Outcome> = run
                    .entries()
                    .iter()
                    .map(|_| match self.dice.below(6) {
                        0 => Outcome { verdict: Verdict::Unjudged, body: BodyState::Wanted, ..accepted(3) },
                        1 => Outcome { verdict: Verdict::Held, ..accepted(self.dice.below(5000)) },
                        _ => accepted(4),
                    })
                    .collect();
                let packed = page::pack(&page::encode(&run));
                let packed = (self.dice.below(2) == 0).then_some(packed.as_slice());
                store.append(log, &run, packed, &outcomes)?;
                for (entry, outcome) in run.entries().iter().zip(outcomes) {
                    let body = entry.body().filter(|_| outcome.body == BodyState::Here).cloned();
                    model.insert(
                        RecordRef { log, seq: entry.header.seq },
                        Expected { id: entry.id, body, outcome },
                    );
                }
            }
            (6 | 7, Some(place)) if model[&place].outcome.body == BodyState::Wanted => {
                let who = self.author_of(store, place);
                let mut entries = self.runs[who].iter().flat_map(|run| run.entries());
                let body = entries.find(|e| e.header.seq == place.seq).unwrap().body().unwrap().clone();
                assert!(store.set_body(place, &body, accepted(6))?);
                let expected = model.get_mut(&place).unwrap();
                (expected.body, expected.outcome) = (Some(body), accepted(6));
            }
            (8, Some(place)) => {
                let expected = model.get_mut(&place).unwrap();
                expected.outcome.rule = 1 + self.dice.below(3) as u16;
                if expected.body.is_some() && self.dice.below(3) == 0 {
                    expected.outcome.body = BodyState::Refused;
                    expected.outcome.verdict = Verdict::Refused;
                    expected.body = None;
                }
                store.set_outcome(place, expected.outcome)?;
            }
            (9, Some(place)) => {
                let erased = store.erase(place, 2)?;
                if erased {
                    let expected = model.get_mut(&place).unwrap();
                    expected.body = None;
                    expected.outcome.body = BodyState::Gone(2);
                }
            }
            (10, Some(place)) if self.dice.below(4) == 0 => {
                // The records leave the model when the commit tells how far.
                store.drop_below(place.log, place.seq)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn author_of(&self, store: &TestStore<K>, place: RecordRef) -> usize {
        let key = store.reader().log(place.log).unwrap().key;
        self.authors.iter().position(|author| author.log == key).unwrap()
    }

    fn check(&mut self, store: &TestStore<K>, model: &Model) {
        let reader = store.reader();
        let seed = self.seed;
        assert_eq!(reader.counts().records, model.len() as u64, "seed {seed}");
        for (place, expected) in model {
            let stored = reader.record(*place).unwrap();
            let stored = stored.unwrap_or_else(|| panic!("seed {seed}: {place:?} is lost"));
            assert_eq!(stored.entry.id, expected.id, "seed {seed}: {place:?}");
            assert_eq!(stored.entry.body(), expected.body.as_ref(), "seed {seed}: {place:?}");
            let (mut is, mut should) = (stored.stamped.outcome, expected.outcome);
            assert!(is.received.abs_diff(should.received) < 1000, "seed {seed}: {place:?}");
            (is.received, should.received) = (0, 0);
            assert_eq!(is, should, "seed {seed}: {place:?}");
        }
        let since: std::collections::BTreeSet<_> =
            reader.since(0, usize::MAX).into_iter().map(|(_, place)| place).collect();
        assert!(since.iter().eq(model.keys()), "seed {seed}: the order of changes names every record once");
        let wanted = |at: &&RecordRef| model[at].outcome.body == BodyState::Wanted;
        assert!(
            store
                .wanted(RecordRef { log: LogNo(0), seq: 0 }, usize::MAX)
                .iter()
                .eq(model.keys().filter(wanted))
        );
        for log in reader.logs() {
            let mut next = log.base.seq + 1;
            for run in reader.runs(log.no, next, usize::MAX, &mut Bodies::All).unwrap() {
                let decoded = page::decode(log.key, &page::unpack(&run.packed).unwrap()).unwrap();
                let decoded = decoded.verify().expect("every run that goes out is signed");
                assert_eq!(
                    (run.first, decoded.first_seq(), decoded.tip().seq),
                    (next, next, run.last),
                    "seed {seed}"
                );
                for entry in decoded.entries() {
                    let expected = &model[&RecordRef { log: log.no, seq: entry.header.seq }];
                    let open = expected.outcome.verdict == Verdict::Accepted;
                    assert_eq!(entry.body(), expected.body.as_ref().filter(|_| open), "seed {seed}");
                }
                next = run.last + 1;
            }
            assert_eq!(next, log.tip.seq + 1, "seed {seed}");
        }
        for (place, _) in model.iter().filter(|(_, e)| matches!(e.outcome.body, BodyState::Gone(_))).take(3) {
            let who = self.author_of(store, *place);
            let run = self.runs[who].iter().find(|run| run.tip().seq >= place.seq).unwrap();
            if run.entries().len() == 1 {
                let body = run.entries()[0].body().unwrap();
                self.erased.push(String::from_utf8_lossy(&body[33..44]).into_owned());
            }
        }
        self.erased.dedup();
        if let Some(text) = self.erased.last() {
            assert_eq!(
                self.attic.opens_by_its_slot(&self.disk, text),
                0,
                "seed {seed}: {text} was erased and opens"
            );
        }
    }
}

fn keep_above_bases<K: RealKv>(store: &TestStore<K>, model: &mut Model) {
    for log in store.reader().logs() {
        model.retain(|at, _| at.log != log.no || at.seq > log.base.seq);
    }
}

fn run<K: RealKv>(seed: u64) {
    let mut world = World::<K>::new(seed);
    let mut acked = Model::new();
    for round in 0..6 {
        let mut store = world.disk.open();
        // What was being committed when the disk failed may have come through or not.
        world.check(&store, &acked);
        let mut pending = acked.clone();
        if round > 0 {
            if world.dice.below(2) == 0 {
                world.disk.kv().fail_next(world.dice.below(60) as u32);
            } else {
                world.disk.slots.fail_next(world.dice.below(400) as u32);
            }
        }
        let mut in_flight = None;
        for _ in 0..40 {
            if world.step(&mut store, &mut pending).is_err() {
                break;
            }
            if world.dice.below(3) == 0 {
                match store.commit() {
                    Ok(_) => {
                        keep_above_bases(&store, &mut pending);
                        acked = pending.clone();
                    }
                    Err(_) => {
                        in_flight = Some(pending.clone());
                        break;
                    }
                }
                world.attic.gather(&world.disk);
                if world.dice.below(3) == 0 && store.idle().is_err() {
                    break;
                }
            }
        }
        drop(store);
        world.attic.gather(&world.disk);
        world.disk.crash();
        if let Some(mut other) = in_flight {
            let store = world.disk.open();
            keep_above_bases(&store, &mut other);
            let came_through = other.iter().all(|(place, expected)| {
                store.reader().record(*place).unwrap().is_some_and(|stored| stored.entry.id == expected.id)
            }) && store.reader().counts().records == other.len() as u64
                && other.iter().all(|(place, expected)| {
                    store.outcome(*place).unwrap().outcome.body == expected.outcome.body
                        && store.outcome(*place).unwrap().outcome.rule == expected.outcome.rule
                });
            if came_through {
                acked = other;
            }
        }
    }
    let store = world.disk.open();
    world.check(&store, &acked);
}

fn random_work_and_crashes<K: RealKv>() {
    let seeds = std::env::var("TOCSIN_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(10);
    for seed in 0..seeds {
        run::<K>(seed);
    }
}
