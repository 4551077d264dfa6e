//! `tocsin join`: join a mesh with the invitation of its founder.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use tocsin_home::identity::Invite;
use tocsin_record::id::fingerprint;
use tocsin_text as text;

use super::{Context, confirm, done, read_named};
use crate::term;

/// Longest invitation, in bytes.
const INVITE_MAX: u64 = 64 << 20;

/// Join a mesh with the invitation of its founder.
///
/// The invitation holds the mesh's charter and certificates, all signed, and no secret. Whoever made it could have
/// made a mesh of their own: compare the fingerprints shown with the founder by another channel before you say yes.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin --home ./bb join police-bb.invite
  tocsin --home ./bb join police-bb.invite --fingerprint 1f0c-22ab-90de-4411-7c3e-0a9b-55d0-e1f2")]
pub struct Args {
    /// The invitation
    invite: PathBuf,
    /// The mesh's fingerprint as you got it by another channel
    #[arg(long)]
    fingerprint: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// What was joined.
#[derive(Serialize)]
struct Joined {
    mesh: String,
    name: String,
    fingerprint: String,
    charter: u32,
    orgs: usize,
}

/// Checks the invitation and takes its documents into the home.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let home = context.home()?;
    let text = read_named(&args.invite, INVITE_MAX)?;
    let (invite, checked) =
        Invite::read(&text).with_context(|| format!("{} was refused", args.invite.display()))?;
    let identity = home.identity()?;
    if invite.org != identity.org() {
        let whom = checked.charter.org(invite.org).map_or("another org", |org| org.name.as_str());
        bail!("the invitation is for {whom}, this node is of {}: ask for your own", identity.card.entry.name);
    }
    if let Some(known) = home.papers()? {
        let known = known.check()?;
        if known.mesh != checked.mesh {
            bail!(
                "this node is in the mesh `{}` already: a second mesh needs a home of its own",
                known.charter.name
            );
        }
    }
    if home.running().is_some() {
        bail!("a node runs on this home: stop it first");
    }
    let found = fingerprint(&checked.mesh.0);
    match args.fingerprint.as_deref() {
        Some(expected) if expected.trim() == found => {}
        Some(_) => bail!("the mesh's fingerprint is {found}, not the one given: nothing was joined"),
        None if args.yes => {}
        None => {
            let name = text::escape(&checked.charter.name);
            term::tell(&format!("Mesh `{name}`, {} orgs", checked.charter.orgs.len()));
            term::tell(&format!("  mesh      {found}"));
            for steward in checked.charter.orgs.iter().filter(|org| org.is_steward()) {
                term::tell(&format!("  steward   {}  {}", fingerprint(&steward.root.0), steward.name));
            }
            term::tell(&format!("  your org  {}  {}", fingerprint(&invite.org.0), identity.card.entry.name));
            if !confirm("Did the steward tell you these fingerprints by another channel?")? {
                bail!("not confirmed, nothing was joined: compare them, then give --fingerprint or --yes");
            }
        }
    }
    let mut papers = invite.papers;
    papers.merge_certificates(&identity.card.certificates);
    if !papers.check()?.nodes.contains_key(&identity.node()) {
        bail!("the charter does not know this node's certificate: send the founder your card again");
    }
    home.write_papers(&papers)?;
    let joined = Joined {
        mesh: checked.mesh.to_string(),
        name: checked.charter.name.clone(),
        fingerprint: found,
        charter: checked.charter.version,
        orgs: checked.charter.orgs.len(),
    };
    context.print(&joined, || {
        format!(
            "Joined `{}` ({} orgs). Next: tocsin --home {} run",
            text::escape(&joined.name),
            joined.orgs,
            home.path().display()
        )
    })?;
    done()
}
