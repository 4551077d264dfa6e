//! Nodes that end with the process that started them, however it ends.
//!
//! Each waits on its standard input, a pipe whose other end this process holds and no other: the system closes it when the
//! process is gone, also where it was killed and could tell nobody.

use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{STOP, TestnetError};

/// How often a process that was told to end is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// The nodes that this process started.
#[derive(Debug, Default)]
pub(crate) struct Tied(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    children: Vec<Child>,
    /// No more are started.
    over: bool,
}

impl Tied {
    fn state(&self) -> MutexGuard<'_, State> {
        // A list of processes is as good after a panic as before.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts one more.
    ///
    /// # Errors
    /// [`TestnetError::Spawn`], or [`TestnetError::Over`] after the end.
    pub(crate) fn start(&self, command: &mut Command) -> Result<(), TestnetError> {
        let mut state = self.state();
        if state.over {
            return Err(TestnetError::Over);
        }
        let child = command.stdin(Stdio::piped()).arg("--until-input-ends").spawn();
        state.children.push(child.map_err(TestnetError::Spawn)?);
        Ok(())
    }

    /// Whether the end has come: nothing is worth waiting for any more.
    ///
    /// # Errors
    /// [`TestnetError::Over`].
    pub(crate) fn check(&self) -> Result<(), TestnetError> {
        if self.state().over { Err(TestnetError::Over) } else { Ok(()) }
    }

    /// Ends all, also those that were started a moment ago and do not answer yet, and waits until no process is left.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        state.over = true;
        for child in &mut state.children {
            drop(child.stdin.take());
        }
        let start = Instant::now();
        for mut child in state.children.drain(..) {
            while start.elapsed() < STOP && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(LOOK);
            }
            // To one that ended these do nothing.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
