//! Who of those that records go to signed for them: `publish --wait` and `share --wait`.
//!
//! What counts is the partner's own signed receipt by which the body is there, whatever became of it: that it has the header says
//! nothing of what stands in it. A partner is an org, which has signed when one of its nodes has, for all records that go to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tocsin_api::types::{WaitRequest, Waited, WaitedFor};
use tocsin_protocol::Directory;
use tocsin_record::{CircleId, OrgId};
use tocsin_store::{Acknowledgement, Fate, RecordRef};

use super::acknowledged::fate_name;
use super::{Node, NodeError};

/// Most records that are waited for together.
const RECORDS_MAX: usize = 1_024;
/// Most ms that one request waits: who waits longer asks again.
const WAIT_MAX_MS: u64 = 30_000;
/// How often it is looked for receipts, which come once a second at most.
const LOOK: Duration = Duration::from_millis(25);

/// One record that is waited for.
struct Waiting {
    place: RecordRef,
    /// When it was written, in ms.
    written: u64,
    orgs: BTreeSet<OrgId>,
}

/// What an org said: of the record that took it longest.
#[derive(Clone, Copy)]
struct Signed {
    after_ms: i64,
    fate: Fate,
}

impl Node {
    /// Refuses to wait for orgs that a report in these circles does not go to.
    ///
    /// # Errors
    /// With the name of the org.
    pub(super) fn check_waited(
        &self,
        names: &[String],
        circles: &BTreeSet<CircleId>,
    ) -> Result<(), NodeError> {
        let directory = self.engine.directory();
        for (name, org) in named(&directory, names)? {
            let is_in = |circle: &CircleId| directory.membership(*circle).has(org);
            if org == self.engine.org() || !circles.iter().any(is_in) {
                return Err(NodeError::Request(format!(
                    "nothing was written: `{name}` is not asked to sign, since it is in none of these circles as another \
                     org (`tocsin circle list`, `tocsin mesh show`)"
                )));
            }
        }
        Ok(())
    }

