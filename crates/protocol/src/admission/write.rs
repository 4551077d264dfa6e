//! What this node writes itself: drafts gather until the commit, which judges them as the door does, signs in runs those of
//! requests that are not refused, and stages them like any other record.
//!
//! A node's own log goes on only where that is safe: on the same boot of the machine with a sign of life under ten
//! minutes old. Otherwise its next record opens a new epoch, so that a restored disk does not make it contradict itself.

use std::collections::{BTreeMap, BTreeSet};

use tocsin_record::body::{BodyRef, class_of};
use tocsin_record::run::{Draft, SIGN_EVERY};
use tocsin_record::{CircleId, Class, Entry, Header, LogKey, NodeKey, Part, Tip, Verified, codec};
use tocsin_store::{Kv, LogInfo, LogNo, RecordRef, Slots, Standing, StoreError, Verdict};

use crate::admission::admit::Decided;
use crate::admission::judge::LogFacts;
use crate::admission::sealing::Current;
use crate::admission::{Admission, By, meta};
use crate::clock::{Alive, Reading};
use crate::io::{Done, Now, RequestError, Ticket};

/// Most bodies that wait for the next commit.
pub(super) const QUEUE_MAX: usize = 65_536;
/// A run is signed before its bodies take more, in bytes: it must fit a frame and a page. One large body is a run alone.
const SIGN_BYTES: usize = 192 << 10;
/// Logs that an author may open at once in a circle, and the time after which it may open one more, in ms.
const EPOCHS: u64 = 16;
/// A clock may have been so far behind when the mesh was founded; there are no logs from before, in ms.
const EARLY_MS: u64 = 24 * 3_600_000;
const EPOCH_EVERY_MS: u64 = 12 * 3_600_000;

/// On whose word something is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Asker {
    /// This node's people, who are answered.
    People(Ticket),
    /// Nobody new: what the record at this place says is said again.
    Again(RecordRef),
}

/// What one request writes to one circle.
#[derive(Debug)]
pub(crate) struct Queued {
    pub asker: Asker,
    pub circle: CircleId,
    pub drafts: Vec<Draft>,
}

/// Where the next record of a circle goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnEnd {
    pub key: LogKey,
    /// `None` for a log that is opened with its first record.
    log: Option<LogNo>,
    tip: Tip,
}

/// A run that waits to be staged, with who asked for each of its records and what was decided about it.
pub(crate) struct Signed<'q> {
    pub end: OwnEnd,
    pub run: Verified,
    pub askers: Vec<Asker>,
    pub decided: Vec<Decided<'q>>,
}

/// What came of each request.
pub(crate) type Answers = BTreeMap<Asker, Result<Done, RequestError>>;

/// A signed run, and which draft each of its records is: of which entry of the queue, and which of its drafts.
type SignedDrafts = (OwnEnd, Verified, Vec<(usize, usize)>);

/// This node's own logs and what waits to be written.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    /// Logs that may go on.
    logs: BTreeMap<CircleId, LogNo>,
    /// This node's newest log of each circle, whether it may go on or not: what its heads speak of. One that was opened by a
    /// clock far ahead is none until its time comes: nobody takes it before.
    newest: BTreeMap<CircleId, (u64, LogNo)>,
    /// The highest epoch of any of its logs.
    highest: u64,
    /// By which key this node seals what it writes to a circle.
    pub(super) keys: BTreeMap<CircleId, Current>,
    queue: Vec<Queued>,
    pub(super) queued: usize,
    /// Logs of lower epochs do not go on, at this start or a later one: it turned out that they may not.
    from: u64,
    /// The same, as the store keeps it.
    kept_from: u64,
}

impl Writer {
    /// The newest log of a circle.
    pub fn newest(&self, circle: CircleId) -> Option<LogNo> {
        self.newest.get(&circle).map(|(_, log)| *log)
    }

    /// The highest epoch of any of this node's logs.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// No log that there is goes on.
    fn give_up(&mut self) {
        self.logs.clear();
        if self.highest > 0 {
            self.from = self.from.max(self.highest.saturating_add(1));
        }
    }

    fn note(&mut self, key: &LogKey, log: LogNo, is_ahead: bool) {
        self.highest = self.highest.max(key.epoch);
        if is_ahead {
            return;
        }
        let known = self.newest.entry(key.circle).or_insert((key.epoch, log));
        *known = (*known).max((key.epoch, log));
    }
}

