//! `lookup`: what is known of a value, by whom, how sure, and how complete the answer is.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use tocsin_api::types::{Contact, Hit, Lookup, LookupRequest, Origin, Time, VALUES_MAX, Withheld};
use tocsin_matcher::How;
use tocsin_protocol::Directory;
use tocsin_record::body::report::{INDICATOR_KINDS, Indicator, Report, Subject};
use tocsin_record::observable::{Observable, ParseError, TYPES, Type, detect, kind};
use tocsin_record::{CircleId, OrgId, RecordId};
use tocsin_store::{LogNo, RecordRef, Verdict, Version, report_subject};

use super::reports::Statement;
use super::status::stall;
use super::visibility::Visibility;
use super::{Node, NodeError, marking, read};

/// What is said of an answer on a network: the matcher finds what contains a value, not what a value contains.
const NOT_INSIDE: &str = "addresses and networks inside it are not searched: look them up one by one";
/// Fewest values for which a thread of their own pays.
const PART_LEAST: usize = 32;
/// Most threads that answer one request.
const PARTS_MAX: usize = 8;
/// Most hits told of one value.
const HITS_MAX: usize = 1_000;
/// Most records that are looked at for one value: of each org in turn, so that none crowds the others out.
const LOOKED_MAX: usize = 10_000;
/// What is said where that was not enough.
const MORE: &str = "more records list it than are looked at: these are the newest of each org";

/// One statement on a value, and how the value matches it.
struct Match {
    how: How,
    listed: Observable,
    statement: Statement,
}

/// What matches a value: each report once.
#[derive(Default)]
struct Matches {
    /// What the answer is made of.
    statements: Found,
    /// What held records say, to be counted where they are not asked for.
    held: Found,
    /// Reports that were read already: all versions of one say together what it says.
    seen: BTreeSet<(OrgId, CircleId, Subject, Observable)>,
    /// Whether there is more than was looked at.
    more: bool,
}

type Found = BTreeMap<(OrgId, Subject, Observable), Match>;
/// Where a value is listed, by how near that is, and as what.
type Postings = BTreeMap<(usize, u64), (How, Observable)>;

/// What is wanted of the reports that list a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// What accepted records say.
    Accepted,
    /// That, and what held ones say, to be counted.
    AcceptedAndCounted,
    /// What held ones say, to be counted.
    Counted,
    /// What both say, as one answer.
    Both,
}

