//! What a node knows of itself and of the mesh: peers, heights, what is missing, who is silent, who has what.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_record::{CircleId, LogKey, NodeKey, OrgId};
use tocsin_store::{Counts, Kv, LogInfo, LogNo, RecordRef, Slots, Standing};

use crate::clock::Reading;
use crate::io::LinkId;
use crate::links::link::Link;
use crate::mesh::Mesh;

/// The state of a node at one moment.
#[derive(Clone, Debug)]
pub struct Status {
    /// What is to be thought of this machine's clock.
    pub clock: Reading,
    /// The time as far as it is known, in ms.
    pub time: u64,
    /// The latest time that may be taken to have come, in ms: what ended by it is not shown.
    pub passed: u64,
    /// Links, in the lobby and in.
    pub peers: Vec<PeerStatus>,
    /// Every org of the mesh, this one included, in order of name.
    pub orgs: Vec<OrgStatus>,
    /// Logs, in order of their numbers.
    pub logs: Vec<LogStatus>,
    /// Records of each sort.
    pub counts: Counts,
    /// Wanted bodies that a peer announced and that have not come.
    pub announced: usize,
    /// Logs of which peers hold more than this node.
    pub behind: usize,
    /// Whether records are being judged anew.
    pub rejudging: bool,
    /// Rules whose evaluation failed, with how often.
    pub policy_errors: Vec<(String, u64)>,
}

/// One link.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// The number that the network side gave it.
    pub link: LinkId,
    /// Whose it is, once it is in.
    pub node: Option<NodeKey>,
    /// Of which org.
    pub org: Option<OrgId>,
    /// Round trip in ms.
    pub rtt_ms: u64,
    /// Whether its outbox is full.
    pub slow: bool,
}

/// What is known of one org.
#[derive(Clone, Debug)]
pub struct OrgStatus {
    /// The org's root key.
    pub org: OrgId,
    /// Its name by the charter.
    pub name: String,
    /// When any of its nodes was last heard of, in ms; `None` if never: by its own signed word, or by agreeing
    /// with this node, on a quiet link of its own, on all headers that the two share.
    pub heard: Option<u64>,
    /// Since then, in ms by this node's monotonic clock.
    pub silent_ms: Option<u64>,
    /// Headers that exist by its own word and that this node lacks.
    pub missing_headers: u64,
    /// Of them, those of nodes that on a live link did not give them in ten minutes.
    pub not_given: Vec<(NodeKey, u64)>,
    /// Its bodies that are wanted and announced by somebody.
    pub missing_bodies: u64,
    /// Its bodies that are wanted and that nobody announced: kept from this node, or from all that it is linked to.
    pub withheld: u64,
    /// Until when nothing of it is missing, by its own word, in ms.
    pub complete_as_of: Option<u64>,
    /// Delay in ms with which this node's own records came to it, by its signed receipts, in order.
    pub delays_ms: Vec<u32>,
}

/// One log.
#[derive(Clone, Debug)]
pub struct LogStatus {
    /// Its number here.
    pub no: LogNo,
    /// Circle, author and epoch, which name it between nodes.
    pub key: LogKey,
    /// The org that writes it.
    pub org: OrgId,
    /// Last header held.
    pub height: u64,
    /// Its last record and when that was said, in ms, by its author's newest signed head; `None` if none speaks of it.
    pub head: Option<(u64, u64)>,
    /// Whether it goes on.
    pub standing: Standing,
    /// Who holds how much of it, by signed receipts: node, height, time in ms.
    pub receipts: Vec<(NodeKey, u64, u64)>,
    /// Bodies that are wanted, as [`OrgStatus`] counts them.
    pub bodies: WantedBodies,
}

/// Bodies that are wanted and not here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WantedBodies {
    /// Announced by somebody: on the way.
    pub announced: u64,
    /// Announced by nobody: no answer misses them that this node could have had.
    pub withheld: u64,
}

impl<K: Kv, S: Slots> Mesh<K, S> {
    /// The state of this node now.
    #[must_use]
    pub fn status(&self) -> Status {
        let logs = self.admission.reader.logs();
        let wanted = self.wanted_bodies(&logs);
        let mut rows = Vec::with_capacity(logs.len());
        for info in &logs {
            let receipts = self.heads.receipts(info.no).map(|(node, r)| (node, r.height, r.time)).collect();
            rows.push(LogStatus {
                no: info.no,
                key: info.key,
                org: info.org,
                height: info.tip.seq,
                head: self
                    .heads
                    .head(info.key.author, info.key.circle)
                    .filter(|head| head.epoch == info.key.epoch)
                    .map(|head| (head.seq, head.time)),
                standing: info.standing,
                receipts,
                bodies: wanted.get(&info.no).copied().unwrap_or_default(),
            });
        }
        let claimed = self.claimed();
        let mut orgs: Vec<OrgStatus> = self
            .directory
            .charter()
            .orgs
            .iter()
            .map(|org| self.org_status(org.root, &org.name, &wanted, &claimed))
            .collect();
        orgs.sort_by(|a, b| a.name.cmp(&b.name));
        Status {
            clock: self.admission.clock.reading(),
            time: self.admission.clock.time(self.now),
            passed: self.admission.clock.shown(self.now),
            peers: self
                .links
                .iter()
                .map(|(id, link)| PeerStatus {
                    link: id,
                    node: link.peer().map(|peer| peer.node),
                    org: link.peer().map(|peer| peer.org),
                    rtt_ms: link.rtt_ms,
                    slow: link.behind,
                })
                .collect(),
            orgs,
            logs: rows,
            counts: self.admission.reader.counts(),
            announced: self.catchup.announced(|link| self.is_believed(link)).count(),
            behind: self.catchup.logs_behind().len(),
            rejudging: self.admission.rejudge.is_busy(),
            policy_errors: self
                .admission
                .decisions()
                .errors()
                .map(|(rule, count)| (rule.to_owned(), count))
                .collect(),
        }
    }