impl<K: Kv, S: Slots> Admission<K, S> {
    /// Finds this node's logs, and goes on with them if the same machine wrote them a moment ago.
    pub(crate) fn resume_own_logs(&mut self, now: Now) -> Result<(), StoreError> {
        let logs = self.reader.logs();
        for info in &logs {
            if matches!(info.standing, Standing::Forked { .. }) {
                self.searches.stop(info.key.author, info.key.circle);
            }
            // Of a log that is empty a peer may only have talked.
            if info.key.author == self.node && info.tip.seq > 0 {
                self.writer.note(&info.key, info.no, self.clock.is_ahead(now, info.key.epoch));
            }
        }
        let alive = self.store.get_meta(meta::ALIVE)?;
        let alive = alive.and_then(|bytes| codec::decode::<Alive, 256>(&bytes).ok());
        let from = self.store.get_meta(meta::GO_ON_FROM)?;
        let from = from.and_then(|bytes| codec::decode::<u64, 16>(&bytes).ok()).unwrap_or(0);
        (self.writer.from, self.writer.kept_from) = (from, from);
        // What is damaged leaves the store with the next commit, and with it what says that this log may not go on.
        if self.store.damaged().is_empty() && alive.is_some_and(|alive| alive.is_fresh(self.boot, now)) {
            let may = self.writer.newest.iter().filter(|(_, (epoch, _))| *epoch >= from);
            self.writer.logs = may.map(|(circle, (_, log))| (*circle, *log)).collect();
        } else {
            // The signs of life that follow do not speak for what was written before them.
            self.writer.give_up();
        }
        self.keep_from()
    }

    /// Stages from which epoch on logs may go on, where that changed.
    fn keep_from(&mut self) -> Result<(), StoreError> {
        let from = self.writer.from;
        if self.writer.kept_from != from {
            self.store.put_meta(meta::GO_ON_FROM, codec::encode(&from).into())?;
            self.writer.kept_from = from;
        }
        Ok(())
    }

    /// A sign of life, every minute: what lets this node's logs go on after a crash.
    pub(crate) fn stay_alive(&mut self, now: Now) -> Result<(), StoreError> {
        let alive = Alive::new(self.boot, now);
        self.store.put_meta(meta::ALIVE, codec::encode(&alive).into())?;
        self.keep_clock(now)
    }

    /// Keeps what is known of the time, with the next commit.
    pub(crate) fn keep_clock(&mut self, now: Now) -> Result<(), StoreError> {
        let kept = self.clock.kept(self.boot, now);
        self.store.put_meta(meta::CLOCK, codec::encode(&kept).into())
    }

    /// There are records of this node that it lacks, by its own signature: its disk is older than its word, and what it
    /// wrote to until now does not go on.
    pub(crate) fn lost_own_records(&mut self, now: Now, log: LogNo) {
        if let Some(key) = self.store.key(log) {
            let current = self.writer.logs.get(&key.circle).and_then(|log| self.store.key(*log));
            if current.is_some_and(|current| current.epoch <= key.epoch) {
                self.writer.logs.remove(&key.circle);
                self.writer.from = self.writer.from.max(key.epoch.saturating_add(1));
            }
            self.writer.note(&key, log, self.clock.is_ahead(now, key.epoch));
        }
    }

    /// A peer says so, and shows nothing. It is believed as long as half of the tokens for new logs are left: else anybody
    /// could keep this node from writing with a few words.
    pub(crate) fn claimed_own_records(&mut self, by: &By<'_>, log: LogNo) {
        let Some(key) = self.store.key(log) else { return };
        if self.writer.logs.get(&key.circle) == Some(&log)
            && self.open_after(by, self.node, key.circle, by.now.wall, EPOCHS / 2) == 0
        {
            self.lost_own_records(by.now, log);
        }
    }

    /// Whether an author may open a log: sixteen at once, two a day.
    pub(crate) fn may_open(&self, by: &By<'_>, key: &LogKey) -> bool {
        !self.clock.is_ahead(by.now, key.epoch)
            && key.epoch + EARLY_MS >= by.directory.founded()
            && self.open_after(by, key.author, key.circle, key.epoch, 0) == 0
    }