impl Match {
    fn is_seen(&self, visibility: &mut Visibility<'_>) -> bool {
        self.statement.with_view(|view| visibility.sees(&self.statement.standing, view)).unwrap_or(false)
    }
}

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
    pub fn lookup(&self, request: &LookupRequest) -> Result<Vec<Lookup>, NodeError> {
        if request.values.len() > VALUES_MAX {
            return Err(NodeError::Request(format!(
                "{} values in one request, at most {VALUES_MAX} are answered",
                request.values.len()
            )));
        }
        self.check_purpose(request.purpose.as_deref())?;
        let directory = self.directory();
        let max_age = request.max_age_ms.unwrap_or_else(|| self.config.max_age_ms());
        let base = self.completeness(&directory, max_age);
        let row = request.value_type.as_deref().map(type_named).transpose()?;
        let visibility = Visibility::new(self, &directory, request.purpose.as_deref());
        let answered = |values: &[String]| {
            let mut visibility = visibility.another();
            let answer = |value: &String| {
                self.answer(base.clone(), &directory, value, row, request.held, &mut visibility)
            };
            values.iter().map(answer).collect::<Result<Vec<_>, _>>()
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
        self.note_purpose("lookup", request.purpose.as_deref(), request.reference.as_deref(), &shown);
        Ok(answers)
    }

    /// What is known of one value, and what of it is not told; with the records that are shown.
    fn answer(
        &self,
        mut answer: Lookup,
        directory: &Directory,
        value: &str,
        row: Option<&'static Type>,
        held: bool,
        visibility: &mut Visibility<'_>,
    ) -> Result<(Lookup, Vec<RecordId>), NodeError> {
        let what = match observable(value, row) {
            Ok(what) => what,
            Err(error) => {
                value.clone_into(&mut answer.value);
                answer.error = Some(error);
                return Ok((answer, Vec::new()));
            }
        };
        answer.value = what.show();
        answer.kind = Some(what.type_name().to_owned());
        if matches!(what.kind, kind::IPV4_NET | kind::IPV6_NET) {
            note(&mut answer, NOT_INSIDE);
        }
        let mut shown = Vec::new();
        let matches = self.matches(&what, held)?;
        if matches.more {
            answer.complete = false;
            note(&mut answer, MORE);
        }
        let mut statements: Vec<Match> = matches.statements.into_values().collect();
        statements.sort_by_key(|one| (one.how, one.statement.standing.org, one.statement.report.subject));
        for one in statements {
            if one.is_seen(visibility) {
                shown.push(one.statement.standing.entry.id);
                answer.hits.push(self.hit(directory, one));
            }
        }
        for one in matches.held.values() {
            answer.held += u64::from(one.is_seen(visibility));
        }
        answer.hidden = std::mem::take(&mut visibility.hidden);
        answer.known = !answer.hits.is_empty();
        // Somebody says something that this answer does not.
        answer.complete &= answer.hidden.records == 0;
        Ok((answer, shown))
    }

    /// How complete any answer is now. Nothing was looked at yet just after a start.
    fn completeness(&self, directory: &Directory, max_age: u64) -> Lookup {
        let Some(seen) = read(&self.kept.seen).clone() else { return Lookup::default() };
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
            gaps: gaps.into_iter().map(|gap| gap.told(|org| self.org_name(directory, org))).collect(),
            stale,
            missing,
            withheld,
            note: self.core.stalled().map(stall),
            ..Lookup::default()
        }
    }

    /// Who says what of it: each report once, in its standing version.
    fn matches(&self, what: &Observable, held: bool) -> Result<Matches, NodeError> {
        let look_up = |index: &tocsin_matcher::Matcher, postings: &mut Postings| {
            for (order, hit) in index.lookup(what.borrowed()).into_iter().enumerate() {
                for posting in hit.postings {
                    postings.insert((order, posting), (hit.how, hit.observable.clone()));
                }
            }
        };
        let (mut accepted, mut kept) = (Postings::new(), Postings::new());
        look_up(&read(&self.index), &mut accepted);
        let index = read(&self.held);
        if held || index.knows(what.borrowed()) {
            look_up(&index, if held { &mut accepted } else { &mut kept });
        }
        drop(index);
        let wanted = match held {
            true => Wanted::Both,
            false if kept.is_empty() => Wanted::Accepted,
            false => Wanted::AcceptedAndCounted,
        };
        let mut matches = Matches { more: accepted.len() > LOOKED_MAX, ..Matches::default() };
        matches.more |= !self.gather(accepted, wanted, &mut matches)?;
        // After the others and apart from them, so that what is held never crowds out what is accepted.
        self.gather(kept, Wanted::Counted, &mut matches)?;
        Ok(matches)
    }

    /// Reads the reports that list a value. False where there was no room for what they say.
    fn gather(&self, postings: Postings, wanted: Wanted, matches: &mut Matches) -> Result<bool, NodeError> {
        let org_of = |log| self.reader.log(log).map(|log| log.org);
        for (place, (how, listed)) in in_turns(postings, org_of).into_iter().take(LOOKED_MAX) {
            let found = if wanted == Wanted::Counted { &matches.held } else { &matches.statements };
            if found.len() >= HITS_MAX {
                return Ok(false);
            }
            let Some(stored) = self.reader.record(place)? else { continue };
            let (org, header) = (stored.org, &stored.entry.header);
            let subject = stored.entry.body().and_then(|body| report_subject(header, body));
            let Some(subject) = subject else { continue };
            if !matches.seen.insert((org, header.circle, subject, listed.clone())) {
                continue;
            }
            let versions = self.reader.versions(org, header.circle, subject)?;
            // A fingerprint may be another observable's: then nothing is said of this one.
            if wanted != Wanted::Counted
                && let Some(statement) = self.statement(&versions, &listed, wanted == Wanted::Both)?
            {
                self.add(&mut matches.statements, Match { how, listed: listed.clone(), statement });
            }
            let is_held = |version: &Version| version.outcome.verdict == Verdict::Held;
            if matches!(wanted, Wanted::AcceptedAndCounted | Wanted::Counted)
                && matches.held.len() < HITS_MAX
                && versions.iter().any(is_held)
                && let Some(statement) = self.statement(&versions, &listed, true)?
                && statement.standing.stamped.outcome.verdict == Verdict::Held
            {
                self.add(&mut matches.held, Match { how, listed, statement });
            }
        }
        Ok(true)
    }

    /// The copies of one report count once; the one in a wider circle tells more of what others know.
    fn add(&self, found: &mut Found, one: Match) {
        let own = |one: &Match| one.statement.standing.entry.header.circle == self.own_circle();
        let key = (one.statement.standing.org, one.statement.report.subject, one.listed.clone());
        match found.get(&key) {
            Some(known) if !own(known) || own(&one) => {}
            _ => _ = found.insert(key, one),
        }
    }

    fn hit(&self, directory: &Directory, one: Match) -> Hit {
        let Match { how, listed, statement: Statement { standing: stored, report, indicator, .. } } = one;
        let outcome = stored.stamped.outcome;
        let since = [indicator.valid_from, report.created, stored.entry.header.time];
        Hit {
            record: stored.entry.id.to_string(),
            author: self.org_name(directory, stored.org),
            origin: origin(&report),
            observable: listed.show(),
            observable_type: listed.type_name().to_owned(),
            how: match how {
                How::Exact => "exact",
                How::Network => "network",
                How::Parent => "parent",
            }
            .to_owned(),
            confidence: indicator.confidence,
            kind: indicator_kind(&indicator).to_owned(),
            tlp: report.marking.as_ref().map(|marking| marking.tlp.label().to_owned()),
            pap: report.marking.as_ref().and_then(|marking| marking.pap).map(|pap| pap.label().to_owned()),
            may: marking::may(report.marking.as_ref()),
            received: Time(outcome.received),
            since: Time(since.into_iter().find(|time| *time > 0).unwrap_or(0)),
            until: Time(indicator.valid_until),
            expired: indicator.valid_until != 0 && indicator.valid_until < self.passed_ms(),
            title: report.title,
            subject: report.subject.to_string(),
            circle: self.circle_name(stored.entry.header.circle),
            exercise: report.marking.as_ref().is_some_and(|marking| marking.exercise),
            contact: contact(directory, stored.org),
            verdict: super::show::verdict_name(outcome.verdict).to_owned(),
            rule: self.reader.rule(outcome.rule).unwrap_or_default(),
        }
    }
}

