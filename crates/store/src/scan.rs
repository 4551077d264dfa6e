//! Reading everything there is of a mesh, once, while its store is opened: what lives in memory, and what is damaged.
//!
//! A page that does not read ends its log there, and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::mpsc;
use std::thread;

use bytes::Bytes;
use tocsin_record::body::{self, Body};
use tocsin_record::run::Entry;
use tocsin_record::{Header, LogKey, MeshId, NodeKey, OrgId, Plain, Tip, codec};
use tocsin_seal::Opener;

use crate::error::StoreError;
use crate::expiry::Expiry;
use crate::keys::{Keys, Kind};
use crate::kv::{Fault, Kv};
use crate::logs::LogRow;
use crate::open::{Found, Visit};
use crate::outcome::{BodyState, LOGS_MAX, LogNo, RecordRef, Spans, Stamped};
use crate::pages::{self, Known, Loaded, Opened};
use crate::sealed::{WRAP, Wrap};
use crate::slots::Slots;
use crate::state::{Load, LogState, PageRef, State};
use crate::store::{missing, subject_in};
use crate::vault::{self, Head};

/// Bytes that a log's row may take in memory while it is read.
const ROW_LIMIT: usize = 4096;
/// Pages between two of the threads that open a store: mostly two megabytes, at most what pages of 8 MiB and their
/// headers take.
const PAGES_AHEAD: usize = 4;

/// What a scan gathers.
pub(crate) struct Scan<'a, S> {
    pub slots: &'a S,
    pub keys: &'a Keys,
    pub opener: &'a Opener,
    /// Which wrap of a key record is this node's.
    wraps: BTreeMap<RecordRef, Wrap>,
    pub state: State,
    pub load: Load,
    pub used: BTreeSet<u32>,
    pub notes: BTreeMap<(LogNo, u64), Result<Bytes, Fault>>,
    /// Sealed.
    pub bodies: BTreeMap<RecordRef, Result<Bytes, Fault>>,
    pub wanted: BTreeSet<RecordRef>,
    pub expiry: Expiry,
    pub next_arrival: u64,
    /// Pages that were entered.
    pub entered: usize,
    /// Logs that are damaged: from which record on, and how.
    pub cuts: BTreeMap<LogNo, (u64, StoreError)>,
}

/// A page that was entered, for who watches.
struct Entered {
    org: OrgId,
    log: LogNo,
    page: Known,
    spans: Spans,
    bodies: Bodies,
}

/// What there is of a page's bodies beside the page.
#[derive(Default)]
struct Bodies {
    /// Those that came later than their headers.
    late: BTreeMap<u64, Bytes>,
    /// What sealed ones opened to.
    plain: BTreeMap<u64, Plain>,
}

impl Entered {
    fn show(&self, rules: &[String], visit: &mut (dyn FnMut(Found<'_>) + Send)) {
        let shown = self.page.each(|entry| {
            let seq = entry.header.seq;
            if let Some(stamped) = self.spans.get(seq) {
                let (place, header) = (RecordRef { log: self.log, seq }, &entry.header);
                let body = match self.bodies.plain.get(&seq) {
                    Some(plain) => Some((plain.kind, &plain.bytes)),
                    None if header.suite == 0 => {
                        let body = entry.body().or_else(|| self.bodies.late.get(&seq));
                        body.map(|body| (header.kind, body))
                    }
                    None => None,
                };
                let body = body.filter(|_| stamped.outcome.body == BodyState::Here);
                let rule = rules.get(usize::from(stamped.outcome.rule)).map_or("", String::as_str);
                visit(Found { place, org: self.org, header, body, stamped, rule });
            }
            ControlFlow::Continue(())
        });
        debug_assert!(shown.is_ok(), "a page that was entered reads");
    }
}

pub(crate) fn bad_key() -> StoreError {
    Fault::Damaged("a key does not parse".into()).into()
}

/// Reads all values of one kind in order.
fn each<K: Kv>(
    kv: &K,
    keys: &Keys,
    kind: Kind,
    mut read: impl FnMut(&[u8], Result<Bytes, Fault>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let (from, to) = keys.all(kind);
    let mut result = Ok(());
    kv.range(&from, &to, &mut |key, value| match read(key, value) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            result = Err(error);
            ControlFlow::Break(())
        }
    })?;
    result
}

impl<'a, S: Slots> Scan<'a, S> {
    pub fn new(slots: &'a S, keys: &'a Keys, opener: &'a Opener, secret: (u64, u64)) -> Self {
        Self {
            slots,
            keys,
            opener,
            wraps: BTreeMap::new(),
            state: State::new(secret),
            load: Load::default(),
            used: BTreeSet::new(),
            notes: BTreeMap::new(),
            bodies: BTreeMap::new(),
            wanted: BTreeSet::new(),
            expiry: Expiry::default(),
            next_arrival: 1,
            entered: 0,
            cuts: BTreeMap::new(),
        }
    }

