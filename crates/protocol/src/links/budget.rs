//! How much a peer may make this node do. All work for a peer is paid out of two budgets, that of its node and that of its
//! org, which fill again with time and are kept while it is away: neither a new link nor a new node is a new budget.
//!
//! ```text
//! received: open an account --dispatch--> handlers report work, and ask whether anything is left --> close: charge both
//! ```
//!
//! What brings something new (a record, a document, a body that was asked for) is free; reading everything else is not.
//! When nothing is left, questions are not answered and what a comparison finds again is not looked at (see
//! [`crate::message::Message::is_read_unpaid`]). Who goes on until it owes a full budget loses its link, and is not let in
//! before the debt is paid. A refusal costs nothing but reading the question, so that who asks in vain is not kept out.

use std::collections::BTreeMap;

use tocsin_record::{NodeKey, OrgId};

use crate::io::LinkId;
use crate::links::link::Peer;

/// What a budget holds at most and what flows into it, in microseconds of the core's thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    full: i64,
    per_ms: i64,
}

/// One node: at most three twentieths of the core's thread for long, and 0.3 s at once.
const OF_NODE: Share = Share { full: 300_000, per_ms: 150 };
/// All nodes of one org together: a quarter, and half a second.
const OF_ORG: Share = Share { full: 500_000, per_ms: 250 };
/// Pages for one node, and for all of an org together, apart from all else: nobody waits behind more than a page, a node
/// that joins asks for everything at once, and half of the core's thread is what that takes at full speed.
const PAGES: Share = Share { full: 500_000, per_ms: 500 };
/// A link in the lobby, whoever it may be: documents of the stewards that it hands over are verified on this.
const OF_STRANGER: Share = Share { full: 100_000, per_ms: 50 };
/// Most bytes of answers that wait for one link in one commit; pages wait for the next one beyond it.
pub(crate) const ANSWERS_MAX: usize = 8 << 20;

/// How work is measured.
#[derive(Clone, Copy, Debug, Default)]
pub enum Meter {
    /// By the prices of the cost model alone: the same in every run.
    #[default]
    Model,
    /// By the time that the core's thread took, or by the prices where those are higher: they count what waits for a
    /// disk as well.
    Thread {
        /// Processor time that the calling thread has used, in nanoseconds.
        nanos: fn() -> u64,
    },
}

/// The cost model, in microseconds of the core's thread: estimates for a release build, above what it takes where that
/// depends on the disk.
pub(crate) mod cost {
    /// A page of the store that must be read and decoded.
    pub const PAGE: u64 = 2000;
    /// One record out of a page that was read, and the policy's word on it.
    pub const RECORD: u64 = 50;
    /// A document that is read and looked for among those in force.
    const DOCUMENT: u64 = 100;
    /// A signature that is verified.
    pub const SIGNATURE: u64 = 60;
    /// A log that is opened on a peer's word: a value in the store.
    pub const LOG: u64 = 50;
    /// A question that is answered from memory.
    pub const ANSWER: u64 = 10;
    /// A thing that is looked up in memory: a name, an entry of a list.
    pub const THING: u64 = 2;
    /// A message, whatever it says.
    const MESSAGE: u64 = 2;

    /// Reading a message of so many bytes.
    pub fn message(bytes: usize) -> u64 {
        MESSAGE + bytes as u64 / 100
    }

    /// Sending so many bytes.
    pub fn sent(bytes: usize) -> u64 {
        bytes as u64 / 200
    }

    /// Trying to read so many bytes that turned out to be no frame, as the most that can take: a page that swells to its
    /// longest, and signatures of runs of a hundred bytes, all right but the last.
    pub fn unreadable(bytes: usize) -> u64 {
        20_000 + bytes as u64 / 2
    }

    /// A page that came and brought nothing new, by the bytes and records that were read.
    pub fn decoded(bytes: usize, records: usize) -> u64 {
        (bytes as u64 + 256 * records as u64) / 100
    }

    /// Walking over so many things that are at hand.
    pub fn walk(things: usize) -> u64 {
        ANSWER + things as u64
    }

    /// Hashing so many bytes, to see whether they are known.
    pub fn hashed(bytes: usize) -> u64 {
        THING + bytes as u64 / 400
    }

