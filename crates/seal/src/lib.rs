//! Sealed bodies: what an author writes to a closed circle, only the nodes of its members read, also if it is captured
//! today and quantum computers come.
//!
//! ```text
//! key record    wrap: a fresh period key ---- X-Wing, HPKE ----> one wrap a node, and some for nobody
//!                            |
//!               HKDF         day 0 -> day 1 -> ... -> day 29        no day's key leads to the one before
//!                            |        |
//! its bodies    seal: compress, pad, AES-256-GCM ----> sealed body     open: the way back
//! ```
//!
//! An author wraps a new key at every change of the roster and every [`DAYS`] days. Who is given the key of a day reads that day
//! and the rest of the period, not the days before; who takes the sealing key of a node reads what was wrapped for it. A body is
//! bound to all of its header but its own length and hash, so it opens in its place alone, and each key commits to itself,
//! so that no ciphertext opens to two bodies.
//!
//! Suite 1: HPKE (RFC 9180) in base mode with X-Wing (draft-connolly-cfrg-xwing-kem, ML-KEM-768 and X25519),
//! HKDF-SHA256 and ChaCha20-Poly1305 for wraps; AES-256-GCM (SP 800-38D) for bodies; HKDF-SHA256 (RFC 5869) from day to day.
//!
//! Pure: no clock and no chance. Randomness is handed in as a [`rand_core::CryptoRng`], and all rests on it: it is the machine's,
//! or a generator seeded with 256 bits of that. One with a seed of 64 bits, as simulations have it, seals nothing.

mod body;
#[cfg(test)]
mod committing;
mod form;
mod node;
mod opener;
mod parcel;
mod period;
#[cfg(test)]
mod vectors;
mod wrap;

pub use body::{Broken, Cover, OpenError, SealError, open_by};
pub use form::SEALED_MIN;
pub use hpke::rand_core;
pub use node::{KeyError, PUBLIC_LEN, SealingKey, SealingPublic};
pub use opener::Opener;
pub use parcel::{
    ChangedParcel, PARCEL_NODES_MAX, PARCEL_SALT, PARCEL_TAG, ParcelError, ParcelKey, ParcelPlace,
    ParcelWraps, unwrap_parcel, wrap_parcel,
};
pub use period::{DAY_MS, DAYS, KeyId, PERIOD_LEN, PeriodKey};
pub use wrap::{
    AgainError, KeyPlace, NODES_MAX, UnwrapError, WRAP_LEN, WrapError, unwrap, unwrap_one, wrap, wrap_again,
};

/// X-Wing and AES-256-GCM, as headers, key records and certificates name it.
pub const SUITE: u8 = 1;
