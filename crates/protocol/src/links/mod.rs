//! Links: who stands at the other end, what waits to be sent there, and what work is done for it.

pub(crate) mod budget;
pub(crate) mod link;
mod lobby;
