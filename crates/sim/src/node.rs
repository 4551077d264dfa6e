//! One simulated machine: disks, clocks, an inbox, and the product's own [`Mesh`] while it is up.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use tocsin_policy::Policy;
use tocsin_protocol::{
    Config as MeshConfig, HoldDefault, Identity, Index, Input, LinkId, Mesh, Meter, Now, Session, Ticket,
};
use tocsin_record::keys::Secret;
use tocsin_seal::{Opener, SealingKey};
use tocsin_store::faulty::{FaultyKv, FaultySlots, KvSnapshot, SlotSnapshot};
use tocsin_store::{Store, StoreError};

use crate::cast::{BEGIN_MS, Cast};
use crate::dice::Dice;
use crate::faults::Moment;
use crate::liar::{Liar, Lies};
use crate::oracle::Sight;
use crate::oracle::durable::Promises;
use crate::workload::Published;

/// What waits for a node.
#[derive(Debug)]
pub enum Item {
    /// A frame, not decoded yet.
    Frame(LinkId, Bytes),
    /// Anything else.
    Input(Input),
}

/// A request that was not answered yet.
#[derive(Clone, Debug)]
pub enum Asked {
    /// New reports to a circle.
    Publish {
        /// Which circle.
        circle: usize,
        /// Subjects of the reports among the bodies, in order; `None` for other kinds.
        subjects: Vec<Option<tocsin_record::body::report::Subject>>,
    },
    /// A retraction.
    Retract,
    /// Documents.
    Documents,
}

/// A backup.
pub type Snapshot = (KvSnapshot, SlotSnapshot);

/// A machine.
pub struct Node {
    /// Its place in the cast.
    pub at: usize,
    /// Rises with every start, so that what a former life left behind is known.
    pub life: u32,
    /// The protocol, while the machine is up.
    pub mesh: Option<Mesh<FaultyKv, FaultySlots>>,
    /// Its store, as long as it is up.
    pub sight: Option<Sight>,
    /// The database.
    pub kv: FaultyKv,
    /// The key file.
    pub slots: FaultySlots,
    /// What is known of its links beside the core.
    pub sessions: BTreeMap<LinkId, Session>,
    /// What waits.
    pub inbox: VecDeque<Item>,
    /// A wake-up is on its way.
    pub waking: bool,
    /// Busy until then, in virtual microseconds.
    pub free_at: u64,
    /// When its last effects leave: later ones never before.
    pub last_depart: u64,
    /// Its wall clock is so much ahead, in ms.
    pub skew_ms: i64,
    /// And was set so much further by mistake.
    pub jump_ms: i64,
    /// When it was last set, in virtual microseconds.
    pub right_since: u64,
    /// When the process started, in virtual microseconds.
    pub started_us: u64,
    /// This boot of the machine.
    pub boot: [u8; 16],
    /// When the machine booted, in virtual microseconds.
    pub booted_us: u64,
    /// When it is to die.
    pub doom: Option<(Moment, u64, bool)>,
    /// A backup.
    pub snapshot: Option<Snapshot>,
    /// Requests that were not answered yet.
    pub asked: BTreeMap<Ticket, Asked>,
    /// Reports that it published.
    pub published: Vec<Published>,
    /// What it promised.
    pub promises: Promises,
    /// An old disk was put back and not started yet.
    pub restored: bool,
    /// If it lies.
    pub liar: Option<Liar>,
    /// Something happened lately: it ticks often until then, in virtual microseconds.
    pub awake_until: u64,
    /// Heights of its own logs that the registry has.
    pub registered: BTreeMap<tocsin_record::LogKey, u64>,
    dice: Dice,
}

impl Node {
    /// A machine that is switched off.
    #[must_use]
    pub fn new(seed: u64, at: usize, skew_ms: u64, lies: Option<Lies>) -> Self {
        let mut dice = Dice::new(seed ^ (at as u64) << 32, "node");
        let skew = dice.below(2 * skew_ms + 1) as i64 - skew_ms as i64;
        Self {
            at,
            life: 0,
            mesh: None,
            sight: None,
            kv: FaultyKv::new(dice.roll()),
            slots: FaultySlots::new(dice.roll()),
            sessions: BTreeMap::new(),
            inbox: VecDeque::new(),
            waking: false,
            free_at: 0,
            last_depart: 0,
            skew_ms: skew,
            jump_ms: 0,
            right_since: 0,
            started_us: 0,
            boot: dice.bytes(),
            booted_us: 0,
            doom: None,
            snapshot: None,
            asked: BTreeMap::new(),
            published: Vec::new(),
            promises: Promises::default(),
            restored: false,
            liar: lies.map(|lies| Liar::new(seed, at, lies)),
            awake_until: 0,
            registered: BTreeMap::new(),
            dice,
        }
    }

    /// Its clocks.
    #[must_use]
    pub fn now(&self, now_us: u64) -> Now {
        let wall = BEGIN_MS + now_us / 1000;
        Now {
            wall: wall.saturating_add_signed(self.skew_ms + self.jump_ms),
            // A machine has run for some time before its first process begins.
            mono: 1_000_000 + now_us.saturating_sub(self.booted_us) / 1000,
        }
    }

    /// Starts the product over the machine's disk.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn start(
        &mut self,
        cast: &Cast,
        sparse: bool,
        policy: Arc<Policy>,
        now_us: u64,
    ) -> Result<(), StoreError> {
        self.life += 1;
        self.sessions.clear();
        self.started_us = now_us;
        self.inbox.clear();
        self.asked.clear();
        let member = &cast.nodes[self.at];
        let mut random = Dice::new(self.dice.roll(), "keys");
        let index_key = [7; 16];
        let mut index = Index::new(&index_key);
        let mut filler = index.filler();
        let store = Store::open(
            Arc::new(self.kv.clone()),
            Arc::new(self.slots.clone()),
            cast.mesh,
            Box::new(move |buffer| random.fill(buffer)),
            Opener::new(member.key, vec![SealingKey::from_seed(&member.sealing)]),
            &mut |found| filler.add(&found),
        )?;
        drop(filler);
        let directory = if sparse { cast.load(&cast.papers(self.at)) } else { cast.directory.clone() };
        let identity = Identity {
            secret: Secret::from_seed(&member.secret),
            org: cast.orgs[member.org].id,
            certificate: member.certificate.clone(),
            // Of 64 bits of chance, which is enough for what nobody attacks.
            random: ChaCha20Rng::seed_from_u64(self.dice.roll()),
        };
        let config = MeshConfig {
            boot: self.boot,
            seed: self.dice.roll(),
            index_key,
            meter: Meter::Model,
            hold: HoldDefault::Keep,
        };
        let now = self.now(now_us);
        let mesh = Mesh::open(config, identity, directory, store, policy, index, now)?;
        self.sight = Some(mesh.reader());
        self.mesh = Some(mesh);
        self.awake_until = now_us + 5_000_000;
        Ok(())
    }

    /// The process ends. What was not synced is lost if the machine loses power as well.
    pub fn stop(&mut self, power: bool) {
        self.mesh = None;
        self.sight = None;
        self.sessions.clear();
        self.inbox.clear();
        self.doom = None;
        if power {
            self.kv.crash();
            self.slots.crash();
        }
        self.kv.heal();
        self.slots.heal();
    }

    /// The machine boots: another boot id, another monotonic clock.
    pub fn reboot(&mut self, now_us: u64) {
        self.boot = self.dice.bytes();
        self.booted_us = now_us;
    }
}
