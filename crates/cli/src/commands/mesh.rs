//! `tocsin mesh`: found a mesh, add partners to it and take them out, say who decides that, show who is in it.

mod change;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use serde::Serialize;
use tocsin_api::route;
use tocsin_api::types::{Removed, Time};
use tocsin_clock as clock;
use tocsin_home::identity::{Card, Checked, Invite, Papers};
use tocsin_home::{Home, files, keys};
use tocsin_record::codec;
use tocsin_record::document::OrgEntry;
use tocsin_record::id::fingerprint;
use tocsin_text as text;

use super::{Context, Passphrase, confirm, done, read_named};
use crate::term;
pub(super) use change::{How, Then, make as make_change};

/// Longest card file, in bytes.
const CARD_MAX: u64 = 1 << 20;

/// Found a mesh, add partners to it and take them out, show who is in it.
///
/// The founder is the mesh's first steward: its root key signs the charter, which lists the partners. Adding a
/// partner makes a new version of the charter and an invitation for that partner, one file without a secret.
/// A running node takes the new version at once and tells its peers.
///
/// Who is taken out is shut out by every node that hears of it: its links end, and nothing that it writes from then on is
/// taken, nor anything given to it. What it has it keeps, and what it wrote before stays. It is out of all circles as well.
///
/// A mesh with several stewards is changed by more than half of them. Where one signature is not enough, add, remove and
/// steward write a file instead: it says in words what it does, holds no secret, and goes by mail or stick from one steward to the
/// next, who sign it. The signature that was missing puts it in force.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin --home ./aa mesh found --name ring
  tocsin --home ./aa mesh add police-bb.card         writes police-bb.invite
  tocsin --home ./aa mesh remove police-bb
  tocsin --home ./aa mesh steward add police-bb border-cc     writes charter-4.change
  tocsin --home ./bb mesh sign charter-4.change
  tocsin --home ./aa mesh show")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Found a mesh, with this org as its first member and steward
    Found {
        /// Name of the mesh, for people
        #[arg(long)]
        name: String,
        #[command(flatten)]
        passphrase: Passphrase,
    },
    #[command(flatten)]
    Edit(Edit),
    /// Write a change to a file for others to sign, and change nothing yet
    Propose {
        #[command(subcommand)]
        edit: Edit,
    },
    /// Show what a change does, ask, and sign it for this org; the signature that was missing puts it in force
    Sign {
        /// The change, which is written anew with the signature, or to where --change says
        file: PathBuf,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        how: How,
    },
    /// Say whose signature a change waits for; without a file, who the stewards are and what this org signed last
    Status {
        /// The change
        file: Option<PathBuf>,
    },
    /// Put a change in force that enough stewards signed
    Apply {
        /// The change; copies of it that were signed apart are taken together
        #[arg(required = true)]
        file: Vec<PathBuf>,
    },
    /// Write the invitation of an org that is in the mesh
    Invite {
        /// The org, by its name in the charter
        org: String,
        /// Where to write it (default: NAME.invite in this folder)
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Show who is in the mesh
    Show,
}

/// What the stewards of a mesh decide.
#[derive(Subcommand, Debug)]
enum Edit {
    /// Add the org of a card, or bring its entry up to date, and write its invitation
    Add {
        /// The partner's card
        card: PathBuf,
        /// The card's fingerprint as you got it by another channel
        #[arg(long)]
        fingerprint: Option<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Where to write the invitation (default: NAME.invite in this folder)
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        how: How,
    },
    /// Take an org out of the mesh
    Remove {
        /// The org, by its name in the charter
        org: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        how: How,
    },
    /// Make orgs stewards, or stewards no more: more than half of them sign each change of the mesh
    Steward {
        #[command(subcommand)]
        what: Steward,
    },
}

#[derive(Subcommand, Debug)]
enum Steward {
    /// Make orgs stewards
    Add {
        /// The orgs, by their names in the charter
        #[arg(required = true, value_name = "ORG")]
        orgs: Vec<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        how: How,
    },
    /// Make orgs stewards no more; they stay in the mesh
    Remove {
        /// The orgs, by their names in the charter
        #[arg(required = true, value_name = "ORG")]
        orgs: Vec<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        how: How,
    },
}

/// Most columns of an address; fewest where the terminal is narrow; and those of a fingerprint, beside which it stands there.
const ADDRESS_SHOWN: usize = 60;
const ADDRESS_LEAST: usize = 20;
const BESIDE_ADDRESS: usize = 45;

/// A mesh as `--json` prints it.
#[derive(Serialize)]
struct Shown {
    mesh: String,
    name: String,
    fingerprint: String,
    charter: u32,
    orgs: Vec<ShownOrg>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    removed: Vec<Removed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invite: Option<String>,
}

#[derive(Serialize)]
struct ShownOrg {
    org: String,
    kind: String,
    country: String,
    regimes: Vec<String>,
    fingerprint: String,
    roles: Vec<String>,
    nodes: Vec<String>,
    addresses: Vec<String>,
    desk: String,
    phone: String,
    email: String,
}

