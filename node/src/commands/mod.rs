//! The verbs that need what only a node has: its engine and its policy.

mod policy;
mod restore;
mod run;

use std::process::ExitCode;

use anyhow::Result;
use tocsin_cli::commands::Context;
use tocsin_cli::commands::node::NodeVerb;
use tocsin_testnet::commands as testnets;

/// Does such a verb.
pub(crate) fn run(context: &Context, verb: NodeVerb) -> Result<ExitCode> {
    match verb {
        NodeVerb::Run(args) => run::run(context, args),
        NodeVerb::Restore(args) => restore::run(context, args),
        NodeVerb::Policy(args) => policy::run(context, args),
        NodeVerb::Testnet(args) => testnets::testnet::run(context, args),
        NodeVerb::Demo(args) => testnets::demo::run(context, args),
    }
}