    /// A document of so many bytes and signatures that does not come into force.
    pub fn document(bytes: usize, signatures: usize) -> u64 {
        DOCUMENT + hashed(bytes) + SIGNATURE * signatures as u64
    }
}

/// What is left of a share.
#[derive(Clone, Copy, Debug)]
struct Budget {
    left: i64,
    at: u64,
}

impl Budget {
    fn new(share: Share, mono: u64) -> Self {
        Self { left: share.full, at: mono }
    }

    fn fill(&mut self, share: Share, mono: u64) {
        let passed = i64::try_from(mono.saturating_sub(self.at)).unwrap_or(i64::MAX);
        self.left = self.left.saturating_add(passed.saturating_mul(share.per_ms)).min(share.full);
        self.at = self.at.max(mono);
    }

    fn pay(&mut self, micros: i64) {
        self.left = self.left.saturating_sub(micros);
    }
}

/// Which budgets pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Hearing what a peer says, and answering it.
    Talk,
    /// Reading and sending the pages that it wants.
    Pages,
}

/// Who owes more than a full budget. What its other links sent is on its way and would be read in vain: all of them end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Debtor {
    Stranger(LinkId),
    Node(NodeKey),
    Org(OrgId),
}

impl Debtor {
    /// Whether it is at the other end of a link.
    pub fn is_of(self, link: LinkId, peer: Option<Peer>) -> bool {
        match self {
            Self::Stranger(stranger) => stranger == link,
            Self::Node(node) => peer.is_some_and(|peer| peer.node == node),
            Self::Org(org) => peer.is_some_and(|peer| peer.org == org),
        }
    }
}

/// Whose work is under way.
#[derive(Clone, Copy, Debug)]
struct Account {
    link: LinkId,
    peer: Option<Peer>,
    work: Work,
    /// What was left to it when it was opened: the lower of its two budgets.
    left: i64,
    /// By the cost model, in microseconds.
    model: u64,
    /// When it was opened, by the thread's time in ns; moved on by what was free.
    begun: u64,
}

/// What everybody may still ask for.
#[derive(Debug, Default)]
pub(crate) struct Budgets {
    meter: Meter,
    strangers: BTreeMap<LinkId, Budget>,
    /// Of certified nodes, and of orgs in the charter: bounded as those are.
    nodes: BTreeMap<NodeKey, Budget>,
    orgs: BTreeMap<OrgId, Budget>,
    /// The same for pages.
    pages_of_nodes: BTreeMap<NodeKey, Budget>,
    pages_of_orgs: BTreeMap<OrgId, Budget>,
    open: Option<Account>,
}

impl Budgets {
    pub fn new(meter: Meter) -> Self {
        Self { meter, ..Self::default() }
    }

    fn nanos(&self) -> u64 {
        match self.meter {
            Meter::Model => 0,
            Meter::Thread { nanos } => nanos(),
        }
    }

    /// From now on work is done for a link. Whether anything is left to pay for it.
    pub fn open(&mut self, link: LinkId, peer: Option<Peer>, mono: u64) -> bool {
        let left = self.left(link, peer, mono);
        self.open = Some(Account { link, peer, work: Work::Talk, left, model: 0, begun: self.nanos() });
        left > 0
    }

    /// As [`Self::open`], for pages that a peer wants.
    pub fn open_pages(&mut self, link: LinkId, peer: Peer, mono: u64) -> bool {
        let of = |budget: &mut Budget| {
            budget.fill(PAGES, mono);
            budget.left
        };
        let node = of(self.pages_of_nodes.entry(peer.node).or_insert(Budget::new(PAGES, mono)));
        let org = of(self.pages_of_orgs.entry(peer.org).or_insert(Budget::new(PAGES, mono)));
        let left = node.min(org);
        let begun = self.nanos();
        self.open = Some(Account { link, peer: Some(peer), work: Work::Pages, left, model: 0, begun });
        left > 0
    }

