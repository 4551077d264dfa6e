//! Live spreading: what is new goes along a tree for each log, and what the trees left out is grafted.

mod graft;
pub(crate) mod heads;
mod push;
pub(crate) mod tree;

pub(crate) use graft::GRAFT_MAX;
