//! Links: who stands at the other end, what waits to be sent there, and what work is done for it.

pub(crate) mod budget;
pub(crate) mod link;

use std::collections::BTreeMap;

use tocsin_record::LogKey;

use crate::io::LinkId;
use crate::message::{LinkNo, LogName, Message};
use budget::{Budgets, Meter, cost};
use link::{Link, Peer};

/// The links of a node by number, and the budgets of those at their other ends.
#[derive(Debug)]
pub(crate) struct Links {
    links: BTreeMap<LinkId, Link>,
    pub budgets: Budgets,
}

impl Links {
    pub fn new(meter: Meter) -> Self {
        Self { links: BTreeMap::new(), budgets: Budgets::new(meter) }
    }

    pub fn insert(&mut self, id: LinkId, link: Link) {
        self.links.insert(id, link);
    }

    /// Takes a link out, with what is left to it while it is a stranger's.
    pub fn remove(&mut self, id: LinkId) -> Option<Link> {
        self.budgets.forget(id);
        self.links.remove(&id)
    }

    pub fn len(&self) -> usize {
        self.links.len()
    }

    pub fn contains(&self, id: LinkId) -> bool {
        self.links.contains_key(&id)
    }

    pub fn get(&self, id: LinkId) -> Option<&Link> {
        self.links.get(&id)
    }

    pub fn get_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.get_mut(&id)
    }

    /// In order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (LinkId, &Link)> {
        self.links.iter().map(|(id, link)| (*id, link))
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (LinkId, &mut Link)> {
        self.links.iter_mut().map(|(id, link)| (*id, link))
    }

    /// Who stands at the other end, of a link that is in.
    pub fn peer(&self, id: LinkId) -> Option<Peer> {
        self.links.get(&id).and_then(Link::peer)
    }

    /// The peers of all links that are in.
    pub fn peers(&self) -> impl Iterator<Item = (LinkId, Peer)> {
        self.iter().filter_map(|(id, link)| Some((id, link.peer()?)))
    }

    /// This node's number for a log on a link.
    pub fn number(&mut self, id: LinkId, log: LogKey) -> Option<LinkNo> {
        Some(self.links.get_mut(&id)?.name(log.into()))
    }

    /// The log behind this node's own number, echoed by a peer.
    pub fn mine(&self, id: LinkId, no: LinkNo) -> Option<LogName> {
        self.links.get(&id)?.mine(no)
    }

    /// Sends on the live lane.
    pub fn tell(&mut self, id: LinkId, message: Message) {
        if let Some(link) = self.links.get_mut(&id) {
            let bytes = link.send(message);
            self.answered(id, bytes);
        }
    }

    /// As [`Self::tell`], on the bulk lane.
    pub fn tell_bulk(&mut self, id: LinkId, message: Message) {
        if let Some(link) = self.links.get_mut(&id) {
            let bytes = link.send_bulk(message);
            self.answered(id, bytes);
        }
    }

    /// What a peer is told while it is heard, it asked for.
    fn answered(&mut self, id: LinkId, bytes: usize) {
        if self.budgets.of() == Some(id) {
            self.did(cost::sent(bytes));
        }
    }

    /// Counts work for the peer that is heard.
    pub fn did(&mut self, micros: u64) {
        self.budgets.did(micros);
    }

    /// Whether the peer that is heard can pay for a piece of work, which is then counted: what is begun may cost more than
    /// there is, and the rest is owed. Nothing is answered either to whom so much waits already.
    pub fn pays(&mut self, micros: u64) -> bool {
        let full = self.budgets.of().and_then(|id| self.links.get(&id)).is_some_and(Link::is_full);
        let pays = !full && self.budgets.has_left();
        if pays {
            self.budgets.did(micros);
        }
        pays
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use tocsin_record::{NodeKey, OrgId};

    use super::*;
    use crate::session::Room;

    /// Links 1 to `count` to nodes of as many orgs, all in; each has its number as every byte of its node and its org.
    pub(crate) fn links(count: u8) -> Links {
        let mut links = Links::new(Meter::Model);
        for no in 1..=count {
            let mut link = Link::new([no; 32], 0, 0, Room::default());
            link.stage = link::Stage::In(Peer { node: NodeKey([no; 32]), org: OrgId([no; 32]) });
            links.insert(no.into(), link);
        }
        links
    }

    /// What waits to be sent to a link, but for names; and forgets it.
    pub(crate) fn told(links: &mut Links, id: LinkId) -> Vec<Message> {
        let mut told = links.get_mut(id).unwrap().take_pending();
        told.retain(|message| !matches!(message, Message::Name(..)));
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_to_whom_is_heard_is_paid_for_and_to_others_not() {
        let mut links = testing::links(2);
        let message = || Message::Credit(1);
        let peer = links.peer(1);
        let spent = |links: &Links| links.budgets.spent();
        links.budgets.open(1, peer, 0);
        links.tell(2, message());
        assert_eq!(spent(&links), Some(0));
        for _ in 0..1000 {
            links.tell(1, message());
        }
        links.did(7);
        assert_eq!(spent(&links), Some(7), "a message of a few bytes costs less than a microsecond");
        assert!(links.pays(5) && spent(&links) == Some(12));
        links.did(u64::MAX);
        assert!(!links.pays(0), "what is left ends");
        links.budgets.close();
        assert!(links.pays(u64::MAX), "own work is nobody's");
        assert_eq!((testing::told(&mut links, 1).len(), testing::told(&mut links, 2).len()), (1000, 1));
    }
}
