//! `lookup`: what is known of a value, by whom, how sure, and how complete the answer is.

mod matches;
mod turns;

use std::collections::BTreeSet;
use std::thread;

use matches::{Match, Matches, Memo, Share};
use tocsin_api::types::{Contact, Hit, Lookup, LookupRequest, Origin, Time, VALUES_MAX, Withheld};
use tocsin_engine::read;
use tocsin_matcher::How;
use tocsin_protocol::Directory;
use tocsin_record::body::report::Subject;
use tocsin_record::body::report::{BENIGN, INDICATOR_KINDS, Indicator, OBSERVED, Report};
use tocsin_record::marking::Marking;
use tocsin_record::observable::{Observable, ParseError, TYPES, Type, also, detect, kind};
use tocsin_record::{CircleId, OrgId, RecordId};

use super::reports::Statement;
use super::status::{stall, told_gap};
use super::visibility::Visibility;
use super::{Caller, Node, NodeError, marking};

pub(crate) use turns::Turns;

/// What is said of an answer on a network: the matcher finds what contains a value, not what a value contains.
const NOT_INSIDE: &str = "addresses and networks inside it are not searched: look them up one by one";
/// Fewest values for which a thread of their own pays.
const PART_LEAST: usize = 32;
/// Most threads that answer one request.
const PARTS_MAX: usize = 8;
/// What is said where a value is listed in more records than its share of the request lets be looked at.
const MORE: &str = "more records list it than are looked at: these are the newest of each org; ask for fewer values at \
                    once, or for this one alone, to see more";

/// The observable type of a name.
pub(super) fn type_named(name: &str) -> Result<&'static Type, NodeError> {
    Type::by_name(name).ok_or_else(|| {
        let names: Vec<&str> = TYPES.iter().map(|row| row.name).collect();
        let name = tocsin_text::cut(name, 40);
        NodeError::Request(format!("`{name}` is no type of value: use one of {}", names.join(", ")))
    })
}

/// The observable that people mean by a value, of the type that they name, else found by itself; else why it is none.
pub(super) fn observable(value: &str, row: Option<&'static Type>) -> Result<Observable, String> {
    match row {
        Some(row) => row.parse(value).map_err(|error| error.to_string()),
        None => detect(value).map(|found| found.observable).map_err(|error| match error {
            ParseError::Undetected { .. } => format!("{error}; name its type with --type"),
            error => error.to_string(),
        }),
    }
}

fn note(answer: &mut Lookup, text: &str) {
    answer.note = Some(match answer.note.take() {
        Some(before) => format!("{before}; {text}"),
        None => text.to_owned(),
    });
}

/// Many values are many pages to be read: on several processors, in as many parts of this length.
fn part_len(values: usize) -> usize {
    if values <= PART_LEAST {
        return PART_LEAST;
    }
    let parts = thread::available_parallelism().map_or(1, usize::from).min(PARTS_MAX);
    values.div_ceil(parts).max(PART_LEAST)
}

impl Node {
    /// Answers what is known of values. Reads the disk: for a thread that may block.
    ///
    /// # Errors
    /// When there are too many values, or the disk fails.
    pub fn lookup(&self, caller: &Caller, request: &LookupRequest) -> Result<Vec<Lookup>, NodeError> {
        if request.values.len() > VALUES_MAX {
            return Err(NodeError::Request(format!(
                "{} values in one request, at most {VALUES_MAX} are answered",
                request.values.len()
            )));
        }
        caller.check()?;
        let directory = self.engine.directory();
        let max_age = request.max_age_ms.unwrap_or_else(|| self.engine.config.max_age_ms());
        let base = Lookup { known: Some(false), ..self.completeness(&directory, max_age) };
        let row = request.value_type.as_deref().map(type_named).transpose()?;
        let visibility = Visibility::new(self, &directory, caller);
        let share = Share::of(request.values.len());
        let answered = |values: &[String]| {
            let mut visibility = visibility.another();
            let mut memo = Memo::default();
            let mut answer = |value: &String| {
                let read = observable(value, row);
                let mut asked: Vec<Observable> = read.iter().cloned().collect();
                if row.is_none() {
                    asked.extend(also(value, read.as_ref().ok()));
                }
                let matches = self.matches(&asked, request.held, share, &mut memo)?;
                let listed = || matches.statements.iter().chain(&matches.held).map(|one| &one.listed).next();
                let what = match (read, listed()) {
                    (Ok(what), _) => what,
                    // What tells no type by itself is here under one that it can be.
                    (Err(_), Some(listed)) => listed.clone(),
                    (Err(error), None) => {
                        let answer = Lookup { value: value.clone(), error: Some(error), ..base.clone() };
                        return Ok((answer, Vec::new()));
                    }
                };
                let base = Lookup { commonplace: self.commonplace(&what), ..base.clone() };
                self.answer(base, &directory, &what, &matches, request.expired, &mut visibility)
            };
            values.iter().map(&mut answer).collect::<Result<Vec<_>, NodeError>>()
        };
        let answered = thread::scope(|scope| {
            let mut parts = request.values.chunks(part_len(request.values.len()));
            let first = parts.next();
            // What gets no thread is answered on this one.
            let others: Vec<_> = parts
                .map(|values| {
                    let asked = thread::Builder::new().spawn_scoped(scope, move || answered(values));
                    asked.map_err(|_| values)
                })
                .collect();
            let first = first.into_iter().map(answered);
            let others = others.into_iter().map(|part| match part {
                Ok(asked) => asked.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                Err(values) => answered(values),
            });
            first.chain(others).collect::<Result<Vec<_>, NodeError>>()
        })?;
        let mut shown: Vec<RecordId> = Vec::new();
        let mut answers = Vec::with_capacity(request.values.len());
        for (answer, records) in answered.into_iter().flatten() {
            answers.push(answer);
            shown.extend(records);
        }
        caller.note("lookup", &shown);
        Ok(answers)
    }

