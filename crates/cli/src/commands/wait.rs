//! `--wait` of `publish` and `share`: until the partners signed for what was written.

use std::process::ExitCode;

use anyhow::{Result, bail};
use serde::Serialize;
use tocsin_api::route;
use tocsin_api::types::{Published, WaitRequest, Waited, WaitedFor};
use tocsin_clock as clock;
use tocsin_text as text;

use super::{Context, print_line, print_text};
use crate::term;

/// Most ms that the node is asked to wait at once.
const ASKED_MS: u64 = 20_000;
/// Most reports, by circles, that are waited for.
const REPORTS_MAX: usize = 1_000;

/// Whether it is waited for receipts, whose, and how long.
#[derive(clap::Args, Clone, Debug)]
pub struct Wait {
    /// Return when the partners that it goes to signed for it
    #[arg(long)]
    wait: bool,
    /// Wait for this org alone; may be given several times
    #[arg(long = "for", value_name = "ORG", requires = "wait")]
    orgs: Vec<String>,
    /// Wait at most so long, in seconds
    #[arg(long, value_name = "SECONDS", requires = "wait", default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..=3_600))]
    timeout: u64,
}

/// What was written, and who signed for it.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    published: &'a Published,
    #[serde(skip_serializing_if = "Option::is_none")]
    waited: Option<&'a Waited>,
}

impl Wait {
    /// The orgs that have to be among the recipients; nothing is written where one is not.
    pub fn orgs(&self) -> Vec<String> {
        self.orgs.clone()
    }

    /// Refuses to wait for more than is waited for.
    ///
    /// # Errors
    /// With what would do.
    pub fn check(&self, reports: usize, circles: usize) -> Result<()> {
        if self.wait && reports.saturating_mul(circles) > REPORTS_MAX {
            bail!(
                "nothing was written: --wait waits for {REPORTS_MAX} reports at most, counted in each circle"
            );
        }
        Ok(())
    }

    /// Prints what was written, and waits where that was asked for.
    ///
    /// # Errors
    /// Of the node, once what was written is told.
    pub fn told(
        &self,
        context: &Context,
        published: &Published,
        text: impl FnOnce() -> String,
    ) -> Result<ExitCode> {
        if !self.wait {
            context.print(published, text)?;
            return super::done();
        }
        if !context.json {
            print_text(&text())?;
        }
        let waited = self.waited(context, published);
        if context.json {
            print_line(&text::json(&Told { published, waited: waited.as_ref().ok() })?)?;
        }
        let waited = waited?;
        if !context.json {
            print_text(&table(&waited, self.timeout))?;
        }
        Ok(if waited.all { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }

    fn waited(&self, context: &Context, published: &Published) -> Result<Waited> {
        let records: Vec<String> = published.records.iter().map(|new| new.record.clone()).collect();
        if records.is_empty() {
            return Ok(Waited::default());
        }
        let begun = clock::monotonic_ms();
        loop {
            let left = (self.timeout * 1_000).saturating_sub(clock::monotonic_ms().saturating_sub(begun));
            let request = WaitRequest {
                records: records.clone(),
                orgs: self.orgs.clone(),
                wait_ms: left.min(ASKED_MS),
            };
            let waited: Waited = context.client().post(route::WAIT, &request)?;
            if waited.all || waited.partners.is_empty() || left <= ASKED_MS {
                return Ok(waited);
            }
        }
    }
}

fn table(waited: &Waited, timeout: u64) -> String {
    if waited.partners.is_empty() {
        return "no partner gets it: there is nobody to sign".to_owned();
    }
    let row = |one: &WaitedFor| {
        vec![
            one.org.clone(),
            match (&one.said, one.connected) {
                (Some(said), _) => said.clone(),
                (None, true) => "did not sign".to_owned(),
                (None, false) => "did not sign, not linked".to_owned(),
            },
            one.after_ms.map_or_else(String::new, clock::show_measured_ms),
        ]
    };
    let rows: Vec<Vec<String>> = waited.partners.iter().map(row).collect();
    let mut out = term::table(&["partner", "signed for it", "after"], &rows);
    let signed = waited.partners.iter().filter(|one| one.signed).count();
    let of = text::count(waited.partners.len() as u64, "partner");
    out.push_str(&format!("\n{signed} of {of} signed"));
    if let (Some(p50), Some(p95), Some(slowest)) = (waited.p50_ms, waited.p95_ms, &waited.slowest) {
        out.push_str(&format!(
            ": p50 {}, p95 {}, slowest {}",
            clock::show_measured_ms(p50),
            clock::show_measured_ms(p95),
            text::escape(slowest)
        ));
    }
    if !waited.all {
        out.push_str(&format!(
            "\nafter {timeout} s not all did. It is written and goes on to them: do not write it\nagain; `tocsin show` tells \
             who has it"
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_signed_and_who_did_not_is_told() {
        let one = |org: &str, said: Option<&str>, connected| WaitedFor {
            org: org.to_owned(),
            signed: said.is_some(),
            said: said.map(str::to_owned),
            after_ms: said.map(|_| 12),
            connected,
        };
        let partners = vec![one("bb", Some("accepted"), true), one("cc", None, false), one("dd", None, true)];
        let waited = Waited {
            all: false,
            p50_ms: Some(12),
            p95_ms: Some(12),
            slowest: Some("bb".to_owned()),
            partners,
        };
        let text = table(&waited, 30);
        for part in ["1 of 3 partners signed: p50 12 ms", "slowest bb", "not linked", "do not write it"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(table(&Waited::default(), 30).contains("nobody to sign"));
    }
}
