//! Bodies behind known headers: who announced them, who was asked, and what becomes available late.
//!
//! A body is asked for singly and only from a peer that announced it. `Withheld`, `NotHeld` and `Gone` clear that. What
//! was never announced, or whose announcement was lost, is found by `Holes`.

mod holes;
mod rounds;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use tocsin_record::{Class, NodeKey, OrgId};
use tocsin_store::{LogNo, RecordRef, StoreError};

use crate::bounds::GAP_MAX;
use crate::catchup::CatchUp;
use crate::held::{Around, Held};
use crate::io::LinkId;
use crate::links::Links;
use crate::links::budget::cost;
use crate::message::body::REFS_MAX;
pub(crate) use holes::{say_due_holes, say_holes};

/// Most bodies whose announcers are remembered; the others are found by `Holes` later.
const SOURCES_MAX: usize = 100_000;
/// Most of them by one link, and by all links of one org: what it announces and never gives leaves room for the others.
const SOURCES_OF_LINK_MAX: usize = 8192;
const SOURCES_OF_ORG_MAX: usize = 16_384;
/// Most announcers remembered for one body, and of them of one org.
const LINKS_MAX: usize = 8;
const LINKS_OF_ORG_MAX: usize = 2;
/// Records so near to each other are taken to be in one page.
const NEIGHBOURS: u64 = 64;
/// Most bodies asked of one peer at once.
const ASKED_MAX: usize = 256;
/// An answer is waited for so long, beside four round trips and what the body takes at a slow link's speed, before another
/// announcer is asked, in ms: commits and flushes of a slow disk. What comes later is taken all the same.
const PATIENCE_MS: u64 = 1_500;
/// Bytes a millisecond of a slow link.
const SLOW: u64 = 64;
/// Each further round over all announcers waits twice as long, so often.
const ROUNDS_MAX: u32 = 4;

/// What is asked for first: by class, then the newest.
type Order = (Class, Reverse<u64>);

#[derive(Debug)]
struct Source {
    order: Order,
    links: Vec<(LinkId, OrgId)>,
    withheld: bool,
    /// Length of the body, in bytes.
    len: u32,
    /// Announcers that did not answer in this round, and how many rounds there were.
    silent: Vec<LinkId>,
    rounds: u32,
}

impl Source {
    /// How long an answer is waited for beside the round trips, in ms.
    fn patience(&self) -> u64 {
        (PATIENCE_MS + u64::from(self.len) / SLOW) << self.rounds
    }

    /// Begins the next round where all that are left were silent.
    fn go_round(&mut self) {
        if !self.silent.is_empty() && self.links.iter().all(|(link, _)| self.silent.contains(link)) {
            self.silent.clear();
            self.rounds = (self.rounds + 1).min(ROUNDS_MAX);
        }
    }
}

/// Wanted bodies that someone announced.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    sources: BTreeMap<RecordRef, Source>,
    /// The same in the order in which they are asked for.
    turns: BTreeSet<(Order, RecordRef)>,
    /// How many bodies each link is remembered to have announced.
    by_link: BTreeMap<LinkId, usize>,
    /// And how many the links of each org.
    by_org: BTreeMap<OrgId, usize>,
    asked: BTreeMap<RecordRef, (LinkId, u64)>,
    changed: bool,
    /// Wanted bodies that an announcer did not give: the others are asked whether they may.
    sought: BTreeSet<RecordRef>,
}

impl Bodies {
    pub fn forget(&mut self, link: LinkId) {
        self.asked.retain(|_, (asked, _)| *asked != link);
        let mut fewer = Vec::new();
        for source in self.sources.values_mut() {
            fewer.extend(source.links.extract_if(.., |(announcer, _)| *announcer == link));
            source.go_round();
        }
        let turns = &mut self.turns;
        self.sources.retain(|place, source| {
            let stays = !source.links.is_empty();
            if !stays {
                turns.remove(&(source.order, *place));
            }
            stays
        });
        for announcer in fewer {
            self.count_less(announcer);
        }
        self.changed = true;
    }

