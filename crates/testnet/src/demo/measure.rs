//! How long a warning takes, by the partners' signed receipts.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use tocsin_cli::term;
use tocsin_clock as clock;
use tocsin_text as text;

use super::story::{Story, warning};
use super::{DemoError, Partner, percentiles, table};

/// For how long single records are published, and by how many orgs in turn.
const MEASURE: Duration = Duration::from_secs(9);
const AUTHORS: usize = 5;
/// How long an org rests after a record of its own: partners sign one receipt a second for its log.
const REST_MS: u64 = 1_050;
/// How often receipts are looked for meanwhile.
const LOOK: Duration = Duration::from_millis(30);
/// How long the last receipts may take.
const LAST: Duration = Duration::from_secs(3);
/// How many warnings are shown: with all else they fit a terminal of 24 lines.
const SHOWN: usize = 8;

/// A warning on its way.
pub(super) struct Warned {
    /// What it warns of.
    pub(super) value: String,
    /// Who warned.
    pub(super) author: String,
    /// Its place in the author's log.
    seq: u64,
    /// When it was about to be written, in ms since 1970.
    at: i64,
    /// By org.
    pub(super) arrived: BTreeMap<String, Arrived>,
}

/// How a receipt tells that a warning arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    /// It names the warning: ms from the author's clock to the partner's.
    After(i64),
    /// It names a later record, and so says that the warning came before: ms.
    Within(i64),
}

impl fmt::Display for Arrived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(ms) => f.write_str(&clock::show_measured_ms(*ms)),
            Self::Within(ms) => write!(f, "≤ {}", clock::show_measured_ms(*ms)),
        }
    }
}

impl Story<'_> {
    /// Single records, so that receipts tell how long each took.
    pub(super) fn measure(&mut self) -> Result<(), DemoError> {
        self.screen.heading("How long does a warning take? (by the partners' signed receipts)")?;
        let authors: Vec<String> = self.orgs().into_iter().take(AUTHORS).collect();
        let every = Duration::from_millis(REST_MS / authors.len() as u64);
        let mut warned: Vec<Warned> = Vec::new();
        let mut picture = self.screen.picture();
        let start = Instant::now();
        while start.elapsed() < MEASURE {
            let next = Instant::now() + every;
            let count = warned.len();
            let author = &authors[count % authors.len()];
            let value = format!("198.51.{}.{}", 100 + count / 250, 1 + count % 250);
            let at = signed(clock::now_ms());
            let published =
                self.publish(author, warning(&value, &format!("EXERCISE: beacon {count}"), 75))?;
            self.report.indicators += 1;
            let (author, arrived) = (author.clone(), BTreeMap::new());
            warned.push(Warned { value, author, seq: published.seq, at, arrived });
            while Instant::now() < next {
                self.gather_receipts(&authors, &mut warned);
                picture.draw(&self.picture_of(&warned))?;
                std::thread::sleep(LOOK.min(next.saturating_duration_since(Instant::now())));
            }
        }
        let start = Instant::now();
        let partners = self.report.orgs - 1;
        while warned.iter().any(|warned| warned.arrived.len() < partners) && start.elapsed() < LAST {
            self.gather_receipts(&authors, &mut warned);
            picture.draw(&self.picture_of(&warned))?;
            std::thread::sleep(LOOK);
        }
        drop(picture);
        self.screen.block(&self.picture_of(&warned))?;
        self.wait_until_everywhere("every single warning arrived")?;
        self.tell_delays(&warned)
    }

    /// The last warnings, and how many there are.
    fn picture_of(&self, warned: &[Warned]) -> String {
        let last = &warned[warned.len().saturating_sub(SHOWN)..];
        let table = table::delays(&self.orgs(), last, self.screen.room());
        let total = percentiles(&mut named(warned).map(|(_, ms)| ms).collect::<Vec<_>>());
        let told = match total.samples {
            0 => "no receipt yet".to_owned(),
            many => {
                let receipts = text::count(many as u64, "receipt");
                format!("{receipts}, p50 {}, p99 {}", total.p50_text(), total.p99_text())
            }
        };
        let warnings = text::count(warned.len() as u64, "warning");
        let told = format!("{warnings}, the last {} above; {told}", last.len());
        format!("{table}\n{}", text::wrap(&told, self.screen.room()).join("\n"))
    }

    fn tell_delays(&mut self, warned: &[Warned]) -> Result<(), DemoError> {
        let mut by_partner: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for (org, ms) in named(warned) {
            by_partner.entry(org).or_default().push(ms);
        }
        let partners: Vec<Partner> = by_partner
            .iter_mut()
            .map(|(org, delays)| Partner { org: (*org).to_owned(), delays: percentiles(delays) })
            .collect();
        let total = percentiles(&mut named(warned).map(|(_, ms)| ms).collect::<Vec<_>>());
        let rows: Vec<Vec<String>> = partners
            .iter()
            .map(|Partner { org, delays }| {
                vec![org.clone(), delays.p50_text(), delays.p99_text(), delays.samples.to_string()]
            })
            .collect();
        let headings = ["partner", "p50", "p99", "receipts"];
        self.screen.block(&term::table_within(self.screen.room(), &headings, &rows))?;
        self.report.partners = partners;
        self.report.publish_to_partner_ms = total;
        let heard = self.report.partners.len() == self.report.orgs;
        self.check(
            "every partner signed receipts",
            heard && total.samples > 0,
            format!("{} receipts, p50 {}, p99 {}", total.samples, total.p50_text(), total.p99_text()),
        )
    }

    fn gather_receipts(&self, authors: &[String], warned: &mut [Warned]) {
        for author in authors {
            let Some(status) = self.status(author) else { continue };
            for receipt in status.receipts.into_iter().filter(|receipt| receipt.circle == "mesh") {
                let Some(ms) = receipt.after_ms else { continue };
                // Receipts for what was imported tell of catching up, not of warnings: none of these is named by them.
                let told = warned
                    .iter_mut()
                    .rev()
                    .filter(|warned| warned.author == *author && warned.seq <= receipt.height);
                for warned in told.take_while(|warned| !warned.arrived.contains_key(&receipt.org)) {
                    let arrived = if warned.seq == receipt.height {
                        Arrived::After(ms)
                    } else {
                        Arrived::Within(signed(receipt.time.0) - warned.at)
                    };
                    warned.arrived.insert(receipt.org.clone(), arrived);
                }
            }
        }
    }
}

/// Of each receipt that names a warning: the partner, and ms.
fn named(warned: &[Warned]) -> impl Iterator<Item = (&str, i64)> {
    warned.iter().flat_map(|warned| &warned.arrived).filter_map(|(org, arrived)| match arrived {
        Arrived::After(ms) => Some((org.as_str(), *ms)),
        Arrived::Within(_) => None,
    })
}

fn signed(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}
