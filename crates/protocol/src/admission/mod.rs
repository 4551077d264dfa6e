//! What is taken, held and written: the one door, and all that stands behind it.

pub(crate) mod admit;
pub(crate) mod fork;
pub mod judge;
pub(crate) mod rejudge;
pub(crate) mod write;
