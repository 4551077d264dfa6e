//! `tocsin lookup`: ask what is known of values.

use std::io::{BufRead, Read as _};
use std::process::ExitCode;

use anyhow::Result;
use tocsin_api::route;
use tocsin_api::types::{Hit, Lookup, LookupRequest, VALUES_MAX};
use tocsin_text as text;

use super::{Context, hidden_text, origin_text, print_line, print_text};
use crate::term::{self, Style};

/// Most bytes that are read of one line: more than any value has.
const LINE_MAX: u64 = 8192;

/// Ask what is known of values.
///
/// The type is found by itself, and defanged values are understood (hxxp://evil[.]example). A hit is the very value,
/// a network that contains the address, or a domain above the name; what lies inside a network is not searched. Only
/// accepted records answer unless --include held, and only what is not over by now unless --include expired.
///
/// What was only observed (an attribute of MISP without `to_ids`, observed data of STIX), or is listed as benign, is known as
/// context only: nobody says that it is bad (`context_only` in JSON; the exit code is that of what is known).
///
/// A value that everybody has (8.8.8.8, private addresses, google.com), or that is your org's own (`[own]` in config.toml), is told
/// as such whoever lists it.
///
/// An answer is incomplete when an org was not heard for --max-age, when a record that is known to exist and on its
/// way is missing, or when the policy keeps a record on the value from you: state what you ask for with --purpose, one
/// of those that `purposes` of `[person]` in config.toml lists. Records that partners do not give to this node are listed
/// apart and make no answer incomplete.
///
/// --purpose and --ref are logged with the ids of the records shown, never with the value.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Exit code: 0 at least one value is known; else 4 if one is known to be here and not shown to you (`known` is null then); else \
3 if an answer is incomplete; else 1; 2 error. A value that is none is told \
of, with its line where it was read from standard input; the code is 2 only if no value could be answered. Held records \
and records that are not given to this node do not change the code, nor does what is over by now, unless it is asked for.

Examples:
  tocsin lookup 198.51.100.7
  tocsin lookup 'hxxps://login[.]bank[.]example/verify' --purpose criminal-investigation --ref case-77
  cut -d, -f3 proxy.csv | tocsin --json lookup -")]
pub struct Args {
    /// Values; `-` reads them from standard input, one a line
    #[arg(required = true)]
    values: Vec<String>,
    /// The type of the values, such as domain, url, filename, process (default: found by itself; a wrong one lists them)
    #[arg(long = "type", value_name = "TYPE")]
    value_type: Option<String>,
    /// Also answer with records that are held, with what is over by now, or, for a --purpose that you may state, with what is RED;
    /// may be given several times
    #[arg(long, value_name = "WHAT", value_parser = ["held", "expired", "red"])]
    include: Vec<String>,
    /// Age from which on an org counts as silent (default: max_age of the configuration)
    #[arg(long, value_name = "SPAN", value_parser = tocsin_clock::parse_span)]
    max_age: Option<u64>,
    /// What the answer is for, such as network-defence; the policy may ask for it
    #[arg(long)]
    purpose: Option<String>,
    /// Your reference, such as a case number
    #[arg(long = "ref", value_name = "TEXT")]
    reference: Option<String>,
}

