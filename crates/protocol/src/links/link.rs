//! One link: whose it is, the numbers given to logs on it, and what waits to be sent.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tocsin_record::document::Signed;
use tocsin_record::{NodeKey, OrgId, codec};
use tocsin_store::{LogNo, RecordRef};

use crate::io::{Effect, LinkId};
use crate::links::budget::ANSWERS_MAX;
use crate::message::lobby::OLDEST_PROTOCOL;
use crate::message::{self, Lane, LinkNo, LogName, Message};
use crate::session::Room;

/// Longest frame that messages are gathered into, in bytes: several messages of one commit share it.
const GATHER: usize = 64 << 10;
/// Round trip assumed before one was measured, in ms.
const RTT_GUESS_MS: u64 = 100;

/// A peer that is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub node: NodeKey,
    pub org: OrgId,
}

/// How far a link is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing else is read.
    Lobby(Waiting),
    In(Peer),
}

/// Records that a peer is to be told of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingHave {
    pub from: u64,
    pub to: u64,
    /// When the last was admitted, by the monotonic clock.
    pub admitted: u64,
}

/// What a link in the lobby waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub since: u64,
    /// Once the first frame was good: who it is, and the certificate that says so.
    pub peer: Option<(Peer, Signed)>,
    /// Versions of charter and revocations that the peer has and will send.
    pub charter: u32,
    pub revocations: u32,
    /// What it lacks was sent.
    pub told: bool,
}

#[derive(Debug)]
pub(crate) struct Link {
    pub key: [u8; 32],
    pub stage: Stage,
    /// The lower of the versions that the two ends speak; what came with a later one is not sent.
    pub protocol: u16,
    pub rtt_ms: u64,
    /// Logs below this number were known when the link came up: it begins lazy for them.
    pub known_logs: u32,
    /// The peer's outbox is full: nothing is pushed until it drains.
    pub behind: bool,
    pub hello_due: bool,
    pub next_hello: u64,
    /// When the last frame came, by the monotonic clock.
    pub last_frame: u64,
    /// When the peer last said, on a quiet link, that it holds what this node holds: the time, and the monotonic clock.
    pub agreed: Option<(u64, u64)>,
    /// What its own clock said last, and the monotonic clock then.
    pub clock: Option<(u64, u64)>,
    pub haves: BTreeMap<LogNo, PendingHave>,
    /// Logs whose fork proof the peer was told since this node last said Hello.
    pub proofs_told: BTreeSet<LogNo>,
    pub holes_due: bool,
    /// Not before this, by the monotonic clock.
    pub holes_after: u64,
    pub holes_from: Option<RecordRef>,
    /// What its session may keep.
    room: Room,
    /// Numbers given to logs, each with the [`Self::losses`] before which it was told.
    names_out: BTreeMap<LogName, (LinkNo, u32)>,
    /// By number, and the next number.
    numbers: BTreeMap<LinkNo, LogName>,
    next_number: LinkNo,
    /// How often frames to the peer were lost: what was told before may be unknown to it.
    losses: u32,
    /// What the numbers of the frame mean that is heard.
    meant: BTreeMap<LinkNo, LogName>,
    unnamed: BTreeSet<LinkNo>,
    pending: Vec<Message>,
    bulk: Vec<Message>,
    /// How many bytes wait in the two.
    queued: usize,
}

impl Link {
    pub fn new(key: [u8; 32], since: u64, known_logs: u32, room: Room) -> Self {
        Self {
            key,
            stage: Stage::Lobby(Waiting { since, peer: None, charter: 0, revocations: 0, told: false }),
            protocol: OLDEST_PROTOCOL,
            rtt_ms: RTT_GUESS_MS,
            known_logs,
            behind: false,
            hello_due: false,
            next_hello: 0,
            last_frame: 0,
            agreed: None,
            clock: None,
            haves: BTreeMap::new(),
            proofs_told: BTreeSet::new(),
            holes_due: false,
            holes_after: 0,
            holes_from: None,
            names_out: BTreeMap::new(),
            numbers: BTreeMap::new(),
            next_number: 0,
            losses: 0,
            room,
            meant: BTreeMap::new(),
            unnamed: BTreeSet::new(),
            pending: Vec::new(),
            bulk: Vec::new(),
            queued: 0,
        }
    }

