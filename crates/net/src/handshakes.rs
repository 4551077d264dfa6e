//! Who may be in the middle of a handshake with this node, and who gives way when there is no more room.
//!
//! Nobody has proven anything yet here, so all there is to go by is where a connection comes from: a *host*, which is an
//! IPv4 address or an IPv6 /64. Three rules keep a partner's way open whatever strangers do:
//!
//! - Hosts that the charter names, or at which a member was seen, have places of their own.
//! - Where places are full, the host that holds most of them gives one up, never the newcomer: of those that said nothing
//!   yet the oldest, else the oldest. So silent sockets lose to whoever speaks, and a host that takes much to one that
//!   takes little.
//! - A host begins so many handshakes a second and no more. Beyond a bound for all strangers together only hosts that began
//!   none of late may still begin one, so that many busy hosts do not cost this node its processor. At a member's host
//!   only those that speak are counted, since a stranger there may be silent very often.
//!
//! A source address that is not proven (the first packet of QUIC) counts as nobody's, see [`Handshakes::enter_unproven`].

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::PeerKey;
use super::host::Host;
use super::link::lock;
use super::pressure::{Counts, OfLate, Pressure, Via};
use super::rate::{Bucket, Rate};

/// Longest handshake that a peer began. Three round trips of a satellite link (600 ms each) fit.
pub(super) const WITHIN: Duration = Duration::from_secs(3);
/// QUIC handshakes under way from addresses that are not proven. The next ones are asked to prove theirs (RFC 9000, 8.1.2).
const UNPROVEN: usize = 16;
/// Handshakes that a stranger's host begins: so many a second, and so many at once after a rest.
const HOST_RATE: Rate = Rate { a_second: 40.0, at_once: 128.0 };
/// The same for a host of members, where several nodes may be.
const MEMBER_RATE: Rate = Rate { a_second: 200.0, at_once: 400.0 };
/// The same for all strangers together. At about a millisecond each this is a fifth of a core.
const STRANGERS_RATE: Rate = Rate { a_second: 200.0, at_once: 256.0 };
/// The same again for those beyond it whose host began none within [`RESTED`].
const RESTED_RATE: Rate = Rate { a_second: 200.0, at_once: 256.0 };
/// A host that began no handshake for so long has rested.
const RESTED: Duration = Duration::from_secs(2);
/// Hosts whose rates are remembered, at 60 bytes each.
const HOSTS: usize = 4096;
/// Hosts remembered of one member.
const SEEN_OF_ONE: usize = 8;

/// Most handshakes under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Of strangers' hosts together.
    pub(super) strangers: usize,
    /// Of hosts of members together.
    pub(super) members: usize,
    /// Of one host.
    pub(super) host: usize,
}

/// Whose places a handshake takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Class {
    Member,
    Stranger,
    Unproven,
}

/// All handshakes that others began.
pub(super) struct Handshakes {
    room: Room,
    table: Mutex<Table>,
}

struct Table {
    /// By number, which grows with time.
    under_way: HashMap<u64, UnderWay>,
    /// By whose they are.
    places: HashMap<(Class, Host), Places>,
    next: u64,
    hosts: HashMap<Host, Bucket>,
    strangers: Bucket,
    rested: Bucket,
    members: Members,
    pressure: Pressure,
}

/// The numbers of one host's handshakes.
#[derive(Default)]
struct Places {
    silent: BTreeSet<u64>,
    speaking: BTreeSet<u64>,
}

impl Places {
    fn len(&self) -> usize {
        self.silent.len() + self.speaking.len()
    }

    fn oldest(&self) -> Option<u64> {
        let first = |numbers: &BTreeSet<u64>| numbers.first().copied();
        first(&self.silent).into_iter().chain(first(&self.speaking)).min()
    }

    /// The one that gives way.
    fn least(&self) -> Option<u64> {
        self.silent.first().or(self.speaking.first()).copied()
    }
}

struct UnderWay {
    class: Class,
    host: Host,
    via: Via,
    waker: Option<Waker>,
}

/// Hosts of members.
#[derive(Default)]
struct Members {
    named: HashSet<Host>,
    /// By member, the newest last.
    seen: HashMap<PeerKey, VecDeque<Host>>,
    /// Both together.
    all: HashSet<Host>,
}

impl Members {
    fn gather(&mut self) {
        self.all = self.named.iter().chain(self.seen.values().flatten()).copied().collect();
    }
}

