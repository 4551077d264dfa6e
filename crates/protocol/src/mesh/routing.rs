//! Links that come and go, and each message that comes over one to who handles it.

use std::collections::BTreeMap;

use tocsin_record::{NodeKey, OrgId, Verified, codec};
use tocsin_store::{Kv, Slots, StoreError};

use crate::bounds::{NAMES_LEAST, NODES_OF_ORG};
use crate::io::{Effect, Event, Hand, LinkId, Output};
use crate::links::budget::cost;
use crate::links::link::Link;
use crate::mesh::Mesh;
use crate::message::{Incoming, Message};
use crate::session::Room;

impl<K: Kv, S: Slots> Mesh<K, S> {
    pub(crate) fn tell(&mut self, id: LinkId, message: Message) {
        self.links.tell(id, message);
    }

    /// As [`Self::tell`], on the bulk lane.
    pub(crate) fn tell_bulk(&mut self, id: LinkId, message: Message) {
        self.links.tell_bulk(id, message);
    }

    /// Counts work for the peer that is heard.
    pub(crate) fn did(&mut self, micros: u64) {
        self.links.did(micros);
    }

    /// Whether the peer that is heard can pay for a piece of work, which is then counted.
    pub(crate) fn pays(&mut self, micros: u64) -> bool {
        self.links.pays(micros)
    }

    /// The node that a link leads to.
    pub(crate) fn node_of(&self, link: LinkId) -> NodeKey {
        self.links.peer(link).map_or(NodeKey::ZERO, |peer| peer.node)
    }

    /// The node that something came from.
    pub(crate) fn node_by(&self, hand: Hand) -> NodeKey {
        match hand {
            Hand::Link(link) => self.node_of(link),
            Hand::Bundle(node) => node,
        }
    }

    /// Who handed something over did what no honest node does: its link ends. A bundle has none, and what is wrong in it is not taken.
    pub(crate) fn is_at_fault(&mut self, hand: Hand, reason: impl Into<String>, out: &mut Output) {
        if let Hand::Link(link) = hand {
            self.close(link, reason, out);
        }
    }

    /// What is left to a node, in microseconds of the core's thread; below zero if it owes. `None` for one that was not
    /// heard yet.
    #[must_use]
    pub fn left_to(&self, node: &NodeKey) -> Option<i64> {
        self.links.budgets.left_to(node, self.directory.org_of(*node), self.now.mono)
    }

    pub(crate) fn link_up(&mut self, id: LinkId, key: [u8; 32], room: Room) {
        let known_logs = u32::try_from(self.admission.reader.log_count()).unwrap_or(u32::MAX);
        self.links.insert(id, Link::new(key, self.now.mono, known_logs, room));
        self.enter_lobby(id);
    }

    pub(crate) fn link_down(&mut self, id: LinkId, out: &mut Output) {
        let Some(link) = self.links.remove(id) else {
            return;
        };
        self.trees.forget(id);
        self.catchup.link_ended(id, link.peer().map(|peer| peer.node), self.now.mono);
        self.admission.searches.forget(id);
        if let Some(peer) = link.peer() {
            if !self.links.peers().any(|(_, other)| other.org == peer.org) {
                self.empty.left(peer.org);
            }
            out.push(Effect::Event(Event::PeerOut { node: peer.node }));
        }
    }

    /// A frame to this link was dropped: names in it are lost, and so is what it told. When there is room again the
    /// two compare what they hold.
    pub(crate) fn link_dropped(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(id) {
            link.behind = true;
            link.lost();
            link.haves.clear();
        }
        self.trees.forget(id);
        self.catchup.forget(id);
    }

    pub(crate) fn link_drained(&mut self, id: LinkId) {
        if let Some(link) = self.links.get_mut(id)
            && std::mem::take(&mut link.behind)
        {
            link.hello_due = true;
            link.holes_due = true;
            self.tell_all_proposals(id);
        }
    }

    /// Grants each link its part of the names that its node and its org may have here.
    pub(crate) fn share_rooms(&mut self) {
        let mut nodes: BTreeMap<NodeKey, usize> = BTreeMap::new();
        let mut orgs: BTreeMap<OrgId, usize> = BTreeMap::new();
        for (_, peer) in self.links.peers() {
            *nodes.entry(peer.node).or_default() += 1;
            *orgs.entry(peer.org).or_default() += 1;
        }
        let of_node = NAMES_LEAST + 2 * self.admission.reader.log_count().saturating_sub(self.empty.all());
        for (_, link) in self.links.iter() {
            let Some(peer) = link.peer() else { continue };
            let links = |count: Option<&usize>| count.copied().unwrap_or(1).max(1);
            let (by_node, by_org) = (links(nodes.get(&peer.node)), links(orgs.get(&peer.org)));
            link.grant((of_node / by_node).min(NODES_OF_ORG * of_node / by_org));
        }
    }

