//! One end of a link, beside the core's thread: bounds and forms of frames, what the numbers of its peer mean, and whether
//! runs are their authors'. The core is told nothing else.
//!
//! ```text
//! frame --decode--> messages --numbers--> names --page--> run --verify--> Incoming
//! ```
//!
//! A session knows neither store nor directory. It keeps as many names as the core grants its link ([`Room`]); those not
//! used of late give way, and are asked for again when they are missed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use tocsin_record::{LogKey, MeshId, Verified, page};

use crate::bounds::NAMES_LEAST;
use crate::message::{self, FrameError, Incoming, LinkNo, LogName, Runs};

/// What the peer of a link may have here: how many names, and whether what it sends is read. The core grants it, the sessions
/// of the link keep within it.
#[derive(Clone, Debug)]
pub struct Room(Arc<Granted>);

#[derive(Debug)]
struct Granted {
    names: AtomicUsize,
    is_in: AtomicBool,
    is_over: AtomicBool,
}

/// That of a link in the lobby.
impl Default for Room {
    fn default() -> Self {
        // A peer names logs as soon as it has let this node in, which is before it is in here.
        let names = AtomicUsize::new(NAMES_LEAST);
        Self(Arc::new(Granted { names, is_in: AtomicBool::new(false), is_over: AtomicBool::new(false) }))
    }
}

impl Room {
    /// That of a link that is in, where nobody grants more.
    #[must_use]
    pub fn of_member() -> Self {
        let room = Self::default();
        room.let_in();
        room
    }

    /// How many names.
    #[must_use]
    pub fn names(&self) -> usize {
        self.0.names.load(Ordering::Relaxed)
    }

    fn is_in(&self) -> bool {
        self.0.is_in.load(Ordering::Relaxed)
    }

    fn is_over(&self) -> bool {
        self.0.is_over.load(Ordering::Relaxed)
    }

    pub(crate) fn grant(&self, names: usize) {
        self.0.names.store(names, Ordering::Relaxed);
    }

    /// The peer left the lobby: what it sends from now on is read.
    pub(crate) fn let_in(&self) {
        self.0.is_in.store(true, Ordering::Relaxed);
    }

    /// The link is ended by this node: what is still on its way is not read, as nobody pays for it.
    pub(crate) fn end(&self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy, Debug)]
struct Named {
    log: LogName,
    used: bool,
}

/// What the numbers of a peer mean.
#[derive(Debug, Default)]
struct Names {
    names: BTreeMap<LinkNo, Named>,
    /// Where the search for one that is not used goes on.
    hand: LinkNo,
}

impl Names {
    fn give(&mut self, no: LinkNo, log: LogName, room: usize) -> Result<(), FrameError> {
        if self.names.insert(no, Named { log, used: false }).is_some_and(|known| known.log != log) {
            return Err(FrameError::Renamed(no));
        }
        while self.names.len() > room {
            self.drop_one(no);
        }
        Ok(())
    }

    fn meant(&mut self, no: LinkNo) -> Option<LogName> {
        let named = self.names.get_mut(&no)?;
        named.used = true;
        Some(named.log)
    }

    /// Lets the next name go that was not used since the last round; `but` only if there is no other.
    fn drop_one(&mut self, but: LinkNo) {
        for _ in 0..=2 * self.names.len() {
            let next = self.names.range_mut(self.hand..).next();
            let Some((&no, named)) = next else {
                self.hand = 0;
                continue;
            };
            self.hand = no.wrapping_add(1);
            if !std::mem::take(&mut named.used) && no != but {
                self.names.remove(&no);
                return;
            }
        }
        self.names.remove(&but);
    }
}

/// What is known of one link beside the core's thread.
#[derive(Debug)]
pub struct Session {
    mesh: MeshId,
    room: Room,
    names: Names,
}

impl Session {
    /// Begins with a link, which is given the same room in the core.
    #[must_use]
    pub fn new(mesh: MeshId, room: Room) -> Self {
        Self { mesh, room, names: Names::default() }
    }

    /// What its peer may have.
    #[must_use]
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// How many names it keeps.
    #[must_use]
    pub fn names(&self) -> usize {
        self.names.names.len()
    }

