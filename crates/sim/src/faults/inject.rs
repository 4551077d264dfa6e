//! How faults happen to machines, links and clocks, and how a run heals.

use std::sync::Arc;

use tocsin_protocol::Input;

use super::{Fault, Moment};
use crate::node::Item;
use crate::oracle::InForce;
use crate::traffic::Dark;
use crate::world::{Event, Micros, World};

/// While a node judges anew after a policy change, what it accepted before may still leave, for so long.
const REJUDGE_US: Micros = 10_000_000;

impl World {
    pub(crate) fn start(&mut self, node: usize) {
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
        self.note_versions(node);
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
        if restored && let Some(sight) = &self.nodes[node].sight {
            let mut judges = std::mem::take(&mut self.judges);
            judges.restored(&self.scene(), node, sight);
            self.judges = judges;
        }
        let life = self.nodes[node].life;
        let first = now + self.dice.below(50_000);
        self.schedule(first, Event::Tick(node, life));
    }

    /// A node stops, for a while or until the end of the faults.
    pub fn stop(&mut self, node: usize, power: bool, down_ms: u64, reboot: bool) {
        self.count(if power { "crashes" } else { "stops" });
        self.trace.add(self.now, b'x', node, &[]);
        let sight = self.nodes[node].sight.clone().filter(|_| power && !self.cast.nodes[node].liar);
        let gone = sight.as_ref().map(|sight| self.judges.erased.gone(&self.scene(), sight));
        self.nodes[node].stop(power);
        if let (Some(sight), Some(gone)) = (sight, gone) {
            // The key file as the cut left it: what was said to be erased stays so.
            let slots = &self.nodes[node].slots;
            let dug = self.judges.erased.dig(&self.scene(), node, &sight, slots, &gone);
            self.note(dug);
        }
        self.nodes[node].waking = false;
        if reboot {
            let now = self.now;
            self.nodes[node].reboot(now);
        }
        self.links_end(node);
        let at = self.now + down_ms * 1000;
        self.schedule(at, Event::Start(node));
    }

    pub(crate) fn fault(&mut self, at: usize, fault: Fault) {
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
            Fault::Clock { nodes, by_ms, for_ms } => {
                self.count("clock jumps");
                let until = self.now + for_ms * 1000;
                for node in nodes {
                    self.set_clock(node, by_ms);
                    self.schedule(until, Event::ClockRight(node, by_ms));
                }
            }
            Fault::Reload { node, table } => {
                self.count("reloads");
                self.judges.refused.forget(node);
                let before = self.in_force[node].now;
                let before = Some((before, self.now + REJUDGE_US));
                self.in_force[node] = InForce { now: table, before, since_us: self.now };
                let policy = Arc::clone(&self.policies[table]);
                self.give(node, Item::Input(Input::Policy { policy }));
            }
        }
    }

    /// A clock is set, by so many ms further than it was.
    pub(crate) fn set_clock(&mut self, node: usize, by_ms: i64) {
        self.nodes[node].jump_ms += by_ms;
        self.nodes[node].right_since = self.now;
        self.judges.refused.forget(node);
    }

    fn restore(&mut self, node: usize, down_ms: u64) {
        let Some(snapshot) = self.nodes[node].snapshot.take() else {
            return;
        };
        self.count("restores");
        self.lose_versions(node);
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
}
