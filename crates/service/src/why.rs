//! `why`: the judgement of a record, who may have its body, and who acknowledged its header.

use std::sync::Arc;

use tocsin_api::types::{DecidedHere, PeerWhy, RuleText, Time, Why};
use tocsin_protocol::judge::body_view;
use tocsin_protocol::{Directory, Why as CoreWhy};
use tocsin_record::document::Certificate;
use tocsin_record::{NodeKey, OrgId};
use tocsin_store::{BodyState, Stored};

use super::show::body_name;
use super::visibility::Visibility;
use super::{Caller, Node, NodeError};

/// Which nodes signed that they hold a record's header, and when they had it, in ms.
pub(super) type HeldBy = Vec<(NodeKey, u64)>;

impl Node {
    /// Why a record is as it is, and who may have it, by the policy in force.
    ///
    /// # Errors
    /// When there is no such record, or the core has ended.
    pub async fn why(self: &Arc<Self>, caller: Caller, word: &str) -> Result<Why, NodeError> {
        caller.check()?;
        let (why, held_by) = self.core_why(word).await?;
        self.apart(move |node| node.told_why(why, &held_by, &caller)).await
    }

    /// What the protocol says, for people. Reads the disk.
    fn told_why(&self, why: CoreWhy, held_by: &HeldBy, caller: &Caller) -> Result<Why, NodeError> {
        let directory = self.engine.directory();
        let peers = self.peers_why(&directory, &why, held_by);
        let stored = &why.stored;
        let came_by = match why.from {
            None => "self".to_owned(),
            Some(node) => match directory.org_of(node) {
                Some(org) => {
                    format!("{} ({})", self.org_name(&directory, org), self.node_name(&directory, node))
                }
                None => node.to_string(),
            },
        };
        // The title is the body's: it is told to those only who may see that.
        let mut visibility = Visibility::new(self, &directory, caller);
        let body = self.body(stored).filter(|body| visibility.sees(stored, &body_view(body)));
        caller.note("why", &[stored.entry.id]);
        let record = self.entry_alone(&directory, stored, body.as_ref())?;
        // Why somebody decided so may name what the record says.
        let is_kept = visibility.hidden.records > 0;
        let decided = self.decided_here(stored)?.map(|decided| {
            let reason = if is_kept { String::new() } else { decided.reason };
            DecidedHere { reason, ..decided }
        });
        // What the rules see now speaks for the judgement only while it comes out the same.
        let now = why.now.filter(|now| now.rule == why.rule);
        let saw: serde_json::Map<String, serde_json::Value> = now
            .iter()
            .flat_map(|now| &now.saw)
            .map(|(name, value)| (name.clone(), value.clone().into()))
            .collect();
        let (rules, errors) = now.map_or_else(
            || (vec![why.rule.clone()], Vec::new()),
            |now| {
                let errors = now.errors.into_iter().map(|(rule, error)| format!("{rule}: {error}")).collect();
                (now.determining, errors)
            },
        );
        let policy = self.policy.get();
        let text = |rule: &String| {
            let (comment, text) = policy.says(rule)?;
            Some(RuleText { rule: rule.clone(), comment: comment.to_owned(), text: text.to_owned() })
        };
        // A guardrail or the default decides without any rule.
        let mut said = rules.clone();
        if !said.contains(&why.rule) {
            said.insert(0, why.rule);
        }
        let texts = said.iter().filter_map(text).collect();
        Ok(Why {
            record,
            hidden: std::mem::take(&mut visibility.hidden),
            saw: saw.into(),
            rules,
            texts,
            errors,
            came_by,
            decided,
            peers,
        })
    }

    /// Why a record is as it is, asked beside the core, and who holds it, which only the core knows.
    pub(super) async fn core_why(self: &Arc<Self>, word: &str) -> Result<(CoreWhy, HeldBy), NodeError> {
        let word = word.to_owned();
        let (place, why, said) = self
            .apart(move |node| {
                let place = node.find(&word)?;
                let directory = node.engine.directory();
                let decisions = node.decisions(&directory);
                let now = node.passed_ms();
                let why =
                    CoreWhy::of(&node.engine.reader, &directory, &decisions, node.engine.org(), now, place)?;
                let why = why.ok_or_else(|| NodeError::NotFound("the record is gone".to_owned()))?;
                Ok((place, why, node.engine.reader.acknowledged(place)?))
            })
            .await?;
        // What the store has of it outlives the newest receipts, which the core knows.
        let mut held_by: HeldBy = said.into_iter().map(|(node, said)| (node, said.first)).collect();
        held_by.extend(self.engine.core.look(move |mesh| mesh.held_by(place)).await?);
        Ok((why, held_by))
    }

    /// What each other node of the record's circle may have of it, and acknowledged of it.
    fn peers_why(&self, directory: &Directory, why: &CoreWhy, held_by: &HeldBy) -> Vec<PeerWhy> {
        let body = why.stored.stamped.outcome.body;
        self.others_in(directory, &why.stored)
            .map(|(node, certificate)| {
                let (allowed, rule) = match body {
                    BodyState::Here => self.may_have(why, certificate.org),
                    // Whatever the policy would say: there is nothing to pass on.
                    _ => (false, format!("body-{}", body_name(body))),
                };
                let since = held_by.iter().find(|(holder, _)| *holder == node).map(|(_, time)| *time);
                PeerWhy {
                    org: self.org_name(directory, certificate.org),
                    node: certificate.node.clone(),
                    allowed,
                    rule,
                    connected: self.engine.links.is_linked(&certificate.transport_key()),
                    acknowledged: Time(since.unwrap_or(0)),
                }
            })
            .collect()
    }

    /// The other nodes of a record's circle.
    pub(super) fn others_in<'a>(
        &self,
        directory: &'a Directory,
        stored: &Stored,
    ) -> impl Iterator<Item = (NodeKey, &'a Certificate)> {
        let (own, circle) = (self.engine.identity.node(), stored.entry.header.circle);
        directory.membership(circle).nodes().filter(move |(node, _)| *node != own)
    }

    /// Whether an org may have the body of a record, and by which rule.
    pub(super) fn may_have(&self, why: &CoreWhy, org: OrgId) -> (bool, String) {
        match why.forward.iter().find(|(other, _)| *other == org) {
            Some((_, said)) => (said.ruling == tocsin_policy::Ruling::Accept, said.rule.clone()),
            None if org == self.engine.org() => (true, "own-org".to_owned()),
            None if org == why.stored.org => (false, "its-author".to_owned()),
            None => (false, "not-accepted-here".to_owned()),
        }
    }
}
