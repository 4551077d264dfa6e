//! Sealing one body, and opening it.
//!
//! A sealed record's header names the suite, shows no kind, TLP and flags, and begins its extension with
//! [`Cover`]: `seq of the key record 8 | day 2 | commitment 32`, big-endian. All of the header but the body's own length and hash
//! is authenticated with the body, so that no body opens under another header.

use aes_gcm::{AeadInOut as _, Aes256Gcm, KeyInit as _, Nonce, Tag};
use hpke::rand_core::CryptoRng;
use tocsin_record::codec::InflateError;
use tocsin_record::header::{BODY_MAX, EXTENSION_MAX, body_hash};
use tocsin_record::{Bytes, Class, Header, Plain};

use crate::SUITE;
use crate::form::{self, NONCE, TAG};
use crate::period::{DayKey, KeyId, PeriodKey};

/// What stands in a header behind its extension: the body's length and hash.
const BEHIND_EXTENSION: usize = 4 + 32;

/// By which key a body is sealed, as its header says at the beginning of its extension; what follows there is for later versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cover {
    /// Number of the key record, in the log of the record itself.
    pub key: u64,
    /// The day of the period.
    pub day: u16,
    /// What the day's key commits to.
    pub commitment: [u8; 32],
}

impl Cover {
    const LEN: usize = 8 + 2 + 32;

    /// What a sealed header says of its key.
    ///
    /// # Errors
    /// [`OpenError`], if it is not sealed, not in a suite that this node knows, or broken.
    pub fn of(header: &Header) -> Result<Self, OpenError> {
        match header.suite {
            0 => return Err(OpenError::Unsealed),
            SUITE => {}
            newer => return Err(OpenError::Suite(newer)),
        }
        if (header.kind, header.tlp, header.flags) != (0, 0, 0) {
            return Err(Broken::Header("kind, TLP and flags").into());
        }
        let rest = header.extension.as_slice();
        let short = Broken::Header("extension");
        let Some((key, rest)) = rest.split_first_chunk() else { return Err(short.into()) };
        let Some((day, rest)) = rest.split_first_chunk() else { return Err(short.into()) };
        let Some((commitment, _)) = rest.split_first_chunk() else { return Err(short.into()) };
        let key = u64::from_be_bytes(*key);
        // A key stands before what it seals, so that who reads the log in order has it.
        if key == 0 || key >= header.seq {
            return Err(Broken::Header("key").into());
        }
        Ok(Self { key, day: u16::from_be_bytes(*day), commitment: *commitment })
    }

    pub(crate) fn write(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        out[..8].copy_from_slice(&self.key.to_be_bytes());
        out[8..10].copy_from_slice(&self.day.to_be_bytes());
        out[10..].copy_from_slice(&self.commitment);
        out
    }
}

/// Why a body is not sealed. The header was not touched then.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SealError {
    /// The header says that its body is sealed already.
    #[error("the body is sealed already")]
    Sealed,
    /// Control records are read before there are keys.
    #[error("control records are not sealed")]
    Control,
    /// The key is of another log, or its record does not stand before this one.
    #[error("the key is not one of this log before the record")]
    Place,
    /// The record's time is after the period, or before it.
    #[error("the record is not of the key's period: a new key is due")]
    Due,
    /// The key of the record's day is destroyed.
    #[error("the key of the record's day was destroyed")]
    Destroyed,
    /// The extension has no room for what a sealed header says.
    #[error("the extension has {0} bytes, which leaves no room for the key's name")]
    Extension(usize),
    /// Compressed and with what sealing adds it is over 1 MiB.
    #[error("the body has {0} bytes and is over {BODY_MAX} when it is sealed: split the report")]
    Long(usize),
}

/// Why a body does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not sealed.
    #[error("the body is not sealed")]
    Unsealed,
    /// It is of a suite that this node does not know: newer than it, so held.
    #[error("a body of suite {0} is newer than this node")]
    Suite(u8),
    /// The key is not here: its record did not come yet, or its wraps are not for this node.
    #[error("sealed by {0}, which this node does not hold")]
    NoKey(KeyId),
    /// The key of that day was destroyed here.
    #[error("sealed by {key}, of which this node destroyed day {day}")]
    Destroyed {
        /// The key.
        key: KeyId,
        /// The day.
        day: u16,
    },
    /// It can open for nobody who holds the same key: its author's fault, for good.
    #[error("sealed body: {0}")]
    Broken(#[from] Broken),
}

