//! `tocsin show`: all that a record says.

use std::process::ExitCode;

use anyhow::Result;
use tocsin_api::route;
use tocsin_api::types::{Acknowledged, Shown};
use tocsin_clock as clock;
use tocsin_text as text;

use super::{Context, Purpose, done, origin_text, print_line};
use crate::term::{self, Style};

/// Show all that a record says.
///
/// Takes a record's id, the beginning of one (8 digits or more), or a report's subject.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin show 3f9a12c4
  tocsin show 3f9a12c4 --original | jq .type
  tocsin --json show 6ba7b810-9dad-11d1-80b4-00c04fd430c8")]
pub struct Args {
    /// Record or subject
    id: String,
    /// Print what is kept of the source instead, as it came, an object a line
    #[arg(long)]
    original: bool,
    #[command(flatten)]
    asked: Purpose,
}

/// Asks the node for the record and prints all of it.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let asked = args.asked.query_with(args.original.then_some("original=true"));
    let target = route::RECORD.of(super::path_word(&args.id)?).with(&asked);
    let shown: Shown = context.client().get(target)?;
    if args.original && !context.json {
        return print_originals(&shown);
    }
    context.print_fitted(&shown, || text(&shown))?;
    done()
}

/// Most columns of a value in the table; `--json` has all of it.
const VALUE_SHOWN: usize = 80;

