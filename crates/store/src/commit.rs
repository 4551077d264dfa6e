//! One commit: settle pages with their outcomes, join tails, write one batch, flush once, publish, destroy keys.

use std::sync::Arc;

use tocsin_record::run::Part;
use tocsin_record::{LogKey, Run, page, planted};

use crate::error::StoreError;
use crate::keys::Kind;
use crate::kv::Kv;
use crate::outcome::{BodyState, LogNo, RecordRef, Spans};
use crate::pages;
use crate::slots::Slots;
use crate::state::PageRef;
use crate::store::{Committed, PAGE_TARGET, Store};
use crate::vault::Form;

/// A tail of this many bytes is packed by the commit that makes it so; below, and from [`PAGE_TARGET`] on, by an idle node.
const TAIL_MAX: usize = 2 * PAGE_TARGET;
/// A late body longer than this keeps its own key when its page is packed.
const FOLD_MAX: usize = 64 << 10;
/// Late bodies that one tail takes in when it is packed, in bytes together: a commit is one batch in memory. The others go on
/// resting apart.
const FOLD_ROOM: usize = 4 << 20;

/// Late bodies on their way into their pages.
struct Fold {
    room: usize,
    /// The records whose bodies were taken in.
    folded: Vec<u64>,
}

/// A change of the page directory, made visible together with the batch.
enum Turn {
    Put(LogNo, u64, PageRef),
    Remove(LogNo, u64),
    Noted(LogNo, u64),
    /// The tail was packed.
    TailGone(LogNo),
    /// Late bodies that now rest in their page.
    Folded(LogNo, Vec<u64>),
    /// Records up to here are no longer kept.
    Base(LogNo, u64),
}

impl<K: Kv, S: Slots> Store<K, S> {
    /// Makes everything that was staged durable and visible: one batch, one flush. Bodies that were erased cannot be
    /// brought back when it returns.
    ///
    /// # Errors
    /// On a disk fault, which poisons the store.
    pub fn commit(&mut self) -> Result<Committed, StoreError> {
        self.alive()?;
        let committed = self.try_commit();
        self.watch(committed)
    }

    /// Work that can wait: joins tails into pages, destroys keys that are no longer needed and prepares new ones, gives
    /// room on the disk back. For a moment when no input waits. Does one thing at a time; true if there may be more.
    ///
    /// # Errors
    /// On a disk fault, which poisons the store; [`StoreError::Misuse`] while something is staged.
    pub fn idle(&mut self) -> Result<bool, StoreError> {
        self.alive()?;
        if !self.staged.batch.is_empty() || !self.staged.changes.is_empty() {
            return Err(StoreError::Misuse("commit before idling"));
        }
        let prepared = self.vault.idle().map_err(StoreError::from);
        self.watch(prepared)?;
        let due = {
            let state = self.shared.state();
            state.logs.iter().position(|log| log.tail_raw >= PAGE_TARGET)
        };
        let Some(due) = due else {
            let compacted = self.shared.kv.compact().map_err(StoreError::from);
            return self.watch(compacted);
        };
        self.staged.pack.insert(LogNo(due as u32));
        self.commit()?;
        Ok(true)
    }

