//! `query`: lists of records, newest first, by what people remember of them.

use std::collections::BTreeMap;

use tocsin_api::types::{CopyIn, QueryRequest, Record, Records};
use tocsin_exchange::personal;
use tocsin_protocol::Directory;
use tocsin_protocol::judge::body_view;
use tocsin_record::body::report::{Report, Subject};
use tocsin_record::body::{self, Body};
use tocsin_record::marking::{Personal, Tlp};
use tocsin_record::observable::{Observable, Type, detect};
use tocsin_record::{CircleId, OrgId};
use tocsin_store::{BodyState, Neighbours, RecordRef, Stored, Verdict};

use super::copies::Roots;
use super::show::verdict_name;
use super::visibility::Visibility;
use super::{Caller, Node, NodeError};

/// Records in one answer, where nothing is said.
pub(super) const RECORDS: usize = 100;
/// Most records in one answer.
pub(super) const RECORDS_MAX: usize = 10_000;
/// Most records looked at for one answer: the rest is for the next, by its cursor.
pub(super) const SCAN_MAX: usize = 2_000_000;
/// Reports of which an answer remembers what stands, at about 150 bytes each.
const STANDING_MAX: usize = 65_536;
/// Most words of each sort in one request.
const WORDS_MAX: usize = 64;
/// Most characters of a wrong word that are said again.
const WORD_SHOWN: usize = 80;

/// What a record must be to be listed: all of it.
struct Filter {
    author: Option<OrgId>,
    circle: Option<CircleId>,
    verdict: Option<Verdict>,
    kind: Option<u16>,
    words: Vec<Word>,
    labels: Vec<String>,
    /// One of these; any if empty.
    tlps: Vec<Tlp>,
    /// An indicator of one of these types; any if empty.
    types: Vec<u16>,
    personal: bool,
    all_versions: bool,
}

/// What a record must mention.
struct Word {
    /// In lower case.
    text: String,
    /// What it is as a value: an indicator that is it, or lies in it, mentions it too.
    value: Option<Observable>,
}

/// Which version of a report stands, as far as it was looked for: all of its versions are read for that, of which its author
/// may write as many as it likes, and a list comes by each of them.
#[derive(Default)]
struct Standing(BTreeMap<(OrgId, CircleId, Subject), Option<RecordRef>>);

impl Standing {
    fn of(
        &mut self,
        node: &Node,
        org: OrgId,
        circle: CircleId,
        subject: Subject,
    ) -> Result<Option<RecordRef>, NodeError> {
        let key = (org, circle, subject);
        if let Some(known) = self.0.get(&key) {
            return Ok(*known);
        }
        let place = node.engine.reader.standing(org, circle, subject)?.map(|version| version.place);
        if self.0.len() >= STANDING_MAX {
            self.0.clear();
        }
        self.0.insert(key, place);
        Ok(place)
    }
}

/// A place in the order of the list, newest first: when it came, the number of its last change, its place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cursor {
    received: u64,
    arrival: u64,
    log: u32,
    seq: u64,
}

impl Cursor {
    pub(super) fn of(range: &Neighbours, seq: u64) -> Self {
        let stamped = &range.stamped;
        Self { received: stamped.outcome.received, arrival: stamped.arrival, log: range.first.log.0, seq }
    }

    fn of_stored(stored: &Stored) -> Self {
        let (stamped, place) = (&stored.stamped, stored.place);
        Self {
            received: stamped.outcome.received,
            arrival: stamped.arrival,
            log: place.log.0,
            seq: place.seq,
        }
    }

    pub(super) fn show(self) -> String {
        let Self { received, arrival, log, seq } = self;
        format!("{received:x}-{arrival:x}-{log:x}-{seq:x}")
    }

    /// As a request has it.
    pub(super) fn given(text: &str) -> Result<Self, NodeError> {
        Self::read(text).ok_or_else(|| wrong(text, "cursor: give `next` of an answer"))
    }

    fn read(text: &str) -> Option<Self> {
        let mut numbers = text.split('-').map(|digits| u64::from_str_radix(digits, 16).ok());
        let mut next = || numbers.next().flatten();
        let cursor =
            Self { received: next()?, arrival: next()?, log: u32::try_from(next()?).ok()?, seq: next()? };
        numbers.next().is_none().then_some(cursor)
    }
}

