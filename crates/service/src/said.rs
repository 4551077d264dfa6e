//! What orgs say about values and reports beside listing them: sightings and notes, written into the circles in which what they are
//! about stands, and found by that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tocsin_api::types::{NoteOn, NoteRequest, Published, SightRequest, Sighted, Time};
use tocsin_clock as clock;
use tocsin_engine::read;
use tocsin_protocol::judge::body_view;
use tocsin_protocol::subject_key;
use tocsin_record::body::report::{Subject, TEXT_MAX};
use tocsin_record::body::{Body, Note, Salt, Sighting};
use tocsin_record::marking::{Code, Marking, Tlp};
use tocsin_record::observable::{Observable, ObservableRef};
use tocsin_record::{CircleId, OrgId};
use tocsin_store::{Stored, Verdict};

use super::copies::Roots;
use super::lookup::{self, Turns};
use super::publish::salt;
use super::visibility::Visibility;
use super::{Caller, Node, NodeError};

/// The kinds of sightings: number, as MISP has it, and name.
const KINDS: &[(u16, &str)] = &[(0, "seen"), (1, "false-positive"), (2, "expired")];
/// Most sightings and notes that are looked at for one answer, the newest of each org in turn.
const LOOKED: usize = 1_000;
/// Most notes that are shown.
const NOTES: usize = 100;

/// Where something stands that a sighting or note is about.
struct Place {
    circle: CircleId,
    /// The report, if it is one.
    subject: Option<Subject>,
    marking: Option<Marking>,
}

/// What was said of something, as far as the policy shows it to who asks.
#[derive(Default)]
pub(super) struct Said {
    pub sightings: Vec<Sighted>,
    pub notes: Vec<NoteOn>,
}

/// What sightings of one kind come to.
#[derive(Default)]
struct Met {
    /// How often, by each sighting, whose copies in several circles have one salt.
    counts: BTreeMap<(OrgId, Salt), u32>,
    last: u64,
}

/// A note, whose copies in several circles have one salt.
struct Noted {
    stored: Stored,
    text: String,
    circles: BTreeSet<CircleId>,
}

/// The name of a kind of sighting.
pub(super) fn kind_name(kind: u16) -> &'static str {
    KINDS.iter().find(|row| row.0 == kind).map_or("newer", |row| row.1)
}

impl Node {
    /// Writes that something known was met, or is not what it was said to be.
    ///
    /// # Errors
    /// When nothing here lists it, or the core refuses.
    pub async fn sight(
        self: &Arc<Self>,
        caller: Caller,
        request: SightRequest,
    ) -> Result<Published, NodeError> {
        let caller = Arc::new(caller);
        let asks = Arc::clone(&caller);
        let bodies = self.apart(move |node| node.sightings(&asks, &request)).await?;
        self.write_said(&caller, "sight", bodies).await
    }

    /// Writes words about a report.
    ///
    /// # Errors
    /// When there is no such report, or the core refuses.
    pub async fn add_note(
        self: &Arc<Self>,
        caller: Caller,
        request: NoteRequest,
    ) -> Result<Published, NodeError> {
        let caller = Arc::new(caller);
        let asks = Arc::clone(&caller);
        let bodies = self.apart(move |node| node.notes(&asks, &request)).await?;
        self.write_said(&caller, "note", bodies).await
    }

    async fn write_said(
        self: &Arc<Self>,
        caller: &Caller,
        verb: &str,
        bodies: Vec<(CircleId, Subject, Body)>,
    ) -> Result<Published, NodeError> {
        let published = self.write_bodies(bodies, Vec::new()).await?;
        caller.note_written(verb, &published);
        Ok(published)
    }

    fn sightings(
        &self,
        caller: &Caller,
        request: &SightRequest,
    ) -> Result<Vec<(CircleId, Subject, Body)>, NodeError> {
        let kind = KINDS
            .iter()
            .find(|row| row.1 == request.kind)
            .ok_or_else(|| NodeError::Request("a sighting is seen, false-positive or expired".to_owned()))?;
        if request.count == 0 {
            return Err(NodeError::Request(
                "what was not met at all is no sighting: --count is at least 1".into(),
            ));
        }
        let row = request.value_type.as_deref().map(lookup::type_named).transpose()?;
        // A value is also what an id looks like: a hash of a file.
        let found = if row.is_some() { None } else { self.find(&request.what).ok() };
        let (what, places) = match found {
            Some(place) => (None, self.places_of(caller, &self.record(place)?)?),
            None => {
                let what = lookup::observable(&request.what, row).map_err(NodeError::Request)?;
                (Some(what.clone()), self.places_listing(caller, &what)?)
            }
        };
        let (salt, time) = (salt(), request.time_ms.unwrap_or_else(clock::now_ms));
        let body = |place: Place| {
            let marking = self.marking_of_said(&place)?;
            let sighting = Sighting {
                salt,
                what: what.clone(),
                subject: place.subject,
                kind: Code { kind: kind.0, value: Vec::new() },
                count: request.count,
                time,
                precision: 0,
                destination: None,
                source_port: 0,
                marking,
                extension: Vec::new(),
            };
            let told = place.subject.unwrap_or(Subject([0; 16]));
            Ok((place.circle, told, Body::Sighting(sighting)))
        };
        places.into_iter().map(body).collect()
    }

