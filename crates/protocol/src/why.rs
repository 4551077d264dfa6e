//! Why a record was judged as it was, and to whom its body may go: answered beside the core, from what is committed.

use tocsin_policy::{Decisions, Explanation, Question, RecordFacts};
use tocsin_record::body::BodyRef;
use tocsin_record::{NodeKey, OrgId};
use tocsin_store::{Kv, Reader, RecordRef, Slots, StoreError, Stored, Verdict};

use crate::admission::judge::{LogFacts, new_body_ref_view, org_facts};
use crate::directory::Directory;

/// Why a record was judged as it was, and who may have it.
#[derive(Clone, Debug)]
pub struct Why {
    /// The record with its outcome.
    pub stored: Stored,
    /// The rule that decided when it was judged.
    pub rule: String,
    /// The node that it came from; `None` if it was written here.
    pub from: Option<NodeKey>,
    /// The judgement as it would be now, with what the rules saw; `None` while the body is not here.
    pub now: Option<Explanation>,
    /// For each other org of the record's circle, whether its body may go there, and why.
    pub forward: Vec<(OrgId, Explanation)>,
}

impl Why {
    /// Of the record at a place, for a node of the org `own`, at the time `now_ms`. Each other org of the circle is asked
    /// of the policy, some ten microseconds each. `None` if there is no such record.
    ///
    /// # Errors
    /// On a disk fault.
    pub fn of<K: Kv, S: Slots>(
        reader: &Reader<K, S>,
        directory: &Directory,
        decisions: &Decisions,
        own: OrgId,
        now_ms: u64,
        place: RecordRef,
    ) -> Result<Option<Self>, StoreError> {
        let Some(stored) = reader.record(place)? else {
            return Ok(None);
        };
        let header = &stored.entry.header;
        let log = LogFacts::of(directory, header.author, header.circle);
        let body = BodyRef::of(&stored.entry).and_then(Result::ok);
        let view = body.as_ref().map(new_body_ref_view);
        let facts = RecordFacts {
            header: log.entry(&stored.entry, now_ms),
            body: view.as_ref().map(tocsin_policy::BodyView::facts),
            disputed: stored.disputed,
        };
        let now = view.is_some().then(|| decisions.explain(&Question::Judge(&facts)));
        let outcome = stored.stamped.outcome;
        let rule = reader.rule(outcome.rule).unwrap_or_default();
        let mut forward = Vec::new();
        if outcome.verdict == Verdict::Accepted || rule == Decisions::newer_hold() {
            let members = directory.membership(header.circle).members();
            for other in members.filter(|org| *org != own && *org != stored.org) {
                let peer = org_facts(directory, other);
                forward.push((other, decisions.explain(&Question::Forward(&facts, &peer))));
            }
        }
        let from = if outcome.from == 0 { None } else { reader.peer(outcome.from) };
        Ok(Some(Self { rule, from, stored, now, forward }))
    }
}