    fn org_status(
        &self,
        org: OrgId,
        name: &str,
        wanted: &BTreeMap<LogNo, WantedBodies>,
        claimed: &BTreeMap<NodeKey, u64>,
    ) -> OrgStatus {
        let mut status = OrgStatus {
            org,
            name: name.to_owned(),
            heard: None,
            silent_ms: None,
            missing_headers: 0,
            not_given: Vec::new(),
            missing_bodies: 0,
            withheld: 0,
            complete_as_of: None,
            delays_ms: Vec::new(),
        };
        let mine = org == self.admission.identity.org;
        let mut complete = true;
        let mut as_of = u64::MAX;
        for (node, _) in self.directory.nodes_of(org) {
            status.delays_ms.extend(self.heads.delays(node));
            if node == self.admission.node {
                continue;
            }
            let linked = self.agreed_on_link(node);
            let mut heard = None;
            for (circle, head) in self.heads.heads_of(node) {
                heard = heard.max(Some((head.time, head.heard)));
                if circle == CircleId::mesh(self.mesh()) {
                    as_of = as_of.min(head.time.max(linked.map_or(0, |(time, _)| time)));
                }
            }
            let missing = claimed.get(&node).copied().unwrap_or(0);
            status.missing_headers = status.missing_headers.saturating_add(missing);
            if missing > 0 && self.catchup.claims.is_fault(node) {
                status.not_given.push((node, missing));
            }
            // A node that never said what it wrote was not heard: that would be no answer to what is missing.
            heard = heard.map(|head| linked.map_or(head, |link| (link.0.max(head.0), link.1.max(head.1))));
            complete &= heard.is_some();
            if let Some((time, at)) = heard {
                let silent = self.now.mono.saturating_sub(at);
                status.heard = status.heard.max(Some(time));
                status.silent_ms = Some(status.silent_ms.map_or(silent, |known| known.min(silent)));
            }
        }
        status.delays_ms.sort_unstable();
        let of_org = |log: &LogNo| self.admission.reader.log(*log).is_some_and(|info| info.org == org);
        for (_, bodies) in wanted.iter().filter(|(log, _)| of_org(log)) {
            status.withheld += bodies.withheld;
            status.missing_bodies += bodies.announced;
        }
        if mine {
            status.heard = Some(self.admission.clock.time(self.now));
            status.silent_ms = Some(0);
            status.complete_as_of = Some(self.admission.clock.time(self.now));
        } else if complete && as_of != u64::MAX && status.missing_headers == 0 && status.missing_bodies == 0 {
            status.complete_as_of = Some(as_of);
        }
        status
    }

    /// What each log wants, from counts: what is wanted may be as much as a catch-up.
    fn wanted_bodies(&self, logs: &[LogInfo]) -> BTreeMap<LogNo, WantedBodies> {
        let mut announced: BTreeMap<LogNo, u64> = BTreeMap::new();
        for place in self.catchup.announced(|link| self.is_believed(link)) {
            *announced.entry(place.log).or_default() += 1;
        }
        let of_log = |info: &LogInfo| {
            let wanted = info.counts.wanted + info.counts.withheld;
            let announced = announced.get(&info.no).copied().unwrap_or(0).min(wanted);
            (info.no, WantedBodies { announced, withheld: wanted - announced })
        };
        logs.iter().map(of_log).filter(|(_, bodies)| *bodies != WantedBodies::default()).collect()
    }

    /// Whether what a link announces is taken for more than words.
    fn is_believed(&self, link: LinkId) -> bool {
        let peer = self.links.peer(link);
        peer.is_some_and(|peer| self.catchup.is_believed(peer.node))
    }

    /// When a node last agreed with this one on a link of its own, by the wall clock and the monotonic one.
    fn agreed_on_link(&self, node: NodeKey) -> Option<(u64, u64)> {
        let of_node = |link: &&Link| link.peer().is_some_and(|peer| peer.node == node);
        self.links.iter().map(|(_, link)| link).filter(of_node).filter_map(|link| link.agreed).max()
    }

    /// How far logs go beyond what is held, by what their authors' nodes announced on links of their own. What others say
    /// of them is no evidence: anybody could make everybody's answers incomplete.
    pub(crate) fn announced_heights(&self) -> BTreeMap<LogNo, u64> {
        let logs: BTreeSet<LogNo> = self.catchup.logs_behind().chain(self.trees.waiting()).collect();
        let mut heights = BTreeMap::new();
        for info in logs.into_iter().filter_map(|log| self.admission.reader.log(log)) {
            let by_author = |link: &LinkId| {
                let peer = self.links.peer(*link);
                peer.is_some_and(|peer| peer.node == info.key.author)
            };
            let ahead = self.catchup.heights(info.no).filter(|(link, _)| by_author(link));
            let told = self.trees.announced(info.no).filter(|(_, links)| links.iter().any(by_author));
            let height = ahead.map(|(_, height)| height).chain(told.map(|(to, _)| to)).max();
            if let Some(height) = height.filter(|height| *height > info.tip.seq) {
                heights.insert(info.no, height);
            }
        }
        heights
    }

    /// Which nodes signed that they hold a header, and when they had it or a later one of its log, in ms.
    #[must_use]
    pub fn held_by(&self, place: RecordRef) -> Vec<(NodeKey, u64)> {
        let holds = self.heads.receipts(place.log).filter(|(_, receipt)| receipt.height >= place.seq);
        holds.map(|(node, receipt)| (node, receipt.time)).collect()
    }
}
