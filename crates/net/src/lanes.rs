//! The tasks of one link: a reader and a writer for each lane, and the one that watches them.
//!
//! ```text
//! run: Up --> reader live, reader bulk, writer live, writer bulk --> first to end, or close --> Down
//! ```

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::io::{
    AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, ReadHalf, WriteHalf,
};
use libp2p::Multiaddr;
use libp2p::swarm::Stream;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::frame::{self, HEAD, Head, Nonce};
use super::handler::Lanes;
use super::link::{Credit, Ended, Gate, Link, Links};
use super::outbox::{Batch, Written};
use super::swarm::Command;
use super::{Config, Inbound, Lane};

/// Bulk is written in pieces of this size, each after the live frames that wait. Over QUIC the streams
/// are apart; over TCP Yamux takes turns between them, and what lies below it (TLS gathers 64 KiB, Noise
/// 128 KiB, then the kernel) still goes first: measured with Noise, an alarm behind pages takes 0.26 s at
/// 10 Mbit/s.
const CHUNK: usize = 16 * 1024;
/// Live frames are gathered up to this size for one write. The multiplexer takes turns by pieces of what
/// is written, not by bytes, so live frames that went singly would get less of the line than bulk.
const BATCH: usize = 64 * 1024;
/// How long a piece of bulk lets live frames pass before it goes on: under a flood of live frames
/// catch-up still gets 160 KB/s.
const LIVE_FIRST: Duration = Duration::from_millis(100);
/// What a reader asks of the stream at least.
const READ_BUFFER: usize = 16 * 1024;
/// What a frame costs its inbox besides its bytes, so that empty frames are bounded too.
const FRAME_COST: usize = 64;
/// How long an ending link may take to give or get its last frames.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long the owner of a stopping network has to take the last event.
const LAST_EVENT: Duration = Duration::from_secs(1);

/// What the tasks need of the configuration.
#[derive(Clone, Copy)]
pub(super) struct Times {
    lobby_patience: Duration,
    inbox_live_bytes: usize,
    inbox_bulk_bytes: usize,
    ping_every: Duration,
    silence: Duration,
}

impl From<&Config> for Times {
    fn from(config: &Config) -> Self {
        Self {
            lobby_patience: config.lobby_patience,
            inbox_live_bytes: config.inbox_live_bytes,
            inbox_bulk_bytes: config.inbox_bulk_bytes,
            ping_every: config.ping_every,
            silence: config.silence,
        }
    }
}

/// What a link's task is started with.
pub(super) struct Start {
    pub(super) link: Arc<Link>,
    pub(super) lanes: Lanes,
    pub(super) remote: Multiaddr,
    pub(super) times: Times,
    pub(super) inbound: mpsc::Sender<Inbound>,
    pub(super) commands: mpsc::Sender<Command>,
    /// The link with the same peer that this one replaces; its `Down` goes first.
    pub(super) after: Option<watch::Receiver<bool>>,
}

/// Which task ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Task {
    ReadLive,
    Other,
}

/// Runs a link from `Up` to `Down`.
pub(super) async fn run(start: Start, links: &Links) {
    let Start { link, lanes, remote, times, inbound, commands, after } = start;
    if let Some(mut gone) = after {
        // An error means that the other task is gone, with or without its last word.
        let _ = tokio::time::timeout(FAREWELL * 2, gone.wait_for(|gone| *gone)).await;
    }
    let up = Inbound::Up { link: link.id, peer: link.peer, remote, direction: link.direction };
    let told = tokio::select! {
        told = inbound.send(up) => told.is_ok(),
        _ = link.closing() => false,
    };
    if told {
        let reason = carry(&link, lanes, times, &inbound).await;
        // So that a sender learns it from now on.
        link.close(reason.clone());
        links.remove(link.id);
        // A connection that closes by itself needs no command; the loop ends only after this task.
        let _ = commands.send(Command::Hang(link.connection)).await;
        let down = inbound.send(Inbound::Down { link: link.id, reason: reason.clone() });
        if reason == Ended::Stopped {
            let _ = tokio::time::timeout(LAST_EVENT, down).await;
        } else {
            // An error means that the owner is gone.
            let _ = down.await;
        }
    } else {
        links.remove(link.id);
        let _ = commands.send(Command::Hang(link.connection)).await;
    }
    link.gone.send_replace(true);
}

