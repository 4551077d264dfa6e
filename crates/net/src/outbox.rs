//! The frames that wait for one lane of one link: bounded, filled without waiting, emptied by the writer.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;

use super::frame::Nonce;
use super::link::lock;
use super::{Room, SendError};

/// What waits in an outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queued {
    /// Number of frames.
    pub frames: usize,
    /// Their bytes.
    pub bytes: usize,
}

/// The frames that wait for one lane of one link.
pub(super) struct Outbox {
    room: Room,
    queue: Mutex<Queue>,
    more: Notify,
    idle: Notify,
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<Bytes>,
    /// Frames that wait or are being written.
    held: Queued,
    pong: Option<Nonce>,
    /// It was over half full or refused a frame, and the owner will be told when it has emptied.
    pressed: bool,
    /// Nothing is taken in any more.
    shut: bool,
}

/// What a writer takes to write.
pub(super) struct Batch {
    pub(super) frames: Vec<Bytes>,
    pub(super) pong: Option<Nonce>,
}

/// Whether the owner is to be told that an outbox has emptied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// Nothing to tell.
    Quiet,
    /// It was pressed and has room again.
    Drained,
}

impl Outbox {
    pub(super) fn new(room: Room) -> Self {
        Self { room, queue: Mutex::default(), more: Notify::new(), idle: Notify::new() }
    }

    pub(super) fn push(&self, bytes: Bytes) -> Result<(), SendError> {
        let mut queue = lock(&self.queue);
        if queue.shut {
            return Err(SendError::Closed);
        }
        let held = queue.held;
        let full = held.frames >= self.room.frames || held.bytes + bytes.len() > self.room.bytes;
        if full && held.frames > 0 {
            queue.pressed = true;
            return Err(SendError::Full);
        }
        queue.held.frames += 1;
        queue.held.bytes += bytes.len();
        queue.pressed |= queue.held.bytes * 2 > self.room.bytes || queue.held.frames * 2 > self.room.frames;
        queue.frames.push_back(bytes);
        drop(queue);
        self.more.notify_one();
        Ok(())
    }

    pub(super) fn queued(&self) -> Queued {
        lock(&self.queue).held
    }

    /// Asks the writer to answer a ping. Only the newest is answered, so that pings cannot queue.
    pub(super) fn pong(&self, nonce: Nonce) {
        lock(&self.queue).pong = Some(nonce);
        self.more.notify_one();
    }

    /// Takes frames of about `bytes`, at least one; `None` when the outbox is shut and empty. Losing
    /// the future loses nothing.
    pub(super) async fn take(&self, bytes: usize) -> Option<Batch> {
        loop {
            {
                let mut queue = lock(&self.queue);
                let mut batch = Batch { frames: Vec::new(), pong: queue.pong.take() };
                let mut total = 0;
                while let Some(next) = queue.frames.front() {
                    if !batch.frames.is_empty() && total + next.len() > bytes {
                        break;
                    }
                    total += next.len();
                    batch.frames.extend(queue.frames.pop_front());
                }
                if batch.pong.is_some() || !batch.frames.is_empty() {
                    return Some(batch);
                }
                if queue.shut {
                    return None;
                }
            }
            self.more.notified().await;
        }
    }

    /// Accounts for frames that were written.
    pub(super) fn written(&self, frames: usize, bytes: usize) -> Written {
        let mut queue = lock(&self.queue);
        queue.held.frames -= frames;
        queue.held.bytes -= bytes;
        if queue.held.frames == 0 {
            self.idle.notify_waiters();
        }
        // A quarter, not a half, so that one frame more or less does not make an event each.
        let low = queue.held.bytes * 4 <= self.room.bytes && queue.held.frames * 4 <= self.room.frames;
        if queue.pressed && low {
            queue.pressed = false;
            return Written::Drained;
        }
        Written::Quiet
    }

    /// Waits until nothing is left to write, at most `longest`.
    pub(super) async fn until_idle(&self, longest: Duration) {
        let idle = self.idle.notified();
        tokio::pin!(idle);
        idle.as_mut().enable();
        if self.queued().frames > 0 {
            // Too long a wait is no fault: the caller goes on by its own right then.
            let _ = tokio::time::timeout(longest, idle).await;
        }
    }

    /// Takes nothing more in; what waits may still be written.
    pub(super) fn shut(&self) {
        lock(&self.queue).shut = true;
        self.more.notify_one();
    }
}
