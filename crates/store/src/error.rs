//! What can go wrong, and whose fault it is.

use tocsin_record::page::PageError;

use crate::kv::Fault;

/// Why the store refused or failed. All but [`StoreError::Misuse`] end the process (I10).
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk failed, or holds what was not written.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A stored page does not read: damage that a checksum did not see, or a fault of this program.
    #[error("page of log {log} at {seq}: {source}")]
    Page {
        /// Number of the log.
        log: u32,
        /// First record of the page.
        seq: u64,
        /// What is wrong with it.
        source: PageError,
    },
    /// A write failed before. What was acknowledged is on the disk; nothing more is taken.
    #[error("the store stopped after a disk fault; restart the node")]
    Poisoned,
    /// The caller asked for what the store's rules forbid; nothing was changed.
    #[error("store: {0}")]
    Misuse(&'static str),
}

impl StoreError {
    /// Whether the store's files are damaged, so that setting them aside and refilling from peers helps.
    /// A full disk, a missing permission or another process holding the store is none of that.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Page { .. } | Self::Fault(Fault::Damaged(_) | Fault::Database { .. }) => true,
            Self::Fault(Fault::Io { source, .. }) => {
                matches!(source.kind(), std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidData)
            }
            Self::Fault(Fault::InUse(_) | Fault::Injected(_)) | Self::Poisoned | Self::Misuse(_) => false,
        }
    }
}