    /// Reads everything there is of a mesh.
    pub fn read<K: Kv>(&mut self, kv: &K, mesh: MeshId, visit: Visit<'_>) -> Result<(), StoreError> {
        let keys = self.keys;
        // Named values are read when somebody asks, which is too late to find that one does not read.
        each(kv, keys, Kind::Meta, |key, value| {
            if let (Some(place), Some(wrap)) =
                (RecordRef::of_name(Keys::rest(key), WRAP), Wrap::read(&value?))
            {
                self.wraps.insert(place, wrap);
            }
            Ok(())
        })?;
        each(kv, keys, Kind::Rule, |_, value| self.rule(&value?))?;
        each(kv, keys, Kind::Peer, |_, value| self.peer(&value?))?;
        each(kv, keys, Kind::Log, |key, value| self.log(mesh, key, &value?))?;
        each(kv, keys, Kind::Notes, |key, value| {
            self.notes.insert(Keys::parse_at(key).ok_or_else(bad_key)?, value);
            Ok(())
        })?;
        each(kv, keys, Kind::Body, |key, value| self.body(key, value))?;
        each(kv, keys, Kind::Remark, |_, value| {
            // One that does not read is not told, which is no reason to give the log up.
            if let Ok(sealed) = value.and_then(|value| Ok(vault::parse(&value)?.head.slot)) {
                self.used.insert(sealed);
            }
            Ok(())
        })?;
        self.pages(kv, visit)
    }

    fn rule(&mut self, value: &[u8]) -> Result<(), StoreError> {
        let name = std::str::from_utf8(value).map_err(|_| Fault::Damaged("a rule's name".into()))?;
        self.state.rules.push(name.to_owned());
        Ok(())
    }

    fn peer(&mut self, value: &[u8]) -> Result<(), StoreError> {
        let peer = <[u8; 32]>::try_from(value).map_err(|_| Fault::Damaged("a peer's key".into()))?;
        self.state.peers.push(NodeKey(peer));
        Ok(())
    }

    fn log(&mut self, mesh: MeshId, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let number = <[u8; 4]>::try_from(Keys::rest(key)).map_err(|_| bad_key())?;
        let no = LogNo(u32::from_be_bytes(number));
        let row: LogRow =
            codec::decode::<_, ROW_LIMIT>(value).map_err(|e| Fault::Damaged(format!("log row: {e}")))?;
        // Logs are numbered without gaps, and a log's row is in the batch that first names it.
        if no.0 >= LOGS_MAX || no.0 as usize != self.state.logs.len() {
            return Err(Fault::Damaged(format!("log {} is missing", self.state.logs.len())).into());
        }
        let log_key = LogKey { mesh, author: row.author, circle: row.circle, epoch: row.epoch };
        let mut log = LogState::new(log_key, row.org);
        log.base = row.base;
        log.tip = row.base;
        log.published = row.base;
        log.standing = row.standing;
        self.state.logs.push(log);
        self.state.by_key.insert(log_key, no);
        Ok(())
    }

    fn body(&mut self, key: &[u8], value: Result<Bytes, Fault>) -> Result<(), StoreError> {
        let (log, seq) = Keys::parse_at(key).ok_or_else(bad_key)?;
        let bodies = &mut self.state.log_mut(log).ok_or_else(bad_key)?.bodies;
        let value = value.and_then(|value| {
            let slot = vault::parse(&value)?.head.slot;
            self.used.insert(slot);
            bodies.insert(seq, slot);
            Ok(value)
        });
        // Kept sealed until its page comes by, so that this costs what is stored, not what it opens to.
        self.bodies.insert(RecordRef { log, seq }, value);
        Ok(())
    }

