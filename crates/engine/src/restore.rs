//! A store as it was at one moment, and a home's store made of that.

use tocsin_home::Home;
use tocsin_protocol::NOT_RESTORED;
use tocsin_record::MeshId;
use tocsin_store::{Snapshot, StoreError};

use crate::Engine;
use crate::core::AskError;
use crate::open::{OpenError, store_error};

impl Engine {
    /// The store as it is between two commits: of what is committed all, of what comes later nothing.
    ///
    /// # Errors
    /// When the core has ended, or, within, on a disk fault.
    pub async fn snapshot(&self) -> Result<Result<Snapshot, StoreError>, AskError> {
        self.core.look(|mesh| mesh.reader().snapshot()).await
    }
}

/// The store of a home that is made of a snapshot.
pub struct Restoring {
    store: tocsin_store::Restoring,
    home: Home,
}

impl Restoring {
    /// In a home that has none.
    ///
    /// # Errors
    /// The disk's.
    pub fn create(home: &Home, mesh: MeshId) -> Result<Self, OpenError> {
        let store = tocsin_store::Restoring::create(&home.store_folder(), mesh, NOT_RESTORED);
        let store = store.map_err(|source| store_error(home, source))?;
        Ok(Self { store, home: home.clone() })
    }

    /// Takes a piece.
    ///
    /// # Errors
    /// The disk's, or when it is no piece of a store of this mesh.
    pub fn take(&mut self, piece: &[u8]) -> Result<(), OpenError> {
        self.store.take(piece).map_err(|source| store_error(&self.home, source))
    }

    /// Returns when all is on the disk.
    ///
    /// # Errors
    /// The disk's.
    pub fn finish(self) -> Result<(), OpenError> {
        self.store.finish().map_err(|source| store_error(&self.home, source))
    }
}