    fn try_commit(&mut self) -> Result<Committed, StoreError> {
        let mut turns = Vec::new();
        self.drop_pages(&mut turns)?;
        self.choose_tails();
        for log in std::mem::take(&mut self.staged.pack) {
            self.pack_tail(log, &mut turns)?;
        }
        for (log, first) in std::mem::take(&mut self.staged.rewrite) {
            self.rewrite_page(log, first, &mut turns)?;
        }
        for (log, first) in std::mem::take(&mut self.staged.notes) {
            self.write_notes(log, first, &mut turns);
        }
        if self.staged.batch.is_empty() {
            return Ok(Committed::default());
        }

        let staged = std::mem::take(&mut self.staged);
        let prepared = self.shared.kv.prepare(&staged.batch)?;
        {
            // Directory and map change together: a reader that finds a page in one finds it in the other.
            let mut state = self.shared.state_mut();
            for turn in turns {
                apply(&mut state, turn);
            }
            self.shared.kv.publish(prepared)?;
        }
        if !planted::is(planted::Bug::AckBeforeFlush) {
            self.shared.kv.flush()?;
        }
        self.vault.committed();
        let mut tips = Vec::with_capacity(staged.touched.len());
        {
            let mut state = self.shared.state_mut();
            for (place, stamped) in staged.changes {
                // A record may have been dropped after it was changed.
                if state.log(place.log).is_some_and(|log| log.spans.get(place.seq).is_some()) {
                    state.set(place, 1, stamped);
                }
            }
            for log in staged.touched {
                if let Some(state) = state.log_mut(log)
                    && state.published != state.tip
                {
                    state.published = state.tip;
                    tips.push((log, state.tip));
                }
            }
            state.published = self.next_arrival;
        }
        // The directory names none of these any more, so that a reader who comes late does not leave one behind.
        for nonce in &staged.replaced {
            self.shared.cache.remove(nonce);
        }
        if staged.destroy {
            self.vault.destroy()?;
        }
        Ok(Committed { tips, erased: staged.erased, left: staged.left })
    }

    /// Tails that are full, and those that a body is to leave: they share one key, so they are packed as a whole.
    fn choose_tails(&mut self) {
        let state = self.shared.state();
        for &log in &self.staged.touched {
            if state.log(log).is_some_and(|log| log.tail_raw >= TAIL_MAX) {
                self.staged.pack.insert(log);
            }
        }
        for &(log, first) in &self.staged.rewrite {
            if state.log(log).and_then(|log| log.pages.get(&first)).is_some_and(|page| page.tail) {
                self.staged.pack.insert(log);
            }
        }
        self.staged.rewrite.retain(|&(log, first)| {
            state.log(log).and_then(|log| log.pages.get(&first)).is_some_and(|page| !page.tail)
        });
    }

    /// The outcomes of a page as they will be after this commit.
    fn spans_after(&self, log: LogNo, first: u64, last: u64) -> Spans {
        let mut spans = Spans::default();
        let state = self.shared.state();
        let Some(log_state) = state.log(log) else {
            return spans;
        };
        for (from, count, stamped) in log_state.spans.within(first, last) {
            spans.set(from, count, stamped);
        }
        let range = RecordRef { log, seq: first }..=RecordRef { log, seq: last };
        for (place, stamped) in self.staged.changes.range(range) {
            spans.set(place.seq, 1, *stamped);
        }
        spans
    }

    /// Joins the pages of a tail, with the bodies that came late, into pages under keys of their own.
    fn pack_tail(&mut self, log: LogNo, turns: &mut Vec<Turn>) -> Result<(), StoreError> {
        let (log_key, tail_slot, tail) = {
            let state = self.shared.state();
            let Some(log) = state.log(log) else { return Ok(()) };
            (log.key, log.tail_slot, log.tail().map(|(first, page)| (first, *page)).collect::<Vec<_>>())
        };
        let Some(tail_slot) = tail_slot else { return Ok(()) };
        let mut group: Option<(Run, usize)> = None;
        let mut fold = Fold { room: FOLD_ROOM, folded: Vec::new() };
        for (first, page) in tail {
            let run = self.settled(log_key, log, first, page, Some(&mut fold))?;
            // With what was folded: the page knows of what it held before.
            let raw = page::longest(&run);
            turns.push(Turn::Remove(log, first));
            self.staged.batch.remove(self.shared.keys.at(Kind::Page, log, first));
            if page.noted {
                self.staged.batch.remove(self.shared.keys.at(Kind::Notes, log, first));
            }
            self.staged.notes.remove(&(log, first));
            group = Some(match group {
                None => (run, raw),
                Some((before, sum)) if sum + raw > PAGE_TARGET + PAGE_TARGET / 2 => {
                    self.put_page(log, &before, turns)?;
                    (run, raw)
                }
                Some((before, sum)) => match before.join(run) {
                    Ok(joined) => (joined, sum + raw),
                    Err(apart) => {
                        let (before, run) = *apart;
                        self.put_page(log, &before, turns)?;
                        (run, raw)
                    }
                },
            });
        }
        if let Some((last, _)) = group {
            self.put_page(log, &last, turns)?;
        }
        self.vault.leave(tail_slot);
        turns.push(Turn::TailGone(log));
        turns.push(Turn::Folded(log, fold.folded));
        Ok(())
    }