/// Asks the node, and prints what it knows of each value.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let mut code = Codes::default();
    let mut ask = |values: Vec<String>, lines: &[u64]| -> Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        let request = LookupRequest {
            values,
            value_type: args.value_type.clone(),
            held: args.include.iter().any(|what| what == "held"),
            expired: args.include.iter().any(|what| what == "expired"),
            max_age_ms: args.max_age,
            purpose: args.purpose.clone(),
            reference: args.reference.clone(),
            include: args.include.iter().find(|what| *what == "red").cloned(),
        };
        let mut answers: Vec<Lookup> = context.client().post(route::LOOKUP, &request)?;
        for (answer, line) in answers.iter_mut().zip(lines) {
            answer.line = Some(*line);
        }
        code.count(&answers);
        show(context, &answers, request.values.len() == 1)
    };
    let (stdin, values): (Vec<String>, Vec<String>) =
        args.values.iter().cloned().partition(|value| value == "-");
    ask(values, &[])?;
    if !stdin.is_empty() {
        let (mut values, mut lines) = (Vec::new(), Vec::new());
        let mut input = std::io::stdin().lock();
        for number in 1.. {
            let Some(line) = read_line(&mut input)? else { break };
            if !line.is_empty() {
                values.push(line);
                lines.push(number);
            }
            if values.len() == VALUES_MAX {
                ask(std::mem::take(&mut values), &std::mem::take(&mut lines))?;
            }
        }
        ask(values, &lines)?;
    }
    Ok(code.exit())
}

/// The next line; of one that is too long only the beginning, which is no value. What is no UTF-8 is none either: the
/// node says so, and the rest is answered.
fn read_line(input: &mut impl BufRead) -> Result<Option<String>> {
    let mut line = Vec::new();
    if input.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.len() as u64 == LINE_MAX && !line.ends_with(b"\n") {
        input.skip_until(b'\n')?;
    }
    Ok(Some(String::from_utf8_lossy(&line).trim().to_owned()))
}

/// What the exit code is made from.
#[derive(Default)]
struct Codes {
    known: bool,
    kept: bool,
    incomplete: bool,
    asked: usize,
    wrong: usize,
}

impl Codes {
    fn count(&mut self, answers: &[Lookup]) {
        for answer in answers {
            self.asked += 1;
            self.known |= answer.is_known();
            self.kept |= answer.known.is_none();
            self.incomplete |= !answer.complete && answer.error.is_none();
            self.wrong += usize::from(answer.error.is_some());
        }
    }

    fn exit(&self) -> ExitCode {
        if self.known {
            ExitCode::SUCCESS
        } else if self.asked > 0 && self.wrong == self.asked {
            ExitCode::from(2)
        } else if self.kept {
            ExitCode::from(4)
        } else if self.incomplete {
            ExitCode::from(3)
        } else {
            ExitCode::from(1)
        }
    }
}

fn show(context: &Context, answers: &[Lookup], single: bool) -> Result<()> {
    if context.json {
        // One value: one object. Several: one object a line, so that a stream stays a stream.
        if single && let Some(answer) = answers.first() {
            return print_line(&text::json(answer)?);
        }
        for answer in answers {
            print_line(&text::json(answer)?)?;
        }
        return Ok(());
    }
    let texts: Vec<String> = answers.iter().map(text).collect();
    print_text(&texts.join("\n\n"))
}

