//! What goes to peers: stored pages as they are where they may go so, else rebuilt.

use std::ops::ControlFlow;
use std::sync::Arc;

use bytes::Bytes;
use tocsin_record::run::{Entry, Part};
use tocsin_record::{Run, page};

use crate::error::StoreError;
use crate::keys::Kind;
use crate::kv::Kv;
use crate::outcome::{BodyState, LogNo, Outcome, RecordRef, Verdict};
use crate::pages::{self, Opened};
use crate::reader::{Reader, TRIES};
use crate::sealed;
use crate::slots::Slots;
use crate::state::PageRef;
use crate::store::{PAGE_TARGET, missing};

/// To this length before compression runs are joined, and bodies that rest apart put into one, in bytes. The others of
/// these are announced, to be asked for.
const ROOM: usize = 2 << 20;
/// Most runs that are read at once: what is small on the wire may have been much work to read.
const RUNS_MAX: usize = 64;

/// Which bodies a run for a peer carries. Only accepted ones ever leave.
pub enum Bodies<'a> {
    /// All.
    All,
    /// None: headers only.
    None,
    /// Those that the peer may have; the others are marked as withheld. The predicate may read of an entry what its
    /// author wrote, not the hash of its body, which may be zero.
    Where(&'a mut dyn FnMut(RecordRef, &Entry) -> bool),
}

/// A run as it goes on the wire.
#[derive(Clone, Debug)]
pub struct WireRun {
    /// Number of its first record.
    pub first: u64,
    /// Number of its last record, which is signed.
    pub last: u64,
    /// The packed page.
    pub packed: Bytes,
}

enum Fetched {
    Packed(Bytes),
    Loaded(Arc<Run>),
}

