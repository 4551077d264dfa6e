//! `tocsin policy`: check the node's policy, or load it anew.

use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;
use tocsin_api::types::PolicyAnswer;
use tocsin_cli::commands::node::policy::{Args, What};
use tocsin_cli::commands::{Context, done};
use tocsin_cli::term;
use tocsin_home::{files, presets};
use tocsin_service::policy;
use tocsin_text as text;

/// A text as `--json` prints it.
#[derive(Serialize)]
struct Text {
    text: &'static str,
}

pub(super) fn run(context: &Context, args: Args) -> Result<ExitCode> {
    match args.what {
        What::Check { file } => {
            let file = match file {
                Some(file) => file,
                None => context.home()?.policy_file(),
            };
            let text = files::read_text(&file, policy::FILE_MAX)?;
            show(context, &policy::check(&text, &file)?)?;
        }
        What::Reload => {
            let answer: PolicyAnswer = context.client().post("/v1/policy/reload", &())?;
            show(context, &answer)?;
        }
        What::Preset { name } => {
            let text = presets::text(&name)?;
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