    /// After how many ms an author may open a log in a circle at `epoch`, by all its logs that are known there and `more`.
    fn open_after(&self, by: &By<'_>, author: NodeKey, circle: CircleId, epoch: u64, more: u64) -> u64 {
        // Only logs that hold something their author signed count: anybody can talk of others.
        let signed = |info: &LogInfo| info.tip.seq > 0 && info.key.epoch != epoch;
        let logs = self.reader.logs_of(by.directory.mesh(), author, circle);
        let mut epochs: Vec<u64> =
            logs.iter().filter(|info| signed(info)).map(|info| info.key.epoch).collect();
        epochs.extend((0..=more).map(|_| epoch));
        epochs.sort_unstable();
        // Time that tokens stand for, so that nothing is rounded away.
        let full = EPOCHS * EPOCH_EVERY_MS;
        let mut time = full;
        let mut before = epochs[0];
        for at in epochs {
            time = (time + (at - before)).min(full);
            before = at;
            if time < EPOCH_EVERY_MS {
                return EPOCH_EVERY_MS - time;
            }
            time -= EPOCH_EVERY_MS;
        }
        0
    }

    pub(super) fn queue(&mut self, queued: Queued) {
        self.writer.queued += queued.drafts.len();
        self.writer.queue.push(queued);
    }

    /// What waits to be written by now.
    pub(crate) fn take_queued(&mut self, by: &By<'_>) -> Result<Vec<Queued>, StoreError> {
        // Someone set the machine's clock, or it is another machine that goes on.
        if self.clock.was_set(by.now) {
            self.writer.give_up();
        }
        self.keep_from()?;
        self.writer.queued = 0;
        Ok(std::mem::take(&mut self.writer.queue))
    }

