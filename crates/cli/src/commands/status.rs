//! `tocsin status`: how the node is.

use std::process::ExitCode;

use anyhow::Result;
use tocsin_api::route::{self, Target};
use tocsin_api::types::{HeldBy, Log, Partner, PartnerNode, Status};
use tocsin_clock as clock;
use tocsin_text as text;

use super::{Context, done};
use crate::term::{self, Style};

/// Tell how the node is: peers, logs, what is missing, who is silent.
///
/// `missing nothing as of ...` rests on signed heads: every partner's node says from time to time what its newest
/// record is, and this node holds all of it. What nobody gives to this node is counted apart, as withheld. Partners
/// acknowledge headers, in order: the bodies that your policy keeps from them are not in that count; `tocsin why` tells
/// of one record who may have its body.
#[derive(clap::Args, Debug)]
#[command(after_long_help = "\
Examples:
  tocsin --home ./aa status
  tocsin --home ./aa status --logs
  tocsin --home ./aa --json status | jq .summary")]
pub struct Args {
    /// Also list every log, those that their authors closed included
    #[arg(long)]
    logs: bool,
    /// Also count what each partner did so far, and show what you said you think of it
    #[arg(long)]
    partners: bool,
}

/// Asks the node and prints its state, again and again with --watch.
///
/// # Errors
/// What was wrong, where, and how to mend it.
pub fn run(context: &Context, args: Args) -> Result<ExitCode> {
    let asked = if args.partners { "?partners=true" } else { "" };
    let status: Status = context.client().get(Target::from(route::STATUS).with(asked))?;
    context.print_fitted(&status, || text(&status, args.logs))?;
    done()
}

/// Characters of an address or fault in the table of peers, which has to fit 120 columns; `--json` has all. Fewer where the
/// terminal has not so many.
const ADDRESS_SHOWN: usize = 44;
const ADDRESS_LEAST: usize = 16;
/// Orgs that were taken out and are named, the last first; `--json` and `mesh show` have all.
const REMOVED_SHOWN: usize = 3;
/// Columns of the terminal that are enough for all that the tables say.
const WIDE: usize = 120;

fn is_narrow() -> bool {
    term::columns().is_some_and(|most| most < WIDE)
}

/// A moment in a table.
fn moment(ms: u64) -> String {
    if is_narrow() { clock::show_briefly(ms, clock::now_ms()) } else { clock::show(ms) }
}

/// How a node is, for people.
pub(crate) fn text(status: &Status, logs: bool) -> String {
    let style = if status.complete { Style::Good } else { Style::Warn };
    let mut out = format!(
        "{} in mesh `{}` (charter {}), process {}\n{}\n",
        term::paint(Style::Bold, &status.org),
        text::escape(&status.mesh),
        status.charter,
        status.pid,
        term::paint(style, &text::escape(&status.summary)),
    );
    for alarm in &status.alarms {
        out.push_str(&format!("{} {}\n", term::paint(Style::Bad, "alarm:"), text::escape(alarm)));
    }
    for removed in status.removed.iter().take(REMOVED_SHOWN) {
        out.push_str(&format!(
            "removed: {} is no longer in the mesh, since charter {} of {}\n",
            text::escape(&removed.org),
            removed.charter,
            removed.time
        ));
    }
    for silent in &status.silent {
        let since = match silent.since.0 {
            0 => "not heard yet".to_owned(),
            _ => format!("since {}", silent.since),
        };
        out.push_str(&format!("silent: {} {since}\n", text::escape(&silent.org)));
    }
    for withheld in &status.withheld {
        let are = if withheld.records == 1 { "is" } else { "are" };
        out.push_str(&format!(
            "withheld: {} of {} {are} not given to this node\n",
            text::count(withheld.records, "record"),
            text::escape(&withheld.author)
        ));
    }
    let store = &status.store;
    out.push_str(&format!(
        "store: {} ({} accepted, {} held, {} refused), {}, {} on disk{}\n",
        text::count(store.records, "record"),
        store.accepted,
        store.held,
        store.refused,
        text::count(store.observables, "observable"),
        text::bytes(store.disk_bytes),
        status.disk.map_or_else(String::new, |disk| {
            format!(", {} free of {}", text::bytes(disk.free_bytes), text::bytes(disk.size_bytes))
        })
    ));
    if !status.waiting.is_empty() {
        let by_rule = |one: &HeldBy| format!("{} by {}", one.records, text::escape(&one.rule));
        let by_rule: Vec<String> = status.waiting.iter().map(by_rule).collect();
        out.push_str(&format!("waits for a person: {} (`tocsin hold list`)\n", by_rule.join(", ")));
    }
    out.push_str(&format!(
        "queues: {} inputs, {} to send, {} bodies wanted\n",
        status.queues.inbox,
        text::bytes(status.queues.outbox_bytes),
        status.queues.wanted
    ));
    let (network, late) = (&status.network, &status.network.of_late);
    let under_way = network.tcp.under_way + network.quic.under_way;
    if under_way + late.in_vain > 0 {
        out.push_str(&format!(
            "handshakes of others: {under_way} under way; in the last two minutes {} went well, {} came to nothing\n",
            late.proven, late.in_vain
        ));
    }
    let policy = &status.policy;
    out.push_str(&format!(
        "policy: {} rules, in force since {}{}\n\n",
        policy.rules,
        policy.loaded,
        if policy.rejudging { ", records are being judged anew" } else { "" }
    ));
    let row = |peer: &PartnerNode, most: usize| {
        vec![
            peer.org.clone(),
            peer.node.clone(),
            if peer.connected { "up".to_owned() } else { "down".to_owned() },
            peer.rtt_ms.map_or_else(String::new, |rtt| format!("{rtt:.1} ms")),
            if peer.connected {
                format!("{}{}", text::bytes(peer.queued), if peer.slow { ", slow" } else { "" })
            } else {
                String::new()
            },
            peer.direction.clone().unwrap_or_default(),
            peer.address.as_deref().map_or_else(
                || text::cut(peer.fault.as_deref().unwrap_or_default(), most),
                |address| {
                    // The peer id is 52 letters that say what the column of the node says.
                    let place = address.split("/p2p/").next().unwrap_or(address);
                    text::cut(place, most)
                },
            ),
        ]
    };
    let rows = |most| status.peers.iter().map(|peer| row(peer, most)).collect::<Vec<_>>();
    let headings = ["peer", "node", "link", "round trip", "to send", "dir", "address"];
    if status.peers.is_empty() {
        out.push_str("no partner is in the mesh yet: `tocsin mesh add CARD` adds one");
    } else {
        // The address has what the other columns leave.
        let fits = (ADDRESS_LEAST..=ADDRESS_SHOWN).rev().find(|most| term::has_room(&headings, &rows(*most)));
        out.push_str(&term::table(&headings, &rows(fits.unwrap_or(ADDRESS_SHOWN))));
    }
    if !status.receipts.is_empty() {
        let rows: Vec<Vec<String>> = status
            .receipts
            .iter()
            .map(|receipt| {
                vec![
                    receipt.org.clone(),
                    receipt.circle.clone(),
                    format!("{} of {}", receipt.height, receipt.of),
                    if receipt.height == 0 { String::new() } else { moment(receipt.time.0) },
                    receipt.after_ms.map_or_else(String::new, clock::show_measured_ms),
                    receipt.p50_ms.map_or_else(String::new, |ms| clock::show_measured_ms(ms.into())),
                    receipt.p99_ms.map_or_else(String::new, |ms| clock::show_measured_ms(ms.into())),
                ]
            })
            .collect();
        out.push_str("\n\n");
        out.push_str(&term::table(
            &["acknowledged by", "circle", "headers", "at", "after", "p50", "p99"],
            &rows,
        ));
    }
    if !status.logs.is_empty() {
        out.push_str("\n\n");
        out.push_str(&logs_table(&status.logs, logs));
    }
    if !status.partners.is_empty() {
        out.push_str("\n\n");
        out.push_str(&partners_table(&status.partners));
    }
    out
}

