//! A node under the control of somebody hostile: the real protocol inside, and its frames twisted on their way out.
//! Each liar has its own habits, so that some runs show one lie alone.

use bytes::Bytes;
use tocsin_protocol::message::{self, BodyStatus, Fate, Have, LogName, Message, Push, RecordAt};
use tocsin_record::body::{self, Body};
use tocsin_record::keys::Secret;
use tocsin_record::run::Draft;
use tocsin_record::{Entry, LogKey, RecordId, Run, Tip, page};

use crate::cast::{BEGIN_MS, Cast, CircleKind};
use crate::dice::Dice;
use crate::oracle::Sight;
use crate::workload;

/// What a liar may do.
const HABITS: [Habit; 11] = [
    Habit::Mute,
    Habit::Fork,
    Habit::Flood,
    Habit::Forge,
    Habit::Mix,
    Habit::Flip,
    Habit::Oversize,
    Habit::Cut,
    Habit::Trail,
    Habit::Withhold,
    Habit::Boast,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// Writes records in another's name.
    Forge,
    /// Files a run under another log.
    Mix,
    /// Changes a byte of a body.
    Flip,
    /// Frames and lists over their bounds.
    Oversize,
    /// Truncates frames.
    Cut,
    /// Adds bytes behind frames.
    Trail,
    /// Keeps back what it was asked for, and what it should push.
    Withhold,
    /// Behaves for a while; then it announces what it has, and says nothing when it is asked.
    Mute,
    /// Says that it holds more than it does.
    Boast,
    /// Writes two different records with one number.
    Fork,
    /// Talks of more logs, records and bodies than anybody has.
    Flood,
}

/// A mute liar behaves for so long, in ms: until trees of logs lead through it.
const MUTE_FROM_MS: u64 = 20_000;
/// Logs that a flood names in one frame.
const FLOOD: u64 = 200;
/// And that a liar names in a run: more to each of its peers than one may talk of.
const FLOOD_ALL: u32 = 15_000;
/// The first number that a liar gives to a log by itself.
const FIRST_NO: u32 = 1_000_000;

/// A liar's state.
pub struct Liar {
    node: usize,
    dice: Dice,
    habits: Vec<Habit>,
    /// It lies in so many of 100 frames.
    rate: u32,
    forked: bool,
    next_no: u32,
}

/// Which habits a liar has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lies {
    /// Some, by chance.
    Some,
    /// One: that with this number, counted round.
    One(usize),
}

/// What becomes of a frame.
pub enum Twisted {
    /// It leaves, as it was or otherwise.
    Send(Vec<Bytes>),
    /// It does not leave.
    Nothing,
}

/// What a liar can look at.
pub struct Chance<'a> {
    /// Who takes part.
    pub cast: &'a Cast,
    /// Its own store.
    pub sight: &'a Sight,
    /// Names of logs that it gave to this peer, with their numbers.
    pub names: Vec<(u32, LogName)>,
    /// To which node the frame goes.
    pub to: usize,
    /// Its wall clock.
    pub now_ms: u64,
}

impl Liar {
    /// The liar at a node.
    #[must_use]
    pub fn new(seed: u64, node: usize, lies: Lies) -> Self {
        let mut dice = Dice::new(seed ^ (node as u64) << 32, "liar");
        if let Lies::One(no) = lies {
            let habits = vec![HABITS[no % HABITS.len()]];
            let rate = *dice.pick(&[10, 40, 100]);
            return Self { node, dice, habits, rate, forked: false, next_no: FIRST_NO };
        }
        let mut habits: Vec<Habit> = HABITS.into_iter().filter(|_| dice.percent(40)).collect();
        if habits.is_empty() {
            habits.push(*dice.pick(&HABITS));
        }
        let rate = *dice.pick(&[2, 10, 40]);
        Self { node, dice, habits, rate, forked: false, next_no: FIRST_NO }
    }

