//! `tocsin import`: take in indicators from files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use tocsin_exchange::marking::Terms;
use tocsin_exchange::profile::{duration_ms, override_of};
use tocsin_record::marking::Code;
use tocsin_text as text;

use super::{Context, advice_text};
use crate::importer::{FileSummary, Importer, Persons, Progress, Reason, Summary, UNMARKED, Went};
use crate::term::{self, Style};

/// Explanations that are shown of one file, and lines of each, unless all are wanted.
const GROUPS_SHOWN: usize = 5;
const LINES_SHOWN: usize = 5;

/// Take in indicators from files: STIX 2.1 bundles, MISP events, CSV, plain lists.
///
/// Formats are recognised. What is found is stored in the org's own circle and sent to nobody; --share (or `share`
/// later) publishes it. The marking comes from the object, else from its file, else from the source's profile
/// (HOME/sources/NAME.toml), else from --tlp; what has none stays local, and the summary tells how to mark it. What looks
/// like a handling label and is not understood stays in the own circle whatever --tlp says; the summary names it.
/// The same file twice changes nothing, and an edited report becomes a new version with what changed.
///
/// A list has no title of its own: its file's name becomes the title that partners see, unless --title or the profile
/// says another. Its origin is --source, or the profile's `name`, else the file's name. The source is --source, or the
/// folder's name: it and the file's name identify a list, so keep them the same. The folder's name is told to nobody.
/// A list of STIX objects, which have ids, is known by them in another folder as well.
///
/// A marking once said stays: importing a file again without --tlp does not take it back.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
A profile, HOME/sources/feed-x.toml (all keys may be left out):
  tlp = \"GREEN\"           pap = \"AMBER\"        retention = \"90d\"
  purposes = [\"network-defence\"]                confidence = 60
  name = \"Feed X\"         title = \"Scanners\"     type = \"domain\"

Exit code: 0 all well; 3 something was left out, not read, or not shared as wanted; 2 nothing could be read, or error.
What its source took back, and what was taken otherwise than it is written, is told and is no failure.

Examples:
  tocsin import bundle.json
  tocsin import ./feeds --source feed-x --title 'Feed X, daily' --dry-run
  tocsin import misp-events/ --tlp green --share mesh")]
pub struct Args {
    /// Files, or folders with files
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Also share what is marked in this circle; may be given several times, for a copy in each that its marking allows
    #[arg(long, visible_alias = "to", value_name = "CIRCLE")]
    share: Vec<String>,
    /// Name of the source, and of its profile in HOME/sources
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Title of lists, which have none of their own (default: the file's name)
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// TLP of what carries no marking
    #[arg(long, value_name = "TLP")]
    tlp: Option<String>,
    /// PAP of what carries none
    #[arg(long, value_name = "PAP")]
    pap: Option<String>,
    /// Purpose of what carries none; may be given several times
    #[arg(long = "for-purpose", value_name = "PURPOSE")]
    purposes: Vec<String>,
    /// For how long it may be kept, such as 90d
    #[arg(long, value_name = "SPAN")]
    retention: Option<String>,
    /// The law it is kept under
    #[arg(long, value_name = "TEXT")]
    legal_basis: Option<String>,
    /// What a handling label means that is not understood; may be given several times
    #[arg(long = "override-marking", value_name = "LABEL=TLP")]
    overrides: Vec<String>,
    /// Leave out what is about persons: values, attributes, objects
    #[arg(long)]
    without_personal: bool,
    /// Let stand again what of a list you took back by hand, where its file still lists it
    #[arg(long)]
    again: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// List everything that was left out, not only the first of each file
    #[arg(long)]
    verbose: bool,
}

/// Reads the files, sends them to the node, and tells what came of each.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let home = context.home()?;
    let refuse = |flag: &'static str| move |why: String| anyhow::anyhow!("{flag}: {why}");
    let terms = Terms {
        tlp: args
            .tlp
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|e: tocsin_record::marking::MarkingError| refuse("--tlp")(e.to_string()))?,
        pap: args
            .pap
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|e: tocsin_record::marking::MarkingError| refuse("--pap")(e.to_string()))?,
        purposes: args
            .purposes
            .iter()
            .map(|name| Code::known_purpose(name))
            .collect::<Result<_, _>>()
            .map_err(|error| refuse("--for-purpose")(error.to_string()))?,
        retention_ms: args
            .retention
            .as_deref()
            .map(duration_ms)
            .transpose()
            .map_err(|why| refuse("--retention")(why.to_owned()))?,
        legal_basis: args.legal_basis.clone(),
    };
    let mut importer = Importer::new(&home, context.client(), args.source.as_deref(), terms)
        .context("nothing was imported")?;
    importer.share = args.share.clone();
    importer.title = args.title.clone();
    importer.dry_run = args.dry_run;
    importer.overrides = args
        .overrides
        .iter()
        .map(|text| {
            let (label, tlp) =
                text.rsplit_once('=').ok_or("write LABEL=tlp:X, such as 'tlp:ex:chr=tlp:amber'")?;
            override_of(label, tlp)
        })
        .collect::<Result<_, String>>()
        .map_err(refuse("--override-marking"))?;
    importer.again = args.again;
    if args.without_personal {
        importer.persons = Persons::LeaveOut;
    }
    if args.paths.iter().any(|path| path.as_os_str() == "-") {
        bail!(
            "import reads files and folders, not standard input, since the name of a file tells what it is the next time: \
             write it to a file (one that is named `-` is ./-)"
        );
    }
    let files = crate::importer::files(&args.paths)?;
    if files.is_empty() {
        bail!("there is no file in what was named");
    }
    let bar = Bar::new(files.len() as u64);
    let summary = importer.run(&files, &bar)?;
    bar.0.finish_and_clear();
    context.print(&summary, || text(&summary, &context.home, &args))?;
    Ok(match summary.went() {
        Went::Well => ExitCode::SUCCESS,
        Went::Partly => ExitCode::from(3),
        Went::Nothing => ExitCode::from(2),
    })
}

