//! STIX 2.1 bundles, TAXII envelopes and JSONL of either or of objects; 2.0 where it does not differ.
//!
//! A `report` or `grouping` makes a report of the indicators that it refers to. Indicators in no report make a list,
//! one for each marking: a bundle's id means nothing (STIX 2.1, section 8) and many feeds make a new one every day.
//! What several reports refer to is in each of them, within a bound on what one file repeats.
//! What a report holds under a stricter marking goes apart, and so does each marking of a list (`groups`): an object is
//! made neither stricter nor looser by its neighbours. Objects are kept as given, each beside the indicators it explains. Bundles without any indicator give
//! the values of their cyber-observables, as kind "unknown".

mod groups;
mod indicators;
mod marking;
mod misp;
mod object;
mod pattern;

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::Value;
use serde_json::value::RawValue;
use tocsin_record::body::report::{Indicator, LINE_MAX};
use tocsin_record::observable::Observable;

use crate::fault::Fault;
use crate::gather::{Draft, Kept, OriginalForm};
use crate::marking::is_understood;
use crate::pieces::Pieces;
use crate::{FileInfo, Format, Found, ImportError, PartialMarking, Reading, json, names};
use groups::Group;
use indicators::{attribute, indicators, seen};
use misp::{holds_none, own_labels};
use object::{Body, Object, is_support};

/// Most indicators that the reports of one file have from objects which an earlier report of it has already, so that a
/// small file in which many reports refer to the same many values does not become millions of indicators.
const REPEATED_MAX: u64 = 100_000;

/// What is told of two versions in one file.
const OLDER: &str = "the file has a newer version of it, which counts";
const TWICE: &str = "one version of it has two contents: both are kept, and neither is preferred";

/// The row of the table of formats.
pub const FORMAT: Format = Format { name: "stix", sniff, parse };

fn sniff(bytes: &[u8]) -> bool {
    /// Of an object in the list of a bundle: what lies deeper is another's, such as the values of a MISP attribute.
    const DEPTH_MAX: usize = 3;
    json::is_json(bytes)
        && json::has_field(bytes, DEPTH_MAX, |name, value| match name {
            b"spec_version" | b"pattern_type" => true,
            b"type" => value == b"bundle",
            b"id" => value.starts_with(b"bundle--") || value.starts_with(b"indicator--"),
            _ => false,
        })
}

fn parse(pieces: &mut Pieces<'_>, file: &FileInfo<'_>, found: &mut Reading<'_>) -> Result<(), ImportError> {
    let bytes = pieces.whole()?;
    let documents = json::documents(&bytes, found)?;
    let mut objects = Vec::new();
    for (line, document) in documents {
        if let Err(why) = unfold(document, line, &mut objects, file, found) {
            found.skip(line, "", why);
        }
    }
    if objects.is_empty() && found.counts.skipped == 0 {
        return Err(ImportError::Shape("no STIX objects"));
    }
    Bundle::new(newest(objects, found), file, found).import(file, found);
    Ok(())
}

/// The objects of a bundle, an envelope, an array, or the one object that it is.
fn unfold<'a>(
    raw: &'a RawValue,
    line: Option<u64>,
    objects: &mut Vec<Object<'a>>,
    file: &FileInfo<'_>,
    found: &mut Found,
) -> Result<(), String> {
    let inside = if raw.get().starts_with('[') {
        let mut alone = Vec::new();
        for raw in json::array(raw)? {
            // An array of bundles, as some services answer.
            let is_list = |objects: &&RawValue| objects.get().starts_with('[');
            let bundle = json::fields(raw).is_ok_and(|fields| fields.get("objects").is_some_and(is_list));
            if bundle {
                unfold(raw, line, objects, file, found)?;
            } else {
                alone.push(raw);
            }
        }
        alone
    } else {
        let fields = json::fields(raw)?;
        match fields.get("objects").filter(|objects| objects.get().starts_with('[')) {
            Some(list) => {
                // What a bundle says beside its objects binds all of them.
                let mut whole = found.marking;
                for (name, raw) in fields.iter().filter(|(name, _)| *name != "objects") {
                    let text = format!("{name}: {}", raw.get());
                    whole.take_text(&text, (line, "bundle"), file, found);
                }
                found.marking = whole;
                json::array(list)?
            }
            None => vec![raw],
        }
    };
    for (at, raw) in inside.into_iter().enumerate() {
        found.counts.seen += 1;
        match Object::read(raw, line) {
            Ok(object) => objects.push(object),
            Err(why) => {
                let id = json::object(raw).ok();
                let id = id.as_ref().and_then(|map| json::text(map, "id"));
                found.skip(line, id.unwrap_or(&format!("object {}", at + 1)), why);
            }
        }
    }
    Ok(())
}