fn text(answer: &Lookup) -> String {
    let value = text::escape(&answer.value);
    if let Some(error) = &answer.error {
        let line = answer.line.map_or_else(String::new, |line| format!("line {line}: "));
        // Most faults quote the value.
        let value = match answer.value.as_str() {
            quoted if error.contains(quoted) => String::new(),
            value => format!("{}: ", text::cut(value, 120)),
        };
        return format!("{} {line}{value}{}", term::paint(Style::Bad, "error:"), text::escape(error));
    }
    let kind = answer.kind.as_deref().unwrap_or("?");
    let is = match answer.known {
        Some(true) if answer.context_only => {
            format!("{}: nobody says that it is bad", term::paint(Style::Warn, "known as context only"))
        }
        Some(true) => term::paint(Style::Bad, "known"),
        Some(false) => "not known".to_owned(),
        None => term::paint(Style::Warn, "known to be here, not shown to you"),
    };
    let mut out = format!("{} ({kind}) is {is}", term::paint(Style::Bold, &value));
    out.push_str(&match (answer.complete, answer.as_of.0) {
        (true, _) => format!(", complete as of {}", answer.as_of),
        (false, 0) => {
            format!(", {}", term::paint(Style::Warn, "INCOMPLETE: not all partners were heard yet"))
        }
        (false, _) if answer.hidden.records > 0 && answer.stale.is_empty() && answer.missing == 0 => {
            format!(", {}", term::paint(Style::Warn, "INCOMPLETE: not all is shown to you"))
        }
        (false, _) => {
            format!(", {}", term::paint(Style::Warn, &format!("INCOMPLETE: as of {}", answer.as_of)))
        }
    });
    if !answer.stale.is_empty() {
        out.push_str(&format!("\n  not heard of late: {}", text::escape(&answer.stale.join(", "))));
    }
    if answer.missing > 0 {
        out.push_str(&format!(
            "\n  {}: known to exist and not here yet",
            text::count(answer.missing, "record")
        ));
    }
    for withheld in &answer.withheld {
        let are = if withheld.records == 1 { "is" } else { "are" };
        out.push_str(&format!(
            "\n  {} of {} {are} not given to this node",
            text::count(withheld.records, "record"),
            text::escape(&withheld.author)
        ));
    }
    out.extend(hidden_text(&answer.hidden).map(|hidden| format!("\n  {hidden}")));
    if answer.held > 0 {
        let matches = if answer.held == 1 { "matches" } else { "match" };
        out.push_str(&format!(
            "\n  {} also {matches}: --include held",
            text::count(answer.held, "held record")
        ));
    }
    if answer.over > 0 {
        let (says, is) = if answer.over == 1 { ("says", "is") } else { ("say", "are") };
        out.push_str(&format!(
            "\n  {} {says} something that {is} over by now: --include expired",
            text::count(answer.over, "report")
        ));
    }
    if let Some(why) = answer.commonplace.as_ref().filter(|_| !answer.hits.is_empty()) {
        let caution = term::paint(Style::Warn, "a hit on it says little:");
        out.push_str(&format!("\n  {caution} it is {}", text::escape(why)));
    }
    out.extend(answer.note.iter().map(|note| format!("\n  {note}")));
    out.extend(super::sighted_text(&answer.sightings).iter().map(|sighted| format!("\n  {sighted}")));
    for hit in &answer.hits {
        out.push_str(&hit_text(hit, answer.commonplace.is_some()));
    }
    out
}

