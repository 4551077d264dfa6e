//! From a home to an open mesh: documents, keys, the store and its indices.

use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use tocsin_clock as clock;
use tocsin_home::config::{AtLast, Config, Hold};
use tocsin_home::identity::PapersError;
use tocsin_home::{Home, HomeError, Identity, keys};
use tocsin_policy::Policy;
use tocsin_protocol::{Directory, HoldDefault, Index, Meter};
use tocsin_seal::{Opener, SealingKey};
use tocsin_store::{DiskKv, KeyFile, Store, StoreError};
use tracing::{error, info, warn};

use crate::core::Mesh;
use crate::recovery::DamagedStore;

/// A home could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The home.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// No mesh was founded or joined.
    #[error(
        "this node is in no mesh yet: `tocsin --home {0} mesh found --name NAME`, or `tocsin --home {0} join INVITE`"
    )]
    NoMesh(String),
    /// The mesh's documents do not hold.
    #[error(
        "the mesh's documents in {home} do not hold: {source}. Restore documents/mesh.documents from a backup, or join \
         again: `tocsin --home {home} join INVITE`"
    )]
    Papers {
        /// Which home.
        home: String,
        /// Which document, and what is wrong with it.
        source: PapersError,
    },
    /// The charter does not know this org.
    #[error(
        "the charter does not have this node's org: a steward took it out, or did not add it yet. Ask one to add its card, and \
         join again with the invitation. Nothing of what is here was lost"
    )]
    NotMember,
    /// The store.
    #[error("the store in {home} failed: {source}{}", mend(source))]
    Store {
        /// Which home.
        home: String,
        /// What the store met with.
        source: StoreError,
    },
}

/// What is open before the network is.
pub struct Opened {
    pub(crate) mesh: Mesh,
    /// Who this node is.
    pub identity: Identity,
}

/// Opens what lies in a home, under a policy: seconds, in which the calling thread is busy.
///
/// # Errors
/// [`OpenError`].
pub fn open(home: &Home, config: &Config, policy: Arc<Policy>) -> Result<Opened, OpenError> {
    let identity = home.identity()?;
    let papers = home.papers()?.ok_or_else(|| OpenError::NoMesh(home.path().display().to_string()))?;
    let no_mesh = |source| OpenError::Papers { home: home.path().display().to_string(), source };
    let checked = papers.check().map_err(no_mesh)?;
    if checked.charter.org(identity.org()).is_none() {
        return Err(OpenError::NotMember);
    }
    let documents: Vec<_> =
        papers.charters.iter().chain(&papers.certificates).chain(&papers.revocations).cloned().collect();
    let mut directory = Directory::load(&documents).map_err(|source| no_mesh(source.into()))?;
    for name in config.not_counted.iter().filter(|name| directory.charter().org_named(name).is_none()) {
        warn!(name, "`not_counted` names an org that is not in the mesh: `tocsin mesh show` lists them");
    }
    for name in config.trust.keys().filter(|name| directory.charter().org_named(name).is_none()) {
        warn!(name, "`[trust]` names an org that is not in the mesh: `tocsin mesh show` lists them");
    }
    directory.set_trust(config.trust.clone());

    let random_key = || -> Result<[u8; 16], HomeError> {
        let seed = keys::fresh_seed()?;
        Ok(std::array::from_fn(|at| seed[at]))
    };
    let index_key = random_key()?;
    let seed = random_key()?;
    let started = clock::monotonic_ms();
    let mut index = Index::new(&index_key);
    let store = open_store(home, &identity, directory.mesh(), &index_key, &mut index)?;
    info!(
        records = store.reader().counts().records,
        observables = index.accepted.len(),
        ms = clock::monotonic_ms() - started,
        "the store is open"
    );
    let mesh_config = tocsin_protocol::Config {
        boot: boot_id(),
        seed: u64::from_be_bytes(std::array::from_fn(|at| seed[at])),
        index_key,
        meter: Meter::Thread { nanos: clock::thread_nanos },
        hold: hold_default(&config.hold),
    };
    let certificate = identity
        .card
        .certificates
        .iter()
        .find(|signed| {
            tocsin_record::document::Certificate::open(signed)
                .is_ok_and(|known| known == identity.certificate)
        })
        .cloned()
        .ok_or_else(|| HomeError::Mixed(home.path().to_owned()))?;
    let own = tocsin_protocol::Identity {
        secret: tocsin_record::keys::Secret::from_seed(&identity.record.seed()),
        org: identity.org(),
        certificate,
        random: ChaCha20Rng::from_seed(*keys::fresh_seed().map_err(HomeError::from)?),
    };
    if !own.secret.is_locked() {
        warn!(
            "the system locks no memory (RLIMIT_MEMLOCK): the key that signs records may be swapped out to its disk"
        );
    }
    let now = tocsin_protocol::Now { wall: clock::now_ms(), mono: clock::monotonic_ms() };
    let mesh = Mesh::open(mesh_config, own, directory, store, policy, index, now)
        .map_err(|source| store_error(home, source))?;
    Ok(Opened { mesh, identity })
}

