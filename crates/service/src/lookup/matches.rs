//! What the records say that list a value: each report once, in its standing version, bounded for a request as a whole.
//!
//! A request has so many hits and so many records to look at, which its values share: one popular value gets a thousand
//! hits, a thousand names under a popular domain get twenty each. Within a value the orgs take turns, nearest match and
//! newest record first, so that nobody who lists much crowds out what others say.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use tocsin_engine::read;
use tocsin_matcher::{How, Matcher};
use tocsin_protocol::Index;
use tocsin_record::body::report::Subject;
use tocsin_record::marking::{Pap, Tlp};
use tocsin_record::observable::Observable;
use tocsin_record::{CircleId, OrgId};
use tocsin_store::{Verdict, Version, report_subject};

use super::turns::Turns;
use crate::reports::Statement;
use crate::visibility::Visibility;
use crate::{Node, NodeError};

/// Hits that the values of a request share, at about 750 bytes of answer each.
const HITS: usize = 20_000;
/// Fewest and most hits of one value.
const HITS_EACH: (usize, usize) = (4, 1_000);
/// Records that the values of a request share to be looked at, at some 20 us each.
const LOOKED: usize = 200_000;
/// Fewest and most records that are looked at for one value.
const LOOKED_EACH: (usize, usize) = (20, 10_000);
/// Statements that are remembered while a request is answered, by each of its threads.
const REMEMBERED: usize = 4_096;

/// What one value may take of what its request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    hits: usize,
    looked: usize,
}

/// What one report says of a value, and how the value matches it.
pub(super) struct Match {
    /// How.
    pub how: How,
    /// What the records list.
    pub listed: Observable,
    /// What it says of that, in each circle in which it stands: the most strictly marked first, of equal ones that in the widest
    /// circle, which tells more of what others know. Never empty.
    copies: Vec<Statement>,
}

/// What matches a value.
#[derive(Default)]
pub(super) struct Matches {
    /// What the answer is made of, the nearest matches first, then by org and report.
    pub statements: Vec<Match>,
    /// What held records say, to be counted where they are not asked for.
    pub held: Vec<Match>,
    /// Whether there is more than was looked at.
    pub more: bool,
}

/// What a request's values match that were answered already: names under one listed domain all match the same.
#[derive(Default)]
pub(super) struct Memo {
    known: BTreeMap<Vec<Listed>, Rc<Matches>>,
    statements: usize,
}

/// An observable under which a value is listed, how near that is, and as what.
type Listed = (Observable, How, Under);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Under {
    Accepted,
    Held,
}

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

/// What is gathered, each report once.
#[derive(Default)]
struct Gathered {
    statements: Found,
    held: Found,
    /// Reports that were read already: all versions of one say together what it says.
    seen: BTreeSet<(OrgId, CircleId, Subject, Observable)>,
}

type Found = BTreeMap<(OrgId, Subject, Observable), Match>;

/// The strictest first, then those that are not of the own circle, the mesh's, and by circle.
type Rank = (Reverse<Option<(Tlp, Option<Pap>)>>, bool, bool, CircleId);

impl Under {
    fn of(self, index: &Index) -> &Matcher {
        match self {
            Self::Accepted => &index.accepted,
            Self::Held => &index.held,
        }
    }
}

impl Share {
    /// The share of each of so many values.
    pub fn of(values: usize) -> Self {
        let each = |all: usize, (least, most): (usize, usize)| (all / values.max(1)).clamp(least, most);
        Self { hits: each(HITS, HITS_EACH), looked: each(LOOKED, LOOKED_EACH) }
    }
}

impl Match {
    /// The copies that the policy shows to who asks. Where it shows none, the report counts as hidden, once.
    pub fn seen(&self, visibility: &mut Visibility<'_>) -> Vec<&Statement> {
        let is_shown = |one: &&Statement| {
            one.with_view(|view| visibility.keeps(&one.standing, view).is_none()).unwrap_or(false)
        };
        let seen: Vec<&Statement> = self.copies.iter().filter(is_shown).collect();
        if seen.is_empty()
            && let Some(first) = self.copies.first()
        {
            first.with_view(|view| visibility.sees(&first.standing, view));
        }
        seen
    }

    /// The first copy: what the report says as strictly as it says it anywhere.
    fn first(&self) -> Option<&Statement> {
        self.copies.first()
    }
}

impl Memo {
    fn keep(&mut self, key: Vec<Listed>, matches: &Rc<Matches>) {
        let copies = |all: &[Match]| all.iter().map(|one| one.copies.len()).sum::<usize>();
        let more = 1 + copies(&matches.statements) + copies(&matches.held);
        if self.statements + more > REMEMBERED {
            self.known.clear();
            self.statements = 0;
        }
        self.statements += more;
        self.known.insert(key, Rc::clone(matches));
    }
}

impl Node {
    /// Who says what of a value, read as each type that it can be.
    pub(super) fn matches(
        &self,
        asked: &[Observable],
        held: bool,
        share: Share,
        memo: &mut Memo,
    ) -> Result<Rc<Matches>, NodeError> {
        let all = |under| asked.iter().flat_map(|what| self.listed(under, what)).collect::<Vec<Listed>>();
        let mut hits = all(Under::Accepted);
        let mut kept = all(Under::Held);
        let key: Vec<Listed> = hits.iter().chain(&kept).cloned().collect();
        if let Some(known) = memo.known.get(&key) {
            return Ok(Rc::clone(known));
        }
        if held {
            hits.append(&mut kept);
        }
        let wanted = match held {
            true => Wanted::Both,
            false if kept.is_empty() => Wanted::Accepted,
            false => Wanted::AcceptedAndCounted,
        };
        let mut gathered = Gathered::default();
        let mut more = !self.gather(&hits, wanted, share, &mut gathered)?;
        // After the others and apart from them, so that what is held never crowds out what is accepted.
        more |= !self.gather(&kept, Wanted::Counted, share, &mut gathered)?;
        let mut statements = self.joined(gathered.statements);
        let place = |one: &Match| one.first().map(|first| (first.standing.org, first.report.subject));
        statements.sort_by_key(|one| (one.how, place(one)));
        let matches = Rc::new(Matches { statements, held: self.joined(gathered.held), more });
        memo.keep(key, &matches);
        Ok(matches)
    }

