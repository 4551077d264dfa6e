//! What the node cannot do without, watched in one place: a thread or task of it that panics, fails or ends by itself
//! ends the process, because one that lives on without its core would go on answering from what it knew.
//!
//! ```text
//!  threads: core, decoders --\
//!                             >-- Supervisor --first failure--> daemon::run --> message, exit code 2
//!  tasks: net, socket, ... --/
//! ```
//!
//! What only serves one request or one link is not watched: its panic is logged, ends that request or link, and no more.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::thread;

use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinError, JoinHandle};
use tracing::error;

/// Why something that must not end did.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Something that the node cannot do without is gone.
#[derive(Debug, thiserror::Error)]
#[error("the node's {part} failed, and it cannot go on without: {cause}")]
pub struct Failure {
    /// Which part, in words.
    pub part: &'static str,
    /// What it was seen to do, or not to do.
    pub cause: Cause,
}

/// What is said of a part that ended without a word.
#[derive(Debug, thiserror::Error)]
#[error("it ended by itself; this is a fault of the program")]
pub struct EndedByItself;

/// What is said of a part that panicked.
#[derive(Debug, thiserror::Error)]
#[error(
    "it panicked: {0}. This is a fault of the program, please report it with the log. What was acknowledged is kept: \
     start the node again"
)]
struct Panicked(String);

/// Watches the parts of one node. Cheap to clone.
#[derive(Clone, Default)]
pub struct Supervisor {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    /// The first failure, until it is taken: those that follow from it say nothing new.
    first: Mutex<Option<Failure>>,
    failed: Notify,
    stopping: AtomicBool,
}

/// A task that is watched.
pub struct Watched {
    /// Ends the task; that is no failure.
    pub abort: AbortHandle,
    /// Ends when the task did.
    pub ended: JoinHandle<()>,
}

impl Supervisor {
    /// Watches nothing yet. From the first one on, panics of this process are logged.
    #[must_use]
    pub fn new() -> Self {
        static LOGGED: Once = Once::new();
        LOGGED.call_once(|| {
            let printed = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                printed(info);
                log_panic(info);
            }));
        });
        Self::default()
    }

    /// Starts a thread. It fails when `work` panics or returns an error; what has nothing left to do returns `Ok`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn thread(
        &self,
        name: &str,
        part: &'static str,
        work: impl FnOnce() -> Result<(), Cause> + Send + 'static,
    ) -> std::io::Result<thread::JoinHandle<()>> {
        let supervisor = self.clone();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            // Nothing of what `work` owns is looked at after a panic.
            match panic::catch_unwind(AssertUnwindSafe(work)) {
                Ok(Ok(())) => {}
                Ok(Err(cause)) => supervisor.fail(part, cause),
                Err(payload) => supervisor.fail(part, Panicked(message(&*payload)).into()),
            }
        })
    }

    /// Watches a task that runs until the node stops: it fails when it panics, and when it ends before that.
    #[must_use]
    pub fn task(&self, part: &'static str, task: JoinHandle<()>) -> Watched {
        let supervisor = self.clone();
        let abort = task.abort_handle();
        let ended = tokio::spawn(async move {
            match task.await.map_err(JoinError::try_into_panic) {
                Err(Ok(payload)) => supervisor.fail(part, Panicked(message(&*payload)).into()),
                Ok(()) if !supervisor.inner.stopping.load(Ordering::Acquire) => {
                    supervisor.fail(part, EndedByItself.into());
                }
                // Told to end.
                Ok(()) | Err(Err(_)) => {}
            }
        });
        Watched { abort, ended }
    }

    /// From now on tasks may end.
    pub fn stopping(&self) {
        self.inner.stopping.store(true, Ordering::Release);
    }

    /// Waits for a failure.
    pub async fn failed(&self) -> Failure {
        loop {
            // Remembers one that comes before it is waited for.
            let told = self.inner.failed.notified();
            if let Some(failure) = self.failure() {
                return failure;
            }
            told.await;
        }
    }

    /// The first failure, if there was one.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        self.first().take()
    }

    fn first(&self) -> MutexGuard<'_, Option<Failure>> {
        self.inner.first.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, part: &'static str, cause: Cause) {
        let failure = Failure { part, cause };
        error!("{failure}");
        self.first().get_or_insert(failure);
        self.inner.failed.notify_one();
    }
}

/// Says in the log, too, what the standard hook prints: whose panic, where and why. One that is caught, as those of a
/// damaged database, is followed by what became of it.
fn log_panic(info: &PanicHookInfo<'_>) {
    let at = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = thread::current();
    error!(thread = thread.name().unwrap_or("unnamed"), at, "panicked: {}", message(info.payload()));
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn told(supervisor: &Supervisor) -> String {
        let failure = tokio::time::timeout(Duration::from_secs(5), supervisor.failed()).await;
        failure.expect("a failure is told").to_string()
    }

    #[tokio::test]
    async fn whatever_ends_is_told_with_its_reason() {
        let supervisor = Supervisor::new();
        let one: &str = "one";
        supervisor.thread("t", "core", move || panic!("formatted {one}")).unwrap().join().unwrap();
        let text = told(&supervisor).await;
        assert!(text.contains("core") && text.contains("panicked: formatted one"), "{text}");

        supervisor.thread("t", "core", || Err("the disk is full".into())).unwrap().join().unwrap();
        assert!(told(&supervisor).await.contains("the disk is full"));

        let _ = supervisor.task("socket", tokio::spawn(async { panic!("plain") }));
        assert!(told(&supervisor).await.contains("panicked: plain"));

        let _ = supervisor.task("socket", tokio::spawn(async {}));
        assert!(told(&supervisor).await.contains("ended by itself"));
    }

    #[tokio::test]
    async fn the_first_failure_is_the_one_that_is_told() {
        let supervisor = Supervisor::new();
        for (part, message) in [("core", "first"), ("socket", "second")] {
            supervisor.thread("t", part, move || Err(message.into())).unwrap().join().unwrap();
        }
        assert!(told(&supervisor).await.contains("first"));
        assert!(supervisor.failure().is_none());
    }

    #[tokio::test]
    async fn what_is_told_to_end_does_not_fail() {
        let supervisor = Supervisor::new();
        supervisor.thread("t", "core", || Ok(())).unwrap().join().unwrap();
        let aborted = supervisor.task("socket", tokio::spawn(std::future::pending()));
        aborted.abort.abort();
        aborted.ended.await.unwrap();
        supervisor.stopping();
        supervisor.task("network", tokio::spawn(async {})).ended.await.unwrap();
        assert!(supervisor.failure().is_none());
    }
}
