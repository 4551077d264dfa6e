//! Encryption at rest: every value with a body rests under a slot key, and destroying the key destroys the value (I4).
//! The cipher is AES-256-GCM (NIST SP 800-38D), which processors have instructions for.
//!
//! A slot is prepared (random bytes, synced) before it is taken, taken by exactly one page, body or tail, and destroyed
//! (overwritten with the random bytes of its next use, synced) after the batch that no longer points to it is durable.
//! At start every slot that no value points to is destroyed, which finishes what a crash interrupted: the value in the
//! database is the intent.

use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit, Nonce, Tag};
use bytes::Bytes;
use std::sync::Arc;
use tocsin_record::planted;
use zeroize::Zeroizing;

use crate::kv::Fault;
use crate::slots::{SLOT_LEN, Slots};

/// Slots that are prepared together: one sync of the key file for so many pages.
const BATCH: usize = 256;
/// Below this many prepared slots an idle node prepares more.
const LOW: usize = 64;

/// Random bytes from whoever opened the store.
pub type Random = Box<dyn FnMut(&mut [u8]) + Send>;

const VERSION: u8 = 3;
/// Drawn at random: a key seals one page, or the values of one tail, far below the 2^32 that AES-GCM allows of such.
const NONCE: usize = 12;
const TAG: usize = 16;
const HEAD: usize = 2 + 4 + NONCE + 4;

/// What stands before the ciphertext of a sealed value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    /// The slot whose key opens it.
    pub slot: u32,
    /// How the plain bytes are to be read.
    pub form: Form,
    /// Unique for every sealed value: names its content in caches.
    pub nonce: [u8; NONCE],
}

/// How the plain bytes are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A page under a slot of its own, with its ids.
    Page,
    /// A packed page of a tail, whose slot it shares.
    TailPacked,
    /// A page of a tail as it is: compressing one record saves nothing.
    TailRaw,
    /// One body.
    Body,
}

impl Form {
    fn byte(self) -> u8 {
        match self {
            Self::Page => 0,
            Self::TailPacked => 1,
            Self::TailRaw => 2,
            Self::Body => 3,
        }
    }

    fn of(byte: u8) -> Option<Self> {
        [Self::Page, Self::TailPacked, Self::TailRaw, Self::Body].into_iter().find(|form| form.byte() == byte)
    }

    /// Whether the value belongs to a tail.
    pub fn is_tail(self) -> bool {
        matches!(self, Self::TailPacked | Self::TailRaw)
    }
}

/// A sealed value taken apart.
pub(crate) struct Sealed<'a> {
    pub head: Head,
    /// Judgements at the time of writing, in clear.
    pub notes: &'a [u8],
    cipher: &'a [u8],
}