    pub fn peer(&self) -> Option<Peer> {
        if let Stage::In(peer) = &self.stage { Some(*peer) } else { None }
    }

    /// The number of a log on this link, named to the peer before its first use.
    pub fn name(&mut self, log: LogName) -> LinkNo {
        let next = self.next_number;
        let entry = self.names_out.entry(log);
        if let Entry::Vacant(_) = &entry {
            self.numbers.insert(next, log);
            self.next_number = next.wrapping_add(1);
        }
        let (no, told) = entry.or_insert((next, u32::MAX));
        if *told != self.losses {
            *told = self.losses;
            self.pending.push(Message::Name(*no, log));
        }
        *no
    }

    /// Nothing more is said of a log. Its number is not given again: the peer may remember it.
    pub fn unname(&mut self, log: &LogName) {
        if let Some((no, _)) = self.names_out.remove(log) {
            self.numbers.remove(&no);
        }
    }

    /// The peer does not know this number: it is named again.
    pub fn name_again(&mut self, no: LinkNo) {
        if let Some(log) = self.mine(no) {
            self.send(Message::Name(no, log));
        }
    }

    /// A frame to the peer was lost, and names may be.
    pub fn lost(&mut self) {
        self.losses = self.losses.wrapping_add(1) % u32::MAX;
    }

    /// The peer said what a number means.
    pub fn named(&mut self, no: LinkNo) {
        self.unnamed.remove(&no);
    }

    /// The log that the peer means; asks for its name if it was never given.
    pub fn meant(&mut self, no: LinkNo) -> Option<LogName> {
        let found = self.meant.get(&no).copied();
        if found.is_none() && self.unnamed.len() < 1024 && self.unnamed.insert(no) {
            self.pending.push(Message::Unnamed(no));
        }
        found
    }

    /// A frame is heard, in which numbers mean these logs.
    pub fn hears(&mut self, meant: BTreeMap<LinkNo, LogName>) {
        self.meant = meant;
    }

    /// The peer is in: from now on its session reads what it sends.
    pub fn enter(&mut self, peer: Peer) {
        self.stage = Stage::In(peer);
        self.room.let_in();
    }

    /// This node ends the link.
    pub fn end(&self) {
        self.room.end();
    }

    /// Grants the session of this link so many names.
    pub fn grant(&self, names: usize) {
        self.room.grant(names);
    }

    #[cfg(test)]
    pub fn take_pending(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.pending)
    }

    /// How many of the peer's numbers have no name.
    pub fn unnamed(&self) -> usize {
        self.unnamed.len()
    }

    /// Asks for lost names once more when they are next missed: the question or its answer may have been lost as well.
    pub fn ask_names_again(&mut self) {
        self.unnamed.clear();
    }

    /// The log behind a number that this side gave.
    pub fn mine(&self, no: LinkNo) -> Option<LogName> {
        self.numbers.get(&no).copied()
    }

    /// Sends on the live lane. Returns how many bytes that is.
    pub fn send(&mut self, message: Message) -> usize {
        let bytes = codec::size(&message);
        self.queued += bytes;
        self.pending.push(message);
        bytes
    }

    /// As [`Self::send`], on the bulk lane.
    pub fn send_bulk(&mut self, message: Message) -> usize {
        let bytes = codec::size(&message);
        self.queued += bytes;
        self.bulk.push(message);
        bytes
    }

    /// Whether so much waits for this link that nothing more is answered before it has left.
    pub fn is_full(&self) -> bool {
        self.queued >= ANSWERS_MAX
    }

    /// Puts what waits into frames.
    pub fn flush(&mut self, id: LinkId, effects: &mut Vec<Effect>) {
        self.queued = 0;
        let mut gathered = Vec::new();
        let mut size = 0;
        for message in self.pending.drain(..) {
            if message.since() > self.protocol {
                continue;
            }
            let len = codec::size(&message);
            if !gathered.is_empty() && (size + len > GATHER || gathered.len() >= message::MESSAGES_MAX) {
                effects.push(send(id, Lane::Live, &gathered));
                gathered.clear();
                size = 0;
            }
            size += len;
            gathered.push(message);
        }
        if !gathered.is_empty() {
            effects.push(send(id, Lane::Live, &gathered));
        }
        for message in self.bulk.drain(..).filter(|message| message.since() <= self.protocol) {
            effects.push(send(id, Lane::Bulk, &vec![message]));
        }
    }
}

