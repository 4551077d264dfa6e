//! What one node does with its inbox, and what then leaves it.

use tocsin_protocol::{Done, Effect, Input, LinkId, Output};
use tocsin_record::body::Body;
use tocsin_store::{RecordRef, StoreError};

use crate::faults::Moment;
use crate::node::{Asked, Item};
use crate::workload::{self, Published, Work};
use crate::world::{Event, World};

/// Inputs of one batch: the product's own bound.
const BATCH: usize = 256;

impl World {
    pub(crate) fn wake(&mut self, node: usize) {
        self.nodes[node].waking = false;
        if self.nodes[node].mesh.is_none() {
            return;
        }
        match self.step(node) {
            Ok(Some(effects)) => self.after_commit(node, effects),
            Ok(None) => {}
            Err(error) => self.disk_failed(node, &error),
        }
        let machine = &self.nodes[node];
        if machine.mesh.is_some() && !machine.inbox.is_empty() && !machine.waking {
            let at = machine.free_at.max(self.now);
            self.nodes[node].waking = true;
            self.schedule(at, Event::Wake(node));
        }
    }

    /// One batch: inputs, then the commit. `None` if the node died on the way.
    fn step(&mut self, node: usize) -> Result<Option<Vec<Effect>>, StoreError> {
        let mut out = Output::default();
        let mut faulty: Vec<LinkId> = Vec::new();
        let mut only_ticks = true;
        let now = self.nodes[node].now(self.now);
        let machine = &mut self.nodes[node];
        let Some(mesh) = machine.mesh.as_mut() else {
            return Ok(None);
        };
        for taken in 0..BATCH {
            // A policy takes force alone, so that oracles know which one every frame left under.
            let policy = |item: &Item| matches!(item, Item::Input(Input::Policy { .. }));
            if taken > 0 && machine.inbox.front().is_some_and(policy) {
                break;
            }
            let Some(item) = machine.inbox.pop_front() else {
                break;
            };
            let last = policy(&item);
            only_ticks &= matches!(item, Item::Input(Input::Tick));
            let input = match item {
                Item::Input(input) => {
                    if let Input::LinkDown { link } = &input {
                        machine.sessions.remove(link);
                    }
                    input
                }
                Item::Frame(link, bytes) => {
                    match machine.sessions.get_mut(&link).map(|link| link.hear(&bytes)) {
                        None => continue,
                        Some(Ok(frame)) => Input::Received { link, frame },
                        Some(Err(error)) => {
                            // Nothing more is heard of it.
                            machine.sessions.remove(&link);
                            faulty.push(link);
                            Input::Unreadable { link, bytes: bytes.len(), reason: error.to_string() }
                        }
                    }
                }
            };
            mesh.handle(now, input, &mut out)?;
            if last {
                break;
            }
        }
        let doom = machine.doom.filter(|_| !only_ticks);
        if let Some((Moment::BeforeCommit, down_ms, reboot)) = doom {
            self.stop(node, true, down_ms, reboot);
            return Ok(None);
        }
        if let Some((Moment::InCommit(after), ..)) = doom
            && after != u32::MAX
        {
            machine.kv.fail_next(after);
        }
        let effects = mesh.commit(now, &mut out)?;
        if only_ticks && machine.inbox.is_empty() {
            mesh.idle()?;
        }
        for link in faulty {
            let end = self.conns.get(&link).and_then(|conn| conn.ends.iter().position(|at| *at == node));
            self.count("frames that do not read");
            self.end_link(link, end);
        }
        Ok(Some(effects))
    }

    fn disk_failed(&mut self, node: usize, error: &StoreError) {
        let doom = self.nodes[node].doom;
        let Some((moment, down_ms, reboot)) = doom else {
            self.broken("durable", format!("n{node} stops for a fault that its disk does not have: {error}"));
            return;
        };
        if matches!(error, StoreError::Misuse(_)) {
            self.broken("durable", format!("n{node} misuses its store: {error}"));
            return;
        }
        self.count("disk faults");
        // A crash in a commit is a power cut at one of its writes; a broken disk keeps what it took.
        let power = moment != Moment::InCommit(u32::MAX);
        self.stop(node, power, down_ms, reboot);
    }

    fn after_commit(&mut self, node: usize, effects: Vec<Effect>) {
        self.note_versions(node);
        let mine = self.cast.nodes[node].key;
        let wrote = |effect: &Effect| match effect {
            Effect::Done { result, .. } => result.is_ok(),
            Effect::Event(tocsin_protocol::Event::Judged { author, .. }) => *author == mine,
            _ => false,
        };
        if effects.iter().any(wrote) {
            self.register(node);
        }
        for effect in &effects {
            match effect {
                Effect::Admitted { link, .. } => {
                    if let Some(conn) = self.conns.get_mut(link)
                        && let Some(end) = conn.ends.iter().position(|at| *at == node)
                    {
                        conn.admitted[end] = true;
                    }
                }
                Effect::Event(event) => self.tell_event(node, event),
                _ => {}
            }
        }
        if let Some((Moment::BeforeSending, down_ms, reboot)) = self.nodes[node].doom {
            self.stop(node, true, down_ms, reboot);
            return;
        }
        let (from, to) = self.config.flush_us;
        let flush = self.dice.range(from, to);
        let machine = &mut self.nodes[node];
        let leave = (self.now + flush).max(machine.last_depart);
        machine.last_depart = leave;
        if self.config.busy {
            machine.free_at = leave;
        }
        if !effects.is_empty() {
            let life = machine.life;
            self.schedule(leave, Event::Depart(node, life, effects));
        }
    }

