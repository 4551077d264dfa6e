//! Which objects go together: those of one marking, with what explains them.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_record::marking::Tlp;
use tocsin_record::marking::words::{self, Handling};

use super::object::{Body, Object, is_support};
use super::{Bundle, Members, is_link};
use crate::marking::unclear;
use crate::{FileInfo, Found, PartialMarking};

/// Objects of one marking, and what explains them.
pub(super) struct Group {
    pub marking: PartialMarking,
    pub members: BTreeSet<usize>,
}

impl Bundle<'_> {
    /// What each object says of its handling: by markings, labels, fields, and what its texts name.
    pub(super) fn markings(&self, file: &FileInfo<'_>, found: &mut Found) -> Vec<PartialMarking> {
        let mut markings: Vec<PartialMarking> =
            self.objects.iter().map(|object| self.marking(object, file, found)).collect();
        self.inherit(&mut markings);
        markings
    }

    fn marking(&self, object: &Object<'_>, file: &FileInfo<'_>, found: &mut Found) -> PartialMarking {
        let mut marking = PartialMarking::default();
        let at = (object.line, object.id.as_str());
        if let Body::Marking(definition) = &object.body {
            // It goes only with what is marked by it. Who carries it tells, if nobody understands it.
            let names: Vec<&str> = definition.names.iter().map(String::as_str).collect();
            let _ = marking.bind(definition.said, &names, file.profile);
            return marking;
        }
        for id in &object.marking_refs {
            let (said, names) = self.label(id);
            if let Err(label) = marking.bind(said, &names, file.profile) {
                unclear(label, at, found);
            }
        }
        for label in &object.labels {
            if let Some(said) = words::label(label) {
                marking.take(said, label, at, file, found);
            }
        }
        for (said, text) in &object.fields {
            marking.take(*said, text, at, file, found);
        }
        marking.take_raw(object.raw, at, file, found);
        marking
    }

    /// What a marking says, and how the operator may call it.
    fn label<'i>(&'i self, id: &'i str) -> (Handling, Vec<&'i str>) {
        if let Some(Body::Marking(definition)) = self.get(id).map(|object| &object.body) {
            return (definition.said, definition.names.iter().map(String::as_str).collect());
        }
        let known = Tlp::from_stix_id(id).map(|tlp| Handling {
            tlp: Some(tlp),
            floor: Some(tlp),
            ..Handling::default()
        });
        // A definition that is not here may say anything.
        (known.unwrap_or(Handling { unclear: true, ..Handling::default() }), vec![id])
    }

    /// What carries no marking and is part of something marked: an observed value in observed data or in another value, the
    /// value that an indicator is based on, the translation of an object.
    fn inherit(&self, markings: &mut [PartialMarking]) {
        // Values within values are nested no deeper than this: a message, its headers' addresses, their accounts.
        const DEPTH: usize = 4;
        for _ in 0..DEPTH {
            for object in &self.objects {
                let holds = object.kind == "observed-data" || matches!(object.body, Body::Observed(_));
                let parts: Vec<(&String, &String)> = match () {
                    () if holds => {
                        object.members.iter().chain(&object.refs).map(|part| (&object.id, part)).collect()
                    }
                    () if object.kind == "language-content" => {
                        object.refs.iter().map(|whole| (whole, &object.id)).collect()
                    }
                    () if is_link(object) => object
                        .refs
                        .iter()
                        .flat_map(|whole| object.refs.iter().map(move |part| (whole, part)))
                        .collect(),
                    () => continue,
                };
                for (whole, part) in parts {
                    let (Some(whole), Some(part)) = (self.place.get(whole), self.place.get(part)) else {
                        continue;
                    };
                    let other = &self.objects[*part];
                    let is_part = matches!(other.body, Body::Observed(_)) || other.kind == "language-content";
                    let says = &self.objects[*whole];
                    let is_whole = !is_link(object) || says.indicator().is_some();
                    if whole != part && is_part && is_whole && markings[*part].tlp.is_none() {
                        markings[*part] = markings[*part].raised_to(markings[*whole]);
                    }
                }
            }
        }
    }

    /// The report's own marking, else that of its indicators together.
    pub(super) fn marking_of_report(&self, report: usize, members: &Members) -> PartialMarking {
        let own = self.markings[report];
        if own.tlp.is_some() {
            return own;
        }
        let all = members.inside.iter().chain(&members.left_out);
        let content = all.filter(|at| self.objects[**at].indicator().is_some());
        PartialMarking::of_parts(content.map(|at| self.markings[*at])).raised_to(own)
    }

    /// The objects of a report by their markings, which are no looser than the report's own.
    pub(super) fn groups_of_report(
        &self,
        report: usize,
        whole: PartialMarking,
        members: &Members,
    ) -> Vec<Group> {
        let own = self.markings[report];
        self.groups(&members.inside, |at| match () {
            () if at == report => whole,
            () if own.tlp.is_some() => own.raised_to(self.markings[at]),
            // Context without a marking goes with the report, and binds nobody.
            () if self.markings[at].tlp.is_none() => whole.raised_to(self.markings[at]).raised_to(own),
            () => self.markings[at].raised_to(own),
        })
    }

    /// The objects of a list by their markings.
    pub(super) fn groups_of_rest(&self, rest: &BTreeSet<usize>) -> Vec<Group> {
        self.groups(rest, |at| self.markings[at])
    }

    fn groups(&self, inside: &BTreeSet<usize>, marking: impl Fn(usize) -> PartialMarking) -> Vec<Group> {
        let (support, content): (Vec<usize>, Vec<usize>) =
            inside.iter().partition(|at| is_support(&self.objects[**at].kind));
        let mut groups: BTreeMap<PartialMarking, BTreeSet<usize>> = BTreeMap::new();
        for at in content {
            groups.entry(marking(at)).or_default().insert(at);
        }
        let mut groups: Vec<Group> =
            groups.into_iter().map(|(marking, members)| Group { marking, members }).collect();
        let mut referred = BTreeSet::new();
        for group in &mut groups {
            let explaining = self.explaining(group);
            referred.extend(explaining.iter().copied());
            group.members.extend(explaining);
        }
        // What nothing refers to goes with most of the rest, where it may.
        for at in support.into_iter().filter(|at| !referred.contains(at)) {
            let fitting = groups.iter_mut().filter(|group| self.markings[at].fits(&group.marking));
            if let Some(largest) = fitting.max_by_key(|group| group.members.len()) {
                largest.members.insert(at);
            }
        }
        groups
    }

    /// The definitions, authors and the like that a group refers to, and that may stand in it.
    fn explaining(&self, group: &Group) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open: Vec<usize> = group.members.iter().copied().collect();
        while let Some(at) = open.pop() {
            let object = &self.objects[at];
            let refs = if is_support(&object.kind) { &[][..] } else { &object.refs[..] };
            let inner = if is_support(&object.kind) { &[][..] } else { &object.members[..] };
            for id in refs.iter().chain(inner).chain(&object.creator).chain(&object.marking_refs) {
                let Some(target) = self.place.get(id) else { continue };
                let explains = is_support(&self.objects[*target].kind);
                if explains && self.markings[*target].fits(&group.marking) && found.insert(*target) {
                    open.push(*target);
                }
            }
        }
        found
    }
}
