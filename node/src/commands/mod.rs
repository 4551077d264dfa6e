//! The verbs that need what only a node has: its engine and its policy.

pub mod policy;
pub mod run;
