//! The command line: global flags, and one variant a verb. One for both programs: the command and the node program read the
//! same words, and differ in what they do about a [`NodeVerb`].

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args as _, FromArgMatches as _, Parser, Subcommand};
use tocsin_home::Home;
use tocsin_text as text;

use crate::commands::node::{self, NodeVerb};
use crate::commands::{self as verbs, Context};
use crate::{handover, term};

/// A peer-to-peer mesh in which agencies warn each other of cyber threats.
#[derive(Parser, Debug)]
#[command(name = "tocsin", bin_name = "tocsin", version, max_term_width = 100, after_long_help = AFTER)]
struct Cli {
    #[command(flatten)]
    all: OfAll,
    #[command(subcommand)]
    verb: Verb,
}

/// The flags of all verbs.
#[derive(clap::Args, Debug)]
struct OfAll {
    /// The node's home folder (default: $TOCSIN_HOME, else ~/.tocsin)
    #[arg(long, global = true, value_name = "DIR")]
    home: Option<PathBuf>,
    /// Print JSON for programs instead of text for people
    #[arg(long, global = true)]
    json: bool,
}

const AFTER: &str = "\
Exit codes:
  0  done; for lookup: at least one value is known
  1  lookup: no value is known; query, hold list: nothing is there; publish, share --wait: not all signed; verify: something in the file does not hold
  2  error: the message says what was wrong, where, and how to mend it
  3  lookup: no value is known, and an answer is incomplete; import: done, but for what the summary lists
  4  lookup: a value is known to be here, and the policy does not show it to you

