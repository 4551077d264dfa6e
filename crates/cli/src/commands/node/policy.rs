//! The words of `tocsin policy`.

use std::path::PathBuf;

use clap::Subcommand;

use crate::commands::Purpose;

/// Check the node's policy, compare it, or load it anew.
///
/// The policy is HOME/policy.cedar, in the Cedar language: rules about fetch, accept, hold, forward, query and
/// export. `forbid` beats `permit`, and what no rule permits is denied. A file that does not check leaves the old
/// policy in force. SIGHUP to the node loads it anew as well.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin --home ./aa policy check
  tocsin policy check --file new.cedar
  tocsin policy diff --file new.cedar      (what it would change of what is here)
  tocsin policy diff --purpose research    (and of what is shown to who states that)
  tocsin --home ./aa policy reload
  tocsin policy preset national-cert > policy.cedar
  tocsin policy schema | less              (what rules may ask about)")]
pub struct Args {
    /// What is done.
    #[command(subcommand)]
    pub what: What,
}

/// What is done.
#[derive(Subcommand, Debug)]
pub enum What {
    /// Check a policy file and list its rules
    Check {
        /// The file (default: policy.cedar in the home)
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Tell which records and sends another policy would change in the running node
    Diff {
        /// The file (default: policy.cedar in the home, which may be newer than what is in force)
        #[arg(long)]
        file: Option<PathBuf>,
        /// For whom it is told what would be shown
        #[command(flatten)]
        asked: Purpose,
    },
    /// Load the policy file anew in the running node, and the `[person]` of config.toml, and tell what that changed
    Reload {
        /// Tell what would change, and put nothing in force
        #[arg(long)]
        dry_run: bool,
    },
    /// Print a policy to begin with: observer, member or national-cert
    Preset {
        /// Which
        name: String,
    },
    /// Print what rules may ask about: the schema, with a comment for each attribute
    Schema,
}
