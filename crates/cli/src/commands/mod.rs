//! The verbs: one file each. What they share is here.

pub mod backup;
pub mod bundle;
pub mod circle;
pub mod clock;
pub mod config;
pub mod evidence;
pub mod hold;
pub mod import;
pub mod init;
pub mod join;
pub mod lookup;
pub mod mesh;
pub mod node;
pub mod note;
pub mod org;
pub mod publish;
pub mod query;
pub mod retract;
pub mod share;
pub mod show;
pub mod sight;
pub mod status;
pub mod verify;
pub mod wait;
pub mod watch;
pub mod who_would_get;
pub mod why;

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use tocsin_api::client::Client;
use tocsin_api::types::{Advice, Hidden, MarkingWords, Origin, Published, Sighted};
use tocsin_exchange::marking::Terms;
use tocsin_home::{Home, files, keys};
use tocsin_record::keys::Secret;
use tocsin_record::marking::Code;
use tocsin_text as text;
use zeroize::Zeroizing;

use crate::term;

/// What every verb is told.
#[derive(Clone, Debug)]
pub struct Context {
    /// The home folder.
    pub home: PathBuf,
    /// Whether a program reads the output.
    pub json: bool,
}

impl Context {
    /// The node's home, in which a node was made.
    ///
    /// # Errors
    /// When there is none.
    pub fn home(&self) -> Result<Home> {
        Ok(Home::open(&self.home)?)
    }

    /// Speaks to the running node. Costs no look at the disk: the socket is asked first.
    #[must_use]
    pub fn client(&self) -> Client {
        let home = Home::at(&self.home);
        Client::of_home(home.path(), home.socket(), home.own_card())
    }

    /// As [`Self::print`], for text that people read and do not copy as commands: its lines fit their terminal.
    ///
    /// # Errors
    /// When standard output takes nothing.
    pub(crate) fn print_fitted<T: Serialize>(&self, value: &T, text: impl FnOnce() -> String) -> Result<()> {
        self.print(value, || term::fitted(&text()))
    }

    /// Prints for a program, or for a person.
    ///
    /// # Errors
    /// When standard output takes nothing.
    pub fn print<T: Serialize>(&self, value: &T, text: impl FnOnce() -> String) -> Result<()> {
        let out = if self.json { text::json(value)? } else { text() };
        print_line(&out)
    }
}

/// Writes text for people, whose lines fit their terminal.
///
/// # Errors
/// When standard output takes nothing.
pub(crate) fn print_text(text: &str) -> Result<()> {
    print_line(&term::fitted(text))
}

/// Writes to standard output; a reader that went away (`| head`) is no error of ours.
///
/// # Errors
/// When standard output takes nothing.
pub fn print_line(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        done => done.context("cannot write to standard output"),
    }
}

/// Where the passphrase of the org's root key comes from.
#[derive(clap::Args, Debug, Clone)]
pub struct Passphrase {
    /// Read the root key's passphrase from the first line of this file (default: $TOCSIN_PASSPHRASE_FILE)
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

impl Passphrase {
    fn read_file(&self) -> Result<Option<Zeroizing<String>>> {
        let named = std::env::var_os("TOCSIN_PASSPHRASE_FILE").map(PathBuf::from);
        let Some(path) = self.passphrase_file.clone().or(named) else {
            return Ok(None);
        };
        let bytes = files::read_secret(&path, 4096)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| files::FileError::NotText { path })?;
        let line = text.lines().next().unwrap_or_default();
        Ok(Some(Zeroizing::new(line.to_owned())))
    }

    /// A passphrase for a new key, asked for twice.
    fn choose(&self) -> Result<Zeroizing<String>> {
        let chosen = match self.read_file()? {
            Some(text) => text,
            None if std::io::stdin().is_terminal() => {
                let first =
                    Zeroizing::new(rpassword::prompt_password("Passphrase for the org's root key: ")?);
                let again = Zeroizing::new(rpassword::prompt_password("Again: ")?);
                if first != again {
                    bail!("the two passphrases differ: nothing was made, try again");
                }
                first
            }
            None => bail!(
                "the root key needs a passphrase and there is no terminal to ask on: \
                 give --passphrase-file FILE, or --no-passphrase to leave it unencrypted"
            ),
        };
        if chosen.len() < keys::PASSPHRASE_MIN {
            bail!("the passphrase is shorter than {} characters: choose a longer one", keys::PASSPHRASE_MIN);
        }
        Ok(chosen)
    }

