//! A node's home and store in one file, encrypted under a passphrase: written and read in one pass, in bounded memory.
//!
//! ```text
//! file    = "tocsin backup 1\n" | salt 32 | chunks
//! key     = scrypt (RFC 7914) of the passphrase and the salt, N = 2^17, r = 8, p = 1
//! chunk   = AES-256-GCM of at most 64 KiB | tag 16        all are full but the last, which alone may be shorter
//! nonce   = number of the chunk 11, big-endian | 1 for the last, else 0         the salt makes each file's key its own
//! content = parts, each its length 4, big-endian | part   bincode, in its one form
//! parts   = head, files, pieces of the store, end         the end counts the others
//! ```
//!
//! What stands before the chunks is authenticated with each. So a chunk that was changed, moved, taken out or put in from another
//! file does not open, nor does the last before the end (the construction is STREAM, Hoang, Reyhanitabar, Rogaway and Vizár
//! 2015). What was read before that was found is no more to be used: it is for the reader to put it where nobody looks.
//!
//! Pure: bytes from whom reads, bytes to whom writes, and the salt from the caller.

mod content;
mod sealed;

pub use content::{End, FILE_MAX, Head, Part, Parts, PartsError, PartsOut, STORE_PART_MAX};
pub use sealed::{OpenError, Opened, SALT_LEN, Sealing};
