//! Links: two ordered lanes each way, with latency, bandwidth, a bounded outbox, and all that goes wrong on the way.

use std::collections::BTreeSet;

use bytes::Bytes;
use tocsin_protocol::message::{FRAME_MAX, LOBBY_DOCUMENT_MAX, LOBBY_FRAME_MAX, Lane};
use tocsin_protocol::{Input, LinkId, Room, Session};

use crate::config::Config;
use crate::dice::Dice;
use crate::liar::{Chance, Twisted};
use crate::node::Item;
use crate::world::{Event, Micros, World};

/// A pair of nodes that keep a link.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Both nodes, by their places in the world.
    pub ends: [usize; 2],
    /// One way.
    pub latency_us: Micros,
    /// Of the bulk lane, in bytes a second.
    pub bandwidth: u64,
    /// The connection, while there is one.
    pub link: Option<LinkId>,
    /// How long to wait before the next try.
    pub backoff_ms: u64,
}

impl Pair {
    /// Draws the link of a pair.
    #[must_use]
    pub fn draw(ends: (usize, usize), config: &Config, dice: &mut Dice) -> Self {
        let (from, to) = config.latency_ms;
        Self {
            ends: [ends.0, ends.1],
            latency_us: dice.range(from * 1000, to * 1000),
            bandwidth: dice.range(config.bandwidth.0, config.bandwidth.1),
            link: None,
            backoff_ms: 0,
        }
    }
}

/// One lane of one direction.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    /// The line is busy until then.
    busy_until: Micros,
    /// When the last frame arrives.
    last: Micros,
    /// Bytes on their way.
    queued: usize,
    /// A frame was dropped since it was last half empty.
    full: bool,
}

/// A connection.
#[derive(Clone, Debug)]
pub struct Conn {
    /// Of which pair.
    pub pair: usize,
    /// The two nodes.
    pub ends: [usize; 2],
    /// Their lives: a connection does not outlive a process.
    pub lives: [u32; 2],
    /// Whether each end sees it.
    pub seen: [bool; 2],
    /// Whether each end let the other in.
    pub admitted: [bool; 2],
    /// When it was made.
    pub since: Micros,
    /// It is ending: nothing passes.
    pub ending: bool,
    latency_us: Micros,
    bandwidth: u64,
    frames_in: [u32; 2],
    ways: [[Way; 2]; 2],
}

/// Two sides that do not reach each other.
#[derive(Clone, Debug)]
pub struct Dark {
    /// One side.
    pub side: BTreeSet<usize>,
    /// Frames are lost from that side, and to it.
    pub dark: [bool; 2],
}

impl World {
    fn is_dark(&self, from: usize, to: usize) -> bool {
        self.darks.values().any(|dark| {
            let (out, into) = (dark.side.contains(&from), dark.side.contains(&to));
            (out && !into && dark.dark[0]) || (!out && into && dark.dark[1])
        })
    }

    /// A pair tries to connect, if both are up and reach each other.
    pub(crate) fn dial(&mut self, pair: usize) {
        if self.pairs[pair].link.is_some() {
            return;
        }
        let ends = self.pairs[pair].ends;
        let up = ends.iter().all(|node| self.nodes[*node].mesh.is_some());
        if !up || self.is_dark(ends[0], ends[1]) || self.is_dark(ends[1], ends[0]) {
            let at = self.now + self.dice.range(300_000, 1_500_000);
            self.schedule(at, Event::Dial(pair));
            return;
        }
        let link = self.next_link;
        self.next_link += 1;
        let (latency_us, bandwidth) = (self.pairs[pair].latency_us, self.pairs[pair].bandwidth);
        let conn = Conn {
            pair,
            ends,
            lives: ends.map(|node| self.nodes[node].life),
            seen: [false; 2],
            admitted: [false; 2],
            since: self.now,
            ending: false,
            latency_us,
            bandwidth,
            frames_in: [0; 2],
            ways: Default::default(),
        };
        self.conns.insert(link, conn);
        self.pairs[pair].link = Some(link);
        // TCP and Noise, or QUIC: a round trip and a half at least.
        self.schedule(self.now + 3 * latency_us, Event::Up(link));
    }