    /// Judges and signs what waits. What one ticket asks for is written whole or not at all: all is judged and signed before
    /// anything is staged, and a ticket of which one part cannot be is left out of every log.
    pub(crate) fn sign<'q>(
        &mut self,
        by: &By<'_>,
        queue: &'q [Queued],
    ) -> Result<(Vec<Signed<'q>>, Answers), StoreError> {
        let mut ends: BTreeMap<CircleId, Result<OwnEnd, RequestError>> = BTreeMap::new();
        let mut answers: Answers = BTreeMap::new();
        for Queued { asker, circle, .. } in queue {
            let answer = answers.entry(*asker).or_insert_with(|| Ok(Done::default()));
            if let Err(error) = ends.entry(*circle).or_insert_with(|| self.own_end(by, *circle)) {
                *answer = Err(error.clone());
            }
        }
        let mut decided = Vec::with_capacity(queue.len());
        for queued in queue {
            let goes_on = answers.get(&queued.asker).is_some_and(Result::is_ok);
            let end = ends.get(&queued.circle).and_then(|end| end.as_ref().ok());
            let judged = match end {
                Some(end) if goes_on => self.judge_drafts(by, queued, end.tip.time)?,
                _ => Ok(Vec::new()),
            };
            decided.push(judged.unwrap_or_else(|error| {
                answers.insert(queued.asker, Err(error));
                Vec::new()
            }));
        }
        let runs = loop {
            match self.sign_queued(by, queue, &ends, &answers) {
                Ok(runs) => break runs,
                // It was checked when it was drafted: a fault of this program, which takes no other ticket with it.
                Err((askers, error)) => {
                    for asker in askers {
                        answers.insert(asker, Err(error.clone()));
                    }
                    // Key records that were signed with it are not written, so nothing is sealed by them.
                    for queued in queue {
                        self.writer.keys.remove(&queued.circle);
                    }
                }
            }
        };
        let mut signed = Vec::with_capacity(runs.len());
        for (end, run, drafts) in runs {
            let askers = drafts.iter().map(|(queued, _)| queue[*queued].asker).collect();
            let decided = match drafts.as_slice() {
                [] => self.decide_own_key(by, &run)?,
                drafts => {
                    drafts.iter().filter_map(|(queued, draft)| decided[*queued][*draft].take()).collect()
                }
            };
            signed.push(Signed { end, run, askers, decided });
        }
        Ok((signed, answers))
    }

    /// What the door decides about a key record of this node.
    fn decide_own_key(&mut self, by: &By<'_>, run: &Verified) -> Result<Vec<Decided<'static>>, StoreError> {
        let facts = LogFacts::of(by.directory, self.node, run.log().circle);
        let mut all = Vec::with_capacity(run.entries().len());
        for entry in run.entries() {
            let Decided { verdict, body, rule, .. } = self.decide(by, &facts, entry)?;
            all.push(Decided { verdict, body, rule, read: None });
        }
        Ok(all)
    }

    /// What the door decides about drafts, before anything is signed: what it would refuse is not written, nor what ends before
    /// the last time of its log.
    fn judge_drafts<'q>(
        &mut self,
        by: &By<'_>,
        queued: &'q Queued,
        last: u64,
    ) -> Result<Result<Vec<Option<Decided<'q>>>, RequestError>, StoreError> {
        let facts = LogFacts::of(by.directory, self.node, queued.circle);
        let circle = queued.circle;
        let log = LogKey { mesh: by.directory.mesh(), author: self.node, circle, epoch: by.now.wall };
        let mut all = Vec::with_capacity(queued.drafts.len());
        for draft in &queued.drafts {
            let time = draft.time.max(last);
            if draft.expires != 0 && draft.expires < time {
                let over = tocsin_record::run::DraftError::Over { expires: draft.expires, time };
                return Ok(Err(RequestError::Draft(over.to_string())));
            }
            let entry = match trial(&log, draft, Self::seals(by, circle)) {
                Ok(entry) => entry,
                Err(error) => return Ok(Err(error)),
            };
            let read = || BodyRef::read_as(&entry.header, draft.kind, &draft.body);
            let decided = self.decide_with_body(by, &facts, &entry, Some(read()))?;
            if decided.verdict == Verdict::Refused {
                let malformed = read().err();
                return Ok(Err(malformed.map_or_else(
                    || RequestError::Guardrail(self.reader.rule(decided.rule).unwrap_or_default()),
                    |error| RequestError::Draft(error.to_string()),
                )));
            }
            all.push(Some(decided));
        }
        Ok(Ok(all))
    }

    /// Signs what waits and was not refused, in runs, each log from its end on.
    ///
    /// # Errors
    /// Who asked for the run that cannot be signed, and why: without them, the others can.
    fn sign_queued(
        &mut self,
        by: &By<'_>,
        queue: &[Queued],
        ends: &BTreeMap<CircleId, Result<OwnEnd, RequestError>>,
        answers: &Answers,
    ) -> Result<Vec<SignedDrafts>, (Vec<Asker>, RequestError)> {
        let mut signed = Vec::new();
        for (circle, end) in ends {
            let Ok(end) = end else { continue };
            let goes_on = |queued: &Queued| {
                queued.circle == *circle && answers.get(&queued.asker).is_some_and(Result::is_ok)
            };
            let drafts_of = |(at, queued): (usize, &'_ Queued)| {
                let drafts = queued.drafts.clone().into_iter().enumerate();
                drafts.map(move |(draft_at, draft)| ((at, draft_at), draft))
            };
            let going_on = queue.iter().enumerate().filter(|(_, queued)| goes_on(queued));
            let mut drafts = going_on.flat_map(drafts_of).peekable();
            let mut tip = end.tip;
            let mut key = None;
            let is_content = |draft: &Draft| class_of(draft.kind) == Some(Class::Content);
            if Self::seals(by, *circle)
                && queue.iter().filter(|queued| goes_on(queued)).any(|one| one.drafts.iter().any(is_content))
            {
                let askers =
                    || queue.iter().filter(|queued| goes_on(queued)).map(|queued| queued.asker).collect();
                let (id, run) = self.key_for(by, end.key, tip).map_err(|error| (askers(), error))?;
                if let Some(run) = run {
                    tip = run.tip();
                    signed.push((*end, run, Vec::new()));
                }
                key = Some(id);
            }
            while let Some((at, first)) = drafts.next() {
                let mut bytes = first.body.len();
                let (mut places, mut some) = (vec![at], vec![first]);
                while some.len() < SIGN_EVERY
                    && let Some((at, next)) =
                        drafts.next_if(|(_, next)| bytes + next.body.len() <= SIGN_BYTES)
                {
                    bytes += next.body.len();
                    places.push(at);
                    some.push(next);
                }
                let run = match &key {
                    Some(key) => self.sign_sealed(end.key, tip, some, key),
                    None => Verified::sign(&self.identity.secret, end.key, tip, some),
                };
                match run {
                    Ok(run) => {
                        tip = run.tip();
                        signed.push((*end, run, places));
                    }
                    Err(error) => {
                        let askers = places.iter().map(|(at, _)| queue[*at].asker).collect();
                        return Err((askers, RequestError::Draft(error.to_string())));
                    }
                }
            }
        }
        Ok(signed)
    }

    /// Where the next record of a circle goes: behind the log that may go on, else to a new one where going on would not be
    /// safe.
    fn own_end(&self, by: &By<'_>, circle: CircleId) -> Result<OwnEnd, RequestError> {
        let reading = self.clock.reading();
        if !reading.is_trusted() {
            return Err(RequestError::Clock(reading));
        }
        if let Some(log) = self.writer.logs.get(&circle).copied()
            && self.store.standing(log) == Some(Standing::Open)
            && let (Some(key), Some(tip)) = (self.store.key(log), self.store.tip(log))
        {
            return Ok(OwnEnd { key, log: Some(log), tip });
        }
        let epoch = self.next_epoch(by, circle);
        // Nobody takes a log from before the mesh was founded.
        let founded = by.directory.founded();
        if epoch.saturating_add(EARLY_MS) < founded {
            return Err(RequestError::Clock(Reading::Behind { by_ms: founded - epoch }));
        }
        let wait = self.open_after(by, self.node, circle, epoch, 0);
        if wait > 0 {
            return Err(RequestError::Epochs(wait.div_ceil(1000)));
        }
        let key = LogKey { mesh: by.directory.mesh(), author: self.node, circle, epoch };
        Ok(OwnEnd { key, log: None, tip: Tip::default() })
    }

    /// The epoch of a log that is opened now: the wall clock, and higher than all of this node's logs there. Those that a
    /// clock far ahead opened do not count: what follows them would be ahead as well, and taken by nobody.
    fn next_epoch(&self, by: &By<'_>, circle: CircleId) -> u64 {
        let logs = self.reader.logs_of(by.directory.mesh(), self.node, circle);
        let epochs: BTreeSet<u64> = logs.iter().map(|info| info.key.epoch).collect();
        let known = epochs.iter().rev().find(|epoch| !self.clock.is_ahead(by.now, **epoch));
        let mut epoch = by.now.wall.max(known.map_or(0, |known| known + 1));
        while epochs.contains(&epoch) {
            epoch += 1;
        }
        epoch
    }

    /// The log in which an own run goes, opened if it is not there yet.
    pub(crate) fn open_own_log(&mut self, now: Now, end: &OwnEnd) -> Result<LogNo, StoreError> {
        let key = &end.key;
        if let Some(log) = end.log.or_else(|| self.store.log_no(key)) {
            return Ok(log);
        }
        let log = self.store.open_log(key, self.identity.org)?;
        self.writer.logs.insert(key.circle, log);
        self.writer.note(key, log, self.clock.is_ahead(now, key.epoch));
        Ok(log)
    }
}

