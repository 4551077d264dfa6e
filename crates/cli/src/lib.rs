//! The command line's side: one verb a file, what it prints, and the reading of files that are imported. It speaks to a
//! running node over its socket and reads and writes homes; it links neither the network nor the policy nor the store.
//!
//! All of it is the command `tocsin`. What needs a node it hands over to a second program ([`handover`]).

// These panic where nobody reads any more: `commands::print_line` and `term::tell` do not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod command_line;
pub mod commands;
mod guard;
pub mod handover;
pub mod importer;
pub mod term;