impl Node {
    /// Lists records, newest first. Copies of one report in several circles are one entry, that of the newest of them. Reads
    /// the disk.
    ///
    /// # Errors
    /// When a word of the request means nothing, or the disk fails.
    pub fn query(&self, caller: &Caller, request: &QueryRequest) -> Result<Records, NodeError> {
        caller.check()?;
        let directory = self.engine.directory();
        let filter = self.filter(&directory, request)?;
        let after = match request.cursor.as_deref() {
            None => None,
            Some(text) => Some(Cursor::given(text)?),
        };
        let limit = request.limit.unwrap_or(RECORDS).min(RECORDS_MAX);
        let mut visibility = Visibility::new(self, &directory, caller);
        // What is gone says nothing any more; it is listed where everything is asked for.
        let with_gone = filter.all_versions || filter.verdict.is_none();
        let until = request.until_ms.unwrap_or(u64::MAX);
        // In the order of cursors.
        let ranges = self.engine.reader.newest(|outcome| {
            filter.verdict.is_none_or(|verdict| outcome.verdict == verdict)
                && (request.since_ms..until).contains(&outcome.received)
                && (with_gone || !matches!(outcome.body, BodyState::Gone(_)))
        });
        let places = ranges.iter().flat_map(|range| {
            (0..range.count).rev().map(|offset| {
                let seq = range.first.seq + offset;
                (Cursor::of(range, seq), RecordRef { seq, ..range.first })
            })
        });
        let (mut standing, mut roots) = (Standing::default(), Roots::new(self));
        let mut found = Records::default();
        let mut shown = Vec::new();
        let mut last = after;
        for (looked, (at, place)) in
            places.filter(|(at, _)| after.is_none_or(|after| *at < after)).enumerate()
        {
            if found.records.len() >= limit || looked >= SCAN_MAX {
                found.more = true;
                found.next = last.map(Cursor::show);
                break;
            }
            last = Some(at);
            let Some(stored) = self.engine.reader.record(place)? else {
                continue;
            };
            let body = self.body(&stored);
            if !self.fits(&filter, &stored, body.as_ref(), &mut standing)? {
                continue;
            }
            let mut copies =
                self.listed_copies(&filter, &stored, body.as_ref(), &mut standing, &mut roots)?;
            copies.retain(|copy| {
                self.body(copy).is_none_or(|body| visibility.keeps(copy, &body_view(&body)).is_none())
            });
            // The newest of them stands for all: this one was listed with it, or is on an earlier page.
            if copies.iter().any(|copy| Cursor::of_stored(copy) > at) {
                continue;
            }
            if body.as_ref().is_none_or(|body| visibility.sees(&stored, &body_view(body))) {
                shown.push(stored.entry.id);
                let circles = std::iter::once(&stored).chain(&copies).map(|one| one.entry.header.circle);
                found.records.push(Record {
                    circles: self.circle_names(circles),
                    copies: copies.iter().map(|copy| self.copy_in(copy)).collect(),
                    ..self.list_entry(&directory, &stored, body.as_ref())
                });
            }
        }
        found.hidden = std::mem::take(&mut visibility.hidden);
        caller.note("query", &shown);
        Ok(found)
    }