/// A progress bar, where someone looks.
struct Bar(indicatif::ProgressBar);

impl Bar {
    fn new(files: u64) -> Self {
        if !term::shows_progress() {
            return Self(indicatif::ProgressBar::hidden());
        }
        let bar = indicatif::ProgressBar::new(files);
        if let Ok(style) = indicatif::ProgressStyle::with_template("{bar:30} {pos}/{len} files  {msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }
}

impl Progress for Bar {
    fn file(&self, name: &str) {
        self.0.set_message(text::cut(name, 50));
    }

    fn done(&self) {
        self.0.inc(1);
    }
}

fn text(summary: &Summary, home: &Path, args: &Args) -> String {
    let Args { dry_run, share, verbose, .. } = args;
    let total = &summary.total;
    let mut out = format!(
        "{}{}: {}, {} changed, {} unchanged; {} written",
        if *dry_run { "would import " } else { "" },
        text::count(summary.files.len() as u64, "file"),
        text::count(total.new, "new report"),
        total.changed,
        total.duplicates,
        text::count(total.indicators, "indicator"),
    );
    if !share.is_empty() {
        out.push_str(&format!("; {} shared in {}", total.shared, text::escape(&share.join(", "))));
    }
    out.push_str(&advice_text(&total.unmatched, &total.well_known));
    if let Some(source) = &summary.no_profile {
        out.push_str(&format!(
            "\nthe source `{source}` has no profile {}: nothing is known of it beforehand",
            text::escape(&home.join("sources").join(format!("{source}.toml")).display().to_string())
        ));
    }
    let all_marked = total.unmarked == 0 && total.skipped.is_empty();
    for file in &summary.files {
        let name = text::escape(&file.file);
        if let Some(error) = &file.error {
            let word = term::paint(Style::Bad, "not read");
            out.push_str(&format!("\n{word} {name}: {}", text::escape(error)));
            continue;
        }
        out.push_str(&held(&name, file, all_marked));
        if file.skipped > 0 {
            let word = term::paint(Style::Warn, "left out");
            out.push_str(&format!("\n{word} {} of {name}:", file.skipped));
            out.push_str(&grouped(&file.reasons, file.skipped, *verbose));
        }
        if file.noted > 0 {
            let word = term::paint(Style::Warn, "note");
            out.push_str(&format!("\n{word} {} of {name}:", file.noted));
            out.push_str(&grouped(&file.notes, file.noted, *verbose));
        }
    }
    for back in &total.taken_back {
        let word = term::paint(Style::Warn, if *dry_run { "would change" } else { "changed" });
        out.push_str(&format!("\n{word} {}: {}", text::escape(&back.what), text::escape(&back.why)));
    }
    for (word, told) in [
        ("older", &total.older),
        ("two contents", &total.twice),
        ("gone", &total.gone),
        ("left out or not shared", &total.skipped),
    ] {
        let reasons: Vec<Reason> = told
            .iter()
            .map(|one| Reason { what: one.what.clone(), why: one.why.clone(), ..Reason::default() })
            .collect();
        if !reasons.is_empty() {
            out.push_str(&format!("\n{} {}:", term::paint(Style::Warn, word), reasons.len()));
            out.push_str(&grouped(&reasons, reasons.len() as u64, *verbose));
        }
    }
    if total.unmarked > 0 {
        out.push_str(&format!(
            "\n{} without a marking: not to be shared. To mark: {}",
            text::count(total.unmarked, "report"),
            to_mark(home, args),
        ));
    }
    out
}

/// What a file holds: what became an indicator and under which marking, what is kept beside, what is about persons.
fn held(name: &str, file: &FileSummary, all_marked: bool) -> String {
    /// Types named of one kind; of more the rest is counted.
    const TYPES_SHOWN: usize = 8;
    let word = |name: &str, count: u64| match count {
        // The file says none, and what stands of it has one from before.
        _ if name == UNMARKED && all_marked => format!("{count} as marked before"),
        // A report under this marking, of which nothing is matched.
        0 => format!("context only {name}"),
        _ => format!("{count} {name}"),
    };
    let list = |counts: &BTreeMap<String, u64>| {
        let mut rows: Vec<(&String, &u64)> = counts.iter().collect();
        rows.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), *name));
        let rest: u64 = rows.iter().skip(TYPES_SHOWN).map(|(_, count)| **count).sum();
        let mut words: Vec<String> =
            rows.iter().take(TYPES_SHOWN).map(|(name, count)| word(&text::escape(name), **count)).collect();
        if rest > 0 {
            words.push(format!("{rest} others"));
        }
        words.join(", ")
    };
    let mut out = String::new();
    for (what, counts) in [
        ("indicators", &file.types),
        ("under", &file.markings),
        ("kept as context", &file.context),
        ("about persons in what is kept", &file.personal),
        ("left out as about persons", &file.without),
    ] {
        if !counts.is_empty() {
            out.push_str(&format!("\n  {what}: {}", list(counts)));
        }
    }
    if out.is_empty() { out } else { format!("\n{name}:{out}") }
}