/// Runs the four tasks until the first ends or the link is closed.
async fn carry(link: &Arc<Link>, lanes: Lanes, times: Times, inbound: &mpsc::Sender<Inbound>) -> Ended {
    let (read_live, write_live) = lanes.live.split();
    let (read_bulk, write_bulk) = lanes.bulk.split();
    let mut tasks = JoinSet::new();
    let (l, i) = (link.clone(), inbound.clone());
    tasks.spawn(async move { (Task::ReadLive, read(&l, Lane::Live, read_live, times, &i).await) });
    let (l, i) = (link.clone(), inbound.clone());
    tasks.spawn(async move { (Task::Other, read(&l, Lane::Bulk, read_bulk, times, &i).await) });
    let (l, i) = (link.clone(), inbound.clone());
    tasks.spawn(async move { (Task::Other, write_live_lane(&l, write_live, times, &i).await) });
    let (l, i) = (link.clone(), inbound.clone());
    tasks.spawn(async move { (Task::Other, write_bulk_lane(&l, write_bulk, &i).await) });

    let mut listen = tokio::time::interval((times.silence / 4).max(Duration::from_millis(10)));
    let (task, reason) = loop {
        tokio::select! {
            reason = link.closing() => break (Task::Other, reason),
            done = tasks.join_next() => match done {
                Some(Ok(ended)) => break ended,
                // A task is never cancelled here, so this one panicked; the link cannot go on.
                Some(Err(error)) => break (Task::Other, Ended::Lost(format!("a task of the link failed: {error}"))),
                None => break (Task::Other, Ended::Lost("all tasks of the link ended".to_owned())),
            },
            _ = listen.tick() => if link.silence() > times.silence {
                break (Task::Other, Ended::Silent(times.silence));
            },
        }
    };
    match reason {
        // The writer sends what waits and closes the stream; the peer sees the end and closes too,
        // which is how this end knows that everything has arrived.
        Ended::Closed(_) | Ended::Stopped => {
            link.close(reason.clone());
            reader_ends(&mut tasks).await;
            reason
        }
        // What the peer sent before its connection closed may still be in the stream's buffer, and the
        // reader of the live lane says best why it ended: the others only see that it did.
        Ended::Lost(_) if task != Task::ReadLive => reader_ends(&mut tasks).await.unwrap_or(reason),
        _ => reason,
    }
}

/// Waits for the reader of the live lane to end, at most for the farewell.
async fn reader_ends(tasks: &mut JoinSet<(Task, Ended)>) -> Option<Ended> {
    let ended = async {
        while let Some(done) = tasks.join_next().await {
            if let Ok((Task::ReadLive, reason)) = done {
                return Some(reason);
            }
        }
        None
    };
    tokio::time::timeout(FAREWELL, ended).await.ok().flatten()
}

