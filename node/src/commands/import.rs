//! `tocsin import`: take in indicators from files.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use tocsin_exchange::marking::Terms;
use tocsin_exchange::profile::duration_ms;
use tocsin_record::marking::Code;

use super::{Context, done};
use crate::import::{Importer, Progress, Summary};
use crate::term::{self, Style};

/// Take in indicators from files: STIX 2.1 bundles, MISP events, CSV, plain lists.
///
/// Formats are recognised. What is found is stored in the org's own circle and sent to nobody; --share (or `share`
/// later) publishes it. The marking comes from the object, else from its file, else from the source's profile
/// (HOME/sources/NAME.toml), else from --tlp; what has none stays local, and the summary tells how to mark it.
/// The same file twice changes nothing, and an edited report becomes a new version with what changed.
///
/// The source is the folder's name, or --source: it and the file's name identify lists, so keep them the same.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
A profile, HOME/sources/feed-x.toml (all keys may be left out):
  tlp = \"GREEN\"           pap = \"AMBER\"        retention = \"90d\"
  purposes = [\"network-defence\"]                confidence = 60

Examples:
  tocsin import bundle.json
  tocsin import ./feeds --source feed-x --dry-run
  tocsin import misp-events/ --tlp green --share mesh")]
pub struct Args {
    /// Files, or folders with files
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Also share what is marked in this circle
    #[arg(long, value_name = "CIRCLE")]
    share: Option<String>,
    /// Name of the source, and of its profile in HOME/sources
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
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
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// List everything that was left out, not only the first of each file
    #[arg(long)]
    verbose: bool,
}

pub(crate) fn run(context: &Context, args: Args) -> Result<ExitCode> {
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
            .map(|name| Code::purpose(name))
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
    importer.dry_run = args.dry_run;
    let files = crate::import::files(&args.paths)?;
    if files.is_empty() {
        bail!("there is no file in what was named");
    }
    let bar = Bar::new(files.len() as u64);
    let summary = importer.run(&files, &bar)?;
    bar.0.finish_and_clear();
    context.print(&summary, || text(&summary, &context.home, &args))?;
    done()
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
        self.0.set_message(term::cut(name, 50));
    }

    fn done(&self) {
        self.0.inc(1);
    }
}

fn text(summary: &Summary, home: &Path, args: &Args) -> String {
    let Args { paths, dry_run, share, verbose, .. } = args;
    let total = &summary.total;
    let mut out = format!(
        "{}{}: {}, {} changed, {} unchanged; {} written",
        if *dry_run { "would import " } else { "" },
        term::count(summary.files.len() as u64, "file"),
        term::count(total.new, "new report"),
        total.changed,
        total.duplicates,
        term::count(total.indicators, "indicator"),
    );
    if let Some(circle) = share {
        out.push_str(&format!("; {} shared in {circle}", total.shared));
    }
    for file in &summary.files {
        if let Some(error) = &file.error {
            out.push_str(&format!(
                "\n{} {}: {}",
                term::paint(Style::Bad, "not read"),
                term::escape(&file.file),
                term::escape(error)
            ));
            continue;
        }
        if file.skipped > 0 {
            let word = term::paint(Style::Warn, "left out");
            out.push_str(&format!("\n{word} {} of {}:", file.skipped, term::escape(&file.file)));
            let most = if *verbose { usize::MAX } else { 5 };
            for skipped in file.reasons.iter().take(most) {
                out.push_str(&format!("\n  {}: {}", term::escape(&skipped.what), term::escape(&skipped.why)));
            }
            let more = file.skipped.saturating_sub(file.reasons.len().min(most) as u64);
            if more > 0 {
                out.push_str(&format!("\n  ... and {more} more (--verbose)"));
            }
        }
    }
    for skipped in total.skipped.iter().take(if *verbose { usize::MAX } else { 10 }) {
        out.push_str(&format!("\nreport {}: {}", skipped.what, term::escape(&skipped.why)));
    }
    if total.unmarked > 0 {
        let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        out.push_str(&format!(
            "\n{} without a marking: not to be shared. To mark: tocsin --home {} import {} --tlp green",
            term::count(total.unmarked, "report"),
            term::escape(&home.display().to_string()),
            term::escape(&paths.join(" ")),
        ));
    }
    out
}