/// The newest version of each object, in the order of the file. What one version of it revokes is revoked; of one version
/// with two contents both are kept.
fn newest<'a>(objects: Vec<Object<'a>>, found: &mut Found) -> Vec<Object<'a>> {
    /// Copies of one version that are compared with each other.
    const COPIES_MAX: usize = 16;
    let mut versions: HashMap<String, (u128, bool)> = HashMap::new();
    for object in &objects {
        let (version, revoked) = versions.entry(object.id.clone()).or_default();
        *version = object.version.max(*version);
        *revoked |= object.revoked;
    }
    let mut places: HashMap<String, Vec<usize>> = HashMap::new();
    let mut kept: Vec<Object<'a>> = Vec::new();
    for mut object in objects {
        if object.id.is_empty() {
            kept.push(object);
            continue;
        }
        let (version, revoked) = versions.get(&object.id).copied().unwrap_or_default();
        if object.version < version {
            found.counts.duplicates += 1;
            found.note(object.line, &object.id, OLDER);
            continue;
        }
        object.revoked = revoked;
        let places = places.entry(object.id.clone()).or_default();
        if places.len() == COPIES_MAX || places.iter().any(|at| says_the_same(&kept[*at], &object)) {
            found.counts.duplicates += 1;
            continue;
        }
        // What has no version, a cyber-observable, may be told in parts.
        if !places.is_empty() && version > 0 {
            found.note(object.line, &object.id, TWICE);
        }
        places.push(kept.len());
        kept.push(object);
    }
    kept
}

/// Whether two objects are the same but for how they are written.
fn says_the_same(one: &Object<'_>, other: &Object<'_>) -> bool {
    let value = |object: &Object<'_>| serde_json::from_str::<Value>(object.raw).ok();
    one.raw == other.raw || value(one) == value(other)
}

/// All objects of a file.
struct Bundle<'a> {
    objects: Vec<Object<'a>>,
    place: HashMap<String, usize>,
    /// Objects that stand in the place of another of their id, which has another content.
    twins: Vec<(usize, usize)>,
    markings: Vec<PartialMarking>,
}

/// Which objects of a file are in reports already, and how many indicators may be had from them again.
struct Repeats {
    taken: Vec<bool>,
    /// How many indicators each object gave where it was first taken.
    given: Vec<u64>,
    room: u64,
}

impl Repeats {
    fn new(objects: usize) -> Self {
        Self { taken: vec![false; objects], given: vec![0; objects], room: REPEATED_MAX }
    }

    /// Whether there is room for one more report to take an object.
    fn take(&mut self, at: usize, object: &Object<'_>) -> bool {
        if std::mem::replace(&mut self.taken[at], true) {
            // One for each KiB at least: what is long is read and kept anew in each report, whatever it gives.
            let cost = self.given[at].max(object.raw.len() as u64 >> 10);
            let Some(left) = self.room.checked_sub(cost) else { return false };
            self.room = left;
        }
        true
    }
}

/// The objects of a report, in order of the file.
#[derive(Default)]
struct Members {
    inside: BTreeSet<usize>,
    /// What would be inside, had there been room to repeat it.
    left_out: BTreeSet<usize>,
}