/// Reads a lane until it ends.
async fn read(
    link: &Link,
    lane: Lane,
    stream: ReadHalf<Stream>,
    times: Times,
    inbound: &mpsc::Sender<Inbound>,
) -> Ended {
    if lane == Lane::Bulk && !link.gate_opens(None, |gate| gate.admitted).await {
        return Ended::Stopped;
    }
    let mut stream = BufReader::with_capacity(READ_BUFFER, stream);
    let room = match lane {
        Lane::Live => times.inbox_live_bytes,
        Lane::Bulk => times.inbox_bulk_bytes,
    };
    let room = room.clamp(1, u32::MAX as usize);
    let inbox = Arc::new(Semaphore::new(room));
    loop {
        if stream.buffer().is_empty() {
            // What was read may be erased while nothing more comes.
            stream = BufReader::with_capacity(READ_BUFFER, stream.into_inner());
        }
        match stream.fill_buf().await {
            Ok([]) => return Ended::ByPeer,
            Ok(_) => link.hear(),
            Err(error) => return lost(&error),
        }
        let mut head = [0; HEAD];
        if let Err(error) = stream.read_exact(&mut head).await {
            return lost(&error);
        }
        let length = match Head::decode(head) {
            Err(reason) => return reason,
            Ok(Head::Frame(length)) => length,
            Ok(_) if lane == Lane::Bulk => return Ended::Malformed("a ping on the bulk lane".to_owned()),
            Ok(ping) => {
                let mut nonce: Nonce = [0; 8];
                if let Err(error) = stream.read_exact(&mut nonce).await {
                    return lost(&error);
                }
                if ping == Head::Ping {
                    link.outbox(Lane::Live).pong(nonce);
                } else if let Some(rtt) = sent_at(link, nonce) {
                    let event = Inbound::Rtt { link: link.id, rtt };
                    if link.deafly(inbound.send(event)).await.is_err() {
                        return Ended::Stopped;
                    }
                }
                continue;
            }
        };
        if let Err(limit) = within(link, length, times.lobby_patience).await {
            return Ended::TooLong { lane, length, limit };
        }
        let cost = (length as usize + FRAME_COST).min(room);
        let Ok(credit) = link.deafly(inbox.clone().acquire_many_owned(cost as u32)).await else {
            // The semaphore is never closed.
            return Ended::Stopped;
        };
        let bytes = match frame::body(&mut stream, length as usize, || link.hear()).await {
            Ok(bytes) => bytes,
            Err(error) => return lost(&error),
        };
        // A link that is closed here takes nothing more, but reads on until the peer has closed too.
        if link.is_closed_here() {
            continue;
        }
        let event = Inbound::Frame { link: link.id, lane, bytes, credit: Credit(credit) };
        if link.deafly(inbound.send(event)).await.is_err() {
            return Ended::Stopped;
        }
    }
}

/// Whether a frame may be as long as this. In the lobby the owner may be about to raise the limit, as
/// what it says to one frame is what allows the next, so the answer waits.
async fn within(link: &Link, length: u32, patience: Duration) -> Result<(), u32> {
    let fits = move |gate: &Gate| length <= gate.limit;
    let gate = link.gate();
    if fits(&gate) {
        return Ok(());
    }
    if !gate.admitted && link.deafly(link.gate_opens(Some(patience), fits)).await {
        return Ok(());
    }
    Err(link.gate().limit)
}

/// What broke a stream.
fn lost(error: &std::io::Error) -> Ended {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Ended::Lost("it ended in the middle of a frame".to_owned()),
        _ => Ended::Lost(error.to_string()),
    }
}

/// A ping carries when it was sent, in microseconds of the link; so nothing need be remembered. A
/// peer that answers what was never asked only falsifies its own figure, which is bounded by the
/// link's age.
fn nonce(link: &Link) -> Nonce {
    (link.since.elapsed().as_micros() as u64).to_be_bytes()
}

fn sent_at(link: &Link, nonce: Nonce) -> Option<Duration> {
    link.since.elapsed().checked_sub(Duration::from_micros(u64::from_be_bytes(nonce)))
}

