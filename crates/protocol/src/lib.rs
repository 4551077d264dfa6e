//! Who is told: wire messages and [`Mesh`], the state machine of gossip, catch-up and membership.
//!
//! ```text
//! Input --handle--> admit: roster, verify, place in its log, judge --> store (staged) + Output (staged)
//!                                                                            |
//!                                                       commit: one batch, one flush --> Effects leave
//! ```
//!
//! No sockets, no clock, no randomness but a seeded generator: the simulator runs the very same code as the product.
//! Nothing leaves before what it speaks of is durable.

mod admit;
mod bodies;
mod bounds;
mod budget;
mod catchup;
mod claims;
mod clock;
pub mod directory;
mod early;
mod empty;
mod fork;
mod frontier;
mod graft;
mod heads;
mod index;
mod io;
pub mod judge;
mod link;
mod lobby;
mod mesh;
pub mod message;
mod rejudge;
pub mod session;
mod sizes;
mod sources;
mod spread;
mod status;
mod tree;
mod why;
mod write;

pub use budget::Meter;
pub use clock::Reading;
pub use directory::Directory;
pub use heads::{HeadState, ReceiptState};
pub use index::{Filler, Index, read};
pub use io::{Done, Effect, Event, Input, LinkId, Now, Output, RequestError, Ticket, Written};
pub use mesh::{Config, Identity, Mesh};
pub use session::{Room, Session};
pub use sizes::Sizes;
pub use status::{LogStatus, OrgStatus, PeerStatus, Status, WantedBodies};
pub use why::Why;
