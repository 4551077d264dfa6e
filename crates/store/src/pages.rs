//! Reading stored pages: find, unseal, decompress, rebuild, with a small cache of what was read last.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tocsin_record::{LogKey, Part, Run, page};

use crate::error::StoreError;
use crate::kv::Fault;
use crate::outcome::{BodyState, LogNo};
use crate::slots::Slots;
use crate::vault::{self, Form, Head};

/// Bytes of pages (before compression) that the cache holds.
const CACHE_BYTES: usize = 16 << 20;
/// What a rebuilt record takes in memory besides its body.
const ENTRY_BYTES: usize = 400;

#[derive(Debug)]
struct Cached {
    nonce: [u8; 24],
    run: Arc<Run>,
    bytes: usize,
}

/// The pages read last. A page is named by its nonce, which no other content ever has.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<VecDeque<Cached>>);

impl Cache {
    fn get(&self, nonce: &[u8; 24]) -> Option<Arc<Run>> {
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = pages.iter().position(|cached| &cached.nonce == nonce)?;
        let found = pages.remove(at)?;
        let run = Arc::clone(&found.run);
        pages.push_front(found);
        Some(run)
    }

    fn put(&self, nonce: [u8; 24], run: Arc<Run>, bytes: usize) {
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pages.push_front(Cached { nonce, run, bytes });
        let mut total: usize = pages.iter().map(|cached| cached.bytes).sum();
        while total > CACHE_BYTES && pages.len() > 1 {
            total -= pages.pop_back().map_or(0, |cached| cached.bytes);
        }
    }

    /// Forgets everything: something that may be in here was erased.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A page that was read.
pub(crate) struct Loaded {
    pub run: Arc<Run>,
    pub head: Head,
    pub notes: Vec<u8>,
}

/// What reading a value came to.
pub(crate) enum Opened<T> {
    Is(T),
    /// Its key was destroyed: it was replaced while it was read, or it is damaged.
    Locked,
}

/// Reads the page in `value`.
pub(crate) fn load<S: Slots>(
    slots: &S,
    cache: Option<&Cache>,
    log_key: LogKey,
    place: (LogNo, u64),
    kv_key: &[u8],
    value: &[u8],
) -> Result<Opened<Loaded>, StoreError> {
    let sealed = vault::parse(value)?;
    let (head, notes) = (sealed.head, sealed.notes.to_vec());
    if let Some(run) = cache.and_then(|cache| cache.get(&head.nonce)) {
        return Ok(Opened::Is(Loaded { run, head, notes }));
    }
    let Some(plain) = vault::unseal(slots, kv_key, &sealed)? else {
        return Ok(Opened::Locked);
    };
    let damaged = |source| StoreError::Page { log: place.0.0, seq: place.1, source };
    let page = match head.form {
        Form::TailRaw => Bytes::from(plain),
        Form::Page | Form::TailPacked => page::unpack(&plain).map_err(damaged)?,
        Form::Body => return Err(Fault::Damaged("a body stands where a page should".into()).into()),
    };
    let bytes = page.len();
    let run = Arc::new(page::decode(log_key, &page).map_err(damaged)?);
    if let Some(cache) = cache {
        cache.put(head.nonce, Arc::clone(&run), bytes + run.entries().len() * ENTRY_BYTES);
    }
    Ok(Opened::Is(Loaded { run, head, notes }))
}

/// The packed page in `value`, as it goes on the wire, without reading it.
pub(crate) fn packed<S: Slots>(
    slots: &S,
    kv_key: &[u8],
    value: &[u8],
) -> Result<Opened<Vec<u8>>, StoreError> {
    let sealed = vault::parse(value)?;
    Ok(match vault::unseal(slots, kv_key, &sealed)? {
        None => Opened::Locked,
        Some(plain) if sealed.head.form == Form::TailRaw => Opened::Is(page::pack(&plain)),
        Some(plain) => Opened::Is(plain),
    })
}

/// What a stored page says of a body that is in this state.
pub(crate) fn part_of(state: BodyState, part: &Part) -> Option<Part> {
    match (state, part) {
        (BodyState::Here, Part::Here(_)) | (BodyState::Here, Part::NotHeld) => None,
        (BodyState::Gone(reason), Part::Gone(said)) if *said == reason => None,
        (BodyState::Gone(reason), _) => Some(Part::Gone(reason)),
        (_, Part::NotHeld) => None,
        _ => Some(Part::NotHeld),
    }
}
