//! Nodes in one process, over memory disks and an instant network. One program, because each would link all that a node is
//! made of: `cargo test --workspace --test nodes -- sealing::` runs one of its parts.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod attacks;
mod by_hand;
mod carried;
mod circles;
mod claims;
mod clock;
mod damage;
mod heard;
mod hostile;
mod index;
mod invitations;
mod lobby;
mod newer;
mod policies;
mod receipts;
mod removed;
mod sealing;
mod sources;
mod spread;
mod tickets;
mod world;