impl Handshakes {
    pub(super) fn new(room: Room) -> Self {
        let now = Instant::now();
        let table = Table {
            under_way: HashMap::new(),
            places: HashMap::new(),
            next: 0,
            hosts: HashMap::new(),
            strangers: Bucket::full(STRANGERS_RATE, now),
            rested: Bucket::full(RESTED_RATE, now),
            members: Members::default(),
            pressure: Pressure::default(),
        };
        Self { room, table: Mutex::new(table) }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }

    /// Hosts under which members are known to be reached; these replace the ones said before.
    pub(super) fn name(&self, hosts: HashSet<Host>) {
        let mut table = self.table();
        table.members.named = hosts;
        table.members.gather();
    }

    /// A member has proven its key from this host.
    pub(super) fn see(&self, peer: &PeerKey, host: Host) {
        let members = &mut self.table().members;
        let seen = members.seen.entry(*peer).or_default();
        if seen.contains(&host) {
            return;
        }
        if seen.len() == SEEN_OF_ONE {
            seen.pop_front();
        }
        seen.push_back(host);
        members.gather();
    }

    /// This key is no member's any more.
    pub(super) fn forget(&self, peer: &PeerKey) {
        let members = &mut self.table().members;
        if members.seen.remove(peer).is_some() {
            members.gather();
        }
    }

    /// A connection came from a proven address; it said nothing yet. `None` if its host begins too many, else others may
    /// have given way.
    pub(super) fn enter(self: &Arc<Self>, host: Host, via: Via) -> Option<Place> {
        let mut table = self.table();
        let class = table.class_of(host);
        if class == Class::Stranger && !table.may_begin(host, class, via) {
            return None;
        }
        Some(self.make_room(&mut table, class, host, via))
    }

    /// The same, of one that has spoken, in so far as its address is proven by what it said.
    pub(super) fn enter_speaking(self: &Arc<Self>, host: Host, via: Via) -> Option<Place> {
        let mut table = self.table();
        let class = table.class_of(host);
        if !table.may_begin(host, class, via) {
            return None;
        }
        let place = self.make_room(&mut table, class, host, via);
        table.speaks(place.number);
        Some(place)
    }

    fn make_room(self: &Arc<Self>, table: &mut Table, class: Class, host: Host, via: Via) -> Place {
        let most = match class {
            Class::Member => self.room.members,
            Class::Stranger | Class::Unproven => self.room.strangers,
        };
        let of_host = table.places.get(&(class, host)).map_or(0, Places::len);
        if of_host >= self.room.host {
            table.give_way(class, host);
        } else if table.count(class) >= most
            && let Some(host) = table.greediest(class)
        {
            table.give_way(class, host);
        }
        self.place(table, class, host, via)
    }

    /// A handshake begins from an address that may be forged. `None` if there are so many of these that it must be
    /// proven first.
    pub(super) fn enter_unproven(self: &Arc<Self>, host: Host, via: Via) -> Option<Place> {
        let mut table = self.table();
        if table.count(Class::Unproven) >= UNPROVEN {
            // Whose address it is nobody knows, so no host is counted.
            table.pressure.count(via, None, |counts| counts.asked_to_prove += 1);
            return None;
        }
        Some(self.place(&mut table, Class::Unproven, host, via))
    }

    fn place(self: &Arc<Self>, table: &mut Table, class: Class, host: Host, via: Via) -> Place {
        let number = table.next;
        table.next += 1;
        table.under_way.insert(number, UnderWay { class, host, via, waker: None });
        table.places.entry((class, host)).or_default().silent.insert(number);
        let proven = (class != Class::Unproven).then_some(host);
        table.pressure.count(via, proven, |counts| counts.begun += 1);
        Place { handshakes: self.clone(), number, via, host: proven }
    }

    /// There was no descriptor for a connection.
    pub(super) fn lack(&self, what: String) {
        self.table().pressure.lack(what);
    }

    /// A listener had an error.
    pub(super) fn fault(&self, what: String) {
        self.table().pressure.fault(what);
    }

    /// How it stands with strangers.
    pub(super) fn pressure(&self) -> Pressure {
        let table = self.table();
        let mut pressure = table.pressure.clone();
        for under_way in table.under_way.values() {
            pressure.of_mut(under_way.via).under_way += 1;
        }
        pressure
    }

    /// What of it an operator should be told now; at most once in a [`SPAN`](super::pressure::SPAN).
    pub(super) fn news(&self, now: Instant) -> Option<OfLate> {
        self.table().pressure.news(now)
    }
}

impl Table {
    fn class_of(&self, host: Host) -> Class {
        if self.members.all.contains(&host) { Class::Member } else { Class::Stranger }
    }