/// The entry that a draft would become as the first of a log: what policy is asked about before anything is signed.
fn trial(log: &LogKey, draft: &Draft, sealed: bool) -> Result<Entry, RequestError> {
    let mut header = Header {
        suite: 0,
        class: class_of(draft.kind)
            .ok_or_else(|| RequestError::Draft("this node cannot write such a body".into()))?,
        kind: draft.kind,
        tlp: draft.tlp,
        flags: draft.flags,
        mesh: log.mesh,
        author: log.author,
        circle: log.circle,
        epoch: log.epoch,
        seq: 1,
        prev: tocsin_record::RecordId::ZERO,
        time: draft.time,
        expires: draft.expires,
        roster: draft.roster,
        extension: Vec::new(),
        body_len: u32::try_from(draft.body.len()).unwrap_or(u32::MAX),
        body_hash: tocsin_record::BodyHash::ZERO,
    };
    if draft.body.len() > tocsin_record::header::BODY_MAX {
        let error = tocsin_record::run::DraftError::Body(draft.body.len());
        return Err(RequestError::Draft(error.to_string()));
    }
    if sealed && header.class == Class::Content {
        (header.suite, header.kind, header.tlp, header.flags) = (tocsin_seal::SUITE, 0, 0, 0);
    }
    let body = Part::Here(draft.body.clone());
    Ok(Entry { header, id: tocsin_record::RecordId::ZERO, body, plain: None })
}
