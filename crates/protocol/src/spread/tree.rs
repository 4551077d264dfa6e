//! What is known of the tree of each log: which links it is pushed along, what they hold, what is missing, and runs that
//! wait for the ones before them. `push` and `graft` act on it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tocsin_record::{Run, Verified};
use tocsin_store::LogNo;

use crate::io::LinkId;

/// Records of a log whose copies are counted.
const RECENT: usize = 64;
/// Runs of a log that wait for the records before them.
const ORPHANS_PER_LOG: usize = 64;
/// Their bytes in memory: of one link, and of the node.
const ORPHAN_BYTES_PER_LINK: usize = 1 << 20;
const ORPHAN_BYTES: usize = 16 << 20;

/// What is known of one link for one log. "Peer has" and "I told peer" are two facts, and so are a header and its body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spoke {
    /// Runs are pushed to it.
    pub eager: bool,
    /// It is known to hold headers up to here.
    pub has: u64,
    /// It showed headers without their bodies, up to here: it may lack these.
    pub lacks: u64,
    /// It was told of records up to here, by push or announcement.
    pub told: u64,
}

#[derive(Debug, Default)]
pub(super) struct Tree {
    spokes: BTreeMap<LinkId, Spoke>,
    /// By which link its newest record came.
    parent: Option<LinkId>,
    /// Last record of recent runs, and how many copies of it came.
    copies: VecDeque<(u64, u8)>,
    pub missing: Option<Missing>,
    orphans: VecDeque<Orphan>,
}

/// A record that is said to exist and was not pushed.
#[derive(Debug)]
pub(super) struct Missing {
    pub to: u64,
    pub announcers: Vec<LinkId>,
    /// Who was asked for it, each once, whoever was asked last behind the others.
    pub asked: Vec<LinkId>,
    pub due: u64,
    pub tries: u32,
}

#[derive(Debug)]
struct Orphan {
    link: LinkId,
    bytes: usize,
    run: Verified,
}

impl Spoke {
    /// Whether it is known to hold a range of records, and was never seen to lack a body of it.
    pub fn holds(&self, from: u64, to: u64) -> bool {
        self.has >= to && self.lacks < from
    }
}

/// The trees of all logs that are active.
#[derive(Debug, Default)]
pub(crate) struct Trees {
    pub(super) trees: BTreeMap<LogNo, Tree>,
    /// Logs for which a graft may be due, in order.
    pub(super) waiting: BTreeSet<LogNo>,
    orphan_bytes: usize,
}

/// How a link begins for a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    Eager,
    Lazy,
}

impl Trees {
    pub fn spoke(&mut self, log: LogNo, link: LinkId, begin: Begin) -> &mut Spoke {
        let spokes = &mut self.trees.entry(log).or_default().spokes;
        spokes.entry(link).or_insert(Spoke { eager: begin == Begin::Eager, has: 0, lacks: 0, told: 0 })
    }

    /// A link is known to hold headers of a log up to here.
    pub fn has(&mut self, log: LogNo, link: LinkId, begin: Begin, to: u64) {
        let spoke = self.spoke(log, link, begin);
        spoke.has = spoke.has.max(to);
    }

    /// A link showed headers of a log without their bodies, the last of them this one. Gives back up to where it was told of
    /// the log.
    pub fn lacks(&mut self, log: LogNo, link: LinkId, begin: Begin, last: u64) -> u64 {
        let spoke = self.spoke(log, link, begin);
        spoke.lacks = spoke.lacks.max(last);
        spoke.told
    }

    /// A run of a log was admitted, up to a height: whoever waits for it need not.
    pub fn arrived(&mut self, log: LogNo, from: Option<LinkId>, height: u64) {
        let tree = self.trees.entry(log).or_default();
        tree.parent = from.or(tree.parent);
        if tree.missing.as_ref().is_some_and(|missing| missing.to <= height) {
            tree.missing = None;
            self.waiting.remove(&log);
        }
    }

    /// Logs for which a graft may be due.
    pub fn waiting(&self) -> impl ExactSizeIterator<Item = LogNo> {
        self.waiting.iter().copied()
    }

    /// The link by which the newest record of a log came.
    pub fn parent(&self, log: LogNo) -> Option<LinkId> {
        self.trees.get(&log).and_then(|tree| tree.parent)
    }

    /// Links that runs of the log are pushed to.
    pub fn eager(&self, log: LogNo) -> Vec<LinkId> {
        let spokes = self.trees.get(&log).map(|tree| &tree.spokes);
        spokes.into_iter().flatten().filter(|(_, spoke)| spoke.eager).map(|(id, _)| *id).collect()
    }

