//! The core: one OS thread that owns the [`Mesh`] and with it all writes to the store.
//!
//! ```text
//!  API --Ask--> live inbox --\                          /--> net.try_send   (never waits)
//!  net --decode-> live inbox  >-- handle..., commit ---<---> answers to tickets
//!               bulk inbox --/      one batch, one flush \-> events to watchers
//! ```
//!
//! What waits is taken together, at most `INPUTS` inputs and `BULK_BYTES` of frames: an idle node commits at once,
//! a busy one amortises. Nothing leaves before the commit that it rests on. A disk fault ends the loop, and with it
//! the process, before anything of the failed batch is sent.
//!
//! What others keep in step with is never in an event, which a slow reader may miss: the directory is shared whole, and
//! the index follows with each commit.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tocsin_clock as clock;
use tocsin_net::{self as net, Credit, Net, SendError};
use tocsin_protocol::message::{Incoming, Lane};
use tocsin_protocol::{Directory, Done, Effect, Event, Input, LinkId, Now, Output, RequestError, Ticket};
use tocsin_store::{DiskKv, KeyFile, StoreError};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tracing::{debug, debug_span, error, info, trace, warn};

use crate::links::Links;

/// Most inputs in one commit.
const INPUTS: usize = 256;
/// Most bytes of frames in one commit.
const BULK_BYTES: usize = 1 << 20;
/// Time passes for the mesh at most so often, in ms: what gathers until a flush is sent some 25 ms late at the most.
const TICK_MS: u64 = 25;
/// Most requests under way; more are told that the node is busy.
const TICKETS_MAX: usize = 65_536;
/// Events that are kept for a watcher who is slower than they come; it is told of how many it missed beyond these.
const EVENTS_KEPT: usize = 4096;
/// How often it is looked whether the core goes on, in s.
const PULSE_EVERY_S: u64 = 1;
/// The core counts as stalled when it took nothing of what waits for so long, in s: longer than any commit on a disk that
/// works, and short beside the ages by which answers are judged.
const STALLED_S: u64 = 10;
/// How often a stall that lasts is logged, in s.
const STALL_LOGGED_S: u64 = 60;

/// The mesh as the product runs it: over sled and a key file.
pub type Mesh = tocsin_protocol::Mesh<DiskKv, KeyFile>;

/// A look at the mesh.
pub type Look = Box<dyn FnOnce(&Mesh) + Send>;

/// What waits for the core.
pub enum Item {
    /// Something of the network.
    Input(Input),
    /// A frame; the credit is given back when it was handled.
    Frame {
        /// By which link.
        link: LinkId,
        /// The frame.
        frame: Incoming,
        /// Counts against the inbox of its link while it lives.
        credit: Credit,
    },
    /// A request of this node's people.
    Ask {
        /// Makes the input, once it has a ticket.
        input: Box<dyn FnOnce(Ticket) -> Input + Send>,
        /// Where the answer goes when it is durable.
        answer: oneshot::Sender<Result<Done, RequestError>>,
    },
    /// A look at the mesh, between two commits.
    Look(Look),
    /// Ends the loop after a last commit.
    Stop,
}

/// The handle to the core. Cheap to clone.
#[derive(Clone)]
pub struct Core {
    live: mpsc::Sender<Item>,
    bulk: mpsc::Sender<Item>,
    events: broadcast::Sender<Event>,
    pulse: Arc<Pulse>,
}

/// Whether the core goes on.
#[derive(Default)]
struct Pulse {
    /// How often it went round.
    rounds: AtomicU64,
    /// For how long it did not while something waited, in s.
    stalled_s: AtomicU64,
}

/// The core's end of its inboxes.
pub struct Inboxes {
    live: mpsc::Receiver<Item>,
    bulk: mpsc::Receiver<Item>,
}

#[cfg(test)]
impl Inboxes {
    /// What waits before all else, for tests that take the core's place.
    pub(crate) fn live(&mut self) -> &mut mpsc::Receiver<Item> {
        &mut self.live
    }
}

/// A request was not answered.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The core has ended.
    #[error(
        "the node stopped before it was done; its log says why. What was acknowledged is kept: start the node and do it \
         again, what is there already stays as it is"
    )]
    Stopped,
    /// The mesh refused, and says why.
    #[error(transparent)]
    Refused(#[from] RequestError),
}

impl Core {
    /// Makes the inboxes. `capacity` bounds each, in items.
    #[must_use]
    pub fn new(capacity: usize) -> (Self, Inboxes) {
        let (live, live_out) = mpsc::channel(capacity);
        let (bulk, bulk_out) = mpsc::channel(capacity);
        let events = broadcast::channel(EVENTS_KEPT).0;
        let core = Self { live, bulk, events, pulse: Arc::default() };
        let inboxes = Inboxes { live: live_out, bulk: bulk_out };
        (core, inboxes)
    }