    pub fn settled(&mut self, place: RecordRef) {
        if let Some(source) = self.sources.remove(&place) {
            self.turns.remove(&(source.order, place));
            for announcer in source.links {
                self.count_less(announcer);
            }
        }
        self.asked.remove(&place);
    }

    fn count_less(&mut self, (link, org): (LinkId, OrgId)) {
        less(&mut self.by_link, link);
        less(&mut self.by_org, org);
    }

    /// Whether one more body may be remembered of a link.
    fn has_room(&self, link: LinkId, org: OrgId) -> bool {
        self.sources.len() < SOURCES_MAX
            && self.by_link.get(&link).is_none_or(|count| *count < SOURCES_OF_LINK_MAX)
            && self.by_org.get(&org).is_none_or(|count| *count < SOURCES_OF_ORG_MAX)
    }

    /// A link no longer gives a body. Returns whether nobody is left who would, and whether somebody withheld it.
    fn drop_source(&mut self, place: RecordRef, link: Option<LinkId>, withheld: bool) -> (bool, bool) {
        let Some(source) = self.sources.get_mut(&place) else {
            return (true, withheld);
        };
        let at = source.links.iter().position(|(announcer, _)| Some(*announcer) == link);
        let fewer = at.map(|at| source.links.remove(at));
        source.withheld |= withheld;
        source.go_round();
        let withheld = source.withheld;
        let nobody = source.links.is_empty();
        if nobody {
            self.turns.remove(&(source.order, place));
            self.sources.remove(&place);
        }
        if let Some(announcer) = fewer {
            self.count_less(announcer);
        }
        (nobody, withheld)
    }

    /// A body that is to be asked for, of whoever announces it.
    fn enter(&mut self, place: RecordRef, order: Order, len: u32) -> &mut Source {
        let source = Source { order, links: Vec::new(), withheld: false, len, silent: Vec::new(), rounds: 0 };
        self.turns.insert((order, place));
        self.sources.entry(place).or_insert(source)
    }

    /// How many bodies the links may be asked for by now that they have not been asked for, all together, at most: as many
    /// as they announced, and as one link may owe.
    fn room(&self, busy: &BTreeMap<LinkId, usize>, most: impl Fn(LinkId) -> usize) -> usize {
        let of_link = |(link, announced): (&LinkId, &usize)| {
            let busy = busy.get(link).copied().unwrap_or(0);
            (*announced).min(most(*link)).saturating_sub(busy)
        };
        self.by_link.iter().map(of_link).sum()
    }

    /// An announcer did not answer: it is asked again when the others were.
    fn is_late(&mut self, place: RecordRef, link: LinkId) {
        self.asked.remove(&place);
        self.changed = true;
        if let Some(source) = self.sources.get_mut(&place) {
            source.silent.push(link);
            source.go_round();
            self.seek(place);
        }
    }

    fn seek(&mut self, place: RecordRef) {
        if self.sought.len() < REFS_MAX {
            self.sought.insert(place);
        }
    }

    /// Wanted bodies that have not come and that a peer announced of whom `is_believed`.
    pub fn announced(&self, is_believed: impl Fn(LinkId) -> bool) -> impl Iterator<Item = RecordRef> {
        let believed = move |source: &Source| source.links.iter().any(|(link, _)| is_believed(*link));
        self.sources.iter().filter(move |(_, source)| believed(source)).map(|(place, _)| *place)
    }
}

pub(crate) fn less<N: Ord>(counts: &mut BTreeMap<N, usize>, of: N) {
    if let Some(count) = counts.get_mut(&of) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(&of);
        }
    }
}

