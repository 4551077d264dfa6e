//! The verbs of testnets.

pub mod demo;
pub mod testnet;