    fn filter(&self, directory: &Directory, request: &QueryRequest) -> Result<Filter, NodeError> {
        let author = match request.author.as_deref() {
            None => None,
            Some("") => Some(self.engine.org()),
            Some(name) => Some(directory.charter().org_named(name).map(|org| org.root).ok_or_else(|| {
                let name = tocsin_text::cut(name, WORD_SHOWN);
                let help = "`tocsin mesh show` lists them";
                NodeError::Request(format!("there is no org `{name}` in the mesh: {help}"))
            })?),
        };
        let verdict = request.verdict.as_deref().map(|name| {
            let all = [Verdict::Unjudged, Verdict::Accepted, Verdict::Held, Verdict::Refused];
            let named = all.into_iter().find(|verdict| verdict_name(*verdict) == name);
            named.ok_or_else(|| wrong(name, "verdict: use accept, hold, refuse or any"))
        });
        let kind = request.kind.as_deref().map(|name| {
            body::KINDS.iter().find(|kind| kind.name == name).map(|kind| kind.id).ok_or_else(|| {
                let known: Vec<&str> = body::KINDS.iter().map(|kind| kind.name).collect();
                wrong(name, &format!("kind of record: use one of {}, or any", known.join(", ")))
            })
        });
        let tlp = |name: &String| {
            name.parse().map_err(|_| wrong(name, "TLP: use clear, green, amber, amber+strict or red"))
        };
        let type_id = |name: &String| {
            Type::by_name(name).map(|row| row.id).ok_or_else(|| {
                let known: Vec<&str> = tocsin_record::observable::TYPES.iter().map(|row| row.name).collect();
                wrong(name, &format!("type of observable: use one of {}", known.join(", ")))
            })
        };
        let QueryRequest { words, labels, tlps, types, .. } = request;
        if [words, labels, tlps, types].into_iter().any(|list| list.len() > WORDS_MAX) {
            return Err(NodeError::Request(format!("a query has at most {WORDS_MAX} words of each sort")));
        }
        Ok(Filter {
            author,
            circle: request.circle.as_deref().map(|name| self.circle(name)).transpose()?,
            verdict: verdict.transpose()?,
            kind: kind.transpose()?,
            words: words.iter().map(|word| Word::new(word)).collect(),
            labels: labels.iter().map(|label| label.to_lowercase()).collect(),
            tlps: tlps.iter().map(tlp).collect::<Result<_, _>>()?,
            types: types.iter().map(type_id).collect::<Result<_, _>>()?,
            personal: request.personal,
            all_versions: request.all_versions,
        })
    }

    fn fits(
        &self,
        filter: &Filter,
        stored: &Stored,
        body: Option<&Body>,
        standing: &mut Standing,
    ) -> Result<bool, NodeError> {
        let header = &stored.entry.header;
        let fits = filter.author.is_none_or(|author| stored.org == author)
            && filter.circle.is_none_or(|circle| header.circle == circle)
            && filter.verdict.is_none_or(|verdict| stored.stamped.outcome.verdict == verdict)
            && filter.kind.is_none_or(|kind| stored.entry.kind() == kind)
            && (filter.tlps.is_empty()
                || Tlp::from_code(stored.entry.labels().0).is_some_and(|tlp| filter.tlps.contains(&tlp)))
            && filter.fits_body(body);
        Ok(fits && (filter.all_versions || self.stands(stored, body, standing)?))
    }

    /// Whether a report's version is not replaced by a later one; true for all else.
    fn stands(
        &self,
        stored: &Stored,
        body: Option<&Body>,
        standing: &mut Standing,
    ) -> Result<bool, NodeError> {
        let Some(Body::Report(report)) = body else {
            return Ok(true);
        };
        if stored.stamped.outcome.verdict != Verdict::Accepted {
            return Ok(true);
        }
        let place = standing.of(self, stored.org, stored.entry.header.circle, report.subject)?;
        Ok(place.is_none_or(|place| place == stored.place))
    }

    /// The standing versions of the same report in other circles that would be listed as well.
    fn listed_copies(
        &self,
        filter: &Filter,
        stored: &Stored,
        body: Option<&Body>,
        standing: &mut Standing,
        roots: &mut Roots<'_>,
    ) -> Result<Vec<Stored>, NodeError> {
        let Some(Body::Report(report)) = body.filter(|_| !filter.all_versions) else {
            return Ok(Vec::new());
        };
        let mut copies = Vec::new();
        let circles = self.circles_beside_own().into_iter().chain([self.engine.own_circle()]);
        let root = roots.of(stored.org, stored.entry.header.circle, report.subject);
        for circle in circles.filter(|circle| *circle != stored.entry.header.circle) {
            let subject = self.subject_of(stored.org, circle, root);
            let Some(place) = standing.of(self, stored.org, circle, subject)? else {
                continue;
            };
            let Some(copy) = self.engine.reader.record(place)? else { continue };
            let body = self.body(&copy);
            if self.fits(filter, &copy, body.as_ref(), standing)? {
                copies.push(copy);
            }
        }
        Ok(copies)
    }

    fn copy_in(&self, copy: &Stored) -> CopyIn {
        let header = &copy.entry.header;
        CopyIn {
            circle: self.circle_name(header.circle),
            record: copy.entry.id.to_string(),
            tlp: Tlp::from_code(copy.entry.labels().0).map(|tlp| tlp.label().to_owned()),
        }
    }
}