fn hit_text(hit: &Hit, is_commonplace: bool) -> String {
    let e = |text: &str| text::escape(text).into_owned();
    let how = match hit.how.as_str() {
        "exact" => String::new(),
        "network" => format!(" the network {}", e(&hit.observable)),
        _ => format!(" {}", e(&hit.observable)),
    };
    let (kind, not_said) = match hit.kind.as_str() {
        "unknown" => (String::new(), "\n    indicates not said"),
        // What an event of MISP names without `to_ids`, and what observed data of STIX holds.
        "observed" => (" as observed, which is no verdict".to_owned(), ""),
        kind => (format!(" as {}", e(kind)), ""),
    };
    let origin = origin_text(&hit.origin);
    let sure = match hit.confidence {
        None => "not said".to_owned(),
        Some(sure) if is_commonplace => format!("{sure} of 100 by its author; nobody can be of such a value"),
        Some(sure) => format!("{sure} of 100"),
    };
    let exercise = if hit.exercise { term::paint(Style::Warn, " EXERCISE") } else { String::new() };
    let mut out = format!(
        "\n\n  {} lists{}{kind}{exercise}{}\n    origin    {origin}{not_said}\n    how sure  {sure}\n    \
         since     {}{}\n    marking   {}{}: {}\n    judged    {} by rule {}\n    record    {}",
        term::paint(Style::Bold, &e(&hit.author)),
        if how.is_empty() { " it" } else { &how },
        if hit.title.is_empty() { String::new() } else { format!("\n    title     {}", e(&hit.title)) },
        if hit.since.0 == 0 { hit.received } else { hit.since },
        match (hit.until.0, hit.expired) {
            (0, _) => String::new(),
            (_, false) => format!(" until {}", hit.until),
            (_, true) => format!(" until {} {}", hit.until, term::paint(Style::Warn, "(over)")),
        },
        e(hit.tlp.as_deref().unwrap_or("unmarked (own circle only)")),
        hit.pap.as_deref().map_or_else(String::new, |pap| format!(" {}", e(pap))),
        e(&hit.may),
        hit.verdict,
        e(&hit.rule),
        hit.record,
    );
    let mut limit = |name: &str, text: &str| {
        if !text.is_empty() {
            out.push_str(&format!("\n    {name:<9} {}", e(text)));
        }
    };
    limit("for", &hit.purposes.join(", "));
    limit("basis", hit.legal_basis.as_deref().unwrap_or_default());
    limit(
        "keep",
        &if hit.retain_until.0 == 0 { String::new() } else { format!("until {}", hit.retain_until) },
    );
    limit("shared in", &hit.circles.join(", "));
    let contact = &hit.contact;
    let card: Vec<String> = [&contact.desk, &contact.phone, &contact.email]
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(|text| e(text))
        .collect();
    if !card.is_empty() {
        out.push_str(&format!("\n    call      {}", card.join(", ")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(answers: &[(Option<bool>, bool, bool)]) -> ExitCode {
        let answers: Vec<Lookup> = answers
            .iter()
            .map(|(known, complete, wrong)| Lookup {
                known: *known,
                complete: *complete,
                error: wrong.then(String::new),
                ..Lookup::default()
            })
            .collect();
        let mut codes = Codes::default();
        codes.count(&answers);
        codes.exit()
    }

    #[test]
    fn exit_codes_are_as_the_page_says() {
        let (known, not, kept) = (Some(true), Some(false), None);
        assert_eq!(exit(&[(known, false, false), (not, true, false)]), ExitCode::SUCCESS);
        assert_eq!(exit(&[(not, false, false), (not, true, false)]), ExitCode::from(3));
        assert_eq!(exit(&[(kept, false, false), (not, false, false)]), ExitCode::from(4));
        assert_eq!(exit(&[(kept, false, false), (known, true, false)]), ExitCode::SUCCESS);
        assert_eq!(exit(&[(not, true, false)]), ExitCode::from(1));
        assert_eq!(exit(&[(not, false, true)]), ExitCode::from(2));
        assert_eq!(exit(&[(not, true, true), (not, true, false)]), ExitCode::from(1));
    }

    #[test]
    fn what_is_context_is_not_told_as_bad() {
        let answer = |context_only| Lookup { known: Some(true), context_only, ..Lookup::default() };
        assert!(text(&answer(true)).contains("known as context only: nobody says that it is bad"));
        assert!(!text(&answer(false)).contains("context"));
    }

    #[test]
    fn a_fault_quotes_the_value_once() {
        let fault = |value: &str, error: &str| {
            text(&Lookup { value: value.to_owned(), error: Some(error.to_owned()), ..Lookup::default() })
        };
        assert_eq!(fault("no value", "`no value` is of no type"), "error: `no value` is of no type");
        assert_eq!(fault("", "the value is empty"), "error: the value is empty");
        assert_eq!(
            fault("10.0.0.1/99", "the prefix is too long"),
            "error: 10.0.0.1/99: the prefix is too long"
        );
    }

    #[test]
    fn a_hit_that_is_not_said_to_be_bad_says_so() {
        let hit = |kind: &str| {
            hit_text(&Hit { kind: kind.to_owned(), how: "exact".to_owned(), ..Hit::default() }, false)
        };
        assert!(hit("unknown").contains("indicates not said"));
        assert!(hit("observed").contains("lists it as observed, which is no verdict"));
        assert!(hit("phishing").contains("lists it as phishing") && !hit("phishing").contains("indicates"));
    }
}
