//! What was really written: every record that any author signed, taken from the author's own store after the commit
//! that made it durable, or from the liar that signed it. The oracles measure everything against this.

use std::collections::BTreeMap;

use bytes::Bytes;
use tocsin_record::body::report::Subject;
use tocsin_record::body::{self, Body};
use tocsin_record::header::Class;
use tocsin_record::marking::Countries;
use tocsin_record::observable::Observable;
use tocsin_record::{Entry, LogKey, RecordId};

use crate::cast::Cast;
use crate::rules::Facts;

/// A record as its author wrote it.
#[derive(Clone, Debug)]
pub struct Truth {
    /// The log in which its author wrote it.
    pub log: LogKey,
    /// Its place in the log, from 1.
    pub seq: u64,
    /// The hash of its header.
    pub id: RecordId,
    /// The node that wrote it.
    pub author: usize,
    /// Where it is addressed to.
    pub circle: usize,
    /// The version of the circle's roster that it names.
    pub roster: u32,
    /// What policies can know of it.
    pub facts: Facts,
    /// Its body.
    pub body: Bytes,
    /// For reports: which.
    pub subject: Option<Subject>,
    /// For reports: the version that it replaces.
    pub supersedes: Option<RecordId>,
    /// For reports: what it lists.
    pub observables: Vec<Observable>,
    /// For retractions: of which report.
    pub retracts: Option<Subject>,
    /// When it was written, by its author's clock, in ms.
    pub time: u64,
    /// Expiry by its header, in ms, 0 for never.
    pub expires: u64,
    /// Until when its marking lets it be kept, in ms, 0 for ever.
    pub retain: u64,
    /// When it was first seen, in virtual microseconds.
    pub at_us: u64,
}

impl Truth {
    /// When it ends, by its header or its marking, in ms.
    #[must_use]
    pub fn lapses(&self) -> Option<u64> {
        [self.expires, self.retain].into_iter().filter(|time| *time != 0).min()
    }
}

/// All that was written.
#[derive(Debug, Default)]
pub struct Registry {
    all: Vec<Truth>,
    by_place: BTreeMap<(LogKey, u64), Vec<usize>>,
    by_id: BTreeMap<RecordId, usize>,
}

impl Registry {
    /// Takes a record that its author just wrote. True if it is the second at its place: the author forked its log.
    pub fn add(&mut self, cast: &Cast, entry: &Entry, at_us: u64) -> bool {
        let (header, id) = (&entry.header, entry.id);
        if self.by_id.contains_key(&id) {
            return false;
        }
        let (Some(&author), Some(&circle)) =
            (cast.node_of.get(&header.author), cast.circle_of.get(&header.circle))
        else {
            return false;
        };
        let truth = truth(cast, entry, author, circle, at_us);
        let place = self.by_place.entry((truth.log, truth.seq)).or_default();
        place.push(self.all.len());
        let forked = place.len() > 1;
        self.by_id.insert(id, self.all.len());
        self.all.push(truth);
        forked
    }

    /// The record with this id.
    #[must_use]
    pub fn get(&self, id: &RecordId) -> Option<&Truth> {
        self.by_id.get(id).map(|at| &self.all[*at])
    }

    /// The record of a place whose body this is; any of that place if none is, `None` if nobody wrote there.
    #[must_use]
    pub fn at(&self, log: &LogKey, seq: u64, body: &[u8]) -> Option<RecordId> {
        let place = self.by_place.get(&(*log, seq))?;
        let found = place.iter().find(|at| self.all[**at].body == body).or_else(|| place.first())?;
        Some(self.all[*found].id)
    }

    /// The record of a place where only one was written.
    #[must_use]
    pub fn only_at(&self, log: &LogKey, seq: u64) -> Option<RecordId> {
        match self.by_place.get(&(*log, seq))?.as_slice() {
            [only] => Some(self.all[*only].id),
            _ => None,
        }
    }

    /// Whether the org of a report took it back in its circle.
    #[must_use]
    pub fn is_taken_back(&self, report: &Truth, subject: Subject) -> bool {
        let same = |truth: &&Truth| {
            (truth.facts.author, truth.circle, truth.retracts)
                == (report.facts.author, report.circle, Some(subject))
        };
        self.all.iter().any(|truth| same(&truth))
    }

    /// All records, in the order in which they were written.
    #[must_use]
    pub fn all(&self) -> &[Truth] {
        &self.all
    }

    /// The lowest number of a log that was given twice.
    #[must_use]
    pub fn fork_of(&self, log: &LogKey) -> Option<u64> {
        let places = self.by_place.range((*log, 0)..=(*log, u64::MAX));
        places.filter(|(_, records)| records.len() > 1).map(|((_, seq), _)| *seq).next()
    }

    /// Whether any log of an author in a circle is forked.
    #[must_use]
    pub fn author_forked(&self, log: &LogKey) -> bool {
        let first = LogKey { epoch: 0, ..*log };
        let last = LogKey { epoch: u64::MAX, ..*log };
        let mut places = self.by_place.range((first, 0)..=(last, u64::MAX));
        places.any(|(_, records)| records.len() > 1)
    }
}

fn truth(cast: &Cast, entry: &Entry, author: usize, circle: usize, at_us: u64) -> Truth {
    let (header, id) = (&entry.header, entry.id);
    let body = Body::of(entry).and_then(Result::ok).unwrap_or(Body::Newer);
    let marking = body.marking();
    let (mut confidence, mut indicators) = (None, 0);
    let (mut supersedes, mut observables) = (None, Vec::new());
    if let Body::Report(report) = &body {
        supersedes = report.supersedes;
        observables = report.indicators.iter().map(|indicator| indicator.what.clone()).collect();
        confidence = report.indicators.iter().filter_map(|indicator| indicator.confidence).max();
        indicators = u32::try_from(report.indicators.len()).unwrap_or(u32::MAX);
    }
    let org = cast.nodes[author].org;
    let facts = Facts {
        author: org,
        author_kind: cast.orgs[org].entry.kind_name(),
        kind: match body.kind() {
            Some(body::REPORT) => "report",
            Some(body::SIGHTING) => "sighting",
            Some(body::NOTE) => "note",
            _ => "unknown",
        },
        circle: cast.circles[circle].kind,
        tlp: marking.map_or(0, |marking| marking.tlp.code()),
        personal: marking.map_or(0, |marking| marking.personal.code()),
        confidence,
        indicators,
        countries: marking.map_or(Countries::Any, |marking| marking.countries.clone()),
        newer: body.is_newer(),
        content: header.class == Class::Content,
        sealed: header.suite != 0,
    };
    Truth {
        log: header.log(),
        seq: header.seq,
        id,
        author,
        circle,
        roster: header.roster,
        facts,
        subject: if let Body::Report(report) = &body { Some(report.subject) } else { None },
        supersedes,
        observables,
        retracts: if let Body::Retraction(retraction) = &body { Some(retraction.subject) } else { None },
        time: header.time,
        expires: header.expires,
        retain: marking.and_then(|marking| marking.retain_until).unwrap_or(0),
        body: entry.body().cloned().unwrap_or_default(),
        at_us,
    }
}
