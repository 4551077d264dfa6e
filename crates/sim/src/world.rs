//! One virtual clock over all machines and links, and all that a run is made of.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tocsin_policy::Policy;
use tocsin_protocol::{Input, LinkId};

use crate::agenda::Agenda;
pub use crate::agenda::Event;
use crate::cast::Cast;
use crate::changes::{Brought, Versions};
use crate::config::Config;
use crate::dice::Dice;
use crate::faults::{self, Fault};
use crate::measure::Measure;
use crate::node::{Item, Node};
use crate::oracle::deterministic::Trace;
use crate::oracle::wire::Peek;
use crate::oracle::{InForce, Judges, Scene, Violation};
use crate::registry::Registry;
use crate::rules::Table;
use crate::traffic::{Conn, Dark, Pair};
use crate::workload::{self, Work};

/// Virtual time in microseconds.
pub type Micros = u64;

/// Policies in a run.
const TABLES: usize = 6;

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
    /// By which versions of rosters nodes go.
    pub versions: Versions,
    pub(crate) brought: BTreeMap<usize, Brought>,
    /// What the oracles remember.
    pub judges: Judges,
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
    /// Chance in when nodes are looked at.
    pub(crate) look_dice: Dice,
    pub(crate) next_link: LinkId,
    pub(crate) next_ticket: u64,
    agenda: Agenda,
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
        let open = if config.calm { 100 } else { 40 };
        let in_force = (0..config.nodes).map(|_| if dice.percent(open) { 0 } else { dice.index(TABLES) });
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
        let lies = config.lies();
        let lies = |at: usize| cast.nodes[at].liar.then_some(lies);
        let nodes = (0..config.nodes).map(|at| Node::new(config.seed, at, config.skew_ms, lies(at)));
        let mut dice = Dice::new(config.seed, "world");
        let mut pairs: Vec<Pair> =
            cast.pairs.iter().map(|ends| Pair::draw(*ends, &config, &mut dice)).collect();
        if config.calm {
            // A liar is nearest to everybody: it is asked first.
            let lies = |pair: &&mut Pair| pair.ends.iter().any(|at| cast.nodes[*at].liar);
            pairs.iter_mut().filter(lies).for_each(|pair| pair.latency_us = config.latency_ms.0 * 1000);
        }
        let mut world = Self {
            nodes: nodes.collect(),
            pairs,
            peek: Peek::new(cast.mesh),
            cast,
            now: 0,
            tables,
            policies,
            in_force: in_force.into_iter().map(|now| InForce { now, before: None, since_us: 0 }).collect(),
            conns: BTreeMap::new(),
            darks: BTreeMap::new(),
            registry: Registry::default(),
            trace: Trace::default(),
            restored: BTreeSet::new(),
            versions: Versions::default(),
            brought: BTreeMap::new(),
            judges: Judges::default(),
            violation: None,
            counts: BTreeMap::new(),
            measure: None,
            healed: false,
            look_dice: Dice::new(config.seed, "looks"),
            dice,
            next_link: 1,
            next_ticket: 1,
            agenda: Agenda::default(),
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
            let at = 1_000_000 + self.look_dice.below(5_000_000);
            self.schedule(at, Event::LookIn(node));
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
        let mut dice = Dice::new(self.config.seed, "when circles change");
        let changes: Vec<usize> =
            self.cast.forces().flat_map(|(at, circle)| vec![at; circle.plan.len() - 1]).collect();
        for circle in changes {
            let at = dice.below(self.config.active_ms * 1000);
            self.schedule(at, Event::Change(circle));
        }
    }

    /// Something is to happen at a moment, or now if that has passed.
    pub fn schedule(&mut self, at: Micros, event: Event) {
        self.agenda.add(at.max(self.now), event);
    }

    /// Counts something.
    pub fn count(&mut self, what: impl Into<String>) {
        *self.counts.entry(what.into()).or_default() += 1;
    }

    /// Lets the clock run up to a moment, or until something is broken.
    pub fn run_until(&mut self, until: Micros) {
        while self.violation.is_none()
            && let Some((at, event)) = self.agenda.next(until)
        {
            self.now = at;
            self.happen(event);
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
            Event::ClockRight(node, by_ms) => self.set_clock(node, -by_ms),
            Event::Start(node) => self.start(node),
            Event::LookIn(node) => self.look_in(node),
            Event::Work(at) => {
                let work = self.works[at].1.clone();
                self.work(&work);
            }
            Event::Change(circle) => self.change_circle(circle),
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
                self.agenda.add(now + 50_000, Event::Tick(node, life));
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

    /// What oracles see.
    #[must_use]
    pub fn scene(&self) -> Scene<'_> {
        Scene {
            cast: &self.cast,
            registry: &self.registry,
            tables: &self.tables,
            in_force: &self.in_force,
            versions: &self.versions,
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