impl CatchUp {
    /// A peer may give this body.
    pub fn announced_body(
        &mut self,
        around: &Around<'_, impl Held>,
        link: LinkId,
        place: RecordRef,
    ) -> Result<(), StoreError> {
        let Some(peer) = around.links.peer(link) else {
            return Ok(());
        };
        if !self.bodies.has_room(link, peer.org) || !around.held.is_missing(place) {
            return Ok(());
        }
        if !self.bodies.sources.contains_key(&place) {
            let Some(header) = around.held.header(place)? else {
                return Ok(());
            };
            let order = (header.class, Reverse(header.time));
            self.bodies.enter(place, order, header.body_len);
        }
        self.make_room(around.links, place, peer.node);
        if let Some(source) = self.bodies.sources.get_mut(&place)
            && source.links.len() < LINKS_MAX
            && source.links.iter().filter(|(_, org)| *org == peer.org).count() < LINKS_OF_ORG_MAX
            && !source.links.iter().any(|(announcer, _)| *announcer == link)
        {
            source.links.push((link, peer.org));
            self.bodies.changed = true;
            *self.bodies.by_link.entry(link).or_default() += 1;
            *self.bodies.by_org.entry(peer.org).or_default() += 1;
        }
        Ok(())
    }

    /// Where as many announce a body as are remembered, the one whose claims failed most gives way to one of whom better is
    /// known.
    fn make_room(&mut self, links: &Links, place: RecordRef, newcomer: NodeKey) {
        let Some(source) =
            self.bodies.sources.get_mut(&place).filter(|source| source.links.len() >= LINKS_MAX)
        else {
            return;
        };
        let weight = |link: &LinkId| {
            let peer = links.peer(*link);
            peer.map_or(0, |peer| self.sources.weight(peer.node))
        };
        let least = source.links.iter().enumerate().min_by_key(|(_, (link, _))| weight(link));
        if let Some((at, (link, _))) = least
            && weight(link) < self.sources.weight(newcomer)
        {
            let announcer = source.links.remove(at);
            self.bodies.count_less(announcer);
        }
    }

    /// A peer announced some of a log. Where its headers are not here they may come by another, who may not give the bodies.
    pub fn announced_range(
        &mut self,
        around: &mut Around<'_, impl Held>,
        link: LinkId,
        log: LogNo,
        from: u64,
        to: u64,
        except: &BTreeSet<u64>,
    ) -> Result<(), StoreError> {
        let height = around.held.height(log);
        for seq in from.max(height + 1)..=to.min(height + GAP_MAX) {
            if !except.contains(&seq) {
                around.links.did(cost::THING);
                self.announced_early(around, link, RecordRef { log, seq });
            }
        }
        let to = to.min(around.held.height(log));
        if from > to || !around.links.pays(cost::THING) {
            return Ok(());
        }
        let most = usize::try_from(to - from).map_or(REFS_MAX, |more| REFS_MAX.min(more.saturating_add(1)));
        let missing = around.held.missing(RecordRef { log, seq: from }, most);
        around.links.did(cost::walk(missing.len()));
        let mut before = None;
        for place in missing.into_iter().take_while(|place| place.log == log && place.seq <= to) {
            if !except.contains(&place.seq) && !self.announced_by(around, link, place, &mut before)? {
                break;
            }
        }
        Ok(())
    }

    /// As [`Self::announced_body`], by a peer that pays for what must be read. `before` is the place that was read last:
    /// its neighbours are in the same page. Returns whether the peer could pay; what it could not is found by `Holes`.
    pub fn announced_by(
        &mut self,
        around: &mut Around<'_, impl Held>,
        link: LinkId,
        place: RecordRef,
        before: &mut Option<RecordRef>,
    ) -> Result<bool, StoreError> {
        let room = around.links.peer(link);
        let room = room.is_some_and(|peer| self.bodies.has_room(link, peer.org));
        if !room || self.bodies.sources.contains_key(&place) || !around.held.is_missing(place) {
            // Nothing is read.
            let pays = around.links.pays(cost::THING);
            self.announced_body(around, link, place)?;
            return Ok(pays);
        }
        let near = before
            .is_some_and(|before| before.log == place.log && before.seq.abs_diff(place.seq) < NEIGHBOURS);
        let price = if near { cost::RECORD } else { around.held.reading(place.log, place.seq) };
        *before = Some(place);
        let pays = around.links.pays(price);
        if pays {
            self.announced_body(around, link, place)?;
        }
        Ok(pays)
    }