    /// What is known of one value, and what of it is not told; with the records that are shown.
    fn answer(
        &self,
        mut answer: Lookup,
        directory: &Directory,
        what: &Observable,
        matches: &Matches,
        with_expired: bool,
        visibility: &mut Visibility<'_>,
    ) -> Result<(Lookup, Vec<RecordId>), NodeError> {
        answer.value = what.show();
        answer.kind = Some(what.type_name().to_owned());
        if matches!(what.kind, kind::IPV4_NET | kind::IPV6_NET) {
            note(&mut answer, NOT_INSIDE);
        }
        if matches.more {
            answer.complete = false;
            note(&mut answer, MORE);
        }
        let (mut shown, mut subjects) = (Vec::new(), BTreeSet::new());
        for one in &matches.statements {
            let seen = one.seen(visibility);
            let Some(first) = seen.first() else { continue };
            let circles = seen.iter().map(|copy| copy.standing.entry.header.circle);
            let hit = Hit { circles: self.circle_names(circles), ..self.hit(directory, one, first) };
            if hit.expired && !with_expired {
                answer.over += 1;
                continue;
            }
            shown.push(first.standing.entry.id);
            subjects.extend(seen.iter().map(|copy| copy.report.subject));
            answer.hits.push(hit);
        }
        answer.context_only = !answer.hits.is_empty() && answer.hits.iter().all(|hit| is_context(&hit.kind));
        for one in &matches.held {
            answer.held += u64::from(!one.seen(visibility).is_empty());
        }
        answer.hidden = std::mem::take(&mut visibility.hidden);
        let is_here = !answer.hits.is_empty();
        answer.known = (is_here || answer.hidden.records == 0).then_some(is_here);
        // Somebody says something that this answer does not.
        answer.complete &= answer.hidden.records == 0;
        answer.sightings = self.said_of(Some(what), &subjects, visibility)?.sightings;
        Ok((answer, shown))
    }

    /// In which circles reports stand that list a value and are shown to who asks, with their subjects and markings there.
    pub(super) fn listing(
        &self,
        what: &Observable,
        visibility: &mut Visibility<'_>,
    ) -> Result<Vec<(CircleId, Subject, Option<Marking>)>, NodeError> {
        let asked = std::slice::from_ref(what);
        let matches = self.matches(asked, false, Share::of(1), &mut Memo::default())?;
        let mut all = Vec::new();
        for one in &matches.statements {
            all.extend(one.seen(visibility).into_iter().map(|copy| {
                let circle = copy.standing.entry.header.circle;
                (circle, copy.report.subject, copy.report.marking.clone())
            }));
        }
        Ok(all)
    }

    /// Why a hit on a value says little, if it does.
    fn commonplace(&self, what: &Observable) -> Option<String> {
        super::advice::why_no_surprise(&self.engine.config.own, what).map(str::to_owned)
    }

