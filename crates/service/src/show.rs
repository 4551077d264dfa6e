//! `query` and `show`: records as people read them.

use tocsin_api::types::{QueryRequest, Record, Records, Shown, ShownIndicator, Time};
use tocsin_clock as clock;
use tocsin_policy::{BodyView, RecordFacts};
use tocsin_protocol::Directory;
use tocsin_protocol::judge::{LogFacts, body_view, new_body_view};
use tocsin_record::body::report::{Indicator, PATTERNS, Report};
use tocsin_record::body::{self, Body};
use tocsin_record::marking::{Flags, Tlp};
use tocsin_record::observable::Breadth;
use tocsin_record::{Class, Header};
use tocsin_store::{BodyState, RecordRef, Stored, Verdict};

use super::visibility::Visibility;
use super::{Caller, Node, NodeError, lookup, marking};

/// Most records in one answer.
const RECORDS_MAX: usize = 10_000;
/// Most records looked at for one answer.
const SCAN_MAX: usize = 2_000_000;
/// Most indicators shown of a report.
const INDICATORS_SHOWN: usize = 1_000;

/// The name of a verdict.
pub(crate) fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Unjudged => "unjudged",
        Verdict::Accepted => "accept",
        Verdict::Held => "hold",
        Verdict::Refused => "refuse",
    }
}

fn verdict_named(name: &str) -> Option<Verdict> {
    [Verdict::Unjudged, Verdict::Accepted, Verdict::Held, Verdict::Refused]
        .into_iter()
        .find(|verdict| verdict_name(*verdict) == name)
}

pub(super) fn body_name(body: BodyState) -> &'static str {
    match body {
        BodyState::Here => "here",
        BodyState::Wanted => "wanted",
        BodyState::Withheld => "withheld",
        BodyState::NotHeld => "not-held",
        BodyState::Refused => "refused",
        BodyState::Gone(_) => "gone",
    }
}