    /// Waits until all that records go to, or those of them that are named, signed for them, or the time is over.
    ///
    /// # Errors
    /// When there is no such record, or too many wait.
    pub async fn wait_for_receipts(self: &Arc<Self>, request: WaitRequest) -> Result<Waited, NodeError> {
        let Ok(_room) = Arc::clone(&self.watchers).try_acquire_owned() else {
            return Err(NodeError::Request(
                "as many wait or watch as `limits.watchers` of config.toml allows: what was written is written, and \
                 `tocsin show` tells who signed for it"
                    .to_owned(),
            ));
        };
        let until = tokio::time::Instant::now() + Duration::from_millis(request.wait_ms.min(WAIT_MAX_MS));
        let waiting = Arc::new(self.apart(move |node| node.waited(&request)).await?);
        loop {
            let asked = Arc::clone(&waiting);
            let waited = self.apart(move |node| node.who_signed(&asked)).await?;
            if waited.all || waited.partners.is_empty() || tokio::time::Instant::now() >= until {
                return Ok(waited);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The records of a request, and whom each goes to by the policy in force. Reads the disk.
    fn waited(&self, request: &WaitRequest) -> Result<Vec<Waiting>, NodeError> {
        if request.records.len() > RECORDS_MAX {
            return Err(NodeError::Request(format!("at most {RECORDS_MAX} records are waited for together")));
        }
        let directory = self.engine.directory();
        let named: BTreeSet<OrgId> =
            named(&directory, &request.orgs)?.into_iter().map(|(_, org)| org).collect();
        let decisions = self.decisions(&directory);
        let (own, now) = (self.engine.org(), self.passed_ms());
        let mut waiting = Vec::new();
        for word in &request.records {
            let place = self.find(word)?;
            let why = tocsin_protocol::Why::of(&self.engine.reader, &directory, &decisions, own, now, place)?;
            let why = why.ok_or_else(|| NodeError::NotFound(format!("record {word} is gone")))?;
            let goes = why.forward.iter().map(|(org, _)| *org).filter(|org| {
                // One that is named is waited for also where it gets the header alone, so that it is told.
                if named.is_empty() { self.may_have(&why, *org).0 } else { named.contains(org) }
            });
            let (orgs, written) = (goes.collect(), why.stored.entry.header.time);
            waiting.push(Waiting { place, written, orgs });
        }
        Ok(waiting)
    }

    /// Who signed so far. Reads the disk.
    fn who_signed(&self, waiting: &[Waiting]) -> Result<Waited, NodeError> {
        let directory = self.engine.directory();
        let mut partners: BTreeMap<OrgId, Option<Signed>> = BTreeMap::new();
        for one in waiting {
            let mut said: BTreeMap<OrgId, Signed> = BTreeMap::new();
            for (node, acknowledged) in self.engine.reader.acknowledged(one.place)? {
                let (Some(org), Some(at)) = (directory.org_of(node), has_it_since(&acknowledged)) else {
                    continue;
                };
                let signed = Signed { after_ms: between(one.written, at), fate: acknowledged.is };
                let first = said.entry(org).or_insert(signed);
                if signed.after_ms < first.after_ms {
                    *first = signed;
                }
            }
            for org in &one.orgs {
                let now = said.get(org).copied();
                let slowest = partners.entry(*org).or_insert(now);
                *slowest = match (*slowest, now) {
                    (Some(before), Some(now)) => {
                        Some(if now.after_ms > before.after_ms { now } else { before })
                    }
                    _ => None,
                };
            }
        }
        let linked: BTreeSet<OrgId> = directory
            .nodes()
            .filter(|(_, certificate)| self.engine.links.is_linked(&certificate.transport_key()))
            .map(|(_, certificate)| certificate.org)
            .collect();
        let told = |(org, signed): (&OrgId, &Option<Signed>)| WaitedFor {
            org: self.org_name(&directory, *org),
            signed: signed.is_some(),
            said: signed.map(|signed| fate_name(signed.fate).to_owned()),
            after_ms: signed.map(|signed| signed.after_ms),
            connected: linked.contains(org),
        };
        Ok(summed_up(partners.iter().map(told).collect()))
    }
}

/// The orgs of these names.
fn named<'n>(directory: &Directory, names: &'n [String]) -> Result<Vec<(&'n str, OrgId)>, NodeError> {
    let org = |name: &'n String| {
        let org = directory.charter().org_named(name).map(|org| (name.as_str(), org.root));
        org.ok_or_else(|| {
            let name = tocsin_text::cut(name, 80);
            NodeError::Request(format!("there is no org `{name}` in the mesh: `tocsin mesh show` lists them"))
        })
    };
    names.iter().map(org).collect()
}

/// Since when, by its own word, a partner's node has the body, or had: a header alone is nothing to sign for.
fn has_it_since(said: &Acknowledgement) -> Option<u64> {
    if said.was != Fate::HeaderOnly {
        return Some(said.first);
    }
    said.accepted.or((said.is != Fate::HeaderOnly).then_some(said.since))
}

fn between(from: u64, to: u64) -> i64 {
    let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    signed(to) - signed(from)
}

/// With the middle, the slowest of twenty and the slowest of those who signed, by nearest rank.
fn summed_up(partners: Vec<WaitedFor>) -> Waited {
    let mut signed: Vec<(i64, &str)> =
        partners.iter().filter_map(|one| Some((one.after_ms?, one.org.as_str()))).collect();
    signed.sort_unstable();
    let rank = |hundredths: usize| {
        let at = (signed.len() * hundredths).div_ceil(100).checked_sub(1)?;
        signed.get(at).map(|(ms, _)| *ms)
    };
    Waited {
        all: !partners.is_empty() && partners.iter().all(|one| one.signed),
        p50_ms: rank(50),
        p95_ms: rank(95),
        slowest: signed.last().map(|(_, org)| (*org).to_owned()),
        partners,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_long_is_told_by_rank() {
        let one = |n: i64, signed: bool| WaitedFor {
            org: format!("org{n}"),
            signed,
            after_ms: signed.then_some(n),
            ..WaitedFor::default()
        };
        let waited = summed_up((1..=40).rev().map(|n| one(n, true)).collect());
        assert_eq!((waited.p50_ms, waited.p95_ms), (Some(20), Some(38)));
        assert_eq!((waited.slowest.as_deref(), waited.all), (Some("org40"), true));
        let waited = summed_up(vec![one(7, true), one(9, false)]);
        assert_eq!((waited.p50_ms, waited.p95_ms, waited.all), (Some(7), Some(7), false));
        let nobody = summed_up(vec![]);
        assert_eq!((nobody.p50_ms, nobody.slowest, nobody.all), (None, None, false), "nobody is not all");
    }

    #[test]
    fn who_has_the_header_alone_has_not_signed() {
        let said =
            |was, accepted, is, since| has_it_since(&Acknowledgement { first: 5, accepted, since, was, is });
        assert_eq!(said(Fate::HeaderOnly, None, Fate::HeaderOnly, 5), None);
        assert_eq!(said(Fate::HeaderOnly, Some(9), Fate::Gone, 12), Some(9));
        assert_eq!(said(Fate::HeaderOnly, None, Fate::KeptBack, 7), Some(7));
        assert_eq!(said(Fate::Accepted, Some(5), Fate::Accepted, 5), Some(5));
        assert_eq!(said(Fate::KeptBack, None, Fate::KeptBack, 5), Some(5));
    }
}