    pub(crate) fn close(&mut self, id: LinkId, reason: impl Into<String>, out: &mut Output) {
        out.push(Effect::Close { link: id, reason: reason.into() });
        if let Some(link) = self.links.get(id) {
            link.end();
        }
        self.link_down(id, out);
    }

    /// Hears a frame. Every message is paid for here, by its length at least, but for records: their bytes are paid for
    /// where they turn out to bring nothing new.
    pub(crate) fn received(
        &mut self,
        id: LinkId,
        frame: Incoming,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let Incoming { messages, runs, meant, .. } = frame;
        let mut runs = runs.into_iter();
        if let Some(link) = self.links.get_mut(id) {
            link.hears(meant);
        }
        for message in messages {
            let Some(link) = self.links.get_mut(id) else {
                return Ok(());
            };
            let peer = link.peer();
            if peer.is_some() && !message.is_routine() {
                link.last_frame = self.now.mono;
            }
            let runs: Vec<Option<Verified>> = runs.by_ref().take(message.runs()).collect();
            let has_left = self.links.budgets.open(id, peer, self.now.mono);
            let bytes = if message.brings_news() { 0 } else { codec::size(&message) };
            self.did(cost::message(bytes));
            if peer.is_none() {
                self.heard_in_lobby(id, message, out)?;
            } else if has_left || message.is_read_unpaid() {
                self.heard(id, message, runs, out)?;
            }
            self.charge(out);
        }
        Ok(())
    }

    /// Charges what was done for the peer that is heard. Who owes too much by now loses its links.
    fn charge(&mut self, out: &mut Output) {
        let Some(debtor) = self.links.budgets.close() else { return };
        let links = self.links.iter().filter(|(id, link)| debtor.is_of(*id, link.peer()));
        let links: Vec<LinkId> = links.map(|(id, _)| id).collect();
        for id in links {
            self.close(id, "it made this node do more than its share, and went on", out);
        }
    }

    /// What came by a link does not read, which is found beside the core. It is paid for, and the link ends: who comes back
    /// at once to have the next such frame read is not let in.
    pub(crate) fn unreadable(&mut self, id: LinkId, bytes: usize, reason: String, out: &mut Output) {
        let Some(link) = self.links.get(id) else { return };
        self.links.budgets.open(id, link.peer(), self.now.mono);
        self.did(cost::unreadable(bytes));
        self.charge(out);
        if self.links.contains(id) {
            self.close(id, reason, out);
        }
    }

    fn heard(
        &mut self,
        id: LinkId,
        message: Message,
        runs: Vec<Option<Verified>>,
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let mut runs = runs.into_iter().flatten();
        match message {
            Message::Lobby(_) => {}
            Message::Documents(documents) => self.heard_documents(id, &documents, out)?,
            Message::Name(no, _) => {
                if let Some(link) = self.links.get_mut(id) {
                    link.named(no);
                }
            }
            Message::Unnamed(no) => {
                if self.pays(cost::ANSWER)
                    && let Some(link) = self.links.get_mut(id)
                {
                    link.name_again(no);
                }
            }
            Message::DocumentList(list) => self.heard_document_list(id, &list),
            Message::Hello(hello) => self.heard_hello(id, hello),
            Message::Buckets(buckets) => self.heard_buckets(id, &buckets, out),
            Message::Entries(entries) => self.heard_entries(id, entries, out)?,
            Message::Push(push) => self.heard_push(id, &push, runs.next(), out)?,
            Message::Have(haves) => self.heard_haves(id, haves)?,
            Message::Graft(no, from) => self.heard_graft(id, no, from)?,
            Message::Prune(no) => self.heard_prune(id, no)?,
            Message::Want(want) => self.heard_want(id, want)?,
            Message::Credit(bytes) => self.catchup.heard_credit(id, bytes),
            Message::Page(page) => self.heard_page(id, page, runs.next(), out)?,
            Message::WantBodies(refs) => self.heard_want_bodies(id, &refs)?,
            Message::Bodies(bodies) => self.heard_bodies(id, bodies, out)?,
            Message::HaveBodies(refs) => self.heard_have_bodies(id, &refs)?,
            Message::Holes(refs) => self.heard_holes(id, &refs)?,
            Message::At(no, seq) => self.heard_at(id, no, seq)?,
            Message::AtAnswer(answer) => self.heard_at_answer(id, &answer)?,
            Message::Fork(proof) => self.heard_fork(id, &proof, runs.next().zip(runs.next()), out)?,
            Message::Heads(heads) => self.heard_heads(id, heads)?,
            Message::Receipts(receipts) => self.heard_receipts(id, receipts)?,
            Message::Proposals(proposals) => self.heard_proposals(id, &proposals, out),
        }
        Ok(())
    }
}