    /// Twists a frame. Records that it forked, which its own store does not know, are handed to `signed`, since they are truly its own.
    pub fn twist(&mut self, frame: &Bytes, chance: &Chance<'_>, signed: &mut Vec<Entry>) -> Twisted {
        if self.habits == [Habit::Mute] {
            self.rate = if chance.now_ms < BEGIN_MS + MUTE_FROM_MS { 0 } else { 100 };
        }
        if !self.dice.percent(self.rate) {
            return Twisted::Send(vec![frame.clone()]);
        }
        let habit = *self.dice.pick(&self.habits.clone());
        let Some(mut messages) = crate::oracle::wire::Peek::messages(frame) else {
            return Twisted::Send(vec![frame.clone()]);
        };
        if messages.iter().any(|message| matches!(message, Message::Lobby(_))) {
            return Twisted::Send(vec![frame.clone()]);
        }
        let encode = |messages: &Vec<Message>| message::encode(messages);
        match habit {
            Habit::Forge => {
                let forged = self.forge(chance);
                Twisted::Send(vec![frame.clone(), encode(&forged)])
            }
            Habit::Fork => {
                let Some(fork) = self.fork(chance, signed) else {
                    return Twisted::Send(vec![frame.clone()]);
                };
                Twisted::Send(vec![frame.clone(), encode(&fork)])
            }
            Habit::Flood => {
                let flood = self.flood(chance);
                Twisted::Send(vec![frame.clone(), encode(&flood)])
            }
            Habit::Mix => {
                self.mix(&mut messages, chance);
                Twisted::Send(vec![encode(&messages)])
            }
            Habit::Flip => {
                self.flip(&mut messages);
                Twisted::Send(vec![encode(&messages)])
            }
            Habit::Oversize => Twisted::Send(vec![frame.clone(), self.oversize()]),
            Habit::Cut => {
                let len = self.dice.index(frame.len());
                Twisted::Send(vec![frame.slice(..len)])
            }
            Habit::Trail => {
                let mut longer = frame.to_vec();
                longer.extend_from_slice(&self.dice.bytes::<4>());
                Twisted::Send(vec![longer.into()])
            }
            Habit::Withhold => withhold(messages),
            Habit::Mute => mute(messages, chance),
            Habit::Boast => {
                self.boast(&mut messages);
                Twisted::Send(vec![encode(&messages)])
            }
        }
    }

    /// A record in the name of another node, under the liar's own signature.
    fn forge(&mut self, chance: &Chance<'_>) -> Vec<Message> {
        let cast = chance.cast;
        let victims: Vec<usize> = (0..cast.nodes.len()).filter(|node| *node != self.node).collect();
        let victim = *self.dice.pick(&victims);
        // Where the liar knows the victim's log it goes on from its end, so that the chain fits.
        let known = chance.sight.logs().into_iter().find(|log| log.key.author == cast.nodes[victim].key);
        let known = known.filter(|_| self.dice.percent(70));
        let (log, tip) = known.map_or_else(
            || {
                let circle = cast.circles[0].id;
                let log =
                    LogKey { mesh: cast.mesh, author: cast.nodes[victim].key, circle, epoch: chance.now_ms };
                (log, Tip::default())
            },
            |info| (info.key, info.tip),
        );
        let mut messages = Vec::new();
        if let Some((_, page)) = self.write(log, tip, chance) {
            let no = self.number(log, chance, &mut messages);
            messages.push(Message::Push(Push { log: no, reply: false, page }));
        }
        messages
    }