    /// Writes a page anew under another key, without the bodies that left it.
    fn rewrite_page(&mut self, log: LogNo, first: u64, turns: &mut Vec<Turn>) -> Result<(), StoreError> {
        let (log_key, page) = {
            let state = self.shared.state();
            let found = state.log(log).and_then(|log| Some((log.key, *log.pages.get(&first)?)));
            let Some(found) = found else { return Ok(()) };
            found
        };
        let run = self.settled(log_key, log, first, page, None)?;
        if page.noted {
            self.staged.batch.remove(self.shared.keys.at(Kind::Notes, log, first));
        }
        self.staged.notes.remove(&(log, first));
        self.vault.leave(page.slot);
        self.put_page(log, &run, turns)
    }

    fn put_page(&mut self, log: LogNo, run: &Run, turns: &mut Vec<Turn>) -> Result<(), StoreError> {
        let (first, last) = (run.first_seq(), run.tip().seq);
        let notes = self.spans_after(log, first, last).encode(first, last);
        let raw = page::encode(run);
        let key = self.shared.keys.at(Kind::Page, log, first);
        let (slot, nonce) =
            self.seal_new(key, Form::Page, &notes, &pages::at_rest(run, &page::pack(&raw)))?;
        turns.push(Turn::Put(
            log,
            first,
            PageRef { last, slot, nonce, raw: raw.len() as u32, tail: false, noted: false },
        ));
        Ok(())
    }

    /// A stored page that will be replaced, with its bodies as the outcomes after this commit have them. `fold` takes in late bodies.
    fn settled(
        &mut self,
        log_key: LogKey,
        log: LogNo,
        first: u64,
        page: PageRef,
        mut fold: Option<&mut Fold>,
    ) -> Result<Run, StoreError> {
        let run = self.load_page(log_key, log, first, &page)?;
        self.staged.replaced.push(page.nonce);
        self.shared.cache.remove(&page.nonce);
        let mut run = Arc::unwrap_or_clone(run);
        let spans = self.spans_after(log, first, page.last);
        // What one page takes in, so that it stays near the length that pages have.
        let mut room = PAGE_TARGET;
        for (header, part) in run.bodies_mut() {
            let state = spans.get(header.seq).map_or(BodyState::NotHeld, |stamped| stamped.outcome.body);
            let absent = matches!(part, Part::NotHeld | Part::Withheld | Part::Ask);
            let late = state == BodyState::Here && absent;
            if late && let Some(fold) = fold.as_deref_mut() {
                let len = header.body_len as usize;
                let place = RecordRef { log, seq: header.seq };
                if len <= FOLD_MAX.min(room).min(fold.room)
                    && let Some(body) = self.late_body(place)?
                {
                    room -= len;
                    fold.room -= len;
                    *part = Part::Here(body);
                    fold.folded.push(header.seq);
                    self.staged.batch.remove(self.shared.keys.at(Kind::Body, log, header.seq));
                    let slot =
                        self.shared.state().log(log).and_then(|log| log.bodies.get(&header.seq).copied());
                    if let Some(slot) = slot {
                        self.vault.leave(slot);
                    }
                }
            } else if let Some(new) = pages::part_of(state, part) {
                *part = new;
            }
        }
        Ok(run)
    }

    /// Writes the judgements of a page that changed, beside it.
    fn write_notes(&mut self, log: LogNo, first: u64, turns: &mut Vec<Turn>) {
        let last = {
            let state = self.shared.state();
            state.log(log).and_then(|log| log.pages.get(&first)).map(|page| page.last)
        };
        let Some(last) = last else { return };
        let notes = self.spans_after(log, first, last).encode(first, last);
        self.staged.batch.put(self.shared.keys.at(Kind::Notes, log, first), notes.into());
        turns.push(Turn::Noted(log, first));
    }

