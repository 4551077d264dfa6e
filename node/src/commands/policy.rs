//! `tocsin policy`: check the node's policy, or load it anew.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use serde::Serialize;
use tocsin_api::types::PolicyAnswer;
use tocsin_cli::commands::{Context, done};
use tocsin_cli::term;
use tocsin_home::{Home, files};
use tocsin_service::policy;
use tocsin_text as text;

/// Check the node's policy, or load it anew.
///
/// The policy is HOME/policy.cedar, in the Cedar language: rules about fetch, accept, hold, forward, query and
/// export. `forbid` beats `permit`, and what no rule permits is denied. A file that does not check leaves the old
/// policy in force. SIGHUP to the node loads it anew as well.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin --home ./aa policy check
  tocsin policy check --file new.cedar
  tocsin --home ./aa policy reload
  tocsin policy preset national-cert > policy.cedar
  tocsin policy schema | less              (what rules may ask about)")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Check a policy file and list its rules
    Check {
        /// The file (default: policy.cedar in the home)
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Load the policy file anew in the running node
    Reload,
    /// Print a policy to begin with: observer, member or national-cert
    Preset {
        /// Which
        name: String,
    },
    /// Print what rules may ask about: the schema, with a comment for each attribute
    Schema,
}

/// A text as `--json` prints it.
#[derive(Serialize)]
struct Text {
    text: &'static str,
}

pub(crate) fn run(context: &Context, args: Args) -> Result<ExitCode> {
    match args.what {
        What::Check { file } => {
            let file = file.unwrap_or_else(|| Home::at(&context.home).policy_file());
            let text = files::read_text(&file, policy::FILE_MAX)?;
            show(context, &policy::check(&text, &file)?)?;
        }
        What::Reload => {
            let answer: PolicyAnswer = context.client().post("/v1/policy/reload", &())?;
            show(context, &answer)?;
        }
        What::Preset { name } => {
            let text = policy::preset(&name)?;
            context.print(&Text { text }, || text.trim_end().to_owned())?;
        }
        What::Schema => {
            let text = tocsin_policy::SCHEMA;
            context.print(&Text { text }, || text.trim_end().to_owned())?;
        }
    }
    done()
}

fn show(context: &Context, answer: &PolicyAnswer) -> Result<()> {
    context.print(answer, || {
        let rows: Vec<Vec<String>> = answer
            .rules
            .iter()
            .map(|rule| vec![rule.id.clone(), rule.effect.clone(), rule.actions.join(", ")])
            .collect();
        let state = if answer.in_force { "in force" } else { "good" };
        let mut out =
            format!("{}: {state}, {}\n", answer.file, text::count(answer.rules.len() as u64, "rule"));
        out.push_str(&term::table(&["rule", "effect", "actions"], &rows));
        for warning in &answer.warnings {
            out.push_str(&format!(
                "\n{} {}",
                term::paint(term::Style::Warn, "warning:"),
                text::escape(warning)
            ));
        }
        out
    })
}
