//! Which of two states of a report is the newer, object by object: what an import brings, and what stands under its subject.
//!
//! An object's version stands where its source wrote it: in the object, which is kept beside its values ([`Original`]), in full
//! precision. So there is no second place that could say otherwise.
//!
//! - An older head (the STIX report, the MISP event, which is as new as its newest attribute) changes nothing. So does an older
//!   copy of a list of objects.
//! - In a newer one an object that is older than what stands stays as it stands.
//! - One version with two contents is kept twice, and told: neither is preferred (STIX 2.1, section 3.6.2, leaves it open).
//! - Under an equal head nothing vanishes for not being in this copy, but what the same import has under another marking, and
//!   what is about persons, which may have been left out on purpose.
//! - What was left out on purpose is no other content: a copy that says nothing about persons is compared with what stands
//!   without that as well, and an object with the same without what it says of persons.
//!
//! What its source took back is kept besides, for all reports, under a subject made of its id ([`gone_subject`]).

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use tocsin_record::body::report::{INDICATORS_MAX, Indicator, ORIGINALS_MAX, Original, Report, Subject};
use tocsin_record::codec;
use tocsin_record::marking::Personal;
use tocsin_record::planted;
use uuid::Uuid;

use crate::gather::BODY_BYTES_MAX;
use crate::{json, personal, when};

/// How coarse times are to the bug that is planted here.
const NANOS_A_SECOND: u128 = 1_000_000_000;

/// An object that its source took back, which is for ever: revoked (STIX 2.1, section 3.6.2) or deleted (MISP).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Its UUID, without its type.
    pub id: [u8; 16],
    /// The event that it is of: an attribute of MISP with this id in another event is another.
    pub within: Option<[u8; 16]>,
    /// Its whole id.
    pub name: String,
}

/// What came of an import beside what stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Met {
    /// What is to stand now; `None` where the import changes nothing, because it is older.
    pub report: Option<Report>,
    /// It says also what stood before.
    pub mixed: bool,
    /// Ids of what is older than what stands, and so changed nothing.
    pub older: Vec<String>,
    /// Ids of what has two contents under one version: both are kept.
    pub twice: Vec<String>,
}

/// The subject under which it is kept that an object, of an event if it is of one, was taken back.
#[must_use]
pub fn gone_subject(id: [u8; 16], within: Option<[u8; 16]>) -> Subject {
    let name = [b"gone".as_slice(), within.as_ref().map_or(&[], |event| event)].concat();
    Subject(Uuid::new_v5(&Uuid::from_bytes(id), &name).into_bytes())
}

/// The UUID that a source gave the report, by the id in its origin: `report--...` or an event's, without the part; `None` for a
/// list, which has no id.
#[must_use]
pub fn own_id(origin_id: &str) -> Option<[u8; 16]> {
    let id = origin_id.split(['/', '#']).next().unwrap_or_default();
    let uuid = id.rsplit_once("--").map_or(id, |(_, uuid)| uuid);
    (uuid.len() == 36).then(|| Uuid::parse_str(uuid).ok()).flatten().map(Uuid::into_bytes)
}

/// The versions of the objects that are kept beside a report.
#[derive(Debug, Default)]
pub struct Versions(BTreeMap<[u8; 16], Version>);

/// The newest version of one object.
#[derive(Debug)]
struct Version {
    name: String,
    /// The event that it is of.
    within: Option<[u8; 16]>,
    /// In nanoseconds since 1970, 0 if not said.
    modified: u128,
    /// What is said under it, more than one where two copies differ; each with what of it is not about persons, where that is less.
    contents: BTreeMap<String, Option<String>>,
}

impl Version {
    /// Whether all that another says is said here, but for what is about persons where one of the two has nothing of it.
    fn says_all_of(&self, other: &Self) -> bool {
        let bare_of = |bare: &Option<String>, content: &str| bare.as_deref() == Some(content);
        other.contents.iter().all(|(content, bare)| {
            let says = |(own, own_bare): (&String, &Option<String>)| {
                own == content || bare_of(bare, own) || bare_of(own_bare, content)
            };
            self.contents.iter().any(says)
        })
    }
}

