//! What is to happen when: events in order of time, ties in the order in which they were made.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use bytes::Bytes;
use tocsin_protocol::message::Lane;
use tocsin_protocol::{Effect, LinkId};

use crate::world::Micros;

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
    /// The oracles look at a node.
    LookIn(usize),
    /// People do something.
    Work(usize),
    /// People change a circle.
    Change(usize),
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

/// Events that have not happened.
#[derive(Default)]
pub(crate) struct Agenda {
    heap: BinaryHeap<Reverse<Entry>>,
    next_no: u64,
}

impl Agenda {
    /// Something is to happen at a moment.
    pub fn add(&mut self, at: Micros, event: Event) {
        self.next_no += 1;
        self.heap.push(Reverse(Entry { at, no: self.next_no, event }));
    }

    /// The next event up to a moment, with its time.
    pub fn next(&mut self, until: Micros) -> Option<(Micros, Event)> {
        self.heap.peek().filter(|Reverse(next)| next.at <= until)?;
        self.heap.pop().map(|Reverse(entry)| (entry.at, entry.event))
    }
}
