//! A store as it was at one moment, and a home's store made of that.

use tocsin_home::Home;
use tocsin_protocol::{NOT_RESTORED, NOT_RESTORED_WITH_CLOCK};
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

/// By which clock a restored node begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockOf {
    /// By what the snapshot knew of the time: a later one is in doubt until others or a person confirm it.
    Snapshot,
    /// By the machine's, for which a person vouches.
    Machine,
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
    pub fn create(home: &Home, mesh: MeshId, clock: ClockOf) -> Result<Self, OpenError> {
        let left_out = match clock {
            ClockOf::Snapshot => NOT_RESTORED,
            ClockOf::Machine => NOT_RESTORED_WITH_CLOCK,
        };
        let store = tocsin_store::Restoring::create(&home.store_folder(), mesh, left_out);
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
