//! Pushing: a run goes to eager links at once, and is announced to a few lazy ones with the next flush.
//!
//! The third copy of small records and the second of large ones prune the link they came by.

use tocsin_record::{Part, Run, page};
use tocsin_store::{BodyState, LogNo};

use super::tree::{Begin, Trees};
use crate::held::{Around, Held};
use crate::io::LinkId;
use crate::links::Links;
use crate::links::link::PendingHave;
use crate::message::tree::PUSH_BODY_MAX;
use crate::message::{Message, Push};

/// Lazy links that a new record is announced to.
const LAZY_LINKS: usize = 6;
/// Bodies together up to this many bytes are pushed in one run; more is announced.
pub(crate) const PUSH_MAX: usize = 64 << 10;
/// Records up to this many bytes are wanted from two sources.
const SMALL: usize = 4 << 10;

/// A link begins eager for logs that were not known when it came up, and lazy for the others. `is_renamed`: the log's number
/// was another's before.
pub(crate) fn begin(links: &Links, link: LinkId, log: LogNo, is_renamed: bool) -> Begin {
    let numbered = links.get(link).is_none_or(|link| log.0 < link.known_logs);
    if numbered && !is_renamed { Begin::Lazy } else { Begin::Eager }
}

/// How many copies of a run, which came in a page of so many bytes, are one too many.
pub(crate) fn too_many(run: &Run, bytes: usize) -> u8 {
    if bytes <= SMALL * run.entries().len() { 3 } else { 2 }
}

impl Trees {
    /// A run is to be handed on along links: gives back those to push it to now, and announces it to a few others. A run
    /// with more than [`PUSH_MAX`] bytes of bodies is only announced. `roll` gives a number below its argument.
    pub fn offer(
        &mut self,
        around: &mut Around<'_, impl Held>,
        links: &[LinkId],
        (log, run, is_renamed): (LogNo, &Run, bool),
        mut roll: impl FnMut(u64) -> u64,
    ) -> Vec<LinkId> {
        let to = run.tip().seq;
        let (mut eager, mut lazy, mut lacking) = (Vec::new(), Vec::new(), Vec::new());
        let pushable = run.body_bytes() <= PUSH_MAX;
        for &link in links {
            let behind = around.links.get(link).is_none_or(|link| link.behind);
            let spoke = self.spoke(log, link, begin(around.links, link, log, is_renamed));
            if spoke.told >= to || spoke.holds(run.first_seq(), to) {
                continue;
            }
            if spoke.eager && pushable && !behind {
                spoke.told = to;
                eager.push(link);
            } else if spoke.lacks >= run.first_seq() {
                lacking.push(link);
            } else {
                lazy.push(link);
            }
        }
        // A moving choice, so that over time every lazy link hears of something. Who showed a header without its body has heard
        // of the record, and may have nobody else to hear of the body from.
        while lazy.len() > LAZY_LINKS {
            let at = roll(lazy.len() as u64);
            lazy.swap_remove(usize::try_from(at).unwrap_or(0));
        }
        for link in lacking.into_iter().chain(lazy) {
            self.note_have(around, link, log, (run.first_seq(), to), is_renamed);
        }
        eager
    }

    /// Records of a log, from one to another, are announced to a link with the next flush.
    fn note_have(
        &mut self,
        around: &mut Around<'_, impl Held>,
        link: LinkId,
        log: LogNo,
        (from, to): (u64, u64),
        is_renamed: bool,
    ) {
        let spoke = self.spoke(log, link, begin(around.links, link, log, is_renamed));
        if spoke.told >= to {
            return;
        }
        spoke.told = to;
        let admitted = around.mono;
        if let Some(link) = around.links.get_mut(link) {
            let have = link.haves.entry(log).or_insert(PendingHave { from, to, admitted });
            have.from = have.from.min(from);
            have.to = have.to.max(to);
            have.admitted = admitted;
        }
    }

    /// Takes out what is to be announced to a link by now, but for what it is known to hold: a header that it passed on without
    /// the body says nothing of that.
    pub fn take_haves(&mut self, links: &mut Links, link: LinkId) -> Vec<(LogNo, PendingHave)> {
        let pending = links.get_mut(link).map(|link| std::mem::take(&mut link.haves)).unwrap_or_default();
        let mut lacks = |(log, have): &(LogNo, PendingHave)| {
            !self.spoke(*log, link, Begin::Lazy).holds(have.from, have.to)
        };
        pending.into_iter().filter(|pending| lacks(pending)).collect()
    }
}

/// Pushes a run. `allowed` says of each link which of the run's bodies it may have, `states` how each body is held: links
/// that may have the same bodies get the same page.
pub(crate) fn push(
    around: &mut Around<'_, impl Held>,
    log: LogNo,
    run: &Run,
    states: &[BodyState],
    allowed: impl IntoIterator<Item = (LinkId, Vec<bool>)>,
) {
    let mut pages: Vec<(Vec<bool>, Vec<u8>)> = Vec::new();
    for (link, allowed) in allowed {
        let at = pages.iter().position(|(parts, _)| *parts == allowed).unwrap_or_else(|| {
            let page = page_for(run, states, &allowed);
            pages.push((allowed, page));
            pages.len() - 1
        });
        let page = pages[at].1.clone();
        if let Some(no) = around.number(link, log) {
            around.links.tell(link, Message::Push(Push { log: no, reply: false, page }));
        }
    }
}