    pub(crate) fn up(&mut self, link: LinkId) {
        let Some(conn) = self.conns.get(&link) else { return };
        let alive = |end: usize| {
            let node = &self.nodes[conn.ends[end]];
            node.mesh.is_some() && node.life == conn.lives[end]
        };
        let (ends, pair, ms) = (conn.ends, conn.pair, (2 * conn.latency_us / 1000).max(1));
        if conn.ending || !alive(0) || !alive(1) {
            self.conns.remove(&link);
            self.pairs[pair].link = None;
            let at = self.now + self.dice.range(300_000, 1_500_000);
            self.schedule(at, Event::Dial(pair));
            return;
        }
        if let Some(conn) = self.conns.get_mut(&link) {
            conn.seen = [true; 2];
        }
        self.count("links");
        for end in 0..2 {
            let peer = self.cast.nodes[ends[1 - end]].transport;
            let room = Room::default();
            self.nodes[ends[end]].sessions.insert(link, Session::new(self.cast.mesh, room.clone()));
            self.give(ends[end], Item::Input(Input::LinkUp { link, peer, room }));
            self.give(ends[end], Item::Input(Input::Rtt { link, ms }));
        }
    }

    /// A link ends: the end that closed it knows at once, the other when it hears of it.
    pub(crate) fn end_link(&mut self, link: LinkId, by: Option<usize>) {
        let Some(conn) = self.conns.get_mut(&link) else {
            return;
        };
        if std::mem::replace(&mut conn.ending, true) {
            return;
        }
        let latency = conn.latency_us;
        for end in 0..2 {
            let late = if by == Some(end) { 0 } else { latency };
            self.schedule(self.now + late, Event::Down(link, end));
        }
    }

    pub(crate) fn down(&mut self, link: LinkId, end: usize) {
        let Some(conn) = self.conns.get_mut(&link) else {
            return;
        };
        conn.ending = true;
        let (node, life) = (conn.ends[end], conn.lives[end]);
        let seen = std::mem::replace(&mut conn.seen[end], false);
        let (over, pair, since) = (conn.seen == [false; 2], conn.pair, conn.since);
        if seen && self.nodes[node].life == life {
            self.give(node, Item::Input(Input::LinkDown { link }));
        }
        if !over || self.pairs[pair].link != Some(link) {
            return;
        }
        self.conns.remove(&link);
        self.peek.forget(link);
        let backoff = &mut self.pairs[pair].backoff_ms;
        // A link that did not last is tried ever more seldom.
        *backoff = if self.now - since > 10_000_000 { 200 } else { (*backoff * 2).clamp(200, 20_000) };
        let wait = *backoff * 1000;
        self.pairs[pair].link = None;
        let at = self.now + wait + self.dice.below(300_000);
        self.schedule(at, Event::Dial(pair));
    }

    /// A machine is gone: its peers notice, sooner or later.
    pub(crate) fn links_end(&mut self, node: usize) {
        let mine = |conn: &Conn| conn.ends.iter().position(|end| *end == node);
        let links: Vec<(LinkId, usize)> =
            self.conns.iter().filter_map(|(link, conn)| Some((*link, mine(conn)?))).collect();
        for (link, end) in links {
            let late = self.dice.range(1_000, 4_000_000);
            if let Some(conn) = self.conns.get_mut(&link) {
                conn.ending = true;
                conn.seen[end] = false;
            }
            self.schedule(self.now + late, Event::Down(link, 1 - end));
        }
    }

    /// Connections that a partition cuts end when their time-outs say so.
    pub(crate) fn cut_dark(&mut self) {
        let dark = |conn: &Conn| {
            self.is_dark(conn.ends[0], conn.ends[1]) || self.is_dark(conn.ends[1], conn.ends[0])
        };
        let links: Vec<LinkId> =
            self.conns.iter().filter(|(_, conn)| dark(conn)).map(|(link, _)| *link).collect();
        for link in links {
            for end in 0..2 {
                let at = self.now + self.dice.range(1_000_000, 9_000_000);
                self.schedule(at, Event::Down(link, end));
            }
        }
    }

    /// A frame leaves a node.
    pub(crate) fn send(&mut self, node: usize, link: LinkId, lane: Lane, frame: Bytes) {
        let Some(conn) = self.conns.get(&link) else { return };
        let Some(end) = conn.ends.iter().position(|at| *at == node) else {
            return;
        };
        if self.nodes[node].liar.is_some() {
            for frame in self.twist(node, link, end, frame) {
                self.post(link, end, lane, frame);
            }
        } else {
            self.post(link, end, lane, frame);
        }
    }

