//! Catch-up: what is known to exist and is not here is asked of those who have it, by chance and in turn.
//!
//! Logs that are behind are wanted as pages (`wants`), bodies behind known headers singly (`bodies`). Both ask whom
//! `sources` draws. It holds no record: what it needs to know of the store it asks through [`crate::held::Held`], and what
//! it asks of peers waits on their links.

mod bodies;
mod claims;
mod early;
pub(crate) mod empty;
pub(crate) mod frontier;
mod sources;
mod wants;

use tocsin_record::NodeKey;
use tocsin_store::LogNo;

use crate::io::LinkId;
use bodies::Bodies;
pub(crate) use bodies::{say_due_holes, say_holes};
use claims::Claims;
use early::Early;
use sources::Sources;
use wants::Wants;

/// What is missing, who says to have it, who was asked, and what is known of them as sources.
#[derive(Debug, Default)]
pub(crate) struct CatchUp {
    wants: Wants,
    bodies: Bodies,
    /// Bodies announced before their headers came.
    early: Early,
    sources: Sources,
    pub claims: Claims,
}

impl CatchUp {
    /// A link ended. `node` is who stood at its other end, if it was in.
    pub fn link_ended(&mut self, link: LinkId, node: Option<NodeKey>, mono: u64) {
        // Who leaves instead of giving what it claimed comes back no better.
        if let Some(node) = node
            && self.wants.owes(link)
        {
            self.sources.failed(node, mono);
        }
        self.forget(link);
    }

    /// What a link said and was asked is worth nothing any more: frames were lost, or it ended.
    pub fn forget(&mut self, link: LinkId) {
        self.wants.forget(link);
        self.early.forget(link);
        self.bodies.forget(link);
    }

    /// The log's number is another's from now on.
    pub fn forget_log(&mut self, log: LogNo) {
        self.wants.forget_log(log);
        self.early.forget_log(log);
    }

    /// Forgets nodes that are certified no more.
    pub fn retain(&mut self, is_certified: impl Fn(NodeKey) -> bool) {
        self.sources.retain(is_certified);
    }

    /// A node gave so many bytes that were missing.
    pub fn gave(&mut self, node: NodeKey, bytes: usize) {
        self.sources.gave(node, bytes);
    }

    /// Whether what a node announces is taken for more than words.
    pub fn is_believed(&self, node: NodeKey) -> bool {
        self.sources.is_believed(node)
    }
}
