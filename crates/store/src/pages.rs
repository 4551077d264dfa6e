//! Stored pages: how they rest, and reading them (find, unseal, decompress, rebuild) with a small cache of what was read
//! last.
//!
//! ```text
//! at rest, sealed = number of records (4, big-endian), their ids (32 each), packed page
//! ```
//!
//! Ids can be made from the page alone. They stand there so that opening a store, which needs them all, hashes nothing, and
//! reading one record nothing but its body. Pages of a tail, which are small and few, rest without.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hashlink::LruCache;
use tocsin_record::page::PageError;
use tocsin_record::{Entry, LogKey, Part, Run, page};

use crate::error::StoreError;
use crate::kv::Fault;
use crate::outcome::{BodyState, LogNo};
use crate::slots::Slots;
use crate::vault::{self, Form, Head};

/// Bytes of pages (before compression) that the cache holds.
const CACHE_BYTES: usize = 16 << 20;
/// What a rebuilt record takes in memory besides its body.
const ENTRY_BYTES: usize = 400;

/// What names a page's content: no other content is ever sealed with this nonce.
pub(crate) type Nonce = [u8; 12];

/// A page that was read.
#[derive(Clone, Debug)]
pub(crate) enum Known {
    /// All of it.
    Run(Arc<Run>),
    /// With nothing hashed: the hashes of bodies that are here are zero.
    Outline(Outline),
}

/// A page that was checked when it was stored, and its ids.
#[derive(Clone, Debug)]
pub(crate) struct Outline {
    log: LogKey,
    ids: Arc<[[u8; 32]]>,
    page: Bytes,
}

impl Known {
    /// Shows its records, until one breaks off.
    pub fn each(&self, mut visit: impl FnMut(&Entry) -> ControlFlow<()>) -> Result<(), PageError> {
        match self {
            Self::Run(run) => drop(run.entries().iter().try_for_each(visit)),
            Self::Outline(Outline { log, ids, page }) => page::outline(*log, page, ids, &mut visit)?,
        }
        Ok(())
    }