impl Versions {
    /// Of what is kept beside a report. What does not read has none.
    #[must_use]
    pub fn of(originals: &[Original]) -> Self {
        let mut all = Self::default();
        for original in originals {
            let Ok(bytes) = original.unpack() else { continue };
            match (original.format, serde_json::from_slice(&bytes)) {
                (1, Ok(Value::Array(objects))) => {
                    objects.iter().filter_map(Value::as_object).for_each(|object| all.stix(object));
                }
                (2, Ok(Value::Object(event))) => all.misp(&event),
                _ => {}
            }
        }
        all
    }

    /// How two reports' versions of one object compare; `None` where one of them does not say, or they are of different events.
    #[must_use]
    pub fn compare(&self, other: &Self, id: &[u8; 16]) -> Option<Ordering> {
        let (own, other) = (self.0.get(id)?, other.0.get(id)?);
        let is_one = own.within == other.within && own.modified > 0 && other.modified > 0;
        let digits = if planted::is(planted::Bug::OldWins) { NANOS_A_SECOND } else { 1 };
        is_one.then(|| (own.modified / digits).cmp(&(other.modified / digits)))
    }

    /// Whether two reports have one version of an object, and each says of it what the other does not.
    #[must_use]
    pub fn differ(&self, other: &Self, id: &[u8; 16]) -> bool {
        let both = self.0.get(id).zip(other.0.get(id));
        self.compare(other, id) == Some(Ordering::Equal)
            && both.is_some_and(|(own, other)| !own.says_all_of(other) && !other.says_all_of(own))
    }

    /// Whether two reports have one version of an object, and one of them says of it what the other does not.
    #[must_use]
    pub fn says_more(&self, other: &Self, id: &[u8; 16]) -> bool {
        let both = self.0.get(id).zip(other.0.get(id));
        self.compare(other, id) == Some(Ordering::Equal)
            && both.is_some_and(|(own, other)| !own.says_all_of(other) || !other.says_all_of(own))
    }

    /// An object's whole id, if it is here.
    #[must_use]
    pub fn name(&self, id: &[u8; 16]) -> Option<&str> {
        self.0.get(id).map(|version| version.name.as_str())
    }

    /// The event that an object is of, if it is here and of one.
    #[must_use]
    pub fn within(&self, id: &[u8; 16]) -> Option<[u8; 16]> {
        self.0.get(id).and_then(|version| version.within)
    }

    fn newest(&self) -> u128 {
        self.0.values().map(|version| version.modified).max().unwrap_or(0)
    }

    fn stix(&mut self, object: &Map<String, Value>) {
        let Some(name) = json::text(object, "id") else { return };
        let Some(id) = own_id(name) else { return };
        let modified = json::text(object, "modified").or_else(|| json::text(object, "created"));
        let text = |object: Map<String, Value>| Value::Object(object).to_string();
        let content = (text(object.clone()), personal::bare(object).map(text));
        self.add(id, name, None, modified.and_then(when::nanos).unwrap_or(0), content);
    }

    fn misp(&mut self, event: &Map<String, Value>) {
        // Without an id it is the same event by name only, or attributes without theirs.
        let head = json::text(event, "uuid").and_then(|name| Some((name, own_id(name)?)));
        let time = |map: &Map<String, Value>| json::scalar(map, "timestamp").and_then(|at| when::nanos(&at));
        let of_event = time(event).unwrap_or(0);
        // An event's own time does not always follow its attributes (a feed that is merged into one event).
        let mut newest = of_event;
        let lists = |map: &Map<String, Value>, name: &str| -> Vec<Map<String, Value>> {
            let list = map.get(name).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(Value::as_object).cloned().collect()
        };
        let of_objects = lists(event, "Object").into_iter().flat_map(|object| lists(&object, "Attribute"));
        for attribute in lists(event, "Attribute").into_iter().chain(of_objects) {
            let modified = time(&attribute).unwrap_or(of_event);
            newest = newest.max(modified);
            if let Some(name) = json::text(&attribute, "uuid")
                && let Some(of_attribute) = own_id(name)
            {
                // Ids of an instance's database and counts of it differ in each export. What is deleted may keep its time.
                let content = said_of(&attribute, &["type", "value", "to_ids"]);
                let within = head.map(|(_, id)| id).or_else(|| event_of(&attribute));
                self.add(of_attribute, name, within, modified, (content, None));
            }
        }
        if let Some((name, id)) = head {
            self.add(id, name, Some(id), newest, (said_of(event, &["info"]), None));
        }
    }

