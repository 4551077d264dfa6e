//! `backup`: the store as it is at one moment, piece by piece.

use tocsin_store::Snapshot;

use super::{Caller, Node, NodeError};

impl Node {
    /// The store as it is now; what comes later is not in it. Reading it holds up nobody.
    ///
    /// # Errors
    /// When the core has ended, or the disk failed.
    pub async fn snapshot(&self, caller: &Caller) -> Result<Snapshot, NodeError> {
        caller.note_deed("backup", &[]);
        Ok(self.engine.snapshot().await??)
    }
}
