//! Repairing a tree: a record that was announced and not pushed is asked of its nearest announcer, which pushes from then on.

use tocsin_record::{page, planted};
use tocsin_store::{Kv, LogNo, Slots, StoreError};

use crate::io::LinkId;
use crate::links::budget::cost;
use crate::mesh::{FLUSH_MS, Mesh};
use crate::message::{Message, Push};
use crate::spread::push::PUSH_MAX;
use crate::spread::tree::{Begin, Missing};

/// Added to a retry of a graft, in ms.
const RETRY_MS: u64 = 20;
/// Retries of one graft before the frontier comparison is left to find it.
const TRIES_MAX: u32 = 8;
/// A gap longer than this is fetched as pages, not grafted.
pub(crate) const GRAFT_MAX: u64 = 256;
/// An answer to a graft, not compressed, ends behind so many bytes, but holds one run at least.
const REPLY_MAX: usize = 1 << 20;
/// Most announcers remembered for one log.
const ANNOUNCERS_MAX: usize = 16;

impl<K: Kv, S: Slots> Mesh<K, S> {
    /// A run was admitted: whoever waits for it need not.
    pub(crate) fn arrived(&mut self, log: LogNo, from: LinkId) {
        let height = self.height(log);
        self.empty.remove(log);
        let tree = self.trees.trees.entry(log).or_default();
        tree.parent = Some(from);
        if tree.missing.as_ref().is_some_and(|missing| missing.to <= height) {
            tree.missing = None;
            self.trees.waiting.remove(&log);
        }
    }

    /// A record is said to exist: if no push brings it in time, its announcer is grafted.
    pub(crate) fn expect(&mut self, log: LogNo, link: LinkId, to: u64) {
        let to = to.min(self.takes_up_to(log));
        if to <= self.height(log) {
            return;
        }
        if to > self.height(log) + GRAFT_MAX {
            self.catchup.ahead(log, link, to);
            return;
        }
        let patience = FLUSH_MS + self.parent_rtt(log);
        let due = self.now.mono + patience;
        let tree = self.trees.trees.entry(log).or_default();
        let missing = tree.missing.get_or_insert(Missing { to, announcers: Vec::new(), due, tries: 0 });
        missing.to = missing.to.max(to);
        if !missing.announcers.contains(&link) && missing.announcers.len() < ANNOUNCERS_MAX {
            missing.announcers.push(link);
        }
        self.trees.waiting.insert(log);
    }

    fn parent_rtt(&self, log: LogNo) -> u64 {
        let parent = self.trees.parent(log).and_then(|parent| self.links.get(&parent));
        parent.map_or(0, |link| link.rtt_ms)
    }

    pub(crate) fn graft_due(&mut self) {
        let mono = self.now.mono;
        let waiting: Vec<LogNo> = self.trees.waiting.iter().copied().collect();
        for log in waiting {
            let height = self.height(log);
            let Some(tree) = self.trees.trees.get_mut(&log) else {
                continue;
            };
            let Some(missing) = &mut tree.missing else {
                self.trees.waiting.remove(&log);
                continue;
            };
            if missing.to <= height || missing.tries >= TRIES_MAX {
                tree.missing = None;
                self.trees.waiting.remove(&log);
                continue;
            }
            if missing.due > mono {
                continue;
            }
            let links = missing.announcers.iter().enumerate();
            let mut links = links.filter_map(|(at, id)| Some((self.links.get(id)?.rtt_ms, at)));
            // The nearest first; then whoever was not asked for longest, so that a peer that gives nothing is one of many.
            let anew = missing.tries == 0 || planted::is(planted::Bug::AskTheSame);
            let Some((rtt, at)) = (if anew { links.min() } else { links.next() }) else {
                tree.missing = None;
                self.trees.waiting.remove(&log);
                continue;
            };
            let link = missing.announcers.remove(at);
            missing.announcers.push(link);
            missing.due = mono + ((rtt * 3 / 2 + RETRY_MS) << missing.tries.min(6));
            missing.tries += 1;
            if let Some(no) = self.number(link, log) {
                self.tell(link, Message::Graft(no, height + 1));
            }
        }
    }

    pub(crate) fn heard_graft(&mut self, link: LinkId, no: u32, from: u64) -> Result<(), StoreError> {
        let Some(log) = self.log_meant(link, no)? else {
            return Ok(());
        };
        let height = self.height(log);
        let spoke = self.trees.spoke(log, link, Begin::Eager);
        spoke.eager = true;
        spoke.told = spoke.told.max(height);
        if from > height || !self.pays(cost::PAGE) {
            return Ok(());
        }
        self.reply_runs(link, log, from)
    }

    pub(crate) fn heard_prune(&mut self, link: LinkId, no: u32) -> Result<(), StoreError> {
        let Some(log) = self.log_meant(link, no)? else {
            return Ok(());
        };
        self.trees.spoke(log, link, Begin::Lazy).eager = false;
        Ok(())
    }

    /// Answers a graft with what is committed from `from` on, as far as a push goes.
    fn reply_runs(&mut self, link: LinkId, log: LogNo, from: u64) -> Result<(), StoreError> {
        let runs = self.runs_for(link, log, from, true, PUSH_MAX)?;
        let Some(no) = self.number(link, log) else {
            return Ok(());
        };
        let mut room = REPLY_MAX;
        for run in runs {
            let page = match page::unpack(&run.packed) {
                Ok(page) => page.to_vec(),
                Err(_) => continue,
            };
            // What little is stored may be much to send.
            if page.len() > room && room < REPLY_MAX {
                return Ok(());
            }
            room = room.saturating_sub(page.len());
            self.did(cost::decoded(page.len(), 0));
            self.tell(link, Message::Push(Push { log: no, reply: true, page }));
        }
        Ok(())
    }
}