/// Founds, adds or shows.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let home = context.home()?;
    match args.what {
        What::Found { name, passphrase } => found(context, &home, &name, &passphrase)?,
        What::Edit(edit) => make(context, &home, edit, Then::Apply)?,
        What::Propose { edit } => make(context, &home, edit, Then::Propose)?,
        What::Sign { file, yes, how } => change::sign(context, &home, &file, yes, &how)?,
        What::Status { file } => change::status(context, &home, file.as_deref())?,
        What::Apply { file } => change::apply(context, &home, &file)?,
        What::Invite { org, out } => {
            let papers = papers(&home)?;
            let checked = papers.check()?;
            let entry = checked.named(&org)?.clone();
            let invite = invite(&papers, &checked, &entry, out)?;
            show(context, &checked, Some(invite))?;
        }
        What::Show => {
            let checked = papers(&home)?.check()?;
            show(context, &checked, None)?;
        }
    }
    done()
}

fn found(context: &Context, home: &Home, name: &str, passphrase: &Passphrase) -> Result<()> {
    if let Some(papers) = home.papers()? {
        bail!(
            "this node is in the mesh `{}` already: a second mesh needs a home of its own",
            papers.check()?.charter.name
        );
    }
    let card = home.card()?;
    let root = passphrase.open_root(home)?;
    let nonce = *keys::fresh_seed()?;
    let papers = Papers::found(name, nonce, card.entry, card.certificates, &root, clock::now_ms())?;
    home.write_papers(&papers)?;
    show(context, &papers.check()?, None)
}

fn check_fingerprint(card: &Card, expected: Option<&str>, yes: bool) -> Result<()> {
    let found = fingerprint(&card.entry.root.0);
    match expected {
        Some(expected) if expected.trim() == found => Ok(()),
        Some(_) => bail!(
            "the card's fingerprint is {found}, not the one given: the card was exchanged on its way, or it is \
             another org's. Nothing was added"
        ),
        None if yes => Ok(()),
        None => {
            term::tell(&format!(
                "{} ({}, {})",
                card.entry.name,
                card.entry.kind_name(),
                card.entry.country_code()
            ));
            term::tell(&format!("fingerprint {found}"));
            if confirm("Is that the fingerprint which the org told you by another channel?")? {
                Ok(())
            } else {
                bail!(
                    "not confirmed, nothing was added: compare the fingerprint, then give --fingerprint or --yes"
                )
            }
        }
    }
}

fn make(context: &Context, home: &Home, edit: Edit, then: Then) -> Result<()> {
    match edit {
        Edit::Add { card, fingerprint, yes, out, how } => {
            let text = read_named(&card, CARD_MAX)?;
            let card = Card::read(&text).with_context(|| format!("{} is no card", card.display()))?;
            check_fingerprint(&card, fingerprint.as_deref(), yes)?;
            add(context, home, &card, out, (&how, then))
        }
        Edit::Remove { org, yes, how } => remove(context, home, &org, yes, (&how, then)),
        Edit::Steward { what: Steward::Add { orgs, yes, how } } => {
            stewards(context, home, (&orgs, true), yes, (&how, then))
        }
        Edit::Steward { what: Steward::Remove { orgs, yes, how } } => {
            stewards(context, home, (&orgs, false), yes, (&how, then))
        }
    }
}

/// Adds an org, or brings its entry up to date.
fn add(
    context: &Context,
    home: &Home,
    card: &Card,
    out: Option<PathBuf>,
    (how, then): (&How, Then),
) -> Result<()> {
    let old = papers(home)?;
    let next = old.check()?.with_entry(card.entry.clone(), clock::now_ms())?;
    let new = match &next {
        Some(next) => {
            let root = how.passphrase.open_root(home)?;
            change::make(context, home, &root, (next, &card.certificates), how, then)?
        }
        // It stands so already: its certificates may be new, and its invitation is wanted once more.
        None => {
            let root = how.passphrase.open_root(home)?;
            let new = old.add(card.entry.clone(), &card.certificates, &root, clock::now_ms())?;
            put(context, home, &new)?;
            Some(new)
        }
    };
    let Some(new) = new else { return Ok(()) };
    let checked = new.check()?;
    let invite = invite(&new, &checked, &card.entry, out)?;
    show(context, &checked, Some(invite))
}

fn invite(papers: &Papers, checked: &Checked, entry: &OrgEntry, out: Option<PathBuf>) -> Result<String> {
    let invite = Invite { org: entry.root, papers: papers.clone() };
    let path = out.unwrap_or_else(|| PathBuf::from(format!("{}.invite", entry.name)));
    files::write_public(&path, invite.write(checked).as_bytes())?;
    Ok(path.display().to_string())
}

/// Takes an org out, after it was said once more which.
fn remove(context: &Context, home: &Home, org: &str, yes: bool, (how, then): (&How, Then)) -> Result<()> {
    let checked = papers(home)?.check()?;
    let next = checked.without(org, clock::now_ms())?;
    ask(checked.named(org).into_iter(), yes, "Take it out of the mesh, for all partners?")?;
    let root = how.passphrase.open_root(home)?;
    let new = change::make(context, home, &root, (&next, &[]), how, then)?;
    new.map_or(Ok(()), |new| show(context, &new.check()?, None))
}

