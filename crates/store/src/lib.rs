//! Where records rest: pages in a sorted map, keys in slots that can be destroyed, and the indices in memory.
//!
//! ```text
//! Verified run --Store::append--> staged --commit--> Kv (batch, flush) --> published --> Reader
//!                                                     Slots (a key a page; destroyed to erase it)
//! ```
//!
//! All logic sits above the two seams [`kv::Kv`] and [`slots::Slots`], each with a real and a faulty side, and is
//! owned by one thread; [`Reader`]s on any thread see what is committed. The only crate that names sled.
//!
//! Invariants held here: an acknowledged record survives a crash; a disk fault stops everything behind it (I10);
//! what was erased cannot be brought back from the disk (I4).

mod append;
mod aside;
pub mod attic;
mod change;
mod commit;
mod compact;
pub mod disk;
pub mod error;
mod expiry;
pub mod faulty;
mod journal;
pub mod keyfile;
mod keys;
pub mod kv;
mod logs;
mod open;
mod order;
mod outcome;
mod pages;
mod reader;
mod receipts;
mod remarks;
mod reports;
mod scan;
mod sealed;
pub mod slots;
mod snapshot;
mod state;
mod store;
#[cfg(test)]
mod tests;
mod values;
mod vault;
mod wire;

pub use append::Appended;
pub use aside::{DamagedLog, aside, destroy_aside, set_aside};
pub use disk::DiskKv;
pub use error::StoreError;
pub use expiry::Expired;
pub use keyfile::KeyFile;
pub use kv::{Fault, Kv};
pub use open::{Found, Visit, open_dir};
pub use outcome::{BodyState, LOGS_MAX, LogNo, Outcome, RecordRef, SEQ_MAX, Stamped, Verdict};
pub use reader::{Evidence, LogInfo, Neighbours, Reader, Stored};
pub use receipts::{Acknowledgement, Fate};
pub use reports::Version;
pub use slots::Slots;
pub use snapshot::{Restoring, Snapshot};
pub use state::{Counts, Standing, Withdrawal};
pub use store::{Committed, Left, META_NAME_MAX, Store, report_subject};
pub use vault::Random;
pub use wire::{Bodies, WireRun};