    /// Pages are read and opened on one thread, entered on this one, and shown on a third, in order.
    fn pages<K: Kv>(&mut self, kv: &K, visit: Visit<'_>) -> Result<(), StoreError> {
        let log_keys: Vec<LogKey> = self.state.logs.iter().map(|log| log.key).collect();
        let (slots, keys) = (self.slots, self.keys);
        let rules = self.state.rules.clone();
        type Read = (LogNo, u64, Result<Loaded<Known>, StoreError>);
        let read = |key: &[u8], value: Result<Bytes, Fault>| -> Result<Read, StoreError> {
            let (log, first) = Keys::parse_at(key).ok_or_else(bad_key)?;
            let log_key = *log_keys.get(log.0 as usize).ok_or_else(bad_key)?;
            let page = value.map_err(StoreError::from);
            let page = page.and_then(|value| pages::outline(slots, log_key, (log, first), key, &value));
            let page = page.and_then(|page| match page {
                Opened::Is(page) => Ok(page),
                Opened::Locked => Err(missing(log, first)),
            });
            Ok((log, first, page))
        };
        let (out, pages) = mpsc::sync_channel(PAGES_AHEAD);
        let (show, shown) = mpsc::sync_channel::<Entered>(PAGES_AHEAD);
        thread::scope(|scope| {
            let reader = scope.spawn(move || {
                let (from, to) = keys.all(Kind::Page);
                kv.range(&from, &to, &mut |key, value| {
                    let page = read(key, value);
                    let go_on = page.is_ok();
                    // Nobody listens any more when what came before was damaged.
                    if out.send(page).is_ok() && go_on {
                        ControlFlow::Continue(())
                    } else {
                        ControlFlow::Break(())
                    }
                })
            });
            let visitor = scope.spawn(move || shown.iter().for_each(|page| page.show(&rules, visit)));
            let mut entered = Ok(());
            for page in &pages {
                match page.and_then(|(log, first, page)| self.page_or_cut(log, first, page)) {
                    // Who watches is gone only by a panic, which is passed on below.
                    Ok(Some(page)) => drop(show.send(page)),
                    Ok(None) => {}
                    Err(error) => {
                        entered = Err(error);
                        break;
                    }
                }
            }
            drop((pages, show));
            let joined = (reader.join(), visitor.join());
            match joined {
                (Ok(ranged), Ok(())) => entered.and(ranged.map_err(StoreError::from)),
                (Err(panic), _) | (_, Err(panic)) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Enters a page, or nothing any more of a log that is damaged.
    fn page_or_cut(
        &mut self,
        log: LogNo,
        first: u64,
        page: Result<Loaded<Known>, StoreError>,
    ) -> Result<Option<Entered>, StoreError> {
        if self.cuts.contains_key(&log) {
            return Ok(None);
        }
        match page.and_then(|page| self.page(log, first, page)) {
            Ok(page) => {
                self.entered += 1;
                Ok(Some(page))
            }
            Err(error) if error.is_damage() => {
                let from = self.state.log(log).map_or(0, |log| log.tip.seq) + 1;
                // What was entered of the page that did not read to its end. Where an index only says where to look,
                // nothing is found there.
                self.wanted.retain(|place| place.log != log || place.seq < from);
                self.state.retractions.retain(|_, found| found.record.log != log || found.record.seq < from);
                self.cuts.insert(log, (from, error));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn page(&mut self, log: LogNo, first: u64, loaded: Loaded<Known>) -> Result<Entered, StoreError> {
        let (org, before) = {
            let state = self.state.log(log).ok_or_else(bad_key)?;
            (state.org, state.tip)
        };
        let Loaded { page, head, notes } = loaded;
        let mut spans = Spans::default();
        let changed = self.notes.remove(&(log, first));
        let noted = changed.is_some();
        let judged = match changed {
            Some(changed) => spans.decode_into(first, &changed?)?,
            None => spans.decode_into(first, &notes)?,
        };
        let (tip, bytes, bodies) = self.records(org, log, before, &page, &spans)?;
        let last = tip.seq;
        if first != before.seq + 1 || judged != last - before.seq {
            return Err(Fault::Damaged(format!("judgements of log {} at {first}", log.0)).into());
        }
        for (from, count, stamped) in spans.within(first, last) {
            let place = RecordRef { log, seq: from };
            if let Some(state) = self.state.log_mut(log) {
                state.spans.set(from, count, stamped);
                state.counts.add(&stamped.outcome, count);
            }
            self.state.counts.add(&stamped.outcome, count);
            self.state.order.add(stamped.arrival, place, count);
            self.next_arrival = self.next_arrival.max(stamped.arrival + count);
        }
        let tail = head.form.is_tail();
        self.used.insert(head.slot);
        if let Some(state) = self.state.log_mut(log) {
            let raw = bytes + judged as usize * 32;
            let Head { slot, nonce, .. } = head;
            let page = PageRef { last, slot, nonce, raw: raw as u32, tail, noted };
            state.pages.insert(first, page);
            state.tip = tip;
            state.published = tip;
            if tail {
                if state.tail_slot.is_none() {
                    state.tail_first = first;
                }
                state.tail_slot = Some(slot);
                state.tail_found = true;
                state.tail_raw += raw;
            }
        }
        if self.load.is_full() {
            self.state.take(&mut self.load);
        }
        Ok(Entered { org, log, page, spans, bodies })
    }

    /// Enters the records of a page, which follow `before`. Returns the log's end, the bytes of bodies in the page, and what
    /// there is of them beside it.
    fn records(
        &mut self,
        org: OrgId,
        log: LogNo,
        before: Tip,
        page: &Known,
        spans: &Spans,
    ) -> Result<(Tip, usize, Bodies), StoreError> {
        let (mut tip, mut bytes, mut bodies) = (before, 0, Bodies::default());
        let mut entered = Ok(());
        let read = page.each(|entry| {
            let header = &entry.header;
            if header.seq != tip.seq + 1 || header.prev != tip.id {
                entered = Err(Fault::Damaged(format!("log {} breaks at {}", log.0, header.seq)).into());
                return ControlFlow::Break(());
            }
            tip = header.tip(entry.id);
            bytes += entry.body().map_or(0, Bytes::len);
            let place = RecordRef { log, seq: header.seq };
            self.state.load_id(&mut self.load, &entry.id, place);
            if let Some(stamped) = spans.get(place.seq) {
                entered = self.record(org, place, entry, stamped, &mut bodies);
            }
            if entered.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        entered?;
        read.map_err(|source| StoreError::Page { log: log.0, seq: tip.seq + 1, source })?;
        Ok((tip, bytes, bodies))
    }

    fn record(
        &mut self,
        org: OrgId,
        place: RecordRef,
        entry: &Entry,
        stamped: Stamped,
        bodies: &mut Bodies,
    ) -> Result<(), StoreError> {
        if let Some(value) = self.bodies.remove(&place) {
            let value = value?;
            let key = self.keys.at(Kind::Body, place.log, place.seq);
            let opened = vault::unseal(self.slots, &key, &vault::parse(&value)?)?;
            bodies.late.insert(place.seq, opened.ok_or_else(|| missing(place.log, place.seq))?.into());
        }
        match stamped.outcome.body {
            BodyState::Here => {
                let body = entry.body().or_else(|| bodies.late.get(&place.seq));
                let body = body.ok_or_else(|| missing(place.log, place.seq))?;
                let plain = self.index(org, place, &entry.header, body);
                bodies.plain.extend(plain.map(|plain| (place.seq, plain)));
            }
            BodyState::Wanted | BodyState::Withheld => drop(self.wanted.insert(place)),
            _ => {}
        }
        Ok(())
    }

    /// Enters a body that is here. Returns what it opened to, if it is sealed.
    fn index(&mut self, org: OrgId, place: RecordRef, header: &Header, body: &Bytes) -> Option<Plain> {
        self.expiry.insert(org, header.expires, place);
        let plain = if header.suite == 0 { None } else { self.opener.open(header, body).ok() };
        let read = plain.as_ref().map_or((header.kind, body), |plain| (plain.kind, &plain.bytes));
        if let Some(subject) = subject_in(read.0, read.1) {
            self.state.load_report(&mut self.load, org, subject, place);
        } else if header.kind == body::RETRACTION
            && let Ok(Body::Retraction(retraction)) = Body::read(header, body)
        {
            self.state.add_retraction(org, header.circle, place, &retraction);
        } else if header.kind == body::KEY
            && let Some(wrap) = self.wraps.remove(&place)
            && let Ok(Body::Key(key)) = Body::read(header, body)
        {
            // One that does not open any more, since a sealing key was lost, opens nothing.
            let _ = self.opener.learn_by(header, &key, wrap.of(&key));
        }
        plain
    }
}
