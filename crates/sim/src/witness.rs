//! What the oracles are shown: what nodes tell, what passes on links, and, at chance moments, all that a node holds.

use std::collections::BTreeSet;

use bytes::Bytes;
use tocsin_protocol::{Event as Told, LinkId, read};
use tocsin_store::Verdict;

use crate::oracle::wire::{Peek, Said};
use crate::oracle::{Glance, Links, answers, authentic, bounded, confined, removed, sealed, strangers};
use crate::world::{Event, Micros, World};

/// A node is looked at so often, in microseconds, both included.
const EVERY_US: (Micros, Micros) = (1_000_000, 5_000_000);
/// And in a mesh of more nodes than this, so much more seldom.
const MANY: usize = 20;
/// A node's clock counts as right when it was set right so long ago and the node has run for as long, in microseconds.
const RIGHT_US: Micros = 60_000_000;
/// What partners' clocks say may be as old as the last head of each: five minutes where nothing is new, and a few seconds until
/// it is said, has come, is heard and followed, each with a tick of a second.
const HEARD_US: Micros = 300_000_000 + 5_000_000;

impl World {
    /// A node tells something, after the commit that made it durable.
    pub(crate) fn tell_event(&mut self, node: usize, event: &Told) {
        if self.cast.nodes[node].liar {
            return;
        }
        let now = self.now;
        let clock_is_right = self.clock_is_right(node);
        let mut judges = std::mem::take(&mut self.judges);
        match event {
            Told::Judged { id, author, circle, verdict, .. } => {
                let judged = authentic::judged(&self.scene(), node, id, author, circle);
                self.note(judged);
                match verdict {
                    Verdict::Refused => {
                        if clock_is_right {
                            judges.refused.refused(node, *id, now);
                        }
                        judges.kept.refused(node, *id);
                    }
                    Verdict::Accepted => {
                        self.count("accepted");
                        judges.refused.lifted(node, *id);
                        judges.erased.accepted(&self.scene(), node, id);
                    }
                    Verdict::Held | Verdict::Unjudged => judges.refused.lifted(node, *id),
                }
            }
            Told::Forked { author, circle, .. } => {
                self.count("forks found");
                if let Some(sight) = &self.nodes[node].sight {
                    judges.contained.forked(node, sight, *author, *circle, now);
                }
            }
            _ => {}
        }
        self.judges = judges;
    }

    /// A frame passes: what does it tell, and may it?
    pub(crate) fn tell_oracles(&mut self, link: LinkId, end: usize, frame: &Bytes) {
        let Some(conn) = self.conns.get(&link) else { return };
        let (from, to) = (conn.ends[end], conn.ends[1 - end]);
        let Some(messages) = Peek::messages(frame) else {
            return;
        };
        if let Some(measure) = &mut self.measure {
            measure.frame(&messages, frame.len());
        }
        let said = self.peek.read(link, end, &messages);
        if self.cast.nodes[from].liar {
            return;
        }
        let mut promises = std::mem::take(&mut self.nodes[from].promises);
        let mut result = Ok(());
        let scene = self.scene();
        for said in said {
            result = match said {
                Said::Log(log) => confined::log(&scene, from, to, &log),
                Said::Document(hash) => strangers::told(&scene, from, to, &hash),
                Said::Record(id) => removed::told(&scene, from, to, &id),
                Said::Body { log, seq, id, bytes } => {
                    // A body alone is named by its place; behind a fork that is more than one record.
                    let id = id.or_else(|| self.registry.at(&log, seq, &bytes));
                    match id {
                        Some(id) => authentic::passed_on(&scene, from, &id, &bytes)
                            .and_then(|()| removed::told(&scene, from, to, &id))
                            .and_then(|()| confined::body(&scene, from, to, &id))
                            .and_then(|()| self.judges.erased.sent(&scene, from, &id))
                            .and_then(|()| self.judges.contained.sent(&scene, from, &log, seq)),
                        None => Err(scene.broken(
                            "authentic",
                            format!("{} gives a body for record {seq} that nobody wrote", scene.name(from)),
                        )),
                    }
                }
                Said::Asks { log, seq } => self.judges.refused.asked(&scene, from, &log, seq),
                Said::Height { by, log, height } => match &self.nodes[from].sight {
                    Some(sight) if by.is_none_or(|by| by == self.cast.nodes[from].key) => {
                        promises.told(&scene, from, sight, log, height)
                    }
                    _ => Ok(()),
                },
            };
            if result.is_err() {
                break;
            }
        }
        self.nodes[from].promises = promises;
        self.note(result);
    }