/// What becomes of held records, as the core has it.
fn hold_default(hold: &Hold) -> HoldDefault {
    let days = hold.after_days;
    match hold.default {
        AtLast::Keep => HoldDefault::Keep,
        AtLast::Accept => HoldDefault::Accept { days },
        AtLast::Refuse => HoldDefault::Refuse { days },
    }
}

/// What an operator can do about a failed store.
fn mend(source: &StoreError) -> &'static str {
    match source {
        StoreError::Fault(tocsin_store::Fault::Io { source, .. }) => match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                "; make room on the disk and start the node again, nothing that was acknowledged is lost"
            }
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                "; run the node as the user who owns its home, on a disk that can be written to"
            }
            _ => "",
        },
        source if source.is_damage() => {
            "; move the folder `store` of the home away and start the node again: it refills from its partners"
        }
        _ => "",
    }
}

pub(crate) fn store_error(home: &Home, source: StoreError) -> OpenError {
    OpenError::Store { home: home.path().display().to_string(), source }
}

/// Opens the store; a damaged log is set aside, or all of a damaged store, and refills from the peers.
fn open_store(
    home: &Home,
    identity: &tocsin_home::Identity,
    mesh: tocsin_record::MeshId,
    index_key: &tocsin_matcher::Key,
    index: &mut Index,
) -> Result<Store<DiskKv, KeyFile>, OpenError> {
    let folder = home.store_folder();
    let open = |index: &mut Index| {
        let random: tocsin_store::Random = Box::new(|bytes: &mut [u8]| {
            // A key that is not random would be no key: without randomness the node must not go on.
            getrandom::fill(bytes).expect("the system gives randomness once it has booted");
        });
        let opener = Opener::new(identity.node(), vec![SealingKey::from_seed(&identity.sealing)]);
        let mut filler = index.filler();
        tocsin_store::open_dir(&folder, mesh, random, opener, &mut |found| filler.add(&found))
    };
    match open(index) {
        Err(source) if source.is_damage() => {
            let aside = tocsin_store::set_aside(&folder).map_err(|source| store_error(home, source))?;
            error!(
                %source,
                aside = %aside.display(),
                "the store is damaged: it was set aside, and a new one refills from the peers. What no partner holds, \
                 such as the own circle, does not come back: import it again. The folder set aside is destroyed when \
                 the refill is complete, and not before the time `keep_damaged` of the configuration is over; copy it \
                 before that to keep it"
            );
            DamagedStore::new(aside);
            *index = Index::new(index_key);
            open(index).map_err(|source| store_error(home, source))
        }
        opened => {
            let store = opened.map_err(|source| store_error(home, source))?;
            for damaged in store.damaged() {
                error!(
                    author = %damaged.log.author, circle = %damaged.log.circle, epoch = damaged.log.epoch,
                    from = damaged.from, what = %damaged.what,
                    "a log in the store is damaged: what stands in it from this record on was set aside beside the store, \
                     and comes back from the partners that have it"
                );
            }
            Ok(store)
        }
    }
}

/// Names this boot of the machine; without one, each start counts as a boot, which only opens a log more.
fn boot_id() -> [u8; 16] {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().parse::<uuid::Uuid>().map_or_else(|_| *uuid::Uuid::new_v4().as_bytes(), |id| *id.as_bytes())
}
