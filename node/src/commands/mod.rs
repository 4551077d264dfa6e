//! The verbs that need what only a node has: its engine, its policy, or processes of itself.

pub mod demo;
pub mod policy;
pub mod run;
pub mod testnet;
