//! `tocsin bundle`: what partners without a network between them have for each other, carried by hand.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use serde::Serialize;
use tocsin_api::route::{self, Route};
use tocsin_api::types::{BUNDLE_MAX, BundleApplied, BundleMade, BundleRequest, FRONTIERS_MAX};
use tocsin_home::files;
use tocsin_record::codec;
use tocsin_text as text;

use super::{Context, done};

/// What the node says of a file stands before it and takes at most so many bytes more.
const SUMMARY_MAX: usize = 1 << 20;

/// Carry by hand, on a stick or by mail, what a link would carry.
///
/// A bundle holds what this node has for an org or for the members of a circle: documents, and the records of the circles that they
/// share, as far as the policy lets them go there. It is signed by this node and sealed to theirs, so it may go by any path; it tells
/// who finds it how much it holds and nothing else. What it brings is taken as if it had come by a link: only what its authors
/// signed counts, judged by the own policy. The same bundle twice changes nothing.
///
/// With a frontier, a file by which they say how far they are, it holds only what they lack.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  police$ tocsin bundle frontier /mnt/stick/police.have --for cert-aa
  cert$   tocsin bundle create /mnt/stick/cert.bundle --for police-bb --have /mnt/stick/police.have
  police$ tocsin bundle apply /mnt/stick/cert.bundle")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Write a bundle for an org, or for the members of a circle
    Create {
        /// Where to write it; nothing is replaced
        file: PathBuf,
        /// An org, or a circle: all of its members can open it
        #[arg(long = "for", value_name = "ORG|CIRCLE")]
        to: String,
        /// What they have, by their own `bundle frontier`: only what is lacking is put in. Give one of each org
        #[arg(long, value_name = "FILE", num_args = 1..)]
        have: Vec<PathBuf>,
        /// Longest file, in MiB, for mail that takes no more; what does not fit goes in the next, with a new frontier
        #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..=64), default_value_t = 64)]
        at_most: u32,
    },
    /// Take in a bundle that was made for this org
    Apply {
        /// The bundle
        file: PathBuf,
    },
    /// Write how far this node is, for those who are to make a bundle for it
    Frontier {
        /// Where to write it; nothing is replaced
        file: PathBuf,
        /// Who is to make the bundle: an org, or a circle. It tells of the circles that all of them share with this org
        #[arg(long = "for", value_name = "ORG|CIRCLE", default_value = "mesh")]
        to: String,
    },
}

/// What was written.
#[derive(Serialize)]
struct Written {
    file: String,
    bytes: usize,
    #[serde(flatten)]
    made: BundleMade,
}

/// Has the node make the file or take it in.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    match args.what {
        What::Create { file, to, have, at_most } => {
            if have.len() > FRONTIERS_MAX {
                bail!("give at most {FRONTIERS_MAX} files with --have");
            }
            let read = |path: &PathBuf| Ok(files::read(path, BUNDLE_MAX as u64)?);
            let have = have.iter().map(read).collect::<Result<Vec<_>>>()?;
            let written =
                make(context, &file, route::BUNDLE, &BundleRequest { to, have, most: at_most << 20 })?;
            context.print_fitted(&written, || made_text(&written))?;
        }
        What::Frontier { file, to } => {
            let written = make(
                context,
                &file,
                route::BUNDLE_FRONTIER,
                &BundleRequest { to, have: Vec::new(), most: 0 },
            )?;
            context.print_fitted(&written, || {
                format!(
                    "{} ({})\nwhat this node has of {}, for {}",
                    text::escape(&written.file),
                    text::bytes(written.bytes as u64),
                    text::count(written.made.logs, "log"),
                    text::escape(&written.made.to.join(", ")),
                )
            })?;
        }
        What::Apply { file } => {
            let bytes = files::read(&file, BUNDLE_MAX as u64)?;
            let applied: BundleApplied = context
                .client()
                .post_bytes(route::BUNDLE_APPLY, &bytes)
                .with_context(|| format!("{} was not taken", file.display()))?;
            context.print_fitted(&applied, || applied_text(&applied))?;
        }
    }
    done()
}

/// Has the node make a file and writes it.
fn make(context: &Context, file: &Path, route: Route, request: &BundleRequest) -> Result<Written> {
    if file.exists() {
        bail!("{} exists already: move it away first, nothing was changed", file.display());
    }
    let answer = context.client().post_for_bytes(route, &codec::encode(request), BUNDLE_MAX + SUMMARY_MAX)?;
    let apart = || {
        let (length, rest) = answer.split_first_chunk::<4>()?;
        rest.split_at_checked(u32::from_be_bytes(*length) as usize)
    };
    let (made, bytes) = apart().context("the node's answer is cut short: start it, and do this again")?;
    let made: BundleMade = serde_json::from_slice(made).context("the node's answer is not understood")?;
    files::write_new(file, bytes)?;
    Ok(Written { file: file.display().to_string(), bytes: bytes.len(), made })
}

fn made_text(written: &Written) -> String {
    let made = &written.made;
    let mut out = format!(
        "{} ({}) for {}\n{}, {} with {}",
        text::escape(&written.file),
        text::bytes(written.bytes as u64),
        text::escape(&made.to.join(", ")),
        text::count(made.documents, "document"),
        text::count(made.records, "record"),
        if made.bodies == 1 { "1 body".to_owned() } else { format!("{} bodies", made.bodies) },
    );
    for kept in &made.withheld {
        out.push_str(&format!("\nkept back by {}: {}", text::escape(&kept.rule), kept.bodies));
    }
    if !made.unknown.is_empty() {
        out.push_str(&format!(
            "\nnobody said what {} has: all is in it",
            text::escape(&made.unknown.join(", "))
        ));
    }
    if made.left > 0 {
        out.push_str(&format!(
            "\nno room for {}: once this is taken, have them write a frontier,\nand make the next with it",
            text::count(made.left, "record")
        ));
    }
    out
}

fn applied_text(applied: &BundleApplied) -> String {
    let mut out = format!(
        "Taken from {} ({}), as of {}\nnew: {}, {} with {}",
        text::escape(&applied.org),
        text::escape(&applied.node),
        applied.time,
        text::count(applied.documents, "document"),
        text::count(applied.records, "record"),
        if applied.bodies == 1 { "1 body".to_owned() } else { format!("{} bodies", applied.bodies) },
    );
    if applied.behind > 0 {
        out.push_str(&format!(
            "\n{} not taken: what stands before is not here. Give them a\nfrontier (`tocsin bundle frontier`) to make a bundle with",
            text::count(applied.behind, "record")
        ));
    }
    if applied.refused > 0 {
        out.push_str(&format!(
            "\n{} not taken: their authors may not write there,\nor said two different things",
            text::count(applied.refused, "record")
        ));
    }
    if applied.left > 0 {
        out.push_str(&format!(
            "\nno room in it for {}: the next bundle, made with a new\nfrontier, brings them",
            text::count(applied.left, "record")
        ));
    }
    out
}