/// One explanation once, then the lines that it is about; of each the first few, unless all are wanted.
fn grouped(reasons: &[Reason], all: u64, verbose: bool) -> String {
    let mut groups: Vec<(&str, Vec<&Reason>)> = Vec::new();
    for reason in reasons {
        match groups.iter_mut().find(|(why, _)| *why == reason.why) {
            Some((_, group)) => group.push(reason),
            None => groups.push((&reason.why, vec![reason])),
        }
    }
    let (most_groups, most) = if verbose { (usize::MAX, usize::MAX) } else { (GROUPS_SHOWN, LINES_SHOWN) };
    let mut out = String::new();
    let mut told = 0;
    for (why, group) in groups.iter().take(most_groups) {
        out.push_str(&format!("\n  {}", text::escape(why)));
        for reason in group.iter().take(most) {
            told += 1;
            out.push_str(&format!("\n    {}", text::escape(&reason.what)));
            if !reason.value.is_empty() {
                out.push_str(&format!(": `{}`", text::escape(&reason.value)));
            }
        }
        if group.len() > most {
            let more = group.len() - most;
            told += more as u64;
            out.push_str(&format!("\n    ... and {more} more (--verbose)"));
        }
    }
    if all > told {
        out.push_str(&format!(
            "\n  ... and {} more{}",
            all - told,
            if verbose { "" } else { " (--verbose)" }
        ));
    }
    out
}

