//! What one node has for others, or says that it has, in a file that is carried by hand: on a stick, by mail.
//!
//! ```text
//! file    = "tocsin bundle 1\n" | length of the head 4, big-endian | head | content, encrypted | tag 16
//! head    = salt 32, which mesh 16, commitment 32, wraps                   bincode, in its one form
//! content = signature 64 | length of the frame 4, big-endian | frame | zeros, up to the next 64 KiB
//! frame   = cover, records or frontier, extension                          bincode, in its one form
//! cover   = mesh, maker's certificate, time, orgs that it is for
//! ```
//!
//! The content is encrypted (AES-256-GCM) under a key that is wrapped for each node of the orgs it is for
//! ([`tocsin_seal::wrap_parcel`]): who finds the stick learns how much is on it, and neither of whom nor for whom. What stands in
//! clear is authenticated with it, and signed with the frame by the node that made the file, so that nobody who may read it
//! hands it on as if it were for others.
//!
//! Nothing in it is believed for standing there. The records are runs that their authors signed, the documents have their own
//! signatures: all of it goes through the doors that what comes by a link goes through.
//!
//! Pure: no clock, and randomness is handed in.

mod form;

pub use form::{Bundle, around, open, seal};
pub use form::{
    BundleError, Content, Cover, FILE_MAX, Fork, Frontier, HEAD_MAX, Late, MISSING_MAX, Packed, Reached,
    Records, Said,
};