impl Members {
    /// True where it is inside now and was not.
    fn add(&mut self, at: usize, object: &Object<'_>, repeats: &mut Repeats) -> bool {
        if self.inside.contains(&at) || self.left_out.contains(&at) {
            return false;
        }
        let room = repeats.take(at, object);
        if room {
            self.inside.insert(at)
        } else {
            self.left_out.insert(at)
        };
        room
    }
}

impl<'a> Bundle<'a> {
    fn new(objects: Vec<Object<'a>>, file: &FileInfo<'_>, found: &mut Found) -> Self {
        let mut place: HashMap<String, usize> = HashMap::new();
        let mut twins = Vec::new();
        for (at, object) in objects.iter().enumerate() {
            let first = *place.entry(object.id.clone()).or_insert(at);
            if first != at && !object.id.is_empty() {
                twins.push((first, at));
            }
        }
        let mut bundle = Self { markings: Vec::new(), place, twins, objects };
        bundle.forget_what_holds_none();
        bundle.markings = bundle.markings(file, found);
        bundle.bind_twins();
        bundle
    }

    /// Takes the value out of what observes an attribute of MISP that holds none.
    fn forget_what_holds_none(&mut self) {
        let of_none = |object: &&Object<'_>| object.kind == "observed-data" && holds_none(&object.labels);
        let parts = self.objects.iter().filter(of_none).flat_map(|whole| {
            // Parts that others share have ids of their own.
            let part = |id: &String| self.place.get(id).filter(|at| self.objects[**at].uuid == whole.uuid);
            whole.members.iter().filter_map(part)
        });
        let parts: Vec<usize> = parts.copied().collect();
        for at in parts {
            self.objects[at].body = Body::Other;
        }
    }

    /// Of one version with two contents none is looser than the strictest.
    fn bind_twins(&mut self) {
        for (first, twin) in &self.twins {
            self.markings[*first] = self.markings[*first].raised_to(self.markings[*twin]);
        }
        for (first, twin) in &self.twins {
            self.markings[*twin] = self.markings[*twin].raised_to(self.markings[*first]);
        }
    }

