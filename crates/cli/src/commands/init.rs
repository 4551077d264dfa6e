//! `tocsin init`: make a node.

use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;
use tocsin_home::setup::{self, NewNode};
use tocsin_home::{Home, presets};
use tocsin_record::document::Contact;
use tocsin_record::id::fingerprint;

use super::{Context, Passphrase, done};
use crate::term;

/// Make a node: keys, certificate, card, configuration.
///
/// The org's root key names the agency and signs its nodes' keys. It is written apart from them, to
/// HOME/root/org.root.pem, encrypted under a passphrase: move it to a safe place and bring it back only to sign.
/// The card HOME/NAME.card holds no secret; send it to the founder of a mesh, and compare its fingerprint by
/// another channel, such as a phone call.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin --home ./aa init --name cert-aa --kind csirt --country AA \\
      --listen /ip4/0.0.0.0/udp/7117/quic-v1 --announce /dns4/tocsin.cert-aa.example/udp/7117/quic-v1
  tocsin --home ./bb init --name police-bb --kind police --country BB       (only dials out)")]
pub struct Args {
    /// Short name of the org: a-z, 0-9, dot and dash
    #[arg(long)]
    name: String,
    /// What the org is: csirt, police, prosecutor, border, intelligence, military, private, academic, international
    #[arg(long, default_value = "csirt")]
    kind: String,
    /// Country of the org, two letters
    #[arg(long, value_name = "CC")]
    country: String,
    /// Name of this node within the org
    #[arg(long, default_value = "node1")]
    node: String,
    /// Multiaddr to listen on; may be given several times; without it the node only dials out
    #[arg(long, value_name = "MULTIADDR")]
    listen: Vec<String>,
    /// Multiaddr under which partners reach it, if another than it listens on
    #[arg(long, value_name = "MULTIADDR")]
    announce: Vec<String>,
    /// Legal regime the org works under, such as gdpr or led; may be given several times
    #[arg(long, value_name = "NAME")]
    regime: Vec<String>,
    /// 24/7 desk for partners
    #[arg(long, value_name = "TEXT", default_value = "")]
    desk: String,
    /// Its telephone number
    #[arg(long, value_name = "NUMBER", default_value = "")]
    phone: String,
    /// Its mail address
    #[arg(long, value_name = "ADDRESS", default_value = "")]
    email: String,
    /// Policy to begin with: observer, member or national-cert
    #[arg(long, default_value = "member")]
    policy: String,
    #[command(flatten)]
    passphrase: Passphrase,
    /// Leave the root key unencrypted
    #[arg(long, conflicts_with = "passphrase_file")]
    no_passphrase: bool,
}

/// What `init` made.
#[derive(Serialize)]
struct Made {
    home: String,
    org: String,
    fingerprint: String,
    node: String,
    card: String,
    root_key: String,
    addresses: Vec<String>,
}

/// Makes the node and prints its card.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let home = Home::at(&context.home);
    let policy = presets::text(&args.policy)?;
    let passphrase = if args.no_passphrase { None } else { Some(args.passphrase.choose()?) };
    let new = NewNode {
        name: args.name.clone(),
        kind: args.kind,
        country: args.country,
        node: args.node.clone(),
        listen: args.listen,
        announce: args.announce,
        regimes: args.regime,
        contact: Contact { desk: args.desk, phone: args.phone, email: args.email, notes: String::new() },
        policy: policy.to_owned(),
    };
    let card = setup::make(&home, &new, passphrase.as_ref().map(|text| text.as_str()))?;
    let root = card.entry.root;
    let made = Made {
        home: home.path().display().to_string(),
        org: card.entry.name.clone(),
        fingerprint: fingerprint(&root.0),
        node: args.node.clone(),
        card: home.public_card(&args.name).display().to_string(),
        root_key: home.root_file().display().to_string(),
        addresses: card.entry.addresses.clone(),
    };
    context.print(&made, || {
        let addresses = if made.addresses.is_empty() {
            "none: this node dials out only".to_owned()
        } else {
            made.addresses.join("\n             ")
        };
        format!(
            "Made {} in {home}\n  fingerprint  {}\n  card         {}   (public: send it to the founder)\n  \
             root key     {}   (secret: move it to a safe place)\n  reached at   {addresses}\n\n\
             Next: found a mesh with `tocsin --home {home} mesh found --name NAME`,\n      \
             or send the card to a founder and `tocsin --home {home} join INVITE`.",
            term::paint(term::Style::Bold, &made.org),
            made.fingerprint,
            made.card,
            made.root_key,
            home = made.home,
        )
    })?;
    done()
}