    fn add(
        &mut self,
        id: [u8; 16],
        name: &str,
        within: Option<[u8; 16]>,
        modified: u128,
        (content, bare): (String, Option<String>),
    ) {
        let new = || Version { name: name.to_owned(), within, modified, contents: BTreeMap::new() };
        let known = self.0.entry(id).or_insert_with(new);
        if modified > known.modified {
            *known = new();
        }
        if modified == known.modified {
            known.contents.insert(content, bare);
        }
    }
}

/// The event that an attribute without it is of, if it names that.
pub(crate) fn event_of(attribute: &Map<String, Value>) -> Option<[u8; 16]> {
    let of = attribute.get("Event").and_then(Value::as_object).and_then(|event| json::text(event, "uuid"));
    of.or_else(|| json::text(attribute, "event_uuid")).and_then(own_id)
}

/// These fields of an object, as text.
fn said_of(map: &Map<String, Value>, fields: &[&str]) -> String {
    let said = fields.iter().map(|field| map.get(*field).unwrap_or(&Value::Null).to_string());
    said.collect::<Vec<_>>().join(",")
}

/// What is to stand of a report that comes in, whole, under a subject at which another stands. `elsewhere` tells of an
/// indicator's id whether another report of the same import has it.
#[must_use]
pub fn meet(standing: &Report, next: Report, elsewhere: impl Fn(&[u8; 16]) -> bool) -> Met {
    meet_under(None, standing, next, elsewhere)
}

/// As [`meet`], of a part of a report or event that is kept without its head: `heads` is how those compare, if that is known.
#[must_use]
pub fn meet_under(
    heads: Option<Ordering>,
    standing: &Report,
    next: Report,
    elsewhere: impl Fn(&[u8; 16]) -> bool,
) -> Met {
    // An event is as new as its newest attribute, which may be one that was left out.
    let stands = if has_persons(standing) && !has_persons(&next) {
        Cow::Owned(personal::without(&standing.originals).0)
    } else {
        Cow::Borrowed(&standing.originals)
    };
    let (old, new) = (Versions::of(&stands), Versions::of(&next.originals));
    let origin = origin_of(&next).to_owned();
    let head = own_id(&origin);
    let compared = || head.and_then(|head| new.compare(&old, &head).or_else(|| by_time(&next, standing)));
    let of_head = heads.or_else(compared);
    if of_head == Some(Ordering::Less) {
        return Met { older: vec![origin], ..Met::default() };
    }
    let order = |id: &[u8; 16]| new.compare(&old, id);
    let older: BTreeSet<[u8; 16]> =
        new.0.keys().filter(|id| order(id) == Some(Ordering::Less)).copied().collect();
    let name = |id: &[u8; 16]| new.name(id).unwrap_or_default().to_owned();
    if head.is_none() && !older.is_empty() && new.newest() <= old.newest() {
        // A copy of the list from before.
        return Met { older: older.iter().map(name).collect(), ..Met::default() };
    }
    let twice: BTreeSet<[u8; 16]> = new.0.keys().filter(|id| new.differ(&old, id)).copied().collect();
    let met = Met {
        report: None,
        mixed: false,
        older: older.iter().map(name).collect(),
        twice: twice.iter().map(name).collect(),
    };
    let is_missing = |id: &&[u8; 16]| !new.0.contains_key(*id);
    let nothing_moved = !old.0.keys().filter(is_missing).any(elsewhere);
    // Of what stands this stays, whatever the new copy says or does not say.
    let stays = |id: &[u8; 16]| {
        older.contains(id)
            || order(id) == Some(Ordering::Equal) && !is_within(&old, &new, id)
            || of_head == Some(Ordering::Equal) && nothing_moved && is_missing(&id) && old.0.contains_key(id)
    };
    let is_person = |one: &Indicator| one.what.row().is_some_and(|row| row.personal == Personal::Yes);
    let kept =
        standing.indicators.iter().filter(|one| one.id.is_some_and(|id| stays(&id)) && !is_person(one));
    let mut report = Report { modified: next.modified.max(standing.modified), ..next };
    report.indicators.retain(|one| one.id.is_none_or(|id| !older.contains(&id)));
    let said: BTreeSet<_> = report.indicators.iter().map(|one| one.what.clone()).collect();
    let kept: Vec<Indicator> = kept.filter(|one| !said.contains(&one.what)).cloned().collect();
    let stays_nothing = !old.0.keys().any(stays);
    if stays_nothing || report.indicators.len() + kept.len() > INDICATORS_MAX {
        return Met { report: Some(report), ..met };
    }
    report.indicators.extend(kept);
    report.indicators.sort_by(|a, b| a.what.cmp(&b.what));
    keep_originals(&mut report, standing);
    Met { report: Some(report), mixed: true, ..met }
}

