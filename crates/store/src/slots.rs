//! The seam to the key file: numbered slots of 32 bytes that are overwritten in place.
//!
//! Destroying a key here destroys what it encrypts, which a log-structured database cannot promise (I4).

use zeroize::Zeroizing;

use crate::kv::Fault;

/// Bytes of one slot.
pub const SLOT_LEN: usize = 32;

/// Numbered slots that are overwritten in place.
///
/// After a crash a slot that was written since the last `sync` holds the old bytes, the new ones, or a mixture.
pub trait Slots: Send + Sync + 'static {
    /// The bytes of slot `n`; zeros past the end.
    ///
    /// # Errors
    /// On a disk fault.
    fn read(&self, n: u32) -> Result<Zeroizing<[u8; SLOT_LEN]>, Fault>;

    /// Overwrites slot `n`, growing the file if it lies past the end.
    ///
    /// # Errors
    /// On a disk fault.
    fn overwrite(&self, n: u32, bytes: &[u8; SLOT_LEN]) -> Result<(), Fault>;

    /// Returns when every overwrite before is on the disk.
    ///
    /// # Errors
    /// On a disk fault.
    fn sync(&self) -> Result<(), Fault>;

    /// Number of slots that the file has room for.
    ///
    /// # Errors
    /// On a disk fault.
    fn count(&self) -> Result<u32, Fault>;
}