    /// Asks for something to be done; returns when it is durable.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask(&self, input: impl FnOnce(Ticket) -> Input + Send + 'static) -> Result<Done, AskError> {
        let (answer, answered) = oneshot::channel();
        let item = Item::Ask { input: Box::new(input), answer };
        self.live.send(item).await.map_err(|_| AskError::Stopped)?;
        Ok(answered.await.map_err(|_| AskError::Stopped)??)
    }

    /// Looks at the mesh between two commits. `look` must be short: everything waits for it.
    ///
    /// # Errors
    /// [`AskError::Stopped`].
    pub async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Mesh) -> T + Send + 'static,
    ) -> Result<T, AskError> {
        let (answer, answered) = oneshot::channel();
        let look = move |mesh: &Mesh| {
            // Nobody may wait for the answer any more; that is no fault.
            let _ = answer.send(look(mesh));
        };
        self.live.send(Item::Look(Box::new(look))).await.map_err(|_| AskError::Stopped)?;
        answered.await.map_err(|_| AskError::Stopped)
    }

    /// Hands something to the core, waiting for room. False when the core has ended.
    pub async fn send(&self, item: Item) -> bool {
        self.live.send(item).await.is_ok()
    }

    /// As [`Self::send`], from a thread of its own.
    pub(crate) fn send_blocking(&self, item: Item) -> bool {
        self.live.blocking_send(item).is_ok()
    }

    /// As [`Self::send_blocking`], for frames of bulk streams, which give way to all else.
    pub(crate) fn send_bulk_blocking(&self, item: Item) -> bool {
        self.bulk.blocking_send(item).is_ok()
    }

    /// What happens from now on, for people who watch: who is slower than it comes misses some of it.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// For how long the core has done nothing while something waits, once that is too long.
    #[must_use]
    pub fn stalled(&self) -> Option<Duration> {
        let stalled_s = self.pulse.stalled_s.load(Ordering::Relaxed);
        (stalled_s >= STALLED_S).then(|| Duration::from_secs(stalled_s))
    }

    /// Looks whether the core goes on, until the node ends. It does not end the process when it does not: a disk that hangs
    /// often comes back, what was acknowledged is on it, a new process would hang in opening it, and until then this one
    /// answers from what it has and says how old that is.
    pub(crate) async fn watch_pulse(self) {
        let mut every = tokio::time::interval(Duration::from_secs(PULSE_EVERY_S));
        // Counted in looks, not by the clock: a process that was stopped and goes on has not stalled.
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut before = self.pulse.rounds.load(Ordering::Relaxed);
        let mut stalled_s = 0;
        loop {
            every.tick().await;
            let rounds = self.pulse.rounds.load(Ordering::Relaxed);
            let waiting = self.waiting();
            if rounds == before && waiting > 0 {
                stalled_s += PULSE_EVERY_S;
                if stalled_s >= STALLED_S && (stalled_s - STALLED_S).is_multiple_of(STALL_LOGGED_S) {
                    error!(
                        seconds = stalled_s,
                        waiting,
                        "the core does nothing while inputs wait, a disk that hangs most likely: until it goes on nothing is \
                         taken in or written, and every answer is incomplete"
                    );
                }
            } else {
                if stalled_s >= STALLED_S {
                    warn!(seconds = stalled_s, "the core goes on");
                }
                stalled_s = 0;
            }
            self.pulse.stalled_s.store(stalled_s, Ordering::Relaxed);
            before = rounds;
        }
    }

    /// How many inputs wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let used = |sender: &mpsc::Sender<Item>| sender.max_capacity() - sender.capacity();
        used(&self.live) + used(&self.bulk)
    }
}