    /// Under which observables a value is listed, the nearest first.
    fn listed(&self, under: Under, what: &Observable) -> Vec<Listed> {
        let hits = under.of(&read(&self.engine.index)).lookup(what.borrowed());
        hits.into_iter().map(|hit| (hit.observable, hit.how, under)).collect()
    }

    /// Reads the reports that list a value. False where its share did not let all of them be read.
    fn gather(
        &self,
        hits: &[Listed],
        wanted: Wanted,
        share: Share,
        gathered: &mut Gathered,
    ) -> Result<bool, NodeError> {
        // Whoever changes the index waits for a page of postings at the most.
        let page = |hit: usize, last, limit| {
            let (listed, _, under) = &hits[hit];
            under.of(&read(&self.engine.index)).postings(listed.borrowed(), last, limit)
        };
        let org_of = |log| self.engine.reader.log(log).map(|log| log.org);
        let mut turns = Turns::new(hits.len(), share.looked, page, org_of);
        for (hit, place) in turns.by_ref().take(share.looked) {
            let found = if wanted == Wanted::Counted { &gathered.held } else { &gathered.statements };
            if found.len() >= share.hits {
                return Ok(false);
            }
            let (listed, how, _) = &hits[hit];
            let Some(stored) = self.engine.reader.record(place)? else { continue };
            let (org, header) = (stored.org, &stored.entry.header);
            let Some(subject) = report_subject(&stored.entry) else { continue };
            if !gathered.seen.insert((org, header.circle, subject, listed.clone())) {
                continue;
            }
            let versions = self.engine.reader.versions(org, header.circle, subject)?;
            let one = |statement| Match { how: *how, listed: listed.clone(), copies: vec![statement] };
            let key = (org, subject, listed.clone());
            // A fingerprint may be another observable's: then nothing is said of this one.
            if wanted != Wanted::Counted
                && let Some(statement) = self.statement(&versions, listed, wanted == Wanted::Both)?
            {
                add(&mut gathered.statements, key.clone(), one(statement));
            }
            let is_held = |version: &Version| version.outcome.verdict == Verdict::Held;
            if matches!(wanted, Wanted::AcceptedAndCounted | Wanted::Counted)
                && gathered.held.len() < share.hits
                && versions.iter().any(is_held)
                && let Some(statement) = self.statement(&versions, listed, true)?
                && statement.standing.stamped.outcome.verdict == Verdict::Held
            {
                add(&mut gathered.held, key, one(statement));
            }
        }
        Ok(turns.next().is_none())
    }

    /// What was found, each report once with all its copies, also where one has another subject since it was taken back before.
    fn joined(&self, found: Found) -> Vec<Match> {
        let mut circles: BTreeMap<OrgId, BTreeSet<CircleId>> = BTreeMap::new();
        for ((org, ..), one) in &found {
            let of_org = circles.entry(*org).or_default();
            of_org.extend(one.copies.iter().map(|copy| copy.standing.entry.header.circle));
        }
        let mut before: BTreeMap<(OrgId, Subject), Subject> = BTreeMap::new();
        for (org, subject, _) in found.keys() {
            for circle in circles.get(org).filter(|circles| circles.len() > 1).into_iter().flatten() {
                let there = self.subject_of(*org, *circle, *subject);
                if there != *subject {
                    before.insert((*org, there), *subject);
                }
            }
        }
        let mut joined = Found::new();
        for ((org, subject, listed), one) in found {
            let mut root = subject;
            while let Some(earlier) = before.get(&(org, root)) {
                root = *earlier;
            }
            add(&mut joined, (org, root, listed), one);
        }
        let mut all: Vec<Match> = joined.into_values().collect();
        for one in &mut all {
            one.copies.sort_by_key(|copy| self.rank(copy));
        }
        all
    }

    /// Where a copy stands among those of its report.
    fn rank(&self, copy: &Statement) -> Rank {
        let circle = copy.standing.entry.header.circle;
        let marking = copy.report.marking.as_ref().map(|marking| (marking.tlp, marking.pap));
        let is_mesh = circle == CircleId::mesh(self.engine.mesh_id);
        (Reverse(marking), circle == self.engine.own_circle(), !is_mesh, circle)
    }
}

/// The copies of one report count once.
fn add(found: &mut Found, key: (OrgId, Subject, Observable), one: Match) {
    match found.entry(key) {
        Entry::Occupied(mut known) => known.get_mut().copies.extend(one.copies),
        Entry::Vacant(new) => _ = new.insert(one),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_bounded_as_a_whole() {
        assert_eq!(Share::of(1), Share { hits: 1_000, looked: 10_000 });
        assert_eq!(Share::of(1_000), Share { hits: 20, looked: 200 });
        for values in [1, 7, 500, 5_000, tocsin_api::types::VALUES_MAX] {
            let share = Share::of(values);
            assert!(values * share.hits <= 2 * HITS, "{values}: {share:?}");
            assert!(values * share.looked <= LOOKED, "{values}: {share:?}");
        }
    }
}
