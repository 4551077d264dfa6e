//! What listens for a node's people and their programs. Each listener turns its own form of requests into those of
//! `tocsin-service`, and decides nothing.

mod bodies;
pub mod socket;
