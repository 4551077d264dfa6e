//! Changes of the mesh that need several stewards: a file that says what it does, is signed by one after the other, and put in
//! force by whoever has the last signature.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use tocsin_home::identity::{Change, Checked, Papers, Quorum, Reading};
use tocsin_home::{Home, files};
use tocsin_record::document::{Charter, Signed};
use tocsin_record::keys::Secret;
use tocsin_text as text;

use super::super::{Context, Passphrase, confirm, read_named};
use super::{papers, put, show};
use crate::term::{self, Style};

/// Longest file of a change, in bytes.
const CHANGE_MAX: u64 = 8 << 20;

/// How a change is signed, and where it goes.
#[derive(clap::Args, Debug, Clone)]
pub struct How {
    /// Where to write the change if others have to sign it (default: charter-VERSION.change in this folder)
    #[arg(long, value_name = "FILE")]
    pub change: Option<PathBuf>,
    /// Sign it though this org signed another change of the same version, which nobody will complete
    #[arg(long)]
    pub instead: bool,
    #[command(flatten)]
    pub passphrase: Passphrase,
}

/// What becomes of a change once this org signed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It is put in force if that is enough.
    Apply,
    /// A file is written in any case.
    Propose,
}

/// A change as `--json` prints it.
#[derive(Serialize)]
struct ShownChange {
    mesh: String,
    charter: u32,
    /// `awaits`, `complete` or `in-force`.
    state: &'static str,
    does: Vec<String>,
    signed: Vec<String>,
    awaits: Vec<String>,
    needs: Vec<Needs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

/// How many of the stewards have to sign.
#[derive(Serialize)]
struct Needs {
    /// `now`, of the charter in force; `then`, of the one that the change makes.
    of: &'static str,
    stewards: usize,
    needed: usize,
    signed: usize,
}

/// Who decides in a mesh, and what this org signed last.
#[derive(Serialize)]
struct ShownStatus {
    mesh: String,
    charter: u32,
    stewards: Vec<String>,
    needed: usize,
    signed: Option<ShownChange>,
}

/// Signs the next charter, and puts it in force or writes it for others to sign. Returns the charter in force then, if it is.
pub fn make(
    context: &Context,
    home: &Home,
    root: &Secret,
    (next, certificates): (&Charter, &[Signed]),
    how: &How,
    then: Then,
) -> Result<Option<Papers>> {
    let old = papers(home)?;
    let checked = old.check()?;
    let mut change = Change::new(checked.mesh, next, certificates.to_vec());
    sign_with_root(home, (&old, &checked), &mut change, (root, how))?;
    let reading = change.hold(&old)?;
    if then == Then::Apply && reading.is_complete() {
        let new = change.apply(&old)?;
        put(context, home, &new)?;
        return Ok(Some(new));
    }
    let path =
        how.change.clone().unwrap_or_else(|| PathBuf::from(format!("charter-{}.change", next.version)));
    write(&path, &change, &old)?;
    tell(context, &checked, &reading, Some(&path))?;
    Ok(None)
}

/// Adds the signature of this org's root, which never signs two changes of one version.
fn sign_with_root(
    home: &Home,
    (old, checked): (&Papers, &Checked),
    change: &mut Change,
    (root, how): (&Secret, &How),
) -> Result<()> {
    if let Some(before) = home.signed_change()?
        && !how.instead
    {
        change.beside(&before, old)?;
    }
    change.sign(checked, root)?;
    // Kept first: a signature that somebody has is never forgotten.
    Ok(home.write_signed_change(change)?)
}

/// Shows what a change does, asks, signs it, and puts it in force if that was the signature that was missing.
pub fn sign(context: &Context, home: &Home, path: &Path, yes: bool, how: &How) -> Result<()> {
    let old = papers(home)?;
    let checked = old.check()?;
    let (mut change, reading) = read(path, &old)?;
    if reading.in_force {
        return tell(context, &checked, &reading, Some(path));
    }
    let own = home.card()?.entry.name;
    if !reading.signed.contains(&own) {
        if !yes {
            term::tell(&change_text(&checked, &reading));
            if !confirm("Sign this for your org?")? {
                bail!("not confirmed, nothing was signed: give --yes where nobody can be asked");
            }
        }
        let root = how.passphrase.open_root(home)?;
        sign_with_root(home, (&old, &checked), &mut change, (&root, how))?;
    }
    let reading = change.hold(&old)?;
    let out = how.change.as_deref().unwrap_or(path);
    write(out, &change, &old)?;
    if reading.is_complete() {
        return put_in_force(context, home, &old, &change);
    }
    tell(context, &checked, &reading, Some(out))
}

/// Puts a change in force that enough stewards signed, in one file or in copies that were signed apart.
pub fn apply(context: &Context, home: &Home, paths: &[PathBuf]) -> Result<()> {
    let old = papers(home)?;
    let mut all = paths.iter().map(|path| read(path, &old).map(|(change, _)| change));
    let mut change = all.next().context("a file is named")??;
    for other in all {
        change.merge(&other?)?;
    }
    put_in_force(context, home, &old, &change)
}

fn put_in_force(context: &Context, home: &Home, old: &Papers, change: &Change) -> Result<()> {
    let new = change.apply(old)?;
    let (before, after) = (old.check()?, new.check()?);
    if after.charter.org(home.card()?.entry.root).is_none() {
        bail!("the change takes this node's own org out of the mesh: it is for the others to put in force");
    }
    put(context, home, &new)?;
    let came = after.charter.orgs.iter().filter(|org| before.charter.org(org.root).is_none());
    for org in came {
        term::tell(&format!("{} is in: `tocsin mesh invite {}` writes its invitation", org.name, org.name));
    }
    show(context, &after, None)
}

/// Says whose signature a change waits for; without a file, who the stewards are and what this org signed last.
pub fn status(context: &Context, home: &Home, path: Option<&Path>) -> Result<()> {
    let old = papers(home)?;
    let checked = old.check()?;
    if let Some(path) = path {
        let (_, reading) = read(path, &old)?;
        return tell(context, &checked, &reading, Some(path));
    }
    let signed = home.signed_change()?.and_then(|change| change.hold(&old).ok());
    let signed = signed.filter(|reading| !reading.in_force);
    let stewards: Vec<String> =
        checked.charter.orgs.iter().filter(|org| org.is_steward()).map(|org| org.name.clone()).collect();
    let shown = ShownStatus {
        mesh: checked.charter.name.clone(),
        charter: checked.charter.version,
        needed: stewards.len() / 2 + 1,
        stewards,
        signed: signed.as_ref().map(|reading| shown(&checked, reading, None)),
    };
    context.print_fitted(&shown, || {
        let mut out = format!(
            "Mesh {}, charter version {}\nchanged by {} of its stewards: {}",
            term::paint(Style::Bold, &text::escape(&shown.mesh)),
            shown.charter,
            shown.needed,
            shown.stewards.join(", ")
        );
        match &signed {
            Some(reading) => {
                out.push_str("\n\nThis org signed, and it is not in force here:\n");
                out.push_str(&change_text(&checked, reading));
            }
            None => out.push_str("\nthis org signed nothing that waits for others"),
        }
        out
    })
}

fn read(path: &Path, old: &Papers) -> Result<(Change, Reading)> {
    let text = read_named(path, CHANGE_MAX)?;
    Change::read(&text, old).with_context(|| format!("{} was refused", path.display()))
}

fn write(path: &Path, change: &Change, old: &Papers) -> Result<()> {
    Ok(files::write_public(path, change.write(old)?.as_bytes())?)
}

fn tell(context: &Context, checked: &Checked, reading: &Reading, path: Option<&Path>) -> Result<()> {
    let file = path.map(|path| path.display().to_string());
    let shown = shown(checked, reading, file.clone());
    context.print_fitted(&shown, || {
        let mut out = change_text(checked, reading);
        if let Some(file) = file {
            let next = match shown.state {
                "awaits" => format!("no secret: who has to sign does so by `tocsin mesh sign {file}`"),
                "complete" => format!("no secret: any member puts it in force, `tocsin mesh apply {file}`"),
                _ => "done".to_owned(),
            };
            out.push_str(&format!("\nFile: {file}   ({next})"));
        }
        out
    })
}

fn shown(checked: &Checked, reading: &Reading, file: Option<String>) -> ShownChange {
    let needs = |of, quorum: Quorum| Needs {
        of,
        stewards: quorum.stewards,
        needed: quorum.needed,
        signed: quorum.signed,
    };
    ShownChange {
        mesh: checked.charter.name.clone(),
        charter: reading.version,
        state: match (reading.in_force, reading.is_complete()) {
            (true, _) => "in-force",
            (false, true) => "complete",
            (false, false) => "awaits",
        },
        does: reading.does.clone(),
        signed: reading.signed.clone(),
        awaits: reading.awaits.clone(),
        needs: if reading.in_force {
            Vec::new()
        } else {
            vec![needs("now", reading.before), needs("then", reading.after)]
        },
        file,
    }
}

fn change_text(checked: &Checked, reading: &Reading) -> String {
    let e = text::escape;
    let mut out = format!("Change of mesh {}: charter version {}", e(&checked.charter.name), reading.version);
    if reading.in_force {
        return format!("{out} is in force");
    }
    for what in &reading.does {
        out.push_str(&format!("\n  {}", e(what)));
    }
    let Quorum { stewards, needed, signed } = reading.before;
    out.push_str(&format!("\nneeds {needed} of {stewards} stewards, {signed} signed"));
    if reading.after != reading.before {
        let Quorum { stewards, needed, signed } = reading.after;
        out.push_str(&format!("; and {needed} of the {stewards} from then on, {signed} signed"));
    }
    out.push_str(&format!("\nsigned by {}", e(&reading.signed.join(", "))));
    if !reading.awaits.is_empty() {
        out.push_str(&format!("\nwaits for {}", e(&reading.awaits.join(", "))));
    }
    out
}