/// Writes live frames, pings and pongs until the outbox is shut and empty, then closes the stream.
async fn write_live_lane(
    link: &Link,
    mut stream: WriteHalf<Stream>,
    times: Times,
    inbound: &mpsc::Sender<Inbound>,
) -> Ended {
    let outbox = link.outbox(Lane::Live);
    let mut ping = tokio::time::interval_at(Instant::now(), times.ping_every.max(Duration::from_millis(1)));
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let batch = tokio::select! {
            batch = outbox.take(BATCH) => match batch {
                Some(batch) => batch,
                None => {
                    // The connection ends in any case; this lets what was written arrive.
                    let _ = stream.close().await;
                    return link.closing().await;
                }
            },
            _ = ping.tick() => {
                if let Err(error) = write_out(&mut stream, &with_nonce(Head::Ping, nonce(link))).await {
                    return lost(&error);
                }
                continue;
            }
        };
        if let Err(error) = write_batch(&mut stream, &batch).await {
            return lost(&error);
        }
        if tell(link, Lane::Live, &batch.frames, inbound).await.is_err() {
            return Ended::Stopped;
        }
    }
}

async fn write_out(stream: &mut WriteHalf<Stream>, out: &[u8]) -> std::io::Result<()> {
    stream.write_all(out).await?;
    stream.flush().await
}

/// A ping or a pong.
fn with_nonce(head: Head, nonce: Nonce) -> Vec<u8> {
    [&head.encode()[..], &nonce].concat()
}

/// Writes a batch from a buffer of its own: what was sent may be erased while nothing more is.
async fn write_batch(stream: &mut WriteHalf<Stream>, batch: &Batch) -> std::io::Result<()> {
    let mut out = batch.pong.map(|nonce| with_nonce(Head::Pong, nonce)).unwrap_or_default();
    let short = batch.frames.iter().map(Bytes::len).filter(|length| *length <= BATCH);
    out.reserve_exact(short.sum::<usize>() + batch.frames.len() * HEAD);
    for frame in &batch.frames {
        out.extend_from_slice(&Head::Frame(frame.len() as u32).encode());
        if frame.len() <= BATCH {
            out.extend_from_slice(frame);
        } else {
            stream.write_all(&out).await?;
            out.clear();
            stream.write_all(frame).await?;
        }
    }
    write_out(stream, &out).await
}

/// Writes bulk frames in pieces, each after the live frames that wait.
async fn write_bulk_lane(
    link: &Link,
    mut stream: WriteHalf<Stream>,
    inbound: &mpsc::Sender<Inbound>,
) -> Ended {
    let (outbox, live) = (link.outbox(Lane::Bulk), link.outbox(Lane::Live));
    while let Some(batch) = outbox.take(CHUNK).await {
        let mut out = Vec::with_capacity(CHUNK);
        for frame in &batch.frames {
            let head = Head::Frame(frame.len() as u32).encode();
            let mut rest: &[u8] = frame;
            out.extend_from_slice(&head);
            while out.len() + rest.len() > CHUNK {
                let (piece, after) = rest.split_at((CHUNK - out.len().min(CHUNK)).min(rest.len()));
                out.extend_from_slice(piece);
                rest = after;
                live.until_idle(LIVE_FIRST).await;
                if let Err(error) = stream.write_all(&out).await {
                    return lost(&error);
                }
                out.clear();
            }
            out.extend_from_slice(rest);
        }
        live.until_idle(LIVE_FIRST).await;
        if let Err(error) = write_out(&mut stream, &out).await {
            return lost(&error);
        }
        if tell(link, Lane::Bulk, &batch.frames, inbound).await.is_err() {
            return Ended::Stopped;
        }
        if link.is_closing() {
            break;
        }
    }
    link.closing().await
}

/// Accounts for what was written and tells the owner when there is room again.
async fn tell(
    link: &Link,
    lane: Lane,
    frames: &[Bytes],
    inbound: &mpsc::Sender<Inbound>,
) -> Result<(), mpsc::error::SendError<Inbound>> {
    let bytes = frames.iter().map(Bytes::len).sum();
    match link.outbox(lane).written(frames.len(), bytes) {
        Written::Drained => inbound.send(Inbound::Drained { link: link.id, lane }).await,
        Written::Quiet => Ok(()),
    }
}