/// The loop, for a thread of its own. Returns when it was stopped.
///
/// # Errors
/// On a disk fault, after which the process must end.
pub fn run(
    mut mesh: Mesh,
    core: &Core,
    mut inboxes: Inboxes,
    net: &Net,
    links: &Links,
    directory: &watch::Sender<Arc<Directory>>,
    runtime: &tokio::runtime::Handle,
) -> Result<(), StoreError> {
    let mut turn = Turn::default();
    // When time may pass again.
    let mut tick_from = clock::monotonic_ms();
    let mut idle_work = true;
    let mut out = Output::default();
    loop {
        let wait = if idle_work || mesh.is_busy() {
            Duration::ZERO
        } else {
            let next_tick = mesh.next_tick().max(tick_from);
            Duration::from_millis(next_tick.saturating_sub(clock::monotonic_ms()))
        };
        let first = if turn.inputs.is_empty() { next(&mut inboxes, wait, runtime) } else { None };
        let took = turn.take(first, &mut inboxes);
        for (input, credit) in turn.inputs.drain(..) {
            trace_input(&input);
            mesh.handle(now(), input, &mut out)?;
            drop(credit);
        }
        let mono = clock::monotonic_ms();
        if mesh.is_busy() || mono >= mesh.next_tick().max(tick_from) {
            tick_from = mono + TICK_MS;
            mesh.handle(now(), Input::Tick, &mut out)?;
        }
        let mut effects = mesh.commit(now(), &mut out)?;
        if !Arc::ptr_eq(&directory.borrow(), mesh.shared_directory()) {
            directory.send_replace(Arc::clone(mesh.shared_directory()));
        }
        for effect in effects.drain(..) {
            turn.release(effect, mesh.directory(), core, net, links);
        }
        out.reuse(effects);
        core.pulse.rounds.fetch_add(1, Ordering::Relaxed);
        for look in turn.looks.drain(..) {
            look(&mesh);
        }
        if turn.stop {
            info!("the core stops");
            return Ok(());
        }
        // What can wait is done when nothing else does, one piece at a time.
        idle_work = !took && turn.inputs.is_empty() && mesh.idle()?;
    }
}

/// Logs an input by its kind and how much there is of it. What is in it is the members' and stays out of the log.
fn trace_input(input: &Input) {
    let (kind, length) = match input {
        Input::LinkUp { .. } => ("LinkUp", 0),
        Input::LinkDown { .. } => ("LinkDown", 0),
        Input::Received { frame, .. } => ("Received", frame.bytes),
        Input::Unreadable { bytes, .. } => ("Unreadable", *bytes),
        Input::Dropped { .. } => ("Dropped", 0),
        Input::Drained { .. } => ("Drained", 0),
        Input::Rtt { .. } => ("Rtt", 0),
        Input::Publish { bodies, .. } => ("Publish", bodies.len()),
        Input::Retract { .. } => ("Retract", 0),
        Input::Write { writes, .. } => ("Write", writes.len()),
        Input::DecideHeld { .. } => ("DecideHeld", 0),
        Input::UndoHeld { .. } => ("UndoHeld", 0),
        Input::Documents { documents, .. } => ("Documents", documents.len()),
        Input::ConfirmClock { .. } => ("ConfirmClock", 0),
        Input::Circle { .. } => ("Circle", 0),
        Input::Bundle { .. } => ("Bundle", 0),
        Input::Policy { .. } => ("Policy", 0),
        Input::Tick => ("Tick", 0),
    };
    trace!(kind, length, "handle");
}

fn now() -> Now {
    Now { wall: clock::now_ms(), mono: clock::monotonic_ms() }
}

/// Waits for the next item: live ones first.
fn next(inboxes: &mut Inboxes, wait: Duration, runtime: &tokio::runtime::Handle) -> Option<Item> {
    if let Ok(item) = inboxes.live.try_recv() {
        return Some(item);
    }
    if let Ok(item) = inboxes.bulk.try_recv() {
        return Some(item);
    }
    if wait.is_zero() {
        return None;
    }
    let Inboxes { live, bulk } = inboxes;
    runtime.block_on(async {
        tokio::select! {
            biased;
            item = live.recv() => Some(item.unwrap_or(Item::Stop)),
            Some(item) = bulk.recv() => Some(item),
            () = tokio::time::sleep(wait) => None,
        }
    })
}

/// One round: what is taken together, and who waits for an answer.
#[derive(Default)]
struct Turn {
    inputs: VecDeque<(Input, Option<Credit>)>,
    looks: Vec<Look>,
    tickets: BTreeMap<Ticket, oneshot::Sender<Result<Done, RequestError>>>,
    next_ticket: Ticket,
    stop: bool,
}

impl Turn {
    /// Takes what waits, within the bounds of a commit. True if there was anything.
    fn take(&mut self, first: Option<Item>, inboxes: &mut Inboxes) -> bool {
        let mut bytes = 0;
        let mut count = 0;
        let mut next = first;
        while let Some(item) = next {
            count += 1;
            if let Item::Frame { frame, .. } = &item {
                bytes += frame.bytes;
            }
            self.add(item);
            if count >= INPUTS || bytes >= BULK_BYTES || self.stop {
                break;
            }
            next = inboxes.live.try_recv().or_else(|_| inboxes.bulk.try_recv()).ok();
        }
        count > 0
    }

