//! Forks: two different headers with one place in a log, each with the run up to a signature, prove to anyone that their
//! author said two things. The proof is kept and spread; the lowest fork of a log counts.
//!
//! ```text
//! ids differ at a place --halving with that peer (At)--> first place that differs --Graft--> its run --> proof
//! ```

use std::collections::{BTreeMap, BTreeSet};

use tocsin_record::{CircleId, NodeKey, RecordId, Run, codec, page, planted};
use tocsin_store::{Bodies, BodyState, Kv, LogNo, Outcome, RecordRef, Slots, Standing, StoreError, Verdict};

use crate::admission::Admission;
use crate::admission::admit::rule;
use crate::io::LinkId;

/// Places that are looked at together.
const PLACES: usize = 1024;
/// Most searches at once.
const SEARCHES_MAX: usize = 1024;

/// Between `same`, where both hold one id, and `other`, where they differ.
#[derive(Clone, Copy, Debug)]
struct Search {
    same: u64,
    other: u64,
}

/// A proof that a log forked, as it is kept.
#[derive(Debug)]
pub(crate) struct Proof {
    /// The page of each of its two branches.
    pub pages: Vec<Vec<u8>>,
    /// How long it is on the disk.
    pub bytes: usize,
}

/// What a search needs next of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The id that it holds at a place.
    Ask(u64),
    /// Its run from the first place that differs: the other half of the proof.
    Found(u64),
}

/// Searches under way, and authors that are stopped.
#[derive(Debug, Default)]
pub(crate) struct Searches {
    searches: BTreeMap<(LogNo, LinkId), Search>,
    stopped: BTreeSet<(NodeKey, CircleId)>,
}

impl Searches {
    pub fn forget(&mut self, link: LinkId) {
        self.searches.retain(|(_, with), _| *with != link);
    }

    /// A peer holds another id at `other`, and the same up to `same` if any. What to ask it next.
    pub fn begin(&mut self, log: LogNo, link: LinkId, same: u64, other: u64) -> Option<Step> {
        if self.searches.len() >= SEARCHES_MAX || other <= same {
            return None;
        }
        self.searches.entry((log, link)).or_insert(Search { same, other });
        self.step(log, link)
    }

    fn step(&mut self, log: LogNo, link: LinkId) -> Option<Step> {
        let Search { same, other } = *self.searches.get(&(log, link))?;
        if same + 1 >= other {
            self.searches.remove(&(log, link));
            return Some(Step::Found(other));
        }
        Some(Step::Ask(same + (other - same) / 2))
    }

    /// Whether a place lies between the two ends of a search.
    pub fn is_between(&self, log: LogNo, link: LinkId, seq: u64) -> bool {
        self.searches.get(&(log, link)).is_some_and(|search| search.same < seq && seq < search.other)
    }

    /// A peer said which id it holds at a place; `mine` is that here. What to ask it next.
    pub fn answered(
        &mut self,
        log: LogNo,
        link: LinkId,
        seq: u64,
        theirs: Option<RecordId>,
        mine: Option<RecordId>,
    ) -> Option<Step> {
        let search = self.searches.get_mut(&(log, link))?;
        if theirs.is_none() {
            // It claimed to differ and now holds nothing there.
            self.searches.remove(&(log, link));
            return None;
        }
        if theirs == mine {
            search.same = seq;
        } else {
            search.other = seq;
        }
        self.step(log, link)
    }

    /// Searches under way.
    pub fn count(&self) -> usize {
        self.searches.len()
    }

    pub fn forget_log(&mut self, log: LogNo) {
        self.searches.retain(|(of, _), _| *of != log);
    }

    /// Nothing more is taken of an author in a circle, in any epoch.
    pub fn stop(&mut self, author: NodeKey, circle: CircleId) {
        self.stopped.insert((author, circle));
    }

    pub fn is_stopped(&self, author: NodeKey, circle: CircleId) -> bool {
        self.stopped.contains(&(author, circle)) && !planted::is(planted::Bug::TakeForked)
    }
}

impl<K: Kv, S: Slots> Admission<K, S> {
    /// The first place of a run where this node holds another id; its own first place if it does not follow.
    pub(crate) fn first_difference(&self, log: LogNo, run: &Run) -> Result<Option<u64>, StoreError> {
        for entry in run.entries() {
            match self.id_at(log, entry.header.seq)? {
                Some(mine) if mine != entry.id => return Ok(Some(entry.header.seq)),
                Some(_) => {}
                // Beyond what is held: it does not follow the tip, so they parted at or before the tip.
                None => return Ok((entry.header.seq == run.first_seq()).then_some(entry.header.seq)),
            }
        }
        Ok(None)
    }