/// Makes orgs stewards, or stewards no more.
fn stewards(
    context: &Context,
    home: &Home,
    (orgs, adds): (&[String], bool),
    yes: bool,
    (how, then): (&How, Then),
) -> Result<()> {
    let checked = papers(home)?.check()?;
    let next = checked.with_stewards(orgs, adds, clock::now_ms())?;
    let question = if adds {
        "Let these orgs decide with the others who is in the mesh?"
    } else {
        "Make these orgs stewards no more?"
    };
    ask(orgs.iter().filter_map(|org| checked.named(org).ok()), yes, question)?;
    let root = how.passphrase.open_root(home)?;
    let new = change::make(context, home, &root, (&next, &[]), how, then)?;
    new.map_or(Ok(()), |new| show(context, &new.check()?, None))
}

/// Says which orgs it is about, and asks.
fn ask<'a>(orgs: impl Iterator<Item = &'a OrgEntry>, yes: bool, question: &str) -> Result<()> {
    if yes {
        return Ok(());
    }
    for entry in orgs {
        term::tell(&format!("{} ({}, {})", entry.name, entry.kind_name(), entry.country_code()));
        term::tell(&format!("fingerprint {}", fingerprint(&entry.root.0)));
    }
    if confirm(question)? {
        Ok(())
    } else {
        bail!("not confirmed, nothing was changed: give --yes where nobody can be asked")
    }
}

/// Puts documents in force: the running node takes the new ones, keeps them and tells its peers.
pub(super) fn put(context: &Context, home: &Home, papers: &Papers) -> Result<()> {
    if home.running().is_some() {
        let _: serde_json::Value = context.client().post_bytes(route::DOCUMENTS, &codec::encode(papers))?;
    } else {
        home.write_papers(papers)?;
    }
    Ok(())
}

pub(super) fn papers(home: &Home) -> Result<Papers> {
    home.papers()?.with_context(|| {
        format!(
            "this node is in no mesh yet: `tocsin --home {0} mesh found --name NAME` or `join INVITE`",
            home.path().display()
        )
    })
}

pub(super) fn show(context: &Context, checked: &Checked, invite: Option<String>) -> Result<()> {
    let orgs = checked
        .charter
        .orgs
        .iter()
        .map(|org| ShownOrg {
            org: org.name.clone(),
            kind: org.kind_name().to_owned(),
            country: org.country_code().to_owned(),
            regimes: org.regimes.clone(),
            fingerprint: fingerprint(&org.root.0),
            roles: org.roles.clone(),
            nodes: checked.nodes_of(org.root).map(|node| node.node.clone()).collect(),
            addresses: org.addresses.clone(),
            desk: org.contact.desk.clone(),
            phone: org.contact.phone.clone(),
            email: org.contact.email.clone(),
        })
        .collect();
    let removed = checked
        .removed
        .iter()
        .map(|removed| Removed {
            org: removed.entry.name.clone(),
            fingerprint: fingerprint(&removed.entry.root.0),
            charter: removed.charter,
            time: Time(removed.time),
        })
        .collect();
    let shown = Shown {
        mesh: checked.mesh.to_string(),
        name: checked.charter.name.clone(),
        fingerprint: fingerprint(&checked.mesh.0),
        charter: checked.charter.version,
        orgs,
        removed,
        invite,
    };
    context.print_fitted(&shown, || {
        let reached_shown = term::columns().map_or(ADDRESS_SHOWN, |most| {
            most.saturating_sub(BESIDE_ADDRESS).clamp(ADDRESS_LEAST, ADDRESS_SHOWN)
        });
        let rows: Vec<Vec<String>> = shown
            .orgs
            .iter()
            .map(|org| {
                // The peer id behind it is 52 letters that a certificate says as well.
                let reached = org
                    .addresses
                    .first()
                    .map_or("dials out", |address| address.split("/p2p/").next().unwrap_or(address));
                vec![
                    org.org.clone(),
                    org.kind.clone(),
                    org.country.clone(),
                    if org.regimes.is_empty() { "-".to_owned() } else { org.regimes.join(",") },
                    org.roles.join(","),
                    org.fingerprint.clone(),
                    text::cut(reached, reached_shown),
                ]
            })
            .collect();
        let mut text = format!(
            "Mesh {}, charter version {}\nfingerprint {}\n\n{}",
            term::paint(term::Style::Bold, &text::escape(&shown.name)),
            shown.charter,
            shown.fingerprint,
            term::table(&["org", "kind", "in", "regimes", "roles", "fingerprint", "reached at"], &rows)
        );
        for removed in &shown.removed {
            let Removed { org, fingerprint, charter, time } = removed;
            text.push_str(&format!(
                "\nremoved: {org}  {fingerprint}, by charter version {charter} of {time}"
            ));
        }
        if let Some(invite) = &shown.invite {
            text.push_str(&format!("\n\nInvitation: {invite}   (no secret; send it to the org)"));
        }
        text
    })
}