    /// Another record where the liar already wrote one, or beside its newest.
    fn fork(&mut self, chance: &Chance<'_>, signed: &mut Vec<Entry>) -> Option<Vec<Message>> {
        if self.forked {
            return None;
        }
        let mine = chance.cast.nodes[self.node].key;
        let logs = chance.sight.logs();
        let log = logs.iter().find(|log| log.key.author == mine && log.tip.seq >= 2)?;
        let circle = *chance.cast.circle_of.get(&log.key.circle)?;
        if !chance.cast.was_member(chance.to, circle) {
            return None;
        }
        let at = self.dice.range(1, log.tip.seq - 1);
        let place = tocsin_store::RecordRef { log: log.no, seq: at };
        let before = chance.sight.record(place).ok()??;
        let tip = before.entry.header.tip(before.entry.id);
        let (run, page) = self.write(log.key, tip, chance)?;
        for entry in run.entries() {
            signed.push(entry.clone());
        }
        self.forked = true;
        let mut messages = Vec::new();
        let no = self.number(log.key, chance, &mut messages);
        messages.push(Message::Push(Push { log: no, reply: false, page }));
        Some(messages)
    }

    /// Logs of others that nobody opened, with records and bodies in them, and bodies of logs that there are.
    fn flood(&mut self, chance: &Chance<'_>) -> Vec<Message> {
        let cast = chance.cast;
        let shared = |at: &usize| cast.was_member(self.node, *at) && cast.was_member(chance.to, *at);
        let circles: Vec<usize> = (0..cast.circles.len()).filter(shared).collect();
        let circle = &cast.circles[*self.dice.pick(&circles)];
        let authors: Vec<usize> = circle.members().nodes.iter().copied().collect();
        let mut messages = Vec::new();
        let floods = self.next_no < FIRST_NO + FLOOD_ALL;
        for _ in 0..if floods { FLOOD } else { 0 } {
            let author = cast.nodes[*self.dice.pick(&authors)].key;
            let epoch = chance.now_ms - self.dice.below(3_600_000);
            let log = LogKey { mesh: cast.mesh, author, circle: circle.id, epoch };
            let no = self.number(log, chance, &mut messages);
            let more = self.dice.below(1_000) as u32;
            messages.push(Message::Have(vec![Have { log: no, from: 1, more, age: 0, except: Vec::new() }]));
        }
        for (no, _) in &chance.names {
            let refs = (0..16).map(|_| RecordAt { log: *no, seq: self.dice.range(1, 100) }).collect();
            messages.push(Message::HaveBodies(refs));
        }
        messages.truncate(message::MESSAGES_MAX);
        messages
    }

    /// The liar's number for a log, named first if it was not.
    fn number(&mut self, log: LogKey, chance: &Chance<'_>, messages: &mut Vec<Message>) -> u32 {
        let name = LogName::from(log);
        if let Some((no, _)) = chance.names.iter().find(|(_, known)| *known == name) {
            return *no;
        }
        self.next_no += 1;
        messages.push(Message::Name(self.next_no, name));
        self.next_no
    }

    fn write(&mut self, log: LogKey, tip: Tip, chance: &Chance<'_>) -> Option<(Run, Vec<u8>)> {
        let body: Body = workload::body(&mut self.dice, CircleKind::Mesh, chance.now_ms);
        let marking = body.marking()?;
        let draft = Draft {
            kind: body.kind()?,
            tlp: marking.tlp.code(),
            flags: marking.flags().word(),
            time: chance.now_ms.max(tip.time),
            expires: marking.retain_until.unwrap_or(0),
            roster: 1,
            extension: Vec::new(),
            body: body.encode().into(),
        };
        debug_assert!(body::class_of(draft.kind).is_some());
        let secret = Secret::from_seed(&chance.cast.nodes[self.node].secret);
        let run = Run::sign(&secret, log, tip, vec![draft]).ok()?;
        let page = page::encode(&run);
        Some((run, page))
    }

    fn mix(&mut self, messages: &mut [Message], chance: &Chance<'_>) {
        for message in messages {
            match message {
                Message::Push(push) if !chance.names.is_empty() => push.log = self.dice.pick(&chance.names).0,
                Message::Page(page) => page.log.epoch ^= 1,
                _ => {}
            }
        }
    }