    /// What is held from a place on, up to a signature, without bodies.
    pub(crate) fn own_branch(&self, log: LogNo, from: u64) -> Result<Option<Run>, StoreError> {
        let Some(key) = self.store.key(log) else {
            return Ok(None);
        };
        let runs = self.reader.runs(log, from, 1, &mut Bodies::None)?;
        let Some(run) = runs.into_iter().next() else {
            return Ok(None);
        };
        let run = page::unpack(&run.packed).and_then(|page| page::decode(key, &page));
        Ok(run.ok().and_then(|run| run.after(from - 1)))
    }

    /// Whether a log is known to have forked there, or before.
    pub(crate) fn is_known_fork(&self, log: LogNo, at: u64) -> bool {
        matches!(self.store.standing(log), Some(Standing::Forked { at: known }) if known <= at)
    }

    /// Keeps the proof that a log forked at a place. Nothing more is taken of its author in the circle.
    pub(crate) fn keep_proof(&mut self, log: LogNo, at: u64, pages: &Vec<Vec<u8>>) -> Result<(), StoreError> {
        self.store.put_fork_proof(log, at, codec::encode(pages).into())?;
        if let Some(key) = self.store.key(log) {
            self.searches.stop(key.author, key.circle);
        }
        Ok(())
    }

    /// The proof that a log forked.
    pub(crate) fn proof(&self, log: LogNo) -> Result<Option<Proof>, StoreError> {
        let Some(bytes) = self.store.fork_proof(log)? else { return Ok(None) };
        let pages = codec::decode::<_, { 32 << 20 }>(&bytes).ok();
        Ok(pages.map(|pages| Proof { pages, bytes: bytes.len() }))
    }

    /// Bodies that are missing from a fork on are taken of nobody any more: gives back their places.
    pub(crate) fn want_no_more(&mut self, log: LogNo, from: u64) -> Result<Vec<RecordRef>, StoreError> {
        let rule = self.store.intern_rule(rule::DISPUTED)?;
        let mut all = Vec::new();
        loop {
            let mut missing = self.store.wanted(RecordRef { log, seq: from }, PLACES);
            missing.retain(|place| place.log == log);
            if missing.is_empty() {
                return Ok(all);
            }
            for place in missing {
                all.push(place);
                if let Some(stamped) = self.store.outcome(place) {
                    let (verdict, body) = (Verdict::Refused, BodyState::NotHeld);
                    self.store.set_outcome(place, Outcome { verdict, body, rule, ..stamped.outcome })?;
                }
            }
        }
    }
}

pub(crate) fn without_bodies(mut run: Run) -> Run {
    for (_, part) in run.bodies_mut() {
        *part = tocsin_record::Part::NotHeld;
    }
    run
}

/// Checks that two runs are different continuations of one place, both signed by the log's author. Returns the place.
pub(crate) fn prove(one: &Run, other: &Run) -> Result<u64, String> {
    if one.log() != other.log() || one.first_seq() != other.first_seq() || one.prev() != other.prev() {
        return Err("the branches do not begin at one place".into());
    }
    if one.entries()[0].id == other.entries()[0].id {
        return Err("the branches begin with the same record".into());
    }
    for run in [one, other] {
        run.clone().verify().map_err(|error| error.to_string())?;
    }
    Ok(one.first_seq())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: LogNo = LogNo(1);

    #[test]
    fn halving_finds_the_first_place_that_differs() {
        let id = |no: u8| Some(RecordId([no; 32]));
        for first in 1..=100 {
            let mut searches = Searches::default();
            let mut step = searches.begin(LOG, 1, 0, 100);
            let mut asked = 0;
            while let Some(Step::Ask(seq)) = step {
                assert!(searches.is_between(LOG, 1, seq) && !searches.is_between(LOG, 2, seq));
                asked += 1;
                step = searches.answered(LOG, 1, seq, id(if seq < first { 1 } else { 2 }), id(1));
            }
            let found = if first < 100 { first } else { 100 };
            assert_eq!((step, searches.count()), (Some(Step::Found(found)), 0));
            assert!(asked <= 7, "{asked} questions");
        }
    }

    #[test]
    fn who_holds_nothing_there_is_asked_no_more() {
        let mut searches = Searches::default();
        assert_eq!(searches.begin(LOG, 1, 0, 100), Some(Step::Ask(50)));
        assert_eq!(searches.answered(LOG, 1, 50, None, None), None);
        assert_eq!(searches.count(), 0);
        for link in 0..2 * SEARCHES_MAX as u64 {
            searches.begin(LOG, link, 0, 100);
        }
        assert_eq!(searches.count(), SEARCHES_MAX);
        searches.forget_log(LOG);
        assert_eq!(searches.count(), 0);
    }
}