    /// The root key of a home, opened.
    fn open_root(&self, home: &Home) -> Result<Secret> {
        let path = home.root_file();
        if !path.exists() {
            bail!(
                "the org's root key is not at {}: bring the file back from where it is kept for as long as it signs",
                path.display()
            );
        }
        if !keys::is_encrypted(&path)? {
            return Ok(keys::read_root(&path, None)?);
        }
        let passphrase = match self.read_file()? {
            Some(text) => Some(text),
            None if std::io::stdin().is_terminal() => {
                Some(Zeroizing::new(rpassword::prompt_password("Passphrase of the org's root key: ")?))
            }
            None => None,
        };
        Ok(keys::read_root(&path, passphrase.as_ref().map(|text| text.as_str()))?)
    }
}

/// Asks for a secret on the terminal, without showing it; `None` where there is none.
fn ask_secret(prompt: &str) -> Result<Option<Zeroizing<String>>> {
    if !std::io::stdin().is_terminal() {
        return Ok(None);
    }
    Ok(Some(Zeroizing::new(rpassword::prompt_password(prompt)?)))
}

/// Asks a yes-or-no question on the terminal; without one the answer is no.
///
/// # Errors
/// When the terminal cannot be read.
pub fn confirm(question: &str) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    term::tell_unended(&format!("{question} [y/N] "));
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(is_yes(&line))
}

/// As [`confirm`], where standard input is used for something else: on the terminal that the process belongs to.
fn confirm_on_terminal(question: &str) -> Result<bool> {
    let Ok(mut terminal) = std::fs::File::options().read(true).write(true).open("/dev/tty") else {
        return Ok(false);
    };
    write!(terminal, "{question} [y/N] ")?;
    let mut line = String::new();
    std::io::BufReader::new(terminal).read_line(&mut line)?;
    Ok(is_yes(&line))
}

fn is_yes(line: &str) -> bool {
    matches!(line.trim(), "y" | "Y" | "yes")
}

/// What a question is for, as the log and the policy are told.
#[derive(clap::Args, Debug, Clone, Default)]
pub struct Purpose {
    /// What the answer is for, such as network-defence; the policy may ask for it
    #[arg(long)]
    purpose: Option<String>,
    /// Your reference, such as a case number
    #[arg(long = "ref", value_name = "TEXT")]
    reference: Option<String>,
    /// Also what is left out of answers: red, which needs a --purpose that you may state
    #[arg(long, value_name = "WHAT", value_parser = ["red"])]
    include: Option<String>,
}

impl Purpose {
    /// The purpose, the reference, and what is to be included, where they are stated.
    #[must_use]
    pub fn stated(self) -> (Option<String>, Option<String>, Option<String>) {
        (self.purpose, self.reference, self.include)
    }

    /// As the end of a path of the node's interface.
    fn query(&self) -> String {
        self.query_with(None)
    }

    /// As the end of a path, with one more field.
    fn query_with(&self, more: Option<&str>) -> String {
        let words = [("purpose", &self.purpose), ("reference", &self.reference), ("include", &self.include)];
        let said: Vec<String> = words
            .iter()
            .filter_map(|(name, text)| Some(format!("{name}={}", percent(text.as_deref()?))))
            .chain(more.map(str::to_owned))
            .collect();
        if said.is_empty() { String::new() } else { format!("?{}", said.join("&")) }
    }
}

/// Any text as a word of a URL (RFC 3986 2.1).
fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// That the policy keeps records from who asks, if it does, and what would show them.
fn hidden_text(hidden: &Hidden) -> Option<String> {
    let (is, it) = match hidden.records {
        0 => return None,
        1 => ("is", "it"),
        _ => ("are", "them"),
    };
    let rules: Vec<String> = hidden.rules.iter().map(|rule| format!("`{}`", text::escape(rule))).collect();
    let (rule, keep) = if rules.len() == 1 { ("rule", "keeps") } else { ("rules", "keep") };
    let help =
        if hidden.help.is_empty() { String::new() } else { format!("; {}", text::escape(&hidden.help)) };
    let records = text::count(hidden.records, "record");
    Some(format!("{records} {is} not shown: {rule} {} of the policy {keep} {it}{help}", rules.join(", ")))
}

/// How what is shared may be handled.
#[derive(clap::Args, Debug, Clone, Default)]
#[command(next_help_heading = "Marking")]
pub struct Marking {
    /// TLP 2.0: clear, green, amber, amber+strict or red
    #[arg(long, value_name = "TLP")]
    tlp: Option<String>,
    /// PAP, how it may be acted on: clear, green, amber or red
    #[arg(long, value_name = "PAP")]
    pap: Option<String>,
    /// Whether it holds personal data: no, possible or yes (default: by the types of the values)
    #[arg(long, value_name = "WORD")]
    personal: Option<String>,
    /// What it may be used for; may be given several times
    #[arg(long = "for-purpose", value_name = "PURPOSE")]
    purposes: Vec<String>,
    /// The law it is shared under
    #[arg(long, value_name = "TEXT")]
    legal_basis: Option<String>,
    /// For how long it may be kept, such as 90d
    #[arg(long, value_name = "SPAN", value_parser = tocsin_clock::parse_span)]
    retention: Option<u64>,
    /// Only partners of these countries may have it, such as DE,FR
    #[arg(long, value_name = "CC", value_delimiter = ',')]
    countries: Vec<String>,
    /// Partners of these countries may not have it
    #[arg(long, value_name = "CC", value_delimiter = ',')]
    not_countries: Vec<String>,
    /// Europol evaluation and handling codes, such as "B2 H1"
    #[arg(long, value_name = "CODES")]
    police: Option<String>,
    /// Where it is known, as SYSTEM:ID, such as siena:1234
    #[arg(long = "reference", value_name = "SYSTEM:ID")]
    references: Vec<String>,
    /// It belongs to an exercise
    #[arg(long)]
    exercise: bool,
}