/// Postings in the order in which they are looked at: of each org one in turn, the end of a log first.
fn in_turns<T>(
    postings: BTreeMap<(usize, u64), T>,
    org_of: impl Fn(LogNo) -> Option<OrgId>,
) -> Vec<(RecordRef, T)> {
    let mut orgs: BTreeMap<LogNo, Option<OrgId>> = BTreeMap::new();
    let mut turns: BTreeMap<Option<OrgId>, usize> = BTreeMap::new();
    let mut places = Vec::with_capacity(postings.len());
    for ((_, posting), what) in postings.into_iter().rev() {
        let place = RecordRef::unpack(posting);
        let org = orgs.entry(place.log).or_insert_with(|| org_of(place.log));
        let turn = turns.entry(*org).or_default();
        *turn += 1;
        places.push((*turn, (place, what)));
    }
    places.sort_by_key(|(turn, _)| *turn);
    places.into_iter().map(|(_, place)| place).collect()
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
    fn who_says_much_does_not_crowd_the_others_out() {
        // Logs 0 and 2 are of one org, which lists a value in a thousand records; log 1 is another's, with two.
        let place = |log, seq| RecordRef { log: LogNo(log), seq };
        let many = (1..=500).flat_map(|seq| [place(0, seq), place(2, seq)]);
        let postings = many.chain([place(1, 7), place(1, 9)]).map(|place| ((0, place.pack()), ()));
        let turns = in_turns(postings.collect(), |log| Some(OrgId([u8::from(log.0 == 1); 32])));
        let places: Vec<RecordRef> = turns.iter().map(|(place, ())| *place).collect();
        assert_eq!(places.len(), 1002);
        assert_eq!(places[..5], [place(2, 500), place(1, 9), place(2, 499), place(1, 7), place(2, 498)]);
        assert_eq!(places[1001], place(0, 1));
    }
}
