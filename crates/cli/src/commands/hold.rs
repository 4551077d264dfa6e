//! `tocsin hold`: what the policy holds, and what is decided about it.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use tocsin_api::route;
use tocsin_api::types::{Held, HeldBy, HeldRecords, HoldDecision, HoldListRequest, HoldRequest, Record};
use tocsin_clock as clock;
use tocsin_text as text;

use super::{Context, Purpose, done, hidden_text, print_line, print_text};
use crate::term;

/// List and decide about what the policy holds.
///
/// A held record waits for a person: `tocsin hold list` tells which do, since when and by which rule. Accepted, it counts in
/// lookups and is passed on as your policy lets it; refused, its body is erased here. Either stands, whatever policy
/// comes later, until `tocsin hold undo` takes it back. What a guardrail holds nobody can release.
///
/// Who decided stands in the node's log, with --purpose and --ref; `tocsin why` tells it with the --reason. Where nobody decides,
/// `[hold]` in config.toml says what becomes of it, and after how many days: unless told otherwise it waits on.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Exit code of `hold list`: 0 something waits, 1 nothing does, 2 error.

Examples:
  tocsin hold list
  tocsin hold accept 3f9a12c4 --reason 'Seen here as well' --ref case-77
  tocsin hold refuse 3f9a12c4 61c0aa12
  tocsin hold undo 3f9a12c4")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// List what waits for a person, what came first first
    List(List),
    /// Take held records as accepted
    Accept(Decide),
    /// Refuse held records, or those that were accepted so
    Refuse(Decide),
    /// Take back what was decided here: the policy decides again
    Undo(Which),
}

/// List what waits for a person, what came first first.
///
/// What guardrails hold waits for something else, such as a key or a time: it is counted below the list, and --guardrails
/// lists it. In JSON, one object a line; the last is `{"guardrails": ..., "hidden": ..., "more": ..., "next": ...}` if there
/// is any of that.
#[derive(clap::Args, Debug)]
struct List {
    /// List what guardrails hold, about which nobody can decide
    #[arg(long)]
    guardrails: bool,
    /// At most so many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    limit: u64,
    /// Go on behind the list that told this cursor
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    #[command(flatten)]
    asked: Purpose,
}

#[derive(clap::Args, Debug)]
struct Decide {
    #[command(flatten)]
    which: Which,
    /// Why, in words: kept beside the record, encrypted, and told by `why`
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
}

#[derive(clap::Args, Debug)]
struct Which {
    /// Records (ids, or their beginnings)
    #[arg(required = true)]
    ids: Vec<String>,
    #[command(flatten)]
    asked: Purpose,
}

/// Has the node list or decide, and tells how the records stand.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let (decision, which, reason) = match args.what {
        What::List(args) => return list(context, args),
        What::Accept(args) => (HoldDecision::Accept, args.which, args.reason),
        What::Refuse(args) => (HoldDecision::Refuse, args.which, args.reason),
        What::Undo(which) => (HoldDecision::Undo, which, String::new()),
    };
    let Purpose { purpose, reference, include } = which.asked;
    let request = HoldRequest { ids: which.ids, decision, reason, purpose, reference, include };
    let records: Vec<Record> = context.client().post(route::HOLD, &request)?;
    context.print(&records, || {
        records.iter().map(|record| told(decision, record)).collect::<Vec<_>>().join("\n")
    })?;
    done()
}

/// What became of a record.
fn told(decision: HoldDecision, record: &Record) -> String {
    let title = text::cut(record.title.as_deref().unwrap_or(&record.kind), 40);
    let named = format!("{title} of {} (record {})", text::escape(&record.author), record.record);
    let rule = text::escape(&record.rule);
    match decision {
        HoldDecision::Accept => format!("accepted: {named}"),
        HoldDecision::Refuse => format!("refused: {named}"),
        HoldDecision::Undo => match record.body.as_str() {
            "wanted" => format!(
                "undecided: {named}\n  its body was erased here, and no partner gave it again so far: it is asked for\n  \
                 as long as it is missing, and `tocsin show` tells whether it came"
            ),
            "withheld" => {
                format!("undecided: {named}\n  its body was erased here, and no partner gives it again")
            }
            _ => format!("undecided: {named}\n  the policy says: {} by rule {rule}", record.verdict),
        },
    }
}

