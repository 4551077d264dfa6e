//! Which records end when, and their erasure: by org in turn, so that what one org lets end together holds up nobody
//! else's, and page by page, since a page is written anew once however many of its records end.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use tocsin_record::{OrgId, planted};

use crate::error::StoreError;
use crate::kv::Kv;
use crate::outcome::{BodyState, LogNo, RecordRef};
use crate::slots::Slots;
use crate::state::PageRef;
use crate::store::Store;

/// What looking for a page and its key costs, in bytes of a page that is written anew.
const PAGE_COST: usize = 1 << 10;

/// What [`Store::expire`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired {
    /// Bodies whose erasure it staged.
    pub erased: usize,
    /// Whether more are due: to be asked again soon.
    pub more: bool,
}

/// The records whose bodies are here and that end some day.
#[derive(Debug, Default)]
pub(crate) struct Expiry {
    by_org: BTreeMap<OrgId, BTreeSet<(u64, RecordRef)>>,
    /// The org whose turn was last.
    last: Option<OrgId>,
}

impl Expiry {
    /// The record ends at `at` (ms). One that never ends (0) is not entered.
    pub fn insert(&mut self, org: OrgId, at: u64, place: RecordRef) {
        if at != 0 {
            self.by_org.entry(org).or_default().insert((at, place));
        }
    }

    /// The record's body is no longer here.
    pub fn remove(&mut self, org: OrgId, at: u64, place: RecordRef) {
        if let Some(ends) = self.by_org.get_mut(&org) {
            ends.remove(&(at, place));
            if ends.is_empty() {
                self.by_org.remove(&org);
            }
        }
    }

    /// When the next record ends, of whatever org.
    pub fn first(&self) -> Option<u64> {
        self.by_org.values().filter_map(|ends| Some(ends.first()?.0)).min()
    }

    /// The record that ended first of the org whose turn it is: the next in order behind the one whose turn was last
    /// that has any. The turn stays until it was [`Self::served`].
    pub fn next_due(&self, now: u64) -> Option<(OrgId, u64, RecordRef)> {
        let behind = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let ahead = self.by_org.range((behind, Bound::Unbounded));
        let mut turns = ahead.chain(self.by_org.iter());
        turns.find_map(|(org, ends)| {
            let (at, place) = *ends.first()?;
            (at <= now).then_some((*org, at, place))
        })
    }

    /// The org had its turn: this record of it is dealt with.
    pub fn served(&mut self, org: OrgId, at: u64, place: RecordRef) {
        self.last = Some(org);
        self.remove(org, at, place);
    }
}

impl<K: Kv, S: Slots> Store<K, S> {
    /// Stages the erasure of bodies whose records have ended at `now` (ms), until the pages that the commit will have to
    /// write anew come to `budget` bytes before compression. Orgs take turns, a page (or one open tail) each: all that
    /// ended in it. At least one page, of at most 8 MiB.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn expire(&mut self, now: u64, budget: usize) -> Result<Expired, StoreError> {
        self.alive()?;
        let early_ms = if planted::is(planted::Bug::ExpireEarly) { 86_400_000 } else { 0 };
        let expired = self.try_expire(now + early_ms, budget);
        self.watch(expired)
    }

    fn try_expire(&mut self, now: u64, budget: usize) -> Result<Expired, StoreError> {
        let (mut erased, mut spent) = (0, 0);
        while let Some((org, at, place)) = self.expiry.next_due(now) {
            if spent >= budget {
                return Ok(Expired { erased, more: true });
            }
            for (first, page) in self.settled_together(place) {
                spent += page.raw as usize + PAGE_COST;
                erased += self.expire_page(now, place.log, first, &page)?;
            }
            self.expiry.served(org, at, place);
        }
        Ok(Expired { erased, more: false })
    }

    /// The pages that the commit will settle when a body of this record goes: its own, or all of its tail.
    fn settled_together(&self, place: RecordRef) -> Vec<(u64, PageRef)> {
        let state = self.shared.state();
        let Some(log) = state.log(place.log) else { return Vec::new() };
        match log.page_of(place.seq) {
            Some((_, page)) if page.tail => log.tail().map(|(first, page)| (first, *page)).collect(),
            Some(found) => vec![found],
            None => Vec::new(),
        }
    }

    fn expire_page(&mut self, now: u64, log: LogNo, first: u64, page: &PageRef) -> Result<usize, StoreError> {
        let Some(log_key) = self.key(log) else { return Ok(0) };
        let run = self.load_page(log_key, log, first, page)?;
        let mut erased = 0;
        for entry in run.entries() {
            let header = &entry.header;
            let place = RecordRef { log, seq: header.seq };
            if header.expires != 0
                && header.expires <= now
                && let Some(old) = self.outcome(place)
                && old.outcome.body == BodyState::Here
            {
                self.erase_here(place, entry, old.outcome, 0)?;
                erased += 1;
            }
        }
        Ok(erased)
    }

    /// When the next record ends, in ms.
    #[must_use]
    pub fn next_expiry(&self) -> Option<u64> {
        self.expiry.first()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::LogNo;

    fn place(seq: u64) -> RecordRef {
        RecordRef { log: LogNo(0), seq }
    }

    #[test]
    fn orgs_take_turns_and_each_gives_its_oldest() {
        let mut expiry = Expiry::default();
        for seq in 1..=4 {
            expiry.insert(OrgId([1; 32]), 10, place(seq));
        }
        expiry.insert(OrgId([2; 32]), 9, place(5));
        expiry.insert(OrgId([2; 32]), 12, place(6));
        expiry.insert(OrgId([3; 32]), 11, place(7));
        expiry.insert(OrgId([3; 32]), 0, place(8));
        assert_eq!(expiry.first(), Some(9));
        let mut order = Vec::new();
        while let Some((org, at, place)) = expiry.next_due(11) {
            assert_eq!(expiry.next_due(11), Some((org, at, place)), "a look takes no turn");
            expiry.served(org, at, place);
            order.push(place.seq);
        }
        assert_eq!(order, [1, 5, 7, 2, 3, 4]);
        assert_eq!((expiry.first(), expiry.next_due(11)), (Some(12), None));
        expiry.remove(OrgId([2; 32]), 12, place(6));
        assert!(expiry.by_org.is_empty(), "an org without any takes no memory");
    }
}
