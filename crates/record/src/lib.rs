//! What is said: records, the logs they stand in, the bodies they carry, and the documents that say who may speak.
//!
//! Pure: bytes in, values out. No clock, no randomness but what the caller hands in, no files, no network.
//!
//! ```text
//!   Draft --sign--> Run (bytes, headers, ids) --verify--> Verified     the only way to a record that is believed
//!                    ^                                       |
//!                    '------------- page::decode <-----------'         the same bytes rest on disk and go on the wire
//! ```
//!
//! Invariants held here: header and body bytes are kept exactly as they were signed; what leaves bytes over or
//! re-encodes differently is refused; a valid signature over any header of a log vouches for all before it.

pub mod body;
pub mod codec;
pub mod document;
pub mod header;
pub mod id;
pub mod keys;
pub mod log;
pub mod marking;
pub mod observable;
pub mod page;
pub mod planted;
pub mod run;
#[cfg(feature = "testing")]
pub mod testing;
mod washed;

pub use bytes::Bytes;
pub use header::{Class, Header};
pub use id::{BodyHash, CircleId, DocHash, LogId, MeshId, NodeKey, OrgId, RecordId};
pub use log::{LogKey, Tip};
pub use run::{Entry, Part, Plain, Run, Verified};