    fn flip(&mut self, messages: &mut [Message]) {
        for message in messages {
            match message {
                Message::Push(push) if !push.page.is_empty() => {
                    let at = self.dice.index(push.page.len());
                    push.page[at] ^= 1 << self.dice.below(8);
                }
                Message::Page(page) if !page.packed.is_empty() => {
                    let at = self.dice.index(page.packed.len());
                    page.packed[at] ^= 1 << self.dice.below(8);
                }
                Message::Bodies(bodies) => {
                    for body in bodies {
                        if let BodyStatus::Here(bytes) = &mut body.status
                            && !bytes.is_empty()
                        {
                            let at = self.dice.index(bytes.len());
                            bytes[at] ^= 1;
                        }
                    }
                }
                Message::AtAnswer(answer) => answer.id = Some(RecordId(self.dice.bytes())),
                _ => {}
            }
        }
    }

    fn oversize(&mut self) -> Bytes {
        match self.dice.below(4) {
            0 => vec![0; message::FRAME_MAX + 1].into(),
            1 => {
                let refs = (0..5_000).map(|seq| RecordAt { log: 0, seq }).collect();
                message::encode(&vec![Message::WantBodies(refs)])
            }
            2 => message::encode(&vec![Message::Graft(0, 1); message::MESSAGES_MAX + 1]),
            // A length that promises more than any memory has.
            _ => vec![1, 253, 255, 255, 255, 255, 255, 255, 255, 127].into(),
        }
    }

    fn boast(&mut self, messages: &mut [Message]) {
        let more = self.dice.range(1, 50);
        for message in messages {
            match message {
                Message::Entries(entries) => entries.0.iter_mut().for_each(|entry| entry.height += more),
                Message::Have(haves) => haves.iter_mut().for_each(|have| have.more += more as u32),
                Message::Heads(heads) => heads.iter_mut().for_each(|head| head.seq += more),
                Message::Receipts(receipts) => receipts.iter_mut().for_each(|receipt| {
                    receipt.height += more;
                    receipt.fates.runs.push((more as u32, Fate::Accepted));
                }),
                Message::HaveBodies(refs) => {
                    let extra: Vec<RecordAt> =
                        refs.iter().map(|what| RecordAt { log: what.log, seq: what.seq + more }).collect();
                    refs.extend(extra);
                }
                _ => {}
            }
        }
    }
}

/// Announces what it would push, and gives nothing.
fn mute(messages: Vec<Message>, chance: &Chance<'_>) -> Twisted {
    let mut left = Vec::new();
    for message in messages {
        match message {
            Message::Push(push) => left.extend(announced(&push, chance)),
            Message::Page(_) | Message::AtAnswer(_) | Message::Bodies(_) => {}
            other => left.push(other),
        }
    }
    if left.is_empty() { Twisted::Nothing } else { Twisted::Send(vec![message::encode(&left)]) }
}

/// A run as an announcement. Answers to grafts are nothing.
fn announced(push: &Push, chance: &Chance<'_>) -> Option<Message> {
    let (no, name) = chance.names.iter().find(|(no, _)| *no == push.log && !push.reply)?;
    let run = page::decode(name.key(chance.cast.mesh), &Bytes::copy_from_slice(&push.page)).ok()?;
    let (from, more) = (run.first_seq(), (run.tip().seq - run.first_seq()) as u32);
    Some(Message::Have(vec![Have { log: *no, from, more, age: 0, except: Vec::new() }]))
}

/// Answers that there is nothing, or nothing at all.
fn withhold(messages: Vec<Message>) -> Twisted {
    let mut left = Vec::new();
    for message in messages {
        match message {
            Message::Push(_) | Message::Page(_) | Message::AtAnswer(_) => {}
            Message::Bodies(mut bodies) => {
                for body in &mut bodies {
                    body.status = BodyStatus::NotHeld;
                }
                left.push(Message::Bodies(bodies));
            }
            other => left.push(other),
        }
    }
    if left.is_empty() { Twisted::Nothing } else { Twisted::Send(vec![message::encode(&left)]) }
}
