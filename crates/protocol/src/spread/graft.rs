//! Repairing a tree: a record that was announced and not pushed is asked of its nearest announcer, which pushes from then on.

use tocsin_record::planted;
use tocsin_store::LogNo;

use super::tree::{Begin, Missing, Trees};
use crate::bounds::GAP_MAX;
use crate::held::{Around, Held};
use crate::io::LinkId;
use crate::message::Message;
use crate::spread::FLUSH_MS;

/// Added to a retry of a graft, in ms.
const RETRY_MS: u64 = 20;
/// Retries of one graft before the frontier comparison is left to find it.
const TRIES_MAX: u32 = 8;
/// Most announcers remembered for one log.
const ANNOUNCERS_MAX: usize = 16;

impl Trees {
    /// A record is said to exist: if no push brings it in time, its announcer is grafted. False if it lies so far ahead that
    /// it is to be fetched as pages.
    pub fn expect(&mut self, around: &Around<'_, impl Held>, log: LogNo, link: LinkId, to: u64) -> bool {
        let (height, to) = (around.held.height(log), to.min(around.held.takes_up_to(log)));
        if to <= height {
            return true;
        }
        if to > height + GAP_MAX {
            return false;
        }
        let parent = self.parent(log).and_then(|parent| around.links.get(parent));
        let due = around.mono + FLUSH_MS + parent.map_or(0, |link| link.rtt_ms);
        let tree = self.trees.entry(log).or_default();
        let missing = tree.missing.get_or_insert(Missing {
            to,
            announcers: Vec::new(),
            asked: Vec::new(),
            due,
            tries: 0,
        });
        missing.to = missing.to.max(to);
        if !missing.announcers.contains(&link) && missing.announcers.len() < ANNOUNCERS_MAX {
            missing.announcers.push(link);
        }
        self.waiting.insert(log);
        true
    }

    /// Grafts what was announced and did not come in time.
    pub fn graft_due(&mut self, around: &mut Around<'_, impl Held>) {
        let mono = around.mono;
        let waiting: Vec<LogNo> = self.waiting.iter().copied().collect();
        for log in waiting {
            let height = around.held.height(log);
            let Some(tree) = self.trees.get_mut(&log) else {
                continue;
            };
            let Some(missing) = &mut tree.missing else {
                self.waiting.remove(&log);
                continue;
            };
            if missing.to <= height || missing.tries >= TRIES_MAX {
                tree.missing = None;
                self.waiting.remove(&log);
                continue;
            }
            if missing.due > mono {
                continue;
            }
            let Some(link) = missing.next_link(around, log, height) else {
                tree.missing = None;
                self.waiting.remove(&log);
                continue;
            };
            let rtt = around.links.get(link).map_or(0, |link| link.rtt_ms);
            missing.due = mono + ((rtt * 3 / 2 + RETRY_MS) << missing.tries.min(6));
            missing.tries += 1;
            if let Some(no) = around.number(link, log) {
                around.links.tell(link, Message::Graft(no, height + 1));
            }
        }
    }

    /// A peer asked for a log to be pushed to it from now on, and is told of what is held, up to a height.
    pub fn grafted(&mut self, log: LogNo, link: LinkId, height: u64) {
        let spoke = self.spoke(log, link, Begin::Eager);
        spoke.eager = true;
        spoke.told = spoke.told.max(height);
    }

    /// A peer has a log from others.
    pub fn pruned(&mut self, log: LogNo, link: LinkId) {
        self.spoke(log, link, Begin::Lazy).eager = false;
    }
}

