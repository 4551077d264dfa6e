//! One record with all that shows who signed it and when, in one file: checked on a machine that has no node.
//!
//! ```text
//! file    = "tocsin evidence 1\n" | label "\n" | length of the frame 4, big-endian | frame | digest 32
//! label   = how it may be handled, one line for people: `TLP:GREEN; ...`
//! frame   = log, page, opened, charters, certificates, revocations, rosters, extension       bincode, in its one form
//! page    = the record with its body, and the headers behind it up to one that its author signed
//! digest  = SHA-256 of a tag and all bytes before it: tells a damaged file from one that was made up
//! ```
//!
//! Nothing in the file is believed for standing in it. The mesh is the hash of its first charter, each later version is signed
//! by the stewards of the one before, the last that matters lists the org, the org's root signed the certificate of the node,
//! and the node's key the run. What remains to be compared by another path is the mesh's id, or its fingerprint.
//!
//! A sealed record is proven as it was signed, which is sealed. What it says comes either as the word of who made the file
//! ([`Opened::Told`]), or with the key by which it opens ([`Opened::Key`]).

mod check;
mod form;

pub use check::{Circle, Fault, Findings, Proven};
pub use form::{Evidence, FILE_MAX, FileError, Opened, label};
