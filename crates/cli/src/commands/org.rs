//! `tocsin org`: what an org says of itself, and its further machines.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use serde::Serialize;
use tocsin_clock as clock;
use tocsin_home::identity::{Card, EntryEdit, NodeAnswer, NodeRequest};
use tocsin_home::setup::{self, NewNode};
use tocsin_home::{Home, files, presets};
use tocsin_record::document::{Certificate, OrgEntry};
use tocsin_record::id::fingerprint;
use tocsin_text as text;

use super::mesh::{self, How, Then};
use super::{Context, Passphrase, confirm, done, read_named};
use crate::term;

/// Longest card or request, and longest answer, in bytes.
const FILE_MAX: u64 = 1 << 20;
const ANSWER_MAX: u64 = 64 << 20;

/// Change what an org says of itself, and add machines to it.
///
/// The org's root key signs a new card. Partners know an org by the charter of the mesh, which stewards sign: a steward's own
/// entry is changed there at once, where its signature is enough; any other org sends its new card to a steward, who takes it by
/// `tocsin mesh add CARD`.
///
/// A second machine makes keys of its own (new-node), which the org's root certifies (add-node); no secret leaves either.
/// Both are nodes of the org then: they share its own circle where one can dial the other, and each serves it alone.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin --home ./bb org set --contact desk='Duty officer' --contact phone=+49301234567
  tocsin --home ./bb org set --constituency 192.0.2.0/24,AS64500,police-bb.example --country BB
  tocsin --home ./bb org set --announce /dns4/tocsin.police-bb.example/tcp/7117
  tocsin --home ./b2 org new-node --of police-bb.card --node two      writes two.request
  tocsin --home ./bb org add-node two.request                         writes two.certified
  tocsin --home ./b2 org take-node two.certified")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Change the org's entry; what is not named stays
    Set {
        /// Whom to call: desk=TEXT, phone=NUMBER, email=ADDRESS or notes=TEXT; may be given several times
        #[arg(long, value_name = "FIELD=TEXT")]
        contact: Vec<String>,
        /// What it answers for: networks, AS numbers, domains; none for nothing
        #[arg(long, value_name = "LIST", value_delimiter = ',')]
        constituency: Vec<String>,
        /// Its country, two letters
        #[arg(long, value_name = "CC")]
        country: Option<String>,
        /// Legal regimes it works under, such as gdpr,led; none for nothing
        #[arg(long, value_name = "LIST", value_delimiter = ',')]
        regime: Vec<String>,
        /// Multiaddrs under which partners reach this node; none if it only dials out
        #[arg(long, value_name = "MULTIADDR", value_delimiter = ',')]
        announce: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// On another machine: make a node of an org, with keys of its own, and the file by which it asks to be certified
    NewNode {
        /// The org's card
        #[arg(long, value_name = "CARD")]
        of: PathBuf,
        /// Name of this node within the org
        #[arg(long)]
        node: String,
        /// Multiaddr to listen on; may be given several times; without it the node only dials out
        #[arg(long, value_name = "MULTIADDR")]
        listen: Vec<String>,
        /// Multiaddr under which partners reach it, if another than it listens on
        #[arg(long, value_name = "MULTIADDR")]
        announce: Vec<String>,
        /// Policy to begin with: observer, member or national-cert
        #[arg(long, default_value = "member")]
        policy: String,
        /// Where to write what it asks for (default: NODE.request in this folder)
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Where the org's root key is: certify a node of this org, and write what it needs to run
    AddNode {
        /// What the node asks for
        request: PathBuf,
        /// The node's fingerprint, as its machine showed it
        #[arg(long)]
        fingerprint: Option<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        /// Where to write the answer (default: NODE.certified in this folder)
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        passphrase: Passphrase,
    },
    /// On the other machine again: take the answer, after which the node can run
    TakeNode {
        /// The answer
        answer: PathBuf,
        /// The mesh's fingerprint, as `mesh show` prints it at the org's other node
        #[arg(long)]
        fingerprint: Option<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// A node of the org as `--json` prints it.
#[derive(Serialize)]
struct ShownNode {
    org: String,
    node: String,
    fingerprint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
}

/// An org's entry as `--json` prints it.
#[derive(Serialize)]
struct Shown {
    org: String,
    /// `signed`: the card is, and waits for a steward; `same`: it says so already.
    state: &'static str,
    card: String,
    country: String,
    desk: String,
    phone: String,
    email: String,
    addresses: Vec<String>,
}

/// Changes the entry, or makes, certifies and readies a node.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    match args.what {
        What::Set { contact, constituency, country, regime, announce, how } => {
            let edit = EntryEdit { contact, constituency, country, regimes: regime, announce };
            set(context, &edit, &how)?;
        }
        What::NewNode { of, node, listen, announce, policy, out } => {
            let policy = presets::text(&policy)?.to_owned();
            let new = NewNode { node, listen, announce, policy, ..NewNode::default() };
            new_node(context, &of, &new, out)?;
        }
        What::AddNode { request, fingerprint, yes, out, passphrase } => {
            add_node(context, &request, fingerprint.as_deref(), yes, out, &passphrase)?;
        }
        What::TakeNode { answer, fingerprint, yes } => {
            take_node(context, &answer, fingerprint.as_deref(), yes)?;
        }
    }
    done()
}

fn new_node(context: &Context, of: &Path, new: &NewNode, out: Option<PathBuf>) -> Result<()> {
    let card =
        Card::read(&read_named(of, FILE_MAX)?).with_context(|| format!("{} is no card", of.display()))?;
    let home = Home::at(&context.home);
    let request = setup::make_node(&home, new, &card)?;
    let path = out.unwrap_or_else(|| PathBuf::from(format!("{}.request", new.node)));
    files::write_public(&path, request.write()?.as_bytes())?;
    let certificate: Certificate = request.certificate.read()?;
    let shown = shown_node(&card, &certificate, Some(&path));
    context.print_fitted(&shown, || {
        let home = home.path().display();
        format!(
            "Made node {node} of {} in {home}\n  fingerprint  {}\n  request      {}   (no secret)\n\n\
             Next: at the home with the org's root key, `tocsin org add-node {node}.request`,\n      \
             and here, with what that writes, `tocsin --home {home} org take-node {node}.certified`.",
            text::escape(&shown.org),
            shown.fingerprint,
            path.display(),
            node = text::escape(&shown.node),
        )
    })
}

fn shown_node(card: &Card, certificate: &Certificate, path: Option<&Path>) -> ShownNode {
    ShownNode {
        org: card.entry.name.clone(),
        node: certificate.node.clone(),
        fingerprint: fingerprint(&certificate.node_key().0),
        file: path.map(|path| path.display().to_string()),
    }
}

fn add_node(
    context: &Context,
    path: &Path,
    expected: Option<&str>,
    yes: bool,
    out: Option<PathBuf>,
    passphrase: &Passphrase,
) -> Result<()> {
    let home = context.home()?;
    let card = home.card()?;
    let refused = || format!("{} was refused", path.display());
    let request = NodeRequest::read(&read_named(path, FILE_MAX)?).with_context(refused)?;
    let mut papers = mesh::papers(&home)?;
    let certificate: Certificate = request.certificate.read()?;
    let question = "Is that the fingerprint which the machine showed?";
    let what = format!("node {} of {}", certificate.node, card.entry.name);
    check(&what, &fingerprint(&certificate.node_key().0), expected, yes, question)?;
    let root = passphrase.open_root(&home)?;
    let new = request.certify(&card, &root).with_context(refused)?;
    papers.merge_certificates(&new.certificates);
    mesh::put(context, &home, &papers)?;
    home.write_card(&new)?;
    let out = out.unwrap_or_else(|| PathBuf::from(format!("{}.certified", certificate.node)));
    let checked = papers.check()?;
    let answer = NodeAnswer { card: new.clone(), papers };
    files::write_public(&out, answer.write(&checked).as_bytes())?;
    let shown = shown_node(&new, &certificate, Some(&out));
    let is_announced = !request.addresses.is_empty();
    context.print_fitted(&shown, || {
        let mut text = format!(
            "Certified {what}. File: {}   (no secret; the machine takes it by `tocsin org take-node`)",
            out.display()
        );
        if is_announced {
            text.push_str(&format!(
                "\nPartners dial it once a steward took the org's new card: `tocsin mesh add {}.card`",
                shown.org
            ));
        }
        text
    })
}

fn take_node(context: &Context, path: &Path, expected: Option<&str>, yes: bool) -> Result<()> {
    let home = Home::at(&context.home);
    if home.own_card().exists() {
        bail!("the node in {} is certified already", home.path().display());
    }
    let Some(request) = home.request()? else {
        bail!(
            "no node in {} waits to be certified: make one, `tocsin --home {0} org new-node --of CARD --node NAME`",
            home.path().display()
        );
    };
    let text = read_named(path, ANSWER_MAX)?;
    let (answer, checked) =
        NodeAnswer::read(&text).with_context(|| format!("{} was refused", path.display()))?;
    let own: Certificate = request.certificate.read()?;
    let certified = answer.card.certificates.iter().filter_map(|signed| signed.read::<Certificate>().ok());
    if answer.card.entry.root != request.org || !certified.into_iter().any(|one| one == own) {
        bail!("{} is for another node: it does not certify the keys of this one", path.display());
    }
    let question = "Does `tocsin mesh show` at the org's other node say so?";
    check(&format!("mesh {}", checked.charter.name), &fingerprint(&checked.mesh.0), expected, yes, question)?;
    let mut papers = answer.papers;
    papers.merge_certificates(&answer.card.certificates);
    home.write_papers(&papers)?;
    // The last one written: a home with it is whole.
    home.write_card(&answer.card)?;
    let shown = shown_node(&answer.card, &own, None);
    context.print_fitted(&shown, || {
        format!(
            "This is node {} of {}. Next: tocsin --home {} run",
            shown.node,
            shown.org,
            home.path().display()
        )
    })
}

/// Compares a fingerprint with the one that people have by another way, or asks them.
fn check(what: &str, found: &str, expected: Option<&str>, yes: bool, question: &str) -> Result<()> {
    match expected {
        Some(expected) if expected.trim() == found => return Ok(()),
        Some(_) => bail!("the fingerprint of the {what} is {found}, not the one given: nothing was done"),
        None if yes => return Ok(()),
        None => {}
    }
    term::tell(what);
    term::tell(&format!("fingerprint {found}"));
    if confirm(question)? {
        Ok(())
    } else {
        bail!("not confirmed, nothing was done: compare the fingerprint, then give --fingerprint or --yes")
    }
}

/// Signs the new card, and changes the charter where this org may.
fn set(context: &Context, edit: &EntryEdit, how: &How) -> Result<()> {
    let home = context.home()?;
    let identity = home.identity()?;
    let checked = home.papers()?.map(|papers| papers.check()).transpose()?;
    let org = identity.org();
    let in_force = checked.as_ref().and_then(|checked| checked.charter.org(org));
    // What the org said last, though no steward took it yet.
    let before = &identity.card.entry;
    let entry = edit.apply(before, &identity.certificate.transport_key())?;
    let is_known = |known: &OrgEntry| OrgEntry { roles: entry.roles.clone(), ..known.clone() } == entry;
    if entry == *before && in_force.is_none_or(is_known) {
        return show(context, &home.public_card(&entry.name).display().to_string(), &entry, "same");
    }
    let root = how.passphrase.open_root(&home)?;
    // What an org may do is no word of its own.
    let own = OrgEntry { roles: Vec::new(), ..entry.clone() };
    let card = Card::sign(own, identity.card.certificates.clone(), &root)?;
    let card = Card::decode(&card.encode())?;
    let next = match &checked {
        Some(checked) if in_force.is_some_and(OrgEntry::is_steward) => {
            checked.with_entry(entry.clone(), clock::now_ms())?
        }
        _ => None,
    };
    if let Some(next) = next {
        let new = mesh::make_change(context, &home, &root, (&next, &[]), how, Then::Apply)?;
        home.write_card(&card)?;
        if let Some(new) = new {
            mesh::show(context, &new.check()?, None)?;
        }
        return Ok(());
    }
    home.write_card(&card)?;
    show(context, &home.public_card(&entry.name).display().to_string(), &entry, "signed")
}

fn show(context: &Context, card: &str, entry: &OrgEntry, state: &'static str) -> Result<()> {
    let shown = Shown {
        org: entry.name.clone(),
        state,
        card: card.to_owned(),
        country: entry.country_code().to_owned(),
        desk: entry.contact.desk.clone(),
        phone: entry.contact.phone.clone(),
        email: entry.contact.email.clone(),
        addresses: entry.addresses.clone(),
    };
    context.print_fitted(&shown, || match state {
        "same" => format!("{} says so already: nothing was changed", text::escape(&shown.org)),
        _ => format!(
            "Signed the card of {}: {card}\nPartners see it when a steward took it: send it to one, who runs `tocsin mesh add {}.card`",
            text::escape(&shown.org),
            text::escape(&shown.org)
        ),
    })
}