    /// How complete any answer is now. Nothing was looked at yet just after a start.
    fn completeness(&self, directory: &Directory, max_age: u64) -> Lookup {
        let Some(seen) = read(&self.engine.seen).clone() else { return Lookup::default() };
        let (health, age) = (&seen.health, seen.age());
        let stale: Vec<String> =
            health.silent(max_age, age).map(|(org, _)| self.org_name(directory, org)).collect();
        let gaps = self.gaps(&seen, max_age);
        let missing = health.missing_count();
        let withheld = health
            .withheld
            .iter()
            .map(|(org, records)| Withheld { author: self.org_name(directory, *org), records: *records })
            .collect();
        Lookup {
            as_of: Time(health.as_of()),
            complete: gaps.is_empty(),
            not_counted: health.not_counted.iter().map(|org| self.org_name(directory, *org)).collect(),
            gaps: gaps.into_iter().map(|gap| told_gap(gap, |org| self.org_name(directory, org))).collect(),
            stale,
            missing,
            withheld,
            note: self.engine.core.stalled().map(stall),
            ..Lookup::default()
        }
    }

    /// What one copy of a report says.
    fn hit(&self, directory: &Directory, one: &Match, copy: &Statement) -> Hit {
        let (how, listed) = (&one.how, &one.listed);
        let Statement { standing: stored, report, indicator, .. } = copy;
        let outcome = stored.stamped.outcome;
        let since = [indicator.valid_from, report.created, stored.entry.header.time];
        let marking = report.marking.as_ref();
        Hit {
            record: stored.entry.id.to_string(),
            author: self.org_name(directory, stored.org),
            origin: origin(report),
            observable: listed.show(),
            observable_type: listed.type_name().to_owned(),
            how: match how {
                How::Exact => "exact",
                How::Network => "network",
                How::Parent => "parent",
            }
            .to_owned(),
            confidence: indicator.confidence,
            kind: indicator_kind(indicator).to_owned(),
            tlp: marking.map(|marking| marking.tlp.label().to_owned()),
            pap: marking.and_then(|marking| marking.pap).map(|pap| pap.label().to_owned()),
            may: marking::may(marking),
            purposes: marking.map(marking::purposes).unwrap_or_default(),
            legal_basis: marking.and_then(|marking| marking.legal_basis.clone()),
            retain_until: Time(marking.and_then(|marking| marking.retain_until).unwrap_or(0)),
            received: Time(outcome.received),
            since: Time(since.into_iter().find(|time| *time > 0).unwrap_or(0)),
            until: Time(indicator.valid_until),
            expired: indicator.valid_until != 0 && indicator.valid_until < self.passed_ms(),
            title: report.title.clone(),
            subject: report.subject.to_string(),
            circle: self.circle_name(stored.entry.header.circle),
            circles: Vec::new(),
            exercise: marking.is_some_and(|marking| marking.exercise),
            contact: contact(directory, stored.org),
            verdict: super::show::verdict_name(outcome.verdict).to_owned(),
            rule: self.engine.reader.rule(outcome.rule).unwrap_or_default(),
        }
    }
}

/// Who observed it first.
pub(super) fn origin(report: &Report) -> Origin {
    report.origin.source.as_ref().map_or_else(
        || Origin { kind: "own".to_owned(), ..Origin::default() },
        |source| Origin {
            kind: "derived".to_owned(),
            source: Some(source.name.clone()),
            id: Some(source.id.clone()),
        },
    )
}

/// Whether a kind of indicator, by its name, says that a value was observed or is good, and so not that it is bad.
fn is_context(kind: &str) -> bool {
    let is = |number| INDICATOR_KINDS.contains(&(number, kind));
    is(OBSERVED) || is(BENIGN)
}

/// Whom to call about what an org wrote.
pub(super) fn contact(directory: &Directory, org: OrgId) -> Contact {
    directory.org(org).map_or_else(Contact::default, |entry| Contact {
        desk: entry.contact.desk.clone(),
        phone: entry.contact.phone.clone(),
        email: entry.contact.email.clone(),
    })
}

/// What an indicator indicates, by name.
pub(super) fn indicator_kind(indicator: &Indicator) -> &'static str {
    INDICATOR_KINDS.iter().find(|row| row.0 == indicator.kind.kind).map_or("newer", |row| row.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_only_observed_is_context() {
        let context: Vec<&str> =
            INDICATOR_KINDS.iter().map(|row| row.1).filter(|name| is_context(name)).collect();
        assert_eq!(context, ["benign", "observed"]);
        assert!(!is_context("newer"));
    }
}