/// A run with the bodies that are allowed, small enough and held; of the others it says why not.
fn page_for(run: &Run, states: &[BodyState], allowed: &[bool]) -> Vec<u8> {
    let mut sent = run.clone();
    for (((_, part), state), allowed) in sent.bodies_mut().zip(states).zip(allowed) {
        *part = match (state, &*part) {
            (BodyState::Gone(reason), _) => Part::Gone(*reason),
            (BodyState::Here, _) if !allowed => Part::Withheld,
            (BodyState::Here, Part::Here(body)) if body.len() <= PUSH_BODY_MAX => continue,
            (BodyState::Here, _) => Part::Ask,
            _ => Part::NotHeld,
        };
    }
    page::encode(&sent)
}

#[cfg(test)]
mod tests {
    use tocsin_record::body::Body;
    use tocsin_record::{Tip, Verified, testing};

    use super::*;
    use crate::held::testing::Shelf;
    use crate::links::testing::{links, told};

    const LOG: LogNo = LogNo(4);

    fn run() -> Run {
        let author = testing::secret(1);
        let draft = testing::draft(&Body::Report(testing::report(1)), testing::START_MS);
        Verified::sign(&author, testing::log(&author), Tip::default(), vec![draft]).unwrap().into_run()
    }

    #[test]
    fn a_run_is_pushed_to_eager_links_and_announced_to_a_few_lazy_ones() {
        let (shelf, run) = (Shelf::default(), run());
        let (mut links, mut trees) = (links(12), Trees::default());
        let mut around = Around { held: &shelf, links: &mut links, mono: 0 };
        for link in [1, 2] {
            trees.grafted(LOG, link, 0);
        }
        trees.has(LOG, 2, Begin::Eager, 1);
        for link in 3..=12 {
            trees.pruned(LOG, link);
        }
        let all: Vec<LinkId> = (1..=12).collect();
        assert_eq!(trees.offer(&mut around, &all, (LOG, &run, false), |_| 0), [1], "link 2 has it already");
        let announced = all.iter().filter(|link| !trees.take_haves(around.links, **link).is_empty());
        assert_eq!(announced.count(), LAZY_LINKS);
        assert!(trees.offer(&mut around, &all, (LOG, &run, false), |_| 0).is_empty(), "nobody is told twice");
    }

    #[test]
    fn whoever_lacks_a_body_is_told_and_not_only_a_few_of_them() {
        let (shelf, run) = (Shelf::default(), run());
        let (mut links, mut trees) = (links(12), Trees::default());
        let mut around = Around { held: &shelf, links: &mut links, mono: 0 };
        let all: Vec<LinkId> = (1..=12).collect();
        for link in &all {
            trees.pruned(LOG, *link);
        }
        for link in 1..=9 {
            trees.lacks(LOG, link, Begin::Lazy, 1);
        }
        assert!(trees.offer(&mut around, &all, (LOG, &run, false), |_| 0).is_empty());
        let told = |trees: &mut Trees, links: &mut Links, link| !trees.take_haves(links, link).is_empty();
        assert!((1..=9).all(|link| told(&mut trees, around.links, link)));
    }

    #[test]
    fn who_showed_a_header_without_its_body_is_told_who_has_that() {
        let (shelf, run) = (Shelf::default(), run());
        let (mut links, mut trees) = (links(4), Trees::default());
        let mut around = Around { held: &shelf, links: &mut links, mono: 0 };
        trees.grafted(LOG, 1, 0);
        for link in [2, 3, 4] {
            trees.pruned(LOG, link);
        }
        // Before the run came here, and while its announcement waits; link 4 shows the body as well.
        for link in [1, 2] {
            trees.has(LOG, link, Begin::Lazy, 1);
            trees.lacks(LOG, link, Begin::Lazy, 1);
        }
        assert_eq!(trees.offer(&mut around, &[1, 2, 3, 4], (LOG, &run, false), |_| 0), [1]);
        for link in [3, 4] {
            trees.has(LOG, link, Begin::Lazy, 1);
        }
        trees.lacks(LOG, 3, Begin::Lazy, 1);
        let told = [1, 2, 3, 4].map(|link| trees.take_haves(around.links, link).len());
        assert_eq!(told, [0, 1, 1, 0]);
    }

    #[test]
    fn a_link_gets_the_bodies_that_it_may_have() {
        let (shelf, run) = (Shelf::default(), run());
        let mut links = links(3);
        let mut around = Around { held: &shelf, links: &mut links, mono: 0 };
        let allowed = [(1, vec![true]), (2, vec![false]), (3, vec![true])];
        push(&mut around, LOG, &run, &[BodyState::Here], allowed);
        let page = |link| match &told(around.links, link)[..] {
            [Message::Push(push)] => push.page.clone(),
            other => panic!("{other:?}"),
        };
        let pages = [1, 2, 3].map(page);
        assert_eq!(pages[0], pages[2]);
        assert_eq!(pages[0], page::encode(&run));
        assert!(pages[1].len() < pages[0].len(), "the body is left out");
    }
}