/// The column of a log's epoch.
const EPOCH: usize = 3;

/// Heights as held and as the authors' signed heads say: of each author's newest log, or of all.
fn logs_table(logs: &[Log], all: bool) -> String {
    let newest = |log: &Log| {
        let of_author = |other: &&Log| {
            (&other.author, &other.node, &other.circle) == (&log.author, &log.node, &log.circle)
        };
        logs.iter().filter(of_author).all(|other| other.epoch <= log.epoch)
    };
    let mut rows: Vec<Vec<String>> = logs
        .iter()
        .filter(|log| all || newest(log) || log.missing + log.withheld > 0)
        .map(|log| {
            vec![
                log.author.clone(),
                log.node.clone(),
                log.circle.clone(),
                log.epoch.to_string(),
                log.height.to_string(),
                log.announced.map_or_else(|| "-".to_owned(), |announced| announced.to_string()),
                if log.announced.is_some() { moment(log.announced_at.0) } else { String::new() },
                log.missing.to_string(),
                log.withheld.to_string(),
                log.state.clone(),
            ]
        })
        .collect();
    let mut titles =
        vec!["author", "node", "circle", "epoch", "held", "announced", "at", "missing", "withheld", "state"];
    if is_narrow() {
        // Only of use where an author has several logs, and long.
        if !all {
            titles.remove(EPOCH);
            rows.iter_mut().for_each(|row| drop(row.remove(EPOCH)));
        }
        let announced = titles.iter_mut().find(|title| **title == "announced");
        announced.into_iter().for_each(|title| *title = "said");
    }
    term::table(&titles, &rows)
}

fn partners_table(partners: &[Partner]) -> String {
    let rows: Vec<Vec<String>> = partners
        .iter()
        .map(|partner| {
            vec![
                partner.org.clone(),
                partner.accepted.to_string(),
                partner.held.to_string(),
                partner.refused.to_string(),
                partner.withdrawn.to_string(),
                partner.forks.to_string(),
                partner.trust.map_or_else(|| "not said".to_owned(), |trust| trust.to_string()),
            ]
        })
        .collect();
    let titles = ["partner", "accepted", "held", "refused", "taken back", "forks", "trust (yours)"];
    term::table(&titles, &rows)
}

#[cfg(test)]
mod tests {
    use tocsin_api::types::{Silent, StoreStatus};

    use super::*;

    #[test]
    fn what_there_is_none_of_is_told_in_words() {
        let status = Status {
            silent: vec![Silent { org: "bb".to_owned(), ..Silent::default() }],
            store: StoreStatus { records: 1, observables: 2, ..StoreStatus::default() },
            ..Status::default()
        };
        let text = text(&status, false);
        for part in [
            "silent: bb not heard yet\n",
            "store: 1 record (",
            "2 observables",
            "no partner is in the mesh yet",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("epoch"), "{text}");
    }
}