/// Takes a stored value apart.
pub(crate) fn parse(value: &[u8]) -> Result<Sealed<'_>, Fault> {
    let damaged = || Fault::Damaged("sealed value".into());
    let ([version, form], rest) = value.split_first_chunk().ok_or_else(damaged)?;
    let (slot, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
    let (nonce, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
    let (notes, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
    let (notes, cipher) = rest.split_at_checked(u32::from_be_bytes(*notes) as usize).ok_or_else(damaged)?;
    if *version != VERSION || cipher.len() < TAG {
        return Err(damaged());
    }
    let head =
        Head { slot: u32::from_be_bytes(*slot), form: Form::of(*form).ok_or_else(damaged)?, nonce: *nonce };
    Ok(Sealed { head, notes, cipher })
}

/// Seals `plain` under a key. The place (`key`) and the form are authenticated with it.
pub(crate) fn seal(
    kv_key: &[u8],
    slot: u32,
    key: &[u8; SLOT_LEN],
    form: Form,
    nonce: [u8; NONCE],
    notes: &[u8],
    plain: &[u8],
) -> Bytes {
    let mut out = Vec::with_capacity(HEAD + notes.len() + plain.len() + TAG);
    out.extend_from_slice(&[VERSION, form.byte()]);
    out.extend_from_slice(&slot.to_be_bytes());
    out.extend_from_slice(&nonce);
    // Judgements of one page are bounded by its 8,192 records.
    out.extend_from_slice(&(notes.len() as u32).to_be_bytes());
    out.extend_from_slice(notes);
    let body = out.len();
    out.extend_from_slice(plain);
    let tag = Aes256Gcm::new(&(*key).into())
        .encrypt_inout_detached(&Nonce::from(nonce), &place(kv_key, form), out[body..].as_mut().into())
        .expect("a page is far below the cipher's limit of 64 GiB");
    out.extend_from_slice(&tag);
    out.into()
}

/// Opens a sealed value, or `None` if the slot's key is not the one that sealed it.
pub(crate) fn unseal<S: Slots>(
    slots: &S,
    kv_key: &[u8],
    sealed: &Sealed<'_>,
) -> Result<Option<Vec<u8>>, Fault> {
    let key = slots.read(sealed.head.slot)?;
    let (cipher, tag) = sealed.cipher.split_at(sealed.cipher.len() - TAG);
    let Ok(tag) = <[u8; TAG]>::try_from(tag) else {
        return Err(Fault::Damaged("sealed value".into()));
    };
    let mut plain = cipher.to_vec();
    let opened = Aes256Gcm::new(&(*key).into()).decrypt_inout_detached(
        &Nonce::from(sealed.head.nonce),
        &place(kv_key, sealed.head.form),
        plain.as_mut_slice().into(),
        &Tag::from(tag),
    );
    Ok(opened.is_ok().then_some(plain))
}

fn place(kv_key: &[u8], form: Form) -> Vec<u8> {
    let mut place = kv_key.to_vec();
    place.push(form.byte());
    place
}

/// A prepared slot: its number and key.
pub(crate) struct Slot {
    pub number: u32,
    pub key: Zeroizing<[u8; SLOT_LEN]>,
}

/// The slots of one store, owned by its writer.
pub(crate) struct Vault<S> {
    slots: Arc<S>,
    random: Random,
    ready: Vec<Slot>,
    /// No longer pointed to by anything durable: to be destroyed.
    freed: Vec<u32>,
    /// Pointed to until the staged batch is durable.
    leaving: Vec<u32>,
    /// First number that was never used.
    next: u32,
}

impl<S: Slots> Vault<S> {
    /// Takes over the key file. `used` says which slots are pointed to; every other one is destroyed.
    pub fn open(slots: Arc<S>, random: Random, used: impl Fn(u32) -> bool) -> Result<Self, Fault> {
        let count = slots.count()?;
        let freed = (0..count).filter(|&n| !used(n)).collect();
        let mut vault = Self { slots, random, ready: Vec::new(), freed, leaving: Vec::new(), next: count };
        vault.destroy()?;
        Ok(vault)
    }

    /// What a value is sealed with, once.
    pub fn nonce(&mut self) -> [u8; NONCE] {
        let mut nonce = [0; NONCE];
        (self.random)(&mut nonce);
        nonce
    }

    /// A slot for one new page, body or tail.
    pub fn take(&mut self) -> Result<Slot, Fault> {
        if self.ready.is_empty() {
            self.prepare(BATCH)?;
        }
        self.ready.pop().ok_or_else(|| Fault::Damaged("no slot".into()))
    }

    /// The slot is no longer pointed to once the staged batch is durable.
    pub fn leave(&mut self, slot: u32) {
        self.leaving.push(slot);
    }

    /// The staged batch is durable.
    pub fn committed(&mut self) {
        self.freed.append(&mut self.leaving);
    }

    /// Overwrites every slot that nothing points to any more, and returns when that is on the disk.
    pub fn destroy(&mut self) -> Result<(), Fault> {
        if self.freed.is_empty() || planted::is(planted::Bug::KeepKeys) {
            return Ok(());
        }
        let mut fresh = Vec::with_capacity(self.freed.len());
        for number in std::mem::take(&mut self.freed) {
            fresh.push(self.overwrite(number)?);
        }
        if !planted::is(planted::Bug::SkipSlotSync) {
            self.slots.sync()?;
        }
        // The freed slots hold fresh keys now: they are prepared.
        self.ready.append(&mut fresh);
        Ok(())
    }

    /// Prepares slots while there is nothing else to do.
    pub fn idle(&mut self) -> Result<(), Fault> {
        if self.ready.len() < LOW { self.prepare(BATCH) } else { Ok(()) }
    }

    fn prepare(&mut self, count: usize) -> Result<(), Fault> {
        self.destroy()?;
        if self.ready.len() >= count {
            return Ok(());
        }
        let mut fresh = Vec::with_capacity(count);
        for _ in self.ready.len()..count {
            let number = self.next;
            self.next = number.checked_add(1).ok_or_else(|| Fault::Damaged("key file is full".into()))?;
            fresh.push(self.overwrite(number)?);
        }
        self.slots.sync()?;
        // Lower numbers are taken first, so that the file stays short.
        fresh.reverse();
        self.ready.splice(0..0, fresh);
        Ok(())
    }

    fn overwrite(&mut self, number: u32) -> Result<Slot, Fault> {
        let mut key = Zeroizing::new([0; SLOT_LEN]);
        (self.random)(key.as_mut());
        self.slots.overwrite(number, &key)?;
        Ok(Slot { number, key })
    }

    /// The key of a slot in use.
    pub fn key(&self, slot: u32) -> Result<Zeroizing<[u8; SLOT_LEN]>, Fault> {
        self.slots.read(slot)
    }
}