    /// Whether a node's clock was never wrong, or has been right again for a while.
    fn clock_is_right(&self, node: usize) -> bool {
        let machine = &self.nodes[node];
        machine.jump_ms == 0 && (machine.right_since == 0 || self.now >= machine.right_since + RIGHT_US)
    }

    /// When all nodes know what the time is: after the clocks of several orgs were set, not before each of them was heard again,
    /// for a node ends nothing while most of its partners say that it is ahead, and until then they may say so by what they
    /// thought before. That is by design: would they say at once that they were set, then a wrong time that several got from
    /// one source were confirmed at once as well. The clock of one org alone outweighs none that went on evenly. A head that
    /// was lost by a fault is said again no later than after the same time. Beside a liar, whose word counts as one of the others',
    /// one that was set is enough.
    pub(crate) fn all_heard_us(&self) -> Micros {
        let was_set = self.nodes.iter().filter(|node| node.right_since != 0);
        let orgs: BTreeSet<usize> = was_set.clone().map(|node| self.cast.nodes[node.at].org).collect();
        let liars: BTreeSet<usize> =
            self.cast.nodes.iter().filter(|node| node.liar).map(|node| node.org).collect();
        if orgs.is_empty() || orgs.union(&liars).count() < 2 {
            return 0;
        }
        let last = was_set.map(|node| node.right_since).max().unwrap_or(0);
        last.max(self.config.active_ms * 1000) + HEARD_US
    }

    /// Looks at a node between two commits, and again after a while.
    pub(crate) fn look_in(&mut self, node: usize) {
        let (from, to) = EVERY_US;
        let seldom = if self.nodes.len() > MANY { 10 } else { 1 };
        let next = self.now + self.look_dice.range(from, to) * seldom;
        self.schedule(next, Event::LookIn(node));
        self.look_at(node);
    }

    /// Shows all oracles what a node holds now.
    pub(crate) fn look_at(&mut self, node: usize) {
        let machine = &self.nodes[node];
        let (Some(mesh), Some(sight)) = (&machine.mesh, &machine.sight) else {
            return;
        };
        if self.cast.nodes[node].liar {
            let read = sealed::check(&self.scene(), node, sight);
            self.note(read);
            return;
        }
        let is_right = self.clock_is_right(node)
            && self.now >= machine.started_us + RIGHT_US
            && self.now >= self.all_heard_us();
        let glance = Glance { sight, is_right };
        let mut judges = std::mem::take(&mut self.judges);
        let scene = self.scene();
        let circles = self.cast.circles.iter().filter(|circle| circle.ever_had(node)).count();
        let result = answers::check(&scene, node, sight, &read(&mesh.index()))
            .and_then(|()| sealed::check(&scene, node, sight))
            .and_then(|()| bounded::check(&scene, node, &mesh.sizes(), sight.log_count(), circles))
            .and_then(|()| judges.kept.check(&scene, node, sight))
            .and_then(|()| judges.erased.check(&scene, node, &glance, &machine.kv))
            .and_then(|()| judges.contained.check(&scene, node, sight))
            .and_then(|()| if self.config.calm { self.all_reached(&mut judges) } else { Ok(()) });
        self.judges = judges;
        self.note(result);
    }

    fn all_reached(&self, judges: &mut crate::oracle::Judges) -> Result<(), crate::oracle::Violation> {
        let sights: Vec<_> = self.nodes.iter().map(|node| node.sight.clone()).collect();
        judges.alive.check(&self.scene(), &sights, &self.open_links())
    }

    /// Links that are open at both ends.
    #[must_use]
    pub fn open_links(&self) -> Links {
        let open = |pair: &&crate::traffic::Pair| {
            let conn = pair.link.and_then(|link| self.conns.get(&link));
            conn.is_some_and(|conn| conn.seen == [true; 2] && conn.admitted == [true; 2])
        };
        self.pairs.iter().filter(open).map(|pair| (pair.ends[0], pair.ends[1])).collect()
    }
}