/// The same import with a marking, fit to be pasted into a shell.
fn to_mark(home: &Path, args: &Args) -> String {
    let mut words =
        vec!["tocsin".to_owned(), "--home".to_owned(), home.display().to_string(), "import".to_owned()];
    words.extend(args.paths.iter().map(|path| {
        let path = path.display().to_string();
        if path.starts_with('-') { format!("./{path}") } else { path }
    }));
    let flags = [
        ("--source", &args.source),
        ("--title", &args.title),
        ("--pap", &args.pap),
        ("--retention", &args.retention),
        ("--legal-basis", &args.legal_basis),
    ];
    for (flag, value) in flags {
        words.extend(value.iter().flat_map(|value| [flag.to_owned(), value.clone()]));
    }
    words.extend(args.share.iter().flat_map(|circle| ["--share".to_owned(), circle.clone()]));
    words.extend(args.purposes.iter().flat_map(|name| ["--for-purpose".to_owned(), name.clone()]));
    words.extend(args.overrides.iter().flat_map(|text| ["--override-marking".to_owned(), text.clone()]));
    words.extend(args.again.then(|| "--again".to_owned()));
    words.extend(args.without_personal.then(|| "--without-personal".to_owned()));
    words.extend(["--tlp".to_owned(), "green".to_owned()]);
    words.iter().map(|word| text::shell(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(line: u32, value: &str, why: &str) -> Reason {
        Reason { what: format!("line {line}"), value: value.to_owned(), why: why.to_owned() }
    }

    #[test]
    fn an_explanation_stands_once() {
        let reasons: Vec<Reason> =
            (1..=9).map(|line| reason(line, "x", if line == 3 { "other" } else { "no type" })).collect();
        let text = grouped(&reasons, 9, false);
        assert_eq!(text.matches("no type").count(), 1, "{text}");
        assert!(text.contains("line 1: `x`") && text.contains("and 3 more (--verbose)"), "{text}");
        assert!(grouped(&reasons, 9, true).contains("line 9") && !text.contains("line 9"));
    }

    #[test]
    fn the_hint_is_safe_to_paste() {
        let args = Args {
            paths: vec!["my feed/$(id).csv".into(), "-x".into()],
            share: vec![],
            source: Some("feed's".to_owned()),
            title: None,
            tlp: None,
            pap: None,
            purposes: vec![],
            retention: None,
            legal_basis: None,
            overrides: vec![],
            without_personal: false,
            again: false,
            dry_run: false,
            verbose: false,
        };
        let text = to_mark(Path::new("/h o"), &args);
        assert_eq!(
            text,
            r"tocsin --home '/h o' import 'my feed/$(id).csv' ./-x --source 'feed'\''s' --tlp green"
        );
    }

    #[test]
    fn what_is_held_is_told_under_its_marking() {
        let file = |label: &str, count| FileSummary {
            markings: BTreeMap::from([(label.to_owned(), count)]),
            ..FileSummary::default()
        };
        assert_eq!(held("f", &file(UNMARKED, 2), false), "\nf:\n  under: 2 no marking");
        assert_eq!(held("f", &file(UNMARKED, 2), true), "\nf:\n  under: 2 as marked before");
        assert_eq!(held("f", &file("TLP:RED", 0), true), "\nf:\n  under: context only TLP:RED");
    }
}