    fn twist(&mut self, node: usize, link: LinkId, end: usize, frame: Bytes) -> Vec<Bytes> {
        let to = self.conns[&link].ends[1 - end];
        let Some(mut liar) = self.nodes[node].liar.take() else {
            return vec![frame];
        };
        let mut signed = Vec::new();
        let mut frames = vec![frame];
        if let Some(sight) = self.nodes[node].sight.clone() {
            let now_ms = self.nodes[node].now(self.now).wall;
            let names = self.peek.names_of(link, end);
            let chance = Chance { cast: &self.cast, sight: &sight, names, to, now_ms };
            frames = match liar.twist(&frames[0], &chance, &mut signed) {
                Twisted::Send(frames) => frames,
                Twisted::Nothing => Vec::new(),
            };
        }
        self.nodes[node].liar = Some(liar);
        for entry in signed {
            self.count("forks");
            self.registry.add(&self.cast, &entry, self.now);
        }
        frames
    }

    fn post(&mut self, link: LinkId, end: usize, lane: Lane, frame: Bytes) {
        let now = self.now;
        self.tell_oracles(link, end, &frame);
        let Some(conn) = self.conns.get_mut(&link) else {
            return;
        };
        let (from, to) = (conn.ends[end], conn.ends[1 - end]);
        let way = &mut conn.ways[end][lane as usize];
        if way.queued + frame.len() > self.config.outbox.max(frame.len()) {
            way.full = true;
            self.count("dropped at a full outbox");
            self.give(from, Item::Input(Input::Dropped { link }));
            return;
        }
        let transmit = frame.len() as u64 * 1_000_000 / conn.bandwidth.max(1);
        way.busy_until = way.busy_until.max(now) + transmit;
        let mut arrival = way.busy_until + conn.latency_us;
        way.queued += frame.len();
        let in_lobby = !conn.admitted[end] || !conn.admitted[1 - end];
        let faults = self.config.frames;
        let mut copies = 1;
        let mut overtaken = false;
        if !self.healed && !in_lobby {
            if lane == Lane::Live && self.dice.chance(faults.loss) {
                copies = 0;
            } else if self.dice.chance(faults.duplicate) {
                copies = 2;
            }
            if self.dice.chance(faults.delay) {
                arrival += 3 * conn.latency_us + self.dice.below(200_000);
            }
            overtaken = self.dice.chance(faults.reorder);
        }
        if overtaken {
            arrival += self.dice.below(100_000);
        } else {
            arrival = arrival.max(way.last);
            way.last = arrival;
        }
        if copies == 0 {
            way.queued -= frame.len();
            self.count("frames lost");
            return;
        }
        if self.is_dark(from, to) {
            self.count("frames lost in the dark");
            if let Some(conn) = self.conns.get_mut(&link) {
                conn.ways[end][lane as usize].queued -= frame.len();
            }
            return;
        }
        self.count("frames");
        for copy in 0..copies {
            if copy > 0
                && let Some(conn) = self.conns.get_mut(&link)
            {
                conn.ways[end][lane as usize].queued += frame.len();
            }
            self.schedule(arrival + copy * 500, Event::Arrive(link, 1 - end, lane, frame.clone()));
        }
    }

    pub(crate) fn arrive(&mut self, link: LinkId, end: usize, lane: Lane, frame: Bytes) {
        let Some(conn) = self.conns.get_mut(&link) else {
            return;
        };
        let (from, to) = (conn.ends[1 - end], conn.ends[end]);
        let way = &mut conn.ways[1 - end][lane as usize];
        way.queued -= frame.len();
        let drained = way.full && way.queued <= self.config.outbox / 2;
        if drained {
            way.full = false;
        }
        let open = !conn.ending && conn.seen[end] && self.nodes[to].life == conn.lives[end];
        conn.frames_in[end] += 1;
        let most = match (conn.admitted[end], conn.frames_in[end]) {
            (true, _) => FRAME_MAX,
            (false, 1) => LOBBY_FRAME_MAX,
            (false, _) => LOBBY_DOCUMENT_MAX,
        };
        if drained {
            self.give(from, Item::Input(Input::Drained { link }));
        }
        if !open {
            return;
        }
        if frame.len() > most {
            self.count("frames too long");
            self.end_link(link, Some(end));
            return;
        }
        self.trace.add(self.now, b'f', to, &frame);
        self.give(to, Item::Frame(link, frame));
    }
}