impl Filter {
    fn fits_body(&self, body: Option<&Body>) -> bool {
        let asks_body = self.personal || [self.words.len(), self.labels.len(), self.types.len()] != [0; 3];
        match body {
            _ if !asks_body => true,
            Some(Body::Report(report)) => {
                let is_label = |label: &String| report.labels.iter().any(|one| one.to_lowercase() == *label);
                let is_type = |id: &u16| report.indicators.iter().any(|one| one.what.kind == *id);
                self.labels.iter().all(is_label)
                    && (self.types.is_empty() || self.types.iter().any(is_type))
                    && (!self.personal || is_personal(report))
                    && mentions(report, &self.words)
            }
            Some(Body::Note(note)) => {
                let text = note.text.to_lowercase();
                let has_only_words = !self.personal && self.labels.is_empty() && self.types.is_empty();
                has_only_words && self.words.iter().all(|word| text.contains(&word.text))
            }
            _ => false,
        }
    }
}

impl Word {
    fn new(text: &str) -> Self {
        Self { text: text.to_lowercase(), value: detect(text).ok().map(|found| found.observable) }
    }

    /// Whether an observable is this value, or lies in it where it is a network.
    fn covers(&self, what: &Observable) -> bool {
        self.value.as_ref().is_some_and(|value| value == what || what.borrowed().lies_in(value.borrowed()))
    }
}

/// Whether a report holds data about a person, in its values or in what is kept of its source, or is marked so.
fn is_personal(report: &Report) -> bool {
    report.marking.as_ref().is_some_and(|marking| marking.personal == Personal::Yes)
        || personal::of(&report.indicators, &report.originals) == Personal::Yes
}

/// Whether a report mentions each word: in its words, its values, or what is kept of its source.
fn mentions(report: &Report, words: &[Word]) -> bool {
    let mut left: Vec<&Word> = words.iter().collect();
    let mut look = |field: &str| {
        if !left.is_empty() {
            let field = field.to_lowercase();
            left.retain(|word| !field.contains(&word.text));
        }
        left.is_empty()
    };
    if look(&report.title) || look(&report.description) || report.labels.iter().any(|label| look(label)) {
        return true;
    }
    for indicator in &report.indicators {
        if look(&indicator.comment) || look(&indicator.what.show()) {
            return true;
        }
    }
    left.retain(|word| !report.indicators.iter().any(|one| word.covers(&one.what)));
    for original in &report.originals {
        if left.is_empty() {
            return true;
        }
        let Ok(bytes) = original.unpack() else { continue };
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        left.retain(|word| !text.contains(&word.text));
    }
    left.is_empty()
}

fn wrong(word: &str, what: &str) -> NodeError {
    NodeError::Request(format!("`{}` is no {what}", tocsin_text::cut(word, WORD_SHOWN)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_as_it_was_written() {
        let cursor = Cursor { received: 1_795_321_532_000, arrival: 77, log: 3, seq: u64::MAX };
        assert!(Cursor::read(&cursor.show()) == Some(cursor));
        for text in ["", "1-2-3", "1-2-3-4-5", "1-2-100000000-4", "g-1-1-1", "1-2-3-"] {
            assert!(Cursor::read(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_network_covers_what_lies_in_it() {
        let word = Word::new("192.0.2.0/24");
        for (kind, value, covered) in [
            ("ipv4", "192.0.2.77", true),
            ("ipv4-net", "192.0.2.128/25", true),
            ("ipv4-net", "192.0.2.0/24", true),
            ("ipv4-net", "192.0.0.0/16", false),
            ("ipv4", "198.51.100.1", false),
            ("ipv6", "2001:db8::1", false),
            ("domain", "a.example", false),
        ] {
            assert_eq!(word.covers(&Observable::parse(kind, value).unwrap()), covered, "{value}");
        }
        let word = Word::new("2001:db8::/33");
        for (value, covered) in [("2001:db8:7fff::1", true), ("2001:db8:8000::1", false)] {
            assert_eq!(word.covers(&Observable::parse("ipv6", value).unwrap()), covered, "{value}");
        }
    }
}
