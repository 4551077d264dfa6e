//! Opening: everything that lives in memory is rebuilt from the pages in one pass, which others may watch.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock, mpsc};
use std::thread;

use bytes::Bytes;
use tocsin_record::body::{self, Body};
use tocsin_record::run::Entry;
use tocsin_record::{Header, LogKey, MeshId, NodeKey, OrgId, Tip, codec};

use crate::disk::DiskKv;
use crate::error::StoreError;
use crate::expiry::Expiry;
use crate::keyfile::KeyFile;
use crate::keys::{Keys, Kind};
use crate::kv::{Fault, Kv};
use crate::outcome::{BodyState, LOGS_MAX, LogNo, RecordRef, Spans, Stamped};
use crate::pages::{self, Cache, Known, Loaded, Opened};
use crate::slots::Slots;
use crate::state::{Arrivals, Load, LogState, PageRef, State};
use crate::store::{LogRow, Shared, Staged, Store, missing, report_subject};
use crate::vault::{self, Head, Random, Vault};

/// Bytes that a log's row may take in memory while it is read.
const ROW_LIMIT: usize = 4096;
/// Pages between two of the threads that open a store: mostly two megabytes, at most what pages of 8 MiB and their
/// headers take.
const PAGES_AHEAD: usize = 4;

/// Sees every record once while a store is opened, on a thread of its own.
pub type Visit<'a> = &'a mut (dyn FnMut(Found<'_>) + Send);

/// A record that was found while the store was opened, in order of log and number.
#[derive(Debug)]
pub struct Found<'a> {
    /// Where it is.
    pub place: RecordRef,
    /// The org that wrote it.
    pub org: OrgId,
    /// Its header; the hash of a body that is here may be zero.
    pub header: &'a Header,
    /// Its body, if it is here, wherever it rests.
    pub body: Option<&'a Bytes>,
    /// What became of it.
    pub stamped: Stamped,
}

/// Opens the store of a mesh in a directory, or creates it. `random` makes keys: it must be the machine's own.
/// `visit` sees every record once, so that other indices are rebuilt in the same pass.
///
/// # Errors
/// If it cannot be opened. Where [`StoreError::is_damage`] says so, [`set_aside`] and opening again helps: the node
/// refills from its peers.
pub fn open_dir(
    dir: &Path,
    mesh: MeshId,
    random: Random,
    visit: Visit<'_>,
) -> Result<Store<DiskKv, KeyFile>, StoreError> {
    create_private(dir)?;
    let kv = DiskKv::open(dir)?;
    let slots = KeyFile::open(&dir.join("keys"))?;
    Store::open(Arc::new(kv), Arc::new(slots), mesh, random, visit)
}

fn create_private(dir: &Path) -> Result<(), Fault> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(Fault::io(format!("creating {}", dir.display())))
}

/// Renames a damaged store to `NAME.damaged`, destroying an older one of that name. Returns the new path, for the
/// message to the operator. The caller destroys it with [`destroy_aside`] when the node has refilled.
///
/// # Errors
/// If it cannot be renamed.
pub fn set_aside(dir: &Path) -> Result<PathBuf, StoreError> {
    let aside = aside_path(dir);
    destroy_aside(dir)?;
    fs::rename(dir, &aside).map_err(Fault::io(format!("renaming {}", dir.display())))?;
    sync_parent(dir)?;
    Ok(aside)
}

/// The store that was set aside and is still there, if one is.
#[must_use]
pub fn aside(dir: &Path) -> Option<PathBuf> {
    Some(aside_path(dir)).filter(|path| path.exists())
}

/// Destroys what was set aside: its keys first, so that what remains of its pages on the disk cannot be read.
/// Returns false if there was nothing.
///
/// # Errors
/// If it cannot be overwritten or removed.
pub fn destroy_aside(dir: &Path) -> Result<bool, StoreError> {
    let aside = aside_path(dir);
    if !aside.exists() {
        return Ok(false);
    }
    let keys = aside.join("keys");
    if keys.exists() {
        let slots = KeyFile::open(&keys)?;
        for n in 0..slots.count()? {
            slots.overwrite(n, &[0; 32])?;
        }
        slots.sync()?;
    }
    fs::remove_dir_all(&aside).map_err(Fault::io(format!("removing {}", aside.display())))?;
    sync_parent(dir)?;
    Ok(true)
}

fn aside_path(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_os_string();
    name.push(".damaged");
    dir.with_file_name(name)
}

fn sync_parent(dir: &Path) -> Result<(), Fault> {
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(parent)
        .and_then(|dir| dir.sync_all())
        .map_err(Fault::io(format!("syncing {}", parent.display())))
}

/// What a scan gathers.
struct Scan<'a, S> {
    slots: &'a S,
    keys: &'a Keys,
    state: State,
    load: Load,
    used: BTreeSet<u32>,
    notes: BTreeMap<(LogNo, u64), Bytes>,
    bodies: BTreeMap<RecordRef, Bytes>,
    wanted: BTreeSet<RecordRef>,
    expiry: Expiry,
    next_arrival: u64,
}