    fn notes(
        &self,
        caller: &Caller,
        request: &NoteRequest,
    ) -> Result<Vec<(CircleId, Subject, Body)>, NodeError> {
        let text = request.text.trim();
        if text.is_empty() || text.len() > TEXT_MAX {
            return Err(NodeError::Request(format!(
                "the note has {} bytes: it has at least one, and at most {TEXT_MAX}",
                text.len()
            )));
        }
        let stored = self.record(self.find(&request.id)?)?;
        let salt = salt();
        let body = |place: Place| {
            let marking = self.marking_of_said(&place)?;
            let Some(subject) = place.subject else {
                return Err(NodeError::Request("a note is about a report".to_owned()));
            };
            let (org, text) = (stored.org, text.to_owned());
            let note = Note { salt, org, subject, text, marking, extension: Vec::new() };
            Ok((place.circle, subject, Body::Note(note)))
        };
        self.places_of(caller, &stored)?.into_iter().map(body).collect()
    }

    /// What is said is marked as what it is about is there; what is unmarked leaves no org.
    fn marking_of_said(&self, place: &Place) -> Result<Marking, NodeError> {
        let marking = place.marking.clone().unwrap_or_else(|| Marking::new(Tlp::AmberStrict));
        let refused = self.for_circle(place.circle, Some(marking.clone()));
        refused.map(|_| marking).map_err(|why| {
            let name = self.circle_name(place.circle);
            NodeError::Request(format!("nothing was written: circle `{name}`: {}", why.with_flags()))
        })
    }

    /// Where the report of a record stands that is shown to who asks: its circles, but the own one only if there is no other.
    fn places_of(&self, caller: &Caller, stored: &Stored) -> Result<Vec<Place>, NodeError> {
        caller.check()?;
        let directory = self.engine.directory();
        let body = self.body(stored);
        let Some(Body::Report(report)) = &body else {
            return Err(NodeError::Request("it is no report whose body is here".to_owned()));
        };
        let mut visibility = Visibility::new(self, &directory, caller);
        let view = body_view(body.as_ref().unwrap_or(&Body::Newer));
        if let Some(rule) = visibility.keeps(stored, &view) {
            return Err(NodeError::Denied { rule, help: visibility.help(stored, &view) });
        }
        let root = Roots::new(self).of(stored.org, stored.entry.header.circle, report.subject);
        let mut places = Vec::new();
        for circle in self.circles_beside_own().into_iter().chain([self.engine.own_circle()]) {
            let subject = self.subject_of(stored.org, circle, root);
            if let Some(version) = self.engine.reader.standing(stored.org, circle, subject)?
                && let Some(standing) = self.report_at(version.place)?
            {
                places.push(Place { circle, subject: Some(subject), marking: standing.marking });
            }
        }
        let places = self.without_own(places);
        if places.is_empty() {
            return Err(NodeError::Request("it stands in no circle that this org is in".to_owned()));
        }
        Ok(places)
    }

    /// Where reports stand that list a value and are shown to who asks, each circle once with the strictest of their markings.
    fn places_listing(&self, caller: &Caller, what: &Observable) -> Result<Vec<Place>, NodeError> {
        caller.check()?;
        let directory = self.engine.directory();
        let mut visibility = Visibility::new(self, &directory, caller);
        let mut places: BTreeMap<CircleId, Place> = BTreeMap::new();
        for (circle, subject, marking) in self.listing(what, &mut visibility)? {
            if !directory.membership(circle).has(self.engine.org()) {
                continue;
            }
            match places.get_mut(&circle) {
                Some(known) => {
                    known.subject = known.subject.filter(|known| *known == subject);
                    let before = known.marking.take();
                    known.marking = match (before, marking) {
                        (Some(one), Some(other)) => Some(one.stricter(&other).map_err(|error| {
                            NodeError::Request(format!(
                                "the reports that list it are marked in ways that do not go together ({error}): name one of them \
                                 by its id"
                            ))
                        })?),
                        (one, other) => one.or(other),
                    };
                }
                None => _ = places.insert(circle, Place { circle, subject: Some(subject), marking }),
            }
        }
        if places.is_empty() {
            return Err(NodeError::NotFound(format!(
                "nothing here lists {}: `tocsin publish` says that it is bad",
                what.show()
            )));
        }
        Ok(self.without_own(places.into_values().collect()))
    }

