//! How many decisions of a policy a second: what a catch-up asks of each record and partner.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use tocsin_home::presets::Preset;
use tocsin_policy::{
    BodyView, Circle, CircleKind, Class, Cover, Decisions, HeaderFacts, Home, Org, Policy, RecordFacts,
};
use tocsin_record::body::{self, Body};
use tocsin_record::document::Carry;
use tocsin_record::marking::{Flags, Marking, Tlp};
use tocsin_record::{OrgId, body::report::Report};

use crate::Bench;
use crate::fixture;
use crate::measure::rate;
use crate::table::Table;

/// Decisions, and the partners that they are about: so many records each.
const DECISIONS: usize = 1_000_000;
const PARTNERS: usize = 20;
/// Rules beside the preset's own, ten with those that it has about `forward`: each reads something else.
const RULES: &str = r#"
@id("f1") forbid (principal, action == Action::"forward", resource)
when { resource has confidence_max && resource.confidence_max < 10 };
@id("f2") forbid (principal, action == Action::"forward", resource)
when { resource.tlp > 2 } unless { principal.kind == OrgKind::"csirt" };
@id("f3") forbid (principal, action == Action::"forward", resource)
when { resource.age_days > 365 };
@id("f4") forbid (principal, action == Action::"forward", resource)
when { principal.kind == OrgKind::"private" && resource.personal > 0 };
@id("f5") forbid (principal, action == Action::"forward", resource)
when { principal.country == "XX" };
@id("f6") forbid (principal, action == Action::"forward", resource)
when { resource has indicators && resource.indicators > 50000 };
@id("f7") forbid (principal, action == Action::"forward", resource)
when { principal has trust && principal.trust < 20 };
@id("f8") forbid (principal, action == Action::"forward", resource)
when { resource.author.country == principal.country && resource.tlp > 3 };
"#;

/// Measures the row.
pub fn rows(bench: &Bench, table: &mut Table) -> Result<()> {
    if !table.wants("policy_decisions_per_s") {
        return Ok(());
    }
    let policy = Policy::load(&format!("{}\n{RULES}", Preset::NationalCert.text()))
        .map_err(|error| anyhow::anyhow!("{error}"))
        .context("the rules of the benchmark")?;
    let home = Home { org: OrgId([1; 32]), country: *b"XA" };
    let mut decisions = Decisions::new(Arc::new(policy), home);
    let names: Vec<String> = (0..PARTNERS).map(|n| format!("partner-{n:02}")).collect();
    let partners: Vec<Org<'_>> = names.iter().enumerate().map(|(n, name)| partner(n, name)).collect();
    let bodies: Vec<Body> = (0..1_000).map(record).collect::<Result<_>>()?;
    let views: Vec<BodyView<'_>> = bodies.iter().map(|body| BodyView::of(body, None)).collect();
    let each = bench.count(DECISIONS, 20_000) / PARTNERS;
    let begin = Instant::now();
    let mut allowed = 0;
    for to in &partners {
        for n in 0..each {
            let view = &views[n % views.len()];
            let author = &partners[n / 7 % PARTNERS];
            let facts = RecordFacts { header: header(author, n), body: Some(view.facts()), disputed: false };
            allowed += usize::from(black_box(decisions.forward(&facts, to)).allow);
        }
    }
    let (took, asked) = (begin.elapsed(), each * PARTNERS);
    eprintln!("bench: policy: {asked} decisions in {:.3} s, {allowed} of them yes", took.as_secs_f64());
    table.put("policy_decisions_per_s", rate(asked, took));
    Ok(())
}

fn partner(n: usize, name: &str) -> Org<'_> {
    const KINDS: [&str; 5] = ["csirt", "police", "border", "private", "prosecutor"];
    const COUNTRIES: [[u8; 2]; 4] = [*b"XA", *b"XB", *b"XC", *b"XD"];
    Org {
        id: OrgId([u8::try_from(n).unwrap_or(u8::MAX); 32]),
        name,
        kind: KINDS[n % KINDS.len()],
        country: COUNTRIES[n % COUNTRIES.len()],
        regimes: &[],
        roles: &[],
        trust: n.is_multiple_of(3).then_some(60),
    }
}

/// Confidences in steps of five, as people and products state them, and every fifth with personal data that may be.
fn record(n: u64) -> Result<Body> {
    let Body::Report(mut report) = fixture::report(n, 1)? else {
        anyhow::bail!("a record of the benchmark is no report")
    };
    for indicator in &mut report.indicators {
        indicator.confidence = Some(u8::try_from(n % 21 * 5).unwrap_or(100));
    }
    let mut marking = Marking::new(if n.is_multiple_of(3) { Tlp::Clear } else { Tlp::Green });
    if n.is_multiple_of(5) {
        marking.personal = tocsin_record::marking::Personal::Possible;
    }
    Ok(Body::Report(Report { marking: Some(marking), ..report }))
}

/// Written within the last month.
fn header<'a>(author: &'a Org<'a>, n: usize) -> HeaderFacts<'a> {
    const NOW_MS: u64 = 1_800_000_000_000;
    let age = n as u64 * 2_591 % 2_592_000;
    HeaderFacts {
        author,
        circle: Circle { name: "mesh", kind: CircleKind::Mesh, carry: Carry::Members },
        class: Class::Content,
        kind: body::REPORT,
        tlp: Some(Tlp::Green),
        flags: Flags::default(),
        cover: Cover::Unsealed,
        time_ms: NOW_MS - 1_000 * age,
        expires_ms: 0,
        now_ms: NOW_MS,
    }
}