    fn left(&mut self, link: LinkId, peer: Option<Peer>, mono: u64) -> i64 {
        let of = |budget: &mut Budget, share| {
            budget.fill(share, mono);
            budget.left
        };
        let Some(peer) = peer else {
            let budget = self.strangers.entry(link).or_insert(Budget::new(OF_STRANGER, mono));
            return of(budget, OF_STRANGER);
        };
        let node = of(self.nodes.entry(peer.node).or_insert(Budget::new(OF_NODE, mono)), OF_NODE);
        let org = of(self.orgs.entry(peer.org).or_insert(Budget::new(OF_ORG, mono)), OF_ORG);
        node.min(org)
    }

    /// What an open account has used, in microseconds.
    fn used(&self, account: &Account) -> i64 {
        let measured = self.nanos().saturating_sub(account.begun) / 1000;
        i64::try_from(measured.max(account.model)).unwrap_or(i64::MAX)
    }

    /// The work is done: it is charged. Gives back who owes so much by now that its links are to end.
    pub fn close(&mut self) -> Option<Debtor> {
        let account = self.open.take()?;
        let used = self.used(&account);
        let Some(peer) = account.peer else {
            let budget = self.strangers.get_mut(&account.link)?;
            budget.pay(used);
            return (budget.left < -OF_STRANGER.full).then_some(Debtor::Stranger(account.link));
        };
        if account.work == Work::Pages {
            let node = self.pages_of_nodes.get_mut(&peer.node);
            for budget in [node, self.pages_of_orgs.get_mut(&peer.org)].into_iter().flatten() {
                budget.pay(used);
            }
            // What was served was asked for: nobody owes more than one page.
            return None;
        }
        let mut debtor = None;
        if let Some(node) = self.nodes.get_mut(&peer.node) {
            node.pay(used);
            debtor = (node.left < -OF_NODE.full).then_some(Debtor::Node(peer.node));
        }
        if let Some(org) = self.orgs.get_mut(&peer.org) {
            org.pay(used);
            debtor = (org.left < -OF_ORG.full).then_some(Debtor::Org(peer.org)).or(debtor);
        }
        debtor
    }

    /// Counts work by its price.
    pub fn did(&mut self, micros: u64) {
        if let Some(account) = &mut self.open {
            account.model = account.model.saturating_add(micros);
        }
    }

    /// Whether the open account has anything left. Own work always has.
    pub fn has_left(&self) -> bool {
        self.open.as_ref().is_none_or(|account| account.left > self.used(account))
    }

    /// The link that work is done for.
    pub fn of(&self) -> Option<LinkId> {
        self.open.map(|account| account.link)
    }

    /// Begins what is free for a peer. Hand back what comes with [`Self::paid_again`].
    pub fn free(&self) -> u64 {
        if self.open.is_some() { self.nanos() } else { 0 }
    }

    pub fn paid_again(&mut self, since: u64) {
        let now = self.nanos();
        if let Some(account) = &mut self.open {
            account.begun = account.begun.saturating_add(now.saturating_sub(since)).min(now);
        }
    }

    /// A stranger turned out to be a peer, which pays for what it did in the lobby. False if it owes from before: then it
    /// is not let in yet.
    pub fn entered(&mut self, link: LinkId, peer: Peer, mono: u64) -> bool {
        let spent = self.strangers.remove(&link).map_or(0, |budget| (OF_STRANGER.full - budget.left).max(0));
        let left = self.left(link, Some(peer), mono);
        for budget in [self.nodes.get_mut(&peer.node), self.orgs.get_mut(&peer.org)].into_iter().flatten() {
            budget.pay(spent);
        }
        if let Some(account) = &mut self.open {
            account.peer = Some(peer);
            account.left = left;
        }
        left > 0
    }

    pub fn forget(&mut self, link: LinkId) {
        self.strangers.remove(&link);
    }

    /// Keeps the budgets of those who are still in the mesh.
    pub fn retain(&mut self, is_in: impl Fn(&NodeKey) -> bool, is_org: impl Fn(&OrgId) -> bool) {
        self.nodes.retain(|node, _| is_in(node));
        self.orgs.retain(|org, _| is_org(org));
        self.pages_of_nodes.retain(|node, _| is_in(node));
        self.pages_of_orgs.retain(|org, _| is_org(org));
    }
}