    fn count(&self, class: Class) -> usize {
        self.places.iter().filter(|((of, _), _)| *of == class).map(|(_, places)| places.len()).sum()
    }

    /// The host that holds most places; of several, the one whose oldest handshake is the oldest.
    fn greediest(&self, class: Class) -> Option<Host> {
        let of_class = self.places.iter().filter(|((of, _), _)| *of == class);
        of_class
            .max_by_key(|(_, places)| (places.len(), std::cmp::Reverse(places.oldest())))
            .map(|((_, host), _)| *host)
    }

    fn speaks(&mut self, number: u64) {
        if let Some(under_way) = self.under_way.get(&number)
            && let Some(places) = self.places.get_mut(&(under_way.class, under_way.host))
            && places.silent.remove(&number)
        {
            places.speaking.insert(number);
        }
    }

    /// Ends the handshake of a host that is the first to give way.
    fn give_way(&mut self, class: Class, host: Host) {
        let least = self.places.get(&(class, host)).and_then(Places::least);
        if let Some(under_way) = least.and_then(|number| self.leave(number)) {
            self.pressure.count(under_way.via, Some(host), |counts| counts.gave_way += 1);
            if let Some(waker) = under_way.waker {
                waker.wake();
            }
        }
    }

    fn leave(&mut self, number: u64) -> Option<UnderWay> {
        let under_way = self.under_way.remove(&number)?;
        let whose = (under_way.class, under_way.host);
        if let Some(places) = self.places.get_mut(&whose) {
            places.silent.remove(&number);
            places.speaking.remove(&number);
            if places.len() == 0 {
                self.places.remove(&whose);
            }
        }
        Some(under_way)
    }

    /// Whether a host may begin one more handshake; if not, it is counted.
    fn may_begin(&mut self, host: Host, class: Class, via: Via) -> bool {
        let may = self.is_within_rates(host, class, Instant::now());
        if !may {
            self.pressure.count(via, Some(host), |counts| counts.refused += 1);
        }
        may
    }

    fn is_within_rates(&mut self, host: Host, class: Class, now: Instant) -> bool {
        let rate = if class == Class::Member { MEMBER_RATE } else { HOST_RATE };
        if self.hosts.len() >= HOSTS && !self.hosts.contains_key(&host) {
            self.hosts.retain(|_, bucket| bucket.rested(now) < RESTED);
        }
        let rested = match self.hosts.get_mut(&host) {
            Some(bucket) => {
                let rested = bucket.rested(now) >= RESTED;
                if !bucket.take(rate, now) {
                    return false;
                }
                rested
            }
            None => {
                if self.hosts.len() < HOSTS {
                    let mut bucket = Bucket::full(rate, now);
                    bucket.take(rate, now);
                    self.hosts.insert(host, bucket);
                }
                true
            }
        };
        class == Class::Member
            || self.strangers.take(STRANGERS_RATE, now)
            || (rested && self.rested.take(RESTED_RATE, now))
    }
}

/// The place of one handshake, given back by dropping it.
pub(super) struct Place {
    handshakes: Arc<Handshakes>,
    number: u64,
    via: Via,
    /// If proven.
    host: Option<Host>,
}

impl Place {
    /// What is said of this handshake by the one that carries it.
    pub(super) fn speaker(&self) -> Speaker {
        Speaker { handshakes: self.handshakes.clone(), number: self.number }
    }

    /// Ready when this handshake has to give way.
    pub(super) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self.handshakes.table().under_way.get_mut(&self.number) {
            None => Poll::Ready(()),
            Some(under_way) => {
                under_way.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Counts how the handshake ended.
    pub(super) fn ended(&self, count: impl FnOnce(&mut Counts)) {
        self.handshakes.table().pressure.count(self.via, self.host, count);
    }
}

/// Tells of one handshake that the far end has spoken.
#[derive(Clone)]
pub(super) struct Speaker {
    handshakes: Arc<Handshakes>,
    number: u64,
}

impl Speaker {
    /// False if its host begins too many.
    pub(super) fn speaks(&self) -> bool {
        let mut table = self.handshakes.table();
        let Some(under_way) = table.under_way.get(&self.number) else { return false };
        let (class, host, via) = (under_way.class, under_way.host, under_way.via);
        if class == Class::Member && !table.may_begin(host, class, via) {
            return false;
        }
        table.speaks(self.number);
        true
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.handshakes.table().leave(self.number);
    }
}

#[cfg(test)]
mod tests;
