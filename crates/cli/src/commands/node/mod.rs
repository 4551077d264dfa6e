//! The verbs that need what only a node has: an engine, a policy, nodes to start. Their words stand here, so that one help has
//! them all; what they do is in the node program.

pub mod demo;
pub mod policy;
pub mod restore;
pub mod run;
pub mod testnet;

/// Such a verb, with its words.
#[derive(Debug)]
pub enum NodeVerb {
    /// Run the node.
    Run(run::Args),
    /// Make a node of a backup.
    Restore(restore::Args),
    /// Check the node's policy, compare it, or load it anew.
    Policy(policy::Args),
    /// Keep a private mesh of several nodes on this machine.
    Testnet(testnet::Args),
    /// See five agencies warn each other.
    Demo(demo::Args),
}