impl Missing {
    /// Whom to ask next: the nearest announcer; then the others, so that a peer that gives nothing is one of many. None of
    /// them gave it, then links that said nothing, for only a few hear of each record and a liar says so to everybody. At
    /// last the first again.
    fn next_link(&mut self, around: &Around<'_, impl Held>, log: LogNo, height: u64) -> Option<LinkId> {
        let near = |id: &LinkId| Some((around.links.get(*id)?.rtt_ms, *id));
        let is_new = |id: &LinkId| !self.asked.contains(id);
        let announcers =
            self.announcers.iter().filter(|id| planted::is(planted::Bug::AskTheSame) || is_new(id));
        let announcer = announcers.filter_map(near).min();
        // A log without a record here may be a liar's word alone, and is not passed on.
        let others =
            around.links.peers().filter(|(id, peer)| is_new(id) && around.held.shares(peer.org, log));
        let other = || others.filter(|_| height > 0).filter_map(|(id, _)| near(&id)).min();
        let link = match announcer.or_else(other) {
            Some((_, link)) => link,
            None => self.asked.iter().copied().find(|id| around.links.get(*id).is_some())?,
        };
        self.asked.retain(|id| *id != link);
        self.asked.push(link);
        Some(link)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::held::testing::Shelf;
    use crate::links::testing::{links, told};

    const LOG: LogNo = LogNo(5);

    #[test]
    fn the_nearest_announcer_is_grafted_then_the_next() {
        let shelf = Shelf { heights: BTreeMap::from([(LOG, 4)]), ..Shelf::default() };
        let mut links = links(3);
        for (link, rtt_ms) in [(1, 90), (2, 10), (3, 50)] {
            links.get_mut(link).unwrap().rtt_ms = rtt_ms;
        }
        let mut trees = Trees::default();
        let mut around = Around { held: &shelf, links: &mut links, mono: 0 };
        for link in 1..=3 {
            assert!(trees.expect(&around, LOG, link, 6));
        }
        trees.graft_due(&mut around);
        assert!(told(around.links, 2).is_empty(), "a push may still come");
        let mut grafted = Vec::new();
        for _ in 0..3 {
            around.mono += 10_000;
            trees.graft_due(&mut around);
            for link in 1..=3 {
                let said = told(around.links, link);
                assert!(said.iter().all(|message| *message == Message::Graft(0, 5)), "{said:?}");
                grafted.extend(said.iter().map(|_| link));
            }
        }
        assert_eq!(grafted, [2, 3, 1]);
        let shelf = Shelf { heights: BTreeMap::from([(LOG, 6)]), ..Shelf::default() };
        let mut around = Around { held: &shelf, links: around.links, mono: 90_000 };
        trees.graft_due(&mut around);
        assert_eq!(trees.waiting().len(), 0, "what came is waited for no more");
    }

    #[test]
    fn where_no_announcer_gives_anything_the_others_are_asked_too() {
        let shelf = Shelf { heights: BTreeMap::from([(LOG, 4)]), ..Shelf::default() };
        let mut links = links(3);
        let mut trees = Trees::default();
        let mut around = Around { held: &shelf, links: &mut links, mono: 0 };
        assert!(trees.expect(&around, LOG, 2, 5));
        let mut grafted = Vec::new();
        for _ in 0..4 {
            around.mono += 10_000;
            trees.graft_due(&mut around);
            grafted.extend((1..=3).filter(|link| !told(around.links, *link).is_empty()));
        }
        assert_eq!(grafted, [2, 1, 3, 2], "the announcer first, and again when all were asked");
    }

    #[test]
    fn what_is_far_ahead_is_not_grafted() {
        let shelf = Shelf::default();
        let mut links = links(1);
        let mut trees = Trees::default();
        let around = Around { held: &shelf, links: &mut links, mono: 0 };
        assert!(!trees.expect(&around, LOG, 1, GAP_MAX + 1));
        assert_eq!(trees.waiting().len(), 0);
        assert!(trees.expect(&around, LOG, 1, GAP_MAX));
    }

    #[test]
    fn a_link_is_eager_from_graft_to_prune() {
        let mut trees = Trees::default();
        trees.grafted(LOG, 1, 4);
        assert_eq!(trees.eager(LOG), [1]);
        trees.pruned(LOG, 1);
        assert!(trees.eager(LOG).is_empty());
    }
}
