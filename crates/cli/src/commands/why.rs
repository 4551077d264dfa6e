//! `tocsin why`: why a record is as it is.

use std::process::ExitCode;

use anyhow::Result;
use tocsin_api::route;
use tocsin_api::types::{DecidedHere, PeerWhy, Why};
use tocsin_clock as clock;
use tocsin_text as text;

use super::{Context, Purpose, done, hidden_text};
use crate::term::{self, Style};

/// Tell why a record was accepted, held, refused or not passed on.
///
/// The verdict and the rule that gave it, what the rules see, the node that handed the record over, and for each
/// partner of its circle whether the policy in force now lets this node pass the body on, by which rule, and since
/// when the partner has the header by its own signed receipt. A body that went out under an earlier policy is not
/// told of. Works for own records before they are shared, too.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin why 3f9a12c4
  tocsin --json why 3f9a12c4 | jq '.peers[] | select(.allowed | not)'")]
pub struct Args {
    /// Record (id, or the beginning of one) or subject
    id: String,
    #[command(flatten)]
    asked: Purpose,
}

/// Asks the node why, and prints it.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let target = route::WHY.of(super::path_word(&args.id)?).with(&args.asked.query());
    let why: Why = context.client().get(target)?;
    context.print_fitted(&why, || text(&why))?;
    done()
}

/// Columns of a terminal that has room for whole moments in the table of partners.
const WIDE: usize = 100;

fn text(why: &Why) -> String {
    let record = &why.record;
    let e = |text: &str| text::escape(text).into_owned();
    let style = match record.verdict.as_str() {
        "accept" => Style::Good,
        "hold" => Style::Warn,
        _ => Style::Bad,
    };
    let mut out = format!(
        "{} of {}\n  record    {}\n  verdict   {} by rule {}\n  came by   {} at {}\n",
        record.kind,
        e(&record.author),
        record.record,
        term::paint(style, &record.verdict),
        term::paint(Style::Bold, &e(&record.rule)),
        e(&why.came_by),
        record.received,
    );
    out.extend(why.decided.as_ref().map(decided));
    if let Some(taken_back) = &record.taken_back {
        out.push_str(&format!("  {}\n", term::paint(Style::Bad, &e(&taken_back.to_string()))));
    }
    out.extend(hidden_text(&why.hidden).map(|hidden| format!("  {hidden}\n")));
    if let Some(standing) = &record.replaced_by {
        let replaced = format!("replaced by {standing}, which stands now");
        out.push_str(&format!("  {}\n", term::paint(Style::Warn, &replaced)));
    }
    if !why.rules.is_empty() {
        out.push_str(&format!("  rules     {}\n", e(&why.rules.join(", "))));
    }
    for rule in &why.texts {
        if !rule.comment.is_empty() {
            out.push_str(&format!("  says      {}\n", e(&rule.comment)));
        }
        for line in rule.text.lines() {
            out.push_str(&format!("            {}\n", e(line)));
        }
    }
    for error in &why.errors {
        out.push_str(&format!("  {} {}\n", term::paint(Style::Bad, "failed   "), e(error)));
    }
    if let Some(saw) = why.saw.as_object() {
        for (name, value) in saw {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            out.push_str(&format!("  saw       {name} = {}\n", e(&value)));
        }
    }
    let is_narrow = term::columns().is_some_and(|most| most < WIDE);
    let rows: Vec<Vec<String>> = why
        .peers
        .iter()
        .map(|peer| {
            vec![
                peer.org.clone(),
                peer.node.clone(),
                body_goes(peer).to_owned(),
                peer.rule.clone(),
                match peer.acknowledged.0 {
                    0 => "not yet".to_owned(),
                    at if is_narrow => clock::show_briefly(at, clock::now_ms()),
                    at => clock::show(at),
                },
                if peer.connected { "up" } else { "down" }.to_owned(),
            ]
        })
        .collect();
    if rows.is_empty() {
        let circle = e(&record.circle);
        out.push_str(&format!("\nno partner is in its circle `{circle}`: nobody else gets it"));
        return out;
    }
    out.push('\n');
    out.push_str(&term::table(
        &[
            "partner",
            "node",
            "policy now",
            "by rule",
            if is_narrow { "has header" } else { "acknowledged header" },
            "link",
        ],
        &rows,
    ));
    out
}

/// What a person here, or the configuration, decided about a record that was held.
fn decided(decided: &DecidedHere) -> String {
    let DecidedHere { decision, by, time, reason, held_by, after_days } = decided;
    let word = if decision == "accept" { "accepted" } else { "refused" };
    let by = match after_days {
        Some(days) => format!("by default after {}", text::count(u64::from(*days), "day")),
        None => format!("by {}", text::escape(by)),
    };
    let mut out = format!("  decided   {word} {by} at {time}; before, {} held it\n", text::escape(held_by));
    if !reason.is_empty() {
        out.push_str(&format!("  reason    {}\n", text::escape(reason)));
    }
    out
}

/// What of the record goes to a partner's node.
fn body_goes(peer: &PeerWhy) -> &'static str {
    match peer.rule.as_str() {
        _ if peer.allowed => "may have it",
        "its-author" => "wrote it",
        rule if rule.starts_with("body-") => "no body here",
        _ => "header only",
    }
}

#[cfg(test)]
mod tests {
    use tocsin_api::types::Record;

    use super::*;

    #[test]
    fn a_circle_without_partners_is_told_in_words() {
        let record = Record { circle: "own".to_owned(), ..Record::default() };
        let saw = serde_json::json!({ "resource.age_days": "0" });
        let text = text(&Why { record, saw, ..Why::default() });
        assert!(text.ends_with("no partner is in its circle `own`: nobody else gets it"), "{text}");
        assert!(text.contains("saw       resource.age_days = 0\n"), "{text}");
    }
}
