//! What strangers do to a node's way in, and what it lacks to let others in.

use serde::{Deserialize, Serialize};

/// The way in. Counts are since the start where nothing else is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Handshakes that others began over TCP.
    pub tcp: Handshakes,
    /// The same over QUIC.
    pub quic: Handshakes,
    /// Connections that ended after their handshake, for want of a place or of a right.
    pub turned_away: u64,
    /// What happened in the last minute or two.
    pub of_late: OfLate,
}

/// What became of handshakes that others began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handshakes {
    /// Under way now.
    pub under_way: u64,
    /// Begun.
    pub begun: u64,
    /// Ended with a proven key.
    pub proven: u64,
    /// Failed.
    pub failed: u64,
    /// Were not over in time.
    pub timed_out: u64,
    /// Gave way to newer ones.
    pub gave_way: u64,
    /// Were refused, as their host begins too many.
    pub refused: u64,
    /// Were asked to prove their address first.
    pub asked_to_prove: u64,
}

/// What happened in the last minute or two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfLate {
    /// Handshakes of others that came to nothing.
    pub in_vain: u64,
    /// Handshakes of others that went well.
    pub proven: u64,
    /// The host that began most of those that came to nothing, as far as addresses were proven; an IPv6 host is a /64.
    pub worst_host: Option<String>,
    /// How many it began.
    pub of_worst_host: u64,
    /// Connections for which no file descriptor was free.
    pub no_descriptor: u64,
    /// Other errors of listeners.
    pub listener_errors: u64,
}