    /// Reads a frame of either lane: all of it, in its one form, within bounds; numbers are looked up, runs rebuilt, hashed
    /// and verified. Frames of the live lane must come in order; names that those of the bulk lane use are not asked for.
    ///
    /// Runs of a peer in the lobby are not looked at: it may be anybody, and pays for nothing. What a member pushed before it
    /// was in is found by comparing. Of a link that this node has ended nothing is read.
    ///
    /// # Errors
    /// [`FrameError`]: the peer's fault.
    pub fn hear(&mut self, frame: &[u8]) -> Result<Incoming, FrameError> {
        let messages = if self.room.is_over() { Vec::new() } else { message::read(frame)? };
        let mut heard = Incoming { messages, runs: Vec::new(), meant: BTreeMap::new(), bytes: frame.len() };
        let is_in = self.room.is_in();
        for message in &heard.messages {
            let numbers = message.numbers();
            for (no, log) in numbers.given {
                self.names.give(no, log, self.room.names())?;
            }
            for no in numbers.used {
                if let Some(log) = self.names.meant(no) {
                    heard.meant.insert(no, log);
                }
            }
            match message.runs_sent() {
                _ if !is_in => heard.runs.extend((0..message.runs()).map(|_| None)),
                Runs::None => {}
                Runs::Packed(sent) if sent.packed.is_empty() => heard.runs.push(None),
                Runs::Packed(sent) => {
                    heard.runs.push(Some(verified(sent.log.key(self.mesh), &page::unpack(&sent.packed)?)?));
                }
                Runs::Pushed(pushes) => {
                    for push in pushes {
                        heard.runs.push(self.pushed(push)?);
                    }
                }
            }
        }
        Ok(heard)
    }

    /// The run of a push, if its log is known.
    fn pushed(&mut self, push: &message::Push) -> Result<Option<Verified>, FrameError> {
        let Some(log) = self.names.meant(push.log) else {
            return Ok(None);
        };
        verified(log.key(self.mesh), &Bytes::copy_from_slice(&push.page)).map(Some)
    }
}

fn verified(log: LogKey, page: &Bytes) -> Result<Verified, FrameError> {
    Ok(page::decode(log, page)?.verify()?)
}

#[cfg(test)]
mod tests {
    use tocsin_record::{CircleId, NodeKey};

    use super::*;
    use crate::message::{Have, Message};

    fn log(n: u64) -> LogName {
        LogName { author: NodeKey([1; 32]), circle: CircleId([2; 32]), epoch: n }
    }

    fn session(names: usize) -> Session {
        let room = Room::of_member();
        room.grant(names);
        Session::new(MeshId([1; 32]), room)
    }

    fn hear(session: &mut Session, messages: Vec<Message>) -> Incoming {
        session.hear(&message::encode(&messages)).unwrap()
    }

    fn have(no: LinkNo) -> Message {
        Message::Have(vec![Have { log: no, from: 1, more: 0, age: 0, except: vec![] }])
    }

    #[test]
    fn names_that_are_not_used_give_way() {
        let mut session = session(100);
        hear(&mut session, (0..100).map(|n| Message::Name(n, log(n.into()))).collect());
        for n in 100..1000 {
            let heard = hear(&mut session, vec![have(7), Message::Name(n, log(n.into())), have(n)]);
            assert_eq!(heard.meant.get(&7), Some(&log(7)), "in use all the time, and gone after {n}");
            assert_eq!(heard.meant.get(&n), Some(&log(n.into())), "the newest is there");
        }
        assert_eq!(session.names(), 100);
        assert!(hear(&mut session, vec![have(8)]).meant.is_empty());
        session.room.grant(10);
        hear(&mut session, vec![Message::Name(8, log(8))]);
        assert_eq!(session.names(), 10, "what is granted no longer is given back");
        session.room.grant(0);
        hear(&mut session, vec![Message::Name(9, log(9))]);
        assert_eq!(session.names(), 0);
    }

    #[test]
    fn one_number_means_one_log() {
        let mut session = session(100);
        hear(&mut session, vec![Message::Name(1, log(1)), Message::Name(1, log(1))]);
        assert!(session.hear(&message::encode(&vec![Message::Name(1, log(2))])).is_err());
    }
}