fn list(context: &Context, args: List) -> Result<ExitCode> {
    let request = HoldListRequest {
        guardrails: args.guardrails,
        cursor: args.cursor,
        limit: usize::try_from(args.limit).ok(),
        purpose: args.asked.purpose,
        reference: args.asked.reference,
        include: args.asked.include,
    };
    let HeldRecords { held, guardrails, hidden, more, next } =
        context.client().post(route::HOLD_LIST, &request)?;
    if context.json {
        for one in &held {
            print_line(&text::json(one)?)?;
        }
        if hidden.records > 0 || more || !guardrails.is_empty() {
            let rest = serde_json::json!({
                "guardrails": guardrails, "hidden": hidden, "more": more, "next": next
            });
            print_line(&text::json(&rest)?)?;
        }
    } else {
        print_text(&if held.is_empty() { nothing(args.guardrails).to_owned() } else { table(&held) })?;
        if let Some(next) = next.filter(|_| more) {
            print_text(&format!("there may be more: --cursor {next} goes on"))?;
        }
        if let Some(hidden) = hidden_text(&hidden) {
            print_text(&hidden)?;
        }
        if !args.guardrails && !guardrails.is_empty() {
            print_text(&guardrail_text(&guardrails))?;
        }
    }
    Ok(if held.is_empty() { ExitCode::from(1) } else { ExitCode::SUCCESS })
}

fn nothing(guardrails: bool) -> &'static str {
    if guardrails { "no guardrail holds anything" } else { "nothing waits for a person" }
}

/// Digits of an id: enough to name the record by.
const ID_SHOWN: usize = 8;
/// Most columns of a title, and fewest where the terminal is narrow.
const TITLE: usize = 40;
const TITLE_LEAST: usize = 10;

fn table(held: &[Held]) -> String {
    let now = clock::now_ms();
    let row = |one: &Held, most: usize| {
        let record = &one.record;
        vec![
            record.record.chars().take(ID_SHOWN).collect(),
            record.author.clone(),
            record.circle.clone(),
            clock::show_briefly(one.held_since.0, now),
            record.rule.clone(),
            by_default(one),
            text::cut(record.title.as_deref().unwrap_or(&record.kind), most),
        ]
    };
    let rows = |most| held.iter().map(|one| row(one, most)).collect::<Vec<_>>();
    let headings = ["record", "author", "circle", "since", "by rule", "by default", "title"];
    let fits = (TITLE_LEAST..=TITLE).rev().find(|most| term::has_room(&headings, &rows(*most)));
    term::table(&headings, &rows(fits.unwrap_or(TITLE)))
}

/// What becomes of a record where nobody decides, and when.
fn by_default(held: &Held) -> String {
    const HOUR: u64 = 3_600_000;
    match (&held.by_default, held.by_default_in_ms) {
        (Some(verdict), Some(left)) if left >= 48 * HOUR => {
            format!("{verdict} in {} days", left / (24 * HOUR))
        }
        (Some(verdict), Some(left)) if left > 0 => format!("{verdict} in {} h", left.div_ceil(HOUR)),
        (Some(verdict), _) => format!("{verdict} soon"),
        (None, _) => "waits".to_owned(),
    }
}

/// What guardrails hold.
fn guardrail_text(guardrails: &[HeldBy]) -> String {
    let mut out = "not to be decided by a person (--guardrails lists it):".to_owned();
    for one in guardrails {
        let (records, rule) = (text::count(one.records, "record"), text::escape(&one.rule));
        out.push_str(&format!("\n  {records} by {rule}"));
        if !one.says.is_empty() {
            out.push_str(&format!("\n    {}", text::escape(&one.says)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_until_the_default_is_told_in_words() {
        const DAY: u64 = 86_400_000;
        let held = |verdict: Option<&str>, left: Option<u64>| {
            by_default(&Held {
                by_default: verdict.map(str::to_owned),
                by_default_in_ms: left,
                ..Held::default()
            })
        };
        assert_eq!(held(None, None), "waits");
        assert_eq!(held(Some("refuse"), Some(30 * DAY - 1)), "refuse in 29 days");
        assert_eq!(held(Some("accept"), Some(DAY + 1)), "accept in 25 h");
        assert_eq!(held(Some("accept"), Some(1)), "accept in 1 h");
        assert_eq!(held(Some("accept"), Some(0)), "accept soon");
    }

    #[test]
    fn a_body_that_nobody_gives_is_told_as_such() {
        for (body, said) in [
            ("wanted", "no partner gave it again so far"),
            ("withheld", "no partner gives it again"),
            ("here", "hold by rule all-wait"),
        ] {
            let record = Record {
                body: body.to_owned(),
                verdict: "hold".to_owned(),
                rule: "all-wait".to_owned(),
                ..Record::default()
            };
            let text = told(HoldDecision::Undo, &record);
            assert!(text.contains(said), "{text}");
        }
    }
}