fn print_originals(shown: &Shown) -> Result<ExitCode> {
    for original in &shown.original {
        // Within the strings of JSON no line ends, and between values an end of a line is a blank.
        let line = original.replace(['\n', '\r'], " ");
        print_line(&text::escape_json(&line))?;
    }
    let left = shown.originals.saturating_sub(shown.original.len() as u64);
    match (shown.originals, left) {
        (0, _) => term::tell("nothing of its source is kept: it was written here, or came as a list"),
        (_, 0) => {}
        _ => term::tell(&format!("{} more are too long to be shown at once", text::count(left, "object"))),
    }
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
    if let Some(standing) = &record.replaced_by {
        let replaced = format!("replaced by {standing}, which stands now");
        out.push_str(&format!("  {}\n", term::paint(Style::Warn, &replaced)));
    }
    if let Some(subject) = &record.subject {
        out.push_str(&format!("  subject   {subject}\n"));
    }
    if let Some(before) = &record.supersedes {
        out.push_str(&format!("  replaces  {before}\n"));
    }
    if let Some(origin) = &shown.origin {
        out.push_str(&format!("  origin    {}\n", origin_text(origin)));
    }
    if let Some(marking) = &shown.marking {
        out.push_str(&format!("  marking   {}\n", e(&marking_text(marking))));
    }
    if shown.originals > 0 {
        let kept = text::count(shown.originals, "object");
        out.push_str(&format!("  kept      {kept} of its source: --original prints them\n"));
    }
    if record.circles.len() > 1 {
        out.push_str(&format!("  stands in {}\n", e(&record.circles.join(", "))));
    } else if !shown.shared_to.is_empty() {
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
        // Beside the longest name of a type.
        let value_shown =
            term::columns().map_or(VALUE_SHOWN, |most| most.saturating_sub(17).clamp(30, VALUE_SHOWN));
        let rows: Vec<Vec<String>> = shown
            .indicators
            .iter()
            .map(|indicator| {
                vec![
                    indicator.kind.clone(),
                    text::cut(&indicator.value, value_shown),
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
    let sighted = super::sighted_text(&shown.sightings);
    if !sighted.is_empty() {
        out.push_str(&format!("\n{}\n", sighted.join("\n")));
    }
    for note in &shown.notes {
        let lines: Vec<String> = note.text.lines().map(|line| format!("  {}", e(line))).collect();
        let head = format!("note of {} at {} in {}", e(&note.org), note.time, e(&note.circles.join(", ")));
        out.push_str(&format!("\n{head}\n{}\n", lines.join("\n")));
    }
    if !shown.acknowledged_by.is_empty() {
        out.push_str(&format!("\n{}\n", acknowledged(shown, term::columns())));
    }
    out.truncate(out.trim_end().len());
    out
}

/// From so many columns on times are shown in full.
const WIDE: usize = 100;

/// Who got it: a line for each partner's node.
fn acknowledged(shown: &Shown, columns: Option<usize>) -> String {
    let is_gone = shown.record.taken_back.is_some();
    let time = |at: u64| match columns {
        Some(..WIDE) => clock::show_briefly(at, clock::now_ms()),
        _ => clock::show(at),
    };
    let row = |said: &Acknowledged| {
        let not_yet = |at: u64| if at == 0 { "not yet".to_owned() } else { time(at) };
        let after = said.after_ms.map_or_else(|| "-".to_owned(), clock::show_measured_ms);
        let mut row = vec![said.org.clone(), said.node.clone(), not_yet(said.time.0), after];
        row.extend(is_gone.then(|| not_yet(said.retraction.0)));
        row.push(became(said, time));
        row
    };
    let rows: Vec<Vec<String>> = shown.acknowledged_by.iter().map(row).collect();
    let mut headings = vec!["who got it", "node", "by its word at", "after", "what became of it there"];
    if is_gone {
        headings.insert(4, "retraction at");
    }
    term::table_within(columns.unwrap_or(usize::MAX), &headings, &rows)
}

/// What became of a record at a partner: first, what it got since, and last; and what keeps it from getting more.
fn became(said: &Acknowledged, time: impl Fn(u64) -> String) -> String {
    let mut words: Vec<String> = said.first.iter().cloned().collect();
    if said.accepted.0 > said.time.0 {
        words.push(format!("accepted at {}", time(said.accepted.0)));
    }
    let last = if said.accepted.0 > said.time.0 { Some("accepted") } else { said.first.as_deref() };
    if let Some(now) = said.now.as_deref().filter(|now| Some(*now) != last) {
        words.push(format!("{now} at {}", time(said.since.0)));
    }
    match (&said.header_only, words.last().is_some_and(|last| last.starts_with("header only"))) {
        (Some(rule), true) => words.push(format!("by rule {rule}")),
        (Some(rule), false) => words.push(format!("header only, by rule {rule}")),
        (None, _) => {}
    }
    words.join(", ")
}

/// A marking in a line: the two labels first, then what else binds, each with its name.
fn marking_text(marking: &serde_json::Value) -> String {
    /// What comes before the value of a field; of the labels nothing, as they say what they are.
    const NAMES: &[(&str, &str)] = &[
        ("tlp", ""),
        ("pap", ""),
        ("personal", "personal data "),
        ("purposes", "for "),
        ("legal_basis", "under "),
        ("retain_until", "kept until "),
        ("countries", "only for "),
        ("not_countries", "not for "),
        ("police", "police codes "),
        ("references", "known as "),
    ];
    let words = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(list) => {
            list.iter().filter_map(serde_json::Value::as_str).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    };
    let named =
        NAMES.iter().filter_map(|(field, name)| Some(format!("{name}{}", words(marking.get(field)?))));
    let exercise = marking.get("exercise").filter(|said| **said == true).map(|_| "EXERCISE".to_owned());
    named.chain(exercise).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use tocsin_api::types::{TakenBack, Time};

    use super::*;

    #[test]
    fn who_got_it_is_told_in_eighty_columns() {
        let at = |second: u64| Time(1_793_000_000_000 + 1_000 * second);
        let bank = Acknowledged {
            org: "national-bank-cc".to_owned(),
            node: "frontdoor-1".to_owned(),
            time: at(1),
            after_ms: Some(1_250),
            first: Some("kept back".to_owned()),
            accepted: at(60),
            now: Some("gone".to_owned()),
            since: at(90),
            retraction: at(90),
            header_only: None,
        };
        let police = Acknowledged {
            org: "police-bb".to_owned(),
            node: "node".to_owned(),
            header_only: Some("not-to-police".to_owned()),
            ..Acknowledged::default()
        };
        let mut shown = Shown { acknowledged_by: vec![bank, police], ..Shown::default() };
        shown.record.taken_back = Some(Box::new(TakenBack::default()));
        let told = acknowledged(&shown, Some(80));
        assert!(told.lines().all(|line| line.chars().count() <= 80), "{told}");
        for words in
            ["1.25 s", "kept back, accepted at 20", ", gone at 20", "not yet", "by rule not-to-police"]
        {
            assert!(told.contains(words), "{words}: {told}");
        }
    }

    #[test]
    fn a_marking_is_told_in_words() {
        let marking = serde_json::json!({
            "tlp": "TLP:GREEN", "personal": "possible", "pap": "PAP:AMBER", "purposes": ["network-defence", "research"],
            "countries": ["DE", "FR"], "exercise": true,
        });
        assert_eq!(
            marking_text(&marking),
            "TLP:GREEN; PAP:AMBER; personal data possible; for network-defence, research; only for DE, FR; EXERCISE"
        );
    }
}