fn send(link: LinkId, lane: Lane, messages: &Vec<Message>) -> Effect {
    let frame: Bytes = message::encode(messages);
    Effect::Send { link, lane, frame }
}

#[cfg(test)]
mod tests {
    use tocsin_record::MeshId;

    use super::*;
    use crate::message::lobby::PROTOCOL;

    fn frames(link: &mut Link) -> Vec<Bytes> {
        let mut effects = Vec::new();
        link.flush(1, &mut effects);
        let frame = |effect| if let Effect::Send { frame, .. } = effect { Some(frame) } else { None };
        effects.into_iter().filter_map(frame).collect()
    }

    #[test]
    fn numbers_stay_when_names_are_told_anew() {
        let room = Room::default();
        let mut link = Link::new([1; 32], 0, 0, room.clone());
        let mut far = crate::session::Session::new(MeshId([1; 32]), room);
        let log =
            |n: u64| LogName { author: NodeKey([1; 32]), circle: tocsin_record::CircleId([2; 32]), epoch: n };
        for _ in 0..60 {
            let numbers: Vec<LinkNo> = (0..1000).map(|n| link.name(log(n))).collect();
            assert!(numbers.iter().copied().eq(0..1000));
            assert_eq!(link.name(log(7)), 7);
            let told = link.pending.iter().filter(|message| matches!(message, Message::Name(..))).count();
            assert_eq!(told, 1000, "each is told once after every loss");
            for frame in frames(&mut link) {
                far.hear(&frame).unwrap();
            }
            link.lost();
        }
        assert_eq!((link.numbers.len(), far.names()), (1000, 1000));
    }

    #[test]
    fn gathered_frames_stay_small() {
        let mut link = Link::new([1; 32], 0, 0, Room::default());
        for _ in 0..200 {
            link.send(Message::Buckets(message::Buckets(vec![[0; 16]; 256])));
        }
        let frames = frames(&mut link);
        assert!(frames.iter().all(|frame| frame.len() <= GATHER + 16), "{:?}", frames[0].len());
        assert!(frames.len() < 20, "{} frames", frames.len());
    }

    #[test]
    fn an_older_peer_is_not_sent_what_it_does_not_know() {
        // With a new protocol version one of its messages is added here.
        let all = [Message::Prune(1), Message::Credit(1), Message::Unnamed(1), Message::Proposals(vec![])];
        let newest = all.iter().map(Message::since).max();
        assert_eq!(newest, Some(PROTOCOL), "no message of the newest protocol is tried");
        for protocol in OLDEST_PROTOCOL - 1..=PROTOCOL {
            let mut link = Link::new([1; 32], 0, 0, Room::default());
            link.protocol = protocol;
            for message in &all {
                link.send(message.clone());
                link.send_bulk(message.clone());
            }
            let known = || all.iter().filter(|message| message.since() <= protocol).cloned();
            let read = |frame: Bytes| message::decode(MeshId([1; 32]), &frame).unwrap().messages;
            let sent: Vec<Message> = frames(&mut link).into_iter().flat_map(read).collect();
            assert_eq!(sent, known().chain(known()).collect::<Vec<_>>(), "protocol {protocol}");
        }
    }

    #[test]
    fn a_lost_name_is_asked_for_until_it_comes() {
        let asked = |link: &mut Link| {
            let asked = link.pending.iter().filter(|message| matches!(message, Message::Unnamed(7))).count();
            link.pending.clear();
            asked
        };
        let mut link = Link::new([1; 32], 0, 0, Room::default());
        assert!(link.meant(7).is_none() && link.meant(7).is_none());
        assert_eq!(asked(&mut link), 1, "once, not for every message");
        link.ask_names_again();
        assert!(link.meant(7).is_none());
        assert_eq!(asked(&mut link), 1, "and once more when that was of no avail");
    }
}