impl Budgets {
    /// What is left to a node and its org, in microseconds of the core's thread; below zero if they owe. `None` for a node
    /// that was not heard yet.
    pub fn left_to(&self, node: &NodeKey, org: Option<OrgId>, mono: u64) -> Option<i64> {
        let mut budget = *self.nodes.get(node)?;
        budget.fill(OF_NODE, mono);
        let org = org.and_then(|org| self.orgs.get(&org));
        let mut org = org.copied().unwrap_or(Budget::new(OF_ORG, mono));
        org.fill(OF_ORG, mono);
        Some(budget.left.min(org.left))
    }

    /// What was counted so far of the work that is under way, in microseconds by its price.
    #[cfg(test)]
    pub fn spent(&self) -> Option<u64> {
        self.open.map(|account| account.model)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn peer(node: u8, org: u8) -> Option<Peer> {
        Some(Peer { node: NodeKey([node; 32]), org: OrgId([org; 32]) })
    }

    fn spend(budgets: &mut Budgets, link: LinkId, peer: Option<Peer>, mono: u64, micros: i64) -> bool {
        budgets.open(link, peer, mono);
        budgets.did(micros.try_into().unwrap());
        budgets.close().is_none()
    }

    #[test]
    fn a_budget_ends_and_fills_again() {
        let mut budgets = Budgets::new(Meter::Model);
        assert!(spend(&mut budgets, 1, peer(1, 1), 0, OF_NODE.full + 50_000));
        assert!(!budgets.open(1, peer(1, 1), 0), "what was begun is owed");
        assert!(!budgets.open(1, peer(1, 1), 50_000 / 150));
        assert!(budgets.open(1, peer(1, 1), 1000), "and paid with time");
        assert!(budgets.open(1, peer(1, 1), u64::MAX), "no clock is too far");
        assert!(!spend(&mut budgets, 1, peer(1, 1), 0, i64::MAX));
    }

    #[test]
    fn neither_a_link_nor_a_node_is_a_new_budget() {
        let mut budgets = Budgets::new(Meter::Model);
        spend(&mut budgets, 1, peer(1, 1), 0, OF_NODE.full);
        budgets.forget(1);
        assert!(!budgets.open(2, peer(1, 1), 0), "another link of the node");
        assert!(budgets.open(3, peer(2, 1), 0), "another node of the org has something of its own");
        spend(&mut budgets, 3, peer(2, 1), 0, OF_ORG.full - OF_NODE.full);
        assert!(!budgets.open(4, peer(3, 1), 0), "but all together no more than the org");
        assert!(budgets.open(5, peer(4, 2), 0), "which is nothing to another");
        budgets.retain(|_| false, |_| true);
        assert!(budgets.nodes.is_empty() && budgets.orgs.len() == 2);
    }

    #[test]
    fn the_lobby_is_paid_for_by_who_comes_in() {
        let mut budgets = Budgets::new(Meter::Model);
        let mut mono = 0;
        while {
            spend(&mut budgets, 1, None, mono, OF_STRANGER.full);
            budgets.open(1, None, mono);
            let entered = budgets.entered(1, peer(1, 1).unwrap(), mono);
            budgets.close();
            entered
        } {
            mono += 1;
            assert!(mono < 5, "every new link had a budget of its own");
        }
        assert!(budgets.strangers.is_empty());
    }

    thread_local! { static NANOS: Cell<u64> = const { Cell::new(0) } }

    #[test]
    fn measured_time_counts_where_it_is_more_than_the_price() {
        let pass = |ns: i64| NANOS.set(NANOS.get() + u64::try_from(ns).unwrap());
        let mut budgets = Budgets::new(Meter::Thread { nanos: || NANOS.get() });
        budgets.open(1, peer(1, 1), 0);
        let since = budgets.free();
        pass(5 * OF_NODE.full * 1000);
        budgets.paid_again(since);
        assert!(budgets.has_left(), "what is new is free");
        budgets.did(10);
        pass(OF_NODE.full * 1000);
        assert!(!budgets.has_left());
        assert!(budgets.close().is_none());
        assert!(!budgets.open(1, peer(1, 1), 0));
        budgets.open(1, peer(2, 2), 0);
        budgets.did(OF_NODE.full.try_into().unwrap());
        budgets.close();
        assert!(!budgets.open(1, peer(2, 2), 0), "a page that is waited for takes no time of the thread");
    }
}