    /// Puts what a node wrote since into the registry.
    pub(crate) fn register(&mut self, node: usize) {
        let Some(sight) = self.nodes[node].sight.clone() else {
            return;
        };
        let mine = self.cast.nodes[node].key;
        for log in sight.logs().into_iter().filter(|log| log.key.author == mine) {
            let known = self.nodes[node].registered.get(&log.key).copied().unwrap_or(log.base.seq);
            for seq in known + 1..=log.tip.seq {
                let Ok(Some(stored)) = sight.record(RecordRef { log: log.no, seq }) else {
                    continue;
                };
                let forked = self.registry.add(&self.cast, &stored.entry, self.now);
                if forked && !self.cast.nodes[node].liar {
                    let what =
                        format!("n{node} wrote two records {seq} of one log (epoch {})", log.key.epoch);
                    self.broken("durable", what);
                }
            }
            self.nodes[node].registered.insert(log.key, log.tip.seq);
        }
    }

    pub(crate) fn depart(&mut self, node: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send { link, lane, frame } => self.send(node, link, lane, frame),
                Effect::Close { link, reason } => {
                    let end =
                        self.conns.get(&link).and_then(|conn| conn.ends.iter().position(|at| *at == node));
                    let peer = end.and_then(|end| self.conns.get(&link).map(|conn| conn.ends[1 - end]));
                    let whom = if peer.is_some_and(|peer| self.cast.nodes[peer].liar) {
                        "a liar"
                    } else {
                        "an honest node"
                    };
                    self.count(format!("closed on {whom}: {reason}"));
                    self.end_link(link, end);
                }
                Effect::Done { ticket, result } => {
                    let Some(asked) = self.nodes[node].asked.remove(&ticket) else {
                        continue;
                    };
                    match result {
                        Ok(done) => self.answered(node, asked, &done),
                        Err(error) => {
                            let why = error.to_string();
                            let why =
                                why.split(['`', '(', ':', '0']).next().unwrap_or_default().trim().to_owned();
                            self.count(format!("request refused: {why}"));
                        }
                    }
                }
                Effect::Event(event) => {
                    if let Some(measure) = &mut self.measure {
                        measure.event(node, &event, self.now, &self.registry);
                    }
                }
                Effect::Admitted { .. } => {}
            }
        }
    }

    fn answered(&mut self, node: usize, asked: Asked, done: &Done) {
        for id in done.written.iter().map(|written| &written.id) {
            let Some(truth) = self.registry.get(id) else {
                self.broken(
                    "authentic",
                    format!("n{node} answered with {id}, which its store does not have"),
                );
                return;
            };
            let (log, seq) = (truth.log, truth.seq);
            self.nodes[node].promises.acked(*id, log, seq);
            if self.config.calm && !self.cast.nodes[node].liar {
                let now = self.now;
                self.judges.alive.published(*id, now);
            }
            self.count("published");
        }
        if let Asked::Publish { circle, subjects } = asked {
            for (subject, id) in subjects.into_iter().zip(done.written.iter().map(|written| &written.id)) {
                let Some(subject) = subject else { continue };
                let published = &mut self.nodes[node].published;
                match published.iter_mut().find(|known| known.subject == subject && known.circle == circle) {
                    Some(known) => known.last = *id,
                    None => published.push(Published { subject, circle, last: *id }),
                }
            }
        }
    }

    pub(crate) fn work(&mut self, work: &Work) {
        let node = match work {
            Work::Publish { node, .. } | Work::Correct { node } | Work::Retract { node } => *node,
        };
        if self.nodes[node].mesh.is_none() {
            self.count("requests to a node that is down");
            return;
        }
        let now_ms = self.nodes[node].now(self.now).wall;
        let published = &self.nodes[node].published;
        let before = (!published.is_empty()).then(|| published[self.dice.index(published.len())].clone());
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let (circle, bodies) = match (work, before) {
            (Work::Publish { circle, count, .. }, _) => {
                let kind = self.cast.circles[*circle].kind;
                let bodies = (0..*count).map(|_| workload::body(&mut self.dice, kind, now_ms)).collect();
                (*circle, bodies)
            }
            (Work::Correct { .. }, Some(before)) => {
                let kind = self.cast.circles[before.circle].kind;
                (before.circle, vec![workload::correction(&mut self.dice, &before, kind, now_ms)])
            }
            (Work::Retract { .. }, Some(before)) => {
                self.nodes[node].published.retain(|known| known.subject != before.subject);
                self.nodes[node].asked.insert(ticket, Asked::Retract);
                let reason = self.dice.below(8) as u16;
                let input = Input::Retract { ticket, subject: before.subject, reason };
                self.give(node, Item::Input(input));
                return;
            }
            (_, None) => return,
        };
        self.publish(node, circle, bodies);
    }

    /// People publish bodies.
    pub fn publish(&mut self, node: usize, circle: usize, bodies: Vec<Body>) {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let subject = |body: &Body| {
            if let Body::Report(report) = body { Some(report.subject) } else { None }
        };
        let subjects = bodies.iter().map(subject).collect();
        self.nodes[node].asked.insert(ticket, Asked::Publish { circle, subjects });
        let circle = self.cast.circles[circle].id;
        self.give(node, Item::Input(Input::Publish { ticket, circle, bodies }));
    }
}
