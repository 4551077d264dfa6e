//! Figures of a run: bytes by kind of message, and how long records took.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_protocol::Event;
use tocsin_protocol::message::Message;
use tocsin_record::{RecordId, codec};
use tocsin_store::Verdict;

use crate::registry::Registry;
use crate::world::Micros;

/// Bytes that a frame costs below this protocol: IP, TCP or UDP, encryption.
pub const FRAME_COST: u64 = 40;

/// What was measured.
#[derive(Debug, Default)]
pub struct Measure {
    /// Frames and bytes are counted now.
    pub counting: bool,
    /// Frames.
    pub frames: u64,
    /// Bytes of frames, with the cost of each.
    pub bytes: u64,
    /// Of these, bytes by kind of message, with its share of the cost.
    pub kinds: BTreeMap<&'static str, f64>,
    /// Deliveries: record, author, receiver, microseconds from the author's commit to the receiver's answer.
    pub delivered: Vec<(RecordId, usize, usize, Micros)>,
    seen: BTreeSet<(usize, RecordId)>,
}

impl Measure {
    /// A frame is sent.
    pub fn frame(&mut self, messages: &[Message], len: usize) {
        if !self.counting {
            return;
        }
        self.frames += 1;
        self.bytes += len as u64 + FRAME_COST;
        #[expect(clippy::cast_precision_loss, reason = "frames are far below 2^52 bytes")]
        for message in messages {
            let size = codec::size(message) as f64;
            let share = size / (len as f64).max(1.0) * FRAME_COST as f64;
            *self.kinds.entry(message.name()).or_default() += size + share;
        }
    }

    /// A node tells something.
    pub fn event(&mut self, node: usize, event: &Event, now: Micros, registry: &Registry) {
        let Event::Judged { id, verdict: Verdict::Accepted, .. } = event else {
            return;
        };
        let Some(truth) = registry.get(id) else { return };
        if truth.author != node && self.seen.insert((node, *id)) {
            self.delivered.push((*id, truth.author, node, now - truth.at_us));
        }
    }
}
