//! The node's HTTP interface on its Unix socket, and the command line's side of it.

pub mod client;
pub mod server;
pub mod types;