    fn get(&self, id: &str) -> Option<&Object<'a>> {
        self.place.get(id).map(|at| &self.objects[*at])
    }

    fn import(&self, file: &FileInfo<'_>, found: &mut Reading<'_>) {
        let links = self.links();
        let mut repeats = Repeats::new(self.objects.len());
        for object in self.objects.iter().filter(|object| object.revoked) {
            found.take_back(&object.id, None);
        }
        for (at, report) in self.objects.iter().enumerate() {
            if !report.is_report() || report.revoked || report.uuid.is_none() {
                continue;
            }
            let members = self.members(at, &links, &mut repeats);
            if !members.left_out.is_empty() {
                let why = format!(
                    "objects that an earlier report of this file has were left out of this one: at most \
                     {REPEATED_MAX} indicators of a file are repeated; import its reports from several files to have \
                     them in each"
                );
                let count = members.left_out.len();
                let objects = format!("{count} object{}", if count == 1 { "" } else { "s" });
                found.skip(report.line, &report.id, Fault::of(&objects, why));
            }
            self.report(report, at, &members, &mut repeats, file, found);
        }
        self.rest(&mut repeats, file, found);
    }

    /// For each object the relationships and sightings that point to it.
    fn links(&self) -> Vec<Vec<usize>> {
        let mut links = vec![Vec::new(); self.objects.len()];
        for (at, object) in self.objects.iter().enumerate() {
            if is_link(object) {
                for end in object.refs.iter().filter_map(|id| self.place.get(id)) {
                    links[*end].push(at);
                }
            }
        }
        links
    }

    /// The objects of a report: those it refers to, relationships among them, and what explains them.
    fn members(&self, report: usize, links: &[Vec<usize>], repeats: &mut Repeats) -> Members {
        let mut members = Members::default();
        repeats.taken[report] = true;
        members.inside.insert(report);
        for at in self.objects[report].members.iter().filter_map(|id| self.place.get(id)) {
            members.add(*at, &self.objects[*at], repeats);
        }
        for (first, twin) in &self.twins {
            if *first != report && members.inside.contains(first) {
                members.add(*twin, &self.objects[*twin], repeats);
            }
        }
        let named: Vec<usize> = members.inside.iter().copied().collect();
        let joins = |link: &Object<'_>, inside: &BTreeSet<usize>| {
            link.refs.iter().all(|id| {
                self.place
                    .get(id)
                    .is_none_or(|end| inside.contains(end) || is_support(&self.objects[*end].kind))
            })
        };
        for at in &named {
            for link in &links[*at] {
                if joins(&self.objects[*link], &members.inside) {
                    members.add(*link, &self.objects[*link], repeats);
                }
            }
        }
        let mut open: Vec<usize> = members.inside.iter().copied().collect();
        while let Some(at) = open.pop() {
            let object = &self.objects[at];
            let explains = is_support(&object.kind);
            // What only explains has an author and markings: what else it refers to is not the report's.
            let (refs, inner, creator) = if explains {
                (&[][..], &[][..], &object.creator)
            } else {
                (&object.refs[..], &object.members[..], &None)
            };
            for id in refs.iter().chain(inner).chain(creator).chain(&object.marking_refs) {
                let Some(target) = self.place.get(id) else { continue };
                let other = &self.objects[*target];
                let follows = is_support(&other.kind) || !explains && !other.observed().is_empty();
                if follows && members.add(*target, other, repeats) {
                    open.push(*target);
                }
            }
        }
        members
    }

    fn report(
        &self,
        report: &Object<'a>,
        at: usize,
        members: &Members,
        repeats: &mut Repeats,
        file: &FileInfo<'_>,
        found: &mut Reading<'_>,
    ) {
        let Some(uuid) = report.uuid else { return };
        let mut draft = Draft::report(file, uuid);
        draft.origin.id = names::one_line(&report.id, LINE_MAX);
        let mut title = report.name.clone();
        let whole = self.marking_of_report(at, members);
        if let Some(creator) = self.creator(report, &whole) {
            draft.origin.name = creator;
        }
        if title.is_empty() {
            title = format!("{} of {}", report.kind, draft.origin.name);
        }
        draft.created = report.created;
        draft.modified = report.modified;
        for group in self.groups_of_report(at, whole, members) {
            let own = group.members.contains(&at);
            let mut one = draft.apart(&if own { String::new() } else { group.marking.name() });
            // What the report itself says goes no farther than it may.
            if whole.fits(&group.marking) {
                one.title = if own { title.clone() } else { format!("{title} ({})", group.marking.name()) };
                one.labels = own_labels(&report.labels)
                    .filter(|label| !is_understood(label))
                    .map(str::to_owned)
                    .collect();
                if own {
                    one.description.clone_from(&report.description);
                }
            } else {
                one.title = format!("{} ({})", report.kind, group.marking.name());
                one.origin.name.clone_from(&file.source.to_owned());
            }
            one.marking = group.marking;
            self.fill(&mut one, &group.members, repeats, file, found);
            one.finish(file, found);
        }
    }

    /// What is in no report: a list for each marking, so that nothing is made stricter by its neighbours, and nothing
    /// unmarked leaves with what is marked.
    fn rest(&self, repeats: &mut Repeats, file: &FileInfo<'_>, found: &mut Reading<'_>) {
        let rest: BTreeSet<usize> = (0..self.objects.len()).filter(|at| !repeats.taken[*at]).collect();
        if rest.iter().all(|at| is_support(&self.objects[*at].kind)) && found.counts.reports == 0 {
            found.skip(None, file.name, "it holds no indicator, observed value or report");
        }
        for group in self.groups_of_rest(&rest) {
            let mut draft = Draft::list(file, &group.marking.name());
            draft.marking = group.marking;
            self.name(&mut draft, &group);
            self.fill(&mut draft, &group.members, repeats, file, found);
            draft.finish(file, found);
        }
    }

    /// A list is called by the threats in it, if they are few, and comes from its one author, if it has one.
    fn name(&self, draft: &mut Draft<'_>, group: &Group) {
        let marking = &group.marking;
        let group = &group.members;
        const THREATS: &[&str] = &["campaign", "intrusion-set", "malware", "threat-actor", "incident"];
        let threats: Vec<&Object<'_>> = group
            .iter()
            .map(|at| &self.objects[*at])
            .filter(|object| THREATS.contains(&&*object.kind) && !object.name.is_empty())
            .take(4)
            .collect();
        if (1..=3).contains(&threats.len()) {
            draft.title = threats.iter().map(|object| &*object.name).collect::<Vec<_>>().join(", ");
            draft.description = threats[0].description.clone();
        }
        let creators: HashSet<&String> =
            group.iter().filter_map(|at| self.objects[*at].creator.as_ref()).take(100_000).collect();
        if creators.len() == 1
            && let Some(name) = group.iter().find_map(|at| self.creator(&self.objects[*at], marking))
        {
            draft.origin.name = name;
        }
    }

    /// The name of an object's author, for what is marked so.
    fn creator(&self, object: &Object<'_>, within: &PartialMarking) -> Option<String> {
        let at = *self.place.get(object.creator.as_deref()?)?;
        let creator = self.markings[at].fits(within).then(|| &self.objects[at])?;
        Some(names::one_line(&creator.name, LINE_MAX)).filter(|name| !name.is_empty())
    }

    /// Indicators and originals of these objects.
    fn fill<'m>(
        &self,
        draft: &mut Draft<'a>,
        members: impl IntoIterator<Item = &'m usize>,
        repeats: &mut Repeats,
        file: &FileInfo<'_>,
        found: &mut Found,
    ) {
        draft.original_form = OriginalForm::StixArray;
        let mut observed = Vec::new();
        for at in members {
            let object = &self.objects[*at];
            let before = draft.indicators.len() + observed.len();
            if object.revoked {
                found.counts.withdrawn += 1;
                found.note(
                    object.line,
                    &object.id,
                    "its source revoked it: it is not imported, and no longer counts",
                );
                continue;
            }
            for note in &object.notes {
                found.note(object.line, &object.id, note.clone());
            }
            if let Some(sign) = object.indicator() {
                indicators(object, sign, file, &mut draft.indicators, found);
            } else {
                observed.extend(object.observed().iter().map(|value| seen(object, value)));
                let of_misp = object.attributes().iter();
                let (said, only_seen): (Vec<_>, Vec<_>) = of_misp.partition(|one| one.to_ids);
                draft.indicators.extend(said.into_iter().map(|one| attribute(object, one, file)));
                observed.extend(only_seen.into_iter().map(|one| attribute(object, one, file)));
            }
            repeats.given[*at] = (draft.indicators.len() + observed.len() - before) as u64;
            draft.originals.push(Kept {
                raw: object.raw,
                list: "",
                with: self.indicator_of(object),
                modified: object.modified,
            });
        }
        // What an indicator says of a value is more than that it was observed.
        let said: HashSet<&Observable> = draft.indicators.iter().map(|indicator| &indicator.what).collect();
        observed.retain(|seen: &Indicator| !said.contains(&seen.what));
        draft.indicators.extend(observed);
    }

    /// The indicator that an object is, or is about.
    fn indicator_of(&self, object: &Object<'_>) -> Option<[u8; 16]> {
        let own = std::iter::once(object);
        let ends = object.refs.iter().filter(|_| is_link(object)).filter_map(|id| self.get(id));
        own.chain(ends)
            .find(|object| object.indicator().is_some())
            .and_then(|object| object.uuid)
            .map(|uuid| uuid.into_bytes())
    }
}

fn is_link(object: &Object<'_>) -> bool {
    matches!(&*object.kind, "relationship" | "sighting")
}

#[cfg(test)]
mod tests;