    /// The record of this number.
    pub fn entry(&self, seq: u64) -> Result<Option<Entry>, PageError> {
        let mut found = None;
        self.each(|entry| {
            if entry.header.seq == seq {
                found = Some(entry.clone());
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    pub fn into_run(self) -> Option<Arc<Run>> {
        if let Self::Run(run) = self { Some(run) } else { None }
    }

    /// Bytes of memory that it takes.
    fn bytes(&self) -> usize {
        match self {
            Self::Run(run) => run.body_bytes() + run.entries().len() * ENTRY_BYTES,
            Self::Outline(outline) => outline.page.len() + outline.ids.len() * 32,
        }
    }
}

#[derive(Debug)]
struct Kept {
    /// With the bytes that each takes.
    pages: LruCache<Nonce, (Known, usize)>,
    bytes: usize,
}

/// The pages read last. The directory names a page by its nonce, so that one that is here costs no look at the disk.
#[derive(Debug)]
pub(crate) struct Cache(Mutex<Kept>);

impl Default for Cache {
    fn default() -> Self {
        // Its bound is in bytes.
        Self(Mutex::new(Kept { pages: LruCache::new_unbounded(), bytes: 0 }))
    }
}

impl Cache {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, nonce: &Nonce) -> Option<Known> {
        self.kept().pages.get(nonce).map(|(page, _)| page.clone())
    }

    pub fn put(&self, nonce: Nonce, page: Known) {
        let bytes = page.bytes();
        let mut kept = self.kept();
        kept.bytes += bytes;
        let mut left = kept.pages.insert(nonce, (page, bytes));
        loop {
            kept.bytes -= left.map_or(0, |(_, bytes)| bytes);
            if kept.bytes <= CACHE_BYTES || kept.pages.len() == 1 {
                break;
            }
            left = kept.pages.remove_lru().map(|(_, oldest)| oldest);
        }
    }

    /// Forgets a page that was replaced: something in it may have been erased.
    pub fn remove(&self, nonce: &Nonce) {
        let mut kept = self.kept();
        kept.bytes -= kept.pages.remove(nonce).map_or(0, |(_, bytes)| bytes);
    }
}

/// A page that was read, with what stood before it.
pub(crate) struct Loaded<T> {
    pub page: T,
    pub head: Head,
    pub notes: Vec<u8>,
}

/// A page as it rests under a slot of its own.
pub(crate) fn at_rest(run: &Run, packed: &[u8]) -> Vec<u8> {
    let entries = run.entries();
    let mut out = Vec::with_capacity(4 + entries.len() * 32 + packed.len());
    // A run has at most 8,192 records.
    out.extend_from_slice(&(entries.len() as u32).to_be_bytes());
    for entry in entries {
        out.extend_from_slice(&entry.id.0);
    }
    out.extend_from_slice(packed);
    out
}

/// Undoes [`at_rest`]: the ids, and the packed page.
pub(crate) fn apart(plain: &Bytes) -> Result<(&[[u8; 32]], Bytes), Fault> {
    let damaged = || Fault::Damaged("a page without its ids".into());
    let (count, rest) = plain.split_first_chunk().ok_or_else(damaged)?;
    let count = u32::from_be_bytes(*count) as usize;
    let (ids, packed) = rest.split_at_checked(count.saturating_mul(32)).ok_or_else(damaged)?;
    Ok((ids.as_chunks().0, plain.slice_ref(packed)))
}

/// What reading a value came to.
pub(crate) enum Opened<T> {
    Is(T),
    /// Its key was destroyed: it was replaced while it was read, or it is damaged.
    Locked,
}

impl<T> Opened<T> {
    pub fn map<U>(self, with: impl FnOnce(T) -> U) -> Opened<U> {
        match self {
            Self::Is(opened) => Opened::Is(with(opened)),
            Self::Locked => Opened::Locked,
        }
    }
}

/// Reads the page in `value`.
pub(crate) fn load<S: Slots>(
    slots: &S,
    log_key: LogKey,
    place: (LogNo, u64),
    kv_key: &[u8],
    value: &[u8],
) -> Result<Opened<Loaded<Run>>, StoreError> {
    let sealed = vault::parse(value)?;
    let (head, notes) = (sealed.head, sealed.notes.to_vec());
    let Some(plain) = vault::unseal(slots, kv_key, &sealed)?.map(Bytes::from) else {
        return Ok(Opened::Locked);
    };
    let damaged = |source| StoreError::Page { log: place.0.0, seq: place.1, source };
    let (ids, page) = match head.form {
        Form::TailRaw => (None, plain.clone()),
        Form::TailPacked => (None, page::unpack(&plain).map_err(damaged)?),
        Form::Page => {
            let (ids, packed) = apart(&plain)?;
            (Some(ids), page::unpack(&packed).map_err(damaged)?)
        }
        Form::Body => return Err(no_page()),
    };
    let run = page::decode(log_key, &page).map_err(damaged)?;
    if ids.is_some_and(|ids| !run.entries().iter().map(|entry| &entry.id.0).eq(ids)) {
        return Err(other_ids());
    }
    Ok(Opened::Is(Loaded { page: run, head, notes }))
}

/// As [`load`], with nothing hashed where the ids rest beside the page.
pub(crate) fn outline<S: Slots>(
    slots: &S,
    log_key: LogKey,
    place: (LogNo, u64),
    kv_key: &[u8],
    value: &[u8],
) -> Result<Opened<Loaded<Known>>, StoreError> {
    let sealed = vault::parse(value)?;
    if sealed.head.form != Form::Page {
        let loaded = load(slots, log_key, place, kv_key, value)?;
        return Ok(loaded.map(|Loaded { page, head, notes }| Loaded {
            page: Known::Run(Arc::new(page)),
            head,
            notes,
        }));
    }
    let (head, notes) = (sealed.head, sealed.notes.to_vec());
    let Some(plain) = vault::unseal(slots, kv_key, &sealed)?.map(Bytes::from) else {
        return Ok(Opened::Locked);
    };
    let (ids, packed) = apart(&plain)?;
    let damaged = |source| StoreError::Page { log: place.0.0, seq: place.1, source };
    let page = page::unpack(&packed).map_err(damaged)?;
    let page = Known::Outline(Outline { log: log_key, ids: ids.into(), page });
    Ok(Opened::Is(Loaded { page, head, notes }))
}

/// The page in `value` as it goes on the wire, with its ids, without reading it: see [`apart`]. Locked if it is the
/// page of a tail, which the caller knew it was not: then it was replaced.
pub(crate) fn resting<S: Slots>(slots: &S, kv_key: &[u8], value: &[u8]) -> Result<Opened<Bytes>, StoreError> {
    let sealed = vault::parse(value)?;
    if sealed.head.form != Form::Page {
        return Ok(Opened::Locked);
    }
    Ok(vault::unseal(slots, kv_key, &sealed)?.map_or(Opened::Locked, |plain| Opened::Is(plain.into())))
}

fn other_ids() -> StoreError {
    Fault::Damaged("a page with other records than ids".into()).into()
}

fn no_page() -> StoreError {
    Fault::Damaged("a body stands where a page should".into()).into()
}

/// What a stored page has to say of a body that is in this state, if it is something else than it says. Of a body that
/// is not in the page the outcome tells more than the page does: a page as it came, with some bodies withheld, stays.
pub(crate) fn part_of(state: BodyState, part: &Part) -> Option<Part> {
    match (state, part) {
        (BodyState::Here, Part::Here(_)) => None,
        (BodyState::Gone(reason), Part::Gone(said)) if *said == reason => None,
        (BodyState::Gone(reason), _) => Some(Part::Gone(reason)),
        (_, Part::NotHeld | Part::Withheld | Part::Ask) => None,
        _ => Some(Part::NotHeld),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faulty::FaultySlots;
    use crate::tests::Author;

    #[test]
    fn what_rests_beside_a_page_is_taken_apart_or_refused() {
        let run = Author::new(1).long(100, "text");
        let packed = page::pack(&page::encode(&run));
        let plain = Bytes::from(at_rest(&run, &packed));
        let (ids, found) = apart(&plain).unwrap();
        assert_eq!(found, packed);
        assert!(ids.iter().eq(run.entries().iter().map(|entry| &entry.id.0)));
        for cut in [0, 3, 4, 35, 4 + 100 * 32 - 1] {
            assert!(apart(&plain.slice(..cut)).is_err(), "{cut} bytes");
        }
    }

    #[test]
    fn what_was_read_last_stays_within_the_bytes_of_the_cache() {
        let (cache, nonce) = (Cache::default(), |n: u8| [n; 12]);
        let page = |bytes: usize| {
            let (log, ids) = (Author::new(1).log, Arc::from([]));
            Known::Outline(Outline { log, ids, page: vec![0; bytes].into() })
        };
        let is_here = |n| cache.kept().pages.peek(&nonce(n)).is_some();
        for n in 0..4 {
            cache.put(nonce(n), page(CACHE_BYTES / 4));
        }
        assert!((0..4).all(is_here), "as much as there is room for");
        assert!(cache.get(&nonce(0)).is_some());
        cache.put(nonce(4), page(1));
        assert!(
            !is_here(1) && [0, 2, 3, 4].into_iter().all(is_here),
            "the one that was not read for longest goes"
        );
        // Once more under its name, and smaller.
        cache.put(nonce(2), page(2));
        cache.remove(&nonce(3));
        cache.remove(&nonce(3));
        assert_eq!(cache.kept().bytes, CACHE_BYTES / 4 + 1 + 2);
        // One that is too large alone is kept until the next comes.
        cache.put(nonce(5), page(CACHE_BYTES + 1));
        assert_eq!(cache.kept().pages.len(), 1);
        assert_eq!(cache.kept().bytes, CACHE_BYTES + 1);
        cache.put(nonce(6), page(3));
        assert_eq!(cache.kept().bytes, 3);
    }

    #[test]
    fn ids_that_are_not_those_of_the_page_are_damage() {
        let run = Author::new(1).long(100, "text");
        let whole = at_rest(&run, &page::pack(&page::encode(&run)));
        let (slots, kv_key, slot_key) = (FaultySlots::new(1), b"a place", [5; 32]);
        slots.overwrite(0, &slot_key).unwrap();
        let sealed = |plain: &[u8]| vault::seal(kv_key, 0, &slot_key, Form::Page, [9; 12], &[], plain);
        let place = (LogNo(0), 1);
        let loads = |plain: &[u8]| load(&slots, *run.log(), place, kv_key, &sealed(plain)).map(drop);
        let outlines = |plain: &[u8]| {
            let outline = outline(&slots, *run.log(), place, kv_key, &sealed(plain)).unwrap();
            let Opened::Is(Loaded { page, .. }) = outline else { panic!("the key is there") };
            page.entry(50).map(drop)
        };
        assert!(loads(&whole).is_ok() && outlines(&whole).is_ok());
        let mut other = whole.clone();
        other[4 + 50 * 32] ^= 1;
        assert!(loads(&other).unwrap_err().is_damage());
        // One id less than records.
        let mut fewer = 99u32.to_be_bytes().to_vec();
        fewer.extend_from_slice(&whole[4..4 + 99 * 32]);
        fewer.extend_from_slice(&whole[4 + 100 * 32..]);
        assert!(loads(&fewer).unwrap_err().is_damage() && outlines(&fewer).is_err());
    }
}