/// How the heads of two reports with one head compare, the STIX report or MISP event: by their objects, else, where one was too long
/// to be kept, by their times; `None` where one of them has none.
#[must_use]
pub fn compare_heads(one: &Report, other: &Report) -> Option<Ordering> {
    let head = own_id(origin_of(one))?;
    let versions = |report: &Report| Versions::of(&report.originals);
    versions(one).compare(&versions(other), &head).or_else(|| by_time(one, other))
}

/// A part that is kept without its head has the time of that, or of what is newest in it, in milliseconds.
fn by_time(one: &Report, other: &Report) -> Option<Ordering> {
    (one.modified > 0 && other.modified > 0).then(|| one.modified.cmp(&other.modified))
}

fn origin_of(report: &Report) -> &str {
    report.origin.source.as_ref().map_or("", |source| &source.id)
}

/// Whether anything in a report is about persons.
fn has_persons(report: &Report) -> bool {
    // A marking says no less than what is inside.
    report.marking.as_ref().is_none_or(|marking| marking.personal == Personal::Yes)
        && personal::of(&report.indicators, &report.originals) == Personal::Yes
}

/// Whether all that one report says of an object's version the other says as well.
fn is_within(one: &Versions, other: &Versions, id: &[u8; 16]) -> bool {
    one.0.get(id).zip(other.0.get(id)).is_some_and(|(one, other)| other.says_all_of(one))
}

/// Keeps the objects of what stands beside those that came in, as far as a body has room: what stays is explained by them, and
/// its versions stand in them.
fn keep_originals(report: &mut Report, standing: &Report) {
    if report.originals.iter().all(|original| standing.originals.contains(original)) {
        // All of it was here before: the order stays, so that nothing is written for it.
        report.title.clone_from(&standing.title);
        report.description.clone_from(&standing.description);
    }
    let without_persons = personal::inside(&report.originals).parts.is_empty();
    let before =
        if without_persons { personal::without(&standing.originals).0 } else { standing.originals.clone() };
    let (mut all, more) = if report.originals.iter().all(|original| before.contains(original)) {
        (before, Vec::new())
    } else {
        (report.originals.clone(), before)
    };
    for original in more {
        if !all.contains(&original) {
            all.push(original);
        }
    }
    all.truncate(ORIGINALS_MAX);
    let given = std::mem::replace(&mut report.originals, all);
    if codec::size(report) > BODY_BYTES_MAX {
        report.originals = given;
    }
}

#[cfg(test)]
#[path = "versions/tests.rs"]
mod tests;