    pub fn forget(&mut self, link: LinkId) {
        for (log, tree) in &mut self.trees {
            tree.spokes.remove(&link);
            tree.parent = tree.parent.filter(|parent| *parent != link);
            if let Some(missing) = &mut tree.missing {
                missing.announcers.retain(|announcer| *announcer != link);
                missing.asked.retain(|asked| *asked != link);
                if missing.announcers.is_empty() {
                    tree.missing = None;
                    self.waiting.remove(log);
                }
            }
            let kept = tree.orphans.iter().filter(|orphan| orphan.link != link).map(|orphan| orphan.bytes);
            let freed = tree.orphans.iter().map(|orphan| orphan.bytes).sum::<usize>() - kept.sum::<usize>();
            self.orphan_bytes -= freed;
            tree.orphans.retain(|orphan| orphan.link != link);
        }
    }

    /// The log's number is another's from now on.
    pub fn forget_log(&mut self, log: LogNo) {
        if let Some(tree) = self.trees.remove(&log) {
            self.orphan_bytes -= tree.orphans.iter().map(|orphan| orphan.bytes).sum::<usize>();
        }
        self.waiting.remove(&log);
    }

    /// How far a log goes by announcements that were not followed by its records yet, and who made them.
    pub fn announced(&self, log: LogNo) -> Option<(u64, &[LinkId])> {
        let missing = self.trees.get(&log)?.missing.as_ref()?;
        Some((missing.to, &missing.announcers))
    }

    /// Counts a copy of a run; the first is 1.
    pub fn count_copy(&mut self, log: LogNo, last: u64) -> u8 {
        let copies = &mut self.trees.entry(log).or_default().copies;
        if let Some(entry) = copies.iter_mut().find(|entry| entry.0 == last) {
            entry.1 = entry.1.saturating_add(1);
            return entry.1;
        }
        if copies.len() >= RECENT {
            copies.pop_front();
        }
        copies.push_back((last, 1));
        1
    }

    /// Bytes of runs that wait for the ones before them.
    pub fn orphan_bytes(&self) -> usize {
        self.orphan_bytes
    }

    /// Keeps a run that came in a page of so many bytes, if there is room.
    pub fn keep_orphan(&mut self, log: LogNo, link: LinkId, run: Verified, page: usize) {
        let bytes = page + in_memory(&run);
        let of_link: usize = self
            .trees
            .values()
            .flat_map(|tree| &tree.orphans)
            .filter(|orphan| orphan.link == link)
            .map(|orphan| orphan.bytes)
            .sum();
        let tree = self.trees.entry(log).or_default();
        let room = tree.orphans.len() < ORPHANS_PER_LOG
            && of_link + bytes <= ORPHAN_BYTES_PER_LINK
            && self.orphan_bytes + bytes <= ORPHAN_BYTES;
        if room {
            self.orphan_bytes += bytes;
            tree.orphans.push_back(Orphan { link, bytes, run });
        }
    }

    /// An orphan that follows `height`, overlaps it, or is known by now but for its bodies.
    pub fn next_orphan(&mut self, log: LogNo, height: u64) -> Option<(LinkId, Verified)> {
        let tree = self.trees.get_mut(&log)?;
        let at = tree.orphans.iter().position(|orphan| orphan.run.first_seq() <= height + 1)?;
        let orphan = tree.orphans.remove(at)?;
        self.orphan_bytes -= orphan.bytes;
        Some((orphan.link, orphan.run))
    }
}

/// What a run takes beside its page, which its bodies hold on to: a record of three bytes in a page is hundreds here.
fn in_memory(run: &Run) -> usize {
    let entries = run.entries();
    size_of_val(entries) + entries.iter().map(|entry| entry.header.extension.len()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: LogNo = LogNo(1);

    #[test]
    fn copies_are_counted_run_by_run() {
        let mut trees = Trees::default();
        assert_eq!([9, 9, 8, 9].map(|last| trees.count_copy(LOG, last)), [1, 2, 1, 3]);
        for last in 100..100 + RECENT as u64 {
            trees.count_copy(LOG, last);
        }
        assert_eq!(trees.count_copy(LOG, 9), 1, "of the oldest nothing is known any more");
    }

    #[test]
    fn what_waits_for_a_link_ends_with_it() {
        let mut trees = Trees::default();
        trees.arrived(LOG, Some(1), 4);
        trees.has(LOG, 2, Begin::Eager, 4);
        assert_eq!((trees.parent(LOG), trees.eager(LOG)), (Some(1), vec![2]));
        trees.forget(1);
        trees.forget(2);
        assert_eq!((trees.parent(LOG), trees.eager(LOG)), (None, vec![]));
    }
}
