//! What people at the nodes do: publish reports, sightings and notes of every marking, in bursts, correct them and take
//! them back.

use tocsin_record::RecordId;
use tocsin_record::body::report::{Extent, Indicator, Origin, Report, Subject};
use tocsin_record::body::{Body, Note, Sighting};
use tocsin_record::marking::{Code, Countries, CountryCode, Marking, Personal, Tlp};
use tocsin_record::observable::Observable;

use crate::cast::{BEGIN_MS, Cast, CircleKind};
use crate::config::Config;
use crate::dice::Dice;

/// For how long something may be kept, in ms: some lapses while the simulation runs, some minutes, hours and days later, so
/// that a clock that is ahead finds something to erase however far that is.
const RETAINED_MS: [(u64, u64); 4] =
    [(5_000, 40_000), (60_000, 3_600_000), (3_600_000, 86_400_000), (86_400_000, 30 * 86_400_000)];

/// Something that people do.
#[derive(Clone, Debug)]
pub enum Work {
    /// Publish so many new records to a circle.
    Publish {
        /// At this node.
        node: usize,
        /// To this circle.
        circle: usize,
        /// So many at once.
        count: usize,
    },
    /// Publish a new version of a report of this node.
    Correct {
        /// At this node.
        node: usize,
    },
    /// Take a report of this node back.
    Retract {
        /// At this node.
        node: usize,
    },
}

/// A report that a node published.
#[derive(Clone, Debug)]
pub struct Published {
    /// What its versions have in common.
    pub subject: Subject,
    /// Where to.
    pub circle: usize,
    /// Its newest version.
    pub last: RecordId,
}

/// What happens when, in virtual microseconds.
#[must_use]
pub fn schedule(config: &Config, cast: &Cast) -> Vec<(u64, Work)> {
    let mut dice = Dice::new(config.seed, "workload");
    let mut works = Vec::new();
    // A few seconds to find each other; some records come before that.
    let end_us = config.active_ms * 1000;
    let liars: Vec<usize> = (0..config.nodes).filter(|node| cast.nodes[*node].liar).collect();
    for _ in 0..config.publishes {
        let at = dice.range(500_000, end_us);
        // Liars have much to say.
        let lies = !liars.is_empty() && dice.percent(25);
        let node = if lies { *dice.pick(&liars) } else { dice.index(config.nodes) };
        let work = match dice.below(20) {
            0..=2 => Work::Correct { node },
            3 => Work::Retract { node },
            _ => {
                let circles: Vec<usize> =
                    (0..cast.circles.len()).filter(|circle| may_write(cast, node, *circle)).collect();
                let circle = if dice.percent(50) { 0 } else { *dice.pick(&circles) };
                let count = if dice.percent(10) { dice.range(2, 20) as usize } else { 1 };
                Work::Publish { node, circle, count }
            }
        };
        works.push((at, work));
    }
    works.sort_by_key(|(at, _)| *at);
    works
}

/// Whether a node is in a circle at any time of the run: who is not yet, or no more, is refused.
fn may_write(cast: &Cast, node: usize, circle: usize) -> bool {
    cast.circles[circle].plan.iter().any(|members| members.nodes.contains(&node))
}

/// A new body.
#[must_use]
pub fn body(dice: &mut Dice, circle: CircleKind, now_ms: u64) -> Body {
    let marking = marking(dice, circle, now_ms);
    match (dice.below(10), marking) {
        (0, Some(marking)) => Body::Sighting(Sighting {
            salt: dice.bytes(),
            what: Some(observable(dice)),
            subject: None,
            kind: Code { kind: 0, value: Vec::new() },
            count: dice.range(1, 9) as u32,
            time: now_ms,
            precision: 0,
            destination: None,
            source_port: 0,
            marking,
            extension: Vec::new(),
        }),
        (1, Some(marking)) => Body::Note(Note {
            salt: dice.bytes(),
            org: tocsin_record::OrgId(dice.bytes()),
            subject: Subject(dice.bytes()),
            text: "see also".repeat(dice.range(1, 20) as usize),
            marking,
            extension: Vec::new(),
        }),
        (_, marking) => {
            let subject = Subject(dice.bytes());
            Body::Report(report(dice, subject, None, marking))
        }
    }
}

/// A report, or a version of one.
#[must_use]
pub fn report(
    dice: &mut Dice,
    subject: Subject,
    supersedes: Option<RecordId>,
    marking: Option<Marking>,
) -> Report {
    let indicators = (0..dice.range(1, 8)).map(|_| indicator(dice)).collect();
    // Most are small; some are over what is pushed (16 KiB), few are large.
    let text = match dice.below(30) {
        0 => 60_000,
        1 | 2 => 20_000,
        _ => dice.range(0, 400) as usize,
    };
    Report {
        salt: dice.bytes(),
        subject,
        supersedes,
        extent: Extent::Whole,
        origin: Origin::default(),
        marking,
        title: format!("report {}", dice.below(1000)),
        description: noise(dice, text),
        created: BEGIN_MS,
        modified: 0,
        labels: Vec::new(),
        indicators,
        withdrawn: Vec::new(),
        originals: Vec::new(),
        extension: Vec::new(),
    }
}

/// Text that does not compress well.
fn noise(dice: &mut Dice, len: usize) -> String {
    let mut bytes = vec![0; len];
    dice.fill(&mut bytes);
    bytes.into_iter().map(|byte| char::from(b' ' + byte % 94)).collect()
}

fn indicator(dice: &mut Dice) -> Indicator {
    Indicator {
        what: observable(dice),
        kind: Code { kind: 1, value: Vec::new() },
        confidence: dice.percent(80).then(|| dice.below(101) as u8),
        valid_from: 0,
        valid_until: 0,
        id: None,
        comment: String::new(),
    }
}

fn observable(dice: &mut Dice) -> Observable {
    Observable { kind: tocsin_record::observable::kind::SHA256, value: dice.bytes::<32>().to_vec() }
}

/// A marking; none is for the own circle only, and sometimes wrongly tried elsewhere.
fn marking(dice: &mut Dice, circle: CircleKind, now_ms: u64) -> Option<Marking> {
    let own = matches!(circle, CircleKind::Own(_));
    if own && dice.percent(30) {
        return None;
    }
    let tlp = match dice.below(20) {
        // Must be refused outside the own circle.
        0 => Tlp::Amber,
        1..=7 => Tlp::Clear,
        _ => Tlp::Green,
    };
    let mut marking = Marking::new(tlp);
    marking.personal = *dice.pick(&[Personal::No, Personal::No, Personal::Possible, Personal::Yes]);
    if marking.personal == Personal::Yes && !dice.percent(5) {
        marking.purposes = Code::purpose("network-defence").into_iter().collect();
        marking.retain_until = Some(now_ms + 30 * 86_400_000);
    }
    if dice.percent(20) {
        let (from, to) = *dice.pick(&RETAINED_MS);
        marking.retain_until = Some(now_ms + dice.range(from, to));
    }
    let countries: Vec<CountryCode> = [*b"FR", *b"DE", *b"PL"]
        .into_iter()
        .filter_map(CountryCode::new)
        .filter(|_| dice.percent(60))
        .collect();
    marking.countries = match dice.below(10) {
        0 => Countries::only(countries),
        1 | 2 => Countries::except(countries),
        _ => Countries::Any,
    };
    Some(marking)
}

/// The next version of a report.
#[must_use]
pub fn correction(dice: &mut Dice, before: &Published, circle: CircleKind, now_ms: u64) -> Body {
    let marking = marking(dice, circle, now_ms);
    Body::Report(report(dice, before.subject, Some(before.last), marking))
}