    /// Removes whole pages below a sequence number, with everything that belongs to them.
    fn drop_pages(&mut self, turns: &mut Vec<Turn>) -> Result<(), StoreError> {
        for (log, below) in std::mem::take(&mut self.staged.drops) {
            let (log_key, org, going) = {
                let state = self.shared.state();
                let Some(log) = state.log(log) else { continue };
                let going: Vec<(u64, PageRef)> = log
                    .pages
                    .iter()
                    .take_while(|(_, page)| page.last < below && page.last <= log.published.seq && !page.tail)
                    .map(|(first, page)| (*first, *page))
                    .collect();
                (log.key, log.org, going)
            };
            self.drop_acknowledged(log, below)?;
            let mut base = None;
            for (first, page) in going {
                let run = self.load_page(log_key, log, first, &page)?;
                let keys = self.shared.keys.clone();
                for entry in run.entries() {
                    let place = RecordRef { log, seq: entry.header.seq };
                    let body = match entry.body() {
                        Some(body) => Some(body.clone()),
                        None => self.late_body(place)?,
                    };
                    if let Some(body) = &body {
                        self.left(org, place, &entry.header, body)?;
                    }
                    let mut state = self.shared.state_mut();
                    state.remove_id(&entry.id, place);
                    if let Some(slot) = state.log_mut(log).and_then(|log| log.bodies.remove(&place.seq)) {
                        self.staged.batch.remove(keys.at(Kind::Body, log, place.seq));
                        self.vault.leave(slot);
                    }
                    drop(state);
                    self.expiry.remove(org, entry.header.expires, place);
                    self.wanted.remove(&place);
                    self.staged.changes.remove(&place);
                }
                self.staged.rewrite.remove(&(log, first));
                self.staged.notes.remove(&(log, first));
                self.staged.batch.remove(keys.at(Kind::Page, log, first));
                self.staged.batch.remove(keys.at(Kind::Notes, log, first));
                self.vault.leave(page.slot);
                self.staged.replaced.push(page.nonce);
                turns.push(Turn::Remove(log, first));
                base = Some(run.tip());
            }
            if let Some(base) = base {
                if let Some(state) = self.shared.state_mut().log_mut(log) {
                    state.base = base;
                }
                self.stage_log(log);
                self.staged.destroy = true;
                turns.push(Turn::Base(log, base.seq));
            }
        }
        Ok(())
    }
}

fn apply(state: &mut crate::state::State, turn: Turn) {
    match turn {
        Turn::Put(log, first, page) => {
            if let Some(log) = state.log_mut(log) {
                log.pages.insert(first, page);
            }
        }
        Turn::Remove(log, first) => {
            if let Some(log) = state.log_mut(log) {
                log.pages.remove(&first);
            }
        }
        Turn::Noted(log, first) => {
            if let Some(page) = state.log_mut(log).and_then(|log| log.pages.get_mut(&first)) {
                page.noted = true;
            }
        }
        Turn::TailGone(log) => {
            if let Some(log) = state.log_mut(log) {
                log.tail_slot = None;
                log.tail_raw = 0;
                log.tail_found = false;
            }
        }
        Turn::Folded(log, seqs) => {
            if let Some(log) = state.log_mut(log) {
                for seq in seqs {
                    log.bodies.remove(&seq);
                }
            }
        }
        Turn::Base(log, seq) => {
            let Some(log) = state.logs.get_mut(log.0 as usize) else {
                return;
            };
            let gone: Vec<_> = log.spans.within(0, seq).collect();
            for (first, count, stamped) in gone {
                state.counts.remove(&stamped.outcome, count);
                log.counts.remove(&stamped.outcome, count);
                log.spans.clear(first, count);
                state.order.remove(stamped.arrival, count);
            }
        }
    }
}