    /// A peer announced the body of a record that is not here, and that may still be taken.
    pub fn announced_early(&mut self, around: &Around<'_, impl Held>, link: LinkId, place: RecordRef) {
        let height = around.held.height(place.log);
        let reach = around.held.takes_up_to(place.log).min(height.saturating_add(GAP_MAX));
        if (height + 1..=reach).contains(&place.seq)
            && let Some(peer) = around.links.peer(link)
        {
            self.early.note(place, link, peer.org);
        }
    }

    /// Headers came: whoever announced their bodies may be asked for those that did not come with them.
    pub fn headers_came(&mut self, around: &Around<'_, impl Held>, log: LogNo) -> Result<(), StoreError> {
        for (place, announcers) in self.early.take(log, around.held.height(log)) {
            for (link, _) in announcers {
                self.announced_body(around, link, place)?;
            }
        }
        Ok(())
    }

    /// A body came, or is not wanted any more.
    pub fn settled(&mut self, place: RecordRef) {
        self.bodies.settled(place);
    }

    /// A peer said something of a body. Whether it was asked for it; it is not waited for any more.
    pub fn answered(&mut self, link: LinkId, place: RecordRef) -> bool {
        let asked = self.bodies.asked.get(&place).is_some_and(|(asked, _)| *asked == link);
        if asked {
            self.bodies.asked.remove(&place);
        }
        asked
    }

    /// Somebody else may be asked with the next commit.
    pub fn look_again(&mut self) {
        self.bodies.changed = true;
    }

    /// A peer will not give a body. True when nobody is left who would, and somebody said that it withholds it.
    /// One that no link leads to announced nothing.
    pub fn refused(&mut self, link: Option<LinkId>, place: RecordRef, withheld: bool) -> bool {
        let (nobody, was_withheld) = self.bodies.drop_source(place, link, withheld);
        if let Some(link) = link {
            self.answered(link, place);
        }
        self.look_again();
        nobody && was_withheld
    }

    /// A peer does not hold what it announced: all others are asked, with the next second.
    pub fn seek(&mut self, place: RecordRef) {
        self.bodies.seek(place);
    }

