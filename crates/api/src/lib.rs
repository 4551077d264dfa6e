//! What a node and the programs of its people say to each other over its Unix socket: the types, as JSON, and a client
//! that needs nothing but `std`. The command line, the tests and others' programs share it.

pub mod client;
pub mod route;
pub mod types;
