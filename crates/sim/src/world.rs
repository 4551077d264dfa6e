//! One virtual clock over all machines and links: events in order of time, ties in the order in which they were made.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use bytes::Bytes;
use tocsin_policy::Policy;
use tocsin_protocol::message::Lane;
use tocsin_protocol::{Effect, Input, LinkId};

use crate::cast::Cast;
use crate::config::Config;
use crate::dice::Dice;
use crate::faults::{self, Fault, Moment};
use crate::measure::Measure;
use crate::node::{Item, Node};
use crate::oracle::deterministic::Trace;
use crate::oracle::wire::Peek;
use crate::oracle::{InForce, Scene, Violation};
use crate::registry::Registry;
use crate::rules::Table;
use crate::traffic::{Conn, Dark, Pair};
use crate::workload::{self, Work};

/// Virtual time in microseconds.
pub type Micros = u64;

/// Policies in a run.
const TABLES: usize = 6;
/// While a node judges anew after a policy change, what it accepted before may still leave, for so long.
const REJUDGE_US: Micros = 10_000_000;

/// What happens at a moment.
#[derive(Debug)]
pub enum Event {
    /// A node looks into its inbox.
    Wake(usize),
    /// Time passes at a node.
    Tick(usize, u32),
    /// Effects leave a node.
    Depart(usize, u32, Vec<Effect>),
    /// A frame reaches an end of a link.
    Arrive(LinkId, usize, Lane, Bytes),
    /// A pair may try to connect.
    Dial(usize),
    /// A connection is made.
    Up(LinkId),
    /// An end of a link notices that it ended.
    Down(LinkId, usize),
    /// A fault of the list.
    Fault(usize),
    /// A partition ends.
    Mended(usize),
    /// A clock is set right.
    ClockRight(usize, i64),
    /// A machine starts.
    Start(usize),
    /// People do something.
    Work(usize),
}

struct Entry {
    at: Micros,
    no: u64,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.no) == (other.at, other.no)
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.no).cmp(&(other.at, other.no))
    }
}

/// A run.
pub struct World {
    /// What it is like.
    pub config: Config,
    /// Who takes part.
    pub cast: Cast,
    /// Virtual time.
    pub now: Micros,
    /// Policy tables.
    pub tables: Vec<Table>,
    /// The same as the product reads them.
    pub policies: Vec<Arc<Policy>>,
    /// Each node's.
    pub in_force: Vec<InForce>,
    /// Every node, at the place by which all else names it.
    pub nodes: Vec<Node>,
    /// Pairs that keep a link.
    pub pairs: Vec<Pair>,
    /// Connections.
    pub conns: BTreeMap<LinkId, Conn>,
    /// Partitions that last.
    pub darks: BTreeMap<usize, Dark>,
    /// What was written.
    pub registry: Registry,
    /// What was told on links.
    pub peek: Peek,
    /// The hash of all that happened.
    pub trace: Trace,
    /// Nodes whose old disks were put back.
    pub restored: BTreeSet<usize>,
    /// What went wrong first.
    pub violation: Option<Violation>,
    /// What happened how often.
    pub counts: BTreeMap<String, u64>,
    /// Figures, where somebody wants them.
    pub measure: Option<Measure>,
    /// Faults are over: the mesh has to agree.
    pub healed: bool,
    /// Chance on links and in people.
    pub dice: Dice,
    pub(crate) next_link: LinkId,
    pub(crate) next_ticket: u64,
    heap: BinaryHeap<Reverse<Entry>>,
    next_no: u64,
    faults: Vec<(Micros, Fault)>,
    works: Vec<(Micros, Work)>,
}