    fn without_own(&self, mut places: Vec<Place>) -> Vec<Place> {
        let own = self.engine.own_circle();
        if places.iter().any(|place| place.circle != own) {
            places.retain(|place| place.circle != own);
        }
        places
    }

    /// What was said about a value, if one is meant, and about reports. Reads the disk where there is anything.
    pub(super) fn said_of(
        &self,
        what: Option<&Observable>,
        subjects: &BTreeSet<Subject>,
        visibility: &mut Visibility<'_>,
    ) -> Result<Said, NodeError> {
        let about: Vec<ObservableRef<'_>> =
            what.map(Observable::borrowed).into_iter().chain(subjects.iter().map(subject_key)).collect();
        if read(&self.engine.index).said.is_empty() {
            return Ok(Said::default());
        }
        let page = |at: usize, last, limit| read(&self.engine.index).said.postings(about[at], last, limit);
        let org_of = |log| self.engine.reader.log(log).map(|log| log.org);
        let mut seen = BTreeSet::new();
        let mut met: BTreeMap<u16, Met> = BTreeMap::new();
        let mut notes: BTreeMap<(OrgId, Salt), Noted> = BTreeMap::new();
        for (_, place) in Turns::new(about.len(), LOOKED, page, org_of).take(LOOKED) {
            if !seen.insert(place) {
                continue;
            }
            let Some(stored) = self.engine.reader.record(place)? else { continue };
            if stored.stamped.outcome.verdict != Verdict::Accepted {
                continue;
            }
            let Some(body) = self.body(&stored) else { continue };
            // A fingerprint may be another's.
            let is_about = |whose: Option<&Observable>, subject: Option<&Subject>| {
                whose.is_some_and(|whose| Some(whose) == what)
                    || subject.is_some_and(|subject| subjects.contains(subject))
            };
            match &body {
                Body::Sighting(one) if is_about(one.what.as_ref(), one.subject.as_ref()) => {
                    // Of a report in whose name another value was seen, that value is told where it is asked for.
                    let is_other = one.what.is_some() && what.is_some() && one.what.as_ref() != what;
                    if is_other || visibility.keeps(&stored, &body_view(&body)).is_some() {
                        continue;
                    }
                    let met = met.entry(one.kind.kind).or_default();
                    met.counts.insert((stored.org, one.salt), one.count);
                    met.last = met.last.max(one.time);
                }
                Body::Note(note) if is_about(None, Some(&note.subject)) => {
                    if visibility.keeps(&stored, &body_view(&body)).is_some() {
                        continue;
                    }
                    let circle = stored.entry.header.circle;
                    let text = note.text.clone();
                    let known = notes.entry((stored.org, note.salt));
                    let known = known.or_insert_with(|| Noted { stored, text, circles: BTreeSet::new() });
                    known.circles.insert(circle);
                }
                _ => {}
            }
        }
        let directory = self.engine.directory();
        let sighted = |(kind, met): (u16, Met)| {
            let orgs: BTreeSet<OrgId> = met.counts.keys().map(|(org, _)| *org).collect();
            Sighted {
                kind: kind_name(kind).to_owned(),
                count: met.counts.values().fold(0, |sum: u64, count| sum.saturating_add(u64::from(*count))),
                orgs: orgs.into_iter().map(|org| self.org_name(&directory, org)).collect(),
                last: Time(met.last),
            }
        };
        let mut notes: Vec<NoteOn> = notes
            .into_values()
            .map(|Noted { stored, text, circles }| NoteOn {
                org: self.org_name(&directory, stored.org),
                time: Time(stored.entry.header.time),
                record: stored.entry.id.to_string(),
                circles: self.circle_names(circles),
                text,
            })
            .collect();
        notes.sort_by(|one, other| (one.time, &one.record).cmp(&(other.time, &other.record)));
        notes.drain(..notes.len().saturating_sub(NOTES));
        Ok(Said { sightings: met.into_iter().map(sighted).collect(), notes })
    }
}