impl Marking {
    /// As an import takes them, for what carries no marking of its own.
    fn terms(&self) -> Result<Terms> {
        let others = [&self.personal, &self.police];
        if others.iter().any(|said| said.is_some())
            || [&self.countries, &self.not_countries, &self.references].iter().any(|list| !list.is_empty())
            || self.exercise
        {
            bail!(
                "for files only --tlp, --pap, --for-purpose, --retention and --legal-basis are taken: the rest of a marking stands \
                 in the file, or in its source's profile"
            );
        }
        let tlp = self.tlp.as_deref().map(str::parse).transpose().context("--tlp")?;
        let pap = self.pap.as_deref().map(str::parse).transpose().context("--pap")?;
        let purposes = self.purposes.iter().map(|name| Code::known_purpose(name)).collect::<Result<_, _>>();
        Ok(Terms {
            tlp,
            pap,
            purposes: purposes.map_err(|error| anyhow::anyhow!("--for-purpose: {error}"))?,
            retention_ms: self.retention,
            legal_basis: self.legal_basis.clone(),
        })
    }

    fn words(self) -> MarkingWords {
        MarkingWords {
            tlp: self.tlp,
            pap: self.pap,
            personal: self.personal,
            purposes: self.purposes,
            legal_basis: self.legal_basis,
            retain_until_ms: self.retention.map(|span| tocsin_clock::now_ms().saturating_add(span)),
            countries: self.countries,
            not_countries: self.not_countries,
            police: self.police,
            references: self.references,
            exercise: self.exercise,
        }
    }
}

/// Where a report comes from: `derived from FEED (ID)`. A list without a source of its own has its file's name for both.
fn origin_text(origin: &Origin) -> String {
    match (origin.source.as_deref(), origin.id.as_deref().unwrap_or_default()) {
        (None, _) => "own observation".to_owned(),
        (Some(source), id) => match of_source(id) {
            id if id.is_empty() || id == source => format!("derived from {}", text::escape(source)),
            id => format!("derived from {} ({})", text::escape(source), text::escape(id)),
        },
    }
}

/// A source's own id, or the name of its file, without the marking (`/tlp:amber`) and the bucket (`#01`) that an import puts
/// behind it: how a list is cut tells a reader nothing, and the marking is shown as such.
fn of_source(id: &str) -> &str {
    let whole = id.rsplit_once('#').filter(|(_, bits)| bits.bytes().all(|b| matches!(b, b'0' | b'1')));
    let whole = whole.map_or(id, |(whole, _)| whole);
    let is_marking =
        |name: &str| ["tlp:", "pap:", "at-least-tlp:"].iter().any(|begin| name.starts_with(begin));
    whole.split_once('/').filter(|(_, name)| is_marking(name)).map_or(whole, |(id, _)| id)
}

/// What was written, for people.
fn published_text(published: &Published, verb: &str) -> String {
    let mut lines: Vec<String> = published
        .records
        .iter()
        .map(|new| {
            let mut more = Vec::new();
            if !new.record.is_empty() {
                more.push(format!("record {}", new.record));
            }
            if !new.partners.is_empty() {
                more.push(format!("for {}", new.partners.join(", ")));
            }
            let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join(", ")) };
            format!("{verb} {} in {}{more}", new.subject, new.circle)
        })
        .collect();
    for back in &published.taken_back {
        let (verb, record) = match back.record.as_str() {
            "" => ("would take back", String::new()),
            record => ("took back", format!(" (record {record})")),
        };
        lines.push(format!("{verb} {} in {}{record}", back.subject, back.circle));
    }
    for left in &published.skipped {
        lines.push(format!("left {}: {}", left.what, left.why));
    }
    if lines.is_empty() {
        lines.push("nothing to do".to_owned());
    }
    lines.extend(published.warnings.iter().map(|warning| format!("warning: {warning}")));
    term_lines(&lines) + &advice_text(&published.unmatched, &published.well_known)
}

