//! Catch-up: what is known to exist and is not here, found by comparing and asked of those who have it.

pub(crate) mod bodies;
pub(crate) mod claims;
pub(crate) mod early;
pub(crate) mod empty;
mod frontier;
pub(crate) mod sources;
pub(crate) mod wants;