impl World {
    /// A mesh of a run's cast under its faults, everything switched on at the beginning.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let cast = Cast::draw(&config);
        let mut dice = Dice::new(config.seed, "rules");
        let mut tables = vec![Table::open()];
        tables.extend((1..TABLES).map(|_| Table::draw(&mut dice)));
        let in_force = (0..config.nodes).map(|_| if dice.percent(40) { 0 } else { dice.index(TABLES) });
        let in_force: Vec<usize> = in_force.collect();
        let faults = faults::schedule(&config, &cast, tables.len());
        let works = workload::schedule(&config, &cast);
        Self::with(config, cast, tables, in_force, faults, works)
    }

    /// A mesh as it is given.
    ///
    /// # Panics
    /// If a table is no policy, which a test excludes for those that are drawn.
    #[must_use]
    pub fn with(
        config: Config,
        cast: Cast,
        tables: Vec<Table>,
        in_force: Vec<usize>,
        faults: Vec<(Micros, Fault)>,
        works: Vec<(Micros, Work)>,
    ) -> Self {
        let load = |table: &Table| match Policy::load(&table.cedar()) {
            Ok(policy) => Arc::new(policy),
            Err(error) => panic!("a table of the simulation is no policy: {error}"),
        };
        let policies = tables.iter().map(load).collect();
        let nodes =
            (0..config.nodes).map(|at| Node::new(config.seed, at, config.skew_ms, cast.nodes[at].liar));
        let mut dice = Dice::new(config.seed, "world");
        let pairs = cast.pairs.iter().map(|ends| Pair::draw(*ends, &config, &mut dice)).collect();
        let mut world = Self {
            nodes: nodes.collect(),
            pairs,
            peek: Peek::new(cast.mesh),
            cast,
            now: 0,
            tables,
            policies,
            in_force: in_force.into_iter().map(|now| InForce { now, before: None }).collect(),
            conns: BTreeMap::new(),
            darks: BTreeMap::new(),
            registry: Registry::default(),
            trace: Trace::default(),
            restored: BTreeSet::new(),
            violation: None,
            counts: BTreeMap::new(),
            measure: None,
            healed: false,
            dice,
            next_link: 1,
            next_ticket: 1,
            heap: BinaryHeap::new(),
            next_no: 0,
            faults,
            works,
            config,
        };
        world.plan();
        world
    }

    fn plan(&mut self) {
        for node in 0..self.nodes.len() {
            let at = self.dice.below(200_000);
            self.schedule(at, Event::Start(node));
        }
        for pair in 0..self.pairs.len() {
            let at = 200_000 + self.dice.below(500_000);
            self.schedule(at, Event::Dial(pair));
        }
        for at in 0..self.faults.len() {
            self.schedule(self.faults[at].0, Event::Fault(at));
        }
        for at in 0..self.works.len() {
            self.schedule(self.works[at].0, Event::Work(at));
        }
    }

    /// Something is to happen at a moment, or now if that has passed.
    pub fn schedule(&mut self, at: Micros, event: Event) {
        self.next_no += 1;
        self.heap.push(Reverse(Entry { at: at.max(self.now), no: self.next_no, event }));
    }

    /// Counts something.
    pub fn count(&mut self, what: impl Into<String>) {
        *self.counts.entry(what.into()).or_default() += 1;
    }

    /// Lets the clock run up to a moment, or until something is broken.
    pub fn run_until(&mut self, until: Micros) {
        while self.violation.is_none() {
            match self.heap.peek() {
                Some(Reverse(next)) if next.at <= until => {}
                _ => break,
            }
            let Some(Reverse(entry)) = self.heap.pop() else {
                break;
            };
            self.now = entry.at;
            self.happen(entry.event);
        }
        self.now = self.now.max(until);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Wake(node) => self.wake(node),
            Event::Tick(node, life) => self.tick(node, life),
            Event::Depart(node, life, effects) => {
                if self.nodes[node].life == life && self.nodes[node].mesh.is_some() {
                    self.depart(node, effects);
                }
            }
            Event::Arrive(link, end, lane, frame) => self.arrive(link, end, lane, frame),
            Event::Dial(pair) => self.dial(pair),
            Event::Up(link) => self.up(link),
            Event::Down(link, end) => self.down(link, end),
            Event::Fault(at) => {
                if !self.healed {
                    let fault = self.faults[at].1.clone();
                    self.fault(at, fault);
                }
            }
            Event::Mended(at) => drop(self.darks.remove(&at)),
            Event::ClockRight(node, by_ms) => self.nodes[node].jump_ms -= by_ms,
            Event::Start(node) => self.start(node),
            Event::Work(at) => {
                let work = self.works[at].1.clone();
                self.work(&work);
            }
        }
    }

    fn tick(&mut self, node: usize, life: u32) {
        let machine = &self.nodes[node];
        if machine.life != life || machine.mesh.is_none() {
            return;
        }
        let often = self.now < machine.awake_until;
        let busy = machine.mesh.as_ref().is_some_and(tocsin_protocol::Mesh::is_busy);
        let next = self.now + if often || busy { 50_000 } else { 1_000_000 };
        self.give(node, Item::Input(Input::Tick));
        self.schedule(next, Event::Tick(node, life));
    }

    /// Something waits for a node: it looks when it is free.
    pub fn give(&mut self, node: usize, item: Item) {
        let now = self.now;
        let machine = &mut self.nodes[node];
        if machine.mesh.is_none() {
            return;
        }
        if !matches!(item, Item::Input(Input::Tick)) {
            // An idle node ticks once a second; what it has to do now comes sooner.
            if machine.awake_until <= now {
                let life = machine.life;
                machine.awake_until = now + 3_000_000;
                self.next_no += 1;
                self.heap.push(Reverse(Entry {
                    at: now + 50_000,
                    no: self.next_no,
                    event: Event::Tick(node, life),
                }));
            }
            self.nodes[node].awake_until = now + 3_000_000;
        }
        let machine = &mut self.nodes[node];
        machine.inbox.push_back(item);
        if !std::mem::replace(&mut machine.waking, true) {
            let at = machine.free_at.max(now);
            self.schedule(at, Event::Wake(node));
        }
    }

    fn start(&mut self, node: usize) {
        if self.nodes[node].mesh.is_some() {
            return;
        }
        let policy = Arc::clone(&self.policies[self.in_force[node].now]);
        let (sparse, now) = (self.config.sparse, self.now);
        if let Err(error) = self.nodes[node].start(&self.cast, sparse, policy, now) {
            self.broken("durable", format!("n{node} does not start over its own disk: {error}"));
            return;
        }
        self.trace.add(now, b's', node, &[]);
        self.nodes[node].waking = false;
        self.nodes[node].free_at = now;
        self.nodes[node].last_depart = now;
        let restored = std::mem::take(&mut self.nodes[node].restored);
        if restored {
            self.nodes[node].registered.clear();
        }
        self.register(node);
        let mut promises = std::mem::take(&mut self.nodes[node].promises);
        let mut checked = Ok(());
        if let Some(sight) = &self.nodes[node].sight {
            if restored {
                promises.restored(sight);
            }
            if !self.cast.nodes[node].liar {
                checked = promises.check(&self.scene(), node, sight);
            }
        }
        self.nodes[node].promises = promises;
        self.note(checked);
        let life = self.nodes[node].life;
        let first = now + self.dice.below(50_000);
        self.schedule(first, Event::Tick(node, life));
    }

    /// A node stops, for a while or until the end of the faults.
    pub fn stop(&mut self, node: usize, power: bool, down_ms: u64, reboot: bool) {
        self.count(if power { "crashes" } else { "stops" });
        self.trace.add(self.now, b'x', node, &[]);
        self.nodes[node].stop(power);
        self.nodes[node].waking = false;
        if reboot {
            let now = self.now;
            self.nodes[node].reboot(now);
        }
        self.links_end(node);
        let at = self.now + down_ms * 1000;
        self.schedule(at, Event::Start(node));
    }

    fn fault(&mut self, at: usize, fault: Fault) {
        match fault {
            Fault::Crash { node, moment, down_ms, reboot } => {
                if self.nodes[node].mesh.is_none() {
                    return;
                }
                if moment == Moment::Idle {
                    self.stop(node, true, down_ms, reboot);
                } else {
                    self.nodes[node].doom = Some((moment, down_ms, reboot));
                }
            }
            Fault::Disk { node, after, keys, down_ms } => {
                if self.nodes[node].mesh.is_none() || self.nodes[node].doom.is_some() {
                    return;
                }
                self.nodes[node].doom = Some((Moment::InCommit(u32::MAX), down_ms, false));
                if keys {
                    self.nodes[node].slots.fail_next(after);
                } else {
                    self.nodes[node].kv.fail_next(after);
                }
            }
            Fault::Snapshot { node } => {
                let machine = &mut self.nodes[node];
                // A backup of a running node is a copy of what is committed.
                machine.snapshot = Some((machine.kv.snapshot(), machine.slots.snapshot()));
            }
            Fault::Restore { node, down_ms } => self.restore(node, down_ms),
            Fault::Partition { side, dark, for_ms } => {
                self.count("partitions");
                self.darks.insert(at, Dark { side, dark });
                let until = self.now + for_ms * 1000;
                self.schedule(until, Event::Mended(at));
                self.cut_dark();
            }
            Fault::Break { pair } => {
                if let Some(link) = self.pairs[pair].link {
                    self.count("breaks");
                    self.end_link(link, None);
                }
            }
            Fault::Clock { node, by_ms, for_ms } => {
                self.count("clock jumps");
                self.nodes[node].jump_ms += by_ms;
                let until = self.now + for_ms * 1000;
                self.schedule(until, Event::ClockRight(node, by_ms));
            }
            Fault::Reload { node, table } => {
                self.count("reloads");
                let before = self.in_force[node].now;
                self.in_force[node] = InForce { now: table, before: Some((before, self.now + REJUDGE_US)) };
                let policy = Arc::clone(&self.policies[table]);
                self.give(node, Item::Input(Input::Policy { policy }));
            }
        }
    }

    fn restore(&mut self, node: usize, down_ms: u64) {
        let Some(snapshot) = self.nodes[node].snapshot.take() else {
            return;
        };
        self.count("restores");
        self.trace.add(self.now, b'r', node, &[]);
        let now = self.now;
        let machine = &mut self.nodes[node];
        machine.stop(false);
        machine.waking = false;
        machine.kv.restore(&snapshot.0);
        machine.slots.restore(&snapshot.1);
        machine.reboot(now);
        self.restored.insert(node);
        self.links_end(node);
        self.nodes[node].restored = true;
        self.schedule(now + down_ms * 1000, Event::Start(node));
    }

    /// Faults are over: everything is up, reaches everything, and has the right time.
    pub fn heal(&mut self) {
        self.healed = true;
        self.darks.clear();
        for node in 0..self.nodes.len() {
            self.nodes[node].doom = None;
            self.nodes[node].kv.heal();
            self.nodes[node].slots.heal();
        }
        for pair in 0..self.pairs.len() {
            self.pairs[pair].backoff_ms = 0;
            if self.pairs[pair].link.is_none() {
                let at = self.now + self.dice.below(1_000_000);
                self.schedule(at, Event::Dial(pair));
            }
        }
    }

    /// What oracles see.
    #[must_use]
    pub fn scene(&self) -> Scene<'_> {
        Scene {
            cast: &self.cast,
            registry: &self.registry,
            tables: &self.tables,
            in_force: &self.in_force,
            now_us: self.now,
        }
    }

    /// Keeps the first violation.
    pub fn note(&mut self, result: Result<(), Violation>) {
        if let Err(violation) = result
            && self.violation.is_none()
        {
            self.violation = Some(violation);
        }
    }

    /// Something is wrong.
    pub fn broken(&mut self, oracle: &'static str, what: String) {
        let violation = Violation { oracle, at_us: self.now, what };
        self.note(Err(violation));
    }
}
