//! What this node's people write: queued as it comes, judged and signed by the admission with the commit, staged like any other
//! record.

use std::sync::Arc;

use tocsin_store::{Kv, RecordRef, Slots, StoreError};

use crate::admission::By;
use crate::admission::write::Asker;
use crate::io::{Output, Ticket, Write, Written};
use crate::mesh::Mesh;

impl<K: Kv, S: Slots> Mesh<K, S> {
    /// What this node's people write and take back as one.
    pub(crate) fn write(
        &mut self,
        ticket: Ticket,
        writes: &[Write],
        out: &mut Output,
    ) -> Result<(), StoreError> {
        let by = By { directory: &self.directory, now: self.now };
        if let Err(error) = self.admission.queue_writes(&by, &mut self.random, ticket, writes)? {
            Self::answer(out, ticket, Err(error));
        }
        Ok(())
    }

    /// What a clock that was ahead took back is taken back again.
    pub(crate) fn say_again(&mut self) -> Result<(), StoreError> {
        let by = By { directory: &self.directory, now: self.now };
        self.admission.say_again(&by, &mut self.random)
    }

    /// Keys that nodes lack which came later are given to them.
    pub(crate) fn give_late(&mut self) -> Result<(), StoreError> {
        let by = By { directory: &self.directory, now: self.now };
        self.admission.give_late(&by)
    }

    /// Writes what waits; called by the commit.
    pub(crate) fn write_queued(&mut self, out: &mut Output) -> Result<(), StoreError> {
        let directory = Arc::clone(&self.directory);
        let by = By { directory: &directory, now: self.now };
        let queue = self.admission.take_queued(&by)?;
        if queue.is_empty() {
            return Ok(());
        }
        let (runs, mut answers) = self.admission.sign(&by, &queue)?;
        for signed in runs {
            let log = self.admission.open_own_log(self.now, &signed.end)?;
            self.admission.learn_own(&by, log, &signed.run)?;
            self.stage(log, &signed.run, None, None, &signed.decided, out)?;
            for (asker, entry) in signed.askers.iter().zip(signed.run.entries()) {
                if let Some(Ok(done)) = answers.get_mut(asker) {
                    let place = RecordRef { log, seq: entry.header.seq };
                    done.written.push(Written { id: entry.id, place, circle: signed.end.key.circle });
                }
            }
        }
        for (asker, result) in answers {
            match asker {
                Asker::People(ticket) => Self::answer(out, ticket, result),
                Asker::Again(_) if result.is_err() => self.admission.look_for_late(),
                Asker::Again(_) => {}
            }
        }
        Ok(())
    }
}