    /// Wanted bodies that have not come and that a peer announced of whom `is_believed`.
    pub fn announced(&self, is_believed: impl Fn(LinkId) -> bool) -> impl Iterator<Item = RecordRef> {
        self.bodies.announced(is_believed)
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::SeedableRng as _;

    use super::*;
    use crate::held::testing::Shelf;
    use crate::links::testing::{links, told};
    use crate::message::{Message, RecordAt};

    #[test]
    fn many_links_of_one_org_leave_room_for_others() {
        let mut bodies = Bodies::default();
        let [one, other] = [1, 2].map(|seed| OrgId([seed; 32]));
        let links = SOURCES_OF_ORG_MAX / SOURCES_OF_LINK_MAX;
        for link in 0..links as LinkId {
            assert!(bodies.has_room(link, one));
            for seq in 0..SOURCES_OF_LINK_MAX as u64 {
                let place = RecordRef { log: LogNo(0), seq };
                let order = (Class::Content, Reverse(0));
                bodies.enter(place, order, 1).links.push((link, one));
                *bodies.by_link.entry(link).or_default() += 1;
                *bodies.by_org.entry(one).or_default() += 1;
            }
            assert!(!bodies.has_room(link, one));
        }
        assert!(!bodies.has_room(99, one) && bodies.has_room(99, other));
        bodies.settled(RecordRef { log: LogNo(0), seq: 1 });
        assert!(bodies.has_room(99, one));
        assert_eq!(bodies.turns.len(), bodies.sources.len());
        // Who owes all that may be asked of it leaves nothing to look for.
        let owes = |count: usize| (0..links as LinkId).map(|link| (link, count)).collect();
        assert_eq!(bodies.room(&owes(0), |_| ASKED_MAX), links * ASKED_MAX);
        assert_eq!(bodies.room(&owes(ASKED_MAX - 1), |_| ASKED_MAX), links);
        assert_eq!(bodies.room(&owes(ASKED_MAX), |_| ASKED_MAX), 0);
        bodies.forget(0);
        bodies.forget(1);
        assert!(bodies.sources.is_empty() && bodies.by_link.is_empty() && bodies.by_org.is_empty());
        assert!(bodies.turns.is_empty());
    }

    #[test]
    fn a_body_is_asked_for_once_and_of_the_next_when_the_first_is_silent() {
        let log = LogNo(7);
        let shelf = Shelf::lacking(log, 1);
        let mut links = links(2);
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut catchup = CatchUp::default();
        let place = RecordRef { log, seq: 1 };
        let mut around = Around { held: &shelf, links: &mut links, mono: 0 };
        for link in [1, 2] {
            catchup.announced_body(&around, link, place).unwrap();
        }
        let mut asked = BTreeSet::new();
        for _ in 0..2 {
            catchup.want_bodies(&mut around, &mut random);
            catchup.want_bodies(&mut around, &mut random);
            let told: Vec<(LinkId, Message)> = [1, 2]
                .into_iter()
                .flat_map(|link| told(around.links, link).into_iter().map(move |m| (link, m)))
                .collect();
            let [(link, Message::WantBodies(refs))] = &told[..] else { panic!("{told:?}") };
            assert_eq!(refs, &[RecordAt { log: 0, seq: 1 }]);
            asked.insert(*link);
            around.mono += 60_000;
            catchup.bodies_timeouts(&mut around);
        }
        assert_eq!(asked, BTreeSet::from([1, 2]));
    }

    #[test]
    fn what_is_not_wanted_any_more_is_asked_of_nobody_else() {
        let log = LogNo(7);
        let mut shelf = Shelf::lacking(log, 1);
        let mut links = links(2);
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut catchup = CatchUp::default();
        let place = RecordRef { log, seq: 1 };
        let mut around = Around { held: &shelf, links: &mut links, mono: 0 };
        for link in [1, 2] {
            catchup.announced_body(&around, link, place).unwrap();
        }
        catchup.want_bodies(&mut around, &mut random);
        let asked: usize = [1, 2].into_iter().map(|link| told(around.links, link).len()).sum();
        assert_eq!(asked, 1);
        // It is refused, or taken back, while the one that was asked is silent.
        shelf.missing.clear();
        let mut around = Around { held: &shelf, links: &mut links, mono: 60_000 };
        catchup.bodies_timeouts(&mut around);
        catchup.want_bodies(&mut around, &mut random);
        assert!([1, 2].into_iter().all(|link| told(around.links, link).is_empty()));
        assert_eq!(catchup.announced(|_| true).count(), 0, "nor does it count as missing");
    }

    #[test]
    fn what_is_held_or_beyond_what_is_taken_is_asked_of_nobody() {
        let log = LogNo(7);
        let mut shelf = Shelf::lacking(log, 2);
        shelf.missing.remove(&RecordRef { log, seq: 1 });
        let mut links = links(1);
        let mut catchup = CatchUp::default();
        let mut around = Around { held: &shelf, links: &mut links, mono: 0 };
        catchup.announced_range(&mut around, 1, log, 1, u64::MAX, &BTreeSet::new()).unwrap();
        let announced: Vec<u64> = catchup.announced(|_| true).map(|place| place.seq).collect();
        assert_eq!(announced, [2]);
        // The bodies behind it are remembered until their headers come.
        let shelf = Shelf::lacking(log, 4);
        let around = Around { held: &shelf, links: &mut links, mono: 0 };
        catchup.headers_came(&around, log).unwrap();
        assert_eq!(catchup.announced(|_| true).count(), 3);
    }

    #[test]
    fn a_body_is_withheld_when_nobody_is_left_and_one_said_so() {
        let log = LogNo(7);
        let shelf = Shelf::lacking(log, 1);
        let mut links = links(2);
        let mut catchup = CatchUp::default();
        let place = RecordRef { log, seq: 1 };
        let around = Around { held: &shelf, links: &mut links, mono: 0 };
        for link in [1, 2] {
            catchup.announced_body(&around, link, place).unwrap();
        }
        assert!(!catchup.refused(Some(1), place, true));
        assert!(catchup.refused(Some(2), place, false));
    }
}
