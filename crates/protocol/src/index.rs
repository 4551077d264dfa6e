//! Where observables are listed: those of accepted records, and apart from them those of held ones; and what accepted sightings
//! and notes are about.
//!
//! An index follows what is durable: changes are gathered while records are judged and erased, and made with the commit. What a
//! record listed leaves with its body, so that nothing in memory tells of what was erased.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use tocsin_matcher::{Change, Key, Loader, Matcher, Posting, Print, Printer};
use tocsin_record::body::report::Subject;
use tocsin_record::body::{Body, BodyRef};
use tocsin_record::observable::{Observable, ObservableRef};
use tocsin_store::{Found, Left, RecordRef, Verdict};

/// Changes of an index for which room is kept between two commits.
const CHANGES_KEPT: usize = 16_384;

/// The observables of records whose bodies are here, each with the places that list it ([`RecordRef::pack`]).
#[derive(Clone, Debug)]
pub struct Index {
    /// Of accepted records.
    pub accepted: Matcher,
    /// Of held ones.
    pub held: Matcher,
    /// Accepted sightings and notes, by the values and by the reports ([`subject_key`]) that they are about.
    pub said: Matcher,
}

/// How a report is found in [`Index::said`]: by a type that no observable has.
#[must_use]
pub fn subject_key(subject: &Subject) -> ObservableRef<'_> {
    ObservableRef { kind: u16::MAX, value: &subject.0 }
}

/// What a sighting or note is about.
fn is_about<'a>(body: &'a BodyRef<'_>) -> impl Iterator<Item = ObservableRef<'a>> {
    let (what, subject) = match body {
        BodyRef::Other(Body::Sighting(sighting)) => (sighting.what.as_ref(), sighting.subject.as_ref()),
        BodyRef::Other(Body::Note(note)) => (None, Some(&note.subject)),
        BodyRef::Other(_) | BodyRef::Report(_) => (None, None),
    };
    what.map(Observable::borrowed).into_iter().chain(subject.map(subject_key))
}

/// Names of the rules by which a record is held that this node cannot read: its key did not come, or is not for this node. It is in
/// no answer.
pub(crate) const UNREAD: [&str; 2] = ["guardrail:no-key", "guardrail:carried"];

/// Fills an index while a store is opened. What was found is in it when the filler is dropped.
pub struct Filler<'a> {
    accepted: Loader<'a>,
    held: Loader<'a>,
    said: Loader<'a>,
}

/// Changes that wait for what they rest on to be durable.
#[derive(Default)]
pub(crate) struct Changes {
    accepted: Vec<Change>,
    held: Vec<Change>,
    said: Vec<Change>,
}

/// An index and what is to become of it.
pub(crate) struct Following {
    printer: Printer,
    shared: Arc<RwLock<Index>>,
    soon: Changes,
}

impl Index {
    /// An empty one under a key.
    #[must_use]
    pub fn new(key: &Key) -> Self {
        Self { accepted: Matcher::new(key), held: Matcher::new(key), said: Matcher::new(key) }
    }

    /// What fills it while a store is opened.
    pub fn filler(&mut self) -> Filler<'_> {
        Filler {
            accepted: Loader::new(&mut self.accepted),
            held: Loader::new(&mut self.held),
            said: Loader::new(&mut self.said),
        }
    }
}

impl Filler<'_> {
    /// Adds a record that was found.
    pub fn add(&mut self, found: &Found<'_>) {
        let index = match found.stamped.outcome.verdict {
            Verdict::Accepted => &mut self.accepted,
            Verdict::Held => &mut self.held,
            Verdict::Unjudged | Verdict::Refused => return,
        };
        // Its key came, and the node stopped before it was judged: until it is, it is in no answer.
        let waits = UNREAD.contains(&found.rule);
        let Some((kind, body)) = found.body.filter(|_| !waits) else { return };
        if let Ok(body) = BodyRef::again_as(found.header, kind, body) {
            for what in body.observables() {
                index.insert(what, found.place.pack());
            }
            if found.stamped.outcome.verdict == Verdict::Accepted {
                for what in is_about(&body) {
                    self.said.insert_any(what, found.place.pack());
                }
            }
        }
    }
}

impl Following {
    pub fn new(index: Index) -> Self {
        Self {
            printer: index.accepted.printer(),
            shared: Arc::new(RwLock::new(index)),
            soon: Changes::default(),
        }
    }

    pub fn shared(&self) -> Arc<RwLock<Index>> {
        Arc::clone(&self.shared)
    }

    /// Lists what a record says, whose body is here under this verdict, with the next commit.
    pub fn list(&mut self, place: RecordRef, body: &BodyRef<'_>, verdict: Verdict) {
        self.change(place, body, verdict, Change::Add);
    }

    /// Lists it no longer, from the next commit on.
    pub fn unlist(&mut self, place: RecordRef, body: &BodyRef<'_>, verdict: Verdict) {
        self.change(place, body, verdict, Change::Remove);
    }

    fn change(
        &mut self,
        place: RecordRef,
        body: &BodyRef<'_>,
        verdict: Verdict,
        change: fn(Print, Posting) -> Change,
    ) {
        let changes = match verdict {
            Verdict::Accepted => &mut self.soon.accepted,
            Verdict::Held => &mut self.soon.held,
            Verdict::Unjudged | Verdict::Refused => return,
        };
        let prints = body.observables().filter_map(|what| self.printer.print(what).ok());
        changes.extend(prints.map(|print| change(print, place.pack())));
        if verdict == Verdict::Accepted {
            let prints = is_about(body).map(|what| self.printer.print_of(what));
            self.soon.said.extend(prints.map(|print| change(print, place.pack())));
        }
    }

    /// Lists nothing more of a record whose body is not here any more, whatever it was since.
    pub fn forget(&mut self, left: &Left) {
        let Some((kind, body)) = &left.body else { return };
        if let Ok(body) = BodyRef::again_as(&left.header, *kind, body) {
            self.unlist(left.place, &body, Verdict::Accepted);
            self.unlist(left.place, &body, Verdict::Held);
        }
    }

    /// Makes the changes that wait: what they rest on is durable.
    pub fn follow(&mut self) {
        let Changes { accepted, held, said } = &mut self.soon;
        if accepted.is_empty() && held.is_empty() && said.is_empty() {
            return;
        }
        let mut index = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        index.accepted.apply(accepted.drain(..));
        index.held.apply(held.drain(..));
        index.said.apply(said.drain(..));
        drop(index);
        accepted.shrink_to(CHANGES_KEPT);
        held.shrink_to(CHANGES_KEPT);
        said.shrink_to(CHANGES_KEPT);
    }
}

/// Locks an index for reading; a reader that panicked left nothing half done.
pub fn read(index: &RwLock<Index>) -> RwLockReadGuard<'_, Index> {
    index.read().unwrap_or_else(PoisonError::into_inner)
}
