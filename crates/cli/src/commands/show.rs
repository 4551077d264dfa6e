//! `tocsin show`: all that a record says.

use std::process::ExitCode;

use anyhow::Result;
use tocsin_api::types::Shown;
use tocsin_text as text;

use super::{Context, Purpose, done};
use crate::term::{self, Style};

/// Show all that a record says.
///
/// Takes a record's id, the beginning of one (8 digits or more), or a report's subject.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin show 3f9a12c4
  tocsin --json show 6ba7b810-9dad-11d1-80b4-00c04fd430c8")]
pub struct Args {
    /// Record or subject
    id: String,
    #[command(flatten)]
    asked: Purpose,
}

/// Asks the node for the record and prints all of it.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let path = format!("/v1/records/{}{}", super::path_word(&args.id)?, args.asked.query());
    let shown: Shown = context.client().get(&path)?;
    context.print(&shown, || text(&shown))?;
    done()
}

fn text(shown: &Shown) -> String {
    let record = &shown.record;
    let e = |text: &str| text::escape(text).into_owned();
    let mut out = format!(
        "{} {}\n  record    {}\n  author    {} in circle {}, number {} of log {}\n  written   {}, came {}\n  \
         judged    {} by rule {}\n  body      {}\n",
        term::paint(Style::Bold, &record.kind),
        e(record.title.as_deref().unwrap_or_default()),
        record.record,
        e(&record.author),
        e(&record.circle),
        record.seq,
        record.epoch,
        record.time,
        record.received,
        record.verdict,
        e(&record.rule),
        record.body,
    );
    if let Some(taken_back) = &record.taken_back {
        out.push_str(&format!("  {}\n", term::paint(Style::Bad, &e(&taken_back.to_string()))));
    }
    if let Some(subject) = &record.subject {
        out.push_str(&format!("  subject   {subject}\n"));
    }
    if let Some(before) = &record.supersedes {
        out.push_str(&format!("  replaces  {before}\n"));
    }
    if let Some(origin) = &shown.origin {
        let source =
            origin.source.as_deref().map_or_else(String::new, |source| format!(" from {}", e(source)));
        out.push_str(&format!(
            "  origin    {}{source} {}\n",
            origin.kind,
            e(origin.id.as_deref().unwrap_or_default())
        ));
    }
    if let Some(marking) = &shown.marking {
        out.push_str(&format!("  marking   {}\n", e(&marking.to_string())));
    }
    if !shown.shared_to.is_empty() {
        out.push_str(&format!("  shared to {}\n", e(&shown.shared_to.join(", "))));
    }
    if !shown.labels.is_empty() {
        out.push_str(&format!("  labels    {}\n", e(&shown.labels.join(", "))));
    }
    for text in
        [Some(&shown.description), shown.text.as_ref()].into_iter().flatten().filter(|text| !text.is_empty())
    {
        out.push_str(&format!(
            "\n{}\n",
            text.lines().map(|line| format!("  {}", e(line))).collect::<Vec<_>>().join("\n")
        ));
    }
    if !shown.indicators.is_empty() {
        let rows: Vec<Vec<String>> = shown
            .indicators
            .iter()
            .map(|indicator| {
                vec![
                    indicator.kind.clone(),
                    text::cut(&indicator.value, 80),
                    indicator.indicates.clone(),
                    indicator.confidence.map_or_else(|| "-".to_owned(), |sure| sure.to_string()),
                    indicator.not_matched.clone().unwrap_or_else(|| text::cut(&indicator.comment, 40)),
                ]
            })
            .collect();
        out.push_str(&format!("\n{}\n", term::table(&["type", "value", "indicates", "sure", "note"], &rows)));
        if record.indicator_count > shown.indicators.len() as u64 {
            out.push_str(&format!(
                "... and {} more\n",
                record.indicator_count - shown.indicators.len() as u64
            ));
        }
    }
    for said in &shown.acknowledged_by {
        let (org, node) = (e(&said.org), e(&said.node));
        out.push_str(&match (said.time.0, &said.header_only) {
            (0, None) => format!("  not acknowledged yet by {org} ({node})\n"),
            (_, None) => format!("  acknowledged by {org} ({node}) at {}\n", said.time),
            (0, Some(rule)) => {
                format!("  not acknowledged yet by {org} ({node}): header only, by rule {}\n", e(rule))
            }
            (_, Some(rule)) => {
                format!(
                    "  acknowledged by {org} ({node}) at {}: header only, by rule {}\n",
                    said.time,
                    e(rule)
                )
            }
        });
    }
    out.truncate(out.trim_end().len());
    out
}