/// How often something was met, and who says so.
fn sighted_text(sightings: &[Sighted]) -> Vec<String> {
    let text = |one: &Sighted| {
        let orgs = text::escape(&one.orgs.join(", ")).into_owned();
        let times = text::count(one.count, "time");
        let what = match one.kind.as_str() {
            "seen" => format!("seen {times}"),
            "false-positive" => term::paint(term::Style::Warn, "said to be a false positive"),
            "expired" => term::paint(term::Style::Warn, "said to be over"),
            other => text::escape(other).into_owned(),
        };
        format!("{what} by {orgs}, last at {}", one.last)
    };
    sightings.iter().map(text).collect()
}

/// What is kept and matched against nothing, and what everybody has: lines that follow others.
fn advice_text(unmatched: &[Advice], well_known: &[Advice]) -> String {
    let mut out = String::new();
    let mut tell = |list: &[Advice], what: &str| {
        for advice in list {
            let more = advice.count.saturating_sub(advice.values.len() as u64);
            let and_more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let are = if advice.count == 1 { "is" } else { "are" };
            out.push_str(&format!(
                "\n{} {}{and_more} {are} {what}: {}",
                term::paint(term::Style::Warn, "note:"),
                text::escape(&advice.values.join(", ")),
                text::escape(&advice.why),
            ));
        }
    };
    tell(unmatched, "kept and matched against nothing");
    tell(well_known, "matched as asked, and may hit anywhere");
    out
}

fn term_lines(lines: &[String]) -> String {
    lines.iter().map(|line| text::escape(line)).collect::<Vec<_>>().join("\n")
}

/// A word that may stand in a path of the node's interface.
fn path_word(word: &str) -> Result<&str> {
    let plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if plain && (1..=64).contains(&word.len()) {
        Ok(word)
    } else {
        bail!("`{}` is neither a record's id nor a subject", text::cut(word, 80))
    }
}

/// All was done.
///
/// # Errors
/// None: it is the end of what may have some.
pub fn done() -> Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}

/// Reads a text file that a user named.
fn read_named(path: &Path, most: u64) -> Result<String> {
    files::read_text(path, most).with_context(|| format!("the file {} was not used", path.display()))
}

#[cfg(test)]
mod tests {
    use tocsin_api::types::NewRecord;

    use super::*;

    #[test]
    fn what_would_be_written_has_no_record_yet() {
        let new = NewRecord { subject: "s".to_owned(), circle: "mesh".to_owned(), ..NewRecord::default() };
        let text = |record: &str, partners: &[&str]| {
            let partners = partners.iter().map(|&name| name.to_owned()).collect();
            let records = vec![NewRecord { record: record.to_owned(), partners, ..new.clone() }];
            published_text(&Published { records, ..Published::default() }, "would share")
        };
        assert_eq!(text("", &["aa", "bb"]), "would share s in mesh (for aa, bb)");
        assert_eq!(text("", &[]), "would share s in mesh");
        assert_eq!(text("1f", &[]), "would share s in mesh (record 1f)");
    }

    #[test]
    fn advice_names_the_values_first() {
        let advice = |count, values: &[&str]| Advice {
            why: "a private address".to_owned(),
            count,
            values: values.iter().map(|&value| value.to_owned()).collect(),
        };
        let one = advice_text(&[], &[advice(1, &["10.0.0.1"])]);
        assert!(
            one.ends_with("10.0.0.1 is matched as asked, and may hit anywhere: a private address"),
            "{one}"
        );
        let many = advice_text(&[], &[advice(7, &["10.0.0.1", "10.0.0.2"])]);
        assert!(many.contains("10.0.0.1, 10.0.0.2 and 5 more are matched"), "{many}");
    }

    #[test]
    fn an_origin_is_told_once() {
        let origin = |source: Option<&str>, id: Option<&str>| {
            origin_text(&Origin {
                source: source.map(str::to_owned),
                id: id.map(str::to_owned),
                ..Origin::default()
            })
        };
        assert_eq!(origin(None, None), "own observation");
        assert_eq!(origin(Some("scanners.csv"), Some("scanners.csv")), "derived from scanners.csv");
        assert_eq!(origin(Some("ESET"), Some("5b77")), "derived from ESET (5b77)");
        for (id, shown) in [
            ("week.json/tlp:clear#1", "week.json"),
            ("week.json/at-least-tlp:amber", "week.json"),
            ("week.json#0101", "week.json"),
            ("week#2.json", "week#2.json"),
            ("https://feed.example/1", "https://feed.example/1"),
            ("report--5b77/tlp:red,pap:red#01", "report--5b77"),
        ] {
            assert_eq!(origin(Some(shown), Some(id)), format!("derived from {shown}"));
            assert_eq!(origin(Some("ESET"), Some(id)), format!("derived from ESET ({shown})"));
        }
    }
}
