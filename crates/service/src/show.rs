//! `show`: a record as people read it.

use std::collections::BTreeSet;

use tocsin_api::types::{Record, Shown, ShownIndicator, Time};
use tocsin_clock as clock;
use tocsin_policy::{BodyView, RecordFacts};
use tocsin_protocol::Directory;
use tocsin_protocol::judge::{LogFacts, body_view, new_body_view, suite_of};
use tocsin_record::body::report::{Indicator, PATTERNS, Report, Subject};
use tocsin_record::body::{self, Body};
use tocsin_record::marking::{Flags, Tlp};
use tocsin_record::observable::Breadth;
use tocsin_record::{Class, Header};
use tocsin_store::{BodyState, Stored, Verdict};

use super::copies::Roots;
use super::visibility::Visibility;
use super::{Caller, Node, NodeError, lookup, marking};

/// Most bytes shown of what is kept of a report's source.
const ORIGINALS_SHOWN: usize = 16 << 20;
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
        header: log.entry(&stored.entry, now),
        body: body.map(BodyView::facts),
        disputed: stored.disputed,
    })
}

impl Node {
    /// A record as lists have it.
    pub fn list_entry(&self, directory: &Directory, stored: &Stored, body: Option<&Body>) -> Record {
        let header = &stored.entry.header;
        let outcome = stored.stamped.outcome;
        let (tlp, flags) = stored.entry.labels();
        let mut record = Record {
            record: stored.entry.id.to_string(),
            author: self.org_name(directory, stored.org),
            circle: self.circle_name(header.circle),
            circles: vec![self.circle_name(header.circle)],
            epoch: header.epoch,
            seq: header.seq,
            kind: body::name_of(stored.entry.kind()).to_owned(),
            tlp: Tlp::from_code(tlp).map(|tlp| tlp.label().to_owned()),
            time: Time(header.time),
            received: Time(outcome.received),
            expires: Time(header.expires),
            body: body_name(outcome.body).to_owned(),
            verdict: verdict_name(outcome.verdict).to_owned(),
            rule: self.engine.reader.rule(outcome.rule).unwrap_or_default(),
            exercise: Flags::from_word(flags).is_ok_and(|flags| flags.exercise),
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
            None if stored.entry.kind() == body::REPORT => {
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

    /// A record that is shown alone: with what became of it.
    pub(super) fn entry_alone(
        &self,
        directory: &Directory,
        stored: &Stored,
        body: Option<&Body>,
    ) -> Result<Record, NodeError> {
        Ok(Record {
            taken_back: self.taken_back(directory, stored)?.map(Box::new),
            replaced_by: self.replaced_by(stored, body)?,
            circles: self.stands_in(stored, body)?,
            ..self.list_entry(directory, stored, body)
        })
    }

    /// The subjects that the report of a record has in its circles.
    fn subjects_of(&self, stored: &Stored, subject: Subject) -> BTreeSet<Subject> {
        let root = Roots::new(self).of(stored.org, stored.entry.header.circle, subject);
        let circles = self.circles_beside_own().into_iter().chain([self.engine.own_circle()]);
        circles.map(|circle| self.subject_of(stored.org, circle, root)).chain([subject, root]).collect()
    }

    /// The circles in which the report of a record stands here, by name, with that of the record.
    fn stands_in(&self, stored: &Stored, body: Option<&Body>) -> Result<Vec<String>, NodeError> {
        let circle = stored.entry.header.circle;
        let Some(Body::Report(report)) = body else { return Ok(vec![self.circle_name(circle)]) };
        let root = Roots::new(self).of(stored.org, circle, report.subject);
        let mut circles = vec![circle];
        for other in self.circles_beside_own().into_iter().chain([self.engine.own_circle()]) {
            let subject = self.subject_of(stored.org, other, root);
            if self.engine.reader.standing(stored.org, other, subject)?.is_some() {
                circles.push(other);
            }
        }
        Ok(self.circle_names(circles))
    }

    /// The id of the version that stands in the place of this one.
    fn replaced_by(&self, stored: &Stored, body: Option<&Body>) -> Result<Option<String>, NodeError> {
        let Some(Body::Report(report)) = body else { return Ok(None) };
        let standing = self.engine.reader.standing(stored.org, stored.entry.header.circle, report.subject)?;
        Ok(standing.filter(|version| version.place != stored.place).map(|version| version.id.to_string()))
    }

    /// All that a record says, with what is kept of its source if that is asked for. Reads the disk.
    ///
    /// # Errors
    /// When there is no such record, or the policy keeps it.
    pub fn show(&self, caller: &Caller, word: &str, original: bool) -> Result<Shown, NodeError> {
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
            record: self.entry_alone(&directory, &stored, body.as_ref())?,
            marking: body.as_ref().and_then(Body::marking).map(marking::to_json),
            contact: lookup::contact(&directory, stored.org),
            ..Shown::default()
        };
        match &body {
            Some(Body::Report(report)) => {
                self.show_report(&mut shown, &stored, report)?;
                let subjects = self.subjects_of(&stored, report.subject);
                let said = self.said_of(None, &subjects, &mut visibility)?;
                (shown.sightings, shown.notes) = (said.sightings, said.notes);
                if original {
                    shown.original = originals(report);
                }
            }
            Some(Body::Note(note)) => shown.text = Some(note.text.clone()),
            Some(Body::Sighting(sighting)) => {
                let what = sighting.what.as_ref().map(|what| what.show()).unwrap_or_default();
                let kind = super::said::kind_name(sighting.kind.kind);
                let times = tocsin_text::count(u64::from(sighting.count), "time");
                shown.text = Some(
                    format!("{what} {kind} {times}, last at {}", clock::show(sighting.time))
                        .trim()
                        .to_owned(),
                );
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
            let own = self.circle_name(self.engine.own_circle());
            shown.shared_to = shown.record.circles.iter().filter(|name| **name != own).cloned().collect();
        }
        Ok(())
    }
}

/// What is kept of a report's source, as it came.
fn originals(report: &Report) -> Vec<String> {
    let mut room = ORIGINALS_SHOWN;
    let texts = report.originals.iter().map(|original| match original.unpack() {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => format!("(does not unpack: {error})"),
    });
    let fits = |text: &String| {
        let left = room.checked_sub(text.len());
        room = left.unwrap_or(0);
        left.is_some()
    };
    texts.take_while(fits).collect()
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
        suite: suite_of(directory, circle),
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
        roster: directory.membership(circle).version(),
        extension: Vec::new(),
        body_len: 0,
        body_hash: tocsin_record::BodyHash::ZERO,
    };
    let log = LogFacts::of(directory, author, circle);
    let view = new_body_view(body);
    ask(&RecordFacts { header: log.header(&header, now), body: Some(view.facts()), disputed: false })
}