/// What is wrong with a sealed body whose key is here.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The header says what no sealed header says.
    #[error("its header's {0} is not that of a sealed record")]
    Header(&'static str),
    /// It has no length that a sealed body has.
    #[error("{0} bytes is no length of a sealed body")]
    Length(usize),
    /// The header names another day than its time lies in.
    #[error("its header names day {0} of the key, its time is of another")]
    Day(u16),
    /// The key commits to something else: its author gave others another one.
    #[error("its key is not the one that its header commits to")]
    Commitment,
    /// It was changed, or sealed under another header.
    #[error("it does not open under its header")]
    Cipher,
    /// What it opens to is not the one form.
    #[error("its {0} is not as it must be")]
    Form(&'static str),
    /// What it opens to does not decompress.
    #[error("it {0}")]
    Inflate(#[from] InflateError),
}

impl PeriodKey {
    /// Seals a body under the header that it would have unsealed, with its place, time and all, and makes that the header of
    /// the sealed record: kind, TLP and flags leave it, the key's name comes before what its extension holds, and length and
    /// hash become those of what is returned.
    ///
    /// Nonces are random, so one day's key seals at most 2^32 bodies (SP 800-38D, 8.3), which quotas keep far below. It destroys no key:
    /// [`PeriodKey::forget_before`] does.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn seal(
        &mut self,
        header: &mut Header,
        body: &[u8],
        random: &mut impl CryptoRng,
    ) -> Result<Bytes, SealError> {
        if header.suite != 0 {
            return Err(SealError::Sealed);
        }
        if header.class == Class::Control {
            return Err(SealError::Control);
        }
        let plain = form::plain(header.kind, body).ok_or(SealError::Long(body.len()))?;
        self.seal_plain(header, plain, random)
    }

    /// Seals what stands behind the nonce's room in `plain`, of whatever form.
    fn seal_plain(
        &mut self,
        header: &mut Header,
        mut plain: Vec<u8>,
        random: &mut impl CryptoRng,
    ) -> Result<Bytes, SealError> {
        let seq = self.id().seq;
        if !self.is_of(header) || seq >= header.seq {
            return Err(SealError::Place);
        }
        let day = self.day_of(header.time).ok_or(SealError::Due)?;
        if header.extension.len() > EXTENSION_MAX - Cover::LEN {
            return Err(SealError::Extension(header.extension.len()));
        }
        let key = self.of_day(day).ok_or(SealError::Destroyed)?;
        let cover = Cover { key: seq, day, commitment: key.commitment };
        header.extension.splice(..0, cover.write());
        (header.suite, header.kind, header.tlp, header.flags) = (SUITE, 0, 0, 0);

        let mut nonce = [0; NONCE];
        random.fill_bytes(&mut nonce);
        plain[..NONCE].copy_from_slice(&nonce);
        let tag = key
            .cipher
            .encrypt_inout_detached(&Nonce::from(nonce), &bound(header), plain[NONCE..].as_mut().into())
            .expect("a body is far below the cipher's limit of 64 GiB");
        plain.extend_from_slice(&tag);
        header.body_len = u32::try_from(plain.len()).expect("checked: at most 1 MiB");
        header.body_hash = body_hash(&plain);
        Ok(plain.into())
    }

    /// Seals any plain form: what an author could who keeps to nothing but the cipher. For tests of what reads it.
    ///
    /// # Errors
    /// As [`Self::seal`].
    #[cfg(feature = "testing")]
    pub fn seal_any(
        &mut self,
        header: &mut Header,
        plain: &[u8],
        random: &mut impl CryptoRng,
    ) -> Result<Bytes, SealError> {
        let plain = [&[0; NONCE][..], plain].concat();
        if plain.len() + TAG > BODY_MAX {
            return Err(SealError::Long(plain.len()));
        }
        self.seal_plain(header, plain, random)
    }

    /// Opens a body whose header names this key.
    pub(crate) fn open(&mut self, header: &Header, cover: &Cover, body: &[u8]) -> Result<Plain, OpenError> {
        if !form::is_length(body.len()) || body.len() != header.body_len as usize {
            return Err(Broken::Length(body.len()).into());
        }
        if self.day_of(header.time) != Some(cover.day) {
            return Err(Broken::Day(cover.day).into());
        }
        let id = self.id();
        let key = self.of_day(cover.day).ok_or(OpenError::Destroyed { key: id, day: cover.day })?;
        if key.commitment != cover.commitment {
            return Err(Broken::Commitment.into());
        }
        let plain = decrypt(key, header, body).ok_or(Broken::Cipher)?;
        Ok(form::read(&plain)?)
    }
}

/// Opens a body by the key of its day alone, as [`crate::Opener::body_key`] gives it to show one body to who holds no keys.
///
/// What the key commits to cannot be looked at: that takes the secret of the day, which opens all later days of the period as
/// well. Nobody but the author can have made a body that opens by two keys.
///
/// # Errors
/// [`OpenError`].
pub fn open_by(key: &[u8; 32], header: &Header, body: &[u8]) -> Result<Plain, OpenError> {
    Cover::of(header)?;
    if !form::is_length(body.len()) || body.len() != header.body_len as usize {
        return Err(Broken::Length(body.len()).into());
    }
    let plain = decrypt_by(&Aes256Gcm::new(&(*key).into()), header, body).ok_or(Broken::Cipher)?;
    Ok(form::read(&plain)?)
}

pub(crate) fn decrypt(key: &DayKey, header: &Header, body: &[u8]) -> Option<Vec<u8>> {
    decrypt_by(&key.cipher, header, body)
}

fn decrypt_by(cipher_of_day: &Aes256Gcm, header: &Header, body: &[u8]) -> Option<Vec<u8>> {
    let (nonce, rest) = body.split_first_chunk::<NONCE>()?;
    let (cipher, tag) = rest.split_last_chunk::<TAG>()?;
    let mut plain = cipher.to_vec();
    cipher_of_day
        .decrypt_inout_detached(
            &Nonce::from(*nonce),
            &bound(header),
            plain.as_mut_slice().into(),
            &Tag::from(*tag),
        )
        .ok()?;
    Some(plain)
}

/// What a body is bound to: its header up to the body's length and hash.
pub(crate) fn bound(header: &Header) -> Vec<u8> {
    let mut bytes = header.encode();
    bytes.truncate(bytes.len() - BEHIND_EXTENSION);
    bytes
}
