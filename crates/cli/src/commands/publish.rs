//! `tocsin publish`: share own observations.

use std::io::Read as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use tocsin_api::route;
use tocsin_api::types::{PublishRequest, Published};
use tocsin_clock as clock;
use tocsin_record::observable::in_prose;
use tocsin_text as text;

use super::wait::Wait;
use super::{Context, Marking, confirm_on_terminal, published_text};
use crate::term;

/// Most that is read from standard input, in bytes.
const PASTED_MAX: u64 = 1 << 20;

/// Share own observations.
///
/// One report with the values as indicators, in this org's name as its own observation. Answers when the record is
/// durable here; partners that are reachable have it within milliseconds.
///
/// To several circles it goes as copies of one report, in all of them or in none; every answer has it once.
///
/// With --wait it returns when the partners signed, by receipts, that they have it: exit code 0 if all did, 1 if one did not in
/// time. It is written either way.
///
/// With `-` values are read from standard input: a list, or a text in whose words they stand, such as a mail. What was
/// taken is shown first, and nothing is written before you say so, at the terminal or by --yes.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin publish 198.51.100.7 'evil[.]example' --tlp green --to mesh --title 'Phishing against banks'
  tocsin publish 203.0.113.9 --tlp green --to mesh --kind command-and-control --confidence 80 --valid-for 30d
  tocsin publish - --tlp green --to mesh --title 'From the mail of this morning' < mail.txt
  tocsin publish 203.0.113.9 --tlp amber --to ops --to harbour
  tocsin publish 203.0.113.9 --tlp amber --to ops --wait --for police-xb --timeout 10
  tocsin publish 203.0.113.9 203.0.113.10 --replaces 3f9a12c4      (a correction, wherever it was shared)")]
pub struct Args {
    /// Values, defanged or not; - for standard input
    #[arg(required = true)]
    values: Vec<String>,
    /// The type of the values, such as domain, url, filename, process (default: found by itself; a wrong one lists them)
    #[arg(long = "type", value_name = "TYPE")]
    value_type: Option<String>,
    /// The circle: own, mesh, or one of `tocsin circle list`; may be given several times, for a copy in each. A new version goes
    /// to all circles in which the one before stands, and needs none
    #[arg(long = "to", value_name = "CIRCLE", required_unless_present = "replaces")]
    to: Vec<String>,
    /// What it indicates, such as phishing, malware, command-and-control, scanner, fraud
    #[arg(long)]
    kind: Option<String>,
    /// How sure you are, 0 to 100
    #[arg(long, value_parser = clap::value_parser!(u8).range(0..=100))]
    confidence: Option<u8>,
    /// For how long it counts, such as 30d
    #[arg(long, value_name = "SPAN", value_parser = clock::parse_span)]
    valid_for: Option<u64>,
    /// One line for people
    #[arg(long, default_value = "")]
    title: String,
    /// What happened
    #[arg(long, default_value = "")]
    description: String,
    /// A label; may be given several times
    #[arg(long = "label")]
    labels: Vec<String>,
    /// The record (or subject) of which this is the new version
    #[arg(long, value_name = "ID")]
    replaces: Option<String>,
    /// Write what was read from standard input without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    marking: Marking,
    #[command(flatten)]
    wait: Wait,
}

/// Has the node write the report, and prints where it stands.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let values = match args.values.iter().any(|value| value == "-") {
        true => with_pasted(&args)?,
        false => args.values,
    };
    let request = PublishRequest {
        values,
        value_type: args.value_type,
        circles: args.to,
        marking: args.marking.words(),
        kind: args.kind,
        confidence: args.confidence,
        valid_until_ms: args.valid_for.map(|span| clock::now_ms().saturating_add(span)),
        title: args.title,
        description: args.description,
        labels: args.labels,
        replaces: args.replaces,
        wait_for: args.wait.orgs(),
    };
    let published: Published = context.client().post(route::PUBLISH, &request)?;
    args.wait.told(context, &published, || published_text(&published, "published"))
}

/// The values of the command line, with those that standard input holds in the place of `-`, once somebody agreed to them.
fn with_pasted(args: &Args) -> Result<Vec<String>> {
    let mut pasted = String::new();
    let read = std::io::stdin().lock().take(PASTED_MAX + 1).read_to_string(&mut pasted);
    if read.context("standard input is no text in UTF-8")? as u64 > PASTED_MAX {
        bail!("standard input has more than {PASTED_MAX} bytes: `tocsin import` takes long lists");
    }
    let taken = taken(&pasted, args.value_type.is_some());
    if taken.is_empty() {
        bail!("standard input holds no value that is known as one: name their type with --type, one a line");
    }
    for (kind, value) in &taken {
        term::tell(&format!("  {kind:<10} {}", text::escape(value)));
    }
    let count = text::count(taken.len() as u64, "value");
    let to = match &args.to[..] {
        [] => "wherever the version before stands".to_owned(),
        names => format!("in circle `{}`", names.join("`, `")),
    };
    if !args.yes && !confirm_on_terminal(&format!("{count} {}: publish?", text::escape(&to)))? {
        bail!(
            "nothing was written: {count} of standard input wait for your word; say --yes where there is no terminal"
        );
    }
    let given = args.values.iter().filter(|value| *value != "-").cloned();
    Ok(given.chain(taken.into_iter().map(|(_, value)| value)).collect())
}

/// Type and value of what a pasted text holds; its lines as they are where their type was stated.
fn taken(pasted: &str, is_typed: bool) -> Vec<(&'static str, String)> {
    if is_typed {
        let lines = pasted.lines().map(str::trim).filter(|line| !line.is_empty());
        return lines.map(|line| ("as stated", line.to_owned())).collect();
    }
    in_prose(pasted).iter().map(|found| (found.type_name(), found.show())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_from_prose_and_from_lists() {
        let mail = "Hello,\n\nthis morning 198.51.100[.]7 (and hxxps://login[.]bank.example/verify) sent invoice.pdf,\n\
                    MD5:d41d8cd98f00b204e9800998ecf8427e. Also: evil.example, again evil[.]example.\n";
        let values: Vec<String> = taken(mail, false).into_iter().map(|(_, value)| value).collect();
        assert_eq!(
            values,
            [
                "198.51.100.7",
                "https://login.bank.example/verify",
                "d41d8cd98f00b204e9800998ecf8427e",
                "evil.example"
            ]
        );
        assert_eq!(
            taken("a b\n\n c \n", true),
            [("as stated", "a b".to_owned()), ("as stated", "c".to_owned())]
        );
        assert!(taken("No values in here, e.g. none. See section 3.2.1 of 12/11", false).is_empty());
    }
}
