//! `tocsin org`: what an org says of itself.

use std::process::ExitCode;

use anyhow::Result;
use clap::Subcommand;
use serde::Serialize;
use tocsin_clock as clock;
use tocsin_home::identity::{Card, EntryEdit};
use tocsin_record::document::OrgEntry;
use tocsin_text as text;

use super::mesh::{self, How, Then};
use super::{Context, done};

/// Change what an org says of itself: whom to call, what it answers for, where it is reached.
///
/// The org's root key signs a new card. Partners know an org by the charter of the mesh, which stewards sign: a steward's own
/// entry is changed there at once, where its signature is enough; any other org sends its new card to a steward, who takes it by
/// `tocsin mesh add CARD`.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin --home ./bb org set --contact desk='Duty officer' --contact phone=+49301234567
  tocsin --home ./bb org set --constituency 192.0.2.0/24,AS64500,police-bb.example --country BB
  tocsin --home ./bb org set --announce /dns4/tocsin.police-bb.example/tcp/7117")]
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

/// Signs the new card, and changes the charter where this org may.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let What::Set { contact, constituency, country, regime, announce, how } = args.what;
    let edit = EntryEdit { contact, constituency, country, regimes: regime, announce };
    let home = context.home()?;
    let identity = home.identity()?;
    let checked = home.papers()?.map(|papers| papers.check()).transpose()?;
    let org = identity.org();
    let in_force = checked.as_ref().and_then(|checked| checked.charter.org(org));
    // Another machine of the org may have changed it last.
    let before = in_force.unwrap_or(&identity.card.entry);
    let entry = edit.apply(before, &identity.certificate.transport_key())?;
    if entry == *before {
        show(context, &home.public_card(&entry.name).display().to_string(), &entry, "same")?;
        return done();
    }
    let root = how.passphrase.open_root(&home)?;
    // What an org may do is no word of its own.
    let own = OrgEntry { roles: Vec::new(), ..entry.clone() };
    let card = Card::sign(own, identity.card.certificates.clone(), &root)?;
    let card = Card::decode(&card.encode())?;
    let next = match &checked {
        Some(checked) if before.is_steward() => checked.with_entry(entry.clone(), clock::now_ms())?,
        _ => None,
    };
    if let Some(next) = next {
        let new = mesh::make_change(context, &home, &root, (&next, &[]), &how, Then::Apply)?;
        home.write_card(&card)?;
        if let Some(new) = new {
            mesh::show(context, &new.check()?, None)?;
        }
        return done();
    }
    home.write_card(&card)?;
    show(context, &home.public_card(&entry.name).display().to_string(), &entry, "signed")?;
    done()
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
