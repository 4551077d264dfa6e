//! Opening: everything that lives in memory is rebuilt from the pages in one pass, which others may watch.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};

use bytes::Bytes;
use tocsin_record::{Header, MeshId, OrgId};
use tocsin_seal::Opener;

use crate::aside::{DamagedLog, Keep, LogAside};
use crate::disk::DiskKv;
use crate::error::StoreError;
use crate::keyfile::KeyFile;
use crate::keys::{Keys, Kind};
use crate::kv::{Fault, Kv};
use crate::outcome::{LogNo, RecordRef, Stamped};
use crate::pages::Cache;
use crate::scan::{Scan, bad_key};
use crate::slots::Slots;
use crate::state::Load;
use crate::store::{Shared, Staged, Store};
use crate::vault::{self, Random, Vault};

/// Sees every record once while a store is opened, on a thread of its own.
pub type Visit<'a> = &'a mut (dyn FnMut(Found<'_>) + Send);

/// A record that was found while the store was opened, in order of log and number.
#[derive(Debug)]
pub struct Found<'a> {
    /// Where it is.
    pub place: RecordRef,
    /// The org that wrote it.
    pub org: OrgId,
    /// Its header; the hash of a body that is here may be zero.
    pub header: &'a Header,
    /// The kind of its body and what is read of it, if it is here, wherever it rests, and opens.
    pub body: Option<(u16, &'a Bytes)>,
    /// What became of it.
    pub stamped: Stamped,
    /// The name of the rule that decided so.
    pub rule: &'a str,
}

/// Opens the store of a mesh in a directory, or creates it. `random` makes keys: it must be the machine's own.
/// `opener` opens what is sealed to this node. `visit` sees every record once, so that other indices are rebuilt in the same
/// pass.
///
/// # Errors
/// If it cannot be opened. Where [`StoreError::is_damage`] says so, [`crate::set_aside`] and opening again helps: the node
/// refills from its peers. Damage that is of one log alone is no error: see [`Store::damaged`].
pub fn open_dir(
    dir: &Path,
    mesh: MeshId,
    random: Random,
    opener: Opener,
    visit: Visit<'_>,
) -> Result<Store<DiskKv, KeyFile>, StoreError> {
    create_private(dir)?;
    let kv = DiskKv::open(dir)?;
    let slots = KeyFile::open(&dir.join("keys"))?;
    let (kv, slots) = (Arc::new(kv), Arc::new(slots));
    Store::open_with(kv, slots, mesh, (random, opener), visit, &mut |log, from, keep_all| {
        let mut aside = LogAside::create(dir, log, from)?;
        keep_all(&mut |key, value, slot| aside.keep(key, value, slot))?;
        Ok(aside.finish()?)
    })
}

pub(crate) fn create_private(dir: &Path) -> Result<(), Fault> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(Fault::io(format!("creating {}", dir.display())))
}

/// Sets aside what is removed of a log from a record on, which it is given one after the other.
type SetAside<'a> = &'a mut dyn FnMut(
    LogNo,
    u64,
    &mut dyn FnMut(Keep<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError>;

impl<K: Kv, S: Slots> Store<K, S> {
    /// Opens a store over its seams. See [`open_dir`]. What is damaged in a log is removed and kept nowhere.
    ///
    /// # Errors
    /// On a disk fault or damage.
    pub fn open(
        kv: Arc<K>,
        slots: Arc<S>,
        mesh: MeshId,
        random: Random,
        opener: Opener,
        visit: Visit<'_>,
    ) -> Result<Self, StoreError> {
        Self::open_with(kv, slots, mesh, (random, opener), visit, &mut |_, _, all| all(&mut |_, _, _| Ok(())))
    }

    fn open_with(
        kv: Arc<K>,
        slots: Arc<S>,
        mesh: MeshId,
        (mut random, opener): (Random, Opener),
        visit: Visit<'_>,
        set_aside: SetAside<'_>,
    ) -> Result<Self, StoreError> {
        let keys = Keys::new(mesh);
        let mut secret = [0; 16];
        random(&mut secret);
        let (low, high) = secret.split_at(8);
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
        let mut scan = Scan::new(slots.as_ref(), &keys, &opener, (number(low), number(high)));
        scan.read(kv.as_ref(), mesh, visit)?;
        let cut = |place: &RecordRef, scan: &Scan<'_, S>| {
            scan.cuts.get(&place.log).is_some_and(|(from, _)| place.seq >= *from)
        };
        if !scan.bodies.keys().all(|place| cut(place, &scan)) {
            return Err(Fault::Damaged("a body without its record".into()).into());
        }
        let Scan { mut state, mut load, used, wanted, expiry, next_arrival, entered, mut cuts, .. } = scan;
        // Where nothing at all reads, it is not a log that is damaged.
        if entered == 0
            && let Some((_, (_, error))) = cuts.pop_first()
        {
            return Err(error);
        }
        let mut staged = Staged::default();
        let mut left = Left::default();
        let mut damaged = Vec::new();
        for (no, (from, error)) in cuts {
            let mut all = |keep: Keep<'_>| {
                take_out(kv.as_ref(), slots.as_ref(), &keys, (no, from), &mut staged, &mut left, keep)
            };
            set_aside(no, from, &mut all)?;
            let log = state.log_mut(no).ok_or_else(bad_key)?;
            log.bodies.split_off(&from);
            damaged.push(DamagedLog { log: log.key, org: log.org, from, what: error.to_string() });
        }
        state.take(&mut load);
        state.published = next_arrival;
        let Left { pages, bodies, .. } = left;
        let mut vault =
            Vault::open(Arc::clone(&slots), random, |slot| used.contains(&slot) || pages.contains(&slot))?;
        // A tail that was damaged in its middle shares its slot with what remains of it.
        pages.difference(&used).chain(&bodies).for_each(|slot| vault.leave(*slot));
        let shared = Shared {
            kv,
            slots,
            keys,
            state: RwLock::new(state),
            turn: Mutex::new(()),
            cache: Cache::default(),
            opener,
        };
        Ok(Self {
            shared: Arc::new(shared),
            vault,
            staged,
            next_arrival,
            wanted,
            expiry,
            load: Load::default(),
            damaged,
            poisoned: false,
        })
    }

    /// The logs that were found damaged when the store was opened. They end before what is damaged from the next commit
    /// on; a log of this node must not go on from there.
    #[must_use]
    pub fn damaged(&self) -> &[DamagedLog] {
        &self.damaged
    }
}

/// The slots of what is removed. That of a body is its own, and counts as used.
#[derive(Default)]
struct Left {
    pages: BTreeSet<u32>,
    bodies: BTreeSet<u32>,
}

/// Stages the removal of all that stands in a log from a record on, and hands out what reads of it. Its slots are in
/// `left` then.
fn take_out<K: Kv, S: Slots>(
    kv: &K,
    slots: &S,
    keys: &Keys,
    (log, from): (LogNo, u64),
    staged: &mut Staged,
    left: &mut Left,
    keep: Keep<'_>,
) -> Result<(), StoreError> {
    staged.destroy = true;
    for kind in [Kind::Notes, Kind::Body, Kind::Page] {
        let (begin, end) = (keys.at(kind, log, from), keys.at(kind, LogNo(log.0 + 1), 0));
        let mut kept = Ok(());
        kv.range(&begin, &end, &mut |key, value| {
            staged.batch.remove(key.to_vec());
            if kind != Kind::Notes
                && let Ok(value) = value
                && let Ok(sealed) = vault::parse(&value)
            {
                let slot = sealed.head.slot;
                let left = if kind == Kind::Body { &mut left.bodies } else { &mut left.pages };
                left.insert(slot);
                kept = slots.read(slot).and_then(|slot| keep(key, &value, &slot));
            }
            if kept.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        kept?;
    }
    Ok(())
}
