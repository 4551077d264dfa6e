//! The command line's side: one verb a file, what it prints, and the reading of files that are imported. It speaks to a
//! running node over its socket and reads and writes homes; it links neither the network nor the policy nor the store.
//!
//! The binary puts the verbs into one command line, and hands in what only a node has ([`commands::Context::preset`]).

pub mod commands;
pub mod importer;
pub mod term;