/// Asks the policy with the facts of a record.
pub(super) fn with_facts<T>(
    directory: &Directory,
    stored: &Stored,
    body: Option<&BodyView<'_>>,
    now: u64,
    ask: impl FnOnce(&RecordFacts<'_>) -> T,
) -> T {
    let header = &stored.entry.header;
    let log = LogFacts::of(directory, header.author, header.circle);
    ask(&RecordFacts {
        header: log.header(header, now),
        body: body.map(BodyView::facts),
        disputed: stored.disputed,
    })
}

impl Node {
    /// A record as lists have it.
    pub fn list_entry(&self, directory: &Directory, stored: &Stored, body: Option<&Body>) -> Record {
        let header = &stored.entry.header;
        let outcome = stored.stamped.outcome;
        let mut record = Record {
            record: stored.entry.id.to_string(),
            author: self.org_name(directory, stored.org),
            circle: self.circle_name(header.circle),
            epoch: header.epoch,
            seq: header.seq,
            kind: body::name_of(header.kind).to_owned(),
            tlp: Tlp::from_code(header.tlp).map(|tlp| tlp.label().to_owned()),
            time: Time(header.time),
            received: Time(outcome.received),
            expires: Time(header.expires),
            body: body_name(outcome.body).to_owned(),
            verdict: verdict_name(outcome.verdict).to_owned(),
            rule: self.engine.reader.rule(outcome.rule).unwrap_or_default(),
            exercise: Flags::from_word(header.flags).is_ok_and(|flags| flags.exercise),
            disputed: stored.disputed,
            ..Record::default()
        };
        match body {
            Some(Body::Report(report)) => {
                record.subject = Some(report.subject.to_string());
                record.supersedes = report.supersedes.map(|id| id.to_string());
                record.title = Some(report.title.clone());
                record.indicator_count = report.indicators.len() as u64;
            }
            Some(Body::Sighting(sighting)) => {
                record.subject = sighting.subject.map(|subject| subject.to_string())
            }
            Some(Body::Note(note)) => record.subject = Some(note.subject.to_string()),
            Some(Body::Retraction(retraction)) => record.subject = Some(retraction.subject.to_string()),
            None if header.kind == body::REPORT => {
                record.title = match outcome.body {
                    BodyState::Gone(0) => Some("(expired)".to_owned()),
                    BodyState::Gone(_) => Some("(taken back)".to_owned()),
                    _ => None,
                }
            }
            _ => {}
        }
        record
    }

    /// Lists records, newest first. Reads the disk.
    ///
    /// # Errors
    /// When a word of the request means nothing, or the disk fails.
    pub fn query(&self, caller: &Caller, request: &QueryRequest) -> Result<Records, NodeError> {
        caller.check()?;
        let directory = self.engine.directory();
        let author = match request.author.as_deref() {
            None => None,
            Some("") => Some(self.engine.org()),
            Some(name) => Some(directory.charter().org_named(name).map(|org| org.root).ok_or_else(|| {
                NodeError::Request(format!(
                    "there is no org `{}` in the mesh: `tocsin mesh show` lists them",
                    tocsin_text::cut(name, 80)
                ))
            })?),
        };
        let circle = request.circle.as_deref().map(|name| self.circle(name)).transpose()?;
        let verdict = request
            .verdict
            .as_deref()
            .map(|name| {
                verdict_named(name).ok_or_else(|| {
                    NodeError::Request(format!("`{}` is no verdict", tocsin_text::cut(name, 80)))
                })
            })
            .transpose()?;
        let kind = request
            .kind
            .as_deref()
            .map(|name| {
                body::KINDS.iter().find(|kind| kind.name == name).map(|kind| kind.id).ok_or_else(|| {
                    let known: Vec<&str> = body::KINDS.iter().map(|kind| kind.name).collect();
                    NodeError::Request(format!(
                        "`{}` is no kind of record: use one of {}, or any",
                        tocsin_text::cut(name, 80),
                        known.join(", ")
                    ))
                })
            })
            .transpose()?;
        let text = request.text.as_ref().map(|text| text.to_lowercase());
        let limit = request.limit.unwrap_or(100).min(RECORDS_MAX);
        let mut visibility = Visibility::new(self, &directory, caller);
        // What is gone says nothing any more; it is listed where everything is asked for.
        let with_gone = request.all_versions || verdict.is_none();
        let ranges = self.engine.reader.newest(|outcome| {
            verdict.is_none_or(|verdict| outcome.verdict == verdict)
                && outcome.received >= request.since_ms
                && (with_gone || !matches!(outcome.body, BodyState::Gone(_)))
        });
        let places = ranges.iter().flat_map(|range| {
            (0..range.count).rev().map(|offset| RecordRef { seq: range.first.seq + offset, ..range.first })
        });
        let mut found = Records::default();
        let mut shown = Vec::new();
        for (looked, place) in places.enumerate() {
            if found.records.len() >= limit || looked >= SCAN_MAX {
                found.more = true;
                break;
            }
            let Some(stored) = self.engine.reader.record(place)? else {
                continue;
            };
            let header = &stored.entry.header;
            if author.is_some_and(|author| stored.org != author)
                || circle.is_some_and(|circle| header.circle != circle)
                || kind.is_some_and(|kind| header.kind != kind)
            {
                continue;
            }
            let body = self.body(&stored);
            if let Some(text) = &text
                && !body.as_ref().is_some_and(|body| mentions(body, text))
            {
                continue;
            }
            if !request.all_versions && !self.stands(&stored, body.as_ref())? {
                continue;
            }
            if body.as_ref().is_none_or(|body| visibility.sees(&stored, &body_view(body))) {
                shown.push(stored.entry.id);
                found.records.push(self.list_entry(&directory, &stored, body.as_ref()));
            }
        }
        found.hidden = visibility.hidden;
        caller.note("query", &shown);
        Ok(found)
    }

    /// Whether a report's version is not replaced by a later one; true for all else.
    fn stands(&self, stored: &Stored, body: Option<&Body>) -> Result<bool, NodeError> {
        let Some(Body::Report(report)) = body else {
            return Ok(true);
        };
        if stored.stamped.outcome.verdict != Verdict::Accepted {
            return Ok(true);
        }
        let standing = self.engine.reader.standing(stored.org, stored.entry.header.circle, report.subject)?;
        Ok(standing.is_none_or(|version| version.place == stored.place))
    }

    /// All that a record says. Reads the disk.
    ///
    /// # Errors
    /// When there is no such record, or the policy keeps it.
    pub fn show(&self, caller: &Caller, word: &str) -> Result<Shown, NodeError> {
        caller.check()?;
        let directory = self.engine.directory();
        let stored = self.record(self.find(word)?)?;
        let body = self.body(&stored);
        let mut visibility = Visibility::new(self, &directory, caller);
        if let Some(view) = body.as_ref().map(body_view)
            && let Some(rule) = visibility.keeps(&stored, &view)
        {
            return Err(NodeError::Denied { rule, help: visibility.help(&stored, &view) });
        }
        caller.note("show", &[stored.entry.id]);
        let mut shown = Shown {
            record: Record {
                taken_back: self.taken_back(&directory, &stored)?.map(Box::new),
                ..self.list_entry(&directory, &stored, body.as_ref())
            },
            marking: body.as_ref().and_then(Body::marking).map(marking::to_json),
            contact: lookup::contact(&directory, stored.org),
            ..Shown::default()
        };
        match &body {
            Some(Body::Report(report)) => self.show_report(&mut shown, &stored, report)?,
            Some(Body::Note(note)) => shown.text = Some(note.text.clone()),
            Some(Body::Sighting(sighting)) => {
                let what = sighting.what.as_ref().map(|what| what.show()).unwrap_or_default();
                shown.text =
                    Some(format!("{what} seen {} times at {}", sighting.count, clock::show(sighting.time)));
            }
            Some(Body::Retraction(retraction)) => {
                shown.text = Some(format!(
                    "taken back: {} ({} versions)",
                    body::retraction::reason_name(retraction.reason),
                    retraction.versions.len()
                ));
            }
            _ => {}
        }
        Ok(shown)
    }

    fn show_report(&self, shown: &mut Shown, stored: &Stored, report: &Report) -> Result<(), NodeError> {
        shown.origin = Some(lookup::origin(report));
        shown.description.clone_from(&report.description);
        shown.labels.clone_from(&report.labels);
        shown.originals = report.originals.len() as u64;
        shown.withdrawn = report.withdrawn.iter().map(|what| what.show()).take(INDICATORS_SHOWN).collect();
        let circle = stored.entry.header.circle;
        let whole = self.whole(stored.org, circle, report.subject)?;
        let indicators = match &whole {
            Some(whole) if whole.version.place == stored.place => &whole.report.indicators,
            _ => &report.indicators,
        };
        shown.record.indicator_count = indicators.len() as u64;
        shown.indicators = indicators.iter().take(INDICATORS_SHOWN).map(show_indicator).collect();
        if stored.org == self.engine.org() {
            let mut circles: Vec<String> = Vec::new();
            for place in self.engine.reader.copies(stored.org, report.subject) {
                let Some(log) = self.engine.reader.log(place.log) else {
                    continue;
                };
                if log.key.circle != self.engine.own_circle() {
                    circles.push(self.circle_name(log.key.circle));
                }
            }
            circles.sort();
            circles.dedup();
            shown.shared_to = circles;
        }
        Ok(())
    }
}

fn mentions(body: &Body, text: &str) -> bool {
    let has = |field: &str| field.to_lowercase().contains(text);
    match body {
        Body::Report(report) => {
            has(&report.title) || has(&report.description) || report.labels.iter().any(|label| has(label))
        }
        Body::Note(note) => has(&note.text),
        _ => false,
    }
}

fn show_indicator(indicator: &Indicator) -> ShownIndicator {
    let (kind, value) = if indicator.is_pattern() {
        let language = PATTERNS.iter().find(|row| row.0 == indicator.what.kind).map_or("newer", |row| row.1);
        (language.to_owned(), String::from_utf8_lossy(&indicator.what.value).into_owned())
    } else {
        (indicator.what.type_name().to_owned(), indicator.what.show())
    };
    let not_matched = match indicator.what.breadth() {
        _ if indicator.is_pattern() => Some("a rule, not a value: kept and shown"),
        Breadth::Fine => None,
        Breadth::TooWide => Some("too wide a network to act on"),
        Breadth::PublicSuffix => Some("a public suffix, under which everybody registers"),
        Breadth::SingleLabel => Some("a single label, not a name of the Internet"),
    };
    ShownIndicator {
        kind,
        value,
        indicates: lookup::indicator_kind(indicator).to_owned(),
        confidence: indicator.confidence,
        since: Time(indicator.valid_from),
        until: Time(indicator.valid_until),
        comment: indicator.comment.clone(),
        not_matched: not_matched.map(str::to_owned),
    }
}

/// As [`with_facts`], for a body that is not written yet.
pub(super) fn with_draft<T>(
    directory: &Directory,
    author: tocsin_record::NodeKey,
    circle: tocsin_record::CircleId,
    body: &Body,
    ask: impl FnOnce(&RecordFacts<'_>) -> T,
) -> T {
    let now = clock::now_ms();
    let (tlp, flags) = body.marking().map_or((0, 0), |marking| (marking.tlp.code(), marking.flags().word()));
    let header = Header {
        suite: 0,
        class: Class::Content,
        kind: body.kind().unwrap_or(body::REPORT),
        tlp,
        flags,
        mesh: directory.mesh(),
        author,
        circle,
        epoch: now,
        seq: 1,
        prev: tocsin_record::RecordId::ZERO,
        time: now,
        expires: if let Body::Report(report) = body { report.expires() } else { 0 },
        roster: directory.roster_version(circle),
        extension: Vec::new(),
        body_len: 0,
        body_hash: tocsin_record::BodyHash::ZERO,
    };
    let log = LogFacts::of(directory, author, circle);
    let view = new_body_view(body);
    ask(&RecordFacts { header: log.header(&header, now), body: Some(view.facts()), disputed: false })
}
