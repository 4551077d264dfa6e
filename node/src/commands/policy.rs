//! `tocsin policy`: check the node's policy, compare it, or load it anew.

use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;
use tocsin_api::route;
use tocsin_api::types::{PolicyAnswer, PolicyDiff, PolicyDiffRequest};
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
        What::Diff { file, asked } => {
            let file = match file {
                Some(file) => file,
                None => context.home()?.policy_file(),
            };
            let text = files::read_text(&file, policy::FILE_MAX)?;
            let (purpose, reference, include) = asked.stated();
            let request =
                PolicyDiffRequest { file: file.display().to_string(), text, purpose, reference, include };
            let diff: PolicyDiff = context.client().post(route::POLICY_DIFF, &request)?;
            context.print(&diff, || changes_text(&diff) + &warnings_text(&diff.warnings))?;
        }
        What::Reload { dry_run } => {
            let client = context.client();
            let route = route::POLICY_RELOAD;
            let answer: PolicyAnswer = if dry_run { client.get(route)? } else { client.post(route, &())? };
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
        if let Some(diff) = &answer.diff {
            out.push_str(&format!("\n\n{}", changes_text(diff)));
        }
        out.push_str(&warnings_text(&answer.warnings));
        out
    })
}

fn warnings_text(warnings: &[String]) -> String {
    let warning = term::paint(term::Style::Warn, "warning:");
    warnings.iter().map(|text| format!("\n{warning} {}", text::escape(text))).collect()
}

/// Digits of an id in a table: enough to name the record by.
const ID_SHOWN: usize = 8;

fn changes_text(diff: &PolicyDiff) -> String {
    let looked = text::count(diff.looked, "record");
    let looked = if diff.more { format!("the last {looked}") } else { looked };
    if diff.changes.is_empty() {
        return format!("nothing changes of {looked}");
    }
    let rows: Vec<Vec<String>> = diff
        .changes
        .iter()
        .map(|change| {
            let what = change.org.as_ref().map_or_else(|| change.what.clone(), |org| format!("to {org}"));
            let example = change.examples.first().map(|id| id.chars().take(ID_SHOWN).collect());
            vec![
                what,
                change.was.clone(),
                change.is.clone(),
                change.rule.clone(),
                change.records.to_string(),
                example.unwrap_or_default(),
            ]
        })
        .collect();
    let table = term::table(&["what", "was", "becomes", "by rule", "records", "such as"], &rows);
    format!("changes, of {looked}:\n{table}")
}