With --json an error is an object, {\"error\": ...}, on standard error.

Begin with:
  tocsin demo                     five agencies on this machine, live
  tocsin init --help              join a mesh by hand";

/// What can be done. One variant and one file each. Only the words of the one that is called are made.
#[derive(Subcommand, Debug)]
#[command(defer = true)]
enum Verb {
    /// Make a node: keys, certificate, card, configuration
    Init(verbs::init::Args),
    /// Found a mesh, add partners to it and take them out, show who is in it
    Mesh(verbs::mesh::Args),
    /// Change what the org says of itself: whom to call, where it is reached
    Org(verbs::org::Args),
    /// Join a mesh with the invitation of its founder
    Join(verbs::join::Args),
    /// Run the node
    Run(node::run::Args),
    /// Tell how the node is: peers, logs, what is missing, who is silent
    Status(verbs::status::Args),
    /// Share with some: begin a circle, invite orgs, accept, decline, leave, remove
    Circle(verbs::circle::Args),
    /// Take in indicators from files: STIX, MISP, CSV, lists
    Import(verbs::import::Args),
    /// Share records that are here in other circles
    Share(verbs::share::Args),
    /// Tell who would get files or records in a circle, before anything is sent
    WhoWouldGet(verbs::who_would_get::Args),
    /// Share own observations
    Publish(verbs::publish::Args),
    /// Take reports back, wherever they were shared
    Retract(verbs::retract::Args),
    /// Say that something known was met, or is not what it was said to be
    Sight(verbs::sight::Args),
    /// Say something about a report to those who have it
    Note(verbs::note::Args),
    /// Ask what is known of values
    Lookup(verbs::lookup::Args),
    /// List records
    Query(verbs::query::Args),
    /// Show all that a record says
    Show(verbs::show::Args),
    /// Write a record to a file that shows to anybody who signed it
    Evidence(verbs::evidence::Args),
    /// Check such a file, without a node
    Verify(verbs::verify::Args),
    /// Tell why a record was accepted, held, refused or not passed on
    Why(verbs::why::Args),
    /// List what the policy holds for a person, accept or refuse it
    Hold(verbs::hold::Args),
    /// Follow what happens
    Watch(verbs::watch::Args),
    /// Check the node's policy, compare it, or load it anew
    Policy(node::policy::Args),
    /// Tell what is to be thought of this machine's clock, or confirm it
    Clock(verbs::clock::Args),
    /// Carry by hand, on a stick or by mail, what a link would carry
    Bundle(verbs::bundle::Args),
    /// Write all of this node to one encrypted file, while it runs
    Backup(verbs::backup::Args),
    /// Make a node of a backup, in an empty home
    Restore(node::restore::Args),
    /// Print the configuration in force
    Config(verbs::config::Args),
    /// Keep a private mesh of several nodes on this machine
    Testnet(node::testnet::Args),
    /// See five agencies warn each other
    Demo(node::demo::Args),
}

/// Runs the command: what needs a node becomes the node program.
#[must_use]
pub fn run() -> ExitCode {
    // The system's list of users is asked through its C library, which the node program has and the command brings its own of.
    let home = || Home::of_environment().map_or_else(|| match handover::to_node_program()? {}, Ok);
    run_with(home, |_, _| match handover::to_node_program()? {})
}

/// Runs the node program, which is told what its verbs do and does all others as well.
#[must_use]
pub fn run_node(node_verb: impl FnOnce(&Context, NodeVerb) -> Result<ExitCode>) -> ExitCode {
    // First, since the words may differ from version to version.
    if let Err(error) = handover::check_version() {
        return tell(&error.into(), wants_json());
    }
    run_with(|| Ok(Home::default_path()), node_verb)
}

fn run_with(
    default_home: impl FnOnce() -> Result<PathBuf>,
    node_verb: impl FnOnce(&Context, NodeVerb) -> Result<ExitCode>,
) -> ExitCode {
    if let Err(error) = crate::guard::process() {
        term::tell(&format!(
            "error: the system does not let this process keep its memory to itself: {error}"
        ));
        return ExitCode::from(2);
    }
    let cli = parse();
    // Whoever checks a file may have no home, nor a place for one.
    let needs_home = !matches!(cli.verb, Verb::Verify(_));
    let home =
        cli.all.home.map(Ok).or_else(|| needs_home.then(default_home)).unwrap_or_else(|| Ok(PathBuf::new()));
    let home = match home {
        Ok(home) => home,
        Err(error) => return tell(&error, cli.all.json),
    };
    let context = Context { home, json: cli.all.json };
    let done = match cli.verb {
        Verb::Init(args) => verbs::init::run(&context, args),
        Verb::Mesh(args) => verbs::mesh::run(&context, args),
        Verb::Org(args) => verbs::org::run(&context, args),
        Verb::Join(args) => verbs::join::run(&context, args),
        Verb::Run(args) => node_verb(&context, NodeVerb::Run(args)),
        Verb::Status(args) => verbs::status::run(&context, args),
        Verb::Circle(args) => verbs::circle::run(&context, args),
        Verb::Import(args) => verbs::import::run(&context, args),
        Verb::Share(args) => verbs::share::run(&context, args),
        Verb::WhoWouldGet(args) => verbs::who_would_get::run(&context, args),
        Verb::Publish(args) => verbs::publish::run(&context, args),
        Verb::Retract(args) => verbs::retract::run(&context, args),
        Verb::Sight(args) => verbs::sight::run(&context, args),
        Verb::Note(args) => verbs::note::run(&context, args),
        Verb::Lookup(args) => verbs::lookup::run(&context, args),
        Verb::Query(args) => verbs::query::run(&context, args),
        Verb::Show(args) => verbs::show::run(&context, args),
        Verb::Evidence(args) => verbs::evidence::run(&context, args),
        Verb::Verify(args) => verbs::verify::run(&context, args),
        Verb::Why(args) => verbs::why::run(&context, args),
        Verb::Hold(args) => verbs::hold::run(&context, args),
        Verb::Watch(args) => verbs::watch::run(&context, args),
        Verb::Policy(args) => node_verb(&context, NodeVerb::Policy(args)),
        Verb::Clock(args) => verbs::clock::run(&context, args),
        Verb::Bundle(args) => verbs::bundle::run(&context, args),
        Verb::Backup(args) => verbs::backup::run(&context, args),
        Verb::Restore(args) => node_verb(&context, NodeVerb::Restore(args)),
        Verb::Config(args) => verbs::config::run(&context, args),
        Verb::Testnet(args) => node_verb(&context, NodeVerb::Testnet(args)),
        Verb::Demo(args) => node_verb(&context, NodeVerb::Demo(args)),
    };
    done.unwrap_or_else(|error| tell(&error, context.json))
}

/// Tells what went wrong.
fn tell(error: &anyhow::Error, json: bool) -> ExitCode {
    let error = chain(error);
    if json {
        term::tell(&text::escape_json(&serde_json::json!({ "error": error }).to_string()));
    } else {
        term::tell(&format!(
            "{} {}",
            term::paint_err(term::Style::Bad, "error:"),
            text::escape_lines(&error)
        ));
    }
    ExitCode::from(2)
}

/// Whether a program reads, where the command line was not understood as a whole.
fn wants_json() -> bool {
    std::env::args_os().skip(1).take_while(|word| word != "--").any(|word| word == "--json")
}

/// Reads the command line; what is wrong with it is told as any other error to who asked for JSON.
fn parse() -> Cli {
    let words: Vec<OsString> = std::env::args_os().collect();
    if let Some(cli) = of_one_verb(&words) {
        return cli;
    }
    Cli::try_parse_from(words).unwrap_or_else(|error| {
        if wants_json() && error.use_stderr() {
            let text = error.render().to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
            term::tell(&text::escape_json(&serde_json::json!({ "error": text }).to_string()));
            std::process::exit(2);
        }
        error.exit()
    })
}

/// Reads a command line by the words of the one verb that is called. The flags of all verbs are copied into each verb that is
/// there, which was most of what reading took. `None` for what is not understood, and for pages of help: all verbs together tell of that.
fn of_one_verb(words: &[OsString]) -> Option<Cli> {
    let verbs = Verb::augment_subcommands(clap::Command::new("verbs"));
    // What only looks like the verb, such as a folder's name after --home, leaves a verb that is not understood.
    let verb = words.iter().skip(1).find_map(|word| verbs.find_subcommand(word))?;
    let command = OfAll::augment_args(clap::Command::new("tocsin")).disable_help_subcommand(true);
    let matches = command.subcommand(verb.clone()).try_get_matches_from(words).ok()?;
    Cli::from_arg_matches(&matches).ok()
}

/// The chain of causes in one text: what, where, why. A cause that the text before it quotes is not said again.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.contains(&cause) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    /// What a command line means, read by all words and by those of one verb.
    fn readings(words: &[&str]) -> (Option<String>, Option<String>) {
        let words: Vec<OsString> = ["tocsin"].iter().chain(words).map(OsString::from).collect();
        let shown = |cli: Cli| format!("{cli:?}");
        (Cli::try_parse_from(&words).ok().map(shown), of_one_verb(&words).map(shown))
    }

    #[test]
    fn the_words_of_one_verb_are_read_as_all_are() {
        let understood: [&[&str]; 10] = [
            &["lookup", "192.0.2.1"],
            &["--json", "lookup", "-", "--ref", "status", "--max-age", "2h"],
            &["lookup", "--json", "--home", "/x", "--", "--json", "status"],
            &["--home=lookup", "lookup", "lookup", "status"],
            &["status", "--home", "lookup"],
            &["mesh", "found", "--name", "init", "--json"],
            &["--home", "/x", "policy", "schema"],
            &["share", "--to", "mesh", "0011223344556677"],
            &["run"],
            &["clock"],
        ];
        for words in understood {
            let (all, one) = readings(words);
            assert!(all.is_some() && all == one, "{words:?}: {all:?}, {one:?}");
        }
        // Another verb than the first word that could be one: left to all of them.
        assert!(matches!(readings(&["--home", "lookup", "status"]), (Some(_), None)));
        let told: [&[&str]; 9] = [
            &[],
            &["lokup", "192.0.2.1"],
            &["lookup"],
            &["lookup", "--help"],
            &["help", "lookup"],
            &["--version", "lookup", "192.0.2.1"],
            &["lookup", "192.0.2.1", "--age", "2h"],
            &["status", "lookup"],
            &["--home"],
        ];
        for words in told {
            assert_eq!(readings(words), (None, None), "{words:?}");
        }
    }

    const README: &str = include_str!("../../../README.md");

    #[test]
    fn the_readme_names_every_verb() {
        // What stands between backticks, be it one or three, is every second piece.
        let code: String = README.split('`').skip(1).step_by(2).collect::<Vec<_>>().join("\n");
        for verb in Cli::command().get_subcommands() {
            let name = verb.get_name();
            assert!(code.split_whitespace().any(|word| word == name), "README.md does not show `{name}`");
        }
    }

    #[test]
    fn people_are_told_of_every_format() {
        let all = Cli::command();
        let verb = all.find_subcommand("import").unwrap();
        let (line, page) =
            (verb.get_about().unwrap().to_string(), verb.clone().render_long_help().to_string());
        for format in tocsin_exchange::FORMATS {
            for (place, text) in
                [("README.md", README), ("the page of `import`", &page), ("the list of verbs", &line)]
            {
                assert!(
                    text.to_lowercase().contains(format.name),
                    "{place} does not name the format `{}`",
                    format.name
                );
            }
        }
    }

    #[test]
    fn every_verb_has_a_page_with_an_example() {
        let command = Cli::command();
        command.clone().debug_assert();
        for verb in command.get_subcommands() {
            let page = verb.clone().render_long_help().to_string();
            assert!(page.contains("Examples:"), "{} has no example", verb.get_name());
            // What stands over the words of a verb, and not the line of the list of verbs alone.
            assert!(page.split("Usage:").next().is_some_and(|above| above.lines().count() > 2), "{page}");
        }
    }
}
