//! The tocsin node: one binary that is daemon and command line. All network and clock I/O of the
//! project is here; the crates below it are pure.

pub mod clock;
pub mod home;
pub mod identity;
pub mod net;
pub mod term;

/// Runs the command line.
pub fn main() {}
