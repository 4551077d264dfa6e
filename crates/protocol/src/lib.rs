//! Who is told: wire messages and [`Mesh`], the state machine of gossip, catch-up and membership.
//!
//! ```text
//! Input --handle--> admit: roster, verify, place in its log, judge --> store (staged) + Output (staged)
//!                                                                            |
//!                                                       commit: one batch, one flush --> Effects leave
//! ```
//!
//! [`Mesh`] routes inputs to four parts that do not know it: the sessions beside the core, spreading, catch-up, and admission,
//! which alone owns the store. `tests/parts.rs` holds the arrows between them.
//!
//! No sockets, no clock, no randomness but a seeded generator: the simulator runs the very same code as the product.
//! Nothing leaves before what it speaks of is durable.

mod admission;
mod bounds;
mod catchup;
mod clock;
pub mod directory;
mod held;
mod index;
mod io;
mod links;
mod mesh;
pub mod message;
pub mod session;
mod spread;
mod why;

pub use admission::by_hand::{Decider, Decision, REASON_MAX, is_decided_here, is_for_people};
pub use admission::waiting::{HoldDefault, Waiting};
pub use admission::{BY_HAND, Identity, NOT_RESTORED, NOT_RESTORED_WITH_CLOCK, judge};
pub use clock::Reading;
pub use directory::{Directory, Membership};
pub use index::{Filler, Index, read, subject_key};
pub use io::{
    Brought, BundlePart, BundleRequest, CircleRequest, Done, Effect, Event, Given, GivenRun, Input, LinkId,
    Now, Output, RequestError, Ticket, Write, Written,
};
pub use links::budget::Meter;
pub use mesh::carried::Reached;
pub use mesh::sizes::Sizes;
pub use mesh::status::{LogStatus, OrgStatus, PeerStatus, Status, WantedBodies};
pub use mesh::{Config, Mesh};
pub use session::{Room, Session};
pub use spread::heads::{HeadState, ReceiptState};
pub use why::Why;
