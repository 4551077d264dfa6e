//! Giving room back: value files of which most is dead are copied forward, a bounded piece at a time, and deleted.
//!
//! A piece is an ordinary write: its new pointers go through the journal. So it needs no checkpoint, and a crash between two
//! pieces leaves a file that is a little emptier than before.

use crate::disk::{DiskKv, Writer, encode_pointer, pointer};
use crate::kv::Fault;
use crate::values;

/// Bytes that are read and written in one piece: some milliseconds of the thread that owns the store.
const PIECE: u64 = 1 << 20;
/// A node that is never idle gives room back all the same once this many bytes are dead, and more than are alive.
const OVERDUE: u64 = if cfg!(test) { 16 << 20 } else { 256 << 20 };

impl DiskKv {
    /// Deletes what is dead, or copies one piece of what is alive out of a file that mostly is. True if there may be more.
    pub(crate) fn compact_piece(&self, writer: &mut Writer) -> Result<bool, Fault> {
        // A pointer that only awaits its flush to be gone is still what a crash would go back to.
        if !writer.is_flushed() {
            return Ok(false);
        }
        let Some(waste) = self.values.waste(PIECE) else { return Ok(false) };
        if waste.keys.is_empty() {
            self.values.delete(waste.file)?;
            return Ok(true);
        }
        let mut moved = Vec::with_capacity(waste.keys.len());
        for key in waste.keys {
            let found = self.encoded(&key)?.as_deref().and_then(pointer);
            let old = found.filter(|old| old.file == waste.file);
            let old = old.ok_or_else(|| Fault::Damaged("a value that nothing points to is alive".into()))?;
            let file = self.values.file(old).ok_or_else(|| values::missing(old))?;
            let new = self.values.append(&key, &values::read(&file, old)?)?;
            moved.push((old, key.into_vec(), Some(encode_pointer(new))));
        }
        for (old, ..) in &moved {
            self.values.release(*old);
        }
        self.publish_encoded(writer, moved.into_iter().map(|(_, key, value)| (key, value)));
        self.flush_pending(writer)?;
        Ok(true)
    }

    /// A piece, if a busy node has put it off for too long.
    pub(crate) fn compact_overdue(&self, writer: &mut Writer) -> Result<(), Fault> {
        let (dead, live) = self.values.dead_and_live();
        if dead > OVERDUE && dead > live {
            self.compact_piece(writer)?;
        }
        Ok(())
    }
}