impl<K: Kv, S: Slots> Reader<K, S> {
    /// Runs of a log from record `from` on, each ending in a signed header, of together about `max_bytes` (at least one, at most
    /// 64 runs).
    ///
    /// A stored page goes out as it is where every body in it is here, accepted and allowed; else it is rebuilt. Pages
    /// of the tail are joined, so that a receiver verifies one signature for many records.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn runs(
        &self,
        log: LogNo,
        from: u64,
        max_bytes: usize,
        bodies: &mut Bodies<'_>,
    ) -> Result<Vec<WireRun>, StoreError> {
        let mut runs: Vec<WireRun> = Vec::new();
        let mut total = 0;
        let mut next = from.max(1);
        while (total < max_bytes && runs.len() < RUNS_MAX) || runs.is_empty() {
            let Some((run, tail_end)) = self.next_run(log, next, bodies)? else {
                break;
            };
            next = tail_end + 1;
            total += run.packed.len();
            runs.push(run);
        }
        Ok(runs)
    }

    fn next_run(
        &self,
        log: LogNo,
        from: u64,
        bodies: &mut Bodies<'_>,
    ) -> Result<Option<(WireRun, u64)>, StoreError> {
        let place = RecordRef { log, seq: from };
        let Some((loaded_or_packed, page)) = self.whole_or_loaded(place, bodies)? else {
            return Ok(None);
        };
        let loaded = match loaded_or_packed {
            Fetched::Packed(packed) => {
                return Ok(Some((WireRun { first: from, last: page.last, packed }, page.last)));
            }
            Fetched::Loaded(loaded) => loaded,
        };
        let mut run = self.permitted(log, from, &loaded, bodies)?;
        let mut raw = page.raw as usize;
        while page.tail && raw < PAGE_TARGET {
            let Some((next, next_page)) = self.page(RecordRef { log, seq: run.tip().seq + 1 })? else {
                break;
            };
            if !next_page.tail {
                break;
            }
            let next = self.permitted(log, run.tip().seq + 1, &next, bodies)?;
            raw += next_page.raw as usize;
            if page::longest(&run) + page::longest(&next) > ROOM {
                break;
            }
            run = match run.join(next) {
                Ok(joined) => joined,
                Err(apart) => {
                    run = apart.0;
                    break;
                }
            };
        }
        let last = run.tip().seq;
        let packed = page::pack(&page::encode(&run)).into();
        Ok(Some((WireRun { first: from, last, packed }, last)))
    }

    /// The page with `place`: packed as it is if it may go out so.
    fn whole_or_loaded(
        &self,
        place: RecordRef,
        bodies: &mut Bodies<'_>,
    ) -> Result<Option<(Fetched, PageRef)>, StoreError> {
        for _ in 0..TRIES {
            let Some((first, page)) = self.page_ref(place) else {
                return Ok(None);
            };
            let whole = first == place.seq && !page.tail && self.is_open(place.log, first, page.last);
            if !whole || matches!(bodies, Bodies::None) {
                return Ok(self.page(place)?.map(|(loaded, page)| (Fetched::Loaded(loaded), page)));
            }
            let key = self.shared.keys.at(Kind::Page, place.log, first);
            let resting = match self.shared.kv.get(&key)? {
                Some(value) => pages::resting(self.shared.slots.as_ref(), &key, &value)?,
                None => Opened::Locked,
            };
            if let Opened::Is(plain) = resting {
                let (ids, packed) = pages::apart(&plain)?;
                let Bodies::Where(allowed) = bodies else {
                    return Ok(Some((Fetched::Packed(packed), page)));
                };
                let Some(log_key) = self.log(place.log).map(|log| log.key) else {
                    return Ok(None);
                };
                // The predicate reads what the author wrote, not what is computed from it: that is hashed only if the
                // page has to be written anew.
                let damaged = |source| StoreError::Page { log: place.log.0, seq: first, source };
                let raw = page::unpack(&packed).map_err(damaged)?;
                let mut whole = true;
                page::outline(log_key, &raw, ids, |entry| {
                    whole = match entry.body {
                        // Where it cannot be read the page is written anew, which meets the same fault.
                        Part::Here(_) => {
                            let place = RecordRef { seq: entry.header.seq, ..place };
                            self.opened(place, entry, |entry| allowed(place, entry)).unwrap_or(false)
                        }
                        Part::Gone(_) => true,
                        Part::Ask | Part::Withheld | Part::NotHeld => false,
                    };
                    if whole { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
                })
                .map_err(damaged)?;
                if whole {
                    return Ok(Some((Fetched::Packed(packed), page)));
                }
                let run = page::decode(log_key, &raw).map_err(damaged)?;
                return Ok(Some((Fetched::Loaded(Arc::new(run)), page)));
            }
            std::thread::yield_now();
        }
        Err(missing(place.log, place.seq))
    }

    /// Whether all bodies of a page are in it and accepted, or gone.
    fn is_open(&self, log: LogNo, first: u64, last: u64) -> bool {
        let state = self.shared.state();
        let Some(log) = state.log(log) else { return false };
        let open = |outcome: &Outcome| match outcome.body {
            BodyState::Here => outcome.verdict == Verdict::Accepted,
            BodyState::Gone(_) => true,
            _ => false,
        };
        log.bodies.range(first..=last).next().is_none()
            && log.spans.within(first, last).all(|(_, _, stamped)| open(&stamped.outcome))
    }

    /// A run from `from` on with the bodies that may go out.
    fn permitted(
        &self,
        log: LogNo,
        from: u64,
        loaded: &Run,
        bodies: &mut Bodies<'_>,
    ) -> Result<Run, StoreError> {
        let run = loaded.clone();
        let mut run = run.after(from - 1).ok_or_else(|| missing(log, from))?;
        // Entries are read by the predicate while parts are replaced: it sees them as they are stored.
        let mut parts = Vec::with_capacity(run.entries().len());
        let mut room = ROOM.saturating_sub(page::longest(&run));
        for entry in run.entries() {
            let place = RecordRef { log, seq: entry.header.seq };
            let outcome = self.outcome(place).map(|stamped| stamped.outcome);
            parts.push(match outcome {
                Some(Outcome { body: BodyState::Gone(reason), .. }) => Part::Gone(reason),
                Some(outcome) if outcome.body == BodyState::Here && outcome.verdict == Verdict::Accepted => {
                    self.permitted_body(place, entry, bodies, &mut room)?
                }
                _ => Part::NotHeld,
            });
        }
        for ((_, part), new) in run.bodies_mut().zip(parts) {
            *part = new;
        }
        Ok(run)
    }

    /// Shows a record with what its body opens to.
    fn opened<T>(
        &self,
        place: RecordRef,
        entry: &Entry,
        see: impl FnOnce(&Entry) -> T,
    ) -> Result<T, StoreError> {
        match &entry.body {
            Part::Here(body) if entry.header.suite != 0 => {
                let plain = sealed::open(&self.shared.opener, self, place.log, &entry.header, body)?;
                Ok(see(&Entry { plain, ..entry.clone() }))
            }
            _ => Ok(see(entry)),
        }
    }

    fn permitted_body(
        &self,
        place: RecordRef,
        entry: &Entry,
        bodies: &mut Bodies<'_>,
        room: &mut usize,
    ) -> Result<Part, StoreError> {
        if matches!(bodies, Bodies::None) {
            return Ok(Part::NotHeld);
        }
        let late = match entry.body() {
            Some(_) => None,
            None => Some(Entry {
                body: self.late_body(place)?.map_or(Part::NotHeld, Part::Here),
                ..entry.clone()
            }),
        };
        let entry = late.as_ref().unwrap_or(entry);
        let may = match bodies {
            Bodies::All => true,
            Bodies::None => false,
            Bodies::Where(allowed) => self.opened(place, entry, |entry| allowed(place, entry))?,
        };
        if !may {
            return Ok(Part::Withheld);
        }
        if let Some(Part::Here(body)) = late.as_ref().map(|late| &late.body) {
            match room.checked_sub(body.len()) {
                Some(left) => *room = left,
                None => return Ok(Part::Ask),
            }
        }
        Ok(entry.body.clone())
    }
}