    fn add(&mut self, item: Item) {
        match item {
            Item::Input(input) => self.inputs.push_back((input, None)),
            Item::Frame { link, frame, credit } => {
                self.inputs.push_back((Input::Received { link, frame }, Some(credit)));
            }
            Item::Ask { input, answer } => {
                if self.tickets.len() >= TICKETS_MAX {
                    let _ = answer.send(Err(RequestError::Busy));
                    return;
                }
                self.next_ticket += 1;
                self.tickets.insert(self.next_ticket, answer);
                self.inputs.push_back((input(self.next_ticket), None));
            }
            Item::Look(look) => self.looks.push(look),
            Item::Stop => self.stop = true,
        }
    }

    /// Lets an effect out, now that what it rests on is durable.
    fn release(&mut self, effect: Effect, directory: &Directory, core: &Core, net: &Net, links: &Links) {
        match effect {
            Effect::Send { link, lane, frame } => {
                let lane = match lane {
                    Lane::Live => net::Lane::Live,
                    Lane::Bulk => net::Lane::Bulk,
                };
                match net.try_send(link, lane, frame) {
                    Ok(()) => {}
                    Err(SendError::Full) => self.inputs.push_back((Input::Dropped { link }, None)),
                    // `LinkDown` follows.
                    Err(SendError::Closed) => {}
                    Err(error @ SendError::TooLong { .. }) => warn!(link, %error, "a frame was not sent"),
                }
            }
            Effect::Admitted { link, node } => {
                net.admit(link);
                links.admitted(link, node);
                debug!(link, %node, "a peer is in");
            }
            Effect::Close { link, reason } => {
                info!(link, %reason, "a link is ended");
                net.close(link, reason);
            }
            Effect::Done { ticket, result } => {
                if let Some(answer) = self.tickets.remove(&ticket) {
                    let _ = answer.send(result);
                }
            }
            Effect::Event(event) => {
                tell(&event, directory);
                // Nobody may watch; that is no fault.
                let _ = core.events.send(event);
            }
        }
    }
}

/// Logs what happened. A record's span has the names by which it is followed through the nodes: id, author, seq.
fn tell(event: &Event, directory: &Directory) {
    let named = |org| directory.org(org).map_or("unknown", |entry| entry.name.as_str());
    let org_of = |node| directory.org_of(node).map_or("unknown", named);
    match event {
        Event::Judged { place, id, author, circle, kind, verdict, rule, .. } => {
            let _record = debug_span!("record", %id, %author, seq = place.seq).entered();
            debug!(org = org_of(*author), log = place.log.0, %circle, kind, ?verdict, rule, "judged");
        }
        Event::DecidedByDefault { id, author, accept, days } => {
            let (org, decided) = (org_of(*author), if *accept { "accepted" } else { "refused" });
            info!(%id, org, days, "a record that was held is {decided} by default: nobody decided about it");
        }
        Event::Erased { places } => debug!(count = places.len(), "bodies were erased"),
        Event::Forked { author, circle, seq } => {
            let org = org_of(*author);
            warn!(org, %author, %circle, seq, "an author said two things: nothing more is taken of that log");
        }
        Event::PeerIn { node, org } => info!(org = named(*org), %node, "a partner's node is linked"),
        Event::PeerOut { node } => info!(org = org_of(*node), %node, "a partner's node is gone"),
        Event::Documents { count } => info!(count, "documents took force"),
        Event::NotGiven { node, records } => {
            let org = org_of(*node);
            warn!(org, %node, "{org} announces {records} records that it does not give");
        }
        Event::Clock { reading } if reading.is_trusted() => info!("{}", reading.text()),
        Event::Clock { reading } => warn!("{}", reading.text()),
    }
}

#[cfg(test)]
mod tests {
    use tocsin_protocol::message::{self, Message};
    use tocsin_record::document::{Form, Signed};
    use tocsin_record::testing::Lines;

    use super::*;

    #[test]
    fn the_log_has_nothing_of_what_is_in_an_input() {
        let lines = Lines::default();
        let writer = lines.clone();
        let logger = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish();
        let mesh = tocsin_record::MeshId([1; 32]);
        let frame = message::decode(mesh, &message::encode(&vec![Message::Credit(77_001)])).unwrap();
        let length = format!("length={}", frame.bytes);
        let form = Form::Charter;
        let documents = vec![Signed { form, bytes: b"hush".to_vec(), signatures: Vec::new() }];
        tracing::subscriber::with_default(logger, || {
            trace_input(&Input::Received { link: 3, frame });
            trace_input(&Input::Documents { ticket: 1, documents });
        });
        let text = lines.text();
        assert!(text.contains("Received") && text.contains(&length), "{text}");
        assert!(text.contains("Documents") && text.contains("length=1"), "{text}");
        assert!(!text.contains("77001") && !text.contains("104, 117") && !text.contains("hush"), "{text}");
    }
}
