//! Who got an own record: what each partner's node acknowledged, first and last, also of what was taken back since.

use std::collections::BTreeMap;
use std::sync::Arc;

use tocsin_api::types::{Acknowledged, Time};
use tocsin_protocol::Why as CoreWhy;
use tocsin_record::NodeKey;
use tocsin_store::{Acknowledgement, BodyState, Fate};

use super::why::HeldBy;
use super::{Node, NodeError};

/// The word for what became of a record at a partner.
pub(super) fn fate_name(fate: Fate) -> &'static str {
    match fate {
        Fate::Accepted => "accepted",
        Fate::KeptBack => "kept back",
        Fate::HeaderOnly => "header only",
        Fate::Gone => "gone",
    }
}

impl Node {
    /// Who acknowledged a record of this node's own, and who did not yet; empty for others' records.
    ///
    /// # Errors
    /// When there is no such record, or the core has ended.
    pub async fn acknowledged_by(self: &Arc<Self>, word: &str) -> Result<Vec<Acknowledged>, NodeError> {
        let (why, held_by) = self.core_why(word).await?;
        if why.stored.entry.header.author != self.engine.identity.node() {
            return Ok(Vec::new());
        }
        self.apart(move |node| node.told_acknowledged(&why, &held_by)).await
    }

    /// What is kept of it, for people: the nodes that are in its circle now, then those that were. Reads the disk.
    fn told_acknowledged(&self, why: &CoreWhy, held_by: &HeldBy) -> Result<Vec<Acknowledged>, NodeError> {
        let stored = &why.stored;
        let directory = self.engine.directory();
        let reader = &self.engine.reader;
        let mut said: BTreeMap<NodeKey, Acknowledgement> =
            reader.acknowledged(stored.place)?.into_iter().collect();
        let retraction = match self.retraction_of(stored)? {
            Some(retraction) => reader.acknowledged(retraction.place)?,
            None => Vec::new(),
        };
        let written = stored.entry.header.time;
        let row = |node: NodeKey, said: Option<Acknowledgement>| {
            let time = |of: &[(NodeKey, Acknowledgement)]| {
                of.iter().find(|(known, _)| *known == node).map_or(0, |(_, said)| said.first)
            };
            let signed = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
            // A receipt whose record of it was lost still says that the header is there.
            let header = held_by.iter().find(|(known, _)| *known == node).map(|(_, time)| *time);
            let first = said.map(|said| said.first).or(header);
            Acknowledged {
                org: directory.org_of(node).map(|org| self.org_name(&directory, org)).unwrap_or_default(),
                node: self.node_name(&directory, node),
                time: Time(first.unwrap_or(0)),
                after_ms: first.map(|first| signed(first) - signed(written)),
                first: said.map(|said| fate_name(said.was).to_owned()),
                accepted: Time(said.and_then(|said| said.accepted).unwrap_or(0)),
                now: said.map(|said| fate_name(said.is).to_owned()),
                since: Time(said.map_or(0, |said| said.since)),
                retraction: Time(time(&retraction)),
                header_only: None,
            }
        };
        let mut rows = Vec::new();
        for (node, certificate) in self.others_in(&directory, stored) {
            let (allowed, rule) = self.may_have(why, certificate.org);
            let is_here = stored.stamped.outcome.body == BodyState::Here;
            let header_only = (is_here && !allowed).then_some(rule);
            rows.push(Acknowledged { header_only, ..row(node, said.remove(&node)) });
        }
        rows.extend(said.into_iter().map(|(node, said)| row(node, Some(said))));
        Ok(rows)
    }
}