/// A page that was entered, for who watches.
struct Entered {
    org: OrgId,
    log: LogNo,
    page: Known,
    spans: Spans,
    /// Bodies that came later than their headers.
    late: BTreeMap<u64, Bytes>,
}

impl Entered {
    fn show(&self, visit: &mut (dyn FnMut(Found<'_>) + Send)) {
        let shown = self.page.each(|entry| {
            let seq = entry.header.seq;
            if let Some(stamped) = self.spans.get(seq) {
                let body = entry.body().or_else(|| self.late.get(&seq));
                let body = body.filter(|_| stamped.outcome.body == BodyState::Here);
                let place = RecordRef { log: self.log, seq };
                visit(Found { place, org: self.org, header: &entry.header, body, stamped });
            }
            ControlFlow::Continue(())
        });
        debug_assert!(shown.is_ok(), "a page that was entered reads");
    }
}

impl<K: Kv, S: Slots> Store<K, S> {
    /// Opens a store over its seams. See [`open_dir`].
    ///
    /// # Errors
    /// On a disk fault or damage.
    pub fn open(
        kv: Arc<K>,
        slots: Arc<S>,
        mesh: MeshId,
        mut random: Random,
        visit: Visit<'_>,
    ) -> Result<Self, StoreError> {
        let keys = Keys::new(mesh);
        let mut secret = [0; 16];
        random(&mut secret);
        let (low, high) = secret.split_at(8);
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
        let mut scan = Scan {
            slots: slots.as_ref(),
            keys: &keys,
            state: State::new((number(low), number(high))),
            load: Load::default(),
            used: BTreeSet::new(),
            notes: BTreeMap::new(),
            bodies: BTreeMap::new(),
            wanted: BTreeSet::new(),
            expiry: Expiry::default(),
            next_arrival: 1,
        };
        each(kv.as_ref(), &keys, Kind::Rule, |_, value| scan.rule(&value))?;
        each(kv.as_ref(), &keys, Kind::Peer, |_, value| scan.peer(&value))?;
        each(kv.as_ref(), &keys, Kind::Log, |key, value| scan.log(mesh, key, &value))?;
        each(kv.as_ref(), &keys, Kind::Notes, |key, value| {
            scan.notes.insert(Keys::parse_at(key).ok_or_else(bad_key)?, value);
            Ok(())
        })?;
        each(kv.as_ref(), &keys, Kind::Body, |key, value| scan.body(key, value))?;
        scan.pages(kv.as_ref(), visit)?;
        if !scan.bodies.is_empty() {
            return Err(Fault::Damaged("a body without its record".into()).into());
        }
        let Scan { mut state, mut load, used, wanted, expiry, next_arrival, .. } = scan;
        state.take(&mut load);
        state.order.sort_unstable_by_key(|range| range.arrival);
        state.published = next_arrival;
        let vault = Vault::open(Arc::clone(&slots), random, |slot| used.contains(&slot))?;
        let shared = Shared { kv, slots, keys, state: RwLock::new(state), cache: Cache::default() };
        Ok(Self {
            shared: Arc::new(shared),
            vault,
            staged: Staged::default(),
            next_arrival,
            wanted,
            expiry,
            load: Load::default(),
            poisoned: false,
        })
    }
}

fn bad_key() -> StoreError {
    Fault::Damaged("a key does not parse".into()).into()
}

/// Reads all values of one kind in order.
fn each<K: Kv>(
    kv: &K,
    keys: &Keys,
    kind: Kind,
    mut read: impl FnMut(&[u8], Bytes) -> Result<(), StoreError>,
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

impl<S: Slots> Scan<'_, S> {
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

    fn body(&mut self, key: &[u8], value: Bytes) -> Result<(), StoreError> {
        let (log, seq) = Keys::parse_at(key).ok_or_else(bad_key)?;
        let slot = vault::parse(&value)?.head.slot;
        self.used.insert(slot);
        self.state.log_mut(log).ok_or_else(bad_key)?.bodies.insert(seq, slot);
        // Kept sealed until its page comes by, so that this costs what is stored, not what it opens to.
        self.bodies.insert(RecordRef { log, seq }, value);
        Ok(())
    }

    /// Pages are read and opened on one thread, entered on this one, and shown on a third, in order.
    fn pages<K: Kv>(&mut self, kv: &K, visit: Visit<'_>) -> Result<(), StoreError> {
        let log_keys: Vec<LogKey> = self.state.logs.iter().map(|log| log.key).collect();
        let (slots, keys) = (self.slots, self.keys);
        let read = |key: &[u8], value: &[u8]| -> Result<(LogNo, u64, Loaded<Known>), StoreError> {
            let (log, first) = Keys::parse_at(key).ok_or_else(bad_key)?;
            let log_key = *log_keys.get(log.0 as usize).ok_or_else(bad_key)?;
            match pages::outline(slots, log_key, (log, first), key, value)? {
                Opened::Is(page) => Ok((log, first, page)),
                Opened::Locked => Err(missing(log, first)),
            }
        };
        let (out, pages) = mpsc::sync_channel(PAGES_AHEAD);
        let (show, shown) = mpsc::sync_channel::<Entered>(PAGES_AHEAD);
        thread::scope(|scope| {
            let reader = scope.spawn(move || {
                let (from, to) = keys.all(Kind::Page);
                kv.range(&from, &to, &mut |key, value| {
                    let page = read(key, &value);
                    let go_on = page.is_ok();
                    // Nobody listens any more when what came before was damaged.
                    if out.send(page).is_ok() && go_on {
                        ControlFlow::Continue(())
                    } else {
                        ControlFlow::Break(())
                    }
                })
            });
            let visitor = scope.spawn(move || shown.iter().for_each(|page| page.show(visit)));
            let mut entered = Ok(());
            for page in &pages {
                match page.and_then(|(log, first, page)| self.page(log, first, page)) {
                    // Who watches is gone only by a panic, which is passed on below.
                    Ok(page) => drop(show.send(page)),
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

    fn page(&mut self, log: LogNo, first: u64, loaded: Loaded<Known>) -> Result<Entered, StoreError> {
        let (org, before) = {
            let state = self.state.log(log).ok_or_else(bad_key)?;
            (state.org, state.tip)
        };
        let Loaded { page, head, notes } = loaded;
        let mut spans = Spans::default();
        let changed = self.notes.remove(&(log, first));
        let judged = spans.decode_into(first, changed.as_deref().unwrap_or(&notes))?;
        let (tip, bodies, late) = self.records(org, log, before, &page, &spans)?;
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
            self.state.order.push(Arrivals { arrival: stamped.arrival, first: place, count });
            self.next_arrival = self.next_arrival.max(stamped.arrival + count);
        }
        let tail = head.form.is_tail();
        self.used.insert(head.slot);
        if let Some(state) = self.state.log_mut(log) {
            let raw = bodies + judged as usize * 32;
            let Head { slot, nonce, .. } = head;
            let page = PageRef { last, slot, nonce, raw: raw as u32, tail, noted: changed.is_some() };
            state.pages.insert(first, page);
            state.tip = tip;
            state.published = tip;
            if tail {
                if state.tail_slot.is_none() {
                    state.tail_first = first;
                }
                state.tail_slot = Some(slot);
                state.tail_raw += raw;
            }
        }
        if self.load.is_full() {
            self.state.take(&mut self.load);
        }
        Ok(Entered { org, log, page, spans, late })
    }

    /// Enters the records of a page, which follow `before`. Returns the log's end, the bytes of bodies in the page, and
    /// the bodies that came later.
    fn records(
        &mut self,
        org: OrgId,
        log: LogNo,
        before: Tip,
        page: &Known,
        spans: &Spans,
    ) -> Result<(Tip, usize, BTreeMap<u64, Bytes>), StoreError> {
        let (mut tip, mut bodies, mut late) = (before, 0, BTreeMap::new());
        let mut entered = Ok(());
        let read = page.each(|entry| {
            let header = &entry.header;
            if header.seq != tip.seq + 1 || header.prev != tip.id {
                entered = Err(Fault::Damaged(format!("log {} breaks at {}", log.0, header.seq)).into());
                return ControlFlow::Break(());
            }
            tip = header.tip(entry.id);
            bodies += entry.body().map_or(0, Bytes::len);
            let place = RecordRef { log, seq: header.seq };
            self.state.load_id(&mut self.load, &entry.id, place);
            if let Some(stamped) = spans.get(place.seq) {
                entered = self.record(org, place, entry, stamped, &mut late);
            }
            if entered.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        entered?;
        read.map_err(|source| StoreError::Page { log: log.0, seq: tip.seq + 1, source })?;
        Ok((tip, bodies, late))
    }

    fn record(
        &mut self,
        org: OrgId,
        place: RecordRef,
        entry: &Entry,
        stamped: Stamped,
        late: &mut BTreeMap<u64, Bytes>,
    ) -> Result<(), StoreError> {
        if let Some(value) = self.bodies.remove(&place) {
            let key = self.keys.at(Kind::Body, place.log, place.seq);
            let opened = vault::unseal(self.slots, &key, &vault::parse(&value)?)?;
            late.insert(place.seq, opened.ok_or_else(|| missing(place.log, place.seq))?.into());
        }
        match stamped.outcome.body {
            BodyState::Here => {
                let body = entry.body().or_else(|| late.get(&place.seq));
                let body = body.ok_or_else(|| missing(place.log, place.seq))?;
                self.index(org, place, &entry.header, body);
            }
            BodyState::Wanted | BodyState::Withheld => drop(self.wanted.insert(place)),
            _ => {}
        }
        Ok(())
    }

    fn index(&mut self, org: OrgId, place: RecordRef, header: &Header, body: &Bytes) {
        self.expiry.insert(org, header.expires, place);
        if let Some(subject) = report_subject(header, body) {
            self.state.load_report(&mut self.load, org, subject, place);
        } else if header.kind == body::RETRACTION
            && let Ok(Body::Retraction(retraction)) = Body::read(header, body)
        {
            self.state.add_retraction(org, header.circle, place, &retraction);
        }
    }
}
