//! How long a warning takes, by the partners' signed receipts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tocsin_api::types::Status;
use tocsin_cli::term;

use super::story::{Story, warning};
use super::{DemoError, Partner, percentiles};

/// For how long single records are published, and how often.
const MEASURE: Duration = Duration::from_secs(9);
const EVERY: Duration = Duration::from_millis(150);

/// By partner: author and height of a receipt, and ms.
type Delays = BTreeMap<String, BTreeMap<(String, u64), i64>>;

impl Story<'_> {
    /// Single records, so that receipts tell how long each took.
    pub(super) fn measure(&mut self) -> Result<(), DemoError> {
        self.chapter("How long does a warning take? (by the partners' signed receipts)");
        let authors: Vec<String> =
            (0..3).map(|at| self.org(at)).collect::<BTreeSet<_>>().into_iter().collect();
        // Receipts for what was imported tell of catching up, not of warnings.
        let before = self.heights();
        let mut delays = Delays::new();
        let start = Instant::now();
        let mut count = 0_u32;
        while start.elapsed() < MEASURE {
            let author = &authors[count as usize % authors.len()];
            let value = format!("198.51.{}.{}", 100 + count / 250, 1 + count % 250);
            self.publish(author, warning(&value, &format!("EXERCISE: beacon {count}"), 75))?;
            self.report.indicators += 1;
            count += 1;
            std::thread::sleep(EVERY);
            if count.is_multiple_of(4) {
                self.gather_receipts(&before, &mut delays);
            }
        }
        self.wait_until_everywhere("every single warning arrived")?;
        std::thread::sleep(Duration::from_millis(1500));
        self.gather_receipts(&before, &mut delays);
        let mut every = Vec::new();
        let mut partners = Vec::new();
        for (org, delays) in &delays {
            let mut delays: Vec<i64> = delays.values().copied().collect();
            every.extend(&delays);
            partners.push(Partner { org: org.clone(), delays: percentiles(&mut delays) });
        }
        self.report.publish_to_partner_ms = percentiles(&mut every);
        if self.loud {
            let rows: Vec<Vec<String>> = partners
                .iter()
                .map(|partner| {
                    let Partner { org, delays } = partner;
                    vec![
                        org.clone(),
                        format!("{:.0} ms", delays.p50),
                        format!("{:.0} ms", delays.p99),
                        delays.samples.to_string(),
                    ]
                })
                .collect();
            for line in term::table(&["partner", "p50", "p99", "receipts"], &rows).lines() {
                println!("  {line}");
            }
        }
        self.report.partners = partners;
        let total = self.report.publish_to_partner_ms;
        let heard = self.report.partners.len() == self.report.orgs;
        self.check(
            "every partner signed receipts",
            heard && total.samples > 0,
            format!("{} receipts, p50 {:.0} ms, p99 {:.0} ms", total.samples, total.p50, total.p99),
        );
        Ok(())
    }

    /// How far each org's own log of the mesh circle is.
    fn heights(&self) -> BTreeMap<String, u64> {
        let own = |(org, status): (String, Option<Status>)| {
            let logs = status.into_iter().flat_map(|status| status.logs);
            let height =
                logs.filter(|log| log.author == org && log.circle == "mesh").map(|log| log.height).max();
            (org, height.unwrap_or(0))
        };
        self.statuses().into_iter().map(own).collect()
    }

    fn gather_receipts(&self, before: &BTreeMap<String, u64>, delays: &mut Delays) {
        for (author, status) in self.statuses() {
            for receipt in status.into_iter().flat_map(|status| status.receipts) {
                let new =
                    receipt.circle == "mesh" && receipt.height > before.get(&author).copied().unwrap_or(0);
                if let Some(ms) = receipt.after_ms.filter(|_| new) {
                    delays.entry(receipt.org).or_default().insert((author.clone(), receipt.height), ms);
                }
            }
        }
    }
}
