//! Reading stored pages: find, unseal, decompress, rebuild, with a small cache of what was read last.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

/// What names a page's content: no other content is ever sealed with this nonce.
pub(crate) type Nonce = [u8; 24];

#[derive(Debug)]
struct Cached {
    run: Arc<Run>,
    bytes: usize,
    /// When it was read last, as [`Kept::turn`] counts.
    turn: u64,
}

#[derive(Debug, Default)]
struct Kept {
    pages: BTreeMap<Nonce, Cached>,
    /// By the turn in which each was read last.
    order: BTreeMap<u64, Nonce>,
    turn: u64,
    bytes: usize,
}

/// The pages read last. The directory names a page by its nonce, so that one that is here costs no look at the disk.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<Kept>);

impl Cache {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, nonce: &Nonce) -> Option<Arc<Run>> {
        let mut kept = self.kept();
        let Kept { pages, order, turn, .. } = &mut *kept;
        let found = pages.get_mut(nonce)?;
        order.remove(&found.turn);
        *turn += 1;
        found.turn = *turn;
        order.insert(*turn, *nonce);
        Some(Arc::clone(&found.run))
    }

    pub fn put(&self, nonce: Nonce, run: &Arc<Run>) {
        let bytes = run.body_bytes() + run.entries().len() * ENTRY_BYTES;
        let mut kept = self.kept();
        kept.turn += 1;
        let turn = kept.turn;
        if let Some(old) = kept.pages.insert(nonce, Cached { run: Arc::clone(run), bytes, turn }) {
            kept.order.remove(&old.turn);
            kept.bytes -= old.bytes;
        }
        kept.order.insert(turn, nonce);
        kept.bytes += bytes;
        while kept.bytes > CACHE_BYTES && kept.pages.len() > 1 {
            let Some((_, oldest)) = kept.order.pop_first() else { return };
            kept.bytes -= kept.pages.remove(&oldest).map_or(0, |cached| cached.bytes);
        }
    }

    /// Forgets everything: something that may be in here was erased.
    pub fn clear(&self) {
        *self.kept() = Kept::default();
    }
}

/// A page that was read.
pub(crate) struct Loaded {
    pub run: Run,
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
    log_key: LogKey,
    place: (LogNo, u64),
    kv_key: &[u8],
    value: &[u8],
) -> Result<Opened<Loaded>, StoreError> {
    let sealed = vault::parse(value)?;
    let (head, notes) = (sealed.head, sealed.notes.to_vec());
    let Some(plain) = vault::unseal(slots, kv_key, &sealed)? else {
        return Ok(Opened::Locked);
    };
    let damaged = |source| StoreError::Page { log: place.0.0, seq: place.1, source };
    let page = match head.form {
        Form::TailRaw => Bytes::from(plain),
        Form::Page | Form::TailPacked => page::unpack(&plain).map_err(damaged)?,
        Form::Body => return Err(Fault::Damaged("a body stands where a page should".into()).into()),
    };
    let run = page::decode(log_key, &page).map_err(damaged)?;
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
